//! Descriptors that name a file without having opened it, ioctls that make one, and what is asked of a socket that is for
//! other files.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::scene::{NB, TempDir};
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use std::os::unix::fs::MetadataExt;

tests! {
    file_of_a_bound_socket [PATHS | ROOT],
    file_of_a_bound_socket_is_the_file [INODES | ROOT],
    file_of_an_accepted_socket [PATHS | ROOT],
    file_of_an_unbound_socket,
    name_of_a_socket_is_not_open [INODES],
    namespace_of_a_socket [FILES],
    ioctls_of_other_families,
    ioctls_of_links_that_are_not_here,
    sendfile_order_of_errors [FILES],
    sendfile_of_files_that_are_no_files [INODES],
    splice_wants_to_write [FILES],
    vectors_are_counted_in_32_bits,
    nosignal_when_reading,
}

const SIOCUNIXFILE: u64 = 0x89e0;
const SIOCGSKNS: u64 = 0x894c;
const SIOCRTMSG: u64 = 0x890d;
const SIOCGIFSLAVE: u64 = 0x8929;
const SIOCSIFPFLAGS: u64 = 0x8934;
const SIOCGIFPFLAGS: u64 = 0x8935;
const SIOCWANDEV: u64 = 0x894a;
const SIOCGIFVLAN: u64 = 0x8982;
const SIOCBONDINFOQUERY: u64 = 0x8994;

/// unix(7): `SIOCUNIXFILE`.
fn file_of_a_bound_socket(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    for (kind, name) in [
        (SOCK_STREAM, "stream"),
        (SOCK_DGRAM, "datagram"),
        (SOCK_SEQPACKET, "packet"),
    ] {
        let fd = ok!(k.socket(AF_UNIX, kind | NB, 0));
        ret!(k.bind(fd, &Addr::path(&dir.join(name))), 0);
        let file = ok!(k.ioctl_raw(fd, SIOCUNIXFILE, 0));
        ret!(k.fcntl(file, libc::F_GETFL, 0), libc::O_PATH);
        ret!(k.fcntl(file, libc::F_GETFD, 0), libc::FD_CLOEXEC);
        err!(k.recv(file, &mut [0], 0), EBADF);
        err!(k.send(file, b"x", 0), EBADF);
        err!(k.ioctl_raw(file, SIOCUNIXFILE, 0), EBADF);
        ret!(k.close(file), 0);
        // Its name does not matter.
        let addr = Addr::path(&dir.join(name));
        ret!(k.call(libc::SYS_unlink, &[addr.ptr() + 2]), 0);
        let file = ok!(k.ioctl_raw(fd, SIOCUNIXFILE, BAD));
        ret!(k.fcntl(file, libc::F_GETFL, 0), libc::O_PATH);
    }
    Ok(())
}

fn file_of_a_bound_socket_is_the_file(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.bind(fd, &Addr::path(&dir.join("s"))), 0);
    let file = ok!(k.ioctl_raw(fd, SIOCUNIXFILE, 0));
    let inode = |path: String| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let there = inode(dir.join("s").display().to_string());
    eq!(inode(format!("/proc/self/fd/{file}")).ok(), there.ok());
    Ok(())
}

/// It shares the listener's path as it shares its name.
fn file_of_an_accepted_socket(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let addr = Addr::path(&dir.join("s"));
    let listener = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.bind(listener, &addr), 0);
    ret!(k.listen(listener, 1), 0);
    let client = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(client, &addr), 0);
    let server = ok!(k.accept(listener));
    ret!(k.close(listener), 0);
    err!(k.ioctl_raw(client, SIOCUNIXFILE, 0), ENOENT);
    let file = ok!(k.ioctl_raw(server, SIOCUNIXFILE, 0));
    ret!(k.fcntl(file, libc::F_GETFL, 0), libc::O_PATH);
    Ok(())
}

fn file_of_an_unbound_socket(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let named = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.bind(named, &Addr::fresh_abstract("file")), 0);
    let (a, _b) = k.pair(AF_UNIX, SOCK_SEQPACKET)?;
    for fd in [fd, named, a] {
        // CAP_NET_ADMIN is asked for first.
        match k.privileged() {
            true => err!(k.ioctl_raw(fd, SIOCUNIXFILE, 0), ENOENT),
            false => err!(k.ioctl_raw(fd, SIOCUNIXFILE, 0), EPERM),
        }
    }
    // Another family's number, which has nothing of the kind.
    let mut request = [0u8; 40];
    let tcp = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(
        k.ioctl_raw(tcp, SIOCUNIXFILE, request.as_mut_ptr() as u64),
        ENOTTY
    );
    err!(k.ioctl_raw(tcp, SIOCUNIXFILE, BAD), EFAULT);
    Ok(())
}

/// open(2) with `O_PATH` of /proc/self/fd/N: fdget() does not see such a descriptor.
fn name_of_a_socket_is_not_open(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let t = k.tcp(AF_INET)?;
    for fd in [a, t.client] {
        let path = format!("/proc/self/fd/{fd}\0");
        let name = ok!(k.call(libc::SYS_open, &[path.as_ptr() as u64, libc::O_PATH as u64]));
        let mut buf = [0u8; 40];
        let at = buf.as_mut_ptr() as u64;
        let n = name as u64;
        err!(k.recv(name, &mut [0; 4], 0), EBADF);
        err!(k.recv(name, &mut [0; 4], libc::MSG_DONTWAIT), EBADF);
        err!(k.send(name, b"x", libc::MSG_NOSIGNAL), EBADF);
        err!(k.read(name, &mut [0; 4]), EBADF);
        err!(k.write(name, b"x"), EBADF);
        err!(k.readv_raw(name, BAD, 9999), EBADF);
        err!(k.writev_raw(name, BAD, 9999), EBADF);
        err!(k.call(libc::SYS_recvmsg, &[n, BAD, 0]), EBADF);
        err!(k.call(libc::SYS_sendmsg, &[n, BAD, 0]), EBADF);
        err!(k.call(libc::SYS_recvmmsg, &[n, BAD, 1, 0, 0]), EBADF);
        err!(k.call(libc::SYS_sendmmsg, &[n, BAD, 1, 0]), EBADF);
        err!(k.call(libc::SYS_shutdown, &[n, 2]), EBADF);
        err!(k.call(libc::SYS_bind, &[n, BAD, 9999]), EBADF);
        err!(k.call(libc::SYS_connect, &[n, BAD, 9999]), EBADF);
        err!(k.listen(name, 1), EBADF);
        err!(k.accept(name), EBADF);
        err!(k.call(libc::SYS_getsockname, &[n, BAD, BAD]), EBADF);
        err!(k.call(libc::SYS_getpeername, &[n, BAD, BAD]), EBADF);
        err!(
            k.set_int(name, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 9),
            EBADF
        );
        err!(k.call(libc::SYS_getsockopt, &[n, 1, 3, BAD, BAD]), EBADF);
        err!(k.ioctl_raw(name, libc::FIONREAD, at), EBADF);
        err!(k.ioctl_raw(name, libc::FIONBIO, at), EBADF);
        let file = k.memfd(b"file")?;
        err!(k.sendfile(name, file, 0, 4), EBADF);
        err!(k.sendfile(file, name, 0, 4), EBADF);
        let (r, w) = k.pipe()?;
        ret!(k.write(w, b"pipe"), 4);
        err!(k.splice(r, name, 4, libc::SPLICE_F_NONBLOCK), EBADF);
        err!(k.splice(name, w, 4, libc::SPLICE_F_NONBLOCK), EBADF);
        ret!(k.close(name), 0);
    }
    // Nothing happened to them.
    ret!(k.send(a, b"still", 0), 5);
    eq!(k.recv_now(b)?, b"still");
    ret!(k.send(t.client, b"here", 0), 4);
    eq!(k.recv_now(t.server)?, b"here");
    Ok(())
}

/// `SIOCGSKNS`, which the library has no descriptor for.
fn namespace_of_a_socket(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [(AF_INET, SOCK_STREAM), (AF_UNIX, SOCK_DGRAM)] {
        let fd = ok!(k.socket(family, kind, 0));
        if !k.privileged() {
            err!(k.ioctl_raw(fd, SIOCGSKNS, 0), EPERM);
            continue;
        }
        let namespace = ok!(k.ioctl_raw(fd, SIOCGSKNS, BAD));
        ret!(k.fcntl(namespace, libc::F_GETFD, 0), libc::FD_CLOEXEC);
        let link = |path: String| {
            std::fs::metadata(path)
                .map(|meta| (meta.dev(), meta.ino()))
                .ok()
        };
        eq!(
            link(format!("/proc/self/fd/{namespace}")),
            link("/proc/self/ns/net".into())
        );
    }
    Ok(())
}

fn ioctls_of_other_families(k: &mut dyn Kernel) -> Outcome {
    let mut request = [0u8; 40];
    let at = request.as_mut_ptr() as u64;
    let inet = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let inet6 = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    let unix = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    err!(k.ioctl_raw(inet, SIOCRTMSG, at), EINVAL);
    err!(k.ioctl_raw(inet, SIOCRTMSG, BAD), EINVAL);
    for command in [SIOCGIFPFLAGS, SIOCSIFPFLAGS] {
        err!(k.ioctl_raw(inet, command, at), EINVAL);
        err!(k.ioctl_raw(inet, command, BAD), EFAULT);
    }
    for fd in [inet6, unix] {
        for command in [SIOCRTMSG, SIOCGIFPFLAGS, SIOCSIFPFLAGS] {
            err!(k.ioctl_raw(fd, command, at), ENOTTY);
            err!(k.ioctl_raw(fd, command, BAD), EFAULT);
        }
    }
    Ok(())
}

fn ioctls_of_links_that_are_not_here(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for (command, of_lo) in [
        (SIOCGIFSLAVE, libc::EINVAL),
        (SIOCWANDEV, libc::EOPNOTSUPP),
        (SIOCBONDINFOQUERY, libc::EOPNOTSUPP),
    ] {
        let mut request = [0u8; 40];
        let at = request.as_mut_ptr() as u64;
        err!(k.ioctl_raw(fd, command, at), ENODEV);
        err!(k.ioctl_raw(fd, command, BAD), EFAULT);
        request[..2].copy_from_slice(b"lo");
        eq!(k.ioctl_raw(fd, command, at), -i64::from(of_lo));
    }
    // The module of VLANs is loaded by nobody here.
    let loaded = std::path::Path::new("/proc/net/vlan").exists();
    if !loaded {
        err!(k.ioctl_raw(fd, SIOCGIFVLAN, BAD), ENOPKG);
    }
    Ok(())
}

/// do_sendfile(): the input, the length and the offset, then the output.
fn sendfile_order_of_errors(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (r, w) = k.pipe()?;
    let file = k.memfd(b"contents")?;
    let mut negative = -1i64;
    let mut zero = 0i64;
    let negative = &raw mut negative as u64;
    let zero = &raw mut zero as u64;
    ret!(k.send(a, b"x", 0), 1);
    err!(k.sendfile(-1, b, 0, 1), EBADF);
    err!(k.sendfile(-1, b, zero, 1), ESPIPE);
    err!(k.sendfile(-1, b, 0, u64::MAX), EINVAL);
    err!(k.sendfile(r, b, 0, 1), EBADF);
    err!(k.sendfile(r, b, zero, 1), ESPIPE);
    err!(k.sendfile(-1, file, negative, 1), EINVAL);
    err!(k.sendfile(a, w, 0, 1), EBADF);
    err!(k.sendfile(a, r, zero, 1), ESPIPE);
    err!(k.sendfile(a, r, 0, 1), EINVAL);
    ret!(k.sendfile(w, b, 0, 1), 1);
    let mut got = [0; 2];
    ret!(k.read(r, &mut got), 1);
    Ok(())
}

/// What has bytes to be spliced, as /dev/zero has and many a file of /proc has not.
fn sendfile_of_files_that_are_no_files(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let zero = ok!(k.open("/dev/zero", libc::O_RDONLY));
    ret!(k.sendfile(a, zero, 0, 3), 3);
    eq!(k.recv_now(b)?, [0; 3]);
    let mut at = 77i64;
    ret!(k.sendfile(a, zero, &raw mut at as u64, 2), 2);
    eq!(k.recv_now(b)?, [0; 2]);
    let null = ok!(k.open("/dev/null", libc::O_RDONLY));
    err!(k.sendfile(a, null, 0, 3), EINVAL);
    let only_written = ok!(k.open("/dev/null", libc::O_WRONLY));
    err!(k.sendfile(a, only_written, 0, 3), EBADF);
    let line = ok!(k.open("/proc/self/stat", libc::O_RDONLY));
    err!(k.sendfile(a, line, 0, 3), EINVAL);
    let fresh = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    err!(k.sendfile(fresh, line, 0, 3), EINVAL);
    Ok(())
}

fn splice_wants_to_write(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (r, w) = k.pipe()?;
    ret!(k.send(a, b"x", 0), 1);
    err!(k.splice(b, r, 1, libc::SPLICE_F_NONBLOCK), EBADF);
    err!(k.splice(w, a, 1, libc::SPLICE_F_NONBLOCK), EBADF);
    eq!(k.recv_now(b)?, b"x");
    Ok(())
}

/// import_iovec() takes an `unsigned`.
fn vectors_are_counted_in_32_bits(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.writev_raw(a, BAD, 1 << 32), 0);
    ret!(k.readv_raw(b, BAD, 1 << 32), 0);
    err!(k.readv_raw(b, BAD, 1025), EINVAL);
    let text = *b"vector";
    let iov = [text.as_ptr() as u64, 6];
    ret!(k.writev_raw(a, iov.as_ptr() as u64, (1 << 32) + 1), 6);
    eq!(k.recv_now(b)?, b"vector");
    Ok(())
}

/// `RWF_NOSIGNAL` is nothing to sock_read_iter(), and so a packet socket, which knows no MSG_NOSIGNAL, does not mind.
fn nosignal_when_reading(k: &mut dyn Kernel) -> Outcome {
    const RWF_NOSIGNAL: u64 = 0x100;
    let fd = k.socket(libc::AF_PACKET, libc::SOCK_RAW | NB, 0);
    if !k.privileged() {
        check!(fd == -i64::from(libc::EPERM), "{fd}");
        return Ok(());
    }
    let mut buf = [0u8; 8];
    let iov = [buf.as_mut_ptr() as u64, 8];
    let args = [
        fd as u64,
        iov.as_ptr() as u64,
        1,
        u64::MAX,
        u64::MAX,
        RWF_NOSIGNAL,
    ];
    err!(k.call(libc::SYS_preadv2, &args), EAGAIN);
    err!(k.recv(fd, &mut buf, libc::MSG_NOSIGNAL), EINVAL);
    Ok(())
}
