//! The supervisor's end: receiving trapped calls and answering them.
//!
//! Nothing here allocates; a [`Notification`] is a plain value. All methods take `&self`, and the
//! kernel serialises them: several threads may answer. See seccomp_unotify(2) for the life of a
//! notification.
//!
//! The race to keep in mind: the thread that made the call can die, or be interrupted by a signal, at any
//! moment. Memory read from the process means something only if [`Listener::is_valid`] says
//! yes afterwards, and a reply has been delivered only if it returns `Ok`.

use core::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use thiserror::Error;

use crate::{Arch, Data, Errno, InstallError};

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, Linux 6.6: the two sides share one CPU's scheduling, which
/// saves about a quarter of a round trip.
const SYNC_WAKE_UP: u64 = 1;

/// Room for what the kernel writes on SECCOMP_IOCTL_NOTIF_RECV, were it to grow.
const ROOM: usize = 256;

#[repr(C, align(8))]
union Buffer {
    notification: libc::seccomp_notif,
    room: [u8; ROOM],
}

/// One trapped call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Names this one call, for the replies.
    pub id: u64,
    /// The thread that made it, in our PID namespace; 0 if it is not visible there.
    pub tid: i32,
    /// The call itself.
    pub data: Data,
}

impl Notification {
    /// The architecture the call was made on. The filter lets no other through.
    pub fn arch(&self) -> Option<Arch> {
        Arch::from_audit(self.data.arch)
    }
}

/// What [`Listener::try_recv`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A call is waiting for its reply.
    Call(Notification),
    /// Nothing waits at the moment.
    Empty,
    /// The last filtered thread is gone; nothing will ever come.
    Ended,
}

/// Why a reply had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// The call is gone: interrupted by a signal or its thread died. It never happened; if a
    /// signal handler asks for a restart, it comes again as a new notification.
    #[error("the call was interrupted before the reply")]
    NotDelivered,
    /// The kernel refused the reply itself: EINPROGRESS (answered already), EMFILE (the target's
    /// RLIMIT_NOFILE), EBADF, EINVAL. The call still waits, unless it is EINPROGRESS.
    #[error("reply refused: {0}")]
    Refused(Errno),
}

impl ReplyError {
    fn from_errno(errno: Errno) -> ReplyError {
        match errno.0 {
            // ADDFD says ESRCH when the target went away while the descriptor was on its way.
            libc::ENOENT | libc::ESRCH => ReplyError::NotDelivered,
            _ => ReplyError::Refused(errno),
        }
    }
}

/// The listener descriptor. Pollable: IN when a call waits, HUP when the last filtered thread is gone.
/// When it is closed, every waiting and every later trapped call fails with ENOSYS: no program hangs.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    sync_wake_up: bool,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Listener {
    /// SECCOMP_GET_NOTIF_SIZES: whether this kernel's structures are the ones we know.
    pub(crate) fn check_kernel() -> Result<(), InstallError> {
        let mut sizes = libc::seccomp_notif_sizes {
            seccomp_notif: 0,
            seccomp_notif_resp: 0,
            seccomp_data: 0,
        };
        // SAFETY: the kernel fills in `sizes`, which is of the type that this operation writes.
        let asked = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_GET_NOTIF_SIZES,
                0,
                &raw mut sizes,
            )
        };
        Errno::check(asked).map_err(InstallError::of)?;
        // RECV writes as many bytes as the kernel's structure has, SEND reads as many.
        if usize::from(sizes.seccomp_notif) > ROOM
            || usize::from(sizes.seccomp_data) != size_of::<Data>()
            || usize::from(sizes.seccomp_notif_resp) != size_of::<libc::seccomp_notif_resp>()
        {
            return Err(InstallError::Unsupported(Errno(libc::E2BIG)));
        }
        Ok(())
    }

    /// Takes the descriptor that [`crate::install`] returned. Fails where the kernel's structures are
    /// not the ones we know. Asks for synchronous wake-ups, which older kernels decline.
    pub fn new(fd: OwnedFd) -> Result<Listener, InstallError> {
        Listener::check_kernel()?;
        let mut listener = Listener {
            fd,
            sync_wake_up: false,
        };
        // SAFETY: this ioctl takes its argument by value.
        let set = listener.ioctl(|fd| unsafe {
            libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP)
        });
        listener.sync_wake_up = set.is_ok();
        Ok(listener)
    }

    /// Whether the kernel wakes both sides synchronously (Linux 6.6).
    pub fn sync_wake_up(&self) -> bool {
        self.sync_wake_up
    }

    fn ioctl(&self, mut call: impl FnMut(i32) -> i32) -> Result<i64, Errno> {
        Errno::retry(|| i64::from(call(self.fd.as_raw_fd())))
    }

    fn poll(&self, timeout_ms: i32) -> Result<i16, Errno> {
        let mut poll = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, ours.
        Errno::retry(|| i64::from(unsafe { libc::poll(&raw mut poll, 1, timeout_ms) }))?;
        Ok(poll.revents)
    }

    /// SECCOMP_IOCTL_NOTIF_RECV, once. `None`: the call that woke us is gone already, or the last
    /// filtered thread is. Waits when nothing is there (O_NONBLOCK has no effect on a listener), so
    /// call it only after poll or epoll showed IN, and from one thread: then it does not wait, as the
    /// kernel counts a vanished call too.
    pub fn recv_ready(&self) -> Result<Option<Notification>, Errno> {
        // SAFETY: an all-zero value is valid for every member of the union.
        let mut buffer: Buffer = unsafe { zeroed() };
        // SAFETY: the kernel wants its structure zeroed, which `buffer` is, and writes at most
        // ROOM bytes, which `new` has checked. EINTR: nothing was written.
        let got = self.ioctl(|fd| unsafe {
            libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut buffer)
        });
        match got {
            Ok(_) => {
                // SAFETY: the kernel has filled in this member.
                let raw = unsafe { buffer.notification };
                Ok(Some(Notification {
                    id: raw.id,
                    tid: raw.pid as i32,
                    data: Data {
                        nr: raw.data.nr,
                        arch: raw.data.arch,
                        instruction_pointer: raw.data.instruction_pointer,
                        args: raw.data.args,
                    },
                }))
            }
            Err(Errno(libc::ENOENT)) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The next call, without waiting. With an edge-triggered epoll: until it says `Empty`.
    pub fn try_recv(&self) -> Result<Received, Errno> {
        self.recv_within(0)
    }

    /// The next call, waiting for it.
    pub fn recv(&self) -> Result<Received, Errno> {
        self.recv_within(-1)
    }

    fn recv_within(&self, timeout_ms: i32) -> Result<Received, Errno> {
        loop {
            let ready = self.poll(timeout_ms)?;
            if ready & libc::POLLIN != 0 {
                if let Some(call) = self.recv_ready()? {
                    return Ok(Received::Call(call));
                }
            } else if ready & libc::POLLHUP != 0 {
                return Ok(Received::Ended);
            } else if timeout_ms == 0 {
                return Ok(Received::Empty);
            }
        }
    }

    fn send(&self, id: u64, val: i64, error: i32, flags: u32) -> Result<(), ReplyError> {
        let mut response = libc::seccomp_notif_resp {
            id,
            val,
            error,
            flags,
        };
        // SAFETY: the kernel reads the structure of the size that `new` has checked.
        let sent = self.ioctl(|fd| unsafe {
            libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response)
        });
        sent.map(drop).map_err(ReplyError::from_errno)
    }

    /// The call returns `value`.
    pub fn reply_value(&self, id: u64, value: i64) -> Result<(), ReplyError> {
        self.send(id, value, 0, 0)
    }

    /// The call fails with `errno`.
    pub fn reply_errno(&self, id: u64, errno: Errno) -> Result<(), ReplyError> {
        self.send(id, 0, -errno.0, 0)
    }

    /// SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel runs the call as if it had not been trapped.
    /// Only for calls that are none of our business: the arguments can change behind our back.
    pub fn reply_continue(&self, id: u64) -> Result<(), ReplyError> {
        self.send(id, 0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    /// SECCOMP_IOCTL_NOTIF_ID_VALID: does this call still wait? If so, what was read from its process
    /// before was read from the right process.
    pub fn is_valid(&self, id: u64) -> bool {
        // SAFETY: the kernel reads one u64.
        self.ioctl(|fd| unsafe {
            libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id)
        })
        .is_ok()
    }

    fn add(
        &self,
        id: u64,
        source: BorrowedFd<'_>,
        at: Option<i32>,
        cloexec: bool,
        send: bool,
    ) -> Result<i32, ReplyError> {
        let mut flags = 0;
        if at.is_some() {
            flags |= libc::SECCOMP_ADDFD_FLAG_SETFD as u32;
        }
        if send {
            flags |= libc::SECCOMP_ADDFD_FLAG_SEND as u32;
        }
        let mut add = libc::seccomp_notif_addfd {
            id,
            flags,
            srcfd: source.as_raw_fd() as u32,
            newfd: at.unwrap_or(0) as u32,
            newfd_flags: if cloexec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: the kernel reads one structure of this type.
        let added = self
            .ioctl(|fd| unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut add) });
        added.map(|fd| fd as i32).map_err(ReplyError::from_errno)
    }

    /// SECCOMP_IOCTL_NOTIF_ADDFD: puts a copy of `source` into the caller's table, at the lowest
    /// free number, and returns that number. The call still waits for its reply; should it be interrupted
    /// before that, the copy stays. Use [`Self::reply_fd`] where the descriptor is the result.
    pub fn add_fd(
        &self,
        id: u64,
        source: BorrowedFd<'_>,
        cloexec: bool,
    ) -> Result<i32, ReplyError> {
        self.add(id, source, None, cloexec, false)
    }

    /// ADDFD with SETFD: at the number `at`, closing what is there, as dup3 does.
    pub fn set_fd(
        &self,
        id: u64,
        source: BorrowedFd<'_>,
        at: i32,
        cloexec: bool,
    ) -> Result<i32, ReplyError> {
        self.add(id, source, Some(at), cloexec, false)
    }

    /// ADDFD with SEND (Linux 5.14): puts the copy into the table and makes its number the call's
    /// result, both or neither.
    pub fn reply_fd(
        &self,
        id: u64,
        source: BorrowedFd<'_>,
        cloexec: bool,
    ) -> Result<i32, ReplyError> {
        self.add(id, source, None, cloexec, true)
    }
}
