//! Where pidfd_getfd(2) is refused: which sockets no program has any more.
//!
//! A copy of each program's end is kept then, so the kernel does not tell of the last close. /proc/PID/fd says who has
//! one. It is looked at when there is reason to: after a close(2) and its like, which are trapped for it, after the end of a process
//! that has made sockets, and now and then. When no program has the file, our copy goes, and what else tells of a last close
//! (docs/design/without-getfd.md) finds that it was the last.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use switchboard_engine::Instant;
use switchboard_notify::{Identity, Notification};
use switchboard_socket::SocketId;

use super::super::files::AtHand;
use super::super::reap;
use super::Supervisor;
use super::linger::Closes;

/// A close that was let go is looked for after so long, then after twice that, and so on.
const SOON: Duration = Duration::from_micros(100);
/// So many looks at one: then it was not the last, or a sweep finds it.
const LOOKS: u32 = 6;
/// How often all are asked: at first, and when nothing goes on.
const SWEEP: Duration = Duration::from_millis(50);
const SWEEP_IDLE: Duration = Duration::from_secs(1);

/// A call that may have closed a socket's last descriptor, and that the kernel is carrying out.
struct Suspect {
    /// `None`: any.
    socket: Option<SocketId>,
    /// Whose call it was: in the next one it is done.
    tid: i32,
    looks: u32,
    next: Instant,
}

#[derive(Default)]
pub(super) struct Unheld {
    suspects: Vec<Suspect>,
    /// Processes that have made sockets, by ID.
    processes: HashMap<u32, OwnedFd>,
    sweep: Option<Instant>,
    interval: Duration,
    /// How many calls there had been at the last sweep.
    calls: u64,
}

impl Unheld {
    pub(super) fn new() -> Unheld {
        Unheld {
            interval: SWEEP,
            ..Unheld::default()
        }
    }

    /// A close, of this socket or any, that is looked for from now on. On a busy machine it may be carried out after the last
    /// look: the sweep then comes soon, however long nothing went on before.
    fn suspect(&mut self, socket: Option<SocketId>, tid: i32, looks: u32, now: Instant) {
        let next = now;
        self.suspects.push(Suspect {
            socket,
            tid,
            looks,
            next,
        });
        self.interval = SWEEP;
        self.sweep = self.sweep.map(|at| at.min(now + SWEEP));
    }
}

impl Supervisor {
    /// A call is let go that may close the last descriptor of a socket.
    pub(super) fn suspect(&mut self, call: &Notification, closes: &Closes) {
        let Some(unheld) = &mut self.unheld else {
            return;
        };
        let mut socket = None;
        if let Some(fd) = closes.fd {
            let mut processes = self.processes.borrow_mut();
            let hand = AtHand::look(&mut processes, &self.mirror, call.tid, fd);
            let Ok(file) = hand.map(|hand| hand.file()) else {
                return;
            };
            socket = self.mirror.find(file);
            if socket.is_none() {
                return;
            }
            // Whoever is alone in its process cannot make another copy before this one goes: what tells of a last close
            // tells of this one.
            let alone = closes.old.is_none()
                && processes.status(call.tid).is_ok_and(|it| it.threads == 1)
                && !self.rights.has(file);
            if alone
                && self
                    .mirror
                    .held_files()
                    .is_some_and(|held| held.get(&file) == Some(&1))
            {
                self.mirror.let_go(&HashSet::from([file]));
                return;
            }
        }
        unheld.suspect(socket, call.tid, 0, self.clock.now());
    }

    /// Files that were in flight are not any more.
    pub(super) fn suspect_released(&mut self) {
        if let Some(unheld) = &mut self.unheld {
            unheld.suspect(None, 0, LOOKS - 1, self.clock.now());
        }
    }

    /// A process has a socket: its end is watched for.
    pub(super) fn watch_process(&mut self, pid: u32) {
        let Some(unheld) = &mut self.unheld else {
            return;
        };
        if unheld.processes.contains_key(&pid) {
            return;
        }
        let of = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // Where pidfd_open(2) is refused too, the sweep finds what it leaves.
        if let Some(Ok(file)) = of.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            self.mirror.watch_process(file.as_fd());
            unheld.processes.insert(pid, file);
        }
    }

    /// A process that was watched has ended.
    pub(in super::super) fn process_ended(&mut self) {
        if let Some(unheld) = &mut self.unheld {
            unheld.processes.retain(|_, file| !reap::has_ended(file));
            self.sweep_unheld();
        }
    }

    pub(super) fn unheld_deadline(&self) -> Option<Instant> {
        let unheld = self.unheld.as_ref()?;
        let next = unheld.suspects.iter().map(|suspect| suspect.next).min();
        next.into_iter().chain(unheld.sweep).min()
    }

    /// Looks for closes that have been carried out by now. `caller`: a call of this thread has come.
    pub(super) fn look_for_unheld(&mut self, now: Instant, caller: Option<i32>) {
        let Some(unheld) = &mut self.unheld else {
            return;
        };
        if unheld.sweep.is_some_and(|at| at <= now) {
            let idle = unheld.calls == self.stats.calls;
            unheld.interval = if idle {
                (unheld.interval * 2).min(SWEEP_IDLE)
            } else {
                SWEEP
            };
            unheld.calls = self.stats.calls;
            unheld.sweep = None;
            self.sweep_unheld();
        } else if unheld
            .suspects
            .iter()
            .any(|suspect| caller.is_some() || suspect.next <= now)
        {
            let mut wanted = HashSet::new();
            let mut any = false;
            unheld.suspects.retain_mut(|suspect| {
                any |= suspect.socket.is_none();
                wanted.extend(suspect.socket);
                suspect.looks += 1;
                suspect.next = now + SOON * (1 << suspect.looks);
                suspect.looks < LOOKS && caller != Some(suspect.tid)
            });
            // Those that another look has found are not looked for again.
            if any || wanted.iter().any(|id| self.mirror.keeps(*id)) {
                self.sweep_unheld();
            }
        }
        let Some(unheld) = &mut self.unheld else {
            return;
        };
        if self.mirror.len() == 0 {
            unheld.sweep = None;
        } else if unheld.sweep.is_none() {
            unheld.sweep = Some(now + unheld.interval);
        }
    }

    fn sweep_unheld(&mut self) {
        // What a process that was made meanwhile has inherited is seen at the second look.
        let mut gone = self.unheld_files();
        if gone.is_empty() {
            return;
        }
        let again = self.unheld_files();
        gone.retain(|file| again.contains(file));
        for id in self.mirror.let_go(&gone) {
            self.hang_up(id, false);
        }
    }

    /// Files that stand for sockets, and that neither a program has nor is in flight.
    fn unheld_files(&self) -> HashSet<Identity> {
        let mut files = self.mirror.kept_files();
        if files.is_empty() {
            return files;
        }
        for file in self.rights.held().chain(self.rings.away()) {
            files.remove(&file);
        }
        let Some(held) = self.mirror.held_files() else {
            return HashSet::new();
        };
        files.retain(|file| !held.contains_key(file));
        files
    }
}
