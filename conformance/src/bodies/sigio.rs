//! Signal-driven I/O: whom a socket belongs to, which signal tells of what, once for each event.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::signal::{Raised, hold};
use crate::sys::{Fd, PRI, R, W, WB};
use libc::{AF_INET, AF_UNIX, O_ASYNC, O_NONBLOCK, POLLERR, POLLHUP, POLLRDHUP, SHUT_WR};
use libc::{SIGIO, SIGURG, SOCK_DGRAM, SOCK_STREAM};
use std::time::Duration;

tests! {
    owner_is_a_process_or_a_group [SIGIO],
    owner_is_nobody_who_is_there [SIGIO],
    owner_ex [SIGIO],
    owner_by_ioctl [SIGIO],
    signal_numbers [SIGIO],
    async_flag [SIGIO],
    a_plain_sigio_says_nothing [SIGIO],
    arrival [SIGIO],
    reading_is_none [SIGIO],
    room_to_write [SIGIO],
    connection_to_accept [SIGIO],
    ends [SIGIO],
    reset_and_refused [SIGIO],
    urgent [SIGIO],
    urgent_without_async [SIGIO],
    group_and_thread [SIGIO],
    accepted_socket_has_no_owner [SIGIO],
    copy_tells_its_own_number [SIGIO],
    switched_off [SIGIO],
}

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;
const FIOGETOWN: u64 = 0x8903;
const SIOCGPGRP: u64 = 0x8904;
const FIOASYNC: u64 = 0x5452;
/// A real-time signal: each event is one of its own.
const RT: i32 = 40;
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;
const POLL_ERR: i32 = 4;
const POLL_PRI: i32 = 5;
const POLL_HUP: i32 = 6;
const SI_KERNEL: i32 = 128;
const SOON: Duration = Duration::from_secs(2);
const SHORT: Duration = Duration::from_millis(15);

fn pid(k: &mut dyn Kernel) -> Got<i64> {
    Ok(ok!(k.call(libc::SYS_getpid, &[])))
}

/// Makes this process the owner, and this signal the one that tells.
fn watch(k: &mut dyn Kernel, fd: Fd, signal: i32) -> Outcome {
    for held in [RT, RT + 1, SIGIO, SIGURG] {
        hold(held);
    }
    let me = pid(k)?;
    ret!(k.fcntl(fd, libc::F_SETOWN, me), 0);
    ret!(k.fcntl(fd, F_SETSIG, i64::from(signal)), 0);
    ret!(
        k.fcntl(fd, libc::F_SETFL, i64::from(O_ASYNC | O_NONBLOCK)),
        0
    );
    Ok(())
}

/// The next one tells this, and there is no other.
fn tells(k: &mut dyn Kernel, signal: i32, fd: Fd, code: i32) -> Outcome {
    let got = k.take_signal(signal, SOON);
    let band = match code {
        POLL_IN => R,
        POLL_OUT => WB,
        POLL_ERR => POLLERR,
        POLL_PRI => PRI | libc::POLLRDBAND,
        _ => POLLHUP | POLLERR,
    };
    let want = Raised {
        code,
        band: i64::from(band),
        fd: fd as i32,
    };
    eq!(got, Some(want));
    eq!(k.take_signal(signal, SHORT), None);
    Ok(())
}

/// Some came, of which at least one tells this.
fn tells_among(k: &mut dyn Kernel, signal: i32, code: i32) -> Outcome {
    let mut codes = Vec::new();
    while let Some(raised) = k.take_signal(signal, if codes.is_empty() { SOON } else { SHORT }) {
        codes.push(raised.code);
    }
    check!(codes.contains(&code), "{codes:?}");
    Ok(())
}

fn owner_is_a_process_or_a_group(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.fcntl(a, libc::F_GETOWN, 0), 0);
    let me = pid(k)?;
    let group = ok!(k.call(libc::SYS_getpgrp, &[]));
    ret!(k.fcntl(a, libc::F_SETOWN, me), 0);
    ret!(k.fcntl(a, libc::F_GETOWN, 0), me);
    ret!(k.fcntl(a, libc::F_SETOWN, -group), 0);
    // The C library cannot tell this from an error; the kernel means it.
    ret!(k.fcntl(a, libc::F_GETOWN, 0), -group);
    ret!(k.fcntl(a, libc::F_SETOWN, 0), 0);
    ret!(k.fcntl(a, libc::F_GETOWN, 0), 0);
    Ok(())
}

fn owner_is_nobody_who_is_there(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let me = pid(k)?;
    ret!(k.fcntl(a, libc::F_SETOWN, me), 0);
    for nobody in [i32::MAX - 1, -(i32::MAX - 1)] {
        err!(k.fcntl(a, libc::F_SETOWN, i64::from(nobody)), ESRCH);
    }
    err!(k.fcntl(a, libc::F_SETOWN, i64::from(i32::MIN)), EINVAL);
    // What failed changed nothing.
    ret!(k.fcntl(a, libc::F_GETOWN, 0), me);
    Ok(())
}

fn set_ex(k: &mut dyn Kernel, fd: Fd, kind: i32, who: i32) -> i64 {
    let value = [kind, who];
    k.fcntl(fd, F_SETOWN_EX, value.as_ptr() as i64)
}

fn owner_ex(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let me = pid(k)? as i32;
    let group = ok!(k.call(libc::SYS_getpgrp, &[])) as i32;
    // F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP
    for (kind, who, number) in [(0, me, me), (1, me, me), (2, group, -group)] {
        ret!(set_ex(k, a, kind, who), 0);
        let mut value = [9i32; 2];
        ret!(k.fcntl(a, F_GETOWN_EX, value.as_mut_ptr() as i64), 0);
        eq!(value, [kind, who]);
        ret!(k.fcntl(a, libc::F_GETOWN, 0), i64::from(number));
    }
    for (kind, who, errno) in [
        (3, me, libc::EINVAL),
        (-1, me, libc::EINVAL),
        (0, -5, libc::ESRCH),
        (1, i32::MAX - 1, libc::ESRCH),
        (2, i32::MAX - 1, libc::ESRCH),
    ] {
        ret!(set_ex(k, a, kind, who), -errno);
    }
    ret!(k.fcntl(a, libc::F_GETOWN, 0), i64::from(-group));
    err!(k.fcntl(a, F_SETOWN_EX, crate::mem::BAD as i64), EFAULT);
    err!(k.fcntl(a, F_GETOWN_EX, crate::mem::BAD as i64), EFAULT);
    ret!(set_ex(k, a, 1, 0), 0);
    ret!(k.fcntl(a, libc::F_GETOWN, 0), 0);
    Ok(())
}

fn owner_by_ioctl(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let t = k.tcp_socket(AF_INET, 0)?;
    let me = pid(k)? as i32;
    let group = ok!(k.call(libc::SYS_getpgrp, &[])) as i32;
    for fd in [a, t] {
        for (set, get) in [(SIOCSPGRP, SIOCGPGRP), (FIOSETOWN, FIOGETOWN)] {
            for who in [me, -group, 0] {
                let mut owner = who;
                ret!(k.ioctl_int(fd, set, &mut owner), 0);
                owner = 77;
                ret!(k.ioctl_int(fd, get, &mut owner), 0);
                eq!(owner, who);
                ret!(k.fcntl(fd, libc::F_GETOWN, 0), i64::from(who));
            }
            let mut owner = i32::MAX - 1;
            err!(k.ioctl_int(fd, set, &mut owner), ESRCH);
            owner = i32::MIN;
            err!(k.ioctl_int(fd, set, &mut owner), EINVAL);
            err!(k.ioctl_raw(fd, set, crate::mem::BAD), EFAULT);
            err!(k.ioctl_raw(fd, get, crate::mem::BAD), EFAULT);
        }
    }
    Ok(())
}

fn signal_numbers(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.fcntl(a, F_GETSIG, 0), 0);
    for signal in [1, 29, 34, 64, 0] {
        ret!(k.fcntl(a, F_SETSIG, signal), 0);
        ret!(k.fcntl(a, F_GETSIG, 0), signal);
    }
    for signal in [-1, 65, 1000] {
        err!(k.fcntl(a, F_SETSIG, signal), EINVAL);
    }
    ret!(k.fcntl(a, F_GETSIG, 0), 0);
    Ok(())
}

fn async_flag(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let rdwr = i64::from(libc::O_RDWR);
    for on in [1, 0] {
        let mut value = on;
        ret!(k.ioctl_int(a, FIOASYNC, &mut value), 0);
        ret!(k.fcntl(a, libc::F_GETFL, 0), rdwr | i64::from(on * O_ASYNC));
    }
    ret!(k.fcntl(a, libc::F_SETFL, i64::from(O_ASYNC)), 0);
    ret!(k.fcntl(a, libc::F_GETFL, 0), rdwr | i64::from(O_ASYNC));
    ret!(k.fcntl(a, libc::F_SETFL, 0), 0);
    ret!(k.fcntl(a, libc::F_GETFL, 0), rdwr);
    err!(k.ioctl_raw(a, FIOASYNC, crate::mem::BAD), EFAULT);
    Ok(())
}

fn a_plain_sigio_says_nothing(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    watch(k, b, 0)?;
    ret!(k.send(a, b"x", 0), 1);
    let plain = Raised {
        code: SI_KERNEL,
        band: 0,
        fd: 0,
    };
    eq!(k.take_signal(SIGIO, SOON), Some(plain));
    eq!(k.take_signal(SIGIO, SHORT), None);
    // Two events are one while the first one waits.
    ret!(k.send(a, b"x", 0), 1);
    ret!(k.send(a, b"x", 0), 1);
    eq!(k.take_signal(SIGIO, SOON), Some(plain));
    eq!(k.take_signal(SIGIO, SHORT), None);
    // Asked for by its number it tells.
    ret!(k.fcntl(b, F_SETSIG, i64::from(SIGIO)), 0);
    ret!(k.send(a, b"x", 0), 1);
    tells(k, SIGIO, b, POLL_IN)
}

fn arrival(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(
        k.set_int(t.client, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        0
    );
    for (from, to) in [
        (t.client, t.server),
        k.pair(AF_UNIX, SOCK_STREAM | NB)?,
        k.pair(AF_UNIX, SOCK_DGRAM | NB)?,
        k.pair(AF_UNIX, libc::SOCK_SEQPACKET | NB)?,
        k.udp_pair(AF_INET)?,
    ] {
        watch(k, to, RT)?;
        eq!(k.take_signal(RT, SHORT), None);
        for _ in 0..3 {
            ret!(k.send(from, b"x", 0), 1);
            tells(k, RT, to, POLL_IN)?;
        }
    }
    Ok(())
}

fn reading_is_none(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for (from, to) in [
        (t.client, t.server),
        k.pair(AF_UNIX, SOCK_STREAM | NB)?,
        k.udp_pair(AF_INET)?,
    ] {
        ret!(k.send(from, b"xyz", 0), 3);
        let out = if to == t.server { W } else { WB };
        mask!(k, to, R | out);
        watch(k, to, RT)?;
        watch(k, from, RT + 1)?;
        ret!(k.recv(to, &mut [0; 8], libc::MSG_PEEK), 3);
        ret!(k.recv(to, &mut [0; 8], 0), 3);
        err!(k.recv(to, &mut [0; 8], 0), EAGAIN);
        mask!(k, to, out);
        eq!(k.take_signal(RT, SHORT), None);
        eq!(k.take_signal(RT + 1, SHORT), None);
    }
    Ok(())
}

fn room_to_write(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for (from, to, chunk) in [(t.client, t.server, 65536), {
        let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
        (a, b, 4096)
    }] {
        watch(k, from, RT)?;
        k.fill(from, chunk)?;
        mask!(k, from, 0);
        eq!(k.take_signal(RT, SHORT), None);
        for _ in 0..100 {
            if k.poll_mask(from) & libc::POLLOUT != 0 {
                break;
            }
            k.drain(to)?;
            k.pause(Duration::from_millis(1));
        }
        tells_among(k, RT, POLL_OUT)?;
        // There is room: nobody is told of more.
        ret!(k.send(from, b"x", 0), 1);
        k.wait_sent(from).or_else(|_| k.drain(to).map(|_| ()))?;
        k.drain(to)?;
        eq!(k.take_signal(RT, SHORT), None);
    }
    Ok(())
}

fn connection_to_accept(k: &mut dyn Kernel) -> Outcome {
    let (tcp, tcp_addr) = k.tcp_listener(AF_INET, 4)?;
    let (unix, unix_addr) = k.unix_listener(SOCK_STREAM, 4)?;
    for (listener, addr, family) in [(tcp, tcp_addr, AF_INET), (unix, unix_addr, AF_UNIX)] {
        watch(k, listener, RT)?;
        for _ in 0..2 {
            let client = ok!(k.socket(family, SOCK_STREAM, 0));
            ret!(k.connect(client, &addr), 0);
            tells(k, RT, listener, POLL_IN)?;
        }
        ok!(k.accept(listener));
        eq!(k.take_signal(RT, SHORT), None);
    }
    Ok(())
}

fn ends(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    watch(k, t.server, RT)?;
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    mask!(k, t.server, R | W | POLLRDHUP);
    tells_among(k, RT, POLL_IN)?;
    // Not of what it does itself.
    ret!(k.shutdown(t.server, SHUT_WR), 0);
    mask!(k, t.server, R | W | POLLRDHUP | POLLHUP);
    eq!(k.take_signal(RT, SHORT), None);
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    watch(k, b, RT)?;
    ret!(k.shutdown(a, SHUT_WR), 0);
    tells_among(k, RT, POLL_IN)?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    watch(k, b, RT)?;
    k.close(a);
    tells_among(k, RT, POLL_HUP)
}

fn reset_and_refused(k: &mut dyn Kernel) -> Outcome {
    // Under the runner a reset is shown by a hang-up.
    let t = k.tcp(AF_INET)?;
    let exact = k.shown(t.server, WB | POLLERR) == WB | POLLERR;
    watch(k, t.server, RT)?;
    let linger = [1i32, 0].map(i32::to_ne_bytes).concat();
    ret!(
        k.setsockopt(t.client, libc::SOL_SOCKET, libc::SO_LINGER, &linger),
        0
    );
    k.close(t.client);
    if exact {
        tells(k, RT, t.server, POLL_ERR)?;
    } else {
        tells_among(k, RT, POLL_HUP)?;
    }
    let nobody = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let (udp, _) = k.udp(AF_INET)?;
    ret!(k.connect(udp, &nobody), 0);
    watch(k, udp, RT)?;
    ret!(k.send(udp, b"x", 0), 1);
    tells(k, RT, udp, POLL_ERR)
}

fn urgent(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for (from, to) in [(t.client, t.server), k.pair(AF_UNIX, SOCK_STREAM | NB)?] {
        watch(k, to, RT)?;
        ret!(k.send(from, b"!", libc::MSG_OOB), 1);
        check!(k.take_signal(SIGURG, SOON).is_some(), "no SIGURG");
        eq!(k.take_signal(SIGURG, SHORT), None);
        tells_among(k, RT, POLL_PRI)?;
        // Taking it is no event.
        ret!(k.recv(to, &mut [0; 1], libc::MSG_OOB), 1);
        eq!(k.take_signal(RT, SHORT), None);
        eq!(k.take_signal(SIGURG, SHORT), None);
    }
    Ok(())
}

fn urgent_without_async(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(
        k.set_int(t.client, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        0
    );
    for (from, to) in [(t.client, t.server), k.pair(AF_UNIX, SOCK_STREAM | NB)?] {
        watch(k, to, 0)?;
        ret!(k.fcntl(to, libc::F_SETFL, i64::from(O_NONBLOCK)), 0);
        for _ in 0..2 {
            ret!(k.send(from, b"ab", 0), 2);
            eq!(k.take_signal(SIGURG, SHORT), None);
            ret!(k.send(from, b"!", libc::MSG_OOB), 1);
            let raised = k.take_signal(SIGURG, SOON);
            eq!(raised.map(|r| r.code), Some(SI_KERNEL));
            eq!(k.take_signal(SIGURG, SHORT), None);
            eq!(k.take_signal(SIGIO, SHORT), None);
        }
        // Nobody owns it: nobody is told.
        ret!(k.fcntl(to, libc::F_SETOWN, 0), 0);
        ret!(k.send(from, b"!", libc::MSG_OOB), 1);
        eq!(k.take_signal(SIGURG, SHORT), None);
    }
    Ok(())
}

fn group_and_thread(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    watch(k, b, RT)?;
    let me = pid(k)? as i32;
    for (kind, who) in [(1, me), (0, me)] {
        ret!(set_ex(k, b, kind, who), 0);
        ret!(k.send(a, b"x", 0), 1);
        tells(k, RT, b, POLL_IN)?;
    }
    Ok(())
}

fn accepted_socket_has_no_owner(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    watch(k, listener, RT)?;
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    ret!(k.fcntl(server, libc::F_GETOWN, 0), 0);
    ret!(k.fcntl(server, F_GETSIG, 0), 0);
    ret!(k.fcntl(server, libc::F_GETFL, 0), libc::O_RDWR);
    tells_among(k, RT, POLL_IN)?;
    ret!(k.send(client, b"x", 0), 1);
    mask!(k, server, R | W);
    eq!(k.take_signal(RT, SHORT), None);
    Ok(())
}

fn copy_tells_its_own_number(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let copy = ok!(k.dup(b));
    watch(k, copy, RT)?;
    ret!(k.fcntl(b, F_GETSIG, 0), RT);
    ret!(k.send(a, b"x", 0), 1);
    tells(k, RT, copy, POLL_IN)?;
    // Set again by another descriptor, it is still the first one's.
    ret!(
        k.fcntl(b, libc::F_SETFL, i64::from(O_ASYNC | O_NONBLOCK)),
        0
    );
    ret!(k.send(a, b"x", 0), 1);
    tells(k, RT, copy, POLL_IN)
}

fn switched_off(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    watch(k, b, RT)?;
    ret!(k.fcntl(b, libc::F_SETFL, i64::from(O_NONBLOCK)), 0);
    ret!(k.send(a, b"x", 0), 1);
    eq!(k.take_signal(RT, SHORT), None);
    let mut on = 1;
    ret!(k.ioctl_int(b, FIOASYNC, &mut on), 0);
    ret!(k.send(a, b"x", 0), 1);
    tells(k, RT, b, POLL_IN)?;
    ret!(k.fcntl(b, libc::F_SETOWN, 0), 0);
    ret!(k.send(a, b"x", 0), 1);
    eq!(k.take_signal(RT, SHORT), None);
    Ok(())
}
