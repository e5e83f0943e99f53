//! What this kernel, or the container we are in, allows.
//!
//! # Theory of operation
//! Everything is tried, nothing is concluded from version numbers: containers refuse calls that the kernel
//! has. The filter is put on a thread made for it, which takes it into its grave; the other process that
//! process_vm_readv and the like are tried on is a child that only waits, made with exit signal 0 so that neither
//! SIGCHLD nor a waitpid(-1) of the calling process ever sees it.

use core::fmt;
use std::os::fd::AsFd;
use std::sync::mpsc;

use crate::filter::{Action, Filter, Rule, RuleTable};
use crate::process::FdError;
use crate::{
    Errno, InstallError, Listener, MemoryError, Processes, Received, RemoteMemory, ReplyError,
    install,
};

/// Whether something works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Tried, and it worked.
    Yes,
    /// Tried, and refused.
    No(Errno),
    /// Could not be tried, as something it needs does not work.
    Untested,
}

impl Support {
    fn of<T>(result: Result<T, Errno>) -> Support {
        match result {
            Ok(_) => Support::Yes,
            Err(errno) => Support::No(errno),
        }
    }

    /// It worked.
    pub fn is_yes(self) -> bool {
        self == Support::Yes
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Support::Yes => f.write_str("yes"),
            Support::No(errno) => write!(f, "no ({errno})"),
            Support::Untested => f.write_str("not tested"),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// `uname -r`.
    pub release: String,
    /// A filter with a listener, and a value delivered through it. Nothing works without.
    pub listener: Result<(), InstallError>,
    /// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6): a quarter faster.
    pub sync_wake_up: Support,
    /// SECCOMP_ADDFD_FLAG_SEND (Linux 5.14): without it no socket can be created.
    pub add_fd_send: Support,
    /// process_vm_readv on a child. Fallback: /proc/PID/mem.
    pub process_vm: Support,
    /// /proc/PID/mem of a child.
    pub proc_mem: Support,
    /// pidfd_open on a child. Fallback: /proc.
    pub pidfd_open: Support,
    /// PIDFD_THREAD (Linux 6.9). Fallback: the process's pidfd with a check.
    pub pidfd_thread: Support,
    /// pidfd_getfd on a child. Fallback: /proc/PID/fd, and copies that are kept.
    pub pidfd_getfd: Support,
    /// /proc/PID/fd of a child: the way to identify descriptors, and to find those that are open, without pidfd_getfd.
    pub proc_fd: Support,
    /// The Yama module's ptrace_scope, if it is there. 1: only descendants of the supervisor can be served, so it must be
    /// a child subreaper for daemons to stay its own; 2 and 3: nobody without privileges.
    pub ptrace_scope: Option<u32>,
}

/// Tries everything. Takes a few milliseconds.
pub fn probe() -> Report {
    let (listener, sync_wake_up, add_fd_send) = probe_listener();
    let mut report = Report {
        release: read_trimmed("/proc/sys/kernel/osrelease").unwrap_or_default(),
        listener,
        sync_wake_up,
        add_fd_send,
        process_vm: Support::Untested,
        proc_mem: Support::Untested,
        pidfd_open: Support::Untested,
        pidfd_thread: Support::Untested,
        pidfd_getfd: Support::Untested,
        proc_fd: Support::Untested,
        ptrace_scope: read_trimmed("/proc/sys/kernel/yama/ptrace_scope")
            .and_then(|text| text.parse().ok()),
    };
    if let Ok(child) = Waiting::new() {
        child.probe(&mut report);
    }
    report
}

fn read_trimmed(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

/// getppid is trapped on a thread of its own and answered with a number no process has.
fn probe_listener() -> (Result<(), InstallError>, Support, Support) {
    const ANSWER: i64 = 0x7eee_eeee;
    let failed = |error| (Err(error), Support::Untested, Support::Untested);
    if let Err(error) = Listener::check_kernel() {
        return failed(error);
    }
    let table = RuleTable {
        x86_64: vec![
            Rule::new(libc::SYS_getppid as u32, Action::Notify),
            Rule::new(libc::SYS_getpgrp as u32, Action::Notify),
        ],
        i386: Vec::new(),
    };
    let filter = match Filter::new(&table) {
        Ok(filter) => filter,
        Err(_) => return failed(InstallError::Unsupported(Errno(libc::EINVAL))),
    };
    let (installed, wait_installed) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("probe".into())
        .spawn(move || {
            let fd = install(&filter);
            let go_on = fd.is_ok();
            drop(installed.send(fd));
            if !go_on {
                return (0, 0);
            }
            // SAFETY: no memory involved.
            let value = unsafe { libc::syscall(libc::SYS_getppid) };
            // SAFETY: no memory involved. The answer is a descriptor added to our own table.
            let fd = unsafe { libc::syscall(libc::SYS_getpgrp) };
            if fd >= 0 {
                // SAFETY: ours, as the supervisor below has just made it for this call.
                unsafe { libc::close(fd as i32) };
            }
            (value, fd)
        });
    let thread = match thread {
        Ok(thread) => thread,
        Err(e) => {
            return failed(InstallError::Thread(Errno(
                e.raw_os_error().unwrap_or(libc::EAGAIN),
            )));
        }
    };
    let fd = match wait_installed.recv() {
        Ok(Ok(fd)) => fd,
        Ok(Err(error)) => return failed(error),
        Err(_) => return failed(InstallError::Thread(Errno(libc::EAGAIN))),
    };
    let listener = match Listener::new(fd) {
        Ok(listener) => listener,
        Err(error) => return failed(error),
    };
    let mut added = Support::Untested;
    while let Ok(Received::Call(call)) = listener.recv() {
        let replied = if i64::from(call.data.nr) == libc::SYS_getppid {
            listener.reply_value(call.id, ANSWER)
        } else {
            match listener.reply_fd(call.id, listener.as_fd(), true) {
                Err(ReplyError::Refused(errno)) => {
                    added = Support::No(errno);
                    listener.reply_errno(call.id, Errno(libc::ENOSYS))
                }
                other => {
                    added = Support::Yes;
                    other.map(drop)
                }
            }
        };
        if replied.is_err() {
            break;
        }
    }
    let sync = if listener.sync_wake_up() {
        Support::Yes
    } else {
        Support::No(Errno(libc::EINVAL))
    };
    // From here on a call of the thread would fail with ENOSYS instead of waiting for us.
    drop(listener);
    match thread.join() {
        Ok((ANSWER, fd)) => {
            let added = if fd < 0 && added.is_yes() {
                Support::No(Errno(libc::EIO))
            } else {
                added
            };
            (Ok(()), sync, added)
        }
        _ => failed(InstallError::Unsupported(Errno(libc::EIO))),
    }
}

/// A child that waits to be killed.
struct Waiting {
    pid: i32,
}

impl Waiting {
    fn new() -> Result<Waiting, Errno> {
        // SAFETY: like fork, with no exit signal. The child makes raw system calls only, touches no
        // lock and no allocation, and never returns from here.
        let pid = Errno::check(unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) })?;
        if pid == 0 {
            loop {
                // SAFETY: no memory involved. Should the parent die, so does the child.
                unsafe {
                    libc::syscall(
                        libc::SYS_prctl,
                        libc::PR_SET_PDEATHSIG,
                        libc::SIGKILL,
                        0,
                        0,
                        0,
                    );
                    libc::syscall(libc::SYS_pause);
                }
            }
        }
        Ok(Waiting { pid: pid as i32 })
    }

    fn probe(&self, report: &mut Report) {
        // The child is a copy of us: the same value lies at the same address.
        let probe_word = 0x5ee_d1e5_u64;
        let address = (&raw const probe_word) as u64;
        let memory = RemoteMemory::new(self.pid);
        let read = |memory: RemoteMemory| {
            let mut bytes = [0; 8];
            match memory.read(address, &mut bytes) {
                Ok(_) => Support::Yes,
                Err(MemoryError::Refused(errno)) => Support::No(errno),
                Err(MemoryError::Gone) => Support::No(Errno(libc::ESRCH)),
            }
        };
        report.process_vm = Support::of(memory.process_vm_works(address));
        report.proc_mem = read(memory.through_proc());
        report.pidfd_open = Support::of(crate::process::pidfd_open(self.pid, 0));
        report.pidfd_thread = Support::of(crate::process::pidfd_open(self.pid, libc::PIDFD_THREAD));
        let of_fd = |result: Result<(), FdError>| match result {
            Ok(()) | Err(FdError::NotOpen) => Support::Yes,
            Err(FdError::Refused(errno) | FdError::Failed(errno)) => Support::No(errno),
            Err(FdError::Gone) => Support::No(Errno(libc::ESRCH)),
        };
        report.pidfd_getfd = of_fd(Processes::new(1).getfd(self.pid, 0).map(drop));
        report.proc_fd = of_fd(
            Processes::new(1)
                .through_proc()
                .identify(self.pid, 0)
                .map(drop),
        );
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: our own child, which nobody else collects: only __WALL or __WCLONE finds it.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // SAFETY: as above; no status is stored.
        let _collected = Errno::retry(|| unsafe {
            libc::waitpid(self.pid, core::ptr::null_mut(), libc::__WALL).into()
        });
    }
}
