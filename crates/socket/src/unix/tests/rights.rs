//! SCM_RIGHTS.

use super::*;

const ST: i32 = SOCK_STREAM;

#[test]
fn rights_ride_on_the_first_skb_of_a_write() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.sendmsg(a, &[1; 100_000], &files(&[1, 2])).unwrap();
    let first = w.recv(b, 200_000).unwrap();
    assert_eq!((first.data.len(), first.control.len()), (36_544, 1));
    let rest = w.recv(b, 200_000).unwrap();
    assert_eq!((rest.data.len(), rest.control.len()), (63_456, 0));
    assert!(!w.host.has_rights_in_flight());
}

#[test]
fn a_read_ends_with_rights() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    let none = SendControl::default();
    for (data, control) in [(b"aa", &none), (b"bb", &files(&[1])), (b"cc", &none)] {
        w.sendmsg(a, data, control).unwrap();
    }
    assert_eq!(w.recvmsg(b, 100, MSG_PEEK), Ok(bytes(b"aabb").rights(&[1])));
    assert_eq!(w.recv(b, 100), Ok(bytes(b"aabb").rights(&[1])));
    assert_eq!(w.recv(b, 100), Ok(bytes(b"cc")));
    // A peek sees the rights behind what it has room for, and a read does not.
    w.send(a, b"aa").unwrap();
    w.sendmsg(a, b"bb", &files(&[8])).unwrap();
    assert_eq!(w.recvmsg(b, 1, MSG_PEEK), Ok(bytes(b"a").rights(&[8])));
    assert_eq!(w.recv(b, 2), Ok(bytes(b"aa")));
    assert_eq!(w.recv(b, 9), Ok(bytes(b"bb").rights(&[8])));
    // The first byte takes them, the rest is glued again.
    w.sendmsg(a, b"bb", &files(&[2])).unwrap();
    w.send(a, b"cc").unwrap();
    assert_eq!(w.recv(b, 1), Ok(bytes(b"b").rights(&[2])));
    assert_eq!(w.recv(b, 100), Ok(bytes(b"bcc")));
    // MSG_WAITALL does not go on either.
    w.sendmsg(a, b"bb", &files(&[3])).unwrap();
    w.sendmsg(a, b"cc", &files(&[4])).unwrap();
    assert_eq!(w.recvmsg(b, 4, MSG_WAITALL), Ok(bytes(b"bb").rights(&[3])));
    assert_eq!(w.recvmsg(b, 4, MSG_WAITALL), Ok(bytes(b"cc").rights(&[4])));
    // A read of nothing takes them too.
    w.sendmsg(a, b"bb", &files(&[5])).unwrap();
    assert_eq!(w.recvmsg(b, 1, MSG_PEEK), Ok(bytes(b"b").rights(&[5])));
    assert_eq!(w.recv(b, 0), Ok(bytes(b"").rights(&[5])));
    assert_eq!(w.recv(b, 9), Ok(bytes(b"bb")));
    assert_eq!(w.released(), []);
}

#[test]
fn rights_of_messages() {
    for ty in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        w.sendmsg(a, b"xy", &files(&[1, 2])).unwrap();
        w.sendmsg(a, b"", &files(&[3])).unwrap();
        assert_eq!(
            w.recvmsg(b, 1, MSG_PEEK),
            Ok(bytes(b"x").cut().rights(&[1, 2]))
        );
        assert_eq!(w.recv(b, 1), Ok(bytes(b"x").cut().rights(&[1, 2])));
        assert_eq!(w.recv(b, 1), Ok(bytes(b"").rights(&[3])));
        assert_eq!(w.released(), []);
    }
}

#[test]
fn what_nobody_reads_is_released() {
    for ty in [ST, SOCK_DGRAM, SOCK_SEQPACKET] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        w.sendmsg(a, b"x", &files(&[1, 2])).unwrap();
        w.sendmsg(b, b"y", &files(&[3])).unwrap();
        w.close(a);
        assert_eq!(w.released(), [3]);
        w.close(b);
        assert_eq!(w.released(), [1, 2]);
        assert_eq!(w.host.socket_count(), 0);
    }
}

#[test]
fn files_in_flight_are_bounded_per_user() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    w.become_user(200, 1000);
    Arc::make_mut(&mut w.cred).nofile = 20;
    let five = files(&[1, 2, 3, 4, 5]);
    // The limit is looked at before the new ones are counted.
    for _ in 0..5 {
        assert_eq!(w.sendmsg(a, b"x", &five), Ok(1));
    }
    assert_eq!(w.sendmsg(a, b"x", &five), Err(Errno::ETOOMANYREFS));
    assert_eq!(w.sendmsg(a, b"", &five), Ok(0));
    assert_eq!(w.send(a, b"x"), Ok(1));
    w.recv(b, 10).unwrap();
    assert_eq!(w.sendmsg(a, b"x", &five), Ok(1));
    assert_eq!(w.sendmsg(a, b"x", &five), Err(Errno::ETOOMANYREFS));
    w.become_user(300, 1001);
    assert_eq!(w.sendmsg(a, b"x", &five), Ok(1));
    w.cred = Arc::new(Cred::root(1));
    assert_eq!(w.sendmsg(a, b"x", &five), Ok(1));
}
