//! What is known of a number: bounds, as unsigned and as signed.

use super::super::insn::*;

/// A number between bounds. Both pairs hold at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scalar {
    pub(super) umin: u64,
    pub(super) umax: u64,
    pub(super) smin: i64,
    pub(super) smax: i64,
}

impl Scalar {
    pub(super) const ANY: Scalar = Scalar {
        umin: 0,
        umax: u64::MAX,
        smin: i64::MIN,
        smax: i64::MAX,
    };

    pub(super) fn exactly(value: u64) -> Scalar {
        Scalar {
            umin: value,
            umax: value,
            smin: value as i64,
            smax: value as i64,
        }
    }

    /// A number of `bytes` bytes.
    pub(super) fn of_size(bytes: usize) -> Scalar {
        match bytes {
            8 => Scalar::ANY,
            n => Scalar::unsigned(0, (1 << (8 * n)) - 1),
        }
    }

    pub(super) fn unsigned(umin: u64, umax: u64) -> Scalar {
        Scalar {
            umin,
            umax,
            ..Scalar::ANY
        }
        .settled()
    }

    fn signed(smin: i64, smax: i64) -> Scalar {
        Scalar {
            smin,
            smax,
            ..Scalar::ANY
        }
        .settled()
    }

    pub(super) fn value(&self) -> Option<u64> {
        (self.umin == self.umax).then_some(self.umin)
    }

    /// Nothing fulfils both.
    pub(super) fn is_empty(&self) -> bool {
        self.umin > self.umax || self.smin > self.smax
    }

    pub(super) fn contains(&self, other: &Scalar) -> bool {
        self.umin <= other.umin
            && self.umax >= other.umax
            && self.smin <= other.smin
            && self.smax >= other.smax
    }

    /// Each pair of bounds tells what it can of the other.
    pub(super) fn settled(mut self) -> Scalar {
        // On one side of the sign bit the order is the same.
        if (self.umin as i64) <= (self.umax as i64) {
            self.smin = self.smin.max(self.umin as i64);
            self.smax = self.smax.min(self.umax as i64);
        }
        if (self.smin as u64) <= (self.smax as u64) {
            self.umin = self.umin.max(self.smin as u64);
            self.umax = self.umax.min(self.smax as u64);
        }
        self
    }

    /// As it is in the low half of a register whose high half is zero.
    pub(super) fn low(self) -> Scalar {
        const MAX: u64 = u32::MAX as u64;
        if self.umax <= MAX {
            self
        } else {
            Scalar::unsigned(0, MAX)
        }
    }

    /// The result of `self op other` in 64 bits.
    pub(super) fn alu64(self, op: u8, by: Scalar, signed: bool) -> Scalar {
        if let (Some(a), Some(b)) = (self.value(), by.value()) {
            return Scalar::exactly(super::super::run::alu64(op, a, b, signed));
        }
        let bounded = |lo: Option<u64>, hi: Option<u64>| match (lo, hi) {
            (Some(lo), Some(hi)) => Some(Scalar::unsigned(lo, hi)),
            _ => None,
        };
        match op {
            ADD => {
                let unsigned = bounded(
                    self.umin.checked_add(by.umin),
                    self.umax.checked_add(by.umax),
                );
                let smin = self.smin.checked_add(by.smin);
                let smax = self.smax.checked_add(by.smax);
                both(unsigned, smin, smax)
            }
            SUB => {
                let unsigned = bounded(
                    self.umin.checked_sub(by.umax),
                    self.umax.checked_sub(by.umin),
                );
                let smin = self.smin.checked_sub(by.smax);
                let smax = self.smax.checked_sub(by.smin);
                both(unsigned, smin, smax)
            }
            MUL => bounded(
                self.umin.checked_mul(by.umin),
                self.umax.checked_mul(by.umax),
            )
            .unwrap_or(Scalar::ANY),
            AND => Scalar::unsigned(0, self.umax.min(by.umax)),
            OR | XOR => {
                let bits = 64 - (self.umax | by.umax).leading_zeros();
                let least = if op == OR { self.umin.max(by.umin) } else { 0 };
                Scalar::unsigned(least, mask(bits))
            }
            RSH => match by.value() {
                Some(n) if n < 64 => Scalar::unsigned(self.umin >> n, self.umax >> n),
                _ => Scalar::unsigned(0, self.umax),
            },
            LSH => match by.value() {
                Some(n) if n < 64 && self.umax.leading_zeros() as u64 >= n => {
                    Scalar::unsigned(self.umin << n, self.umax << n)
                }
                _ => Scalar::ANY,
            },
            ARSH => match by.value() {
                Some(n) if n < 64 => Scalar::signed(self.smin >> n, self.smax >> n),
                _ => Scalar::ANY,
            },
            DIV if !signed => match by.value() {
                Some(n) if n > 0 => Scalar::unsigned(self.umin / n, self.umax / n),
                // By zero it is zero, by one it is all.
                _ => Scalar::unsigned(0, self.umax),
            },
            MOD if !signed => match by.value() {
                Some(n) if n > 0 => Scalar::unsigned(0, (n - 1).min(self.umax)),
                _ => Scalar::unsigned(0, self.umax),
            },
            NEG => Scalar::exactly(0).alu64(SUB, self, false),
            _ => Scalar::ANY,
        }
    }

    /// The same in the low 32 bits; the high ones are zero after it.
    pub(super) fn alu32(self, op: u8, by: Scalar, signed: bool) -> Scalar {
        let (a, b) = (self.low(), by.low());
        if let (Some(a), Some(b)) = (a.value(), b.value()) {
            let value = super::super::run::alu32(op, a as u32, b as u32, signed);
            return Scalar::exactly(value.into());
        }
        match op {
            // Where nothing wraps at 32 bits the result is that of 64.
            ADD | MUL | AND | OR | XOR | RSH | LSH if !shifts_too_far(op, b) => {
                let wide = a.alu64(op, b, false);
                if wide.umax <= u32::MAX.into() {
                    wide
                } else {
                    Scalar::of_size(4)
                }
            }
            SUB if a.umin >= b.umax => a.alu64(SUB, b, false).low(),
            DIV | MOD if !signed => a.alu64(op, b, false).low(),
            _ => Scalar::of_size(4),
        }
    }

    /// What is left when `self op by` holds; `bits` says in how many bits it was compared.
    pub(super) fn refine(self, op: u8, by: Scalar) -> Scalar {
        let mut to = self;
        match op {
            JEQ => {
                to.umin = to.umin.max(by.umin);
                to.umax = to.umax.min(by.umax);
                to.smin = to.smin.max(by.smin);
                to.smax = to.smax.min(by.smax);
            }
            JNE => {
                // Only at an end of the bounds something is learned.
                if let Some(value) = by.value() {
                    if to.umin == value && to.umax != value {
                        to.umin += 1;
                    } else if to.umax == value && to.umin != value {
                        to.umax -= 1;
                    } else if to.umin == value {
                        to.umin = 1;
                        to.umax = 0;
                        return to;
                    }
                }
            }
            JGT => match by.umin.checked_add(1) {
                Some(least) => to.umin = to.umin.max(least),
                None => to.umax = 0,
            },
            JGE => to.umin = to.umin.max(by.umin),
            JLT => match by.umax.checked_sub(1) {
                Some(most) => to.umax = to.umax.min(most),
                None => {
                    to.umin = 1;
                    to.umax = 0;
                    return to;
                }
            },
            JLE => to.umax = to.umax.min(by.umax),
            JSGT => match by.smin.checked_add(1) {
                Some(least) => to.smin = to.smin.max(least),
                None => {
                    to.smin = 1;
                    to.smax = 0;
                    return to;
                }
            },
            JSGE => to.smin = to.smin.max(by.smin),
            JSLT => match by.smax.checked_sub(1) {
                Some(most) => to.smax = to.smax.min(most),
                None => {
                    to.smin = 1;
                    to.smax = 0;
                    return to;
                }
            },
            JSLE => to.smax = to.smax.min(by.smax),
            _ => {}
        }
        if to.is_empty() { to } else { to.settled() }
    }
}

fn both(unsigned: Option<Scalar>, smin: Option<i64>, smax: Option<i64>) -> Scalar {
    let mut result = unsigned.unwrap_or(Scalar::ANY);
    if let (Some(smin), Some(smax)) = (smin, smax) {
        result.smin = result.smin.max(smin);
        result.smax = result.smax.min(smax);
    }
    result.settled()
}

fn shifts_too_far(op: u8, by: Scalar) -> bool {
    matches!(op, LSH | RSH) && by.umax >= 32
}

fn mask(bits: u32) -> u64 {
    match bits {
        0 => 0,
        n => u64::MAX >> (64 - n),
    }
}
