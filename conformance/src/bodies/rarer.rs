//! Calls, flags and commands that few programs make.

use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use libc::{MSG_ZEROCOPY, SOL_SOCKET};

tests! {
    data_calls_bad_descriptors [EPOLL],
    preadv2_and_pwritev2,
    preadv2_flags,
    probe_sends_nothing,
    probe_takes_no_error,
    zerocopy_without_the_option_copies,
    outqnsd_counts_what_was_not_sent,
    atmark_by_kind,
    timestamp_new_layout,
}

const MSG_PROBE: i32 = 0x10;
const SIOCATMARK: u64 = 0x8905;
const SIOCOUTQNSD: u64 = 0x894b;
const SO_TIMESTAMP_NEW: i32 = 63;
/// The position of preadv2 and pwritev2 that means none.
const HERE: u64 = u64::MAX;

fn data_calls_bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let other = k.not_a_socket()?;
    for (fd, errno) in [
        (-1, libc::EBADF),
        (9999, libc::EBADF),
        (other, libc::ENOTSOCK),
    ] {
        let want = -i64::from(errno);
        // The address is copied in when the file is known, the data later.
        ret!(k.sendto_raw(fd, BAD, 4, 0, BAD, 16), want);
        ret!(k.recvfrom_raw(fd, BAD, 4, 0, BAD, BAD), want);
        ret!(k.send_raw(fd, BAD, 4, 0), want);
        ret!(k.recv_raw(fd, BAD, 4, 0), want);
    }
    Ok(())
}

/// preadv2(2) or pwritev2(2) with one buffer.
fn positioned(
    k: &mut dyn Kernel,
    nr: i64,
    fd: Fd,
    buf: &mut [u8],
    position: u64,
    flags: u64,
) -> i64 {
    let iov = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    let at = &raw const iov as u64;
    k.call(nr, &[fd as u64, at, 1, position, position >> 32, flags])
}

fn preadv2_and_pwritev2(k: &mut dyn Kernel) -> Outcome {
    for (a, b) in [
        k.pair(AF_UNIX, SOCK_STREAM | NB)?,
        k.pair(AF_UNIX, SOCK_DGRAM | NB)?,
        k.udp_pair(AF_INET6)?,
    ] {
        let mut data = *b"data";
        ret!(positioned(k, libc::SYS_pwritev2, a, &mut data, HERE, 0), 4);
        let mut room = [0; 8];
        ret!(positioned(k, libc::SYS_preadv2, b, &mut room, HERE, 0), 4);
        eq!(&room[..4], b"data");
        for position in [0, 1, 1 << 40] {
            let got = positioned(k, libc::SYS_preadv2, b, &mut room, position, 0);
            ret!(got, -libc::ESPIPE);
            let got = positioned(k, libc::SYS_pwritev2, a, &mut data, position, 0);
            ret!(got, -libc::ESPIPE);
        }
    }
    Ok(())
}

fn preadv2_flags(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let mut room = [0; 8];
    // A flag that no kernel knows.
    let got = positioned(k, libc::SYS_preadv2, b, &mut room, HERE, 1 << 30);
    ret!(got, -libc::EOPNOTSUPP);
    // RWF_NOWAIT on a blocking socket with nothing in it; refused before sockets knew it.
    let nowait = libc::RWF_NOWAIT as u64;
    let got = positioned(k, libc::SYS_preadv2, b, &mut room, HERE, nowait);
    let either = [-i64::from(libc::EAGAIN), -i64::from(libc::EOPNOTSUPP)];
    check!(either.contains(&got), "{got}");
    ret!(k.send(a, b"x", 0), 1);
    ret!(positioned(k, libc::SYS_preadv2, b, &mut room, HERE, 0), 1);
    Ok(())
}

fn probe_sends_nothing(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.send(a, b"probe", MSG_PROBE), 5);
        mask!(k, b, WB);
        ret!(k.send(a, b"x", 0), 1);
        eq!(k.recv_now(b)?, b"x");
    }
    Ok(())
}

/// A probe is done before a buffer is asked for: errors, shut directions and lengths are for those who send.
fn probe_takes_no_error(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.close(b), 0);
        ret!(k.send(a, b"x", 0), 1);
        mask!(k, a, WB | libc::POLLERR);
        ret!(k.send(a, b"probe", MSG_PROBE), 5);
        ret!(k.send(a, b"", MSG_PROBE), 0);
        ret!(k.send(a, b"probe", MSG_PROBE | libc::MSG_CONFIRM), 5);
        err!(k.send(a, b"x", 0), ECONNREFUSED);
        ret!(k.send(a, &[0; 65520], MSG_PROBE), 65520);
        let longest = k.send(a, &[0; 65536], MSG_PROBE);
        match family {
            AF_INET => ret!(longest, -libc::EMSGSIZE),
            _ => ret!(longest, 65536),
        }
        ret!(
            k.call(libc::SYS_shutdown, &[a as u64, libc::SHUT_WR as u64]),
            0
        );
        ret!(k.send(a, b"probe", MSG_PROBE), 5);
        // What is held back is pushed, and the probe is no part of it.
        let (a, b) = k.udp_pair(family)?;
        ret!(k.send(a, b"held", libc::MSG_MORE), 4);
        ret!(k.send(a, b"probe", MSG_PROBE | libc::MSG_MORE), 5);
        ret!(k.send(a, b"probe", MSG_PROBE), 5);
        eq!(k.recv_now(b)?, b"held");
    }
    Ok(())
}

fn zerocopy_without_the_option_copies(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut data = *b"copied";
    ret!(k.send(t.client, &data, MSG_ZEROCOPY), 6);
    data.fill(b'!');
    eq!(k.recv_now(t.server)?, b"copied");
    // Nothing is told of it.
    err!(k.recv(t.client, &mut [0; 4], libc::MSG_ERRQUEUE), EAGAIN);
    mask!(k, t.client, W);
    Ok(())
}

fn outqnsd_counts_what_was_not_sent(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut n = -1;
    ret!(k.ioctl_int(t.client, SIOCOUTQNSD, &mut n), 0);
    eq!(n, 0);
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_CORK, 1), 0);
    ret!(k.send(t.client, b"corked", 0), 6);
    ret!(k.ioctl_int(t.client, SIOCOUTQNSD, &mut n), 0);
    eq!((n, k.outq(t.client)?), (6, 6));
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_CORK, 0), 0);
    mask!(k, t.server, R | W);
    ret!(k.ioctl_int(t.client, SIOCOUTQNSD, &mut n), 0);
    eq!(n, 0);
    err!(k.ioctl_int(t.listener, SIOCOUTQNSD, &mut n), EINVAL);
    Ok(())
}

fn atmark_by_kind(k: &mut dyn Kernel) -> Outcome {
    let mut n = -1;
    let tcp = k.tcp_socket(AF_INET, NB)?;
    ret!(k.ioctl_int(tcp, SIOCATMARK, &mut n), 0);
    let (stream, _b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.ioctl_int(stream, SIOCATMARK, &mut n), 0);
    eq!(n, 0);
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, _b) = k.pair(AF_UNIX, kind | NB)?;
        err!(k.ioctl_int(a, SIOCATMARK, &mut n), EOPNOTSUPP);
    }
    let (udp, _) = k.udp(AF_INET)?;
    err!(k.ioctl_int(udp, SIOCATMARK, &mut n), ENOTTY);
    Ok(())
}

fn timestamp_new_layout(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_TIMESTAMP_NEW, 1), 0);
    eq!(k.get_int(b, SOL_SOCKET, SO_TIMESTAMP_NEW)?, 1);
    // The same switch as the old one, which says no while the new layout is asked for.
    eq!(k.get_int(b, SOL_SOCKET, libc::SO_TIMESTAMP)?, 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[4]).control_room(64);
    ret!(ok!(k.recvmsg(b, &mut msg, 0)), 1);
    let kinds: Vec<(i32, usize)> = msg.cmsgs().iter().map(|c| (c.kind, c.data.len())).collect();
    eq!(kinds, vec![(SO_TIMESTAMP_NEW, 16)]);
    Ok(())
}
