//! Keyed hashing and the random stream, both from the host's seed.
//!
//! Every hash map in the engine is keyed, so that a peer cannot choose ports that collide, and so that the same seed
//! gives the same run. Nothing outside may depend on the order of a hash map.

use core::hash::{BuildHasher, Hash, Hasher};
use core::ops::Deref;

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

/// Builds [`WordHasher`]s with the host's key: for keys that are a few whole words and are asked for once a packet.
#[derive(Clone, Copy)]
pub(crate) struct WordState(KeyedState);

impl From<KeyedState> for WordState {
    fn from(state: KeyedState) -> WordState {
        WordState(state)
    }
}

impl BuildHasher for WordState {
    type Hasher = WordHasher;
    #[inline]
    fn build_hasher(&self) -> WordHasher {
        let (k0, k1) = self.0.key;
        WordHasher {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            len: 0,
        }
    }
}

impl core::fmt::Debug for WordState {
    /// The key stays secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("WordState")
    }
}

/// A hash map with the host's key, for keys of whole words.
pub(crate) type WordMap<K, V> = hashbrown::HashMap<K, V, WordState>;

/// Changes a list of `map`, and takes it out when nothing is left in it.
pub(crate) fn prune<K, L, T, S>(
    map: &mut hashbrown::HashMap<K, L, S>,
    key: K,
    change: impl FnOnce(&mut L),
) where
    K: Hash + Eq,
    L: Deref<Target = [T]>,
    S: BuildHasher,
{
    if let Some(list) = map.get_mut(&key) {
        change(list);
        if list.is_empty() {
            map.remove(&key);
        }
    }
}

/// SipHash-1-3 over whole words: the general hasher spends more time on its buffer than on its rounds.
pub(crate) struct WordHasher {
    v: [u64; 4],
    len: u64,
}

impl Hasher for WordHasher {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.len = self.len.wrapping_add(8);
        self.v[3] ^= word;
        sip_round(&mut self.v);
        self.v[0] ^= word;
    }

    /// What is not a word is filled up to one; its length goes along.
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.len = self.len.wrapping_add(bytes.len() as u64 % 8);
    }

    #[inline]
    fn finish(&self) -> u64 {
        let mut v = self.v;
        let last = self.len << 56;
        v[3] ^= last;
        sip_round(&mut v);
        v[0] ^= last;
        v[2] ^= 0xff;
        sip_round(&mut v);
        sip_round(&mut v);
        sip_round(&mut v);
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

/// One SipRound.
#[inline]
pub(crate) fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hash_as_their_bytes_do() {
        let state = KeyedState { key: (3, 5) };
        for words in [&[][..], &[7], &[7, 1 << 63], &[0, 0, 0]] {
            let (mut fast, mut general) = (WordState(state).build_hasher(), state.build_hasher());
            for word in words {
                fast.write_u64(*word);
                general.write_u64(*word);
            }
            assert_eq!(fast.finish(), general.finish(), "{words:?}");
        }
    }
}
