//! bpf_check_classic(): which programs are valid.

use super::code::*;
use super::{Insn, MAX_LEN};
use alloc::vec;
use core::fmt;

/// Why a program is not valid: `EINVAL`, whatever it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// No instructions, or more than [`MAX_LEN`].
    Length,
    /// There is no such instruction.
    Code(usize),
    /// An operand that the instruction cannot have: a zero divisor, a shift of 32 and more, a word
    /// of memory that is not there, an ancillary load that is not there.
    Operand(usize),
    /// A jump past the end.
    Jump(usize),
    /// It does not end with a return.
    End,
    /// A word of memory that was not written on every way there is read.
    Uninitialized(usize),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::Length => f.write_str("a program has 1 to 4096 instructions"),
            Invalid::Code(at) => write!(f, "instruction {at}: no such instruction"),
            Invalid::Operand(at) => write!(f, "instruction {at}: no such operand"),
            Invalid::Jump(at) => write!(f, "instruction {at}: a jump past the end"),
            Invalid::End => f.write_str("the last instruction is not a return"),
            Invalid::Uninitialized(at) => {
                write!(f, "instruction {at}: reads memory that was not written")
            }
        }
    }
}

impl core::error::Error for Invalid {}

/// chk_code_allowed()
fn exists(code: u16) -> bool {
    match class(code) {
        LD => match mode(code) {
            ABS | IND => matches!(code & 0x18, W | H | B) && code <= 0xff,
            IMM | MEM | LEN => code & !0xe7 == 0,
            _ => false,
        },
        LDX => {
            code == (LDX | MSH | B) || (matches!(mode(code), IMM | MEM | LEN) && code & !0xe7 == 0)
        }
        ST | STX => code == ST || code == STX,
        ALU => {
            code & !0xff == 0
                && match op(code) {
                    NEG => code == (ALU | NEG),
                    o => o <= XOR,
                }
        }
        JMP => {
            code & !0xff == 0
                && match op(code) {
                    JA => code == (JMP | JA),
                    o => o <= JSET,
                }
        }
        RET => code == (RET | K) || code == (RET | A),
        MISC => code == (MISC | TAX) || code == (MISC | TXA),
        _ => false,
    }
}

pub(super) fn check(insns: &[Insn]) -> Result<(), Invalid> {
    if insns.is_empty() || insns.len() > MAX_LEN {
        return Err(Invalid::Length);
    }
    for (at, insn) in insns.iter().enumerate() {
        if !exists(insn.code) {
            return Err(Invalid::Code(at));
        }
        if jumps_too_far(insn, insns.len() - at - 1) {
            return Err(Invalid::Jump(at));
        }
        if !operand_is_valid(insn) {
            return Err(Invalid::Operand(at));
        }
    }
    if insns.last().is_none_or(|insn| class(insn.code) != RET) {
        return Err(Invalid::End);
    }
    check_memory(insns)
}

/// `left`: how many instructions follow.
fn jumps_too_far(insn: &Insn, left: usize) -> bool {
    match class(insn.code) {
        JMP if op(insn.code) == JA => insn.k as usize >= left,
        JMP => usize::from(insn.jt) >= left || usize::from(insn.jf) >= left,
        _ => false,
    }
}

fn operand_is_valid(insn: &Insn) -> bool {
    let (code, k) = (insn.code, insn.k);
    match class(code) {
        ALU if code == (ALU | DIV | K) || code == (ALU | MOD | K) => k != 0,
        ALU if code == (ALU | LSH | K) || code == (ALU | RSH | K) => k < 32,
        LD | LDX if mode(code) == MEM => k < MEMWORDS,
        ST | STX => k < MEMWORDS,
        LD if mode(code) == ABS => k < SKF_AD_OFF || ancillary(k).is_some(),
        _ => true,
    }
}

/// check_load_and_stores(): memory is written before it is read, on every way. Jumps go forward
/// only, so one pass knows all ways to an instruction when it comes there.
fn check_memory(insns: &[Insn]) -> Result<(), Invalid> {
    let mut known = vec![u16::MAX; insns.len()];
    let mut valid: u16 = 0;
    for (at, insn) in insns.iter().enumerate() {
        valid &= known[at];
        let reads = insn.code == (LD | MEM) || insn.code == (LDX | MEM);
        if reads && valid & (1 << insn.k) == 0 {
            return Err(Invalid::Uninitialized(at));
        }
        match insn.code {
            c if c == ST || c == STX => valid |= 1 << insn.k,
            c if c == (JMP | JA) => {
                known[at + 1 + insn.k as usize] &= valid;
                valid = u16::MAX;
            }
            c if class(c) == JMP => {
                known[at + 1 + usize::from(insn.jt)] &= valid;
                known[at + 1 + usize::from(insn.jf)] &= valid;
                valid = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
