//! Closing: RFC 9293, 3.6 and 3.10.4; RFC 2525, 2.17; Linux's orphans and TIME_WAIT.

use crate::script::plain;

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
fn we_close_first() {
    opened(
        "1      shutdown w
         1      > FA 1 ack 1
         1      state FinWait1
         2      < A 1 ack 2
         2      state FinWait2
         3      < PA 1:11 ack 2
         3      > A 2 ack 11
         3      available 10
         4      < FA 11 ack 2
         4      > A 2 ack 12
         4      state Close
         4      error None
         4      connections 1
         // The FIN again: our ACK was lost. 2 MSL starts over.
         1000   < FA 11 ack 2
         1000   > A 2 ack 12
         60999  connections 1
         61000  connections 0",
    );
}

#[test]
fn they_close_first() {
    opened(
        "1   < FA 1 ack 1
         1   state CloseWait
         5   > A 1 ack 2
         6   send 10
         6   > PA 1:11 ack 2
         7   close
         7   > FA 11 ack 2
         8   < A 2 ack 12
         8   connections 0",
    );
}

#[test]
fn simultaneous_close() {
    // RFC 9293, 3.6, figure 13.
    opened(
        "1      shutdown w
         1      > FA 1 ack 1
         2      < FA 1 ack 1
         2      > A 2 ack 2
         2      state Closing
         3      < A 2 ack 2
         3      state Close
         3      connections 1
         60003  connections 0",
    );
}

#[test]
fn fin_with_the_ack_of_ours() {
    opened(
        "1  shutdown w
         1  > FA 1 ack 1
         2  < FA 1 ack 2
         2  > A 2 ack 2
         2  state Close
         2  connections 1",
    );
}

#[test]
fn fin_waits_for_the_data_before_it() {
    opened(
        "1  < A 1 ack 1 win 1000
         1  send 1500
         1  > A 1:1001 ack 1
         1  shutdown w
         2  < A 1 ack 1001 win 1000
         2  > FPA 1001:1501 ack 1",
    );
}

#[test]
fn a_lost_fin_is_sent_again() {
    opened(
        "1    shutdown w
         1    > FA 1 ack 1
         201  > FA 1 ack 1
         601  > FA 1 ack 1
         602  < A 1 ack 2
         602  state FinWait2",
    );
}

#[test]
fn close_with_unread_data_resets() {
    // RFC 2525, 2.17.
    opened(
        "1  < PA 1:11 ack 1
         1  > A 1 ack 11
         1  close
         1  > RA 1 ack 11
         1  connections 0",
    );
}

#[test]
fn linger_zero_resets() {
    opened(
        "1  abort
         1  > RA 1 ack 1
         1  connections 0",
    );
}

#[test]
fn data_for_an_orphan_resets() {
    opened(
        "1  close
         1  > FA 1 ack 1
         2  < A 1 ack 2
         3  < PA 1:11 ack 2
         3  > R 2
         3  connections 0",
    );
}

#[test]
fn data_after_shutdown_of_both_directions_resets() {
    opened(
        "1  shutdown rw
         1  > FA 1 ack 1
         2  < PA 1:11 ack 2
         2  > R 2
         2  error ConnectionReset",
    );
}

#[test]
fn data_after_shutdown_of_reading_is_still_acknowledged() {
    // Linux: SHUT_RD does not reach the wire.
    opened(
        "1  shutdown r
         2  < PA 1:11 ack 1
         2  > A 1 ack 11
         2  state Established",
    );
}

#[test]
fn an_orphan_waits_60_s_for_the_fin() {
    opened(
        "1      close
         1      > FA 1 ack 1
         2      < A 1 ack 2
         60001  connections 1
         60002  connections 0",
    );
}

#[test]
fn the_fin_of_an_orphans_peer_leads_to_time_wait() {
    opened(
        "1      close
         1      > FA 1 ack 1
         2      < A 1 ack 2
         50000  < FA 1 ack 2
         50000  > A 2 ack 2
         109999 connections 1
         110000 connections 0",
    );
}

#[test]
fn linger2_shortens_fin_wait2() {
    opened(
        "0     set linger2 5000
         1     close
         1     > FA 1 ack 1
         2     < A 1 ack 2
         5001  connections 1
         5002  connections 0",
    );
}

#[test]
fn negative_linger2_does_not_wait() {
    opened(
        "0  set linger2 0
         1  close
         1  > FA 1 ack 1
         2  < A 1 ack 2
         2  > R 2
         2  connections 0",
    );
}

#[test]
fn without_close_fin_wait2_lasts() {
    opened(
        "1        shutdown w
         1        > FA 1 ack 1
         2        < A 1 ack 2
         1000000  state FinWait2",
    );
}

#[test]
fn an_orphan_gives_up_earlier() {
    // tcp_orphan_retries 0 means 8: 102.2 s from the first retransmission on.
    opened(
        "1       close
         1       > FA 1 ack 1
         201     > FA 1 ack 1
         601     > FA 1 ack 1
         1401    > FA 1 ack 1
         3001    > FA 1 ack 1
         6201    > FA 1 ack 1
         12601   > FA 1 ack 1
         25401   > FA 1 ack 1
         51001   > FA 1 ack 1
         102201  > FA 1 ack 1
         204601  connections 1
         204602  connections 0",
    );
}

#[test]
fn rst_in_close_wait_is_epipe() {
    opened(
        "1  < FA 1 ack 1
         5  > A 1 ack 2
         6  < R 2
         6  error BrokenPipe",
    );
}

#[test]
fn a_rst_from_before_the_fin_counts() {
    // tcp_reset_check.
    opened(
        "1  < FA 1 ack 1
         5  > A 1 ack 2
         6  < R 1
         6  error BrokenPipe",
    );
}

#[test]
fn received_data_survives_a_reset() {
    opened(
        "1  < PA 1:11 ack 1
         1  > A 1 ack 11
         2  < R 11
         2  error ConnectionReset
         2  available 10",
    );
}

#[test]
fn rst_ends_time_wait() {
    // RFC 1337 describes the hazard; Linux's default (tcp_rfc1337 0) allows it.
    opened(
        "1  shutdown w
         1  > FA 1 ack 1
         2  < FA 1 ack 2
         2  > A 2 ack 2
         2  connections 1
         3  < R 2
         3  connections 0",
    );
}

#[test]
fn closing_a_listener_resets_those_in_its_queue() {
    plain(
        "0  listen 4
         0  < S 0
         0  > SA 0 ack 1
         1  < A 1 ack 1
         2  unlisten
         2  > RA 1 ack 1
         2  connections 0",
    );
}
