//! `connect` on internet sockets.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, W, WB};
use libc::{AF_INET, AF_INET6, POLLERR, POLLHUP, POLLRDHUP, SOCK_DGRAM, SOCK_STREAM};

tests! {
    nonblocking_is_in_progress_then_connected,
    blocking_connects_at_once,
    names_on_both_sides,
    second_call_reports_success_once,
    refused_nonblocking,
    refused_blocking,
    refused_may_be_tried_again,
    in_progress_is_already,
    timeout_of_the_handshake [TIMEOUTS],
    bad_arguments,
    bad_pointers,
    bad_descriptors [EPOLL],
    listening_socket_is_connected,
    unspec_disconnects_tcp,
    unspec_on_a_fresh_socket,
    unspec_stops_listening,
    unspec_keeps_a_port_asked_for,
    to_the_wildcard_is_loopback,
    to_itself,
    simultaneous_open_of_two,
    udp_sets_peer_and_local_address,
    udp_again_changes_the_peer,
    udp_disconnect_keeps_a_bound_port,
    udp_disconnect_drops_a_chosen_port,
    udp_port_zero_is_not_connected,
    udp_broadcast_wants_permission [NIC],
    tcp_broadcast_and_multicast,
    ipv6_socket_to_ipv4_address,
    v6only_to_mapped,
    bound_source_is_kept,
    ephemeral_port_in_range,
    same_port_to_two_destinations,
    abandoned_before_accept,
}

fn nonblocking_is_in_progress_then_connected(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (_l, addr) = k.tcp_listener(family, 1)?;
        let fd = k.tcp_socket(family, NB)?;
        // Even over loopback: the answer is handled only when the call has let go of the socket.
        err!(k.connect(fd, &addr), EINPROGRESS);
        mask!(k, fd, W);
        eq!(k.so_error(fd)?, 0);
        eq!(k.peername(fd)?, addr);
    }
    Ok(())
}

fn blocking_connects_at_once(k: &mut dyn Kernel) -> Outcome {
    let (_l, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.connect(fd, &addr), 0);
    mask!(k, fd, W);
    Ok(())
}

fn names_on_both_sides(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        eq!(k.peername(t.client)?, t.addr.clone());
        eq!(k.sockname(t.server)?, t.addr.clone());
        let client = k.sockname(t.client)?;
        eq!(k.peername(t.server)?, client.clone());
        eq!(client.with_port(0), Addr::lo(family, 0));
    }
    Ok(())
}

fn second_call_reports_success_once(k: &mut dyn Kernel) -> Outcome {
    let (_l, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.connect(fd, &addr), EINPROGRESS);
    mask!(k, fd, W);
    ret!(k.connect(fd, &addr), 0);
    err!(k.connect(fd, &addr), EISCONN);
    err!(k.connect(fd, &Addr::lo4(1)), EISCONN);
    Ok(())
}

fn refused_nonblocking(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let addr = k.closed_port(family, SOCK_STREAM)?;
        let fd = k.tcp_socket(family, NB)?;
        err!(k.connect(fd, &addr), EINPROGRESS);
        mask!(k, fd, R | W | POLLERR | POLLHUP | POLLRDHUP);
        eq!(k.so_error(fd)?, libc::ECONNREFUSED);
        // Reading it cleared it.
        eq!(k.so_error(fd)?, 0);
        mask!(k, fd, R | W | POLLHUP | POLLRDHUP);
    }
    Ok(())
}

fn refused_blocking(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_STREAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.connect(fd, &addr), ECONNREFUSED);
    eq!(k.so_error(fd)?, 0);
    Ok(())
}

fn refused_may_be_tried_again(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_STREAM)?;
    let (_l, open) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.connect(fd, &addr), EINPROGRESS);
    mask!(k, fd, R | W | POLLERR | POLLHUP | POLLRDHUP);
    // The next call returns the error and makes the socket fresh.
    err!(k.connect(fd, &addr), ECONNREFUSED);
    err!(k.connect(fd, &open), EINPROGRESS);
    mask!(k, fd, W);
    Ok(())
}

/// A listener whose queue is full: it drops the SYN of the next client.
fn full_listener(k: &mut dyn Kernel) -> Result<Addr, crate::check::Stop> {
    let (_l, addr) = k.tcp_listener(AF_INET, 0)?;
    let first = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(first, &addr)?;
    Ok(addr)
}

fn in_progress_is_already(k: &mut dyn Kernel) -> Outcome {
    let addr = full_listener(k)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.connect(fd, &addr), EINPROGRESS);
    mask!(k, fd, 0);
    err!(k.connect(fd, &addr), EALREADY);
    eq!(k.so_error(fd)?, 0);
    // No address is looked at: it is already.
    err!(k.connect(fd, &Addr::lo4(1)), EALREADY);
    err!(k.send(fd, b"x", 0), EAGAIN);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    let mut len = 16u32;
    let mut name = [0u8; 16];
    err!(
        k.getpeername_raw(fd, name.as_mut_ptr() as u64, &raw mut len as u64),
        ENOTCONN
    );
    // shutdown gives the attempt up: the socket is as if it had been reset.
    ret!(k.shutdown(fd, libc::SHUT_RDWR), 0);
    mask!(k, fd, W | POLLERR | POLLHUP);
    eq!(k.so_error(fd)?, libc::ECONNRESET);
    mask!(k, fd, W | POLLHUP);
    Ok(())
}

fn timeout_of_the_handshake(k: &mut dyn Kernel) -> Outcome {
    let addr = full_listener(k)?;
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(k.set_int(fd, libc::IPPROTO_TCP, libc::TCP_SYNCNT, 1), 0);
    ret!(
        k.set_int(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 500),
        0
    );
    err!(k.connect(fd, &addr), ETIMEDOUT);
    Ok(())
}

fn bad_arguments(k: &mut dyn Kernel) -> Outcome {
    let v4 = k.tcp_socket(AF_INET, NB)?;
    err!(k.connect(v4, &Addr::lo4(1).cut(0)), EINVAL);
    err!(k.connect(v4, &Addr::lo4(1).cut(1)), EINVAL);
    err!(k.connect(v4, &Addr::lo4(1).cut(2)), EINVAL);
    err!(k.connect(v4, &Addr::lo4(1).cut(15)), EINVAL);
    err!(k.connect(v4, &Addr::lo6(1)), EAFNOSUPPORT);
    err!(k.connect(v4, &Addr::unix(b"/x")), EINVAL);
    let v6 = k.tcp_socket(AF_INET6, NB)?;
    err!(k.connect(v6, &Addr::lo6(1).cut(23)), EINVAL);
    err!(k.connect(v6, &Addr::lo4(1)), EINVAL);
    err!(k.connect(v6, &Addr::lo4(1).padded(28)), EAFNOSUPPORT);
    let room = [0u8; 256];
    err!(k.connect_raw(v4, room.as_ptr() as u64, 129), EINVAL);
    err!(
        k.connect_raw(v4, room.as_ptr() as u64, -1i64 as u64),
        EINVAL
    );
    let u4 = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.connect(u4, &Addr::lo4(1).cut(15)), EINVAL);
    err!(k.connect(u4, &Addr::lo6(1)), EAFNOSUPPORT);
    let u6 = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    err!(k.connect(u6, &Addr::lo6(1).cut(23)), EINVAL);
    // UDP over IPv6 takes an AF_INET address as it is.
    ret!(k.connect(u6, &Addr::lo4(1)), 0);
    eq!(k.peername(u6)?, Addr::mapped([127, 0, 0, 1], 1));
    Ok(())
}

fn bad_pointers(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [(AF_INET, SOCK_STREAM), (AF_INET6, SOCK_DGRAM)] {
        let fd = ok!(k.socket(family, kind, 0));
        err!(k.connect_raw(fd, BAD, 16), EFAULT);
        err!(k.connect_raw(fd, 0, 16), EFAULT);
        err!(k.connect_raw(fd, KERNEL_SPACE, 28), EFAULT);
        let edge = Edge::new();
        let at = edge.put(&Addr::lo4(1).0[..12]);
        err!(k.connect_raw(fd, at, 16), EFAULT);
        err!(k.connect_raw(fd, BAD, 0), EINVAL);
        err!(k.connect_raw(fd, BAD, 4096), EINVAL);
    }
    Ok(())
}

fn bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.connect(-1, &Addr::lo4(1)), EBADF);
    err!(k.connect(777, &Addr::lo4(1)), EBADF);
    // connect copies the address before it asks what the file is.
    err!(k.connect(r, &Addr::lo4(1)), ENOTSOCK);
    err!(k.connect_raw(r, BAD, 16), EFAULT);
    err!(k.connect_raw(-1, BAD, 16), EBADF);
    Ok(())
}

fn listening_socket_is_connected(k: &mut dyn Kernel) -> Outcome {
    let (listener, _) = k.tcp_listener(AF_INET, 1)?;
    err!(k.connect(listener, &Addr::lo4(1)), EISCONN);
    Ok(())
}

fn unspec_disconnects_tcp(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.connect(t.client, &Addr::unspec()), 0);
    // Disconnecting resets the connection, and this side is told too.
    mask!(k, t.client, W | POLLERR | POLLHUP);
    eq!(k.so_error(t.client)?, libc::ECONNRESET);
    mask!(k, t.client, W | POLLHUP);
    let mut len = 16u32;
    let mut name = [0u8; 16];
    let at = name.as_mut_ptr() as u64;
    err!(
        k.getpeername_raw(t.client, at, &raw mut len as u64),
        ENOTCONN
    );
    // The peer was reset.
    mask!(k, t.server, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(t.server, &mut [0; 4], 0), ECONNRESET);
    // And the socket can be used again.
    k.connect_now(t.client, &t.addr)?;
    let again = k.accept_now(t.listener)?;
    ret!(k.send(t.client, b"again", 0), 5);
    eq!(k.recv_now(again)?, b"again");
    Ok(())
}

fn unspec_on_a_fresh_socket(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            let fd = ok!(k.socket(family, kind, 0));
            ret!(k.connect(fd, &Addr::unspec()), 0);
            // The family alone is enough.
            ret!(k.connect(fd, &Addr::unspec().cut(2)), 0);
            eq!(k.sockname(fd)?, Addr::any(family, 0));
        }
    }
    Ok(())
}

fn unspec_stops_listening(k: &mut dyn Kernel) -> Outcome {
    // Two ports that are chosen are the same by chance, but not again and again.
    for _ in 0..3 {
        if another_port_after_unspec(k)? {
            return Ok(());
        }
    }
    check!(false, "the same port three times");
    Ok(())
}

fn another_port_after_unspec(k: &mut dyn Kernel) -> Got<bool> {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    ret!(k.connect(listener, &Addr::unspec()), 0);
    err!(k.accept(listener), EINVAL);
    eq!(
        k.get_int(listener, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)?,
        0
    );
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.connect(fd, &addr), ECONNREFUSED);
    // A port that the kernel chose at bind is given back, though the name still shows it: to listen
    // again takes another one.
    eq!(k.sockname(listener)?, addr.clone());
    ret!(k.listen(listener, 1), 0);
    let new = k.sockname(listener)?;
    eq!(new.with_port(0), addr.with_port(0));
    ret!(k.connect(fd, &new), 0);
    Ok(new.port() != addr.port())
}

fn unspec_keeps_a_port_asked_for(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_STREAM)?;
    let listener = k.tcp_socket(AF_INET, NB)?;
    ret!(k.bind(listener, &addr), 0);
    ret!(k.listen(listener, 1), 0);
    ret!(k.connect(listener, &Addr::unspec()), 0);
    eq!(k.sockname(listener)?, addr.clone());
    ret!(k.listen(listener, 1), 0);
    eq!(k.sockname(listener)?, addr.clone());
    let fd = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(fd, &addr)
}

fn to_the_wildcard_is_loopback(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (_l, addr) = k.tcp_listener(family, 1)?;
        let fd = k.tcp_socket(family, NB)?;
        k.connect_now(fd, &Addr::any(family, addr.port()))?;
        eq!(k.peername(fd)?, addr);
    }
    Ok(())
}

fn to_itself(k: &mut dyn Kernel) -> Outcome {
    // RFC 9293 3.5: simultaneous open, here of one socket with itself.
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    let name = k.sockname(fd)?;
    ret!(k.connect(fd, &name), 0);
    eq!(k.peername(fd)?, name);
    ret!(k.send(fd, b"mirror", 0), 6);
    eq!(k.recv_now(fd)?, b"mirror");
    ret!(k.shutdown(fd, libc::SHUT_WR), 0);
    eq!(k.recv_now(fd)?, b"");
    Ok(())
}

fn simultaneous_open_of_two(k: &mut dyn Kernel) -> Outcome {
    // The first SYN is answered with a reset, since nobody listens, so over loopback two sockets
    // cannot meet: the second finds the port bound but closed.
    let a = k.tcp_socket(AF_INET, NB)?;
    let b = k.tcp_socket(AF_INET, NB)?;
    ret!(k.bind(a, &Addr::lo4(0)), 0);
    ret!(k.bind(b, &Addr::lo4(0)), 0);
    let (a_name, b_name) = (k.sockname(a)?, k.sockname(b)?);
    err!(k.connect(a, &b_name), EINPROGRESS);
    mask!(k, a, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.connect(b, &a_name), EINPROGRESS);
    mask!(k, b, R | W | POLLERR | POLLHUP | POLLRDHUP);
    eq!(k.so_error(a)?, libc::ECONNREFUSED);
    eq!(k.so_error(b)?, libc::ECONNREFUSED);
    Ok(())
}

fn udp_sets_peer_and_local_address(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (_p, peer) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        ret!(k.connect(fd, &peer), 0);
        let name = k.sockname(fd)?;
        eq!(name.with_port(0), Addr::lo(family, 0));
        check!(name.port() != 0, "{name:?}");
        eq!(k.peername(fd)?, peer);
        mask!(k, fd, WB);
    }
    Ok(())
}

fn udp_again_changes_the_peer(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET)?;
    let (b, b_addr) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &a_addr), 0);
    let name = k.sockname(fd)?;
    ret!(k.connect(fd, &b_addr), 0);
    eq!(k.sockname(fd)?, name.clone());
    eq!(k.peername(fd)?, b_addr);
    ret!(k.send(fd, b"to b", 0), 4);
    eq!(k.recv_now(b)?, b"to b");
    // And only the peer is heard.
    ret!(k.sendto(a, b"from a", 0, &name), 6);
    err!(k.recv(fd, &mut [0; 8], 0), EAGAIN);
    ret!(k.sendto(b, b"from b", 0, &name), 6);
    eq!(k.recv_now(fd)?, b"from b");
    Ok(())
}

fn udp_disconnect_keeps_a_bound_port(k: &mut dyn Kernel) -> Outcome {
    let (_p, peer) = k.udp(AF_INET)?;
    let port = k.closed_port(AF_INET, SOCK_DGRAM)?.port();
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::any4(port)), 0);
    ret!(k.connect(fd, &peer), 0);
    eq!(k.sockname(fd)?, Addr::lo4(port));
    ret!(k.connect(fd, &Addr::unspec()), 0);
    // The address was chosen by connect and goes; the port was asked for and stays.
    eq!(k.sockname(fd)?, Addr::any4(port));
    err!(k.send(fd, b"x", 0), EDESTADDRREQ);
    // An address that was bound stays; a port that the kernel chose at bind does not.
    let (bound, name) = k.udp(AF_INET)?;
    ret!(k.connect(bound, &peer), 0);
    eq!(k.sockname(bound)?, name);
    ret!(k.connect(bound, &Addr::unspec()), 0);
    eq!(k.sockname(bound)?, Addr::lo4(0));
    Ok(())
}

fn udp_disconnect_drops_a_chosen_port(k: &mut dyn Kernel) -> Outcome {
    let (_p, peer) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &peer), 0);
    ret!(k.connect(fd, &Addr::unspec()), 0);
    eq!(k.sockname(fd)?, Addr::any4(0));
    // It may even be bound now.
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    Ok(())
}

fn udp_port_zero_is_not_connected(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &Addr::lo4(0)), 0);
    let mut len = 16u32;
    let mut name = [0u8; 16];
    err!(
        k.getpeername_raw(fd, name.as_mut_ptr() as u64, &raw mut len as u64),
        ENOTCONN
    );
    Ok(())
}

fn udp_broadcast_wants_permission(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let all = Addr::v4([255; 4], 9);
    err!(k.connect(fd, &all), EACCES);
    err!(k.sendto(fd, b"x", 0, &all), EACCES);
    ret!(k.set_int(fd, libc::SOL_SOCKET, libc::SO_BROADCAST, 1), 0);
    ret!(k.connect(fd, &all), 0);
    Ok(())
}

fn tcp_broadcast_and_multicast(k: &mut dyn Kernel) -> Outcome {
    for ip in [[255, 255, 255, 255], [224, 0, 0, 1]] {
        let fd = k.tcp_socket(AF_INET, NB)?;
        err!(k.connect(fd, &Addr::v4(ip, 9)), ENETUNREACH);
    }
    Ok(())
}

fn ipv6_socket_to_ipv4_address(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET6, NB)?;
    k.connect_now(fd, &Addr::mapped([127, 0, 0, 1], addr.port()))?;
    let name = k.sockname(fd)?;
    eq!(name.with_port(0), Addr::mapped([127, 0, 0, 1], 0));
    let server = k.accept_now(listener)?;
    eq!(k.peername(server)?, Addr::lo4(name.port()));
    Ok(())
}

fn v6only_to_mapped(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET6, kind | NB, 0));
        ret!(k.set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), 0);
        err!(k.connect(fd, &Addr::mapped([127, 0, 0, 1], 9)), ENETUNREACH);
    }
    Ok(())
}

fn bound_source_is_kept(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(k.bind(fd, &Addr::v4([127, 4, 5, 6], 0)), 0);
    let name = k.sockname(fd)?;
    k.connect_now(fd, &addr)?;
    eq!(k.sockname(fd)?, name.clone());
    let (server, peer) = k.accept_from(listener);
    ok!(server);
    eq!(peer, name);
    Ok(())
}

fn ephemeral_port_in_range(k: &mut dyn Kernel) -> Outcome {
    let (_l, addr) = k.tcp_listener(AF_INET, 64)?;
    let low = crate::scene::sysctl("net/ipv4/ip_local_port_range", 0).unwrap_or(32768) as u16;
    let high = crate::scene::sysctl("net/ipv4/ip_local_port_range", 1).unwrap_or(60999) as u16;
    let mut seen = Vec::new();
    for _ in 0..30 {
        let fd = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(fd, &addr)?;
        let port = k.sockname(fd)?.port();
        check!(
            low <= port && port <= high && !seen.contains(&port),
            "{port}"
        );
        seen.push(port);
    }
    Ok(())
}

fn same_port_to_two_destinations(k: &mut dyn Kernel) -> Outcome {
    let (_a, a_addr) = k.tcp_listener(AF_INET, 1)?;
    let (_b, b_addr) = k.tcp_listener(AF_INET, 1)?;
    let first = k.tcp_socket(AF_INET, NB)?;
    let second = k.tcp_socket(AF_INET, NB)?;
    for fd in [first, second] {
        ret!(k.set_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1), 0);
    }
    ret!(k.bind(first, &Addr::lo4(0)), 0);
    let name = k.sockname(first)?;
    ret!(k.bind(second, &name), 0);
    k.connect_now(first, &a_addr)?;
    k.connect_now(second, &b_addr)?;
    Ok(())
}

fn abandoned_before_accept(k: &mut dyn Kernel) -> Outcome {
    // A client that came and went is still handed out, with what it sent.
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(fd, &addr)?;
    ret!(k.send(fd, b"bye", 0), 3);
    k.close(fd);
    mask!(k, listener, R);
    let server = k.accept_now(listener)?;
    eq!(k.recv_now(server)?, b"bye");
    eq!(k.recv_now(server)?, b"");
    Ok(())
}
