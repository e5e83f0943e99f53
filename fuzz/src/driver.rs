//! Drives a target: replays inputs, makes new ones, makes a failing one smaller.
#![allow(clippy::disallowed_methods)] // How long to run is asked of the real clock.

use crate::{Random, Target, take_notes};
use std::cell::RefCell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// This many inputs.
    Runs(u64),
    /// This much time.
    Time(Duration),
}

/// What a run found.
#[derive(Debug)]
pub struct Outcome {
    /// Inputs executed.
    pub runs: u64,
    /// Different things noted.
    pub features: usize,
    /// Inputs that each noted something new.
    pub pool: Vec<Vec<u8>>,
    /// The first input that failed, made small.
    pub failure: Option<Failure>,
}

/// An input that makes a target panic.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The panic's message and place.
    pub message: String,
    /// The input.
    pub input: Vec<u8>,
    /// The generator's seed that found it, when it was the generator.
    pub seed: Option<u64>,
}

/// Runs the target once; the message of the panic when it panics.
pub fn execute(target: &Target, input: &[u8]) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let old = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let caught = PANIC.with_borrow_mut(|slot| {
                slot.as_mut()
                    .map(|message| *message = info.to_string())
                    .is_some()
            });
            if !caught {
                old(info);
            }
        }));
    });
    PANIC.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let message = PANIC.take();
    result.map_err(|_| message.unwrap_or_default())
}

/// The folder of a target's kept inputs.
pub fn corpus_dir(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name)
}

/// A target's kept inputs, by file name.
pub fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(corpus_dir(target)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let read = |path: PathBuf| fs::read(&path).ok().map(|bytes| (path, bytes));
    files.into_iter().filter_map(read).collect()
}

/// Replays the kept inputs; the first that fails.
pub fn replay(target: &Target) -> Result<usize, (PathBuf, String)> {
    let files = corpus(target);
    for (path, input) in &files {
        execute(target, input).map_err(|message| (path.clone(), message))?;
    }
    Ok(files.len())
}

/// Makes inputs and runs them until the budget is spent or one fails.
pub fn run(target: &Target, seed: u64, budget: Budget) -> Outcome {
    let mut random = Random(seed);
    let mut seen = vec![false; 1 << 16];
    let mut outcome = Outcome {
        runs: 0,
        features: 0,
        pool: Vec::new(),
        failure: None,
    };
    let start = Instant::now();
    let mut waiting: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, input)| input).collect();
    loop {
        let over = match budget {
            Budget::Runs(n) => outcome.runs >= n,
            Budget::Time(time) => start.elapsed() >= time,
        };
        if over {
            return outcome;
        }
        let input = waiting
            .pop()
            .unwrap_or_else(|| make(target, &mut random, &outcome.pool));
        let _ = take_notes();
        outcome.runs += 1;
        if let Err(message) = execute(target, &input) {
            let (input, message) = shrink(target, input, message);
            outcome.failure = Some(Failure {
                message,
                input,
                seed: Some(seed),
            });
            return outcome;
        }
        let mut new = 0;
        for feature in take_notes() {
            new += usize::from(!std::mem::replace(&mut seen[usize::from(feature)], true));
        }
        if new > 0 {
            outcome.features += new;
            outcome.pool.push(input);
        }
    }
}

fn make(target: &Target, random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
    if pool.is_empty() || random.below(4) == 0 {
        let input = random.input(target.max_len);
        return match target.seed {
            Some(seed) if random.below(4) > 0 => seed(&input),
            _ => input,
        };
    }
    let mut input = pool[random.below(pool.len())].clone();
    let other = &pool[random.below(pool.len())];
    random.mutate(&mut input, other, target.max_len);
    input
}

/// A smaller input that fails too (with the same message but for its numbers).
fn shrink(target: &Target, mut input: Vec<u8>, mut message: String) -> (Vec<u8>, String) {
    let place = |message: &str| message.lines().next().unwrap_or_default().to_owned();
    let wanted = place(&message);
    let until = Instant::now() + Duration::from_secs(20);
    let fails = |candidate: &[u8], message: &mut String| {
        let result = execute(target, candidate);
        result.is_err_and(|new| {
            place(&new) == wanted && {
                *message = new;
                true
            }
        })
    };
    let mut piece = input.len().max(1);
    while piece > 0 {
        let mut at = 0;
        while at < input.len() {
            if Instant::now() >= until {
                return (input, message);
            }
            let mut candidate = input.clone();
            let _ = candidate.drain(at..(at + piece).min(input.len()));
            if fails(&candidate, &mut message) {
                input = candidate;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    for at in 0..input.len() {
        let old = std::mem::take(&mut input[at]);
        if old != 0 && (Instant::now() >= until || !fails(&input, &mut message)) {
            input[at] = old;
        }
    }
    let _ = execute(target, &input).map_err(|last| message = last);
    (input, message)
}

/// The inputs of a pool without which something would not be seen, long ones first: few of them show
/// most of it.
pub fn distill(target: &Target, mut pool: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    pool.sort_by_key(|input| std::cmp::Reverse(input.len()));
    let mut seen = vec![false; 1 << 16];
    pool.retain(|input| {
        let _ = take_notes();
        // The longest say little more than others, and a repository keeps everything for ever.
        let fine = input.len() <= 4096 && execute(target, input).is_ok();
        let mut new = false;
        for feature in take_notes() {
            new |= !std::mem::replace(&mut seen[usize::from(feature)], true);
        }
        fine && new
    });
    pool
}

/// Keeps an input in the corpus; its path.
pub fn keep(target: &Target, input: &[u8], prefix: &str) -> std::io::Result<PathBuf> {
    let dir = corpus_dir(target);
    fs::create_dir_all(&dir)?;
    // FNV-1a: names need only differ.
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = dir.join(format!("{prefix}{hash:016x}"));
    fs::write(&path, input)?;
    Ok(path)
}
