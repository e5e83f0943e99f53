//! Out: packets to `lo`, to a link, or to a group's members here and there (ip_output, ip_mc_output).

use core::net::IpAddr;

use switchboard_wire::{Body, IpHeader, Packet};

use super::{Hint, Outgoing, Stack};
use crate::fragments::cut;
use crate::iface::IfIndex;
use crate::route::{RouteInfo, RouteKind};
use crate::tag::Tag;
use crate::time::Instant;

/// How many packets wait for `poll_transmit` at most; Linux's default txqueuelen.
pub(super) const TX_QUEUE_LEN: usize = 1000;

/// How many packets may wait for `poll_transmit` before TCP sends no more: it must not overflow the host's own queue
/// (Linux: TCP small queues).
const TCP_QUEUE_LEN: usize = TX_QUEUE_LEN / 2;

impl Stack {
    /// The next packet to carry, and the interface it leaves by. Packets on `lo` come out only where
    /// [`carry_loopback`](Self::carry_loopback) asks for it.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(IfIndex, Packet)> {
        let next = self.poll_outgoing(now)?;
        Some((next.interface, next.packet))
    }

    /// [`poll_transmit`](Self::poll_transmit), with whom the packet is handed to.
    pub fn poll_outgoing(&mut self, now: Instant) -> Option<Outgoing> {
        let next = self.transmit.pop_front();
        if self.transmit.len() < TCP_QUEUE_LEN / 2 {
            self.tcp_resume(now);
        }
        next
    }

    /// Whether TCP must wait until packets were taken by `poll_transmit`.
    #[inline]
    pub(crate) fn transmit_is_busy(&self) -> bool {
        self.transmit.len() >= TCP_QUEUE_LEN
    }

    /// Queues a packet for the interface that `route` named. Callers outside of input processing end with
    /// [`run_loopback`](Self::run_loopback).
    #[inline]
    pub(crate) fn ip_output(&mut self, route: &RouteInfo, packet: Packet) {
        self.ip_output_tagged(route, Tag::default(), packet);
    }

    /// [`ip_output`](Self::ip_output) of a packet that its sender has marked.
    #[inline]
    pub(crate) fn ip_output_tagged(&mut self, route: &RouteInfo, tag: Tag, packet: Packet) {
        self.counters.ip_out_requests += 1;
        self.counters.v6.out_requests += u64::from(packet.ip.is_v6());
        if route.interface == IfIndex::LO {
            self.loop_back(IfIndex::LO, Hint::NONE, tag, packet.ip, packet.body);
            return;
        }
        if route.kind == RouteKind::Broadcast {
            // ip_mc_output: the sender is one of those addressed.
            let Packet { ip, body } = packet.clone();
            self.loop_back(route.interface, Hint::NONE, tag, ip, body);
        }
        self.link_output(route, packet);
    }

    /// A packet with a header of its sender's for this host, which the route says and not the header.
    pub(crate) fn ip_output_routed(&mut self, tag: Tag, packet: Packet) {
        self.counters.ip_out_requests += 1;
        self.counters.v6.out_requests += u64::from(packet.ip.is_v6());
        self.loop_back(IfIndex::LO, Hint::ROUTED, tag, packet.ip, packet.body);
    }

    /// A packet leaves by a link.
    pub(crate) fn link_output(&mut self, route: &RouteInfo, packet: Packet) {
        if self.transmit.len() < self.transmit_room() {
            let bytes = packet.wire_len() as u64;
            if packet.segments() > 1 {
                let whole = packet.longest() <= route.mtu as usize
                    && self.interfaces.takes_large_segments(route.interface);
                if !whole {
                    return self.split_output(route, packet);
                }
            } else if bytes > u64::from(route.mtu) {
                return self.cut_output(route, &packet);
            }
            self.counters.ip_out_octets += bytes;
            let to_many = packet.ip.dst.is_multicast();
            if packet.ip.is_v6() {
                self.counters.v6.out_octets += bytes;
            }
            if to_many {
                self.counters.sent_to_many(packet.ip.is_v6(), bytes);
            }
            // With a link layer it is not on the link yet.
            if !self.interfaces.is_ethernet(route.interface) {
                self.interfaces.sent(route.interface, bytes);
                // A forwarded packet comes here too: whose mark it has is not known.
                let (ip, body) = (&packet.ip, &packet.body);
                self.tap(route.interface, true, Tag::default(), ip, body);
            }
            self.transmit.push_back(Outgoing {
                interface: route.interface,
                next_hop: route.next_hop,
                tag: Tag::default(),
                packet,
            });
        } else {
            self.counters.ip_out_discards += 1;
        }
    }

    /// What travelled as one leaves as the packets that it stands for (validate_xmit_skb, ip_finish_output_gso).
    fn split_output(&mut self, route: &RouteInfo, packet: Packet) {
        for one in packet.split() {
            self.link_output(route, one);
        }
    }

    /// A packet leaves in pieces.
    #[cold]
    fn cut_output(&mut self, route: &RouteInfo, packet: &Packet) {
        for piece in self.cut_counted(packet, route.mtu) {
            self.link_output(route, piece);
        }
    }

    /// The pieces of a packet; none where there is no room for any.
    pub(crate) fn cut_counted(&mut self, packet: &Packet, mtu: u32) -> alloc::vec::Vec<Packet> {
        let pieces = cut(packet, mtu, self.random.u32());
        let v6 = u64::from(packet.ip.is_v6());
        let (counters, made) = (&mut self.counters, pieces.len() as u64);
        if pieces.is_empty() {
            counters.ip_frag_fails += 1;
            counters.v6.frag_fails += v6;
        } else {
            counters.ip_frag_oks += 1;
            counters.ip_frag_creates += made;
            counters.v6.frag_oks += v6;
            counters.v6.frag_creates += v6 * made;
        }
        pieces
    }

    /// ip_mc_output, ip6_finish_output2: a packet to a group comes back to the members on this host, and one whose hops
    /// are none goes no further. On `lo` everything comes back anyway.
    pub(crate) fn multicast_output(
        &mut self,
        route: &RouteInfo,
        tag: Tag,
        loops: bool,
        packet: Packet,
    ) {
        let Packet { ip, body } = &packet;
        if route.interface == IfIndex::LO {
            return self.ip_output_tagged(route, tag, packet);
        }
        if loops && self.groups.is_wanted(route.interface, ip.dst, ip.src) {
            self.loop_back(route.interface, Hint::NONE, tag, *ip, body.clone());
        }
        // RFC 4291, 2.7: interface-local scope.
        let local = matches!(ip.dst, IpAddr::V6(dst) if dst.octets()[1] & 15 <= 1);
        if ip.hop_limit > 0 && !local {
            self.ip_output_tagged(route, tag, packet);
        }
    }

    /// [`ip_output_tagged`](Self::ip_output_tagged) and [`run_loopback`](Self::run_loopback): a packet on `lo` with nothing before it comes
    /// in from where it is, and not through the queue.
    #[inline]
    pub(crate) fn ip_output_now(
        &mut self,
        now: Instant,
        route: &RouteInfo,
        tag: Tag,
        ip: IpHeader,
        mut body: Body,
    ) {
        if route.interface == IfIndex::LO && self.loopback_is_free() {
            self.counters.ip_out_requests += 1;
            self.counters.v6.out_requests += u64::from(ip.is_v6());
            self.ip_input(now, IfIndex::LO, Hint::NONE, tag, &ip, &mut body);
        } else {
            self.ip_output_tagged(route, tag, Packet { ip, body });
        }
        self.run_loopback(now);
    }

    /// How many packets may wait for `poll_transmit`.
    pub(crate) fn transmit_room(&self) -> usize {
        let links = self.interfaces.iter().len() - 1;
        TX_QUEUE_LEN * (links + usize::from(self.interfaces.lo_is_carried))
    }

    /// See [`inject`](Self::inject).
    pub(crate) fn transmit_injected(&mut self, interface: IfIndex, packet: Packet) {
        if self.transmit.len() < self.transmit_room() {
            self.interfaces.sent(interface, packet.wire_len() as u64);
            let route = self.route(packet.ip.dst, None, Some(interface));
            self.transmit.push_back(Outgoing {
                interface,
                next_hop: route.map_or(packet.ip.dst, |route| route.next_hop),
                tag: Tag::default(),
                packet,
            });
        }
    }
}
