//! connect, listen, accept: stream and seqpacket alike.

use super::*;

const BOTH: [i32; 2] = [SOCK_STREAM, SOCK_SEQPACKET];

#[test]
fn a_connection_stands_before_it_is_accepted() {
    for ty in BOTH {
        let mut w = World::new();
        let listener = w.listener(ty, b"\0x", 0);
        assert_eq!(w.poll(listener), 0);
        let client = w.client(ty, b"\0x").unwrap();
        assert_eq!(w.wakes(), [(listener, PollMask::READABLE)]);
        assert_eq!((w.poll(listener), w.poll(client)), (IN, OUT));
        assert_eq!(
            (w.peer(client).unwrap(), w.name(client)),
            (b"\0x".to_vec(), vec![])
        );
        assert_eq!(w.send(client, b"early"), Ok(5));
        let (server, peer) = w.accept(listener).unwrap();
        assert_eq!(peer, b"");
        assert_eq!(
            (w.name(server), w.peer(server).unwrap()),
            (b"\0x".to_vec(), vec![])
        );
        assert_eq!(w.poll(server), IN | OUT);
        assert_eq!(w.recv(server, 10), Ok(bytes(b"early")));
        assert_eq!(w.send(server, b"hello"), Ok(5));
        assert_eq!(w.recv(client, 10), Ok(bytes(b"hello").from(b"\0x")));
        assert_eq!(w.accept(listener), Err(Errno::EAGAIN));
    }
}

#[test]
fn listeners_and_what_they_refuse() {
    for ty in BOTH {
        let mut w = World::new();
        let s = w.socket(ty);
        assert_eq!(w.listen(s, 1), Err(Errno::EINVAL));
        assert_eq!(w.accept(s), Err(Errno::EINVAL));
        let listener = w.listener(ty, b"\0x", 1);
        let expected = if ty == SOCK_STREAM {
            Errno::EINVAL
        } else {
            Errno::ENOTCONN
        };
        assert_eq!(w.recv(listener, 1), Err(expected));
        assert_eq!(w.send(listener, b"x"), Err(Errno::ENOTCONN));
        assert_eq!(w.connect(listener, b"\0x"), Err(Errno::EINVAL));
        assert_eq!(w.connect(listener, b"\0gone"), Err(Errno::ECONNREFUSED));
        assert_eq!(w.peer(listener), Err(Errno::ENOTCONN));
        assert_eq!(w.host.unix_inq(listener), Err(Errno::EINVAL));
        let (a, b) = w.pair(ty);
        assert_eq!(w.listen(a, 1), Err(Errno::EINVAL));
        w.bind(a, b"\0pair").unwrap();
        assert_eq!(w.listen(a, 1), Err(Errno::EINVAL));
        assert_eq!(w.accept(a), Err(Errno::EINVAL));
        w.send(a, b"x").unwrap();
        assert_eq!(w.recv(b, 4), Ok(bytes(b"x").from(b"\0pair")));
        assert_eq!(w.connect(a, b"\0gone"), Err(Errno::ECONNREFUSED));
        assert_eq!(w.connect(a, b"\0x"), Err(Errno::EISCONN));
    }
}

#[test]
fn the_backlog_holds_one_more_than_it_says() {
    for ty in BOTH {
        let mut w = World::new();
        let listener = w.listener(ty, b"\0x", 0);
        let first = w.client(ty, b"\0x").unwrap();
        assert_eq!(w.client(ty, b"\0x"), Err(Errno::EAGAIN));
        // The listener is looked at first, full as it is.
        assert_eq!(w.connect(first, b"\0x"), Err(Errno::EAGAIN));
        w.accept(listener).unwrap();
        assert_eq!(w.connect(first, b"\0x"), Err(Errno::EISCONN));
        w.client(ty, b"\0x").unwrap();
        assert_eq!(w.client(ty, b"\0x"), Err(Errno::EAGAIN));
        w.listen(listener, 1).unwrap();
        w.client(ty, b"\0x").unwrap();
        assert_eq!(w.client(ty, b"\0x"), Err(Errno::EAGAIN));
    }
}

#[test]
fn the_listener_closes_on_those_it_has_not_accepted() {
    let gone = IN | OUT | HUP | RDHUP;
    for ty in BOTH {
        let mut w = World::new();
        let listener = w.listener(ty, b"\0y", 5);
        let client = w.client(ty, b"\0y").unwrap();
        w.sendmsg(client, b"zz", &files(&[3])).unwrap();
        w.wakes();
        w.close(listener);
        assert!(w.wakes().contains(&(client, PollMask::all())));
        assert_eq!(w.released(), [3]);
        assert_eq!(w.poll(client), gone | ERR);
        if ty == SOCK_STREAM {
            assert!(w.sigpipe(client));
            assert_eq!(w.recv(client, 5), Err(Errno::ECONNRESET));
        } else {
            assert_eq!(w.send(client, b"x"), Err(Errno::ECONNRESET));
            assert!(!w.sigpipe(client));
        }
        assert_eq!(w.recv(client, 5), Ok(bytes(b"")));
        assert_eq!(w.poll(client), gone);
        assert_eq!(w.peer(client).unwrap(), b"\0y");
        w.close(client);
        assert_eq!(w.host.socket_count(), 0);
        // The name is free again.
        w.listener(ty, b"\0y", 5);
    }
}

#[test]
fn the_client_closes_before_it_is_accepted() {
    let gone = IN | OUT | HUP | RDHUP;
    for ty in BOTH {
        let mut w = World::new();
        let listener = w.listener(ty, b"\0z", 5);
        let client = w.client(ty, b"\0z").unwrap();
        w.send(client, b"q").unwrap();
        w.bind(client, b"\0cname").unwrap();
        w.close(client);
        assert_eq!(w.poll(listener), IN);
        let (server, peer) = w.accept(listener).unwrap();
        assert_eq!(peer, b"\0cname");
        assert_eq!(w.poll(server), gone);
        assert_eq!(w.recv(server, 9), Ok(bytes(b"q").from(b"\0cname")));
        assert_eq!(w.recv(server, 9), Ok(bytes(b"")));
        assert_eq!(w.send(server, b"x"), Err(Errno::EPIPE));
    }
}

#[test]
fn a_listener_shut_down_refuses() {
    for ty in BOTH {
        let mut w = World::new();
        let listener = w.listener(ty, b"\0z", 5);
        w.shutdown(listener, SHUT_WR);
        assert_eq!(w.poll(listener), 0);
        w.client(ty, b"\0z").unwrap();
        w.shutdown(listener, SHUT_RD);
        assert_eq!(w.client(ty, b"\0z"), Err(Errno::ECONNREFUSED));
        // Who is in the queue is in.
        w.accept(listener).unwrap();
        assert_eq!(w.accept(listener), Err(Errno::EAGAIN));
        let blocking = w
            .with(|h, cx| h.attempt_accept(cx, listener, false))
            .map(|_| ());
        assert_eq!(blocking, Err(Errno::EINVAL.into()));
        w.listen(listener, 3).unwrap();
        assert_eq!(w.client(ty, b"\0z"), Err(Errno::ECONNREFUSED));
    }
}

#[test]
fn types_have_names_of_their_own() {
    let mut w = World::new();
    w.listener(SOCK_STREAM, b"\0w", 5);
    assert_eq!(w.client(SOCK_SEQPACKET, b"\0w"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.client(SOCK_DGRAM, b"\0w"), Err(Errno::ECONNREFUSED));
    w.bound(SOCK_DGRAM, b"\0w");
    w.listener(SOCK_STREAM, b"/w", 5);
    assert_eq!(w.client(SOCK_SEQPACKET, b"/w"), Err(Errno::EPROTOTYPE));
    assert_eq!(w.client(SOCK_DGRAM, b"/w"), Err(Errno::EPROTOTYPE));
    w.bound(SOCK_STREAM, b"/unheard");
    assert_eq!(w.client(SOCK_STREAM, b"/unheard"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.client(SOCK_STREAM, b"/nothing"), Err(Errno::ENOENT));
}

#[test]
fn shut_down_before_connecting() {
    let mut w = World::new();
    let listener = w.listener(SOCK_STREAM, b"\0x", 5);
    let client = w.socket(SOCK_STREAM);
    w.shutdown(client, SHUT_WR);
    w.connect(client, b"\0x").unwrap();
    assert_eq!(w.poll(client), OUT);
    assert!(w.sigpipe(client));
    let (server, _) = w.accept(listener).unwrap();
    assert_eq!(w.poll(server), OUT);
}

#[test]
fn what_connect_makes_of_addresses() {
    let mut w = World::new();
    let s = w.socket(SOCK_STREAM);
    for raw in [&b"\0\0"[..], b"\x01\0", b"\x02\0aa", b"\x01", b""] {
        assert_eq!(
            w.try_connect(s, raw, true),
            Err(Errno::EINVAL.into()),
            "{raw:?}"
        );
    }
    assert_eq!(w.try_connect(s, &[1; 111], true), Err(Errno::EINVAL.into()));
}

#[test]
fn datagram_sockets_do_not_listen() {
    let mut w = World::new();
    let s = w.bound(SOCK_DGRAM, b"\0d");
    assert_eq!(w.listen(s, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(w.accept(s), Err(Errno::EOPNOTSUPP));
}
