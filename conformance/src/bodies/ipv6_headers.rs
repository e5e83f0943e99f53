//! IPv6 extension headers: sticky options, control messages, what of them arrives, and what a host does with options
//! that it does not know.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET6, IPPROTO_IPV6, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};

tests! {
    sticky_values [ROOT],
    routing_values,
    sticky_of_an_ordinary_user [ROOT|DROP],
    flags,
    sticky_headers_arrive [ROOT],
    of_one_message [ROOT],
    bad_messages [ROOT],
    messages_of_an_ordinary_user [ROOT|DROP],
    unknown_options [ROOT],
    padding [ROOT],
    routes_are_not_taken,
    pktoptions [ROOT],
    pktoptions_of_a_stream,
    leave_less_room [ROOT],
    a_connection_carries_them [ROOT],
    raw_chains [ROOT],
    problems_are_told [ROOT],
}

const IPV6_2292PKTOPTIONS: i32 = 6;
const IPV6_2292HOPOPTS: i32 = 3;
const IPV6_2292DSTOPTS: i32 = 4;
const IPV6_2292RTHDR: i32 = 5;
const HDRINCL: i32 = 36;
const HOPOPTS: i32 = libc::IPV6_HOPOPTS;
const DSTOPTS: i32 = libc::IPV6_DSTOPTS;
const RTHDR: i32 = libc::IPV6_RTHDR;
const RTHDRDSTOPTS: i32 = libc::IPV6_RTHDRDSTOPTS;

/// Four octets of padding and what aligns them.
const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: &[u8]) -> i64 {
    k.setsockopt(fd, IPPROTO_IPV6, name, value)
}

fn get(k: &mut dyn Kernel, fd: Fd, name: i32) -> Got<Vec<u8>> {
    let (got, value) = k.getsockopt(fd, IPPROTO_IPV6, name, 128);
    ret!(got, 0);
    Ok(value)
}

/// A routing header of this type with `::1` as its only stop.
fn route(kind: u8, left: u8, first: u8) -> Vec<u8> {
    let mut header = vec![0, 2, kind, left, first, 0, 0, 0];
    header.extend([0; 15]);
    header.push(1);
    header
}

fn sticky_values(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    for name in [HOPOPTS, DSTOPTS, RTHDRDSTOPTS] {
        eq!(get(k, fd, name)?, vec![]);
        ret!(set(k, fd, name, &PADDING), 0);
        eq!(get(k, fd, name)?, PADDING.to_vec());
        let (got, value) = k.getsockopt(fd, IPPROTO_IPV6, name, 3);
        ret!(got, 0);
        eq!(value, PADDING[..3].to_vec());
        // Its own length counts, as long as there is so much.
        ret!(set(k, fd, name, &[PADDING, PADDING].concat()), 0);
        eq!(get(k, fd, name)?, PADDING.to_vec());
        err!(set(k, fd, name, &[0, 1, 1, 4, 0, 0, 0, 0]), EINVAL);
        err!(set(k, fd, name, &[&PADDING[..], &[0]].concat()), EINVAL);
        err!(set(k, fd, name, &[0]), EINVAL);
        let mut long = vec![0; 256 * 8];
        err!(set(k, fd, name, &long), EINVAL);
        long.truncate(255 * 8);
        long[1] = 254;
        ret!(set(k, fd, name, &long), 0);
        ret!(set(k, fd, name, &[]), 0);
        eq!(get(k, fd, name)?, vec![]);
    }
    Ok(())
}

fn routing_values(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    eq!(get(k, fd, RTHDR)?, vec![]);
    ret!(set(k, fd, RTHDR, &route(4, 0, 0)), 0);
    eq!(get(k, fd, RTHDR)?, route(4, 0, 0));
    // Type 0 is deprecated (RFC 5095).
    err!(set(k, fd, RTHDR, &route(0, 1, 0)), EINVAL);
    err!(set(k, fd, RTHDR, &route(4, 1, 0)), EINVAL);
    err!(set(k, fd, RTHDR, &route(4, 0, 1)), EINVAL);
    let longer = [route(4, 0, 0), vec![0; 8]].concat();
    err!(set(k, fd, RTHDR, &longer), EINVAL);
    eq!(get(k, fd, RTHDR)?, route(4, 0, 0));
    ret!(set(k, fd, RTHDR, &[]), 0);
    eq!(get(k, fd, RTHDR)?, vec![]);
    Ok(())
}

fn sticky_of_an_ordinary_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    for name in [HOPOPTS, DSTOPTS, RTHDRDSTOPTS] {
        err!(set(k, fd, name, &PADDING), EPERM);
        err!(set(k, fd, name, &[]), EPERM);
    }
    ret!(set(k, fd, RTHDR, &route(4, 0, 0)), 0);
    Ok(())
}

const FLAGS: [i32; 6] = [
    libc::IPV6_RECVHOPOPTS,
    libc::IPV6_RECVDSTOPTS,
    libc::IPV6_RECVRTHDR,
    IPV6_2292HOPOPTS,
    IPV6_2292DSTOPTS,
    IPV6_2292RTHDR,
];

fn flags(k: &mut dyn Kernel) -> Outcome {
    for ty in [SOCK_DGRAM, SOCK_STREAM] {
        let fd = ok!(k.socket(AF_INET6, ty, 0));
        for name in FLAGS {
            eq!(k.get_int(fd, IPPROTO_IPV6, name)?, 0);
            ret!(k.set_int(fd, IPPROTO_IPV6, name, 7), 0);
            eq!(k.get_int(fd, IPPROTO_IPV6, name)?, 1);
            err!(set(k, fd, name, &[1]), EINVAL);
        }
    }
    Ok(())
}

/// Types and data of control messages.
type Told = Vec<(i32, Vec<u8>)>;

/// What a socket that asks for all of it is told of a datagram with these sticky options and messages.
fn told(
    k: &mut dyn Kernel,
    sticky: &[(i32, &[u8])],
    messages: &[(i32, &[u8])],
) -> Got<Option<Told>> {
    let (to, addr) = k.udp(AF_INET6)?;
    for name in FLAGS {
        ret!(k.set_int(to, IPPROTO_IPV6, name, 1), 0);
    }
    let from = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    for (name, value) in sticky {
        ret!(set(k, from, *name, value), 0);
    }
    let all = messages.iter();
    let all: Vec<u8> = all
        .flat_map(|(kind, data)| cmsg(IPPROTO_IPV6, *kind, data))
        .collect();
    let mut msg = Msg::of(&[b"x"]).to(&addr);
    if !all.is_empty() {
        msg = msg.control(&all);
    }
    ret!(k.sendmsg(from, &mut msg, 0), 1);
    let mut msg = Msg::room(&[64]).control_room(1024);
    let got = k.recvmsg(to, &mut msg, 0);
    if got == -i64::from(libc::EAGAIN) {
        return Ok(None);
    }
    ret!(got, 1);
    let all = msg.cmsgs().into_iter();
    Ok(Some(all.map(|c| (c.kind, c.data)).collect()))
}

/// A header that names the next one.
fn before(next: u8, header: &[u8]) -> Vec<u8> {
    [&[next], &header[1..]].concat()
}

fn sticky_headers_arrive(k: &mut dyn Kernel) -> Outcome {
    let last = before(17, &PADDING);
    let hop = told(k, &[(HOPOPTS, &PADDING)], &[])?;
    eq!(
        hop,
        Some(vec![
            (HOPOPTS, last.clone()),
            (IPV6_2292HOPOPTS, last.clone())
        ])
    );
    let dst = told(k, &[(DSTOPTS, &PADDING)], &[])?;
    eq!(
        dst,
        Some(vec![
            (DSTOPTS, last.clone()),
            (IPV6_2292DSTOPTS, last.clone())
        ])
    );
    // Of no account without a routing header.
    eq!(told(k, &[(RTHDRDSTOPTS, &PADDING)], &[])?, Some(vec![]));
    let both = told(k, &[(DSTOPTS, &PADDING), (HOPOPTS, &PADDING)], &[])?;
    let hop = before(60, &PADDING);
    eq!(
        both,
        Some(vec![
            (HOPOPTS, hop.clone()),
            (DSTOPTS, last.clone()),
            (IPV6_2292HOPOPTS, hop),
            (IPV6_2292DSTOPTS, last),
        ])
    );
    eq!(told(k, &[], &[])?, Some(vec![]));
    Ok(())
}

fn of_one_message(k: &mut dyn Kernel) -> Outcome {
    let last = before(17, &PADDING);
    let kinds = |told: Option<Vec<(i32, Vec<u8>)>>| {
        let all = told.unwrap_or_default().into_iter();
        all.map(|(kind, _)| kind).collect::<Vec<i32>>()
    };
    // The socket's own are not sent then, of whatever kind.
    let one = told(k, &[(HOPOPTS, &PADDING)], &[(DSTOPTS, &PADDING)])?;
    eq!(
        one,
        Some(vec![(DSTOPTS, last.clone()), (IPV6_2292DSTOPTS, last)])
    );
    let one = told(k, &[], &[(IPV6_2292HOPOPTS, &PADDING)])?;
    eq!(kinds(one), vec![HOPOPTS, IPV6_2292HOPOPTS]);
    let one = told(k, &[], &[(IPV6_2292DSTOPTS, &PADDING)])?;
    eq!(kinds(one), vec![DSTOPTS, IPV6_2292DSTOPTS]);
    // The later one counts.
    let other = [0, 0, 0x1e, 4, 1, 2, 3, 4];
    let one = told(k, &[], &[(DSTOPTS, &PADDING), (DSTOPTS, &other)])?;
    let other = before(17, &other);
    eq!(
        one,
        Some(vec![(DSTOPTS, other.clone()), (IPV6_2292DSTOPTS, other)])
    );
    eq!(kinds(told(k, &[], &[(RTHDRDSTOPTS, &PADDING)])?), vec![]);
    Ok(())
}

fn send_with(k: &mut dyn Kernel, fd: Fd, addr: &Addr, all: &[(i32, &[u8])]) -> i64 {
    let all = all.iter();
    let all: Vec<u8> = all
        .flat_map(|(kind, data)| cmsg(IPPROTO_IPV6, *kind, data))
        .collect();
    let mut msg = Msg::of(&[b"x"]).to(addr).control(&all);
    k.sendmsg(fd, &mut msg, 0)
}

fn bad_messages(k: &mut dyn Kernel) -> Outcome {
    let (_, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let longer = [0, 1, 1, 4, 0, 0, 0, 0];
    for kind in [
        HOPOPTS,
        DSTOPTS,
        RTHDRDSTOPTS,
        IPV6_2292HOPOPTS,
        IPV6_2292DSTOPTS,
    ] {
        err!(send_with(k, fd, &addr, &[(kind, &[0])]), EINVAL);
        err!(send_with(k, fd, &addr, &[(kind, &longer)]), EINVAL);
    }
    let twice: [(i32, &[u8]); 2] = [(HOPOPTS, &PADDING), (IPV6_2292HOPOPTS, &PADDING)];
    err!(send_with(k, fd, &addr, &twice), EINVAL);
    let twice: [(i32, &[u8]); 2] = [(DSTOPTS, &PADDING), (IPV6_2292DSTOPTS, &PADDING)];
    err!(send_with(k, fd, &addr, &twice), EINVAL);
    for kind in [RTHDR, IPV6_2292RTHDR] {
        err!(send_with(k, fd, &addr, &[(kind, &route(4, 0, 0))]), EINVAL);
        err!(send_with(k, fd, &addr, &[(kind, &route(0, 1, 0))]), EINVAL);
    }
    Ok(())
}

fn messages_of_an_ordinary_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let (_, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    for kind in [
        HOPOPTS,
        DSTOPTS,
        RTHDRDSTOPTS,
        IPV6_2292HOPOPTS,
        IPV6_2292DSTOPTS,
    ] {
        err!(send_with(k, fd, &addr, &[(kind, &PADDING)]), EPERM);
        err!(send_with(k, fd, &addr, &[(kind, &[0])]), EINVAL);
    }
    Ok(())
}

fn unknown_options(k: &mut dyn Kernel) -> Outcome {
    for name in [HOPOPTS, DSTOPTS] {
        // RFC 8200, 4.2: skip, discard, and discard with a word to the sender.
        for (kind, arrives) in [(0x21, true), (0x61, false), (0xa1, false), (0xe1, false)] {
            let header = [0, 0, kind, 4, 0, 0, 0, 0];
            eq!(told(k, &[(name, &header)], &[])?.is_some(), arrives);
        }
    }
    // A router alert (RFC 2711).
    let alert = [0, 0, 5, 2, 0, 0, 1, 0];
    eq!(told(k, &[(HOPOPTS, &alert)], &[])?.is_some(), true);
    Ok(())
}

fn padding(k: &mut dyn Kernel) -> Outcome {
    let mut wide = vec![0, 1, 1, 12];
    wide.resize(16, 0);
    let cases: [(&[u8], bool); 5] = [
        (&[0; 8], true),
        // Not all zeroes.
        (&[0, 0, 1, 4, 0, 0, 0, 1], false),
        (&wide, false),
        // One octet too much after what aligns.
        (&[0, 1, 1, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0], false),
        (&[0, 0, 1, 9, 0, 0, 0, 0], false),
    ];
    for (header, arrives) in cases {
        eq!(told(k, &[(HOPOPTS, header)], &[])?.is_some(), arrives);
    }
    Ok(())
}

fn routes_are_not_taken(k: &mut dyn Kernel) -> Outcome {
    eq!(told(k, &[(RTHDR, &route(4, 0, 0))], &[])?, None);
    Ok(())
}

fn pktoptions(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(set(k, fd, HOPOPTS, &PADDING), 0);
    let dst = cmsg(IPPROTO_IPV6, IPV6_2292DSTOPTS, &PADDING);
    ret!(set(k, fd, IPV6_2292PKTOPTIONS, &dst), 0);
    eq!(get(k, fd, HOPOPTS)?, vec![]);
    eq!(get(k, fd, DSTOPTS)?, PADDING.to_vec());
    // Other messages are looked at, and forgotten.
    let hops = cmsg(IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &300i32.to_ne_bytes());
    err!(set(k, fd, IPV6_2292PKTOPTIONS, &hops), EINVAL);
    err!(set(k, fd, IPV6_2292PKTOPTIONS, &dst[..20]), EINVAL);
    eq!(get(k, fd, DSTOPTS)?, PADDING.to_vec());
    ret!(set(k, fd, IPV6_2292PKTOPTIONS, &[]), 0);
    eq!(get(k, fd, DSTOPTS)?, vec![]);
    let (got, _) = k.getsockopt(fd, IPPROTO_IPV6, IPV6_2292PKTOPTIONS, 64);
    eq!(got, -i64::from(libc::ENOPROTOOPT));
    Ok(())
}

fn pktoptions_of_a_stream(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM, 0));
    eq!(get(k, fd, IPV6_2292PKTOPTIONS)?, vec![]);
    for name in [libc::IPV6_RECVPKTINFO, libc::IPV6_RECVHOPLIMIT] {
        ret!(k.set_int(fd, IPPROTO_IPV6, name, 1), 0);
    }
    let told = get(k, fd, IPV6_2292PKTOPTIONS)?;
    let info = cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO, &[0; 20]);
    let hops = cmsg(IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &1i32.to_ne_bytes());
    // What aligns them is not written.
    eq!(told.len(), 64);
    eq!(told[..36].to_vec(), info[..36].to_vec());
    eq!(told[40..60].to_vec(), hops[..20].to_vec());
    Ok(())
}

fn leave_less_room(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET6)?;
    ret!(k.set_int(to, libc::SOL_SOCKET, libc::SO_RCVBUF, 400_000), 0);
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 400_000), 0);
    // Linux counts destination options twice, and those of hops once.
    for (name, most) in [(DSTOPTS, 65_527 - 16), (HOPOPTS, 65_527 - 8)] {
        ret!(set(k, fd, DSTOPTS, &[]), 0);
        ret!(set(k, fd, name, &PADDING), 0);
        let data = vec![7; most + 1];
        err!(k.sendto(fd, &data, 0, &addr), EMSGSIZE);
        ret!(k.sendto(fd, &data[1..], 0, &addr), most);
        let mut msg = Msg::room(&[65_536]);
        ret!(k.recvmsg(to, &mut msg, 0), most);
    }
    Ok(())
}

fn a_connection_carries_them(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET6, 8)?;
    ret!(set(k, listener, DSTOPTS, &PADDING), 0);
    let client = k.tcp_socket(AF_INET6, NB)?;
    ret!(set(k, client, HOPOPTS, &PADDING), 0);
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    eq!(get(k, server, DSTOPTS)?, PADDING.to_vec());
    eq!(get(k, server, HOPOPTS)?, vec![]);
    ret!(k.send(client, b"there", 0), 5);
    eq!(k.recv_now(server)?, b"there".to_vec());
    ret!(k.send(server, b"back", 0), 4);
    eq!(k.recv_now(client)?, b"back".to_vec());
    Ok(())
}

/// A packet to `::1` with this behind its header.
pub(super) fn packet6(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0, 0, rest.len() as u8, first, 64];
    for _ in 0..2 {
        bytes.extend([0; 15]);
        bytes.push(1);
    }
    bytes.extend(rest);
    bytes
}

fn raw_chains(k: &mut dyn Kernel) -> Outcome {
    let protocol = 200 + (std::process::id() % 50) as u8;
    let hears = ok!(k.socket(AF_INET6, SOCK_RAW | NB, protocol.into()));
    ret!(k.set_int(hears, IPPROTO_IPV6, libc::IPV6_RECVRTHDR, 1), 0);
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, libc::IPPROTO_RAW));
    ret!(k.set_int(fd, IPPROTO_IPV6, HDRINCL, 1), 0);
    // A routing header that has led to its end is stepped over, of whatever type.
    let chain = [
        before(60, &PADDING),
        before(43, &PADDING),
        before(protocol, &route(0, 0, 0)),
        b"end".to_vec(),
    ];
    let bytes = packet6(0, &chain.concat());
    ret!(k.sendto(fd, &bytes, 0, &Addr::lo6(0)), bytes.len());
    let mut msg = Msg::room(&[64]).control_room(128);
    ret!(k.recvmsg(hears, &mut msg, 0), 3);
    eq!(msg.data(3), b"end".to_vec());
    let came = msg.cmsg(IPPROTO_IPV6, RTHDR).map(|c| c.data);
    eq!(came, Some(before(protocol, &route(0, 0, 0))));
    // Hop-by-hop options stand first or not at all; a header that runs over the end; nothing that follows.
    for (first, rest) in [
        (
            60,
            [before(0, &PADDING), before(protocol, &PADDING)].concat(),
        ),
        (60, vec![protocol, 1, 1, 4, 0, 0, 0, 0]),
        (60, before(59, &PADDING)),
    ] {
        let bytes = packet6(first, &rest);
        ret!(k.sendto(fd, &bytes, 0, &Addr::lo6(0)), bytes.len());
        err!(k.recvmsg(hears, &mut msg, 0), EAGAIN);
    }
    Ok(())
}

fn problems_are_told(k: &mut dyn Kernel) -> Outcome {
    let icmp = ok!(k.socket(AF_INET6, SOCK_RAW | NB, libc::IPPROTO_ICMPV6));
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, libc::IPPROTO_RAW));
    ret!(k.set_int(fd, IPPROTO_IPV6, HDRINCL, 1), 0);
    let mark = std::process::id().to_ne_bytes();
    let behind = |rest: Vec<u8>| [&rest[..], &mark, &mark].concat();
    let cases = [
        // An option that must be known: the pointer at it.
        (0, behind(vec![59, 0, 1, 0, 0x81, 2, 0, 0]), (2, 44)),
        (60, behind(vec![59, 0, 0x81, 4, 0, 0, 0, 0]), (2, 42)),
        // A route that goes on: at its type.
        (43, behind(before(59, &route(0, 1, 0))), (0, 42)),
        // Nobody speaks this: at what names it.
        (60, behind(before(253, &PADDING)), (1, 40)),
        (
            60,
            behind([before(0, &PADDING), PADDING.to_vec()].concat()),
            (1, 40),
        ),
    ];
    for (first, rest, (code, pointer)) in cases {
        let bytes = packet6(first, &rest);
        ret!(k.sendto(fd, &bytes, 0, &Addr::lo6(0)), bytes.len());
        let mut found = None;
        for _ in 0..16 {
            let mut msg = Msg::room(&[256]);
            let n = ok!(k.recvmsg(icmp, &mut msg, 0));
            let told = msg.data(n);
            if told[0] == 4 && told.ends_with(&bytes) {
                found = Some((told[1], told[7]));
                break;
            }
        }
        eq!(found, Some((code, pointer)));
    }
    Ok(())
}
