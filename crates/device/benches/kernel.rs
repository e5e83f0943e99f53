//! The machine's own TCP over the same simulated link as ours: `cargo bench -p switchboard-device --bench kernel`.
//!
//! Two network namespaces of threads of this process have a TUN device each, and what crosses goes through a `Link` in real
//! time. Ours runs in virtual time. Wants CAP_NET_ADMIN and CAP_SYS_ADMIN, and says so where it has them not.
#![allow(missing_docs, unreachable_pub, dead_code)]
// The kernel's time is the machine's.
#![allow(clippy::disallowed_methods)]

#[path = "links/harness.rs"]
mod harness;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant as Clock};

use harness::{BETWEEN_STARTS, Bottleneck, FLOWS, Path, Table, transfer, unfairness};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Linger, TcpCongestion};
use switchboard_device::{End, Link, Random, Tun, TunConfig, TunKind};
use switchboard_engine::{Algorithm, Instant};

const SEEDS: u64 = 10;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let algorithms: &[Algorithm] = match std::env::var("CONGESTION") {
        Ok(name) => &[Algorithm::from_name(name.as_bytes()).expect("a known algorithm")],
        Err(_) => &[Algorithm::Cubic],
    };
    if std::env::var_os("ONLY_SHARES").is_none() {
        losses(algorithms);
    }
    shares(algorithms);
}

fn losses(algorithms: &[Algorithm]) {
    for &algorithm in algorithms {
        println!(
            "100 Mbit/s, RTT 20 ms, {}, mean of {SEEDS} seeds: Mbit/s",
            algorithm.name()
        );
        let mut table = Table::default();
        table.row(["loss %", "MB", "kernel", "ours", "ours / kernel"].map(String::from));
        for (loss_percent, mb) in [
            (0.0, 20.0),
            (0.1, 20.0),
            (1.0, 20.0),
            (3.0, 3.0),
            (5.0, 2.0),
            (10.0, 1.0),
        ] {
            let path = Path::new(loss_percent);
            let len = (mb * 1e6) as usize;
            let mut rates = [0.0; 2];
            for seed in 0..SEEDS {
                match kernel(seed, path, len, algorithm) {
                    Ok(took) => rates[0] += len as f64 * 8.0 / took.as_secs_f64(),
                    Err(error) => return println!("left out: {error}"),
                }
                let ours = transfer(seed, path, len, |s| s.tcp_congestion_control = algorithm);
                rates[1] += ours.bits_per_second;
            }
            let [kernel, ours] = rates.map(|rate| rate / SEEDS as f64 / 1e6);
            table.row([
                format!("{loss_percent}"),
                format!("{mb}"),
                format!("{kernel:.2}"),
                format!("{ours:.2}"),
                format!("{:.2}", ours / kernel),
            ]);
        }
        println!("{}", table.text());
    }
}

/// Four flows, begun one after the other, for a minute after ten seconds, by the queue they meet in.
fn shares(algorithms: &[Algorithm]) {
    println!(
        "{FLOWS} flows, 100 Mbit/s, RTT 20 ms, 60 s after the first 10: farthest from fair, %"
    );
    let mut table = Table::default();
    table.row(["algorithm", "queue", "kernel", "ours", "with jitter"].map(String::from));
    let (from, to) = (Duration::from_secs(10), Duration::from_secs(70));
    for &algorithm in algorithms {
        for queue in [Bottleneck::Fifo(250), Bottleneck::Fair] {
            let path = Path {
                queue,
                ..Path::new(0.0)
            };
            let kernel = match kernel_shares(1, path, algorithm, from, to) {
                Ok(bytes) => unfairness(&bytes),
                Err(error) => return println!("left out: {error}"),
            };
            // The kernel's time is real, and its timers and processes are never in step.
            let [ours, jittery] = [path, path.jittery()]
                .map(|path| unfairness(&harness::shares(1, path, algorithm, from, to)));
            table.row([
                algorithm.name().to_owned(),
                format!("{queue}"),
                format!("{:.1}", kernel * 100.0),
                format!("{:.1}", ours * 100.0),
                format!("{:.1}", jittery * 100.0),
            ]);
        }
    }
    println!("{}", table.text());
}

/// A namespace of the calling thread with a device that has this address.
fn namespace(address: &str) -> io::Result<Tun> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let tun = Tun::open(&TunConfig {
        name: "tun0".into(),
        kind: TunKind::Tun,
        multi_queue: false,
    })?;
    for arguments in [
        &format!("addr add {address}/24 dev tun0") as &str,
        "link set tun0 txqueuelen 10000 up",
    ] {
        let status = Command::new("ip").args(arguments.split(' ')).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("ip {arguments}")));
        }
    }
    // What an earlier connection has learned does not count.
    fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")?;
    Ok(tun)
}

/// How long the kernel takes from connect(2) until the last byte has arrived.
fn kernel(seed: u64, path: Path, len: usize, algorithm: Algorithm) -> io::Result<Duration> {
    let server = move |listener: TcpListener| {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; 1 << 16];
        let mut got = 0;
        while got < len {
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => got += n,
            }
        }
        Ok(Clock::now())
    };
    let client = move || {
        let begun = Clock::now();
        let mut stream = connect(algorithm)?;
        let data = vec![7; 1 << 16];
        let mut left = len;
        while left > 0 {
            left -= stream.write(&data[..left.min(data.len())])?;
        }
        // Until the peer has it all, which closes.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        if std::env::var_os("SHOW_SS").is_some() {
            Command::new("ss")
                .args(["-tin", "dst", "10.0.0.2"])
                .status()?;
        }
        let _ = stream.read(&mut [0]);
        Ok(begun)
    };
    let (begun, done) = between(seed, path, client, server)?;
    Ok(done - begun)
}

/// What each of the kernel's flows has got, in bytes, between two times after the last began.
fn kernel_shares(
    seed: u64,
    path: Path,
    algorithm: Algorithm,
    from: Duration,
    to: Duration,
) -> io::Result<Vec<usize>> {
    let got: Arc<[AtomicUsize; FLOWS]> = Arc::default();
    let counts = got.clone();
    let server = move |listener: TcpListener| {
        let readers: Vec<_> = (0..FLOWS)
            .map(|flow| {
                let (mut stream, _) = listener.accept()?;
                let counts = counts.clone();
                Ok(thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(n @ 1..) = stream.read(&mut buffer) {
                        counts[flow].fetch_add(n, Ordering::Relaxed);
                    }
                }))
            })
            .collect::<io::Result<_>>()?;
        for reader in readers {
            reader.join().expect("no panic");
        }
        Ok(())
    };
    let client = move || {
        let mut streams = Vec::new();
        for _ in 0..FLOWS {
            let mut stream = connect(algorithm)?;
            streams.push(stream.try_clone()?);
            thread::spawn(move || while stream.write(&[7; 1 << 16]).is_ok() {});
            thread::sleep(BETWEEN_STARTS);
        }
        let now = || got.iter().map(|n| n.load(Ordering::Relaxed));
        thread::sleep(from);
        let before: Vec<usize> = now().collect();
        thread::sleep(to - from);
        let bytes = now().zip(before).map(|(after, before)| after - before);
        let bytes = bytes.collect();
        for stream in streams {
            // A reset, so that nothing of what is queued has to arrive.
            setsockopt(
                &stream,
                Linger,
                &libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                },
            )?;
            stream.shutdown(std::net::Shutdown::Both)?;
        }
        Ok(bytes)
    };
    Ok(between(seed, path, client, server)?.0)
}

fn connect(algorithm: Algorithm) -> io::Result<TcpStream> {
    let stream = TcpStream::connect("10.0.0.2:80")?;
    // Not by the tunable: a namespace may not have what is not everybody's.
    setsockopt(&stream, TcpCongestion, &OsString::from(algorithm.name()))?;
    Ok(stream)
}

/// Runs a client and a server in namespaces of their own until both are done, and carries what is between them.
fn between<C: Send + 'static, S: Send + 'static>(
    seed: u64,
    path: Path,
    client: impl FnOnce() -> io::Result<C> + Send + 'static,
    server: impl FnOnce(TcpListener) -> io::Result<S> + Send + 'static,
) -> io::Result<(C, S)> {
    let (tuns, devices): (Sender<io::Result<(usize, Tun)>>, Receiver<_>) = channel();
    let (ready, listening) = channel();
    let server_tuns = tuns.clone();
    let enter = |tuns: Sender<io::Result<(usize, Tun)>>, end, address| {
        let made = namespace(address);
        let failed = made.as_ref().err().map(|error| error.to_string());
        tuns.send(made.map(|tun| (end, tun)))
            .map_err(io::Error::other)?;
        failed.map_or(Ok(()), |error| Err(io::Error::other(error)))
    };
    let server = thread::spawn(move || {
        enter(server_tuns, 1, "10.0.0.2")?;
        let listener = TcpListener::bind("10.0.0.2:80")?;
        ready.send(()).map_err(io::Error::other)?;
        server(listener)
    });
    let client = thread::spawn(move || {
        enter(tuns, 0, "10.0.0.1")?;
        listening.recv().map_err(io::Error::other)?;
        client()
    });
    let mut ends = [None, None];
    for _ in 0..2 {
        let (end, tun) = devices.recv().map_err(io::Error::other)??;
        ends[end] = Some(tun);
    }
    let [Some(mut a), Some(mut b)] = ends else {
        return Err(io::Error::other("two devices"));
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = Random::new(bytes, 1);
    let mut link = Link::new(path.config(), &mut random);
    let started = Clock::now();
    while !(server.is_finished() && client.is_finished()) {
        let now = Instant::from_nanos(started.elapsed().as_nanos() as u64);
        for (tun, end) in [(&mut a, End::A), (&mut b, End::B)] {
            while let Some(packet) = tun.recv_packet()? {
                link.send(now, &mut random, end, packet);
            }
        }
        while let Some((end, _, packet)) = link.poll_arrival(now, &mut random) {
            let tun = if end == End::A { &a } else { &b };
            // A device that is full drops, as any.
            drop(tun.send_packet(&packet));
        }
        thread::sleep(Duration::from_micros(50));
        if started.elapsed() > Duration::from_secs(1000) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    let server = server.join().expect("no panic")?;
    let client = client.join().expect("no panic")?;
    Ok((client, server))
}
