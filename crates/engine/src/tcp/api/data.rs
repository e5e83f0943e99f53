//! Sending, receiving and urgent data, for the socket layer.

use bytes::Bytes;
use switchboard_wire::Payload;

use crate::event::TcpId;
use crate::stack::Stack;
use crate::tcp::state::State;
use crate::tcp::stream_queue::StreamQueue;
use crate::tcp::urgent::{UrgentByte, UrgentView};
use crate::tcp::user::SendFlags;
use crate::time::Instant;

impl Stack {
    /// Bytes that may be queued now; 0 means a sender must wait.
    #[inline]
    pub fn tcp_send_room(&self, id: TcpId) -> usize {
        self.tcp.open(id).conn.send_room(&self.sysctl)
    }

    /// Whether poll(2) says POLLOUT: a third of the send buffer is free. When that comes back, there is a WRITABLE
    /// event, whether anybody has looked (Linux's SOCK_NOSPACE) or not.
    #[inline]
    pub fn tcp_is_writable(&self, id: TcpId) -> bool {
        self.tcp.open(id).conn.writable(&self.sysctl)
    }

    /// `send(fd, ...)`: queues all of `data` and sends what may be sent. The caller has looked at the room, the state
    /// and the shutdown; on a socket that may not send, the data is dropped.
    #[inline]
    pub fn tcp_send(&mut self, now: Instant, id: TcpId, data: Bytes, flags: SendFlags) {
        let conn = &mut self.tcp.open_mut(id).conn;
        let may = conn.state.can_send() || conn.is_fast_child();
        if !may || conn.snd_shutdown || data.is_empty() {
            debug_assert!(data.is_empty() || !may || conn.snd_shutdown);
            return;
        }
        conn.send(&self.sysctl, data, flags);
        self.tcp_finish(now, id.index);
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.no_space |= !conn.writable(&self.sysctl);
    }

    /// Bytes in the receive queue, an urgent byte included.
    #[inline]
    pub fn tcp_recv_available(&self, id: TcpId) -> usize {
        self.tcp.open(id).conn.recv.len()
    }

    /// The receive queue.
    #[inline]
    pub fn tcp_recv_queue(&self, id: TcpId) -> &StreamQueue {
        &self.tcp.open(id).conn.recv
    }

    /// The application took `n` bytes from the receive queue.
    #[inline]
    pub fn tcp_consume(&mut self, now: Instant, id: TcpId, n: usize) {
        let (cx, socket) = self.tcp_cx(now, id);
        socket.conn.consumed(cx, n);
        if !socket.conn.out.is_empty() {
            self.tcp_finish(now, id.index);
        }
    }

    /// The reader stepped over the urgent byte and went no further: it can be read with MSG_OOB as before.
    pub fn tcp_step_over(&mut self, id: TcpId) {
        self.tcp.open_mut(id).conn.recv.consume(1);
    }

    /// Puts bytes back in front of the receive queue, which a call took and did not deliver.
    pub fn tcp_unread(&mut self, _now: Instant, id: TcpId, data: Payload) {
        self.tcp.open_mut(id).conn.recv.unread(data.into_iter());
    }

    /// When data was last received.
    pub fn tcp_last_receive(&self, id: TcpId) -> Option<Instant> {
        self.tcp_view(id).last_receive()
    }

    /// What has been received came at no time that is known.
    pub fn tcp_forget_receive(&mut self, id: TcpId) {
        self.tcp.open_mut(id).conn.ack.unstamped = true;
    }

    /// The window is nearly closed, so that a reader who waits for more waits for ever (tcp_epollin_ready).
    pub fn tcp_window_is_tight(&self, id: TcpId) -> bool {
        self.tcp_view(id).window_is_tight()
    }

    /// The urgent state.
    pub fn tcp_urgent(&self, id: TcpId) -> UrgentView {
        self.tcp.open(id).conn.urgent_view()
    }

    /// recv(MSG_OOB) has taken the urgent byte.
    pub fn tcp_urgent_taken(&mut self, id: TcpId) {
        self.tcp.open_mut(id).conn.urgent_taken();
    }

    /// SIOCINQ, FIONREAD: bytes that a read returns, up to the urgent mark (tcp_inq).
    pub fn tcp_inq(&self, id: TcpId) -> usize {
        let conn = &self.tcp.open(id).conn;
        if matches!(conn.state, State::SynSent | State::SynRecv) {
            return 0;
        }
        let before_mark = match conn.urgent.byte {
            UrgentByte::None => None,
            _ if conn.opts.oob_inline || !conn.urgent.seq.lt(conn.rcv_nxt) => None,
            _ => conn.urgent_view().offset,
        };
        before_mark.unwrap_or(conn.recv.len())
    }

    /// SIOCOUTQ: bytes written and not acknowledged, our FIN included.
    pub fn tcp_outq(&self, id: TcpId) -> usize {
        let conn = &self.tcp.open(id).conn;
        if matches!(conn.state, State::SynSent | State::SynRecv) {
            return 0;
        }
        // Also of a connection that is over: the numbers stay, those of the SYN and the FIN too.
        conn.unacknowledged() as usize
    }

    /// The first sequence number that is not acknowledged, and the first that is not written yet (snd_una, write_seq).
    pub fn tcp_send_sequence(&self, id: TcpId) -> (u32, u32) {
        let conn = &self.tcp.open(id).conn;
        (conn.snd_una.0, conn.write_seq().0)
    }

    /// SIOCOUTQNSD: bytes written and never sent.
    pub fn tcp_outq_unsent(&self, id: TcpId) -> usize {
        let conn = &self.tcp.open(id).conn;
        conn.never_sent() as usize
    }
}
