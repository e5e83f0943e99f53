//! Two or three features that meet: what none of them says by itself.

use super::waiting::{blocking, ended, meanwhile};
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_UNIX, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_WAITALL,
    MSG_ZEROCOPY, SO_OOBINLINE, SO_RCVBUF, SO_RCVLOWAT, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
    SOL_SOCKET, SOL_UDP,
};
use std::time::Duration;

tests! {
    waiting_for_all_ends_at_urgent_data [THREADS],
    splice_does_not_pass_urgent_data [FILES],
    splice_with_a_pipe_that_does_not_block [FILES],
    peek_offset_counts_an_urgent_byte,
    low_water_makes_room,
    zerocopy_of_what_was_joined,
    zerocopy_is_not_for_raw_sockets [ROOT],
    stamps_that_another_socket_has_made,
}

const SO_PEEK_OFF: i32 = 42;
const SO_TIMESTAMP: i32 = 29;
const SO_TIMESTAMPING: i32 = 37;
const SO_ZEROCOPY: i32 = 60;
const UDP_CORK: i32 = 1;
const SOFTWARE: i32 = 1 << 4;

/// tcp_recvmsg_locked(): "Are we at urgent data? Stop if we have read anything", before the wait or after it.
fn waiting_for_all_ends_at_urgent_data(k: &mut dyn Kernel) -> Outcome {
    for inline in [0, 1] {
        let t = k.tcp(AF_INET)?;
        let fd = blocking(k, t.server);
        ret!(k.set_int(fd, SOL_SOCKET, SO_OOBINLINE, inline), 0);
        ret!(k.send(t.client, b"ab", 0), 2);
        let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 5], MSG_WAITALL))?;
        ret!(k.send(t.client, b"c", MSG_OOB), 1);
        ret!(ended(call), 2);
        let flags = if inline == 0 { MSG_OOB } else { 0 };
        ret!(k.recv(fd, &mut [0; 5], flags), 1);
    }
    Ok(())
}

/// tcp_splice_data_recv(): the mark is the end, where recv(2) goes on.
fn splice_does_not_pass_urgent_data(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    for inline in [0, 1] {
        let t = k.tcp(AF_INET)?;
        ret!(k.set_int(t.server, SOL_SOCKET, SO_OOBINLINE, inline), 0);
        ret!(k.send(t.client, b"abc", MSG_OOB), 3);
        ret!(k.send(t.client, b"de", 0), 2);
        k.pause(Duration::from_millis(5));
        ret!(k.splice(t.server, w, 10, 0), 2);
        ret!(k.read(r, &mut [0; 8]), 2);
        err!(k.splice(t.server, w, 10, 0), EAGAIN);
        // There is something in the queue: nobody waits for more.
        let fd = blocking(k, t.server);
        ret!(k.splice(fd, w, 10, 0), 0);
        ret!(k.recv(fd, &mut [0; 8], MSG_DONTWAIT), 2 + i64::from(inline));
    }
    Ok(())
}

/// do_splice(): `O_NONBLOCK` of the pipe is as good as `SPLICE_F_NONBLOCK`.
fn splice_with_a_pipe_that_does_not_block(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    for fd in [r, w] {
        ret!(k.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK.into()), 0);
    }
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let (a, b) = (blocking(k, a), blocking(k, b));
    // Nothing in the pipe, nothing in the socket, no room in the pipe.
    err!(k.splice(r, a, 1, 0), EAGAIN);
    err!(k.splice(a, w, 1, 0), EAGAIN);
    ret!(k.send(b, b"abc", 0), 3);
    while k.write(w, &[0; 4096]) > 0 {}
    err!(k.splice(a, w, 3, 0), EAGAIN);
    ret!(k.splice(r, a, 1, 0), 1);
    Ok(())
}

/// manage_oob() looks at the front of the queue only: behind it a peek that begins at an offset sees the byte.
fn peek_offset_counts_an_urgent_byte(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.send(b, b"ab", 0), 2);
    ret!(k.send(b, b"c", MSG_OOB), 1);
    ret!(k.send(b, b"de", 0), 2);
    let peek = |k: &mut dyn Kernel, offset: i32| -> Got<Vec<u8>> {
        ret!(k.set_int(a, SOL_SOCKET, SO_PEEK_OFF, offset), 0);
        let mut buf = [0; 1];
        ret!(k.recv(a, &mut buf, MSG_PEEK | MSG_DONTWAIT), 1);
        Ok(buf.to_vec())
    };
    for (offset, want) in [(1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")] {
        eq!(peek(k, offset)?, want.to_vec());
    }
    ret!(k.recv(a, &mut [0; 2], 0), 2);
    // At the front it is stepped over, and the offset counts from there.
    for (offset, want) in [(0, b"d"), (1, b"e")] {
        eq!(peek(k, offset)?, want.to_vec());
    }
    Ok(())
}

/// tcp_set_rcvlowat(): a buffer whose size nobody has chosen grows to hold what is waited for.
fn low_water_makes_room(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    let before = k.get_int(fd, SOL_SOCKET, SO_RCVBUF)?;
    ret!(k.set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1000), 0);
    eq!(k.get_int(fd, SOL_SOCKET, SO_RCVBUF)?, before);
    ret!(k.set_int(fd, SOL_SOCKET, SO_RCVLOWAT, before), 0);
    eq!(k.get_int(fd, SOL_SOCKET, SO_RCVBUF)?, 2 * before);
    ret!(k.set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1), 0);
    eq!(k.get_int(fd, SOL_SOCKET, SO_RCVBUF)?, 2 * before);
    let chosen = k.tcp_socket(AF_INET, 0)?;
    ret!(k.set_int(chosen, SOL_SOCKET, SO_RCVBUF, 10_000), 0);
    ret!(k.set_int(chosen, SOL_SOCKET, SO_RCVLOWAT, 100_000), 0);
    eq!(k.get_int(chosen, SOL_SOCKET, SO_RCVLOWAT)?, 10_000);
    eq!(k.get_int(chosen, SOL_SOCKET, SO_RCVBUF)?, 20_000);
    Ok(())
}

/// The sends that the next notice is about: the first and the last.
fn notice(k: &mut dyn Kernel, fd: Fd) -> Got<(u32, u32)> {
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE | MSG_DONTWAIT), 0);
    let controls = msg.cmsgs();
    check!(!controls.is_empty(), "no control message");
    let word = |at: usize| {
        let bytes = controls[0]
            .data
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok());
        bytes.map_or(u32::MAX, u32::from_ne_bytes)
    };
    Ok((word(8), word(12)))
}

/// msg_zerocopy_realloc(): each send has a number, also where several make one datagram.
fn zerocopy_of_what_was_joined(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    ret!(k.send(a, b"ab", MSG_ZEROCOPY | MSG_MORE), 2);
    ret!(k.send(a, b"cd", MSG_ZEROCOPY), 2);
    eq!(k.recv_now(b)?, b"abcd".to_vec());
    eq!(notice(k, a)?, (0, 1));
    // Of one that asks among others, and by UDP_CORK.
    ret!(k.set_int(a, SOL_UDP, UDP_CORK, 1), 0);
    ret!(k.send(a, b"ab", 0), 2);
    ret!(k.send(a, b"cd", MSG_ZEROCOPY), 2);
    err!(k.recv(a, &mut [0; 1], MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
    ret!(k.set_int(a, SOL_UDP, UDP_CORK, 0), 0);
    eq!(k.recv_now(b)?, b"abcd".to_vec());
    eq!(notice(k, a)?, (2, 2));
    Ok(())
}

/// The type counts, and not only the protocol.
fn zerocopy_is_not_for_raw_sockets(k: &mut dyn Kernel) -> Outcome {
    for protocol in [libc::IPPROTO_UDP, libc::IPPROTO_TCP] {
        let fd = ok!(k.socket(AF_INET, SOCK_RAW, protocol));
        err!(k.set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1), EOPNOTSUPP);
    }
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    Ok(())
}

/// sock_recv_timestamp(): who reports stamps is told of one whoever wanted it to be made.
fn stamps_that_another_socket_has_made(k: &mut dyn Kernel) -> Outcome {
    let other = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.set_int(other, SOL_SOCKET, SO_TIMESTAMP, 1), 0);
    // net_enable_timestamp() leaves it to a worker.
    k.pause(Duration::from_millis(50));
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_TIMESTAMPING, SOFTWARE), 0);
    ret!(k.send(a, b"x", 0), 1);
    k.pause(Duration::from_millis(5));
    let mut msg = Msg::room(&[8]).control_room(128);
    ret!(k.recvmsg(b, &mut msg, MSG_DONTWAIT), 1);
    let kinds: Vec<i32> = msg.cmsgs().iter().map(|c| c.kind).collect();
    eq!(kinds, vec![SO_TIMESTAMPING]);
    Ok(())
}
