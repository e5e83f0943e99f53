//! TCP Fast Open, as net.ipv4.tcp_fastopen's default of 1 has it: for clients, and not for listeners.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, W};
use libc::{AF_INET, AF_INET6, IPPROTO_TCP, MSG_FASTOPEN, SOCK_STREAM};

// Of linux/tcp.h.
const TCP_FASTOPEN: i32 = 23;
const TCP_FASTOPEN_CONNECT: i32 = 30;
const TCP_FASTOPEN_KEY: i32 = 33;
const TCP_FASTOPEN_NO_COOKIE: i32 = 34;

const HUP: i16 = libc::POLLHUP;

tests! {
    queue_values,
    queue_by_state,
    queue_is_not_inherited,
    connect_values,
    no_cookie_values,
    key_lengths,
    key_by_state,
    send_connects,
    send_connects_without_waiting,
    send_of_nothing_connects,
    send_refused,
    send_needs_a_name,
    send_when_connected,
    connect_without_cookie,
    send_after_asking_for_a_cookie,
    connect_is_put_off,
    put_off_until_written,
    put_off_and_refused,
    put_off_and_shut,
    data_before_the_handshake,
}

fn get(k: &mut dyn Kernel, fd: Fd, name: i32) -> Got<i32> {
    k.get_int(fd, IPPROTO_TCP, name)
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: i32) -> i64 {
    k.set_int(fd, IPPROTO_TCP, name, value)
}

/// The default, on which all here stands.
fn client_only(k: &mut dyn Kernel) -> Outcome {
    match k.tunable("net/ipv4/tcp_fastopen") {
        Some(text) if text.trim() != "1" => {
            crate::check::skip!("net.ipv4.tcp_fastopen is {}", text.trim())
        }
        _ => Ok(()),
    }
}

/// A listener with a queue for fast connections.
fn listener(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Addr)> {
    let (fd, addr) = k.tcp_listener(family, 8)?;
    ret!(set(k, fd, TCP_FASTOPEN, 5), 0);
    Ok((fd, addr))
}

/// TCP_INFO: state, tcpi_options, why there was no fast open, bytes acknowledged.
fn info(k: &mut dyn Kernel, fd: Fd) -> Got<(u8, u8, u8, u64)> {
    let (got, raw) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 200);
    ret!(got, 0);
    let acked = u64::from(crate::mem::as_int(&raw[120..124]) as u32);
    Ok((raw[0], raw[5] & !7, raw[7] >> 1 & 3, acked))
}

fn queue_values(k: &mut dyn Kernel) -> Outcome {
    let most = crate::scene::sysctl("net/core/somaxconn", 0).unwrap_or(4096) as i32;
    for family in [AF_INET, AF_INET6] {
        let fd = k.tcp_socket(family, 0)?;
        eq!(get(k, fd, TCP_FASTOPEN)?, 0);
        for (value, want) in [
            (5, 5),
            (most, most),
            (most + 1, most),
            (i32::MAX, most),
            (0, 0),
        ] {
            ret!(set(k, fd, TCP_FASTOPEN, value), 0);
            eq!(get(k, fd, TCP_FASTOPEN)?, want);
        }
        err!(set(k, fd, TCP_FASTOPEN, -1), EINVAL);
        err!(
            k.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &[1, 0, 0]),
            EINVAL
        );
    }
    Ok(())
}

fn queue_by_state(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(set(k, t.listener, TCP_FASTOPEN, 3), 0);
    eq!(get(k, t.listener, TCP_FASTOPEN)?, 3);
    for fd in [t.client, t.server] {
        err!(set(k, fd, TCP_FASTOPEN, 3), EINVAL);
        err!(set(k, fd, TCP_FASTOPEN, 0), EINVAL);
        eq!(get(k, fd, TCP_FASTOPEN)?, 0);
    }
    Ok(())
}

fn queue_is_not_inherited(k: &mut dyn Kernel) -> Outcome {
    let (l, addr) = listener(k, AF_INET)?;
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(l)?;
    eq!(get(k, l, TCP_FASTOPEN)?, 5);
    eq!(get(k, server, TCP_FASTOPEN)?, 0);
    Ok(())
}

fn connect_values(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let fd = k.tcp_socket(AF_INET6, 0)?;
    eq!(get(k, fd, TCP_FASTOPEN_CONNECT)?, 0);
    ret!(set(k, fd, TCP_FASTOPEN_CONNECT, 1), 0);
    eq!(get(k, fd, TCP_FASTOPEN_CONNECT)?, 1);
    for value in [-1, 2, i32::MAX] {
        err!(set(k, fd, TCP_FASTOPEN_CONNECT, value), EINVAL);
    }
    ret!(set(k, fd, TCP_FASTOPEN_CONNECT, 0), 0);
    eq!(get(k, fd, TCP_FASTOPEN_CONNECT)?, 0);
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.server, t.listener] {
        err!(set(k, fd, TCP_FASTOPEN_CONNECT, 1), EINVAL);
    }
    Ok(())
}

fn no_cookie_values(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fresh = k.tcp_socket(AF_INET6, 0)?;
    for fd in [fresh, t.listener] {
        eq!(get(k, fd, TCP_FASTOPEN_NO_COOKIE)?, 0);
        ret!(set(k, fd, TCP_FASTOPEN_NO_COOKIE, 1), 0);
        eq!(get(k, fd, TCP_FASTOPEN_NO_COOKIE)?, 1);
        err!(set(k, fd, TCP_FASTOPEN_NO_COOKIE, 2), EINVAL);
        err!(set(k, fd, TCP_FASTOPEN_NO_COOKIE, -1), EINVAL);
    }
    err!(set(k, t.client, TCP_FASTOPEN_NO_COOKIE, 1), EINVAL);
    err!(set(k, t.client, TCP_FASTOPEN_NO_COOKIE, 0), EINVAL);
    Ok(())
}

fn key_lengths(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    for len in [0, 1, 8, 15, 17, 24, 31, 33, 64] {
        err!(
            k.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &vec![7; len]),
            EINVAL
        );
    }
    let one: Vec<u8> = (1..=16).collect();
    let two: Vec<u8> = (1..=32).collect();
    for key in [&two, &one, &two] {
        ret!(k.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, key), 0);
        let (got, value) = k.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, 64);
        eq!((got, &value), (0, key));
    }
    let (got, value) = k.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, 5);
    eq!((got, value), (0, two[..5].to_vec()));
    err!(
        k.setsockopt_raw(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, 8, 16),
        EFAULT
    );
    Ok(())
}

fn key_by_state(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.listener, t.server] {
        ret!(k.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &[9; 16]), 0);
    }
    Ok(())
}

fn send_connects(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    for family in [AF_INET, AF_INET6] {
        let (l, addr) = listener(k, family)?;
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        ret!(k.sendto(fd, b"hello", MSG_FASTOPEN, &addr), 5);
        mask!(k, fd, W);
        // The listener gave no cookie: the data went after the handshake.
        k.wait_sent(fd)?;
        eq!(info(k, fd)?, (1, 0, 1, 6));
        let server = k.accept_now(l)?;
        eq!(k.recv_now(server)?, b"hello");
        eq!(info(k, server)?.1, 0);
        err!(k.sendto(fd, b"again", MSG_FASTOPEN, &addr), EISCONN);
        err!(k.connect(fd, &addr), EISCONN);
        ret!(k.send(fd, b"more", 0), 4);
    }
    Ok(())
}

fn send_connects_without_waiting(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let (l, addr) = listener(k, AF_INET)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.sendto(fd, b"hello", MSG_FASTOPEN, &addr), EINPROGRESS);
    mask!(k, fd, W);
    let server = k.accept_now(l)?;
    k.nonblocking(server);
    // Nothing was taken.
    err!(k.recv(server, &mut [0; 9], 0), EAGAIN);
    eq!(info(k, fd)?, (1, 0, 1, 1));
    // The next one finds out that it is connected, and goes on; then there is nothing to open any more.
    ret!(k.sendto(fd, b"hello", MSG_FASTOPEN, &addr), 5);
    err!(k.sendto(fd, b"hello", MSG_FASTOPEN, &addr), EISCONN);
    Ok(())
}

fn send_of_nothing_connects(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let (l, addr) = listener(k, AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.sendto(fd, b"", MSG_FASTOPEN, &addr), 0);
    mask!(k, fd, W);
    k.accept_now(l)?;
    Ok(())
}

fn send_refused(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let addr = k.closed_port(AF_INET, SOCK_STREAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(
        k.sendto(fd, b"x", MSG_FASTOPEN | libc::MSG_NOSIGNAL, &addr),
        ECONNREFUSED
    );
    mask!(k, fd, W | HUP);
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), EPIPE);
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(
        k.sendto(fd, b"x", MSG_FASTOPEN | libc::MSG_NOSIGNAL, &addr),
        EINPROGRESS
    );
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), ECONNREFUSED);
    Ok(())
}

fn send_needs_a_name(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.send(fd, b"x", MSG_FASTOPEN), EINVAL);
    err!(
        k.sendto(fd, b"x", MSG_FASTOPEN, &Addr::unspec()),
        EOPNOTSUPP
    );
    let addr = Addr::lo4(1);
    err!(k.sendto(fd, b"x", MSG_FASTOPEN, &addr.cut(8)), EINVAL);
    err!(
        k.sendto(fd, b"x", MSG_FASTOPEN, &Addr::lo6(1).with_family(77)),
        EAFNOSUPPORT
    );
    Ok(())
}

fn send_when_connected(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let t = k.tcp(AF_INET)?;
    // A connect(2) that did not wait leaves it to the next call to find out.
    ret!(k.send(t.client, b"x", MSG_FASTOPEN), 1);
    err!(k.send(t.client, b"x", MSG_FASTOPEN), EISCONN);
    err!(k.sendto(t.server, b"x", MSG_FASTOPEN, &t.addr), EISCONN);
    err!(k.sendto(t.listener, b"x", MSG_FASTOPEN, &t.addr), EISCONN);
    Ok(())
}

fn connect_without_cookie(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let (l, addr) = listener(k, AF_INET)?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(set(k, fd, TCP_FASTOPEN_CONNECT, 1), 0);
    // Without a cookie it connects as ever.
    ret!(k.connect(fd, &addr), 0);
    eq!(info(k, fd)?.0, 1);
    ok!(k.accept(l));
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(set(k, fd, TCP_FASTOPEN_CONNECT, 1), 0);
    err!(k.connect(fd, &addr), EINPROGRESS);
    mask!(k, fd, W);
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"abc", 0), 3);
    Ok(())
}

/// A client that needs no cookie, and its connect(2).
fn put_off(k: &mut dyn Kernel, family: i32, addr: &Addr) -> Got<Fd> {
    let fd = k.tcp_socket(family, NB)?;
    ret!(set(k, fd, TCP_FASTOPEN_NO_COOKIE, 1), 0);
    ret!(set(k, fd, TCP_FASTOPEN_CONNECT, 1), 0);
    ret!(k.connect(fd, addr), 0);
    Ok(fd)
}

fn connect_is_put_off(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    for family in [AF_INET, AF_INET6] {
        let (l, addr) = listener(k, family)?;
        let fd = put_off(k, family, &addr)?;
        // It could be written to, and that is all there is yet.
        mask!(k, fd, W);
        eq!(info(k, fd)?, (2, 0, 0, 0));
        let (mut room, mut len) = ([0u8; 64], 64u32);
        err!(
            k.getpeername_raw(fd, room.as_mut_ptr() as u64, &raw mut len as u64),
            ENOTCONN
        );
        check!(k.sockname(fd)?.port() != 0, "no port");
        err!(k.connect(fd, &addr), EISCONN);
        err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
        k.pause(std::time::Duration::from_millis(10));
        err!(k.accept(l), EAGAIN);
    }
    Ok(())
}

fn put_off_until_written(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let (l, addr) = listener(k, AF_INET)?;
    let fd = put_off(k, AF_INET, &addr)?;
    ret!(k.send(fd, b"early", 0), 5);
    let server = k.accept_now(l)?;
    eq!(k.recv_now(server)?, b"early");
    k.wait_sent(fd)?;
    // The listener took no data with the SYN (TFO_DATA_NOT_ACKED): it came again.
    eq!(info(k, fd)?, (1, 0, 2, 6));
    mask!(k, fd, W);
    ret!(k.send(fd, b"late", 0), 4);
    eq!(k.recv_now(server)?, b"late");
    Ok(())
}

fn put_off_and_refused(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let addr = k.closed_port(AF_INET, SOCK_STREAM)?;
    let fd = put_off(k, AF_INET, &addr)?;
    mask!(k, fd, W);
    ret!(k.send(fd, b"x", libc::MSG_NOSIGNAL), 1);
    k.pause(std::time::Duration::from_millis(10));
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), ECONNREFUSED);
    Ok(())
}

fn put_off_and_shut(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let (_l, addr) = listener(k, AF_INET)?;
    let fd = put_off(k, AF_INET, &addr)?;
    ret!(k.shutdown(fd, libc::SHUT_WR), 0);
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), ECONNRESET);
    let fd = put_off(k, AF_INET, &addr)?;
    ret!(k.close(fd), 0);
    Ok(())
}

fn data_before_the_handshake(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let (l, addr) = listener(k, AF_INET)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(set(k, fd, TCP_FASTOPEN_NO_COOKIE, 1), 0);
    // Now it is taken, though the call may not wait.
    ret!(k.sendto(fd, b"12345", MSG_FASTOPEN, &addr), 5);
    let server = k.accept_now(l)?;
    eq!(k.recv_now(server)?, b"12345");
    ret!(k.sendto(fd, b"678", MSG_FASTOPEN, &addr), 3);
    err!(k.sendto(fd, b"9", MSG_FASTOPEN, &addr), EISCONN);
    Ok(())
}

/// tcp_sendmsg_fastopen(): what connect(2) has asked for with TCP_FASTOPEN_CONNECT stays in the way of MSG_FASTOPEN.
fn send_after_asking_for_a_cookie(k: &mut dyn Kernel) -> Outcome {
    client_only(k)?;
    let (_, addr) = k.tcp_listener(AF_INET, 4)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(set(k, fd, TCP_FASTOPEN_CONNECT, 1), 0);
    k.connect_now(fd, &addr)?;
    err!(k.send(fd, b"x", MSG_FASTOPEN), EALREADY);
    err!(k.sendto(fd, b"x", MSG_FASTOPEN, &addr), EALREADY);
    ret!(k.send(fd, b"x", 0), 1);
    err!(k.send(fd, b"x", MSG_FASTOPEN), EALREADY);
    // Until it is disconnected.
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(set(k, fd, TCP_FASTOPEN_CONNECT, 0), 0);
    k.so_error(fd)?;
    k.connect_now(fd, &addr)?;
    // The first one is who learns that it is connected.
    ret!(k.send(fd, b"x", MSG_FASTOPEN), 1);
    err!(k.send(fd, b"x", MSG_FASTOPEN), EISCONN);
    Ok(())
}
