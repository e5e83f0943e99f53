//! Which packets are lost: `loss random`, `loss state` and `loss gemodel` of tc-netem(8).

use crate::chance::Correlated;
use crate::{Chance, Probability, Random};

/// How packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// `loss random PERCENT [CORRELATION]`: each by itself.
    Random(Chance),
    /// `loss gemodel P [R [1-H [1-K]]]`: the model of Gilbert and Elliott, a good and a bad state.
    GilbertElliott {
        /// From good to bad.
        p: Probability,
        /// From bad to good.
        r: Probability,
        /// `1-h`: a packet is lost in the bad state. [`Probability::ALWAYS`] is Gilbert's simpler model.
        bad: Probability,
        /// `1-k`: a packet is lost in the good state.
        good: Probability,
    },
    /// `loss state P13 [P31 [P32 [P23 P14]]]`: the Markov chain of four states.
    State {
        /// From received in a gap to lost in a burst.
        p13: Probability,
        /// From lost in a burst to received in a gap.
        p31: Probability,
        /// From lost in a burst to received in a burst.
        p32: Probability,
        /// From received in a burst to lost in a burst.
        p23: Probability,
        /// A single loss in a gap.
        p14: Probability,
    },
}

impl Loss {
    /// Nothing is lost.
    pub const NONE: Loss = Loss::Random(Chance::NEVER);

    /// So many percent, each packet by itself.
    pub fn percent(percent: f64) -> Loss {
        Loss::Random(Chance::percent(percent))
    }

    /// The simple Gilbert model: nothing is lost in the good state and everything in the bad one.
    pub fn gilbert(p: Probability, r: Probability) -> Loss {
        Loss::GilbertElliott {
            p,
            r,
            bad: Probability::ALWAYS,
            good: Probability::NEVER,
        }
    }
}

impl Default for Loss {
    fn default() -> Loss {
        Loss::NONE
    }
}

/// Where a chain is. That of Gilbert and Elliott has the first two only: good and bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Gap,
    Burst,
    BurstReceiving,
    GapLost,
}

/// The losses of one direction of a link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    numbers: Correlated,
    place: Place,
}

impl Losses {
    /// Whether the next packet is lost.
    pub(crate) fn is_lost(&mut self, random: &mut Random, loss: &Loss) -> bool {
        match *loss {
            Loss::Random(chance) => self.numbers.happens(random, chance),
            Loss::GilbertElliott { p, r, bad, good } => {
                // netem: the packet fares as in the state it finds, and the chain goes on.
                let (leave, next, lost) = match self.place {
                    Place::Gap => (p, Place::Burst, good),
                    _ => (r, Place::Gap, bad),
                };
                if leave.covers(random.u32()) {
                    self.place = next;
                }
                lost.covers(random.u32())
            }
            Loss::State {
                p13,
                p31,
                p32,
                p23,
                p14,
            } => {
                let bits = random.u32();
                self.place = match self.place {
                    Place::Gap => pick(
                        bits,
                        [(p14, Place::GapLost), (p13, Place::Burst)],
                        Place::Gap,
                    ),
                    Place::Burst => pick(
                        bits,
                        [(p32, Place::BurstReceiving), (p31, Place::Gap)],
                        Place::Burst,
                    ),
                    Place::BurstReceiving => pick(
                        bits,
                        [(p23, Place::Burst), (Probability::NEVER, Place::Gap)],
                        Place::BurstReceiving,
                    ),
                    // A single loss is single.
                    Place::GapLost => Place::Gap,
                };
                matches!(self.place, Place::Burst | Place::GapLost)
            }
        }
    }
}

/// The place whose share of the numbers `bits` is in.
fn pick(bits: u32, places: [(Probability, Place); 2], rest: Place) -> Place {
    let [(first, a), (second, b)] = places;
    let both = first.or(second);
    if first.covers(bits) {
        a
    } else if both.covers(bits) {
        b
    } else {
        rest
    }
}

#[cfg(test)]
mod tests;
