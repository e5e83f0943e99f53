//! poll, select and epoll on sockets.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, IN, OUT, PRI, R, W, WB};
use libc::{
    AF_INET, AF_UNIX, POLLERR, POLLHUP, POLLRDHUP, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
};

tests! {
    poll_negative_descriptor_is_skipped,
    poll_closed_descriptor,
    poll_many_and_count,
    poll_asks_only_for_what_was_asked,
    poll_timeout_wakes [THREADS],
    select_sets [FILES],
    epoll_level [EPOLL],
    epoll_edge [EPOLL],
    epoll_oneshot [EPOLL],
    epoll_hangup_unasked [EPOLL],
    epoll_close_removes [EPOLL],
    epoll_edge_new_data_fires_again [EPOLL],
    epoll_edge_of_each_datagram [EPOLL],
    epoll_out_after_drain [EPOLL],
}

fn poll_one(k: &mut dyn Kernel, fd: Fd, events: i16) -> (i64, i16) {
    let mut fds = [libc::pollfd {
        fd: fd as i32,
        events,
        revents: 0x55,
    }];
    let got = k.poll(&mut fds, 0);
    (got, fds[0].revents)
}

fn epoll(k: &mut dyn Kernel, fds: &[(Fd, u32)]) -> Got<Fd> {
    let ep = ok!(k.call(libc::SYS_epoll_create1, &[0]));
    for (fd, events) in fds {
        ret!(epoll_ctl(k, ep, libc::EPOLL_CTL_ADD, *fd, *events), 0);
    }
    Ok(ep)
}

fn epoll_ctl(k: &mut dyn Kernel, ep: Fd, op: i32, fd: Fd, events: u32) -> i64 {
    let event = libc::epoll_event {
        events,
        u64: fd as u64,
    };
    k.call(
        libc::SYS_epoll_ctl,
        &[ep as u64, op as u64, fd as u64, &raw const event as u64],
    )
}

/// The events that are there now, as (descriptor, events).
fn epoll_now(k: &mut dyn Kernel, ep: Fd) -> Got<Vec<(Fd, u32)>> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
    let n = ok!(k.call(
        libc::SYS_epoll_wait,
        &[ep as u64, events.as_mut_ptr() as u64, 8, 0]
    ));
    Ok(events[..n as usize]
        .iter()
        .map(|e| (e.u64 as Fd, e.events))
        .collect())
}

const EIN: u32 = libc::EPOLLIN as u32;
const EOUT: u32 = libc::EPOLLOUT as u32;
const EET: u32 = libc::EPOLLET as u32;
const EHUP: u32 = libc::EPOLLHUP as u32;
const EERR: u32 = libc::EPOLLERR as u32;

fn poll_negative_descriptor_is_skipped(k: &mut dyn Kernel) -> Outcome {
    eq!(poll_one(k, -1, IN | OUT), (0, 0));
    eq!(poll_one(k, -100, IN | OUT), (0, 0));
    Ok(())
}

fn poll_closed_descriptor(k: &mut dyn Kernel) -> Outcome {
    eq!(poll_one(k, 777, IN), (1, libc::POLLNVAL));
    eq!(poll_one(k, 777, 0), (1, libc::POLLNVAL));
    Ok(())
}

fn poll_many_and_count(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let (c, _d) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"x", 0), 1);
    let mut fds = [a, b, c, b].map(|fd| libc::pollfd {
        fd: fd as i32,
        events: IN,
        revents: 9,
    });
    ret!(k.poll(&mut fds, 0), 2);
    eq!(fds.map(|f| f.revents), [0, IN, 0, IN]);
    Ok(())
}

fn poll_asks_only_for_what_was_asked(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(poll_one(k, b, OUT), (1, OUT));
    eq!(poll_one(k, b, 0), (0, 0));
    eq!(poll_one(k, b, libc::POLLRDNORM), (1, libc::POLLRDNORM));
    k.close(a);
    mask!(k, b, R | WB | POLLHUP | POLLRDHUP);
    // HUP comes unasked.
    eq!(poll_one(k, b, 0), (1, POLLHUP));
    eq!(poll_one(k, b, POLLRDHUP), (1, POLLHUP | POLLRDHUP));
    Ok(())
}

fn poll_timeout_wakes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let blocked = std::thread::spawn(move || {
        let mut fds = [libc::pollfd {
            fd: b as i32,
            events: IN,
            revents: 0,
        }];
        let got = other.poll(&mut fds, 5000);
        (got, fds[0].revents)
    });
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "poll returned with nothing there");
    ret!(k.send(a, b"x", 0), 1);
    eq!(blocked.join().unwrap_or((-1, 0)), (1, IN));
    let mut fds = [libc::pollfd {
        fd: a as i32,
        events: IN,
        revents: 0,
    }];
    ret!(k.poll(&mut fds, 10), 0);
    Ok(())
}

fn select_sets(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"a!", libc::MSG_OOB), 2);
    mask!(k, t.server, R | W | libc::POLLPRI);
    let bit = 1u64 << t.server;
    check!(t.server < 60, "descriptor {}", t.server);
    let (mut readable, mut writable, mut exceptional) = ([bit, 0], [bit, 0], [bit, 0]);
    let timeout = [0i64; 2];
    let args = [
        t.server as u64 + 1,
        readable.as_mut_ptr() as u64,
        writable.as_mut_ptr() as u64,
        exceptional.as_mut_ptr() as u64,
        timeout.as_ptr() as u64,
    ];
    ret!(k.call(libc::SYS_select, &args), 3);
    eq!((readable[0], writable[0], exceptional[0]), (bit, bit, bit));
    // Urgent data alone is exceptional and not readable, where it can be shown alone.
    ret!(k.recv(t.server, &mut [0; 1], 0), 1);
    let alone = k.shown(t.server, W | PRI) & IN == 0;
    let args = [
        t.server as u64 + 1,
        readable.as_mut_ptr() as u64,
        0,
        exceptional.as_mut_ptr() as u64,
        timeout.as_ptr() as u64,
    ];
    ret!(k.call(libc::SYS_select, &args), if alone { 1 } else { 2 });
    let readable_too = if alone { 0 } else { bit };
    eq!((readable[0], exceptional[0]), (readable_too, bit));
    Ok(())
}

fn epoll_level(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let ep = epoll(k, &[(b, EIN)])?;
    eq!(epoll_now(k, ep)?, vec![]);
    ret!(k.send(a, b"xy", 0), 2);
    eq!(epoll_now(k, ep)?, vec![(b, EIN)]);
    eq!(epoll_now(k, ep)?, vec![(b, EIN)]);
    k.recv_now(b)?;
    eq!(epoll_now(k, ep)?, vec![]);
    Ok(())
}

fn epoll_edge(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_UNIX, AF_INET] {
        let (a, b) = if family == AF_UNIX {
            k.pair(AF_UNIX, SOCK_STREAM | NB)?
        } else {
            let t = k.tcp(AF_INET)?;
            (t.client, t.server)
        };
        let ep = epoll(k, &[(b, EIN | EET)])?;
        ret!(k.send(a, b"xy", 0), 2);
        crate::check::mask!(k, b, if family == AF_UNIX { R | WB } else { R | W });
        eq!(epoll_now(k, ep)?, vec![(b, EIN)]);
        eq!(epoll_now(k, ep)?, vec![]);
        // Reading a part is no event.
        ret!(k.recv(b, &mut [0; 1], 0), 1);
        eq!(epoll_now(k, ep)?, vec![]);
    }
    Ok(())
}

fn epoll_oneshot(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let oneshot = EIN | libc::EPOLLONESHOT as u32;
    let ep = epoll(k, &[(b, oneshot)])?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(epoll_now(k, ep)?, vec![(b, EIN)]);
    eq!(epoll_now(k, ep)?, vec![]);
    ret!(epoll_ctl(k, ep, libc::EPOLL_CTL_MOD, b, oneshot), 0);
    eq!(epoll_now(k, ep)?, vec![(b, EIN)]);
    Ok(())
}

fn epoll_hangup_unasked(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_SEQPACKET | NB)?;
    let ep = epoll(k, &[(b, 0)])?;
    ret!(k.send(b, b"unread", 0), 6);
    k.close(a);
    mask!(k, b, R | WB | POLLHUP | POLLRDHUP | POLLERR);
    eq!(epoll_now(k, ep)?, vec![(b, EHUP | EERR)]);
    Ok(())
}

fn epoll_close_removes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let ep = epoll(k, &[(b, EIN)])?;
    ret!(k.send(a, b"x", 0), 1);
    k.close(b);
    eq!(epoll_now(k, ep)?, vec![]);
    err!(epoll_ctl(k, ep, libc::EPOLL_CTL_DEL, b, 0), EBADF);
    Ok(())
}

fn epoll_edge_new_data_fires_again(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let ep = epoll(k, &[(b, EIN | EET)])?;
    for _ in 0..3 {
        // Nothing was read in between, and each arrival is an edge.
        ret!(k.send(a, b"x", 0), 1);
        eq!(epoll_now(k, ep)?, vec![(b, EIN)]);
        eq!(epoll_now(k, ep)?, vec![]);
    }
    Ok(())
}

/// sock_wfree(): a datagram that has left its sender is an event, whether anybody got it or not.
fn epoll_edge_of_each_datagram(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, libc::AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.set_int(b, libc::SOL_SOCKET, libc::SO_RCVBUF, 1), 0);
        let ep = epoll(k, &[(a, EIN | EOUT | EET)])?;
        eq!(epoll_now(k, ep)?, vec![(a, EOUT)]);
        eq!(epoll_now(k, ep)?, vec![]);
        for _ in 0..6 {
            ret!(k.send(a, &[0; 900], 0), 900);
            eq!(epoll_now(k, ep)?, vec![(a, EOUT)]);
            eq!(epoll_now(k, ep)?, vec![]);
        }
        // What is held back has not left.
        ret!(k.send(a, b"x", libc::MSG_MORE), 1);
        eq!(epoll_now(k, ep)?, vec![]);
    }
    Ok(())
}

fn epoll_out_after_drain(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let ep = epoll(k, &[(a, EOUT | EET)])?;
    eq!(epoll_now(k, ep)?, vec![(a, EOUT)]);
    k.fill(a, 4096)?;
    eq!(epoll_now(k, ep)?, vec![]);
    k.drain(b)?;
    eq!(epoll_now(k, ep)?, vec![(a, EOUT)]);
    Ok(())
}
