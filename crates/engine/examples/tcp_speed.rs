//! How fast the TCP of one host is over loopback: `cargo run --release -p switchboard-engine --example tcp_speed`.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant as Clock;

use bytes::Bytes;
use switchboard_engine::*;

fn open(addr: &str) -> (Stack, TcpId, std::net::SocketAddr) {
    let mut stack = Stack::new(Config::default());
    let addr: std::net::SocketAddr = addr.parse().unwrap();
    let listener = stack.tcp_open(Family::V4);
    let request = BindRequest {
        addr: addr.ip(),
        port: addr.port(),
        family: Family::V4,
        v6only: false,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    };
    let local = stack.tcp_bind(listener, request).unwrap();
    stack.tcp_listen(Instant::BOOT, listener, 4096).unwrap();
    (stack, listener, local)
}

fn pair(
    stack: &mut Stack,
    now: Instant,
    listener: TcpId,
    to: std::net::SocketAddr,
) -> (TcpId, TcpId) {
    let client = stack.tcp_open(Family::V4);
    stack.tcp_connect(now, client, to).unwrap();
    let server = stack.tcp_accept(now, listener).unwrap();
    (client, server)
}

fn drain(stack: &mut Stack) {
    while stack.poll_event().is_some() {}
}

/// Without an argument all parts, else the one named: `one`, `bulk`, `open` or `many`; a number after it is how often that
/// is done (for counting instructions).
fn main() {
    let only = std::env::args().nth(1);
    let times = std::env::args().nth(2).and_then(|n| n.parse::<u32>().ok());
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let now = Instant::from_secs(1);
    let (mut stack, listener, local) = open("127.0.0.1:0");
    let (client, server) = pair(&mut stack, now, listener, local);
    stack.tcp_set(now, client, TcpSet::NoDelay(true));

    let mut out = vec![0u8; 65_536];
    let count = times.unwrap_or(5_000_000);
    let start = Clock::now();
    for i in 0..if wanted("one") { count } else { 0 } {
        let at = now + std::time::Duration::from_nanos(u64::from(i) * 400);
        stack.tcp_send(
            at,
            client,
            Bytes::copy_from_slice(b"x"),
            SendFlags::default(),
        );
        let n = stack.tcp_recv_queue(server).copy_from(0, &mut out[..1]);
        stack.tcp_consume(at, server, n);
        drain(&mut stack);
    }
    println!(
        "send+recv of 1 byte: {:.0} ns",
        start.elapsed().as_nanos() as f64 / f64::from(count)
    );

    let data = vec![1u8; 65_536];
    let count = times.unwrap_or(200_000);
    let at = now + std::time::Duration::from_secs(10);
    let start = Clock::now();
    for _ in 0..if wanted("bulk") { count } else { 0 } {
        stack.tcp_send(
            at,
            client,
            Bytes::copy_from_slice(&data),
            SendFlags::default(),
        );
        while stack.tcp_recv_available(server) > 0 {
            let n = stack.tcp_recv_queue(server).copy_from(0, &mut out);
            stack.tcp_consume(at, server, n);
        }
        drain(&mut stack);
    }
    let bytes = f64::from(count) * 65_536.0;
    println!(
        "bulk, 64 KiB: {:.1} GB/s",
        bytes / start.elapsed().as_nanos() as f64
    );

    let count = times.unwrap_or(200_000);
    let start = Clock::now();
    for i in 0..if wanted("open") { count } else { 0 } {
        let at = at + std::time::Duration::from_micros(u64::from(i) * 4000);
        stack.handle_timeout(at);
        let (client, server) = pair(&mut stack, at, listener, local);
        stack.tcp_close(at, client, None);
        stack.tcp_close(at, server, None);
        drain(&mut stack);
    }
    println!(
        "open, connect, accept, close: {:.0} ns",
        start.elapsed().as_nanos() as f64 / f64::from(count)
    );

    if !wanted("many") {
        return;
    }
    const K: usize = 1_000_000;
    let rss = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|l| l.starts_with("VmRSS"))
            .unwrap()
            .to_owned();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            * 1024
    };
    let before = rss();
    let mut all = Vec::with_capacity(K / 2);
    let mut stacks = Vec::new();
    for i in 0..K / 2 {
        // 25,000 connections to each of 20 ports, as a range of ephemeral ports allows.
        if i % 25_000 == 0 {
            let listener = stack.tcp_open(Family::V4);
            let request = BindRequest {
                addr: [127, 0, 0, 1].into(),
                port: 1000 + (i / 25_000) as u16,
                family: Family::V4,
                v6only: false,
                device: None,
                reuse_addr: false,
                reuse_port: false,
                uid: 0,
            };
            let local = stack.tcp_bind(listener, request).unwrap();
            stack.tcp_listen(at, listener, 4096).unwrap();
            stacks.push((listener, local));
        }
        let &(listener, local) = stacks.last().unwrap();
        all.push(pair(&mut stack, at, listener, local));
        drain(&mut stack);
    }
    println!("{K} sockets: {} bytes each", (rss() - before) / K);
    let start = Clock::now();
    let mut at = at;
    for i in 0..1_000_000usize {
        let (client, server) = all[(i * 7919) % all.len()];
        at += std::time::Duration::from_nanos(500);
        stack.tcp_send(
            at,
            client,
            Bytes::copy_from_slice(b"x"),
            SendFlags::default(),
        );
        let n = stack.tcp_recv_queue(server).copy_from(0, &mut out[..1]);
        stack.tcp_consume(at, server, n);
        drain(&mut stack);
    }
    println!(
        "send+recv of 1 byte among them: {:.0} ns",
        start.elapsed().as_nanos() as f64 / 1e6
    );
}
