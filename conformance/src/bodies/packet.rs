//! AF_PACKET on `lo`: packet(7). In a network of the body's own, since a packet socket sees everybody's packets. Options
//! by number, as in linux/if_packet.h: PACKET_ADD_MEMBERSHIP 1, PACKET_DROP_MEMBERSHIP 2, PACKET_STATISTICS 6,
//! PACKET_COPY_THRESH 7, PACKET_AUXDATA 8, PACKET_ORIGDEV 9, PACKET_VERSION 10, PACKET_HDRLEN 11, PACKET_RESERVE 12,
//! PACKET_LOSS 14, PACKET_TIMESTAMP 17, PACKET_TX_HAS_OFF 19, PACKET_QDISC_BYPASS 20, PACKET_IGNORE_OUTGOING 23.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, WB};
use libc::{AF_INET, AF_INET6, AF_PACKET, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};

tests! {
    types_and_protocols [ROOT],
    nobody_without_the_right [DROP],
    names [ROOT],
    bind_errors [ROOT],
    not_a_stream [ROOT],
    out_and_in [ROOT],
    cooked [ROOT],
    one_protocol_comes_in [ROOT],
    to_a_group [ROOT],
    tcp_is_seen_whole [ROOT],
    cut_and_peeked [ROOT],
    receive_flags [ROOT],
    auxiliary_data [ROOT],
    statistics [ROOT],
    full_queue [ROOT],
    filters_cut_and_drop [ROOT],
    down_and_up [ROOT],
    option_values [ROOT],
    memberships [ROOT],
    outgoing_ignored [ROOT],
    masks_and_inq [ROOT],
    time_of_the_last [ROOT],
}

const SOL_PACKET: i32 = 263;
const ADD_MEMBERSHIP: i32 = 1;
const DROP_MEMBERSHIP: i32 = 2;
const STATISTICS: i32 = 6;
const AUXDATA: i32 = 8;
const VERSION: i32 = 10;
const HDRLEN: i32 = 11;
const RESERVE: i32 = 12;
const IGNORE_OUTGOING: i32 = 23;

pub(super) const ALL: u16 = 3;
pub(super) const IP: u16 = 0x0800;
pub(super) const IP6: u16 = 0x86dd;
/// A protocol for experiments.
pub(super) const OWN: u16 = 0x88b5;
pub(super) const LO: i32 = 1;

pub(super) const HOST: u8 = 0;
pub(super) const MULTICAST: u8 = 2;
pub(super) const OTHERHOST: u8 = 3;
pub(super) const OUTGOING: u8 = 4;

/// `struct sockaddr_ll` of an interface.
pub(super) fn ll(protocol: u16, interface: i32) -> Addr {
    let mut bytes = (AF_PACKET as u16).to_ne_bytes().to_vec();
    bytes.extend(protocol.to_be_bytes());
    bytes.extend(interface.to_ne_bytes());
    bytes.extend([0; 12]);
    Addr(bytes)
}

/// What a frame of `lo` comes from.
pub(super) fn from(protocol: u16, kind: u8) -> Addr {
    let mut addr = ll(protocol, LO);
    addr.0[8..10].copy_from_slice(&772u16.to_ne_bytes());
    addr.0[10] = kind;
    addr.0[11] = 6;
    addr
}

pub(super) fn open(k: &mut dyn Kernel, ty: i32, protocol: u16) -> Got<Fd> {
    let fd = ok!(k.socket(AF_PACKET, ty | NB, i32::from(protocol.to_be())));
    Ok(fd)
}

/// The next frame, and where it is from; `None` when there is none.
pub(super) fn next(k: &mut dyn Kernel, fd: Fd) -> Option<(Vec<u8>, Addr)> {
    let mut buf = vec![0; 70_000];
    let (n, addr) = k.recvfrom(fd, &mut buf, 0);
    let n = usize::try_from(n).ok()?;
    Some((buf[..n].to_vec(), addr))
}

pub(super) fn frame(protocol: u16, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend(protocol.to_be_bytes());
    frame.extend(data);
    frame
}

/// A datagram to oneself.
fn ping(k: &mut dyn Kernel, family: i32, data: &[u8]) -> Got<u16> {
    let (fd, addr) = k.udp(family)?;
    ret!(k.sendto(fd, data, 0, &addr), data.len() as i64);
    let port = addr.port();
    k.close(fd);
    Ok(port)
}

fn types_and_protocols(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for ty in 0..12 {
        let got = k.socket(AF_PACKET, ty, 0);
        match ty {
            SOCK_DGRAM | SOCK_RAW => check!(got >= 0, "{ty}: {got}"),
            10 => {}
            11 => eq!((ty, got), (ty, -i64::from(libc::EINVAL))),
            _ => eq!((ty, got), (ty, -i64::from(libc::ESOCKTNOSUPPORT))),
        }
    }
    for protocol in [-1, 0x10000, 99_999] {
        ok!(k.socket(AF_PACKET, SOCK_RAW, protocol));
    }
    let fd = open(k, SOCK_DGRAM, ALL)?;
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TYPE)?, SOCK_DGRAM);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_DOMAIN)?, AF_PACKET);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_PROTOCOL)?, 0);
    let mut pair = [0i32; 2];
    let at = pair.as_mut_ptr() as u64;
    err!(k.socketpair_raw(AF_PACKET, SOCK_RAW, 0, at), EOPNOTSUPP);
    Ok(())
}

fn nobody_without_the_right(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    for ty in [SOCK_RAW, SOCK_DGRAM, 10, 1] {
        err!(k.socket(AF_PACKET, ty, 0), EPERM);
    }
    err!(k.socket(AF_PACKET, 11, 0), EINVAL);
    Ok(())
}

fn names(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, OWN)?;
    eq!(k.sockname(fd)?, ll(OWN, 0).cut(12));
    // Bound, with the protocol it has.
    ret!(k.bind(fd, &ll(0, LO)), 0);
    eq!(k.sockname(fd)?, from(OWN, 0).cut(18));
    // With another; and with any interface again.
    ret!(k.bind(fd, &ll(IP, LO)), 0);
    eq!(k.sockname(fd)?, from(IP, 0).cut(18));
    ret!(k.bind(fd, &ll(0, 0)), 0);
    eq!(k.sockname(fd)?, ll(IP, 0).cut(12));
    let mut name = [0u8; 20];
    let mut len = 20u32;
    let (at, at_len) = (name.as_mut_ptr() as u64, (&raw mut len) as u64);
    err!(k.getpeername_raw(fd, at, at_len), EOPNOTSUPP);
    Ok(())
}

fn bind_errors(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, ALL)?;
    for len in [0, 1, 2, 12, 18, 19] {
        err!(k.bind(fd, &ll(IP, LO).cut(len)), EINVAL);
    }
    err!(k.bind(fd, &ll(IP, LO).with_family(AF_INET)), EINVAL);
    for interface in [99, -1, i32::MIN] {
        err!(k.bind(fd, &ll(IP, interface)), ENODEV);
    }
    eq!(k.sockname(fd)?, ll(ALL, 0).cut(12));
    ret!(k.bind(fd, &ll(IP, LO).padded(28)), 0);
    err!(k.bind_raw(fd, BAD, 20), EFAULT);
    Ok(())
}

fn not_a_stream(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM, ALL)?;
    err!(k.connect(fd, &ll(IP, LO)), EOPNOTSUPP);
    err!(k.listen(fd, 1), EOPNOTSUPP);
    err!(k.accept(fd), EOPNOTSUPP);
    for how in 0..3 {
        err!(k.shutdown(fd, how), EOPNOTSUPP);
    }
    let mut buf = [0; 8];
    err!(k.recv(fd, &mut buf, 0), EAGAIN);
    Ok(())
}

fn out_and_in(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, ALL)?;
    for (family, protocol) in [(AF_INET, IP), (AF_INET6, IP6)] {
        let port = ping(k, family, b"hello")?;
        let (out, to) = next(k, fd).unwrap_or_default_frame();
        let (back, came) = next(k, fd).unwrap_or_default_frame();
        eq!(to, from(protocol, OUTGOING));
        eq!(came, from(protocol, HOST));
        eq!(&out, &back);
        // No addresses, the protocol, an IP header, a UDP header.
        eq!(&out[..14], &frame(protocol, &[])[..]);
        let ip = if family == AF_INET { 20 } else { 40 };
        eq!(out.len(), 14 + ip + 8 + 5);
        let udp = &out[14 + ip..];
        eq!(&udp[..2], &port.to_be_bytes()[..]);
        eq!(&udp[2..4], &port.to_be_bytes()[..]);
        eq!(&udp[4..6], &13u16.to_be_bytes()[..]);
        // The sum of the pseudo header: the rest is for the interface to do.
        let mut sum: u32 = 13 + 17;
        sum += match family {
            AF_INET => 2 * (0x7f00 + 1),
            _ => 2,
        };
        sum = (sum & 0xffff) + (sum >> 16);
        eq!(&udp[6..8], &(sum as u16).to_be_bytes()[..]);
        eq!(&udp[8..], b"hello");
        check!(next(k, fd).is_none(), "a third");
    }
    Ok(())
}

/// What is there, or nothing.
pub(super) trait Framed {
    fn unwrap_or_default_frame(self) -> (Vec<u8>, Addr);
}

impl Framed for Option<(Vec<u8>, Addr)> {
    fn unwrap_or_default_frame(self) -> (Vec<u8>, Addr) {
        self.unwrap_or((vec![0; 64], Addr(Vec::new())))
    }
}

fn cooked(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let raw = open(k, SOCK_RAW, ALL)?;
    let fd = open(k, SOCK_DGRAM, ALL)?;
    ping(k, AF_INET, b"hello")?;
    for _ in 0..2 {
        let (whole, a) = next(k, raw).unwrap_or_default_frame();
        let (packet, b) = next(k, fd).unwrap_or_default_frame();
        eq!(a, b);
        eq!(&whole[14..], &packet[..]);
    }
    Ok(())
}

fn one_protocol_comes_in(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let four = open(k, SOCK_RAW, IP)?;
    let six = open(k, SOCK_RAW, IP6)?;
    let none = open(k, SOCK_RAW, 0)?;
    ping(k, AF_INET, b"x")?;
    ping(k, AF_INET6, b"x")?;
    for (fd, protocol) in [(four, IP), (six, IP6)] {
        let (_, came) = next(k, fd).unwrap_or_default_frame();
        eq!(came, from(protocol, HOST));
        check!(next(k, fd).is_none(), "only one");
    }
    check!(next(k, none).is_none(), "no protocol");
    // From bind(2) on it hears.
    ret!(k.bind(none, &ll(IP, LO)), 0);
    ping(k, AF_INET, b"x")?;
    check!(next(k, none).is_some(), "bound");
    check!(next(k, none).is_none(), "bound, once");
    Ok(())
}

fn to_a_group(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, ALL)?;
    let sender = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(
        k.setsockopt(
            sender,
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            &[127, 0, 0, 1]
        ),
        0
    );
    ret!(k.sendto(sender, b"x", 0, &Addr::v4([239, 129, 2, 3], 9)), 1);
    // `lo` has no addresses for groups.
    for kind in [OUTGOING, HOST] {
        let (data, came) = next(k, fd).unwrap_or_default_frame();
        eq!(came, from(IP, kind));
        eq!(&data[..6], &[0; 6]);
        eq!(&data[30..34], &[239, 129, 2, 3]);
    }
    Ok(())
}

fn tcp_is_seen_whole(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM, IP)?;
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"what was sent", 0), 13);
    k.wait_sent(t.client)?;
    ret!(k.shutdown(t.client, libc::SHUT_WR), 0);
    ret!(k.recv(t.server, &mut [0; 64], 0), 13);
    ret!(k.recv(t.server, &mut [0; 64], 0), 0);
    let mut flags = Vec::new();
    let mut data = Vec::new();
    while let Some((packet, _)) = next(k, fd) {
        eq!(packet[9], 6);
        let at = 20 + usize::from(packet[32] >> 4) * 4;
        flags.push(packet[33] & 0x17);
        data.extend_from_slice(&packet[at..]);
    }
    // SYN, SYN and ACK, ACK; and in the end a FIN.
    eq!(&flags[..3], &[2, 0x12, 0x10]);
    check!(flags.iter().any(|f| f & 1 != 0), "{flags:?}");
    eq!(data, b"what was sent");
    Ok(())
}

fn cut_and_peeked(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM, IP)?;
    ping(k, AF_INET, b"hello")?;
    let mut buf = [0; 64];
    ret!(k.recv(fd, &mut buf[..10], libc::MSG_PEEK), 10);
    ret!(
        k.recv(fd, &mut buf[..10], libc::MSG_PEEK | libc::MSG_TRUNC),
        33
    );
    let mut msg = Msg::room(&[10]).name_room(64);
    ret!(k.recvmsg(fd, &mut msg, 0), 10);
    eq!(msg.flags(), libc::MSG_TRUNC);
    eq!(msg.peer(), from(IP, HOST));
    eq!(msg.data(10)[0], 0x45);
    err!(k.recv(fd, &mut buf, 0), EAGAIN);
    // Room for none of it: it is gone all the same.
    ping(k, AF_INET, b"hello")?;
    ret!(k.recv(fd, &mut [], 0), 0);
    err!(k.recv(fd, &mut buf, 0), EAGAIN);
    Ok(())
}

fn receive_flags(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM, IP)?;
    ping(k, AF_INET, b"hello")?;
    let mut buf = [0; 64];
    for flag in [
        libc::MSG_OOB,
        libc::MSG_WAITALL,
        libc::MSG_CMSG_CLOEXEC,
        libc::MSG_NOSIGNAL,
        libc::MSG_CTRUNC,
        libc::MSG_EOR,
    ] {
        err!(k.recv(fd, &mut buf, flag), EINVAL);
    }
    err!(k.recv(fd, &mut buf, libc::MSG_ERRQUEUE), EAGAIN);
    // MSG_CMSG_COMPAT, which recvfrom(2) lets through.
    ret!(k.recv(fd, &mut buf, libc::MSG_PEEK | i32::MIN), 33);
    ret!(k.recv(fd, &mut buf, libc::MSG_DONTWAIT), 33);
    Ok(())
}

fn auxiliary_data(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (ty, net) in [(SOCK_RAW, 14u16), (SOCK_DGRAM, 0)] {
        let fd = open(k, ty, ALL)?;
        ret!(k.set_int(fd, SOL_PACKET, AUXDATA, 1), 0);
        ping(k, AF_INET, b"hello")?;
        let whole = 33 + u32::from(net);
        for _ in 0..2 {
            let mut msg = Msg::room(&[10]).control_room(64);
            ret!(k.recvmsg(fd, &mut msg, 0), 10);
            let Some(aux) = msg.cmsg(SOL_PACKET, AUXDATA) else {
                check!(false, "no auxiliary data");
                return Ok(());
            };
            // The sender's and with the sum left to the interface; the length, twice; no link header is told.
            let mut want = Vec::new();
            for word in [1 | 8, whole, whole] {
                want.extend(word.to_ne_bytes());
            }
            for half in [0, net, 0, 0] {
                want.extend(half.to_ne_bytes());
            }
            eq!(aux.data, want);
        }
        ret!(k.sendto(fd, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
        k.close(fd);
    }
    // A frame from here has no sum to be made.
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(k.set_int(fd, SOL_PACKET, AUXDATA, 1), 0);
    ret!(k.sendto(fd, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
    let mut msg = Msg::room(&[64]).control_room(64);
    ret!(k.recvmsg(fd, &mut msg, 0), 15);
    let aux = msg.cmsg(SOL_PACKET, AUXDATA).map(|aux| aux.data[0]);
    eq!(aux, Some(1));
    Ok(())
}

fn counts(k: &mut dyn Kernel, fd: Fd) -> Got<(u32, u32)> {
    let (got, bytes) = k.getsockopt(fd, SOL_PACKET, STATISTICS, 8);
    ret!(got, 0);
    eq!(bytes.len(), 8);
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    Ok((word(0), word(4)))
}

fn statistics(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, ALL)?;
    eq!(counts(k, fd)?, (0, 0));
    ping(k, AF_INET, b"x")?;
    eq!(counts(k, fd)?, (2, 0));
    eq!(counts(k, fd)?, (0, 0));
    // Cut to the room there is, and begun anew.
    ping(k, AF_INET, b"x")?;
    let (got, bytes) = k.getsockopt(fd, SOL_PACKET, STATISTICS, 4);
    eq!((got, bytes), (0, 2u32.to_ne_bytes().to_vec()));
    eq!(counts(k, fd)?, (0, 0));
    err!(
        k.setsockopt(fd, SOL_PACKET, STATISTICS, &[0; 8]),
        ENOPROTOOPT
    );
    Ok(())
}

fn full_queue(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 0), 0);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RXQ_OVFL, 1), 0);
    let sender = open(k, SOCK_RAW, 0)?;
    for _ in 0..50 {
        ret!(k.sendto(sender, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
    }
    let mut kept = 0;
    while next(k, fd).is_some() {
        kept += 1;
    }
    let (packets, drops) = counts(k, fd)?;
    eq!((packets, packets - drops), (50, kept));
    check!(kept > 0 && drops > 0, "{kept} kept, {drops} dropped");
    // The next one tells.
    ret!(k.sendto(sender, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
    let mut msg = Msg::room(&[64]).control_room(64);
    ret!(k.recvmsg(fd, &mut msg, 0), 15);
    let told = msg.cmsg(SOL_SOCKET, libc::SO_RXQ_OVFL);
    eq!(told.map(|c| c.data), Some(drops.to_ne_bytes().to_vec()));
    Ok(())
}

/// `struct sock_filter` with its program header, attached.
fn attach(k: &mut dyn Kernel, fd: Fd, program: &[(u16, u8, u8, u32)]) -> i64 {
    let mut code = Vec::new();
    for (op, jt, jf, value) in program {
        code.extend(op.to_ne_bytes());
        code.extend([*jt, *jf]);
        code.extend(value.to_ne_bytes());
    }
    let mut header = (program.len() as u64).to_ne_bytes().to_vec();
    header.extend((code.as_ptr() as u64).to_ne_bytes());
    k.setsockopt(fd, SOL_SOCKET, libc::SO_ATTACH_FILTER, &header)
}

fn filters_cut_and_drop(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (ty, link) in [(SOCK_RAW, 14), (SOCK_DGRAM, 0)] {
        let fd = open(k, ty, IP)?;
        // ldb [23 or 9]; jeq #17, 0, 1; ret #20; ret #0: of UDP twenty bytes.
        let program = [
            (0x30, 0, 0, 9 + link),
            (0x15, 0, 1, 17),
            (0x06, 0, 0, 20),
            (0x06, 0, 0, 0),
        ];
        ret!(attach(k, fd, &program), 0);
        ret!(k.set_int(fd, SOL_PACKET, AUXDATA, 1), 0);
        let t = k.tcp(AF_INET)?;
        k.close(t.client);
        ping(k, AF_INET, b"hello")?;
        let mut msg = Msg::room(&[100]).control_room(64);
        ret!(k.recvmsg(fd, &mut msg, libc::MSG_TRUNC), 20);
        eq!(msg.flags(), 0);
        let aux = msg.cmsg(SOL_PACKET, AUXDATA).map(|aux| aux.data);
        let lengths: Vec<u8> = [33 + link, 20]
            .iter()
            .flat_map(|n| n.to_ne_bytes())
            .collect();
        eq!(aux.map(|aux| aux[4..12].to_vec()), Some(lengths));
        check!(next(k, fd).is_none(), "only UDP");
        // What a filter does not want is no drop.
        eq!(counts(k, fd)?, (1, 0));
        k.close(fd);
    }
    // ld #type; ret a: a multicast would be cut to two bytes, what leaves to four, and what comes in is not wanted.
    let fd = open(k, SOCK_RAW, ALL)?;
    ret!(
        attach(k, fd, &[(0x20, 0, 0, 0xffff_f004), (0x16, 0, 0, 0)]),
        0
    );
    ping(k, AF_INET, b"hello")?;
    let (data, came) = next(k, fd).unwrap_or_default_frame();
    eq!((data.len(), came), (4, from(IP, OUTGOING)));
    check!(next(k, fd).is_none(), "nothing of what comes in");
    Ok(())
}

/// SIOCSIFFLAGS: up or down.
fn set_up(k: &mut dyn Kernel, fd: Fd, up: bool) -> i64 {
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&(8 | u16::from(up)).to_ne_bytes());
    k.ioctl_raw(fd, 0x8914, request.as_mut_ptr() as u64)
}

fn down_and_up(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let inet = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(set_up(k, inet, false), 0);
    let sent = k.sendto(fd, &frame(OWN, b"x"), 0, &ll(OWN, LO));
    let bound = k.bind(fd, &ll(OWN, LO));
    let mask = k.poll_mask(fd);
    let first = k.recv(fd, &mut [0; 8], 0);
    let second = k.recv(fd, &mut [0; 8], 0);
    ret!(set_up(k, inet, true), 0);
    eq!(sent, -i64::from(libc::ENETDOWN));
    eq!(bound, 0);
    let want = k.shown(fd, libc::POLLERR | WB);
    eq!(mask, want);
    eq!(first, -i64::from(libc::ENETDOWN));
    eq!(second, -i64::from(libc::EAGAIN));
    ret!(k.send(fd, &frame(OWN, b"x"), 0), 15);
    Ok(())
}

fn option_values(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, ALL)?;
    // COPY_THRESH, LOSS, TIMESTAMP, TX_HAS_OFF, QDISC_BYPASS: an int of exactly four bytes.
    for (name, bool) in [(7, false), (14, true), (17, false), (19, true), (20, true)] {
        eq!((name, k.get_int(fd, SOL_PACKET, name)?), (name, 0));
        for value in [1, 7, -1] {
            ret!(k.set_int(fd, SOL_PACKET, name, value), 0);
            let want = if bool { 1 } else { value };
            eq!((name, k.get_int(fd, SOL_PACKET, name)?), (name, want));
        }
        for len in [0, 3, 5, 8] {
            err!(k.setsockopt(fd, SOL_PACKET, name, &vec![0; len]), EINVAL);
        }
        err!(k.setsockopt_raw(fd, SOL_PACKET, name, BAD, 4), EFAULT);
        let (got, bytes) = k.getsockopt(fd, SOL_PACKET, name, 2);
        eq!((got, bytes.len()), (0, 2));
    }
    // AUXDATA, ORIGDEV: at least four.
    for name in [AUXDATA, 9] {
        eq!((name, k.get_int(fd, SOL_PACKET, name)?), (name, 0));
        ret!(k.set_int(fd, SOL_PACKET, name, 7), 0);
        eq!((name, k.get_int(fd, SOL_PACKET, name)?), (name, 1));
        ret!(k.setsockopt(fd, SOL_PACKET, name, &[0; 8]), 0);
        eq!((name, k.get_int(fd, SOL_PACKET, name)?), (name, 0));
        err!(k.setsockopt(fd, SOL_PACKET, name, &[0; 3]), EINVAL);
    }
    for (name, last) in [(VERSION, 2), (IGNORE_OUTGOING, 1)] {
        for value in 0..=last {
            ret!(k.set_int(fd, SOL_PACKET, name, value), 0);
            eq!((name, k.get_int(fd, SOL_PACKET, name)?), (name, value));
        }
        err!(k.set_int(fd, SOL_PACKET, name, last + 1), EINVAL);
        err!(k.set_int(fd, SOL_PACKET, name, -1), EINVAL);
        err!(k.setsockopt(fd, SOL_PACKET, name, &[0; 8]), EINVAL);
    }
    ret!(k.set_int(fd, SOL_PACKET, RESERVE, i32::MAX), 0);
    eq!(k.get_int(fd, SOL_PACKET, RESERVE)?, i32::MAX);
    err!(k.set_int(fd, SOL_PACKET, RESERVE, -1), EINVAL);
    // HDRLEN reads the version where it writes.
    for (version, len) in [(0, 32), (1, 32), (2, 48)] {
        let mut value: i32 = version;
        let mut size = 4u32;
        let (at, at_size) = ((&raw mut value) as u64, (&raw mut size) as u64);
        ret!(k.getsockopt_raw(fd, SOL_PACKET, HDRLEN, at, at_size), 0);
        eq!((version, value, size), (version, len, 4));
    }
    for name in [0, 3, 4, 16, 25, 99] {
        err!(k.set_int(fd, SOL_PACKET, name, 1), ENOPROTOOPT);
        err!(k.getsockopt(fd, SOL_PACKET, name, 4).0, ENOPROTOOPT);
    }
    // Not on others, and nothing of theirs here.
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.set_int(udp, SOL_PACKET, AUXDATA, 1), ENOPROTOOPT);
    err!(
        k.set_int(fd, libc::IPPROTO_IP, libc::IP_TTL, 1),
        ENOPROTOOPT
    );
    err!(
        k.getsockopt(fd, libc::IPPROTO_IP, libc::IP_TTL, 4).0,
        ENOPROTOOPT
    );
    Ok(())
}

/// `struct packet_mreq`.
fn mreq(interface: i32, kind: u16, len: u16, address: &[u8]) -> Vec<u8> {
    let mut bytes = interface.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(len.to_ne_bytes());
    bytes.extend(address);
    bytes.resize(16, 0);
    bytes
}

fn memberships(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, ALL)?;
    let group = [1, 0, 0x5e, 0, 0, 1];
    // A group, everything, every group, an address.
    let requests = [
        mreq(LO, 0, 6, &group),
        mreq(LO, 1, 0, &[]),
        mreq(LO, 2, 0, &[]),
        mreq(LO, 3, 6, &[2, 0, 0, 0, 0, 1]),
    ];
    for request in &requests {
        for name in [
            ADD_MEMBERSHIP,
            ADD_MEMBERSHIP,
            DROP_MEMBERSHIP,
            DROP_MEMBERSHIP,
        ] {
            ret!(k.setsockopt(fd, SOL_PACKET, name, request), 0);
        }
        // Once more than there was.
        ret!(k.setsockopt(fd, SOL_PACKET, DROP_MEMBERSHIP, request), 0);
    }
    for len in [0, 8, 15] {
        let short = &requests[0][..len];
        err!(k.setsockopt(fd, SOL_PACKET, ADD_MEMBERSHIP, short), EINVAL);
        err!(k.setsockopt(fd, SOL_PACKET, DROP_MEMBERSHIP, short), EINVAL);
    }
    let add =
        |k: &mut dyn Kernel, request: &[u8]| k.setsockopt(fd, SOL_PACKET, ADD_MEMBERSHIP, request);
    for interface in [0, 99, -1] {
        err!(add(k, &mreq(interface, 1, 0, &[])), ENODEV);
    }
    err!(add(k, &mreq(LO, 0, 7, &group)), EINVAL);
    err!(add(k, &mreq(LO, 0, 5, &group)), EINVAL);
    err!(add(k, &mreq(LO, 3, 0, &[])), EINVAL);
    // The address is longer than what was given.
    err!(add(k, &mreq(LO, 1, 9, &[])), EINVAL);
    Ok(())
}

fn outgoing_ignored(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, ALL)?;
    ret!(k.set_int(fd, SOL_PACKET, IGNORE_OUTGOING, 1), 0);
    ping(k, AF_INET, b"x")?;
    let (_, came) = next(k, fd).unwrap_or_default_frame();
    eq!(came, from(IP, HOST));
    check!(next(k, fd).is_none(), "only what comes in");
    Ok(())
}

fn masks_and_inq(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM, OWN)?;
    let sender = open(k, SOCK_DGRAM, 0)?;
    for round in 0..50 {
        eq!((round, k.poll_mask(fd)), (round, WB));
        eq!((k.fionread(fd)?, k.outq(fd)?), (0, 0));
        for data in [&b"abc"[..], b"de"] {
            ret!(k.sendto(sender, data, 0, &ll(OWN, LO)), data.len() as i64);
        }
        eq!((round, k.poll_mask(fd)), (round, R | WB));
        eq!(k.fionread(fd)?, 3);
        ret!(k.recv(fd, &mut [0; 8], 0), 3);
        eq!((round, k.poll_mask(fd)), (round, R | WB));
        eq!(k.fionread(fd)?, 2);
        ret!(k.recv(fd, &mut [0; 8], 0), 2);
    }
    Ok(())
}

fn time_of_the_last(k: &mut dyn Kernel) -> Outcome {
    const SIOCGSTAMP: u64 = 0x8906;
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM, OWN)?;
    let mut time = [0u64; 2];
    let at = time.as_mut_ptr() as u64;
    err!(k.ioctl_raw(fd, SIOCGSTAMP, at), ENOENT);
    ret!(k.sendto(fd, b"abc", 0, &ll(OWN, LO)), 3);
    ret!(k.recv(fd, &mut [0; 8], 0), 3);
    ret!(k.ioctl_raw(fd, SIOCGSTAMP, at), 0);
    check!(time[0] > 1_000_000_000, "{time:?}");
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_TIMESTAMP, 1), 0);
    ret!(k.sendto(fd, b"abc", 0, &ll(OWN, LO)), 3);
    let mut msg = Msg::room(&[8]).control_room(64);
    ret!(k.recvmsg(fd, &mut msg, 0), 3);
    check!(
        msg.cmsg(SOL_SOCKET, libc::SO_TIMESTAMP).is_some(),
        "no time"
    );
    Ok(())
}
