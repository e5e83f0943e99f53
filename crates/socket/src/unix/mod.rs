//! AF_UNIX: unix(7).
//!
//! # Theory of operation
//!
//! Every socket owns its receive queue; a send puts a [`Chunk`](queue::Chunk), Linux's skb, straight
//! into the peer's and charges the sender for its memory until the chunk is read. So there is no
//! connection object: two sockets name each other by [`SocketId`], and a name that no longer
//! resolves is a peer that has closed.
//!
//! A stream (or seqpacket) connection exists from connect(2) on: connect makes the accepted socket
//! as well, an *embryo* in the listener's queue, which accept(2) only hands out.
//!
//! Rights in flight are owned by the chunk that carries them. A chunk that nobody reads any more
//! gives its files to `Host::released`.
//!
//! # Limits
//!
//! A sender's memory by `SO_SNDBUF`, the queue of a listener by its backlog, the queue of a
//! datagram socket by net.unix.max_dgram_qlen (but for connected pairs, where the sender's buffer
//! is the limit), files in flight by the sender's `RLIMIT_NOFILE`.
//!

mod ancillary;
mod close;
mod connect;
mod dgram;
mod gc;
mod names;
mod oob;
pub(crate) mod paths;
mod poll;
mod queue;
mod stream;

#[cfg(test)]
mod tests;

pub(crate) use ancillary::check_control;
pub(crate) use names::Namespace;

use crate::call::{Attempt, Blocked, Cx, Fail};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{
    ControlOut, Received, RecvEffect, RecvProgress, RecvRequest, Right, SendControl, SendPlan,
    SendRequest, Ucred,
};
use crate::socket::{Kind, Socket};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::time::Duration;
use names::Bound;
use queue::Chunk;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_wire::Payload;

/// The three socket types; also the index of their abstract namespaces, which are apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UnixType {
    Stream,
    Dgram,
    SeqPacket,
}

bitflags! {
    /// Directions shut down (`RCV_SHUTDOWN`, `SEND_SHUTDOWN`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Shut: u8 {
        const READ = 1;
        const WRITE = 2;
    }
}

/// The family's part of a socket.
pub(crate) struct UnixSocket {
    ty: UnixType,
    shut: Shut,
    /// A send waits for room, so the next one to come may be its second attempt.
    send_waits: bool,
    /// `SO_ERROR`.
    error: Option<Errno>,
    /// The bytes of `sun_path`. An accepted socket has its listener's.
    name: Option<Arc<[u8]>>,
    /// Its entry in the namespace.
    bound: Bound,
    /// `SO_PEERCRED`; on a listener what its clients get.
    peercred: Option<ancillary::PeerCred>,
    /// Memory of our chunks in other sockets' queues (Linux's sk_wmem_alloc).
    charged: u32,
    /// Bytes in the queue.
    queued: usize,
    /// The place of the out-of-band byte in the queue (streams).
    oob: Option<usize>,
    /// There ever was one, so that marks may be in the queue.
    marked: bool,
    /// What has come and is not read yet.
    queue: VecDeque<Chunk>,
    state: State,
}

/// What /proc/net/unix tells of a socket.
pub(crate) struct Shown<'a> {
    pub(crate) listening: bool,
    pub(crate) connected: bool,
    /// Nobody has accepted it yet.
    pub(crate) embryo: bool,
    /// The bytes of `sun_path`.
    pub(crate) name: Option<&'a [u8]>,
}

/// Where a socket stands.
enum State {
    /// Stream or seqpacket, neither connected nor listening.
    Unconnected,
    Listening(Box<Listening>),
    Connected(Connected),
    Datagram(Box<Datagram>),
}

/// A listener.
#[derive(Default)]
struct Listening {
    /// One more connection than this may wait.
    backlog: u32,
    /// Connections that accept(2) has not handed out.
    embryos: VecDeque<SocketId>,
    /// Sockets whose connect(2) waits for room.
    waiting: Vec<SocketId>,
}

/// The other end. When it has closed, its name stays (recvfrom(2) and getpeername(2) tell it).
struct Peer {
    id: SocketId,
    last_name: Option<Arc<[u8]>>,
}

/// A connected stream or seqpacket socket.
struct Connected {
    peer: Peer,
    /// Not yet accepted.
    embryo: bool,
}

/// A datagram socket.
struct Datagram {
    /// Its default destination, and the only socket it takes messages from.
    peer: Option<Peer>,
    /// One message more than this may wait, but for those of a peer connected both ways.
    limit: u32,
    /// Sockets whose peer this is.
    connected: BTreeSet<SocketId>,
    /// Sockets that wait for room in the queue, besides them.
    waiting: Vec<SocketId>,
}

/// What a planned send puts where.
#[derive(Debug)]
pub(crate) struct UnixSendPlan {
    to: SocketId,
    /// The last byte is out of band.
    oob: bool,
    /// Few sends have any: apart, so that the others stay small.
    carried: Option<Box<Carried>>,
}

/// Control messages of a planned send.
#[derive(Debug)]
struct Carried {
    credentials: Option<Ucred>,
    rights: Vec<Right>,
}

impl UnixSendPlan {
    fn new(to: SocketId, control: &SendControl, with_rights: bool) -> UnixSendPlan {
        let with_rights = with_rights && !control.rights.is_empty();
        if control.credentials.is_none() && !with_rights {
            return UnixSendPlan {
                to,
                oob: false,
                carried: None,
            };
        }
        let rights = if with_rights {
            control.rights.clone()
        } else {
            Vec::new()
        };
        let carried = Carried {
            credentials: control.credentials,
            rights,
        };
        UnixSendPlan {
            to,
            oob: false,
            carried: Some(Box::new(carried)),
        }
    }

    fn into_parts(self) -> (SocketId, Option<Ucred>, Vec<Right>) {
        match self.carried {
            Some(carried) => (self.to, carried.credentials, carried.rights),
            None => (self.to, None, Vec::new()),
        }
    }
}

/// What a receive takes off the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct UnixRecvEffect {
    /// Of a stream.
    bytes: usize,
    /// A stream read of no bytes passes a mark all the same.
    passes_mark: bool,
    /// The out-of-band byte.
    took_oob: bool,
    /// Of the other types.
    messages: usize,
    /// A stream read of no bytes takes the rights all the same.
    rights: bool,
    /// The pending error was met after some bytes: they are returned, the error is gone.
    pub(crate) clear_error: bool,
    /// Nobody saw the message.
    lost: bool,
}

impl UnixRecvEffect {
    /// See [`Received::lost`].
    pub(crate) fn lost(self) -> UnixRecvEffect {
        UnixRecvEffect { lost: true, ..self }
    }

    /// See [`Received::faulted`].
    pub(crate) fn faulted(self) -> Option<UnixRecvEffect> {
        (self.bytes > 0).then(|| UnixRecvEffect {
            passes_mark: true,
            ..UnixRecvEffect::default()
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The out-of-band byte is taken, or stepped over.
    pub(crate) fn takes_urgent(&self) -> bool {
        self.took_oob || self.passes_mark
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages
    }
}

impl UnixSocket {
    /// An empty datagram was peeked at.
    pub(crate) fn mark_peeked(&mut self, index: usize) {
        if let Some(chunk) = self.queue.get_mut(index) {
            chunk.peeked = true;
        }
    }

    /// What was sent and nobody has read yet, as SO_SNDBUF counts it.
    pub(crate) fn charged(&self) -> u32 {
        self.charged
    }

    fn new(ty: UnixType, state: State) -> UnixSocket {
        UnixSocket {
            ty,
            shut: Shut::empty(),
            send_waits: false,
            error: None,
            name: None,
            bound: Bound::No,
            peercred: None,
            charged: 0,
            queued: 0,
            oob: None,
            marked: false,
            queue: VecDeque::new(),
            state,
        }
    }

    /// What /proc/net/unix tells.
    pub(crate) fn shown(&self) -> Shown<'_> {
        Shown {
            listening: matches!(self.state, State::Listening(_)),
            connected: self.peer().is_some(),
            embryo: matches!(&self.state, State::Connected(c) if c.embryo),
            name: self.name.as_deref(),
        }
    }

    /// The inode that it is bound to.
    pub(crate) fn file(&self) -> Option<paths::Inode> {
        match self.bound {
            Bound::File(inode) | Bound::Shared(inode) => Some(inode),
            Bound::No | Bound::Abstract => None,
        }
    }

    pub(crate) fn peer_id(&self) -> Option<SocketId> {
        self.peer().map(|peer| peer.id)
    }

    /// Connections that accept(2) has not handed out.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = SocketId> + Clone {
        let listening = match &self.state {
            State::Listening(listening) => Some(&listening.embryos),
            _ => None,
        };
        listening.into_iter().flatten().copied()
    }

    /// Of a listener: how many may wait.
    pub(crate) fn backlog(&self) -> Option<u32> {
        match &self.state {
            State::Listening(listening) => Some(listening.backlog),
            _ => None,
        }
    }

    /// RCV_SHUTDOWN and SEND_SHUTDOWN.
    pub(crate) fn shut_bits(&self) -> u8 {
        self.shut.bits()
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.ty == UnixType::Stream
    }

    fn peer(&self) -> Option<&Peer> {
        match &self.state {
            State::Connected(c) => Some(&c.peer),
            State::Datagram(d) => d.peer.as_ref(),
            State::Unconnected | State::Listening(_) => None,
        }
    }

    fn peer_mut(&mut self) -> Option<&mut Peer> {
        match &mut self.state {
            State::Connected(c) => Some(&mut c.peer),
            State::Datagram(d) => d.peer.as_mut(),
            State::Unconnected | State::Listening(_) => None,
        }
    }

    fn peer_is(&self, id: SocketId) -> bool {
        self.peer().is_some_and(|peer| peer.id == id)
    }

    #[inline]
    fn push(&mut self, chunk: Chunk) {
        self.queued += chunk.len();
        self.queue.push_back(chunk);
    }
}

impl Peer {
    fn new(id: SocketId) -> Peer {
        Peer {
            id,
            last_name: None,
        }
    }
}

/// The answer of a call that finds nothing to do: wait, or `EAGAIN` when it may not.
fn wait<T>(last: bool, interest: PollMask, timeout: Option<Duration>) -> Result<Attempt<T>, Fail> {
    // A negative SO_RCVTIMEO is a time that is always up.
    if last || timeout == Some(Duration::ZERO) {
        return Err(Errno::EAGAIN.into());
    }
    Ok(Attempt::Blocked(Blocked { interest, timeout }))
}

/// A receive that takes nothing off the queue.
fn received_nothing(control: Vec<ControlOut>) -> Received {
    Received {
        data: Payload::new(),
        ret: 0,
        msg_flags: 0,
        name: None,
        control,
        effect: RecvEffect::None,
    }
}

impl Host {
    /// unix_create().
    pub(crate) fn unix_socket(
        &mut self,
        cx: &mut Cx<'_>,
        ty: i32,
        protocol: i32,
    ) -> Result<SocketId, Errno> {
        let ty = unix_type(ty, protocol)?;
        Ok(self.unix_new(cx, ty))
    }

    fn unix_new(&mut self, cx: &Cx<'_>, ty: UnixType) -> SocketId {
        let number = match ty {
            UnixType::Stream => SOCK_STREAM,
            UnixType::Dgram => SOCK_DGRAM,
            UnixType::SeqPacket => SOCK_SEQPACKET,
        };
        // SO_PROTOCOL is 0 even when PF_UNIX was asked for.
        let common = self.new_common(cx, AF_UNIX, number, 0);
        let state = match ty {
            UnixType::Dgram => State::Datagram(Box::new(Datagram {
                peer: None,
                limit: self.unix.max_dgram_qlen,
                connected: BTreeSet::new(),
                waiting: Vec::new(),
            })),
            UnixType::Stream | UnixType::SeqPacket => State::Unconnected,
        };
        let kind = Kind::Unix(Box::new(UnixSocket::new(ty, state)));
        self.sockets.insert(Socket { common, kind })
    }

    /// The socket's part of this family; `None` also when it has closed.
    pub(crate) fn unix(&self, id: SocketId) -> Option<&UnixSocket> {
        match &self.sockets.get(id)?.kind {
            Kind::Unix(unix) => Some(unix),
            Kind::Tcp(_) | Kind::Udp(_) | Kind::Netlink(_) | Kind::Packet(_) => None,
        }
    }

    fn unix_mut(&mut self, id: SocketId) -> Option<&mut UnixSocket> {
        match &mut self.sockets.get_mut(id)?.kind {
            Kind::Unix(unix) => Some(unix),
            Kind::Tcp(_) | Kind::Udp(_) | Kind::Netlink(_) | Kind::Packet(_) => None,
        }
    }

    /// sendmsg(2), first half.
    pub(crate) fn unix_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        match self.unix(id).ok_or(Errno::EBADF)?.ty {
            UnixType::Stream => self.stream_attempt_send(cx, id, request),
            UnixType::Dgram => self.dgram_attempt_send(cx, id, request),
            UnixType::SeqPacket => self.seqpacket_attempt_send(cx, id, request),
        }
    }

    /// sendmsg(2), second half.
    pub(crate) fn unix_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        plan: UnixSendPlan,
        data: Payload,
    ) {
        match self.unix(id).map(|unix| unix.ty) {
            Some(UnixType::Stream) => self.stream_commit_send(cx, id, plan, data),
            Some(UnixType::Dgram | UnixType::SeqPacket) => {
                self.dgram_commit_send(cx, id, plan, data);
            }
            None => self.release_rights(plan.into_parts().2),
        }
    }

    /// recvmsg(2), first half.
    pub(crate) fn unix_attempt_recv(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        match self.unix(id).ok_or(Errno::EBADF)?.ty {
            UnixType::Stream => self.stream_attempt_recv(id, request),
            UnixType::Dgram | UnixType::SeqPacket => self.dgram_attempt_recv(cx, id, request),
        }
    }

    /// recvmsg(2), second half.
    pub(crate) fn unix_commit_recv(
        &mut self,
        _cx: &mut Cx<'_>,
        id: SocketId,
        effect: UnixRecvEffect,
    ) {
        if effect.clear_error {
            self.unix_clear_error(id);
        }
        if effect.messages > 0 {
            self.dgram_take(id, effect.lost);
        }
        if effect.took_oob {
            self.stream_take_oob(id);
        }
        if effect.bytes > 0 || effect.passes_mark {
            self.stream_take(id, effect.bytes);
        }
        if effect.bytes == 0 && effect.rights {
            self.stream_take_rights(id);
        }
    }

    /// Puts back what a given-up `MSG_WAITALL` held.
    pub(crate) fn unix_unread(&mut self, id: SocketId, progress: RecvProgress) {
        self.stream_unread(id, progress);
    }

    /// `SO_ERROR`.
    pub(crate) fn unix_pending_error(&self, id: SocketId) -> Option<Errno> {
        self.unix(id)?.error
    }

    /// `SO_ERROR` was read.
    pub(crate) fn unix_clear_error(&mut self, id: SocketId) {
        if let Some(unix) = self.unix_mut(id) {
            unix.error = None;
            unix.send_waits = false;
        }
    }

    /// A pending error that the family did not make.
    pub(crate) fn unix_set_error(&mut self, id: SocketId, errno: Errno) {
        if let Some(unix) = self.unix_mut(id) {
            unix.error = Some(errno);
        }
    }

    /// A writer that waited for room was told of the end.
    pub(crate) fn unix_waited(&mut self, id: SocketId) {
        if let Some(unix) = self.unix_mut(id) {
            unix.send_waits = false;
        }
    }

    /// `SO_ACCEPTCONN`.
    pub(crate) fn unix_is_listening(&self, id: SocketId) -> bool {
        self.unix(id)
            .is_some_and(|unix| matches!(unix.state, State::Listening(_)))
    }
}

fn unix_type(ty: i32, protocol: i32) -> Result<UnixType, Errno> {
    if protocol != 0 && protocol != AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match ty {
        SOCK_STREAM => Ok(UnixType::Stream),
        // "Believe it or not BSD has AF_UNIX, SOCK_RAW though nothing uses it."
        SOCK_DGRAM | SOCK_RAW => Ok(UnixType::Dgram),
        SOCK_SEQPACKET => Ok(UnixType::SeqPacket),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}
