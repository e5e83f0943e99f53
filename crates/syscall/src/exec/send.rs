//! Sending one message.

use super::Target;
use crate::cmsg::{read_control, release};
use crate::effect::{Effect, Kind, Reply, SendEffect};
use crate::memory::{IoVec, import_buffer};
use crate::msghdr::{Header, IoVecs, Name, advance, read_name, total};
use crate::pending::{Env, Pending, Step, Work};
use crate::replay::Digest;
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::{Attempt, Blocked, Fail, SendControl, SendPlan, SendRequest, Skip};
use switchboard_wire::Payload;

/// `MSG_INTERNAL_SENDMSG_FLAGS`: flags the kernel keeps to itself, taken off silently.
const INTERNAL: i32 = MSG_SPLICE_PAGES | 0x1_0000 | MSG_SENDPAGE_DECRYPTED;

/// Bytes are queued in pieces of this size at most, so that a reader frees memory as it goes.
const PIECE: usize = 64 * 1024;

/// A message on its way from the caller's memory.
#[derive(Debug)]
pub(crate) struct SendWork {
    pub(crate) iov: IoVecs,
    pub(crate) len: usize,
    pub(crate) flags: i32,
    pub(crate) name: Option<Name>,
    pub(crate) control: SendControl,
    /// Bytes that took effect.
    pub(crate) done: usize,
    /// Of them.
    pub(crate) digest: Digest,
}

impl SendWork {
    pub(crate) fn new(iov: IoVecs, flags: i32) -> SendWork {
        let len = total(&iov);
        let flags = flags & !INTERNAL;
        SendWork {
            iov,
            len,
            flags,
            name: None,
            control: SendControl::default(),
            done: 0,
            digest: Digest::default(),
        }
    }

    /// Copies a msghdr and what it points to. `allowed`: the flags that msg_flags may add.
    pub(crate) fn from_header(
        env: &mut Env<'_, '_>,
        target: &Target,
        word: Word,
        at: u64,
        flags: i32,
        allowed: i32,
    ) -> Result<SendWork, Errno> {
        let (header, name) = Header::read(env.mem, word, at, true)?;
        let control = read_control(
            env.mem,
            env.files,
            word,
            (header.control, header.controllen),
            target.passes,
            env.host.stack().sysctl().optmem_max,
            env.cx.cred.ids.as_deref(),
        )?;
        let flags = flags | (header.flags & allowed);
        Ok(SendWork {
            name,
            control,
            ..SendWork::new(header.iov, flags)
        })
    }

    fn request(&self, len: usize, skip: Skip, last: bool) -> SendRequest<'_> {
        SendRequest {
            len,
            done: self.done,
            skip,
            flags: self.flags,
            name: self.name.as_ref().map(Name::as_slice),
            control: &self.control,
            last,
        }
    }

    /// What would be sent now, with its bytes. A stream stops before memory that cannot be read,
    /// in the steps in which Linux copies; a message is sent whole or not at all.
    pub(crate) fn plan(
        &self,
        env: &mut Env<'_, '_>,
        target: &Target,
        skip: Skip,
        last: bool,
    ) -> Result<Attempt<(SendPlan, Payload)>, Fail> {
        let mut len = self.len;
        loop {
            let request = self.request(len, skip, last);
            let plan = match env.host.attempt_send(env.cx, target.id, &request) {
                Ok(Attempt::Ready(plan)) => plan,
                Ok(Attempt::Blocked(_)) if last => return Err(Errno::EAGAIN.into()),
                Ok(Attempt::Blocked(blocked)) => return Ok(Attempt::Blocked(blocked)),
                Err(fail) if fail.after_copy && self.gather(env, self.len).1 < self.len => {
                    return Err(env.host.send_fault(target.id, None));
                }
                Err(fail) => return Err(fail),
            };
            let (data, got) = self.gather(env, plan.take);
            if got == plan.take {
                env.host.check_send(target.id, &plan, &data)?;
                return Ok(Attempt::Ready((plan, data)));
            }
            let got = if target.stream {
                got - got % copy_step(target.unix)
            } else {
                0
            };
            if got == 0 {
                return Err(env.host.send_fault(target.id, Some(&plan)));
            }
            len = self.done + got;
        }
    }

    fn gather(&self, env: &mut Env<'_, '_>, take: usize) -> (Payload, usize) {
        if self.done == 0 && take <= SMALL {
            let mut bytes = [0; SMALL];
            let got = env.mem.gather(&self.iov, &mut bytes[..take]);
            return (Payload::from(Bytes::copy_from_slice(&bytes[..got])), got);
        }
        let mut data = Payload::new();
        let iov = advance(&self.iov, self.done);
        for piece in env.mem.gather_pieces(&iov, take, PIECE) {
            data.push(Bytes::from(piece));
        }
        let got = data.len();
        (data, got)
    }
}

/// Messages up to this size are gathered on the stack first.
const SMALL: usize = 256;

/// How many bytes Linux copies at a time: a page fragment for TCP; for AF_UNIX an skb of a socket
/// with the default SO_SNDBUF (measured).
fn copy_step(unix: bool) -> usize {
    if unix { 36_544 } else { 32_768 }
}

impl Pending {
    /// __sys_sendto()
    #[allow(clippy::too_many_arguments)] // They are the system call's.
    pub(crate) fn sendto(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        buf: u64,
        len: u64,
        flags: i32,
        addr: u64,
        addrlen: i32,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let buffer = import_buffer(env.mem, buf, len)?;
            let _ = self.target(env, fd)?;
            let mut work = SendWork::new(one(buffer), flags);
            if addr != 0 {
                work.name = Some(read_name(env.mem, addr, addrlen)?);
            }
            self.work = Work::Send(work);
        }
        self.send_step(env)
    }

    /// __sys_sendmsg()
    pub(crate) fn sendmsg(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        msg: u64,
        flags: i32,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let flags = self.msg_flags(flags)?;
            let target = self.target(env, fd)?;
            let work = SendWork::from_header(env, &target, self.word, msg, flags, 0)?;
            self.work = Work::Send(work);
        }
        self.send_step(env)
    }

    /// `MSG_CMSG_COMPAT` is the kernel's own: refused, or there already for a 32-bit caller.
    pub(crate) fn msg_flags(&self, flags: i32) -> Result<i32, Errno> {
        if self.word == Word::Lp64 && flags & MSG_CMSG_COMPAT != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(flags & !MSG_CMSG_COMPAT)
    }

    /// Sends what `self.work` holds, as far as it goes.
    pub(crate) fn send_step(&mut self, env: &mut Env<'_, '_>) -> Result<Step, Errno> {
        let target = self.target.ok_or(Errno::EBADF)?;
        if let (Work::Send(work), Some((done, digest))) = (&mut self.work, self.resumed.take())
            && target.stream
            && done <= work.len
        {
            (work.done, work.digest) = (done, digest);
            release(env.files, &mut work.control.rights);
            if done == work.len {
                return Ok(Reply::happened(done as i64).into());
            }
        }
        loop {
            let (flags, left) = match &self.work {
                Work::Send(work) => (work.flags, work.len.saturating_sub(work.done)),
                _ => return Err(Errno::EINVAL),
            };
            let sure = env.host.send_is_ready(target.id, left, flags);
            let last = self.is_last_unless(sure, env, &target, flags);
            let Work::Send(work) = &mut self.work else {
                return Err(Errno::EINVAL);
            };
            let nosignal = work.flags & MSG_NOSIGNAL != 0;
            match work.plan(env, &target, Skip::default(), last) {
                Err(_) if work.done > 0 => return Ok(Reply::happened(work.done as i64).into()),
                Err(fail) => {
                    release(env.files, &mut work.control.rights);
                    return Ok(Reply::fail(target.id, fail, nosignal).into());
                }
                Ok(Attempt::Blocked(blocked)) => return Ok(Step::Wait(target.id, blocked)),
                Ok(Attempt::Ready((plan, data))) => {
                    let end = work.done + plan.take;
                    let told = work.done + plan.told();
                    if work.done == 0 && (end == work.len || last) {
                        let effect = SendEffect {
                            id: target.id,
                            plans: smallvec![(plan, data)],
                            rights: core::mem::take(&mut work.control.rights),
                            ended: None,
                            source: None,
                        };
                        let effect = Effect(Kind::Send(effect));
                        return Ok(Step::Done(Reply {
                            effect,
                            ..Reply::value(told as i64)
                        }));
                    }
                    data.iter().for_each(|chunk| work.digest.update(chunk));
                    env.host.commit_send(env.cx, target.id, plan, data);
                    // The first piece took them along.
                    work.control.rights.clear();
                    let stuck = end == work.done;
                    work.done = end;
                    if end == work.len || last || stuck {
                        return Ok(Reply::happened(end as i64).into());
                    }
                }
            }
        }
    }
}

/// An I/O vector of one element.
pub(crate) fn one(buffer: IoVec) -> IoVecs {
    SmallVec::from_elem(buffer, 1)
}

/// For callers that only need to know whether to wait.
pub(crate) type Planned = Result<Attempt<(SendPlan, Payload)>, Fail>;

/// The readiness a planned send waits for, if it waits.
pub(crate) fn waits(planned: &Planned) -> Option<Blocked> {
    match planned {
        Ok(Attempt::Blocked(blocked)) => Some(*blocked),
        _ => None,
    }
}
