//! IPPROTO_IP and IPPROTO_IPV6 options, and the packet information they bring.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{as_int, int};
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::{NB, sysctl};
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, SOCK_DGRAM, SOCK_STREAM};

tests! {
    multicast_hops_default_and_range,
    tos_default_and_set,
    tos_of_a_stream_keeps_ecn_bits,
    tos_sets_the_priority,
    ttl_default_and_set,
    ttl_range,
    one_byte_values,
    get_into_one_byte,
    pktinfo_default_and_set,
    pktinfo_brings_a_message,
    pktinfo_of_wildcard_socket,
    pktinfo_chooses_the_source,
    pktinfo_bad_lengths,
    pktinfo_foreign_source,
    recvttl_and_recvtos,
    v6only_default_and_set,
    v6only_after_bind,
    hops_default_and_set,
    hops_range,
    recvpktinfo_default_and_set,
    recvpktinfo_brings_a_message,
    recvpktinfo_of_ipv4_datagram,
    recvpktinfo_chooses_the_source,
    pktinfo_needs_room,
    v6only_length,
    ttl_seen_by_the_receiver,
    options_on_both_kinds,
}

fn v4(k: &mut dyn Kernel, kind: i32) -> Got<Fd> {
    Ok(ok!(k.socket(AF_INET, kind | NB, 0)))
}

fn v6(k: &mut dyn Kernel, kind: i32) -> Got<Fd> {
    Ok(ok!(k.socket(AF_INET6, kind | NB, 0)))
}

const LO_INDEX: i32 = 1;

fn tos_default_and_set(k: &mut dyn Kernel) -> Outcome {
    let fd = v4(k, SOCK_DGRAM)?;
    eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TOS)?, 0);
    for value in [0x10, 0xff, 0] {
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TOS, value), 0);
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TOS)?, value);
    }
    // Only eight bits are kept.
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TOS, 0x1_28), 0);
    eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TOS)?, 0x28);
    Ok(())
}

fn tos_of_a_stream_keeps_ecn_bits(k: &mut dyn Kernel) -> Outcome {
    let fd = v4(k, SOCK_STREAM)?;
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TOS, 0x13), 0);
    // TCP owns the two ECN bits.
    eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TOS)?, 0x10);
    Ok(())
}

fn tos_sets_the_priority(k: &mut dyn Kernel) -> Outcome {
    let fd = v4(k, SOCK_DGRAM)?;
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TOS, 0x10), 0);
    // IPTOS_LOWDELAY: interactive, 6.
    eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_PRIORITY)?, 6);
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TOS, 0x08), 0);
    eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_PRIORITY)?, 2);
    Ok(())
}

fn ttl_default_and_set(k: &mut dyn Kernel) -> Outcome {
    let default = sysctl("net/ipv4/ip_default_ttl", 0).unwrap_or(64) as i32;
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = v4(k, kind)?;
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TTL)?, default);
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TTL, 7), 0);
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TTL)?, 7);
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TTL, -1), 0);
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TTL)?, default);
    }
    Ok(())
}

fn ttl_range(k: &mut dyn Kernel) -> Outcome {
    let fd = v4(k, SOCK_DGRAM)?;
    for value in [0, 256, -2, i32::MAX] {
        err!(k.set_int(fd, IPPROTO_IP, libc::IP_TTL, value), EINVAL);
    }
    for value in [1, 255] {
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TTL, value), 0);
    }
    Ok(())
}

fn one_byte_values(k: &mut dyn Kernel) -> Outcome {
    // IPv4 options may be passed in one byte. No length at all is 0, which is no TTL.
    let fd = v4(k, SOCK_DGRAM)?;
    ret!(k.setsockopt(fd, IPPROTO_IP, libc::IP_TTL, &[9]), 0);
    eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TTL)?, 9);
    ret!(
        k.setsockopt(fd, IPPROTO_IP, libc::IP_TTL, &[11, 0xff, 0xff]),
        0
    );
    eq!(k.get_int(fd, IPPROTO_IP, libc::IP_TTL)?, 11);
    err!(k.setsockopt(fd, IPPROTO_IP, libc::IP_TTL, &[]), EINVAL);
    ret!(k.setsockopt(fd, IPPROTO_IP, libc::IP_PKTINFO, &[1]), 0);
    eq!(k.get_int(fd, IPPROTO_IP, libc::IP_PKTINFO)?, 1);
    ret!(k.setsockopt(fd, IPPROTO_IP, libc::IP_PKTINFO, &[]), 0);
    eq!(k.get_int(fd, IPPROTO_IP, libc::IP_PKTINFO)?, 0);
    Ok(())
}

fn get_into_one_byte(k: &mut dyn Kernel) -> Outcome {
    let fd = v4(k, SOCK_DGRAM)?;
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TTL, 77), 0);
    // A small value goes into one byte wherever there is less than an int.
    for cap in [1, 2, 3] {
        eq!(
            k.getsockopt(fd, IPPROTO_IP, libc::IP_TTL, cap),
            (0, vec![77])
        );
    }
    eq!(k.getsockopt(fd, IPPROTO_IP, libc::IP_TTL, 0), (0, vec![]));
    eq!(
        k.getsockopt(fd, IPPROTO_IP, libc::IP_TTL, 9),
        (0, int(77).to_vec())
    );
    // IPv6 has no such rule.
    let fd = v6(k, SOCK_DGRAM)?;
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 77), 0);
    eq!(
        k.getsockopt(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 2),
        (0, vec![77, 0])
    );
    Ok(())
}

fn pktinfo_default_and_set(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = v4(k, kind)?;
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_PKTINFO)?, 0);
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_PKTINFO, 5), 0);
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_PKTINFO)?, 1);
    }
    Ok(())
}

/// struct in_pktinfo: interface, local address, destination address.
fn in_pktinfo(data: &[u8]) -> (i32, [u8; 4], [u8; 4]) {
    let ip = |at: usize| [data[at], data[at + 1], data[at + 2], data[at + 3]];
    (as_int(&data[..4]), ip(4), ip(8))
}

fn pktinfo_brings_a_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, IPPROTO_IP, libc::IP_PKTINFO, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), 0);
    let all = msg.cmsgs();
    eq!(all.len(), 1);
    eq!((all[0].level, all[0].kind), (IPPROTO_IP, libc::IP_PKTINFO));
    eq!(all[0].data.len(), 12);
    eq!(
        in_pktinfo(&all[0].data),
        (LO_INDEX, [127, 0, 0, 1], [127, 0, 0, 1])
    );
    Ok(())
}

fn pktinfo_of_wildcard_socket(k: &mut dyn Kernel) -> Outcome {
    let fd = v4(k, SOCK_DGRAM)?;
    ret!(k.bind(fd, &Addr::any4(0)), 0);
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_PKTINFO, 1), 0);
    let port = k.sockname(fd)?.port();
    let from = v4(k, SOCK_DGRAM)?;
    ret!(k.sendto(from, b"x", 0, &Addr::v4([127, 6, 6, 6], port)), 1);
    let mut msg = Msg::room(&[8]).control_room(64);
    ret!(k.recvmsg(fd, &mut msg, 0), 1);
    let info = msg
        .cmsg(IPPROTO_IP, libc::IP_PKTINFO)
        .map(|c| in_pktinfo(&c.data));
    eq!(info, Some((LO_INDEX, [127, 6, 6, 6], [127, 6, 6, 6])));
    Ok(())
}

fn pktinfo_chooses_the_source(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let from = v4(k, SOCK_DGRAM)?;
    let mut info = int(0).to_vec();
    info.extend([127, 9, 9, 9]);
    info.extend([0; 4]);
    let mut msg = Msg::of(&[b"x"])
        .to(&addr)
        .control(&cmsg(IPPROTO_IP, libc::IP_PKTINFO, &info));
    ret!(k.sendmsg(from, &mut msg, 0), 1);
    let mut buf = [0; 4];
    let (n, source) = k.recvfrom(to, &mut buf, 0);
    eq!((n, source.with_port(0)), (1, Addr::v4([127, 9, 9, 9], 0)));
    Ok(())
}

fn pktinfo_bad_lengths(k: &mut dyn Kernel) -> Outcome {
    let (_to, addr) = k.udp(AF_INET)?;
    let from = v4(k, SOCK_DGRAM)?;
    for len in [0, 4, 11, 13] {
        let mut msg =
            Msg::of(&[b"x"])
                .to(&addr)
                .control(&cmsg(IPPROTO_IP, libc::IP_PKTINFO, &vec![0; len]));
        err!(k.sendmsg(from, &mut msg, 0), EINVAL);
    }
    // An unknown type of this level.
    let mut msg = Msg::of(&[b"x"])
        .to(&addr)
        .control(&cmsg(IPPROTO_IP, 200, &[0; 4]));
    err!(k.sendmsg(from, &mut msg, 0), EINVAL);
    Ok(())
}

fn pktinfo_foreign_source(k: &mut dyn Kernel) -> Outcome {
    let (_to, addr) = k.udp(AF_INET)?;
    let from = v4(k, SOCK_DGRAM)?;
    let mut info = int(0).to_vec();
    info.extend([203, 0, 113, 9]);
    info.extend([0; 4]);
    let mut msg = Msg::of(&[b"x"])
        .to(&addr)
        .control(&cmsg(IPPROTO_IP, libc::IP_PKTINFO, &info));
    // A source that is not this host's: there is no route from there. Older 6.x kernels say EINVAL.
    let got = k.sendmsg(from, &mut msg, 0);
    let either = [-i64::from(libc::ENETUNREACH), -i64::from(libc::EINVAL)];
    check!(either.contains(&got), "{got}");
    Ok(())
}

fn recvttl_and_recvtos(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let ttl = k.set_int(b, IPPROTO_IP, libc::IP_RECVTTL, 1);
    let tos = k.set_int(b, IPPROTO_IP, libc::IP_RECVTOS, 1);
    eq!((ttl, tos), (0, 0));
    ret!(k.set_int(a, IPPROTO_IP, libc::IP_TTL, 33), 0);
    ret!(k.set_int(a, IPPROTO_IP, libc::IP_TOS, 0x20), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    let ttl = msg.cmsg(IPPROTO_IP, libc::IP_TTL).map(|c| c.data);
    let tos = msg.cmsg(IPPROTO_IP, libc::IP_TOS).map(|c| c.data);
    eq!(ttl, Some(int(33).to_vec()));
    eq!(tos, Some(vec![0x20]));
    Ok(())
}

fn v6only_default_and_set(k: &mut dyn Kernel) -> Outcome {
    let default = sysctl("net/ipv6/bindv6only", 0).unwrap_or(0) as i32;
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = v6(k, kind)?;
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY)?, default);
        for (value, want) in [(1, 1), (0, 0), (-5, 1)] {
            ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, value), 0);
            eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY)?, want);
        }
    }
    Ok(())
}

fn v6only_after_bind(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = v6(k, kind)?;
        ret!(k.bind(fd, &Addr::lo6(0)), 0);
        err!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), EINVAL);
        err!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, 0), EINVAL);
    }
    Ok(())
}

fn hops_default_and_set(k: &mut dyn Kernel) -> Outcome {
    let default = sysctl("net/ipv6/conf/default/hop_limit", 0).unwrap_or(64) as i32;
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = v6(k, kind)?;
        eq!(
            k.get_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS)?,
            default
        );
        for value in [0, 1, 255] {
            ret!(
                k.set_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, value),
                0
            );
            eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS)?, value);
        }
        ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, -1), 0);
        eq!(
            k.get_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS)?,
            default
        );
    }
    Ok(())
}

fn hops_range(k: &mut dyn Kernel) -> Outcome {
    let fd = v6(k, SOCK_DGRAM)?;
    for value in [256, -2, i32::MAX] {
        err!(
            k.set_int(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, value),
            EINVAL
        );
    }
    err!(
        k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &[1]),
        EINVAL
    );
    Ok(())
}

fn recvpktinfo_default_and_set(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = v6(k, kind)?;
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?, 0);
        ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 9), 0);
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?, 1);
    }
    Ok(())
}

fn recvpktinfo_brings_a_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(k.set_int(b, IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    let all = msg.cmsgs();
    eq!(all.len(), 1);
    eq!(
        (all[0].level, all[0].kind),
        (IPPROTO_IPV6, libc::IPV6_PKTINFO)
    );
    eq!(all[0].data.len(), 20);
    eq!(all[0].data[..16].to_vec(), Addr::lo6(0).0[8..24].to_vec());
    eq!(as_int(&all[0].data[16..]), LO_INDEX);
    Ok(())
}

fn recvpktinfo_of_ipv4_datagram(k: &mut dyn Kernel) -> Outcome {
    let fd = v6(k, SOCK_DGRAM)?;
    ret!(k.bind(fd, &Addr::any6(0)), 0);
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1), 0);
    let port = k.sockname(fd)?.port();
    let from = v4(k, SOCK_DGRAM)?;
    ret!(k.sendto(from, b"x", 0, &Addr::lo4(port)), 1);
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(fd, &mut msg, 0), 1);
    let got = msg.cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO).map(|c| c.data);
    let mut want = Addr::mapped([127, 0, 0, 1], 0).0[8..24].to_vec();
    want.extend(int(LO_INDEX));
    eq!(got, Some(want));
    Ok(())
}

fn recvpktinfo_chooses_the_source(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET6)?;
    let from = v6(k, SOCK_DGRAM)?;
    let mut info = Addr::lo6(0).0[8..24].to_vec();
    info.extend(int(LO_INDEX));
    let control = cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&control);
    ret!(k.sendmsg(from, &mut msg, 0), 1);
    eq!(k.recv_now(to)?, b"x");
    // Not an address of this host.
    info[0] = 0x20;
    let control = cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&control);
    err!(k.sendmsg(from, &mut msg, 0), EINVAL);
    // No such interface.
    let mut info = Addr::any6(0).0[8..24].to_vec();
    info.extend(int(4711));
    let control = cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&control);
    err!(k.sendmsg(from, &mut msg, 0), ENODEV);
    Ok(())
}

fn pktinfo_needs_room(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, IPPROTO_IP, libc::IP_PKTINFO, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), libc::MSG_CTRUNC);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(20);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), libc::MSG_CTRUNC);
    eq!(msg.hdr.msg_controllen, 20);
    // recvfrom has no room at all, and that is no error.
    ret!(k.send(a, b"x", 0), 1);
    ret!(k.recv(b, &mut [0; 4], 0), 1);
    Ok(())
}

fn v6only_length(k: &mut dyn Kernel) -> Outcome {
    let fd = v6(k, SOCK_STREAM)?;
    err!(
        k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, &[1]),
        EINVAL
    );
    eq!(
        k.getsockopt(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, 1),
        (0, vec![0])
    );
    Ok(())
}

fn ttl_seen_by_the_receiver(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(k.set_int(b, IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1), 0);
    ret!(k.set_int(a, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 3), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    let got = msg.cmsg(IPPROTO_IPV6, libc::IPV6_HOPLIMIT).map(|c| c.data);
    eq!(got, Some(int(3).to_vec()));
    Ok(())
}

fn options_on_both_kinds(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, IPPROTO_IP, libc::IP_TTL, 5), 0);
    ret!(k.set_int(t.client, IPPROTO_IP, libc::IP_TOS, 0x20), 0);
    ret!(k.send(t.client, b"x", 0), 1);
    eq!(k.recv_now(t.server)?, b"x");
    // An accepted connection does not take the peer's.
    check!(
        k.get_int(t.server, IPPROTO_IP, libc::IP_TTL)? != 5,
        "ttl of the peer"
    );
    Ok(())
}

fn multicast_hops_default_and_range(k: &mut dyn Kernel) -> Outcome {
    let fd = v4(k, SOCK_DGRAM)?;
    let name = libc::IP_MULTICAST_TTL;
    eq!(k.get_int(fd, IPPROTO_IP, name)?, 1);
    for value in [0, 1, 7, 255] {
        ret!(k.set_int(fd, IPPROTO_IP, name, value), 0);
        eq!(k.get_int(fd, IPPROTO_IP, name)?, value);
    }
    for value in [-2, 256] {
        err!(k.set_int(fd, IPPROTO_IP, name, value), EINVAL);
    }
    // -1 is the default, and one byte is enough.
    ret!(k.set_int(fd, IPPROTO_IP, name, -1), 0);
    eq!(k.get_int(fd, IPPROTO_IP, name)?, 1);
    ret!(k.setsockopt(fd, IPPROTO_IP, name, &[9]), 0);
    eq!(k.get_int(fd, IPPROTO_IP, name)?, 9);
    // A stream has none.
    let stream = v4(k, SOCK_STREAM)?;
    err!(k.set_int(stream, IPPROTO_IP, name, 1), EINVAL);
    let six = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    let name = libc::IPV6_MULTICAST_HOPS;
    eq!(k.get_int(six, IPPROTO_IPV6, name)?, 1);
    for value in [0, 7, 255] {
        ret!(k.set_int(six, IPPROTO_IPV6, name, value), 0);
        eq!(k.get_int(six, IPPROTO_IPV6, name)?, value);
    }
    for value in [-2, 256] {
        err!(k.set_int(six, IPPROTO_IPV6, name, value), EINVAL);
    }
    ret!(k.set_int(six, IPPROTO_IPV6, name, -1), 0);
    eq!(k.get_int(six, IPPROTO_IPV6, name)?, 1);
    Ok(())
}
