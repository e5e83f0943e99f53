//! The way in and out: a virtual host behind a gateway made of the real host's sockets. The outside is the real host's own
//! loopback, under a name of its own.
#![allow(missing_docs)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, IpAddr, Shutdown, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use switchboard::{
    Gateway, Host, NatConfig, Net, Publish, PublishProtocol, TcpListener, TcpStream, UdpSocket,
};

/// What the real host's loopback is called.
const NAMES: [&str; 2] = ["10.0.2.4", "fd00::4"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(addr: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(addr), port)
}

fn config() -> NatConfig {
    NatConfig {
        host_loopback: NAMES.map(ip).into(),
        ..NatConfig::default()
    }
}

fn behind(config: NatConfig) -> (Host, Gateway) {
    let net = Net::real_time().unwrap();
    let host = net.host("inside").build().unwrap();
    let gateway = net.nat(&host, config).unwrap();
    (host, gateway)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Both versions: the name inside, and the address outside.
const WAYS: [(&str, &str); 2] = [("10.0.2.4", "127.0.0.1"), ("fd00::4", "::1")];

#[test]
fn streams_cross_and_close_by_halves() {
    for (name, real) in WAYS {
        let (host, gateway) = behind(config());
        let listener = net::TcpListener::bind(at(real, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let echo = thread::spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            let mut all = Vec::new();
            // The end comes before anything is answered.
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
            (all.len(), peer)
        });
        let mut stream = TcpStream::connect(&host, at(name, port)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), at(name, port));
        let own = stream.local_addr().unwrap();
        let sent = pattern(3_000_000);
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == sent, "{} bytes came back", back.len());
        let (len, peer) = echo.join().unwrap();
        assert_eq!(len, sent.len());
        // The port outside is the one inside, where it is free: nearly always.
        assert_eq!(peer.ip(), ip(real));
        assert_ne!(own.port(), 0);
        drop(stream);
        assert_eq!(gateway.counts().udp, 0);
    }
}

#[test]
fn nobody_listens() {
    for (name, real) in WAYS {
        let (host, gateway) = behind(config());
        let free = net::TcpListener::bind(at(real, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let error = TcpStream::connect(&host, at(name, port)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        assert_eq!(gateway.counts().tcp, 0);
        // UDP: the ICMP error comes to a connected socket.
        let socket = UdpSocket::bind(&host, at(gateway_host(&gateway, real), 0)).unwrap();
        socket.connect(at(name, port)).unwrap();
        socket.send(b"anybody?").unwrap();
        let error = socket.recv(&mut [0; 8]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}

fn gateway_host(gateway: &Gateway, real: &str) -> &'static str {
    let addresses = gateway.addresses();
    assert_eq!(addresses.v4.host, ip("10.0.2.15"));
    assert_eq!(addresses.v6.host, ip("fd00::15"));
    if real.contains(':') {
        "fd00::15"
    } else {
        "10.0.2.15"
    }
}

#[test]
fn nothing_leads_outside_unasked() {
    let (host, _gateway) = behind(NatConfig {
        outside: false,
        ..NatConfig::default()
    });
    for (to, kind) in [
        ("192.0.2.1", ErrorKind::NetworkUnreachable),
        ("2001:db8::1", ErrorKind::NetworkUnreachable),
        // Nobody else is on the link.
        ("10.0.2.77", ErrorKind::HostUnreachable),
        ("fd00::77", ErrorKind::HostUnreachable),
        // The gateway has no sockets.
        ("10.0.2.2", ErrorKind::ConnectionRefused),
        ("fd00::3", ErrorKind::ConnectionRefused),
        // Not asked for: not there.
        ("10.0.2.4", ErrorKind::HostUnreachable),
    ] {
        let error = TcpStream::connect(&host, at(to, 80)).err().unwrap();
        assert_eq!(error.kind(), kind, "{to}: {error}");
    }
}

fn reset(stream: net::TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

fn pair(host: &Host) -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let inside = TcpStream::connect(host, at(NAMES[0], port)).unwrap();
    (inside, listener.accept().unwrap().0)
}

#[test]
fn resets_cross() {
    let (host, gateway) = behind(config());
    let (mut inside, outside) = pair(&host);
    reset(outside);
    let error = inside.read(&mut [0; 8]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let (inside, mut outside) = pair(&host);
    inside.set_linger(Some(Duration::ZERO)).unwrap();
    drop(inside);
    let error = outside.read(&mut [0; 8]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(gateway.counts().tcp, 0);
}

#[test]
fn who_does_not_read_is_not_sent_to() {
    let (host, _gateway) = behind(config());
    let (inside, mut outside) = pair(&host);
    let mut writer = inside.try_clone().unwrap();
    let all = pattern(64 << 20);
    let expected = all.clone();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = sent.clone();
    let writer = thread::spawn(move || {
        for piece in all.chunks(1 << 16) {
            writer.write_all(piece).unwrap();
            counter.fetch_add(piece.len(), std::sync::atomic::Ordering::Relaxed);
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // Until it stands still; the buffers on the way hold a few MB each.
    let mut before = usize::MAX;
    loop {
        let so_far = sent.load(std::sync::atomic::Ordering::Relaxed);
        if so_far == before {
            break;
        }
        before = so_far;
        let stall = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 300_000_000,
        };
        rustix::event::poll(&mut [], Some(&stall)).unwrap();
    }
    assert!(before < 32 << 20, "{before} bytes are on the way");
    let mut got = Vec::new();
    outside.read_to_end(&mut got).unwrap();
    assert!(got == expected);
    writer.join().unwrap();
}

#[test]
fn datagrams_cross() {
    for (name, real) in WAYS {
        let (host, gateway) = behind(config());
        let outside = net::UdpSocket::bind(at(real, 0)).unwrap();
        let port = outside.local_addr().unwrap().port();
        let inside = UdpSocket::bind(&host, at(gateway_host(&gateway, real), 0)).unwrap();
        // Of any length: longer ones come in pieces on the link.
        for len in [0, 1, 1400, 60_000, 65_000] {
            let sent = pattern(len);
            inside.send_to(&sent, at(name, port)).unwrap();
            let mut buffer = vec![0; 70_000];
            let (n, peer) = outside.recv_from(&mut buffer).unwrap();
            assert!(buffer[..n] == sent, "{n} of {len}");
            outside.send_to(&buffer[..n], peer).unwrap();
            let (n, from) = inside.recv_from(&mut buffer).unwrap();
            assert!(buffer[..n] == sent, "{n} of {len} came back");
            assert_eq!(from, at(name, port));
        }
        // Somebody else answers: the mapping is the sender's.
        let own = net::UdpSocket::bind(at(real, 0)).unwrap();
        inside.send_to(b"first", at(name, port)).unwrap();
        let (_, peer) = outside.recv_from(&mut [0; 8]).unwrap();
        own.send_to(b"other", peer).unwrap();
        let mut buffer = [0; 8];
        let (n, from) = inside.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"other");
        assert_eq!(from, at(name, own.local_addr().unwrap().port()));
        assert_eq!(gateway.counts().udp, 1);
    }
}

fn publish(gateway: &Gateway, protocol: PublishProtocol, at: SocketAddr, port: u16) -> SocketAddr {
    gateway.publish(&Publish { protocol, at, port }).unwrap()
}

#[test]
fn published_ports_lead_in() {
    for (real, seen) in [("127.0.0.1", "10.0.2.2"), ("::1", "fd00::2")] {
        // Without a way out.
        let (host, gateway) = behind(NatConfig {
            outside: false,
            ..NatConfig::default()
        });
        let any = if real.contains(':') { "::" } else { "0.0.0.0" };
        let listener = TcpListener::bind(&host, at(any, 80)).unwrap();
        let port = publish(&gateway, PublishProtocol::Tcp, at(real, 0), 80);
        assert_ne!(port.port(), 0);
        let mut client = net::TcpStream::connect(port).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        // A client on the real host itself, by its port.
        assert_eq!(peer, at(seen, client.local_addr().unwrap().port()));
        let sent = pattern(1_000_000);
        let echoed = sent.clone();
        let answer = thread::spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            server.write_all(&all).unwrap();
        });
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert!(back == echoed);
        answer.join().unwrap();
        // Nobody listens: the real host has accepted already, so that a reset is what can be said.
        drop(listener);
        let mut client = net::TcpStream::connect(port).unwrap();
        let error = client.read(&mut [0; 8]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn published_datagrams_lead_in() {
    let (host, gateway) = behind(NatConfig {
        outside: false,
        ..NatConfig::default()
    });
    let server = UdpSocket::bind(&host, at("10.0.2.15", 53)).unwrap();
    let port = publish(&gateway, PublishProtocol::Udp, at("127.0.0.1", 0), 53);
    let clients = [(), ()].map(|()| net::UdpSocket::bind("127.0.0.1:0").unwrap());
    for (n, client) in clients.iter().enumerate() {
        client.connect(port).unwrap();
        client.send(&[n as u8]).unwrap();
    }
    for _ in &clients {
        let mut buffer = [0; 8];
        let (n, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((n, from.ip()), (1, ip("10.0.2.2")));
        server.send_to(&[buffer[0] + 10], from).unwrap();
    }
    for (n, client) in clients.iter().enumerate() {
        let mut buffer = [0; 8];
        assert_eq!(client.recv(&mut buffer).unwrap(), 1);
        assert_eq!(buffer[0], n as u8 + 10);
    }
    let twice = gateway.publish(&Publish {
        protocol: PublishProtocol::Udp,
        at: at("127.0.0.1", 0),
        port: 53,
    });
    assert_eq!(twice.err().unwrap().kind(), ErrorKind::AddrInUse);
}

/// A file in the tests' own directory.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04name\0\0\x01\0\x01";

fn ask(socket: &UdpSocket) -> Vec<u8> {
    socket.send_to(QUESTION, at("10.0.2.3", 53)).unwrap();
    let mut answer = [0; 512];
    let (n, from) = socket.recv_from(&mut answer).unwrap();
    assert_eq!(from, at("10.0.2.3", 53));
    answer[..n].to_vec()
}

#[test]
fn an_offline_host_says_so_at_once() {
    // Nobody has the port there.
    let text =
        "search example.org\nnameserver 127.0.0.253\nnameserver 127.0.0.252\noptions ndots:2\n";
    let path = file("offline.conf", text);
    let (host, gateway) = behind(NatConfig {
        resolv_conf: path.clone(),
        ..NatConfig::default()
    });
    assert_eq!(
        gateway.resolv_conf(),
        "nameserver 10.0.2.3\nsearch example.org\noptions ndots:2\n"
    );
    let socket = UdpSocket::bind(&host, at("10.0.2.15", 0)).unwrap();
    let answer = ask(&socket);
    assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0x82]);
    assert_eq!(answer[12..], QUESTION[12..]);
    assert_eq!(gateway.counts().questions, 0);
    // The host comes online: port 53 is root's to bind.
    let Ok(server) = net::UdpSocket::bind("127.0.0.254:53") else {
        eprintln!("left out: a server at port 53, which this user may not bind");
        return;
    };
    std::fs::write(&path, "nameserver 127.0.0.253\nnameserver 127.0.0.254\n").unwrap();
    let server = thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 512];
        let (n, from) = server.recv_from(&mut buffer)?;
        buffer[2] |= 0x80;
        server.send_to(&buffer[..n], from)?;
        Ok(())
    });
    let answer = ask(&socket);
    assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0]);
    server.join().unwrap().unwrap();
    // By TCP too it is the second server that is there.
    let server = net::TcpListener::bind("127.0.0.254:53").unwrap();
    let server = thread::spawn(move || server.accept()?.0.write_all(b"here"));
    let mut stream = TcpStream::connect(&host, at("10.0.2.3", 53)).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"here");
    server.join().unwrap().unwrap();
    // And nobody at last.
    drop(stream);
    let error = TcpStream::connect(&host, at("10.0.2.3", 53)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn virtual_time_has_no_outside() {
    let net = Net::virtual_time(1);
    let host = net.host("inside").build().unwrap();
    let error = net.nat(&host, NatConfig::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
