//! `lo`: what the host sends to itself, and comes in again at once or by whoever carries it.

use switchboard_wire::{Body, IpHeader, Packet};

use super::{Hint, Looped, Outgoing, Stack};
use crate::iface::IfIndex;
use crate::tag::Tag;
use crate::time::Instant;

/// How many loopback packets one call delivers at most; a full window in minimal segments stays below.
pub(super) const LOOPBACK_BUDGET: usize = 1 << 16;

impl Stack {
    /// [`ip_output`](Self::ip_output) of a connection's segment on `lo`.
    #[inline]
    pub(crate) fn tcp_loop_back(&mut self, hint: Hint, ip: IpHeader, body: Body) {
        self.counters.ip_out_requests += 1;
        self.counters.v6.out_requests += u64::from(ip.is_v6());
        self.loop_back(IfIndex::LO, hint, Tag::default(), ip, body);
    }

    #[inline]
    pub(super) fn loop_back(
        &mut self,
        interface: IfIndex,
        hint: Hint,
        tag: Tag,
        ip: IpHeader,
        body: Body,
    ) {
        if interface == IfIndex::LO && !self.interfaces.lo_is_direct() {
            return self.carried_loopback(tag, Packet { ip, body });
        }
        if interface == IfIndex::LO {
            self.tap(interface, true, tag, &ip, &body);
        }
        if self.loopback.len() < self.sysctl.netdev_max_backlog as usize {
            self.loopback.push_back(Looped {
                interface,
                hint,
                tag,
                ip,
                body,
            });
        } else {
            self.counters.ip_in_discards += 1;
        }
    }

    /// What is sent on `lo` does not come straight in again.
    #[cold]
    fn carried_loopback(&mut self, tag: Tag, packet: Packet) {
        // noop_enqueue: what goes to a device that is down is lost.
        if !self.interfaces.lo_is_up() || self.transmit.len() >= self.transmit_room() {
            self.counters.ip_out_discards += 1;
            return;
        }
        self.tap(IfIndex::LO, true, tag, &packet.ip, &packet.body);
        self.transmit.push_back(Outgoing {
            interface: IfIndex::LO,
            next_hop: packet.ip.dst,
            tag,
            packet,
        });
    }

    /// Whether what is sent on `lo` comes out of [`poll_outgoing`](Self::poll_outgoing), to be carried by the caller and
    /// handed back by [`deliver_tagged`](Self::deliver_tagged): for whoever wants to see it, or to be in its way.
    pub fn carry_loopback(&mut self, on: bool) {
        self.interfaces.lo_is_carried = on;
        self.interfaces.change(IfIndex::LO, |_| {});
    }

    /// Whether it is.
    pub fn loopback_is_carried(&self) -> bool {
        self.interfaces.lo_is_carried
    }

    /// Whether a packet on `lo` would be the next to come in; not when `loop_back` has a reason to drop it.
    #[inline]
    pub(crate) fn loopback_is_free(&self) -> bool {
        self.loopback.is_empty()
            && self.interfaces.lo_is_direct()
            && self.sysctl.netdev_max_backlog > 0
            && self.taps.is_none()
    }

    /// [`tcp_loop_back`](Self::tcp_loop_back), and the packet comes in at once, nothing being before it.
    #[inline]
    pub(crate) fn tcp_deliver_direct(
        &mut self,
        now: Instant,
        hint: Hint,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        self.counters.ip_out_requests += 1;
        self.counters.v6.out_requests += u64::from(ip.is_v6());
        self.ip_input(now, IfIndex::LO, hint, Tag::default(), ip, body);
    }

    /// Delivers what the host sent to itself, until nothing is left.
    #[inline]
    pub(crate) fn run_loopback(&mut self, now: Instant) {
        for _ in 0..LOOPBACK_BUDGET {
            let Some(mut looped) = self.loopback.pop_front() else {
                break;
            };
            let Looped {
                interface,
                hint,
                tag,
                ip,
                body,
            } = &mut looped;
            // What the host sent to many on another interface and hears itself is not seen (PACKET_LOOPBACK).
            if *interface == IfIndex::LO {
                self.tap(*interface, false, *tag, ip, body);
            }
            self.ip_input(now, *interface, *hint, *tag, ip, body);
        }
        self.stamp_taps(now);
    }
}
