//! Classic BPF: `struct sock_filter` programs.
//!
//! The instruction set is that of McCanne and Jacobson, "The BSD Packet Filter", 1993, with
//! Linux's ancillary loads (Documentation/networking/filter.rst).

mod check;
mod code;
mod length;
mod run;

#[cfg(test)]
mod tests;

pub use check::Invalid;
pub(crate) use run::load;

use crate::env::Env;
use crate::packet::Packet;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// `BPF_MAXINSNS`: how long a program may be.
pub const MAX_LEN: usize = 4096;

/// `SKF_AD_MAX`: what `SO_BPF_EXTENSIONS` tells.
pub const EXTENSIONS: i32 = 64;

/// `struct sock_filter`: one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Insn {
    /// What to do.
    pub code: u16,
    /// How far to jump when the condition holds.
    pub jt: u8,
    /// How far to jump when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl Insn {
    /// sizeof(struct sock_filter)
    pub const SIZE: usize = 8;

    /// From its bytes, in this machine's order.
    pub fn from_bytes(b: [u8; 8]) -> Insn {
        Insn {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// Its bytes, in this machine's order.
    pub fn to_bytes(self) -> [u8; 8] {
        let (code, k) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [code[0], code[1], self.jt, self.jf, k[0], k[1], k[2], k[3]]
    }
}

/// A program that was found valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    insns: Box<[Insn]>,
}

impl Program {
    /// bpf_check_classic(): takes a program that is valid.
    pub fn new(insns: Vec<Insn>) -> Result<Program, Invalid> {
        check::check(&insns)?;
        Ok(Program {
            insns: insns.into_boxed_slice(),
        })
    }

    /// The instructions.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// What Linux charges a socket for the program: the size of what it translates it to.
    pub fn charge(&self) -> usize {
        length::charge(&self.insns)
    }

    /// The value the program returns for a packet. A load from beyond the packet and a division by
    /// zero return 0.
    pub fn run(&self, env: &mut Env, packet: &dyn Packet) -> u32 {
        run::run(&self.insns, env, packet).unwrap_or(0)
    }
}
