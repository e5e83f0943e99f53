//! Every target, on its kept inputs and for a short run of the generator.
//!
//! `FUZZ_SECONDS` makes the runs longer, `FUZZ_SEED` other than the fixed one.
#![allow(missing_docs)]

use std::sync::Mutex;
use std::time::Duration;
use switchboard_fuzz::TARGETS;
use switchboard_fuzz::driver::{Budget, replay, run};

/// One at a time: some targets look at how much memory is in use.
static ALONE: Mutex<()> = Mutex::new(());

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn check(name: &str) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target");
    if let Err((path, message)) = replay(target) {
        panic!("{}: {message}", path.display());
    }
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let budget = match number("FUZZ_SECONDS") {
        Some(seconds) => Budget::Time(Duration::from_secs(seconds)),
        None => Budget::Runs(target.runs),
    };
    let outcome = run(target, seed, budget);
    assert!(outcome.runs > 0 && outcome.features > 1, "{outcome:?}");
    if let Some(failure) = outcome.failure {
        let input: String = failure
            .input
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        panic!(
            "{name}, seed {seed}: {}\ninput (hex): {input}",
            failure.message
        );
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_tested() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! { wire deliver segment bpf calls control syscall option memory }
