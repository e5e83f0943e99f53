//! The receive buffer grows with what is read in a round trip. The figures of round trip and space are those of the kernel
//! (6.18) over a TUN device; its buffers are an eighth larger, since it counts 2304 bytes of memory for a packet of 1500.

use std::fmt::Write;

use crate::script::Trace;
use switchboard_engine::Sysctl;

/// What is read in 10 segments a time, or not at all.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    Keeps,
    Sleeps,
}
use Reader::{Keeps, Sleeps};

/// Rounds of so many segments, 50 ms apart, each in answer to what was sent 10 ms before; and what is expected after each:
/// round trip, space and buffer.
fn rounds(tune: impl FnOnce(&mut Sysctl), rounds: &[(u32, Reader, (u32, u32, u32))]) {
    const SIZE: u32 = 1448;
    let mut script = "
        0  listen 4
        0  < S 0 mss 1460 wscale 7 sackok ts 1000/0
        0  > SA 0 ack 1
        0  < A 1 ack 1 ts 1001/=
        0  accept
    "
    .to_owned();
    let (mut next, mut unread) = (1, 0);
    for (at, &(segments, reader, (rtt, space, buffer))) in (1..).map(|n| n * 50).zip(rounds) {
        let echo = at - 10;
        for n in 1..=segments {
            let end = next + SIZE;
            let value = 1001 + at;
            writeln!(script, "{at} < A {next}:{end} ack 1 ts {value}/+{echo}").unwrap();
            next = end;
            unread += SIZE;
            if n % 10 == 0 && reader == Keeps {
                writeln!(script, "{at} read {unread}").unwrap();
                unread = 0;
            }
        }
        writeln!(script, "{at} tune {rtt} {space} {buffer}").unwrap();
        writeln!(script, "{at} > anything").unwrap();
    }
    writeln!(script, "3000 > anything").unwrap();
    Trace::new(tune).run(&script);
}

#[test]
fn the_buffer_grows_with_the_reader() {
    const TEN_MS: u32 = 10_000;
    rounds(
        |_| {},
        &[
            (10, Keeps, (TEN_MS, 14_480, 131_072)),
            // Looked at as the first of ten is read: what is left does not count.
            (20, Keeps, (TEN_MS, 14_480, 131_072)),
            (40, Keeps, (TEN_MS, 15_928, 131_072)),
            (40, Keeps, (TEN_MS, 44_888, 591_977)),
            (80, Keeps, (TEN_MS, 44_888, 591_977)),
            (40, Keeps, (TEN_MS, 102_808, 1_047_091)),
            (100, Keeps, (TEN_MS, 102_808, 1_047_091)),
            (20, Sleeps, (TEN_MS, 102_808, 1_047_091)),
            (40, Keeps, (TEN_MS, 102_808, 1_047_091)),
        ],
    );
}

#[test]
fn it_grows_no_further_than_it_may() {
    let last = |buffer| {
        [
            (40, Keeps, (10_000, 14_480, 131_072)),
            (40, Keeps, (10_000, 44_888, buffer)),
        ]
    };
    rounds(|sysctl| sysctl.tcp_rmem[2] = 300_000, &last(300_000));
    // The space is measured all the same.
    rounds(|sysctl| sysctl.tcp_moderate_rcvbuf = false, &last(131_072));
}

#[test]
fn without_timestamps_a_window_is_a_round_trip() {
    // The window offered at first is full 39 ms after it was, the next one 20 ms after it.
    let mut script = "
        0  listen 4
        0  < S 0 mss 1460 wscale 7 sackok
        0  > SA 0 ack 1
        0  < A 1 ack 1
        0  accept
    "
    .to_owned();
    let mut next = 1;
    for (at, segments, rtt) in [(1, 10, 0), (20, 20, 0), (40, 40, 39_000), (60, 80, 20_000)] {
        for n in 1..=segments {
            let end = next + 1460;
            writeln!(script, "{at} < A {next}:{end} ack 1").unwrap();
            next = end;
            if n % 10 == 0 {
                writeln!(script, "{at} read 14600").unwrap();
            }
        }
        writeln!(script, "{at} rcv_rtt {rtt}").unwrap();
        writeln!(script, "{at} > anything").unwrap();
    }
    writeln!(script, "3000 > anything").unwrap();
    Trace::new(|sysctl| sysctl.tcp_timestamps = false).run(&script);
}
