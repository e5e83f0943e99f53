//! One direction of a link: everything that happens to a packet between two ends.
//!
//! # Theory of operation
//! The order is that of tc-netem(8) on a slow interface: a packet may be duplicated, lost or changed; it waits for the
//! transmitter, if the pipe has a rate; it takes the time of its length to be transmitted; then it is on its way for
//! the delay. All of it happens at exact times: a caller that comes late finds what would have happened, not what happens
//! to be convenient.
//!
//! Segments that travel as one ([`Frame::segments`]) stay one where nothing here acts on single packets, and are taken apart
//! before anything does: each then fares alone. Counters are of the packets that a wire would have carried.
//!
//! # Limits
//! The queue has its own; [`PipeConfig::limit`] packets may be on the way at once.
//!
//! # Timeouts
//! [`Pipe::poll_timeout`] is the time of the next arrival, or of the next packet leaving the queue.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use core::cmp::{Ordering, Reverse};
use core::net::IpAddr;
use core::time::Duration;

use switchboard_engine::{Instant, Tag};
use switchboard_wire::{Frame, FrameBody, Packet};

use crate::chance::Correlated;
use crate::corrupt::corrupt_frame;
use crate::counters::PipeCounters;
use crate::delay::{Delay, Delays};
use crate::loss::{Loss, Losses};
use crate::queue::{Queue, QueueConfig, Waiting, mark};
use crate::{Chance, Random};

/// What one direction of a link is like. The names are those of tc-netem(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeConfig {
    /// How long packets are on the way.
    pub delay: Delay,
    /// Which are lost.
    pub loss: Loss,
    /// `ecn`: packets that speak ECN are marked and not lost.
    pub loss_marks: bool,
    /// Which arrive twice.
    pub duplicate: Chance,
    /// Of which a bit changes.
    pub corrupt: Chance,
    /// Which overtake others.
    pub reorder: Reorder,
    /// How fast they are transmitted; as fast as they come when there is none.
    pub rate: Option<Rate>,
    /// How they wait for it.
    pub queue: QueueConfig,
    /// How many may be on the way at once.
    pub limit: u32,
    /// The largest packet, in bytes from the IP header on.
    pub mtu: u32,
    /// What is sent while it is down is lost.
    pub up: bool,
}

/// `reorder PERCENT [CORRELATION] [gap DISTANCE]`: which packets are sent without the delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reorder {
    /// How often a packet that may overtake does.
    pub chance: Chance,
    /// Each `gap`-th packet may; 0 and 1 are each.
    pub gap: u32,
}

/// How fast a transmitter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits each second; 0 counts as 1.
    pub bits_per_second: u64,
    /// Bytes that come on top of each packet's, such as 14 or 38 of an Ethernet.
    pub overhead: u32,
}

impl Rate {
    /// So many bits each second, of packets from the IP header on.
    pub const fn bits(bits_per_second: u64) -> Rate {
        Rate {
            bits_per_second,
            overhead: 0,
        }
    }

    /// How long a packet takes.
    fn time(self, len: u32) -> Duration {
        let bits = (u128::from(len) + u128::from(self.overhead)) * 8;
        let nanos = bits * 1_000_000_000 / u128::from(self.bits_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl PipeConfig {
    /// Whether it treats one packet unlike another, or takes a time for each: then none may stand for several.
    fn acts_on_packets(&self) -> bool {
        self.loss != Loss::NONE
            || self.duplicate != Chance::NEVER
            || self.corrupt != Chance::NEVER
            || self.reorder.chance != Chance::NEVER
            || self.rate.is_some()
            || !self.delay.jitter.is_zero()
    }
}

impl Default for PipeConfig {
    /// A wire that does nothing, of Ethernet's MTU.
    fn default() -> PipeConfig {
        PipeConfig {
            delay: Delay::default(),
            loss: Loss::NONE,
            loss_marks: false,
            duplicate: Chance::NEVER,
            corrupt: Chance::NEVER,
            reorder: Reorder::default(),
            rate: None,
            queue: QueueConfig::default(),
            // Twenty times netem's, which is less than what a gigabit per second has under way in 20 ms.
            limit: 20_000,
            mtu: 1500,
            up: true,
        }
    }
}

/// What a packet has with it that is not in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Whom it is to be handed to at the other end; its destination if this says nobody.
    pub next_hop: Option<IpAddr>,
    /// Mark and priority, for a link that does not leave the host.
    pub tag: Tag,
}

/// One direction of a link.
#[derive(Debug)]
pub struct Pipe {
    config: PipeConfig,
    losses: Losses,
    delays: Delays,
    duplicates: Correlated,
    corruptions: Correlated,
    reorderings: Correlated,
    /// How many packets were not reordered since the last that was.
    in_order: u32,
    queue: Queue,
    /// When the transmitter is done with its packet.
    free_at: Instant,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    /// How many packets these are, and their bytes.
    flying: usize,
    flying_bytes: u64,
    launched: u64,
    counters: PipeCounters,
}

#[derive(Debug)]
struct UnderWay {
    at: Instant,
    /// The order among those that arrive at once.
    number: u64,
    frame: Frame,
    label: Label,
}

impl UnderWay {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &UnderWay) -> bool {
        self.key() == other.key()
    }
}

impl Eq for UnderWay {}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &UnderWay) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UnderWay {
    fn cmp(&self, other: &UnderWay) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Pipe {
    /// An empty one.
    pub fn new(config: PipeConfig, random: &mut Random) -> Pipe {
        let key = (random.u64(), random.u64());
        Pipe {
            losses: Losses::default(),
            delays: Delays::default(),
            duplicates: Correlated::default(),
            corruptions: Correlated::default(),
            reorderings: Correlated::default(),
            in_order: 0,
            queue: Queue::new(&config.queue, key, config.mtu),
            free_at: Instant::BOOT,
            under_way: BinaryHeap::new(),
            flying: 0,
            flying_bytes: 0,
            launched: 0,
            counters: PipeCounters::default(),
            config,
        }
    }

    /// What it is like.
    pub fn config(&self) -> &PipeConfig {
        &self.config
    }

    /// What it did.
    pub fn counters(&self) -> PipeCounters {
        self.counters
    }

    /// How many packets wait for the transmitter, and their bytes.
    pub fn queued(&self) -> (usize, u64) {
        (self.queue.len(), self.queue.bytes())
    }

    /// How many packets have left the transmitter and not arrived.
    pub fn under_way(&self) -> usize {
        self.flying
    }

    /// The bytes of those.
    pub(crate) fn bytes_under_way(&self) -> u64 {
        self.flying_bytes
    }

    /// From now on delays are spread as a table of tc(8) says.
    pub(crate) fn set_table(&mut self, table: Arc<[i16]>) {
        self.delays.table = Some(table);
    }

    /// Makes it another from `now` on. What is on its way arrives when it would have; what waits keeps waiting, in the
    /// queue that there is now. When the pipe goes down, all of it is lost.
    pub fn change(&mut self, now: Instant, random: &mut Random, config: PipeConfig) {
        self.run(now, random);
        let old = core::mem::replace(&mut self.config, config);
        if !config.up {
            while self.queue.give_up().is_some() {
                self.counters.down += 1;
            }
            self.counters.down += self.flying as u64;
            (self.flying, self.flying_bytes) = (0, 0);
            self.under_way.clear();
            // So is what it was transmitting.
            self.free_at = self.free_at.min(now);
        }
        if old.queue != config.queue || old.mtu != config.mtu {
            let key = (random.u64(), random.u64());
            let mut queue = Queue::new(&config.queue, key, config.mtu);
            while let Some(waiting) = self.queue.give_up() {
                queue.push(waiting, &mut self.counters);
            }
            self.queue = queue;
        }
        // Without a rate, nothing waits.
        self.run(now, random);
    }

    /// A packet is sent into it.
    pub fn send(&mut self, now: Instant, random: &mut Random, packet: Packet) {
        self.send_labelled(now, random, packet, Label::default());
    }

    /// [`send`](Self::send), with what the packet has with it.
    pub fn send_labelled(
        &mut self,
        now: Instant,
        random: &mut Random,
        packet: Packet,
        label: Label,
    ) {
        self.send_frame(now, random, packet.into(), label);
    }

    /// [`send_labelled`](Self::send_labelled), of a link with a link layer.
    pub fn send_frame(&mut self, now: Instant, random: &mut Random, frame: Frame, label: Label) {
        let segments = frame.segments();
        if segments > 1 && self.takes_apart(&frame) {
            for one in frame.split() {
                self.send_frame(now, random, one, label);
            }
            return;
        }
        let len = frame.wire_len() as u32;
        self.counters.sent += u64::from(segments);
        self.counters.sent_bytes += frame.total_len() as u64;
        if !self.config.up {
            self.counters.down += u64::from(segments);
        } else if segments == 1 && len > self.config.mtu {
            self.counters.too_big += 1;
        } else {
            let since = now;
            let waiting = Waiting {
                frame,
                len,
                since,
                label,
            };
            self.impair(random, waiting, self.config.duplicate);
        }
    }

    /// Whether the segments of a frame may not travel as one.
    fn takes_apart(&self, frame: &Frame) -> bool {
        self.config.acts_on_packets()
            || self.queue.len() > 0
            || self.flying + frame.segments() as usize > self.config.limit as usize
            || frame.longest() > self.config.mtu as usize
    }

    /// netem_enqueue, of a packet that may be duplicated with this chance.
    fn impair(&mut self, random: &mut Random, mut waiting: Waiting, duplicate: Chance) {
        let twice = self.duplicates.happens(random, duplicate);
        let mut lost = self.losses.is_lost(random, &self.config.loss);
        if lost && self.config.loss_marks && mark(&mut waiting.frame) {
            self.counters.marked += 1;
            lost = false;
        }
        self.counters.duplicated += u64::from(twice);
        self.counters.lost += u64::from(lost);
        match (twice, lost) {
            (false, true) => return,
            // One of the two is lost; the other goes on as the only one.
            (true, true) | (false, false) => {}
            (true, false) => self.impair(random, waiting.clone(), Chance::NEVER),
        }
        self.go_on(random, waiting);
    }

    fn go_on(&mut self, random: &mut Random, mut waiting: Waiting) {
        if self.corruptions.happens(random, self.config.corrupt) {
            self.counters.corrupted += 1;
            match corrupt_frame(random, waiting.frame) {
                Some(changed) => waiting.frame = changed,
                None => {
                    self.counters.unreadable += 1;
                    return;
                }
            }
        }
        let now = waiting.since;
        if self.config.rate.is_none() && self.queue.len() == 0 {
            return self.launch(now, random, waiting);
        }
        // What was due before it comes is done before it comes.
        self.run(now, random);
        self.queue.push(waiting, &mut self.counters);
        self.free_at = self.free_at.max(now);
        self.run(now, random);
    }

    /// Transmits what can be until `now`.
    fn run(&mut self, now: Instant, random: &mut Random) {
        loop {
            if self.queue.len() == 0 {
                return;
            }
            let begin = match self.config.rate {
                Some(_) if self.free_at > now => return,
                Some(_) => self.free_at,
                None => now,
            };
            let Some(waiting) = self.queue.pop(begin, &mut self.counters) else {
                continue;
            };
            let time = self
                .config
                .rate
                .map_or(Duration::ZERO, |rate| rate.time(waiting.len));
            self.free_at = begin + time;
            self.launch(self.free_at, random, waiting);
        }
    }

    /// A packet has left the transmitter.
    fn launch(&mut self, at: Instant, random: &mut Random, waiting: Waiting) {
        if self.flying >= self.config.limit as usize {
            self.counters.over_limit += 1;
            return;
        }
        let Reorder { chance, gap } = self.config.reorder;
        let overtakes =
            self.in_order.saturating_add(1) >= gap && self.reorderings.happens(random, chance);
        let arrival = if overtakes {
            self.counters.reordered += 1;
            self.in_order = 0;
            at
        } else {
            self.in_order = self.in_order.saturating_add(1);
            self.delays.arrival(random, &self.config.delay, at)
        };
        self.flying += waiting.frame.segments() as usize;
        self.flying_bytes += waiting.frame.total_len() as u64;
        let number = self.launched;
        self.launched += 1;
        self.under_way.push(Reverse(UnderWay {
            at: arrival,
            number,
            frame: waiting.frame,
            label: waiting.label,
        }));
    }

    /// The next packet that has arrived by `now`, and when it did.
    pub fn poll_arrival(&mut self, now: Instant, random: &mut Random) -> Option<(Instant, Packet)> {
        let (at, packet, _) = self.poll_arrival_labelled(now, random)?;
        Some((at, packet))
    }

    /// [`poll_arrival`](Self::poll_arrival), with what the packet has with it.
    pub fn poll_arrival_labelled(
        &mut self,
        now: Instant,
        random: &mut Random,
    ) -> Option<(Instant, Packet, Label)> {
        loop {
            // Who asks for packets has a link without a link layer.
            let (at, frame, label) = self.poll_frame(now, random)?;
            if let FrameBody::Ip(packet) = frame.body {
                return Some((at, packet, label));
            }
        }
    }

    /// The next frame that has arrived by `now`, when it did, and what it has with it.
    pub fn poll_frame(
        &mut self,
        now: Instant,
        random: &mut Random,
    ) -> Option<(Instant, Frame, Label)> {
        self.run(now, random);
        self.under_way
            .peek()
            .filter(|Reverse(next)| next.at <= now)?;
        let Reverse(arrived) = self.under_way.pop()?;
        let segments = arrived.frame.segments();
        self.flying -= segments as usize;
        self.flying_bytes -= arrived.frame.total_len() as u64;
        self.counters.delivered += u64::from(segments);
        self.counters.delivered_bytes += arrived.frame.total_len() as u64;
        Some((arrived.at, arrived.frame, arrived.label))
    }

    /// When something happens by itself next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let arrival = self.under_way.peek().map(|Reverse(next)| next.at);
        let transmitter = (self.queue.len() > 0).then_some(self.free_at);
        [arrival, transmitter].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
