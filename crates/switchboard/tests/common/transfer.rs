//! A transfer that arrives whole.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use switchboard::{Host, TcpListener, TcpStream};

/// Sends so many bytes from a client to a server; both ends, when the server has them all.
pub(crate) fn transfer(from: &Host, to: &Host, addr: SocketAddr, len: usize) -> [TcpStream; 2] {
    let listener = TcpListener::bind(to, addr).unwrap();
    let mut client = TcpStream::connect(from, addr).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
    let mut all = vec![0; len];
    let (mut sent, mut got) = (0, 0);
    client.set_nonblocking(true).unwrap();
    while got < len {
        match client.write(&data[sent..]) {
            Ok(n) => sent += n,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let n = server.read(&mut all[got..]).unwrap();
        assert_ne!(n, 0);
        got += n;
    }
    assert!(all == data);
    [client, server]
}
