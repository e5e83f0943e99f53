//! In: whether a packet is for this host, and for whom in it (ip_rcv, ip_local_deliver, ip6_input).

use core::net::IpAddr;

use switchboard_wire::{Body, IpHeader, Packet, UdpDatagram, is_extension, parse_transport};

use super::{Cast, Hint, Stack};
use crate::conf::Tunable4;
use crate::iface::IfIndex;
use crate::reports::IGMP;
use crate::tag::Tag;
use crate::time::Instant;

/// IPv6's "no next header".
const NO_NEXT: u8 = 59;

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// No link may carry it; it is counted.
    Martian,
    /// It is for somebody else.
    NotOurs,
}

impl Stack {
    /// A packet came in on an interface.
    pub fn deliver(&mut self, now: Instant, interface: IfIndex, packet: Packet) {
        self.deliver_tagged(now, interface, Tag::default(), packet);
    }

    /// [`deliver`](Self::deliver), with what the packet carries beside its bytes.
    pub fn deliver_tagged(&mut self, now: Instant, interface: IfIndex, tag: Tag, packet: Packet) {
        // netif_receive: nothing comes in by an interface that is down.
        if self.interfaces.get(interface).is_some_and(|i| !i.is_up()) {
            return;
        }
        self.tap(interface, false, tag, &packet.ip, &packet.body);
        self.untapped_input(now, interface, tag, packet);
    }

    /// [`deliver`](Self::deliver) of a packet that was shown already.
    pub(crate) fn deliver_untapped(&mut self, now: Instant, interface: IfIndex, packet: Packet) {
        self.untapped_input(now, interface, Tag::default(), packet);
    }

    fn untapped_input(&mut self, now: Instant, interface: IfIndex, tag: Tag, packet: Packet) {
        let Packet { ip, mut body } = packet;
        // ip6_rcv_core()
        if !ip.src.is_ipv4() && !self.interfaces.has_v6(interface) {
            self.counters.ip_in_discards += 1;
            return;
        }
        // The host's own broadcasts come back by the loopback queue.
        if interface != IfIndex::LO && ip.src.is_ipv4() && !self.may_come(interface, &ip) {
            let bytes = (ip.header_len() + body.wire_len()) as u64;
            self.count_input(interface, &ip, bytes);
            return;
        }
        self.ip_input(now, interface, Hint::NONE, tag, &ip, &mut body);
        self.run_loopback(now);
    }

    /// See [`inject`](Self::inject).
    pub(crate) fn injected_input(&mut self, now: Instant, tag: Tag, ip: IpHeader, mut body: Body) {
        if !self.interfaces.lo_is_up() {
            return;
        }
        // ip_route_input_slow(): who comes in from outside has no loopback address, unless route_localnet.
        let loopback = (ip.src.is_loopback() || ip.dst.is_loopback())
            && !self
                .interfaces
                .conf_or(IfIndex::LO, Tunable4::RouteLocalnet);
        if ip.src.is_ipv4() && (loopback || !self.may_come(IfIndex::LO, &ip)) {
            let bytes = (ip.header_len() + body.wire_len()) as u64;
            self.count_input(IfIndex::LO, &ip, bytes);
            return;
        }
        self.ip_input(now, IfIndex::LO, Hint::NONE, tag, &ip, &mut body);
        self.run_loopback(now);
    }

    /// A packet came in: is it for this host, and for whom in it?
    pub(super) fn ip_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        hint: Hint,
        tag: Tag,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        let bytes = (ip.header_len() + body.wire_len()) as u64;
        self.count_input(interface, ip, bytes);
        if self.nat.is_some()
            && let Some(packet) = self.nat_back(now, interface, ip, body)
        {
            return self.ip_forward(now, interface, &packet.ip, &packet.body, true);
        }
        let cast = match self.accepts(interface, ip) {
            Ok(cast) => cast,
            // ip_rcv_finish_core(): no route is looked for. ip6_rcv_core() does not take a group's word.
            Err(_) if hint.is_routed() && !(ip.is_v6() && ip.src.is_multicast()) => Cast::Unicast,
            Err(Refusal::Martian) => return,
            Err(Refusal::NotOurs) if self.takes_anybody(now, interface, ip, body) => Cast::Unicast,
            Err(Refusal::NotOurs) => {
                return self.ip_forward(now, interface, ip, body, false);
            }
        };
        match body {
            Body::Extended(extended) => {
                let extended = (**extended).clone();
                return self.extended_input(now, interface, (hint, tag), cast, ip, extended);
            }
            Body::Other { protocol, payload } if ip.is_v6() && is_extension(*protocol) => {
                let (protocol, bytes) = (*protocol, payload.clone());
                return self.chain_input(now, interface, (hint, tag), cast, ip, protocol, &bytes);
            }
            _ => {}
        }
        self.count_delivery(ip.is_v6());
        // raw_local_deliver: before the transport takes it apart.
        let heard = self.udp.has_raw() && self.raw_input(now, interface, tag, ip, body);
        self.ip_deliver(now, interface, (hint, tag), cast, ip, body, heard);
    }

    #[inline]
    pub(crate) fn count_delivery(&mut self, v6: bool) {
        self.counters.ip_in_delivers += 1;
        self.counters.v6.in_delivers += u64::from(v6);
    }

    /// A whole packet goes to its transport; `heard`: a raw socket had it.
    #[inline]
    #[allow(clippy::too_many_arguments)] // A packet, and what is known of it.
    pub(crate) fn ip_deliver(
        &mut self,
        now: Instant,
        interface: IfIndex,
        (hint, tag): (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        body: &mut Body,
        heard: bool,
    ) {
        if let Body::Other { protocol, payload } = body {
            if *protocol == IGMP && !ip.is_v6() {
                return self.igmp_input(now, interface, payload);
            }
            // What a raw socket sent is bytes until it arrives.
            match parse_transport(ip, *protocol, payload) {
                Ok(Body::Other { .. }) if heard => {}
                // RFC 8200, 4.7: nothing follows.
                Ok(Body::Other {
                    protocol: NO_NEXT, ..
                }) if ip.is_v6() => {}
                Ok(Body::Other { .. }) => {
                    self.counters.ip_in_unknown_protos += 1;
                    let (ip, body) = (*ip, body.clone());
                    self.icmp_unknown_protocol(now, interface, cast, &Packet { ip, body });
                }
                Ok(mut parsed) => {
                    self.transport_input(now, interface, (hint, tag), cast, ip, &mut parsed);
                }
                Err(_) => self.count_malformed(*protocol, ip.is_v6()),
            }
            return;
        }
        self.transport_input(now, interface, (hint, tag), cast, ip, body);
    }

    #[inline]
    fn transport_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        marks: (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        if self.diversion.is_some() && cast == Cast::Unicast && self.put_aside(interface, ip, body)
        {
            return;
        }
        self.transport_deliver(now, interface, marks, cast, ip, body);
    }

    /// [`transport_input`](Self::transport_input) of what nobody puts aside.
    #[inline]
    pub(crate) fn transport_deliver(
        &mut self,
        now: Instant,
        interface: IfIndex,
        (hint, tag): (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        // In place as far as possible: a packet is a large value to move.
        match body {
            // RFC 9293, 3.9.2.2: TCP is for unicast addresses.
            Body::Tcp(segment) if cast == Cast::Unicast => {
                self.tcp_input(now, interface, hint, ip, segment);
            }
            Body::Tcp(_) | Body::Other { .. } | Body::Extended(_) => {}
            Body::Udp(datagram) => {
                let datagram = UdpDatagram {
                    payload: core::mem::take(&mut datagram.payload),
                    ..*datagram
                };
                self.udp_input(now, interface, cast, tag, *ip, datagram);
            }
            Body::Icmp(message) => {
                self.icmp_input(now, interface, cast, *ip, message.clone());
            }
        }
    }

    /// A transport's header was cut short, or its checksum is wrong.
    fn count_malformed(&mut self, protocol: u8, v6: bool) {
        match protocol {
            17 => self.counters.udp_in_errors += 1,
            136 => self.counters.lite[usize::from(v6)].in_errors += 1,
            1 | 58 => self.counters.icmp_in_errors += 1,
            _ => self.counters.tcp_in_errs += 1,
        }
    }

    #[inline]
    fn count_input(&mut self, interface: IfIndex, ip: &IpHeader, bytes: u64) {
        let lo = if interface == IfIndex::LO { bytes } else { 0 };
        let counters = &mut self.counters;
        counters.ip_in_receives += 1;
        counters.ip_in_octets += bytes;
        counters.ip_loop_octets += lo;
        if ip.is_v6() {
            counters.v6.in_receives += 1;
            counters.v6.in_octets += bytes;
            counters.v6.loop_octets += lo;
        }
        if ip.dst.is_multicast() {
            counters.came_to_many(ip.is_v6(), bytes);
        }
        self.interfaces
            .received(interface, bytes, ip.dst.is_multicast());
    }

    /// Whether the host takes the packet, and how it was addressed. Martians are no errors that Linux counts.
    fn accepts(&mut self, interface: IfIndex, ip: &IpHeader) -> Result<Cast, Refusal> {
        let (src, dst) = (ip.src, ip.dst);
        // RFC 1122, 3.2.1.3 g; RFC 4291, 2.5.3: loopback addresses stay inside the host. A source that is a group or a
        // broadcast address is a martian (RFC 1122, 3.2.1.3).
        let loopback = (src.is_loopback() || dst.is_loopback())
            && interface != IfIndex::LO
            && !(src.is_ipv4() && self.interfaces.conf_or(interface, Tunable4::RouteLocalnet));
        let martian = loopback
            || src.is_multicast()
            || matches!(src, IpAddr::V4(v4) if v4.is_broadcast())
            || src.is_ipv4() != dst.is_ipv4();
        if martian {
            return Err(Refusal::Martian);
        }
        // The weak host model (RFC 1122, 3.3.4.2), as in Linux: any own address on any interface.
        if self.interfaces.owner(dst).is_some() {
            return Ok(Cast::Unicast);
        }
        match dst {
            IpAddr::V4(v4) if self.interfaces.is_broadcast(v4) => Ok(Cast::Broadcast),
            // 224.0.0.1 and ff02::1: every host is in the all-hosts group (RFC 1112, 4; RFC 4291, 2.8).
            IpAddr::V4(v4) if v4.octets() == [224, 0, 0, 1] => Ok(Cast::Multicast),
            IpAddr::V6(v6) if v6.segments() == [0xff02, 0, 0, 0, 0, 0, 0, 1] => Ok(Cast::Multicast),
            IpAddr::V6(v6) if self.interfaces.is_solicited_node(interface, v6) => {
                Ok(Cast::Multicast)
            }
            _ if dst.is_multicast() && self.groups.is_wanted(interface, dst, src) => {
                Ok(Cast::Multicast)
            }
            _ => Err(Refusal::NotOurs),
        }
    }
}
