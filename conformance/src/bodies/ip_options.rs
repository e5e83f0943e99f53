//! IPv4 options: what IP_OPTIONS takes and gives back, what of it is on the wire, and who answers with it.
//!
//! Times that the timestamp option carries are not compared: each host has its own clock.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_IP, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};

tests! {
    given_back_as_set,
    refused_values,
    what_nobody_knows_wants_a_capability [ROOT],
    what_nobody_knows_of_an_ordinary_user [ROOT|DROP],
    on_every_socket [ROOT],
    record_route_arrives,
    timestamps_arrive,
    without_options_nothing_is_told,
    an_answer_may_be_empty,
    of_one_message,
    bad_options_of_a_message,
    leave_less_room,
    source_routes_are_not_taken [ROOT],
    source_routes_of_an_ordinary_user [ROOT|DROP],
    mapped_has_them_too,
    accepted_connection_answers,
    a_connection_carries_them,
    echo_reply_has_them [ROOT],
    raw_socket_sees_them [ROOT],
    written_by_the_caller [ROOT],
    malformed_by_the_caller [ROOT],
    refused_beside_a_header_of_ones_own [ROOT],
}

const IP_OPTIONS: i32 = 4;
const IP_RECVOPTS: i32 = 6;
const IP_RETOPTS: i32 = 7;

/// Room for two addresses.
const RECORD_ROUTE: [u8; 11] = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
const ROUTER_ALERT: [u8; 4] = [148, 4, 0, 0];

fn set(k: &mut dyn Kernel, fd: Fd, options: &[u8]) -> i64 {
    k.setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options)
}

fn get(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<u8>> {
    let (got, value) = k.getsockopt(fd, IPPROTO_IP, IP_OPTIONS, 64);
    ret!(got, 0);
    Ok(value)
}

fn given_back_as_set(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    eq!(get(k, fd)?, vec![]);
    let values: &[(&[u8], &[u8])] = &[
        (&[1], &[1, 0, 0, 0]),
        (&[0], &[0, 0, 0, 0]),
        // What stands behind the end is not kept.
        (&[1, 0, 9, 9], &[1, 0, 0, 0]),
        (&[7, 7, 4, 0, 0, 0, 0], &[7, 7, 4, 0, 0, 0, 0, 0]),
        (&[7, 3, 4], &[7, 3, 4, 0]),
        (&ROUTER_ALERT, &ROUTER_ALERT),
        (&[68, 8, 5, 0, 0, 0, 0, 0], &[68, 8, 5, 0, 0, 0, 0, 0]),
        (
            &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        // Of addresses that are named: this host's, and another's.
        (
            &[68, 12, 5, 3, 127, 0, 0, 1, 0, 0, 0, 0],
            &[68, 12, 5, 3, 127, 0, 0, 1, 0, 0, 0, 0],
        ),
        (
            &[68, 12, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0],
            &[68, 12, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0],
        ),
        (&[68, 4, 5, 0], &[68, 4, 5, 0]),
        (&[1; 40], &[1; 40]),
        (&[], &[]),
    ];
    for (given, back) in values {
        ret!(set(k, fd, given), 0);
        eq!(get(k, fd)?, back.to_vec());
    }
    ret!(set(k, fd, &RECORD_ROUTE), 0);
    let (got, value) = k.getsockopt(fd, IPPROTO_IP, IP_OPTIONS, 3);
    ret!(got, 0);
    eq!(value, RECORD_ROUTE[..3].to_vec());
    // Options that are refused leave what was there.
    err!(set(k, fd, &[7, 7, 3, 0, 0, 0, 0]), EINVAL);
    eq!(get(k, fd)?.len(), 12);
    err!(k.setsockopt_raw(fd, IPPROTO_IP, IP_OPTIONS, BAD, 8), EFAULT);
    Ok(())
}

fn refused_values(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let values: &[&[u8]] = &[
        &[1; 41],
        &[7, 1, 4],
        &[7, 9, 4, 0, 0, 0, 0],
        &[7, 7, 3, 0, 0, 0, 0],
        &[7, 7, 5, 0, 0, 0, 0],
        &[7, 7, 4, 0, 0, 0, 0, 7, 7, 4, 0, 0, 0, 0],
        &[131, 3, 4],
        &[131, 11, 8, 127, 0, 0, 1, 127, 0, 0, 2],
        &[131, 9, 4, 127, 0, 0, 1, 0, 0],
        &[131, 7, 4, 127, 0, 0, 1, 137, 7, 4, 127, 0, 0, 1],
        &[68, 3, 5],
        &[68, 8, 4, 0, 0, 0, 0, 0],
        &[68, 8, 6, 0, 0, 0, 0, 0],
        &[68, 8, 5, 1, 0, 0, 0, 0],
        &[68, 4, 5, 0xf0],
        &[148, 3, 0],
    ];
    for value in values {
        err!(set(k, fd, value), EINVAL);
    }
    eq!(get(k, fd)?, vec![]);
    Ok(())
}

/// Security, an unknown option, and an unknown kind of timestamp.
const PRIVILEGED: [&[u8]; 3] = [
    &[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    &[200, 4, 1, 2],
    &[68, 12, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0],
];

fn what_nobody_knows_wants_a_capability(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for options in PRIVILEGED {
        ret!(set(k, fd, options), 0);
        eq!(get(k, fd)?, options.to_vec());
    }
    Ok(())
}

fn what_nobody_knows_of_an_ordinary_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for options in PRIVILEGED {
        err!(set(k, fd, options), EINVAL);
    }
    ret!(set(k, fd, &RECORD_ROUTE), 0);
    Ok(())
}

fn on_every_socket(k: &mut dyn Kernel) -> Outcome {
    for (family, ty, protocol) in [
        (AF_INET, SOCK_STREAM, 0),
        (AF_INET6, SOCK_STREAM, 0),
        (AF_INET6, SOCK_DGRAM, 0),
        (AF_INET, SOCK_RAW, 150),
    ] {
        let fd = ok!(k.socket(family, ty, protocol));
        ret!(set(k, fd, &ROUTER_ALERT), 0);
        eq!(get(k, fd)?, ROUTER_ALERT.to_vec());
        ret!(set(k, fd, &[]), 0);
        eq!(get(k, fd)?, vec![]);
    }
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW, 150));
    err!(set(k, fd, &ROUTER_ALERT), ENOPROTOOPT);
    Ok(())
}

/// A socket that is told of options, and its address.
fn listener(k: &mut dyn Kernel) -> Got<(Fd, Addr)> {
    let (fd, addr) = k.udp(AF_INET)?;
    for name in [IP_RECVOPTS, IP_RETOPTS] {
        eq!(k.get_int(fd, IPPROTO_IP, name)?, 0);
        ret!(k.set_int(fd, IPPROTO_IP, name, 1), 0);
        eq!(k.get_int(fd, IPPROTO_IP, name)?, 1);
    }
    Ok((fd, addr))
}

/// What came with the next datagram: options, and those to answer with.
fn told(k: &mut dyn Kernel, fd: Fd) -> Got<(Vec<u8>, Vec<u8>)> {
    let mut msg = Msg::room(&[64]).control_room(512);
    ret!(k.recvmsg(fd, &mut msg, 0), 1);
    let kinds: Vec<i32> = msg.cmsgs().iter().map(|c| c.kind).collect();
    eq!(kinds, vec![IP_RECVOPTS, IP_RETOPTS]);
    let [came, answer] = [0, 1].map(|at| msg.cmsgs()[at].data.clone());
    Ok((came, answer))
}

fn sent_with(k: &mut dyn Kernel, options: &[u8]) -> Got<(Vec<u8>, Vec<u8>)> {
    let (to, addr) = listener(k)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(set(k, from, options), 0);
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    told(k, to)
}

fn record_route_arrives(k: &mut dyn Kernel) -> Outcome {
    // Sender and receiver have written their addresses.
    let filled = vec![7, 11, 12, 127, 0, 0, 1, 127, 0, 0, 1, 0];
    eq!(
        sent_with(k, &RECORD_ROUTE)?,
        (filled.clone(), filled.clone())
    );
    // With room for more, the next slot is for the answer.
    let mut roomy = vec![7, 15, 4];
    roomy.resize(15, 0);
    let (came, answer) = sent_with(k, &roomy)?;
    eq!(came[..3].to_vec(), vec![7, 15, 12]);
    eq!(answer, came);
    // With room for one the sender's alone.
    let (came, _) = sent_with(k, &[7, 7, 4, 0, 0, 0, 0])?;
    eq!(came, vec![7, 7, 8, 127, 0, 0, 1, 0]);
    Ok(())
}

fn timestamps_arrive(k: &mut dyn Kernel) -> Outcome {
    let mut given = vec![68, 16, 5, 0];
    given.resize(16, 0);
    let (came, answer) = sent_with(k, &given)?;
    eq!(came[..4].to_vec(), vec![68, 16, 13, 0]);
    eq!(came[12..].to_vec(), vec![0; 4]);
    eq!(answer, came);
    let mut given = vec![68, 20, 5, 1];
    given.resize(20, 0);
    let (came, _) = sent_with(k, &given)?;
    eq!(came[..8].to_vec(), vec![68, 20, 21, 1, 127, 0, 0, 1]);
    eq!(came[12..16].to_vec(), vec![127, 0, 0, 1]);
    // No room: how many had none is counted, once by each who receives.
    let (came, _) = sent_with(k, &[68, 4, 5, 0])?;
    eq!(came, vec![68, 4, 5, 0x10]);
    let given = [68, 12, 5, 3, 127, 0, 0, 1, 0, 0, 0, 0];
    let (came, _) = sent_with(k, &given)?;
    eq!(came[..8].to_vec(), vec![68, 12, 13, 3, 127, 0, 0, 1]);
    // Another host's time is its own.
    let given = [68, 12, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0];
    let (came, _) = sent_with(k, &given)?;
    eq!(came, given.to_vec());
    Ok(())
}

fn without_options_nothing_is_told(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = listener(k)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let mut msg = Msg::room(&[64]).control_room(512);
    ret!(k.recvmsg(to, &mut msg, 0), 1);
    eq!(msg.cmsgs(), vec![]);
    Ok(())
}

fn an_answer_may_be_empty(k: &mut dyn Kernel) -> Outcome {
    eq!(
        sent_with(k, &ROUTER_ALERT)?,
        (ROUTER_ALERT.to_vec(), vec![])
    );
    eq!(sent_with(k, &[1, 1])?, (vec![1, 1, 0, 0], vec![]));
    Ok(())
}

fn of_one_message(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = listener(k)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(set(k, from, &[1]), 0);
    let options = cmsg(IPPROTO_IP, IP_RETOPTS, &ROUTER_ALERT);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&options);
    ret!(k.sendmsg(from, &mut msg, 0), 1);
    eq!(told(k, to)?.0, ROUTER_ALERT.to_vec());
    // The socket's own are as they were.
    eq!(get(k, from)?, vec![1, 0, 0, 0]);
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    eq!(told(k, to)?.0, vec![1, 0, 0, 0]);
    Ok(())
}

fn bad_options_of_a_message(k: &mut dyn Kernel) -> Outcome {
    let (_, addr) = k.udp(AF_INET)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let options = cmsg(IPPROTO_IP, IP_RETOPTS, &[7, 7, 3, 0, 0, 0, 0]);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&options);
    err!(k.sendmsg(from, &mut msg, 0), EINVAL);
    // IP_OPTIONS is no message, and what is beyond 40 octets is not looked at.
    let options = cmsg(IPPROTO_IP, IP_RECVOPTS, &ROUTER_ALERT);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&options);
    err!(k.sendmsg(from, &mut msg, 0), EINVAL);
    let mut long = [1; 48];
    long[40..].fill(7);
    let options = cmsg(IPPROTO_IP, IP_RETOPTS, &long);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&options);
    ret!(k.sendmsg(from, &mut msg, 0), 1);
    Ok(())
}

fn leave_less_room(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    ret!(k.set_int(to, libc::SOL_SOCKET, libc::SO_RCVBUF, 400_000), 0);
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(
        k.set_int(from, libc::SOL_SOCKET, libc::SO_SNDBUF, 400_000),
        0
    );
    ret!(set(k, from, &[1; 40]), 0);
    let data = vec![7; 65_508 - 40];
    err!(k.sendto(from, &data, 0, &addr), EMSGSIZE);
    ret!(k.sendto(from, &data[1..], 0, &addr), 65_507 - 40);
    let mut msg = Msg::room(&[65_536]);
    ret!(k.recvmsg(to, &mut msg, 0), 65_507 - 40);
    Ok(())
}

fn source_routes_are_not_taken(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = listener(k)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let given = [137, 11, 4, 127, 0, 0, 1, 127, 0, 0, 2];
    ret!(set(k, from, &given), 0);
    eq!(get(k, from)?, [&given[..], &[0]].concat());
    for kind in [131, 137] {
        ret!(set(k, from, &[kind, 7, 4, 127, 0, 0, 1]), 0);
        ret!(k.sendto(from, b"x", 0, &addr), 1);
    }
    let mut msg = Msg::room(&[64]).control_room(512);
    err!(k.recvmsg(to, &mut msg, 0), EAGAIN);
    ret!(set(k, from, &[]), 0);
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    ret!(k.recvmsg(to, &mut msg, 0), 1);
    Ok(())
}

fn source_routes_of_an_ordinary_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for kind in [131, 137] {
        err!(set(k, fd, &[kind, 7, 4, 127, 0, 0, 1]), EPERM);
        // What is malformed is that first.
        err!(set(k, fd, &[kind, 7, 8, 127, 0, 0, 1]), EINVAL);
    }
    eq!(get(k, fd)?, vec![]);
    Ok(())
}

fn mapped_has_them_too(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = listener(k)?;
    let from = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(set(k, from, &ROUTER_ALERT), 0);
    let mapped = Addr::mapped([127, 0, 0, 1], addr.port());
    ret!(k.sendto(from, b"x", 0, &mapped), 1);
    eq!(told(k, to)?.0, ROUTER_ALERT.to_vec());
    Ok(())
}

fn accepted_connection_answers(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 8)?;
    let client = k.tcp_socket(AF_INET, NB)?;
    ret!(set(k, client, &RECORD_ROUTE), 0);
    // The listener's own are not for its connections.
    ret!(set(k, listener, &ROUTER_ALERT), 0);
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    // Both addresses stand in the answer, and there is no room for more.
    eq!(
        get(k, server)?,
        vec![7, 11, 12, 127, 0, 0, 1, 127, 0, 0, 1, 0]
    );
    eq!(get(k, client)?, [&RECORD_ROUTE[..], &[0]].concat());
    eq!(get(k, listener)?, ROUTER_ALERT.to_vec());
    let other = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(other, &addr)?;
    let plain = k.accept_now(listener)?;
    eq!(get(k, plain)?, vec![]);
    Ok(())
}

fn a_connection_carries_them(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    ret!(set(k, tcp.client, &[1; 40]), 0);
    let data = vec![3; 100_000];
    let mut sent = 0;
    let mut seen = Vec::new();
    for _ in 0..200 {
        if sent < data.len() {
            sent += k.send(tcp.client, &data[sent..], 0).max(0) as usize;
        }
        let mut msg = Msg::room(&[40_000]);
        let n = k.recvmsg(tcp.server, &mut msg, 0);
        seen.extend(msg.data(n));
        if seen.len() == data.len() {
            break;
        }
        if n <= 0 {
            k.pause(std::time::Duration::from_millis(1));
        }
    }
    eq!(seen.len(), data.len());
    eq!(get(k, tcp.server)?, vec![]);
    Ok(())
}

/// An address of this process alone.
fn own(which: u8) -> [u8; 4] {
    let id = std::process::id();
    [127, (id >> 8) as u8 | 128, id as u8, 60 + which]
}

/// The next packet from this address that a raw socket hears.
fn heard(k: &mut dyn Kernel, fd: Fd, kind: u8) -> Got<Vec<u8>> {
    for _ in 0..8 {
        let mut msg = Msg::room(&[256]);
        let n = ok!(k.recvmsg(fd, &mut msg, 0));
        let bytes = msg.data(n);
        if bytes[usize::from(bytes[0] & 15) * 4] == kind {
            return Ok(bytes);
        }
    }
    Ok(vec![])
}

fn echo_reply_has_them(k: &mut dyn Kernel) -> Outcome {
    let here = own(1);
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, IPPROTO_ICMP));
    ret!(k.bind(fd, &Addr::v4(here, 0)), 0);
    let mut options = vec![7, 19, 4];
    options.resize(19, 0);
    ret!(set(k, fd, &options), 0);
    let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    ret!(k.sendto(fd, &request, 0, &Addr::v4(here, 0)), 8);
    let reply = heard(k, fd, 0)?;
    // There, and back again: four times the same address.
    eq!(reply[0], 0x4a);
    eq!(reply[20..23].to_vec(), vec![7, 19, 20]);
    eq!(reply[23..39].to_vec(), [here; 4].concat());
    Ok(())
}

fn raw_socket_sees_them(k: &mut dyn Kernel) -> Outcome {
    let here = own(2);
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, 151));
    ret!(k.bind(fd, &Addr::v4(here, 0)), 0);
    ret!(set(k, fd, &RECORD_ROUTE), 0);
    ret!(k.set_int(fd, IPPROTO_IP, IP_RECVOPTS, 1), 0);
    ret!(k.sendto(fd, b"abcd", 0, &Addr::v4(here, 0)), 4);
    let mut msg = Msg::room(&[64]).control_room(128);
    let n = ok!(k.recvmsg(fd, &mut msg, 0));
    let bytes = msg.data(n);
    eq!(bytes.len(), 36);
    eq!(bytes[0], 0x48);
    eq!(bytes[20..23].to_vec(), vec![7, 11, 12]);
    eq!(bytes[23..31].to_vec(), [here; 2].concat());
    eq!(bytes[32..].to_vec(), b"abcd".to_vec());
    let came = msg.cmsg(IPPROTO_IP, IP_RECVOPTS).map(|c| c.data);
    eq!(came, Some(bytes[20..32].to_vec()));
    Ok(())
}

/// A packet of this protocol with options.
fn packet(here: [u8; 4], options: &[u8], protocol: u8, data: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() as u8 / 4;
    let mut bytes = vec![0x40 | words, 0, 0, 0, 0, 9, 0, 0, 64, protocol, 0, 0];
    bytes.extend(here);
    bytes.extend(here);
    bytes.extend(options);
    bytes.extend(data);
    bytes
}

fn written_by_the_caller(k: &mut dyn Kernel) -> Outcome {
    let here = own(3);
    let to = ok!(k.socket(AF_INET, SOCK_RAW | NB, 152));
    ret!(k.bind(to, &Addr::v4(here, 0)), 0);
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, libc::IPPROTO_RAW));
    let bytes = packet(here, &[7, 7, 4, 0, 0, 0, 0, 0], 152, b"xy");
    ret!(k.sendto(fd, &bytes, 0, &Addr::v4(here, 0)), 30);
    let mut msg = Msg::room(&[64]);
    ret!(k.recvmsg(to, &mut msg, 0), 30);
    let got = msg.data(30);
    // The sender's slot was left to the caller, so the receiver's address is the first.
    eq!(got[20..28].to_vec(), [&[7, 7, 8][..], &here, &[0]].concat());
    eq!(got[28..].to_vec(), b"xy".to_vec());
    // A header that is said to be longer than all there is.
    let short = packet(here, &[1; 8], 152, b"");
    err!(k.sendto(fd, &short[..24], 0, &Addr::v4(here, 0)), EINVAL);
    Ok(())
}

fn malformed_by_the_caller(k: &mut dyn Kernel) -> Outcome {
    let here = own(4);
    let to = ok!(k.socket(AF_INET, SOCK_RAW | NB, 153));
    ret!(k.bind(to, &Addr::v4(here, 0)), 0);
    let icmp = ok!(k.socket(AF_INET, SOCK_RAW | NB, IPPROTO_ICMP));
    ret!(k.bind(icmp, &Addr::v4(here, 0)), 0);
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, libc::IPPROTO_RAW));
    let bytes = packet(here, &[1, 7, 7, 3, 0, 0, 0, 0], 153, b"xy");
    ret!(k.sendto(fd, &bytes, 0, &Addr::v4(here, 0)), 30);
    let mut msg = Msg::room(&[64]);
    err!(k.recvmsg(to, &mut msg, 0), EAGAIN);
    // A parameter problem that points to the octet: the pointer of an option behind one of one octet.
    let problem = heard(k, icmp, 12)?;
    eq!(problem[20..22].to_vec(), vec![12, 0]);
    eq!(problem[24], 23);
    Ok(())
}

fn refused_beside_a_header_of_ones_own(k: &mut dyn Kernel) -> Outcome {
    let here = own(5);
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, libc::IPPROTO_RAW));
    ret!(set(k, fd, &ROUTER_ALERT), 0);
    let bytes = packet(here, &[], 154, b"xy");
    err!(k.sendto(fd, &bytes, 0, &Addr::v4(here, 0)), EINVAL);
    Ok(())
}
