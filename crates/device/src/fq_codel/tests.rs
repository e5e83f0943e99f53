use alloc::vec::Vec;

use super::*;
use crate::Label;
use crate::testing::{at, packet, port};

fn waiting(port: u16, len: usize, ms: u64) -> Waiting {
    Waiting {
        frame: packet(port, len).into(),
        len: len as u32,
        since: at(ms),
        label: Label::default(),
    }
}

#[test]
fn flows_take_turns_by_bytes() {
    let mut counters = PipeCounters::default();
    let mut queue = FqCodel::new(FqCodelConfig::default(), (1, 2), 1500);
    for _ in 0..300 {
        queue.push(waiting(1, 1500, 0), &mut counters);
        for _ in 0..3 {
            queue.push(waiting(2, 500, 0), &mut counters);
        }
    }
    let mut bytes = [0; 2];
    for _ in 0..400 {
        let waiting = queue.pop(at(1), &mut counters).unwrap();
        bytes[usize::from(port(waiting.frame.packet().unwrap()) - 1)] += waiting.len;
    }
    let total = f64::from(bytes[0] + bytes[1]);
    let share = f64::from(bytes[0]) / total;
    assert!((share - 0.5).abs() < 0.02, "{bytes:?}");
}

#[test]
fn a_new_flow_goes_before_those_that_stand() {
    let mut counters = PipeCounters::default();
    let mut queue = FqCodel::new(FqCodelConfig::default(), (1, 2), 1500);
    for _ in 0..100 {
        queue.push(waiting(1, 1500, 0), &mut counters);
    }
    for _ in 0..5 {
        queue.pop(at(0), &mut counters).unwrap();
    }
    queue.push(waiting(9, 100, 0), &mut counters);
    let next: Vec<u16> = (0..2)
        .map(|_| {
            port(
                queue
                    .pop(at(0), &mut counters)
                    .unwrap()
                    .frame
                    .packet()
                    .unwrap(),
            )
        })
        .collect();
    assert!(next.contains(&9), "{next:?}");
}

#[test]
fn when_there_is_too_much_the_longest_queue_pays() {
    let mut counters = PipeCounters::default();
    let config = FqCodelConfig {
        codel: CodelConfig {
            limit: 100,
            ..CodelConfig::default()
        },
        ..FqCodelConfig::default()
    };
    let mut queue = FqCodel::new(config, (1, 2), 1500);
    for _ in 0..10 {
        queue.push(waiting(2, 100, 0), &mut counters);
    }
    for _ in 0..1000 {
        queue.push(waiting(1, 1500, 0), &mut counters);
        assert!(queue.len() <= 100);
    }
    assert_eq!(queue.len() as u64 + counters.queue_full, 1010);
    let out: Vec<u16> = core::iter::from_fn(|| queue.pop(at(0), &mut counters))
        .map(|w| port(w.frame.packet().unwrap()))
        .collect();
    assert_eq!(out.iter().filter(|port| **port == 2).count(), 10);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
    // Bytes have a limit of their own.
    let tight = FqCodelConfig {
        memory_limit: 10_000,
        ..FqCodelConfig::default()
    };
    let mut queue = FqCodel::new(tight, (1, 2), 1500);
    for _ in 0..100 {
        queue.push(waiting(1, 1500, 0), &mut counters);
        assert!(queue.bytes() <= 10_000);
    }
}

#[test]
fn only_the_flow_that_stands_is_dropped_from() {
    let mut counters = PipeCounters::default();
    let config = FqCodelConfig {
        codel: CodelConfig {
            limit: 100_000,
            ..CodelConfig::default()
        },
        memory_limit: u64::MAX,
        ..FqCodelConfig::default()
    };
    let mut queue = FqCodel::new(config, (1, 2), 1500);
    let mut out = [0; 3];
    // One leaves each millisecond; flow 1 sends twice that, flow 2 one in ten milliseconds.
    for t in 0..3000 {
        for _ in 0..2 {
            queue.push(waiting(1, 1500, t), &mut counters);
        }
        if t % 10 == 0 {
            queue.push(waiting(2, 100, t), &mut counters);
        }
        if let Some(waiting) = queue.pop(at(t), &mut counters) {
            out[usize::from(port(waiting.frame.packet().unwrap()))] += 1;
        }
    }
    assert_eq!(out[2], 300);
    assert!(counters.aqm_dropped > 20, "{counters:?}");
    assert_eq!(
        out[1] + out[2] + queue.len() as u64 + counters.aqm_dropped,
        6300
    );
}

#[test]
fn a_slow_link_gets_a_longer_target() {
    assert_eq!(
        target_for_rate(1_000_000_000, 1500),
        Duration::from_millis(5)
    );
    assert_eq!(target_for_rate(1_000_000, 1500), Duration::from_millis(18));
}
