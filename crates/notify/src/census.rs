//! Which of the files that were registered still exist.
//!
//! An epoll instance that nobody waits on: the kernel takes a file off it when the last descriptor of the file is
//! closed, before it tells anybody else, and /proc/self/fdinfo lists those that are left. Several files share an instance, since
//! to make and to close one costs more than to register.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use crate::Errno;

/// How many files share an instance: a listing stays a matter of microseconds.
const SHARE: u64 = 16;

/// Registers files.
#[derive(Debug, Default)]
pub(crate) struct Census {
    instance: Option<Arc<OwnedFd>>,
    /// How many there have been; the last one's number.
    count: u64,
}

/// A file's registration. It holds no reference to the file.
#[derive(Debug)]
pub(crate) struct Counted {
    instance: Arc<OwnedFd>,
    number: u64,
}

impl Census {
    pub(crate) fn add(&mut self, file: BorrowedFd<'_>) -> Result<Counted, Errno> {
        let instance = match &self.instance {
            Some(instance) if !self.count.is_multiple_of(SHARE) => instance.clone(),
            _ => self.instance.insert(Arc::new(new_instance()?)).clone(),
        };
        let number = self.count + 1;
        let mut event = libc::epoll_event {
            events: 0,
            u64: number,
        };
        // SAFETY: the kernel reads `event`.
        let added = unsafe {
            libc::epoll_ctl(
                instance.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                file.as_raw_fd(),
                &raw mut event,
            )
        };
        Errno::check(added.into())?;
        self.count = number;
        Ok(Counted { instance, number })
    }
}

fn new_instance() -> Result<OwnedFd, Errno> {
    // SAFETY: no memory involved.
    let fd = Errno::check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())?;
    // SAFETY: just made, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

impl Counted {
    /// Whether the file is still there: the listing has a line for each.
    pub(crate) fn exists(&self) -> bool {
        // Without /proc nothing runs here anyway; to keep a socket too long is the lesser harm.
        self.listed().unwrap_or(true)
    }

    fn listed(&self) -> std::io::Result<bool> {
        let mut list = File::open(format!("/proc/self/fdinfo/{}", self.instance.as_raw_fd()))?;
        let mut text = [0; 4096];
        let mut len = 0;
        // The kernel gives all of it at once where it fits.
        loop {
            let got = list.read(&mut text[len..])?;
            len += got;
            if got == 0 || len < text.len() {
                break;
            }
        }
        let line = format!("data: {:16x} ", self.number);
        let mut words = text[..len].windows(line.len());
        Ok(words.any(|word| word == line.as_bytes()))
    }
}
