//! Packets for those who look at all of them: packet(7).
//!
//! # Theory of operation
//! While somebody looks, every packet that an interface sends or gets is copied to a queue, payload shared, which the
//! layer above empties after each call. On `lo` each packet is there twice: as it leaves and as it comes in. Packets take
//! the long way through the loopback queue then, so that they come in the order in which Linux would show them.
//!
//! # Limits
//! The queue holds [`QUEUE_LEN`] packets of one call; what comes on top is not seen, and counted.

use alloc::collections::VecDeque;

use switchboard_wire::{Body, IpHeader, Packet};

use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::tag::Tag;
use crate::time::Instant;

/// How many packets of one call are kept: as many as one call delivers on `lo`, both ways.
const QUEUE_LEN: usize = 1 << 17;

/// A packet on its way out or in.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// When.
    pub at: Instant,
    /// By which interface.
    pub interface: IfIndex,
    /// It leaves (PACKET_OUTGOING).
    pub outgoing: bool,
    /// What its sender marked it with, if that is a socket of this host.
    pub tag: Tag,
    /// Its IP header.
    pub ip: IpHeader,
    /// What it carries.
    pub body: Body,
}

#[derive(Debug, Default)]
pub(crate) struct Taps {
    queue: VecDeque<Tapped>,
    /// Packets at the queue's front whose time is known; the others get theirs when the call's run ends.
    timed: usize,
    lost: u64,
}

impl Taps {
    pub(crate) fn push(
        &mut self,
        interface: IfIndex,
        outgoing: bool,
        tag: Tag,
        ip: &IpHeader,
        body: &Body,
    ) {
        if self.queue.len() >= QUEUE_LEN {
            self.lost += 1;
            return;
        }
        self.queue.push_back(Tapped {
            at: Instant::BOOT,
            interface,
            outgoing,
            tag,
            ip: *ip,
            body: body.clone(),
        });
    }

    pub(crate) fn stamp(&mut self, now: Instant) {
        for tapped in self.queue.range_mut(self.timed..) {
            tapped.at = now;
        }
        self.timed = self.queue.len();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn pop(&mut self) -> Option<Tapped> {
        let tapped = self.queue.pop_front()?;
        self.timed = self.timed.saturating_sub(1);
        Some(tapped)
    }
}

impl Stack {
    /// Whether packets are to be had from [`poll_tapped`](Self::poll_tapped).
    pub fn set_tapping(&mut self, on: bool) {
        if !on {
            self.taps = None;
        } else if self.taps.is_none() {
            self.taps = Some(alloc::boxed::Box::default());
        }
    }

    /// Whether somebody looks.
    pub fn has_taps(&self) -> bool {
        self.taps.is_some()
    }

    /// The next packet that an interface has sent or got.
    pub fn poll_tapped(&mut self) -> Option<Tapped> {
        self.taps.as_mut()?.pop()
    }

    /// Packets that nobody saw, the queue being full.
    pub fn tapped_lost(&self) -> u64 {
        self.taps.as_ref().map_or(0, |taps| taps.lost)
    }

    /// A packet that a packet socket sends by an interface, and has seen already. On `lo` it comes in.
    pub fn inject(&mut self, now: Instant, interface: IfIndex, tag: Tag, packet: Packet) {
        if interface != IfIndex::LO {
            self.transmit_injected(interface, packet);
            return;
        }
        // fib_validate_source: nobody speaks with one of the host's own IPv4 addresses but the host. IPv6 does not look.
        let Packet { ip, body } = packet;
        if ip.src.is_ipv4() && self.interface_of(ip.src).is_some() {
            self.counters.ip_in_hdr_errors += 1;
            return;
        }
        self.injected_input(now, tag, ip, body);
    }
}
