//! Sending: RFC 9293, 3.7 and 3.8; RFC 5681; RFC 6298; RFC 6582.

use crate::script::{Trace, modern, plain};

const OPEN: &str = "
    0   connect
    0   > S 0
    0   < SA 0 ack 1 mss 1000
    0   > A 1 ack 1
";

fn opened(script: &str) {
    plain(&format!("{OPEN}{script}"));
}

#[test]
fn segments_are_cut_to_the_mss() {
    opened(
        "1  send 2500
         1  > A 1:1001 ack 1
         1  > A 1001:2001 ack 1
         1  > PA 2001:2501 ack 1",
    );
}

#[test]
fn nagle_holds_one_small_segment() {
    // RFC 9293, 3.7.4, in Minshall's variant: only a small segment that is unacknowledged holds the next.
    opened(
        "1  send 10
         1  > PA 1:11 ack 1
         2  send 10
         2  send 10
         2  > nothing
         5  < A 1 ack 11
         5  > PA 11:31 ack 1
         6  send 980
         6  > nothing
         // A full segment leaves at once.
         7  send 100
         7  > A 31:1031 ack 1
         8  < A 1 ack 1031
         8  > PA 1031:1111 ack 1",
    );
}

#[test]
fn minshall_lets_the_tail_of_a_large_write_go() {
    opened(
        "1  send 1500
         1  > A 1:1001 ack 1
         1  > PA 1001:1501 ack 1",
    );
}

#[test]
fn nodelay_sends_everything() {
    opened(
        "0  set nodelay 1
         1  send 1
         1  > PA 1:2 ack 1
         1  send 1
         1  > PA 2:3 ack 1",
    );
}

#[test]
fn setting_nodelay_pushes_what_waits() {
    opened(
        "1  send 1
         1  > PA 1:2 ack 1
         1  send 1
         2  set nodelay 1
         2  > PA 2:3 ack 1",
    );
}

#[test]
fn cork_holds_partial_segments_for_200_ms() {
    opened(
        "1    set cork 1
         1    send 1500
         1    > A 1:1001 ack 1
         2    < A 1 ack 1001
         2    > nothing
         202  > PA 1001:1501 ack 1
         204  < A 1 ack 1501
         300  send 10
         300  > nothing
         310  set cork 0
         310  > PA 1501:1511 ack 1",
    );
}

#[test]
fn msg_more_waits_for_the_next_send() {
    opened(
        "1  send 10 more
         1  > nothing
         2  send 10
         2  > PA 1:21 ack 1",
    );
}

#[test]
fn initial_window_is_ten_segments() {
    // RFC 6928; then slow start, RFC 5681, 3.1.
    opened(
        "1  send 30000
         1  > A 1:1001
         1  > A 1001:2001
         1  > A 2001:3001
         1  > A 3001:4001
         1  > A 4001:5001
         1  > A 5001:6001
         1  > A 6001:7001
         1  > A 7001:8001
         1  > A 8001:9001
         1  > A 9001:10001
         50 < A 1 ack 2001
         50 > A 10001:11001
         50 > A 11001:12001
         50 > A 12001:13001
         50 > A 13001:14001
         50 cwnd 12",
    );
}

#[test]
fn retransmission_backs_off_and_gives_up() {
    // RFC 6298, 5.5 and 5.7. RTT 0 gives the least timeout, 200 ms.
    opened(
        "1       send 10
         1       > PA 1:11 ack 1
         201     > PA 1:11 ack 1
         601     > PA 1:11 ack 1
         1401    > PA 1:11 ack 1
         3001    > PA 1:11 ack 1
         6201    > PA 1:11 ack 1
         12601   > PA 1:11 ack 1
         25401   > PA 1:11 ack 1
         51001   > PA 1:11 ack 1
         102201  > PA 1:11 ack 1
         204602  > PA 1:11 ack 1
         324602  > PA 1:11 ack 1
         444602  > PA 1:11 ack 1
         564602  > PA 1:11 ack 1
         684602  > PA 1:11 ack 1
         804602  > PA 1:11 ack 1
         924602  > PA 1:11 ack 1
         // 924.6 s after the first retransmission.
         1044601 state Established
         1044602 state Close
         1044602 error TimedOut",
    );
}

#[test]
fn user_timeout_gives_up_earlier() {
    // RFC 5482; Linux's TCP_USER_TIMEOUT.
    opened(
        "1     set user_timeout 1000
         1     send 10
         1     > PA 1:11 ack 1
         201   > PA 1:11 ack 1
         601   > PA 1:11 ack 1
         // From the first retransmission on (retrans_stamp).
         1200  state Established
         1201  error TimedOut",
    );
}

#[test]
fn answers_do_not_put_the_user_timeout_off() {
    // The window is closed: the time counts from the first probe, whatever answers it gets.
    opened(
        "1     set user_timeout 2000
         1     < A 1 ack 1 win 0
         1     send 10
         201   > A 0 ack 1
         250   < A 1 ack 1 win 0
         650   > A 0 ack 1
         700   < A 1 ack 1 win 0
         1500  > A 0 ack 1
         1600  < A 1 ack 1 win 0
         2200  state Established
         2201  error TimedOut",
    );
}

#[test]
fn a_window_shrunk_to_nothing_does_not_end_the_connection() {
    // tcp_rtx_probe0_timed_out: what is sent again are probes then, and they are answered.
    Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
        sysctl.tcp_retries2 = 1;
    })
    .run(
        "0     connect
         0     > S 0
         0     < SA 0 ack 1 mss 1000
         0     > A 1 ack 1
         1     send 2000
         1     > PA 1:2001 each 1000
         10    < A 1 ack 1001 win 0
         211   > PA 1001:2001
         300   < A 1 ack 1001 win 0
         613   > PA 1001:2001
         700   < A 1 ack 1001 win 0
         1417  > PA 1001:2001
         1500  < A 1 ack 1001 win 0
         3026  > PA 1001:2001
         3026  state Established",
    );
}

#[test]
fn the_backed_off_timeout_lasts_until_a_measurement() {
    // RFC 6298, 5.7 and Karn: an acknowledgment of what was sent twice measures nothing.
    opened(
        "1     send 10
         1     > PA 1:11 ack 1
         201   > PA 1:11 ack 1
         601   > PA 1:11 ack 1
         1000  < A 1 ack 11
         1000  send 10
         1000  > PA 11:21 ack 1
         1800  > PA 11:21 ack 1
         2000  < A 1 ack 21
         2000  send 10
         2000  > PA 21:31 ack 1
         2010  < A 1 ack 31
         2010  send 10
         2010  > PA 31:41 ack 1
         // RTT 10 ms at last.
         2211  > PA 31:41 ack 1",
    );
}

#[test]
fn small_segments_are_sent_again_as_one() {
    // tcp_retrans_collapse.
    opened(
        "0    set nodelay 1
         1    send 300
         1    > PA 1:301 ack 1
         1    send 300
         1    > PA 301:601 ack 1
         1    send 600
         1    > PA 601:1201 ack 1
         1    shutdown w
         1    > FA 1201 ack 1
         201  > PA 1:601 ack 1
         210  < A 1 ack 601
         210  > FPA 601:1201 ack 1",
    );
}

#[test]
fn records_are_kept_apart() {
    // MSG_EOR: no segment reaches over the end of a record, and none but the last waits.
    opened(
        "0    send 400 eor
         0    > PA 1:401 ack 1
         1    send 400 eor
         1    send 100 eor
         // Nagle holds what is last only.
         1    > PA 401:801 ack 1
         10   < A 1 ack 801
         10   > PA 801:901 ack 1
         11   send 300
         20   < A 1 ack 901
         20   > PA 901:1201 ack 1
         30   < A 1 ack 1201
         31   send 1500 eor
         31   > A 1201:2201 ack 1
         31   send 200
         31   > PA 2201:2701 ack 1
         40   < A 1 ack 2701
         40   > PA 2701:2901 ack 1",
    );
}

#[test]
fn the_keepalive_begins_when_it_is_set() {
    opened(
        "0     set keepidle 1000
         2000  set keepalive 1
         3000  > A 0 ack 1
         3001  < A 1 ack 1",
    );
}

#[test]
fn go_back_after_a_timeout_in_slow_start() {
    // RFC 5681, 3.1: loss window of one segment.
    opened(
        "1    send 4000
         1    > A 1:1001
         1    > A 1001:2001
         1    > A 2001:3001
         1    > PA 3001:4001
         201  > A 1:1001
         201  cwnd 1
         210  < A 1 ack 1001
         210  > A 1001:2001
         210  > A 2001:3001
         // The rest had arrived.
         220  < A 1 ack 4001
         220  > nothing
         300  send 10
         300  > PA 4001:4011",
    );
}

#[test]
fn three_duplicates_retransmit_at_once() {
    // RFC 5681, 3.2, with limited transmit (RFC 3042).
    opened(
        "1   send 11000
         1   > A 1:1001
         1   > A 1001:2001
         1   > A 2001:3001
         1   > A 3001:4001
         1   > A 4001:5001
         1   > A 5001:6001
         1   > A 6001:7001
         1   > A 7001:8001
         1   > A 8001:9001
         1   > A 9001:10001
         // The first after the SYN says what the window is, and is no duplicate.
         20  < A 1 ack 1
         20  > nothing
         20  < A 1 ack 1
         20  > PA 10001:11001
         20  < A 1 ack 1
         20  > nothing
         20  < A 1 ack 1
         20  > A 1:1001
         20  < A 1 ack 1
         20  > nothing
         // A partial acknowledgment: the next hole (RFC 6582, 3.2).
         40  < A 1 ack 5001
         40  > A 5001:6001
         60  < A 1 ack 11001
         60  > nothing
         60  retransmits 2",
    );
}

#[test]
fn a_window_update_is_not_a_duplicate() {
    opened(
        "1   send 3000
         1   > A 1:1001
         1   > A 1001:2001
         1   > PA 2001:3001
         2   < A 1 ack 1 win 60000
         2   < A 1 ack 1 win 60001
         2   < A 1 ack 1 win 60002
         2   < A 1 ack 1 win 60003
         2   > nothing",
    );
}

#[test]
fn zero_window_is_probed() {
    // RFC 9293, 3.8.6.1.
    opened(
        "1     < A 1 ack 1 win 0
         1     send 100
         1     > nothing
         201   > A 0 ack 1
         201   < A 1 ack 1 win 0
         601   > A 0 ack 1
         601   < A 1 ack 1 win 0
         1401  > A 0 ack 1
         1402  < A 1 ack 1 win 500
         1402  > PA 1:101 ack 1",
    );
}

#[test]
fn a_window_too_small_is_not_filled_at_once() {
    // RFC 9293, 3.8.6.2.1: silly window; the probe timer breaks the tie with what fits.
    opened(
        "1    < A 1 ack 1 win 10
         1    send 2000
         1    > nothing
         201  > A 1:11 ack 1",
    );
}

#[test]
fn urgent_pointer_points_behind_the_octet() {
    // RFC 6093: as every BSD-like stack.
    opened(
        "1  send 10 oob
         1  > PUA 1:11 ack 1 urg 10
         2  set nodelay 1
         2  send 3
         2  > PA 11:14 ack 1",
    );
}

#[test]
fn keepalive_probes_and_gives_up() {
    // RFC 9293, 3.8.4.
    opened(
        "0      set keepidle 10000
         0      set keepintvl 2000
         0      set keepcnt 2
         0      set keepalive 1
         10000  > A 0 ack 1
         10001  < A 1 ack 1
         20001  > A 0 ack 1
         22001  > A 0 ack 1
         24001  > RA 1 ack 1
         24001  error TimedOut",
    );
}

#[test]
fn idle_restarts_slow_start() {
    // RFC 5681, 4.1: not more than the restart window after an idle time.
    opened(
        "1     send 20000
         1     > A 1:1001
         1     > A 1001:2001
         1     > A 2001:3001
         1     > A 3001:4001
         1     > A 4001:5001
         1     > A 5001:6001
         1     > A 6001:7001
         1     > A 7001:8001
         1     > A 8001:9001
         1     > A 9001:10001
         2     < A 1 ack 10001
         2     > A 10001:11001
         2     > A 11001:12001
         2     > A 12001:13001
         2     > A 13001:14001
         2     > A 14001:15001
         2     > A 15001:16001
         2     > A 16001:17001
         2     > A 17001:18001
         2     > A 18001:19001
         2     > PA 19001:20001
         3     < A 1 ack 20001
         3     cwnd 20
         5000  send 10
         5000  > PA 20001:20011
         5000  cwnd 10",
    );
}

#[test]
fn timestamps_cost_twelve_octets() {
    modern(
        "0  connect
         0  > S 0
         1  < SA 0 ack 1 mss 1000 ts 5/0
         1  > A 1 ack 1
         1  send 1000
         1  > A 1:989 ack 1 ts 0/5
         1  > PA 989:1001 ack 1",
    );
}

#[test]
fn half_of_a_small_window_is_the_largest_segment() {
    // tcp_bound_to_half_wnd: one segment must not fill the whole window.
    plain(
        "0  connect
         0  > S 0
         0  < SA 0 ack 1 mss 1460 win 1000
         0  > A 1 ack 1
         1  send 1000
         1  > A 1:501 ack 1
         1  > PA 501:1001 ack 1",
    );
}
