//! SCM_CREDENTIALS, SO_PASSCRED and SO_PEERCRED.

use super::*;

const ST: i32 = SOCK_STREAM;
const NOBODY: (u32, u32, u32) = (0, 65_534, 65_534);

#[test]
fn asking_for_credentials() {
    for ty in [ST, SOCK_DGRAM, SOCK_SEQPACKET] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        w.send(a, b"q").unwrap();
        w.passcred(b, true);
        assert_eq!(
            w.recv(b, 9),
            Ok(bytes(b"q").creds(NOBODY.0, NOBODY.1, NOBODY.2))
        );
        w.become_user(200, 1000);
        Arc::make_mut(&mut w.cred).euid = 7;
        w.send(a, b"q").unwrap();
        // Real ids, whatever the effective ones are.
        assert_eq!(w.recv(b, 9), Ok(bytes(b"q").creds(200, 1000, 1000)));
        w.sendmsg(a, b"q", &files(&[1])).unwrap();
        let both = bytes(b"q").creds(200, 1000, 1000).rights(&[1]);
        assert_eq!(w.recv(b, 9), Ok(both));
        w.passcred(b, false);
        w.sendmsg(a, b"q", &creds(200, 1000, 1000)).unwrap();
        assert_eq!(w.recv(b, 9), Ok(bytes(b"q")));
    }
}

#[test]
fn the_end_of_a_stream_carries_zeroes() {
    for ty in [ST, SOCK_SEQPACKET] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        w.passcred(b, true);
        w.close(a);
        let end = if ty == ST {
            bytes(b"").creds(0, 0, 0)
        } else {
            bytes(b"")
        };
        assert_eq!(w.recv(b, 9), Ok(end));
    }
}

#[test]
fn messages_of_different_writers_are_not_glued() {
    let mut w = World::new();
    let (a, b) = w.pair(ST);
    let (x, y) = (creds(1, 7, 7), creds(1, 8, 7));
    w.passcred(b, true);
    for (data, control) in [(b"1", &x), (b"2", &x), (b"3", &y)] {
        w.sendmsg(a, data, control).unwrap();
    }
    w.send(a, b"4").unwrap();
    assert_eq!(w.recvmsg(b, 9, MSG_PEEK), Ok(bytes(b"12").creds(1, 7, 7)));
    assert_eq!(w.recv(b, 9), Ok(bytes(b"12").creds(1, 7, 7)));
    assert_eq!(w.recvmsg(b, 9, MSG_WAITALL), Ok(bytes(b"3").creds(1, 8, 7)));
    assert_eq!(w.recv(b, 9), Ok(bytes(b"4").creds(PID, 0, 0)));
    // Who does not ask does not see the seam.
    w.passcred(b, false);
    w.sendmsg(a, b"1", &x).unwrap();
    w.sendmsg(a, b"2", &y).unwrap();
    assert_eq!(w.recv(b, 9), Ok(bytes(b"12")));
    // A socket that can be passed its own messages' credentials attaches them.
    w.passcred(a, true);
    w.send(a, b"5").unwrap();
    w.passcred(b, true);
    assert_eq!(w.recv(b, 9), Ok(bytes(b"5").creds(PID, 0, 0)));
}

#[test]
fn whose_credentials_may_be_given() {
    for ty in [ST, SOCK_DGRAM, SOCK_SEQPACKET] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        w.passcred(b, true);
        assert_eq!(w.sendmsg(a, b"x", &creds(1, 77, 88)), Ok(1));
        assert_eq!(w.recv(b, 9), Ok(bytes(b"x").creds(1, 77, 88)));
        assert_eq!(w.sendmsg(a, b"x", &creds(0, 77, 88)), Err(Errno::ESRCH));
        assert_eq!(
            w.sendmsg(a, b"x", &creds(PID, u32::MAX, 88)),
            Err(Errno::EINVAL)
        );
        w.become_user(200, 1000);
        assert_eq!(w.sendmsg(a, b"x", &creds(200, 1000, 1000)), Ok(1));
        for (pid, uid, gid) in [
            (1, 1000, 1000),
            (200, 0, 1000),
            (200, 1000, 0),
            (0, 1000, 1000),
        ] {
            assert_eq!(w.sendmsg(a, b"x", &creds(pid, uid, gid)), Err(Errno::EPERM));
        }
        assert_eq!(w.sendmsg(a, b"", &creds(200, 0, 1000)), Err(Errno::EPERM));
        Arc::make_mut(&mut w.cred).suid = 5;
        assert_eq!(w.sendmsg(a, b"x", &creds(200, 5, 1000)), Ok(1));
        let other = SendControl {
            other: vec![(SOL_SOCKET, 99, vec![])],
            ..Default::default()
        };
        assert_eq!(w.sendmsg(a, b"x", &other), Err(Errno::EINVAL));
        let other = SendControl {
            other: vec![(SOL_IP, 99, vec![])],
            ..Default::default()
        };
        assert_eq!(w.sendmsg(a, b"x", &other), Ok(1));
    }
}

#[test]
fn the_accepted_socket_passes_what_its_listener_passes() {
    for ty in [ST, SOCK_SEQPACKET] {
        let mut w = World::new();
        let listener = w.listener(ty, b"\0p", 5);
        w.passcred(listener, true);
        let client = w.client(ty, b"\0p").unwrap();
        assert_eq!(w.name(client), b"");
        w.send(client, b"hi").unwrap();
        let (server, _) = w.accept(listener).unwrap();
        assert_eq!(w.recv(server, 9), Ok(bytes(b"hi").creds(PID, 0, 0)));
        // Even when it asks only after it is accepted, what came before has credentials.
        w.passcred(listener, false);
        let client = w.client(ty, b"\0p").unwrap();
        w.send(client, b"hi").unwrap();
        let (server, _) = w.accept(listener).unwrap();
        w.send(client, b"ho").unwrap();
        w.passcred(server, true);
        assert_eq!(w.recv(server, 9), Ok(bytes(b"hi").creds(PID, 0, 0)));
        assert_eq!(
            w.recv(server, 9),
            Ok(bytes(b"ho").creds(NOBODY.0, NOBODY.1, NOBODY.2))
        );
    }
}

#[test]
fn asking_for_credentials_binds() {
    for ty in [ST, SOCK_SEQPACKET] {
        let mut w = World::new();
        let listener = w.listener(ty, b"\0p", 5);
        let client = w.socket(ty);
        w.passcred(client, true);
        // Even when nobody is there.
        assert_eq!(w.connect(client, b"\0nowhere"), Err(Errno::ECONNREFUSED));
        assert_eq!(w.name(client), b"\x0000001");
        w.connect(client, b"\0p").unwrap();
        w.send(client, b"m").unwrap();
        let (server, peer) = w.accept(listener).unwrap();
        assert_eq!(peer, b"\x0000001");
        assert_eq!(w.recv(server, 9), Ok(bytes(b"m").from(b"\x0000001")));
    }
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_DGRAM);
    w.passcred(a, true);
    w.send(a, b"q").unwrap();
    assert_eq!(w.recv(b, 9), Ok(bytes(b"q").from(b"\x0000001")));
}

#[test]
fn peers() {
    let ucred = |pid, uid, gid| Ucred { pid, uid, gid };
    let none = ucred(0, u32::MAX, u32::MAX);
    let mut w = World::new();
    for ty in [ST, SOCK_DGRAM, SOCK_SEQPACKET] {
        let s = w.socket(ty);
        assert_eq!(w.host.unix_peercred(s), none);
        let (a, b) = w.pair(ty);
        assert_eq!(w.host.unix_peercred(a), ucred(PID, 0, 0));
        assert_eq!(w.host.unix_peercred(b), ucred(PID, 0, 0));
    }
    // The client gets who called listen(2), the server who called connect(2): effective ids.
    let listener = w.bound(ST, b"\0x");
    w.become_user(200, 1000);
    Arc::make_mut(&mut w.cred).euid = 1001;
    w.listen(listener, 5).unwrap();
    assert_eq!(w.host.unix_peercred(listener), ucred(200, 1001, 1000));
    w.become_user(300, 2000);
    let client = w.client(ST, b"\0x").unwrap();
    assert_eq!(w.host.unix_peercred(client), ucred(200, 1001, 1000));
    w.cred = Arc::new(Cred::root(1));
    let (server, _) = w.accept(listener).unwrap();
    assert_eq!(w.host.unix_peercred(server), ucred(300, 2000, 2000));
    // Datagram sockets have none, connected or not.
    w.bound(SOCK_DGRAM, b"\0d");
    let d = w.client(SOCK_DGRAM, b"\0d").unwrap();
    assert_eq!(w.host.unix_peercred(d), none);
}
