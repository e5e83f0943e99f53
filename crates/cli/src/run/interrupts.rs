//! Signals for threads whose calls wait here.
//!
//! A call that the supervisor has received waits through signals, but for deadly ones: so no reply
//! is ever lost. In exchange the supervisor looks itself whether a signal is pending for a parked
//! call, and lets the call go as Linux would: with what it has, with EINTR, or with ERESTARTSYS, of
//! which the kernel makes a restart or EINTR when it runs the handler.
//!
//! # Who is a signal for?
//! ERESTARTSYS must only go to a thread that the kernel has told of a signal, or the program would
//! see that number. The kernel tells a thread of every signal sent to it. One sent to the process it tells
//! to the first thread if that does not block it, else to any that does not. So the thread is
//! certain if the signal is its own, if it is alone, or if it is the first one; it is certain too while its
//! process is being stopped. Otherwise it gets EINTR, and only when the signal has stayed pending from one
//! look to the next, so that no running thread has taken it.
//!
//! # Cost
//! A look reads /proc/TID/status, some 7 us. It is done after 1 ms, then less and less often, at
//! most every 16 ms for a thread; with very many threads, less often than that.

use std::time::Duration;
use switchboard_notify::{Errno, Status};

/// The kernel's own number for "restart, or EINTR if the handler says so".
pub(super) const ERESTARTSYS: Errno = Errno(512);

/// The first look.
pub(super) const FIRST: Duration = Duration::from_millis(1);
/// The longest a signal is left alone, while few threads wait.
const LONGEST: Duration = Duration::from_millis(16);
/// How many threads are few: with them looking costs at most 3 % of a CPU.
const FEW: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing for it, or not certainly.
    Wait { suspected: bool },
    /// It has been told of a signal.
    Restart,
    /// It may have been.
    Eintr,
}

/// How long until the next look.
pub(super) fn interval(looks: u32, waiting: usize) -> Duration {
    let interval = FIRST.saturating_mul(1 << looks.min(8)).min(LONGEST);
    match u32::try_from(waiting / FEW) {
        Ok(times) if times > 1 => interval.saturating_mul(times),
        _ => interval,
    }
}

pub(super) fn verdict(
    status: &Status,
    tid: i32,
    suspected: bool,
    leader_stopped: impl FnOnce() -> bool,
) -> Verdict {
    let for_it = status.signals_pending & !status.signals_blocked;
    if for_it == 0 {
        // A stop of the whole process waits for each of its threads.
        return if leader_stopped() {
            Verdict::Restart
        } else {
            Verdict::Wait { suspected: false }
        };
    }
    let own = status.thread_signals_pending & !status.signals_blocked != 0;
    if own || status.threads == 1 || status.tgid == tid {
        return Verdict::Restart;
    }
    if suspected {
        Verdict::Eintr
    } else {
        Verdict::Wait { suspected: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, own: u64, blocked: u64, threads: u32) -> Status {
        Status {
            tgid: 10,
            signals_pending: pending | own,
            thread_signals_pending: own,
            signals_blocked: blocked,
            threads,
            ..Status::default()
        }
    }

    #[test]
    fn certain_threads_restart() {
        assert_eq!(
            verdict(&status(1, 0, 0, 1), 10, false, || false),
            Verdict::Restart
        );
        assert_eq!(
            verdict(&status(1, 0, 0, 3), 10, false, || false),
            Verdict::Restart
        );
        assert_eq!(
            verdict(&status(0, 1, 0, 3), 11, false, || false),
            Verdict::Restart
        );
        assert_eq!(
            verdict(&status(0, 0, 0, 3), 11, false, || true),
            Verdict::Restart
        );
    }

    #[test]
    fn others_wait_for_a_second_look() {
        let s = status(1, 0, 0, 3);
        assert_eq!(
            verdict(&s, 11, false, || false),
            Verdict::Wait { suspected: true }
        );
        assert_eq!(verdict(&s, 11, true, || false), Verdict::Eintr);
    }

    #[test]
    fn blocked_signals_are_nobodys() {
        let s = status(4, 4, 4, 1);
        assert_eq!(
            verdict(&s, 10, true, || false),
            Verdict::Wait { suspected: false }
        );
    }

    #[test]
    fn looks_become_rarer() {
        assert_eq!(interval(0, 1), Duration::from_millis(1));
        assert_eq!(interval(9, 1), Duration::from_millis(16));
        assert_eq!(interval(9, 640), Duration::from_millis(160));
    }
}
