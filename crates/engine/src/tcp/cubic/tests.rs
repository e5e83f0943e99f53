use core::time::Duration;

use super::*;

const MSS: u32 = 1000;

#[test]
fn cube_roots() {
    for (n, root) in [
        (0, 0),
        (1, 1),
        (7, 1),
        (8, 2),
        (26, 2),
        (27, 3),
        (u64::MAX, 2_642_245),
    ] {
        assert_eq!(cube_root(n), root, "{n}");
    }
}

#[test]
fn it_multiplies_by_seven_tenths() {
    let mut cubic = Cubic::default();
    assert_eq!(cubic.reduce(1_024_000), 717_000);
    // Fast convergence: a smaller window than last time leaves room (4.7).
    assert_eq!(cubic.last_max, 1_024_000);
    cubic.reduce(512_000);
    assert_eq!(cubic.last_max, 512_000 * 1741 / 2048);
}

#[test]
fn after_k_seconds_it_is_back_at_the_plateau() {
    // RFC 9438, figure 2: W_max 1000 segments, cwnd 700, K = cbrt(300 / 0.4) = 9.086 s.
    let mut cubic = Cubic::default();
    cubic.reduce(1_000_000);
    let mut cwnd = 700_000;
    let start = Instant::from_secs(100);
    let rtt = Duration::from_millis(100);
    let mut now = start;
    let mut at_half = 0;
    while now < start + Duration::from_millis(9100) {
        // A window each round trip, in ten acknowledgments.
        for _ in 0..10 {
            cwnd = cubic.on_ack(cwnd, cwnd / 10, MSS, now, 100_000);
            now += rtt / 10;
        }
        if now == start + Duration::from_millis(4500) {
            at_half = cwnd;
        }
    }
    assert_eq!(cubic.k, 9085);
    assert!((990_000..=1_010_000).contains(&cwnd), "{cwnd}");
    // 0.4 * (4.5 + 0.1 - 9.086)^3 = -36 segments.
    assert!((950_000..=975_000).contains(&at_half), "{at_half}");
}

#[test]
fn with_short_round_trips_it_is_as_fast_as_reno() {
    // RFC 9438, 4.3: K is long, and Reno with beta 0.7 grows alpha segments a round trip.
    let mut cubic = Cubic::default();
    cubic.reduce(20_000);
    let mut cwnd = 14_000;
    let mut now = Instant::from_secs(1);
    for _ in 0..10 {
        cwnd = cubic.on_ack(cwnd, cwnd, MSS, now, 1000);
        now += Duration::from_millis(1);
    }
    assert!((19_000..=20_000).contains(&cwnd), "{cwnd}");
}

#[test]
fn before_the_first_loss_it_grows_by_a_twentieth() {
    // Linux: W_cubic alone would be 0.4 of a segment above after a second.
    let mut cubic = Cubic::default();
    let now = Instant::from_secs(1);
    let mut cwnd = 100_000;
    for _ in 0..100 {
        cwnd = cubic.on_ack(cwnd, 1000, MSS, now, 20_000);
    }
    assert!((104_500..=105_500).contains(&cwnd), "{cwnd}");
    // After one it does not.
    cwnd = cubic.reduce(cwnd);
    let before = cwnd;
    for _ in 0..70 {
        cwnd = cubic.on_ack(cwnd, 1000, MSS, now, 20_000);
    }
    assert!(cwnd < before + before / 40, "{cwnd}");
}
