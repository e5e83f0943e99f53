//! SCM_RIGHTS: descriptors in flight.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{CMSG_HDR, Msg, cmsg_len, cmsg_space, rights};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, WB};
use libc::{AF_INET, AF_UNIX, MSG_CTRUNC, SOCK_DGRAM, SOCK_SEQPACKET};
use libc::{POLLHUP, POLLRDHUP, SOCK_STREAM, SOL_SOCKET};

tests! {
    pass_a_socket,
    pass_a_pipe [FILES],
    pass_the_same_twice,
    pass_many,
    none_at_all,
    two_messages_add_up,
    cloexec_on_receipt,
    no_cloexec_by_default,
    little_room_takes_some [COUNT],
    room_for_header_only [COUNT],
    odd_room,
    peek_gives_copies [COUNT],
    rights_with_empty_datagram,
    rights_with_empty_stream_send,
    stream_stops_at_rights,
    stream_rights_come_with_first_byte,
    stream_partial_read_takes_rights,
    passing_itself,
    cycle_is_collected [FILES],
    passed_listener_accepts,
    passed_tcp_connection,
    flags_of_the_file_are_shared,
    order_of_rights,
    msg_flags_report_cloexec,
    rights_survive_the_sender,
    unix_socket_in_flight_masks,
}

fn all_kinds() -> [i32; 3] {
    [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]
}

/// Sends `fds` with one byte.
fn pass(k: &mut dyn Kernel, over: Fd, fds: &[Fd]) -> Got<()> {
    let mut msg = Msg::of(&[b"p"]).control(&rights(fds));
    ret!(k.sendmsg(over, &mut msg, 0), 1);
    Ok(())
}

/// Receives one message with room for `room` descriptors: those that came, and the flags.
fn take(k: &mut dyn Kernel, from: Fd, room: usize, flags: i32) -> Got<(Vec<Fd>, i32)> {
    let mut msg = Msg::room(&[16]).control_room(cmsg_space(4 * room));
    ok!(k.recvmsg(from, &mut msg, flags));
    Ok((msg.fds(), msg.flags()))
}

fn pass_a_socket(k: &mut dyn Kernel) -> Outcome {
    for kind in all_kinds() {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        let (x, y) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
        pass(k, a, &[x])?;
        let (fds, flags) = take(k, b, 1, 0)?;
        eq!(flags, 0);
        eq!(fds.len(), 1);
        check!(fds[0] != x, "a new number");
        ret!(k.send(fds[0], b"through", 0), 7);
        eq!(k.recv_now(y)?, b"through");
        // It is the same socket: closing the first number leaves it open.
        k.close(x);
        mask!(k, y, WB);
        k.close(fds[0]);
        mask!(k, y, R | WB | POLLHUP | POLLRDHUP);
    }
    Ok(())
}

fn pass_a_pipe(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (r, w) = k.pipe()?;
    pass(k, a, &[r, w])?;
    k.close(r);
    k.close(w);
    let (fds, _) = take(k, b, 2, 0)?;
    eq!(fds.len(), 2);
    ret!(k.write(fds[1], b"pipe"), 4);
    let mut buf = [0; 8];
    ret!(k.read(fds[0], &mut buf), 4);
    Ok(())
}

fn pass_the_same_twice(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let (x, y) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[x, x, y])?;
    let (fds, _) = take(k, b, 3, 0)?;
    eq!(fds.len(), 3);
    check!(fds[0] != fds[1], "{fds:?}");
    ret!(k.send(fds[1], b"1", 0), 1);
    eq!(k.recv_now(fds[2])?, b"1");
    Ok(())
}

fn pass_many(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let many = vec![a; 253];
    pass(k, a, &many)?;
    let (fds, flags) = take(k, b, 253, 0)?;
    eq!(fds.len(), 253);
    eq!(flags, 0);
    Ok(())
}

fn none_at_all(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    pass(k, a, &[])?;
    let mut msg = Msg::room(&[16]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.cmsgs(), vec![]);
    eq!(msg.hdr.msg_controllen, 0);
    eq!(msg.flags(), 0);
    Ok(())
}

fn two_messages_add_up(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let both = [rights(&[a]), rights(&[b, a])].concat();
    let mut msg = Msg::of(&[b"p"]).control(&both);
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    let mut msg = Msg::room(&[16]).control_room(256);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    // They come as one.
    eq!(msg.cmsgs().len(), 1);
    eq!(msg.fds().len(), 3);
    // The sum has the limit.
    let both = [rights(&vec![a; 200]), rights(&[a; 54])].concat();
    let mut msg = Msg::of(&[b"p"]).control(&both);
    err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    Ok(())
}

fn cloexec_on_receipt(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[a])?;
    let (fds, _) = take(k, b, 1, libc::MSG_CMSG_CLOEXEC)?;
    ret!(k.fcntl(fds[0], libc::F_GETFD, 0), libc::FD_CLOEXEC);
    Ok(())
}

fn no_cloexec_by_default(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.fcntl(a, libc::F_SETFD, i64::from(libc::FD_CLOEXEC)), 0);
    pass(k, a, &[a])?;
    let (fds, _) = take(k, b, 1, 0)?;
    // The flag belongs to the descriptor, not to the file.
    ret!(k.fcntl(fds[0], libc::F_GETFD, 0), 0);
    Ok(())
}

fn little_room_takes_some(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let before = k.descriptor_count();
    pass(k, a, &[a, b, a])?;
    let mut msg = Msg::room(&[16]).control_room(cmsg_len(4));
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), MSG_CTRUNC);
    eq!(msg.fds().len(), 1);
    eq!(msg.hdr.msg_controllen, cmsg_len(4));
    eq!(k.descriptor_count(), before.map(|n| n + 1));
    Ok(())
}

fn room_for_header_only(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for room in [1, CMSG_HDR - 1, CMSG_HDR, CMSG_HDR + 3] {
        let before = k.descriptor_count();
        pass(k, a, &[a])?;
        let mut msg = Msg::room(&[16]).control_room(room);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        eq!(msg.flags(), MSG_CTRUNC);
        eq!(msg.hdr.msg_controllen, 0);
        eq!(k.descriptor_count(), before);
    }
    Ok(())
}

fn odd_room(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // Room for two, which is CMSG_LEN(8) = CMSG_SPACE(8), and a bit of a third.
    for (room, fds, controllen) in [
        (cmsg_len(8), 2, cmsg_len(8)),
        (cmsg_len(8) + 3, 2, cmsg_len(8)),
        (cmsg_len(4) + 1, 1, cmsg_len(4) + 1),
        (cmsg_len(4) + 3, 1, cmsg_len(4) + 3),
    ] {
        pass(k, a, &[a, b, a])?;
        let mut msg = Msg::room(&[16]).control_room(room);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        eq!(msg.flags(), MSG_CTRUNC);
        eq!(
            (room, msg.fds().len(), msg.hdr.msg_controllen),
            (room, fds, controllen)
        );
    }
    Ok(())
}

fn peek_gives_copies(k: &mut dyn Kernel) -> Outcome {
    for kind in all_kinds() {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        let before = k.descriptor_count();
        pass(k, a, &[a])?;
        let (first, _) = take(k, b, 1, libc::MSG_PEEK)?;
        let (second, _) = take(k, b, 1, libc::MSG_PEEK)?;
        let (third, _) = take(k, b, 1, 0)?;
        eq!((first.len(), second.len(), third.len()), (1, 1, 1));
        check!(
            first != second && second != third,
            "{first:?} {second:?} {third:?}"
        );
        eq!(k.descriptor_count(), before.map(|n| n + 3));
    }
    Ok(())
}

fn rights_with_empty_datagram(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        let mut msg = Msg::of(&[b""]).control(&rights(&[a]));
        ret!(k.sendmsg(a, &mut msg, 0), 0);
        let mut msg = Msg::room(&[16]).control_room(cmsg_space(4));
        ret!(k.recvmsg(b, &mut msg, 0), 0);
        eq!(msg.fds().len(), 1);
    }
    Ok(())
}

fn rights_with_empty_stream_send(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut msg = Msg::of(&[b""]).control(&rights(&[a]));
    ret!(k.sendmsg(a, &mut msg, 0), 0);
    // There is no byte to carry them.
    mask!(k, b, WB);
    Ok(())
}

fn stream_stops_at_rights(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"before", 0), 6);
    pass(k, a, &[a])?;
    ret!(k.send(a, b"after", 0), 5);
    // A read takes what is in front of rights together with the message that carries them, and
    // stops behind it, so that rights of two messages never mix.
    let mut msg = Msg::room(&[64]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 7);
    eq!(msg.data(7), b"beforep");
    eq!(msg.fds().len(), 1);
    eq!(k.recv_now(b)?, b"after");
    Ok(())
}

fn stream_rights_come_with_first_byte(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[a])?;
    pass(k, a, &[a, a])?;
    let (fds, _) = take(k, b, 8, 0)?;
    eq!(fds.len(), 1);
    let (fds, _) = take(k, b, 8, 0)?;
    eq!(fds.len(), 2);
    Ok(())
}

fn stream_partial_read_takes_rights(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut msg = Msg::of(&[b"abcd"]).control(&rights(&[a]));
    ret!(k.sendmsg(a, &mut msg, 0), 4);
    let mut msg = Msg::room(&[2]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 2);
    eq!(msg.fds().len(), 1);
    let mut msg = Msg::room(&[2]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 2);
    eq!(msg.fds().len(), 0);
    Ok(())
}

fn passing_itself(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[b])?;
    k.close(b);
    // b lives in its own queue only: nobody can reach it, and the collector ends it. It empties the
    // queue first, so that the peer sees an end and not a reset.
    wake_collector(k, a, R | WB | POLLHUP | POLLRDHUP)?;
    mask!(k, a, R | WB | POLLHUP | POLLRDHUP);
    Ok(())
}

/// Linux collects when some AF_UNIX socket is closed, in the background: closes one until `fd` has
/// this mask, or for a while.
fn wake_collector(k: &mut dyn Kernel, fd: Fd, want: i16) -> Outcome {
    for _ in 0..100 {
        if k.poll_mask(fd) == want {
            break;
        }
        let other = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
        k.close(other);
        k.pause(std::time::Duration::from_millis(2));
    }
    Ok(())
}

fn cycle_is_collected(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[a, w])?;
    pass(k, b, &[b])?;
    for fd in [a, b, w] {
        k.close(fd);
    }
    // Each holds the other. When the collector has been there, the pipe has no writer.
    wake_collector(k, r, POLLHUP)?;
    // Not a socket: shown as it is on every arm.
    eq!(k.poll_mask(r), POLLHUP);
    Ok(())
}

fn passed_listener_accepts(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    pass(k, a, &[listener])?;
    k.close(listener);
    // It listens while it is in flight.
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    let (fds, _) = take(k, b, 1, 0)?;
    k.accept_now(fds[0])?;
    Ok(())
}

fn passed_tcp_connection(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    let t = k.tcp(AF_INET)?;
    pass(k, a, &[t.server])?;
    k.close(t.server);
    ret!(k.send(t.client, b"meanwhile", 0), 9);
    let (fds, _) = take(k, b, 1, 0)?;
    eq!(k.recv_now(fds[0])?, b"meanwhile");
    eq!(k.sockname(fds[0])?, t.addr);
    Ok(())
}

fn flags_of_the_file_are_shared(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (x, _y) = k.pair(AF_UNIX, SOCK_STREAM)?;
    pass(k, a, &[x])?;
    let (fds, _) = take(k, b, 1, 0)?;
    check!(k.same_file(x, fds[0]), "two files");
    Ok(())
}

fn order_of_rights(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let stream = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let seq = ok!(k.socket(AF_UNIX, SOCK_SEQPACKET, 0));
    pass(k, a, &[stream, udp, seq])?;
    let (fds, _) = take(k, b, 3, 0)?;
    let mut kinds = Vec::new();
    for fd in fds {
        kinds.push(k.get_int(fd, SOL_SOCKET, libc::SO_TYPE)?);
    }
    eq!(kinds, vec![SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]);
    Ok(())
}

fn msg_flags_report_cloexec(k: &mut dyn Kernel) -> Outcome {
    // What was asked for comes back in msg_flags.
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[a])?;
    let (_, flags) = take(k, b, 1, libc::MSG_CMSG_CLOEXEC)?;
    eq!(flags, libc::MSG_CMSG_CLOEXEC);
    ret!(k.send(a, b"plain", 0), 5);
    let mut msg = Msg::room(&[16]);
    ret!(k.recvmsg(b, &mut msg, libc::MSG_CMSG_CLOEXEC), 5);
    eq!(msg.flags(), libc::MSG_CMSG_CLOEXEC);
    Ok(())
}

fn rights_survive_the_sender(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (x, y) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[x])?;
    k.close(x);
    k.close(a);
    let (fds, _) = take(k, b, 1, 0)?;
    eq!(fds.len(), 1);
    ret!(k.send(fds[0], b"alive", 0), 5);
    eq!(k.recv_now(y)?, b"alive");
    Ok(())
}

fn unix_socket_in_flight_masks(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[a])?;
    mask!(k, b, R | WB);
    eq!(k.fionread(b)?, 1);
    Ok(())
}
