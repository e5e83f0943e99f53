//! Receiving: reassembly, acknowledgments, windows, urgent data.

use crate::script::{modern, plain};

const OPEN: &str = "
    0   connect
    0   > S 0
    0   < SA 0 ack 1 mss 1460
    0   > A 1 ack 1
";

fn opened(script: &str) {
    plain(&format!("{OPEN}{script}"));
}

#[test]
fn what_is_held_and_comes_again() {
    // RFC 2883, 4.1: one segment over two that are held; tcp_ofo_queue tells the first of them.
    modern(
        "0   connect
         0   > S 0
         0   < SA 0 ack 1 mss 1000 sackok
         0   > A 1 ack 1
         1   < A 1001:2001 ack 1
         1   > A 1 ack 1 sack 1001:2001
         2   < A 3001:4001 ack 1
         2   > A 1 ack 1 sack 3001:4001,1001:2001
         3   < A 1:4001 ack 1
         3   > A 1 ack 4001 sack 1001:2001",
    );
}

#[test]
fn a_fin_that_is_held_has_a_number() {
    modern(
        "0   connect
         0   > S 0
         0   < SA 0 ack 1 mss 1000 sackok
         0   > A 1 ack 1
         1   < FPA 11:21 ack 1
         1   > A 1 ack 1 sack 11:22
         2   < PA 1:11 ack 1
         2   > A 1 ack 22",
    );
}

#[test]
fn what_is_old_is_told() {
    // RFC 2883: below the window too (tcp_send_dupack).
    modern(
        "0   connect
         0   > S 0
         0   < SA 0 ack 1 mss 1000 sackok
         0   > A 1 ack 1
         1   < A 1:101 ack 1
         1   > A 1 ack 101
         2   < A 1:11 ack 1
         2   > A 1 ack 101 sack 1:11",
    );
}

#[test]
fn the_first_segments_are_acknowledged_at_once() {
    // Quick acknowledgments, so that the sender's slow start is not held up.
    opened(
        "1  < PA 1:101 ack 1
         1  > A 1 ack 101
         2  < PA 101:201 ack 1
         2  > A 1 ack 201
         2  available 200",
    );
}

#[test]
fn a_reply_carries_the_acknowledgment() {
    opened(
        "1   < PA 1:101 ack 1
         1   > A 1 ack 101
         // The reply makes the session interactive.
         2   send 10
         2   > PA 1:11 ack 101
         3   < PA 101:201 ack 11
         3   > nothing
         10  send 10
         10  > PA 11:21 ack 201",
    );
}

#[test]
fn a_delayed_ack_comes_after_40_ms() {
    // RFC 9293, 3.8.6.3: less than half a second.
    opened(
        "1   < PA 1:101 ack 1
         1   > A 1 ack 101
         2   send 10
         2   > PA 1:11 ack 101
         3   < PA 101:201 ack 11
         42  > nothing
         43  > A 11 ack 201",
    );
}

#[test]
fn every_second_full_segment_is_acknowledged() {
    opened(
        "1   set quickack 0
         1   < A 1:1461 ack 1
         1   > nothing
         1   < A 1461:2921 ack 1
         1   > A 1 ack 2921
         1   < A 2921:4381 ack 1
         1   > nothing
         1   < A 4381:5841 ack 1
         1   > A 1 ack 5841",
    );
}

#[test]
fn a_gap_is_acknowledged_at_once_and_filled() {
    // RFC 5681, 4.2.
    opened(
        "1  < A 1:101 ack 1
         1  > A 1 ack 101
         2  < A 201:301 ack 1
         2  > A 1 ack 101
         2  < A 301:401 ack 1
         2  > A 1 ack 101
         2  available 100
         3  < A 101:201 ack 1
         3  > A 1 ack 401
         3  available 400",
    );
}

#[test]
fn overlapping_segments() {
    opened(
        "1  < A 51:151 ack 1
         1  > A 1 ack 1
         2  < A 1:101 ack 1
         2  > A 1 ack 151
         2  available 150
         3  < A 101:201 ack 1
         3  > A 1 ack 201
         3  available 200",
    );
}

#[test]
fn an_old_segment_is_acknowledged() {
    opened(
        "1  < A 1:101 ack 1
         1  > A 1 ack 101
         2  < A 1:101 ack 1
         2  > A 1 ack 101
         2  available 100",
    );
}

#[test]
fn a_keepalive_is_answered() {
    opened(
        "1  < A 0 ack 1
         1  > A 1 ack 1",
    );
}

#[test]
fn a_fin_before_the_data_waits() {
    opened(
        "1  < FA 101 ack 1
         1  > A 1 ack 1
         1  state Established
         2  < A 1:101 ack 1
         2  > A 1 ack 102
         2  state CloseWait",
    );
}

#[test]
fn a_segment_beyond_the_window_is_not_taken() {
    opened(
        "1  < A 200000:200100 ack 1
         1  > A 1 ack 1
         1  available 0",
    );
}

#[test]
fn without_ack_a_segment_is_dropped() {
    opened(
        "1  < P 1:101
         1  > nothing
         1  available 0",
    );
}

#[test]
fn urgent_data_is_marked() {
    opened(
        "1  < PUA 1:11 ack 1 urg 5
         1  > A 1 ack 11
         1  urgent 4 ready
         1  read 4
         1  urgent 0 ready",
    );
}

#[test]
fn an_urgent_pointer_ahead_of_its_octet() {
    opened(
        "1  < PUA 1:11 ack 1 urg 20
         1  > A 1 ack 11
         1  urgent 19 pending
         2  < PA 11:31 ack 1
         2  > A 1 ack 31
         2  urgent 19 ready",
    );
}

#[test]
fn a_small_buffer_closes_and_opens_its_window() {
    // RFC 9293, 3.8.6.2.2: the window opens by a segment or half the buffer, not by an octet.
    plain(
        "0   open
         0   set rcvbuf 8192
         0   connect
         0   > S 0 win 2920
         0   < SA 0 ack 1 mss 1460
         0   > A 1 ack 1
         1   < A 1:1461 ack 1
         1   > A 1 ack 1461 win 2920
         1   < A 1461:2921 ack 1
         1   > A 1 ack 2921 win 1460
         1   < A 2921:4381 ack 1
         1   > A 1 ack 4381 win 1460
         1   < A 4381:5841 ack 1
         41  > A 1 ack 5841 win 0
         // A probe of the closed window.
         42  < A 5841:5842 ack 1
         42  > A 1 ack 5841 win 0
         42  available 5840
         43  read 100
         43  > nothing
         44  read 5740
         44  > A 1 ack 5841 win 2920",
    );
}

#[test]
fn a_timestamp_of_zero_is_none() {
    // RFC 7323, 5.3 as Linux has it: what follows a SYN with TSval 0 is not "old" by being beyond 2^31.
    modern(
        "0  listen 4
         0  < S 0 mss 1000 ts 0/0
         0  > SA 0 ack 1
         1  < A 1 ack 1 ts 3000000000/0
         1  accept
         2  < PA 1:101 ack 1 ts 3000000000/0
         2  > A 1 ack 101 ts 0/3000000000",
    );
}
