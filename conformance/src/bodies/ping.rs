//! Ping sockets: `SOCK_DGRAM` with ICMP, for those whom net.ipv4.ping_group_range names.

use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, err, mask, ok, ret, skip};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{AF_INET, AF_INET6, SOCK_DGRAM, SOL_SOCKET};

tests! {
    protocol_of_the_family,
    first_send_takes_an_identifier,
    reply_has_its_header,
    requests_only,
    lengths,
    destination_errors,
    bind_takes_an_identifier,
    identifiers_are_shared,
    bind_errors,
    any_peer_is_heard,
    truncation,
    no_counters,
    levels,
}

fn ping(k: &mut dyn Kernel, family: i32) -> Got<Fd> {
    let protocol = if family == AF_INET {
        libc::IPPROTO_ICMP
    } else {
        libc::IPPROTO_ICMPV6
    };
    let got = k.socket(family, SOCK_DGRAM | NB, protocol);
    if got == -i64::from(libc::EACCES) {
        skip!("net.ipv4.ping_group_range allows no ping sockets");
    }
    let fd = ok!(got);
    Ok(fd)
}

/// An echo request: identifier and checksum are the kernel's to write.
fn request(family: i32, data: &[u8]) -> Vec<u8> {
    let mut p = vec![
        if family == AF_INET { 8 } else { 128 },
        0,
        0,
        0,
        0x12,
        0x34,
        0,
        9,
    ];
    p.extend(data);
    p
}

fn protocol_of_the_family(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TYPE)?, SOCK_DGRAM);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_REUSEADDR)?, 1);
    }
    err!(
        k.socket(AF_INET6, SOCK_DGRAM, libc::IPPROTO_ICMP),
        EPROTONOSUPPORT
    );
    err!(
        k.socket(AF_INET, SOCK_DGRAM, libc::IPPROTO_ICMPV6),
        EPROTONOSUPPORT
    );
    Ok(())
}

fn first_send_takes_an_identifier(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        eq!(k.sockname(fd)?, Addr::any(family, 0));
        // Even one that fails.
        err!(k.send(fd, &request(family, b"x"), 0), EDESTADDRREQ);
        let ident = k.sockname(fd)?.port();
        eq!(ident != 0, true);
        ret!(
            k.sendto(fd, &request(family, b""), 0, &Addr::lo(family, 5)),
            8
        );
        eq!(k.sockname(fd)?.port(), ident);
    }
    Ok(())
}

fn reply_has_its_header(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        ret!(
            k.sendto(fd, &request(family, b"data"), 0, &Addr::lo(family, 5)),
            12
        );
        let mut buf = [0u8; 99];
        let (n, from) = k.recvfrom(fd, &mut buf, 0);
        eq!(n, 12);
        eq!(from, Addr::lo(family, 0));
        eq!(buf[0], if family == AF_INET { 0 } else { 129 });
        eq!(u16::from_be_bytes([buf[4], buf[5]]), k.sockname(fd)?.port());
        eq!(buf[6..12].to_vec(), [&[0, 9][..], b"data"].concat());
        err!(k.recv(fd, &mut buf, 0), EAGAIN);
        mask!(k, fd, W | WB);
        ret!(
            k.sendto(fd, &request(family, b""), 0, &Addr::lo(family, 0)),
            8
        );
        mask!(k, fd, R | W | WB);
    }
    Ok(())
}

fn requests_only(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        let to = Addr::lo(family, 0);
        for (kind, code) in [(0, 0), (8, 1), (128, 1), (129, 0), (13, 0), (3, 3)] {
            let mut p = request(family, b"");
            (p[0], p[1]) = (kind, code);
            err!(k.sendto(fd, &p, 0, &to), EINVAL);
        }
        // Extended echo requests (RFC 8335), which nobody answers by default.
        let mut p = request(family, b"");
        p[0] = if family == AF_INET { 42 } else { 160 };
        ret!(k.sendto(fd, &p, 0, &to), 8);
        err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    }
    Ok(())
}

fn lengths(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        let to = Addr::lo(family, 0);
        err!(k.sendto(fd, &request(family, b"")[..7], 0, &to), EINVAL);
        let long = request(family, &vec![1; 65_528]);
        err!(k.sendto(fd, &long, 0, &to), EMSGSIZE);
        ret!(k.sendto(fd, &long[..65_515], 0, &to), 65_515);
        let mut buf = vec![0; 70_000];
        eq!(k.recv(fd, &mut buf, 0), 65_515);
        match family {
            AF_INET => err!(k.sendto(fd, &long[..65_516], 0, &to), EMSGSIZE),
            _ => ret!(k.sendto(fd, &long[..65_516], 0, &to), 65_516),
        }
    }
    Ok(())
}

fn destination_errors(k: &mut dyn Kernel) -> Outcome {
    let fd = ping(k, AF_INET)?;
    let p = request(AF_INET, b"");
    err!(k.sendto(fd, &p, 0, &Addr::lo4(0).cut(15)), EINVAL);
    err!(k.sendto(fd, &p, 0, &Addr::lo6(0)), EAFNOSUPPORT);
    err!(
        k.sendto(fd, &p, 0, &Addr::lo4(0).with_family(libc::AF_UNSPEC)),
        EAFNOSUPPORT
    );
    err!(k.sendto(fd, &p, libc::MSG_OOB, &Addr::lo4(0)), EOPNOTSUPP);
    err!(k.recv(fd, &mut [0; 9], libc::MSG_OOB), EOPNOTSUPP);
    let fd = ping(k, AF_INET6)?;
    let p = request(AF_INET6, b"");
    err!(k.sendto(fd, &p, 0, &Addr::lo6(0).cut(27)), EINVAL);
    err!(k.sendto(fd, &p, 0, &Addr::lo4(0).padded(28)), EAFNOSUPPORT);
    err!(
        k.sendto(fd, &p, 0, &Addr::mapped([127, 0, 0, 1], 0)),
        EINVAL
    );
    err!(k.connect(fd, &Addr::lo4(1)), EAFNOSUPPORT);
    Ok(())
}

fn bind_takes_an_identifier(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        ok!(k.bind(fd, &Addr::lo(family, 777)));
        eq!(k.sockname(fd)?, Addr::lo(family, 777));
        err!(k.bind(fd, &Addr::lo(family, 778)), EINVAL);
        ret!(
            k.sendto(fd, &request(family, b""), 0, &Addr::lo(family, 5)),
            8
        );
        let reply = k.recv_now(fd)?;
        eq!(u16::from_be_bytes([reply[4], reply[5]]), 777);
        // Zero is any that is free.
        let fd = ping(k, family)?;
        ok!(k.bind(fd, &Addr::any(family, 0)));
        eq!(k.sockname(fd)?.port() != 0, true);
    }
    Ok(())
}

fn identifiers_are_shared(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let addr = Addr::lo(family, 779);
        let (first, second) = (ping(k, family)?, ping(k, family)?);
        ok!(k.bind(first, &addr));
        ok!(k.bind(second, &addr));
        // The last one hears.
        ret!(
            k.sendto(first, &request(family, b"a"), 0, &Addr::lo(family, 0)),
            9
        );
        err!(k.recv(first, &mut [0; 99], 0), EAGAIN);
        eq!(k.recv_now(second)?.len(), 9);
        // Who does not share keeps others out.
        let third = ping(k, family)?;
        ok!(k.set_int(third, SOL_SOCKET, libc::SO_REUSEADDR, 0));
        err!(k.bind(third, &addr), EADDRINUSE);
        // As long as somebody has it.
        k.close(first);
        err!(k.bind(third, &addr), EADDRINUSE);
        k.close(second);
        ok!(k.bind(third, &addr));
        let fourth = ping(k, family)?;
        err!(k.bind(fourth, &addr), EADDRINUSE);
        // Identifiers are those of both families.
        let other = AF_INET + AF_INET6 - family;
        let fifth = ping(k, other)?;
        err!(k.bind(fifth, &Addr::lo(other, 779)), EADDRINUSE);
        k.close(third);
        ok!(k.bind(fifth, &Addr::lo(other, 779)));
        k.close(fifth);
    }
    Ok(())
}

fn bind_errors(k: &mut dyn Kernel) -> Outcome {
    let fd = ping(k, AF_INET)?;
    err!(k.bind(fd, &Addr::v4([8, 8, 8, 8], 0)), EADDRNOTAVAIL);
    err!(k.bind(fd, &Addr::v4([255; 4], 0)), EADDRNOTAVAIL);
    err!(k.bind(fd, &Addr::v4([224, 0, 0, 1], 0)), EADDRNOTAVAIL);
    err!(k.bind(fd, &Addr::lo4(0).cut(15)), EINVAL);
    err!(k.bind(fd, &Addr::lo6(0)), EAFNOSUPPORT);
    err!(
        k.bind(fd, &Addr::lo4(0).with_family(libc::AF_UNSPEC)),
        EAFNOSUPPORT
    );
    ok!(k.bind(fd, &Addr::any4(0).with_family(libc::AF_UNSPEC)));
    let fd = ping(k, AF_INET6)?;
    err!(k.bind(fd, &Addr::lo6(0).cut(27)), EINVAL);
    err!(k.bind(fd, &Addr::lo4(0).padded(28)), EAFNOSUPPORT);
    err!(k.bind(fd, &Addr::mapped([127, 0, 0, 1], 0)), EINVAL);
    err!(k.bind(fd, &Addr::v6([0x20; 16], 0)), EADDRNOTAVAIL);
    Ok(())
}

fn any_peer_is_heard(k: &mut dyn Kernel) -> Outcome {
    let fd = ping(k, AF_INET)?;
    ok!(k.connect(fd, &Addr::lo4(3)));
    eq!(k.peername(fd)?, Addr::lo4(3));
    // ping_lookup() does not look at the peer.
    ret!(
        k.sendto(fd, &request(AF_INET, b""), 0, &Addr::v4([127, 0, 0, 2], 0)),
        8
    );
    eq!(k.recv_now(fd)?.len(), 8);
    ret!(k.send(fd, &request(AF_INET, b"x"), 0), 9);
    eq!(k.recv_now(fd)?.len(), 9);
    Ok(())
}

fn truncation(k: &mut dyn Kernel) -> Outcome {
    let fd = ping(k, AF_INET)?;
    ret!(
        k.sendto(fd, &request(AF_INET, b"data"), 0, &Addr::lo4(0)),
        12
    );
    let mut msg = Msg::room(&[5]);
    eq!(k.recvmsg(fd, &mut msg, 0), 5);
    eq!(msg.flags(), libc::MSG_TRUNC);
    Ok(())
}

fn no_counters(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        let mut value = 0;
        err!(k.ioctl_int(fd, libc::FIONREAD, &mut value), ENOTTY);
        err!(k.ioctl_int(fd, libc::TIOCOUTQ, &mut value), ENOTTY);
        err!(k.listen(fd, 1), EOPNOTSUPP);
    }
    Ok(())
}

fn levels(k: &mut dyn Kernel) -> Outcome {
    let fd = ping(k, AF_INET)?;
    err!(k.set_int(fd, libc::SOL_RAW, 1, 0), ENOPROTOOPT);
    err!(k.set_int(fd, libc::SOL_UDP, 1, 0), ENOPROTOOPT);
    ok!(k.set_int(fd, libc::SOL_IP, libc::IP_TTL, 3));
    let fd = ping(k, AF_INET6)?;
    err!(k.set_int(fd, libc::IPPROTO_ICMPV6, 1, 0), ENOPROTOOPT);
    ok!(k.set_int(fd, libc::SOL_IP, libc::IP_TTL, 3));
    Ok(())
}
