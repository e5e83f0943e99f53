//! tcp(7): connect, listen, accept, shutdown, close and readiness.
//!
//! The RFC machine is the engine's; here is what Linux's `struct socket` adds to it: the SS_*
//! state that tells EALREADY from EISCONN, waiting, and the poll mask.

use super::InetOptions;
use super::addr::{InetAddr, present, scope_of_peer, scoped, unmap};
use crate::call::{
    AcceptChild, AcceptPlan, Attempt, Blocked, CloseOutcome, ConnectProgress, Cx, Fail,
};
use crate::host::Host;
use crate::mask::PollMask;
use crate::socket::{Common, CommonFlags, Kind, Socket};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{Moments, Shutdown, State, TcpId};

/// `struct socket`'s state, as inet_stream_connect() keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SockState {
    Unconnected,
    Connecting,
    Connected,
    /// shutdown(2) came while it was connecting: only connect(AF_UNSPEC) gets out of it.
    Disconnecting,
}

pub(crate) struct TcpSocket {
    pub(crate) handle: TcpId,
    pub(crate) state: SockState,
    pub(crate) inet: InetOptions,
    /// A pending error that is none of the connection's: see `Host::set_pending_error`.
    pub(crate) told: Option<Errno>,
    /// A send opens the connection, and waits (MSG_FASTOPEN).
    pub(crate) opening: bool,
    /// TCP_FASTOPEN_CONNECT had no cookie for the SYN: tcp_sock.fastopen_req stays with the connection.
    pub(crate) asks_for_cookie: bool,
    /// How often connect(AF_UNSPEC), or the end of a connect(2), has ended what it was (sk_disconnects).
    pub(crate) disconnects: u32,
    /// Of a listener: what connections have that came before an option was changed and still wait.
    #[allow(clippy::box_collection)] // One word in every socket, for what few listeners have.
    pub(crate) waiting: Option<Box<Vec<Inherited>>>,
}

/// What a connection has from its listener (sk_clone()), as it was when the connection came.
#[derive(Clone)]
pub(crate) struct Inherited {
    child: TcpId,
    common: Common,
    inet: InetOptions,
}

/// RCV_SHUTDOWN and SEND_SHUTDOWN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ShutdownBits {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl ShutdownBits {
    pub(crate) fn add(&mut self, how: i32) {
        self.read |= how != SHUT_WR;
        self.write |= how != SHUT_RD;
    }
}

#[derive(Debug)]
pub(crate) struct TcpSendPlan {
    /// What of its last byte is to be stamped.
    pub(crate) moments: Moments,
    /// A MSG_ZEROCOPY notice is wanted.
    pub(crate) notice: bool,
    pub(crate) more: bool,
    pub(crate) oob: bool,
    pub(crate) eor: bool,
    pub(crate) into: SendInto,
}

/// Where the bytes of a send go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendInto {
    /// The stream.
    Stream,
    /// The SYN, which opens the connection (TCP Fast Open).
    Syn,
    /// A queue under TCP_REPAIR.
    Repaired,
}

#[derive(Debug)]
pub(crate) struct TcpRecvEffect {
    /// Bytes to take off the queue, an urgent byte that was stepped over included.
    pub(crate) consume: usize,
    /// Of them, the urgent byte.
    pub(crate) hole: usize,
    /// The urgent byte was read with MSG_OOB.
    pub(crate) oob: bool,
    /// More than one byte was asked for: see [`Received::faulted`](crate::Received::faulted).
    pub(crate) wide: bool,
}

impl TcpSocket {
    pub(crate) fn new(handle: TcpId, inet: InetOptions) -> TcpSocket {
        TcpSocket {
            handle,
            state: SockState::Unconnected,
            inet,
            told: None,
            opening: false,
            asks_for_cookie: false,
            disconnects: 0,
            waiting: None,
        }
    }
}

impl Host {
    pub(crate) fn tcp(&self, id: SocketId) -> Result<&TcpSocket, Errno> {
        match self.kind(id)? {
            Kind::Tcp(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// The socket, and its family's part.
    pub(crate) fn tcp_socket(&self, id: SocketId) -> Result<(&Socket, &TcpSocket), Errno> {
        let socket = self.get(id)?;
        match &socket.kind {
            Kind::Tcp(s) => Ok((socket, s)),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    pub(crate) fn tcp_mut(&mut self, id: SocketId) -> Result<&mut TcpSocket, Errno> {
        match &mut self.get_mut(id)?.kind {
            Kind::Tcp(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    pub(crate) fn tcp_is_closed(&self, s: &TcpSocket) -> bool {
        self.stack.tcp_state(s.handle) == State::Close
    }

    /// inet_getname(): the peer, unless closed or still connecting.
    pub(crate) fn tcp_peer(&self, s: &TcpSocket) -> Option<SocketAddr> {
        match self.stack.tcp_state(s.handle) {
            State::Close | State::SynSent => None,
            _ => self.stack.tcp_remote(s.handle),
        }
    }

    pub(crate) fn tcp_pending_error(&self, s: &TcpSocket) -> Option<Errno> {
        super::tcp_data::pending_error(&self.stack.tcp_status(s.handle), s)
    }

    /// inet_stream_connect(). Its effects are immediate: it is a state machine that a caller asks
    /// again, not a result that can be lost.
    pub(crate) fn tcp_attempt_connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
        progress: &mut ConnectProgress,
        last: bool,
    ) -> Result<Attempt<()>, Fail> {
        if raw.len() < 2 {
            return Err(Errno::EINVAL.into());
        }
        if switchboard_abi::sockaddr::family(raw) == Some(AF_UNSPEC) {
            self.tcp_unconnect(cx, id)?;
            self.count_disconnect(id)?;
            return Ok(Attempt::Ready(()));
        }
        let s = self.tcp(id)?;
        let handle = s.handle;
        if progress.waits.is_some_and(|began| began != s.disconnects) {
            // By another thread, or it was another that has heard of the end.
            return Err(Errno::EPIPE.into());
        }
        let waited = progress.waits.is_some();
        let in_progress = match s.state {
            // Another thread has shut it down while this one waited: sock_error(), or ECONNABORTED.
            SockState::Unconnected | SockState::Disconnecting if waited => {
                let error = self.take_pending_error(id).unwrap_or(Errno::ECONNABORTED);
                self.count_disconnect(id)?;
                return Err(error.into());
            }
            SockState::Connected if waited => return Ok(Attempt::Ready(())),
            SockState::Connected => return Err(Errno::EISCONN.into()),
            SockState::Disconnecting => return Err(Errno::EINVAL.into()),
            SockState::Connecting if self.stack.tcp_is_deferred(handle) => {
                return Err(Errno::EISCONN.into());
            }
            SockState::Connecting if progress.started => Errno::EINPROGRESS,
            SockState::Connecting => Errno::EALREADY,
            SockState::Unconnected => {
                if self.stack.tcp_state(handle) != State::Close {
                    return Err(Errno::EISCONN.into());
                }
                let remote = self.tcp_destination(id, raw)?;
                if remote.is_ipv6() {
                    let label = self.named_flow_label(id, raw);
                    self.check_flow_label(cx.now, id, label)?;
                }
                self.bind_to_scope(id, remote)?;
                let common = &self.get(id)?.common;
                if common.has(CommonFlags::DONTROUTE) {
                    let route = self.stack.route(remote.ip(), None, common.device());
                    super::check_on_link(&route.map_err(crate::error::route)?, true)?;
                }
                let mut deferred = false;
                if self.tcp_opens_fast(id) {
                    deferred = self.tcp_open_fast(cx, id, remote)?;
                    self.tcp_mut(id)?.asks_for_cookie = !deferred;
                } else {
                    let connected = self.stack.tcp_connect(cx.now, handle, remote);
                    connected.map_err(crate::error::connect)?;
                }
                let s = self.tcp_mut(id)?;
                s.state = SockState::Connecting;
                s.told = None;
                progress.started = true;
                self.collect_stack_events();
                if deferred {
                    return Ok(Attempt::Ready(()));
                }
                if last && !self.get(id)?.common.has(CommonFlags::TCP_REPAIR) {
                    // The answer to the SYN is looked at when the socket is next asked, as on
                    // Linux, where it waits in the backlog of a socket that is in use.
                    return Err(Errno::EINPROGRESS.into());
                }
                Errno::EINPROGRESS
            }
        };
        match self.stack.tcp_state(handle) {
            State::SynSent | State::SynRecv => {
                if last {
                    return Err(in_progress.into());
                }
                progress.waits = Some(self.tcp(id)?.disconnects);
                let timeout = self.get(id)?.common.sndtimeo;
                Ok(Attempt::Blocked(Blocked {
                    interest: PollMask::OUT,
                    timeout,
                }))
            }
            State::Close => {
                // Reset, timed out or unreachable: the error once, then a socket to try again.
                let error = self.take_pending_error(id).unwrap_or(Errno::ECONNABORTED);
                self.tcp_unconnect(cx, id)?;
                self.count_disconnect(id)?;
                Err(error.into())
            }
            _ => {
                self.tcp_mut(id)?.state = SockState::Connected;
                Ok(Attempt::Ready(()))
            }
        }
    }

    fn count_disconnect(&mut self, id: SocketId) -> Result<(), Errno> {
        let s = self.tcp_mut(id)?;
        s.disconnects = s.disconnects.wrapping_add(1);
        Ok(())
    }

    /// tcp_disconnect(): back to a socket that may connect or listen.
    pub(super) fn tcp_unconnect(&mut self, cx: &mut Cx<'_>, id: SocketId) -> Result<(), Errno> {
        let s = self.tcp_mut(id)?;
        s.state = SockState::Unconnected;
        s.asks_for_cookie = false;
        let handle = s.handle;
        if self.stack.tcp_state(handle) == State::Listen {
            // reuseport_detach_sock()
            self.bpf_forget_socket(id);
        }
        self.stack.tcp_disconnect(cx.now, handle);
        self.collect_stack_events();
        // The one option that does not outlive a connection.
        let common = &mut self.get_mut(id)?.common;
        if common.rare().peek_off != -1 {
            common.rare_mut().peek_off = -1;
        }
        Ok(())
    }

    /// tcp_v4_connect() and tcp_v6_connect(): the address rules.
    pub(super) fn tcp_destination(&self, id: SocketId, raw: &[u8]) -> Result<SocketAddr, Errno> {
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        let remote = if v6 {
            let InetAddr::V6(a) = InetAddr::parse_v6(raw)? else {
                return Err(Errno::EAFNOSUPPORT);
            };
            let mut a = a;
            if a.ip().is_unspecified() {
                let local = self.stack.tcp_local(self.tcp(id)?.handle);
                a.set_ip(self.v6_self(local.map_or(Ipv6Addr::UNSPECIFIED.into(), |a| a.ip())));
            }
            if a.ip().is_multicast() {
                return Err(Errno::ENETUNREACH);
            }
            if a.ip().is_unicast_link_local() {
                scope_of_peer(self.get(id)?.common.device(), a.scope_id())?;
            }
            if a.ip().to_ipv4_mapped().is_some() && self.tcp(id)?.inet.v6only {
                return Err(Errno::ENETUNREACH);
            }
            unmap(a)
        } else {
            let InetAddr::V4(a) = InetAddr::parse_v4(raw)? else {
                return Err(Errno::EAFNOSUPPORT);
            };
            SocketAddr::V4(a)
        };
        let unreachable = match remote.ip() {
            IpAddr::V4(ip) => ip.is_multicast() || self.is_broadcast(IpAddr::V4(ip)),
            IpAddr::V6(_) => false,
        };
        if unreachable {
            Err(Errno::ENETUNREACH)
        } else {
            Ok(remote)
        }
    }

    /// inet_listen().
    pub(crate) fn tcp_listen(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        backlog: u32,
    ) -> Result<(), Errno> {
        let s = self.tcp(id)?;
        if s.state != SockState::Unconnected {
            return Err(Errno::EINVAL);
        }
        let handle = s.handle;
        self.stack
            .tcp_listen(cx.now, handle, backlog)
            .map_err(crate::error::listen)?;
        self.collect_stack_events();
        Ok(())
    }

    /// inet_csk_accept().
    pub(crate) fn tcp_attempt_accept(
        &mut self,
        _cx: &mut Cx<'_>,
        id: SocketId,
        last: bool,
    ) -> Result<Attempt<AcceptPlan>, Fail> {
        let s = self.tcp(id)?;
        if self.stack.tcp_state(s.handle) != State::Listen {
            return Err(Errno::EINVAL.into());
        }
        let common = &self.get(id)?.common;
        let Some(child) = self.stack.tcp_accept_peek(s.handle) else {
            if last {
                return Err(Errno::EAGAIN.into());
            }
            let timeout = common.rcvtimeo;
            return Ok(Attempt::Blocked(Blocked {
                interest: PollMask::IN,
                timeout,
            }));
        };
        let v6 = i32::from(common.domain) == AF_INET6;
        // A connection that was reset while it waited is handed out all the same; its peer is
        // still known to the child.
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let peer = self.stack.tcp_remote(child).unwrap_or(any);
        let peer = scoped(present(peer, v6), self.stack.tcp_device(child));
        let peer = SockAddr::Inet(peer);
        Ok(Attempt::Ready(AcceptPlan {
            peer,
            listener: id,
            child: AcceptChild::Tcp(child),
        }))
    }

    pub(crate) fn tcp_commit_accept(
        &mut self,
        cx: &mut Cx<'_>,
        listener: SocketId,
        child: TcpId,
    ) -> SocketId {
        let before = self.tcp_mut(listener).ok().and_then(|s| {
            let waiting = s.waiting.as_mut()?;
            let at = waiting.iter().position(|w| w.child == child)?;
            Some(waiting.swap_remove(at))
        });
        let inherited = before.or_else(|| self.tcp_inherited(listener, child));
        let (common, inet) = match inherited {
            Some(from) => (from.common, from.inet),
            None => (
                self.new_common(cx, AF_INET, SOCK_STREAM, IPPROTO_TCP),
                InetOptions::new(),
            ),
        };
        let taken = match self.tcp(listener) {
            Ok(s) => {
                let handle = s.handle;
                self.stack.tcp_accept(cx.now, handle)
            }
            Err(_) => None,
        };
        debug_assert_eq!(taken, Some(child));
        // "So that link locals have meaning": of the interface by which the connection came.
        let device = self.stack.tcp_device(child);
        let mut common = common;
        if common.device() != device {
            common.rare_mut().device = device.map_or(0, switchboard_engine::IfIndex::get);
        }
        let mut socket = TcpSocket::new(child, inet);
        socket.state = SockState::Connected;
        let id = self.sockets.insert(Socket {
            common,
            kind: Kind::Tcp(socket),
        });
        self.stack.tcp_set_name(child, Some(id.to_u64()));
        self.collect_stack_events();
        id
    }

    /// sk_clone(): the child is the listener's image but for what belongs to the listener.
    fn tcp_inherited(&self, listener: SocketId, child: TcpId) -> Option<Inherited> {
        let (parent, s) = (self.get(listener).ok()?, self.tcp(listener).ok()?);
        let mut common = parent.common.clone();
        if common.rare().zerocopy > 0 {
            common.rare_mut().zerocopy = 0;
        }
        Some(Inherited {
            child,
            // SO_PRIORITY belongs to the packets of the listener, O_NONBLOCK to its file.
            common: Common {
                priority: 0,
                flags: common.flags - CommonFlags::NONBLOCK,
                ..common
            },
            inet: s.inet.clone(),
        })
    }

    /// An option is about to change: connections that wait keep what they have.
    pub(crate) fn tcp_option_changes(&mut self, id: SocketId) {
        let Ok(s) = self.tcp(id) else { return };
        if self.stack.tcp_accept_queue(s.handle) == 0 {
            return;
        }
        let known = |child| {
            let waiting = s.waiting.as_ref();
            waiting.is_some_and(|waiting| waiting.iter().any(|w| w.child == child))
        };
        let children = self.stack.tcp_accept_pending(s.handle);
        let new: Vec<Inherited> = children
            .filter(|&child| !known(child))
            .filter_map(|child| self.tcp_inherited(id, child))
            .collect();
        if let Ok(s) = self.tcp_mut(id) {
            s.waiting.get_or_insert_default().extend(new);
        }
    }

    /// inet_shutdown().
    pub(crate) fn tcp_shutdown(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        how: i32,
    ) -> Result<(), Errno> {
        let handle = self.tcp(id)?.handle;
        let state = self.stack.tcp_state(handle);
        let s = self.tcp_mut(id)?;
        if s.state == SockState::Connecting {
            s.state = match state {
                State::SynSent | State::SynRecv | State::Close => SockState::Disconnecting,
                _ => SockState::Connected,
            };
        }
        let all = PollMask::READABLE | PollMask::WRITABLE | PollMask::HUP;
        match state {
            // A listener, or a connection being set up, is taken down (for a listener: by the
            // read side).
            State::Listen if how == SHUT_WR => {}
            State::Listen | State::SynSent => {
                self.tcp_unconnect(cx, id)?;
                self.wake(id, all);
            }
            _ => {
                let how = match how {
                    SHUT_RD => Shutdown::Read,
                    SHUT_WR => Shutdown::Write,
                    _ => Shutdown::Both,
                };
                let done = self.stack.tcp_shutdown(cx.now, handle, how);
                self.collect_stack_events();
                self.wake(id, all);
                // Without a connection it fails, and is remembered all the same.
                done.map_err(|_| Errno::ENOTCONN)?;
            }
        }
        Ok(())
    }

    /// RCV_SHUTDOWN and SEND_SHUTDOWN.
    pub(crate) fn tcp_shut(&self, s: &TcpSocket) -> ShutdownBits {
        let status = self.stack.tcp_status(s.handle);
        ShutdownBits {
            read: status.rcv_shutdown,
            write: status.snd_shutdown,
        }
    }

    /// tcp_poll().
    pub(crate) fn tcp_poll(&self, id: SocketId) -> PollMask {
        match (self.get(id), self.tcp(id)) {
            (Ok(socket), Ok(s)) => self.tcp_mask(&socket.common, s),
            _ => PollMask::empty(),
        }
    }

    /// tcp_poll() of a connection that nobody has accepted, as if it were.
    pub(crate) fn tcp_poll_accepted(&self, listener: SocketId, child: TcpId) -> PollMask {
        let waiting = self.tcp(listener).ok().and_then(|s| s.waiting.as_ref());
        let before = waiting.and_then(|waiting| waiting.iter().find(|w| w.child == child));
        let (common, inet) = match before {
            Some(from) => (from.common.clone(), from.inet.clone()),
            None => match self.tcp_inherited(listener, child) {
                Some(from) => (from.common, from.inet),
                None => return PollMask::empty(),
            },
        };
        self.tcp_mask(&common, &TcpSocket::new(child, inet))
    }

    fn tcp_mask(&self, common: &Common, s: &TcpSocket) -> PollMask {
        let state = self.stack.tcp_state(s.handle);
        let mut mask = PollMask::empty();
        if state == State::Listen {
            if self.stack.tcp_accept_peek(s.handle).is_some() {
                mask |= PollMask::IN | PollMask::RDNORM;
            }
            return mask;
        }
        let shut = self.tcp_shut(s);
        if (shut.read && shut.write) || state == State::Close {
            mask |= PollMask::HUP;
        }
        if shut.read {
            mask |= PollMask::IN | PollMask::RDNORM | PollMask::RDHUP;
        }
        if state == State::SynSent && self.stack.tcp_is_deferred(s.handle) {
            // What is written now makes the SYN.
            mask |= PollMask::OUT | PollMask::WRNORM;
        }
        let fast = state == State::SynRecv && self.stack.tcp_is_fastopen_child(s.handle);
        if fast || !matches!(state, State::SynSent | State::SynRecv) {
            let available = self.stack.tcp_recv_available(s.handle);
            let mut target = common.low_water(false, i32::MAX as usize);
            let inline = common.has(CommonFlags::OOBINLINE);
            let urgent = self.stack.tcp_urgent(s.handle);
            if urgent.at_mark && !inline {
                // The urgent byte is in the stream and not to be read as data, even when it was
                // read already.
                target += 1;
            }
            if available > 0 && (available >= target || self.stack.tcp_window_is_tight(s.handle)) {
                mask |= PollMask::IN | PollMask::RDNORM;
            }
            if shut.write || self.stack.tcp_is_writable(s.handle) {
                mask |= PollMask::OUT | PollMask::WRNORM;
            }
            if urgent.valid {
                mask |= PollMask::PRI;
            }
        }
        if self.tcp_pending_error(s).is_some() || !s.inet.errors.is_empty() {
            mask |= PollMask::ERR;
        }
        mask
    }

    /// Whether tcp_poll() will say IN when `bytes` more have been read.
    pub(crate) fn tcp_readable_after(&self, id: SocketId, s: &TcpSocket, bytes: usize) -> bool {
        let Ok(socket) = self.get(id) else {
            return false;
        };
        let left = self
            .stack
            .tcp_recv_available(s.handle)
            .saturating_sub(bytes);
        let mut target = socket.common.low_water(false, i32::MAX as usize);
        let inline = socket.common.has(CommonFlags::OOBINLINE);
        if !inline && self.stack.tcp_urgent(s.handle).offset == Some(bytes) {
            // The urgent byte is next, and not to be read as data.
            target += 1;
        }
        self.tcp_shut(s).read || left >= target
    }

    pub(crate) fn tcp_close(&mut self, cx: &mut Cx<'_>, id: SocketId) -> CloseOutcome {
        let Some(socket) = self.sockets.remove(id) else {
            return CloseOutcome::Done;
        };
        let Kind::Tcp(s) = socket.kind else {
            return CloseOutcome::Done;
        };
        // The program of its group may ask for a listener's cookie while it ends.
        if self.stack.tcp_state(s.handle) != State::Listen {
            self.stack.tcp_set_name(s.handle, None);
        }
        let linger = socket.common.linger;
        let time = linger
            .on
            .then(|| Duration::from_secs(u64::from(linger.seconds)));
        self.stack.tcp_close(cx.now, s.handle, time);
        self.collect_stack_events();
        match time {
            Some(time) if !time.is_zero() && self.stack.tcp_is_closing(s.handle) => {
                self.inet.linger(s.handle, id);
                CloseOutcome::Linger(time)
            }
            _ => CloseOutcome::Done,
        }
    }

    /// Whether closing the socket now would probably make the closer wait (tcp_close() and
    /// sk_stream_wait_close()): something is not acknowledged, or the FIN has a way to go.
    pub(crate) fn tcp_would_linger(&self, id: SocketId) -> bool {
        let (Ok(socket), Ok(s)) = (self.get(id), self.tcp(id)) else {
            return false;
        };
        let linger = socket.common.linger;
        let connected = !matches!(
            self.stack.tcp_state(s.handle),
            State::Listen | State::Close | State::SynSent | State::TimeWait
        );
        let far = || {
            let remote = self.stack.tcp_remote(s.handle);
            remote.is_some_and(|peer| !self.stack.is_local(peer.ip()))
        };
        linger.on
            && linger.seconds > 0
            && connected
            // What was not read makes it a reset.
            && self.stack.tcp_inq(s.handle) == 0
            && (self.stack.tcp_outq(s.handle) > 0 || far())
    }
}
