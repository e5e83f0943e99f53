//! PACKET_VNET_HDR: a virtio header in front of each frame of a packet socket.

use super::packet::{ALL, IP6, LO, OWN, frame, ll, open};
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::Msg;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, MSG_PEEK, MSG_TRUNC, SOCK_DGRAM, SOCK_RAW};

tests! {
    how_it_is_set [ROOT],
    a_header_before_each_frame [ROOT],
    room_for_the_header [ROOT],
    what_a_header_may_say [ROOT],
    lengths_with_a_header [ROOT],
    a_checksum_is_made [ROOT],
}

const SOL_PACKET: i32 = 263;
const PACKET_RX_RING: i32 = 5;
const PACKET_VNET_HDR: i32 = 15;
const PACKET_VNET_HDR_SZ: i32 = 24;
const PACKET_AUXDATA: i32 = 8;

const NEEDS_CSUM: u8 = 1;

/// `struct virtio_net_hdr`
fn header(flags: u8, gso: u8, headers: u16, size: u16, start: u16, offset: u16) -> Vec<u8> {
    let mut out = vec![flags, gso];
    for half in [headers, size, start, offset] {
        out.extend(half.to_ne_bytes());
    }
    out
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn shown(k: &mut dyn Kernel, fd: Fd) -> Got<(i32, i32)> {
    Ok((
        k.get_int(fd, SOL_PACKET, PACKET_VNET_HDR)?,
        k.get_int(fd, SOL_PACKET, PACKET_VNET_HDR_SZ)?,
    ))
}

fn how_it_is_set(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    eq!(shown(k, fd)?, (0, 0));
    for (value, want) in [(1, (1, 10)), (0, (0, 0)), (2, (1, 10)), (-1, (1, 10))] {
        ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR, value), 0);
        eq!((value, shown(k, fd)?), (value, want));
    }
    for (value, want) in [(12, (1, 12)), (0, (0, 0)), (10, (1, 10))] {
        ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, value), 0);
        eq!((value, shown(k, fd)?), (value, want));
    }
    for value in [1, 11, 13, -1, 256 + 10] {
        err!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, value), EINVAL);
    }
    for option in [PACKET_VNET_HDR, PACKET_VNET_HDR_SZ] {
        err!(k.setsockopt(fd, SOL_PACKET, option, &[1, 0]), EINVAL);
        ret!(k.setsockopt(fd, SOL_PACKET, option, &[0; 5]), 0);
        eq!(k.getsockopt(fd, SOL_PACKET, option, 2), (0, vec![0; 2]));
        let cooked = open(k, SOCK_DGRAM, 0)?;
        err!(k.set_int(cooked, SOL_PACKET, option, 10), EINVAL);
        err!(k.set_int(cooked, SOL_PACKET, option, 0), EINVAL);
        eq!(k.get_int(cooked, SOL_PACKET, option)?, 0);
        // struct tpacket_req
        let ringed = open(k, SOCK_RAW, 0)?;
        let ring: Vec<u8> = [4096, 2, 2048, 4].iter().flat_map(|n| int(*n)).collect();
        ret!(k.setsockopt(ringed, SOL_PACKET, PACKET_RX_RING, &ring), 0);
        err!(k.set_int(ringed, SOL_PACKET, option, 10), EBUSY);
        err!(k.set_int(ringed, SOL_PACKET, option, 0), EBUSY);
    }
    Ok(())
}

/// ~(sum of the pseudo-header), as it stands where the checksum will be.
fn pseudo_sum(addrs: &[u8], protocol: u8, len: usize) -> u16 {
    let mut sum = u32::from(protocol) + len as u32;
    for pair in addrs.chunks(2) {
        sum += u32::from(half(pair, 0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn a_header_before_each_frame(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for size in [10, 12] {
        for (family, network) in [(AF_INET, 20), (AF_INET6, 40)] {
            let fd = open(k, SOCK_RAW, ALL)?;
            ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, size), 0);
            ret!(k.set_int(fd, SOL_PACKET, PACKET_AUXDATA, 1), 0);
            let size = size as usize;
            let (udp, addr) = k.udp(family)?;
            ret!(k.sendto(udp, b"hello", 0, &addr), 5);
            let whole = 14 + network + 8 + 5;
            for _ in 0..2 {
                let mut msg = Msg::room(&[200]).control_room(64);
                ret!(k.recvmsg(fd, &mut msg, 0), size + whole);
                let got = msg.data((size + whole) as i64);
                let start = 14 + network as u16;
                let mut want = header(NEEDS_CSUM, 0, 0, 0, start, 6);
                want.resize(size, 0);
                eq!(&got[..size], &want[..]);
                eq!(&got[size + whole - 5..], b"hello");
                // What is there is to be summed with the rest.
                let packet = &got[size + 14..];
                let addrs = if family == AF_INET { 12..20 } else { 8..40 };
                let sum = pseudo_sum(&packet[addrs], 17, 13);
                eq!(half(packet, network + 6), sum);
                // tp_len and tp_snaplen know nothing of it.
                let aux = msg.cmsg(SOL_PACKET, PACKET_AUXDATA).map(|m| m.ints());
                eq!(
                    aux.map(|words| (words[1], words[2])),
                    Some((whole as i32, whole as i32))
                );
            }
            k.close(udp);
            let tcp = k.tcp(family)?;
            let mut buf = [0; 4000];
            let got = ok!(k.recv(fd, &mut buf, 0)) as usize;
            check!(got > size + 14 + network + 20, "{got}");
            eq!(
                &buf[..10],
                &header(NEEDS_CSUM, 0, 0, 0, 14 + network as u16, 16)[..]
            );
            let packet = &buf[size + 14..got];
            let addrs = if family == AF_INET { 12..20 } else { 8..40 };
            let sum = pseudo_sum(&packet[addrs], 6, packet.len() - network);
            eq!(half(packet, network + 16), sum);
            drop(tcp);
        }
    }
    // Nothing is left to be summed here.
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1), 0);
    let plain = open(k, SOCK_RAW, 0)?;
    ret!(k.sendto(plain, &frame(OWN, b"abc"), 0, &ll(OWN, LO)), 17);
    let mut buf = [0xff; 40];
    ret!(k.recv(fd, &mut buf, 0), 27);
    eq!(&buf[..10], &[0; 10]);
    Ok(())
}

fn room_for_the_header(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1), 0);
    let plain = open(k, SOCK_RAW, 0)?;
    let send = |k: &mut dyn Kernel, data: &[u8]| {
        ret!(
            k.sendto(plain, &frame(OWN, data), 0, &ll(OWN, LO)),
            14 + data.len()
        );
        Got::Ok(())
    };
    send(k, b"first")?;
    send(k, b"second")?;
    let mut buf = [0; 60];
    err!(k.recv(fd, &mut buf[..9], MSG_PEEK), EINVAL);
    ret!(k.recv(fd, &mut buf[..10], MSG_PEEK), 10);
    ret!(k.recv(fd, &mut buf[..10], MSG_PEEK | MSG_TRUNC), 29);
    ret!(k.recv(fd, &mut buf[..11], MSG_PEEK), 11);
    let mut msg = Msg::room(&[10]);
    ret!(k.recvmsg(fd, &mut msg, MSG_PEEK), 10);
    eq!(msg.flags(), MSG_TRUNC);
    // Without a look, it is lost.
    err!(k.recv(fd, &mut buf[..9], 0), EINVAL);
    ret!(k.recv(fd, &mut buf, 0), 30);
    eq!(&buf[24..30], b"second");
    err!(k.recv(fd, &mut buf, 0), EAGAIN);
    Ok(())
}

/// What comes of a frame with this header.
fn sent(k: &mut dyn Kernel, fd: Fd, front: &[u8], bytes: &[u8]) -> i64 {
    k.sendto(fd, &[front, bytes].concat(), 0, &ll(OWN, LO))
}

fn what_a_header_may_say(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    let fd = open(k, SOCK_RAW, 0)?;
    ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1), 0);
    let data: Vec<u8> = (0..40).collect();
    let bytes = frame(OWN, &data);
    for (front, goes) in [
        (header(0, 0, 0, 0, 0, 0), true),
        // Headers of 20 bytes at least, and what follows within the frame.
        (header(1, 0, 0, 0, 14, 6), false),
        (header(1, 0, 0, 0, 19, 6), false),
        (header(1, 0, 0, 0, 20, 2), true),
        (header(1, 0, 0, 0, 50, 2), true),
        (header(1, 0, 0, 0, 50, 3), false),
        (header(1, 0, 0, 0, 54, 0), false),
        (header(1, 0, 0, 0, 20, 41), false),
        (header(1, 0, 0, 0, 0xffff, 0xffff), false),
        (header(0, 0, 54, 0, 0, 0), true),
        (header(0, 0, 55, 0, 0, 0), false),
        (header(1, 0, 55, 0, 20, 2), false),
        // Other flags are for what comes.
        (header(2, 0, 0, 0, 0, 0), true),
        (header(0xf0, 0, 0, 0, 0, 0), true),
        (header(0, 0, 0, 9, 0, 0), true),
        // Segments: of no size, of no known kind, of no checksum, and one that is not cut.
        (header(1, 1, 54, 0, 34, 16), false),
        (header(1, 2, 54, 10, 34, 16), false),
        (header(0, 0x80, 0, 0, 0, 0), false),
        (header(0, 1, 0, 100, 0, 0), false),
        (header(0, 3, 0, 100, 0, 0), false),
        (header(0, 5, 0, 100, 0, 0), false),
        (header(1, 1, 54, 10, 34, 16), true),
        (header(1, 1, 54, 10, 34, 14), false),
        (header(1, 1, 54, 10, 35, 16), false),
        (header(1, 4, 54, 10, 34, 16), false),
        (header(1, 5, 54, 10, 44, 6), true),
    ] {
        let got = sent(k, fd, &front, &bytes);
        let want = if goes { 64 } else { -i64::from(libc::EINVAL) };
        eq!((&front, got), (&front, want));
        if goes {
            // What is asked for is not done before the frame leaves the host.
            let mut buf = [0; 100];
            eq!((&front, k.recv(hears, &mut buf, 0)), (&front, 54));
            eq!(&buf[..54], &bytes[..]);
        }
        err!(k.recv(hears, &mut [0; 9], 0), EAGAIN);
    }
    Ok(())
}

fn lengths_with_a_header(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    let fd = open(k, SOCK_RAW, 0)?;
    for size in [10, 12] {
        ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, size), 0);
        let size = size as usize;
        for (len, want) in [
            (0, -libc::EINVAL),
            (size - 1, -libc::EINVAL),
            (size, -libc::EINVAL),
            (size + 13, -libc::EINVAL),
            (size + 14, size as i32 + 14),
            (size + 14 + 65536, size as i32 + 14 + 65536),
            (size + 14 + 65537, -libc::EMSGSIZE),
        ] {
            let got = sent(k, fd, &[], &vec![0; len]);
            eq!((size, len, got), (size, len, i64::from(want)));
        }
        // What goes beyond the header that is known is not looked at.
        let mut front = header(0, 0, 0, 0, 0, 0);
        front.resize(size, 0x77);
        while k.recv(hears, &mut [0; 9], 0) >= 0 {}
        ret!(sent(k, fd, &front, &frame(OWN, b"abc")), size + 17);
        let mut buf = [0; 100];
        ret!(k.recv(hears, &mut buf, 0), 17);
        eq!(&buf[14..17], b"abc");
    }
    Ok(())
}

/// A datagram whose checksum is left to the interface arrives where the host is its own neighbour.
fn a_checksum_is_made(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    ret!(k.set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1), 0);
    let (udp, addr) = k.udp(AF_INET6)?;
    let mut packet = vec![0x60, 0, 0, 0, 0, 13, 17, 64];
    let mut lo = [0; 16];
    lo[15] = 1;
    packet.extend([lo, lo].concat());
    packet.extend(9u16.to_be_bytes());
    packet.extend(addr.port().to_be_bytes());
    packet.extend(13u16.to_be_bytes());
    packet.extend(pseudo_sum(&[lo, lo].concat(), 17, 13).to_be_bytes());
    packet.extend(b"hello");
    let to = ll(IP6, LO);
    let send = |k: &mut dyn Kernel, front: &[u8]| {
        let bytes = [front, &frame(IP6, &packet)].concat();
        k.sendto(fd, &bytes, 0, &to)
    };
    // What stands there is wrong, and a flag that is for what comes does not make it right.
    for flags in [0, 2] {
        ret!(send(k, &header(flags, 0, 0, 0, 54, 6)), 77);
        err!(k.recv(udp, &mut [0; 9], 0), EAGAIN);
    }
    ret!(send(k, &header(NEEDS_CSUM, 0, 0, 0, 54, 6)), 77);
    let mut buf = [0; 9];
    let (got, from) = k.recvfrom(udp, &mut buf, 0);
    eq!((got, &buf[..5]), (5, &b"hello"[..]));
    eq!(from, Addr::lo6(9));
    Ok(())
}
