//! AF_UNIX stream sockets: data, ends, limits.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{PRI, R, WB};
use libc::{AF_UNIX, POLLERR, POLLHUP, POLLRDHUP, SOCK_STREAM};

tests! {
    no_boundaries,
    reading_in_pieces,
    peek_does_not_take,
    peek_spans_messages,
    waitall_nonblocking_returns_what_is_there,
    trunc_flag_means_nothing,
    empty_send_is_nothing,
    empty_receive,
    not_connected,
    address_on_send,
    address_on_receive,
    peer_closed_masks,
    peer_closed_with_unread_data,
    own_unread_data_reset_once,
    reset_loses_nothing_received,
    full_buffer,
    full_buffer_partial_send,
    writable_again_needs_a_quarter,
    queue_counters,
    send_faults_whole_message,
    receive_faults_keep_data,
    receive_faults_after_some,
    kernel_space_pointers,
    vectors,
    unknown_flags_are_ignored,
    broken_pipe_raises_sigpipe [SIGPIPE],
    nosignal_raises_nothing [SIGPIPE],
    oob_byte,
    oob_inline,
    fresh_masks,
    blocked_reader_wakes [THREADS],
    blocked_writer_wakes [THREADS],
    receive_timeout [TIMEOUTS],
    waitall_blocks_until_all [THREADS],
    large_transfer_in_order [THREADS],
    msg_more_and_eor_are_ignored,
}

fn no_boundaries(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for part in [&b"one"[..], b"two", b"three"] {
        ret!(k.send(a, part, 0), part.len());
    }
    eq!(k.recv_now(b)?, b"onetwothree");
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn reading_in_pieces(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    let mut buf = [0; 4];
    ret!(k.recv(b, &mut buf, 0), 4);
    eq!(&buf, b"abcd");
    eq!(k.fionread(b)?, 2);
    ret!(k.recv(b, &mut buf, 0), 2);
    eq!(&buf[..2], b"ef");
    Ok(())
}

fn peek_does_not_take(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    let mut buf = [0; 2];
    for _ in 0..3 {
        ret!(k.recv(b, &mut buf, libc::MSG_PEEK), 2);
        eq!(&buf, b"ab");
    }
    eq!(k.fionread(b)?, 3);
    eq!(k.recv_now(b)?, b"abc");
    Ok(())
}

fn peek_spans_messages(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"one", 0), 3);
    ret!(k.send(a, b"two", 0), 3);
    let mut buf = [0; 16];
    ret!(k.recv(b, &mut buf, libc::MSG_PEEK), 6);
    eq!(&buf[..6], b"onetwo");
    eq!(k.recv_now(b)?, b"onetwo");
    Ok(())
}

fn waitall_nonblocking_returns_what_is_there(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.send(a, b"abc", 0), 3);
    let mut buf = [0; 16];
    ret!(
        k.recv(b, &mut buf, libc::MSG_WAITALL | libc::MSG_DONTWAIT),
        3
    );
    err!(
        k.recv(b, &mut buf, libc::MSG_WAITALL | libc::MSG_DONTWAIT),
        EAGAIN
    );
    ret!(k.send(a, b"abc", 0), 3);
    k.close(a);
    // The end of the stream ends the wait, too.
    ret!(k.recv(b, &mut buf, libc::MSG_WAITALL), 3);
    ret!(k.recv(b, &mut buf, libc::MSG_WAITALL), 0);
    Ok(())
}

fn trunc_flag_means_nothing(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    let mut buf = [0; 3];
    ret!(k.recv(b, &mut buf, libc::MSG_TRUNC), 3);
    eq!(&buf, b"abc");
    eq!(k.recv_now(b)?, b"def");
    Ok(())
}

fn empty_send_is_nothing(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"", 0), 0);
    mask!(k, b, WB);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    ret!(k.write(a, b""), 0);
    mask!(k, b, WB);
    Ok(())
}

fn empty_receive(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // With nothing there it is still EAGAIN, and with data it is 0.
    err!(k.recv(b, &mut [], 0), EAGAIN);
    ret!(k.send(a, b"x", 0), 1);
    ret!(k.recv(b, &mut [], 0), 0);
    // read of nothing does not ask the socket.
    ret!(k.read(b, &mut []), 0);
    eq!(k.recv_now(b)?, b"x");
    ret!(k.read(b, &mut []), 0);
    Ok(())
}

fn not_connected(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), ENOTCONN);
    err!(k.send(fd, b"", libc::MSG_NOSIGNAL), ENOTCONN);
    err!(k.recv(fd, &mut [0; 4], 0), EINVAL);
    err!(k.recv(fd, &mut [], 0), EINVAL);
    err!(k.write(fd, b"x"), ENOTCONN);
    err!(k.read(fd, &mut [0; 4]), EINVAL);
    Ok(())
}

fn address_on_send(k: &mut dyn Kernel) -> Outcome {
    let (_l, addr) = k.unix_listener(SOCK_STREAM, 1)?;
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    err!(k.sendto(fd, b"x", 0, &addr), EOPNOTSUPP);
    ret!(k.connect(fd, &addr), 0);
    err!(k.sendto(fd, b"x", 0, &addr), EISCONN);
    // Which address does not matter, not even whether it is one.
    err!(k.sendto(fd, b"x", 0, &Addr::lo4(1)), EISCONN);
    Ok(())
}

fn address_on_receive(k: &mut dyn Kernel) -> Outcome {
    let (client, server, _l, addr) = k.unix_connected(SOCK_STREAM)?;
    ret!(k.send(server, b"hello", 0), 5);
    let mut buf = [0; 8];
    // The sender's name comes along even on a stream.
    eq!(k.recvfrom(client, &mut buf, 0), (5, addr));
    ret!(k.send(client, b"hello", 0), 5);
    eq!(k.recvfrom(server, &mut buf, 0), (5, Addr(Vec::new())));
    Ok(())
}

fn peer_closed_masks(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    mask!(k, a, WB);
    ret!(k.send(b, b"last", 0), 4);
    mask!(k, a, R | WB);
    k.close(b);
    mask!(k, a, R | WB | POLLHUP | POLLRDHUP);
    eq!(k.recv_now(a)?, b"last");
    mask!(k, a, R | WB | POLLHUP | POLLRDHUP);
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    eq!(k.so_error(a)?, 0);
    Ok(())
}

fn peer_closed_with_unread_data(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"unread", 0), 6);
    k.close(b);
    mask!(k, a, R | WB | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(a, &mut [0; 4], 0), ECONNRESET);
    // The error is told once.
    mask!(k, a, R | WB | POLLHUP | POLLRDHUP);
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    Ok(())
}

fn own_unread_data_reset_once(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"unread", 0), 6);
    k.close(b);
    // A send is told of the pipe, or of the error, whichever the kernel asks first.
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    eq!(k.so_error(a)?, libc::ECONNRESET);
    eq!(k.so_error(a)?, 0);
    Ok(())
}

fn reset_loses_nothing_received(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(b, b"for you", 0), 7);
    ret!(k.send(a, b"unread", 0), 6);
    k.close(b);
    eq!(k.recv_now(a)?, b"for you");
    err!(k.recv(a, &mut [0; 4], 0), ECONNRESET);
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    Ok(())
}

fn full_buffer(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let sent = k.fill(a, 4096)?;
    check!(sent > 4096, "{sent}");
    mask!(k, a, 0);
    mask!(k, b, R | WB);
    err!(k.send(a, b"x", 0), EAGAIN);
    eq!(k.fionread(b)? as usize, sent);
    eq!(k.drain(b)?, sent);
    mask!(k, a, WB);
    Ok(())
}

fn full_buffer_partial_send(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let big = vec![7; 4 << 20];
    let sent = ok!(k.send(a, &big, 0));
    check!(sent > 0 && sent < big.len() as i64, "{sent}");
    eq!(k.drain(b)? as i64, sent);
    Ok(())
}

fn writable_again_needs_a_quarter(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let sent = k.fill(a, 1024)?;
    // POLLOUT: at most a quarter of the buffer in use. A send succeeds long before.
    let mut buf = vec![0; sent / 4];
    ret!(k.recv(b, &mut buf, 0), sent / 4);
    mask!(k, a, 0);
    ok!(k.send(a, b"x", 0));
    let mut buf = vec![0; sent * 9 / 16];
    ret!(k.recv(b, &mut buf, 0), buf.len());
    mask!(k, a, WB);
    Ok(())
}

fn queue_counters(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    eq!(k.outq(a)?, 0);
    eq!(k.fionread(b)?, 0);
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"de", 0), 2);
    eq!(k.fionread(b)?, 5);
    eq!(k.fionread(a)?, 0);
    // SIOCOUTQ counts memory, not bytes.
    check!(k.outq(a)? > 5, "{}", k.outq(a)?);
    k.drain(b)?;
    eq!(k.outq(a)?, 0);
    let (l, _) = k.unix_listener(SOCK_STREAM, 1)?;
    let mut n = 0;
    err!(k.ioctl_int(l, libc::FIONREAD, &mut n), EINVAL);
    Ok(())
}

fn send_faults_whole_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let edge = Edge::new();
    let at = edge.put(b"good");
    err!(k.send_raw(a, BAD, 4, 0), EFAULT);
    err!(k.send_raw(a, at, 8, 0), EFAULT);
    mask!(k, b, WB);
    // Nothing is copied when there is nothing to copy.
    ret!(k.send_raw(a, BAD, 0, 0), 0);
    let mut msg = Msg::of(&[b"good", b"bad"]);
    msg.aim(1, BAD, 3);
    err!(k.sendmsg(a, &mut msg, 0), EFAULT);
    mask!(k, b, WB);
    Ok(())
}

fn receive_faults_keep_data(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    err!(k.recv_raw(b, BAD, 4, 0), EAGAIN);
    ret!(k.send(a, b"abcdef", 0), 6);
    err!(k.recv_raw(b, BAD, 6, 0), EFAULT);
    let edge = Edge::new();
    err!(k.recv_raw(b, edge.at(3), 6, 0), EFAULT);
    eq!(k.recv_now(b)?, b"abcdef");
    Ok(())
}

fn receive_faults_after_some(k: &mut dyn Kernel) -> Outcome {
    // What an earlier send brought has been delivered when a later one faults.
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"def", 0), 3);
    let edge = Edge::new();
    let at = edge.at(4);
    ret!(k.recv_raw(b, at, 6, 0), 3);
    eq!(edge.read(at, 3), b"abc");
    eq!(k.recv_now(b)?, b"def");
    Ok(())
}

fn kernel_space_pointers(k: &mut dyn Kernel) -> Outcome {
    let (_a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // Not the user's address range: refused before the socket is asked, here EAGAIN otherwise.
    err!(k.recv_raw(b, KERNEL_SPACE, 4, 0), EFAULT);
    err!(k.send_raw(b, KERNEL_SPACE, 4, 0), EFAULT);
    // A length that would wrap around is clamped to MAX_RW_COUNT (2 GiB less a page), and only that
    // much has to be the user's: on the stack, near the end of it, this would be a fault.
    let mut buf = vec![0u8; 4];
    err!(k.recv_raw(b, buf.as_mut_ptr() as u64, u64::MAX, 0), EAGAIN);
    Ok(())
}

fn vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut msg = Msg::of(&[b"ab", b"", b"cde", b"f"]);
    ret!(k.sendmsg(a, &mut msg, 0), 6);
    let mut msg = Msg::room(&[1, 0, 2, 10]);
    ret!(k.recvmsg(b, &mut msg, 0), 6);
    eq!(msg.data(6), b"abcdef");
    eq!(msg.flags(), 0);
    Ok(())
}

fn unknown_flags_are_ignored(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for flag in [
        0x4, 0x8, 0x800, 0x1000, 0x2000, 0x100000, 0x800000, 0x20000000,
    ] {
        ret!(k.send(a, b"abc", flag), 3);
        let mut buf = [0; 8];
        ret!(k.recv(b, &mut buf, flag & !0x2000), 3);
    }
    Ok(())
}

fn broken_pipe_raises_sigpipe(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    k.close(b);
    eq!(k.take_sigpipe(), Some(false));
    err!(k.send(a, b"x", 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    err!(k.write(a, b"x"), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    let mut msg = Msg::of(&[b"x"]);
    err!(k.sendmsg(a, &mut msg, 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    Ok(())
}

fn nosignal_raises_nothing(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    k.close(b);
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    eq!(k.take_sigpipe(), Some(false));
    // A datagram or an unconnected socket raises nothing anyway.
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    err!(k.send(fd, b"x", 0), ENOTCONN);
    eq!(k.take_sigpipe(), Some(false));
    Ok(())
}

fn oob_byte(k: &mut dyn Kernel) -> Outcome {
    // Since Linux 5.15.
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    err!(k.recv(b, &mut [0; 4], libc::MSG_OOB), EINVAL);
    ret!(k.send(a, b"ab", 0), 2);
    ret!(k.send(a, b"!", libc::MSG_OOB), 1);
    ret!(k.send(a, b"cd", 0), 2);
    mask!(k, b, R | WB | PRI);
    let mut buf = [0; 8];
    // A read stops in front of the mark.
    ret!(k.recv(b, &mut buf, 0), 2);
    eq!(&buf[..2], b"ab");
    ret!(k.recv(b, &mut buf, libc::MSG_OOB), 1);
    eq!(buf[0], b'!');
    mask!(k, b, R | WB);
    eq!(k.recv_now(b)?, b"cd");
    Ok(())
}

fn oob_inline(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(b, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1), 0);
    ret!(k.send(a, b"ab!", libc::MSG_OOB), 3);
    err!(k.recv(b, &mut [0; 4], libc::MSG_OOB), EINVAL);
    let mut buf = [0; 8];
    ret!(k.recv(b, &mut buf, 0), 2);
    ret!(k.recv(b, &mut buf, 0), 1);
    eq!(buf[0], b'!');
    Ok(())
}

fn fresh_masks(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    mask!(k, fd, WB | POLLHUP);
    ret!(k.bind(fd, &Addr::fresh_abstract("mask")), 0);
    mask!(k, fd, WB | POLLHUP);
    Ok(())
}

fn blocked_reader_wakes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.recv(b, &mut [0; 8], 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "recv returned with nothing there");
    ret!(k.send(a, b"wake", 0), 4);
    ret!(blocked.join().unwrap_or(-1), 4);
    Ok(())
}

fn blocked_writer_wakes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let sent = k.fill(a, 4096)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.send(a, &[1; 5000], 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "send returned with a full buffer");
    let mut got = 0;
    while got < sent + 5000 {
        got += k.drain(b)?;
        k.pause(std::time::Duration::from_millis(1));
    }
    ret!(blocked.join().unwrap_or(-1), 5000);
    Ok(())
}

fn receive_timeout(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let timeout = [0i64.to_ne_bytes(), 20_000i64.to_ne_bytes()].concat();
    ret!(
        k.setsockopt(b, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout),
        0
    );
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    // MSG_WAITALL gives what came until then.
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.recv(b, &mut [0; 8], libc::MSG_WAITALL), 3);
    ret!(
        k.setsockopt(a, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &timeout),
        0
    );
    k.fill(a, 4096)?;
    err!(k.send(a, &[0; 4096], 0), EAGAIN);
    Ok(())
}

fn waitall_blocks_until_all(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    ret!(k.send(a, b"ab", 0), 2);
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.recv(b, &mut [0; 6], libc::MSG_WAITALL)
    });
    k.pause(std::time::Duration::from_millis(20));
    ret!(k.send(a, b"cd", 0), 2);
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "recv returned with a part");
    ret!(k.send(a, b"efgh", 0), 4);
    ret!(blocked.join().unwrap_or(-1), 6);
    eq!(k.recv_now(b)?, b"gh");
    Ok(())
}

fn large_transfer_in_order(k: &mut dyn Kernel) -> Outcome {
    const TOTAL: usize = 3_000_000;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let data: Vec<u8> = (0..TOTAL).map(|i| (i / 251 + i) as u8).collect();
    let want = data.clone();
    let sender = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.send(a, &data, 0)
    });
    let mut got = Vec::new();
    while got.len() < TOTAL {
        let mut buf = vec![0; 40_000];
        let n = ok!(k.recv(b, &mut buf, 0)) as usize;
        got.extend_from_slice(&buf[..n]);
    }
    ret!(sender.join().unwrap_or(-1), TOTAL);
    check!(got == want, "the bytes differ");
    Ok(())
}

fn msg_more_and_eor_are_ignored(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"x", libc::MSG_MORE), 1);
    mask!(k, b, R | WB);
    let mut msg = Msg::of(&[b"y"]);
    ret!(k.sendmsg(a, &mut msg, libc::MSG_EOR), 1);
    let mut msg = Msg::room(&[8]);
    ret!(k.recvmsg(b, &mut msg, 0), 2);
    eq!(msg.flags(), 0);
    Ok(())
}
