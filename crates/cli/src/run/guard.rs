//! The process that was started, which waits for the supervisor and outlives it.
//!
//! # Job control
//! A shell waits for the guard. When the program stops, the supervisor stops the guard, and goes on answering: other
//! programs of the run may need it. When the program goes on, by whatever cause, the guard is continued. When
//! the guard is continued by somebody, and the program has not been with it, the supervisor continues the program.
//!
//! # Why there is a guard
//! A supervisor that is killed leaves programs whose every socket call fails with ENOSYS and whose
//! every socket shows a hang-up: servers then spin for ever. So the supervisor is a child. Its parent,
//! the guard, passes signals and the exit status on; when the supervisor is gone before its time, all that is left of
//! the run becomes the guard's children (prctl(2), PR_SET_CHILD_SUBREAPER) and is ended. When the guard is killed, the
//! supervisor is told by PR_SET_PDEATHSIG and ends the run.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{self, Pid, Signal, WaitOptions, WaitStatus};

use super::{SETUP_FAILED, reap, signals};
use crate::complain;

/// Milliseconds that a stop signal may take to work.
const SETTLING: u32 = 10;

/// Which of the two this process is.
pub(super) enum Side {
    /// With the supervisor's process ID.
    Guard(Pid),
    Supervisor(Guard),
}

/// Our guard, as the supervisor sees it.
pub(super) struct Guard {
    pid: Pid,
}

impl Guard {
    /// Sender of what it passes on.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The program has stopped: so does who is waited for.
    pub(super) fn stop(&self) {
        signals::send(self.pid, libc::SIGSTOP);
    }

    /// The program goes on.
    pub(super) fn go_on(&self) {
        signals::send(self.pid, libc::SIGCONT);
    }

    /// Whether it is stopped, or is about to be: a SIGSTOP that has been sent takes a moment to work.
    #[allow(
        clippy::disallowed_methods,
        reason = "waits for the host's process in real time"
    )]
    pub(super) fn is_stopped(&self) -> bool {
        for _ in 0..SETTLING {
            if reap::is_stopped(self.pid) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// Whether somebody else is our parent by now.
    pub(super) fn is_gone(&self) -> bool {
        process::getppid() != Some(self.pid)
    }
}

/// Makes the supervisor. To be called while there is one thread.
pub(super) fn split() -> io::Result<Side> {
    let guard = process::getpid();
    // SAFETY: no other thread exists, so the child may go on with everything as it is.
    let child = unsafe { libc::fork() };
    match Pid::from_raw(child) {
        Some(pid) if child > 0 => Ok(Side::Guard(pid)),
        Some(_) => Err(io::Error::last_os_error()),
        None => {
            // SIGTERM, which is blocked and read; that the guard is gone is what counts.
            process::set_parent_process_death_signal(Some(Signal::TERM))?;
            let guard = Guard { pid: guard };
            if guard.is_gone() {
                // It was killed before it could be watched. Nothing has been started.
                std::process::exit(SETUP_FAILED.into());
            }
            Ok(Side::Supervisor(guard))
        }
    }
}

/// Waits for the supervisor; the exit status is what it ended with.
pub(super) fn guard(supervisor: Pid, mut signals: signals::Signals) -> u8 {
    super::inherited::let_go_of_all_but(&signals);
    let supervisor_number = supervisor.as_raw_nonzero().get().unsigned_abs();
    loop {
        let mut fds = [PollFd::new(&signals, PollFlags::IN)];
        // EINTR is another turn; there is nothing else that could fail here.
        let _ = rustix::event::poll(&mut fds, None);
        while let Some(signal) = signals.next() {
            if signal.number != libc::SIGCHLD {
                // What the supervisor sends is for us.
                if !signal.from_kernel && signal.sender != supervisor_number {
                    signals::send(supervisor, signal.number);
                }
                continue;
            }
            while let Ok(Some((pid, status))) = process::wait(WaitOptions::NOHANG) {
                if pid == supervisor {
                    return ended(status);
                }
            }
        }
    }
}

/// The supervisor has ended. Returns the exit status.
fn ended(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => {
            complain(&format!(
                "the supervisor was killed by signal {signal}, so the run is over"
            ));
            SETUP_FAILED
        }
        // Not asked for.
        (None, None) => SETUP_FAILED,
    };
    if !reap::end_all() {
        complain(reap::SOME_STAYED);
    }
    code
}
