//! A link: two pipes between two ends.

use switchboard_engine::Instant;
use switchboard_wire::{Frame, FrameBody, Packet};

use crate::{Pipe, PipeConfig, PipeCounters, Random};

/// An end of a link, and the direction of what is sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The first one.
    A,
    /// The second one.
    B,
}

impl End {
    /// The other end.
    pub const fn other(self) -> End {
        match self {
            End::A => End::B,
            End::B => End::A,
        }
    }
}

/// A link between two interfaces: what is sent at one end arrives at the other, or does not.
#[derive(Debug)]
pub struct Link {
    a: Pipe,
    b: Pipe,
}

impl Link {
    /// A link whose directions are alike.
    pub fn new(config: PipeConfig, random: &mut Random) -> Link {
        Link {
            a: Pipe::new(config, random),
            b: Pipe::new(config, random),
        }
    }

    /// The direction of what is sent at an end.
    pub fn pipe(&self, from: End) -> &Pipe {
        match from {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    fn pipe_mut(&mut self, from: End) -> &mut Pipe {
        match from {
            End::A => &mut self.a,
            End::B => &mut self.b,
        }
    }

    /// Makes one direction another from `now` on.
    pub fn change(&mut self, now: Instant, random: &mut Random, from: End, config: PipeConfig) {
        self.pipe_mut(from).change(now, random, config);
    }

    /// What the direction from an end did.
    pub fn counters(&self, from: End) -> PipeCounters {
        self.pipe(from).counters()
    }

    /// A packet is sent at an end.
    pub fn send(&mut self, now: Instant, random: &mut Random, from: End, packet: Packet) {
        self.pipe_mut(from).send(now, random, packet);
    }

    /// A frame is sent at an end.
    pub fn send_frame(&mut self, now: Instant, random: &mut Random, from: End, frame: Frame) {
        let label = crate::Label::default();
        self.pipe_mut(from).send_frame(now, random, frame, label);
    }

    /// The next packet that has arrived by `now`: at which end, when, and what.
    pub fn poll_arrival(
        &mut self,
        now: Instant,
        random: &mut Random,
    ) -> Option<(End, Instant, Packet)> {
        loop {
            // Who asks for packets has a link without a link layer.
            let (end, at, frame) = self.poll_frame(now, random)?;
            if let FrameBody::Ip(packet) = frame.body {
                return Some((end, at, packet));
            }
        }
    }

    /// The next frame that has arrived by `now`: at which end, when, and what.
    pub fn poll_frame(
        &mut self,
        now: Instant,
        random: &mut Random,
    ) -> Option<(End, Instant, Frame)> {
        // In the order of time, whichever way they go.
        loop {
            let due = |pipe: &Pipe| pipe.poll_timeout().filter(|at| *at <= now);
            let (from, at) = match (due(&self.a), due(&self.b)) {
                (Some(a), Some(b)) if b < a => (End::B, b),
                (Some(a), _) => (End::A, a),
                (None, Some(b)) => (End::B, b),
                (None, None) => return None,
            };
            if let Some((at, frame, _)) = self.pipe_mut(from).poll_frame(at, random) {
                return Some((from.other(), at, frame));
            }
        }
    }

    /// When something happens by itself next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = [self.a.poll_timeout(), self.b.poll_timeout()];
        times.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
