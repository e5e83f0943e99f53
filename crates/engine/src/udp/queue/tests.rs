//! Numbers are what Linux 6.18 did: how many datagrams of a size fit a receive buffer.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;

fn datagram(len: usize, v6: bool) -> UdpReceived {
    let to = if v6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    };
    UdpReceived {
        tag: crate::tag::Tag::default(),
        stamped: false,
        drops: 0,
        peeked: false,
        extra: None,
        flow_label: 0,
        noted: false,
        from: SocketAddr::new(to, 1),
        to,
        port: 2,
        interface: IfIndex::LO,
        tos: 0,
        ttl: 64,
        at: Instant::BOOT,
        payload: Payload::from(alloc::vec![0; len]),
        segment: 0,
    }
}

fn fill(queue: &mut ReceiveQueue, len: usize, v6: bool) -> usize {
    (0..300).filter(|_| queue.push(datagram(len, v6))).count()
}

#[test]
fn as_many_fit_the_default_buffer_as_in_linux() {
    for (len, expected) in [
        (0, 256),
        (1, 256),
        (197, 256),
        (198, 166),
        (645, 166),
        (646, 92),
        (1000, 92),
        (1669, 92),
        (1670, 48),
        (3717, 48),
        (3718, 25),
        (7813, 25),
        (7814, 12),
        (16917, 12),
        (16918, 11),
        (20000, 10),
        (30000, 6),
        (40000, 5),
        (50000, 4),
        (60000, 3),
        (65507, 3),
    ] {
        assert_eq!(
            fill(&mut ReceiveQueue::new(212_992), len, false),
            expected,
            "{len} over IPv4"
        );
    }
    for (len, expected) in [
        (184, 256),
        (185, 166),
        (632, 166),
        (633, 92),
        (1656, 92),
        (1657, 48),
        (3704, 48),
        (3705, 25),
        (7800, 25),
        (7801, 12),
        (16917, 12),
        (16918, 11),
    ] {
        assert_eq!(
            fill(&mut ReceiveQueue::new(212_992), len, true),
            expected,
            "{len} over IPv6"
        );
    }
}

#[test]
fn the_smallest_buffer_takes_any_one_datagram() {
    // SOCK_MIN_RCVBUF.
    for (len, expected) in [(1, 2), (200, 1), (1000, 1), (65507, 1)] {
        assert_eq!(
            fill(&mut ReceiveQueue::new(2304), len, false),
            expected,
            "{len}"
        );
    }
}

#[test]
fn memory_comes_back_by_the_quarter() {
    for (drained, holds) in [
        (1, 255),
        (10, 246),
        (63, 193),
        (64, 256),
        (65, 255),
        (100, 220),
        (255, 193),
        (256, 256),
    ] {
        let mut queue = ReceiveQueue::new(212_992);
        fill(&mut queue, 1, false);
        (0..drained).for_each(|_| assert!(queue.pop().is_some()));
        fill(&mut queue, 1, false);
        assert_eq!(queue.iter().count(), holds, "after {drained}");
    }
}

#[test]
fn drops_are_counted_and_an_empty_queue_owes_nothing() {
    let mut queue = ReceiveQueue::new(212_992);
    fill(&mut queue, 1, false);
    assert_eq!(queue.drops, 44);
    assert_eq!(queue.charged(), 256 * 832);
    while queue.pop().is_some() {}
    assert_eq!(queue.charged(), 0);
    assert_eq!(queue.front(), None);
}

#[test]
fn what_has_arrived_when_memory_comes_back_is_the_next_batch() {
    let mut queue = ReceiveQueue::new(212_992);
    queue.push(datagram(1500, false));
    queue.look();
    queue.push(datagram(1500, false));
    queue.pop();
    assert_eq!(queue.charged(), 2304);
    queue.push(datagram(0, false));
    queue.pop();
    assert_eq!(queue.charged(), 832, "the second was a batch by itself");
}
