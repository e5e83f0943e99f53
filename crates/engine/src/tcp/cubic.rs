//! CUBIC (RFC 9438): the window grows as a cubic function of the time since the last reduction.
//!
//! All in bytes and milliseconds, with integers. The constants are the RFC's and Linux's: C = 0.4, beta = 0.7, fast
//! convergence. Where Reno would be faster, growth is Reno's (4.3).

use crate::time::Instant;

use super::congestion::CWND_MAX;

/// beta_cubic in 1/1024 (Linux's beta).
const BETA: u64 = 717;
/// C = 4/10.
const C_NUM: u128 = 4;
const C_DEN: u128 = 10;
/// 3 * (1 - beta) / (1 + beta) in 1/1024 (4.3).
const ALPHA: u64 = 3 * (1024 - BETA) * 1024 / (1024 + BETA);
/// Farther from the inflection point, growth is bounded by 1.5 windows anyway.
const OFFSET_MAX: u64 = 1 << 24;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cubic {
    /// When the current time of growth began; `None` until the first acknowledgment of it.
    epoch: Option<Instant>,
    /// W_max of the current growth, and what is remembered of it (4.7).
    origin: u32,
    last_max: u32,
    /// K, in milliseconds.
    k: u64,
    /// What Reno would have, in 1/1024 bytes.
    estimate: u64,
    /// Growth that is less than a byte yet.
    rest: u64,
}

impl Cubic {
    /// A loss: the new ssthresh (4.6), and the plateau to come back to (4.7).
    pub(crate) fn reduce(&mut self, cwnd: u32) -> u32 {
        self.epoch = None;
        let reduced = (u64::from(cwnd) * BETA / 1024) as u32;
        self.last_max = if cwnd < self.last_max {
            (u64::from(cwnd) * (1024 + BETA) / 2048) as u32
        } else {
            cwnd
        };
        reduced
    }

    /// After a pause growth begins anew; after a timeout nothing of before counts (4.8, bictcp_reset).
    pub(crate) fn restart(&mut self) {
        self.epoch = None;
    }

    /// Congestion avoidance: `acked` bytes are acknowledged; the new window (4.2 to 4.5). The round-trip time is the least
    /// one, as in Linux: by the smoothed one a flow that fills a queue would grow faster for it.
    pub(crate) fn on_ack(
        &mut self,
        cwnd: u32,
        acked: u32,
        mss: u32,
        now: Instant,
        rtt_us: u32,
    ) -> u32 {
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => {
                self.begin(cwnd, mss);
                *self.epoch.insert(now)
            }
        };
        let t = (now.micros_since(epoch) + u64::from(rtt_us)) / 1000;
        // Before the first loss nothing is known of the path: as Linux, at least a twentieth in each round trip.
        let least = match self.last_max {
            0 => u64::from(cwnd) * 21 / 20,
            _ => u64::from(cwnd),
        };
        let target = self.at(t, mss).clamp(least, u64::from(cwnd) * 3 / 2);
        // (target - cwnd) / cwnd for each byte acknowledged.
        self.rest += (target - u64::from(cwnd)) * u64::from(acked);
        let mut grown = u64::from(cwnd) + self.rest / u64::from(cwnd.max(1));
        self.rest %= u64::from(cwnd.max(1));
        // RFC 9438, 4.3 has alpha 1 above cwnd_prior; Linux does not.
        self.estimate += ALPHA * u64::from(mss) * u64::from(acked) / u64::from(cwnd.max(1));
        grown = grown.max(self.estimate >> 10);
        grown.min(u64::from(CWND_MAX)) as u32
    }

    fn begin(&mut self, cwnd: u32, mss: u32) {
        self.estimate = u64::from(cwnd) << 10;
        self.rest = 0;
        if cwnd < self.last_max {
            // K = cbrt((W_max - cwnd) / C), in segments and seconds (figure 2).
            let distance = u64::from(self.last_max - cwnd);
            let cube =
                u128::from(distance) * 1_000_000_000 * C_DEN / (C_NUM * u128::from(mss.max(1)));
            self.k = cube_root(u64::try_from(cube).unwrap_or(u64::MAX));
            self.origin = self.last_max;
        } else {
            self.k = 0;
            self.origin = cwnd;
        }
    }

    /// W_cubic(t) = C * (t - K)^3 + W_max (figure 1), in bytes.
    fn at(&self, t: u64, mss: u32) -> u64 {
        let offset = t.abs_diff(self.k).min(OFFSET_MAX);
        let cube = u128::from(offset).pow(3);
        let bytes = cube * C_NUM * u128::from(mss) / (C_DEN * 1_000_000_000);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let origin = u64::from(self.origin);
        if t < self.k {
            origin.saturating_sub(bytes)
        } else {
            origin.saturating_add(bytes)
        }
    }
}

/// The integer cube root.
fn cube_root(n: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..=21).rev() {
        let next = root | 1 << bit;
        if u128::from(next).pow(3) <= u128::from(n) {
            root = next;
        }
    }
    root
}

#[cfg(test)]
mod tests;
