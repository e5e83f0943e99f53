//! SIOCGSTAMP and SIOCGSTAMPNS: when the last datagram came.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use libc::{
    AF_INET, AF_INET6, AF_UNIX, MSG_PEEK, SO_TIMESTAMP, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET,
};
use std::time::Duration;

tests! {
    none_before_the_first,
    time_of_arrival,
    old_and_new_forms,
    asked_for_the_first_time_afterwards,
    with_so_timestamp,
    peek_counts,
    streams_have_none,
    bad_pointers,
}

const SIOCGSTAMP_OLD: u64 = 0x8906;
const SIOCGSTAMPNS_OLD: u64 = 0x8907;
const SIOCGSTAMP_NEW: u64 = 0x8010_8906;
const SIOCGSTAMPNS_NEW: u64 = 0x8010_8907;

/// Seconds and the fraction, or the error.
fn stamp(k: &mut dyn Kernel, fd: i64, command: u64) -> Result<(i64, i64), i64> {
    let mut out = [-1i64; 2];
    match k.ioctl_raw(fd, command, out.as_mut_ptr() as u64) {
        0 => Ok((out[0], out[1])),
        error => Err(error),
    }
}

fn nanos(k: &mut dyn Kernel, fd: i64) -> Got<i64> {
    match stamp(k, fd, SIOCGSTAMPNS_OLD) {
        Ok((seconds, fraction)) => Ok(seconds * 1_000_000_000 + fraction),
        Err(error) => Ok(ok!(error)),
    }
}

/// A bound datagram socket that sends to itself.
fn bound(k: &mut dyn Kernel, family: i32) -> Got<(i64, Addr)> {
    let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::lo(family, 0)), 0);
    let addr = k.sockname(fd)?;
    Ok((fd, addr))
}

fn one(k: &mut dyn Kernel, fd: i64, addr: &Addr) -> Outcome {
    let mut buf = [0; 4];
    ret!(k.sendto(fd, b"x", 0, addr), 1);
    ret!(k.recv(fd, &mut buf, 0), 1);
    Ok(())
}

fn none_before_the_first(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, addr) = bound(k, family)?;
        for command in [
            SIOCGSTAMP_OLD,
            SIOCGSTAMPNS_OLD,
            SIOCGSTAMP_NEW,
            SIOCGSTAMPNS_NEW,
        ] {
            eq!(stamp(k, fd, command), Err(-i64::from(libc::ENOENT)));
        }
        // What is queued has not been received.
        ret!(k.sendto(fd, b"x", 0, &addr), 1);
        eq!(stamp(k, fd, SIOCGSTAMP_OLD), Err(-i64::from(libc::ENOENT)));
    }
    Ok(())
}

fn time_of_arrival(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = bound(k, AF_INET)?;
    let _ = stamp(k, fd, SIOCGSTAMP_OLD);
    // Linux begins to note times a little later.
    k.pause(Duration::from_millis(100));
    one(k, fd, &addr)?;
    let first = nanos(k, fd)?;
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    k.pause(Duration::from_millis(200));
    let mut buf = [0; 4];
    ret!(k.recv(fd, &mut buf, 0), 1);
    // The time of the arrival, not of the receive.
    let second = nanos(k, fd)?;
    check!(
        second >= first && second - first < 150_000_000,
        "{first} {second}"
    );
    eq!(nanos(k, fd)?, second);
    Ok(())
}

fn old_and_new_forms(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = bound(k, AF_INET)?;
    let _ = stamp(k, fd, SIOCGSTAMP_OLD);
    one(k, fd, &addr)?;
    let (old, new) = (stamp(k, fd, SIOCGSTAMP_OLD), stamp(k, fd, SIOCGSTAMP_NEW));
    eq!(old, new);
    let (old_ns, new_ns) = (
        stamp(k, fd, SIOCGSTAMPNS_OLD),
        stamp(k, fd, SIOCGSTAMPNS_NEW),
    );
    eq!(old_ns, new_ns);
    let ((seconds, micros), (seconds_ns, nanos)) =
        (old.unwrap_or_default(), old_ns.unwrap_or_default());
    eq!(seconds, seconds_ns);
    eq!(micros, nanos / 1000);
    check!(seconds > 1_700_000_000, "{seconds}");
    Ok(())
}

fn asked_for_the_first_time_afterwards(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = bound(k, AF_INET)?;
    one(k, fd, &addr)?;
    let first = nanos(k, fd)?;
    k.pause(Duration::from_millis(20));
    // The time of the question stays the answer.
    eq!(nanos(k, fd)?, first);
    Ok(())
}

fn with_so_timestamp(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = bound(k, AF_INET)?;
    ret!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 1), 0);
    one(k, fd, &addr)?;
    eq!(stamp(k, fd, SIOCGSTAMP_OLD), Err(-i64::from(libc::ENOENT)));
    ret!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 0), 0);
    one(k, fd, &addr)?;
    check!(
        stamp(k, fd, SIOCGSTAMP_OLD).is_ok(),
        "after it was switched off"
    );
    Ok(())
}

fn peek_counts(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = bound(k, AF_INET)?;
    let _ = stamp(k, fd, SIOCGSTAMP_OLD);
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    let mut buf = [0; 4];
    ret!(k.recv(fd, &mut buf, MSG_PEEK), 1);
    check!(stamp(k, fd, SIOCGSTAMP_OLD).is_ok(), "after a look");
    Ok(())
}

fn streams_have_none(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    ret!(k.send(tcp.client, b"x", 0), 1);
    k.recv_now(tcp.server)?;
    for fd in [tcp.client, tcp.server, tcp.listener] {
        eq!(stamp(k, fd, SIOCGSTAMP_OLD), Err(-i64::from(libc::ENOENT)));
    }
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let (a, b) = k.pair(AF_UNIX, kind)?;
        ret!(k.send(a, b"x", 0), 1);
        k.recv_now(b)?;
        for command in [SIOCGSTAMP_OLD, SIOCGSTAMPNS_NEW] {
            eq!(stamp(k, b, command), Err(-i64::from(libc::ENOTTY)));
        }
    }
    Ok(())
}

fn bad_pointers(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = bound(k, AF_INET)?;
    // Whether there is a time comes first.
    err!(k.ioctl_raw(fd, SIOCGSTAMP_OLD, BAD), ENOENT);
    one(k, fd, &addr)?;
    err!(k.ioctl_raw(fd, SIOCGSTAMP_OLD, BAD), EFAULT);
    Ok(())
}
