//! Which UDP socket gets a datagram.
//!
//! # Theory of operation
//! Two keyed hash tables, as in Linux: connected sockets by four-tuple (udp4_lib_lookup4), the others by local address
//! and port, first the address, then the wildcard (udp4_lib_lookup2). In a bucket the score decides (compute_score):
//! IPv4 socket before IPv6 socket, bound device before none; among equals the socket bound last, or the member of the
//! SO_REUSEPORT group that a keyed hash of the four-tuple names. So the cost of a lookup depends on the sockets that
//! share one address and port, not on all.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smallvec::SmallVec;

use crate::event::UdpId;
use crate::hash::{KeyedMap, KeyedState, reciprocal_scale};
use crate::iface::IfIndex;
use crate::ports::Family;

/// What of a socket counts when it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: UdpId,
    pub(crate) family: Family,
    pub(crate) device: Option<IfIndex>,
    pub(crate) reuse_port: bool,
    pub(crate) uid: u32,
}

/// How a socket is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) v6only: bool,
    pub(crate) candidate: Candidate,
}

type Local = (IpAddr, u16);
type List = SmallVec<[Candidate; 1]>;

#[derive(Debug)]
pub(crate) struct Demux {
    connected: KeyedMap<(Local, Local), List>,
    bound: KeyedMap<Local, List>,
    hash: KeyedState,
}

const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn pair(addr: SocketAddr) -> Local {
    (addr.ip(), addr.port())
}

impl Demux {
    pub(crate) fn new(hash: KeyedState) -> Demux {
        let (connected, bound) = (KeyedMap::with_hasher(hash), KeyedMap::with_hasher(hash));
        Demux {
            connected,
            bound,
            hash,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.connected.is_empty() && self.bound.is_empty()
    }

    pub(crate) fn insert(&mut self, registration: &Registration) {
        for (key, list) in Self::places(registration) {
            match list {
                Table::Connected(remote) => self.connected.entry((key, remote)).or_default(),
                Table::Bound => self.bound.entry(key).or_default(),
            }
            .push(registration.candidate);
        }
    }

    pub(crate) fn remove(&mut self, registration: &Registration) {
        fn take<K: core::hash::Hash + Eq>(map: &mut KeyedMap<K, List>, key: K, id: UdpId) {
            let Some(list) = map.get_mut(&key) else {
                return;
            };
            list.retain(|candidate| candidate.id != id);
            if list.is_empty() {
                map.remove(&key);
            }
        }
        let id = registration.candidate.id;
        for (key, list) in Self::places(registration) {
            match list {
                Table::Connected(remote) => take(&mut self.connected, (key, remote), id),
                Table::Bound => take(&mut self.bound, key, id),
            }
        }
    }

    /// A registered socket's candidate changed.
    pub(crate) fn update(&mut self, registration: &Registration) {
        let id = registration.candidate.id;
        for (key, list) in Self::places(registration) {
            let list = match list {
                Table::Connected(remote) => self.connected.get_mut(&(key, remote)),
                Table::Bound => self.bound.get_mut(&key),
            };
            let candidate = list.and_then(|list| list.iter_mut().find(|c| c.id == id));
            if let Some(candidate) = candidate {
                *candidate = registration.candidate;
            }
        }
    }

    /// The entries of a socket: one, or two for an IPv6 wildcard that takes IPv4 too.
    fn places(registration: &Registration) -> impl Iterator<Item = (Local, Table)> + use<> {
        let local = pair(registration.local);
        let first = match registration.remote {
            // A socket can be connected and have a wildcard address only when connect() found no source.
            Some(remote) if !local.0.is_unspecified() => Table::Connected(pair(remote)),
            _ => Table::Bound,
        };
        let dual = local.0 == ANY6 && !registration.v6only;
        let second = dual.then_some(((ANY4, local.1), Table::Bound));
        core::iter::once((local, first)).chain(second)
    }

    /// The socket for a datagram to one host.
    pub(crate) fn lookup(
        &self,
        interface: IfIndex,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> Option<UdpId> {
        let (remote, local) = (pair(remote), pair(local));
        // The common case of a host without connected sockets saves a hash.
        let connected = match self.connected.is_empty() {
            true => None,
            false => self.connected.get(&(local, remote)),
        };
        if let Some(id) = connected.and_then(|list| self.best(list, interface, remote, local)) {
            return Some(id);
        }
        let any = if local.0.is_ipv4() { ANY4 } else { ANY6 };
        [local, (any, local.1)]
            .iter()
            .find_map(|key| self.best(self.bound.get(key)?, interface, remote, local))
    }

    /// All sockets for a datagram to many (__udp4_lib_mcast_deliver).
    pub(crate) fn lookup_all(
        &self,
        interface: IfIndex,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> SmallVec<[UdpId; 4]> {
        let (remote, local) = (pair(remote), pair(local));
        let any = if local.0.is_ipv4() { ANY4 } else { ANY6 };
        let lists = [
            self.connected.get(&(local, remote)),
            self.bound.get(&local),
            self.bound.get(&(any, local.1)),
        ];
        let members = lists.into_iter().flatten().flat_map(|list| list.iter());
        members
            .filter(|c| c.hears(interface))
            .map(|c| c.id)
            .collect()
    }

    fn best(&self, list: &List, interface: IfIndex, remote: Local, local: Local) -> Option<UdpId> {
        // Newest first: Linux adds sockets at the head of the chain.
        let mut best: Option<(u8, &Candidate)> = None;
        for candidate in list.iter().rev().filter(|c| c.hears(interface)) {
            let score = candidate.score();
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, candidate));
            }
        }
        let (_, best) = best?;
        if !best.reuse_port || list.len() == 1 {
            return Some(best.id);
        }
        // inet_ehashfn over the four-tuple, then reuseport_select_sock.
        let hash = self.hash.hash_of((local, remote));
        let members = || list.iter().filter(|c| c.in_group_of(best));
        let count = members().count() as u32;
        let index = reciprocal_scale((hash >> 32) as u32 ^ hash as u32, count);
        members().nth(index as usize).map(|candidate| candidate.id)
    }
}

enum Table {
    Connected(Local),
    Bound,
}

impl Candidate {
    fn hears(&self, interface: IfIndex) -> bool {
        self.device.is_none_or(|device| device == interface)
    }

    fn score(&self) -> u8 {
        u8::from(self.family == Family::V4) + 4 * u8::from(self.device.is_some())
    }

    fn in_group_of(&self, best: &Candidate) -> bool {
        self.reuse_port
            && (self.family, self.device, self.uid) == (best.family, best.device, best.uid)
    }
}

#[cfg(test)]
mod tests;
