//! AF_UNIX datagram sockets.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge};
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::{NB, sysctl};
use crate::sys::{R, WB};
use libc::{AF_UNIX, POLLERR, SOCK_DGRAM};

tests! {
    boundaries_are_kept,
    short_buffer_drops_the_rest,
    trunc_flag_returns_whole_length,
    peek_keeps_the_message,
    empty_message,
    empty_message_in_between,
    no_destination,
    destination_overrides_the_peer,
    connected_hears_only_its_peer,
    reconnecting_drops_what_is_queued,
    disconnect_with_unspec,
    disconnect_short_unspec,
    disconnected_peer_is_told_when_data_is_lost,
    peer_gone_is_refused_then_not_connected,
    socketpair_peer_gone,
    queue_limit,
    queue_full_masks,
    queue_limit_not_between_mutual_peers,
    too_long,
    as_long_as_the_buffer_allows,
    send_buffer_full,
    own_queue_survives_peer_close,
    fionread_is_the_first_message,
    counters,
    send_faults,
    receive_fault_loses_the_message,
    receive_vectors,
    truncation_over_vectors,
    fresh_masks,
    autobound_can_be_answered,
    no_oob,
    source_address_truncated,
    listen_and_accept_refused,
    waitall_means_nothing,
    blocked_sender_wakes [THREADS],
    blocked_receiver_wakes [THREADS],
    order_from_many_senders,
    sendto_itself_unconnected,
    connect_blocked_by_permission,
}

fn boundaries_are_kept(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for part in [&b"one"[..], b"twelve", b"3"] {
        ret!(k.send(a, part, 0), part.len());
    }
    eq!(k.recv_now(b)?, b"one");
    eq!(k.recv_now(b)?, b"twelve");
    eq!(k.recv_now(b)?, b"3");
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn short_buffer_drops_the_rest(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    ret!(k.send(a, b"next", 0), 4);
    let mut msg = Msg::room(&[2]);
    ret!(k.recvmsg(b, &mut msg, 0), 2);
    eq!(msg.flags(), libc::MSG_TRUNC);
    eq!(msg.data(2), b"ab");
    let mut msg = Msg::room(&[4]);
    ret!(k.recvmsg(b, &mut msg, 0), 4);
    eq!(msg.flags(), 0);
    eq!(msg.data(4), b"next");
    Ok(())
}

fn trunc_flag_returns_whole_length(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    ret!(k.recv(b, &mut [0; 2], libc::MSG_TRUNC | libc::MSG_PEEK), 6);
    let mut msg = Msg::room(&[2]);
    ret!(k.recvmsg(b, &mut msg, libc::MSG_TRUNC), 6);
    eq!(msg.flags(), libc::MSG_TRUNC);
    // A whole message sets nothing, though it was asked for.
    ret!(k.send(a, b"ab", 0), 2);
    let mut msg = Msg::room(&[2]);
    ret!(k.recvmsg(b, &mut msg, libc::MSG_TRUNC), 2);
    eq!(msg.flags(), 0);
    Ok(())
}

fn peek_keeps_the_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"def", 0), 3);
    let mut buf = [0; 8];
    ret!(k.recv(b, &mut buf, libc::MSG_PEEK), 3);
    ret!(k.recv(b, &mut buf[..1], libc::MSG_PEEK), 1);
    eq!(k.recv_now(b)?, b"abc");
    eq!(k.recv_now(b)?, b"def");
    Ok(())
}

fn empty_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"", 0), 0);
    mask!(k, b, R | WB);
    eq!(k.fionread(b)?, 0);
    ret!(k.recv(b, &mut [0; 4], 0), 0);
    mask!(k, b, WB);
    // A write of nothing is a message too: sockets have write_iter, which vfs_write calls with 0.
    ret!(k.write(a, b""), 0);
    mask!(k, b, R | WB);
    Ok(())
}

fn empty_message_in_between(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for part in [&b"a"[..], b"", b"b"] {
        k.send(a, part, 0);
    }
    for part in [&b"a"[..], b"", b"b"] {
        eq!(k.recv_now(b)?, part);
    }
    Ok(())
}

fn no_destination(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    err!(k.send(fd, b"x", 0), ENOTCONN);
    err!(k.write(fd, b"x"), ENOTCONN);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    err!(k.sendto(fd, b"x", 0, &Addr::lo4(1)), EINVAL);
    err!(k.sendto(fd, b"x", 0, &Addr::unix(b"")), EINVAL);
    Ok(())
}

fn destination_overrides_the_peer(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let (other, addr) = k.unix_bound(SOCK_DGRAM, "other")?;
    ret!(k.sendto(a, b"aside", 0, &addr), 5);
    eq!(k.recv_now(other)?, b"aside");
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    ret!(k.send(a, b"peer", 0), 4);
    eq!(k.recv_now(b)?, b"peer");
    Ok(())
}

fn connected_hears_only_its_peer(k: &mut dyn Kernel) -> Outcome {
    let (server, server_addr) = k.unix_bound(SOCK_DGRAM, "server")?;
    let (_friend, friend_addr) = k.unix_bound(SOCK_DGRAM, "friend")?;
    ret!(k.connect(server, &friend_addr), 0);
    let stranger = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    err!(k.sendto(stranger, b"x", 0, &server_addr), EPERM);
    err!(k.connect(stranger, &server_addr), EPERM);
    ret!(k.sendto(_friend, b"hello", 0, &server_addr), 5);
    eq!(k.recv_now(server)?, b"hello");
    Ok(())
}

fn reconnecting_drops_what_is_queued(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.unix_bound(SOCK_DGRAM, "a")?;
    let (b, b_addr) = k.unix_bound(SOCK_DGRAM, "b")?;
    let (_c, c_addr) = k.unix_bound(SOCK_DGRAM, "c")?;
    // From no peer to a peer nothing is lost.
    ret!(k.sendto(b, b"kept", 0, &a_addr), 4);
    ret!(k.connect(a, &b_addr), 0);
    eq!(k.recv_now(a)?, b"kept");
    // From one peer to another the queue is emptied.
    ret!(k.sendto(b, b"lost", 0, &a_addr), 4);
    ret!(k.connect(a, &c_addr), 0);
    err!(k.recv(a, &mut [0; 8], 0), EAGAIN);
    mask!(k, b, WB);
    Ok(())
}

fn disconnect_with_unspec(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.connect(a, &Addr::unspec()), 0);
    err!(k.send(a, b"x", 0), ENOTCONN);
    let mut storage = [0u8; 16];
    let mut len = 16u32;
    let at = storage.as_mut_ptr() as u64;
    err!(k.getpeername_raw(a, at, &raw mut len as u64), ENOTCONN);
    // The other still has its peer, and that one still hears: it is connected to nobody else.
    ret!(k.send(b, b"x", 0), 1);
    eq!(k.recv_now(a)?, b"x");
    ret!(k.connect(a, &Addr::unspec()), 0);
    Ok(())
}

fn disconnect_short_unspec(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    err!(k.connect(a, &Addr::unspec().cut(0)), EINVAL);
    err!(k.connect(a, &Addr::unspec().cut(1)), EINVAL);
    ret!(k.connect(a, &Addr::unspec().cut(2)), 0);
    Ok(())
}

fn disconnected_peer_is_told_when_data_is_lost(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(b, b"lost", 0), 4);
    ret!(k.connect(a, &Addr::unspec()), 0);
    err!(k.recv(a, &mut [0; 8], 0), EAGAIN);
    mask!(k, b, WB | POLLERR);
    eq!(k.so_error(b)?, libc::ECONNRESET);
    mask!(k, b, WB);
    Ok(())
}

fn peer_gone_is_refused_then_not_connected(k: &mut dyn Kernel) -> Outcome {
    let (server, addr) = k.unix_bound(SOCK_DGRAM, "gone")?;
    let c = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.connect(c, &addr), 0);
    k.close(server);
    mask!(k, c, WB);
    err!(k.send(c, b"x", 0), ECONNREFUSED);
    // The refusal took the peer away.
    err!(k.send(c, b"x", 0), ENOTCONN);
    Ok(())
}

fn socketpair_peer_gone(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(b, b"last", 0), 4);
    k.close(b);
    mask!(k, a, R | WB);
    eq!(k.recv_now(a)?, b"last");
    err!(k.recv(a, &mut [0; 4], 0), EAGAIN);
    err!(k.send(a, b"x", 0), ECONNREFUSED);
    err!(k.send(a, b"x", 0), ENOTCONN);
    Ok(())
}

fn qlen() -> i64 {
    sysctl("net/unix/max_dgram_qlen", 0).unwrap_or(10)
}

fn queue_limit(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let from = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    // One more than max_dgram_qlen.
    for _ in 0..=qlen() {
        ret!(k.sendto(from, b"x", 0, &addr), 1);
    }
    err!(k.sendto(from, b"x", 0, &addr), EAGAIN);
    err!(k.sendto(from, b"", 0, &addr), EAGAIN);
    eq!(k.recv_now(to)?, b"x");
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    Ok(())
}

fn queue_full_masks(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let loose = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    let connected = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.connect(connected, &addr), 0);
    for _ in 0..=qlen() {
        ret!(k.send(connected, b"x", 0), 1);
    }
    // Only who is connected to the full queue is told.
    mask!(k, connected, 0);
    mask!(k, loose, WB);
    mask!(k, to, R | WB);
    k.drain(to)?;
    mask!(k, connected, WB);
    Ok(())
}

fn queue_limit_not_between_mutual_peers(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut count = 0;
    while k.send(a, b"x", 0) == 1 {
        count += 1;
    }
    // Here the send buffer is the limit.
    check!(count > qlen() + 1, "{count}");
    mask!(k, a, 0);
    for _ in 0..count {
        ret!(k.recv(b, &mut [0; 4], 0), 1);
    }
    mask!(k, a, WB);
    Ok(())
}

fn too_long(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let sndbuf = k.get_int(a, libc::SOL_SOCKET, libc::SO_SNDBUF)? as usize;
    // sk_sndbuf - 32 is the limit.
    err!(k.send(a, &vec![0; sndbuf], 0), EMSGSIZE);
    err!(k.send(a, &vec![0; sndbuf - 31], 0), EMSGSIZE);
    mask!(k, b, WB);
    Ok(())
}

fn as_long_as_the_buffer_allows(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let data: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
    ret!(k.send(a, &data, 0), data.len());
    let mut buf = vec![0; data.len() + 1];
    ret!(k.recv(b, &mut buf, 0), data.len());
    check!(buf[..data.len()] == data[..], "the bytes differ");
    Ok(())
}

fn send_buffer_full(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut sent = 0;
    let chunk = vec![1; 30_000];
    while k.send(a, &chunk, 0) == 30_000 {
        sent += 1;
    }
    err!(k.send(a, &chunk, 0), EAGAIN);
    check!(sent >= 3, "{sent}");
    mask!(k, a, 0);
    for _ in 0..sent {
        ret!(k.recv(b, &mut vec![0; 30_000], 0), 30_000);
    }
    mask!(k, a, WB);
    Ok(())
}

fn own_queue_survives_peer_close(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"unread", 0), 6);
    // Closing with unread data: unlike a stream, the peer of a datagram socket is not told.
    k.close(b);
    mask!(k, a, WB);
    eq!(k.so_error(a)?, 0);
    Ok(())
}

fn fionread_is_the_first_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"defgh", 0), 5);
    eq!(k.fionread(b)?, 3);
    k.recv_now(b)?;
    eq!(k.fionread(b)?, 5);
    Ok(())
}

fn counters(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    eq!(k.outq(a)?, 0);
    ret!(k.send(a, b"abc", 0), 3);
    check!(k.outq(a)? > 3, "{}", k.outq(a)?);
    k.recv_now(b)?;
    eq!(k.outq(a)?, 0);
    Ok(())
}

fn send_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let edge = Edge::new();
    let at = edge.put(b"good");
    err!(k.send_raw(a, at, 5, 0), EFAULT);
    err!(k.send_raw(a, BAD, 1, 0), EFAULT);
    mask!(k, b, WB);
    eq!(k.outq(a)?, 0);
    err!(k.sendto_raw(a, at, 4, 0, BAD, 16), EFAULT);
    err!(k.sendto_raw(a, at, 4, 0, at, 129), EINVAL);
    // An address of no length is no address.
    ret!(k.sendto_raw(a, at, 4, 0, 0, 0), 4);
    Ok(())
}

fn receive_fault_loses_the_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"lost", 0), 4);
    ret!(k.send(a, b"next", 0), 4);
    err!(k.recv_raw(b, BAD, 4, 0), EFAULT);
    eq!(k.recv_now(b)?, b"next");
    // A peek loses nothing.
    ret!(k.send(a, b"kept", 0), 4);
    err!(k.recv_raw(b, BAD, 4, libc::MSG_PEEK), EFAULT);
    eq!(k.recv_now(b)?, b"kept");
    // Only as much as there is must be writable.
    let edge = Edge::new();
    ret!(k.send(a, b"four", 0), 4);
    ret!(k.recv_raw(b, edge.at(4), 100, 0), 4);
    Ok(())
}

fn receive_vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut msg = Msg::of(&[b"ab", b"cd", b"", b"e"]);
    ret!(k.sendmsg(a, &mut msg, 0), 5);
    let mut msg = Msg::room(&[1, 3, 9]);
    ret!(k.recvmsg(b, &mut msg, 0), 5);
    eq!(msg.data(5), b"abcde");
    Ok(())
}

fn truncation_over_vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    let mut msg = Msg::room(&[2, 2]);
    ret!(k.recvmsg(b, &mut msg, 0), 4);
    eq!(msg.flags(), libc::MSG_TRUNC);
    eq!(msg.data(4), b"abcd");
    Ok(())
}

fn fresh_masks(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    mask!(k, fd, WB);
    ret!(k.bind(fd, &Addr::fresh_abstract("mask")), 0);
    mask!(k, fd, WB);
    Ok(())
}

fn autobound_can_be_answered(k: &mut dyn Kernel) -> Outcome {
    let (server, addr) = k.unix_bound(SOCK_DGRAM, "server")?;
    let c = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.bind(c, &Addr::unix(b"")), 0);
    ret!(k.sendto(c, b"ask", 0, &addr), 3);
    let mut buf = [0; 8];
    let (n, from) = k.recvfrom(server, &mut buf, 0);
    eq!(n, 3);
    ret!(k.sendto(server, b"answer", 0, &from), 6);
    eq!(k.recv_now(c)?, b"answer");
    Ok(())
}

fn no_oob(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    err!(k.send(a, b"x", libc::MSG_OOB), EOPNOTSUPP);
    err!(k.recv(b, &mut [0; 4], libc::MSG_OOB), EOPNOTSUPP);
    Ok(())
}

fn source_address_truncated(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let (from, name) = k.unix_bound(SOCK_DGRAM, "from")?;
    for cap in [0u32, 2, 5] {
        ret!(k.sendto(from, b"x", 0, &addr), 1);
        let mut storage = [0xaau8; 128];
        let mut len = cap;
        let mut buf = [0u8; 4];
        let at = storage.as_mut_ptr() as u64;
        let got = k.recvfrom_raw(to, buf.as_mut_ptr() as u64, 4, 0, at, &raw mut len as u64);
        eq!(got, 1);
        eq!(len as usize, name.len());
        eq!(&storage[..cap as usize], &name.0[..cap as usize]);
        eq!(storage[cap as usize], 0xaa);
    }
    // A faulting address loses the message.
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let mut buf = [0u8; 4];
    let mut len = 16u32;
    let at = buf.as_mut_ptr() as u64;
    err!(
        k.recvfrom_raw(to, at, 4, 0, BAD, &raw mut len as u64),
        EFAULT
    );
    err!(k.recv(to, &mut [0; 4], 0), EAGAIN);
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let mut storage = [0u8; 128];
    err!(
        k.recvfrom_raw(to, at, 4, 0, storage.as_mut_ptr() as u64, BAD),
        EFAULT
    );
    let mut len = -1i32;
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let name = storage.as_mut_ptr() as u64;
    err!(
        k.recvfrom_raw(to, at, 4, 0, name, &raw mut len as u64),
        EINVAL
    );
    err!(k.recv(to, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn listen_and_accept_refused(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.unix_bound(SOCK_DGRAM, "dgram")?;
    err!(k.listen(fd, 1), EOPNOTSUPP);
    err!(k.accept(fd), EOPNOTSUPP);
    Ok(())
}

fn waitall_means_nothing(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.recv(b, &mut [0; 16], libc::MSG_WAITALL), 3);
    Ok(())
}

fn blocked_sender_wakes(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let from = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    for _ in 0..=qlen() {
        ret!(k.sendto(from, b"x", libc::MSG_DONTWAIT, &addr), 1);
    }
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.sendto(from, b"yy", 0, &addr)
    });
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "sendto returned with a full queue");
    k.recv_now(to)?;
    ret!(blocked.join().unwrap_or(-1), 2);
    Ok(())
}

fn blocked_receiver_wakes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.recv(b, &mut [0; 8], 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    ret!(k.send(a, b"wake", 0), 4);
    ret!(blocked.join().unwrap_or(-1), 4);
    Ok(())
}

fn order_from_many_senders(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    for i in 0..5u8 {
        let from = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
        ret!(k.sendto(from, &[i], 0, &addr), 1);
        k.close(from);
    }
    for i in 0..5u8 {
        eq!(k.recv_now(to)?, [i]);
    }
    Ok(())
}

fn sendto_itself_unconnected(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.unix_bound(SOCK_DGRAM, "me")?;
    // Its own queue has the limit of its buffer only.
    for _ in 0..qlen() + 5 {
        ret!(k.sendto(fd, b"x", 0, &addr), 1);
    }
    let mut buf = [0; 4];
    eq!(k.recvfrom(fd, &mut buf, 0), (1, addr));
    Ok(())
}

fn connect_blocked_by_permission(k: &mut dyn Kernel) -> Outcome {
    // One end of a pair has no name, so only a third bound socket can be asked for.
    let (server, addr) = k.unix_bound(SOCK_DGRAM, "server")?;
    let (client, client_addr) = k.unix_bound(SOCK_DGRAM, "client")?;
    ret!(k.connect(client, &addr), 0);
    ret!(k.connect(server, &client_addr), 0);
    ret!(k.send(server, b"both ways", 0), 9);
    eq!(k.recv_now(client)?, b"both ways");
    let third = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    err!(k.connect(third, &client_addr), EPERM);
    // After the server has let go, anyone may again.
    ret!(k.connect(client, &Addr::unspec()), 0);
    ret!(k.connect(third, &client_addr), 0);
    Ok(())
}
