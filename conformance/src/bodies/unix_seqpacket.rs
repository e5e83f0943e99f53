//! AF_UNIX seqpacket sockets: connections with boundaries.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, WB};
use libc::{AF_UNIX, POLLERR, POLLHUP, POLLRDHUP, SOCK_SEQPACKET};

tests! {
    boundaries_are_kept,
    truncation,
    eor_is_not_reported,
    empty_message,
    not_connected,
    destination_is_ignored,
    peer_closed,
    peer_closed_with_unread_data,
    sigpipe [SIGPIPE],
    connect_and_accept,
    fresh_and_bound_masks,
    too_long,
    full,
    receive_fault_loses_the_message,
    fionread_is_the_first_message,
    no_oob,
    read_and_write,
    peek,
    end_of_file_nonblocking,
    listener_refuses_data,
}

fn boundaries_are_kept(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"one", 0), 3);
    ret!(k.send(a, b"three", 0), 5);
    eq!(k.recv_now(b)?, b"one");
    eq!(k.recv_now(b)?, b"three");
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn truncation(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    let mut msg = Msg::room(&[4]);
    ret!(k.recvmsg(b, &mut msg, 0), 4);
    eq!(msg.flags(), libc::MSG_TRUNC);
    ret!(k.send(a, b"abcdef", 0), 6);
    ret!(k.recv(b, &mut [0; 1], libc::MSG_TRUNC), 6);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn eor_is_not_reported(k: &mut dyn Kernel) -> Outcome {
    // POSIX ends each record with MSG_EOR; Linux accepts the flag and does not report it.
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    for flags in [0, libc::MSG_EOR] {
        ret!(k.send(a, b"rec", flags), 3);
        let mut msg = Msg::room(&[8]);
        ret!(k.recvmsg(b, &mut msg, 0), 3);
        eq!(msg.flags(), 0);
    }
    Ok(())
}

fn empty_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"", 0), 0);
    ret!(k.send(a, b"x", 0), 1);
    mask!(k, b, R | WB);
    // Like the end of file, but it is not.
    ret!(k.recv(b, &mut [0; 4], 0), 0);
    eq!(k.recv_now(b)?, b"x");
    Ok(())
}

fn not_connected(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_SEQPACKET | NB, 0));
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), ENOTCONN);
    err!(k.recv(fd, &mut [0; 4], 0), ENOTCONN);
    err!(
        k.sendto(fd, b"x", 0, &Addr::fresh_abstract("nobody")),
        ENOTCONN
    );
    Ok(())
}

fn destination_is_ignored(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.sendto(a, b"x", 0, &Addr::fresh_abstract("nobody")), 1);
    ret!(k.sendto(a, b"y", 0, &Addr::lo4(1)), 1);
    eq!(k.recv_now(b)?, b"x");
    eq!(k.recv_now(b)?, b"y");
    Ok(())
}

fn peer_closed(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(b, b"last", 0), 4);
    k.close(b);
    mask!(k, a, R | WB | POLLHUP | POLLRDHUP);
    eq!(k.recv_now(a)?, b"last");
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
    Ok(())
}

fn peer_closed_with_unread_data(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"unread", 0), 6);
    k.close(b);
    mask!(k, a, R | WB | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(a, &mut [0; 4], 0), ECONNRESET);
    ret!(k.recv(a, &mut [0; 4], 0), 0);
    Ok(())
}

fn sigpipe(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    k.close(b);
    k.take_sigpipe();
    // A sequenced connection breaks without the signal, though it says EPIPE.
    err!(k.send(a, b"x", 0), EPIPE);
    eq!(k.take_sigpipe(), Some(false));
    err!(k.write(a, b"x"), EPIPE);
    eq!(k.take_sigpipe(), Some(false));
    Ok(())
}

fn connect_and_accept(k: &mut dyn Kernel) -> Outcome {
    let (client, server, listener, addr) = k.unix_connected(SOCK_SEQPACKET)?;
    ret!(k.send(client, b"ab", 0), 2);
    ret!(k.send(client, b"c", 0), 1);
    eq!(k.recv_now(server)?, b"ab");
    eq!(k.recv_now(server)?, b"c");
    eq!(k.peername(client)?, addr);
    eq!(
        k.get_int(server, libc::SOL_SOCKET, libc::SO_TYPE)?,
        SOCK_SEQPACKET
    );
    mask!(k, listener, 0);
    Ok(())
}

fn fresh_and_bound_masks(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_SEQPACKET | NB, 0));
    // It is polled as a datagram socket, but one in the closed state hangs up.
    mask!(k, fd, WB | POLLHUP);
    ret!(k.bind(fd, &Addr::fresh_abstract("mask")), 0);
    mask!(k, fd, WB | POLLHUP);
    ret!(k.listen(fd, 1), 0);
    let listening = k.poll_mask(fd);
    check!(listening & crate::sys::IN == 0, "{listening:#x}");
    Ok(())
}

fn too_long(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    let sndbuf = k.get_int(a, libc::SOL_SOCKET, libc::SO_SNDBUF)? as usize;
    err!(k.send(a, &vec![0; sndbuf], 0), EMSGSIZE);
    Ok(())
}

fn full(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    let mut count = 0;
    while k.send(a, &[1; 1000], 0) == 1000 {
        count += 1;
    }
    check!(count > 10, "{count}");
    err!(k.send(a, &[1; 1000], 0), EAGAIN);
    mask!(k, a, 0);
    for _ in 0..count {
        ret!(k.recv(b, &mut [0; 2000], 0), 1000);
    }
    mask!(k, a, WB);
    Ok(())
}

fn receive_fault_loses_the_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"lost", 0), 4);
    ret!(k.send(a, b"next", 0), 4);
    err!(k.recv_raw(b, BAD, 4, 0), EFAULT);
    eq!(k.recv_now(b)?, b"next");
    Ok(())
}

fn fionread_is_the_first_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"defgh", 0), 5);
    // A sequenced socket counts all that is queued, as a stream does.
    eq!(k.fionread(b)?, 8);
    k.recv_now(b)?;
    eq!(k.fionread(b)?, 5);
    Ok(())
}

fn no_oob(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    err!(k.send(a, b"x", libc::MSG_OOB), EOPNOTSUPP);
    err!(k.recv(b, &mut [0; 4], libc::MSG_OOB), EOPNOTSUPP);
    Ok(())
}

fn read_and_write(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.write(a, b"abcdef"), 6);
    let mut buf = [0; 3];
    ret!(k.read(b, &mut buf), 3);
    // The rest of the message is gone.
    err!(k.read(b, &mut buf), EAGAIN);
    Ok(())
}

fn peek(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"d", 0), 1);
    ret!(k.recv(b, &mut [0; 8], libc::MSG_PEEK), 3);
    ret!(k.recv(b, &mut [0; 8], 0), 3);
    ret!(k.recv(b, &mut [0; 8], 0), 1);
    Ok(())
}

fn end_of_file_nonblocking(k: &mut dyn Kernel) -> Outcome {
    // The end of file is 0, where a datagram socket would say EAGAIN.
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    ret!(k.shutdown(a, libc::SHUT_WR), 0);
    ret!(k.recv(b, &mut [0; 4], 0), 0);
    ret!(k.recv(b, &mut [0; 4], libc::MSG_DONTWAIT), 0);
    Ok(())
}

fn listener_refuses_data(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.unix_listener(SOCK_SEQPACKET, 1)?;
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), ENOTCONN);
    err!(k.recv(fd, &mut [0; 4], 0), ENOTCONN);
    Ok(())
}
