//! Two hosts, a link between them and transfers over it, in virtual time.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use switchboard_device::{
    Delay, End, FifoConfig, FqCodelConfig, Link, Loss, PipeConfig, QueueConfig, Random, Rate,
};
use switchboard_engine::{
    Algorithm, BindRequest, Config, Family, IfIndex, Instant, InterfaceConfig, SendFlags, Stack,
    Sysctl, TcpId, TcpInfo,
};

/// What waits for the transmitter.
#[derive(Clone, Copy, Debug)]
pub enum Bottleneck {
    /// So many packets; what comes on top is dropped.
    Fifo(u32),
    /// A queue for each flow (FQ-CoDel with Linux's defaults).
    Fair,
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bottleneck::Fifo(packets) => write!(f, "{packets} packets"),
            Bottleneck::Fair => f.write_str("FQ-CoDel"),
        }
    }
}

/// What both directions of the link are like.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub rtt: Duration,
    pub bits_per_second: u64,
    pub loss_percent: f64,
    pub queue: Bottleneck,
    /// How far the delay of the way back varies. Without it which packet meets a full queue is not chance but the rhythm of
    /// acknowledgments: those of a flow whose window grows, however small it is.
    pub jitter_back: Duration,
}

impl Path {
    /// 100 Mbit/s and 20 ms.
    pub fn new(loss_percent: f64) -> Path {
        Path {
            rtt: Duration::from_millis(20),
            bits_per_second: 100_000_000,
            loss_percent,
            queue: Bottleneck::Fifo(1000),
            jitter_back: Duration::ZERO,
        }
    }

    /// A millisecond of it, which is what the machine's own timers and processes make.
    pub fn jittery(self) -> Path {
        Path {
            jitter_back: Duration::from_millis(1),
            ..self
        }
    }

    pub fn config(&self) -> PipeConfig {
        PipeConfig {
            delay: Delay::fixed(self.rtt / 2),
            loss: Loss::percent(self.loss_percent),
            rate: Some(Rate::bits(self.bits_per_second)),
            queue: match self.queue {
                Bottleneck::Fifo(packets) => QueueConfig::Fifo(FifoConfig {
                    packets,
                    bytes: u64::MAX,
                }),
                Bottleneck::Fair => QueueConfig::FqCodel(FqCodelConfig::default()),
            },
            limit: 1 << 20,
            ..PipeConfig::default()
        }
    }
}

/// What became of a transfer.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// From connect(2) to the last byte.
    pub took: Duration,
    pub bits_per_second: f64,
    /// The longest time in which nothing arrived, from the handshake on: a SYN that is lost costs a second.
    pub stall: Duration,
    /// The largest retransmission timeout in effect in the longest stall.
    pub rto: Duration,
    /// What the sender says at the end.
    pub info: TcpInfo,
}

struct Flow {
    client: TcpId,
    server: Option<TcpId>,
    len: usize,
    sent: usize,
    got: usize,
    begun: Instant,
    last: Instant,
    stall: Duration,
    rto: Duration,
    /// The largest since something arrived.
    rto_now: Duration,
    done: Option<(Instant, TcpInfo)>,
}

/// Two hosts and their link.
pub struct Pair {
    hosts: [Stack; 2],
    interfaces: [IfIndex; 2],
    link: Link,
    random: Random,
    listener: TcpId,
    flows: Vec<Flow>,
    pub now: Instant,
}

const PORT: u16 = 80;

fn addr(host: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, host as u8 + 1])
}

impl Pair {
    pub fn new(seed: u64, path: Path, tune: impl Fn(&mut Sysctl)) -> Pair {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut random = Random::new(bytes, 1);
        let mut link = Link::new(path.config(), &mut random);
        if !path.jitter_back.is_zero() {
            let mut config = path.config();
            config.delay.jitter = path.jitter_back;
            link.change(Instant::BOOT, &mut random, End::B, config);
        }
        let mut interfaces = Vec::new();
        let mut hosts = [0usize, 1].map(|i| {
            bytes[31] = i as u8;
            let mut host = Stack::new(Config {
                seed: bytes,
                ..Config::default()
            });
            tune(host.sysctl_mut());
            let index = host.add_interface(InterfaceConfig {
                name: "eth0".into(),
                mtu: 1500,
            });
            host.add_address(index, addr(i), 24);
            interfaces.push(index);
            host
        });
        let now = Instant::from_secs(1);
        let listener = hosts[1].tcp_open(Family::V4);
        let request = BindRequest {
            addr: addr(1),
            port: PORT,
            family: Family::V4,
            v6only: false,
            device: None,
            reuse_addr: false,
            reuse_port: false,
            uid: 0,
        };
        hosts[1].tcp_bind(listener, request).expect("a free port");
        hosts[1].tcp_listen(now, listener, 64).expect("a port");
        Pair {
            hosts,
            interfaces: [interfaces[0], interfaces[1]],
            link,
            random,
            listener,
            flows: Vec::new(),
            now,
        }
    }

    /// Begins a transfer.
    pub fn start(&mut self, len: usize) {
        let client = self.hosts[0].tcp_open(Family::V4);
        let peer = SocketAddr::new(addr(1), PORT);
        self.hosts[0]
            .tcp_connect(self.now, client, peer)
            .expect("a route");
        self.flows.push(Flow {
            client,
            server: None,
            len,
            sent: 0,
            got: 0,
            begun: self.now,
            last: self.now,
            stall: Duration::ZERO,
            rto: Duration::ZERO,
            rto_now: Duration::ZERO,
            done: None,
        });
        self.carry();
    }

    fn carry(&mut self) {
        for (host, end) in [(0, End::A), (1, End::B)] {
            while let Some((_, packet)) = self.hosts[host].poll_transmit(self.now) {
                self.link.send(self.now, &mut self.random, end, packet);
            }
        }
    }

    /// Lets the next thing happen; false when nothing will.
    pub fn step(&mut self) -> bool {
        let timers = self.hosts.iter().filter_map(Stack::poll_timeout).min();
        let Some(next) = timers.into_iter().chain(self.link.poll_timeout()).min() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some((end, _, packet)) = self.link.poll_arrival(self.now, &mut self.random) {
            let to = end as usize;
            self.hosts[to].deliver(self.now, self.interfaces[to], packet);
        }
        for host in &mut self.hosts {
            if host.poll_timeout().is_some_and(|at| at <= self.now) {
                host.handle_timeout(self.now);
            }
            while host.poll_event().is_some() {}
        }
        self.applications();
        self.carry();
        true
    }

    fn applications(&mut self) {
        let now = self.now;
        while let Some(server) = self.hosts[1].tcp_accept(now, self.listener) {
            let peer = self.hosts[1].tcp_remote(server).map(|a| a.port());
            let clients = &self.hosts[0];
            let flow = self
                .flows
                .iter_mut()
                .find(|flow| clients.tcp_local(flow.client).map(|a| a.port()) == peer);
            if let Some(flow) = flow {
                flow.server = Some(server);
            }
        }
        for flow in &mut self.flows {
            if flow.done.is_some() {
                continue;
            }
            let client = flow.client;
            if self.hosts[0].tcp_state(client).is_synchronized() {
                if flow.sent == 0 {
                    flow.last = now;
                }
                while flow.sent < flow.len {
                    let room = self.hosts[0].tcp_send_room(client);
                    let n = room.min(65_536).min(flow.len - flow.sent);
                    if n == 0 {
                        break;
                    }
                    let data = vec![(flow.sent >> 16) as u8; n];
                    self.hosts[0].tcp_send(now, client, data.into(), SendFlags::default());
                    flow.sent += n;
                }
            }
            let error = self.hosts[0].tcp_status(client).error;
            assert_eq!(error, None, "the transfer failed");
            let Some(server) = flow.server else { continue };
            let n = self.hosts[1].tcp_recv_available(server);
            let silence = now.saturating_sub(flow.last);
            if n > 0 || silence > Duration::from_millis(100) {
                let rto = self.hosts[0].tcp_info(now, client).rto;
                flow.rto_now = flow.rto_now.max(rto);
            }
            if n > 0 {
                let rto = core::mem::take(&mut flow.rto_now);
                if silence > flow.stall {
                    flow.stall = silence;
                    flow.rto = rto;
                }
                flow.last = now;
                flow.got += n;
                self.hosts[1].tcp_consume(now, server, n);
                if flow.got == flow.len {
                    flow.done = Some((now, self.hosts[0].tcp_info(now, client)));
                }
            }
        }
    }

    /// Runs until all transfers are complete.
    pub fn finish(&mut self, limit: Duration) -> Vec<Outcome> {
        let end = self.now + limit;
        while self.flows.iter().any(|flow| flow.done.is_none()) {
            assert!(self.step(), "nothing happens any more");
            assert!(self.now < end, "too slow");
        }
        self.flows.iter().map(Flow::outcome).collect()
    }

    /// Runs for this long; what each transfer has by then, in bytes.
    pub fn run_for(&mut self, time: Duration) -> Vec<usize> {
        let end = self.now + time;
        while self.now < end && self.step() {}
        self.flows.iter().map(|flow| flow.got).collect()
    }
}

impl Flow {
    fn outcome(&self) -> Outcome {
        let (at, info) = self.done.expect("complete");
        let took = at.saturating_sub(self.begun);
        Outcome {
            took,
            bits_per_second: self.len as f64 * 8.0 / took.as_secs_f64(),
            stall: self.stall,
            rto: self.rto,
            info,
        }
    }
}

/// One transfer on a link of its own.
pub fn transfer(seed: u64, path: Path, len: usize, tune: impl Fn(&mut Sysctl)) -> Outcome {
    let mut pair = Pair::new(seed, path, tune);
    pair.start(len);
    pair.finish(Duration::from_secs(3600))[0]
}

/// How many flows share a bottleneck, and the time between the starts of two; without chances a seed is a start.
pub const FLOWS: usize = 4;
pub const BETWEEN_STARTS: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_micros(1700);

/// What each of some flows has got, in bytes, between two times after the last began.
pub fn shares(
    seed: u64,
    path: Path,
    algorithm: Algorithm,
    from: Duration,
    to: Duration,
) -> Vec<usize> {
    let mut pair = Pair::new(seed, path, |s| s.tcp_congestion_control = algorithm);
    for _ in 0..FLOWS {
        pair.start(usize::MAX / 2);
        pair.run_for(BETWEEN_STARTS + LATER * (seed.max(1) - 1) as u32);
    }
    let before = pair.run_for(from);
    let after = pair.run_for(to - from);
    after.iter().zip(before).map(|(a, b)| a - b).collect()
}

/// Least, middle and greatest of some goodputs, Mbit/s.
pub fn spread(outcomes: &[Outcome]) -> (f64, f64, f64) {
    let mut all: Vec<f64> = outcomes.iter().map(|o| o.bits_per_second / 1e6).collect();
    all.sort_by(f64::total_cmp);
    (all[0], all[all.len() / 2], all[all.len() - 1])
}

/// How far from the mean the farthest flow is; 0 is fair.
pub fn unfairness(bytes: &[usize]) -> f64 {
    let mean = bytes.iter().sum::<usize>() as f64 / bytes.len() as f64;
    let worst = bytes.iter().map(|&b| (b as f64 / mean - 1.0).abs());
    worst.fold(0.0, f64::max)
}

/// Jain's index of fairness: 1 when all have the same.
pub fn fairness(bytes: &[usize]) -> f64 {
    let sum: f64 = bytes.iter().map(|&b| b as f64).sum();
    let squares: f64 = bytes.iter().map(|&b| (b as f64).powi(2)).sum();
    sum * sum / (bytes.len() as f64 * squares)
}

/// A table of text.
#[derive(Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }

    pub fn text(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |i: usize| {
            (self.0.iter().filter_map(|r| r.get(i)))
                .map(String::len)
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|i| width(i).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.0 {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, w)| format!("{cell:>w$}"));
            out += cells.collect::<Vec<_>>().join("  ").trim_end();
            out.push('\n');
        }
        out
    }
}
