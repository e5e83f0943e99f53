//! What lockstep found when it had found nothing for long: sends that fail and leave something behind.

use crate::addr::Addr;
use crate::check::{Outcome, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, W, WB};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, IPPROTO_IP, IPPROTO_IPV6, MSG_MORE, MSG_PEEK, SO_BINDTOIFINDEX,
    SO_PEEK_OFF, SOCK_DGRAM, SOCK_SEQPACKET, SOL_SOCKET,
};

tests! {
    what_a_refused_datagram_leaves,
    the_source_of_a_refused_datagram,
    a_fault_finds_the_way,
    an_empty_datagram_is_peeked_at_once,
    ipv6_only_after_a_disconnect,
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
