//! What packets go through, in virtual time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use switchboard_wire::Frame;

use super::*;
use crate::testing::{at, packet};
use crate::{Delay, Loss, PipeConfig};

fn frame(n: u16) -> Frame {
    packet(n, 60).into()
}

fn netem(pipe: PipeConfig) -> Discipline {
    Discipline::Netem(Box::new(NetemConfig { pipe, table: None }))
}

fn delay(ms: u64) -> PipeConfig {
    PipeConfig {
        delay: Delay::fixed(Duration::from_millis(ms)),
        limit: 1000,
        ..PipeConfig::default()
    }
}

fn drain(chain: &mut QdiscChain, now: Instant) -> usize {
    core::iter::from_fn(|| chain.dequeue(now)).count()
}

#[test]
fn netem_delays_and_counts() {
    let mut chain = QdiscChain::new(14, 1500);
    assert!(chain.graft(0, &netem(delay(50)), 1));
    let len = frame(1).wire_len() as u64 + 14;
    for n in 0..3 {
        chain.enqueue(at(0), frame(n), Label::default());
    }
    assert_eq!(drain(&mut chain, at(49)), 0);
    assert_eq!(chain.poll_timeout(), Some(at(50)));
    assert_eq!(
        chain.len_at(0),
        QdiscLen {
            packets: 3,
            bytes: 3 * len
        }
    );
    assert_eq!(drain(&mut chain, at(50)), 3);
    assert_eq!((chain.poll_timeout(), chain.is_empty()), (None, true));
    let counters = chain.counters(0);
    assert_eq!(
        (counters.packets, counters.bytes, counters.drops),
        (3, 3 * len, 0)
    );
}

#[test]
fn netem_has_one_limit_and_loses() {
    let mut chain = QdiscChain::new(14, 1500);
    let config = PipeConfig {
        limit: 2,
        ..delay(10)
    };
    chain.graft(0, &netem(config), 1);
    for n in 0..5 {
        chain.enqueue(at(0), frame(n), Label::default());
    }
    assert_eq!(drain(&mut chain, at(10)), 2);
    assert_eq!(chain.counters(0).drops, 3);
    let config = PipeConfig {
        loss: Loss::percent(100.0),
        ..delay(10)
    };
    assert!(chain.change(at(10), 0, &netem(config), 2));
    chain.enqueue(at(10), frame(9), Label::default());
    assert_eq!((drain(&mut chain, at(30)), chain.counters(0).drops), (0, 4));
    assert!(
        !chain.change(at(10), 0, &Discipline::NoQueue, 2),
        "another kind"
    );
}

#[test]
fn a_table_spreads_delays() {
    let mut chain = QdiscChain::new(14, 1500);
    let mut pipe = delay(100);
    pipe.delay.jitter = Duration::from_millis(10);
    // One jitter more, always.
    let table: Arc<[i16]> = Arc::from([8192i16]);
    let config = NetemConfig {
        pipe,
        table: Some(table),
    };
    chain.graft(0, &Discipline::Netem(Box::new(config)), 1);
    chain.enqueue(at(0), frame(1), Label::default());
    assert_eq!(chain.poll_timeout(), Some(at(110)));
}

fn tbf(limit: u32) -> Discipline {
    let rate = RateSpec {
        bytes_per_second: 1000,
        overhead: 0,
        mpu: 0,
        atm: false,
    };
    Discipline::Tbf(TbfConfig {
        rate,
        buffer: rate.nanos(200),
        peak: None,
        largest: 200,
        limit,
    })
}

#[test]
fn tbf_sends_a_burst_and_then_by_its_rate() {
    let mut chain = QdiscChain::new(14, 1500);
    chain.graft(0, &tbf(10_000), 1);
    let len = frame(1).wire_len() as u64 + 14;
    let burst = 200 / len;
    for n in 0..20 {
        chain.enqueue(at(0), frame(n), Label::default());
    }
    let mut times = Vec::new();
    let mut now = at(0);
    while !chain.is_empty() {
        for _ in 0..drain(&mut chain, now) {
            times.push(now);
        }
        now = chain.poll_timeout().unwrap_or(now);
    }
    assert_eq!(times.iter().filter(|t| **t == at(0)).count() as u64, burst);
    // 20 packets, less the burst, at a byte each millisecond.
    let last = times[19];
    assert_eq!(last, at(20 * len - 200));
    let counters = chain.counters(0);
    assert_eq!((counters.packets, counters.drops), (20, 0));
    assert!(counters.overlimits >= 20 - burst);
}

#[test]
fn tbf_drops_what_is_too_much_or_too_long() {
    let mut chain = QdiscChain::new(14, 1500);
    let len = frame(1).wire_len() as u32 + 14;
    chain.graft(0, &tbf(2 * len), 1);
    for n in 0..5 {
        chain.enqueue(at(0), frame(n), Label::default());
    }
    assert_eq!(chain.counters(0).drops, 3);
    // A child that was taken away leaves nothing to wait in.
    chain.graft(1, &netem(delay(1)), 1);
    chain.cut(1);
    chain.enqueue(at(0), frame(1), Label::default());
    assert_eq!((chain.counters(0).drops, chain.is_empty()), (4, true));
}

#[test]
fn disciplines_stand_behind_each_other() {
    let mut chain = QdiscChain::new(14, 1500);
    assert!(!chain.graft(1, &tbf(1000), 1), "behind nothing");
    chain.graft(0, &tbf(1000), 1);
    chain.graft(1, &netem(delay(20)), 1);
    chain.enqueue(at(0), frame(1), Label::default());
    assert_eq!(
        (drain(&mut chain, at(0)), chain.poll_timeout()),
        (0, Some(at(20)))
    );
    assert_eq!(drain(&mut chain, at(20)), 1);
    for place in 0..2 {
        assert_eq!(chain.counters(place).packets, 1);
    }
    chain.enqueue(at(20), frame(1), Label::default());
    assert!(chain.clear(at(20)));
    assert_eq!((drain(&mut chain, at(99)), chain.is_empty()), (0, true));
}

#[test]
fn what_the_child_has_no_room_for_both_dropped() {
    let mut chain = QdiscChain::new(14, 1500);
    chain.graft(0, &tbf(1000), 1);
    let config = PipeConfig {
        limit: 1,
        ..delay(20)
    };
    chain.graft(1, &netem(config), 1);
    for n in 0..3 {
        chain.enqueue(at(0), frame(n), Label::default());
    }
    assert_eq!([0, 1].map(|place| chain.counters(place).drops), [2, 2]);
}

#[test]
fn bands_are_by_priority() {
    let mut chain = QdiscChain::new(14, 1500);
    chain.graft(0, &Discipline::Bands(1), 1);
    for priority in [2, 0, 6, 6] {
        let mut label = Label::default();
        label.tag.priority = priority;
        chain.enqueue(at(0), frame(priority as u16), label);
    }
    let order: Vec<u32> = core::iter::from_fn(|| chain.dequeue(at(0)))
        .map(|(_, label)| label.tag.priority)
        .collect();
    assert_eq!(order, [6, 0, 2]);
    assert_eq!(chain.counters(0).drops, 1);
}
