//! What unix(7) has of options and control messages: pidfds, groups and contexts of the peer, who takes
//! files, peeking at an offset; and what of a stream is not glued together.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Msg, creds, rights};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, WB};
use libc::{AF_INET, AF_UNIX, MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, SO_PASSCRED, SOCK_DGRAM};
use libc::{SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};

tests! {
    passpidfd_values,
    pidfd_with_each_message,
    pidfd_needs_room,
    pidfd_and_credentials_and_rights,
    pidfd_of_a_message_from_before,
    peerpidfd,
    peerpidfd_without_a_peer,
    peergroups,
    peersec_and_passsec,
    passrights_values,
    passrights_refuses_files,
    passrights_later_is_too_late,
    accepted_socket_inherits_them,
    not_for_other_families,
    peek_off_values,
    peek_off_stream,
    peek_off_messages,
    peek_off_waits_for_more,
    peek_off_moves_back,
    peek_off_sees_rights,
    different_writers_are_not_glued,
    rights_end_a_read,
}

const SO_PASSPIDFD: i32 = 76;
const SO_PEERPIDFD: i32 = 77;
const SO_PEERGROUPS: i32 = 59;
const SO_PEERSEC: i32 = 31;
const SO_PASSSEC: i32 = 34;
const SO_PASSRIGHTS: i32 = 83;
const SO_PEEK_OFF: i32 = 42;
const SCM_PIDFD: i32 = 4;

const TYPES: [i32; 3] = [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET];

/// A flag that can be set and asked for, and what it is at first; `None`: the kernel has it not.
fn flag(k: &mut dyn Kernel, name: i32, first: i32) -> Got<Option<()>> {
    for kind in TYPES {
        let (a, _b) = k.pair(AF_UNIX, kind)?;
        if k.getsockopt(a, SOL_SOCKET, name, 4).0 == -i64::from(libc::ENOPROTOOPT) {
            return Ok(None);
        }
        eq!(k.get_int(a, SOL_SOCKET, name)?, first);
        for value in [1, 0, 7] {
            ret!(k.set_int(a, SOL_SOCKET, name, value), 0);
            eq!(k.get_int(a, SOL_SOCKET, name)?, i32::from(value != 0));
        }
        err!(k.setsockopt(a, SOL_SOCKET, name, &[1; 3]), EINVAL);
    }
    Ok(Some(()))
}

macro_rules! has {
    ($e:expr) => {
        if $e.is_none() {
            crate::check::skip!("this kernel has it not");
        }
    };
}

fn one(k: &mut dyn Kernel, from: Fd, control: &[u8]) -> i64 {
    k.sendmsg(from, &mut Msg::of(&[b"x"]).control(control), 0)
}

fn passpidfd_values(k: &mut dyn Kernel) -> Outcome {
    has!(flag(k, SO_PASSPIDFD, 0)?);
    Ok(())
}

/// The descriptor of the one control message, which is a pidfd.
fn pidfd(k: &mut dyn Kernel, msg: &Msg) -> Got<Fd> {
    let all = msg.cmsgs();
    let last = all.last().map(|c| (c.level, c.kind, c.ints()));
    let Some((SOL_SOCKET, SCM_PIDFD, ints)) = last else {
        return crate::check::fail("SCM_PIDFD", format!("{last:?}"));
    };
    eq!(ints.len(), 1);
    let fd = i64::from(ints[0]);
    check!(fd >= 0, "{fd}");
    // Close-on-exec, whatever was asked for.
    ret!(k.fcntl(fd, libc::F_GETFD, 0), libc::FD_CLOEXEC);
    // The process is there: nothing to read.
    mask!(k, fd, 0);
    Ok(fd)
}

fn pidfd_with_each_message(k: &mut dyn Kernel) -> Outcome {
    for kind in TYPES {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        ret!(k.set_int(b, SOL_SOCKET, SO_PASSPIDFD, 1), 0);
        for _ in 0..2 {
            ret!(k.send(a, b"x", 0), 1);
            let mut msg = Msg::room(&[4]).control_room(64);
            ret!(k.recvmsg(b, &mut msg, 0), 1);
            eq!(msg.flags(), 0);
            let fd = pidfd(k, &msg)?;
            ret!(k.close(fd), 0);
        }
        ret!(k.set_int(b, SOL_SOCKET, SO_PASSPIDFD, 0), 0);
        ret!(k.send(a, b"x", 0), 1);
        let mut msg = Msg::room(&[4]).control_room(64);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        eq!(msg.cmsgs().len(), 0);
    }
    Ok(())
}

fn pidfd_needs_room(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_PASSPIDFD, 1), 0);
    let before = k.descriptor_count();
    for room in [0, 8, 16, 19] {
        ret!(k.send(a, b"x", 0), 1);
        let mut msg = Msg::room(&[4]).control_room(room);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        eq!(msg.flags(), MSG_CTRUNC);
        eq!(msg.cmsgs().len(), 0);
    }
    eq!(k.descriptor_count(), before);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[4]).control_room(20);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), 0);
    pidfd(k, &msg)?;
    Ok(())
}

fn pidfd_and_credentials_and_rights(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    for name in [SO_PASSPIDFD, SO_PASSCRED] {
        ret!(k.set_int(b, SOL_SOCKET, name, 1), 0);
    }
    let pid = ok!(k.call(libc::SYS_getpid, &[])) as i32;
    let uid = ok!(k.call(libc::SYS_getuid, &[])) as u32;
    let gid = ok!(k.call(libc::SYS_getgid, &[])) as u32;
    let control = [creds(pid, uid, gid), rights(&[a])].concat();
    ret!(one(k, a, &control), 1);
    let mut msg = Msg::room(&[4]).control_room(200);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    let kinds: Vec<i32> = msg.cmsgs().iter().map(|c| c.kind).collect();
    eq!(
        kinds,
        vec![libc::SCM_CREDENTIALS, libc::SCM_RIGHTS, SCM_PIDFD]
    );
    pidfd(k, &msg)?;
    // Room for the first two only.
    ret!(one(k, a, &rights(&[a])), 1);
    let mut msg = Msg::room(&[4]).control_room(32 + 24);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.cmsgs().len(), 2);
    eq!(msg.flags(), MSG_CTRUNC);
    Ok(())
}

fn pidfd_of_a_message_from_before(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"x", 0), 1);
    ret!(k.set_int(b, SOL_SOCKET, SO_PASSPIDFD, 1), 0);
    let mut msg = Msg::room(&[4]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    // Nobody had asked: it is not known whose it was.
    eq!(msg.cmsgs().len(), 0);
    eq!(msg.flags(), 0);
    Ok(())
}

fn peerpidfd(k: &mut dyn Kernel) -> Outcome {
    let (client, server, listener, _) = k.unix_connected(SOCK_STREAM)?;
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET)?;
    let (c, d) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    for fd in [client, server, listener, a, b, c, d] {
        let pidfd = i64::from(k.get_int(fd, SOL_SOCKET, SO_PEERPIDFD)?);
        check!(pidfd > 2, "{pidfd}");
        ret!(k.fcntl(pidfd, libc::F_GETFD, 0), libc::FD_CLOEXEC);
        mask!(k, pidfd, 0);
        ret!(k.close(pidfd), 0);
        err!(k.set_int(fd, SOL_SOCKET, SO_PEERPIDFD, 1), ENOPROTOOPT);
    }
    Ok(())
}

fn peerpidfd_without_a_peer(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_UNIX, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
        (AF_INET, SOCK_STREAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        for name in [SO_PEERPIDFD, SO_PEERGROUPS] {
            ret!(k.getsockopt(fd, SOL_SOCKET, name, 64).0, -libc::ENODATA);
        }
    }
    Ok(())
}

fn peergroups(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let mut groups = [0u32; 1024];
    let args = [groups.len() as u64, groups.as_mut_ptr() as u64];
    let count = k.call(libc::SYS_getgroups, &args).max(0) as usize;
    let want: Vec<u8> = groups[..count]
        .iter()
        .flat_map(|g| g.to_ne_bytes())
        .collect();
    eq!(k.getsockopt(a, SOL_SOCKET, SO_PEERGROUPS, 4096), (0, want));
    if count > 0 {
        let mut value = [0u8; 4096];
        let mut len = 4 * count as i32 - 1;
        let args = (value.as_mut_ptr() as u64, &raw mut len as u64);
        err!(
            k.getsockopt_raw(a, SOL_SOCKET, SO_PEERGROUPS, args.0, args.1),
            ERANGE
        );
        eq!(len, 4 * count as i32);
    }
    err!(k.set_int(a, SOL_SOCKET, SO_PEERGROUPS, 1), ENOPROTOOPT);
    Ok(())
}

/// SO_PEERSEC, and SO_PASSSEC with SCM_SECURITY: as without a security module.
fn peersec_and_passsec(k: &mut dyn Kernel) -> Outcome {
    has!(flag(k, SO_PASSSEC, 0)?);
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let (got, _) = k.getsockopt(a, SOL_SOCKET, SO_PEERSEC, 64);
    if got != -i64::from(libc::ENOPROTOOPT) {
        crate::check::skip!("this kernel has a security module");
    }
    ret!(k.set_int(b, SOL_SOCKET, SO_PASSSEC, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[4]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.cmsgs().len(), 0);
    eq!(msg.flags(), 0);
    Ok(())
}

fn passrights_values(k: &mut dyn Kernel) -> Outcome {
    has!(flag(k, SO_PASSRIGHTS, 1)?);
    Ok(())
}

fn passrights_refuses_files(k: &mut dyn Kernel) -> Outcome {
    for kind in TYPES {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        if k.set_int(b, SOL_SOCKET, SO_PASSRIGHTS, 0) != 0 {
            crate::check::skip!("this kernel has it not");
        }
        err!(one(k, a, &rights(&[a])), EPERM);
        err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
        // Other messages pass, and the other way everything does.
        ret!(one(k, a, &[]), 1);
        ret!(one(k, b, &rights(&[a])), 1);
        ret!(k.set_int(b, SOL_SOCKET, SO_PASSRIGHTS, 1), 0);
        ret!(one(k, a, &rights(&[a])), 1);
    }
    Ok(())
}

fn passrights_later_is_too_late(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(one(k, a, &rights(&[a])), 1);
    if k.set_int(b, SOL_SOCKET, SO_PASSRIGHTS, 0) != 0 {
        crate::check::skip!("this kernel has it not");
    }
    let mut msg = Msg::room(&[4]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.fds().len(), 1);
    Ok(())
}

fn accepted_socket_inherits_them(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 4)?;
    for (name, value) in [
        (SO_PASSPIDFD, 1),
        (SO_PASSCRED, 1),
        (SO_PASSSEC, 1),
        (SO_PASSRIGHTS, 0),
    ] {
        ret!(k.set_int(listener, SOL_SOCKET, name, value), 0);
    }
    let client = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(client, &addr), 0);
    let server = ok!(k.accept(listener));
    for (name, value) in [
        (SO_PASSPIDFD, 1),
        (SO_PASSCRED, 1),
        (SO_PASSSEC, 1),
        (SO_PASSRIGHTS, 0),
    ] {
        eq!(k.get_int(server, SOL_SOCKET, name)?, value);
    }
    eq!(k.get_int(client, SOL_SOCKET, SO_PASSPIDFD)?, 0);
    Ok(())
}

fn not_for_other_families(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET, kind, 0));
        for name in [SO_PASSPIDFD, SO_PASSSEC, SO_PASSRIGHTS] {
            ret!(k.getsockopt(fd, SOL_SOCKET, name, 4).0, -libc::EOPNOTSUPP);
            err!(k.set_int(fd, SOL_SOCKET, name, 1), EOPNOTSUPP);
        }
        ret!(
            k.getsockopt(fd, SOL_SOCKET, SO_PEERSEC, 64).0,
            -libc::ENOPROTOOPT
        );
    }
    Ok(())
}

fn peek_off_values(k: &mut dyn Kernel) -> Outcome {
    for kind in TYPES {
        let (a, _b) = k.pair(AF_UNIX, kind)?;
        eq!(k.get_int(a, SOL_SOCKET, SO_PEEK_OFF)?, -1);
        for value in [0, 5, -1, -5, i32::MAX] {
            ret!(k.set_int(a, SOL_SOCKET, SO_PEEK_OFF, value), 0);
            eq!(k.get_int(a, SOL_SOCKET, SO_PEEK_OFF)?, value);
        }
    }
    Ok(())
}

/// A peek of up to this many bytes: what it shows, and where the next one begins.
fn peek(k: &mut dyn Kernel, fd: Fd, room: usize) -> Got<(Vec<u8>, i32)> {
    let mut buf = vec![0; room];
    let n = k.recv(fd, &mut buf, MSG_PEEK | MSG_DONTWAIT);
    if n == -i64::from(libc::EAGAIN) {
        buf.clear();
    } else {
        buf.truncate(ok!(n) as usize);
    }
    Ok((buf, k.get_int(fd, SOL_SOCKET, SO_PEEK_OFF)?))
}

fn peek_off_stream(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 0), 0);
    ret!(k.send(a, b"abc", 0), 3);
    ret!(k.send(a, b"defghi", 0), 6);
    for (want, off) in [
        ("ab", 2),
        ("cd", 4),
        ("ef", 6),
        ("gh", 8),
        ("i", 9),
        ("", 9),
    ] {
        eq!(peek(k, b, 2)?, (want.as_bytes().to_vec(), off));
    }
    ret!(k.recv(b, &mut [0; 4], 0), 4);
    eq!(peek(k, b, 2)?, (vec![], 5));
    ret!(k.send(a, b"jkl", 0), 3);
    eq!(peek(k, b, 8)?, (b"jkl".to_vec(), 8));
    // A message begins behind the front, and goes on over its end.
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 1), 0);
    eq!(peek(k, b, 6)?, (b"fghijk".to_vec(), 7));
    // Off: from the front, again and again.
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, -1), 0);
    eq!(peek(k, b, 2)?, (b"ef".to_vec(), -1));
    eq!(peek(k, b, 2)?, (b"ef".to_vec(), -1));
    Ok(())
}

fn peek_off_messages(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 0), 0);
        ret!(k.send(a, b"abcdef", 0), 6);
        ret!(k.send(a, b"ghi", 0), 3);
        for (want, off) in [
            ("ab", 2),
            ("cd", 4),
            ("ef", 6),
            ("gh", 8),
            ("i", 9),
            ("", 9),
        ] {
            eq!(peek(k, b, 2)?, (want.as_bytes().to_vec(), off));
        }
        // The whole message goes, whatever was read of it.
        ret!(k.recv(b, &mut [0; 4], 0), 4);
        eq!(peek(k, b, 2)?, (vec![], 3));
        ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 1), 0);
        let flags = MSG_PEEK | libc::MSG_TRUNC;
        ret!(k.recv(b, &mut [0; 1], flags), 2);
        eq!(k.get_int(b, SOL_SOCKET, SO_PEEK_OFF)?, 2);
        let mut msg = Msg::room(&[8]);
        ret!(k.recvmsg(b, &mut msg, MSG_PEEK), 1);
        eq!(msg.flags(), 0);
    }
    Ok(())
}

fn peek_off_waits_for_more(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 3), 0);
    ret!(k.send(a, b"abc", 0), 3);
    mask!(k, b, R | WB);
    err!(k.recv(b, &mut [0; 4], MSG_PEEK), EAGAIN);
    ret!(k.send(a, b"d", 0), 1);
    eq!(peek(k, b, 4)?, (b"d".to_vec(), 4));
    Ok(())
}

fn peek_off_moves_back(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 4), 0);
    ret!(k.send(a, b"abcdef", 0), 6);
    ret!(k.recv(b, &mut [0; 1], 0), 1);
    eq!(peek(k, b, 1)?, (b"e".to_vec(), 4));
    // Never before the front.
    ret!(k.recv(b, &mut [0; 5], 0), 5);
    eq!(k.get_int(b, SOL_SOCKET, SO_PEEK_OFF)?, 0);
    Ok(())
}

fn peek_off_sees_rights(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_PEEK_OFF, 0), 0);
    let mut msg = Msg::of(&[b"abcd"]).control(&rights(&[a]));
    ret!(k.sendmsg(a, &mut msg, 0), 4);
    for off in [2, 4] {
        let mut msg = Msg::room(&[2]).control_room(64);
        ret!(k.recvmsg(b, &mut msg, MSG_PEEK), 2);
        eq!(msg.fds().len(), 1);
        eq!(k.get_int(b, SOL_SOCKET, SO_PEEK_OFF)?, off);
    }
    Ok(())
}

fn different_writers_are_not_glued(k: &mut dyn Kernel) -> Outcome {
    for name in [SO_PASSCRED, SO_PASSPIDFD] {
        let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
        // The first carries nobody's credentials, the others their writer's.
        ret!(k.send(a, b"ab", 0), 2);
        ret!(k.set_int(b, SOL_SOCKET, name, 1), 0);
        ret!(k.send(a, b"cd", 0), 2);
        ret!(k.send(a, b"ef", 0), 2);
        ret!(k.recv(b, &mut [0; 8], 0), 2);
        ret!(k.recv(b, &mut [0; 8], 0), 4);
    }
    Ok(())
}

fn rights_end_a_read(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"ab", 0), 2);
    let mut msg = Msg::of(&[b"cd"]).control(&rights(&[a]));
    ret!(k.sendmsg(a, &mut msg, 0), 2);
    ret!(k.send(a, b"ef", 0), 2);
    let mut msg = Msg::room(&[16]).control_room(64);
    // What lies before them comes with them, what lies behind them not.
    ret!(k.recvmsg(b, &mut msg, 0), 4);
    eq!(msg.fds().len(), 1);
    let mut msg = Msg::room(&[16]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, 0), 2);
    eq!(msg.fds().len(), 0);
    Ok(())
}
