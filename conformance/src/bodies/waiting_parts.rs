//! Calls that wait when part of what they were asked for is done.

use super::waiting::{PROBE, blocking, ended, meanwhile};
use crate::check::{Outcome, check, eq, ret};
use crate::kernel::Kernel;
use crate::msg::{Batch, Msg};
use crate::registry::tests;
use libc::{AF_INET, AF_UNIX, MSG_DONTWAIT, SO_SNDBUF, SOCK_STREAM, SOL_SOCKET};
use std::time::Duration;

tests! {
    messages_of_a_stream_keep_their_length [THREADS],
    splice_goes_on_until_the_pipe_is_empty [THREADS | FILES],
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
