//! The kernel under test, as a body sees it.

use crate::registry::Needs;
use std::time::Duration;

/// The call numbers of `socketcall(2)`, from linux/net.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum SocketCall {
    Socket = 1,
    Bind = 2,
    Connect = 3,
    Listen = 4,
    Accept = 5,
    Getsockname = 6,
    Getpeername = 7,
    Socketpair = 8,
    Send = 9,
    Recv = 10,
    Sendto = 11,
    Recvfrom = 12,
    Shutdown = 13,
    Setsockopt = 14,
    Getsockopt = 15,
    Sendmsg = 16,
    Recvmsg = 17,
    Accept4 = 18,
    Recvmmsg = 19,
    Sendmmsg = 20,
}

impl SocketCall {
    /// The x86_64 number of the direct call and how many arguments it takes. `send` and `recv` have
    /// no number of their own there: they are `sendto` and `recvfrom` without an address.
    pub fn direct(self) -> (i64, usize) {
        use SocketCall as C;
        match self {
            C::Socket => (libc::SYS_socket, 3),
            C::Bind => (libc::SYS_bind, 3),
            C::Connect => (libc::SYS_connect, 3),
            C::Listen => (libc::SYS_listen, 2),
            C::Accept => (libc::SYS_accept, 3),
            C::Getsockname => (libc::SYS_getsockname, 3),
            C::Getpeername => (libc::SYS_getpeername, 3),
            C::Socketpair => (libc::SYS_socketpair, 4),
            C::Send => (libc::SYS_sendto, 4),
            C::Recv => (libc::SYS_recvfrom, 4),
            C::Sendto => (libc::SYS_sendto, 6),
            C::Recvfrom => (libc::SYS_recvfrom, 6),
            C::Shutdown => (libc::SYS_shutdown, 2),
            C::Setsockopt => (libc::SYS_setsockopt, 5),
            C::Getsockopt => (libc::SYS_getsockopt, 5),
            C::Sendmsg => (libc::SYS_sendmsg, 3),
            C::Recvmsg => (libc::SYS_recvmsg, 3),
            C::Accept4 => (libc::SYS_accept4, 4),
            C::Recvmmsg => (libc::SYS_recvmmsg, 5),
            C::Sendmmsg => (libc::SYS_sendmmsg, 4),
        }
    }

    /// The call with this number, if there is one.
    pub fn from_number(number: u32) -> Option<SocketCall> {
        use SocketCall as C;
        const ALL: [SocketCall; 20] = [
            C::Socket,
            C::Bind,
            C::Connect,
            C::Listen,
            C::Accept,
            C::Getsockname,
            C::Getpeername,
            C::Socketpair,
            C::Send,
            C::Recv,
            C::Sendto,
            C::Recvfrom,
            C::Shutdown,
            C::Setsockopt,
            C::Getsockopt,
            C::Sendmsg,
            C::Recvmsg,
            C::Accept4,
            C::Recvmmsg,
            C::Sendmmsg,
        ];
        ALL.into_iter().find(|c| *c as u32 == number)
    }
}

/// The memory of a packet socket's ring, as the program has it.
pub trait Ring {
    /// Reads there.
    fn read(&self, at: usize, out: &mut [u8]);
    /// Writes there.
    fn write(&self, at: usize, bytes: &[u8]);
}

/// A kernel under test: one process on it, with its descriptors and credentials.
///
/// Addresses in arguments are addresses of this process, whichever arm it is.
pub trait Kernel {
    /// What to call this arm in reports.
    fn name(&self) -> &'static str;

    /// `syscall(nr, ...)` with x86_64 numbers; the result is the value or the negative errno.
    fn syscall(&mut self, nr: i64, args: [u64; 6]) -> i64;

    /// `socketcall(call, args)` with 64-bit arguments. x86_64 has no such call: the host arm makes
    /// the direct one, the library really decodes. `None`: this arm has no such entry.
    fn socketcall(&mut self, call: u32, args: &[u64]) -> Option<i64>;

    /// A system call of the i386 table (`int 0x80`) with ILP32 layouts; every address must lie below
    /// 4 GiB. `None`: this arm has no such entry.
    fn int80(&mut self, nr: u32, args: [u32; 6]) -> Option<i64>;

    /// `poll(fds, nfds, timeout)`: the number of descriptors with events, or the negative errno.
    fn poll(&mut self, fds: &mut [libc::pollfd], timeout_ms: i32) -> i64;

    /// What `poll` shows on this arm for a socket that has this mask: the same, but on the runner
    /// ([`crate::shown`]).
    fn shown(&mut self, fd: i64, mask: i16) -> i16 {
        let _ = fd;
        mask
    }

    /// What a file under /proc/sys says to a process of this arm.
    fn tunable(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/sys/{path}")).ok()
    }

    /// Moves the process to a network of its own, with nothing but `lo` and Linux's defaults, where it may change what it
    /// likes. The runner's is its run's alone already, but stays for the next body.
    fn private_network(&mut self) -> bool {
        false
    }

    /// mmap(2) of so many bytes of a packet socket, to read and write: its ring, or the negative errno.
    fn ring(&mut self, fd: i64, len: usize) -> Result<Box<dyn Ring>, i64>;

    /// Lets this much time pass for the kernel under test.
    fn pause(&mut self, time: Duration);

    /// The same process, for use by a second thread. `None`: blocking calls are not offered.
    fn another_thread(&self) -> Option<Box<dyn Kernel + Send>>;

    /// A signal that the calling process holds, if it comes within this time.
    fn take_signal(&mut self, signal: i32, wait: Duration) -> Option<crate::signal::Raised> {
        let _ = (signal, wait);
        None
    }

    /// Whether SIGPIPE was raised since the last time this was asked. `None`: this arm cannot tell.
    fn take_sigpipe(&mut self) -> Option<bool>;

    /// Becomes an ordinary user (65534) without capabilities, if it is not one yet.
    fn drop_privileges(&mut self) -> bool;

    /// Whether the process has root's capabilities now.
    fn privileged(&self) -> bool;

    /// How many descriptors the process holds. `None`: this arm cannot tell.
    fn descriptor_count(&self) -> Option<usize>;

    /// What bodies may need and this arm gives.
    fn offers(&self) -> Needs;
}
