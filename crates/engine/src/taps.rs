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

use bytes::Bytes;
use switchboard_wire::{Body, Ethernet, Frame, IpHeader, Packet};

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
    /// Its hardware addresses, where the interface has a link layer.
    pub link: Option<Ethernet>,
    /// The packet.
    pub what: Shown,
}

/// A packet that is shown.
#[derive(Clone, Debug)]
pub enum Shown {
    /// An IP packet.
    Ip(IpHeader, Body),
    /// Another one: the EtherType, and what follows it.
    Other(u16, Bytes),
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
        link: Option<Ethernet>,
        what: Shown,
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
            link,
            what,
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

    /// Shows a packet of a link without a link layer to whoever looks at all.
    #[inline]
    pub(crate) fn tap(
        &mut self,
        interface: IfIndex,
        outgoing: bool,
        tag: Tag,
        ip: &IpHeader,
        body: &Body,
    ) {
        self.tap_frame(interface, outgoing, tag, None, ip, body);
    }

    /// Shows a packet to whoever looks at all.
    #[inline]
    pub(crate) fn tap_frame(
        &mut self,
        interface: IfIndex,
        outgoing: bool,
        tag: Tag,
        link: Option<Ethernet>,
        ip: &IpHeader,
        body: &Body,
    ) {
        if let Some(taps) = &mut self.taps {
            taps.push(interface, outgoing, tag, link, Shown::Ip(*ip, body.clone()));
        }
    }

    /// Shows what is no IP packet.
    pub(crate) fn tap_other(&mut self, interface: IfIndex, outgoing: bool, frame: &Frame) {
        if let Some(taps) = &mut self.taps {
            let what = Shown::Other(frame.ethertype(), frame.payload());
            taps.push(interface, outgoing, Tag::default(), frame.link, what);
        }
    }

    /// What was shown was shown now.
    pub(crate) fn stamp_taps(&mut self, now: Instant) {
        if let Some(taps) = &mut self.taps {
            taps.stamp(now);
        }
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
        self.injected_input(now, tag, packet.ip, packet.body);
    }
}
