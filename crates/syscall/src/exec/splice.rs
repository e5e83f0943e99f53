//! sendfile(2) into a socket, and from one into a pipe; splice(2) between a socket and a pipe.

use super::Target;
use crate::call::Offset;
use crate::effect::{Effect, Kind, RecvEffect, Reply, SendEffect, Source};
use crate::memory::{Memory, read_array, read_int, write_int};
use crate::pending::{Env, Pending, Step, Work};
use alloc::vec;
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_socket::{
    Attempt, PollMask, RecvProgress, RecvRequest, SendControl, SendRequest, Skip,
};
use switchboard_wire::Payload;

/// Bytes moved at a time: what a pipe holds by default, and what Linux's sendfile(2) moves.
const PIECE: usize = 64 * 1024;

/// `SPLICE_F_NONBLOCK`
const SPLICE_F_NONBLOCK: u32 = 2;
/// `SPLICE_F_MORE`
const SPLICE_F_MORE: u32 = 4;
/// `SPLICE_F_ALL`
const SPLICE_F_ALL: u32 = 0xf;

impl Pending {
    fn moved(&self) -> usize {
        if let Work::Moved(n) = self.work { n } else { 0 }
    }

    /// do_sendfile(): the input must be a file with offsets, unless the output is a pipe.
    pub(crate) fn sendfile(
        &mut self,
        env: &mut Env<'_, '_>,
        out_fd: i32,
        in_fd: i32,
        offset: Option<Offset>,
        count: u64,
    ) -> Result<Step, Errno> {
        let start = match offset {
            Some(offset) => Some(read_offset(env.mem, offset)?),
            None => None,
        };
        let input = Target::lookup(env, in_fd)?;
        // Neither a socket nor a pipe can be read at an offset.
        let unseekable = input.is_some() || env.files.is_pipe(in_fd);
        if unseekable {
            env.files.check_open_for(in_fd, false)?;
        }
        if unseekable && offset.is_some() {
            return Err(Errno::ESPIPE);
        }
        if count as i64 <= -1 || start.is_some_and(|start| start < 0) {
            return Err(Errno::EINVAL);
        }
        env.files.check_open_for(out_fd, true)?;
        if let Some(target) = input
            && env.files.is_pipe(out_fd)
        {
            // splice_file_to_pipe(): what cannot be sought goes to a pipe, and nowhere else.
            if count == 0 {
                return Ok(Reply::value(0).into());
            }
            let count = count.min(MAX_RW_COUNT as u64) as usize;
            let flags = pipe_flags(env, out_fd);
            self.target = Some(target);
            return self.socket_to_pipe(env, target, out_fd, count, flags);
        }
        if unseekable {
            return Err(Errno::EINVAL);
        }
        let target = match self.target(env, out_fd) {
            Err(Errno::ENOTSOCK) => return Err(Errno::EINVAL),
            target => target?,
        };
        let count = count.min(MAX_RW_COUNT as u64) as usize;
        let last = self.is_last(env, &target, 0);
        let start = start.map(|start| start as u64);
        loop {
            let done = self.moved();
            let want = (count - done).min(PIECE);
            let mut bytes = vec![0; want];
            let at = start.map(|start| start + done as u64);
            let n = if want == 0 {
                0
            } else {
                env.files.file_read(in_fd, at, &mut bytes)?
            };
            bytes.truncate(n);
            if n == 0 {
                return finish_sendfile(env, offset, start, done);
            }
            let more = done + n < count && n == want;
            let flags = if more { MSG_MORE } else { 0 };
            let (plan, data) = match self.plan_bytes(env, &target, bytes, flags, last) {
                Ok(Attempt::Ready(ready)) => ready,
                Ok(Attempt::Blocked(blocked)) => return Ok(Step::Wait(target.id, blocked)),
                Err(_) if done > 0 => return finish_sendfile(env, offset, start, done),
                Err(fail) => return Ok(Reply::fail(target.id, fail, false).into()),
            };
            let take = plan.take;
            if done == 0 && take == n && !more {
                if write_offset(env.mem, offset, start, take).is_err() {
                    return Err(Errno::EFAULT);
                }
                let source = Source::File {
                    fd: in_fd,
                    count: take,
                };
                let source = offset.is_none().then_some(source);
                return Ok(Step::Done(send_reply(&target, plan, data, source)));
            }
            env.host.commit_send(env.cx, target.id, plan, data);
            if offset.is_none() {
                env.files.file_advance(in_fd, take);
            }
            self.work = Work::Moved(done + take);
            if last && take < n {
                return finish_sendfile(env, offset, start, done + take);
            }
        }
    }

    /// do_splice(): one end is a pipe, the other a socket; offsets are for neither.
    pub(crate) fn splice(
        &mut self,
        env: &mut Env<'_, '_>,
        [(fd_in, off_in), (fd_out, off_out)]: [(i32, u64); 2],
        len: u64,
        flags: u32,
    ) -> Result<Step, Errno> {
        if len == 0 {
            return Ok(Reply::value(0).into());
        }
        if flags & !SPLICE_F_ALL != 0 {
            return Err(Errno::EINVAL);
        }
        let input = Target::lookup(env, fd_in)?;
        let output = Target::lookup(env, fd_out)?;
        match (input, output) {
            (Some(target), None) if env.files.is_pipe(fd_out) => {
                self.splice_offsets(env, off_out, off_in)?;
                env.files.check_open_for(fd_out, true)?;
                let len = verified(len)?;
                let flags = flags | pipe_flags(env, fd_out);
                self.target = Some(target);
                self.socket_to_pipe(env, target, fd_out, len, flags)
            }
            (None, Some(target)) if env.files.is_pipe(fd_in) => {
                self.splice_offsets(env, off_in, off_out)?;
                let len = verified(len)?;
                let flags = flags | pipe_flags(env, fd_in);
                self.target = Some(target);
                self.pipe_to_socket(env, target, fd_in, len, flags)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// `ESPIPE` for an offset into the pipe; `EINVAL` for one into the socket, once it was read.
    fn splice_offsets(&self, env: &mut Env<'_, '_>, pipe: u64, socket: u64) -> Result<(), Errno> {
        if pipe != 0 {
            return Err(Errno::ESPIPE);
        }
        if socket != 0 {
            let _ = read_array::<8>(env.mem, socket)?;
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn pipe_to_socket(
        &mut self,
        env: &mut Env<'_, '_>,
        target: Target,
        pipe: i32,
        len: usize,
        flags: u32,
    ) -> Result<Step, Errno> {
        let nonblock = flags & SPLICE_F_NONBLOCK != 0;
        // splice_to_socket(): of the two ends the flag means the pipe. It goes on until the pipe is empty.
        let last = self.is_last(env, &target, 0);
        let more = if flags & SPLICE_F_MORE != 0 {
            MSG_MORE
        } else {
            0
        };
        loop {
            let done = self.moved();
            let want = (len - done).min(PIECE);
            let mut bytes = vec![0; want];
            let n = match env.files.pipe_peek(pipe, &mut bytes) {
                _ if want == 0 => 0,
                Ok(n) => n,
                Err(_) if done > 0 => 0,
                Err(Errno::EAGAIN) if !nonblock && !self.last => {
                    return Ok(Step::WaitFile(target.id, pipe, PollMask::IN));
                }
                Err(errno) => return Err(errno),
            };
            if n == 0 {
                return Ok(moved_reply(done).into());
            }
            bytes.truncate(n);
            let (plan, data) = match self.plan_bytes(env, &target, bytes, more, last) {
                Ok(Attempt::Ready(ready)) => ready,
                Ok(Attempt::Blocked(blocked)) => return Ok(Step::Wait(target.id, blocked)),
                Err(_) if done > 0 => return Ok(moved_reply(done).into()),
                Err(fail) => return Ok(Reply::fail(target.id, fail, false).into()),
            };
            let take = plan.take;
            if done == 0 && take == len {
                let source = Source::Pipe {
                    fd: pipe,
                    count: take,
                };
                return Ok(Step::Done(send_reply(&target, plan, data, Some(source))));
            }
            env.host.commit_send(env.cx, target.id, plan, data);
            env.files.pipe_consume(pipe, take);
            self.work = Work::Moved(done + take);
            if last && take < n {
                return Ok(moved_reply(done + take).into());
            }
        }
    }

    fn socket_to_pipe(
        &mut self,
        env: &mut Env<'_, '_>,
        target: Target,
        pipe: i32,
        len: usize,
        flags: u32,
    ) -> Result<Step, Errno> {
        let nonblock = flags & SPLICE_F_NONBLOCK != 0;
        let room = env.files.pipe_room(pipe)?;
        if room == 0 {
            if nonblock || self.last {
                return Err(Errno::EAGAIN);
            }
            return Ok(Step::WaitFile(target.id, pipe, PollMask::OUT));
        }
        let last =
            self.is_last(env, &target, 0) || nonblock && env.host.hears_splice_nonblock(target.id);
        if env.host.splice_meets_urgent(target.id) {
            // Nobody waits: there is something in the queue.
            return match last {
                true => Err(Errno::EAGAIN),
                false => Ok(Reply::value(0).into()),
            };
        }
        let mut progress = RecvProgress::default();
        let mut request = RecvRequest {
            len: len.min(room),
            flags: 0,
            skip: Skip::default(),
            progress: &mut progress,
            last,
        };
        let received = match env.host.attempt_recv(env.cx, target.id, &mut request) {
            Ok(Attempt::Ready(received)) => received,
            Ok(Attempt::Blocked(_)) if last => return Err(Errno::EAGAIN),
            Ok(Attempt::Blocked(blocked)) => return Ok(Step::Wait(target.id, blocked)),
            Err(fail) => return Ok(Reply::fail(target.id, fail, false).into()),
        };
        let value = received.data.len() as i64;
        let data = received.data.clone();
        let effect = Effect(Kind::Recv(RecvEffect {
            id: target.id,
            received: smallvec![received],
            installed: SmallVec::new(),
            peek: false,
            progress,
            kept: None,
            pipe: Some((pipe, data)),
        }));
        Ok(Step::Done(Reply {
            effect,
            ..Reply::value(value)
        }))
    }

    fn plan_bytes(
        &self,
        env: &mut Env<'_, '_>,
        target: &Target,
        bytes: alloc::vec::Vec<u8>,
        flags: i32,
        last: bool,
    ) -> super::send::Planned {
        let control = SendControl::default();
        let request = SendRequest {
            len: bytes.len(),
            done: 0,
            skip: Skip::default(),
            flags,
            name: None,
            control: &control,
            last,
        };
        match env.host.attempt_send(env.cx, target.id, &request)? {
            Attempt::Ready(plan) => {
                let data = Payload::from(Bytes::from(bytes).slice(..plan.take));
                env.host.check_send(target.id, &plan, &data)?;
                Ok(Attempt::Ready((plan, data)))
            }
            Attempt::Blocked(_) if last => Err(Errno::EAGAIN.into()),
            Attempt::Blocked(blocked) => Ok(Attempt::Blocked(blocked)),
        }
    }
}

fn send_reply(
    target: &Target,
    plan: switchboard_socket::SendPlan,
    data: Payload,
    source: Option<Source>,
) -> Reply {
    let value = plan.take as i64;
    let effect = Effect(Kind::Send(SendEffect {
        id: target.id,
        plans: smallvec![(plan, data)],
        rights: alloc::vec::Vec::new(),
        ended: None,
        source,
    }));
    Reply {
        effect,
        ..Reply::value(value)
    }
}

/// rw_verify_area(): what is no length as a signed number is refused.
fn verified(len: u64) -> Result<usize, Errno> {
    if (len as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(len.min(MAX_RW_COUNT as u64) as usize)
}

/// do_splice(): `O_NONBLOCK` of the pipe is as good as the flag.
fn pipe_flags(env: &mut Env<'_, '_>, pipe: i32) -> u32 {
    match env.files.nonblocking(pipe) {
        true => SPLICE_F_NONBLOCK,
        false => 0,
    }
}

/// What ends a call whose bytes have gone already.
fn moved_reply(done: usize) -> Reply {
    if done > 0 {
        Reply::happened(done as i64)
    } else {
        Reply::value(0)
    }
}

fn finish_sendfile(
    env: &mut Env<'_, '_>,
    offset: Option<Offset>,
    start: Option<u64>,
    done: usize,
) -> Result<Step, Errno> {
    let written = write_offset(env.mem, offset, start, done);
    let value = written.map_or_else(Errno::to_ret, |()| done as i64);
    let reply = if done > 0 {
        Reply::happened(value)
    } else {
        Reply::value(value)
    };
    Ok(reply.into())
}

fn read_offset(mem: &mut dyn Memory, offset: Offset) -> Result<i64, Errno> {
    Ok(if offset.wide {
        i64::from_ne_bytes(read_array(mem, offset.addr)?)
    } else {
        i64::from(read_int(mem, offset.addr)?)
    })
}

fn write_offset(
    mem: &mut dyn Memory,
    offset: Option<Offset>,
    start: Option<u64>,
    moved: usize,
) -> Result<(), Errno> {
    let (Some(offset), Some(start)) = (offset, start) else {
        return Ok(());
    };
    let end = start + moved as u64;
    if offset.wide {
        mem.write(offset.addr, &end.to_ne_bytes())?;
    } else {
        write_int(mem, offset.addr, end as i32)?;
    }
    Ok(())
}
