//! Children in the manner of C: fork, system calls, _exit. Nothing in a child may allocate or take a lock,
//! as other threads of the test may have held one at the fork.
#![allow(dead_code, unreachable_pub)] // each test file uses a part

use std::os::fd::{AsRawFd, BorrowedFd};

use switchboard_notify::{
    Action, Filter, Listener, Notification, Received, Rule, RuleTable, install,
};

/// A child that is killed and collected when the test is over.
pub struct Kid(pub i32);

impl Kid {
    /// `body` runs in the child; its result is the exit status.
    pub fn fork(body: impl FnOnce() -> i32) -> Kid {
        // SAFETY: the bodies in these tests make system calls only.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                let status = body();
                // SAFETY: ends the child.
                unsafe { libc::_exit(status) }
            }
            pid => Kid(pid),
        }
    }

    /// The wait status's exit code, or 128 + signal.
    pub fn wait(self) -> i32 {
        let mut status = 0;
        // SAFETY: our child, one int is written.
        let pid = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(pid, self.0);
        std::mem::forget(self);
        code(status)
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        // SAFETY: our child, not collected yet.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Exit code, or 128 + signal.
pub fn code(status: i32) -> i32 {
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    }
}

/// A filter that notifies of these x86_64 calls.
pub fn notify_of(numbers: &[libc::c_long]) -> Filter {
    let x86_64 = numbers
        .iter()
        .map(|&nr| Rule::new(nr as u32, Action::Notify))
        .collect();
    Filter::new(&RuleTable {
        x86_64,
        i386: Vec::new(),
    })
    .unwrap()
}

/// Forks `body` below `filter`, by way of a thread that installs it on itself.
pub fn fork_filtered(filter: Filter, body: impl FnOnce() -> i32 + Send) -> (Listener, Kid) {
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let thread = scope.spawn(move || {
            send.send(install(&filter).unwrap()).unwrap();
            Kid::fork(body)
        });
        let listener = Listener::new(receive.recv().unwrap()).unwrap();
        (listener, thread.join().unwrap())
    })
}

/// The next call; a test in which none comes fails.
pub fn next(listener: &Listener) -> Notification {
    let shown = poll(std::os::fd::AsFd::as_fd(listener), libc::POLLIN, 10_000);
    assert_ne!(shown & libc::POLLIN, 0, "no notification: {shown:#x}");
    match listener.recv().unwrap() {
        Received::Call(call) => call,
        other => panic!("{other:?}"),
    }
}

/// poll(2) of one descriptor.
pub fn poll(fd: BorrowedFd<'_>, events: i16, timeout_ms: i32) -> i16 {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one pollfd, ours.
    let count = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
    assert!(count >= 0);
    poll.revents
}

/// An anonymous mapping of `pages` pages, the last of which has no access; shared by fork's copying.
pub fn guarded(pages: usize) -> *mut u8 {
    // SAFETY: a fresh mapping, nothing else is touched.
    unsafe {
        let base = libc::mmap(
            std::ptr::null_mut(),
            pages * 4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(base, libc::MAP_FAILED);
        let base = base.cast::<u8>();
        assert_eq!(
            libc::mprotect(base.add((pages - 1) * 4096).cast(), 4096, libc::PROT_NONE),
            0
        );
        base
    }
}

/// One test of a file at a time, where a fork in another would keep copies of this one's descriptors.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
