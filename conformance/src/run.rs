//! Runs tests, each in a process of its own.

use crate::check::{Outcome, Stop};
use crate::expect::{Expectations, Kind};
use crate::kernel::Kernel;
use crate::registry::{Needs, Test};
use std::io::Write;
use std::panic::AssertUnwindSafe;

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary {
            passed,
            failed,
            skipped,
            expected,
            again,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")?;
        if *expected > 0 {
            write!(f, ", {expected} failed as expected")?;
        }
        if *again > 0 {
            write!(f, ", {again} run again")?;
        }
        Ok(())
    }
}

/// Makes a fresh kernel for a test that needs this.
pub type Maker<'a> = &'a dyn Fn(Needs) -> Box<dyn Kernel>;

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Run bodies in this process: for a debugger. A hang or a changed credential then stays.
    pub in_process: bool,
    /// Milliseconds after which a body counts as hung.
    pub timeout_ms: i32,
    /// Print only failures and the summary.
    pub quiet: bool,
    /// How often a body that fails is run again: others use the ports of a machine, too, and what is a stranger's doing does not
    /// come twice. Each time is told.
    pub again: usize,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bodies that passed.
    pub passed: usize,
    /// Bodies that failed.
    pub failed: usize,
    /// Bodies that this arm or machine cannot run.
    pub skipped: usize,
    /// Bodies that failed as the arm's expectation file says.
    pub expected: usize,
    /// Times that a body which had failed was run again.
    pub again: usize,
}

/// Runs each test on a fresh kernel of `make` and prints one line for it.
pub fn run_tests(
    tests: &[Test],
    make: Maker<'_>,
    expectations: &Expectations,
    options: RunOptions,
    out: &mut dyn Write,
) -> std::io::Result<Summary> {
    let mut summary = Summary::default();
    let offers = make(Needs::empty()).offers();
    for test in tests {
        let name = test.short_name();
        let lacking = test.needs - offers;
        let listed = expectations.of(name);
        let outcome = if !lacking.is_empty() {
            Err(Stop::Skip(format!("needs {lacking:?}")))
        } else if let Some((Kind::Skip, reason)) = listed {
            Err(Stop::Skip(reason.to_string()))
        } else if options.in_process {
            (test.body)(&mut *make(test.needs))
        } else {
            let mut outcome = forked(test, make, options.timeout_ms);
            for _ in 0..options.again {
                let Err(Stop::Fail(reason)) = &outcome else {
                    break;
                };
                writeln!(out, "again {name}: {reason}")?;
                summary.again += 1;
                outcome = forked(test, make, options.timeout_ms);
            }
            outcome
        };
        match (outcome, listed) {
            (Ok(()), Some((Kind::Failure, reason))) => {
                summary.failed += 1;
                writeln!(
                    out,
                    "FAIL {name}: passes, but is expected to fail ({reason}): a stale line"
                )?;
            }
            (Err(Stop::Fail(_)), Some((Kind::Failure, reason))) => {
                summary.expected += 1;
                if !options.quiet {
                    writeln!(out, "expected {name}: {reason}")?;
                }
            }
            (Ok(()), _) => {
                summary.passed += 1;
                if !options.quiet {
                    writeln!(out, "ok {name}")?;
                }
            }
            (Err(Stop::Skip(reason)), _) => {
                summary.skipped += 1;
                if !options.quiet {
                    writeln!(out, "skip {name}: {reason}")?;
                }
            }
            (Err(Stop::Fail(reason)), _) => {
                summary.failed += 1;
                writeln!(out, "FAIL {name}: {reason}")?;
            }
        }
        out.flush()?;
    }
    Ok(summary)
}

/// Runs one body in a child and reads its verdict from a pipe.
fn forked(test: &Test, make: Maker<'_>, timeout_ms: i32) -> Outcome {
    let mut pipe = [-1; 2];
    // SAFETY: `pipe` has room for two descriptors.
    if unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(Stop::Fail("pipe2 failed".to_string()));
    }
    // SAFETY: this process has one thread, so the child may go on as any program may.
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(Stop::Fail("fork failed".to_string())),
        0 => in_child(test, make, pipe),
        _ => {
            // SAFETY: the write end is the child's; this process has no other use of the number.
            unsafe { libc::close(pipe[1]) };
            let verdict = read_verdict(pipe[0], timeout_ms);
            if verdict.is_none() {
                // SAFETY: `child` is our own child and has not been waited for.
                unsafe { libc::kill(child, libc::SIGKILL) };
            }
            let mut status = 0;
            // SAFETY: `status` is a local; `child` is our own child.
            unsafe {
                libc::waitpid(child, &mut status, 0);
                libc::close(pipe[0]);
            }
            match verdict {
                None => Err(Stop::Fail(format!("hung for {timeout_ms} ms"))),
                Some(bytes) => decode(&bytes, status),
            }
        }
    }
}

fn in_child(test: &Test, make: Maker<'_>, pipe: [i32; 2]) -> ! {
    // High enough not to be in the way of a body that looks for the lowest free descriptor.
    // SAFETY: plain descriptor calls on numbers this function was given.
    let report = unsafe {
        libc::close(pipe[0]);
        let high = libc::fcntl(pipe[1], libc::F_DUPFD_CLOEXEC, 100);
        libc::close(pipe[1]);
        // A body whose parent was killed must not stay.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        high
    };
    let outcome =
        std::panic::catch_unwind(AssertUnwindSafe(|| (test.body)(&mut *make(test.needs))));
    let text = match outcome {
        Ok(Ok(())) => "O".to_string(),
        Ok(Err(Stop::Skip(reason))) => format!("S{reason}"),
        Ok(Err(Stop::Fail(reason))) => format!("F{reason}"),
        Err(_) => "Fpanicked".to_string(),
    };
    // SAFETY: the pipe is ours; _exit ends the child without running the parent's handlers.
    unsafe {
        libc::write(report, text.as_ptr().cast(), text.len());
        libc::_exit(0)
    }
}

/// Reads to the end of the pipe; `None` when that takes longer than the timeout.
fn read_verdict(fd: i32, timeout_ms: i32) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let mut wait = [libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        }];
        // SAFETY: `wait` is a local array of one entry.
        if unsafe { libc::poll(wait.as_mut_ptr(), 1, timeout_ms) } <= 0 {
            return None;
        }
        let mut chunk = [0u8; 4096];
        // SAFETY: `chunk` has room for as many bytes as are asked for.
        let n = unsafe { libc::read(fd, chunk.as_mut_ptr().cast(), chunk.len()) };
        if n <= 0 {
            return Some(text);
        }
        text.extend_from_slice(&chunk[..n as usize]);
    }
}

fn decode(bytes: &[u8], status: i32) -> Outcome {
    let text = String::from_utf8_lossy(bytes);
    match text.chars().next() {
        Some('O') => Ok(()),
        Some('S') => Err(Stop::Skip(text[1..].to_string())),
        Some(_) => Err(Stop::Fail(text[1..].to_string())),
        None if libc::WIFSIGNALED(status) => Err(Stop::Fail(format!(
            "died of signal {}",
            libc::WTERMSIG(status)
        ))),
        None => Err(Stop::Fail("ended without a verdict".to_string())),
    }
}
