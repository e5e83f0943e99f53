//! Segments near the windows of one connection, with time: no panic; the stream that the
//! application reads is the one that was sent, as is the stream that leaves; acknowledgments and
//! windows do not go back; nothing is sent beyond the window; the connection ends.

use super::deliver::rest;
use crate::model::{self, counted, counting, step};
use crate::{Source, note, trace};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use switchboard_engine::{
    Algorithm, BindRequest, Family, IfIndex, Instant, SendFlags, Shutdown, Stack, State, Sysctl,
    TcpId, TcpSet,
};
use switchboard_wire::{
    Body, IcmpMessage, IpHeader, Packet, Payload, Quoted, SackList, SeqNum, TcpFlags, TcpOptions,
    TcpSegment, Timestamps, Unreachable,
};

const PORT: u16 = 80;
const PEER_PORT: u16 = 4000;

struct World {
    stack: Stack,
    eth: IfIndex,
    now: Instant,
    v6: bool,
    id: Option<TcpId>,
    local_port: u16,
    remote_port: u16,
    /// First data octet of the host's stream.
    host_first: SeqNum,
    /// First data octet of the peer's stream.
    peer_first: SeqNum,
    /// Octets the application has written and read.
    written: i64,
    read: i64,
    /// The highest end of data the host has sent.
    host_max: SeqNum,
    /// What the host has acknowledged, and the end of its window.
    acked: SeqNum,
    edge: SeqNum,
    /// The highest end of what the peer has sent, FIN included.
    peer_max: SeqNum,
    /// The furthest the peer ever opened its window.
    allowed: SeqNum,
    host_scale: u8,
    peer_scale: u8,
    host_ts: u32,
    timestamps: bool,
    /// The application has set a buffer or a clamp: the window's end may go back.
    squeezed: bool,
    send_buffer: usize,
    receive_buffer: usize,
}

fn max(a: SeqNum, b: SeqNum) -> SeqNum {
    if a.lt(b) { b } else { a }
}

impl World {
    /// A connection, made without mischief.
    fn new(s: &mut Source<'_>) -> Option<World> {
        let which = s.u8();
        let (v6, active) = (which & 1 != 0, which & 2 != 0);
        let sysctl = Sysctl {
            tcp_sack: which & 4 == 0,
            tcp_timestamps: which & 8 == 0,
            tcp_window_scaling: which & 16 == 0,
            tcp_stdurg: which & 32 != 0,
            tcp_moderate_rcvbuf: which & 64 == 0,
            ..Sysctl::default()
        };
        let (mut stack, eth) = model::stack(which, sysctl);
        let family = if v6 { Family::V6 } else { Family::V4 };
        let peer_first = SeqNum(s.pick(&[1, 0, 0xffff_fff0, 0x7fff_ff00, 0x8000_0000]));
        let id = stack.tcp_open(family);
        let mut w = World {
            eth,
            now: Instant::from_secs(1),
            v6,
            id: None,
            local_port: PORT,
            remote_port: PEER_PORT,
            host_first: SeqNum(0),
            peer_first,
            written: 0,
            read: 0,
            host_max: SeqNum(0),
            acked: peer_first,
            edge: peer_first,
            peer_max: peer_first,
            allowed: SeqNum(0),
            host_scale: 0,
            peer_scale: 0,
            host_ts: 0,
            timestamps: false,
            squeezed: false,
            send_buffer: 0,
            receive_buffer: 0,
            stack,
        };
        let here = if v6 { model::here6() } else { model::here() };
        let there = if v6 { model::there6() } else { model::there() };
        let mut options = model::options(s, peer_first);
        options.sack = SackList::new();
        // A window scale beyond 14 counts as 14 (RFC 7323, 2.3).
        w.peer_scale = options.window_scale.map_or(0, |scale| scale.min(14));
        let window = s.pick(&[65_535, 1000, 0, 1, 30_000]);
        if active {
            w.stack
                .tcp_connect(w.now, id, SocketAddr::new(there, PORT))
                .ok()?;
            w.id = Some(id);
            w.remote_port = PORT;
            let (_, packet) = w.stack.poll_transmit(w.now)?;
            let Body::Tcp(syn) = &packet.body else {
                panic!("not a SYN")
            };
            w.local_port = syn.src_port;
            w.hello(syn, &options);
            w.opened(syn.seq + 1u32, window);
            let flags = TcpFlags::SYN | TcpFlags::ACK;
            w.send(
                peer_first - 1,
                w.host_first,
                flags,
                window,
                w.answer(options, syn),
                vec![],
            );
            while w.stack.poll_transmit(w.now).is_some() {}
        } else {
            let request = BindRequest {
                addr: IpAddr::from([0; 4]),
                port: PORT,
                family,
                v6only: false,
                device: None,
                reuse_addr: false,
                reuse_port: false,
                uid: 0,
            };
            let addr = if v6 {
                IpAddr::from([0u16; 8])
            } else {
                request.addr
            };
            w.stack.tcp_bind(id, BindRequest { addr, ..request }).ok()?;
            w.stack.tcp_listen(w.now, id, 5).ok()?;
            let zero = SeqNum(0);
            w.send(peer_first - 1, zero, TcpFlags::SYN, window, options, vec![]);
            let (_, packet) = w.stack.poll_transmit(w.now)?;
            let Body::Tcp(syn) = &packet.body else {
                panic!("not a SYN-ACK")
            };
            w.hello(syn, &options);
            w.opened(syn.seq + 1u32, window);
            let mut options = w.answer(TcpOptions::default(), syn);
            if w.timestamps {
                options.timestamps = Some(w.stamp(0, 0));
            }
            w.send(
                peer_first,
                w.host_first,
                TcpFlags::ACK,
                window,
                options,
                vec![],
            );
            w.id = w.stack.tcp_accept(w.now, id);
            // No other connection may take the numbers of this one.
            w.stack.tcp_close(w.now, id, None);
        }
        assert_eq!(packet_addr(&w), (there, here));
        let state = w.stack.tcp_state(w.id?);
        note(format!("{state:?}"));
        (state == State::Established).then_some(w)
    }

    /// The host's SYN: its numbers, and what is agreed upon.
    fn hello(&mut self, syn: &TcpSegment, peer: &TcpOptions) {
        self.host_first = syn.seq + 1u32;
        self.host_max = self.host_first;
        self.allowed = self.host_first;
        self.edge = self.peer_first + u32::from(syn.window);
        let both = syn.options.window_scale.zip(peer.window_scale);
        self.host_scale = both.map_or(0, |(host, _)| host);
        if both.is_none() {
            self.peer_scale = 0;
        }
        self.timestamps = syn.options.timestamps.is_some() && peer.timestamps.is_some();
        self.host_ts = syn.options.timestamps.map_or(0, |ts| ts.value);
    }

    fn answer(&self, mut options: TcpOptions, syn: &TcpSegment) -> TcpOptions {
        options.timestamps = self.timestamps.then(|| self.stamp(0, 0));
        options.sack_permitted &= syn.options.sack_permitted;
        options
    }

    fn stamp(&self, value: i32, echo: i32) -> Timestamps {
        Timestamps {
            value: (self.now.as_millis() as u32).wrapping_add_signed(value),
            echo: self.host_ts.wrapping_add_signed(echo),
        }
    }

    /// The peer has opened its window from `ack` on.
    fn opened(&mut self, ack: SeqNum, window: u16) {
        self.allowed = max(self.allowed, ack + (u32::from(window) << self.peer_scale));
    }

    fn send(
        &mut self,
        seq: SeqNum,
        ack: SeqNum,
        flags: TcpFlags,
        window: u16,
        options: TcpOptions,
        data: Vec<u8>,
    ) {
        self.deliver(TcpSegment {
            src_port: self.remote_port,
            dst_port: self.local_port,
            seq,
            ack,
            flags,
            window,
            urgent: 0,
            options,
            payload: Payload::from(data),
            gso: 0,
        });
    }

    fn deliver(&mut self, segment: TcpSegment) {
        trace(|| format!("{:?} < {segment:?}", self.now));
        let end = segment.seq + segment.seq_len();
        // Only what lies in the window can have been taken, or a FIN just behind it.
        let beyond = end - self.edge;
        let fin = i32::from(segment.flags.contains(TcpFlags::FIN));
        if (-(1 << 29)..=fin).contains(&beyond) {
            self.peer_max = max(self.peer_max, end);
        } else if (1..1 << 29).contains(&beyond) && !self.edge.lt(segment.seq) {
            self.peer_max = max(self.peer_max, self.edge);
        }
        let (src, dst) = packet_addr(self);
        let packet = Packet {
            ip: IpHeader::new(src, dst),
            body: Body::Tcp(segment),
        };
        self.stack.deliver(self.now, self.eth, packet);
    }

    /// Looks at what the host has sent.
    fn settle(&mut self) {
        let mut sent = 0;
        while let Some((_, packet)) = self.stack.poll_transmit(self.now) {
            sent += 1;
            assert!(sent < 10_000, "packets without end");
            self.check(&packet);
        }
        while let Some(event) = self.stack.poll_event() {
            note(event.kind.bits());
        }
        let Some(id) = self.id else { return };
        let status = self.stack.tcp_status(id);
        note(format!("{status:?}"));
        let info = self.stack.tcp_info(self.now, id);
        note(format!("{:?}", info).len() / 32);
        // A buffer that is made smaller keeps what it holds.
        let (send, receive) = self.stack.tcp_buffers(id);
        self.send_buffer = self.send_buffer.max(send as usize);
        self.receive_buffer = self.receive_buffer.max(receive as usize);
        let held = self.stack.tcp_recv_available(id);
        assert!(
            held <= self.receive_buffer + 65_536,
            "{held} received bytes held"
        );
        let held = self.stack.tcp_outq(id);
        assert!(
            held <= self.send_buffer + (1 << 17),
            "{held} bytes to send held"
        );
    }

    fn check(&mut self, packet: &Packet) {
        let Body::Tcp(tcp) = &packet.body else { return };
        trace(|| format!("{:?} > {tcp:?}", self.now));
        note((
            tcp.flags.bits(),
            tcp.payload.len().min(1),
            tcp.options.sack.len(),
        ));
        if tcp.flags.contains(TcpFlags::RST) || tcp.flags.contains(TcpFlags::SYN) {
            return;
        }
        assert!(
            packet.wire_len() <= 1500,
            "{} bytes on a link of 1500",
            packet.wire_len()
        );
        let end = tcp.seq + tcp.payload.len();
        if !tcp.payload.is_empty() {
            let at = i64::from(tcp.seq - self.host_first);
            assert!(at >= 0, "data from before the stream: {at}");
            let data = tcp.payload.to_vec();
            let expected = counting(at, data.len());
            assert!(data == expected, "other data at {at}: {data:?}");
            assert!(
                at + data.len() as i64 <= self.written,
                "more than was written"
            );
            assert!(
                !self.allowed.lt(end),
                "{} beyond the window",
                end - self.allowed
            );
            self.host_max = max(self.host_max, end);
        }
        if tcp.flags.contains(TcpFlags::FIN) {
            assert_eq!(
                i64::from(end - self.host_first),
                self.written,
                "FIN before the end"
            );
            self.host_max = max(self.host_max, end + 1u32);
        }
        if let Some(ts) = tcp.options.timestamps {
            self.host_ts = ts.value;
        }
        assert!(tcp.flags.contains(TcpFlags::ACK), "no ACK: {tcp:?}");
        assert!(
            !tcp.ack.lt(self.acked),
            "acknowledged {:?} after {:?}",
            tcp.ack,
            self.acked
        );
        assert!(
            !self.peer_max.lt(tcp.ack),
            "acknowledged what was not sent: {:?}",
            tcp.ack
        );
        self.acked = tcp.ack;
        let edge = tcp.ack + (u32::from(tcp.window) << self.host_scale);
        // Scaling rounds the window down.
        let least = self.edge - (1 << self.host_scale);
        assert!(
            self.squeezed || !edge.lt(least),
            "window {edge:?} after {:?}",
            self.edge
        );
        self.edge = max(self.edge, edge);
    }

    /// A segment of the peer: right, or nearly so.
    fn segment(&mut self, s: &mut Source<'_>) {
        let near = |s: &mut Source<'_>| match s.below(5) {
            0 => 0,
            1 => i32::from(s.u8() as i8),
            2 => i32::from(s.u16() as i16),
            3 => s.u32() as i32,
            _ => 1460 * i32::from(s.u8() as i8),
        };
        let plain = s.one_in(2);
        let mut seq = self.acked;
        let mut ack = self.host_max;
        let mut flags = TcpFlags::ACK;
        let mut window = 65_535;
        let mut options = TcpOptions::default();
        let mut data = 0;
        if s.one_in(2) {
            data = s.length(3000);
        }
        if !plain {
            let which = s.u8();
            if which & 1 != 0 {
                seq = if s.one_in(3) { self.edge } else { seq } + near(s);
            }
            if which & 2 != 0 {
                ack += near(s);
            }
            if which & 4 != 0 {
                flags = model::flags(s);
            }
            if which & 8 != 0 {
                window = s.pick(&[0, 1, 100, 536, 1460, 5000, 65_535]);
            }
            if which & 16 != 0 {
                options = model::options(s, self.host_max);
                options.timestamps = None;
            }
            if which & 32 != 0 {
                ack = self.host_first + s.u16() as u32;
            }
        }
        if self.timestamps && !s.one_in(16) {
            let (mut value, mut echo) = (0, 0);
            if s.one_in(4) {
                (value, echo) = (near(s), near(s));
            }
            options.timestamps = Some(self.stamp(value, echo));
        }
        // What acknowledges too much, or something long gone, opens nothing.
        if flags.contains(TcpFlags::ACK) && (-(1 << 29)..=0).contains(&(ack - self.host_max)) {
            self.opened(ack, window);
        }
        let at = i64::from(seq - self.peer_first);
        let state = self.id.map(|id| format!("{:?}", self.stack.tcp_status(id)));
        let place = |d: i32| {
            (
                d.signum(),
                d.unsigned_abs() > 1460,
                d.unsigned_abs() > 65_535,
            )
        };
        let numbers = (
            place(seq - self.acked),
            place(seq - self.edge),
            place(ack - self.host_max),
        );
        note((&state, flags.bits(), data.min(1), window.min(1), numbers));
        let urgent = if flags.contains(TcpFlags::URG) {
            s.u16()
        } else {
            0
        };
        let window = if flags.contains(TcpFlags::SYN) {
            0
        } else {
            window
        };
        self.deliver(TcpSegment {
            src_port: self.remote_port,
            dst_port: self.local_port,
            seq,
            ack,
            flags,
            window,
            urgent,
            options,
            payload: Payload::from(counting(at, data)),
            gso: 0,
        });
    }

    fn icmp(&mut self, s: &mut Source<'_>) {
        let (src, dst) = packet_addr(self);
        let mut transport = Vec::new();
        transport.extend_from_slice(&self.local_port.to_be_bytes());
        transport.extend_from_slice(&self.remote_port.to_be_bytes());
        let seq = self.host_max - u32::from(s.u16() % 4000);
        transport.extend_from_slice(&seq.0.to_be_bytes());
        let ip = IpHeader::new(dst, src);
        let original = Box::new(Quoted::plain(ip, 6, 500, transport.into()));
        let code = s.pick(&[
            Unreachable::PacketTooBig,
            Unreachable::Port,
            Unreachable::Host,
        ]);
        let mtu = s.pick(&[0, 1, 68, 552, 1000, 1280, 1499, 70_000]);
        let body = Body::Icmp(IcmpMessage::Unreachable {
            code,
            mtu,
            original,
        });
        self.stack.deliver(
            self.now,
            self.eth,
            Packet {
                ip: IpHeader::new(src, dst),
                body,
            },
        );
    }

    fn application(&mut self, s: &mut Source<'_>) {
        let Some(id) = self.id else { return };
        match s.below(8) {
            0..3 => {
                let status = self.stack.tcp_status(id);
                let may = matches!(status.state, State::Established | State::CloseWait);
                let n = s.length(200_000).min(self.stack.tcp_send_room(id));
                if may && !status.snd_shutdown && n > 0 {
                    let flags = SendFlags {
                        more: s.one_in(4),
                        oob: s.one_in(8),
                        eor: s.one_in(8),
                    };
                    let data = Bytes::from(counting(self.written, n));
                    self.written += n as i64;
                    self.stack.tcp_send(self.now, id, data, flags);
                }
            }
            3..6 => {
                let n = self.stack.tcp_recv_available(id).min(s.length(1 << 20));
                let mut data = vec![0; n];
                let copied = self.stack.tcp_recv_queue(id).copy_from(0, &mut data);
                assert_eq!(copied, n);
                let wrong = (0..n).find(|i| data[*i] != counted(self.read + *i as i64));
                assert_eq!(
                    wrong, None,
                    "another byte in the stream, after {}",
                    self.read
                );
                self.stack.tcp_consume(self.now, id, n);
                self.read += n as i64;
                let urgent = self.stack.tcp_urgent(id);
                note((urgent.offset.is_some(), urgent.at_mark, urgent.valid));
                if s.one_in(4) {
                    self.stack.tcp_urgent_taken(id);
                }
            }
            6 => {
                let how = s.pick(&[Shutdown::Write, Shutdown::Read, Shutdown::Both]);
                let _ = self.stack.tcp_shutdown(self.now, id, how);
            }
            _ => self.option(s, id),
        }
    }

    fn option(&mut self, s: &mut Source<'_>, id: TcpId) {
        let on = s.one_in(2);
        let n = u32::from(s.u16());
        let time = Duration::from_millis(u64::from(n) * 10);
        let set = match s.below(16) {
            0 => TcpSet::NoDelay(on),
            1 => TcpSet::Cork(on),
            2 => TcpSet::KeepAlive(on),
            3 => TcpSet::KeepIdle(time.max(Duration::from_secs(1))),
            4 => TcpSet::KeepInterval(time.max(Duration::from_secs(1))),
            5 => TcpSet::KeepCount((n % 127) as u8 + 1),
            6 => TcpSet::UserTimeout(time),
            7 => TcpSet::MaxSegment((n as u16).max(88)),
            8 => TcpSet::WindowClamp(n),
            9 => TcpSet::QuickAck(on),
            10 => TcpSet::NotSentLowWater(n),
            11 => TcpSet::OobInline(on),
            12 => TcpSet::RecvLowWater(n),
            13 => TcpSet::SendBuffer(n.max(4608)),
            14 => TcpSet::ReceiveBuffer(n.max(2304)),
            _ => TcpSet::Congestion(if on {
                Algorithm::Reno
            } else {
                Algorithm::default()
            }),
        };
        self.squeezed |= matches!(set, TcpSet::WindowClamp(_) | TcpSet::ReceiveBuffer(_));
        self.stack.tcp_set(self.now, id, set);
    }
}

fn packet_addr(w: &World) -> (IpAddr, IpAddr) {
    if w.v6 {
        (model::there6(), model::here6())
    } else {
        (model::there(), model::here())
    }
}

pub(crate) fn target(data: &[u8]) {
    let mut s = Source::new(data);
    let Some(mut w) = World::new(&mut s) else {
        return;
    };
    while !s.done() {
        match s.below(16) {
            0..8 => w.segment(&mut s),
            8..12 => w.application(&mut s),
            12 => {
                w.now += step(&mut s);
                w.stack.handle_timeout(w.now);
            }
            13 => {
                if let Some(at) = w.stack.poll_timeout() {
                    w.now = w.now.max(at);
                    w.stack.handle_timeout(w.now);
                    w.settle();
                    let next = w.stack.poll_timeout();
                    assert!(next.is_none_or(|at| at > w.now), "due still: {next:?}");
                }
            }
            14 => w.icmp(&mut s),
            _ => {
                if s.one_in(8)
                    && let Some(id) = w.id.take()
                {
                    w.stack.tcp_close(w.now, id, None);
                }
            }
        }
        w.settle();
    }
    if let Some(id) = w.id.take() {
        w.stack.tcp_close(w.now, id, None);
    }
    rest(&mut w.stack, w.now);
}
