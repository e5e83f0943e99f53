//! Duplicate address detection (RFC 4862, 5.4), as Linux has it (addrconf_dad_start() and what follows).
//!
//! # Theory of operation
//! An address that is probed for is tentative: it is listed, and not the host's own yet. Within a second it is asked for,
//! [`DadParams::transmits`] times; when nobody has answered by then it is the host's. When somebody else has it, or probes
//! for it too, it stays tentative, as one that has failed.
//!
//! Only what [`Stack::probe_address`] names is probed for: addresses that programs add to interfaces with a link layer.
//! Those that a network's maker gives are the host's from the first instant (Linux's `nodad`).
//!
//! # Limits
//! No optimistic addresses (RFC 4429), and no nonce in a probe (RFC 7527): no link here sends a frame back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use super::{MAX_CHANGES, MIN_RETRANS, ndp};
use crate::conf::Conf;
use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::time::Instant;

/// /proc/sys/net/ipv6/conf/IF, with Linux's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DadParams {
    /// accept_dad: addresses are probed for if this is more than 0.
    pub accept: i32,
    /// dad_transmits: how often.
    pub transmits: i32,
}

type Key = (IfIndex, Ipv6Addr);

#[derive(Debug)]
struct Probe {
    at: Instant,
    left: i32,
}

#[derive(Debug)]
pub(super) struct Dad {
    probes: BTreeMap<Key, Probe>,
    all: DadParams,
    default: DadParams,
    of: BTreeMap<IfIndex, DadParams>,
    /// What came of probes, until somebody asks.
    pub(super) ended: VecDeque<Key>,
}

impl Dad {
    pub(super) fn new() -> Dad {
        let default = DadParams {
            accept: 1,
            transmits: 1,
        };
        // addrconf_add_dev(): where nobody can be asked.
        let lo = DadParams {
            accept: -1,
            ..default
        };
        Dad {
            probes: BTreeMap::new(),
            all: DadParams {
                accept: 0,
                ..default
            },
            default,
            of: BTreeMap::from([(IfIndex::LO, lo)]),
            ended: VecDeque::new(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.probes.values().map(|probe| probe.at).min()
    }
}

impl Stack {
    /// accept_dad and dad_transmits.
    pub fn dad_params(&self, conf: Conf) -> DadParams {
        let dad = &self.neighbours.dad;
        match conf {
            Conf::All => dad.all,
            Conf::Default => dad.default,
            Conf::Interface(index) => dad.of.get(&index).copied().unwrap_or(dad.default),
        }
    }

    /// Sets them.
    pub fn set_dad_params(&mut self, conf: Conf, params: DadParams) {
        let dad = &mut self.neighbours.dad;
        match conf {
            Conf::All => dad.all = params,
            Conf::Default => {
                // Interfaces that there are keep what they were made with.
                for interface in self.interfaces.iter() {
                    dad.of.entry(interface.index()).or_insert(dad.default);
                }
                dad.default = params;
            }
            Conf::Interface(index) => drop(dad.of.insert(index, params)),
        }
    }

    /// addrconf_dad_start(): an address of the interface's is tentative from now on, if such are probed for there.
    pub fn probe_address(&mut self, now: Instant, interface: IfIndex, addr: Ipv6Addr) {
        let params = self.dad_params(Conf::Interface(interface));
        let wanted = params.accept > 0 || self.neighbours.dad.all.accept > 0;
        if !wanted || !self.interfaces.is_ethernet(interface) {
            return;
        }
        // addrconf_dad_kick(): rtr_solicitation_delay is a second.
        let wait = Duration::from_micros(self.random.below(1_000_000).into());
        let probe = Probe {
            at: now + wait,
            left: params.transmits,
        };
        self.routes.touch();
        self.interfaces
            .change(interface, |i| i.set_tentative(addr, Some(false)));
        self.neighbours.dad.probes.insert((interface, addr), probe);
        self.neigh_arm();
    }

    /// The next address whose probing has ended: its interface and itself. What came of it the interface tells.
    pub fn poll_probed_address(&mut self) -> Option<(IfIndex, Ipv6Addr)> {
        self.neighbours.dad.ended.pop_front()
    }

    /// addrconf_dad_work(), for every address that is due.
    pub(super) fn dad_timeout(&mut self, now: Instant) {
        let probes = self.neighbours.dad.probes.iter();
        let due: Vec<Key> = probes
            .filter(|(_, probe)| probe.at <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let retrans = self.neigh_params(true, Some(key.0)).retrans_time;
            let Some(probe) = self.neighbours.dad.probes.get_mut(&key) else {
                continue;
            };
            if probe.left > 0 {
                probe.left -= 1;
                probe.at = now + retrans.max(MIN_RETRANS);
                if self.is_tentative(key) {
                    self.ndp_send_probe(key.0, key.1);
                }
            } else {
                self.dad_end(key, None);
            }
        }
    }

    fn is_tentative(&self, (interface, addr): Key) -> bool {
        let own = self.interface(interface);
        own.is_some_and(|i| i.tentative(addr.into()).is_some())
    }

    /// addrconf_dad_completed(), addrconf_dad_stop()
    fn dad_end(&mut self, key: Key, state: Option<bool>) {
        self.neighbours.dad.probes.remove(&key);
        // It may have been taken away meanwhile.
        if self.is_tentative(key) {
            self.routes.touch();
            self.interfaces
                .change(key.0, |i| i.set_tentative(key.1, state));
            let ended = &mut self.neighbours.dad.ended;
            if ended.len() < MAX_CHANGES {
                ended.push_back(key);
            }
        }
    }

    /// addrconf_dad_failure(): somebody has a tentative address, or wants it too. False for one that is not tentative.
    pub(super) fn dad_heard(&mut self, interface: IfIndex, addr: Ipv6Addr, doubted: bool) -> bool {
        let own = self.interface(interface);
        let Some(failed) = own.and_then(|i| i.tentative(IpAddr::from(addr))) else {
            return false;
        };
        if doubted && !failed {
            self.dad_end((interface, addr), Some(true));
            self.neigh_arm();
        }
        true
    }

    /// RFC 4862, 5.4.2: from nobody, to all who may have it.
    fn ndp_send_probe(&mut self, interface: IfIndex, target: Ipv6Addr) {
        let way = (
            IpAddr::from(Ipv6Addr::UNSPECIFIED),
            ndp::solicited_node(target),
        );
        self.ndp_ask(interface, way, target, None, None);
    }
}
