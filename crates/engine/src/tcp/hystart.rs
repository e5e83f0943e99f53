//! HyStart++ (RFC 9406): slow start ends when the round-trip time rises, before anything is lost.

use switchboard_wire::SeqNum;

/// RFC 9406, 4.3.
const MIN_THRESHOLD_US: u32 = 4000;
const MAX_THRESHOLD_US: u32 = 16_000;
const DIVISOR: u32 = 8;
const SAMPLES: u32 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u32 = 5;

/// One slow start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyStart {
    /// windowEnd: the round is over when this is acknowledged.
    round_end: Option<SeqNum>,
    last_min_us: u32,
    current_min_us: u32,
    samples: u32,
    /// Conservative slow start: the baseline, and the rounds it has lasted.
    css: Option<(u32, u32)>,
}

impl Default for HyStart {
    fn default() -> HyStart {
        HyStart {
            round_end: None,
            last_min_us: u32::MAX,
            current_min_us: u32::MAX,
            samples: 0,
            css: None,
        }
    }
}

impl HyStart {
    /// By what growth is divided.
    pub(crate) const fn divisor(&self) -> u32 {
        match self.css {
            None => 1,
            Some(_) => CSS_GROWTH_DIVISOR,
        }
    }

    /// An acknowledgment up to `una` with a round-trip time, `max` being sent. True when slow start is over.
    pub(crate) fn on_rtt(&mut self, rtt_us: u32, una: SeqNum, max: SeqNum) -> bool {
        if self.round_end.is_none_or(|end| una.gt(end)) {
            self.round_end = Some(max);
            self.last_min_us = self.current_min_us;
            self.current_min_us = u32::MAX;
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.css {
                *rounds += 1;
                if *rounds > CSS_ROUNDS {
                    return true;
                }
            }
        }
        self.current_min_us = self.current_min_us.min(rtt_us);
        self.samples += 1;
        if self.samples < SAMPLES {
            return false;
        }
        match self.css {
            None if self.last_min_us != u32::MAX => {
                let threshold =
                    (self.last_min_us / DIVISOR).clamp(MIN_THRESHOLD_US, MAX_THRESHOLD_US);
                if self.current_min_us >= self.last_min_us.saturating_add(threshold) {
                    self.css = Some((self.current_min_us, 1));
                }
            }
            // The delay was jitter: on with slow start.
            Some((baseline, _)) if self.current_min_us < baseline => self.css = None,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests;
