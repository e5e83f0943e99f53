//! How long a packet is on its way: `delay TIME [JITTER [CORRELATION]] [distribution NAME]` of tc-netem(8).

use alloc::sync::Arc;
use core::time::Duration;

use switchboard_engine::Instant;

use crate::chance::Correlated;
use crate::{Probability, Random};

/// What a packet's time on the way is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// The delay in the middle.
    pub delay: Duration,
    /// How far it varies: as much for [`Distribution::Uniform`], the standard deviation (roughly, with netem's tables)
    /// for the others.
    pub jitter: Duration,
    /// How much of the last random number goes into the next one.
    pub correlation: Probability,
    /// How the times are spread.
    pub distribution: Distribution,
}

impl Delay {
    /// Always the same.
    pub const fn fixed(delay: Duration) -> Delay {
        Delay {
            delay,
            jitter: Duration::ZERO,
            correlation: Probability::NEVER,
            distribution: Distribution::Uniform,
        }
    }
}

/// How delays are spread around the one in the middle, as the tables that come with tc(8) have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Each delay in `delay` ± `jitter` is as likely as any other.
    #[default]
    Uniform,
    /// The normal distribution.
    Normal,
    /// The Pareto distribution of shape 3, moved to a mean of 0: few packets take very long. The longest take four
    /// jitters more, where netem's table ends.
    Pareto,
    /// A quarter normal and three quarters Pareto.
    ParetoNormal,
}

/// As many steps as tc's tables have.
const STEPS: u32 = 4096;
/// A table's entry is a 16-bit number, in units of 1/8192.
const LARGEST: f64 = 32_767.0 / 8192.0;

impl Distribution {
    /// How many jitters the delay is off, for an entry of tc's table; `None` for the uniform one, which has no table.
    fn deviation(self, entry: u32) -> Option<f64> {
        let entry = f64::from(entry.min(STEPS - 1));
        let steps = f64::from(STEPS);
        let normal = || inverse_normal((entry + 0.5) / steps);
        let pareto = || {
            let left = 1.0 - entry / steps;
            (libm::pow(left, -1.0 / 3.0) - 1.5) * 4.0 / 3.0
        };
        let deviation = match self {
            Distribution::Uniform => return None,
            Distribution::Normal => normal(),
            Distribution::Pareto => pareto(),
            Distribution::ParetoNormal => 0.25 * normal() + 0.75 * pareto().min(LARGEST),
        };
        Some(deviation.clamp(-LARGEST, LARGEST))
    }
}

/// The argument at which the normal distribution reaches `p`, by Acklam's rational approximation: off by 1.2e-9 of the
/// value at most.
fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] = [
        7.784695709041462e-03,
        3.224671290700398e-01,
        2.445134137142996e+00,
        3.754408661907416e+00,
        1.0,
    ];
    /// Below it, and above one less it, the tail's formula holds.
    const TAIL: f64 = 0.02425;
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p > 1.0 - TAIL {
        return -inverse_normal(1.0 - p);
    }
    if p < TAIL {
        let q = libm::sqrt(-2.0 * libm::log(p));
        return horner(&C, q) / horner(&D, q);
    }
    let q = p - 0.5;
    let r = q * q;
    horner(&A, r) * q / horner(&B, r)
}

/// The delays of one direction of a link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delays {
    numbers: Correlated,
    /// In place of a distribution: how far off the delays are, in jitters of 8192 each, all as likely.
    pub(crate) table: Option<Arc<[i16]>>,
}

impl Delays {
    /// When a packet arrives that sets out at `at`: never before that, however long the jitter (netem's `tabledist`).
    pub(crate) fn arrival(&mut self, random: &mut Random, config: &Delay, at: Instant) -> Instant {
        if config.jitter.is_zero() {
            return at + config.delay;
        }
        let bits = self.numbers.next(random, config.correlation);
        let jitter = config.jitter.as_nanos().min(u64::MAX.into()) as i128;
        let deviation = match self.table.as_deref() {
            Some(table) if !table.is_empty() => {
                Some(f64::from(table[bits as usize % table.len()]) / 8192.0)
            }
            _ => config.distribution.deviation(bits % STEPS),
        };
        let off = match deviation {
            None => ((i128::from(bits) * 2 * jitter) >> 32) - jitter,
            Some(jitters) => libm::round(jitters * jitter as f64) as i128,
        };
        let delay = config.delay.as_nanos().min(u64::MAX.into()) as i128 + off;
        let nanos = u64::try_from(delay.max(0)).unwrap_or(u64::MAX);
        at + Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests;
