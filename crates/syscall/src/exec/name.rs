//! Making, naming and connecting sockets.

use crate::effect::{Effect, Install, Installed, Kind, Reply};
use crate::files::FileRef;
use crate::memory::{probe, write_int};
use crate::msghdr::{read_name, write_name};
use crate::pending::{Env, Pending, Step, Work};
use smallvec::smallvec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_socket::{Attempt, ConnectProgress};

const TYPE_FLAGS: i32 = SOCK_CLOEXEC | SOCK_NONBLOCK;

fn install(flags: i32, what: Installed) -> Option<Install> {
    Some(Install {
        cloexec: flags & SOCK_CLOEXEC != 0,
        nonblocking: flags & SOCK_NONBLOCK != 0,
        what,
    })
}

impl Pending {
    /// __sys_socket(): flags, the socket, then room for its descriptor.
    pub(crate) fn socket_call(
        &mut self,
        env: &mut Env<'_, '_>,
        domain: i32,
        ty: i32,
        protocol: i32,
    ) -> Result<Step, Errno> {
        if ty & !SOCK_TYPE_MASK & !TYPE_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        let id = env
            .host
            .socket(env.cx, domain, ty & SOCK_TYPE_MASK, protocol)?;
        if let Err(errno) = env.files.reserve_last() {
            let _ = env.host.close(env.cx, id);
            return Err(errno);
        }
        Ok(Step::Done(Reply {
            install: install(ty, Installed::Socket(id)),
            effect: Effect(Kind::Created(smallvec![id])),
            ..Reply::value(0)
        }))
    }

    /// __sys_socketpair(): room for the descriptors and for their numbers comes first.
    pub(crate) fn socketpair(
        &mut self,
        env: &mut Env<'_, '_>,
        domain: i32,
        ty: i32,
        protocol: i32,
        sv: u64,
    ) -> Result<Step, Errno> {
        if ty & !SOCK_TYPE_MASK & !TYPE_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        env.files.reserve(2)?;
        probe(env.mem, sv)?;
        if let Err(fault) = probe(env.mem, sv.wrapping_add(4)) {
            // The first number is there by now: that of the lowest closed descriptor.
            let mut lowest = 0..i32::MAX;
            if let Some(fd) = lowest.find(|&fd| env.files.lookup(fd).is_err()) {
                let _ = write_int(env.mem, sv, fd);
            }
            return Err(fault.into());
        }
        let (a, b) = env
            .host
            .socketpair(env.cx, domain, ty & SOCK_TYPE_MASK, protocol)?;
        Ok(Step::Done(Reply {
            install: install(ty, Installed::Pair(a, b, sv)),
            effect: Effect(Kind::Created(smallvec![a, b])),
            ..Reply::value(0)
        }))
    }

    /// __sys_bind()
    pub(crate) fn bind(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        addr: u64,
        len: i32,
    ) -> Result<Step, Errno> {
        let target = self.target(env, fd)?;
        let name = read_name(env.mem, addr, len)?;
        if env.host.owner_counts(target.id)
            && let Some(uid) = env.files.changed_owner(fd)
        {
            env.host.set_owner(target.id, uid)?;
        }
        env.host.bind(env.cx, target.id, name.as_slice())?;
        Ok(Reply::happened(0).into())
    }

    /// __sys_connect(): the address is read before it is seen that the file is no socket.
    pub(crate) fn connect(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        addr: u64,
        len: i32,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            env.files.lookup(fd)?;
            let name = read_name(env.mem, addr, len)?;
            self.work = Work::Connect(name, ConnectProgress::default());
        }
        let target = self.target(env, fd)?;
        let last = self.is_last(env, &target, 0);
        let Work::Connect(name, progress) = &mut self.work else {
            return Err(Errno::EINVAL);
        };
        match env
            .host
            .attempt_connect(env.cx, target.id, name.as_slice(), progress, last)
        {
            Ok(Attempt::Ready(())) => Ok(Reply::happened(0).into()),
            Ok(Attempt::Blocked(_)) if last => Err(Errno::EINPROGRESS),
            Ok(Attempt::Blocked(blocked)) => Ok(Step::Wait(target.id, blocked)),
            Err(fail) if fail.errno == Errno::EINPROGRESS => {
                // The handshake is under way: that cannot be taken back.
                Ok(Reply::happened(fail.errno.to_ret()).into())
            }
            Err(fail) => Ok(Reply::fail(target.id, fail, true).into()),
        }
    }

    /// __sys_listen()
    pub(crate) fn listen(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        backlog: i32,
    ) -> Result<Step, Errno> {
        let target = self.target(env, fd)?;
        env.host.listen(env.cx, target.id, backlog)?;
        Ok(Reply::happened(0).into())
    }

    /// __sys_accept4(): the flags and room for the descriptor come before the kind of file; an
    /// address that cannot be told loses the connection.
    pub(crate) fn accept(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        addr: u64,
        addrlen: u64,
        flags: i32,
    ) -> Result<Step, Errno> {
        if self.target.is_none() {
            let file = env.files.lookup(fd)?;
            if flags & !TYPE_FLAGS != 0 {
                return Err(Errno::EINVAL);
            }
            env.files.reserve(1)?;
            if !matches!(file, FileRef::Socket(_)) {
                return Err(Errno::ENOTSOCK);
            }
        }
        let target = self.target(env, fd)?;
        let sure = env.host.accept_is_ready(target.id);
        let last = self.is_last_unless(sure, env, &target, 0);
        let plan = match env.host.attempt_accept(env.cx, target.id, last) {
            Ok(Attempt::Ready(plan)) => plan,
            Ok(Attempt::Blocked(_)) if last => return Err(Errno::EAGAIN),
            Ok(Attempt::Blocked(blocked)) => return Ok(Step::Wait(target.id, blocked)),
            Err(fail) => return Ok(Reply::fail(target.id, fail, true).into()),
        };
        if addr != 0
            && let Err(errno) = write_name(env.mem, Some(&plan.peer), addr, addrlen)
        {
            let effect = Effect(Kind::AcceptLost(plan));
            return Ok(Step::Done(Reply {
                effect,
                ..Reply::error(errno)
            }));
        }
        Ok(Step::Done(Reply {
            install: install(flags, Installed::Accepted),
            effect: Effect(Kind::Accept(plan)),
            ..Reply::value(0)
        }))
    }

    /// __sys_getsockname() and __sys_getpeername()
    pub(crate) fn name_call(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        addr: u64,
        addrlen: u64,
        peer: bool,
    ) -> Result<Step, Errno> {
        let id = self.target(env, fd)?.id;
        let name = if peer {
            env.host.getpeername(id)
        } else {
            env.host.getsockname(id)
        }?;
        write_name(env.mem, Some(&name), addr, addrlen)?;
        Ok(Reply::value(0).into())
    }

    /// __sys_shutdown()
    pub(crate) fn shutdown(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        how: i32,
    ) -> Result<Step, Errno> {
        let target = self.target(env, fd)?;
        env.host.shutdown(env.cx, target.id, how)?;
        Ok(Reply::happened(0).into())
    }
}
