//! What TCP's tunables change, as the kernel (6.18) does it over a TUN device.

use crate::script::Trace;
use switchboard_engine::Sysctl;

fn tuned(tune: impl FnOnce(&mut Sysctl), script: &str) {
    Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
        tune(sysctl);
    })
    .run(script);
}

/// A round trip of 20 ms, and ten segments.
const TEN: &str = "
    0   connect
    0   > S 0 sackok
    20  < SA 0 ack 1 mss 1000 sackok
    20  > A 1 ack 1
    30  send 10000
    30  > PA 1:10001 each 1000
";

/// The same of a peer without selective acknowledgments.
const TEN_WITHOUT_SACK: &str = "
    0   connect
    0   > S 0 sackok
    20  < SA 0 ack 1 mss 1000
    20  > A 1 ack 1
    30  send 10000
    30  > PA 1:10001 each 1000
";

#[test]
fn reordering_is_how_many_segments_may_be_ahead() {
    tuned(
        |sysctl| sysctl.tcp_reordering = 5,
        &format!(
            "{TEN}
             40  reordering 5
             50  < A 1 ack 1 sack 1001:5001
             50  > nothing
             51  < A 1 ack 1 sack 1001:6001
             51  > A 1:1001
             71  < A 1 ack 10001
             500 > nothing"
        ),
    );
}

#[test]
fn reordering_is_how_many_duplicates_mean_loss() {
    for (threshold, duplicates) in [(1, 1), (2, 2), (5, 5)] {
        // The first after the SYN says what the window is, and is no duplicate.
        let mut script = TEN_WITHOUT_SACK.to_string() + "40 < A 1 ack 1\n40 > nothing\n";
        for n in 1..duplicates {
            script += &format!("{} < A 1 ack 1\n{} > nothing\n", 50 + n, 50 + n);
        }
        script += "60 < A 1 ack 1\n60 > A 1:1001\n80 < A 1 ack 10001\n500 > nothing\n";
        tuned(|sysctl| sysctl.tcp_reordering = threshold, &script);
    }
}

#[test]
fn a_duplicate_too_many_is_reordering() {
    // tcp_check_reno_reordering: of one segment that is out none can have arrived before it.
    tuned(
        |_| {},
        "0   connect
         0   > S 0
         20  < SA 0 ack 1 mss 1000
         20  > A 1 ack 1
         30  send 1000
         30  > PA 1:1001
         40  < A 1 ack 1
         41  reordering 3
         50  < A 1 ack 1
         51  castate 0
         51  reordering 1
         60  < A 1 ack 1001
         60  castate 0",
    );
}

#[test]
fn the_threshold_may_be_left_out() {
    // TCP_RACK_NO_DUPTHRESH: a quarter of a round trip passes, whatever arrives.
    tuned(
        |sysctl| sysctl.tcp_recovery = 1 | 4,
        &format!(
            "{TEN}
             50  < A 1 ack 1 sack 1001:2001
             51  < A 1 ack 1 sack 1001:6001
             // The round trip of what came last.
             55  > nothing
             56  > A 1:1001
             76  < A 1 ack 10001
             500 > nothing"
        ),
    );
}

/// The copy was one too many, and the peer says so: the window of reordering becomes twice as wide (RFC 8985, 6.2 step
/// 4), unless it is to stay.
const REPORTED: &str = "
    50  < A 1 ack 1 sack 1001:2001
    55  > A 1:1001
    75  < A 1 ack 10001 sack 1:1001
    80  send 2000
    80  > A 10001:11001
    80  > PA 11001:12001
    100 < A 1 ack 10001 sack 11001:12001
";

#[test]
fn the_window_of_reordering_widens() {
    tuned(
        |_| {},
        &format!(
            "{TEN}{REPORTED}
             104 > nothing
             105 > nothing
             109 > nothing
             110 > A 10001:11001
             130 < A 1 ack 12001
             500 > nothing"
        ),
    );
}

#[test]
fn the_window_of_reordering_may_stay() {
    // TCP_RACK_STATIC_REO_WND
    tuned(
        |sysctl| sysctl.tcp_recovery = 1 | 2,
        &format!(
            "{TEN}{REPORTED}
             104 > nothing
             105 > A 10001:11001
             125 < A 1 ack 12001
             500 > nothing"
        ),
    );
}

/// The first segment arrives behind eight others.
const REORDERED: &str = "
    50  < A 1 ack 1 sack 8001:9001
    51  < A 1 ack 1001 sack 8001:9001
";

#[test]
fn reordering_grows_up_to_a_limit() {
    for (most, seen) in [(300, 9), (5, 5), (2, 2), (1, 1)] {
        tuned(
            |sysctl| sysctl.tcp_max_reordering = most,
            &format!(
                "{TEN}{REORDERED}
                 51  reordering {seen}"
            ),
        );
    }
}

#[test]
fn a_peer_asks_for_segments_that_are_too_small() {
    for (least, segment) in [(48, 60), (60, 60), (500, 500)] {
        tuned(
            |sysctl| sysctl.tcp_min_snd_mss = least,
            &format!(
                "0   connect
                 0   > S 0
                 20  < SA 0 ack 1 mss 60
                 20  > A 1 ack 1
                 30  send 500
                 30  > PA 1:501 each {segment}
                 50  < A 1 ack 501"
            ),
        );
    }
}

#[test]
fn options_take_of_the_least_segment() {
    Trace::new(|sysctl| sysctl.tcp_window_scaling = false).run(
        "0   connect
         0   > S 0
         20  < SA 0 ack 1 mss 20 ts 100/=
         20  > A 1 ack 1 ts 0/100
         20  mss 36",
    );
}

#[test]
fn a_repeated_syn_may_ask_for_ecn_too() {
    tuned(
        |sysctl| {
            sysctl.tcp_ecn = 1;
            sysctl.tcp_ecn_fallback = false;
        },
        "0     connect
         0     > SEW 0
         1000  > SEW 0
         1020  < SAE 0 ack 1 mss 1000
         1020  > A 1 ack 1
         1030  send 500
         // The timeout has made the window smaller.
         1030  > PWA 1:501 ect",
    );
}

#[test]
fn the_pace_is_a_part_of_window_by_round_trip_time() {
    // 10,000 bytes in 20 ms are 500,000 a second.
    for (slow_start, rate) in [(200, 1_000_000), (100, 500_000), (1000, 5_000_000), (0, 0)] {
        tuned(
            |sysctl| sysctl.tcp_pacing_ss_ratio = slow_start,
            &format!(
                "0   connect
                 0   > S 0
                 20  < SA 0 ack 1 mss 1000
                 20  > A 1 ack 1
                 20  pace {rate}"
            ),
        );
    }
}

#[test]
fn windows_have_no_sign() {
    tuned(
        |sysctl| sysctl.tcp_workaround_signed_windows = true,
        "0   connect
         0   > S 0 win 32767
         20  < SA 0 ack 1 mss 1000
         20  > A 1 ack 1 win 32767
         30  < PA 1:1001 ack 1
         30  > A 1 ack 1001 win 32767",
    );
    tuned(
        |_| {},
        "0   connect
         0   > S 0 win 64240
         20  < SA 0 ack 1 mss 1000
         20  > A 1 ack 1 win 64240",
    );
}
