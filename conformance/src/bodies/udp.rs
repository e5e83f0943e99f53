//! UDP over IPv4 and IPv6.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, WB};
use libc::{AF_INET, AF_INET6, POLLERR, SOCK_DGRAM, SOL_SOCKET};

tests! {
    source_address_of_both_families,
    boundaries_truncation_and_peek,
    empty_datagram,
    no_destination,
    first_send_binds,
    destination_unspec_family_is_ipv4,
    destination_overrides_the_peer,
    destination_wildcard_is_loopback,
    connected_hears_only_its_peer,
    connected_wins_over_unconnected,
    specific_wins_over_wildcard,
    reuseaddr_last_bound_hears,
    dual_stack_source_is_mapped,
    v6only_does_not_hear_ipv4,
    ipv6_socket_sends_to_ipv4_sockaddr,
    more_collects_one_datagram,
    cork_option,
    waitall_means_nothing,
    dontroute_and_confirm_are_accepted,
    vectors,
    fionread_and_outq,
    masks,
    read_and_write,
    not_connected_name,
    blocked_receiver_wakes [THREADS],
    receive_timeout [TIMEOUTS],
    loopback_to_other_loopback_address,
    reply_comes_from_bound_address,
    close_drops_the_queue,
}

fn source_address_of_both_families(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, a_addr) = k.udp(family)?;
        let (b, b_addr) = k.udp(family)?;
        ret!(k.sendto(a, b"hello", 0, &b_addr), 5);
        let mut buf = [0; 8];
        eq!(k.recvfrom(b, &mut buf, 0), (5, a_addr));
        eq!(&buf[..5], b"hello");
    }
    Ok(())
}

fn boundaries_truncation_and_peek(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    ret!(k.send(a, b"gh", 0), 2);
    let mut msg = Msg::room(&[3]);
    ret!(k.recvmsg(b, &mut msg, libc::MSG_PEEK), 3);
    eq!(msg.flags(), libc::MSG_TRUNC);
    ret!(k.recv(b, &mut [0; 3], libc::MSG_PEEK | libc::MSG_TRUNC), 6);
    let mut msg = Msg::room(&[3]);
    ret!(k.recvmsg(b, &mut msg, 0), 3);
    eq!(msg.flags(), libc::MSG_TRUNC);
    let mut msg = Msg::room(&[3]);
    ret!(k.recvmsg(b, &mut msg, libc::MSG_TRUNC), 2);
    eq!(msg.flags(), 0);
    err!(k.recv(b, &mut [0; 3], 0), EAGAIN);
    Ok(())
}

fn empty_datagram(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(k.send(a, b"", 0), 0);
    mask!(k, b, R | WB);
    eq!(k.fionread(b)?, 0);
    ret!(k.recv(b, &mut [0; 4], 0), 0);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    ret!(k.send(a, b"x", 0), 1);
    // Receiving into nothing takes the datagram all the same.
    ret!(k.recv(b, &mut [], 0), 0);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn no_destination(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        err!(k.send(fd, b"x", 0), EDESTADDRREQ);
        // A port was taken all the same: that comes before the address is looked for.
        let name = k.sockname(fd)?;
        check!(name.port() != 0, "{name:?}");
        eq!(name.with_port(0), Addr::any(family, 0));
        err!(k.write(fd, b"x"), EDESTADDRREQ);
        err!(k.send(fd, b"", 0), EDESTADDRREQ);
    }
    Ok(())
}

fn first_send_binds(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (_to, addr) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        ret!(k.sendto(fd, b"x", 0, &addr), 1);
        let name = k.sockname(fd)?;
        // A port, but no address.
        check!(name.port() != 0, "{name:?}");
        eq!(name.with_port(0), Addr::any(family, 0));
        // Now it is bound.
        err!(k.bind(fd, &Addr::lo(family, 0)), EINVAL);
    }
    Ok(())
}

fn destination_unspec_family_is_ipv4(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(fd, b"x", 0, &addr.with_family(libc::AF_UNSPEC)), 1);
    eq!(k.recv_now(to)?, b"x");
    Ok(())
}

fn destination_overrides_the_peer(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let (other, addr) = k.udp(AF_INET)?;
    ret!(k.sendto(a, b"aside", 0, &addr), 5);
    eq!(k.recv_now(other)?, b"aside");
    err!(k.recv(b, &mut [0; 8], 0), EAGAIN);
    Ok(())
}

fn destination_wildcard_is_loopback(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (to, addr) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        ret!(k.sendto(fd, b"x", 0, &Addr::any(family, addr.port())), 1);
        eq!(k.recv_now(to)?, b"x");
    }
    Ok(())
}

fn connected_hears_only_its_peer(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    let name = k.sockname(a)?;
    let (other, _) = k.udp(AF_INET)?;
    ret!(k.sendto(other, b"x", 0, &name), 1);
    mask!(k, a, WB);
    // To the stranger the port is closed.
    ret!(k.connect(other, &name), 0);
    ret!(k.send(other, b"x", 0), 1);
    mask!(k, other, WB | POLLERR);
    Ok(())
}

fn connected_wins_over_unconnected(k: &mut dyn Kernel) -> Outcome {
    let (peer, peer_addr) = k.udp(AF_INET)?;
    let make = |k: &mut dyn Kernel, addr: &Addr| -> Result<i64, crate::check::Stop> {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEADDR, 1), 0);
        ret!(k.bind(fd, addr), 0);
        Ok(fd)
    };
    let connected = make(k, &Addr::lo4(0))?;
    let name = k.sockname(connected)?;
    let loose = make(k, &name)?;
    ret!(k.connect(connected, &peer_addr), 0);
    ret!(k.sendto(peer, b"from peer", 0, &name), 9);
    let (other, _) = k.udp(AF_INET)?;
    ret!(k.sendto(other, b"from other", 0, &name), 10);
    eq!(k.recv_now(connected)?, b"from peer");
    eq!(k.recv_now(loose)?, b"from other");
    Ok(())
}

fn specific_wins_over_wildcard(k: &mut dyn Kernel) -> Outcome {
    let (from, _) = k.udp(AF_INET)?;
    let any = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let one = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    for fd in [any, one] {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEADDR, 1), 0);
    }
    ret!(k.bind(one, &Addr::lo4(0)), 0);
    let port = k.sockname(one)?.port();
    ret!(k.bind(any, &Addr::any4(port)), 0);
    ret!(k.sendto(from, b"one", 0, &Addr::lo4(port)), 3);
    ret!(
        k.sendto(from, b"any", 0, &Addr::v4([127, 0, 0, 9], port)),
        3
    );
    eq!(k.recv_now(one)?, b"one");
    eq!(k.recv_now(any)?, b"any");
    Ok(())
}

fn reuseaddr_last_bound_hears(k: &mut dyn Kernel) -> Outcome {
    let (from, _) = k.udp(AF_INET)?;
    let first = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let second = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    for fd in [first, second] {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEADDR, 1), 0);
    }
    ret!(k.bind(first, &Addr::lo4(0)), 0);
    let name = k.sockname(first)?;
    ret!(k.bind(second, &name), 0);
    ret!(k.sendto(from, b"x", 0, &name), 1);
    // Unicast goes to one of them: the one that came last.
    eq!(k.recv_now(second)?, b"x");
    err!(k.recv(first, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn dual_stack_source_is_mapped(k: &mut dyn Kernel) -> Outcome {
    let v6 = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.bind(v6, &Addr::any6(0)), 0);
    let port = k.sockname(v6)?.port();
    let (v4, v4_addr) = k.udp(AF_INET)?;
    ret!(k.sendto(v4, b"x", 0, &Addr::lo4(port)), 1);
    let mut buf = [0; 4];
    let (n, from) = k.recvfrom(v6, &mut buf, 0);
    eq!(
        (n, from.clone()),
        (1, Addr::mapped([127, 0, 0, 1], v4_addr.port()))
    );
    // And the answer goes back.
    ret!(k.sendto(v6, b"y", 0, &from), 1);
    eq!(k.recvfrom(v4, &mut buf, 0), (1, Addr::lo4(port)));
    Ok(())
}

fn v6only_does_not_hear_ipv4(k: &mut dyn Kernel) -> Outcome {
    let v6 = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(v6, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), 0);
    ret!(k.bind(v6, &Addr::any6(0)), 0);
    let port = k.sockname(v6)?.port();
    let v4 = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(v4, &Addr::lo4(port)), 0);
    ret!(k.send(v4, b"x", 0), 1);
    mask!(k, v4, WB | POLLERR);
    mask!(k, v6, WB);
    err!(
        k.sendto(v6, b"x", 0, &Addr::mapped([127, 0, 0, 1], 9)),
        ENETUNREACH
    );
    Ok(())
}

fn ipv6_socket_sends_to_ipv4_sockaddr(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let v6 = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(v6, b"x", 0, &addr), 1);
    eq!(k.recv_now(to)?, b"x");
    Ok(())
}

fn more_collects_one_datagram(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.send(a, b"one", libc::MSG_MORE), 3);
        ret!(k.send(a, b"two", libc::MSG_MORE), 3);
        mask!(k, b, WB);
        ret!(k.send(a, b"three", 0), 5);
        eq!(k.recv_now(b)?, b"onetwothree");
        // Closing drops what is still collected.
        ret!(k.send(a, b"never", libc::MSG_MORE), 5);
        k.close(a);
        mask!(k, b, WB);
    }
    Ok(())
}

fn cork_option(k: &mut dyn Kernel) -> Outcome {
    const UDP_CORK: i32 = 1;
    let (a, b) = k.udp_pair(AF_INET)?;
    let got = k.set_int(a, libc::IPPROTO_UDP, UDP_CORK, 1);
    ret!(got, 0);
    ret!(k.send(a, b"ab", 0), 2);
    ret!(k.send(a, b"cd", 0), 2);
    mask!(k, b, WB);
    ret!(k.set_int(a, libc::IPPROTO_UDP, UDP_CORK, 0), 0);
    eq!(k.recv_now(b)?, b"abcd");
    Ok(())
}

fn waitall_means_nothing(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.fcntl(b, libc::F_SETFL, 0), 0);
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.recv(b, &mut [0; 16], libc::MSG_WAITALL), 3);
    Ok(())
}

fn dontroute_and_confirm_are_accepted(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    for flag in [
        libc::MSG_DONTROUTE,
        libc::MSG_CONFIRM,
        libc::MSG_NOSIGNAL,
        libc::MSG_EOR,
    ] {
        ret!(k.send(a, b"x", flag), 1);
        eq!(k.recv_now(b)?, b"x");
    }
    Ok(())
}

fn vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let mut msg = Msg::of(&[b"ab", b"", b"cde"]);
    ret!(k.sendmsg(a, &mut msg, 0), 5);
    let mut msg = Msg::room(&[1, 2, 3]).name_room(100);
    ret!(k.recvmsg(b, &mut msg, 0), 5);
    eq!(msg.data(5), b"abcde");
    eq!(msg.peer(), k.sockname(a)?);
    Ok(())
}

fn fionread_and_outq(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    eq!(k.fionread(b)?, 0);
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"defgh", 0), 5);
    eq!(k.fionread(b)?, 3);
    k.recv_now(b)?;
    eq!(k.fionread(b)?, 5);
    eq!(k.outq(a)?, 0);
    Ok(())
}

fn masks(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        mask!(k, fd, WB);
        let (a, b) = k.udp_pair(family)?;
        mask!(k, b, WB);
        ret!(k.send(a, b"x", 0), 1);
        mask!(k, b, R | WB);
        k.recv_now(b)?;
        mask!(k, b, WB);
    }
    Ok(())
}

fn read_and_write(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.write(a, b"abcdef"), 6);
    let mut buf = [0; 3];
    ret!(k.read(b, &mut buf), 3);
    err!(k.read(b, &mut buf), EAGAIN);
    // An empty write is an empty datagram.
    ret!(k.write(a, b""), 0);
    mask!(k, b, R | WB);
    // An empty read does not take it.
    ret!(k.read(b, &mut []), 0);
    mask!(k, b, R | WB);
    Ok(())
}

fn not_connected_name(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET)?;
    let mut storage = [0u8; 16];
    let mut len = 16u32;
    let at = storage.as_mut_ptr() as u64;
    err!(k.getpeername_raw(fd, at, &raw mut len as u64), ENOTCONN);
    Ok(())
}

fn blocked_receiver_wakes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    k.fcntl(b, libc::F_SETFL, 0);
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.recv(b, &mut [0; 8], 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    ret!(k.send(a, b"wake", 0), 4);
    ret!(blocked.join().unwrap_or(-1), 4);
    Ok(())
}

fn receive_timeout(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    let timeout = [0i64.to_ne_bytes(), 20_000i64.to_ne_bytes()].concat();
    ret!(k.setsockopt(fd, SOL_SOCKET, libc::SO_RCVTIMEO, &timeout), 0);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn loopback_to_other_loopback_address(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(fd, &Addr::v4([127, 3, 2, 1], 0)), 0);
    let name = k.sockname(fd)?;
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(from, b"x", 0, &name), 1);
    let port = k.sockname(from)?.port();
    let mut buf = [0; 4];
    // The source is the address it was sent to: the route's preferred source on lo is 127.0.0.1.
    eq!(k.recvfrom(fd, &mut buf, 0), (1, Addr::lo4(port)));
    Ok(())
}

fn reply_comes_from_bound_address(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(fd, &Addr::v4([127, 3, 2, 1], 0)), 0);
    let name = k.sockname(fd)?;
    let (to, to_addr) = k.udp(AF_INET)?;
    ret!(k.sendto(fd, b"x", 0, &to_addr), 1);
    let mut buf = [0; 4];
    eq!(k.recvfrom(to, &mut buf, 0), (1, name));
    Ok(())
}

fn close_drops_the_queue(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let name = k.sockname(b)?;
    ret!(k.send(a, b"unread", 0), 6);
    k.close(b);
    mask!(k, a, WB);
    let again = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(again, &name), 0);
    mask!(k, again, WB);
    Ok(())
}
