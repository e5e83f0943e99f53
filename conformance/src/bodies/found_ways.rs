//! What lockstep found about the ways of packets: what MSG_MORE held back and where it goes, errors that come back, and
//! what raw and ping sockets tell of packets that have no ports.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret, skip};
use crate::kernel::Kernel;
use crate::mem::{BAD, int};
use crate::msg::{Msg, cmsg, rights};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, PRI, R, W, WB};
use libc::{
    AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, MSG_MORE, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET,
};
use std::time::Duration;

tests! {
    control_messages_look_for_the_way_anew,
    what_ipv6_holds_back_keeps_its_port,
    raw_pushes_to_the_last_address [ROOT],
    short_quotes_tell_nothing [ROOT],
    nobody_answers_without_a_checksum,
    the_checksum_is_settled_last,
    what_is_joined_is_cut_as_the_first,
    a_held_back_source_stays,
    a_held_back_source_outlives_the_name,
    an_address_stands_in,
    one_interface_for_a_message,
    a_way_that_is_forgotten,
    the_port_a_datagram_was_sent_to,
    a_fault_behind_a_batch,
    packet_info_without_a_source,
    own_headers_are_not_held_back [ROOT],
    a_connected_socket_keeps_one_address,
    an_address_without_a_port_of_before,
    packets_without_ports [ROOT],
    ping_has_no_ports_either,
    raw_ipv6_stays_what_it_is [ROOT],
    a_fault_behind_the_mark,
    the_way_outlives_the_connection,
    raw_reads_control_messages_in_order [ROOT],
    a_look_at_nothing_is_stamped [ROOT],
    an_interface_that_is_not_there,
    raw_has_flow_labels [ROOT],
    ping_tells_the_flow,
    device_memory_is_for_tcp,
}

const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
const SO_BINDTOIFINDEX: i32 = 62;
const IPV6_FLOWINFO_SEND: i32 = 33;
const SO_RCVPRIORITY: i32 = 82;
const SCM_DEVMEM_DMABUF: i32 = 79;
const UDP_CORK: i32 = 1;
const UDP_SEGMENT: i32 = 103;
const UDP_NO_CHECK6_TX: i32 = 101;
const SIOCGSTAMPNS: u64 = 0x8907;
const ERR: i16 = libc::POLLERR;
/// What a connection shows that was refused or reset.
const GONE: i16 = R | W | ERR | libc::POLLHUP | libc::POLLRDHUP;
/// An index that no interface has.
const NOWHERE: i32 = 123_456;

fn raw(k: &mut dyn Kernel, family: i32) -> Got<Fd> {
    Ok(ok!(k.socket(family, SOCK_RAW | NB, 253)))
}

/// A plain send of a connected socket goes where the last corked one went; one with a control message for IP does not.
fn control_messages_look_for_the_way_anew(k: &mut dyn Kernel) -> Outcome {
    let (fd, to) = k.udp_pair(AF_INET)?;
    let (other, addr) = k.udp(AF_INET)?;
    let home = k.sockname(to)?;
    ret!(k.connect(fd, &home), 0);
    ret!(k.sendto(fd, b"a", MSG_MORE, &addr), 1);
    ret!(k.send(fd, b"b", 0), 1);
    eq!(k.recv_now(other)?, b"ab");
    ret!(k.send(fd, b"astray", 0), 6);
    eq!(k.recv_now(other)?, b"astray");
    // Files go nowhere here, and count all the same.
    let mut msg = Msg::of(&[b"home"]).control(&rights(&[fd]));
    ret!(k.sendmsg(fd, &mut msg, 0), 4);
    eq!(k.recv_now(to)?, b"home");
    Ok(())
}

/// The port is that of the first part, even if the socket has another by the time the datagram leaves.
fn what_ipv6_holds_back_keeps_its_port(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, own) = k.udp(family)?;
        let (to, addr) = k.udp(family)?;
        ret!(k.sendto(fd, b"ab", MSG_MORE, &addr), 2);
        ret!(k.connect(fd, &Addr::unspec()), 0);
        eq!(k.sockname(fd)?.port(), 0);
        // Nobody else gets the old one.
        let keeper = ok!(k.socket(family, SOCK_DGRAM, 0));
        ret!(k.bind(keeper, &own), 0);
        ret!(k.send(fd, b"cd", 0), 2);
        let now = k.sockname(fd)?.port();
        mask!(k, to, R | W | WB);
        let mut buf = [0; 8];
        let (got, from) = k.recvfrom(to, &mut buf, 0);
        eq!((got, &buf[..4]), (4, &b"abcd"[..]));
        eq!(
            from.port(),
            if family == AF_INET { now } else { own.port() }
        );
    }
    Ok(())
}

fn raw_pushes_to_the_last_address(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET)?;
    ret!(k.sendto(fd, b"ab", MSG_MORE, &Addr::lo4(0)), 2);
    ret!(k.sendto(fd, b"cd", 0, &Addr::v4([127, 0, 0, 2], 0)), 2);
    let got = k.recv_now(fd)?;
    eq!(&got[16..20], &[127, 0, 0, 2]);
    eq!(&got[20..], b"abcd");
    Ok(())
}

/// An ICMP error has to quote eight octets behind the IP header.
fn short_quotes_tell_nothing(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET)?;
    ret!(k.bind(fd, &Addr::v4([127, 0, 0, 2], 0)), 0);
    ret!(k.connect(fd, &Addr::lo4(0)), 0);
    ret!(k.send(fd, &[0; 7], 0), 7);
    k.pause(Duration::from_millis(5));
    eq!(k.so_error(fd)?, 0);
    ret!(k.send(fd, &[0; 8], 0), 8);
    mask!(k, fd, W | WB | ERR);
    eq!(k.so_error(fd)?, libc::ENOPROTOOPT);
    Ok(())
}

/// RFC 8200, 8.1: whoever gets one without a checksum cannot know who sent it.
fn nobody_answers_without_a_checksum(k: &mut dyn Kernel) -> Outcome {
    let closed = k.closed_port(AF_INET6, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &closed), 0);
    ret!(k.set_int(fd, libc::IPPROTO_UDP, UDP_NO_CHECK6_TX, 1), 0);
    ret!(k.send(fd, b"x", 0), 1);
    k.pause(Duration::from_millis(5));
    mask!(k, fd, W | WB);
    ret!(k.set_int(fd, libc::IPPROTO_UDP, UDP_NO_CHECK6_TX, 0), 0);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, W | WB | ERR);
    Ok(())
}

/// Whether there is one is settled when the datagram is pushed.
fn the_checksum_is_settled_last(k: &mut dyn Kernel) -> Outcome {
    let (fd, to) = k.udp_pair(AF_INET6)?;
    for by_option in [false, true] {
        ret!(k.set_int(fd, libc::IPPROTO_UDP, UDP_NO_CHECK6_TX, 0), 0);
        ret!(k.send(fd, b"x", MSG_MORE), 1);
        ret!(k.set_int(fd, libc::IPPROTO_UDP, UDP_NO_CHECK6_TX, 1), 0);
        if by_option {
            ret!(k.set_int(fd, libc::IPPROTO_UDP, UDP_CORK, 0), 0);
        } else {
            ret!(k.send(fd, b"y", 0), 1);
        }
        k.pause(Duration::from_millis(5));
        err!(k.recv(to, &mut [0; 4], 0), EAGAIN);
    }
    Ok(())
}

/// UDP_SEGMENT of the first part is that of the whole.
fn what_is_joined_is_cut_as_the_first(k: &mut dyn Kernel) -> Outcome {
    let (fd, to) = k.udp_pair(AF_INET)?;
    let size = cmsg(libc::IPPROTO_UDP, UDP_SEGMENT, &30_000u16.to_ne_bytes());
    let mut msg = Msg::of(&[b"x"]).control(&size);
    ret!(k.sendmsg(fd, &mut msg, MSG_MORE), 1);
    ret!(k.send(fd, &[1; 59_999], 0), 59_999);
    for _ in 0..2 {
        eq!(k.recv_now(to)?.len(), 30_000);
    }
    Ok(())
}

/// A connected socket hears one address; at others its port can be bound.
fn a_connected_socket_keeps_one_address(k: &mut dyn Kernel) -> Outcome {
    let closed = Addr::lo4(1);
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        ret!(k.bind(fd, &Addr::any(family, 0)), 0);
        let port = k.sockname(fd)?.port();
        let elsewhere = match family {
            AF_INET => Addr::v4([127, 0, 0, 2], port),
            _ => Addr::lo6(port),
        };
        let other = ok!(k.socket(family, SOCK_DGRAM, 0));
        err!(k.bind(other, &elsewhere), EADDRINUSE);
        ret!(k.connect(fd, &closed), 0);
        ret!(k.bind(other, &elsewhere), 0);
        let third = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        err!(k.bind(third, &Addr::lo4(port)), EADDRINUSE);
    }
    // For IPv4 an IPv6 address that connect(2) chose is 127.0.0.6.
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &Addr::lo6(1)), 0);
    let port = k.sockname(fd)?.port();
    for (address, want) in [
        ([0; 4], -i64::from(libc::EADDRINUSE)),
        ([127, 0, 0, 6], -i64::from(libc::EADDRINUSE)),
        ([127, 0, 0, 1], 0),
    ] {
        let other = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        eq!(k.bind(other, &Addr::v4(address, port)), want);
    }
    Ok(())
}

/// IP_BIND_ADDRESS_NO_PORT after a connection that came to nothing: its port is gone.
fn an_address_without_a_port_of_before(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.connect(fd, &Addr::lo4(1)), EINPROGRESS);
    mask!(k, fd, GONE);
    ret!(k.set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1), 0);
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    eq!(k.sockname(fd)?, Addr::lo4(0));
    Ok(())
}

/// The source that the first part chose goes along with a held-back destination.
fn a_held_back_source_stays(k: &mut dyn Kernel) -> Outcome {
    let (fd, to) = k.udp_pair(AF_INET)?;
    ret!(k.connect(to, &Addr::unspec()), 0);
    let home = k.sockname(fd)?;
    let (free, addr) = k.udp(AF_INET)?;
    ret!(k.connect(fd, &addr), 0);
    let mut info = [0; 12];
    info[4..8].copy_from_slice(&[127, 0, 0, 2]);
    let control = cmsg(IPPROTO_IP, libc::IP_PKTINFO, &info);
    let mut msg = Msg::of(&[b"a"]).control(&control);
    ret!(k.sendmsg(fd, &mut msg, MSG_MORE), 1);
    let elsewhere = Addr::v4([127, 0, 0, 2], home.port());
    for (part, whole) in [(&b"b"[..], &b"ab"[..]), (b"c", b"c")] {
        ret!(k.send(fd, part, 0), 1);
        mask!(k, free, R | W | WB);
        let mut buf = [0; 4];
        let (got, from) = k.recvfrom(free, &mut buf, 0);
        eq!(&buf[..got.max(0) as usize], whole);
        eq!(from, elsewhere.clone());
    }
    Ok(())
}

/// A socket of IPv6 that has lost its name, and has another by the time the datagram of IPv4 leaves.
fn a_held_back_source_outlives_the_name(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(fd, b"a", MSG_MORE, &addr), 1);
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(k.bind(fd, &Addr::lo6(0)), 0);
    let port = k.sockname(fd)?.port();
    ret!(k.send(fd, &[b'b'; 1500], 0), 1500);
    mask!(k, to, R | W | WB);
    let (got, from) = k.recvfrom(to, &mut [0; 2000], 0);
    eq!((got, from), (1501, Addr::lo4(port)));
    // One of IPv6 loses its addresses to a connection of IPv4.
    let (six, addr6) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(fd, b"a", MSG_MORE, &addr6), 1);
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, &[b'b'; 1500], 0), 1500);
    mask!(k, six, W | WB);
    ret!(k.send(fd, b"c", 0), 1);
    eq!(k.recv_now(to)?, b"c");
    Ok(())
}

/// An IPv6 address that is left of bind(2) is 127.0.0.6 for IPv4 (LOOPBACK4_IPV6), to send from and to be reached at.
fn an_address_stands_in(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.bind(fd, &Addr::lo6(0)), 0);
    eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY)?, 1);
    err!(k.sendto(fd, b"a", 0, &addr), ENETUNREACH);
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, 0), 0);
    ret!(k.sendto(fd, b"a", 0, &addr), 1);
    mask!(k, to, R | W | WB);
    let port = k.sockname(fd)?.port();
    let stand_in = Addr::v4([127, 0, 0, 6], port);
    eq!(k.recvfrom(to, &mut [0; 4], 0).1, stand_in.clone());
    ret!(k.connect(fd, &addr), 0);
    eq!(k.sockname(fd)?, Addr::lo6(port));
    ret!(k.send(fd, b"b", 0), 1);
    mask!(k, to, R | W | WB);
    eq!(k.recvfrom(to, &mut [0; 4], 0).1, stand_in.clone());
    ret!(k.sendto(to, b"c", 0, &stand_in), 1);
    eq!(k.recv_now(fd)?, b"c");
    Ok(())
}

/// IPV6_PKTINFO names no other interface than one that is settled, by an earlier message or by the socket.
fn one_interface_for_a_message(k: &mut dyn Kernel) -> Outcome {
    let (_to, addr) = k.udp(AF_INET6)?;
    let info = |index: i32| {
        let mut data = vec![0; 15];
        data.push(1);
        data.extend(int(index));
        cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
    };
    for (named, want) in [
        (vec![1, 0], 1),
        (vec![1, 1], 1),
        (vec![1, NOWHERE], -i64::from(libc::EINVAL)),
        (vec![NOWHERE, 1], -i64::from(libc::ENODEV)),
    ] {
        let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
        let control: Vec<u8> = named.into_iter().flat_map(info).collect();
        let mut msg = Msg::of(&[b"a"]).to(&addr).control(&control);
        eq!(k.sendmsg(fd, &mut msg, 0), want);
    }
    for (level, name) in [
        (SOL_SOCKET, SO_BINDTOIFINDEX),
        (IPPROTO_IPV6, libc::IPV6_MULTICAST_IF),
    ] {
        let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
        ret!(k.set_int(fd, level, name, 1), 0);
        let mut msg = Msg::of(&[b"a"]).to(&addr).control(&info(NOWHERE));
        let errno = match level {
            SOL_SOCKET => libc::EINVAL,
            _ => libc::ENODEV,
        };
        eq!(k.sendmsg(fd, &mut msg, 0), -i64::from(errno));
    }
    Ok(())
}

/// What was held back and left for elsewhere leads a connected socket astray until it looks for its way anew.
fn a_way_that_is_forgotten(k: &mut dyn Kernel) -> Outcome {
    let (fd, to) = k.udp_pair(AF_INET)?;
    let (other, addr) = k.udp(AF_INET)?;
    let home = k.sockname(to)?;
    ret!(k.connect(fd, &home), 0);
    for forgets in [false, true] {
        ret!(k.sendto(fd, b"a", MSG_MORE, &addr), 1);
        if forgets {
            ret!(k.set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0), 0);
        }
        ret!(k.send(fd, b"b", 0), 1);
        eq!(k.recv_now(other)?, b"ab");
        ret!(k.send(fd, b"c", 0), 1);
        eq!(k.recv_now(if forgets { to } else { other })?, b"c");
    }
    Ok(())
}

/// IP_ORIGDSTADDR tells the packet's port, whatever has become of the socket's.
fn the_port_a_datagram_was_sent_to(k: &mut dyn Kernel) -> Outcome {
    for (family, level, kind) in [(AF_INET, IPPROTO_IP, 20), (AF_INET6, IPPROTO_IPV6, 74)] {
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        ret!(k.bind(fd, &Addr::any(family, 0)), 0);
        ret!(k.set_int(fd, level, kind, 1), 0);
        let to = Addr::lo(family, k.sockname(fd)?.port());
        ret!(k.sendto(fd, b"a", 0, &to), 1);
        ret!(k.connect(fd, &Addr::unspec()), 0);
        eq!(k.sockname(fd)?.port(), 0);
        eq!(told(k, fd, level, kind)?, Some(to.0.clone()));
    }
    Ok(())
}

/// What is held back is lost with a part that cannot be read, also where the whole would be no batch.
fn a_fault_behind_a_batch(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (to, addr) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        ret!(k.connect(fd, &addr), 0);
        ret!(k.set_int(fd, libc::SOL_UDP, UDP_SEGMENT, 1), 0);
        ret!(k.send(fd, b"a", MSG_MORE), 1);
        err!(k.send_raw(fd, BAD, 1500, 0), EFAULT);
        let mut held = 1;
        ret!(k.ioctl_int(fd, libc::TIOCOUTQ, &mut held), 0);
        eq!(held, 0);
        ret!(k.send(fd, b"b", 0), 1);
        eq!(k.recv_now(to)?, b"b");
    }
    Ok(())
}

/// IP_PKTINFO that names no source: the way's, whatever the socket is bound to.
fn packet_info_without_a_source(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(fd, &Addr::v4([127, 0, 0, 2], 0)), 0);
    let own = k.sockname(fd)?;
    for index in [0, 1] {
        let info = [&int(index)[..], &[0; 8]].concat();
        let control = cmsg(IPPROTO_IP, libc::IP_PKTINFO, &info);
        let mut msg = Msg::of(&[b"a"]).to(&addr).control(&control);
        ret!(k.sendmsg(fd, &mut msg, 0), 1);
        mask!(k, to, R | W | WB);
        eq!(k.recvfrom(to, &mut [0; 4], 0).1, Addr::lo4(own.port()));
    }
    ret!(k.sendto(fd, b"b", 0, &addr), 1);
    mask!(k, to, R | W | WB);
    eq!(k.recvfrom(to, &mut [0; 4], 0).1, own);
    Ok(())
}

/// A packet with a header of the caller's own is sent at once, whatever MSG_MORE says.
fn own_headers_are_not_held_back(k: &mut dyn Kernel) -> Outcome {
    let hears = raw(k, AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, libc::IPPROTO_RAW));
    let mut packet = vec![0; 41];
    packet[0] = 0x60;
    packet[5] = 1;
    packet[6] = 253;
    packet[7] = 64;
    packet[23] = 1;
    packet[39] = 1;
    packet[40] = b'x';
    ret!(k.sendto(fd, &packet, MSG_MORE, &Addr::lo6(0)), 41);
    eq!(k.recv_now(hears)?, b"x");
    eq!(k.outq(fd)?, 0);
    Ok(())
}

/// What comes with the next packet of this kind: its data.
fn told(k: &mut dyn Kernel, fd: Fd, level: i32, kind: i32) -> Got<Option<Vec<u8>>> {
    let mut msg = Msg::room(&[200]).control_room(200);
    mask!(k, fd, R | W | WB);
    ok!(k.recvmsg(fd, &mut msg, 0));
    Ok(msg.cmsg(level, kind).map(|found| found.data))
}

/// IP_ORIGDSTADDR takes the second half-word behind the IP header for the port.
fn packets_without_ports(k: &mut dyn Kernel) -> Outcome {
    for (family, level, kind) in [(AF_INET, IPPROTO_IP, 20), (AF_INET6, IPPROTO_IPV6, 74)] {
        let fd = raw(k, family)?;
        ret!(k.set_int(fd, level, kind, 1), 0);
        let to = Addr::lo(family, 0);
        ret!(k.sendto(fd, &[1, 2, 3, 4, 5], 0, &to), 5);
        eq!(
            told(k, fd, level, kind)?,
            Some(Addr::lo(family, 0x0304).0.clone())
        );
        ret!(k.sendto(fd, &[1, 2, 3], 0, &to), 3);
        eq!(told(k, fd, level, kind)?, None);
    }
    Ok(())
}

fn ping_has_no_ports_either(k: &mut dyn Kernel) -> Outcome {
    let fd = match k.socket(AF_INET, SOCK_DGRAM | NB, libc::IPPROTO_ICMP) {
        fd if fd >= 0 => fd,
        _ => skip!("net.ipv4.ping_group_range allows no ping sockets"),
    };
    ret!(k.set_int(fd, IPPROTO_IP, 20, 1), 0);
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_PKTINFO, 1), 0);
    // Not told by ping sockets.
    ret!(k.set_int(fd, SOL_SOCKET, SO_RCVPRIORITY, 1), 0);
    let request = [8, 0, 0, 0, 0, 0, 0, 1];
    ret!(k.sendto(fd, &request, 0, &Addr::lo4(0)), 8);
    mask!(k, fd, R | W | WB);
    let mut msg = Msg::room(&[200]).control_room(200);
    let got = k.recvmsg(fd, &mut msg, 0);
    eq!(got, 8);
    check!(msg.cmsgs().len() == 2, "{:?}", msg.cmsgs());
    let sum = &msg.data(got)[2..4];
    let port = u16::from_be_bytes([sum[0], sum[1]]);
    let to = msg.cmsg(IPPROTO_IP, 20).map(|found| found.data);
    eq!(to, Some(Addr::lo4(port).0.clone()));
    // Nobody has prepared it: the interface stands there by chance, the address to answer from does not.
    let info = msg
        .cmsg(IPPROTO_IP, libc::IP_PKTINFO)
        .map(|found| found.data);
    eq!(info, Some(vec![1, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1]));
    Ok(())
}

fn raw_ipv6_stays_what_it_is(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET6)?;
    let only = libc::IPV6_V6ONLY;
    err!(k.set_int(fd, IPPROTO_IPV6, only, 1), EINVAL);
    ret!(k.connect(fd, &Addr::unspec()), 0);
    err!(k.set_int(fd, IPPROTO_IPV6, only, 1), EINVAL);
    Ok(())
}

/// A read that fails behind the urgent byte has passed it, and leaves it to MSG_OOB; one of a single byte does not.
fn a_fault_behind_the_mark(k: &mut dyn Kernel) -> Outcome {
    for (len, kept) in [(5, true), (1, false)] {
        let tcp = k.tcp(AF_INET)?;
        ret!(k.send(tcp.client, b"!", libc::MSG_OOB), 1);
        ret!(k.send(tcp.client, b"z", 0), 1);
        mask!(k, tcp.server, R | W | PRI);
        err!(k.recv_raw(tcp.server, BAD, len, 0), EFAULT);
        mask!(k, tcp.server, R | W | if kept { PRI } else { 0 });
        eq!(k.fionread(tcp.server)?, 1);
        let mut buf = [0; 4];
        let want = if kept { 1 } else { -i64::from(libc::EINVAL) };
        eq!(k.recv(tcp.server, &mut buf, libc::MSG_OOB), want);
        eq!(k.recv_now(tcp.server)?, b"z");
        ret!(k.send(tcp.client, b"q", 0), 1);
        eq!(k.recv_now(tcp.server)?, b"q");
    }
    Ok(())
}

/// IP_MTU and IPV6_MTU are the route's, which a socket keeps until it is disconnected.
fn the_way_outlives_the_connection(k: &mut dyn Kernel) -> Outcome {
    for (family, level, name) in [
        (AF_INET, IPPROTO_IP, libc::IP_MTU),
        (AF_INET6, IPPROTO_IPV6, libc::IPV6_MTU),
    ] {
        for port in [0, 1] {
            let fd = k.tcp_socket(family, NB)?;
            err!(k.getsockopt(fd, level, name, 4).0, ENOTCONN);
            err!(k.connect(fd, &Addr::lo(family, port)), EINPROGRESS);
            mask!(k, fd, GONE);
            let mtu = k.get_int(fd, level, name)?;
            check!(mtu >= 65_535, "{mtu}");
            eq!(k.so_error(fd)?, libc::ECONNREFUSED);
            eq!(k.get_int(fd, level, name)?, mtu);
            ret!(k.connect(fd, &Addr::unspec()), 0);
            err!(k.getsockopt(fd, level, name, 4).0, ENOTCONN);
        }
    }
    Ok(())
}

/// udp_cmsg_send() goes through all of them first.
fn raw_reads_control_messages_in_order(k: &mut dyn Kernel) -> Outcome {
    let mut info = [0; 20];
    info[15] = 1;
    info[16..].copy_from_slice(&int(NOWHERE));
    let mut control = cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
    control.extend(15u64.to_ne_bytes());
    control.extend([int(SOL_SOCKET), int(99)].concat());
    let to = Addr::lo6(0);
    let fd = raw(k, AF_INET6)?;
    let mut msg = Msg::of(&[b"x"]).to(&to).control(&control);
    err!(k.sendmsg(fd, &mut msg, 0), ENODEV);
    let (fd, to) = k.udp(AF_INET6)?;
    let mut msg = Msg::of(&[b"x"]).to(&to).control(&control);
    err!(k.sendmsg(fd, &mut msg, 0), EINVAL);
    Ok(())
}

fn a_look_at_nothing_is_stamped(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET6)?;
    ret!(k.sendto(fd, b"", 0, &Addr::lo6(0)), 0);
    mask!(k, fd, R | W | WB);
    ret!(k.recv(fd, &mut [0; 4], libc::MSG_PEEK), 0);
    let mut at = [0i64; 2];
    ret!(k.ioctl_raw(fd, SIOCGSTAMPNS, at.as_mut_ptr() as u64), 0);
    check!(at[0] > 0, "{at:?}");
    Ok(())
}

/// SO_BINDTOIFINDEX takes any index; the socket then looks for its way, and hears nothing.
fn an_interface_that_is_not_there(k: &mut dyn Kernel) -> Outcome {
    for (family, want) in [(AF_INET, libc::ENODEV), (AF_INET6, libc::ENETUNREACH)] {
        let (fd, to) = k.udp_pair(family)?;
        let to = k.sockname(to)?;
        ret!(k.set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, NOWHERE), 0);
        eq!(k.send(fd, b"x", 0), -i64::from(want));
        eq!(k.sendto(fd, b"x", 0, &to), -i64::from(want));
        let tcp = k.tcp(family)?;
        ret!(
            k.set_int(tcp.server, SOL_SOCKET, SO_BINDTOIFINDEX, NOWHERE),
            0
        );
        ret!(k.send(tcp.client, b"x", 0), 1);
        // Its listener hears what it does not, and knows of no connection.
        mask!(k, tcp.client, GONE);
        eq!(k.so_error(tcp.client)?, libc::ECONNRESET);
        mask!(k, tcp.server, W);
    }
    Ok(())
}

/// ip6_make_flowlabel(): all packets to the same host have the same.
fn raw_has_flow_labels(k: &mut dyn Kernel) -> Outcome {
    let fd = raw(k, AF_INET6)?;
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_FLOWINFO, 1), 0);
    let mut labels = Vec::new();
    for _ in 0..2 {
        ret!(k.sendto(fd, b"x", 0, &Addr::lo6(0)), 1);
        labels.push(told(k, fd, IPPROTO_IPV6, libc::IPV6_FLOWINFO)?);
    }
    check!(labels[0].is_some() && labels[0] == labels[1], "{labels:?}");
    Ok(())
}

/// Answers have labels, which ping sockets tell in the name, too, if they send labels themselves.
fn ping_tells_the_flow(k: &mut dyn Kernel) -> Outcome {
    let fd = match k.socket(AF_INET6, SOCK_DGRAM | NB, libc::IPPROTO_ICMPV6) {
        fd if fd >= 0 => fd,
        _ => skip!("net.ipv4.ping_group_range allows no ping sockets"),
    };
    let request = [128, 0, 0, 0, 0, 0, 0, 1];
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_FLOWINFO, 1), 0);
    for sends in [0, 1] {
        ret!(k.set_int(fd, IPPROTO_IPV6, IPV6_FLOWINFO_SEND, sends), 0);
        ret!(k.sendto(fd, &request, 0, &Addr::lo6(0)), 8);
        mask!(k, fd, R | W | WB);
        let mut msg = Msg::room(&[20]).name_room(28).control_room(64);
        ret!(k.recvmsg(fd, &mut msg, 0), 8);
        let flow = msg.cmsg(IPPROTO_IPV6, libc::IPV6_FLOWINFO).map(|m| m.data);
        let told = msg.peer().0[4..8].to_vec();
        eq!(Some(told), if sends == 1 { flow } else { Some(vec![0; 4]) });
    }
    Ok(())
}

/// SCM_DEVMEM_DMABUF names a buffer of a device, which only TCP looks for.
fn device_memory_is_for_tcp(k: &mut dyn Kernel) -> Outcome {
    let (udp, _) = k.udp_pair(AF_INET)?;
    let tcp = k.tcp(AF_INET)?;
    for (data, plain, stream) in [
        (&int(1)[..], 1, -i64::from(libc::EINVAL)),
        (&int(0)[..], 1, 1),
        (
            &[0; 8][..],
            -i64::from(libc::EINVAL),
            -i64::from(libc::EINVAL),
        ),
    ] {
        let control = cmsg(SOL_SOCKET, SCM_DEVMEM_DMABUF, data);
        let mut msg = Msg::of(&[b"x"]).control(&control);
        eq!(k.sendmsg(udp, &mut msg, 0), plain);
        eq!(k.sendmsg(tcp.client, &mut msg, 0), stream);
    }
    Ok(())
}
