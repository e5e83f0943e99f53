//! errno(3), as a number: the host kernel may answer values that no list of ours knows.

use core::fmt;
use std::io;

/// An error number of the host kernel. Never zero or negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

impl Errno {
    /// The calling thread's errno.
    pub(crate) fn last() -> Errno {
        Errno(
            io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO),
        )
    }

    /// What a `-1`-on-error call returned, or errno.
    pub(crate) fn check(ret: libc::c_long) -> Result<libc::c_long, Errno> {
        if ret == -1 {
            Err(Errno::last())
        } else {
            Ok(ret)
        }
    }

    /// `check`, made again while a signal interrupts it.
    pub(crate) fn retry(mut call: impl FnMut() -> libc::c_long) -> Result<libc::c_long, Errno> {
        loop {
            match Errno::check(call()) {
                Err(Errno(libc::EINTR)) => {}
                other => return other,
            }
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&io::Error::from_raw_os_error(self.0), f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {})", self.0, self)
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0)
    }
}
