//! TCP: ends of connections, resets, masks on the way.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::{NB, Tcp};
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, IPPROTO_TCP, MSG_NOSIGNAL, POLLERR, POLLHUP, POLLRDHUP};
use libc::{SHUT_RD, SHUT_WR, SOL_SOCKET};

tests! {
    fresh_masks,
    established_masks,
    half_closed_masks,
    end_of_file_repeats,
    data_before_end_of_file,
    close_then_peer_sends,
    close_then_peer_sends_twice_sigpipe [SIGPIPE],
    close_with_unread_data_resets,
    reset_error_is_told_once,
    reset_keeps_received_data,
    reset_seen_by_send_first,
    linger_zero_resets,
    linger_zero_drops_unsent,
    linger_waits_no_longer_than_needed [TIMEOUTS],
    linger_option_shape,
    both_close,
    passive_close_then_close,
    states_in_tcp_info,
    state_after_reset,
    shutdown_then_receive_rest,
    unread_behind_shutdown_read,
    send_after_own_shutdown_sigpipe [SIGPIPE],
    so_error_after_reset_by_unread,
    close_in_syn_sent,
    connect_after_reset_is_allowed,
    peer_shutdown_both,
    recv_on_reset_listener_child,
    full_window_then_close,
    time_wait_keeps_no_descriptor,
    poll_wakes_on_hangup [THREADS],
    user_timeout_ends_connection [TIMEOUTS],
    fin_with_data_in_one_segment,
    unsent_data_is_delivered_after_close,
}

/// tcpi_state, the first byte of TCP_INFO.
fn state(k: &mut dyn Kernel, fd: Fd) -> Got<u8> {
    let (got, info) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 8);
    ret!(got, 0);
    Ok(info[0])
}

const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;

fn linger(k: &mut dyn Kernel, fd: Fd, on: i32, seconds: i32) -> Outcome {
    let value = [on.to_ne_bytes(), seconds.to_ne_bytes()].concat();
    ret!(k.setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &value), 0);
    Ok(())
}

fn fresh_masks(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = k.tcp_socket(family, NB)?;
        mask!(k, fd, W | POLLHUP);
        eq!(state(k, fd)?, CLOSE);
    }
    Ok(())
}

fn established_masks(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET6)?;
    mask!(k, t.client, W);
    mask!(k, t.server, W);
    ret!(k.send(t.client, b"x", 0), 1);
    mask!(k, t.server, R | W);
    mask!(k, t.client, W);
    Ok(())
}

fn half_closed_masks(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    mask!(k, t.client, W);
    mask!(k, t.server, R | W | POLLRDHUP);
    k.close(t.server);
    mask!(k, t.client, R | W | POLLHUP | POLLRDHUP);
    Ok(())
}

fn end_of_file_repeats(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.close(t.server);
    mask!(k, t.client, R | W | POLLRDHUP);
    for _ in 0..3 {
        ret!(k.recv(t.client, &mut [0; 4], 0), 0);
        ret!(k.recv(t.client, &mut [0; 4], libc::MSG_PEEK), 0);
    }
    eq!(k.so_error(t.client)?, 0);
    Ok(())
}

fn data_before_end_of_file(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.server, b"last words", 0), 10);
    k.close(t.server);
    mask!(k, t.client, R | W | POLLRDHUP);
    ret!(k.recv(t.client, &mut [0; 4], 0), 4);
    eq!(k.recv_now(t.client)?, b" words");
    eq!(k.recv_now(t.client)?, b"");
    Ok(())
}

fn close_then_peer_sends(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.close(t.server);
    mask!(k, t.client, R | W | POLLRDHUP);
    // The first send is accepted; its answer is a reset, which in CLOSE_WAIT means EPIPE.
    ret!(k.send(t.client, b"x", MSG_NOSIGNAL), 1);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.send(t.client, b"x", MSG_NOSIGNAL), EPIPE);
    eq!(k.so_error(t.client)?, 0);
    // A receive sees the end of the stream, not an error.
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    Ok(())
}

fn close_then_peer_sends_twice_sigpipe(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.close(t.server);
    k.take_sigpipe();
    ret!(k.send(t.client, b"x", 0), 1);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    eq!(k.take_sigpipe(), Some(false));
    err!(k.send(t.client, b"x", 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    err!(k.write(t.client, b"x"), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    Ok(())
}

fn close_with_unread_data_resets(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"unread", 0), 6);
    mask!(k, t.server, R | W);
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(t.client, &mut [0; 4], 0), ECONNRESET);
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    err!(k.send(t.client, b"x", MSG_NOSIGNAL), EPIPE);
    Ok(())
}

fn reset_error_is_told_once(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    linger(k, t.server, 1, 0)?;
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    eq!(k.so_error(t.client)?, libc::ECONNRESET);
    eq!(k.so_error(t.client)?, 0);
    mask!(k, t.client, R | W | POLLHUP | POLLRDHUP);
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    Ok(())
}

fn reset_keeps_received_data(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.server, b"before", 0), 6);
    mask!(k, t.client, R | W);
    linger(k, t.server, 1, 0)?;
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    // What had arrived can be read in front of the error.
    eq!(k.recv_now(t.client)?, b"before");
    err!(k.recv(t.client, &mut [0; 4], 0), ECONNRESET);
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    Ok(())
}

fn reset_seen_by_send_first(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    linger(k, t.server, 1, 0)?;
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.send(t.client, b"x", MSG_NOSIGNAL), ECONNRESET);
    err!(k.send(t.client, b"x", MSG_NOSIGNAL), EPIPE);
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    Ok(())
}

fn linger_zero_resets(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    linger(k, t.client, 1, 0)?;
    k.close(t.client);
    mask!(k, t.server, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(t.server, &mut [0; 4], 0), ECONNRESET);
    // shutdown first, and the reset only follows the end of the stream.
    let t = k.tcp(AF_INET)?;
    linger(k, t.client, 1, 0)?;
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    mask!(k, t.server, R | W | POLLRDHUP);
    k.close(t.client);
    mask!(k, t.server, R | W | POLLERR | POLLHUP | POLLRDHUP);
    eq!(k.so_error(t.server)?, libc::EPIPE);
    Ok(())
}

fn linger_zero_drops_unsent(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"held", libc::MSG_MORE), 4);
    linger(k, t.client, 1, 0)?;
    k.close(t.client);
    mask!(k, t.server, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.recv(t.server, &mut [0; 8], 0), ECONNRESET);
    Ok(())
}

fn linger_waits_no_longer_than_needed(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    linger(k, t.client, 1, 5)?;
    ret!(k.send(t.client, b"bye", 0), 3);
    k.fcntl(t.client, libc::F_SETFL, 0);
    // The peer acknowledges at once, so close returns at once: else this test hangs.
    ret!(k.close(t.client), 0);
    eq!(k.recv_now(t.server)?, b"bye");
    eq!(k.recv_now(t.server)?, b"");
    Ok(())
}

fn linger_option_shape(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    let off = [0u8; 8].to_vec();
    eq!(k.getsockopt(fd, SOL_SOCKET, libc::SO_LINGER, 8), (0, off));
    linger(k, fd, 7, 3)?;
    let on = [1i32.to_ne_bytes(), 3i32.to_ne_bytes()].concat();
    eq!(
        k.getsockopt(fd, SOL_SOCKET, libc::SO_LINGER, 8),
        (0, on.clone())
    );
    eq!(
        k.getsockopt(fd, SOL_SOCKET, libc::SO_LINGER, 4),
        (0, on[..4].to_vec())
    );
    // Switching it off keeps the time.
    linger(k, fd, 0, 9)?;
    let kept = [0i32.to_ne_bytes(), 3i32.to_ne_bytes()].concat();
    eq!(k.getsockopt(fd, SOL_SOCKET, libc::SO_LINGER, 8), (0, kept));
    err!(
        k.setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &[0; 7]),
        EINVAL
    );
    ret!(k.setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, &[0; 20]), 0);
    Ok(())
}

fn both_close(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    ret!(k.shutdown(t.server, SHUT_WR), 0);
    for fd in [t.client, t.server] {
        mask!(k, fd, R | W | POLLHUP | POLLRDHUP);
        ret!(k.recv(fd, &mut [0; 4], 0), 0);
        eq!(k.so_error(fd)?, 0);
    }
    Ok(())
}

fn passive_close_then_close(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.close(t.client);
    mask!(k, t.server, R | W | POLLRDHUP);
    ret!(k.recv(t.server, &mut [0; 4], 0), 0);
    ret!(k.close(t.server), 0);
    Ok(())
}

fn states_in_tcp_info(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    eq!(state(k, t.listener)?, LISTEN);
    eq!(state(k, t.client)?, ESTABLISHED);
    eq!(state(k, t.server)?, ESTABLISHED);
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    mask!(k, t.server, R | W | POLLRDHUP);
    // The peer delays the acknowledgement of the FIN by 40 ms, as of any other segment.
    let mut now = state(k, t.client)?;
    for _ in 0..200 {
        if now != FIN_WAIT1 {
            break;
        }
        k.pause(std::time::Duration::from_millis(2));
        now = state(k, t.client)?;
    }
    eq!(now, FIN_WAIT2);
    eq!(state(k, t.server)?, CLOSE_WAIT);
    ret!(k.shutdown(t.server, SHUT_WR), 0);
    mask!(k, t.client, R | W | POLLHUP | POLLRDHUP);
    // In TIME_WAIT the socket of the program is closed already: a small one waits in its place.
    eq!(state(k, t.client)?, CLOSE);
    eq!(state(k, t.server)?, CLOSE);
    Ok(())
}

fn state_after_reset(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    linger(k, t.server, 1, 0)?;
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    eq!(state(k, t.client)?, CLOSE);
    err!(k.shutdown(t.client, SHUT_WR), ENOTCONN);
    Ok(())
}

fn shutdown_then_receive_rest(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    for i in 0..5u8 {
        ret!(k.send(t.server, &[i], 0), 1);
        eq!(k.recv_now(t.client)?, [i]);
    }
    k.close(t.server);
    eq!(k.recv_now(t.client)?, b"");
    Ok(())
}

fn unread_behind_shutdown_read(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.server, SHUT_RD), 0);
    ret!(k.send(t.client, b"unread", 0), 6);
    k.wait_sent(t.client)?;
    mask!(k, t.server, R | W | POLLRDHUP);
    // It counts as unread when the socket is closed.
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    eq!(k.so_error(t.client)?, libc::ECONNRESET);
    Ok(())
}

fn send_after_own_shutdown_sigpipe(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.client, SHUT_WR), 0);
    k.take_sigpipe();
    err!(k.send(t.client, b"x", 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    err!(k.send(t.client, b"", 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    Ok(())
}

fn so_error_after_reset_by_unread(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        ret!(k.send(t.client, b"unread", 0), 6);
        mask!(k, t.server, R | W);
        k.close(t.server);
        mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
        eq!(k.so_error(t.client)?, libc::ECONNRESET);
    }
    Ok(())
}

fn close_in_syn_sent(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 0)?;
    let first = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(first, &addr)?;
    let fd = k.tcp_socket(AF_INET, NB)?;
    err!(k.connect(fd, &addr), EINPROGRESS);
    eq!(state(k, fd)?, SYN_SENT);
    ret!(k.close(fd), 0);
    k.accept_now(listener)?;
    err!(k.accept(listener), EAGAIN);
    Ok(())
}

fn connect_after_reset_is_allowed(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    linger(k, t.server, 1, 0)?;
    k.close(t.server);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    // The client connected without blocking and nobody called connect again: the call still counts
    // as in progress, is told what became of it, and leaves a fresh socket.
    err!(k.connect(t.client, &t.addr), ECONNRESET);
    k.connect_now(t.client, &t.addr)?;
    mask!(k, t.client, W);
    let server = k.accept_now(t.listener)?;
    linger(k, t.client, 1, 0)?;
    k.close(t.client);
    mask!(k, server, R | W | POLLERR | POLLHUP | POLLRDHUP);
    // An accepted socket counts as connected, reset or not, until it is disconnected.
    err!(k.connect(server, &t.addr), EISCONN);
    ret!(k.connect(server, &Addr::unspec()), 0);
    Ok(())
}

fn peer_shutdown_both(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.shutdown(t.server, libc::SHUT_RDWR), 0);
    mask!(k, t.client, R | W | POLLRDHUP);
    ret!(k.recv(t.client, &mut [0; 4], 0), 0);
    // Data for it is answered with a reset.
    ret!(k.send(t.client, b"x", MSG_NOSIGNAL), 1);
    mask!(k, t.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.send(t.client, b"x", MSG_NOSIGNAL), EPIPE);
    Ok(())
}

fn recv_on_reset_listener_child(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    let c = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(c, &addr)?;
    ret!(k.send(c, b"data", 0), 4);
    k.close(listener);
    mask!(k, c, R | W | POLLERR | POLLHUP | POLLRDHUP);
    err!(k.send(c, b"x", MSG_NOSIGNAL), ECONNRESET);
    Ok(())
}

fn full_window_then_close(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let sent = k.fill(t.client, 65536)?;
    k.close(t.client);
    // Closing does not lose what was accepted: all of it arrives, then the end.
    let mut got = 0;
    let mut buf = vec![0; 1 << 16];
    for _ in 0..100_000 {
        match k.recv(t.server, &mut buf, 0) {
            0 => break,
            n if n == -i64::from(libc::EAGAIN) => {
                k.pause(std::time::Duration::from_millis(1));
            }
            n => got += ok!(n) as usize,
        }
    }
    eq!(got, sent);
    Ok(())
}

fn time_wait_keeps_no_descriptor(k: &mut dyn Kernel) -> Outcome {
    let Tcp { client, server, .. } = k.tcp(AF_INET)?;
    k.close(client);
    k.close(server);
    err!(k.recv(client, &mut [0; 4], 0), EBADF);
    Ok(())
}

fn poll_wakes_on_hangup(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let client = t.client;
    let blocked = std::thread::spawn(move || {
        // Nothing is asked for: ERR and HUP are reported all the same.
        let mut fds = [libc::pollfd {
            fd: client as i32,
            events: 0,
            revents: 0,
        }];
        let got = other.poll(&mut fds, 5000);
        (got, fds[0].revents)
    });
    k.pause(std::time::Duration::from_millis(20));
    linger(k, t.server, 1, 0)?;
    k.close(t.server);
    eq!(blocked.join().unwrap_or((-1, 0)), (1, POLLERR | POLLHUP));
    Ok(())
}

fn user_timeout_ends_connection(k: &mut dyn Kernel) -> Outcome {
    // The peer's window is closed and stays closed: after the user timeout the sender gives up.
    let t = k.tcp(AF_INET)?;
    ret!(
        k.set_int(t.client, IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 300),
        0
    );
    k.fill(t.client, 65536)?;
    let mut mask = 0;
    for _ in 0..600 {
        mask = k.poll_mask(t.client);
        if mask & POLLERR != 0 {
            break;
        }
        k.pause(std::time::Duration::from_millis(10));
    }
    check!(mask & POLLERR != 0, "no error after six seconds");
    eq!(k.so_error(t.client)?, libc::ETIMEDOUT);
    Ok(())
}

fn fin_with_data_in_one_segment(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"all", libc::MSG_MORE), 3);
    k.close(t.client);
    mask!(k, t.server, R | W | POLLRDHUP);
    eq!(k.recv_now(t.server)?, b"all");
    eq!(k.recv_now(t.server)?, b"");
    Ok(())
}

fn unsent_data_is_delivered_after_close(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.client, IPPROTO_TCP, libc::TCP_CORK, 1), 0);
    ret!(k.send(t.client, b"corked", 0), 6);
    mask!(k, t.server, W);
    k.close(t.client);
    eq!(k.recv_now(t.server)?, b"corked");
    Ok(())
}
