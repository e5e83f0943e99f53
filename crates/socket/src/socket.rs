//! One socket: what all families share, and the family's own part.

use crate::filter::FilterState;
use crate::inet::{tcp::TcpSocket, udp::UdpSocket};
use crate::netlink::NetlinkSocket;
use crate::options::rare::Rare;
use crate::packet::PacketSocket;
use crate::unix::UnixSocket;
use alloc::boxed::Box;
use core::time::Duration;

/// A socket of a host.
pub(crate) struct Socket {
    pub(crate) common: Common,
    pub(crate) kind: Kind,
}

/// The family's part.
pub(crate) enum Kind {
    Tcp(TcpSocket),
    Udp(Box<UdpSocket>),
    Unix(Box<UnixSocket>),
    Netlink(Box<NetlinkSocket>),
    Packet(Box<PacketSocket>),
}

/// What `SOL_SOCKET` keeps for every family. Fields that only the engine acts on live there.
#[derive(Clone)]
pub(crate) struct Common {
    /// `AF_*`
    pub(crate) domain: u16,
    /// `SOCK_*`
    pub(crate) ty: u16,
    /// `IPPROTO_*`
    pub(crate) protocol: u16,
    pub(crate) flags: CommonFlags,
    /// The inode of the file that stands for it; 0 until the embedder has said so.
    pub(crate) inode: u32,
    /// The creator's effective user, as SO_REUSEPORT compares it.
    pub(crate) uid: u32,
    /// `SO_SNDBUF` as getsockopt(2) tells it (doubled). For TCP the engine's value rules.
    pub(crate) sndbuf: u32,
    /// `SO_RCVBUF` as getsockopt(2) tells it (doubled).
    pub(crate) rcvbuf: u32,
    /// `SO_RCVLOWAT`, at least 1.
    pub(crate) rcvlowat: u32,
    pub(crate) priority: u32,
    /// `SO_RCVTIMEO`; `None` waits for ever.
    pub(crate) rcvtimeo: Option<Duration>,
    /// `SO_SNDTIMEO`; `None` waits for ever.
    pub(crate) sndtimeo: Option<Duration>,
    /// `SO_LINGER`; `None` is off. Kept when off, as getsockopt(2) still tells the time.
    pub(crate) linger: Linger,
    /// Few sockets have a filter.
    pub(crate) filter: Option<Box<FilterState>>,
    /// What few sockets set.
    pub(crate) rare: Option<Box<Rare>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Linger {
    pub(crate) on: bool,
    pub(crate) seconds: u32,
}

impl Linger {
    /// MAX_SCHEDULE_TIMEOUT: more seconds than an `int` can ask for.
    pub(crate) const FOREVER: u32 = u32::MAX;
}

bitflags::bitflags! {
    /// Boolean `SO_*` options.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct CommonFlags: u32 {
        const REUSEADDR = 1 << 0;
        const REUSEPORT = 1 << 1;
        const KEEPALIVE = 1 << 2;
        const BROADCAST = 1 << 3;
        const OOBINLINE = 1 << 4;
        const PASSCRED = 1 << 5;
        const TIMESTAMP = 1 << 6;
        const TIMESTAMP_NEW = 1 << 7;
        const SNDBUF_LOCKED = 1 << 8;
        const RCVBUF_LOCKED = 1 << 9;
        /// `TCP_REPAIR`
        const TCP_REPAIR = 1 << 30;
        /// `TCP_INQ`, and `SO_INQ` of AF_UNIX.
        const INQ = 1 << 31;
        const TIMESTAMPNS = 1 << 10;
        const DEBUG = 1 << 11;
        const DONTROUTE = 1 << 12;
        const NO_CHECK = 1 << 13;
        const RXQ_OVFL = 1 << 14;
        const WIFI_STATUS = 1 << 15;
        const NOFCS = 1 << 16;
        const SELECT_ERR_QUEUE = 1 << 17;
        const ZEROCOPY = 1 << 18;
        const PREFER_BUSY_POLL = 1 << 19;
        const NO_TXREHASH = 1 << 20;
        const RCVMARK = 1 << 21;
        const RCVPRIORITY = 1 << 22;
        const TXTIME = 1 << 23;
        const PASSPIDFD = 1 << 24;
        const PASSSEC = 1 << 25;
        /// `SO_PASSRIGHTS` was switched off.
        const NO_PASSRIGHTS = 1 << 26;
        /// SOCK_TIMESTAMP: somebody has asked for `SO_TIMESTAMP` or kin once.
        const STAMPED = 1 << 28;
        /// See [`Host::set_nonblocking`](crate::Host::set_nonblocking).
        const NONBLOCK = 1 << 27;
    }
}

impl Common {
    pub(crate) fn has(&self, flag: CommonFlags) -> bool {
        self.flags.contains(flag)
    }

    /// `SO_RCVLOWAT` as a receive of `len` bytes applies it (sock_rcvlowat()): all of it with
    /// `MSG_WAITALL`, else the smaller of the two, and never zero.
    pub(crate) fn low_water(&self, waitall: bool, len: usize) -> usize {
        let want = if waitall {
            len
        } else {
            len.min(self.rcvlowat as usize)
        };
        want.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitflags::Flags;

    #[test]
    fn each_flag_has_a_bit_of_its_own() {
        let bits = CommonFlags::all().bits().count_ones() as usize;
        assert_eq!(bits, CommonFlags::FLAGS.len());
        let inet = crate::inet::InetFlags::all().bits().count_ones() as usize;
        assert_eq!(inet, crate::inet::InetFlags::FLAGS.len());
    }
}
