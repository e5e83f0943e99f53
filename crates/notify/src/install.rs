//! `seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog)`: puts a filter on
//! the calling thread.
//!
//! SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is not used: with it a call that the supervisor has
//! received can no longer be interrupted by a signal, and EINTR out of a blocked call is something
//! programs rely on. SECCOMP_FILTER_FLAG_TSYNC is not used either: only the thread that is to become
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

/// `prctl(PR_SET_NO_NEW_PRIVS)` and `seccomp(SET_MODE_FILTER, NEW_LISTENER)` on the calling thread.
///
/// There is no way back: from here on the thread's calls are subject to the filter, and so are
/// those of everything it starts. Somebody else must serve the returned listener (close-on-exec) before
/// the thread makes a call that the filter traps. Programs started below cannot gain privileges from
/// set-user-ID files: that is what no_new_privs means, and what the kernel asks for here.
pub fn install(filter: &Filter) -> Result<OwnedFd, InstallError> {
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
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    match Errno::check(fd) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
        Err(Errno(libc::EBUSY)) => Err(InstallError::AlreadyHasListener),
        // EINVAL: the flag or the action is unknown; the program itself has been checked.
        Err(errno @ Errno(libc::ENOSYS | libc::EINVAL)) => Err(InstallError::Unsupported(errno)),
        Err(errno) => Err(InstallError::Refused(errno)),
    }
}
