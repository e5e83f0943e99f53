//! Who waits for a listener or a connection wakes when it ends or begins.

use crate::addr::Addr;
use crate::check::{Outcome, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, POLLHUP, POLLOUT, SHUT_RD, SHUT_RDWR};

tests! {
    listener_shut_down,
    listener_disconnected,
    listener_that_listens_again,
    listener_that_sends [SIGPIPE],
    connecting_at_once_is_an_edge [EPOLL],
    vectors_longer_than_memory,
}

/// inet_shutdown() stops a listener, which hangs up whoever polls it, though nothing is to be read.
fn listener_shut_down(k: &mut dyn Kernel) -> Outcome {
    for (family, how) in [(AF_INET, SHUT_RD), (AF_INET6, SHUT_RDWR)] {
        let (fd, _) = k.tcp_listener(family, 4)?;
        eq!(k.polled(fd, POLLOUT), 0);
        ret!(k.shutdown(fd, how), 0);
        eq!(k.polled(fd, 0), POLLHUP);
        eq!(k.polled(fd, POLLOUT), POLLHUP | POLLOUT);
        err!(k.accept(fd), EINVAL);
        err!(k.shutdown(fd, how), ENOTCONN);
        eq!(k.polled(fd, 0), POLLHUP);
    }
    Ok(())
}

fn listener_disconnected(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.tcp_listener(AF_INET, 4)?;
    ret!(k.connect(fd, &Addr::unspec()), 0);
    eq!(k.polled(fd, 0), POLLHUP);
    eq!(k.polled(fd, POLLOUT), POLLHUP | POLLOUT);
    let (_, to) = k.tcp_listener(AF_INET, 4)?;
    k.connect_now(fd, &to)?;
    mask!(k, fd, W);
    Ok(())
}

fn listener_that_listens_again(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = k.tcp_listener(AF_INET, 4)?;
    for _ in 0..3 {
        ret!(k.shutdown(fd, SHUT_RD), 0);
        eq!(k.polled(fd, 0), POLLHUP);
        ret!(k.listen(fd, 4), 0);
        mask!(k, fd, 0);
        // The port was nobody's wish: it is another.
        let addr = k.sockname(fd)?;
        let client = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(client, &addr)?;
        mask!(k, fd, R);
        let server = k.accept_now(fd)?;
        mask!(k, fd, 0);
        ret!(k.send(server, b"x", 0), 1);
        mask!(k, client, R | W);
    }
    // A socket that has tried to send before it listens.
    let fd = k.tcp_socket(AF_INET, 0)?;
    err!(k.shutdown(fd, SHUT_RDWR), ENOTCONN);
    err!(k.send(fd, b"x", libc::MSG_NOSIGNAL), EPIPE);
    ret!(k.listen(fd, 4), 0);
    mask!(k, fd, 0);
    Ok(())
}

/// A listener goes on after its EPIPE.
fn listener_that_sends(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 4)?;
    k.take_sigpipe();
    err!(k.send(fd, b"x", 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    mask!(k, fd, 0);
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    mask!(k, fd, R);
    k.accept_now(fd)?;
    mask!(k, fd, 0);
    Ok(())
}

/// The next event, or 0 after so many milliseconds.
fn next(k: &mut dyn Kernel, ep: Fd, wait: u64) -> u32 {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    k.call(
        libc::SYS_epoll_wait,
        &[ep as u64, &raw mut event as u64, 1, wait],
    );
    event.events
}

/// Edge-triggered: a new socket shows OUT, and OUT again when it is connected.
fn connecting_at_once_is_an_edge(k: &mut dyn Kernel) -> Outcome {
    for flags in [0, NB] {
        let (_, addr) = k.tcp_listener(AF_INET, 4)?;
        let fd = k.tcp_socket(AF_INET, flags)?;
        let ep = ok!(k.call(libc::SYS_epoll_create1, &[0]));
        let event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32,
            u64: 0,
        };
        let args = [ep as u64, 1, fd as u64, &raw const event as u64];
        ret!(k.call(libc::SYS_epoll_ctl, &args), 0);
        // With EPOLLHUP, as it was never connected.
        eq!(
            next(k, ep, 0) & !(libc::EPOLLHUP as u32),
            libc::EPOLLOUT as u32
        );
        eq!(next(k, ep, 0), 0);
        k.connect_now(fd, &addr)?;
        eq!(next(k, ep, 1000), libc::EPOLLOUT as u32);
    }
    Ok(())
}

/// __import_iovec() asks whether each of several elements is in memory as it claims, before it cuts what is too much.
fn vectors_longer_than_memory(k: &mut dyn Kernel) -> Outcome {
    let (to, _) = k.udp_pair(AF_INET)?;
    let tcp = k.tcp(AF_INET)?;
    let mut byte = [7u8; 4];
    let mut element = |len: usize| libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: len,
    };
    let long = [element(isize::MAX as usize), element(1)];
    for fd in [to, tcp.client] {
        err!(k.writev_raw(fd, long.as_ptr() as u64, 2), EFAULT);
        err!(
            k.call(libc::SYS_readv, &[fd as u64, long.as_ptr() as u64, 2]),
            EFAULT
        );
    }
    Ok(())
}
