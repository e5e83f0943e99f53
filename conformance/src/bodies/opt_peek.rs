//! SO_PEEK_OFF on streams and datagrams.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::msg::{Batch, Msg};
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SO_PEEK_OFF, SOL_SOCKET};

tests! {
    stream,
    stream_offset_beyond_the_data,
    stream_peek_all_of_it,
    datagrams,
    datagram_truncation,
    empty_datagram_is_shown_once,
    peeks_of_one_recvmmsg,
    accepted_socket_begins_where_the_listener_is,
    off_again,
    faults_move_nothing,
    disconnecting_switches_it_off,
}

fn at(k: &mut dyn Kernel, fd: Fd) -> Got<i32> {
    k.get_int(fd, SOL_SOCKET, SO_PEEK_OFF)
}

fn set(k: &mut dyn Kernel, fd: Fd, value: i32) -> Outcome {
    ret!(k.set_int(fd, SOL_SOCKET, SO_PEEK_OFF, value), 0);
    Ok(())
}

/// The bytes a receive with this room gives, and where the offset is afterwards.
fn take(k: &mut dyn Kernel, fd: Fd, room: usize, flags: i32) -> Got<(Vec<u8>, i32)> {
    let mut buf = vec![0; room];
    let n = k.recv(fd, &mut buf, flags | MSG_DONTWAIT);
    check!(n >= 0, "recv {room} {flags:#x}: {n}");
    buf.truncate(n as usize);
    Ok((buf, at(k, fd)?))
}

fn stream(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        set(k, t.server, 0)?;
        ret!(k.send(t.client, b"abcdefghij", 0), 10);
        k.pause(std::time::Duration::from_millis(2));
        let s = t.server;
        eq!(take(k, s, 3, MSG_PEEK)?, (b"abc".to_vec(), 3));
        eq!(take(k, s, 3, MSG_PEEK)?, (b"def".to_vec(), 6));
        // What is taken moves the offset back.
        eq!(take(k, s, 2, 0)?, (b"ab".to_vec(), 4));
        eq!(take(k, s, 10, MSG_PEEK)?, (b"ghij".to_vec(), 8));
        err!(k.recv(s, &mut [0; 4], MSG_PEEK | MSG_DONTWAIT), EAGAIN);
        eq!(at(k, s)?, 8);
        ret!(k.send(t.client, b"klm", 0), 3);
        k.pause(std::time::Duration::from_millis(2));
        eq!(take(k, s, 10, MSG_PEEK)?, (b"klm".to_vec(), 11));
        eq!(take(k, s, 20, 0)?, (b"cdefghijklm".to_vec(), 0));
    }
    Ok(())
}

fn stream_offset_beyond_the_data(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let s = t.server;
    set(k, s, 100)?;
    ret!(k.send(t.client, b"abc", 0), 3);
    k.pause(std::time::Duration::from_millis(2));
    err!(k.recv(s, &mut [0; 4], MSG_PEEK | MSG_DONTWAIT), EAGAIN);
    eq!(take(k, s, 2, 0)?, (b"ab".to_vec(), 98));
    // Never below zero.
    set(k, s, 0)?;
    eq!(take(k, s, 2, 0)?, (b"c".to_vec(), 0));
    Ok(())
}

fn stream_peek_all_of_it(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let s = t.server;
    set(k, s, 2)?;
    ret!(k.send(t.client, &[9; 50_000], 0), 50_000);
    let mut seen = 2;
    for _ in 0..1000 {
        let mut buf = vec![0; 30_000];
        match k.recv(s, &mut buf, MSG_PEEK | MSG_DONTWAIT) {
            n if n > 0 => seen += n as usize,
            _ => k.pause(std::time::Duration::from_millis(2)),
        }
        if seen == 50_000 {
            break;
        }
    }
    eq!(seen, 50_000);
    eq!(at(k, s)?, 50_000);
    eq!(k.drain_all(s, 50_000)?, 50_000);
    eq!(at(k, s)?, 0);
    Ok(())
}

fn datagrams(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        set(k, b, 0)?;
        ret!(k.send(a, b"abcdef", 0), 6);
        ret!(k.send(a, b"ghi", 0), 3);
        k.pause(std::time::Duration::from_millis(2));
        eq!(take(k, b, 2, MSG_PEEK)?, (b"ab".to_vec(), 2));
        eq!(take(k, b, 2, MSG_PEEK)?, (b"cd".to_vec(), 4));
        eq!(take(k, b, 10, MSG_PEEK)?, (b"ef".to_vec(), 6));
        // On to the next one.
        eq!(take(k, b, 10, MSG_PEEK)?, (b"ghi".to_vec(), 9));
        err!(k.recv(b, &mut [0; 4], MSG_PEEK | MSG_DONTWAIT), EAGAIN);
        eq!(at(k, b)?, 9);
        // What a receive returns moves it back, not what it takes off the queue.
        eq!(take(k, b, 1, 0)?, (b"a".to_vec(), 8));
        set(k, b, 1)?;
        eq!(take(k, b, 10, MSG_PEEK)?, (b"hi".to_vec(), 3));
    }
    Ok(())
}

fn datagram_truncation(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, 1)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    k.pause(std::time::Duration::from_millis(2));
    for (offset, room, flags, want, msg_flags, after) in [
        (1, 2, 0, 2, MSG_TRUNC, 3),
        (1, 5, 0, 5, MSG_TRUNC, 6),
        (1, 6, 0, 5, 0, 6),
        (0, 6, 0, 6, 0, 6),
        // The length it tells is the whole one, and so is the step.
        (1, 2, MSG_TRUNC, 6, MSG_TRUNC, 7),
        (4, 10, MSG_TRUNC, 6, 0, 10),
    ] {
        set(k, b, offset)?;
        let mut msg = Msg::room(&[room]);
        let got = k.recvmsg(b, &mut msg, MSG_PEEK | flags);
        check!(got == want, "offset {offset} room {room}: {got}");
        check!(
            msg.flags() == msg_flags,
            "offset {offset} room {room}: {:#x}",
            msg.flags()
        );
        eq!(at(k, b)?, after);
    }
    Ok(())
}

fn empty_datagram_is_shown_once(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, 0)?;
    ret!(k.send(a, b"", 0), 0);
    ret!(k.send(a, b"zz", 0), 2);
    k.pause(std::time::Duration::from_millis(2));
    eq!(take(k, b, 10, MSG_PEEK)?, (b"".to_vec(), 0));
    eq!(take(k, b, 10, MSG_PEEK)?, (b"zz".to_vec(), 2));
    eq!(take(k, b, 10, 0)?, (b"".to_vec(), 2));
    eq!(take(k, b, 10, 0)?, (b"zz".to_vec(), 0));
    Ok(())
}

fn peeks_of_one_recvmmsg(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, 0)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    ret!(k.send(a, b"ghi", 0), 3);
    k.pause(std::time::Duration::from_millis(2));
    let mut batch = Batch::new(vec![Msg::room(&[4]), Msg::room(&[4]), Msg::room(&[4])]);
    let (vec, len) = (batch.ptr(), batch.len());
    ret!(k.recvmmsg_raw(b, vec, len, MSG_PEEK | MSG_DONTWAIT, 0), 3);
    eq!(batch.lens(), vec![4, 2, 3]);
    eq!(batch.msgs[1].data(2), b"ef".to_vec());
    eq!(at(k, b)?, 9);
    Ok(())
}

fn accepted_socket_begins_where_the_listener_is(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    set(k, listener, 3)?;
    let c = k.tcp_socket(AF_INET, crate::scene::NB)?;
    k.connect_now(c, &addr)?;
    let s = k.accept_now(listener)?;
    ret!(k.send(c, b"abcdef", 0), 6);
    k.pause(std::time::Duration::from_millis(2));
    eq!(take(k, s, 10, MSG_PEEK)?, (b"def".to_vec(), 6));
    Ok(())
}

fn off_again(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, 2)?;
    ret!(k.send(a, b"abcdef", 0), 6);
    k.pause(std::time::Duration::from_millis(2));
    eq!(take(k, b, 2, MSG_PEEK)?, (b"cd".to_vec(), 4));
    set(k, b, -1)?;
    eq!(take(k, b, 2, MSG_PEEK)?, (b"ab".to_vec(), -1));
    eq!(take(k, b, 10, 0)?, (b"abcdef".to_vec(), -1));
    Ok(())
}

fn faults_move_nothing(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, 2)?;
    for text in [b"abcdef", b"ghijkl"] {
        ret!(k.send(a, text, 0), 6);
    }
    k.pause(std::time::Duration::from_millis(2));
    err!(k.recv_raw(b, BAD, 3, MSG_PEEK | MSG_DONTWAIT), EFAULT);
    eq!(at(k, b)?, 2);
    eq!(take(k, b, 2, MSG_PEEK)?, (b"cd".to_vec(), 4));
    // The message is lost, and the offset stays.
    err!(k.recv_raw(b, BAD, 3, MSG_DONTWAIT), EFAULT);
    eq!(at(k, b)?, 4);
    eq!(take(k, b, 9, MSG_PEEK)?, (b"kl".to_vec(), 6));
    Ok(())
}

fn disconnecting_switches_it_off(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    set(k, t.client, 5)?;
    ret!(k.connect(t.client, &Addr::unspec()), 0);
    eq!(at(k, t.client)?, -1);
    set(k, t.listener, 5)?;
    ret!(k.shutdown(t.listener, libc::SHUT_RDWR), 0);
    eq!(at(k, t.listener)?, -1);
    // A datagram socket keeps it.
    let (a, _b) = k.udp_pair(AF_INET)?;
    set(k, a, 5)?;
    ret!(k.connect(a, &Addr::unspec()), 0);
    eq!(at(k, a)?, 5);
    Ok(())
}
