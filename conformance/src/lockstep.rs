//! Lockstep: seeded random sequences of calls on two kernels, compared call by call.
//!
//! # Theory of operation
//! A seed makes a sequence of [`Op`]s. An op names slots of a pool, never descriptors, and symbolic
//! addresses, never ports, so that it means the same on both kernels. Each op is executed on one and
//! then on the other; the [`Record`]s of what came back (value, errno, buffers, addresses, control
//! messages, and the poll masks of every slot) must be equal. Ports and autobound names are compared
//! by the order in which they were first seen.
//!
//! All sockets are non-blocking, and TCP sockets start with TCP_NODELAY and without pacing, so that
//! no result depends on a timer. Where masks still differ, both kernels are polled again for a short
//! while (the host's loopback is synchronous unless a softirq was left to its thread), and that is
//! counted. A sequence that differs is run again; only a difference that stays is one.
//!
//! # Limits
//! Left out, since Linux itself answers by chance or by time: SO_REUSEPORT (a hash of the ports),
//! descriptors of AF_UNIX sockets in flight (cycles are collected in the background), sizes that
//! autotuning moves, what would leave the host over its own routes, and the exact memory behind SIOCOUTQ.

mod address;
mod choice;
mod control;
mod exec;
mod exec_more;
mod exec_watch;
mod frame;
mod network;
mod op;
mod options;
mod place;
mod prng;
mod theme;
mod trace;

use crate::kernel::Kernel;
use exec::Exec;
use network::Network;
use op::Op;
use prng::Prng;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;
use trace::Difference;

/// Makes a fresh kernel.
type Maker<'a> = &'a dyn Fn() -> Box<dyn Kernel>;

/// How often masks that differ are polled again: the thread that softirqs are left to waits for its turn on a busy
/// machine.
const SETTLE: u32 = 35;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The first seed; the others follow it.
    pub seed: u64,
    /// How many sequences.
    pub sequences: u64,
    /// Calls in each.
    pub calls: usize,
    /// Print each call.
    pub trace: bool,
    /// Print how often each call had each result.
    pub stats: bool,
}

/// Runs the sequences; whether none differed.
pub fn run(
    options: Options,
    make_a: Maker<'_>,
    make_b: Maker<'_>,
    out: &mut dyn Write,
) -> std::io::Result<bool> {
    let mut run = Run {
        make_a,
        make_b,
        network: Network::new(),
        settled: 0,
        number: 0,
        results: BTreeMap::new(),
    };
    let (mut differed, mut again, mut calls) = (0u64, 0u64, 0u64);
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for seed in options.seed..options.seed + options.sequences {
        let ops = sequence(seed, options.calls);
        calls += ops.len() as u64;
        let Some(first) = run.compare(&ops, options.trace.then_some(&mut *out))? else {
            continue;
        };
        // Chance does not repeat itself; a difference does.
        let Some(difference) = run.compare(&ops, None)? else {
            again += 1;
            writeln!(
                out,
                "seed {seed}: differed once, at call {}, and not again",
                first.at
            )?;
            writeln!(out, "{}", first.describe())?;
            continue;
        };
        differed += 1;
        // One of a kind is shrunk and shown; the others are counted.
        let kind = kinds.entry(difference.kind()).or_insert((0, seed));
        kind.0 += 1;
        if kind.0 > 1 {
            continue;
        }
        writeln!(out, "seed {seed}: differs at call {}", difference.at)?;
        let shortest = run.shrink(ops[..=difference.at].to_vec())?;
        writeln!(out, "{} calls are enough:", shortest.len())?;
        if let Some(last) = run.compare(&shortest, Some(out))? {
            writeln!(out, "{}", last.describe())?;
        }
    }
    for (kind, (count, seed)) in &kinds {
        writeln!(out, "{count:6} (first: seed {seed}) {kind}")?;
    }
    if options.stats {
        for ((name, result), count) in &run.results {
            writeln!(out, "{count:8} {name} = {result}")?;
        }
    }
    writeln!(
        out,
        "{} sequences, {calls} calls, {differed} differed, {again} run again, {} polled again",
        options.sequences, run.settled
    )?;
    Ok(differed == 0)
}

/// The sequence of a seed.
fn sequence(seed: u64, calls: usize) -> Vec<Op> {
    let mut rng = Prng::new(seed);
    let theme = theme::Theme::pick(&mut rng);
    let mut ops = if rng.one_in(8) {
        Vec::new()
    } else {
        theme.prelude(&mut rng)
    };
    while ops.len() < calls {
        ops.push(Op::random(&mut rng, theme));
    }
    ops
}

struct Run<'a> {
    make_a: Maker<'a>,
    make_b: Maker<'a>,
    network: Network,
    /// How often masks agreed only after a while.
    settled: u64,
    /// Counts executions, so that names never repeat.
    number: u64,
    /// How often a call had a result.
    results: BTreeMap<(String, String), u64>,
}

impl Run<'_> {
    /// Executes on both kernels; the first difference.
    fn compare(
        &mut self,
        ops: &[Op],
        mut out: Option<&mut dyn Write>,
    ) -> std::io::Result<Option<Difference>> {
        self.number += 1;
        self.network.renew();
        let mut a = Exec::new((self.make_a)(), 'a', self.number);
        let mut b = Exec::new((self.make_b)(), 'b', self.number);
        for (at, op) in ops.iter().enumerate() {
            let mut left = a.execute(op);
            let mut right = b.execute(op);
            for attempt in 0..SETTLE {
                if left.masks == right.masks || left.value != right.value {
                    break;
                }
                self.settled += 1;
                let pause = Duration::from_millis(if attempt < 20 { 1 } else { 10 });
                a.pause(pause);
                b.pause(pause);
                left.masks = a.masks();
                right.masks = b.masks();
            }
            *self.results.entry((op.name(), left.outcome())).or_default() += 1;
            if let Some(out) = out.as_mut() {
                writeln!(out, "  {at:3} {op:?} = {}", left.show())?;
            }
            if left != right {
                return Ok(Some(Difference {
                    at,
                    op: op.clone(),
                    left,
                    right,
                }));
            }
        }
        Ok(None)
    }

    /// Leaves out calls as long as what is left still differs.
    fn shrink(&mut self, mut ops: Vec<Op>) -> std::io::Result<Vec<Op>> {
        let mut size = ops.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at + size <= ops.len() {
                let mut fewer = ops.clone();
                fewer.drain(at..at + size);
                match self.compare(&fewer, None)? {
                    Some(difference) => {
                        fewer.truncate(difference.at + 1);
                        ops = fewer;
                    }
                    None => at += size,
                }
            }
            size /= 2;
        }
        Ok(ops)
    }
}
