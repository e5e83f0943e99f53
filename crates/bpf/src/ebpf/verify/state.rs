//! What is known at one place of one way: of each register, and of each byte of the stack.

use super::super::insn::{FP, STACK};
use super::scalar::Scalar;
use crate::packet::Which;
use alloc::vec;
use alloc::vec::Vec;

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reg {
    /// Nothing was written to it on this way.
    Unwritten,
    Number(Scalar),
    Context,
    /// Into the stack, from its top: at most 0.
    Stack(i64),
    /// A map of the program.
    Map(usize),
    /// Into a value of a map, so many bytes from its start.
    Value(usize, Scalar),
    /// The same or null, which is one of `id` everywhere.
    ValueOrNull(usize, u32),
    /// Into the packet: `id` names the part that is not known, `off` comes on top of it, and
    /// `range` bytes from there (without `off`) were found to be in the packet.
    Packet {
        id: u32,
        off: i64,
        range: i64,
    },
    PacketEnd,
    /// A socket of the context.
    Socket(Which),
    /// `migrating_sk`, or null, which is one of its number everywhere; 0 is not numbered yet.
    SocketOrNull(u32),
}

impl Reg {
    pub(super) const ANY: Reg = Reg::Number(Scalar::ANY);

    pub(super) fn is_pointer(&self) -> bool {
        !matches!(self, Reg::Unwritten | Reg::Number(_))
    }

    /// Whether all that may be in `other` may be in this too, and was found good there.
    fn covers(&self, other: &Reg) -> bool {
        match (self, other) {
            // It was not looked at.
            (Reg::Unwritten, _) => true,
            (Reg::Number(a), Reg::Number(b)) => a.contains(b),
            (Reg::Value(map, a), Reg::Value(of, b)) => map == of && a.contains(b),
            (
                Reg::Packet { id, off, range },
                Reg::Packet {
                    id: i,
                    off: o,
                    range: r,
                },
            ) => (id, off) == (i, o) && range <= r,
            (a, b) => a == b,
        }
    }
}

/// Eight bytes of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// Which of its bytes were written.
    Bytes(u8),
    /// A register, whole.
    Saved(Reg),
}

/// All of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) regs: [Reg; 11],
    /// From the top down, as deep as was written.
    pub(super) stack: Vec<Slot>,
    pub(super) next_id: u32,
}

impl State {
    pub(super) fn new() -> State {
        let mut regs = [Reg::Unwritten; 11];
        regs[1] = Reg::Context;
        regs[FP] = Reg::Stack(0);
        State {
            regs,
            stack: Vec::new(),
            next_id: 1,
        }
    }

    pub(super) fn fresh_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Whether a way from `other` can meet nothing that a way from here has not met. Registers that
    /// are not in `live` are not read again.
    pub(super) fn covers(&self, other: &State, live: u16) -> bool {
        let regs = (0..11).all(|n| live & (1 << n) == 0 || self.regs[n].covers(&other.regs[n]));
        let empty = Slot::Bytes(0);
        regs && self.stack.iter().enumerate().all(|(at, slot)| {
            match (slot, other.stack.get(at).unwrap_or(&empty)) {
                (Slot::Bytes(a), Slot::Bytes(b)) => a & !b == 0,
                (Slot::Bytes(_), Slot::Saved(Reg::Number(_))) => true,
                (Slot::Bytes(a), Slot::Saved(_)) => *a == 0,
                (Slot::Saved(a), Slot::Saved(b)) => a.covers(b),
                (Slot::Saved(_), Slot::Bytes(_)) => false,
            }
        })
    }

    /// The slot and the bytes of it that `size` bytes at `off` are; they lie in one slot.
    fn place(off: i64, size: usize) -> (usize, u8) {
        let depth = (-off) as usize;
        let slot = (depth - 1) / 8;
        // Byte 0 of a slot is its lowest address.
        let first = (slot + 1) * 8 - depth;
        let mask = ((1u16 << size) - 1) << first;
        (slot, mask as u8)
    }

    /// Whether `size` bytes at `off` are of the stack.
    pub(super) fn in_stack(off: i64, size: usize) -> bool {
        off < 0 && off >= -(STACK as i64) && off + size as i64 <= 0
    }

    /// Writes bytes of a number; `value` when it is a whole slot.
    pub(super) fn write_stack(&mut self, off: i64, size: usize, value: Reg) {
        let (slot, mask) = State::place(off, size);
        if self.stack.len() <= slot {
            self.stack.resize(slot + 1, Slot::Bytes(0));
        }
        self.stack[slot] = match (self.stack[slot], value) {
            (_, value) if size == 8 => Slot::Saved(value),
            (Slot::Bytes(old), _) => Slot::Bytes(old | mask),
            (Slot::Saved(Reg::Number(_)), _) => Slot::Bytes(0xff),
            // A pointer that is written into is none any more.
            (Slot::Saved(_), _) => Slot::Bytes(mask),
        };
    }

    /// What `size` bytes at `off` hold; `None`: some were not written.
    pub(super) fn read_stack(&self, off: i64, size: usize) -> Option<Reg> {
        let (slot, mask) = State::place(off, size);
        match *self.stack.get(slot)? {
            Slot::Saved(reg) if size == 8 => Some(reg),
            Slot::Saved(Reg::Number(_)) => Some(Reg::Number(Scalar::of_size(size))),
            Slot::Saved(_) => None,
            Slot::Bytes(written) => {
                (written & mask == mask).then(|| Reg::Number(Scalar::of_size(size)))
            }
        }
    }

    /// Writes `size` bytes of which nothing is known.
    pub(super) fn fill_stack(&mut self, off: i64, size: usize) {
        for at in 0..size as i64 {
            self.write_stack(off + at, 1, Reg::ANY);
        }
    }

    /// Whether `size` bytes at `off` hold numbers.
    pub(super) fn is_written(&self, off: i64, size: usize) -> bool {
        (0..size as i64).all(|at| self.read_stack(off + at, 1).is_some())
    }

    /// A null check came out: every copy of the pointer is a pointer now, or null.
    pub(super) fn settle_null(&mut self, id: u32, null: bool) {
        let settle = |reg: &mut Reg| {
            let there = match *reg {
                Reg::ValueOrNull(map, own) if own == id => Reg::Value(map, Scalar::exactly(0)),
                Reg::SocketOrNull(own) if own == id => Reg::Socket(Which::Migrating),
                _ => return,
            };
            *reg = if null {
                Reg::Number(Scalar::exactly(0))
            } else {
                there
            };
        };
        self.each(settle);
    }

    /// `bytes` bytes from the start of a packet pointer's known part are in the packet.
    pub(super) fn settle_range(&mut self, id: u32, bytes: i64) {
        self.each(|reg| {
            if let Reg::Packet { id: own, range, .. } = reg
                && *own == id
            {
                *range = (*range).max(bytes);
            }
        });
    }

    fn each(&mut self, mut change: impl FnMut(&mut Reg)) {
        self.regs.iter_mut().for_each(&mut change);
        for slot in &mut self.stack {
            if let Slot::Saved(reg) = slot {
                change(reg);
            }
        }
    }
}

/// Which registers are read again after each instruction's start, by going backwards until nothing
/// changes.
pub(super) fn live(insns: &[super::super::insn::Insn]) -> Vec<u16> {
    use super::super::insn::*;
    let mut live = vec![0u16; insns.len() + 1];
    loop {
        let mut changed = false;
        for (at, insn) in insns.iter().enumerate().rev() {
            let after = super::structure::successors(*insn, at)
                .map(|to| live.get(to).copied().unwrap_or(0))
                .fold(0, |a, b| a | b);
            let (dst, src) = (1u16 << insn.dst, 1u16 << (insn.src & 0xf));
            let (reads, writes) = match insn.class() {
                ALU | ALU64 => {
                    let source = if insn.by_register() && insn.op() != END {
                        src
                    } else {
                        0
                    };
                    let own = if insn.op() == MOV { 0 } else { dst };
                    (source | own, dst)
                }
                LD if insn.is_wide() => (0, dst),
                // R6 is what they look through; the source only when they are indirect.
                LD => (1 << 6 | src, 0b11_1111),
                LDX => (src, dst),
                ST => (dst, 0),
                STX if insn.mode() == MODE_ATOMIC => (dst | src | 1, 0),
                STX => (dst | src, 0),
                _ => match insn.op() {
                    CALL if insn.class() == JMP => (0b11_1110, 0b11_1111),
                    EXIT if insn.class() == JMP => (1, 0),
                    JA => (0, 0),
                    _ if insn.by_register() => (dst | src, 0),
                    _ => (dst, 0),
                },
            };
            let now = (after & !writes) | reads;
            if live[at] != now {
                live[at] = now;
                changed = true;
            }
        }
        if !changed {
            return live;
        }
    }
}
