//! States, names and settings of sockets, for the socket layer.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use super::Status;
use crate::event::TcpId;
use crate::extended::SendExtra;
use crate::ports::Family;
use crate::stack::Stack;
use crate::tcp::connection::Cx;
use crate::tcp::info::TcpInfo;
use crate::tcp::options::{Linger2, TcpOptions, TcpOptionsSet, TcpSet};
use crate::tcp::state::{State, TcpError};
use crate::time::Instant;

impl Stack {
    /// The state.
    #[inline]
    pub fn tcp_state(&self, id: TcpId) -> State {
        self.tcp.open(id).conn.state
    }

    /// State, shutdowns and pending error.
    #[inline]
    pub fn tcp_status(&self, id: TcpId) -> Status {
        self.tcp_view(id).status()
    }

    /// Takes the pending error (SO_ERROR, or the call that reports it).
    pub fn tcp_take_error(&mut self, id: TcpId) -> Option<TcpError> {
        self.tcp.open_mut(id).conn.error.take()
    }

    /// What an ICMP error said of a connection that goes on (sk_err_soft): SO_ERROR tells it when nothing is pending.
    pub fn tcp_soft_error(&self, id: TcpId) -> Option<TcpError> {
        self.tcp.open(id).conn.soft_error
    }

    /// Forgets it.
    pub fn tcp_clear_soft_error(&mut self, id: TcpId) {
        self.tcp.open_mut(id).conn.soft_error = None;
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

    /// Where the socket is or was connected to, or connects to, if only to port 0.
    pub fn tcp_destination(&self, id: TcpId) -> Option<IpAddr> {
        let socket = self.tcp.open(id);
        let remote = socket.conn.tuple.remote;
        // __inet6_bind() leaves the way to an earlier peer, __inet_bind() does not.
        let kept = socket.route.filter(|_| socket.conn.family == Family::V6);
        let kept = kept.map(|route| route.destination);
        Some(remote).filter(|ip| !ip.is_unspecified()).or(kept)
    }

    /// Whether the socket holds a port, so that it cannot be bound again.
    pub fn tcp_is_bound(&self, id: TcpId) -> bool {
        self.tcp.open(id).bind.is_some()
    }

    /// SO_SNDBUF and SO_RCVBUF as they are now.
    pub fn tcp_buffers(&self, id: TcpId) -> (u32, u32) {
        let opts = &self.tcp.open(id).conn.opts;
        (opts.send_buffer, opts.recv_buffer)
    }

    /// TCP_MAXSEG: the current segment size, or before a connection the limit that was set.
    pub fn tcp_mss(&self, id: TcpId) -> u16 {
        let conn = &self.tcp.open(id).conn;
        if conn.opts.repair().on {
            // What TCP_REPAIR_OPTIONS is to be given.
            return conn.mss_clamp;
        }
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
        let timing = opts.timing();
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
            window_clamp: match conn.window_clamp {
                0 => opts.window_clamp(),
                n => n,
            },
            linger2: match opts.linger2() {
                Linger2::Never => None,
                Linger2::Default => Some(self.sysctl.tcp_fin_timeout),
                Linger2::For(time) => Some(time),
            },
            defer_accept: opts.defer_accept(),
            not_sent_low_water: opts.not_sent_low_water(),
            save_syn: opts.save_syn(),
            fastopen_queue: opts.fastopen().queue,
            fastopen_connect: opts.fastopen().connect,
            fastopen_no_cookie: opts.fastopen().no_cookie,
            thin_linear: timing.thin_linear,
            tx_delay: timing.tx_delay,
            rto_max: conn.rtt.bounds().max(),
            rto_min: conn.rtt.bounds().min(),
            delack_max: timing.delack_max(),
        }
    }

    /// `setsockopt(fd, ...)`: changes a setting and does what follows from it.
    pub fn tcp_set(&mut self, now: Instant, id: TcpId, set: TcpSet) {
        if let TcpSet::FastOpenQueue(_) = set {
            self.fastopen_init_keys();
        }
        let (cx, socket) = self.tcp_cx(now, id);
        if let TcpSet::V6Only(on) = set {
            socket.v6only = on;
        }
        socket.conn.set(cx, set);
        self.tcp_finish(now, id.index);
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.no_space |= !conn.writable(&self.sysctl);
    }

    /// IP_OPTIONS, IPV6_HOPOPTS and kin as they are.
    pub fn tcp_extra(&self, id: TcpId) -> Option<&SendExtra> {
        self.tcp.open(id).conn.opts.extra()
    }

    /// `setsockopt(fd, ...)` of IP_OPTIONS, IPV6_HOPOPTS and kin: every segment has them from now on.
    pub fn tcp_set_extra(&mut self, id: TcpId, extra: Option<Box<SendExtra>>) {
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.opts.set_extra(extra);
        if conn.state.is_synchronized() {
            conn.sync_mss(&self.sysctl);
        }
    }

    /// TCP_SAVED_SYN: the headers of the SYN that made this connection.
    pub fn tcp_saved_syn(&self, id: TcpId) -> Option<&[u8]> {
        self.tcp.open(id).conn.opts.saved_syn().map(|b| &b[..])
    }

    /// getsockopt(TCP_SAVED_SYN) tells them once.
    pub fn tcp_forget_syn(&mut self, id: TcpId) {
        self.tcp.open_mut(id).conn.opts.set_saved_syn(None);
    }

    /// TCP_TIMESTAMP: our timestamp clock.
    pub fn tcp_timestamp(&self, now: Instant, id: TcpId) -> u32 {
        self.tcp.open(id).conn.ts_now(now)
    }

    /// `getsockopt(fd, IPPROTO_TCP, TCP_INFO, ...)`
    pub fn tcp_info(&self, now: Instant, id: TcpId) -> TcpInfo {
        let sysctl = &self.sysctl;
        self.tcp.open(id).conn.info(Cx { now, sysctl })
    }

    /// How many connections there are, half-open ones and those in TIME_WAIT included.
    pub fn tcp_connection_count(&self) -> usize {
        self.tcp.connection_count()
    }
}
