//! SCM_CREDENTIALS, SO_PASSCRED and SO_PEERCRED.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Cmsg, Msg, cmsg, cmsg_space, creds, rights, ucred};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_UNIX, SCM_CREDENTIALS, SO_PASSCRED, SO_PEERCRED, SOL_SOCKET};
use libc::{SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};

tests! {
    passcred_default_and_set,
    passcred_brings_credentials,
    without_passcred_nothing_comes,
    passcred_set_after_send,
    explicit_own_credentials,
    forged_pid_as_user [DROP],
    forged_uid_as_user [DROP],
    forged_by_root [ROOT],
    unknown_pid_by_root [ROOT],
    wrong_length,
    credentials_and_rights_together,
    no_room_for_credentials,
    plain_recv_with_passcred,
    autobind_on_connect,
    autobind_on_sendto,
    no_autobind_without_passcred,
    stream_does_not_merge_unlike_senders,
    peercred_of_socketpair,
    peercred_of_connection,
    peercred_of_unconnected,
    peercred_of_listener,
    peercred_lengths,
    peercred_is_read_only,
    peercred_is_of_connect_time [ROOT | DROP],
    peercred_not_for_datagram,
    passcred_inherited_by_accept,
    passcred_on_other_families,
}

fn me(k: &mut dyn Kernel) -> (i32, u32, u32) {
    let pid = k.call(libc::SYS_getpid, &[]) as i32;
    let uid = k.call(libc::SYS_getuid, &[]) as u32;
    let gid = k.call(libc::SYS_getgid, &[]) as u32;
    (pid, uid, gid)
}

fn my_ucred(k: &mut dyn Kernel) -> Vec<u8> {
    let (pid, uid, gid) = me(k);
    ucred(pid, uid, gid)
}

fn passcred(k: &mut dyn Kernel, fd: Fd) -> Got<()> {
    ret!(k.set_int(fd, SOL_SOCKET, SO_PASSCRED, 1), 0);
    Ok(())
}

/// Receives with room; the control messages that came.
fn take(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<Cmsg>> {
    let mut msg = Msg::room(&[64]).control_room(256);
    ok!(k.recvmsg(fd, &mut msg, 0));
    eq!(msg.flags(), 0);
    Ok(msg.cmsgs())
}

fn one(data: Vec<u8>) -> Vec<Cmsg> {
    vec![Cmsg {
        level: SOL_SOCKET,
        kind: SCM_CREDENTIALS,
        data,
    }]
}

fn passcred_default_and_set(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        eq!(k.get_int(fd, SOL_SOCKET, SO_PASSCRED)?, 0);
        ret!(k.set_int(fd, SOL_SOCKET, SO_PASSCRED, 77), 0);
        eq!(k.get_int(fd, SOL_SOCKET, SO_PASSCRED)?, 1);
        ret!(k.set_int(fd, SOL_SOCKET, SO_PASSCRED, 0), 0);
        eq!(k.get_int(fd, SOL_SOCKET, SO_PASSCRED)?, 0);
    }
    Ok(())
}

fn passcred_brings_credentials(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        passcred(k, b)?;
        ret!(k.send(a, b"x", 0), 1);
        eq!(take(k, b)?, one(my_ucred(k)));
    }
    Ok(())
}

fn without_passcred_nothing_comes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let (pid, uid, gid) = me(k);
    let mut msg = Msg::of(&[b"x"]).control(&creds(pid, uid, gid));
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(take(k, b)?, vec![]);
    Ok(())
}

fn passcred_set_after_send(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.send(a, b"x", 0), 1);
    passcred(k, b)?;
    let got = take(k, b)?;
    eq!(got.len(), 1);
    // Nobody had asked at the time: the sender is nobody.
    let nobody = overflow_ucred();
    eq!(got[0].data.clone(), nobody);
    Ok(())
}

/// pid 0 and the overflow ids, which stand for what was never recorded.
fn overflow_ucred() -> Vec<u8> {
    let id = |path| crate::scene::sysctl(path, 0).unwrap_or(65534) as u32;
    ucred(0, id("kernel/overflowuid"), id("kernel/overflowgid"))
}

fn explicit_own_credentials(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    passcred(k, b)?;
    let (pid, uid, gid) = me(k);
    let mut msg = Msg::of(&[b"x"]).control(&creds(pid, uid, gid));
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(take(k, b)?, one(ucred(pid, uid, gid)));
    Ok(())
}

fn forged_pid_as_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    passcred(k, b)?;
    let (pid, uid, gid) = me(k);
    for forged in [1, 0, -1, pid + 1] {
        let mut msg = Msg::of(&[b"x"]).control(&creds(forged, uid, gid));
        err!(k.sendmsg(a, &mut msg, 0), EPERM);
    }
    Ok(())
}

fn forged_uid_as_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let (a, _b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let (pid, uid, gid) = me(k);
    for (u, g) in [(0, gid), (uid, 0), (uid + 1, gid), (uid, gid + 1)] {
        let mut msg = Msg::of(&[b"x"]).control(&creds(pid, u, g));
        err!(k.sendmsg(a, &mut msg, 0), EPERM);
    }
    // An id that is none at all is invalid, not forbidden.
    let mut msg = Msg::of(&[b"x"]).control(&creds(pid, u32::MAX, gid));
    err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    Ok(())
}

fn forged_by_root(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    passcred(k, b)?;
    let mut msg = Msg::of(&[b"x"]).control(&creds(1, 1234, 5678));
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(take(k, b)?, one(ucred(1, 1234, 5678)));
    Ok(())
}

fn unknown_pid_by_root(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let mut msg = Msg::of(&[b"x"]).control(&creds(i32::MAX, 0, 0));
    err!(k.sendmsg(a, &mut msg, 0), ESRCH);
    Ok(())
}

fn wrong_length(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let own = my_ucred(k);
    for len in [0, 4, 11] {
        let mut msg = Msg::of(&[b"x"]).control(&cmsg(SOL_SOCKET, SCM_CREDENTIALS, &own[..len]));
        err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    }
    let mut long = own.clone();
    long.push(0);
    let mut msg = Msg::of(&[b"x"]).control(&cmsg(SOL_SOCKET, SCM_CREDENTIALS, &long));
    err!(k.sendmsg(a, &mut msg, 0), EINVAL);
    err!(k.recv(b, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn credentials_and_rights_together(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    passcred(k, b)?;
    let mut msg = Msg::of(&[b"x"]).control(&rights(&[a]));
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    let got = take(k, b)?;
    // Credentials first, then rights.
    eq!(got.len(), 2);
    eq!(got[0].kind, SCM_CREDENTIALS);
    eq!(got[1].kind, libc::SCM_RIGHTS);
    Ok(())
}

fn no_room_for_credentials(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    passcred(k, b)?;
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[4]);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), libc::MSG_CTRUNC);
    // A part of them is delivered where there is room for a part.
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[4]).control_room(20);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), libc::MSG_CTRUNC);
    eq!(msg.hdr.msg_controllen, 20);
    let got = msg.cmsgs();
    eq!(got.len(), 1);
    eq!(got[0].data.len(), 4);
    // Exactly enough.
    ret!(k.send(a, b"x", 0), 1);
    let mut msg = Msg::room(&[4]).control_room(cmsg_space(12));
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    eq!(msg.flags(), 0);
    eq!(msg.hdr.msg_controllen, cmsg_space(12));
    Ok(())
}

fn plain_recv_with_passcred(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    passcred(k, b)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(k.recv_now(b)?, b"x");
    Ok(())
}

fn autobind_on_connect(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 4)?;
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    passcred(k, c)?;
    ret!(k.connect(c, &addr), 0);
    let name = k.sockname(c)?;
    eq!(name.len(), 8);
    eq!(name.0[2], 0);
    let (s, peer) = k.accept_from(listener);
    ok!(s);
    eq!(peer, name);
    Ok(())
}

fn autobind_on_sendto(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let from = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    passcred(k, from)?;
    ret!(k.sendto(from, b"x", 0, &addr), 1);
    let name = k.sockname(from)?;
    eq!(name.len(), 8);
    let mut buf = [0; 4];
    eq!(k.recvfrom(to, &mut buf, 0), (1, name));
    // Even when the send then fails.
    let from = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    passcred(k, from)?;
    err!(
        k.sendto(from, b"x", 0, &Addr::fresh_abstract("nobody")),
        ECONNREFUSED
    );
    eq!(k.sockname(from)?.len(), 8);
    Ok(())
}

fn no_autobind_without_passcred(k: &mut dyn Kernel) -> Outcome {
    let (_to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let from = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.connect(from, &addr), 0);
    ret!(k.send(from, b"x", 0), 1);
    eq!(k.sockname(from)?, Addr::unix(b""));
    Ok(())
}

fn stream_does_not_merge_unlike_senders(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // Sent before anyone asked for credentials, and after.
    ret!(k.send(a, b"before", 0), 6);
    passcred(k, b)?;
    ret!(k.send(a, b"after", 0), 5);
    let mut msg = Msg::room(&[64]).control_room(256);
    ret!(k.recvmsg(b, &mut msg, 0), 6);
    let mut msg = Msg::room(&[64]).control_room(256);
    ret!(k.recvmsg(b, &mut msg, 0), 5);
    eq!(msg.cmsgs(), one(my_ucred(k)));
    Ok(())
}

fn peercred_of_socketpair(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind)?;
        let own = my_ucred(k);
        eq!(
            k.getsockopt(a, SOL_SOCKET, SO_PEERCRED, 12),
            (0, own.clone())
        );
        eq!(k.getsockopt(b, SOL_SOCKET, SO_PEERCRED, 12), (0, own));
    }
    Ok(())
}

fn peercred_of_connection(k: &mut dyn Kernel) -> Outcome {
    let (client, server, _l, _) = k.unix_connected(SOCK_STREAM)?;
    let own = my_ucred(k);
    eq!(
        k.getsockopt(client, SOL_SOCKET, SO_PEERCRED, 12),
        (0, own.clone())
    );
    eq!(k.getsockopt(server, SOL_SOCKET, SO_PEERCRED, 12), (0, own));
    Ok(())
}

fn peercred_of_unconnected(k: &mut dyn Kernel) -> Outcome {
    let none = ucred(0, u32::MAX, u32::MAX);
    for (family, kind) in [
        (AF_UNIX, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
        (AF_INET, SOCK_STREAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        eq!(
            k.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, 12),
            (0, none.clone())
        );
    }
    Ok(())
}

fn peercred_of_listener(k: &mut dyn Kernel) -> Outcome {
    // A listener's own credentials, kept for those who connect.
    let (listener, _) = k.unix_listener(SOCK_STREAM, 1)?;
    let own = my_ucred(k);
    eq!(
        k.getsockopt(listener, SOL_SOCKET, SO_PEERCRED, 12),
        (0, own)
    );
    Ok(())
}

fn peercred_lengths(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let own = my_ucred(k);
    for cap in [0, 4, 11, 12, 40] {
        let (got, value) = k.getsockopt(a, SOL_SOCKET, SO_PEERCRED, cap);
        eq!(got, 0);
        eq!(value, own[..cap.min(12)].to_vec());
    }
    Ok(())
}

fn peercred_is_read_only(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    err!(
        k.setsockopt(a, SOL_SOCKET, SO_PEERCRED, &ucred(1, 0, 0)),
        ENOPROTOOPT
    );
    Ok(())
}

fn peercred_is_of_connect_time(k: &mut dyn Kernel) -> Outcome {
    let (client, server, listener, addr) = k.unix_connected(SOCK_STREAM)?;
    let own = my_ucred(k);
    check!(k.drop_privileges(), "could not become an ordinary user");
    // What was connected as root stays root's.
    eq!(
        k.getsockopt(server, SOL_SOCKET, SO_PEERCRED, 12),
        (0, own.clone())
    );
    let late = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.connect(late, &addr), 0);
    let server = ok!(k.accept(listener));
    let now = my_ucred(k);
    check!(now != own, "{now:?}");
    eq!(k.getsockopt(server, SOL_SOCKET, SO_PEERCRED, 12), (0, now));
    // The listener's side: who called listen.
    eq!(
        k.getsockopt(late, SOL_SOCKET, SO_PEERCRED, 12),
        (0, own.clone())
    );
    eq!(k.getsockopt(client, SOL_SOCKET, SO_PEERCRED, 12), (0, own));
    Ok(())
}

fn peercred_not_for_datagram(k: &mut dyn Kernel) -> Outcome {
    let (_to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &addr), 0);
    let none = ucred(0, u32::MAX, u32::MAX);
    eq!(k.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, 12), (0, none));
    Ok(())
}

fn passcred_inherited_by_accept(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 4)?;
    passcred(k, listener)?;
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.connect(c, &addr), 0);
    let s = ok!(k.accept(listener));
    eq!(k.get_int(s, SOL_SOCKET, SO_PASSCRED)?, 1);
    ret!(k.send(c, b"x", 0), 1);
    eq!(take(k, s)?, one(my_ucred(k)));
    Ok(())
}

fn passcred_on_other_families(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    let (get, _) = k.getsockopt(fd, SOL_SOCKET, SO_PASSCRED, 4);
    let set = k.set_int(fd, SOL_SOCKET, SO_PASSCRED, 1);
    // Since Linux 6.16 it is refused; before, it was stored.
    let refused = -i64::from(libc::EOPNOTSUPP);
    check!(
        (get, set) == (refused, refused) || (get, set) == (0, 0),
        "get {get}, set {set}"
    );
    Ok(())
}
