//! What lockstep found when it had found nothing for long: sends that fail and leave something behind.

use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, IPPROTO_IP, IPPROTO_IPV6, MSG_MORE, MSG_NOSIGNAL, MSG_PEEK,
    SO_BINDTOIFINDEX, SO_PEEK_OFF, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET,
};

tests! {
    what_a_refused_datagram_leaves,
    the_source_of_a_refused_datagram,
    a_fault_finds_the_way,
    an_empty_datagram_is_peeked_at_once,
    ipv6_only_after_a_disconnect,
    a_peer_that_never_read,
    arrivals_wake_for_urgent_data [EPOLL],
    a_batch_without_a_checksum,
    what_a_batch_takes_of_the_receive_buffer,
    a_low_water_mark_wakes_readers_only [EPOLL],
    a_message_without_a_receiver_is_an_edge [EPOLL],
}

/// The mask of a datagram socket that an error waits for.
const REFUSED: i16 = W | WB | libc::POLLERR;

/// A part that is held back names where the next goes, also if it could not be made.
fn what_a_refused_datagram_leaves(k: &mut dyn Kernel) -> Outcome {
    for fault in [false, true] {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        ret!(k.connect(fd, &Addr::lo4(1)), 0);
        let (to, addr) = k.udp(AF_INET)?;
        ret!(k.send(fd, b"a", 0), 1);
        mask!(k, fd, REFUSED);
        err!(k.sendto(fd, b"b", MSG_MORE, &addr), ECONNREFUSED);
        if fault {
            err!(k.send_raw(fd, BAD, 100, MSG_MORE), EFAULT);
            ret!(k.send(fd, b"", 0), 0);
            mask!(k, fd, REFUSED);
        } else {
            ret!(k.send(fd, b"c", 0), 1);
            mask!(k, to, R | W | WB);
            eq!(k.recv_now(to)?, b"c");
        }
    }
    Ok(())
}

/// So does its source.
fn the_source_of_a_refused_datagram(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &Addr::lo4(1)), 0);
    let port = k.sockname(fd)?.port();
    ret!(k.send(fd, b"a", 0), 1);
    mask!(k, fd, REFUSED);
    let info = [&[0; 4][..], &[127, 0, 0, 2], &[0; 4]].concat();
    let control = cmsg(IPPROTO_IP, libc::IP_PKTINFO, &info);
    let mut msg = Msg::of(&[b"b"]).to(&addr).control(&control);
    err!(k.sendmsg(fd, &mut msg, MSG_MORE), ECONNREFUSED);
    ret!(k.send(fd, b"c", 0), 1);
    mask!(k, to, R | W | WB);
    let (got, from) = k.recvfrom(to, &mut [0; 4], 0);
    eq!((got, from), (1, Addr::v4([127, 0, 0, 2], port)));
    mask!(k, fd, W | WB);
    Ok(())
}

/// A way that was forgotten is found by the next plain send, also if its message cannot be read or an error comes first.
fn a_fault_finds_the_way(k: &mut dyn Kernel) -> Outcome {
    for refused in [false, true] {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        let (to, addr) = k.udp(AF_INET)?;
        ret!(k.connect(fd, &Addr::lo4(1)), 0);
        if refused {
            ret!(k.send(fd, b"a", 0), 1);
            mask!(k, fd, REFUSED);
            err!(k.sendto(fd, b"b", MSG_MORE, &addr), ECONNREFUSED);
            let nowhere = Addr::lo4(1);
            ret!(k.sendto(fd, b"c", 0, &nowhere), 1);
            mask!(k, fd, REFUSED);
        } else {
            ret!(k.sendto(fd, b"b", MSG_MORE, &addr), 1);
            ret!(k.send(fd, b"c", 0), 1);
            eq!(k.recv_now(to)?, b"bc");
        }
        ret!(k.set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0), 0);
        if refused {
            err!(k.send(fd, b"d", 0), ECONNREFUSED);
        } else {
            err!(k.send_raw(fd, BAD, 100, 0), EFAULT);
        }
        ret!(k.send(fd, b"e", 0), 1);
        mask!(k, to, R | W | WB);
        eq!(k.recv_now(to)?, b"e");
        mask!(k, fd, W | WB);
    }
    Ok(())
}

/// skb_set_peeked()
fn an_empty_datagram_is_peeked_at_once(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        let mut buf = [0; 4];
        for _ in 0..2 {
            ret!(k.sendmsg(a, &mut Msg::of(&[b""]), 0), 0);
        }
        // Without an offset it is looked at again and again.
        ret!(k.recv(b, &mut buf, MSG_PEEK), 0);
        ret!(k.recv(b, &mut buf, MSG_PEEK), 0);
        ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 0), 0);
        // The first was shown already.
        ret!(k.recv(b, &mut buf, MSG_PEEK), 0);
        err!(k.recv(b, &mut buf, MSG_PEEK), EAGAIN);
        ret!(k.recv(b, &mut buf, 0), 0);
        err!(k.recv(b, &mut buf, MSG_PEEK), EAGAIN);
        ret!(k.recv(b, &mut buf, 0), 0);
        err!(k.recv(b, &mut buf, 0), EAGAIN);
    }
    Ok(())
}

/// A socket that keeps an IPv4 address through a disconnect, and takes IPv6 alone from then on, is in nobody's way and
/// hears nobody.
fn ipv6_only_after_a_disconnect(k: &mut dyn Kernel) -> Outcome {
    let old = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.bind(old, &Addr::mapped([127, 0, 0, 1], 0)), 0);
    ret!(k.connect(old, &Addr::unspec()), 0);
    ret!(k.set_int(old, IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), 0);
    // It is given a port all the same.
    err!(k.connect(old, &Addr::lo(AF_INET6, 1)), EAFNOSUPPORT);
    let port = k.sockname(old)?.port();
    let sender = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(sender, &Addr::lo4(port)), 0);
    ret!(k.send(sender, b"a", 0), 1);
    mask!(k, sender, REFUSED);
    err!(k.recv(old, &mut [0; 4], 0), EAGAIN);
    let new = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(new, &Addr::lo4(port)), 0);
    let new = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    err!(k.bind(new, &Addr::any(AF_INET6, port)), EADDRINUSE);
    Ok(())
}

/// shutdown(2) of a stream that is not connected yet: its peer cannot write.
fn a_peer_that_never_read(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
        let listener = ok!(k.socket(AF_UNIX, kind | NB, 0));
        ret!(k.bind(listener, &Addr::unix(b"")), 0);
        ret!(k.listen(listener, 1), 0);
        let client = ok!(k.socket(AF_UNIX, kind | NB, 0));
        ret!(k.shutdown(client, libc::SHUT_RD), 0);
        let name = k.sockname(listener)?;
        ret!(k.connect(client, &name), 0);
        let server = ok!(k.accept(listener));
        for _ in 0..2 {
            err!(k.send(server, b"x", MSG_NOSIGNAL), EPIPE);
        }
        if kind == SOCK_STREAM {
            err!(k.send_raw(server, BAD, 1, MSG_NOSIGNAL), EFAULT);
            ret!(k.send(server, b"", MSG_NOSIGNAL), 0);
        }
        ret!(k.recv(client, &mut [0; 4], 0), 0);
        ret!(k.send(client, b"y", 0), 1);
        eq!(k.recv_now(server)?, b"y");
    }
    Ok(())
}

/// How many events are there now.
fn edges(k: &mut dyn Kernel, watch: Fd) -> i64 {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    let args = [watch as u64, &raw mut event as u64, 1, 0];
    k.call(libc::SYS_epoll_wait, &args)
}

/// sock_def_readable(): edges come for EPOLLPRI and EPOLLRDBAND, too.
fn arrivals_wake_for_urgent_data(k: &mut dyn Kernel) -> Outcome {
    let edge = (libc::EPOLLET | libc::EPOLLOUT) as u32;
    let tcp = k.tcp(AF_INET)?;
    let (sender, to) = k.udp_pair(AF_INET)?;
    let mut pairs = vec![(tcp.client, tcp.server), (sender, to)];
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        pairs.push(k.pair(AF_UNIX, kind | NB)?);
    }
    for (from, to) in pairs {
        for (beside, again) in [
            (libc::EPOLLPRI, 1),
            (libc::EPOLLRDBAND, 1),
            (libc::EPOLLRDHUP, 0),
        ] {
            let watch = ok!(k.call(libc::SYS_epoll_create1, &[0]));
            let events = edge | beside as u32;
            let asked = libc::epoll_event { events, u64: 0 };
            let add = libc::EPOLL_CTL_ADD as u64;
            let args = [watch as u64, add, to as u64, &raw const asked as u64];
            ret!(k.call(libc::SYS_epoll_ctl, &args), 0);
            eq!(edges(k, watch), 1);
            ret!(k.send(from, b"z", 0), 1);
            let writable = k.poll_mask(to) & !R;
            mask!(k, to, writable | R);
            eq!(edges(k, watch), again);
            eq!(k.recv_now(to)?, b"z");
            k.close(watch);
        }
    }
    Ok(())
}

/// udp_send_skb() looks at the socket when the batch is whole.
fn a_batch_without_a_checksum(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &addr), 0);
    ret!(k.set_int(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 200), 0);
    ret!(k.send(fd, &[1; 1000], MSG_MORE), 1000);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_NO_CHECK, 1), 0);
    err!(k.send(fd, b"last", 0), EINVAL);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_NO_CHECK, 0), 0);
    ret!(k.send(fd, b"next", 0), 4);
    eq!(k.recv_now(to)?, b"next");
    Ok(())
}

/// udp_rcv_segment(): what came in pages is charged by the byte.
fn what_a_batch_takes_of_the_receive_buffer(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        for (gro, len, holds) in [(0, 200, 4), (0, 100, 4), (1, 200, 1)] {
            let (to, addr) = k.udp(family)?;
            ret!(k.set_int(to, SOL_SOCKET, libc::SO_RCVBUF, 2100), 0);
            ret!(k.set_int(to, libc::SOL_UDP, libc::UDP_GRO, gro), 0);
            let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
            ret!(k.connect(fd, &addr), 0);
            ret!(k.set_int(fd, libc::SOL_UDP, libc::UDP_SEGMENT, len), 0);
            let data = vec![7; len as usize * 5];
            ret!(k.send(fd, &data, 0), data.len() as i64);
            mask!(k, to, R | W | WB);
            let mut got = 0;
            while k.recv(to, &mut [0; 4000], 0) > 0 {
                got += 1;
            }
            eq!((len, got), (len, holds));
        }
    }
    Ok(())
}

/// A watch of an edge, which has told what there is.
fn watched(k: &mut dyn Kernel, fd: Fd, events: i32) -> Got<Fd> {
    let watch = ok!(k.call(libc::SYS_epoll_create1, &[0]));
    let events = (libc::EPOLLET | events) as u32;
    let asked = libc::epoll_event { events, u64: 0 };
    let add = libc::EPOLL_CTL_ADD as u64;
    let args = [watch as u64, add, fd as u64, &raw const asked as u64];
    ret!(k.call(libc::SYS_epoll_ctl, &args), 0);
    edges(k, watch);
    Ok(watch)
}

/// tcp_data_ready(): nothing to read is nothing to wake for.
fn a_low_water_mark_wakes_readers_only(k: &mut dyn Kernel) -> Outcome {
    let refused = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    err!(k.connect(refused, &Addr::lo4(1)), EINPROGRESS);
    let gone = R | W | libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP;
    mask!(k, refused, gone);
    let tcp = k.tcp(AF_INET)?;
    ret!(k.send(tcp.client, b"abc", 0), 3);
    mask!(k, tcp.server, R | W);
    let ended = k.tcp(AF_INET)?;
    ret!(k.shutdown(ended.client, libc::SHUT_WR), 0);
    mask!(k, ended.server, R | W | libc::POLLRDHUP);
    let (unix, peer) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(peer, b"abc", 0), 3);
    for (fd, wakes) in [(refused, 0), (tcp.server, 1), (ended.server, 1), (unix, 0)] {
        let watch = watched(k, fd, libc::EPOLLIN)?;
        eq!(edges(k, watch), 0);
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVLOWAT, 2), 0);
        eq!(edges(k, watch), wakes);
    }
    Ok(())
}

/// sock_wfree(): of a message that was made, and whose receiver is not there any more.
fn a_message_without_a_receiver_is_an_edge(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    k.close(b);
    mask!(k, a, W | WB);
    let watch = watched(k, a, libc::EPOLLOUT)?;
    eq!(edges(k, watch), 0);
    err!(k.send(a, b"x", 0), ECONNREFUSED);
    eq!(edges(k, watch), 1);
    err!(k.send(a, b"x", 0), ENOTCONN);
    eq!(edges(k, watch), 1);
    Ok(())
}
