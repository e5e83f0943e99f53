//! SOL_SOCKET options that are an int: default, set and get, lengths, and who may, on every type.

use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, AF_UNIX, SO_BSDCOMPAT, SO_BUSY_POLL, SO_DEBUG, SO_DONTROUTE,
    SO_INCOMING_CPU, SO_MARK, SO_NO_CHECK, SO_NOFCS, SO_PEEK_OFF, SO_RXQ_OVFL, SO_SELECT_ERR_QUEUE,
    SO_WIFI_STATUS, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET,
};

tests! {
    debug [ROOT],
    dontroute,
    no_check,
    bsdcompat,
    mark [ROOT],
    rxq_ovfl,
    wifi_status,
    peek_off,
    nofcs,
    select_err_queue,
    busy_poll,
    incoming_cpu,
    prefer_busy_poll [ROOT],
    busy_poll_budget [ROOT],
    busy_poll_budget_may_be_lowered [ROOT | DROP],
    buf_lock,
    reserve_mem,
    tx_rehash,
    rcvmark,
    rcvpriority,
    timestampns,
    zerocopy_values,
    what_an_ordinary_user_may [DROP],
    max_pacing_rate_both_widths,
    tx_time,
    tx_time_of_a_user [DROP],
    cnx_advice,
    meminfo,
    netns_cookie,
    napi_id,
    devmem_dontneed,
    device_memory_is_not_an_option,
    bufforce_on_every_type [ROOT],
    set_only_and_get_only,
    the_unknown,
}

/// The bytes of an int.
fn int(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

const SO_CNX_ADVICE: i32 = 53;
const SO_MEMINFO: i32 = 55;
const SO_INCOMING_NAPI_ID: i32 = 56;
const SO_ZEROCOPY: i32 = 60;
const SO_TXTIME: i32 = 61;
const SO_MAX_PACING_RATE: i32 = 47;
const SO_TIMESTAMPNS: i32 = 35;
const SO_TIMESTAMPNS_NEW: i32 = 64;
const SO_PREFER_BUSY_POLL: i32 = 69;
const SO_BUSY_POLL_BUDGET: i32 = 70;
const SO_NETNS_COOKIE: i32 = 71;
const SO_BUF_LOCK: i32 = 72;
const SO_RESERVE_MEM: i32 = 73;
const SO_TXREHASH: i32 = 74;
const SO_RCVMARK: i32 = 75;
const SO_DEVMEM_LINEAR: i32 = 78;
const SO_DEVMEM_DMABUF: i32 = 79;
const SO_DEVMEM_DONTNEED: i32 = 80;
const SO_RCVPRIORITY: i32 = 82;

const TYPES: [(i32, i32); 7] = [
    (AF_INET, SOCK_STREAM),
    (AF_INET, SOCK_DGRAM),
    (AF_INET6, SOCK_STREAM),
    (AF_INET6, SOCK_DGRAM),
    (AF_UNIX, SOCK_STREAM),
    (AF_UNIX, SOCK_DGRAM),
    (AF_UNIX, SOCK_SEQPACKET),
];

/// What a value is answered with: the value that is read afterwards, or an errno.
type Answer = Result<i32, i32>;

/// One socket of each type, with what it is called.
fn each(k: &mut dyn Kernel) -> Got<Vec<(String, i32, i32, Fd)>> {
    let mut all = Vec::new();
    for (family, kind) in TYPES {
        let fd = ok!(k.socket(family, kind, 0));
        all.push((format!("family {family} type {kind}"), family, kind, fd));
    }
    Ok(all)
}

/// Default, truncation of what is read, length of what is set, and the values.
fn int_option(k: &mut dyn Kernel, name: i32, default: i32, values: &[(i32, Answer)]) -> Outcome {
    for (what, _, _, fd) in each(k)? {
        for cap in [0, 1, 3, 4, 64] {
            let (got, value) = k.getsockopt(fd, SOL_SOCKET, name, cap);
            let want = int(default)[..cap.min(4)].to_vec();
            check!(
                (got, &value) == (0, &want),
                "{what} cap {cap}: {got} {value:?}"
            );
        }
        for len in 0..4 {
            err!(k.setsockopt(fd, SOL_SOCKET, name, &int(1)[..len]), EINVAL);
        }
        err!(k.setsockopt_raw(fd, SOL_SOCKET, name, BAD, 4), EFAULT);
        eq!(k.get_int(fd, SOL_SOCKET, name)?, default);
        let mut now = default;
        for (value, answer) in values {
            let got = k.set_int(fd, SOL_SOCKET, name, *value);
            let want = match answer {
                Ok(read) => {
                    now = *read;
                    0
                }
                Err(errno) => -i64::from(*errno),
            };
            check!(got == want, "{what}: {value} -> {got}");
            let read = k.get_int(fd, SOL_SOCKET, name)?;
            check!(read == now, "{what}: {value} reads {read}");
        }
        // More than an int is taken for one.
        if let Some((value, answer)) = values.last() {
            let long = [int(*value), int(-1), int(7)].concat();
            let got = k.setsockopt(fd, SOL_SOCKET, name, &long);
            let want = answer.map_or_else(|errno| -i64::from(errno), |_| 0);
            check!(got == want, "{what}: twelve bytes -> {got}");
        }
        k.close(fd);
    }
    Ok(())
}

/// A switch: anything but zero is 1.
fn switch(k: &mut dyn Kernel, name: i32) -> Outcome {
    let values = [1, 0, -1, 0, 2, i32::MIN].map(|v| (v, Ok(i32::from(v != 0))));
    int_option(k, name, 0, &values)
}

fn debug(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_DEBUG)
}

fn dontroute(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_DONTROUTE)?;
    // What is on the link, or the host itself, is reached all the same.
    let (to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.set_int(fd, SOL_SOCKET, SO_DONTROUTE, 1), 0);
    ret!(k.sendto(fd, b"here", 0, &addr), 4);
    eq!(k.recv_now(to)?, b"here".to_vec());
    Ok(())
}

fn no_check(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_NO_CHECK)?;
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_NO_CHECK, 1), 0);
    ret!(k.send(a, b"unchecked", 0), 9);
    eq!(k.recv_now(b)?, b"unchecked".to_vec());
    Ok(())
}

fn bsdcompat(k: &mut dyn Kernel) -> Outcome {
    int_option(k, SO_BSDCOMPAT, 0, &[1, 0, -1].map(|v| (v, Ok(0))))
}

fn mark(k: &mut dyn Kernel) -> Outcome {
    let values = [1, 0, -1, 0x7fff_ffff, i32::MIN].map(|v| (v, Ok(v)));
    int_option(k, SO_MARK, 0, &values)
}

fn rxq_ovfl(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_RXQ_OVFL)
}

fn wifi_status(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_WIFI_STATUS)
}

fn peek_off(k: &mut dyn Kernel) -> Outcome {
    let values = [1, 0, -1, 1000, -7, i32::MAX, i32::MIN].map(|v| (v, Ok(v)));
    int_option(k, SO_PEEK_OFF, -1, &values)
}

fn nofcs(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_NOFCS)
}

fn select_err_queue(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_SELECT_ERR_QUEUE)
}

fn busy_poll(k: &mut dyn Kernel) -> Outcome {
    let values = [
        (1, Ok(1)),
        (50, Ok(50)),
        (-1, Err(libc::EINVAL)),
        (0, Ok(0)),
        (i32::MAX, Ok(i32::MAX)),
    ];
    int_option(k, SO_BUSY_POLL, 0, &values)
}

fn incoming_cpu(k: &mut dyn Kernel) -> Outcome {
    let values = [0, 5, -1, 100_000].map(|v| (v, Ok(v)));
    int_option(k, SO_INCOMING_CPU, -1, &values)?;
    // It is where the last segment came in, on connected sockets.
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"x", 0), 1);
    k.recv_now(t.server)?;
    for fd in [t.client, t.server] {
        let cpu = k.get_int(fd, SOL_SOCKET, SO_INCOMING_CPU)?;
        check!((0..4096).contains(&cpu), "{cpu}");
    }
    eq!(k.get_int(t.listener, SOL_SOCKET, SO_INCOMING_CPU)?, -1);
    let (a, b) = k.udp_pair(AF_INET)?;
    eq!(k.get_int(b, SOL_SOCKET, SO_INCOMING_CPU)?, -1);
    ret!(k.send(a, b"x", 0), 1);
    k.recv_now(b)?;
    check!(
        k.get_int(b, SOL_SOCKET, SO_INCOMING_CPU)? >= 0,
        "a datagram"
    );
    // A socket without a peer does not look.
    let (c, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    k.recv_now(c)?;
    eq!(k.get_int(c, SOL_SOCKET, SO_INCOMING_CPU)?, -1);
    Ok(())
}

fn prefer_busy_poll(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_PREFER_BUSY_POLL)
}

fn busy_poll_budget(k: &mut dyn Kernel) -> Outcome {
    for (what, _, _, fd) in each(k)? {
        for (value, want) in [
            (1, 0),
            (0, 0),
            (65535, 0),
            (65536, -libc::EINVAL),
            (-1, -libc::EINVAL),
        ] {
            let got = k.set_int(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, value);
            check!(got == i64::from(want), "{what}: {value} -> {got}");
        }
        // It cannot be read.
        let (got, _) = k.getsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, 4);
        ret!(got, -libc::ENOPROTOOPT);
    }
    Ok(())
}

fn busy_poll_budget_may_be_lowered(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.set_int(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, 100), 0);
    check!(k.drop_privileges(), "could not become an ordinary user");
    ret!(k.set_int(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, 100), 0);
    err!(k.set_int(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, 101), EPERM);
    ret!(k.set_int(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, 50), 0);
    err!(k.set_int(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, 51), EPERM);
    Ok(())
}

fn buf_lock(k: &mut dyn Kernel) -> Outcome {
    let values = [
        (1, Ok(1)),
        (2, Ok(2)),
        (3, Ok(3)),
        (4, Err(libc::EINVAL)),
        (-1, Err(libc::EINVAL)),
        (0, Ok(0)),
    ];
    int_option(k, SO_BUF_LOCK, 0, &values)?;
    // To choose a size is to lock it.
    for (what, _, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, 10_000), 0);
        let got = k.get_int(fd, SOL_SOCKET, SO_BUF_LOCK)?;
        check!(got == 1, "{what}: {got}");
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 10_000), 0);
        eq!(k.get_int(fd, SOL_SOCKET, SO_BUF_LOCK)?, 3);
        ret!(k.set_int(fd, SOL_SOCKET, SO_BUF_LOCK, 0), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, 20_000);
    }
    Ok(())
}

fn reserve_mem(k: &mut dyn Kernel) -> Outcome {
    // Without a memory cgroup that accounts for sockets there is nothing to reserve from. (With
    // one it may be granted, or be more than the cgroup has.)
    for (what, _, _, fd) in each(k)? {
        eq!(k.get_int(fd, SOL_SOCKET, SO_RESERVE_MEM)?, 0);
        err!(k.set_int(fd, SOL_SOCKET, SO_RESERVE_MEM, -1), EINVAL);
        err!(
            k.setsockopt(fd, SOL_SOCKET, SO_RESERVE_MEM, &[1, 0]),
            EINVAL
        );
        let got = k.set_int(fd, SOL_SOCKET, SO_RESERVE_MEM, 1 << 30);
        let refused = [libc::EOPNOTSUPP, libc::ENOMEM].map(|e| -i64::from(e));
        check!(refused.contains(&got), "{what}: {got}");
        eq!(k.get_int(fd, SOL_SOCKET, SO_RESERVE_MEM)?, 0);
    }
    Ok(())
}

fn tx_rehash(k: &mut dyn Kernel) -> Outcome {
    for (what, family, kind, fd) in each(k)? {
        let (got, value) = k.getsockopt(fd, SOL_SOCKET, SO_TXREHASH, 4);
        if family == AF_UNIX || kind == SOCK_DGRAM {
            ret!(got, -libc::EOPNOTSUPP);
            for value in [0, 1, -1, 2] {
                err!(k.set_int(fd, SOL_SOCKET, SO_TXREHASH, value), EOPNOTSUPP);
            }
            continue;
        }
        check!((got, &value) == (0, &int(1)), "{what}: {got} {value:?}");
        ret!(k.set_int(fd, SOL_SOCKET, SO_TXREHASH, 0), 0);
        eq!(k.get_int(fd, SOL_SOCKET, SO_TXREHASH)?, 0);
        err!(k.set_int(fd, SOL_SOCKET, SO_TXREHASH, 2), EINVAL);
        err!(k.set_int(fd, SOL_SOCKET, SO_TXREHASH, -2), EINVAL);
        // -1 is the system's default.
        ret!(k.set_int(fd, SOL_SOCKET, SO_TXREHASH, -1), 0);
        eq!(k.get_int(fd, SOL_SOCKET, SO_TXREHASH)?, 1);
    }
    Ok(())
}

fn rcvmark(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_RCVMARK)
}

fn rcvpriority(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_RCVPRIORITY)
}

fn timestampns(k: &mut dyn Kernel) -> Outcome {
    switch(k, SO_TIMESTAMPNS)?;
    switch(k, SO_TIMESTAMPNS_NEW)
}

fn zerocopy_values(k: &mut dyn Kernel) -> Outcome {
    for (what, family, _, fd) in each(k)? {
        eq!(k.get_int(fd, SOL_SOCKET, SO_ZEROCOPY)?, 0);
        for (value, want) in [(1, 0), (0, 0), (2, -libc::EINVAL), (-1, -libc::EINVAL)] {
            let got = k.set_int(fd, SOL_SOCKET, SO_ZEROCOPY, value);
            let want = if family == AF_UNIX {
                -libc::EOPNOTSUPP
            } else {
                want
            };
            check!(got == i64::from(want), "{what}: {value} -> {got}");
            let read = k.get_int(fd, SOL_SOCKET, SO_ZEROCOPY)?;
            check!(read == i32::from(got == 0 && value == 1), "{what}: {read}");
        }
    }
    Ok(())
}

fn what_an_ordinary_user_may(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    for (what, _, _, fd) in each(k)? {
        for (name, value, want) in [
            (SO_DEBUG, 1, libc::EACCES),
            (SO_DEBUG, 0, 0),
            (SO_MARK, 0, libc::EPERM),
            (SO_MARK, 1, libc::EPERM),
            (SO_BUSY_POLL, 0, 0),
            // Against socket(7).
            (SO_BUSY_POLL, 1, 0),
            (SO_BUSY_POLL, -1, libc::EINVAL),
            (SO_PREFER_BUSY_POLL, 1, libc::EPERM),
            (SO_PREFER_BUSY_POLL, 0, 0),
            (SO_BUSY_POLL_BUDGET, 0, 0),
            (SO_BUSY_POLL_BUDGET, 1, libc::EPERM),
            (SO_BUSY_POLL_BUDGET, 100_000, libc::EPERM),
            (SO_BUSY_POLL_BUDGET, -1, libc::EINVAL),
            (libc::SO_SNDBUFFORCE, 10_000, libc::EPERM),
            (libc::SO_RCVBUFFORCE, 10_000, libc::EPERM),
            (libc::SO_PRIORITY, 6, 0),
            (libc::SO_PRIORITY, 7, libc::EPERM),
            (SO_RCVMARK, 1, 0),
            (SO_RCVPRIORITY, 1, 0),
            (SO_RXQ_OVFL, 1, 0),
            (SO_DONTROUTE, 1, 0),
            (SO_INCOMING_CPU, 1, 0),
            (SO_CNX_ADVICE, 1, 0),
        ] {
            let got = k.set_int(fd, SOL_SOCKET, name, value);
            check!(got == -i64::from(want), "{what}: {name} = {value} -> {got}");
        }
    }
    Ok(())
}

fn max_pacing_rate_both_widths(k: &mut dyn Kernel) -> Outcome {
    let wide = |v: u64| v.to_ne_bytes().to_vec();
    for (what, _, _, fd) in each(k)? {
        let mut get = |cap| k.getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, cap);
        for cap in [0, 3, 4, 7] {
            let (got, value) = get(cap);
            check!(
                (got, &value) == (0, &vec![0xff; cap.min(4)]),
                "{what} cap {cap}: {value:?}"
            );
        }
        eq!(get(8), (0, wide(u64::MAX)));
        eq!(get(64), (0, wide(u64::MAX)));
        for (set, narrow, long) in [
            (int(100_000_000), 100_000_000u32, 100_000_000u64),
            (int(-1), u32::MAX, u64::MAX),
            (wide(1 << 40), u32::MAX, 1 << 40),
            (wide(u64::MAX), u32::MAX, u64::MAX),
            (int(i32::MIN), 1 << 31, 1 << 31),
        ] {
            ret!(k.setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &set), 0);
            let mut get = |cap| k.getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, cap);
            eq!(get(4), (0, narrow.to_ne_bytes().to_vec()));
            eq!(get(8), (0, wide(long)));
        }
        err!(
            k.setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &[1, 2, 3]),
            EINVAL
        );
    }
    Ok(())
}

fn txtime(clock: i32, flags: u32) -> Vec<u8> {
    [clock.to_ne_bytes(), flags.to_ne_bytes()].concat()
}

fn tx_time(k: &mut dyn Kernel) -> Outcome {
    for (what, _, _, fd) in each(k)? {
        eq!(
            k.getsockopt(fd, SOL_SOCKET, SO_TXTIME, 64),
            (0, txtime(0, 0))
        );
        eq!(k.getsockopt(fd, SOL_SOCKET, SO_TXTIME, 3), (0, vec![0; 3]));
        ret!(k.setsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime(1, 3)), 0);
        eq!(
            k.getsockopt(fd, SOL_SOCKET, SO_TXTIME, 8),
            (0, txtime(1, 3))
        );
        for bad in [
            txtime(1, 4),
            txtime(2, 0),
            txtime(-1, 0),
            txtime(1, 0)[..4].to_vec(),
            [txtime(1, 0), int(0)].concat(),
        ] {
            let got = k.setsockopt(fd, SOL_SOCKET, SO_TXTIME, &bad);
            // A user may not name any clock but the monotonic one, good or bad.
            let errno = if k.privileged() || bad.len() != 8 || bad[4] == 4 {
                libc::EINVAL
            } else {
                libc::EPERM
            };
            check!(got == -i64::from(errno), "{what}: {bad:?} -> {got}");
        }
        eq!(
            k.getsockopt(fd, SOL_SOCKET, SO_TXTIME, 8),
            (0, txtime(1, 3))
        );
    }
    Ok(())
}

fn tx_time_of_a_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.setsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime(1, 0)), 0);
    for clock in [0, 11, 77] {
        err!(
            k.setsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime(clock, 0)),
            EPERM
        );
        err!(
            k.setsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime(clock, 8)),
            EINVAL
        );
    }
    Ok(())
}

fn cnx_advice(k: &mut dyn Kernel) -> Outcome {
    for (_, _, _, fd) in each(k)? {
        for value in [0, 1, -1, 2] {
            ret!(k.set_int(fd, SOL_SOCKET, SO_CNX_ADVICE, value), 0);
        }
        err!(k.setsockopt(fd, SOL_SOCKET, SO_CNX_ADVICE, &[1]), EINVAL);
        let (got, _) = k.getsockopt(fd, SOL_SOCKET, SO_CNX_ADVICE, 4);
        ret!(got, -libc::ENOPROTOOPT);
    }
    // The way is found again.
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, SOL_SOCKET, SO_CNX_ADVICE, 1), 0);
    ret!(k.send(t.client, b"still", 0), 5);
    eq!(k.recv_now(t.server)?, b"still".to_vec());
    Ok(())
}

fn meminfo(k: &mut dyn Kernel) -> Outcome {
    let words =
        |value: &[u8]| -> Vec<i32> { value.chunks_exact(4).map(crate::mem::as_int).collect() };
    for (what, _, _, fd) in each(k)? {
        let (got, value) = k.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, 100);
        check!(
            (got, value.len()) == (0, 36),
            "{what}: {got} {}",
            value.len()
        );
        let info = words(&value);
        eq!(info[1], k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?);
        eq!(info[3], k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?);
        for idle in [0, 2, 4, 5, 6, 7, 8] {
            check!(info[idle] == 0, "{what}: word {idle} is {}", info[idle]);
        }
        for cap in [0, 5, 35] {
            let (got, short) = k.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, cap);
            eq!((got, short), (0, value[..cap].to_vec()));
        }
        err!(k.set_int(fd, SOL_SOCKET, SO_MEMINFO, 1), ENOPROTOOPT);
    }
    // What waits to be read is charged, and so is what waits to be taken from the sender.
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, &[7; 100], 0), 100);
    k.pause(std::time::Duration::from_millis(2));
    let (_, value) = k.getsockopt(b, SOL_SOCKET, SO_MEMINFO, 36);
    check!(words(&value)[0] >= 100, "{:?}", words(&value));
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_RCVBUF, 0), 0);
    for _ in 0..10 {
        ret!(k.send(a, &[7; 100], 0), 100);
    }
    k.pause(std::time::Duration::from_millis(2));
    let (_, value) = k.getsockopt(b, SOL_SOCKET, SO_MEMINFO, 36);
    check!(words(&value)[8] > 0, "drops: {:?}", words(&value));
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.send(a, &[7; 100], 0), 100);
    let (_, value) = k.getsockopt(a, SOL_SOCKET, SO_MEMINFO, 36);
    check!(words(&value)[2] >= 100, "{:?}", words(&value));
    Ok(())
}

fn netns_cookie(k: &mut dyn Kernel) -> Outcome {
    let mut seen = Vec::new();
    for (what, _, _, fd) in each(k)? {
        for cap in [0, 4, 7, 9, 64] {
            let (got, _) = k.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cap);
            check!(got == -i64::from(libc::EINVAL), "{what} cap {cap}: {got}");
        }
        let (got, value) = k.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, 8);
        eq!(got, 0);
        check!(value != [0; 8], "{what}");
        seen.push(value);
        err!(k.set_int(fd, SOL_SOCKET, SO_NETNS_COOKIE, 1), ENOPROTOOPT);
    }
    // All are of one host.
    check!(seen.iter().all(|v| *v == seen[0]), "{seen:?}");
    Ok(())
}

fn napi_id(k: &mut dyn Kernel) -> Outcome {
    for (_, _, _, fd) in each(k)? {
        eq!(k.get_int(fd, SOL_SOCKET, SO_INCOMING_NAPI_ID)?, 0);
        err!(
            k.set_int(fd, SOL_SOCKET, SO_INCOMING_NAPI_ID, 1),
            ENOPROTOOPT
        );
    }
    // Nothing that came over loopback came by NAPI.
    let t = k.tcp(AF_INET)?;
    eq!(k.get_int(t.server, SOL_SOCKET, SO_INCOMING_NAPI_ID)?, 0);
    Ok(())
}

fn devmem_dontneed(k: &mut dyn Kernel) -> Outcome {
    for (what, family, kind, fd) in each(k)? {
        let tcp = family != AF_UNIX && kind == SOCK_STREAM;
        for (len, want) in [
            (4, libc::EINVAL),
            (8, 0),
            (12, libc::EINVAL),
            (16, 0),
            (1024, 0),
            (1032, libc::EINVAL),
        ] {
            let got = k.setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, &vec![0; len]);
            let want = if tcp { want } else { libc::EBADF };
            check!(got == -i64::from(want), "{what} len {len}: {got}");
        }
        let (got, _) = k.getsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, 4);
        ret!(got, -libc::ENOPROTOOPT);
    }
    Ok(())
}

fn device_memory_is_not_an_option(k: &mut dyn Kernel) -> Outcome {
    // The other two numbers are those of control messages only.
    for (_, _, _, fd) in each(k)? {
        for name in [SO_DEVMEM_LINEAR, SO_DEVMEM_DMABUF] {
            err!(k.set_int(fd, SOL_SOCKET, name, 1), ENOPROTOOPT);
            err!(k.setsockopt(fd, SOL_SOCKET, name, &[1]), EINVAL);
            let (got, _) = k.getsockopt(fd, SOL_SOCKET, name, 4);
            ret!(got, -libc::ENOPROTOOPT);
        }
    }
    Ok(())
}

fn bufforce_on_every_type(k: &mut dyn Kernel) -> Outcome {
    for (what, _, _, fd) in each(k)? {
        for (force, plain, least) in [
            (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, 4608),
            (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, 2304),
        ] {
            for (value, want) in [
                (10_000_000, 20_000_000),
                (i32::MAX, i32::MAX - 1),
                (0, least),
                (-1, least),
                (i32::MIN, least),
            ] {
                ret!(k.set_int(fd, SOL_SOCKET, force, value), 0);
                let got = k.get_int(fd, SOL_SOCKET, plain)?;
                check!(got == want, "{what}: {force} = {value} reads {got}");
            }
            err!(k.setsockopt(fd, SOL_SOCKET, force, &[1, 2]), EINVAL);
            let (got, _) = k.getsockopt(fd, SOL_SOCKET, force, 4);
            ret!(got, -libc::ENOPROTOOPT);
        }
    }
    Ok(())
}

fn set_only_and_get_only(k: &mut dyn Kernel) -> Outcome {
    for (_, _, _, fd) in each(k)? {
        err!(k.set_int(fd, SOL_SOCKET, libc::SO_PEERNAME, 1), ENOPROTOOPT);
        // Its length is looked at first.
        err!(
            k.setsockopt(fd, SOL_SOCKET, libc::SO_PEERNAME, &[1]),
            EINVAL
        );
        err!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDLOWAT, 1), ENOPROTOOPT);
    }
    Ok(())
}

fn the_unknown(k: &mut dyn Kernel) -> Outcome {
    for (_, _, _, fd) in each(k)? {
        for name in [0, 22, 23, 24, 85, 999, -1, i32::MAX, i32::MIN] {
            err!(k.setsockopt(fd, SOL_SOCKET, name, &[0, 0, 0]), EINVAL);
            err!(k.setsockopt_raw(fd, SOL_SOCKET, name, BAD, 4), EFAULT);
            err!(k.set_int(fd, SOL_SOCKET, name, 1), ENOPROTOOPT);
            let (got, _) = k.getsockopt(fd, SOL_SOCKET, name, 4);
            ret!(got, -libc::ENOPROTOOPT);
        }
    }
    Ok(())
}
