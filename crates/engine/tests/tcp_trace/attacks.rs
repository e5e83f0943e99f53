//! Segments that are old, or somebody else's: RFC 7323, 5 and RFC 5961. As the kernel (6.18) answers them over a TUN device.

use crate::script::{modern, plain};

/// Its clock is at 2000.
const STAMPED: &str = "
    0    connect
    0    > S 0
    1    < SA 0 ack 1 mss 1460 ts 1000/0
    1    > A 1 ack 1 ts 0/1000
    5    < A 1:11 ack 1 ts 2000/0
    5    > A 1 ack 11 ts 0/2000
";

fn stamped(script: &str) {
    modern(&format!("{STAMPED}{script}"));
}

#[test]
fn a_clock_never_goes_back() {
    // RFC 7323, 5.3, R3; a tick is allowed (TCP_PAWS_WINDOW), of a FIN too.
    stamped(
        "6    < A 11:21 ack 1 ts 1999/0
         6    > A 1 ack 21 ts 0/2000
         7    < A 21:31 ack 1 ts 1998/0
         7    > A 1 ack 21 ts 0/2000
         7    available 20
         8    < FA 21 ack 1 ts 1999/0
         8    state CloseWait
         48   > A 1 ack 22 ts 0/2000",
    );
}

#[test]
fn data_before_a_gap_does_not_set_the_clock() {
    // RFC 7323, 4.3, (2): only what covers the last acknowledgment does.
    stamped(
        "6    < A 21:31 ack 1 ts 2050/0
         6    > A 1 ack 11 ts 0/2000
         7    < A 11:21 ack 1 ts 2040/0
         7    > A 1 ack 31 ts 0/2040",
    );
}

#[test]
fn a_clock_of_24_days_ago_means_nothing() {
    // RFC 7323, 5.5.
    stamped(
        "2073599000  < A 11:21 ack 1 ts 1000/0
         2073599000  > A 1 ack 11 ts 0/2000
         2073600006  < A 11:21 ack 1 ts 1000/0
         2073600006  > A 1 ack 21 ts 0/1000",
    );
}

#[test]
fn acknowledgments_that_were_overtaken() {
    stamped(
        "6     < A 11 ack 1 ts 2000/0
         // It says nothing new, and is not older than a timeout: as any duplicate.
         7     < A 11 ack 1 ts 1900/0
         7     > nothing
         600   < A 11 ack 1 ts 1000/0
         600   > A 1 ack 11
         // Of what has come since.
         1200  < A 1 ack 1 ts 1900/0
         1200  > nothing
         // Another window.
         1800  < A 11 ack 1 win 1000 ts 1900/0
         1800  > nothing
         2400  < A 11 ack 1 win 0 ts 1900/0
         2400  > A 1 ack 11",
    );
}

#[test]
fn an_old_syn_is_challenged() {
    stamped(
        "600   < S 11 ts 1900/0
         600   > A 1 ack 11
         601   < S 11 ts 1900/0
         601   > nothing",
    );
}

#[test]
fn a_rst_behind_a_gap() {
    // RFC 5961, 3.2 wants the exact number; Linux takes that behind the blocks too, which only the peer knows.
    plain(
        "0    connect
         0    > S 0 sackok
         1    < SA 0 ack 1 mss 1000 sackok
         1    > A 1 ack 1
         10   < A 1001:1501 ack 1
         10   > A 1 ack 1 sack 1001:1501
         11   < R 1500
         11   > A 1 ack 1
         11   state Established
         12   < R 1501
         12   state Close
         12   error ConnectionReset",
    );
}

#[test]
fn acknowledgments_of_what_was_never_sent() {
    // RFC 5961, 5.2, and not below the first number.
    plain(
        "0    connect
         0    > S 0
         1    < SA 0 ack 1 mss 1000
         1    > A 1 ack 1
         10   < A 1:11 ack 4294966296
         10   > A 1 ack 1
         10   available 0
         600  send 1000
         600  > PA 1:1001
         610  < A 1 ack 1001
         620  < A 1:11 ack 501
         620  > A 1001 ack 11
         620  available 10",
    );
}

#[test]
fn data_beyond_the_window() {
    // Linux's tcp_sequence: only who has nothing to read takes it, and then all of it.
    plain(
        "0    open
         0    set rcvbuf 4096
         0    connect
         0    > S 0
         1    < SA 0 ack 1 mss 1000
         1    > A 1 ack 1
         10   < A 1:1001 ack 1
         10   > A 1 ack 1001
         11   < A 1001:9001 ack 1
         11   > A 1 ack 1001
         11   available 1000
         12   read 1000
         13   < A 1001:9001 ack 1
         13   > A 1 ack 9001
         13   available 8000",
    );
}

#[test]
fn a_handshake_that_others_meddle_with() {
    let half = |script: &str| {
        plain(&format!(
            "0    listen 5
             0    < S 0 mss 1000
             0    > SA 0 ack 1
             {script}"
        ));
    };
    // RFC 5961, 3.2 in SYN_RECV as well; it is still there.
    half(
        "5    < R 100
         5    > A 1 ack 1
         6    < A 1 ack 1
         6    accept",
    );
    half(
        "5    < R 100000
         5    > nothing
         6    < A 1 ack 1
         6    accept",
    );
    half(
        "5    < S 100
         5    > RA ack 101
         6    < A 1 ack 1
         6    > R 1",
    );
    half(
        "5    < A 100000 ack 1
         5    > A 1 ack 1
         6    < A 100000 ack 1
         6    > nothing
         // What has data is always answered.
         7    < A 100000:100001 ack 1
         7    > A 1 ack 1",
    );
    half(
        "5    < A 1 ack 5
         5    > R 5
         6    < P 1:2
         6    > nothing
         7    < A 1 ack 1
         7    accept",
    );
}

#[test]
fn an_echo_of_what_was_never_sent() {
    // RFC 7323, 3.2.
    modern(
        "0    listen 5
         0    < S 0 mss 1000 ts 1000/0
         0    > SA 0 ack 1 ts 0/1000
         5    < A 1:3 ack 1 ts 1001/5
         5    > A 1 ack 1 ts 0/1000
         6    < A 1:3 ack 1 ts 900/=
         6    > A 1 ack 1 ts 0/1000
         7    < A 1:3 ack 1 ts 1001/=
         7    > A 1 ack 3 ts 0/1001
         7    accept",
    );
    modern(
        "0    connect
         0    > S 0
         1    < SA 0 ack 1 mss 1460 ts 1000/5
         1    > R 1
         1    state SynSent
         2    < SA 0 ack 1 mss 1460 ts 1000/=
         2    > A 1 ack 1 ts 0/1000",
    );
}

#[test]
fn time_wait_answers_every_fin() {
    let waiting = |script: &str| {
        modern(&format!(
            "0    listen 5
             0    < S 0 mss 1000 ts 1000/0
             0    > SA 0 ack 1 ts 0/1000
             0    < A 1 ack 1 ts 1001/0
             0    accept
             1    close
             1    > FA 1 ack 1 ts 0/1001
             2    < A 1 ack 2 ts 1010/0
             3    < FA 1 ack 2 ts 1020/0
             3    > A 2 ack 2 ts 0/1020
             {script}"
        ));
    };
    waiting(
        "4    < FA 1 ack 2 ts 1020/0
         4    > A 2 ack 2 ts 0/1020
         5    < FA 1 ack 2 ts 1020/0
         5    > A 2 ack 2 ts 0/1020
         6    < A 2:3 ack 2 ts 1020/0
         6    > A 2 ack 2
         // Of those without data one in half a second.
         700  < A 1 ack 2 ts 1020/0
         700  > A 2 ack 2
         701  < A 7 ack 2 ts 1020/0
         701  > nothing
         1300 < A 7 ack 2 ts 1020/0
         1300 > A 2 ack 2",
    );
    // RFC 6191: newer timestamps, or a higher number that is not older.
    waiting(
        "4    < S 0 ts 3000/0
         4    > SA 65539 ack 1 ts 0/3000",
    );
    waiting(
        "4    < S 50 ts 900/0
         4    > A 2 ack 2 ts 0/1020",
    );
    waiting(
        "4    < S 50 ts 1020/0
         4    > SA 65539 ack 51 ts 0/1020",
    );
    waiting(
        "4    < S 0 ts 1020/0
         4    > A 2 ack 2 ts 0/1020",
    );
    // RFC 1337: a RST that is not older ends it.
    waiting(
        "4    < R 2 ts 900/0
         5    < R 50 ts 1020/0
         5    connections 1
         6    < R 2 ts 1020/0
         6    connections 0",
    );
}
