//! Sending: what datagrams of UDP, raw and ping sockets have in common on their way out, and UDP's own.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use switchboard_wire::{Body, IpHeader, Packet, Payload, UdpDatagram};

use super::{Role, Way, canonical, segment};
use crate::event::UdpId;
use crate::extended::SendExtra;
use crate::iface::IfIndex;
use crate::route::{RouteError, RouteInfo, RouteKind};
use crate::stack::Stack;
use crate::tag::Tag;
use crate::time::Instant;

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
    /// Routers may cut an IPv4 packet (IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE, IP_PMTUDISC_OMIT).
    pub may_be_cut: bool,
    /// Not 0: an IPv6 packet that has to be cut is cut into fragments that are not larger (IPV6_MTU).
    pub fragment_size: u32,
    /// IPv4 options or IPv6 extension headers.
    pub extra: Option<Box<SendExtra>>,
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpSendError {
    /// No route leads to the destination.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Too long for UDP, or for the path.
    #[error("message too long")]
    TooBig,
    /// The socket could not be bound to a port first.
    #[error("no free port")]
    PortsExhausted,
}

impl Stack {
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
            may_be_cut,
            fragment_size,
            tag,
            flow_label,
            extra,
            ..
        } = send;
        let mut ip = self.udp_header(&route, tos, ttl);
        let datagram = UdpDatagram::HEADER_LEN + payload.len();
        let beside = extra.as_ref().map_or(0, |extra| extra.len(ip.is_v6()));
        check_size(&ip, datagram + beside)?;
        let socket = self.udp.open(id);
        let other = extra.as_ref().and_then(|extra| extra.port);
        let src_port = other.unwrap_or_else(|| socket.local.port());
        let lite = match &socket.role {
            Role::Lite(coverage) => Some(coverage.of(datagram)),
            _ => None,
        };
        if may_be_cut {
            self.let_cut(&mut ip);
        }
        self.label(&mut ip, flow_label, (src_port, dst.port()));
        let wrap = |body| match &extra {
            Some(extra) => extra.wrap(now, &ip, dst.ip(), body),
            None => body,
        };
        let datagram = UdpDatagram {
            src_port,
            dst_port: dst.port(),
            payload,
            segment,
            unsummed,
            lite,
        };
        if lite.is_some() {
            self.counters.lite[usize::from(ip.is_v6())].out_datagrams += 1;
        } else {
            self.counters.udp_out_datagrams += 1;
            self.counters.v6.udp_out_datagrams += u64::from(ip.is_v6());
        }
        let mut seen = None;
        if segment == 0 || segment::stays_whole(route.interface, &ip, datagram.payload.len()) {
            let body = wrap(Body::Udp(datagram));
            if see {
                let body = body.clone();
                seen = Some(Packet { ip, body });
            }
            if dst.ip().is_unspecified() && route.kind == RouteKind::Local {
                // See udp_route(): it may go to an address that is not ours.
                self.ip_output_routed(tag, Packet { ip, body });
                self.run_loopback(now);
                return Ok(seen);
            }
            if route.interface == IfIndex::LO && fragment_size == 0 {
                self.ip_output_now(now, &route, tag, ip, body);
                return Ok(seen);
            }
            self.udp_output(id, &route, tag, fragment_size, Packet { ip, body });
        } else {
            for datagram in segment::cut(datagram) {
                let body = wrap(Body::Udp(datagram));
                let packet = Packet { ip, body };
                if see && seen.is_none() {
                    seen = Some(packet.clone());
                }
                self.udp_output(id, &route, tag, fragment_size, packet);
            }
        }
        self.run_loopback(now);
        Ok(seen)
    }

    /// MSG_CONFIRM: the caller knows that whoever takes the datagram on its link is there. Its way is that of
    /// [`udp_route`](Self::udp_route).
    pub fn udp_confirm(&mut self, now: Instant, id: UdpId, dst: IpAddr, way: Way) {
        if let Ok(route) = self.udp_route(id, dst, way) {
            self.neigh_confirm(now, &route);
        }
    }

    /// The header of a datagram that goes by `route`.
    pub(super) fn udp_header(
        &self,
        route: &RouteInfo,
        tos: Option<u8>,
        ttl: Option<u8>,
    ) -> IpHeader {
        let mut ip = IpHeader::new(route.source, route.destination);
        ip.tos = tos.unwrap_or(0);
        ip.hop_limit = ttl.unwrap_or(match route.kind {
            // RFC 1112, 6.1; RFC 3493, 5.2: datagrams to groups stay on the link by default.
            RouteKind::Multicast => 1,
            _ if ip.is_v6() => self.hop_limit6(route.interface),
            _ => self.sysctl.ip_default_ttl,
        });
        ip
    }

    /// The flow label of an IPv6 packet: what was asked for, else one made of addresses and ports (ip6_make_flowlabel).
    pub(crate) fn label(&self, ip: &mut IpHeader, asked: Option<u32>, ports: (u16, u16)) {
        /// IPV6_FLOWLABEL_STATELESS_FLAG
        const STATELESS: u32 = 0x8_0000;
        if !ip.is_v6() {
            return;
        }
        ip.flow_label = asked.unwrap_or_else(|| {
            let here = SocketAddr::new(ip.src, ports.0);
            let there = SocketAddr::new(ip.dst, ports.1);
            let made = self.udp.udp.demux.flow_label(here, there);
            match self.sysctl.flowlabel_state_ranges {
                true => made | STATELESS,
                false => made,
            }
        });
    }

    /// IPv4: routers may cut the packet, for which it needs a number of its own (RFC 6864, 4.1).
    pub(super) fn let_cut(&mut self, ip: &mut IpHeader) {
        if !ip.is_v6() {
            ip.dont_fragment = false;
            ip.ident = self.random.u32() as u16;
        }
    }

    /// A packet of the socket leaves; if it has to be cut, into fragments of no more than `most` bytes, unless that is 0
    /// (ip6_fragment: frag_size counts for what is larger than the path takes). Callers end with
    /// [`run_loopback`](Self::run_loopback).
    pub(super) fn udp_output(
        &mut self,
        id: UdpId,
        route: &RouteInfo,
        tag: Tag,
        most: u32,
        packet: Packet,
    ) {
        if most > 0 && packet.wire_len() > route.mtu as usize {
            let most = most.min(route.mtu);
            for piece in self.cut_counted(&packet, most) {
                self.udp_output(id, route, tag, 0, piece);
            }
            return;
        }
        match route.kind {
            RouteKind::Multicast => {
                let loops = self.udp.open(id).multicast_loop[usize::from(packet.ip.is_v6())];
                self.multicast_output(route, tag, loops, packet);
            }
            _ => self.ip_output_tagged(route, tag, packet),
        }
    }

    /// The way of a datagram: a connected socket has it, another asks for one each time.
    pub(super) fn udp_send_route(
        &self,
        id: UdpId,
        dst: IpAddr,
        send: &UdpSend,
    ) -> Result<RouteInfo, RouteError> {
        let socket = self.udp.open(id);
        let hop = send.extra.as_ref().and_then(|extra| extra.first_hop());
        let dst = hop.unwrap_or(dst);
        match socket.route {
            Some((then, route))
                if then == self.routes.generation()
                    && hop.is_none()
                    && send.src.is_none()
                    && send.device.is_none()
                    && send.tag.mark == socket.attributes.mark
                    && socket.remote == Some(canonical(send.dst)) =>
            {
                Ok(route)
            }
            _ => {
                let way = Way {
                    src: send.src,
                    device: send.device,
                    mark: Some(send.tag.mark),
                    tos: send.tos.unwrap_or(0),
                    port: send.dst.port(),
                };
                self.udp_route(id, dst, way)
            }
        }
    }
}

/// Whether a packet whose IP header is followed by `body` bytes can be sent. What exceeds the MTU is cut; on `lo` Linux
/// does so too, where nobody can see it.
pub(super) fn check_size(ip: &IpHeader, body: usize) -> Result<(), UdpSendError> {
    // The length field counts 16 bits, with the IP header in IPv4 and without it in IPv6.
    let counted = body + if ip.is_v6() { 0 } else { ip.header_len() };
    if counted > usize::from(u16::MAX) {
        return Err(UdpSendError::TooBig);
    }
    Ok(())
}
