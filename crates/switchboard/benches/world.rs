//! How large a network may be: `cargo bench -p switchboard --bench world`.
//!
//! `--hosts N` hosts (10,000 unless said) in segments of 100, each behind a router, ask one server over TCP in virtual time:
//! every one connects, sends a request of 100 bytes, gets 1,000 bytes back and closes. Told are the time it took, frames
//! per second of real time, and memory per host. `--hosts 0` leaves that out.
//!
//! Then `--garbage N` frames (a million unless said) of random bytes go into an interface with Ethernet, and as many
//! packets into one without: told are frames per second, and by how much the process grew after the first tenth of them.
//! The test `garbage` of the engine does the same with fewer, and looks at what is left.
#![allow(missing_docs, clippy::disallowed_methods)] // A bench reads the clock.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use switchboard::{Cable, Host, Interface, Net, SegmentConfig, TcpListener, TcpStream};
use switchboard_device::Random;
use switchboard_engine::{Config, InterfaceConfig, Stack};
use switchboard_wire::{Frame, Mac, parse};

const REQUEST: [u8; 100] = [1; 100];
const RESPONSE: [u8; 1000] = [2; 1000];
/// Hosts on a segment, beside their router.
const SEGMENT: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        let value = at.and_then(|at| args.get(at + 1));
        value.map_or(default, |n| n.parse().expect("a number"))
    };
    match number("--hosts", 10_000) {
        0 => {}
        hosts => all_to_one(hosts),
    }
    garbage(number("--garbage", 1_000_000));
}

/// Resident memory in bytes.
fn memory() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    Ipv4Addr::new(a, b, c, d).into()
}

struct Lab {
    net: Net,
    clients: Vec<Host>,
    server: Host,
    interfaces: Vec<Interface>,
}

fn build(count: usize) -> std::io::Result<Lab> {
    let net = Net::virtual_time(1);
    let config = SegmentConfig::default();
    let core = net.segment(config);
    let server = net.host("server").build()?;
    let mut interfaces = vec![core.join(&server, &[(v4(172, 16, 255, 254), 16)])?];
    let mut clients = Vec::new();
    for number in 0..count.div_ceil(SEGMENT) {
        let (high, low) = ((number >> 8) as u8, number as u8);
        let router = net.host(&format!("router{number}")).build()?;
        router
            .set_sysctl("net.ipv4.ip_forward", "1")
            .expect("a tunable");
        interfaces.push(core.join(&router, &[(v4(172, 16, high, low), 16)])?);
        let lan = net.segment(config);
        let subnet = |host: u8| v4(10 + high, low, 0, host);
        interfaces.push(lan.join(&router, &[(subnet(254), 24)])?);
        server.add_route(subnet(0), 24, v4(172, 16, high, low))?;
        for host in 0..SEGMENT.min(count - clients.len()) {
            let client = net.host("client").build()?;
            let interface = lan.join(&client, &[(subnet(host as u8 + 1), 24)])?;
            for cable in [Cable::Up, Cable::Down] {
                let delay = Duration::from_micros(500);
                interface.change(cable, |c| c.delay = switchboard::Delay::fixed(delay));
            }
            client.default_route(subnet(254))?;
            interfaces.push(interface);
            clients.push(client);
        }
    }
    Ok(Lab {
        net,
        clients,
        server,
        interfaces,
    })
}

fn all_to_one(count: usize) {
    let (before, began) = (memory(), Instant::now());
    let lab = build(count).expect("a network");
    let (built, held) = (began.elapsed(), memory() - before);
    let addr = SocketAddr::new(v4(172, 16, 255, 254), 80);
    let listener = TcpListener::bind(&lab.server, addr).expect("a listener");
    listener.set_nonblocking(true).expect("a listener");
    let began = Instant::now();
    let mut accepted: Vec<TcpStream> = Vec::new();
    let (mut waiting, mut done) = (Vec::new(), 0);
    let mut next = lab.clients.iter();
    while done < count {
        // A hundred new ones each millisecond.
        for client in next.by_ref().take(100) {
            let stream = TcpStream::connect_nonblocking(client, addr).expect("a route");
            waiting.push((stream, 0));
        }
        lab.net.advance(Duration::from_millis(1));
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).expect("a stream");
            accepted.push(stream);
        }
        accepted.retain_mut(|stream| {
            let mut request = REQUEST;
            match stream.read(&mut request) {
                Ok(0) => false,
                Ok(_) => stream.write_all(&RESPONSE).is_ok(),
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
        });
        waiting.retain_mut(|(stream, got)| {
            let mut response = RESPONSE;
            if *got == 0 && stream.write(&REQUEST).is_ok() {
                *got = 1;
            }
            match stream.read(&mut response) {
                Ok(n) => *got += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("a client's read: {error}"),
            }
            let all = *got == 1 + RESPONSE.len();
            done += usize::from(all);
            !all
        });
    }
    let took = began.elapsed();
    let frames: u64 = (lab.interfaces.iter())
        .flat_map(|i| [Cable::Up, Cable::Down].map(|cable| i.counters(cable).delivered))
        .sum();
    let peak = memory() - before;
    println!("{count} hosts in segments of {SEGMENT} ask one server over TCP");
    println!("  built in {built:.2?}, {} bytes a host", held / count);
    println!(
        "  {:.2?} of virtual time in {took:.2?}: {frames} frames over cables, {:.0} frames/s",
        lab.net.now(),
        frames as f64 / took.as_secs_f64()
    );
    println!("  memory at the end: {} bytes a host", peak / count);
}

fn garbage(count: usize) {
    for ethernet in [true, false] {
        let mut stack = Stack::new(Config::default());
        let name = "eth0".to_owned();
        let config = InterfaceConfig { name, mtu: 1500 };
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let index = if ethernet {
            stack.add_ethernet(config, mac)
        } else {
            stack.add_interface(config)
        };
        stack.add_address(index, v4(10, 0, 0, 1), 24);
        let mut random = Random::new([7; 32], 0);
        let mut bytes = [0; 200];
        let (mut before, began) = (0, Instant::now());
        for number in 0..count {
            // What was there after a tenth is what it takes.
            if number == count / 10 {
                before = memory();
            }
            let len = 20 + random.below(180) as usize;
            bytes[..len].fill_with(|| random.below(256) as u8);
            aim(&mut bytes[..len], ethernet, number);
            let now = switchboard_engine::Instant::from_micros(number as u64 * 10);
            if ethernet {
                if let Some(frame) = Frame::parse(&bytes[..len]) {
                    stack.deliver_frame(now, index, frame);
                }
            } else if let Ok(packet) = parse(&bytes[..len]) {
                stack.deliver(now, index, packet);
            }
            if stack.poll_timeout().is_some_and(|at| at <= now) {
                stack.handle_timeout(now);
            }
            while stack.poll_frame(now).is_some() {}
        }
        let took = began.elapsed();
        println!(
            "{count} {} of garbage: {took:.2?}, {:.0}/s, grown by {} KiB after the first tenth",
            if ethernet { "frames" } else { "packets" },
            count as f64 / took.as_secs_f64(),
            memory().saturating_sub(before) / 1024
        );
    }
}

/// Most garbage ends at the first header. Every second piece has one that leads further.
fn aim(bytes: &mut [u8], ethernet: bool, number: usize) {
    if number.is_multiple_of(2) {
        return;
    }
    let mut at = 0;
    if ethernet && bytes.len() > 34 {
        bytes[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        let kinds = [[8, 0], [8, 6], [0x86, 0xdd]];
        bytes[12..14].copy_from_slice(&kinds[number / 2 % 3]);
        at = 14;
    }
    if bytes[at..].len() < 20 || (ethernet && number / 2 % 3 == 1) {
        return;
    }
    let len = (bytes.len() - at) as u16;
    bytes[at] = 0x45;
    bytes[at + 2..at + 4].copy_from_slice(&len.to_be_bytes());
    bytes[at + 16..at + 20].copy_from_slice(&[10, 0, 0, 1]);
    bytes[at + 10..at + 12].fill(0);
    let sum = switchboard_wire::checksum(None, &bytes[at..at + 20]);
    bytes[at + 10..at + 12].copy_from_slice(&sum);
}
