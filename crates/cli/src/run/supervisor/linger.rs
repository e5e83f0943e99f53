//! Closes that wait: `SO_LINGER` with a time.
//!
//! The last close of a socket is told by its placeholder, when it has happened. One that has to wait
//! (inet_release(), sk_stream_wait_close()) is carried out before: the socket is closed here, its
//! connection goes on, and the kernel is let close the descriptor when the peer has everything, the
//! time is over, or a signal came. Until then the descriptor names a socket that is not there, so that
//! whoever uses it meanwhile gets EBADF.
//!
//! With `run --linger` close(2), dup2(2) and dup3(2) are looked at, once a program has asked for lingering: see
//! docs/design/lingering-close.md for what that costs, and for close_range(2) and execve(2).

use switchboard_abi::sysno::Arch;
use switchboard_engine::Instant;
use switchboard_notify::Notification;
use switchboard_socket::{CloseOutcome, SocketId};

use super::super::files::AtHand;
use super::super::filter::CLOSE_RANGE;
use super::super::interrupts::{self, Verdict};
use super::{Supervisor, nobody};

/// A close that waits.
pub(super) struct Lingering {
    call: Notification,
    deadline: Instant,
    check: Option<Instant>,
    checks: u32,
    suspected: bool,
}

/// What a system call closes.
pub(super) struct Closes {
    /// `None`: more than one.
    pub(super) fd: Option<i32>,
    /// dup2(2): this has to be open, and another one.
    pub(super) old: Option<i32>,
}

/// Whether a call is one that closes a descriptor.
pub(super) fn closes(arch: Arch, nr: u32, args: &[u64; 6]) -> Option<Closes> {
    let (close, dups) = match arch {
        Arch::X86_64 => (libc::SYS_close as u32, super::super::filter::DUPS_X86_64),
        Arch::I386 => (6, super::super::filter::DUPS_I386),
    };
    if nr == close {
        let (fd, old) = (Some(args[0] as i32), None);
        return Some(Closes { fd, old });
    }
    if nr == CLOSE_RANGE {
        return Some(Closes {
            fd: None,
            old: None,
        });
    }
    dups.contains(&nr).then_some(Closes {
        fd: Some(args[1] as i32),
        old: Some(args[0] as i32),
    })
}

impl Supervisor {
    /// A call that closes a descriptor: the kernel carries it out, at once or later.
    pub(super) fn closing(&mut self, call: Notification, closes: &Closes) {
        let started = if self.host.linger_used() {
            self.start_to_linger(&call, closes)
        } else {
            None
        };
        match started {
            Some((id, deadline)) => {
                self.stats.parked += 1;
                let now = self.clock.now();
                let check = self.uninterruptible.then(|| now + interrupts::FIRST);
                let lingering = Lingering {
                    call,
                    deadline,
                    check,
                    checks: 0,
                    suspected: false,
                };
                self.lingering.insert(id, lingering);
                self.settle();
                // The peer may have taken everything by now.
                self.lingered(id);
            }
            None => {
                self.suspect(&call, closes);
                self.go_on(&call);
            }
        }
    }

    /// Closes the socket if this is its last descriptor and its closer has to wait.
    fn start_to_linger(
        &mut self,
        call: &Notification,
        closes: &Closes,
    ) -> Option<(SocketId, Instant)> {
        let look =
            |fd| AtHand::look(&mut self.processes.borrow_mut(), &self.mirror, call.tid, fd).ok();
        let fd = closes.fd?;
        let file = look(fd)?.file();
        let id = self.mirror.find(file)?;
        if !self.host.would_linger(id) {
            return None;
        }
        // The descriptor stays open when dup2(2) fails, or has nothing to do.
        if let Some(old) = closes.old
            && (old == fd || look(old).is_none())
        {
            return None;
        }
        let shared = !self.parking.on(id).is_empty() || self.rights.has(file);
        if shared || self.mirror.copies(id) > 1 {
            return None;
        }
        let outcome = self.with_cx(call.tid, &nobody(), |host, cx| host.close(cx, id));
        match outcome {
            CloseOutcome::Linger(time) => Some((id, self.clock.now() + time)),
            CloseOutcome::Done => None,
        }
    }

    /// Something happened to a socket whose closer waits. Whether there is one.
    pub(super) fn lingered(&mut self, id: SocketId) -> bool {
        if !self.lingering.contains_key(&id) {
            return false;
        }
        if !self.host.lingers(id) {
            self.end_lingering(id);
        }
        true
    }

    fn end_lingering(&mut self, id: SocketId) {
        if let Some(lingering) = self.lingering.remove(&id) {
            self.go_on(&lingering.call);
        }
    }

    /// When [`Supervisor::look_at_lingering`] wants to be called.
    pub(super) fn lingering_deadline(&self) -> Option<Instant> {
        let next = |l: &Lingering| l.check.map_or(l.deadline, |check| check.min(l.deadline));
        self.lingering.values().map(next).min()
    }

    /// Whose time is over, and who has a signal to handle.
    pub(super) fn look_at_lingering(&mut self, now: Instant) {
        if self.lingering_deadline().is_none_or(|at| at > now) {
            return;
        }
        let waiting = self.parking.len() + self.lingering.len();
        let mut over = Vec::new();
        for (id, lingering) in &mut self.lingering {
            if lingering.deadline <= now {
                over.push(*id);
                continue;
            }
            if lingering.check.is_none_or(|at| at > now) {
                continue;
            }
            let tid = lingering.call.tid;
            let status = self.processes.borrow_mut().status(tid);
            let Ok(status) = status else {
                over.push(*id);
                continue;
            };
            match interrupts::verdict(&status, tid, lingering.suspected, || false) {
                Verdict::Wait { suspected } => {
                    lingering.suspected = suspected;
                    lingering.checks += 1;
                    let interval = interrupts::interval(lingering.checks, waiting);
                    lingering.check = Some(now + interval);
                }
                Verdict::Restart | Verdict::Eintr => over.push(*id),
            }
        }
        over.into_iter().for_each(|id| self.end_lingering(id));
    }
}
