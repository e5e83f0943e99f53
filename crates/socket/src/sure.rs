//! Whether a call may wait, and whether it would.
//!
//! A driver may have to ask somebody else whether a caller allows waiting. It need not when the answer is the same
//! either way. "No" here means: that takes more than a look.

use crate::host::Host;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use switchboard_abi::number::*;
use switchboard_engine::State;

impl Host {
    /// `O_NONBLOCK`, kept with the socket for a driver that has no open files to keep it with. The layer itself makes
    /// nothing of it.
    pub fn set_nonblocking(&mut self, id: SocketId, on: bool) {
        if let Ok(socket) = self.get_mut(id) {
            socket.common.flags.set(CommonFlags::NONBLOCK, on);
        }
    }

    /// What [`set_nonblocking`](Self::set_nonblocking) has set.
    pub fn nonblocking(&self, id: SocketId) -> bool {
        self.get(id)
            .is_ok_and(|socket| socket.common.has(CommonFlags::NONBLOCK))
    }

    /// Whether a receive of up to `len` bytes is answered at once, with data or the end of it.
    pub fn recv_is_ready(&self, id: SocketId, len: usize, flags: i32) -> bool {
        let Ok(socket) = self.get(id) else {
            return false;
        };
        if flags & (MSG_WAITALL | MSG_OOB | MSG_ERRQUEUE) != 0 {
            return false;
        }
        let want = socket.common.low_water(false, len);
        match &socket.kind {
            Kind::Tcp(s) => {
                let view = self.stack.tcp_view(s.handle);
                // An urgent byte divides what is there.
                view.urgent().offset.is_none() && view.recv_available() >= want
            }
            Kind::Unix(s) => s.holds(want),
            _ => false,
        }
    }

    /// Whether a send of `len` bytes is queued whole, or refused, at once.
    pub fn send_is_ready(&self, id: SocketId, len: usize, flags: i32) -> bool {
        let Ok(socket) = self.get(id) else {
            return false;
        };
        if flags & MSG_OOB != 0 || len == 0 {
            return false;
        }
        match &socket.kind {
            Kind::Tcp(s) => {
                let view = self.stack.tcp_view(s.handle);
                matches!(view.state(), State::Established | State::CloseWait)
                    && view.send_room() >= len
            }
            Kind::Unix(s) => s.takes(socket.common.sndbuf, len),
            _ => false,
        }
    }

    /// Whether a connection waits for accept(2).
    pub fn accept_is_ready(&self, id: SocketId) -> bool {
        match self.kind(id) {
            Ok(Kind::Tcp(s)) => {
                self.stack.tcp_state(s.handle) == State::Listen
                    && self.stack.tcp_accept_queue(s.handle) > 0
            }
            Ok(Kind::Unix(s)) => s.accept_queue() > 0,
            _ => false,
        }
    }
}
