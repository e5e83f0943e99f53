//! The library and the host's kernel, side by side: `cargo bench -p switchboard`.
//!
//! Each row is measured on both in turn, several times; the best of each counts, since the worst
//! tells about the machine. `--connections N` sets how many connections the last rows hold (100,000
//! unless said; 1,000,000 need some 4 GB). Names select rows: `cargo bench -p switchboard -- udp`.
#![allow(missing_docs, clippy::disallowed_methods)] // A bench reads the clock.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net as host_unix;
use std::time::{Duration, Instant};
use switchboard::{Host, Net, TcpListener, TcpStream, UdpSocket, UnixStream};

/// How often each side is measured.
const ROUNDS: usize = 5;

/// Name, measurement of both sides in microseconds, target.
type Row = (&'static str, fn() -> (f64, f64), &'static str);

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let mut names = Vec::new();
    let mut connections = 100_000;
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--connections" => connections = args.next().and_then(|n| n.parse().ok()).unwrap_or(0),
            name => names.push(name.to_string()),
        }
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| name.contains(n.as_str()));
    println!(
        "{:44} {:>12} {:>12} {:>8}  target",
        "", "kernel", "switchboard", "ratio"
    );
    let rows: [Row; 4] = [
        ("tcp: send+recv of 1 byte", tcp_byte, "0.5 us"),
        ("unix: stream send+recv of 1 byte", unix_byte, "0.25 us"),
        ("udp: send+recv of 1 byte", udp_byte, "0.4 us"),
        (
            "tcp: socket, connect, accept, close both",
            tcp_connect,
            "4 us",
        ),
    ];
    for (name, row, target) in rows {
        if wanted(name) {
            let (kernel, ours) = row();
            let ratio = kernel / ours;
            println!("{name:44} {kernel:>9.3} us {ours:>9.3} us {ratio:>7.1}x  {target}");
        }
    }
    if wanted("tcp: bulk, 64 KiB sends, one thread") {
        let (kernel, ours) = tcp_bulk();
        let (kernel, ours) = (kernel / 1e9, ours / 1e9);
        let name = "tcp: bulk, 64 KiB sends, one thread";
        let ratio = ours / kernel;
        println!("{name:44} {kernel:>7.2} GB/s {ours:>7.2} GB/s {ratio:>7.1}x  10 GB/s");
    }
    if wanted("tcp: many connections") && connections > 0 {
        many(connections);
    }
}

fn addr(s: &str) -> SocketAddr {
    s.parse().expect("an address")
}

fn alone() -> Host {
    let net = Net::real_time().expect("a net");
    net.host("bench").build().expect("a host")
}

/// The best time of one of `n` repetitions, in microseconds.
fn best(n: u32, mut f: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..n {
            f();
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(n) * 1e6);
    }
    best
}

fn byte(mut a: impl Write, mut b: impl Read, n: u32) -> f64 {
    let mut buf = [0; 1];
    best(n, || {
        a.write_all(black_box(&[7])).expect("sent");
        b.read_exact(&mut buf).expect("received");
    })
}

fn host_tcp_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let a = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (a, listener.accept().expect("accepted").0)
}

fn tcp_pair(host: &Host) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(host, addr("127.0.0.1:0")).expect("bound");
    let a = TcpStream::connect(host, listener.local_addr().expect("bound")).expect("connected");
    (a, listener.accept().expect("accepted").0)
}

fn tcp_byte() -> (f64, f64) {
    let (a, b) = host_tcp_pair();
    let kernel = byte(a, b, 20_000);
    let host = alone();
    let (a, b) = tcp_pair(&host);
    (kernel, byte(a, b, 300_000))
}

fn unix_byte() -> (f64, f64) {
    let (a, b) = host_unix::UnixStream::pair().expect("a pair");
    let kernel = byte(a, b, 100_000);
    let host = alone();
    let (a, b) = UnixStream::pair(&host).expect("a pair");
    (kernel, byte(a, b, 500_000))
}

fn udp_byte() -> (f64, f64) {
    let mut buf = [0; 1];
    let a = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    let b = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    a.connect(b.local_addr().expect("bound"))
        .expect("connected");
    let kernel = best(50_000, || {
        let _ = a.send(black_box(&[7])).expect("sent");
        let _ = b.recv(&mut buf).expect("received");
    });
    let host = alone();
    let a = UdpSocket::bind(&host, addr("127.0.0.1:0")).expect("bound");
    let b = UdpSocket::bind(&host, addr("127.0.0.1:0")).expect("bound");
    a.connect(b.local_addr().expect("bound"))
        .expect("connected");
    let ours = best(300_000, || {
        let _ = a.send(black_box(&[7])).expect("sent");
        let _ = b.recv(&mut buf).expect("received");
    });
    (kernel, ours)
}

fn tcp_connect() -> (f64, f64) {
    // A quarter of the ephemeral ports at a time: TIME_WAIT keeps them.
    let n = 3_000;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let to = listener.local_addr().expect("bound");
    let kernel = best(n, || {
        let a = std::net::TcpStream::connect(to).expect("connected");
        drop((listener.accept().expect("accepted"), a));
    });
    let host = alone();
    let listener = TcpListener::bind(&host, addr("127.0.0.1:0")).expect("bound");
    let to = listener.local_addr().expect("bound");
    let ours = best(n, || {
        let a = TcpStream::connect(&host, to).expect("connected");
        drop((listener.accept().expect("accepted"), a));
    });
    (kernel, ours)
}

/// Bytes per second.
fn bulk(mut a: impl Write, mut b: impl Read) -> f64 {
    const PIECE: usize = 64 * 1024;
    let data = vec![7; PIECE];
    let mut out = vec![0; PIECE];
    let micros = best(4_000, || {
        a.write_all(black_box(&data)).expect("sent");
        b.read_exact(&mut out).expect("received");
    });
    PIECE as f64 / micros * 1e6
}

fn tcp_bulk() -> (f64, f64) {
    let (a, b) = host_tcp_pair();
    let kernel = bulk(a, b);
    let host = alone();
    let (a, b) = tcp_pair(&host);
    (kernel, bulk(a, b))
}

/// Resident memory, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok())
        .unwrap_or(0)
        * 4096
}

/// Memory of a socket, and the cost of a byte among many connections and among few.
fn many(connections: usize) {
    let open = |count: usize| {
        let host = alone();
        let mut streams = Vec::with_capacity(count);
        let mut listener = None;
        let start = Instant::now();
        for i in 0..count {
            // As in Linux, finding a free port is quick until half of them are taken.
            if i % 10_000 == 0 {
                let on = format!("127.0.0.{}:80", i / 10_000 + 1);
                listener = Some((
                    addr(&on),
                    TcpListener::bind(&host, addr(&on)).expect("bound"),
                ));
            }
            let Some((to, listener)) = &listener else {
                return (host, streams, start.elapsed());
            };
            let a = TcpStream::connect(&host, *to).expect("connected");
            streams.push((a, listener.accept().expect("accepted").0));
        }
        (host, streams, start.elapsed())
    };
    let among = |streams: &[(TcpStream, TcpStream)]| {
        let mut buf = [0; 1];
        let mut at = 0;
        best(100_000, || {
            // A stride that visits all: the caches see what a busy server's see.
            at = (at + 7_919) % streams.len();
            let (a, b) = &streams[at];
            (&*a).write_all(&[7]).expect("sent");
            (&*b).read_exact(&mut buf).expect("received");
        })
    };
    let (_host, few, _) = open(100);
    let cost_few = among(&few);
    let before = resident();
    let (_host, all, took) = open(connections);
    let bytes = resident().saturating_sub(before) as f64 / (2 * connections) as f64;
    // The first pass makes what a connection makes when it is first used.
    let _ = among(&all);
    let used = resident().saturating_sub(before) as f64 / (2 * connections) as f64;
    let cost_all = among(&all);
    println!(
        "tcp: {connections} connections, opened in {:.1} s",
        Duration::as_secs_f64(&took)
    );
    println!(
        "    {:40} {bytes:>25.0} B           2048 B",
        "memory of an idle socket"
    );
    println!(
        "    {:40} {used:>25.0} B",
        "memory of a socket that was used"
    );
    let ratio = cost_all / cost_few;
    println!(
        "    {:40} {:>25.3} us {ratio:>7.2}x  1.5x that at 100 ({cost_few:.3} us)",
        "send+recv of 1 byte", cost_all
    );
}
