//! The typed sockets, in real and in virtual time.
#![allow(missing_docs)]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;
use switchboard::{
    Host, Net, TcpListener, TcpStream, UdpSocket, UnixAddr, UnixDatagram, UnixListener, UnixStream,
};

fn addr(s: &str) -> SocketAddr {
    s.parse().unwrap()
}

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

fn alone(net: &Net) -> Host {
    net.host("alone").build().unwrap()
}

#[test]
fn tcp_between_threads_in_real_time() {
    let net = Net::real_time().unwrap();
    let host = alone(&net);
    let listener = TcpListener::bind(&host, addr("127.0.0.1:7000")).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&(all.len() as u64).to_le_bytes()).unwrap();
        all
    });
    let mut client = TcpStream::connect(&host, addr("127.0.0.1:7000")).unwrap();
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    client.write_all(&data).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut count = [0; 8];
    client.read_exact(&mut count).unwrap();
    assert_eq!(u64::from_le_bytes(count), data.len() as u64);
    assert!(server.join().unwrap() == data);
    drop(client);
    // TIME_WAIT is the engine's, not a socket's.
    assert_eq!(host.socket_count(), 0);
}

#[test]
fn two_hosts_in_virtual_time() {
    let net = Net::virtual_time(1);
    let delay = Duration::from_millis(50);
    let a = net
        .host("a")
        .address(ip("10.0.0.1"), 24)
        .delay(delay)
        .build()
        .unwrap();
    let b = net
        .host("b")
        .address(ip("10.0.0.2"), 24)
        .delay(delay)
        .build()
        .unwrap();
    let listener = TcpListener::bind(&b, addr("10.0.0.2:80")).unwrap();
    // Nobody has to ask for hardware addresses.
    net.know_neighbours();
    assert_eq!(net.now(), Duration::ZERO);
    let mut client = TcpStream::connect(&a, addr("10.0.0.2:80")).unwrap();
    // A SYN there, a SYN-ACK back.
    assert_eq!(net.now(), 2 * delay);
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(net.now(), 3 * delay);
    client.write_all(b"ping").unwrap();
    let mut buf = [0; 4];
    server.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"ping");
    assert_eq!(net.now(), 4 * delay);
    // Nobody is there: the kernel's error after the kernel's wait.
    let refused = TcpStream::connect(&a, addr("10.0.0.2:81")).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(client);
    assert_eq!(server.read(&mut buf).unwrap(), 0);
}

#[test]
fn the_same_seed_gives_the_same_times_and_ports() {
    let run = |seed| {
        let net = Net::virtual_time(seed);
        let delay = Duration::from_millis(7);
        let a = net
            .host("a")
            .address(ip("10.0.0.1"), 24)
            .delay(delay)
            .build()
            .unwrap();
        let b = net
            .host("b")
            .address(ip("10.0.0.2"), 24)
            .delay(delay)
            .build()
            .unwrap();
        let listener = TcpListener::bind(&b, addr("10.0.0.2:80")).unwrap();
        let mut client = TcpStream::connect(&a, addr("10.0.0.2:80")).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        let data = vec![7; 100_000];
        let mut all = vec![0; data.len()];
        let (mut sent, mut got) = (0, 0);
        client.set_nonblocking(true).unwrap();
        while got < data.len() {
            match client.write(&data[sent..]) {
                Ok(n) => sent += n,
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            got += server.read(&mut all[got..]).unwrap();
        }
        assert!(all == data);
        (peer.port(), net.now())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}

#[test]
fn a_wait_that_nothing_can_end_is_an_error_in_virtual_time() {
    let net = Net::virtual_time(1);
    let host = alone(&net);
    let (a, _b) = UnixStream::pair(&host).unwrap();
    let mut buf = [0; 1];
    let error = (&a).read(&mut buf).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    a.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(
        (&a).read(&mut buf).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert_eq!(net.now(), Duration::from_secs(5));
}

#[test]
fn udp_with_names_and_refusal() {
    let net = Net::virtual_time(1);
    let host = alone(&net);
    let a = UdpSocket::bind(&host, addr("127.0.0.1:5000")).unwrap();
    let b = UdpSocket::bind(&host, addr("127.0.0.1:0")).unwrap();
    assert_eq!(b.send_to(b"hi", addr("127.0.0.1:5000")).unwrap(), 2);
    let mut buf = [0; 16];
    let (n, from) = a.recv_from(&mut buf).unwrap();
    assert_eq!((n, from), (2, b.local_addr().unwrap()));
    b.connect(addr("127.0.0.1:5001")).unwrap();
    assert_eq!(b.send(b"x").unwrap(), 1);
    assert_eq!(
        b.send(b"x").unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn unix_sockets_by_path_and_by_abstract_name() {
    let net = Net::real_time().unwrap();
    let host = alone(&net);
    for name in [UnixAddr::path("/run/x"), UnixAddr::abstract_name("x")] {
        let listener = UnixListener::bind(&host, &name).unwrap();
        assert_eq!(listener.local_addr().unwrap(), name);
        let mut client = UnixStream::connect(&host, &name).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed());
        server.write_all(b"welcome").unwrap();
        let mut buf = [0; 7];
        client.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"welcome");
        assert_eq!(client.peer_addr().unwrap(), name);
    }
    let error = UnixListener::bind(&host, &UnixAddr::path("/run/x"))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(host.unlink(b"/run/x"));
    let a = UnixDatagram::bind(&host, &UnixAddr::path("/run/x")).unwrap();
    let b = UnixDatagram::unbound(&host).unwrap();
    assert_eq!(b.send_to(b"1", &UnixAddr::path("/run/x")).unwrap(), 1);
    let mut buf = [0; 4];
    let (n, from) = a.recv_from(&mut buf).unwrap();
    assert!(n == 1 && from.is_unnamed());
}

#[test]
fn read_timeout_in_real_time() {
    let net = Net::real_time().unwrap();
    let host = alone(&net);
    let (a, _b) = UnixDatagram::pair(&host).unwrap();
    a.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    let before = net.now();
    assert_eq!(
        a.recv(&mut [0; 1]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert!(net.now() - before >= Duration::from_millis(30));
}

#[test]
fn two_hosts_in_real_time_with_a_delay() {
    let net = Net::real_time().unwrap();
    let delay = Duration::from_millis(5);
    let a = net
        .host("a")
        .address(ip("10.0.0.1"), 24)
        .delay(delay)
        .build()
        .unwrap();
    let b = net
        .host("b")
        .address(ip("10.0.0.2"), 24)
        .delay(delay)
        .build()
        .unwrap();
    let listener = TcpListener::bind(&b, addr("10.0.0.2:80")).unwrap();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buf = [0; 64];
        loop {
            match stream.read(&mut buf).unwrap() {
                0 => return,
                n => stream.write_all(&buf[..n]).unwrap(),
            }
        }
    });
    let mut client = TcpStream::connect(&a, addr("10.0.0.2:80")).unwrap();
    let before = net.now();
    for i in 0..10u8 {
        client.write_all(&[i]).unwrap();
        let mut buf = [0; 1];
        client.read_exact(&mut buf).unwrap();
        assert_eq!(buf, [i]);
    }
    assert!(net.now() - before >= 20 * delay);
    drop(client);
    echo.join().unwrap();
}

#[test]
fn an_address_belongs_to_one_host() {
    let net = Net::virtual_time(1);
    let _a = net.host("a").address(ip("10.0.0.1"), 24).build().unwrap();
    assert!(net.host("b").address(ip("10.0.0.1"), 24).build().is_err());
    assert!(net.host("c").address(ip("224.0.0.1"), 24).build().is_err());
}
