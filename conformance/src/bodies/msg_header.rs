//! `sendmsg` and `recvmsg`: the header, the vectors, and what faults where.

use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, WB};
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, c_void};

tests! {
    header_faults,
    header_half_mapped,
    bad_descriptors [EPOLL],
    vector_array_faults,
    too_many_vectors,
    most_vectors,
    no_vectors,
    negative_vector_length,
    vector_sum_is_clamped,
    vector_base_faults_send,
    vector_base_faults_receive,
    unused_bad_vector_is_fine,
    name_length_negative,
    name_length_too_long,
    name_pointer_faults,
    name_null_with_length,
    receive_name_room,
    receive_name_faults,
    receive_name_null,
    receive_sets_lengths,
    receive_into_read_only_header,
    msg_flags_of_the_caller_are_ignored,
    receive_zero_vectors,
    cmsg_cloexec_flag_on_send,
    name_ignored_by_stream,
    flags_argument_of_send_not_kept,
    iov_len_zero_with_bad_base,
}

fn header_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for bad in [0, BAD, KERNEL_SPACE] {
        err!(k.sendmsg_raw(a, bad, 0), EFAULT);
        err!(k.recvmsg_raw(b, bad, 0), EFAULT);
    }
    Ok(())
}

fn header_half_mapped(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let edge = Edge::new();
    // struct msghdr has 56 bytes.
    err!(k.sendmsg_raw(a, edge.at(55), 0), EFAULT);
    err!(k.recvmsg_raw(b, edge.at(48), 0), EFAULT);
    // All zero at the very end is a message of nothing.
    ret!(k.sendmsg_raw(a, edge.at(56), 0), 0);
    mask!(k, b, WB);
    Ok(())
}

fn bad_descriptors(k: &mut dyn Kernel) -> Outcome {
    let r = k.not_a_socket()?;
    err!(k.sendmsg_raw(-1, BAD, 0), EBADF);
    err!(k.recvmsg_raw(-1, BAD, 0), EBADF);
    err!(k.sendmsg_raw(r, BAD, 0), ENOTSOCK);
    err!(k.recvmsg_raw(r, BAD, 0), ENOTSOCK);
    Ok(())
}

fn vector_array_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for bad in [0, BAD, KERNEL_SPACE] {
        let mut msg = Msg::of(&[b"x"]);
        msg.hdr.msg_iov = bad as *mut libc::iovec;
        err!(k.sendmsg(a, &mut msg, 0), EFAULT);
        // The array is read before the socket is asked.
        let mut msg = Msg::room(&[1]);
        msg.hdr.msg_iov = bad as *mut libc::iovec;
        err!(k.recvmsg(b, &mut msg, 0), EFAULT);
    }
    let edge = Edge::new();
    let mut msg = Msg::of(&[b"x", b"y"]);
    // The second entry lies behind the edge.
    let (base, len) = (msg.iov[0].iov_base as u64, 1u64);
    let at = edge.put(&[base.to_ne_bytes(), len.to_ne_bytes()].concat());
    msg.hdr.msg_iov = at as *mut libc::iovec;
    err!(k.sendmsg(a, &mut msg, 0), EFAULT);
    msg.hdr.msg_iovlen = 1;
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    Ok(())
}

fn too_many_vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for count in [1025, 1 << 20, usize::MAX] {
        let mut msg = Msg::of(&[b"x"]);
        msg.hdr.msg_iovlen = count;
        // EMSGSIZE here, EINVAL for readv and writev.
        err!(k.sendmsg(a, &mut msg, 0), EMSGSIZE);
        err!(k.recvmsg(b, &mut msg, 0), EMSGSIZE);
    }
    Ok(())
}

fn most_vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let parts: Vec<&[u8]> = (0..1024).map(|_| &b"z"[..]).collect();
    let mut msg = Msg::of(&parts);
    ret!(k.sendmsg(a, &mut msg, 0), 1024);
    let mut msg = Msg::room(&[1; 1024]);
    ret!(k.recvmsg(b, &mut msg, 0), 1024);
    Ok(())
}

fn no_vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut msg = Msg::of(&[]);
    ret!(k.sendmsg(a, &mut msg, 0), 0);
    mask!(k, b, R | WB);
    // An empty array may lie anywhere that is the user's.
    msg.hdr.msg_iov = BAD as *mut libc::iovec;
    ret!(k.recvmsg(b, &mut msg, 0), 0);
    mask!(k, b, WB);
    Ok(())
}

fn negative_vector_length(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for len in [usize::MAX, 1 << 63] {
        let mut msg = Msg::of(&[b"x", b"y"]);
        msg.iov[1].iov_len = len;
        err!(k.sendmsg(a, &mut msg, 0), EINVAL);
        err!(k.recvmsg(b, &mut msg, 0), EINVAL);
    }
    Ok(())
}

fn vector_sum_is_clamped(k: &mut dyn Kernel) -> Outcome {
    // Two vectors of 2^62 bytes: no error, only the first 2 GiB less a page count, and of those
    // the send buffer takes what it can.
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut msg = Msg::room(&[8, 8]);
    let base = msg.iov[0].iov_base as u64;
    msg.aim(1, base, 1 << 40);
    ret!(k.send(a, b"0123456789", 0), 10);
    ret!(k.recvmsg(b, &mut msg, 0), 10);
    Ok(())
}

fn vector_base_faults_send(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for bad in [0, BAD, KERNEL_SPACE] {
        for index in [0, 1] {
            let mut msg = Msg::of(&[b"x", b"y"]);
            msg.aim(index, bad, 1);
            err!(k.sendmsg(a, &mut msg, 0), EFAULT);
        }
    }
    mask!(k, b, WB);
    Ok(())
}

fn vector_base_faults_receive(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    // A kernel address is refused at once, another one only when it is written to.
    let mut msg = Msg::room(&[1, 1]);
    msg.aim(1, KERNEL_SPACE, 1);
    err!(k.recvmsg(b, &mut msg, 0), EFAULT);
    let mut msg = Msg::room(&[1, 1]);
    msg.aim(1, BAD, 1);
    err!(k.recvmsg(b, &mut msg, 0), EAGAIN);
    ret!(k.send(a, b"xy", 0), 2);
    err!(k.recvmsg(b, &mut msg, 0), EFAULT);
    // The first part had been written.
    eq!(msg.data(1), b"x");
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn unused_bad_vector_is_fine(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[1, 1]);
    msg.aim(1, BAD, 1);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    Ok(())
}

fn name_length_negative(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET)?;
    let mut msg = Msg::of(&[b"x"]).to(&a_addr);
    msg.hdr.msg_namelen = u32::MAX;
    err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    err!(k.recvmsg(a, &mut msg, 0), EINVAL);
    // Without a name the length is not looked at.
    let mut msg = Msg::of(&[b"x"]);
    msg.hdr.msg_namelen = u32::MAX;
    let got = k.recvmsg(a, &mut msg, 0);
    check!(
        got == -i64::from(libc::EAGAIN) || got == -i64::from(libc::EINVAL),
        "{got}"
    );
    eq!(got, -i64::from(libc::EAGAIN));
    Ok(())
}

fn name_length_too_long(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET)?;
    // More than sockaddr_storage is cut, where sendto says EINVAL.
    let mut msg = Msg::of(&[b"x"]).to(&a_addr.padded(128));
    msg.hdr.msg_namelen = 100_000;
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(k.recv_now(a)?, b"x");
    Ok(())
}

fn name_pointer_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, _) = k.udp(AF_INET)?;
    let (unix, _) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for fd in [a, unix] {
        let mut msg = Msg::of(&[b"x"]);
        msg.hdr.msg_name = BAD as *mut c_void;
        msg.hdr.msg_namelen = 16;
        err!(k.sendmsg(fd, &mut msg, 0), EFAULT);
    }
    Ok(())
}

fn name_null_with_length(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    // No name: the peer, whatever the length says.
    let mut msg = Msg::of(&[b"x"]);
    msg.hdr.msg_namelen = 16;
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(k.recv_now(b)?, b"x");
    // And no length: no name, whatever the pointer.
    let mut msg = Msg::of(&[b"y"]);
    msg.hdr.msg_name = BAD as *mut c_void;
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(k.recv_now(b)?, b"y");
    Ok(())
}

fn receive_name_room(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET)?;
    for cap in [1usize, 2, 8, 16, 60] {
        ret!(k.sendto(a, b"x", 0, &a_addr), 1);
        let mut msg = Msg::room(&[4]).name_room(cap);
        ret!(k.recvmsg(a, &mut msg, 0), 1);
        eq!(msg.hdr.msg_namelen, 16);
        eq!(msg.peer(), a_addr.cut(cap.min(16)));
    }
    Ok(())
}

fn receive_name_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET)?;
    ret!(k.sendto(a, b"x", 0, &a_addr), 1);
    let mut msg = Msg::room(&[4]);
    msg.hdr.msg_name = BAD as *mut c_void;
    msg.hdr.msg_namelen = 16;
    err!(k.recvmsg(a, &mut msg, 0), EFAULT);
    // The data had been written, the datagram is gone, the header is as it was.
    eq!(msg.data(1), b"x");
    err!(k.recv(a, &mut [0; 4], 0), EAGAIN);
    eq!(msg.hdr.msg_namelen, 16);
    Ok(())
}

fn receive_name_null(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET)?;
    ret!(k.sendto(a, b"x", 0, &a_addr), 1);
    let mut msg = Msg::room(&[4]);
    msg.hdr.msg_namelen = 16;
    ret!(k.recvmsg(a, &mut msg, 0), 1);
    // Nothing was asked for, so nothing is said about its length.
    eq!(msg.hdr.msg_namelen, 16);
    Ok(())
}

fn receive_sets_lengths(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[4]).name_room(100).control_room(100);
    msg.hdr.msg_flags = -1;
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    // An unnamed sender, no control messages, no flags.
    eq!(
        (
            msg.hdr.msg_namelen,
            msg.hdr.msg_controllen,
            msg.hdr.msg_flags
        ),
        (0, 0, 0)
    );
    // On EAGAIN the header is not touched.
    let mut msg = Msg::room(&[4]).name_room(100).control_room(100);
    msg.hdr.msg_flags = -1;
    err!(k.recvmsg(b, &mut msg, 0), EAGAIN);
    eq!(
        (
            msg.hdr.msg_namelen,
            msg.hdr.msg_controllen,
            msg.hdr.msg_flags
        ),
        (100, 100, -1)
    );
    Ok(())
}

fn receive_into_read_only_header(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"x", 0), 1);
    let msg = Msg::room(&[4]);
    let edge = Edge::new();
    let mut bytes = vec![0u8; 56];
    bytes[16..24].copy_from_slice(&(msg.iov.as_ptr() as u64).to_ne_bytes());
    bytes[24] = 1;
    let at = edge.put(&bytes);
    let _edge = edge.read_only();
    // msg_flags cannot be written: the message is gone by then.
    err!(k.recvmsg_raw(b, at, 0), EFAULT);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    eq!(msg.data(1), b"x");
    Ok(())
}

fn msg_flags_of_the_caller_are_ignored(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut msg = Msg::of(&[b"x"]);
    msg.hdr.msg_flags = libc::MSG_OOB;
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    let mut msg = Msg::room(&[4]);
    msg.hdr.msg_flags = libc::MSG_PEEK;
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    err!(k.recvmsg(b, &mut msg, 0), EAGAIN);
    Ok(())
}

fn receive_zero_vectors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    let mut msg = Msg::room(&[]);
    ret!(k.recvmsg(b, &mut msg, libc::MSG_TRUNC), 3);
    eq!(msg.flags(), libc::MSG_TRUNC);
    Ok(())
}

fn cmsg_cloexec_flag_on_send(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut msg = Msg::of(&[b"x"]);
    ret!(k.sendmsg(a, &mut msg, libc::MSG_CMSG_CLOEXEC), 1);
    eq!(k.recv_now(b)?, b"x");
    // MSG_CMSG_COMPAT is the kernel's own mark for ILP32 callers and refused from outside.
    const MSG_CMSG_COMPAT: i32 = i32::MIN;
    let mut msg = Msg::of(&[b"x"]);
    err!(k.sendmsg(a, &mut msg, MSG_CMSG_COMPAT), EINVAL);
    let mut msg = Msg::room(&[1]);
    err!(k.recvmsg(b, &mut msg, MSG_CMSG_COMPAT), EINVAL);
    // send and recv have no control messages, and only drop it.
    ret!(k.send(a, b"y", MSG_CMSG_COMPAT), 1);
    ret!(k.recv(b, &mut [0; 4], 0), 1);
    Ok(())
}

fn name_ignored_by_stream(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut msg = Msg::of(&[b"x"]).to(&crate::addr::Addr::lo6(77));
    ret!(k.sendmsg(t.client, &mut msg, 0), 1);
    eq!(k.recv_now(t.server)?, b"x");
    Ok(())
}

fn flags_argument_of_send_not_kept(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    ret!(k.send(a, b"x", libc::MSG_DONTWAIT), 1);
    ok!(k.recv(b, &mut [0; 4], libc::MSG_DONTWAIT));
    // The descriptor still blocks.
    ret!(k.fcntl(b, libc::F_GETFL, 0), libc::O_RDWR);
    Ok(())
}

fn iov_len_zero_with_bad_base(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut msg = Msg::of(&[b"x", b"y"]);
    msg.aim(1, BAD, 0);
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(k.recv_now(b)?, b"x");
    Ok(())
}
