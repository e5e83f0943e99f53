//! Between the machine and the host: segments to their connection, and what follows from them.

use core::net::IpAddr;

use switchboard_wire::{Body, IpHeader, Packet, SeqNum, TcpFlags, TcpSegment};

use super::connection::{Cx, FourTuple, Out, Path};
use super::ecn::CE;
use super::input::Reply;
use super::state::State;
use super::table::Kind;
use super::tally::{Arriving, Due};
use super::time_wait::TimeWaitVerdict;
use crate::event::{EventKind, Queued, TcpId};
use crate::iface::{IfIndex, Interfaces};
use crate::policy::Flow;
use crate::ports::BindKey;
use crate::route::RouteInfo;
use crate::stack::{Hint, Stack};
use crate::time::Instant;
use crate::timer::TimerToken;

/// Largest payload in one packet on loopback: Linux's GSO_LEGACY_MAX_SIZE.
const GSO_MAX: u32 = 65_536;
/// The same on a link, less the most that headers take there (MAX_TCP_HEADER).
const GSO_MAX_ON_LINK: u32 = GSO_MAX - 1 - 320;

/// What of a segment its answer needs.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) seq: SeqNum,
    pub(super) ack: SeqNum,
    pub(super) flags: TcpFlags,
    pub(super) seq_len: u32,
}

impl Head {
    #[inline]
    pub(super) fn of(segment: &TcpSegment) -> Head {
        Head {
            src_port: segment.src_port,
            dst_port: segment.dst_port,
            seq: segment.seq,
            ack: segment.ack,
            flags: segment.flags,
            seq_len: segment.seq_len(),
        }
    }
}

/// What a path allows.
pub(crate) fn path_of(route: &RouteInfo, interfaces: &Interfaces) -> Path {
    let lo_is_direct = interfaces.lo_is_direct();
    let max_payload = if route.interface == IfIndex::LO {
        GSO_MAX
    } else if interfaces.takes_large_segments(route.interface) {
        GSO_MAX_ON_LINK
    } else {
        0
    };
    Path {
        mtu: route.mtu,
        max_payload,
        tracked: !lo_is_direct || route.interface != IfIndex::LO,
        confirmed: false,
    }
}

impl Stack {
    /// A segment came in (tcp_v4_rcv).
    pub(crate) fn tcp_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        hint: Hint,
        ip: &IpHeader,
        segment: &mut TcpSegment,
    ) {
        self.counters.tcp_in_segs += 1;
        let tuple = FourTuple {
            local: ip.dst,
            remote: ip.src,
            local_port: segment.dst_port,
            remote_port: segment.src_port,
        };
        let Some(index) = self.tcp.find_hinted(hint, &tuple) else {
            return self.tcp_listener_input(now, interface, ip, &tuple, segment, None);
        };
        let mut filtered = false;
        if let Kind::Socket(socket) = &self.tcp.entries[index as usize].kind {
            // inet_sk_bound_dev_eq()
            if socket.device.is_some_and(|device| device != interface) {
                return self.tcp_listener_input(now, interface, ip, &tuple, segment, None);
            }
            filtered = socket.filters.is_some();
        }
        if (self.tcp.signs || segment.options.md5.is_some())
            && !self.tcp_is_authentic(interface, ip, &tuple, segment)
        {
            return;
        }
        if filtered {
            let id = self.tcp.id_at(index);
            match self.tcp_filtered(now, id, interface, ip, segment) {
                Some(payload) => segment.payload = payload,
                None => return,
            }
        }
        match &mut self.tcp.entries[index as usize].kind {
            Kind::Socket(socket) => {
                if !socket.conn.opts.is_near(ip.is_v6(), ip.hop_limit) {
                    return;
                }
                let head = Head::of(segment);
                let fastopen = segment.options.fastopen;
                let arriving = Arriving::new(&socket.conn, segment);
                if ip.tos & CE != 0 {
                    socket.conn.ecn_arrives(ip.tos);
                }
                let reply = socket.conn.on_segment(
                    Cx {
                        now,
                        sysctl: &self.sysctl,
                    },
                    segment,
                );
                let reset = reply == Reply::Reset;
                arriving.count(now, &socket.conn, reset, &mut self.counters);
                if reset {
                    self.tcp_reset_reply(ip, head);
                }
                if let Some(cookie) = fastopen {
                    self.fastopen_learn(index, cookie);
                }
                self.tcp_flush(now, index);
            }
            Kind::Request(_) => self.tcp_request_input(now, interface, ip, index, segment),
            Kind::TimeWait(time_wait) => {
                let verdict = time_wait.on_segment(now, &self.sysctl, segment);
                let deadline = time_wait.deadline;
                self.tcp_arm(index, deadline);
                match verdict {
                    TimeWaitVerdict::Drop => {}
                    TimeWaitVerdict::Acknowledge => self.tcp_time_wait_ack(now, index),
                    TimeWaitVerdict::Kill => self.tcp_release(index),
                    TimeWaitVerdict::Reset => {
                        self.tcp_reset_reply(ip, Head::of(segment));
                        self.tcp_release(index);
                    }
                    TimeWaitVerdict::Reopen(isn) => {
                        if (self.tcp.find_listener(&tuple, interface, None)).is_some() {
                            self.tcp_release(index);
                            let isn = Some(isn);
                            self.tcp_listener_input(now, interface, ip, &tuple, segment, isn);
                        } else {
                            self.tcp_time_wait_ack(now, index);
                        }
                    }
                }
            }
        }
    }

    /// A timer did something to a socket, or a segment arrived: carry out what follows.
    #[inline]
    pub(crate) fn tcp_flush(&mut self, now: Instant, index: u32) {
        self.tcp_transmit(now, index);
        self.tcp_settle(now, index);
    }

    /// The user did something to a socket: carry out what follows, on loopback the peer's answer too. The timers are set
    /// last: what was acknowledged by then needs none.
    #[inline]
    pub(crate) fn tcp_finish(&mut self, now: Instant, index: u32) {
        let generation = self.tcp.id_at(index).generation;
        self.tcp_transmit_direct(now, index);
        self.run_loopback(now);
        // The socket may be gone, and its place taken.
        if self.tcp.is_current(TcpId { index, generation }) {
            self.tcp_settle(now, index);
        }
    }

    /// [`tcp_transmit`](Self::tcp_transmit) for a call that runs the loopback next: a segment that is alone goes to its
    /// receiver from where it is, and not through the queue.
    #[inline]
    fn tcp_transmit_direct(&mut self, now: Instant, index: u32) {
        if self.tcp_is_quiet(index) {
            return;
        }
        if !self.loopback_is_free() {
            return self.tcp_transmit(now, index);
        }
        let Some((hint, ip, mut body)) = self.tcp_next(now, index) else {
            return;
        };
        if self.tcp_is_quiet(index) {
            return self.tcp_deliver_direct(now, hint, &ip, &mut body);
        }
        self.tcp_loop_back(hint, ip, body);
        self.tcp_transmit(now, index);
    }

    /// Hands a socket's segments to IP.
    #[inline]
    fn tcp_transmit(&mut self, now: Instant, index: u32) {
        if self.tcp_is_quiet(index) {
            return;
        }
        while let Some((hint, ip, body)) = self.tcp_next(now, index) {
            self.tcp_loop_back(hint, ip, body);
        }
    }

    /// Whether a socket has nothing to send: most often told without a look at all that sending needs.
    #[inline]
    fn tcp_is_quiet(&self, index: u32) -> bool {
        match &self.tcp.entries[index as usize].kind {
            Kind::Socket(socket) => socket.conn.is_quiet(),
            Kind::Request(_) | Kind::TimeWait(_) => true,
        }
    }

    /// The socket's next segment on `lo`; what comes before it and leaves by another interface is handed to that.
    fn tcp_next(&mut self, now: Instant, index: u32) -> Option<(Hint, IpHeader, Body)> {
        loop {
            let busy = self.transmit_is_busy();
            let Stack {
                tcp,
                sysctl,
                interfaces,
                routes,
                tcp_stamps,
                random,
                path_mtus,
                ..
            } = self;
            let entry = &mut tcp.entries[index as usize];
            let Kind::Socket(socket) = &mut entry.kind else {
                return None;
            };
            if busy
                && socket.route.is_some_and(|route| {
                    route.interface != IfIndex::LO || !interfaces.lo_is_direct()
                })
                && socket.conn.state.is_synchronized()
            {
                // The rest leaves when the interface has taken what waits for it.
                if !core::mem::replace(&mut socket.throttled, true) {
                    let id = TcpId {
                        index,
                        generation: entry.generation,
                    };
                    tcp.throttled.push_back(id);
                }
                return None;
            }
            let cx = Cx { now, sysctl };
            if socket.conn.out.contains(Out::CHALLENGE) {
                socket.conn.out.remove(Out::CHALLENGE);
                let allowed = tcp
                    .challenges
                    .take(now, sysctl.tcp_challenge_ack_limit, random);
                socket
                    .conn
                    .out
                    .set(Out::ACK, allowed || socket.conn.out.contains(Out::ACK));
            }
            let (retransmitted, window) = (socket.conn.counters.retrans, socket.conn.rcv_wnd);
            let mut segment = socket.conn.poll_transmit(cx)?;
            let again = socket.conn.counters.retrans.wrapping_sub(retransmitted);
            (self.counters).tcp_leaves(&socket.conn, &segment, again, window);
            if socket.route.is_none() || socket.route_generation != routes.generation() {
                let tuple = &socket.conn.tuple;
                let flow = Flow {
                    src: Some(tuple.local),
                    ports: (tuple.local_port, tuple.remote_port),
                    ..socket.flow(tuple.remote)
                };
                let found = crate::route::lookup(interfaces, routes, &flow);
                // ip_route_output_key_hash_rcu: from an address that IPv4 has no more nothing leaves.
                let ours = tuple.local.is_ipv6()
                    || socket.conn.opts.nonlocal()
                    || interfaces.owner(tuple.local).is_some();
                // Without a route the segment is lost, and sent again later, as any other.
                socket.route = found
                    .ok()
                    .filter(|_| ours)
                    .map(|route| path_mtus.narrow(route));
                socket.route_generation = routes.generation();
                if let Some(route) = &socket.route {
                    socket.conn.path = path_of(route, interfaces);
                    socket.conn.sync_mss(sysctl);
                }
            }
            let Some(route) = &socket.route else {
                self.counters.ip_out_no_routes += 1;
                continue;
            };
            let tuple = &socket.conn.tuple;
            let mut ip = IpHeader::new(tuple.local, tuple.remote);
            ip.tos = socket.conn.opts.tos_of(ip.is_v6());
            if !socket.conn.ecn.is_empty() {
                ip.tos |= socket.conn.ecn.codepoint();
            }
            ip.hop_limit = match tuple.remote {
                IpAddr::V4(_) => socket.conn.opts.ttl.unwrap_or(sysctl.ip_default_ttl),
                IpAddr::V6(_) => {
                    let told = self.interfaces.hop_limit(route.interface);
                    let hops = socket.conn.opts.hops.or(told);
                    hops.unwrap_or(sysctl.ipv6_hop_limit)
                }
            };
            if tcp.signs
                && let Some(key) = socket.conn.opts.md5_key(ip.dst)
            {
                key.sign(&ip, &mut segment);
            }
            if let Some(stamps) = &mut socket.conn.stamps {
                let id = TcpId {
                    index,
                    generation: entry.generation,
                };
                stamps.sent((now, id), &ip, &segment, tcp_stamps);
            }
            let mut body = Body::Tcp(segment);
            if let Some(extra) = socket.conn.opts.extra() {
                ip.dst = extra.first_hop().unwrap_or(ip.dst);
                body = extra.wrap(now, &ip, tuple.remote, body);
            }
            if route.interface == IfIndex::LO {
                let hint = Hint {
                    from: index,
                    to: socket.peer,
                };
                return Some((hint, ip, body));
            }
            let route = *route;
            if core::mem::take(&mut socket.conn.path.confirmed) {
                self.neigh_confirm(now, &route);
            }
            self.ip_output(&route, Packet { ip, body });
        }
    }

    /// The interfaces have taken packets: connections that waited for that go on, the longest waiting first.
    #[inline]
    pub(crate) fn tcp_resume(&mut self, now: Instant) {
        while !self.tcp.throttled.is_empty() && !self.transmit_is_busy() {
            let Some(id) = self.tcp.throttled.pop_front() else {
                return;
            };
            if let Some(socket) = self.tcp.get_mut(id) {
                socket.throttled = false;
                self.tcp_flush(now, id.index);
            }
        }
    }

    /// Something happened to a socket that its connection does not know of.
    pub(super) fn tcp_happened(&mut self, id: TcpId, kind: EventKind) {
        let Some(socket) = self.tcp.get_mut(id) else {
            return;
        };
        let first = socket.pending.is_empty();
        socket.pending |= kind;
        if first {
            self.events.push(Queued::Tcp(id));
        }
    }

    /// Events, timers, and the end of a connection.
    #[inline]
    pub(super) fn tcp_settle(&mut self, now: Instant, index: u32) {
        let entry = &mut self.tcp.entries[index as usize];
        let Kind::Socket(socket) = &mut entry.kind else {
            return;
        };
        let conn = &mut socket.conn;
        if conn.no_space && conn.writable(&self.sysctl) {
            conn.no_space = false;
            conn.events |= EventKind::WRITABLE;
        }
        if !conn.events.is_empty() {
            let kind = core::mem::take(&mut conn.events);
            if !conn.orphan {
                let first = socket.pending.is_empty();
                socket.pending |= kind;
                if first {
                    let id = TcpId {
                        index,
                        generation: entry.generation,
                    };
                    self.events.push(Queued::Tcp(id));
                }
            }
        }
        if let Some(stamps) = &mut conn.stamps {
            let id = TcpId {
                index,
                generation: entry.generation,
            };
            stamps.acknowledged((now, id), conn.snd_una, &mut self.tcp_stamps);
        }
        let deadline = conn.deadline();
        match conn.state {
            State::TimeWait => return self.tcp_enter_time_wait(now, index, false),
            State::FinWait2 if conn.orphan => return self.tcp_enter_time_wait(now, index, true),
            State::Close => return self.tcp_closed(index),
            _ => {}
        }
        if deadline < entry.armed {
            self.tcp_arm(index, deadline);
        }
    }

    /// Sets an entry's timer. A later deadline is left to be found when the timer fires: restarting the retransmission
    /// timer at every ACK costs nothing.
    pub(super) fn tcp_arm(&mut self, index: u32, deadline: Instant) {
        let Some(entry) = self.tcp.entries.get_mut(index as usize) else {
            return;
        };
        if deadline == Instant::MAX {
            return;
        }
        let timer = match entry.timer {
            Some(timer) => timer,
            None => {
                let id = TcpId {
                    index,
                    generation: entry.generation,
                };
                *entry.timer.insert(self.timers.create(TimerToken::Tcp(id)))
            }
        };
        entry.armed = deadline;
        self.timers.arm(timer, deadline);
    }

    /// The host has lost the address that a SYN came from before it was answered: the next one comes from another, unless
    /// the program has chosen it (ip_dynaddr; inet_sk_reselect_saddr). IPv4 only, as in Linux.
    fn tcp_reselect_source(&mut self, index: u32) {
        let Kind::Socket(socket) = &self.tcp.entries[index as usize].kind else {
            return;
        };
        let mut tuple = socket.conn.tuple;
        let kept = socket.conn.state != State::SynSent
            || socket.addr_locked
            || tuple.local.is_ipv6()
            || self.is_local(tuple.local);
        if kept {
            return;
        }
        let found = self.route_of(&Flow {
            device: socket.device,
            mark: socket.mark,
            ..Flow::to(tuple.remote)
        });
        let Ok(route) = found else { return };
        tuple.local = route.source;
        if self.tcp.find(&tuple).is_some() {
            return;
        }
        self.tcp.hash_out(index);
        if let Kind::Socket(socket) = &mut self.tcp.entries[index as usize].kind {
            socket.conn.tuple = tuple;
            socket.conn.path = path_of(&route, &self.interfaces);
            socket.route = Some(route);
            socket.route_generation = self.routes.generation();
            if let Some(old) = &mut socket.bind {
                let new = BindKey {
                    addr: tuple.local,
                    ..*old
                };
                self.tcp_ports.replace(old, new);
                *old = new;
            }
        }
        self.tcp.hash_in(index);
    }

    /// A timer fired.
    pub(crate) fn tcp_timer(&mut self, now: Instant, id: TcpId) {
        let Some(entry) = self.tcp.entries.get_mut(id.index as usize) else {
            return;
        };
        if entry.generation != id.generation {
            return;
        }
        entry.armed = Instant::MAX;
        match &mut entry.kind {
            // What it was set for has been dealt with, and nothing else is due.
            Kind::Socket(socket) if socket.conn.deadline() > now => {
                let deadline = socket.conn.deadline();
                self.tcp_arm(id.index, deadline);
            }
            Kind::Socket(socket) => {
                let due = Due::new(now, &socket.conn);
                socket.conn.on_timer(Cx {
                    now,
                    sysctl: &self.sysctl,
                });
                due.count(&socket.conn, &mut self.counters);
                if self.sysctl.ip_dynaddr > 0 {
                    self.tcp_reselect_source(id.index);
                }
                self.tcp_flush(now, id.index);
            }
            Kind::Request(_) => self.tcp_request_timer(now, id.index),
            Kind::TimeWait(time_wait) => {
                if time_wait.deadline <= now {
                    self.tcp_release(id.index);
                } else {
                    let deadline = time_wait.deadline;
                    self.tcp_arm(id.index, deadline);
                }
            }
        }
    }
}
