//! Opening connections: RFC 9293, 3.5 and 3.10.7.1 to 3.10.7.3; RFC 5961; RFC 7323.

use crate::script::{Trace, modern, plain};

#[test]
fn active_open() {
    plain(
        "0  connect
         0  > S 0 mss 1460 win 64240
         5  < SA 0 ack 1 mss 1000
         5  > A 1 ack 1
         5  state Established",
    );
}

#[test]
fn active_open_with_options() {
    modern(
        "0  connect
         0  > S 0 mss 1460 win 64240 wscale 7 ts 0/0
         5  < SA 0 ack 1 mss 1460 wscale 8 ts 77/0
         5  > A 1 ack 1 win 502 ts 0/77",
    );
}

#[test]
fn passive_open() {
    plain(
        "0  listen 4
         0  < S 0 mss 1000
         0  > SA 0 ack 1 mss 1460 win 64240
         1  cannot accept
         2  < A 1 ack 1
         2  accept
         2  state Established",
    );
}

#[test]
fn options_are_only_offered_in_answer() {
    // RFC 7323, 2.2 and 3.2.
    modern(
        "0  listen 4
         0  < S 0 mss 1000 wscale 3
         0  > SA 0 ack 1 mss 1460 wscale 7
         2  < A 1 ack 1
         2  accept",
    );
}

#[test]
fn data_on_the_last_ack_of_the_handshake() {
    plain(
        "0  listen 4
         0  < S 0 mss 1000
         0  > SA 0 ack 1
         2  < PA 1:101 ack 1
         2  > A 1 ack 101
         2  accept
         2  available 100",
    );
}

#[test]
fn syn_is_repeated_at_a_constant_second_then_with_backoff() {
    // tcp_syn_linear_timeouts 4, tcp_syn_retries 6: 131 s in all.
    plain(
        "0       connect
         0       > S 0
         1000    > S 0
         2000    > S 0
         3000    > S 0
         4000    > S 0
         5000    > S 0
         7000    > S 0
         11000   > S 0
         19000   > S 0
         35000   > S 0
         67000   > S 0
         130999  > nothing
         130999  state SynSent
         131000  error TimedOut
         131000  state Close",
    );
}

#[test]
fn tcp_syncnt_bounds_the_attempts() {
    plain(
        "0     open
         0     set syncnt 1
         0     connect
         0     > S 0
         1000  > S 0
         2000  > S 0
         // Three seconds are two doublings, though the doublings have not begun.
         2999  error None
         3000  error TimedOut",
    );
}

#[test]
fn the_user_timeout_bounds_the_attempts() {
    // It is looked at from the second timeout on.
    plain(
        "0     open
         0     set user_timeout 500
         0     connect
         0     > S 0
         1000  > S 0
         1001  error TimedOut",
    );
}

#[test]
fn syn_ack_is_repeated_and_forgotten() {
    // tcp_synack_retries 5.
    plain(
        "0      listen 4
         0      < S 0
         0      > SA 0 ack 1
         1000   > SA 0 ack 1
         3000   > SA 0 ack 1
         7000   > SA 0 ack 1
         15000  > SA 0 ack 1
         31000  > SA 0 ack 1
         62999  connections 1
         63000  connections 0",
    );
}

#[test]
fn a_repeated_syn_is_answered_again() {
    plain(
        "0    listen 4
         0    < S 0
         0    > SA 0 ack 1
         300  < S 0
         300  > SA 0 ack 1
         // RFC 5961, 7: not more often than each 500 ms.
         400  < S 0
         400  > nothing",
    );
}

#[test]
fn nobody_listens() {
    // RFC 9293, 3.10.7.1.
    plain(
        "0  listen 4
         0  unlisten
         0  < S 0
         0  > RA 0 ack 1
         0  < A 1 ack 55
         0  > R 55
         0  < R 1
         0  > nothing",
    );
}

#[test]
fn a_listener_resets_an_ack_and_ignores_the_rest() {
    // RFC 9293, 3.10.7.2.
    plain(
        "0  listen 4
         0  < A 1 ack 55
         0  > R 55
         0  < R 1
         0  < SF 0
         0  < F 0
         0  > nothing
         0  connections 0",
    );
}

#[test]
fn a_bad_ack_in_syn_sent_is_reset() {
    // RFC 9293, 3.10.7.3, first: half-open connection discovery.
    plain(
        "0  connect
         0  > S 0
         1  < SA 0 ack 2
         1  > R 2
         1  < SA 0 ack 0
         1  > R 0
         1  state SynSent
         // RST with a bad ACK, or with none, proves nothing.
         1  < RA 0 ack 2
         1  < R 0
         1  state SynSent
         1  < RA 0 ack 1
         1  error ConnectionRefused
         1  state Close",
    );
}

#[test]
fn simultaneous_open() {
    // RFC 9293, 3.5, figure 7.
    plain(
        "0  connect
         0  > S 0
         1  < S 0 mss 1000
         1  > SA 0 ack 1
         1  state SynRecv
         2  < SA 0 ack 1 mss 1000
         2  state Established
         // The peer's SYN has come twice.
         2  > A 1 ack 1
         2  send 10
         2  > PA 1:11 ack 1",
    );
    modern(
        "0  connect
         0  > S 0
         1  < S 0 mss 1000 sackok
         // Everything is offered, whatever the peer has.
         1  > SA 0 ack 1 sackok ts 0/0
         2  < SA 0 ack 1 mss 1000 sackok
         2  > A 1 ack 1 sack 0:1
         2  state Established",
    );
}

#[test]
fn a_bad_acknowledgment_of_the_syn_sends_it_again() {
    plain(
        "0     connect
         0     > S 0
         20    < A 0 ack 5
         20    > R 5
         28    > S 0
         40    < A 0 ack 5
         40    > R 5
         1028  > S 0",
    );
}

#[test]
fn a_syn_that_comes_again_restarts_the_timer() {
    plain(
        "0     listen 4
         0     < S 0
         0     > SA 0 ack 1
         300   < S 0
         300   > SA 0 ack 1
         1300  > SA 0 ack 1
         3300  > SA 0 ack 1",
    );
}

#[test]
fn the_window_after_lost_syns() {
    // RFC 6928, 2; Linux begins anew from the second loss on.
    plain(
        "0     connect
         0     > S 0
         1000  > S 0
         1500  < SA 0 ack 1 mss 1000
         1500  > A 1 ack 1
         1500  cwnd 10",
    );
    plain(
        "0     connect
         0     > S 0
         1000  > S 0
         2000  > S 0
         2500  < SA 0 ack 1 mss 1000
         2500  > A 1 ack 1
         2500  cwnd 1",
    );
    plain(
        "0     listen 4
         0     < S 0 mss 1000
         0     > SA 0 ack 1
         1000  > SA 0 ack 1
         3000  > SA 0 ack 1
         3500  < A 1 ack 1
         3500  accept
         3500  cwnd 1
         3500  retransmits 2",
    );
}

#[test]
fn rst_in_syn_recv_forgets_the_request() {
    plain(
        "0  listen 4
         0  < S 0
         0  > SA 0 ack 1
         // Not the exact number: challenged.
         1  < R 5
         1  > A 1 ack 1
         1  connections 1
         1  < R 1
         1  connections 0",
    );
}

#[test]
fn a_bad_ack_in_syn_recv_is_reset() {
    // RFC 9293, 3.10.7.4, fifth, SYN-RECEIVED.
    plain(
        "0  listen 4
         0  < S 0
         0  > SA 0 ack 1
         1  < A 1 ack 2
         1  > R 2
         1  connections 1",
    );
}

#[test]
fn syn_in_an_open_connection_is_challenged() {
    // RFC 5961, 4.2, and the rate limit of section 7.
    plain(
        "0    connect
         0    > S 0
         1    < SA 0 ack 1
         1    > A 1 ack 1
         10   < S 1
         10   > A 1 ack 1
         10   < S 30000
         10   > nothing
         600  < S 30000
         600  > A 1 ack 1
         600  state Established",
    );
}

#[test]
fn rst_must_have_the_exact_number() {
    // RFC 5961, 3.2.
    plain(
        "0    connect
         0    > S 0
         1    < SA 0 ack 1
         1    > A 1 ack 1
         // Outside the window: ignored.
         10   < R 4000000
         10   > nothing
         // Inside, but not next: challenged.
         10   < R 100
         10   > A 1 ack 1
         11   < R 1
         11   > nothing
         11   state Close
         11   error ConnectionReset",
    );
}

#[test]
fn old_and_future_acks_are_challenged() {
    // RFC 5961, 5.2; RFC 9293, 3.10.7.4, fifth.
    plain(
        "0    connect
         0    > S 0
         1    < SA 0 ack 1 win 1000
         1    > A 1 ack 1
         10   < PA 1:11 ack 5000
         10   > A 1 ack 1
         10   available 0
         600  < PA 1:11 ack 4294900000
         600  > A 1 ack 1
         600  available 0",
    );
}

#[test]
fn paws_drops_old_segments() {
    // RFC 7323, 5.3.
    modern(
        "0    connect
         0    > S 0
         1    < SA 0 ack 1 mss 1460 ts 1000/0
         1    > A 1 ack 1 ts 0/1000
         5    < PA 1:11 ack 1 ts 1005/0
         5    > A 1 ack 11 ts 0/1005
         // Old, though the sequence number fits: acknowledged, not taken.
         6    < PA 11:21 ack 1 ts 500/0
         6    > A 1 ack 11 ts 0/1005
         6    available 10
         // A RST is judged by its number.
         7    < R 11 ts 500/0
         7    state Close",
    );
}

#[test]
fn defer_accept_waits_for_data() {
    plain(
        "0     listen 4
         0     set defer_accept 2
         0     < S 0
         0     > SA 0 ack 1
         1     < A 1 ack 1
         1     cannot accept
         2     < PA 1:11 ack 1
         2     > A 1 ack 11
         2     accept",
    );
}

#[test]
fn accept_queue_overflow_leaves_the_request() {
    plain(
        "0     listen 0
         0     < S 0
         0     > SA 0 ack 1
         1     < A 1 ack 1
         1     accept
         1     state Established",
    );
}

#[test]
fn time_wait_gives_way_to_a_newer_syn() {
    // RFC 9293, 3.10.7.4 (RFC 6191).
    plain(
        "0    listen 4
         0    < S 0
         0    > SA 0 ack 1
         0    < A 1 ack 1
         0    accept
         1    close
         1    > FA 1 ack 1
         2    < A 1 ack 2
         3    < FA 1 ack 2
         3    > A 2 ack 2
         // Not newer: only acknowledged.
         4    < S 1
         4    > A 2 ack 2
         5    < S 900
         5    > SA 65539 ack 901
         6    < A 901 ack 65540
         6    accept
         6    state Established",
    );
}

#[test]
fn tcp_maxseg_limits_both_directions() {
    let mut trace = Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
    });
    trace.run(
        "0  open
         0  set maxseg 500
         0  connect
         0  > S 0 mss 500
         1  < SA 0 ack 1 mss 1460
         1  > A 1 ack 1
         2  send 700
         2  > A 1:501 ack 1
         2  > PA 501:701 ack 1",
    );
}
