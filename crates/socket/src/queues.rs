//! What packets go through before they leave an interface: its queueing disciplines, as tc(8) made them.
//!
//! # Theory of operation
//! [`Host::poll_frame`] hands what the stack sends by such an interface to its disciplines, and gives out what leaves them. What
//! leaves those of `lo` comes in again here, unless whoever drives the host carries `lo` itself.
//!
//! # Limits
//! Those of the disciplines; what is given out waits in a list that the stack's own queues are bounded against.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use switchboard_device::{Label, QdiscChain};
use switchboard_engine::{Departure, IfIndex, Instant, Stack};
use switchboard_wire::FrameBody;

use crate::host::Host;
use crate::netlink::QdiscEntry;

/// How many packets are moved before others get their turn: what answers itself for ever must not stop the host.
const BUDGET: usize = 1 << 16;

/// How many packets wait to be taken from [`Host::poll_frame`].
const READY: usize = 1000;

/// The disciplines of an interface.
pub(crate) struct Device {
    /// What netlink tells of each of them, the root first.
    pub(crate) entries: Vec<QdiscEntry>,
    pub(crate) chain: QdiscChain,
}

/// Those of a host.
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) devices: BTreeMap<IfIndex, Device>,
    /// The handle that was given out last (qdisc_alloc_handle()).
    pub(crate) last_handle: u32,
    /// `lo` is carried here.
    carries_lo: bool,
    ready: VecDeque<Departure>,
}

impl Queues {
    fn take(&mut self, now: Instant, departure: Departure) {
        let Departure {
            interface,
            next_hop,
            tag,
            frame,
        } = departure;
        match self.devices.get_mut(&interface) {
            Some(device) if !device.chain.passes() => {
                device.chain.enqueue(now, frame, Label { next_hop, tag });
            }
            _ => self.ready.push_back(Departure {
                interface,
                next_hop,
                tag,
                frame,
            }),
        }
    }

    /// The next packet that leaves its disciplines.
    fn next(&mut self, now: Instant, stack: &Stack) -> Option<Departure> {
        for (&interface, device) in &mut self.devices {
            if !stack.interface(interface).is_some_and(|i| i.is_up()) {
                device.chain.clear(now);
                continue;
            }
            if let Some((frame, label)) = device.chain.dequeue(now) {
                return Some(Departure {
                    interface,
                    next_hop: label.next_hop,
                    tag: label.tag,
                    frame,
                });
            }
        }
        None
    }
}

impl Host {
    /// Whether an interface has disciplines: then [`poll_frame`](Self::poll_frame) is to be called after each call, even where
    /// the host has no wires.
    pub fn has_queues(&self) -> bool {
        self.queues.is_some()
    }

    /// The disciplines of an interface are not what they were.
    pub(crate) fn queues_changed(&mut self) {
        let Some(queues) = &mut self.queues else {
            return;
        };
        queues
            .devices
            .retain(|_, device| !device.entries.is_empty());
        let wanted = (queues.devices.get(&IfIndex::LO)).is_some_and(|lo| !lo.chain.passes());
        if wanted && !self.stack.loopback_is_carried() {
            queues.carries_lo = true;
            self.stack.carry_loopback(true);
        } else if !wanted && queues.carries_lo {
            queues.carries_lo = false;
            self.stack.carry_loopback(false);
        }
        if queues.devices.is_empty() && queues.ready.is_empty() {
            // The next handle is another one.
            self.last_qdisc_handle = queues.last_handle;
            self.queues = None;
        }
    }

    /// An interface is gone.
    pub(crate) fn drop_queues(&mut self, index: IfIndex) {
        if let Some(queues) = &mut self.queues {
            queues.devices.remove(&index);
            self.queues_changed();
        }
    }

    /// The disciplines, where there are none yet.
    pub(crate) fn make_queues(&mut self) -> &mut Queues {
        let last_handle = self.last_qdisc_handle;
        self.queues.get_or_insert_with(|| {
            Box::new(Queues {
                last_handle,
                ..Queues::default()
            })
        })
    }

    /// Moves packets through the disciplines as far as they may go now.
    pub(crate) fn run_queues(&mut self, now: Instant) {
        for _ in 0..BUDGET {
            let Some(queues) = &mut self.queues else {
                return;
            };
            while queues.ready.len() < READY
                && let Some(departure) = self.stack.poll_frame(now)
            {
                queues.take(now, departure);
            }
            if queues.ready.len() >= READY {
                return;
            }
            let Some(departure) = queues.next(now, &self.stack) else {
                return;
            };
            if departure.interface != IfIndex::LO || !queues.carries_lo {
                queues.ready.push_back(departure);
            } else if let FrameBody::Ip(packet) = departure.frame.body {
                self.stack
                    .deliver_tagged(now, IfIndex::LO, departure.tag, packet);
                self.collect_stack_events();
            }
        }
    }

    /// The next frame that leaves the host.
    pub(crate) fn queued_frame(&mut self, now: Instant) -> Option<Departure> {
        let Some(queues) = &mut self.queues else {
            return self.stack.poll_frame(now);
        };
        if queues.ready.is_empty() {
            self.run_queues(now);
        }
        self.queues.as_mut()?.ready.pop_front()
    }

    pub(crate) fn queues_timeout(&self) -> Option<Instant> {
        let queues = self.queues.as_deref()?;
        let all = queues.devices.iter().filter(|(index, _)| {
            let interface = self.stack.interface(**index);
            interface.is_some_and(|i| i.is_up())
        });
        all.filter_map(|(_, device)| device.chain.poll_timeout())
            .min()
    }
}
