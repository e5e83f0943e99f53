//! AF_NETLINK: filters, credentials, groups, and NETLINK_USERSOCK between processes.

use super::netlink::{answers, ifinfo, nl, request, route};
use crate::cbpf::{RET_A, ldb, ret_k};
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::{Msg, cmsg, creds, rights, ucred};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{
    AF_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP, NETLINK_LIST_MEMBERSHIPS,
    NETLINK_LISTEN_ALL_NSID, NETLINK_NO_ENOBUFS, NETLINK_PKTINFO, SCM_CREDENTIALS, SO_PASSCRED,
    SOCK_RAW, SOL_SOCKET,
};
use std::time::Duration;

tests! {
    answers_are_filtered,
    dumps_are_filtered,
    kernel_credentials,
    options_of_other_families,
    memberships_have_a_length,
    memberships_as_far_as_there_is_room,
    an_int_is_read_for_any_option,
    groups_of_each_protocol,
    privileged_groups [DROP],
    all_namespaces [DROP],
    uevents_are_to_hear,
    user_to_user,
    user_to_group [ROOT],
    users_credentials [ROOT],
    users_may_not_join [DROP],
    peers_that_are_not_there,
    full_receiver,
    receiver_makes_room [THREADS],
    lost_messages [ROOT],
    lost_messages_unsaid [ROOT],
    dump_waits_for_the_reader,
    one_dump_at_a_time,
    what_it_is_charged,
}

const SOL_NETLINK: i32 = 270;
/// NETLINK_USERSOCK, NETLINK_SOCK_DIAG, NETLINK_KOBJECT_UEVENT.
const USERSOCK: i32 = 2;
const UEVENT: i32 = 15;
const GETLINK: u16 = 18;

fn netlink(k: &mut dyn Kernel, protocol: i32) -> Got<Fd> {
    Ok(ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, protocol)))
}

/// Two sockets of users, bound; and the port of the second.
fn users(k: &mut dyn Kernel) -> Got<(Fd, Fd, u32)> {
    let (a, b) = (netlink(k, USERSOCK)?, netlink(k, USERSOCK)?);
    ok!(k.bind(a, &nl(0, 0)));
    ok!(k.bind(b, &nl(0, 0)));
    let port = port(k, b)?;
    Ok((a, b, port))
}

fn port(k: &mut dyn Kernel, fd: Fd) -> Got<u32> {
    let name = k.sockname(fd)?.0;
    Ok(u32::from_ne_bytes([name[4], name[5], name[6], name[7]]))
}

/// An acknowledgment of nothing.
fn noop() -> Vec<u8> {
    request(15, 5, 3, &[])
}

fn answers_are_filtered(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ret!(k.attach(fd, &[ret_k(0)]), 0);
    ret!(k.send(fd, &noop(), 0), 16);
    err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    // What it lets through may be cut.
    ret!(k.attach(fd, &[ret_k(20)]), 0);
    ret!(k.send(fd, &noop(), 0), 16);
    ret!(k.recv(fd, &mut [0; 99], 0), 20);
    // It sees the message from its header on: the type, an error.
    ret!(k.attach(fd, &[ldb(4), RET_A]), 0);
    ret!(k.send(fd, &noop(), 0), 16);
    ret!(k.recv(fd, &mut [0; 99], 0), 2);
    ret!(
        k.setsockopt(fd, SOL_SOCKET, libc::SO_DETACH_FILTER, &[0; 4]),
        0
    );
    ret!(k.send(fd, &noop(), 0), 16);
    ret!(k.recv(fd, &mut [0; 99], 0), 36);
    Ok(())
}

fn dumps_are_filtered(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ret!(k.attach(fd, &[ret_k(0)]), 0);
    let dump = request(GETLINK, 0x301, 1, &ifinfo(0));
    ret!(k.send(fd, &dump, 0), dump.len());
    err!(k.recv(fd, &mut [0; 99], 0), EAGAIN);
    ret!(k.attach(fd, &[ret_k(4)]), 0);
    ret!(k.send(fd, &dump, 0), dump.len());
    ret!(k.recv(fd, &mut [0; 99], 0), 4);
    Ok(())
}

fn kernel_credentials(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ok!(k.set_int(fd, SOL_SOCKET, SO_PASSCRED, 1));
    eq!(k.get_int(fd, SOL_SOCKET, SO_PASSCRED)?, 1);
    ok!(k.set_int(fd, SOL_NETLINK, NETLINK_PKTINFO, 1));
    ret!(k.send(fd, &noop(), 0), 16);
    let mut msg = Msg::room(&[100]).control_room(128);
    check!(k.recvmsg(fd, &mut msg, 0) > 0, "nothing came");
    let got: Vec<_> = msg.cmsgs().iter().map(|c| (c.level, c.kind)).collect();
    eq!(
        got,
        vec![
            (SOL_NETLINK, NETLINK_PKTINFO),
            (SOL_SOCKET, SCM_CREDENTIALS)
        ]
    );
    let sender = msg.cmsg(SOL_SOCKET, SCM_CREDENTIALS).map(|c| c.ints());
    eq!(sender, Some(vec![0, 0, 0]));
    Ok(())
}

fn options_of_other_families(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    // SO_PASSPIDFD, SO_PASSRIGHTS
    for name in [76, 83] {
        err!(k.set_int(fd, SOL_SOCKET, name, 1), EOPNOTSUPP);
    }
    // SO_PASSSEC
    ok!(k.set_int(fd, SOL_SOCKET, 34, 1));
    let fds = rights(&[fd]);
    let mut msg = Msg::of(&[&noop()]).control(&fds);
    err!(k.sendmsg(fd, &mut msg, 0), EINVAL);
    Ok(())
}

fn memberships_have_a_length(k: &mut dyn Kernel) -> Outcome {
    let list = |k: &mut dyn Kernel, fd| {
        k.getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, 16)
            .1
            .len()
    };
    let fd = route(k)?;
    eq!(list(k, fd), 0);
    ok!(k.bind(fd, &nl(0, 0)));
    eq!(list(k, fd), 0);
    ok!(k.set_int(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, 1));
    eq!(list(k, fd), 8);
    let fd = route(k)?;
    ok!(k.bind(fd, &nl(0, 1)));
    eq!(list(k, fd), 8);
    let fd = netlink(k, UEVENT)?;
    ok!(k.bind(fd, &nl(0, 1)));
    eq!(list(k, fd), 4);
    Ok(())
}

fn memberships_as_far_as_there_is_room(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    err!(
        k.set_int(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 1000),
        EINVAL
    );
    for (room, whole) in [(0, 0), (3, 0), (4, 4), (5, 4), (8, 8), (9, 8)] {
        let mut value = [0xaau8; 12];
        let mut len = room;
        let at = value.as_mut_ptr() as u64;
        let length = (&raw mut len) as u64;
        ret!(
            k.getsockopt_raw(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, at, length),
            0
        );
        let mut want = [0xaau8; 12];
        want[..whole].fill(0);
        eq!((room, value, len), (room, want, 8));
    }
    // Where no word fits, none is written.
    let mut len = 3;
    let length = (&raw mut len) as u64;
    ret!(
        k.getsockopt_raw(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, BAD, length),
        0
    );
    eq!(len, 8);
    err!(
        k.getsockopt_raw(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, BAD, length),
        EFAULT
    );
    Ok(())
}

fn an_int_is_read_for_any_option(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    // NETLINK_RX_RING, NETLINK_TX_RING, NETLINK_LIST_MEMBERSHIPS, and none.
    for name in [6, 7, NETLINK_LIST_MEMBERSHIPS, 99] {
        err!(k.setsockopt_raw(fd, SOL_NETLINK, name, BAD, 4), EFAULT);
        err!(k.setsockopt_raw(fd, SOL_NETLINK, name, BAD, 3), ENOPROTOOPT);
    }
    Ok(())
}

fn groups_of_each_protocol(k: &mut dyn Kernel) -> Outcome {
    for (protocol, last) in [(0, 39), (UEVENT, 32)] {
        let fd = netlink(k, protocol)?;
        ok!(k.set_int(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, last));
        err!(
            k.set_int(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, last + 1),
            EINVAL
        );
        err!(
            k.set_int(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, last + 1),
            EINVAL
        );
    }
    Ok(())
}

fn privileged_groups(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = route(k)?;
    for group in [30, 31] {
        err!(
            k.set_int(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group),
            EPERM
        );
        ok!(k.set_int(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group));
    }
    err!(k.bind(fd, &nl(0, 1 << 29)), EPERM);
    eq!(k.sockname(fd)?, nl(0, 0));
    ok!(k.bind(fd, &nl(0, 1)));
    Ok(())
}

fn all_namespaces(k: &mut dyn Kernel) -> Outcome {
    if k.privileged() {
        let fd = route(k)?;
        ok!(k.set_int(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1));
        eq!(k.get_int(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID)?, 1);
    }
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = route(k)?;
    err!(
        k.set_int(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1),
        EPERM
    );
    eq!(k.get_int(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID)?, 0);
    Ok(())
}

fn uevents_are_to_hear(k: &mut dyn Kernel) -> Outcome {
    let fd = netlink(k, UEVENT)?;
    ok!(k.bind(fd, &nl(0, 1)));
    mask!(k, fd, W | WB);
    err!(k.recv(fd, &mut [0; 9], 0), EAGAIN);
    ret!(k.send(fd, &[0; 16], 0), 16);
    eq!(answers(k, fd).len(), 0);
    Ok(())
}

fn user_to_user(k: &mut dyn Kernel) -> Outcome {
    let (a, b, to) = users(k)?;
    let from = port(k, a)?;
    ret!(k.sendto(a, b"hello", 0, &nl(to, 0)), 5);
    mask!(k, b, R | W | WB);
    let mut msg = Msg::room(&[10]).name_room(28);
    ret!(k.recvmsg(b, &mut msg, 0), 5);
    eq!((msg.data(5), msg.peer()), (b"hello".to_vec(), nl(from, 0)));
    // By connect(2), and to oneself.
    ok!(k.connect(b, &nl(from, 0)));
    eq!(k.peername(b)?, nl(from, 0));
    ret!(k.send(b, b"back", 0), 4);
    ret!(k.recv(a, &mut [0; 9], 0), 4);
    ret!(k.sendto(a, b"own", 0, &nl(from, 0)), 3);
    ret!(k.recv(a, &mut [0; 9], 0), 3);
    // Who has a peer hears nobody else.
    let c = netlink(k, USERSOCK)?;
    ok!(k.bind(c, &nl(0, 0)));
    err!(k.sendto(c, b"x", 0, &nl(to, 0)), ECONNREFUSED);
    Ok(())
}

fn user_to_group(k: &mut dyn Kernel) -> Outcome {
    let (a, b, to) = users(k)?;
    let from = port(k, a)?;
    let c = netlink(k, USERSOCK)?;
    ok!(k.bind(c, &nl(0, 1 << 4)));
    ok!(k.set_int(c, SOL_NETLINK, NETLINK_PKTINFO, 1));
    ok!(k.set_int(a, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 5));
    // To a port and a group: whoever has the port gets it once, the sender not at all.
    ret!(k.sendto(a, b"all", 0, &nl(to, 1 << 4)), 3);
    let mut msg = Msg::room(&[10]).name_room(28).control_room(64);
    ret!(k.recvmsg(c, &mut msg, 0), 3);
    eq!(msg.peer(), nl(from, 1 << 4));
    eq!(
        msg.cmsg(SOL_NETLINK, NETLINK_PKTINFO).map(|c| c.ints()),
        Some(vec![5])
    );
    ret!(k.recv(b, &mut [0; 9], 0), 3);
    err!(k.recv(a, &mut [0; 9], 0), EAGAIN);
    ok!(k.set_int(c, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, 5));
    ret!(k.sendto(a, b"all", 0, &nl(to, 1 << 4)), 3);
    err!(k.recv(c, &mut [0; 9], 0), EAGAIN);
    Ok(())
}

fn users_credentials(k: &mut dyn Kernel) -> Outcome {
    let (a, b, to) = users(k)?;
    ok!(k.set_int(b, SOL_SOCKET, SO_PASSCRED, 1));
    let pid = k.syscall(libc::SYS_getpid, [0; 6]) as i32;
    let told = |k: &mut dyn Kernel| {
        let mut msg = Msg::room(&[10]).control_room(64);
        let got = k.recvmsg(b, &mut msg, 0);
        (got, msg.cmsg(SOL_SOCKET, SCM_CREDENTIALS).map(|c| c.ints()))
    };
    // Unasked they are the sender's.
    ret!(k.sendto(a, b"x", 0, &nl(to, 0)), 1);
    eq!(told(k), (1, Some(vec![pid, 0, 0])));
    let mut msg = Msg::of(&[b"x"]).to(&nl(to, 0)).control(&creds(pid, 0, 5));
    ret!(k.sendmsg(a, &mut msg, 0), 1);
    eq!(told(k), (1, Some(vec![pid, 0, 5])));
    let none = cmsg(SOL_SOCKET, SCM_CREDENTIALS, &ucred(99_999_999, 0, 0));
    let mut msg = Msg::of(&[b"x"]).to(&nl(to, 0)).control(&none);
    err!(k.sendmsg(a, &mut msg, 0), ESRCH);
    Ok(())
}

fn users_may_not_join(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let (a, b, to) = users(k)?;
    err!(k.set_int(a, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 1), EPERM);
    err!(k.set_int(a, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, 1), EPERM);
    let c = netlink(k, USERSOCK)?;
    err!(k.bind(c, &nl(0, 1)), EPERM);
    // But they may send.
    ret!(k.sendto(a, b"x", 0, &nl(to, 0)), 1);
    ret!(k.recv(b, &mut [0; 9], 0), 1);
    Ok(())
}

fn peers_that_are_not_there(k: &mut dyn Kernel) -> Outcome {
    let (a, _, _) = users(k)?;
    // No kernel listens to this protocol.
    err!(k.send(a, b"x", 0), ECONNREFUSED);
    err!(k.sendto(a, b"x", 0, &nl(1, 0)), ECONNREFUSED);
    Ok(())
}

fn full_receiver(k: &mut dyn Kernel) -> Outcome {
    let (a, b, to) = users(k)?;
    ok!(k.set_int(b, SOL_SOCKET, libc::SO_RCVBUF, 4608));
    let mut sent = 0;
    while k.sendto(a, &[0; 1000], 0, &nl(to, 0)) == 1000 {
        sent += 1;
    }
    // 2304 bytes each of twice 4608.
    eq!(sent, 4);
    err!(k.sendto(a, &[0; 1000], 0, &nl(to, 0)), EAGAIN);
    ret!(k.recv(b, &mut [0; 9], 0), 9);
    ret!(k.sendto(a, &[0; 1000], 0, &nl(to, 0)), 1000);
    Ok(())
}

fn receiver_makes_room(k: &mut dyn Kernel) -> Outcome {
    let (a, b, to) = users(k)?;
    ok!(k.set_int(b, SOL_SOCKET, libc::SO_RCVBUF, 4608));
    for _ in 0..4 {
        ret!(k.sendto(a, &[0; 1000], 0, &nl(to, 0)), 1000);
    }
    let waits = ok!(k.socket(AF_NETLINK, SOCK_RAW, USERSOCK));
    let mut other = k.another_thread().ok_or("no second thread".to_string())?;
    let sent = std::thread::spawn(move || {
        let k: &mut dyn Kernel = &mut *other;
        k.sendto(waits, &[0; 1000], 0, &nl(to, 0))
    });
    k.pause(Duration::from_millis(50));
    check!(!sent.is_finished(), "did not wait");
    ret!(k.recv(b, &mut [0; 9], 0), 9);
    eq!(sent.join().ok(), Some(1000));
    Ok(())
}

/// Sends more than the reader's queue takes.
fn overrun(k: &mut dyn Kernel, fd: Fd) -> Outcome {
    ok!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 2304));
    for _ in 0..50 {
        ret!(k.send(fd, &request(200, 5, 3, &[0; 600]), 0), 616);
    }
    Ok(())
}

fn lost_messages(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    overrun(k, fd)?;
    mask!(k, fd, R | W | WB | libc::POLLERR);
    err!(k.recv(fd, &mut [0; 999], 0), ENOBUFS);
    // Said once; and more is lost until the queue is empty.
    let mut got = 0;
    while k.recv(fd, &mut [0; 999], 0) > 0 {
        got += 1;
        if got == 1 {
            ret!(k.send(fd, &noop(), 0), 16);
        }
    }
    check!(got > 0 && got < 50, "{got} messages");
    ret!(k.send(fd, &noop(), 0), 16);
    ret!(k.recv(fd, &mut [0; 99], 0), 36);
    Ok(())
}

fn lost_messages_unsaid(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ok!(k.set_int(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1));
    overrun(k, fd)?;
    mask!(k, fd, R | W | WB);
    check!(k.recv(fd, &mut [0; 999], 0) > 0, "nothing came");
    Ok(())
}

fn dump_waits_for_the_reader(k: &mut dyn Kernel) -> Outcome {
    let fd = route(k)?;
    ok!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 2304));
    // A dump is never too large for the queue.
    let m = request(GETLINK, 0x301, 1, &ifinfo(0));
    ret!(k.send(fd, &m, 0), m.len());
    let all = answers(k, fd);
    eq!(all.last().map(|m| m.kind), Some(3));
    check!(all.len() > 1, "no links");
    Ok(())
}

fn one_dump_at_a_time(k: &mut dyn Kernel) -> Outcome {
    // One that is read to its end makes way for the next.
    let fd = route(k)?;
    for _ in 0..3 {
        let m = request(GETLINK, 0x301, 1, &ifinfo(0));
        ret!(k.send(fd, &m, 0), m.len());
        eq!(answers(k, fd).last().map(|m| m.kind), Some(3));
    }
    Ok(())
}

fn what_it_is_charged(k: &mut dyn Kernel) -> Outcome {
    let (a, b, to) = users(k)?;
    let data = [0; 5000];
    for (len, charge) in [
        (1, 832),
        (256, 832),
        (257, 1280),
        (704, 1280),
        (705, 2304),
        (5000, 5632),
    ] {
        ret!(k.sendto(a, &data[..len], 0, &nl(to, 0)), len);
        // SO_MEMINFO
        let info = k.getsockopt(b, SOL_SOCKET, 55, 4).1;
        eq!(
            (
                len,
                u32::from_ne_bytes([info[0], info[1], info[2], info[3]])
            ),
            (len, charge)
        );
        ret!(k.recv(b, &mut [0; 5000], 0), len);
    }
    Ok(())
}
