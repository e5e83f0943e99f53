//! IPPROTO_UDP options: udp(7).

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, IPPROTO_UDP, SOCK_DGRAM};

// Of linux/udp.h.
const UDP_CORK: i32 = 1;
const UDP_ENCAP: i32 = 100;
const UDP_NO_CHECK6_TX: i32 = 101;
const UDP_NO_CHECK6_RX: i32 = 102;
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;

tests! {
    defaults,
    flags,
    segment_range,
    lengths,
    levels,
    encap_of_nothing,
    cork_holds_and_joins,
    cork_keeps_its_destination,
    cork_with_shutdown_and_close,
    cork_overflow_drops_all,
    more_is_a_cork_for_one,
    segment_cuts,
    segment_by_control_message,
    segment_control_message_errors,
    segment_limits,
    segment_with_more,
    segment_refused_port,
    gro_joins,
    gro_truncated,
    gro_of_one,
    gro_of_too_large,
    gro_switched_off,
    zero_checksum_over_ipv6,
    zero_checksum_and_segments,
}

fn get(k: &mut dyn Kernel, fd: Fd, name: i32) -> Got<i32> {
    k.get_int(fd, IPPROTO_UDP, name)
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: i32) -> i64 {
    k.set_int(fd, IPPROTO_UDP, name, value)
}

/// Receives one datagram: its length, and what UDP_GRO says.
fn recv(k: &mut dyn Kernel, fd: Fd, room: usize) -> (i64, Option<i32>) {
    let mut msg = Msg::room(&[room]).control_room(64);
    let got = k.recvmsg(fd, &mut msg, libc::MSG_TRUNC);
    let size = msg.cmsg(IPPROTO_UDP, UDP_GRO).map(|c| c.ints()[0]);
    (got, size)
}

/// A datagram socket always has room for what is urgent, too.
const BAND: i16 = libc::POLLWRBAND;
const NOTHING: (i64, Option<i32>) = (-(libc::EAGAIN as i64), None);

/// Lengths of all datagrams that wait.
fn lengths_of(k: &mut dyn Kernel, fd: Fd) -> Vec<i64> {
    let mut all = Vec::new();
    loop {
        match recv(k, fd, 70_000) {
            (n, _) if n >= 0 => all.push(n),
            _ => return all,
        }
    }
}

fn defaults(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, _) = k.udp(family)?;
        for name in [
            UDP_CORK,
            UDP_ENCAP,
            UDP_NO_CHECK6_TX,
            UDP_NO_CHECK6_RX,
            UDP_SEGMENT,
            UDP_GRO,
        ] {
            eq!((name, get(k, fd, name)?), (name, 0));
        }
    }
    Ok(())
}

fn flags(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, _) = k.udp(family)?;
        for name in [UDP_CORK, UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX, UDP_GRO] {
            for (value, want) in [(1, 1), (0, 0), (77, 1), (0, 0), (-1, 1)] {
                ret!(set(k, fd, name, value), 0);
                eq!((name, get(k, fd, name)?), (name, want));
            }
        }
    }
    Ok(())
}

fn segment_range(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET)?;
    for value in [1, 1400, 65_535, 0] {
        ret!(set(k, fd, UDP_SEGMENT, value), 0);
        eq!(get(k, fd, UDP_SEGMENT)?, value);
    }
    for value in [-1, 65_536, i32::MAX, i32::MIN] {
        err!(set(k, fd, UDP_SEGMENT, value), EINVAL);
    }
    Ok(())
}

fn lengths(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET)?;
    ret!(set(k, fd, UDP_SEGMENT, 1000), 0);
    for cap in [0, 1, 3, 4, 16] {
        let (got, value) = k.getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, cap);
        eq!((got, value), (0, int(1000)[..cap.min(4)].to_vec()));
    }
    for name in [UDP_CORK, UDP_SEGMENT, UDP_GRO, 999] {
        err!(k.setsockopt(fd, IPPROTO_UDP, name, &int(0)[..3]), EINVAL);
    }
    err!(set(k, fd, 999, 0), ENOPROTOOPT);
    ret!(
        k.setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &[1, 0, 0, 0, 9, 9]),
        0
    );
    Ok(())
}

fn levels(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp_socket(AF_INET, 0)?;
    err!(set(k, tcp, UDP_CORK, 1), ENOPROTOOPT);
    let unix = ok!(k.socket(libc::AF_UNIX, SOCK_DGRAM, 0));
    err!(set(k, unix, UDP_CORK, 1), EOPNOTSUPP);
    Ok(())
}

fn encap_of_nothing(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET)?;
    for value in [-1, 7, 100] {
        err!(set(k, fd, UDP_ENCAP, value), ENOPROTOOPT);
    }
    ret!(set(k, fd, UDP_ENCAP, 0), 0);
    eq!(get(k, fd, UDP_ENCAP)?, 0);
    Ok(())
}

fn cork_holds_and_joins(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(set(k, a, UDP_CORK, 1), 0);
        ret!(k.send(a, b"one", 0), 3);
        ret!(k.send(a, b"", 0), 0);
        ret!(k.send(a, b"two", 0), 3);
        eq!(recv(k, b, 100), NOTHING);
        // Set again it holds on.
        ret!(set(k, a, UDP_CORK, 2), 0);
        eq!(recv(k, b, 100), NOTHING);
        mask!(k, a, W | BAND);
        ret!(set(k, a, UDP_CORK, 0), 0);
        let mut buf = [0; 10];
        ret!(k.recv(b, &mut buf, 0), 6);
        eq!(&buf[..6], b"onetwo");
        // Nothing held: nothing sent. Something empty held: an empty datagram.
        ret!(set(k, a, UDP_CORK, 1), 0);
        ret!(set(k, a, UDP_CORK, 0), 0);
        eq!(recv(k, b, 100), NOTHING);
        ret!(set(k, a, UDP_CORK, 1), 0);
        ret!(k.send(a, b"", 0), 0);
        ret!(set(k, a, UDP_CORK, 0), 0);
        eq!(recv(k, b, 100), (0, None));
    }
    Ok(())
}

fn cork_keeps_its_destination(k: &mut dyn Kernel) -> Outcome {
    let (a, _) = k.udp(AF_INET)?;
    let (b, to) = k.udp(AF_INET)?;
    let (c, other) = k.udp(AF_INET)?;
    ret!(set(k, a, UDP_CORK, 1), 0);
    ret!(k.sendto(a, b"1", 0, &to), 1);
    // The first datagram's destination holds for the rest, named or not.
    ret!(k.sendto(a, b"2", 0, &other), 1);
    ret!(k.send(a, b"3", 0), 1);
    ret!(set(k, a, UDP_CORK, 0), 0);
    eq!(lengths_of(k, b), [3]);
    eq!(recv(k, c, 10), NOTHING);
    Ok(())
}

fn cork_with_shutdown_and_close(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(set(k, a, UDP_CORK, 1), 0);
    ret!(k.send(a, b"1", 0), 1);
    ret!(k.shutdown(a, libc::SHUT_WR), 0);
    ret!(set(k, a, UDP_CORK, 0), 0);
    eq!(lengths_of(k, b), [1]);
    let (c, d) = k.udp_pair(AF_INET)?;
    ret!(set(k, c, UDP_CORK, 1), 0);
    ret!(k.send(c, b"1", 0), 1);
    // What is held at the end is lost.
    ret!(k.close(c), 0);
    eq!(lengths_of(k, d), [] as [i64; 0]);
    Ok(())
}

fn cork_overflow_drops_all(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, &[1; 60_000], libc::MSG_MORE), 60_000);
    err!(k.send(a, &[2; 10_000], 0), EMSGSIZE);
    ret!(k.send(a, b"z", 0), 1);
    eq!(lengths_of(k, b), [1]);
    Ok(())
}

fn more_is_a_cork_for_one(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(k.send(a, b"one", libc::MSG_MORE), 3);
    eq!(recv(k, b, 10), NOTHING);
    ret!(k.send(a, b"two", 0), 3);
    eq!(lengths_of(k, b), [6]);
    // Under UDP_CORK a send without MSG_MORE is held as well.
    ret!(k.send(a, b"one", libc::MSG_MORE), 3);
    ret!(set(k, a, UDP_CORK, 1), 0);
    ret!(k.send(a, b"two", 0), 3);
    eq!(recv(k, b, 10), NOTHING);
    ret!(set(k, a, UDP_CORK, 0), 0);
    eq!(lengths_of(k, b), [6]);
    Ok(())
}

fn segment_cuts(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(set(k, a, UDP_SEGMENT, 100), 0);
        ret!(k.send(a, &[7; 250], 0), 250);
        eq!(lengths_of(k, b), [100, 100, 50]);
        ret!(k.send(a, &[7; 100], 0), 100);
        ret!(k.send(a, &[7; 30], 0), 30);
        ret!(k.send(a, b"", 0), 0);
        eq!(lengths_of(k, b), [100, 30, 0]);
        ret!(set(k, a, UDP_SEGMENT, 0), 0);
        ret!(k.send(a, &[7; 250], 0), 250);
        eq!(lengths_of(k, b), [250]);
        mask!(k, b, W | BAND);
        ret!(set(k, a, UDP_SEGMENT, 100), 0);
        ret!(k.send(a, &[7; 150], 0), 150);
        mask!(k, b, R | W | BAND);
    }
    Ok(())
}

/// Sends with a control message of UDP's level.
fn send_with(k: &mut dyn Kernel, fd: Fd, len: usize, kind: i32, data: &[u8]) -> i64 {
    let mut msg = Msg::of(&[&vec![5; len]]).control(&cmsg(IPPROTO_UDP, kind, data));
    k.sendmsg(fd, &mut msg, 0)
}

fn segment_by_control_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(
        send_with(k, a, 250, UDP_SEGMENT, &100u16.to_ne_bytes()),
        250
    );
    eq!(lengths_of(k, b), [100, 100, 50]);
    // It goes before the option, also to switch it off.
    ret!(set(k, a, UDP_SEGMENT, 50), 0);
    ret!(
        send_with(k, a, 250, UDP_SEGMENT, &200u16.to_ne_bytes()),
        250
    );
    ret!(send_with(k, a, 250, UDP_SEGMENT, &[0, 0]), 250);
    eq!(lengths_of(k, b), [200, 50, 250]);
    Ok(())
}

fn segment_control_message_errors(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        for data in [&[][..], &[1], &[100, 0, 0, 0]] {
            err!(send_with(k, a, 250, UDP_SEGMENT, data), EINVAL);
        }
        err!(send_with(k, a, 250, UDP_GRO, &[100, 0]), EINVAL);
        err!(send_with(k, a, 250, 999, &[100, 0]), EINVAL);
        eq!(recv(k, b, 10), NOTHING);
    }
    Ok(())
}

fn segment_limits(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(set(k, a, UDP_SEGMENT, 1), 0);
        ret!(k.send(a, &[1; 128], 0), 128);
        // UDP_MAX_SEGMENTS.
        err!(k.send(a, &[1; 129], 0), EINVAL);
        eq!(lengths_of(k, b).len(), 128);
        ret!(set(k, a, UDP_SEGMENT, 1472), 0);
        ret!(k.send(a, &vec![1; 65_507], 0), 65_507);
        eq!(lengths_of(k, b).len(), 45);
        let most = if family == AF_INET { 65_507 } else { 65_527 };
        err!(k.send(a, &vec![1; most + 1], 0), EMSGSIZE);
    }
    // A segment with its headers has to fit the path.
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(set(k, a, UDP_SEGMENT, 65_535), 0);
    err!(k.send(a, &vec![1; 65_507], 0), EMSGSIZE);
    ret!(k.send(a, &vec![1; 65_488], 0), 65_488);
    eq!(lengths_of(k, b), [65_488]);
    Ok(())
}

fn segment_with_more(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(set(k, a, UDP_SEGMENT, 100), 0);
    ret!(k.send(a, &[1; 120], libc::MSG_MORE), 120);
    eq!(recv(k, b, 10), NOTHING);
    ret!(k.send(a, &[2; 130], 0), 130);
    eq!(lengths_of(k, b), [100, 100, 50]);
    // What cannot be pushed is dropped with the error.
    ret!(set(k, a, UDP_SEGMENT, 1), 0);
    ret!(k.send(a, &[1; 120], libc::MSG_MORE), 120);
    err!(k.send(a, &[2; 130], 0), EINVAL);
    ret!(k.send(a, b"x", 0), 1);
    eq!(lengths_of(k, b), [1]);
    // And without a word at the end of UDP_CORK.
    ret!(set(k, a, UDP_CORK, 1), 0);
    ret!(k.send(a, &[1; 200], 0), 200);
    ret!(set(k, a, UDP_CORK, 0), 0);
    eq!(recv(k, b, 10), NOTHING);
    Ok(())
}

fn segment_refused_port(k: &mut dyn Kernel) -> Outcome {
    let (a, _) = k.udp(AF_INET)?;
    let closed = k.closed_port(AF_INET, SOCK_DGRAM)?;
    ret!(k.connect(a, &closed), 0);
    ret!(set(k, a, UDP_SEGMENT, 100), 0);
    ret!(k.send(a, &[1; 300], 0), 300);
    err!(k.send(a, b"x", 0), ECONNREFUSED);
    Ok(())
}

fn gro_joins(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(set(k, a, UDP_SEGMENT, 100), 0);
        ret!(set(k, b, UDP_GRO, 1), 0);
        ret!(k.send(a, &[1; 250], 0), 250);
        ret!(k.send(a, &[2; 300], 0), 300);
        eq!(k.fionread(b)?, 250);
        eq!(recv(k, b, 1000), (250, Some(100)));
        eq!(recv(k, b, 1000), (300, Some(100)));
        eq!(recv(k, b, 1000), NOTHING);
    }
    Ok(())
}

fn gro_truncated(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(set(k, a, UDP_SEGMENT, 100), 0);
    ret!(set(k, b, UDP_GRO, 1), 0);
    ret!(k.send(a, &[1; 250], 0), 250);
    // The rest of the batch is lost, as of one datagram.
    eq!(recv(k, b, 120), (250, Some(100)));
    eq!(recv(k, b, 120), NOTHING);
    // Without room for the control message nobody knows where the datagrams end.
    ret!(k.send(a, &[1; 250], 0), 250);
    let mut msg = Msg::room(&[300]).control_room(8);
    ret!(k.recvmsg(b, &mut msg, 0), 250);
    eq!(msg.flags() & libc::MSG_CTRUNC, libc::MSG_CTRUNC);
    Ok(())
}

fn gro_of_one(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(set(k, b, UDP_GRO, 1), 0);
    ret!(k.send(a, &[1; 250], 0), 250);
    eq!(recv(k, b, 1000), (250, None));
    ret!(set(k, a, UDP_SEGMENT, 100), 0);
    ret!(k.send(a, &[1; 100], 0), 100);
    eq!(recv(k, b, 1000), (100, None));
    Ok(())
}

fn gro_of_too_large(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(set(k, a, UDP_SEGMENT, 1000), 0);
    ret!(set(k, b, UDP_GRO, 1), 0);
    // With all headers below 64 KiB it stays one.
    ret!(k.send(a, &vec![1; 65_493], 0), 65_493);
    eq!(recv(k, b, 70_000), (65_493, Some(1000)));
    ret!(k.send(a, &vec![1; 65_494], 0), 65_494);
    eq!(recv(k, b, 70_000), (1000, None));
    eq!(lengths_of(k, b).len(), 65);
    Ok(())
}

fn gro_switched_off(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(set(k, a, UDP_SEGMENT, 100), 0);
    ret!(set(k, b, UDP_GRO, 1), 0);
    ret!(k.send(a, &[1; 250], 0), 250);
    ret!(set(k, b, UDP_GRO, 0), 0);
    ret!(k.send(a, &[1; 250], 0), 250);
    // What lies in the queue stays joined, but nothing says so any more.
    eq!(recv(k, b, 1000), (250, None));
    eq!(recv(k, b, 1000), (100, None));
    Ok(())
}

fn zero_checksum_over_ipv6(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(set(k, a, UDP_NO_CHECK6_TX, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    // RFC 8200, 8.1: dropped, unless the receiver takes it.
    eq!(recv(k, b, 10), NOTHING);
    ret!(set(k, b, UDP_NO_CHECK6_RX, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    eq!(recv(k, b, 10), (1, None));
    // With checksums it takes them too.
    ret!(set(k, a, UDP_NO_CHECK6_TX, 0), 0);
    ret!(k.send(a, b"y", 0), 1);
    eq!(recv(k, b, 10), (1, None));
    // Over IPv4 the option says nothing.
    let (c, to) = k.udp(AF_INET)?;
    let six = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(set(k, six, UDP_NO_CHECK6_TX, 1), 0);
    let mapped = Addr::mapped([127, 0, 0, 1], to.port());
    ret!(k.sendto(six, b"z", 0, &mapped), 1);
    eq!(recv(k, c, 10), (1, None));
    Ok(())
}

fn zero_checksum_and_segments(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(set(k, a, UDP_NO_CHECK6_TX, 1), 0);
    ret!(set(k, b, UDP_NO_CHECK6_RX, 1), 0);
    ret!(set(k, a, UDP_SEGMENT, 10), 0);
    err!(k.send(a, &[1; 30], 0), EINVAL);
    err!(k.send(a, &[1; 5], 0), EINVAL);
    ret!(set(k, a, UDP_SEGMENT, 0), 0);
    ret!(k.send(a, &[1; 30], 0), 30);
    eq!(lengths_of(k, b), [30]);
    check!(get(k, a, UDP_NO_CHECK6_TX)? == 1, "it stays set");
    Ok(())
}
