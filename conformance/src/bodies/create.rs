//! `socket` and `socketpair`.

use crate::check::{Outcome, check, eq, err, ok, ret, skip};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM};

tests! {
    every_supported_kind,
    protocol_numbers_of_the_kind,
    wrong_protocol_for_the_kind,
    unknown_family,
    unknown_type,
    type_with_unknown_flags,
    raw_needs_privilege [DROP],
    raw_as_root [ROOT],
    packet_type_is_refused,
    ping_socket_is_group_range,
    unix_raw_becomes_dgram,
    unix_protocol_is_itself_or_zero,
    flags_cloexec_and_nonblock,
    no_flags_by_default,
    lowest_descriptor_is_used,
    descriptor_limit [LIMITS],
    type_option_tells_what_was_made,
    socketpair_kinds,
    socketpair_only_unix,
    socketpair_flags,
    socketpair_bad_pointer_leaks_nothing [COUNT],
    socketpair_bad_pointer_comes_before_family,
    socketpair_second_slot_faults,
    socketpair_descriptor_limit [LIMITS],
    socketpair_unknown_flag,
    seqpacket_is_unix_only,
}

fn every_supported_kind(k: &mut dyn Kernel) -> Outcome {
    for domain in [AF_INET, AF_INET6] {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            ok!(k.socket(domain, kind, 0));
        }
    }
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        ok!(k.socket(AF_UNIX, kind, 0));
    }
    Ok(())
}

fn protocol_numbers_of_the_kind(k: &mut dyn Kernel) -> Outcome {
    for domain in [AF_INET, AF_INET6] {
        let tcp = ok!(k.socket(domain, SOCK_STREAM, libc::IPPROTO_TCP));
        let udp = ok!(k.socket(domain, SOCK_DGRAM, libc::IPPROTO_UDP));
        eq!(
            k.get_int(tcp, libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
            libc::IPPROTO_TCP
        );
        eq!(
            k.get_int(udp, libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
            libc::IPPROTO_UDP
        );
    }
    Ok(())
}

fn wrong_protocol_for_the_kind(k: &mut dyn Kernel) -> Outcome {
    for domain in [AF_INET, AF_INET6] {
        err!(
            k.socket(domain, SOCK_STREAM, libc::IPPROTO_UDP),
            EPROTONOSUPPORT
        );
        err!(
            k.socket(domain, SOCK_DGRAM, libc::IPPROTO_TCP),
            EPROTONOSUPPORT
        );
        // Inside 0..IPPROTO_MAX but unknown.
        err!(k.socket(domain, SOCK_STREAM, 253), EPROTONOSUPPORT);
        // Outside 0..IPPROTO_MAX: refused before the table is looked at.
        err!(k.socket(domain, SOCK_STREAM, 263), EINVAL);
        err!(k.socket(domain, SOCK_STREAM, -1), EINVAL);
    }
    Ok(())
}

fn unknown_family(k: &mut dyn Kernel) -> Outcome {
    err!(k.socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    err!(k.socket(46, SOCK_STREAM, 0), EAFNOSUPPORT);
    err!(k.socket(4711, SOCK_STREAM, 0), EAFNOSUPPORT);
    err!(k.socket(libc::AF_UNSPEC, SOCK_STREAM, 0), EAFNOSUPPORT);
    // The family is looked at before the type.
    err!(k.socket(4711, 12, 0), EAFNOSUPPORT);
    Ok(())
}

fn unknown_type(k: &mut dyn Kernel) -> Outcome {
    for domain in [AF_INET, AF_INET6, AF_UNIX] {
        // SOCK_MAX is 11; beyond it the type itself is invalid.
        err!(k.socket(domain, 11, 0), EINVAL);
        err!(k.socket(domain, 15, 0), EINVAL);
        err!(k.socket(domain, 0, 0), ESOCKTNOSUPPORT);
        err!(k.socket(domain, 9, 0), ESOCKTNOSUPPORT);
        err!(k.socket(domain, libc::SOCK_RDM, 0), ESOCKTNOSUPPORT);
    }
    Ok(())
}

fn type_with_unknown_flags(k: &mut dyn Kernel) -> Outcome {
    for flag in [0x10, 0x400, 0x1000, 0x40000, i32::MIN] {
        err!(k.socket(AF_INET, SOCK_STREAM | flag, 0), EINVAL);
        err!(k.socket(AF_UNIX, SOCK_STREAM | flag, 0), EINVAL);
        // Before the family, too.
        err!(k.socket(4711, SOCK_STREAM | flag, 0), EINVAL);
    }
    Ok(())
}

fn raw_needs_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    err!(k.socket(AF_INET, SOCK_RAW, libc::IPPROTO_ICMP), EPERM);
    err!(k.socket(AF_INET6, SOCK_RAW, libc::IPPROTO_ICMPV6), EPERM);
    // The protocol is looked up first: SOCK_RAW has a wildcard entry, but not for protocol 0.
    err!(k.socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    Ok(())
}

fn raw_as_root(k: &mut dyn Kernel) -> Outcome {
    ok!(k.socket(AF_INET, SOCK_RAW, libc::IPPROTO_ICMP));
    ok!(k.socket(AF_INET6, SOCK_RAW, libc::IPPROTO_ICMPV6));
    err!(k.socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    Ok(())
}

fn packet_type_is_refused(k: &mut dyn Kernel) -> Outcome {
    // SOCK_PACKET with AF_INET means AF_PACKET, for old programs.
    if k.privileged() {
        skip!("asks what an ordinary user is told");
    }
    err!(k.socket(AF_INET, 10, 0), EPERM);
    Ok(())
}

fn ping_socket_is_group_range(k: &mut dyn Kernel) -> Outcome {
    // net.ipv4.ping_group_range starts as "1 0": nobody, not even root.
    let low = crate::scene::sysctl("net/ipv4/ping_group_range", 0);
    let high = crate::scene::sysctl("net/ipv4/ping_group_range", 1);
    if low <= high {
        skip!("this machine allows ping sockets: {low:?} to {high:?}");
    }
    err!(k.socket(AF_INET, SOCK_DGRAM, libc::IPPROTO_ICMP), EACCES);
    err!(k.socket(AF_INET6, SOCK_DGRAM, libc::IPPROTO_ICMPV6), EACCES);
    Ok(())
}

fn unix_raw_becomes_dgram(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_RAW, 0));
    eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE)?, SOCK_DGRAM);
    Ok(())
}

fn unix_protocol_is_itself_or_zero(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, AF_UNIX));
    // unix_create checks the protocol and sock_init_data stores nothing of it.
    eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)?, 0);
    err!(k.socket(AF_UNIX, SOCK_STREAM, 2), EPROTONOSUPPORT);
    err!(k.socket(AF_UNIX, SOCK_STREAM, -1), EPROTONOSUPPORT);
    Ok(())
}

fn flags_cloexec_and_nonblock(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB | libc::SOCK_CLOEXEC, 0));
    ret!(k.fcntl(fd, libc::F_GETFD, 0), libc::FD_CLOEXEC);
    ret!(
        k.fcntl(fd, libc::F_GETFL, 0),
        libc::O_RDWR | libc::O_NONBLOCK
    );
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.fcntl(fd, libc::F_GETFD, 0), 0);
    ret!(
        k.fcntl(fd, libc::F_GETFL, 0),
        libc::O_RDWR | libc::O_NONBLOCK
    );
    Ok(())
}

fn no_flags_by_default(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(k.fcntl(fd, libc::F_GETFD, 0), 0);
    ret!(k.fcntl(fd, libc::F_GETFL, 0), libc::O_RDWR);
    Ok(())
}

fn lowest_descriptor_is_used(k: &mut dyn Kernel) -> Outcome {
    let a = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    let b = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    check!(b > a, "{b} after {a}");
    ret!(k.close(a), 0);
    ret!(k.socket(AF_INET6, SOCK_DGRAM, 0), a);
    err!(k.close(-1), EBADF);
    Ok(())
}

/// Lowers RLIMIT_NOFILE so that `spare` more descriptors fit.
fn limit(k: &mut dyn Kernel, spare: u64) -> Result<(), crate::check::Stop> {
    let probe = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0)) as u64;
    k.close(probe as i64);
    let limit = libc::rlimit {
        rlim_cur: probe + spare,
        rlim_max: probe + spare,
    };
    ret!(
        k.call(
            libc::SYS_prlimit64,
            &[
                0,
                u64::from(libc::RLIMIT_NOFILE),
                &raw const limit as u64,
                0
            ]
        ),
        0
    );
    Ok(())
}

fn descriptor_limit(k: &mut dyn Kernel) -> Outcome {
    limit(k, 1)?;
    ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.socket(AF_INET, SOCK_STREAM, 0), EMFILE);
    err!(k.socket(AF_UNIX, SOCK_DGRAM, 0), EMFILE);
    // What is wrong with the arguments is told first.
    err!(k.socket(4711, SOCK_STREAM, 0), EAFNOSUPPORT);
    Ok(())
}

fn type_option_tells_what_was_made(k: &mut dyn Kernel) -> Outcome {
    for (domain, kind, protocol) in [
        (AF_INET, SOCK_STREAM, libc::IPPROTO_TCP),
        (AF_INET6, SOCK_DGRAM, libc::IPPROTO_UDP),
        (AF_UNIX, SOCK_SEQPACKET, 0),
    ] {
        let fd = ok!(k.socket(domain, kind | NB | libc::SOCK_CLOEXEC, 0));
        eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE)?, kind);
        eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)?, domain);
        eq!(
            k.get_int(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
            protocol
        );
    }
    Ok(())
}

fn socketpair_kinds(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind)?;
        check!(a != b, "{a} and {b}");
        ret!(k.send(a, b"over", 0), 4);
        eq!(k.recv_now(b)?, b"over");
        ret!(k.send(b, b"back", 0), 4);
        eq!(k.recv_now(a)?, b"back");
    }
    Ok(())
}

fn socketpair_only_unix(k: &mut dyn Kernel) -> Outcome {
    let mut sv = [-1i32; 2];
    let at = sv.as_mut_ptr() as u64;
    for domain in [AF_INET, AF_INET6] {
        err!(k.socketpair_raw(domain, SOCK_STREAM, 0, at), EOPNOTSUPP);
        err!(k.socketpair_raw(domain, SOCK_DGRAM, 0, at), EOPNOTSUPP);
    }
    err!(k.socketpair_raw(4711, SOCK_STREAM, 0, at), EAFNOSUPPORT);
    err!(k.socketpair_raw(AF_UNIX, 9, 0, at), ESOCKTNOSUPPORT);
    err!(
        k.socketpair_raw(AF_UNIX, SOCK_STREAM, 6, at),
        EPROTONOSUPPORT
    );
    Ok(())
}

fn socketpair_flags(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB | libc::SOCK_CLOEXEC)?;
    for fd in [a, b] {
        ret!(k.fcntl(fd, libc::F_GETFD, 0), libc::FD_CLOEXEC);
        ret!(
            k.fcntl(fd, libc::F_GETFL, 0),
            libc::O_RDWR | libc::O_NONBLOCK
        );
    }
    Ok(())
}

fn socketpair_bad_pointer_leaks_nothing(k: &mut dyn Kernel) -> Outcome {
    let before = k.descriptor_count();
    err!(k.socketpair_raw(AF_UNIX, SOCK_STREAM, 0, BAD), EFAULT);
    err!(k.socketpair_raw(AF_UNIX, SOCK_STREAM, 0, 0), EFAULT);
    err!(
        k.socketpair_raw(AF_UNIX, SOCK_STREAM, 0, KERNEL_SPACE),
        EFAULT
    );
    eq!(k.descriptor_count(), before);
    Ok(())
}

fn socketpair_bad_pointer_comes_before_family(k: &mut dyn Kernel) -> Outcome {
    // The numbers are written before the sockets are made.
    err!(k.socketpair_raw(4711, SOCK_STREAM, 0, BAD), EFAULT);
    err!(k.socketpair_raw(AF_INET, SOCK_STREAM, 0, BAD), EFAULT);
    // But the flags are looked at first of all.
    err!(
        k.socketpair_raw(AF_UNIX, SOCK_STREAM | 0x10, 0, BAD),
        EINVAL
    );
    Ok(())
}

fn socketpair_second_slot_faults(k: &mut dyn Kernel) -> Outcome {
    let edge = Edge::new();
    let at = edge.put(&[0xff; 4]);
    err!(k.socketpair_raw(AF_UNIX, SOCK_STREAM, 0, at), EFAULT);
    // The first number had been written and stays.
    let first = edge.read_u32(at);
    check!(first != u32::MAX, "the first slot was not written");
    ret!(k.socket(AF_UNIX, SOCK_STREAM, 0), first);
    Ok(())
}

fn socketpair_descriptor_limit(k: &mut dyn Kernel) -> Outcome {
    limit(k, 1)?;
    let mut sv = [-1i32; 2];
    err!(
        k.socketpair_raw(AF_UNIX, SOCK_STREAM, 0, sv.as_mut_ptr() as u64),
        EMFILE
    );
    // The one that was free is free again.
    ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    Ok(())
}

fn socketpair_unknown_flag(k: &mut dyn Kernel) -> Outcome {
    let mut sv = [-1i32; 2];
    let at = sv.as_mut_ptr() as u64;
    err!(k.socketpair_raw(AF_UNIX, SOCK_STREAM | 0x20, 0, at), EINVAL);
    err!(k.socketpair_raw(AF_UNIX, 15, 0, at), EINVAL);
    Ok(())
}

fn seqpacket_is_unix_only(k: &mut dyn Kernel) -> Outcome {
    err!(k.socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    err!(k.socket(AF_INET6, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    Ok(())
}
