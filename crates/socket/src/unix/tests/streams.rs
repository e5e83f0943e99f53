//! Stream data.

use super::*;

const ST: i32 = SOCK_STREAM;

#[test]
fn bytes_pass_both_ways_and_messages_are_glued() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    assert_eq!((w.poll(a), w.poll(b)), (OUT, OUT));
    assert_eq!(w.recv(b, 10), Err(Errno::EAGAIN));
    assert_eq!(w.send(a, b"abc"), Ok(3));
    assert_eq!(w.poll(b), IN | OUT);
    assert_eq!(w.send(a, b"de"), Ok(2));
    assert_eq!((w.inq(b), w.outq(a)), (5, 1536));
    assert_eq!(w.recv(b, 1), Ok(bytes(b"a")));
    assert_eq!((w.inq(b), w.outq(a)), (4, 1536));
    assert_eq!(w.recvmsg(b, 100, MSG_PEEK), Ok(bytes(b"bcde")));
    assert_eq!(w.recv(b, 100), Ok(bytes(b"bcde")));
    assert_eq!((w.inq(b), w.outq(a)), (0, 0));
    assert_eq!(w.send(b, b"x"), Ok(1));
    assert_eq!(w.recv(a, 1), Ok(bytes(b"x")));
}

#[test]
fn unconnected() {
    let mut w = World::new();
    let s = w.socket(ST);
    assert_eq!(w.poll(s), OUT | HUP);
    assert_eq!(w.recv(s, 10), Err(Errno::EINVAL));
    assert_eq!(w.send(s, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(w.send(s, b""), Err(Errno::ENOTCONN));
    assert_eq!(w.sendto(s, b"x", b"\0nope"), Err(Errno::EOPNOTSUPP));
    assert_eq!(w.peer(s), Err(Errno::ENOTCONN));
    w.shutdown(s, SHUT_RDWR);
    assert_eq!(w.poll(s), IN | OUT | HUP | RDHUP);
    assert_eq!(w.send(s, b"x"), Err(Errno::ENOTCONN));
    let (a, _b) = w.pair(ST);
    assert_eq!(w.sendto(a, b"x", b"\0nope"), Err(Errno::EISCONN));
}

#[test]
fn reads_and_writes_of_nothing() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    assert_eq!(w.send(a, b""), Ok(0));
    assert_eq!(w.poll(b), OUT);
    assert_eq!(w.recv(b, 0), Err(Errno::EAGAIN));
    assert_eq!(w.send(a, b"xy"), Ok(2));
    assert_eq!(w.recv(b, 0), Ok(bytes(b"")));
    assert_eq!(w.recvmsg(b, 0, MSG_TRUNC), Ok(bytes(b"")));
    assert_eq!(w.recv(b, 5), Ok(bytes(b"xy")));
    assert_eq!(w.sendmsg(a, b"", &files(&[7])), Ok(0));
    assert_eq!(w.released(), [7]);
    assert_eq!(w.poll(b), OUT);
}

#[test]
fn as_many_sends_fit_as_in_linux() {
    let cases = [
        (1, 278, 278),
        (193, 167, 32_231),
        (3776, 49, 185_024),
        (4096, 44, 180_224),
        (10_000, 17, 170_000),
        // The last one is cut.
        (36_545, 6, 219_269),
    ];
    for (len, count, total) in cases {
        let mut w = World::new();
        let (a, b) = w.pair(ST);
        let data = vec![1; len];
        let sends = core::iter::from_fn(|| w.send(a, &data).ok()).count();
        assert_eq!(sends, count, "{len} bytes");
        assert_eq!(w.poll(a), 0);
        assert_eq!(w.recv(b, 1_000_000).unwrap().data.len(), total);
        assert_eq!((w.inq(b), w.outq(a), w.poll(a)), (0, 0, OUT));
    }
}

#[test]
fn a_large_send_takes_what_fits() {
    let mut w = World::new();
    let (a, _b) = w.pair(ST);
    assert_eq!(w.send(a, &[0; 300_000]), Ok(219_264));
    assert_eq!(w.outq(a), 222_720);
    assert_eq!(w.send(a, b"x"), Err(Errno::EAGAIN));
    let (a, _b) = w.pair(ST);
    w.sndbuf(a, 4608);
    assert_eq!(w.send(a, &[0; 10_000]), Ok(4480));
}

#[test]
fn writable_again_when_a_quarter_is_in_use() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    while w.send(a, b"x").is_ok() {}
    w.wakes();
    for _ in 0..208 {
        w.recv(b, 1).unwrap();
        assert_eq!(w.poll(a), 0);
        assert_eq!(w.wakes(), []);
    }
    w.recv(b, 1).unwrap();
    assert_eq!(w.poll(a), OUT);
    assert_eq!(w.wakes(), [(a, PollMask::WRITABLE)]);
}

#[test]
fn shutdown_of_one_direction() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.wakes();
    w.shutdown(a, SHUT_WR);
    assert_eq!(w.wakes(), [(a, PollMask::all()), (b, PollMask::all())]);
    assert_eq!((w.poll(a), w.poll(b)), (OUT, IN | OUT | RDHUP));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"")));
    assert!(w.sigpipe(a));
    assert_eq!(w.send(a, b""), Err(Errno::EPIPE));
    assert_eq!(w.send(b, b"y"), Ok(1));
    assert_eq!(w.recv(a, 10), Ok(bytes(b"y")));
    w.shutdown(b, SHUT_WR);
    let gone = IN | OUT | HUP | RDHUP;
    assert_eq!((w.poll(a), w.poll(b)), (gone, gone));

    let (a, b) = w.pair(ST);
    w.send(b, b"zz").unwrap();
    w.shutdown(a, SHUT_RD);
    assert_eq!((w.poll(a), w.poll(b)), (IN | OUT | RDHUP, OUT));
    assert!(w.sigpipe(b));
    // What has come before can still be read.
    assert_eq!(w.recv(a, 10), Ok(bytes(b"zz")));
    assert_eq!(w.recv(a, 10), Ok(bytes(b"")));
    assert_eq!(w.send(a, b"x"), Ok(1));
}

#[test]
fn the_peer_closes() {
    let gone = IN | OUT | HUP | RDHUP;
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.send(a, b"data").unwrap();
    w.wakes();
    w.close(a);
    assert_eq!(w.wakes(), [(b, PollMask::all())]);
    assert_eq!(w.poll(b), gone);
    assert_eq!(w.recv(b, 10), Ok(bytes(b"data")));
    assert!(w.sigpipe(b));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"")));
    assert_eq!(w.peer(b), Ok(vec![]));

    // With unread data it is a reset, told once.
    let (a, b) = w.pair(ST);
    w.send(b, b"unread").unwrap();
    w.close(a);
    assert_eq!(w.poll(b), gone | ERR);
    assert!(w.sigpipe(b));
    assert_eq!(w.poll(b), gone | ERR);
    assert_eq!(w.recv(b, 10), Err(Errno::ECONNRESET));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"")));
    assert_eq!(w.poll(b), gone);
    assert_eq!(w.outq(b), 0);

    let (a, b) = w.pair(ST);
    w.send(b, b"unread").unwrap();
    w.close(a);
    assert_eq!(w.so_error(b), Some(Errno::ECONNRESET));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"")));

    // Data first, then the error.
    let (a, b) = w.pair(ST);
    w.send(b, b"unread").unwrap();
    w.send(a, b"last words").unwrap();
    w.close(a);
    assert_eq!(w.recv(b, 4), Ok(bytes(b"last")));
    assert_eq!(w.recv(b, 10), Ok(bytes(b" words")));
    assert_eq!(w.recv(b, 10), Err(Errno::ECONNRESET));
}

#[test]
fn what_is_not_committed_has_not_happened() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    let control = files(&[1]);
    let request = SendRequest {
        len: 3,
        done: 0,
        skip: Skip::default(),
        flags: 0,
        name: None,
        control: &control,
        last: false,
    };
    for _ in 0..2 {
        let plan = w.with(|h, cx| h.attempt_send(cx, a, &request));
        assert!(matches!(plan, Ok(Attempt::Ready(p)) if p.take == 3));
        assert_eq!((w.inq(b), w.outq(a)), (0, 0));
        assert_eq!(w.wakes(), []);
    }
    w.sendmsg(a, b"abc", &control).unwrap();
    for _ in 0..2 {
        let mut progress = RecvProgress::default();
        let got = w
            .try_recv(b, 2, 0, Skip::default(), &mut progress, true)
            .unwrap()
            .unwrap();
        assert_eq!(got.data.to_vec(), b"ab");
        drop(got);
        assert_eq!(w.inq(b), 3);
    }
    assert_eq!(w.recv(b, 2), Ok(bytes(b"ab").rights(&[1])));
    assert_eq!(w.recv(b, 2), Ok(bytes(b"c")));
}

#[test]
fn entries_of_one_recvmmsg() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.sendmsg(a, b"abcdef", &files(&[1])).unwrap();
    w.sendmsg(a, b"gh", &files(&[2])).unwrap();
    let mut skip = Skip::default();
    let mut plans = vec![];
    for (data, rights) in [(&b"abcd"[..], 1), (b"efgh", 1), (b"", 0)] {
        let mut progress = RecvProgress::default();
        match w.try_recv(b, 4, 0, skip, &mut progress, true) {
            Ok(got) => {
                let got = got.unwrap();
                assert_eq!(got.data.to_vec(), data);
                assert_eq!(got.control.len(), rights);
                skip.bytes += got.ret;
                skip.messages += 1;
                plans.push(got);
            }
            Err(fail) => assert_eq!(fail.errno, Errno::EAGAIN),
        }
    }
    for plan in plans {
        w.with(|h, cx| h.commit_recv(cx, b, plan));
    }
    assert_eq!((w.inq(b), w.outq(a)), (0, 0));
    assert_eq!(w.released(), []);
    assert!(!w.host.has_rights_in_flight());
}
