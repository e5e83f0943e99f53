//! Messages: what a send takes and a receive gives.

use crate::inet::tcp::TcpRecvEffect;
use crate::inet::udp_recv::UdpRecvEffect;
use crate::table::SocketId;
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_abi::number::{MSG_ERRQUEUE, MSG_OOB, SOL_UDP};
use switchboard_abi::{Errno, SockAddr};
use switchboard_wire::Payload;

/// An open file of the embedder, as `SCM_RIGHTS` carries it. The layer keeps it and gives it back;
/// the embedder owns what it means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileToken(pub u64);

/// A file in flight, and which socket of this host it is, if it is one (for collecting cycles).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Right {
    /// The file.
    pub token: FileToken,
    /// The socket behind it.
    pub socket: Option<SocketId>,
}

/// `struct ucred` of unix(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Ucred {
    pub pid: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Control messages of a send, decoded.
#[derive(Clone, Debug, Default)]
pub struct SendControl {
    /// `SCM_RIGHTS`: files to pass. They become the layer's when the send is committed.
    pub rights: Vec<Right>,
    /// `SCM_CREDENTIALS`.
    pub credentials: Option<Ucred>,
    /// They name a process that does not exist: `ESRCH`, when they are the sender's to give.
    pub stranger: bool,
    /// Credentials before those, which have to be the sender's, too; and whether they are a stranger's.
    pub former: Vec<(Ucred, bool)>,
    /// Every other control message: level, type, data.
    pub other: Vec<(i32, i32, Vec<u8>)>,
    /// What is wrong with the message that follows these. It counts where the protocol looks at them, which may be
    /// after it has looked at the socket.
    pub wrong: Option<Errno>,
}

impl SendControl {
    /// What udp_cmsg_send() leaves to IP: with any of it, a connected socket looks for its way anew.
    pub(crate) fn concerns_ip(&self) -> bool {
        self.other.iter().any(|(level, ..)| *level != SOL_UDP)
    }

    /// The error of what could not be decoded.
    pub(crate) fn check(&self) -> Result<(), Errno> {
        self.wrong.map_or(Ok(()), Err)
    }
}

/// Work of the same recvmmsg(2) or sendmmsg(2) that is planned and not yet committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Skip {
    /// Bytes at the front of a stream, or bytes that will be queued.
    pub bytes: usize,
    /// Messages at the front of a queue, or messages that will be queued.
    pub messages: usize,
    /// Bytes that peeks of the same recvmmsg(2) have shown, as `SO_PEEK_OFF` counts them.
    pub peeked: usize,
    /// Empty datagrams that were peeked at.
    pub empty: usize,
    /// The pending error was taken.
    pub error: bool,
    /// What those that will be queued cost: the sum of [`SendPlan::charge`].
    pub charge: u32,
}

/// A send as the layer sees it: how much is offered, not the bytes.
#[derive(Debug)]
pub struct SendRequest<'a> {
    /// Bytes the caller offers in all.
    pub len: usize,
    /// Of them, bytes that earlier attempts of this call have queued (streams only).
    pub done: usize,
    /// Messages of the same sendmmsg(2) planned before this one.
    pub skip: Skip,
    /// `MSG_*` flags.
    pub flags: i32,
    /// The destination, as the bytes of a `sockaddr`.
    pub name: Option<&'a [u8]>,
    /// Control messages.
    pub control: &'a SendControl,
    /// The call may not wait (non-blocking, or its time is up): answer with what can be had.
    pub last: bool,
}

/// A send that can take effect. Commit it with [`Host::commit_send`](crate::Host::commit_send) and
/// exactly `take` bytes; dropping it sends nothing.
#[derive(Debug)]
pub struct SendPlan {
    /// How many bytes to hand to the commit, starting at the request's `done`.
    pub take: usize,
    /// Memory that the sender is charged, where it is the layer that counts it.
    pub charge: u32,
    pub(crate) kind: PlanKind,
}

impl SendPlan {
    /// What the call returns for it: `take`, but for a ring of frames (PACKET_TX_RING), which are no bytes of the caller's.
    pub fn told(&self) -> usize {
        match &self.kind {
            PlanKind::Packet(plan) => plan.told().unwrap_or(self.take),
            _ => self.take,
        }
    }
}

#[derive(Debug)]
pub(crate) enum PlanKind {
    Tcp(crate::inet::tcp::TcpSendPlan),
    Udp(crate::inet::udp_plan::UdpSendPlan),
    Raw(alloc::boxed::Box<crate::inet::raw::RawSendPlan>),
    Unix(crate::unix::UnixSendPlan),
    Netlink(crate::netlink::NetlinkSendPlan),
    Packet(crate::packet::PacketSendPlan),
}

/// A receive as the layer sees it.
#[derive(Debug)]
pub struct RecvRequest<'a> {
    /// Room in the caller's buffers, in bytes.
    pub len: usize,
    /// `MSG_*` flags.
    pub flags: i32,
    /// Messages and bytes that earlier entries of the same recvmmsg(2) hold uncommitted.
    pub skip: Skip,
    /// Progress of a `MSG_WAITALL` that is larger than the receive buffer.
    pub progress: &'a mut RecvProgress,
    /// The call may not wait (non-blocking, or its time is up): answer with what can be had.
    pub last: bool,
}

/// Bytes that a waiting `MSG_WAITALL` has already taken off a full queue. When the call is given
/// up, [`Host::abandon_recv`](crate::Host::abandon_recv) puts them back.
#[derive(Debug, Default)]
pub struct RecvProgress {
    pub(crate) held: Payload,
    /// A TCP reader sleeps: it takes nothing until as much as SO_RCVLOWAT lies in the queue.
    pub(crate) asleep: bool,
    /// How often the socket had been disconnected when it fell asleep.
    pub(crate) disconnects: u32,
    /// Whose the held bytes are, once that counts (AF_UNIX with `SO_PASSCRED`).
    pub(crate) creds: Option<Option<Ucred>>,
}

impl RecvProgress {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// What a receive would return. Commit it with [`Host::commit_recv`](crate::Host::commit_recv);
/// dropping it leaves the socket as it was.
#[derive(Debug)]
pub struct Received {
    /// The bytes, in order.
    pub data: Payload,
    /// What the call returns: more than `data` holds when a datagram was cut and `MSG_TRUNC` asked
    /// for its real length.
    pub ret: usize,
    /// `msg_flags` of recvmsg(2).
    pub msg_flags: i32,
    /// The sender; `None` where Linux sets `msg_namelen` to zero.
    pub name: Option<SockAddr>,
    /// Control messages, in Linux's order.
    pub control: Vec<ControlOut>,
    pub(crate) effect: RecvEffect,
}

impl Received {
    /// The caller's memory could not take the message, which is lost; SO_PEEK_OFF stays where it is.
    pub fn lost(mut self) -> Received {
        match &mut self.effect {
            RecvEffect::Peek(_) | RecvEffect::Looked(_) => self.effect = RecvEffect::None,
            RecvEffect::Udp(effect) => *effect = UdpRecvEffect { ret: 0, lost: true },
            RecvEffect::Unix(effect) => *effect = effect.lost(),
            _ => {}
        }
        self
    }

    /// How far SO_PEEK_OFF moves.
    pub fn peeked(&self) -> usize {
        match &self.effect {
            RecvEffect::Peek(effect) => effect.by,
            _ => 0,
        }
    }

    /// Whether the socket's pending error goes with it, though it is not told.
    pub fn takes_error(&self) -> bool {
        matches!(&self.effect, RecvEffect::Unix(effect) if effect.clear_error)
    }

    /// Whether it stands by itself beside a stream: an out-of-band byte, or an entry of the error queue. What cannot be
    /// written of it is lost.
    pub fn is_apart(&self) -> bool {
        self.msg_flags & (MSG_OOB | MSG_ERRQUEUE) != 0
    }

    /// The caller's memory cannot take any of it: what is left of its effect, if anything is. A read
    /// of a stream has passed the mark of an urgent byte by then.
    pub fn faulted(self) -> Option<Received> {
        let effect = match self.effect {
            RecvEffect::Unix(effect) => RecvEffect::Unix(effect.faulted()?),
            // tcp_recvmsg_locked() forgets the mark behind a piece that it copied, or that was the mark alone.
            RecvEffect::Tcp(effect) if effect.hole > 0 && effect.wide => RecvEffect::TcpStep,
            RecvEffect::Tcp(effect) if effect.hole > 0 => RecvEffect::Tcp(TcpRecvEffect {
                consume: effect.hole,
                ..effect
            }),
            _ => return None,
        };
        Some(Received {
            data: Payload::new(),
            ret: 0,
            // Files that would have come stay in the queue.
            control: Vec::new(),
            effect,
            ..self
        })
    }
}

/// A control message to hand to the caller.
#[derive(Clone, PartialEq, Debug)]
pub enum ControlOut {
    /// `SCM_RIGHTS`: files to install. What does not fit in the caller's buffer, or was only
    /// peeked at, stays the layer's business: see [`Received`].
    Rights(Vec<Right>),
    /// `SCM_CREDENTIALS`.
    Credentials(Ucred),
    /// `SCM_PIDFD`: a descriptor of this process, which the embedder makes.
    Pidfd(u32),
    /// `SCM_TIMESTAMP`: wall-clock time since the epoch, as a `timeval` in the old or new width.
    Timestamp {
        /// Since the epoch.
        at: Duration,
        /// The 64-bit form was asked for (`SO_TIMESTAMP_NEW`).
        new: bool,
    },
    /// `SCM_TIMESTAMPNS`: the same as a `timespec`.
    TimestampNs {
        /// Since the epoch.
        at: Duration,
        /// The 64-bit form was asked for (`SO_TIMESTAMPNS_NEW`).
        new: bool,
    },
    /// `SCM_TIMESTAMPING`: three times, of which the first is the software's and the others are zero.
    Timestamping {
        /// Since the epoch.
        at: Duration,
        /// The 64-bit form was asked for (`SO_TIMESTAMPING_NEW`).
        new: bool,
    },
    /// Any other: level, type and data, the same for both word sizes.
    Raw {
        /// `cmsg_level`
        level: i32,
        /// `cmsg_type`
        kind: i32,
        /// The payload.
        data: Vec<u8>,
    },
}

#[derive(Debug)]
pub(crate) enum RecvEffect {
    /// Nothing to take (peek, end of file, zero-length read).
    None,
    /// Peeked at a datagram that came then.
    Looked(switchboard_engine::Instant),
    /// Peeked at an offset, which moves on.
    Peek(crate::options::peek::PeekEffect),
    Tcp(crate::inet::tcp::TcpRecvEffect),
    /// The reader stands behind the urgent byte, which can be read with MSG_OOB as before.
    TcpStep,
    Udp(UdpRecvEffect),
    Unix(crate::unix::UnixRecvEffect),
    Netlink(crate::netlink::NetlinkRecvEffect),
    Packet(crate::packet::PacketRecvEffect),
    PacketStamp(crate::packet::StampRecvEffect),
    Error(crate::inet::errqueue::ErrorRecvEffect),
    PathMtu(crate::inet::mtu::PathMtuEffect),
}
