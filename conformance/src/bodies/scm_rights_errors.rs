//! SCM_RIGHTS: errors, limits, faults and what is dropped.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::msg::{CMSG_HDR, Msg, cmsg, cmsg_space, rights};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, WB};
use libc::{AF_INET, AF_UNIX, MSG_CTRUNC, SCM_RIGHTS, SOCK_DGRAM, SOCK_SEQPACKET};
use libc::{POLLHUP, POLLRDHUP, SOCK_STREAM, SOL_SOCKET};

tests! {
    too_many,
    bad_descriptor_in_the_list [COUNT],
    no_room_discards [COUNT],
    plain_recv_discards [COUNT],
    cmsg_length_errors,
    cmsg_garbage_errors,
    cmsg_other_levels_are_skipped,
    unknown_scm_type,
    control_pointer_faults,
    control_too_long,
    received_control_faults [COUNT],
    unread_rights_are_closed,
    rights_in_a_closed_queue,
    inet_ignores_rights,
    descriptor_limit_on_receipt [LIMITS | COUNT],
    in_flight_limit_of_a_user [LIMITS | DROP],
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

fn too_many(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // SCM_MAX_FD is 253.
    let mut msg = Msg::of(&[b"p"]).control(&rights(&vec![a; 254]));
    err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    mask!(k, b, WB);
    Ok(())
}

fn bad_descriptor_in_the_list(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let before = k.descriptor_count();
    for bad in [-1, 9999, i64::from(i32::MAX)] {
        let mut msg = Msg::of(&[b"p"]).control(&rights(&[a, bad]));
        err!(k.sendmsg(a, &mut msg, 0), EBADF);
    }
    mask!(k, b, WB);
    eq!(k.descriptor_count(), before);
    Ok(())
}

fn no_room_discards(k: &mut dyn Kernel) -> Outcome {
    for kind in all_kinds() {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        let before = k.descriptor_count();
        pass(k, a, &[a, b])?;
        let mut msg = Msg::room(&[16]);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        eq!(msg.flags(), MSG_CTRUNC);
        eq!(k.descriptor_count(), before);
    }
    Ok(())
}

fn plain_recv_discards(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let before = k.descriptor_count();
    pass(k, a, &[a])?;
    eq!(k.recv_now(b)?, b"p");
    pass(k, a, &[a])?;
    ret!(k.read(b, &mut [0; 4]), 1);
    eq!(k.descriptor_count(), before);
    Ok(())
}

fn cmsg_length_errors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for len in [0u64, 1, CMSG_HDR as u64 - 1, 25, 1000, u64::MAX] {
        let mut bytes = rights(&[a]);
        bytes[..8].copy_from_slice(&len.to_ne_bytes());
        let mut msg = Msg::of(&[b"p"]).control(&bytes);
        err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    }
    mask!(k, b, WB);
    // Shorter than its data says: only whole descriptors count.
    for (len, count) in [
        (CMSG_HDR as u64, 0),
        (CMSG_HDR as u64 + 3, 0),
        (CMSG_HDR as u64 + 7, 1),
    ] {
        let mut bytes = rights(&[a, a]);
        bytes[..8].copy_from_slice(&len.to_ne_bytes());
        let mut msg = Msg::of(&[b"p"]).control(&bytes);
        ret!(k.sendmsg(a, &mut msg, 0), 1);
        let (fds, _) = take(k, b, 4, 0)?;
        eq!((len, fds.len()), (len, count));
    }
    Ok(())
}

fn cmsg_garbage_errors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // Less than a header is as nothing.
    let mut msg = Msg::of(&[b"p"]).control(&[0xff; 15]);
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(k.recv_now(b)?, b"p");
    // A second one that is broken spoils the first.
    let mut bytes = rights(&[a]);
    bytes.extend([0xff; 16]);
    let mut msg = Msg::of(&[b"p"]).control(&bytes);
    err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    // Trailing bytes that cannot hold a header are not looked at.
    let mut bytes = rights(&[a]);
    bytes.extend([0xff; 8]);
    let mut msg = Msg::of(&[b"p"]).control(&bytes);
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    let (fds, _) = take(k, b, 4, 0)?;
    eq!(fds.len(), 1);
    Ok(())
}

fn cmsg_other_levels_are_skipped(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let bytes = [cmsg(libc::IPPROTO_IP, SCM_RIGHTS, b"abcd"), rights(&[a])].concat();
    let mut msg = Msg::of(&[b"p"]).control(&bytes);
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    let (fds, _) = take(k, b, 4, 0)?;
    eq!(fds.len(), 1);
    Ok(())
}

fn unknown_scm_type(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for kind in [0, 99, -1] {
        let mut msg = Msg::of(&[b"p"]).control(&cmsg(SOL_SOCKET, kind, b"abcd"));
        err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    }
    mask!(k, b, WB);
    Ok(())
}

fn control_pointer_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for bad in [BAD, KERNEL_SPACE] {
        let mut msg = Msg::of(&[b"p"]);
        msg.hdr.msg_control = bad as *mut libc::c_void;
        msg.hdr.msg_controllen = 24;
        err!(k.sendmsg(a, &mut msg, 0), EFAULT);
    }
    let edge = Edge::new();
    let at = edge.put(&rights(&[a])[..20]);
    let mut msg = Msg::of(&[b"p"]);
    msg.hdr.msg_control = at as *mut libc::c_void;
    msg.hdr.msg_controllen = 24;
    err!(k.sendmsg(a, &mut msg, 0), EFAULT);
    mask!(k, b, WB);
    // No length, no look.
    msg.hdr.msg_controllen = 0;
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    // A null pointer with a length is a fault as well.
    let mut msg = Msg::of(&[b"p"]);
    msg.hdr.msg_controllen = 24;
    err!(k.sendmsg(a, &mut msg, 0), EFAULT);
    Ok(())
}

fn control_too_long(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut msg = Msg::of(&[b"p"]);
    msg.hdr.msg_control = BAD as *mut libc::c_void;
    // More than INT_MAX.
    msg.hdr.msg_controllen = 1 << 31;
    err!(k.sendmsg(a, &mut msg, 0), ENOBUFS);
    // More than net.core.optmem_max: refused before it is read.
    msg.hdr.msg_controllen = 1 << 30;
    err!(k.sendmsg(a, &mut msg, 0), ENOBUFS);
    Ok(())
}

fn received_control_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let before = k.descriptor_count();
    pass(k, a, &[a])?;
    let mut msg = Msg::room(&[16]);
    msg.hdr.msg_control = BAD as *mut libc::c_void;
    msg.hdr.msg_controllen = cmsg_space(4);
    // The data was delivered, the descriptor was not: that is told as truncation, not as a fault.
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), MSG_CTRUNC);
    eq!(msg.hdr.msg_controllen, 0);
    eq!(k.descriptor_count(), before);
    Ok(())
}

fn unread_rights_are_closed(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let (x, y) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[x])?;
    k.close(x);
    mask!(k, y, WB);
    // Reading the message without taking the descriptor closes it.
    eq!(k.recv_now(b)?, b"p");
    mask!(k, y, R | WB | POLLHUP | POLLRDHUP);
    Ok(())
}

fn rights_in_a_closed_queue(k: &mut dyn Kernel) -> Outcome {
    for kind in all_kinds() {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        let (x, y) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
        pass(k, a, &[x])?;
        k.close(x);
        k.close(b);
        mask!(k, y, R | WB | POLLHUP | POLLRDHUP);
    }
    Ok(())
}

fn inet_ignores_rights(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let mut msg = Msg::of(&[b"p"]).control(&rights(&[a]));
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    let mut msg = Msg::room(&[16]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.cmsgs(), vec![]);
    let t = k.tcp(AF_INET)?;
    let mut msg = Msg::of(&[b"p"]).control(&rights(&[a]));
    ret!(k.sendmsg(t.client, &mut msg, 0), 1);
    Ok(())
}

fn descriptor_limit_on_receipt(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    pass(k, a, &[a, a, a])?;
    let probe = ok!(k.dup(a)) as u64;
    k.close(probe as Fd);
    let limit = libc::rlimit {
        rlim_cur: probe + 2,
        rlim_max: probe + 2,
    };
    let at = &raw const limit as u64;
    ret!(
        k.call(
            libc::SYS_prlimit64,
            &[0, u64::from(libc::RLIMIT_NOFILE), at, 0]
        ),
        0
    );
    let (fds, flags) = take(k, b, 3, 0)?;
    // As many as fit, and the rest is told as truncation.
    eq!(fds.len(), 2);
    eq!(flags, MSG_CTRUNC);
    Ok(())
}

fn in_flight_limit_of_a_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let limit = libc::rlimit {
        rlim_cur: 20,
        rlim_max: 20,
    };
    let at = &raw const limit as u64;
    ret!(
        k.call(
            libc::SYS_prlimit64,
            &[0, u64::from(libc::RLIMIT_NOFILE), at, 0]
        ),
        0
    );
    // All of the user's descriptors in flight count against RLIMIT_NOFILE of the sender.
    let mut sent = 0;
    loop {
        let mut msg = Msg::of(&[b"p"]).control(&rights(&[a; 10]));
        match k.sendmsg(a, &mut msg, 0) {
            1 => sent += 10,
            got => {
                ret!(got, -libc::ETOOMANYREFS);
                break;
            }
        }
        check!(sent <= 40, "{sent} in flight");
    }
    k.close(b);
    Ok(())
}
