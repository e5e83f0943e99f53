//! What waits for a transmitter, and what is dropped when there is too much of it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use switchboard_engine::Instant;
use switchboard_wire::{Frame, FrameBody};

use crate::Label;
use crate::codel::{Codel, CodelConfig};
use crate::counters::PipeCounters;
use crate::fq_codel::{FqCodel, FqCodelConfig};

/// How packets wait for a transmitter that is slower than they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueConfig {
    /// `pfifo` and `bfifo`: first come, first served; who comes to a full queue is dropped.
    Fifo(FifoConfig),
    /// `codel`: RFC 8289.
    Codel(CodelConfig),
    /// `fq_codel`: RFC 8290.
    FqCodel(FqCodelConfig),
}

/// A queue that is dropped from at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FifoConfig {
    /// How many packets may wait.
    pub packets: u32,
    /// How many bytes.
    pub bytes: u64,
}

impl Default for FifoConfig {
    /// `pfifo` of an interface with Linux's txqueuelen.
    fn default() -> FifoConfig {
        FifoConfig {
            packets: 1000,
            bytes: u64::MAX,
        }
    }
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig::Fifo(FifoConfig::default())
    }
}

/// A packet that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) frame: Frame,
    pub(crate) len: u32,
    /// Since when.
    pub(crate) since: Instant,
    /// What it has with it.
    pub(crate) label: Label,
}

/// Packets in the order of their coming, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Line {
    packets: VecDeque<Waiting>,
    bytes: u64,
}

impl Line {
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.bytes += u64::from(waiting.len);
        self.packets.push_back(waiting);
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.packets.pop_front()?;
        self.bytes -= u64::from(waiting.len);
        Some(waiting)
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A queue of one of the kinds.
#[derive(Debug)]
pub(crate) enum Queue {
    Fifo(FifoConfig, Line),
    Codel(Codel),
    FqCodel(Box<FqCodel>),
}

impl Queue {
    /// An empty queue. `key` keys the hash by which flows are told apart, `mtu` is the largest packet.
    pub(crate) fn new(config: &QueueConfig, key: (u64, u64), mtu: u32) -> Queue {
        match *config {
            QueueConfig::Fifo(config) => Queue::Fifo(config, Line::default()),
            QueueConfig::Codel(config) => Queue::Codel(Codel::new(config, mtu)),
            QueueConfig::FqCodel(config) => {
                Queue::FqCodel(Box::new(FqCodel::new(config, key, mtu)))
            }
        }
    }

    pub(crate) fn push(&mut self, waiting: Waiting, counters: &mut PipeCounters) {
        match self {
            Queue::Fifo(config, line) => {
                let bytes = line.bytes().saturating_add(waiting.len.into());
                if line.len() < config.packets as usize && bytes <= config.bytes {
                    line.push(waiting);
                } else {
                    counters.queue_full += 1;
                }
            }
            Queue::Codel(codel) => codel.push(waiting, counters),
            Queue::FqCodel(flows) => flows.push(waiting, counters),
        }
    }

    /// The next packet to send, at `now`. Packets may be dropped for it.
    pub(crate) fn pop(&mut self, now: Instant, counters: &mut PipeCounters) -> Option<Waiting> {
        match self {
            Queue::Fifo(_, line) => line.pop(),
            Queue::Codel(codel) => codel.pop(now, counters),
            Queue::FqCodel(flows) => flows.pop(now, counters),
        }
    }

    /// A packet that waits, in no order that counts: the queue is given up.
    pub(crate) fn give_up(&mut self) -> Option<Waiting> {
        match self {
            Queue::Fifo(_, line) => line.pop(),
            Queue::Codel(codel) => codel.give_up(),
            Queue::FqCodel(flows) => flows.give_up(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Queue::Fifo(_, line) => line.len(),
            Queue::Codel(codel) => codel.len(),
            Queue::FqCodel(flows) => flows.len(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Queue::Fifo(_, line) => line.bytes(),
            Queue::Codel(codel) => codel.bytes(),
            Queue::FqCodel(flows) => flows.bytes(),
        }
    }
}

/// Sets "congestion experienced" (RFC 3168, 5); false where the sender does not speak ECN.
pub(crate) fn mark(frame: &mut Frame) -> bool {
    let FrameBody::Ip(packet) = &mut frame.body else {
        return false;
    };
    let capable = packet.ip.tos & 3 != 0;
    if capable {
        packet.ip.tos |= 3;
    }
    capable
}

#[cfg(test)]
mod tests;
