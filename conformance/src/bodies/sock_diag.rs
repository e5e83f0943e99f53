//! NETLINK_SOCK_DIAG (sock_diag(7)): what ss(8) asks.

use super::netlink::{Answer, answers, attribute, request};
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};

tests! {
    tcp_listener,
    tcp_connection,
    tcp_attributes,
    attributes_only_on_demand,
    states_and_ports,
    udp_sockets,
    sockets_of_ipv6,
    one_socket_by_its_name,
    filters_of_ports,
    filters_of_prefixes,
    filters_that_are_refused,
    filters_by_mark [DROP],
    unix_pair,
    unix_listener,
    unix_names_and_types,
    one_unix_socket,
    requests_that_are_refused,
    destroying_needs_a_privilege [DROP],
}

/// SOCK_DIAG_BY_FAMILY, SOCK_DESTROY.
pub(super) const BY_FAMILY: u16 = 20;
pub(super) const DESTROY: u16 = 21;
const DUMP: u16 = 0x301;
/// IPPROTO_TCP, IPPROTO_UDP.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ALL: u32 = 0xfff;
/// `sizeof(struct inet_diag_msg)` and `sizeof(struct unix_diag_msg)`.
const INET: usize = 72;
const UNIX: usize = 16;

pub(super) fn ask(k: &mut dyn Kernel, kind: u16, flags: u16, body: &[u8]) -> Got<Vec<Answer>> {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 4));
    let m = request(kind, flags, 3, body);
    ret!(k.send(fd, &m, 0), m.len());
    let all = answers(k, fd);
    k.close(fd);
    Ok(all)
}

/// The errno of the only answer, without the sign.
pub(super) fn refused(k: &mut dyn Kernel, kind: u16, flags: u16, body: &[u8]) -> Got<i32> {
    let all = ask(k, kind, flags, body)?;
    eq!((all.len(), all[0].kind), (1, 2));
    Ok(-all[0].errno())
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, states, local and remote port.
pub(super) fn inet(family: i32, protocol: u8, ext: u8, states: u32, ports: (u16, u16)) -> Vec<u8> {
    let mut m = vec![family as u8, protocol, ext, 0];
    m.extend(states.to_ne_bytes());
    m.extend(ports.0.to_be_bytes());
    m.extend(ports.1.to_be_bytes());
    m.resize(56, 0);
    m
}

/// A dump without the message that ends it, and without TCP's sockets in TIME_WAIT unless only
/// they are wanted: a host has those of earlier bodies, with ports that are given again.
pub(super) fn listed(k: &mut dyn Kernel, body: &[u8]) -> Got<Vec<Answer>> {
    let mut all = ask(k, BY_FAMILY, DUMP, body)?;
    check!(all.pop().is_some_and(|m| m.kind == 3), "no NLMSG_DONE");
    check!(all.iter().all(|m| m.kind == BY_FAMILY), "other messages");
    let internet = [AF_INET as u8, AF_INET6 as u8].contains(&body[0]);
    if internet && body[1] == TCP && body[4..8] != (1_u32 << 6).to_ne_bytes() {
        all.retain(|m| m.body[1] != 6);
    }
    Ok(all)
}

pub(super) fn word(m: &Answer, at: usize) -> u32 {
    u32::from_ne_bytes([m.body[at], m.body[at + 1], m.body[at + 2], m.body[at + 3]])
}

/// Receive queue and send queue.
fn queues(m: &Answer) -> (u32, u32) {
    (word(m, 56), word(m, 60))
}

pub(super) fn port(k: &mut dyn Kernel, fd: Fd) -> Got<u16> {
    let name = k.sockname(fd)?.0;
    Ok(u16::from_be_bytes([name[2], name[3]]))
}

pub(super) fn listener(k: &mut dyn Kernel, backlog: i32) -> Got<(Fd, u16)> {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    ok!(k.bind(fd, &Addr::lo4(0)));
    ok!(k.listen(fd, backlog));
    let port = port(k, fd)?;
    Ok((fd, port))
}

/// A listener's port, the client and the accepted socket.
fn connection(k: &mut dyn Kernel) -> Got<(u16, Fd, Fd)> {
    let (fd, port) = listener(k, 5)?;
    let client = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ok!(k.connect(client, &Addr::lo4(port)));
    let server = ok!(k.accept(fd));
    k.close(fd);
    Ok((port, client, server))
}

fn tcp_listener(k: &mut dyn Kernel) -> Outcome {
    let (_, here) = listener(k, 5)?;
    let client = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ok!(k.connect(client, &Addr::lo4(here)));
    let all = listed(k, &inet(AF_INET, TCP, 0, 1 << 10, (here, 0)))?;
    eq!(all.len(), 1);
    let m = &all[0];
    // AF_INET, TCP_LISTEN, no timer; one waits, and five may.
    eq!(m.body[..4].to_vec(), vec![2, 10, 0, 0]);
    eq!(queues(m), (1, 5));
    eq!(m.body[8..12].to_vec(), vec![127, 0, 0, 1]);
    eq!(m.body[4..8].to_vec(), [here.to_be_bytes(), [0; 2]].concat());
    check!(word(m, 68) != 0, "no inode");
    Ok(())
}

fn tcp_connection(k: &mut dyn Kernel) -> Outcome {
    let (here, client, server) = connection(k)?;
    let there = port(k, client)?;
    ret!(k.send(client, b"abc", 0), 3);
    let all = listed(k, &inet(AF_INET, TCP, 0, 1 << 1, (here, 0)))?;
    eq!(all.len(), 1);
    eq!((all[0].body[1], queues(&all[0])), (1, (3, 0)));
    eq!(all[0].body[6..8].to_vec(), there.to_be_bytes().to_vec());
    eq!(all[0].body[24..28].to_vec(), vec![127, 0, 0, 1]);
    let other = listed(k, &inet(AF_INET, TCP, 0, ALL, (there, here)))?;
    eq!((other.len(), queues(&other[0])), (1, (0, 0)));
    check!(word(&other[0], 68) != word(&all[0], 68), "the same inode");
    // INET_DIAG_SHUTDOWN: after shutdown(SHUT_WR) the client sends no more.
    eq!(other[0].attribute(INET, 8), Some(vec![0]));
    ok!(k.shutdown(client, libc::SHUT_WR));
    let all = listed(k, &inet(AF_INET, TCP, 0, ALL, (there, here)))?;
    // FIN_WAIT1, until the acknowledgment has come.
    check!(matches!(all[0].body[1], 4 | 5), "state {}", all[0].body[1]);
    eq!(all[0].attribute(INET, 8), Some(vec![2]));
    let all = listed(k, &inet(AF_INET, TCP, 0, ALL, (here, there)))?;
    eq!(
        (all[0].body[1], all[0].attribute(INET, 8)),
        (8, Some(vec![1]))
    );
    ret!(k.recv(server, &mut [0; 9], 0), 3);
    k.close(server);
    k.close(client);
    // One is in TIME_WAIT now, with nobody's inode.
    let all = listed(k, &inet(AF_INET, TCP, 0, 1 << 6, (there, here)))?;
    eq!((all.len(), all[0].body[2], word(&all[0], 68)), (1, 3, 0));
    Ok(())
}

fn tcp_attributes(k: &mut dyn Kernel) -> Outcome {
    let (here, client, _) = connection(k)?;
    let there = port(k, client)?;
    let all = listed(k, &inet(AF_INET, TCP, 0xff, ALL, (there, here)))?;
    let m = &all[0];
    // MEMINFO, INFO, CONG, TOS, SKMEMINFO
    eq!(m.attribute(INET, 1).map(|a| a.len()), Some(16));
    let info = m.attribute(INET, 2).unwrap_or_default();
    check!(info.len() > 200, "{} bytes of tcp_info", info.len());
    eq!(info[0], 1);
    let (got, name) = k.getsockopt(client, libc::SOL_TCP, libc::TCP_CONGESTION, 16);
    eq!(got, 0);
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    eq!(m.attribute(INET, 4), Some([&name[..end], &[0]].concat()));
    eq!(m.attribute(INET, 5), Some(vec![0]));
    let memory = m.attribute(INET, 7).unwrap_or_default();
    eq!(memory.len(), 36);
    let sndbuf = k.get_int(client, libc::SOL_SOCKET, libc::SO_SNDBUF)?;
    eq!(memory[12..16].to_vec(), sndbuf.to_ne_bytes().to_vec());
    // INET_DIAG_SOCKOPT: a connection socket, whose packets to groups would come back.
    let options = m.attribute(INET, 22).unwrap_or_default();
    eq!((options.len(), options[0] & 2), (2, 2));
    Ok(())
}

fn attributes_only_on_demand(k: &mut dyn Kernel) -> Outcome {
    let (_, here) = listener(k, 5)?;
    let all = listed(k, &inet(AF_INET, TCP, 0, ALL, (here, 0)))?;
    for kind in [1, 2, 4, 5, 7] {
        eq!((kind, all[0].attribute(INET, kind)), (kind, None));
    }
    // INET_DIAG_MARK is for who administers the network.
    eq!(all[0].attribute(INET, 15).is_some(), k.privileged());
    Ok(())
}

fn states_and_ports(k: &mut dyn Kernel) -> Outcome {
    let (_, here) = listener(k, 5)?;
    let found = listed(k, &inet(AF_INET, TCP, 0, 1 << 10, (here, 0)))?;
    // By its inode: whatever else runs on the host may hold the same port of another address,
    // family or protocol, or be in TIME_WAIT towards it.
    let lo = [127, 0, 0, 1];
    let Some(inode) = found
        .iter()
        .find(|m| m.body[8..12] == lo)
        .map(|m| word(m, 68))
    else {
        return Err(crate::check::Stop::Fail(
            "the listener is not listed".into(),
        ));
    };
    let count = |k: &mut dyn Kernel, family, protocol, states, ports| {
        let all = listed(k, &inet(family, protocol, 0, states, ports))?;
        let mine = all.iter().filter(|m| word(m, 68) == inode).count();
        Ok::<_, crate::check::Stop>((mine, all.len()))
    };
    eq!(count(k, AF_INET, TCP, ALL, (here, 0))?.0, 1);
    eq!(count(k, AF_INET, TCP, ALL & !(1 << 10), (here, 0))?.0, 0);
    eq!(count(k, AF_INET, TCP, 0, (here, 0))?, (0, 0));
    eq!(count(k, AF_INET, TCP, ALL, (here, 9))?, (0, 0));
    eq!(count(k, AF_INET, TCP, ALL, (0, here))?.0, 0);
    eq!(count(k, AF_INET, TCP, ALL, (0, 0))?.0, 1);
    eq!(count(k, AF_INET6, TCP, ALL, (here, 0))?.0, 0);
    eq!(count(k, AF_INET, UDP, ALL, (here, 0))?.0, 0);
    Ok(())
}

fn udp_sockets(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ok!(k.bind(fd, &Addr::lo4(0)));
    let here = port(k, fd)?;
    let all = listed(k, &inet(AF_INET, UDP, 0xff, ALL, (here, 0)))?;
    // TCP_CLOSE
    eq!((all.len(), all[0].body[1], queues(&all[0])), (1, 7, (0, 0)));
    eq!(all[0].attribute(INET, 7).map(|a| a.len()), Some(36));
    eq!(all[0].attribute(INET, 2), None);
    let other = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ok!(k.connect(other, &Addr::lo4(here)));
    ret!(k.send(other, b"abc", 0), 3);
    let there = port(k, other)?;
    let all = listed(k, &inet(AF_INET, UDP, 0, 1 << 1, (there, here)))?;
    eq!((all.len(), all[0].body[1]), (1, 1));
    let all = listed(k, &inet(AF_INET, UDP, 0, 1 << 7, (here, 0)))?;
    check!(queues(&all[0]).0 >= 3, "nothing is queued");
    Ok(())
}

fn sockets_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM, 0));
    ok!(k.set_int(fd, libc::SOL_IPV6, libc::IPV6_V6ONLY, 0));
    ok!(k.bind(fd, &Addr::v6([0; 16], 0)));
    ok!(k.listen(fd, 7));
    let here = port(k, fd)?;
    let all = listed(k, &inet(AF_INET6, TCP, 0, ALL, (here, 0)))?;
    eq!(
        (all.len(), all[0].body[0], queues(&all[0])),
        (1, 10, (0, 7))
    );
    // INET_DIAG_SKV6ONLY
    eq!(all[0].attribute(INET, 11), Some(vec![0]));
    let client = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ok!(k.connect(client, &Addr::lo4(here)));
    ok!(k.accept(fd));
    // The accepted one is an IPv6 socket with mapped addresses.
    let all = listed(k, &inet(AF_INET6, TCP, 0, 1 << 1, (here, 0)))?;
    eq!(all.len(), 1);
    eq!(
        all[0].body[16..24].to_vec(),
        vec![0, 0, 255, 255, 127, 0, 0, 1]
    );
    Ok(())
}

fn one_socket_by_its_name(k: &mut dyn Kernel) -> Outcome {
    let (here, client, _) = connection(k)?;
    let there = port(k, client)?;
    let mut one = inet(AF_INET, TCP, 0, ALL, (there, here));
    one[12..16].copy_from_slice(&[127, 0, 0, 1]);
    one[28..32].copy_from_slice(&[127, 0, 0, 1]);
    one[48..].fill(0xff);
    let all = ask(k, BY_FAMILY, 1, &one)?;
    eq!((all.len(), all[0].kind, all[0].flags), (1, BY_FAMILY, 0));
    // SO_COOKIE is what it is known by.
    let cookie = all[0].body[44..52].to_vec();
    eq!(
        k.getsockopt(client, libc::SOL_SOCKET, libc::SO_COOKIE, 8).1,
        cookie.clone()
    );
    one[48..].copy_from_slice(&cookie);
    eq!(ask(k, BY_FAMILY, 1, &one)?[0].kind, BY_FAMILY);
    one[48] ^= 1;
    eq!(refused(k, BY_FAMILY, 1, &one)?, libc::ENOENT);
    one[48..].fill(0xff);
    one[10..12].copy_from_slice(&1u16.to_be_bytes());
    eq!(refused(k, BY_FAMILY, 1, &one)?, libc::ENOENT);
    Ok(())
}

/// One instruction: code, where a yes leads, where a no.
fn op(code: u8, yes: u8, no: u16) -> Vec<u8> {
    [&[code, yes][..], &no.to_ne_bytes()].concat()
}

/// A comparison with a number, whose no ends the program with a no.
fn port_is(code: u8, number: u16) -> Vec<u8> {
    [op(code, 8, 12), op(0, 0, number)].concat()
}

/// How many a filter shows of one connection's two sockets and the rest of the host.
fn shown(k: &mut dyn Kernel, code: &[u8]) -> Got<Vec<Answer>> {
    let mut body = inet(AF_INET, TCP, 0, ALL, (0, 0));
    body.extend(attribute(1, code));
    listed(k, &body)
}

/// Source and destination.
fn ports_of(m: &Answer) -> (u16, u16) {
    let at = |at| u16::from_be_bytes([m.body[at], m.body[at + 1]]);
    (at(4), at(6))
}

/// Those with these.
fn ours(all: &[Answer], ports: (u16, u16)) -> usize {
    all.iter().filter(|m| ports_of(m) == ports).count()
}

fn filters_of_ports(k: &mut dyn Kernel) -> Outcome {
    let (here, client, _) = connection(k)?;
    let there = port(k, client)?;
    // S_EQ and D_EQ. The ports of others, too, may be the same.
    let all = shown(k, &port_is(11, here))?;
    check!(all.iter().all(|m| ports_of(m).0 == here), "another source");
    eq!(ours(&all, (here, there)), 1);
    let all = shown(k, &port_is(12, here))?;
    check!(
        all.iter().all(|m| ports_of(m).1 == here),
        "another destination"
    );
    eq!(ours(&all, (there, here)), 1);
    let both = [
        op(11, 8, 28),
        op(0, 0, here),
        op(12, 8, 12),
        op(0, 0, there),
    ];
    // The first no goes past the end, as the second does.
    let both = [
        both[0].clone(),
        both[1].clone(),
        both[2].clone(),
        both[3].clone(),
    ]
    .concat();
    let mut both = both;
    both[2..4].copy_from_slice(&20u16.to_ne_bytes());
    let all = shown(k, &both)?;
    eq!((all.len(), ours(&all, (here, there))), (1, 1));
    // S_GE and S_LE.
    let all = shown(k, &port_is(2, here))?;
    check!(all.iter().all(|m| ports_of(m).0 >= here), "smaller");
    let all = shown(k, &port_is(3, here))?;
    check!(all.iter().all(|m| ports_of(m).0 <= here), "greater");
    // JMP to the end is a yes, one too far a no.
    check!(shown(k, &op(1, 4, 4))?.len() >= 2, "nothing");
    eq!(shown(k, &op(1, 4, 8))?.len(), 0);
    Ok(())
}

/// A `struct inet_diag_hostcond` behind S_COND or D_COND.
fn host_is(code: u8, family: u8, prefix: u8, port: i32, addr: &[u8]) -> Vec<u8> {
    let len = 12 + addr.len() as u8;
    let mut out = op(code, len, u16::from(len) + 4);
    out.extend([family, prefix, 0, 0]);
    out.extend(port.to_ne_bytes());
    out.extend(addr);
    out
}

fn filters_of_prefixes(k: &mut dyn Kernel) -> Outcome {
    let (here, client, _) = connection(k)?;
    let there = port(k, client)?;
    let port = i32::from(here);
    eq!(
        shown(k, &host_is(7, 2, 32, port, &[127, 0, 0, 1]))?.len(),
        1
    );
    eq!(shown(k, &host_is(7, 2, 9, port, &[127, 9, 9, 9]))?.len(), 1);
    eq!(
        shown(k, &host_is(7, 2, 32, port, &[127, 0, 0, 2]))?.len(),
        0
    );
    // A closed connection of another may have had the port.
    let all = shown(k, &host_is(8, 0, 0, port, &[]))?;
    check!(
        all.iter().all(|m| ports_of(m).1 == here),
        "another destination"
    );
    eq!(ours(&all, (there, here)), 1);
    eq!(shown(k, &host_is(8, 10, 0, port, &[0; 16]))?.len(), 0);
    check!(
        shown(k, &host_is(7, 2, 8, -1, &[127, 0, 0, 0]))?.len() >= 2,
        "too few"
    );
    Ok(())
}

fn filters_that_are_refused(k: &mut dyn Kernel) -> Outcome {
    let wrong = [
        vec![],
        vec![1, 4],
        // No such instruction, steps that are none, and into the middle of another.
        op(14, 4, 4),
        op(1, 0, 4),
        op(1, 4, 0),
        op(1, 5, 4),
        op(1, 4, 12),
        op(1, 8, 4),
        op(11, 8, 8),
        [op(1, 4, 8), port_is(11, 1)].concat(),
        host_is(7, 2, 33, 1, &[0; 4]),
        host_is(7, 99, 0, 1, &[]),
    ];
    for (i, code) in wrong.iter().enumerate() {
        let mut body = inet(AF_INET, TCP, 0, ALL, (0, 0));
        body.extend(attribute(1, code));
        eq!((i, refused(k, BY_FAMILY, DUMP, &body)?), (i, libc::EINVAL));
    }
    Ok(())
}

fn filters_by_mark(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let mut body = inet(AF_INET, TCP, 0, ALL, (0, 0));
    body.extend(attribute(1, &[op(10, 12, 16), vec![0; 8]].concat()));
    eq!(refused(k, BY_FAMILY, DUMP, &body)?, libc::EPERM);
    Ok(())
}

/// `struct unix_diag_req`: states, inode, what to show, cookie.
fn unix(states: u32, inode: u32, show: u32, cookie: [u8; 8]) -> Vec<u8> {
    let mut m = vec![AF_UNIX as u8, 0, 0, 0];
    for word in [states, inode, show] {
        m.extend(word.to_ne_bytes());
    }
    m.extend(cookie);
    m
}

/// The socket with this SO_COOKIE, with everything.
fn unix_socket(k: &mut dyn Kernel, fd: Fd, show: u32) -> Got<Answer> {
    let cookie = k.getsockopt(fd, libc::SOL_SOCKET, libc::SO_COOKIE, 8).1;
    let all = listed(k, &unix(u32::MAX, 0, show, [0; 8]))?;
    let found = all.into_iter().find(|m| m.body[8..16] == cookie[..]);
    Ok(found.ok_or("the socket is not listed".to_string())?)
}

fn unix_pair(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.send(a, b"abc", 0), 3);
    let (first, second) = (unix_socket(k, a, 0x7f)?, unix_socket(k, b, 0x7f)?);
    // AF_UNIX, SOCK_STREAM, TCP_ESTABLISHED
    eq!(first.body[..4].to_vec(), vec![1, 1, 1, 0]);
    // UNIX_DIAG_PEER is the other's inode.
    eq!(first.attribute(UNIX, 2), Some(second.body[4..8].to_vec()));
    eq!(second.attribute(UNIX, 2), Some(first.body[4..8].to_vec()));
    // UNIX_DIAG_RQLEN: what lies there, and what is charged to the sender.
    let queue = second.attribute(UNIX, 4).unwrap_or_default();
    eq!((queue.len(), queue[0]), (8, 3));
    let queue = first.attribute(UNIX, 4).unwrap_or_default();
    check!(queue[4..] != [0; 4], "nothing is charged");
    eq!(first.attribute(UNIX, 5).map(|a| a.len()), Some(36));
    eq!(first.attribute(UNIX, 6), Some(vec![0]));
    eq!(first.attribute(UNIX, 0), None);
    eq!(first.attribute(UNIX, 7).map(|a| a.len()), Some(4));
    ok!(k.shutdown(a, libc::SHUT_WR));
    eq!(unix_socket(k, a, 0)?.attribute(UNIX, 6), Some(vec![2]));
    eq!(unix_socket(k, b, 0)?.attribute(UNIX, 6), Some(vec![1]));
    // Nothing else without having been asked for.
    eq!(unix_socket(k, b, 0)?.body.len(), UNIX + 8);
    k.close(b);
    eq!(unix_socket(k, a, 4)?.attribute(UNIX, 2), Some(vec![0; 4]));
    Ok(())
}

fn unix_listener(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let name = Addr::unix(&[]);
    ok!(k.bind(fd, &name));
    ok!(k.listen(fd, 3));
    let to = k.sockname(fd)?;
    let client = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ok!(k.connect(client, &to));
    let m = unix_socket(k, fd, 0x7f)?;
    // TCP_LISTEN
    eq!(m.body[2], 10);
    eq!(m.attribute(UNIX, 0), Some(to.0[2..].to_vec()));
    // UNIX_DIAG_ICONS: who waits.
    let own = unix_socket(k, client, 4)?;
    eq!(m.attribute(UNIX, 3), Some(own.body[4..8].to_vec()));
    let queue = m.attribute(UNIX, 4).unwrap_or_default();
    eq!(queue, [1u32.to_ne_bytes(), 3u32.to_ne_bytes()].concat());
    // The other end has no inode before it is accepted.
    eq!(own.attribute(UNIX, 2), Some(vec![0; 4]));
    let server = ok!(k.accept(fd));
    let other = unix_socket(k, server, 4)?;
    eq!(
        unix_socket(k, client, 4)?.attribute(UNIX, 2),
        Some(other.body[4..8].to_vec())
    );
    eq!(unix_socket(k, fd, 8)?.attribute(UNIX, 3), Some(vec![]));
    Ok(())
}

fn unix_names_and_types(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        let m = unix_socket(k, fd, 0x7f)?;
        // TCP_CLOSE
        eq!(m.body[..4].to_vec(), vec![1, kind as u8, 7, 0]);
        eq!(
            (
                m.attribute(UNIX, 0),
                m.attribute(UNIX, 1),
                m.attribute(UNIX, 2)
            ),
            (None, None, None)
        );
        ok!(k.bind(fd, &Addr::unix(&[])));
        let name = k.sockname(fd)?;
        let m = unix_socket(k, fd, 1)?;
        eq!(m.attribute(UNIX, 0), Some(name.0[2..].to_vec()));
    }
    let (a, _) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    eq!(unix_socket(k, a, 0)?.body[2], 1);
    Ok(())
}

fn one_unix_socket(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let m = unix_socket(k, fd, 0)?;
    let inode = word(&m, 4);
    let cookie: [u8; 8] = m.body[8..16].try_into().unwrap_or([0; 8]);
    for cookie in [[0xff; 8], cookie] {
        let all = ask(k, BY_FAMILY, 1, &unix(0, inode, 0, cookie))?;
        eq!(
            (all.len(), all[0].kind, word(&all[0], 4)),
            (1, BY_FAMILY, inode)
        );
    }
    eq!(
        refused(k, BY_FAMILY, 1, &unix(0, inode, 0, [9; 8]))?,
        libc::ESTALE
    );
    eq!(
        refused(k, BY_FAMILY, 1, &unix(0, 0, 0, [0xff; 8]))?,
        libc::EINVAL
    );
    eq!(
        refused(k, BY_FAMILY, 1, &unix(0, u32::MAX, 0, [0xff; 8]))?,
        libc::ENOENT
    );
    // By state.
    let all = listed(k, &unix(1 << 10, 0, 0, [0; 8]))?;
    check!(all.iter().all(|m| m.body[2] == 10), "another state");
    Ok(())
}

fn requests_that_are_refused(k: &mut dyn Kernel) -> Outcome {
    for body in [
        &[][..],
        &[2],
        &[2, TCP, 0, 0],
        &inet(AF_INET, TCP, 0, ALL, (0, 0))[..55],
    ] {
        eq!(refused(k, BY_FAMILY, DUMP, body)?, libc::EINVAL);
    }
    // A protocol that nobody knows ends the dump.
    let all = ask(k, BY_FAMILY, DUMP, &inet(AF_INET, 250, 0, ALL, (0, 0)))?;
    eq!(
        (all.len(), all[0].kind, all[0].errno()),
        (1, 3, -libc::ENOENT)
    );
    eq!(
        refused(k, BY_FAMILY, 1, &inet(AF_INET, 250, 0, ALL, (0, 0)))?,
        libc::ENOENT
    );
    eq!(
        refused(k, BY_FAMILY, DUMP, &inet(7, TCP, 0, ALL, (0, 0)))?,
        libc::ENOENT
    );
    eq!(
        refused(k, BY_FAMILY, DUMP, &inet(200, TCP, 0, ALL, (0, 0)))?,
        libc::EINVAL
    );
    eq!(
        refused(k, BY_FAMILY, DUMP, &unix(0, 0, 0, [0; 8])[..23])?,
        libc::EINVAL
    );
    eq!(
        refused(k, 22, DUMP, &inet(AF_INET, TCP, 0, ALL, (0, 0)))?,
        libc::EINVAL
    );
    Ok(())
}

fn destroying_needs_a_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let (_, here) = listener(k, 5)?;
    let mut one = inet(AF_INET, TCP, 0, ALL, (here, 0));
    one[48..].fill(0xff);
    eq!(refused(k, DESTROY, 5, &one)?, libc::ENOENT);
    one[12..16].copy_from_slice(&[127, 0, 0, 1]);
    eq!(refused(k, DESTROY, 5, &one)?, libc::EPERM);
    eq!(
        refused(k, DESTROY, 5, &unix(0, 1, 0, [0; 8]))?,
        libc::EOPNOTSUPP
    );
    Ok(())
}
