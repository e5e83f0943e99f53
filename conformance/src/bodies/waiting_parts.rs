//! Calls that wait when part of what they were asked for is done.

use super::waiting::{PROBE, blocking, busy, ended, meanwhile};
use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, ret};
use crate::kernel::Kernel;
use crate::msg::{Batch, Msg};
use crate::registry::tests;
use libc::{AF_INET, AF_UNIX, MSG_DONTWAIT, SHUT_RDWR, SO_SNDBUF, SOCK_STREAM, SOL_SOCKET};
use std::time::Duration;

tests! {
    messages_of_a_stream_keep_their_length [THREADS],
    splice_goes_on_until_the_pipe_is_empty [THREADS | FILES],
    two_connect_at_once [THREADS],
    disconnected_while_waiting [THREADS],
    nonblocking_comes_too_late [THREADS],
}

/// What a stream gets while recvmmsg(2) waits belongs to the next message, and none of it to one that was received.
fn messages_of_a_stream_keep_their_length(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    for (fd, peer) in [(tcp.server, tcp.client), k.pair(AF_UNIX, SOCK_STREAM)?] {
        blocking(k, fd);
        ret!(k.send(peer, b"xyz", 0), 3);
        k.pause(Duration::from_millis(5));
        let call = meanwhile(k, move |k| {
            let mut batch = Batch::new(vec![Msg::room(&[8]), Msg::room(&[8])]);
            let count = k.recvmmsg_raw(fd, batch.ptr(), 2, 0, 0);
            batch
                .lens()
                .iter()
                .fold(count, |all, len| all * 100 + i64::from(*len))
        })?;
        ret!(k.send(peer, b"abcd", 0), 4);
        // Two messages, of 3 and of 4 bytes.
        ret!(ended(call), 20304);
        eq!(
            k.recv(fd, &mut [0; 4], MSG_DONTWAIT),
            -i64::from(libc::EAGAIN)
        );
    }
    Ok(())
}

/// splice_to_socket() sends what the pipe has, however little room there is at a time.
fn splice_goes_on_until_the_pipe_is_empty(k: &mut dyn Kernel) -> Outcome {
    const ALL: usize = 60_000;
    let (r, w) = k.pipe()?;
    let tcp = k.tcp(AF_INET)?;
    for (fd, peer) in [k.pair(AF_UNIX, SOCK_STREAM)?, (tcp.client, tcp.server)] {
        ret!(
            k.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &4096i32.to_ne_bytes()),
            0
        );
        let mut full = k.fill(fd, 1000)?;
        if fd == tcp.client {
            k.pause(PROBE);
            full += k.fill(fd, 1000)?;
        }
        blocking(k, fd);
        blocking(k, peer);
        ret!(k.write(w, &vec![1; ALL]), ALL as i64);
        let call = meanwhile(k, move |k| k.splice(r, fd, 1 << 20, 0))?;
        let mut buf = vec![0; 3000];
        let mut came = 0;
        while came < full + ALL {
            let n = k.recv(peer, &mut buf, 0);
            check!(n > 0, "recv: {n} after {came} bytes");
            came += n as usize;
        }
        ret!(ended(call), ALL as i64);
    }
    Ok(())
}

/// A second connect(2) waits for the same connection, and succeeds with it; of its end the first hears the error.
fn two_connect_at_once(k: &mut dyn Kernel) -> Outcome {
    let (listener, fd, addr) = busy(k, AF_INET)?;
    let connect = |k: &mut dyn Kernel| {
        let addr = addr.clone();
        meanwhile(k, move |k| k.connect(fd, &addr))
    };
    let (first, second) = (connect(k)?, connect(k)?);
    ret!(k.shutdown(fd, SHUT_RDWR), 0);
    let mut both = [ended(first), ended(second)];
    both.sort();
    eq!(both, [-libc::ECONNRESET, -libc::EPIPE].map(i64::from));
    let (first, second) = (connect(k)?, connect(k)?);
    // The SYN comes again after a second.
    check!(k.accept(listener) >= 0, "nobody was there");
    ret!(ended(first), 0);
    ret!(ended(second), 0);
    err!(k.connect(fd, &addr), EISCONN);
    Ok(())
}

/// connect(2) to AF_UNSPEC while another thread waits (sk_disconnects).
fn disconnected_while_waiting(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    let fd = blocking(k, tcp.client);
    let call = meanwhile(k, move |k| k.recv(fd, &mut [0; 4], 0))?;
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(ended(call), -libc::EPIPE);
    let (_, fd, addr) = busy(k, AF_INET)?;
    let call = meanwhile(k, move |k| k.connect(fd, &addr))?;
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(ended(call), -libc::EPIPE);
    Ok(())
}

/// `O_NONBLOCK` is looked at when a call is made, and not again.
fn nonblocking_comes_too_late(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    for (fd, peer) in [(tcp.server, tcp.client), k.pair(AF_UNIX, SOCK_STREAM)?] {
        blocking(k, fd);
        let first = meanwhile(k, move |k| k.recv(fd, &mut [0; 1], 0))?;
        let second = meanwhile(k, move |k| k.recv(fd, &mut [0; 1], 0))?;
        k.nonblocking(fd);
        ret!(k.send(peer, b"x", 0), 1);
        k.pause(Duration::from_millis(30));
        ret!(k.send(peer, b"y", 0), 1);
        ret!(ended(first), 1);
        ret!(ended(second), 1);
    }
    Ok(())
}
