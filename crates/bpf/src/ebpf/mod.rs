//! Extended BPF: programs with maps (RFC 9669, and Linux's Documentation/bpf).
//!
//! # Theory of operation
//!
//! [`Program::load`] verifies: every way through the program is walked with what is known of each
//! register (`verify`). What passes reads nothing that was not written, stays inside of what it
//! points to, calls helpers with what they want, and ends. A loop is walked turn by turn, so one
//! that is not bounded, or not soon, is refused.
//!
//! [`Program::run`] interprets. Registers hold numbers; a pointer is a number that names a region and
//! a place in it, looked up and bounded at each access. So safety does not rest on the verifier: what
//! it should let pass wrongly ends the program.
//!
//! Why this is not the crate `rbpf`: see docs/design/bpf.md.

mod helper;
mod insn;
mod map;
mod program;
mod run;
mod verify;

#[cfg(test)]
mod tests;

pub use insn::Insn;
pub use map::{MAX_BYTES, Map, MapKind, MapSpec, SocketRef};
pub use program::{MAX_LEN, Program, ProgramKind, Rejected};
pub use run::Verdict;

/// What maps and the verifier answer, as Linux's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub u16);

impl Errno {
    /// `ENOENT`
    pub const NO_ENTRY: Errno = Errno(2);
    /// `E2BIG`
    pub const TOO_BIG: Errno = Errno(7);
    /// `EBADF`
    pub const BAD_DESCRIPTOR: Errno = Errno(9);
    /// `ENOMEM`
    pub const NO_MEMORY: Errno = Errno(12);
    /// `EACCES`
    pub const ACCESS: Errno = Errno(13);
    /// `EFAULT`
    pub const FAULT: Errno = Errno(14);
    /// `EEXIST`
    pub const EXISTS: Errno = Errno(17);
    /// `EINVAL`
    pub const INVAL: Errno = Errno(22);
    /// `ENOSPC`
    pub const NO_SPACE: Errno = Errno(28);

    /// What a program is told: the negated number.
    pub(crate) fn negated(self) -> u64 {
        -i64::from(self.0) as u64
    }
}
