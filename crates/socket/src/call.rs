//! What a call gets and gives: its context, its outcome, its wake-ups.

use crate::cred::Cred;
use crate::mask::PollMask;
use crate::table::SocketId;
use crate::unix::paths::Paths;
use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{Instant, TcpId};

/// The circumstances of a call: time, who calls, and how paths resolve for them.
pub struct Cx<'a> {
    /// Monotonic time since the host booted.
    pub now: Instant,
    /// Wall-clock time since the epoch, for receive timestamps.
    pub realtime: Duration,
    /// The calling task's credentials.
    pub cred: &'a Arc<Cred>,
    /// How AF_UNIX pathnames resolve for the calling task.
    pub paths: &'a mut dyn Paths,
}

/// The outcome of an attempt that did not fail.
#[derive(Debug)]
pub enum Attempt<T> {
    /// The call can finish now, with this.
    Ready(T),
    /// The call has to wait.
    Blocked(Blocked),
}

/// What a blocked call waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocked {
    /// Attempt again when an event of the socket has one of these bits (`ERR` and `HUP` count
    /// always, as in poll(2)).
    pub interest: PollMask,
    /// `SO_RCVTIMEO` or `SO_SNDTIMEO`, counted from the first attempt. When it has passed, attempt
    /// once more with `last` set. A signal makes a call with a timeout fail with `EINTR` whatever
    /// `SA_RESTART` says (signal(7)).
    pub timeout: Option<Duration>,
}

/// A wake-up, as Linux's wait queues carry it: the bits that triggered it, not the whole mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Whose.
    pub socket: SocketId,
    /// Which bits changed or fired again.
    pub wake: PollMask,
}

/// Why a call failed, and what goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fail {
    /// The error number.
    pub errno: Errno,
    /// Whether Linux sends `SIGPIPE` with it (unless the call said `MSG_NOSIGNAL`).
    pub sigpipe: bool,
    /// Linux finds the error after it has copied the message: a fault in it comes first.
    pub after_copy: bool,
    /// What delivering the error does: see [`Host::commit_fail`](crate::Host::commit_fail).
    pub(crate) effect: FailEffect,
}

/// What an error that was delivered leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum FailEffect {
    #[default]
    Nothing,
    /// It is the socket's pending error (`SO_ERROR`), which is told once.
    Pending,
    /// A TCP reader found nothing and has stepped over these bytes: an urgent one. With `pending`
    /// the error is the socket's as well.
    Skipped { bytes: usize, pending: bool },
    /// The same of an AF_UNIX stream and its out-of-band byte.
    UnixSkipped { pending: bool },
    /// A datagram socket has lost its peer, which has closed.
    UnixDetached,
    /// A stream's writer has met the end that it waited for.
    UnixWaited,
    /// A message was made, and went nowhere.
    UnixUnsent,
    /// A datagram that would have been held back was not made: its addresses stay (inet->cork.fl). With `pending` the
    /// error is the socket's.
    UdpStrayed {
        to: SocketAddrV4,
        from: Option<Ipv4Addr>,
        pending: bool,
    },
    /// A connected socket's datagram was not made, and its way found all the same (sk_dst_set()).
    UdpFoundWay { pending: bool },
    /// A batch of datagrams was refused, with what was held back for it.
    UdpDropped,
    /// A packet socket's frame was taken, and there was no room for what goes before it.
    PacketLost,
    /// A message for `dst` is longer than the path takes, which the error queue is told with `mtu`.
    TooBig {
        dst: SocketAddr,
        mtu: u32,
        /// recvmsg(2) tells it too (`IPV6_RECVPATHMTU`).
        noted: bool,
    },
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Fail {
        Fail {
            errno,
            sigpipe: false,
            after_copy: false,
            effect: FailEffect::Nothing,
        }
    }
}

impl Fail {
    /// `EPIPE` with its signal.
    pub(crate) const PIPE: Fail = Fail {
        errno: Errno::EPIPE,
        sigpipe: true,
        after_copy: false,
        effect: FailEffect::Nothing,
    };

    /// The socket's pending error (`SO_ERROR`): delivering it clears it.
    pub fn pending(errno: Errno) -> Fail {
        Fail::with(errno, FailEffect::Pending)
    }

    /// Whether the error is the socket's pending one.
    pub fn is_pending(&self) -> bool {
        matches!(
            self.effect,
            FailEffect::Pending
                | FailEffect::UdpStrayed { pending: true, .. }
                | FailEffect::UdpFoundWay { pending: true }
                | FailEffect::Skipped { pending: true, .. }
                | FailEffect::UnixSkipped { pending: true }
        )
    }

    /// Whether a reader that found nothing steps over an urgent byte: nothing is left to read.
    pub fn skips(&self) -> bool {
        matches!(
            self.effect,
            FailEffect::Skipped { .. } | FailEffect::UnixSkipped { .. }
        )
    }

    /// Whether delivering the error changes the socket.
    pub fn has_effect(&self) -> bool {
        self.effect != FailEffect::Nothing
    }

    /// An error that stands behind a fault of the message.
    pub(crate) fn after_copy(self) -> Fail {
        Fail {
            after_copy: true,
            ..self
        }
    }

    pub(crate) fn with(errno: Errno, effect: FailEffect) -> Fail {
        Fail {
            errno,
            sigpipe: false,
            after_copy: false,
            effect,
        }
    }
}

/// A connection that accept(2) would return. Dropping it leaves the connection in the queue.
#[derive(Debug)]
pub struct AcceptPlan {
    /// What accept(2) tells of the peer; `None` where Linux leaves `addrlen` zero... never for
    /// inet sockets.
    pub peer: SockAddr,
    pub(crate) listener: SocketId,
    pub(crate) child: AcceptChild,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptChild {
    Tcp(TcpId),
    Unix(SocketId),
}

/// How far a connect(2) has come; kept by the caller between attempts of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectProgress {
    /// This call has started the connection (so it reports `EINPROGRESS`, not `EALREADY`).
    pub started: bool,
    /// It waits since the socket had been disconnected so often.
    pub(crate) waits: Option<u32>,
}

/// What close(2) did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseOutcome {
    /// The socket is gone.
    Done,
    /// `SO_LINGER` wants the caller to wait until the peer has everything, at most this long: while
    /// [`Host::lingers`](crate::Host::lingers). A signal ends the wait, and close(2) returns 0 in any
    /// case. A process that ends does not wait. The socket is gone for the caller all the same.
    Linger(Duration),
}
