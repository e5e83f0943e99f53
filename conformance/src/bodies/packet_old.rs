//! SOCK_PACKET, socket(2) and packet(7): packet sockets that name interfaces. In a network of the body's own.

use super::packet::{ALL, IP, OWN, frame, next, open};
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, AF_PACKET, AF_UNIX, MSG_PEEK, MSG_TRUNC, SOCK_RAW, SOL_SOCKET};

tests! {
    made_by_either_family [ROOT],
    nobody_without_the_right [DROP],
    bound_by_name [ROOT],
    options_of_its_own_are_none [ROOT],
    sees_whole_frames [ROOT],
    sends_where_the_name_says [ROOT],
    what_cannot_be_sent [ROOT],
}

/// The type, which libc gives to no target any more.
const SOCK_PACKET: i32 = 10;
const SOL_PACKET: i32 = 263;
/// ARPHRD_LOOPBACK
const LOOPBACK: u16 = 772;

fn old(k: &mut dyn Kernel, protocol: u16) -> Got<Fd> {
    Ok(ok!(k.socket(
        AF_INET,
        SOCK_PACKET | NB,
        i32::from(protocol.to_be())
    )))
}

/// `struct sockaddr_pkt` in so many bytes.
fn pkt(family: u16, name: &[u8], protocol: u16, len: usize) -> Addr {
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend(name);
    bytes.resize(16, 0);
    bytes.extend(protocol.to_be_bytes());
    bytes.resize(20, 0);
    Addr(bytes).cut(len)
}

fn device(name: &[u8]) -> Addr {
    pkt(AF_PACKET as u16, name, 0, 16)
}

fn made_by_either_family(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for family in [AF_INET, AF_PACKET] {
        let fd = ok!(k.socket(family, SOCK_PACKET, i32::from(ALL.to_be())));
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_DOMAIN)?, AF_PACKET);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TYPE)?, SOCK_PACKET);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_PROTOCOL)?, 0);
    }
    ok!(k.socket(AF_INET, SOCK_PACKET, -1));
    err!(k.socket(AF_INET6, SOCK_PACKET, 0), ESOCKTNOSUPPORT);
    err!(k.socket(AF_UNIX, SOCK_PACKET, 0), ESOCKTNOSUPPORT);
    Ok(())
}

fn nobody_without_the_right(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    for protocol in [0, 768, -1] {
        err!(k.socket(AF_INET, SOCK_PACKET, protocol), EPERM);
    }
    Ok(())
}

fn bound_by_name(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = old(k, ALL)?;
    eq!(k.sockname(fd)?, device(b""));
    for name in [&b"none"[..], b"", b"lolololololo"] {
        err!(k.bind(fd, &device(name)), ENODEV);
    }
    for len in [2, 15, 17, 18, 20] {
        err!(k.bind(fd, &pkt(17, b"lo", 0, len)), EINVAL);
    }
    // Whatever the family.
    for family in [0, 2, 17, 99] {
        ret!(k.bind(fd, &pkt(family, b"lo", 0, 16)), 0);
    }
    eq!(k.sockname(fd)?, device(b"lo"));
    err!(k.connect(fd, &device(b"lo")), EOPNOTSUPP);
    err!(k.listen(fd, 1), EOPNOTSUPP);
    Ok(())
}

fn options_of_its_own_are_none(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = old(k, ALL)?;
    for level in [SOL_PACKET, 0, 6, 255] {
        err!(k.set_int(fd, level, 8, 1), EOPNOTSUPP);
        eq!(
            k.getsockopt(fd, level, 8, 4).0,
            -i64::from(libc::EOPNOTSUPP)
        );
    }
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 5000), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?, 10_000);
    Ok(())
}

fn sees_whole_frames(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let all = old(k, ALL)?;
    let ip = old(k, IP)?;
    let (udp, to) = k.udp(AF_INET)?;
    ret!(k.sendto(udp, b"hi", 0, &to), 2);
    let from = pkt(LOOPBACK, b"lo", IP, 18);
    eq!(k.fionread(all)?, 44);
    // What leaves and what comes in; one protocol is heard when it comes in.
    for (fd, times) in [(all, 2), (ip, 1)] {
        for _ in 0..times {
            let mut buf = [0; 100];
            let (n, name) = k.recvfrom(fd, &mut buf, 0);
            eq!((n, name), (44, from.clone()));
            eq!(&buf[..14], &frame(IP, &[])[..]);
            eq!(buf[14], 0x45);
            eq!(&buf[42..44], b"hi");
        }
        err!(k.recv(fd, &mut [0; 9], 0), EAGAIN);
    }
    ret!(k.sendto(udp, b"hi", 0, &to), 2);
    ret!(k.recv(ip, &mut [0; 9], MSG_PEEK | MSG_TRUNC), 44);
    ret!(k.recv(ip, &mut [0; 9], 0), 9);
    err!(k.recv(ip, &mut [0; 9], 0), EAGAIN);
    Ok(())
}

fn sends_where_the_name_says(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = old(k, ALL)?;
    let sent = frame(OWN, b"payload");
    // It is bound to nothing, and gets back what comes in. The protocol counts where there is room for one.
    for len in [16, 17, 18, 20] {
        let to = pkt(2, b"lo", OWN, len);
        ret!(k.sendto(fd, &sent, 0, &to), sent.len());
        let Some((data, name)) = next(k, fd) else {
            return crate::check::fail(crate::check::here!(), format!("nothing of {len}"));
        };
        eq!((len, &data), (len, &sent));
        eq!(name, pkt(LOOPBACK, b"lo", OWN, 18));
        check!(next(k, fd).is_none(), "{len}: another");
    }
    let other = open(k, SOCK_RAW, OWN)?;
    ret!(k.sendto(fd, &sent, 0, &device(b"lo")), sent.len());
    eq!(next(k, other).map(|(data, _)| data), Some(sent));
    Ok(())
}

fn what_cannot_be_sent(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = old(k, ALL)?;
    ret!(k.bind(fd, &device(b"lo")), 0);
    let sent = frame(OWN, b"payload");
    // Though it is bound.
    err!(k.send(fd, &sent, 0), ENOTCONN);
    for len in [1, 2, 15] {
        err!(k.sendto(fd, &sent, 0, &device(b"lo").cut(len)), EINVAL);
    }
    err!(k.sendto(fd, &sent, 0, &device(b"none")), ENODEV);
    err!(k.sendto(fd, &sent, 0, &device(b"")), ENODEV);
    err!(k.sendto(fd, b"", 0, &device(b"lo")), EINVAL);
    err!(k.sendto(fd, &sent[..13], 0, &device(b"lo")), EINVAL);
    ret!(k.sendto(fd, &sent[..14], 0, &device(b"lo")), 14);
    ret!(k.sendto(fd, &[0; 65536 + 14], 0, &device(b"lo")), 65550);
    err!(k.sendto(fd, &[0; 65536 + 15], 0, &device(b"lo")), EMSGSIZE);
    Ok(())
}
