//! Every body on the library, through both entries, and lockstep of it with the host's kernel.

use std::process::ExitCode;
use switchboard_conformance::{Expectations, HostKernel, Kernel, LibraryKernel, Needs, RunOptions};
use switchboard_conformance::{SocketcallEntry, all_tests, expectations, lockstep, run_tests};

fn direct(needs: Needs) -> Box<dyn Kernel> {
    Box::new(LibraryKernel::new(needs.contains(Needs::THREADS)))
}

fn socketcall(needs: Needs) -> Box<dyn Kernel> {
    let library = LibraryKernel::new(needs.contains(Needs::THREADS));
    Box::new(SocketcallEntry(library))
}

fn main() -> ExitCode {
    let tests = all_tests();
    let expected = match Expectations::parse(expectations::LIBRARY, &tests) {
        Ok(expected) => expected,
        Err(error) => {
            println!("expect/library.txt: {error}");
            return ExitCode::FAILURE;
        }
    };
    let options = RunOptions {
        in_process: false,
        timeout_ms: 60_000,
        quiet: true,
        again: 0,
    };
    let mut out = std::io::stdout();
    let mut good = true;
    for (entry, make) in [
        ("direct", direct as fn(Needs) -> Box<dyn Kernel>),
        ("socketcall", socketcall),
    ] {
        match run_tests(&tests, &make, &expected, options, &mut out) {
            Ok(s) => {
                println!("library, {entry}: {s}");
                good &= s.failed == 0 && s.passed > 650;
            }
            Err(error) => {
                println!("library, {entry}: {error}");
                good = false;
            }
        }
    }
    let options = lockstep::Options {
        seed: 1,
        sequences: 2_000,
        calls: 40,
        trace: false,
        stats: false,
    };
    let host = || Box::new(HostKernel::new()) as Box<dyn Kernel>;
    let library = || Box::new(LibraryKernel::new(false).as_caller()) as Box<dyn Kernel>;
    good &= lockstep::run(options, &host, &library, &mut out).unwrap_or(false);
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
