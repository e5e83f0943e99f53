//! TCP sequence numbers.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence number: arithmetic and comparison are modulo 2^32 (RFC 9293, 3.4).
///
/// There is no `Ord`: modular order is not transitive, so comparisons are spelled out ([`lt`](Self::lt) and kin).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// `self < other`, modulo 2^32.
    #[inline]
    pub const fn lt(self, other: SeqNum) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self <= other`, modulo 2^32.
    #[inline]
    pub const fn leq(self, other: SeqNum) -> bool {
        (self.0.wrapping_sub(other.0) as i32) <= 0
    }

    /// `self > other`, modulo 2^32.
    #[inline]
    pub const fn gt(self, other: SeqNum) -> bool {
        (self.0.wrapping_sub(other.0) as i32) > 0
    }

    /// `self >= other`, modulo 2^32.
    #[inline]
    pub const fn geq(self, other: SeqNum) -> bool {
        (self.0.wrapping_sub(other.0) as i32) >= 0
    }

    /// Whether `start <= self < start + len`.
    #[inline]
    pub const fn in_window(self, start: SeqNum, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// The later of two.
    #[inline]
    #[must_use]
    pub const fn max(self, other: SeqNum) -> SeqNum {
        if self.lt(other) { other } else { self }
    }

    /// The earlier of two.
    #[inline]
    #[must_use]
    pub const fn min(self, other: SeqNum) -> SeqNum {
        if self.gt(other) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn add(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(n))
    }
}

impl Add<i32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn add(self, n: i32) -> SeqNum {
        SeqNum(self.0.wrapping_add_signed(n))
    }
}

impl Add<usize> for SeqNum {
    type Output = SeqNum;
    /// Only the low 32 bits of `n` count, as the arithmetic is modular.
    #[inline]
    fn add(self, n: usize) -> SeqNum {
        SeqNum(self.0.wrapping_add(n as u32))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl AddAssign<i32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, n: i32) {
        *self = *self + n;
    }
}

impl AddAssign<usize> for SeqNum {
    #[inline]
    fn add_assign(&mut self, n: usize) {
        *self = *self + n;
    }
}

impl Sub<SeqNum> for SeqNum {
    type Output = i32;
    /// The signed distance from `other` to `self`.
    #[inline]
    fn sub(self, other: SeqNum) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn sub(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(n))
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
