//! IPPROTO_TCP options that few programs set.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, IPPROTO_TCP};

// Of linux/tcp.h, in part newer than libc.
const TCP_THIN_LINEAR_TIMEOUTS: i32 = 16;
const TCP_THIN_DUPACK: i32 = 17;
const TCP_TIMESTAMP: i32 = 24;
const TCP_NOTSENT_LOWAT: i32 = 25;
const TCP_CC_INFO: i32 = 26;
const TCP_SAVE_SYN: i32 = 27;
const TCP_SAVED_SYN: i32 = 28;
const TCP_ULP: i32 = 31;
const TCP_INQ: i32 = 36;
const TCP_TX_DELAY: i32 = 37;
const TCP_IS_MPTCP: i32 = 43;
const TCP_RTO_MAX_MS: i32 = 44;
const TCP_RTO_MIN_US: i32 = 45;
const TCP_DELACK_MAX_US: i32 = 46;
const SIOCOUTQNSD: u64 = 0x894b;

tests! {
    defaults_everywhere,
    flags_take_zero_and_one,
    values_and_their_limits,
    lengths_of_ints,
    what_cannot_be_set,
    inherited_by_connections,
    not_inherited,
    notsent_lowat_holds_the_writer,
    timestamp_is_a_clock,
    save_syn_tells_the_headers,
    save_syn_from_the_link_header,
    saved_syn_wants_room,
    saved_syn_of_others,
    inq_counts_what_is_left,
    inq_at_the_end,
    inq_without_room,
    inq_and_urgent_data,
    rto_bounds_show_in_info,
    info_of_listener_is_empty,
    info_counts_segments,
    info_counts_the_end,
    ulp_unknown,
    cc_info_of_reno,
    authentication_is_refused,
}

fn get(k: &mut dyn Kernel, fd: Fd, name: i32) -> Got<i32> {
    k.get_int(fd, IPPROTO_TCP, name)
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: i32) -> i64 {
    k.set_int(fd, IPPROTO_TCP, name, value)
}

/// Does the kernel have it at all? Those of 2025 may be missing.
fn known(k: &mut dyn Kernel, fd: Fd, name: i32) -> bool {
    k.getsockopt(fd, IPPROTO_TCP, name, 4).0 == 0
}

const DEFAULTS: &[(i32, i32)] = &[
    (TCP_THIN_LINEAR_TIMEOUTS, 0),
    (TCP_THIN_DUPACK, 0),
    (TCP_NOTSENT_LOWAT, 0),
    (TCP_SAVE_SYN, 0),
    (TCP_INQ, 0),
    (TCP_TX_DELAY, 0),
    (TCP_IS_MPTCP, 0),
    (TCP_RTO_MAX_MS, 120_000),
    (TCP_RTO_MIN_US, 200_000),
    (TCP_DELACK_MAX_US, 200_000),
];

fn defaults_everywhere(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fresh = k.tcp_socket(family, 0)?;
        let t = k.tcp(family)?;
        for fd in [fresh, t.listener, t.client, t.server] {
            for (name, want) in DEFAULTS {
                if !known(k, fd, *name) {
                    continue;
                }
                let got = get(k, fd, *name)?;
                check!(got == *want, "option {name} is {got}, want {want}");
            }
        }
    }
    Ok(())
}

fn flags_take_zero_and_one(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fresh = k.tcp_socket(AF_INET6, 0)?;
    for fd in [fresh, t.listener, t.client] {
        for name in [TCP_THIN_LINEAR_TIMEOUTS, TCP_INQ] {
            ret!(set(k, fd, name, 1), 0);
            eq!(get(k, fd, name)?, 1);
            for value in [2, -1, i32::MAX] {
                err!(set(k, fd, name, value), EINVAL);
            }
            eq!(get(k, fd, name)?, 1);
            ret!(set(k, fd, name, 0), 0);
            eq!(get(k, fd, name)?, 0);
        }
        // Checked, and forgotten.
        ret!(set(k, fd, TCP_THIN_DUPACK, 1), 0);
        eq!(get(k, fd, TCP_THIN_DUPACK)?, 0);
        err!(set(k, fd, TCP_THIN_DUPACK, 2), EINVAL);
    }
    Ok(())
}

fn values_and_their_limits(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fresh = k.tcp_socket(AF_INET6, 0)?;
    type Row = (i32, &'static [(i32, i32)], &'static [i32]);
    let rows: &[Row] = &[
        (TCP_SAVE_SYN, &[(1, 1), (2, 2), (0, 0)], &[-1, 3, i32::MAX]),
        (
            TCP_NOTSENT_LOWAT,
            &[(1, 1), (-1, -1), (i32::MAX, i32::MAX), (0, 0)],
            &[],
        ),
        (
            TCP_TX_DELAY,
            &[(1, 1), ((1 << 28) - 1, (1 << 28) - 1), (0, 0)],
            &[-1, 1 << 28],
        ),
        // Kept in ticks of the timers.
        (
            TCP_RTO_MAX_MS,
            &[(1000, 1000), (60_000, 60_000), (120_000, 120_000)],
            &[-1, 0, 999, 120_001],
        ),
        (
            TCP_RTO_MIN_US,
            &[(20_000, 20_000), (100_000, 100_000), (200_000, 200_000)],
            &[-1, 0, 300_000],
        ),
        (
            TCP_DELACK_MAX_US,
            &[(20_000, 20_000), (100_000, 100_000), (200_000, 200_000)],
            &[-1, 0, 300_000],
        ),
    ];
    for fd in [fresh, t.listener, t.client] {
        for (name, good, bad) in rows {
            if !known(k, fd, *name) {
                continue;
            }
            for (value, want) in *good {
                ret!(set(k, fd, *name, *value), 0);
                eq!((name, value, get(k, fd, *name)?), (name, value, *want));
            }
            for value in *bad {
                err!(set(k, fd, *name, *value), EINVAL);
            }
        }
    }
    Ok(())
}

fn lengths_of_ints(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for (name, default) in DEFAULTS {
        if !known(k, fd, *name) {
            continue;
        }
        // Reading cuts, from the front; writing wants all four bytes, and takes more.
        for cap in [0, 1, 3, 4, 16] {
            let (got, value) = k.getsockopt(fd, IPPROTO_TCP, *name, cap);
            eq!((got, value), (0, int(*default)[..cap.min(4)].to_vec()));
        }
        err!(
            k.setsockopt(fd, IPPROTO_TCP, *name, &int(*default)[..3]),
            EINVAL
        );
        let mut long = int(*default).to_vec();
        long.extend([9; 8]);
        if *name != TCP_IS_MPTCP {
            ret!(k.setsockopt(fd, IPPROTO_TCP, *name, &long), 0);
        }
    }
    // The level is TCP's alone.
    let udp = ok!(k.socket(AF_INET, libc::SOCK_DGRAM, 0));
    err!(k.set_int(udp, IPPROTO_TCP, TCP_INQ, 1), ENOPROTOOPT);
    let unix = ok!(k.socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    err!(k.set_int(unix, IPPROTO_TCP, TCP_INQ, 1), EOPNOTSUPP);
    Ok(())
}

fn what_cannot_be_set(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.listener] {
        for name in [TCP_CC_INFO, TCP_SAVED_SYN, TCP_IS_MPTCP] {
            err!(set(k, fd, name, 1), ENOPROTOOPT);
        }
        // Only a socket under repair has its clock set.
        err!(set(k, fd, TCP_TIMESTAMP, 1), EPERM);
    }
    Ok(())
}

fn inherited_by_connections(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (listener, addr) = k.tcp_listener(family, 4)?;
        let values = [
            (TCP_THIN_LINEAR_TIMEOUTS, 1),
            (TCP_NOTSENT_LOWAT, 77),
            (TCP_SAVE_SYN, 1),
            (TCP_INQ, 1),
            (TCP_TX_DELAY, 3),
            (TCP_RTO_MAX_MS, 5000),
            (TCP_RTO_MIN_US, 100_000),
            (TCP_DELACK_MAX_US, 40_000),
            (libc::TCP_USER_TIMEOUT, 777),
            (libc::TCP_LINGER2, 7),
            (libc::TCP_WINDOW_CLAMP, 3000),
            (libc::TCP_CORK, 1),
            (libc::TCP_NODELAY, 1),
            (libc::TCP_SYNCNT, 3),
            (libc::TCP_KEEPIDLE, 11),
            (libc::TCP_KEEPINTVL, 12),
            (libc::TCP_KEEPCNT, 13),
        ];
        for (name, value) in values {
            if known(k, listener, name) {
                ret!(set(k, listener, name, value), 0);
            }
        }
        let client = k.tcp_socket(family, NB)?;
        k.connect_now(client, &addr)?;
        let server = k.accept_now(listener)?;
        for (name, value) in values {
            if known(k, server, name) {
                eq!((name, get(k, server, name)?), (name, value));
            }
        }
    }
    Ok(())
}

fn not_inherited(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    ret!(set(k, listener, libc::TCP_DEFER_ACCEPT, 3), 0);
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    ret!(k.send(client, b"x", 0), 1);
    let server = k.accept_now(listener)?;
    eq!(get(k, listener, libc::TCP_DEFER_ACCEPT)?, 3);
    eq!(get(k, server, libc::TCP_DEFER_ACCEPT)?, 0);
    Ok(())
}

fn notsent_lowat_holds_the_writer(k: &mut dyn Kernel) -> Outcome {
    let free = k.tcp(AF_INET)?;
    let all = k.fill(free.client, 4096)?;
    let t = k.tcp(AF_INET)?;
    ret!(set(k, t.client, TCP_NOTSENT_LOWAT, 8192), 0);
    let held = k.fill(t.client, 4096)?;
    // Sent data fills the receiver; of what is not sent there is less than the limit and one piece.
    check!(held < all, "{held} of {all}");
    let mut unsent = 0;
    ret!(k.ioctl_int(t.client, SIOCOUTQNSD, &mut unsent), 0);
    check!((8192..=8192 + 65_536).contains(&unsent), "{unsent} unsent");
    mask!(k, t.client, 0);
    // Without the limit there is room again.
    ret!(set(k, t.client, TCP_NOTSENT_LOWAT, 0), 0);
    mask!(k, t.client, W);
    ret!(set(k, t.client, TCP_NOTSENT_LOWAT, 8192), 0);
    mask!(k, t.client, 0);
    // Half of the limit must be free before poll says so.
    k.drain_all(t.server, held)?;
    mask!(k, t.client, W);
    Ok(())
}

fn timestamp_is_a_clock(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fresh = k.tcp_socket(AF_INET6, 0)?;
    for fd in [t.client, t.server, t.listener, fresh] {
        let before = get(k, fd, TCP_TIMESTAMP)?;
        k.pause(std::time::Duration::from_millis(20));
        let after = get(k, fd, TCP_TIMESTAMP)?;
        // Milliseconds, of which the lowest bit is not told.
        let passed = after.wrapping_sub(before);
        check!((18..2000).contains(&passed), "{passed} ms");
        eq!(after & 1, 0);
    }
    Ok(())
}

/// A connection whose listener has TCP_SAVE_SYN: server, client's port, listener's port.
fn saving(k: &mut dyn Kernel, family: i32, how: i32) -> Got<(Fd, u16, u16)> {
    let (listener, addr) = k.tcp_listener(family, 4)?;
    ret!(set(k, listener, TCP_SAVE_SYN, how), 0);
    let client = k.tcp_socket(family, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    Ok((server, k.sockname(client)?.port(), addr.port()))
}

fn save_syn_tells_the_headers(k: &mut dyn Kernel) -> Outcome {
    for (family, ip_len) in [(AF_INET, 20), (AF_INET6, 40)] {
        let (server, from, to) = saving(k, family, 1)?;
        let (got, headers) = k.getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, 200);
        ret!(got, 0);
        // MSS, SACK permitted, timestamps and window scale fill 20 bytes of options.
        eq!(headers.len(), ip_len + 40);
        eq!(headers[0] >> 4, if family == AF_INET { 4 } else { 6 });
        let tcp = &headers[ip_len..];
        eq!(&tcp[..2], from.to_be_bytes());
        eq!(&tcp[2..4], to.to_be_bytes());
        // A data offset of ten words, and SYN alone.
        eq!((tcp[12], tcp[13]), (0xa0, 2));
        // The first option is the MSS: of loopback, 65536 bytes less the headers, at most 16 bits.
        let mss = if family == AF_INET { 65_495 } else { 65_476 };
        eq!(&tcp[20..22], [2, 4]);
        eq!(u16::from_be_bytes([tcp[22], tcp[23]]), mss);
        // It is told once.
        eq!(
            k.getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, 200),
            (0, vec![])
        );
    }
    Ok(())
}

fn save_syn_from_the_link_header(k: &mut dyn Kernel) -> Outcome {
    let (server, ..) = saving(k, AF_INET, 2)?;
    let (got, headers) = k.getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, 200);
    eq!((got, headers.len()), (0, 74));
    // Loopback's addresses are zero.
    eq!(
        &headers[..15],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x45]
    );
    Ok(())
}

fn saved_syn_wants_room(k: &mut dyn Kernel) -> Outcome {
    let (server, ..) = saving(k, AF_INET, 1)?;
    let mut value = [0u8; 64];
    let mut len = 59u32;
    let at = value.as_mut_ptr() as u64;
    err!(
        k.getsockopt_raw(server, IPPROTO_TCP, TCP_SAVED_SYN, at, &raw mut len as u64),
        EINVAL
    );
    // It says how much it wants, and keeps the headers.
    eq!(len, 60);
    eq!(
        k.getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, 60).1.len(),
        60
    );
    Ok(())
}

fn saved_syn_of_others(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.server, t.listener] {
        eq!(
            k.getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, 100),
            (0, vec![])
        );
    }
    Ok(())
}

/// Receives with room for control messages: result, data and what TCP_INQ says.
fn recv_inq(k: &mut dyn Kernel, fd: Fd, len: usize, flags: i32) -> (i64, Option<i32>) {
    let mut msg = Msg::room(&[len]).control_room(64);
    let got = k.recvmsg(fd, &mut msg, flags);
    let inq = msg.cmsg(IPPROTO_TCP, TCP_INQ).map(|c| c.ints()[0]);
    (got, inq)
}

fn inq_counts_what_is_left(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        ret!(k.send(t.client, b"0123456789", 0), 10);
        mask!(k, t.server, R | W);
        eq!(recv_inq(k, t.server, 1, libc::MSG_PEEK), (1, None));
        ret!(set(k, t.server, TCP_INQ, 1), 0);
        eq!(recv_inq(k, t.server, 4, 0), (4, Some(6)));
        // A peek takes nothing.
        eq!(recv_inq(k, t.server, 4, libc::MSG_PEEK), (4, Some(6)));
        eq!(recv_inq(k, t.server, 2, libc::MSG_TRUNC), (2, Some(4)));
        eq!(recv_inq(k, t.server, 100, 0), (4, Some(0)));
        eq!(
            recv_inq(k, t.server, 100, 0),
            (-i64::from(libc::EAGAIN), None)
        );
    }
    Ok(())
}

fn inq_at_the_end(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(set(k, t.server, TCP_INQ, 1), 0);
    ret!(k.send(t.client, b"abc", 0), 3);
    k.shutdown(t.client, libc::SHUT_WR);
    k.pause(std::time::Duration::from_millis(20));
    // An end of file behind the data counts, and goes on counting.
    eq!(recv_inq(k, t.server, 1, 0), (1, Some(3)));
    eq!(recv_inq(k, t.server, 9, 0), (2, Some(1)));
    eq!(recv_inq(k, t.server, 9, 0), (0, Some(1)));
    eq!(recv_inq(k, t.server, 9, 0), (0, Some(1)));
    Ok(())
}

fn inq_without_room(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(set(k, t.server, TCP_INQ, 1), 0);
    ret!(k.send(t.client, b"abc", 0), 3);
    mask!(k, t.server, R | W);
    let mut msg = Msg::room(&[1]).control_room(18);
    ret!(k.recvmsg(t.server, &mut msg, 0), 1);
    eq!(msg.flags() & libc::MSG_CTRUNC, libc::MSG_CTRUNC);
    // No control messages asked for: none missed that a plain receive would tell of.
    let mut buf = [0; 1];
    ret!(k.recv(t.server, &mut buf, 0), 1);
    Ok(())
}

fn inq_and_urgent_data(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(set(k, t.server, TCP_INQ, 1), 0);
    ret!(k.send(t.client, b"ab", libc::MSG_OOB), 2);
    k.pause(std::time::Duration::from_millis(10));
    eq!(recv_inq(k, t.server, 1, libc::MSG_OOB), (1, Some(2)));
    // The urgent byte lies in the queue still.
    eq!(recv_inq(k, t.server, 9, 0), (1, Some(1)));
    Ok(())
}

fn rto_bounds_show_in_info(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    let client = k.tcp_socket(AF_INET, NB)?;
    if !known(k, client, TCP_RTO_MIN_US) {
        return Ok(());
    }
    ret!(set(k, client, TCP_RTO_MIN_US, 40_000), 0);
    k.connect_now(client, &addr)?;
    let _server = k.accept_now(listener)?;
    let (got, info) = k.getsockopt(client, IPPROTO_TCP, libc::TCP_INFO, 104);
    ret!(got, 0);
    let rto = crate::mem::as_int(&info[8..12]);
    // Over loopback the round trip adds little to the least timeout.
    check!((40_000..200_000).contains(&rto), "rto {rto} us");
    Ok(())
}

/// A word of struct tcp_info.
fn info_word(k: &mut dyn Kernel, fd: Fd, at: usize) -> Got<i32> {
    let (got, info) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 232);
    eq!((got, info.len()), (0, 232));
    Ok(crate::mem::as_int(&info[at..at + 4]))
}

fn info_of_listener_is_empty(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.tcp_listener(AF_INET, 7)?;
    // rto, ato, both segment sizes, path MTU, rtt, its variance, threshold, announced MSS, least rtt.
    for at in [8, 12, 16, 20, 60, 68, 72, 76, 84, 148] {
        eq!((at, info_word(k, fd, at)?), (at, 0));
    }
    // The congestion window that connections begin with.
    eq!(info_word(k, fd, 80)?, 10);
    Ok(())
}

fn info_counts_segments(k: &mut dyn Kernel) -> Outcome {
    const SEGS_OUT: usize = 136;
    const SEGS_IN: usize = 140;
    const DATA_SEGS_OUT: usize = 156;
    const DELIVERED: usize = 192;
    for (family, mtu) in [(AF_INET, 65_535), (AF_INET6, 65_536)] {
        let t = k.tcp(family)?;
        // SYN and ACK one way, SYN-ACK the other; each side's SYN is delivered.
        eq!(info_word(k, t.client, SEGS_OUT)?, 2);
        eq!(info_word(k, t.client, SEGS_IN)?, 1);
        eq!(info_word(k, t.server, SEGS_IN)?, 2);
        eq!(info_word(k, t.client, DELIVERED)?, 1);
        eq!(info_word(k, t.server, DELIVERED)?, 1);
        eq!(info_word(k, t.client, 60)?, mtu);
        ret!(k.send(t.client, &[1; 10], 0), 10);
        k.wait_sent(t.client)?;
        eq!(info_word(k, t.client, DATA_SEGS_OUT)?, 1);
        eq!(info_word(k, t.client, DELIVERED)?, 2);
        // More than a segment in one packet counts as the segments that it is.
        let mss = get(k, t.client, libc::TCP_MAXSEG)?;
        let len = mss as usize + 1;
        ret!(k.send(t.client, &vec![1; len], 0), len);
        k.wait_sent(t.client)?;
        eq!(info_word(k, t.client, DATA_SEGS_OUT)?, 3);
        eq!(info_word(k, t.client, DELIVERED)?, 4);
    }
    Ok(())
}

fn info_counts_the_end(k: &mut dyn Kernel) -> Outcome {
    const BYTES_RECEIVED: usize = 128;
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, &[1; 10], 0), 10);
    k.wait_sent(t.client)?;
    eq!(info_word(k, t.server, BYTES_RECEIVED)?, 10);
    ret!(k.shutdown(t.client, libc::SHUT_WR), 0);
    k.pause(std::time::Duration::from_millis(20));
    eq!(info_word(k, t.server, BYTES_RECEIVED)?, 11);
    Ok(())
}

fn ulp_unknown(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fresh = k.tcp_socket(AF_INET6, 0)?;
    for fd in [fresh, t.client, t.listener] {
        let long = [b'x'; 40];
        for name in [&b"nosuchthing"[..], b"nosuchthing\0tail", &long] {
            err!(k.setsockopt(fd, IPPROTO_TCP, TCP_ULP, name), ENOENT);
        }
        err!(k.setsockopt(fd, IPPROTO_TCP, TCP_ULP, b""), EINVAL);
        for cap in [0, 4, 16] {
            eq!(k.getsockopt(fd, IPPROTO_TCP, TCP_ULP, cap), (0, vec![]));
        }
    }
    Ok(())
}

fn cc_info_of_reno(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.listener] {
        eq!(k.getsockopt(fd, IPPROTO_TCP, TCP_CC_INFO, 64), (0, vec![]));
    }
    Ok(())
}

fn authentication_is_refused(k: &mut dyn Kernel) -> Outcome {
    // TCP_MD5SIG and TCP_MD5SIG_EXT are never read; without a whole structure they are not set
    // either, by a kernel with or without them. TCP_AO_* wants CONFIG_TCP_AO, which this has not.
    let fd = k.tcp_socket(AF_INET, 0)?;
    for name in [14, 32] {
        let (got, _) = k.getsockopt(fd, IPPROTO_TCP, name, 64);
        ret!(got, -i64::from(libc::ENOPROTOOPT));
        let got = set(k, fd, name, 1);
        let refused = [libc::EINVAL, libc::ENOPROTOOPT].map(|e| -i64::from(e));
        check!(refused.contains(&got), "{got}");
    }
    for name in 38..=42 {
        let (got, _) = k.getsockopt(fd, IPPROTO_TCP, name, 64);
        check!(got < 0, "{name}: {got}");
        check!(set(k, fd, name, 1) < 0, "{name}");
    }
    Ok(())
}
