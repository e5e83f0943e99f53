//! udp(7): connect, send, receive and readiness.

use super::addr::{InetAddr, needs_scope, present, unmap};
use super::flow_label::LABEL;
use super::raw::Datagram;
use super::recv_control::Facts;
use super::stamp::Stamp;
use super::tcp::ShutdownBits;
use super::udp_offload::Offload;
use super::{InetFlags, InetOptions};
use crate::call::{Attempt, Blocked, Cx, Fail, FailEffect};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{
    ControlOut, PlanKind, Received, RecvEffect, RecvRequest, SendPlan, SendRequest,
};
use crate::options::control::{self, Arrival, Cookie};
use crate::options::peek::PeekEffect;
use crate::options::timestamping::Sof;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::{self, SIN6_LEN_RFC2133, SOCKADDR_IN_SIZE};
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{
    BindRequest, Family, IfIndex, IpOptions, RouteInfo, RouteKind, SendExtra, SocketHandle, UdpId,
    UdpReceived, UdpSend,
};
use switchboard_wire::Payload;

pub(crate) struct UdpSocket {
    pub(crate) handle: UdpId,
    pub(crate) inet: InetOptions,
    pub(crate) shut: ShutdownBits,
    /// Datagram bytes held back by `MSG_MORE`, and where they go.
    pub(crate) corked: Option<Corked>,
    /// Where a corked datagram went, and from which address if one was chosen: see [`UdpSocket::astray`].
    flow: Option<Box<Flow>>,
    pub(crate) offload: Offload,
    pub(crate) stamp: Stamp,
    /// A pending error that no ICMP message made: see `Host::set_pending_error`.
    pub(crate) told: Option<Errno>,
}

type Flow = (SocketAddr, Option<IpAddr>);

pub(crate) struct Corked {
    pub(super) data: Payload,
    /// The bytes of the first send, for which memory was taken; later ones are charged by the byte.
    first: usize,
    pub(super) to: UdpSendPlan,
}

#[derive(Clone, Debug)]
pub(crate) struct UdpSendPlan {
    pub(super) dst: SocketAddr,
    pub(super) src: Option<IpAddr>,
    pub(super) device: Option<IfIndex>,
    pub(super) ttl: Option<u8>,
    pub(super) tos: Option<u8>,
    pub(super) more: bool,
    pub(super) cookie: Cookie,
    /// A MSG_ZEROCOPY notice is wanted.
    pub(super) notice: bool,
    /// IPv6's, if it is not to be made of addresses and ports.
    pub(super) flow_label: Option<u32>,
    /// Not to be sent in fragments (`IPV6_DONTFRAG`).
    pub(super) whole: bool,
    probe: bool,
    /// `UDP_SEGMENT`; 0 is off.
    pub(super) segment: u16,
    /// `UDP_NO_CHECK6_TX`, over IPv6.
    pub(super) unsummed: bool,
    /// `IP_PMTUDISC_DONT` and kin: routers may cut it.
    may_be_cut: bool,
    /// `IPV6_MTU`; 0 leaves it to the path.
    pub(super) fragment_size: u32,
    /// IPv4 options or IPv6 extension headers.
    pub(super) extra: Option<Box<SendExtra>>,
}

#[derive(Debug)]
pub(crate) struct UdpRecvEffect {
    /// What the call returned, by which SO_PEEK_OFF moves back.
    pub(crate) ret: usize,
    /// The caller's memory could not take it.
    pub(crate) lost: bool,
}

/// From which address and by which interface the socket's options want a datagram to go.
fn egress(dst: IpAddr, inet: &InetOptions) -> (Option<IpAddr>, Option<IfIndex>) {
    inet.rare(|rare| match dst {
        IpAddr::V4(ip) if ip.is_multicast() => {
            let address = rare.multicast_address.filter(|ip| !ip.is_unspecified());
            (address.map(IpAddr::V4), rare.multicast_if)
        }
        IpAddr::V4(_) => (None, rare.unicast_if),
        IpAddr::V6(ip) => {
            let sticky = rare.pktinfo.and_then(|(_, device)| device);
            let other = match ip.is_multicast() {
                true => rare.multicast_if6,
                false => rare.unicast_if6,
            };
            (None, sticky.or(other))
        }
    })
}

/// What the socket sends to `dst` beside a plain IP header.
fn extra_to(dst: SocketAddr, inet: &InetOptions) -> Option<Box<SendExtra>> {
    let sticky = inet.rare.as_deref().and_then(|rare| rare.extra.as_ref());
    sticky.filter(|extra| extra.len(dst.is_ipv6()) > 0).cloned()
}

/// ip_dont_fragment(), the other way round.
fn may_be_cut(dst: SocketAddr, inet: &InetOptions) -> bool {
    let loose = [IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE, IP_PMTUDISC_OMIT];
    dst.is_ipv4() && loose.contains(&inet.discover.into())
}

impl UdpSendPlan {
    /// A datagram to `dst` with what the socket's options say.
    pub(super) fn to(
        dst: SocketAddr,
        inet: &InetOptions,
        cookie: Cookie,
        flags: i32,
    ) -> UdpSendPlan {
        let (src, device) = egress(dst.ip(), inet);
        UdpSendPlan {
            dst,
            src,
            device,
            ttl: match dst {
                SocketAddr::V4(a) if a.ip().is_multicast() => Some(inet.multicast_ttl),
                SocketAddr::V4(_) => inet.ttl,
                SocketAddr::V6(a) if a.ip().is_multicast() => Some(inet.multicast_hops),
                SocketAddr::V6(_) => inet.hops,
            },
            cookie,
            notice: false,
            tos: Some(if dst.is_ipv4() { inet.tos } else { inet.tclass }),
            flow_label: None,
            whole: dst.is_ipv6() && inet.has(InetFlags::DONTFRAG),
            more: flags & MSG_MORE != 0,
            probe: flags & MSG_PROBE != 0,
            segment: 0,
            unsummed: false,
            may_be_cut: may_be_cut(dst, inet),
            fragment_size: match dst {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(_) => inet.rare(|rare| rare.frag_size),
            },
            extra: extra_to(dst, inet),
        }
    }

    /// Where it goes first: a source route leads elsewhere than to the destination.
    pub(super) fn via(&self) -> IpAddr {
        let hop = self.extra.as_ref().and_then(|extra| extra.first_hop());
        hop.unwrap_or(self.dst.ip())
    }

    /// What stands between the IP header and the datagram.
    pub(super) fn beside(&self) -> usize {
        let extra = self.extra.as_ref();
        extra.map_or(0, |extra| extra.len(self.dst.is_ipv6()))
    }

    /// Whether the first stop has to be on the link (`RTO_ONLINK`).
    pub(super) fn is_strict(&self) -> bool {
        let options = self.extra.as_ref().and_then(|e| e.options.as_ref());
        options.is_some_and(IpOptions::is_strict)
    }

    /// What `UDP_CORK` held back, when it is pushed.
    pub(super) fn pushed(&self) -> UdpSendPlan {
        UdpSendPlan {
            more: false,
            ..self.clone()
        }
    }

    /// `IPV6_FLOWINFO`: of it Linux takes the label for the packet.
    pub(super) fn set_flow(&mut self, flow: u32) {
        self.flow_label = Some(flow & LABEL);
    }

    pub(super) fn into_send(self, payload: Payload) -> UdpSend {
        UdpSend {
            dst: self.dst,
            src: self.src,
            device: self.device,
            tos: self.tos,
            ttl: self.ttl,
            // A batch of one is none.
            segment: if payload.len() > usize::from(self.segment) {
                self.segment
            } else {
                0
            },
            unsummed: self.unsummed,
            may_be_cut: self.may_be_cut,
            fragment_size: self.fragment_size,
            tag: self.cookie.tag,
            flow_label: self.flow_label,
            extra: self.extra,
            payload,
        }
    }
}

impl UdpSocket {
    /// Bytes that MSG_MORE holds back.
    pub(super) fn held(&self) -> usize {
        self.corked.as_ref().map_or(0, |c| c.data.len())
    }

    /// Joins data to what MSG_MORE held back. `None`: nothing is sent yet.
    pub(super) fn cork(
        &mut self,
        mut to: UdpSendPlan,
        mut data: Payload,
    ) -> Option<(UdpSendPlan, Payload)> {
        if to.probe {
            // "Do not send. Only probe path f.e. for MTU."
            return None;
        }
        let mut first = data.len();
        if let Some(mut corked) = self.corked.take() {
            first = corked.first;
            for chunk in data.iter() {
                corked.data.push(chunk.clone());
            }
            data = corked.data;
            // Where it goes and how is settled by the first of them, the checksum by the last.
            to = UdpSendPlan {
                more: to.more,
                unsummed: to.unsummed,
                ..corked.to
            };
        }
        if to.more {
            if to.dst.is_ipv4() {
                self.flow = Some(Box::new((to.dst, to.src)));
            }
            self.corked = Some(Corked { data, first, to });
            return None;
        }
        Some((to, data))
    }

    /// Where a connected IPv4 socket really sends: a corked datagram leaves its destination in inet->cork.fl, which
    /// the fast path of udp_sendmsg() takes for the connection's until it is connected anew.
    fn astray(&self) -> Option<Flow> {
        self.flow.as_deref().copied()
    }

    /// Whether anything is held back, if only its destination.
    pub(crate) fn held_back(&self) -> bool {
        self.corked.is_some()
    }

    pub(crate) fn stray(&mut self, to: SocketAddrV4) {
        self.flow = Some(Box::new((to.into(), None)));
    }

    /// sk_wmem_alloc: what is held back.
    pub(crate) fn charge(&self) -> u32 {
        self.corked.as_ref().map_or(0, |corked| {
            let rest = corked.data.len() - corked.first;
            switchboard_engine::datagram_memory(corked.first, corked.to.dst.is_ipv6())
                .saturating_add(rest as u32)
        })
    }

    pub(crate) fn new(handle: UdpId, inet: InetOptions) -> UdpSocket {
        UdpSocket {
            handle,
            inet,
            shut: ShutdownBits::default(),
            corked: None,
            flow: None,
            offload: Offload::default(),
            stamp: Stamp::default(),
            told: None,
        }
    }
}

impl Host {
    pub(crate) fn udp(&self, id: SocketId) -> Result<&UdpSocket, Errno> {
        match self.kind(id)? {
            Kind::Udp(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    pub(crate) fn udp_mut(&mut self, id: SocketId) -> Result<&mut UdpSocket, Errno> {
        match &mut self.get_mut(id)?.kind {
            Kind::Udp(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    pub(crate) fn udp_pending_error(&self, s: &UdpSocket) -> Option<Errno> {
        let error = self.stack.udp_error(s.handle);
        error.map(crate::error::udp).or(s.told)
    }

    /// inet_autobind(): the first send or connect gives a socket its port.
    pub(super) fn udp_autobind(&mut self, id: SocketId) -> Result<(), Errno> {
        let socket = self.get(id)?;
        let s = self.udp(id)?;
        if self.stack.udp_local(s.handle).port() != 0 {
            return Ok(());
        }
        let v6 = i32::from(socket.common.domain) == AF_INET6;
        let request = BindRequest {
            // An address that bind(2) chose outlives a disconnect that gave its port up.
            addr: self.stack.udp_local(s.handle).ip(),
            port: 0,
            family: if v6 { Family::V6 } else { Family::V4 },
            v6only: s.inet.v6only,
            device: socket.common.device(),
            reuse_addr: socket.common.has(CommonFlags::REUSEADDR),
            reuse_port: socket.common.has(CommonFlags::REUSEPORT),
            uid: socket.common.uid,
        };
        let handle = s.handle;
        // inet_autobind() says EAGAIN when there is no port left.
        self.stack
            .udp_bind(handle, request)
            .map_err(|_| Errno::EAGAIN)?;
        Ok(())
    }

    /// inet_dgram_connect() with ip4_datagram_connect() and ip6_datagram_connect().
    pub(crate) fn udp_connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
    ) -> Result<(), Errno> {
        let family = sockaddr::family(raw).ok_or(Errno::EINVAL)?;
        let handle = self.udp(id)?.handle;
        if family == AF_UNSPEC {
            self.stack.udp_disconnect(handle);
            return Ok(());
        }
        self.udp_autobind(id)?;
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        let v6only = self.udp(id)?.inet.v6only;
        if v6 && family != AF_INET6 && self.datagram(id) != Datagram::Udp {
            // ip6_datagram_connect_v6_only()
            return Err(Errno::EAFNOSUPPORT);
        }
        let remote = if v6 && family == AF_INET {
            if v6only {
                return Err(Errno::EAFNOSUPPORT);
            }
            let InetAddr::V4(a) = InetAddr::parse_v4(raw)? else {
                return Err(Errno::EINVAL);
            };
            SocketAddr::V4(a)
        } else if v6 {
            let InetAddr::V6(mut a) = InetAddr::parse_v6(raw)? else {
                return Err(Errno::EAFNOSUPPORT);
            };
            if a.ip().is_unspecified() {
                a.set_ip(self.v6_self(self.stack.udp_local(handle).ip()));
            }
            if a.ip().to_ipv4_mapped().is_some() && v6only {
                return Err(Errno::ENETUNREACH);
            }
            if needs_scope(a.ip()) && a.scope_id() == 0 {
                return Err(Errno::EINVAL);
            }
            unmap(a)
        } else {
            let InetAddr::V4(a) = InetAddr::parse_v4(raw)? else {
                return Err(Errno::EAFNOSUPPORT);
            };
            SocketAddr::V4(a)
        };
        let label = match remote {
            SocketAddr::V6(_) => self.named_flow_label(id, raw),
            SocketAddr::V4(_) => 0,
        };
        self.check_flow_label(cx.now, id, label)?;
        if self.is_foreign(id, None, remote) {
            return Err(Errno::ENETUNREACH);
        }
        let (src, device) = egress(remote.ip(), &self.udp(id)?.inet);
        let route = self
            .stack
            .udp_route(handle, remote.ip(), src, device)
            .map_err(crate::error::route)?;
        self.udp_check_broadcast(id, route.kind)?;
        let on_link = self.get(id)?.common.has(CommonFlags::DONTROUTE);
        super::check_on_link(&route, on_link)?;
        self.stack
            .udp_connect_by(cx.now, handle, remote, src, device)
            .map_err(crate::error::route)?;
        let options = self.inet_options_mut(id)?;
        if options.rare(|rare| rare.flow_label) != label {
            options.rare_mut().flow_label = label;
        }
        if remote.is_ipv4() {
            // __ip4_datagram_connect() writes to inet->cork.fl: what is held back goes there, too.
            let peer = self.stack.udp_peer(handle).unwrap_or(remote);
            let s = self.udp_mut(id)?;
            s.flow = None;
            if let Some(corked) = s.corked.as_mut().filter(|c| c.to.dst.is_ipv4()) {
                corked.to.dst = peer;
                corked.to.src = None;
            }
        }
        self.collect_stack_events();
        Ok(())
    }

    fn udp_device_is_gone(&self, handle: UdpId) -> bool {
        let device = self.stack.udp_device(handle);
        device.is_some_and(|device| self.stack.interface(device).is_none())
    }

    /// udp_abort(): somebody else takes the connection away.
    pub(crate) fn udp_abort(&mut self, id: SocketId) {
        let Ok(s) = self.udp_mut(id) else { return };
        s.told = Some(Errno::ECONNABORTED);
        let handle = s.handle;
        self.stack.udp_disconnect(handle);
        self.wake(id, PollMask::ERR);
    }

    /// A broadcast destination needs SO_BROADCAST.
    pub(super) fn udp_check_broadcast(&self, id: SocketId, kind: RouteKind) -> Result<(), Errno> {
        if kind == RouteKind::Broadcast && !self.get(id)?.common.has(CommonFlags::BROADCAST) {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// udp_sendmsg() and udpv6_sendmsg(): the destination a call names, as far as IPv6 decides it
    /// before IPv4 takes over.
    fn udp_destination(&self, id: SocketId, raw: &[u8]) -> Result<Option<SocketAddr>, Errno> {
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        if !v6 {
            return Ok(sockaddr::read_in(raw).map(SocketAddr::V4));
        }
        if raw.len() < 2 {
            return Err(Errno::EINVAL);
        }
        match sockaddr::family(raw) {
            Some(AF_INET6) => {
                let raw = raw
                    .get(..raw.len().min(28))
                    .filter(|r| r.len() >= SIN6_LEN_RFC2133);
                let a = sockaddr::read_in6(raw.ok_or(Errno::EINVAL)?).ok_or(Errno::EINVAL)?;
                self.udp_v6_destination(id, a).map(Some)
            }
            Some(AF_INET) => {
                if self.udp(id)?.inet.v6only {
                    return Err(Errno::ENETUNREACH);
                }
                // One that is too short is refused where IPv4 looks at it.
                let short = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
                Ok(Some(SocketAddr::V4(
                    sockaddr::read_in(raw).unwrap_or(short),
                )))
            }
            // As if no name had been given.
            Some(AF_UNSPEC) => Ok(None),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What udp_sendmsg() and the later part of udpv6_sendmsg() ask of a name.
    fn udp_check_destination(&self, as_v4: bool, raw: &[u8]) -> Result<(), Errno> {
        let family = sockaddr::family(raw);
        if as_v4 {
            if raw.len() < SOCKADDR_IN_SIZE {
                return Err(Errno::EINVAL);
            }
            // AF_UNSPEC is taken for AF_INET here.
            if !matches!(family, Some(AF_INET | AF_UNSPEC)) {
                return Err(Errno::EAFNOSUPPORT);
            }
        } else if family == Some(AF_UNSPEC) {
            return Ok(());
        }
        // sin_port and sin6_port are in the same place.
        if raw[2..4] == [0, 0] {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Where a datagram that is none of a connected socket's goes. ip_route_output_key_hash(): a
    /// source that is chosen has to be ours, an interface that is chosen has to be there.
    pub(super) fn udp_send_route(
        &self,
        handle: UdpId,
        plan: &UdpSendPlan,
    ) -> Result<RouteInfo, Errno> {
        if let Some(IpAddr::V4(src)) = plan.src
            && (src.is_multicast() || src.is_broadcast() || src.octets()[0] == 0)
        {
            return Err(Errno::EINVAL);
        }
        let chosen = plan.src;
        if let Some(socket) = self.socket_of(SocketHandle::Udp(handle))
            && self.is_foreign(socket, chosen, plan.dst)
        {
            return Err(Errno::ENETUNREACH);
        }
        if plan
            .device
            .is_some_and(|device| self.stack.interface(device).is_none())
        {
            return Err(Errno::ENODEV);
        }
        self.stack
            .udp_route(handle, plan.via(), plan.src, plan.device)
            .map_err(crate::error::route)
    }

    /// ip_route_output_key_hash(): IPv4 leaves from an address that is not ours for `IP_TRANSPARENT` only
    /// (FLOWI_FLAG_ANYSRC); IPv6 does not ask.
    fn is_foreign(&self, id: SocketId, chosen: Option<IpAddr>, dst: SocketAddr) -> bool {
        let Ok(s) = self.udp(id) else { return false };
        if s.inet.has(InetFlags::TRANSPARENT) || dst.is_ipv6() {
            return false;
        }
        match chosen.unwrap_or_else(|| self.stack.udp_local(s.handle).ip()) {
            IpAddr::V4(ip) => {
                let many = ip.is_unspecified() || ip.is_multicast() || self.is_broadcast(ip.into());
                !many && !self.stack.is_local(ip.into())
            }
            IpAddr::V6(_) => false,
        }
    }

    fn udp_v6_destination(&self, id: SocketId, mut a: SocketAddrV6) -> Result<SocketAddr, Errno> {
        let s = self.udp(id)?;
        if a.ip().is_unspecified() {
            a.set_ip(self.v6_self(self.stack.udp_local(s.handle).ip()));
        }
        if a.ip().to_ipv4_mapped().is_some() && s.inet.v6only {
            return Err(Errno::ENETUNREACH);
        }
        Ok(unmap(a))
    }

    pub(crate) fn udp_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        match self.datagram(id) {
            Datagram::Udp => {}
            kind => return self.raw_attempt_send(cx, id, kind, request),
        }
        // inet_send_prepare() comes before everything else: a send that fails has bound all the same.
        self.udp_autobind(id)?;
        let s = self.udp(id)?;
        let handle = s.handle;
        let connected = self.stack.udp_peer(handle);
        let named = match request.name {
            Some(raw) => self.udp_destination(id, raw)?,
            None => None,
        };
        let more = request.flags & MSG_MORE != 0 || s.offload.cork;
        // The first message of a sendmmsg(2) sends what was held back.
        let corked = s
            .corked
            .as_ref()
            .filter(|_| request.skip.messages == 0 || more);
        let corked_to = corked.map(|c| c.to.dst);
        let v4 = i32::from(self.get(id)?.common.domain) == AF_INET;
        let on_link =
            request.flags & MSG_DONTROUTE != 0 || self.get(id)?.common.has(CommonFlags::DONTROUTE);
        let astray = match (s.astray(), connected) {
            // One that is held back itself has the connection's port.
            (Some((to, src)), Some(peer)) if v4 && !on_link && !request.control.concerns_ip() => {
                let port = if more { peer.port() } else { to.port() };
                Some((SocketAddr::new(to.ip(), port), src))
            }
            _ => None,
        };
        let there = astray.map(|(to, _)| to);
        let dst = corked_to.or(named).or(there).or(connected);
        // Its source goes along, where it is the way that is taken.
        let from = astray.filter(|_| corked_to.is_none() && named.is_none());
        // AF_UNSPEC hides an IPv4 peer from where it is recognized: the datagram leaves by IPv6, to a
        // v4-mapped address, where nobody takes it.
        let lost = !v4 && request.name.is_some() && named.is_none() && corked_to.is_none();
        let lost = lost && connected.is_some_and(|peer| peer.is_ipv4());
        // An IPv6 socket sends to an IPv4 address as an IPv4 socket does.
        let as_v4 = v4 || (dst.is_some_and(|dst| dst.is_ipv4()) && !lost);
        if as_v4 {
            if request.len > 0xffff {
                return Err(Errno::EMSGSIZE.into());
            }
            if request.flags & MSG_OOB != 0 {
                return Err(Errno::EOPNOTSUPP.into());
            }
        }
        if !v4
            && named.is_some_and(|named| named.is_ipv4())
            && corked_to.is_some_and(|to| to.is_ipv6())
        {
            // udp_sendmsg() finds a datagram of IPv6 held back.
            if request.len > 0xffff {
                return Err(Errno::EMSGSIZE.into());
            }
            let oob = request.flags & MSG_OOB != 0;
            return Err(if oob {
                Errno::EOPNOTSUPP
            } else {
                Errno::EINVAL
            }
            .into());
        }
        if corked_to.is_none()
            && let Some(raw) = request.name
        {
            let inet6 = sockaddr::family(raw) == Some(AF_INET6);
            self.udp_check_destination(v4 || (as_v4 && !inet6), raw)?;
        }
        let Some(dst) = dst else {
            return Err(Errno::EDESTADDRREQ.into());
        };
        let unnamed = request.name.is_none() && corked_to.is_none();
        if !v4 && dst.is_ipv4() && dst.port() == 0 && unnamed {
            // A connection to nobody is named to udp_sendmsg(), which refuses it.
            return Err(Errno::EINVAL.into());
        }
        let cookie = Cookie::new(&self.get(id)?.common);
        let mut plan = UdpSendPlan::to(dst, &s.inet, cookie, request.flags);
        plan.src = from.and_then(|(_, src)| src).or(plan.src);
        plan.probe |= lost;
        plan.notice = self.get(id)?.common.wants_notice(request.flags);
        plan.more |= s.offload.cork;
        plan.segment = s.offload.segment;
        plan.unsummed = self.udp_is_unsummed(id, dst);
        // What is joined to a datagram that is held back is not looked at but for its length (do_append_data).
        let joins = corked_to.is_some();
        if !joins {
            self.udp_control_in(cx, id, v4, request.control, &mut plan)?;
        }
        if !joins {
            self.settle_flow_label(cx.now, id, request.name, &mut plan)?;
        }
        // A connected socket has its route; another asks for one each time.
        let mut route = None;
        let on_link = on_link || plan.is_strict();
        let elsewhere = plan.src.is_some()
            || plan.device.is_some()
            || plan.via() != dst.ip()
            // SO_BINDTOIFINDEX takes an interface that is not there, and makes the socket forget its way.
            || self.udp_device_is_gone(handle);
        if !joins && (Some(dst) != connected || elsewhere || on_link) {
            let found = self.udp_send_route(handle, &plan)?;
            super::check_on_link(&found, on_link)?;
            self.udp_check_broadcast(id, found.kind)?;
            route = Some(found);
        }
        let s = self.udp(id)?;
        let whole = s.held() + request.len;
        // What is joined is cut as the first part said.
        let size = s.corked.as_ref().map_or(plan.segment, |c| c.to.segment);
        let in_pieces = size > 0 && whole > usize::from(size);
        self.udp_check_size(s, &plan, whole + 8, in_pieces, route)?;
        // sock_alloc_send_pskb(): a pending error is reported by the next send.
        if let Some(errno) = self.udp_pending_error(s).filter(|_| !joins) {
            return Err(match dst {
                SocketAddr::V4(to) if v4 && plan.more => {
                    Fail::with(errno, FailEffect::UdpStrayed(to))
                }
                _ => Fail::pending(errno),
            });
        }
        if s.shut.write && !joins {
            return Err(Fail::PIPE);
        }
        if plan.segment > 0 || s.corked.is_some() {
            let find = || self.stack.udp_route(handle, dst.ip(), None, None).ok();
            let mtu = route.or_else(find).map_or(0, |route| route.mtu);
            s.check_batch(&plan, whole, mtu, self.get(id)?.is_lite())?;
        }
        Ok(Attempt::Ready(SendPlan {
            take: request.len,
            charge: 0,
            kind: PlanKind::Udp(plan),
        }))
    }

    pub(crate) fn udp_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        mut plan: UdpSendPlan,
        data: Payload,
    ) {
        let Ok(s) = self.udp(id) else { return };
        let handle = s.handle;
        if plan.more && plan.dst.is_ipv6() {
            // fl6_sport of inet->cork.fl: the port may be another by the time the datagram is pushed.
            let port = self.stack.udp_local(handle).port();
            plan.extra.get_or_insert_default().port = Some(port);
        }
        let Ok(s) = self.udp_mut(id) else { return };
        let charged = s.charge();
        let Some((to, data)) = s.cork(plan, data) else {
            return;
        };
        self.udp_let_go(id, charged);
        let cookie = to.cookie;
        let notice = to.notice;
        let send = to.into_send(data);
        // The route and the size were looked at; what fails now is a datagram that was lost.
        let sent = (self.stack).udp_send_seen(cx.now, handle, send, cookie.keeps_packet());
        if cookie.stamps.intersects(Sof::TX_RECORD) {
            let packet = sent.as_ref().ok().and_then(Option::as_ref);
            self.datagram_sent(id, cx.now, &cookie, packet);
        }
        if notice {
            self.zerocopy_done(id);
        }
        self.collect_stack_events();
    }

    /// Each protocol has its own option: SO_NO_CHECK and UDP_NO_CHECK6_TX.
    pub(super) fn udp_is_unsummed(&self, id: SocketId, dst: SocketAddr) -> bool {
        match dst {
            SocketAddr::V4(_) => (self.get(id)).is_ok_and(|s| s.common.has(CommonFlags::NO_CHECK)),
            SocketAddr::V6(_) => self.udp(id).is_ok_and(|s| s.offload.no_check_tx),
        }
    }

    /// udp_recvmsg().
    pub(crate) fn udp_attempt_recv(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        if request.flags & MSG_OOB != 0 && self.datagram(id) != Datagram::Udp {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if request.flags & MSG_ERRQUEUE != 0 {
            return self.attempt_recv_error(cx, id, request);
        }
        if let Some(notice) = self.path_mtu_notice(&self.udp(id)?.inet) {
            return Ok(Attempt::Ready(notice));
        }
        let socket = self.get(id)?;
        let s = self.udp(id)?;
        if request.skip.messages == 0
            && let Some(errno) = self.udp_pending_error(s)
        {
            return Err(Fail::pending(errno));
        }
        let udp = socket.datagram() == Datagram::Udp;
        let peek_at = match udp {
            true => socket.common.peek_offset(request.flags, request.skip),
            // skb_recv_datagram(): as at the offset zero, so an empty one is shown once.
            false => (request.flags & MSG_PEEK != 0).then_some(0),
        };
        let mut offset = peek_at.unwrap_or(0);
        let mut shown = request.skip.empty;
        let mut queue = self.stack.udp_queue(s.handle).enumerate();
        let next = match peek_at {
            None => queue.nth(request.skip.messages),
            // __skb_try_recv_from_queue(): what lies before the offset is passed over, and so is an
            // empty datagram that was shown before.
            Some(_) => queue.find(|(_, m)| {
                let len = m.payload.len();
                // One that an earlier message of the same recvmmsg(2) has shown is marked later.
                let marked = m.peeked || (len == 0 && offset == 0 && shown > 0);
                shown -= usize::from(marked && !m.peeked);
                let before = offset >= len && (len > 0 || offset > 0 || marked);
                if before {
                    offset -= len;
                }
                !before
            }),
        };
        let Some((index, message)) = next else {
            if s.shut.read && !request.last {
                let effect = RecvEffect::None;
                let (data, control) = (Payload::new(), Vec::new());
                let nothing = Received {
                    data,
                    ret: 0,
                    msg_flags: 0,
                    name: None,
                    control,
                    effect,
                };
                return Ok(Attempt::Ready(nothing));
            }
            if request.last {
                return Err(Errno::EAGAIN.into());
            }
            let timeout = socket.common.rcvtimeo;
            return Ok(Attempt::Blocked(Blocked {
                interest: PollMask::IN,
                timeout,
            }));
        };
        let whole = message.payload.len();
        let n = request.len.min(whole - offset);
        // At an offset, a peek to the end is cut too, unless more was asked for.
        let truncated = n < whole && request.len <= whole - offset;
        // ping_recvmsg() knows no MSG_TRUNC.
        let tells = request.flags & MSG_TRUNC != 0 && self.datagram(id) != Datagram::Ping;
        let ret = if tells { whole } else { n };
        let control = self.udp_control_out(cx, id, message);
        let effect = if peek_at.is_some() && (udp || whole == 0) {
            RecvEffect::Peek(PeekEffect {
                by: ret,
                empty: (whole == 0).then_some(index),
                at: Some(message.at),
            })
        } else if request.flags & MSG_PEEK != 0 {
            RecvEffect::Looked(message.at)
        } else {
            RecvEffect::Udp(UdpRecvEffect { ret, lost: false })
        };
        Ok(Attempt::Ready(Received {
            data: message.payload.slice(offset..offset + n),
            ret,
            msg_flags: if truncated { MSG_TRUNC } else { 0 },
            name: Some(SockAddr::Inet(self.udp_from(id, message))),
            control,
            effect,
        }))
    }

    /// The sender. ping_recvmsg() tells of the flow, too, to who sends flows.
    fn udp_from(&self, id: SocketId, m: &UdpReceived) -> SocketAddr {
        let v6 = (self.get(id)).is_ok_and(|s| i32::from(s.common.domain) == AF_INET6);
        let mut from = present(m.from, v6);
        if let SocketAddr::V6(from) = &mut from
            && self.datagram(id) == Datagram::Ping
            && (self.udp(id)).is_ok_and(|s| s.inet.has(InetFlags::FLOWINFO_SEND))
        {
            from.set_flowinfo(u32::from(m.tos) << 20 | m.flow_label);
        }
        from
    }

    /// sock_recv_cmsgs(), then ip_cmsg_recv() or ip6_datagram_recv_ctl().
    fn udp_control_out(&self, cx: &Cx<'_>, id: SocketId, m: &UdpReceived) -> Vec<ControlOut> {
        let mut out = Vec::new();
        let (Ok(socket), Ok(s)) = (self.get(id), self.udp(id)) else {
            return out;
        };
        let common = &socket.common;
        let arrival = Arrival {
            at: m
                .stamped
                .then(|| cx.realtime.saturating_sub(cx.now.saturating_sub(m.at))),
            drops: m.drops,
            tag: m.tag,
        };
        match socket.datagram() {
            // ping_recvmsg() knows no other option of the socket's.
            Datagram::Ping => control::stamps(cx, common, arrival.at, false, &mut out),
            Datagram::Udp | Datagram::Raw => control::received(cx, common, &arrival, &mut out),
        }
        if m.segment > 0 && s.offload.gro {
            // udp_cmsg_recv()
            out.push(ControlOut::Raw {
                level: SOL_UDP,
                kind: UDP_GRO,
                data: i32::from(m.segment).to_ne_bytes().to_vec(),
            });
        }
        let v6 = i32::from(common.domain) == AF_INET6;
        Facts::of(self, s, socket.datagram(), m).tell(&s.inet, v6, &mut out);
        out
    }

    pub(crate) fn udp_commit_recv(&mut self, cx: &mut Cx<'_>, id: SocketId, effect: UdpRecvEffect) {
        let Ok(s) = self.udp(id) else { return };
        let handle = s.handle;
        if effect.lost {
            self.stack.udp_lose(handle);
        } else if let Some(datagram) = self.stack.udp_pop(handle) {
            self.note_stamp(cx, id, datagram.at);
        }
        if let Ok(socket) = self.get_mut(id) {
            socket.common.peek_back(effect.ret);
        }
    }

    /// inet_shutdown() of a datagram socket: an unconnected one fails, and shuts all the same.
    pub(crate) fn udp_shutdown(
        &mut self,
        _cx: &mut Cx<'_>,
        id: SocketId,
        how: i32,
    ) -> Result<(), Errno> {
        let s = self.udp_mut(id)?;
        s.shut.add(how);
        let handle = s.handle;
        self.wake(id, PollMask::READABLE | PollMask::WRITABLE | PollMask::HUP);
        match self.stack.udp_peer(handle) {
            Some(_) => Ok(()),
            None => Err(Errno::ENOTCONN),
        }
    }

    /// datagram_poll().
    pub(crate) fn udp_poll(&self, id: SocketId) -> PollMask {
        let Ok(s) = self.udp(id) else {
            return PollMask::empty();
        };
        let mut mask = PollMask::empty();
        if self.udp_pending_error(s).is_some() || !s.inet.errors.is_empty() {
            mask |= PollMask::ERR;
            if (self.get(id)).is_ok_and(|s| s.common.has(CommonFlags::SELECT_ERR_QUEUE)) {
                mask |= PollMask::PRI;
            }
        }
        if s.shut.read {
            mask |= PollMask::RDHUP | PollMask::IN | PollMask::RDNORM;
        }
        if s.shut.read && s.shut.write {
            mask |= PollMask::HUP;
        }
        if self.stack.udp_peek(s.handle).is_some() {
            mask |= PollMask::IN | PollMask::RDNORM;
        }
        // sock_writeable(): a datagram leaves the send buffer at once, unless it is held back.
        let sndbuf = self.get(id).map_or(0, |s| s.common.sndbuf);
        if s.charge() < sndbuf / 2 {
            mask |= PollMask::WRITABLE;
        }
        mask
    }

    pub(crate) fn udp_close(&mut self, _cx: &mut Cx<'_>, id: SocketId) {
        let Some(socket) = self.sockets.remove(id) else {
            return;
        };
        let Kind::Udp(s) = socket.kind else { return };
        self.inet.set_udp(s.handle, None);
        self.stack.udp_close(s.handle);
    }
}
