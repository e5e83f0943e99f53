//! The programs of a lab while it runs.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use switchboard_engine::Instant;
use switchboard_notify::{Child, Pending, Spawn, SpawnError};

use super::super::{NOT_EXECUTABLE, NOT_FOUND, SETUP_FAILED};
use super::judge::Seen;
use super::output::{Lines, Stream};

/// What a program is doing.
pub(super) enum State {
    /// It has not been started: it waits for others, or for an event.
    Waiting,
    Starting(Pending),
    Running(Pid),
    /// The exit status, as a shell has it.
    Ended(u8),
    /// It could not be started.
    Failed,
}

pub(super) struct Program {
    pub(super) name: String,
    pub(super) host: usize,
    pub(super) state: State,
    pub(super) ready: bool,
    /// When it was ready, for events that count from there.
    pub(super) ready_at: Option<Instant>,
    /// Somebody has sent it a signal.
    pub(super) asked: bool,
    pub(super) started: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) streams: [Option<Piped>; 2],
    pub(super) lines: u64,
    pub(super) seen: Seen,
    /// What was not as expected.
    pub(super) wrong: Option<String>,
    /// The connection that it was started for: it is no part of the plan.
    pub(super) client: Option<usize>,
}

/// Our end of a program's standard output or error.
pub(super) struct Piped {
    pub(super) fd: OwnedFd,
    pub(super) lines: Lines,
    /// It is not watched for the moment.
    pub(super) held: bool,
}

impl Program {
    pub(super) fn new(name: String, host: usize) -> Program {
        Program {
            name,
            host,
            state: State::Waiting,
            ready: false,
            ready_at: None,
            asked: false,
            started: None,
            ended: None,
            streams: [None, None],
            lines: 0,
            seen: Seen::default(),
            wrong: None,
            client: None,
        }
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Running(pid) => Some(pid),
            _ => None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting(_) | State::Running(_))
    }

    /// In a word, for tables.
    pub(super) fn word(&self) -> String {
        match &self.state {
            State::Waiting => "waiting".into(),
            State::Starting(_) => "starting".into(),
            State::Running(_) if self.ready => "ready".into(),
            State::Running(_) => "running".into(),
            State::Ended(status) => super::judge::ended(*status),
            State::Failed => "not started".into(),
        }
    }

    /// Signals the program and what it has started in its process group.
    pub(super) fn signal(&mut self, signal: i32) {
        if let Some(pid) = self.pid() {
            // SAFETY: no memory involved. A group that is gone needs no signal.
            unsafe { libc::kill(-pid.as_raw_nonzero().get(), signal) };
        }
    }
}

/// A pipe for a program's stream: its end, and ours, which does not block.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((theirs, ours))
}

/// Which stream has which place.
pub(super) const STREAMS: [Stream; 2] = [Stream::Out, Stream::Err];

/// A program in a session of its own: a terminal's signals are for the lab, which ends it, and no terminal stops it.
pub(super) fn spawn(run: &[OsString], umask: u32, stdio: [Option<OwnedFd>; 3]) -> Spawn {
    Spawn::new(&run[0])
        .args(&run[1..])
        .signal_mask(switchboard_notify::SignalMask::empty())
        .own_session()
        .umask(umask)
        .stdio(stdio)
}

/// Why a program was not started, in one line. `directory`: where it was to be, if that is the plan's.
pub(super) fn not_started(run: &str, directory: Option<&Path>, error: &SpawnError) -> String {
    match (error, directory) {
        (SpawnError::WorkingDirectory(errno), Some(directory)) => {
            format!("cwd: {}: {errno}", directory.display())
        }
        (error, _) => not_executed(run, error),
    }
}

fn not_executed(run: &str, error: &SpawnError) -> String {
    match error {
        SpawnError::Exec(errno) if errno.0 == libc::ENOENT => {
            format!("{run}: not found: is it installed, is the path right?")
        }
        error => format!("{run}: {error}"),
    }
}

/// As a shell has it for what it cannot start.
pub(super) fn status_of(error: &SpawnError) -> u8 {
    match error {
        SpawnError::Exec(errno) if errno.0 == libc::ENOENT => NOT_FOUND,
        SpawnError::Exec(_) => NOT_EXECUTABLE,
        _ => SETUP_FAILED,
    }
}

/// Children that have ended, before it is known whose they are.
#[derive(Default)]
pub(super) struct Ends {
    early: VecDeque<(Pid, u8)>,
}

/// How many orphans' ends are kept for those that are being started.
const KEPT: usize = 1024;

impl Ends {
    /// Collects all that have ended, by process ID.
    pub(super) fn collect(&mut self) -> HashMap<Pid, u8> {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(status) = code(status) {
                if self.early.len() == KEPT {
                    self.early.pop_front();
                }
                self.early.push_back((pid, status));
            }
        }
        self.early.iter().copied().collect()
    }

    /// The end of this one has been told of.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.early.retain(|(known, _)| *known != pid);
    }
}

/// As a shell has it.
fn code(status: WaitStatus) -> Option<u8> {
    let signal = status.terminating_signal().map(|signal| 128 + signal as u8);
    status.exit_status().map(|code| code as u8).or(signal)
}

pub(super) fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.pid)
}
