//! The verifier: walks every way through a program.
//!
//! # Theory of operation
//!
//! A [`State`] is what is known before an instruction. `step` takes one over one instruction; a
//! condition makes two of it, of which each knows how it came out. Where ways meet, a state that a
//! finished one [covers](State::covers) needs no walk of its own. A state that is met again on its
//! own way, unchanged, is a loop without an end.
//!
//! # Limits
//!
//! [`BUDGET`] instructions are looked at, over all ways; then the program is too complex (E2BIG, as
//! on Linux, whose budget is larger for whoever has a privilege).

mod access;
pub(super) mod context;
mod pointer;
mod scalar;
mod state;
pub(super) mod structure;

use super::Errno;
use super::helper::{Helper, Return};
use super::insn::*;
use super::map::{Map, MapKind};
use super::program::{ProgramKind, Rejected};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use scalar::Scalar;
use state::{Reg, State};

/// How many instructions are looked at. It bounds the time a load takes.
const BUDGET: usize = 131_072;

/// How many states are remembered for one instruction.
const MOST_STATES: usize = 32;

pub(super) fn rejected(errno: Errno, at: usize, text: &str) -> Rejected {
    Rejected {
        errno,
        log: format!("{at}: {text}\n"),
    }
}

/// Why a way ends badly.
struct Bad(Errno, String);

fn inval<T>(text: impl Into<String>) -> Result<T, Bad> {
    Err(Bad(Errno::INVAL, text.into()))
}

fn access<T>(text: impl Into<String>) -> Result<T, Bad> {
    Err(Bad(Errno::ACCESS, text.into()))
}

/// What an instruction does to the way.
#[allow(clippy::large_enum_variant)] // It is taken apart at once.
enum Next {
    On,
    To(usize),
    /// Both: here with the state as it is, there with this one.
    Fork(usize, State),
    End,
}

struct Verifier<'a> {
    kind: ProgramKind,
    insns: &'a [Insn],
    maps: &'a [Arc<Map>],
}

/// A state at an instruction where ways meet, on the way that came by.
struct Node {
    parent: Option<usize>,
    state: State,
    /// Ways from here that are not walked to their end.
    open: u32,
}

pub(super) fn verify(
    kind: ProgramKind,
    insns: &[Insn],
    maps: &[Arc<Map>],
) -> Result<usize, Rejected> {
    let verifier = Verifier { kind, insns, maps };
    let live = state::live(insns);
    let mut meets = vec![false; insns.len() + 1];
    for (at, insn) in insns.iter().enumerate() {
        if matches!(insn.class(), JMP | JMP32) && !matches!(insn.op(), CALL | EXIT) {
            for to in structure::successors(*insn, at) {
                meets[to.min(insns.len())] = true;
            }
        }
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); insns.len()];
    let mut ways = vec![(0, State::new(), None)];
    let mut steps = 0;
    while let Some((mut at, mut state, mut node)) = ways.pop() {
        loop {
            steps += 1;
            if steps > BUDGET {
                return Err(rejected(Errno::TOO_BIG, at, "BPF program is too large"));
            }
            if meets[at] {
                let known = places[at].iter().copied();
                let covered = known.clone().any(|n| {
                    let known = &nodes[n];
                    known.open == 0 && known.state.covers(&state, live[at])
                });
                if covered {
                    break;
                }
                if known
                    .clone()
                    .any(|n| nodes[n].open > 0 && nodes[n].state == state)
                {
                    return Err(rejected(Errno::INVAL, at, "infinite loop detected"));
                }
                if places[at].len() < MOST_STATES {
                    // The way that went by its parent goes on from here: the parent is open for as
                    // long as this is.
                    nodes.push(Node {
                        parent: node,
                        state: state.clone(),
                        open: 1,
                    });
                    let new = nodes.len() - 1;
                    places[at].push(new);
                    node = Some(new);
                }
            }
            match verifier.step(&mut state, at) {
                Ok(Next::On) => at += 1 + usize::from(insns[at].is_wide()),
                Ok(Next::To(to)) => at = to,
                Ok(Next::Fork(to, other)) => {
                    if let Some(node) = node {
                        nodes[node].open += 1;
                    }
                    ways.push((to, other, node));
                    at += 1;
                }
                Ok(Next::End) => break,
                Err(Bad(errno, text)) => return Err(rejected(errno, at, &text)),
            }
        }
        if let Some(node) = node {
            close(&mut nodes, node);
        }
    }
    Ok(steps)
}

/// A way from `node` came to its end.
fn close(nodes: &mut [Node], node: usize) {
    let mut next = Some(node);
    while let Some(node) = next {
        let node = &mut nodes[node];
        node.open -= 1;
        if node.open > 0 {
            return;
        }
        next = node.parent;
    }
}

impl Verifier<'_> {
    fn step(&self, state: &mut State, at: usize) -> Result<Next, Bad> {
        let insn = self.insns[at];
        match insn.class() {
            ALU | ALU64 => self.alu(state, insn)?,
            LD if insn.is_wide() => self.load_immediate(state, insn, self.insns[at + 1])?,
            LD => self.load_packet(state, insn)?,
            LDX => {
                let signed = insn.mode() == MODE_MEMSX;
                let from = readable(state, insn.src)?;
                let loaded = self.load(state, from, insn.off.into(), insn.size())?;
                let loaded = if signed && !loaded.is_pointer() {
                    Reg::ANY
                } else {
                    loaded
                };
                let loaded = match loaded {
                    Reg::SocketOrNull(0) => Reg::SocketOrNull(state.fresh_id()),
                    loaded => loaded,
                };
                write(state, insn.dst, loaded)?;
            }
            ST => {
                let to = readable(state, insn.dst)?;
                let value = Reg::Number(Scalar::exactly(insn.imm as i64 as u64));
                self.store(state, to, insn.off.into(), insn.size(), value)?;
            }
            STX if insn.mode() == MODE_ATOMIC => self.atomic(state, insn)?,
            STX => {
                let to = readable(state, insn.dst)?;
                let value = readable(state, insn.src)?;
                self.store(state, to, insn.off.into(), insn.size(), value)?;
            }
            JMP if insn.op() == EXIT => {
                return match readable(state, 0)? {
                    Reg::Number(_) => Ok(Next::End),
                    _ => access("R0 leaks addr as return value"),
                };
            }
            JMP if insn.op() == CALL => self.call(state, insn)?,
            JMP if insn.op() == JA => {
                return Ok(Next::To((at as i64 + 1 + i64::from(insn.off)) as usize));
            }
            JMP32 if insn.op() == JA => {
                return Ok(Next::To((at as i64 + 1 + i64::from(insn.imm)) as usize));
            }
            _ => return self.branch(state, insn, at),
        }
        Ok(Next::On)
    }

    fn load_immediate(&self, state: &mut State, insn: Insn, second: Insn) -> Result<(), Bad> {
        let index = insn.imm as usize;
        let value = match insn.src {
            PSEUDO_MAP_FD => Reg::Map(index),
            PSEUDO_MAP_VALUE => {
                let spec = self.maps[index].spec();
                if spec.kind != MapKind::Array || spec.max_entries != 1 {
                    return inval("direct value access needs an array of one");
                }
                let off = second.imm as u32;
                if off >= spec.value_size {
                    return inval("invalid access to map value pointer");
                }
                Reg::Value(index, Scalar::exactly(off.into()))
            }
            _ => {
                let low = u64::from(insn.imm as u32);
                Reg::Number(Scalar::exactly(u64::from(second.imm as u32) << 32 | low))
            }
        };
        write(state, insn.dst, value)
    }

    /// The loads of classic BPF: through R6, and with R1 to R5 gone after it.
    fn load_packet(&self, state: &mut State, insn: Insn) -> Result<(), Bad> {
        if readable(state, 6)? != Reg::Context {
            return inval("at the time of BPF_LD_ABS|IND R6 != pointer to skb");
        }
        if insn.mode() == MODE_IND && readable(state, insn.src)?.is_pointer() {
            return access("pointer used as an offset into the packet");
        }
        state.regs[1..=5].fill(Reg::Unwritten);
        // Of a byte too they are 32 bits, as for Linux.
        state.regs[0] = Reg::Number(Scalar::of_size(4));
        Ok(())
    }

    fn alu(&self, state: &mut State, insn: Insn) -> Result<(), Bad> {
        let wide = insn.class() == ALU64;
        let source = if insn.op() == END || insn.op() == NEG {
            Reg::Number(Scalar::exactly(0))
        } else if insn.by_register() {
            readable(state, insn.src)?
        } else if wide {
            Reg::Number(Scalar::exactly(insn.imm as i64 as u64))
        } else {
            Reg::Number(Scalar::exactly(u64::from(insn.imm as u32)))
        };
        if insn.op() == MOV {
            let value = match source {
                Reg::Number(n) if insn.off != 0 => match n.value() {
                    Some(value) => {
                        let value = super::run::sign_extend(value, insn.off as u32);
                        let value = Scalar::exactly(value);
                        Reg::Number(if wide { value } else { low_of(value) })
                    }
                    None if wide => Reg::ANY,
                    None => Reg::Number(Scalar::of_size(4)),
                },
                Reg::Number(n) if !wide => Reg::Number(n.low()),
                pointer if !wide => {
                    let _ = pointer;
                    return access(format!("R{} partial copy of pointer", insn.src));
                }
                pointer if insn.off != 0 && pointer.is_pointer() => {
                    return access(format!("R{} sign-extension part of pointer", insn.src));
                }
                value => value,
            };
            return write(state, insn.dst, value);
        }
        let target = readable(state, insn.dst)?;
        let value = match (target, source) {
            (Reg::Number(a), Reg::Number(b)) => Reg::Number(match insn.op() {
                END => Scalar::of_size((insn.imm / 8) as usize),
                op => {
                    let signed = insn.off == 1;
                    if wide {
                        a.alu64(op, b, signed)
                    } else {
                        a.alu32(op, b, signed)
                    }
                }
            }),
            (a, b) if wide => pointer::arithmetic(state, insn.op(), a, b)?,
            _ => {
                return access(format!(
                    "R{} 32-bit pointer arithmetic prohibited",
                    insn.dst
                ));
            }
        };
        write(state, insn.dst, value)
    }

    fn call(&self, state: &mut State, insn: Insn) -> Result<(), Bad> {
        let Some(helper) = Helper::from_number(insn.imm) else {
            return inval("invalid func unknown");
        };
        let map = self.check_arguments(state, helper)?;
        state.regs[1..=5].fill(Reg::Unwritten);
        state.regs[0] = match (helper.returns(), map) {
            (Return::MapValue, Some(map)) => Reg::ValueOrNull(map, state.fresh_id()),
            _ => Reg::ANY,
        };
        Ok(())
    }

    fn branch(&self, state: &mut State, insn: Insn, at: usize) -> Result<Next, Bad> {
        let to = (at as i64 + 1 + i64::from(insn.off)) as usize;
        let left = readable(state, insn.dst)?;
        let right = if insn.by_register() {
            readable(state, insn.src)?
        } else {
            Reg::Number(Scalar::exactly(insn.imm as i64 as u64))
        };
        match (left, right) {
            (Reg::Number(a), Reg::Number(b)) => Ok(self.branch_on_numbers(state, insn, a, b, to)),
            _ if insn.class() == JMP32 => {
                access(format!("R{} pointer comparison prohibited", insn.dst))
            }
            (Reg::ValueOrNull(_, id) | Reg::SocketOrNull(id), Reg::Number(zero))
                if zero.value() == Some(0) && matches!(insn.op(), JEQ | JNE) =>
            {
                let mut other = state.clone();
                let null = insn.op() == JEQ;
                other.settle_null(id, null);
                state.settle_null(id, !null);
                Ok(Next::Fork(to, other))
            }
            (pointer, Reg::Number(zero))
                if zero.value() == Some(0) && matches!(insn.op(), JEQ | JNE) =>
            {
                // A pointer that is none of the above is never null.
                let _ = pointer;
                if insn.op() == JEQ {
                    Ok(Next::On)
                } else {
                    Ok(Next::To(to))
                }
            }
            (Reg::Packet { id, off, .. }, Reg::PacketEnd) => {
                Ok(pointer::bound(state, insn.op(), id, off, to))
            }
            (Reg::PacketEnd, Reg::Packet { id, off, .. }) => {
                Ok(pointer::bound(state, mirrored(insn.op()), id, off, to))
            }
            _ => access(format!("R{} pointer comparison prohibited", insn.dst)),
        }
    }

    fn branch_on_numbers(
        &self,
        state: &mut State,
        insn: Insn,
        a: Scalar,
        b: Scalar,
        to: usize,
    ) -> Next {
        let op = insn.op();
        let (mut a, mut b) = (a, b);
        let mut learns = true;
        if insn.class() == JMP32 {
            if !insn.by_register() {
                b = Scalar::exactly(u64::from(insn.imm as u32));
            }
            if let (Some(x), Some(y)) = (a.value(), b.value()) {
                return if super::run::holds32(op, x as u32, y as u32) {
                    Next::To(to)
                } else {
                    Next::On
                };
            }
            // In 32 bits the same as in 64 where both fit; for the signed ones into 31.
            let signed = matches!(op, JSGT | JSGE | JSLT | JSLE);
            let most = if signed {
                i32::MAX as u64
            } else {
                u32::MAX.into()
            };
            learns = a.umax <= most && b.umax <= most;
            (a, b) = (a.low(), b.low());
        } else if let (Some(x), Some(y)) = (a.value(), b.value()) {
            return if super::run::holds64(op, x, y) {
                Next::To(to)
            } else {
                Next::On
            };
        }
        if !learns {
            return Next::Fork(to, state.clone());
        }
        let inverse = opposite(op);
        let yes = (a.refine(op, b), b.refine(mirrored(op), a));
        let no = match inverse {
            Some(inverse) => (a.refine(inverse, b), b.refine(mirrored(inverse), a)),
            None => (a, b),
        };
        let possible = |known: &(Scalar, Scalar)| !known.0.is_empty() && !known.1.is_empty();
        let learn = |state: &mut State, known: (Scalar, Scalar)| {
            state.regs[usize::from(insn.dst)] = Reg::Number(known.0);
            if insn.by_register() && insn.src != insn.dst {
                state.regs[usize::from(insn.src)] = Reg::Number(known.1);
            }
        };
        match (possible(&yes), possible(&no)) {
            (true, false) => {
                learn(state, yes);
                Next::To(to)
            }
            (false, true) => {
                learn(state, no);
                Next::On
            }
            _ => {
                let mut other = state.clone();
                learn(&mut other, yes);
                learn(state, no);
                Next::Fork(to, other)
            }
        }
    }
}

fn low_of(value: Scalar) -> Scalar {
    match value.value() {
        Some(value) => Scalar::exactly(value & u64::from(u32::MAX)),
        None => value.low(),
    }
}

/// What holds when this does not.
fn opposite(op: u8) -> Option<u8> {
    Some(match op {
        JEQ => JNE,
        JNE => JEQ,
        JGT => JLE,
        JLE => JGT,
        JGE => JLT,
        JLT => JGE,
        JSGT => JSLE,
        JSLE => JSGT,
        JSGE => JSLT,
        JSLT => JSGE,
        _ => return None,
    })
}

/// The same with its sides exchanged.
fn mirrored(op: u8) -> u8 {
    match op {
        JGT => JLT,
        JLT => JGT,
        JGE => JLE,
        JLE => JGE,
        JSGT => JSLT,
        JSLT => JSGT,
        JSGE => JSLE,
        JSLE => JSGE,
        op => op,
    }
}

fn readable(state: &State, reg: u8) -> Result<Reg, Bad> {
    match state.regs[usize::from(reg)] {
        Reg::Unwritten => access(format!("R{reg} !read_ok")),
        known => Ok(known),
    }
}

fn write(state: &mut State, reg: u8, value: Reg) -> Result<(), Bad> {
    if usize::from(reg) == FP {
        return access("frame pointer is read only");
    }
    state.regs[usize::from(reg)] = value;
    Ok(())
}
