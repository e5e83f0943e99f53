//! ARP (RFC 826), with the rules of Linux's arp_process(): any own address is answered for on any interface unless
//! arp_ignore or arp_filter say otherwise, a stranger's word is not kept unless it was asked for or asks (arp_accept 0).
//! proxy_arp answers at once, where Linux waits up to proxy_delay.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use switchboard_wire::{Arp, Ethernet, Frame, FrameBody, Mac};

use super::{NeighState, Update};
use crate::conf::{Conf, Tunable4};
use crate::iface::IfIndex;
use crate::policy::Flow;
use crate::route::{self, RouteKind};
use crate::stack::Stack;
use crate::time::Instant;

impl Stack {
    /// arp_solicit(): asks everyone, or `to`. `wants` is the source of the packet that waits.
    pub(super) fn arp_solicit(
        &mut self,
        interface: IfIndex,
        target: Ipv4Addr,
        to: Option<Mac>,
        wants: Option<IpAddr>,
    ) {
        // arp_announce 0: any address of the host will do; 1: one of the target's subnet; 2: the best there is.
        let announce = self.interfaces.conf_max(interface, Tunable4::ArpAnnounce);
        let own = wants.filter(|src| match announce {
            1 => self.is_on_link(interface, target.into(), *src),
            2 => false,
            _ => self.is_local(*src),
        });
        let source = match own.or_else(|| self.address_towards(interface, target.into())) {
            Some(IpAddr::V4(source)) => source,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let arp = Arp {
            operation: Arp::REQUEST,
            sender: (self.mac_of(interface), source),
            target: (Mac::ZERO, target),
        };
        self.arp_send(interface, to.unwrap_or(Mac::BROADCAST), arp);
    }

    fn arp_send(&mut self, interface: IfIndex, dst: Mac, arp: Arp) {
        let src = self.mac_of(interface);
        self.transmit_frame(
            interface,
            Frame {
                link: Some(Ethernet { dst, src }),
                body: FrameBody::Arp(arp),
            },
        );
    }

    /// arp_process(). `to_us`: the frame was for this host alone.
    pub(crate) fn arp_input(&mut self, now: Instant, interface: IfIndex, to_us: bool, arp: Arp) {
        let (sender, source) = arp.sender;
        let (_, target) = arp.target;
        let request = arp.operation == Arp::REQUEST;
        if !(request || arp.operation == Arp::REPLY)
            || target.is_multicast()
            || (target.is_loopback()
                && !self.interfaces.conf_or(interface, Tunable4::RouteLocalnet))
            || sender.is_group()
            || (source == target
                && self
                    .interfaces
                    .conf_or(interface, Tunable4::DropGratuitousArp))
        {
            return;
        }
        let ours = self.is_local(target.into());
        let answer = |stack: &Stack| Arp {
            operation: Arp::REPLY,
            sender: (stack.mac_of(interface), target),
            target: (sender, source),
        };
        // RFC 5227, 2.1.1: whether somebody has the address.
        if request && source.is_unspecified() {
            if ours && !self.arp_ignore(interface, source, target) {
                let reply = answer(self);
                self.arp_send(interface, sender, reply);
            }
            return;
        }
        // fib_validate_source: nobody else may speak with the host's own address.
        let impossible = source.is_unspecified()
            || source.is_multicast()
            || source.is_broadcast()
            || self.is_local(source.into());
        if impossible {
            return;
        }
        let key = (interface, IpAddr::from(source));
        let heard = if ours {
            !self.arp_ignore(interface, source, target)
                && !self.arp_filter(interface, source, target)
        } else {
            request && self.arp_proxy(interface, source, target)
        };
        if request && heard {
            let how = Update {
                overrides: true,
                ..Update::default()
            };
            self.neigh_heard(now, key, sender, how);
            let reply = answer(self);
            self.arp_send(interface, sender, reply);
            return;
        }
        if request && ours {
            return;
        }
        // arp_is_garp()
        let gratuitous = source == target && (request || arp.target.0 == sender);
        let accepts = match self.interfaces.conf_max(interface, Tunable4::ArpAccept) {
            0 => false,
            2 => self.has_subnet_of(interface, source.into()),
            _ => true,
        };
        let known = self.neighbours.entries.contains_key(&key);
        if !known && !(accepts && (gratuitous || !request) && self.neighbours.has(now, key)) {
            return;
        }
        let Some(entry) = self.neighbours.entries.get(&key) else {
            return;
        };
        let locked = now <= entry.updated + self.neighbours.params(key).locktime;
        // "Broadcast replies and request packets do not assert neighbour reachability."
        let state = if !request && to_us {
            NeighState::Reachable
        } else {
            NeighState::Stale
        };
        let how = Update {
            overrides: gratuitous || !locked,
            ..Update::default()
        };
        self.neigh_update(now, key, Some(sender), state, how);
        self.neigh_arm();
    }

    /// arp_ignore(): whether nothing is said about an address of the host's.
    fn arp_ignore(&self, interface: IfIndex, source: Ipv4Addr, target: Ipv4Addr) -> bool {
        let asked = (!source.is_unspecified()).then_some(IpAddr::V4(source));
        match self.interfaces.conf_max(interface, Tunable4::ArpIgnore) {
            1 => !self.confirms(Some(interface), target.into(), None),
            2 => !self.confirms(Some(interface), target.into(), asked),
            // Those of the host's own scope.
            3 => target.is_loopback(),
            8 => true,
            _ => false,
        }
    }

    /// arp_filter(): whether who asks is reached by another interface.
    fn arp_filter(&self, interface: IfIndex, source: Ipv4Addr, target: Ipv4Addr) -> bool {
        if !self.interfaces.conf_or(interface, Tunable4::ArpFilter) {
            return false;
        }
        let back = Flow {
            src: Some(target.into()),
            ..Flow::to(source.into())
        };
        let found = route::lookup(&self.interfaces, &self.routes, &back);
        found.map(|route| route.interface) != Ok(interface)
    }

    /// arp_fwd_proxy(): whether a request for somebody else's address is answered since this host leads there.
    fn arp_proxy(&self, interface: IfIndex, source: Ipv4Addr, target: Ipv4Addr) -> bool {
        if !self.interfaces.conf_or(interface, Tunable4::ProxyArp)
            || !self.forwarding(false, Conf::Interface(interface))
        {
            return false;
        }
        let there = Flow {
            src: Some(source.into()),
            input: Some(interface),
            ..Flow::to(target.into())
        };
        route::lookup(&self.interfaces, &self.routes, &there).is_ok_and(|route| {
            route.kind == RouteKind::Unicast
                && route.interface != interface
                && route.interface != IfIndex::LO
        })
    }

    /// inet_addr_onlink(): whether both are of one subnet of the interface.
    fn is_on_link(&self, interface: IfIndex, target: IpAddr, source: IpAddr) -> bool {
        let own = self.interfaces.get(interface);
        let mut all = own.map_or(&[][..], |i| i.addresses()).iter();
        self.is_local(source) && all.any(|a| a.covers(target) && a.covers(source))
    }

    /// Whether an address is of a subnet of the interface's.
    fn has_subnet_of(&self, interface: IfIndex, addr: IpAddr) -> bool {
        let own = self.interfaces.get(interface);
        own.is_some_and(|i| i.addresses().iter().any(|a| a.covers(addr)))
    }

    /// inetdev_send_gratuitous_arp(): tells the link which addresses are here, if arp_notify asks for it.
    pub(crate) fn arp_notify(&mut self, interface: IfIndex) {
        if self.interfaces.conf_max(interface, Tunable4::ArpNotify) == 0 {
            return;
        }
        let own = self
            .interfaces
            .get(interface)
            .filter(|i| i.is_ethernet() && i.is_up());
        let all: Vec<_> = own.map_or(&[][..], |i| i.addresses()).to_vec();
        for address in all {
            if let IpAddr::V4(addr) = address.addr {
                let arp = Arp {
                    operation: Arp::REQUEST,
                    sender: (self.mac_of(interface), addr),
                    target: (Mac::ZERO, addr),
                };
                self.arp_send(interface, Mac::BROADCAST, arp);
            }
        }
    }
}

#[cfg(test)]
mod tests;
