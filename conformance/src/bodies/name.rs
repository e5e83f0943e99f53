//! `getsockname`, `getpeername` and `shutdown`.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, W, WB};
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use libc::{POLLERR, POLLHUP, POLLRDHUP, SHUT_RD, SHUT_RDWR, SHUT_WR};

tests! {
    fresh_names,
    peer_of_unconnected,
    name_truncated_reports_full_length,
    name_length_negative,
    name_bad_pointers,
    name_writes_length_in_front_of_fault,
    name_bad_descriptors [EPOLL],
    peer_bad_pointers_come_after_enotconn,
    peer_after_peer_closed,
    peer_after_reset,
    shutdown_bad_how,
    shutdown_unconnected,
    shutdown_bad_descriptors [EPOLL],
    shutdown_tcp_read_side,
    shutdown_tcp_write_side,
    shutdown_tcp_both,
    shutdown_tcp_twice,
    shutdown_tcp_name_stays,
    shutdown_unix_stream_read,
    shutdown_unix_stream_write,
    shutdown_unix_both_each_way,
    shutdown_unix_dgram,
    shutdown_unix_unconnected,
    shutdown_udp_unconnected_still_marks,
    shutdown_udp_connected,
    shutdown_seqpacket,
    shutdown_wakes_a_reader [THREADS],
    shutdown_fresh_tcp_masks,
}

fn fresh_names(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let v4 = ok!(k.socket(AF_INET, kind, 0));
        eq!(k.sockname(v4)?, Addr::any4(0));
        let v6 = ok!(k.socket(AF_INET6, kind, 0));
        eq!(k.sockname(v6)?, Addr::any6(0));
        let unix = ok!(k.socket(AF_UNIX, kind, 0));
        eq!(k.sockname(unix)?, Addr::unix(b""));
        let (a, _b) = k.pair(AF_UNIX, kind)?;
        eq!(k.sockname(a)?, Addr::unix(b""));
        eq!(k.peername(a)?, Addr::unix(b""));
    }
    Ok(())
}

fn peer_of_unconnected(k: &mut dyn Kernel) -> Outcome {
    let mut storage = [0xaau8; 128];
    let mut len = 128u32;
    let (at, at_len) = (storage.as_mut_ptr() as u64, &raw mut len as u64);
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            let fd = ok!(k.socket(family, kind, 0));
            err!(k.getpeername_raw(fd, at, at_len), ENOTCONN);
        }
    }
    eq!(len, 128);
    check!(storage.iter().all(|b| *b == 0xaa), "{storage:?}");
    Ok(())
}

fn name_truncated_reports_full_length(k: &mut dyn Kernel) -> Outcome {
    let (fd, name) = k.udp(AF_INET6)?;
    let (unix, unix_name) = k.unix_bound(SOCK_DGRAM, "truncated")?;
    for (fd, name) in [(fd, name), (unix, unix_name)] {
        for cap in [0u32, 1, 2, 10, 27, 100] {
            let mut storage = [0xaau8; 128];
            let mut len = cap;
            ret!(
                k.getsockname_raw(fd, storage.as_mut_ptr() as u64, &raw mut len as u64),
                0
            );
            eq!(len as usize, name.len());
            let n = (cap as usize).min(name.len());
            eq!(&storage[..n], &name.0[..n]);
            check!(
                storage[n..].iter().all(|b| *b == 0xaa),
                "bytes after {n} were touched"
            );
        }
    }
    Ok(())
}

fn name_length_negative(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET)?;
    let mut storage = [0xaau8; 16];
    for negative in [-1i32, i32::MIN] {
        let mut len = negative;
        let at = storage.as_mut_ptr() as u64;
        err!(k.getsockname_raw(fd, at, &raw mut len as u64), EINVAL);
        eq!(len, negative);
    }
    Ok(())
}

fn name_bad_pointers(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut storage = [0u8; 16];
    let at = storage.as_mut_ptr() as u64;
    for bad in [0, BAD, KERNEL_SPACE] {
        let mut len = 16u32;
        let at_len = &raw mut len as u64;
        err!(k.getsockname_raw(t.client, bad, at_len), EFAULT);
        err!(k.getsockname_raw(t.client, at, bad), EFAULT);
        err!(k.getpeername_raw(t.client, bad, at_len), EFAULT);
        err!(k.getpeername_raw(t.client, at, bad), EFAULT);
    }
    // With no room nothing is written, wherever it points.
    let mut len = 0u32;
    ret!(k.getsockname_raw(t.client, BAD, &raw mut len as u64), 0);
    eq!(len, 16);
    Ok(())
}

fn name_writes_length_in_front_of_fault(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET)?;
    let edge = Edge::new();
    let at = edge.at(8);
    let mut len = 16u32;
    err!(k.getsockname_raw(fd, at, &raw mut len as u64), EFAULT);
    eq!(len, 16);
    // Room for exactly what there is before the edge.
    let mut len = 8u32;
    ret!(k.getsockname_raw(fd, at, &raw mut len as u64), 0);
    eq!(len, 16);
    // The length can be read but not written.
    let word = edge.put(&16u32.to_ne_bytes());
    let edge = edge.read_only();
    let mut storage = [0u8; 16];
    err!(
        k.getsockname_raw(fd, storage.as_mut_ptr() as u64, word),
        EFAULT
    );
    eq!(edge.read_u32(word), 16);
    Ok(())
}

fn name_bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.getsockname_raw(-1, BAD, BAD), EBADF);
    err!(k.getpeername_raw(-1, BAD, BAD), EBADF);
    err!(k.getsockname_raw(r, BAD, BAD), ENOTSOCK);
    err!(k.getpeername_raw(r, BAD, BAD), ENOTSOCK);
    Ok(())
}

fn peer_bad_pointers_come_after_enotconn(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.getpeername_raw(fd, BAD, BAD), ENOTCONN);
    Ok(())
}

fn peer_after_peer_closed(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.close(t.server);
    // CLOSE_WAIT still has a peer.
    eq!(k.peername(t.client)?, t.addr);
    let (client, server, _l, addr) = k.unix_connected(SOCK_STREAM)?;
    k.close(server);
    eq!(k.peername(client)?, addr);
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    k.close(b);
    eq!(k.peername(a)?, Addr::unix(b""));
    Ok(())
}

fn peer_after_reset(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"unread", 0), 6);
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    let mut storage = [0u8; 16];
    let mut len = 16u32;
    let at = storage.as_mut_ptr() as u64;
    err!(
        k.getpeername_raw(t.client, at, &raw mut len as u64),
        ENOTCONN
    );
    // Its own name stays.
    check!(k.sockname(t.client)?.port() != 0, "own port");
    Ok(())
}

fn shutdown_bad_how(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let fresh = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    for fd in [t.client, a, fresh] {
        for how in [3, -1, 100, i32::MAX, i32::MIN] {
            err!(k.shutdown(fd, how), EINVAL);
        }
    }
    Ok(())
}

fn shutdown_unconnected(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            let fd = ok!(k.socket(family, kind, 0));
            for how in [SHUT_RD, SHUT_WR, SHUT_RDWR] {
                err!(k.shutdown(fd, how), ENOTCONN);
            }
        }
    }
    Ok(())
}

fn shutdown_bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.shutdown(-1, SHUT_RD), EBADF);
    err!(k.shutdown(r, SHUT_RD), ENOTSOCK);
    err!(k.shutdown(r, 77), ENOTSOCK);
    Ok(())
}

fn shutdown_tcp_read_side(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.server, b"before", 0), 6);
    mask!(k, t.client, R | W);
    ret!(k.shutdown(t.client, SHUT_RD), 0);
    mask!(k, t.client, R | W | POLLRDHUP);
    // What is there can be read, and what still comes as well: nothing is told to the peer.
    eq!(k.recv_now(t.client)?, b"before");
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    ret!(k.send(t.server, b"after", 0), 5);
    k.wait_sent(t.server)?;
    eq!(k.recv_now(t.client)?, b"after");
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    mask!(k, t.server, W);
    ret!(k.send(t.client, b"out", 0), 3);
    eq!(k.recv_now(t.server)?, b"out");
    Ok(())
}

fn shutdown_tcp_write_side(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"last", 0), 4);
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    // Writable, since a write would not block: it fails.
    mask!(k, t.client, W);
    mask!(k, t.server, R | W | POLLRDHUP);
    eq!(k.recv_now(t.server)?, b"last");
    ret!(k.recv(t.server, &mut [0; 4], 0), 0);
    err!(k.send(t.client, b"x", libc::MSG_NOSIGNAL), EPIPE);
    // The other direction works.
    ret!(k.send(t.server, b"answer", 0), 6);
    eq!(k.recv_now(t.client)?, b"answer");
    ret!(k.shutdown(t.server, SHUT_WR), 0);
    mask!(k, t.server, R | W | POLLHUP | POLLRDHUP);
    mask!(k, t.client, R | W | POLLHUP | POLLRDHUP);
    Ok(())
}

fn shutdown_tcp_both(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.client, SHUT_RDWR), 0);
    mask!(k, t.client, R | W | POLLHUP | POLLRDHUP);
    mask!(k, t.server, R | W | POLLRDHUP);
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    err!(k.send(t.client, b"x", libc::MSG_NOSIGNAL), EPIPE);
    // RFC 1122 4.2.2.13: data for a side that will not receive it is answered with a reset.
    ret!(k.send(t.server, b"late", 0), 4);
    mask!(k, t.server, R | W | POLLERR | POLLHUP | POLLRDHUP);
    // A reset in CLOSE_WAIT is a broken pipe.
    eq!(k.so_error(t.server)?, libc::EPIPE);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    eq!(k.so_error(t.client)?, libc::ECONNRESET);
    Ok(())
}

fn shutdown_tcp_twice(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    ret!(k.shutdown(t.client, SHUT_RD), 0);
    ret!(k.shutdown(t.server, SHUT_WR), 0);
    mask!(k, t.server, R | W | POLLHUP | POLLRDHUP);
    // The passive side is closed now, the active one in TIME_WAIT: both are not connected any more.
    err!(k.shutdown(t.server, SHUT_WR), ENOTCONN);
    err!(k.shutdown(t.client, SHUT_WR), ENOTCONN);
    Ok(())
}

fn shutdown_tcp_name_stays(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let name = k.sockname(t.client)?;
    ret!(k.shutdown(t.client, SHUT_RDWR), 0);
    eq!(k.sockname(t.client)?, name);
    eq!(k.peername(t.client)?, t.addr);
    Ok(())
}

fn shutdown_unix_stream_read(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(b, b"before", 0), 6);
    ret!(k.shutdown(a, SHUT_RD), 0);
    mask!(k, a, R | WB | POLLRDHUP);
    // The peer's sending side is shut with it.
    mask!(k, b, WB);
    err!(k.send(b, b"x", libc::MSG_NOSIGNAL), EPIPE);
    eq!(k.recv_now(a)?, b"before");
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    ret!(k.send(a, b"other way", 0), 9);
    eq!(k.recv_now(b)?, b"other way");
    Ok(())
}

fn shutdown_unix_stream_write(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"last", 0), 4);
    ret!(k.shutdown(a, SHUT_WR), 0);
    mask!(k, a, WB);
    mask!(k, b, R | WB | POLLRDHUP);
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    eq!(k.recv_now(b)?, b"last");
    ret!(k.recv(b, &mut [0; 4], 0), 0);
    ret!(k.send(b, b"answer", 0), 6);
    eq!(k.recv_now(a)?, b"answer");
    Ok(())
}

fn shutdown_unix_both_each_way(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.shutdown(a, SHUT_RDWR), 0);
    mask!(k, a, R | WB | POLLHUP | POLLRDHUP);
    mask!(k, b, R | WB | POLLHUP | POLLRDHUP);
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    ret!(k.recv(b, &mut [0; 4], 0), 0);
    err!(k.send(b, b"x", libc::MSG_NOSIGNAL), EPIPE);
    // Again is fine: an AF_UNIX socket does not become unconnected.
    ret!(k.shutdown(a, SHUT_RDWR), 0);
    ret!(k.shutdown(b, SHUT_RD), 0);
    Ok(())
}

fn shutdown_unix_dgram(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.shutdown(a, SHUT_RD), 0);
    mask!(k, a, R | WB | POLLRDHUP);
    // Without O_NONBLOCK the end of file is seen, with it there is just nothing there.
    err!(k.recv(a, &mut [0; 4], 0), EAGAIN);
    k.fcntl(a, libc::F_SETFL, 0);
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    // The peer of a datagram socket is not told, but a send to it fails.
    mask!(k, b, WB);
    err!(k.send(b, b"x", libc::MSG_NOSIGNAL), EPIPE);
    ret!(k.send(a, b"out", 0), 3);
    eq!(k.recv_now(b)?, b"out");
    ret!(k.shutdown(b, SHUT_WR), 0);
    err!(k.send(b, b"x", libc::MSG_NOSIGNAL), EPIPE);
    Ok(())
}

fn shutdown_unix_unconnected(k: &mut dyn Kernel) -> Outcome {
    // AF_UNIX does not ask for a connection.
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let fd = ok!(k.socket(AF_UNIX, kind | NB, 0));
        ret!(k.shutdown(fd, SHUT_RD), 0);
        ret!(k.shutdown(fd, SHUT_RDWR), 0);
    }
    let (fd, _) = k.unix_bound(SOCK_DGRAM, "shut")?;
    ret!(k.shutdown(fd, SHUT_RDWR), 0);
    mask!(k, fd, R | WB | POLLHUP | POLLRDHUP);
    Ok(())
}

fn shutdown_udp_unconnected_still_marks(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.udp(AF_INET)?;
    // ENOTCONN is the answer, and yet the socket is shut down.
    err!(k.shutdown(fd, SHUT_RD), ENOTCONN);
    mask!(k, fd, R | WB | POLLRDHUP);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    k.fcntl(fd, libc::F_SETFL, 0);
    ret!(k.recv(fd, &mut [0; 4], 0), 0);
    Ok(())
}

fn shutdown_udp_connected(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(b, b"kept", 0), 4);
    ret!(k.shutdown(a, SHUT_RD), 0);
    mask!(k, a, R | WB | POLLRDHUP);
    eq!(k.recv_now(a)?, b"kept");
    err!(k.recv(a, &mut [0; 4], 0), EAGAIN);
    // Datagrams still arrive.
    ret!(k.send(b, b"more", 0), 4);
    eq!(k.recv_now(a)?, b"more");
    ret!(k.shutdown(a, SHUT_WR), 0);
    mask!(k, a, R | WB | POLLHUP | POLLRDHUP);
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    mask!(k, b, WB);
    Ok(())
}

fn shutdown_seqpacket(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"one", 0), 3);
    ret!(k.shutdown(a, SHUT_WR), 0);
    mask!(k, b, R | WB | POLLRDHUP);
    eq!(k.recv_now(b)?, b"one");
    ret!(k.recv(b, &mut [0; 4], 0), 0);
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    ret!(k.send(b, b"two", 0), 3);
    eq!(k.recv_now(a)?, b"two");
    Ok(())
}

fn shutdown_wakes_a_reader(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.client, libc::F_SETFL, 0);
    for (reader, shutter, how) in [
        (a, b, SHUT_WR),
        (t.client, t.server, SHUT_WR),
        (t.client, t.client, SHUT_RD),
    ] {
        let Some(mut other) = k.another_thread() else {
            crate::check::skip!("no second thread");
        };
        let blocked = std::thread::spawn(move || {
            let other: &mut dyn Kernel = &mut *other;
            other.recv(reader, &mut [0; 4], 0)
        });
        k.pause(std::time::Duration::from_millis(20));
        ret!(k.shutdown(shutter, how), 0);
        ret!(blocked.join().unwrap_or(-1), 0);
    }
    Ok(())
}

fn shutdown_fresh_tcp_masks(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, NB)?;
    mask!(k, fd, W | POLLHUP);
    // It is marked all the same.
    err!(k.shutdown(fd, SHUT_RD), ENOTCONN);
    mask!(k, fd, R | W | POLLHUP | POLLRDHUP);
    let bound = k.tcp_socket(AF_INET, NB)?;
    ret!(k.bind(bound, &Addr::lo4(0)), 0);
    mask!(k, bound, W | POLLHUP);
    eq!(k.so_error(fd)?, 0);
    check!(k.poll_mask(fd) & POLLERR == 0, "no error");
    Ok(())
}
