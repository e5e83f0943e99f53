//! What the socket layer calls. A [`TcpId`] lives from `tcp_open` or `tcp_accept` to `tcp_close`; using it later is a bug
//! of the caller and panics.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use switchboard_wire::Payload;

use super::connection::{Connection, Cx, FourTuple};
use super::info::TcpInfo;
use super::listen::Listener;
use super::options::{Linger2, TcpOptions, TcpOptionsSet, TcpSet};
use super::stack::path_of;
use super::state::{Shutdown, State, TcpError};
use super::stream_queue::StreamQueue;
use super::table::{Kind, Socket};
use super::urgent::{UrgentByte, UrgentView};
use super::user::SendFlags;
use crate::event::TcpId;
use crate::iface::Interfaces;
use crate::ports::{BindError, BindKey, BindRequest, BindState, Family};
use crate::route::{RouteError, RouteKind};
use crate::stack::Stack;
use crate::time::Instant;

/// Why connect(2) fails at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No port is free, or the bound one has a connection to this peer already (EADDRNOTAVAIL).
    #[error("no local address is free")]
    AddrNotAvailable,
    /// There is no way to the destination.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The socket is not closed (EISCONN).
    #[error("already connected")]
    AlreadyConnected,
}

/// Why listen(2) fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// The port, or every ephemeral one, is taken (EADDRINUSE).
    #[error("address already in use")]
    InUse,
    /// The socket is connected (EINVAL).
    #[error("not a closed socket")]
    Invalid,
}

/// There is no connection (ENOTCONN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not connected")]
pub struct NotConnected;

/// What decides about errors and readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Nothing more will be received (RCV_SHUTDOWN).
    pub rcv_shutdown: bool,
    /// Nothing more may be sent (SEND_SHUTDOWN).
    pub snd_shutdown: bool,
    /// The peer's FIN has come (SOCK_DONE): reads that find nothing tell the end, whatever happened since.
    pub done: bool,
    /// The pending error (sk_err), until [`Stack::tcp_take_error`].
    pub error: Option<TcpError>,
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0u16; 8]),
    }
}

/// A group's address, or one that all hosts of a subnet listen to.
fn many(interfaces: &Interfaces, addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_multicast() || interfaces.is_broadcast(v4),
        IpAddr::V6(_) => false,
    }
}

impl Stack {
    fn tcp_cx(&mut self, now: Instant, id: TcpId) -> (Cx<'_>, &mut Socket) {
        (
            Cx {
                now,
                sysctl: &self.sysctl,
            },
            self.tcp.open_mut(id),
        )
    }

    /// `socket(AF_INET or AF_INET6, SOCK_STREAM, IPPROTO_TCP)`
    pub fn tcp_open(&mut self, family: Family) -> TcpId {
        let v6only = family == Family::V6 && self.sysctl.bindv6only;
        let socket = Socket {
            conn: Connection::new(family, &self.sysctl),
            bind: None,
            addr_locked: false,
            port_locked: false,
            hashed: false,
            throttled: false,
            v6only,
            reuse_addr: false,
            reuse_port: false,
            device: None,
            uid: 0,
            route: None,
            route_generation: 0,
            peer: crate::stack::Hint::NOWHERE,
        };
        self.tcp.insert(Kind::Socket(Box::new(socket)))
    }

    /// `bind(fd, addr, len)`: the local address, with the port that was chosen.
    pub fn tcp_bind(&mut self, id: TcpId, request: BindRequest) -> Result<SocketAddr, BindError> {
        let addr = request.addr.to_canonical();
        // Linux lets a stream bind a group's or a subnet's address too, though nobody can reach it there.
        let many = many(&self.interfaces, addr);
        let local = addr.is_unspecified() || many || self.interfaces.owner(addr).is_some();
        if !local && !self.sysctl.ip_nonlocal_bind {
            return Err(BindError::NotLocal);
        }
        let range = self.sysctl.ip_local_port_range;
        let bound = self.tcp_ports.bind(&request, range, &mut self.random);
        let socket = self.tcp.open_mut(id);
        let key = bound.inspect_err(|_| {
            // inet_bind: the address of an earlier connection is gone by then.
            socket.conn.tuple.local = unspecified(socket.conn.family);
        })?;
        let old = socket.bind.replace(key);
        socket.addr_locked = !addr.is_unspecified();
        socket.port_locked = request.port != 0;
        socket.v6only = request.v6only;
        socket.reuse_addr = request.reuse_addr;
        socket.reuse_port = request.reuse_port;
        socket.device = request.device;
        socket.uid = request.uid;
        socket.conn.tuple.local = addr;
        socket.conn.tuple.local_port = key.port;
        if let Some(old) = old {
            self.tcp_ports.remove(&old);
        }
        Ok(SocketAddr::new(addr, key.port))
    }

    /// SO_REUSEADDR and SO_REUSEPORT, which count at other sockets' bind(2) too.
    pub fn tcp_set_reuse(&mut self, id: TcpId, reuse_addr: bool, reuse_port: bool) {
        let socket = self.tcp.open_mut(id);
        socket.reuse_addr = reuse_addr;
        socket.reuse_port = reuse_port;
        if let Some(old) = socket.bind {
            let new = BindKey {
                reuse_addr,
                reuse_port,
                ..old
            };
            socket.bind = Some(new);
            self.tcp_ports.replace(&old, new);
        }
    }

    fn tcp_bind_key(socket: &Socket, addr: IpAddr) -> BindKey {
        BindKey {
            addr,
            port: 0,
            family: socket.conn.family,
            v6only: socket.v6only,
            device: socket.device,
            reuse_addr: socket.reuse_addr,
            reuse_port: socket.reuse_port,
            uid: socket.uid,
            state: BindState::Bound,
        }
    }

    /// `listen(fd, backlog)`; on a listener it changes the backlog.
    pub fn tcp_listen(
        &mut self,
        _now: Instant,
        id: TcpId,
        backlog: u32,
    ) -> Result<(), ListenError> {
        let backlog = backlog.min(self.sysctl.somaxconn);
        let socket = self.tcp.open_mut(id);
        match socket.conn.state {
            State::Listen => {
                if let Some(listener) = &mut socket.conn.listener {
                    listener.backlog = backlog;
                }
                return Ok(());
            }
            State::Close => {}
            _ => return Err(ListenError::Invalid),
        }
        let bound_here = socket.bind.is_none();
        if bound_here {
            let request = BindRequest {
                addr: socket.conn.tuple.local,
                port: 0,
                family: socket.conn.family,
                v6only: socket.v6only,
                device: socket.device,
                reuse_addr: socket.reuse_addr,
                reuse_port: socket.reuse_port,
                uid: socket.uid,
            };
            let locked = socket.addr_locked;
            self.tcp_bind(id, request).map_err(|_| ListenError::InUse)?;
            self.tcp.open_mut(id).addr_locked = locked;
        }
        let socket = self.tcp.open_mut(id);
        let Some(key) = &mut socket.bind else {
            return Err(ListenError::InUse);
        };
        self.tcp_ports.listen(key).map_err(|_| ListenError::InUse)?;
        let port = key.port;
        socket.conn.state = State::Listen;
        socket.conn.listener = Some(Box::new(Listener {
            backlog,
            ..Listener::default()
        }));
        self.tcp.add_listener(port, id);
        Ok(())
    }

    /// `connect(fd, addr, len)`: sends the SYN. How it ends is told by events and [`tcp_status`](Self::tcp_status).
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        id: TcpId,
        remote: SocketAddr,
    ) -> Result<(), ConnectError> {
        let socket = self.tcp.open(id);
        if socket.conn.state != State::Close {
            return Err(ConnectError::AlreadyConnected);
        }
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        // inet_bind: an address of many is none to send from ("Use device").
        let chosen = Some(socket.conn.tuple.local).filter(|&addr| {
            socket.addr_locked && !addr.is_unspecified() && !many(&self.interfaces, addr)
        });
        if chosen.is_some_and(|addr| addr.is_ipv4() != remote.is_ipv4()) {
            return Err(RouteError::WrongFamily.into());
        }
        let route = self.route(remote.ip(), chosen, socket.device)?;
        if matches!(route.kind, RouteKind::Broadcast | RouteKind::Multicast) {
            // RFC 9293, 3.9.2.2.
            return Err(RouteError::Unreachable.into());
        }
        let mut tuple = FourTuple {
            local: route.source,
            remote: route.destination,
            local_port: 0,
            remote_port: remote.port(),
        };
        self.tcp_choose_port(now, id, &mut tuple)?;
        // A connection in TIME_WAIT gives way; its numbers must not come again.
        let mut isn = self.tcp.initial_sequence(now, &tuple);
        if let Some(old) = self.tcp.find(&tuple) {
            if let Kind::TimeWait(time_wait) = &self.tcp.entries[old as usize].kind {
                isn = time_wait.next_isn();
            }
            self.tcp_release(old);
        }
        let ts_offset = self.tcp.timestamp_offset(&tuple);
        let generation = self.routes.generation();
        let (cx, socket) = self.tcp_cx(now, id);
        socket.conn.tuple = tuple;
        socket.conn.path = path_of(&route);
        socket.route = Some(route);
        socket.route_generation = generation;
        socket.hashed = true;
        socket.conn.connect(cx, isn.0, ts_offset);
        self.tcp.hash_in(id.index);
        self.tcp_finish(now, id.index);
        Ok(())
    }

    /// The local port of a connection: the bound one if it has no connection to this peer, or any that has none.
    fn tcp_choose_port(
        &mut self,
        now: Instant,
        id: TcpId,
        tuple: &mut FourTuple,
    ) -> Result<(), ConnectError> {
        let Stack {
            tcp,
            tcp_ports,
            sysctl,
            ..
        } = self;
        let free = |tuple: &FourTuple| match tcp.find(tuple) {
            None => true,
            Some(index) => match &tcp.entries[index as usize].kind {
                Kind::TimeWait(time_wait) => time_wait.may_be_reused(now, sysctl),
                _ => false,
            },
        };
        let socket = tcp.open(id);
        if let Some(old) = socket.bind {
            tuple.local_port = old.port;
            if !free(tuple) {
                return Err(ConnectError::AddrNotAvailable);
            }
            let new = BindKey {
                addr: tuple.local,
                ..old
            };
            tcp_ports.replace(&old, new);
            tcp.open_mut(id).bind = Some(new);
            return Ok(());
        }
        let offset = tcp.port_offset(tuple.local, tuple.remote, tuple.remote_port);
        let key = Self::tcp_bind_key(socket, tuple.local);
        let key = tcp_ports
            .connect_port(key, sysctl.ip_local_port_range, offset, |port| {
                free(&FourTuple {
                    local_port: port,
                    ..*tuple
                })
            })
            .ok_or(ConnectError::AddrNotAvailable)?;
        tuple.local_port = key.port;
        let socket = tcp.open_mut(id);
        socket.bind = Some(key);
        socket.port_locked = false;
        Ok(())
    }

    /// The connection that [`tcp_accept`](Self::tcp_accept) would return.
    pub fn tcp_accept_peek(&self, id: TcpId) -> Option<TcpId> {
        self.tcp
            .open(id)
            .conn
            .listener
            .as_ref()?
            .accept
            .front()
            .copied()
    }

    /// How many connections wait for accept(2).
    pub fn tcp_accept_queue(&self, id: TcpId) -> usize {
        self.tcp
            .open(id)
            .conn
            .listener
            .as_ref()
            .map_or(0, |listener| listener.accept.len())
    }

    /// The connections that wait for accept(2), oldest first.
    pub fn tcp_accept_pending(&self, id: TcpId) -> impl Iterator<Item = TcpId> {
        let listener = self.tcp.open(id).conn.listener.as_ref();
        listener.into_iter().flat_map(|l| l.accept.iter().copied())
    }

    /// `accept(fd, ...)`: the oldest established connection. It has the listener's options.
    pub fn tcp_accept(&mut self, _now: Instant, id: TcpId) -> Option<TcpId> {
        self.tcp
            .open_mut(id)
            .conn
            .listener
            .as_mut()?
            .accept
            .pop_front()
    }

    /// Bytes that may be queued now; 0 means a sender must wait.
    #[inline]
    pub fn tcp_send_room(&self, id: TcpId) -> usize {
        self.tcp.open(id).conn.send_room()
    }

    /// Whether poll(2) says POLLOUT: a third of the send buffer is free. When that comes back, there is a WRITABLE
    /// event, whether anybody has looked (Linux's SOCK_NOSPACE) or not.
    #[inline]
    pub fn tcp_is_writable(&self, id: TcpId) -> bool {
        self.tcp.open(id).conn.writable()
    }

    /// `send(fd, ...)`: queues all of `data` and sends what may be sent. The caller has looked at the room, the state
    /// and the shutdown; on a socket that may not send, the data is dropped.
    #[inline]
    pub fn tcp_send(&mut self, now: Instant, id: TcpId, data: Bytes, flags: SendFlags) {
        let conn = &mut self.tcp.open_mut(id).conn;
        if !conn.state.can_send() || conn.snd_shutdown || data.is_empty() {
            debug_assert!(data.is_empty() || !conn.state.can_send() || conn.snd_shutdown);
            return;
        }
        conn.send(data, flags);
        self.tcp_finish(now, id.index);
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.no_space |= !conn.writable();
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

    /// Puts bytes back in front of the receive queue, which a call took and did not deliver.
    pub fn tcp_unread(&mut self, _now: Instant, id: TcpId, data: Payload) {
        self.tcp.open_mut(id).conn.recv.unread(data.into_iter());
    }

    /// When data was last received.
    pub fn tcp_last_receive(&self, id: TcpId) -> Option<Instant> {
        let conn = &self.tcp.open(id).conn;
        (conn.received > 0).then_some(conn.ack.last_received)
    }

    /// The window is nearly closed, so that a reader who waits for more waits for ever (tcp_epollin_ready).
    pub fn tcp_window_is_tight(&self, id: TcpId) -> bool {
        let conn = &self.tcp.open(id).conn;
        conn.receive_window() <= conn.rcv_mss
    }

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
    /// the engine does on its own. To linger, a caller shuts down, waits, and then closes.
    pub fn tcp_close(&mut self, now: Instant, id: TcpId, linger: Option<Duration>) {
        if self.tcp.open(id).conn.state == State::Listen {
            self.tcp_stop_listening(now, id);
        }
        let crowded = self.tcp.orphans >= self.sysctl.tcp_max_orphans;
        self.tcp.orphans += 1;
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.close(linger == Some(Duration::ZERO) || crowded);
        // tcp_close: TCP_LINGER2 negative, the connection ends here.
        if conn.state == State::FinWait2 && conn.opts.linger2() == Linger2::Never {
            conn.abort();
        }
        self.tcp_finish(now, id.index);
    }

    /// inet_csk_listen_stop: connections nobody accepted are reset.
    fn tcp_stop_listening(&mut self, now: Instant, id: TcpId) {
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
        for child in listener.accept {
            self.tcp.orphans += 1;
            let conn = &mut self.tcp.open_mut(child).conn;
            conn.abort();
            conn.orphan = true;
            self.tcp_flush(now, child.index);
        }
    }

    /// connect(AF_UNSPEC), and after a connect that failed: a closed socket with its options again (tcp_disconnect).
    pub fn tcp_disconnect(&mut self, now: Instant, id: TcpId) {
        if self.tcp.open(id).conn.state == State::Listen {
            self.tcp_stop_listening(now, id);
        }
        self.tcp.open_mut(id).conn.abort();
        self.tcp_flush(now, id.index);
        let socket = self.tcp.open_mut(id);
        let conn = &mut socket.conn;
        let mut tuple = conn.tuple;
        tuple.remote = unspecified(conn.family);
        tuple.remote_port = 0;
        if !socket.addr_locked {
            tuple.local = unspecified(conn.family);
        }
        let opts = conn.opts.clone();
        let fresh = Connection::with_options(conn.family, tuple, opts);
        let old = core::mem::replace(conn, fresh);
        conn.error = old.error;
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

    /// The state.
    #[inline]
    pub fn tcp_state(&self, id: TcpId) -> State {
        self.tcp.open(id).conn.state
    }

    /// State, shutdowns and pending error.
    #[inline]
    pub fn tcp_status(&self, id: TcpId) -> Status {
        let conn = &self.tcp.open(id).conn;
        Status {
            state: conn.state,
            rcv_shutdown: conn.rcv_shutdown,
            snd_shutdown: conn.snd_shutdown,
            done: conn.fin_received,
            error: conn.error,
        }
    }

    /// Takes the pending error (SO_ERROR, or the call that reports it).
    pub fn tcp_take_error(&mut self, id: TcpId) -> Option<TcpError> {
        self.tcp.open_mut(id).conn.error.take()
    }

    /// `getsockname(fd, ...)`; `None` when neither bound nor connected.
    pub fn tcp_local(&self, id: TcpId) -> Option<SocketAddr> {
        let tuple = &self.tcp.open(id).conn.tuple;
        (tuple.local_port != 0).then(|| tuple.local_addr())
    }

    /// The peer of a connection, past or present.
    pub fn tcp_remote(&self, id: TcpId) -> Option<SocketAddr> {
        let tuple = &self.tcp.open(id).conn.tuple;
        (tuple.remote_port != 0).then(|| tuple.remote_addr())
    }

    /// Whether the socket holds a port, so that it cannot be bound again.
    pub fn tcp_is_bound(&self, id: TcpId) -> bool {
        self.tcp.open(id).bind.is_some()
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
        conn.queue.len() + usize::from(conn.fin_queued && !conn.fin_acked)
    }

    /// SIOCOUTQNSD: bytes written and never sent.
    pub fn tcp_outq_unsent(&self, id: TcpId) -> usize {
        let conn = &self.tcp.open(id).conn;
        (conn.write_seq() - conn.snd_max).max(0) as usize
    }

    /// SO_SNDBUF and SO_RCVBUF as they are now.
    pub fn tcp_buffers(&self, id: TcpId) -> (u32, u32) {
        let opts = &self.tcp.open(id).conn.opts;
        (opts.send_buffer, opts.recv_buffer)
    }

    /// TCP_MAXSEG: the current segment size, or before a connection the limit that was set.
    pub fn tcp_mss(&self, id: TcpId) -> u16 {
        let conn = &self.tcp.open(id).conn;
        let limit = conn.opts.max_segment();
        let unconnected = matches!(conn.state, State::Close | State::Listen);
        if limit > 0 && unconnected {
            limit
        } else {
            conn.mss.min(0xffff) as u16
        }
    }

    /// TCP_CONGESTION.
    pub fn tcp_congestion(&self, id: TcpId) -> &'static str {
        self.tcp.open(id).conn.opts.congestion.name()
    }

    /// The settings.
    pub fn tcp_options(&self, id: TcpId) -> TcpOptions {
        let conn = &self.tcp.open(id).conn;
        let opts: &TcpOptionsSet = &conn.opts;
        TcpOptions {
            nodelay: opts.no_delay,
            cork: opts.cork,
            keep_alive: opts.keep_alive,
            oob_inline: opts.oob_inline,
            keep_idle: opts.keep_idle(&self.sysctl),
            keep_interval: opts.keep_interval(&self.sysctl),
            keep_count: opts.keep_count(&self.sysctl),
            syn_count: opts.syn_count_or(&self.sysctl),
            quickack: !conn.ack.pingpong,
            user_timeout: opts.user_timeout().unwrap_or_default(),
            window_clamp: match opts.window_clamp() {
                0 => conn.window_clamp,
                n => n,
            },
            linger2: match opts.linger2() {
                Linger2::Never => None,
                Linger2::Default => Some(self.sysctl.tcp_fin_timeout),
                Linger2::For(time) => Some(time),
            },
            defer_accept: opts.defer_accept(),
            not_sent_low_water: opts.not_sent_low_water(),
        }
    }

    /// `setsockopt(fd, ...)`: changes a setting and does what follows from it.
    pub fn tcp_set(&mut self, now: Instant, id: TcpId, set: TcpSet) {
        let (cx, socket) = self.tcp_cx(now, id);
        if let TcpSet::V6Only(on) = set {
            socket.v6only = on;
        }
        socket.conn.set(cx, set);
        self.tcp_finish(now, id.index);
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.no_space |= !conn.writable();
    }

    /// `getsockopt(fd, IPPROTO_TCP, TCP_INFO, ...)`
    pub fn tcp_info(&self, now: Instant, id: TcpId) -> TcpInfo {
        self.tcp.open(id).conn.info(now)
    }

    /// How many connections there are, half-open ones and those in TIME_WAIT included.
    pub fn tcp_connection_count(&self) -> usize {
        self.tcp.connection_count()
    }
}
