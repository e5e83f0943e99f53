//! A call while it is carried out.
//!
//! # Theory of operation
//!
//! A call that cannot finish is parked, not blocked: [`Pending`] keeps what Linux's sleeping task
//! has on its stack (the copied msghdr, bytes sent so far, the open file) and is attempted again.
//!
//! # Limits
//!
//! A blocking stream send larger than the buffer takes effect piece by piece, as in Linux; so does
//! sendmmsg(2) when it has to wait between messages. A waiting recvmmsg(2) holds nothing: each
//! attempt looks at its messages anew.
//!
//! # Timeouts
//!
//! `SO_RCVTIMEO` and `SO_SNDTIMEO` count from the first attempt. recvmmsg(2)'s own timeout is only
//! looked at when a message has come, which its man page calls a bug.

use crate::call::Call;
use crate::effect::Reply;
use crate::exec::{Had, RecvWork, SendWork, Sendmmsg, Target};
use crate::files::Files;
use crate::memory::Memory;
use crate::msghdr::Name;
use crate::replay::Digest;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_engine::Instant;
use switchboard_socket::{Blocked, ConnectProgress, Cx, Host, PollMask, RecvProgress, SocketId};

/// The outcome of an attempt.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // A reply is made once per call, and handed on at once.
pub enum Progress {
    /// The call is over: deliver this, then commit its effect.
    Ready(Reply),
    /// The call waits.
    Blocked(Parked),
}

/// What a parked call waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parked {
    /// The socket the call is made on.
    pub socket: SocketId,
    /// Not the socket but this descriptor (a pipe of splice(2)) has to become ready, which only the
    /// embedder can see.
    pub file: Option<i32>,
    /// Attempt again when one of these bits fires (`ERR` and `HUP` count always).
    pub interest: PollMask,
    /// Attempt again when this has passed, too.
    pub deadline: Option<Instant>,
}

/// What a signal does to a parked call: signal(7).
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // A reply is made once per call, and handed on at once.
pub enum Interrupted {
    /// The call ends with this (a result that was there, a partial count, or `EINTR`).
    Reply(Reply),
    /// The call fails with `EINTR`, or is made again after the handler when it has `SA_RESTART`.
    Restart,
}

/// A call being carried out.
#[derive(Debug)]
pub struct Pending {
    pub(crate) word: Word,
    pub(crate) call: Call,
    pub(crate) target: Option<Target>,
    pub(crate) started: Option<Instant>,
    deadline: Option<Instant>,
    /// The time is up, or a signal came: finish with what can be had.
    pub(crate) last: bool,
    /// It is the time that is up.
    pub(crate) overdue: bool,
    /// `O_NONBLOCK` was set when it was first asked for.
    nonblocking: Option<bool>,
    pub(crate) work: Work,
    /// Bytes that the same call sent when it was made before.
    pub(crate) resumed: Option<(usize, Digest)>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One lives at a time, and boxing would cost every send.
pub(crate) enum Work {
    None,
    Connect(Name, ConnectProgress),
    Send(SendWork),
    Recv(RecvWork),
    Sendmmsg(Sendmmsg),
    /// recvmmsg(2).
    Recvmmsg {
        /// Messages that were there before the call had to wait.
        had: Had,
        /// What the first one has taken.
        first: RecvProgress,
        /// When the call was made.
        began: Instant,
    },
    /// sendfile(2), splice(2) into a socket: bytes moved.
    Moved(usize),
}

/// The world around an attempt.
pub(crate) struct Env<'e, 'c> {
    pub(crate) host: &'e mut Host,
    pub(crate) cx: &'e mut Cx<'c>,
    pub(crate) mem: &'e mut dyn Memory,
    pub(crate) files: &'e mut dyn Files,
}

/// One step of a call.
#[allow(clippy::large_enum_variant)] // A reply is made once per call, and handed on at once.
pub(crate) enum Step {
    Done(Reply),
    Wait(SocketId, Blocked),
    WaitFile(SocketId, i32, PollMask),
}

impl From<Reply> for Step {
    fn from(reply: Reply) -> Step {
        Step::Done(reply)
    }
}

impl Pending {
    /// A call that has not been attempted.
    pub fn new(call: Call, word: Word) -> Pending {
        Pending {
            word,
            call,
            target: None,
            started: None,
            deadline: None,
            last: false,
            overdue: false,
            nonblocking: None,
            work: Work::None,
            resumed: None,
        }
    }

    /// The call.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The caller's word size.
    pub fn word(&self) -> Word {
        self.word
    }

    /// The socket the call is made on, once it has been attempted.
    pub fn socket(&self) -> Option<SocketId> {
        self.target.as_ref().map(|target| target.id)
    }

    /// Carries the call as far as it goes now.
    pub fn attempt(
        &mut self,
        host: &mut Host,
        cx: &mut Cx<'_>,
        mem: &mut dyn Memory,
        files: &mut dyn Files,
    ) -> Progress {
        let now = cx.now;
        self.started.get_or_insert(now);
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.timed_out();
        }
        let mut env = Env {
            host,
            cx,
            mem,
            files,
        };
        let mut step = self.step(&mut env);
        if let (Ok(Step::Wait(..)), Some(target)) = (&step, self.target)
            && self.nonblocking.is_none()
            && !self.last
            && self.is_last(&mut env, &target, 0)
        {
            // It was sure not to wait, and does.
            self.last = true;
            step = self.step(&mut env);
        }
        let parked = match step {
            Ok(Step::Done(reply)) => return Progress::Ready(reply),
            Err(errno) => return Progress::Ready(Reply::error(errno)),
            Ok(Step::Wait(socket, blocked)) => {
                let started = self.started.unwrap_or(now);
                self.deadline = blocked.timeout.map(|timeout| started + timeout);
                let Blocked { interest, .. } = blocked;
                Parked {
                    socket,
                    file: None,
                    interest,
                    deadline: self.deadline,
                }
            }
            Ok(Step::WaitFile(socket, fd, interest)) => {
                self.deadline = None;
                Parked {
                    socket,
                    file: Some(fd),
                    interest,
                    deadline: None,
                }
            }
        };
        Progress::Blocked(parked)
    }

    /// The call's time is up (a driver that keeps deadlines by itself): the next attempt is the
    /// last.
    pub fn timed_out(&mut self) {
        (self.last, self.overdue) = (true, true);
    }

    /// A signal came for the caller of a parked call.
    pub fn interrupt(
        &mut self,
        host: &mut Host,
        cx: &mut Cx<'_>,
        mem: &mut dyn Memory,
        files: &mut dyn Files,
    ) -> Interrupted {
        let timed = self.deadline.is_some();
        self.last = true;
        let connecting = matches!(self.work, Work::Connect(..));
        match self.attempt(host, cx, mem, files) {
            Progress::Ready(reply) => {
                let waited = reply.value == Errno::EAGAIN.to_ret()
                    || (connecting
                        && (reply.value == Errno::EINPROGRESS.to_ret()
                            || reply.value == Errno::EALREADY.to_ret()));
                if !waited {
                    return Interrupted::Reply(reply);
                }
                // Nothing of the result is kept: neither error is a pending one.
                let _ = crate::effect::abandon(host, cx, files, reply.effect);
            }
            Progress::Blocked(_) => self.last = false,
        }
        self.give_up(host, cx, files);
        // sock_intr_errno(): a call with a timeout is not restarted.
        if timed {
            Interrupted::Reply(Reply::error(Errno::EINTR))
        } else {
            Interrupted::Restart
        }
    }

    /// Gives up a parked call (its caller is gone): what it held goes back.
    pub fn give_up(&mut self, host: &mut Host, cx: &mut Cx<'_>, files: &mut dyn Files) {
        match core::mem::replace(&mut self.work, Work::None) {
            Work::Send(mut send) => crate::cmsg::release(files, &mut send.control.rights),
            Work::Sendmmsg(mut batch) => {
                if let Some(send) = &mut batch.current {
                    crate::cmsg::release(files, &mut send.control.rights);
                }
            }
            Work::Recv(recv) => {
                if let Some(target) = &self.target {
                    host.abandon_recv(cx, target.id, recv.progress);
                }
            }
            Work::Recvmmsg { first, .. } => {
                if let Some(target) = &self.target {
                    host.abandon_recv(cx, target.id, first);
                }
            }
            Work::None | Work::Connect(..) | Work::Moved(_) => {}
        }
    }

    fn step(&mut self, env: &mut Env<'_, '_>) -> Result<Step, Errno> {
        match self.call {
            Call::Socket {
                domain,
                ty,
                protocol,
            } => self.socket_call(env, domain, ty, protocol),
            Call::Socketpair {
                domain,
                ty,
                protocol,
                sv,
            } => self.socketpair(env, domain, ty, protocol, sv),
            Call::Bind { fd, addr, len } => self.bind(env, fd, addr, len),
            Call::Connect { fd, addr, len } => self.connect(env, fd, addr, len),
            Call::Listen { fd, backlog } => self.listen(env, fd, backlog),
            Call::Accept {
                fd,
                addr,
                addrlen,
                flags,
            } => self.accept(env, fd, addr, addrlen, flags.unwrap_or(0)),
            Call::Getsockname { fd, addr, addrlen } => {
                self.name_call(env, fd, addr, addrlen, false)
            }
            Call::Getpeername { fd, addr, addrlen } => self.name_call(env, fd, addr, addrlen, true),
            Call::Send {
                fd,
                buf,
                len,
                flags,
            } => self.sendto(env, fd, buf, len, flags, 0, 0),
            Call::Sendto {
                fd,
                buf,
                len,
                flags,
                addr,
                addrlen,
            } => self.sendto(env, fd, buf, len, flags, addr, addrlen),
            Call::Recv {
                fd,
                buf,
                len,
                flags,
            } => self.recvfrom(env, fd, buf, len, flags, 0, 0),
            Call::Recvfrom {
                fd,
                buf,
                len,
                flags,
                addr,
                addrlen,
            } => self.recvfrom(env, fd, buf, len, flags, addr, addrlen),
            Call::Shutdown { fd, how } => self.shutdown(env, fd, how),
            Call::Setsockopt {
                fd,
                level,
                name,
                value,
                len,
            } => self.setsockopt(env, fd, level, name, value, len),
            Call::Getsockopt {
                fd,
                level,
                name,
                value,
                len,
            } => self.getsockopt(env, fd, level, name, value, len),
            Call::Sendmsg { fd, msg, flags } => self.sendmsg(env, fd, msg, flags),
            Call::Recvmsg { fd, msg, flags } => self.recvmsg(env, fd, msg, flags),
            Call::Sendmmsg {
                fd,
                vec,
                vlen,
                flags,
            } => self.sendmmsg(env, fd, vec, vlen, flags),
            Call::Recvmmsg {
                fd,
                vec,
                vlen,
                flags,
                timeout,
            } => self.recvmmsg(env, fd, vec, vlen, flags, timeout),
            Call::Read { fd, buf, len } => self.read(env, fd, buf, len),
            Call::Write { fd, buf, len } => self.write(env, fd, buf, len),
            Call::Readv {
                fd,
                iov,
                iovlen,
                offset,
                flags,
            } => self.readv(env, fd, iov, iovlen, offset, flags),
            Call::Writev {
                fd,
                iov,
                iovlen,
                offset,
                flags,
            } => self.writev(env, fd, iov, iovlen, offset, flags),
            Call::Ioctl { fd, cmd, arg } => self.ioctl(env, fd, cmd, arg),
            Call::Bpf { cmd, attr, size } => self.bpf(env, cmd, attr, size),
            Call::Sendfile {
                out_fd,
                in_fd,
                offset,
                count,
            } => self.sendfile(env, out_fd, in_fd, offset, count),
            Call::Splice {
                fd_in,
                off_in,
                fd_out,
                off_out,
                len,
                flags,
            } => self.splice(env, [(fd_in, off_in), (fd_out, off_out)], len, flags),
        }
    }

    /// The socket behind a descriptor: found at the first attempt and kept, as Linux keeps the
    /// file. `EBADF`, then `ENOTSOCK`.
    pub(crate) fn target(&mut self, env: &mut Env<'_, '_>, fd: i32) -> Result<Target, Errno> {
        if let Some(target) = self.target {
            return Ok(target);
        }
        let target = Target::lookup(env, fd)?.ok_or(Errno::ENOTSOCK)?;
        self.target = Some(target);
        Ok(target)
    }

    /// Whether this attempt may not wait.
    pub(crate) fn is_last(&mut self, env: &mut Env<'_, '_>, target: &Target, flags: i32) -> bool {
        self.last || flags & MSG_DONTWAIT != 0 || {
            let ask = || env.files.nonblocking(target.fd);
            *self.nonblocking.get_or_insert_with(ask)
        }
    }

    /// The same of an attempt that is `sure` not to wait: then a driver that would have to ask is not asked.
    pub(crate) fn is_last_unless(
        &mut self,
        sure: bool,
        env: &mut Env<'_, '_>,
        target: &Target,
        flags: i32,
    ) -> bool {
        if sure {
            self.last || flags & MSG_DONTWAIT != 0
        } else {
            self.is_last(env, target, flags)
        }
    }
}
