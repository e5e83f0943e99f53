//! What lockstep found about datagram sockets: what is held back by MSG_MORE, and the order in which ping sockets look.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret, skip};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::{Batch, Msg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{AF_INET, AF_INET6, AF_UNIX, MSG_MORE, SO_PEEK_OFF, SOCK_DGRAM, SOL_SOCKET};

tests! {
    held_back_is_unsent,
    held_back_takes_the_send_buffer,
    what_is_joined_is_not_looked_at,
    connecting_turns_what_is_held_back,
    a_held_back_destination_stays,
    families_do_not_join,
    a_full_raw_socket_is_no_listener [ROOT],
    a_batch_behind_what_is_held_back,
    a_fault_drops_what_is_held_back,
    raw_names_and_empty_packets [ROOT],
    ping_type_comes_first,
    ping_does_not_tell_the_length,
    ping_has_options_of_its_own,
    peeks_of_one_call_move_by_what_they_show,
    a_fault_leaves_stamp_and_offset,
}

/// A bound receiver and a sender that is connected to it.
fn to_one(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Fd, Addr)> {
    let (to, addr) = k.udp(family)?;
    let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &addr), 0);
    Ok((fd, to, addr))
}

/// SIOCOUTQ counts memory: of the first send by the buffer, of the others by the byte.
fn held_back_is_unsent(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        for (first, more, want) in [
            (0, 0, 832),
            (100, 0, 832),
            (100, 1500, 2332),
            (1000, 0, 2304),
        ] {
            let (fd, to, _) = to_one(k, family)?;
            ret!(k.send(fd, &vec![1; first], MSG_MORE), first);
            ret!(k.send(fd, &vec![2; more], MSG_MORE), more);
            eq!(k.outq(fd)?, want);
            ret!(k.send(fd, b"", 0), 0);
            eq!(k.recv_now(to)?.len(), first + more);
            eq!(k.outq(fd)?, 0);
        }
    }
    Ok(())
}

fn held_back_takes_the_send_buffer(k: &mut dyn Kernel) -> Outcome {
    let (fd, to, _) = to_one(k, AF_INET)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, 0), 0);
    eq!(k.poll_mask(fd), W | WB);
    ret!(k.send(fd, &[1; 1000], MSG_MORE), 1000);
    // Half of 4608 is taken.
    mask!(k, fd, 0);
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, W | WB);
    eq!(k.recv_now(to)?.len(), 1001);
    Ok(())
}

/// do_append_data: neither control messages, nor a pending error, nor a shutdown.
fn what_is_joined_is_not_looked_at(k: &mut dyn Kernel) -> Outcome {
    let (fd, to, _) = to_one(k, AF_INET)?;
    ret!(k.send(fd, b"ab", MSG_MORE), 2);
    let wrong = crate::msg::cmsg(libc::IPPROTO_IP, libc::IP_TTL, &[1]);
    let mut msg = crate::msg::Msg::of(&[b"cd"]).control(&wrong);
    ret!(k.sendmsg(fd, &mut msg, MSG_MORE), 2);
    ret!(k.shutdown(fd, libc::SHUT_WR), 0);
    ret!(k.send(fd, b"ef", 0), 2);
    eq!(k.recv_now(to)?, b"abcdef");
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), EPIPE);
    Ok(())
}

/// connect(2) writes its destination where the one of the datagram is (inet->cork.fl).
fn connecting_turns_what_is_held_back(k: &mut dyn Kernel) -> Outcome {
    let (fd, first, _) = to_one(k, AF_INET)?;
    let (second, addr) = k.udp(AF_INET)?;
    ret!(k.send(fd, b"ab", MSG_MORE), 2);
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"c", 0), 1);
    eq!(k.recv_now(second)?, b"abc");
    err!(k.recv(first, &mut [0; 8], 0), EAGAIN);
    Ok(())
}

/// And a datagram that is held back leaves its destination there: a connected socket sends to it from then on.
fn a_held_back_destination_stays(k: &mut dyn Kernel) -> Outcome {
    let (fd, peer, peer_addr) = to_one(k, AF_INET)?;
    let (other, addr) = k.udp(AF_INET)?;
    ret!(k.sendto(fd, b"ab", MSG_MORE, &addr), 2);
    ret!(k.send(fd, b"c", 0), 1);
    eq!(k.recv_now(other)?, b"abc");
    ret!(k.send(fd, b"astray", 0), 6);
    eq!(k.recv_now(other)?, b"astray");
    eq!(k.peername(fd)?, peer_addr.clone());
    ret!(k.connect(fd, &peer_addr), 0);
    ret!(k.send(fd, b"home", 0), 4);
    eq!(k.recv_now(peer)?, b"home");
    err!(k.recv(other, &mut [0; 8], 0), EAGAIN);
    // Not over IPv6.
    let (fd, peer, _) = to_one(k, AF_INET6)?;
    let (other, addr) = k.udp(AF_INET6)?;
    ret!(k.sendto(fd, b"ab", MSG_MORE, &addr), 2);
    ret!(k.send(fd, b"c", 0), 1);
    eq!(k.recv_now(other)?, b"abc");
    ret!(k.send(fd, b"home", 0), 4);
    eq!(k.recv_now(peer)?, b"home");
    Ok(())
}

fn families_do_not_join(k: &mut dyn Kernel) -> Outcome {
    let (fd, to, _) = to_one(k, AF_INET6)?;
    let (_, v4) = k.udp(AF_INET)?;
    ret!(k.send(fd, b"ab", MSG_MORE), 2);
    err!(k.sendto(fd, b"cd", 0, &v4), EINVAL);
    ret!(k.send(fd, b"ef", 0), 2);
    eq!(k.recv_now(to)?, b"abef");
    Ok(())
}

fn ping(k: &mut dyn Kernel, family: i32) -> Got<Fd> {
    let protocol = match family {
        AF_INET => libc::IPPROTO_ICMP,
        _ => libc::IPPROTO_ICMPV6,
    };
    match k.socket(family, SOCK_DGRAM | NB, protocol) {
        fd if fd >= 0 => Ok(fd),
        _ => skip!("net.ipv4.ping_group_range allows no ping sockets"),
    }
}

fn echo(family: i32) -> [u8; 9] {
    let kind = if family == AF_INET { 8 } else { 128 };
    [kind, 0, 0, 0, 0, 0, 0, 1, b'x']
}

/// ping_common_sendmsg() looks at length, flags and type before it looks where to.
fn ping_type_comes_first(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        let wrong = [97; 9];
        err!(k.send(fd, &wrong[..7], 0), EINVAL);
        err!(k.send(fd, &wrong, libc::MSG_OOB), EOPNOTSUPP);
        err!(k.send_raw(fd, BAD, 9, 0), EFAULT);
        err!(k.send(fd, &wrong, 0), EINVAL);
        err!(k.send(fd, &echo(family), 0), EDESTADDRREQ);
        let other = if family == AF_INET { AF_INET6 } else { AF_INET };
        err!(k.sendto(fd, &wrong, 0, &Addr::lo(other, 1)), EINVAL);
        err!(k.shutdown(fd, libc::SHUT_WR), ENOTCONN);
        ret!(k.connect(fd, &Addr::lo(family, 0)), 0);
        err!(k.send(fd, &wrong, libc::MSG_NOSIGNAL), EINVAL);
        err!(k.send(fd, &echo(family), libc::MSG_NOSIGNAL), EPIPE);
        // ip6_datagram_connect_v6_only() looks at the family, and only then at the length.
        let short = k.connect(fd, &Addr::unix(b""));
        ret!(
            short,
            if family == AF_INET {
                -libc::EINVAL
            } else {
                -libc::EAFNOSUPPORT
            }
        );
    }
    Ok(())
}

/// ping_recvmsg() knows no MSG_TRUNC, and refuses MSG_OOB before it looks at the error queue.
fn ping_does_not_tell_the_length(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        let both = libc::MSG_OOB | libc::MSG_ERRQUEUE;
        err!(k.recv(fd, &mut [0; 8], both), EOPNOTSUPP);
        ret!(k.sendto(fd, &echo(family), 0, &Addr::lo(family, 0)), 9);
        mask!(k, fd, R | W | WB);
        ret!(k.recv(fd, &mut [0; 3], libc::MSG_TRUNC | libc::MSG_PEEK), 3);
        ret!(k.recv(fd, &mut [0; 3], libc::MSG_TRUNC), 3);
    }
    Ok(())
}

fn ping_has_options_of_its_own(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ping(k, family)?;
        err!(k.set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 1), EOPNOTSUPP);
        err!(k.getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, 4).0, EOPNOTSUPP);
    }
    let v4 = ping(k, AF_INET)?;
    eq!(k.get_int(v4, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL)?, 1);
    let v6 = ping(k, AF_INET6)?;
    eq!(k.get_int(v6, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?, 1);
    err!(
        k.getsockopt(v6, libc::IPPROTO_IPV6, libc::IPV6_ADDRFORM, 4)
            .0,
        ENOPROTOOPT
    );
    // "::" is loopback for others.
    err!(
        k.sendto(v6, &echo(AF_INET6), 0, &Addr::any6(0)),
        ENETUNREACH
    );
    Ok(())
}

/// A raw socket whose buffer is full has not heard: nobody has, and the sender is told so.
fn a_full_raw_socket_is_no_listener(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = k.socket(family, libc::SOCK_RAW | NB, 253);
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 0), 0);
        ret!(k.connect(fd, &Addr::lo(family, 0)), 0);
        let mut sent = 0;
        while sent < 20 && k.poll_mask(fd) & libc::POLLERR == 0 {
            ret!(k.send(fd, &[1; 600], 0), 600);
            sent += 1;
            k.pause(std::time::Duration::from_millis(2));
        }
        check!((2..20).contains(&sent), "{sent}");
        eq!(
            k.so_error(fd)?,
            if family == AF_INET {
                libc::ENOPROTOOPT
            } else {
                libc::EPROTO
            }
        );
    }
    Ok(())
}

/// A sendmmsg(2) whose first message sends what was held back.
fn a_batch_behind_what_is_held_back(k: &mut dyn Kernel) -> Outcome {
    let (fd, to, _) = to_one(k, AF_INET)?;
    ret!(k.send(fd, b"ab", MSG_MORE), 2);
    let nowhere = Addr::lo(AF_INET, 0);
    let list = [&b"cd"[..], b"ef"].map(|part| crate::msg::Msg::of(&[part]).to(&nowhere));
    let mut batch = crate::msg::Batch::new(list.into());
    ret!(k.sendmmsg_raw(fd, batch.ptr(), 2, 0), 1);
    eq!(k.recv_now(to)?, b"abcd");
    Ok(())
}

/// A message that cannot be read takes with it what was held back.
fn a_fault_drops_what_is_held_back(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, to, _) = to_one(k, family)?;
        ret!(k.send(fd, b"ab", MSG_MORE), 2);
        err!(k.send_raw(fd, BAD, 2, 0), EFAULT);
        eq!(k.outq(fd)?, 0);
        ret!(k.send(fd, b"cd", 0), 2);
        eq!(k.recv_now(to)?, b"cd");
    }
    Ok(())
}

/// raw_sendmsg() takes a name of no length for none; an empty packet is peeked at once.
fn raw_names_and_empty_packets(k: &mut dyn Kernel) -> Outcome {
    let fd = k.socket(AF_INET, libc::SOCK_RAW | NB, 253);
    let lo = Addr::lo(AF_INET, 0);
    err!(k.sendto_raw(fd, lo.ptr(), 4, 0, lo.ptr(), 0), EDESTADDRREQ);
    let fd = k.socket(AF_INET6, libc::SOCK_RAW | NB, 253);
    let lo = Addr::lo(AF_INET6, 0);
    err!(k.sendto_raw(fd, lo.ptr(), 4, 0, lo.ptr(), 0), EINVAL);
    ret!(k.sendto(fd, b"", 0, &lo), 0);
    mask!(k, fd, R | W | WB);
    ret!(k.recv(fd, &mut [0; 4], libc::MSG_PEEK), 0);
    err!(k.recv(fd, &mut [0; 4], libc::MSG_PEEK), EAGAIN);
    ret!(k.recv(fd, &mut [0; 4], 0), 0);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

/// With MSG_TRUNC more is told than shown.
fn peeks_of_one_call_move_by_what_they_show(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let sent: Vec<u8> = (0..20).collect();
    ret!(k.send(a, &sent, 0), 20);
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 1), 0);
    let mut batch = Batch::new(vec![Msg::room(&[5]), Msg::room(&[5])]);
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC;
    ret!(k.recvmmsg_raw(b, batch.ptr(), batch.len(), flags, 0), 2);
    batch.take_back();
    eq!(batch.lens(), vec![19, 14]);
    eq!(batch.msgs[0].data(5), sent[1..6].to_vec());
    eq!(batch.msgs[1].data(5), sent[6..11].to_vec());
    eq!(k.get_int(b, SOL_SOCKET, SO_PEEK_OFF)?, 11);
    Ok(())
}

/// SIOCGSTAMP and SO_PEEK_OFF know nothing of what nobody got.
fn a_fault_leaves_stamp_and_offset(k: &mut dyn Kernel) -> Outcome {
    const SIOCGSTAMPNS: u64 = 0x8907;
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, b"x", 0), 1);
    let mut at = [0_u64; 2];
    // The first call asks for stamps, whatever it says.
    err!(k.ioctl_raw(b, SIOCGSTAMPNS, at.as_mut_ptr() as u64), ENOENT);
    err!(k.recv_raw(b, BAD, 1, libc::MSG_PEEK), EFAULT);
    err!(k.ioctl_raw(b, SIOCGSTAMPNS, at.as_mut_ptr() as u64), ENOENT);
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 64), 0);
    ret!(k.send(a, &[7; 200], 0), 200);
    err!(k.recv_raw(b, BAD, 100, 0), EFAULT);
    let sent: Vec<u8> = (0..100).collect();
    ret!(k.send(a, &sent, 0), 100);
    let mut shown = [0];
    ret!(k.recv(b, &mut shown, libc::MSG_PEEK), 1);
    eq!(shown, [64]);
    Ok(())
}
