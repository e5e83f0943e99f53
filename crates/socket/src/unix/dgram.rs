//! SOCK_DGRAM and SOCK_SEQPACKET data: unix_dgram_sendmsg() and __unix_dgram_recvmsg().

use super::ancillary::{self, NO_SENDER, control_out, may_passcred, wants_credentials};
use super::names::{Address, address_of, parse};
use super::queue::{Chunk, dgram_truesize};
use super::{
    Shut, State, UnixRecvEffect, UnixSendPlan, UnixSocket, UnixType, received_nothing, wait,
};
use crate::call::{Attempt, Cx, Fail, FailEffect};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{PlanKind, Received, RecvEffect, RecvRequest, SendPlan, SendRequest};
use crate::options::peek::{PeekEffect, PeekWalk};
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_wire::Payload;

/// What unix_dgram_sendmsg() keeps of the send buffer for itself.
const RESERVED: usize = 32;

impl UnixSocket {
    /// unix_recvq_full(), with messages that are planned but not queued yet.
    pub(super) fn dgram_full(&self, planned: usize) -> bool {
        match &self.state {
            State::Datagram(d) => self.queue.len() + planned > d.limit as usize,
            _ => false,
        }
    }
}

impl Host {
    /// unix_seqpacket_sendmsg(): the destination is ignored.
    pub(super) fn seqpacket_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        if let Some(errno) = unix.error {
            return Err(Fail::pending(errno));
        }
        if !matches!(unix.state, State::Connected(_)) {
            return Err(Errno::ENOTCONN.into());
        }
        self.packet_attempt_send(cx, id, request, None)
    }

    pub(super) fn dgram_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        self.packet_attempt_send(
            cx,
            id,
            request,
            request.name.filter(|name| !name.is_empty()),
        )
    }

    /// unix_dgram_sendmsg(). Its `EPIPE`s come without a signal.
    fn packet_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
        name: Option<&[u8]>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        ancillary::check_control(cx, request.control)?;
        if request.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let address = name.map(parse).transpose()?;
        if may_passcred(&self.get(id)?.common) {
            self.unix_autobind(id)?;
        }
        let socket = self.get(id)?;
        let Kind::Unix(unix) = &socket.kind else {
            return Err(Errno::EBADF.into());
        };
        let last = request.last || request.flags & MSG_DONTWAIT != 0;
        let timeout = socket.common.sndtimeo;
        let sndbuf = socket.common.sndbuf;
        if request.len > (sndbuf as usize).saturating_sub(RESERVED) {
            return Err(Errno::EMSGSIZE.into());
        }
        // sock_alloc_send_pskb()
        if let Some(errno) = unix.error {
            return Err(Fail::pending(errno));
        }
        if unix.shut.contains(Shut::WRITE) {
            return Err(Errno::EPIPE.into());
        }
        if unix.charged + request.skip.charge >= sndbuf {
            return wait(last, PollMask::OUT, timeout);
        }
        self.check_in_flight(cx.cred, &request.control.rights)?;

        let ty = unix.ty;
        match self.packet_destination(cx, id, request, address, ty) {
            Ok(Ok(to)) => {
                let plan = UnixSendPlan::new(to, request.control, true);
                Ok(Attempt::Ready(SendPlan {
                    take: request.len,
                    charge: dgram_truesize(request.len),
                    kind: PlanKind::Unix(plan),
                }))
            }
            Ok(Err(to)) => {
                let outcome = wait(last, PollMask::OUT, timeout);
                if outcome.is_ok()
                    && let Some(State::Datagram(d)) =
                        self.unix_mut(to).map(|other| &mut other.state)
                    && !d.waiting.contains(&id)
                {
                    d.waiting.push(id);
                }
                outcome.map_err(unsent)
            }
            // Linux copies the message before it looks for the destination.
            Err(fail) => Err(unsent(fail)),
        }
    }

    /// Where a packet goes, or who has no room for it.
    fn packet_destination(
        &self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
        address: Option<Address<'_>>,
        ty: UnixType,
    ) -> Result<Result<SocketId, SocketId>, Fail> {
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        let to = match address {
            Some(address) => self.find_other(cx, address, ty)?,
            None => unix.peer().ok_or(Errno::ENOTCONN)?.id,
        };
        let Some(other) = self.unix(to) else {
            // Only a peer can have closed: a name would not have been found.
            if ty == UnixType::SeqPacket {
                return Err(Errno::EPIPE.into());
            }
            return Err(Fail::with(Errno::ECONNREFUSED, FailEffect::UnixDetached));
        };
        // unix_may_send(): a connected socket takes messages from its peer only.
        let connected_back = other.peer_is(id);
        if other.peer().is_some() && !connected_back {
            return Err(Errno::EPERM.into());
        }
        if other.shut.contains(Shut::READ) {
            return Err(Errno::EPIPE.into());
        }
        let receiver = self.get(to)?;
        if ancillary::refuses_rights(&receiver.common, request.control) {
            return Err(Errno::EPERM.into());
        }
        let full = to != id && !connected_back && other.dgram_full(request.skip.messages);
        Ok(if full { Err(to) } else { Ok(to) })
    }

    pub(super) fn dgram_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        plan: UnixSendPlan,
        data: Payload,
    ) {
        let truesize = dgram_truesize(data.len());
        let (to, credentials, rights) = plan.into_parts();
        // sk_filter(): the sender is told that all of it was sent, whatever becomes of it.
        let Some(kept) = self.unix_filtered(cx.now.as_nanos(), to, &data) else {
            return self.release_rights(rights);
        };
        let data = if kept < data.len() {
            data.slice(..kept)
        } else {
            data
        };
        // The receiver may be the sender, so the two are looked at one after the other.
        let Some(other) = self.sockets.get(to) else {
            return self.release_rights(rights);
        };
        let Kind::Unix(receiver) = &other.kind else {
            return;
        };
        let stamped = other.common.stamps();
        let wanted = wants_credentials(&other.common, receiver);
        let Some(socket) = self.sockets.get_mut(id) else {
            return self.release_rights(rights);
        };
        let Kind::Unix(unix) = &mut socket.kind else {
            return;
        };
        let wanted = wanted || may_passcred(&socket.common);
        self.unix.rights_sent(cx.cred.ruid, &rights);
        unix.charged += truesize;
        let mut extra = ancillary::extra(cx, credentials, wanted, rights);
        if stamped {
            extra.get_or_insert_default().at = Some(cx.realtime);
        }
        if let Some(receiver) = self.unix_mut(to) {
            receiver.push(Chunk {
                data,
                taken: 0,
                truesize,
                sender: id,
                peeked: false,
                extra,
            });
        }
        self.wake(to, PollMask::READABLE);
    }

    /// __unix_dgram_recvmsg(), for seqpackets too.
    pub(super) fn dgram_attempt_recv(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        let socket = self.get(id)?;
        let Kind::Unix(unix) = &socket.kind else {
            return Err(Errno::EBADF.into());
        };
        let seqpacket = unix.ty == UnixType::SeqPacket;
        if seqpacket && !matches!(unix.state, State::Connected(_)) {
            return Err(Errno::ENOTCONN.into());
        }
        if request.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if let Some(errno) = unix.error {
            return Err(Fail::pending(errno));
        }
        let peek_at = socket.common.peek_offset(request.flags, request.skip);
        let mut walk = PeekWalk::new(peek_at, request.skip);
        let mut queue = unix.queue.iter().enumerate();
        let next = match peek_at {
            None => queue.nth(request.skip.messages),
            Some(_) => queue.find(|(_, chunk)| !walk.passes(chunk.len(), chunk.peeked)),
        };
        let offset = walk.offset;
        let Some((index, chunk)) = next else {
            let last = request.last || request.flags & MSG_DONTWAIT != 0;
            // A datagram socket that may not wait does not see its shutdown.
            if unix.shut.contains(Shut::READ) && (seqpacket || !last) {
                return Ok(Attempt::Ready(received_nothing(Vec::new())));
            }
            return wait(last, PollMask::IN, socket.common.rcvtimeo);
        };
        let whole = chunk.len() - offset;
        let n = whole.min(request.len);
        let mut data = Payload::new();
        chunk.append_to(&mut data, offset, n);
        let mut control = Vec::new();
        if socket.common.stamps() {
            let at = chunk.extra.as_ref().and_then(|extra| extra.at);
            crate::options::control::stamps(cx, &socket.common, at, false, &mut control);
        }
        let passcred = may_passcred(&socket.common);
        if passcred || !chunk.rights().is_empty() {
            let credentials = passcred.then(|| chunk.credentials().unwrap_or(NO_SENDER));
            control.extend(control_out(&socket.common, credentials, chunk.rights()));
        }
        // The sender's name as it is now: it may have bound since.
        let name = match self.unix(chunk.sender) {
            Some(sender) => sender.name.clone(),
            None if seqpacket => self.peer_name(unix),
            None => self
                .unix
                .departed
                .get(&chunk.sender)
                .map(|sender| sender.name.clone()),
        };
        let effect = UnixRecvEffect {
            messages: 1,
            ..UnixRecvEffect::default()
        };
        Ok(Attempt::Ready(Received {
            data,
            ret: if request.flags & MSG_TRUNC != 0 {
                whole
            } else {
                n
            },
            msg_flags: if n < whole { MSG_TRUNC } else { 0 },
            name: name.map(|name| address_of(Some(name))),
            control,
            effect: if peek_at.is_some() || (request.flags & MSG_PEEK != 0 && whole == 0) {
                let (by, empty) = (n, (whole == 0).then_some(index));
                RecvEffect::Peek(PeekEffect {
                    by,
                    empty,
                    at: None,
                })
            } else if request.flags & MSG_PEEK != 0 {
                RecvEffect::None
            } else {
                RecvEffect::Unix(effect)
            },
        }))
    }

    /// Takes the front message off the queue; its rights are the reader's now. SO_PEEK_OFF stays where it is if the
    /// message is lost.
    pub(super) fn dgram_take(&mut self, id: SocketId, lost: bool) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        let Kind::Unix(unix) = &mut socket.kind else {
            return;
        };
        let full = unix.dgram_full(0);
        let Some(chunk) = unix.queue.pop_front() else {
            return;
        };
        unix.queued -= chunk.len();
        if !lost {
            socket.common.peek_back(chunk.len());
        }
        let room = full && !unix.dgram_full(0);
        if let Some(extra) = &chunk.extra {
            self.unix.rights_landed(extra);
        }
        if room {
            self.wake_dgram_senders(id);
        }
        self.uncharge(chunk.sender, chunk.truesize);
    }

    /// A full queue has room, or is gone: whoever waits for it looks again.
    pub(super) fn wake_dgram_senders(&mut self, id: SocketId) {
        let Some(State::Datagram(d)) = self.unix_mut(id).map(|unix| &mut unix.state) else {
            return;
        };
        let mut senders = core::mem::take(&mut d.waiting);
        senders.extend(d.connected.iter().copied().filter(|&sender| sender != id));
        senders.sort_unstable();
        senders.dedup();
        for sender in senders {
            self.wake(sender, PollMask::WRITABLE);
        }
    }

    /// unix_dgram_connect(): at once, whatever the peer does.
    pub(super) fn dgram_connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
    ) -> Result<(), Errno> {
        let family = switchboard_abi::sockaddr::family(raw).ok_or(Errno::EINVAL)?;
        let other = if family == AF_UNSPEC {
            None
        } else {
            let address = parse(raw)?;
            if may_passcred(&self.get(id)?.common) {
                self.unix_autobind(id)?;
            }
            let other = self.find_other(cx, address, UnixType::Dgram)?;
            let peer = self.unix(other).and_then(UnixSocket::peer);
            if peer.is_some_and(|peer| peer.id != id) {
                return Err(Errno::EPERM);
            }
            Some(other)
        };
        let old = self.unix(id).and_then(UnixSocket::peer).map(|peer| peer.id);
        if old.is_some() {
            // unix_dgram_peer_wake_disconnect_wakeup(), even where it is the same one again.
            self.wake(id, PollMask::WRITABLE);
        }
        if old == other {
            return Ok(());
        }
        if old.is_some() {
            self.dgram_detach(id);
        }
        if let Some(other) = other {
            self.dgram_attach(id, other);
        }
        Ok(())
    }

    /// Makes `other` the peer of `id`.
    pub(super) fn dgram_attach(&mut self, id: SocketId, other: SocketId) {
        if let Some(State::Datagram(d)) = self.unix_mut(id).map(|unix| &mut unix.state) {
            d.peer = Some(super::Peer::new(other));
        }
        if let Some(State::Datagram(d)) = self.unix_mut(other).map(|unix| &mut unix.state) {
            d.connected.insert(id);
        }
    }

    /// A send has met a peer that is closed.
    pub(crate) fn unix_detach(&mut self, id: SocketId) {
        self.dgram_detach(id);
    }

    /// Takes the peer away (unix_dgram_disconnected()): what it had sent is lost, and when it was
    /// connected back it is told so.
    fn dgram_detach(&mut self, id: SocketId) {
        let Some(unix) = self.unix_mut(id) else {
            return;
        };
        let State::Datagram(d) = &mut unix.state else {
            return;
        };
        let Some(peer) = d.peer.take() else { return };
        let full = unix.dgram_full(0);
        let lost = core::mem::take(&mut unix.queue);
        unix.queued = 0;
        let told = !lost.is_empty();
        self.drop_chunks(lost);
        if full {
            self.wake_dgram_senders(id);
        }
        let Some(old) = self.unix_mut(peer.id) else {
            return;
        };
        if let State::Datagram(d) = &mut old.state {
            d.connected.remove(&id);
        }
        if told && old.peer_is(id) {
            old.error = Some(Errno::ECONNRESET);
            self.wake(peer.id, PollMask::ERR);
        }
    }
}

/// A message was copied, and let go of again.
fn unsent(fail: Fail) -> Fail {
    if fail.has_effect() {
        fail.after_copy()
    } else {
        Fail::with(fail.errno, FailEffect::UnixUnsent).after_copy()
    }
}
