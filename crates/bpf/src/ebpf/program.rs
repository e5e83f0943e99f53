//! A program, from its instructions to what can be run.

use super::Errno;
use super::insn::{Insn, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use super::map::Map;
use super::verify;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How many instructions a program may have: `BPF_MAXINSNS`, as for whoever has no privilege.
pub const MAX_LEN: usize = 4096;

/// `MAX_USED_MAPS`
const MAX_MAPS: usize = 64;

/// `enum bpf_prog_type`, as far as sockets have a use for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgramKind {
    /// `BPF_PROG_TYPE_SOCKET_FILTER`: sees a `struct __sk_buff`.
    SocketFilter,
    /// `BPF_PROG_TYPE_SK_REUSEPORT`: sees a `struct sk_reuseport_md`.
    SkReuseport,
}

impl ProgramKind {
    /// By Linux's number.
    pub fn from_number(number: u32) -> Option<ProgramKind> {
        match number {
            1 => Some(ProgramKind::SocketFilter),
            21 => Some(ProgramKind::SkReuseport),
            _ => None,
        }
    }

    /// Linux's number.
    pub fn number(self) -> u32 {
        match self {
            ProgramKind::SocketFilter => 1,
            ProgramKind::SkReuseport => 21,
        }
    }
}

/// Why a program was not loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// What bpf(2) returns.
    pub errno: Errno,
    /// Where, and why.
    pub log: String,
}

/// A program that was verified.
#[derive(Debug)]
pub struct Program {
    pub(super) kind: ProgramKind,
    pub(super) insns: Vec<Insn>,
    pub(super) maps: Vec<Arc<Map>>,
    steps: usize,
}

impl Program {
    /// `BPF_PROG_LOAD`: `map` finds a map by the descriptor that an instruction names.
    pub fn load(
        kind: ProgramKind,
        mut insns: Vec<Insn>,
        map: &mut dyn FnMut(i32) -> Result<Arc<Map>, Errno>,
    ) -> Result<Program, Rejected> {
        if insns.is_empty() || insns.len() > MAX_LEN {
            return Err(Rejected {
                errno: Errno::TOO_BIG,
                log: String::new(),
            });
        }
        verify::structure::check(kind, &insns)?;
        let mut maps: Vec<Arc<Map>> = Vec::new();
        for (at, insn) in insns.iter_mut().enumerate() {
            if !insn.is_wide() || !matches!(insn.src, PSEUDO_MAP_FD | PSEUDO_MAP_VALUE) {
                continue;
            }
            let found = map(insn.imm).map_err(|errno| {
                let text = alloc::format!("fd {} is not pointing to valid bpf_map", insn.imm);
                verify::rejected(errno, at, &text)
            })?;
            let known = maps.iter().position(|known| Arc::ptr_eq(known, &found));
            let index = known.unwrap_or(maps.len());
            if known.is_none() {
                if maps.len() == MAX_MAPS {
                    return Err(verify::rejected(Errno::TOO_BIG, at, "too many maps"));
                }
                maps.push(found);
            }
            // From now on a map is its number among the program's.
            insn.imm = index as i32;
        }
        let steps = verify::verify(kind, &insns, &maps)?;
        Ok(Program {
            kind,
            insns,
            maps,
            steps,
        })
    }

    /// What it is for.
    pub fn kind(&self) -> ProgramKind {
        self.kind
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Never: a program without instructions is not loaded.
    pub fn is_empty(&self) -> bool {
        self.insns.is_empty()
    }

    /// How many instructions the verifier looked at.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The maps it uses.
    pub fn maps(&self) -> &[Arc<Map>] {
        &self.maps
    }
}
