//! SOL_SOCKET options.

use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, WB};
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};

tests! {
    defaults,
    defaults_of_rarer_options,
    type_domain_protocol,
    accept_conn,
    error_starts_at_zero_and_clears,
    timeouts_default_and_set,
    timeouts_rounding,
    timeouts_bad_values,
    timeouts_new_layout,
    timeouts_lengths,
    priority_range_as_user [DROP],
    priority_range_as_root [ROOT],
    priority_values,
    cookie_is_stable_and_unique,
    cookie_lengths,
    reuseport_is_for_internet,
    broadcast_is_stored,
    keepalive_on_any,
    debug_needs_privilege [DROP],
    timestamp_brings_a_message,
    timestamp_excludes_nanoseconds,
    timestamp_on_unix,
    timestampns_is_now,
    timestamp_is_now,
    oobinline_default,
    linger_lengths,
    linger_forever,
    no_check_like_flags,
    mark_needs_privilege [DROP],
    options_survive_connect,
    rxq_ovfl_values,
}

fn each(k: &mut dyn Kernel) -> Result<Vec<(i32, i32, Fd)>, crate::check::Stop> {
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

fn defaults(k: &mut dyn Kernel) -> Outcome {
    for (family, kind, fd) in each(k)? {
        for (name, want) in [
            (libc::SO_ERROR, 0),
            (libc::SO_ACCEPTCONN, 0),
            (libc::SO_REUSEADDR, 0),
            (libc::SO_REUSEPORT, 0),
            (libc::SO_KEEPALIVE, 0),
            (libc::SO_BROADCAST, 0),
            (libc::SO_OOBINLINE, 0),
            (libc::SO_PRIORITY, 0),
            (libc::SO_TIMESTAMP, 0),
            (libc::SO_RCVLOWAT, 1),
            (libc::SO_SNDLOWAT, 1),
        ] {
            let got = k.get_int(fd, SOL_SOCKET, name)?;
            check!(
                got == want,
                "family {family} type {kind} option {name}: {got}"
            );
        }
    }
    Ok(())
}

fn type_domain_protocol(k: &mut dyn Kernel) -> Outcome {
    for (family, kind, fd) in each(k)? {
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TYPE)?, kind);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_DOMAIN)?, family);
        let protocol = match (family, kind) {
            (AF_UNIX, _) => 0,
            (_, SOCK_STREAM) => libc::IPPROTO_TCP,
            _ => libc::IPPROTO_UDP,
        };
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_PROTOCOL)?, protocol);
    }
    Ok(())
}

fn accept_conn(k: &mut dyn Kernel) -> Outcome {
    let (tcp, _) = k.tcp_listener(AF_INET, 1)?;
    let (unix, _) = k.unix_listener(SOCK_STREAM, 1)?;
    for fd in [tcp, unix] {
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_ACCEPTCONN)?, 1);
    }
    Ok(())
}

fn error_starts_at_zero_and_clears(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    eq!(k.so_error(fd)?, 0);
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, WB | libc::POLLERR);
    // Even a read into no room clears it.
    let (got, value) = k.getsockopt(fd, SOL_SOCKET, libc::SO_ERROR, 0);
    eq!((got, value.len()), (0, 0));
    eq!(k.so_error(fd)?, 0);
    mask!(k, fd, WB);
    Ok(())
}

fn timeval(seconds: i64, micros: i64) -> Vec<u8> {
    [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
}

const TIMEOUTS: [i32; 2] = [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO];

fn timeouts_default_and_set(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        for name in TIMEOUTS {
            eq!(k.getsockopt(fd, SOL_SOCKET, name, 16), (0, timeval(0, 0)));
            ret!(k.setsockopt(fd, SOL_SOCKET, name, &timeval(3, 500_000)), 0);
            eq!(
                k.getsockopt(fd, SOL_SOCKET, name, 16),
                (0, timeval(3, 500_000))
            );
            ret!(k.setsockopt(fd, SOL_SOCKET, name, &timeval(0, 0)), 0);
            eq!(k.getsockopt(fd, SOL_SOCKET, name, 16), (0, timeval(0, 0)));
        }
    }
    Ok(())
}

fn timeouts_rounding(k: &mut dyn Kernel) -> Outcome {
    // Kept in ticks of the kernel: rounded up to a multiple of 1/HZ.
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(
        k.setsockopt(fd, SOL_SOCKET, libc::SO_RCVTIMEO, &timeval(0, 1)),
        0
    );
    let (got, value) = k.getsockopt(fd, SOL_SOCKET, libc::SO_RCVTIMEO, 16);
    eq!(got, 0);
    let mut word = [0; 8];
    word.copy_from_slice(&value[8..]);
    let micros = i64::from_ne_bytes(word);
    check!([1000, 3333, 4000, 10_000].contains(&micros), "{micros}");
    // So large that it is for ever.
    ret!(
        k.setsockopt(fd, SOL_SOCKET, libc::SO_RCVTIMEO, &timeval(i64::MAX, 0)),
        0
    );
    eq!(
        k.getsockopt(fd, SOL_SOCKET, libc::SO_RCVTIMEO, 16),
        (0, timeval(0, 0))
    );
    Ok(())
}

fn timeouts_bad_values(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for name in TIMEOUTS {
        for micros in [-1, 1_000_000, i64::MAX] {
            err!(
                k.setsockopt(fd, SOL_SOCKET, name, &timeval(1, micros)),
                EDOM
            );
        }
        // Negative seconds: no waiting at all, which reads back as no timeout.
        ret!(k.setsockopt(fd, SOL_SOCKET, name, &timeval(-1, 0)), 0);
        let (got, value) = k.getsockopt(fd, SOL_SOCKET, name, 16);
        eq!((got, value), (0, timeval(0, 0)));
    }
    Ok(())
}

fn timeouts_new_layout(k: &mut dyn Kernel) -> Outcome {
    // SO_RCVTIMEO_NEW and SO_SNDTIMEO_NEW: 64-bit on every machine, the same option underneath.
    const RCVTIMEO_NEW: i32 = 66;
    const SNDTIMEO_NEW: i32 = 67;
    let fd = k.tcp_socket(AF_INET, 0)?;
    for (new, old) in [
        (RCVTIMEO_NEW, libc::SO_RCVTIMEO),
        (SNDTIMEO_NEW, libc::SO_SNDTIMEO),
    ] {
        ret!(k.setsockopt(fd, SOL_SOCKET, new, &timeval(7, 0)), 0);
        eq!(k.getsockopt(fd, SOL_SOCKET, old, 16), (0, timeval(7, 0)));
        eq!(k.getsockopt(fd, SOL_SOCKET, new, 16), (0, timeval(7, 0)));
    }
    Ok(())
}

fn timeouts_lengths(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for name in TIMEOUTS {
        for len in [0, 4, 8, 15] {
            err!(
                k.setsockopt(fd, SOL_SOCKET, name, &timeval(1, 0)[..len]),
                EINVAL
            );
        }
        ret!(k.setsockopt(fd, SOL_SOCKET, name, &timeval(1, 0)), 0);
        for cap in [0, 4, 8, 16, 40] {
            let (got, value) = k.getsockopt(fd, SOL_SOCKET, name, cap);
            eq!((got, value), (0, timeval(1, 0)[..cap.min(16)].to_vec()));
        }
    }
    Ok(())
}

fn priority_range_as_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = k.tcp_socket(AF_INET, 0)?;
    for value in 0..=6 {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_PRIORITY, value), 0);
    }
    for value in [7, 100, -1] {
        err!(k.set_int(fd, SOL_SOCKET, libc::SO_PRIORITY, value), EPERM);
    }
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_PRIORITY)?, 6);
    Ok(())
}

fn priority_range_as_root(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for value in [7, 100, -1] {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_PRIORITY, value), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_PRIORITY)?, value);
    }
    Ok(())
}

fn priority_values(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_PRIORITY, 3), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_PRIORITY)?, 3);
    }
    Ok(())
}

fn cookie_is_stable_and_unique(k: &mut dyn Kernel) -> Outcome {
    let mut seen = Vec::new();
    for (_, _, fd) in each(k)? {
        let (got, cookie) = k.getsockopt(fd, SOL_SOCKET, libc::SO_COOKIE, 8);
        eq!((got, cookie.len()), (0, 8));
        check!(cookie != [0; 8] && !seen.contains(&cookie), "{cookie:?}");
        eq!(
            k.getsockopt(fd, SOL_SOCKET, libc::SO_COOKIE, 8),
            (0, cookie.clone())
        );
        seen.push(cookie);
    }
    Ok(())
}

fn cookie_lengths(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for cap in [0, 4, 7] {
        let (got, _) = k.getsockopt(fd, SOL_SOCKET, libc::SO_COOKIE, cap);
        ret!(got, -libc::EINVAL);
    }
    let (got, cookie) = k.getsockopt(fd, SOL_SOCKET, libc::SO_COOKIE, 100);
    eq!((got, cookie.len()), (0, 8));
    Ok(())
}

fn reuseport_is_for_internet(k: &mut dyn Kernel) -> Outcome {
    for (family, _, fd) in each(k)? {
        if family == AF_UNIX {
            err!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1), EOPNOTSUPP);
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 0), 0);
        } else {
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1), 0);
        }
    }
    Ok(())
}

fn broadcast_is_stored(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_BROADCAST, 1), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_BROADCAST)?, 1);
    }
    Ok(())
}

fn keepalive_on_any(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_KEEPALIVE, 5), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_KEEPALIVE)?, 1);
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_KEEPALIVE, 0), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_KEEPALIVE)?, 0);
    }
    Ok(())
}

fn debug_needs_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = k.tcp_socket(AF_INET, 0)?;
    err!(k.set_int(fd, SOL_SOCKET, libc::SO_DEBUG, 1), EACCES);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_DEBUG, 0), 0);
    Ok(())
}

fn timestamp_brings_a_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_TIMESTAMP, 1), 0);
    eq!(k.get_int(b, SOL_SOCKET, libc::SO_TIMESTAMP)?, 1);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    let got = msg.cmsg(SOL_SOCKET, libc::SCM_TIMESTAMP);
    eq!(got.map(|c| c.data.len()), Some(16));
    // It can be switched off.
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_TIMESTAMP, 0), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.cmsgs(), vec![]);
    Ok(())
}

fn timestamp_excludes_nanoseconds(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_TIMESTAMPNS, 1), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TIMESTAMPNS)?, 1);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TIMESTAMP)?, 0);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_TIMESTAMP, 1), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TIMESTAMPNS)?, 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TIMESTAMP)?, 1);
    Ok(())
}

fn timestamp_on_unix(k: &mut dyn Kernel) -> Outcome {
    // Datagrams carry it, a stream does not.
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_TIMESTAMP, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    check!(
        msg.cmsg(SOL_SOCKET, libc::SCM_TIMESTAMP).is_some(),
        "{:?}",
        msg.cmsgs()
    );
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_TIMESTAMP, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.cmsgs(), vec![]);
    Ok(())
}

fn defaults_of_rarer_options(k: &mut dyn Kernel) -> Outcome {
    for (family, kind, fd) in each(k)? {
        for name in [libc::SO_TIMESTAMPNS, libc::SO_DONTROUTE, libc::SO_MARK] {
            let got = k.get_int(fd, SOL_SOCKET, name)?;
            check!(got == 0, "family {family} type {kind} option {name}: {got}");
        }
    }
    Ok(())
}

fn timestamp_is_now(k: &mut dyn Kernel) -> Outcome {
    stamps(k, libc::SO_TIMESTAMP, 1_000_000)
}

fn timestampns_is_now(k: &mut dyn Kernel) -> Outcome {
    stamps(k, libc::SO_TIMESTAMPNS, 1_000_000_000)
}

/// The option's message carries the time, whose second word counts to `fraction`.
fn stamps(k: &mut dyn Kernel, option: i32, fraction: i64) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, option, 1), 0);
    let mut times = Vec::new();
    for _ in 0..3 {
        ret!(k.send(a, b"x", 0), 1);
        let mut msg = Msg::room(&[8]).control_room(128);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        // SCM_TIMESTAMP and SCM_TIMESTAMPNS have the options' own numbers.
        let Some(stamp) = msg.cmsg(SOL_SOCKET, option) else {
            return crate::check::fail("timestamp", "no message".to_string());
        };
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&stamp.data[at..at + 8]);
            i64::from_ne_bytes(bytes)
        };
        check!(
            (0..fraction).contains(&word(8)),
            "{} of {fraction}",
            word(8)
        );
        times.push((word(0), word(8)));
        k.pause(std::time::Duration::from_millis(1));
    }
    check!(times.is_sorted() && times[0] < times[2], "{times:?}");
    Ok(())
}

fn oobinline_default(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_OOBINLINE, 3), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_OOBINLINE)?, 1);
    Ok(())
}

/// Less than no seconds are more than any: MAX_SCHEDULE_TIMEOUT, told in what an `int` takes of it.
fn linger_forever(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        for seconds in [-1, -42, i32::MIN] {
            let value = [1, seconds].map(i32::to_ne_bytes).concat();
            ret!(k.setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &value), 0);
            let forever = [int(1), int(-1_752_346_657)].concat();
            eq!(
                k.getsockopt(fd, SOL_SOCKET, libc::SO_LINGER, 8),
                (0, forever)
            );
        }
        let value = [1, i32::MAX].map(i32::to_ne_bytes).concat();
        ret!(k.setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &value), 0);
        eq!(k.getsockopt(fd, SOL_SOCKET, libc::SO_LINGER, 8), (0, value));
    }
    Ok(())
}

fn linger_lengths(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        err!(
            k.setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &int(1)),
            EINVAL
        );
        let value = [int(1), int(2)].concat();
        ret!(k.setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &value), 0);
        eq!(
            k.getsockopt(fd, SOL_SOCKET, libc::SO_LINGER, 100),
            (0, value)
        );
    }
    Ok(())
}

fn no_check_like_flags(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_DONTROUTE, 9), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_DONTROUTE)?, 1);
    Ok(())
}

fn mark_needs_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = k.tcp_socket(AF_INET, 0)?;
    err!(k.set_int(fd, SOL_SOCKET, libc::SO_MARK, 1), EPERM);
    Ok(())
}

fn options_survive_connect(k: &mut dyn Kernel) -> Outcome {
    let (_l, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, 30_000), 0);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_KEEPALIVE, 1), 0);
    k.connect_now(fd, &addr)?;
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, 60_000);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_KEEPALIVE)?, 1);
    Ok(())
}

fn rxq_ovfl_values(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RXQ_OVFL)?, 0);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RXQ_OVFL, 1), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RXQ_OVFL)?, 1);
    Ok(())
}
