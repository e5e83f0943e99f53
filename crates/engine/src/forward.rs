//! Forwarding: packets for others, on the way from one link to the next (RFC 1812, 5; RFC 8200, 3).
//!
//! # Theory of operation
//! A packet that came in and is for none of this host's addresses is handed on when forwarding is on: in IPv4 where it
//! came in (net.ipv4.conf.IF.forwarding), in IPv6 for the host as a whole (net.ipv6.conf.all.forwarding), as in Linux. The
//! order of the checks is Linux's: the route, the hops that are left, the length.
//!
//! # Limits
//! Groups are not forwarded, nor broadcasts. Redirects are neither sent nor heard.

use core::net::IpAddr;

use switchboard_wire::{Body, IpHeader, Packet};

use crate::conf::Conf;
use crate::icmp::Fault;
use crate::iface::IfIndex;
use crate::policy::Flow;
use crate::route::{self, RouteError, RouteKind};
use crate::stack::{Cast, Stack};
use crate::time::Instant;

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

    /// A packet that is not for this host; `translated`: it came to an address of this host's, for somebody behind it.
    pub(crate) fn ip_forward(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        body: &Body,
        translated: bool,
    ) {
        let v6 = ip.is_v6();
        // What the router tells those behind it comes by `lo`.
        let own = translated && interface == IfIndex::LO;
        let on = if v6 {
            self.sysctl.ipv6_forwarding
        } else if own {
            true
        } else {
            self.forwarding(false, Conf::Interface(interface))
        };
        if !on || !may_travel(ip) {
            self.counters.ip_in_addr_errors += 1;
            return;
        }
        let flow = Flow {
            src: Some(ip.src),
            input: Some(interface),
            protocol: body.protocol(ip.is_v6()),
            ports: match body {
                Body::Tcp(segment) => (segment.src_port, segment.dst_port),
                Body::Udp(datagram) => (datagram.src_port, datagram.dst_port),
                _ => (0, 0),
            },
            tos: ip.tos,
            ..Flow::to(ip.dst)
        };
        let found = route::lookup(&self.interfaces, &self.routes, &flow);
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
            // ip_error(), ip6_pkt_drop()
            Err(error) => {
                let fault = match error {
                    RouteError::Blackhole => {
                        self.counters.ip_in_discards += 1;
                        return;
                    }
                    RouteError::HostUnreachable => Fault::Host,
                    RouteError::Prohibited => Fault::Prohibited,
                    _ => Fault::NoRoute,
                };
                self.counters.ip_in_no_routes += 1;
                return self.icmp_error(now, interface, Cast::Unicast, &packet, fault);
            }
        };
        if ip.hop_limit <= 1 {
            self.counters.ip_in_hdr_errors += 1;
            return self.icmp_error(now, interface, Cast::Unicast, &packet, Fault::Hops);
        }
        if packet.longest() > route.mtu as usize && (v6 || ip.dont_fragment) {
            if v6 {
                self.counters.v6.in_too_big += 1;
            } else {
                self.counters.ip_frag_fails += 1;
            }
            let fault = Fault::TooBig(route.mtu);
            return self.icmp_error(now, interface, Cast::Unicast, &packet, fault);
        }
        let ways = (interface, route.interface);
        if self.nat.is_some() && !self.nat_out(now, ways, translated, &mut packet) {
            self.counters.ip_in_discards += 1;
            return;
        }
        packet.ip.hop_limit -= 1;
        self.counters.ip_forw_datagrams += 1;
        self.counters.v6.forw_datagrams += u64::from(v6);
        // What is too long by now may be cut, and is.
        self.link_output(&route, packet);
    }
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
