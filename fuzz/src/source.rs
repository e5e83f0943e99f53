//! Decisions out of bytes.

/// A program as bytes: each decision takes the next few. When they have run out every decision is
/// the first choice, and [`Source::done`] says so.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    /// Reads from the first byte on.
    pub fn new(bytes: &'a [u8]) -> Source<'a> {
        Source { bytes }
    }

    /// No byte is left.
    pub fn done(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A byte.
    pub fn u8(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// A number below `n`, out of one byte (so `n` is at most 256).
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.u8()) % n.max(1)
    }

    /// True in about one of `n` cases; false when nothing is left.
    pub fn one_in(&mut self, n: u8) -> bool {
        !self.done() && self.u8() % n == n - 1
    }

    /// One of a list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A length: mostly small, now and then up to `max`.
    pub fn length(&mut self, max: usize) -> usize {
        let n = match self.u8() {
            n @ 0..160 => usize::from(n) % 24,
            160..224 => usize::from(self.u16()) % 2048,
            224..250 => usize::from(self.u16()),
            _ => self.u32() as usize % (1 << 21),
        };
        n.min(max)
    }

    /// An `int` as a caller might pass it: small, a power of two, an extreme, or any.
    pub fn int(&mut self) -> i32 {
        match self.u8() {
            n @ 0..128 => i32::from(n) % 16,
            n @ 128..180 => 1 << (n % 32),
            180..200 => -1,
            200..210 => i32::MAX,
            210..220 => i32::MIN,
            220..240 => i32::from(self.u16()),
            _ => self.u32() as i32,
        }
    }

    /// The next `n` bytes, or as many as there are.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(n.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }
}
