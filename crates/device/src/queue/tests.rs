use super::*;
use crate::testing::{at, packet, port};

fn waiting(port: u16, len: usize) -> Waiting {
    Waiting {
        frame: packet(port, len).into(),
        len: len as u32,
        since: at(0),
        label: Label::default(),
    }
}

#[test]
fn a_fifo_is_full_by_packets_and_by_bytes() {
    let mut counters = PipeCounters::default();
    let config = FifoConfig {
        packets: 3,
        bytes: 1000,
    };
    let mut queue = Queue::new(&QueueConfig::Fifo(config), (0, 0), 1500);
    for (n, len) in [400, 400, 300, 200, 28].into_iter().enumerate() {
        queue.push(waiting(n as u16, len), &mut counters);
    }
    assert_eq!(
        (queue.len(), queue.bytes(), counters.queue_full),
        (3, 1000, 2)
    );
    let out = core::iter::from_fn(|| queue.pop(at(1), &mut counters));
    let out: alloc::vec::Vec<u16> = out.map(|w| port(w.frame.packet().unwrap())).collect();
    assert_eq!(out, [0, 1, 3]);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn only_who_speaks_ecn_is_marked() {
    for (tos, marked, after) in [
        (0, false, 0),
        (1, true, 3),
        (0x2a, true, 0x2b),
        (3, true, 3),
    ] {
        let mut packet = packet(1, 100);
        packet.ip.tos = tos;
        let mut frame = packet.into();
        assert_eq!(mark(&mut frame), marked);
        assert_eq!(frame.packet().unwrap().ip.tos, after);
    }
}
