//! ARP (RFC 826), with the rules of Linux's arp_process() and its defaults: any own address is answered for on any
//! interface (arp_ignore 0), a stranger's word is not kept unless it was asked for or asks (arp_accept 0).

use core::net::{IpAddr, Ipv4Addr};

use switchboard_wire::{Arp, Ethernet, Frame, FrameBody, Mac};

use super::{NeighState, Update};
use crate::iface::IfIndex;
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
        // arp_announce 0: any address of the host will do.
        let own = wants.filter(|src| self.is_local(*src));
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
            || target.is_loopback()
            || sender.is_group()
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
            if ours {
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
        if request && ours {
            let how = Update {
                overrides: true,
                ..Update::default()
            };
            self.neigh_heard(now, key, sender, how);
            let reply = answer(self);
            self.arp_send(interface, sender, reply);
            return;
        }
        let Some(entry) = self.neighbours.entries.get(&key) else {
            return;
        };
        // arp_is_garp()
        let gratuitous = source == target && (request || arp.target.0 == sender);
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
    }
}
