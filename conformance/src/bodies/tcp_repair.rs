//! TCP_REPAIR: a connection that moves.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{as_int, int};
use crate::registry::tests;
use crate::scene::{NB, Tcp};
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, IPPROTO_TCP, MSG_PEEK};

// Of linux/tcp.h.
const TCP_REPAIR: i32 = 19;
const TCP_REPAIR_QUEUE: i32 = 20;
const TCP_QUEUE_SEQ: i32 = 21;
const TCP_REPAIR_OPTIONS: i32 = 22;
const TCP_TIMESTAMP: i32 = 24;
const TCP_REPAIR_WINDOW: i32 = 29;

const NO_QUEUE: i32 = 0;
const RECV_QUEUE: i32 = 1;
const SEND_QUEUE: i32 = 2;

tests! {
    wants_a_privilege,
    values [ROOT],
    not_of_a_listener [ROOT],
    outside_of_repair [ROOT],
    queues [ROOT],
    numbers [ROOT],
    sends_and_receives_are_held [ROOT],
    window_lengths [ROOT],
    options_when [ROOT],
    options_values [ROOT],
    closes_without_a_word [ROOT],
    connects_without_a_word [ROOT],
    moves_a_connection [ROOT],
    moves_what_was_not_acknowledged [ROOT],
    not_inherited [ROOT],
}

fn get(k: &mut dyn Kernel, fd: Fd, name: i32) -> Got<i32> {
    k.get_int(fd, IPPROTO_TCP, name)
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: i32) -> i64 {
    k.set_int(fd, IPPROTO_TCP, name, value)
}

/// An established connection whose client is under repair.
fn repaired(k: &mut dyn Kernel, family: i32) -> Got<Tcp> {
    let t = k.tcp(family)?;
    ret!(set(k, t.client, TCP_REPAIR, 1), 0);
    Ok(t)
}

fn wants_a_privilege(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    eq!(get(k, fd, TCP_REPAIR)?, 0);
    if k.privileged() && !k.drop_privileges() {
        crate::check::skip!("the privileges stay");
    }
    for value in [1, 0, -1, 7] {
        err!(set(k, fd, TCP_REPAIR, value), EPERM);
    }
    eq!(get(k, fd, TCP_REPAIR)?, 0);
    Ok(())
}

fn values(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fresh = k.tcp_socket(AF_INET6, 0)?;
    for fd in [fresh, t.client] {
        for (value, want) in [(1, 1), (-1, 0), (1, 1), (0, 0)] {
            ret!(set(k, fd, TCP_REPAIR, value), 0);
            eq!(get(k, fd, TCP_REPAIR)?, want);
        }
        for value in [2, -2, i32::MAX] {
            err!(set(k, fd, TCP_REPAIR, value), EINVAL);
        }
        err!(
            k.setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &[1, 0, 0]),
            EINVAL
        );
    }
    Ok(())
}

fn not_of_a_listener(k: &mut dyn Kernel) -> Outcome {
    let (listener, _) = k.tcp_listener(AF_INET, 1)?;
    for value in [1, 0, 7] {
        err!(set(k, listener, TCP_REPAIR, value), EPERM);
    }
    Ok(())
}

fn outside_of_repair(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fresh = k.tcp_socket(AF_INET, 0)?;
    for fd in [fresh, t.client] {
        err!(set(k, fd, TCP_REPAIR_QUEUE, 1), EPERM);
        err!(set(k, fd, TCP_TIMESTAMP, 1), EPERM);
        err!(
            k.setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, &[0; 8]),
            EINVAL
        );
        err!(
            k.setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &[0; 20]),
            EPERM
        );
        for name in [TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ] {
            eq!(
                k.getsockopt(fd, IPPROTO_TCP, name, 4).0,
                -i64::from(libc::EINVAL)
            );
        }
        eq!(
            k.getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, 20).0,
            -i64::from(libc::EPERM)
        );
        eq!(
            k.getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, 20).0,
            -i64::from(libc::ENOPROTOOPT)
        );
    }
    err!(set(k, fresh, TCP_QUEUE_SEQ, 1), EINVAL);
    err!(set(k, t.client, TCP_QUEUE_SEQ, 1), EPERM);
    Ok(())
}

fn queues(k: &mut dyn Kernel) -> Outcome {
    let t = repaired(k, AF_INET)?;
    eq!(get(k, t.client, TCP_REPAIR_QUEUE)?, NO_QUEUE);
    for queue in [RECV_QUEUE, SEND_QUEUE, NO_QUEUE, SEND_QUEUE] {
        ret!(set(k, t.client, TCP_REPAIR_QUEUE, queue), 0);
        eq!(get(k, t.client, TCP_REPAIR_QUEUE)?, queue);
    }
    for value in [3, -1, i32::MAX] {
        err!(set(k, t.client, TCP_REPAIR_QUEUE, value), EINVAL);
    }
    // Begun anew, no queue is chosen.
    ret!(set(k, t.client, TCP_REPAIR, 1), 0);
    eq!(get(k, t.client, TCP_REPAIR_QUEUE)?, NO_QUEUE);
    Ok(())
}

/// The number at the end of a queue.
fn seq(k: &mut dyn Kernel, fd: Fd, queue: i32) -> Got<i32> {
    ret!(set(k, fd, TCP_REPAIR_QUEUE, queue), 0);
    get(k, fd, TCP_QUEUE_SEQ)
}

fn numbers(k: &mut dyn Kernel) -> Outcome {
    let t = repaired(k, AF_INET)?;
    ret!(set(k, t.server, TCP_REPAIR, 1), 0);
    // What one has sent the other has received.
    let sent = seq(k, t.client, SEND_QUEUE)?;
    eq!(seq(k, t.server, RECV_QUEUE)?, sent);
    eq!(seq(k, t.server, SEND_QUEUE)?, seq(k, t.client, RECV_QUEUE)?);
    err!(set(k, t.client, TCP_QUEUE_SEQ, 5), EPERM);
    ret!(set(k, t.client, TCP_REPAIR, -1), 0);
    ret!(k.send(t.client, b"hello", 0), 5);
    k.wait_sent(t.client)?;
    ret!(set(k, t.client, TCP_REPAIR, 1), 0);
    eq!(seq(k, t.client, SEND_QUEUE)?, sent.wrapping_add(5));
    eq!(seq(k, t.server, RECV_QUEUE)?, sent.wrapping_add(5));
    // A socket that is closed may begin anywhere.
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(set(k, fd, TCP_REPAIR, 1), 0);
    err!(set(k, fd, TCP_QUEUE_SEQ, 5), EINVAL);
    for (queue, value) in [(SEND_QUEUE, -7), (RECV_QUEUE, 77)] {
        ret!(set(k, fd, TCP_REPAIR_QUEUE, queue), 0);
        ret!(set(k, fd, TCP_QUEUE_SEQ, value), 0);
        eq!(get(k, fd, TCP_QUEUE_SEQ)?, value);
    }
    eq!(seq(k, fd, SEND_QUEUE)?, -7);
    Ok(())
}

fn sends_and_receives_are_held(k: &mut dyn Kernel) -> Outcome {
    let t = repaired(k, AF_INET)?;
    ret!(k.send(t.server, b"world", 0), 5);
    mask!(k, t.client, R | W);
    err!(k.send(t.client, b"x", 0), EINVAL);
    err!(k.recv(t.client, &mut [0; 9], 0), EPERM);
    err!(k.recv(t.client, &mut [0; 9], MSG_PEEK), EINVAL);
    ret!(set(k, t.client, TCP_REPAIR_QUEUE, RECV_QUEUE), 0);
    err!(k.recv(t.client, &mut [0; 9], 0), EPERM);
    ret!(k.recv(t.client, &mut [0; 9], MSG_PEEK), 5);
    ret!(set(k, t.client, TCP_REPAIR_QUEUE, SEND_QUEUE), 0);
    ret!(k.recv(t.client, &mut [0; 9], MSG_PEEK), 0);
    ret!(k.send(t.client, b"kept", 0), 4);
    let mut buf = [0; 9];
    ret!(k.recv(t.client, &mut buf, MSG_PEEK), 4);
    eq!(&buf[..4], b"kept");
    // Into the receive queue, as if it had come.
    ret!(set(k, t.client, TCP_REPAIR_QUEUE, RECV_QUEUE), 0);
    ret!(k.send(t.client, b"!!", 0), 2);
    ret!(k.recv(t.client, &mut buf, MSG_PEEK), 7);
    eq!(&buf[..7], b"world!!");
    Ok(())
}

/// `struct tcp_repair_window`.
fn window(k: &mut dyn Kernel, fd: Fd) -> Got<[i32; 5]> {
    let (got, raw) = k.getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, 20);
    eq!((got, raw.len()), (0, 20));
    Ok(std::array::from_fn(|i| as_int(&raw[4 * i..4 * i + 4])))
}

fn window_bytes(window: [i32; 5]) -> Vec<u8> {
    window.iter().flat_map(|word| int(*word)).collect()
}

fn window_lengths(k: &mut dyn Kernel) -> Outcome {
    let t = repaired(k, AF_INET)?;
    for cap in [0, 4, 19, 21, 64] {
        eq!(
            k.getsockopt(t.client, IPPROTO_TCP, TCP_REPAIR_WINDOW, cap)
                .0,
            -i64::from(libc::EINVAL)
        );
    }
    let have = window(k, t.client)?;
    let [wl1, snd, max, rcv, wup] = have;
    check!(snd > 0 && max >= snd && rcv > 0, "{have:?}");
    let mut try_one = |window: [i32; 5]| {
        k.setsockopt(
            t.client,
            IPPROTO_TCP,
            TCP_REPAIR_WINDOW,
            &window_bytes(window),
        )
    };
    ret!(try_one(have), 0);
    err!(try_one([wl1, max + 1, max, rcv, wup]), EINVAL);
    err!(
        try_one([wl1.wrapping_add(rcv + 9), snd, max, rcv, wup]),
        EINVAL
    );
    err!(try_one([wl1, snd, max, rcv, wup.wrapping_add(9)]), EINVAL);
    let bytes = window_bytes(have);
    for len in [4, 16, 19] {
        err!(
            k.setsockopt(t.client, IPPROTO_TCP, TCP_REPAIR_WINDOW, &bytes[..len]),
            EINVAL
        );
    }
    Ok(())
}

fn pairs(list: &[(u32, u32)]) -> Vec<u8> {
    list.iter()
        .flat_map(|(kind, value)| [kind.to_ne_bytes(), value.to_ne_bytes()].concat())
        .collect()
}

fn options(k: &mut dyn Kernel, fd: Fd, list: &[(u32, u32)]) -> i64 {
    k.setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, &pairs(list))
}

fn options_when(k: &mut dyn Kernel) -> Outcome {
    let t = repaired(k, AF_INET)?;
    ret!(options(k, t.client, &[(2, 1000)]), 0);
    // Before a connection, and once something was sent, it is too late or too early.
    let fresh = k.tcp_socket(AF_INET, 0)?;
    ret!(set(k, fresh, TCP_REPAIR, 1), 0);
    err!(options(k, fresh, &[(2, 1000)]), EPERM);
    ret!(k.send(t.server, b"x", 0), 1);
    ret!(set(k, t.server, TCP_REPAIR, 1), 0);
    err!(options(k, t.server, &[(2, 1000)]), EPERM);
    Ok(())
}

fn options_values(k: &mut dyn Kernel) -> Outcome {
    let t = repaired(k, AF_INET)?;
    ret!(
        options(k, t.client, &[(2, 1000), (3, 7 | 8 << 16), (4, 0), (8, 0)]),
        0
    );
    eq!(get(k, t.client, libc::TCP_MAXSEG)?, 1000);
    let (_, info) = k.getsockopt(t.client, IPPROTO_TCP, libc::TCP_INFO, 8);
    eq!(info[6], 0x87);
    err!(options(k, t.client, &[(3, 15)]), EFBIG);
    err!(options(k, t.client, &[(3, 15 << 16)]), EFBIG);
    err!(options(k, t.client, &[(4, 1)]), EINVAL);
    err!(options(k, t.client, &[(8, 1)]), EINVAL);
    // Others are passed over, and so is what is no whole pair.
    ret!(options(k, t.client, &[(99, 1)]), 0);
    ret!(
        k.setsockopt(
            t.client,
            IPPROTO_TCP,
            TCP_REPAIR_OPTIONS,
            &[4, 0, 0, 0, 1, 0, 0]
        ),
        0
    );
    Ok(())
}

fn closes_without_a_word(k: &mut dyn Kernel) -> Outcome {
    let t = repaired(k, AF_INET)?;
    ret!(k.close(t.client), 0);
    k.pause(std::time::Duration::from_millis(10));
    mask!(k, t.server, W);
    err!(k.recv(t.server, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn connects_without_a_word(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(set(k, fd, TCP_REPAIR, 1), 0);
    ret!(k.connect(fd, &addr), 0);
    mask!(k, fd, W);
    eq!(k.peername(fd)?, addr);
    k.pause(std::time::Duration::from_millis(10));
    err!(k.accept(listener), EAGAIN);
    ret!(k.close(fd), 0);
    Ok(())
}

/// What has to be carried over.
struct Image {
    local: Addr,
    peer: Addr,
    /// Ends of the queues, and what lies in them.
    recv: (i32, Vec<u8>),
    send: (i32, Vec<u8>),
    window: [i32; 5],
    mss: i32,
    scales: u8,
    clock: i32,
}

fn peek(k: &mut dyn Kernel, fd: Fd, queue: i32) -> Got<(i32, Vec<u8>)> {
    let end = seq(k, fd, queue)?;
    let mut buf = vec![0; 1000];
    let n = k.recv(fd, &mut buf, MSG_PEEK);
    // An empty receive queue has nothing to tell.
    buf.truncate(n.max(0) as usize);
    Ok((end, buf))
}

/// Takes a connection down and its image up.
fn dump(k: &mut dyn Kernel, fd: Fd) -> Got<Image> {
    ret!(set(k, fd, TCP_REPAIR, 1), 0);
    let (_, info) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 8);
    let image = Image {
        local: k.sockname(fd)?,
        peer: k.peername(fd)?,
        recv: peek(k, fd, RECV_QUEUE)?,
        send: peek(k, fd, SEND_QUEUE)?,
        window: window(k, fd)?,
        mss: get(k, fd, libc::TCP_MAXSEG)?,
        scales: info[6],
        clock: get(k, fd, TCP_TIMESTAMP)?,
    };
    ret!(k.close(fd), 0);
    Ok(image)
}

/// Makes a connection of an image.
fn restore(k: &mut dyn Kernel, family: i32, image: &Image) -> Got<Fd> {
    let fd = k.tcp_socket(family, NB)?;
    ret!(set(k, fd, TCP_REPAIR, 1), 0);
    ret!(k.bind(fd, &image.local), 0);
    for (queue, (end, data)) in [(RECV_QUEUE, &image.recv), (SEND_QUEUE, &image.send)] {
        ret!(set(k, fd, TCP_REPAIR_QUEUE, queue), 0);
        let start = end.wrapping_sub(data.len() as i32);
        ret!(set(k, fd, TCP_QUEUE_SEQ, start), 0);
    }
    ret!(k.connect(fd, &image.peer), 0);
    let scales = u32::from(image.scales & 15) | u32::from(image.scales >> 4) << 16;
    let list = [(2, image.mss as u32), (3, scales), (4, 0), (8, 0)];
    ret!(options(k, fd, &list), 0);
    ret!(set(k, fd, TCP_TIMESTAMP, image.clock), 0);
    for (queue, (end, data)) in [(RECV_QUEUE, &image.recv), (SEND_QUEUE, &image.send)] {
        ret!(set(k, fd, TCP_REPAIR_QUEUE, queue), 0);
        if !data.is_empty() {
            ret!(k.send(fd, data, 0), data.len());
        }
        eq!(get(k, fd, TCP_QUEUE_SEQ)?, *end);
    }
    ret!(
        k.setsockopt(
            fd,
            IPPROTO_TCP,
            TCP_REPAIR_WINDOW,
            &window_bytes(image.window)
        ),
        0
    );
    ret!(set(k, fd, TCP_REPAIR, 0), 0);
    Ok(fd)
}

fn moves_a_connection(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        ret!(k.send(t.client, b"before", 0), 6);
        eq!(k.recv_now(t.server)?, b"before");
        ret!(k.send(t.server, b"unread", 0), 6);
        mask!(k, t.client, R | W);
        let image = dump(k, t.client)?;
        eq!(&image.recv.1[..], b"unread");
        let moved = restore(k, family, &image)?;
        eq!(k.peername(moved)?, t.addr);
        eq!(k.recv_now(moved)?, b"unread");
        ret!(k.send(moved, b"after", 0), 5);
        eq!(k.recv_now(t.server)?, b"after");
        ret!(k.send(t.server, b"answer", 0), 6);
        eq!(k.recv_now(moved)?, b"answer");
        // And it ends as any other.
        ret!(k.close(moved), 0);
        eq!(k.recv_now(t.server)?, b"");
    }
    Ok(())
}

fn moves_what_was_not_acknowledged(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"seen", 0), 4);
    eq!(k.recv_now(t.server)?, b"seen");
    let mut image = dump(k, t.client)?;
    // As if these had been sent, and been lost on the way.
    image.send.0 = image.send.0.wrapping_add(4);
    image.send.1 = b"lost".to_vec();
    let moved = restore(k, AF_INET, &image)?;
    // It takes a timeout.
    let mut buf = [0; 9];
    let mut got = k.recv(t.server, &mut buf, 0);
    for _ in 0..300 {
        if got != -i64::from(libc::EAGAIN) {
            break;
        }
        k.pause(std::time::Duration::from_millis(10));
        got = k.recv(t.server, &mut buf, 0);
    }
    eq!((got, &buf[..4]), (4, &b"lost"[..]));
    ret!(k.send(moved, b"more", 0), 4);
    eq!(k.recv_now(t.server)?, b"more");
    Ok(())
}

fn not_inherited(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, NB)?;
    ret!(set(k, fd, TCP_REPAIR, 1), 0);
    ret!(set(k, fd, TCP_REPAIR, 0), 0);
    ok!(k.bind(fd, &Addr::lo4(0)));
    ok!(k.listen(fd, 1));
    let addr = k.sockname(fd)?;
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(fd)?;
    eq!(get(k, server, TCP_REPAIR)?, 0);
    Ok(())
}
