//! `listen`, `accept` and `accept4`.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, W};
use libc::{AF_INET, AF_INET6, AF_UNIX, IPPROTO_IP, IPPROTO_IPV6};
use libc::{POLLERR, POLLHUP, POLLRDHUP};
use libc::{SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};

tests! {
    how_it_came,
    listen_unbound_takes_a_port,
    listen_again_changes_the_backlog,
    listen_on_wrong_kinds,
    listen_when_connected,
    listen_bad_descriptors [EPOLL],
    listen_negative_backlog,
    listen_unix_needs_a_name,
    accept_nothing_there,
    accept_not_listening,
    accept_on_datagram,
    accept_bad_descriptors [EPOLL],
    accept_bad_flags,
    accept4_flags,
    accept_does_not_inherit_nonblock,
    accept_in_order,
    accept_address_truncated,
    accept_address_faults_lose_the_connection [COUNT],
    accept_length_faults,
    accept_length_negative,
    accept_null_address,
    accept_inherits_options,
    accept_does_not_inherit_priority,
    accept_descriptor_limit [LIMITS],
    accept_a_reset_connection,
    accept_after_shutdown,
    accept_mapped_address,
    close_listener_resets_waiting,
    backlog_limits_tcp,
    backlog_zero_takes_one,
    listener_refuses_data,
    listener_masks,
    listener_name_and_peer,
    unix_accept_address,
    accept_returns_lowest_descriptor,
    accept_blocked_gets_a_connection [THREADS],
    accept_timeout [TIMEOUTS],
}

fn listen_unbound_takes_a_port(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        ret!(k.listen(fd, 1), 0);
        let name = k.sockname(fd)?;
        check!(name.port() != 0, "{name:?}");
        eq!(name.with_port(0), Addr::any(family, 0));
    }
    Ok(())
}

fn listen_again_changes_the_backlog(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 0)?;
    ret!(k.listen(fd, 2), 0);
    eq!(k.sockname(fd)?, addr.clone());
    for _ in 0..3 {
        let c = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(c, &addr)?;
    }
    Ok(())
}

fn listen_on_wrong_kinds(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        err!(k.listen(fd, 1), EOPNOTSUPP);
    }
    Ok(())
}

fn listen_when_connected(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    err!(k.listen(t.client, 1), EINVAL);
    err!(k.listen(t.server, 1), EINVAL);
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    err!(k.listen(a, 1), EINVAL);
    let (client, server, _l, _) = k.unix_connected(SOCK_STREAM)?;
    err!(k.listen(client, 1), EINVAL);
    // The accepted socket carries the listener's name, but it is connected.
    err!(k.listen(server, 1), EINVAL);
    Ok(())
}

fn listen_bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.listen(-1, 1), EBADF);
    err!(k.listen(r, 1), ENOTSOCK);
    Ok(())
}

fn listen_negative_backlog(k: &mut dyn Kernel) -> Outcome {
    // The backlog is compared as unsigned: -1 means as much as net.core.somaxconn allows.
    let (_fd, addr) = k.tcp_listener(AF_INET, -1)?;
    for _ in 0..20 {
        let c = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(c, &addr)?;
    }
    Ok(())
}

fn listen_unix_needs_a_name(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        err!(k.listen(fd, 1), EINVAL);
        ret!(k.bind(fd, &Addr::fresh_abstract("late")), 0);
        ret!(k.listen(fd, 1), 0);
        ret!(k.listen(fd, 5), 0);
    }
    Ok(())
}

fn accept_nothing_there(k: &mut dyn Kernel) -> Outcome {
    let (tcp, _) = k.tcp_listener(AF_INET, 1)?;
    err!(k.accept(tcp), EAGAIN);
    let (unix, _) = k.unix_listener(SOCK_STREAM, 1)?;
    err!(k.accept(unix), EAGAIN);
    // The new socket's flag is not the listener's: this would block, were the listener blocking.
    err!(k.accept4_raw(unix, 0, 0, 0), EAGAIN);
    Ok(())
}

fn accept_not_listening(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        err!(k.accept(fd), EINVAL);
    }
    let t = k.tcp(AF_INET)?;
    err!(k.accept(t.client), EINVAL);
    let (a, _b) = k.pair(AF_UNIX, SOCK_SEQPACKET)?;
    err!(k.accept(a), EINVAL);
    Ok(())
}

fn accept_on_datagram(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        err!(k.accept(fd), EOPNOTSUPP);
        // Pointers are not looked at.
        err!(k.accept_raw(fd, BAD, BAD), EOPNOTSUPP);
    }
    Ok(())
}

fn accept_bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.accept(-1), EBADF);
    err!(k.accept(r), ENOTSOCK);
    err!(k.accept4_raw(-1, 0, 0, 1), EBADF);
    // Flags are looked at before what the file is.
    err!(k.accept4_raw(r, 0, 0, 1), EINVAL);
    err!(k.accept4_raw(r, 0, 0, NB), ENOTSOCK);
    Ok(())
}

fn accept_bad_flags(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 1)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    for flags in [1, 0x4000, libc::O_APPEND, -1] {
        err!(k.accept4_raw(fd, 0, 0, flags), EINVAL);
    }
    // The connection is still there.
    k.accept_now(fd)?;
    Ok(())
}

fn accept4_flags(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.unix_listener(SOCK_STREAM, 8)?;
    for (flags, fl, fdfl) in [
        (0, libc::O_RDWR, 0),
        (NB, libc::O_RDWR | libc::O_NONBLOCK, 0),
        (libc::SOCK_CLOEXEC, libc::O_RDWR, libc::FD_CLOEXEC),
        (
            NB | libc::SOCK_CLOEXEC,
            libc::O_RDWR | libc::O_NONBLOCK,
            libc::FD_CLOEXEC,
        ),
    ] {
        let c = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
        ret!(k.connect(c, &addr), 0);
        let s = ok!(k.accept4_raw(fd, 0, 0, flags));
        ret!(k.fcntl(s, libc::F_GETFL, 0), fl);
        ret!(k.fcntl(s, libc::F_GETFD, 0), fdfl);
    }
    Ok(())
}

fn accept_does_not_inherit_nonblock(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 1)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let s = k.accept_now(fd)?;
    ret!(k.fcntl(s, libc::F_GETFL, 0), libc::O_RDWR);
    ret!(k.fcntl(s, libc::F_GETFD, 0), 0);
    Ok(())
}

fn accept_in_order(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    let mut names = Vec::new();
    for _ in 0..4 {
        let c = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(c, &addr)?;
        names.push(k.sockname(c)?);
    }
    for name in names {
        let (s, peer) = k.accept_from(fd);
        ok!(s);
        eq!(peer, name);
    }
    Ok(())
}

fn accept_address_truncated(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    for cap in [0u32, 1, 7, 16, 100] {
        let c = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(c, &addr)?;
        let name = k.sockname(c)?;
        let mut storage = [0xaau8; 128];
        let mut len = cap;
        ok!(k.accept_raw(fd, storage.as_mut_ptr() as u64, &raw mut len as u64));
        // The length is the address's, the bytes no more than there was room for.
        eq!(len, 16);
        let n = (cap as usize).min(16);
        eq!(&storage[..n], &name.0[..n]);
        check!(
            storage[n..].iter().all(|b| *b == 0xaa),
            "bytes after {n} were touched"
        );
    }
    Ok(())
}

fn accept_address_faults_lose_the_connection(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let before = k.descriptor_count();
    let mut len = 16u32;
    err!(k.accept_raw(fd, BAD, &raw mut len as u64), EFAULT);
    eq!(k.descriptor_count(), before);
    // It was taken from the queue and is closed.
    err!(k.accept(fd), EAGAIN);
    mask!(k, c, R | W | POLLRDHUP);
    Ok(())
}

fn accept_length_faults(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    let mut storage = [0u8; 128];
    let at = storage.as_mut_ptr() as u64;
    // Nothing waiting: pointers are not looked at yet.
    err!(k.accept_raw(fd, BAD, BAD), EAGAIN);
    for len in [0, BAD, KERNEL_SPACE] {
        let c = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(c, &addr)?;
        err!(k.accept_raw(fd, at, len), EFAULT);
        err!(k.accept(fd), EAGAIN);
    }
    // A length that can be read but not written.
    let edge = Edge::new();
    let word = edge.put(&16u32.to_ne_bytes());
    let edge = edge.read_only();
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    err!(k.accept_raw(fd, at, word), EFAULT);
    eq!(edge.read_u32(word), 16);
    Ok(())
}

fn accept_length_negative(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let mut storage = [0u8; 128];
    let mut len = -1i32;
    let at = storage.as_mut_ptr() as u64;
    err!(k.accept_raw(fd, at, &raw mut len as u64), EINVAL);
    err!(k.accept(fd), EAGAIN);
    Ok(())
}

fn accept_null_address(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    // Without an address nothing is done with the length.
    ok!(k.accept_raw(fd, 0, BAD));
    Ok(())
}

fn accept_inherits_options(k: &mut dyn Kernel) -> Outcome {
    let listener = k.tcp_socket(AF_INET, NB)?;
    let tcp = libc::IPPROTO_TCP;
    let options = [
        (SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (SOL_SOCKET, libc::SO_OOBINLINE, 1),
        (SOL_SOCKET, libc::SO_REUSEADDR, 1),
        (SOL_SOCKET, libc::SO_RCVLOWAT, 7),
        (tcp, libc::TCP_NODELAY, 1),
        (tcp, libc::TCP_KEEPIDLE, 77),
        (tcp, libc::TCP_KEEPINTVL, 9),
        (tcp, libc::TCP_KEEPCNT, 3),
        (tcp, libc::TCP_USER_TIMEOUT, 12345),
        (tcp, libc::TCP_LINGER2, 11),
        (tcp, libc::TCP_SYNCNT, 4),
        (libc::IPPROTO_IP, libc::IP_TTL, 33),
    ];
    for (level, name, value) in options {
        ret!(k.set_int(listener, level, name, value), 0);
    }
    let linger = [1i32.to_ne_bytes(), 5i32.to_ne_bytes()].concat();
    ret!(
        k.setsockopt(listener, SOL_SOCKET, libc::SO_LINGER, &linger),
        0
    );
    ret!(k.bind(listener, &Addr::lo4(0)), 0);
    ret!(k.listen(listener, 1), 0);
    let addr = k.sockname(listener)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let s = k.accept_now(listener)?;
    for (level, name, value) in options {
        let got = k.get_int(s, level, name)?;
        check!(
            got == value,
            "level {level} option {name} is {got}, the listener has {value}"
        );
    }
    eq!(k.getsockopt(s, SOL_SOCKET, libc::SO_LINGER, 8), (0, linger));
    eq!(k.get_int(s, SOL_SOCKET, libc::SO_ACCEPTCONN)?, 0);
    Ok(())
}

fn accept_does_not_inherit_priority(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    ret!(k.set_int(listener, SOL_SOCKET, libc::SO_PRIORITY, 4), 0);
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let s = k.accept_now(listener)?;
    eq!(k.get_int(s, SOL_SOCKET, libc::SO_PRIORITY)?, 0);
    Ok(())
}

fn accept_descriptor_limit(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.unix_listener(SOCK_STREAM, 8)?;
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(c, &addr), 0);
    let limit = libc::rlimit {
        rlim_cur: c as u64 + 1,
        rlim_max: c as u64 + 1,
    };
    let at = &raw const limit as u64;
    ret!(
        k.call(
            libc::SYS_prlimit64,
            &[0, u64::from(libc::RLIMIT_NOFILE), at, 0]
        ),
        0
    );
    err!(k.accept(fd), EMFILE);
    // Even when nothing is there, and even on what does not listen.
    err!(k.accept(c), EMFILE);
    let spare = ok!(k.fcntl(c, libc::F_GETFD, 0));
    eq!(spare, 0);
    mask!(k, fd, R);
    k.close(c);
    // The connection was not lost.
    ok!(k.accept(fd));
    Ok(())
}

fn accept_a_reset_connection(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let linger = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
    ret!(k.setsockopt(c, SOL_SOCKET, libc::SO_LINGER, &linger), 0);
    k.close(c);
    // Unlike BSD, the connection stays in the queue and its error waits there.
    let s = k.accept_now(fd)?;
    mask!(k, s, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(s, &mut [0; 4], 0), ECONNRESET);
    ret!(k.recv(s, &mut [0; 4], 0), 0);
    Ok(())
}

fn accept_after_shutdown(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    // SHUT_WR means nothing to a listener; SHUT_RD stops it.
    ret!(k.shutdown(fd, libc::SHUT_WR), 0);
    mask!(k, fd, 0);
    ret!(k.shutdown(fd, libc::SHUT_RD), 0);
    err!(k.accept(fd), EINVAL);
    eq!(k.polled(fd, W), libc::POLLOUT | libc::POLLWRNORM | POLLHUP);
    let c = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.connect(c, &addr), ECONNREFUSED);
    // It may listen again.
    ret!(k.listen(fd, 1), 0);
    Ok(())
}

fn accept_mapped_address(k: &mut dyn Kernel) -> Outcome {
    let listener = k.tcp_socket(AF_INET6, NB)?;
    ret!(k.bind(listener, &Addr::any6(0)), 0);
    ret!(k.listen(listener, 1), 0);
    let port = k.sockname(listener)?.port();
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &Addr::lo4(port))?;
    let client_port = k.sockname(c)?.port();
    let (s, peer) = k.accept_from(listener);
    ok!(s);
    eq!(peer, Addr::mapped([127, 0, 0, 1], client_port));
    eq!(k.sockname(s)?, Addr::mapped([127, 0, 0, 1], port));
    eq!(k.get_int(s, SOL_SOCKET, libc::SO_DOMAIN)?, AF_INET6);
    Ok(())
}

fn close_listener_resets_waiting(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 8)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    k.close(fd);
    mask!(k, c, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(c, &mut [0; 4], 0), ECONNRESET);
    // AF_UNIX: the same.
    let (fd, addr) = k.unix_listener(SOCK_STREAM, 8)?;
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.connect(c, &addr), 0);
    k.close(fd);
    mask!(k, c, R | crate::sys::WB | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(c, &mut [0; 4], 0), ECONNRESET);
    Ok(())
}

fn backlog_limits_tcp(k: &mut dyn Kernel) -> Outcome {
    // A backlog of n holds n + 1 connections; the next SYN is dropped, not refused.
    for backlog in [1, 3] {
        let (_fd, addr) = k.tcp_listener(AF_INET, backlog)?;
        for _ in 0..=backlog {
            let c = k.tcp_socket(AF_INET, NB)?;
            k.connect_now(c, &addr)?;
        }
        let c = k.tcp_socket(AF_INET, NB)?;
        err!(k.connect(c, &addr), EINPROGRESS);
        k.pause(std::time::Duration::from_millis(20));
        eq!(k.poll_mask(c), 0);
    }
    Ok(())
}

fn backlog_zero_takes_one(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 0)?;
    let a = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(a, &addr)?;
    let b = k.tcp_socket(AF_INET, NB)?;
    err!(k.connect(b, &addr), EINPROGRESS);
    k.accept_now(fd)?;
    eq!(k.poll_mask(b), 0);
    Ok(())
}

fn listener_refuses_data(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.tcp_listener(AF_INET, 1)?;
    err!(k.recv(fd, &mut [0; 4], 0), ENOTCONN);
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), EPIPE);
    let (fd, _) = k.unix_listener(SOCK_STREAM, 1)?;
    err!(k.recv(fd, &mut [0; 4], 0), EINVAL);
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), ENOTCONN);
    Ok(())
}

fn listener_masks(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 2)?;
    mask!(k, fd, 0);
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    mask!(k, fd, R);
    k.accept_now(fd)?;
    mask!(k, fd, 0);
    let (fd, addr) = k.unix_listener(SOCK_STREAM, 2)?;
    mask!(k, fd, 0);
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(c, &addr), 0);
    mask!(k, fd, R);
    Ok(())
}

fn listener_name_and_peer(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.tcp_listener(AF_INET, 1)?;
    let mut name = [0u8; 128];
    let mut len = 128u32;
    err!(
        k.getpeername_raw(fd, name.as_mut_ptr() as u64, &raw mut len as u64),
        ENOTCONN
    );
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_ACCEPTCONN)?, 1);
    eq!(k.so_error(fd)?, 0);
    Ok(())
}

fn unix_accept_address(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 8)?;
    // An unnamed client: the family alone.
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(c, &addr), 0);
    let (s, peer) = k.accept_from(listener);
    ok!(s);
    eq!(peer, Addr::unix(b""));
    // A named one: its name.
    let (c, name) = k.unix_bound(SOCK_STREAM, "client")?;
    ret!(k.connect(c, &addr), 0);
    let (s, peer) = k.accept_from(listener);
    ok!(s);
    eq!(peer, name);
    eq!(k.sockname(s)?, addr.clone());
    eq!(k.peername(c)?, addr);
    Ok(())
}

fn accept_returns_lowest_descriptor(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 8)?;
    let hole = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(c, &addr), 0);
    k.close(hole);
    ret!(k.accept(listener), hole);
    Ok(())
}

fn accept_blocked_gets_a_connection(k: &mut dyn Kernel) -> Outcome {
    let listener = k.tcp_socket(AF_INET, 0)?;
    ret!(k.bind(listener, &Addr::lo4(0)), 0);
    ret!(k.listen(listener, 1), 0);
    let addr = k.sockname(listener)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.accept(listener)
    });
    k.pause(std::time::Duration::from_millis(30));
    check!(!blocked.is_finished(), "accept returned with nothing there");
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let s = ok!(blocked.join().unwrap_or(-1));
    eq!(k.peername(s)?, k.sockname(c)?);
    Ok(())
}

fn accept_timeout(k: &mut dyn Kernel) -> Outcome {
    for (family, addr) in [
        (AF_INET, Addr::lo4(0)),
        (AF_UNIX, Addr::fresh_abstract("timeout")),
    ] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        ret!(k.bind(fd, &addr), 0);
        ret!(k.listen(fd, 1), 0);
        let timeout = [0i64.to_ne_bytes(), 30_000i64.to_ne_bytes()].concat();
        ret!(k.setsockopt(fd, SOL_SOCKET, libc::SO_RCVTIMEO, &timeout), 0);
        err!(k.accept(fd), EAGAIN);
    }
    Ok(())
}

/// An accepted stream shows by which interface the segment came that made it, and with which hop limit.
fn how_it_came(k: &mut dyn Kernel) -> Outcome {
    for (listening, family, level, hops) in [
        (AF_INET, AF_INET, IPPROTO_IP, libc::IP_TTL),
        (AF_INET6, AF_INET, IPPROTO_IP, libc::IP_TTL),
        (AF_INET6, AF_INET6, IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    ] {
        let listener = ok!(k.socket(listening, SOCK_STREAM | NB, 0));
        ret!(k.bind(listener, &Addr::any(listening, 0)), 0);
        ret!(k.listen(listener, 1), 0);
        let client = ok!(k.socket(family, SOCK_STREAM | NB, 0));
        ret!(k.set_int(client, level, hops, 33), 0);
        let to = Addr::lo(family, k.sockname(listener)?.port());
        err!(k.connect(client, &to), EINPROGRESS);
        mask!(k, listener, R);
        let fd = ok!(k.accept(listener));
        let v4 = k.get_int(fd, IPPROTO_IP, libc::IP_MULTICAST_TTL)?;
        eq!(v4, if family == AF_INET { 33 } else { 1 });
        eq!(k.get_int(listener, IPPROTO_IP, libc::IP_MULTICAST_TTL)?, 1);
        if listening == AF_INET6 {
            eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS)?, 33);
            eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_IF)?, 1);
            eq!(
                k.get_int(listener, IPPROTO_IPV6, libc::IPV6_MULTICAST_IF)?,
                0
            );
        }
    }
    Ok(())
}
