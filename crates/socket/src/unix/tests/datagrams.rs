//! Datagrams and sequenced packets.

use super::*;

const DG: i32 = SOCK_DGRAM;
const SQ: i32 = SOCK_SEQPACKET;

#[test]
fn messages_keep_their_boundaries() {
    for ty in [DG, SQ] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        w.send(a, b"abc").unwrap();
        w.send(a, b"de").unwrap();
        w.send(a, b"").unwrap();
        // Of a datagram socket SIOCINQ tells the first message only.
        assert_eq!(w.inq(b), if ty == DG { 3 } else { 5 });
        assert_eq!(w.outq(a), 3 * 768);
        assert_eq!(w.recvmsg(b, 2, MSG_PEEK), Ok(bytes(b"ab").cut()));
        assert_eq!(w.recv(b, 2), Ok(bytes(b"ab").cut()));
        assert_eq!(w.recv(b, 10), Ok(bytes(b"de")));
        assert_eq!(w.poll(b), IN | OUT);
        assert_eq!(w.recv(b, 10), Ok(bytes(b"")));
        assert_eq!(w.recv(b, 10), Err(Errno::EAGAIN));
        w.send(a, b"gone").unwrap();
        assert_eq!(w.recv(b, 0), Ok(bytes(b"").cut()));
        assert_eq!(w.recv(b, 10), Err(Errno::EAGAIN));
    }
}

#[test]
fn trunc_asks_for_the_real_length() {
    for ty in [DG, SQ] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        w.send(a, b"abcdef").unwrap();
        for (flags, ret) in [(MSG_TRUNC | MSG_PEEK, 6), (MSG_PEEK, 2), (MSG_TRUNC, 6)] {
            let mut progress = RecvProgress::default();
            let got = w.try_recv(b, 2, flags, Skip::default(), &mut progress, true);
            let got = got.unwrap().unwrap();
            assert_eq!(
                (got.ret, got.msg_flags, got.data.len()),
                (ret, MSG_TRUNC, 2)
            );
        }
    }
}

#[test]
fn sizes() {
    for ty in [DG, SQ] {
        let mut w = World::new();
        let (a, _b) = w.pair(ty);
        assert_eq!(w.send(a, &[0; 212_961]), Err(Errno::EMSGSIZE));
        assert_eq!(w.send(a, &[0; 212_960]), Ok(212_960));
        assert_eq!(w.outq(a), 332_032);
        assert_eq!(w.send(a, b""), Err(Errno::EAGAIN));
        let (a, b) = w.pair(ty);
        // A connected pair is bounded by the sender's memory alone.
        assert_eq!(core::iter::from_fn(|| w.send(a, b"x").ok()).count(), 278);
        for _ in 0..208 {
            w.recv(b, 1).unwrap();
            assert_eq!(w.poll(a), 0);
        }
        w.recv(b, 1).unwrap();
        assert_eq!(w.poll(a), OUT);
    }
}

#[test]
fn the_queue_of_a_socket_for_all_is_bounded_by_count() {
    let mut w = World::new();
    let r = w.bound(DG, b"\0rx");
    let c = w.client(DG, b"\0rx").unwrap();
    let d = w.socket(DG);
    assert_eq!(core::iter::from_fn(|| w.send(c, b"x").ok()).count(), 11);
    assert_eq!((w.poll(c), w.poll(d), w.poll(r)), (0, OUT, IN | OUT));
    assert_eq!(w.sendto(d, b"x", b"\0rx"), Err(Errno::EAGAIN));
    w.wakes();
    // What it sends to itself is not bounded so.
    assert_eq!(w.sendto(r, b"self", b"\0rx"), Ok(4));
    w.recv(r, 1).unwrap();
    assert_eq!((w.poll(c), w.send(c, b"x")), (0, Err(Errno::EAGAIN)));
    w.wakes();
    w.recv(r, 1).unwrap();
    assert_eq!(w.wakes(), [(c, PollMask::WRITABLE)]);
    assert_eq!((w.poll(c), w.send(c, b"x")), (OUT, Ok(1)));
    w.close(r);
    assert_eq!(w.poll(c), OUT);
    assert_eq!(w.outq(c), 0);
}

#[test]
fn a_connected_socket_takes_from_its_peer_only() {
    let mut w = World::new();
    let a = w.bound(DG, b"\0a");
    let b = w.bound(DG, b"\0b");
    let x = w.bound(DG, b"\0x");
    w.connect(a, b"\0b").unwrap();
    assert_eq!(w.sendto(b, b"hi", b"\0a"), Ok(2));
    assert_eq!(w.recv(a, 5), Ok(bytes(b"hi").from(b"\0b")));
    assert_eq!(w.sendto(x, b"q", b"\0a"), Err(Errno::EPERM));
    assert_eq!(w.connect(x, b"\0a"), Err(Errno::EPERM));
    // It may still send elsewhere.
    assert_eq!(w.sendto(a, b"q", b"\0x"), Ok(1));
    // A socket may be its own peer.
    w.connect(x, b"\0x").unwrap();
    assert_eq!(w.send(x, b"me"), Ok(2));
    assert_eq!(w.sendto(b, b"q", b"\0x"), Err(Errno::EPERM));
    w.close(x);
    assert_eq!(w.outq(a), 0);
}

#[test]
fn reconnecting_loses_what_had_come_and_tells_the_old_peer() {
    let mut w = World::new();
    let a = w.bound(DG, b"\0a");
    let b = w.bound(DG, b"\0b");
    w.bound(DG, b"\0x");
    w.connect(a, b"\0b").unwrap();
    w.connect(b, b"\0a").unwrap();
    w.sendmsg(b, b"lost", &files(&[9])).unwrap();
    w.wakes();
    w.connect(a, b"\0x").unwrap();
    // Its memory is free again, too; and who had a peer may write anew.
    let told = (b, PollMask::ERR | PollMask::WRITABLE);
    assert_eq!(w.wakes(), [(a, PollMask::WRITABLE), told]);
    assert_eq!(w.released(), [9]);
    assert_eq!((w.poll(a), w.poll(b)), (OUT, OUT | ERR));
    assert_eq!(w.recv(a, 10), Err(Errno::EAGAIN));
    assert_eq!(w.send(b, b"x"), Err(Errno::ECONNRESET));
    assert_eq!(w.send(b, b"x"), Err(Errno::EPERM));
    assert_eq!(w.sendto(a, b"q", b"\0b"), Ok(1));
    assert_eq!(w.recv(b, 5), Ok(bytes(b"q").from(b"\0a")));
    // AF_UNSPEC: nobody's peer again, even when it was not one.
    for _ in 0..2 {
        assert_eq!(w.try_connect(b, b"\0\0", true), Ok(true));
        assert_eq!(w.peer(b), Err(Errno::ENOTCONN));
    }
    assert_eq!(w.try_connect(b, b"\0", true), Err(Errno::EINVAL.into()));
}

#[test]
fn the_peer_closes() {
    let mut w = World::new();
    let p = w.bound(DG, b"\0p");
    let q = w.bound(DG, b"\0q");
    w.connect(q, b"\0p").unwrap();
    w.sendto(p, b"pending", b"\0q").unwrap();
    w.wakes();
    w.close(p);
    assert_eq!(w.wakes(), []);
    assert_eq!(w.poll(q), IN | OUT);
    assert_eq!(w.peer(q).unwrap(), b"\0p");
    // The send that finds out takes what is queued with it.
    assert_eq!(w.send(q, b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.recv(q, 10), Err(Errno::EAGAIN));
    assert_eq!(w.peer(q), Err(Errno::ENOTCONN));
    assert_eq!(w.send(q, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(w.sendto(q, b"x", b"\0p"), Err(Errno::ECONNREFUSED));
    // Unread data is no error for a datagram socket.
    let (a, b) = w.pair(DG);
    w.send(b, b"unread").unwrap();
    w.close(a);
    assert_eq!((w.poll(b), w.so_error(b)), (OUT, None));
}

#[test]
fn shutdown_of_datagram_sockets_is_local() {
    let mut w = World::new();
    let (a, b) = w.pair(DG);
    w.shutdown(a, SHUT_WR);
    assert_eq!((w.poll(a), w.poll(b)), (OUT, OUT));
    assert_eq!(w.recv(b, 1), Err(Errno::EAGAIN));
    assert!(!w.sigpipe(a));
    w.send(b, b"zz").unwrap();
    w.shutdown(a, SHUT_RD);
    assert_eq!((w.poll(a), w.poll(b)), (IN | OUT | HUP | RDHUP, OUT));
    assert!(!w.sigpipe(b));
    assert_eq!(w.recv(a, 10), Ok(bytes(b"zz")));
    // The end is seen by who waits only.
    assert_eq!(w.recv(a, 10), Err(Errno::EAGAIN));
    assert_eq!(w.blocking_recv(a, 10), Ok(Some(bytes(b""))));
    let s = w.socket(DG);
    w.shutdown(s, SHUT_RDWR);
    assert_eq!(w.sendto(s, b"x", b"\0nope"), Err(Errno::EPIPE));
}

#[test]
fn shutdown_of_seqpacket_sockets_reaches_the_peer() {
    let mut w = World::new();
    let (a, b) = w.pair(SQ);
    w.shutdown(a, SHUT_WR);
    assert_eq!((w.poll(a), w.poll(b)), (OUT, IN | OUT | RDHUP));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"")));
    assert!(!w.sigpipe(a));
    assert_eq!(w.sendto(b, b"y", b"\0nope"), Ok(1));
    assert_eq!(w.recv(a, 10), Ok(bytes(b"y")));
    let (a, b) = w.pair(SQ);
    w.send(b, b"unread").unwrap();
    w.close(a);
    assert_eq!(w.poll(b), IN | OUT | HUP | RDHUP | ERR);
    assert_eq!(w.send(b, b"x"), Err(Errno::ECONNRESET));
    assert!(!w.sigpipe(b));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"")));
    // An empty packet alone is not worth a reset, but one behind another is.
    for (count, reset) in [(1, 0), (2, ERR)] {
        let (a, b) = w.pair(SQ);
        for _ in 0..count {
            w.send(b, b"").unwrap();
        }
        w.close(a);
        assert_eq!(w.poll(b), IN | OUT | HUP | RDHUP | reset);
    }
}

#[test]
fn unconnected() {
    let mut w = World::new();
    let d = w.socket(DG);
    assert_eq!(w.poll(d), OUT);
    assert_eq!(w.recv(d, 1), Err(Errno::EAGAIN));
    assert_eq!(w.send(d, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(w.sendto(d, b"x", b"\0nope"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.sendto(d, b"x", b"/nope"), Err(Errno::ENOENT));
    assert_eq!(w.sendto(d, b"x", b""), Err(Errno::EINVAL));
    let q = w.socket(SQ);
    assert_eq!(w.poll(q), OUT | HUP);
    assert_eq!(w.recv(q, 1), Err(Errno::ENOTCONN));
    assert_eq!(w.send(q, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(w.sendto(q, b"x", b"\0nope"), Err(Errno::ENOTCONN));
    for ty in [DG, SQ] {
        let (a, b) = w.pair(ty);
        let control = SendControl::default();
        let oob = w.try_send(a, b"x", None, &control, MSG_OOB, true);
        assert_eq!(oob, Err(Errno::EOPNOTSUPP.into()));
        assert_eq!(w.recvmsg(b, 1, MSG_OOB), Err(Errno::EOPNOTSUPP));
    }
}

#[test]
fn the_sender_is_named_as_it_is_now() {
    let mut w = World::new();
    let p = w.bound(DG, b"\0p");
    let q = w.socket(DG);
    for _ in 0..2 {
        w.sendto(q, b"1", b"\0p").unwrap();
    }
    assert_eq!(w.recv(p, 5), Ok(bytes(b"1")));
    w.bind(q, b"\0late").unwrap();
    assert_eq!(w.recv(p, 5), Ok(bytes(b"1").from(b"\0late")));
    w.sendto(q, b"2", b"\0p").unwrap();
    w.close(q);
    assert_eq!(w.recv(p, 5), Ok(bytes(b"2").from(b"\0late")));
    let q = w.socket(DG);
    for _ in 0..2 {
        w.sendto(q, b"3", b"\0p").unwrap();
    }
    w.bind(q, b"\0late").unwrap();
    w.close(q);
    assert_eq!(w.recv(p, 5), Ok(bytes(b"3").from(b"\0late")));
    assert_eq!(w.host.unix.departed.len(), 1);
    w.close(p);
    assert_eq!(w.host.unix.departed.len(), 0);
}

#[test]
fn entries_of_one_recvmmsg() {
    let mut w = World::new();
    let (a, b) = w.pair(DG);
    for data in [b"1", b"2", b"3"] {
        w.send(a, data).unwrap();
    }
    let mut plans = vec![];
    for messages in 0..3 {
        let skip = Skip {
            peeked: 0,
            empty: 0,
            error: false,
            bytes: messages,
            messages,
            charge: 0,
        };
        let mut progress = RecvProgress::default();
        plans.push(
            w.try_recv(b, 9, 0, skip, &mut progress, true)
                .unwrap()
                .unwrap(),
        );
    }
    let skip = Skip {
        peeked: 0,
        empty: 0,
        error: false,
        bytes: 3,
        messages: 3,
        charge: 0,
    };
    let last = w.try_recv(b, 9, 0, skip, &mut RecvProgress::default(), true);
    assert_eq!(last.unwrap_err().errno, Errno::EAGAIN);
    let last = plans.pop();
    for (plan, data) in plans.into_iter().zip([b"1", b"2"]) {
        assert_eq!(plan.data.to_vec(), data);
        w.with(|h, cx| h.commit_recv(cx, b, plan));
    }
    // The third was not delivered.
    drop(last);
    assert_eq!(w.recv(b, 9), Ok(bytes(b"3")));
}

#[test]
fn timestamps() {
    let mut w = World::new();
    let (a, b) = w.pair(DG);
    let stamp = |at| ControlOut::Timestamp { at, new: false };
    w.send(a, b"before").unwrap();
    w.host.get_mut(b).unwrap().common.flags |= CommonFlags::TIMESTAMP;
    let sent = w.realtime;
    w.send(a, b"after").unwrap();
    w.realtime += Duration::from_secs(5);
    // What came unstamped is stamped when it is read.
    assert_eq!(w.recv(b, 9).unwrap().control, [stamp(w.realtime)]);
    assert_eq!(w.recv(b, 9).unwrap().control, [stamp(sent)]);
}
