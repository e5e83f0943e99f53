//! Which ports are taken: bind(2)'s conflict rules, which are Linux's, and ephemeral ports.
//!
//! # Theory of operation
//! One table per transport. A port's bucket holds its owners' attributes with a count of owners that share them (a
//! listener's million children are one entry), so the cost of a check grows with the number of *different* bindings of
//! a port only. The rules are those of inet_bind_conflict() for TCP and udp_lib_lport_inuse() for UDP.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr};

use smallvec::SmallVec;

use crate::hash::{KeyedMap, KeyedState, Random};
use crate::iface::IfIndex;

/// Which sockets exist: IPv4 ones and IPv6 ones. An IPv6 socket may speak IPv4 too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6.
    V6,
}

/// The ports that the host chooses from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    low: u16,
    high: u16,
    /// net.ipv4.ip_local_reserved_ports: of them only who names one gets it. In order, and apart.
    reserved: &'a [(u16, u16)],
}

impl<'a> Choice<'a> {
    pub(crate) const fn new(low: u16, high: u16, reserved: &'a [(u16, u16)]) -> Choice<'a> {
        Choice {
            low,
            high,
            reserved,
        }
    }

    /// inet_is_local_reserved_port.
    #[inline]
    fn is_reserved(&self, port: u16) -> bool {
        if self.reserved.is_empty() {
            return false;
        }
        let after = self.reserved.partition_point(|range| range.0 <= port);
        after > 0 && port <= self.reserved[after - 1].1
    }
}

impl From<(u16, u16)> for Choice<'_> {
    fn from((low, high): (u16, u16)) -> Self {
        Choice::new(low, high, &[])
    }
}

/// What bind(2) asks for.
///
/// `addr` is IPv4 for an IPv4 socket, and also for an IPv6 socket that binds an IPv4-mapped address (mapped addresses
/// may also be given as they are; the engine unmaps them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindRequest {
    /// The local address; unspecified for all.
    pub addr: IpAddr,
    /// The port; 0 for an ephemeral one.
    pub port: u16,
    /// The socket's family.
    pub family: Family,
    /// IPV6_V6ONLY, which bind(2) to an IPv6 address that is not the wildcard sets for good.
    pub v6only: bool,
    /// SO_BINDTODEVICE.
    pub device: Option<IfIndex>,
    /// SO_REUSEADDR.
    pub reuse_addr: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// The owner of the socket; SO_REUSEPORT works among sockets of one user.
    pub uid: u32,
}

/// Why bind(2) fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Another socket has the address.
    #[error("address already in use")]
    InUse,
    /// The address is not the host's.
    #[error("address is not local")]
    NotLocal,
    /// No ephemeral port is free.
    #[error("no free port")]
    PortsExhausted,
}

/// Whose rules a table follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// What the owner of a port is doing with it (TCP; UDP sockets are `Bound`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindState {
    Bound,
    Listening,
    TimeWait,
}

/// One owner's claim to a port. Owners with equal keys are counted, not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BindKey {
    pub(crate) addr: IpAddr,
    pub(crate) port: u16,
    pub(crate) family: Family,
    pub(crate) v6only: bool,
    pub(crate) device: Option<IfIndex>,
    pub(crate) reuse_addr: bool,
    pub(crate) reuse_port: bool,
    pub(crate) uid: u32,
    pub(crate) state: BindState,
    /// UDP tells its owners apart: 0 for TCP.
    pub(crate) stamp: u32,
}

/// What Linux writes for the IPv4 address of an IPv6 socket that has an IPv6 address (LOOPBACK4_IPV6). Where connect(2)
/// gave that, or a disconnect has left it, the socket meets IPv4 sockets with this one; where bind(2) did, IPv4 datagrams
/// leave from it.
pub(crate) const STAND_IN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

impl BindKey {
    pub(crate) fn new(request: &BindRequest, port: u16) -> BindKey {
        let &BindRequest {
            addr,
            port: _,
            family,
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
        } = request;
        let state = BindState::Bound;
        let addr = addr.to_canonical();
        BindKey {
            addr,
            port,
            family,
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
            state,
            stamp: 0,
        }
    }

    fn stands_in(&self, other: &BindKey, transport: Transport) -> bool {
        // TCP looks for an address among those of its family (inet_bhash2_conflict()), and for a wildcard among all.
        let by_name = transport == Transport::Udp && other.addr == STAND_IN;
        !self.v6only && other.family == Family::V4 && (other.addr.is_unspecified() || by_name)
    }

    /// Whether a packet could be for both (inet_rcv_saddr_equal, whose second socket this is).
    fn overlaps(&self, other: &BindKey, transport: Transport) -> bool {
        match (self.addr, other.addr) {
            // An IPv6 socket that was bound to an IPv4 address and disconnected may have set IPV6_V6ONLY since.
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                !(self.v6only && self.family == Family::V6)
                    && (a == b || a.is_unspecified() || b.is_unspecified())
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            // Only an IPv6 wildcard that takes IPv4 too meets an IPv4 address.
            (IpAddr::V6(a), IpAddr::V4(_)) => {
                a.is_unspecified() && !self.v6only || self.stands_in(other, transport)
            }
            (IpAddr::V4(_), IpAddr::V6(b)) => {
                b.is_unspecified() && !other.v6only || other.stands_in(self, transport)
            }
        }
    }

    /// sk_add_node_rcu(): such a socket goes to the end of a chain, others to its head.
    fn is_last_in_chain(&self) -> bool {
        self.reuse_port && self.family == Family::V6
    }

    fn shares_device(&self, other: &BindKey) -> bool {
        self.device.is_none() || other.device.is_none() || self.device == other.device
    }
}

#[derive(Debug, Default)]
struct Bucket {
    /// UDP's stand as in Linux's chain, whose head is the last of them.
    owners: SmallVec<[(BindKey, u32); 1]>,
    /// Only connect(2) has chosen this port so far, so it may choose it again for another peer (`fastreuse == -1`).
    connect_only: bool,
    /// TCP: the last one with SO_REUSEPORT that had to be compared with the owners (FASTREUSEPORT_STRICT). Who is like it
    /// gets the port without being compared, whatever has become of the owners' options.
    guide: Option<Box<BindKey>>,
}

/// The ports of one transport.
#[derive(Debug)]
pub(crate) struct BindTable {
    transport: Transport,
    buckets: KeyedMap<u16, Bucket>,
    last_stamp: u32,
    /// net.ipv4.ip_autobind_reuse.
    pub(crate) autobind_reuse: bool,
    /// Per destination class: how far connect(2) has gone through its ports (`table_perturb`).
    perturb: [u32; PERTURB],
}

/// Linux keeps 64 Ki; classes only make the sequence of one destination's ports harder to see from another.
const PERTURB: usize = 256;

impl BindTable {
    pub(crate) fn new(transport: Transport, hash: KeyedState, random: &mut Random) -> BindTable {
        let perturb = core::array::from_fn(|_| random.u32());
        BindTable {
            transport,
            buckets: KeyedMap::with_hasher(hash),
            last_stamp: 0,
            autobind_reuse: false,
            perturb,
        }
    }

    /// bind(2): claims the port asked for, or an ephemeral one out of `range`.
    pub(crate) fn bind<'a>(
        &mut self,
        request: &BindRequest,
        range: impl Into<Choice<'a>>,
        random: &mut Random,
    ) -> Result<BindKey, BindError> {
        self.bind_founder(request, range.into(), random, false)
    }

    /// [`bind`](Self::bind) of a socket that has founded a group already (`founded`), and so cannot share a port that
    /// another has; those that come later can share it with this one.
    pub(crate) fn bind_founder(
        &mut self,
        request: &BindRequest,
        range: Choice<'_>,
        random: &mut Random,
        founded: bool,
    ) -> Result<BindKey, BindError> {
        let own = request;
        let request = &BindRequest {
            reuse_port: own.reuse_port && !founded,
            ..*own
        };
        let mut fast = false;
        let port = if request.port != 0 {
            let key = BindKey::new(request, request.port);
            fast = self.is_like_the_guide(&key);
            if !fast && self.conflicts(&key, Strictness::Explicit) {
                return Err(BindError::InUse);
            }
            request.port
        } else {
            let port = match self.transport {
                Transport::Tcp => self.open_port_tcp(request, range, random).or_else(|| {
                    let shared = Strictness::Shared;
                    self.autobind_reuse
                        .then(|| self.open_port(request, range, random, shared))?
                }),
                Transport::Udp => self.open_port_udp(request, range, random),
            };
            port.ok_or(BindError::PortsExhausted)?
        };
        let mut key = BindKey::new(own, port);
        if self.transport == Transport::Udp {
            self.last_stamp = self.last_stamp.wrapping_add(1).max(1);
            key.stamp = self.last_stamp;
        }
        self.insert(key);
        self.guide(&key, fast);
        Ok(key)
    }

    /// sk_reuseport_match()
    fn is_like_the_guide(&self, key: &BindKey) -> bool {
        let bucket = self.buckets.get(&key.port);
        let guide = bucket.and_then(|bucket| bucket.guide.as_deref());
        let wild = key.addr.is_unspecified();
        key.reuse_port
            && guide.is_some_and(|guide| {
                let meets =
                    key.overlaps(guide, self.transport) && (!wild || guide.addr.is_unspecified());
                guide.uid == key.uid && meets
            })
    }

    /// inet_csk_update_fastreuse(): the socket has the port, `fast` or not.
    fn guide(&mut self, key: &BindKey, fast: bool) {
        if matches!(self.transport, Transport::Tcp)
            && let Some(bucket) = self.buckets.get_mut(&key.port)
        {
            if !key.reuse_port {
                bucket.guide = None;
            } else if !fast {
                bucket.guide = Some(Box::new(*key));
            }
        }
    }

    /// Whether no port is taken.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Adds an owner without a check: a child of a listener, or a state change.
    pub(crate) fn insert(&mut self, key: BindKey) {
        let bucket = self.buckets.entry(key.port).or_default();
        bucket.connect_only &= key.reuse_addr;
        if key.stamp != 0 && key.is_last_in_chain() {
            bucket.owners.insert(0, (key, 1));
        } else {
            bucket.insert(key);
        }
    }

    /// Removes an owner.
    pub(crate) fn remove(&mut self, key: &BindKey) {
        let hashbrown::hash_map::Entry::Occupied(mut bucket) = self.buckets.entry(key.port) else {
            debug_assert!(false, "port was not bound");
            return;
        };
        let owners = &mut bucket.get_mut().owners;
        if let Some(at) = owners.iter().position(|(owner, _)| owner == key) {
            owners[at].1 -= 1;
            if owners[at].1 == 0 && key.stamp != 0 {
                owners.remove(at);
            } else if owners[at].1 == 0 {
                owners.swap_remove(at);
            }
        } else {
            debug_assert!(false, "no such owner");
        }
        if owners.is_empty() {
            bucket.remove();
        }
    }

    /// An owner's attributes changed: an option was set, or its state.
    pub(crate) fn replace(&mut self, old: &BindKey, new: BindKey) {
        debug_assert_eq!(old.port, new.port);
        if let Some(bucket) = self.buckets.get_mut(&new.port) {
            if old.stamp != 0
                && let Some(owner) = bucket.owners.iter_mut().find(|(owner, _)| owner == old)
            {
                // It keeps its place.
                owner.0 = new;
                return;
            }
            bucket.insert(new);
            self.remove(old);
        }
    }

    /// listen(2): an owner wants to listen; the port is checked again (inet_csk_listen_start calls get_port).
    pub(crate) fn listen(&mut self, key: &mut BindKey, founded: bool) -> Result<(), BindError> {
        let listening = BindKey {
            state: BindState::Listening,
            ..*key
        };
        let asked = BindKey {
            // See `bind_founder`.
            reuse_port: key.reuse_port && !founded,
            ..listening
        };
        let old = *key;
        let fast = self.is_like_the_guide(&asked);
        if let Some(bucket) = self.buckets.get_mut(&key.port) {
            bucket.uncount(&old);
        }
        let conflict = !fast && self.conflicts(&asked, Strictness::Explicit);
        if let Some(bucket) = self.buckets.get_mut(&key.port) {
            bucket.insert(if conflict { old } else { listening });
        }
        if conflict {
            return Err(BindError::InUse);
        }
        self.guide(&listening, fast);
        *key = listening;
        Ok(())
    }

    /// connect(2) of an unbound TCP socket: chooses a port as __inet_hash_connect does.
    ///
    /// `offset` is a keyed hash of both addresses and the remote port (RFC 6056, algorithm 4). `unique` says whether
    /// the four-tuple with this port is free. Ports that bind(2) took are passed over.
    pub(crate) fn connect_port<'a>(
        &mut self,
        key: BindKey,
        range: impl Into<Choice<'a>>,
        offset: u64,
        mut unique: impl FnMut(u16) -> bool,
    ) -> Option<BindKey> {
        let range = range.into();
        let low = u32::from(range.low);
        let mut remaining = (u32::from(range.high) + 1).checked_sub(low)?;
        if remaining > 1 {
            remaining &= !1;
        }
        let class = offset as usize % PERTURB;
        let start = self.perturb[class].wrapping_add((offset >> 32) as u32) % remaining.max(1);
        // The first pass tries ports of `low`'s parity, bind(2) does the opposite, so that they stay apart.
        for parity in 0..2.min(remaining) {
            let start = (start & !1) + parity;
            for step in (0..remaining).step_by(2) {
                let port = (low + (start + step) % remaining) as u16;
                let free = match self.buckets.get(&port) {
                    _ if range.is_reserved(port) => false,
                    None => true,
                    Some(bucket) => bucket.connect_only && unique(port),
                };
                if !free {
                    continue;
                }
                self.perturb[class] = self.perturb[class].wrapping_add(step + 2);
                let bucket = self.buckets.entry(port).or_insert_with(|| Bucket {
                    connect_only: true,
                    ..Bucket::default()
                });
                let key = BindKey { port, ..key };
                bucket.insert(key);
                return Some(key);
            }
        }
        None
    }

    /// inet_csk_find_open_port: a random odd offset from the range's start, then the other parity. A socket with
    /// SO_REUSEADDR tries the lower half first.
    fn open_port_tcp(
        &self,
        request: &BindRequest,
        range: Choice<'_>,
        random: &mut Random,
    ) -> Option<u16> {
        self.open_port(request, range, random, Strictness::Ephemeral)
    }

    fn open_port(
        &self,
        request: &BindRequest,
        range: Choice<'_>,
        random: &mut Random,
        strictness: Strictness,
    ) -> Option<u16> {
        let Choice { low, high, .. } = range;
        let (low, high) = (u32::from(low), u32::from(high) + 1);
        let half = low + (high.saturating_sub(low) >> 2 << 1);
        let halves = request.reuse_addr && high.saturating_sub(low) >= 4;
        let spans = if halves {
            [(low, half), (half, high)]
        } else {
            [(low, high), (high, high)]
        };
        for (low, high) in spans {
            let mut remaining = high.saturating_sub(low);
            if remaining > 1 {
                remaining &= !1;
            }
            if remaining == 0 {
                continue;
            }
            let start = random.below(remaining) | 1;
            for start in [start, start - 1] {
                for step in (0..remaining).step_by(2) {
                    let port = (low + (start + step) % remaining) as u16;
                    if !range.is_reserved(port)
                        && !self.conflicts(&BindKey::new(request, port), strictness)
                    {
                        return Some(port);
                    }
                }
            }
        }
        None
    }

    /// udp_lib_get_port: any port of the range from a random one on.
    fn open_port_udp(
        &self,
        request: &BindRequest,
        range: Choice<'_>,
        random: &mut Random,
    ) -> Option<u16> {
        let Choice { low, high, .. } = range;
        let count = (u32::from(high) + 1).saturating_sub(u32::from(low));
        let start = random.below(count);
        (0..count)
            .map(|step| (u32::from(low) + (start + step) % count) as u16)
            .filter(|&port| !range.is_reserved(port))
            .find(|&port| !self.conflicts(&BindKey::new(request, port), Strictness::Ephemeral))
    }

    /// Whether the owners of the port forbid one more with this key.
    fn conflicts(&self, key: &BindKey, strictness: Strictness) -> bool {
        let Some(bucket) = self.buckets.get(&key.port) else {
            return false;
        };
        let mut met = bucket.owners.iter().rev().filter_map(|(owner, _)| {
            let meets = owner.shares_device(key) && owner.overlaps(key, self.transport);
            meets.then_some(owner)
        });
        match self.transport {
            Transport::Tcp => met.any(|owner| tcp_conflict(key, owner, strictness)),
            Transport::Udp => udp_conflict(key, met, strictness),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// The caller named the port: options may allow sharing it.
    Explicit,
    /// The kernel chooses the port: it shares none with a TCP socket.
    Ephemeral,
    /// The kernel chooses, every port is taken, and net.ipv4.ip_autobind_reuse lets it share one by SO_REUSEADDR.
    Shared,
}

/// inet_bind_conflict(), for owners whose device and address meet. Of its two switches `relax` is off in `Ephemeral`,
/// `reuseport_ok` on in `Explicit`.
fn tcp_conflict(new: &BindKey, owner: &BindKey, strictness: Strictness) -> bool {
    let same_user = owner.state == BindState::TimeWait || new.uid == owner.uid;
    let same_group = new.reuse_port && owner.reuse_port && same_user;
    if new.reuse_addr && owner.reuse_addr && owner.state != BindState::Listening {
        return match strictness {
            Strictness::Explicit => false,
            Strictness::Ephemeral => true,
            // Both could listen.
            Strictness::Shared => same_group,
        };
    }
    !(strictness == Strictness::Explicit && same_group)
}

/// udp_lib_lport_inuse(), for owners whose device and address meet: of those that do not share by SO_REUSEADDR the first
/// one decides over a port that was named.
fn udp_conflict<'a>(
    new: &BindKey,
    owners: impl Iterator<Item = &'a BindKey>,
    strictness: Strictness,
) -> bool {
    let mut owners = owners.filter(|owner| !(new.reuse_addr && owner.reuse_addr));
    let differs = |owner: &BindKey| !(new.reuse_port && owner.reuse_port && new.uid == owner.uid);
    match strictness {
        Strictness::Explicit => owners.next().is_some_and(differs),
        _ => owners.any(differs),
    }
}

impl Bucket {
    fn insert(&mut self, key: BindKey) {
        match self.owners.iter_mut().find(|(owner, _)| *owner == key) {
            Some((_, count)) => *count += 1,
            None => self.owners.push((key, 1)),
        }
    }

    /// Takes an owner out and leaves the bucket, which is about to get another.
    fn uncount(&mut self, key: &BindKey) {
        if let Some(at) = self.owners.iter().position(|(owner, _)| owner == key) {
            self.owners[at].1 -= 1;
            if self.owners[at].1 == 0 {
                self.owners.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
