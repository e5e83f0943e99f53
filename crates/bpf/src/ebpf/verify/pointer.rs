//! Arithmetic with pointers, and what a comparison tells of one.

use super::super::insn::*;
use super::scalar::Scalar;
use super::state::{Reg, State};
use super::{Bad, Next, access};
use alloc::format;

/// `MAX_PACKET_OFF`: how far from its known part a pointer may be moved.
const FAR: i64 = 0xffff;

/// How far a pointer into a value may be moved: more than any value is long.
const FURTHEST: i64 = 1 << 29;

/// ADD and SUB of 64 bits, where one side at least is a pointer.
pub(super) fn arithmetic(state: &mut State, op: u8, a: Reg, b: Reg) -> Result<Reg, Bad> {
    match (op, a, b) {
        (ADD, pointer, Reg::Number(by)) if pointer.is_pointer() => moved(state, pointer, by),
        (ADD, Reg::Number(by), pointer) => moved(state, pointer, by),
        (SUB, pointer, Reg::Number(by)) => {
            let by = Scalar::exactly(0).alu64(SUB, by, false);
            moved(state, pointer, by)
        }
        // How long the rest of the packet is, which is a number like any other.
        (SUB, Reg::PacketEnd | Reg::Packet { .. }, Reg::Packet { .. }) => Ok(Reg::ANY),
        _ => access(format!(
            "pointer arithmetic with operation {:#x} prohibited",
            op
        )),
    }
}

fn moved(state: &mut State, pointer: Reg, by: Scalar) -> Result<Reg, Bad> {
    match pointer {
        Reg::Stack(off) => match by.value() {
            Some(by) => match off.checked_add(by as i64) {
                Some(off) if (-FURTHEST..=FURTHEST).contains(&off) => Ok(Reg::Stack(off)),
                _ => access("stack pointer out of range"),
            },
            None => access("variable offset into the stack prohibited"),
        },
        Reg::Value(map, off) => {
            let off = off.alu64(ADD, by, false);
            if off.smin < -FURTHEST || off.smax > FURTHEST {
                return access("math between map_value pointer and register with unbounded value");
            }
            Ok(Reg::Value(map, off))
        }
        Reg::Packet { id, off, range } => match by.value() {
            Some(by) => match off.checked_add(by as i64) {
                Some(off) if (-FAR..=FAR).contains(&off) => Ok(Reg::Packet { id, off, range }),
                _ => access("packet pointer out of range"),
            },
            None if by.smin >= 0 && by.umax <= FAR as u64 && off >= 0 => Ok(Reg::Packet {
                id: state.fresh_id(),
                off: 0,
                range: 0,
            }),
            None => access("math between pkt pointer and register with unbounded value"),
        },
        Reg::ValueOrNull(..) => {
            access("pointer arithmetic on map_value_or_null prohibited, null-check it first")
        }
        _ => access("pointer arithmetic on this pointer prohibited"),
    }
}

/// `packet op end`: the way on which the pointer is found to be at or before the end knows that so
/// much of the packet is there.
pub(super) fn bound(state: &mut State, op: u8, id: u32, off: i64, to: usize) -> Next {
    let mut other = state.clone();
    match op {
        JGT => state.settle_range(id, off),
        JGE => state.settle_range(id, off + 1),
        JLT => other.settle_range(id, off + 1),
        JLE => other.settle_range(id, off),
        _ => {}
    }
    Next::Fork(to, other)
}
