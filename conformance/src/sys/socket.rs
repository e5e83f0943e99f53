//! The socket calls.

use super::Fd;
use crate::addr::Addr;
use crate::check::{Got, fail};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::names::ret_name;

/// Room for the largest address.
const STORAGE: usize = 128;

impl<'k> dyn Kernel + 'k {
    /// `socket(domain, type, protocol)`
    pub(crate) fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> i64 {
        self.call(
            libc::SYS_socket,
            &[domain as u64, kind as u64, protocol as u64],
        )
    }

    /// `socketpair(domain, type, protocol, sv)`
    pub(crate) fn socketpair_raw(&mut self, d: i32, t: i32, p: i32, sv: u64) -> i64 {
        self.call(libc::SYS_socketpair, &[d as u64, t as u64, p as u64, sv])
    }

    /// `socketpair` that must succeed.
    pub(crate) fn pair(&mut self, domain: i32, kind: i32) -> Got<(Fd, Fd)> {
        let mut sv = [-1i32; 2];
        let got = self.socketpair_raw(domain, kind, 0, sv.as_mut_ptr() as u64);
        if got != 0 {
            return fail("socketpair", ret_name(got));
        }
        Ok((i64::from(sv[0]), i64::from(sv[1])))
    }

    /// `bind(fd, addr, addrlen)`
    pub(crate) fn bind(&mut self, fd: Fd, addr: &Addr) -> i64 {
        self.bind_raw(fd, addr.ptr(), addr.len() as u64)
    }

    /// `bind` from any address.
    pub(crate) fn bind_raw(&mut self, fd: Fd, addr: u64, len: u64) -> i64 {
        self.call(libc::SYS_bind, &[fd as u64, addr, len])
    }

    /// `connect(fd, addr, addrlen)`
    pub(crate) fn connect(&mut self, fd: Fd, addr: &Addr) -> i64 {
        self.connect_raw(fd, addr.ptr(), addr.len() as u64)
    }

    /// `connect` from any address.
    pub(crate) fn connect_raw(&mut self, fd: Fd, addr: u64, len: u64) -> i64 {
        self.call(libc::SYS_connect, &[fd as u64, addr, len])
    }

    /// `listen(fd, backlog)`
    pub(crate) fn listen(&mut self, fd: Fd, backlog: i32) -> i64 {
        self.call(libc::SYS_listen, &[fd as u64, backlog as u64])
    }

    /// `accept(fd, NULL, NULL)`
    pub(crate) fn accept(&mut self, fd: Fd) -> i64 {
        self.accept_raw(fd, 0, 0)
    }

    /// `accept(fd, addr, addrlen)`
    pub(crate) fn accept_raw(&mut self, fd: Fd, addr: u64, len: u64) -> i64 {
        self.call(libc::SYS_accept, &[fd as u64, addr, len])
    }

    /// `accept4(fd, addr, addrlen, flags)`
    pub(crate) fn accept4_raw(&mut self, fd: Fd, addr: u64, len: u64, flags: i32) -> i64 {
        self.call(libc::SYS_accept4, &[fd as u64, addr, len, flags as u64])
    }

    /// `accept` with the peer's address.
    pub(crate) fn accept_from(&mut self, fd: Fd) -> (i64, Addr) {
        let mut storage = [0u8; STORAGE];
        let mut len = STORAGE as u32;
        let got = self.accept_raw(fd, storage.as_mut_ptr() as u64, &raw mut len as u64);
        (got, Addr(storage[..(len as usize).min(STORAGE)].to_vec()))
    }

    /// `getsockname(fd, addr, addrlen)`
    pub(crate) fn getsockname_raw(&mut self, fd: Fd, addr: u64, len: u64) -> i64 {
        self.call(libc::SYS_getsockname, &[fd as u64, addr, len])
    }

    /// `getpeername(fd, addr, addrlen)`
    pub(crate) fn getpeername_raw(&mut self, fd: Fd, addr: u64, len: u64) -> i64 {
        self.call(libc::SYS_getpeername, &[fd as u64, addr, len])
    }

    /// `getsockname` that must succeed.
    pub(crate) fn sockname(&mut self, fd: Fd) -> Got<Addr> {
        self.name_of(libc::SYS_getsockname, fd)
    }

    /// `getpeername` that must succeed.
    pub(crate) fn peername(&mut self, fd: Fd) -> Got<Addr> {
        self.name_of(libc::SYS_getpeername, fd)
    }

    fn name_of(&mut self, nr: i64, fd: Fd) -> Got<Addr> {
        let mut storage = [0xaau8; STORAGE];
        let mut len = STORAGE as u32;
        let got = self.call(
            nr,
            &[fd as u64, storage.as_mut_ptr() as u64, &raw mut len as u64],
        );
        if got != 0 || len as usize > STORAGE {
            let call = if nr == libc::SYS_getsockname {
                "getsockname"
            } else {
                "getpeername"
            };
            return fail(call, format!("{} with length {len}", ret_name(got)));
        }
        Ok(Addr(storage[..len as usize].to_vec()))
    }

    /// `shutdown(fd, how)`
    pub(crate) fn shutdown(&mut self, fd: Fd, how: i32) -> i64 {
        self.call(libc::SYS_shutdown, &[fd as u64, how as u64])
    }

    /// `send(fd, buf, len, flags)`
    pub(crate) fn send(&mut self, fd: Fd, data: &[u8], flags: i32) -> i64 {
        self.send_raw(fd, data.as_ptr() as u64, data.len() as u64, flags)
    }

    /// `send` from any address.
    pub(crate) fn send_raw(&mut self, fd: Fd, buf: u64, len: u64, flags: i32) -> i64 {
        self.sendto_raw(fd, buf, len, flags, 0, 0)
    }

    /// `sendto(fd, buf, len, flags, addr, addrlen)`
    pub(crate) fn sendto(&mut self, fd: Fd, data: &[u8], flags: i32, to: &Addr) -> i64 {
        let (buf, len) = (data.as_ptr() as u64, data.len() as u64);
        self.sendto_raw(fd, buf, len, flags, to.ptr(), to.len() as u64)
    }

    /// `sendto` from any addresses.
    pub(crate) fn sendto_raw(
        &mut self,
        fd: Fd,
        buf: u64,
        len: u64,
        flags: i32,
        addr: u64,
        addrlen: u64,
    ) -> i64 {
        self.call(
            libc::SYS_sendto,
            &[fd as u64, buf, len, flags as u64, addr, addrlen],
        )
    }

    /// `recv(fd, buf, len, flags)`
    pub(crate) fn recv(&mut self, fd: Fd, buf: &mut [u8], flags: i32) -> i64 {
        self.recv_raw(fd, buf.as_mut_ptr() as u64, buf.len() as u64, flags)
    }

    /// `recv` to any address.
    pub(crate) fn recv_raw(&mut self, fd: Fd, buf: u64, len: u64, flags: i32) -> i64 {
        self.recvfrom_raw(fd, buf, len, flags, 0, 0)
    }

    /// `recvfrom(fd, buf, len, flags, addr, addrlen)` to any addresses.
    pub(crate) fn recvfrom_raw(
        &mut self,
        fd: Fd,
        buf: u64,
        len: u64,
        flags: i32,
        addr: u64,
        addrlen: u64,
    ) -> i64 {
        self.call(
            libc::SYS_recvfrom,
            &[fd as u64, buf, len, flags as u64, addr, addrlen],
        )
    }

    /// `recvfrom` with the sender's address.
    pub(crate) fn recvfrom(&mut self, fd: Fd, buf: &mut [u8], flags: i32) -> (i64, Addr) {
        let mut storage = [0u8; STORAGE];
        let mut len = STORAGE as u32;
        let got = self.recvfrom_raw(
            fd,
            buf.as_mut_ptr() as u64,
            buf.len() as u64,
            flags,
            storage.as_mut_ptr() as u64,
            &raw mut len as u64,
        );
        (got, Addr(storage[..(len as usize).min(STORAGE)].to_vec()))
    }

    /// Up to 64 KiB that can be received without waiting; must succeed.
    pub(crate) fn recv_now(&mut self, fd: Fd) -> Got<Vec<u8>> {
        let mut buf = vec![0; 65536];
        let mut got = self.recv(fd, &mut buf, libc::MSG_DONTWAIT);
        for _ in 0..SETTLE_TRIES {
            if got != -i64::from(libc::EAGAIN) {
                break;
            }
            self.pause(SETTLE_STEP);
            got = self.recv(fd, &mut buf, libc::MSG_DONTWAIT);
        }
        if got < 0 {
            return fail("recv", ret_name(got));
        }
        buf.truncate(got as usize);
        Ok(buf)
    }

    /// `sendmsg(fd, msg, flags)`
    pub(crate) fn sendmsg(&mut self, fd: Fd, msg: &mut Msg, flags: i32) -> i64 {
        self.sendmsg_raw(fd, msg.ptr(), flags)
    }

    /// `sendmsg` with any address.
    pub(crate) fn sendmsg_raw(&mut self, fd: Fd, msg: u64, flags: i32) -> i64 {
        self.call(libc::SYS_sendmsg, &[fd as u64, msg, flags as u64])
    }

    /// `recvmsg(fd, msg, flags)`
    pub(crate) fn recvmsg(&mut self, fd: Fd, msg: &mut Msg, flags: i32) -> i64 {
        self.recvmsg_raw(fd, msg.ptr(), flags)
    }

    /// `recvmsg` with any address.
    pub(crate) fn recvmsg_raw(&mut self, fd: Fd, msg: u64, flags: i32) -> i64 {
        self.call(libc::SYS_recvmsg, &[fd as u64, msg, flags as u64])
    }

    /// `sendmmsg(fd, msgvec, vlen, flags)`
    pub(crate) fn sendmmsg_raw(&mut self, fd: Fd, vec: u64, vlen: u32, flags: i32) -> i64 {
        self.call(
            libc::SYS_sendmmsg,
            &[fd as u64, vec, u64::from(vlen), flags as u64],
        )
    }

    /// `recvmmsg(fd, msgvec, vlen, flags, timeout)`
    pub(crate) fn recvmmsg_raw(
        &mut self,
        fd: Fd,
        vec: u64,
        vlen: u32,
        flags: i32,
        timeout: u64,
    ) -> i64 {
        let vlen = u64::from(vlen);
        self.call(
            libc::SYS_recvmmsg,
            &[fd as u64, vec, vlen, flags as u64, timeout],
        )
    }
}

/// How long [`dyn Kernel::settled_mask`] waits for the network: the host's loopback is synchronous
/// unless a softirq is deferred to its thread.
pub(super) const SETTLE_TRIES: u32 = 100;
pub(super) const SETTLE_STEP: std::time::Duration = std::time::Duration::from_millis(2);
