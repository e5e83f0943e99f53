//! The same kernel, reached through `socketcall(2)`.

use crate::kernel::{Kernel, SocketCall};
use crate::registry::Needs;
use std::time::Duration;

/// Turns each direct socket call into a `socketcall`, so that every body also tests that entry.
pub struct SocketcallEntry<K>(pub K);

/// The socketcall number of a direct call.
fn call_of(nr: i64, args: &[u64; 6]) -> Option<SocketCall> {
    use SocketCall as C;
    Some(match nr {
        libc::SYS_socket => C::Socket,
        libc::SYS_bind => C::Bind,
        libc::SYS_connect => C::Connect,
        libc::SYS_listen => C::Listen,
        libc::SYS_accept => C::Accept,
        libc::SYS_getsockname => C::Getsockname,
        libc::SYS_getpeername => C::Getpeername,
        libc::SYS_socketpair => C::Socketpair,
        // Without an address this is send and recv, which only socketcall numbers apart.
        libc::SYS_sendto if args[4] == 0 && args[5] == 0 => C::Send,
        libc::SYS_recvfrom if args[4] == 0 && args[5] == 0 => C::Recv,
        libc::SYS_sendto => C::Sendto,
        libc::SYS_recvfrom => C::Recvfrom,
        libc::SYS_shutdown => C::Shutdown,
        libc::SYS_setsockopt => C::Setsockopt,
        libc::SYS_getsockopt => C::Getsockopt,
        libc::SYS_sendmsg => C::Sendmsg,
        libc::SYS_recvmsg => C::Recvmsg,
        libc::SYS_accept4 => C::Accept4,
        libc::SYS_recvmmsg => C::Recvmmsg,
        libc::SYS_sendmmsg => C::Sendmmsg,
        _ => return None,
    })
}

impl<K: Kernel> Kernel for SocketcallEntry<K> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn syscall(&mut self, nr: i64, args: [u64; 6]) -> i64 {
        match call_of(nr, &args) {
            Some(call) => {
                let (_, count) = call.direct();
                match self.0.socketcall(call as u32, &args[..count]) {
                    Some(result) => result,
                    None => self.0.syscall(nr, args),
                }
            }
            None => self.0.syscall(nr, args),
        }
    }

    fn socketcall(&mut self, call: u32, args: &[u64]) -> Option<i64> {
        self.0.socketcall(call, args)
    }

    fn int80(&mut self, nr: u32, args: [u32; 6]) -> Option<i64> {
        self.0.int80(nr, args)
    }

    fn poll(&mut self, fds: &mut [libc::pollfd], timeout_ms: i32) -> i64 {
        self.0.poll(fds, timeout_ms)
    }

    fn shown(&mut self, fd: i64, mask: i16) -> i16 {
        self.0.shown(fd, mask)
    }

    fn tunable(&self, path: &str) -> Option<String> {
        self.0.tunable(path)
    }

    fn private_network(&mut self) -> bool {
        self.0.private_network()
    }

    fn ring(&mut self, fd: i64, len: usize) -> Result<Box<dyn crate::kernel::Ring>, i64> {
        self.0.ring(fd, len)
    }

    fn pause(&mut self, time: Duration) {
        self.0.pause(time);
    }

    fn another_thread(&self) -> Option<Box<dyn Kernel + Send>> {
        self.0.another_thread()
    }

    fn take_signal(
        &mut self,
        signal: i32,
        wait: std::time::Duration,
    ) -> Option<crate::signal::Raised> {
        self.0.take_signal(signal, wait)
    }

    fn take_sigpipe(&mut self) -> Option<bool> {
        self.0.take_sigpipe()
    }

    fn drop_privileges(&mut self) -> bool {
        self.0.drop_privileges()
    }

    fn privileged(&self) -> bool {
        self.0.privileged()
    }

    fn descriptor_count(&self) -> Option<usize> {
        self.0.descriptor_count()
    }

    fn offers(&self) -> Needs {
        self.0.offers()
    }
}
