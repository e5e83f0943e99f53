//! tcp(7): TCP Fast Open's part of connect(2) and send(2).

use super::tcp::{SendInto, SockState, TcpSendPlan};
use crate::call::{Attempt, Blocked, Cx, Fail};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{PlanKind, SendPlan, SendRequest};
use crate::table::SocketId;
use core::net::SocketAddr;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::State;

/// What send(2) does next.
pub(super) enum Opening {
    /// As without Fast Open.
    Ordinary,
    /// This.
    Done(Result<Attempt<SendPlan>, Fail>),
}

impl Host {
    /// The connection attempt of connect(2) and of MSG_FASTOPEN. True: its SYN waits for data.
    pub(super) fn tcp_open_fast(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        remote: SocketAddr,
    ) -> Result<bool, Errno> {
        let handle = self.tcp(id)?.handle;
        let ready = self.stack.tcp_fastopen_ready(handle, remote.ip());
        self.stack
            .tcp_connect_fast(cx.now, handle, remote, ready)
            .map_err(crate::error::connect)?;
        Ok(ready)
    }

    /// Whether connect(2) is to open fast (tcp_fastopen_defer_connect()).
    pub(super) fn tcp_opens_fast(&self, id: SocketId) -> bool {
        self.tcp(id).is_ok_and(|s| {
            self.stack.tcp_fastopen_allowed() && self.stack.tcp_options(s.handle).fastopen_connect
        })
    }

    /// tcp_sendmsg_fastopen(): a send that opens the connection, with its data in the SYN if that may be.
    pub(super) fn tcp_attempt_opening(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Opening, Fail> {
        let s = self.tcp(id)?;
        let (handle, state, opening) = (s.handle, s.state, s.opening);
        let asks = s.asks_for_cookie;
        let deferred = self.stack.tcp_is_deferred(handle);
        if request.flags & MSG_FASTOPEN == 0 && !deferred {
            return Ok(Opening::Ordinary);
        }
        if request.done > 0 || opening {
            return self.tcp_opening_goes_on(cx, id, request);
        }
        if !self.stack.tcp_fastopen_allowed() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let unspec = |raw: &[u8]| switchboard_abi::sockaddr::family(raw) == Some(AF_UNSPEC);
        if !deferred {
            if request.name.is_some_and(unspec) {
                return Err(Errno::EOPNOTSUPP.into());
            }
            if asks {
                return Err(Errno::EALREADY.into());
            }
            match state {
                SockState::Connected => return Err(Errno::EISCONN.into()),
                SockState::Disconnecting => return Err(Errno::EINVAL.into()),
                SockState::Connecting => {
                    let early = matches!(
                        self.stack.tcp_state(handle),
                        State::SynSent | State::SynRecv
                    );
                    if early && request.last {
                        return Err(Errno::EALREADY.into());
                    }
                    self.tcp_mut(id)?.opening = early;
                    return self.tcp_opening_goes_on(cx, id, request);
                }
                SockState::Unconnected if self.stack.tcp_state(handle) != State::Close => {
                    return Err(Errno::EISCONN.into());
                }
                SockState::Unconnected => {}
            }
            let raw = request.name.ok_or(Errno::EINVAL)?;
            let remote = self.tcp_destination(id, raw)?;
            self.bind_to_scope(id, remote)?;
            let ready = self.tcp_open_fast(cx, id, remote)?;
            let s = self.tcp_mut(id)?;
            s.state = SockState::Connecting;
            s.told = None;
            s.opening = !ready;
            self.collect_stack_events();
            if !ready {
                // The SYN asks for a cookie, and the data waits.
                if request.last {
                    self.tcp_mut(id)?.opening = false;
                    return Err(Errno::EINPROGRESS.into());
                }
                return self.tcp_opening_goes_on(cx, id, request);
            }
        }
        let take = request.len.min(self.stack.tcp_syn_room(handle));
        let plan = TcpSendPlan {
            moments: switchboard_engine::Moments::empty(),
            notice: false,
            more: false,
            oob: false,
            eor: false,
            into: SendInto::Syn,
        };
        Ok(Opening::Done(Ok(Attempt::Ready(SendPlan {
            take,
            charge: 0,
            kind: PlanKind::Tcp(plan),
        }))))
    }

    /// inet_wait_for_connect() in the middle of a send.
    fn tcp_opening_goes_on(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Opening, Fail> {
        let handle = self.tcp(id)?.handle;
        let timeout = self.get(id)?.common.sndtimeo;
        match self.stack.tcp_state(handle) {
            State::SynSent | State::SynRecv if !request.last => {
                let interest = PollMask::OUT;
                Ok(Opening::Done(Ok(Attempt::Blocked(Blocked {
                    interest,
                    timeout,
                }))))
            }
            State::SynSent | State::SynRecv => {
                self.tcp_mut(id)?.opening = false;
                Err(Errno::EINPROGRESS.into())
            }
            State::Close => {
                self.tcp_mut(id)?.opening = false;
                let error = self.take_pending_error(id).unwrap_or(Errno::ECONNABORTED);
                self.tcp_unconnect(cx, id)?;
                Err(error.into())
            }
            _ => {
                let s = self.tcp_mut(id)?;
                s.opening = false;
                s.state = SockState::Connected;
                Ok(Opening::Ordinary)
            }
        }
    }
}
