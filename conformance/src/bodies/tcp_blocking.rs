//! TCP: calls that wait, and what ends the waiting.

use crate::check::{Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::sys::{R, W};
use libc::{AF_INET, MSG_DONTWAIT, SOL_SOCKET};

tests! {
    waitall_with_dontwait,
    rcvlowat_hides_little,
    rcvlowat_blocking [THREADS],
    large_transfer [THREADS],
    blocked_reader_wakes [THREADS],
    blocked_writer_wakes [THREADS],
    waitall_blocks [THREADS],
    waitall_ends_with_the_stream,
    receive_timeout [TIMEOUTS],
    send_timeout [TIMEOUTS],
    dontwait_on_blocking_socket,
}

fn waitall_with_dontwait(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"abc", 0), 3);
    mask!(k, t.server, R | W);
    let flags = libc::MSG_WAITALL | MSG_DONTWAIT;
    ret!(k.recv(t.server, &mut [0; 16], flags), 3);
    err!(k.recv(t.server, &mut [0; 16], flags), EAGAIN);
    Ok(())
}

fn rcvlowat_hides_little(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_RCVLOWAT, 5), 0);
    ret!(k.send(t.client, b"abc", 0), 3);
    k.wait_sent(t.client)?;
    mask!(k, t.server, W);
    // A non-blocking receive takes what is there.
    ret!(k.recv(t.server, &mut [0; 1], 0), 1);
    ret!(k.send(t.client, b"defg", 0), 4);
    mask!(k, t.server, R | W);
    Ok(())
}

fn rcvlowat_blocking(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_RCVLOWAT, 5), 0);
    ret!(k.send(t.client, b"abc", 0), 3);
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let server = t.server;
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.recv(server, &mut [0; 16], 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    check!(
        !blocked.is_finished(),
        "recv returned with less than the mark"
    );
    // The reader has taken those three already. Who is woken is decided by what lies in the queue,
    // and that is three again: with six of the five bytes sent, it sleeps on.
    ret!(k.send(t.client, b"def", 0), 3);
    k.pause(std::time::Duration::from_millis(20));
    check!(
        !blocked.is_finished(),
        "recv returned with less than the mark in the queue"
    );
    ret!(k.send(t.client, b"gh", 0), 2);
    ret!(blocked.join().unwrap_or(-1), 8);
    Ok(())
}

fn large_transfer(k: &mut dyn Kernel) -> Outcome {
    const TOTAL: usize = 20_000_000;
    let t = k.tcp(AF_INET)?;
    for fd in [t.client, t.server] {
        k.fcntl(fd, libc::F_SETFL, 0);
    }
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let client = t.client;
    let sender = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        let data: Vec<u8> = (0..TOTAL).map(|i| (i / 253 + i) as u8).collect();
        let sent = other.send(client, &data, 0);
        other.shutdown(client, libc::SHUT_WR);
        sent
    });
    let mut at = 0;
    let mut buf = vec![0; 300_000];
    loop {
        let n = ok!(k.recv(t.server, &mut buf, 0)) as usize;
        if n == 0 {
            break;
        }
        for (i, byte) in buf[..n].iter().enumerate() {
            let want = ((at + i) / 253 + at + i) as u8;
            check!(*byte == want, "byte {}", at + i);
        }
        at += n;
    }
    ret!(sender.join().unwrap_or(-1), TOTAL);
    eq!(at, TOTAL);
    Ok(())
}

fn blocked_reader_wakes(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let server = t.server;
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.recv(server, &mut [0; 16], 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    ret!(k.send(t.client, b"wake", 0), 4);
    ret!(blocked.join().unwrap_or(-1), 4);
    Ok(())
}

fn blocked_writer_wakes(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let sent = k.fill(t.client, 65536)?;
    k.fcntl(t.client, libc::F_SETFL, 0);
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let client = t.client;
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.send(client, &[9; 100_000], 0)
    });
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "send returned with a full buffer");
    let mut got = 0;
    while got < sent + 100_000 {
        got += k.drain(t.server)?;
        k.pause(std::time::Duration::from_millis(1));
    }
    ret!(blocked.join().unwrap_or(-1), 100_000);
    Ok(())
}

fn waitall_blocks(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    ret!(k.send(t.client, b"ab", 0), 2);
    let server = t.server;
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.recv(server, &mut [0; 6], libc::MSG_WAITALL)
    });
    k.pause(std::time::Duration::from_millis(20));
    ret!(k.send(t.client, b"cd", 0), 2);
    k.pause(std::time::Duration::from_millis(20));
    check!(!blocked.is_finished(), "recv returned with a part");
    ret!(k.send(t.client, b"efgh", 0), 4);
    ret!(blocked.join().unwrap_or(-1), 6);
    Ok(())
}

fn waitall_ends_with_the_stream(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    ret!(k.send(t.client, b"abc", 0), 3);
    ret!(k.shutdown(t.client, libc::SHUT_WR), 0);
    ret!(k.recv(t.server, &mut [0; 16], libc::MSG_WAITALL), 3);
    ret!(k.recv(t.server, &mut [0; 16], libc::MSG_WAITALL), 0);
    Ok(())
}

fn receive_timeout(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    let timeout = [0i64.to_ne_bytes(), 20_000i64.to_ne_bytes()].concat();
    ret!(
        k.setsockopt(t.server, SOL_SOCKET, libc::SO_RCVTIMEO, &timeout),
        0
    );
    err!(k.recv(t.server, &mut [0; 4], 0), EAGAIN);
    ret!(k.send(t.client, b"abc", 0), 3);
    ret!(k.recv(t.server, &mut [0; 8], libc::MSG_WAITALL), 3);
    Ok(())
}

fn send_timeout(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fill(t.client, 65536)?;
    k.fcntl(t.client, libc::F_SETFL, 0);
    let timeout = [0i64.to_ne_bytes(), 20_000i64.to_ne_bytes()].concat();
    ret!(
        k.setsockopt(t.client, SOL_SOCKET, libc::SO_SNDTIMEO, &timeout),
        0
    );
    err!(k.send(t.client, &[0; 100_000], 0), EAGAIN);
    Ok(())
}

fn dontwait_on_blocking_socket(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.fcntl(t.server, libc::F_SETFL, 0);
    err!(k.recv(t.server, &mut [0; 4], MSG_DONTWAIT), EAGAIN);
    // The descriptor's own flag did not change.
    ret!(k.fcntl(t.server, libc::F_GETFL, 0), libc::O_RDWR);
    Ok(())
}
