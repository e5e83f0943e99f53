//! Hosts behind routers that translate, in virtual time.
#![allow(missing_docs)]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use switchboard::{Host, NatKind, Net, Segment, SegmentConfig, TcpListener, TcpStream, UdpSocket};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A host at 192.168.1.2, behind a router with this address on the outside.
fn behind(net: &Net, outside: &Segment, address: &str, kind: NatKind) -> (Host, Host) {
    let router = net.host("router").build().unwrap();
    let host = net.host("host").build().unwrap();
    let outer = outside.join(&router, &[(ip(address), 24)]).unwrap();
    let lan = net.segment(SegmentConfig::default());
    lan.join(&router, &[(ip("192.168.1.1"), 24)]).unwrap();
    lan.join(&host, &[(ip("192.168.1.2"), 24)]).unwrap();
    host.default_route(ip("192.168.1.1")).unwrap();
    router.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    router.set_nat(&outer, Some(kind)).unwrap();
    (host, router)
}

struct Lab {
    net: Net,
    server: Host,
    a: Host,
    b: Host,
}

fn lab(a: NatKind, b: NatKind) -> Lab {
    let net = Net::virtual_time(7);
    let outside = net.segment(SegmentConfig::default());
    let server = net.host("server").build().unwrap();
    outside.join(&server, &[(ip("203.0.113.9"), 24)]).unwrap();
    let (a, _) = behind(&net, &outside, "203.0.113.1", a);
    let (b, _) = behind(&net, &outside, "203.0.113.2", b);
    Lab { net, server, a, b }
}

fn socket(host: &Host) -> UdpSocket {
    let socket = UdpSocket::bind(host, addr("0.0.0.0:4000")).unwrap();
    let wait = Some(Duration::from_millis(100));
    socket.set_read_timeout(wait).unwrap();
    socket
}

/// Both tell a server who they are, learn of each other, and send to each other: whether both hear the other.
fn punch(a: NatKind, b: NatKind) -> bool {
    let lab = lab(a, b);
    let server = UdpSocket::bind(&lab.server, addr("203.0.113.9:3478")).unwrap();
    let peers = [socket(&lab.a), socket(&lab.b)];
    let mut buf = [0; 64];
    let mut seen = Vec::new();
    for peer in &peers {
        peer.send_to(b"here", addr("203.0.113.9:3478")).unwrap();
        let (_, from) = server.recv_from(&mut buf).unwrap();
        assert!(from.ip().to_string().starts_with("203.0.113."), "{from}");
        seen.push(from);
    }
    for n in 0..2 {
        let text = seen[1 - n].to_string();
        server.send_to(text.as_bytes(), seen[n]).unwrap();
    }
    let mut other = Vec::new();
    for peer in &peers {
        let n = peer.recv(&mut buf).unwrap();
        other.push(std::str::from_utf8(&buf[..n]).unwrap().parse().unwrap());
    }
    // Some get lost on a port that is not open yet, so it is tried again; answers go to where they came from.
    let mut heard = [false; 2];
    for _ in 0..5 {
        for n in 0..2 {
            peers[n].send_to(b"hello", other[n]).unwrap();
        }
        lab.net.advance(Duration::from_millis(50));
        for n in 0..2 {
            if let Ok((_, from)) = peers[n].recv_from(&mut buf) {
                heard[n] = true;
                other[n] = from;
            }
        }
    }
    heard == [true, true]
}

#[test]
fn holes_are_punched_between_cones_and_not_between_symmetric_ones() {
    use NatKind::{FullCone, PortRestricted, Symmetric};
    for (a, b, works) in [
        (FullCone, FullCone, true),
        (FullCone, PortRestricted, true),
        (PortRestricted, PortRestricted, true),
        (FullCone, Symmetric, true),
        // Its port for the other is not the one that the server saw, and nobody can tell which it is.
        (PortRestricted, Symmetric, false),
        (Symmetric, Symmetric, false),
    ] {
        assert_eq!(punch(a, b), works, "{a:?} and {b:?}");
        assert_eq!(punch(b, a), works, "{b:?} and {a:?}");
    }
}

#[test]
fn tcp_passes_outwards_only() {
    for kind in [
        NatKind::FullCone,
        NatKind::PortRestricted,
        NatKind::Symmetric,
    ] {
        let lab = lab(kind, kind);
        let listener = TcpListener::bind(&lab.server, addr("203.0.113.9:80")).unwrap();
        let mut client = TcpStream::connect(&lab.a, addr("203.0.113.9:80")).unwrap();
        let (mut server, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), ip("203.0.113.1"));
        client.write_all(b"request").unwrap();
        let mut buf = [0; 7];
        server.read_exact(&mut buf).unwrap();
        server.write_all(&buf).unwrap();
        client.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"request");
        // Nobody listens, and the answer that says so comes back.
        let error = TcpStream::connect(&lab.a, addr("203.0.113.9:81")).err();
        assert_eq!(error.unwrap().kind(), ErrorKind::ConnectionRefused);
        // The router itself answers, since nobody behind it asked.
        let error = TcpStream::connect(&lab.server, addr("203.0.113.1:80")).err();
        assert_eq!(error.unwrap().kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn a_router_tells_those_behind_it_that_nobody_is_there() {
    let lab = lab(NatKind::PortRestricted, NatKind::PortRestricted);
    let before = lab.net.now();
    let error = TcpStream::connect(&lab.a, addr("203.0.113.77:80")).err();
    assert_eq!(error.unwrap().kind(), ErrorKind::HostUnreachable);
    let took = lab.net.now() - before;
    assert_eq!(took, Duration::from_secs(3));
    // A datagram to a port that nobody has.
    let socket = UdpSocket::bind(&lab.a, addr("0.0.0.0:0")).unwrap();
    socket.connect(addr("203.0.113.9:9")).unwrap();
    socket.send(b"x").unwrap();
    let error = socket.recv(&mut [0; 8]).err();
    assert_eq!(error.unwrap().kind(), ErrorKind::ConnectionRefused);
}
