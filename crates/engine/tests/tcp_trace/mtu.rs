//! The search for the largest segment of a path (RFC 4821), as the kernel (6.18) does it over a TUN device.

use crate::script::Trace;

fn searching(level: u8, script: &str) {
    Trace::new(|sysctl| {
        sysctl.tcp_timestamps = false;
        sysctl.tcp_window_scaling = false;
        sysctl.tcp_mtu_probing = level;
    })
    .run(script);
}

#[test]
fn a_client_begins_with_the_base() {
    searching(
        2,
        "0     connect
         0     > S 0
         20    < SA 0 ack 1 mss 1460 sackok
         20    > A 1 ack 1
         20    mss 1024
         30    send 2000
         30    > A 1:1025
         30    > PA 1025:2001",
    );
}

/// The window of ten is full; with eleven a probe leaves first, of 1242 bytes: half of the way from 1064 to 1500. The
/// window is one of bytes: behind a probe that is no larger than a segment, one more than the kernel's 18 is begun.
const PROBING: &str = "
    0     listen 4
    0     < S 0 mss 1460 sackok
    0     > SA 0 ack 1
    20    < A 1 ack 1
    20    accept
    // It begins when the segments have been sized.
    20    mss 1460
    30    send 60000
    30    > A 1:14601 each 1460
    60    < A 1 ack 14601
    60    > A 14601:15843
";

#[test]
fn a_probe_that_arrives_makes_segments_larger() {
    searching(
        2,
        &format!(
            "{PROBING}
             60    > A 15843:43583 each 1460
             90    < A 1 ack 43583
             90    mss 1242
             // 1391 - 40.
             90    > A 43583:44934
             90    > A 44934:59838 each 1242
             90    > PA 59838:60001"
        ),
    );
}

#[test]
fn a_probe_that_is_lost_says_nothing_of_congestion() {
    searching(
        2,
        &format!(
            "{PROBING}
             60    > A 15843:43583 each 1460
             90    < A 1 ack 14601 sack 15843:21683
             90    > A 14601:15843
             90    > A 43583:50883 each 1460
             90    castate 4
             90    ssthresh 2147483647"
        ),
    );
}

#[test]
fn little_data_is_no_probe() {
    searching(
        2,
        "0     listen 4
         0     < S 0 mss 1460 sackok
         0     > SA 0 ack 1
         20    < A 1 ack 1
         20    accept
         30    send 3000
         30    > PA 1:3001 each 1460
         50    < A 1 ack 3001
         50    send 3000
         50    > PA 3001:6001 each 1460",
    );
}

#[test]
fn a_path_that_swallows_large_packets_is_halved() {
    for (level, sizes) in [(1, [1025, 513, 257]), (2, [513, 257, 129])] {
        Trace::new(|sysctl| {
            sysctl.tcp_timestamps = false;
            sysctl.tcp_window_scaling = false;
            sysctl.tcp_mtu_probing = level;
            sysctl.tcp_retries1 = 1;
        })
        .run(&format!(
            "0     listen 4
             0     < S 0 mss 1460
             0     > SA 0 ack 1
             20    < A 1 ack 1
             20    accept
             30    send 3000
             30    > PA 1:3001 each 1460
             250   > A 1:1461
             690   > A 1:1461
             1570  > A 1:{}
             3330  > A 1:{}
             6850  > A 1:{}
             6850  timeouts 5 1 6600",
            sizes[0], sizes[1], sizes[2]
        ));
    }
}
