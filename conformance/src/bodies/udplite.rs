//! udplite(7): UDP-Lite (RFC 3828).

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, IPPROTO_UDP, IPPROTO_UDPLITE, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};

// Of linux/udp.h; udplite(7).
const UDPLITE_SEND_CSCOV: i32 = 10;
const UDPLITE_RECV_CSCOV: i32 = 11;
const UDP_CORK: i32 = 1;
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;

tests! {
    made,
    coverage_values,
    coverage_lengths,
    options_of_both_levels,
    coverage_of_udp,
    other_types_refuse_the_level,
    sends_and_receives,
    ports_of_its_own,
    refused_port,
    wanted_coverage,
    partial_checksum_on_the_wire [ROOT],
    damage_outside_of_the_coverage [ROOT],
    bad_coverage_is_dropped [ROOT],
    batches_are_refused,
    cork_joins,
    listed,
}

/// A datagram socket always has room for what is urgent, too.
const BAND: i16 = libc::POLLWRBAND;
const AGAIN: i64 = -(libc::EAGAIN as i64);

fn lite(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Addr)> {
    let fd = ok!(k.socket(family, SOCK_DGRAM | NB, IPPROTO_UDPLITE));
    ok!(k.bind(fd, &Addr::lo(family, 0)));
    let addr = k.sockname(fd)?;
    Ok((fd, addr))
}

/// The first is connected to the second.
fn pair(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Fd)> {
    let (a, _) = lite(k, family)?;
    let (b, to) = lite(k, family)?;
    ok!(k.connect(a, &to));
    Ok((a, b))
}

fn get(k: &mut dyn Kernel, fd: Fd, name: i32) -> Got<i32> {
    k.get_int(fd, IPPROTO_UDPLITE, name)
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: i32) -> i64 {
    k.set_int(fd, IPPROTO_UDPLITE, name, value)
}

fn recv(k: &mut dyn Kernel, fd: Fd) -> i64 {
    k.recv(fd, &mut [0; 100], 0)
}

fn made(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, IPPROTO_UDPLITE));
        eq!(
            k.get_int(fd, SOL_SOCKET, libc::SO_PROTOCOL)?,
            IPPROTO_UDPLITE
        );
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TYPE)?, SOCK_DGRAM);
        for name in [UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV] {
            eq!((name, get(k, fd, name)?), (name, 0));
        }
        err!(
            k.socket(family, libc::SOCK_STREAM, IPPROTO_UDPLITE),
            EPROTONOSUPPORT
        );
    }
    Ok(())
}

fn coverage_values(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = lite(k, AF_INET)?;
    for name in [UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV] {
        // The header is covered always, and no more than a length can say.
        for (value, want) in [
            (0, 0),
            (1, 8),
            (7, 8),
            (8, 8),
            (9, 9),
            (-1, 8),
            (i32::MIN, 8),
            (65_535, 65_535),
            (65_536, 65_535),
            (i32::MAX, 65_535),
            (0, 0),
        ] {
            ret!(set(k, fd, name, value), 0);
            eq!((value, get(k, fd, name)?), (value, want));
        }
    }
    Ok(())
}

fn coverage_lengths(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = lite(k, AF_INET6)?;
    ret!(set(k, fd, UDPLITE_SEND_CSCOV, 300), 0);
    for cap in [0, 1, 3, 4, 16] {
        let (got, value) = k.getsockopt(fd, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, cap);
        eq!(
            (got, value),
            (0, 300i32.to_ne_bytes()[..cap.min(4)].to_vec())
        );
    }
    for name in [UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV, 999] {
        err!(k.setsockopt(fd, IPPROTO_UDPLITE, name, &[1, 0, 0]), EINVAL);
    }
    ret!(
        k.setsockopt(fd, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, &[9, 0, 0, 0, 1]),
        0
    );
    eq!(get(k, fd, UDPLITE_SEND_CSCOV)?, 9);
    err!(set(k, fd, 999, 1), ENOPROTOOPT);
    err!(k.getsockopt(fd, IPPROTO_UDPLITE, 999, 4).0, ENOPROTOOPT);
    Ok(())
}

fn options_of_both_levels(k: &mut dyn Kernel) -> Outcome {
    let (udp, _) = k.udp(AF_INET)?;
    let (lite, _) = lite(k, AF_INET)?;
    for fd in [udp, lite] {
        for (name, value) in [(UDP_CORK, 1), (UDP_SEGMENT, 20), (UDP_GRO, 1)] {
            ret!(k.set_int(fd, IPPROTO_UDP, name, value), 0);
            eq!(k.get_int(fd, IPPROTO_UDPLITE, name)?, value);
            ret!(k.set_int(fd, IPPROTO_UDPLITE, name, 0), 0);
            eq!(k.get_int(fd, IPPROTO_UDP, name)?, 0);
        }
    }
    ret!(k.set_int(lite, IPPROTO_UDP, UDPLITE_SEND_CSCOV, 12), 0);
    eq!(get(k, lite, UDPLITE_SEND_CSCOV)?, 12);
    eq!(k.get_int(lite, IPPROTO_UDP, UDPLITE_SEND_CSCOV)?, 12);
    Ok(())
}

fn coverage_of_udp(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET6)?;
    for level in [IPPROTO_UDP, IPPROTO_UDPLITE] {
        for name in [UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV] {
            err!(k.set_int(fd, level, name, 8), ENOPROTOOPT);
            eq!(k.get_int(fd, level, name)?, 0);
            err!(k.setsockopt(fd, level, name, &[1]), EINVAL);
        }
    }
    Ok(())
}

fn other_types_refuse_the_level(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp_socket(AF_INET, 0)?;
    err!(set(k, tcp, UDPLITE_SEND_CSCOV, 8), ENOPROTOOPT);
    err!(
        k.getsockopt(tcp, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, 4).0,
        EOPNOTSUPP
    );
    let unix = ok!(k.socket(libc::AF_UNIX, SOCK_DGRAM, 0));
    err!(set(k, unix, UDPLITE_SEND_CSCOV, 8), EOPNOTSUPP);
    Ok(())
}

fn sends_and_receives(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = pair(k, family)?;
        mask!(k, b, W | BAND);
        ret!(k.send(a, b"hello", 0), 5);
        mask!(k, b, R | W | BAND);
        let mut buf = [0; 10];
        ret!(k.recv(b, &mut buf, 0), 5);
        eq!(&buf[..5], b"hello");
        for coverage in [0, 8, 10, 13, 14, 65_535] {
            ret!(set(k, a, UDPLITE_SEND_CSCOV, coverage), 0);
            ret!(k.send(a, b"hello", 0), 5);
            ret!(k.send(a, b"", 0), 0);
            eq!((coverage, recv(k, b)), (coverage, 5));
            eq!((coverage, recv(k, b)), (coverage, 0));
        }
    }
    Ok(())
}

fn ports_of_its_own(k: &mut dyn Kernel) -> Outcome {
    let (first, addr) = lite(k, AF_INET)?;
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    // The port may be another program's among those of UDP.
    let free = k.bind(udp, &addr) == 0;
    let second = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, IPPROTO_UDPLITE));
    err!(k.bind(second, &addr), EADDRINUSE);
    let (sender, _) = lite(k, AF_INET)?;
    ret!(k.sendto(sender, b"lite", 0, &addr), 4);
    eq!(recv(k, first), 4);
    if free {
        eq!(recv(k, udp), AGAIN);
        let (sender, _) = k.udp(AF_INET)?;
        ret!(k.sendto(sender, b"a", 0, &addr), 1);
        eq!(recv(k, udp), 1);
        eq!(recv(k, first), AGAIN);
    }
    Ok(())
}

fn refused_port(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = pair(k, family)?;
        ret!(k.close(b), 0);
        ret!(k.send(a, b"x", 0), 1);
        eq!(
            k.get_int(a, SOL_SOCKET, libc::SO_ERROR)?,
            libc::ECONNREFUSED
        );
        ret!(k.send(a, b"x", 0), 1);
        err!(k.send(a, b"x", 0), ECONNREFUSED);
    }
    Ok(())
}

fn wanted_coverage(k: &mut dyn Kernel) -> Outcome {
    let data = [7; 16];
    for family in [AF_INET, AF_INET6] {
        for wanted in [0, 8, 12, 13, 24, 25, 100] {
            let (a, b) = pair(k, family)?;
            ret!(set(k, b, UDPLITE_RECV_CSCOV, wanted), 0);
            // What is covered whole is taken always.
            ret!(k.send(a, &data, 0), 16);
            eq!((wanted, recv(k, b)), (wanted, 16));
            for sent in [0, 8, 12, 13, 23, 24, 100] {
                ret!(set(k, a, UDPLITE_SEND_CSCOV, sent), 0);
                ret!(k.send(a, &data, 0), 16);
                let whole = sent == 0 || sent >= 24;
                let taken = whole || (wanted != 0 && sent >= wanted);
                let want = if taken { 16 } else { AGAIN };
                eq!((wanted, sent, recv(k, b)), (wanted, sent, want));
            }
        }
    }
    Ok(())
}

/// The Internet checksum of what the words sum up to.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A loopback address that nobody else uses now.
fn own(which: u8) -> [u8; 4] {
    let id = std::process::id();
    [127, (id >> 8) as u8 | 128, id as u8, 60 + which]
}

/// What a checksum sums before the datagram itself.
fn pseudo(addr: [u8; 4], len: usize) -> Vec<u8> {
    let mut p = [addr, addr].concat();
    p.extend([0, 136]);
    p.extend((len as u16).to_be_bytes());
    p
}

fn partial_checksum_on_the_wire(k: &mut dyn Kernel) -> Outcome {
    let here = own(0);
    let raw = ok!(k.socket(AF_INET, SOCK_RAW | NB, IPPROTO_UDPLITE));
    ok!(k.bind(raw, &Addr::v4(here, 0)));
    let to = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, IPPROTO_UDPLITE));
    ok!(k.bind(to, &Addr::v4(here, 0)));
    let addr = k.sockname(to)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, IPPROTO_UDPLITE));
    ok!(k.bind(from, &Addr::v4(here, 0)));
    ok!(k.connect(from, &addr));
    let data = *b"abcdefghijklmnopq";
    let len = data.len() + 8;
    for (set_to, says, covers) in [
        (None, len, len),
        (Some(8), 8, 8),
        (Some(13), 13, 13),
        (Some(0), 0, len),
        (Some(24), 24, 24),
        (Some(25), 25, 25),
        (Some(26), 25, 25),
    ] {
        if let Some(coverage) = set_to {
            ret!(set(k, from, UDPLITE_SEND_CSCOV, coverage), 0);
        }
        ret!(k.send(from, &data, 0), 17);
        let mut packet = [0; 100];
        ret!(k.recv(raw, &mut packet, 0), len as i64 + 20);
        let datagram = &packet[20..20 + len];
        let said = u16::from_be_bytes([datagram[4], datagram[5]]);
        eq!((set_to, usize::from(said)), (set_to, says));
        let left = sum(&[&pseudo(here, len), &datagram[..covers]]);
        eq!((set_to, left), (set_to, 0));
        eq!(&datagram[8..], &data);
        eq!(recv(k, to), 17);
    }
    Ok(())
}

/// A datagram from and to a port, with its checksum over what `covers` says.
fn datagram(addr: [u8; 4], port: u16, says: u16, covers: usize, data: &[u8]) -> Vec<u8> {
    let mut d = [port.to_be_bytes(), port.to_be_bytes()].concat();
    d.extend(says.to_be_bytes());
    d.extend([0, 0]);
    d.extend(data);
    let check = sum(&[&pseudo(addr, d.len()), &d[..covers]]).to_be_bytes();
    d[6..8].copy_from_slice(&check);
    d
}

/// A raw sender, a receiver of UDP-Lite, where they are and its port.
fn by_hand(k: &mut dyn Kernel, which: u8) -> Got<(Fd, Fd, [u8; 4], u16)> {
    let here = own(which);
    let raw = ok!(k.socket(AF_INET, SOCK_RAW | NB, IPPROTO_UDPLITE));
    ok!(k.bind(raw, &Addr::v4(here, 0)));
    ok!(k.connect(raw, &Addr::v4(here, 0)));
    let to = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, IPPROTO_UDPLITE));
    ok!(k.bind(to, &Addr::v4(here, 0)));
    let port = k.sockname(to)?.port();
    Ok((raw, to, here, port))
}

fn damage_outside_of_the_coverage(k: &mut dyn Kernel) -> Outcome {
    let (raw, to, here, port) = by_hand(k, 1)?;
    let whole = datagram(here, port, 12, 12, b"abcdefgh");
    ret!(k.send(raw, &whole, 0), 16);
    eq!(recv(k, to), 8);
    // What is not covered may be damaged; RFC 3828, 3.1.
    let mut damaged = whole.clone();
    damaged[14] ^= 0x40;
    ret!(k.send(raw, &damaged, 0), 16);
    let mut buf = [0; 20];
    ret!(k.recv(to, &mut buf, 0), 8);
    eq!(&buf[..8], b"abcdef\x27h");
    let mut damaged = whole.clone();
    damaged[10] ^= 0x40;
    ret!(k.send(raw, &damaged, 0), 16);
    eq!(recv(k, to), AGAIN);
    let mut damaged = datagram(here, port, 0, 16, b"abcdefgh");
    ret!(k.send(raw, &damaged, 0), 16);
    eq!(recv(k, to), 8);
    damaged[15] ^= 1;
    ret!(k.send(raw, &damaged, 0), 16);
    eq!(recv(k, to), AGAIN);
    Ok(())
}

fn bad_coverage_is_dropped(k: &mut dyn Kernel) -> Outcome {
    let (raw, to, here, port) = by_hand(k, 2)?;
    for says in [1, 7, 17, 65_535] {
        let bad = datagram(here, port, says, 16, b"abcdefgh");
        ret!(k.send(raw, &bad, 0), 16);
        eq!((says, recv(k, to)), (says, AGAIN));
    }
    // There is no datagram without a checksum.
    let mut unsummed = datagram(here, port, 16, 16, b"abcdefgh");
    unsummed[6..8].fill(0);
    ret!(k.send(raw, &unsummed, 0), 16);
    eq!(recv(k, to), AGAIN);
    ret!(
        k.send(raw, &datagram(here, port, 16, 16, b"abcdefgh"), 0),
        16
    );
    eq!(recv(k, to), 8);
    Ok(())
}

fn batches_are_refused(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = pair(k, family)?;
        ret!(k.set_int(a, IPPROTO_UDP, UDP_SEGMENT, 5), 0);
        err!(k.send(a, &[1; 20], 0), EIO);
        ret!(k.set_int(a, IPPROTO_UDP, UDP_SEGMENT, 0), 0);
        // The control message is of UDP's level only; others are passed over.
        for (level, want) in [(IPPROTO_UDP, -i64::from(libc::EIO)), (IPPROTO_UDPLITE, 20)] {
            let size = cmsg(level, UDP_SEGMENT, &5u16.to_ne_bytes());
            let mut msg = Msg::of(&[&[1; 20]]).control(&size);
            ret!(k.sendmsg(a, &mut msg, 0), want);
        }
        eq!(recv(k, b), 20);
        eq!(recv(k, b), AGAIN);
    }
    Ok(())
}

fn cork_joins(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k, AF_INET)?;
    ret!(set(k, a, UDP_CORK, 1), 0);
    ret!(k.send(a, b"one", 0), 3);
    ret!(k.send(a, b"two", 0), 3);
    eq!(recv(k, b), AGAIN);
    ret!(set(k, a, UDP_CORK, 0), 0);
    eq!(recv(k, b), 6);
    ret!(k.send(a, b"one", libc::MSG_MORE), 3);
    ret!(k.send(a, b"", 0), 0);
    eq!(recv(k, b), 3);
    Ok(())
}

fn listed(k: &mut dyn Kernel) -> Outcome {
    for (family, file) in [
        (AF_INET, "/proc/net/udplite"),
        (AF_INET6, "/proc/net/udplite6"),
    ] {
        let (_, addr) = lite(k, family)?;
        let port = format!(":{:04X}", addr.port());
        let line = |text: String| {
            let mine = |line: &&str| {
                line.split_whitespace()
                    .nth(1)
                    .is_some_and(|a| a.ends_with(&port))
            };
            text.lines().find(mine).map(str::to_owned)
        };
        let mine = line(k.file_text(file)?);
        // st, the state: closed, which is that of a socket without a peer.
        let state = mine
            .as_ref()
            .and_then(|line| line.split_whitespace().nth(3));
        check!(state == Some("07"), "{file}: {mine:?}");
    }
    Ok(())
}
