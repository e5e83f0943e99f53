//! Control messages of IP in both directions: which come, in which order, and what sendmsg(2) takes.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::{Cmsg, Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, MSG_CTRUNC, SOCK_DGRAM};

tests! {
    order_of_ipv4,
    order_of_ipv6,
    mapped_has_those_of_ipv4,
    origdstaddr,
    several_are_cut_at_the_end,
    ttl_and_tos_of_a_message,
    bad_messages_of_ipv4,
    hoplimit_of_a_message,
    bad_messages_of_ipv6,
    pktinfo_2292,
    pktinfo_of_another_host,
    other_levels_are_passed_over,
}

const IP_ORIGDSTADDR: i32 = 20;
const IP_PROTOCOL: i32 = 52;
const IPV6_2292PKTINFO: i32 = 2;
const IPV6_2292HOPLIMIT: i32 = 8;
const IPV6_ORIGDSTADDR: i32 = 74;

/// A bound socket with these options on.
fn with(k: &mut dyn Kernel, family: i32, level: i32, names: &[i32]) -> Got<(Fd, Addr)> {
    let (fd, addr) = k.udp(family)?;
    for name in names {
        ret!(k.set_int(fd, level, *name, 1), 0);
    }
    Ok((fd, addr))
}

fn arrived(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<Cmsg>> {
    let mut msg = Msg::room(&[64]).control_room(512);
    ret!(k.recvmsg(fd, &mut msg, 0), 1);
    eq!(msg.flags(), 0);
    Ok(msg.cmsgs())
}

fn kinds(cmsgs: &[Cmsg]) -> Vec<(i32, i32, usize)> {
    let one = |c: &Cmsg| (c.level, c.kind, c.data.len());
    cmsgs.iter().map(one).collect()
}

fn order_of_ipv4(k: &mut dyn Kernel) -> Outcome {
    let names = [
        libc::IP_RECVORIGDSTADDR,
        libc::IP_RECVTOS,
        libc::IP_RECVTTL,
        libc::IP_PKTINFO,
    ];
    let (to, addr) = with(k, AF_INET, IPPROTO_IP, &names)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(from, IPPROTO_IP, libc::IP_TOS, 0x10), 0);
    ret!(k.set_int(from, IPPROTO_IP, libc::IP_TTL, 33), 0);
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let cmsgs = arrived(k, to)?;
    let expected = vec![
        (IPPROTO_IP, libc::IP_PKTINFO, 12),
        (IPPROTO_IP, libc::IP_TTL, 4),
        (IPPROTO_IP, libc::IP_TOS, 1),
        (IPPROTO_IP, IP_ORIGDSTADDR, 16),
    ];
    eq!(kinds(&cmsgs), expected);
    eq!(cmsgs[1].data.clone(), int(33).to_vec());
    eq!(cmsgs[2].data.clone(), vec![0x10]);
    eq!(cmsgs[3].data.clone(), addr.0);
    Ok(())
}

fn order_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let names = [
        IPV6_ORIGDSTADDR,
        IPV6_2292HOPLIMIT,
        IPV6_2292PKTINFO,
        libc::IPV6_RECVTCLASS,
        libc::IPV6_RECVHOPLIMIT,
        libc::IPV6_RECVPKTINFO,
    ];
    let (to, addr) = with(k, AF_INET6, IPPROTO_IPV6, &names)?;
    let from = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let cmsgs = arrived(k, to)?;
    let expected = vec![
        (IPPROTO_IPV6, libc::IPV6_PKTINFO, 20),
        (IPPROTO_IPV6, libc::IPV6_HOPLIMIT, 4),
        (IPPROTO_IPV6, libc::IPV6_TCLASS, 4),
        (IPPROTO_IPV6, IPV6_2292PKTINFO, 20),
        (IPPROTO_IPV6, IPV6_2292HOPLIMIT, 4),
        (IPPROTO_IPV6, IPV6_ORIGDSTADDR, 28),
    ];
    eq!(kinds(&cmsgs), expected);
    eq!(cmsgs[3].data.clone(), cmsgs[0].data.clone());
    eq!(cmsgs[5].data.clone(), addr.0);
    // Those of IPv4 say nothing of an IPv6 datagram.
    let names = [libc::IP_RECVTTL, libc::IP_RECVTOS, libc::IP_PKTINFO];
    let (to, addr) = with(k, AF_INET6, IPPROTO_IP, &names)?;
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    eq!(arrived(k, to)?, vec![]);
    Ok(())
}

fn mapped_has_those_of_ipv4(k: &mut dyn Kernel) -> Outcome {
    let to = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.bind(to, &Addr::any6(0)), 0);
    let addr = Addr::lo4(k.sockname(to)?.port());
    for name in [
        libc::IPV6_RECVPKTINFO,
        libc::IPV6_RECVHOPLIMIT,
        libc::IPV6_RECVTCLASS,
        IPV6_2292HOPLIMIT,
        IPV6_ORIGDSTADDR,
    ] {
        ret!(k.set_int(to, IPPROTO_IPV6, name, 1), 0);
    }
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    // IPV6_PKTINFO alone is of both.
    let cmsgs = arrived(k, to)?;
    eq!(kinds(&cmsgs), vec![(IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)]);
    for name in [
        libc::IP_RECVTTL,
        libc::IP_RECVTOS,
        libc::IP_PKTINFO,
        IP_ORIGDSTADDR,
    ] {
        ret!(k.set_int(to, IPPROTO_IP, name, 1), 0);
    }
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let cmsgs = arrived(k, to)?;
    let expected = vec![
        (IPPROTO_IPV6, libc::IPV6_PKTINFO, 20),
        (IPPROTO_IP, libc::IP_PKTINFO, 12),
        (IPPROTO_IP, libc::IP_TTL, 4),
        (IPPROTO_IP, libc::IP_TOS, 1),
        (IPPROTO_IP, IP_ORIGDSTADDR, 16),
    ];
    eq!(kinds(&cmsgs), expected);
    eq!(cmsgs[4].data.clone(), addr.0);
    Ok(())
}

fn origdstaddr(k: &mut dyn Kernel) -> Outcome {
    // The address that was written to, of a socket that has them all.
    let to = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(to, &Addr::any4(0)), 0);
    ret!(k.set_int(to, IPPROTO_IP, libc::IP_RECVORIGDSTADDR, 1), 0);
    let addr = Addr::v4([127, 0, 0, 9], k.sockname(to)?.port());
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let cmsgs = arrived(k, to)?;
    eq!(kinds(&cmsgs), vec![(IPPROTO_IP, IP_ORIGDSTADDR, 16)]);
    eq!(cmsgs[0].data.clone(), addr.0);
    let (to, addr) = with(k, AF_INET6, IPPROTO_IPV6, &[libc::IPV6_RECVORIGDSTADDR])?;
    let from = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    eq!(arrived(k, to)?[0].data.clone(), addr.0);
    Ok(())
}

fn several_are_cut_at_the_end(k: &mut dyn Kernel) -> Outcome {
    let names = [libc::IP_RECVTTL, libc::IP_PKTINFO, libc::IP_RECVTOS];
    let (to, addr) = with(k, AF_INET, IPPROTO_IP, &names)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    // 32 for IP_PKTINFO, 24 for IP_TTL, 24 for IP_TOS.
    for (room, lens) in [
        (80, vec![12, 4, 1]),
        (73, vec![12, 4, 1]),
        (72, vec![12, 4, 0]),
        (71, vec![12, 4]),
        (56, vec![12, 4]),
        (50, vec![12, 2]),
        (32, vec![12]),
        (20, vec![4]),
        (15, vec![]),
    ] {
        ret!(k.sendto(from, b"x", 0, &addr), 1);
        let mut msg = Msg::room(&[4]).control_room(room);
        ret!(k.recvmsg(to, &mut msg, 0), 1);
        let got: Vec<usize> = msg.cmsgs().iter().map(|c| c.data.len()).collect();
        eq!((room, got), (room, lens));
        let cut = room < 73;
        eq!(
            (room, msg.flags()),
            (room, if cut { MSG_CTRUNC } else { 0 })
        );
    }
    Ok(())
}

fn ttl_and_tos_of_a_message(k: &mut dyn Kernel) -> Outcome {
    let names = [libc::IP_RECVTTL, libc::IP_RECVTOS];
    let (to, addr) = with(k, AF_INET, IPPROTO_IP, &names)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let send = |k: &mut dyn Kernel, control: &[u8]| -> Got<Vec<Cmsg>> {
        let mut msg = Msg::of(&[b"x"]).to(&addr).control(control);
        ret!(k.sendmsg(from, &mut msg, 0), 1);
        arrived(k, to)
    };
    let control = [
        cmsg(IPPROTO_IP, libc::IP_TTL, &int(9)),
        cmsg(IPPROTO_IP, libc::IP_TOS, &int(0x14)),
        cmsg(IPPROTO_IP, IP_PROTOCOL, &int(17)),
    ]
    .concat();
    let cmsgs = send(k, &control)?;
    eq!(cmsgs[0].data.clone(), int(9).to_vec());
    eq!(cmsgs[1].data.clone(), vec![0x14]);
    // A byte will do for IP_TOS; the last of several counts.
    let control = [
        cmsg(IPPROTO_IP, libc::IP_TTL, &int(9)),
        cmsg(IPPROTO_IP, libc::IP_TOS, &[0x18]),
        cmsg(IPPROTO_IP, libc::IP_TTL, &int(255)),
    ]
    .concat();
    let cmsgs = send(k, &control)?;
    eq!(cmsgs[0].data.clone(), int(255).to_vec());
    eq!(cmsgs[1].data.clone(), vec![0x18]);
    // The socket's own are as they were.
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let cmsgs = arrived(k, to)?;
    eq!(cmsgs[0].data.clone(), int(64).to_vec());
    eq!(cmsgs[1].data.clone(), vec![0]);
    Ok(())
}

/// sendmsg(2) with one control message.
fn send(k: &mut dyn Kernel, fd: Fd, to: &Addr, control: &[u8]) -> i64 {
    let mut msg = Msg::of(&[b"x"]).to(to).control(control);
    k.sendmsg(fd, &mut msg, 0)
}

fn bad_messages_of_ipv4(k: &mut dyn Kernel) -> Outcome {
    let (_to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let mut bad = Vec::new();
    for value in [0, -1, 256] {
        bad.push((libc::IP_TTL, int(value).to_vec()));
        bad.push((IP_PROTOCOL, int(value).to_vec()));
    }
    for value in [-1, 256] {
        bad.push((libc::IP_TOS, int(value).to_vec()));
    }
    for name in [libc::IP_TTL, IP_PROTOCOL] {
        bad.push((name, vec![1]));
        bad.push((name, vec![1, 0, 0, 0, 0]));
    }
    bad.push((libc::IP_TOS, vec![0, 0]));
    bad.push((libc::IP_PKTINFO, vec![0; 11]));
    bad.push((libc::IP_PKTINFO, vec![0; 13]));
    bad.push((libc::IP_RECVTTL, int(1).to_vec()));
    bad.push((libc::IP_MTU, int(1).to_vec()));
    for (name, data) in bad {
        let got = send(k, fd, &addr, &cmsg(IPPROTO_IP, name, &data));
        eq!(
            (name, data.clone(), got),
            (name, data, -i64::from(libc::EINVAL))
        );
    }
    Ok(())
}

fn hoplimit_of_a_message(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = with(k, AF_INET6, IPPROTO_IPV6, &[libc::IPV6_RECVHOPLIMIT])?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 40), 0);
    for (kind, value, seen) in [
        (libc::IPV6_HOPLIMIT, 7, 7),
        (libc::IPV6_HOPLIMIT, -1, 40),
        (IPV6_2292HOPLIMIT, 255, 255),
    ] {
        ret!(
            send(k, fd, &addr, &cmsg(IPPROTO_IPV6, kind, &int(value))),
            1
        );
        let cmsgs = arrived(k, to)?;
        eq!((kind, cmsgs[0].data.clone()), (kind, int(seen).to_vec()));
    }
    Ok(())
}

fn bad_messages_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let (_to, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let mut bad = Vec::new();
    for name in [libc::IPV6_HOPLIMIT, libc::IPV6_TCLASS, libc::IPV6_DONTFRAG] {
        for value in [-2, 256] {
            bad.push((name, int(value).to_vec()));
        }
        bad.push((name, vec![1]));
        bad.push((name, vec![1, 0, 0, 0, 0]));
    }
    bad.push((libc::IPV6_PKTINFO, vec![0; 19]));
    bad.push((libc::IPV6_RECVTCLASS, int(1).to_vec()));
    bad.push((libc::IPV6_MTU, int(1).to_vec()));
    for (name, data) in bad {
        let got = send(k, fd, &addr, &cmsg(IPPROTO_IPV6, name, &data));
        eq!(
            (name, data.clone(), got),
            (name, data, -i64::from(libc::EINVAL))
        );
    }
    Ok(())
}

fn pktinfo_2292(k: &mut dyn Kernel) -> Outcome {
    // The older number chooses source and interface as the newer one.
    let (to, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let mut info = vec![0; 20];
    (info[15], info[16]) = (1, 1);
    ret!(
        send(k, fd, &addr, &cmsg(IPPROTO_IPV6, IPV6_2292PKTINFO, &info)),
        1
    );
    let (n, from) = k.recvfrom(to, &mut [0; 4], 0);
    ret!(n, 1);
    eq!(from.with_port(0), Addr::lo6(0));
    info[15] = 2;
    err!(
        send(k, fd, &addr, &cmsg(IPPROTO_IPV6, IPV6_2292PKTINFO, &info)),
        EINVAL
    );
    Ok(())
}

/// Who may bind to any address may name any as the source (ipv6_can_nonlocal_bind()).
fn pktinfo_of_another_host(k: &mut dyn Kernel) -> Outcome {
    const IPV6_FREEBIND: i32 = 78;
    let (fd, addr) = k.udp(AF_INET6)?;
    let mut info = vec![0; 20];
    info[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    info[15] = 1;
    for name in [libc::IPV6_PKTINFO, IPV6_2292PKTINFO] {
        ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 0), 0);
        let control = cmsg(IPPROTO_IPV6, name, &info);
        err!(send(k, fd, &addr, &control), EINVAL);
        ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1), 0);
        ret!(send(k, fd, &addr, &control), 1);
        let (n, from) = k.recvfrom(fd, &mut [0; 4], 0);
        ret!(n, 1);
        eq!(
            from,
            Addr::v6(info[..16].try_into().unwrap_or([0; 16]), addr.port())
        );
    }
    Ok(())
}

fn other_levels_are_passed_over(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (to, addr) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        let other = if family == AF_INET {
            IPPROTO_IPV6
        } else {
            IPPROTO_IP
        };
        for level in [other, 250] {
            ret!(send(k, fd, &addr, &cmsg(level, libc::IP_TTL, &int(900))), 1);
            eq!(k.recv_now(to)?, b"x");
        }
        check!(k.sockname(fd)?.port() != 0, "not bound");
    }
    Ok(())
}
