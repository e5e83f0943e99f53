//! `tbf` (tc-tbf(8)): a bucket that fills with the right to send, at a rate, and a smaller one at the peak rate.

use switchboard_engine::Instant;

use super::bfifo;
use crate::queue::{FifoConfig, Line, Waiting};

/// Linux's `struct psched_ratecfg`: how long packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSpec {
    /// Bytes each second; 0 counts as 1.
    pub bytes_per_second: u64,
    /// What comes on top of each packet.
    pub overhead: u16,
    /// The least length that counts.
    pub mpu: u16,
    /// Packets travel in cells of 53 bytes with 48 of theirs.
    pub atm: bool,
}

impl RateSpec {
    /// psched_l2t_ns()
    pub fn nanos(&self, len: u32) -> u64 {
        let len = (u64::from(len) + u64::from(self.overhead)).max(self.mpu.into());
        let len = if self.atm { len.div_ceil(48) * 53 } else { len };
        let nanos = u128::from(len) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// psched_ns_t2l(): how long a packet may be that takes as long.
    pub fn len_in(&self, nanos: u64) -> u32 {
        let bytes = u128::from(nanos) * u128::from(self.bytes_per_second) / 1_000_000_000;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let bytes = if self.atm { bytes / 53 * 48 } else { bytes };
        let len = bytes.saturating_sub(self.overhead.into());
        u32::try_from(len).unwrap_or(u32::MAX)
    }
}

/// What a tbf is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TbfConfig {
    /// At which tokens come.
    pub rate: RateSpec,
    /// How many there are at most, as the time that they are worth.
    pub buffer: u64,
    /// The second bucket.
    pub peak: Option<(RateSpec, u64)>,
    /// Longer packets never leave.
    pub largest: u32,
    /// How many bytes wait.
    pub limit: u32,
}

#[derive(Debug)]
pub(super) struct Tbf {
    config: TbfConfig,
    /// Tokens at `at`, in nanoseconds.
    tokens: i128,
    peak_tokens: i128,
    at: Instant,
    /// The packet that waits for tokens, and until when.
    pub(super) head: Option<Waiting>,
    next: Instant,
    /// Where packets wait when there is no child.
    own: FifoConfig,
    line: Line,
}

impl Tbf {
    pub(super) fn new(config: TbfConfig) -> Tbf {
        let mut tbf = Tbf {
            config,
            tokens: 0,
            peak_tokens: 0,
            at: Instant::BOOT,
            head: None,
            next: Instant::BOOT,
            own: bfifo(config.limit),
            line: Line::default(),
        };
        tbf.fill();
        tbf
    }

    fn fill(&mut self) {
        self.tokens = self.config.buffer.into();
        self.peak_tokens = self.config.peak.map_or(0, |(_, most)| most.into());
    }

    /// tbf_change(): the buckets are full again.
    pub(super) fn change(&mut self, now: Instant, config: TbfConfig) {
        self.config = config;
        // What has lost its place has none (tbf_graft()).
        if self.own.packets > 0 {
            self.own = bfifo(config.limit);
        }
        self.fill();
        (self.at, self.next) = (now, now);
    }

    pub(super) fn largest(&self) -> u32 {
        self.config.largest
    }

    /// There is no child any more, nor a queue in its place.
    pub(super) fn forget(&mut self) {
        self.own.packets = 0;
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.head = None;
        self.line = Line::default();
    }

    pub(super) fn keep(&mut self, waiting: Waiting) -> bool {
        // qdisc_peek_dequeued(): what waits for tokens is still in the queue.
        let head = self.head.as_ref().map_or(0, |head| u64::from(head.len));
        let bytes = head + self.line.bytes() + u64::from(waiting.len);
        let room = self.line.len() < self.own.packets as usize && bytes <= self.own.bytes;
        if room {
            self.line.push(waiting);
        }
        room
    }

    pub(super) fn kept(&mut self) -> Option<Waiting> {
        self.line.pop()
    }

    /// tbf_dequeue(): the packet at the head, if it may leave now.
    pub(super) fn release(&mut self, now: Instant) -> Option<Waiting> {
        let len = self.head.as_ref()?.len;
        let passed = i128::try_from(now.saturating_sub(self.at).as_nanos()).unwrap_or(i128::MAX);
        let filled = |tokens: i128, most: u64| (tokens + passed.min(most.into())).min(most.into());
        let tokens =
            filled(self.tokens, self.config.buffer) - i128::from(self.config.rate.nanos(len));
        let peak_tokens = match self.config.peak {
            Some((rate, most)) => filled(self.peak_tokens, most) - i128::from(rate.nanos(len)),
            None => 0,
        };
        let least = tokens.min(peak_tokens);
        if least < 0 {
            let wait = u64::try_from(-least).unwrap_or(u64::MAX);
            self.next = now + core::time::Duration::from_nanos(wait);
            return None;
        }
        (self.tokens, self.peak_tokens, self.at) = (tokens, peak_tokens, now);
        self.head.take()
    }

    pub(super) fn len(&self) -> (u64, u64) {
        let head = self
            .head
            .as_ref()
            .map_or((0, 0), |head| (1, head.len.into()));
        (head.0 + self.line.len() as u64, head.1 + self.line.bytes())
    }

    /// When the head may leave, or what `behind` has.
    pub(super) fn poll_timeout(&self, behind: impl Fn() -> Option<Instant>) -> Option<Instant> {
        match self.head {
            Some(_) => Some(self.next),
            None if self.line.len() > 0 => Some(Instant::BOOT),
            None => behind(),
        }
    }
}
