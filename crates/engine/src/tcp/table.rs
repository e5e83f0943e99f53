//! All TCP sockets, requests and TIME_WAIT entries of a host, and how a segment finds its own.
//!
//! # Theory of operation
//! One slab holds everything that can own a timer or receive a segment; a [`TcpId`] is an index into it and a generation.
//! Connections (and requests, and TIME_WAIT entries) are found by a keyed hash of the four-tuple in a table of 4-byte
//! indexes. Listeners are found by port, then by score, as in Linux.
//!
//! # Limits
//! Orphans: tcp_max_orphans. TIME_WAIT: tcp_max_tw_buckets; beyond it a connection is forgotten at once.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;
use switchboard_wire::SeqNum;

use super::challenge::Challenges;
use super::connection::{Connection, FourTuple};
use super::fastopen::{Cookies, FastOpenKeys};
use super::listen::Request;
use super::time_wait::TimeWait;
use crate::event::{EventKind, SocketHandle, TcpId};
use crate::filter::{Choice, Described, Filters, GroupFilter};
use crate::hash::{KeyedMap, KeyedState, Random, sip_round};
use crate::iface::IfIndex;
use crate::policy::Flow;
use crate::ports::BindKey;
use crate::route::RouteInfo;
use crate::stack::Hint;
use crate::time::Instant;
use crate::timer::TimerId;

/// A socket and its place in the host.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) conn: Connection,
    /// Its claim to a port.
    pub(crate) bind: Option<BindKey>,
    /// bind(2) chose the address, or the port: they survive the connection (SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK).
    pub(crate) addr_locked: bool,
    pub(crate) port_locked: bool,
    /// In the connection table.
    pub(crate) hashed: bool,
    /// In `throttled`.
    pub(crate) throttled: bool,
    pub(crate) v6only: bool,
    pub(crate) reuse_addr: bool,
    pub(crate) reuse_port: bool,
    /// SO_INCOMING_CPU names the host's only processor.
    pub(crate) prefers_cpu: bool,
    pub(crate) device: Option<IfIndex>,
    pub(crate) mark: u32,
    pub(crate) uid: u32,
    pub(crate) filters: Option<Box<Filters>>,
    /// The way to the peer, and the generation of the routes it was found with.
    pub(crate) route: Option<RouteInfo>,
    pub(crate) route_generation: u32,
    /// Of a passive connection the hop limit of the segment that made it; else 0.
    pub(crate) hops: u8,
    /// The place of the other end, when it was last on this host: a [`Hint`].
    pub(crate) peer: u32,
    /// Events that nobody has taken yet.
    pub(crate) pending: EventKind,
    /// What the layer above calls it, or [`NAMELESS`].
    pub(crate) name: u64,
}

/// IPPROTO_TCP
const TCP: u8 = 6;

impl Socket {
    /// What rules look at in a packet of the socket's to `dst`, but for address and ports.
    pub(crate) fn flow(&self, dst: IpAddr) -> Flow {
        Flow {
            device: self.device,
            mark: self.mark,
            protocol: TCP,
            tos: self.conn.opts.tos_of(dst.is_ipv6()),
            uid: self.uid,
            ..Flow::to(dst)
        }
    }
}

/// How the segment came that made a passive connection (mc_index and mc_ttl, mcast_oif and mcast_hops).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// By which interface.
    pub interface: IfIndex,
    /// With which hop limit.
    pub hops: u8,
    /// In a packet of IPv6.
    pub v6: bool,
}

/// The name of a socket that has none.
pub(crate) const NAMELESS: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) enum Kind {
    Socket(Box<Socket>),
    Request(Box<Request>),
    TimeWait(Box<TimeWait>),
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) generation: u32,
    pub(crate) timer: Option<TimerId>,
    /// What the timer is set to.
    pub(crate) armed: Instant,
    pub(crate) kind: Kind,
}

/// Asks the filter of a group: the members in their order, the hash, and the listener that was found.
pub(crate) type Choose<'a> =
    Option<&'a mut dyn FnMut(&dyn GroupFilter, &[SocketHandle], u32, Described) -> Choice>;

/// The TCP part of a stack.
#[derive(Debug)]
pub(crate) struct TcpTable {
    pub(crate) entries: Slab<Entry>,
    connections: HashTable<u32>,
    listeners: KeyedMap<u16, Vec<u32>>,
    hash: Key,
    /// For initial sequence numbers, timestamps and port choice: each its own key.
    isn_key: Key,
    ts_key: Key,
    port_key: Key,
    /// Those of SYN cookies, from the first flood on.
    pub(crate) cookie_keys: Option<super::syncookies::CookieKeys>,
    next_generation: u32,
    /// The SO_REUSEPORT group that was founded last.
    pub(super) last_group: u32,
    /// Connections that wait for room in the transmit queue.
    pub(crate) throttled: VecDeque<TcpId>,
    pub(crate) orphans: u32,
    pub(crate) time_waits: u32,
    pub(super) challenges: Challenges,
    /// Some socket has had a key (TCP_MD5SIG).
    pub(super) signs: bool,
    /// Fast Open: what servers gave, and the host's own keys.
    pub(super) cookies: Cookies,
    pub(super) fastopen_keys: Option<FastOpenKeys>,
}

impl TcpTable {
    pub(crate) fn new(hash: KeyedState, random: &mut Random) -> TcpTable {
        let cookies = Cookies::new(hash);
        TcpTable {
            entries: Slab::new(),
            connections: HashTable::new(),
            listeners: KeyedMap::with_hasher(hash),
            hash: Key::new(random),
            isn_key: Key::new(random),
            ts_key: Key::new(random),
            port_key: Key::new(random),
            cookie_keys: None,
            next_generation: 1,
            last_group: 0,
            throttled: VecDeque::new(),
            orphans: 0,
            signs: false,
            challenges: Challenges::default(),
            time_waits: 0,
            cookies,
            fastopen_keys: None,
        }
    }

    pub(crate) fn insert(&mut self, kind: Kind) -> TcpId {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1).max(1);
        let entry = Entry {
            generation,
            timer: None,
            armed: Instant::MAX,
            kind,
        };
        TcpId {
            index: self.entries.insert(entry) as u32,
            generation,
        }
    }

    pub(crate) fn id_at(&self, index: u32) -> TcpId {
        let generation = self.entries.get(index as usize).map_or(0, |e| e.generation);
        TcpId { index, generation }
    }

    /// Whether the entry that `id` names is still there.
    #[inline]
    pub(crate) fn is_current(&self, id: TcpId) -> bool {
        self.entries
            .get(id.index as usize)
            .is_some_and(|e| e.generation == id.generation)
    }

    /// The socket, if there is one of this name.
    #[inline]
    pub(crate) fn get(&self, id: TcpId) -> Option<&Socket> {
        match self.entries.get(id.index as usize) {
            Some(Entry {
                generation,
                kind: Kind::Socket(socket),
                ..
            }) if *generation == id.generation => Some(socket),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: TcpId) -> Option<&mut Socket> {
        match self.entries.get_mut(id.index as usize) {
            Some(Entry {
                generation,
                kind: Kind::Socket(socket),
                ..
            }) if *generation == id.generation => Some(socket),
            _ => None,
        }
    }

    /// An open socket. The layer above owns the handle from `tcp_open` or `tcp_accept` to `tcp_close`.
    ///
    /// # Panics
    /// When the handle was closed: a bug of the caller.
    #[inline]
    pub(crate) fn open(&self, id: TcpId) -> &Socket {
        self.get(id).expect("TCP handle used after tcp_close")
    }

    #[inline]
    pub(crate) fn open_mut(&mut self, id: TcpId) -> &mut Socket {
        self.get_mut(id).expect("TCP handle used after tcp_close")
    }

    /// The events of a socket, all of them in one; none when it is gone.
    #[inline]
    pub(crate) fn take_events(&mut self, id: TcpId) -> EventKind {
        self.get_mut(id).map_or(EventKind::empty(), |socket| {
            core::mem::take(&mut socket.pending)
        })
    }

    // The connection table.

    #[inline]
    fn hash_tuple(key: &Key, tuple: &FourTuple) -> u64 {
        let ports = u64::from(tuple.local_port) << 16 | u64::from(tuple.remote_port);
        match (tuple.local, tuple.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                let pair = u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits());
                key.hash(&[pair, ports])
            }
            (local, remote) => {
                let (local, remote) = (words(local), words(remote));
                key.hash(&[local.0, local.1, remote.0, remote.1, ports])
            }
        }
    }

    #[inline]
    fn tuple_at(entries: &Slab<Entry>, index: u32) -> Option<&FourTuple> {
        Some(match &entries.get(index as usize)?.kind {
            Kind::Socket(socket) => &socket.conn.tuple,
            Kind::Request(request) => &request.tuple,
            Kind::TimeWait(time_wait) => &time_wait.tuple,
        })
    }

    /// The entry with exactly this four-tuple.
    #[inline]
    pub(crate) fn find(&self, tuple: &FourTuple) -> Option<u32> {
        let hash = Self::hash_tuple(&self.hash, tuple);
        self.connections
            .find(hash, |&index| {
                Self::tuple_at(&self.entries, index) == Some(tuple)
            })
            .copied()
    }

    /// [`find`](Self::find) for a segment that may come from a socket of this host: the two remember each other's place.
    #[inline]
    pub(crate) fn find_hinted(&mut self, hint: Hint, tuple: &FourTuple) -> Option<u32> {
        if let Some(entry) = self.entries.get(hint.to as usize)
            && let Kind::Socket(socket) = &entry.kind
            && socket.hashed
            && socket.conn.tuple == *tuple
        {
            return Some(hint.to);
        }
        let found = self.find(tuple)?;
        if let Some(entry) = self.entries.get_mut(hint.from as usize)
            && let Kind::Socket(socket) = &mut entry.kind
        {
            socket.peer = found;
        }
        Some(found)
    }

    /// Makes the entry findable by its four-tuple.
    pub(crate) fn hash_in(&mut self, index: u32) {
        let TcpTable {
            entries,
            connections,
            hash,
            ..
        } = self;
        let Some(tuple) = Self::tuple_at(entries, index) else {
            return;
        };
        connections.insert_unique(Self::hash_tuple(hash, tuple), index, |&index| {
            Self::tuple_at(entries, index).map_or(0, |tuple| Self::hash_tuple(hash, tuple))
        });
    }

    pub(crate) fn hash_out(&mut self, index: u32) {
        let Some(tuple) = Self::tuple_at(&self.entries, index) else {
            return;
        };
        let hash = Self::hash_tuple(&self.hash, tuple);
        if let Ok(found) = self.connections.find_entry(hash, |&at| at == index) {
            found.remove();
        }
    }

    /// Number of connections, requests and TIME_WAIT entries.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    // Listeners.

    pub(crate) fn add_listener(&mut self, port: u16, id: TcpId) {
        self.listeners.entry(port).or_default().push(id.index);
    }

    pub(crate) fn remove_listener(&mut self, port: u16, id: TcpId) {
        let entries = &self.entries;
        let group = |index: u32| match &entries.get(index as usize)?.kind {
            Kind::Socket(s) if s.reuse_port => {
                Some((s.conn.tuple.local, s.conn.family, s.device, s.uid))
            }
            _ => None,
        };
        if let Some(list) = self.listeners.get_mut(&port) {
            let Some(at) = list.iter().position(|&index| index == id.index) else {
                return;
            };
            // The last member of a group takes the place of one that leaves (reuseport_detach_sock).
            let own = group(id.index);
            let last = list.iter().rposition(|&index| group(index) == own);
            match last.filter(|last| *last > at && own.is_some()) {
                Some(last) => list[at] = list.remove(last),
                None => drop(list.remove(at)),
            }
            if list.is_empty() {
                self.listeners.remove(&port);
            }
        }
    }

    /// The listener for a SYN: an exact address before a wildcard, a device before none, IPv4 before dual-stack IPv6
    /// (compute_score); among the equal ones of a SO_REUSEPORT group, by hash of the four-tuple.
    pub(crate) fn find_listener(
        &self,
        tuple: &FourTuple,
        interface: IfIndex,
        choose: Choose<'_>,
    ) -> Option<TcpId> {
        let list = self.listeners.get(&tuple.local_port)?;
        let score = |index: u32| -> Option<(u32, bool)> {
            let Kind::Socket(socket) = &self.entries.get(index as usize)?.kind else {
                return None;
            };
            let bound = socket.bind.as_ref()?;
            let v4 = tuple.local.is_ipv4();
            let mut score = 1 + u32::from(socket.prefers_cpu);
            match bound.addr {
                addr if addr == tuple.local => score += 16,
                IpAddr::V4(addr) if addr.is_unspecified() && v4 => {}
                IpAddr::V6(addr) if addr.is_unspecified() && !(v4 && socket.v6only) => {}
                _ => return None,
            }
            match socket.device {
                Some(device) if device == interface => score += 8,
                Some(_) => return None,
                None => {}
            }
            if v4 && matches!(bound.addr, IpAddr::V4(_)) {
                score += 4;
            }
            Some((score, socket.reuse_port))
        };
        let mut best: Option<(u32, bool, u32)> = None;
        let mut group = 0;
        for &index in list {
            let Some((score, reuse)) = score(index) else {
                continue;
            };
            match best {
                Some((top, _, _)) if score < top => {}
                Some((top, true, _)) if score == top && reuse => group += 1,
                // Equal and without a group: the first one stays.
                Some((top, _, _)) if score == top => {}
                _ => {
                    best = Some((score, reuse, index));
                    group = 1;
                }
            }
        }
        let (top, reuse, mut index) = best?;
        let filter = self.group_filter(index).filter(|_| reuse);
        if (reuse && group > 1) || filter.is_some() {
            let hash = Self::hash_tuple(&self.port_key, tuple) as u32;
            let mut pick = crate::hash::reciprocal_scale(hash, group) as usize;
            let members = || {
                list.iter()
                    .copied()
                    .filter(|&index| score(index) == Some((top, true)))
            };
            if let (Some(filter), Some(choose)) = (filter, choose) {
                let ids: SmallVec<[SocketHandle; 8]> = members()
                    .map(|index| SocketHandle::Tcp(self.id_at(index)))
                    .collect();
                let found = match &self.entries.get(index as usize)?.kind {
                    Kind::Socket(socket) => socket.described(),
                    _ => return None,
                };
                match choose(filter, &ids, hash, found) {
                    Choice::Hash => {}
                    Choice::Member(chosen) if chosen >= ids.len() => {}
                    Choice::Member(chosen) => pick = chosen,
                    Choice::Nobody => return None,
                }
            }
            index = members().nth(pick)?;
        }
        Some(self.id_at(index))
    }

    /// The listeners of a listener's SO_REUSEPORT group, itself among them, in their order.
    pub(crate) fn group(&self, id: TcpId) -> SmallVec<[TcpId; 4]> {
        let key = |id: TcpId| {
            let s = self.get(id).filter(|s| s.reuse_port)?;
            Some((s.conn.tuple.local, s.conn.family, s.device, s.uid))
        };
        let (Some(own), Some(socket)) = (key(id), self.get(id)) else {
            return SmallVec::new();
        };
        let list = self.listeners.get(&socket.conn.tuple.local_port);
        let listeners = list.into_iter().flatten().map(|&index| self.id_at(index));
        listeners.filter(|other| key(*other) == Some(own)).collect()
    }

    /// The listeners of a group, in their order.
    pub(super) fn members(&self, port: u16, group: u32) -> SmallVec<[TcpId; 4]> {
        let list = self.listeners.get(&port);
        let listeners = list.into_iter().flatten().map(|&index| self.id_at(index));
        let of = |id: &TcpId| {
            let listener = self.get(*id).and_then(|s| s.conn.listener.as_ref());
            listener.is_some_and(|listener| listener.group == group)
        };
        listeners.filter(of).collect()
    }

    fn group_filter(&self, index: u32) -> Option<&dyn GroupFilter> {
        match &self.entries.get(index as usize)?.kind {
            Kind::Socket(socket) => socket.filters.as_ref()?.group.as_deref(),
            _ => None,
        }
    }

    /// Whether a socket has a filter of either kind.
    #[inline]
    pub(crate) fn has_filter(&self, id: TcpId) -> bool {
        self.get(id).is_some_and(|socket| socket.filters.is_some())
    }

    /// The hash of a flow, as a sender has one (sk_txhash).
    pub(crate) fn flow_hash(&self, tuple: &FourTuple) -> u32 {
        (Self::hash_tuple(&self.port_key, tuple) as u32).max(1)
    }

    // Keyed choices.

    /// RFC 6528: a clock (64 ns a tick, as Linux) and a keyed hash of the four-tuple.
    pub(crate) fn initial_sequence(&self, now: Instant, tuple: &FourTuple) -> SeqNum {
        let hash = Self::hash_tuple(&self.isn_key, tuple) as u32;
        SeqNum(hash.wrapping_add((now.as_nanos() >> 6) as u32))
    }

    /// RFC 7323, 7.1: the timestamp clock's start, one per pair of hosts.
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        let pair = FourTuple {
            local_port: 0,
            remote_port: 0,
            ..*tuple
        };
        Self::hash_tuple(&self.ts_key, &pair) as u32
    }

    /// RFC 6056, algorithm 4: where connect(2) begins to look for a port.
    pub(crate) fn port_offset(&self, local: IpAddr, remote: IpAddr, remote_port: u16) -> u64 {
        let tuple = FourTuple {
            local,
            remote,
            local_port: 0,
            remote_port,
        };
        Self::hash_tuple(&self.port_key, &tuple)
    }
}

fn words(addr: IpAddr) -> (u64, u64) {
    let bits = match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    };
    ((bits >> 64) as u64, bits as u64)
}

/// SipHash-1-3 over whole words, as Linux's siphash_2u64 and kin (which are SipHash-2-4): the general hasher spends more
/// time on its buffer than on its rounds, and this runs once for each segment.
#[derive(Clone, Copy)]
pub(super) struct Key(u64, u64);

impl Key {
    pub(super) const fn from_words(a: u64, b: u64) -> Key {
        Key(a, b)
    }

    pub(super) fn hash_addrs(&self, a: IpAddr, b: IpAddr) -> u64 {
        let ((a0, a1), (b0, b1)) = (words(a), words(b));
        self.hash(&[a0, a1, b0, b1])
    }

    pub(super) fn new(random: &mut Random) -> Key {
        let mut word = || u64::from(random.u32()) << 32 | u64::from(random.u32());
        Key(word(), word())
    }

    #[inline]
    pub(super) fn hash(&self, words: &[u64]) -> u64 {
        let mut v = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        for &word in words {
            v[3] ^= word;
            sip_round(&mut v);
            v[0] ^= word;
        }
        let last = (words.len() as u64 * 8) << 56;
        v[3] ^= last;
        sip_round(&mut v);
        v[0] ^= last;
        v[2] ^= 0xff;
        sip_round(&mut v);
        sip_round(&mut v);
        sip_round(&mut v);
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

impl core::fmt::Debug for Key {
    /// The key stays secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests;
