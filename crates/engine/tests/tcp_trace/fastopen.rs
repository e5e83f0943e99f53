//! TCP Fast Open: RFC 7413.

use crate::script::Trace;

fn server(script: &str) {
    Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
        sysctl.tcp_fastopen = 3;
    })
    .run(script);
}

fn client(script: &str) {
    crate::script::plain(script);
}

#[test]
fn a_client_asks_for_a_cookie_and_uses_it() {
    // RFC 7413, 4.1.2 and 4.2.1.
    client(
        "0   fastconnect
         0   > S 0 mss 1460 fo request
         5   < SA 0 ack 1 mss 1000 fo 0102030405060708
         5   > A 1 ack 1
         5   state Established
         6   abort
         6   > RA 1 ack 1
         10  fastconnect deferred
         10  > nothing
         10  state SynSent
         11  sendsyn 300
         11  > S 0:300 fo 0102030405060708
         16  < SA 0 ack 301 mss 1000
         16  > A 301 ack 1
         16  state Established
         17  send 50
         17  > PA 301:351 ack 1
         18  < A 1 ack 351",
    );
}

#[test]
fn data_that_the_server_did_not_take_comes_again() {
    // RFC 7413, 4.2.2: "If the SYN-ACK does not acknowledge the data", it is sent after the handshake.
    client(
        "0   open
         0   set nocookie 1
         0   fastconnect deferred
         0   sendsyn 300
         0   > S 0:300
         5   < SA 0 ack 1 mss 1000
         5   > PA 1:301 ack 1
         5   retransmits 1
         6   < A 1 ack 301
         7   send 10
         7   > PA 301:311 ack 1
         8   < A 1 ack 311",
    );
}

#[test]
fn a_repeated_syn_is_plain() {
    // RFC 7413, 4.1.3.1: a middlebox may have dropped the option.
    client(
        "0     open
         0     set nocookie 1
         0     fastconnect deferred
         0     sendsyn 300
         0     > S 0:300
         1000  > S 0
         1005  < SA 0 ack 1 mss 1000
         1005  > PA 1:301 ack 1",
    );
}

#[test]
fn a_server_gives_cookies_and_takes_them() {
    server(
        "0   listen 4
         0   set fastopen 5
         0   < S 0 mss 1000 fo request
         0   > SA 0 ack 1 fo cookie
         1   < A 1 ack 1
         1   accept
         2   client 5000
         2   < S 0:100 mss 1000 fo cookie
         2   > SA 0 ack 101
         3   accept
         3   state SynRecv
         3   available 100
         4   < A 101 ack 1
         4   state Established
         5   send 10
         5   > PA 1:11 ack 101",
    );
}

#[test]
fn a_fast_connection_answers_before_the_handshake_is_over() {
    // RFC 7413, 4.2.2. What is sent then is not sent again while the SYN-ACK is.
    server(
        "0     listen 4
         0     set fastopen 5
         0     set nocookie 1
         0     < S 0:100 mss 1000
         0     > SA 0 ack 101
         1     accept
         1     send 2500
         1     > PA 1:2501 each 1000
         20    < A 101 ack 2501
         20    state Established
         21    send 10
         21    > PA 2501:2511 ack 101
         // The SYN-ACK has measured the round trip.
         240   > PA 2501:2511 ack 101",
    );
    server(
        "0     listen 4
         0     set fastopen 5
         0     set nocookie 1
         0     < S 0:100 mss 1000
         0     > SA 0 ack 101
         1     accept
         1     send 1500
         1     > PA 1:1501 each 1000
         1000  > SA 0 ack 101
         // The SYN again.
         1500  < S 0:100 mss 1000
         1500  > SA 0 ack 101
         3000  > SA 0 ack 101
         3100  < A 101 ack 1
         3100  state Established
         // Two timeouts: all is taken for lost, and the window is one segment.
         3100  > A 1:1001 ack 101
         3120  < A 101 ack 1001
         3120  > PA 1001:1501 ack 101",
    );
}

#[test]
fn a_fast_connection_ends_after_the_handshake() {
    // tcp_shutdown() knows no SYN_RECV; close(2) does.
    const ACCEPTED: &str = "
        0     listen 4
        0     set fastopen 5
        0     set nocookie 1
        0     < S 0:100 mss 1000
        0     > SA 0 ack 101
        1     accept
        1     read 100
        1     send 1500
        1     > PA 1:1501 each 1000";
    server(&format!(
        "{ACCEPTED}
         1     shutdown w
         20    state SynRecv
         20    < A 101 ack 1
         20    > FA 1501 ack 101
         20    state FinWait1
         40    < A 101 ack 1502
         40    state FinWait2"
    ));
    server(&format!(
        "{ACCEPTED}
         20    < A 101 ack 1
         240   > A 1:1001 ack 101"
    ));
    server(&format!(
        "{ACCEPTED}
         1     close
         1     > FA 1501 ack 101"
    ));
}

#[test]
fn closing_a_fast_connection_with_unread_data_resets() {
    server(
        "0     listen 4
         0     set fastopen 5
         0     set nocookie 1
         0     < S 0:100 mss 1000
         0     > SA 0 ack 101
         1     accept
         1     close
         1     > RA 1 ack 101",
    );
}

#[test]
fn a_wrong_cookie_is_answered_with_the_right_one() {
    // RFC 7413, 4.2.2.
    server(
        "0   listen 4
         0   set fastopen 5
         0   < S 0:100 mss 1000 fo 0102030405060708
         0   > SA 0 ack 1 fo cookie
         1   cannot accept
         1   < PA 1:101 ack 1
         1   > A 1 ack 101
         1   accept
         1   available 100",
    );
}

#[test]
fn the_queue_of_fast_connections_is_bounded() {
    server(
        "0   listen 4
         0   set fastopen 1
         0   < S 0 mss 1000 fo request
         0   > SA 0 ack 1 fo cookie
         1   < A 1 ack 1
         2   client 5000
         2   < S 0:100 mss 1000 fo cookie
         2   > SA 0 ack 101
         3   client 5001
         3   < S 0:100 mss 1000 fo cookie
         3   > SA 0 ack 1",
    );
}

#[test]
fn without_the_option_or_the_sysctl_the_data_waits() {
    server(
        "0   listen 4
         0   < S 0:100 mss 1000 fo request
         0   > SA 0 ack 1
         1   cannot accept",
    );
    client(
        "0   listen 4
         0   set fastopen 5
         0   < S 0:100 mss 1000 fo request
         0   > SA 0 ack 1",
    );
}

#[test]
fn a_fast_connection_repeats_its_syn_ack_and_can_be_reset() {
    server(
        "0     listen 4
         0     set fastopen 5
         0     set nocookie 1
         0     < S 0:100 mss 1000
         0     > SA 0 ack 101
         1     accept
         1000  > SA 0 ack 101
         1001  < R 101
         1001  state Close
         1001  error ConnectionReset",
    );
}
