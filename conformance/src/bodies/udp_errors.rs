//! UDP: ICMP errors, lengths, overflow, faults.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, WB};
use libc::{AF_INET, AF_INET6, POLLERR, SOCK_DGRAM, SOL_SOCKET};

tests! {
    destination_port_zero,
    destination_address_errors,
    longest_ipv4,
    longest_ipv6,
    too_long_for_the_send_buffer,
    refused_reaches_connected_sender,
    refused_on_receive,
    refused_masks_and_so_error,
    refused_is_not_for_unconnected,
    refused_ipv6,
    refused_other_destination_while_connected,
    receive_buffer_overflows_silently,
    more_then_too_long,
    no_oob,
    error_queue_is_empty,
    send_faults,
    receive_faults_lose_the_datagram,
    receive_address_lengths,
    sender_reset_by_receiver_close,
    shut_for_sending [SIGPIPE],
}

fn destination_port_zero(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        err!(k.sendto(fd, b"x", 0, &Addr::lo(family, 0)), EINVAL);
    }
    Ok(())
}

fn destination_address_errors(k: &mut dyn Kernel) -> Outcome {
    let v4 = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    err!(k.sendto(v4, b"x", 0, &Addr::lo4(9).cut(15)), EINVAL);
    err!(k.sendto(v4, b"x", 0, &Addr::lo4(9).cut(1)), EINVAL);
    err!(k.sendto(v4, b"x", 0, &Addr::lo6(9)), EAFNOSUPPORT);
    err!(
        k.sendto(v4, b"x", 0, &Addr::unix(b"/x").padded(16)),
        EAFNOSUPPORT
    );
    let v6 = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    err!(k.sendto(v6, b"x", 0, &Addr::lo6(9).cut(23)), EINVAL);
    err!(
        k.sendto(v6, b"x", 0, &Addr::lo6(9).with_family(libc::AF_UNIX)),
        EINVAL
    );
    let room = [0u8; 200];
    let (buf, at) = (b"x".as_ptr() as u64, room.as_ptr() as u64);
    err!(k.sendto_raw(v4, buf, 1, 0, at, 129), EINVAL);
    err!(k.sendto_raw(v4, buf, 1, 0, at, -1i64 as u64), EINVAL);
    Ok(())
}

fn longest_ipv4(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let data: Vec<u8> = (0..65507).map(|i| (i % 251) as u8).collect();
    ret!(k.send(a, &data, 0), 65507);
    let mut buf = vec![0; 70_000];
    ret!(k.recv(b, &mut buf, 0), 65507);
    check!(buf[..65507] == data[..], "the bytes differ");
    err!(k.send(a, &[0; 65508], 0), EMSGSIZE);
    err!(k.send(a, &[0; 70_000], 0), EMSGSIZE);
    Ok(())
}

fn longest_ipv6(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET6)?;
    ret!(k.send(a, &[7; 65527], 0), 65527);
    ret!(k.recv(b, &mut vec![0; 70_000], 0), 65527);
    err!(k.send(a, &[0; 65528], 0), EMSGSIZE);
    Ok(())
}

fn too_long_for_the_send_buffer(k: &mut dyn Kernel) -> Outcome {
    // SO_SNDBUF bounds what is in flight, not one datagram: that one is always taken.
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(a, SOL_SOCKET, libc::SO_SNDBUF, 0), 0);
    let small = k.get_int(a, SOL_SOCKET, libc::SO_SNDBUF)? as usize;
    let got = k.send(a, &vec![1; small + 1000], 0);
    check!(
        got == small as i64 + 1000 || got == -i64::from(libc::EAGAIN),
        "{got}"
    );
    if got > 0 {
        eq!(k.recv_now(b)?.len(), small + 1000);
    }
    Ok(())
}

fn refused_reaches_connected_sender(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, WB | POLLERR);
    // The next call is told, and does nothing else.
    err!(k.send(fd, b"x", 0), ECONNREFUSED);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, WB | POLLERR);
    Ok(())
}

fn refused_on_receive(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, WB | POLLERR);
    err!(k.recv(fd, &mut [0; 4], 0), ECONNREFUSED);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    mask!(k, fd, WB);
    Ok(())
}

fn refused_masks_and_so_error(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, WB | POLLERR);
    eq!(k.so_error(fd)?, libc::ECONNREFUSED);
    eq!(k.so_error(fd)?, 0);
    mask!(k, fd, WB);
    // An error waits behind a datagram that is there: the error comes first.
    let (peer, peer_addr) = k.udp(AF_INET)?;
    ret!(k.connect(fd, &peer_addr), 0);
    let name = k.sockname(fd)?;
    ret!(k.sendto(peer, b"data", 0, &name), 4);
    k.close(peer);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, R | WB | POLLERR);
    err!(k.recv(fd, &mut [0; 4], 0), ECONNREFUSED);
    eq!(k.recv_now(fd)?, b"data");
    Ok(())
}

fn refused_is_not_for_unconnected(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    k.pause(std::time::Duration::from_millis(5));
    mask!(k, fd, WB);
    eq!(k.so_error(fd)?, 0);
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    Ok(())
}

fn refused_ipv6(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET6, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, WB | POLLERR);
    err!(k.recv(fd, &mut [0; 4], 0), ECONNREFUSED);
    // And over IPv4 from an IPv6 socket.
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    ret!(k.connect(fd, &Addr::mapped([127, 0, 0, 1], addr.port())), 0);
    Ok(())
}

fn refused_other_destination_while_connected(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    // The answer names a flow that is not the connected one: the socket is not found for it.
    ret!(k.sendto(a, b"x", 0, &addr), 1);
    k.pause(std::time::Duration::from_millis(5));
    mask!(k, a, WB);
    mask!(k, b, WB);
    Ok(())
}

fn receive_buffer_overflows_silently(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_RCVBUF, 0), 0);
    let mut sent = 0;
    for _ in 0..100 {
        sent += ok!(k.send(a, &[1; 500], 0));
    }
    eq!(sent, 50_000);
    let mut received = 0;
    while k.recv(b, &mut [0; 600], 0) == 500 {
        received += 1;
    }
    check!((1..100).contains(&received), "{received} of 100");
    eq!(k.so_error(b)?, 0);
    Ok(())
}

fn more_then_too_long(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, &[1; 60_000], libc::MSG_MORE), 60_000);
    err!(k.send(a, &[1; 6_000], 0), EMSGSIZE);
    k.drain(b)?;
    Ok(())
}

fn no_oob(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        // Receiving has no check for it, and sending has one over IPv4 only.
        err!(k.recv(b, &mut [0; 4], libc::MSG_OOB), EAGAIN);
        if family == AF_INET {
            err!(k.send(a, b"x", libc::MSG_OOB), EOPNOTSUPP);
            mask!(k, b, WB);
        } else {
            ret!(k.send(a, b"x", libc::MSG_OOB), 1);
            eq!(k.recv_now(b)?, b"x");
        }
    }
    Ok(())
}

fn error_queue_is_empty(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.send(a, b"x", 0), 1);
        err!(k.recv(b, &mut [0; 4], libc::MSG_ERRQUEUE), EAGAIN);
        eq!(k.recv_now(b)?, b"x");
    }
    Ok(())
}

fn send_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let edge = Edge::new();
    let at = edge.put(b"good");
    err!(k.send_raw(a, at, 5, 0), EFAULT);
    err!(k.send_raw(a, BAD, 1, 0), EFAULT);
    err!(k.send_raw(a, KERNEL_SPACE, 1, 0), EFAULT);
    err!(k.sendto_raw(a, at, 4, 0, BAD, 16), EFAULT);
    let mut msg = Msg::of(&[b"ab", b"cd"]);
    msg.aim(1, BAD, 2);
    err!(k.sendmsg(a, &mut msg, 0), EFAULT);
    mask!(k, b, WB);
    ret!(k.send_raw(a, BAD, 0, 0), 0);
    eq!(k.recv_now(b)?, b"");
    Ok(())
}

fn receive_faults_lose_the_datagram(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, b"lost", 0), 4);
    ret!(k.send(a, b"next", 0), 4);
    err!(k.recv_raw(b, BAD, 4, 0), EFAULT);
    err!(k.recv_raw(b, BAD, 4, libc::MSG_PEEK), EFAULT);
    eq!(k.recv_now(b)?, b"next");
    err!(k.recv_raw(b, BAD, 4, 0), EAGAIN);
    err!(k.recv_raw(b, KERNEL_SPACE, 4, 0), EFAULT);
    Ok(())
}

fn receive_address_lengths(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET6)?;
    let (b, b_addr) = k.udp(AF_INET6)?;
    let mut buf = [0u8; 4];
    let at = buf.as_mut_ptr() as u64;
    for cap in [0u32, 1, 8, 27, 28, 100] {
        ret!(k.sendto(a, b"x", 0, &b_addr), 1);
        let mut storage = [0xaau8; 128];
        let mut len = cap;
        let name = storage.as_mut_ptr() as u64;
        ret!(k.recvfrom_raw(b, at, 4, 0, name, &raw mut len as u64), 1);
        eq!(len, 28);
        let n = (cap as usize).min(28);
        eq!(&storage[..n], &a_addr.0[..n]);
        eq!(storage[n], 0xaa);
    }
    let mut len = 28u32;
    ret!(k.sendto(a, b"x", 0, &b_addr), 1);
    err!(
        k.recvfrom_raw(b, at, 4, 0, BAD, &raw mut len as u64),
        EFAULT
    );
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn sender_reset_by_receiver_close(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    k.close(b);
    ret!(k.send(a, b"x", 0), 1);
    mask!(k, a, WB | POLLERR);
    err!(k.write(a, b"x"), ECONNREFUSED);
    Ok(())
}

/// sock_alloc_send_pskb() says EPIPE, and sends no signal.
fn shut_for_sending(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.shutdown(a, libc::SHUT_WR), 0);
        k.take_sigpipe();
        err!(k.send(a, b"x", 0), EPIPE);
        err!(k.write(a, b"x"), EPIPE);
        err!(k.send(a, b"x", libc::MSG_NOSIGNAL), EPIPE);
        let to = k.sockname(b)?;
        err!(k.sendto(a, b"x", 0, &to), EPIPE);
        eq!(k.take_sigpipe(), Some(false));
        mask!(k, b, WB);
        // One that is not connected is shut, too.
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        err!(k.shutdown(fd, libc::SHUT_WR), ENOTCONN);
        err!(k.sendto(fd, b"x", 0, &to), EPIPE);
        eq!(k.take_sigpipe(), Some(false));
    }
    Ok(())
}
