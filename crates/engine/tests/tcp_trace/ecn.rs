//! Explicit congestion notification: RFC 3168, 6.1. Pacing.

use crate::script::{Trace, plain};

fn asking(script: &str) {
    Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
        sysctl.tcp_ecn = 1;
    })
    .run(script);
}

#[test]
fn it_is_asked_for_and_agreed_on() {
    asking(
        "0   connect
         0   > SEW 0
         20  < SAE 0 ack 1 mss 1000 sackok
         20  > A 1 ack 1
         30  send 500
         30  > PA 1:501 ect
         // Acknowledgments are not capable.
         50  < A 1:501 ack 501 ect
         50  > A 501 ack 501",
    );
}

#[test]
fn a_repeated_syn_does_not_ask() {
    asking(
        "0     connect
         0     > SEW 0
         1000  > S 0
         1020  < SA 0 ack 1 mss 1000
         1020  > A 1 ack 1
         1030  send 500
         1030  > PA 1:501",
    );
}

#[test]
fn a_mark_is_told_until_the_window_was_reduced() {
    // RFC 3168, 6.1.3: whoever listens agrees by default.
    plain(
        "0   listen 5
         0   < SEW 0 mss 1000
         0   > SAE 0 ack 1
         20  < A 1 ack 1
         20  accept
         30  < A 1:1001 ack 1 ect
         30  > A 1 ack 1001
         31  < A 1001:2001 ack 1 ce
         31  > EA 1 ack 2001
         32  < A 2001:3001 ack 1 ect
         32  > EA 1 ack 3001
         33  < WA 3001:4001 ack 1 ect
         33  > A 1 ack 4001",
    );
}

#[test]
fn a_syn_that_is_marked_itself_is_not_believed() {
    plain(
        "0   listen 5
         0   < SEW 0 mss 1000 ect
         0   > SA 0 ack 1",
    );
}

#[test]
fn accurate_ecn_is_answered_as_rfc_3168() {
    // RFC 9768, 3.1.2: AE, CWR and ECE on a SYN.
    plain(
        "0   listen 5
         0   < SNEW 0 mss 1000
         0   > SAE 0 ack 1",
    );
}

#[test]
fn the_window_is_reduced_once_in_a_round_trip() {
    // RFC 3168, 6.1.2, as for a loss: seven tenths with CUBIC.
    asking(
        "0   connect
         0   > SEW 0
         20  < SAE 0 ack 1 mss 1000 sackok
         20  > A 1 ack 1
         30  send 10000
         30  > PA 1:10001 each 1000 ect
         50  < EA 1 ack 2001
         50  castate 2
         50  ssthresh 7
         51  < EA 1 ack 8001
         52  < EA 1 ack 10001
         60  ssthresh 7
         60  send 1000
         60  > PWA 10001:11001 ect
         80  < A 1 ack 11001
         80  castate 0
         80  ssthresh 7",
    );
}

#[test]
fn a_socket_with_a_rate_sends_at_it() {
    // SO_MAX_PACING_RATE of 100,000 bytes a second: ten milliseconds for each segment, after the first ten.
    plain(
        "0   connect
         0   > S 0
         20  < SA 0 ack 1 mss 1000
         20  > A 1 ack 1
         20  set pacing 100000
         30  send 14000
         30  > A 1:10001 each 1000
         39  < A 1 ack 10001
         39  > nothing
         40  > A 10001:11001
         49  > nothing
         50  > A 11001:12001
         60  > A 12001:13001
         70  > PA 13001:14001",
    );
}
