//! Calls on any descriptor: read, write, poll, fcntl, ioctl and their kin.

use super::Fd;
use super::socket::{SETTLE_STEP, SETTLE_TRIES};
use crate::check::{Got, fail};
use crate::kernel::Kernel;
use crate::names::ret_name;

/// POLLIN alone.
pub(crate) const IN: i16 = libc::POLLIN;
/// POLLOUT alone.
pub(crate) const OUT: i16 = libc::POLLOUT;
/// POLLPRI alone.
pub(crate) const PRI: i16 = libc::POLLPRI;
/// Readable: IN and RDNORM always come together.
pub(crate) const R: i16 = libc::POLLIN | libc::POLLRDNORM;
/// POLLRDBAND, which goes with PRI for AF_INET out-of-band data on no kernel, but may be asked for.
pub(crate) const RB: i16 = libc::POLLRDBAND;
/// Writable, as TCP says it.
pub(crate) const W: i16 = libc::POLLOUT | libc::POLLWRNORM;
/// Writable, as datagram and AF_UNIX sockets say it.
pub(crate) const WB: i16 = W | libc::POLLWRBAND;

/// All that can be asked for.
const EVERYTHING: i16 = R | RB | WB | PRI | libc::POLLRDHUP | 0x400;

impl<'k> dyn Kernel + 'k {
    /// `close(fd)`
    pub(crate) fn close(&mut self, fd: Fd) -> i64 {
        self.call(libc::SYS_close, &[fd as u64])
    }

    /// `dup(fd)`
    pub(crate) fn dup(&mut self, fd: Fd) -> i64 {
        self.call(libc::SYS_dup, &[fd as u64])
    }

    /// `read(fd, buf, count)`
    pub(crate) fn read(&mut self, fd: Fd, buf: &mut [u8]) -> i64 {
        self.call(
            libc::SYS_read,
            &[fd as u64, buf.as_mut_ptr() as u64, buf.len() as u64],
        )
    }

    /// `write(fd, buf, count)`
    pub(crate) fn write(&mut self, fd: Fd, data: &[u8]) -> i64 {
        self.call(
            libc::SYS_write,
            &[fd as u64, data.as_ptr() as u64, data.len() as u64],
        )
    }

    /// `readv(fd, iov, iovcnt)` with any address.
    pub(crate) fn readv_raw(&mut self, fd: Fd, iov: u64, count: u64) -> i64 {
        self.call(libc::SYS_readv, &[fd as u64, iov, count])
    }

    /// `writev(fd, iov, iovcnt)` with any address.
    pub(crate) fn writev_raw(&mut self, fd: Fd, iov: u64, count: u64) -> i64 {
        self.call(libc::SYS_writev, &[fd as u64, iov, count])
    }

    /// `fcntl(fd, cmd, arg)`
    pub(crate) fn fcntl(&mut self, fd: Fd, cmd: i32, arg: i64) -> i64 {
        self.call(libc::SYS_fcntl, &[fd as u64, cmd as u64, arg as u64])
    }

    /// Sets O_NONBLOCK.
    pub(crate) fn nonblocking(&mut self, fd: Fd) -> i64 {
        let flags = self.fcntl(fd, libc::F_GETFL, 0);
        self.fcntl(fd, libc::F_SETFL, flags | i64::from(libc::O_NONBLOCK))
    }

    /// `ioctl(fd, request, &int)`
    pub(crate) fn ioctl_int(&mut self, fd: Fd, request: u64, value: &mut i32) -> i64 {
        self.ioctl_raw(fd, request, &raw mut *value as u64)
    }

    /// `ioctl` with any argument.
    pub(crate) fn ioctl_raw(&mut self, fd: Fd, request: u64, arg: u64) -> i64 {
        self.call(libc::SYS_ioctl, &[fd as u64, request, arg])
    }

    /// FIONREAD; must succeed.
    pub(crate) fn fionread(&mut self, fd: Fd) -> Got<i32> {
        let mut n = -1;
        let got = self.ioctl_int(fd, libc::FIONREAD, &mut n);
        if got == 0 {
            Ok(n)
        } else {
            fail("FIONREAD", ret_name(got))
        }
    }

    /// SIOCOUTQ; must succeed.
    pub(crate) fn outq(&mut self, fd: Fd) -> Got<i32> {
        let mut n = -1;
        let got = self.ioctl_int(fd, libc::TIOCOUTQ, &mut n);
        if got == 0 {
            Ok(n)
        } else {
            fail("SIOCOUTQ", ret_name(got))
        }
    }

    /// The whole poll mask of one descriptor, now.
    pub(crate) fn poll_mask(&mut self, fd: Fd) -> i16 {
        self.polled(fd, EVERYTHING)
    }

    /// What poll(2) says of these events at once, and what comes unasked.
    pub(crate) fn polled(&mut self, fd: Fd, events: i16) -> i16 {
        let mut fds = [libc::pollfd {
            fd: fd as i32,
            events,
            revents: 0,
        }];
        self.poll(&mut fds, 0);
        fds[0].revents
    }

    /// The poll mask once it is `want`, or what it still is after a while.
    pub(crate) fn settled_mask(&mut self, fd: Fd, want: i16) -> i16 {
        for _ in 0..SETTLE_TRIES {
            let have = self.poll_mask(fd);
            if have == want {
                return have;
            }
            self.pause(SETTLE_STEP);
        }
        self.poll_mask(fd)
    }

    /// Waits until SIOCOUTQ says that the peer acknowledged everything.
    pub(crate) fn wait_sent(&mut self, fd: Fd) -> Got<()> {
        for _ in 0..SETTLE_TRIES {
            if self.outq(fd)? == 0 {
                return Ok(());
            }
            self.pause(SETTLE_STEP);
        }
        fail("SIOCOUTQ", "data is still not acknowledged".to_string())
    }

    /// `pipe2(fds, 0)` that must succeed: read end, write end.
    pub(crate) fn pipe(&mut self) -> Got<(Fd, Fd)> {
        let mut fds = [-1i32; 2];
        let got = self.call(libc::SYS_pipe2, &[fds.as_mut_ptr() as u64, 0]);
        if got != 0 {
            return fail("pipe2", ret_name(got));
        }
        Ok((i64::from(fds[0]), i64::from(fds[1])))
    }

    /// A descriptor that every arm has and that is no socket: an epoll instance.
    pub(crate) fn not_a_socket(&mut self) -> Got<Fd> {
        let fd = self.call(libc::SYS_epoll_create1, &[0]);
        if fd < 0 {
            return fail("epoll_create1", ret_name(fd));
        }
        Ok(fd)
    }

    /// `memfd_create` with these contents, offset 0; must succeed.
    pub(crate) fn memfd(&mut self, contents: &[u8]) -> Got<Fd> {
        let name = c"conformance";
        let fd = self.call(libc::SYS_memfd_create, &[name.as_ptr() as u64, 0]);
        if fd < 0 {
            return fail("memfd_create", ret_name(fd));
        }
        let wrote = self.write(fd, contents);
        if wrote != contents.len() as i64 {
            return fail("write to memfd", ret_name(wrote));
        }
        let sought = self.call(libc::SYS_lseek, &[fd as u64, 0, libc::SEEK_SET as u64]);
        if sought != 0 {
            return fail("lseek", ret_name(sought));
        }
        Ok(fd)
    }

    /// `sendfile(out, in, offset, count)`
    pub(crate) fn sendfile(&mut self, out: Fd, input: Fd, offset: u64, count: u64) -> i64 {
        self.call(
            libc::SYS_sendfile,
            &[out as u64, input as u64, offset, count],
        )
    }

    /// `splice(in, NULL, out, NULL, len, flags)`
    pub(crate) fn splice(&mut self, input: Fd, out: Fd, len: u64, flags: u32) -> i64 {
        let args = [input as u64, 0, out as u64, 0, len, u64::from(flags)];
        self.call(libc::SYS_splice, &args)
    }

    /// Whether two descriptors name the same open file: they do if a file status flag that is set
    /// through one shows through the other.
    pub(crate) fn same_file(&mut self, a: Fd, b: Fd) -> bool {
        let before = self.fcntl(a, libc::F_GETFL, 0);
        let other_before = self.fcntl(b, libc::F_GETFL, 0);
        self.fcntl(a, libc::F_SETFL, before ^ i64::from(libc::O_NONBLOCK));
        let changed = self.fcntl(b, libc::F_GETFL, 0) != other_before;
        self.fcntl(a, libc::F_SETFL, before);
        changed
    }
}
