//! `sendmmsg` and `recvmmsg`.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::msg::{Batch, Msg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, WB};
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM};

tests! {
    send_and_receive_many,
    send_stops_at_a_fault,
    send_first_faults,
    send_stops_at_an_error,
    send_error_is_not_kept,
    send_none,
    send_more_than_the_limit,
    send_length_not_writable,
    send_over_stream,
    send_to_different_addresses,
    receive_what_is_there,
    receive_none_there,
    receive_first_faults,
    receive_later_fault,
    receive_waitforone,
    receive_zero,
    receive_timeout_values,
    receive_timeout_pointer,
    receive_timeout_expires_after_a_message [TIMEOUTS],
    receive_all_of_each [TIMEOUTS],
    receive_zero_timeout_takes_one,
    receive_addresses_and_flags,
    receive_error_after_some_is_kept,
    receive_stream_parts,
    bad_descriptors [EPOLL],
    peek_all_are_the_same,
    receive_blocks_for_all [THREADS],
    timeout_is_written_back,
}

fn batch_of(parts: &[&[u8]]) -> Batch {
    Batch::new(parts.iter().map(|part| Msg::of(&[part])).collect())
}

fn room(count: usize) -> Batch {
    Batch::new((0..count).map(|_| Msg::room(&[16])).collect())
}

fn send(k: &mut dyn Kernel, fd: Fd, batch: &mut Batch) -> i64 {
    let len = batch.len();
    k.sendmmsg_raw(fd, batch.ptr(), len, 0)
}

fn receive(k: &mut dyn Kernel, fd: Fd, batch: &mut Batch, flags: i32) -> i64 {
    let len = batch.len();
    k.recvmmsg_raw(fd, batch.ptr(), len, flags, 0)
}

fn pair(k: &mut dyn Kernel) -> Got<(Fd, Fd)> {
    k.pair(AF_UNIX, SOCK_DGRAM | NB)
}

fn send_and_receive_many(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let mut batch = batch_of(&[b"one", b"", b"three"]);
    ret!(send(k, a, &mut batch), 3);
    eq!(batch.lens(), vec![3, 0, 5]);
    let mut into = room(5);
    ret!(receive(k, b, &mut into, 0), 3);
    into.take_back();
    eq!(into.lens()[..3].to_vec(), vec![3, 0, 5]);
    eq!(into.msgs[0].data(3), b"one");
    eq!(into.msgs[2].data(5), b"three");
    // What was not filled was not touched.
    eq!(into.lens()[3], 0xdead);
    Ok(())
}

fn send_stops_at_a_fault(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    let mut batch = batch_of(&[b"one", b"two", b"three"]);
    batch.vec[1].msg_hdr.msg_iov = BAD as *mut libc::iovec;
    // What went before counts; the fault itself is not told.
    ret!(send(k, a, &mut batch), 1);
    eq!(batch.lens(), vec![3, 0xdead, 0xdead]);
    eq!(k.recv_now(b)?, b"one");
    mask!(k, b, WB);
    Ok(())
}

fn send_first_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    let mut batch = batch_of(&[b"one", b"two"]);
    batch.vec[0].msg_hdr.msg_iov = BAD as *mut libc::iovec;
    err!(send(k, a, &mut batch), EFAULT);
    for bad in [0, BAD, KERNEL_SPACE] {
        err!(k.sendmmsg_raw(a, bad, 2, 0), EFAULT);
    }
    mask!(k, b, WB);
    Ok(())
}

fn send_stops_at_an_error(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let (to, addr) = k.udp(AF_INET)?;
    let mut batch = Batch::new(vec![
        Msg::of(&[b"one"]).to(&addr),
        Msg::of(&[b"nowhere"]),
        Msg::of(&[b"two"]).to(&addr),
    ]);
    ret!(send(k, fd, &mut batch), 1);
    eq!(k.recv_now(to)?, b"one");
    mask!(k, to, WB);
    Ok(())
}

fn send_error_is_not_kept(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let (_to, addr) = k.udp(AF_INET)?;
    let mut batch = Batch::new(vec![Msg::of(&[b"one"]).to(&addr), Msg::of(&[b"nowhere"])]);
    ret!(send(k, fd, &mut batch), 1);
    // Sending again from the failed one tells its error; the socket keeps none.
    eq!(k.so_error(fd)?, 0);
    let mut rest = Batch::new(vec![Msg::of(&[b"nowhere"])]);
    err!(send(k, fd, &mut rest), EDESTADDRREQ);
    Ok(())
}

fn send_none(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = pair(k)?;
    ret!(k.sendmmsg_raw(a, BAD, 0, 0), 0);
    Ok(())
}

fn send_more_than_the_limit(k: &mut dyn Kernel) -> Outcome {
    // vlen is cut to UIO_MAXIOV, 1024.
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(a, libc::SOL_SOCKET, libc::SO_SNDBUF, 1 << 21), 0);
    let mut batch = Batch::new((0..1030).map(|_| Msg::of(&[b"z"])).collect());
    let got = ok!(send(k, a, &mut batch));
    check!(got <= 1024, "{got}");
    eq!(k.drain(b)? as i64, got);
    Ok(())
}

fn send_length_not_writable(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    let batch = batch_of(&[b"sent"]);
    let edge = Edge::new();
    let mut bytes = vec![0u8; 64];
    let iov = batch.vec[0].msg_hdr.msg_iov as u64;
    bytes[16..24].copy_from_slice(&iov.to_ne_bytes());
    bytes[24] = 1;
    let at = edge.put(&bytes);
    let _edge = edge.read_only();
    // The message went out, and then its length could not be written.
    err!(k.sendmmsg_raw(a, at, 1, 0), EFAULT);
    eq!(k.recv_now(b)?, b"sent");

    Ok(())
}

fn send_over_stream(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut batch = batch_of(&[b"one", b"two"]);
    ret!(send(k, t.client, &mut batch), 2);
    k.wait_sent(t.client)?;
    eq!(k.recv_now(t.server)?, b"onetwo");
    Ok(())
}

fn send_to_different_addresses(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    let (x, x_addr) = k.udp(AF_INET)?;
    let (y, y_addr) = k.udp(AF_INET)?;
    let mut batch = Batch::new(vec![
        Msg::of(&[b"to x"]).to(&x_addr),
        Msg::of(&[b"to y"]).to(&y_addr),
    ]);
    ret!(send(k, fd, &mut batch), 2);
    eq!(k.recv_now(x)?, b"to x");
    eq!(k.recv_now(y)?, b"to y");
    Ok(())
}

fn receive_what_is_there(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    for part in [&b"1"[..], b"22"] {
        k.send(a, part, 0);
    }
    let mut into = room(1);
    ret!(receive(k, b, &mut into, 0), 1);
    eq!(into.lens(), vec![1]);
    let mut into = room(4);
    ret!(receive(k, b, &mut into, 0), 1);
    eq!(into.lens()[0], 2);
    Ok(())
}

fn receive_none_there(k: &mut dyn Kernel) -> Outcome {
    let (_a, b) = pair(k)?;
    let mut into = room(4);
    err!(receive(k, b, &mut into, 0), EAGAIN);
    eq!(into.lens(), vec![0xdead; 4]);
    Ok(())
}

fn receive_first_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    k.send(a, b"x", 0);
    for bad in [0, BAD, KERNEL_SPACE] {
        err!(k.recvmmsg_raw(b, bad, 2, 0, 0), EFAULT);
    }
    eq!(k.recv_now(b)?, b"x");
    Ok(())
}

fn receive_later_fault(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    for part in [&b"one"[..], b"two", b"three"] {
        k.send(a, part, 0);
    }
    let mut into = room(3);
    into.vec[1].msg_hdr.msg_iov = BAD as *mut libc::iovec;
    ret!(receive(k, b, &mut into, 0), 1);
    // The fault is kept as the socket's error, and the next call is told.
    err!(k.recvmmsg_raw(b, into.ptr(), 1, 0, 0), EFAULT);
    eq!(k.recv_now(b)?, b"two");
    Ok(())
}

fn receive_waitforone(k: &mut dyn Kernel) -> Outcome {
    // Without O_NONBLOCK: after the first message MSG_DONTWAIT is set for the others.
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    k.send(a, b"x", 0);
    let mut into = room(4);
    ret!(receive(k, b, &mut into, libc::MSG_WAITFORONE), 1);
    Ok(())
}

fn receive_zero(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    k.send(a, b"x", 0);
    ret!(k.recvmmsg_raw(b, BAD, 0, 0, 0), 0);
    eq!(k.recv_now(b)?, b"x");
    Ok(())
}

fn timespec(seconds: i64, nanos: i64) -> [i64; 2] {
    [seconds, nanos]
}

fn receive_timeout_values(k: &mut dyn Kernel) -> Outcome {
    let (_a, b) = pair(k)?;
    let mut into = room(1);
    for bad in [timespec(-1, 0), timespec(0, -1), timespec(0, 1_000_000_000)] {
        err!(
            k.recvmmsg_raw(b, into.ptr(), 1, 0, bad.as_ptr() as u64),
            EINVAL
        );
    }
    // The timeout is looked at before the descriptor.
    let bad = timespec(-1, 0);
    err!(
        k.recvmmsg_raw(-1, into.ptr(), 1, 0, bad.as_ptr() as u64),
        EINVAL
    );
    let good = timespec(0, 0);
    err!(
        k.recvmmsg_raw(-1, into.ptr(), 1, 0, good.as_ptr() as u64),
        EBADF
    );
    Ok(())
}

fn receive_timeout_pointer(k: &mut dyn Kernel) -> Outcome {
    let (_a, b) = pair(k)?;
    let mut into = room(1);
    err!(k.recvmmsg_raw(b, into.ptr(), 1, 0, BAD), EFAULT);
    err!(k.recvmmsg_raw(b, into.ptr(), 1, 0, KERNEL_SPACE), EFAULT);
    Ok(())
}

fn receive_timeout_expires_after_a_message(k: &mut dyn Kernel) -> Outcome {
    // The timeout is looked at only after a message: nothing there would block for ever. With
    // SO_RCVTIMEO the wait ends.
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    let short = [0i64.to_ne_bytes(), 20_000i64.to_ne_bytes()].concat();
    ret!(
        k.setsockopt(b, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &short),
        0
    );
    k.send(a, b"x", 0);
    let mut into = room(3);
    let timeout = timespec(5, 0);
    ret!(
        k.recvmmsg_raw(b, into.ptr(), 3, 0, timeout.as_ptr() as u64),
        1
    );
    err!(
        k.recvmmsg_raw(b, into.ptr(), 3, 0, timeout.as_ptr() as u64),
        EAGAIN
    );
    Ok(())
}

fn receive_all_of_each(k: &mut dyn Kernel) -> Outcome {
    for stream in [AF_INET, AF_UNIX] {
        let (a, b) = match stream {
            AF_INET => {
                let t = k.tcp(AF_INET)?;
                (t.client, t.server)
            }
            _ => k.pair(AF_UNIX, libc::SOCK_STREAM)?,
        };
        k.fcntl(b, libc::F_SETFL, 0);
        let short = [0i64.to_ne_bytes(), 60_000i64.to_ne_bytes()].concat();
        let got = k.setsockopt(b, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &short);
        ret!(got, 0);
        ret!(k.send(a, b"hello", 0), 5);
        // It waits for the rest of the first, and as long for the second.
        let mut into = room(3);
        ret!(receive(k, b, &mut into, libc::MSG_WAITALL), 1);
        eq!(into.lens()[..2].to_vec(), vec![5, 0xdead]);
        // What a call that is given up has taken is not lost.
        err!(receive(k, b, &mut into, libc::MSG_WAITALL), EAGAIN);
        ret!(k.send(a, &[7; 40], 0), 40);
        ret!(receive(k, b, &mut into, libc::MSG_WAITALL), 3);
        eq!(into.lens(), vec![16, 16, 8]);
    }
    Ok(())
}

fn receive_zero_timeout_takes_one(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    for _ in 0..3 {
        k.send(a, b"x", 0);
    }
    let mut into = room(3);
    let timeout = timespec(0, 0);
    // It has passed as soon as the first is there.
    ret!(
        k.recvmmsg_raw(b, into.ptr(), 3, 0, timeout.as_ptr() as u64),
        1
    );
    Ok(())
}

fn receive_addresses_and_flags(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET)?;
    let (x, x_addr) = k.udp(AF_INET)?;
    let (y, y_addr) = k.udp(AF_INET)?;
    ret!(k.sendto(x, b"long message", 0, &addr), 12);
    ret!(k.sendto(y, b"y", 0, &addr), 1);
    let mut into = Batch::new(vec![
        Msg::room(&[4]).name_room(16),
        Msg::room(&[4]).name_room(16),
        Msg::room(&[4]).name_room(16),
    ]);
    ret!(receive(k, to, &mut into, 0), 2);
    into.take_back();
    eq!(into.msgs[0].peer(), x_addr);
    eq!(into.msgs[1].peer(), y_addr);
    eq!(into.msgs[0].flags(), libc::MSG_TRUNC);
    eq!(into.msgs[1].flags(), 0);
    eq!(into.lens()[..2].to_vec(), vec![4, 1]);
    Ok(())
}

fn receive_error_after_some_is_kept(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    k.send(a, b"x", 0);
    let mut into = room(2);
    into.vec[1].msg_hdr.msg_iovlen = 5000;
    ret!(receive(k, b, &mut into, 0), 1);
    // Not EAGAIN: it waits as the socket's error, and POLLERR shows it.
    mask!(k, b, WB | libc::POLLERR);
    eq!(k.so_error(b)?, libc::EMSGSIZE);
    mask!(k, b, WB);
    Ok(())
}

fn receive_stream_parts(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    k.send(a, &[7; 40], 0);
    let mut into = room(4);
    ret!(receive(k, b, &mut into, 0), 3);
    eq!(into.lens(), vec![16, 16, 8, 0xdead]);
    // The end of a stream fills every message with nothing.
    k.close(a);
    let mut into = room(3);
    ret!(receive(k, b, &mut into, 0), 3);
    eq!(into.lens(), vec![0, 0, 0]);
    Ok(())
}

fn bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.sendmmsg_raw(-1, BAD, 1, 0), EBADF);
    err!(k.sendmmsg_raw(r, BAD, 1, 0), ENOTSOCK);
    err!(k.recvmmsg_raw(-1, BAD, 1, 0, 0), EBADF);
    err!(k.recvmmsg_raw(r, BAD, 1, 0, 0), ENOTSOCK);
    Ok(())
}

fn peek_all_are_the_same(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    k.send(a, b"one", 0);
    k.send(a, b"two!", 0);
    let mut into = room(3);
    ret!(receive(k, b, &mut into, libc::MSG_PEEK), 3);
    eq!(into.lens(), vec![3, 3, 3]);
    mask!(k, b, R | WB);
    Ok(())
}

fn receive_blocks_for_all(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    k.send(a, b"1", 0);
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        let mut into = room(2);
        receive(other, b, &mut into, 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "recvmmsg returned with one of two");
    k.send(a, b"2", 0);
    ret!(blocked.join().unwrap_or(-1), 2);
    Ok(())
}

fn timeout_is_written_back(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    k.send(a, b"x", 0);
    let mut into = room(1);
    let mut timeout = timespec(10, 0);
    ret!(
        k.recvmmsg_raw(b, into.ptr(), 1, 0, timeout.as_mut_ptr() as u64),
        1
    );
    // What is left of it.
    check!(timeout[0] <= 10 && timeout[0] >= 5, "{timeout:?}");
    // When nothing came it is left alone.
    let mut timeout = timespec(10, 0);
    err!(
        k.recvmmsg_raw(b, into.ptr(), 1, 0, timeout.as_mut_ptr() as u64),
        EAGAIN
    );
    eq!(timeout, [10, 0]);

    Ok(())
}
