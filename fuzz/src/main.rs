//! `fuzz TARGET|all`: runs a target for long; `fuzz TARGET FILE...`: replays inputs.
//!
//! `FUZZ_SECONDS` says how long a target runs (60), `FUZZ_SEED` where the generator begins (the
//! time of day), `FUZZ_KEEP` how many new inputs to keep in the corpus (none).
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;
use switchboard_fuzz::driver::{Budget, distill, execute, keep, run};
use switchboard_fuzz::{TARGETS, Target};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let files: Vec<String> = args.collect();
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| name == "all" || target.name == name)
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!(
            "usage: fuzz TARGET|all [FILE...]\ntargets: {}",
            names.join(" ")
        );
        return ExitCode::from(2);
    }
    let mut failed = false;
    for target in chosen {
        failed |= if files.is_empty() {
            !long(target)
        } else {
            !replay(target, &files)
        };
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn replay(target: &Target, files: &[String]) -> bool {
    let mut fine = true;
    for file in files {
        let result = match std::fs::read(file) {
            Ok(input) => execute(target, &input),
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok(()) => println!("{file}: ok"),
            Err(message) => println!("{file}: {message}"),
        }
        fine &= execute(target, &std::fs::read(file).unwrap_or_default()).is_ok();
    }
    fine
}

fn long(target: &Target) -> bool {
    let seconds = number("FUZZ_SECONDS").unwrap_or(60);
    #[allow(clippy::disallowed_methods)] // Another seed for each run.
    let seed = number("FUZZ_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |time| time.as_nanos() as u64)
    });
    let outcome = run(target, seed, Budget::Time(Duration::from_secs(seconds)));
    println!(
        "{}: {} runs in {seconds} s, {} features, {} inputs, seed {seed}",
        target.name,
        outcome.runs,
        outcome.features,
        outcome.pool.len()
    );
    if let Some(failure) = outcome.failure {
        let path = std::env::temp_dir().join(format!("fuzz-{}-{seed}", target.name));
        let kept = std::fs::write(&path, &failure.input);
        println!(
            "FAILED: {}\ninput: {} ({kept:?})",
            failure.message,
            path.display()
        );
        return false;
    }
    if let Some(most) = number("FUZZ_KEEP") {
        let pool = distill(target, outcome.pool);
        for input in pool.iter().take(most as usize) {
            if let Err(error) = keep(target, input, "") {
                eprintln!("corpus: {error}");
                return false;
            }
        }
    }
    true
}
