//! SO_LINGER with a time: who waits when a socket is closed, how long, and who does not.

use crate::check::{Got, Outcome, check, eq, err, ret, skip};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::Tcp;
use crate::sys::Fd;
use libc::{AF_INET, AF_UNIX, SHUT_WR, SO_LINGER, SOCK_STREAM, SOL_SOCKET};
use std::time::{Duration, Instant};

tests! {
    waits_out_its_time [THREADS],
    ends_when_the_peer_has_everything [THREADS],
    blocking_or_not_is_the_same [THREADS],
    a_copy_does_not_wait [THREADS],
    dup2_over_it_waits [THREADS],
    nothing_to_wait_for [THREADS],
    unread_data_resets [THREADS],
    shutdown_does_not_wait [THREADS],
    descriptor_is_gone_meanwhile [THREADS],
    accepted_socket_inherits_it [THREADS],
    datagrams_and_unix_do_not_wait [THREADS],
    a_signal_ends_it [SIGNALS],
    exit_does_not_wait [SIGNALS],
}

/// Less than any wait here, more than a call takes on a busy machine.
const SHORT: Duration = Duration::from_millis(700);

fn linger(k: &mut dyn Kernel, fd: Fd, seconds: i32) -> Outcome {
    let value = [1, seconds].map(i32::to_ne_bytes).concat();
    ret!(k.setsockopt(fd, SOL_SOCKET, SO_LINGER, &value), 0);
    Ok(())
}

/// A connection whose client lingers and has sent more than the server's buffer takes.
fn full(k: &mut dyn Kernel, seconds: i32) -> Got<Tcp> {
    let t = k.tcp(AF_INET)?;
    linger(k, t.client, seconds)?;
    k.fill(t.client, 65536)?;
    Ok(t)
}

#[allow(
    clippy::disallowed_methods,
    reason = "tests with threads have real time"
)]
fn time<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let got = what();
    (got, start.elapsed())
}

fn waits_out_its_time(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 1)?;
    let (got, took) = time(|| k.close(t.client));
    ret!(got, 0);
    check!(took >= Duration::from_millis(950), "{took:?}");
    check!(took < Duration::from_secs(3), "{took:?}");
    // What was sent comes all the same.
    check!(k.drain(t.server)? > 0, "nothing came");
    Ok(())
}

fn ends_when_the_peer_has_everything(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 20)?;
    let Some(mut other) = k.another_thread() else {
        skip!("no second thread");
    };
    let server = t.server;
    let reader = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.pause(Duration::from_millis(300));
        let mut buf = vec![0; 1 << 20];
        for _ in 0..2000 {
            match other.recv(server, &mut buf, 0) {
                0 => return true,
                n if n == -i64::from(libc::EAGAIN) => other.pause(Duration::from_millis(1)),
                _ => {}
            }
        }
        false
    });
    let (got, took) = time(|| k.close(t.client));
    ret!(got, 0);
    check!(took >= Duration::from_millis(250), "{took:?}");
    check!(took < Duration::from_secs(5), "{took:?}");
    check!(reader.join().unwrap_or(false), "no end of file");
    Ok(())
}

fn blocking_or_not_is_the_same(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 1)?;
    ret!(k.fcntl(t.client, libc::F_SETFL, 0), 0);
    let (got, took) = time(|| k.close(t.client));
    ret!(got, 0);
    check!(took >= Duration::from_millis(950), "{took:?}");
    Ok(())
}

fn a_copy_does_not_wait(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 1)?;
    let copy = crate::check::ok!(k.dup(t.client));
    let (got, took) = time(|| k.close(t.client));
    ret!(got, 0);
    check!(took < SHORT, "{took:?}");
    let (got, took) = time(|| k.close(copy));
    ret!(got, 0);
    check!(took >= Duration::from_millis(950), "{took:?}");
    Ok(())
}

fn dup2_over_it_waits(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 1)?;
    // What fails closes nothing; over itself neither.
    let dup2 =
        |k: &mut dyn Kernel, old: Fd, new: Fd| k.call(libc::SYS_dup2, &[old as u64, new as u64]);
    let (got, took) = time(|| (dup2(k, 777, t.client), dup2(k, t.client, t.client)));
    ret!(got.0, -i64::from(libc::EBADF));
    ret!(got.1, t.client);
    check!(took < SHORT, "{took:?}");
    let (got, took) = time(|| dup2(k, t.server, t.client));
    ret!(got, t.client);
    check!(took >= Duration::from_millis(950), "{took:?}");
    eq!(k.sockname(t.client)?.port(), t.addr.port());
    Ok(())
}

fn nothing_to_wait_for(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    linger(k, t.client, 20)?;
    linger(k, t.listener, 20)?;
    ret!(k.send(t.client, b"x", 0), 1);
    k.wait_sent(t.client)?;
    // What the peer has acknowledged it need not have read.
    let (got, took) = time(|| (k.close(t.client), k.close(t.listener)));
    ret!(got.0, 0);
    ret!(got.1, 0);
    check!(took < SHORT, "{took:?}");
    Ok(())
}

fn unread_data_resets(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 20)?;
    ret!(k.send(t.server, b"x", 0), 1);
    k.wait_sent(t.server)?;
    let (got, took) = time(|| k.close(t.client));
    ret!(got, 0);
    check!(took < SHORT, "{took:?}");
    eq!(k.so_error(t.server)?, libc::ECONNRESET);
    Ok(())
}

fn shutdown_does_not_wait(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 1)?;
    ret!(k.fcntl(t.client, libc::F_SETFL, 0), 0);
    // socket(7) says it does; inet_shutdown() does not.
    let (got, took) = time(|| k.shutdown(t.client, SHUT_WR));
    ret!(got, 0);
    check!(took < SHORT, "{took:?}");
    let (got, took) = time(|| k.close(t.client));
    ret!(got, 0);
    check!(took >= Duration::from_millis(950), "{took:?}");
    Ok(())
}

fn descriptor_is_gone_meanwhile(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 1)?;
    let Some(mut other) = k.another_thread() else {
        skip!("no second thread");
    };
    let client = t.client;
    let closer = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.close(client)
    });
    k.pause(Duration::from_millis(300));
    check!(!closer.is_finished(), "close did not wait");
    err!(k.send(client, b"x", libc::MSG_DONTWAIT), EBADF);
    err!(k.shutdown(client, SHUT_WR), EBADF);
    ret!(closer.join().unwrap_or(-1), 0);
    Ok(())
}

fn accepted_socket_inherits_it(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    linger(k, listener, 1)?;
    let client = k.tcp_socket(AF_INET, crate::scene::NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    k.fill(server, 65536)?;
    let (got, took) = time(|| k.close(server));
    ret!(got, 0);
    check!(took >= Duration::from_millis(950), "{took:?}");
    Ok(())
}

fn datagrams_and_unix_do_not_wait(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    linger(k, a, 20)?;
    k.fill(a, 4096)?;
    let (udp, _peer) = k.udp_pair(AF_INET)?;
    linger(k, udp, 20)?;
    ret!(k.send(udp, b"x", 0), 1);
    let (got, took) = time(|| (k.close(a), k.close(udp)));
    ret!(got.0, 0);
    ret!(got.1, 0);
    check!(took < SHORT, "{took:?}");
    Ok(())
}

fn a_signal_ends_it(k: &mut dyn Kernel) -> Outcome {
    for restart in [false, true] {
        let t = full(k, 20)?;
        let timer = crate::signal::Timer::start(Duration::from_millis(200), restart);
        let (got, took) = time(|| k.close(t.client));
        // Not EINTR: the descriptor is closed.
        ret!(got, 0);
        drop(timer);
        check!(took >= Duration::from_millis(50), "{took:?}");
        check!(took < Duration::from_secs(5), "{took:?}");
        err!(k.close(t.client), EBADF);
    }
    Ok(())
}

/// A process with copies of all descriptors, which ends by itself after this time.
#[allow(
    clippy::disallowed_methods,
    reason = "tests with signals have real time"
)]
fn forked(life: Duration) -> i32 {
    // SAFETY: the child sleeps and ends; it takes no lock that another thread could have held.
    let child = unsafe { libc::fork() };
    if child == 0 {
        std::thread::sleep(life);
        // SAFETY: ends the child alone.
        unsafe { libc::_exit(0) };
    }
    child
}

fn wait_for(child: i32) -> i32 {
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }
}

fn exit_does_not_wait(k: &mut dyn Kernel) -> Outcome {
    let t = full(k, 20)?;
    let child = forked(Duration::from_millis(300));
    // The last copy is the child's.
    let (got, took) = time(|| k.close(t.client));
    ret!(got, 0);
    check!(took < Duration::from_millis(250), "{took:?}");
    let (got, took) = time(|| wait_for(child));
    eq!(got, child);
    check!(took < Duration::from_secs(3), "{took:?}");
    Ok(())
}
