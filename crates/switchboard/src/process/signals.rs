//! Signal-driven I/O: fcntl(2)'s part of it, and the signals that a process is sent.

use super::Process;
use super::open::Kind;
use crate::sigio::{Owner, Signal};
use crate::world::World;
use switchboard_abi::Errno;
use switchboard_abi::number::{O_ASYNC, O_NONBLOCK};
use switchboard_socket::SocketId;
use switchboard_syscall::{Call, Pending};

const O_RDWR: i32 = 2;
/// `O_PATH` of x86.
const O_PATH: i32 = 0x20_0000;
const O_APPEND: i32 = 0x400;
/// `O_DIRECT` and `O_NOATIME` of x86.
const O_DIRECT: i32 = 0x4000;
const O_NOATIME: i32 = 0x4_0000;

impl Process {
    /// fcntl(2) with `F_GETFL`: `O_RDWR`, and what `F_SETFL` has set.
    pub fn status_flags(&self, fd: i32) -> Result<i32, Errno> {
        let file = self.table().get(fd)?;
        if let Kind::Path(_) = file.kind {
            return Ok(O_PATH);
        }
        let mut flags = O_RDWR | file.kept_flags();
        if file.nonblocking() {
            flags |= O_NONBLOCK;
        }
        let world = self.host.net.lock();
        let tasks = &world.hosts[self.host.index].tasks;
        if file.socket().is_some_and(|id| tasks.is_async(id)) {
            flags |= O_ASYNC;
        }
        Ok(flags)
    }

    /// fcntl(2) with `F_SETFL`. Of the flags that it may change `O_NONBLOCK` and `O_ASYNC` mean something to a socket,
    /// `O_DIRECT` is `EINVAL`.
    pub fn set_status_flags(&self, fd: i32, flags: i32) -> Result<(), Errno> {
        let file = self.table().get(fd)?;
        // setfl(): a socket has no direct I/O.
        if flags & O_DIRECT != 0 {
            return Err(Errno::EINVAL);
        }
        file.set_nonblocking(flags & O_NONBLOCK != 0);
        file.keep_flags(flags & (O_APPEND | O_NOATIME));
        if let Some(id) = file.socket() {
            let mut world = self.host.net.lock();
            let tasks = &mut world.hosts[self.host.index].tasks;
            // Setting it again leaves the descriptor that is told (setfl()).
            let on = flags & O_ASYNC != 0;
            if on != tasks.is_async(id) {
                tasks.set_async(id, on.then_some(fd));
            }
        }
        Ok(())
    }

    /// fcntl(2) with `F_GETOWN_EX`: who gets the socket's SIGIO and SIGURG.
    pub fn owner(&self, fd: i32) -> Result<Owner, Errno> {
        let id = self.socket_of(fd)?;
        Ok(self.host.net.lock().hosts[self.host.index].tasks.owner(id))
    }

    /// fcntl(2) with `F_SETOWN_EX`: who gets the socket's SIGIO and SIGURG, as far as this process may
    /// signal them. `ESRCH` for who is not there. `F_SETOWN`'s number is [`Owner::from_number`]'s.
    pub fn set_owner(&self, fd: i32, owner: Owner) -> Result<(), Errno> {
        let id = self.socket_of(fd)?;
        let mut world = self.host.net.lock();
        let tasks = &mut world.hosts[self.host.index].tasks;
        tasks.set_owner(id, owner, &self.cred)
    }

    /// fcntl(2) with `F_GETSIG`
    pub fn io_signal(&self, fd: i32) -> Result<i32, Errno> {
        let id = self.socket_of(fd)?;
        Ok(self.host.net.lock().hosts[self.host.index].tasks.signal(id))
    }

    /// fcntl(2) with `F_SETSIG`: the signal that tells of I/O, and then what happened and where; 0 is
    /// SIGIO, which does not.
    pub fn set_io_signal(&self, fd: i32, signal: i32) -> Result<(), Errno> {
        let id = self.socket_of(fd)?;
        let mut world = self.host.net.lock();
        let tasks = &mut world.hosts[self.host.index].tasks;
        tasks.set_signal(id, signal)
    }

    /// getpgrp(2)
    pub fn group(&self) -> u32 {
        let world = self.host.net.lock();
        world.hosts[self.host.index].tasks.group(self.cred.pid)
    }

    /// setpgid(2)
    pub fn set_group(&self, group: u32) {
        let mut world = self.host.net.lock();
        let tasks = &mut world.hosts[self.host.index].tasks;
        tasks.set_group(self.cred.pid, group);
    }

    /// The next signal that the process was sent, by its own calls (SIGPIPE) or by sockets that it
    /// owns: what sigtimedwait(2) takes. Which are blocked or ignored, and what handlers do, is the
    /// embedder's business.
    pub fn next_signal(&self) -> Option<Signal> {
        let mut world = self.host.net.lock();
        world.hosts[self.host.index].tasks.take(self.cred.pid)
    }

    /// All signals that the process was sent, as a bit set; taking clears them.
    pub fn take_signals(&self) -> u64 {
        let mut set = 0;
        while let Some(signal) = self.next_signal() {
            set |= 1 << signal.number.min(63);
        }
        set
    }

    /// After a call, before what happened is told.
    pub(super) fn note(&self, world: &mut World, pending: &Pending, value: i64) {
        let host = &mut world.hosts[self.host.index];
        let Some(id) = pending.socket() else { return };
        match pending.call() {
            Call::Shutdown { .. } => host.quiet = Some(id),
            Call::Send { .. }
            | Call::Sendto { .. }
            | Call::Sendmsg { .. }
            | Call::Sendmmsg { .. }
            | Call::Write { .. }
            | Call::Writev { .. }
                if value == Errno::EAGAIN.to_ret() || pending.fell_short(value) =>
            {
                host.tasks.no_space(id);
            }
            _ => {}
        }
    }

    fn socket_of(&self, fd: i32) -> Result<SocketId, Errno> {
        self.table().file(fd)?.socket().ok_or(Errno::EINVAL)
    }
}
