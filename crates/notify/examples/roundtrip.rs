//! What each primitive costs on this machine, in microseconds per operation.
//!
//! `cargo run --release -p switchboard-notify --example roundtrip`
#![allow(clippy::disallowed_methods)] // a stopwatch has to read the clock

use std::hint::black_box;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use switchboard_notify::{
    Action, Filter, Identity, Listener, Notification, Placeholder, Processes, Received,
    RemoteMemory, ReplyError, Rule, RuleTable, install,
};

const ROUNDS: u32 = 20_000;

/// Runs `operation` and prints its mean time; the best of five series, as the others were disturbed.
fn measure(name: &str, rounds: u32, mut operation: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..rounds / 5 {
            operation();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds / 5));
    }
    println!("{name:<58} {best:8.2} us");
}

/// The number that no filter below asks about, and the one it traps.
const FREE: libc::c_long = libc::SYS_getppid;
const TRAPPED: libc::c_long = libc::SYS_getpgrp;

fn filter() -> Filter {
    let mut x86_64 = vec![
        Rule::new(TRAPPED as u32, Action::Notify),
        Rule::new(libc::SYS_ioctl as u32, Action::Notify).when(1, u32::MAX, [0x541b, 0x8905]),
    ];
    x86_64.extend((41..=55).map(|nr| Rule::new(nr, Action::Notify)));
    Filter::new(&RuleTable {
        x86_64,
        i386: vec![],
    })
    .expect("a valid table")
}

fn free_call() {
    // SAFETY: no memory involved.
    black_box(unsafe { libc::syscall(FREE) });
}

/// A thread that makes trapped calls until told to stop, answered by `answer`; us per call.
fn round_trip(name: &str, answer: impl Fn(&Listener, Notification) -> Result<(), ReplyError>) {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let fd = install(&filter()).expect("a listener");
        send.send(fd).expect("the main thread waits");
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..ROUNDS / 5 {
                // SAFETY: no memory involved.
                black_box(unsafe { libc::syscall(TRAPPED) });
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS / 5));
        }
        best
    });
    let listener = Listener::new(receive.recv().expect("installed")).expect("a listener");
    let sync = listener.sync_wake_up();
    while let Ok(Received::Call(call)) = listener.recv() {
        answer(&listener, call).expect("the thread waits");
    }
    let best = thread.join().expect("the thread ends");
    println!(
        "{:<58} {best:8.2} us",
        format!("{name} (sync wake-up: {sync})")
    );
}

fn main() {
    measure("a call without filter", ROUNDS, free_call);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let listener = install(&filter());
        measure("a call that the filter lets pass", ROUNDS, free_call);
        drop(listener);
        drop(done);
    });
    wait.recv().expect_err("dropped when it is done");
    round_trip("round trip: poll, recv, reply", |listener, call| {
        listener.reply_value(call.id, 1)
    });
    round_trip("round trip: ... and CONTINUE", |listener, call| {
        listener.reply_continue(call.id)
    });
    round_trip("round trip: ... and is_valid", |listener, call| {
        black_box(listener.is_valid(call.id));
        listener.reply_value(call.id, 1)
    });

    // A child that waits, with our memory and our descriptors.
    let buffer = vec![7u8; 1 << 20];
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let fd = socket.as_raw_fd();
    // SAFETY: the child only waits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: no memory involved.
            unsafe { libc::pause() };
        }
    }
    let address = buffer.as_ptr() as u64;
    let mut local = vec![0u8; 1 << 20];
    for (way, memory, rounds) in [
        ("process_vm", RemoteMemory::new(child), ROUNDS),
        (
            "/proc/PID/mem",
            RemoteMemory::new(child).through_proc(),
            ROUNDS / 20,
        ),
    ] {
        for len in [16, 4096, 131_072] {
            measure(&format!("{way}: read {len} bytes"), rounds, || {
                assert_eq!(memory.read(address, &mut local[..len]), Ok(len));
            });
            measure(&format!("{way}: write {len} bytes"), rounds, || {
                assert_eq!(memory.write(address, &local[..len]), Ok(len));
            });
        }
    }
    let mut pidfd = Processes::new(16);
    let mut proc = Processes::new(16).through_proc();
    measure("pidfd_getfd + close", ROUNDS, || {
        drop(black_box(pidfd.getfd(child, fd)))
    });
    measure("identify by pidfd_getfd + statx + close", ROUNDS, || {
        black_box(pidfd.identify(child, fd)).expect("open");
    });
    measure("identify by statx on /proc/TID/fd", ROUNDS, || {
        black_box(proc.identify(child, fd)).expect("open");
    });
    measure("identity and flags by pidfd_getfd", ROUNDS, || {
        black_box(pidfd.look(child, fd)).expect("open");
    });
    measure("identity and flags by /proc", ROUNDS, || {
        black_box(proc.look(child, fd)).expect("open");
    });
    measure(
        "identify a descriptor that is not open, by pidfd",
        ROUNDS,
        || {
            black_box(pidfd.identify(child, 9999)).expect_err("not open");
        },
    );
    measure(
        "identify a descriptor that is not open, by /proc",
        ROUNDS,
        || {
            black_box(proc.identify(child, 9999)).expect_err("not open");
        },
    );
    measure(
        "identify for the first time (cache entry made)",
        ROUNDS / 4,
        || {
            pidfd.forget(child);
            black_box(pidfd.identify(child, fd)).expect("open");
        },
    );
    measure("/proc/TID/status, parsed", ROUNDS / 4, || {
        black_box(pidfd.status(child)).expect("alive");
    });
    measure("identity of a descriptor of our own", ROUNDS, || {
        black_box(Identity::of(socket.as_fd())).expect("open");
    });
    // SAFETY: our child.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }

    measure("placeholder: made and dropped", ROUNDS, || {
        drop(black_box(Placeholder::new()))
    });
    let (a, mut placeholder) = Placeholder::new().expect("a pair");
    measure("placeholder: signal_in + drain_in", ROUNDS, || {
        placeholder.signal_in();
        placeholder.drain_in(a.as_fd());
    });
    measure("placeholder: block_out + unblock_out", ROUNDS, || {
        placeholder.block_out(a.as_fd());
        placeholder.unblock_out();
    });
    measure("placeholder: signal_pri + drain_in", ROUNDS, || {
        placeholder.signal_pri();
        placeholder.drain_in(a.as_fd());
    });
    measure("placeholder: released", ROUNDS, || {
        black_box(placeholder.released());
    });
    let whole = measure_many(|placeholder| placeholder.rdhup());
    println!(
        "{:<58} {whole:8.2} us",
        "placeholder: rdhup, with its canary"
    );
    let whole = measure_many(|placeholder| {
        placeholder.err();
    });
    println!("{:<58} {whole:8.2} us", "placeholder: err, with its canary");
}

/// One irreversible step on each of many placeholders.
fn measure_many(step: impl Fn(&mut Placeholder)) -> f64 {
    let mut all: Vec<_> = (0..200)
        .map(|_| Placeholder::new().expect("a pair"))
        .collect();
    let start = Instant::now();
    for (_, placeholder) in &mut all {
        step(placeholder);
    }
    start.elapsed().as_secs_f64() * 1e6 / all.len() as f64
}
