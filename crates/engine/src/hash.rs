//! Keyed hashing and the random stream, both from the host's seed.
//!
//! Every hash map in the engine is keyed, so that a peer cannot choose ports that collide, and so that the same seed
//! gives the same run. Nothing outside may depend on the order of a hash map.

use core::hash::BuildHasher;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use siphasher::sip::SipHasher13;

/// Builds SipHash-1-3 hashers with the host's key, as Linux does for its socket tables.
#[derive(Clone, Copy)]
pub(crate) struct KeyedState {
    key: (u64, u64),
}

impl KeyedState {
    /// Hashes one value.
    #[inline]
    pub(crate) fn hash_of(&self, value: impl core::hash::Hash) -> u64 {
        self.hash_one(value)
    }
}

impl BuildHasher for KeyedState {
    type Hasher = SipHasher13;
    #[inline]
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

impl core::fmt::Debug for KeyedState {
    /// The key stays secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyedState")
    }
}

/// A hash map with the host's key.
pub(crate) type KeyedMap<K, V> = hashbrown::HashMap<K, V, KeyedState>;

/// The host's stream of random numbers.
#[derive(Debug)]
pub(crate) struct Random(ChaCha12Rng);

impl Random {
    /// From the host's seed.
    pub(crate) fn new(seed: [u8; 32]) -> Random {
        Random(ChaCha12Rng::from_seed(seed))
    }

    /// A fresh hash key.
    pub(crate) fn hash_state(&mut self) -> KeyedState {
        KeyedState {
            key: (self.0.next_u64(), self.0.next_u64()),
        }
    }

    /// 32 random bits.
    pub(crate) fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number in `0..n`, 0 when `n` is 0; uniform but for the usual 2^-32 bias, as Linux's reciprocal_scale.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        reciprocal_scale(self.0.next_u32(), n)
    }
}

/// Maps 32 uniform bits to `0..n` (Linux's function of this name).
#[inline]
pub(crate) const fn reciprocal_scale(value: u32, n: u32) -> u32 {
    ((value as u64 * n as u64) >> 32) as u32
}
