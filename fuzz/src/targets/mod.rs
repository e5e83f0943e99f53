//! The targets.

mod bpf;
mod calls;
mod control;
mod deliver;
mod memory;
mod option;
mod segment;
mod syscall;
mod wire;

/// Makes an input of a shape that random bytes would not have.
pub type Seed = fn(&[u8]) -> Vec<u8>;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Panics when the input shows a fault.
    pub run: fn(&[u8]),
    /// The longest input the generator makes.
    pub max_len: usize,
    /// How to make an input, where random bytes rarely are one.
    pub seed: Option<Seed>,
    /// How many inputs a run of the tests executes: a few seconds.
    pub runs: u64,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "wire",
        run: wire::target,
        max_len: 600,
        seed: Some(wire::seed),
        runs: 200_000,
    },
    Target {
        name: "deliver",
        run: deliver::target,
        max_len: 2000,
        seed: None,
        runs: 3_000,
    },
    Target {
        name: "segment",
        run: segment::target,
        max_len: 2000,
        seed: None,
        runs: 3_000,
    },
    Target {
        name: "bpf",
        run: bpf::target,
        max_len: 800,
        seed: None,
        runs: 20_000,
    },
    Target {
        name: "calls",
        run: calls::target,
        max_len: 2500,
        seed: None,
        runs: 2_000,
    },
    Target {
        name: "control",
        run: control::target,
        max_len: 800,
        seed: None,
        runs: 10_000,
    },
    Target {
        name: "syscall",
        run: syscall::target,
        max_len: 4000,
        seed: None,
        runs: 2_000,
    },
    Target {
        name: "option",
        run: option::target,
        max_len: 800,
        seed: None,
        runs: 5_000,
    },
    Target {
        name: "memory",
        run: memory::target,
        max_len: 16,
        seed: None,
        runs: 2,
    },
];
