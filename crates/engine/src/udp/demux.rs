//! Which UDP socket gets a datagram.
//!
//! # Theory of operation
//! Two keyed hash tables, as in Linux: connected sockets by four-tuple (udp4_lib_lookup4), the others by local address
//! and port, first the address, then the wildcard (udp4_lib_lookup2). In a bucket the score decides (compute_score):
//! IPv4 socket before IPv6 socket, bound device before none; among equals the socket bound last, or the member of the
//! SO_REUSEPORT group that a keyed hash of the four-tuple names. So the cost of a lookup depends on the sockets that
//! share one address and port, not on all.

use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use smallvec::SmallVec;

use crate::event::{SocketHandle, UdpId};
use crate::filter::Choice;
use crate::hash::{KeyedState, WordMap, WordState, prune, reciprocal_scale};
use crate::iface::IfIndex;
use crate::ports::Family;

/// What of a socket counts when it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: UdpId,
    pub(crate) family: Family,
    pub(crate) device: Option<IfIndex>,
    pub(crate) reuse_port: bool,
    /// It has SO_REUSEPORT still.
    pub(crate) shares: bool,
    /// Its group has a filter.
    pub(crate) selects: bool,
    pub(crate) uid: u32,
    /// SO_INCOMING_CPU names the host's only processor.
    pub(crate) prefers: bool,
    /// Hears only this host over IPv6.
    pub(crate) only: Option<Ipv6Addr>,
}

/// How a socket is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) v6only: bool,
    pub(crate) candidate: Candidate,
}

impl Registration {
    fn is_any_port(&self) -> bool {
        self.remote.is_some_and(|remote| remote.port() == 0)
    }
}

type List = SmallVec<[Candidate; 1]>;

/// Asks the filter of a group: one member, all of them in their order, and the hash.
pub(crate) type Choose<'a> = Option<&'a mut dyn FnMut(UdpId, &[SocketHandle], u32) -> Choice>;

#[derive(Debug)]
pub(crate) struct Demux {
    connected: WordMap<(Endpoint, Endpoint), List>,
    bound: WordMap<Endpoint, List>,
    /// How many sockets are connected to port 0: they hear every port of their peer's address.
    any_port: usize,
    hash: KeyedState,
}

/// An address, IPv4 mapped into IPv6, and a port: quick to compare and to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Endpoint {
    addr: u128,
    port: u16,
}

const MAPPED: u128 = 0xffff << 32;
const ANY4: u128 = MAPPED;
const ANY6: u128 = 0;

impl Endpoint {
    #[inline]
    fn new(addr: SocketAddr) -> Endpoint {
        let port = addr.port();
        let addr = match addr.ip() {
            IpAddr::V4(v4) => MAPPED | u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        Endpoint { addr, port }
    }

    #[inline]
    fn is_v4(self) -> bool {
        self.addr >> 32 == MAPPED >> 32
    }

    fn is_wildcard(self) -> bool {
        self.addr == ANY4 || self.addr == ANY6
    }

    /// The wildcard address of the same family and port.
    #[inline]
    fn wildcard(self) -> Endpoint {
        Endpoint {
            addr: if self.is_v4() { ANY4 } else { ANY6 },
            ..self
        }
    }
}

impl Hash for Endpoint {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64((self.addr as u32 as u64) << 16 | u64::from(self.port));
        if !self.is_v4() {
            hasher.write_u64((self.addr >> 32) as u64);
            hasher.write_u64((self.addr >> 64) as u64);
        }
    }
}

impl Demux {
    pub(crate) fn new(hash: KeyedState) -> Demux {
        let state = WordState::from(hash);
        let (connected, bound) = (WordMap::with_hasher(state), WordMap::with_hasher(state));
        Demux {
            connected,
            bound,
            any_port: 0,
            hash,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.connected.is_empty() && self.bound.is_empty()
    }

    pub(crate) fn insert(&mut self, registration: &Registration) {
        self.any_port += usize::from(registration.is_any_port());
        for (key, list) in Self::places(registration) {
            match list {
                Table::Connected(remote) => self.connected.entry((key, remote)).or_default(),
                Table::Bound => self.bound.entry(key).or_default(),
            }
            .push(registration.candidate);
        }
    }

    pub(crate) fn remove(&mut self, registration: &Registration) {
        let id = registration.candidate.id;
        let take = |list: &mut List| {
            let Some(at) = list.iter().position(|candidate| candidate.id == id) else {
                return;
            };
            // The last member of a group takes the place of one that leaves (reuseport_detach_sock).
            let gone = list[at];
            let last = list.iter().rposition(|c| c.in_group_of(&gone));
            match last.filter(|last| *last > at && gone.reuse_port) {
                Some(last) => list[at] = list.remove(last),
                None => drop(list.remove(at)),
            }
        };
        self.any_port -= usize::from(registration.is_any_port());
        for (key, list) in Self::places(registration) {
            match list {
                Table::Connected(remote) => prune(&mut self.connected, (key, remote), take),
                Table::Bound => prune(&mut self.bound, key, take),
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
    fn places(registration: &Registration) -> impl Iterator<Item = (Endpoint, Table)> + use<> {
        let local = Endpoint::new(registration.local);
        let first = match registration.remote {
            // A socket can be connected and have a wildcard address only when connect() found no source.
            Some(remote) if !local.is_wildcard() => Table::Connected(Endpoint::new(remote)),
            _ => Table::Bound,
        };
        // udp4's compute_score() takes no socket with IPV6_V6ONLY, whatever its address.
        let v6only = registration.v6only && registration.candidate.family == Family::V6;
        let never = v6only && registration.local.is_ipv4();
        let dual = local.addr == ANY6 && !v6only;
        let second = dual.then_some((
            Endpoint {
                addr: ANY4,
                ..local
            },
            Table::Bound,
        ));
        (!never).then_some((local, first)).into_iter().chain(second)
    }

    /// RFC 6437, 3: the label of a flow is a hash of it (ip6_make_flowlabel).
    pub(crate) fn flow_label(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        let hash = self
            .hash
            .hash_of((Endpoint::new(local), Endpoint::new(remote)));
        (hash ^ hash >> 32) as u32 & 0xf_ffff
    }

    /// The socket for a datagram to one host. `choose` asks the filter of a group.
    pub(crate) fn lookup(
        &self,
        interface: IfIndex,
        remote: SocketAddr,
        local: SocketAddr,
        mut choose: Choose<'_>,
    ) -> Option<UdpId> {
        let (remote, local) = (Endpoint::new(remote), Endpoint::new(local));
        // The common case of a host without connected sockets saves a hash.
        let connected = match self.connected.is_empty() {
            true => None,
            false => self.connected.get(&(local, remote)),
        };
        if let Some(found) =
            connected.and_then(|list| self.best(list, interface, remote, local, &mut choose))
        {
            return found;
        }
        if self.any_port > 0
            && let Some(list) = self.connected.get(&(local, Endpoint { port: 0, ..remote }))
        {
            return self
                .best(list, interface, remote, local, &mut choose)
                .flatten();
        }
        [local, local.wildcard()]
            .iter()
            .find_map(|key| self.best(self.bound.get(key)?, interface, remote, local, &mut choose))
            .flatten()
    }

    /// The members of a socket's SO_REUSEPORT group, itself among them, in their order.
    pub(crate) fn group(&self, registration: &Registration) -> SmallVec<[UdpId; 4]> {
        let of = &registration.candidate;
        let Some((key, place)) = Self::places(registration).next() else {
            return SmallVec::new();
        };
        let list = match place {
            Table::Connected(remote) => self.connected.get(&(key, remote)),
            Table::Bound => self.bound.get(&key),
        };
        let members = list.into_iter().flat_map(|list| list.iter());
        members
            .filter(|c| c.in_group_of(of))
            .map(|c| c.id)
            .collect()
    }

    /// All sockets for a datagram to many (__udp4_lib_mcast_deliver).
    pub(crate) fn lookup_all(
        &self,
        interface: IfIndex,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> SmallVec<[UdpId; 4]> {
        let (remote, local) = (Endpoint::new(remote), Endpoint::new(local));
        let lists = [
            self.connected.get(&(local, remote)),
            self.connected.get(&(local, Endpoint { port: 0, ..remote })),
            self.bound.get(&local),
            self.bound.get(&local.wildcard()),
        ];
        let members = lists.into_iter().flatten().flat_map(|list| list.iter());
        members
            .filter(|c| c.hears(interface, remote))
            .map(|c| c.id)
            .collect()
    }

    /// `None`: nobody there hears it; `Some(None)`: a filter has decided that nobody gets it.
    fn best(
        &self,
        list: &List,
        interface: IfIndex,
        remote: Endpoint,
        local: Endpoint,
        choose: &mut Choose<'_>,
    ) -> Option<Option<UdpId>> {
        // Newest first: Linux adds sockets at the head of the chain, but IPv6's with SO_REUSEPORT at its end.
        let at_end = |c: &Candidate| c.reuse_port && c.family == Family::V6;
        let head = list.iter().rev().filter(|c| !at_end(c));
        let chain = head.chain(list.iter().filter(|c| at_end(c)));
        let mut best: Option<(u8, &Candidate)> = None;
        for candidate in chain.filter(|c| c.hears(interface, remote)) {
            let score = candidate.score();
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, candidate));
            }
        }
        let (_, best) = best?;
        // inet_lookup_reuseport(): one that has turned it off gets what it finds by itself.
        if !best.reuse_port || !best.shares || (list.len() == 1 && !best.selects) {
            return Some(Some(best.id));
        }
        // inet_ehashfn over the four-tuple, then reuseport_select_sock.
        let hash = self.hash.hash_of((local, remote));
        let members = || list.iter().filter(|c| c.in_group_of(best));
        let count = members().count() as u32;
        let hash = (hash >> 32) as u32 ^ hash as u32;
        let mut index = reciprocal_scale(hash, count) as usize;
        // reuseport_select_sock_by_hash: from there on, the first one that asked for this processor.
        if let Some(at) = members().skip(index).position(|c| c.prefers) {
            index += at;
        } else if let Some(at) = members().position(|c| c.prefers) {
            index = at;
        }
        if best.selects
            && let Some(choose) = choose
        {
            let ids: SmallVec<[SocketHandle; 8]> =
                members().map(|c| SocketHandle::Udp(c.id)).collect();
            match choose(best.id, &ids, hash) {
                Choice::Hash => {}
                Choice::Member(chosen) if chosen >= ids.len() => {}
                Choice::Member(chosen) => index = chosen,
                Choice::Nobody => return Some(None),
            }
        }
        members().nth(index).map(|candidate| Some(candidate.id))
    }
}

enum Table {
    Connected(Endpoint),
    Bound,
}

impl Candidate {
    fn hears(&self, interface: IfIndex, remote: Endpoint) -> bool {
        self.device.is_none_or(|device| device == interface)
            && (remote.is_v4() || self.only.is_none_or(|only| only.to_bits() == remote.addr))
    }

    fn score(&self) -> u8 {
        u8::from(self.family == Family::V4)
            + u8::from(self.prefers)
            + 4 * u8::from(self.device.is_some())
    }

    fn in_group_of(&self, best: &Candidate) -> bool {
        self.reuse_port
            && (self.family, self.device, self.uid) == (best.family, best.device, best.uid)
    }
}

#[cfg(test)]
mod tests;
