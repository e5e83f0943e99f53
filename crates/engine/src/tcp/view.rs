//! One socket, found once: what a call asks of it before it decides.

use super::api::Status;
use super::connection::Connection;
use super::state::State;
use super::stream_queue::StreamQueue;
use super::table::NAMELESS;
use super::urgent::UrgentView;
use crate::config::Sysctl;
use crate::event::TcpId;
use crate::ports::BindKey;
use crate::stack::Stack;
use crate::time::Instant;

/// A TCP socket to look at; each method answers as the one of [`Stack`] whose name it ends.
#[derive(Clone, Copy)]
pub struct TcpView<'a>(&'a Connection, &'a Sysctl);

impl Stack {
    /// The socket to look at, for a call that has several questions.
    #[inline]
    pub fn tcp_view(&self, id: TcpId) -> TcpView<'_> {
        TcpView(&self.tcp.open(id).conn, &self.sysctl)
    }
}

impl Stack {
    /// Gives the socket a name of the caller's, or takes it away; any but `u64::MAX`.
    pub fn tcp_set_name(&mut self, id: TcpId, name: Option<u64>) {
        self.tcp.open_mut(id).name = name.unwrap_or(NAMELESS);
    }

    /// Whose it is (sk_uid), which bind tells as well.
    pub fn tcp_set_owner(&mut self, id: TcpId, uid: u32) {
        let socket = self.tcp.open_mut(id);
        socket.uid = uid;
        if let Some(old) = socket.bind {
            let new = BindKey { uid, ..old };
            socket.bind = Some(new);
            self.tcp_ports.replace(&old, new);
        }
    }

    /// The name it was given; none when it has none or is closed.
    #[inline]
    pub fn tcp_name(&self, id: TcpId) -> Option<u64> {
        let socket = self.tcp.get(id)?;
        (socket.name != NAMELESS).then_some(socket.name)
    }
}

impl<'a> TcpView<'a> {
    /// The state.
    #[inline]
    pub fn state(self) -> State {
        self.0.state
    }

    /// State, shutdowns and pending error.
    #[inline]
    pub fn status(self) -> Status {
        let conn = self.0;
        Status {
            state: conn.state,
            rcv_shutdown: conn.rcv_shutdown,
            snd_shutdown: conn.snd_shutdown,
            done: conn.fin_received,
            error: conn.error,
        }
    }

    /// Bytes that may be queued now; 0 means a sender must wait.
    #[inline]
    pub fn send_room(self) -> usize {
        self.0.send_room(self.1)
    }

    /// Bytes in the receive queue, an urgent byte included.
    #[inline]
    pub fn recv_available(self) -> usize {
        self.0.recv.len()
    }

    /// The receive queue.
    #[inline]
    pub fn recv_queue(self) -> &'a StreamQueue {
        &self.0.recv
    }

    /// The urgent state.
    #[inline]
    pub fn urgent(self) -> UrgentView {
        self.0.urgent_view()
    }

    /// When data was last received; not if [`Stack::tcp_forget_receive`](crate::Stack::tcp_forget_receive) came later.
    #[inline]
    pub fn last_receive(self) -> Option<Instant> {
        (self.0.received > 0 && !self.0.ack.unstamped).then_some(self.0.ack.last_received)
    }

    /// The window is nearly closed, so that a reader who waits for more waits for ever (tcp_epollin_ready).
    #[inline]
    pub fn window_is_tight(self) -> bool {
        self.0.receive_window() <= self.0.rcv_mss
    }
}
