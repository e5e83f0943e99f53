//! Selective acknowledgments and loss recovery: RFC 2018, 2883, 3042, 3708, 5682, 6675, 6937, 8985.

use crate::script::plain;

/// A round trip of 20 ms.
const OPEN: &str = "
    0   connect
    0   > S 0 sackok
    20  < SA 0 ack 1 mss 1000 sackok
    20  > A 1 ack 1
";

const TEN: &str = "
    30  send 10000
    30  > PA 1:10001 each 1000
";

fn opened(script: &str) {
    plain(&format!("{OPEN}{script}"));
}

fn ten_sent(script: &str) {
    plain(&format!("{OPEN}{TEN}{script}"));
}

#[test]
fn the_option_is_answered_if_it_was_offered() {
    plain(
        "0  listen 5
         0  < S 0 mss 1000 sackok
         0  > SA 0 ack 1 sackok
         0  client 4322
         0  < S 0 mss 1000
         0  > SA 0 ack 1",
    );
}

#[test]
fn a_gap_is_told_with_the_latest_block_first() {
    // RFC 2018, 4.
    opened(
        "30  < A 1001:2001 ack 1
         30  > A 1 ack 1 sack 1001:2001
         31  < A 3001:4001 ack 1
         31  > A 1 ack 1 sack 3001:4001,1001:2001
         32  < A 5001:6001 ack 1
         32  > A 1 ack 1 sack 5001:6001,3001:4001,1001:2001
         33  < A 4001:5001 ack 1
         33  > A 1 ack 1 sack 3001:6001,1001:2001
         // The first gap closes.
         34  < A 1:1001 ack 1
         34  > A 1 ack 2001 sack 3001:6001
         35  < A 2001:3001 ack 1
         35  > A 1 ack 6001 sack none",
    );
}

#[test]
fn four_blocks_are_remembered() {
    opened(
        "30  < A 1001:2001 ack 1
         30  > A 1 ack 1 sack 1001:2001
         30  < A 3001:4001 ack 1
         30  > A 1 ack 1 sack 3001:4001,1001:2001
         30  < A 5001:6001 ack 1
         30  > A 1 ack 1 sack 5001:6001,3001:4001,1001:2001
         30  < A 7001:8001 ack 1
         30  > A 1 ack 1 sack 7001:8001,5001:6001,3001:4001,1001:2001
         30  < A 9001:9501 ack 1
         30  > A 1 ack 1 sack 9001:9501,7001:8001,5001:6001,3001:4001",
    );
}

#[test]
fn what_comes_twice_is_told_once() {
    // RFC 2883, 4.1 and 4.2.
    opened(
        "30  < A 1:1001 ack 1
         30  > A 1 ack 1001 sack none
         31  < A 1:1001 ack 1
         31  > A 1 ack 1001 sack 1:1001
         32  < A 3001:4001 ack 1
         32  > A 1 ack 1001 sack 3001:4001
         33  < A 3001:4001 ack 1
         33  > A 1 ack 1001 sack 3001:4001,3001:4001
         34  < A 501:2001 ack 1
         34  > A 1 ack 2001 sack 501:1001,3001:4001
         35  < A 2001:3001 ack 1
         35  > A 1 ack 4001 sack none",
    );
}

#[test]
fn blocks_take_room_of_data() {
    // 4 + 8 bytes of the 1000 that the peer takes.
    opened(
        "30  < A 1001:2001 ack 1
         30  > A 1 ack 1 sack 1001:2001
         31  send 1000
         31  > A 1:989 ack 1 sack 1001:2001
         31  > PA 989:1001 ack 1 sack 1001:2001",
    );
}

#[test]
fn three_segments_later_the_first_is_lost() {
    // RFC 6675, 5 (4), which RACK keeps (RFC 8985, 6.2 step 4).
    ten_sent(
        "50  < A 1 ack 1 sack 1001:2001
         50  > nothing
         50  castate 1
         51  < A 1 ack 1 sack 1001:3001
         51  > nothing
         52  < A 1 ack 1 sack 1001:4001
         52  > A 1:1001
         52  castate 3
         52  ssthresh 7
         72  < A 1 ack 10001
         72  castate 0
         72  cwnd 7
         72  retransmits 1
         500 > nothing",
    );
}

#[test]
fn a_quarter_of_a_round_trip_later_the_first_is_lost() {
    // RFC 8985, 6.3: 30 + 20 + 20 / 4.
    ten_sent(
        "50  < A 1 ack 1 sack 1001:2001
         54  > nothing
         55  > A 1:1001
         75  < A 1 ack 10001
         75  retransmits 1
         500 > nothing",
    );
}

#[test]
fn what_was_only_reordered_is_not_sent_again() {
    ten_sent(
        "50  < A 1 ack 1 sack 1001:2001
         53  < A 1 ack 2001
         53  castate 0
         56  < A 1 ack 10001
         // Nine: the second was delivered before.
         56  cwnd 19
         500 > nothing
         500 retransmits 0",
    );
}

#[test]
fn each_duplicate_lets_new_data_leave() {
    // RFC 3042: what has arrived is not in flight.
    opened(
        "30  send 12000
         30  > A 1:10001 each 1000
         50  < A 1 ack 1 sack 1001:2001
         50  > A 10001:11001
         51  < A 1 ack 1 sack 1001:3001
         51  > PA 11001:12001
         52  < A 1 ack 1 sack 1001:4001
         52  > A 1:1001",
    );
}

#[test]
fn several_holes_in_one_round_trip() {
    // RFC 6675's point against RFC 6582; proportional rate reduction (RFC 6937) paces them.
    ten_sent(
        "50  < A 1 ack 1 sack 1001:2001
         50  < A 1 ack 1 sack 3001:4001,1001:2001
         50  < A 1 ack 1 sack 5001:6001,3001:4001,1001:2001
         // 1, 2001 and 4001 are lost. In flight: 10 - 3 - 3; seven tenths of three were delivered.
         50  > A 1:1001
         50  lost 3
         51  < A 1 ack 1 sack 5001:7001,3001:4001,1001:2001
         51  > A 2001:3001
         52  < A 1 ack 1 sack 5001:8001,3001:4001,1001:2001
         52  > A 4001:5001
         53  < A 1 ack 1 sack 5001:10001,3001:4001,1001:2001
         70  < A 1 ack 2001 sack 5001:10001,3001:4001
         71  < A 1 ack 4001 sack 5001:10001
         72  < A 1 ack 10001
         72  castate 0
         72  cwnd 7
         72  retransmits 3",
    );
}

#[test]
fn a_lost_tail_is_probed() {
    // RFC 8985, 7: two round trips, and two ticks.
    opened(
        "30  send 3000
         30  > A 1:1001
         30  > A 1001:2001
         30  > PA 2001:3001
         77  > nothing
         78  > PA 2001:3001
         98  < A 1 ack 1 sack 2001:3001
         98  > A 1:1001
         118 < A 1 ack 1001 sack 2001:3001
         118 > A 1001:2001
         138 < A 1 ack 3001
         138 castate 0
         138 retransmits 3",
    );
}

#[test]
fn a_probe_that_repairs_a_loss_is_one() {
    // RFC 8985, 7.4.2: no duplicate is reported, so the last segment had been lost: the window is reduced.
    opened(
        "30  send 3000
         30  > A 1:1001
         30  > A 1001:2001
         30  > PA 2001:3001
         50  < A 1 ack 2001
         // One segment is out: its acknowledgment may be delayed, and the timeout (20 + 200) is earlier.
         270 > PA 2001:3001
         290 < A 1 ack 3001
         290 retransmits 1",
    );
}

#[test]
fn a_probe_of_new_data() {
    opened(
        "30  send 10000
         30  > PA 1:10001 each 1000
         31  send 500
         31  > nothing
         78  > PA 10001:10501
         98  < A 1 ack 10501
         98  castate 0
         98  retransmits 0",
    );
}

#[test]
fn a_timeout_that_was_wrong_is_undone() {
    // RFC 5682, 3 (F-RTO): the answers to the first copies arrive late.
    opened(
        "30  send 4000
         30  > PA 1:4001 each 1000
         78  > PA 3001:4001
         298 > A 1:1001
         298 castate 4
         298 cwnd 1
         308 < A 1 ack 2001
         308 castate 0
         308 cwnd 10
         308 > nothing
         313 < A 1 ack 4001
         600 > nothing
         600 retransmits 2",
    );
}

#[test]
fn a_timeout_that_was_wrong_by_far_is_undone() {
    // The round trip has become 350 ms: what has not arrived yet is not lost.
    opened(
        "30  send 10000
         30  > PA 1:10001 each 1000
         78  > PA 9001:10001
         298 > A 1:1001
         378 < A 1 ack 2001
         378 castate 0
         378 cwnd 12
         382 > nothing
         382 < A 1 ack 4001
         382 castate 0
         386 < A 1 ack 10001
         386 castate 0
         386 retransmits 2",
    );
}

#[test]
fn a_timeout_that_was_right_sends_what_is_lost() {
    opened(
        "30  send 4000
         30  > PA 1:4001 each 1000
         78  > PA 3001:4001
         298 > A 1:1001
         318 < A 1 ack 1001
         318 castate 4
         318 > A 1001:2001
         318 > A 2001:3001
         338 < A 1 ack 4001
         338 castate 0
         338 retransmits 4",
    );
}

#[test]
fn a_retransmission_reported_as_duplicate_is_undone() {
    // RFC 3708, 3; RFC 2883.
    ten_sent(
        "50  < A 1 ack 1 sack 1001:2001
         50  < A 1 ack 1 sack 1001:3001
         50  < A 1 ack 1 sack 1001:4001
         50  > A 1:1001
         60  < A 1 ack 10001
         60  cwnd 7
         70  < A 1 ack 10001 sack 1:1001
         70  cwnd 10
         70  castate 0",
    );
}

#[test]
fn a_peer_that_drops_what_it_had_gets_it_again() {
    // RFC 2018, 8: an acknowledgment that ends before what was acknowledged selectively.
    opened(
        "30  send 3000
         30  > A 1:1001
         30  > A 1001:2001
         30  > PA 2001:3001
         50  < A 1 ack 1 sack 1001:2001
         55  > A 1:1001
         75  < A 1 ack 1001
         75  castate 3
         // tcp_check_sack_reneging: the next acknowledgment could still say otherwise.
         85  > A 1001:2001
         85  castate 4
         105 < A 1 ack 2001
         105 > PA 2001:3001
         125 < A 1 ack 3001
         125 retransmits 3",
    );
}

#[test]
fn a_spurious_timeout_and_a_loss_behind_it() {
    // F-RTO's new data shows that the timeout was wrong; RACK then judges anew (tcp_process_loss goes on).
    opened(
        "30   send 14000
         30   > A 1:10001 each 1000
         78   > A 10001:11001
         298  > A 1:1001
         300  < A 1 ack 1001
         300  > A 11001:13001 each 1000
         320  < A 1 ack 1001 sack 10001:11001
         320  castate 3
         320  > A 1001:2001",
    );
}

#[test]
fn a_window_may_grow_by_what_it_once_held() {
    // tcp_cwnd_validate: ten segments were out in this window.
    opened(
        "30   send 10000
         30   > PA 1:10001 each 1000
         60   < A 1 ack 5001
         60   cwnd 15
         62   < A 1 ack 10001
         62   cwnd 20",
    );
}

#[test]
fn reordering_is_measured_by_what_is_acknowledged() {
    // tcp_check_sack_reordering: the hole was filled by what had only been late.
    opened(
        "30   send 10000
         30   > PA 1:10001 each 1000
         50   < A 1 ack 1 sack 1001:3001
         52   < A 1 ack 10001
         52   castate 0
         52   reordering 10",
    );
}
