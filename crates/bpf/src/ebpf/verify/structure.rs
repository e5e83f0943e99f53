//! What can be told of a program instruction by instruction: that each exists, that jumps end on
//! one, that no way leads past the end, and that every one can be reached.

use super::super::Errno;
use super::super::helper::Helper;
use super::super::insn::*;
use super::super::program::{ProgramKind, Rejected};
use super::rejected;
use alloc::vec;
use alloc::vec::Vec;

pub(in super::super) fn check(kind: ProgramKind, insns: &[Insn]) -> Result<(), Rejected> {
    let mut at = 0;
    let mut starts = vec![false; insns.len()];
    while let Some(insn) = insns.get(at) {
        starts[at] = true;
        if let Err(text) = check_one(kind, *insn) {
            return Err(rejected(Errno::INVAL, at, text));
        }
        if insn.is_wide() {
            let second = insns.get(at + 1);
            let blank = |i: &Insn| i.code == 0 && i.dst == 0 && i.src == 0 && i.off == 0;
            if !second.is_some_and(blank) {
                return Err(rejected(Errno::INVAL, at, "invalid bpf_ld_imm64 insn"));
            }
            at += 1;
        }
        at += 1;
    }
    for (at, insn) in insns.iter().enumerate().filter(|(at, _)| starts[*at]) {
        for to in successors(*insn, at) {
            if !starts.get(to).is_some_and(|start| *start) {
                return Err(rejected(Errno::INVAL, at, "jump out of range"));
            }
        }
    }
    check_reachable(insns, &starts)
}

/// Where it may go on after the instruction at `at`. Places that are not there come out as ones past
/// the end.
pub(super) fn successors(insn: Insn, at: usize) -> impl Iterator<Item = usize> {
    let jump = |distance: i64| usize::try_from(at as i64 + 1 + distance).unwrap_or(usize::MAX);
    let next = at + 1 + usize::from(insn.is_wide());
    let (first, second) = match (insn.class(), insn.op()) {
        (JMP, EXIT) => (None, None),
        (JMP, CALL) => (Some(next), None),
        (JMP, JA) => (Some(jump(insn.off.into())), None),
        // gotol: a long jump.
        (JMP32, JA) => (Some(jump(insn.imm.into())), None),
        (JMP | JMP32, _) => (Some(next), Some(jump(insn.off.into()))),
        _ => (Some(next), None),
    };
    first.into_iter().chain(second)
}

fn check_reachable(insns: &[Insn], starts: &[bool]) -> Result<(), Rejected> {
    let mut seen = vec![false; insns.len()];
    let mut open: Vec<usize> = vec![0];
    while let Some(at) = open.pop() {
        if core::mem::replace(&mut seen[at], true) {
            continue;
        }
        open.extend(successors(insns[at], at).filter(|to| !seen[*to]));
    }
    match (0..insns.len()).find(|at| starts[*at] && !seen[*at]) {
        Some(at) => Err(rejected(Errno::INVAL, at, "unreachable insn")),
        None => Ok(()),
    }
}

fn check_one(kind: ProgramKind, insn: Insn) -> Result<(), &'static str> {
    const RESERVED: &str = "uses reserved fields";
    if insn.dst > 10 || (insn.src > 10 && !insn.is_wide()) {
        return Err("invalid register");
    }
    let unless = |bad: bool| if bad { Err(RESERVED) } else { Ok(()) };
    match insn.class() {
        ALU | ALU64 => check_alu(insn),
        LD if insn.is_wide() => match insn.src {
            0 | PSEUDO_MAP_FD | PSEUDO_MAP_VALUE => unless(insn.off != 0),
            _ => Err("invalid bpf_ld_imm64 insn"),
        },
        LD => match insn.mode() {
            MODE_ABS | MODE_IND => {
                if kind != ProgramKind::SocketFilter {
                    return Err("BPF_LD_[ABS|IND] instructions not allowed for this program type");
                }
                let absolute = insn.mode() == MODE_ABS;
                unless(
                    insn.size() == 8
                        || insn.dst != 0
                        || insn.off != 0
                        || (absolute && insn.src != 0),
                )
            }
            _ => Err("invalid BPF_LD mode"),
        },
        LDX => match insn.mode() {
            MODE_MEM => unless(insn.imm != 0),
            MODE_MEMSX => unless(insn.imm != 0 || insn.size() == 8),
            _ => Err("unknown opcode"),
        },
        ST => unless(insn.mode() != MODE_MEM || insn.src != 0),
        STX => match insn.mode() {
            MODE_MEM => unless(insn.imm != 0),
            MODE_ATOMIC => {
                if insn.size() < 4 {
                    return Err("invalid atomic operand size");
                }
                match insn.imm {
                    XCHG | CMPXCHG => Ok(()),
                    op if op & !FETCH == 0 => Ok(()),
                    op => match (op & !FETCH) as u8 {
                        AND | OR | XOR if op & !0xff == 0 => Ok(()),
                        _ => Err("BPF_ATOMIC uses invalid atomic opcode"),
                    },
                }
            }
            _ => Err("unknown opcode"),
        },
        class => check_jump(class, kind, insn),
    }
}

fn check_alu(insn: Insn) -> Result<(), &'static str> {
    const RESERVED: &str = "uses reserved fields";
    let unless = |bad: bool| if bad { Err(RESERVED) } else { Ok(()) };
    let wide = insn.class() == ALU64;
    let reg = insn.by_register();
    match insn.op() {
        NEG => unless(reg || insn.src != 0 || insn.off != 0 || insn.imm != 0),
        END => {
            // ALU64 without a source is the swap that is unconditional.
            let widths = matches!(insn.imm, 16 | 32 | 64);
            unless(!widths || insn.off != 0 || insn.src != 0 || (wide && reg))
        }
        MOV if reg => {
            let extends = matches!(insn.off, 0 | 8 | 16) || (insn.off == 32 && wide);
            unless(insn.imm != 0 || !extends)
        }
        DIV | MOD => {
            let signed = matches!(insn.off, 0 | 1);
            if !reg && insn.imm == 0 {
                return Err("div by zero");
            }
            unless(!signed || (reg && insn.imm != 0) || (!reg && insn.src != 0))
        }
        ADD | SUB | MUL | OR | AND | XOR | MOV | LSH | RSH | ARSH => {
            let bits = if wide { 64 } else { 32 };
            let shift = matches!(insn.op(), LSH | RSH | ARSH);
            if shift && !reg && !(0..bits).contains(&insn.imm) {
                return Err("invalid shift");
            }
            unless(insn.off != 0 || (reg && insn.imm != 0) || (!reg && insn.src != 0))
        }
        _ => Err("invalid BPF_ALU opcode"),
    }
}

fn check_jump(class: u8, kind: ProgramKind, insn: Insn) -> Result<(), &'static str> {
    const RESERVED: &str = "uses reserved fields";
    let unless = |bad: bool| if bad { Err(RESERVED) } else { Ok(()) };
    let reg = insn.by_register();
    match insn.op() {
        JA if class == JMP => unless(reg || insn.src != 0 || insn.dst != 0 || insn.imm != 0),
        JA => unless(reg || insn.src != 0 || insn.dst != 0 || insn.off != 0),
        CALL if class == JMP => {
            if insn.src != 0 {
                return Err("calls of functions of the program are not supported");
            }
            if reg || insn.off != 0 || insn.dst != 0 {
                return Err(RESERVED);
            }
            match Helper::from_number(insn.imm) {
                None => Err("invalid func unknown"),
                Some(helper) if !helper.is_for(kind) => {
                    Err("program of this type cannot use the helper")
                }
                Some(_) => Ok(()),
            }
        }
        EXIT if class == JMP => {
            unless(reg || insn.src != 0 || insn.dst != 0 || insn.imm != 0 || insn.off != 0)
        }
        JEQ | JGT | JGE | JSET | JNE | JSGT | JSGE | JLT | JLE | JSLT | JSLE => {
            unless((reg && insn.imm != 0) || (!reg && insn.src != 0))
        }
        _ => Err("invalid BPF_JMP opcode"),
    }
}
