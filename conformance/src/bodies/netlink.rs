//! AF_NETLINK with NETLINK_ROUTE, to read. Options by number: NETLINK_ADD_MEMBERSHIP 1, NETLINK_DROP_MEMBERSHIP 2,
//! NETLINK_PKTINFO 3, NETLINK_BROADCAST_ERROR 4, NETLINK_NO_ENOBUFS 5, NETLINK_LIST_MEMBERSHIPS 9, NETLINK_CAP_ACK 10,
//! NETLINK_EXT_ACK 11, NETLINK_GET_STRICT_CHK 12.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{AF_NETLINK, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM};

tests! {
    types_and_protocols,
    names_and_ports,
    bind_errors,
    connect_errors,
    not_a_stream,
    nothing_to_send,
    only_the_kernel_listens [DROP],
    links_are_listed,
    one_link,
    addresses_are_listed,
    addresses_of_one_family,
    routes_are_listed,
    way_to_an_address,
    rules_are_listed,
    neighbours_may_be_none,
    errors_quote_the_request,
    acknowledged_on_demand,
    no_request_no_answer,
    several_requests_at_once,
    cut_short_is_the_end,
    changes_need_a_privilege [DROP],
    masks_and_truncation,
    option_values,
    groups,
}

const GETLINK: u16 = 18;
const GETADDR: u16 = 22;
const GETROUTE: u16 = 26;
const GETNEIGH: u16 = 30;
const GETRULE: u16 = 34;
const DUMP: u16 = 0x301;
const SOL_NETLINK: i32 = 270;

/// `struct sockaddr_nl`.
pub(super) fn nl(port: u32, groups: u32) -> Addr {
    let mut bytes = (AF_NETLINK as u16).to_ne_bytes().to_vec();
    bytes.extend([0; 2]);
    bytes.extend(port.to_ne_bytes());
    bytes.extend(groups.to_ne_bytes());
    Addr(bytes)
}

pub(super) fn route(k: &mut dyn Kernel) -> Got<Fd> {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    Ok(fd)
}

pub(super) fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut m = (16 + body.len() as u32).to_ne_bytes().to_vec();
    m.extend(kind.to_ne_bytes());
    m.extend(flags.to_ne_bytes());
    m.extend(sequence.to_ne_bytes());
    m.extend([0; 4]);
    m.extend(body);
    m
}

pub(super) fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut a = (4 + data.len() as u16).to_ne_bytes().to_vec();
    a.extend(kind.to_ne_bytes());
    a.extend(data);
    a.resize(a.len().next_multiple_of(4), 0);
    a
}

/// `struct ifinfomsg`.
pub(super) fn ifinfo(index: i32) -> Vec<u8> {
    let mut m = vec![0; 16];
    m[4..8].copy_from_slice(&index.to_ne_bytes());
    m
}

pub(super) struct Answer {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Type and data of each attribute behind the first `skip` octets.
    pub(super) fn attributes(&self, skip: usize) -> Vec<(u16, Vec<u8>)> {
        let mut rest = self.body.get(skip..).unwrap_or_default();
        let mut all = Vec::new();
        while let [a, b, c, d, ..] = *rest {
            let len = usize::from(u16::from_ne_bytes([a, b]));
            let Some(data) = rest.get(4..len) else { break };
            all.push((u16::from_ne_bytes([c, d]) & 0x3fff, data.to_vec()));
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        all
    }

    pub(super) fn attribute(&self, skip: usize, wanted: u16) -> Option<Vec<u8>> {
        let mut all = self.attributes(skip).into_iter();
        all.find_map(|(kind, data)| (kind == wanted).then_some(data))
    }

    pub(super) fn errno(&self) -> i32 {
        i32::from_ne_bytes([self.body[0], self.body[1], self.body[2], self.body[3]])
    }
}

/// Every message that is there.
pub(super) fn answers(k: &mut dyn Kernel, fd: Fd) -> Vec<Answer> {
    let mut out = Vec::new();
    let mut buf = vec![0u8; 65_536];
    loop {
        let n = k.recv(fd, &mut buf, 0);
        if n <= 0 {
            return out;
        }
        let mut rest = &buf[..n as usize];
        while rest.len() >= 16 {
            let long = |at: usize| {
                u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]])
            };
            let len = long(0) as usize;
            out.push(Answer {
                kind: u16::from_ne_bytes([rest[4], rest[5]]),
                flags: u16::from_ne_bytes([rest[6], rest[7]]),
                sequence: long(8),
                port: long(12),
                body: rest[16..len].to_vec(),
            });
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }
}

/// A dump's answers, without the NLMSG_DONE that has to end it.
pub(super) fn dump(k: &mut dyn Kernel, kind: u16, body: &[u8]) -> Got<Vec<Answer>> {
    let fd = route(k)?;
    let m = request(kind, DUMP, 7, body);
    ret!(k.sendto(fd, &m, 0, &nl(0, 0)), m.len());
    let port = k.sockname(fd)?;
    let mut all = answers(k, fd);
    let last = all.pop();
    check!(
        last.as_ref().is_some_and(|m| m.kind == 3),
        "no NLMSG_DONE at the end"
    );
    for m in all.iter().chain(&last) {
        eq!((m.flags & 2, m.sequence), (2, 7));
        eq!(nl(m.port, 0), port.clone());
    }
    eq!(last.map(|m| m.errno()), Some(0));
    k.close(fd);
    Ok(all)
}

/// The only answer to a request that is no dump.
pub(super) fn single(k: &mut dyn Kernel, kind: u16, flags: u16, body: &[u8]) -> Got<Answer> {
    let fd = route(k)?;
    let m = request(kind, flags, 9, body);
    ret!(k.send(fd, &m, 0), m.len());
    let mut all = answers(k, fd);
    eq!(all.len(), 1);
    k.close(fd);
    Ok(all.remove(0))
}

fn types_and_protocols(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_RAW, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_NETLINK, kind, 0));
        eq!(
            k.get_int(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)?,
            AF_NETLINK
        );
        eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE)?, kind);
        eq!(k.get_int(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)?, 0);
    }
    err!(k.socket(AF_NETLINK, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
    err!(k.socket(AF_NETLINK, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    err!(k.socket(AF_NETLINK, SOCK_RAW, 32), EPROTONOSUPPORT);
    err!(k.socket(AF_NETLINK, SOCK_RAW, -1), EPROTONOSUPPORT);
    Ok(())
}

fn names_and_ports(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    eq!(k.sockname(fd)?, nl(0, 0));
    // Without a peer there is one all the same: the kernel.
    eq!(k.peername(fd)?, nl(0, 0));
    ok!(k.bind(fd, &nl(0, 0)));
    let own = k.sockname(fd)?;
    check!(own != nl(0, 0), "no port");
    // A second socket of the process gets another.
    let other = route(k)?;
    ok!(k.bind(other, &nl(0, 0)));
    check!(k.sockname(other)? != own, "the same port twice");
    // The first send binds, too.
    let third = route(k)?;
    let m = request(GETLINK, DUMP, 1, &ifinfo(0));
    ret!(k.send(third, &m, 0), m.len());
    check!(k.sockname(third)? != nl(0, 0), "no port");
    Ok(())
}

fn bind_errors(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    err!(k.bind(fd, &nl(0, 0).cut(11)), EINVAL);
    err!(k.bind(fd, &Addr::lo4(0)), EINVAL);
    err!(k.bind_raw(fd, BAD, 12), EFAULT);
    let port = 0x7000_0000 | std::process::id();
    ok!(k.bind(fd, &nl(port, 0)));
    eq!(k.sockname(fd)?, nl(port, 0));
    // Again with the same port it is about the groups.
    ok!(k.bind(fd, &nl(port, 1)));
    eq!(k.sockname(fd)?, nl(port, 1));
    err!(k.bind(fd, &nl(port + 1, 0)), EINVAL);
    let other = route(k)?;
    err!(k.bind(other, &nl(port, 0)), EADDRINUSE);
    k.close(fd);
    ok!(k.bind(other, &nl(port, 0)));
    Ok(())
}

fn connect_errors(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    err!(k.connect(fd, &nl(0, 0).cut(11)), EINVAL);
    err!(k.connect(fd, &Addr::lo4(0)), EINVAL);
    ok!(k.connect(fd, &nl(0, 0)));
    check!(k.sockname(fd)? != nl(0, 0), "no port");
    ok!(k.connect(fd, &Addr::unspec()));
    Ok(())
}

fn not_a_stream(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    err!(k.listen(fd, 1), EOPNOTSUPP);
    err!(k.accept(fd), EOPNOTSUPP);
    err!(k.shutdown(fd, libc::SHUT_RDWR), EOPNOTSUPP);
    err!(k.recv(fd, &mut [0; 9], libc::MSG_OOB), EOPNOTSUPP);
    err!(k.recv(fd, &mut [0; 9], 0), EAGAIN);
    let mut value = 0;
    err!(k.ioctl_int(fd, libc::FIONREAD, &mut value), ENOTTY);
    Ok(())
}

fn nothing_to_send(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    err!(k.send(fd, b"", 0), ENODATA);
    err!(k.send(fd, &[0; 16], libc::MSG_OOB), EOPNOTSUPP);
    err!(k.sendto(fd, &[0; 16], 0, &nl(0, 0).cut(11)), EINVAL);
    err!(k.sendto(fd, &[0; 16], 0, &Addr::lo4(0)), EINVAL);
    Ok(())
}

fn only_the_kernel_listens(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = route(k)?;
    err!(k.sendto(fd, &[0; 16], 0, &nl(1, 0)), EPERM);
    err!(k.sendto(fd, &[0; 16], 0, &nl(0, 1)), EPERM);
    err!(k.connect(fd, &nl(1, 0)), EPERM);
    Ok(())
}

fn links_are_listed(k: &mut dyn Kernel) -> Outcome {
    let all = dump(k, GETLINK, &ifinfo(0))?;
    let lo = all.iter().find(|m| m.body[4..8] == 1i32.to_ne_bytes());
    let Some(lo) = lo else {
        return crate::check::fail("links", "no interface 1".to_string());
    };
    eq!(lo.kind, 16);
    // AF_UNSPEC, ARPHRD_LOOPBACK; up, a loopback, running.
    eq!(lo.body[..4].to_vec(), vec![0, 0, 4, 3]);
    let flags = u32::from_ne_bytes([lo.body[8], lo.body[9], lo.body[10], lo.body[11]]);
    eq!(flags, 0x1_0049);
    eq!(lo.attribute(16, 3), Some(b"lo\0".to_vec()));
    eq!(lo.attribute(16, 4), Some(65_536u32.to_ne_bytes().to_vec()));
    eq!(lo.attribute(16, 1), Some(vec![0; 6]));
    eq!(lo.attribute(16, 13), Some(1000u32.to_ne_bytes().to_vec()));
    eq!(lo.attribute(16, 6), Some(b"noqueue\0".to_vec()));
    Ok(())
}

fn one_link(k: &mut dyn Kernel) -> Outcome {
    let by_index = single(k, GETLINK, 1, &ifinfo(1))?;
    eq!((by_index.kind, by_index.flags), (16, 0));
    eq!(by_index.attribute(16, 3), Some(b"lo\0".to_vec()));
    let by_name = single(k, GETLINK, 1, &[ifinfo(0), attribute(3, b"lo\0")].concat())?;
    eq!(by_name.body[4..8].to_vec(), 1i32.to_ne_bytes().to_vec());
    eq!(
        single(k, GETLINK, 1, &ifinfo(9_999_999))?.errno(),
        -libc::ENODEV
    );
    eq!(single(k, GETLINK, 1, &ifinfo(0))?.errno(), -libc::EINVAL);
    eq!(
        single(
            k,
            GETLINK,
            1,
            &[ifinfo(0), attribute(3, b"none0\0")].concat()
        )?
        .errno(),
        -libc::ENODEV
    );
    Ok(())
}

fn addresses_are_listed(k: &mut dyn Kernel) -> Outcome {
    let all = dump(k, GETADDR, &[0; 8])?;
    let four = all
        .iter()
        .find(|m| m.attribute(8, 2) == Some(vec![127, 0, 0, 1]));
    let Some(four) = four else {
        return crate::check::fail("addresses", "no 127.0.0.1".to_string());
    };
    eq!(four.kind, 20);
    // AF_INET, /8, IFA_F_PERMANENT, RT_SCOPE_HOST, lo.
    eq!(four.body[..8].to_vec(), vec![2, 8, 0x80, 254, 1, 0, 0, 0]);
    eq!(four.attribute(8, 1), Some(vec![127, 0, 0, 1]));
    eq!(four.attribute(8, 3), Some(b"lo\0".to_vec()));
    eq!(four.attribute(8, 4), None);
    let mut own = vec![0; 16];
    own[15] = 1;
    let six = all.iter().find(|m| m.attribute(8, 1) == Some(own.clone()));
    let Some(six) = six else {
        return crate::check::fail("addresses", "no ::1".to_string());
    };
    eq!(six.body[..8].to_vec(), vec![10, 128, 0x80, 254, 1, 0, 0, 0]);
    Ok(())
}

fn addresses_of_one_family(k: &mut dyn Kernel) -> Outcome {
    for family in [2u8, 10] {
        let all = dump(k, GETADDR, &[family, 0, 0, 0, 0, 0, 0, 0])?;
        check!(!all.is_empty(), "none of family {family}");
        check!(all.iter().all(|m| m.body[0] == family), "another family");
    }
    // One byte is enough.
    check!(!dump(k, GETADDR, &[2])?.is_empty(), "none");
    Ok(())
}

fn routes_are_listed(k: &mut dyn Kernel) -> Outcome {
    let mut all = dump(k, GETROUTE, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    // RTM_F_CLONED: what the host learned of a path lately.
    all.retain(|m| m.body[9] & 2 == 0);
    check!(
        all.iter().all(|m| m.kind == 24 && m.body[0] == 2),
        "not all are IPv4 routes"
    );
    // 127.0.0.0/8 and 127.0.0.1 in the local table, to this host, by lo.
    for (len, last) in [(8, 0), (32, 1)] {
        let found = all
            .iter()
            .find(|m| m.body[1] == len && m.attribute(12, 1) == Some(vec![127, 0, 0, last]));
        let Some(m) = found else {
            return crate::check::fail("routes", format!("no 127.0.0.{last}/{len}"));
        };
        eq!(m.body[4..8].to_vec(), vec![255, 2, 254, 2]);
        eq!(m.attribute(12, 7), Some(vec![127, 0, 0, 1]));
        eq!(m.attribute(12, 4), Some(1u32.to_ne_bytes().to_vec()));
        eq!(m.attribute(12, 15), Some(255u32.to_ne_bytes().to_vec()));
    }
    let broadcast = all
        .iter()
        .find(|m| m.attribute(12, 1) == Some(vec![127, 255, 255, 255]));
    eq!(
        broadcast.map(|m| m.body[4..8].to_vec()),
        Some(vec![255, 2, 253, 3])
    );
    Ok(())
}

fn way_to_an_address(k: &mut dyn Kernel) -> Outcome {
    let mut body = vec![2, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend(attribute(1, &[127, 0, 0, 1]));
    let m = single(k, GETROUTE, 1, &body)?;
    eq!(m.kind, 24);
    // RTN_LOCAL.
    eq!((m.body[0], m.body[1], m.body[7]), (2, 32, 2));
    eq!(m.attribute(12, 4), Some(1u32.to_ne_bytes().to_vec()));
    eq!(m.attribute(12, 7), Some(vec![127, 0, 0, 1]));
    Ok(())
}

fn rules_are_listed(k: &mut dyn Kernel) -> Outcome {
    let all = dump(k, GETRULE, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    let tables: Vec<u8> = all.iter().map(|m| m.body[4]).collect();
    for table in [255, 254, 253] {
        check!(tables.contains(&table), "no table {table} in {tables:?}");
    }
    Ok(())
}

fn neighbours_may_be_none(k: &mut dyn Kernel) -> Outcome {
    // How many a machine has depends on its links; each is an RTM_NEWNEIGH.
    let all = dump(k, GETNEIGH, &[0; 12])?;
    check!(all.iter().all(|m| m.kind == 28), "other messages");
    Ok(())
}

fn errors_quote_the_request(k: &mut dyn Kernel) -> Outcome {
    let m = single(k, 200, 1, &[5; 16])?;
    eq!((m.kind, m.flags), (2, 0));
    eq!(m.errno(), -libc::EOPNOTSUPP);
    let mut quoted = request(200, 1, 9, &[5; 16]);
    eq!(m.body[4..].to_vec(), quoted.clone());
    // With NETLINK_CAP_ACK only the header.
    let fd = route(k)?;
    ok!(k.set_int(fd, SOL_NETLINK, 10, 1));
    ret!(k.send(fd, &quoted, 0), 32);
    let all = answers(k, fd);
    eq!(all.len(), 1);
    quoted.truncate(16);
    eq!(all[0].flags, 0x100);
    eq!(all[0].body[4..].to_vec(), quoted);
    // Reading addresses is for dumps.
    eq!(single(k, GETADDR, 1, &[0; 8])?.errno(), -libc::EOPNOTSUPP);
    Ok(())
}

fn acknowledged_on_demand(k: &mut dyn Kernel) -> Outcome {
    // A control message (below NLMSG_MIN_TYPE), and one without even a family.
    for (kind, body) in [(15, &[0; 16][..]), (GETLINK, &[])] {
        let m = single(k, kind, 5, body)?;
        eq!(
            (m.kind, m.flags, m.errno(), m.body.len()),
            (2, 0x100, 0, 20)
        );
    }
    Ok(())
}

fn no_request_no_answer(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ret!(k.send(fd, &request(GETLINK, 0, 1, &ifinfo(1)), 0), 32);
    eq!(answers(k, fd).len(), 0);
    // But what asks for it is acknowledged.
    ret!(k.send(fd, &request(GETLINK, 4, 1, &ifinfo(1)), 0), 32);
    let all = answers(k, fd);
    eq!((all.len(), all[0].kind, all[0].errno()), (1, 2, 0));
    Ok(())
}

fn several_requests_at_once(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    let both = [
        request(GETLINK, 1, 1, &ifinfo(1)),
        request(GETLINK, 1, 2, &ifinfo(9_999_999)),
        request(15, 5, 3, &[]),
    ]
    .concat();
    ret!(k.send(fd, &both, 0), both.len());
    let kinds: Vec<(u16, u32)> = answers(k, fd)
        .iter()
        .map(|m| (m.kind, m.sequence))
        .collect();
    eq!(kinds, vec![(16, 1), (2, 2), (2, 3)]);
    Ok(())
}

fn cut_short_is_the_end(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ret!(k.send(fd, &[1, 2, 3], 0), 3);
    ret!(k.send(fd, &[0; 16], 0), 16);
    let m = request(GETLINK, 1, 1, &ifinfo(1));
    ret!(k.send(fd, &m[..31], 0), 31);
    eq!(answers(k, fd).len(), 0);
    Ok(())
}

fn changes_need_a_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    // New and deleted links, addresses and routes.
    for kind in [16, 17, 19, 20, 21, 24, 25] {
        eq!(single(k, kind, 1, &ifinfo(1))?.errno(), -libc::EPERM);
    }
    // Reading is for everyone.
    check!(!dump(k, GETLINK, &ifinfo(0))?.is_empty(), "no links");
    Ok(())
}

fn masks_and_truncation(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    mask!(k, fd, W | WB);
    ret!(k.send(fd, &request(15, 5, 3, &[]), 0), 16);
    mask!(k, fd, R | W | WB);
    let mut buf = [0u8; 10];
    eq!(k.recv(fd, &mut buf, libc::MSG_PEEK), 10);
    eq!(k.recv(fd, &mut buf, libc::MSG_PEEK | libc::MSG_TRUNC), 36);
    let mut msg = Msg::room(&[10]).name_room(28);
    eq!(k.recvmsg(fd, &mut msg, 0), 10);
    eq!(msg.flags(), libc::MSG_TRUNC);
    eq!(msg.peer(), nl(0, 0));
    mask!(k, fd, W | WB);
    Ok(())
}

fn option_values(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    // PKTINFO, BROADCAST_ERROR, NO_ENOBUFS, CAP_ACK, EXT_ACK, GET_STRICT_CHK.
    for name in [3, 4, 5, 10, 11, 12] {
        eq!(k.get_int(fd, SOL_NETLINK, name)?, 0);
        ok!(k.set_int(fd, SOL_NETLINK, name, 5));
        eq!(k.get_int(fd, SOL_NETLINK, name)?, 1);
        // Less than an int is zero.
        ok!(k.setsockopt(fd, SOL_NETLINK, name, &[7, 7]));
        eq!(k.get_int(fd, SOL_NETLINK, name)?, 0);
        err!(k.setsockopt_raw(fd, SOL_NETLINK, name, BAD, 4), EFAULT);
        ok!(k.set_int(fd, SOL_NETLINK, name, 1));
        eq!(
            k.getsockopt(fd, SOL_NETLINK, name, 3).0,
            -i64::from(libc::EINVAL)
        );
    }
    err!(k.set_int(fd, SOL_NETLINK, 99, 1), ENOPROTOOPT);
    eq!(
        k.getsockopt(fd, SOL_NETLINK, 99, 4).0,
        -i64::from(libc::ENOPROTOOPT)
    );
    err!(k.set_int(fd, libc::SOL_IP, libc::IP_TTL, 1), ENOPROTOOPT);
    eq!(
        k.getsockopt(fd, libc::SOL_IP, libc::IP_TTL, 4).0,
        -i64::from(libc::ENOPROTOOPT)
    );
    // With PKTINFO each message tells its group.
    ret!(k.send(fd, &request(15, 5, 3, &[]), 0), 16);
    let mut msg = Msg::room(&[100]).control_room(64);
    check!(k.recvmsg(fd, &mut msg, 0) > 0, "nothing came");
    eq!(msg.cmsg(SOL_NETLINK, 3).map(|c| c.ints()), Some(vec![0]));
    Ok(())
}

fn groups(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ok!(k.bind(fd, &nl(0, 0)));
    ok!(k.set_int(fd, SOL_NETLINK, 1, 2));
    ok!(k.set_int(fd, SOL_NETLINK, 1, 33));
    let (got, words) = k.getsockopt(fd, SOL_NETLINK, 9, 8);
    eq!((got, words), (0, vec![2, 0, 0, 0, 1, 0, 0, 0]));
    ok!(k.set_int(fd, SOL_NETLINK, 2, 2));
    eq!(k.getsockopt(fd, SOL_NETLINK, 9, 8).1[0], 0);
    err!(k.set_int(fd, SOL_NETLINK, 1, 0), EINVAL);
    err!(k.set_int(fd, SOL_NETLINK, 1, 9999), EINVAL);
    Ok(())
}
