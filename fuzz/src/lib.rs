//! Does bad input hurt? Fuzz targets as plain functions of bytes.
//!
//! # Theory of operation
//!
//! A [`Target`] is a `fn(&[u8])` that panics when something is wrong. Targets that make calls or
//! packets read them as a program out of the bytes ([`Source`]), so any bytes are a valid input
//! and a changed byte changes one decision. Three things drive a target: the kept corpus
//! (`corpus/<target>/`, each file replayed by the tests), the generator of [`driver`], and
//! libFuzzer by a two-line wrapper (README.md).
//!
//! Without a compiler's coverage, the generator is guided by what a target says it has seen
//! ([`note`]): which call gave which result in which state. Inputs that show something new are
//! changed further.
#![forbid(unsafe_code)]

pub mod driver;
mod guest;
mod model;
mod random;
mod source;
mod targets;

pub use random::Random;
pub use source::Source;
pub use targets::{Seed, TARGETS, Target};

use std::cell::RefCell;
use std::hash::{BuildHasher, Hash};
use std::sync::OnceLock;

/// Counts what is allocated, for the targets that check how much is held.
#[global_allocator]
pub static HEAP: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

thread_local! {
    static SEEN: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
}

/// Notes that a target saw this: a result, a state, a pair of them.
pub fn note(what: impl Hash) {
    // Fixed keys: the same input notes the same in every run.
    let hash = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(what);
    SEEN.with_borrow_mut(|seen| {
        if seen.len() < 1 << 16 {
            seen.push(hash as u16);
        }
    });
}

/// Tells what a target does, when `FUZZ_TRACE` is set.
pub fn trace(what: impl FnOnce() -> String) {
    static TRACE: OnceLock<bool> = OnceLock::new();
    if *TRACE.get_or_init(|| std::env::var_os("FUZZ_TRACE").is_some()) {
        println!("{}", what());
    }
}

/// Runs a target by name: what a wrapper for another fuzzer calls.
///
/// # Panics
/// When the input shows a fault, or there is no such target.
pub fn run(target: &str, data: &[u8]) {
    let target = TARGETS
        .iter()
        .find(|known| known.name == target)
        .expect("a target's name");
    (target.run)(data);
    let _ = take_notes();
}

/// What was noted since the last call.
fn take_notes() -> Vec<u16> {
    SEEN.with_borrow_mut(std::mem::take)
}
