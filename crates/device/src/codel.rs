//! CoDel: RFC 8289. A queue is to drain within an interval; what stands longer than the target is too long.
//!
//! As in Linux (tc-codel(8)), a packet of a sender that speaks ECN is marked in place of being dropped, and
//! `ce_threshold` marks each that has waited longer.

use core::time::Duration;

use switchboard_engine::Instant;

use crate::counters::PipeCounters;
use crate::queue::{Line, Waiting, mark};

/// What a CoDel queue is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodelConfig {
    /// How long packets may stand (RFC 8289, 4.3: 5 ms, or 5 to 10 % of the interval).
    pub target: Duration,
    /// How long it may take to get there: a round trip (RFC 8289, 4.3).
    pub interval: Duration,
    /// Packets that speak ECN are marked and not dropped.
    pub ecn: bool,
    /// Marks what has waited longer, whatever the rest says.
    pub ce_threshold: Option<Duration>,
    /// How many packets may wait; it is only there that the end of the queue is dropped from.
    pub limit: u32,
}

impl Default for CodelConfig {
    /// tc-codel(8)'s.
    fn default() -> CodelConfig {
        CodelConfig {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            ecn: false,
            ce_threshold: None,
            limit: 1000,
        }
    }
}

/// The state of RFC 8289, 5.2, under its names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Control {
    /// When the sojourn time will have been above the target for an interval.
    first_above_time: Option<Instant>,
    drop_next: Instant,
    count: u32,
    lastcount: u32,
    dropping: bool,
}

impl Control {
    /// The next packet of `line`. `others` is what else waits for the same transmitter, in bytes.
    pub(crate) fn pop(
        &mut self,
        config: &CodelConfig,
        maxpacket: u32,
        now: Instant,
        line: &mut Line,
        others: u64,
        counters: &mut PipeCounters,
    ) -> Option<Waiting> {
        // RFC 8289, 5.7: dodequeue.
        let mut next = |first_above_time: &mut Option<Instant>| {
            let Some(waiting) = line.pop() else {
                // Empty: it cannot be above the target.
                *first_above_time = None;
                return (None, false);
            };
            let sojourn = now.saturating_sub(waiting.since);
            let mut ok_to_drop = false;
            if sojourn < config.target || line.bytes() + others <= u64::from(maxpacket) {
                *first_above_time = None;
            } else {
                match *first_above_time {
                    None => *first_above_time = Some(now + config.interval),
                    Some(at) => ok_to_drop = now >= at,
                }
            }
            (Some(waiting), ok_to_drop)
        };
        let mut marks = |waiting: &mut Option<Waiting>| {
            let marked = config.ecn && waiting.as_mut().is_some_and(|w| mark(&mut w.frame));
            if marked {
                counters.marked += 1;
            } else if waiting.is_some() {
                counters.aqm_dropped += 1;
            }
            marked
        };
        let (mut waiting, mut ok_to_drop) = next(&mut self.first_above_time);
        if self.dropping {
            if !ok_to_drop {
                self.dropping = false;
            }
            while self.dropping && now >= self.drop_next {
                self.count = self.count.saturating_add(1);
                if marks(&mut waiting) {
                    self.drop_next = control_law(config, self.drop_next, self.count);
                    break;
                }
                (waiting, ok_to_drop) = next(&mut self.first_above_time);
                if ok_to_drop {
                    self.drop_next = control_law(config, self.drop_next, self.count);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            if !marks(&mut waiting) {
                (waiting, _) = next(&mut self.first_above_time);
            }
            self.dropping = true;
            // A rate that was right a short while ago is a good one to start with.
            let delta = self.count.wrapping_sub(self.lastcount);
            let recent = now.saturating_sub(self.drop_next) < config.interval * 16;
            self.count = if delta > 1 && recent { delta } else { 1 };
            self.drop_next = control_law(config, now, self.count);
            self.lastcount = self.count;
        }
        if let (Some(waiting), Some(threshold)) = (&mut waiting, config.ce_threshold)
            && now.saturating_sub(waiting.since) > threshold
            && (waiting.frame.packet()).is_some_and(|packet| packet.ip.tos & 3 != 3)
            && mark(&mut waiting.frame)
        {
            counters.marked += 1;
        }
        waiting
    }
}

/// RFC 8289, 5.5: the time of the next drop, the closer the more there were: `t + interval / sqrt(count)`.
fn control_law(config: &CodelConfig, t: Instant, count: u32) -> Instant {
    let interval = config.interval.as_nanos().min(u64::MAX.into());
    let nanos = (interval * interval / u128::from(count.max(1))).isqrt();
    t + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// One queue under CoDel.
#[derive(Debug)]
pub(crate) struct Codel {
    config: CodelConfig,
    maxpacket: u32,
    line: Line,
    control: Control,
}

impl Codel {
    pub(crate) fn new(config: CodelConfig, maxpacket: u32) -> Codel {
        Codel {
            config,
            maxpacket,
            line: Line::default(),
            control: Control::default(),
        }
    }

    pub(crate) fn push(&mut self, waiting: Waiting, counters: &mut PipeCounters) {
        if self.line.len() < self.config.limit as usize {
            self.line.push(waiting);
        } else {
            counters.queue_full += 1;
        }
    }

    pub(crate) fn pop(&mut self, now: Instant, counters: &mut PipeCounters) -> Option<Waiting> {
        let (config, maxpacket) = (&self.config, self.maxpacket);
        (self.control).pop(config, maxpacket, now, &mut self.line, 0, counters)
    }

    pub(crate) fn give_up(&mut self) -> Option<Waiting> {
        self.line.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.line.bytes()
    }
}

#[cfg(test)]
mod tests;
