//! Descriptors that were open when the run was started: they are the program's.
//!
//! The reader of a pipe sees its end when the program has closed it, as it does without us: so nobody else may
//! keep it. Standard error stays, for what there is to complain about.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::stdio;

/// What the program gets besides standard input, output and error.
pub(super) struct Inherited(Vec<RawFd>);

impl Inherited {
    /// To be called before anything else is opened.
    pub(super) fn look() -> Inherited {
        let mut found: Vec<RawFd> = Vec::new();
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            found.extend(
                entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok())
                    .filter(|fd| *fd > 2),
            );
        }
        // The one of the directory just read is closed by now.
        found.retain(|fd| is_open(*fd));
        Inherited(found)
    }

    /// Programs of a lab do not get them.
    pub(super) fn keep_from_programs(&self) {
        for fd in &self.0 {
            // SAFETY: no memory involved; a number that is not open gives EBADF.
            unsafe { libc::fcntl(*fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }

    /// The program has been started and has its own copies.
    pub(super) fn let_go(&mut self) {
        give_up_standard_streams();
        for fd in self.0.drain(..) {
            // SAFETY: it was open when we started, so nothing of ours owns it.
            unsafe { libc::close(fd) };
        }
    }
}

/// For a process that needs no descriptor but one, and standard error.
pub(super) fn let_go_of_all_but(kept: &impl AsRawFd) {
    give_up_standard_streams();
    let kept = kept.as_raw_fd().unsigned_abs();
    for (from, to) in [(3, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        if from <= to {
            // SAFETY: nothing uses any other descriptor from here on. A kernel without the call keeps them
            // open, which only delays what somebody sees.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    }
}

fn give_up_standard_streams() {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    // Where there is no /dev/null they are kept.
    if let Ok(null) = rustix::fs::open("/dev/null", flags, Mode::empty()) {
        let _ = stdio::dup2_stdin(&null);
        let _ = stdio::dup2_stdout(&null);
    }
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: no memory involved; a number that is not open gives EBADF.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}
