//! What travels with a datagram on its host: SO_MARK, SO_PRIORITY, and how many were dropped.

use crate::check::{Got, Outcome, check, eq, err, ret};
use crate::kernel::Kernel;
use crate::msg::{Cmsg, Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, AF_UNIX, SO_MARK, SO_PRIORITY, SO_RCVBUF, SO_RXQ_OVFL, SOCK_DGRAM,
    SOL_SOCKET,
};

tests! {
    mark_and_priority_of_a_datagram [ROOT],
    of_one_message [ROOT],
    of_one_message_as_user [DROP],
    of_one_message_bad,
    tos_is_a_priority,
    not_on_unix_nor_streams,
    rxq_ovfl_counts_drops,
    tx_time_of_one_message,
    control_messages_of_a_stream [DROP],
}

/// The bytes of an int.
fn int(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

const SO_RCVMARK: i32 = 75;
const SO_RCVPRIORITY: i32 = 82;
const SO_TXTIME: i32 = 61;
const SCM_TXTIME: i32 = SO_TXTIME;

/// Receives one message with its control messages.
fn receive(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<Cmsg>> {
    for _ in 0..100 {
        let mut msg = Msg::room(&[64]).control_room(256);
        if k.recvmsg(fd, &mut msg, libc::MSG_DONTWAIT) >= 0 {
            return Ok(msg.cmsgs());
        }
        k.pause(std::time::Duration::from_millis(1));
    }
    crate::check::fail("recvmsg", "nothing came".to_string())
}

fn word(kind: i32, value: i32) -> Cmsg {
    Cmsg {
        level: SOL_SOCKET,
        kind,
        data: int(value),
    }
}

fn send_with(k: &mut dyn Kernel, fd: Fd, control: &[u8]) -> i64 {
    let mut msg = Msg::of(&[b"x"]).control(control);
    k.sendmsg(fd, &mut msg, 0)
}

fn listening_pair(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Fd)> {
    let (a, b) = k.udp_pair(family)?;
    ret!(k.set_int(b, SOL_SOCKET, SO_RCVMARK, 1), 0);
    ret!(k.set_int(b, SOL_SOCKET, SO_RCVPRIORITY, 1), 0);
    Ok((a, b))
}

fn mark_and_priority_of_a_datagram(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = listening_pair(k, family)?;
        ret!(k.send(a, b"x", 0), 1);
        eq!(receive(k, b)?, vec![word(SO_MARK, 0), word(SO_PRIORITY, 0)]);
        ret!(k.set_int(a, SOL_SOCKET, SO_MARK, 77), 0);
        ret!(k.set_int(a, SOL_SOCKET, SO_PRIORITY, 5), 0);
        ret!(k.send(a, b"x", 0), 1);
        eq!(
            receive(k, b)?,
            vec![word(SO_MARK, 77), word(SO_PRIORITY, 5)]
        );
        // One without the other.
        ret!(k.set_int(b, SOL_SOCKET, SO_RCVMARK, 0), 0);
        ret!(k.send(a, b"x", 0), 1);
        eq!(receive(k, b)?, vec![word(SO_PRIORITY, 5)]);
        // They are of the sender's packet, not of the receiver's socket.
        ret!(k.set_int(b, SOL_SOCKET, SO_PRIORITY, 3), 0);
        ret!(k.send(a, b"x", 0), 1);
        eq!(receive(k, b)?, vec![word(SO_PRIORITY, 5)]);
    }
    Ok(())
}

fn of_one_message(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = listening_pair(k, family)?;
        let both = [
            cmsg(SOL_SOCKET, SO_MARK, &int(99)),
            cmsg(SOL_SOCKET, SO_PRIORITY, &int(200)),
        ]
        .concat();
        ret!(send_with(k, a, &both), 1);
        eq!(
            receive(k, b)?,
            vec![word(SO_MARK, 99), word(SO_PRIORITY, 200)]
        );
        // The socket keeps its own.
        ret!(k.send(a, b"x", 0), 1);
        eq!(receive(k, b)?, vec![word(SO_MARK, 0), word(SO_PRIORITY, 0)]);
    }
    Ok(())
}

fn of_one_message_as_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let (a, b) = listening_pair(k, AF_INET)?;
    err!(send_with(k, a, &cmsg(SOL_SOCKET, SO_MARK, &int(0))), EPERM);
    err!(
        send_with(k, a, &cmsg(SOL_SOCKET, SO_PRIORITY, &int(7))),
        EPERM
    );
    // Who may not is told so before the length is looked at, but for a priority.
    err!(send_with(k, a, &cmsg(SOL_SOCKET, SO_MARK, &[1])), EPERM);
    err!(
        send_with(k, a, &cmsg(SOL_SOCKET, SO_PRIORITY, &[1])),
        EINVAL
    );
    ret!(send_with(k, a, &cmsg(SOL_SOCKET, SO_PRIORITY, &int(6))), 1);
    eq!(receive(k, b)?, vec![word(SO_MARK, 0), word(SO_PRIORITY, 6)]);
    Ok(())
}

fn of_one_message_bad(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = listening_pair(k, family)?;
        for (kind, data) in [
            (SO_PRIORITY, &int(1)[..3]),
            (SO_PRIORITY, &[0; 8][..]),
            (libc::SO_BROADCAST, &int(1)),
            (SO_RCVMARK, &int(1)),
            (999, &int(1)),
            // Stamps: only what asks for one, and only an int.
            (37, &int(1 << 4)),
            (37, &int(1 << 20)),
            (37, &[0; 8]),
            // A number of a stamp, where none are numbered.
            (81, &int(1)),
        ] {
            let got = send_with(k, a, &cmsg(SOL_SOCKET, kind, data));
            check!(
                got == -i64::from(libc::EINVAL),
                "type {kind} {data:?}: {got}"
            );
        }
        let mut buf = [0; 8];
        err!(k.recv(b, &mut buf, libc::MSG_DONTWAIT), EAGAIN);
    }
    Ok(())
}

fn tos_is_a_priority(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = listening_pair(k, AF_INET)?;
    ret!(k.set_int(a, libc::IPPROTO_IP, libc::IP_TOS, 0x10), 0);
    ret!(k.send(a, b"x", 0), 1);
    eq!(receive(k, b)?, vec![word(SO_MARK, 0), word(SO_PRIORITY, 6)]);
    Ok(())
}

fn not_on_unix_nor_streams(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for name in [SO_RCVMARK, SO_RCVPRIORITY, SO_RXQ_OVFL] {
        ret!(k.set_int(b, SOL_SOCKET, name, 1), 0);
    }
    ret!(k.send(a, b"x", 0), 1);
    eq!(receive(k, b)?, vec![]);
    let t = k.tcp(AF_INET)?;
    for name in [SO_RCVMARK, SO_RCVPRIORITY] {
        ret!(k.set_int(t.server, SOL_SOCKET, name, 1), 0);
    }
    ret!(k.send(t.client, b"x", 0), 1);
    eq!(receive(k, t.server)?, vec![]);
    // An AF_UNIX message knows none of these.
    err!(
        send_with(k, a, &cmsg(SOL_SOCKET, SO_PRIORITY, &int(1))),
        EINVAL
    );
    err!(send_with(k, a, &cmsg(SOL_SOCKET, SO_MARK, &int(1))), EINVAL);
    Ok(())
}

fn rxq_ovfl_counts_drops(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.set_int(b, SOL_SOCKET, SO_RXQ_OVFL, 1), 0);
        ret!(k.set_int(b, SOL_SOCKET, SO_RCVBUF, 0), 0);
        let mut sent = 0;
        for _ in 0..20 {
            ret!(k.send(a, b"x", 0), 1);
            sent += 1;
        }
        k.pause(std::time::Duration::from_millis(2));
        // What came before anything was dropped does not say so.
        let mut got = 0;
        let mut buf = [0; 8];
        let mut msg = Msg::room(&[8]).control_room(64);
        ret!(k.recvmsg(b, &mut msg, 0), 1);
        eq!(msg.cmsgs(), vec![]);
        got += 1;
        while k.recv(b, &mut buf, libc::MSG_DONTWAIT) == 1 {
            got += 1;
        }
        check!(got < sent, "nothing was dropped");
        // The next one tells how many.
        ret!(k.send(a, b"x", 0), 1);
        eq!(receive(k, b)?, vec![word(SO_RXQ_OVFL, sent - got)]);
        // Off: it does not, nor does one that came while it was off.
        ret!(k.set_int(b, SOL_SOCKET, SO_RXQ_OVFL, 0), 0);
        ret!(k.send(a, b"x", 0), 1);
        k.pause(std::time::Duration::from_millis(2));
        ret!(k.set_int(b, SOL_SOCKET, SO_RXQ_OVFL, 1), 0);
        eq!(receive(k, b)?, vec![]);
    }
    Ok(())
}

fn tx_time_of_one_message(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let when = cmsg(SOL_SOCKET, SCM_TXTIME, &1u64.to_ne_bytes());
    // Not before the socket has said by which clock.
    err!(send_with(k, a, &when), EINVAL);
    let clock = [int(1), int(0)].concat();
    ret!(k.setsockopt(a, SOL_SOCKET, SO_TXTIME, &clock), 0);
    ret!(send_with(k, a, &when), 1);
    err!(
        send_with(k, a, &cmsg(SOL_SOCKET, SCM_TXTIME, &int(1))),
        EINVAL
    );
    eq!(receive(k, b)?, vec![]);
    Ok(())
}

fn control_messages_of_a_stream(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let t = k.tcp(AF_INET)?;
    for (kind, data, errno) in [
        (SO_MARK, int(1), libc::EPERM),
        (SO_PRIORITY, int(9), libc::EPERM),
        (SO_PRIORITY, vec![1], libc::EINVAL),
        (999, int(1), libc::EINVAL),
        (81, int(1), libc::EINVAL),
    ] {
        let got = send_with(k, t.client, &cmsg(SOL_SOCKET, kind, &data));
        check!(got == -i64::from(errno), "type {kind}: {got}");
    }
    ret!(
        send_with(k, t.client, &cmsg(SOL_SOCKET, SO_PRIORITY, &int(2))),
        1
    );
    Ok(())
}
