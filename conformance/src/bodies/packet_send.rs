//! What packet sockets send: frames, or what stands behind their link header.

use super::errqueue_icmp::checksum;
use super::netlink_route::{added, alone};
use super::packet::{
    ALL, Framed, HOST, IP, IP6, LO, MULTICAST, OTHERHOST, OUTGOING, OWN, frame, from, ll, next,
    open,
};
use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET, AF_INET6, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};

tests! {
    send_destinations [ROOT],
    send_lengths [ROOT],
    control_messages [ROOT],
    link_protocols [ROOT],
    who_is_addressed [ROOT],
    cooked_to_be_sent [ROOT],
    injected_for_the_host [ROOT],
    injected_with_own_sources [ROOT],
}

fn control_messages(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    let send = |k: &mut dyn Kernel, control: &[u8]| {
        let bytes = frame(OWN, b"x");
        let mut msg = Msg::of(&[&bytes]).to(&ll(OWN, LO)).control(control);
        k.sendmsg(fd, &mut msg, 0)
    };
    let word = |kind, value: u32| cmsg(SOL_SOCKET, kind, &value.to_ne_bytes());
    ret!(send(k, &word(libc::SO_MARK, 7)), 15);
    ret!(send(k, &word(libc::SO_PRIORITY, 7)), 15);
    // A time stamp of reception cannot be asked for here, and of what is unknown nothing.
    err!(send(k, &word(libc::SO_TIMESTAMPING, 1 << 3)), EINVAL);
    err!(send(k, &word(99, 1)), EINVAL);
    // Other levels are for others.
    ret!(send(k, &cmsg(263, 1, &[0; 4])), 15);
    // A header that is cut short, or longer than there is room.
    let mut short = word(libc::SO_MARK, 1);
    short[..8].copy_from_slice(&8u64.to_ne_bytes());
    err!(send(k, &short), EINVAL);
    let mut long = word(libc::SO_MARK, 1);
    long[..8].copy_from_slice(&64u64.to_ne_bytes());
    err!(send(k, &long), EINVAL);
    Ok(())
}

fn send_destinations(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    let hears = open(k, SOCK_RAW, ALL)?;
    let bytes = frame(OWN, b"abc");
    err!(k.send(fd, &bytes, 0), ENXIO);
    for interface in [0, 99, -1] {
        err!(k.sendto(fd, &bytes, 0, &ll(OWN, interface)), ENXIO);
    }
    for len in [1, 12, 18, 19] {
        err!(k.sendto(fd, &bytes, 0, &ll(OWN, LO).cut(len)), EINVAL);
    }
    // The family is not looked at.
    ret!(
        k.sendto(fd, &bytes, 0, &ll(OWN, LO).with_family(AF_INET)),
        17
    );
    // The protocol is what the frame says where it comes in, and what the address says where it leaves.
    for (protocol, told) in [(OWN, OWN), (IP, IP), (0, OWN), (ALL, OWN)] {
        while next(k, hears).is_some() {}
        ret!(k.sendto(fd, &bytes, 0, &ll(protocol, LO)), 17);
        let (data, left) = next(k, hears).unwrap_or_default_frame();
        eq!((&data, left), (&bytes, from(told, OUTGOING)));
        let (data, came) = next(k, hears).unwrap_or_default_frame();
        eq!((&data, came), (&bytes, from(OWN, HOST)));
    }
    ret!(k.bind(fd, &ll(OWN, LO)), 0);
    ret!(k.send(fd, &bytes, 0), 17);
    // Who sends does not see it leave, and sees it come.
    let (_, came) = next(k, fd).unwrap_or_default_frame();
    eq!(came, from(OWN, HOST));
    check!(next(k, fd).is_none(), "once");
    for flag in [
        libc::MSG_OOB,
        libc::MSG_EOR,
        libc::MSG_MORE,
        libc::MSG_DONTROUTE,
    ] {
        ret!(k.send(fd, &bytes, flag), 17);
    }
    Ok(())
}

fn send_lengths(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    let bytes = vec![0; 70_000];
    for len in [0, 1, 13] {
        err!(k.sendto(fd, &bytes[..len], 0, &ll(OWN, LO)), EINVAL);
    }
    for len in [14, 15, 65_550] {
        ret!(k.sendto(fd, &bytes[..len], 0, &ll(OWN, LO)), len as i64);
    }
    for len in [65_551, 65_555, 70_000] {
        err!(k.sendto(fd, &bytes[..len], 0, &ll(OWN, LO)), EMSGSIZE);
    }
    let fd = open(k, SOCK_DGRAM, 0)?;
    for len in [0, 1, 65_536] {
        ret!(k.sendto(fd, &bytes[..len], 0, &ll(OWN, LO)), len as i64);
    }
    err!(k.sendto(fd, &bytes[..65_537], 0, &ll(OWN, LO)), EMSGSIZE);
    Ok(())
}

fn link_protocols(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    let hears = open(k, SOCK_RAW, ALL)?;
    // Below 1536 the field is a length: Novell's frames begin with ones, the others are 802.2.
    for (field, data, want) in [
        (5, b"\xff\xffa", 1),
        (5, b"abc", 4),
        (1500, b"\xff\xffa", 1),
        (1535, b"abc", 4),
        (1536, b"\xff\xffa", 1536),
        (1536, b"abc", 1536),
    ] {
        ret!(k.sendto(fd, &frame(field, data), 0, &ll(0, LO)), 17);
        let (_, left) = next(k, hears).unwrap_or_default_frame();
        let (_, came) = next(k, hears).unwrap_or_default_frame();
        eq!((left, came), (from(field, OUTGOING), from(want, HOST)));
    }
    Ok(())
}

fn who_is_addressed(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    let hears = open(k, SOCK_RAW, OWN)?;
    for (to, kind) in [
        ([0xff; 6], MULTICAST),
        ([1, 0, 0x5e, 0, 0, 1], MULTICAST),
        ([2, 0, 0, 0, 0, 1], OTHERHOST),
        ([0; 6], HOST),
    ] {
        let mut bytes = frame(OWN, b"x");
        bytes[..6].copy_from_slice(&to);
        // The source is whoever the frame names.
        bytes[6..12].copy_from_slice(&[2, 3, 4, 5, 6, 7]);
        ret!(k.sendto(fd, &bytes, 0, &ll(OWN, LO)), 15);
        let mut want = from(OWN, kind);
        want.0[12..18].copy_from_slice(&[2, 3, 4, 5, 6, 7]);
        eq!(next(k, hears).unwrap_or_default_frame(), (bytes, want));
    }
    Ok(())
}

fn cooked_to_be_sent(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM, 0)?;
    let hears = open(k, SOCK_RAW, OWN)?;
    let mut to = ll(OWN, LO);
    to.0[12..20].copy_from_slice(&[0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 1, 2]);
    // However long the address says to be, six bytes of it count; more than there are is an error.
    for length in [0, 5, 6, 8] {
        to.0[11] = length;
        ret!(k.sendto(fd, b"abc", 0, &to), 3);
        let (bytes, _) = next(k, hears).unwrap_or_default_frame();
        let mut want = frame(OWN, b"abc");
        want[..6].copy_from_slice(&[0xa, 0xb, 0xc, 0xd, 0xe, 0xf]);
        eq!((length, bytes), (length, want));
    }
    for length in [9, 255] {
        to.0[11] = length;
        err!(k.sendto(fd, b"abc", 0, &to), EINVAL);
    }
    ret!(k.bind(fd, &ll(OWN, LO)), 0);
    ret!(k.send(fd, b"abc", 0), 3);
    let (bytes, _) = next(k, hears).unwrap_or_default_frame();
    eq!(bytes, frame(OWN, b"abc"));
    // And read without its header.
    let (bytes, came) = next(k, fd).unwrap_or_default_frame();
    eq!((&bytes[..], came), (&b"abc"[..], from(OWN, HOST)));
    Ok(())
}

fn injected_for_the_host(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (fd, addr) = k.udp(AF_INET6)?;
    let tap = open(k, SOCK_DGRAM, IP6)?;
    ret!(k.sendto(fd, b"hello", 0, &addr), 5);
    let (mut packet, _) = next(k, tap).unwrap_or_default_frame();
    eq!(k.recv_now(fd)?, b"hello");
    // Its sum was left to an interface: as bytes it is wrong.
    ret!(k.sendto(tap, &packet, 0, &ll(IP6, LO)), packet.len() as i64);
    err!(k.recv(fd, &mut [0; 64], libc::MSG_DONTWAIT), EAGAIN);
    packet[46..48].fill(0);
    // Of the pseudo-header: the length, UDP's number, ::1 twice.
    let sum = checksum(&[&[0, 13 + 17 + 2], &packet[40..]].concat());
    packet[46..48].copy_from_slice(&sum.to_be_bytes());
    ret!(k.sendto(tap, &packet, 0, &ll(IP6, LO)), packet.len() as i64);
    eq!(k.recv_now(fd)?, b"hello");
    // A frame for another host is not taken, nor is one that says to be of another protocol.
    let raw = open(k, SOCK_RAW, 0)?;
    for (first, protocol) in [(2, IP6), (0, IP), (0, OWN)] {
        let mut bytes = frame(protocol, &packet);
        bytes[0] = first;
        ret!(k.sendto(raw, &bytes, 0, &ll(IP6, LO)), bytes.len() as i64);
        err!(k.recv(fd, &mut [0; 64], libc::MSG_DONTWAIT), EAGAIN);
    }
    ret!(
        k.sendto(raw, &frame(IP6, &packet), 0, &ll(0, LO)),
        packet.len() as i64 + 14
    );
    eq!(k.recv_now(fd)?, b"hello");
    Ok(())
}

/// fib_validate_source(): an address of the host's comes in from nobody else, unless accept_local; others of a subnet of lo do.
fn injected_with_own_sources(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        ret!(k.bind(fd, &Addr::any4(0)), 0);
        let port = k.sockname(fd)?.port();
        let tap = open(k, SOCK_RAW, 0)?;
        for (accepts, src, dst, comes) in [
            ("0", [10, 7, 0, 1], [10, 7, 0, 1], false),
            ("0", [10, 7, 0, 2], [10, 7, 0, 1], true),
            ("0", [10, 9, 0, 1], [10, 7, 0, 1], true),
            ("0", [127, 0, 0, 1], [10, 7, 0, 1], false),
            ("0", [10, 9, 0, 1], [127, 0, 0, 1], false),
            ("1", [10, 7, 0, 1], [10, 7, 0, 1], true),
            ("1", [127, 0, 0, 1], [127, 0, 0, 1], false),
        ] {
            let name = "ipv4/conf/lo/accept_local";
            ret!(k.set_tunable(name, accepts)?, 1);
            let mut packet = vec![0x45, 0, 0, 33, 0, 0, 0, 0, 8, 17, 0, 0];
            packet.extend([src, dst].concat());
            let sum = checksum(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet.extend([9u16, port, 13, 0].map(u16::to_be_bytes).concat());
            packet.extend(b"hello");
            let bytes = frame(IP, &packet);
            ret!(k.sendto(tap, &bytes, 0, &ll(IP, LO)), bytes.len() as i64);
            let mut buf = [0; 16];
            let (got, from) = k.recvfrom(fd, &mut buf, 0);
            let want = if comes { 5 } else { -i64::from(libc::EAGAIN) };
            eq!((accepts, src, dst, got), (accepts, src, dst, want));
            if comes {
                eq!(from, Addr::v4(src, 9));
            }
        }
        ret!(k.set_tunable("ipv4/conf/lo/accept_local", "0")?, 1);
        Ok(())
    })
}
