//! Any packets to a host, with time between: no panic, nothing grows without bound, timers move
//! on, and when nothing more comes the host comes to rest.

use crate::model::{self, packet, run_out, step};
use crate::{Source, note};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use switchboard_engine::{
    BindRequest, Family, IfIndex, Instant, SendFlags, Stack, Sysctl, TcpId, TcpSet, UdpId, UdpSend,
};
use switchboard_wire::{Body, Packet, Payload, SeqNum, parse};

/// Half-open and waiting connections of a listener, and those in TIME_WAIT.
const SYN_BACKLOG: u32 = 8;
const SOMAXCONN: u32 = 4;
const TIME_WAITS: u32 = 6;

struct World {
    stack: Stack,
    eth: IfIndex,
    now: Instant,
    tcp: Vec<TcpId>,
    listeners: Vec<TcpId>,
    udp: Vec<UdpId>,
    /// What the host has sent lately, to be answered.
    sent: Vec<Packet>,
    local: Vec<SocketAddr>,
    near: SeqNum,
}

fn request(family: Family, port: u16) -> BindRequest {
    let addr = match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0u16; 8]),
    };
    BindRequest {
        addr,
        port,
        family,
        v6only: true,
        device: None,
        reuse_addr: true,
        reuse_port: false,
        uid: 0,
    }
}

impl World {
    fn new(s: &mut Source<'_>) -> World {
        let which = s.u8();
        let sysctl = Sysctl {
            tcp_max_syn_backlog: SYN_BACKLOG,
            somaxconn: SOMAXCONN,
            tcp_max_tw_buckets: TIME_WAITS,
            tcp_max_orphans: 4,
            tcp_timestamps: which & 1 == 0,
            tcp_sack: which & 2 == 0,
            tcp_abort_on_overflow: which & 4 != 0,
            tcp_rfc1337: which & 8 != 0,
            icmp_echo_ignore_broadcasts: which & 16 != 0,
            tcp_stdurg: which & 32 != 0,
            ..Sysctl::default()
        };
        let (stack, eth) = model::stack(which, sysctl);
        let mut w = World {
            stack,
            eth,
            now: Instant::from_secs(1),
            tcp: Vec::new(),
            listeners: Vec::new(),
            udp: Vec::new(),
            sent: Vec::new(),
            local: Vec::new(),
            near: SeqNum(0),
        };
        for (family, ports) in [(Family::V4, [80, 7]), (Family::V6, [80, 9])] {
            for port in ports {
                let id = w.stack.tcp_open(family);
                w.stack
                    .tcp_bind(id, request(family, port))
                    .expect("a free port");
                w.stack.tcp_listen(w.now, id, 3).expect("a listener");
                if s.one_in(4) {
                    w.stack.tcp_set(w.now, id, TcpSet::DeferAccept(2));
                }
                w.listeners.push(id);
            }
            let id = w.stack.udp_open(family);
            w.stack
                .udp_bind(id, request(family, 53))
                .expect("a free port");
            w.udp.push(id);
        }
        w
    }

    fn settle(&mut self) {
        let mut sent = 0;
        while let Some((_, packet)) = self.stack.poll_transmit(self.now) {
            sent += 1;
            assert!(sent < 20_000, "one packet in, {sent} out");
            if let Body::Tcp(segment) = &packet.body {
                self.near = segment.seq;
                self.local
                    .push(SocketAddr::new(packet.ip.src, segment.src_port));
                note((segment.flags.bits(), segment.payload.len().min(1)));
            }
            if let Body::Icmp(message) = &packet.body {
                note(std::mem::discriminant(message));
            }
            self.sent.push(packet);
        }
        let spare = self.sent.len().saturating_sub(8);
        let _ = self.sent.drain(..spare);
        let spare = self.local.len().saturating_sub(8);
        let _ = self.local.drain(..spare);
        for _ in 0..1000 {
            match self.stack.poll_event() {
                Some(event) => note(event.kind.bits()),
                None => break,
            }
        }
        assert!(self.stack.poll_event().is_none(), "events without end");
        // Each listener's queues and TIME_WAIT, orphans, and what was opened here.
        let queues = (SYN_BACKLOG + SOMAXCONN + 2) as usize * self.listeners.len();
        let most = queues + TIME_WAITS as usize + 4 + self.tcp.len() + 1;
        let count = self.stack.tcp_connection_count();
        assert!(
            count <= most,
            "{count} connections, at most {most} expected"
        );
        for &id in &self.udp {
            let held: usize = self.stack.udp_queue(id).map(|d| d.payload.len()).sum();
            // The first datagram is taken whatever its size.
            assert!(held <= 212_992 + 65_536, "{held} bytes in a UDP queue");
        }
        let mut counted = format!("{:?}", self.stack.counters());
        // Which counters have moved, not how far.
        counted.retain(|c| !c.is_ascii_digit() || c == '0');
        note(counted);
        for &id in &self.tcp {
            note(format!("{:?}", self.stack.tcp_status(id)));
            let held = self.stack.tcp_recv_available(id);
            let (_, buffer) = self.stack.tcp_buffers(id);
            assert!(
                held <= buffer as usize + 65_536,
                "{held} bytes in a buffer of {buffer}"
            );
        }
    }

    fn timers(&mut self) {
        for _ in 0..8 {
            self.stack.handle_timeout(self.now);
            self.settle();
            match self.stack.poll_timeout() {
                Some(at) if at <= self.now => {}
                _ => return,
            }
        }
        panic!(
            "at {:?} timers are due at {:?} still",
            self.now,
            self.stack.poll_timeout()
        );
    }

    fn answer(&mut self, s: &mut Source<'_>) {
        if self.sent.is_empty() {
            return;
        }
        let mut packet = self.sent[s.below(self.sent.len())].clone();
        std::mem::swap(&mut packet.ip.src, &mut packet.ip.dst);
        match &mut packet.body {
            Body::Tcp(segment) => {
                std::mem::swap(&mut segment.src_port, &mut segment.dst_port);
                let end = segment.seq + segment.seq_len();
                (segment.seq, segment.ack) = (segment.ack, end);
                if s.one_in(2) {
                    segment.flags = model::flags(s);
                    segment.seq += i32::from(s.u8() as i8);
                }
                if let Some(ts) = &mut segment.options.timestamps {
                    std::mem::swap(&mut ts.value, &mut ts.echo);
                }
            }
            Body::Udp(datagram) => {
                std::mem::swap(&mut datagram.src_port, &mut datagram.dst_port);
            }
            Body::Icmp(_) | Body::Other { .. } | Body::Extended(_) => {}
        }
        self.stack.deliver(self.now, self.eth, packet);
    }

    fn application(&mut self, s: &mut Source<'_>) {
        match s.below(8) {
            0 => {
                let listener = self.listeners[s.below(self.listeners.len())];
                if let Some(child) = self.stack.tcp_accept(self.now, listener) {
                    self.tcp.push(child);
                }
            }
            1 if self.tcp.len() < 6 => {
                let v6 = s.one_in(2);
                let id = self
                    .stack
                    .tcp_open(if v6 { Family::V6 } else { Family::V4 });
                let addr = if v6 { model::there6() } else { model::there() };
                let result = self
                    .stack
                    .tcp_connect(self.now, id, SocketAddr::new(addr, 80));
                note(format!("{result:?}"));
                self.tcp.push(id);
            }
            2 if !self.tcp.is_empty() => {
                let id = self.tcp[s.below(self.tcp.len())];
                let n = s.length(10_000).min(self.stack.tcp_send_room(id));
                if n > 0 && self.can_send(id) {
                    let oob = s.one_in(4);
                    let flags = SendFlags {
                        more: s.one_in(4),
                        oob,
                        eor: false,
                    };
                    self.stack
                        .tcp_send(self.now, id, Bytes::from(vec![7; n]), flags);
                }
            }
            3 if !self.tcp.is_empty() => {
                let id = self.tcp[s.below(self.tcp.len())];
                let n = self.stack.tcp_recv_available(id).min(s.length(100_000));
                self.stack.tcp_consume(self.now, id, n);
            }
            4 if !self.tcp.is_empty() => {
                let id = self.tcp.swap_remove(s.below(self.tcp.len()));
                let linger = s.one_in(4).then_some(Duration::ZERO);
                self.stack.tcp_close(self.now, id, linger);
            }
            5 => {
                let id = self.udp[s.below(self.udp.len())];
                let _ = self.stack.udp_pop(id);
                let _ = self.stack.udp_take_error(id);
            }
            6 => {
                let n = s.below(2);
                let dst = SocketAddr::new([model::there(), model::there6()][n], 53);
                let payload = Payload::from(vec![1; s.length(2000)]);
                let send = UdpSend {
                    tag: switchboard_engine::Tag::default(),
                    dst,
                    src: None,
                    device: None,
                    tos: None,
                    ttl: None,
                    flow_label: None,
                    payload,
                    segment: 0,
                    unsummed: false,
                    may_be_cut: false,
                    fragment_size: 0,
                    extra: None,
                };
                let result = self.stack.udp_send(self.now, self.udp[n], send);
                note(format!("{result:?}"));
            }
            _ => {}
        }
    }

    fn can_send(&self, id: TcpId) -> bool {
        use switchboard_engine::State::{CloseWait, Established};
        let status = self.stack.tcp_status(id);
        matches!(status.state, Established | CloseWait) && !status.snd_shutdown
    }
}

pub(crate) fn target(data: &[u8]) {
    let mut s = Source::new(data);
    let mut w = World::new(&mut s);
    while !s.done() {
        match s.below(16) {
            0..6 => {
                let packet = packet(&mut s, &w.local, w.near);
                let interface = if s.one_in(32) { IfIndex::LO } else { w.eth };
                w.stack.deliver(w.now, interface, packet);
            }
            6 => {
                let n = s.below(120);
                if let Ok(packet) = parse(s.bytes(n)) {
                    w.stack.deliver(w.now, w.eth, packet);
                }
            }
            7..10 => w.answer(&mut s),
            10..13 => w.application(&mut s),
            13 => {
                w.now += step(&mut s);
                w.timers();
            }
            14 => {
                if let Some(at) = w.stack.poll_timeout() {
                    w.now = w.now.max(at);
                    w.timers();
                }
            }
            // A late driver: time has passed and no timer ran.
            _ => w.now += step(&mut s),
        }
        w.settle();
    }
    for id in std::mem::take(&mut w.tcp)
        .into_iter()
        .chain(std::mem::take(&mut w.listeners))
    {
        w.stack.tcp_close(w.now, id, None);
    }
    for id in std::mem::take(&mut w.udp) {
        w.stack.udp_close(id);
    }
    rest(&mut w.stack, w.now);
}

/// Nothing more comes: timers run out and nothing is left.
pub(super) fn rest(stack: &mut Stack, now: Instant) {
    let stack = std::cell::RefCell::new(stack);
    run_out(
        now,
        || stack.borrow().poll_timeout(),
        |now| {
            let mut stack = stack.borrow_mut();
            stack.handle_timeout(now);
            while stack.poll_transmit(now).is_some() {}
            while stack.poll_event().is_some() {}
        },
    );
    let stack = stack.into_inner();
    assert_eq!(stack.tcp_connection_count(), 0, "connections stay");
}
