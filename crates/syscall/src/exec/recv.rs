//! Receiving one message.

use super::Target;
use super::send::one;
use crate::cmsg::ControlWriter;
use crate::effect::{Effect, Kind, RecvEffect, Reply};
use crate::memory::import_buffer;
use crate::msghdr::{Header, IoVecs, total, write_name};
use crate::pending::{Env, Pending, Step, Work};
use smallvec::{SmallVec, smallvec};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_socket::{Attempt, Fail, Received, RecvProgress, RecvRequest, Skip};
use switchboard_wire::Payload;

/// A message on its way to the caller's memory.
#[derive(Debug)]
pub(crate) struct RecvWork {
    iov: IoVecs,
    len: usize,
    pub(crate) flags: i32,
    pub(crate) progress: RecvProgress,
    out: Out,
}

/// Where the sender's address goes, and all else.
#[derive(Debug)]
enum Out {
    Nothing,
    /// recvfrom(2)
    Name {
        addr: u64,
        addrlen: u64,
    },
    /// recvmsg(2)
    Header(Header),
}

/// A message that was shown to the caller.
pub(crate) struct Shown {
    /// The count, or the negated errno of what could not be written.
    pub(crate) value: i64,
    /// What to take off the queue; `None` when nothing is taken.
    pub(crate) received: Option<Received>,
    pub(crate) installed: SmallVec<[i32; 4]>,
    pub(crate) msg_flags: i32,
}

impl RecvWork {
    pub(crate) fn new(iov: IoVecs, flags: i32) -> RecvWork {
        let len = total(&iov);
        RecvWork {
            iov,
            len,
            flags,
            progress: RecvProgress::default(),
            out: Out::Nothing,
        }
    }

    pub(crate) fn from_header(header: Header, flags: i32) -> RecvWork {
        let iov = header.iov.clone();
        RecvWork {
            out: Out::Header(header),
            ..RecvWork::new(iov, flags)
        }
    }

    /// Receives no more than `len` bytes, wherever they go.
    pub(crate) fn limit(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn attempt(
        &mut self,
        env: &mut Env<'_, '_>,
        target: &Target,
        len: usize,
        flags: i32,
        skip: Skip,
        last: bool,
    ) -> Result<Attempt<Received>, Fail> {
        let progress = &mut self.progress;
        let mut request = RecvRequest {
            len,
            flags,
            skip,
            progress,
            last,
        };
        match env.host.attempt_recv(env.cx, target.id, &mut request)? {
            Attempt::Blocked(_) if last => Err(Errno::EAGAIN.into()),
            attempt => Ok(attempt),
        }
    }

    /// Shows the caller what would be received. Linux's order: the data, control messages, the
    /// name, `msg_flags`, `msg_controllen`. Data that cannot be written fails the call: a stream
    /// keeps what was not copied whole, a message is lost. What fails later fails the call with
    /// the data taken.
    pub(crate) fn show(
        &mut self,
        env: &mut Env<'_, '_>,
        target: &Target,
        skip: Skip,
        last: bool,
    ) -> Result<Attempt<Shown>, Fail> {
        let mut received = match self.attempt(env, target, self.len, self.flags, skip, last)? {
            Attempt::Ready(received) => received,
            Attempt::Blocked(blocked) => return Ok(Attempt::Blocked(blocked)),
        };
        let written = scatter(env, &self.iov, &received.data);
        if written < received.data.len() {
            let whole = if target.stream && !received.is_apart() {
                whole_chunks(&received.data, written)
            } else {
                0
            };
            if whole == 0 {
                return Ok(Attempt::Ready(Shown {
                    value: Errno::EFAULT.to_ret(),
                    // An out-of-band byte is lost, too.
                    received: if !target.stream || received.is_apart() {
                        Some(received.lost())
                    } else if self.progress.is_empty() {
                        received.faulted()
                    } else {
                        None
                    },
                    installed: SmallVec::new(),
                    msg_flags: 0,
                }));
            }
            let flags = self.flags & !MSG_WAITALL;
            received = match self.attempt(env, target, whole, flags, skip, true)? {
                Attempt::Ready(received) => received,
                Attempt::Blocked(_) => return Err(Errno::EFAULT.into()),
            };
        }
        let mut installed = SmallVec::new();
        let mut msg_flags = received.msg_flags;
        let told = match &self.out {
            Out::Nothing => Ok(()),
            Out::Name { addr, addrlen } => {
                write_name(env.mem, received.name.as_ref(), *addr, *addrlen)
            }
            Out::Header(header) => {
                msg_flags |= self.flags & MSG_CMSG_CLOEXEC;
                tell(env, header, &received, &mut msg_flags, &mut installed)
            }
        };
        let value = told.map_or_else(Errno::to_ret, |()| received.ret as i64);
        Ok(Attempt::Ready(Shown {
            value,
            received: Some(received),
            installed,
            msg_flags,
        }))
    }
}

/// What recvmsg(2) tells beside the data.
fn tell(
    env: &mut Env<'_, '_>,
    header: &Header,
    received: &Received,
    msg_flags: &mut i32,
    installed: &mut SmallVec<[i32; 4]>,
) -> Result<(), Errno> {
    let mut writer = ControlWriter {
        word: header.word,
        at: header.control,
        left: usize::try_from(header.controllen).unwrap_or(usize::MAX),
        flags: 0,
        used: 0,
        cloexec: *msg_flags & MSG_CMSG_CLOEXEC != 0,
        reader: env.cx.cred,
        installed,
    };
    writer.put_all(env.mem, env.files, &received.control);
    *msg_flags |= writer.flags;
    let used = writer.used;
    if header.name != 0 {
        write_name(
            env.mem,
            received.name.as_ref(),
            header.name,
            header.namelen_at(),
        )?;
    }
    header.write_results(env.mem, *msg_flags, used)?;
    Ok(())
}

fn scatter(env: &mut Env<'_, '_>, iov: &IoVecs, data: &Payload) -> usize {
    let chunks: SmallVec<[&[u8]; 8]> = data.iter().map(|chunk| &chunk[..]).collect();
    env.mem.scatter(iov, &chunks)
}

/// The bytes of the chunks that end within the first `n` bytes: Linux takes an skb whole or not.
fn whole_chunks(data: &Payload, n: usize) -> usize {
    let mut whole = 0;
    for chunk in data.iter() {
        if whole + chunk.len() > n {
            break;
        }
        whole += chunk.len();
    }
    whole
}

impl Pending {
    /// __sys_recvfrom()
    #[allow(clippy::too_many_arguments)] // They are the system call's.
    pub(crate) fn recvfrom(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        buf: u64,
        len: u64,
        flags: i32,
        addr: u64,
        addrlen: u64,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let buffer = import_buffer(env.mem, buf, len)?;
            let _ = self.target(env, fd)?;
            let mut work = RecvWork::new(one(buffer), flags);
            if addr != 0 {
                work.out = Out::Name { addr, addrlen };
            }
            self.work = Work::Recv(work);
        }
        self.recv_step(env)
    }

    /// __sys_recvmsg()
    pub(crate) fn recvmsg(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        msg: u64,
        flags: i32,
    ) -> Result<Step, Errno> {
        if matches!(self.work, Work::None) {
            let flags = self.msg_flags(flags)?;
            let _ = self.target(env, fd)?;
            let (header, _) = Header::read(env.mem, self.word, msg, false)?;
            self.work = Work::Recv(RecvWork::from_header(header, flags));
        }
        self.recv_step(env)
    }

    /// Receives what `self.work` asks for.
    pub(crate) fn recv_step(&mut self, env: &mut Env<'_, '_>) -> Result<Step, Errno> {
        let target = self.target.ok_or(Errno::EBADF)?;
        let (flags, len) = match &self.work {
            Work::Recv(work) => (work.flags, work.len),
            _ => return Err(Errno::EINVAL),
        };
        let sure = env.host.recv_is_ready(target.id, len, flags);
        let last = self.is_last_unless(sure, env, &target, flags);
        let Work::Recv(work) = &mut self.work else {
            return Err(Errno::EINVAL);
        };
        let shown = match work.show(env, &target, Skip::default(), last) {
            Ok(Attempt::Ready(shown)) => shown,
            Ok(Attempt::Blocked(blocked)) => return Ok(Step::Wait(target.id, blocked)),
            Err(fail) => {
                let progress = core::mem::take(&mut work.progress);
                env.host.abandon_recv(env.cx, target.id, progress);
                return Ok(Reply::fail(target.id, fail, true).into());
            }
        };
        let progress = core::mem::take(&mut work.progress);
        let Some(received) = shown.received else {
            env.host.abandon_recv(env.cx, target.id, progress);
            return Ok(Reply::value(shown.value).into());
        };
        let effect = Effect(Kind::Recv(RecvEffect {
            id: target.id,
            received: smallvec![received],
            installed: shown.installed,
            peek: work.flags & MSG_PEEK != 0,
            progress,
            kept: None,
            pipe: None,
        }));
        Ok(Step::Done(Reply {
            effect,
            ..Reply::value(shown.value)
        }))
    }
}
