//! udp(7): the socket, its connection and readiness.

use super::addr::{InetAddr, needs_scope, scope_of_peer, unmap};
use super::raw::Datagram;
use super::stamp::Stamp;
use super::tcp::ShutdownBits;
use super::udp_offload::Offload;
use super::udp_plan::{Corked, egress};
use super::{InetFlags, InetOptions};
use crate::call::Cx;
use crate::host::Host;
use crate::mask::PollMask;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr;
use switchboard_engine::{BindRequest, Family, RouteKind, UdpId, Way};

pub(crate) struct UdpSocket {
    pub(crate) handle: UdpId,
    pub(crate) inet: InetOptions,
    pub(crate) shut: ShutdownBits,
    /// Datagram bytes held back by `MSG_MORE`, and where they go.
    pub(crate) corked: Option<Corked>,
    /// Where a corked datagram went, and from which address if one was chosen: see [`UdpSocket::astray`].
    pub(super) flow: Option<Box<Flow>>,
    /// The next plain send looks for the connection's way (sk_dst_check() finds none), and finds it.
    pub(crate) no_way: bool,
    pub(crate) offload: Offload,
    pub(crate) stamp: Stamp,
    /// A pending error that no ICMP message made: see `Host::set_pending_error`.
    pub(crate) told: Option<Errno>,
}

pub(super) type Flow = (SocketAddr, Option<IpAddr>);

impl UdpSocket {
    pub(crate) fn new(handle: UdpId, inet: InetOptions) -> UdpSocket {
        UdpSocket {
            handle,
            inet,
            shut: ShutdownBits::default(),
            corked: None,
            flow: None,
            no_way: false,
            offload: Offload::default(),
            stamp: Stamp::default(),
            told: None,
        }
    }

    /// Where a connected IPv4 socket really sends: a corked datagram leaves its destination in inet->cork.fl, which
    /// the fast path of udp_sendmsg() takes for the connection's until it is connected anew.
    pub(super) fn astray(&self) -> Option<Flow> {
        self.flow.as_deref().copied().filter(|_| !self.no_way)
    }

    pub(crate) fn stray(&mut self, to: SocketAddrV4, from: Option<Ipv4Addr>) {
        self.flow = Some(Box::new((to.into(), from.map(IpAddr::V4))));
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
            if needs_scope(a.ip()) {
                let inet = &self.udp(id)?.inet;
                let group = a.ip().is_multicast();
                let by = inet.rare(|rare| rare.multicast_if6).filter(|_| group);
                let bound = self.get(id)?.common.device().or(by);
                a.set_scope_id(scope_of_peer(bound, a.scope_id())?.get());
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
        self.bind_to_scope(id, remote)?;
        let inet = &self.udp(id)?.inet;
        let (src, device) = egress(remote.ip(), inet);
        let way = Way {
            src,
            device,
            mark: None,
            tos: super::udp_plan::tos_to(remote.ip(), inet),
            port: remote.port(),
        };
        let route = self
            .stack
            .udp_route(handle, remote.ip(), way)
            .map_err(crate::error::route)?;
        self.udp_check_broadcast(id, route.kind)?;
        let on_link = self.get(id)?.common.has(CommonFlags::DONTROUTE);
        super::check_on_link(&route, on_link)?;
        self.stack
            .udp_connect_by(cx.now, handle, remote, way)
            .map_err(crate::error::route)?;
        let options = self.inet_options_mut(id)?;
        if options.rare(|rare| rare.flow_label) != label {
            options.rare_mut().flow_label = label;
        }
        if remote.is_ipv4() {
            // __ip4_datagram_connect() writes to inet->cork.fl: what is held back goes there, too.
            let peer = self.stack.udp_peer(handle).unwrap_or(remote);
            let s = self.udp_mut(id)?;
            (s.flow, s.no_way) = (None, false);
            if let Some(corked) = s.corked.as_mut().filter(|c| c.to.dst.is_ipv6()) {
                // The addresses of IPv6 stood in the same place: what leaves arrives nowhere.
                corked.to.lose();
            } else if let Some(corked) = &mut s.corked {
                corked.to.dst = peer;
                (corked.to.src, corked.from) = (None, None);
            }
        }
        self.collect_stack_events();
        Ok(())
    }

    /// sk_dst_reset(): a datagram socket looks for its way anew, and finds it where the connection goes.
    pub(crate) fn forget_way(&mut self, id: SocketId) {
        if let Ok(s) = self.udp_mut(id) {
            s.no_way = true;
        }
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

    /// ip_route_output_key_hash(): IPv4 leaves from an address that is not ours for `IP_TRANSPARENT` only
    /// (FLOWI_FLAG_ANYSRC); IPv6 does not ask.
    pub(super) fn is_foreign(&self, id: SocketId, chosen: Option<IpAddr>, dst: SocketAddr) -> bool {
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
