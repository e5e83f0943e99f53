//! /dev/net/tun: IFF_VNET_HDR with checksums and segments that are left to the other side, IFF_MULTI_QUEUE.

use super::tun::{
    NO_PI, OTHER, OURS, TUN, TUNGETIFF, TUNSETOFFLOAD, TUNSETQUEUE, another, half, ifreq, packet,
    set_iff, set_up, sum, tun,
};
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, O_NONBLOCK, SOCK_DGRAM};
use std::time::Duration;

tests! {
    size_of_the_header [ROOT | FILES],
    what_may_be_offloaded [ROOT | FILES],
    checksums_left_to_the_reader [ROOT | FILES],
    checksums_left_to_the_host [ROOT | FILES],
    datagrams_that_come_as_one [ROOT | FILES],
    headers_that_are_none [ROOT | FILES],
    several_queues [ROOT | FILES],
    a_queue_goes_and_comes_back [ROOT | FILES],
}

const TUNGETVNETHDRSZ: u64 = 0x8004_54d7;
const TUNSETVNETHDRSZ: u64 = 0x4004_54d8;
const TUNSETVNETLE: u64 = 0x4004_54dc;
const TUNGETVNETLE: u64 = 0x8004_54dd;
const TUNSETVNETBE: u64 = 0x4004_54de;
const TUNGETVNETBE: u64 = 0x8004_54df;

const MULTI_QUEUE: u16 = 0x100;
const ATTACH: u16 = 0x200;
const DETACH: u16 = 0x400;
const VNET_HDR: u16 = 0x4000;

const CSUM: u64 = 1;

fn number(k: &mut dyn Kernel, fd: Fd, command: u64, value: i32) -> (i64, i32) {
    let mut word = value;
    let got = k.ioctl_raw(fd, command, (&raw mut word) as u64);
    (got, word)
}

fn size_of_the_header(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "vnet0", TUN | NO_PI | VNET_HDR)?;
    eq!(
        half(&ifreq(k, fd, TUNGETIFF, "", &[]).1),
        TUN | NO_PI | VNET_HDR
    );
    eq!(number(k, fd, TUNGETVNETHDRSZ, 0), (0, 10));
    for (size, left) in [(12, 12), (9, 12), (0, 12), (-1, 12), (20, 20), (10, 10)] {
        let got = number(k, fd, TUNSETVNETHDRSZ, size).0;
        let want = if left == size {
            0
        } else {
            -i64::from(libc::EINVAL)
        };
        eq!((size, got), (size, want));
        eq!(number(k, fd, TUNGETVNETHDRSZ, 0), (0, left));
    }
    eq!(number(k, fd, TUNGETVNETLE, 7), (0, 0));
    ret!(number(k, fd, TUNSETVNETLE, 5).0, 0);
    eq!(number(k, fd, TUNGETVNETLE, 7), (0, 1));
    // Of machines that can be both.
    err!(number(k, fd, TUNGETVNETBE, 0).0, EINVAL);
    err!(number(k, fd, TUNSETVNETBE, 1).0, EINVAL);
    err!(k.ioctl_raw(fd, TUNSETVNETHDRSZ, crate::mem::BAD), EFAULT);
    k.close(fd);
    let fd = another(k)?;
    err!(number(k, fd, TUNGETVNETHDRSZ, 0).0, EBADFD);
    k.close(fd);
    Ok(())
}

fn what_may_be_offloaded(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "vnet1", TUN | NO_PI | VNET_HDR)?;
    for good in [0, 1, 3, 5, 7, 0xf, 0x11, 0x61, 0x7f] {
        eq!((good, k.ioctl_raw(fd, TUNSETOFFLOAD, good)), (good, 0));
    }
    for bad in [2, 4, 6, 8, 9, 0x10, 0x21, 0x41, 0x60, 0x1000] {
        let want = -i64::from(libc::EINVAL);
        eq!((bad, k.ioctl_raw(fd, TUNSETOFFLOAD, bad)), (bad, want));
    }
    k.close(fd);
    Ok(())
}

/// What the checksum of a datagram from `OURS` to `OTHER` begins with: its pseudo header (RFC 768).
fn pseudo(from: [u8; 4], to: [u8; 4], len: u16) -> [u8; 2] {
    let mut bytes = [from, to].concat();
    bytes.extend([0, 17]);
    bytes.extend(len.to_be_bytes());
    bytes.extend([0, 0]);
    sum(&mut bytes, 12);
    // Not the complement.
    [!bytes[12], !bytes[13]]
}

fn socket(k: &mut dyn Kernel, port: u16) -> Got<Fd> {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | O_NONBLOCK, 0));
    ok!(k.bind(fd, &Addr::v4(OURS, port)));
    Ok(fd)
}

fn checksums_left_to_the_reader(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "vnet2", TUN | NO_PI | VNET_HDR)?;
    set_up(k, "vnet2")?;
    let s = socket(k, 700)?;
    // Without an offload the header says nothing, and the checksum is right.
    ret!(k.sendto(s, b"hello", 0, &Addr::v4(OTHER, 900)), 5);
    let mut whole = packet(k, fd, 10)?;
    eq!(whole.len(), 10 + 28 + 5);
    eq!(&whole[..10], &[0; 10]);
    let said = [whole[36], whole[37]];
    let mut udp = [OURS, OTHER].concat();
    udp.extend([0, 17, 0, 13]);
    udp.extend(whole.split_off(30));
    sum(&mut udp, 18);
    eq!(said, [udp[18], udp[19]]);
    // With one it is the sum of the pseudo header, and where it goes.
    ret!(k.ioctl_raw(fd, TUNSETOFFLOAD, CSUM), 0);
    ret!(k.sendto(s, b"hello", 0, &Addr::v4(OTHER, 900)), 5);
    let whole = packet(k, fd, 10)?;
    let half = |at: usize| u16::from_ne_bytes([whole[at], whole[at + 1]]);
    eq!((whole[0], whole[1], half(6), half(8)), (1, 0, 20, 6));
    eq!([whole[36], whole[37]], pseudo(OURS, OTHER, 13));
    // A longer header is the same with zeros.
    ret!(number(k, fd, TUNSETVNETHDRSZ, 12).0, 0);
    ret!(k.sendto(s, b"hello", 0, &Addr::v4(OTHER, 900)), 5);
    let longer = packet(k, fd, 12)?;
    eq!(&longer[..10], &whole[..10]);
    eq!(&longer[10..12], &[0, 0]);
    k.close(s);
    k.close(fd);
    Ok(())
}

/// A datagram from the other end whose checksum is left to the host, behind a header.
fn datagram(kind: u8, size: u16, data: &[u8]) -> Vec<u8> {
    let len = 8 + data.len() as u16;
    let mut out = vec![1, kind];
    for n in [28, size, 20, 6] {
        out.extend(u16::to_ne_bytes(n));
    }
    let mut ip = vec![0x45, 0];
    ip.extend((20 + len).to_be_bytes());
    ip.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    ip.extend(OTHER);
    ip.extend(OURS);
    sum(&mut ip, 10);
    out.extend(ip);
    out.extend(900_u16.to_be_bytes());
    out.extend(700_u16.to_be_bytes());
    out.extend(len.to_be_bytes());
    out.extend(pseudo(OTHER, OURS, len));
    out.extend(data);
    out
}

fn checksums_left_to_the_host(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "vnet3", TUN | NO_PI | VNET_HDR)?;
    set_up(k, "vnet3")?;
    let s = socket(k, 700)?;
    let good = datagram(0, 0, b"hello");
    ret!(k.write(fd, &good), good.len());
    k.pause(Duration::from_millis(20));
    let mut room = [0; 64];
    ret!(k.recv(s, &mut room, 0), 5);
    eq!(&room[..5], b"hello");
    // As it is, it would be wrong.
    let mut bad = good;
    bad[0] = 0;
    ret!(k.write(fd, &bad), bad.len());
    k.pause(Duration::from_millis(20));
    err!(k.recv(s, &mut room, 0), EAGAIN);
    k.close(s);
    k.close(fd);
    Ok(())
}

fn datagrams_that_come_as_one(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "vnet4", TUN | NO_PI | VNET_HDR)?;
    set_up(k, "vnet4")?;
    let s = socket(k, 700)?;
    let data: Vec<u8> = (0..250).map(|n| n as u8).collect();
    // VIRTIO_NET_HDR_GSO_UDP_L4
    let large = datagram(5, 100, &data);
    ret!(k.write(fd, &large), large.len());
    k.pause(Duration::from_millis(20));
    let mut room = [0; 512];
    for wanted in [&data[..100], &data[100..200], &data[200..]] {
        ret!(k.recv(s, &mut room, 0), wanted.len());
        eq!(&room[..wanted.len()], wanted);
    }
    err!(k.recv(s, &mut room, 0), EAGAIN);
    k.close(s);
    k.close(fd);
    Ok(())
}

fn headers_that_are_none(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "vnet5", TUN | NO_PI | VNET_HDR)?;
    set_up(k, "vnet5")?;
    let good = datagram(0, 0, b"hello");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (what, bytes) in [
        ("short", good[..9].to_vec()),
        ("no packet", good[..10].to_vec()),
        ("longer than the packet", with(2, 200)),
        ("checksum behind the packet", with(6, 200)),
        ("no such kind", with(1, 7)),
        ("a kind without a size", with(1, 5)),
    ] {
        let want = -i64::from(libc::EINVAL);
        eq!((what, k.write(fd, &bytes)), (what, want));
    }
    k.close(fd);
    Ok(())
}

/// Two queues of one interface that is up.
fn two(k: &mut dyn Kernel, name: &str) -> Got<[Fd; 2]> {
    let one = tun(k, name, TUN | NO_PI | MULTI_QUEUE)?;
    let other = another(k)?;
    eq!(
        set_iff(k, other, name, TUN | NO_PI | MULTI_QUEUE),
        (0, name.to_string())
    );
    set_up(k, name)?;
    Ok([one, other])
}

fn set_queue(k: &mut dyn Kernel, fd: Fd, flags: u16) -> i64 {
    ifreq(k, fd, TUNSETQUEUE, "", &flags.to_ne_bytes()).0
}

fn several_queues(k: &mut dyn Kernel) -> Outcome {
    let all = two(k, "queue0")?;
    let s = socket(k, 700)?;
    eq!(
        half(&ifreq(k, all[1], TUNGETIFF, "", &[]).1),
        TUN | NO_PI | MULTI_QUEUE
    );
    // What is answered goes where it came from.
    for (n, fd) in [(0, all[0]), (1, all[1]), (2, all[0]), (3, all[1])] {
        let mut from = datagram(0, 0, b"hello").split_off(10);
        from[20..22].copy_from_slice(&(2000_u16 + n).to_be_bytes());
        let mut udp = [OTHER, OURS].concat();
        udp.extend([0, 17, 0, 13]);
        udp.extend(from.split_off(20));
        sum(&mut udp, 18);
        from.extend(&udp[12..]);
        ret!(k.write(fd, &from), 33);
        k.pause(Duration::from_millis(20));
        let mut room = [0; 64];
        ret!(k.recv(s, &mut room, 0), 5);
        ret!(k.sendto(s, b"back", 0, &Addr::v4(OTHER, 2000 + n)), 4);
        eq!(packet(k, fd, 0)?.len(), 32);
    }
    k.close(s);
    // It is there as long as one of them is.
    k.close(all[0]);
    eq!(ifreq(k, all[1], TUNGETIFF, "", &[]).0, 0);
    let third = another(k)?;
    let (got, _) = set_iff(k, third, "queue0", TUN | NO_PI);
    err!(got, EINVAL);
    eq!(set_iff(k, third, "queue0", TUN | NO_PI | MULTI_QUEUE).0, 0);
    k.close(all[1]);
    k.close(third);
    let single = tun(k, "queue1", TUN | NO_PI)?;
    let more = another(k)?;
    let (got, _) = set_iff(k, more, "queue1", TUN | NO_PI | MULTI_QUEUE);
    err!(got, EINVAL);
    let (got, _) = set_iff(k, more, "queue1", TUN | NO_PI);
    err!(got, EBUSY);
    k.close(single);
    k.close(more);
    Ok(())
}

fn a_queue_goes_and_comes_back(k: &mut dyn Kernel) -> Outcome {
    let [one, other] = two(k, "queue2")?;
    let s = socket(k, 700)?;
    for (flags, want) in [
        (0, -libc::EINVAL),
        (ATTACH, -libc::EINVAL),
        (DETACH, 0),
        (DETACH, -libc::EINVAL),
    ] {
        eq!(
            (flags, set_queue(k, other, flags)),
            (flags, i64::from(want))
        );
    }
    eq!(
        half(&ifreq(k, other, TUNGETIFF, "", &[]).1),
        TUN | NO_PI | MULTI_QUEUE | DETACH
    );
    // All that leaves goes to the one that is left.
    for port in 900..908 {
        ret!(k.sendto(s, b"hello", 0, &Addr::v4(OTHER, port)), 5);
        eq!(packet(k, one, 0)?.len(), 33);
    }
    ret!(set_queue(k, other, ATTACH), 0);
    ret!(set_queue(k, one, DETACH), 0);
    for port in 900..908 {
        ret!(k.sendto(s, b"hello", 0, &Addr::v4(OTHER, port)), 5);
        eq!(packet(k, other, 0)?.len(), 33);
    }
    k.close(s);
    k.close(other);
    k.close(one);
    let single = tun(k, "queue3", TUN | NO_PI)?;
    err!(set_queue(k, single, DETACH), EINVAL);
    k.close(single);
    let fresh = another(k)?;
    err!(set_queue(k, fresh, DETACH), EINVAL);
    err!(set_queue(k, fresh, ATTACH), EINVAL);
    check!(fresh >= 0, "opened");
    k.close(fresh);
    Ok(())
}
