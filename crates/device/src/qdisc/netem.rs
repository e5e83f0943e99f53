//! `netem` (tc-netem(8)): a [`Pipe`] whose limit counts all that is in it.

use alloc::sync::Arc;

use switchboard_engine::Instant;
use switchboard_wire::Frame;

use crate::queue::{FifoConfig, QueueConfig, Waiting};
use crate::{Label, Pipe, PipeConfig, Random};

/// What a netem is like.
#[derive(Clone, Debug, PartialEq)]
pub struct NetemConfig {
    /// What happens to packets. The limit is that of all that are in it; queue and MTU are not looked at, and the rate's
    /// overhead is without the header of the link layer, which comes on top.
    pub pipe: PipeConfig,
    /// How delays are spread; as they were when there is none.
    pub table: Option<Arc<[i16]>>,
}

#[derive(Debug)]
pub(super) struct Netem {
    pipe: Pipe,
    random: Random,
    /// Dropped since there were as many as the limit, and by the child.
    over_limit: u64,
    pub(super) dropped_behind: u64,
}

fn config_of(config: &NetemConfig, header: u32) -> PipeConfig {
    let pipe = config.pipe;
    PipeConfig {
        queue: QueueConfig::Fifo(FifoConfig {
            packets: u32::MAX,
            bytes: u64::MAX,
        }),
        rate: pipe.rate.map(|rate| crate::Rate {
            overhead: rate.overhead.saturating_add(header),
            ..rate
        }),
        // A packet that is sent twice may be one more.
        limit: pipe.limit.saturating_add(1),
        mtu: u32::MAX,
        up: true,
        ..pipe
    }
}

impl Netem {
    pub(super) fn new(config: &NetemConfig, header: u32, mut random: Random) -> Netem {
        let mut pipe = Pipe::new(config_of(config, header), &mut random);
        if let Some(table) = &config.table {
            pipe.set_table(table.clone());
        }
        Netem {
            pipe,
            random,
            over_limit: 0,
            dropped_behind: 0,
        }
    }

    pub(super) fn change(
        &mut self,
        now: Instant,
        config: &NetemConfig,
        header: u32,
        random: Random,
    ) {
        self.random = random;
        let new = config_of(config, header);
        self.pipe.change(now, &mut self.random, new);
        if let Some(table) = &config.table {
            self.pipe.set_table(table.clone());
        }
    }

    pub(super) fn clear(&mut self, now: Instant) {
        let config = *self.pipe.config();
        let down = PipeConfig {
            up: false,
            ..config
        };
        self.pipe.change(now, &mut self.random, down);
        self.pipe.change(now, &mut self.random, config);
    }

    /// netem_enqueue(). False when there are too many; what is lost was taken.
    pub(super) fn send(&mut self, now: Instant, waiting: Waiting) -> bool {
        let inside = self.pipe.queued().0 + self.pipe.under_way();
        if inside >= self.pipe.config().limit as usize - 1 {
            self.over_limit += u64::from(waiting.frame.segments());
            return false;
        }
        let Waiting { frame, label, .. } = waiting;
        self.pipe.send_frame(now, &mut self.random, frame, label);
        true
    }

    /// The next packet whose time has come.
    pub(super) fn arrival(&mut self, now: Instant) -> Option<(Instant, Frame, Label)> {
        self.pipe.poll_frame(now, &mut self.random)
    }

    pub(super) fn drops(&self) -> u64 {
        let counters = self.pipe.counters();
        self.over_limit
            + self.dropped_behind
            + counters.lost
            + counters.over_limit
            + counters.queue_full
    }

    pub(super) fn len(&self, header: u32) -> (u64, u64) {
        let (queued, bytes) = self.pipe.queued();
        let packets = (queued + self.pipe.under_way()) as u64;
        let bytes = bytes + self.pipe.bytes_under_way();
        (packets, bytes + packets * u64::from(header))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pipe.poll_timeout()
    }
}
