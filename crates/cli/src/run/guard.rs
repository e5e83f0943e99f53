//! The process that was started, which waits for the supervisor and outlives it.
//!
//! A supervisor that is killed leaves programs whose every socket call fails with ENOSYS and whose
//! every socket shows a hang-up: servers then spin for ever. So the supervisor is a child. Its parent,
//! the guard, passes signals and the exit status on; when the supervisor is gone before its time, all that is left of
//! the run becomes the guard's children (prctl(2), PR_SET_CHILD_SUBREAPER) and is ended. When the guard is killed, the
//! supervisor is told by PR_SET_PDEATHSIG and ends the run.

use std::io;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{self, Pid, Signal, WaitOptions, WaitStatus};

use super::{SETUP_FAILED, reap, signals};
use crate::complain;

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
    loop {
        let mut fds = [PollFd::new(&signals, PollFlags::IN)];
        // EINTR is another turn; there is nothing else that could fail here.
        let _ = rustix::event::poll(&mut fds, None);
        while let Some(signal) = signals.next() {
            if signal.number != libc::SIGCHLD {
                if !signal.from_kernel {
                    signals::send(supervisor, signal.number);
                }
                continue;
            }
            while let Ok(Some((pid, status))) =
                process::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED)
            {
                if pid == supervisor
                    && let Some(code) = changed(supervisor, status)
                {
                    return code;
                }
            }
        }
    }
}

/// The supervisor has stopped or ended. Returns the exit status when it has ended.
fn changed(supervisor: Pid, status: WaitStatus) -> Option<u8> {
    if status.stopped() {
        // With its program, or by somebody: whoever waits for us is to know.
        signals::stop_self();
        signals::send(supervisor, libc::SIGCONT);
        return None;
    }
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => {
            complain(&format!(
                "the supervisor was killed by signal {signal}, so the run is over"
            ));
            SETUP_FAILED
        }
        (None, None) => return None,
    };
    if !reap::end_all() {
        complain(reap::SOME_STAYED);
    }
    Some(code)
}
