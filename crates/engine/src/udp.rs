//! UDP (RFC 768): sockets, sending, receiving, and the errors that come back; and the other datagram sockets of IP,
//! raw and ping sockets, which have no port but share the rest.
//!
//! # Theory of operation
//! A socket is unbound, bound or connected. Binding claims the port in `udp_ports` and registers the socket in the demux
//! tables; connecting registers it by four-tuple. Addresses are canonical throughout: an IPv4 peer of a dual-stack IPv6
//! socket appears with its IPv4 address, and the layer above maps it.
//!
//! # Limits
//! A datagram carries 65507 bytes over IPv4 and 65527 over IPv6. What does not fit the MTU
//! is cut (see `fragments`). The receive queue is bounded
//! by the receive buffer (see `queue`); sending is never held back, since `lo` delivers at once and other interfaces
//! drop when their queue is full, as Linux does.

mod bind;
mod demux;
mod filter;
mod input;
mod lite;
mod ping;
mod queue;
mod raw;
mod segment;
mod send;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::event::{EventKind, SocketHandle, UdpId};
use crate::filter::Filters;
use crate::hash::{KeyedMap, KeyedState, Random};
use crate::iface::IfIndex;
use crate::policy::Flow;
use crate::ports::{BindKey, BindTable, Family, STAND_IN, Transport};
use crate::route::{RouteError, RouteInfo, RouteKind};
use crate::stack::Stack;

use demux::{Candidate, Demux, Registration};
use queue::ReceiveQueue;
pub use queue::{UdpReceived, datagram_memory};
pub use raw::RawSettings;
pub use send::{UdpSend, UdpSendError};

/// An error that came back for a datagram sent earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpError {
    /// Nobody listens on the port.
    #[error("connection refused")]
    ConnectionRefused,
    /// The host cannot be reached.
    #[error("host is unreachable")]
    HostUnreachable,
    /// The network cannot be reached.
    #[error("network is unreachable")]
    NetUnreachable,
    /// The host does not speak UDP.
    #[error("protocol not available")]
    ProtocolUnreachable,
    /// The datagram exceeded the path's MTU.
    #[error("message too long")]
    MessageTooLong,
    /// A router found fault with the header.
    #[error("protocol error")]
    ParameterProblem,
    /// The host is down or unknown (ICMP code 7).
    #[error("host is down")]
    HostDown,
    /// The host is isolated (ICMP code 8).
    #[error("host is not on the network")]
    HostIsolated,
    /// Access is prohibited (ICMPv6 code 1 and kin).
    #[error("prohibited")]
    Prohibited,
}

/// An attribute of a socket that can change while it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpSet {
    /// SO_REUSEADDR.
    ReuseAddr(bool),
    /// SO_REUSEPORT.
    ReusePort(bool),
    /// SO_BINDTODEVICE.
    Device(Option<IfIndex>),
    /// SO_MARK, by which rules tell packets from others.
    Mark(u32),
    /// Whose socket it is, by which rules tell packets from others.
    Owner(u32),
    /// SO_RCVBUF as the kernel keeps it: twice what was asked for.
    ReceiveBuffer(u32),
    /// What counts against SO_RCVBUF besides the datagrams.
    ChargedBeside(u32),
    /// IP_PKTINFO or IPV6_RECVPKTINFO.
    PacketInfo(bool),
    /// UDP_GRO: batches are received as one.
    Gro(bool),
    /// UDP_NO_CHECK6_RX: datagrams over IPv6 without a checksum are taken.
    NoCheck6(bool),
    /// IP_FREEBIND, IP_TRANSPARENT: addresses that are not the host's may be bound.
    Nonlocal(bool),
    /// IP_LOCAL_PORT_RANGE: the lowest ephemeral port in the lower half, the highest in the upper one.
    PortRange(u32),
    /// IP_MULTICAST_ALL, IPV6_MULTICAST_ALL: packets to groups that somebody on this host is a member of.
    MulticastAll(Family, bool),
    /// IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP: members on this host get what the socket sends to a group.
    MulticastLoop(Family, bool),
    /// ICMP errors come as reports ([`Stack::poll_report`]), and none becomes the pending error.
    Reports(bool),
    /// SO_TIMESTAMP and kin: what comes in is stamped.
    Stamps(bool),
    /// SO_RXQ_OVFL.
    CountDrops(bool),
    /// SO_INCOMING_CPU names the host's only processor.
    PreferCpu(bool),
}

bitflags::bitflags! {
    /// What a socket keeps of each datagram that comes in, and of all of them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Notes: u8 {
        /// IP_PKTINFO or IPV6_RECVPKTINFO is set.
        const PACKET_INFO = 1 << 0;
        /// SO_TIMESTAMP or kin is set.
        const STAMPS = 1 << 1;
        /// SO_RXQ_OVFL is set.
        const DROPS = 1 << 2;
        /// A datagram of the peer has come in.
        const HEARD = 1 << 3;
        /// SO_INCOMING_CPU names the host's only processor.
        const PREFERS = 1 << 4;
    }
}

#[derive(Debug)]
pub(crate) struct UdpTable {
    sockets: slab::Slab<UdpSocket>,
    next_generation: u32,
    udp: Space,
    /// UDP-Lite's, once there was a socket of it.
    lite: Option<Box<Space>>,
    /// The raw sockets, by family and protocol, oldest first.
    raw: KeyedMap<(Family, u16), Vec<UdpId>>,
    /// The ping sockets that are bound, by identifier, oldest first.
    pings: KeyedMap<u16, Vec<UdpId>>,
    /// ping_port_rover: the identifier that was given last.
    last_ident: u16,
    hash: KeyedState,
}

/// The ports of one protocol, and who is behind them: UDP and UDP-Lite have each their own.
#[derive(Debug)]
struct Space {
    ports: BindTable,
    demux: Demux,
}

/// How a datagram is to go, as far as its sender says so; the rest is as the socket has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// From which address.
    pub src: Option<IpAddr>,
    /// By which interface.
    pub device: Option<IfIndex>,
    /// SO_MARK of a message of its own.
    pub mark: Option<u32>,
    /// Type of service or traffic class.
    pub tos: u8,
    /// To which port, in the host's byte order.
    pub port: u16,
}

/// What kind of datagram socket it is.
#[derive(Debug)]
enum Role {
    Udp,
    Lite(lite::Coverage),
    Raw(Box<raw::Raw>),
    Ping,
}

impl Role {
    /// What rules know of the ports of what the socket sends.
    fn ports(&self, own: u16, to: u16) -> (u16, u16) {
        match self {
            Role::Udp | Role::Lite(_) => (own, to),
            Role::Raw(_) | Role::Ping => (0, 0),
        }
    }
}

#[derive(Debug)]
struct UdpSocket {
    generation: u32,
    family: Family,
    role: Role,
    /// The claim to the port, while bound.
    key: Option<BindKey>,
    /// Local address and port; the address may be narrower than `key`'s, since connect(2) chooses one.
    local: SocketAddr,
    /// bind(2) named the address or the port, so disconnecting keeps it (SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK).
    addr_locked: bool,
    port_locked: bool,
    /// The socket had SO_REUSEPORT when it was bound; setting it later joins no group.
    grouped: bool,
    notes: Notes,
    /// UDP_GRO and UDP_NO_CHECK6_RX.
    gro: bool,
    no_check6: bool,
    /// IP_MULTICAST_ALL and IP_MULTICAST_LOOP, then IPv6's.
    multicast_all: [bool; 2],
    multicast_loop: [bool; 2],
    /// The layer above looks at ICMP errors itself.
    reports: bool,
    remote: Option<SocketAddr>,
    /// The last peer of an IPv6 socket, v4-mapped or not. __udp_disconnect leaves sk_v6_daddr as it is, so that the
    /// socket hears nobody else over IPv6 afterwards.
    former: Option<Ipv6Addr>,
    /// The way to `remote`, and the generation of the routes it was found with.
    route: Option<(u32, RouteInfo)>,
    attributes: Attributes,
    filters: Option<Box<Filters>>,
    queue: ReceiveQueue,
    error: Option<UdpError>,
}

/// What an implicit bind uses, and what `udp_set` changes.
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    v6only: bool,
    device: Option<IfIndex>,
    mark: u32,
    reuse_addr: bool,
    reuse_port: bool,
    uid: u32,
    nonlocal: bool,
    ports: u32,
}

impl UdpTable {
    pub(crate) fn new(hash: KeyedState, random: &mut Random) -> UdpTable {
        UdpTable {
            sockets: slab::Slab::new(),
            next_generation: 0,
            udp: Space::new(hash, random),
            lite: None,
            raw: KeyedMap::with_hasher(hash),
            pings: KeyedMap::with_hasher(hash),
            last_ident: 0,
            hash,
        }
    }

    /// Whether a packet may be for a raw socket.
    #[inline]
    pub(crate) fn has_raw(&self) -> bool {
        !self.raw.is_empty()
    }

    #[inline]
    fn get(&self, id: UdpId) -> Option<&UdpSocket> {
        self.sockets
            .get(id.index as usize)
            .filter(|socket| socket.generation == id.generation)
    }

    #[inline]
    fn get_mut(&mut self, id: UdpId) -> Option<&mut UdpSocket> {
        self.sockets
            .get_mut(id.index as usize)
            .filter(|socket| socket.generation == id.generation)
    }

    /// Every public call names a socket that was opened and not closed; anything else is the caller's bug.
    #[inline]
    #[track_caller]
    fn open(&self, id: UdpId) -> &UdpSocket {
        self.get(id).expect("a UdpId was used after udp_close")
    }

    #[inline]
    #[track_caller]
    fn open_mut(&mut self, id: UdpId) -> &mut UdpSocket {
        self.get_mut(id).expect("a UdpId was used after udp_close")
    }
}

impl Space {
    fn new(hash: KeyedState, random: &mut Random) -> Space {
        Space {
            ports: BindTable::new(Transport::Udp, hash, random),
            demux: Demux::new(hash),
        }
    }
}

impl UdpSocket {
    fn registration(&self, id: UdpId) -> Option<Registration> {
        let key = self.key.as_ref()?;
        let (remote, mut local) = (self.remote, self.local);
        if local.is_ipv6() && !local.ip().is_unspecified() && remote.is_some_and(|r| r.is_ipv4()) {
            local.set_ip(STAND_IN.into());
        }
        let &BindKey {
            family,
            device,
            uid,
            v6only,
            ..
        } = key;
        let candidate = Candidate {
            id,
            family,
            device,
            reuse_port: self.grouped,
            shares: self.attributes.reuse_port,
            prefers: self.notes.contains(Notes::PREFERS),
            selects: self.filters.as_ref().is_some_and(|f| f.group.is_some()),
            uid,
            only: self.former.filter(|_| remote.is_none()),
        };
        Some(Registration {
            local,
            remote,
            v6only,
            candidate,
        })
    }

    /// Its protocol, IPPROTO_*.
    fn protocol(&self) -> u8 {
        match (&self.role, self.family) {
            (Role::Udp, _) => 17,
            (Role::Lite(_), _) => 136,
            (Role::Raw(raw), _) => raw.protocol(),
            (Role::Ping, Family::V4) => 1,
            (Role::Ping, Family::V6) => 58,
        }
    }

    /// The source address that bind(2) or connect(2) fixed: not a wildcard, nor an address of many.
    fn fixed_source(&self) -> Option<IpAddr> {
        let addr = self.local.ip();
        let many = addr.is_multicast() || matches!(addr, IpAddr::V4(v4) if v4.is_broadcast());
        (!addr.is_unspecified() && !many).then_some(addr)
    }
}

fn any(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// All of these panic when `id` names a socket that was closed.
impl Stack {
    /// `socket(domain, SOCK_DGRAM, 0)`: a new socket, not bound.
    pub fn udp_open(&mut self, family: Family) -> UdpId {
        let generation = self.udp.next_generation;
        self.udp.next_generation = generation.wrapping_add(1);
        let attributes = Attributes {
            v6only: self.sysctl.bindv6only,
            ..Attributes::default()
        };
        let socket = UdpSocket {
            generation,
            family,
            role: Role::Udp,
            key: None,
            local: SocketAddr::new(any(family), 0),
            addr_locked: false,
            port_locked: false,
            grouped: false,
            gro: false,
            no_check6: false,
            // An IPv6 socket hears of IPv4's groups what it is a member of.
            multicast_all: [family == Family::V4, true],
            multicast_loop: [true; 2],
            reports: false,
            notes: Notes::empty(),
            remote: None,
            former: None,
            route: None,
            attributes,
            filters: None,
            queue: ReceiveQueue::new(self.sysctl.rmem_default),
            error: None,
        };
        UdpId {
            index: self.udp.sockets.insert(socket) as u32,
            generation,
        }
    }

    /// SO_BINDTODEVICE as it stands.
    pub fn udp_device(&self, id: UdpId) -> Option<IfIndex> {
        self.udp.open(id).attributes.device
    }

    /// `getsockname(fd, ...)`: local address and port; port 0 while unbound.
    pub fn udp_local(&self, id: UdpId) -> SocketAddr {
        self.udp.open(id).local
    }

    /// `getpeername(fd, ...)`: the peer of a connected socket.
    pub fn udp_peer(&self, id: UdpId) -> Option<SocketAddr> {
        self.udp.open(id).remote
    }

    /// Whether the socket is connected to a port of this host that nobody has, so that a datagram comes back as an error
    /// before the call that sent it is over.
    pub fn udp_peer_is_deaf(&self, id: UdpId) -> bool {
        let socket = self.udp.open(id);
        let (Some(remote), true) = (socket.remote, socket.has_port()) else {
            return false;
        };
        let here = self.interfaces.owner(remote.ip()).is_some();
        let (lite, local) = (socket.is_lite(), socket.local);
        here && (self.udp)
            .lookup(lite, IfIndex::LO, local, remote, None)
            .is_none()
    }

    /// How a datagram to `dst` would go, from the hints rather than what the socket has itself.
    pub fn udp_route(&self, id: UdpId, dst: IpAddr, hints: Way) -> Result<RouteInfo, RouteError> {
        let socket = self.udp.open(id);
        // An IPv6 address that an earlier connect(2) chose is no source for IPv4; one that bind(2) chose has another in
        // its place, unless the socket speaks IPv6 alone. The other way round there is none: the socket's one address
        // is v4-mapped.
        let no_v4 = |src: &IpAddr| src.is_ipv6() && dst.to_canonical().is_ipv4();
        let fixed = match socket.fixed_source() {
            Some(src) if no_v4(&src) && !socket.addr_locked => None,
            Some(src) if no_v4(&src) && !socket.attributes.v6only => Some(STAND_IN.into()),
            fixed => fixed,
        };
        let src = hints.src.or(fixed);
        // ip_route_output_key_hash: the unspecified destination is the source, and this host takes what goes there even
        // where the address is not its own (IP_TRANSPARENT, which the caller has asked for).
        if let (IpAddr::V4(to), Some(IpAddr::V4(from))) = (dst, src)
            && to.is_unspecified()
            && !self.is_local(from.into())
        {
            return Ok(RouteInfo {
                destination: from.into(),
                source: from.into(),
                mtu: self.interface(IfIndex::LO).map_or(0, |lo| lo.mtu()),
                interface: IfIndex::LO,
                next_hop: from.into(),
                kind: RouteKind::Local,
            });
        }
        self.route_of(&Flow {
            src,
            device: hints.device.or(socket.attributes.device),
            mark: hints.mark.unwrap_or(socket.attributes.mark),
            protocol: socket.protocol(),
            ports: socket.role.ports(socket.local.port(), hints.port),
            tos: hints.tos,
            uid: socket.attributes.uid,
            ..Flow::to(dst)
        })
    }

    /// `setsockopt(fd, ...)`: changes an attribute.
    pub fn udp_set(&mut self, id: UdpId, set: UdpSet) {
        let socket = self.udp.open_mut(id);
        let attributes = &mut socket.attributes;
        match set {
            UdpSet::ReuseAddr(on) => attributes.reuse_addr = on,
            UdpSet::ReusePort(on) => attributes.reuse_port = on,
            UdpSet::Device(device) => attributes.device = device,
            UdpSet::Owner(uid) => attributes.uid = uid,
            UdpSet::Mark(mark) => {
                attributes.mark = mark;
                socket.route = None;
                return;
            }
            UdpSet::ReceiveBuffer(bytes) => return socket.queue.set_limit(bytes),
            UdpSet::ChargedBeside(bytes) => return socket.queue.set_beside(bytes),
            UdpSet::PacketInfo(on) => return socket.notes.set(Notes::PACKET_INFO, on),
            UdpSet::Stamps(on) => return socket.notes.set(Notes::STAMPS, on),
            UdpSet::CountDrops(on) => return socket.notes.set(Notes::DROPS, on),
            UdpSet::PreferCpu(on) => socket.notes.set(Notes::PREFERS, on),
            UdpSet::Gro(on) => {
                socket.gro = on;
                return;
            }
            UdpSet::NoCheck6(on) => {
                socket.no_check6 = on;
                return;
            }
            UdpSet::Reports(on) => {
                socket.reports = on;
                return;
            }
            UdpSet::MulticastAll(family, on) => {
                socket.multicast_all[usize::from(family == Family::V6)] = on;
                return;
            }
            UdpSet::MulticastLoop(family, on) => {
                socket.multicast_loop[usize::from(family == Family::V6)] = on;
                return;
            }
            UdpSet::Nonlocal(on) => {
                attributes.nonlocal = on;
                return;
            }
            UdpSet::PortRange(range) => {
                attributes.ports = range;
                return;
            }
        }
        socket.route = None;
        let lite = socket.is_lite();
        if let Some(old) = socket.key {
            let Attributes {
                device,
                reuse_addr,
                reuse_port,
                uid,
                ..
            } = socket.attributes;
            let new = BindKey {
                uid,
                device,
                reuse_addr,
                reuse_port,
                ..old
            };
            socket.key = Some(new);
            self.udp.space_mut(lite).ports.replace(&old, new);
        }
        // The socket keeps its place among its equals: Linux does not hash it anew.
        if let Some(registration) = self.udp.open(id).registration(id) {
            self.udp.space_mut(lite).demux.update(&registration);
        }
    }

    /// The next datagram to the peer looks for its way again (dst_negative_advice).
    pub fn udp_forget_route(&mut self, id: UdpId) {
        self.udp.open_mut(id).route = None;
    }

    /// Whether a datagram of the peer has come in since this was last asked to be forgotten.
    pub fn udp_has_heard(&self, id: UdpId) -> bool {
        self.udp.open(id).notes.contains(Notes::HEARD)
    }

    /// Forgets that anything came in: see [`udp_has_heard`](Self::udp_has_heard).
    pub fn udp_forget_heard(&mut self, id: UdpId) {
        self.udp.open_mut(id).notes.remove(Notes::HEARD);
    }

    /// `recv(fd, ..., MSG_PEEK)`: the next datagram, which stays.
    #[inline]
    pub fn udp_peek(&self, id: UdpId) -> Option<&UdpReceived> {
        self.udp.open(id).queue.front()
    }

    /// All queued datagrams from the front (SO_PEEK_OFF and kin).
    pub fn udp_queue(&self, id: UdpId) -> impl Iterator<Item = &UdpReceived> {
        self.udp.open(id).queue.iter()
    }

    /// A reader has looked: what is queued now is their batch, and what comes later the next one (__skb_recv_udp).
    pub fn udp_batch(&mut self, id: UdpId) {
        self.udp.open_mut(id).queue.look();
    }

    /// A peek at an offset has shown the datagram at this place of the queue, which was empty.
    pub fn udp_mark_peeked(&mut self, id: UdpId, index: usize) {
        self.udp.open_mut(id).queue.mark_peeked(index);
    }

    /// `recv(fd, ...)`: takes the next datagram.
    #[inline]
    pub fn udp_pop(&mut self, id: UdpId) -> Option<UdpReceived> {
        let socket = self.udp.open_mut(id);
        let datagram = socket.queue.pop()?;
        // Linux counts what was read.
        match socket.role {
            Role::Udp => {
                self.counters.udp_in_datagrams += 1;
                self.counters.v6.udp_in_datagrams += u64::from(datagram.to.is_ipv6());
            }
            Role::Lite(_) => {
                self.counters.lite[usize::from(datagram.to.is_ipv6())].in_datagrams += 1;
            }
            _ => {}
        }
        Some(datagram)
    }

    /// A receive that could not hand the next datagram over, which is gone: UDP counts it as dropped.
    pub fn udp_lose(&mut self, id: UdpId) {
        let socket = self.udp.open_mut(id);
        if socket.queue.pop().is_some() && matches!(socket.role, Role::Udp) {
            socket.queue.drops = socket.queue.drops.wrapping_add(1);
            self.counters.udp_in_errors += 1;
        }
    }

    /// Memory charged for queued datagrams, as SO_MEMINFO shows it.
    pub fn udp_receive_memory(&self, id: UdpId) -> u32 {
        self.udp.open(id).queue.charged()
    }

    /// How many datagrams the socket dropped for want of memory.
    pub fn udp_drops(&self, id: UdpId) -> u32 {
        self.udp.open(id).queue.drops
    }

    /// SO_ERROR without taking it: the pending error.
    pub fn udp_error(&self, id: UdpId) -> Option<UdpError> {
        self.udp.open(id).error
    }

    /// SO_ERROR: takes the pending error.
    pub fn udp_take_error(&mut self, id: UdpId) -> Option<UdpError> {
        self.udp.open_mut(id).error.take()
    }

    /// `close(fd)`: forgets the socket and what it has queued.
    pub fn udp_close(&mut self, id: UdpId) {
        self.forget_groups(SocketHandle::Udp(id));
        self.udp_unhash(id);
        self.raw_unhash(id);
        self.ping_unhash(id);
        self.udp.sockets.remove(id.index as usize);
    }

    fn udp_event(&mut self, id: UdpId, kind: EventKind) {
        self.events.push_udp(id, kind);
    }
}

#[cfg(test)]
mod tests;
