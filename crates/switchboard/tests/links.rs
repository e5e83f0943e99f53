//! Several hosts, and what is between them: links, segments, routers, partitions.
#![allow(missing_docs)]

#[path = "common/transfer.rs"]
mod transfer;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use switchboard::{
    Cable, Chance, CodelConfig, Delay, End, Host, Loss, Net, PipeConfig, QueueConfig, Rate,
    SegmentConfig, TcpListener, TcpStream, UdpSocket,
};
use transfer::transfer;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const MS: Duration = Duration::from_millis(1);

fn slow(delay: Duration) -> PipeConfig {
    PipeConfig {
        delay: Delay::fixed(delay),
        ..PipeConfig::default()
    }
}

/// `a` 10.0.0.1, `r` 10.0.0.254 and 10.0.1.254, `b` 10.0.1.1, with fd00::/64 and fd01::/64; each link takes 10 ms.
struct Line {
    net: Net,
    a: Host,
    r: Host,
    b: Host,
    left: switchboard::Link,
    right: switchboard::Link,
}

fn line(seed: u64) -> Line {
    let net = Net::virtual_time(seed);
    let [a, r, b] = ["a", "r", "b"].map(|name| net.host(name).build().unwrap());
    let link = |x: &Host, y: &Host, n: u8, config| {
        let at = |host: u8| ip(&format!("10.0.{n}.{host}"));
        let at6 = |host: u8| ip(&format!("fd0{n}::{host}"));
        let link = net.link(x, y).config(config);
        let link = link.a(at(1), 24).a(at6(1), 64).b(at(254), 24);
        link.b(at6(254), 64).build().unwrap()
    };
    let left = link(&a, &r, 0, slow(10 * MS));
    let right = link(&b, &r, 1, slow(10 * MS));
    for (host, gateways) in [
        (&a, ["10.0.0.254", "fd00::254"]),
        (&b, ["10.0.1.254", "fd01::254"]),
    ] {
        for gateway in gateways {
            host.default_route(ip(gateway)).unwrap();
        }
    }
    r.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    r.set_sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    // The times are those of the packets themselves.
    net.know_neighbours();
    Line {
        net,
        a,
        r,
        b,
        left,
        right,
    }
}

#[test]
fn a_link_has_two_directions() {
    let net = Net::virtual_time(1);
    let [a, b] = ["a", "b"].map(|name| net.host(name).build().unwrap());
    let link = net
        .link(&a, &b)
        .a(ip("10.0.0.1"), 24)
        .b(ip("10.0.0.2"), 24)
        .config_from(End::A, slow(30 * MS))
        .config_from(End::B, slow(5 * MS))
        .build()
        .unwrap();
    assert_eq!(
        (link.end(End::A).name(), link.end(End::B).name()),
        ("eth0".into(), "eth0".into())
    );
    net.know_neighbours();
    let listener = TcpListener::bind(&b, addr("10.0.0.2:80")).unwrap();
    let _client = TcpStream::connect(&a, addr("10.0.0.2:80")).unwrap();
    assert_eq!(net.now(), 35 * MS);
    let _server = listener.accept().unwrap();
    // SYN and ACK one way, SYN-ACK the other.
    assert_eq!(link.counters_from(End::A).delivered, 2);
    assert_eq!(link.counters_from(End::B).delivered, 1);
}

#[test]
fn a_router_stands_between() {
    let net = line(1);
    for (at, round) in [("10.0.1.1:80", 40), ("[fd01::1]:80", 40)] {
        let before = net.net.now();
        let _listener = TcpListener::bind(&net.b, addr(at)).unwrap();
        let client = TcpStream::connect(&net.a, addr(at)).unwrap();
        assert_eq!(net.net.now() - before, round * MS);
        assert_eq!(client.peer_addr().unwrap(), addr(at));
    }
    transfer(&net.a, &net.b, addr("10.0.1.1:81"), 300_000);
    transfer(&net.b, &net.a, addr("[fd00::1]:81"), 300_000);
    let snmp = net.r.proc_read("/proc/net/snmp").unwrap();
    assert!(snmp.contains("\nIp: 1 64 "), "{snmp}");
    // Segments that came as one were handed on as one.
    let forwarded = net.r.with_layer(|r| r.stack().counters().ip_forw_datagrams);
    assert!((40..400).contains(&forwarded), "{forwarded}");
    assert!(net.right.counters_from(End::B).sent > 200);
}

#[test]
fn who_does_not_forward_is_no_router() {
    let net = line(1);
    net.r.set_sysctl("net.ipv4.ip_forward", "0").unwrap();
    let socket = UdpSocket::bind(&net.b, addr("10.0.1.1:9")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let sender = UdpSocket::bind(&net.a, addr("0.0.0.0:0")).unwrap();
    sender.send_to(b"lost", addr("10.0.1.1:9")).unwrap();
    let mut buf = [0; 8];
    assert_eq!(
        socket.recv(&mut buf).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    net.r.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    sender.send_to(b"there", addr("10.0.1.1:9")).unwrap();
    assert_eq!(socket.recv(&mut buf).unwrap(), 5);
}

/// IP_TTL 1 and IP_RECVERR: what traceroute does.
#[test]
fn the_first_router_answers_for_the_last_hop() {
    let net = line(1);
    let socket = UdpSocket::bind(&net.a, addr("0.0.0.0:0")).unwrap();
    for (name, value) in [(2, 1i32), (11, 1)] {
        socket.set_option(0, name, &value.to_ne_bytes()).unwrap();
    }
    socket.send_to(b"x", addr("10.0.1.1:9")).unwrap();
    let before = net.net.now();
    let error = socket.recv(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
    assert_eq!(net.net.now() - before, 20 * MS);
}

#[test]
fn no_route_is_told_by_the_host_and_by_the_router() {
    let net = line(1);
    let nowhere = addr("192.0.2.1:9");
    let error = UdpSocket::bind(&net.r, addr("0.0.0.0:0"))
        .unwrap()
        .send_to(b"x", nowhere)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    // The host has a default route; its router has none.
    let error = TcpStream::connect(&net.a, nowhere).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    // A router must be a neighbour.
    let error = net
        .a
        .add_route(ip("192.0.2.0"), 24, ip("172.16.0.1"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
}

#[test]
fn segments_and_links_together() {
    let net = Net::virtual_time(1);
    let hosts: Vec<Host> = (0..4)
        .map(|n| net.host(&format!("h{n}")).build().unwrap())
        .collect();
    let lans = [(); 2].map(|()| net.segment(SegmentConfig::default()));
    // h0 and h1 on the first, h1 to h3 on the second.
    lans[0].join(&hosts[0], &[(ip("10.1.0.1"), 24)]).unwrap();
    lans[0].join(&hosts[1], &[(ip("10.1.0.2"), 24)]).unwrap();
    for (n, host) in hosts.iter().enumerate().skip(1) {
        let address = ip(&format!("10.2.0.{n}"));
        let eth = lans[1].join(host, &[(address, 24)]).unwrap();
        assert_eq!(eth.name(), if n == 1 { "eth1" } else { "eth0" });
    }
    let taken = lans[1].join(&hosts[0], &[(ip("10.2.0.3"), 24)]);
    assert_eq!(taken.err().map(|e| e.kind()), Some(ErrorKind::InvalidInput));
    hosts[1].set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    hosts[0]
        .add_route(ip("10.2.0.0"), 24, ip("10.1.0.2"))
        .unwrap();
    hosts[3].default_route(ip("10.2.0.1")).unwrap();
    transfer(&hosts[0], &hosts[3], addr("10.2.0.3:80"), 100_000);
    transfer(&hosts[2], &hosts[3], addr("10.2.0.3:81"), 100_000);
    // A broadcast stays on its segment.
    let heard: Vec<UdpSocket> = hosts
        .iter()
        .map(|host| UdpSocket::bind(host, addr("0.0.0.0:67")).unwrap())
        .collect();
    heard[2].set_broadcast(true).unwrap();
    heard[2].send_to(b"all", addr("10.2.0.255:67")).unwrap();
    net.advance(MS);
    for (n, socket) in heard.iter().enumerate() {
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).is_ok(), n > 0, "{n}");
    }
}

#[test]
fn a_partition_heals() {
    let net = line(1);
    let listener = TcpListener::bind(&net.b, addr("10.0.1.1:80")).unwrap();
    let mut client = TcpStream::connect(&net.a, addr("10.0.1.1:80")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let cut = net.net.partition(&[&net.a], &[&net.b]);
    client.write_all(b"late").unwrap();
    net.net.advance(Duration::from_secs(3));
    server.set_nonblocking(true).unwrap();
    let mut buf = [0; 8];
    assert_eq!(
        server.read(&mut buf).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    // The router is on nobody's side.
    transfer(&net.a, &net.r, addr("10.0.0.254:80"), 1000);
    net.net.heal(cut);
    server.set_nonblocking(false).unwrap();
    assert_eq!(server.read(&mut buf).unwrap(), 4);
    let _cut = net.net.partition(&[&net.a], &[&net.r, &net.b]);
    let router = UdpSocket::bind(&net.r, addr("0.0.0.0:9")).unwrap();
    router
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let sender = UdpSocket::bind(&net.a, addr("0.0.0.0:0")).unwrap();
    sender.send_to(b"lost", addr("10.0.0.254:9")).unwrap();
    assert_eq!(
        router.recv(&mut buf).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    net.net.heal_all();
    sender.send_to(b"again", addr("10.0.0.254:9")).unwrap();
    assert_eq!(router.recv(&mut buf).unwrap(), 5);
}

#[test]
fn a_link_goes_down_and_tcp_survives_it() {
    let net = line(1);
    let listener = TcpListener::bind(&net.b, addr("10.0.1.1:80")).unwrap();
    let mut client = TcpStream::connect(&net.a, addr("10.0.1.1:80")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    net.right.set_up(false);
    client.write_all(b"hello").unwrap();
    net.net.advance(Duration::from_secs(5));
    assert!(net.right.counters_from(End::B).down >= 3);
    net.right.set_up(true);
    let mut buf = [0; 8];
    assert_eq!(server.read(&mut buf).unwrap(), 5);
    assert!(net.net.now() < Duration::from_secs(15));
}

#[test]
fn a_bad_link_loses_no_data() {
    let net = line(7);
    net.left.change(|config| {
        config.loss = Loss::percent(2.0);
        config.corrupt = Chance::percent(2.0);
        config.duplicate = Chance::percent(2.0);
        config.delay.jitter = 3 * MS;
    });
    transfer(&net.a, &net.b, addr("10.0.1.1:80"), 500_000);
    let c = net.left.counters_from(End::A);
    assert!(c.lost > 0 && c.corrupted > 0 && c.duplicated > 0, "{c:?}");
    // What was changed has arrived, and its checksum was wrong.
    let wrong = net.b.with_layer(|b| b.stack().counters().tcp_in_errs);
    assert!(wrong > 0);
}

#[test]
fn a_rate_is_the_rate_of_what_arrives() {
    let net = line(1);
    let rate = |config: &mut PipeConfig| {
        config.rate = Some(Rate::bits(8_000_000));
        config.queue = QueueConfig::Codel(CodelConfig::default());
    };
    net.left.change_from(End::A, rate);
    let before = net.net.now();
    transfer(&net.a, &net.b, addr("10.0.1.1:80"), 2_000_000);
    let took = (net.net.now() - before).as_secs_f64();
    // Two megabytes at a megabyte a second, and headers.
    assert!((2.0..3.5).contains(&took), "{took}");
    // It is changed while it runs.
    net.left
        .change_from(End::A, |config| config.rate = Some(Rate::bits(80_000_000)));
    let before = net.net.now();
    transfer(&net.a, &net.b, addr("10.0.1.1:81"), 2_000_000);
    assert!((net.net.now() - before).as_secs_f64() < 1.2);
}

#[test]
fn the_short_form_is_a_cable_too() {
    let net = Net::virtual_time(1);
    let host = |name, address| net.host(name).address(ip(address), 24).build().unwrap();
    let (a, b) = (host("a", "10.0.0.1"), host("b", "10.0.0.2"));
    let eth0 = a.interface("eth0").unwrap();
    assert!(a.interface("lo").is_none());
    eth0.change(Cable::Down, |config| config.loss = Loss::percent(100.0));
    let socket = UdpSocket::bind(&a, addr("10.0.0.1:9")).unwrap();
    let other = UdpSocket::bind(&b, addr("10.0.0.2:9")).unwrap();
    other.send_to(b"x", addr("10.0.0.1:9")).unwrap();
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 8]).is_err());
    assert_eq!(eth0.counters(Cable::Down).lost, 1);
    assert_eq!(
        eth0.config(Cable::Up),
        PipeConfig {
            limit: 20_000,
            ..PipeConfig::default()
        }
    );
}
