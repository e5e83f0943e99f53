//! The library arm: a process on a virtual host inside this program.
//!
//! # Theory of operation
//! The guest's memory is this process's own, so that bodies pass the addresses of their buffers on every
//! arm. Bad addresses must give EFAULT and not a crash: every access goes through process_vm_readv and
//! process_vm_writev on this process, where the host's kernel does the checking.
//!
//! Time is virtual, and a pause lets it jump, but in tests with threads: there it is the machine's.
//! The host's tunables are taken over, as bodies read them in /proc/sys.
//!
//! # Limits
//! The library has sockets and epoll instances, and no other files.

use super::own_memory::OwnMemory;
use super::tunables;
use crate::kernel::{Kernel, Ring};
use crate::registry::Needs;
use crate::signal::Raised;
use std::sync::Arc;
use std::time::Duration;
use switchboard::Signal;
use switchboard::{
    Arch, Caps, EpollEvent, EpollOp, Errno, FdFlags, Host, Net, Owner, PollFd, Process,
};

/// The uid and gid of an ordinary user: `nobody`.
const NOBODY: u32 = 65534;

/// A process on a virtual host.
pub struct LibraryKernel {
    net: Net,
    host: Host,
    process: Arc<Process>,
    /// Not root: the uid and gid.
    user: Option<(u32, u32)>,
    threads: bool,
    /// Signals that were taken from the process and not asked for yet.
    signals: Vec<Signal>,
}

impl LibraryKernel {
    /// A new host with one process of root's. With `threads`, time is real and calls may block in several
    /// threads.
    pub fn new(threads: bool) -> LibraryKernel {
        let net = if threads {
            Net::real_time().expect("/dev/urandom and a thread")
        } else {
            Net::virtual_time(1)
        };
        let host = net
            .host("conformance")
            .sysctl(tunables::sysctl())
            .build()
            .expect("a host without addresses");
        if let Some(limit) = tunables::max_dgram_qlen() {
            host.with_layer(|layer| layer.set_unix_max_dgram_qlen(limit));
        }
        let process = Arc::new(host.process());
        LibraryKernel {
            net,
            host,
            process,
            user: None,
            threads,
            signals: Vec::new(),
        }
    }

    /// With the user of this program instead of root.
    pub fn as_caller(mut self) -> LibraryKernel {
        // SAFETY: they only ask.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        if uid != 0
            && let Some(process) = Arc::get_mut(&mut self.process)
        {
            process.set_user(uid, gid, Caps::empty());
            self.user = Some((uid, gid));
        }
        self
    }

    fn fcntl(&self, fd: i32, command: i32, arg: u64) -> Result<i64, Errno> {
        let p = &self.process;
        Ok(match command {
            libc::F_DUPFD => p.dup_from(fd, arg as i32, false)?.into(),
            libc::F_DUPFD_CLOEXEC => p.dup_from(fd, arg as i32, true)?.into(),
            libc::F_GETFD => i64::from(p.fd_flags(fd)?.cloexec),
            libc::F_SETFD => {
                let cloexec = arg & libc::FD_CLOEXEC as u64 != 0;
                p.set_fd_flags(fd, FdFlags { cloexec })?;
                0
            }
            libc::F_GETFL => p.status_flags(fd)?.into(),
            libc::F_SETFL => {
                p.set_status_flags(fd, arg as i32)?;
                0
            }
            libc::F_SETOWN => {
                p.set_owner(fd, Owner::from_number(arg as i32)?)?;
                0
            }
            libc::F_GETOWN => p.owner(fd)?.number().into(),
            F_SETSIG => {
                p.set_io_signal(fd, arg as i32)?;
                0
            }
            F_GETSIG => p.io_signal(fd)?.into(),
            F_SETOWN_EX => {
                p.set_owner(fd, owner_ex(arg)?)?;
                0
            }
            F_GETOWN_EX => {
                let (kind, who) = match p.owner(fd)? {
                    Owner::Thread(who) => (0i32, who),
                    Owner::Process(who) => (1, who),
                    Owner::Group(who) => (2, who),
                    Owner::None => (1, 0),
                };
                let bytes = [kind.to_ne_bytes(), who.to_ne_bytes()].concat();
                OwnMemory::new().put(arg, &bytes)?;
                0
            }
            _ => return Err(Errno::EINVAL),
        })
    }

    fn dup3(&self, old: i32, new: i32, flags: i32) -> Result<i64, Errno> {
        if old == new || flags & !libc::O_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let fd = self.process.dup2(old, new)?;
        let cloexec = flags & libc::O_CLOEXEC != 0;
        self.process.set_fd_flags(fd, FdFlags { cloexec })?;
        Ok(fd.into())
    }

    fn epoll_ctl(&self, [epfd, op, fd, at, ..]: [u64; 6]) -> Result<i64, Errno> {
        let mut event = EpollEvent::default();
        if op as i32 != libc::EPOLL_CTL_DEL {
            // Packed on x86-64: four bytes of events, eight of data.
            let bytes: [u8; 12] = OwnMemory::new().array(at)?;
            event.events = u32::from_ne_bytes(bytes[..4].try_into().unwrap_or_default());
            event.data = u64::from_ne_bytes(bytes[4..].try_into().unwrap_or_default());
        }
        let op = match op as i32 {
            libc::EPOLL_CTL_ADD => EpollOp::Add(event),
            libc::EPOLL_CTL_MOD => EpollOp::Modify(event),
            libc::EPOLL_CTL_DEL => EpollOp::Delete,
            _ => {
                self.process.fd_flags(epfd as i32)?;
                self.process.fd_flags(fd as i32)?;
                return Err(Errno::EINVAL);
            }
        };
        self.process.epoll_control(epfd as i32, op, fd as i32)?;
        Ok(0)
    }

    fn epoll_wait(&self, [epfd, at, room, timeout, ..]: [u64; 6]) -> Result<i64, Errno> {
        let mut events = vec![EpollEvent::default(); room.min(1024) as usize];
        let n = self
            .process
            .epoll_wait(epfd as i32, &mut events, duration(timeout as i32))?;
        let bytes: Vec<u8> = events[..n]
            .iter()
            .flat_map(|e| {
                e.events
                    .to_ne_bytes()
                    .into_iter()
                    .chain(e.data.to_ne_bytes())
            })
            .collect();
        OwnMemory::new().put(at, &bytes)?;
        Ok(n as i64)
    }

    fn unlink(&self, at: u64) -> Result<i64, Errno> {
        let mut path = Vec::new();
        let mut memory = OwnMemory::new();
        loop {
            let [byte] = memory.array(at + path.len() as u64)?;
            match byte {
                0 => break,
                byte => path.push(byte),
            }
        }
        if self.host.unlink(&path) {
            Ok(0)
        } else {
            Err(Errno::ENOENT)
        }
    }

    /// prlimit64(2) that sets this process's RLIMIT_NOFILE.
    fn prlimit(&mut self, [pid, resource, new, old, ..]: [u64; 6]) -> Result<i64, Errno> {
        if pid != 0 || resource != u64::from(libc::RLIMIT_NOFILE) || new == 0 || old != 0 {
            return Err(Errno::ENOSYS);
        }
        let soft: [u8; 8] = OwnMemory::new().array(new)?;
        let process = Arc::get_mut(&mut self.process).ok_or(Errno::EBUSY)?;
        process.set_nofile(u64::from_ne_bytes(soft));
        Ok(0)
    }

    /// Calls that the library offers as methods; `None`: it is one for the socket layer.
    fn method(&mut self, nr: i64, a: [u64; 6]) -> Option<Result<i64, Errno>> {
        let p = &self.process;
        Some(match nr {
            libc::SYS_dup => p.dup(a[0] as i32).map(i64::from),
            libc::SYS_dup2 => p.dup2(a[0] as i32, a[1] as i32).map(i64::from),
            libc::SYS_dup3 => self.dup3(a[0] as i32, a[1] as i32, a[2] as i32),
            libc::SYS_fcntl => self.fcntl(a[0] as i32, a[1] as i32, a[2]),
            libc::SYS_epoll_create1 => p
                .epoll_create(a[0] & libc::EPOLL_CLOEXEC as u64 != 0)
                .map(i64::from),
            libc::SYS_epoll_ctl => self.epoll_ctl(a),
            libc::SYS_epoll_wait => self.epoll_wait(a),
            libc::SYS_getgroups => Ok(0),
            libc::SYS_getpgrp => Ok(p.group().into()),
            libc::SYS_getpid => Ok(p.pid().into()),
            libc::SYS_getuid | libc::SYS_geteuid => Ok(self.user.map_or(0, |u| u.0.into())),
            libc::SYS_getgid => Ok(self.user.map_or(0, |u| u.1.into())),
            libc::SYS_unlink => self.unlink(a[0]),
            libc::SYS_prlimit64 => self.prlimit(a),
            _ => return None,
        })
    }
}

/// fcntl(2)'s numbers that libc lacks.
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;

/// `struct f_owner_ex`
fn owner_ex(at: u64) -> Result<Owner, Errno> {
    let bytes: [u8; 8] = OwnMemory::new().array(at)?;
    let (kind, who) = bytes.split_at(4);
    let int = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let (kind, who) = (int(kind), int(who));
    if !(0..=2).contains(&kind) {
        return Err(Errno::EINVAL);
    }
    if who < 0 {
        return Err(Errno::ESRCH);
    }
    Ok(match (kind, who as u32) {
        (_, 0) => Owner::None,
        (0, who) => Owner::Thread(who),
        (1, who) => Owner::Process(who),
        (_, who) => Owner::Group(who),
    })
}

/// A timeout as poll(2) has it.
fn duration(ms: i32) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

impl Kernel for LibraryKernel {
    fn name(&self) -> &'static str {
        "library"
    }

    fn syscall(&mut self, nr: i64, args: [u64; 6]) -> i64 {
        match self.method(nr, args) {
            Some(result) => result.unwrap_or_else(Errno::to_ret),
            None => self.process.syscall(nr as u32, args, &mut OwnMemory::new()),
        }
    }

    fn socketcall(&mut self, call: u32, args: &[u64]) -> Option<i64> {
        // The block ends where its arguments do, and what follows may not be read: so it is put there.
        let block: Vec<u64> = args.to_vec();
        let at = block.as_ptr() as u64;
        Some(
            self.process
                .socketcall(call as i32, at, &mut OwnMemory::new()),
        )
    }

    fn int80(&mut self, nr: u32, args: [u32; 6]) -> Option<i64> {
        let mut memory = OwnMemory::new();
        let args = args.map(u64::from);
        let call = switchboard_syscall::decode(Arch::I386, nr, args, &mut memory);
        Some(match call {
            Ok(Some(call)) => self.process.call(Arch::I386.word(), call, &mut memory),
            Ok(None) => Errno::ENOSYS.to_ret(),
            Err(errno) => errno.to_ret(),
        })
    }

    fn poll(&mut self, fds: &mut [libc::pollfd], timeout_ms: i32) -> i64 {
        let mut asked: Vec<PollFd> = fds
            .iter()
            .map(|fd| PollFd {
                fd: fd.fd,
                events: fd.events as u16,
                revents: 0,
            })
            .collect();
        match self.process.poll(&mut asked, duration(timeout_ms)) {
            Ok(n) => {
                for (fd, got) in fds.iter_mut().zip(asked) {
                    fd.revents = got.revents as i16;
                }
                n as i64
            }
            Err(errno) => errno.to_ret(),
        }
    }

    fn tunable(&self, path: &str) -> Option<String> {
        self.host.with_layer(|layer| layer.sysctl(path)).ok()
    }

    fn private_network(&mut self) -> bool {
        // Another host, without the machine's tunables.
        let name = "private";
        let Ok(host) = self.net.host(name).build() else {
            return false;
        };
        self.process = Arc::new(host.process());
        self.host = host;
        true
    }

    fn ring(&mut self, fd: i64, len: usize) -> Result<Box<dyn Ring>, i64> {
        match self.process.ring(fd as i32, len) {
            Ok(memory) => Ok(Box::new(Shared(memory))),
            Err(errno) => Err(errno.to_ret()),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "with threads, time is real")]
    fn pause(&mut self, time: Duration) {
        if self.threads {
            std::thread::sleep(time);
        } else {
            self.net.advance(time);
        }
    }

    fn another_thread(&self) -> Option<Box<dyn Kernel + Send>> {
        self.threads.then(|| {
            Box::new(LibraryKernel {
                net: self.net.clone(),
                host: self.host.clone(),
                process: self.process.clone(),
                user: self.user,
                threads: true,
                signals: Vec::new(),
            }) as Box<dyn Kernel + Send>
        })
    }

    fn take_sigpipe(&mut self) -> Option<bool> {
        Some(self.process.take_signals() & 1 << libc::SIGPIPE != 0)
    }

    fn take_signal(&mut self, signal: i32, wait: Duration) -> Option<Raised> {
        // Those of other numbers stay; nothing comes later but what time brings.
        for attempt in 0..2 {
            while let Some(next) = self.process.next_signal() {
                self.signals.push(next);
            }
            if let Some(at) = self.signals.iter().position(|s| s.number == signal) {
                let Signal { code, band, fd, .. } = self.signals.remove(at);
                return Some(Raised { code, band, fd });
            }
            if attempt == 0 {
                self.pause(wait.min(Duration::from_millis(20)));
            }
        }
        None
    }

    fn drop_privileges(&mut self) -> bool {
        let Some(process) = Arc::get_mut(&mut self.process) else {
            return false;
        };
        process.set_user(NOBODY, NOBODY, Caps::empty());
        self.user = Some((NOBODY, NOBODY));
        true
    }

    fn privileged(&self) -> bool {
        self.user.is_none()
    }

    fn descriptor_count(&self) -> Option<usize> {
        Some(self.process.descriptors().len())
    }

    fn offers(&self) -> Needs {
        Needs::all() - (Needs::FILES | Needs::INODES | Needs::NIC | Needs::SIGNALS)
    }
}

/// A ring's memory, shared with the library.
struct Shared(Arc<dyn switchboard::RingMemory>);

impl Ring for Shared {
    fn read(&self, at: usize, out: &mut [u8]) {
        self.0.read(at, out);
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        self.0.write(at, bytes);
    }
}
