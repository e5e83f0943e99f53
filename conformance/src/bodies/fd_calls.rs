//! Calls that work on any descriptor, on sockets: fcntl, ioctl, dup, fstat, lseek, sendfile, splice,
//! epoll.

use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, Edge, KERNEL_SPACE};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, W, WB};
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM};

tests! {
    fionbio_is_o_nonblock,
    fionbio_faults,
    nonblock_belongs_to_the_file,
    ioctl_faults,
    ioctl_unknown,
    inq_is_fionread,
    setfl_keeps_access_mode,
    seek_is_refused [FILES],
    positioned_io_is_refused [FILES],
    fstat_says_socket [FILES],
    readv_faults,
    writev_faults,
    read_write_bad_pointers,
    dup_shares_the_socket,
    dup2_over_a_socket_closes_it,
    dup3_cloexec,
    close_twice,
    sendfile_to_stream [FILES],
    sendfile_offset_pointer [FILES],
    sendfile_to_full_socket [FILES],
    sendfile_errors [FILES],
    sendfile_from_socket [FILES],
    sendfile_to_datagram [FILES],
    splice_pipe_to_socket [FILES],
    splice_socket_to_pipe [FILES],
    splice_empty_socket [FILES],
    splice_errors [FILES],
    splice_broken_pipe [FILES | SIGPIPE],
    descriptor_flags_do_not_travel,
    vmsplice_and_tee_refuse [FILES],
}

fn fionbio_is_o_nonblock(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        let mut on = 7;
        ret!(k.ioctl_int(fd, libc::FIONBIO, &mut on), 0);
        ret!(
            k.fcntl(fd, libc::F_GETFL, 0),
            libc::O_RDWR | libc::O_NONBLOCK
        );
        let mut off = 0;
        ret!(k.ioctl_int(fd, libc::FIONBIO, &mut off), 0);
        ret!(k.fcntl(fd, libc::F_GETFL, 0), libc::O_RDWR);
    }
    let (_a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let mut on = 1;
    ret!(k.ioctl_int(b, libc::FIONBIO, &mut on), 0);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn fionbio_faults(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.ioctl_raw(fd, libc::FIONBIO, BAD), EFAULT);
    err!(k.ioctl_raw(fd, libc::FIONBIO, 0), EFAULT);
    ret!(k.fcntl(fd, libc::F_GETFL, 0), libc::O_RDWR);
    Ok(())
}

fn nonblock_belongs_to_the_file(k: &mut dyn Kernel) -> Outcome {
    let (_a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let copy = ok!(k.dup(b));
    ret!(k.nonblocking(copy), 0);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn ioctl_faults(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let (u, _) = k.udp(AF_INET)?;
    for fd in [t.client, a, u] {
        for request in [libc::FIONREAD, libc::TIOCOUTQ] {
            for bad in [0, BAD, KERNEL_SPACE] {
                err!(k.ioctl_raw(fd, request, bad), EFAULT);
            }
        }
    }
    Ok(())
}

fn ioctl_unknown(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        let mut value = 0;
        // TCGETS, and something nobody has.
        err!(k.ioctl_int(fd, 0x5401, &mut value), ENOTTY);
        err!(k.ioctl_int(fd, 0x1234_5678, &mut value), ENOTTY);
    }
    err!(k.ioctl_raw(-1, libc::FIONREAD, 0), EBADF);
    Ok(())
}

fn inq_is_fionread(k: &mut dyn Kernel) -> Outcome {
    // SIOCINQ and FIONREAD are one number, as are SIOCOUTQ and TIOCOUTQ.
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, b"four", 0), 4);
    let mut n = 0;
    ret!(k.ioctl_int(b, 0x541b, &mut n), 0);
    eq!(n, 4);
    Ok(())
}

fn setfl_keeps_access_mode(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(
        k.fcntl(
            fd,
            libc::F_SETFL,
            i64::from(libc::O_NONBLOCK | libc::O_WRONLY)
        ),
        0
    );
    ret!(
        k.fcntl(fd, libc::F_GETFL, 0),
        libc::O_RDWR | libc::O_NONBLOCK
    );
    ret!(k.fcntl(fd, libc::F_SETFL, 0), 0);
    ret!(k.fcntl(fd, libc::F_GETFL, 0), libc::O_RDWR);
    Ok(())
}

fn seek_is_refused(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        err!(k.call(libc::SYS_lseek, &[fd as u64, 0, 0]), ESPIPE);
    }
    Ok(())
}

fn positioned_io_is_refused(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut buf = [0u8; 4];
    let at = buf.as_mut_ptr() as u64;
    for offset in [0, 1] {
        err!(
            k.call(libc::SYS_pread64, &[b as u64, at, 4, offset]),
            ESPIPE
        );
        err!(
            k.call(libc::SYS_pwrite64, &[a as u64, at, 4, offset]),
            ESPIPE
        );
    }
    Ok(())
}

fn fstat_says_socket(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        // SAFETY: stat is integers, for which zero is a value.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        ret!(
            k.call(libc::SYS_fstat, &[fd as u64, &raw mut stat as u64]),
            0
        );
        eq!(stat.st_mode, libc::S_IFSOCK | 0o777);
        eq!((stat.st_nlink, stat.st_size), (1, 0));
    }
    Ok(())
}

fn readv_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"abc", 0), 3);
    for bad in [BAD, KERNEL_SPACE] {
        err!(k.readv_raw(b, bad, 1), EFAULT);
    }
    err!(k.readv_raw(b, BAD, 1025), EINVAL);
    ret!(k.readv_raw(b, BAD, 0), 0);
    eq!(k.recv_now(b)?, b"abc");
    Ok(())
}

fn writev_faults(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let edge = Edge::new();
    let mut msg = crate::msg::Msg::of(&[b"ab", b"cd"]);
    msg.aim(1, edge.at(1), 2);
    let iov = msg.iov.as_ptr() as u64;
    err!(k.writev_raw(a, iov, 2), EFAULT);
    mask!(k, b, WB);
    ret!(k.writev_raw(a, iov, 1), 2);
    eq!(k.recv_now(b)?, b"ab");
    Ok(())
}

fn read_write_bad_pointers(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    err!(k.call(libc::SYS_write, &[a as u64, BAD, 4]), EFAULT);
    err!(
        k.call(libc::SYS_write, &[a as u64, KERNEL_SPACE, 4]),
        EFAULT
    );
    err!(k.call(libc::SYS_read, &[b as u64, KERNEL_SPACE, 4]), EFAULT);
    err!(k.call(libc::SYS_read, &[b as u64, BAD, 4]), EAGAIN);
    // A length that is negative as a signed number.
    err!(k.call(libc::SYS_read, &[b as u64, BAD, u64::MAX]), EFAULT);
    Ok(())
}

fn dup_shares_the_socket(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let copy = ok!(k.dup(b));
    ret!(k.send(a, b"abcd", 0), 4);
    let mut buf = [0; 2];
    ret!(k.recv(b, &mut buf, 0), 2);
    eq!(k.recv_now(copy)?, b"cd");
    ret!(k.set_int(copy, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 9), 0);
    eq!(k.get_int(b, libc::SOL_SOCKET, libc::SO_RCVLOWAT)?, 9);
    k.close(b);
    mask!(k, a, WB);
    k.close(copy);
    mask!(k, a, R | WB | libc::POLLHUP | libc::POLLRDHUP);
    Ok(())
}

fn dup2_over_a_socket_closes_it(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (c, d) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.call(libc::SYS_dup2, &[c as u64, b as u64]), b);
    mask!(k, a, R | WB | libc::POLLHUP | libc::POLLRDHUP);
    ret!(k.send(b, b"x", 0), 1);
    eq!(k.recv_now(d)?, b"x");
    Ok(())
}

fn dup3_cloexec(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let args = [a as u64, b as u64, libc::O_CLOEXEC as u64];
    ret!(k.call(libc::SYS_dup3, &args), b);
    ret!(k.fcntl(b, libc::F_GETFD, 0), libc::FD_CLOEXEC);
    ret!(k.fcntl(a, libc::F_GETFD, 0), 0);
    Ok(())
}

fn close_twice(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.close(fd), 0);
    err!(k.close(fd), EBADF);
    err!(k.listen(fd, 1), EBADF);
    eq!(k.poll_mask(fd), libc::POLLNVAL);
    Ok(())
}

fn sendfile_to_stream(k: &mut dyn Kernel) -> Outcome {
    let file = k.memfd(b"contents of a file")?;
    let t = k.tcp(AF_INET)?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for (out, input) in [(t.client, t.server), (a, b)] {
        ret!(k.sendfile(out, file, 0, 8), 8);
        ret!(k.sendfile(out, file, 0, 100), 10);
        ret!(k.sendfile(out, file, 0, 100), 0);
        if out == t.client {
            k.wait_sent(out)?;
        }
        eq!(k.recv_now(input)?, b"contents of a file");
        ret!(k.call(libc::SYS_lseek, &[file as u64, 0, 0]), 0);
    }
    Ok(())
}

fn sendfile_offset_pointer(k: &mut dyn Kernel) -> Outcome {
    let file = k.memfd(b"0123456789")?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let mut offset = 3i64;
    ret!(k.sendfile(a, file, &raw mut offset as u64, 4), 4);
    eq!(offset, 7);
    eq!(k.recv_now(b)?, b"3456");
    // The file's own position did not move.
    ret!(
        k.call(libc::SYS_lseek, &[file as u64, 0, libc::SEEK_CUR as u64]),
        0
    );
    err!(k.sendfile(a, file, BAD, 4), EFAULT);
    let mut negative = -1i64;
    err!(k.sendfile(a, file, &raw mut negative as u64, 4), EINVAL);
    Ok(())
}

fn sendfile_to_full_socket(k: &mut dyn Kernel) -> Outcome {
    let file = k.memfd(&vec![5; 8 << 20])?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let sent = ok!(k.sendfile(a, file, 0, 8 << 20));
    check!(sent > 0 && sent < 8 << 20, "{sent}");
    err!(k.sendfile(a, file, 0, 8 << 20), EAGAIN);
    // The position tells how far it came.
    ret!(
        k.call(libc::SYS_lseek, &[file as u64, 0, libc::SEEK_CUR as u64]),
        sent
    );
    eq!(k.drain(b)? as i64, sent);
    Ok(())
}

fn sendfile_errors(k: &mut dyn Kernel) -> Outcome {
    let file = k.memfd(b"x")?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    err!(k.sendfile(-1, file, 0, 1), EBADF);
    err!(k.sendfile(a, -1, 0, 1), EBADF);
    k.close(b);
    err!(k.sendfile(a, file, 0, 1), EPIPE);
    let fresh = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    err!(k.sendfile(fresh, file, 0, 1), ENOTCONN);
    Ok(())
}

fn sendfile_from_socket(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let file = k.memfd(b"")?;
    // A socket has no pages to map; Linux splices it through a pipe only where there is a pipe.
    ret!(k.send(a, b"x", 0), 1);
    err!(k.sendfile(file, b, 0, 1), EINVAL);
    Ok(())
}

fn sendfile_to_datagram(k: &mut dyn Kernel) -> Outcome {
    let file = k.memfd(b"one datagram")?;
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.sendfile(a, file, 0, 12), 12);
    eq!(k.recv_now(b)?, b"one datagram");
    Ok(())
}

fn splice_pipe_to_socket(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.write(w, b"through a pipe"), 14);
    ret!(k.splice(r, a, 7, 0), 7);
    ret!(k.splice(r, a, 100, libc::SPLICE_F_NONBLOCK), 7);
    eq!(k.recv_now(b)?, b"through a pipe");
    let t = k.tcp(AF_INET)?;
    ret!(k.write(w, b"tcp"), 3);
    ret!(k.splice(r, t.client, 3, 0), 3);
    eq!(k.recv_now(t.server)?, b"tcp");
    Ok(())
}

fn splice_socket_to_pipe(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    ret!(k.splice(b, w, 4, 0), 4);
    eq!(k.fionread(b)?, 2);
    let mut buf = [0; 16];
    ret!(k.read(r, &mut buf), 4);
    eq!(&buf[..4], b"abcd");
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"tcp", 0), 3);
    mask!(k, t.server, R | W);
    ret!(k.splice(t.server, w, 100, 0), 3);
    ret!(k.read(r, &mut buf), 3);
    // The end of the stream.
    k.close(t.client);
    mask!(k, t.server, R | W | libc::POLLRDHUP);
    ret!(k.splice(t.server, w, 100, 0), 0);
    Ok(())
}

fn splice_empty_socket(k: &mut dyn Kernel) -> Outcome {
    let (_r, w) = k.pipe()?;
    let (_a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    err!(k.splice(b, w, 4, libc::SPLICE_F_NONBLOCK), EAGAIN);
    let t = k.tcp(AF_INET)?;
    err!(k.splice(t.server, w, 4, libc::SPLICE_F_NONBLOCK), EAGAIN);
    Ok(())
}

fn splice_errors(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // One of them must be a pipe.
    err!(k.splice(a, b, 4, 0), EINVAL);
    err!(k.splice(-1, w, 4, 0), EBADF);
    // Sockets have no offset.
    let offset = 0i64;
    let at = &raw const offset as u64;
    err!(
        k.call(libc::SYS_splice, &[r as u64, 0, a as u64, at, 4, 0]),
        EINVAL
    );
    ret!(k.splice(a, w, 0, 0), 0);
    // As a signed number this is below 0.
    let whole = [a as u64, 0, w as u64, 0, u64::MAX, 0];
    err!(k.call(libc::SYS_splice, &whole), EINVAL);
    let whole = [r as u64, 0, a as u64, 0, u64::MAX, 0];
    err!(k.call(libc::SYS_splice, &whole), EINVAL);
    // A datagram socket can be read from as well, one datagram at a time.
    let (u, v) = k.udp_pair(AF_INET)?;
    err!(k.splice(u, w, 4, libc::SPLICE_F_NONBLOCK), EAGAIN);
    ret!(k.send(v, b"abcdef", 0), 6);
    ret!(k.splice(u, w, 4, libc::SPLICE_F_NONBLOCK), 4);
    err!(k.recv(u, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn splice_broken_pipe(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.write(w, b"x"), 1);
    k.close(b);
    k.take_sigpipe();
    err!(k.splice(r, a, 1, 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    Ok(())
}

fn descriptor_flags_do_not_travel(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | libc::SOCK_CLOEXEC, 0));
    let copy = ok!(k.fcntl(fd, libc::F_DUPFD, 0));
    ret!(k.fcntl(copy, libc::F_GETFD, 0), 0);
    let copy = ok!(k.fcntl(fd, libc::F_DUPFD_CLOEXEC, 50));
    check!(copy >= 50, "{copy}");
    ret!(k.fcntl(copy, libc::F_GETFD, 0), libc::FD_CLOEXEC);
    Ok(())
}

fn vmsplice_and_tee_refuse(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let iov_base = [0u8; 1];
    err!(k.call(libc::SYS_tee, &[a as u64, b as u64, 4, 0]), EINVAL);
    let iov = [iov_base.as_ptr() as u64, 1];
    err!(
        k.call(libc::SYS_vmsplice, &[a as u64, iov.as_ptr() as u64, 1, 0]),
        EBADF
    );
    Ok(())
}
