//! Calls that wait, and what they are woken by.

use super::*;

const ST: i32 = SOCK_STREAM;

#[test]
fn connecting_to_a_full_backlog_waits() {
    let mut w = World::new();
    let listener = w.listener(ST, b"\0x", 0);
    w.client(ST, b"\0x").unwrap();
    let c = w.socket(ST);
    assert_eq!(w.try_connect(c, &un(b"\0x"), false), Ok(false));
    w.wakes();
    w.accept(listener).unwrap();
    assert_eq!(w.wakes(), [(c, PollMask::WRITABLE)]);
    assert_eq!(w.try_connect(c, &un(b"\0x"), false), Ok(true));

    // A larger backlog lets it in too, and the end of the listener ends the wait.
    let d = w.socket(ST);
    assert_eq!(w.try_connect(d, &un(b"\0x"), false), Ok(false));
    w.wakes();
    w.listen(listener, 1).unwrap();
    assert_eq!(w.wakes(), [(d, PollMask::WRITABLE)]);
    assert_eq!(w.try_connect(d, &un(b"\0x"), false), Ok(true));
    let e = w.socket(ST);
    assert_eq!(w.try_connect(e, &un(b"\0x"), false), Ok(false));
    w.wakes();
    w.close(listener);
    assert!(w.wakes().contains(&(e, PollMask::WRITABLE)));
    assert_eq!(w.connect(e, b"\0x"), Err(Errno::ECONNREFUSED));
}

#[test]
fn timeouts_are_the_sockets() {
    let mut w = World::new();
    let (_a, b) = w.pair(ST);
    let (rcv, snd) = (Duration::from_millis(5), Duration::from_millis(7));
    let common = &mut w.host.get_mut(b).unwrap().common;
    (common.rcvtimeo, common.sndtimeo) = (Some(rcv), Some(snd));
    let mut progress = RecvProgress::default();
    let skip = Skip::default();
    let mut request = RecvRequest {
        len: 1,
        flags: 0,
        skip,
        progress: &mut progress,
        last: false,
    };
    let outcome = w.with(|h, cx| h.attempt_recv(cx, b, &mut request));
    assert!(matches!(outcome, Ok(Attempt::Blocked(blocked)) if blocked.timeout == Some(rcv)));
    while w.send(b, &[0; 4096]).is_ok() {}
    let control = SendControl::default();
    let request = SendRequest {
        len: 1,
        done: 0,
        skip,
        flags: 0,
        name: None,
        control: &control,
        last: false,
    };
    let outcome = w.with(|h, cx| h.attempt_send(cx, b, &request));
    assert!(matches!(outcome, Ok(Attempt::Blocked(blocked)) if blocked.timeout == Some(snd)));
    // MSG_DONTWAIT is as good as a descriptor that does not wait.
    assert_eq!(w.recvmsg(b, 1, MSG_DONTWAIT), Err(Errno::EAGAIN));
}

#[test]
fn a_datagram_to_a_full_queue_waits() {
    let mut w = World::new();
    let r = w.bound(SOCK_DGRAM, b"\0r");
    let (c, d) = (w.socket(SOCK_DGRAM), w.socket(SOCK_DGRAM));
    while w.sendto(c, b"x", b"\0r").is_ok() {}
    let control = SendControl::default();
    let name = un(b"\0r");
    for _ in 0..2 {
        assert_eq!(
            w.try_send(d, b"y", Some(&name), &control, 0, false),
            Ok(None)
        );
    }
    w.wakes();
    w.recv(r, 1).unwrap();
    // c has its memory back, d its place.
    assert_eq!(
        w.wakes(),
        [(d, PollMask::WRITABLE), (c, PollMask::WRITABLE)]
    );
    assert_eq!(
        w.try_send(d, b"y", Some(&name), &control, 0, false),
        Ok(Some(1))
    );
    assert_eq!(
        w.try_send(d, b"y", Some(&name), &control, 0, false),
        Ok(None)
    );
    w.wakes();
    w.close(r);
    assert!(w.wakes().contains(&(d, PollMask::WRITABLE)));
    assert_eq!(w.sendto(d, b"y", b"\0r"), Err(Errno::ECONNREFUSED));
}

#[test]
fn a_writer_that_waits_meets_the_reset() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    while w.send(a, &[0; 4096]).is_ok() {}
    let control = SendControl::default();
    assert_eq!(w.try_send(a, b"y", None, &control, 0, false), Ok(None));
    w.close(b);
    // Not EPIPE and no signal: it is past the check for those.
    assert_eq!(w.send(a, b"y"), Err(Errno::ECONNRESET));
    assert!(w.sigpipe(a));
}

#[test]
fn waitall_takes_what_is_there_and_waits_for_the_rest() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    let len = 500_000;
    let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
    let mut progress = RecvProgress::default();
    let mut sent = 0;
    let got = loop {
        while let Ok(n) = w.send(a, &data[sent..]) {
            sent += n;
            if n == 0 {
                break;
            }
        }
        if let Some(got) = w
            .try_recv(b, len, MSG_WAITALL, Skip::default(), &mut progress, false)
            .unwrap()
        {
            break got;
        }
        // The writer has room again.
        assert_eq!(w.outq(a), 0);
    };
    assert_eq!(got.data.to_vec(), data);
    w.with(|h, cx| h.commit_recv(cx, b, got));
    assert_eq!((w.inq(b), w.outq(a)), (0, 0));
}

#[test]
fn a_waitall_given_up_puts_back_what_it_held() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.passcred(b, true);
    w.sendmsg(a, b"abc", &creds(1, 2, 3)).unwrap();
    let mut progress = RecvProgress::default();
    let waits = w
        .try_recv(b, 10, MSG_WAITALL, Skip::default(), &mut progress, false)
        .unwrap();
    assert!(waits.is_none());
    assert_eq!((w.inq(b), w.outq(a)), (0, 0));
    w.with(|h, cx| h.abandon_recv(cx, b, progress));
    assert_eq!((w.inq(b), w.outq(a)), (3, 768));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"abc").creds(1, 2, 3)));

    // Time is up: what there is. Another writer's bytes end it as well.
    for close in [true, false] {
        w.sendmsg(a, b"abc", &creds(1, 2, 3)).unwrap();
        let mut progress = RecvProgress::default();
        let waits = w.try_recv(b, 10, MSG_WAITALL, Skip::default(), &mut progress, false);
        assert!(waits.unwrap().is_none());
        if close {
            w.send(a, b"d").unwrap();
        }
        let got = w.try_recv(b, 10, MSG_WAITALL, Skip::default(), &mut progress, !close);
        let got = got.unwrap().unwrap();
        assert_eq!(w.deliver(b, got), bytes(b"abc").creds(1, 2, 3));
        if close {
            assert_eq!(w.recv(b, 10), Ok(bytes(b"d").creds(PID, 0, 0)));
        }
    }
}

#[test]
fn a_reset_after_some_bytes_is_swallowed() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.send(a, b"abc").unwrap();
    w.send(b, b"unread").unwrap();
    w.close(a);
    assert_eq!(w.recvmsg(b, 10, MSG_WAITALL), Ok(bytes(b"abc")));
    assert_eq!(w.so_error(b), None);
    assert_eq!(w.recv(b, 10), Ok(bytes(b"")));
}

#[test]
fn a_low_water_mark_waits_too() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.host.get_mut(b).unwrap().common.rcvlowat = 4;
    w.send(a, b"abc").unwrap();
    let mut progress = RecvProgress::default();
    let waits = w
        .try_recv(b, 10, 0, Skip::default(), &mut progress, false)
        .unwrap();
    assert!(waits.is_none());
    w.send(a, b"de").unwrap();
    let got = w
        .try_recv(b, 10, 0, Skip::default(), &mut progress, false)
        .unwrap()
        .unwrap();
    assert_eq!(w.deliver(b, got), bytes(b"abcde"));
    // A shorter read is content with what it asked for.
    w.send(a, b"abc").unwrap();
    assert_eq!(w.blocking_recv(b, 2), Ok(Some(bytes(b"ab"))));
    // Who may not wait has what there is.
    assert_eq!(w.recv(b, 10), Ok(bytes(b"c")));
}
