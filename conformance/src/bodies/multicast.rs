//! Multicast and broadcast on lo: memberships in each form, filters, and who gets a datagram.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::compat::Low;
use crate::kernel::{Kernel, SocketCall as C};
use crate::mem::{Edge, int};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, SO_BROADCAST, SO_REUSEADDR, SOCK_DGRAM,
    SOCK_STREAM, SOL_SOCKET,
};

tests! {
    every_member_gets_it,
    multicast_all,
    loop_and_hops_on_lo,
    membership_errors,
    leaving,
    limit_of_memberships,
    interface_forms,
    interface_of_ipv6,
    blocked_sources,
    chosen_sources,
    filter_of_ip,
    filter_of_a_group,
    group_requests,
    source_requests,
    of_a_stream,
    of_ipv6,
    filter_of_ipv6,
    ipv6_does_not_leave_by_lo,
    bound_to_the_group,
    connected_to_the_group,
    closing_leaves,
    broadcast,
    layout_of_32_bits [INT80],
    anycast_refused [ROOT],
    anycast_needs_privilege [DROP],
}

const G: [u8; 4] = [239, 1, 2, 3];
const ANY: [u8; 4] = [0; 4];
const LO: [u8; 4] = [127, 0, 0, 1];
const IP_UNBLOCK_SOURCE: i32 = 37;
const IP_BLOCK_SOURCE: i32 = 38;
const IP_ADD_SOURCE_MEMBERSHIP: i32 = 39;
const IP_DROP_SOURCE_MEMBERSHIP: i32 = 40;
const IP_MSFILTER: i32 = 41;
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_BLOCK_SOURCE: i32 = 43;
const MCAST_UNBLOCK_SOURCE: i32 = 44;
const MCAST_LEAVE_GROUP: i32 = 45;
const MCAST_JOIN_SOURCE_GROUP: i32 = 46;
const MCAST_LEAVE_SOURCE_GROUP: i32 = 47;
const MCAST_MSFILTER: i32 = 48;
const IP_MULTICAST_ALL: i32 = 49;
const IPV6_JOIN_ANYCAST: i32 = 27;
const IPV6_LEAVE_ANYCAST: i32 = 28;
const EXCLUDE: i32 = 0;
const INCLUDE: i32 = 1;

fn mreq(group: [u8; 4], at: [u8; 4]) -> Vec<u8> {
    [group, at].concat()
}

fn mreqn(group: [u8; 4], at: [u8; 4], index: i32) -> Vec<u8> {
    [&mreq(group, at)[..], &int(index)].concat()
}

fn mreq6(group: &[u8; 16], index: i32) -> Vec<u8> {
    [&group[..], &int(index)].concat()
}

/// `ff02::1:NN`
fn group6(n: u8) -> [u8; 16] {
    let mut group = [0; 16];
    (group[0], group[1], group[13], group[15]) = (0xff, 2, 1, n);
    group
}

/// A `sockaddr_storage`.
fn storage(addr: &Addr) -> Vec<u8> {
    addr.padded(128).0
}

/// `struct group_req`, with a source `struct group_source_req`.
fn request(index: i32, group: &Addr, source: Option<&Addr>) -> Vec<u8> {
    let mut bytes = [int(index), int(0)].concat();
    bytes.extend(storage(group));
    if let Some(source) = source {
        bytes.extend(storage(source));
    }
    bytes
}

/// `struct group_filter`.
fn group_filter(index: i32, group: &Addr, mode: i32, count: i32, sources: &[Addr]) -> Vec<u8> {
    let mut bytes = request(index, group, None);
    bytes.extend(int(mode));
    bytes.extend(int(count));
    sources.iter().for_each(|s| bytes.extend(storage(s)));
    bytes
}

/// `struct ip_msfilter`.
fn ip_filter(mode: i32, count: i32, sources: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = mreq(G, LO);
    bytes.extend(int(mode));
    bytes.extend(int(count));
    bytes.extend(sources.concat());
    bytes
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: &[u8]) -> i64 {
    k.setsockopt(fd, IPPROTO_IP, name, value)
}

/// getsockopt(2) of an option that looks at what it is given.
fn ask(k: &mut dyn Kernel, fd: Fd, level: i32, name: i32, given: &[u8]) -> (i64, Vec<u8>) {
    let mut value = given.to_vec();
    let mut len = value.len() as u32;
    let (at, len_at) = (value.as_mut_ptr() as u64, &raw mut len as u64);
    let got = k.getsockopt_raw(fd, level, name, at, len_at);
    value.truncate(len as usize);
    (got, value)
}

/// A socket that has `port` beside others, of every address.
fn hearer(k: &mut dyn Kernel, port: u16) -> Got<(Fd, u16)> {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    ret!(k.bind(fd, &Addr::any4(port)), 0);
    let port = k.sockname(fd)?.port();
    Ok((fd, port))
}

/// A member of the group on lo.
fn member(k: &mut dyn Kernel, port: u16) -> Got<(Fd, u16)> {
    let (fd, port) = hearer(k, port)?;
    ret!(set(k, fd, libc::IP_ADD_MEMBERSHIP, &mreq(G, LO)), 0);
    Ok((fd, port))
}

/// A socket whose groups are on lo.
fn sender(k: &mut dyn Kernel) -> Got<Fd> {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(set(k, fd, libc::IP_MULTICAST_IF, &LO), 0);
    Ok(fd)
}

/// Which of them got the datagram that `from` sends now.
fn heard(k: &mut dyn Kernel, from: Fd, to: &Addr, hearers: &[Fd]) -> Got<Vec<bool>> {
    ret!(k.sendto(from, b"x", 0, to), 1);
    let mut got = Vec::new();
    for fd in hearers {
        let n = k.recv(*fd, &mut [0; 8], 0);
        check!(n == 1 || n == -i64::from(libc::EAGAIN), "{n}");
        got.push(n == 1);
    }
    Ok(got)
}

fn every_member_gets_it(k: &mut dyn Kernel) -> Outcome {
    let (a, port) = member(k, 0)?;
    let (b, _) = member(k, port)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    eq!(heard(k, from, &to, &[a, b])?, vec![true, true]);
    // Not what goes to another group.
    let other = Addr::v4([239, 1, 2, 4], port);
    eq!(heard(k, from, &other, &[a, b])?, vec![false, false]);
    // Who joined by index is the same kind of member.
    let (c, _) = hearer(k, port)?;
    let by_index = mreqn(G, ANY, 1);
    ret!(set(k, c, libc::IP_ADD_MEMBERSHIP, &by_index), 0);
    eq!(heard(k, from, &to, &[a, b, c])?, vec![true; 3]);
    Ok(())
}

fn multicast_all(k: &mut dyn Kernel) -> Outcome {
    let (a, port) = member(k, 0)?;
    let (b, _) = hearer(k, port)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    // Somebody on this host is a member: the others hear it, unless they do not want to.
    eq!(heard(k, from, &to, &[a, b])?, vec![true, true]);
    ret!(k.set_int(b, IPPROTO_IP, IP_MULTICAST_ALL, 0), 0);
    eq!(heard(k, from, &to, &[a, b])?, vec![true, false]);
    ret!(k.set_int(b, IPPROTO_IP, IP_MULTICAST_ALL, 1), 0);
    k.close(a);
    eq!(heard(k, from, &to, &[b])?, vec![false]);
    Ok(())
}

fn loop_and_hops_on_lo(k: &mut dyn Kernel) -> Outcome {
    // lo is not left, so that everything comes back.
    let (a, port) = member(k, 0)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    ret!(k.set_int(from, IPPROTO_IP, libc::IP_MULTICAST_LOOP, 0), 0);
    eq!(heard(k, from, &to, &[a])?, vec![true]);
    ret!(k.set_int(from, IPPROTO_IP, libc::IP_MULTICAST_TTL, 0), 0);
    eq!(heard(k, from, &to, &[a])?, vec![true]);
    Ok(())
}

fn membership_errors(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = member(k, 0)?;
    let name = libc::IP_ADD_MEMBERSHIP;
    err!(set(k, fd, name, &mreq(G, LO)), EADDRINUSE);
    err!(set(k, fd, name, &mreqn(G, ANY, 1)), EADDRINUSE);
    err!(set(k, fd, name, &mreq([10, 0, 0, 1], LO)), EINVAL);
    err!(
        set(k, fd, name, &mreq([239, 9, 9, 9], [203, 0, 113, 1])),
        ENODEV
    );
    err!(set(k, fd, name, &mreqn([239, 9, 9, 9], LO, 0x7fff)), ENODEV);
    err!(set(k, fd, name, &G), EINVAL);
    err!(set(k, fd, name, &[]), EINVAL);
    // The index goes before the address.
    ret!(
        set(k, fd, name, &mreqn([239, 9, 9, 9], [203, 0, 113, 1], 1)),
        0
    );
    let got = k.getsockopt(fd, IPPROTO_IP, name, 12).0;
    eq!(got, -i64::from(libc::ENOPROTOOPT));
    Ok(())
}

fn leaving(k: &mut dyn Kernel) -> Outcome {
    let (fd, port) = member(k, 0)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    let name = libc::IP_DROP_MEMBERSHIP;
    err!(set(k, fd, name, &G), EINVAL);
    err!(set(k, fd, name, &mreq([239, 9, 9, 9], LO)), EADDRNOTAVAIL);
    // An address of nobody finds no interface, and no membership by that address.
    err!(set(k, fd, name, &mreq(G, [203, 0, 113, 1])), EADDRNOTAVAIL);
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    ret!(set(k, fd, name, &mreq(G, LO)), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    err!(set(k, fd, name, &mreq(G, LO)), EADDRNOTAVAIL);
    Ok(())
}

fn limit_of_memberships(k: &mut dyn Kernel) -> Outcome {
    // net.ipv4.igmp_max_memberships.
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    for n in 0..20 {
        ret!(
            set(k, fd, libc::IP_ADD_MEMBERSHIP, &mreq([239, 5, 0, n], LO)),
            0
        );
    }
    err!(set(k, fd, libc::IP_ADD_MEMBERSHIP, &mreq(G, LO)), ENOBUFS);
    ret!(
        set(k, fd, libc::IP_DROP_MEMBERSHIP, &mreq([239, 5, 0, 7], LO)),
        0
    );
    ret!(set(k, fd, libc::IP_ADD_MEMBERSHIP, &mreq(G, LO)), 0);
    Ok(())
}

fn interface_forms(k: &mut dyn Kernel) -> Outcome {
    let name = libc::IP_MULTICAST_IF;
    let second = [127, 0, 0, 2];
    for (value, shown) in [
        (LO.to_vec(), LO),
        (mreq(ANY, LO), LO),
        (mreqn(ANY, second, 1), second),
        (mreqn(ANY, ANY, 1), ANY),
        (mreqn(G, second, 0), second),
        (ANY.to_vec(), ANY),
    ] {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        eq!(k.getsockopt(fd, IPPROTO_IP, name, 4), (0, ANY.to_vec()));
        ret!(set(k, fd, name, &value), 0);
        eq!(k.getsockopt(fd, IPPROTO_IP, name, 8), (0, shown.to_vec()));
        eq!(
            k.getsockopt(fd, IPPROTO_IP, name, 2),
            (0, shown[..2].to_vec())
        );
    }
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let nobody = [203, 0, 113, 1];
    for value in [
        nobody.to_vec(),
        mreq(ANY, nobody),
        mreqn(ANY, ANY, 0x7fff),
        mreqn(ANY, nobody, 0),
    ] {
        err!(set(k, fd, name, &value), EADDRNOTAVAIL);
    }
    for len in 0..4 {
        err!(set(k, fd, name, &LO[..len]), EINVAL);
    }
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    err!(set(k, fd, name, &LO), EINVAL);
    // The address is the source of what is sent.
    let (a, port) = member(k, 0)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(set(k, from, name, &second), 0);
    ret!(k.sendto(from, b"x", 0, &Addr::v4(G, port)), 1);
    let (n, peer) = k.recvfrom(a, &mut [0; 4], 0);
    ret!(n, 1);
    eq!(peer.with_port(0), Addr::v4(second, 0));
    Ok(())
}

fn interface_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let name = libc::IPV6_MULTICAST_IF;
    eq!(k.get_int(fd, IPPROTO_IPV6, name)?, 0);
    ret!(k.set_int(fd, IPPROTO_IPV6, name, 1), 0);
    eq!(k.get_int(fd, IPPROTO_IPV6, name)?, 1);
    for value in [-1, 0x7fff] {
        err!(k.set_int(fd, IPPROTO_IPV6, name, value), ENODEV);
    }
    err!(k.setsockopt(fd, IPPROTO_IPV6, name, &[1]), EINVAL);
    ret!(k.set_int(fd, IPPROTO_IPV6, name, 0), 0);
    eq!(k.get_int(fd, IPPROTO_IPV6, name)?, 0);
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM | NB, 0));
    err!(k.set_int(fd, IPPROTO_IPV6, name, 1), ENOPROTOOPT);
    Ok(())
}

/// `struct ip_mreq_source`.
fn source(from: [u8; 4]) -> Vec<u8> {
    [G, LO, from].concat()
}

fn blocked_sources(k: &mut dyn Kernel) -> Outcome {
    let (fd, port) = member(k, 0)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    ret!(set(k, fd, IP_BLOCK_SOURCE, &source(LO)), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    err!(set(k, fd, IP_BLOCK_SOURCE, &source(LO)), EADDRNOTAVAIL);
    // A filter of the other kind does not go with it.
    err!(set(k, fd, IP_ADD_SOURCE_MEMBERSHIP, &source(LO)), EINVAL);
    err!(set(k, fd, IP_DROP_SOURCE_MEMBERSHIP, &source(LO)), EINVAL);
    ret!(set(k, fd, IP_UNBLOCK_SOURCE, &source(LO)), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    err!(set(k, fd, IP_UNBLOCK_SOURCE, &source(LO)), EADDRNOTAVAIL);
    // net.ipv4.igmp_max_msf.
    for n in 0..10 {
        ret!(set(k, fd, IP_BLOCK_SOURCE, &source([10, 0, 0, n])), 0);
    }
    err!(set(k, fd, IP_BLOCK_SOURCE, &source([10, 0, 1, 1])), ENOBUFS);
    for len in [0, 11, 13] {
        let value = [source(LO), vec![0]].concat();
        err!(set(k, fd, IP_BLOCK_SOURCE, &value[..len]), EINVAL);
    }
    // Nobody's membership.
    let other = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    err!(set(k, other, IP_BLOCK_SOURCE, &source(LO)), EINVAL);
    let nowhere = [G, [203, 0, 113, 1], LO].concat();
    err!(set(k, other, IP_BLOCK_SOURCE, &nowhere), ENODEV);
    let no_group = [LO, LO, LO].concat();
    err!(set(k, other, IP_BLOCK_SOURCE, &no_group), EINVAL);
    Ok(())
}

fn chosen_sources(k: &mut dyn Kernel) -> Outcome {
    let (fd, port) = hearer(k, 0)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    // Joins, and takes nothing but what comes from there.
    ret!(
        set(k, fd, IP_ADD_SOURCE_MEMBERSHIP, &source([127, 0, 0, 9])),
        0
    );
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    ret!(set(k, fd, IP_ADD_SOURCE_MEMBERSHIP, &source(LO)), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    err!(set(k, fd, IP_BLOCK_SOURCE, &source(LO)), EINVAL);
    ret!(set(k, fd, IP_DROP_SOURCE_MEMBERSHIP, &source(LO)), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    err!(
        set(k, fd, IP_DROP_SOURCE_MEMBERSHIP, &source(LO)),
        EADDRNOTAVAIL
    );
    // The last source is the membership.
    ret!(
        set(k, fd, IP_DROP_SOURCE_MEMBERSHIP, &source([127, 0, 0, 9])),
        0
    );
    err!(
        set(k, fd, libc::IP_DROP_MEMBERSHIP, &mreq(G, LO)),
        EADDRNOTAVAIL
    );
    Ok(())
}

fn filter_of_ip(k: &mut dyn Kernel) -> Outcome {
    let (fd, port) = member(k, 0)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    let other = [127, 0, 0, 9];
    let get = |k: &mut dyn Kernel, room: i32, len: usize| {
        let mut given = ip_filter(0, room, &[ANY, ANY, ANY]);
        given.truncate(len);
        ask(k, fd, IPPROTO_IP, IP_MSFILTER, &given)
    };
    eq!(get(k, 3, 28), (0, ip_filter(EXCLUDE, 0, &[])));
    ret!(
        set(k, fd, IP_MSFILTER, &ip_filter(INCLUDE, 2, &[other, LO])),
        0
    );
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    eq!(get(k, 3, 28), (0, ip_filter(INCLUDE, 2, &[other, LO])));
    // As many as there is room for, and how many there are.
    eq!(get(k, 1, 28), (0, ip_filter(INCLUDE, 2, &[other])));
    eq!(get(k, 0, 16), (0, ip_filter(INCLUDE, 2, &[])));
    eq!(get(k, 3, 15).0, -i64::from(libc::EINVAL));
    ret!(set(k, fd, IP_MSFILTER, &ip_filter(EXCLUDE, 1, &[LO])), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    err!(set(k, fd, IP_MSFILTER, &ip_filter(2, 1, &[LO])), EINVAL);
    err!(
        set(k, fd, IP_MSFILTER, &ip_filter(INCLUDE, 2, &[LO])),
        EINVAL
    );
    err!(
        set(k, fd, IP_MSFILTER, &ip_filter(INCLUDE, 11, &[LO; 11])),
        ENOBUFS
    );
    err!(set(k, fd, IP_MSFILTER, &[0; 15]), EINVAL);
    // All that is offered has to be readable, needed or not.
    let edge = Edge::new();
    let at = edge.put(&ip_filter(EXCLUDE, 0, &[]));
    for (len, want) in [
        (17, libc::EFAULT),
        (20_000, libc::EFAULT),
        (131_072, libc::EFAULT),
        (1 << 20, libc::ENOBUFS),
    ] {
        let got = k.setsockopt_raw(fd, IPPROTO_IP, IP_MSFILTER, at, len);
        eq!((len, got), (len, -i64::from(want)));
        let got = k.setsockopt_raw(fd, IPPROTO_IP, MCAST_MSFILTER, edge.at(200), len.max(201));
        eq!((len, got), (len, -i64::from(want)));
    }
    ret!(set(k, fd, IP_MSFILTER, &ip_filter(EXCLUDE, 0, &[])), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    // To hear nobody is to leave.
    ret!(set(k, fd, IP_MSFILTER, &ip_filter(INCLUDE, 0, &[])), 0);
    eq!(get(k, 3, 28).0, -i64::from(libc::EADDRNOTAVAIL));
    err!(
        set(k, fd, IP_MSFILTER, &ip_filter(INCLUDE, 0, &[])),
        EADDRNOTAVAIL
    );
    err!(set(k, fd, IP_MSFILTER, &ip_filter(EXCLUDE, 0, &[])), EINVAL);
    Ok(())
}

fn filter_of_a_group(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = member(k, 0)?;
    let group = Addr::v4(G, 0);
    let (one, two) = (Addr::v4([10, 0, 0, 1], 0), Addr::v4([10, 0, 0, 2], 0));
    let get = |k: &mut dyn Kernel, index, room| {
        let given = group_filter(index, &group, 0, room, &[one.clone(), one.clone()]);
        ask(k, fd, IPPROTO_IP, MCAST_MSFILTER, &given)
    };
    let both = [one.clone(), two.clone()];
    let filter = group_filter(1, &group, INCLUDE, 2, &both);
    ret!(set(k, fd, MCAST_MSFILTER, &filter), 0);
    eq!(get(k, 1, 2), (0, filter.clone()));
    let cut = group_filter(1, &group, INCLUDE, 2, &both[..1]);
    eq!(get(k, 1, 1), (0, cut));
    eq!(get(k, 0, 2).0, -i64::from(libc::EADDRNOTAVAIL));
    let short = ask(k, fd, IPPROTO_IP, MCAST_MSFILTER, &filter[..143]).0;
    eq!(short, -i64::from(libc::EINVAL));
    err!(
        set(k, fd, MCAST_MSFILTER, &filter[..filter.len() - 1]),
        EINVAL
    );
    err!(set(k, fd, MCAST_MSFILTER, &filter[..143]), EINVAL);
    let six = group_filter(1, &Addr::lo6(0), INCLUDE, 0, &[]);
    err!(set(k, fd, MCAST_MSFILTER, &six), EADDRNOTAVAIL);
    let six = group_filter(1, &group, INCLUDE, 1, &[Addr::lo6(0)]);
    err!(set(k, fd, MCAST_MSFILTER, &six), EADDRNOTAVAIL);
    let many = vec![one; 11];
    let many = group_filter(1, &group, INCLUDE, 11, &many);
    err!(set(k, fd, MCAST_MSFILTER, &many), ENOBUFS);
    Ok(())
}

fn group_requests(k: &mut dyn Kernel) -> Outcome {
    let (fd, port) = hearer(k, 0)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    let group = Addr::v4(G, 0);
    let join = request(1, &group, None);
    err!(set(k, fd, MCAST_JOIN_GROUP, &join[..135]), EINVAL);
    ret!(set(k, fd, MCAST_JOIN_GROUP, &join), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    err!(set(k, fd, MCAST_JOIN_GROUP, &join), EADDRINUSE);
    err!(
        set(k, fd, MCAST_JOIN_GROUP, &request(0x7fff, &group, None)),
        ENODEV
    );
    err!(
        set(k, fd, MCAST_JOIN_GROUP, &request(1, &Addr::v4(LO, 0), None)),
        EINVAL
    );
    err!(
        set(k, fd, MCAST_JOIN_GROUP, &request(1, &Addr::lo6(0), None)),
        EINVAL
    );
    // More bytes do no harm.
    let more = [request(1, &Addr::v4([239, 1, 1, 1], 0), None), vec![1; 9]].concat();
    ret!(set(k, fd, MCAST_JOIN_GROUP, &more), 0);
    err!(set(k, fd, MCAST_LEAVE_GROUP, &join[..135]), EINVAL);
    ret!(set(k, fd, MCAST_LEAVE_GROUP, &join), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    err!(set(k, fd, MCAST_LEAVE_GROUP, &join), EADDRNOTAVAIL);
    Ok(())
}

fn source_requests(k: &mut dyn Kernel) -> Outcome {
    let (fd, port) = hearer(k, 0)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    let (group, lo) = (Addr::v4(G, 0), Addr::v4(LO, 0));
    let own = request(1, &group, Some(&lo));
    err!(set(k, fd, MCAST_BLOCK_SOURCE, &own), EINVAL);
    ret!(set(k, fd, MCAST_JOIN_SOURCE_GROUP, &own), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    err!(set(k, fd, MCAST_JOIN_SOURCE_GROUP, &own), EADDRNOTAVAIL);
    let other = request(1, &group, Some(&Addr::v4([10, 0, 0, 1], 0)));
    ret!(set(k, fd, MCAST_JOIN_SOURCE_GROUP, &other), 0);
    ret!(set(k, fd, MCAST_LEAVE_SOURCE_GROUP, &own), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    ret!(set(k, fd, MCAST_LEAVE_SOURCE_GROUP, &other), 0);
    err!(set(k, fd, MCAST_LEAVE_SOURCE_GROUP, &other), EINVAL);
    let join = request(1, &group, None);
    ret!(set(k, fd, MCAST_JOIN_GROUP, &join), 0);
    ret!(set(k, fd, MCAST_BLOCK_SOURCE, &own), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![false]);
    ret!(set(k, fd, MCAST_UNBLOCK_SOURCE, &own), 0);
    eq!(heard(k, from, &to, &[fd])?, vec![true]);
    // The size is exact here.
    err!(set(k, fd, MCAST_BLOCK_SOURCE, &own[..263]), EINVAL);
    err!(
        set(k, fd, MCAST_BLOCK_SOURCE, &[&own[..], &[0]].concat()),
        EINVAL
    );
    let six = request(1, &group, Some(&Addr::lo6(0)));
    err!(set(k, fd, MCAST_BLOCK_SOURCE, &six), EADDRNOTAVAIL);
    Ok(())
}

fn of_a_stream(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    for name in [libc::IP_ADD_MEMBERSHIP, libc::IP_DROP_MEMBERSHIP] {
        err!(set(k, fd, name, &mreq(G, LO)), EPROTO);
    }
    // The newer options do not ask.
    let join = request(1, &Addr::v4(G, 0), None);
    ret!(set(k, fd, MCAST_JOIN_GROUP, &join), 0);
    err!(set(k, fd, MCAST_JOIN_GROUP, &join), EADDRINUSE);
    ret!(set(k, fd, MCAST_LEAVE_GROUP, &join), 0);
    ret!(set(k, fd, IP_ADD_SOURCE_MEMBERSHIP, &source(LO)), 0);
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM | NB, 0));
    for name in [libc::IPV6_ADD_MEMBERSHIP, libc::IPV6_DROP_MEMBERSHIP] {
        err!(
            k.setsockopt(fd, IPPROTO_IPV6, name, &mreq6(&group6(1), 1)),
            EPROTO
        );
        err!(k.setsockopt(fd, IPPROTO_IPV6, name, &[0; 19]), EINVAL);
    }
    Ok(())
}

fn of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let (add, drop) = (libc::IPV6_ADD_MEMBERSHIP, libc::IPV6_DROP_MEMBERSHIP);
    let mut set = |name, value: &[u8]| k.setsockopt(fd, IPPROTO_IPV6, name, value);
    ret!(set(add, &mreq6(&group6(1), 1)), 0);
    err!(set(add, &mreq6(&group6(1), 1)), EADDRINUSE);
    // On any interface.
    err!(set(add, &mreq6(&group6(1), 0)), EADDRINUSE);
    err!(set(add, &mreq6(&group6(2), 0x7fff)), ENODEV);
    err!(set(add, &mreq6(&[1; 16], 1)), EINVAL);
    err!(set(drop, &mreq6(&[1; 16], 1)), EINVAL);
    err!(set(drop, &mreq6(&group6(2), 1)), EADDRNOTAVAIL);
    err!(set(drop, &mreq6(&group6(1), 2)), EADDRNOTAVAIL);
    for name in [add, drop] {
        err!(set(name, &[0; 19]), EINVAL);
    }
    ret!(set(drop, &mreq6(&group6(1), 0)), 0);
    err!(set(drop, &mreq6(&group6(1), 0)), EADDRNOTAVAIL);
    // The forms that name a family.
    let group = Addr::v6(group6(3), 0);
    let join = request(1, &group, None);
    ret!(set(MCAST_JOIN_GROUP, &join), 0);
    err!(set(MCAST_JOIN_GROUP, &join), EADDRINUSE);
    err!(set(MCAST_JOIN_GROUP, &join[..135]), EINVAL);
    let four = request(1, &Addr::v4(G, 0), None);
    err!(set(MCAST_JOIN_GROUP, &four), EADDRNOTAVAIL);
    let own = request(1, &group, Some(&Addr::lo6(0)));
    ret!(set(MCAST_BLOCK_SOURCE, &own), 0);
    err!(set(MCAST_BLOCK_SOURCE, &own), EADDRNOTAVAIL);
    err!(set(MCAST_JOIN_SOURCE_GROUP, &own), EINVAL);
    ret!(set(MCAST_UNBLOCK_SOURCE, &own), 0);
    ret!(set(MCAST_LEAVE_GROUP, &join), 0);
    ret!(set(MCAST_JOIN_SOURCE_GROUP, &own), 0);
    ret!(set(MCAST_LEAVE_SOURCE_GROUP, &own), 0);
    err!(set(MCAST_LEAVE_GROUP, &join), EADDRNOTAVAIL);
    // IPv4's groups are a socket of IPv6's too.
    ret!(
        k.setsockopt(fd, IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &mreq(G, LO)),
        0
    );
    Ok(())
}

fn filter_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let group = Addr::v6(group6(1), 0);
    let (one, two) = (Addr::lo6(0), Addr::v6(group6(6), 0));
    let join = request(1, &group, None);
    ret!(k.setsockopt(fd, IPPROTO_IPV6, MCAST_JOIN_GROUP, &join), 0);
    let both = [one.clone(), two];
    let filter = group_filter(1, &group, INCLUDE, 2, &both);
    let mut set = |value: &[u8]| k.setsockopt(fd, IPPROTO_IPV6, MCAST_MSFILTER, value);
    ret!(set(&filter), 0);
    err!(set(&filter[..filter.len() - 1]), EINVAL);
    err!(set(&group_filter(1, &group, 2, 1, &both[..1])), EINVAL);
    let stranger = Addr::v6(group6(2), 0);
    err!(
        set(&group_filter(1, &stranger, INCLUDE, 1, &both[..1])),
        EINVAL
    );
    let many = vec![one.clone(); 65];
    err!(set(&group_filter(1, &group, INCLUDE, 65, &many)), ENOBUFS);
    let given = group_filter(1, &group, 0, 2, &[one.clone(), one.clone()]);
    eq!(
        ask(k, fd, IPPROTO_IPV6, MCAST_MSFILTER, &given),
        (0, filter)
    );
    let given = group_filter(0, &group, 0, 2, &[one.clone(), one]);
    let got = ask(k, fd, IPPROTO_IPV6, MCAST_MSFILTER, &given).0;
    eq!(got, -i64::from(libc::EADDRNOTAVAIL));
    let given = group_filter(1, &Addr::v4(G, 0), 0, 0, &[]);
    let got = ask(k, fd, IPPROTO_IPV6, MCAST_MSFILTER, &given).0;
    eq!(got, -i64::from(libc::EADDRNOTAVAIL));
    let leave = group_filter(1, &group, INCLUDE, 0, &[]);
    ret!(k.setsockopt(fd, IPPROTO_IPV6, MCAST_MSFILTER, &leave), 0);
    Ok(())
}

fn ipv6_does_not_leave_by_lo(k: &mut dyn Kernel) -> Outcome {
    // lo has no route to groups.
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, 1), 0);
    err!(k.sendto(fd, b"x", 0, &Addr::v6(group6(1), 9)), ENETUNREACH);
    Ok(())
}

fn bound_to_the_group(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(fd, &Addr::v4(G, 0)), 0);
    let at = k.sockname(fd)?;
    eq!(at.with_port(0), Addr::v4(G, 0));
    ret!(set(k, fd, libc::IP_ADD_MEMBERSHIP, &mreq(G, LO)), 0);
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_PKTINFO, 1), 0);
    let from = sender(k)?;
    ret!(k.sendto(from, b"x", 0, &at), 1);
    let mut msg = crate::msg::Msg::room(&[4]).control_room(64);
    ret!(k.recvmsg(fd, &mut msg, 0), 1);
    // The group, and the address to answer from.
    let info = [&int(1)[..], &LO, &G].concat();
    eq!(msg.cmsgs()[0].data.clone(), info);
    // Nor does it hear what is for the host alone.
    ret!(k.sendto(from, b"x", 0, &Addr::lo4(at.port())), 1);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn connected_to_the_group(k: &mut dyn Kernel) -> Outcome {
    let (fd, port) = member(k, 0)?;
    let from = sender(k)?;
    ret!(k.connect(from, &Addr::v4(G, port)), 0);
    eq!(k.sockname(from)?.with_port(0), Addr::lo4(0));
    ret!(k.send(from, b"x", 0), 1);
    eq!(k.recv_now(fd)?, b"x");
    // What comes back from a member is none of the peer's.
    let name = k.sockname(from)?;
    ret!(k.sendto(fd, b"y", 0, &name), 1);
    err!(k.recv(from, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn closing_leaves(k: &mut dyn Kernel) -> Outcome {
    let (a, port) = member(k, 0)?;
    let (b, _) = hearer(k, port)?;
    let from = sender(k)?;
    let to = Addr::v4(G, port);
    eq!(heard(k, from, &to, &[b])?, vec![true]);
    k.close(a);
    eq!(heard(k, from, &to, &[b])?, vec![false]);
    Ok(())
}

fn broadcast(k: &mut dyn Kernel) -> Outcome {
    // 127.255.255.255 is the broadcast address of lo.
    let (a, port) = hearer(k, 0)?;
    let (b, _) = hearer(k, port)?;
    let to = Addr::v4([127, 255, 255, 255], port);
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    eq!(k.get_int(from, SOL_SOCKET, SO_BROADCAST)?, 0);
    err!(k.sendto(from, b"x", 0, &to), EACCES);
    err!(k.connect(from, &to), EACCES);
    ret!(k.set_int(from, SOL_SOCKET, SO_BROADCAST, 1), 0);
    // Everyone of the port gets it.
    eq!(heard(k, from, &to, &[a, b])?, vec![true, true]);
    ret!(k.connect(from, &to), 0);
    ret!(k.send(from, b"x", 0), 1);
    eq!(k.recv_now(a)?, b"x");
    // Nobody is told when nobody is there.
    let nobody = Addr::v4(
        [127, 255, 255, 255],
        k.closed_port(AF_INET, SOCK_DGRAM)?.port(),
    );
    let other = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(other, SOL_SOCKET, SO_BROADCAST, 1), 0);
    ret!(k.connect(other, &nobody), 0);
    ret!(k.send(other, b"x", 0), 1);
    eq!(k.so_error(other)?, 0);
    Ok(())
}

fn layout_of_32_bits(k: &mut dyn Kernel) -> Outcome {
    // Four bytes for the index, and no gap after it.
    let mut low = Low::new();
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0)) as u32;
    let narrow = |bytes: &[u8]| [&bytes[..4], &bytes[8..]].concat();
    let (group, one) = (Addr::v4(G, 0), Addr::v4([10, 0, 0, 1], 0));
    let join = narrow(&request(1, &group, None));
    let own = narrow(&request(1, &group, Some(&one)));
    let mut set = |low: &mut Low, name: i32, value: &[u8]| -> Got<i64> {
        let at = low.put(value);
        let args = [fd, IPPROTO_IP as u32, name as u32, at, value.len() as u32];
        k.socketcall32(low, C::Setsockopt, &args)
    };
    err!(set(&mut low, MCAST_JOIN_GROUP, &join[..131])?, EINVAL);
    ret!(set(&mut low, MCAST_JOIN_GROUP, &join)?, 0);
    err!(set(&mut low, MCAST_BLOCK_SOURCE, &own[..259])?, EINVAL);
    ret!(set(&mut low, MCAST_BLOCK_SOURCE, &own)?, 0);
    let filter = narrow(&group_filter(1, &group, EXCLUDE, 1, &[one]));
    ret!(set(&mut low, MCAST_MSFILTER, &filter)?, 0);
    let given = narrow(&group_filter(1, &group, INCLUDE, 1, &[Addr::any4(0)]));
    let (at, len) = (low.put(&given), low.words(&[given.len() as u32]));
    let args = [fd, IPPROTO_IP as u32, MCAST_MSFILTER as u32, at, len];
    ret!(k.socketcall32(&mut low, C::Getsockopt, &args)?, 0);
    eq!(low.word(len) as usize, filter.len());
    eq!(low.read(at, filter.len()), filter);
    Ok(())
}

/// ipv6_sock_ac_join(): on lo nothing can be joined.
fn anycast_refused(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let here: std::net::Ipv6Addr = "::1".parse().unwrap_or(std::net::Ipv6Addr::UNSPECIFIED);
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    for (addr, index, want) in [
        ("::1", 1, libc::EINVAL),
        ("::1", 0, libc::EINVAL),
        ("::1", 99, libc::EINVAL),
        ("ff02::1", 1, libc::EINVAL),
        ("ff02::1", 99, libc::EINVAL),
        ("fe80::5", 1, libc::EADDRNOTAVAIL),
        ("fd00::5", 1, libc::EADDRNOTAVAIL),
        ("fd00::5", 0, libc::EADDRNOTAVAIL),
        ("::", 1, libc::EADDRNOTAVAIL),
        ("::ffff:127.0.0.1", 1, libc::EADDRNOTAVAIL),
        ("fd00::5", 99, libc::ENODEV),
        ("fd00::5", -1, libc::ENODEV),
    ] {
        let octets = addr.parse().unwrap_or(here).octets();
        let value = mreq6(&octets, index);
        let got = k.setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_ANYCAST, &value);
        eq!((addr, index, got), (addr, index, -i64::from(want)));
        let got = k.setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_ANYCAST, &value);
        eq!((addr, got), (addr, -i64::from(libc::ENOENT)));
    }
    Ok(())
}

fn anycast_needs_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "still root");
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let value = mreq6(&[0xfd; 16], 1);
    err!(
        k.setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_ANYCAST, &value),
        EPERM
    );
    err!(
        k.setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_ANYCAST, &value),
        ENOENT
    );
    for name in [IPV6_JOIN_ANYCAST, IPV6_LEAVE_ANYCAST] {
        err!(k.setsockopt(fd, IPPROTO_IPV6, name, &value[..19]), EINVAL);
    }
    Ok(())
}
