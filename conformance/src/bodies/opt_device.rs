//! SO_BINDTODEVICE and SO_BINDTOIFINDEX, and SO_PEERNAME.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, AF_UNIX, SO_BINDTODEVICE, SO_PEERNAME, SOCK_DGRAM, SOCK_SEQPACKET,
    SOCK_STREAM, SOL_SOCKET,
};

tests! {
    names,
    name_lengths,
    indexes,
    lengths,
    freed_by_who_may [DROP],
    loopback_only,
    no_such_interface,
    both_forms_are_one,
    two_of_different_interfaces_may_share_a_port,
    bound_interface_is_preferred,
    datagrams_by_another_interface_are_not_heard,
    accepted_socket_inherits,
    set_after_bind_counts,
    link_local_scope_is_a_binding,
    scope_stays_where_bind_fails,
    peername,
    peername_of_unconnected,
}

/// The bytes of an int.
fn int(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

const SO_BINDTOIFINDEX: i32 = 62;
/// No interface has it.
const NOWHERE: i32 = 100_000;

fn each(k: &mut dyn Kernel) -> Got<Vec<(i32, i32, Fd)>> {
    let mut all = Vec::new();
    for (family, kind) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET, SOCK_DGRAM),
        (AF_INET6, SOCK_STREAM),
        (AF_INET6, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
        (AF_UNIX, SOCK_SEQPACKET),
    ] {
        all.push((family, kind, ok!(k.socket(family, kind, 0))));
    }
    Ok(all)
}

fn to_device(k: &mut dyn Kernel, fd: Fd, name: &[u8]) -> i64 {
    k.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name)
}

fn device(k: &mut dyn Kernel, fd: Fd) -> (i64, Vec<u8>) {
    k.getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, 16)
}

fn to_index(k: &mut dyn Kernel, fd: Fd, index: i32) -> i64 {
    k.set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, index)
}

/// Frees a socket, which only who may use raw sockets can.
fn free_again(k: &mut dyn Kernel, fd: Fd) -> Outcome {
    let want = if k.privileged() { 0 } else { -libc::EPERM };
    ret!(to_device(k, fd, b""), want);
    Ok(())
}

fn names(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        eq!(device(k, fd), (0, vec![]));
        err!(to_device(k, fd, b"nope"), ENODEV);
        eq!(device(k, fd), (0, vec![]));
        ret!(to_device(k, fd, b"lo"), 0);
        eq!(device(k, fd), (0, b"lo\0".to_vec()));
        free_again(k, fd)?;
    }
    Ok(())
}

fn name_lengths(k: &mut dyn Kernel) -> Outcome {
    // What is behind a zero does not count, nor what is too long to be a name.
    for (name, want) in [
        (&b"lo\0"[..], 0),
        (b"lo\0junk", 0),
        (b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 0),
        (b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0abcdefgh", 0),
        (b"loxxxxxxxxxxxxxxxxxxxx", libc::ENODEV),
        (b"l", libc::ENODEV),
        (b"", 0),
        (b"\0", 0),
        (b"\0lo", 0),
    ] {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        let got = to_device(k, fd, name);
        check!(got == -i64::from(want), "{name:?}: {got}");
    }
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(
        k.setsockopt_raw(fd, SOL_SOCKET, SO_BINDTODEVICE, BAD, 3),
        EFAULT
    );
    ret!(k.setsockopt_raw(fd, SOL_SOCKET, SO_BINDTODEVICE, BAD, 0), 0);
    err!(
        k.setsockopt_raw(fd, SOL_SOCKET, SO_BINDTODEVICE, BAD, -1i64 as u64),
        EINVAL
    );
    ret!(to_device(k, fd, b"lo"), 0);
    // There must be room for the longest name.
    for cap in [0, 3, 15] {
        let (got, _) = k.getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, cap);
        check!(got == -i64::from(libc::EINVAL), "cap {cap}: {got}");
    }
    eq!(
        k.getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, 64),
        (0, b"lo\0".to_vec())
    );
    Ok(())
}

fn indexes(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        eq!(k.get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX)?, 0);
        err!(to_index(k, fd, -1), EINVAL);
        ret!(to_index(k, fd, 0), 0);
        // Nobody looks whether there is one.
        ret!(to_index(k, fd, NOWHERE), 0);
        eq!(k.get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX)?, NOWHERE);
        ret!(device(k, fd).0, -libc::ENODEV);
    }
    Ok(())
}

fn lengths(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        for len in 0..4 {
            err!(
                k.setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &int(1)[..len]),
                EINVAL
            );
        }
        for cap in [0, 3, 4, 9] {
            let got = k.getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, cap);
            eq!(got, (0, vec![0; cap.min(4)]));
        }
    }
    Ok(())
}

fn freed_by_who_may(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    for (_, _, fd) in each(k)? {
        ret!(to_device(k, fd, b"lo"), 0);
        // Not even to the same one.
        err!(to_device(k, fd, b"lo"), EPERM);
        err!(to_device(k, fd, b""), EPERM);
        err!(to_device(k, fd, b"nope"), ENODEV);
        err!(to_index(k, fd, 0), EPERM);
        err!(to_index(k, fd, -1), EPERM);
    }
    Ok(())
}

fn loopback_only(k: &mut dyn Kernel) -> Outcome {
    for (family, kind, fd) in each(k)? {
        if family == AF_UNIX {
            continue;
        }
        ret!(to_device(k, fd, b"lo"), 0);
        ret!(k.bind(fd, &Addr::lo(family, 0)), 0);
        let addr = k.sockname(fd)?;
        if kind == SOCK_STREAM {
            ret!(k.listen(fd, 1), 0);
            let c = k.tcp_socket(family, NB)?;
            ret!(to_device(k, c, b"lo"), 0);
            k.connect_now(c, &addr)?;
            k.accept_now(fd)?;
        } else {
            let c = ok!(k.socket(family, SOCK_DGRAM, 0));
            ret!(to_device(k, c, b"lo"), 0);
            ret!(k.sendto(c, b"by lo", 0, &addr), 5);
            eq!(k.recv_now(fd)?, b"by lo".to_vec());
        }
    }
    Ok(())
}

fn no_such_interface(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (_to, addr) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        ret!(to_index(k, fd, NOWHERE), 0);
        // IPv4 names what is missing, IPv6 finds no way.
        let errno = if family == AF_INET {
            libc::ENODEV
        } else {
            libc::ENETUNREACH
        };
        ret!(k.sendto(fd, b"x", 0, &addr), -errno);
        ret!(k.connect(fd, &addr), -errno);
        let fd = k.tcp_socket(family, NB)?;
        ret!(to_index(k, fd, NOWHERE), 0);
        ret!(k.connect(fd, &addr), -errno);
        // IPv6 does not bind to what is not there.
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            let fd = ok!(k.socket(family, kind, 0));
            ret!(to_index(k, fd, NOWHERE), 0);
            let want = if family == AF_INET { 0 } else { -libc::ENODEV };
            ret!(k.bind(fd, &Addr::lo(family, 0)), want);
        }
    }
    Ok(())
}

fn both_forms_are_one(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(to_device(k, fd, b"lo"), 0);
    eq!(k.get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX)?, 1);
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(to_index(k, fd, 1), 0);
    eq!(device(k, fd), (0, b"lo\0".to_vec()));
    Ok(())
}

fn two_of_different_interfaces_may_share_a_port(k: &mut dyn Kernel) -> Outcome {
    for (family, kind, any) in [
        (AF_INET, SOCK_STREAM, Addr::any4(0)),
        (AF_INET, SOCK_DGRAM, Addr::any4(0)),
        (AF_INET6, SOCK_STREAM, Addr::any6(0)),
        (AF_INET6, SOCK_DGRAM, Addr::any6(0)),
    ] {
        let port = k.free_port()?;
        let addr = any.with_port(port);
        let a = ok!(k.socket(family, kind, 0));
        ret!(to_device(k, a, b"lo"), 0);
        ret!(k.bind(a, &addr), 0);
        // The same interface, and any interface, are in the way.
        let b = ok!(k.socket(family, kind, 0));
        err!(k.bind(b, &addr), EADDRINUSE);
        ret!(to_device(k, b, b"lo"), 0);
        err!(k.bind(b, &addr), EADDRINUSE);
        if family == AF_INET {
            // Another one is not, whether it is there or not.
            let c = ok!(k.socket(family, kind, 0));
            ret!(to_index(k, c, NOWHERE), 0);
            ret!(k.bind(c, &addr), 0);
            if kind == SOCK_STREAM {
                ret!(k.listen(a, 1), 0);
                ret!(k.listen(c, 1), 0);
            }
        }
    }
    Ok(())
}

fn bound_interface_is_preferred(k: &mut dyn Kernel) -> Outcome {
    // Both may have the datagram: who asked for the interface gets it.
    let port = k.free_port()?;
    let addr = Addr::lo4(port);
    let mut fds = Vec::new();
    for on_lo in [false, true, false] {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEADDR, 1), 0);
        if on_lo {
            ret!(to_device(k, fd, b"lo"), 0);
        }
        ret!(k.bind(fd, &addr), 0);
        fds.push(fd);
    }
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.sendto(from, b"whose", 0, &addr), 5);
    eq!(k.recv_now(fds[1])?, b"whose".to_vec());
    Ok(())
}

fn datagrams_by_another_interface_are_not_heard(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(to_index(k, fd, NOWHERE), 0);
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    let addr = k.sockname(fd)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(from, &addr), 0);
    ret!(k.send(from, b"x", 0), 1);
    // Nobody is there.
    eq!(k.so_error(from)?, libc::ECONNREFUSED);
    // A listener of another interface is none either.
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(to_index(k, fd, NOWHERE), 0);
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    ret!(k.listen(fd, 1), 0);
    let addr = k.sockname(fd)?;
    let c = k.tcp_socket(AF_INET, 0)?;
    err!(k.connect(c, &addr), ECONNREFUSED);
    Ok(())
}

fn accepted_socket_inherits(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(to_device(k, fd, b"lo"), 0);
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    ret!(k.listen(fd, 1), 0);
    let addr = k.sockname(fd)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let s = k.accept_now(fd)?;
    eq!(device(k, s), (0, b"lo\0".to_vec()));
    eq!(device(k, c), (0, vec![]));
    Ok(())
}

fn set_after_bind_counts(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.udp(AF_INET)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(to_index(k, fd, NOWHERE), 0);
    ret!(k.sendto(from, b"lost", 0, &addr), 4);
    if k.privileged() {
        ret!(to_device(k, fd, b"lo"), 0);
        ret!(k.sendto(from, b"heard", 0, &addr), 5);
        eq!(k.recv_now(fd)?, b"heard".to_vec());
    } else {
        let mut buf = [0; 8];
        err!(k.recv(fd, &mut buf, libc::MSG_DONTWAIT), EAGAIN);
    }
    Ok(())
}

fn scope_stays_where_bind_fails(k: &mut dyn Kernel) -> Outcome {
    // No interface has the address.
    let ip = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77, 0x77];
    for kind in [libc::SOCK_DGRAM, libc::SOCK_STREAM] {
        for (scope, errno, bound) in [
            (1, libc::EADDRNOTAVAIL, 1),
            (NOWHERE, libc::ENODEV, NOWHERE),
            (0, libc::EINVAL, 0),
        ] {
            let fd = ok!(k.socket(libc::AF_INET6, kind, 0));
            let mut addr = Addr::v6(ip, 0);
            addr.0[24..28].copy_from_slice(&scope.to_ne_bytes());
            eq!(k.bind(fd, &addr), -i64::from(errno));
            eq!(
                (kind, k.get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX)?),
                (kind, bound)
            );
            ok!(k.close(fd));
        }
    }
    Ok(())
}

fn link_local_scope_is_a_binding(k: &mut dyn Kernel) -> Outcome {
    // A scope id that names no interface is refused.
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    let mut raw = Addr::lo6(0).0;
    // fe80::1
    raw[8..24].fill(0);
    (raw[8], raw[9], raw[23]) = (0xfe, 0x80, 1);
    err!(k.bind(fd, &Addr(raw.clone())), EINVAL);
    raw[24..28].copy_from_slice(&NOWHERE.to_ne_bytes());
    err!(k.bind(fd, &Addr(raw)), ENODEV);
    Ok(())
}

fn peername(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let name = k.peername(t.server)?.0;
    eq!(name.len(), 16);
    // Less is cut; more than there is is refused.
    for cap in [0, 1, 8, 16] {
        let got = k.getsockopt(t.server, SOL_SOCKET, SO_PEERNAME, cap);
        eq!(got, (0, name[..cap].to_vec()));
    }
    for cap in [17, 128] {
        let (got, _) = k.getsockopt(t.server, SOL_SOCKET, SO_PEERNAME, cap);
        ret!(got, -libc::EINVAL);
    }
    let (a, _) = k.udp_pair(AF_INET6)?;
    let name = k.peername(a)?.0;
    eq!(k.getsockopt(a, SOL_SOCKET, SO_PEERNAME, 28), (0, name));
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    // Without a name: the family.
    eq!(k.getsockopt(a, SOL_SOCKET, SO_PEERNAME, 2), (0, vec![1, 0]));
    let (got, _) = k.getsockopt(a, SOL_SOCKET, SO_PEERNAME, 3);
    ret!(got, -libc::EINVAL);
    Ok(())
}

fn peername_of_unconnected(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        for cap in [0, 4, 128] {
            let (got, _) = k.getsockopt(fd, SOL_SOCKET, SO_PEERNAME, cap);
            ret!(got, -libc::ENOTCONN);
        }
    }
    Ok(())
}
