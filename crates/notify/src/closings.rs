//! Which files have been closed for the last time.
//!
//! inotify(7) tells it of any inode that a path leads to, and /proc/self/fd has a path to each of our descriptors,
//! sockets included. A socket has one open file, so its IN_CLOSE is the end of its last copy. The kernel queues the event before
//! the closer's close(2) returns, and before its process is gone.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use crate::Errno;

/// IN_CLOSE of either kind, once.
const EVENTS: u32 = libc::IN_CLOSE | libc::IN_ONESHOT;
/// The fixed part of `struct inotify_event`; none of ours has a name.
const EVENT: usize = size_of::<libc::inotify_event>();

/// Tells of the last close of the files that are watched.
#[derive(Clone, Debug)]
pub struct Closings {
    instance: Rc<OwnedFd>,
}

/// One file is watched, until this is dropped. It holds no reference to the file.
#[derive(Debug)]
pub(crate) struct Watch {
    instance: Rc<OwnedFd>,
    number: i32,
}

/// What [`Closings::read`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The last copy of the file with this number is gone, or about to go: nobody can use it any more.
    Of(i32),
    /// Some were lost, as there were more at once than the kernel keeps (fs.inotify.max_queued_events).
    Overflow,
}

impl Closings {
    /// Fails where the kernel does not tell of sockets: files without a file system had no such events in some versions.
    pub fn new() -> Result<Closings, Errno> {
        // SAFETY: no memory involved.
        let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        let fd = Errno::check(fd.into())?;
        // SAFETY: just made, nobody else knows it.
        let instance = Rc::new(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        let closings = Closings { instance };
        // SAFETY: no memory involved.
        let socket =
            unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        let socket = Errno::check(socket.into())?;
        // SAFETY: as above.
        let socket = unsafe { OwnedFd::from_raw_fd(socket as i32) };
        let watch = closings.watch(socket.as_fd())?;
        drop(socket);
        let mut told = false;
        closings.read(|closing| told |= closing == Closing::Of(watch.number));
        if told {
            Ok(closings)
        } else {
            Err(Errno(libc::ENOSYS))
        }
    }

    pub(crate) fn watch(&self, file: BorrowedFd<'_>) -> Result<Watch, Errno> {
        let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
        // SAFETY: `path` ends with a NUL.
        let number = Errno::retry(|| unsafe {
            libc::inotify_add_watch(self.instance.as_raw_fd(), path.as_ptr().cast(), EVENTS).into()
        })?;
        Ok(Watch {
            instance: self.instance.clone(),
            number: number as i32,
        })
    }

    /// What has happened since the last time. The descriptor polls IN when there is something.
    pub fn read(&self, mut each: impl FnMut(Closing)) {
        let mut room = [const { MaybeUninit::<u8>::uninit() }; 64 * EVENT];
        loop {
            // SAFETY: the kernel writes at most as many bytes as there are.
            let got = Errno::retry(|| unsafe {
                libc::read(
                    self.instance.as_raw_fd(),
                    room.as_mut_ptr().cast(),
                    room.len(),
                ) as i64
            });
            let Ok(got @ 1..) = got else { return };
            for at in (0..got as usize).step_by(EVENT) {
                // SAFETY: the kernel has written whole events, which have no padding; the alignment is taken care of.
                let event: libc::inotify_event =
                    unsafe { std::ptr::read_unaligned(room.as_ptr().add(at).cast()) };
                if event.mask & libc::IN_Q_OVERFLOW != 0 {
                    each(Closing::Overflow);
                } else if event.mask & libc::IN_CLOSE != 0 {
                    each(Closing::Of(event.wd));
                }
            }
        }
    }
}

impl AsFd for Closings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.instance.as_fd()
    }
}

impl Watch {
    pub(crate) fn number(&self) -> i32 {
        self.number
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The watch keeps the inode. EINVAL: the close was told, and it has gone with that.
        // SAFETY: no memory involved; numbers are not used again.
        unsafe { libc::inotify_rm_watch(self.instance.as_raw_fd(), self.number) };
    }
}
