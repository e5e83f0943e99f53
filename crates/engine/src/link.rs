//! Interfaces with a link layer: Ethernet frames out and in.
//!
//! # Theory of operation
//! What leaves by such an interface gets its hardware address when the driver takes it ([`Stack::poll_frame`]): a packet
//! whose next hop is not known waits with the neighbour, and the question leaves in its place. What comes in
//! ([`Stack::deliver_frame`]) is taken if it is for the interface, for everyone or for a group; ARP ends here.
//!
//! # Limits
//! What is not IP or ARP is shown to packet sockets and goes no further. No VLANs, no IEEE 802.3 lengths.

use core::net::IpAddr;

use switchboard_wire::{Body, Ethernet, Frame, FrameBody, Mac, Packet};

use crate::iface::{IfIndex, InterfaceConfig};
use crate::route;
use crate::stack::{Outgoing, Stack};
use crate::tag::Tag;
use crate::time::Instant;

/// A frame on its way out.
#[derive(Clone, Debug)]
pub struct Departure {
    /// The interface it leaves by.
    pub interface: IfIndex,
    /// Who on the link is to take it, where there is no link layer: the destination itself, or a router.
    pub next_hop: Option<IpAddr>,
    /// What it carries beside its bytes, for `lo`.
    pub tag: Tag,
    /// The frame.
    pub frame: Frame,
}

impl Stack {
    /// Adds an interface with Ethernet. It has an IPv6 link-local address from the start, as Linux gives one.
    pub fn add_ethernet(&mut self, config: InterfaceConfig, mac: Mac) -> IfIndex {
        let index = self.add_interface(config);
        self.interfaces.change(index, |i| i.set_ethernet(mac));
        index
    }

    /// The next frame to carry. Of an interface without a link layer it is a packet.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Departure> {
        self.report_groups(now);
        loop {
            if let Some(next) = self.frames.pop_front() {
                return Some(next);
            }
            let Outgoing {
                interface,
                next_hop,
                tag,
                packet,
            } = self.poll_outgoing(now)?;
            let plain = !self.interface(interface).is_some_and(|i| i.is_ethernet());
            if plain {
                return Some(Departure {
                    interface,
                    next_hop: Some(next_hop),
                    tag,
                    frame: packet.into(),
                });
            }
            if let Some((mac, packet)) = self.neigh_output(now, interface, next_hop, tag, packet) {
                self.send_to(interface, mac, tag, packet);
            }
            self.stamp_taps(now);
        }
    }

    /// A frame came in on an interface.
    pub fn deliver_frame(&mut self, now: Instant, interface: IfIndex, frame: Frame) {
        let Some(own) = self.interfaces.get(interface).filter(|i| i.is_up()) else {
            return;
        };
        let (Frame { link, body }, mac) = (frame, Mac(own.hardware()));
        let (Some(link), true) = (link, own.is_ethernet()) else {
            if let FrameBody::Ip(packet) = body {
                self.deliver(now, interface, packet);
            }
            return;
        };
        let (to_us, to_many) = (link.dst == mac, link.dst.is_group());
        match body {
            FrameBody::Ip(packet) => {
                self.tap_frame(
                    interface,
                    false,
                    Tag::default(),
                    Some(link),
                    &packet.ip,
                    &packet.body,
                );
                if to_us || to_many {
                    self.link_input(now, interface, to_many, packet);
                }
            }
            FrameBody::Arp(arp) => {
                let frame = Frame {
                    link: Some(link),
                    body: FrameBody::Arp(arp),
                };
                self.other_input(interface, &frame);
                if to_us || to_many {
                    self.arp_input(now, interface, to_us, arp);
                }
            }
            FrameBody::Other { ethertype, payload } => {
                if matches!(ethertype, 0x0800 | 0x86dd) && (to_us || to_many) {
                    self.counters.ip_in_receives += 1;
                    self.counters.ip_in_hdr_errors += 1;
                }
                let frame = Frame {
                    link: Some(link),
                    body: FrameBody::Other { ethertype, payload },
                };
                self.other_input(interface, &frame);
            }
        }
        self.run_loopback(now);
    }

    fn other_input(&mut self, interface: IfIndex, frame: &Frame) {
        let many = frame.link.is_some_and(|link| link.dst.is_group());
        self.interfaces
            .received(interface, frame.wire_len() as u64, many);
        self.tap_other(interface, false, frame);
    }

    /// An IP packet for this host, as far as the link knows.
    fn link_input(&mut self, now: Instant, interface: IfIndex, to_many: bool, packet: Packet) {
        let dst = packet.ip.dst;
        if to_many && !self.may_be_to_many(dst) {
            // ip_forward(), tcp_v4_rcv(): what everyone gets is neither handed on nor TCP's.
            let tcp = matches!(packet.body, Body::Tcp(_));
            if tcp || !self.is_local(dst) {
                self.counters.ip_in_discards += 1;
                return;
            }
        }
        self.deliver_untapped(now, interface, packet);
    }

    fn may_be_to_many(&self, dst: IpAddr) -> bool {
        dst.is_multicast() || matches!(dst, IpAddr::V4(v4) if self.interfaces.is_broadcast(v4))
    }

    /// A frame that a packet socket sends by an interface with a link layer, and has seen already.
    pub fn inject_frame(&mut self, interface: IfIndex, frame: Frame) {
        if self.frames.len() < self.transmit_room() {
            self.interfaces.sent(interface, frame.wire_len() as u64);
            self.frames.push_back(Departure {
                interface,
                next_hop: None,
                tag: Tag::default(),
                frame,
            });
        }
    }

    /// A packet leaves for a hardware address.
    pub(crate) fn send_to(&mut self, interface: IfIndex, dst: Mac, tag: Tag, packet: Packet) {
        let src = self.mac_of(interface);
        let link = Some(Ethernet { dst, src });
        if self.frames.len() >= self.transmit_room() {
            self.counters.ip_out_discards += 1;
            return;
        }
        self.interfaces.sent(interface, packet.wire_len() as u64);
        self.tap_frame(interface, true, tag, link, &packet.ip, &packet.body);
        self.frames.push_back(Departure {
            interface,
            next_hop: None,
            tag,
            frame: Frame {
                link,
                body: FrameBody::Ip(packet),
            },
        });
    }

    /// What is no IP packet leaves.
    pub(crate) fn transmit_frame(&mut self, interface: IfIndex, frame: Frame) {
        self.tap_other(interface, true, &frame);
        self.inject_frame(interface, frame);
    }

    pub(crate) fn mac_of(&self, interface: IfIndex) -> Mac {
        let own = self.interfaces.get(interface);
        own.map_or(Mac::ZERO, |i| Mac(i.hardware()))
    }

    /// The address that an interface has for speaking with `dst` (inet_select_addr).
    pub(crate) fn address_towards(&self, interface: IfIndex, dst: IpAddr) -> Option<IpAddr> {
        route::source_on(&self.interfaces, interface, dst)
    }
}
