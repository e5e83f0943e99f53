//! IPPROTO_IP options that are an int or a byte: defaults, values, lengths, and what they do.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{as_int, int};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, IPPROTO_IP, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};

tests! {
    flags,
    flags_that_need_a_value,
    multicast_all_is_strict,
    recvfragsize_is_for_datagrams,
    nodefrag_is_for_raw [ROOT],
    router_alert_is_for_raw [ROOT],
    mtu_discover_values,
    minttl_values,
    minttl_shuts_far_packets_out,
    unicast_if_values,
    unicast_if_that_is_not_there,
    port_range_values,
    port_range_of_bind_and_connect,
    protocol_is_the_port,
    mtu_of_a_connection,
    transparent_needs_privilege [DROP],
    policies [ROOT],
    policies_need_privilege [DROP],
    freebind,
    transparent_sends [ROOT],
    bind_address_no_port,
    bind_address_no_port_then_connect,
    pktoptions_of_a_stream,
}

const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
const IP_RECVFRAGSIZE: i32 = 25;
const IP_CHECKSUM: i32 = 23;
const IP_NODEFRAG: i32 = 22;
const IP_LOCAL_PORT_RANGE: i32 = 51;
const IP_PROTOCOL: i32 = 52;
const IP_UNICAST_IF: i32 = 50;
const IP_MULTICAST_ALL: i32 = 49;
const IP_ROUTER_ALERT: i32 = 5;
const IP_PKTOPTIONS: i32 = 9;
const IP_IPSEC_POLICY: i32 = 16;
const IP_XFRM_POLICY: i32 = 17;
const IP_PASSSEC: i32 = 18;

fn each_kind(k: &mut dyn Kernel) -> Got<Vec<Fd>> {
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        for kind in [SOCK_DGRAM, SOCK_STREAM] {
            all.push(ok!(k.socket(family, kind | NB, 0)));
        }
    }
    Ok(all)
}

/// Any value but zero is true; a byte will do, and more than an int is read as one.
fn is_a_flag(k: &mut dyn Kernel, fd: Fd, name: i32) -> Outcome {
    for (value, shown) in [(-1, 1), (0, 0), (1, 1), (0, 0), (256, 1), (i32::MIN, 1)] {
        ret!(k.set_int(fd, IPPROTO_IP, name, value), 0);
        eq!((name, k.get_int(fd, IPPROTO_IP, name)?), (name, shown));
    }
    for (value, shown) in [(&[1][..], 1), (&[0, 1], 0), (&[2, 0, 0], 1)] {
        ret!(k.setsockopt(fd, IPPROTO_IP, name, value), 0);
        eq!((name, k.get_int(fd, IPPROTO_IP, name)?), (name, shown));
    }
    eq!(k.getsockopt(fd, IPPROTO_IP, name, 1), (0, vec![1]));
    eq!(k.getsockopt(fd, IPPROTO_IP, name, 0), (0, vec![]));
    eq!(k.getsockopt(fd, IPPROTO_IP, name, 8), (0, int(1).to_vec()));
    ret!(k.setsockopt(fd, IPPROTO_IP, name, &[0, 0, 0, 0, 1, 1]), 0);
    eq!((name, k.get_int(fd, IPPROTO_IP, name)?), (name, 0));
    Ok(())
}

fn flags(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        for name in [
            libc::IP_RECVTTL,
            libc::IP_RECVTOS,
            libc::IP_RECVORIGDSTADDR,
            IP_PASSSEC,
            IP_CHECKSUM,
            IP_BIND_ADDRESS_NO_PORT,
        ] {
            eq!((name, k.get_int(fd, IPPROTO_IP, name)?), (name, 0));
            is_a_flag(k, fd, name)?;
            // No value is zero.
            ret!(k.set_int(fd, IPPROTO_IP, name, 1), 0);
            ret!(k.setsockopt(fd, IPPROTO_IP, name, &[]), 0);
            eq!((name, k.get_int(fd, IPPROTO_IP, name)?), (name, 0));
        }
    }
    Ok(())
}

fn flags_that_need_a_value(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        for (name, default) in [(libc::IP_FREEBIND, 0), (libc::IP_MULTICAST_LOOP, 1)] {
            eq!((name, k.get_int(fd, IPPROTO_IP, name)?), (name, default));
            is_a_flag(k, fd, name)?;
            err!(k.setsockopt(fd, IPPROTO_IP, name, &[]), EINVAL);
        }
    }
    Ok(())
}

fn multicast_all_is_strict(k: &mut dyn Kernel) -> Outcome {
    for (at, fd) in each_kind(k)?.into_iter().enumerate() {
        // On for AF_INET.
        eq!(
            k.get_int(fd, IPPROTO_IP, IP_MULTICAST_ALL)?,
            i32::from(at < 2)
        );
        for value in [-1, 2, 256] {
            err!(k.set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, value), EINVAL);
        }
        err!(k.setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &[]), EINVAL);
        for value in [1, 0] {
            ret!(k.set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, value), 0);
            eq!(k.get_int(fd, IPPROTO_IP, IP_MULTICAST_ALL)?, value);
        }
    }
    Ok(())
}

fn recvfragsize_is_for_datagrams(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        eq!(k.get_int(fd, IPPROTO_IP, IP_RECVFRAGSIZE)?, 0);
        is_a_flag(k, fd, IP_RECVFRAGSIZE)?;
        let fd = ok!(k.socket(family, SOCK_STREAM | NB, 0));
        err!(k.set_int(fd, IPPROTO_IP, IP_RECVFRAGSIZE, 0), EINVAL);
        eq!(k.get_int(fd, IPPROTO_IP, IP_RECVFRAGSIZE)?, 0);
    }
    Ok(())
}

fn nodefrag_is_for_raw(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IP, IP_NODEFRAG)?, 0);
        err!(k.set_int(fd, IPPROTO_IP, IP_NODEFRAG, 1), ENOPROTOOPT);
    }
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, 200));
    is_a_flag(k, fd, IP_NODEFRAG)
}

fn router_alert_is_for_raw(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IP, IP_ROUTER_ALERT)?, 0);
        for value in [0, 1] {
            err!(k.set_int(fd, IPPROTO_IP, IP_ROUTER_ALERT, value), EINVAL);
        }
    }
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, 200));
    err!(k.set_int(fd, IPPROTO_IP, IP_ROUTER_ALERT, 0), ENOBUFS);
    ret!(k.set_int(fd, IPPROTO_IP, IP_ROUTER_ALERT, 1), 0);
    eq!(k.get_int(fd, IPPROTO_IP, IP_ROUTER_ALERT)?, 1);
    err!(k.set_int(fd, IPPROTO_IP, IP_ROUTER_ALERT, 1), EADDRINUSE);
    ret!(k.set_int(fd, IPPROTO_IP, IP_ROUTER_ALERT, 0), 0);
    eq!(k.get_int(fd, IPPROTO_IP, IP_ROUTER_ALERT)?, 0);
    Ok(())
}

fn mtu_discover_values(k: &mut dyn Kernel) -> Outcome {
    let name = libc::IP_MTU_DISCOVER;
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IP, name)?, libc::IP_PMTUDISC_WANT);
        for value in 0..=5 {
            ret!(k.set_int(fd, IPPROTO_IP, name, value), 0);
            eq!(k.get_int(fd, IPPROTO_IP, name)?, value);
        }
        for value in [-1, 6, 256] {
            err!(k.set_int(fd, IPPROTO_IP, name, value), EINVAL);
        }
        ret!(k.setsockopt(fd, IPPROTO_IP, name, &[2]), 0);
        eq!(k.get_int(fd, IPPROTO_IP, name)?, 2);
        ret!(k.setsockopt(fd, IPPROTO_IP, name, &[]), 0);
        eq!(k.get_int(fd, IPPROTO_IP, name)?, 0);
    }
    Ok(())
}

fn minttl_values(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_MINTTL)?, 0);
        for value in [255, 1, 0] {
            ret!(k.set_int(fd, IPPROTO_IP, libc::IP_MINTTL, value), 0);
            eq!(k.get_int(fd, IPPROTO_IP, libc::IP_MINTTL)?, value);
        }
        for value in [-1, 256] {
            err!(k.set_int(fd, IPPROTO_IP, libc::IP_MINTTL, value), EINVAL);
        }
        err!(k.setsockopt(fd, IPPROTO_IP, libc::IP_MINTTL, &[]), EINVAL);
        ret!(k.setsockopt(fd, IPPROTO_IP, libc::IP_MINTTL, &[7]), 0);
        eq!(
            k.getsockopt(fd, IPPROTO_IP, libc::IP_MINTTL, 1),
            (0, vec![7])
        );
    }
    Ok(())
}

fn minttl_shuts_far_packets_out(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    ret!(k.set_int(tcp.server, IPPROTO_IP, libc::IP_MINTTL, 65), 0);
    ret!(k.send(tcp.client, b"far", 0), 3);
    k.pause(std::time::Duration::from_millis(20));
    err!(k.recv(tcp.server, &mut [0; 8], 0), EAGAIN);
    ret!(k.set_int(tcp.client, IPPROTO_IP, libc::IP_TTL, 65), 0);
    // TCP sends it again, and now it is near enough.
    eq!(k.recv_now(tcp.server)?, b"far");
    Ok(())
}

fn unicast_if_values(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IP, IP_UNICAST_IF)?, 0);
        // In network byte order.
        let lo = 1u32.to_be() as i32;
        ret!(k.set_int(fd, IPPROTO_IP, IP_UNICAST_IF, lo), 0);
        eq!(k.get_int(fd, IPPROTO_IP, IP_UNICAST_IF)?, lo);
        for value in [1, -1, 0x7fff] {
            err!(
                k.set_int(fd, IPPROTO_IP, IP_UNICAST_IF, value),
                EADDRNOTAVAIL
            );
        }
        for value in [&[][..], &[1], &[0; 3], &[0; 8]] {
            err!(k.setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, value), EINVAL);
        }
        ret!(k.set_int(fd, IPPROTO_IP, IP_UNICAST_IF, 0), 0);
        eq!(k.get_int(fd, IPPROTO_IP, IP_UNICAST_IF)?, 0);
    }
    Ok(())
}

fn unicast_if_that_is_not_there(k: &mut dyn Kernel) -> Outcome {
    // By lo to lo.
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let (peer, addr) = k.udp(AF_INET)?;
    let lo = 1u32.to_be() as i32;
    ret!(k.set_int(fd, IPPROTO_IP, IP_UNICAST_IF, lo), 0);
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    eq!(k.recv_now(peer)?, b"x");
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"y", 0), 1);
    eq!(k.recv_now(peer)?, b"y");
    Ok(())
}

fn range(low: u32, high: u32) -> i32 {
    (low | high << 16) as i32
}

fn port_range_values(k: &mut dyn Kernel) -> Outcome {
    for fd in each_kind(k)? {
        eq!(k.get_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE)?, 0);
        for value in [range(1, 2), range(0, 9), range(9, 0), -1, range(7, 7), 0] {
            ret!(k.set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, value), 0);
            eq!(k.get_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE)?, value);
        }
        err!(
            k.set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, range(2, 1)),
            EINVAL
        );
        for value in [&[][..], &[1], &[0; 3], &[0; 8]] {
            err!(
                k.setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, value),
                EINVAL
            );
        }
    }
    Ok(())
}

fn port_range_of_bind_and_connect(k: &mut dyn Kernel) -> Outcome {
    let own = |k: &mut dyn Kernel, kind, value| -> Got<Fd> {
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        ret!(k.set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, value), 0);
        Ok(fd)
    };
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        // Two ports that were free a moment ago.
        let fd = own(k, kind, range(40_000, 49_999))?;
        ret!(k.bind(fd, &Addr::lo4(0)), 0);
        let port = u32::from(k.sockname(fd)?.port());
        check!((40_000..50_000).contains(&port), "{port}");
        // A range of one port, which is taken.
        let other = own(k, kind, range(port, port))?;
        err!(k.bind(other, &Addr::lo4(0)), EADDRINUSE);
        k.close(fd);
        ret!(k.bind(other, &Addr::lo4(0)), 0);
        eq!(u32::from(k.sockname(other)?.port()), port);
        k.close(other);
        // What is not within the host's own range does not count.
        let fd = own(k, kind, range(100, 200))?;
        ret!(k.bind(fd, &Addr::lo4(0)), 0);
        check!(k.sockname(fd)?.port() > 1024, "a low port");
    }
    // connect(2) keeps to it, too.
    let (_listener, addr) = k.tcp_listener(AF_INET, 8)?;
    let fd = own(k, SOCK_STREAM, range(40_000, 49_999))?;
    let _ = k.connect(fd, &addr);
    let port = u32::from(k.sockname(fd)?.port());
    check!((40_000..50_000).contains(&port), "{port}");
    let second = own(k, SOCK_STREAM, range(port, port))?;
    err!(k.connect(second, &addr), EADDRNOTAVAIL);
    let fd = own(k, SOCK_DGRAM, range(50_000, 59_999))?;
    ret!(k.connect(fd, &Addr::lo4(9)), 0);
    let port = k.sockname(fd)?.port();
    check!((50_000..60_000).contains(&port), "{port}");
    Ok(())
}

fn protocol_is_the_port(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        eq!(k.get_int(fd, IPPROTO_IP, IP_PROTOCOL)?, 0);
        err!(k.set_int(fd, IPPROTO_IP, IP_PROTOCOL, 1), ENOPROTOOPT);
        ret!(k.bind(fd, &Addr::lo4(0)), 0);
        // inet_num, which is the protocol of a raw socket only.
        let port = i32::from(k.sockname(fd)?.port());
        eq!(k.get_int(fd, IPPROTO_IP, IP_PROTOCOL)?, port);
    }
    Ok(())
}

fn mtu_of_a_connection(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        eq!(
            k.getsockopt(fd, IPPROTO_IP, libc::IP_MTU, 4).0,
            -i64::from(libc::ENOTCONN)
        );
        err!(k.set_int(fd, IPPROTO_IP, libc::IP_MTU, 1500), ENOPROTOOPT);
    }
    let (a, _b) = k.udp_pair(AF_INET)?;
    // No more than the length field counts.
    eq!(k.get_int(a, IPPROTO_IP, libc::IP_MTU)?, 65_535);
    let (a, _b) = k.udp_pair(AF_INET6)?;
    eq!(k.get_int(a, IPPROTO_IP, libc::IP_MTU)?, 65_536);
    let tcp = k.tcp(AF_INET)?;
    eq!(k.get_int(tcp.client, IPPROTO_IP, libc::IP_MTU)?, 65_535);
    Ok(())
}

fn transparent_needs_privilege(k: &mut dyn Kernel) -> Outcome {
    let name = libc::IP_TRANSPARENT;
    if k.privileged() {
        for fd in each_kind(k)? {
            eq!(k.get_int(fd, IPPROTO_IP, name)?, 0);
            is_a_flag(k, fd, name)?;
            err!(k.setsockopt(fd, IPPROTO_IP, name, &[]), EINVAL);
        }
    }
    check!(k.drop_privileges(), "still root");
    for fd in each_kind(k)? {
        err!(k.set_int(fd, IPPROTO_IP, name, 1), EPERM);
        ret!(k.set_int(fd, IPPROTO_IP, name, 0), 0);
        err!(k.setsockopt(fd, IPPROTO_IP, name, &[]), EINVAL);
    }
    Ok(())
}

fn policies(k: &mut dyn Kernel) -> Outcome {
    for (at, fd) in each_kind(k)?.into_iter().enumerate() {
        err!(k.set_int(fd, IPPROTO_IP, IP_IPSEC_POLICY, 1), EOPNOTSUPP);
        if at < 2 {
            err!(k.set_int(fd, IPPROTO_IP, IP_XFRM_POLICY, 1), EINVAL);
        } else {
            err!(k.set_int(fd, IPPROTO_IP, IP_XFRM_POLICY, 1), EOPNOTSUPP);
        }
        for name in [IP_IPSEC_POLICY, IP_XFRM_POLICY] {
            err!(k.setsockopt(fd, IPPROTO_IP, name, &[]), EMSGSIZE);
            let got = k.getsockopt(fd, IPPROTO_IP, name, 4).0;
            eq!(got, -i64::from(libc::ENOPROTOOPT));
        }
    }
    Ok(())
}

fn policies_need_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "still root");
    for fd in each_kind(k)? {
        for name in [IP_IPSEC_POLICY, IP_XFRM_POLICY] {
            err!(k.setsockopt(fd, IPPROTO_IP, name, &[]), EPERM);
            err!(k.set_int(fd, IPPROTO_IP, name, 1), EPERM);
        }
    }
    Ok(())
}

/// An address of nobody (RFC 5737).
const FOREIGN: [u8; 4] = [203, 0, 113, 7];

fn freebind(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        err!(k.bind(fd, &Addr::v4(FOREIGN, 0)), EADDRNOTAVAIL);
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_FREEBIND, 1), 0);
        ret!(k.bind(fd, &Addr::v4(FOREIGN, 0)), 0);
        let name = k.sockname(fd)?;
        eq!(name.with_port(0), Addr::v4(FOREIGN, 0));
        if kind == SOCK_STREAM {
            ret!(k.listen(fd, 1), 0);
        } else {
            // One may listen there, not send from there.
            err!(k.sendto(fd, b"x", 0, &Addr::lo4(9)), ENETUNREACH);
            err!(k.connect(fd, &Addr::lo4(9)), ENETUNREACH);
        }
    }
    Ok(())
}

fn transparent_sends(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TRANSPARENT, 1), 0);
    ret!(k.bind(fd, &Addr::v4(FOREIGN, 0)), 0);
    let (_peer, addr) = k.udp(AF_INET)?;
    ret!(k.connect(fd, &addr), 0);
    Ok(())
}

fn bind_address_no_port(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        ret!(k.set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1), 0);
        let at = Addr::v4([127, 0, 0, 5], 0);
        ret!(k.bind(fd, &at), 0);
        eq!(k.sockname(fd)?, at.clone());
        // Not bound to a port: again, and to one.
        let other = Addr::v4([127, 0, 0, 6], 0);
        ret!(k.bind(fd, &other), 0);
        eq!(k.sockname(fd)?, other.clone());
        err!(k.bind(fd, &Addr::v4(FOREIGN, 0)), EADDRNOTAVAIL);
        // A port that is named is bound as ever.
        let free = k.closed_port(AF_INET, kind)?;
        ret!(k.bind(fd, &free), 0);
        eq!(k.sockname(fd)?, free);
        err!(k.bind(fd, &other), EINVAL);
    }
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1), 0);
    ret!(k.bind(fd, &Addr::lo6(0)), 0);
    eq!(k.sockname(fd)?, Addr::lo6(0));
    Ok(())
}

fn bind_address_no_port_then_connect(k: &mut dyn Kernel) -> Outcome {
    let at = Addr::v4([127, 0, 0, 5], 0);
    let bound = |k: &mut dyn Kernel, kind| -> Got<Fd> {
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        ret!(k.set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1), 0);
        ret!(k.bind(fd, &at), 0);
        Ok(fd)
    };
    let (listener, addr) = k.tcp_listener(AF_INET, 8)?;
    let fd = bound(k, SOCK_STREAM)?;
    err!(k.connect(fd, &addr), EINPROGRESS);
    let name = k.sockname(fd)?;
    eq!(name.with_port(0), at.clone());
    check!(name.port() != 0, "no port");
    k.close(listener);
    let fd = bound(k, SOCK_STREAM)?;
    ret!(k.listen(fd, 1), 0);
    let name = k.sockname(fd)?;
    eq!(name.with_port(0), at.clone());
    check!(name.port() != 0, "no port");
    // The first datagram brings one.
    let fd = bound(k, SOCK_DGRAM)?;
    let (peer, addr) = k.udp(AF_INET)?;
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    let (n, from) = k.recvfrom(peer, &mut [0; 4], 0);
    ret!(n, 1);
    eq!(from.clone(), k.sockname(fd)?);
    eq!(from.with_port(0), at.clone());
    let fd = bound(k, SOCK_DGRAM)?;
    ret!(k.connect(fd, &addr), 0);
    eq!(k.sockname(fd)?.with_port(0), at.clone());
    Ok(())
}

fn pktoptions_of_a_stream(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let got = k.getsockopt(fd, IPPROTO_IP, IP_PKTOPTIONS, 100).0;
    eq!(got, -i64::from(libc::ENOPROTOOPT));
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    eq!(
        k.getsockopt(fd, IPPROTO_IP, IP_PKTOPTIONS, 100),
        (0, vec![])
    );
    err!(k.set_int(fd, IPPROTO_IP, IP_PKTOPTIONS, 1), ENOPROTOOPT);
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_PKTINFO, 1), 0);
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_RECVTTL, 1), 0);
    let (got, bytes) = k.getsockopt(fd, IPPROTO_IP, IP_PKTOPTIONS, 100);
    ret!(got, 0);
    eq!(bytes.len(), 56);
    eq!(as_int(&bytes[12..16]), libc::IP_PKTINFO);
    // IP_TTL is that of IP_MULTICAST_TTL.
    eq!(
        (as_int(&bytes[44..48]), as_int(&bytes[48..52])),
        (libc::IP_TTL, 1)
    );
    // What does not fit is cut.
    let (got, bytes) = k.getsockopt(fd, IPPROTO_IP, IP_PKTOPTIONS, 20);
    ret!(got, 0);
    eq!((bytes.len(), bytes[0]), (20, 20));
    Ok(())
}
