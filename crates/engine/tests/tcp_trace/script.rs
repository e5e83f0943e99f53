//! Traces as text: one line per event, `time what`, time in milliseconds.
//!
//! - `> A 1:1001 ack 1 win 64240` the host sends exactly this, at that time; `<` the peer sends it.
//!   Flags are the letters S F R P A U, E (ECE), W (CWR) and N (AE); `ect` and `ce` are the IP header's. Numbers count from
//!   the initial ones, of each side. What is not named is not compared. `sackok` and `sack 1001:2001,3001:4001` (or `none`)
//!   are those options, with the numbers of who is acknowledged; `ts VAL/=` echoes the last one sent, and `ts VAL/+N` one N later. `mss`, `wscale`,
//!   `ts VAL/ECR`, `urg` are the other fields.
//! - `> PA 1:5001 each 1000`: five segments, of which the last has the P.
//! - `> nothing`: nothing was sent up to that time; `> anything`: what was does not matter.
//! - calls: `connect`, `listen N`, `accept`, `send N [more] [oob] [eor]`, `read N`, `shutdown r|w|rw`, `close`, `abort`,
//!   `set OPTION VALUE`.
//! - checks: `state S`, `error E`, `available N`, `rcv_rtt MICROSECONDS`,
//!   `tune RTT SPACE BUFFER`, `events ...`.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use switchboard_engine::*;
use switchboard_wire::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const PEER_ISN: u32 = 0xffff_f000; // wraps early in every trace
const EPOCH: Instant = Instant::from_secs(1000);

pub(crate) struct Trace {
    stack: Stack,
    link: IfIndex,
    socket: Option<TcpId>,
    listener: Option<TcpId>,
    port: u16,
    peer_port: u16,
    isn: Option<SeqNum>,
    sent: VecDeque<(Instant, TcpSegment)>,
    /// The timestamp that the host sent last.
    clock: u32,
    /// The type of service of each.
    tos: VecDeque<u8>,
    now: Instant,
    line: String,
    /// The Fast Open cookie that the host gave last.
    cookie: Option<FastOpenCookie>,
}

/// Runs a script on a host without timestamps and window scaling, so that numbers are plain.
pub(crate) fn plain(script: &str) {
    Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
    })
    .run(script);
}

/// Runs a script on a host with Linux's defaults.
pub(crate) fn modern(script: &str) {
    Trace::new(|_| {}).run(script);
}

impl Trace {
    pub(crate) fn new(tune: impl FnOnce(&mut Sysctl)) -> Trace {
        let mut stack = Stack::new(Config {
            seed: [3; 32],
            ..Config::default()
        });
        // The buffers that the traces were written for.
        stack.sysctl_mut().tcp_rmem[2] = 6_291_456;
        stack.sysctl_mut().rmem_max = 212_992;
        tune(stack.sysctl_mut());
        let link = stack.add_interface(InterfaceConfig {
            name: "eth0".into(),
            mtu: 1500,
        });
        stack.add_address(link, HERE, 24);
        Trace {
            stack,
            link,
            socket: None,
            listener: None,
            port: 0,
            peer_port: 4321,
            isn: None,
            sent: VecDeque::new(),
            clock: 0,
            tos: VecDeque::new(),
            now: EPOCH,
            line: String::new(),
            cookie: None,
        }
    }

    pub(crate) fn run(&mut self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with("//"))
        {
            self.line = line.to_owned();
            let (time, what) = line.split_once(char::is_whitespace).expect("time what");
            let to = EPOCH + Duration::from_millis(time.parse().expect("milliseconds"));
            match what.split_whitespace().next() {
                // A time is that of its whole millisecond: round trips have fractions.
                Some(">" | "state" | "error" | "connections") => self.advance(to, 999),
                _ => self.advance(to, 0),
            }
            self.act(what.trim());
            self.collect();
        }
        self.line = "end of script".to_owned();
        assert!(self.sent.is_empty(), "sent more: {:?}", self.shown());
    }

    fn advance(&mut self, to: Instant, micros: u64) {
        self.collect();
        let last = to + Duration::from_micros(micros);
        assert!(
            to + Duration::from_millis(1) > self.now,
            "{}: time goes back",
            self.line
        );
        while let Some(at) = self.stack.poll_timeout().filter(|&at| at <= last) {
            if at > to && !self.sent.is_empty() {
                break;
            }
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            self.collect();
        }
        self.now = self.now.max(to);
    }

    fn collect(&mut self) {
        while let Some((_, packet)) = self.stack.poll_transmit(self.now) {
            assert_eq!((packet.ip.src, packet.ip.dst), (HERE, THERE));
            let Body::Tcp(segment) = packet.body else {
                panic!("not TCP")
            };
            self.sent.push_back((self.now, segment));
            self.tos.push_back(packet.ip.tos);
        }
    }

    fn shown(&self) -> Vec<String> {
        let isn = self.isn.unwrap_or_default();
        self.sent
            .iter()
            .map(|(at, s)| {
                format!(
                    "{} > {:?} {}:{} ack {} win {} urg {} {:?}",
                    at.saturating_sub(EPOCH).as_millis(),
                    s.flags,
                    s.seq - isn,
                    s.seq - isn + s.payload.len() as i32,
                    s.ack.0.wrapping_sub(PEER_ISN),
                    s.window,
                    s.urgent,
                    s.options
                )
            })
            .collect()
    }

    fn id(&self) -> TcpId {
        self.socket.expect("a connection")
    }

    fn act(&mut self, what: &str) {
        let words: Vec<&str> = what.split_whitespace().collect();
        let number = |i: usize| words[i].parse::<u32>().expect("a number");
        let now = self.now;
        match words[0] {
            ">" => self.expect_each(&words[1..]),
            "<" => self.inject(&words[1..]),
            "connect" => {
                let id = self
                    .socket
                    .unwrap_or_else(|| self.stack.tcp_open(Family::V4));
                self.socket = Some(id);
                let peer = SocketAddr::new(THERE, self.peer_port);
                self.stack.tcp_connect(now, id, peer).expect("a route");
                self.port = self.stack.tcp_local(id).unwrap().port();
            }
            "fastconnect" => {
                // The SYN asks for a cookie, or `deferred` waits for `sendsyn`.
                let id = self
                    .socket
                    .unwrap_or_else(|| self.stack.tcp_open(Family::V4));
                self.socket = Some(id);
                let peer = SocketAddr::new(THERE, self.peer_port);
                let ready = self.stack.tcp_fastopen_ready(id, THERE);
                assert_eq!(ready, words.contains(&"deferred"), "{}", self.line);
                self.stack
                    .tcp_connect_fast(now, id, peer, ready)
                    .expect("a route");
                self.port = self.stack.tcp_local(id).unwrap().port();
                self.isn = None;
            }
            "sendsyn" => {
                let data = vec![b'x'; number(1) as usize];
                self.stack.tcp_send_syn(now, self.id(), data.into());
            }
            "client" => {
                // Another client of the same listener.
                self.peer_port = number(1) as u16;
                self.isn = None;
            }
            "open" => self.socket = Some(self.stack.tcp_open(Family::V4)),
            "listen" => {
                let id = self
                    .socket
                    .take()
                    .unwrap_or_else(|| self.stack.tcp_open(Family::V4));
                self.port = 80;
                let request = BindRequest {
                    addr: HERE,
                    port: 80,
                    family: Family::V4,
                    v6only: false,
                    device: None,
                    reuse_addr: false,
                    reuse_port: false,
                    uid: 0,
                };
                self.stack.tcp_bind(id, request).unwrap();
                self.stack.tcp_listen(now, id, number(1)).unwrap();
                self.listener = Some(id);
            }
            "accept" => {
                self.socket = self.stack.tcp_accept(now, self.listener.unwrap());
                assert!(self.socket.is_some(), "{}: nothing to accept", self.line);
            }
            "cannot" => {
                assert_eq!(
                    self.stack.tcp_accept_peek(self.listener.unwrap()),
                    None,
                    "{}",
                    self.line
                );
            }
            "send" => {
                let flags = SendFlags {
                    more: words.contains(&"more"),
                    oob: words.contains(&"oob"),
                    eor: words.contains(&"eor"),
                };
                let data = vec![b'x'; number(1) as usize];
                self.stack.tcp_send(now, self.id(), data.into(), flags);
            }
            "read" => {
                let n = number(1) as usize;
                assert!(
                    self.stack.tcp_recv_available(self.id()) >= n,
                    "{}",
                    self.line
                );
                self.stack.tcp_consume(now, self.id(), n);
            }
            "shutdown" => {
                let how = match words[1] {
                    "r" => Shutdown::Read,
                    "w" => Shutdown::Write,
                    _ => Shutdown::Both,
                };
                self.stack
                    .tcp_shutdown(now, self.id(), how)
                    .expect("connected");
            }
            "close" => self.stack.tcp_close(now, self.socket.take().unwrap(), None),
            "abort" => {
                self.stack
                    .tcp_close(now, self.socket.take().unwrap(), Some(Duration::ZERO));
            }
            "unlisten" => self
                .stack
                .tcp_close(now, self.listener.take().unwrap(), None),
            "set" => {
                let n = number(2);
                let ms = Duration::from_millis(u64::from(n));
                let set = match words[1] {
                    "pacing" => TcpSet::MaxPacing(u64::from(n)),
                    "nodelay" => TcpSet::NoDelay(n != 0),
                    "cork" => TcpSet::Cork(n != 0),
                    "keepalive" => TcpSet::KeepAlive(n != 0),
                    "keepidle" => TcpSet::KeepIdle(ms),
                    "keepintvl" => TcpSet::KeepInterval(ms),
                    "keepcnt" => TcpSet::KeepCount(n as u8),
                    "user_timeout" => TcpSet::UserTimeout(ms),
                    "maxseg" => TcpSet::MaxSegment(n as u16),
                    "syncnt" => TcpSet::SynCount(n as u8),
                    "quickack" => TcpSet::QuickAck(n != 0),
                    "defer_accept" => TcpSet::DeferAccept(n as u8),
                    "linger2" => TcpSet::Linger2((n != 0).then_some(ms)),
                    "rcvbuf" => TcpSet::ReceiveBuffer(n),
                    "sndbuf" => TcpSet::SendBuffer(n),
                    "fastopen" => TcpSet::FastOpenQueue(n),
                    "nocookie" => TcpSet::FastOpenNoCookie(n != 0),
                    "thin" => TcpSet::ThinLinear(n != 0),
                    "rto_min" => TcpSet::RtoMin(ms),
                    "rto_max" => TcpSet::RtoMax(ms),
                    "delack_max" => TcpSet::DelackMax(ms),
                    "notsent_lowat" => TcpSet::NotSentLowWater(n),
                    "oobinline" => TcpSet::OobInline(n != 0),
                    other => panic!("option {other}"),
                };
                let id = self.socket.or(self.listener).unwrap();
                self.stack.tcp_set(now, id, set);
            }
            "state" => {
                let state = format!("{:?}", self.stack.tcp_state(self.id()));
                assert_eq!(state, words[1], "{}", self.line);
            }
            "error" => {
                let error = self.stack.tcp_status(self.id()).error;
                let error = error.map_or("None".to_owned(), |e| format!("{e:?}"));
                assert_eq!(error, words[1], "{}", self.line);
            }
            "available" => {
                let n = self.stack.tcp_recv_available(self.id());
                assert_eq!(n, number(1) as usize, "{}", self.line);
            }
            "rcv_rtt" => {
                let got = self.stack.tcp_info(now, self.id()).rcv_rtt;
                assert_eq!(got.as_micros(), u128::from(number(1)), "{}", self.line);
            }
            "tune" => {
                let info = self.stack.tcp_info(now, self.id());
                let got = (
                    info.rcv_rtt.as_micros() as u32,
                    info.rcv_space,
                    self.stack.tcp_buffers(self.id()).1,
                );
                assert_eq!(got, (number(1), number(2), number(3)), "{}", self.line);
            }
            "urgent" => {
                let urgent = self.stack.tcp_urgent(self.id());
                assert_eq!(urgent.offset, Some(number(1) as usize), "{}", self.line);
                assert_eq!(urgent.valid, words[2] == "ready", "{}", self.line);
            }
            "connections" => {
                assert_eq!(
                    self.stack.tcp_connection_count(),
                    number(1) as usize,
                    "{}",
                    self.line
                );
            }
            "retransmits" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(info.total_retrans, number(1), "{}", self.line);
            }
            "room" => {
                let room = self.stack.tcp_send_room(self.id()) > 0;
                assert_eq!(room, words[1] == "yes", "{}", self.line);
            }
            "writable" => {
                let writable = self.stack.tcp_is_writable(self.id());
                assert_eq!(writable, words[1] == "yes", "{}", self.line);
            }
            "ssthresh" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(info.snd_ssthresh, number(1), "{}", self.line);
            }
            "lost" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(info.lost, number(1), "{}", self.line);
            }
            "reordering" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(info.reordering, number(1), "{}", self.line);
            }
            "pace" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(info.pacing_rate, u64::from(number(1)), "{}", self.line);
            }
            "mss" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(info.snd_mss, number(1), "{}", self.line);
            }
            "timeouts" => {
                let info = self.stack.tcp_info(now, self.id());
                let got = (info.total_rto, info.total_rto_recoveries);
                assert_eq!(got, (number(1) as u16, number(2) as u16), "{}", self.line);
                assert_eq!(info.total_rto_time, number(3), "{}", self.line);
            }
            "castate" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(u32::from(info.ca_state), number(1), "{}", self.line);
            }
            "cwnd" => {
                let info = self.stack.tcp_info(now, self.id());
                assert_eq!(info.snd_cwnd, number(1), "{}", self.line);
            }
            other => panic!("{}: {other}?", self.line),
        }
    }

    /// `A 1:5001 each 1000` is five segments. What they have in common is named once; a P is the last one's.
    fn expect_each(&mut self, words: &[&str]) {
        let Some(at) = words.iter().position(|word| *word == "each") else {
            return self.expect(words);
        };
        let size: usize = words[at + 1].parse().expect("each N");
        let rest = [&words[2..at], &words[at + 2..]].concat();
        let (from, to) = words[1].split_once(':').expect("FLAGS FROM:TO");
        let (from, to): (usize, usize) = (from.parse().expect("from"), to.parse().expect("to"));
        for start in (from..to).step_by(size) {
            let end = to.min(start + size);
            let flags = match end == to {
                true => words[0].to_owned(),
                false => words[0].replace('P', ""),
            };
            let range = format!("{start}:{end}");
            self.expect(&[&[&*flags, &*range], &*rest].concat());
        }
    }

    fn expect(&mut self, words: &[&str]) {
        let shown = self.shown();
        if words == ["nothing"] {
            assert!(self.sent.is_empty(), "{}: but {shown:?}", self.line);
            return;
        }
        if words == ["anything"] {
            self.sent.clear();
            self.tos.clear();
            return;
        }
        let Some((at, sent)) = self.sent.pop_front() else {
            panic!("{}: nothing was sent", self.line);
        };
        let tos = self.tos.pop_front().expect("as many");
        if sent.flags.contains(TcpFlags::SYN) && self.isn.is_none() {
            self.isn = Some(sent.seq);
        }
        let want = Segment::parse(words);
        let isn = self.isn.unwrap_or_default();
        let context = || format!("{}\nbut: {shown:?}", self.line);
        let ms = |at: Instant| at.saturating_sub(EPOCH).as_millis();
        assert_eq!(ms(at), ms(self.now), "{}", context());
        assert_eq!(sent.flags, want.flags, "{}", context());
        self.clock = sent.options.timestamps.map_or(self.clock, |ts| ts.value);
        assert_eq!(tos & 3, want.ecn, "{}", context());
        if let Some(seq) = want.seq {
            assert_eq!(sent.seq - isn, seq as i32, "{}", context());
        }
        assert_eq!(sent.payload.len(), want.len, "{}", context());
        if let Some(ack) = want.ack {
            assert_eq!(sent.ack.0.wrapping_sub(PEER_ISN), ack, "{}", context());
        }
        if let Some(window) = want.window {
            assert_eq!(sent.window, window, "{}", context());
        }
        if want.flags.contains(TcpFlags::URG) {
            assert_eq!(Some(sent.urgent), want.urgent, "{}", context());
        }
        for (got, want) in [
            (sent.options.mss.map(u32::from), want.mss.map(u32::from)),
            (
                sent.options.window_scale.map(u32::from),
                want.scale.map(u32::from),
            ),
        ] {
            if want.is_some() {
                assert_eq!(got, want, "{}", context());
            }
        }
        match want.cookie.as_deref() {
            None => assert_eq!(sent.options.fastopen, None, "{}", context()),
            // Whatever it is.
            Some("cookie") => {
                let given = sent.options.fastopen.expect("a cookie");
                assert!(!given.is_request(), "{}", context());
                self.cookie = Some(given);
            }
            Some(_) => assert_eq!(sent.options.fastopen, self.cookie(&want), "{}", context()),
        }
        if let Some(blocks) = &want.sack {
            let relative = |n: SeqNum| n.0.wrapping_sub(PEER_ISN);
            let sack = sent.options.sack;
            let got: Vec<_> = sack
                .iter()
                .map(|(l, r)| (relative(l), relative(r)))
                .collect();
            assert_eq!(&got, blocks, "{}", context());
        }
        if want.sack_ok {
            assert!(sent.options.sack_permitted, "{}", context());
        }
        if let Some((_, echo)) = want.ts {
            assert_eq!(
                sent.options.timestamps.map(|t| t.echo),
                Some(echo),
                "{}",
                context()
            );
        }
    }

    fn cookie(&self, of: &Segment) -> Option<FastOpenCookie> {
        match of.cookie.as_deref()? {
            "request" => Some(FastOpenCookie::REQUEST),
            "cookie" => self.cookie,
            hex => {
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
                let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
                FastOpenCookie::new(&bytes)
            }
        }
    }

    fn inject(&mut self, words: &[&str]) {
        let want = Segment::parse(words);
        let isn = self.isn.unwrap_or_default();
        let mut options = switchboard_wire::TcpOptions {
            mss: want.mss,
            window_scale: want.scale,
            sack_permitted: want.sack_ok,
            fastopen: self.cookie(&want),
            md5: None,
            ..Default::default()
        };
        options.timestamps = want.ts.map(|(value, echo)| Timestamps {
            value,
            echo: if want.echo_last {
                self.clock.wrapping_add(echo)
            } else {
                echo
            },
        });
        for &(left, right) in want.sack.iter().flatten() {
            assert!(options.sack.push(isn + left, isn + right));
        }
        let seq = want.seq.expect("a number");
        // The bytes of the peer's stream depend on their place only.
        let payload: Vec<u8> = (seq..seq + want.len as u32).map(|i| i as u8).collect();
        let segment = TcpSegment {
            src_port: self.peer_port,
            dst_port: self.port,
            seq: SeqNum(PEER_ISN) + seq,
            ack: if want.flags.contains(TcpFlags::ACK) {
                isn + want.ack.expect("an ack")
            } else {
                SeqNum(0)
            },
            flags: want.flags,
            window: want.window.unwrap_or(0xffff),
            urgent: want.urgent.unwrap_or(0),
            options,
            payload: payload.into(),
            gso: 0,
        };
        let mut ip = IpHeader::new(THERE, HERE);
        ip.hop_limit = 64;
        ip.tos = want.ecn;
        let packet = Packet {
            ip,
            body: Body::Tcp(segment),
        };
        self.stack.deliver(self.now, self.link, packet);
    }
}

#[derive(Default)]
struct Segment {
    flags: TcpFlags,
    seq: Option<u32>,
    len: usize,
    ack: Option<u32>,
    window: Option<u16>,
    urgent: Option<u16>,
    mss: Option<u16>,
    scale: Option<u8>,
    ts: Option<(u32, u32)>,
    /// `ts VAL/=`, `ts VAL/+N`: the echo of what was sent last, or so much later.
    echo_last: bool,
    /// `ect` or `ce` in the IP header.
    ecn: u8,
    sack_ok: bool,
    /// `sack 1:2,3:4` or `sack none`.
    sack: Option<Vec<(u32, u32)>>,
    /// `fo request`, `fo cookie` (the one that the host gave last) or `fo HEX`.
    cookie: Option<String>,
}

impl Segment {
    fn parse(words: &[&str]) -> Segment {
        let mut segment = Segment::default();
        for letter in words[0].chars() {
            segment.flags |= match letter {
                'S' => TcpFlags::SYN,
                'F' => TcpFlags::FIN,
                'R' => TcpFlags::RST,
                'P' => TcpFlags::PSH,
                'A' => TcpFlags::ACK,
                'U' => TcpFlags::URG,
                'E' => TcpFlags::ECE,
                'W' => TcpFlags::CWR,
                'N' => TcpFlags::AE,
                other => panic!("flag {other}"),
            };
        }
        let mut words = words[1..].iter().copied();
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("a value");
            match word {
                "ack" => segment.ack = value().parse().ok(),
                "win" => segment.window = value().parse().ok(),
                "urg" => segment.urgent = value().parse().ok(),
                "mss" => segment.mss = value().parse().ok(),
                "wscale" => segment.scale = value().parse().ok(),
                "ect" => segment.ecn = 2,
                "ce" => segment.ecn = 3,
                "sackok" => segment.sack_ok = true,
                "sack" => {
                    let list = value();
                    let number = |n: &str| n.parse::<u32>().expect("a number");
                    let block = |b: &str| {
                        let (left, right) = b.split_once(':').expect("left:right");
                        (number(left), number(right))
                    };
                    segment.sack = Some(match list {
                        "none" => Vec::new(),
                        list => list.split(',').map(block).collect(),
                    });
                }
                "fo" => segment.cookie = Some(value().to_owned()),
                "ts" => {
                    let (v, e) = value().split_once('/').expect("VAL/ECR");
                    segment.echo_last = e == "=" || e.starts_with('+');
                    segment.ts = Some((v.parse().unwrap(), e.parse().unwrap_or(0)));
                }
                seq => {
                    let (from, to) = seq.split_once(':').unwrap_or((seq, seq));
                    let from: u32 = from.parse().expect("seq or from:to");
                    segment.seq = Some(from);
                    segment.len = (to.parse::<u32>().expect("to") - from) as usize;
                }
            }
        }
        segment
    }
}
