//! TCP: sending and receiving.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, W};
use libc::{AF_INET, AF_INET6, IPPROTO_TCP, MSG_NOSIGNAL, SOL_SOCKET};

tests! {
    both_ways_both_families,
    no_boundaries,
    pieces,
    peek,
    peek_beyond_one_send,
    trunc_discards,
    empty_send,
    empty_receive,
    fresh_socket,
    fresh_socket_sigpipe [SIGPIPE],
    bound_socket,
    address_on_send_is_ignored,
    no_address_on_receive,
    unknown_flags,
    more_holds_back,
    cork_holds_back,
    nodelay_sends_small,
    full_send_buffer,
    writable_again,
    partial_send_nonblocking,
    send_faults,
    send_faults_after_some,
    receive_faults_keep_data,
    receive_fault_after_some,
    kernel_space_pointers,
    vectors,
    control_is_empty,
    fionread_counts,
    outq_counts,
    outq_of_listener,
    error_queue_is_empty,
    readv_and_writev,
    data_before_accept,
    two_readers_share,
    defer_accept_hides_empty_connection,
}

fn both_ways_both_families(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        ret!(k.send(t.client, b"question", 0), 8);
        eq!(k.recv_now(t.server)?, b"question");
        ret!(k.send(t.server, b"answer", 0), 6);
        eq!(k.recv_now(t.client)?, b"answer");
    }
    Ok(())
}

fn no_boundaries(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_NODELAY, 1), 0);
    for part in [&b"one"[..], b"two", b"three"] {
        ret!(k.send(t.client, part, 0), part.len());
    }
    k.wait_sent(t.client)?;
    eq!(k.recv_now(t.server)?, b"onetwothree");
    Ok(())
}

fn pieces(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"abcdef", 0), 6);
    mask!(k, t.server, R | W);
    let mut buf = [0; 4];
    ret!(k.recv(t.server, &mut buf, 0), 4);
    ret!(k.recv(t.server, &mut buf, 0), 2);
    err!(k.recv(t.server, &mut buf, 0), EAGAIN);
    mask!(k, t.server, W);
    Ok(())
}

fn peek(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    err!(k.recv(t.server, &mut [0; 4], libc::MSG_PEEK), EAGAIN);
    ret!(k.send(t.client, b"abc", 0), 3);
    mask!(k, t.server, R | W);
    let mut buf = [0; 2];
    for _ in 0..3 {
        ret!(k.recv(t.server, &mut buf, libc::MSG_PEEK), 2);
        eq!(&buf, b"ab");
    }
    eq!(k.recv_now(t.server)?, b"abc");
    Ok(())
}

fn peek_beyond_one_send(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_NODELAY, 1), 0);
    ret!(k.send(t.client, b"one", 0), 3);
    ret!(k.send(t.client, b"two", 0), 3);
    k.wait_sent(t.client)?;
    ret!(k.recv(t.server, &mut [0; 16], libc::MSG_PEEK), 6);
    eq!(k.recv_now(t.server)?, b"onetwo");
    Ok(())
}

fn trunc_discards(k: &mut dyn Kernel) -> Outcome {
    // tcp(7): MSG_TRUNC takes bytes without copying them.
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"abcdef", 0), 6);
    mask!(k, t.server, R | W);
    let mut buf = *b"....";
    ret!(k.recv(t.server, &mut buf, libc::MSG_TRUNC), 4);
    eq!(&buf, b"....");
    ret!(k.recv_raw(t.server, 0, 1, libc::MSG_TRUNC), 1);
    eq!(k.recv_now(t.server)?, b"f");
    Ok(())
}

fn empty_send(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"", 0), 0);
    ret!(k.write(t.client, b""), 0);
    mask!(k, t.server, W);
    Ok(())
}

fn empty_receive(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    // recv of nothing waits for something, read of nothing does not ask the socket.
    err!(k.recv(t.server, &mut [], 0), EAGAIN);
    ret!(k.read(t.server, &mut []), 0);
    ret!(k.send(t.client, b"x", 0), 1);
    mask!(k, t.server, R | W);
    ret!(k.recv(t.server, &mut [], 0), 0);
    eq!(k.recv_now(t.server)?, b"x");
    Ok(())
}

fn fresh_socket(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = k.tcp_socket(family, NB)?;
        err!(k.recv(fd, &mut [0; 4], 0), ENOTCONN);
        err!(k.read(fd, &mut [0; 4]), ENOTCONN);
        // A send on what was never connected is a broken pipe.
        err!(k.send(fd, b"x", MSG_NOSIGNAL), EPIPE);
        err!(k.send(fd, b"", MSG_NOSIGNAL), EPIPE);
        err!(
            k.sendto(fd, b"x", MSG_NOSIGNAL, &Addr::lo(family, 9)),
            EPIPE
        );
    }
    Ok(())
}

fn fresh_socket_sigpipe(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, NB)?;
    k.take_sigpipe();
    err!(k.send(fd, b"x", 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    err!(k.write(fd, b"x"), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    err!(k.send(fd, b"x", MSG_NOSIGNAL), EPIPE);
    eq!(k.take_sigpipe(), Some(false));
    Ok(())
}

fn bound_socket(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    err!(k.recv(fd, &mut [0; 4], 0), ENOTCONN);
    err!(k.send(fd, b"x", MSG_NOSIGNAL), EPIPE);
    Ok(())
}

fn address_on_send_is_ignored(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(
        k.sendto(t.client, b"x", 0, &Addr::v4([203, 0, 113, 1], 9)),
        1
    );
    ret!(k.sendto(t.client, b"y", 0, &Addr::unix(b"nonsense")), 1);
    k.wait_sent(t.client)?;
    eq!(k.recv_now(t.server)?, b"xy");
    // It is copied in all the same.
    err!(
        k.sendto_raw(t.client, b"x".as_ptr() as u64, 1, 0, BAD, 16),
        EFAULT
    );
    Ok(())
}

fn no_address_on_receive(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"x", 0), 1);
    mask!(k, t.server, R | W);
    let mut buf = [0u8; 4];
    let mut storage = [0xaau8; 16];
    let mut len = 16u32;
    let at = buf.as_mut_ptr() as u64;
    let name = storage.as_mut_ptr() as u64;
    ret!(
        k.recvfrom_raw(t.server, at, 4, 0, name, &raw mut len as u64),
        1
    );
    eq!(len, 0);
    eq!(storage, [0xaa; 16]);
    Ok(())
}

fn unknown_flags(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for flag in [0x8, 0x10, 0x80, 0x200, 0x400, 0x800, 0x1000] {
        ret!(k.send(t.client, b"abc", flag), 3);
        k.wait_sent(t.client)?;
        ret!(k.recv(t.server, &mut [0; 8], flag & !0x200), 3);
    }
    Ok(())
}

fn more_holds_back(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"held", libc::MSG_MORE), 4);
    mask!(k, t.server, W);
    eq!(k.outq(t.client)?, 4);
    ret!(k.send(t.client, b" no more", 0), 8);
    eq!(k.recv_now(t.server)?, b"held no more");
    // The end of the stream pushes, too.
    ret!(k.send(t.client, b"last", libc::MSG_MORE), 4);
    ret!(k.shutdown(t.client, libc::SHUT_WR), 0);
    eq!(k.recv_now(t.server)?, b"last");
    Ok(())
}

fn cork_holds_back(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_CORK, 1), 0);
    ret!(k.send(t.client, b"a", 0), 1);
    ret!(k.send(t.client, b"b", 0), 1);
    mask!(k, t.server, W);
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_CORK, 0), 0);
    eq!(k.recv_now(t.server)?, b"ab");
    Ok(())
}

fn nodelay_sends_small(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_NODELAY, 1), 0);
    for i in 0..10u8 {
        ret!(k.send(t.client, &[i], 0), 1);
        mask!(k, t.server, R | W);
        eq!(k.recv_now(t.server)?, [i]);
    }
    Ok(())
}

fn full_send_buffer(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, SOL_SOCKET, libc::SO_SNDBUF, 20_000), 0);
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_RCVBUF, 20_000), 0);
    let sent = k.fill(t.client, 4096)?;
    check!(sent >= 20_000, "{sent}");
    mask!(k, t.client, 0);
    err!(k.send(t.client, b"x", 0), EAGAIN);
    mask!(k, t.server, R | W);
    Ok(())
}

fn writable_again(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let sent = k.fill(t.client, 65536)?;
    mask!(k, t.client, 0);
    let mut got = 0;
    for _ in 0..200 {
        got += k.drain(t.server)?;
        if got == sent {
            break;
        }
        k.pause(std::time::Duration::from_millis(2));
    }
    eq!(got, sent);
    mask!(k, t.client, W);
    Ok(())
}

fn partial_send_nonblocking(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let big = vec![3; 64 << 20];
    let sent = ok!(k.send(t.client, &big, 0));
    check!(sent > 0 && sent < big.len() as i64, "{sent}");
    Ok(())
}

fn send_faults(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    err!(k.send_raw(t.client, BAD, 4, 0), EFAULT);
    err!(k.send_raw(t.client, KERNEL_SPACE, 4, 0), EFAULT);
    let mut msg = Msg::of(&[b"ab", b"cd"]);
    msg.aim(0, BAD, 2);
    err!(k.sendmsg(t.client, &mut msg, 0), EFAULT);
    mask!(k, t.server, W);
    eq!(k.outq(t.client)?, 0);
    ret!(k.send_raw(t.client, BAD, 0, 0), 0);
    Ok(())
}

fn send_faults_after_some(k: &mut dyn Kernel) -> Outcome {
    // A fault inside one copy spoils that copy only: what fits one page fragment is all or nothing.
    let t = k.tcp(AF_INET)?;
    let edge = Edge::new();
    let at = edge.put(b"good");
    let got = k.send_raw(t.client, at, 8, 0);
    check!(got == -i64::from(libc::EFAULT) || got == 4, "{got}");
    err!(k.send_raw(t.client, at, 8, 0), EFAULT);
    mask!(k, t.server, W);
    // Large enough to need several copies, the part in front of the fault is sent.
    let mut msg = Msg::of(&[&[1; 200_000], b"bad"]);
    msg.aim(1, BAD, 3);
    let got = ok!(k.sendmsg(t.client, &mut msg, 0));
    check!(got > 0 && got <= 200_000, "{got}");
    Ok(())
}

fn receive_faults_keep_data(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    err!(k.recv_raw(t.server, BAD, 4, 0), EAGAIN);
    ret!(k.send(t.client, b"abcdef", 0), 6);
    mask!(k, t.server, R | W);
    err!(k.recv_raw(t.server, BAD, 6, 0), EFAULT);
    let edge = Edge::new();
    err!(k.recv_raw(t.server, edge.at(3), 6, 0), EFAULT);
    eq!(k.recv_now(t.server)?, b"abcdef");
    Ok(())
}

fn receive_fault_after_some(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"abcdef", 0), 6);
    mask!(k, t.server, R | W);
    let mut msg = Msg::room(&[3, 3]);
    msg.aim(1, BAD, 3);
    // One segment is one copy: nothing is taken when a part of it faults.
    err!(k.recvmsg(t.server, &mut msg, 0), EFAULT);
    eq!(k.recv_now(t.server)?, b"abcdef");
    Ok(())
}

fn kernel_space_pointers(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    err!(k.recv_raw(t.server, KERNEL_SPACE, 4, 0), EFAULT);
    Ok(())
}

fn vectors(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut msg = Msg::of(&[b"ab", b"", b"cde"]);
    ret!(k.sendmsg(t.client, &mut msg, 0), 5);
    mask!(k, t.server, R | W);
    let mut msg = Msg::room(&[2, 0, 10]).name_room(16).control_room(64);
    ret!(k.recvmsg(t.server, &mut msg, 0), 5);
    eq!(msg.data(5), b"abcde");
    eq!(
        (msg.flags(), msg.hdr.msg_namelen, msg.hdr.msg_controllen),
        (0, 0, 0)
    );
    Ok(())
}

fn control_is_empty(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    // Control messages of other families' levels are taken and mean nothing; broken ones are not.
    let mut msg = Msg::of(&[b"x"]).control(&crate::msg::cmsg(libc::IPPROTO_IPV6, 50, b"abcd"));
    ret!(k.sendmsg(t.client, &mut msg, 0), 1);
    let mut msg = Msg::of(&[b"x"]).control(&crate::msg::cmsg(SOL_SOCKET, 99, b"abcd"));
    err!(k.sendmsg(t.client, &mut msg, 0), EINVAL);
    Ok(())
}

fn fionread_counts(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    eq!(k.fionread(t.server)?, 0);
    ret!(k.send(t.client, b"abcdef", 0), 6);
    mask!(k, t.server, R | W);
    eq!(k.fionread(t.server)?, 6);
    ret!(k.recv(t.server, &mut [0; 2], 0), 2);
    eq!(k.fionread(t.server)?, 4);
    // The end of the stream is not counted.
    ret!(k.shutdown(t.client, libc::SHUT_WR), 0);
    mask!(k, t.server, R | W | libc::POLLRDHUP);
    eq!(k.fionread(t.server)?, 4);
    let fd = k.tcp_socket(AF_INET, NB)?;
    eq!(k.fionread(fd)?, 0);
    Ok(())
}

fn outq_counts(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    eq!(k.outq(t.client)?, 0);
    ret!(k.send(t.client, b"held", libc::MSG_MORE), 4);
    // Bytes, here, not memory.
    eq!(k.outq(t.client)?, 4);
    ret!(k.send(t.client, b"!", 0), 1);
    k.wait_sent(t.client)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    eq!(k.outq(fd)?, 0);
    Ok(())
}

fn outq_of_listener(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.tcp_listener(AF_INET, 1)?;
    let mut n = 0;
    err!(k.ioctl_int(fd, libc::FIONREAD, &mut n), EINVAL);
    err!(k.ioctl_int(fd, libc::TIOCOUTQ, &mut n), EINVAL);
    Ok(())
}

fn error_queue_is_empty(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"x", 0), 1);
    mask!(k, t.server, R | W);
    err!(k.recv(t.server, &mut [0; 4], libc::MSG_ERRQUEUE), EAGAIN);
    Ok(())
}

fn readv_and_writev(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut msg = Msg::of(&[b"ab", b"cde"]);
    let iov = msg.iov.as_mut_ptr() as u64;
    ret!(k.writev_raw(t.client, iov, 2), 5);
    mask!(k, t.server, R | W);
    let mut into = Msg::room(&[1, 8]);
    let iov = into.iov.as_mut_ptr() as u64;
    ret!(k.readv_raw(t.server, iov, 2), 5);
    eq!(into.data(5), b"abcde");
    ret!(k.writev_raw(t.client, iov, 0), 0);
    err!(k.writev_raw(t.client, iov, 1025), EINVAL);
    err!(k.writev_raw(t.client, BAD, 1), EFAULT);
    err!(k.readv_raw(t.client, BAD, 1), EFAULT);
    Ok(())
}

fn data_before_accept(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    ret!(k.send(c, b"early", 0), 5);
    let s = k.accept_now(listener)?;
    eq!(k.recv_now(s)?, b"early");
    Ok(())
}

fn two_readers_share(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let copy = ok!(k.dup(t.server));
    ret!(k.send(t.client, b"abcd", 0), 4);
    mask!(k, copy, R | W);
    ret!(k.recv(t.server, &mut [0; 2], 0), 2);
    eq!(k.recv_now(copy)?, b"cd");
    // The connection ends with the last of them.
    k.close(t.server);
    mask!(k, t.client, W);
    k.close(copy);
    mask!(k, t.client, R | W | libc::POLLRDHUP);
    Ok(())
}

fn defer_accept_hides_empty_connection(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    ret!(
        k.set_int(listener, IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 5),
        0
    );
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    // The client is connected, the listener waits for data.
    mask!(k, listener, 0);
    err!(k.accept(listener), EAGAIN);
    ret!(k.send(c, b"now", 0), 3);
    mask!(k, listener, R);
    let s = k.accept_now(listener)?;
    eq!(k.recv_now(s)?, b"now");
    Ok(())
}
