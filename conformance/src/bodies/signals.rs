//! Signals: calls that one interrupts (signal(7)), and those that sockets raise.

use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::signal::{Timer, hold, taken};
use crate::sys::{PRI, R, W};
use libc::{AF_INET, AF_UNIX, SIGIO, SIGURG, SIGUSR1, SO_RCVTIMEO, SOCK_STREAM, SOL_SOCKET};
use std::time::Duration;

tests! {
    recv_is_interrupted [SIGNALS],
    accept_is_interrupted [SIGNALS],
    connect_is_interrupted [SIGNALS],
    recv_is_restarted [SIGNALS],
    recv_with_timeout_is_not_restarted [SIGNALS],
    interrupted_send_tells_what_was_sent [SIGNALS],
    waitall_keeps_what_it_has [SIGNALS],
    sigio_on_arrival [SIGNALS],
    setsig_tells_which_descriptor [SIGNALS],
    sigurg_on_urgent_data [SIGNALS],
    owner_by_ioctl [SIGNALS],
}

const TICK: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_secs(2);
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;
const FIOGETOWN: u64 = 0x8903;
const SIOCGPGRP: u64 = 0x8904;
const FIOASYNC: u64 = 0x5452;

fn recv_is_interrupted(k: &mut dyn Kernel) -> Outcome {
    let (unix, _peer) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    let (udp, _) = k.udp(AF_INET)?;
    k.fcntl(udp, libc::F_SETFL, 0);
    let timer = Timer::start(TICK, false);
    for fd in [unix, t.server, udp] {
        let before = timer.struck();
        err!(k.recv(fd, &mut [0; 4], 0), EINTR);
        check!(timer.struck() > before, "no signal came");
        err!(k.read(fd, &mut [0; 4]), EINTR);
    }
    Ok(())
}

fn accept_is_interrupted(k: &mut dyn Kernel) -> Outcome {
    let (tcp, _) = k.tcp_listener(AF_INET, 4)?;
    let (unix, _) = k.unix_listener(SOCK_STREAM, 4)?;
    let _timer = Timer::start(TICK, false);
    for fd in [tcp, unix] {
        k.fcntl(fd, libc::F_SETFL, 0);
        err!(k.accept(fd), EINTR);
        err!(k.accept4_raw(fd, 0, 0, NB), EINTR);
    }
    Ok(())
}

fn connect_is_interrupted(k: &mut dyn Kernel) -> Outcome {
    // A listener whose queue is full lets an AF_UNIX client wait.
    let (_listener, addr) = k.unix_listener(SOCK_STREAM, 0)?;
    let first = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(first, &addr), 0);
    let second = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let _timer = Timer::start(TICK, false);
    err!(k.connect(second, &addr), EINTR);
    Ok(())
}

fn recv_is_restarted(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let timer = Timer::start(TICK, true);
    // The third stroke's handler sends what ends the wait.
    timer.help(3, a);
    ret!(k.recv(b, &mut [0; 4], 0), 1);
    check!(timer.struck() >= 3, "{} strokes", timer.struck());
    Ok(())
}

fn recv_with_timeout_is_not_restarted(k: &mut dyn Kernel) -> Outcome {
    let (_a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let timeout = [5i64, 0].map(i64::to_ne_bytes).concat();
    ret!(k.setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &timeout), 0);
    let _timer = Timer::start(TICK, true);
    err!(k.recv(b, &mut [0; 4], 0), EINTR);
    Ok(())
}

fn interrupted_send_tells_what_was_sent(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.client, libc::F_SETFL, 0);
    let size = 64 << 20;
    let data = vec![7; size];
    for restart in [false, true] {
        // Something was sent: there is nothing to restart.
        let timer = Timer::start(TICK, restart);
        let sent = ok!(k.send(t.client, &data, 0));
        // Of what comes now it would be a chance (docs/design/results-and-signals.md).
        drop(timer);
        check!((1..size as i64).contains(&sent), "{sent}");
        eq!(k.drain_all(t.server, sent as usize)?, sent as usize);
    }
    Ok(())
}

fn waitall_keeps_what_it_has(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    for (from, to) in [(a, b), (t.client, t.server)] {
        ret!(k.send(from, b"abc", 0), 3);
        let _timer = Timer::start(TICK, true);
        ret!(k.recv(to, &mut [0; 16], libc::MSG_WAITALL), 3);
    }
    Ok(())
}

fn sigio_on_arrival(k: &mut dyn Kernel) -> Outcome {
    hold(SIGIO);
    for family in [AF_UNIX, AF_INET] {
        let (a, b) = if family == AF_UNIX {
            k.pair(AF_UNIX, SOCK_STREAM | NB)?
        } else {
            k.udp_pair(AF_INET)?
        };
        let pid = ok!(k.call(libc::SYS_getpid, &[]));
        ret!(k.fcntl(b, libc::F_SETOWN, pid), 0);
        let mut on = 1;
        ret!(k.ioctl_int(b, FIOASYNC, &mut on), 0);
        let flags = k.fcntl(b, libc::F_GETFL, 0);
        check!(flags & i64::from(libc::O_ASYNC) != 0, "{flags:#o}");
        ret!(k.send(a, b"x", 0), 1);
        check!(taken(SIGIO, SOON).is_some(), "no SIGIO, family {family}");
        // Each arrival raises it again.
        ret!(k.send(a, b"x", 0), 1);
        check!(taken(SIGIO, SOON).is_some(), "no second SIGIO");
        on = 0;
        ret!(k.ioctl_int(b, FIOASYNC, &mut on), 0);
        while taken(SIGIO, Duration::ZERO).is_some() {}
        ret!(k.send(a, b"x", 0), 1);
        eq!(taken(SIGIO, TICK), None);
    }
    Ok(())
}

fn setsig_tells_which_descriptor(k: &mut dyn Kernel) -> Outcome {
    const F_SETSIG: i32 = 10;
    hold(SIGUSR1);
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let pid = ok!(k.call(libc::SYS_getpid, &[]));
    ret!(k.fcntl(b, libc::F_SETOWN, pid), 0);
    ret!(k.fcntl(b, F_SETSIG, i64::from(SIGUSR1)), 0);
    let flags = k.fcntl(b, libc::F_GETFL, 0);
    ret!(
        k.fcntl(b, libc::F_SETFL, flags | i64::from(libc::O_ASYNC)),
        0
    );
    ret!(k.send(a, b"x", 0), 1);
    let Some((band, fd)) = taken(SIGUSR1, SOON) else {
        return crate::check::fail("F_SETSIG", "no signal".to_string());
    };
    eq!(i64::from(fd), b);
    check!(band & i64::from(libc::POLLIN) != 0, "{band:#x}");
    Ok(())
}

fn sigurg_on_urgent_data(k: &mut dyn Kernel) -> Outcome {
    hold(SIGURG);
    let t = k.tcp(AF_INET)?;
    let pid = ok!(k.call(libc::SYS_getpid, &[]));
    ret!(k.fcntl(t.server, libc::F_SETOWN, pid), 0);
    ret!(k.send(t.client, b"ab", 0), 2);
    mask!(k, t.server, R | W);
    eq!(taken(SIGURG, TICK), None);
    ret!(k.send(t.client, b"!", libc::MSG_OOB), 1);
    check!(taken(SIGURG, SOON).is_some(), "no SIGURG");
    mask!(k, t.server, R | W | PRI);
    Ok(())
}

fn owner_by_ioctl(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut owner = ok!(k.call(libc::SYS_getpid, &[])) as i32;
    let pid = owner;
    for (set, get) in [(SIOCSPGRP, SIOCGPGRP), (FIOSETOWN, FIOGETOWN)] {
        owner = pid;
        ret!(k.ioctl_int(a, set, &mut owner), 0);
        owner = 0;
        ret!(k.ioctl_int(a, get, &mut owner), 0);
        eq!(owner, pid);
        ret!(k.fcntl(a, libc::F_GETOWN, 0), i64::from(pid));
        owner = 0;
        ret!(k.ioctl_int(a, set, &mut owner), 0);
        ret!(k.fcntl(a, libc::F_GETOWN, 0), 0);
    }
    // Nobody has this number.
    owner = i32::MAX - 1;
    err!(k.ioctl_int(a, SIOCSPGRP, &mut owner), ESRCH);
    Ok(())
}
