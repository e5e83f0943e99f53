//! What the kernel knows about a filtered thread: its descriptors, credentials, directories.
//!
//! # Theory of operation
//! A notification names a thread by number. For each number we keep descriptors that name the thread
//! itself: a pidfd and the /proc/TID directories.
//!
//! # Why the cache cannot be stale
//! A pidfd, and a directory under /proc, refers to one `struct pid` of the kernel, not to a
//! number. The number is free for another thread only after the last task has left that `struct pid`, and
//! from then on the pidfd answers ESRCH and the directory is empty (ENOENT), for ever. So either a
//! cached descriptor answers for the thread that has the number now, or it says that it is
//! dead; then it is opened once more, by number, and that is the thread of the notification, as a
//! waiting thread does not lose its number. When a thread other than the first calls execve, it
//! takes over the `struct pid` of the process's first thread together with its number: the two still go
//! together.
//!
//! Before Linux 6.9 a pidfd names a process only (no PIDFD_THREAD). The pidfd of a thread's process
//! says nothing about whether the thread still has its number, so there an answer counts only
//! if the thread's own /proc directory is alive after it.
//!
//! Descriptors, flags and credentials are never cached: dup2, fcntl and setuid are not intercepted.
//!
//! # Which way to identify a descriptor (measured on Linux 6.18 by `examples/roundtrip.rs`)
//! pidfd_getfd + statx + close takes 0.72 us, one statx on the directory /proc/TID/fd 0.84 us. With the
//! status flags, 0.83 us against 3.95 us (/proc/TID/fdinfo); a descriptor that is not open, 0.31 against
//! 1.23. So pidfd_getfd is the first choice, and /proc the fallback where a container refuses it.
//! statx with AT_STATX_DONT_SYNC instead of fstat: it does not ask a FUSE or NFS server, which might itself
//! wait for us.
//!
//! # Limits
//! One entry holds up to three descriptors of the supervisor; `capacity` entries are kept, the least
//! recently used one is dropped. When there is no descriptor to be had (EMFILE, ENFILE) all of them are given up: they can be
//! opened again, and what the answer needs cannot.

use core::ffi::CStr;
use core::mem::MaybeUninit;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use thiserror::Error;

use crate::Errno;

mod status;
#[cfg(test)]
mod tests;

pub use status::Status;

/// Which file a descriptor refers to. For a socket the inode number is unique among the sockets that exist
/// at one time, up to the kernel's 32-bit counter wrapping round (one in 2^32 sockets and pipes made
/// on the machine): whoever registers a new placeholder must look whether its identity is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The device, as stat(2) gives it.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

impl Identity {
    /// `statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC)`.
    pub fn of(fd: BorrowedFd<'_>) -> Result<Identity, Errno> {
        statx(fd, c"", libc::AT_EMPTY_PATH)
    }
}

/// Why a thread's descriptor or files cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FdError {
    /// EBADF: the thread has no such descriptor.
    #[error("the process has no such descriptor")]
    NotOpen,
    /// There is no such thread any more.
    #[error("the process is gone")]
    Gone,
    /// This machine, or the process's privileges, do not allow it.
    #[error("access to the process is refused: {0}")]
    Refused(Errno),
    /// EMFILE, ENFILE, ENOMEM: our own limits.
    #[error("{0}")]
    Failed(Errno),
}

impl FdError {
    fn from_errno(errno: Errno) -> FdError {
        match errno.0 {
            libc::EBADF => FdError::NotOpen,
            libc::ESRCH | libc::ENOENT => FdError::Gone,
            libc::EPERM | libc::EACCES | libc::ENOSYS => FdError::Refused(errno),
            _ => FdError::Failed(errno),
        }
    }
}

fn statx(dir: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<Identity, Errno> {
    let mut buffer = MaybeUninit::<libc::statx>::uninit();
    // SAFETY: `name` is a C string, the kernel writes one statx structure.
    let done = unsafe {
        libc::statx(
            dir.as_raw_fd(),
            name.as_ptr(),
            flags | libc::AT_STATX_DONT_SYNC,
            libc::STATX_INO,
            buffer.as_mut_ptr(),
        )
    };
    match Errno::check(done.into()) {
        // Old container profiles do not know the call; EINVAL is libc's, which then tries to do without.
        Err(Errno(libc::ENOSYS | libc::EPERM | libc::EINVAL)) => return fstatat(dir, name, flags),
        done => done?,
    };
    // SAFETY: the call succeeded, so it has been filled in.
    let found = unsafe { buffer.assume_init() };
    Ok(Identity {
        dev: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        ino: found.stx_ino,
    })
}

fn fstatat(dir: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<Identity, Errno> {
    let mut buffer = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `name` is a C string, the kernel writes one stat structure.
    let done = unsafe { libc::fstatat(dir.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr(), flags) };
    Errno::check(done.into())?;
    // SAFETY: the call succeeded, so it has been filled in.
    let found = unsafe { buffer.assume_init() };
    Ok(Identity {
        dev: found.st_dev,
        ino: found.st_ino,
    })
}

/// The permission bits of a symbolic link itself.
fn link_mode(dir: BorrowedFd<'_>, name: &CStr) -> Result<libc::mode_t, Errno> {
    let mut buffer = MaybeUninit::<libc::stat>::uninit();
    let how = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: `name` is a C string, the kernel writes one stat structure.
    let done = unsafe { libc::fstatat(dir.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr(), how) };
    Errno::check(done.into())?;
    // SAFETY: the call succeeded, so it has been filled in.
    Ok(unsafe { buffer.assume_init() }.st_mode)
}

fn open_at(dir: i32, name: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: `name` is a C string.
    let fd = Errno::retry(|| unsafe {
        libc::openat(dir, name.as_ptr(), flags | libc::O_CLOEXEC).into()
    })?;
    // SAFETY: just opened, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A short path, without an allocation.
struct Path([u8; 32]);

impl Path {
    fn new(arguments: core::fmt::Arguments<'_>) -> Path {
        let mut bytes = [0; 32];
        let mut room: &mut [u8] = &mut bytes[..31];
        // Two numbers at most; were it too long it would be cut, and name nothing.
        drop(room.write_fmt(arguments));
        Path(bytes)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

#[derive(Debug)]
struct Entry {
    /// /proc/TID.
    dir: OwnedFd,
    /// /proc/TID/fd, once it has been needed.
    fds: Option<OwnedFd>,
    /// Once it has been needed.
    pidfd: Option<Pidfd>,
    used: u64,
}

#[derive(Debug)]
struct Pidfd {
    fd: OwnedFd,
    /// It names the thread, and not just its process.
    thread: bool,
}

impl Entry {
    fn open(tid: i32) -> Result<Entry, FdError> {
        let path = Path::new(format_args!("/proc/{tid}"));
        let dir = open_at(
            libc::AT_FDCWD,
            path.as_c_str(),
            libc::O_PATH | libc::O_DIRECTORY,
        )
        .map_err(FdError::from_errno)?;
        Ok(Entry {
            dir,
            fds: None,
            pidfd: None,
            used: 0,
        })
    }

    /// Whether the thread this entry was opened for still exists.
    fn alive(&self) -> bool {
        statx(borrow(&self.dir), c"status", 0).is_ok()
    }

    fn fds(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let fds = match self.fds.take() {
            Some(fds) => fds,
            None => open_at(
                self.dir.as_raw_fd(),
                c"fd",
                libc::O_RDONLY | libc::O_DIRECTORY,
            )?,
        };
        Ok(borrow(self.fds.insert(fds)))
    }

    fn pidfd(&mut self, tid: i32, threads: bool) -> Result<&Pidfd, FdError> {
        let pidfd = match self.pidfd.take() {
            Some(pidfd) => pidfd,
            None => self.open_pidfd(tid, threads)?,
        };
        Ok(self.pidfd.insert(pidfd))
    }

    fn open_pidfd(&self, tid: i32, threads: bool) -> Result<Pidfd, FdError> {
        if threads {
            match pidfd_open(tid, libc::PIDFD_THREAD) {
                Ok(fd) => return Ok(Pidfd { fd, thread: true }),
                Err(Errno(libc::EINVAL)) => {} // before Linux 6.9
                Err(errno) => return Err(FdError::from_errno(errno)),
            }
        }
        let fd = pidfd_open(self.status()?.tgid, 0).map_err(FdError::from_errno)?;
        Ok(Pidfd { fd, thread: false })
    }

    fn read(&self, name: &CStr, text: &mut Vec<u8>) -> Result<(), FdError> {
        let fd =
            open_at(self.dir.as_raw_fd(), name, libc::O_RDONLY).map_err(FdError::from_errno)?;
        match File::from(fd).read_to_end(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(FdError::from_errno(Errno(
                error.raw_os_error().unwrap_or(libc::EIO),
            ))),
        }
    }

    fn status(&self) -> Result<Status, FdError> {
        let mut text = Vec::with_capacity(2048);
        self.read(c"status", &mut text)?;
        Status::parse(&text).ok_or(FdError::Failed(Errno(libc::EIO)))
    }
}

fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(fd)
}

pub(crate) fn pidfd_open(pid: i32, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory involved.
    let fd = Errno::check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })?;
    // SAFETY: just made, close-on-exec, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn pidfd_getfd(pidfd: &OwnedFd, fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory involved.
    let fd =
        Errno::check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0u32) })?;
    // SAFETY: just made, close-on-exec, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// F_GETFL.
fn status_flags(fd: &OwnedFd) -> Result<i32, Errno> {
    // SAFETY: no memory involved.
    Errno::check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }.into()).map(|f| f as i32)
}

/// The filtered threads, as far as they have been asked about.
#[derive(Debug)]
pub struct Processes {
    entries: BTreeMap<i32, Entry>,
    capacity: usize,
    clock: u64,
    /// Try pidfd_getfd first. A refusal can be one process's own (not dumpable, other user), so it is
    /// tried each time: 0.3 us.
    use_getfd: bool,
    /// PIDFD_THREAD may be tried.
    threads: bool,
}

impl Processes {
    /// Keeps descriptors for up to `capacity` threads (at least one), three for each at most.
    pub fn new(capacity: usize) -> Processes {
        Processes {
            entries: BTreeMap::new(),
            capacity: capacity.max(1),
            clock: 0,
            use_getfd: true,
            threads: true,
        }
    }

    /// The same, with /proc only: what a container that refuses pidfd_getfd leaves. For tests and
    /// measurements.
    #[must_use]
    pub fn through_proc(mut self) -> Processes {
        self.use_getfd = false;
        self
    }

    /// Keeps no more than so many from now on (at least one).
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
        while self.entries.len() > self.capacity {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        if let Some(oldest) = oldest.map(|(&tid, _)| tid) {
            self.entries.remove(&oldest);
        }
    }

    /// The thread has ended: its descriptors are closed. Never necessary, always welcome.
    pub fn forget(&mut self, tid: i32) {
        self.entries.remove(&tid);
    }

    /// Asks with the entry of the thread; once more, and with nothing kept, where our descriptors do not suffice.
    fn ask<T>(
        &mut self,
        tid: i32,
        mut question: impl FnMut(&mut Entry) -> Result<T, FdError>,
    ) -> Result<T, FdError> {
        match self.ask_once(tid, &mut question) {
            Err(FdError::Failed(Errno(libc::EMFILE | libc::ENFILE))) => {
                self.entries.clear();
                self.ask_once(tid, question)
            }
            answer => answer,
        }
    }

    /// Asks with the entry of the thread; once more with a new one if the old one's thread is gone.
    fn ask_once<T>(
        &mut self,
        tid: i32,
        mut question: impl FnMut(&mut Entry) -> Result<T, FdError>,
    ) -> Result<T, FdError> {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(&tid) {
            entry.used = self.clock;
            match question(entry) {
                Err(FdError::Gone) => drop(self.entries.remove(&tid)),
                answer => return answer,
            }
        }
        if self.entries.len() >= self.capacity {
            self.drop_oldest();
        }
        let mut entry = Entry::open(tid)?;
        entry.used = self.clock;
        let answer = question(&mut entry);
        if !matches!(answer, Err(FdError::Gone)) {
            self.entries.insert(tid, entry);
        }
        answer
    }

    /// `pidfd_getfd(pidfd, fd, 0)`: a copy of the thread's descriptor, close-on-exec. `Refused` where the
    /// machine does not allow it: there is no other way to another process's socket.
    pub fn getfd(&mut self, tid: i32, fd: i32) -> Result<OwnedFd, FdError> {
        let threads = self.threads;
        self.ask(tid, |entry| {
            let pidfd = entry.pidfd(tid, threads)?;
            let copy = pidfd_getfd(&pidfd.fd, fd).map_err(FdError::from_errno);
            let by_thread = pidfd.thread;
            if by_thread || entry.alive() {
                copy
            } else {
                Err(FdError::Gone)
            }
        })
    }

    /// Which file the thread's descriptor refers to.
    pub fn identify(&mut self, tid: i32, fd: i32) -> Result<Identity, FdError> {
        self.fetch(tid, fd).map(|(identity, _)| identity)
    }

    /// Which file the thread's descriptor refers to, and the copy that told, if there is one. Dropping
    /// the copy costs a close.
    pub fn fetch(&mut self, tid: i32, fd: i32) -> Result<(Identity, Option<OwnedFd>), FdError> {
        if self.use_getfd {
            match self.getfd(tid, fd) {
                Ok(copy) => {
                    let identity = Identity::of(borrow(&copy)).map_err(FdError::from_errno)?;
                    return Ok((identity, Some(copy)));
                }
                Err(FdError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let name = Path::new(format_args!("{fd}"));
        self.ask(tid, |entry| {
            let found = entry.fds().and_then(|fds| statx(fds, name.as_c_str(), 0));
            found.map_err(|errno| entry.explain(errno))
        })
        .map(|identity| (identity, None))
    }

    /// F_GETFL of the thread's descriptor: the file's status flags, O_NONBLOCK among them.
    pub fn status_flags(&mut self, tid: i32, fd: i32) -> Result<i32, FdError> {
        if self.use_getfd {
            match self.getfd(tid, fd) {
                Ok(copy) => return status_flags(&copy).map_err(FdError::from_errno),
                Err(FdError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let name = Path::new(format_args!("fdinfo/{fd}"));
        self.ask(tid, |entry| {
            let mut text = Vec::with_capacity(256);
            match entry.read(name.as_c_str(), &mut text) {
                Ok(()) => fdinfo_flags(&text).ok_or(FdError::Failed(Errno(libc::EIO))),
                Err(FdError::Gone) => Err(entry.explain(Errno(libc::ENOENT))),
                Err(error) => Err(error),
            }
        })
    }

    /// Whether the thread's descriptor names a file without having opened it (O_PATH), as /proc tells: fdget() does not see
    /// such a descriptor. A copy's own flags say so sooner.
    pub fn is_name_only(&mut self, tid: i32, fd: i32) -> Result<bool, FdError> {
        // tid_fd_update_inode(): the link has the modes that the file was opened with.
        let name = Path::new(format_args!("{fd}"));
        self.ask(tid, |entry| {
            let mode = entry.fds().and_then(|fds| link_mode(fds, name.as_c_str()));
            mode.map_err(|errno| entry.explain(errno))
        })
        .map(|mode| mode & 0o700 == 0)
    }

    /// Identity and status flags at once, and the copy if there is one: what most socket calls need.
    pub fn look(&mut self, tid: i32, fd: i32) -> Result<(Identity, i32, Option<OwnedFd>), FdError> {
        if self.use_getfd {
            match self.getfd(tid, fd) {
                Ok(copy) => {
                    let identity = Identity::of(borrow(&copy)).map_err(FdError::from_errno)?;
                    let flags = status_flags(&copy).map_err(FdError::from_errno)?;
                    return Ok((identity, flags, Some(copy)));
                }
                Err(FdError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((self.identify(tid, fd)?, self.status_flags(tid, fd)?, None))
    }

    /// Credentials, umask, signal masks: /proc/TID/status, read now. Some 7 us.
    pub fn status(&mut self, tid: i32) -> Result<Status, FdError> {
        self.ask(tid, |entry| entry.status())
    }

    /// The thread's current directory, as a descriptor for the *at calls (O_PATH).
    pub fn cwd(&mut self, tid: i32) -> Result<OwnedFd, FdError> {
        self.directory(tid, c"cwd")
    }

    /// The thread's root directory (O_PATH). With openat2(2) and RESOLVE_IN_ROOT on it an
    /// absolute path means what it means to the thread.
    pub fn root(&mut self, tid: i32) -> Result<OwnedFd, FdError> {
        self.directory(tid, c"root")
    }

    fn directory(&mut self, tid: i32, name: &CStr) -> Result<OwnedFd, FdError> {
        self.ask(tid, |entry| {
            open_at(
                entry.dir.as_raw_fd(),
                name,
                libc::O_PATH | libc::O_DIRECTORY,
            )
            .map_err(FdError::from_errno)
        })
    }
}

impl Entry {
    /// In /proc/TID/fd ENOENT means a closed descriptor or a dead thread.
    fn explain(&self, errno: Errno) -> FdError {
        match FdError::from_errno(errno) {
            FdError::Gone if self.alive() => FdError::NotOpen,
            error => error,
        }
    }
}

/// The octal number after "flags:". It has O_CLOEXEC added for a descriptor with that flag, which F_GETFL
/// does not show.
fn fdinfo_flags(text: &[u8]) -> Option<i32> {
    let text = core::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = i64::from_str_radix(line.trim(), 8).ok()? as i32;
    Some(flags & !libc::O_CLOEXEC)
}

/// tkill(2): sends a signal to a thread that waits for the answer to its call.
pub fn signal_thread(tid: i32, signal: i32) -> Result<(), Errno> {
    if tid <= 0 {
        return Err(Errno(libc::ESRCH));
    }
    // SAFETY: the arguments are two numbers.
    Errno::retry(|| unsafe { libc::syscall(libc::SYS_tkill, tid, signal) }).map(|_| ())
}
