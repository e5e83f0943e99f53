//! What sentences of the man pages imply and no other body asks.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret, skip};
use crate::kernel::Kernel;
use crate::mem::Edge;
use crate::msg::{Batch, Msg};
use crate::registry::tests;
use crate::scene::TempDir;
use crate::sys::WB;
use libc::{
    AF_INET, AF_UNIX, IP_RECVERR, IPPROTO_IP, MSG_ERRQUEUE, MSG_WAITALL, POLLERR, SO_RCVTIMEO,
    SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET,
};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

tests! {
    waitall_of_many_ends_with_its_time [TIMEOUTS],
    waitall_of_many_goes_on [THREADS],
    each_of_many_has_a_time_of_its_own [THREADS],
    a_read_error_is_stamped,
    what_may_be_written_can_be_sent [INODES],
    file_system_user_decides [INODES | ROOT],
    root_without_capabilities_is_asked [INODES | ROOT],
}

fn room(count: usize, each: usize) -> Batch {
    Batch::new((0..count).map(|_| Msg::room(&[each])).collect())
}

fn timeval(milliseconds: i64) -> Vec<u8> {
    [0i64.to_ne_bytes(), (milliseconds * 1000).to_ne_bytes()].concat()
}

/// recvmmsg(2), "the flags argument": those of recvmsg(2), so of a stream each entry waits for all it has room for.
fn waitall_of_many_ends_with_its_time(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let unix = k.pair(AF_UNIX, SOCK_STREAM)?;
    for (sender, receiver) in [(t.client, t.server), unix] {
        k.fcntl(receiver, libc::F_SETFL, 0);
        ret!(
            k.setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &timeval(20)),
            0
        );
        ret!(k.send(sender, b"hello", 0), 5);
        let mut into = room(3, 10);
        ret!(k.recvmmsg_raw(receiver, into.ptr(), 3, MSG_WAITALL, 0), 1);
        eq!(into.lens()[0], 5);
    }
    Ok(())
}

fn waitall_of_many_goes_on(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let unix = k.pair(AF_UNIX, SOCK_STREAM)?;
    for (sender, receiver) in [(t.client, t.server), unix] {
        k.fcntl(receiver, libc::F_SETFL, 0);
        let Some(mut other) = k.another_thread() else {
            skip!("no second thread");
        };
        ret!(k.send(sender, b"hello", 0), 5);
        let blocked = std::thread::spawn(move || {
            let other: &mut dyn Kernel = &mut *other;
            let mut into = room(3, 10);
            let n = other.recvmmsg_raw(receiver, into.ptr(), 3, MSG_WAITALL, 0);
            into.take_back();
            (n, into.lens())
        });
        k.pause(Duration::from_millis(20));
        check!(!blocked.is_finished(), "recvmmsg returned with a part");
        ret!(k.send(sender, b"67890abc", 0), 8);
        k.pause(Duration::from_millis(20));
        check!(!blocked.is_finished(), "recvmmsg returned with one");
        ret!(k.send(sender, b"defghij", 0), 7);
        k.pause(Duration::from_millis(20));
        ret!(k.send(sender, b"end", 0), 3);
        ret!(k.shutdown(sender, libc::SHUT_WR), 0);
        let (n, lens) = blocked.join().unwrap_or((-1, Vec::new()));
        ret!(n, 3);
        eq!(lens, vec![10, 10, 3]);
    }
    Ok(())
}

/// socket(7), SO_RCVTIMEO, is of each message: recvmmsg(2) is as good as a loop of recvmsg(2).
fn each_of_many_has_a_time_of_its_own(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    ret!(k.setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &timeval(400)), 0);
    let Some(mut other) = k.another_thread() else {
        skip!("no second thread");
    };
    ret!(k.send(a, b"1", 0), 1);
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        let mut into = room(4, 10);
        other.recvmmsg_raw(b, into.ptr(), 4, 0, 0)
    });
    // Together more than one has.
    for _ in 0..2 {
        k.pause(Duration::from_millis(250));
        ret!(k.send(a, b"2", 0), 1);
    }
    ret!(blocked.join().unwrap_or(-1), 3);
    Ok(())
}

/// ioctl(2), SIOCGSTAMP: "the receive timestamp of the last packet passed to the user", and an entry of the error queue
/// counts as one.
fn a_read_error_is_stamped(k: &mut dyn Kernel) -> Outcome {
    const SIOCGSTAMP: u64 = 0x8906;
    let mut out = [0i64; 2];
    for asked in [false, true] {
        let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        ret!(k.set_int(fd, IPPROTO_IP, IP_RECVERR, 1), 0);
        if asked {
            err!(k.ioctl_raw(fd, SIOCGSTAMP, out.as_mut_ptr() as u64), ENOENT);
        }
        ret!(k.sendto(fd, b"abc", 0, &addr), 3);
        mask!(k, fd, WB | POLLERR);
        ret!(k.recv(fd, &mut [0; 8], MSG_ERRQUEUE), 3);
        ret!(k.ioctl_raw(fd, SIOCGSTAMP, out.as_mut_ptr() as u64), 0);
        check!(out[0] > 0, "stamped at {out:?}");
    }
    Ok(())
}

/// mmap(2): "on some hardware architectures, PROT_WRITE implies PROT_READ", as on x86. Not for the library: what memory is, its
/// embedder says.
fn what_may_be_written_can_be_sent(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    let edge = Edge::new().write_only();
    ret!(k.send_raw(a, edge.at(4), 4, 0), 4);
    err!(k.send_raw(a, edge.at(4), 5, 0), EFAULT);
    let edge = Edge::new().read_only();
    err!(k.recv_raw(b, edge.at(4), 4, 0), EFAULT);
    Ok(())
}

fn at(path: &Path, mode: u32) -> Outcome {
    let set = std::fs::set_permissions(path, Permissions::from_mode(mode));
    check!(set.is_ok(), "chmod: {set:?}");
    Ok(())
}

/// A socket in a directory, both root's alone.
fn of_root(k: &mut dyn Kernel, dir: &TempDir) -> Got<(PathBuf, PathBuf)> {
    let (made, more) = (dir.join("s"), dir.join("more"));
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::path(&made)), 0);
    at(&made, 0o700)?;
    at(&dir.0, 0o755)?;
    Ok((made, more))
}

/// setfsuid(2): "the user ID that the Linux kernel uses to check for all accesses to the filesystem".
fn file_system_user_decides(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let (made, more) = of_root(k, &dir)?;
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &Addr::path(&made)), 0);
    ret!(k.call(libc::SYS_setfsuid, &[65534]), 0);
    err!(k.connect(fd, &Addr::path(&made)), EACCES);
    err!(k.bind(fd, &Addr::path(&more)), EACCES);
    ret!(k.call(libc::SYS_setfsuid, &[0]), 65534);
    ret!(k.connect(fd, &Addr::path(&made)), 0);
    ret!(k.bind(fd, &Addr::path(&more)), 0);
    Ok(())
}

/// capabilities(7), CAP_DAC_OVERRIDE: without it root is asked for permissions as everybody is.
fn root_without_capabilities_is_asked(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let (made, more) = of_root(k, &dir)?;
    at(&made, 0o500)?;
    at(&dir.0, 0o555)?;
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &Addr::path(&made)), 0);
    // _LINUX_CAPABILITY_VERSION_3, and of each half the effective, the permitted and the inheritable ones.
    let head = [0x2008_0522u32, 0];
    let mut full = [0u32; 6];
    let head = head.as_ptr() as u64;
    ret!(
        k.call(libc::SYS_capget, &[head, full.as_mut_ptr() as u64]),
        0
    );
    let none = [0, full[1], full[2], 0, full[4], full[5]];
    ret!(k.call(libc::SYS_capset, &[head, none.as_ptr() as u64]), 0);
    err!(k.connect(fd, &Addr::path(&made)), EACCES);
    err!(k.bind(fd, &Addr::path(&more)), EACCES);
    at(&made, 0o200)?;
    ret!(k.connect(fd, &Addr::path(&made)), 0);
    ret!(k.call(libc::SYS_capset, &[head, full.as_ptr() as u64]), 0);
    ret!(k.bind(fd, &Addr::path(&more)), 0);
    at(&dir.0, 0o755)?;
    Ok(())
}
