//! What follows the packet that an ICMP error quotes (RFC 4884): IP_RECVERR_RFC4884 and IPV6_RECVERR_RFC4884.

use super::errqueue_icmp::{checksum, quoted, two};
use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_IPV6, MSG_ERRQUEUE,
    SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
};

tests! {
    option_of_ipv4,
    option_of_ipv6,
    where_it_begins [ROOT],
    bad_ones [ROOT],
    messages_without_one [ROOT],
    where_it_begins_in_ipv6 [ROOT],
}

const RFC4884: i32 = 26;
const RFC4884_6: i32 = 31;

fn option_of_ipv4(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET, SOCK_DGRAM),
        (AF_INET6, SOCK_DGRAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        eq!(k.get_int(fd, IPPROTO_IP, RFC4884)?, 0);
        ret!(k.set_int(fd, IPPROTO_IP, RFC4884, 1), 0);
        eq!(k.get_int(fd, IPPROTO_IP, RFC4884)?, 1);
        for value in [2, -1] {
            err!(k.set_int(fd, IPPROTO_IP, RFC4884, value), EINVAL);
        }
        ret!(k.setsockopt(fd, IPPROTO_IP, RFC4884, &[]), 0);
        eq!(k.get_int(fd, IPPROTO_IP, RFC4884)?, 0);
        ret!(k.setsockopt(fd, IPPROTO_IP, RFC4884, &[1]), 0);
        eq!(k.getsockopt(fd, IPPROTO_IP, RFC4884, 1), (0, vec![1]));
    }
    Ok(())
}

fn option_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET6, kind, 0));
        eq!(k.get_int(fd, IPPROTO_IPV6, RFC4884_6)?, 0);
        ret!(k.set_int(fd, IPPROTO_IPV6, RFC4884_6, 1), 0);
        eq!(k.get_int(fd, IPPROTO_IPV6, RFC4884_6)?, 1);
        for value in [2, -1] {
            err!(k.set_int(fd, IPPROTO_IPV6, RFC4884_6, value), EINVAL);
        }
        for len in 0..4 {
            err!(
                k.setsockopt(fd, IPPROTO_IPV6, RFC4884_6, &[1, 0, 0][..len]),
                EINVAL
            );
        }
    }
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.set_int(fd, IPPROTO_IPV6, RFC4884_6, 1), ENOPROTOOPT);
    Ok(())
}

/// An extension of version 2 with these objects, and the right checksum.
fn extension(objects: &[u8]) -> Vec<u8> {
    let mut all = vec![0x20, 0, 0, 0];
    all.extend(objects);
    let sum = checksum(&all);
    all[2..4].copy_from_slice(&sum.to_be_bytes());
    all
}

/// An object of eight octets.
const OBJECT: [u8; 8] = [0, 8, 1, 1, b'a', b'b', b'c', b'd'];

/// A datagram of `len` octets and a message that quotes it; `len` makes it a whole number of words.
fn message(
    v6: bool,
    kind: u8,
    (from, to): (u16, u16),
    len: usize,
    words: u8,
    behind: &[u8],
) -> Vec<u8> {
    let mut rest = (8 + len as u16).to_be_bytes().to_vec();
    rest.extend([0, 0]);
    rest.resize(4 + len, b'D');
    let mut message = vec![kind, if kind == 3 && !v6 { 3 } else { 0 }, 0, 0, 0, 0, 0, 0];
    message[if v6 { 4 } else { 5 }] = words;
    message.extend(quoted(v6, 17, from, to, &rest));
    message.extend(behind);
    if !v6 {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// What the entry of the error queue says: how long the payload is, and `struct sock_ee_data_rfc4884`.
fn told(k: &mut dyn Kernel, fd: Fd, v6: bool) -> Got<(usize, u16, u8)> {
    let (level, name) = match v6 {
        false => (IPPROTO_IP, libc::IP_RECVERR),
        true => (IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    let mut msg = Msg::room(&[2000]).control_room(256);
    let n = ok!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE));
    let error = msg.cmsg(level, name).map(|c| c.data).unwrap_or_default();
    k.get_int(fd, SOL_SOCKET, libc::SO_ERROR)?;
    eq!(error[15], 0);
    Ok((
        n as usize,
        u16::from_ne_bytes([error[12], error[13]]),
        error[14],
    ))
}

/// A socket that wants to know, its ports, and who sends messages.
fn scene(k: &mut dyn Kernel, v6: bool) -> Got<(Fd, (u16, u16), Fd)> {
    let family = if v6 { AF_INET6 } else { AF_INET };
    let (fd, port, there) = two(k, family)?;
    let (level, error, more, protocol) = match v6 {
        false => (IPPROTO_IP, libc::IP_RECVERR, RFC4884, IPPROTO_ICMP),
        true => (IPPROTO_IPV6, libc::IPV6_RECVERR, RFC4884_6, IPPROTO_ICMPV6),
    };
    ret!(k.set_int(fd, level, error, 1), 0);
    ret!(k.set_int(fd, level, more, 1), 0);
    let raw = ok!(k.socket(family, SOCK_RAW | NB, protocol));
    Ok((fd, (port, there.port()), raw))
}

fn send(k: &mut dyn Kernel, raw: Fd, family: i32, message: &[u8]) -> Outcome {
    ret!(
        k.sendto(raw, message, 0, &Addr::lo(family, 0)),
        message.len()
    );
    Ok(())
}

fn where_it_begins(k: &mut dyn Kernel) -> Outcome {
    let (fd, ports, raw) = scene(k, false)?;
    for kind in [3, 11, 12] {
        for len in [100, 104, 400] {
            let words = ((28 + len) / 4) as u8;
            let m = message(false, kind, ports, len, words, &extension(&OBJECT));
            send(k, raw, AF_INET, &m)?;
            eq!(
                (kind, told(k, fd, false)?),
                (kind, (len + 12, len as u16, 0))
            );
            let two = extension(&[OBJECT, OBJECT].concat());
            let m = message(false, kind, ports, len, words, &two);
            send(k, raw, AF_INET, &m)?;
            eq!(
                (kind, told(k, fd, false)?),
                (kind, (len + 20, len as u16, 0))
            );
        }
    }
    // Who does not ask is told of the bytes alone.
    ret!(k.set_int(fd, IPPROTO_IP, RFC4884, 0), 0);
    let m = message(false, 3, ports, 100, 32, &extension(&OBJECT));
    send(k, raw, AF_INET, &m)?;
    eq!(told(k, fd, false)?, (112, 0, 0));
    Ok(())
}

fn bad_ones(k: &mut dyn Kernel) -> Outcome {
    let (fd, ports, raw) = scene(k, false)?;
    let mut unsummed = vec![0x20, 0, 0, 0];
    unsummed.extend(OBJECT);
    let mut wrong = unsummed.clone();
    wrong[2..4].copy_from_slice(&[0x12, 0x34]);
    let mut other = unsummed.clone();
    other[0] = 0x10;
    let long = extension(&[0, 12, 1, 1, b'a', b'b', b'c', b'd']);
    let small = extension(&[0, 2, 1, 1]);
    let half = extension(&[0, 8]);
    for (bytes, flags) in [
        (&unsummed, 0),
        (&wrong, 1),
        // Of another version nothing is known.
        (&other, 0),
        (&long, 1),
        (&small, 1),
        (&half, 1),
        (&extension(&[]), 0),
    ] {
        let m = message(false, 3, ports, 100, 32, bytes);
        send(k, raw, AF_INET, &m)?;
        eq!(
            (bytes, told(k, fd, false)?),
            (bytes, (100 + bytes.len(), 100, flags))
        );
    }
    Ok(())
}

fn messages_without_one(k: &mut dyn Kernel) -> Outcome {
    let (fd, ports, raw) = scene(k, false)?;
    let good = extension(&OBJECT);
    for (len, words, behind) in [
        // It says nothing; the packet is shorter than 128 octets; it goes beyond the end, and up to it.
        (100, 0, &good[..]),
        (96, 31, &good),
        (100, 255, &good),
        (100, 32, &[]),
        (100, 32, &good[..3]),
    ] {
        let m = message(false, 3, ports, len, words, behind);
        send(k, raw, AF_INET, &m)?;
        eq!(
            (words, told(k, fd, false)?),
            (words, (len + behind.len(), 0, 0))
        );
    }
    Ok(())
}

fn where_it_begins_in_ipv6(k: &mut dyn Kernel) -> Outcome {
    let (fd, ports, raw) = scene(k, true)?;
    // In words of eight octets.
    for kind in [1, 3] {
        for len in [80, 160] {
            let words = ((48 + len) / 8) as u8;
            let m = message(true, kind, ports, len, words, &extension(&OBJECT));
            send(k, raw, AF_INET6, &m)?;
            eq!(
                (kind, told(k, fd, true)?),
                (kind, (len + 12, len as u16, 0))
            );
        }
    }
    // A parameter problem has none.
    let m = message(true, 4, ports, 80, 0, &extension(&OBJECT));
    send(k, raw, AF_INET6, &m)?;
    eq!(told(k, fd, true)?, (92, 0, 0));
    Ok(())
}
