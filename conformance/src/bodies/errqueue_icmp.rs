//! ICMP errors of every kind, as a raw socket brings them to lo: who is told, and what.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::as_int;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, WB};
use libc::{
    AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP,
    MSG_ERRQUEUE, POLLERR, SOCK_DGRAM, SOCK_RAW,
};

tests! {
    each_kind_with_recverr [ROOT],
    each_kind_of_ipv6_with_recverr [ROOT],
    hard_errors_of_a_connection [ROOT],
    hard_errors_of_an_ipv6_connection [ROOT],
    about_somebody_else [ROOT],
    of_a_connection_being_made [ROOT],
    control_messages_of_an_entry,
    time_of_an_entry,
}

/// Type, code, errno, whether a connected socket is told without asking, and ee_info.
type Case = (u8, u8, i32, bool, u32);

const V4: [Case; 17] = [
    (3, 0, libc::ENETUNREACH, false, 0),
    (3, 1, libc::EHOSTUNREACH, false, 0),
    (3, 2, libc::ENOPROTOOPT, true, 0),
    (3, 3, libc::ECONNREFUSED, true, 0),
    (3, 5, libc::EOPNOTSUPP, false, 0),
    (3, 6, libc::ENETUNREACH, true, 0),
    (3, 7, libc::EHOSTDOWN, true, 0),
    (3, 8, libc::ENONET, true, 0),
    (3, 9, libc::ENETUNREACH, true, 0),
    (3, 10, libc::EHOSTUNREACH, true, 0),
    (3, 11, libc::ENETUNREACH, false, 0),
    (3, 12, libc::EHOSTUNREACH, false, 0),
    (3, 13, libc::EHOSTUNREACH, true, 0),
    (3, 14, libc::EHOSTUNREACH, true, 0),
    (3, 15, libc::EHOSTUNREACH, true, 0),
    (11, 0, libc::EHOSTUNREACH, false, 0),
    (12, 0, libc::EPROTO, true, 9),
];

const V6: [Case; 10] = [
    (1, 0, libc::ENETUNREACH, false, 0),
    (1, 1, libc::EACCES, true, 0),
    (1, 2, libc::EHOSTUNREACH, false, 0),
    (1, 3, libc::EHOSTUNREACH, false, 0),
    (1, 4, libc::ECONNREFUSED, true, 0),
    (1, 5, libc::EACCES, true, 0),
    (1, 6, libc::EACCES, true, 0),
    (3, 0, libc::EHOSTUNREACH, false, 0),
    (4, 0, libc::EPROTO, true, 41),
    (4, 1, libc::EPROTO, true, 41),
];

/// RFC 1071.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// A packet of this protocol from one port of lo to another, as an error quotes it.
pub(super) fn quoted(v6: bool, protocol: u8, from: u16, to: u16, rest: &[u8]) -> Vec<u8> {
    let mut transport = [from.to_be_bytes(), to.to_be_bytes()].concat();
    transport.extend(rest);
    let len = transport.len() as u16;
    let mut packet = Vec::new();
    if v6 {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend(len.to_be_bytes());
        packet.extend([protocol, 64]);
        for _ in 0..2 {
            packet.extend([0; 15]);
            packet.push(1);
        }
    } else {
        packet.extend([0x45, 0]);
        packet.extend((len + 20).to_be_bytes());
        packet.extend([
            0, 1, 0x40, 0, 64, protocol, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1,
        ]);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet.extend(transport);
    packet
}

/// A UDP datagram with the payload "abc".
fn datagram(v6: bool, from: u16, to: u16) -> Vec<u8> {
    quoted(v6, 17, from, to, &[0, 11, 0, 0, b'a', b'b', b'c'])
}

/// Sends an ICMP error to lo.
fn bring(k: &mut dyn Kernel, v6: bool, case: &Case, quoted: &[u8]) -> Outcome {
    let (family, protocol) = match v6 {
        false => (AF_INET, IPPROTO_ICMP),
        true => (AF_INET6, IPPROTO_ICMPV6),
    };
    let raw = ok!(k.socket(family, SOCK_RAW | NB, protocol));
    let (kind, code, _, _, info) = *case;
    let rest = match v6 {
        // The pointer is one byte there.
        false => info << 24,
        true => info,
    };
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest.to_be_bytes());
    message.extend(quoted);
    if !v6 {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    ret!(
        k.sendto(raw, &message, 0, &Addr::lo(family, 0)),
        message.len()
    );
    k.close(raw);
    Ok(())
}

/// A UDP socket of lo, and a port there that nobody has.
pub(super) fn two(k: &mut dyn Kernel, family: i32) -> Got<(Fd, u16, Addr)> {
    let (fd, addr) = k.udp(family)?;
    let there = k.closed_port(family, SOCK_DGRAM)?;
    Ok((fd, addr.port(), there))
}

fn with_recverr(k: &mut dyn Kernel, v6: bool, case: &Case) -> Outcome {
    let family = if v6 { AF_INET6 } else { AF_INET };
    let (fd, port, there) = two(k, family)?;
    let (level, name) = if v6 {
        (IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (IPPROTO_IP, libc::IP_RECVERR)
    };
    ret!(k.set_int(fd, level, name, 1), 0);
    bring(k, v6, case, &datagram(v6, port, there.port()))?;
    mask!(k, fd, WB | POLLERR);
    let mut msg = Msg::room(&[64]).name_room(28).control_room(128);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE), 3);
    eq!(msg.data(3), b"abc");
    eq!(msg.peer(), there);
    let data = msg.cmsgs()[0].data.clone();
    let (kind, code, errno, _, info) = *case;
    let origin = if v6 { 3 } else { 2 };
    eq!((case, as_int(&data[..4])), (case, errno));
    eq!((case, &data[4..8]), (case, &[origin, kind, code, 0][..]));
    eq!((case, as_int(&data[8..12])), (case, info as i32));
    eq!(as_int(&data[12..16]), 0);
    eq!(data[16..].to_vec(), Addr::lo(family, 0).0);
    mask!(k, fd, WB);
    k.close(fd);
    Ok(())
}

fn each_kind_with_recverr(k: &mut dyn Kernel) -> Outcome {
    V4.iter().try_for_each(|case| with_recverr(k, false, case))
}

fn each_kind_of_ipv6_with_recverr(k: &mut dyn Kernel) -> Outcome {
    V6.iter().try_for_each(|case| with_recverr(k, true, case))
}

fn hard_errors(k: &mut dyn Kernel, v6: bool, case: &Case) -> Outcome {
    let family = if v6 { AF_INET6 } else { AF_INET };
    let (fd, port, there) = two(k, family)?;
    let quoted = datagram(v6, port, there.port());
    // Who is not connected is told nothing.
    bring(k, v6, case, &quoted)?;
    mask!(k, fd, WB);
    ret!(k.connect(fd, &there), 0);
    bring(k, v6, case, &quoted)?;
    let (.., errno, fatal, _) = *case;
    let told = if fatal { errno } else { 0 };
    eq!((case, k.so_error(fd)?), (case, told));
    k.close(fd);
    Ok(())
}

fn hard_errors_of_a_connection(k: &mut dyn Kernel) -> Outcome {
    V4.iter().try_for_each(|case| hard_errors(k, false, case))
}

fn hard_errors_of_an_ipv6_connection(k: &mut dyn Kernel) -> Outcome {
    V6.iter().try_for_each(|case| hard_errors(k, true, case))
}

fn about_somebody_else(k: &mut dyn Kernel) -> Outcome {
    let (fd, port, there) = two(k, AF_INET)?;
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_RECVERR, 1), 0);
    bring(k, false, &V4[3], &datagram(false, port ^ 1, there.port()))?;
    mask!(k, fd, WB);
    // Of fragments that did not meet, and of a code that nobody has.
    for case in [(11, 1, 0, false, 0), (3, 16, 0, false, 0)] {
        bring(k, false, &case, &datagram(false, port, there.port()))?;
        mask!(k, fd, WB);
    }
    // Of a connected socket, what it sent to another.
    ret!(k.connect(fd, &there), 0);
    bring(k, false, &V4[3], &datagram(false, port, there.port() ^ 1))?;
    mask!(k, fd, WB);
    // Quoted too short to say whose it was.
    let short = &datagram(false, port, there.port())[..22];
    bring(k, false, &V4[3], short)?;
    mask!(k, fd, WB);
    Ok(())
}

fn of_a_connection_being_made(k: &mut dyn Kernel) -> Outcome {
    // The queue of the listener is full: a third SYN stays without an answer.
    let (_listener, addr) = k.tcp_listener(AF_INET, 0)?;
    let mut fillers = Vec::new();
    for _ in 0..2 {
        let fd = k.tcp_socket(AF_INET, NB)?;
        let _ = k.connect(fd, &addr);
        fillers.push(fd);
    }
    for recverr in [0, 1] {
        let raw = ok!(k.socket(AF_INET, SOCK_RAW | NB, IPPROTO_TCP));
        let fd = k.tcp_socket(AF_INET, NB)?;
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_RECVERR, recverr), 0);
        err!(k.connect(fd, &addr), EINPROGRESS);
        mask!(k, fd, 0);
        // Its number, which an error has to name.
        let port = k.sockname(fd)?.port();
        let mut syn = None;
        let mut buf = [0; 128];
        loop {
            let n = k.recv(raw, &mut buf, 0);
            if n < 40 {
                break;
            }
            if buf[20..22] == port.to_be_bytes() {
                syn = Some(buf[24..28].to_vec());
            }
        }
        k.close(raw);
        let Some(seq) = syn else {
            return crate::check::fail("no SYN was seen", format!("of port {port}"));
        };
        let about = |seq: &[u8]| {
            let rest = [seq, &[0; 4], &[0x50, 2, 1, 0, 0, 0, 0, 0]].concat();
            quoted(false, 6, port, addr.port(), &rest)
        };
        // Of another number: nothing.
        bring(k, false, &V4[1], &about(&[seq[0] ^ 0x40, 0, 0, 0]))?;
        mask!(k, fd, 0);
        bring(k, false, &V4[1], &about(&seq))?;
        eq!(k.so_error(fd)?, libc::EHOSTUNREACH);
        let mut msg = Msg::room(&[64]).name_room(28).control_room(128);
        let got = k.recvmsg(fd, &mut msg, MSG_ERRQUEUE);
        // The quoted segment, header and all; it is queued for who did not ask, too.
        ret!(got, 20);
        eq!(msg.data(4)[..2].to_vec(), port.to_be_bytes().to_vec());
        eq!(msg.peer(), addr.clone());
        eq!(as_int(&msg.cmsgs()[0].data[..4]), libc::EHOSTUNREACH);
        eq!(k.so_error(fd)?, 0);
        k.close(fd);
    }
    check!(fillers.len() == 2, "{fillers:?}");
    Ok(())
}

fn control_messages_of_an_entry(k: &mut dyn Kernel) -> Outcome {
    // Those of the packet that brought the error, before the error.
    let there = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    for name in [
        libc::IP_RECVERR,
        libc::IP_PKTINFO,
        libc::IP_RECVTTL,
        libc::IP_RECVTOS,
        libc::IP_RECVORIGDSTADDR,
    ] {
        ret!(k.set_int(fd, IPPROTO_IP, name, 1), 0);
    }
    ret!(k.sendto(fd, b"x", 0, &there), 1);
    let mut msg = Msg::room(&[8]).control_room(256);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE), 1);
    let cmsgs = msg.cmsgs();
    let kinds: Vec<i32> = cmsgs.iter().map(|c| c.kind).collect();
    eq!(
        kinds,
        vec![
            libc::IP_PKTINFO,
            libc::IP_TTL,
            libc::IP_TOS,
            libc::IP_RECVERR
        ]
    );
    eq!(
        cmsgs[0].data.clone(),
        vec![1, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1]
    );
    eq!(cmsgs[1].data.clone(), vec![64, 0, 0, 0]);
    // Internetwork control.
    eq!(cmsgs[2].data.clone(), vec![0xc0]);
    let there = k.closed_port(AF_INET6, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    for name in [
        libc::IPV6_RECVERR,
        libc::IPV6_RECVPKTINFO,
        libc::IPV6_RECVHOPLIMIT,
        libc::IPV6_RECVTCLASS,
        74,
    ] {
        ret!(k.set_int(fd, IPPROTO_IPV6, name, 1), 0);
    }
    ret!(k.sendto(fd, b"x", 0, &there), 1);
    let mut msg = Msg::room(&[8]).control_room(256);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE), 1);
    let kinds: Vec<i32> = msg.cmsgs().iter().map(|c| c.kind).collect();
    eq!(
        kinds,
        vec![
            libc::IPV6_PKTINFO,
            libc::IPV6_HOPLIMIT,
            libc::IPV6_TCLASS,
            libc::IPV6_RECVERR
        ]
    );
    Ok(())
}

fn time_of_an_entry(k: &mut dyn Kernel) -> Outcome {
    let there = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_RECVERR, 1), 0);
    ret!(k.set_int(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1), 0);
    ret!(k.sendto(fd, b"x", 0, &there), 1);
    let mut msg = Msg::room(&[8]).control_room(256);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE), 1);
    let cmsgs = msg.cmsgs();
    eq!(cmsgs.len(), 2);
    eq!(
        (cmsgs[0].level, cmsgs[0].kind, cmsgs[0].data.len()),
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMP, 16)
    );
    Ok(())
}
