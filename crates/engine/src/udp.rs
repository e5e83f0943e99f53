//! UDP (RFC 768): sockets, sending, receiving, and the errors that come back; and the other datagram sockets of IP,
//! raw and ping sockets, which have no port but share the rest.
//!
//! # Theory of operation
//! A socket is unbound, bound or connected. Binding claims the port in `udp_ports` and registers the socket in the demux
//! tables; connecting registers it by four-tuple. Addresses are canonical throughout: an IPv4 peer of a dual-stack IPv6
//! socket appears with its IPv4 address, and the layer above maps it.
//!
//! # Limits
//! A datagram carries 65507 bytes over IPv4 and 65527 over IPv6. There is no fragmentation yet: what does not fit the
//! MTU of an interface other than `lo` is refused with [`UdpSendError::TooBig`], where Linux would fragment it. The receive queue is bounded
//! by the receive buffer (see `queue`); sending is never held back, since `lo` delivers at once and other interfaces
//! drop when their queue is full, as Linux does.

mod demux;
mod filter;
mod input;
mod ping;
mod queue;
mod raw;
mod segment;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use switchboard_wire::{Body, IpHeader, Packet, Payload, UdpDatagram};

use crate::event::{EventKind, SocketHandle, UdpId};
use crate::filter::Filters;
use crate::hash::{KeyedMap, KeyedState};
use crate::iface::IfIndex;
use crate::ports::{BindError, BindKey, BindRequest, Family};
use crate::route::{RouteError, RouteInfo, RouteKind};
use crate::stack::Stack;
use crate::tag::Tag;
use crate::time::Instant;

use demux::{Candidate, Demux, Registration};
use queue::ReceiveQueue;
pub use queue::UdpReceived;
pub use raw::RawSettings;

/// A datagram to send.
#[derive(Clone, Debug)]
pub struct UdpSend {
    /// Where to.
    pub dst: SocketAddr,
    /// From which address, instead of the socket's or the route's (IP_PKTINFO).
    pub src: Option<IpAddr>,
    /// By which interface, instead of the socket's or the route's (the index of IP_PKTINFO).
    pub device: Option<IfIndex>,
    /// Type of service or traffic class, instead of 0.
    pub tos: Option<u8>,
    /// Time to live or hop limit, instead of the host's default (1 for groups).
    pub ttl: Option<u8>,
    /// What marks it on this host.
    pub tag: Tag,
    /// The flow label of an IPv6 datagram; `None` has it made of addresses and ports (RFC 6437).
    pub flow_label: Option<u32>,
    /// The data.
    pub payload: Payload,
    /// Not 0: the data is that of datagrams of this size each (UDP_SEGMENT).
    pub segment: u16,
    /// Without a checksum (UDP_NO_CHECK6_TX).
    pub unsummed: bool,
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpSendError {
    /// No route leads to the destination.
    #[error("network is unreachable")]
    NoRoute,
    /// The destination is of the other family than the socket or its source.
    #[error("wrong address family")]
    WrongFamily,
    /// Too long for UDP, or for the path.
    #[error("message too long")]
    TooBig,
    /// The socket could not be bound to a port first.
    #[error("no free port")]
    PortsExhausted,
}

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
    /// SO_RCVBUF as the kernel keeps it: twice what was asked for.
    ReceiveBuffer(u32),
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
    demux: Demux,
    /// The raw sockets, by family and protocol, oldest first.
    raw: KeyedMap<(Family, u16), Vec<UdpId>>,
    /// The ping sockets that are bound, by identifier, oldest first.
    pings: KeyedMap<u16, Vec<UdpId>>,
    /// ping_port_rover: the identifier that was given last.
    last_ident: u16,
}

/// What kind of datagram socket it is.
#[derive(Debug)]
enum Role {
    Udp,
    Raw(Box<raw::Raw>),
    Ping,
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
    reuse_addr: bool,
    reuse_port: bool,
    uid: u32,
    nonlocal: bool,
    ports: u32,
}

impl UdpTable {
    pub(crate) fn new(hash: KeyedState) -> UdpTable {
        UdpTable {
            sockets: slab::Slab::new(),
            next_generation: 0,
            demux: Demux::new(hash),
            raw: KeyedMap::with_hasher(hash),
            pings: KeyedMap::with_hasher(hash),
            last_ident: 0,
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

impl UdpSocket {
    fn registration(&self, id: UdpId) -> Option<Registration> {
        let key = self.key.as_ref()?;
        let (remote, local) = (self.remote, self.local);
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

    /// `bind(fd, addr, len)`: claims an address and a port. A socket that is bound already is bound anew.
    pub fn udp_bind(&mut self, id: UdpId, request: BindRequest) -> Result<SocketAddr, BindError> {
        let addr = request.addr.to_canonical();
        let many = addr.is_multicast()
            || matches!(addr, IpAddr::V4(v4) if self.interfaces.is_broadcast(v4));
        let bindable = addr.is_unspecified() || many || self.interfaces.owner(addr).is_some();
        let Attributes {
            nonlocal, ports, ..
        } = self.udp.open(id).attributes;
        if !bindable && !nonlocal && !self.sysctl.nonlocal_bind(request.addr) {
            return Err(BindError::NotLocal);
        }
        match self.udp.open(id).role {
            Role::Udp => {}
            Role::Raw(_) => return self.raw_bind(id, &request),
            Role::Ping => return self.ping_bind(id, &request),
        }
        self.udp_unhash(id);
        let range = self.sysctl.local_ports(ports);
        let founded = Filters::group_of(&self.udp.open(id).filters).is_some();
        let bound = self
            .udp_ports
            .bind_founder(&request, range, &mut self.random, founded);
        let key = bound.inspect_err(|_| {
            // inet_bind: an address that was kept is gone by then.
            let socket = self.udp.open_mut(id);
            socket.local = SocketAddr::new(any(socket.family), 0);
            socket.addr_locked = false;
        })?;
        let BindRequest {
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
            ..
        } = request;
        let socket = self.udp.open_mut(id);
        socket.attributes = Attributes {
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
            nonlocal,
            ports,
        };
        socket.key = Some(key);
        socket.grouped = reuse_port;
        socket.local = SocketAddr::new(addr, key.port);
        socket.addr_locked = !addr.is_unspecified();
        socket.port_locked = request.port != 0;
        self.udp_hash(id);
        Ok(self.udp.open(id).local)
    }

    /// `bind(fd, addr, len)` with IP_BIND_ADDRESS_NO_PORT: the address without a port, which connect(2) or the first
    /// datagram brings.
    pub fn udp_bind_address(&mut self, id: UdpId, addr: IpAddr) -> Result<(), BindError> {
        let addr = addr.to_canonical();
        let nonlocal = self.udp.open(id).attributes.nonlocal || self.sysctl.nonlocal_bind(addr);
        let many = addr.is_multicast()
            || matches!(addr, IpAddr::V4(v4) if self.interfaces.is_broadcast(v4));
        let here = addr.is_unspecified() || many || self.interfaces.owner(addr).is_some();
        if !here && !nonlocal {
            return Err(BindError::NotLocal);
        }
        self.udp_unhash(id);
        let socket = self.udp.open_mut(id);
        socket.local = SocketAddr::new(addr, 0);
        socket.addr_locked = !addr.is_unspecified();
        socket.port_locked = false;
        Ok(())
    }

    /// SO_BINDTODEVICE as it stands.
    pub fn udp_device(&self, id: UdpId) -> Option<IfIndex> {
        self.udp.open(id).attributes.device
    }

    /// `connect(fd, addr, len)`: sends to and receives from `remote` only. Binds an unbound socket first.
    pub fn udp_connect(
        &mut self,
        now: Instant,
        id: UdpId,
        remote: SocketAddr,
    ) -> Result<(), RouteError> {
        self.udp_connect_by(now, id, remote, None, None)
    }

    /// [`udp_connect`](Self::udp_connect) with a source address and an interface of the caller's choice
    /// (IP_MULTICAST_IF, IP_UNICAST_IF).
    pub fn udp_connect_by(
        &mut self,
        _now: Instant,
        id: UdpId,
        remote: SocketAddr,
        src: Option<IpAddr>,
        device: Option<IfIndex>,
    ) -> Result<(), RouteError> {
        self.udp_autobind(id)
            .map_err(|_| RouteError::PortsExhausted)?;
        let remote = canonical(remote);
        let route = self.udp_route(id, remote.ip(), src, device)?;
        let generation = self.routes.generation();
        self.udp_unregister(id);
        let socket = self.udp.open_mut(id);
        // ip4_datagram_connect: the route's source becomes the socket's address, unless it has one.
        if socket.local.ip().is_unspecified() {
            socket.local.set_ip(route.source);
        }
        socket.remote = Some(SocketAddr::new(route.destination, remote.port()));
        socket.route = Some((generation, route));
        self.udp_hash(id);
        Ok(())
    }

    /// `connect(fd, AF_UNSPEC)`: sends to and receives from anyone again. What bind(2) did not name is given up
    /// (__udp_disconnect): after a bind to port 0 the socket has no port any more.
    pub fn udp_disconnect(&mut self, id: UdpId) {
        self.udp_unregister(id);
        self.raw_unhash(id);
        let socket = self.udp.open_mut(id);
        if !matches!(socket.role, Role::Udp) {
            // __udp_disconnect: what has no port of its own hears nothing from now on.
            socket.remote = None;
            socket.route = None;
            if !socket.addr_locked {
                socket.local.set_ip(any(socket.family));
            }
            if !socket.port_locked {
                self.ping_unhash(id);
                self.udp.open_mut(id).local.set_port(0);
            }
            return;
        }
        if let Some(remote) = socket.remote.take()
            && socket.family == Family::V6
        {
            socket.former = Some(match remote.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            });
        }
        socket.route = None;
        if !socket.addr_locked {
            socket
                .local
                .set_ip(socket.key.map_or(any(socket.family), |key| key.addr));
        }
        if socket.port_locked {
            self.udp_hash(id);
        } else if let Some(key) = socket.key.take() {
            socket.local.set_port(0);
            self.udp_ports.remove(&key);
        }
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
        let (Some(remote), Role::Udp) = (socket.remote, &socket.role) else {
            return false;
        };
        let here = self.interfaces.owner(remote.ip()).is_some();
        here && (self.udp.demux)
            .lookup(IfIndex::LO, socket.local, remote, None)
            .is_none()
    }

    /// How a datagram to `dst` would go.
    pub fn udp_route(
        &self,
        id: UdpId,
        dst: IpAddr,
        src_hint: Option<IpAddr>,
        device_hint: Option<IfIndex>,
    ) -> Result<RouteInfo, RouteError> {
        let socket = self.udp.open(id);
        // An IPv6 address that an earlier connect(2) chose is no source for IPv4. The other way round there is none:
        // the socket's one address is v4-mapped.
        let fixed = socket
            .fixed_source()
            .filter(|src| socket.addr_locked || src.is_ipv4() || dst.to_canonical().is_ipv6());
        self.route(
            dst,
            src_hint.or(fixed),
            device_hint.or(socket.attributes.device),
        )
    }

    /// `setsockopt(fd, ...)`: changes an attribute.
    pub fn udp_set(&mut self, id: UdpId, set: UdpSet) {
        let socket = self.udp.open_mut(id);
        let attributes = &mut socket.attributes;
        match set {
            UdpSet::ReuseAddr(on) => attributes.reuse_addr = on,
            UdpSet::ReusePort(on) => attributes.reuse_port = on,
            UdpSet::Device(device) => attributes.device = device,
            UdpSet::ReceiveBuffer(bytes) => return socket.queue.set_limit(bytes),
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
        if let Some(old) = socket.key {
            let Attributes {
                device,
                reuse_addr,
                reuse_port,
                ..
            } = socket.attributes;
            let new = BindKey {
                device,
                reuse_addr,
                reuse_port,
                ..old
            };
            socket.key = Some(new);
            self.udp_ports.replace(&old, new);
        }
        // The socket keeps its place among its equals: Linux does not hash it anew.
        if let Some(registration) = self.udp.open(id).registration(id) {
            self.udp.demux.update(&registration);
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

    /// `sendto(fd, ...)`: sends one datagram. Binds an unbound socket first.
    pub fn udp_send(&mut self, now: Instant, id: UdpId, send: UdpSend) -> Result<(), UdpSendError> {
        self.udp_send_seen(now, id, send, false).map(drop)
    }

    /// [`udp_send`](Self::udp_send) that gives the packet back as it left, if the caller wants to `see` it; of several
    /// the first one.
    pub fn udp_send_seen(
        &mut self,
        now: Instant,
        id: UdpId,
        send: UdpSend,
        see: bool,
    ) -> Result<Option<Packet>, UdpSendError> {
        let dst = canonical(send.dst);
        if self.udp.open(id).key.is_none() {
            self.udp_autobind(id)
                .map_err(|_| UdpSendError::PortsExhausted)?;
        }
        let route = self.udp_send_route(id, dst.ip(), &send)?;
        let UdpSend {
            tos,
            ttl,
            payload,
            segment,
            unsummed,
            tag,
            flow_label,
            ..
        } = send;
        let mut ip = IpHeader::new(route.source, route.destination);
        ip.tos = tos.unwrap_or(0);
        ip.hop_limit = ttl.unwrap_or(self.hop_limit(route.kind, ip.is_v6()));
        // The length field counts 16 bits, with the IP header in IPv4 and without it in IPv6.
        let datagram = UdpDatagram::HEADER_LEN + payload.len();
        let counted = if ip.is_v6() {
            datagram
        } else {
            datagram + ip.header_len()
        };
        // On lo Linux cuts what exceeds the MTU in fragments and joins them again; nobody can see that here.
        let largest = match segment {
            0 => datagram,
            size => datagram.min(UdpDatagram::HEADER_LEN + usize::from(size)),
        };
        let fits =
            route.interface == IfIndex::LO || largest + ip.header_len() <= route.mtu as usize;
        if counted > usize::from(u16::MAX) || !fits {
            return Err(UdpSendError::TooBig);
        }
        let src_port = self.udp.open(id).local.port();
        if ip.is_v6() {
            ip.flow_label = flow_label.unwrap_or_else(|| {
                let here = SocketAddr::new(ip.src, src_port);
                self.udp
                    .demux
                    .flow_label(here, SocketAddr::new(ip.dst, dst.port()))
            });
        }
        let datagram = UdpDatagram {
            src_port,
            dst_port: dst.port(),
            payload,
            segment,
            unsummed,
        };
        self.counters.udp_out_datagrams += 1;
        self.counters.v6.udp_out_datagrams += u64::from(ip.is_v6());
        let mut seen = None;
        if segment == 0 || segment::stays_whole(route.interface, &ip, datagram.payload.len()) {
            let body = Body::Udp(datagram);
            if see {
                let body = body.clone();
                seen = Some(Packet { ip, body });
            }
            if route.interface == IfIndex::LO {
                self.ip_output_now(now, &route, tag, ip, body);
                return Ok(seen);
            }
            self.udp_output(id, &route, tag, Packet { ip, body });
        } else {
            for datagram in segment::cut(datagram) {
                let body = Body::Udp(datagram);
                let packet = Packet { ip, body };
                if see && seen.is_none() {
                    seen = Some(packet.clone());
                }
                self.udp_output(id, &route, tag, packet);
            }
        }
        self.run_loopback(now);
        Ok(seen)
    }

    fn udp_output(&mut self, id: UdpId, route: &RouteInfo, tag: Tag, packet: Packet) {
        match route.kind {
            RouteKind::Multicast => {
                let loops = self.udp.open(id).multicast_loop[usize::from(packet.ip.is_v6())];
                self.multicast_output(route, tag, loops, packet);
            }
            _ => self.ip_output_tagged(route, tag, packet),
        }
    }

    /// The way of a datagram: a connected socket has it, another asks for one each time.
    fn udp_send_route(
        &self,
        id: UdpId,
        dst: IpAddr,
        send: &UdpSend,
    ) -> Result<RouteInfo, UdpSendError> {
        let socket = self.udp.open(id);
        match socket.route {
            Some((then, route))
                if then == self.routes.generation()
                    && send.src.is_none()
                    && send.device.is_none()
                    && socket.remote == Some(canonical(send.dst)) =>
            {
                Ok(route)
            }
            _ => self
                .udp_route(id, dst, send.src, send.device)
                .map_err(|error| match error {
                    RouteError::WrongFamily => UdpSendError::WrongFamily,
                    _ => UdpSendError::NoRoute,
                }),
        }
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
        if matches!(socket.role, Role::Udp) {
            self.counters.udp_in_datagrams += 1;
            self.counters.v6.udp_in_datagrams += u64::from(datagram.to.is_ipv6());
        }
        Some(datagram)
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
        self.groups.forget(SocketHandle::Udp(id));
        self.udp_unhash(id);
        self.raw_unhash(id);
        self.ping_unhash(id);
        self.udp.sockets.remove(id.index as usize);
    }

    /// inet_autobind: any address, an ephemeral port.
    fn udp_autobind(&mut self, id: UdpId) -> Result<(), BindError> {
        let socket = self.udp.open(id);
        match socket.role {
            _ if socket.key.is_some() => return Ok(()),
            Role::Udp => {}
            Role::Raw(_) => return Ok(()),
            Role::Ping => return self.ping_autobind(id),
        }
        let Attributes {
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
            ports,
            ..
        } = socket.attributes;
        let (family, addr) = (socket.family, socket.local.ip());
        let request = BindRequest {
            addr,
            port: 0,
            family,
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
        };
        let range = self.sysctl.local_ports(ports);
        let key = self.udp_ports.bind(&request, range, &mut self.random)?;
        let socket = self.udp.open_mut(id);
        socket.key = Some(key);
        socket.grouped = reuse_port;
        socket.local.set_port(key.port);
        self.udp_hash(id);
        Ok(())
    }

    /// Enters a bound socket into the demux tables.
    fn udp_hash(&mut self, id: UdpId) {
        if let Some(registration) = self.udp.open(id).registration(id) {
            self.udp.demux.insert(&registration);
            if registration.candidate.reuse_port {
                self.udp_join_group(id);
            }
        }
    }

    /// Takes a bound socket out of the demux tables; it keeps its port.
    fn udp_unregister(&mut self, id: UdpId) {
        if let Some(registration) = self.udp.open(id).registration(id) {
            self.udp.demux.remove(&registration);
        }
    }

    /// Takes a socket out of the demux tables and gives its port up.
    fn udp_unhash(&mut self, id: UdpId) {
        self.udp_unregister(id);
        if let Some(key) = self.udp.open_mut(id).key.take() {
            self.udp_ports.remove(&key);
        }
    }

    fn udp_event(&mut self, id: UdpId, kind: EventKind) {
        self.events.push_udp(id, kind);
    }
}

#[cfg(test)]
mod tests;
