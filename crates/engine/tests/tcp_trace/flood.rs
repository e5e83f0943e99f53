//! SYN cookies (RFC 4987, 3.6), and paths that swallow large packets (RFC 4821).

use crate::script::{Trace, modern, plain};

#[test]
fn a_full_queue_answers_with_cookies() {
    plain(
        "0   listen 1
         0   < S 0 mss 1000
         0   > SA 0 ack 1
         0   client 4322
         0   < S 0 mss 1400 sackok
         // Without timestamps a cookie has no room for options.
         0   > SA 0 ack 1
         0   connections 1
         // Nothing is kept, so nothing is sent again but the first one's.
         1000 client 4321
         1000 > SA 0 ack 1
         1000 client 4322",
    );
}

#[test]
fn the_last_acknowledgment_of_a_cookie_makes_a_connection() {
    plain(
        "0   listen 1
         0   < S 0 mss 1000
         0   > SA 0 ack 1
         0   client 4322
         0   < S 0 mss 1400 sackok
         0   > SA 0 ack 1
         10  < A 1 ack 1
         10  accept
         10  state Established
         // The largest size below the peer's that a cookie can say.
         10  send 2000
         10  > A 1:1301 ack 1
         10  > PA 1301:2001 ack 1
         20  < A 1:101 ack 2001
         20  > A 2001 ack 101
         20  available 100",
    );
}

#[test]
fn options_come_back_with_the_timestamp() {
    modern(
        "0   listen 1
         0   < S 0 mss 1000
         0   > SA 0 ack 1
         0   client 4322
         0   < S 0 mss 1460 sackok wscale 7 ts 5/0
         0   > SA 0 ack 1 sackok ts 0/5
         10  < A 1 ack 1 win 100 ts 6/=
         10  accept
         10  < A 1001:1501 ack 1 win 100 ts 6/=
         10  > A 1 ack 1 sack 1001:1501
         // 100 << 7 are 12800.
         10  send 20000
         10  > A 1:11489 each 1436",
    );
}

#[test]
fn a_cookie_is_good_for_its_own_connection() {
    plain(
        "0      listen 1
         0      < S 0 mss 1000
         0      > SA 0 ack 1
         0      client 4322
         0      < S 0 mss 1400
         0      > SA 0 ack 1
         // Another number of the peer's.
         10     < A 9 ack 1
         10     > R 1",
    );
}

#[test]
fn an_acknowledgment_without_a_flood_is_nobodys() {
    plain(
        "0   listen 5
         0   < A 1 ack 1
         0   > R 1",
    );
}

#[test]
fn a_path_that_swallows_large_packets() {
    Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
        sysctl.tcp_mtu_probing = 1;
    })
    .run(
        "0     connect
         0     > S 0
         20    < SA 0 ack 1 mss 1460
         20    > A 1 ack 1
         30    send 1460
         30    > PA 1:1461
         250   > PA 1:1461
         690   > PA 1:1461
         1570  > PA 1:1461
         // Three seconds, which are tcp_retries1 timeouts.
         3330  > A 1:1025
         3350  < A 1 ack 1025
         3350  > PA 1025:1461
         3370  < A 1 ack 1461
         3370  state Established",
    );
}
