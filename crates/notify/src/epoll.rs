//! Epoll instances of a program: what is registered there, and registering something for it.
//!
//! An epoll instance knows its files by the open file together with the descriptor's number at the time it was added
//! (epoll(7), questions 1 and 6). When another file takes a number's place, the program's registrations go with
//! the old one; we can add the new one in their place, under the same number, since a registration does not
//! say whose descriptor table the number was of.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, Identity};

/// One line `tfd:` of an epoll instance's /proc/PID/fdinfo file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The number it was added under.
    pub number: i32,
    /// What is asked for, EPOLLET and its like included.
    pub events: u32,
    /// What epoll_wait(2) hands out.
    pub data: u64,
    /// The file.
    pub file: Identity,
}

impl Registration {
    /// All of them, from the text of the fdinfo file.
    pub fn parse(text: &str) -> Vec<Registration> {
        text.lines().filter_map(Registration::line).collect()
    }

    /// `tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x`
    fn line(line: &str) -> Option<Registration> {
        let mut words = line.strip_prefix("tfd:")?.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut value = |name: &str| match words.next()?.strip_prefix(name)? {
            "" => words.next(),
            value => Some(value),
        };
        let events = u32::from_str_radix(value("events:")?, 16).ok()?;
        let data = u64::from_str_radix(value("data:")?, 16).ok()?;
        let _position = value("pos:")?;
        let ino = u64::from_str_radix(value("ino:")?, 16).ok()?;
        let device = u32::from_str_radix(value("sdev:")?, 16).ok()?;
        // The kernel's own form of a device number: 12 bits and 20.
        let dev = libc::makedev(device >> 20, device & 0xf_ffff);
        Some(Registration {
            number,
            events,
            data,
            file: Identity { dev, ino },
        })
    }

    /// Registers `file` like this with the instance, under the same number. Only where no other thread of this
    /// process opens or closes anything meanwhile: the number is lent to `file` for the call.
    pub fn renew(&self, epoll: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut event = libc::epoll_event {
            events: self.events,
            u64: self.data,
        };
        let (number, file) = (self.number, file.as_raw_fd());
        // The lowest number an auxiliary copy may have: not the one in question.
        let above = number.saturating_add(1);
        // SAFETY: makes a copy of our own descriptor, if there is one of that number.
        let kept = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, above) };
        // SAFETY: as above, of the instance, which might have that very number.
        let instance = unsafe { libc::fcntl(epoll.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) };
        let instance = match Errno::check(instance.into()) {
            Ok(copy) => copy as i32,
            Err(errno) => {
                close(kept);
                return Err(errno);
            }
        };
        let result = if number == file {
            add(instance, number, &mut event)
        } else {
            // SAFETY: what is overwritten is kept in `kept` and put back below.
            let lent = unsafe { libc::dup3(file, number, libc::O_CLOEXEC) };
            let result = Errno::check(lent.into()).and_then(|_| add(instance, number, &mut event));
            if kept >= 0 {
                // SAFETY: the file that had the number gets it back; all descriptors of ours are
                // close-on-exec.
                unsafe { libc::dup3(kept, number, libc::O_CLOEXEC) };
            } else if lent >= 0 {
                close(number);
            }
            result
        };
        close(kept);
        close(instance);
        result
    }
}

fn add(epoll: i32, number: i32, event: &mut libc::epoll_event) -> Result<(), Errno> {
    // SAFETY: the kernel reads one epoll_event.
    let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, number, event) };
    Errno::check(added.into()).map(drop)
}

/// Closes a descriptor of ours; a negative number is none.
fn close(fd: i32) {
    if fd >= 0 {
        // SAFETY: made by the caller above, and used by nobody else.
        unsafe { libc::close(fd) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};

    fn epoll() -> OwnedFd {
        // SAFETY: a new descriptor that nobody else knows.
        unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }
    }

    fn registrations(epoll: &OwnedFd) -> Vec<Registration> {
        let path = format!("/proc/self/fdinfo/{}", epoll.as_raw_fd());
        Registration::parse(&fs::read_to_string(path).expect("our own fdinfo"))
    }

    #[test]
    fn a_line_of_fdinfo() {
        let text = "pos:\t0\nflags:\t02\ntfd:        7 events: 80000019 data:                7  pos:0 ino:1a2b sdev:8\n";
        let found = Registration::parse(text);
        let wanted = Registration {
            number: 7,
            events: 0x8000_0019,
            data: 7,
            file: Identity {
                dev: 8,
                ino: 0x1a2b,
            },
        };
        assert_eq!(found, [wanted]);
        assert_eq!(Registration::parse("tfd: x\ntfd:\nflags: 02\n"), []);
    }

    #[test]
    fn a_file_takes_another_ones_place() {
        let epoll = epoll();
        let (one, _keep) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let (other, _keep) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let mut event = libc::epoll_event {
            events: libc::EPOLLOUT as u32,
            u64: 42,
        };
        add(epoll.as_raw_fd(), one.as_raw_fd(), &mut event).expect("added");
        let before = registrations(&epoll);
        assert_eq!(before.len(), 1);
        assert_eq!(before[0].file, Identity::of(one.as_fd()).expect("identity"));
        before[0]
            .renew(epoll.as_fd(), other.as_fd())
            .expect("renewed");
        let after = registrations(&epoll);
        assert_eq!(
            after.len(),
            2,
            "the old one goes when its file does: {after:?}"
        );
        let renewed = after
            .iter()
            .find(|r| r.file != before[0].file)
            .expect("the new one");
        assert_eq!((renewed.number, renewed.data), (one.as_raw_fd(), 42));
        assert_eq!(renewed.file, Identity::of(other.as_fd()).expect("identity"));
        // The number is its own file's again.
        assert_eq!(before[0].file, Identity::of(one.as_fd()).expect("identity"));
    }
}
