//! What a run has beside its packet.

/// The world around one run of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Env {
    /// Nanoseconds since the host booted.
    pub now: u64,
    /// What random numbers are made of; the same seed gives the same numbers.
    pub seed: u64,
    /// The processor it runs on.
    pub cpu: u32,
}

impl Env {
    /// The next random number (SplitMix64).
    pub fn random(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }
}
