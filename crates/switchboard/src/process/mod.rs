//! A process: descriptors, credentials, system calls by number.

pub mod epoll;
mod files;
mod open;
mod poll;
pub(crate) mod proc;
mod signals;
mod table;

pub use epoll::{EpollEvent, EpollOp};
pub use poll::PollFd;
pub use table::FdFlags;

pub(crate) use epoll::Epolls;
pub(crate) use open::{OpenFile, linger};

use crate::host::Host;
use crate::world::World;
use files::ProcessFiles;
use open::Kind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use switchboard_abi::number::SIGPIPE;
use switchboard_abi::sysno::{Arch, Sysno, lookup};
use switchboard_abi::{Errno, Word};
use switchboard_socket::{Caps, Cred, PollMask, RingMemory};
use switchboard_syscall::{
    Call, Installed, Memory, Pending, Progress, Reply, commit, decode, decode_socketcall,
};
use table::Table;

/// A process on a virtual host: a descriptor table, credentials, and system calls.
///
/// Calls block as Linux's do: other threads may use the same process meanwhile. When it is dropped
/// its descriptors are closed.
pub struct Process {
    pub(crate) host: Host,
    table: Mutex<Table>,
    cred: Arc<Cred>,
    arch: Arch,
}

/// Makes a [`Process`].
pub struct ProcessBuilder {
    host: Host,
    uid: u32,
    gid: u32,
    caps: Caps,
    arch: Arch,
    nofile: u64,
}

impl ProcessBuilder {
    pub(crate) fn new(host: Host) -> ProcessBuilder {
        let arch = Arch::X86_64;
        ProcessBuilder {
            host,
            uid: 0,
            gid: 0,
            caps: Caps::all(),
            arch,
            nofile: 1024,
        }
    }

    /// An ordinary user's process, without capabilities.
    pub fn user(mut self, uid: u32, gid: u32) -> ProcessBuilder {
        (self.uid, self.gid, self.caps) = (uid, gid, Caps::empty());
        self
    }

    /// The capabilities it has.
    pub fn caps(mut self, caps: Caps) -> ProcessBuilder {
        self.caps = caps;
        self
    }

    /// Whose system-call numbers and layouts it uses: x86-64's unless said.
    pub fn arch(mut self, arch: Arch) -> ProcessBuilder {
        self.arch = arch;
        self
    }

    /// `RLIMIT_NOFILE`: how many descriptors it may have; 1024 unless said.
    pub fn nofile(mut self, limit: u64) -> ProcessBuilder {
        self.nofile = limit;
        self
    }

    /// Makes the process.
    pub fn build(self) -> Process {
        let mut cred = Cred::new(0, self.uid, self.gid, self.caps);
        cred.nofile = self.nofile;
        register(&self.host, &mut cred, None);
        Process {
            table: Mutex::new(Table::new(self.nofile)),
            host: self.host,
            cred: Arc::new(cred),
            arch: self.arch,
        }
    }
}

/// Gives the process a number; without a group it makes its own.
fn register(host: &Host, cred: &mut Cred, group: Option<u32>) {
    let mut world = host.net.lock();
    let state = &mut world.hosts[host.index];
    cred.pid = state.next_pid;
    state.next_pid += 1;
    state
        .tasks
        .insert(cred.pid, group.unwrap_or(cred.pid), cred);
}

impl Process {
    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.cred.pid
    }

    /// Whose numbers and layouts it uses.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Makes the system call `nr` of the process's architecture, with these registers. Returns what
    /// the call returns: a value, or a negated errno. `ENOSYS` for what the socket layer does not
    /// answer.
    pub fn syscall(&self, nr: u32, args: [u64; 6], mem: &mut dyn Memory) -> i64 {
        if lookup(self.arch, nr) == Some(Sysno::Close) {
            return self
                .close(args[0] as i32)
                .map_or_else(Errno::to_ret, |()| 0);
        }
        if let Some(result) = self.proc_call(nr, args, mem) {
            return result.unwrap_or_else(Errno::to_ret);
        }
        match decode(self.arch, nr, args, mem) {
            Ok(Some(call)) => self.call(self.arch.word(), call, mem),
            Ok(None) => Errno::ENOSYS.to_ret(),
            Err(errno) => errno.to_ret(),
        }
    }

    /// socketcall(2): call number `call` with the argument block at `args`.
    pub fn socketcall(&self, call: i32, args: u64, mem: &mut dyn Memory) -> i64 {
        let word = self.arch.word();
        match decode_socketcall(word, call, args, mem) {
            Ok(call) => self.call(word, call, mem),
            Err(errno) => errno.to_ret(),
        }
    }

    /// Makes a call that is decoded already.
    pub fn call(&self, word: Word, call: Call, mem: &mut dyn Memory) -> i64 {
        // The call keeps its file as Linux's does, even when another thread closes the descriptor.
        let _file = call.fd().and_then(|fd| self.table().get(fd).ok());
        let net = &self.host.net;
        let index = self.host.index;
        let mut world = net.lock();
        let mut pending = Pending::new(call, word);
        let value = loop {
            let progress = {
                let mut parts = world.parts(index, &self.cred);
                let mut files = ProcessFiles {
                    process: self,
                    rights: parts.rights,
                    next_token: parts.next_token,
                    tasks: parts.tasks,
                    trash: parts.trash,
                };
                pending.attempt(parts.layer, &mut parts.cx, mem, &mut files)
            };
            let parked = match progress {
                Progress::Ready(reply) => break self.finish(&mut world, reply, mem),
                Progress::Blocked(parked) => parked,
            };
            // A process has no pipes, so that it is always the socket that is waited for.
            let sockets = [(parked.socket, parked.interest)];
            match net.wait(world, index, &sockets, parked.deadline) {
                Ok(locked) => world = locked,
                Err(errno) => {
                    // Virtual time, and nothing will ever happen: give the call up.
                    world = net.lock();
                    let mut parts = world.parts(index, &self.cred);
                    let mut files = ProcessFiles {
                        process: self,
                        rights: parts.rights,
                        next_token: parts.next_token,
                        tasks: parts.tasks,
                        trash: parts.trash,
                    };
                    pending.give_up(parts.layer, &mut parts.cx, &mut files);
                    break errno.to_ret();
                }
            }
        };
        if world.hosts[index].tasks.listens() {
            self.note(&mut world, &pending, value);
        }
        net.settle(&mut world, index);
        world.hosts[index].quiet = None;
        net.unlock(world);
        value
    }

    /// Delivers a reply and commits it, which is one step here.
    fn finish(&self, world: &mut World, reply: Reply, mem: &mut dyn Memory) -> i64 {
        let Reply {
            mut value,
            install,
            sigpipe,
            effect,
        } = reply;
        if sigpipe {
            world.hosts[self.host.index]
                .tasks
                .raise(self.cred.pid, SIGPIPE);
        }
        let accepted = {
            let mut parts = world.parts(self.host.index, &self.cred);
            let mut files = ProcessFiles {
                process: self,
                rights: parts.rights,
                next_token: parts.next_token,
                tasks: parts.tasks,
                trash: parts.trash,
            };
            commit(parts.layer, &mut parts.cx, &mut files, effect).accepted
        };
        let Some(install) = install else { return value };
        let mut table = self.table();
        let mut add = |id| {
            let file = OpenFile::new(&self.host, Kind::Socket(id), install.nonblocking);
            table.add(file, install.cloexec, 0)
        };
        let made = match install.what {
            Installed::Socket(id) => add(id).map(|fd| value = i64::from(fd)),
            Installed::Accepted => match accepted {
                Some(id) => add(id).map(|fd| value = i64::from(fd)),
                None => Ok(()),
            },
            Installed::Bpf(id) => {
                let file = OpenFile::new(&self.host, Kind::Bpf(id), false);
                table
                    .add(file, install.cloexec, 0)
                    .map(|fd| value = i64::from(fd))
            }
            Installed::Pair(a, b, at) => {
                add(a).and_then(|a| Ok((a, add(b)?))).and_then(|(a, b)| {
                    let mut numbers = [0; 8];
                    numbers[..4].copy_from_slice(&a.to_ne_bytes());
                    numbers[4..].copy_from_slice(&b.to_ne_bytes());
                    mem.write(at, &numbers).map_err(Errno::from)
                })
            }
        };
        drop(table);
        made.map_or_else(Errno::to_ret, |()| value)
    }

    /// What the set*id calls come to: an ordinary user, or root again, with these capabilities.
    pub fn set_user(&mut self, uid: u32, gid: u32, caps: Caps) {
        let mut cred = Cred::new(self.cred.pid, uid, gid, caps);
        cred.nofile = self.cred.nofile;
        self.host.net.lock().hosts[self.host.index]
            .tasks
            .credentials_changed(&cred);
        self.cred = Arc::new(cred);
    }

    /// setrlimit(2) with `RLIMIT_NOFILE`. Descriptors beyond it stay open.
    pub fn set_nofile(&mut self, limit: u64) {
        let mut cred = Cred::clone(&self.cred);
        cred.nofile = limit;
        self.cred = Arc::new(cred);
        self.table().set_limit(limit);
    }

    /// poll(2)'s mask of one descriptor now.
    pub fn readiness(&self, fd: i32) -> Result<PollMask, Errno> {
        let file = self.table().get(fd)?;
        let mut world = self.host.net.lock();
        Ok(file.poll(&mut world.hosts[self.host.index]))
    }

    /// mmap(2) of so many bytes of a packet socket: the memory of its ring (PACKET_RX_RING). ENODEV for another file, EINVAL for
    /// another length.
    pub fn ring(&self, fd: i32, len: usize) -> Result<Arc<dyn RingMemory>, Errno> {
        let file = self.table().get(fd)?;
        let id = file.socket().ok_or(Errno::ENODEV)?;
        let world = self.host.net.lock();
        match world.hosts[self.host.index].layer.ring_memory(id, len) {
            Err(Errno::ENOTSOCK) => Err(Errno::ENODEV),
            memory => memory,
        }
    }

    /// close(2)
    pub fn close(&self, fd: i32) -> Result<(), Errno> {
        let file = self.table().remove(fd)?;
        // Not under the table's lock: it may be the last reference, which closes the socket.
        open::close(file);
        open::collect(&self.host);
        Ok(())
    }

    /// dup(2)
    pub fn dup(&self, fd: i32) -> Result<i32, Errno> {
        self.dup_from(fd, 0, false)
    }

    /// fcntl(2) with `F_DUPFD` or `F_DUPFD_CLOEXEC`: the lowest free descriptor from `least` on.
    pub fn dup_from(&self, fd: i32, least: i32, cloexec: bool) -> Result<i32, Errno> {
        let mut table = self.table();
        let file = table.get(fd)?;
        table.add(file, cloexec, least)
    }

    /// dup2(2)
    pub fn dup2(&self, old: i32, new: i32) -> Result<i32, Errno> {
        let mut table = self.table();
        let file = table.get(old)?;
        if old == new {
            return Ok(new);
        }
        let replaced = table.set(new, file, false)?;
        drop(table);
        replaced.into_iter().for_each(open::close);
        open::collect(&self.host);
        Ok(new)
    }

    /// fcntl(2) with `F_GETFD`
    pub fn fd_flags(&self, fd: i32) -> Result<FdFlags, Errno> {
        self.table().flags(fd)
    }

    /// fcntl(2) with `F_SETFD`
    pub fn set_fd_flags(&self, fd: i32, flags: FdFlags) -> Result<(), Errno> {
        self.table().set_flags(fd, flags)
    }

    /// fork(2): a process with the same open files under the same numbers.
    pub fn fork(&self) -> Process {
        let mut cred = Cred::clone(&self.cred);
        register(&self.host, &mut cred, Some(self.group()));
        Process {
            host: self.host.clone(),
            table: Mutex::new(self.table().clone()),
            cred: Arc::new(cred),
            arch: self.arch,
        }
    }

    /// What execve(2) does to descriptors: those with `FD_CLOEXEC` are closed.
    pub fn exec(&self) {
        let closed = self.table().take_cloexec();
        closed.into_iter().for_each(open::close);
        open::collect(&self.host);
    }

    /// Which descriptors are open.
    pub fn descriptors(&self) -> Vec<i32> {
        self.table().open()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let files = self.table().take_all();
        drop(files);
        open::collect(&self.host);
        let mut world = self.host.net.lock();
        world.hosts[self.host.index].tasks.remove(self.cred.pid);
    }
}
