//! Passive opens in the host: a SYN makes a request, its last ACK makes a connection (tcp_conn_request, tcp_check_req,
//! tcp_v4_syn_recv_sock). What a request is and how it judges segments is in `listen`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use bytes::Bytes;
use switchboard_wire::{Body, IpHeader, Packet, SeqNum, TcpFlags, TcpOptions, TcpSegment, emit};

use super::connection::{Connection, Cx, FourTuple, MSS_DEFAULT, Timed};
use super::fastopen::Decision;
use super::filter::inherited;
use super::input::{Reply, always_answered};
use super::listen::{Judgement, Request};
use super::stack::{Head, path_of};
use super::state::State;
use super::table::{Kind, Socket};
use super::tally::Arriving;
use super::timers::syn_ack_timeout;
use super::user::{announced_mss, initial_window};
use crate::event::{EventKind, TcpId};
use crate::iface::{IfIndex, Interfaces};
use crate::policy::Flow;
use crate::ports::{BindKey, BindState};
use crate::stack::Stack;
use crate::time::Instant;

/// Whether an address means something on one link only.
fn on_link(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

impl Stack {
    /// A segment for no connection: for a listener, or for nobody (RFC 9293, 3.10.7.1 and 3.10.7.2).
    pub(super) fn tcp_listener_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        tuple: &FourTuple,
        segment: &TcpSegment,
        isn: Option<SeqNum>,
    ) {
        let flags = segment.flags;
        let Some(id) = self.tcp_receiving_listener(now, interface, ip, tuple, segment) else {
            // tcp_v4_send_reset: nobody has a key that a signed answer could be made with.
            if segment.options.md5.is_some() {
                return;
            }
            // CLOSED: "all data in the incoming segment is discarded"; anything but a RST is answered with one.
            return self.tcp_reset_reply(ip, Head::of(segment));
        };
        if (self.tcp.signs || segment.options.md5.is_some())
            && !self.tcp_is_authentic(interface, ip, tuple, segment)
        {
            return;
        }
        if self.tcp.has_filter(id) && self.tcp_filtered(now, id, interface, ip, segment).is_none() {
            return;
        }
        // LISTEN. First: RST; "ignored". Second: "any acknowledgment is bad if it arrives on a connection still in the
        // LISTEN state". Third: SYN. Linux drops a SYN with FIN.
        if flags.contains(TcpFlags::RST) {
            return;
        }
        if flags.contains(TcpFlags::ACK) {
            if !self.tcp_cookie_input(now, (id, interface), ip, tuple, segment) {
                self.tcp_reset_reply(ip, Head::of(segment));
            }
            return;
        }
        if flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::FIN) {
            self.tcp_new_request(now, (id, interface), ip, tuple, segment, isn);
        }
    }

    /// tcp_conn_request.
    pub(super) fn tcp_new_request(
        &mut self,
        now: Instant,
        (id, interface): (TcpId, IfIndex),
        ip: &IpHeader,
        tuple: &FourTuple,
        segment: &TcpSegment,
        isn: Option<SeqNum>,
    ) {
        let Some(socket) = self.tcp.get(id) else {
            return;
        };
        let Some(listener) = &socket.conn.listener else {
            return;
        };
        // tcp_conn_request: without cookies the last quarter of tcp_max_syn_backlog is kept for peers that have proven to
        // be there, as a SYN that reopens a connection does.
        let most = i64::from(self.sysctl.tcp_max_syn_backlog);
        let kept = self.sysctl.tcp_syncookies == 0
            && isn.is_none()
            && most - i64::from(listener.requests) < most >> 2;
        let full = listener.requests_full();
        let cookie = isn.is_none() && self.wants_syn_cookie(full);
        let counters = &mut self.counters;
        counters.tcp_req_q_full_do_cookies += u64::from(cookie);
        counters.tcp_req_q_full_drop += u64::from(full && isn.is_none() && !cookie);
        if kept || (full && !cookie) || listener.accept_full() {
            self.counters.tcp_listen_overflows += u64::from(listener.accept_full());
            self.counters.tcp_listen_drops += 1;
            return;
        }
        let Some(mut request) = self.tcp_request_of(now, (id, interface), ip, tuple, segment, isn)
        else {
            return;
        };
        if cookie {
            return self.answer_with_cookie(now, request);
        }
        match self.fastopen_decide(id, tuple, segment) {
            Decision::Ordinary => {}
            Decision::Give(cookie) => request.cookie = Some(cookie),
            Decision::Accept => return self.fastopen_accept(now, ip.hop_limit, &request, segment),
        }
        let (route, tos, ttl) = (request.route, request.tos, request.ttl);
        let segment = request.syn_ack(now);
        let rto_max = request.rto_max;
        if let Some(listener) = self.tcp.get_mut(id).and_then(|s| s.conn.listener.as_mut()) {
            listener.requests += 1;
            listener.young += 1;
        }
        let extra = request.extra.clone();
        let request = self.tcp.insert(Kind::Request(Box::new(request)));
        self.tcp.hash_in(request.index);
        self.tcp_arm(request.index, now + syn_ack_timeout(0, rto_max));
        self.tcp_emit_with(now, &route, *tuple, tos, ttl, extra.as_deref(), segment);
    }

    /// What a SYN makes, and is told in the answer.
    pub(super) fn tcp_request_of(
        &self,
        now: Instant,
        (id, interface): (TcpId, IfIndex),
        ip: &IpHeader,
        tuple: &FourTuple,
        segment: &TcpSegment,
        isn: Option<SeqNum>,
    ) -> Option<Request> {
        let socket = self.tcp.get(id)?;
        // tcp_v6_init_req(): "So that link locals have meaning".
        let device = (socket.device).or(Some(interface).filter(|_| on_link(tuple.remote)));
        let flow = Flow {
            src: Some(tuple.local),
            device,
            ports: (tuple.local_port, tuple.remote_port),
            ..socket.flow(tuple.remote)
        };
        let route = self.route_of(&flow).ok()?;
        let opts = &socket.conn.opts;
        let offered: &TcpOptions = &segment.options;
        let timestamps = offered.timestamps.filter(|_| self.sysctl.tcp_timestamps);
        let peer_scale = offered
            .window_scale
            .filter(|_| self.sysctl.tcp_window_scaling);
        let limit = opts.max_segment();
        let advmss = announced_mss(route.mtu, tuple.remote.is_ipv6(), limit);
        let mut peer_mss = offered.mss.unwrap_or(MSS_DEFAULT as u16);
        if limit > 0 {
            peer_mss = peer_mss.min(limit);
        }
        let own_options = if timestamps.is_some() { 12 } else { 0 };
        let initial = initial_window(
            opts,
            &self.sysctl,
            socket.conn.full_space(),
            u32::from(advmss) - own_options,
            peer_scale.is_some(),
        );
        Some(Request {
            tuple: *tuple,
            device,
            listener: id,
            route,
            iss: isn.unwrap_or_else(|| self.tcp.initial_sequence(now, tuple)),
            irs: segment.seq,
            peer_mss,
            advmss,
            peer_scale,
            ecn: super::ecn::agrees(&self.sysctl, ip.tos, segment.flags),
            sack: offered.sack_permitted && self.sysctl.tcp_sack,
            ts_recent: timestamps.map(|ts| ts.value),
            ts_offset: self.tcp.timestamp_offset(tuple),
            initial,
            timeouts: 0,
            retransmits: 0,
            acked: false,
            sent_at: now,
            last_answer: Instant::BOOT,
            cookie: None,
            saved_syn: saved_syn(opts.save_syn(), ip, segment),
            left: None,
            rto_max: opts.timing().rto_bounds().max(),
            tos: opts.tos_of(tuple.remote.is_ipv6()),
            ttl: if tuple.remote.is_ipv4() {
                opts.ttl
            } else {
                opts.hops
            },
            extra: match (&self.arriving, tuple.remote) {
                (Some(arrived), IpAddr::V4(_)) => arrived.answer().map(Box::new),
                (_, IpAddr::V6(_)) => opts.extra().cloned().map(Box::new),
                _ => None,
            },
        })
    }

    pub(super) fn tcp_request_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        index: u32,
        segment: &mut TcpSegment,
    ) {
        let Kind::Request(request) = &self.tcp.entries[index as usize].kind else {
            return;
        };
        let mut listener = request.listener;
        if !self.tcp_listens(listener) {
            // The listener is gone, and its requests with it unless another one takes them.
            match self.tcp_request_heir(now, index, Some((interface, ip, segment))) {
                Some(heir) => listener = heir,
                None => {
                    let tuple = request_tuple(&self.tcp.entries[index as usize].kind);
                    self.tcp_release(index);
                    let Some(tuple) = tuple else { return };
                    return self.tcp_listener_input(now, interface, ip, &tuple, segment, None);
                }
            }
        }
        if self.tcp.has_filter(listener) {
            match self.tcp_filtered(now, listener, interface, ip, segment) {
                Some(payload) => segment.payload = payload,
                None => return,
            }
        }
        let Kind::Request(request) = &mut self.tcp.entries[index as usize].kind else {
            return;
        };
        let (route, tuple) = (request.route, request.tuple);
        let (tos, ttl) = (request.tos, request.ttl);
        let judgement = request.judge(now, segment);
        // RFC 5961, 7 applies to what can be provoked.
        let since = now.saturating_sub(request.last_answer);
        let may_answer = always_answered(segment)
            || request.last_answer == Instant::BOOT
            || since >= self.sysctl.tcp_invalid_ratelimit;
        match judgement {
            Judgement::Drop => {}
            Judgement::RepeatSynAck | Judgement::Acknowledge if may_answer => {
                let Kind::Request(request) = &mut self.tcp.entries[index as usize].kind else {
                    return;
                };
                if !always_answered(segment) {
                    request.last_answer = now;
                }
                let extra = request.extra.clone();
                let answer = if judgement == Judgement::RepeatSynAck {
                    // What the timer would have sent has been.
                    let next = now + syn_ack_timeout(request.timeouts, request.rto_max);
                    let answer = request.syn_ack(now);
                    self.tcp_arm(index, next);
                    answer
                } else {
                    request.plain_ack(now)
                };
                self.tcp_emit_with(now, &route, tuple, tos, ttl, extra.as_deref(), answer);
            }
            Judgement::RepeatSynAck | Judgement::Acknowledge => {}
            Judgement::Reset => self.tcp_reset_reply(ip, Head::of(segment)),
            Judgement::Forget => {
                self.counters.embryonic_rsts += 1;
                self.tcp_drop_request(index);
            }
            Judgement::ResetAndForget => {
                self.counters.embryonic_rsts += 1;
                self.tcp_reset_reply(ip, Head::of(segment));
                self.tcp_drop_request(index);
            }
            Judgement::Establish => self.tcp_establish(now, ip, index, listener, segment),
        }
    }

    /// The handshake is complete: the request becomes a connection in the accept queue (tcp_check_req,
    /// tcp_v4_syn_recv_sock, tcp_child_process), at `parent`, which may not be the listener that answered the SYN.
    pub(super) fn tcp_establish(
        &mut self,
        now: Instant,
        ip: &IpHeader,
        index: u32,
        parent: TcpId,
        segment: &mut TcpSegment,
    ) {
        let Kind::Request(request) = &mut self.tcp.entries[index as usize].kind else {
            return;
        };
        let (timeouts, irs) = (request.timeouts, request.irs);
        let moves = request.listener != parent;
        let Some(socket) = self.tcp.get(parent) else {
            return;
        };
        let Some(listener) = &socket.conn.listener else {
            return;
        };
        let full = listener.accept_full();
        // TCP_DEFER_ACCEPT: a bare ACK does not make a connection yet.
        let bare = segment.seq + segment.seq_len() == irs + 1u32;
        let deferred = timeouts < socket.conn.opts.defer_accept() && bare;
        if full && !deferred {
            self.counters.tcp_listen_overflows += 1;
            self.counters.tcp_listen_drops += 1;
            self.counters.tcp_migrate_req_failure += u64::from(moves);
        }
        self.counters.tcp_defer_accept_drop += u64::from(deferred);
        if deferred || (full && !self.sysctl.tcp_abort_on_overflow) {
            if let Kind::Request(request) = &mut self.tcp.entries[index as usize].kind {
                request.acked = true;
            }
            return;
        }
        if full {
            self.tcp_reset_reply(ip, Head::of(segment));
            return self.tcp_drop_request(index);
        }
        let child = {
            let Some(socket) = self.tcp.get(parent) else {
                return;
            };
            let Kind::Request(request) = &self.tcp.entries[index as usize].kind else {
                return;
            };
            child_of(
                socket,
                request,
                now,
                ip.hop_limit,
                self.routes.generation(),
                &self.interfaces,
            )
        };
        self.counters.tcp_passive_opens += 1;
        self.counters.tcp_migrate_req_success += u64::from(moves);
        if let Some(key) = child.bind {
            self.tcp_ports.insert(key);
        }
        self.tcp_uncount_request(index);
        self.tcp.entries[index as usize].kind = Kind::Socket(Box::new(child));
        let id = self.tcp.id_at(index);
        if let Some(socket) = self.tcp.get_mut(parent)
            && let Some(listener) = &mut socket.conn.listener
        {
            listener.accept.push_back(id);
        }
        let head = Head::of(segment);
        let Kind::Socket(child) = &mut self.tcp.entries[index as usize].kind else {
            return;
        };
        let arriving = Arriving::new(&child.conn, segment);
        let reply = child.conn.on_segment(
            Cx {
                now,
                sysctl: &self.sysctl,
            },
            segment,
        );
        let reset = reply == Reply::Reset;
        arriving.count(now, &child.conn, reset, &mut self.counters);
        if reset {
            self.tcp_reset_reply(ip, head);
        }
        let kind = EventKind::ACCEPTABLE | EventKind::READABLE;
        self.tcp_happened(parent, kind);
        self.tcp_flush(now, index);
    }

    fn tcp_listens(&self, id: TcpId) -> bool {
        let socket = self.tcp.get(id);
        socket.is_some_and(|socket| socket.conn.state == State::Listen)
    }

    fn tcp_uncount_request(&mut self, index: u32) {
        let Kind::Request(request) = &self.tcp.entries[index as usize].kind else {
            return;
        };
        let (parent, young) = (request.listener, request.timeouts == 0);
        if let Some(listener) = self
            .tcp
            .get_mut(parent)
            .and_then(|s| s.conn.listener.as_mut())
        {
            listener.requests = listener.requests.saturating_sub(1);
            listener.young = listener.young.saturating_sub(u32::from(young));
        }
    }

    pub(super) fn tcp_drop_request(&mut self, index: u32) {
        self.tcp_uncount_request(index);
        self.tcp_release(index);
    }

    /// The SYN-ACK went unanswered (reqsk_timer_handler).
    pub(super) fn tcp_request_timer(&mut self, now: Instant, index: u32) {
        let Kind::Request(request) = &self.tcp.entries[index as usize].kind else {
            return;
        };
        let moves = !self.tcp_listens(request.listener);
        if moves {
            match self.tcp_request_heir(now, index, None) {
                Some(heir) => self.tcp_request_moves(index, heir),
                None => return self.tcp_release(index),
            }
        }
        let Kind::Request(request) = &self.tcp.entries[index as usize].kind else {
            return;
        };
        let Some(socket) = self.tcp.get(request.listener) else {
            return self.tcp_release(index);
        };
        let Some(listener) = &socket.conn.listener else {
            return self.tcp_release(index);
        };
        let configured = match socket.conn.opts.syn_count() {
            0 => self.sysctl.tcp_synack_retries,
            n => n,
        };
        let retries = listener.syn_ack_retries(configured);
        let defer = socket.conn.opts.defer_accept();
        let (timeouts, acked) = (request.timeouts, request.acked);
        // syn_ack_recalc.
        let expired = timeouts >= retries && (defer == 0 || !acked || timeouts >= defer);
        let resend = defer == 0 || !acked || timeouts + 1 >= defer;
        let counters = &mut self.counters;
        counters.tcp_migrate_req_failure += u64::from(moves && expired);
        counters.tcp_migrate_req_success += u64::from(moves && !expired);
        if expired {
            return self.tcp_drop_request(index);
        }
        let parent = request.listener;
        let Kind::Request(request) = &mut self.tcp.entries[index as usize].kind else {
            return;
        };
        let first = request.timeouts == 0;
        request.timeouts += 1;
        let again = now + syn_ack_timeout(request.timeouts, request.rto_max);
        let mut out = None;
        if resend {
            request.retransmits = request.retransmits.saturating_add(1);
            out = Some((request.route, request.tuple, request.syn_ack(now)));
        }
        let extra = request.extra.clone();
        let (tos, ttl) = (request.tos, request.ttl);
        if first
            && let Some(listener) = self
                .tcp
                .get_mut(parent)
                .and_then(|s| s.conn.listener.as_mut())
        {
            listener.young = listener.young.saturating_sub(1);
        }
        self.tcp_arm(index, again);
        if let Some((route, tuple, segment)) = out {
            // tcp_rtx_synack.
            self.counters.tcp_retrans_segs += 1;
            self.counters.tcp_syn_retrans += 1;
            self.tcp_emit_with(now, &route, tuple, tos, ttl, extra.as_deref(), segment);
        }
    }
}

fn request_tuple(kind: &Kind) -> Option<FourTuple> {
    match kind {
        Kind::Request(request) => Some(request.tuple),
        _ => None,
    }
}

/// TCP_SAVE_SYN: the headers of a SYN from the network's on, or from the link's on, which on `lo` is an Ethernet header
/// of zeroes.
fn saved_syn(how: u8, ip: &IpHeader, segment: &TcpSegment) -> Option<Bytes> {
    if how == 0 {
        return None;
    }
    let mut headers = Vec::new();
    if how == 2 {
        headers.resize(12, 0);
        let kind: u16 = if ip.is_v6() { 0x86dd } else { 0x0800 };
        headers.extend_from_slice(&kind.to_be_bytes());
    }
    let len = headers.len() + ip.header_len() + segment.header_len();
    headers.extend_from_slice(&emit(&Packet {
        ip: *ip,
        body: Body::Tcp(segment.clone()),
    }));
    headers.truncate(len);
    Some(headers.into())
}

/// The connection that a request becomes, in SYN_RECV: the segment that completed the handshake is for it to process.
pub(super) fn child_of(
    socket: &Socket,
    request: &Request,
    now: Instant,
    hops: u8,
    generation: u32,
    interfaces: &Interfaces,
) -> Socket {
    let mut conn = Connection::with_options(
        socket.conn.family,
        request.tuple,
        socket.conn.opts.inherited(),
    );
    conn.opts.set_saved_syn(request.saved_syn.clone());
    conn.opts.set_extra(request.extra.clone());
    if let Some(keys) = conn.opts.md5_keys() {
        let keys = keys.only_for(request.tuple.remote);
        conn.opts.set_md5_keys(keys);
    }
    conn.state = State::SynRecv;
    // sk_clone copies them: what was shut down before listen(2) is shut in every child.
    conn.rcv_shutdown = socket.conn.rcv_shutdown;
    conn.snd_shutdown = socket.conn.snd_shutdown;
    conn.snd_una = request.iss;
    conn.snd_nxt = request.iss + 1u32;
    conn.snd_max = conn.snd_nxt;
    conn.snd_up = conn.snd_una;
    conn.snd_sml = conn.snd_una;
    conn.rcv_nxt = request.irs + 1u32;
    conn.rcv_wup = conn.rcv_nxt;
    conn.rcv_wnd = request.initial.window;
    conn.rcv_ssthresh = request.initial.window;
    conn.window_clamp = request.initial.clamp;
    conn.mss_clamp = request.peer_mss;
    conn.advmss = request.advmss;
    conn.path = path_of(&request.route, interfaces);
    conn.sack_ok = request.sack;
    conn.ecn.set(super::ecn::Ecn::OK, request.ecn);
    if let Some(value) = request.ts_recent {
        conn.ts_ok = true;
        conn.ts_recent = value;
        conn.ts_recent_at = now;
        conn.advmss -= 12;
    }
    if let Some(scale) = request.peer_scale {
        conn.wscale_ok = true;
        conn.snd_wscale = scale.min(super::input::MAX_WINDOW_SCALE);
        conn.rcv_wscale = request.initial.scale;
    } else {
        conn.window_clamp = conn.window_clamp.min(0xffff);
    }
    // tcp_init_buffer_space: no more than the buffer holds.
    conn.window_clamp = conn.window_clamp.min(conn.full_space());
    conn.rcv_ssthresh = conn.rcv_ssthresh.min(conn.window_clamp);
    conn.ts_offset = request.ts_offset;
    conn.retransmits = request.retransmits;
    conn.counters.retrans = u32::from(request.retransmits);
    conn.retrans_since = request.sent_at;
    if request.retransmits == 0 {
        conn.timed = Timed::new(conn.snd_max, request.sent_at);
    }
    conn.last_sent = now;
    // The SYN (tcp_create_openreq_child).
    conn.counters.segs_in = 1;
    let bind = socket.bind.map(|key| BindKey {
        addr: request.tuple.local,
        state: BindState::Bound,
        ..key
    });
    Socket {
        conn,
        bind,
        addr_locked: socket.addr_locked,
        port_locked: false,
        hashed: true,
        throttled: false,
        v6only: socket.v6only,
        reuse_addr: socket.reuse_addr,
        reuse_port: socket.reuse_port,
        prefers_cpu: false,
        device: request.device,
        mark: socket.mark,
        uid: socket.uid,
        filters: inherited(&socket.filters),
        route: Some(request.route),
        route_generation: generation,
        hops,
        peer: crate::stack::Hint::NOWHERE,
        pending: EventKind::empty(),
        name: super::table::NAMELESS,
    }
}
