//! Readiness in the very next instruction: what a call has done is what poll(2) says as soon as it has
//! returned. Over and over, since a moment's delay shows only now and then.

use crate::check::{Outcome, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Msg, rights};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{PRI, R, W, WB};
use libc::{AF_INET, AF_UNIX, POLLERR, POLLHUP, POLLRDHUP, SHUT_WR, SOCK_DGRAM};
use libc::{SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};

tests! {
    accepted_with_data,
    accepted_after_the_end,
    listener_before_and_after,
    received_all,
    sent_until_full,
    datagrams_until_full,
    refused_connection,
    refused_datagram,
    error_taken,
    urgent_taken,
    urgent_read_inline,
    shut_down,
    low_water_mark,
    connecting_to_a_full_queue,
    socket_received,
    made,
}

const ROUNDS: usize = 300;

/// poll(2), once. A busy host may let its loopback packets wait a moment.
macro_rules! now {
    ($k:expr, $fd:expr, $want:expr) => {{
        let want = $k.shown($fd, $want);
        let have = if $k.name() == "host" {
            $k.settled_mask($fd, want)
        } else {
            $k.poll_mask($fd)
        };
        crate::check::verdict::mask(crate::check::here!(), stringify!($fd), have, want)?
    }};
}

fn accepted_with_data(k: &mut dyn Kernel) -> Outcome {
    let (tcp, tcp_addr) = k.tcp_listener(AF_INET, 8)?;
    let (unix, unix_addr) = k.unix_listener(SOCK_STREAM, 8)?;
    for round in 0..ROUNDS {
        let client = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(client, &tcp_addr)?;
        let data = round % 2 == 0;
        if data {
            ret!(k.send(client, b"x", 0), 1);
            k.wait_sent(client)?;
        }
        let server = ok!(k.accept(tcp));
        now!(k, server, if data { R | W } else { W });
        k.close(server);
        k.close(client);
        let client = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
        ret!(k.connect(client, &unix_addr), 0);
        if data {
            ret!(k.send(client, b"x", 0), 1);
        }
        let server = ok!(k.accept(unix));
        now!(k, server, if data { R | WB } else { WB });
        k.close(server);
        k.close(client);
    }
    Ok(())
}

fn accepted_after_the_end(k: &mut dyn Kernel) -> Outcome {
    let (tcp, tcp_addr) = k.tcp_listener(AF_INET, 8)?;
    let (unix, unix_addr) = k.unix_listener(SOCK_STREAM, 8)?;
    for _ in 0..ROUNDS {
        let client = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(client, &tcp_addr)?;
        ret!(k.shutdown(client, SHUT_WR), 0);
        let server = ok!(k.accept(tcp));
        now!(k, server, R | W | POLLRDHUP);
        k.close(server);
        k.close(client);
        let client = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
        ret!(k.connect(client, &unix_addr), 0);
        ret!(k.shutdown(client, libc::SHUT_RDWR), 0);
        let server = ok!(k.accept(unix));
        now!(k, server, R | WB | POLLRDHUP | POLLHUP);
        k.close(server);
        k.close(client);
    }
    Ok(())
}

fn listener_before_and_after(k: &mut dyn Kernel) -> Outcome {
    let (tcp, tcp_addr) = k.tcp_listener(AF_INET, 8)?;
    let (unix, unix_addr) = k.unix_listener(SOCK_STREAM, 8)?;
    for _ in 0..ROUNDS {
        for (listener, addr, family) in [(tcp, &tcp_addr, AF_INET), (unix, &unix_addr, AF_UNIX)] {
            let client = ok!(k.socket(family, SOCK_STREAM, 0));
            now!(k, listener, 0);
            ret!(k.connect(client, addr), 0);
            now!(k, listener, R);
            let server = ok!(k.accept(listener));
            now!(k, listener, 0);
            k.close(server);
            k.close(client);
        }
    }
    Ok(())
}

fn received_all(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let (udp, udp_peer) = k.udp_pair(AF_INET)?;
    let (stream, stream_peer) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (dgram, dgram_peer) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let (seq, seq_peer) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    for _ in 0..ROUNDS {
        for (from, to, out) in [
            (t.client, t.server, W),
            (udp, udp_peer, WB),
            (stream, stream_peer, WB),
            (dgram, dgram_peer, WB),
            (seq, seq_peer, WB),
        ] {
            now!(k, to, out);
            ret!(k.send(from, b"ab", 0), 2);
            now!(k, to, R | out);
            ret!(k.recv(to, &mut [0; 2], 0), 2);
            now!(k, to, out);
        }
    }
    Ok(())
}

fn sent_until_full(k: &mut dyn Kernel) -> Outcome {
    for _ in 0..ROUNDS / 30 {
        let t = k.tcp(AF_INET)?;
        let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
        for (from, to, out) in [(t.client, t.server, W), (a, b, WB)] {
            k.fill(from, 65536)?;
            now!(k, from, 0);
            now!(k, to, R | out);
        }
        for fd in [t.client, t.server, t.listener, a, b] {
            k.close(fd);
        }
    }
    Ok(())
}

fn datagrams_until_full(k: &mut dyn Kernel) -> Outcome {
    for _ in 0..ROUNDS / 10 {
        let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
        k.fill(a, 8)?;
        now!(k, a, 0);
        ret!(k.recv(b, &mut [0; 8], 0), 8);
        now!(k, b, R | WB);
        k.close(a);
        k.close(b);
    }
    Ok(())
}

fn refused_connection(k: &mut dyn Kernel) -> Outcome {
    let nobody = k.closed_port(AF_INET, SOCK_STREAM)?;
    for _ in 0..ROUNDS {
        let fd = k.tcp_socket(AF_INET, NB)?;
        let got = k.connect(fd, &nobody);
        ret!(got, -i64::from(libc::EINPROGRESS));
        let gone = R | W | POLLHUP | POLLRDHUP;
        now!(k, fd, gone | POLLERR);
        eq!(k.so_error(fd)?, libc::ECONNREFUSED);
        now!(k, fd, gone);
        k.close(fd);
    }
    Ok(())
}

fn refused_datagram(k: &mut dyn Kernel) -> Outcome {
    let nobody = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let (fd, _) = k.udp(AF_INET)?;
    ret!(k.connect(fd, &nobody), 0);
    for _ in 0..ROUNDS {
        ret!(k.send(fd, b"x", 0), 1);
        now!(k, fd, WB | POLLERR);
        err!(k.recv(fd, &mut [0; 4], 0), ECONNREFUSED);
        now!(k, fd, WB);
        ret!(k.send(fd, b"x", 0), 1);
        eq!(k.so_error(fd)?, libc::ECONNREFUSED);
        now!(k, fd, WB);
        ret!(k.send(fd, b"x", 0), 1);
        err!(k.send(fd, b"x", 0), ECONNREFUSED);
        now!(k, fd, WB);
    }
    Ok(())
}

fn error_taken(k: &mut dyn Kernel) -> Outcome {
    let linger = [1i32, 0].map(i32::to_ne_bytes).concat();
    for round in 0..ROUNDS / 3 {
        let t = k.tcp(AF_INET)?;
        ret!(
            k.setsockopt(t.client, SOL_SOCKET, libc::SO_LINGER, &linger),
            0
        );
        k.close(t.client);
        let gone = R | W | POLLHUP | POLLRDHUP;
        crate::check::mask!(k, t.server, gone | POLLERR);
        match round % 3 {
            0 => err!(k.recv(t.server, &mut [0; 4], 0), ECONNRESET),
            1 => err!(k.send(t.server, b"x", libc::MSG_NOSIGNAL), ECONNRESET),
            _ => eq!(k.so_error(t.server)?, libc::ECONNRESET),
        }
        now!(k, t.server, gone);
        k.close(t.server);
        k.close(t.listener);
    }
    Ok(())
}

fn urgent_taken(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(
        k.set_int(t.client, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        0
    );
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for _ in 0..ROUNDS {
        for (from, to, out) in [(t.client, t.server, W), (a, b, WB)] {
            ret!(k.send(from, b"a!", libc::MSG_OOB), 2);
            now!(k, to, R | PRI | out);
            ret!(k.recv(to, &mut [0; 1], libc::MSG_OOB), 1);
            now!(k, to, R | out);
            ret!(k.recv(to, &mut [0; 4], 0), 1);
            let rest = k.recv(to, &mut [0; 4], 0);
            ret!(rest, -i64::from(libc::EAGAIN));
            now!(k, to, out);
        }
    }
    Ok(())
}

fn urgent_read_inline(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for (fd, name) in [(t.client, libc::TCP_NODELAY), (t.server, libc::TCP_NODELAY)] {
        ret!(k.set_int(fd, libc::IPPROTO_TCP, name, 1), 0);
    }
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for fd in [t.server, b] {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_OOBINLINE, 1), 0);
    }
    for _ in 0..ROUNDS {
        for (from, to, out) in [(t.client, t.server, W), (a, b, WB)] {
            ret!(k.send(from, b"!", libc::MSG_OOB), 1);
            now!(k, to, R | PRI | out);
            ret!(k.recv(to, &mut [0; 4], 0), 1);
            now!(k, to, out);
        }
    }
    // Bytes before it are read by themselves.
    ret!(k.send(t.client, b"a!", libc::MSG_OOB), 2);
    now!(k, t.server, R | PRI | W);
    ret!(k.recv(t.server, &mut [0; 4], 0), 1);
    now!(k, t.server, R | PRI | W);
    ret!(k.recv(t.server, &mut [0; 4], 0), 1);
    now!(k, t.server, W);
    Ok(())
}

fn shut_down(k: &mut dyn Kernel) -> Outcome {
    for _ in 0..ROUNDS / 3 {
        let t = k.tcp(AF_INET)?;
        let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
        for (near, far, out) in [(t.client, t.server, W), (a, b, WB)] {
            ret!(k.shutdown(near, SHUT_WR), 0);
            now!(k, near, out);
            now!(k, far, R | out | POLLRDHUP);
            ret!(k.shutdown(far, SHUT_WR), 0);
            now!(k, near, R | out | POLLRDHUP | POLLHUP);
            now!(k, far, R | out | POLLRDHUP | POLLHUP);
        }
        for fd in [t.client, t.server, t.listener, a, b] {
            k.close(fd);
        }
    }
    Ok(())
}

fn low_water_mark(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"abc", 0), 3);
    k.wait_sent(t.client)?;
    for _ in 0..ROUNDS {
        ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_RCVLOWAT, 4), 0);
        now!(k, t.server, W);
        ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_RCVLOWAT, 3), 0);
        now!(k, t.server, R | W);
    }
    Ok(())
}

fn connecting_to_a_full_queue(k: &mut dyn Kernel) -> Outcome {
    for _ in 0..ROUNDS / 10 {
        let (listener, addr) = k.tcp_listener(AF_INET, 0)?;
        let first = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(first, &addr)?;
        let second = k.tcp_socket(AF_INET, NB)?;
        now!(k, second, W | POLLHUP);
        err!(k.connect(second, &addr), EINPROGRESS);
        now!(k, second, 0);
        for fd in [first, second, listener] {
            k.close(fd);
        }
    }
    Ok(())
}

fn socket_received(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for _ in 0..ROUNDS {
        let (c, d) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
        ret!(k.send(c, b"x", 0), 1);
        let mut msg = Msg::of(&[b"y"]).control(&rights(&[d]));
        ret!(k.sendmsg(a, &mut msg, 0), 1);
        k.close(d);
        let mut msg = Msg::room(&[4]).control_room(64);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        let fds = msg.fds();
        eq!(fds.len(), 1);
        now!(k, fds[0], R | WB);
        ret!(k.recv(fds[0], &mut [0; 4], 0), 1);
        now!(k, fds[0], WB);
        k.close(fds[0]);
        k.close(c);
    }
    Ok(())
}

fn made(k: &mut dyn Kernel) -> Outcome {
    for _ in 0..ROUNDS {
        for (family, kind, want) in [
            (AF_INET, SOCK_STREAM, W | POLLHUP),
            (AF_INET, SOCK_DGRAM, WB),
            (AF_UNIX, SOCK_STREAM, WB | POLLHUP),
            (AF_UNIX, SOCK_DGRAM, WB),
            (AF_UNIX, SOCK_SEQPACKET, WB | POLLHUP),
        ] {
            let fd = ok!(k.socket(family, kind, 0));
            now!(k, fd, want);
            k.close(fd);
        }
        let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
        now!(k, a, WB);
        now!(k, b, WB);
        k.close(a);
        k.close(b);
    }
    Ok(())
}
