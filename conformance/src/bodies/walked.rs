//! What a walk through the man pages and the kernel's headers found: options, ioctls and calls on sockets that they are not for.

use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::WB;
use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
    SOL_SOCKET,
};

tests! {
    shutdown_of_what_has_none,
    reuseport_is_for_ip [ROOT],
    options_that_packet_sockets_lack [ROOT],
    addresses_by_a_packet_socket [ROOT],
    unknown_commands_read_their_argument,
    sendfile_from_socket_to_pipe [FILES],
    read_errors_are_no_longer_polled,
    a_netlink_name_without_length_is_none,
    what_aio_writes_arrives_or_is_refused [FILES],
}

fn shutdown_of_what_has_none(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW, 0));
    for how in [-1, 0, 1, 2, 3] {
        eq!(
            (how, k.shutdown(fd, how)),
            (how, -i64::from(libc::EOPNOTSUPP))
        );
    }
    let (tcp, _) = k.tcp_listener(AF_INET, 1)?;
    err!(k.shutdown(tcp, 3), EINVAL);
    Ok(())
}

fn reuseport_is_for_ip(k: &mut dyn Kernel) -> Outcome {
    for (domain, ty, wants) in [
        (AF_NETLINK, SOCK_RAW, -i64::from(libc::EOPNOTSUPP)),
        (AF_PACKET, SOCK_RAW, -i64::from(libc::EOPNOTSUPP)),
        (AF_UNIX, SOCK_DGRAM, -i64::from(libc::EOPNOTSUPP)),
        (AF_INET, SOCK_STREAM, 0),
        (AF_INET6, SOCK_DGRAM, 0),
    ] {
        let fd = ok!(k.socket(domain, ty, 0));
        let got = k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1);
        eq!((domain, got), (domain, wants));
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 0), 0);
    }
    Ok(())
}

fn options_that_packet_sockets_lack(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_PACKET, SOCK_RAW, 0));
    for name in [libc::SO_PASSCRED, libc::SO_PEEK_OFF] {
        let got = k.set_int(fd, SOL_SOCKET, name, 0);
        eq!((name, got), (name, -i64::from(libc::EOPNOTSUPP)));
        let (got, _) = k.getsockopt(fd, SOL_SOCKET, name, 4);
        eq!((name, got), (name, -i64::from(libc::EOPNOTSUPP)));
    }
    Ok(())
}

/// packet_ioctl() passes the ioctls about addresses and routes on to AF_INET.
fn addresses_by_a_packet_socket(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_PACKET, SOCK_DGRAM, 0));
    for (command, want) in [
        (0x8915, [127, 0, 0, 1]),
        (0x8917, [127, 0, 0, 1]),
        (0x8919, [0, 0, 0, 0]),
        (0x891b, [255, 0, 0, 0]),
    ] {
        let mut request = [0u8; 40];
        request[..2].copy_from_slice(b"lo");
        ret!(k.ioctl_raw(fd, command, request.as_mut_ptr() as u64), 0);
        eq!((command, &request[20..24]), (command, &want[..]));
    }
    let mut request = [0u8; 120];
    request[..4].copy_from_slice(b"nope");
    let at = request.as_mut_ptr() as u64;
    err!(k.ioctl_raw(fd, 0x8915, at), ENODEV);
    err!(k.ioctl_raw(fd, 0x890b, at), EAFNOSUPPORT);
    Ok(())
}

/// sock_do_ioctl() copies a struct ifreq before anybody looks what the command is.
fn unknown_commands_read_their_argument(k: &mut dyn Kernel) -> Outcome {
    let mut request = [0u8; 40];
    let at = request.as_mut_ptr() as u64;
    for (domain, ty) in [
        (AF_INET, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
        (AF_NETLINK, SOCK_RAW),
    ] {
        let fd = ok!(k.socket(domain, ty | NB, 0));
        for command in [0x8900, 0x890e, 0x89cf] {
            err!(k.ioctl_raw(fd, command, 0), EFAULT);
            err!(k.ioctl_raw(fd, command, at), ENOTTY);
        }
        // Of another kind of file.
        err!(k.ioctl_raw(fd, 0x5413, 0), ENOTTY);
    }
    check!(request == [0; 40], "nothing is written");
    Ok(())
}

fn sendfile_from_socket_to_pipe(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    err!(k.sendfile(w, b, 0, 4), EAGAIN);
    ret!(k.send(a, b"through a pipe", 0), 14);
    ret!(k.sendfile(w, b, 0, 7), 7);
    ret!(k.sendfile(w, b, 0, 100), 7);
    let mut buf = [0; 20];
    ret!(k.read(r, &mut buf), 14);
    eq!(&buf[..14], b"through a pipe");
    ret!(k.sendfile(w, b, 0, 0), 0);
    k.close(a);
    ret!(k.sendfile(w, b, 0, 10), 0);
    let fresh = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    err!(k.sendfile(w, fresh, 0, 4), ENOTCONN);
    // It has no offsets.
    let mut offset = 0u64;
    err!(k.sendfile(w, b, &raw mut offset as u64, 4), ESPIPE);
    Ok(())
}

/// The error queue makes poll(2) say ERR, until its last entry has been read.
fn read_errors_are_no_longer_polled(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.udp(AF_INET)?;
    let flags = 1 << 1 | 1 << 4;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_TIMESTAMPING, flags), 0);
    for select in [0, 1] {
        ret!(
            k.set_int(fd, SOL_SOCKET, libc::SO_SELECT_ERR_QUEUE, select),
            0
        );
        let pri = if select == 1 { libc::POLLPRI } else { 0 };
        for _ in 0..2 {
            ret!(k.sendto(fd, b"x", 0, &addr), 1);
            eq!(k.recv_now(fd)?, b"x");
        }
        for _ in 0..2 {
            eq!(
                (select, k.poll_mask(fd)),
                (select, WB | libc::POLLERR | pri)
            );
            let mut msg = Msg::room(&[100]).control_room(512);
            let n = k.recvmsg(fd, &mut msg, libc::MSG_ERRQUEUE);
            check!(n > 0, "{n}");
        }
        eq!((select, k.poll_mask(fd)), (select, WB));
    }
    Ok(())
}

/// io_submit(2): under the runner it is refused for a socket. It must not say that it wrote what nobody gets.
fn what_aio_writes_arrives_or_is_refused(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let mut context = 0u64;
    let setup = k.call(libc::SYS_io_setup, &[4, &raw mut context as u64]);
    if setup != 0 {
        // Nobody has it here.
        return Ok(());
    }
    let text = b"by libaio";
    // struct iocb: aio_lio_opcode (IOCB_CMD_PWRITE), aio_fildes, aio_buf, aio_nbytes.
    let mut iocb = [0u64; 8];
    iocb[2] = 1 | (t.client as u64) << 32;
    (iocb[3], iocb[4]) = (text.as_ptr() as u64, text.len() as u64);
    let list = [iocb.as_ptr() as u64];
    let got = k.call(libc::SYS_io_submit, &[context, 1, list.as_ptr() as u64]);
    if got == 1 {
        let mut event = [0u64; 4];
        let at = event.as_mut_ptr() as u64;
        ret!(k.call(libc::SYS_io_getevents, &[context, 1, 1, at, 0]), 1);
        eq!(event[2], text.len() as u64);
        eq!(k.recv_now(t.server)?, text);
    } else {
        err!(got, EINVAL);
    }
    ret!(k.call(libc::SYS_io_destroy, &[context]), 0);
    Ok(())
}

/// netlink_sendmsg() looks at the name's length alone: without one it is for whom connect(2) said, or for the kernel.
fn a_netlink_name_without_length_is_none(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    // RTM_GETLINK of `lo`: the header and a struct ifinfomsg.
    let mut bytes = [0u8; 32];
    bytes[0] = 32;
    bytes[4] = 18;
    bytes[6] = 1;
    bytes[20] = 1;
    let to = [0xffu8; 12];
    let (at, name) = (bytes.as_ptr() as u64, to.as_ptr() as u64);
    ret!(k.sendto_raw(fd, at, 32, 0, name, 0), 32);
    check!(k.recv_now(fd)?[4] == 16, "RTM_NEWLINK");
    for len in [1, 11] {
        err!(k.sendto_raw(fd, at, 32, 0, name, len), EINVAL);
    }
    Ok(())
}
