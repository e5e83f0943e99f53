//! `bind` on internet sockets, and what is common to all families.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, ok, ret, skip};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::registry::tests;
use crate::scene::sysctl;
use libc::{AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM};

tests! {
    port_zero_takes_one_of_the_range,
    many_port_zero_differ,
    again_is_invalid,
    after_listen_is_invalid,
    after_connect_is_invalid,
    name_shows_what_was_bound,
    port_in_use,
    udp_and_tcp_ports_are_apart,
    released_by_close,
    foreign_address,
    any_loopback_address,
    low_port_as_user [DROP],
    low_port_as_root [ROOT],
    family_mismatch,
    unspec_family_with_any_address,
    lengths_ipv4,
    lengths_ipv6,
    lengths_out_of_range,
    bad_pointer,
    bad_descriptor_comes_first [EPOLL],
    sin_zero_is_not_looked_at,
    link_local_wants_a_scope,
    multicast_stream_ipv6,
    multicast_and_broadcast_ipv4,
    flowinfo_is_not_kept,
    partial_address_faults,
    wildcard_and_specific_conflict,
    two_loopbacks_share_a_port,
    dup_shares_the_binding,
    port_survives_failed_bind,
}

const TEST_NET: [u8; 4] = [203, 0, 113, 7];
const KINDS: [i32; 2] = [SOCK_STREAM, SOCK_DGRAM];
const FAMILIES: [i32; 2] = [AF_INET, AF_INET6];

fn range() -> (u16, u16) {
    let get = |i| sysctl("net/ipv4/ip_local_port_range", i).map(|n| n as u16);
    (get(0).unwrap_or(32768), get(1).unwrap_or(60999))
}

fn port_zero_takes_one_of_the_range(k: &mut dyn Kernel) -> Outcome {
    let (low, high) = range();
    for family in FAMILIES {
        for kind in KINDS {
            for _ in 0..20 {
                let fd = ok!(k.socket(family, kind, 0));
                ret!(k.bind(fd, &Addr::lo(family, 0)), 0);
                let port = k.sockname(fd)?.port();
                check!(low <= port && port <= high, "{port} in {low} to {high}");
                k.close(fd);
            }
        }
    }
    Ok(())
}

fn many_port_zero_differ(k: &mut dyn Kernel) -> Outcome {
    let mut seen = Vec::new();
    for _ in 0..50 {
        let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
        ret!(k.bind(fd, &Addr::lo4(0)), 0);
        let port = k.sockname(fd)?.port();
        check!(!seen.contains(&port), "{port} was given twice");
        seen.push(port);
    }
    Ok(())
}

fn again_is_invalid(k: &mut dyn Kernel) -> Outcome {
    for family in FAMILIES {
        for kind in KINDS {
            let fd = ok!(k.socket(family, kind, 0));
            ret!(k.bind(fd, &Addr::lo(family, 0)), 0);
            let name = k.sockname(fd)?;
            err!(k.bind(fd, &Addr::lo(family, 0)), EINVAL);
            err!(k.bind(fd, &name), EINVAL);
            eq!(k.sockname(fd)?, name);
        }
    }
    Ok(())
}

fn after_listen_is_invalid(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.listen(fd, 1), 0);
    err!(k.bind(fd, &Addr::lo4(0)), EINVAL);
    Ok(())
}

fn after_connect_is_invalid(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    err!(k.bind(t.client, &Addr::lo4(0)), EINVAL);
    err!(k.bind(t.server, &Addr::lo4(0)), EINVAL);
    let (_, peer) = k.udp(AF_INET)?;
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.connect(udp, &peer), 0);
    err!(k.bind(udp, &Addr::lo4(0)), EINVAL);
    Ok(())
}

fn name_shows_what_was_bound(k: &mut dyn Kernel) -> Outcome {
    for (family, addr) in [
        (AF_INET, Addr::any4(0)),
        (AF_INET, Addr::lo4(0)),
        (AF_INET, Addr::v4([127, 9, 8, 7], 0)),
        (AF_INET6, Addr::any6(0)),
        (AF_INET6, Addr::lo6(0)),
        (AF_INET6, Addr::mapped([127, 0, 0, 1], 0)),
    ] {
        for kind in KINDS {
            let fd = ok!(k.socket(family, kind, 0));
            ret!(k.bind(fd, &addr), 0);
            let name = k.sockname(fd)?;
            check!(name.port() != 0, "{name:?}");
            eq!(name.with_port(0), addr.clone());
        }
    }
    Ok(())
}

fn port_in_use(k: &mut dyn Kernel) -> Outcome {
    for family in FAMILIES {
        for kind in KINDS {
            let a = ok!(k.socket(family, kind, 0));
            ret!(k.bind(a, &Addr::lo(family, 0)), 0);
            let name = k.sockname(a)?;
            let b = ok!(k.socket(family, kind, 0));
            err!(k.bind(b, &name), EADDRINUSE);
            // It may try another.
            ret!(k.bind(b, &Addr::lo(family, 0)), 0);
        }
    }
    Ok(())
}

fn udp_and_tcp_ports_are_apart(k: &mut dyn Kernel) -> Outcome {
    let name = Addr::lo4(k.free_port()?);
    let tcp = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.bind(tcp, &name), 0);
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.bind(udp, &name), 0);
    Ok(())
}

fn released_by_close(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        let a = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.bind(a, &Addr::lo4(0)), 0);
        let name = k.sockname(a)?;
        ret!(k.close(a), 0);
        let b = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.bind(b, &name), 0);
    }
    Ok(())
}

fn foreign_address(k: &mut dyn Kernel) -> Outcome {
    let mut v6 = [0; 16];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15] = 7;
    for kind in KINDS {
        let fd = ok!(k.socket(AF_INET, kind, 0));
        err!(k.bind(fd, &Addr::v4(TEST_NET, 0)), EADDRNOTAVAIL);
        let fd = ok!(k.socket(AF_INET6, kind, 0));
        err!(k.bind(fd, &Addr::v6(v6, 0)), EADDRNOTAVAIL);
        err!(k.bind(fd, &Addr::mapped(TEST_NET, 0)), EADDRNOTAVAIL);
        // It is still unbound.
        eq!(k.sockname(fd)?, Addr::any6(0));
        ret!(k.bind(fd, &Addr::lo6(0)), 0);
    }
    Ok(())
}

fn any_loopback_address(k: &mut dyn Kernel) -> Outcome {
    for ip in [[127, 0, 0, 2], [127, 1, 2, 3], [127, 255, 255, 254]] {
        for kind in KINDS {
            let fd = ok!(k.socket(AF_INET, kind, 0));
            ret!(k.bind(fd, &Addr::v4(ip, 0)), 0);
        }
    }
    // The network's own broadcast address is of type broadcast, which may be bound as well.
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::v4([127, 255, 255, 255], 0)), 0);
    Ok(())
}

fn low_port_as_user(k: &mut dyn Kernel) -> Outcome {
    if sysctl("net/ipv4/ip_unprivileged_port_start", 0).is_some_and(|start| start < 1024) {
        skip!("this machine lets users bind low ports");
    }
    check!(k.drop_privileges(), "could not become an ordinary user");
    for family in FAMILIES {
        for kind in KINDS {
            let fd = ok!(k.socket(family, kind, 0));
            err!(k.bind(fd, &Addr::lo(family, 1)), EACCES);
            err!(k.bind(fd, &Addr::lo(family, 1023)), EACCES);
        }
    }
    // The address is looked at before the port.
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.bind(fd, &Addr::v4(TEST_NET, 80)), EADDRNOTAVAIL);
    Ok(())
}

fn low_port_as_root(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.bind(fd, &Addr::v4([127, 77, 77, 77], 1023)), 0);
    eq!(k.sockname(fd)?.port(), 1023);
    Ok(())
}

fn family_mismatch(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        let v4 = ok!(k.socket(AF_INET, kind, 0));
        err!(k.bind(v4, &Addr::lo6(0)), EAFNOSUPPORT);
        err!(
            k.bind(v4, &Addr::lo4(0).with_family(libc::AF_UNIX)),
            EAFNOSUPPORT
        );
        let v6 = ok!(k.socket(AF_INET6, kind, 0));
        // Too short for an IPv6 address, which is looked at before the family.
        err!(k.bind(v6, &Addr::lo4(0)), EINVAL);
        err!(k.bind(v6, &Addr::lo4(0).padded(28)), EAFNOSUPPORT);
        err!(
            k.bind(v6, &Addr::any6(0).with_family(libc::AF_UNSPEC)),
            EAFNOSUPPORT
        );
    }
    Ok(())
}

fn unspec_family_with_any_address(k: &mut dyn Kernel) -> Outcome {
    // Compatibility: AF_UNSPEC with INADDR_ANY is taken as AF_INET.
    for kind in KINDS {
        let fd = ok!(k.socket(AF_INET, kind, 0));
        err!(
            k.bind(fd, &Addr::lo4(0).with_family(libc::AF_UNSPEC)),
            EAFNOSUPPORT
        );
        ret!(k.bind(fd, &Addr::any4(0).with_family(libc::AF_UNSPEC)), 0);
        eq!(k.sockname(fd)?.family(), AF_INET);
    }
    Ok(())
}

fn lengths_ipv4(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    for len in [0, 1, 2, 8, 15] {
        err!(k.bind(fd, &Addr::lo4(0).cut(len)), EINVAL);
    }
    ret!(k.bind(fd, &Addr::lo4(0).padded(128)), 0);
    Ok(())
}

fn lengths_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    for len in [0, 2, 16, 23] {
        err!(k.bind(fd, &Addr::lo6(0).cut(len)), EINVAL);
    }
    // 24 bytes: sockaddr_in6 of RFC 2133, before the scope was added.
    ret!(k.bind(fd, &Addr::lo6(0).cut(24)), 0);
    Ok(())
}

fn lengths_out_of_range(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, libc::AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        let room = [0u8; 256];
        for len in [
            129,
            4096,
            i32::MAX as u64,
            u64::from(u32::MAX),
            -1i64 as u64,
        ] {
            err!(k.bind_raw(fd, room.as_ptr() as u64, len), EINVAL);
            err!(k.bind_raw(fd, BAD, len), EINVAL);
        }
    }
    Ok(())
}

fn bad_pointer(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, libc::AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        for addr in [0, BAD, KERNEL_SPACE] {
            err!(k.bind_raw(fd, addr, 28), EFAULT);
            err!(k.bind_raw(fd, addr, 1), EFAULT);
        }
        // Nothing is read when there is nothing to read.
        err!(k.bind_raw(fd, BAD, 0), EINVAL);
    }
    Ok(())
}

fn bad_descriptor_comes_first(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.bind_raw(-1, BAD, 16), EBADF);
    err!(k.bind_raw(9999, BAD, 16), EBADF);
    err!(k.bind_raw(r, BAD, 16), ENOTSOCK);
    err!(k.bind_raw(r, BAD, 4096), ENOTSOCK);
    Ok(())
}

fn sin_zero_is_not_looked_at(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    let mut addr = Addr::lo4(0);
    addr.0[8..].fill(0xff);
    ret!(k.bind(fd, &addr), 0);
    eq!(k.sockname(fd)?.0[8..].to_vec(), vec![0; 8]);
    Ok(())
}

fn link_local_wants_a_scope(k: &mut dyn Kernel) -> Outcome {
    let mut ip = [0; 16];
    ip[..2].copy_from_slice(&[0xfe, 0x80]);
    ip[15] = 1;
    for kind in KINDS {
        let fd = ok!(k.socket(AF_INET6, kind, 0));
        err!(k.bind(fd, &Addr::v6(ip, 0)), EINVAL);
        let mut scoped = Addr::v6(ip, 0);
        scoped.0[24..28].copy_from_slice(&4711u32.to_ne_bytes());
        // No such interface.
        err!(k.bind(fd, &scoped), ENODEV);
    }
    Ok(())
}

fn multicast_stream_ipv6(k: &mut dyn Kernel) -> Outcome {
    let mut ip = [0; 16];
    ip[..2].copy_from_slice(&[0xff, 0x0e]);
    ip[15] = 1;
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM, 0));
    err!(k.bind(fd, &Addr::v6(ip, 0)), EINVAL);
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::v6(ip, 0)), 0);
    Ok(())
}

fn multicast_and_broadcast_ipv4(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        for ip in [[224, 0, 0, 1], [255, 255, 255, 255]] {
            let fd = ok!(k.socket(AF_INET, kind, 0));
            ret!(k.bind(fd, &Addr::v4(ip, 0)), 0);
            let name = k.sockname(fd)?;
            if kind == SOCK_DGRAM {
                // The name is the multicast address; only the sending source stays open.
                eq!(name.0[4..8].to_vec(), ip.to_vec());
            }
        }
    }
    Ok(())
}

fn flowinfo_is_not_kept(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM, 0));
    let mut addr = Addr::lo6(0);
    addr.0[4..8].copy_from_slice(&[0, 1, 2, 3]);
    // A scope is ignored for an address that is not link-local.
    addr.0[24..28].copy_from_slice(&7u32.to_ne_bytes());
    ret!(k.bind(fd, &addr), 0);
    eq!(k.sockname(fd)?.with_port(0), Addr::lo6(0));
    Ok(())
}

fn partial_address_faults(k: &mut dyn Kernel) -> Outcome {
    let edge = Edge::new();
    let at = edge.put(&Addr::lo4(0).0[..15]);
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.bind_raw(fd, at, 16), EFAULT);
    let at = edge.put(&Addr::lo4(0).0);
    ret!(k.bind_raw(fd, at, 16), 0);
    Ok(())
}

fn wildcard_and_specific_conflict(k: &mut dyn Kernel) -> Outcome {
    for family in FAMILIES {
        for kind in KINDS {
            let a = ok!(k.socket(family, kind, 0));
            ret!(k.bind(a, &Addr::any(family, 0)), 0);
            let port = k.sockname(a)?.port();
            let b = ok!(k.socket(family, kind, 0));
            err!(k.bind(b, &Addr::lo(family, port)), EADDRINUSE);
            k.close(a);
            ret!(k.bind(b, &Addr::lo(family, port)), 0);
            let c = ok!(k.socket(family, kind, 0));
            err!(k.bind(c, &Addr::any(family, port)), EADDRINUSE);
        }
    }
    Ok(())
}

fn two_loopbacks_share_a_port(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        let port = k.free_port()?;
        let a = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.bind(a, &Addr::v4([127, 0, 0, 1], port)), 0);
        let b = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.bind(b, &Addr::v4([127, 0, 0, 2], port)), 0);
        let c = ok!(k.socket(AF_INET6, kind, 0));
        ret!(k.bind(c, &Addr::lo6(port)), 0);
    }
    Ok(())
}

fn dup_shares_the_binding(k: &mut dyn Kernel) -> Outcome {
    let a = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let b = ok!(k.dup(a));
    ret!(k.bind(a, &Addr::lo4(0)), 0);
    err!(k.bind(b, &Addr::lo4(0)), EINVAL);
    let name = k.sockname(a)?;
    eq!(k.sockname(b)?, name.clone());
    // The port is free only when the last of them is closed.
    k.close(a);
    let c = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.bind(c, &name), EADDRINUSE);
    k.close(b);
    ret!(k.bind(c, &name), 0);
    Ok(())
}

fn port_survives_failed_bind(k: &mut dyn Kernel) -> Outcome {
    let (_, taken) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.bind(fd, &taken), EADDRINUSE);
    // The address that was tried does not stay.
    eq!(k.sockname(fd)?, Addr::any4(0));
    Ok(())
}
