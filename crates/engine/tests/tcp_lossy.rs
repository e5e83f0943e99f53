//! Two hosts and a bad network between them, in virtual time: every byte arrives, once and in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use switchboard_engine::*;
use switchboard_wire::{Packet, emit, parse};

/// A small generator, so that a seed says everything (splitmix64).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

#[derive(Clone, Copy, Debug)]
struct Pipe {
    loss: u64,
    duplicate: u64,
    reorder: u64,
    delay: Duration,
    /// What it takes as one packet.
    large: Large,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Large {
    No,
    /// And takes apart.
    Split,
    /// And hands on as such, unless it is lost as such.
    Whole,
}

struct Net {
    hosts: [Stack; 2],
    links: [IfIndex; 2],
    flying: BinaryHeap<Reverse<(Instant, u64)>>,
    packets: std::collections::HashMap<u64, (usize, Packet)>,
    next: u64,
    rng: Rng,
    pipe: Pipe,
    now: Instant,
    /// The applications look at their sockets at least this often.
    tick: Duration,
    /// The most segments that came as one.
    largest: u32,
}

fn addr(host: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, host as u8 + 1])
}

impl Net {
    fn new(seed: u64, pipe: Pipe) -> Net {
        let mut links = Vec::new();
        let hosts = [0, 1].map(|i| {
            let mut host = Stack::new(Config {
                seed: [seed as u8 ^ i; 32],
                ..Config::default()
            });
            let link = host.add_interface(InterfaceConfig {
                name: "eth0".into(),
                mtu: 1500,
            });
            host.add_address(link, addr(i as usize), 24);
            let large = InterfaceChange::LargeSegments(pipe.large != Large::No);
            host.change_interface(link, large);
            links.push(link);
            host
        });
        Net {
            hosts,
            links: [links[0], links[1]],
            flying: BinaryHeap::new(),
            packets: Default::default(),
            next: 0,
            rng: Rng(seed),
            pipe,
            now: Instant::from_secs(1),
            tick: Duration::from_millis(20),
            largest: 0,
        }
    }

    fn carry(&mut self) {
        for from in 0..2 {
            while let Some((_, packet)) = self.hosts[from].poll_transmit(self.now) {
                assert!(packet.longest() <= 1500, "larger than the MTU");
                self.largest = self.largest.max(packet.segments());
                match self.pipe.large {
                    Large::Split => packet.split().for_each(|one| self.send(from, one)),
                    Large::No | Large::Whole => self.send(from, packet),
                }
            }
        }
    }

    fn send(&mut self, from: usize, mut packet: Packet) {
        if packet.segments() == 1 {
            // Everything on a link has been bytes.
            packet = parse(&emit(&packet)).expect("our own packet");
        }
        let mut copies = 1;
        if self.rng.chance(self.pipe.loss) {
            copies = 0;
        } else if self.rng.chance(self.pipe.duplicate) {
            copies = 2;
        }
        for _ in 0..copies {
            let mut at = self.now + self.pipe.delay;
            if self.rng.chance(self.pipe.reorder) {
                at += self.pipe.delay * (self.rng.next() % 4) as u32;
            }
            self.flying.push(Reverse((at, self.next)));
            self.packets.insert(self.next, (1 - from, packet.clone()));
            self.next += 1;
        }
    }

    /// Goes to the next thing that happens; false when nothing will.
    fn step(&mut self) -> bool {
        self.carry();
        let arrival = self.flying.peek().map(|Reverse((at, _))| *at);
        let timers = self.hosts.iter().filter_map(Stack::poll_timeout).min();
        let Some(next) = arrival.into_iter().chain(timers).min() else {
            return false;
        };
        self.now = self.now.max(next.min(self.now + self.tick));
        while let Some(&Reverse((at, number))) = self.flying.peek() {
            if at > self.now {
                break;
            }
            self.flying.pop();
            let (to, packet) = self.packets.remove(&number).unwrap();
            self.hosts[to].deliver(self.now, self.links[to], packet);
        }
        for host in &mut self.hosts {
            host.handle_timeout(self.now);
        }
        self.carry();
        true
    }

    fn until(&mut self, limit: Duration, mut done: impl FnMut(&mut Net) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            if !self.step() {
                // Only the applications can go on.
                self.now += Duration::from_millis(1);
            }
            assert!(self.now < end, "too slow");
        }
    }
}

fn connect(net: &mut Net) -> (TcpId, TcpId) {
    let listener = net.hosts[1].tcp_open(Family::V4);
    let request = BindRequest {
        addr: addr(1),
        port: 80,
        family: Family::V4,
        v6only: false,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    };
    net.hosts[1].tcp_bind(listener, request).unwrap();
    net.hosts[1].tcp_listen(net.now, listener, 8).unwrap();
    let client = net.hosts[0].tcp_open(Family::V4);
    net.hosts[0]
        .tcp_connect(net.now, client, SocketAddr::new(addr(1), 80))
        .unwrap();
    let mut server = None;
    net.until(Duration::from_secs(300), |net| {
        // A lost last ACK is only replaced by data: send as soon as the client may.
        server = net.hosts[1].tcp_accept(net.now, listener);
        server.is_some()
    });
    (client, server.unwrap())
}

fn byte(at: usize, salt: u8) -> u8 {
    (at as u32).wrapping_mul(2_654_435_761).rotate_left(9) as u8 ^ salt
}

/// Sends `len` bytes each way, in writes of all sizes, and closes; returns the time it took.
fn exchange(seed: u64, pipe: Pipe, len: usize) -> Duration {
    let mut net = Net::new(seed, pipe);
    let start = net.now;
    let (client, server) = connect(&mut net);
    let ends = [(0usize, client), (1usize, server)];
    let mut sent = [0usize; 2];
    let mut got = [0usize; 2];
    let mut shut = [false; 2];
    net.until(Duration::from_secs(20_000), |net| {
        for (i, (host, id)) in ends.into_iter().enumerate() {
            let now = net.now;
            let status = net.hosts[host].tcp_status(id);
            assert_eq!(status.error, None, "seed {seed}");
            while sent[i] < len && net.hosts[host].tcp_send_room(id) > 0 {
                if net.hosts[host].tcp_state(id) == State::SynSent {
                    break;
                }
                let n = match net.rng.next() % 4 {
                    0 => 1,
                    1 => 100,
                    2 => 3000,
                    _ => 20_000,
                }
                .min(len - sent[i]);
                let data: Vec<u8> = (sent[i]..sent[i] + n).map(|at| byte(at, i as u8)).collect();
                let more = net.rng.chance(10);
                let flags = SendFlags {
                    more,
                    ..SendFlags::default()
                };
                net.hosts[host].tcp_send(now, id, data.into(), flags);
                sent[i] += n;
            }
            if sent[i] == len && !shut[i] {
                net.hosts[host]
                    .tcp_shutdown(now, id, Shutdown::Write)
                    .unwrap();
                shut[i] = true;
            }
            // A reader that is slow at times.
            if net.rng.chance(60) {
                let limit = 1
                    + (net.rng.next() % if len > 10_000_000 { 4_000_000 } else { 50_000 }) as usize;
                let mut data = vec![0; limit];
                let n = net.hosts[host].tcp_recv_queue(id).copy_from(0, &mut data);
                for &b in &data[..n] {
                    assert_eq!(b, byte(got[i], 1 - i as u8), "seed {seed}, byte {}", got[i]);
                    got[i] += 1;
                }
                net.hosts[host].tcp_consume(now, id, n);
            }
        }
        got == [len, len]
            && ends
                .iter()
                .all(|&(h, id)| net.hosts[h].tcp_status(id).rcv_shutdown)
    });
    let took = net.now.saturating_sub(start);
    assert_eq!(net.largest > 1, pipe.large != Large::No);
    for (host, id) in ends {
        let now = net.now;
        net.hosts[host].tcp_close(now, id, None);
    }
    net.tick = Duration::from_secs(100);
    net.until(Duration::from_secs(2000), |net| {
        net.hosts
            .iter()
            .all(|host| host.tcp_connection_count() == 0)
    });
    took
}

#[test]
fn a_clean_link() {
    let pipe = Pipe {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        delay: Duration::from_millis(10),
        large: Large::No,
    };
    let took = exchange(1, pipe, 3_000_000);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn lossy_links() {
    for seed in 0..30 {
        let pipe = Pipe {
            loss: 3,
            duplicate: 2,
            reorder: 5,
            delay: Duration::from_millis(20),
            large: Large::No,
        };
        exchange(seed, pipe, 300_000);
    }
}

#[test]
fn terrible_links() {
    for seed in 100..130 {
        let pipe = Pipe {
            loss: 25,
            duplicate: 10,
            reorder: 30,
            delay: Duration::from_millis(50),
            large: Large::No,
        };
        exchange(seed, pipe, 30_000);
    }
}

#[test]
fn large_segments_on_lossy_links() {
    for seed in 400..430 {
        for large in [Large::Split, Large::Whole] {
            let pipe = Pipe {
                loss: 3,
                duplicate: 2,
                reorder: 5,
                delay: Duration::from_millis(20),
                large,
            };
            exchange(seed, pipe, 300_000);
        }
    }
}

#[test]
fn large_segments_are_no_slower() {
    let pipe = |large| Pipe {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        delay: Duration::from_millis(10),
        large,
    };
    let plain = exchange(1, pipe(Large::No), 3_000_000);
    for large in [Large::Split, Large::Whole] {
        let took = exchange(1, pipe(large), 3_000_000);
        assert!(took <= plain + plain / 10, "{large:?}: {took:?}, {plain:?}");
    }
}

#[test]
fn reordering_alone_loses_nothing() {
    for seed in 200..220 {
        let pipe = Pipe {
            loss: 0,
            duplicate: 0,
            reorder: 50,
            delay: Duration::from_millis(5),
            large: Large::No,
        };
        exchange(seed, pipe, 300_000);
    }
}

#[test]
fn bulk_is_not_limited_by_the_first_window() {
    // 100 ms round trip, no loss: the receive buffer must grow with the reader.
    let pipe = Pipe {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        delay: Duration::from_millis(50),
        large: Large::No,
    };
    let took = exchange(300, pipe, 20_000_000);
    // 64 KiB a round trip would take 30 s.
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let pipe = Pipe {
        loss: 10,
        duplicate: 5,
        reorder: 20,
        delay: Duration::from_millis(30),
        large: Large::No,
    };
    assert_eq!(exchange(7, pipe, 50_000), exchange(7, pipe, 50_000));
}
