//! How often something happens, and how much that depends on the last time.

use core::fmt;

use crate::Random;

/// A probability, in steps of 2^-32, as netem keeps it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u32);

impl Probability {
    /// It does not happen.
    pub const NEVER: Probability = Probability(0);
    /// It happens each time.
    pub const ALWAYS: Probability = Probability(u32::MAX);

    /// From a number between 0 and 1. What is less counts as 0, what is more as 1, and what is no number as 0.
    pub fn new(fraction: f64) -> Probability {
        // A float becomes the nearest integer there is; NaN becomes 0.
        Probability(libm::round(fraction * f64::from(u32::MAX)) as u32)
    }

    /// From the number that netem is given for it.
    pub const fn from_bits(bits: u32) -> Probability {
        Probability(bits)
    }

    /// From a percentage, as tc(8) takes it.
    pub fn percent(percent: f64) -> Probability {
        Probability::new(percent / 100.0)
    }

    /// As a number between 0 and 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(u32::MAX)
    }

    /// Of two things that exclude each other, one.
    pub(crate) fn or(self, other: Probability) -> Probability {
        Probability(self.0.saturating_add(other.0))
    }

    /// Whether 32 random bits mean that it happens.
    pub(crate) fn covers(self, bits: u32) -> bool {
        self != Probability::NEVER && self.0 >= bits
    }
}

impl fmt::Debug for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.as_f64() * 100.0)
    }
}

/// `PERCENT [CORRELATION]` of tc-netem(8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance {
    /// How often it happens.
    pub probability: Probability,
    /// How much of the last random number goes into the next one.
    pub correlation: Probability,
}

impl Chance {
    /// It does not happen.
    pub const NEVER: Chance = Chance {
        probability: Probability::NEVER,
        correlation: Probability::NEVER,
    };

    /// So many percent, each time anew.
    pub fn percent(percent: f64) -> Chance {
        Chance {
            probability: Probability::percent(percent),
            correlation: Probability::NEVER,
        }
    }
}

/// Random numbers each of which depends on the last one (netem's `get_crandom`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Correlated {
    last: Option<u32>,
}

impl Correlated {
    /// The next number: `value * (1 - rho) + last * rho`. The numbers are even only where the correlation is none, which
    /// is netem's too.
    pub(crate) fn next(&mut self, random: &mut Random, correlation: Probability) -> u32 {
        let value = random.u32();
        if correlation == Probability::NEVER {
            return value;
        }
        let rho = u64::from(correlation.0) + 1;
        let last = *self.last.get_or_insert_with(|| random.u32());
        let mixed =
            u128::from(value) * u128::from((1 << 32) - rho) + u128::from(last) * u128::from(rho);
        let mixed = (mixed >> 32) as u32;
        self.last = Some(mixed);
        mixed
    }

    /// Whether it happens this time. What never happens takes no random number.
    pub(crate) fn happens(&mut self, random: &mut Random, chance: Chance) -> bool {
        chance.probability != Probability::NEVER
            && chance
                .probability
                .covers(self.next(random, chance.correlation))
    }
}

#[cfg(test)]
mod tests;
