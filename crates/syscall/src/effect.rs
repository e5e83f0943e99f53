//! What a call returns, and what has still to take effect.

use crate::cmsg;
use crate::files::Files;
use alloc::vec::Vec;
use smallvec::SmallVec;
use switchboard_abi::Errno;
use switchboard_socket::{
    AcceptPlan, BpfId, ControlOut, Cx, Fail, Host, OptValue, Received, RecvProgress, Right,
    SendPlan, SocketId,
};
use switchboard_wire::Payload;

/// What a call returns to its caller.
#[derive(Debug)]
#[must_use = "a reply is delivered, then its effect committed; or the effect is abandoned"]
pub struct Reply {
    /// The system call's value: a count, or a negated errno. With `install`, the descriptor that
    /// the embedder makes stands in for it (but for socketpair(2), which returns 0).
    pub value: i64,
    /// Descriptors to make before the reply is delivered.
    pub install: Option<Install>,
    /// Linux sends `SIGPIPE` to the caller.
    pub sigpipe: bool,
    /// What makes it so.
    pub effect: Effect,
}

/// Descriptors that go with a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Install {
    /// `SOCK_CLOEXEC` was asked for.
    pub cloexec: bool,
    /// `SOCK_NONBLOCK` was asked for.
    pub nonblocking: bool,
    /// How many and of what.
    pub what: Installed,
}

/// Which sockets the descriptors of an [`Install`] are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Installed {
    /// socket(2): this one.
    Socket(SocketId),
    /// accept(2): the one that [`commit`] will name.
    Accepted,
    /// socketpair(2): these two; their numbers are written, as two `int`s, to this address, which
    /// was found writable.
    Pair(SocketId, SocketId, u64),
    /// bpf(2): a program or a map.
    Bpf(BpfId),
}

impl Reply {
    /// A value and nothing more to do.
    pub(crate) fn value(value: i64) -> Reply {
        Reply {
            value,
            install: None,
            sigpipe: false,
            effect: Effect(Kind::None),
        }
    }

    /// The result of a call whose effect has already taken place.
    pub(crate) fn happened(value: i64) -> Reply {
        Reply {
            effect: Effect(Kind::Happened),
            ..Reply::value(value)
        }
    }

    pub(crate) fn error(errno: Errno) -> Reply {
        Reply::value(errno.to_ret())
    }

    pub(crate) fn fail(id: SocketId, fail: Fail, nosignal: bool) -> Reply {
        let kind = if fail.has_effect() {
            Kind::Fail { id, fail }
        } else {
            Kind::None
        };
        Reply {
            value: fail.errno.to_ret(),
            install: None,
            sigpipe: fail.sigpipe && !nosignal,
            effect: Effect(kind),
        }
    }
}

/// What makes a reply so. [`commit`] it when the reply was delivered, [`abandon`] it when it could
/// not be; it must be one or the other, before any other call on the same host.
#[derive(Debug)]
#[must_use]
pub struct Effect(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    None,
    /// Nothing left to do, and no way back.
    Happened,
    Created(SmallVec<[SocketId; 2]>),
    CreatedBpf(BpfId),
    Accept(AcceptPlan),
    /// accept(2) found that the peer's address cannot be told: the connection is lost.
    AcceptLost(AcceptPlan),
    Send(SendEffect),
    Recv(RecvEffect),
    Option {
        id: SocketId,
        value: OptValue,
    },
    Fail {
        id: SocketId,
        fail: Fail,
    },
}

/// Messages planned and not queued.
#[derive(Debug)]
pub(crate) struct SendEffect {
    pub(crate) id: SocketId,
    pub(crate) plans: SmallVec<[(SendPlan, Payload); 1]>,
    /// Rights the plans carry, to release when they are not sent.
    pub(crate) rights: Vec<Right>,
    /// sendmmsg(2): what ended the call after some messages. Its count is told, and so the error is
    /// taken; a signal that goes with it is not sent.
    pub(crate) ended: Option<Fail>,
    /// Where the bytes came from, when that is not the caller's memory.
    pub(crate) source: Option<Source>,
}

/// Messages shown and not taken.
#[derive(Debug)]
pub(crate) struct RecvEffect {
    pub(crate) id: SocketId,
    pub(crate) received: SmallVec<[Received; 1]>,
    /// Descriptors made for received rights.
    pub(crate) installed: SmallVec<[i32; 4]>,
    /// `MSG_PEEK`: rights shown are still the layer's.
    pub(crate) peek: bool,
    /// What a waiting `MSG_WAITALL` had taken off the queue.
    pub(crate) progress: RecvProgress,
    /// recvmmsg(2): an error met after some messages, which the next call is told (but for `EAGAIN`).
    pub(crate) kept: Option<Fail>,
    /// splice(2) to a pipe: it and the bytes.
    pub(crate) pipe: Option<(i32, Payload)>,
}

/// A file or pipe that sendfile(2) or splice(2) read ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    File { fd: i32, count: usize },
    Pipe { fd: i32, count: usize },
}

/// What [`commit`] did that the embedder needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// accept(2): the socket behind the new descriptor.
    pub accepted: Option<SocketId>,
}

/// What [`abandon`] could do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abandoned {
    /// It is as if the call had never been made.
    Undone,
    /// The call's effect (a bind(2), a shutdown(2), part of a long send) took place when it was
    /// attempted: if the caller makes the same call again, give it the first reply.
    Happened,
}

/// Makes a delivered reply so.
pub fn commit(
    host: &mut Host,
    cx: &mut Cx<'_>,
    files: &mut dyn Files,
    effect: Effect,
) -> Committed {
    let mut committed = Committed::default();
    match effect.0 {
        Kind::None | Kind::Happened | Kind::Created(_) | Kind::CreatedBpf(_) => {}
        Kind::Accept(plan) => committed.accepted = Some(host.commit_accept(cx, plan)),
        Kind::AcceptLost(plan) => {
            let child = host.commit_accept(cx, plan);
            let _ = host.close(cx, child);
        }
        Kind::Send(send) => {
            for (plan, data) in send.plans {
                host.commit_send(cx, send.id, plan, data);
            }
            if let Some(fail) = send.ended {
                host.commit_fail(cx, send.id, fail);
            }
            match send.source {
                Some(Source::File { fd, count }) => files.file_advance(fd, count),
                Some(Source::Pipe { fd, count }) => files.pipe_consume(fd, count),
                None => {}
            }
        }
        Kind::Recv(recv) => {
            for received in recv.received {
                // Descriptors were made of the rights that fit; the references end here.
                for message in &received.control {
                    if let ControlOut::Rights(rights) = message
                        && !recv.peek
                    {
                        rights.iter().for_each(|right| files.release(right.token));
                    }
                }
                host.commit_recv(cx, recv.id, received);
            }
            if let Some(fail) = recv.kept {
                host.commit_fail(cx, recv.id, fail);
                if fail.errno != Errno::EAGAIN {
                    host.set_pending_error(recv.id, fail.errno);
                }
            }
            if let Some((fd, data)) = recv.pipe {
                let chunks: SmallVec<[&[u8]; 8]> = data.iter().map(|chunk| &chunk[..]).collect();
                files.pipe_write(fd, &chunks);
            }
        }
        Kind::Option { id, value } => host.commit_getsockopt(id, &value),
        Kind::Fail { id, fail } => host.commit_fail(cx, id, fail),
    }
    committed
}

/// Takes back what was prepared for a reply that could not be delivered.
pub fn abandon(
    host: &mut Host,
    cx: &mut Cx<'_>,
    files: &mut dyn Files,
    effect: Effect,
) -> Abandoned {
    match effect.0 {
        Kind::Happened => return Abandoned::Happened,
        Kind::None
        | Kind::Accept(_)
        | Kind::AcceptLost(_)
        | Kind::Option { .. }
        | Kind::Fail { .. } => {}
        Kind::CreatedBpf(id) => host.bpf_close(id),
        Kind::Created(sockets) => {
            for id in sockets {
                let _ = host.close(cx, id);
            }
        }
        Kind::Send(mut send) => cmsg::release(files, &mut send.rights),
        Kind::Recv(recv) => {
            recv.installed.iter().for_each(|fd| files.uninstall(*fd));
            host.abandon_recv(cx, recv.id, recv.progress);
        }
    }
    Abandoned::Undone
}
