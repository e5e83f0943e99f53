//! An error queue that has something, and nothing else that is new: what poll and edge-triggered epoll say.

use crate::check::{Got, Outcome, check, eq, mask, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, PRI, R, W, WB};
use libc::{AF_INET, AF_INET6, MSG_ERRQUEUE, POLLERR, SOCK_DGRAM, SOL_SOCKET};

tests! {
    stamps_of_datagrams [EPOLL],
    each_is_an_edge [EPOLL],
    with_data_beside_it [EPOLL],
    urgent_if_asked_for [EPOLL],
    the_option_comes_later [FILES],
    of_a_refusal [EPOLL],
    stamps_of_a_stream [EPOLL],
}

const SO_TIMESTAMPING: i32 = 37;
const SO_SELECT_ERR_QUEUE: i32 = 45;
/// SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE.
const SENT: i32 = 1 << 1 | 1 << 4;

/// A socket whose datagrams leave a stamp each, connected to itself or to another.
fn stamped(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Fd)> {
    let (to, address) = k.udp(family)?;
    let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &address), 0);
    ret!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, SENT), 0);
    Ok((fd, to))
}

/// An edge-triggered instance that asks for nothing: errors come unasked.
fn edges(k: &mut dyn Kernel, fd: Fd) -> Got<Fd> {
    edges_of(k, fd, 0)
}

fn edges_of(k: &mut dyn Kernel, fd: Fd, events: u32) -> Got<Fd> {
    let ep = ok!(k.call(libc::SYS_epoll_create1, &[0]));
    let event = libc::epoll_event {
        events: events | libc::EPOLLET as u32,
        u64: fd as u64,
    };
    let add = libc::EPOLL_CTL_ADD as u64;
    let args = [ep as u64, add, fd as u64, &raw const event as u64];
    ret!(k.call(libc::SYS_epoll_ctl, &args), 0);
    Ok(ep)
}

/// What comes within a second; nothing.
fn edge(k: &mut dyn Kernel, ep: Fd, wait_ms: u64) -> Got<u32> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    for _ in 0..=wait_ms {
        let args = [ep as u64, &raw mut event as u64, 1, 0];
        if ok!(k.call(libc::SYS_epoll_wait, &args)) == 1 {
            return Ok(event.events);
        }
        if wait_ms > 0 {
            k.pause(std::time::Duration::from_millis(1));
        }
    }
    Ok(0)
}

fn take(k: &mut dyn Kernel, fd: Fd) -> i64 {
    let mut msg = Msg::room(&[64]).name_room(28).control_room(512);
    k.recvmsg(fd, &mut msg, MSG_ERRQUEUE)
}

const ERR: u32 = libc::EPOLLERR as u32;

fn stamps_of_datagrams(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, _to) = stamped(k, family)?;
        let ep = edges(k, fd)?;
        eq!(edge(k, ep, 0)?, 0);
        ret!(k.send(fd, b"x", 0), 1);
        eq!(edge(k, ep, 1000)?, ERR);
        mask!(k, fd, WB | POLLERR);
        eq!(edge(k, ep, 0)?, 0);
        // It is no pending error.
        eq!(k.so_error(fd)?, 0);
        mask!(k, fd, WB | POLLERR);
        eq!(take(k, fd) > 0, true);
        mask!(k, fd, WB);
        eq!(take(k, fd), -i64::from(libc::EAGAIN));
        eq!(edge(k, ep, 0)?, 0);
    }
    Ok(())
}

fn each_is_an_edge(k: &mut dyn Kernel) -> Outcome {
    let (fd, _to) = stamped(k, AF_INET)?;
    let ep = edges(k, fd)?;
    for _ in 0..4 {
        ret!(k.send(fd, b"x", 0), 1);
        eq!(edge(k, ep, 1000)?, ERR);
    }
    for _ in 0..3 {
        eq!(take(k, fd) > 0, true);
        mask!(k, fd, WB | POLLERR);
    }
    eq!(take(k, fd) > 0, true);
    mask!(k, fd, WB);
    ret!(k.send(fd, b"x", 0), 1);
    eq!(edge(k, ep, 1000)?, ERR);
    Ok(())
}

fn with_data_beside_it(k: &mut dyn Kernel) -> Outcome {
    let (fd, address) = k.udp(AF_INET)?;
    ret!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, SENT), 0);
    ret!(k.connect(fd, &address), 0);
    ret!(k.send(fd, b"to itself", 0), 9);
    mask!(k, fd, R | WB | POLLERR);
    // Either goes without the other.
    ret!(k.recv(fd, &mut [0; 16], 0), 9);
    mask!(k, fd, WB | POLLERR);
    ret!(k.send(fd, b"again", 0), 5);
    mask!(k, fd, R | WB | POLLERR);
    eq!(take(k, fd) > 0, true);
    eq!(take(k, fd) > 0, true);
    mask!(k, fd, R | WB);
    ret!(k.recv(fd, &mut [0; 16], 0), 5);
    mask!(k, fd, WB);
    Ok(())
}

fn urgent_if_asked_for(k: &mut dyn Kernel) -> Outcome {
    let (fd, _to) = stamped(k, AF_INET)?;
    ret!(k.set_int(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1), 0);
    mask!(k, fd, WB);
    let ep = edges(k, fd)?;
    ret!(k.send(fd, b"x", 0), 1);
    eq!(edge(k, ep, 1000)?, ERR);
    mask!(k, fd, WB | PRI | POLLERR);
    eq!(take(k, fd) > 0, true);
    mask!(k, fd, WB);
    Ok(())
}

fn the_option_comes_later(k: &mut dyn Kernel) -> Outcome {
    let (fd, _to) = stamped(k, AF_INET)?;
    ret!(k.send(fd, b"x", 0), 1);
    mask!(k, fd, WB | POLLERR);
    ret!(k.set_int(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1), 0);
    mask!(k, fd, WB | PRI | POLLERR);
    ret!(k.set_int(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 0), 0);
    mask!(k, fd, WB | POLLERR);
    Ok(())
}

fn of_a_refusal(k: &mut dyn Kernel) -> Outcome {
    let nobody = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1), 0);
    let ep = edges(k, fd)?;
    ret!(k.sendto(fd, b"x", 0, &nobody), 1);
    eq!(edge(k, ep, 1000)?, ERR);
    mask!(k, fd, WB | POLLERR);
    // The entry stays when the error has been told.
    eq!(k.so_error(fd)?, libc::ECONNREFUSED);
    mask!(k, fd, WB | POLLERR);
    eq!(take(k, fd) > 0, true);
    mask!(k, fd, WB);
    Ok(())
}

fn stamps_of_a_stream(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, SOL_SOCKET, SO_TIMESTAMPING, SENT), 0);
    let asked = (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP) as u32;
    let ep = edges_of(k, t.client, asked)?;
    eq!(edge(k, ep, 0)?, 0);
    // Under the runner it comes as an arrival (docs/design/readiness-mirror.md).
    let want = k.shown(t.client, POLLERR);
    for _ in 0..3 {
        ret!(k.send(t.client, b"x", 0), 1);
        let told = edge(k, ep, 1000)?;
        check!(told & want as u32 != 0, "{told:#x}");
        mask!(k, t.client, W | POLLERR);
        while edge(k, ep, 0)? != 0 {}
    }
    for _ in 0..3 {
        mask!(k, t.client, W | POLLERR);
        eq!(take(k, t.client) > 0, true);
    }
    mask!(k, t.client, W);
    Ok(())
}
