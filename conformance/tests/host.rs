//! Every body on the host's kernel, through both entries, and a short lockstep of it with itself: what
//! the other arms are compared with must itself hold.

use std::process::ExitCode;
use switchboard_conformance::{
    Expectations, HostKernel, Kernel, Needs, Outcome, RunOptions, SocketcallEntry, Stop, Test,
};
use switchboard_conformance::{all_tests, lockstep, run_tests};

fn direct(_: Needs) -> Box<dyn Kernel> {
    Box::new(HostKernel::new())
}

fn socketcall(_: Needs) -> Box<dyn Kernel> {
    Box::new(SocketcallEntry(HostKernel::new()))
}

/// Where a body leaves word that it has run once; each is a child of this process.
fn mark(of: u32) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("switchboard-once-{of}"))
}

fn fails_once(_: &mut dyn Kernel) -> Outcome {
    match std::fs::File::create_new(mark(std::os::unix::process::parent_id())) {
        Ok(_) => Err(Stop::Fail("the first time".into())),
        Err(_) => Ok(()),
    }
}

fn fails_always(_: &mut dyn Kernel) -> Outcome {
    Err(Stop::Fail("each time".into()))
}

/// What fails once passes, and is told of; what fails each time fails.
fn bodies_run_again(options: RunOptions) -> bool {
    let bodies = [
        ("a::once", fails_once as fn(&mut dyn Kernel) -> Outcome),
        ("a::always", fails_always),
    ];
    let tests = bodies.map(|(name, body)| Test {
        name,
        body,
        needs: Needs::empty(),
    });
    let mut out = Vec::new();
    let got = run_tests(&tests, &direct, &Expectations::default(), options, &mut out);
    let _ = std::fs::remove_file(mark(std::process::id()));
    let told = String::from_utf8_lossy(&out);
    got.is_ok_and(|s| (s.passed, s.failed, s.again) == (1, 1, 3)) && told.contains("the first time")
}

fn main() -> ExitCode {
    let options = RunOptions {
        in_process: false,
        timeout_ms: 60_000,
        quiet: true,
        again: 2,
    };
    let tests = all_tests();
    let mut out = std::io::stdout();
    let mut good = bodies_run_again(options);
    if !good {
        println!("a body that fails is not run again as it should be");
    }
    for (entry, make) in [
        ("direct", direct as fn(Needs) -> Box<dyn Kernel>),
        ("socketcall", socketcall),
    ] {
        match run_tests(&tests, &make, &Expectations::default(), options, &mut out) {
            Ok(s) => {
                println!("{entry}: {s}");
                good &= s.failed == 0 && s.passed > 700;
            }
            Err(error) => {
                println!("{entry}: {error}");
                good = false;
            }
        }
    }
    let options = lockstep::Options {
        seed: 1,
        sequences: 2000,
        calls: 40,
        trace: false,
        stats: false,
    };
    good &= lockstep::run(
        options,
        &|| direct(Needs::empty()),
        &|| socketcall(Needs::empty()),
        &mut out,
    )
    .unwrap_or(false);
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
