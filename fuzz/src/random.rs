//! The generator's randomness, and how it changes an input.

/// splitmix64: a seed says everything.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    /// Random bytes, as many as `len` at most; short ones are as likely as long ones.
    pub(crate) fn input(&mut self, len: usize) -> Vec<u8> {
        let shift = self.below(5);
        let len = self.below((len >> shift).max(1) + 1);
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            out.extend_from_slice(&self.bits().to_le_bytes());
        }
        out.truncate(len);
        out
    }

    /// Changes an input a little: bits, bytes, pieces copied, moved, dropped, or taken of `other`.
    pub(crate) fn mutate(&mut self, input: &mut Vec<u8>, other: &[u8], max: usize) {
        for _ in 0..1 + self.below(4) {
            let len = input.len();
            let at = self.below(len);
            let piece = (1 + self.below(16)).min(len - at.min(len));
            match self.below(9) {
                0 if len > 0 => input[at] ^= 1 << self.below(8),
                1 if len > 0 => input[at] = self.bits() as u8,
                2 if len > 0 => {
                    let n = [0, 1, 0x7f, 0x80, 0xff, 4, 8, 16][self.below(8)];
                    input[at] = n;
                }
                3 if len > 0 => {
                    input[at] = input[at].wrapping_add(self.below(9) as u8).wrapping_sub(4)
                }
                4 => {
                    let _ = input.drain(at..at + piece);
                }
                5 => {
                    let copy = input[at..at + piece].to_vec();
                    let to = self.below(len + 1);
                    let _ = input.splice(to..to, copy);
                }
                6 => {
                    let new = self.bits().to_le_bytes();
                    let n = 1 + self.below(8);
                    let _ = input.splice(at..at, new.into_iter().take(n));
                }
                7 if !other.is_empty() => {
                    let from = self.below(other.len());
                    let n = (1 + self.below(64)).min(other.len() - from);
                    let _ = input.splice(at..at, other[from..from + n].iter().copied());
                }
                _ if !other.is_empty() => {
                    input.truncate(at);
                    input.extend_from_slice(&other[self.below(other.len())..]);
                }
                _ => input.push(self.bits() as u8),
            }
        }
        input.truncate(max);
    }
}
