//! The classic BPF program that decides which system calls are trapped.
//!
//! # Theory of operation
//! A filter is one decision tree per audit architecture. The tree cuts the 32-bit space of system
//! call numbers into intervals with the same outcome and finds the interval by binary search (`JGE`),
//! so a call that nobody asked for costs about log2(rules) comparisons. Since only the architecture
//! and the number are looked at on that path, Linux 5.11 and later find out at installation that
//! such a number is always allowed and never run the program for it at all (the seccomp action cache,
//! kernel/seccomp.c `seccomp_is_const_allow`, which gives up at any other load): a rule without
//! argument conditions must therefore never be merged into a path that loads an argument.
//!
//! The program is assembled from its end to its beginning: jumps of classic BPF go forward only, so
//! every target is known when a jump to it is written. A conditional jump reaches 255 instructions;
//! what lies further goes through a `JA`, which reaches everything.
//!
//! # What else is decided here
//! * x32 (bit 30 of the number, on the x86_64 audit architecture) is ENOSYS: its structure layouts
//!   are neither of the two we decode. So is every number above, as it is in the kernel, but for -1,
//!   which is "a tracer skipped this call" and passes.
//! * An unknown audit architecture kills the process. On x86 the kernel knows only the two; should
//!   another appear, its numbers mean nothing to us, allowing them would be a hole, and ENOSYS for
//!   every call, `exit_group` included, would leave a process that spins.
//! * Only the low 32 bits of an argument are compared, as the kernel takes `unsigned int` for every
//!   command or flag argument there is a use for here.

use thiserror::Error;

use crate::Errno;

#[cfg(test)]
mod tests;

/// `AUDIT_ARCH_X86_64`: 64-bit calls, and x32.
pub const ARCH_X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386`: `int 0x80` and the 32-bit `sysenter`, also when a 64-bit program makes them.
pub const ARCH_I386: u32 = 0x4000_0003;

/// The bit that marks an x32 call on [`ARCH_X86_64`].
const X32_BIT: u32 = 0x4000_0000;
/// The number a tracer sets to skip a call.
const SKIPPED: u32 = u32::MAX;
/// BPF_MAXINSNS: longer programs are refused with EINVAL.
const MAX_INSTRUCTIONS: usize = 4096;
/// The largest errno that SECCOMP_RET_ERRNO passes on (MAX_ERRNO).
const MAX_ERRNO: i32 = 4095;

/// Offsets in `struct seccomp_data`.
const DATA_NR: u32 = 0;
const DATA_ARCH: u32 = 4;
const DATA_ARGS: u32 = 16;

const LD_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND_K: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JA: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JGE: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RET_K: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// One of the two audit architectures of an x86 machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// [`ARCH_X86_64`], LP64.
    X86_64,
    /// [`ARCH_I386`], ILP32.
    I386,
}

impl Arch {
    /// The architecture of `seccomp_data.arch`.
    pub fn from_audit(arch: u32) -> Option<Arch> {
        match arch {
            ARCH_X86_64 => Some(Arch::X86_64),
            ARCH_I386 => Some(Arch::I386),
            _ => None,
        }
    }
}

/// What becomes of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The supervisor is asked (SECCOMP_RET_USER_NOTIF).
    Notify,
    /// The call fails with this errno, nobody is asked (SECCOMP_RET_ERRNO).
    Errno(Errno),
    /// The kernel runs it.
    Allow,
}

/// A condition on one argument: `values` holds `args[index] & mask`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgMatch {
    /// Which argument, 0 to 5.
    pub index: u8,
    /// The bits that are looked at, of the low 32.
    pub mask: u32,
    /// The values that match. Order and repetition do not matter.
    pub values: Vec<u32>,
}

/// What becomes of the system call `nr` if all of `args` match; no condition always matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The system call number on the rule's architecture.
    pub nr: u32,
    /// What becomes of the call.
    pub action: Action,
    /// All must match.
    pub args: Vec<ArgMatch>,
}

impl Rule {
    /// `nr` is always subject to `action`.
    pub fn new(nr: u32, action: Action) -> Rule {
        Rule {
            nr,
            action,
            args: Vec::new(),
        }
    }

    /// ... but only where `args[index] & mask` is one of `values`.
    #[must_use]
    pub fn when(mut self, index: u8, mask: u32, values: impl Into<Vec<u32>>) -> Rule {
        self.args.push(ArgMatch {
            index,
            mask,
            values: values.into(),
        });
        self
    }
}

/// The rules of both architectures. Several rules may name one number: the first that matches
/// decides, and where none does the call is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleTable {
    /// Rules for [`Arch::X86_64`].
    pub x86_64: Vec<Rule>,
    /// Rules for [`Arch::I386`].
    pub i386: Vec<Rule>,
}

/// Why a rule table is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// A system call has six arguments.
    #[error("rule for system call {nr}: there is no argument {index}")]
    NoSuchArgument {
        /// The rule's number.
        nr: u32,
        /// The impossible index.
        index: u8,
    },
    /// A condition without values, or with values outside its mask, never matches.
    #[error("rule for system call {nr}: a condition can never be true")]
    NeverTrue {
        /// The rule's number.
        nr: u32,
    },
    /// An unconditional rule for the same number stands before it.
    #[error("rule for system call {nr}: an earlier rule always decides")]
    Unreachable {
        /// The rule's number.
        nr: u32,
    },
    /// x32 and skipped calls are not subject to rules, and errno must be 1..=4095.
    #[error("rule for system call {nr}: number or errno out of range")]
    OutOfRange {
        /// The rule's number.
        nr: u32,
    },
    /// More than BPF_MAXINSNS instructions.
    #[error("the filter needs {0} instructions, the kernel takes 4096")]
    TooLong(usize),
}

/// `struct seccomp_data`: what a filter sees of a call, and what a notification carries of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Data {
    /// The system call number, sign and all.
    pub nr: i32,
    /// The audit architecture; see [`Arch::from_audit`].
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The argument registers; on i386 the upper halves are zero.
    pub args: [u64; 6],
}

/// An assembled BPF program, ready for [`crate::install`].
#[derive(Clone)]
pub struct Filter {
    instructions: Vec<libc::sock_filter>,
}

impl Filter {
    /// Assembles the program for a rule table.
    pub fn new(table: &RuleTable) -> Result<Filter, FilterError> {
        let mut asm = Assembler::default();
        let kill = asm.ret(libc::SECCOMP_RET_KILL_PROCESS);
        let allow = asm.ret(libc::SECCOMP_RET_ALLOW);
        let x32 = asm.action(Action::Errno(Errno(libc::ENOSYS)));

        let mut cuts = asm.rules(&table.i386, allow)?;
        close(&mut cuts);
        let i386 = asm.tree(&cuts);
        let i386 = asm.load(DATA_NR, i386);

        let mut cuts = asm.rules(&table.x86_64, allow)?;
        cuts.push((X32_BIT, x32));
        cuts.push((SKIPPED, allow));
        close(&mut cuts);
        let x86_64 = asm.tree(&cuts);
        let x86_64 = asm.load(DATA_NR, x86_64);

        let other = asm.branch(JEQ, ARCH_I386, i386, kill);
        let start = asm.branch(JEQ, ARCH_X86_64, x86_64, other);
        asm.load(DATA_ARCH, start);
        asm.finish()
    }

    /// The program in the kernel's form.
    pub fn instructions(&self) -> &[libc::sock_filter] {
        &self.instructions
    }
}

impl core::fmt::Debug for Filter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Filter({} instructions)", self.instructions.len())
    }
}

/// The place of an instruction, counted from the end of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

/// From this value of A on (up to the next cut) the program continues there.
type Cut = (u32, Label);

/// Neighbours with the same outcome need no cut between them.
fn close(cuts: &mut Vec<Cut>) {
    cuts.dedup_by(|next, previous| next.1 == previous.1);
}

/// Turns the points `(value, label)` into cuts where every other value goes to `otherwise`.
fn cuts_at(points: &[Cut], otherwise: Label) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = vec![(0, otherwise)];
    for &(value, label) in points {
        if cuts.last().is_some_and(|last| last.0 == value) {
            cuts.pop();
        }
        cuts.push((value, label));
        if let Some(next) = value.checked_add(1) {
            cuts.push((next, otherwise));
        }
    }
    close(&mut cuts);
    cuts
}

#[derive(Default)]
struct Assembler {
    /// The program, last instruction first.
    reversed: Vec<libc::sock_filter>,
}

impl Assembler {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.reversed.push(libc::sock_filter { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    /// How far the next instruction has to jump to reach `to`.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - 1 - to.0
    }

    fn ret(&mut self, value: u32) -> Label {
        // One RET per value is enough, and makes equal outcomes equal labels. Only a RET that is
        // there already may be looked for, hence the scan; programs are short.
        let found = self
            .reversed
            .iter()
            .position(|i| i.code == RET_K && i.k == value);
        found
            .map(Label)
            .unwrap_or_else(|| self.push(RET_K, 0, 0, value))
    }

    fn action(&mut self, action: Action) -> Label {
        self.ret(match action {
            Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno.0 as u32,
            Action::Allow => libc::SECCOMP_RET_ALLOW,
        })
    }

    /// Makes `to` the very next instruction, by a `JA` where it is not.
    fn adjacent(&mut self, to: Label) {
        let distance = self.distance(to);
        if distance > 0 {
            self.push(JA, 0, 0, distance as u32);
        }
    }

    fn load(&mut self, offset: u32, then: Label) -> Label {
        self.adjacent(then);
        self.push(LD_ABS, 0, 0, offset)
    }

    fn branch(&mut self, code: u16, k: u32, mut yes: Label, mut no: Label) -> Label {
        // A trampoline for one side moves the other one instruction away, hence the `>=` first.
        if self.distance(no) >= 255 {
            no = {
                let d = self.distance(no);
                self.push(JA, 0, 0, d as u32)
            };
        }
        if self.distance(yes) > 255 {
            yes = {
                let d = self.distance(yes);
                self.push(JA, 0, 0, d as u32)
            };
        }
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(code, jt, jf, k)
    }

    /// A binary search for the interval that A lies in. `cuts` is sorted and begins at 0.
    fn tree(&mut self, cuts: &[Cut]) -> Label {
        if let [only] = cuts {
            return only.1;
        }
        // Exactly one value is special: one comparison for equality does it.
        if let [(_, a), (value, special), (next, b)] = *cuts
            && a == b
            && next - value == 1
        {
            return self.branch(JEQ, value, special, a);
        }
        let (low, high) = cuts.split_at(cuts.len() / 2);
        let high_label = self.tree(high);
        let low_label = self.tree(low);
        self.branch(JGE, high[0].0, high_label, low_label)
    }

    /// Emits the argument checks of all rules and returns the cuts over system call numbers.
    fn rules(&mut self, rules: &[Rule], allow: Label) -> Result<Vec<Cut>, FilterError> {
        for rule in rules {
            check(rule)?;
        }
        let mut sorted: Vec<&Rule> = rules.iter().collect();
        sorted.sort_by_key(|rule| rule.nr); // stable: the order among equal numbers decides
        let mut points = Vec::new();
        for group in sorted.chunk_by(|a, b| a.nr == b.nr) {
            let mut then = allow;
            for (place, rule) in group.iter().enumerate().rev() {
                if rule.args.is_empty() && place + 1 != group.len() {
                    return Err(FilterError::Unreachable { nr: rule.nr });
                }
                then = self.rule(rule, then);
            }
            points.push((group[0].nr, then));
        }
        Ok(cuts_at(&points, allow))
    }

    /// One rule: its action where all conditions hold, `otherwise` where one does not.
    fn rule(&mut self, rule: &Rule, otherwise: Label) -> Label {
        let mut then = self.action(rule.action);
        for arg in rule.args.iter().rev() {
            let mut points: Vec<Cut> = arg.values.iter().map(|&value| (value, then)).collect();
            points.sort_unstable_by_key(|point| point.0);
            points.dedup_by_key(|point| point.0);
            then = self.tree(&cuts_at(&points, otherwise));
            if arg.mask != u32::MAX {
                self.adjacent(then);
                then = self.push(AND_K, 0, 0, arg.mask);
            }
            // Little-endian: the low half comes first.
            then = self.load(DATA_ARGS + 8 * u32::from(arg.index), then);
        }
        then
    }

    fn finish(mut self) -> Result<Filter, FilterError> {
        if self.reversed.len() > MAX_INSTRUCTIONS {
            return Err(FilterError::TooLong(self.reversed.len()));
        }
        self.reversed.reverse();
        Ok(Filter {
            instructions: self.reversed,
        })
    }
}

fn check(rule: &Rule) -> Result<(), FilterError> {
    let nr = rule.nr;
    if nr >= X32_BIT {
        return Err(FilterError::OutOfRange { nr });
    }
    if let Action::Errno(Errno(errno)) = rule.action
        && !(1..=MAX_ERRNO).contains(&errno)
    {
        return Err(FilterError::OutOfRange { nr });
    }
    for arg in &rule.args {
        if arg.index > 5 {
            return Err(FilterError::NoSuchArgument {
                nr,
                index: arg.index,
            });
        }
        if arg.values.is_empty() || arg.values.iter().any(|value| value & !arg.mask != 0) {
            return Err(FilterError::NeverTrue { nr });
        }
    }
    Ok(())
}
