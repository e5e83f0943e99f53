//! IPPROTO_TCP options.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::registry::tests;
use crate::scene::{NB, sysctl};
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, IPPROTO_TCP};

tests! {
    defaults,
    nodelay_and_cork,
    maxseg_range,
    maxseg_of_connection,
    maxseg_is_kept,
    keepalive_ranges,
    syncnt_range,
    linger2_values,
    defer_accept_rounds,
    user_timeout_values,
    quickack_values,
    window_clamp_values,
    congestion_get,
    congestion_set,
    congestion_lengths,
    congestion_inherited,
    info_lengths,
    info_of_connection,
    info_counts_bytes,
    info_of_fresh_socket,
    info_of_listener,
    info_keeps_its_promises,
    notsent_lowat_and_out,
    all_on_ipv6,
    set_short_length,
    keepidle_on_unconnected,
}

fn get(k: &mut dyn Kernel, fd: Fd, name: i32) -> Got<i32> {
    k.get_int(fd, IPPROTO_TCP, name)
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: i32) -> i64 {
    k.set_int(fd, IPPROTO_TCP, name, value)
}

fn tunable(path: &str, default: i64) -> i32 {
    sysctl(&format!("net/ipv4/{path}"), 0).unwrap_or(default) as i32
}

fn defaults(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = k.tcp_socket(family, 0)?;
        for (name, want) in [
            (libc::TCP_NODELAY, 0),
            (libc::TCP_CORK, 0),
            (libc::TCP_MAXSEG, 536),
            (libc::TCP_KEEPIDLE, tunable("tcp_keepalive_time", 7200)),
            (libc::TCP_KEEPINTVL, tunable("tcp_keepalive_intvl", 75)),
            (libc::TCP_KEEPCNT, tunable("tcp_keepalive_probes", 9)),
            (libc::TCP_SYNCNT, tunable("tcp_syn_retries", 6)),
            (libc::TCP_LINGER2, tunable("tcp_fin_timeout", 60)),
            (libc::TCP_DEFER_ACCEPT, 0),
            (libc::TCP_WINDOW_CLAMP, 0),
            (libc::TCP_USER_TIMEOUT, 0),
            (libc::TCP_QUICKACK, 1),
        ] {
            let got = get(k, fd, name)?;
            check!(
                got == want,
                "family {family} option {name} is {got}, want {want}"
            );
        }
    }
    Ok(())
}

fn nodelay_and_cork(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for name in [libc::TCP_NODELAY, libc::TCP_CORK] {
        ret!(set(k, fd, name, 42), 0);
        eq!(get(k, fd, name)?, 1);
        ret!(set(k, fd, name, 0), 0);
        eq!(get(k, fd, name)?, 0);
    }
    Ok(())
}

fn maxseg_range(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for value in [88, 1000, 32767, 0] {
        ret!(set(k, fd, libc::TCP_MAXSEG, value), 0);
    }
    for value in [1, 87, 32768, -1, i32::MAX] {
        err!(set(k, fd, libc::TCP_MAXSEG, value), EINVAL);
    }
    Ok(())
}

fn maxseg_of_connection(k: &mut dyn Kernel) -> Outcome {
    for (family, header) in [(AF_INET, 40), (AF_INET6, 60)] {
        let t = k.tcp(family)?;
        let mss = get(k, t.client, libc::TCP_MAXSEG)?;
        // At most loopback's MTU of 65536 less the headers; a sender also keeps to half of the
        // largest window the peer has announced, and the first is below 64 KiB.
        check!(mss <= 65536 - header && mss >= 32_000, "{mss}");
    }
    Ok(())
}

fn maxseg_is_kept(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(set(k, fd, libc::TCP_MAXSEG, 1000), 0);
    eq!(get(k, fd, libc::TCP_MAXSEG)?, 1000);
    k.connect_now(fd, &addr)?;
    let server = k.accept_now(listener)?;
    // What the client announced bounds what the server sends, less its options.
    let mss = get(k, server, libc::TCP_MAXSEG)?;
    check!((900..=1000).contains(&mss), "{mss}");
    Ok(())
}

fn keepalive_ranges(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for (name, max) in [
        (libc::TCP_KEEPIDLE, 32767),
        (libc::TCP_KEEPINTVL, 32767),
        (libc::TCP_KEEPCNT, 127),
    ] {
        for value in [1, 50, max] {
            ret!(set(k, fd, name, value), 0);
            eq!(get(k, fd, name)?, value);
        }
        for value in [0, -1, max + 1] {
            err!(set(k, fd, name, value), EINVAL);
        }
        eq!(get(k, fd, name)?, max);
    }
    Ok(())
}

fn syncnt_range(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for value in [1, 10, 127] {
        ret!(set(k, fd, libc::TCP_SYNCNT, value), 0);
        eq!(get(k, fd, libc::TCP_SYNCNT)?, value);
    }
    for value in [0, -1, 128] {
        err!(set(k, fd, libc::TCP_SYNCNT, value), EINVAL);
    }
    Ok(())
}

fn linger2_values(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(set(k, fd, libc::TCP_LINGER2, 20), 0);
    eq!(get(k, fd, libc::TCP_LINGER2)?, 20);
    // Negative: no FIN_WAIT2 at all.
    ret!(set(k, fd, libc::TCP_LINGER2, -77), 0);
    eq!(get(k, fd, libc::TCP_LINGER2)?, -1);
    // More than TCP_FIN_TIMEOUT_MAX, two minutes, is two minutes.
    ret!(set(k, fd, libc::TCP_LINGER2, 1000), 0);
    eq!(get(k, fd, libc::TCP_LINGER2)?, 120);
    // 0: as the system says.
    ret!(set(k, fd, libc::TCP_LINGER2, 0), 0);
    eq!(
        get(k, fd, libc::TCP_LINGER2)?,
        tunable("tcp_fin_timeout", 60)
    );
    Ok(())
}

fn defer_accept_rounds(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    // Kept as a number of retransmissions of the SYN-ACK, of 1, 2, 4 ... seconds.
    for (value, want) in [(1, 1), (2, 3), (3, 3), (5, 7), (10, 15), (0, 0)] {
        ret!(set(k, fd, libc::TCP_DEFER_ACCEPT, value), 0);
        eq!((value, get(k, fd, libc::TCP_DEFER_ACCEPT)?), (value, want));
    }
    ret!(set(k, fd, libc::TCP_DEFER_ACCEPT, -1), 0);
    eq!(get(k, fd, libc::TCP_DEFER_ACCEPT)?, 0);
    Ok(())
}

fn user_timeout_values(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(set(k, fd, libc::TCP_USER_TIMEOUT, 1234), 0);
    eq!(get(k, fd, libc::TCP_USER_TIMEOUT)?, 1234);
    err!(set(k, fd, libc::TCP_USER_TIMEOUT, -1), EINVAL);
    ret!(set(k, fd, libc::TCP_USER_TIMEOUT, i32::MAX), 0);
    ret!(set(k, fd, libc::TCP_USER_TIMEOUT, 0), 0);
    Ok(())
}

fn quickack_values(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(set(k, t.client, libc::TCP_QUICKACK, 0), 0);
    eq!(get(k, t.client, libc::TCP_QUICKACK)?, 0);
    ret!(set(k, t.client, libc::TCP_QUICKACK, 1), 0);
    eq!(get(k, t.client, libc::TCP_QUICKACK)?, 1);
    Ok(())
}

fn window_clamp_values(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(set(k, fd, libc::TCP_WINDOW_CLAMP, 50_000), 0);
    eq!(get(k, fd, libc::TCP_WINDOW_CLAMP)?, 50_000);
    // Not less than half of the smallest receive buffer.
    ret!(set(k, fd, libc::TCP_WINDOW_CLAMP, 1), 0);
    eq!(get(k, fd, libc::TCP_WINDOW_CLAMP)?, 1152);
    ret!(set(k, fd, libc::TCP_WINDOW_CLAMP, 0), 0);
    eq!(get(k, fd, libc::TCP_WINDOW_CLAMP)?, 0);
    // Of a connection it is what the buffer holds, until somebody says otherwise.
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.server] {
        let buffer = k.get_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUF)?;
        let clamp = get(k, fd, libc::TCP_WINDOW_CLAMP)?;
        check!((1..=buffer).contains(&clamp), "{clamp} of {buffer}");
        err!(set(k, fd, libc::TCP_WINDOW_CLAMP, 0), EINVAL);
        for (value, shown) in [(1, 1152), (5000, 5000), (1_000_000, 1_000_000), (-1, 1152)] {
            ret!(set(k, fd, libc::TCP_WINDOW_CLAMP, value), 0);
            eq!(get(k, fd, libc::TCP_WINDOW_CLAMP)?, shown);
        }
    }
    // A listener's is its children's.
    let (listener, to) = k.tcp_listener(AF_INET, 1)?;
    ret!(set(k, listener, libc::TCP_WINDOW_CLAMP, 4096), 0);
    let client = k.tcp_socket(AF_INET, 0)?;
    k.connect_now(client, &to)?;
    let server = k.accept_now(listener)?;
    eq!(get(k, server, libc::TCP_WINDOW_CLAMP)?, 4096);
    Ok(())
}

fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn congestion_get(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, libc::SOCK_STREAM, 0));
    let (got, value) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, 16);
    eq!((got, value.len()), (0, 16));
    if let Some(name) = k.tunable("net/ipv4/tcp_congestion_control") {
        eq!(value, padded(name.trim()));
    }
    Ok(())
}

fn congestion_set(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, libc::SOCK_STREAM, 0));
    ret!(
        k.setsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, b"reno"),
        0
    );
    eq!(
        k.getsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, 16),
        (0, padded("reno"))
    );
    ret!(
        k.setsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, b"reno\0garbage"),
        0
    );
    err!(
        k.setsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, b"nosuchthing"),
        ENOENT
    );
    eq!(
        k.getsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, 16),
        (0, padded("reno"))
    );
    Ok(())
}

fn congestion_lengths(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    err!(
        k.setsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, b""),
        EINVAL
    );
    for cap in [0, 2, 4, 15, 16, 100] {
        let (got, value) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, cap);
        eq!((got, value), (0, padded("reno")[..cap.min(16)].to_vec()));
    }
    Ok(())
}

fn congestion_inherited(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    eq!(
        k.getsockopt(t.server, IPPROTO_TCP, libc::TCP_CONGESTION, 16),
        (0, padded("reno"))
    );
    Ok(())
}

/// The fields of struct tcp_info that are looked at here.
#[derive(Debug)]
struct Info {
    state: u8,
    retransmits: u8,
    options: u8,
    rto: u32,
    ato: u32,
    snd_mss: u32,
    rcv_mss: u32,
    unacked: u32,
    sacked: u32,
    lost: u32,
    rtt: u32,
    snd_cwnd: u32,
    advmss: u32,
    total_retrans: u32,
    bytes_acked: u64,
    bytes_received: u64,
}

fn info(k: &mut dyn Kernel, fd: Fd) -> Got<Info> {
    let (got, raw) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 400);
    ret!(got, 0);
    check!(raw.len() >= 136, "{} bytes", raw.len());
    let u32_at = |at: usize| crate::mem::as_int(&raw[at..at + 4]) as u32;
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    Ok(Info {
        state: raw[0],
        retransmits: raw[2],
        options: raw[5],
        rto: u32_at(8),
        ato: u32_at(12),
        snd_mss: u32_at(16),
        rcv_mss: u32_at(20),
        unacked: u32_at(24),
        sacked: u32_at(28),
        lost: u32_at(32),
        rtt: u32_at(68),
        snd_cwnd: u32_at(80),
        advmss: u32_at(84),
        total_retrans: u32_at(100),
        bytes_acked: u64_at(120),
        bytes_received: u64_at(128),
    })
}

fn info_lengths(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let (_, full) = k.getsockopt(t.client, IPPROTO_TCP, libc::TCP_INFO, 1000);
    check!(full.len() >= 232 && full.len() < 1000, "{}", full.len());
    for cap in [0, 1, 8, 104] {
        let (got, value) = k.getsockopt(t.client, IPPROTO_TCP, libc::TCP_INFO, cap);
        eq!((got, value.len()), (0, cap));
    }
    Ok(())
}

fn info_of_connection(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.server] {
        let i = info(k, fd)?;
        eq!(
            (i.state, i.retransmits, i.unacked, i.sacked, i.lost),
            (1, 0, 0, 0, 0)
        );
        eq!(i.total_retrans, 0);
        check!(i.rto >= 200_000, "rto {} us", i.rto);
        check!(
            i.snd_cwnd >= 1 && i.snd_mss >= 536 && i.advmss >= 536,
            "{i:?}"
        );
    }
    Ok(())
}

fn info_counts_bytes(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let before = info(k, t.client)?.bytes_acked;
    ret!(k.send(t.client, &[5; 10_000], 0), 10_000);
    k.wait_sent(t.client)?;
    // SYN is counted as one acknowledged byte.
    eq!(info(k, t.client)?.bytes_acked - before, 10_000);
    eq!(before, 1);
    eq!(info(k, t.server)?.bytes_received, 10_000);
    Ok(())
}

fn info_of_fresh_socket(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    let i = info(k, fd)?;
    // TCP_CLOSE, ten packets to start with, one second to the first retransmission.
    eq!((i.state, i.snd_cwnd, i.rto, i.rtt), (7, 10, 1_000_000, 0));
    eq!(i.snd_mss, 536);
    Ok(())
}

fn info_of_listener(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 7)?;
    let i = info(k, listener)?;
    // unacked is the queue, sacked the backlog.
    eq!((i.state, i.unacked, i.sacked), (10, 0, 7));
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    mask!(k, listener, R);
    eq!(info(k, listener)?.unacked, 1);
    Ok(())
}

fn info_keeps_its_promises(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    // Data that the peer does not read is unacknowledged only until the kernel there has it.
    ret!(k.send(t.client, &[1; 1000], 0), 1000);
    k.wait_sent(t.client)?;
    let i = info(k, t.client)?;
    eq!(i.unacked, 0);
    check!(i.rtt > 0 && i.rtt < 1_000_000, "rtt {} us", i.rtt);
    let j = info(k, t.server)?;
    check!(j.rcv_mss > 0 && j.ato <= 1_000_000, "{j:?}");
    // Timestamps, SACK and window scaling are agreed on, or on neither side.
    eq!(i.options & 7, j.options & 7);
    Ok(())
}

fn notsent_lowat_and_out(k: &mut dyn Kernel) -> Outcome {
    // A held-back byte does not make a socket unwritable by itself.
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"held", libc::MSG_MORE), 4);
    mask!(k, t.client, W);
    Ok(())
}

fn all_on_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET6, 0)?;
    for (name, value) in [
        (libc::TCP_NODELAY, 1),
        (libc::TCP_KEEPIDLE, 12),
        (libc::TCP_MAXSEG, 1200),
        (libc::TCP_USER_TIMEOUT, 3000),
        (libc::TCP_SYNCNT, 2),
    ] {
        ret!(set(k, fd, name, value), 0);
        eq!(get(k, fd, name)?, value);
    }
    Ok(())
}

fn set_short_length(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for name in [
        libc::TCP_NODELAY,
        libc::TCP_KEEPIDLE,
        libc::TCP_MAXSEG,
        libc::TCP_INFO,
    ] {
        err!(k.setsockopt(fd, IPPROTO_TCP, name, &int(1)[..3]), EINVAL);
    }
    err!(set(k, fd, libc::TCP_INFO, 1), ENOPROTOOPT);
    Ok(())
}

fn keepidle_on_unconnected(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(
        k.set_int(t.client, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        0
    );
    ret!(set(k, t.client, libc::TCP_KEEPIDLE, 1), 0);
    mask!(k, t.client, W);
    Ok(())
}
