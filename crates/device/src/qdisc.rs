//! Queueing disciplines of tc(8): what packets go through before they leave an interface.
//!
//! # Theory of operation
//! A [`QdiscChain`] is what an interface has: the root first, then its only child, and so on. Those with a class (tbf, netem)
//! hand packets to the next one, the last one keeps them. As in Linux a packet is counted by a discipline when it leaves it. What
//! waits for a time (netem's delay, tbf's tokens) says so by [`QdiscChain::poll_timeout`]; all else leaves at once.
//!
//! # Limits
//! Each has the limit it was made with. A chain has [`QdiscChain::DEEPEST`] disciplines at most, as Linux's check_loop() has it.

mod netem;
mod tbf;

use alloc::boxed::Box;
use alloc::vec::Vec;

use switchboard_engine::Instant;
use switchboard_wire::Frame;

use crate::counters::PipeCounters;
use crate::queue::{FifoConfig, Line, Queue, QueueConfig, Waiting};
use crate::{Label, Random};
use netem::Netem;
use tbf::Tbf;

pub use netem::NetemConfig;
pub use tbf::{RateSpec, TbfConfig};

/// One discipline, as it is made or changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Discipline {
    /// `noqueue`: packets leave at once and are not counted.
    NoQueue,
    /// `pfifo`, `bfifo`, `codel`, `fq_codel`.
    Queue(QueueConfig),
    /// `pfifo_fast`: three bands by the packet's priority, of so many packets each.
    Bands(u32),
    /// `tbf`: tc-tbf(8).
    Tbf(TbfConfig),
    /// `netem`: tc-netem(8).
    Netem(Box<NetemConfig>),
}

/// Linux's `struct gnet_stats_basic` and `struct gnet_stats_queue`, without what waits now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QdiscCounters {
    /// Bytes that left, those of the link layer among them.
    pub bytes: u64,
    /// Packets that left.
    pub packets: u64,
    /// Packets that were dropped.
    pub drops: u64,
    /// How often there was a packet and no right to send it.
    pub overlimits: u64,
}

/// What waits in a discipline and those behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QdiscLen {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Debug)]
enum State {
    NoQueue,
    Queue(Queue, PipeCounters),
    Bands([Line; 3], u32),
    Tbf(Tbf),
    Netem(Box<Netem>),
}

#[derive(Debug)]
struct Qdisc {
    state: State,
    counters: QdiscCounters,
}

/// prio2band of sch_generic.c: the band of each priority.
const BANDS: [u8; 16] = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

/// The disciplines of an interface.
#[derive(Debug)]
pub struct QdiscChain {
    all: Vec<Qdisc>,
    /// How long the header of the link layer is, and the largest packet with it.
    header: u32,
    mtu: u32,
}

impl QdiscChain {
    /// How many disciplines may stand behind each other.
    pub const DEEPEST: usize = 8;

    /// An interface without disciplines, with a link-layer header of that length.
    pub fn new(header: u32, mtu: u32) -> QdiscChain {
        QdiscChain {
            all: Vec::new(),
            header,
            mtu: mtu.saturating_add(header),
        }
    }

    /// Puts a discipline at a place, where there may be one; that and all behind it go, with what waits there. `seed` is what
    /// its chances come from. False when the place is too far behind.
    pub fn graft(&mut self, place: usize, discipline: &Discipline, seed: u64) -> bool {
        if place > self.all.len() || place >= Self::DEEPEST {
            return false;
        }
        self.cut(place);
        let state = self.state(discipline, seed);
        self.all.push(Qdisc {
            state,
            counters: QdiscCounters::default(),
        });
        true
    }

    /// Takes away what is at a place and behind it. A tbf before it has nothing to keep packets in from then on
    /// (noop_qdisc).
    pub fn cut(&mut self, place: usize) {
        self.all.truncate(place);
        if let Some(Qdisc {
            state: State::Tbf(tbf),
            ..
        }) = self.all.last_mut()
        {
            tbf.forget();
        }
    }

    fn state(&self, discipline: &Discipline, seed: u64) -> State {
        match discipline {
            Discipline::NoQueue => State::NoQueue,
            Discipline::Queue(config) => {
                State::Queue(self.queue(config, seed), PipeCounters::default())
            }
            Discipline::Bands(limit) => State::Bands(Default::default(), *limit),
            Discipline::Tbf(config) => State::Tbf(Tbf::new(*config)),
            Discipline::Netem(config) => {
                State::Netem(Box::new(Netem::new(config, self.header, generator(seed))))
            }
        }
    }

    fn queue(&self, config: &QueueConfig, seed: u64) -> Queue {
        let mut random = generator(seed);
        Queue::new(config, (random.u64(), random.u64()), self.mtu)
    }

    /// Makes the discipline at a place another of its kind from `now` on; what waits stays. False where it is of another kind.
    pub fn change(
        &mut self,
        now: Instant,
        place: usize,
        discipline: &Discipline,
        seed: u64,
    ) -> bool {
        let queue = match discipline {
            Discipline::Queue(config) => Some(self.queue(config, seed)),
            _ => None,
        };
        let header = self.header;
        let Some((first, rest)) = self.all.get_mut(place..).and_then(<[_]>::split_first_mut) else {
            return false;
        };
        match (&mut first.state, discipline) {
            (State::NoQueue, Discipline::NoQueue) => {}
            (State::Queue(old, counters), Discipline::Queue(_)) => {
                let Some(mut queue) = queue else { return false };
                // Too many for the new one are dropped.
                while let Some(waiting) = old.give_up() {
                    queue.push(waiting, counters);
                }
                *old = queue;
                first.counters.drops = counters.dropped();
            }
            (State::Bands(_, limit), Discipline::Bands(new)) => *limit = *new,
            (State::Tbf(tbf), Discipline::Tbf(config)) => {
                tbf.change(now, *config);
                // tbf_change(): a FIFO has tbf's limit.
                if let Some(State::Queue(Queue::Fifo(fifo, _), _)) =
                    rest.first_mut().map(|next| &mut next.state)
                {
                    match fifo.packets {
                        u32::MAX => fifo.bytes = config.limit.into(),
                        _ => fifo.packets = config.limit,
                    }
                }
            }
            (State::Netem(netem), Discipline::Netem(config)) => {
                netem.change(now, config, header, generator(seed));
            }
            _ => return false,
        }
        true
    }

    /// What a discipline did.
    pub fn counters(&self, place: usize) -> QdiscCounters {
        let qdisc = self.all.get(place);
        qdisc.map_or_else(QdiscCounters::default, |qdisc| qdisc.counters)
    }

    /// What waits at a place and behind it.
    pub fn len_at(&self, place: usize) -> QdiscLen {
        len(self.all.get(place..).unwrap_or(&[]), self.header)
    }

    /// Whether packets leave without it (`noqueue`).
    pub fn passes(&self) -> bool {
        self.all
            .first()
            .is_none_or(|root| matches!(root.state, State::NoQueue))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len_at(0) == QdiscLen::default()
    }

    /// A frame is to leave.
    pub fn enqueue(&mut self, now: Instant, frame: Frame, label: Label) {
        let waiting = waiting(now, frame, label, self.header);
        enqueue(&mut self.all, now, waiting, self.header);
    }

    /// The next frame that leaves at `now`.
    pub fn dequeue(&mut self, now: Instant) -> Option<(Frame, Label)> {
        let waiting = dequeue(&mut self.all, now, self.header)?;
        Some((waiting.frame, waiting.label))
    }

    /// When a frame leaves by itself next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        poll_timeout(&self.all)
    }

    /// The interface is down: what waits is lost (dev_deactivate()). Whether anything was.
    pub fn clear(&mut self, now: Instant) -> bool {
        if self.is_empty() {
            return false;
        }
        for qdisc in &mut self.all {
            match &mut qdisc.state {
                State::NoQueue => {}
                State::Queue(queue, _) => while queue.give_up().is_some() {},
                State::Bands(bands, _) => *bands = Default::default(),
                State::Tbf(tbf) => tbf.clear(),
                State::Netem(netem) => netem.clear(now),
            }
        }
        true
    }
}

fn generator(seed: u64) -> Random {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Random::new(bytes, 0)
}

/// qdisc_pkt_len_init(): a packet's length is that of all its segments, each with a header of the link layer.
fn waiting(since: Instant, frame: Frame, label: Label, header: u32) -> Waiting {
    let len = frame.total_len() as u32 + header * frame.segments();
    Waiting {
        frame,
        len,
        since,
        label,
    }
}

/// Takes a packet into the first of `chain`. False when that one dropped it.
fn enqueue(chain: &mut [Qdisc], now: Instant, waiting: Waiting, header: u32) -> bool {
    let Some((first, rest)) = chain.split_first_mut() else {
        return false;
    };
    let counters = &mut first.counters;
    let taken = match &mut first.state {
        // It is never asked: see `QdiscChain::passes`.
        State::NoQueue => false,
        State::Queue(queue, of_queue) => {
            let full = of_queue.queue_full;
            queue.push(waiting, of_queue);
            counters.drops = of_queue.dropped();
            // FQ-CoDel takes it, and drops others.
            return full == of_queue.queue_full || matches!(queue, Queue::FqCodel(_));
        }
        State::Bands(bands, limit) => {
            let band = BANDS[waiting.label.tag.priority as usize % BANDS.len()];
            let line = &mut bands[usize::from(band)];
            let room = line.len() < *limit as usize;
            if room {
                line.push(waiting);
            }
            room
        }
        State::Tbf(tbf) if waiting.frame.segments() > 1 => {
            // tbf_segment(), also of what would fit into the bucket: each packet has tokens of its own.
            let (label, since) = (waiting.label, waiting.since);
            let mut taken = true;
            for one in waiting.frame.split() {
                let one = self::waiting(since, one, label, header);
                if !take(tbf, rest, now, one, header) {
                    counters.drops += 1;
                    taken = false;
                }
            }
            return taken;
        }
        State::Tbf(tbf) => take(tbf, rest, now, waiting, header),
        State::Netem(netem) => {
            let taken = netem.send(now, waiting);
            counters.drops = netem.drops();
            return taken;
        }
    };
    counters.drops += u64::from(!taken);
    taken
}

/// tbf_enqueue()
fn take(tbf: &mut Tbf, rest: &mut [Qdisc], now: Instant, waiting: Waiting, header: u32) -> bool {
    if waiting.len > tbf.largest() {
        return false;
    }
    match rest {
        [] => tbf.keep(waiting),
        rest => enqueue(rest, now, waiting, header),
    }
}

/// The next packet of the first of `chain`.
fn dequeue(chain: &mut [Qdisc], now: Instant, header: u32) -> Option<Waiting> {
    let (first, rest) = chain.split_first_mut()?;
    let counters = &mut first.counters;
    let waiting = match &mut first.state {
        State::NoQueue => None,
        State::Queue(queue, of_queue) => {
            let waiting = queue.pop(now, of_queue);
            counters.drops = of_queue.dropped();
            waiting
        }
        State::Bands(bands, _) => bands.iter_mut().find_map(Line::pop),
        State::Tbf(tbf) => {
            if tbf.head.is_none() {
                tbf.head = match rest {
                    [] => tbf.kept(),
                    rest => dequeue(rest, now, header),
                };
            }
            let waiting = tbf.release(now);
            counters.overlimits += u64::from(waiting.is_none() && tbf.head.is_some());
            waiting
        }
        State::Netem(netem) => loop {
            let Some((at, frame, label)) = netem.arrival(now) else {
                break dequeue(rest, now, header);
            };
            let arrived = waiting(at, frame, label, header);
            if rest.is_empty() {
                break Some(arrived);
            }
            if !enqueue(rest, now, arrived, header) {
                netem.dropped_behind += 1;
                counters.drops = netem.drops();
            }
        },
    }?;
    counters.bytes += u64::from(waiting.len);
    counters.packets += u64::from(waiting.frame.segments());
    Some(waiting)
}

fn len(chain: &[Qdisc], header: u32) -> QdiscLen {
    let Some((first, rest)) = chain.split_first() else {
        return QdiscLen::default();
    };
    let (packets, bytes) = match &first.state {
        State::NoQueue => (0, 0),
        State::Queue(queue, _) => (queue.len() as u64, queue.bytes()),
        State::Bands(bands, _) => bands.iter().fold((0, 0), |(packets, bytes), line| {
            (packets + line.len() as u64, bytes + line.bytes())
        }),
        State::Tbf(tbf) => tbf.len(),
        State::Netem(netem) => netem.len(header),
    };
    let behind = len(rest, header);
    QdiscLen {
        packets: packets + behind.packets,
        bytes: bytes + behind.bytes,
    }
}

fn poll_timeout(chain: &[Qdisc]) -> Option<Instant> {
    let (first, rest) = chain.split_first()?;
    match &first.state {
        State::NoQueue => None,
        // What could leave has left, unless nobody asked.
        State::Queue(queue, _) => (queue.len() > 0).then_some(Instant::BOOT),
        State::Bands(bands, _) => {
            let any = bands.iter().any(|line| line.len() > 0);
            any.then_some(Instant::BOOT)
        }
        State::Tbf(tbf) => tbf.poll_timeout(|| poll_timeout(rest)),
        State::Netem(netem) => {
            let times = [netem.poll_timeout(), poll_timeout(rest)];
            times.into_iter().flatten().min()
        }
    }
}

/// `bfifo` of so many bytes, which a tbf keeps packets in that has no child.
fn bfifo(bytes: u32) -> FifoConfig {
    FifoConfig {
        packets: u32::MAX,
        bytes: bytes.into(),
    }
}

#[cfg(test)]
mod tests;
