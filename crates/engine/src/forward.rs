//! Forwarding: packets for others, on the way from one link to the next (RFC 1812, 5; RFC 8200, 3).
//!
//! # Theory of operation
//! A packet that came in and is for none of this host's addresses is handed on when forwarding is on: in IPv4 where it
//! came in (net.ipv4.conf.IF.forwarding), in IPv6 for the host as a whole (net.ipv6.conf.all.forwarding), as in Linux. The
//! order of the checks is Linux's: the route, the hops that are left, the length.
//!
//! # Limits
//! Groups are not forwarded, nor broadcasts. Redirects are neither sent nor heard.

use alloc::vec::Vec;
use core::net::IpAddr;

use bytes::Bytes;
use switchboard_wire::{Body, Extended, Fragment, IpHeader, Packet, emit_body};

use crate::icmp::Fault;
use crate::iface::IfIndex;
use crate::route::{self, RouteKind};
use crate::stack::{Cast, Stack};
use crate::time::Instant;

/// Which interfaces something is set for, as the directories of /proc/sys/net/ipv4/conf have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conf {
    /// `all`: for IPv4 all there are and will be.
    All,
    /// `default`: those that will be.
    Default,
    /// One.
    Interface(IfIndex),
}

impl Stack {
    /// net.ipv4.conf.*.forwarding, net.ipv6.conf.*.forwarding.
    pub fn forwarding(&self, v6: bool, conf: Conf) -> bool {
        match conf {
            Conf::All if v6 => self.sysctl.ipv6_forwarding,
            Conf::All => self.sysctl.ip_forward,
            Conf::Default => self.interfaces.forwarding[usize::from(v6)],
            Conf::Interface(index) => {
                (self.interfaces.get(index)).is_some_and(|i| i.forwarding[usize::from(v6)])
            }
        }
    }

    /// Sets it. `all` changes all others too (inet_forward_change, addrconf_fixup_forwarding).
    pub fn set_forwarding(&mut self, v6: bool, conf: Conf, on: bool) {
        match conf {
            Conf::All => {
                if v6 {
                    self.sysctl.ipv6_forwarding = on;
                } else {
                    self.sysctl.ip_forward = on;
                }
                self.interfaces.forward(v6, None, on);
            }
            Conf::Default => self.interfaces.forwarding[usize::from(v6)] = on,
            Conf::Interface(index) => self.interfaces.forward(v6, Some(index), on),
        }
        self.routes.touch();
    }

    /// A packet that is not for this host.
    pub(crate) fn ip_forward(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        body: &Body,
    ) {
        let v6 = ip.is_v6();
        let on = if v6 {
            self.sysctl.ipv6_forwarding
        } else {
            self.forwarding(false, Conf::Interface(interface))
        };
        if !on || !may_travel(ip) {
            self.counters.ip_in_addr_errors += 1;
            return;
        }
        let found = route::lookup(&self.interfaces, &self.routes, ip.dst, Some(ip.src), None);
        let mut packet = Packet {
            ip: *ip,
            body: body.clone(),
        };
        let route = match found {
            // A subnet's broadcast (RFC 2644), or the host's own network.
            Ok(route) if route.kind != RouteKind::Unicast || route.interface == IfIndex::LO => {
                self.counters.ip_in_addr_errors += 1;
                return;
            }
            Ok(route) => route,
            Err(_) => {
                self.counters.ip_in_no_routes += 1;
                return self.icmp_error(now, interface, Cast::Unicast, &packet, Fault::NoRoute);
            }
        };
        if ip.hop_limit <= 1 {
            self.counters.ip_in_hdr_errors += 1;
            return self.icmp_error(now, interface, Cast::Unicast, &packet, Fault::Hops);
        }
        if packet.wire_len() > route.mtu as usize && (v6 || ip.dont_fragment) {
            if v6 {
                self.counters.v6.in_too_big += 1;
            } else {
                self.counters.ip_frag_fails += 1;
            }
            let fault = Fault::TooBig(route.mtu);
            return self.icmp_error(now, interface, Cast::Unicast, &packet, fault);
        }
        packet.ip.hop_limit -= 1;
        self.counters.ip_forw_datagrams += 1;
        self.counters.v6.forw_datagrams += u64::from(v6);
        if packet.wire_len() <= route.mtu as usize {
            return self.link_output(&route, packet);
        }
        let Some(pieces) = cut(packet, route.mtu as usize) else {
            self.counters.ip_frag_fails += 1;
            return;
        };
        self.counters.ip_frag_oks += 1;
        for piece in pieces {
            self.counters.ip_frag_creates += 1;
            self.link_output(&route, piece);
        }
    }
}

/// Cuts an IPv4 packet, which may be a piece itself, into pieces that fit (RFC 791, 3.2). `None` when nothing of it fits
/// next to the header.
fn cut(packet: Packet, mtu: usize) -> Option<Vec<Packet>> {
    let Packet { ip, body } = packet;
    let (options, place, body) = match body {
        Body::Extended(extended) => {
            let options = Bytes::copy_from_slice(extended.options());
            (options, extended.fragment, extended.body)
        }
        body => (Bytes::new(), None, body),
    };
    let place = place.unwrap_or(Fragment {
        ident: ip.ident.into(),
        offset: 0,
        more: false,
    });
    let protocol = body.protocol(false);
    let bytes = Bytes::from(emit_body(&ip, &body));
    let copied = copied_options(&options);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let first = at == 0 && place.offset == 0;
        let options = if first { &options } else { &copied };
        let room = mtu.checked_sub(ip.header_len() + options.len())? & !7;
        if room == 0 {
            return None;
        }
        let end = (at + room).min(bytes.len());
        let fragment = Fragment {
            offset: place.offset + at as u32,
            more: place.more || end < bytes.len(),
            ..place
        };
        let payload = bytes.slice(at..end);
        let body = Body::Other { protocol, payload };
        let body = Extended::with_options(options.clone(), Some(fragment), body);
        pieces.push(Packet { ip, body });
        at = end;
    }
    Some(pieces)
}

/// The options that each piece has: those whose first bit says so (RFC 791, 3.1; ip_options_fragment).
fn copied_options(options: &[u8]) -> Bytes {
    let mut out = Vec::new();
    let mut rest = options;
    while let [kind, more @ ..] = rest {
        let len = match (kind, more) {
            (0, _) => break,
            (1, _) => 1,
            (_, [len, ..]) if (2..=rest.len()).contains(&usize::from(*len)) => usize::from(*len),
            _ => break,
        };
        if kind & 0x80 != 0 {
            out.extend_from_slice(&rest[..len]);
        }
        rest = &rest[len..];
    }
    out.resize(out.len().next_multiple_of(4), 0);
    Bytes::from(out)
}

/// Whether the addresses are such that routers hand the packet on (RFC 4291, 2.5.2, 2.5.6; RFC 1122, 3.2.1.3).
fn may_travel(ip: &IpHeader) -> bool {
    let one = |addr: IpAddr| match addr {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0),
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified() || v6.is_unicast_link_local()),
    };
    one(ip.src) && one(ip.dst)
}

#[cfg(test)]
mod tests;
