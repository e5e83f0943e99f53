//! `seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog)`: puts a filter on
//! the calling thread.
//!
//! # A gap in the kernel
//! With [`Interrupts::Always`], a reply can be accepted by the kernel and still not reach the program: the thread
//! has left its wait because of a signal and waits for the listener's lock while SEND holds it; SEND finds the call
//! in place and says success, then the thread returns EINTR, or makes the call again, all the same.
//! Measured on Linux 6.18 by `examples/interrupted.rs`, a 5 kHz timer striking the caller, 50000 calls, the two sides on
//! two CPUs: 2 to 71 accepted replies lost. Without pinning 0 to 6 in 400000 calls.
//! An answer by [`crate::Listener::reply_fd`] comes from the thread itself: none lost there.
//!
//! [`Interrupts::UntilReceived`] (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19) lost none in the same trial: a received
//! call waits for its reply, only a deadly signal ends it. But then a blocked call is not
//! interrupted either: the supervisor must find out that a signal is pending (`Status::signals_pending`)
//! and reply.
//!
//! SECCOMP_FILTER_FLAG_TSYNC is not used either: only the thread that is to become
//! the program shall be filtered, never the rest of the supervisor.

use std::os::fd::{FromRawFd, OwnedFd};

use thiserror::Error;

use crate::{Errno, Filter};

/// Why no filter was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The kernel knows no seccomp filters, no listeners, or larger notifications than we do.
    #[error("this kernel has no seccomp user notification ({0})")]
    Unsupported(Errno),
    /// EBUSY: the calling thread is below a listener already. Runs do not nest.
    #[error("already running under a seccomp listener")]
    AlreadyHasListener,
    /// The kernel knows it, but not for us: a container's seccomp profile, for one.
    #[error("seccomp refused: {0}")]
    Refused(Errno),
    /// The thread that would have done it could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(Errno),
}

impl InstallError {
    /// What seccomp(2) said.
    pub(crate) fn of(errno: Errno) -> InstallError {
        match errno {
            Errno(libc::EBUSY) => InstallError::AlreadyHasListener,
            // The operation, the flag or the action is unknown; the program itself has been checked.
            Errno(libc::ENOSYS | libc::EINVAL) => InstallError::Unsupported(errno),
            _ => InstallError::Refused(errno),
        }
    }
}

/// Which signals end a call that waits for the supervisor. See the gap described in this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interrupts {
    /// All, at any time. A reply that the kernel accepted was, rarely, not delivered.
    #[default]
    Always,
    /// All until the call has been received, afterwards only deadly ones. An accepted reply is delivered.
    UntilReceived,
}

/// `prctl(PR_SET_NO_NEW_PRIVS)` and `seccomp(SET_MODE_FILTER, NEW_LISTENER)` on the calling thread.
///
/// There is no way back: from here on the thread's calls are subject to the filter, and so are
/// those of everything it starts. Somebody else must serve the returned listener (close-on-exec) before
/// the thread makes a call that the filter traps. Programs started below cannot gain privileges from
/// set-user-ID files: that is what no_new_privs means, and what the kernel asks for here.
pub fn install(filter: &Filter) -> Result<OwnedFd, InstallError> {
    install_with(filter, Interrupts::Always)
}

/// [`install`], with a choice of what interrupts.
pub fn install_with(filter: &Filter, interrupts: Interrupts) -> Result<OwnedFd, InstallError> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
        | match interrupts {
            Interrupts::Always => 0,
            Interrupts::UntilReceived => libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
        };
    // SAFETY: prctl with these constants touches no memory.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1u64, 0u64, 0u64, 0u64) };
    if set == -1 {
        return Err(InstallError::Refused(Errno::last()));
    }
    let instructions = filter.instructions();
    let program = libc::sock_fprog {
        len: instructions.len() as u16, // Filter holds at most 4096
        filter: instructions.as_ptr().cast_mut(),
    };
    // SAFETY: `program` and the instructions it points to outlive the call, which only reads them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match Errno::check(fd) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
        Err(errno) => Err(InstallError::of(errno)),
    }
}
