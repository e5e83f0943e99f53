//! SOCK_STREAM data: unix_stream_sendmsg() and unix_stream_read_generic().

use super::ancillary::{self, NO_MESSAGE, NO_SENDER, control_out, may_passcred, wants_credentials};
use super::names::address_of;
use super::oob::{Next, Walk};
use super::queue::{Chunk, Extra, stream_piece, stream_truesize};
use super::{Shut, State, UnixRecvEffect, UnixSendPlan, UnixType, received_nothing, wait};
use crate::call::{Attempt, Cx, Fail, FailEffect};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{
    ControlOut, PlanKind, Received, RecvEffect, RecvProgress, RecvRequest, SendPlan, SendRequest,
    Skip,
};
use crate::options::peek::PeekEffect;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_wire::Payload;

impl Host {
    pub(super) fn stream_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        ancillary::check_control(cx, request.control)?;
        // The last byte is the one out of band, so there has to be one.
        let oob = request.flags & MSG_OOB != 0;
        if oob && request.len == 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let socket = self.get(id)?;
        let Kind::Unix(unix) = &socket.kind else {
            return Err(Errno::EBADF.into());
        };
        if request.name.is_some_and(|name| !name.is_empty()) {
            let connected = matches!(unix.state, State::Connected(_));
            let errno = if connected {
                Errno::EISCONN
            } else {
                Errno::EOPNOTSUPP
            };
            return Err(errno.into());
        }
        let State::Connected(connected) = &unix.state else {
            return Err(Errno::ENOTCONN.into());
        };
        // A peer that reads no more or has closed has shut our writing down.
        if unix.shut.contains(Shut::WRITE) {
            if !unix.send_waits {
                return Err(Fail::PIPE);
            }
            // Whoever waited for room meets the end in sock_alloc_send_pskb(), which looks at the
            // pending error first and sends no signal.
            let ended = Fail::with(Errno::EPIPE, FailEffect::UnixWaited);
            return Err(unix.error.map_or(ended, Fail::pending));
        }
        let to = connected.peer.id;
        let sndbuf = socket.common.sndbuf;
        let left = request.len - request.done;
        let ordinary = left.saturating_sub(usize::from(oob));
        let before = unix.charged + request.skip.charge;
        let mut charged = before;
        let mut take = 0;
        while take < ordinary && charged < sndbuf {
            let (size, truesize) = stream_piece(sndbuf, ordinary - take);
            take += size;
            charged += truesize;
        }
        // queue_oob()
        let oob = oob && take == ordinary && charged < sndbuf;
        if oob {
            take += 1;
            charged += stream_truesize(1);
        }
        if take == 0 && left > 0 {
            if let Some(errno) = unix.error {
                return Err(Fail::pending(errno));
            }
            let last = request.last || request.flags & MSG_DONTWAIT != 0;
            let outcome = wait(last, PollMask::OUT, socket.common.sndtimeo);
            if outcome.is_ok()
                && let Some(unix) = self.unix_mut(id)
            {
                unix.send_waits = true;
            }
            return outcome;
        }
        // A peer that had shut its reading down before it connected: found when a buffer has been filled.
        if left > 0
            && self
                .unix(to)
                .is_some_and(|other| other.shut.contains(Shut::READ))
        {
            return Err(Fail::PIPE.after_copy());
        }
        // "Only send the fds in the first buffer."
        let first = request.done == 0;
        if left > 0
            && first
            && self
                .get(to)
                .is_ok_and(|other| ancillary::refuses_rights(&other.common, request.control))
        {
            return Err(Fail::from(Errno::EPERM).after_copy());
        }
        if left > 0 && first {
            self.check_in_flight(cx.cred, &request.control.rights)?;
        }
        let mut plan = UnixSendPlan::new(to, request.control, first);
        plan.oob = oob;
        Ok(Attempt::Ready(SendPlan {
            take,
            charge: charged - before,
            kind: PlanKind::Unix(plan),
        }))
    }

    pub(super) fn stream_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        plan: UnixSendPlan,
        data: Payload,
    ) {
        let len = data.len();
        let oob = plan.oob;
        let (to, credentials, mut rights) = plan.into_parts();
        let Some((socket, other)) = self.sockets.pair_mut(id, to) else {
            return self.release_rights(rights);
        };
        let (Kind::Unix(unix), Kind::Unix(peer)) = (&mut socket.kind, &mut other.kind) else {
            return;
        };
        if len == 0 {
            // Rights need a byte to ride on; without one they are dropped.
            return self.release_rights(rights);
        }
        let wanted = may_passcred(&socket.common) || wants_credentials(&other.common, peer);
        self.unix.rights_sent(cx.cred.ruid, &rights);
        let mut done = 0;
        let mut data = data;
        while done < len {
            // An out-of-band byte is a chunk of its own.
            let is_oob = oob && done + 1 == len;
            let ordinary = (len - done - usize::from(oob && !is_oob)).max(1);
            let (size, truesize) = stream_piece(socket.common.sndbuf, ordinary);
            let piece = if done == 0 && size == len {
                mem::take(&mut data)
            } else {
                data.slice(done..done + size)
            };
            unix.charged += truesize;
            unix.send_waits = false;
            if is_oob {
                peer.oob = Some(peer.queue.len());
                peer.marked = true;
            }
            peer.push(Chunk {
                data: piece,
                taken: 0,
                truesize,
                sender: id,
                peeked: false,
                extra: ancillary::extra(cx, credentials, wanted, mem::take(&mut rights)),
            });
            done += size;
        }
        if oob {
            self.wake(to, PollMask::READABLE | PollMask::PRI);
        } else {
            self.wake(to, PollMask::READABLE);
        }
    }

    pub(super) fn stream_attempt_recv(
        &mut self,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        let socket = self.get(id)?;
        let Kind::Unix(unix) = &socket.kind else {
            return Err(Errno::EBADF.into());
        };
        if !matches!(unix.state, State::Connected(_)) {
            return Err(Errno::EINVAL.into());
        }
        if request.flags & MSG_OOB != 0 {
            return self.stream_recv_oob(id, request);
        }
        let peek = request.flags & MSG_PEEK != 0;
        let passcred = may_passcred(&socket.common);
        let held = request.progress.held.len();
        let mut creds = request.progress.creds;
        let mut room = request.len.saturating_sub(held);
        let mut data = if held == 0 {
            Payload::new()
        } else {
            request.progress.held.clone()
        };
        let mut copied = 0;
        let mut rights = &[][..];
        let mut met = false;
        let inline = socket.common.has(CommonFlags::OOBINLINE);
        let mut walk = Walk::new(unix, inline, peek);
        walk.skip(&unix.queue, request.skip.bytes);
        let peek_at = socket.common.peek_offset(request.flags, request.skip);
        let mut passed = peek_at.map(|offset| walk.pass(&unix.queue, offset, held > 0));
        let start = walk;
        let drained = loop {
            // A peek that has seen something does not wait for more.
            if peek && met && walk.at >= unix.queue.len() {
                break false;
            }
            let next = passed
                .take()
                .unwrap_or_else(|| walk.next(&unix.queue, held + copied > 0));
            match next {
                Next::Chunk => {}
                // "Stop at the mark": no waiting for more.
                Next::Mark => break false,
                Next::Empty => break true,
            }
            let Some(chunk) = unix.queue.get(walk.at) else {
                break true;
            };
            if passcred {
                // "Never glue messages from different writers."
                if creds.is_some_and(|creds| creds != chunk.credentials()) {
                    break false;
                }
                creds = Some(chunk.credentials());
            }
            met = true;
            let n = (chunk.len() - walk.offset).min(room);
            let from = chunk.taken as usize + walk.offset;
            chunk.append_to(&mut data, from, n);
            copied += n;
            room -= n;
            // An entry of the same recvmmsg(2) that read the chunk's front has its rights.
            // One of no bytes has them before it has any.
            let taken = request.skip.messages > 0 && request.skip.bytes == 0;
            let front = walk.offset == 0 || peek_at.is_some();
            if front && !(taken && walk.at == start.at) {
                rights = chunk.rights();
            }
            if peek {
                walk.step();
            } else {
                walk.read(&unix.queue, n);
            }
            // A peek goes on through the queue when its room is used up, until it meets rights:
            // those it sees too.
            if (room == 0 && !peek) || !rights.is_empty() {
                break false;
            }
        };
        let passes_mark = !peek && copied == 0 && walk.moved_since(&start);
        let total = held + copied;
        let target = socket
            .common
            .low_water(request.flags & MSG_WAITALL != 0, request.len);
        let mut clear_error = false;
        if drained && total < target {
            if let Some(errno) = unix.error.filter(|_| !request.skip.error) {
                // sock_error() takes the error, and what was copied is returned all the same.
                if total == 0 && passes_mark {
                    let effect = FailEffect::UnixSkipped { pending: true };
                    return Err(Fail::with(errno, effect));
                }
                if total == 0 {
                    return Err(Fail::pending(errno));
                }
                clear_error = true;
            } else if !unix.shut.contains(Shut::READ) {
                let last = request.last || request.flags & MSG_DONTWAIT != 0;
                if !(last && total > 0) {
                    let timeout = socket.common.rcvtimeo;
                    let mut outcome = wait(last, PollMask::IN, timeout);
                    if let (Err(fail), true) = (&mut outcome, passes_mark) {
                        fail.effect = FailEffect::UnixSkipped { pending: false };
                    }
                    // What is there is taken at once, as Linux does: the writer may need the room.
                    if outcome.is_ok()
                        && (copied > 0 || passes_mark)
                        && request.skip == Skip::default()
                    {
                        request.progress.held = data;
                        request.progress.creds = creds;
                        self.stream_take(id, copied);
                    }
                    return outcome;
                }
            }
        }
        let credentials = passcred.then(|| match creds {
            Some(credentials) => credentials.unwrap_or(NO_SENDER),
            None => NO_MESSAGE,
        });
        let mut control = if credentials.is_some() || !rights.is_empty() {
            control_out(&socket.common, credentials, rights)
        } else {
            Vec::new()
        };
        if socket.common.has(CommonFlags::INQ) {
            // A peek leaves what it shows.
            let gone = request.skip.bytes + if peek { 0 } else { copied };
            let left = unix.queued.saturating_sub(gone) as i32;
            control.push(ControlOut::Raw {
                level: SOL_SOCKET,
                kind: SCM_INQ,
                data: left.to_ne_bytes().to_vec(),
            });
        }
        if !met && held == 0 && !passes_mark {
            return Ok(Attempt::Ready(received_nothing(control)));
        }
        let effect = UnixRecvEffect {
            bytes: copied,
            passes_mark,
            rights: !rights.is_empty(),
            clear_error,
            ..UnixRecvEffect::default()
        };
        Ok(Attempt::Ready(Received {
            data,
            ret: total,
            msg_flags: 0,
            // "Copy address just once", from the first message.
            name: (met || held > 0)
                .then(|| self.peer_name(unix))
                .flatten()
                .map(|name| address_of(Some(name))),
            control,
            effect: if peek_at.is_some() {
                let (by, empty) = (copied, None);
                RecvEffect::Peek(PeekEffect {
                    by,
                    empty,
                    at: None,
                })
            } else if peek {
                RecvEffect::None
            } else {
                RecvEffect::Unix(effect)
            },
        }))
    }

    /// Takes `n` bytes off the front. Their rights are the reader's now.
    pub(super) fn stream_take(&mut self, id: SocketId, n: usize) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        socket.common.peek_back(n);
        let Kind::Unix(unix) = &mut socket.kind else {
            return;
        };
        if unix.marked {
            let inline = socket.common.has(CommonFlags::OOBINLINE);
            return self.stream_take_marked(id, n, inline);
        }
        let mut left = n;
        let mut freed = 0;
        let mut sender = None;
        while left > 0 {
            let Some(chunk) = unix.queue.front_mut() else {
                break;
            };
            if let Some(extra) = &mut chunk.extra
                && !extra.rights.is_empty()
            {
                self.unix.rights_landed(extra);
                extra.rights = Vec::new();
            }
            let len = chunk.len();
            if left < len {
                chunk.taken += left as u32;
                unix.queued -= left;
                break;
            }
            left -= len;
            unix.queued -= len;
            freed += chunk.truesize;
            sender = Some(chunk.sender);
            unix.queue.pop_front();
        }
        if let Some(sender) = sender {
            self.uncharge(sender, freed);
        }
    }

    /// The same where marks may be: rights of a chunk that was passed unread are dropped.
    fn stream_take_marked(&mut self, id: SocketId, n: usize, inline: bool) {
        let Some(unix) = self.unix_mut(id) else {
            return;
        };
        let mut gone = Vec::new();
        let in_part = unix.take_marked(n, inline, &mut |chunk, read| gone.push((chunk, read)));
        // A mark at the front keeps its rights: its byte was read with MSG_OOB, which brings none.
        if in_part
            && let Some(socket) = self.sockets.get_mut(id)
            && let Kind::Unix(unix) = &mut socket.kind
            && let Some(front) = unix.queue.front_mut()
            && let Some(extra) = &mut front.extra
        {
            self.unix.rights_landed(extra);
            extra.rights = Vec::new();
        }
        for (chunk, read) in gone {
            self.uncharge(chunk.sender, chunk.truesize);
            match &chunk.extra {
                Some(extra) if read => self.unix.rights_landed(extra),
                _ => self.drop_extra(chunk),
            }
        }
    }

    /// A read of no bytes has taken the front chunk's rights.
    pub(super) fn stream_take_rights(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        let Kind::Unix(unix) = &mut socket.kind else {
            return;
        };
        if let Some(extra) = unix
            .queue
            .front_mut()
            .and_then(|chunk| chunk.extra.as_mut())
        {
            self.unix.rights_landed(extra);
            extra.rights = Vec::new();
        }
    }

    /// The other way round: what a given-up call held is at the front again.
    pub(super) fn stream_unread(&mut self, id: SocketId, progress: RecvProgress) {
        let Some(unix) = self.unix_mut(id) else {
            return;
        };
        let Some(sender) = unix.peer().map(|peer| peer.id) else {
            return;
        };
        let len = progress.held.len();
        if unix.ty != UnixType::Stream || len == 0 {
            return;
        }
        let truesize = stream_truesize(len);
        let credentials = progress.creds.flatten();
        unix.queued += len;
        unix.oob = unix.oob.map(|at| at + 1);
        unix.queue.push_front(Chunk {
            data: progress.held,
            taken: 0,
            truesize,
            sender,
            peeked: false,
            extra: credentials.map(|_| {
                Box::new(Extra {
                    credentials,
                    ..Extra::default()
                })
            }),
        });
        if let Some(peer) = self.unix_mut(sender) {
            peer.charged += truesize;
        }
        self.wake(id, PollMask::READABLE);
    }
}
