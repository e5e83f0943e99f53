//! Types, protocols, addresses and names.

use super::*;

#[test]
fn types_and_protocols() {
    let mut w = World::new();
    let mut socket = |ty, protocol| w.with(|h, cx| h.socket(cx, AF_UNIX, ty, protocol));
    for ty in [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET] {
        assert!(socket(ty, 0).is_ok() && socket(ty, 1).is_ok());
        assert_eq!(socket(ty, 2), Err(Errno::EPROTONOSUPPORT));
    }
    for ty in [0, SOCK_RDM, 6, SOCK_PACKET] {
        assert_eq!(socket(ty, 0), Err(Errno::ESOCKTNOSUPPORT));
    }
    // The protocol is looked at first, and SO_PROTOCOL says 0 all the same.
    assert_eq!(socket(SOCK_RDM, 7), Err(Errno::EPROTONOSUPPORT));
    let raw = socket(SOCK_RAW, 1).unwrap();
    let common = &w.host.get(raw).unwrap().common;
    assert_eq!((i32::from(common.ty), common.protocol), (SOCK_DGRAM, 0));
    assert_eq!(w.poll(raw), OUT);
}

#[test]
fn what_bind_makes_of_addresses() {
    let mut w = World::new();
    let cases: [(&[u8], &[u8]); 6] = [
        (b"\x01\0\0", b"\0"),
        (b"\x01\0\0\0", b"\0\0"),
        (b"\x01\0\0abc\0", b"\0abc\0"),
        (b"\x01\0", b"\x0000001"),
        (b"\x01\0/tmp/uA\0junk", b"/tmp/uA\0"),
        (b"\x01\0/tmp/uB", b"/tmp/uB\0"),
    ];
    for (raw, name) in cases {
        let s = w.socket(SOCK_DGRAM);
        assert_eq!(w.with(|h, cx| h.bind(cx, s, raw)), Ok(()), "{raw:?}");
        assert_eq!(w.name(s), name);
    }
    let s = w.socket(SOCK_DGRAM);
    for raw in [&b"\x01"[..], b"", b"\x02\0abc", b"\x02\0"] {
        assert_eq!(
            w.with(|h, cx| h.bind(cx, s, raw)),
            Err(Errno::EINVAL),
            "{raw:?}"
        );
    }
    // 108 bytes without a NUL: one more comes back.
    assert_eq!(w.bind(s, &[b'l'; 109]), Err(Errno::EINVAL));
    assert_eq!(w.bind(s, &[b'l'; 108]), Ok(()));
    assert_eq!(w.name(s).len(), 109);
    let other = w.socket(SOCK_DGRAM);
    assert_eq!(w.connect(other, &[b'l'; 108]), Ok(()));
}

#[test]
fn a_socket_is_bound_once() {
    let mut w = World::new();
    let c = w.bound(SOCK_STREAM, b"/tmp/uu");
    let d = w.socket(SOCK_STREAM);
    assert_eq!(w.bind(d, b"/tmp/uu"), Err(Errno::EADDRINUSE));
    // What Linux finds first: the file that is there, or the name it has.
    assert_eq!(w.bind(c, b"/tmp/uu"), Err(Errno::EADDRINUSE));
    assert_eq!(w.bind(c, b"/tmp/uuu"), Err(Errno::EINVAL));
    assert_eq!(w.bind(d, b"/tmp/uuu"), Ok(()));
    assert_eq!(w.bind(c, b"\0q"), Err(Errno::EINVAL));
    assert_eq!(w.bind(c, b""), Ok(()));
    assert_eq!(w.name(c), b"/tmp/uu\0");
}

#[test]
fn autobind() {
    let mut w = World::new();
    w.bound(SOCK_STREAM, b"\x0000001");
    let s = w.socket(SOCK_STREAM);
    w.bind(s, b"").unwrap();
    assert_eq!(w.name(s), b"\x0000002");
    w.bind(s, b"").unwrap();
    assert_eq!(w.name(s), b"\x0000002");
    assert_eq!(w.bind(s, b"\0kk"), Err(Errno::EINVAL));
    w.listen(s, 1).unwrap();
    w.client(SOCK_STREAM, b"\x0000002").unwrap();
}

#[test]
fn every_byte_of_an_abstract_name_counts() {
    let mut w = World::new();
    let s = w.bound(SOCK_DGRAM, b"\0len");
    let c = w.socket(SOCK_DGRAM);
    assert_eq!(w.connect(c, b"\0len\0"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.connect(c, b"\0len"), Ok(()));
    assert_eq!(w.bind(c, b"\0len"), Err(Errno::EADDRINUSE));
    assert_eq!(w.bind(c, b"\0len\0"), Ok(()));
    w.bound(SOCK_STREAM, b"\0len");
    // A name goes with its socket.
    w.close(s);
    w.bound(SOCK_DGRAM, b"\0len");
}

#[test]
fn files_outlive_names_and_sockets() {
    let mut w = World::new();
    let s = w.bound(SOCK_DGRAM, b"/x");
    assert!(w.paths.unlink(b"/x"));
    let c = w.socket(SOCK_DGRAM);
    assert_eq!(w.connect(c, b"/x"), Err(Errno::ENOENT));
    let s2 = w.bound(SOCK_DGRAM, b"/x");
    w.connect(c, b"/x").unwrap();
    w.send(c, b"new").unwrap();
    assert_eq!(w.recv(s, 5), Err(Errno::EAGAIN));
    assert_eq!(w.recv(s2, 5), Ok(bytes(b"new")));
    w.close(s2);
    assert_eq!(w.send(c, b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.connect(c, b"/x"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.bind(c, b"/x"), Err(Errno::EADDRINUSE));
    assert!(w.host.unix(s).unwrap().file().is_some());
}
