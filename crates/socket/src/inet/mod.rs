//! AF_INET and AF_INET6: ip(7), ipv6(7), tcp(7), udp(7).

pub(crate) mod addr;
pub(crate) mod errqueue;
mod fastopen;
pub(crate) mod flow_label;
mod icmp;
pub(crate) mod interface;
pub(crate) mod mtu;
mod notices;
pub(crate) mod raw;
mod recv_control;
mod repair;
pub(crate) mod route_ioctl;
pub(crate) mod stamp;
pub(crate) mod tcp;
mod tcp_data;
pub(crate) mod udp;
mod udp_control;
mod udp_offload;
pub(crate) mod udp_plan;
pub(crate) mod udp_recv;
mod udp_send;

use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::mask::PollMask;
use crate::socket::{Common, CommonFlags, Kind, Linger, Socket};
use crate::table::SocketId;
use addr::InetAddr;
pub(crate) use addr::needs_scope;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use raw::Datagram;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{
    BindRequest, EventKind, Family, IfIndex, RouteInfo, RouteKind, SendExtra, SocketHandle, Sysctl,
    TcpId, UdpId, UdpSet,
};

/// Which socket of the layer stands for which of the engine's, by the engine's index; those of TCP are
/// told by name.
#[derive(Default)]
pub(crate) struct Tables {
    udp: Vec<Option<SocketId>>,
    /// Connections whose closer waits (`SO_LINGER`), and the sockets they were.
    lingering: Vec<(TcpId, SocketId)>,
    /// A socket was told to linger: until then no close has to be looked at.
    pub(crate) linger_used: bool,
    /// Flow labels.
    pub(crate) leases: flow_label::Leases,
}

impl Tables {
    fn slot(table: &mut Vec<Option<SocketId>>, index: usize) -> &mut Option<SocketId> {
        if table.len() <= index {
            table.resize(index + 1, None);
        }
        &mut table[index]
    }

    /// A closed socket's connection goes on, and its closer waits for it.
    pub(crate) fn linger(&mut self, handle: TcpId, id: SocketId) {
        self.lingering.push((handle, id));
    }

    pub(crate) fn lingers(&self, id: SocketId) -> bool {
        self.lingering.iter().any(|entry| entry.1 == id)
    }

    /// The connection needs its closer no more: the socket it was.
    fn lingered(&mut self, handle: TcpId) -> Option<SocketId> {
        let at = self.lingering.iter().position(|entry| entry.0 == handle)?;
        Some(self.lingering.swap_remove(at).1)
    }

    pub(crate) fn set_udp(&mut self, handle: UdpId, id: Option<SocketId>) {
        *Tables::slot(&mut self.udp, handle.index()) = id;
    }
}

/// What both protocols keep for the IP layer.
#[derive(Clone, Debug)]
pub(crate) struct InetOptions {
    /// `IP_TOS`
    pub(crate) tos: u8,
    /// `IP_TTL`; `None` is net.ipv4.ip_default_ttl.
    pub(crate) ttl: Option<u8>,
    /// `IPV6_UNICAST_HOPS`; `None` is the interface's default.
    pub(crate) hops: Option<u8>,
    pub(crate) v6only: bool,
    /// `IP_PKTINFO`
    pub(crate) pktinfo: bool,
    /// `IPV6_RECVPKTINFO`
    pub(crate) pktinfo6: bool,
    /// `IP_MULTICAST_TTL`: RFC 1112, 6.1 has 1 as the default.
    pub(crate) multicast_ttl: u8,
    /// `IPV6_MULTICAST_HOPS`: RFC 3493, 5.2 has 1 as the default.
    pub(crate) multicast_hops: u8,
    /// `IP_MTU_DISCOVER`
    pub(crate) discover: u8,
    /// `IPV6_MTU_DISCOVER`
    pub(crate) discover6: u8,
    /// `IPV6_TCLASS`
    pub(crate) tclass: u8,
    pub(crate) flags: InetFlags,
    pub(crate) rare: Option<Box<RareOptions>>,
    /// What `MSG_ERRQUEUE` reads.
    pub(crate) errors: errqueue::ErrorQueue,
}

bitflags::bitflags! {
    /// Boolean options of both levels.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct InetFlags: u64 {
        /// `IP_RECVERR`
        const RECVERR = 1 << 0;
        /// `IPV6_RECVERR`
        const RECVERR6 = 1 << 1;
        const RECVTTL = 1 << 2;
        const RECVTOS = 1 << 3;
        const RECVOPTS = 1 << 4;
        const RETOPTS = 1 << 5;
        const PASSSEC = 1 << 6;
        const RECVORIGDSTADDR = 1 << 7;
        const CHECKSUM = 1 << 8;
        const RECVFRAGSIZE = 1 << 9;
        /// `IP_FREEBIND` and `IPV6_FREEBIND`
        const FREEBIND = 1 << 10;
        /// `IP_TRANSPARENT` and `IPV6_TRANSPARENT`
        const TRANSPARENT = 1 << 11;
        const NODEFRAG = 1 << 12;
        const BIND_ADDRESS_NO_PORT = 1 << 13;
        const MULTICAST_LOOP = 1 << 14;
        const MULTICAST_ALL = 1 << 15;
        const RECVERR_RFC4884 = 1 << 16;
        const RECVERR_RFC4884_6 = 1 << 17;
        const RECVHOPLIMIT = 1 << 18;
        const HOPLIMIT_2292 = 1 << 19;
        const PKTINFO_2292 = 1 << 20;
        const RECVRTHDR = 1 << 21;
        const RTHDR_2292 = 1 << 22;
        const RECVHOPOPTS = 1 << 23;
        const HOPOPTS_2292 = 1 << 24;
        const RECVDSTOPTS = 1 << 25;
        const DSTOPTS_2292 = 1 << 26;
        const RECVTCLASS = 1 << 27;
        /// `IPV6_FLOWINFO`
        const RECVFLOWINFO = 1 << 28;
        const RECVPATHMTU = 1 << 29;
        const RECVORIGDSTADDR6 = 1 << 30;
        const MULTICAST_LOOP6 = 1 << 31;
        const MULTICAST_ALL6 = 1 << 32;
        const FLOWINFO_SEND = 1 << 33;
        const DONTFRAG = 1 << 34;
        /// `IPV6_AUTOFLOWLABEL`, if it was set.
        const AUTOFLOWLABEL = 1 << 35;
        const RECVFRAGSIZE6 = 1 << 36;
        const ROUTER_ALERT_ISOLATE = 1 << 37;
        const ROUTER_ALERT = 1 << 38;
        const ROUTER_ALERT6 = 1 << 39;
        /// `IPV6_AUTOFLOWLABEL` was set: net.ipv6.auto_flowlabels has no say.
        const AUTOFLOWLABEL_SET = 1 << 40;
    }
}

/// `IP_PMTUDISC_WANT`, and `IP_PMTUDISC_DONT`, which net.ipv4.ip_no_pmtu_disc makes the default.
const PMTUDISC_WANT: u8 = 1;
const PMTUDISC_DONT: u8 = 0;

/// Options that few sockets have.
#[derive(Clone, Debug, Default)]
pub(crate) struct RareOptions {
    /// `IP_MINTTL`
    pub(crate) min_ttl: u8,
    /// `IPV6_MINHOPCOUNT`
    pub(crate) min_hops: u8,
    /// `IP_UNICAST_IF`
    pub(crate) unicast_if: Option<IfIndex>,
    /// `IPV6_UNICAST_IF`
    pub(crate) unicast_if6: Option<IfIndex>,
    /// `IP_LOCAL_PORT_RANGE`: lowest in the lower half, highest in the upper one; zero leaves net.ipv4's.
    pub(crate) port_range: u32,
    /// `IPV6_MTU` as set
    pub(crate) frag_size: u32,
    /// `IPV6_ADDR_PREFERENCES`, as the bits that are not the default.
    pub(crate) preferences: i32,
    /// `IPV6_PKTINFO`: address and interface.
    pub(crate) pktinfo: Option<(Ipv6Addr, Option<IfIndex>)>,
    /// `IP_MULTICAST_IF`: the interface, and the address by which it was named.
    pub(crate) multicast_if: Option<IfIndex>,
    pub(crate) multicast_address: Option<Ipv4Addr>,
    /// `IPV6_MULTICAST_IF`
    pub(crate) multicast_if6: Option<IfIndex>,
    /// What `IPV6_RECVPATHMTU` has to tell.
    pub(crate) path_mtu: Option<(SocketAddrV6, u32)>,
    /// `IP_OPTIONS`, and `IPV6_HOPOPTS` and kin, of a datagram socket: the engine has those of a connection.
    pub(crate) extra: Option<Box<SendExtra>>,
    /// The flow label of a connection of datagrams.
    pub(crate) flow_label: u32,
    /// Flow labels that were leased.
    pub(crate) labels: flow_label::Leased,
}

impl InetOptions {
    /// `IP_MULTICAST_ALL` is on for sockets of AF_INET only.
    fn of(family: Family, sysctl: &Sysctl) -> InetOptions {
        let mut options = InetOptions::new();
        // inet_create(), inet6_create(): IPv6 always wants it.
        if sysctl.ip_no_pmtu_disc != 0 {
            options.discover = PMTUDISC_DONT;
        }
        options
            .flags
            .set(InetFlags::MULTICAST_ALL, family == Family::V4);
        options
    }

    fn new() -> InetOptions {
        InetOptions {
            tos: 0,
            ttl: None,
            hops: None,
            v6only: false,
            pktinfo: false,
            pktinfo6: false,
            multicast_ttl: 1,
            multicast_hops: 1,
            discover: PMTUDISC_WANT,
            discover6: PMTUDISC_WANT,
            tclass: 0,
            flags: InetFlags::MULTICAST_LOOP
                | InetFlags::MULTICAST_LOOP6
                | InetFlags::MULTICAST_ALL6,
            rare: None,
            errors: errqueue::ErrorQueue::default(),
        }
    }
}

impl InetOptions {
    /// Whether a boolean option is on.
    pub(crate) fn has(&self, flag: InetFlags) -> bool {
        self.flags.contains(flag)
    }

    /// An option that few sockets have.
    pub(crate) fn rare<T: Default>(&self, get: impl FnOnce(&RareOptions) -> T) -> T {
        self.rare.as_deref().map(get).unwrap_or_default()
    }

    pub(crate) fn rare_mut(&mut self) -> &mut RareOptions {
        self.rare.get_or_insert_default()
    }

    /// inet_can_nonlocal_bind(), but for the knob.
    pub(crate) fn binds_anywhere(&self) -> bool {
        self.flags
            .intersects(InetFlags::FREEBIND | InetFlags::TRANSPARENT)
    }
}

impl Host {
    /// inet_create() and inet6_create().
    pub(crate) fn inet_socket(
        &mut self,
        cx: &mut Cx<'_>,
        domain: i32,
        ty: i32,
        protocol: i32,
    ) -> Result<SocketId, Errno> {
        // IPPROTO_MAX is 263 since MPTCP.
        if !(0..263).contains(&protocol) {
            return Err(Errno::EINVAL);
        }
        let family = if domain == AF_INET {
            Family::V4
        } else {
            Family::V6
        };
        match (ty, protocol) {
            (SOCK_STREAM, 0 | IPPROTO_TCP) => Ok(self.new_tcp(cx, domain, family)),
            (SOCK_DGRAM, 0 | IPPROTO_UDP) => {
                let handle = self.stack.udp_open(family);
                Ok(self.new_udp(cx, domain, IPPROTO_UDP, family, handle))
            }
            (SOCK_DGRAM, IPPROTO_UDPLITE) => {
                let handle = self.stack.udplite_open(family);
                Ok(self.new_udp(cx, domain, protocol, family, handle))
            }
            (SOCK_DGRAM, IPPROTO_ICMP) if domain == AF_INET => {
                self.new_ping(cx, domain, protocol, family)
            }
            (SOCK_DGRAM, IPPROTO_ICMPV6) if domain == AF_INET6 => {
                self.new_ping(cx, domain, protocol, family)
            }
            (SOCK_STREAM | SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
            // IPPROTO_IP is a wildcard in the table and not a protocol one can ask for.
            (SOCK_RAW, 0) => Err(Errno::EPROTONOSUPPORT),
            (SOCK_RAW, _) if !cx.cred.caps.contains(Caps::NET_RAW) => Err(Errno::EPERM),
            (SOCK_RAW, _) => Ok(self.new_raw(cx, domain, ty, protocol, family)),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    pub(crate) fn new_common(&self, cx: &Cx<'_>, domain: i32, ty: i32, protocol: i32) -> Common {
        let sysctl = self.stack.sysctl();
        let (sndbuf, rcvbuf) = (sysctl.wmem_default, sysctl.rmem_default);
        Common {
            domain: domain as u16,
            ty: ty as u16,
            protocol: protocol as u16,
            flags: CommonFlags::empty(),
            inode: 0,
            uid: cx.cred.euid,
            sndbuf,
            rcvbuf,
            rcvlowat: 1,
            priority: 0,
            rcvtimeo: None,
            sndtimeo: None,
            linger: Linger::default(),
            filter: None,
            // sock_init_data(): SO_BUSY_POLL is net.core.busy_read.
            rare: (sysctl.busy_read > 0)
                .then(|| Box::new(crate::options::rare::Rare::polling(sysctl.busy_read))),
        }
    }

    fn new_options(&self, family: Family) -> InetOptions {
        InetOptions {
            v6only: family == Family::V6 && self.stack.sysctl().bindv6only,
            ..InetOptions::of(family, self.stack.sysctl())
        }
    }

    fn new_tcp(&mut self, cx: &mut Cx<'_>, domain: i32, family: Family) -> SocketId {
        let common = self.new_common(cx, domain, SOCK_STREAM, IPPROTO_TCP);
        let handle = self.stack.tcp_open(family);
        self.stack.tcp_set_owner(handle, common.uid);
        let kind = Kind::Tcp(tcp::TcpSocket::new(handle, self.new_options(family)));
        let id = self.sockets.insert(Socket { common, kind });
        self.stack.tcp_set_name(handle, Some(id.to_u64()));
        self.discover_as_told(id);
        id
    }

    fn new_udp(
        &mut self,
        cx: &mut Cx<'_>,
        domain: i32,
        protocol: i32,
        family: Family,
        handle: UdpId,
    ) -> SocketId {
        let common = self.new_common(cx, domain, SOCK_DGRAM, protocol);
        self.stack.udp_set(handle, UdpSet::Owner(common.uid));
        let kind = Kind::Udp(Box::new(udp::UdpSocket::new(
            handle,
            self.new_options(family),
        )));
        let id = self.sockets.insert(Socket { common, kind });
        self.inet.set_udp(handle, Some(id));
        self.discover_as_told(id);
        id
    }

    /// The engine's sockets discover path MTUs if nothing else is said.
    fn discover_as_told(&mut self, id: SocketId) {
        if self.stack.sysctl().ip_no_pmtu_disc != 0 {
            self.inet_flags_changed(id);
        }
    }

    /// The socket that stands for one of the engine's, unless it is closed.
    pub(crate) fn socket_of(&self, handle: SocketHandle) -> Option<SocketId> {
        match handle {
            SocketHandle::Tcp(h) => self.stack.tcp_name(h).map(SocketId::from_u64),
            SocketHandle::Udp(h) => self.inet.udp.get(h.index()).copied().flatten(),
        }
    }

    pub(crate) fn inet_options(&self, id: SocketId) -> Result<&InetOptions, Errno> {
        match self.kind(id)? {
            Kind::Tcp(s) => Ok(&s.inet),
            Kind::Udp(s) => Ok(&s.inet),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(crate) fn inet_options_mut(&mut self, id: SocketId) -> Result<&mut InetOptions, Errno> {
        match &mut self.get_mut(id)?.kind {
            Kind::Tcp(s) => Ok(&mut s.inet),
            Kind::Udp(s) => Ok(&mut s.inet),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// inet_bind() and inet6_bind(): the checks in Linux's order, then the protocol's get_port().
    pub(crate) fn inet_bind(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
    ) -> Result<(), Errno> {
        match self.datagram(id) {
            Datagram::Udp => {}
            Datagram::Raw => return self.raw_bind(id, raw),
            Datagram::Ping => return self.ping_bind(id, raw),
        }
        let socket = self.get(id)?;
        let common = &socket.common;
        let v6 = i32::from(common.domain) == AF_INET6;
        let stream = i32::from(common.ty) == SOCK_STREAM;
        let v6only = self.inet_options(id)?.v6only;
        let addr = if v6 {
            match InetAddr::parse_v6(raw)? {
                InetAddr::V6(a) => a,
                InetAddr::Unspec | InetAddr::V4(_) => return Err(Errno::EAFNOSUPPORT),
            }
        } else {
            match InetAddr::parse_v4(raw)? {
                InetAddr::V4(a) => addr::map_v4(a),
                // AF_UNSPEC with INADDR_ANY is taken for AF_INET: old programs do that.
                InetAddr::Unspec if raw[4..8] == [0; 4] => {
                    let port = u16::from_be_bytes([raw[2], raw[3]]);
                    addr::map_v4(core::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
                }
                InetAddr::Unspec | InetAddr::V6(_) => return Err(Errno::EAFNOSUPPORT),
            }
        };
        let mapped = addr.ip().to_ipv4_mapped();
        if v6 && addr.ip().is_multicast() && stream {
            return Err(Errno::EINVAL);
        }
        let ip = match mapped {
            Some(ip) => IpAddr::V4(ip),
            None => IpAddr::V6(*addr.ip()),
        };
        let anywhere = self.inet_options(id)?.binds_anywhere();
        let check_addr = |host: &Host| {
            let bindable = anywhere
                || ip.is_unspecified()
                || ip.is_multicast()
                || host.stack.may_bind(ip)
                || host.is_broadcast(ip);
            if bindable {
                Ok(())
            } else {
                Err(Errno::EADDRNOTAVAIL)
            }
        };
        let check_port = |host: &Host, cx: &Cx<'_>| {
            let port = addr.port();
            if port != 0
                && u32::from(port) < u32::from(host.stack.sysctl().ip_unprivileged_port_start)
                && !cx.cred.caps.contains(Caps::NET_BIND_SERVICE)
            {
                return Err(Errno::EACCES);
            }
            Ok(())
        };
        let mut device = self.get(id)?.common.device();
        // IPv4 looks at the address first, IPv6 at the port and the state.
        if v6 {
            check_port(self, cx)?;
            self.inet_unbound(id)?;
            if mapped.is_some() && v6only {
                return Err(Errno::EINVAL);
            }
            if needs_scope(addr.ip()) {
                // The address means something on its interface only.
                let index = IfIndex::new(addr.scope_id()).or(device);
                let index = index.ok_or(Errno::EINVAL)?;
                // The socket is bound to it from here on, whatever becomes of the call, and even if there is no such interface.
                self.set_device(id, index.get())?;
                device = Some(index);
            }
            if device.is_some_and(|index| self.stack.interface(index).is_none()) {
                return Err(Errno::ENODEV);
            }
            check_addr(self)?;
        } else {
            check_addr(self)?;
            check_port(self, cx)?;
            self.inet_unbound(id)?;
        }
        let socket = self.get(id)?;
        // __inet6_bind(): a socket with an IPv6 address speaks IPv6 only from now on.
        let v6only = v6only || (ip.is_ipv6() && !ip.is_unspecified());
        // A dual-stack wildcard is the IPv6 one.
        let request = BindRequest {
            addr: ip,
            port: addr.port(),
            family: if v6 { Family::V6 } else { Family::V4 },
            v6only,
            device,
            reuse_addr: socket.common.has(CommonFlags::REUSEADDR),
            reuse_port: socket.common.has(CommonFlags::REUSEPORT),
            uid: socket.common.uid,
        };
        let portless =
            request.port == 0 && self.inet_options(id)?.has(InetFlags::BIND_ADDRESS_NO_PORT);
        match &socket.kind {
            Kind::Tcp(s) if portless => {
                let handle = s.handle;
                self.stack
                    .tcp_bind_address(handle, request.addr)
                    .map_err(crate::error::bind)?;
            }
            Kind::Udp(s) if portless => {
                let handle = s.handle;
                self.stack
                    .udp_bind_address(handle, request.addr)
                    .map_err(crate::error::bind)?;
            }
            Kind::Tcp(s) => {
                let handle = s.handle;
                self.stack
                    .tcp_bind(handle, request)
                    .map_err(crate::error::bind)?;
            }
            Kind::Udp(s) => {
                let handle = s.handle;
                self.stack
                    .udp_bind(handle, request)
                    .map_err(crate::error::bind)?;
            }
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => return Err(Errno::EINVAL),
        }
        if let Some(device) = device {
            // "Override any existing binding, if another one is supplied by user."
            let common = &mut self.get_mut(id)?.common;
            if common.device() != Some(device) {
                common.rare_mut().device = device.get();
            }
        }
        self.inet_options_mut(id)?.v6only = v6only;
        Ok(())
    }

    /// Whether the address is one that all hosts of a subnet listen to.
    pub(crate) fn is_broadcast(&self, ip: IpAddr) -> bool {
        let route = self.stack.route(ip, None, None);
        ip == IpAddr::V4(Ipv4Addr::BROADCAST) || route.is_ok_and(|r| r.kind == RouteKind::Broadcast)
    }

    /// "connect() to INADDR_ANY means loopback": of the protocol that the socket is bound to.
    pub(crate) fn v6_self(&self, local: IpAddr) -> Ipv6Addr {
        match local {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST,
        }
    }

    /// "Check these errors (active socket, double bind)."
    fn inet_unbound(&self, id: SocketId) -> Result<(), Errno> {
        let free = match self.kind(id)? {
            Kind::Tcp(s) => self.tcp_is_closed(s) && !self.stack.tcp_is_bound(s.handle),
            Kind::Udp(s) => self.stack.udp_local(s.handle).port() == 0,
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => false,
        };
        if free { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// SO_REUSEADDR and SO_REUSEPORT count at every later bind(2) to the port, not only at ours.
    pub(crate) fn bind_flags_changed(&mut self, id: SocketId) {
        let Ok(socket) = self.get(id) else { return };
        let reuse_addr = socket.common.has(CommonFlags::REUSEADDR);
        let reuse_port = socket.common.has(CommonFlags::REUSEPORT);
        match &socket.kind {
            Kind::Udp(s) => {
                let handle = s.handle;
                self.stack.udp_set(handle, UdpSet::ReuseAddr(reuse_addr));
                self.stack.udp_set(handle, UdpSet::ReusePort(reuse_port));
            }
            Kind::Tcp(s) => {
                let handle = s.handle;
                self.stack.tcp_set_reuse(handle, reuse_addr, reuse_port);
            }
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => {}
        }
    }

    pub(crate) fn inet_getsockname(&self, id: SocketId) -> Result<SockAddr, Errno> {
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        let local = match self.kind(id)? {
            Kind::Tcp(s) => {
                // An address may be bound before a port is.
                let portless = || self.stack.tcp_bound_address(s.handle);
                let local = self.stack.tcp_local(s.handle);
                local.or_else(|| portless().map(|ip| SocketAddr::new(ip, 0)))
            }
            Kind::Udp(s) => Some(self.stack.udp_local(s.handle)),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => None,
        };
        let device = self.get(id)?.common.device();
        Ok(SockAddr::Inet(match local {
            Some(a) => addr::scoped(addr::present(a, v6), device),
            None if v6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        }))
    }

    pub(crate) fn inet_getpeername(&self, id: SocketId) -> Result<SockAddr, Errno> {
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        let peer = match self.kind(id)? {
            Kind::Tcp(s) => self.tcp_peer(s),
            // connect(2) to port 0 is a connection to nobody.
            Kind::Udp(s) => self
                .stack
                .udp_peer(s.handle)
                .filter(|peer| peer.port() != 0),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => None,
        };
        match peer {
            Some(a) => {
                let device = self.get(id)?.common.device();
                let peer = addr::scoped(addr::present(a, v6), device);
                Ok(SockAddr::Inet(peer))
            }
            None => Err(Errno::ENOTCONN),
        }
    }

    /// Turns the stack's events into Linux's wake-ups.
    #[inline]
    pub(crate) fn collect_stack_events(&mut self) {
        if self.stack.has_news() {
            self.collect_news();
        }
    }

    fn collect_news(&mut self) {
        self.show_packets();
        self.tell_neighbours();
        self.tell_probed_addresses();
        self.tell_router_news();
        while let Some(report) = self.stack.poll_report() {
            if let Some(id) = self.socket_of(report.socket) {
                self.icmp_report(id, report);
            }
        }
        while let Some(stamp) = self.stack.poll_stamp() {
            if let Some(id) = self.socket_of(SocketHandle::Tcp(stamp.socket)) {
                self.stream_stamped(id, stamp);
            }
        }
        while let Some(event) = self.stack.poll_event() {
            if let SocketHandle::Tcp(handle) = event.socket
                && event.kind.contains(EventKind::RELEASED)
                && let Some(id) = self.inet.lingered(handle)
            {
                self.wake(id, PollMask::HUP);
            }
            let Some(id) = self.socket_of(event.socket) else {
                continue;
            };
            let mut wake = wake_bits(event.kind);
            // tcp_data_ready(): what SO_RCVLOWAT hides is no event.
            if event.kind == EventKind::READABLE
                && self.get(id).is_ok_and(|socket| socket.common.rcvlowat > 1)
                && !self.poll(id).contains(PollMask::IN)
            {
                wake -= PollMask::READABLE;
            }
            if !wake.is_empty() {
                self.wake(id, wake);
            }
        }
    }
}

/// SO_DONTROUTE and MSG_DONTROUTE: IPv4 takes no route by way of a router (RTO_ONLINK), IPv6 does not
/// look at either.
fn check_on_link(route: &RouteInfo, on_link: bool) -> Result<(), Errno> {
    let routed = route.next_hop != route.destination;
    if on_link && routed && route.destination.is_ipv4() {
        return Err(Errno::ENETUNREACH);
    }
    Ok(())
}

/// What Linux's sk_data_ready, sk_write_space, sk_state_change and sk_error_report pass on.
fn wake_bits(kind: EventKind) -> PollMask {
    let mut wake = PollMask::empty();
    if kind.intersects(EventKind::READABLE | EventKind::ACCEPTABLE) {
        wake |= PollMask::READABLE;
    }
    if kind.contains(EventKind::WRITABLE) {
        wake |= PollMask::WRITABLE;
    }
    if kind.contains(EventKind::URGENT) {
        wake |= PollMask::PRI;
    }
    if kind.contains(EventKind::ERROR) {
        wake |= PollMask::ERR;
    }
    if kind.contains(EventKind::CONNECTED) {
        wake |= PollMask::WRITABLE;
    }
    if kind.contains(EventKind::HANGUP) {
        wake |= PollMask::READABLE | PollMask::WRITABLE | PollMask::HUP | PollMask::RDHUP;
    }
    wake
}
