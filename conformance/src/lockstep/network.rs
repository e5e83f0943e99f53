//! Where the host's sockets of a sequence live.
//!
//! A port of the machine may be held by a stranger, by another lockstep, or by a TIME_WAIT that an earlier sequence
//! left for a minute: then the host says EADDRINUSE where the library, whose hosts are fresh, does not. So each
//! sequence has ports that nobody had before it: a range of its own, in a network namespace of this thread, and a
//! new namespace when the ranges are used up. Making one takes two milliseconds, three times a sequence.
//!
//! Who may not make one is compared on the machine's network, where a difference that chance made does not come
//! again.

use crate::arm::HostKernel;
use crate::kernel::Kernel;

/// Ports of a sequence: a few of them are ever bound, and autobinding must find a free one at once.
const PORTS: u16 = 4000;
/// The first port of the first range, above those that need a privilege.
const FIRST: u16 = 2000;
/// Ranges in a namespace.
const RANGES: u16 = (u16::MAX - FIRST) / PORTS;

/// The network of the sequences of a thread.
pub(super) struct Network {
    /// Whether namespaces can be made here.
    own: bool,
    /// Ranges of this namespace that were used.
    used: u16,
}

impl Network {
    pub(super) fn new() -> Network {
        Network {
            own: true,
            used: RANGES,
        }
    }

    /// Ports that nobody has used, if this thread may have them.
    pub(super) fn renew(&mut self) {
        if self.own && self.used == RANGES {
            self.own = HostKernel::new().private_network();
            self.used = 0;
            if self.own {
                // Ping sockets for everybody; the library's host takes it over.
                let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
            }
        }
        if !self.own {
            return;
        }
        let first = FIRST + self.used * PORTS;
        let range = format!("{first} {}", first + PORTS - 1);
        self.own = std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).is_ok();
        self.used += 1;
    }
}
