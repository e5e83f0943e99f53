//! getsockopt(2) and setsockopt(2): null pointers, lengths below 0 and above what anybody needs.

use crate::check::{Outcome, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, AF_UNIX, EADDRNOTAVAIL, EFAULT, EINVAL, EMSGSIZE, ENOBUFS, ENOPROTOOPT,
    ENOTCONN, EOPNOTSUPP, IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP,
    SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
};

tests! {
    lengths_below_zero,
    lengths_below_zero_of_ipv6,
    lengths_below_zero_of_raw_ipv6 [ROOT],
    null_is_zero_for_ipv6,
    null_is_no_structure_for_ipv6,
    null_is_read_by_raw_ipv6 [ROOT],
    null_is_a_fault_for_others,
    sources_of_groups_with_more_than_they_need,
    filters_beyond_what_there_is_room_for,
    inq_of_another_length,
    policies_are_read [ROOT],
    filter_of_another_protocol [ROOT],
}

const IPV6_CHECKSUM: i32 = 7;
const IPV6_PATHMTU: i32 = 61;
const MCAST_BLOCK_SOURCE: i32 = 43;
const MCAST_MSFILTER: i32 = 48;
const IP_MSFILTER: i32 = 41;
const SO_INQ: i32 = 84;

/// getsockopt(2) with `*optlen` of `len`: what it returns, and what `*optlen` is then.
fn get(k: &mut dyn Kernel, fd: Fd, level: i32, name: i32, len: i32) -> (i64, i32) {
    let mut value = [0u8; 64];
    let mut len = len;
    let at = [value.as_mut_ptr() as u64, &raw mut len as u64];
    let args = [fd as u64, level as u64, name as u64, at[0], at[1]];
    let ret = k.call(libc::SYS_getsockopt, &args);
    (ret, len)
}

fn set_null(k: &mut dyn Kernel, fd: Fd, level: i32, name: i32, len: i32) -> i64 {
    let args = [fd as u64, level as u64, name as u64, 0, len as u64];
    k.call(libc::SYS_setsockopt, &args)
}

fn no(errno: i32) -> i64 {
    -i64::from(errno)
}

fn lengths_below_zero(k: &mut dyn Kernel) -> Outcome {
    for domain in [AF_INET, AF_INET6] {
        let tcp = ok!(k.socket(domain, SOCK_STREAM, 0));
        let udp = ok!(k.socket(domain, SOCK_DGRAM, 0));
        for (fd, level, name) in [
            (tcp, SOL_SOCKET, libc::SO_TYPE),
            (tcp, IPPROTO_TCP, libc::TCP_NODELAY),
            (tcp, IPPROTO_IP, libc::IP_TTL),
            (udp, IPPROTO_IP, libc::IP_TOS),
            (udp, IPPROTO_UDP, libc::UDP_CORK),
        ] {
            for len in [-1, i32::MIN] {
                eq!(
                    (level, get(k, fd, level, name, len)),
                    (level, (no(EINVAL), len))
                );
            }
            eq!(
                (level, set_null(k, fd, level, name, -1)),
                (level, no(EINVAL))
            );
        }
    }
    Ok(())
}

fn lengths_below_zero_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    for ty in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET6, ty, 0));
        for name in [
            libc::IPV6_V6ONLY,
            libc::IPV6_UNICAST_HOPS,
            libc::IPV6_TCLASS,
        ] {
            for len in [-1, i32::MIN] {
                eq!((name, get(k, fd, IPPROTO_IPV6, name, len)), (name, (0, 4)));
            }
            eq!(
                (name, set_null(k, fd, IPPROTO_IPV6, name, -1)),
                (name, no(EINVAL))
            );
        }
        eq!(
            get(k, fd, IPPROTO_IPV6, libc::IPV6_MTU, -1),
            (no(ENOTCONN), -1)
        );
        eq!(
            get(k, fd, IPPROTO_IPV6, IPV6_PATHMTU, -1),
            (no(ENOTCONN), -1)
        );
        eq!(
            get(k, fd, IPPROTO_IPV6, MCAST_MSFILTER, -1),
            (no(EINVAL), -1)
        );
        eq!(get(k, fd, IPPROTO_IPV6, 0, -1), (no(ENOPROTOOPT), -1));
    }
    Ok(())
}

fn lengths_below_zero_of_raw_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
    eq!(get(k, fd, 255, IPV6_CHECKSUM, -1), (0, 4));
    eq!(get(k, fd, 255, 1, -1), (no(ENOPROTOOPT), -1));
    // The filter of ICMPv6 does look; what is no option of its level is not looked at.
    eq!(get(k, fd, IPPROTO_ICMPV6, 1, -1), (no(EINVAL), -1));
    eq!(get(k, fd, IPPROTO_ICMPV6, 2, -1), (no(ENOPROTOOPT), -1));
    let args = [fd as u64, IPPROTO_ICMPV6 as u64, 2, 0, 0];
    err!(k.call(libc::SYS_getsockopt, &args), ENOPROTOOPT);
    Ok(())
}

fn null_is_zero_for_ipv6(k: &mut dyn Kernel) -> Outcome {
    for ty in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET6, ty, 0));
        let on = 1i32.to_ne_bytes();
        for name in [
            libc::IPV6_V6ONLY,
            libc::IPV6_RECVPKTINFO,
            libc::IPV6_RECVTCLASS,
        ] {
            ret!(k.setsockopt(fd, IPPROTO_IPV6, name, &on), 0);
            eq!(
                (name, set_null(k, fd, IPPROTO_IPV6, name, 3)),
                (name, no(EINVAL))
            );
            eq!((name, set_null(k, fd, IPPROTO_IPV6, name, 300)), (name, 0));
            eq!(
                (name, k.getsockopt(fd, IPPROTO_IPV6, name, 4)),
                (name, (0, vec![0; 4]))
            );
        }
    }
    Ok(())
}

fn null_is_no_structure_for_ipv6(k: &mut dyn Kernel) -> Outcome {
    for ty in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET6, ty, 0));
        // Messages, one of the groups and one of their sources: they are read.
        for (name, len) in [(6, 1), (6, 16), (42, 300), (43, 300), (45, 300), (46, 300)] {
            eq!(
                (name, set_null(k, fd, IPPROTO_IPV6, name, len)),
                (name, no(EFAULT))
            );
        }
        // Of these null is said to be wrong: IPV6_PKTINFO, IPV6_RTHDR.
        for (name, len) in [(50, 20), (50, 300), (57, 16)] {
            eq!(
                (name, set_null(k, fd, IPPROTO_IPV6, name, len)),
                (name, no(EINVAL))
            );
        }
        // Without a length the header goes.
        eq!(set_null(k, fd, IPPROTO_IPV6, 57, 0), 0);
    }
    Ok(())
}

fn null_is_read_by_raw_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW, 200));
    for level in [IPPROTO_IPV6, 255] {
        for name in [IPV6_CHECKSUM, libc::IPV6_HDRINCL] {
            let found = set_null(k, fd, level, name, 4);
            eq!((level, name, found), (level, name, no(EFAULT)));
        }
    }
    Ok(())
}

fn null_is_a_fault_for_others(k: &mut dyn Kernel) -> Outcome {
    for ty in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET, ty, 0));
        // An int, or a byte of one, is read before anything else is looked at.
        for name in [
            libc::IP_TTL,
            libc::IP_MULTICAST_TTL,
            libc::IP_MULTICAST_LOOP,
            libc::IP_UNICAST_IF,
        ] {
            for len in [1, 4, 300] {
                let found = set_null(k, fd, IPPROTO_IP, name, len);
                eq!((name, len, found), (name, len, no(EFAULT)));
            }
        }
        eq!(
            set_null(k, fd, IPPROTO_IP, libc::IP_MULTICAST_TTL, 0),
            no(EINVAL)
        );
    }
    Ok(())
}

fn sources_of_groups_with_more_than_they_need(k: &mut dyn Kernel) -> Outcome {
    // struct group_source_req, with nothing in it.
    let value = [0u8; 300];
    let six = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    let four = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for name in MCAST_BLOCK_SOURCE..=MCAST_BLOCK_SOURCE + 4 {
        if name == 45 {
            continue;
        }
        let found = k.setsockopt(six, IPPROTO_IPV6, name, &value);
        eq!((name, found), (name, no(EADDRNOTAVAIL)));
        let found = k.setsockopt(four, IPPROTO_IP, name, &value);
        eq!((name, found), (name, no(EINVAL)));
    }
    Ok(())
}

fn filters_beyond_what_there_is_room_for(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    for (level, name) in [
        (IPPROTO_IP, IP_MSFILTER),
        (IPPROTO_IP, MCAST_MSFILTER),
        (IPPROTO_IPV6, MCAST_MSFILTER),
    ] {
        let found = set_null(k, fd, level, name, 1 << 20);
        eq!((level, name, found), (level, name, no(ENOBUFS)));
    }
    Ok(())
}

fn inq_of_another_length(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for len in [0, 1, 3, 5, 16] {
        let found = set_null(k, fd, SOL_SOCKET, SO_INQ, len);
        eq!((len, found), (len, no(EINVAL)));
    }
    eq!(set_null(k, fd, SOL_SOCKET, SO_INQ, 4), no(EFAULT));
    Ok(())
}

/// xfrm_user_policy(): nothing takes the policies away; what is given is read, up to a page.
fn policies_are_read(k: &mut dyn Kernel) -> Outcome {
    for (family, level, names) in [
        (AF_INET, IPPROTO_IP, [16, 17]),
        (AF_INET6, IPPROTO_IP, [16, 17]),
        (AF_INET6, IPPROTO_IPV6, [34, 35]),
    ] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        for name in names {
            for (len, want) in [
                (0, 0),
                (1, no(EFAULT)),
                (4096, no(EFAULT)),
                (4097, no(EMSGSIZE)),
                (i32::MAX, no(EMSGSIZE)),
            ] {
                let found = set_null(k, fd, level, name, len);
                eq!((level, name, len, found), (level, name, len, want));
            }
            // Nothing of something is too little.
            eq!(k.setsockopt(fd, level, name, &[]), no(EMSGSIZE));
            eq!(k.setsockopt(fd, level, name, &[0; 4097]), no(EMSGSIZE));
        }
    }
    Ok(())
}

/// raw_getsockopt(): the name, then the protocol, both before a length.
fn filter_of_another_protocol(k: &mut dyn Kernel) -> Outcome {
    const SOL_RAW: i32 = 255;
    let fd = ok!(k.socket(AF_INET, libc::SOCK_RAW, 200));
    for name in 0..5 {
        let want = if name == 1 { EOPNOTSUPP } else { ENOPROTOOPT };
        for len in [0, BAD] {
            let found = k.getsockopt_raw(fd, SOL_RAW, name, 0, len);
            eq!((name, len, found), (name, len, no(want)));
        }
    }
    Ok(())
}
