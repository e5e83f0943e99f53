//! Neighbour discovery (RFC 4861): solicitations and advertisements.
//!
//! # Limits
//! The host itself sends no router advertisements, whether it forwards or not: that is a program's (radvd), as on Linux.
//! Redirects are not heard.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use switchboard_wire::{Body, IcmpMessage, IpHeader, Mac, Packet};

use super::{NeighState, Update, ra};
use crate::iface::IfIndex;
use crate::route::{RouteInfo, RouteKind};
use crate::stack::Stack;
use crate::tag::Tag;
use crate::time::Instant;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Options: the sender's hardware address, the target's.
pub(super) const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;

/// Flags of an advertisement.
const ROUTER: u32 = 1 << 31;
const SOLICITED: u32 = 1 << 30;
const OVERRIDE: u32 = 1 << 29;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// RFC 4291, 2.7.1: the group of all who may have an address.
pub fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let base = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0);
    Ipv6Addr::from_bits(base.to_bits() | addr.to_bits() & 0xff_ffff)
}

/// RFC 4861, 4.6.1. `None`: an option has no length, or does not fit, and the message is to be dropped.
pub(super) fn link_option(mut options: &[u8], wanted: u8) -> Option<Option<Mac>> {
    let mut found = None;
    while !options.is_empty() {
        let [kind, length, ..] = *options else {
            return None;
        };
        let whole = options
            .get(..usize::from(length) * 8)
            .filter(|o| !o.is_empty())?;
        if kind == wanted && length == 1 && found.is_none() {
            let mut mac = [0; 6];
            mac.copy_from_slice(&whole[2..8]);
            found = Some(Mac(mac));
        }
        options = &options[whole.len()..];
    }
    Some(found)
}

impl Stack {
    /// ndisc_solicit()
    pub(super) fn ndp_solicit(
        &mut self,
        interface: IfIndex,
        target: Ipv6Addr,
        to: Option<Mac>,
        wants: Option<IpAddr>,
    ) {
        let has = |addr: &IpAddr| {
            let own = self.interface(interface);
            own.is_some_and(|i| i.addresses().iter().any(|a| a.addr == *addr))
        };
        let own = wants.filter(has);
        let Some(source) = own.or_else(|| self.address_towards(interface, target.into())) else {
            return;
        };
        let dst = if to.is_some() {
            target
        } else {
            solicited_node(target)
        };
        self.ndp_ask(interface, (source, dst), target, to, Some(SOURCE_LINK));
    }

    /// A solicitation leaves for `to`, or for the group that it is sent to.
    pub(super) fn ndp_ask(
        &mut self,
        interface: IfIndex,
        way: (IpAddr, Ipv6Addr),
        target: Ipv6Addr,
        to: Option<Mac>,
        option: Option<u8>,
    ) {
        let mac = to.unwrap_or(Mac::of_group(way.1.into()));
        let packet = self.ndp_packet(interface, way, (SOLICITATION, 0), target, option);
        self.counters.v6.out_requests += 1;
        self.send_to(interface, mac, Tag::default(), packet);
    }

    /// A solicitation or an advertisement.
    fn ndp_packet(
        &mut self,
        interface: IfIndex,
        (source, dst): (IpAddr, Ipv6Addr),
        (kind, flags): (u8, u32),
        target: Ipv6Addr,
        option: Option<u8>,
    ) -> Packet {
        let mut payload = Vec::from(target.octets());
        if let Some(option) = option {
            payload.extend_from_slice(&[option, 1]);
            payload.extend_from_slice(&self.mac_of(interface).0);
        }
        let mut ip = IpHeader::new(source, dst.into());
        // RFC 4861, 7.1: what a router has handed on is not from the link.
        ip.hop_limit = 255;
        let message = IcmpMessage::Other {
            kind,
            code: 0,
            rest: flags,
            payload: payload.into(),
        };
        self.counters.icmp_out_msgs += 1;
        self.counters.v6.icmp_out_msgs += 1;
        self.counters.icmp_out[1].count(true, &message);
        let body = Body::Icmp(message);
        Packet { ip, body }
    }

    /// ndisc_rcv()
    pub(crate) fn ndp_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        (kind, code): (u8, u8),
        rest: u32,
        payload: &[u8],
    ) {
        let ethernet = self.interface(interface).is_some_and(|i| i.is_ethernet());
        if !ethernet || ip.hop_limit != 255 || code != 0 {
            return;
        }
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else {
            return;
        };
        if kind == ra::ROUTER_ADVERTISEMENT {
            return self.router_advertised(now, interface, src, rest, payload);
        }
        let Some((target, options)) = payload.split_first_chunk::<16>() else {
            return;
        };
        let target = Ipv6Addr::from(*target);
        if target.is_multicast() {
            return;
        }
        match kind {
            SOLICITATION => {
                let Some(mac) = link_option(options, SOURCE_LINK) else {
                    return;
                };
                self.solicited(now, interface, (src, dst), target, mac);
            }
            ADVERTISEMENT => {
                let Some(mac) = link_option(options, TARGET_LINK) else {
                    return;
                };
                self.advertised(now, interface, dst, target, rest, mac);
            }
            _ => {}
        }
    }

    /// ndisc_recv_ns()
    fn solicited(
        &mut self,
        now: Instant,
        interface: IfIndex,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        target: Ipv6Addr,
        mac: Option<Mac>,
    ) {
        let probe = src.is_unspecified();
        // RFC 4861, 7.1.1: a probe goes to the group, and has no address in it.
        if probe && (dst != solicited_node(target) || mac.is_some()) {
            return;
        }
        let own = self.interface(interface);
        if !own.is_some_and(|i| i.addresses().iter().any(|a| a.addr == target)) {
            return;
        }
        // Of one that is not the host's yet nobody is told; who probes for it as well wants it too.
        if self.dad_heard(interface, target, probe) {
            return;
        }
        let router = if self.sysctl.ipv6_forwarding {
            ROUTER
        } else {
            0
        };
        if probe {
            // To all nodes: the one that asks has no address yet.
            let message = (ADVERTISEMENT, router | OVERRIDE);
            let way = (IpAddr::from(target), ALL_NODES);
            let packet = self.ndp_packet(interface, way, message, target, Some(TARGET_LINK));
            return self.ndp_reply(interface, ALL_NODES, packet);
        }
        if self.is_local(src.into()) {
            return;
        }
        let many = dst.is_multicast();
        let key = (interface, IpAddr::from(src));
        match mac.filter(|mac| mac.is_unicast()) {
            Some(mac) => {
                let how = Update {
                    overrides: true,
                    weak: true,
                    ..Update::default()
                };
                self.neigh_heard(now, key, mac, how);
            }
            // RFC 4861, 7.2.4: who asks everyone says who it is.
            None if many => return,
            None => {}
        }
        let option = many.then_some(TARGET_LINK);
        let flags = router | SOLICITED | if many { OVERRIDE } else { 0 };
        let way = (IpAddr::from(target), src);
        let packet = self.ndp_packet(interface, way, (ADVERTISEMENT, flags), target, option);
        self.ndp_reply(interface, src, packet);
    }

    fn ndp_reply(&mut self, interface: IfIndex, to: Ipv6Addr, packet: Packet) {
        let route = RouteInfo {
            destination: to.into(),
            source: packet.ip.src,
            mtu: self.interface(interface).map_or(0, |i| i.mtu()),
            interface,
            next_hop: to.into(),
            kind: RouteKind::Unicast,
        };
        self.ip_output(&route, packet);
    }

    /// ndisc_recv_na()
    fn advertised(
        &mut self,
        now: Instant,
        interface: IfIndex,
        dst: Ipv6Addr,
        target: Ipv6Addr,
        flags: u32,
        mac: Option<Mac>,
    ) {
        // RFC 4861, 7.1.2: nobody asked for what is told to many.
        if dst.is_multicast() && flags & SOLICITED != 0 {
            return;
        }
        if self.dad_heard(interface, target, true) {
            return;
        }
        let key = (interface, IpAddr::from(target));
        let known = self.neighbours.entries.get(&key);
        if known.is_none_or(|e| e.state == NeighState::Failed) {
            return;
        }
        let state = if flags & SOLICITED != 0 {
            NeighState::Reachable
        } else {
            NeighState::Stale
        };
        let how = Update {
            overrides: flags & OVERRIDE != 0,
            weak: true,
            admin: false,
            router: Some(flags & ROUTER != 0),
        };
        self.neigh_update(now, key, mac.filter(|mac| mac.is_unicast()), state, how);
    }
}
