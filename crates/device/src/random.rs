//! The generator that links take their chances from.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded stream of random numbers: the same seed gives the same chances.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// Of one seed there are as many streams as there are numbers, which have nothing to do with each other: a link that
    /// has one of its own is not disturbed by what others draw.
    pub fn new(seed: [u8; 32], stream: u64) -> Random {
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_stream(stream);
        Random(rng)
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.u32()) * u64::from(n)) >> 32) as u32
    }
}
