//! The socket layer of one virtual host, and where each call goes.

use crate::call::{
    AcceptChild, AcceptPlan, Attempt, CloseOutcome, ConnectProgress, Cx, Event, Fail, FailEffect,
};
use crate::inet::InetFlags;
use crate::inet::raw::Datagram;
use crate::mask::PollMask;
use crate::message::{
    FileToken, PlanKind, Received, RecvEffect, RecvProgress, RecvRequest, SendPlan, SendRequest,
};
use crate::socket::{CommonFlags, Kind, Socket};
use crate::table::{SocketId, Table};
use crate::{inet, unix};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{
    Config, Departure, IfIndex, Instant, Outgoing, Stack, State, Tag, UdpSet,
};
use switchboard_wire::{Frame, Packet, Payload};

/// How to make a [`Host`].
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// The stack's seed, sysctls and limits.
    pub stack: Config,
}

/// The socket layer of one virtual host.
pub struct Host {
    pub(crate) stack: Stack,
    pub(crate) sockets: Table,
    pub(crate) unix: unix::Namespace,
    pub(crate) inet: inet::Tables,
    /// The AF_NETLINK sockets among them.
    pub(crate) netlinks: BTreeSet<SocketId>,
    /// The time of the latest request to NETLINK_ROUTE or piece of news: what has a time left is told of by it.
    pub(crate) asked_at: switchboard_engine::Instant,
    /// What was said of interfaces' addresses.
    pub(crate) address_notes: BTreeMap<crate::netlink::AddressKey, crate::netlink::AddressNote>,
    pub(crate) bpf: crate::filter::Objects,
    pub(crate) events: VecDeque<Event>,
    /// Files in flight that nobody will receive any more.
    pub(crate) released: Vec<FileToken>,
    /// Options that were asked for and are refused, by name.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Packet sockets, in the order in which they were made.
    pub(crate) packets: Vec<SocketId>,
    /// Packet sockets that hear something, in the order in which they came to.
    pub(crate) hooked: Vec<SocketId>,
    /// PACKET_FANOUT
    pub(crate) fanouts: Vec<crate::packet::fanout::Group>,
    pub(crate) make_ring: crate::packet::memory::MakeRing,
    /// Tunables that nothing else holds.
    pub(crate) kept: crate::proc::Kept,
    /// What has been opened of /dev/net/tun, if anything ever was.
    pub(crate) tuns: Option<Box<crate::tun::Tuns>>,
    /// What packets wait in, if tc(8) made anything; and the handle it gave out last.
    pub(crate) queues: Option<Box<crate::queues::Queues>>,
    pub(crate) last_qdisc_handle: u32,
    /// See [`tell_sent`](Self::tell_sent).
    pub(crate) tells_sent: bool,
    /// Since when any socket has wanted to know when something came in: see `Common::enables_stamps`.
    pub(crate) stamped_since: switchboard_engine::Instant,
}

impl Host {
    /// A host with `lo` up and nothing else.
    pub fn new(config: HostConfig) -> Host {
        Host {
            stack: Stack::new(config.stack),
            sockets: Table::default(),
            unix: unix::Namespace::default(),
            inet: inet::Tables::default(),
            netlinks: BTreeSet::new(),
            asked_at: switchboard_engine::Instant::BOOT,
            address_notes: BTreeMap::new(),
            bpf: crate::filter::Objects::default(),
            events: VecDeque::new(),
            released: Vec::new(),
            refused: BTreeMap::new(),
            packets: Vec::new(),
            hooked: Vec::new(),
            fanouts: Vec::new(),
            make_ring: crate::packet::memory::own,
            kept: crate::proc::Kept::new(),
            tuns: None,
            queues: None,
            last_qdisc_handle: 0,
            tells_sent: false,
            stamped_since: switchboard_engine::Instant::BOOT,
        }
    }

    /// The host's stack, to add interfaces, addresses and routes or to read sysctls.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The host's stack, to change it.
    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// How many sockets are open.
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// socket(2): a new socket. `ty` is without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`, which belong
    /// to the descriptor.
    pub fn socket(
        &mut self,
        cx: &mut Cx<'_>,
        domain: i32,
        ty: i32,
        protocol: i32,
    ) -> Result<SocketId, Errno> {
        check_ranges(domain, ty)?;
        match domain {
            AF_UNIX => self.unix_socket(cx, ty, protocol),
            // __sock_create(): "uglymoron", for old programs.
            AF_INET if ty == SOCK_PACKET => self.packet_socket(cx, ty, protocol),
            AF_INET | AF_INET6 => self.inet_socket(cx, domain, ty, protocol),
            AF_NETLINK => self.netlink_socket(cx, ty, protocol),
            AF_PACKET => self.packet_socket(cx, ty, protocol),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// socketpair(2): two connected sockets.
    pub fn socketpair(
        &mut self,
        cx: &mut Cx<'_>,
        domain: i32,
        ty: i32,
        protocol: i32,
    ) -> Result<(SocketId, SocketId), Errno> {
        check_ranges(domain, ty)?;
        if domain == AF_UNIX {
            return self.unix_socketpair(cx, ty, protocol);
        }
        // The sockets are made, then found unable to pair.
        let id = self.socket(cx, domain, ty, protocol)?;
        let _ = self.close(cx, id);
        Err(Errno::EOPNOTSUPP)
    }

    /// Whose the socket is from now on (sk_uid): fchown(2), which SO_REUSEPORT, rules by user and listings look at.
    pub fn set_owner(&mut self, id: SocketId, uid: u32) -> Result<(), Errno> {
        self.get_mut(id)?.common.uid = uid;
        match self.kind(id)? {
            Kind::Tcp(s) => {
                let handle = s.handle;
                self.stack.tcp_set_owner(handle, uid);
            }
            Kind::Udp(s) => {
                let handle = s.handle;
                self.stack.udp_set(handle, UdpSet::Owner(uid));
            }
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => {}
        }
        Ok(())
    }

    /// Whether bind(2) compares the socket's owner with others (SO_REUSEPORT).
    pub fn owner_counts(&self, id: SocketId) -> bool {
        self.get(id)
            .is_ok_and(|socket| socket.common.has(CommonFlags::REUSEPORT))
    }

    /// bind(2). `addr` holds the bytes of the `sockaddr`.
    pub fn bind(&mut self, cx: &mut Cx<'_>, id: SocketId, addr: &[u8]) -> Result<(), Errno> {
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_bind(cx, id, addr),
            Kind::Netlink(_) => self.netlink_bind(cx, id, addr),
            Kind::Packet(_) => self.packet_bind(id, addr),
            Kind::Tcp(_) | Kind::Udp(_) => self.inet_bind(cx, id, addr),
        }
    }

    /// connect(2).
    #[doc(alias = "connect")]
    pub fn attempt_connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        addr: &[u8],
        progress: &mut ConnectProgress,
        last: bool,
    ) -> Result<Attempt<()>, Fail> {
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_attempt_connect(cx, id, addr, last),
            Kind::Packet(_) => Err(Errno::EOPNOTSUPP.into()),
            Kind::Netlink(_) => {
                let connected = self.netlink_connect(cx, id, addr);
                connected.map(Attempt::Ready).map_err(Fail::from)
            }
            Kind::Tcp(_) => self.tcp_attempt_connect(cx, id, addr, progress, last),
            Kind::Udp(_) => self
                .udp_connect(cx, id, addr)
                .map(Attempt::Ready)
                .map_err(Fail::from),
        }
    }

    /// listen(2).
    pub fn listen(&mut self, cx: &mut Cx<'_>, id: SocketId, backlog: i32) -> Result<(), Errno> {
        // Negative is taken as unsigned: as many as somaxconn allows.
        let backlog = (backlog as u32).min(self.stack.sysctl().somaxconn);
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_listen(cx, id, backlog),
            Kind::Netlink(_) | Kind::Packet(_) => Err(Errno::EOPNOTSUPP),
            Kind::Tcp(_) => self.tcp_listen(cx, id, backlog),
            Kind::Udp(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// accept(2), first half: the connection that would be returned.
    #[doc(alias = "accept")]
    pub fn attempt_accept(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        last: bool,
    ) -> Result<Attempt<AcceptPlan>, Fail> {
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_attempt_accept(cx, id, last),
            Kind::Netlink(_) | Kind::Packet(_) => Err(Errno::EOPNOTSUPP.into()),
            Kind::Tcp(_) => self.tcp_attempt_accept(cx, id, last),
            Kind::Udp(_) => Err(Errno::EOPNOTSUPP.into()),
        }
    }

    /// accept(2), second half: takes the connection off the queue. Must follow its attempt with
    /// no other call between them.
    pub fn commit_accept(&mut self, cx: &mut Cx<'_>, plan: AcceptPlan) -> SocketId {
        match plan.child {
            AcceptChild::Unix(child) => self.unix_commit_accept(cx, plan.listener, child),
            AcceptChild::Tcp(child) => self.tcp_commit_accept(cx, plan.listener, child),
        }
    }

    /// getsockname(2).
    pub fn getsockname(&self, id: SocketId) -> Result<SockAddr, Errno> {
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_getsockname(id),
            Kind::Netlink(_) => self.netlink_getsockname(id),
            Kind::Packet(_) => self.packet_getsockname(id),
            Kind::Tcp(_) | Kind::Udp(_) => self.inet_getsockname(id),
        }
    }

    /// The protocol and the port by which packets of an Internet socket are known; of a ping socket it is the identifier of
    /// its echoes. None as long as it has none.
    pub fn port(&self, id: SocketId) -> Option<(u8, u16)> {
        let port = match &self.get(id).ok()?.kind {
            Kind::Tcp(s) => self.stack.tcp_local(s.handle)?.port(),
            Kind::Udp(s) => self.stack.udp_local(s.handle).port(),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => return None,
        };
        let common = &self.get(id).ok()?.common;
        let raw = i32::from(common.ty) == switchboard_abi::number::SOCK_RAW;
        let protocol = u8::try_from(common.protocol).ok()?;
        (port != 0 && !raw).then_some((protocol, port))
    }

    /// getpeername(2).
    pub fn getpeername(&self, id: SocketId) -> Result<SockAddr, Errno> {
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_getpeername(id),
            Kind::Netlink(_) => self.netlink_getpeername(id),
            Kind::Packet(_) => Err(Errno::EOPNOTSUPP),
            Kind::Tcp(_) | Kind::Udp(_) => self.inet_getpeername(id),
        }
    }

    /// send(2), sendto(2), sendmsg(2), write(2), first half: how much would be taken.
    #[doc(alias = "sendmsg")]
    pub fn attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_attempt_send(cx, id, request),
            Kind::Netlink(_) => self.netlink_attempt_send(cx, id, request),
            Kind::Packet(_) => self.packet_try_send(cx, id, request),
            Kind::Tcp(_) => self.tcp_attempt_send(cx, id, request),
            Kind::Udp(_) => self.udp_attempt_send(cx, id, request),
        }
    }

    /// send(2), between the halves: what the bytes themselves decide (an IP header of the caller's
    /// own, the type of an echo request).
    pub fn check_send(&self, id: SocketId, plan: &SendPlan, data: &Payload) -> Result<(), Fail> {
        match &plan.kind {
            PlanKind::Raw(plan) => self.raw_check_send(id, plan, data),
            PlanKind::Packet(plan) => Ok(self.packet_check_send(plan, data)?),
            PlanKind::Tcp(_) | PlanKind::Udp(_) | PlanKind::Unix(_) | PlanKind::Netlink(_) => {
                Ok(())
            }
        }
    }

    /// send(2), second half: queues `data`, which is exactly what the plan takes.
    pub fn commit_send(&mut self, cx: &mut Cx<'_>, id: SocketId, plan: SendPlan, data: Payload) {
        debug_assert_eq!(plan.take, data.len());
        match plan.kind {
            PlanKind::Tcp(plan) => self.tcp_commit_send(cx, id, plan, data),
            PlanKind::Udp(plan) => self.udp_commit_send(cx, id, plan, data),
            PlanKind::Raw(plan) => self.raw_commit_send(cx, id, *plan, data),
            PlanKind::Unix(plan) => self.unix_commit_send(cx, id, plan, data),
            PlanKind::Netlink(plan) => self.netlink_commit_send(cx, id, plan, data),
            PlanKind::Packet(plan) => self.packet_commit_send(cx, id, plan, data),
        }
    }

    /// From now on each datagram that was sent is an event, `WRITABLE`, as sock_wfree() makes it: for those who answer
    /// edge-triggered epoll(7).
    pub fn tell_sent(&mut self) {
        self.tells_sent = true;
    }

    /// sock_wfree(): nobody but a receiver has the buffer any more, or nobody at all.
    pub(crate) fn datagram_left(&mut self, id: SocketId) {
        if self.tells_sent {
            self.wake(id, PollMask::WRITABLE);
        }
    }

    /// recv(2), recvfrom(2), recvmsg(2), read(2), first half: what would be returned.
    #[doc(alias = "recvmsg")]
    pub fn attempt_recv(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_attempt_recv(cx, id, request),
            Kind::Netlink(_) => self.netlink_attempt_recv(id, request),
            Kind::Packet(_) => self.packet_attempt_recv(cx, id, request),
            Kind::Tcp(_) => self.tcp_attempt_recv(cx, id, request),
            Kind::Udp(_) => self.udp_attempt_recv(cx, id, request),
        }
    }

    /// A message could not be read: EFAULT, and what a datagram socket held back is lost with it
    /// (udp_flush_pending_frames()).
    /// `plan`: of the message, as far as Linux has come by then.
    pub fn send_fault(&self, id: SocketId, plan: Option<&SendPlan>) -> Fail {
        let effect = match (self.udp(id), plan.map(|plan| &plan.kind)) {
            (Ok(s), _) if s.held_back() => FailEffect::UdpDropped,
            (Ok(s), Some(PlanKind::Udp(plan))) => s.left_by(plan, false),
            _ => FailEffect::Nothing,
        };
        Fail::with(Errno::EFAULT, effect)
    }

    /// recv(2), second half: takes what was returned off the queue. Several receives of one
    /// recvmmsg(2) are committed in their order.
    pub fn commit_recv(&mut self, cx: &mut Cx<'_>, id: SocketId, received: Received) {
        match received.effect {
            RecvEffect::None => {}
            RecvEffect::Looked(at) => {
                if let Ok(s) = self.udp(id) {
                    let handle = s.handle;
                    self.stack.udp_batch(handle);
                }
                self.note_stamp(cx, id, at);
            }
            RecvEffect::Peek(effect) => self.commit_peek(cx, id, effect),
            RecvEffect::Tcp(effect) => self.tcp_commit_recv(cx, id, effect),
            RecvEffect::TcpStep => self.tcp_step(id),
            RecvEffect::Udp(effect) => self.udp_commit_recv(cx, id, effect),
            RecvEffect::Unix(effect) => self.unix_commit_recv(cx, id, effect),
            RecvEffect::Netlink(effect) => self.netlink_commit_recv(cx.now.as_nanos(), id, effect),
            RecvEffect::Packet(effect) => self.packet_commit_recv(cx, id, effect),
            RecvEffect::PacketStamp(effect) => self.packet_commit_stamp(id, effect),
            RecvEffect::Error(effect) => self.commit_recv_error(cx, id, effect),
            RecvEffect::PathMtu(effect) => self.commit_path_mtu(id, effect),
        }
    }

    /// Gives up a receive that was blocked: what it held goes back to the front of the queue.
    pub fn abandon_recv(&mut self, cx: &mut Cx<'_>, id: SocketId, progress: RecvProgress) {
        if progress.held.is_empty() {
            return;
        }
        match self.kind(id) {
            Ok(Kind::Unix(_)) => self.unix_unread(id, progress),
            Ok(Kind::Tcp(_)) => self.tcp_unread(cx, id, progress.held),
            _ => {}
        }
    }

    /// An error was delivered: clears the pending error that it was, and does what goes with it.
    pub fn commit_fail(&mut self, cx: &mut Cx<'_>, id: SocketId, fail: Fail) {
        if fail.is_pending() {
            let _ = self.take_pending_error(id);
        }
        match fail.effect {
            FailEffect::Nothing | FailEffect::Pending => {}
            FailEffect::Skipped { bytes, .. } => self.tcp_skip(cx, id, bytes),
            FailEffect::UnixSkipped { .. } => self.unix_skip_oob(id),
            FailEffect::UnixDetached => {
                self.unix_detach(id);
                // The message had been made.
                self.datagram_left(id);
            }
            FailEffect::UnixWaited => self.unix_waited(id),
            FailEffect::UnixUnsent => self.datagram_left(id),
            FailEffect::TooBig { dst, mtu, noted } => {
                self.udp_drop_corked(id);
                if noted {
                    self.note_path_mtu(id, dst, mtu);
                }
                self.local_error(id, fail.errno, dst, mtu);
            }
            FailEffect::UdpStrayed { to, from, .. } => {
                if let Ok(s) = self.udp_mut(id) {
                    s.stray(to, from);
                }
            }
            FailEffect::UdpFoundWay { .. } => {
                if let Ok(s) = self.udp_mut(id) {
                    s.no_way = false;
                }
            }
            FailEffect::UdpDropped => self.udp_drop_corked(id),
            FailEffect::PacketLost => self.packet_lose(id),
        }
    }

    /// Makes `errno` the socket's pending error: what recvmmsg(2) met after it had received some
    /// messages is told by the next call.
    pub fn set_pending_error(&mut self, id: SocketId, errno: Errno) {
        let _ = self.take_pending_error(id);
        let Ok(socket) = self.get_mut(id) else { return };
        match &mut socket.kind {
            Kind::Unix(_) => self.unix_set_error(id, errno),
            Kind::Netlink(s) => s.set_error(Some(errno)),
            Kind::Packet(s) => s.set_error(Some(errno)),
            Kind::Tcp(s) => s.told = Some(errno),
            Kind::Udp(s) => s.told = Some(errno),
        }
    }

    /// shutdown(2).
    pub fn shutdown(&mut self, cx: &mut Cx<'_>, id: SocketId, how: i32) -> Result<(), Errno> {
        // sock_no_shutdown() does not look at it.
        let knows = !matches!(self.kind(id)?, Kind::Netlink(_) | Kind::Packet(_));
        if knows && !(SHUT_RD..=SHUT_RDWR).contains(&how) {
            return Err(Errno::EINVAL);
        }
        match self.kind(id)? {
            Kind::Unix(_) => self.unix_shutdown(cx, id, how),
            Kind::Netlink(_) | Kind::Packet(_) => Err(Errno::EOPNOTSUPP),
            Kind::Tcp(_) => self.tcp_shutdown(cx, id, how),
            Kind::Udp(_) => self.udp_shutdown(cx, id, how),
        }
    }

    /// poll(2)'s mask of the socket now.
    pub fn poll(&self, id: SocketId) -> PollMask {
        match self.kind(id) {
            Ok(Kind::Unix(_)) => self.unix_poll(id),
            Ok(Kind::Netlink(_)) => self.netlink_poll(id),
            Ok(Kind::Packet(_)) => self.packet_poll(id),
            Ok(Kind::Tcp(_)) => self.tcp_poll(id),
            Ok(Kind::Udp(_)) => self.udp_poll(id),
            Err(_) => PollMask::empty(),
        }
    }

    /// close(2) of the last descriptor.
    pub fn close(&mut self, cx: &mut Cx<'_>, id: SocketId) -> CloseOutcome {
        self.bpf_forget_socket(id);
        self.release_flow_labels(cx.now, id);
        match self.kind(id) {
            Ok(Kind::Unix(_)) => self.unix_close(cx, id),
            Ok(Kind::Netlink(_)) => self.netlink_close(id),
            Ok(Kind::Packet(_)) => self.packet_close(id),
            Ok(Kind::Tcp(_)) => return self.tcp_close(cx, id),
            Ok(Kind::Udp(_)) => self.udp_close(cx, id),
            Err(_) => {}
        }
        CloseOutcome::Done
    }

    /// Whether the closer of this socket, which is gone, has to wait still. An event of the socket
    /// with `HUP` tells when it has not.
    pub fn lingers(&self, id: SocketId) -> bool {
        self.inet.lingers(id)
    }

    /// Whether closing the socket would make its closer wait (`SO_LINGER`): for a driver to whom
    /// looking at each close would cost much.
    pub fn would_linger(&self, id: SocketId) -> bool {
        self.inet.linger_used
            && matches!(self.kind(id), Ok(Kind::Tcp(_)))
            && self.tcp_would_linger(id)
    }

    /// Whether any socket was ever told to linger.
    pub fn linger_used(&self) -> bool {
        self.inet.linger_used
    }

    /// Whether the socket will still be readable when these have been committed. A driver whose
    /// callers poll by themselves asks before it delivers a result.
    pub fn leaves_readable(&self, id: SocketId, received: &[Received]) -> bool {
        let (mut bytes, mut messages) = (0, 0);
        for message in received {
            match &message.effect {
                RecvEffect::None
                | RecvEffect::Looked(_)
                | RecvEffect::Peek(_)
                | RecvEffect::Error(_)
                | RecvEffect::PathMtu(_)
                | RecvEffect::PacketStamp(_) => {}
                RecvEffect::Tcp(effect) => bytes += effect.consume,
                RecvEffect::TcpStep => bytes += 1,
                RecvEffect::Udp(_) | RecvEffect::Netlink(_) | RecvEffect::Packet(_) => {
                    messages += 1;
                }
                RecvEffect::Unix(effect) => {
                    bytes += effect.bytes();
                    messages += effect.messages();
                }
            }
        }
        if bytes == 0 && messages == 0 {
            return self.poll(id).contains(PollMask::IN);
        }
        match self.kind(id) {
            Ok(Kind::Tcp(s)) => self.tcp_readable_after(id, s, bytes),
            Ok(Kind::Udp(s)) => {
                s.shut.read || self.stack.udp_queue(s.handle).nth(messages).is_some()
            }
            Ok(Kind::Unix(s)) => {
                let inline = self
                    .get(id)
                    .is_ok_and(|socket| socket.common.has(CommonFlags::OOBINLINE));
                s.readable_after(bytes, messages, inline)
            }
            Ok(Kind::Netlink(s)) => s.readable_after(messages),
            Ok(Kind::Packet(s)) => s.readable_after(messages),
            Err(_) => false,
        }
    }

    /// Whether one of these takes the urgent byte, or steps over it: POLLPRI goes.
    pub fn takes_urgent(&self, id: SocketId, received: &[Received]) -> bool {
        let mut consumed = 0;
        received.iter().any(|message| match &message.effect {
            RecvEffect::Tcp(effect) => {
                consumed += effect.consume;
                effect.oob || effect.hole > 0 || self.tcp_passes_urgent(id, consumed)
            }
            RecvEffect::Unix(effect) => {
                consumed += effect.bytes();
                effect.takes_urgent() || self.unix_passes_urgent(id, consumed)
            }
            _ => false,
        })
    }

    /// What poll(2) will no longer say when these, the last entries of the error queue, have been taken: ERR, and what
    /// SO_SELECT_ERR_QUEUE shows of it. Streams do not heed that.
    pub fn errors_fall(&self, id: SocketId, received: &[Received]) -> PollMask {
        let of_queue = received.iter().filter(|message| {
            matches!(
                message.effect,
                RecvEffect::Error(_) | RecvEffect::PacketStamp(_)
            )
        });
        let (taken, Ok(kind)) = (of_queue.count(), self.kind(id)) else {
            return PollMask::empty();
        };
        let falls = taken > 0
            && match kind {
                Kind::Packet(s) => s.stamps_left(taken) == 0 && s.error().is_none(),
                _ => self.inet_options(id).is_ok_and(|options| {
                    (options.errors).is_last(taken, self.pending_error(id).is_some())
                }),
            };
        match (falls, kind) {
            (false, _) => PollMask::empty(),
            (true, Kind::Tcp(_)) => PollMask::ERR,
            (true, _) => PollMask::ERR | PollMask::PRI,
        }
    }

    /// poll(2)'s mask of the socket that accept(2) would return.
    pub fn poll_accepted(&self, plan: &AcceptPlan) -> PollMask {
        match plan.child {
            AcceptChild::Unix(child) => self.unix_poll(child),
            AcceptChild::Tcp(child) => self.tcp_poll_accepted(plan.listener, child),
        }
    }

    /// Whether something sent now comes back as an error at once: the peer of a TCP connection has
    /// closed, the port that a UDP socket is connected to is not there.
    pub fn send_is_answered(&self, id: SocketId) -> bool {
        match self.kind(id) {
            Ok(Kind::Tcp(s)) => self.stack.tcp_state(s.handle) == State::CloseWait,
            Ok(Kind::Udp(s)) => {
                let told = InetFlags::RECVERR | InetFlags::RECVERR6;
                self.stack.udp_peer_is_deaf(s.handle) || s.inet.flags.intersects(told)
            }
            _ => false,
        }
    }

    /// Whether splice(2) from the socket hears `SPLICE_F_NONBLOCK`, as unix_stream_splice_read() does. Of others it says
    /// only that the pipe is not waited for; `O_NONBLOCK` is what they look at.
    pub fn hears_splice_nonblock(&self, id: SocketId) -> bool {
        matches!(self.kind(id), Ok(Kind::Unix(s)) if s.is_stream())
    }

    /// Whether splice(2) from the socket has come to urgent data, which it does not pass, inline or not
    /// (tcp_splice_data_recv()).
    pub fn splice_meets_urgent(&self, id: SocketId) -> bool {
        match self.kind(id) {
            Ok(Kind::Tcp(s)) => {
                let view = self.stack.tcp_view(s.handle);
                view.urgent().at_mark && view.recv_available() > 0
            }
            _ => false,
        }
    }

    /// Whether accept(2) would leave another connection to accept.
    pub fn leaves_acceptable(&self, plan: &AcceptPlan) -> bool {
        match self.kind(plan.listener) {
            Ok(Kind::Tcp(s)) => self.stack.tcp_accept_queue(s.handle) > 1,
            Ok(Kind::Unix(s)) => s.accept_queue() > 1,
            _ => false,
        }
    }

    /// The caller was told `SIOCINQ`: what a UDP socket holds is its reader's batch now (first_packet_length()).
    pub fn commit_inq(&mut self, id: SocketId) {
        if let Ok(s) = self.udp(id) {
            let handle = s.handle;
            self.stack.udp_batch(handle);
        }
    }

    /// ioctl(2) with a command that gives an `int`: `SIOCINQ` (`FIONREAD`), `SIOCOUTQ`,
    /// `SIOCOUTQNSD` and `SIOCATMARK`. Others are `ENOTTY`.
    pub fn ioctl(&self, id: SocketId, command: u32) -> Result<i32, Errno> {
        let count = |n: usize| Ok(i32::try_from(n).unwrap_or(i32::MAX));
        match (self.kind(id)?, command) {
            (Kind::Unix(_), SIOCINQ) => self.unix_inq(id),
            (Kind::Unix(_), SIOCOUTQ) => self.unix_outq(id),
            (Kind::Unix(s), SIOCATMARK) if !s.is_stream() => Err(Errno::EOPNOTSUPP),
            (Kind::Unix(_), SIOCATMARK) => Ok(i32::from(self.unix_at_mark(id)?)),
            (Kind::Udp(_), SIOCINQ | SIOCOUTQ) if self.datagram(id) == Datagram::Ping => {
                Err(Errno::ENOTTY)
            }
            (Kind::Udp(s), SIOCINQ) => {
                // The size of the next datagram.
                count(self.stack.udp_peek(s.handle).map_or(0, |m| m.payload.len()))
            }
            // A datagram leaves at once, unless it is held back.
            (Kind::Udp(s), SIOCOUTQ) => count(s.charge() as usize),
            (Kind::Packet(_), SIOCOUTQ) => Ok(0),
            (Kind::Packet(s), SIOCINQ) => count(s.next_len()),
            (Kind::Tcp(s), SIOCINQ | SIOCOUTQ | SIOCOUTQNSD)
                if self.stack.tcp_state(s.handle) == State::Listen =>
            {
                Err(Errno::EINVAL)
            }
            (Kind::Tcp(s), SIOCINQ) => count(self.stack.tcp_inq(s.handle)),
            (Kind::Tcp(s), SIOCOUTQ) => count(self.stack.tcp_outq(s.handle)),
            (Kind::Tcp(s), SIOCOUTQNSD) => count(self.stack.tcp_outq_unsent(s.handle)),
            (Kind::Tcp(s), SIOCATMARK) => Ok(i32::from(self.stack.tcp_urgent(s.handle).at_mark)),
            _ => Err(Errno::ENOTTY),
        }
    }

    /// A packet came in on an interface.
    pub fn deliver(&mut self, now: Instant, interface: IfIndex, packet: Packet) {
        self.stack.deliver(now, interface, packet);
        self.collect_stack_events();
    }

    /// [`deliver`](Self::deliver), with what the packet carries beside its bytes.
    pub fn deliver_tagged(&mut self, now: Instant, interface: IfIndex, tag: Tag, packet: Packet) {
        self.stack.deliver_tagged(now, interface, tag, packet);
        self.collect_stack_events();
    }

    /// The next packet to put on an interface.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(IfIndex, Packet)> {
        self.stack.poll_transmit(now)
    }

    /// [`poll_transmit`](Self::poll_transmit), with whom on the link the packet is handed to.
    pub fn poll_outgoing(&mut self, now: Instant) -> Option<Outgoing> {
        self.stack.poll_outgoing(now)
    }

    /// The next frame to put on an interface; a packet, where there is no link layer. What leaves by an interface of
    /// /dev/net/tun is its descriptor's.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Departure> {
        loop {
            let next = self.queued_frame(now);
            self.collect_stack_events();
            match next {
                Some(departure) if self.tuns.is_some() => {
                    if let Some(others) = self.tun_take(departure) {
                        return Some(others);
                    }
                }
                next => return next,
            }
        }
    }

    /// A frame came in by an interface.
    pub fn deliver_frame(&mut self, now: Instant, interface: IfIndex, frame: Frame) {
        self.stack.deliver_frame(now, interface, frame);
        self.collect_stack_events();
    }

    /// When [`Host::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.stack
            .poll_timeout()
            .into_iter()
            .chain(self.ring_timeout())
            .chain(self.queues_timeout())
            .min()
    }

    /// Runs the timers that are due. Early or repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.asked_at = now;
        self.stack.handle_timeout(now);
        self.collect_stack_events();
        self.run_queues(now);
        self.handle_ring_timeout(now);
    }

    /// The next wake-up.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether [`poll_event`](Self::poll_event) or [`poll_released`](Self::poll_released) has something.
    pub fn has_events(&self) -> bool {
        !(self.events.is_empty() && self.released.is_empty())
    }

    /// The next file in flight that nobody will receive: the embedder closes it.
    pub fn poll_released(&mut self) -> Option<FileToken> {
        self.released.pop()
    }

    pub(crate) fn wake(&mut self, socket: SocketId, wake: PollMask) {
        // Consecutive wake-ups of the same kind are one: nobody can have looked in between.
        if let Some(last) = self.events.back_mut()
            && last.socket == socket
            && last.wake == wake
        {
            return;
        }
        self.events.push_back(Event { socket, wake });
    }

    pub(crate) fn get(&self, id: SocketId) -> Result<&Socket, Errno> {
        self.sockets.get(id).ok_or(Errno::EBADF)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(id).ok_or(Errno::EBADF)
    }

    pub(crate) fn kind(&self, id: SocketId) -> Result<&Kind, Errno> {
        Ok(&self.get(id)?.kind)
    }

    /// `SO_ERROR` without clearing it.
    pub(crate) fn pending_error(&self, id: SocketId) -> Option<Errno> {
        match self.kind(id).ok()? {
            Kind::Unix(_) => self.unix_pending_error(id),
            Kind::Netlink(s) => s.error(),
            Kind::Packet(s) => s.error(),
            Kind::Tcp(s) => self.tcp_pending_error(s),
            Kind::Udp(s) => self.udp_pending_error(s),
        }
    }

    /// `SO_ERROR` of a connection that goes on, when nothing is pending (sk_err_soft).
    pub(crate) fn soft_error(&self, id: SocketId) -> Option<Errno> {
        match self.kind(id).ok()? {
            Kind::Tcp(s) => self.stack.tcp_soft_error(s.handle).map(crate::error::tcp),
            _ => None,
        }
    }

    pub(crate) fn clear_soft_error(&mut self, id: SocketId) {
        if let Ok(Kind::Tcp(s)) = self.kind(id) {
            let handle = s.handle;
            self.stack.tcp_clear_soft_error(handle);
        }
    }

    /// `SO_ERROR`, cleared.
    pub(crate) fn take_pending_error(&mut self, id: SocketId) -> Option<Errno> {
        let error = self.pending_error(id)?;
        match self.get(id).ok().map(|s| &s.kind)? {
            Kind::Unix(_) => self.unix_clear_error(id),
            Kind::Netlink(_) => self.netlink_mut(id).ok()?.set_error(None),
            Kind::Packet(_) => self.packet_mut(id).ok()?.set_error(None),
            Kind::Tcp(s) => {
                let handle = s.handle;
                let _ = self.stack.tcp_take_error(handle);
                self.tcp_mut(id).ok()?.told = None;
            }
            Kind::Udp(s) => {
                let handle = s.handle;
                let _ = self.stack.udp_take_error(handle);
                self.udp_mut(id).ok()?.told = None;
            }
        }
        Some(error)
    }
}

/// __sock_create() looks at the ranges before the family.
fn check_ranges(domain: i32, ty: i32) -> Result<(), Errno> {
    if !(0..AF_MAX).contains(&domain) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if !(0..=SOCK_PACKET).contains(&ty) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
