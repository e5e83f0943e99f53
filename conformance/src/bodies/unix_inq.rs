//! SO_INQ of unix(7): with each receive a stream tells how much is left (SCM_INQ).

use crate::check::{Outcome, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::{Msg, rights};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, MSG_CTRUNC, MSG_OOB, MSG_PEEK, SCM_CREDENTIALS,
    SCM_RIGHTS, SHUT_WR, SO_PASSCRED, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
    SOL_SOCKET,
};

tests! {
    values_and_types,
    what_is_left,
    nothing_is_left,
    beside_others,
    an_urgent_byte_counts,
    room_for_it,
    not_inherited,
}

const SO_INQ: i32 = 84;

fn values_and_types(k: &mut dyn Kernel) -> Outcome {
    let (a, _) = k.pair(AF_UNIX, SOCK_STREAM)?;
    for value in [1, 0] {
        ret!(k.set_int(a, SOL_SOCKET, SO_INQ, value), 0);
    }
    for value in [2, -1] {
        err!(k.set_int(a, SOL_SOCKET, SO_INQ, value), EINVAL);
    }
    // An int and nothing else.
    for len in [0, 1, 3, 5, 8] {
        err!(
            k.setsockopt(a, SOL_SOCKET, SO_INQ, &[1, 0, 0, 0, 0, 0, 0, 0][..len]),
            EINVAL
        );
    }
    err!(k.getsockopt(a, SOL_SOCKET, SO_INQ, 4).0, ENOPROTOOPT);
    for (family, kind) in [
        (AF_UNIX, SOCK_DGRAM),
        (AF_UNIX, SOCK_SEQPACKET),
        (AF_INET, SOCK_STREAM),
        (AF_INET6, SOCK_DGRAM),
        (AF_NETLINK, SOCK_RAW),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        err!(k.set_int(fd, SOL_SOCKET, SO_INQ, 1), ENOPROTOOPT);
        err!(k.setsockopt(fd, SOL_SOCKET, SO_INQ, &[1]), EINVAL);
        // Only the streams of AF_UNIX look at the length.
        err!(k.setsockopt(fd, SOL_SOCKET, SO_INQ, &[1; 8]), ENOPROTOOPT);
        err!(k.getsockopt(fd, SOL_SOCKET, SO_INQ, 4).0, ENOPROTOOPT);
    }
    Ok(())
}

/// A pair of which the second tells.
fn pair(k: &mut dyn Kernel) -> crate::check::Got<(Fd, Fd)> {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_INQ, 1), 0);
    Ok((a, b))
}

/// A receive: what came, and what it says is left.
fn take(
    k: &mut dyn Kernel,
    fd: Fd,
    room: usize,
    flags: i32,
) -> crate::check::Got<(Vec<u8>, Option<i32>)> {
    let mut msg = Msg::room(&[room]).control_room(64);
    let n = ok!(k.recvmsg(fd, &mut msg, flags));
    let left = msg.cmsg(SOL_SOCKET, SO_INQ);
    Ok((msg.data(n), left.map(|c| crate::mem::as_int(&c.data))))
}

fn what_is_left(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    ret!(k.send(a, b"hello ", 0), 6);
    ret!(k.send(a, b"world", 0), 5);
    eq!(take(k, b, 4, 0)?, (b"hell".to_vec(), Some(7)));
    eq!(take(k, b, 4, MSG_PEEK)?, (b"o wo".to_vec(), Some(7)));
    eq!(take(k, b, 0, 0)?, (Vec::new(), Some(7)));
    eq!(take(k, b, 40, 0)?, (b"o world".to_vec(), Some(0)));
    // The other end was not asked.
    ret!(k.send(b, b"x", 0), 1);
    eq!(take(k, a, 4, 0)?, (b"x".to_vec(), None));
    ret!(k.set_int(b, SOL_SOCKET, SO_INQ, 0), 0);
    ret!(k.send(a, b"x", 0), 1);
    eq!(take(k, b, 4, 0)?, (b"x".to_vec(), None));
    Ok(())
}

fn nothing_is_left(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    let mut msg = Msg::room(&[4]).control_room(64);
    err!(k.recvmsg(b, &mut msg, 0), EAGAIN);
    ret!(k.shutdown(a, SHUT_WR), 0);
    eq!(take(k, b, 4, 0)?, (Vec::new(), Some(0)));
    Ok(())
}

fn beside_others(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_PASSCRED, 1), 0);
    let mut msg = Msg::of(&[b"ab"]).control(&rights(&[a]));
    ret!(k.sendmsg(a, &mut msg, 0), 2);
    let mut msg = Msg::room(&[1]).control_room(128);
    ret!(k.recvmsg(b, &mut msg, 0), 1);
    // It comes last.
    let kinds: Vec<i32> = msg.cmsgs().iter().map(|c| c.kind).collect();
    eq!(kinds, vec![SCM_CREDENTIALS, SCM_RIGHTS, SO_INQ]);
    eq!(
        msg.cmsg(SOL_SOCKET, SO_INQ).map(|c| c.data),
        Some(int(1).to_vec())
    );
    Ok(())
}

fn an_urgent_byte_counts(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    ret!(k.send(a, b"x", MSG_OOB), 1);
    ret!(k.send(a, b"yy", 0), 2);
    let mut msg = Msg::room(&[4]).control_room(64);
    ret!(k.recvmsg(b, &mut msg, MSG_OOB), 1);
    eq!(msg.cmsgs().len(), 0);
    eq!(take(k, b, 1, 0)?, (b"y".to_vec(), Some(1)));
    Ok(())
}

fn room_for_it(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = pair(k)?;
    ret!(k.send(a, b"abc", 0), 3);
    for room in [0, 8] {
        let mut msg = Msg::room(&[1]).control_room(room);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        eq!((room, msg.flags()), (room, MSG_CTRUNC));
    }
    // recv(2) has none.
    let mut buf = [0; 4];
    ret!(k.recv(b, &mut buf, 0), 1);
    Ok(())
}

fn not_inherited(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 5)?;
    ret!(k.set_int(listener, SOL_SOCKET, SO_INQ, 1), 0);
    let client = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ok!(k.connect(client, &addr));
    let server = ok!(k.accept(listener));
    ret!(k.send(client, b"abc", 0), 3);
    eq!(take(k, server, 1, 0)?, (b"a".to_vec(), None));
    Ok(())
}
