//! IPPROTO_IPV6 options that are an int: defaults, values, lengths, and what they do.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, WB};
use libc::{
    AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, POLLERR, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
};

tests! {
    flags,
    flags_that_take_less_than_an_int,
    multicast_loop_is_strict,
    tclass_values,
    tclass_reaches_the_receiver,
    mtu_discover_values,
    minhopcount_values,
    minhopcount_shuts_far_packets_out,
    unicast_if_values,
    mtu_and_pathmtu,
    dontfrag_and_recvpathmtu,
    mtu_discover_do,
    addr_preferences_values,
    addrform,
    pktinfo_as_an_option,
    transparent_needs_privilege [DROP],
    freebind,
    router_alert_is_for_raw [ROOT],
    policies [ROOT],
    policies_need_privilege [DROP],
    flowinfo,
    options_of_ipv6_on_ipv4,
}

const IPV6_ADDRFORM: i32 = 1;
const IPV6_2292PKTINFO: i32 = 2;
const IPV6_2292HOPLIMIT: i32 = 8;
const IPV6_FLOWINFO: i32 = 11;
const IPV6_ROUTER_ALERT: i32 = 22;
const IPV6_MULTICAST_ALL: i32 = 29;
const IPV6_ROUTER_ALERT_ISOLATE: i32 = 30;
const IPV6_FLOWINFO_SEND: i32 = 33;
const IPV6_IPSEC_POLICY: i32 = 34;
const IPV6_XFRM_POLICY: i32 = 35;
const IPV6_RECVPATHMTU: i32 = 60;
const IPV6_PATHMTU: i32 = 61;
const IPV6_DONTFRAG: i32 = 62;
const IPV6_AUTOFLOWLABEL: i32 = 70;
const IPV6_ADDR_PREFERENCES: i32 = 72;
const IPV6_MINHOPCOUNT: i32 = 73;
const IPV6_RECVORIGDSTADDR: i32 = 74;
const IPV6_TRANSPARENT: i32 = 75;
const IPV6_UNICAST_IF: i32 = 76;
const IPV6_RECVFRAGSIZE: i32 = 77;
const IPV6_FREEBIND: i32 = 78;

fn each_kind(k: &mut dyn Kernel) -> Got<[Fd; 2]> {
    Ok([
        ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0)),
        ok!(k.socket(AF_INET6, SOCK_STREAM | NB, 0)),
    ])
}

/// Any value but zero is true; more than an int is read as one.
fn is_a_flag(k: &mut dyn Kernel, fd: Fd, name: i32, default: i32) -> Outcome {
    eq!((name, k.get_int(fd, IPPROTO_IPV6, name)?), (name, default));
    for (value, shown) in [(-1, 1), (0, 0), (1, 1), (0, 0), (256, 1), (0, 0)] {
        ret!(k.set_int(fd, IPPROTO_IPV6, name, value), 0);
        eq!((name, k.get_int(fd, IPPROTO_IPV6, name)?), (name, shown));
    }
    ret!(k.setsockopt(fd, IPPROTO_IPV6, name, &[1, 0, 0, 0, 9]), 0);
    eq!((name, k.get_int(fd, IPPROTO_IPV6, name)?), (name, 1));
    // Cut, not made a byte.
    eq!(k.getsockopt(fd, IPPROTO_IPV6, name, 2), (0, vec![1, 0]));
    eq!(
        k.getsockopt(fd, IPPROTO_IPV6, name, 8),
        (0, int(1).to_vec())
    );
    Ok(())
}

fn flags(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        for (name, default) in [
            (libc::IPV6_RECVHOPLIMIT, 0),
            (libc::IPV6_RECVTCLASS, 0),
            (IPV6_2292PKTINFO, 0),
            (IPV6_2292HOPLIMIT, 0),
            (IPV6_FLOWINFO, 0),
            (IPV6_MULTICAST_ALL, 1),
            (IPV6_ROUTER_ALERT_ISOLATE, 0),
            (IPV6_FLOWINFO_SEND, 0),
            (IPV6_RECVPATHMTU, 0),
            (IPV6_RECVORIGDSTADDR, 0),
            (IPV6_FREEBIND, 0),
        ] {
            is_a_flag(k, fd, name, default)?;
            for value in [&[][..], &[1], &[1, 0, 0]] {
                err!(k.setsockopt(fd, IPPROTO_IPV6, name, value), EINVAL);
            }
        }
    }
    Ok(())
}

fn flags_that_take_less_than_an_int(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        for (name, default) in [
            (IPV6_DONTFRAG, 0),
            (IPV6_AUTOFLOWLABEL, 1),
            (IPV6_RECVFRAGSIZE, 0),
        ] {
            is_a_flag(k, fd, name, default)?;
            for value in [&[][..], &[1], &[1, 1, 1]] {
                ret!(k.set_int(fd, IPPROTO_IPV6, name, 1), 0);
                ret!(k.setsockopt(fd, IPPROTO_IPV6, name, value), 0);
                eq!((name, k.get_int(fd, IPPROTO_IPV6, name)?), (name, 0));
            }
        }
    }
    Ok(())
}

fn multicast_loop_is_strict(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP)?, 1);
        for value in [-1, 2, 256] {
            err!(
                k.set_int(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, value),
                EINVAL
            );
        }
        err!(
            k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, &[1]),
            EINVAL
        );
        for value in [0, 1] {
            ret!(
                k.set_int(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, value),
                0
            );
            eq!(
                k.get_int(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP)?,
                value
            );
        }
    }
    Ok(())
}

fn tclass_values(k: &mut dyn Kernel) -> Outcome {
    let [dgram, stream] = each_kind(k)?;
    for fd in [dgram, stream] {
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_TCLASS)?, 0);
        for value in [-2, 256] {
            err!(
                k.set_int(fd, IPPROTO_IPV6, libc::IPV6_TCLASS, value),
                EINVAL
            );
        }
        err!(
            k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_TCLASS, &[1]),
            EINVAL
        );
        ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_TCLASS, 0xfc), 0);
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_TCLASS)?, 0xfc);
        ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_TCLASS, -1), 0);
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_TCLASS)?, 0);
    }
    // TCP owns the two ECN bits.
    ret!(k.set_int(dgram, IPPROTO_IPV6, libc::IPV6_TCLASS, 255), 0);
    eq!(k.get_int(dgram, IPPROTO_IPV6, libc::IPV6_TCLASS)?, 255);
    ret!(k.set_int(stream, IPPROTO_IPV6, libc::IPV6_TCLASS, 255), 0);
    eq!(k.get_int(stream, IPPROTO_IPV6, libc::IPV6_TCLASS)?, 0xfc);
    // IP_TOS is another option, also on the same socket.
    eq!(k.get_int(dgram, IPPROTO_IP, libc::IP_TOS)?, 0);
    Ok(())
}

/// The one control message of this type that comes with the next datagram.
fn arrives(k: &mut dyn Kernel, fd: Fd, kind: i32) -> Got<Vec<u8>> {
    let mut msg = Msg::room(&[64]).control_room(512);
    mask!(k, fd, WB | crate::sys::R);
    ok!(k.recvmsg(fd, &mut msg, 0));
    match msg.cmsg(IPPROTO_IPV6, kind) {
        Some(cmsg) => Ok(cmsg.data),
        None => crate::check::fail("no such control message", format!("{:?}", msg.cmsgs())),
    }
}

fn tclass_reaches_the_receiver(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET6)?;
    ret!(k.set_int(to, IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1), 0);
    let from = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(from, IPPROTO_IPV6, libc::IPV6_TCLASS, 0xb8), 0);
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    eq!(arrives(k, to, libc::IPV6_TCLASS)?, int(0xb8).to_vec());
    // A message has its own; -1 is all ones.
    for (own, seen) in [(0x10, 0x10), (0, 0), (-1, 255), (255, 255)] {
        let control = cmsg(IPPROTO_IPV6, libc::IPV6_TCLASS, &int(own));
        let mut msg = Msg::of(&[b"x"]).to(&addr).control(&control);
        ret!(k.sendmsg(from, &mut msg, 0), 1);
        eq!(arrives(k, to, libc::IPV6_TCLASS)?, int(seen).to_vec());
    }
    Ok(())
}

fn mtu_discover_values(k: &mut dyn Kernel) -> Outcome {
    let name = libc::IPV6_MTU_DISCOVER;
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IPV6, name)?, libc::IPV6_PMTUDISC_WANT);
        for value in 0..=5 {
            ret!(k.set_int(fd, IPPROTO_IPV6, name, value), 0);
            eq!(k.get_int(fd, IPPROTO_IPV6, name)?, value);
        }
        for value in [-1, 6, 256] {
            err!(k.set_int(fd, IPPROTO_IPV6, name, value), EINVAL);
        }
        err!(k.setsockopt(fd, IPPROTO_IPV6, name, &[2]), EINVAL);
        // IPv4's is another.
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_MTU_DISCOVER)?, 1);
    }
    Ok(())
}

fn minhopcount_values(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT)?, 0);
        for value in [255, 1, 0] {
            ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, value), 0);
            eq!(k.get_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT)?, value);
        }
        for value in [-1, 256] {
            err!(k.set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, value), EINVAL);
        }
        err!(
            k.setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &[1]),
            EINVAL
        );
    }
    Ok(())
}

fn minhopcount_shuts_far_packets_out(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET6)?;
    ret!(k.set_int(tcp.server, IPPROTO_IPV6, IPV6_MINHOPCOUNT, 65), 0);
    ret!(k.send(tcp.client, b"far", 0), 3);
    k.pause(std::time::Duration::from_millis(20));
    err!(k.recv(tcp.server, &mut [0; 8], 0), EAGAIN);
    ret!(
        k.set_int(tcp.client, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 65),
        0
    );
    eq!(k.recv_now(tcp.server)?, b"far");
    Ok(())
}

fn unicast_if_values(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IPV6, IPV6_UNICAST_IF)?, 0);
        let lo = 1u32.to_be() as i32;
        ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, lo), 0);
        eq!(k.get_int(fd, IPPROTO_IPV6, IPV6_UNICAST_IF)?, lo);
        err!(
            k.set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, -1),
            EADDRNOTAVAIL
        );
        for value in [&[][..], &[1], &[0; 8]] {
            err!(
                k.setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, value),
                EINVAL
            );
        }
        // IPv4's is another.
        eq!(k.get_int(fd, IPPROTO_IP, 50)?, 0);
    }
    Ok(())
}

fn mtu_and_pathmtu(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        for name in [libc::IPV6_MTU, IPV6_PATHMTU] {
            let got = k.getsockopt(fd, IPPROTO_IPV6, name, 32).0;
            eq!(got, -i64::from(libc::ENOTCONN));
        }
        for value in [1, 1279, -1] {
            err!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_MTU, value), EINVAL);
        }
        for value in [1280, 65_536, 0] {
            ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_MTU, value), 0);
        }
        err!(k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_MTU, &[0]), EINVAL);
        err!(k.set_int(fd, IPPROTO_IPV6, IPV6_PATHMTU, 1), ENOPROTOOPT);
    }
    let (a, _b) = k.udp_pair(AF_INET6)?;
    let tcp = k.tcp(AF_INET6)?;
    for fd in [a, tcp.client] {
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_MTU)?, 65_536);
        // struct ip6_mtuinfo, without the address.
        let mut info = vec![0; 28];
        info.extend(65_536u32.to_ne_bytes());
        eq!(k.getsockopt(fd, IPPROTO_IPV6, IPV6_PATHMTU, 40), (0, info));
        let got = k.getsockopt(fd, IPPROTO_IPV6, IPV6_PATHMTU, 31).0;
        eq!(got, -i64::from(libc::EINVAL));
    }
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &Addr::mapped([127, 0, 0, 1], 9)), 0);
    eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_MTU)?, 65_535);
    Ok(())
}

fn dontfrag_and_recvpathmtu(k: &mut dyn Kernel) -> Outcome {
    // A datagram that fits UDP and not the MTU of lo.
    let big = vec![7; 65_500];
    let (to, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(fd, &big, 0, &addr), big.len());
    eq!(k.recv_now(to)?.len(), big.len());
    ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1), 0);
    err!(k.sendto(fd, &big, 0, &addr), EMSGSIZE);
    // A message may have it otherwise.
    for (value, sent) in [(0, true), (1, false)] {
        let control = cmsg(IPPROTO_IPV6, IPV6_DONTFRAG, &int(value));
        let mut msg = Msg::of(&[&big]).to(&addr).control(&control);
        if sent {
            ret!(k.sendmsg(fd, &mut msg, 0), big.len());
        } else {
            err!(k.sendmsg(fd, &mut msg, 0), EMSGSIZE);
        }
    }
    let control = cmsg(IPPROTO_IPV6, IPV6_DONTFRAG, &int(2));
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&control);
    err!(k.sendmsg(fd, &mut msg, 0), EINVAL);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    // Whoever asks is told what the path takes, once, by an empty message.
    ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_RECVPATHMTU, 1), 0);
    err!(k.sendto(fd, &big, 0, &addr), EMSGSIZE);
    mask!(k, fd, WB);
    let mut msg = Msg::room(&[8]).name_room(28).control_room(128);
    ret!(k.recvmsg(fd, &mut msg, 0), 0);
    eq!((msg.flags(), msg.peer()), (0, addr.with_port(0)));
    let cmsgs = msg.cmsgs();
    eq!(cmsgs.len(), 1);
    eq!(
        (cmsgs[0].level, cmsgs[0].kind),
        (IPPROTO_IPV6, IPV6_PATHMTU)
    );
    let mut info = addr.with_port(0).0;
    info.extend(65_536u32.to_ne_bytes());
    eq!(cmsgs[0].data.clone(), info);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    // With IPV6_RECVERR the error queue has it, too.
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_RECVERR, 1), 0);
    err!(k.sendto(fd, &big, 0, &addr), EMSGSIZE);
    mask!(k, fd, WB | POLLERR);
    ret!(k.recv(fd, &mut [0; 4], 0), 0);
    ret!(k.recv(fd, &mut [0; 4], libc::MSG_ERRQUEUE), 0);
    mask!(k, fd, WB);
    Ok(())
}

fn mtu_discover_do(k: &mut dyn Kernel) -> Outcome {
    let big = vec![7; 65_500];
    let (to, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    for (value, sent) in [
        (0, true),
        (1, true),
        (2, false),
        (3, false),
        (4, false),
        (5, true),
    ] {
        let name = libc::IPV6_MTU_DISCOVER;
        ret!(k.set_int(fd, IPPROTO_IPV6, name, value), 0);
        if sent {
            ret!(k.sendto(fd, &big, 0, &addr), big.len());
            eq!(k.recv_now(to)?.len(), big.len());
        } else {
            err!(k.sendto(fd, &big, 0, &addr), EMSGSIZE);
        }
        ret!(k.sendto(fd, &big[..65_488], 0, &addr), 65_488);
        eq!(k.recv_now(to)?.len(), 65_488);
    }
    Ok(())
}

fn addr_preferences_values(k: &mut dyn Kernel) -> Outcome {
    let name = IPV6_ADDR_PREFERENCES;
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IPV6, name)?, 0x500);
        for (value, shown) in [
            (0x1, 0x401),
            (0x2, 0x402),
            // Each time anew.
            (0x4, 0x104),
            (0, 0x500),
            (0x5, 0x005),
            (0x400, 0x500),
            (0x6, 0x006),
            (0x100, 0x500),
            (0x808, -1),
            (0x3, -1),
            (0x404, -1),
            (0x101, -1),
            (0x2, 0x402),
            (0x8, 0x500),
            (0x800, 0x500),
            (0x10000, 0x500),
        ] {
            let got = k.set_int(fd, IPPROTO_IPV6, name, value);
            if shown < 0 {
                err!(got, EINVAL);
            } else {
                ret!(got, 0);
                eq!((value, k.get_int(fd, IPPROTO_IPV6, name)?), (value, shown));
            }
        }
        err!(k.setsockopt(fd, IPPROTO_IPV6, name, &[1]), EINVAL);
    }
    Ok(())
}

fn addrform(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        err!(
            k.set_int(fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET),
            ENOTCONN
        );
        err!(k.set_int(fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET6), EINVAL);
        err!(k.setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &[2]), EINVAL);
        let got = k.getsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, 4).0;
        eq!(got, -i64::from(libc::ENOTCONN));
    }
    // Of a connection over IPv6 there is no IPv4 form.
    let tcp = k.tcp(AF_INET6)?;
    eq!(
        k.get_int(tcp.client, IPPROTO_IPV6, IPV6_ADDRFORM)?,
        AF_INET6
    );
    err!(
        k.set_int(tcp.client, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET),
        EADDRNOTAVAIL
    );
    // Over IPv4 there is: the socket is one of AF_INET from then on.
    let (listener, addr) = k.tcp_listener(AF_INET, 8)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM, 0));
    ret!(k.connect(fd, &Addr::mapped([127, 0, 0, 1], addr.port())), 0);
    let server = ok!(k.accept(listener));
    ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET), 0);
    eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)?, AF_INET);
    eq!(k.peername(fd)?, addr);
    eq!(k.sockname(fd)?.family(), AF_INET);
    err!(
        k.set_int(fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET),
        ENOPROTOOPT
    );
    ret!(k.send(fd, b"four", 0), 4);
    eq!(k.recv_now(server)?, b"four");
    let (peer, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &Addr::mapped([127, 0, 0, 1], addr.port())), 0);
    ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET), 0);
    ret!(k.send(fd, b"x", 0), 1);
    let (n, from) = k.recvfrom(peer, &mut [0; 4], 0);
    ret!(n, 1);
    eq!(from, k.sockname(fd)?);
    eq!(k.peername(fd)?, addr);
    Ok(())
}

fn pktinfo_as_an_option(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        let got = k.getsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, 20).0;
        eq!(got, -i64::from(libc::ENOPROTOOPT));
        for len in [0, 4, 19] {
            err!(
                k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &vec![0; len]),
                EINVAL
            );
        }
        // The interface need not be there yet.
        for index in [1, 0, 0x7fff, 0] {
            let info = [&[0; 16][..], &int(index)].concat();
            ret!(k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &info), 0);
        }
    }
    let (peer, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let info = [&[0; 16][..], &int(1)].concat();
    ret!(k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &info), 0);
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    eq!(k.recv_now(peer)?, b"x");
    Ok(())
}

fn transparent_needs_privilege(k: &mut dyn Kernel) -> Outcome {
    if k.privileged() {
        for fd in each_kind(k)? {
            is_a_flag(k, fd, IPV6_TRANSPARENT, 0)?;
            // The same bit as IPv4's.
            eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TRANSPARENT)?, 1);
        }
    }
    check!(k.drop_privileges(), "still root");
    for fd in each_kind(k)? {
        err!(k.set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1), EPERM);
        ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 0), 0);
        err!(
            k.setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &[1]),
            EINVAL
        );
    }
    Ok(())
}

fn freebind(k: &mut dyn Kernel) -> Outcome {
    // 2001:db8::7 of RFC 3849.
    let mut ip = [0; 16];
    (ip[0], ip[1], ip[2], ip[3], ip[15]) = (0x20, 0x01, 0x0d, 0xb8, 7);
    for fd in each_kind(k)? {
        err!(k.bind(fd, &Addr::v6(ip, 0)), EADDRNOTAVAIL);
        ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1), 0);
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_FREEBIND)?, 1);
        ret!(k.bind(fd, &Addr::v6(ip, 0)), 0);
        eq!(k.sockname(fd)?.with_port(0), Addr::v6(ip, 0));
    }
    // Unlike IPv4 it may be sent from.
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1), 0);
    ret!(k.bind(fd, &Addr::v6(ip, 0)), 0);
    ret!(k.connect(fd, &Addr::lo6(9)), 0);
    Ok(())
}

fn router_alert_is_for_raw(k: &mut dyn Kernel) -> Outcome {
    let udp = ok!(k.socket(AF_INET6, SOCK_RAW | NB, 17));
    let [dgram, stream] = each_kind(k)?;
    for fd in [dgram, stream, udp] {
        eq!(k.get_int(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT)?, 0);
        for value in [-1, 0, 1] {
            err!(
                k.set_int(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT, value),
                ENOPROTOOPT
            );
        }
        err!(
            k.setsockopt(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT, &[1]),
            EINVAL
        );
    }
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, libc::IPPROTO_RAW));
    err!(k.set_int(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT, -1), ENOBUFS);
    ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT, 1), 0);
    eq!(k.get_int(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT)?, 1);
    err!(
        k.set_int(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT, 1),
        EADDRINUSE
    );
    ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_ROUTER_ALERT, -1), 0);
    Ok(())
}

fn policies(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        err!(
            k.set_int(fd, IPPROTO_IPV6, IPV6_IPSEC_POLICY, 1),
            EOPNOTSUPP
        );
        err!(k.set_int(fd, IPPROTO_IPV6, IPV6_XFRM_POLICY, 1), EINVAL);
        for name in [IPV6_IPSEC_POLICY, IPV6_XFRM_POLICY] {
            err!(k.setsockopt(fd, IPPROTO_IPV6, name, &[]), EMSGSIZE);
            let got = k.getsockopt(fd, IPPROTO_IPV6, name, 4).0;
            eq!(got, -i64::from(libc::ENOPROTOOPT));
        }
    }
    Ok(())
}

fn policies_need_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "still root");
    for fd in each_kind(k)? {
        for name in [IPV6_IPSEC_POLICY, IPV6_XFRM_POLICY] {
            err!(k.set_int(fd, IPPROTO_IPV6, name, 1), EPERM);
        }
    }
    Ok(())
}

fn flowinfo(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET6)?;
    ret!(k.set_int(to, IPPROTO_IPV6, IPV6_FLOWINFO, 1), 0);
    let from = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    // A label of the kernel's own, the same for all of a flow.
    ret!(k.connect(from, &addr), 0);
    ret!(k.send(from, b"x", 0), 1);
    let first = arrives(k, to, IPV6_FLOWINFO)?;
    check!(first != [0; 4] && first[0] == 0, "{first:?}");
    ret!(k.send(from, b"x", 0), 1);
    eq!(arrives(k, to, IPV6_FLOWINFO)?, first);
    // None, and nothing to tell.
    ret!(k.set_int(from, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0), 0);
    ret!(k.send(from, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(64);
    ret!(k.recvmsg(to, &mut msg, 0), 1);
    eq!(msg.cmsgs(), vec![]);
    // The traffic class is part of it.
    ret!(k.set_int(from, IPPROTO_IPV6, libc::IPV6_TCLASS, 0x20), 0);
    ret!(k.send(from, b"x", 0), 1);
    eq!(arrives(k, to, IPV6_FLOWINFO)?, vec![2, 0, 0, 0]);
    // One of a message's own.
    let control = cmsg(IPPROTO_IPV6, IPV6_FLOWINFO, &[0, 1, 2, 3]);
    let mut msg = Msg::of(&[b"x"]).control(&control);
    ret!(k.sendmsg(from, &mut msg, 0), 1);
    eq!(arrives(k, to, IPV6_FLOWINFO)?, vec![2, 1, 2, 3]);
    let control = cmsg(IPPROTO_IPV6, IPV6_FLOWINFO, &[0, 1, 2]);
    let mut msg = Msg::of(&[b"x"]).control(&control);
    err!(k.sendmsg(from, &mut msg, 0), EINVAL);
    // sin6_flowinfo counts when that is asked for.
    let mut named = addr.clone();
    named.0[4..8].copy_from_slice(&[0, 9, 8, 7]);
    ret!(k.set_int(from, IPPROTO_IPV6, libc::IPV6_TCLASS, 0), 0);
    ret!(k.sendto(from, b"x", 0, &named), 1);
    let mut msg = Msg::room(&[8]).control_room(64);
    ret!(k.recvmsg(to, &mut msg, 0), 1);
    eq!(msg.cmsgs(), vec![]);
    ret!(k.set_int(from, IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1), 0);
    ret!(k.sendto(from, b"x", 0, &named), 1);
    eq!(arrives(k, to, IPV6_FLOWINFO)?, vec![0, 9, 8, 7]);
    Ok(())
}

fn options_of_ipv6_on_ipv4(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        for name in [libc::IPV6_TCLASS, IPV6_DONTFRAG, IPV6_RECVORIGDSTADDR] {
            err!(k.set_int(fd, IPPROTO_IPV6, name, 1), ENOPROTOOPT);
            let got = k.getsockopt(fd, IPPROTO_IPV6, name, 4).0;
            eq!(got, -i64::from(libc::EOPNOTSUPP));
        }
    }
    Ok(())
}
