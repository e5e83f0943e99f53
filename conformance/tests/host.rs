//! Every body on the host's kernel, through both entries, and a short lockstep of it with itself: what
//! the other arms are compared with must itself hold.

use std::process::ExitCode;
use switchboard_conformance::{
    Expectations, HostKernel, Kernel, Needs, RunOptions, SocketcallEntry,
};
use switchboard_conformance::{all_tests, lockstep, run_tests};

fn direct(_: Needs) -> Box<dyn Kernel> {
    Box::new(HostKernel::new())
}

fn socketcall(_: Needs) -> Box<dyn Kernel> {
    Box::new(SocketcallEntry(HostKernel::new()))
}

fn main() -> ExitCode {
    let options = RunOptions {
        in_process: false,
        timeout_ms: 60_000,
        quiet: true,
    };
    let tests = all_tests();
    let mut out = std::io::stdout();
    let mut good = true;
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
