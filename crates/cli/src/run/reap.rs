//! What is left when the program has ended: every descendant that is still there is ended too.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{self, Pid, Signal, WaitOptions};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use switchboard_notify::Identity;

/// How long a killed process may take to go. SIGKILL works at once but for a process that waits
/// for a device.
const PATIENCE: Duration = Duration::from_secs(5);

/// The line for when [`end_all`] says no.
pub(super) const SOME_STAYED: &str = "some processes of the run could not be ended: see ps(1)";

/// Orphans of the program become our children instead of init's.
pub(super) fn become_subreaper() {
    // Linux 3.4 has it; without it daemons of the program are left to init.
    let _ = process::set_child_subreaper(process::getpid().into());
}

/// Whether nothing is left: who has no child has no descendant, since orphans become children of
/// ours. Collects what has ended.
fn childless() -> bool {
    loop {
        match process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return false,
            Err(error) => return error == rustix::io::Errno::CHILD,
        }
    }
}

/// How many of the children that were collected are remembered: those between two looks at the signals.
const REMEMBERED: usize = 64;

/// The children that were collected last.
#[derive(Default)]
pub(super) struct Reaped {
    last: VecDeque<Pid>,
}

impl Reaped {
    /// Collects the children that have ended, and what has happened to `main`: the next thing, if anything has.
    pub(super) fn collect(&mut self, main: Option<Pid>) -> Option<process::WaitStatus> {
        let changes = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        while let Ok(Some((pid, status))) = process::wait(changes) {
            if Some(pid) == main {
                return Some(status);
            }
            if self.last.len() == REMEMBERED {
                self.last.pop_front();
            }
            self.last.push_back(pid);
        }
        None
    }

    /// Whether a process is a descendant of ours, or was one until just now.
    pub(super) fn is_of_the_run(&self, pid: u32) -> bool {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return false; // of another PID namespace
        };
        if self.last.contains(&pid) {
            return true;
        }
        pid != process::getpid() && is_in_run(pid.as_raw_nonzero().get())
    }
}

/// What /proc/PID/stat says, as far as it is of interest here.
struct Stat {
    state: char,
    parent: i32,
}

impl Stat {
    fn of(pid: i32) -> Option<Stat> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything; the fields follow the last one.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        Some(Stat { state, parent })
    }

    /// It waits to be collected.
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Whether a process is stopped by a signal.
pub(super) fn is_stopped(pid: Pid) -> bool {
    Stat::of(pid.as_raw_nonzero().get()).is_some_and(|stat| stat.state == 'T')
}

/// Whether the process of a pidfd has ended.
pub(super) fn has_ended(process: &OwnedFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)).is_ok_and(|count| count > 0)
}

/// Whether a process is this one, or one below it.
pub(super) fn is_in_run(mut pid: i32) -> bool {
    let me = process::getpid().as_raw_nonzero().get();
    // A chain of parents ends; should it change while it is followed, at some time too.
    for _ in 0..4096 {
        if pid == me {
            return true;
        }
        match Stat::of(pid) {
            Some(Stat { parent, .. }) if parent > 0 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// Ends every descendant and waits until they are gone. True when none is left.
#[allow(
    clippy::disallowed_methods,
    reason = "waits for the host's processes in real time"
)]
pub(super) fn end_all() -> bool {
    let start = Instant::now();
    loop {
        // Most runs end here, whatever else runs on the machine: no look at all of /proc.
        if childless() {
            return true;
        }
        let children = descendants();
        if children.is_empty() {
            return true;
        }
        for pid in children {
            let _ = process::kill_process(pid, Signal::KILL);
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Children of ours and theirs, by /proc. Those that have ended and only wait to be collected do
/// not count.
pub(super) fn descendants() -> Vec<Pid> {
    let mut parents = Vec::new();
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    for entry in dir.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|s| s.parse::<i32>().ok())
        else {
            continue;
        };
        if let Some(stat) = Stat::of(pid)
            && !stat.has_ended()
        {
            parents.push((pid, stat.parent));
        }
    }
    let mut ours: HashSet<i32> = HashSet::from([std::process::id() as i32]);
    let mut found = Vec::new();
    loop {
        let before = ours.len();
        for (pid, parent) in &parents {
            if ours.contains(parent) && ours.insert(*pid) {
                found.extend(Pid::from_raw(*pid));
            }
        }
        if ours.len() == before {
            return found;
        }
    }
}

/// How long a process that is not of the run is taken for that: its number is not another's by then.
const NUMBERS_LAST: Duration = Duration::from_millis(200);

/// The processes below us, for who asks again and again.
#[derive(Default)]
pub(super) struct Descendants {
    others: HashSet<i32>,
    until: Option<Instant>,
}

impl Descendants {
    /// All of them, and those of which it cannot be told.
    #[allow(
        clippy::disallowed_methods,
        reason = "numbers of the host's processes are used again in real time"
    )]
    pub(super) fn list(&mut self) -> Vec<i32> {
        let now = Instant::now();
        if self.until.is_none_or(|until| until < now) {
            self.others.clear();
            self.until = Some(now + NUMBERS_LAST);
        }
        let mut parents: HashMap<i32, i32> = HashMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|s| s.parse().ok());
            if let Some(pid) = pid.filter(|pid| !self.others.contains(pid))
                && let Some(stat) = Stat::of(pid)
            {
                parents.insert(pid, stat.parent);
            }
        }
        let us = std::process::id() as i32;
        let mut found = Vec::new();
        for &pid in parents.keys().filter(|pid| **pid != us) {
            let mut above = pid;
            let other = loop {
                match parents.get(&above) {
                    Some(0) => break true, // of another PID namespace, or its first
                    Some(&parent) if parent == us => break false,
                    Some(&parent) if self.others.contains(&parent) => break true,
                    Some(&parent) => above = parent,
                    // The parent has ended meanwhile.
                    None => break false,
                }
            };
            if other {
                self.others.insert(pid);
            } else {
                found.push(pid);
            }
        }
        found
    }
}

/// The open files of processes. False: not all could be looked at.
pub(super) fn each_open_file(pids: &[i32], mut each: impl FnMut(Identity)) -> bool {
    let mut all = true;
    for &pid in pids {
        let (count, denied) = match files_below(&format!("/proc/{pid}"), &mut each) {
            Ok(count) => (count, false),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => (0, true),
            // It ended meanwhile, and holds nothing.
            Err(_) => continue,
        };
        if count > 0 {
            continue;
        }
        // Where the first thread has ended nothing is shown, and to nobody but root; the other threads show what they have.
        all &= match Stat::of(pid) {
            Some(stat) if stat.has_ended() => each_open_file_of_threads(pid, &mut each),
            Some(_) => !denied,
            None => true,
        };
    }
    all
}

/// The same by the other threads of a process whose first one has ended.
fn each_open_file_of_threads(pid: i32, each: &mut impl FnMut(Identity)) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    for thread in threads.into_iter().flatten().flatten() {
        if thread.file_name().to_str() == Some(&pid.to_string()) {
            continue;
        }
        match files_below(&thread.path().to_string_lossy(), each) {
            Ok(0) => {}
            Ok(_) => return true,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return false,
            Err(_) => {}
        }
    }
    true
}

/// The files in the `fd` of a directory of /proc: how many there are.
fn files_below(dir: &str, each: &mut impl FnMut(Identity)) -> std::io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("{dir}/fd"))?.flatten() {
        if let Ok(stat) = rustix::fs::stat(entry.path()) {
            count += 1;
            each(Identity {
                dev: stat.st_dev,
                ino: stat.st_ino,
            });
        }
    }
    Ok(count)
}
