//! Settings of the clocks: TCP_RTO_MIN_US and kin, thin streams, TCP_NOTSENT_LOWAT.

use crate::script::plain;

#[test]
fn the_least_timeout_is_the_sockets() {
    plain(
        "0    open
         0    set rto_min 40
         0    connect
         0    > S 0
         0    < SA 0 ack 1 mss 1000
         0    > A 1 ack 1
         1    send 100
         1    > PA 1:101 ack 1
         41   > PA 1:101 ack 1
         121  > PA 1:101 ack 1",
    );
}

#[test]
fn the_greatest_timeout_is_the_sockets() {
    plain(
        "0     open
         0     set rto_max 1000
         0     connect
         0     > S 0
         0     < SA 0 ack 1 mss 1000
         0     > A 1 ack 1
         1     send 100
         1     > PA 1:101 ack 1
         201   > PA 1:101 ack 1
         601   > PA 1:101 ack 1
         1401  > PA 1:101 ack 1
         2401  > PA 1:101 ack 1
         3401  > PA 1:101 ack 1",
    );
}

#[test]
fn thin_streams_do_not_double_their_first_timeouts() {
    plain(
        "0     open
         0     set thin 1
         0     connect
         0     > S 0
         0     < SA 0 ack 1 mss 1000
         0     > A 1 ack 1
         1     send 100
         1     > PA 1:101 ack 1
         201   > PA 1:101 ack 1
         401   > PA 1:101 ack 1
         601   > PA 1:101 ack 1
         801   > PA 1:101 ack 1
         1001  > PA 1:101 ack 1
         1201  > PA 1:101 ack 1
         1401  > PA 1:101 ack 1
         1801  > PA 1:101 ack 1",
    );
}

#[test]
fn an_acknowledgment_waits_no_longer_than_the_socket_says() {
    plain(
        "0    listen 4
         0    set delack_max 20
         0    < S 0 mss 1000
         0    > SA 0 ack 1
         1    < A 1 ack 1
         1    accept
         2    set quickack 0
         2    < PA 1:101 ack 1
         22   > A 1 ack 101",
    );
}

#[test]
fn what_is_not_sent_holds_the_writer() {
    plain(
        "0   connect
         0   > S 0
         0   < SA 0 ack 1 mss 1000 win 1000
         0   > A 1 ack 1
         1   set notsent_lowat 1000
         1   send 500
         1   > PA 1:501 ack 1
         1   room yes
         1   writable yes
         2   send 500
         2   > PA 501:1001 ack 1
         3   send 400
         3   room yes
         3   writable yes
         4   send 200
         4   room yes
         4   writable no
         5   send 400
         5   room no
         5   writable no
         6   < A 1 ack 1001 win 2000
         6   > PA 1001:2001 ack 1
         6   room yes
         6   writable yes",
    );
}
