//! Raw sockets: making, naming, sending and receiving, filters, headers and checksums of the
//! caller's own.
//!
//! Raw sockets of one host hear each other's packets, those of strangers too. So each run has a
//! protocol number and a loopback address of its own.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{AF_INET, AF_INET6, SOCK_RAW, SOL_IP, SOL_IPV6, SOL_RAW};

tests! {
    protocol_range [ROOT],
    options_at_birth [ROOT],
    names [ROOT],
    bind_errors [ROOT],
    not_a_stream [ROOT],
    arrives_with_its_header [ROOT],
    arrives_without_header_in_ipv6 [ROOT],
    needs_a_destination [ROOT],
    destination_errors [ROOT],
    longest [ROOT],
    more_is_one_packet [ROOT],
    hears_by_address [ROOT],
    disconnected_is_deaf [ROOT],
    ttl_and_tos_are_in_the_header [ROOT],
    counters_and_masks [ROOT],
    truncation_and_peek [ROOT],
    shutdown_lets_send [ROOT],
    header_included [ROOT],
    header_included_errors [ROOT],
    header_included_ipv6 [ROOT],
    hdrincl_values [ROOT],
    transports_are_seen [ROOT],
    bad_transport_is_seen_and_dropped [ROOT],
    unknown_protocol_is_answered [ROOT],
    refused_reaches_connected_raw [ROOT],
    icmp_echo_by_hand [ROOT],
    icmp_filter_values [ROOT],
    icmp_filter_drops [ROOT],
    icmp6_filter_values [ROOT],
    icmp6_filter_drops [ROOT],
    icmp_needs_type_and_code [ROOT],
    checksum_values [ROOT],
    checksum_is_made [ROOT],
    protocol_in_the_port [ROOT],
    levels_of_a_raw_socket [ROOT],
}

const ICMP6_FILTER: i32 = 1;
const ICMP_FILTER: i32 = 1;
const IPV6_HDRINCL: i32 = 36;

/// A protocol that nobody else uses now.
fn protocol(which: i32) -> i32 {
    143 + (std::process::id() as i32 * 3 + which) % 100
}

/// A loopback address that nobody else uses now.
fn own(which: u8) -> [u8; 4] {
    let id = std::process::id();
    [127, (id >> 8) as u8 | 128, id as u8, 10 + which]
}

fn own_addr(which: u8) -> Addr {
    Addr::v4(own(which), 0)
}

fn raw(k: &mut dyn Kernel, family: i32, protocol: i32) -> Got<Fd> {
    let fd = ok!(k.socket(family, SOCK_RAW | NB, protocol));
    Ok(fd)
}

/// A raw socket bound to an address of its own.
fn raw4(k: &mut dyn Kernel, protocol: i32, which: u8) -> Got<Fd> {
    let fd = raw(k, AF_INET, protocol)?;
    ok!(k.bind(fd, &own_addr(which)));
    Ok(fd)
}

/// The Internet checksum.
fn sum(data: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in data.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn echo(kind: u8, ident: u16, data: &[u8]) -> Vec<u8> {
    let mut p = vec![kind, 0, 0, 0];
    p.extend(ident.to_be_bytes());
    p.extend([0, 1]);
    p.extend(data);
    let check = sum(&p).to_be_bytes();
    p[2..4].copy_from_slice(&check);
    p
}

/// An IPv4 header with length, identification, source and checksum left to the kernel.
fn header(protocol: i32, to: [u8; 4]) -> Vec<u8> {
    let mut h = vec![
        0x45,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        33,
        protocol as u8,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    h.extend(to);
    h
}

fn protocol_range(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        err!(k.socket(family, SOCK_RAW, 0), EPROTONOSUPPORT);
        for protocol in [1, 6, 17, 58, 255, 256, 262] {
            let fd = ok!(k.socket(family, SOCK_RAW, protocol));
            eq!(
                k.get_int(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
                protocol
            );
            eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE)?, SOCK_RAW);
        }
        err!(k.socket(family, SOCK_RAW, 263), EINVAL);
        err!(k.socket(family, SOCK_RAW, -1), EINVAL);
    }
    Ok(())
}

fn options_at_birth(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET, protocol(0))?;
    // INET_PROTOSW_REUSE.
    eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR)?, 1);
    eq!(k.get_int(fd, SOL_IP, libc::IP_HDRINCL)?, 0);
    eq!(k.get_int(fd, SOL_IP, libc::IP_TTL)?, 64);
    let fd = raw(k, AF_INET, 255)?;
    eq!(k.get_int(fd, SOL_IP, libc::IP_HDRINCL)?, 1);
    let fd = raw(k, AF_INET6, 255)?;
    eq!(k.get_int(fd, SOL_IPV6, IPV6_HDRINCL)?, 1);
    Ok(())
}

fn names(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0);
    // The protocol stands where the port would.
    let fd = raw(k, AF_INET, p)?;
    eq!(k.sockname(fd)?, Addr::any4(p as u16));
    err!(k.getpeername_raw(fd, BAD, BAD), ENOTCONN);
    ok!(k.bind(fd, &Addr::lo4(77)));
    eq!(k.sockname(fd)?, Addr::lo4(p as u16));
    ok!(k.bind(fd, &Addr::v4([127, 0, 0, 2], 78)));
    eq!(k.sockname(fd)?, Addr::v4([127, 0, 0, 2], p as u16));
    ok!(k.bind(fd, &Addr::any4(0)));
    ok!(k.connect(fd, &Addr::lo4(5)));
    eq!(k.sockname(fd)?, Addr::lo4(p as u16));
    eq!(k.peername(fd)?, Addr::lo4(5));
    err!(k.bind(fd, &Addr::lo4(0)), EINVAL);
    // A peer without a port is no peer to getpeername().
    ok!(k.connect(fd, &Addr::lo4(0)));
    let room = [0u8; 64];
    let len = [28i32];
    err!(
        k.getpeername_raw(fd, room.as_ptr() as u64, len.as_ptr() as u64),
        ENOTCONN
    );
    let fd = raw(k, AF_INET6, p)?;
    eq!(k.sockname(fd)?, Addr::any6(p as u16));
    ok!(k.bind(fd, &Addr::lo6(77)));
    ok!(k.bind(fd, &Addr::lo6(78)));
    eq!(k.sockname(fd)?, Addr::lo6(p as u16));
    ok!(k.connect(fd, &Addr::lo6(9)));
    eq!(k.peername(fd)?, Addr::lo6(9));
    Ok(())
}

fn bind_errors(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET, protocol(0))?;
    err!(k.bind(fd, &Addr::v4([8, 8, 8, 8], 0)), EADDRNOTAVAIL);
    err!(k.bind(fd, &Addr::lo4(0).cut(15)), EINVAL);
    let fd = raw(k, AF_INET6, protocol(0))?;
    err!(k.bind(fd, &Addr::lo6(0).cut(23)), EINVAL);
    err!(k.bind(fd, &Addr::lo4(0).padded(28)), EINVAL);
    err!(k.bind(fd, &Addr::mapped([127, 0, 0, 1], 0)), EADDRNOTAVAIL);
    let mut far = [0; 16];
    far[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    err!(k.bind(fd, &Addr::v6(far, 0)), EADDRNOTAVAIL);
    err!(k.connect(fd, &Addr::lo4(5)), EAFNOSUPPORT);
    Ok(())
}

fn not_a_stream(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = raw(k, family, protocol(0))?;
        err!(k.listen(fd, 1), EOPNOTSUPP);
        err!(k.accept(fd), EOPNOTSUPP);
        err!(
            k.sendto(fd, b"a", libc::MSG_OOB, &Addr::lo(family, 0)),
            EOPNOTSUPP
        );
        err!(k.recv(fd, &mut [0; 9], libc::MSG_OOB), EOPNOTSUPP);
        err!(k.recv(fd, &mut [0; 9], 0), EAGAIN);
        err!(k.shutdown(fd, libc::SHUT_RDWR), ENOTCONN);
    }
    Ok(())
}

fn arrives_with_its_header(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0);
    let fd = raw4(k, p, 0)?;
    let to = own_addr(0).with_port(1234);
    ret!(k.sendto(fd, b"hello", 0, &to), 5);
    let mut buf = [0u8; 100];
    let (n, from) = k.recvfrom(fd, &mut buf, 0);
    eq!(n, 25);
    eq!(from, own_addr(0));
    eq!(buf[0], 0x45);
    eq!(u16::from_be_bytes([buf[2], buf[3]]), 25);
    // Don't fragment, as IP_MTU_DISCOVER says at birth.
    eq!(buf[6..8].to_vec(), vec![0x40, 0]);
    eq!(buf[8], 64);
    eq!(i32::from(buf[9]), p);
    eq!(sum(&buf[..20]), 0);
    eq!(buf[12..16].to_vec(), own(0).to_vec());
    eq!(buf[16..20].to_vec(), own(0).to_vec());
    eq!(buf[20..25].to_vec(), b"hello".to_vec());
    ret!(k.sendto(fd, b"", 0, &to), 0);
    eq!(k.recv(fd, &mut buf, 0), 20);
    Ok(())
}

fn arrives_without_header_in_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET6, protocol(0))?;
    ret!(k.sendto(fd, b"hello", 0, &Addr::lo6(0)), 5);
    let mut buf = [0u8; 100];
    let (n, from) = k.recvfrom(fd, &mut buf, 0);
    eq!(n, 5);
    eq!(from, Addr::lo6(0));
    eq!(buf[..5].to_vec(), b"hello".to_vec());
    ret!(k.sendto(fd, b"", 0, &Addr::lo6(0)), 0);
    eq!(k.recv(fd, &mut buf, 0), 0);
    err!(k.recv(fd, &mut buf, 0), EAGAIN);
    Ok(())
}

fn needs_a_destination(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = raw(k, family, protocol(0))?;
        err!(k.send(fd, b"x", 0), EDESTADDRREQ);
        ok!(k.connect(fd, &Addr::lo(family, 0)));
        ret!(k.send(fd, b"x", 0), 1);
        check!(!k.recv_now(fd)?.is_empty(), "nothing came");
    }
    Ok(())
}

fn destination_errors(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET, protocol(0))?;
    err!(k.sendto(fd, b"x", 0, &Addr::lo4(0).cut(15)), EINVAL);
    err!(k.sendto(fd, b"x", 0, &Addr::lo6(0)), EAFNOSUPPORT);
    // AF_UNSPEC is taken for AF_INET.
    let unspec = own_addr(0).with_family(libc::AF_UNSPEC);
    ret!(k.sendto(fd, b"x", 0, &unspec), 1);
    let fd = raw(k, AF_INET6, protocol(0))?;
    err!(k.sendto(fd, b"x", 0, &Addr::lo6(0).cut(23)), EINVAL);
    err!(
        k.sendto(fd, b"x", 0, &Addr::lo4(0).padded(28)),
        EAFNOSUPPORT
    );
    Ok(())
}

fn longest(k: &mut dyn Kernel) -> Outcome {
    let fd = raw4(k, protocol(0), 0)?;
    let data = vec![7u8; 65_536];
    let mut buf = vec![0u8; 70_000];
    ret!(k.sendto(fd, &data[..65_515], 0, &own_addr(0)), 65_515);
    eq!(k.recv(fd, &mut buf, 0), 65_535);
    err!(k.sendto(fd, &data[..65_516], 0, &own_addr(0)), EMSGSIZE);
    err!(k.sendto(fd, &data, 0, &own_addr(0)), EMSGSIZE);
    let fd = raw(k, AF_INET6, protocol(0))?;
    ret!(k.sendto(fd, &data[..65_535], 0, &Addr::lo6(0)), 65_535);
    eq!(k.recv(fd, &mut buf, 0), 65_535);
    err!(k.sendto(fd, &data, 0, &Addr::lo6(0)), EMSGSIZE);
    Ok(())
}

fn more_is_one_packet(k: &mut dyn Kernel) -> Outcome {
    let fd = raw4(k, protocol(0), 0)?;
    ret!(k.sendto(fd, b"ab", libc::MSG_MORE, &own_addr(0)), 2);
    err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    ret!(k.sendto(fd, b"cd", 0, &own_addr(0)), 2);
    eq!(k.recv_now(fd)?[20..].to_vec(), b"abcd".to_vec());
    Ok(())
}

fn hears_by_address(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0);
    let bound = raw4(k, p, 0)?;
    let connected = raw(k, AF_INET, p)?;
    ok!(k.connect(connected, &own_addr(0)));
    let sender = raw4(k, p, 1)?;
    ret!(k.sendto(sender, b"x", 0, &own_addr(0)), 1);
    // To the one that is bound there; from somebody else than the other's peer.
    eq!(k.recv_now(bound)?.len(), 21);
    err!(k.recv(connected, &mut [0; 99], 0), EAGAIN);
    err!(k.recv(sender, &mut [0; 99], 0), EAGAIN);
    // Both that hear it get it.
    let second = raw4(k, p, 0)?;
    ret!(k.sendto(sender, b"y", 0, &own_addr(0)), 1);
    eq!(k.recv_now(bound)?.len(), 21);
    eq!(k.recv_now(second)?.len(), 21);
    Ok(())
}

fn disconnected_is_deaf(k: &mut dyn Kernel) -> Outcome {
    // __udp_disconnect() unhashes what has no port of its own.
    for family in [AF_INET, AF_INET6] {
        let fd = raw(k, family, protocol(1))?;
        ok!(k.bind(fd, &Addr::lo(family, 0)));
        ok!(k.connect(fd, &Addr::lo(family, 0)));
        ok!(k.connect(fd, &Addr::unspec()));
        eq!(k.sockname(fd)?, Addr::any(family, 0));
        ret!(k.sendto(fd, b"x", 0, &Addr::lo(family, 0)), 1);
        err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
        ok!(k.bind(fd, &Addr::lo(family, 0)));
        ok!(k.connect(fd, &Addr::lo(family, 0)));
        eq!(k.sockname(fd)?, Addr::lo(family, 0));
        ret!(k.send(fd, b"x", 0), 1);
        err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    }
    Ok(())
}

fn ttl_and_tos_are_in_the_header(k: &mut dyn Kernel) -> Outcome {
    let fd = raw4(k, protocol(0), 0)?;
    ok!(k.set_int(fd, SOL_IP, libc::IP_TTL, 7));
    ok!(k.set_int(fd, SOL_IP, libc::IP_TOS, 0x20));
    ret!(k.sendto(fd, b"q", 0, &own_addr(0)), 1);
    let packet = k.recv_now(fd)?;
    eq!((packet[1], packet[8]), (0x20, 7));
    Ok(())
}

fn counters_and_masks(k: &mut dyn Kernel) -> Outcome {
    let fd = raw4(k, protocol(0), 0)?;
    mask!(k, fd, W | WB);
    eq!(k.fionread(fd)?, 0);
    ret!(k.sendto(fd, b"abc", 0, &own_addr(0)), 3);
    mask!(k, fd, R | W | WB);
    eq!(k.fionread(fd)?, 23);
    eq!(k.outq(fd)?, 0);
    check!(!k.recv_now(fd)?.is_empty(), "nothing came");
    mask!(k, fd, W | WB);
    Ok(())
}

fn truncation_and_peek(k: &mut dyn Kernel) -> Outcome {
    let fd = raw4(k, protocol(0), 0)?;
    ret!(k.sendto(fd, b"abc", 0, &own_addr(0)), 3);
    let mut buf = [0u8; 10];
    eq!(k.recv(fd, &mut buf, libc::MSG_PEEK), 10);
    eq!(k.recv(fd, &mut buf, libc::MSG_PEEK | libc::MSG_TRUNC), 23);
    let mut msg = Msg::room(&[10]);
    eq!(k.recvmsg(fd, &mut msg, 0), 10);
    eq!(msg.flags(), libc::MSG_TRUNC);
    err!(k.recv(fd, &mut buf, 0), EAGAIN);
    Ok(())
}

fn shutdown_lets_send(k: &mut dyn Kernel) -> Outcome {
    // raw_sendmsg() reaches no place that looks at the shutdown.
    let fd = raw4(k, protocol(0), 0)?;
    ok!(k.connect(fd, &own_addr(0)));
    ok!(k.shutdown(fd, libc::SHUT_RDWR));
    ret!(k.send(fd, b"x", 0), 1);
    eq!(k.recv_now(fd)?.len(), 21);
    // With a header of its own it does.
    ok!(k.set_int(fd, SOL_IP, libc::IP_HDRINCL, 1));
    err!(k.send(fd, &header(9, own(0)), libc::MSG_NOSIGNAL), EPIPE);
    Ok(())
}

fn header_included(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0);
    let hears = raw4(k, p, 0)?;
    let sender = raw(k, AF_INET, 255)?;
    let mut packet = header(p, own(0));
    packet.extend(b"xyz");
    ret!(k.sendto(sender, &packet, 0, &own_addr(0)), 23);
    let got = k.recv_now(hears)?;
    eq!(got.len(), 23);
    eq!(u16::from_be_bytes([got[2], got[3]]), 23);
    check!(got[4..6] != [0, 0], "no identification: {got:?}");
    eq!((got[6], got[8], i32::from(got[9])), (0, 33, p));
    eq!(sum(&got[..20]), 0);
    eq!(got[20..].to_vec(), b"xyz".to_vec());
    // What is there stays, a source of the caller's choice too; the length is corrected.
    packet[1] = 0x10;
    packet[2..8].copy_from_slice(&[3, 231, 0, 5, 0x40, 0]);
    packet[12..16].copy_from_slice(&[1, 2, 3, 4]);
    ret!(k.sendto(sender, &packet, 0, &own_addr(0)), 23);
    let mut got = [0u8; 60];
    let (n, from) = k.recvfrom(hears, &mut got, 0);
    eq!(n, 23);
    eq!(from, Addr::v4([1, 2, 3, 4], 0));
    eq!(got[..8].to_vec(), vec![0x45, 0x10, 0, 23, 0, 5, 0x40, 0]);
    eq!(got[16..20].to_vec(), own(0).to_vec());
    // The route follows the address of the call, the packet its own.
    ret!(k.sendto(sender, &packet, 0, &own_addr(1)), 23);
    eq!(k.recv_now(hears)?.len(), 23);
    // The first half of another version's header: sent, and thrown away on arrival.
    packet[0] = 0x65;
    ret!(k.sendto(sender, &packet, 0, &own_addr(0)), 23);
    err!(k.recv(hears, &mut got, 0), EAGAIN);
    Ok(())
}

fn header_included_errors(k: &mut dyn Kernel) -> Outcome {
    let sender = raw(k, AF_INET, 255)?;
    let mut packet = header(protocol(0), own(0));
    packet.extend(b"xyz");
    err!(k.sendto(sender, &packet[..19], 0, &own_addr(0)), EINVAL);
    err!(k.sendto(sender, b"", 0, &own_addr(0)), EINVAL);
    err!(k.send(sender, &packet, 0), EDESTADDRREQ);
    packet[0] = 0x4f;
    err!(k.sendto(sender, &packet, 0, &own_addr(0)), EINVAL);
    packet[0] = 0x44;
    err!(k.sendto(sender, &packet, 0, &own_addr(0)), EINVAL);
    packet[0] = 0x45;
    packet.resize(65_535, 1);
    ret!(k.sendto(sender, &packet, 0, &own_addr(0)), 65_535);
    packet.push(1);
    err!(k.sendto(sender, &packet, 0, &own_addr(0)), EMSGSIZE);
    Ok(())
}

fn header_included_ipv6(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0);
    let hears = raw(k, AF_INET6, p)?;
    let sender = raw(k, AF_INET6, 255)?;
    let mut packet = vec![0x60, 0, 0, 0, 0, 3, p as u8, 64];
    packet.extend(&Addr::lo6(0).0[8..24]);
    packet.extend(&Addr::lo6(0).0[8..24]);
    packet.extend(b"xyz");
    ret!(k.sendto(sender, &packet, 0, &Addr::lo6(0)), 43);
    eq!(k.recv_now(hears)?, b"xyz".to_vec());
    err!(k.sendto(sender, &packet[..39], 0, &Addr::lo6(0)), EINVAL);
    // A length of its own is believed, as long as there is so much.
    packet[5] = 2;
    ret!(k.sendto(sender, &packet, 0, &Addr::lo6(0)), 43);
    eq!(k.recv_now(hears)?, b"xy".to_vec());
    packet[5] = 9;
    ret!(k.sendto(sender, &packet, 0, &Addr::lo6(0)), 43);
    err!(k.recv(hears, &mut [0; 9], 0), EAGAIN);
    Ok(())
}

fn hdrincl_values(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET, protocol(0))?;
    ok!(k.set_int(fd, SOL_IP, libc::IP_HDRINCL, 5));
    eq!(k.get_int(fd, SOL_IP, libc::IP_HDRINCL)?, 1);
    ok!(k.setsockopt(fd, SOL_IP, libc::IP_HDRINCL, &[0]));
    eq!(k.get_int(fd, SOL_IP, libc::IP_HDRINCL)?, 0);
    let udp = ok!(k.socket(AF_INET, libc::SOCK_DGRAM, 0));
    err!(k.set_int(udp, SOL_IP, libc::IP_HDRINCL, 1), ENOPROTOOPT);
    let tcp = ok!(k.socket(AF_INET, libc::SOCK_STREAM, 0));
    err!(k.set_int(tcp, SOL_IP, libc::IP_HDRINCL, 1), ENOPROTOOPT);
    let six = raw(k, AF_INET6, protocol(0))?;
    for level in [SOL_IPV6, SOL_RAW] {
        ok!(k.set_int(six, level, IPV6_HDRINCL, 1));
        eq!(k.get_int(six, level, IPV6_HDRINCL)?, 1);
        err!(k.setsockopt(six, level, IPV6_HDRINCL, &[0]), EINVAL);
        ok!(k.set_int(six, level, IPV6_HDRINCL, 0));
    }
    Ok(())
}

fn transports_are_seen(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let at = if family == AF_INET { 20 } else { 0 };
        let (tcp, udp) = (raw(k, family, 6)?, raw(k, family, 17)?);
        let (_listener, addr) = k.tcp_listener(family, 1)?;
        let client = k.tcp_socket(family, NB)?;
        k.connect_now(client, &addr)?;
        // Strangers' segments are heard too: look for the SYN to this port.
        let found = (0..200).any(|_| {
            let mut buf = [0u8; 2000];
            let n = k.recv(tcp, &mut buf, 0);
            n >= at as i64 + 20
                && u16::from_be_bytes([buf[at + 2], buf[at + 3]]) == addr.port()
                && buf[at + 13] & 0x3f == 2
        });
        check!(found, "the SYN was not seen");
        let (a, to) = k.udp(family)?;
        ret!(k.sendto(a, b"abc", 0, &to), 3);
        let found = (0..200).any(|_| {
            let mut buf = [0u8; 2000];
            let n = k.recv(udp, &mut buf, 0);
            n == at as i64 + 11
                && u16::from_be_bytes([buf[at + 2], buf[at + 3]]) == to.port()
                && buf[at + 8..at + 11] == *b"abc"
        });
        check!(found, "the datagram was not seen");
        eq!(k.recv_now(a)?, b"abc".to_vec());
    }
    Ok(())
}

fn bad_transport_is_seen_and_dropped(k: &mut dyn Kernel) -> Outcome {
    let (hears, to) = k.udp(AF_INET)?;
    let fd = raw(k, AF_INET, 17)?;
    ok!(k.connect(fd, &Addr::lo4(0)));
    // Whoever had the port before may still be sent something.
    ok!(k.connect(hears, &Addr::lo4(9)));
    let mut datagram = vec![0, 9];
    datagram.extend(to.port().to_be_bytes());
    // It would be right with port 53026.
    let wrong = if to.port() == 53_026 { 0xad } else { 0xba };
    datagram.extend([0, 9, wrong, 0xad, b'x']);
    ret!(k.sendto(fd, &datagram, 0, &Addr::lo4(0)), 9);
    err!(k.recv(hears, &mut [0; 9], 0), EAGAIN);
    // Without a checksum it is taken (RFC 768).
    datagram[6..8].fill(0);
    ret!(k.sendto(fd, &datagram, 0, &Addr::lo4(0)), 9);
    eq!(k.recv_now(hears)?, b"x".to_vec());
    Ok(())
}

fn unknown_protocol_is_answered(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0);
    let icmp = raw4(k, 1, 0)?;
    let sender = raw(k, AF_INET, 255)?;
    let mut packet = header(p, own(1));
    packet[12..16].copy_from_slice(&own(0));
    packet.extend(b"xyz");
    ret!(k.sendto(sender, &packet, 0, &own_addr(1)), 23);
    // RFC 1122, 3.2.2.1: protocol unreachable.
    let got = k.recv_now(icmp)?;
    eq!(got[20..22].to_vec(), vec![3, 2]);
    eq!((got[1], i32::from(got[28 + 9])), (0xc0, p));
    eq!(got[48..].to_vec(), b"xyz".to_vec());
    // Not if somebody listens.
    let _hears = raw4(k, p, 1)?;
    ret!(k.sendto(sender, &packet, 0, &own_addr(1)), 23);
    err!(k.recv(icmp, &mut [0; 99], 0), EAGAIN);
    Ok(())
}

fn refused_reaches_connected_raw(k: &mut dyn Kernel) -> Outcome {
    let closed = k.closed_port(AF_INET, libc::SOCK_DGRAM)?;
    let fd = raw(k, AF_INET, 17)?;
    ok!(k.connect(fd, &own_addr(0)));
    let mut datagram = vec![0, 9];
    datagram.extend(closed.port().to_be_bytes());
    datagram.extend([0, 8, 0, 0]);
    ret!(k.send(fd, &datagram, 0), 8);
    eq!(k.so_error(fd)?, libc::ECONNREFUSED);
    Ok(())
}

fn icmp_echo_by_hand(k: &mut dyn Kernel) -> Outcome {
    let fd = raw4(k, 1, 0)?;
    let request = echo(8, 7, b"data");
    ret!(k.sendto(fd, &request, 0, &own_addr(0)), 12);
    eq!(k.recv_now(fd)?[20..].to_vec(), request.clone());
    eq!(k.recv_now(fd)?[20..].to_vec(), echo(0, 7, b"data"));
    // A wrong checksum: heard, and not answered.
    let mut wrong = request.clone();
    wrong[2] ^= 1;
    ret!(k.sendto(fd, &wrong, 0, &own_addr(0)), 12);
    eq!(k.recv_now(fd)?[20..].to_vec(), wrong);
    err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    Ok(())
}

fn icmp_filter_values(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET, 1)?;
    eq!(k.getsockopt(fd, SOL_RAW, ICMP_FILTER, 10).1, vec![0; 4]);
    eq!(k.getsockopt(fd, SOL_RAW, ICMP_FILTER, 2).1, vec![0; 2]);
    ok!(k.setsockopt(fd, SOL_RAW, ICMP_FILTER, &[1, 2]));
    eq!(
        k.getsockopt(fd, SOL_RAW, ICMP_FILTER, 4).1,
        vec![1, 2, 0, 0]
    );
    ok!(k.setsockopt(fd, SOL_RAW, ICMP_FILTER, &[255; 8]));
    eq!(k.getsockopt(fd, SOL_RAW, ICMP_FILTER, 4).1, vec![255; 4]);
    ok!(k.setsockopt(fd, SOL_RAW, ICMP_FILTER, &[]));
    err!(k.setsockopt_raw(fd, SOL_RAW, ICMP_FILTER, BAD, 4), EFAULT);
    err!(k.set_int(fd, SOL_RAW, 2, 0), ENOPROTOOPT);
    let other = raw(k, AF_INET, protocol(0))?;
    err!(k.set_int(other, SOL_RAW, ICMP_FILTER, 0), EOPNOTSUPP);
    eq!(
        k.getsockopt(other, SOL_RAW, ICMP_FILTER, 4).0,
        -i64::from(libc::EOPNOTSUPP)
    );
    let udp = ok!(k.socket(AF_INET, libc::SOCK_DGRAM, 0));
    err!(k.set_int(udp, SOL_RAW, ICMP_FILTER, 0), ENOPROTOOPT);
    Ok(())
}

fn icmp_filter_drops(k: &mut dyn Kernel) -> Outcome {
    let fd = raw4(k, 1, 0)?;
    ok!(k.setsockopt(fd, SOL_RAW, ICMP_FILTER, &(1u32 << 8).to_ne_bytes()));
    ret!(k.sendto(fd, &echo(8, 7, b"data"), 0, &own_addr(0)), 12);
    // The request is not heard, the reply is.
    eq!(k.recv_now(fd)?[20], 0);
    err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    // Less than a header is not heard at all.
    ok!(k.setsockopt(fd, SOL_RAW, ICMP_FILTER, &[0; 4]));
    ret!(k.sendto(fd, b"ab", 0, &own_addr(0)), 2);
    err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    Ok(())
}

fn icmp6_filter_values(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET6, 58)?;
    let level = libc::IPPROTO_ICMPV6;
    eq!(k.getsockopt(fd, level, ICMP6_FILTER, 40).1, vec![0; 32]);
    eq!(k.getsockopt(fd, level, ICMP6_FILTER, 5).1, vec![0; 5]);
    ok!(k.setsockopt(fd, level, ICMP6_FILTER, &[255; 2]));
    let mut want = vec![0; 32];
    want[..2].fill(255);
    eq!(k.getsockopt(fd, level, ICMP6_FILTER, 32).1, want);
    err!(k.set_int(fd, level, 2, 0), ENOPROTOOPT);
    let other = raw(k, AF_INET6, protocol(0))?;
    err!(
        k.setsockopt(other, level, ICMP6_FILTER, &[0; 32]),
        EOPNOTSUPP
    );
    Ok(())
}

/// Reads echo messages with this identifier, those of others passed over.
fn echoes(k: &mut dyn Kernel, fd: Fd, ident: u16) -> Vec<u8> {
    let mut kinds = Vec::new();
    let mut buf = [0u8; 2000];
    loop {
        let n = k.recv(fd, &mut buf, 0);
        if n < 0 {
            return kinds;
        }
        if n >= 8 && buf[4..6] == ident.to_be_bytes() {
            kinds.push(buf[0]);
        }
    }
}

fn icmp6_filter_drops(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET6, 58)?;
    let ident = std::process::id() as u16;
    let mut request = echo(128, ident, b"data");
    request[2..4].fill(0);
    ret!(k.sendto(fd, &request, 0, &Addr::lo6(0)), 12);
    eq!(echoes(k, fd, ident), vec![128, 129]);
    let mut filter = [0u8; 32];
    filter[16] = 1;
    ok!(k.setsockopt(fd, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter));
    ret!(k.sendto(fd, &request, 0, &Addr::lo6(0)), 12);
    eq!(echoes(k, fd, ident), vec![129]);
    Ok(())
}

fn icmp_needs_type_and_code(k: &mut dyn Kernel) -> Outcome {
    // raw_probe_proto_opt() reads them to find the route.
    let fd = raw4(k, 1, 0)?;
    err!(k.sendto(fd, b"", 0, &own_addr(0)), EFAULT);
    err!(k.sendto(fd, b"a", 0, &own_addr(0)), EFAULT);
    ret!(k.sendto(fd, b"ab", 0, &own_addr(0)), 2);
    let fd = raw(k, AF_INET6, 58)?;
    err!(k.sendto(fd, b"a", 0, &Addr::lo6(0)), EFAULT);
    // Then the checksum has no place.
    err!(k.sendto(fd, b"abc", 0, &Addr::lo6(0)), EINVAL);
    ret!(k.sendto(fd, b"abcd", 0, &Addr::lo6(0)), 4);
    Ok(())
}

fn checksum_values(k: &mut dyn Kernel) -> Outcome {
    const CHECKSUM: i32 = libc::IPV6_CHECKSUM;
    let fd = raw(k, AF_INET6, protocol(0))?;
    eq!(k.get_int(fd, SOL_IPV6, CHECKSUM)?, -1);
    ok!(k.set_int(fd, SOL_IPV6, CHECKSUM, 2));
    eq!(k.get_int(fd, SOL_RAW, CHECKSUM)?, 2);
    err!(k.set_int(fd, SOL_IPV6, CHECKSUM, 3), EINVAL);
    ok!(k.set_int(fd, SOL_RAW, CHECKSUM, -5));
    eq!(k.get_int(fd, SOL_IPV6, CHECKSUM)?, -1);
    err!(k.setsockopt(fd, SOL_IPV6, CHECKSUM, &[0, 0]), EINVAL);
    let icmp = raw(k, AF_INET6, 58)?;
    eq!(k.get_int(icmp, SOL_IPV6, CHECKSUM)?, 2);
    // RFC 3542, 3.1: not for ICMPv6; but at SOL_RAW.
    err!(k.set_int(icmp, SOL_IPV6, CHECKSUM, 2), EINVAL);
    ok!(k.set_int(icmp, SOL_RAW, CHECKSUM, 4));
    let udp = ok!(k.socket(AF_INET6, libc::SOCK_DGRAM, 0));
    err!(k.set_int(udp, SOL_IPV6, CHECKSUM, 2), ENOPROTOOPT);
    Ok(())
}

fn checksum_is_made(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0);
    let fd = raw(k, AF_INET6, p)?;
    ok!(k.set_int(fd, SOL_IPV6, libc::IPV6_CHECKSUM, 2));
    err!(k.sendto(fd, b"abc", 0, &Addr::lo6(0)), EINVAL);
    ret!(k.sendto(fd, b"abXXefgh", 0, &Addr::lo6(0)), 8);
    let got = k.recv_now(fd)?;
    let mut pseudo = Addr::lo6(0).0[8..24].repeat(2);
    pseudo.extend([0, 0, 0, 8, 0, 0, 0, p as u8]);
    pseudo.extend(&got);
    eq!(sum(&pseudo), 0);
    // A receiver that wants one drops what has a wrong one.
    let plain = raw(k, AF_INET6, p)?;
    ret!(k.sendto(plain, b"abXXefgh", 0, &Addr::lo6(0)), 8);
    eq!(k.recv_now(plain)?, b"abXXefgh".to_vec());
    err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    Ok(())
}

fn protocol_in_the_port(k: &mut dyn Kernel) -> Outcome {
    let p = protocol(0) as u16;
    let fd = raw(k, AF_INET6, i32::from(p))?;
    ret!(k.sendto(fd, b"x", 0, &Addr::lo6(p)), 1);
    err!(k.sendto(fd, b"x", 0, &Addr::lo6(p + 1)), EINVAL);
    err!(k.sendto(fd, b"x", 0, &Addr::lo6(300)), EINVAL);
    eq!(k.recv_now(fd)?, b"x".to_vec());
    // IPPROTO_RAW may name any.
    let any = raw(k, AF_INET6, 255)?;
    ok!(k.set_int(any, SOL_IPV6, IPV6_HDRINCL, 0));
    ret!(k.sendto(any, b"y", 0, &Addr::lo6(p)), 1);
    err!(k.sendto(any, b"y", 0, &Addr::lo6(300)), EINVAL);
    eq!(k.recv_now(fd)?, b"y".to_vec());
    Ok(())
}

fn levels_of_a_raw_socket(k: &mut dyn Kernel) -> Outcome {
    let four = raw(k, AF_INET, protocol(0))?;
    err!(k.set_int(four, libc::SOL_UDP, 1, 0), ENOPROTOOPT);
    eq!(
        k.getsockopt(four, libc::SOL_UDP, 1, 4).0,
        -i64::from(libc::EOPNOTSUPP)
    );
    let six = raw(k, AF_INET6, protocol(0))?;
    // A raw IPv6 socket has no IPv4 options, other IPv6 sockets do.
    err!(k.set_int(six, SOL_IP, libc::IP_TTL, 1), ENOPROTOOPT);
    err!(k.set_int(six, libc::SOL_UDP, 1, 0), ENOPROTOOPT);
    err!(
        k.set_int(six, libc::IPPROTO_ICMPV6, ICMP6_FILTER, 0),
        EOPNOTSUPP
    );
    // The protocol comes before the option's name.
    let icmp = raw(k, AF_INET6, libc::IPPROTO_ICMPV6)?;
    for (fd, errno) in [(six, libc::EOPNOTSUPP), (icmp, libc::ENOPROTOOPT)] {
        for name in [2, 99] {
            let level = libc::IPPROTO_ICMPV6;
            eq!(k.set_int(fd, level, name, 0), -i64::from(errno));
            eq!(k.getsockopt(fd, level, name, 4).0, -i64::from(errno));
        }
    }
    // IPV6_ADDRFORM asks for the protocol, too, whatever the type.
    const IPV6_ADDRFORM: i32 = 1;
    let form = |k: &mut dyn Kernel, fd| k.getsockopt(fd, libc::IPPROTO_IPV6, IPV6_ADDRFORM, 4).0;
    eq!(form(k, six), -i64::from(libc::ENOPROTOOPT));
    let udp = raw(k, AF_INET6, libc::IPPROTO_UDP)?;
    eq!(form(k, udp), -i64::from(libc::ENOTCONN));
    ret!(k.connect(udp, &Addr::lo6(0)), 0);
    eq!(form(k, udp), 0);
    Ok(())
}
