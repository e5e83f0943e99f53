//! Sockets in the states that bodies start from.

use crate::addr::Addr;
use crate::check::{Got, fail, verdict::ok};
use crate::kernel::Kernel;
use crate::names::ret_name;
use crate::sys::Fd;
use std::path::PathBuf;

/// Non-blocking, as a type flag.
pub(crate) const NB: i32 = libc::SOCK_NONBLOCK;

/// One established TCP connection.
pub(crate) struct Tcp {
    pub(crate) client: Fd,
    pub(crate) server: Fd,
    pub(crate) listener: Fd,
    /// The listener's address.
    pub(crate) addr: Addr,
}

impl<'k> dyn Kernel + 'k {
    /// A TCP socket with the congestion control that does not pace, whatever the machine's default.
    pub(crate) fn tcp_socket(&mut self, family: i32, flags: i32) -> Got<Fd> {
        let fd = ok(
            "socket",
            "tcp",
            self.socket(family, libc::SOCK_STREAM | flags, 0),
        )?;
        self.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, b"reno");
        Ok(fd)
    }

    /// A listener on the family's loopback address and a port of the kernel's choice.
    pub(crate) fn tcp_listener(&mut self, family: i32, backlog: i32) -> Got<(Fd, Addr)> {
        let fd = self.tcp_socket(family, NB)?;
        ok("bind", "listener", self.bind(fd, &Addr::lo(family, 0)))?;
        ok("listen", "listener", self.listen(fd, backlog))?;
        let addr = self.sockname(fd)?;
        Ok((fd, addr))
    }

    /// An established connection over a family's loopback; both ends non-blocking.
    pub(crate) fn tcp(&mut self, family: i32) -> Got<Tcp> {
        let (listener, addr) = self.tcp_listener(family, 8)?;
        let client = self.tcp_socket(family, NB)?;
        self.connect_now(client, &addr)?;
        let server = self.accept_now(listener)?;
        self.nonblocking(server);
        Ok(Tcp {
            client,
            server,
            listener,
            addr,
        })
    }

    /// Connects a non-blocking socket and waits until it is connected.
    pub(crate) fn connect_now(&mut self, fd: Fd, addr: &Addr) -> Got<()> {
        let got = self.connect(fd, addr);
        if got == 0 {
            return Ok(());
        }
        if got != -i64::from(libc::EINPROGRESS) {
            return fail("connect", ret_name(got));
        }
        let mut fds = [libc::pollfd {
            fd: fd as i32,
            events: libc::POLLOUT,
            revents: 0,
        }];
        for _ in 0..100 {
            self.poll(&mut fds, 0);
            if fds[0].revents != 0 {
                break;
            }
            self.pause(std::time::Duration::from_millis(2));
        }
        match self.so_error(fd)? {
            0 if fds[0].revents != 0 => Ok(()),
            0 => fail("connect", "not connected within 200 ms".to_string()),
            errno => fail("connect", ret_name(-i64::from(errno))),
        }
    }

    /// Accepts a connection that is there or about to be.
    pub(crate) fn accept_now(&mut self, listener: Fd) -> Got<Fd> {
        let mut got = self.accept(listener);
        for _ in 0..100 {
            if got != -i64::from(libc::EAGAIN) {
                break;
            }
            self.pause(std::time::Duration::from_millis(2));
            got = self.accept(listener);
        }
        ok("accept", "listener", got)
    }

    /// A UDP socket bound to the family's loopback address, non-blocking.
    pub(crate) fn udp(&mut self, family: i32) -> Got<(Fd, Addr)> {
        let fd = ok(
            "socket",
            "udp",
            self.socket(family, libc::SOCK_DGRAM | NB, 0),
        )?;
        ok("bind", "udp", self.bind(fd, &Addr::lo(family, 0)))?;
        let addr = self.sockname(fd)?;
        Ok((fd, addr))
    }

    /// Two UDP sockets connected to each other.
    pub(crate) fn udp_pair(&mut self, family: i32) -> Got<(Fd, Fd)> {
        let (a, a_addr) = self.udp(family)?;
        let (b, b_addr) = self.udp(family)?;
        ok("connect", "udp", self.connect(a, &b_addr))?;
        ok("connect", "udp", self.connect(b, &a_addr))?;
        Ok((a, b))
    }

    /// A loopback address of this family and type on which nothing listens.
    pub(crate) fn closed_port(&mut self, family: i32, kind: i32) -> Got<Addr> {
        let fd = ok("socket", "probe", self.socket(family, kind, 0))?;
        ok("bind", "probe", self.bind(fd, &Addr::lo(family, 0)))?;
        let addr = self.sockname(fd)?;
        self.close(fd);
        Ok(addr)
    }

    /// A port that no address, family or protocol of this host uses, not even in TIME_WAIT: for
    /// bodies that bind one port twice and must not meet a stranger there.
    pub(crate) fn free_port(&mut self) -> Got<u16> {
        for _ in 0..20 {
            let tcp = ok(
                "socket",
                "probe",
                self.socket(libc::AF_INET6, libc::SOCK_STREAM, 0),
            )?;
            let udp = ok(
                "socket",
                "probe",
                self.socket(libc::AF_INET6, libc::SOCK_DGRAM, 0),
            )?;
            ok("bind", "probe", self.bind(tcp, &Addr::any6(0)))?;
            let addr = self.sockname(tcp)?;
            let both = self.bind(udp, &addr) == 0;
            self.close(tcp);
            self.close(udp);
            if both {
                return Ok(addr.port());
            }
        }
        fail("free_port", "every port is taken".to_string())
    }

    /// An AF_UNIX socket of this type bound to a fresh abstract name, non-blocking.
    pub(crate) fn unix_bound(&mut self, kind: i32, tag: &str) -> Got<(Fd, Addr)> {
        let fd = ok("socket", "unix", self.socket(libc::AF_UNIX, kind | NB, 0))?;
        let addr = Addr::fresh_abstract(tag);
        ok("bind", "unix", self.bind(fd, &addr))?;
        Ok((fd, addr))
    }

    /// An AF_UNIX listener on a fresh abstract name.
    pub(crate) fn unix_listener(&mut self, kind: i32, backlog: i32) -> Got<(Fd, Addr)> {
        let (fd, addr) = self.unix_bound(kind, "listener")?;
        ok("listen", "unix", self.listen(fd, backlog))?;
        Ok((fd, addr))
    }

    /// An AF_UNIX connection made with connect and accept: client, server, listener.
    pub(crate) fn unix_connected(&mut self, kind: i32) -> Got<(Fd, Fd, Fd, Addr)> {
        let (listener, addr) = self.unix_listener(kind, 8)?;
        let client = ok("socket", "unix", self.socket(libc::AF_UNIX, kind | NB, 0))?;
        ok("connect", "unix", self.connect(client, &addr))?;
        let server = ok("accept", "unix", self.accept(listener))?;
        self.nonblocking(server);
        Ok((client, server, listener, addr))
    }

    /// Sends until the kernel would block; how many bytes that took.
    pub(crate) fn fill(&mut self, fd: Fd, chunk: usize) -> Got<usize> {
        let data = vec![0x5a; chunk];
        let mut total = 0;
        loop {
            match self.send(fd, &data, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
                n if n > 0 => total += n as usize,
                n if n == -i64::from(libc::EAGAIN) => return Ok(total),
                n => return fail("send", format!("{} after {total} bytes", ret_name(n))),
            }
            if total > 1 << 30 {
                return fail("send", "the buffer has no end".to_string());
            }
        }
    }

    /// Receives and drops `len` bytes, waiting for each; how many came.
    pub(crate) fn drain_all(&mut self, fd: Fd, len: usize) -> Got<usize> {
        let mut total = 0;
        while total < len {
            total += match self.recv_now(fd)?.len() {
                0 => break,
                n => n,
            };
        }
        Ok(total)
    }

    /// Receives and drops all there is; how many bytes that was.
    pub(crate) fn drain(&mut self, fd: Fd) -> Got<usize> {
        let mut buf = vec![0; 1 << 16];
        let mut total = 0;
        loop {
            match self.recv(fd, &mut buf, libc::MSG_DONTWAIT) {
                0 => return Ok(total),
                n if n > 0 => total += n as usize,
                n if n == -i64::from(libc::EAGAIN) => return Ok(total),
                n => return fail("recv", format!("{} after {total} bytes", ret_name(n))),
            }
        }
    }
}

/// A directory for pathname sockets, removed at the end.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    /// A new directory that only its owner may enter.
    pub(crate) fn new() -> Got<TempDir> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("swbd-{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(TempDir(path)),
                // Left by a process that was killed and had the same number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return fail("mkdir", error.to_string()),
            }
        }
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A number from /proc/sys, or `None` where it does not exist.
pub(crate) fn sysctl(path: &str, index: usize) -> Option<i64> {
    let text = std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?;
    text.split_whitespace().nth(index)?.parse().ok()
}
