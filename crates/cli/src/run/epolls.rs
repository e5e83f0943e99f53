//! The epoll instances of a program that a socket's placeholder is registered with.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;

use switchboard_notify::{Identity, Processes, Registration};

/// Those of the process that the thread belongs to. An instance of another process is found only if this
/// one has it too.
pub(super) fn registered(
    processes: &mut Processes,
    tid: i32,
    file: Identity,
) -> Vec<(OwnedFd, Registration)> {
    let mut found = Vec::new();
    // A program that has gone away waits for nothing.
    let Ok(fds) = fs::read_dir(format!("/proc/{tid}/fd")) else {
        return found;
    };
    for entry in fds.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        if target.as_os_str() != OsStr::new("anon_inode:[eventpoll]") {
            continue;
        }
        let Some(fd) = entry.file_name().to_str().and_then(|s| s.parse().ok()) else {
            continue;
        };
        let Ok(text) = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")) else {
            continue;
        };
        for registration in Registration::parse(&text) {
            if registration.file == file
                && let Ok(epoll) = processes.getfd(tid, fd)
            {
                found.push((epoll, registration));
            }
        }
    }
    found
}
