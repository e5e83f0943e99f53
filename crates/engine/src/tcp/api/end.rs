//! How connections end, for the socket layer: shutdown, close, disconnect.

use core::time::Duration;

use super::{NotConnected, unspecified};
use crate::event::{SocketHandle, TcpId};
use crate::ports::{BindKey, BindState};
use crate::stack::Stack;
use crate::tcp::congestion::Congestion;
use crate::tcp::connection::Connection;
use crate::tcp::options::Linger2;
use crate::tcp::receive::RCV_MSS_MIN;
use crate::tcp::state::{Shutdown, State, TcpError};
use crate::tcp::table::Kind;
use crate::time::Instant;

impl Stack {
    /// `shutdown(fd, how)`
    pub fn tcp_shutdown(
        &mut self,
        now: Instant,
        id: TcpId,
        how: Shutdown,
    ) -> Result<(), NotConnected> {
        let conn = &mut self.tcp.open_mut(id).conn;
        match conn.state {
            State::Close => {
                // inet_shutdown: it fails, and the bits are set all the same, for a connection to come.
                conn.rcv_shutdown |= how != Shutdown::Write;
                conn.snd_shutdown |= how != Shutdown::Read;
                return Err(NotConnected);
            }
            // inet_shutdown: the read side takes a listener down; a connection attempt is given up.
            State::Listen if how == Shutdown::Write => return Ok(()),
            State::Listen | State::SynSent => {
                self.tcp_disconnect(now, id);
                return Ok(());
            }
            _ => conn.shutdown(how),
        }
        self.tcp_finish(now, id.index);
        Ok(())
    }

    /// `close(fd)`: FIN, or RST when there is unread data or `linger` is zero. `id` is dead afterwards; what is left to do
    /// the engine does on its own. A caller that lingers waits while [`Stack::tcp_is_closing`].
    pub fn tcp_close(&mut self, now: Instant, id: TcpId, linger: Option<Duration>) {
        if self.tcp.open(id).conn.state == State::Listen {
            self.tcp_stop_listening(now, id);
        }
        self.forget_groups(SocketHandle::Tcp(id));
        let crowded = self.tcp.orphans >= self.sysctl.tcp_max_orphans;
        self.tcp.orphans += 1;
        let conn = &mut self.tcp.open_mut(id).conn;
        if conn.opts.repair().on {
            conn.forget();
        }
        let before = conn.state;
        let hard = linger == Some(Duration::ZERO);
        let counters = &mut self.counters;
        match before {
            State::Close => {}
            _ if !conn.recv.is_empty() => counters.tcp_abort_on_close += 1,
            _ if hard => counters.tcp_abort_on_data += 1,
            _ if crowded => counters.tcp_abort_on_memory += 1,
            _ => {}
        }
        conn.close(hard || crowded);
        // tcp_close: TCP_LINGER2 negative, the connection ends here.
        if conn.state == State::FinWait2 && conn.opts.linger2() == Linger2::Never {
            counters.tcp_abort_on_linger += 1;
            conn.abort();
        }
        counters.tcp_aborted(before, conn.state);
        self.tcp_finish(now, id.index);
    }

    /// sk_stream_closing: a closed connection whose FIN the peer has not acknowledged. When it has, or the connection
    /// ends otherwise, [`EventKind::RELEASED`](crate::EventKind::RELEASED) tells.
    pub fn tcp_is_closing(&self, id: TcpId) -> bool {
        let closing = |state| matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        self.tcp
            .get(id)
            .is_some_and(|socket| closing(socket.conn.state))
    }

    /// inet_csk_listen_stop: connections nobody accepted are reset.
    fn tcp_stop_listening(&mut self, now: Instant, id: TcpId) {
        let heirs = self.tcp_leaves_to(id);
        let socket = self.tcp.open_mut(id);
        socket.conn.state = State::Close;
        let Some(listener) = socket.conn.listener.take() else {
            return;
        };
        let port = socket.conn.tuple.local_port;
        if let Some(old) = socket.bind {
            if socket.port_locked {
                let new = BindKey {
                    state: BindState::Bound,
                    ..old
                };
                socket.bind = Some(new);
                self.tcp_ports.replace(&old, new);
            } else {
                socket.bind = None;
                self.tcp_ports.remove(&old);
            }
        }
        self.tcp.remove_listener(port, id);
        if listener.requests > 0
            && let Some(left) = heirs
        {
            self.tcp_requests_left(id, left);
        }
        for child in listener.accept {
            if let Some(left) = &heirs
                && self.tcp_child_moves(now, left, child)
            {
                continue;
            }
            self.tcp.orphans += 1;
            let conn = &mut self.tcp.open_mut(child).conn;
            let before = conn.state;
            conn.abort();
            conn.orphan = true;
            self.counters.tcp_aborted(before, State::Close);
            self.tcp_flush(now, child.index);
        }
    }

    /// tcp_diag_destroy, tcp_abort: somebody else ends a connection, which is reset, or takes a listener, a request or a
    /// TIME_WAIT entry away. The socket has the error [`TcpError::Aborted`](crate::TcpError::Aborted).
    pub fn tcp_destroy(&mut self, now: Instant, id: TcpId) {
        if !self.tcp.is_current(id) {
            return;
        }
        match &self.tcp.entries[id.index as usize].kind {
            Kind::Request(_) => return self.tcp_drop_request(id.index),
            Kind::TimeWait(_) => return self.tcp_release(id.index),
            Kind::Socket(_) => {}
        }
        if self.tcp.open(id).conn.state == State::Listen {
            self.tcp_stop_listening(now, id);
        }
        let conn = &mut self.tcp.open_mut(id).conn;
        self.counters.tcp_aborted(conn.state, State::Close);
        conn.abort();
        conn.fail(TcpError::Aborted);
        self.tcp_finish(now, id.index);
    }

    /// connect(AF_UNSPEC), and after a connect that failed: a closed socket with its options again (tcp_disconnect).
    pub fn tcp_disconnect(&mut self, now: Instant, id: TcpId) {
        if self.tcp.open(id).conn.state == State::Listen {
            self.tcp_stop_listening(now, id);
        }
        let conn = &mut self.tcp.open_mut(id).conn;
        self.counters.tcp_aborted(conn.state, State::Close);
        if conn.opts.repair().on {
            conn.forget();
        } else {
            conn.abort();
        }
        self.tcp_flush(now, id.index);
        let socket = self.tcp.open_mut(id);
        let conn = &mut socket.conn;
        let mut tuple = conn.tuple;
        tuple.remote = unspecified(conn.family);
        tuple.remote_port = 0;
        if !socket.addr_locked {
            tuple.local = unspecified(conn.family);
        }
        let mut opts = conn.opts.clone();
        opts.set_saved_syn(None);
        let fresh = Connection::with_options(conn.family, tuple, opts);
        let old = core::mem::replace(conn, fresh);
        conn.error = old.error;
        // The numbers of the next connection begin well behind those of the last.
        let gap = old.max_window.wrapping_add(2);
        let (all, unsent) = old.opts.left();
        let left = (all.wrapping_add(gap), unsent.wrapping_add(gap));
        conn.opts.set_left(left);
        // What TCP_INFO still tells of it.
        conn.max_window = old.max_window;
        conn.snd_wnd = old.snd_wnd;
        conn.mss = old.mss;
        conn.cc = Congestion::new(conn.opts.congestion, old.mss);
        conn.advmss = old.advmss;
        conn.path.mtu = old.path.mtu;
        conn.rcv_wnd = old.rcv_wnd;
        conn.rcv_ssthresh = old.rcv_ssthresh;
        conn.rcv_mss = RCV_MSS_MIN;
        conn.tune.space = old.tune.space;
        socket.route = None;
        if let Some(old) = socket.bind {
            let new = BindKey {
                addr: tuple.local,
                ..old
            };
            socket.bind = Some(new);
            self.tcp_ports.replace(&old, new);
        }
        self.run_loopback(now);
    }
}
