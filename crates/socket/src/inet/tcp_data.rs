//! tcp(7): sending and receiving.

use super::fastopen::Opening;
use super::tcp::{SendInto, SockState, TcpRecvEffect, TcpSendPlan, TcpSocket};
use crate::call::{Attempt, Blocked, Cx, Fail, FailEffect};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{
    ControlOut, PlanKind, Received, RecvEffect, RecvRequest, SendPlan, SendRequest, Skip,
};
use crate::options::control::{self, Cookie};
use crate::options::peek::PeekEffect;
use crate::socket::{Common, CommonFlags, Socket};
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{Moments, SendFlags, State, Status};
use switchboard_wire::Payload;

/// The largest piece queued at once: one send buffer page of Linux's, a 64 KiB segment. A send may
/// overshoot the buffer by less than this, as an skb may.
const PIECE: usize = 64 * 1024;

/// `SO_ERROR` without clearing it: the connection's error, or one that was told.
pub(super) fn pending_error(status: &Status, s: &TcpSocket) -> Option<Errno> {
    status.error.map(crate::error::tcp).or(s.told)
}

/// How much of the queue a receive does not see: what earlier entries of a recvmmsg(2) hold, or what
/// lies before SO_PEEK_OFF.
fn tcp_skipped(common: &Common, request: &RecvRequest<'_>) -> usize {
    let offset = common.peek_offset(request.flags, request.skip);
    request.skip.bytes.saturating_add(offset.unwrap_or(0))
}

impl Host {
    /// tcp_sendmsg_locked(), up to where it would copy.
    pub(crate) fn tcp_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        let (socket, s) = self.tcp_socket(id)?;
        // An error of sock_cmsg_send() waits until there is a connection; a device's memory is looked for at once.
        if !request.control.other.is_empty() {
            let mut cookie = Cookie::new(&socket.common);
            let told = cookie.apply_all(cx.cred.caps, &socket.common, request.control);
            if cookie.of_device && told.and(request.control.check()).is_ok() {
                return Err(Errno::EINVAL.into());
            }
        }
        if socket.common.has(CommonFlags::TCP_REPAIR) {
            return self.tcp_attempt_repair_send(id, request);
        }
        let (socket, s, view) =
            if request.flags & MSG_FASTOPEN != 0 || s.state == SockState::Connecting {
                match self.tcp_attempt_opening(cx, id, request)? {
                    Opening::Done(done) => return done,
                    Opening::Ordinary => {}
                }
                let (socket, s) = self.tcp_socket(id)?;
                (socket, s, self.stack.tcp_view(s.handle))
            } else {
                (socket, s, self.stack.tcp_view(s.handle))
            };
        let blocked = || Blocked {
            interest: PollMask::OUT,
            timeout: socket.common.sndtimeo,
        };
        let status = view.status();
        let error = pending_error(&status, s);
        // sk_stream_error(): a pending error stands in for EPIPE, and then there is no signal.
        let pipe = || match error {
            None => Fail::PIPE,
            Some(errno) => Fail {
                // A connection that was reset behind its end has EPIPE pending.
                sigpipe: errno == Errno::EPIPE,
                ..Fail::pending(errno)
            },
        };
        match status.state {
            State::Established | State::CloseWait => {}
            // tcp_sendmsg_locked(): the passive side of a fast open does not wait.
            State::SynRecv if self.stack.tcp_is_fastopen_child(s.handle) => {}
            State::SynSent | State::SynRecv if error.is_none() => {
                // sk_stream_wait_connect()
                if request.last {
                    return Err(Errno::EAGAIN.into());
                }
                return Ok(Attempt::Blocked(blocked()));
            }
            _ => return Err(pipe()),
        }
        // sock_cmsg_send() comes when there is a connection.
        let mut moments = Moments::empty();
        if !request.control.other.is_empty() || socket.common.rare.is_some() {
            let mut cookie = Cookie::new(&socket.common);
            cookie.apply_all(cx.cred.caps, &socket.common, request.control)?;
            moments = cookie.moments();
        }
        request.control.check()?;
        if error.is_some() || status.snd_shutdown {
            return Err(pipe());
        }
        let left = request.len - request.done;
        let plan = |take| {
            let kind = TcpSendPlan {
                // tcp_tx_timestamp(): of a call, its last byte.
                moments: match request.done + take == request.len {
                    true => moments,
                    false => Moments::empty(),
                },
                notice: socket.common.wants_notice(request.flags) && request.done == 0 && take > 0,
                more: request.flags & MSG_MORE != 0 || request.done + take < request.len,
                oob: request.flags & MSG_OOB != 0 && request.done + take == request.len,
                eor: request.flags & MSG_EOR != 0,
                into: SendInto::Stream,
            };
            Ok(Attempt::Ready(SendPlan {
                take,
                charge: 0,
                kind: PlanKind::Tcp(kind),
            }))
        };
        if left == 0 {
            return plan(0);
        }
        let room = view.send_room().saturating_sub(request.skip.bytes);
        if room == 0 {
            if request.last {
                return Err(Errno::EAGAIN.into());
            }
            return Ok(Attempt::Blocked(blocked()));
        }
        plan(left.min(room.next_multiple_of(PIECE)))
    }

    pub(crate) fn tcp_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        plan: TcpSendPlan,
        data: Payload,
    ) {
        let Ok(s) = self.tcp(id) else { return };
        let handle = s.handle;
        match plan.into {
            SendInto::Stream => {}
            SendInto::Syn => {
                self.stack.tcp_send_syn(cx.now, handle, data.to_bytes());
                return self.collect_stack_events();
            }
            SendInto::Repaired => {
                if !data.is_empty() {
                    self.stack.tcp_repair_send(cx.now, handle, data.to_bytes());
                }
                return self.collect_stack_events();
            }
        }
        let chunks = data.iter().len();
        for (i, chunk) in data.into_iter().enumerate() {
            let last = i + 1 == chunks;
            let flags = SendFlags {
                more: plan.more || !last,
                oob: plan.oob && last,
                eor: plan.eor && last,
            };
            if last && !plan.moments.is_empty() {
                self.stack.tcp_watch(handle, chunk.len(), plan.moments);
            }
            self.stack.tcp_send(cx.now, handle, chunk, flags);
        }
        if plan.notice {
            self.zerocopy_done(id);
        }
        self.collect_stack_events();
    }

    /// tcp_recvmsg_locked().
    pub(crate) fn tcp_attempt_recv(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        if request.flags & MSG_ERRQUEUE != 0 {
            return self.attempt_recv_error(cx, id, request);
        }
        let (socket, s) = self.tcp_socket(id)?;
        let view = self.stack.tcp_view(s.handle);
        let status = view.status();
        let state = status.state;
        // sk_wait_event(): another thread has disconnected it meanwhile, whose error stays for the next call.
        let cut = request.progress.asleep && request.progress.disconnects != s.disconnects;
        if cut && request.progress.held.is_empty() {
            return Err(Errno::EPIPE.into());
        }
        if state == State::Listen {
            return Err(Errno::ENOTCONN.into());
        }
        if request.flags & MSG_OOB != 0 {
            return self.tcp_recv_oob(id, request);
        }
        let (socket, s, view) = if socket.common.has(CommonFlags::TCP_REPAIR) {
            if let Some(done) = self.tcp_attempt_repair_recv(id, request)? {
                return Ok(done);
            }
            let (socket, s) = self.tcp_socket(id)?;
            (socket, s, self.stack.tcp_view(s.handle))
        } else {
            (socket, s, view)
        };
        let peek = request.flags & MSG_PEEK != 0;
        let skip = tcp_skipped(&socket.common, request);
        let held = request.progress.held.len();
        let waitall = request.flags & MSG_WAITALL != 0 && !request.last;
        let target = socket.common.low_water(waitall, request.len);

        // What may be read in one call: up to an urgent byte, which is stepped over when it is
        // first and not to be read inline.
        let inline = socket.common.has(CommonFlags::OOBINLINE);
        let mut available = view.recv_available().saturating_sub(skip);
        let mut hole = 0;
        let mut at_mark = false;
        // Earlier entries of the same recvmmsg(2) have stepped over it.
        let mut passed = 0;
        if let Some(mark) = view.urgent().offset {
            // SO_PEEK_OFF counts it among the bytes.
            if mark < request.skip.bytes && !inline {
                passed = 1;
                available = available.saturating_sub(1);
            }
            let mark = mark.wrapping_sub(skip);
            if mark > available || passed > 0 {
                // Behind us, or not in the queue yet.
            } else if mark > 0 || held > 0 {
                // "Are we at urgent data? Stop if we have read anything": also what was taken before the wait.
                available = mark;
                at_mark = true;
            } else if !inline && available > 0 {
                hole = 1;
                available -= 1;
            }
        }
        let have = held + available;

        let error = pending_error(&status, s);
        let done = status.done;
        let over = error.is_some() || status.rcv_shutdown || state == State::Close;
        // Who sleeps is woken by what lies in the queue (tcp_data_ready()), whatever they have taken
        // already.
        let mark = socket.common.low_water(false, i32::MAX as usize);
        let sleeps_on = request.progress.asleep
            && !(over || at_mark || request.last || view.window_is_tight())
            && available + hole < mark;
        if sleeps_on {
            let (interest, timeout) = (PollMask::IN, socket.common.rcvtimeo);
            return Ok(Attempt::Blocked(Blocked { interest, timeout }));
        }
        if have < target && !(have > 0 && (over || at_mark || request.last)) {
            if have == 0 {
                if hole > 0 && request.len == 0 {
                    return Ok(Attempt::Ready(self.tcp_received(
                        cx,
                        id,
                        request,
                        0,
                        (passed, 0),
                        peek,
                    )));
                }
                let skipped = if peek { 0 } else { hole };
                if done {
                    return Ok(Attempt::Ready(self.tcp_received(
                        cx,
                        id,
                        request,
                        0,
                        (passed, hole),
                        peek,
                    )));
                }
                // Behind the data: also when all there is is the urgent byte, which is lost now.
                let fail = |errno, pending| match skipped {
                    0 if pending => Fail::pending(errno),
                    0 => Fail::from(errno),
                    bytes => Fail::with(errno, FailEffect::Skipped { bytes, pending }),
                };
                if let Some(errno) = error {
                    return Err(fail(errno, true));
                }
                if status.rcv_shutdown {
                    return Ok(Attempt::Ready(self.tcp_received(
                        cx,
                        id,
                        request,
                        0,
                        (passed, hole),
                        peek,
                    )));
                }
                if state == State::Close {
                    // Read before it was ever connected.
                    return Err(fail(Errno::ENOTCONN, false));
                }
                if request.last {
                    return Err(fail(Errno::EAGAIN, false));
                }
            }
            // A reader that has to wait takes what is there, as tcp_recvmsg_locked() does: the window
            // opens for the rest.
            let (interest, timeout) = (PollMask::IN, socket.common.rcvtimeo);
            request.progress.asleep = true;
            request.progress.disconnects = s.disconnects;
            if !peek && request.skip == Skip::default() {
                self.tcp_hold(cx, id, request, available, hole);
            }
            return Ok(Attempt::Blocked(Blocked { interest, timeout }));
        }
        let n = request.len.min(have);
        // Who asks for nothing steps over nothing.
        let hole = if request.len == 0 { 0 } else { hole };
        Ok(Attempt::Ready(self.tcp_received(
            cx,
            id,
            request,
            n,
            (passed, hole),
            peek,
        )))
    }

    /// Builds the result: `n` bytes, of which the call may hold some already, after a `hole`; one that
    /// was `passed` before is not this call's to take.
    fn tcp_received(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        request: &RecvRequest<'_>,
        n: usize,
        (passed, hole): (usize, usize),
        peek: bool,
    ) -> Received {
        let mut data = Payload::new();
        let held = request.progress.held.len().min(n);
        for chunk in request.progress.held.iter() {
            data.push(chunk.clone());
        }
        let from_queue = n - held;
        let mut control = Vec::new();
        if let Ok((socket, s)) = self.tcp_socket(id) {
            let view = self.stack.tcp_view(s.handle);
            // MSG_TRUNC throws the bytes away instead of copying them (tcp(7)).
            if request.flags & MSG_TRUNC == 0 {
                let queue = view.recv_queue();
                let skip = tcp_skipped(&socket.common, request);
                queue.share(skip + passed + hole, from_queue, &mut data);
            }
            // Who asks for nothing has looked at the first packet all the same.
            let looked = n > 0
                || request.len == 0 && view.recv_available() > tcp_skipped(&socket.common, request);
            if socket.common.stamps()
                && looked
                && let Some(at) = view.last_receive()
                // What came before anybody wanted a stamp has none (tcp_recv_timestamp()); of datagrams Linux tells
                // the time at which they are read instead.
                && at >= self.stamped_since
            {
                let at = cx.realtime.saturating_sub(cx.now.saturating_sub(at));
                control::stamps(cx, &socket.common, Some(at), false, &mut control);
            }
        }
        let taken = if peek { 0 } else { from_queue + hole };
        self.tcp_inq_out(id, request.skip.bytes + passed + taken, &mut control);
        let offset = |s: &Socket| s.common.peek_offset(request.flags, request.skip);
        let effect = if peek && n > 0 && self.get(id).is_ok_and(|s| offset(s).is_some()) {
            RecvEffect::Peek(PeekEffect::of_bytes(n))
        } else if peek || (from_queue == 0 && hole == 0) {
            RecvEffect::None
        } else {
            let consume = from_queue + hole;
            RecvEffect::Tcp(TcpRecvEffect {
                consume,
                hole,
                oob: false,
                wide: request.len > 1,
            })
        };
        let data = if request.flags & MSG_TRUNC != 0 {
            Payload::new()
        } else {
            data
        };
        Received {
            data,
            ret: n,
            msg_flags: 0,
            name: None,
            control,
            effect,
        }
    }

    /// TCP_INQ: how much can be read after this; with an end of file behind it, one more
    /// (tcp_inq_hint()).
    fn tcp_inq_out(&self, id: SocketId, taken: usize, control: &mut Vec<ControlOut>) {
        let (Ok(socket), Ok(s)) = (self.get(id), self.tcp(id)) else {
            return;
        };
        if !socket.common.has(CommonFlags::INQ) {
            return;
        }
        let left = self
            .stack
            .tcp_recv_available(s.handle)
            .saturating_sub(taken);
        let left = left + usize::from(self.stack.tcp_status(s.handle).done);
        control.push(ControlOut::Raw {
            level: SOL_TCP,
            kind: TCP_CM_INQ,
            data: (left as i32).to_ne_bytes().to_vec(),
        });
    }

    /// Takes `n` bytes off the queue into the call, so that the window opens for the rest.
    fn tcp_hold(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
        n: usize,
        hole: usize,
    ) {
        let Ok(s) = self.tcp(id) else { return };
        let handle = s.handle;
        let queue = self.stack.tcp_recv_queue(handle);
        queue.share(hole, n, &mut request.progress.held);
        self.stack.tcp_consume(cx.now, handle, n + hole);
        self.collect_stack_events();
        if let Ok(socket) = self.get_mut(id) {
            socket.common.peek_back(n);
        }
    }

    /// tcp_recv_urg(). It never waits.
    fn tcp_recv_oob(
        &mut self,
        id: SocketId,
        request: &RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        let socket = self.get(id)?;
        let s = self.tcp(id)?;
        let urgent = self.stack.tcp_urgent(s.handle);
        if socket.common.has(CommonFlags::OOBINLINE) || !urgent.pending {
            return Err(Errno::EINVAL.into());
        }
        let state = self.stack.tcp_state(s.handle);
        if state == State::Close && !self.stack.tcp_status(s.handle).done {
            return Err(Errno::ENOTCONN.into());
        }
        let mut received = Received {
            data: Payload::new(),
            ret: 0,
            msg_flags: 0,
            name: None,
            control: Vec::new(),
            effect: RecvEffect::None,
        };
        self.tcp_inq_out(id, 0, &mut received.control);
        if let Some(byte) = urgent.byte {
            received.msg_flags = MSG_OOB;
            if request.len == 0 {
                received.msg_flags |= MSG_TRUNC;
            } else {
                received.ret = 1;
                if request.flags & MSG_TRUNC == 0 {
                    received.data.push(bytes::Bytes::copy_from_slice(&[byte]));
                }
            }
            if request.flags & MSG_PEEK == 0 {
                received.effect = RecvEffect::Tcp(TcpRecvEffect {
                    consume: 0,
                    hole: 0,
                    oob: true,
                    wide: false,
                });
            }
            return Ok(Attempt::Ready(received));
        }
        if state == State::Close || self.tcp_shut(s).read {
            return Ok(Attempt::Ready(received));
        }
        // The mark has come, its byte has not: "BSD doesn't wait here."
        Err(Errno::EAGAIN.into())
    }

    pub(crate) fn tcp_commit_recv(&mut self, cx: &mut Cx<'_>, id: SocketId, effect: TcpRecvEffect) {
        let Ok(s) = self.tcp(id) else { return };
        let handle = s.handle;
        if effect.oob {
            self.stack.tcp_urgent_taken(handle);
        }
        if effect.consume > 0 {
            self.stack.tcp_consume(cx.now, handle, effect.consume);
            self.collect_stack_events();
            if let Ok(socket) = self.get_mut(id) {
                socket.common.peek_back(effect.consume - effect.hole);
            }
            if self.stack.tcp_recv_available(handle) > 0
                && self.stack.tcp_window_is_tight(handle)
                && let Ok(s) = self.tcp(id)
                && !self.tcp_readable_after(id, s, 0)
            {
                // Only the window makes it readable (tcp_epollin_ready()), which nobody could foretell.
                self.wake(id, PollMask::READABLE);
            }
        }
    }

    pub(crate) fn tcp_step(&mut self, id: SocketId) {
        if let Ok(s) = self.tcp(id) {
            let handle = s.handle;
            self.stack.tcp_step_over(handle);
        }
    }

    /// Whether a read of this many bytes has the urgent one among them (`SO_OOBINLINE`).
    pub(crate) fn tcp_passes_urgent(&self, id: SocketId, bytes: usize) -> bool {
        let Ok(s) = self.tcp(id) else { return false };
        let mark = self.stack.tcp_urgent(s.handle).offset;
        mark.is_some_and(|offset| offset < bytes)
    }

    /// A reader found nothing behind `n` bytes that it does not read.
    pub(crate) fn tcp_skip(&mut self, cx: &mut Cx<'_>, id: SocketId, n: usize) {
        let effect = TcpRecvEffect {
            consume: n,
            hole: n,
            oob: false,
            wide: false,
        };
        self.tcp_commit_recv(cx, id, effect);
    }

    /// Puts back what an abandoned MSG_WAITALL held.
    pub(crate) fn tcp_unread(&mut self, cx: &mut Cx<'_>, id: SocketId, held: Payload) {
        let Ok(s) = self.tcp(id) else { return };
        let handle = s.handle;
        self.stack.tcp_unread(cx.now, handle, held);
        self.wake(id, PollMask::READABLE);
    }
}
