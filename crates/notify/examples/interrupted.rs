//! Does a reply that the kernel accepted always reach the program? A thread makes trapped calls while a
//! timer signal strikes it every 200 us; both sides count.
//!
//! `cargo run --release -p switchboard-notify --example interrupted`
#![allow(clippy::disallowed_methods)] // a stopwatch has to read the clock

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use switchboard_notify::{
    Action, Filter, Interrupts, Listener, Received, Rule, RuleTable, install_with,
};

const CALLS: u64 = 50_000;
const TRAPPED: libc::c_long = libc::SYS_getpgrp;

extern "C" fn handler(_: i32) {}

/// The calling thread runs on this CPU only: the two sides must run at the same time to collide.
fn pin(cpu: usize) {
    // SAFETY: a set on the stack, all-zero is the empty one. On a machine with one CPU it fails, and nothing
    // collides.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// SIGALRM to the calling thread every 200 us.
fn strike(restart: bool) -> libc::timer_t {
    // SAFETY: all-zero values are valid for these structures, which live through the calls. The handler
    // does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer: libc::timer_t = std::mem::zeroed();
        let made = libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
        assert_eq!(made, 0);
        let period = libc::timespec {
            tv_sec: 0,
            tv_nsec: 200_000,
        };
        let setting = libc::itimerspec {
            it_interval: period,
            it_value: period,
        };
        libc::timer_settime(timer, 0, &raw const setting, std::ptr::null_mut());
        timer
    }
}

fn run(interrupts: Interrupts, restart: bool, work: Duration, descriptor: bool) {
    let x86_64 = vec![Rule::new(TRAPPED as u32, Action::Notify)];
    let filter = Filter::new(&RuleTable {
        x86_64,
        i386: vec![],
    })
    .expect("a valid table");
    let (send, receive) = std::sync::mpsc::channel();
    pin(0);
    let thread = std::thread::spawn(move || {
        pin(1);
        send.send(install_with(&filter, interrupts).expect("a listener"))
            .expect("awaited");
        let timer = strike(restart);
        let mut got = 0u64;
        for i in 0..CALLS {
            // SAFETY: no memory involved.
            let result = unsafe { libc::syscall(TRAPPED, i) };
            got += u64::from(result >= 0);
            if descriptor && result >= 0 {
                // SAFETY: put into our table for this call, nobody else uses it.
                unsafe { libc::close(result as i32) };
            }
        }
        // SAFETY: made above.
        unsafe { libc::timer_delete(timer) };
        got
    });
    let listener = Listener::new(receive.recv().expect("installed")).expect("a listener");
    let (mut accepted, mut refused) = (0u64, 0u64);
    while let Ok(Received::Call(call)) = listener.recv() {
        let start = Instant::now();
        while start.elapsed() < work {}
        let replied = if descriptor {
            listener.reply_fd(call.id, listener.as_fd(), true).map(drop)
        } else {
            listener.reply_value(call.id, 5)
        };
        match replied {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    let got = thread.join().expect("the thread ends");
    println!(
        "{interrupts:?}, descriptor {descriptor}, SA_RESTART {restart}, {work:?} of work: replies accepted {accepted}, refused {refused}, \
         accepted but lost {}",
        accepted - got
    );
}

fn main() {
    for interrupts in [Interrupts::Always, Interrupts::UntilReceived] {
        for restart in [false, true] {
            for work in [
                Duration::ZERO,
                Duration::from_micros(5),
                Duration::from_micros(20),
            ] {
                run(interrupts, restart, work, false);
                run(interrupts, restart, work, true);
            }
        }
    }
}
