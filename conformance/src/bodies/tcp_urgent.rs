//! TCP: urgent data, as sockatmark(3), MSG_OOB and POLLPRI show it.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, PRI, R, W};
use libc::{AF_INET, MSG_OOB, SOL_SOCKET};

tests! {
    none_there,
    one_byte_out_of_band,
    ordinary_receive_loses_the_byte,
    last_byte_of_the_send_is_urgent,
    reading_stops_at_the_mark,
    mark_is_seen,
    taken_once,
    peek_urgent,
    second_replaces_first,
    inline_byte,
    inline_refuses_oob_receive,
    unread_urgent_is_skipped,
    mask_before_and_after,
    not_connected,
    fionread_stops_at_the_mark,
    urgent_after_end,
    inline_set_later,
    sigurg_needs_an_owner [SIGNALS],
    zero_length_receive,
}

const SIOCATMARK: u64 = 0x8905;

fn at_mark(k: &mut dyn Kernel, fd: Fd) -> Got<i32> {
    let mut value = -1;
    ret!(k.ioctl_int(fd, SIOCATMARK, &mut value), 0);
    Ok(value)
}

fn none_there(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    err!(k.recv(t.server, &mut [0; 4], MSG_OOB), EINVAL);
    ret!(k.send(t.client, b"plain", 0), 5);
    mask!(k, t.server, R | W);
    err!(k.recv(t.server, &mut [0; 4], MSG_OOB), EINVAL);
    eq!(at_mark(k, t.server)?, 0);
    Ok(())
}

fn one_byte_out_of_band(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    mask!(k, t.server, W | PRI);
    let mut buf = [0; 4];
    ret!(k.recv(t.server, &mut buf, MSG_OOB), 1);
    eq!(buf[0], b'!');
    mask!(k, t.server, W);
    Ok(())
}

fn ordinary_receive_loses_the_byte(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    mask!(k, t.server, W | PRI);
    // There is nothing for an ordinary receive, but it steps over the mark, and that is that.
    err!(k.recv(t.server, &mut [0; 4], 0), EAGAIN);
    err!(k.recv(t.server, &mut [0; 4], MSG_OOB), EINVAL);
    mask!(k, t.server, W);
    Ok(())
}

fn last_byte_of_the_send_is_urgent(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"abc!", MSG_OOB), 4);
    mask!(k, t.server, R | W | PRI);
    let mut buf = [0; 8];
    ret!(k.recv(t.server, &mut buf, 0), 3);
    eq!(&buf[..3], b"abc");
    ret!(k.recv(t.server, &mut buf, MSG_OOB), 1);
    eq!(buf[0], b'!');
    Ok(())
}

fn reading_stops_at_the_mark(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"ab", 0), 2);
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    ret!(k.send(t.client, b"cd", 0), 2);
    k.wait_sent(t.client)?;
    let mut buf = [0; 8];
    ret!(k.recv(t.server, &mut buf, 0), 2);
    eq!(&buf[..2], b"ab");
    // The urgent byte is left out of the stream.
    ret!(k.recv(t.server, &mut buf, 0), 2);
    eq!(&buf[..2], b"cd");
    Ok(())
}

fn mark_is_seen(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"ab!", MSG_OOB), 3);
    ret!(k.send(t.client, b"cd", 0), 2);
    k.wait_sent(t.client)?;
    eq!(at_mark(k, t.server)?, 0);
    ret!(k.recv(t.server, &mut [0; 2], 0), 2);
    eq!(at_mark(k, t.server)?, 1);
    ret!(k.recv(t.server, &mut [0; 4], MSG_OOB), 1);
    // Taking the byte does not move the mark, reading on does.
    eq!(at_mark(k, t.server)?, 1);
    ret!(k.recv(t.server, &mut [0; 4], 0), 2);
    eq!(at_mark(k, t.server)?, 0);
    Ok(())
}

fn taken_once(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    mask!(k, t.server, W | PRI);
    ret!(k.recv(t.server, &mut [0; 4], MSG_OOB), 1);
    err!(k.recv(t.server, &mut [0; 4], MSG_OOB), EINVAL);
    Ok(())
}

fn peek_urgent(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    mask!(k, t.server, W | PRI);
    for _ in 0..2 {
        ret!(k.recv(t.server, &mut [0; 4], MSG_OOB | libc::MSG_PEEK), 1);
    }
    mask!(k, t.server, W | PRI);
    ret!(k.recv(t.server, &mut [0; 4], MSG_OOB), 1);
    Ok(())
}

fn second_replaces_first(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"1", MSG_OOB), 1);
    mask!(k, t.server, W | PRI);
    ret!(k.send(t.client, b"2", MSG_OOB), 1);
    k.wait_sent(t.client)?;
    let mut buf = [0; 4];
    ret!(k.recv(t.server, &mut buf, MSG_OOB), 1);
    eq!(buf[0], b'2');
    // The first, no longer urgent, is an ordinary byte now: urgent data must be taken in time.
    let got = k.recv(t.server, &mut buf, 0);
    check!(got == 1 || got == -i64::from(libc::EAGAIN), "{got}");
    Ok(())
}

fn inline_byte(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_OOBINLINE, 1), 0);
    ret!(k.send(t.client, b"ab!", MSG_OOB), 3);
    ret!(k.send(t.client, b"cd", 0), 2);
    k.wait_sent(t.client)?;
    mask!(k, t.server, R | W | PRI);
    let mut buf = [0; 8];
    ret!(k.recv(t.server, &mut buf, 0), 2);
    eq!(at_mark(k, t.server)?, 1);
    ret!(k.recv(t.server, &mut buf, 0), 3);
    eq!(&buf[..3], b"!cd");
    Ok(())
}

fn inline_refuses_oob_receive(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_OOBINLINE, 1), 0);
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    mask!(k, t.server, R | W | PRI);
    err!(k.recv(t.server, &mut [0; 4], MSG_OOB), EINVAL);
    Ok(())
}

fn unread_urgent_is_skipped(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"a!", MSG_OOB), 2);
    ret!(k.send(t.client, b"b", 0), 1);
    k.wait_sent(t.client)?;
    let mut buf = [0; 8];
    ret!(k.recv(t.server, &mut buf, 0), 1);
    ret!(k.recv(t.server, &mut buf, 0), 1);
    eq!(buf[0], b'b');
    // Behind the mark it is lost.
    err!(k.recv(t.server, &mut buf, MSG_OOB), EINVAL);
    mask!(k, t.server, W);
    Ok(())
}

fn mask_before_and_after(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"ab!", MSG_OOB), 3);
    mask!(k, t.server, R | W | PRI);
    ret!(k.recv(t.server, &mut [0; 2], 0), 2);
    // Nothing but the urgent byte is left.
    mask!(k, t.server, W | PRI);
    ret!(k.send(t.client, b"c", 0), 1);
    mask!(k, t.server, R | W | PRI);
    ret!(k.recv(t.server, &mut [0; 4], MSG_OOB), 1);
    mask!(k, t.server, R | W);
    Ok(())
}

fn not_connected(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.send(fd, b"!", MSG_OOB | libc::MSG_NOSIGNAL), EPIPE);
    // Whether there is urgent data is asked before whether there is a connection.
    err!(k.recv(fd, &mut [0; 4], MSG_OOB), EINVAL);
    let (l, _) = k.tcp_listener(AF_INET, 1)?;
    err!(k.recv(l, &mut [0; 4], MSG_OOB), ENOTCONN);
    Ok(())
}

fn fionread_stops_at_the_mark(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"ab!", MSG_OOB), 3);
    ret!(k.send(t.client, b"cde", 0), 3);
    k.wait_sent(t.client)?;
    eq!(k.fionread(t.server)?, 2);
    ret!(k.recv(t.server, &mut [0; 2], 0), 2);
    // At the mark it is 0, until a receive has stepped over it.
    eq!(k.fionread(t.server)?, 0);
    ret!(k.recv(t.server, &mut [0; 1], 0), 1);
    eq!(k.fionread(t.server)?, 2);
    Ok(())
}

fn urgent_after_end(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    k.close(t.client);
    mask!(k, t.server, R | W | PRI | libc::POLLRDHUP);
    ret!(k.recv(t.server, &mut [0; 4], MSG_OOB), 1);
    ret!(k.recv(t.server, &mut [0; 4], 0), 0);
    Ok(())
}

fn inline_set_later(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"a!", MSG_OOB), 2);
    mask!(k, t.server, R | W | PRI);
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_OOBINLINE, 1), 0);
    let mut buf = [0; 8];
    ret!(k.recv(t.server, &mut buf, 0), 1);
    ret!(k.recv(t.server, &mut buf, 0), 1);
    eq!(buf[0], b'!');
    Ok(())
}

fn sigurg_needs_an_owner(k: &mut dyn Kernel) -> Outcome {
    // SIGURG is ignored by default, so all that can be asked for is the owner itself.
    let t = k.tcp(AF_INET)?;
    ret!(k.fcntl(t.server, libc::F_GETOWN, 0), 0);
    let pid = ok!(k.call(libc::SYS_getpid, &[]));
    ret!(k.fcntl(t.server, libc::F_SETOWN, pid), 0);
    ret!(k.fcntl(t.server, libc::F_GETOWN, 0), pid);
    let mut owner = 0;
    const SIOCGPGRP: u64 = 0x8904;
    ret!(k.ioctl_int(t.server, SIOCGPGRP, &mut owner), 0);
    eq!(i64::from(owner), pid);
    Ok(())
}

fn zero_length_receive(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"!", MSG_OOB), 1);
    mask!(k, t.server, W | PRI);
    let mut msg = crate::msg::Msg::room(&[0]);
    let got = k.recvmsg(t.server, &mut msg, MSG_OOB);
    // Without room the byte is taken and reported as cut off.
    eq!(got, 0);
    eq!(msg.flags(), MSG_OOB | libc::MSG_TRUNC);
    err!(k.recv(t.server, &mut [0; 4], MSG_OOB), EINVAL);
    Ok(())
}
