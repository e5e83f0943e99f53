//! Calls that wait, and what ends the waiting (signal(7), socket(7)): a signal, its time, a shutdown, a
//! reset; not a close.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret, skip};
use crate::kernel::Kernel;
use crate::msg::{Batch, Msg};
use crate::registry::tests;
use crate::signal::Timer;
use crate::sys::{Fd, W, WB};
use libc::{
    AF_INET, AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL, SHUT_RD, SHUT_RDWR, SHUT_WR,
};
use libc::{SO_RCVTIMEO, SO_SNDTIMEO, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};
use std::thread::JoinHandle;
use std::time::Duration;

tests! {
    receives_are_interrupted [SIGNALS],
    sends_are_interrupted [SIGNALS],
    connect_is_interrupted_and_goes_on [SIGNALS],
    receives_are_restarted [SIGNALS],
    accept_is_restarted [SIGNALS],
    with_a_timeout_nothing_is_restarted [SIGNALS],
    waiting_for_readiness_is_never_restarted [SIGNALS],
    receive_timeouts [TIMEOUTS],
    send_timeouts [TIMEOUTS],
    connect_timeouts [TIMEOUTS],
    timeout_of_waitall [TIMEOUTS],
    receive_is_ended_by_shutdown [THREADS],
    receive_is_ended_by_the_peer [THREADS],
    receive_is_ended_by_a_reset [THREADS],
    receive_is_ended_by_a_disconnect [THREADS],
    accept_is_ended_by_shutdown [THREADS],
    send_is_ended_by_shutdown [THREADS],
    send_is_ended_by_the_peer [THREADS],
    connect_is_ended_by_shutdown [THREADS],
    connect_is_ended_by_the_listener [THREADS],
    receive_is_not_ended_by_close [THREADS],
    accept_is_not_ended_by_close [THREADS],
    datagram_receive_is_ended_by_shutdown [THREADS],
    datagram_send_is_ended_by_the_peer [THREADS],
    splice_waits_for_the_socket [THREADS | FILES],
}

const TICK: Duration = Duration::from_millis(20);
/// Long enough for another thread to block.
const MOMENT: Duration = Duration::from_millis(60);
/// Longer than the first probe of a window takes.
pub(super) const PROBE: Duration = Duration::from_millis(350);

pub(super) fn blocking(k: &mut dyn Kernel, fd: Fd) -> Fd {
    k.fcntl(fd, libc::F_SETFL, 0);
    fd
}

fn timeout(k: &mut dyn Kernel, fd: Fd, name: i32, millis: i64) -> Outcome {
    let value = [millis / 1000, millis % 1000 * 1000]
        .map(i64::to_ne_bytes)
        .concat();
    ret!(k.setsockopt(fd, SOL_SOCKET, name, &value), 0);
    Ok(())
}

/// A call in another thread, which is given time to block.
pub(super) fn meanwhile(
    k: &mut dyn Kernel,
    call: impl FnOnce(&mut dyn Kernel) -> i64 + Send + 'static,
) -> Got<JoinHandle<i64>> {
    let Some(mut other) = k.another_thread() else {
        skip!("no second thread");
    };
    let (about_to, here) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = about_to.send(());
        call(&mut *other)
    });
    let _ = here.recv();
    k.pause(MOMENT);
    check!(!thread.is_finished(), "the call did not wait");
    Ok(thread)
}

pub(super) fn ended(thread: JoinHandle<i64>) -> i64 {
    thread.join().unwrap_or(i64::MIN)
}

/// Each call that receives: its result on an empty socket.
fn receive(k: &mut dyn Kernel, fd: Fd, way: usize) -> i64 {
    let mut buf = [0u8; 4];
    match way {
        0 => k.recv(fd, &mut buf, 0),
        1 => k.recvfrom(fd, &mut buf, 0).0,
        2 => k.recvmsg(fd, &mut Msg::room(&[4]), 0),
        3 => {
            let mut batch = Batch::new(vec![Msg::room(&[4])]);
            k.recvmmsg_raw(fd, batch.ptr(), 1, 0, 0)
        }
        4 => k.read(fd, &mut buf),
        _ => {
            let iov = [buf.as_mut_ptr() as u64, 4];
            k.readv_raw(fd, iov.as_ptr() as u64, 1)
        }
    }
}

const RECEIVES: usize = 6;

/// A connection whose client's buffers are full, and which blocks.
fn full(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Fd)> {
    let (a, b) = if family == AF_UNIX {
        k.pair(AF_UNIX, SOCK_STREAM)?
    } else {
        let t = k.tcp(family)?;
        (t.client, t.server)
    };
    k.fill(a, 4096)?;
    if family == AF_INET {
        // An acknowledgment may be 40 ms late, and make some room again; and what is left of the window, less than a
        // segment, is filled by a probe after 200 ms (tcp_write_wakeup()).
        k.pause(PROBE);
        k.fill(a, 4096)?;
    }
    Ok((blocking(k, a), b))
}

/// A listener with no room left, and a socket that is about to connect to it.
pub(super) fn busy(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Fd, Addr)> {
    let (listener, addr) = if family == AF_UNIX {
        k.unix_listener(SOCK_STREAM, 0)?
    } else {
        k.tcp_listener(family, 0)?
    };
    let first = ok!(k.socket(family, SOCK_STREAM, 0));
    ret!(k.connect(first, &addr), 0);
    let second = ok!(k.socket(family, SOCK_STREAM, 0));
    Ok((listener, second, addr))
}

fn empty(k: &mut dyn Kernel) -> Got<Vec<Fd>> {
    let t = k.tcp(AF_INET)?;
    let (udp, _) = k.udp_pair(AF_INET)?;
    let mut all = vec![t.server, udp];
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        all.push(k.pair(AF_UNIX, kind)?.0);
    }
    for fd in &all {
        blocking(k, *fd);
    }
    Ok(all)
}

fn receives_are_interrupted(k: &mut dyn Kernel) -> Outcome {
    let all = empty(k)?;
    let _timer = Timer::start(TICK, false);
    for fd in all {
        for way in 0..RECEIVES {
            ret!(receive(k, fd, way), -libc::EINTR);
        }
    }
    Ok(())
}

/// Each call that sends a lot.
fn send(k: &mut dyn Kernel, fd: Fd, way: usize) -> i64 {
    let data = vec![0u8; 1 << 20];
    match way {
        0 => k.send(fd, &data, 0),
        1 => k.write(fd, &data),
        2 => k.sendmsg(fd, &mut Msg::of(&[&data]), 0),
        _ => {
            let mut batch = Batch::new(vec![Msg::of(&[&data])]);
            k.sendmmsg_raw(fd, batch.ptr(), 1, 0)
        }
    }
}

const SENDS: usize = 4;

fn sends_are_interrupted(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        for way in 0..SENDS {
            let (a, _b) = full(k, family)?;
            let _timer = Timer::start(TICK, false);
            ret!(send(k, a, way), -libc::EINTR);
        }
    }
    Ok(())
}

fn connect_is_interrupted_and_goes_on(k: &mut dyn Kernel) -> Outcome {
    let (listener, fd, addr) = busy(k, AF_INET)?;
    let timer = Timer::start(TICK, false);
    err!(k.connect(fd, &addr), EINTR);
    // The connection is being set up all the same.
    mask!(k, fd, 0);
    k.nonblocking(fd);
    err!(k.connect(fd, &addr), EALREADY);
    drop(timer);
    ok!(k.accept(listener));
    for _ in 0..40 {
        if k.poll_mask(fd) != 0 {
            break;
        }
        k.pause(Duration::from_millis(100));
    }
    mask!(k, fd, W);
    eq!(k.so_error(fd)?, 0);
    Ok(())
}

fn receives_are_restarted(k: &mut dyn Kernel) -> Outcome {
    for way in 0..RECEIVES {
        let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
        let timer = Timer::start(TICK, true);
        timer.help(3, a);
        ret!(receive(k, b, way), 1);
        check!(timer.struck() >= 3, "{} strokes", timer.struck());
    }
    Ok(())
}

fn accept_is_restarted(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        let (listener, addr) = if family == AF_UNIX {
            k.unix_listener(SOCK_STREAM, 4)?
        } else {
            k.tcp_listener(family, 4)?
        };
        blocking(k, listener);
        let timer = Timer::start(TICK, true);
        let Some(mut other) = k.another_thread() else {
            skip!("no second thread");
        };
        let client = std::thread::spawn(move || {
            crate::signal::hold(libc::SIGALRM);
            let other: &mut dyn Kernel = &mut *other;
            other.pause(4 * TICK);
            let fd = other.socket(family, SOCK_STREAM, 0);
            other.connect(fd, &addr)
        });
        ok!(k.accept(listener));
        check!(timer.struck() >= 1, "no signal came");
        ret!(client.join().unwrap_or(-1), 0);
    }
    Ok(())
}

fn with_a_timeout_nothing_is_restarted(k: &mut dyn Kernel) -> Outcome {
    for fd in empty(k)? {
        timeout(k, fd, SO_RCVTIMEO, 5000)?;
        let _timer = Timer::start(TICK, true);
        for way in 0..RECEIVES {
            ret!(receive(k, fd, way), -libc::EINTR);
        }
    }
    for family in [AF_INET, AF_UNIX] {
        let (listener, fd, addr) = busy(k, family)?;
        timeout(k, fd, SO_SNDTIMEO, 5000)?;
        timeout(k, listener, SO_RCVTIMEO, 5000)?;
        blocking(k, listener);
        let (full, _peer) = full(k, family)?;
        timeout(k, full, SO_SNDTIMEO, 5000)?;
        let _timer = Timer::start(TICK, true);
        err!(k.connect(fd, &addr), EINTR);
        err!(k.send(full, &vec![0; 1 << 20], 0), EINTR);
        ok!(k.accept(listener));
        if family == AF_UNIX {
            err!(k.accept(listener), EINTR);
        }
    }
    Ok(())
}

fn waiting_for_readiness_is_never_restarted(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let ep = ok!(k.call(libc::SYS_epoll_create1, &[0]));
    let event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 0,
    };
    let add = libc::EPOLL_CTL_ADD as u64;
    let args = [ep as u64, add, a as u64, &raw const event as u64];
    ret!(k.call(libc::SYS_epoll_ctl, &args), 0);
    let _timer = Timer::start(TICK, true);
    let mut fds = [libc::pollfd {
        fd: a as i32,
        events: libc::POLLIN,
        revents: 0,
    }];
    err!(k.poll(&mut fds, 5000), EINTR);
    let mut event = event;
    let args = [ep as u64, &raw mut event as u64, 1, 5000];
    err!(k.call(libc::SYS_epoll_wait, &args), EINTR);
    let mut set = [1u64 << (a % 64), 0];
    let args = [a as u64 + 1, set.as_mut_ptr() as u64, 0, 0, 0];
    err!(k.call(libc::SYS_select, &args), EINTR);
    Ok(())
}

fn receive_timeouts(k: &mut dyn Kernel) -> Outcome {
    for fd in empty(k)? {
        timeout(k, fd, SO_RCVTIMEO, 20)?;
        for way in 0..RECEIVES {
            ret!(receive(k, fd, way), -libc::EAGAIN);
        }
    }
    let (tcp, _) = k.tcp_listener(AF_INET, 4)?;
    let (unix, _) = k.unix_listener(SOCK_STREAM, 4)?;
    for fd in [tcp, unix] {
        blocking(k, fd);
        timeout(k, fd, SO_RCVTIMEO, 20)?;
        err!(k.accept(fd), EAGAIN);
        err!(k.accept4_raw(fd, 0, 0, 0), EAGAIN);
    }
    Ok(())
}

fn send_timeouts(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        for way in 0..SENDS {
            let (a, _b) = full(k, family)?;
            timeout(k, a, SO_SNDTIMEO, 20)?;
            ret!(send(k, a, way), -libc::EAGAIN);
        }
        let (a, b) = full(k, family)?;
        timeout(k, a, SO_SNDTIMEO, 20)?;
        let data = vec![0u8; 64 << 20];
        // Something was sent: that is what is told.
        k.drain(b)?;
        k.pause(Duration::from_millis(20));
        k.drain(b)?;
        let sent = ok!(k.send(a, &data, 0));
        check!((1..data.len() as i64).contains(&sent), "{sent}");
    }
    let (a, _b) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    k.fill(a, 8)?;
    timeout(k, a, SO_SNDTIMEO, 20)?;
    err!(k.send(a, b"x", 0), EAGAIN);
    Ok(())
}

fn connect_timeouts(k: &mut dyn Kernel) -> Outcome {
    let (_listener, fd, addr) = busy(k, AF_UNIX)?;
    timeout(k, fd, SO_SNDTIMEO, 20)?;
    err!(k.connect(fd, &addr), EAGAIN);
    let (_listener, fd, addr) = busy(k, AF_INET)?;
    timeout(k, fd, SO_SNDTIMEO, 20)?;
    err!(k.connect(fd, &addr), EINPROGRESS);
    err!(k.connect(fd, &addr), EALREADY);
    mask!(k, fd, 0);
    Ok(())
}

fn timeout_of_waitall(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for (from, to) in [(t.client, t.server), k.pair(AF_UNIX, SOCK_STREAM)?] {
        blocking(k, to);
        timeout(k, to, SO_RCVTIMEO, 20)?;
        ret!(k.send(from, b"abc", 0), 3);
        ret!(k.recv(to, &mut [0; 8], MSG_WAITALL), 3);
        err!(k.recv(to, &mut [0; 8], MSG_WAITALL), EAGAIN);
    }
    Ok(())
}

fn receive_is_ended_by_shutdown(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for fd in [
        t.server,
        k.pair(AF_UNIX, SOCK_STREAM)?.0,
        k.pair(AF_UNIX, SOCK_SEQPACKET)?.0,
    ] {
        blocking(k, fd);
        let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], 0))?;
        ret!(k.shutdown(fd, SHUT_RD), 0);
        ret!(ended(call), 0);
    }
    Ok(())
}

fn receive_is_ended_by_the_peer(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    for (fd, peer) in [
        (t.server, t.client),
        k.pair(AF_UNIX, SOCK_STREAM)?,
        k.pair(AF_UNIX, SOCK_SEQPACKET)?,
    ] {
        blocking(k, fd);
        let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], MSG_WAITALL))?;
        ret!(k.shutdown(peer, SHUT_WR), 0);
        ret!(ended(call), 0);
    }
    Ok(())
}

fn receive_is_ended_by_a_reset(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fd = blocking(k, t.server);
    let linger = [1i32, 0].map(i32::to_ne_bytes).concat();
    ret!(
        k.setsockopt(t.client, SOL_SOCKET, libc::SO_LINGER, &linger),
        0
    );
    let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], 0))?;
    k.close(t.client);
    ret!(ended(call), -libc::ECONNRESET);
    let (fd, peer) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.send(fd, b"unread", 0), 6);
    let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], 0))?;
    k.close(peer);
    ret!(ended(call), -libc::ECONNRESET);
    Ok(())
}

/// sk_wait_event(): EPIPE, and the error of the connection stays for who comes next.
fn receive_is_ended_by_a_disconnect(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let fd = blocking(k, t.server);
    let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], 0))?;
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(ended(call), -libc::EPIPE);
    eq!(k.so_error(fd)?, libc::ECONNRESET);
    // What it has taken already it gives.
    let t = k.tcp(AF_INET)?;
    let fd = blocking(k, t.server);
    let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], MSG_WAITALL))?;
    ret!(k.send(t.client, b"x", 0), 1);
    k.pause(MOMENT);
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(ended(call), 1);
    // Who was not there hears of it by the error.
    let t = k.tcp(AF_INET)?;
    ret!(k.connect(t.server, &Addr::unspec()), 0);
    err!(k.recv(t.server, &mut [0; 4], 0), ECONNRESET);
    Ok(())
}

fn accept_is_ended_by_shutdown(k: &mut dyn Kernel) -> Outcome {
    let (tcp, _) = k.tcp_listener(AF_INET, 4)?;
    let (unix, _) = k.unix_listener(SOCK_STREAM, 4)?;
    for fd in [tcp, unix] {
        blocking(k, fd);
        let call = meanwhile(k, move |k| k.accept(fd))?;
        ret!(k.shutdown(fd, SHUT_RDWR), 0);
        ret!(ended(call), -libc::EINVAL);
    }
    Ok(())
}

fn send_is_ended_by_shutdown(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        let (fd, _peer) = full(k, family)?;
        let call = meanwhile(k, move |k| k.send(fd, &[0; 1 << 16], MSG_NOSIGNAL))?;
        ret!(k.shutdown(fd, SHUT_WR), 0);
        ret!(ended(call), -libc::EPIPE);
    }
    Ok(())
}

fn send_is_ended_by_the_peer(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_UNIX] {
        let (fd, peer) = full(k, family)?;
        let call = meanwhile(k, move |k| k.send(fd, &[0; 1 << 16], MSG_NOSIGNAL))?;
        k.close(peer);
        // With data that it has not read.
        ret!(ended(call), -libc::ECONNRESET);
    }
    Ok(())
}

fn connect_is_ended_by_shutdown(k: &mut dyn Kernel) -> Outcome {
    let (_listener, fd, addr) = busy(k, AF_INET)?;
    let call = meanwhile(k, move |k| k.connect(fd, &addr))?;
    ret!(k.shutdown(fd, SHUT_RDWR), 0);
    ret!(ended(call), -libc::ECONNRESET);
    Ok(())
}

fn connect_is_ended_by_the_listener(k: &mut dyn Kernel) -> Outcome {
    let (listener, fd, addr) = busy(k, AF_UNIX)?;
    let call = meanwhile(k, move |k| k.connect(fd, &addr))?;
    k.close(listener);
    ret!(ended(call), -libc::ECONNREFUSED);
    let (listener, fd, addr) = busy(k, AF_UNIX)?;
    let call = meanwhile(k, move |k| k.connect(fd, &addr))?;
    ok!(k.accept(listener));
    ret!(ended(call), 0);
    Ok(())
}

fn receive_is_not_ended_by_close(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let stream = k.pair(AF_UNIX, SOCK_STREAM)?;
    let udp = k.udp_pair(AF_INET)?;
    for (fd, peer) in [(t.server, t.client), stream, udp] {
        blocking(k, fd);
        let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], 0))?;
        ret!(k.close(fd), 0);
        err!(k.recv(fd, &mut [0; 4], libc::MSG_DONTWAIT), EBADF);
        k.pause(MOMENT);
        check!(!call.is_finished(), "recv ended by close");
        // The call has the file still, and gets what comes.
        ret!(k.send(peer, b"xy", 0), 2);
        ret!(ended(call), 2);
    }
    // With it the socket is gone.
    mask!(
        k,
        stream.1,
        crate::sys::R | WB | libc::POLLRDHUP | libc::POLLHUP
    );
    Ok(())
}

fn accept_is_not_ended_by_close(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.unix_listener(SOCK_STREAM, 4)?;
    blocking(k, fd);
    let call = meanwhile(k, move |k| k.accept(fd))?;
    ret!(k.close(fd), 0);
    k.pause(MOMENT);
    check!(!call.is_finished(), "accept ended by close");
    let client = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(client, &addr), 0);
    check!(ended(call) >= 0, "accept failed");
    Ok(())
}

fn datagram_receive_is_ended_by_shutdown(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let unix = k.pair(AF_UNIX, SOCK_DGRAM)?.0;
    for fd in [a, unix] {
        blocking(k, fd);
        let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], 0))?;
        ret!(k.shutdown(fd, SHUT_RD), 0);
        ret!(ended(call), 0);
    }
    k.close(b);
    Ok(())
}

fn datagram_send_is_ended_by_the_peer(k: &mut dyn Kernel) -> Outcome {
    let (fd, peer) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    k.fill(fd, 8)?;
    let call = meanwhile(k, move |k| k.send(fd, b"x", MSG_NOSIGNAL))?;
    k.close(peer);
    ret!(ended(call), -libc::ECONNREFUSED);
    let (fd, peer) = k.pair(AF_UNIX, SOCK_DGRAM)?;
    k.fill(fd, 8)?;
    let call = meanwhile(k, move |k| k.send(fd, b"x", MSG_NOSIGNAL))?;
    k.nonblocking(peer);
    for _ in 0..2000 {
        match k.recv(peer, &mut [0; 8], 0) {
            1 => break,
            8 => {}
            got => {
                ret!(got, -libc::EAGAIN);
                k.pause(Duration::from_millis(1));
            }
        }
    }
    ret!(ended(call), 1);
    Ok(())
}

/// `SPLICE_F_NONBLOCK` is of the pipe; of sockets only streams of AF_UNIX hear it.
fn splice_waits_for_the_socket(k: &mut dyn Kernel) -> Outcome {
    let (r, w) = k.pipe()?;
    let mut buf = [0; 8];
    let t = k.tcp(AF_INET)?;
    for (fd, peer) in [
        (t.server, t.client),
        k.udp_pair(AF_INET)?,
        k.pair(AF_UNIX, SOCK_DGRAM)?,
        k.pair(AF_UNIX, SOCK_SEQPACKET)?,
    ] {
        blocking(k, fd);
        let call = meanwhile(k, move |k| k.splice(fd, w, 100, libc::SPLICE_F_NONBLOCK))?;
        ret!(k.send(peer, b"abc", 0), 3);
        ret!(ended(call), 3);
        ret!(k.read(r, &mut buf), 3);
    }
    let (fd, _peer) = k.pair(AF_UNIX, SOCK_STREAM)?;
    blocking(k, fd);
    err!(k.splice(fd, w, 100, libc::SPLICE_F_NONBLOCK), EAGAIN);
    // Nor is it what the way into a full socket asks for.
    let (fd, peer) = k.pair(AF_UNIX, SOCK_SEQPACKET)?;
    ret!(
        k.setsockopt(fd, SOL_SOCKET, libc::SO_SNDBUF, &1i32.to_ne_bytes()),
        0
    );
    let mut sent = 0;
    while k.send(fd, &[1; 500], MSG_DONTWAIT) > 0 {
        sent += 1;
    }
    check!(sent > 0, "nothing was sent");
    blocking(k, fd);
    ret!(k.write(w, b"x"), 1);
    let call = meanwhile(k, move |k| k.splice(r, fd, 1, libc::SPLICE_F_NONBLOCK))?;
    for _ in 0..sent {
        ret!(k.recv(peer, &mut [0; 500], 0), 500);
    }
    ret!(ended(call), 1);
    Ok(())
}
