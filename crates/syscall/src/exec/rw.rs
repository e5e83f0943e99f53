//! read(2), write(2) and their vector forms on a socket.

use super::Target;
use super::recv::RecvWork;
use super::send::{SendWork, one};
use crate::effect::Reply;
use crate::memory::{IoVec, Memory};
use crate::msghdr::{import_iovec, total};
use crate::pending::{Env, Pending, Step, Work};
use switchboard_abi::Errno;
use switchboard_abi::number::*;

/// `RWF_NOWAIT` of preadv2(2).
const RWF_NOWAIT: i32 = 0x8;
/// `RWF_NOSIGNAL` of pwritev2(2), since Linux 6.18.
const RWF_NOSIGNAL: i32 = 0x100;
/// `RWF_HIPRI`, `RWF_DSYNC`, `RWF_SYNC`, `RWF_APPEND` and `RWF_NOAPPEND`: allowed, and without a
/// meaning for a socket.
const RWF_NO_EFFECT: i32 = 0x1 | 0x2 | 0x4 | 0x10 | 0x20;

/// A file that is no socket is not the layer's to read or write.
const NOT_OURS: Errno = Errno::EINVAL;

/// The checks of vfs_read() and vfs_write(): the address before the sign of the length.
fn buffer(mem: &dyn Memory, addr: u64, len: u64) -> Result<IoVec, Errno> {
    let full = usize::try_from(len).map_err(|_| Errno::EFAULT)?;
    if !mem.access_ok(addr, full) {
        return Err(Errno::EFAULT);
    }
    if (len as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(IoVec {
        addr,
        len: full.min(MAX_RW_COUNT),
    })
}

impl Pending {
    fn rw_target(&mut self, env: &mut Env<'_, '_>, fd: i32) -> Result<Target, Errno> {
        match self.target(env, fd) {
            Err(Errno::ENOTSOCK) => Err(NOT_OURS),
            target => target,
        }
    }

    /// read(2): of no bytes it returns at once, without a look at the socket.
    pub(crate) fn read(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        buf: u64,
        len: u64,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let _ = self.rw_target(env, fd)?;
            let buffer = buffer(env.mem, buf, len)?;
            if buffer.len == 0 {
                return Ok(Reply::value(0).into());
            }
            self.work = Work::Recv(RecvWork::new(one(buffer), 0));
        }
        self.recv_step(env)
    }

    /// write(2): of no bytes it still sends an empty datagram.
    pub(crate) fn write(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        buf: u64,
        len: u64,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let target = self.rw_target(env, fd)?;
            let buffer = buffer(env.mem, buf, len)?;
            self.work = Work::Send(SendWork::new(one(buffer), write_flags(&target)));
        }
        self.send_step(env)
    }

    /// readv(2) and preadv2(2)
    pub(crate) fn readv(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        iov: u64,
        iovlen: u64,
        offset: Option<i64>,
        flags: i32,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let _ = self.vector_target(env, fd, offset)?;
            let iov = import_iovec(env.mem, self.word, iov, iovlen)?;
            if total(&iov) == 0 {
                return Ok(Reply::value(0).into());
            }
            // sock_read_iter() has no SIGPIPE to keep back.
            let flags = rw_flags(flags)? & !MSG_NOSIGNAL;
            self.work = Work::Recv(RecvWork::new(iov, flags));
        }
        self.recv_step(env)
    }

    /// writev(2) and pwritev2(2): unlike write(2), of no bytes it does nothing.
    pub(crate) fn writev(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        iov: u64,
        iovlen: u64,
        offset: Option<i64>,
        flags: i32,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let target = self.vector_target(env, fd, offset)?;
            let iov = import_iovec(env.mem, self.word, iov, iovlen)?;
            if total(&iov) == 0 {
                return Ok(Reply::value(0).into());
            }
            let flags = rw_flags(flags)? | write_flags(&target);
            self.work = Work::Send(SendWork::new(iov, flags));
        }
        self.send_step(env)
    }

    fn vector_target(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        offset: Option<i64>,
    ) -> Result<Target, Errno> {
        if offset.is_some_and(|offset| offset < 0) {
            return Err(Errno::EINVAL);
        }
        let target = self.rw_target(env, fd)?;
        // A socket has no offsets.
        if offset.is_some() {
            Err(Errno::ESPIPE)
        } else {
            Ok(target)
        }
    }
}

/// sock_write_iter(): write(2) ends a record of a seqpacket socket.
fn write_flags(target: &Target) -> i32 {
    if target.seqpacket { MSG_EOR } else { 0 }
}

/// kiocb_set_rw_flags()
fn rw_flags(flags: i32) -> Result<i32, Errno> {
    if flags & !(RWF_NO_EFFECT | RWF_NOWAIT | RWF_NOSIGNAL) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut msg = 0;
    if flags & RWF_NOWAIT != 0 {
        msg |= MSG_DONTWAIT;
    }
    if flags & RWF_NOSIGNAL != 0 {
        msg |= MSG_NOSIGNAL;
    }
    Ok(msg)
}
