//! Sending datagrams: udp_sendmsg() and udpv6_sendmsg().

use super::addr::unmap;
use super::raw::Datagram;
use super::udp_plan::UdpSendPlan;
use crate::call::{Attempt, Cx, Fail, FailEffect};
use crate::host::Host;
use crate::message::{PlanKind, SendPlan, SendRequest};
use crate::options::control::Cookie;
use crate::options::timestamping::Sof;
use crate::socket::CommonFlags;
use crate::table::SocketId;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::{self, SIN6_LEN_RFC2133, SOCKADDR_IN_SIZE};
use switchboard_engine::{RouteInfo, SocketHandle, UdpId, Way};
use switchboard_wire::Payload;

impl Host {
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
        let common = &self.get(id)?.common;
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
        let v4 = i32::from(common.domain) == AF_INET;
        let on_link = request.flags & MSG_DONTROUTE != 0 || common.has(CommonFlags::DONTROUTE);
        // udp_sendmsg() takes these for `connected`, and the others' way for one of their own.
        let plain = v4 && !on_link && !request.control.concerns_ip() && !s.inet.routes_by_source();
        let plain = plain && connected.is_some_and(|peer| !peer.ip().is_multicast());
        let astray = match (s.astray(), connected) {
            // One that is held back itself has the connection's port.
            (Some((to, src)), Some(peer)) if plain => {
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
        let cookie = Cookie::new(common);
        let mut plan = UdpSendPlan::to(dst, &s.inet, cookie, request.flags);
        plan.src = match corked {
            Some(corked) => corked.to.src.or(corked.from),
            None => from.and_then(|(_, src)| src).or(plan.src),
        };
        if let Some(corked) = corked {
            plan.device = corked.to.device;
        }
        plan.probe |= lost;
        plan.finds_way = plain && request.name.is_none() && corked_to.is_none();
        plan.notices = u32::from(common.wants_notice(request.flags));
        plan.more |= s.offload.cork;
        plan.segment = s.offload.segment;
        plan.unsummed = s.is_unsummed(common, dst);
        // What is joined to a datagram that is held back is not looked at but for its length (do_append_data).
        let joins = corked_to.is_some();
        if !joins {
            self.udp_control_in(cx, id, v4, request.control, &mut plan)?;
            self.settle_flow_label(cx.now, id, request.name, &mut plan)?;
        }
        // A connected socket has its route; another asks for one each time.
        let mut route = None;
        let on_link = on_link || plan.is_strict();
        let elsewhere = plan.src.is_some()
            || plan.device.is_some()
            || plan.via() != dst.ip()
            // SO_BINDTOIFINDEX takes an interface that is not there, and makes the socket forget its way.
            || common.device().is_some_and(|device| self.stack.interface(device).is_none());
        if !joins && (Some(dst) != connected || elsewhere || on_link) {
            let found = self.udp_send_route(handle, &plan)?;
            super::check_on_link(&found, on_link)?;
            self.udp_check_broadcast(id, found.kind)?;
            route = Some(found);
        }
        // ip_make_skb(), ip_append_data(): a probe is done where a buffer would be made.
        if request.flags & MSG_PROBE != 0 && !joins {
            return Ok(Attempt::Ready(SendPlan {
                take: request.len,
                charge: 0,
                kind: PlanKind::Udp(plan),
            }));
        }
        let whole = s.held() + request.len;
        // What is joined is cut as the first part said.
        let size = s.corked.as_ref().map_or(plan.segment, |c| c.to.segment);
        let in_pieces = size > 0 && whole > usize::from(size);
        self.udp_check_size(s, &plan, whole + 8, in_pieces, route)?;
        if !in_pieces && joins {
            self.udp_check_room(s, common.sndbuf, &plan, request.len)?;
        }
        // sock_alloc_send_pskb(): a pending error is reported by the next send.
        if let Some(errno) = self.udp_pending_error(s).filter(|_| !joins) {
            return Err(Fail::with(
                errno,
                match s.left_by(&plan, true) {
                    FailEffect::Nothing => FailEffect::Pending,
                    effect => effect,
                },
            ));
        }
        if s.shut.write && !joins {
            // sock_alloc_send_pskb(): without a signal.
            return Err(Errno::EPIPE.into());
        }
        if plan.segment > 0 || s.corked.is_some() {
            let find = || {
                self.stack
                    .udp_route(
                        handle,
                        dst.ip(),
                        Way {
                            device: None,
                            mark: None,
                            ..plan.way()
                        },
                    )
                    .ok()
            };
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
        let Ok(s) = self.udp_mut(id) else { return };
        s.no_way &= !plan.finds_way;
        let (handle, corks) = (s.handle, s.corks(&plan));
        if plan.confirm {
            self.datagram_confirm(cx, handle, &plan);
        }
        let (to, data) = if corks {
            if plan.more && plan.dst.is_ipv6() {
                // fl6_sport of inet->cork.fl: the port may be another by the time the datagram is pushed.
                let port = self.stack.udp_local(handle).port();
                plan.extra.get_or_insert_default().port = Some(port);
            }
            match self.udp_cork(id, plan, data) {
                Some(whole) => whole,
                None => return,
            }
        } else {
            (plan, data)
        };
        let cookie = to.cookie;
        let notices = to.notices;
        let send = to.into_send(data);
        // The route and the size were looked at; what fails now is a datagram that was lost.
        let sent = (self.stack).udp_send_seen(cx.now, handle, send, cookie.keeps_packet());
        if cookie.stamps.intersects(Sof::TX_RECORD) {
            let packet = sent.as_ref().ok().and_then(Option::as_ref);
            self.datagram_sent(id, cx.now, &cookie, packet);
        }
        self.zerocopies_done(id, notices);
        self.datagram_left(id);
        self.collect_stack_events();
    }

    /// skb_set_dst_pending_confirm(), dst_confirm_neigh(): MSG_CONFIRM is about the neighbour of this message.
    pub(super) fn datagram_confirm(&mut self, cx: &Cx<'_>, handle: UdpId, plan: &UdpSendPlan) {
        self.stack
            .udp_confirm(cx.now, handle, plan.via(), plan.way());
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
            // IPv6 finds no route there (ip6_datagram_send_ctl() has looked at what a message names), IP_PKTINFO no
            // interface.
            return Err(if plan.dst.is_ipv6() {
                Errno::ENETUNREACH
            } else {
                Errno::ENODEV
            });
        }
        self.stack
            .udp_route(handle, plan.via(), plan.way())
            .map_err(crate::error::route)
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
}
