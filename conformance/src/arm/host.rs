//! The host arm: the kernel this program runs on. Under `switchboard run --` it is the runner arm.

use super::shown::shown;
use crate::kernel::{Kernel, Ring, SocketCall};
use crate::registry::Needs;
use std::time::Duration;

/// The uid and gid of an ordinary user: `nobody`.
const NOBODY: u64 = 65534;

/// The kernel this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostKernel {
    /// Sockets here are placeholders.
    runner: bool,
}

impl HostKernel {
    /// What a program finds under `switchboard run --`. An error where it is not run there.
    ///
    /// The sign is what the arm is about: a fresh TCP socket hangs up on Linux and cannot under the
    /// runner.
    pub fn under_runner() -> Result<HostKernel, String> {
        let mut kernel = HostKernel::new();
        let kernel_dyn: &mut dyn Kernel = &mut kernel;
        let fd = kernel_dyn.socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let mask = kernel_dyn.poll_mask(fd);
        kernel_dyn.close(fd);
        if fd < 0 || mask & libc::POLLHUP != 0 {
            return Err(
                "not under a runner; start it as: switchboard run -- conformance --arm runner"
                    .to_string(),
            );
        }
        kernel.runner = true;
        Ok(kernel)
    }

    /// The kernel this program runs on, with SIGPIPE blocked so that it can be observed.
    pub fn new() -> HostKernel {
        // SAFETY: `set` is a local; blocking a signal changes nothing that Rust relies on.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGPIPE);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        }
        HostKernel { runner: false }
    }
}

/// `syscall(nr, ...)` with Linux's own return convention.
fn raw(nr: i64, a: [u64; 6]) -> i64 {
    // SAFETY: this is the purpose of the program: bodies pass addresses of buffers they own, or
    // addresses that the kernel must refuse. The kernel checks every one of them.
    let value = unsafe { libc::syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]) };
    if value == -1 {
        -i64::from(
            std::io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO),
        )
    } else {
        value
    }
}

#[cfg(target_arch = "x86_64")]
fn int80_raw(nr: u32, a: [u32; 6]) -> i64 {
    let result: i64;
    // SAFETY: the i386 entry reads eax, ebx, ecx, edx, esi, edi and ebp and returns in rax; rbx and
    // rbp cannot be named as operands, so they are saved around the call; older kernels clear
    // r8 to r11. Addresses are the bodies' own, as for `raw`.
    unsafe {
        std::arch::asm!(
            "push rbp",
            "push rbx",
            "mov ebx, r12d",
            "mov ebp, r13d",
            "int 0x80",
            "pop rbx",
            "pop rbp",
            inlateout("rax") u64::from(nr) => result,
            in("rcx") u64::from(a[1]),
            in("rdx") u64::from(a[2]),
            in("rsi") u64::from(a[3]),
            in("rdi") u64::from(a[4]),
            in("r12") u64::from(a[0]),
            in("r13") u64::from(a[5]),
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    // The i386 entry returns a 32-bit value.
    i64::from(result as i32)
}

/// Sets `lo` up, in a network namespace that was just made.
fn lo_up() -> bool {
    const SIOCSIFFLAGS: u64 = 0x8914;
    let inet = libc::AF_INET as u64;
    let fd = raw(
        libc::SYS_socket,
        [inet, libc::SOCK_DGRAM as u64, 0, 0, 0, 0],
    );
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&(libc::IFF_UP as i16).to_ne_bytes());
    let at = request.as_mut_ptr() as u64;
    let up = raw(libc::SYS_ioctl, [fd as u64, SIOCSIFFLAGS, at, 0, 0, 0]);
    raw(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
    up == 0
}

impl Kernel for HostKernel {
    fn name(&self) -> &'static str {
        if self.runner { "runner" } else { "host" }
    }

    fn syscall(&mut self, nr: i64, args: [u64; 6]) -> i64 {
        raw(nr, args)
    }

    fn socketcall(&mut self, call: u32, args: &[u64]) -> Option<i64> {
        let Some(call) = SocketCall::from_number(call) else {
            return Some(-i64::from(libc::EINVAL));
        };
        let (nr, count) = call.direct();
        let mut full = [0; 6];
        full[..count].copy_from_slice(args.get(..count)?);
        Some(raw(nr, full))
    }

    #[cfg(target_arch = "x86_64")]
    fn int80(&mut self, nr: u32, args: [u32; 6]) -> Option<i64> {
        Some(int80_raw(nr, args))
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn int80(&mut self, _nr: u32, _args: [u32; 6]) -> Option<i64> {
        None
    }

    fn poll(&mut self, fds: &mut [libc::pollfd], timeout_ms: i32) -> i64 {
        raw(
            libc::SYS_poll,
            [
                fds.as_mut_ptr() as u64,
                fds.len() as u64,
                timeout_ms as u64,
                0,
                0,
                0,
            ],
        )
    }

    fn shown(&mut self, fd: i64, mask: i16) -> i16 {
        if !self.runner {
            return mask;
        }
        let kernel: &mut dyn Kernel = self;
        match kernel.get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE) {
            Ok(libc::SOCK_STREAM | libc::SOCK_SEQPACKET) => shown(mask),
            // Datagram sockets show it all, and what is no socket has no placeholder.
            _ => mask,
        }
    }

    fn private_network(&mut self) -> bool {
        self.runner
            || (raw(
                libc::SYS_unshare,
                [libc::CLONE_NEWNET as u64, 0, 0, 0, 0, 0],
            ) == 0
                && lo_up())
    }

    fn ring(&mut self, fd: i64, len: usize) -> Result<Box<dyn Ring>, i64> {
        let how = [libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED].map(|flags| flags as u64);
        let args = [0, len as u64, how[0], how[1], fd as u64, 0];
        let at = raw(libc::SYS_mmap, args);
        if (-4095..0).contains(&at) {
            return Err(at);
        }
        Ok(Box::new(Mapping {
            at: at as *mut u8,
            len,
        }))
    }

    #[allow(clippy::disallowed_methods, reason = "the host's time is the real one")]
    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn another_thread(&self) -> Option<Box<dyn Kernel + Send>> {
        Some(Box::new(*self))
    }

    fn take_sigpipe(&mut self) -> Option<bool> {
        // SAFETY: locals only; SIGPIPE is blocked in this thread, so it waits to be taken here.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGPIPE);
            let none = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            Some(libc::sigtimedwait(&set, std::ptr::null_mut(), &none) == libc::SIGPIPE)
        }
    }

    fn take_signal(&mut self, signal: i32, wait: Duration) -> Option<crate::signal::Raised> {
        crate::signal::raised(signal, wait)
    }

    fn drop_privileges(&mut self) -> bool {
        // Raw calls: they change this thread alone, and the body's process has no other yet.
        raw(libc::SYS_geteuid, [0; 6]) != 0
            || (raw(libc::SYS_setgroups, [0; 6]) == 0
                && raw(libc::SYS_setresgid, [NOBODY, NOBODY, NOBODY, 0, 0, 0]) == 0
                && raw(libc::SYS_setresuid, [NOBODY, NOBODY, NOBODY, 0, 0, 0]) == 0)
    }

    fn privileged(&self) -> bool {
        raw(libc::SYS_geteuid, [0; 6]) == 0
    }

    fn descriptor_count(&self) -> Option<usize> {
        // The directory's own descriptor is among them.
        std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|dir| dir.count() - 1)
    }

    fn offers(&self) -> Needs {
        let mut all = Needs::all();
        if self.runner {
            // The run's host has `lo` only.
            all -= Needs::NIC;
        }
        if !self.privileged() {
            all -= Needs::ROOT;
        }
        // getpid is 20 in the i386 table; a kernel without that entry would deliver SIGSEGV, so ask
        // whether it was built with it before trying.
        if !std::path::Path::new("/proc/sys/abi/vsyscall32").exists() {
            all -= Needs::INT80;
        }
        all
    }
}

/// A ring that the kernel has mapped.
struct Mapping {
    at: *mut u8,
    len: usize,
}

impl Ring for Mapping {
    fn read(&self, at: usize, out: &mut [u8]) {
        assert!(at + out.len() <= self.len);
        for (index, byte) in out.iter_mut().enumerate() {
            // SAFETY: within the mapping, as was looked at; the kernel writes to it at any time, so volatile.
            *byte = unsafe { self.at.add(at + index).read_volatile() };
        }
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len);
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: as above.
            unsafe { self.at.add(at + index).write_volatile(*byte) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody has a pointer into any more.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}
