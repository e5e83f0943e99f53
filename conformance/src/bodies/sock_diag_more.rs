//! NETLINK_SOCK_DIAG of netlink and packet sockets (`ss -f netlink`, `ss -0`), SOCK_DESTROY (`ss -K`), and the request
//! before all those, TCPDIAG_GETSOCK.

use super::netlink::{Answer, attribute, nl};
use super::packet;
use super::sock_diag::{
    ALL, BY_FAMILY, DESTROY, TCP, UDP, ask, inet, listed, listener, port, refused, word,
};
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, POLLERR as ERR, POLLHUP as HUP, POLLRDHUP as RDHUP,
    SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
};

tests! {
    netlink_sockets [ROOT],
    netlink_requests [ROOT],
    packet_sockets [ROOT],
    packet_filters [ROOT],
    packet_filters_are_for_the_privileged [ROOT | DROP],
    destroyed_connection [ROOT],
    destroyed_before_a_read [ROOT],
    destroyed_listener [ROOT],
    destroyed_datagram_sockets [ROOT],
    destroying_what_is_not_there [ROOT],
    requests_of_old,
    requests_of_old_that_are_refused,
}

const NETLINK: u8 = AF_NETLINK as u8;
const PACKET: u8 = AF_PACKET as u8;
/// `sizeof(struct netlink_diag_msg)` and `sizeof(struct packet_diag_msg)`.
const NETLINK_MSG: usize = 28;
const PACKET_MSG: usize = 16;

/// `struct netlink_diag_req` and `struct packet_diag_req`: family, protocol, what to show.
fn wanted(family: u8, protocol: u8, show: u32) -> Vec<u8> {
    let mut m = vec![family, protocol, 0, 0];
    m.extend([0; 4]);
    m.extend(show.to_ne_bytes());
    m.extend([0; 8]);
    m
}

/// The port of a netlink socket.
fn netlink_port(k: &mut dyn Kernel, fd: Fd) -> Got<u32> {
    let name = k.sockname(fd)?.0;
    Ok(u32::from_ne_bytes([name[4], name[5], name[6], name[7]]))
}

fn netlink_sockets(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    ok!(k.bind(fd, &nl(0, 5)));
    ok!(k.set_int(fd, libc::SOL_NETLINK, libc::NETLINK_PKTINFO, 1));
    let port = netlink_port(k, fd)?;
    let all = listed(k, &wanted(NETLINK, 0, 15))?;
    let shown = |m: &&Answer| (m.body[..4].to_vec(), word(m, 4));
    // The kernel's own has no port. One that hears groups is told of again with those that hear some.
    let kernel: Vec<_> = all.iter().map(|m| shown(&m)).filter(|m| m.1 == 0).collect();
    eq!(kernel, vec![(vec![NETLINK, 2, 0, 7], 0)]);
    let own: Vec<_> = all.iter().filter(|m| word(m, 4) == port).collect();
    eq!(own.len(), 2);
    eq!(shown(&own[0]), (vec![NETLINK, 3, 0, 7], port));
    eq!((word(own[0], 8), word(own[0], 12)), (0, 0));
    check!(word(own[0], 16) != 0, "no inode");
    eq!(
        own[0].attribute(NETLINK_MSG, 1),
        Some(vec![5, 0, 0, 0, 0, 0, 0, 0])
    );
    eq!(own[0].attribute(NETLINK_MSG, 0).map(|m| m.len()), Some(36));
    eq!(own[0].attribute(NETLINK_MSG, 4), Some(vec![2, 0, 0, 0]));
    eq!(&own[0].body, &own[1].body);
    // Nothing of it unless it is asked for.
    let bare = listed(k, &wanted(NETLINK, 0, 0))?;
    check!(
        bare.iter().all(|m| m.body.len() == NETLINK_MSG),
        "attributes"
    );
    // One that is connected to a group, and to nobody any more.
    let user = ok!(k.socket(AF_NETLINK, SOCK_DGRAM | NB, 2));
    ok!(k.connect(user, &nl(0, 6)));
    let all = listed(k, &wanted(NETLINK, 2, 0))?;
    eq!(all.len(), 1);
    eq!(all[0].body[..4].to_vec(), vec![NETLINK, 2, 2, 1]);
    eq!((word(&all[0], 8), word(&all[0], 12)), (0, 2));
    ok!(k.connect(user, &Addr::unspec()));
    let all = listed(k, &wanted(NETLINK, 2, 0))?;
    eq!((all[0].body[3], word(&all[0], 12)), (0, 0));
    // Of all protocols: these, and who asks.
    let all = listed(k, &wanted(NETLINK, 255, 0))?;
    let ports = all.iter().filter(|m| word(m, 4) != 0).count();
    eq!(ports, 4);
    Ok(())
}

fn netlink_requests(k: &mut dyn Kernel) -> Outcome {
    let dump = 0x301;
    eq!(
        refused(k, BY_FAMILY, 1, &wanted(NETLINK, 0, 0))?,
        libc::EOPNOTSUPP
    );
    eq!(
        refused(k, BY_FAMILY, dump, &wanted(NETLINK, 0, 0)[..19])?,
        libc::EINVAL
    );
    eq!(
        refused(k, BY_FAMILY, 1, &wanted(NETLINK, 0, 0)[..19])?,
        libc::EINVAL
    );
    eq!(
        refused(k, DESTROY, 5, &wanted(NETLINK, 0, 0))?,
        libc::EOPNOTSUPP
    );
    // A protocol that cannot be ends the dump, one that nobody uses is empty.
    let all = ask(k, BY_FAMILY, dump, &wanted(NETLINK, 32, 0))?;
    eq!(
        (all.len(), all[0].kind, all[0].errno()),
        (1, 3, -libc::ENOENT)
    );
    eq!(listed(k, &wanted(NETLINK, 31, 0))?.len(), 0);
    eq!(
        refused(k, BY_FAMILY, 1, &wanted(PACKET, 0, 0))?,
        libc::EOPNOTSUPP
    );
    eq!(
        refused(k, BY_FAMILY, dump, &wanted(PACKET, 3, 0))?,
        libc::EINVAL
    );
    eq!(
        refused(k, BY_FAMILY, dump, &wanted(PACKET, 0, 0)[..12])?,
        libc::EINVAL
    );
    eq!(
        refused(k, DESTROY, 5, &wanted(PACKET, 0, 0))?,
        libc::EOPNOTSUPP
    );
    Ok(())
}

/// A packet socket of `lo` that hears everything.
fn hearer(k: &mut dyn Kernel) -> Got<Fd> {
    let fd = packet::open(k, SOCK_RAW, packet::ALL)?;
    ok!(k.bind(fd, &packet::ll(packet::ALL, packet::LO)));
    Ok(fd)
}

fn packet_sockets(k: &mut dyn Kernel) -> Outcome {
    const SOL_PACKET: i32 = 263;
    k.own_network()?;
    let fd = hearer(k)?;
    let deaf = packet::open(k, SOCK_DGRAM, 0)?;
    // PACKET_AUXDATA, PACKET_RESERVE, and PACKET_ADD_MEMBERSHIP of a group.
    ok!(k.set_int(fd, SOL_PACKET, 8, 1));
    ok!(k.set_int(fd, SOL_PACKET, 12, 16));
    let mut mreq = vec![1, 0, 0, 0, 0, 0, 6, 0, 1, 0, 0x5e, 0, 0, 1, 0, 0];
    ok!(k.setsockopt(fd, SOL_PACKET, 1, &mreq));
    let all = listed(k, &wanted(PACKET, 0, 0x13))?;
    eq!(all.len(), 2);
    let m = &all[0];
    // SOCK_RAW, ETH_P_ALL.
    eq!(m.body[..4].to_vec(), vec![PACKET, 3, 3, 0]);
    check!(word(m, 4) != 0, "no inode");
    // The interface, no version, what is reserved, no threshold, no stamps; it runs and wants to know more.
    let info = [1u32, 0, 16, 0, 0, 3].map(u32::to_ne_bytes).concat();
    eq!(m.attribute(PACKET_MSG, 0), Some(info));
    eq!(m.attribute(PACKET_MSG, 5).map(|uid| uid.len()), Some(4));
    eq!(
        m.attribute(PACKET_MSG, 6).map(|memory| memory.len()),
        Some(36)
    );
    // Interface, count, kind, length, address.
    let mut member = [1u32, 1].map(u32::to_ne_bytes).concat();
    member.extend(mreq.split_off(4));
    member.resize(44, 0);
    eq!(m.attribute(PACKET_MSG, 1), Some(member));
    let other = &all[1];
    eq!(other.body[..4].to_vec(), vec![PACKET, 2, 0, 0]);
    eq!(other.attribute(PACKET_MSG, 0), Some(vec![0; 24]));
    eq!(other.attribute(PACKET_MSG, 1), Some(Vec::new()));
    k.close(deaf);
    let bare = listed(k, &wanted(PACKET, 0, 0))?;
    eq!((bare.len(), bare[0].body.len()), (1, PACKET_MSG));
    Ok(())
}

/// A filter of one instruction, and its bytes.
fn attach(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<u8>> {
    let insn: [u8; 8] = [6, 0, 0, 0, 64, 0, 0, 0];
    let mut program = vec![1, 0, 0, 0, 0, 0, 0, 0];
    program.extend((insn.as_ptr() as u64).to_ne_bytes());
    ok!(k.setsockopt(fd, SOL_SOCKET, libc::SO_ATTACH_FILTER, &program));
    Ok(insn.to_vec())
}

fn packet_filters(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = hearer(k)?;
    let show = wanted(PACKET, 0, 0x20);
    eq!(listed(k, &show)?[0].attribute(PACKET_MSG, 7), None);
    let insn = attach(k, fd)?;
    eq!(listed(k, &show)?[0].attribute(PACKET_MSG, 7), Some(insn));
    Ok(())
}

fn packet_filters_are_for_the_privileged(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = hearer(k)?;
    attach(k, fd)?;
    check!(k.drop_privileges(), "could not become an ordinary user");
    let all = listed(k, &wanted(PACKET, 0, 0x20))?;
    eq!(all[0].attribute(PACKET_MSG, 7), Some(Vec::new()));
    Ok(())
}

/// SOCK_DESTROY of what has these ports of 127.0.0.1: the errno.
fn destroy(k: &mut dyn Kernel, protocol: u8, here: u16, there: u16) -> Got<i32> {
    let mut one = inet(AF_INET, protocol, 0, ALL, (here, there));
    one[12..16].copy_from_slice(&[127, 0, 0, 1]);
    if there != 0 {
        one[28..32].copy_from_slice(&[127, 0, 0, 1]);
    }
    one[48..].fill(0xff);
    refused(k, DESTROY, 5, &one)
}

/// The listener and its port, a client and its port, the accepted socket; nobody waits.
fn connected(k: &mut dyn Kernel) -> Got<(Fd, u16, Fd, u16, Fd)> {
    let (fd, here) = listener(k, 5)?;
    let client = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ok!(k.connect(client, &Addr::lo4(here)));
    let server = ok!(k.accept(fd));
    ok!(k.nonblocking(client));
    ok!(k.nonblocking(server));
    let there = port(k, client)?;
    Ok((fd, here, client, there, server))
}

fn destroyed_connection(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (_, here, client, there, server) = connected(k)?;
    ret!(k.send(client, b"abc", 0), 3);
    ret!(k.send(server, b"xyz", 0), 3);
    eq!(destroy(k, TCP, there, here)?, 0);
    mask!(k, client, R | W | ERR | HUP | RDHUP);
    eq!(
        k.get_int(client, SOL_SOCKET, libc::SO_ERROR)?,
        libc::ECONNABORTED
    );
    let mut buf = [0; 8];
    // What had come can still be read.
    ret!(k.recv(client, &mut buf, 0), 3);
    ret!(k.recv(client, &mut buf, 0), 0);
    err!(k.send(client, b"x", libc::MSG_NOSIGNAL), EPIPE);
    err!(k.getpeername_raw(client, BAD, BAD), ENOTCONN);
    // The peer was reset.
    mask!(k, server, R | W | ERR | HUP | RDHUP);
    eq!(
        k.get_int(server, SOL_SOCKET, libc::SO_ERROR)?,
        libc::ECONNRESET
    );
    ret!(k.recv(server, &mut buf, 0), 3);
    ret!(k.recv(server, &mut buf, 0), 0);
    // It is there no more.
    eq!(destroy(k, TCP, there, here)?, libc::ENOENT);
    Ok(())
}

fn destroyed_before_a_read(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (_, here, client, there, server) = connected(k)?;
    eq!(destroy(k, TCP, there, here)?, 0);
    let mut buf = [0; 8];
    err!(k.recv(client, &mut buf, 0), ECONNABORTED);
    ret!(k.recv(client, &mut buf, 0), 0);
    err!(k.recv(server, &mut buf, 0), ECONNRESET);
    err!(k.connect(client, &Addr::lo4(here)), EISCONN);
    Ok(())
}

fn destroyed_listener(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (fd, here) = listener(k, 5)?;
    let client = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    k.connect(client, &Addr::lo4(here));
    eq!(destroy(k, TCP, here, 0)?, 0);
    mask!(k, fd, R | W | ERR | HUP | RDHUP);
    eq!(
        k.get_int(fd, SOL_SOCKET, libc::SO_ERROR)?,
        libc::ECONNABORTED
    );
    err!(k.accept(fd), EINVAL);
    // Who waited to be accepted was reset.
    let mut buf = [0; 8];
    err!(k.recv(client, &mut buf, 0), ECONNRESET);
    Ok(())
}

fn destroyed_datagram_sockets(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (to, addr) = k.udp(AF_INET)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ok!(k.connect(from, &addr));
    let there = port(k, from)?;
    eq!(destroy(k, UDP, there, addr.port())?, 0);
    mask!(k, from, WB | ERR);
    eq!(
        k.get_int(from, SOL_SOCKET, libc::SO_ERROR)?,
        libc::ECONNABORTED
    );
    err!(k.getpeername_raw(from, BAD, BAD), ENOTCONN);
    eq!(k.sockname(from)?, Addr::any4(0));
    // A port that the kernel chose is given up.
    eq!(destroy(k, UDP, addr.port(), 0)?, 0);
    eq!(
        k.get_int(to, SOL_SOCKET, libc::SO_ERROR)?,
        libc::ECONNABORTED
    );
    eq!(k.sockname(to)?, Addr::lo4(0));
    eq!(destroy(k, UDP, addr.port(), 0)?, libc::ENOENT);
    // One that is not connected is found as a datagram from there would find it.
    let (_, addr) = k.udp(AF_INET)?;
    eq!(destroy(k, UDP, addr.port(), 9)?, 0);
    Ok(())
}

fn destroying_what_is_not_there(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    eq!(destroy(k, TCP, 1, 2)?, libc::ENOENT);
    eq!(destroy(k, UDP, 1, 0)?, libc::ENOENT);
    eq!(destroy(k, 132, 1, 2)?, libc::ENOENT);
    // With a cookie of another.
    let (_, here) = listener(k, 5)?;
    let mut one = inet(AF_INET, TCP, 0, ALL, (here, 0));
    one[12..16].copy_from_slice(&[127, 0, 0, 1]);
    one[48..].copy_from_slice(&[1, 0, 0, 0, 0xfe, 0xff, 0, 0]);
    eq!(refused(k, DESTROY, 5, &one)?, libc::ENOENT);
    Ok(())
}

/// TCPDIAG_GETSOCK.
const GET_SOCK: u16 = 18;
/// NLM_F_REQUEST, and NLM_F_DUMP with it.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x301;

/// `struct inet_diag_req`: family, address lengths, extensions, then ports, addresses, device and cookie, then states.
fn old(family: i32, ext: u8, states: u32, here: u16) -> Vec<u8> {
    let mut m = vec![family as u8, 0, 0, ext];
    m.extend(here.to_be_bytes());
    m.resize(52, 0);
    m[44..].fill(0xff);
    m.extend(states.to_ne_bytes());
    m.extend([0; 4]);
    m
}

/// What a dump shows of IPv4.
fn listed_of_old(k: &mut dyn Kernel, body: &[u8]) -> Got<Vec<Answer>> {
    let mut all = ask(k, GET_SOCK, DUMP, body)?;
    check!(all.pop().is_some_and(|m| m.kind == 3), "no NLMSG_DONE");
    check!(all.iter().all(|m| m.kind == GET_SOCK), "other messages");
    all.retain(|m| i32::from(m.body[0]) == AF_INET);
    Ok(all)
}

fn requests_of_old(k: &mut dyn Kernel) -> Outcome {
    let (_, here) = listener(k, 5)?;
    // A dump is of both families, whichever it names; AF_UNIX, too.
    for family in [0, AF_INET, AF_INET6, libc::AF_UNIX] {
        let all = listed_of_old(k, &old(family, 0, 1 << 10, here))?;
        eq!((all.len(), all[0].body[1]), (1, 10));
        eq!(all[0].body[4..6].to_vec(), here.to_be_bytes().to_vec());
        eq!(all[0].body[8..12].to_vec(), vec![127, 0, 0, 1]);
        eq!(all[0].attribute(72, 5), None);
    }
    eq!(listed_of_old(k, &old(AF_INET, 0, 1 << 3, here))?.len(), 0);
    // INET_DIAG_TOS
    let all = listed_of_old(k, &old(AF_INET, 1 << 4, 1 << 10, here))?;
    eq!(all[0].attribute(72, 5), Some(vec![0]));
    // INET_DIAG_REQ_BYTECODE: a port of no more than this; INET_DIAG_REQ_PROTOCOL: UDP has no such socket.
    let port_is = |port: u16| {
        let [low, high] = port.to_ne_bytes();
        attribute(1, &[3, 8, 12, 0, 0, 0, low, high])
    };
    for (port, count) in [(here, 1), (1, 0)] {
        let body = [old(AF_INET, 0, 1 << 10, here), port_is(port)].concat();
        eq!(listed_of_old(k, &body)?.len(), count);
    }
    let protocol = attribute(3, &u32::from(UDP).to_ne_bytes());
    let body = [old(AF_INET, 0, 1 << 10, here), protocol].concat();
    eq!(listed_of_old(k, &body)?.len(), 0);
    // One by its name.
    let mut one = old(AF_INET, 0, 0, here);
    one[8..12].copy_from_slice(&[127, 0, 0, 1]);
    let all = ask(k, GET_SOCK, REQUEST, &one)?;
    eq!((all.len(), all[0].kind, all[0].flags), (1, GET_SOCK, 0));
    eq!(all[0].body[4..6].to_vec(), here.to_be_bytes().to_vec());
    Ok(())
}

fn requests_of_old_that_are_refused(k: &mut dyn Kernel) -> Outcome {
    let (_, here) = listener(k, 5)?;
    let mut one = old(AF_INET, 0, 0, here);
    one[8..12].copy_from_slice(&[127, 0, 0, 1]);
    for flags in [REQUEST, DUMP] {
        eq!(refused(k, GET_SOCK, flags, &one[..59])?, libc::EINVAL);
        // DCCPDIAG_GETSOCK
        eq!(refused(k, 19, flags, &one)?, libc::EINVAL);
    }
    let nothing = [one.clone(), attribute(1, &[])].concat();
    eq!(refused(k, GET_SOCK, DUMP, &nothing)?, libc::EINVAL);
    for family in [0, libc::AF_UNIX] {
        one[0] = family as u8;
        eq!(refused(k, GET_SOCK, REQUEST, &one)?, libc::EINVAL);
    }
    one[0] = AF_INET as u8;
    // The cookie of another.
    one[44..52].fill(0x55);
    eq!(refused(k, GET_SOCK, REQUEST, &one)?, libc::ENOENT);
    Ok(())
}
