use alloc::vec::Vec;

use super::*;
use crate::Label;
use crate::testing::{at, ms, packet, port};

/// RFC 8289's pseudo code once more, as plainly as it stands there, over times in nanoseconds: which packets are dropped.
struct Reference {
    queue: alloc::collections::VecDeque<(u64, u16)>,
    first_above_time: u64,
    drop_next: u64,
    count: u32,
    lastcount: u32,
    dropping: bool,
    dropped: Vec<u16>,
}

const LEN: usize = 1000;
const MAXPACKET: usize = 1500;
const TARGET: u64 = 5_000_000;
const INTERVAL: u64 = 100_000_000;

impl Reference {
    fn dodequeue(&mut self, now: u64) -> (Option<(u64, u16)>, bool) {
        let Some(p) = self.queue.pop_front() else {
            self.first_above_time = 0;
            return (None, false);
        };
        if now - p.0 < TARGET || self.queue.len() * LEN <= MAXPACKET {
            self.first_above_time = 0;
        } else if self.first_above_time == 0 {
            self.first_above_time = now + INTERVAL;
        } else if now >= self.first_above_time {
            return (Some(p), true);
        }
        (Some(p), false)
    }

    fn law(t: u64, count: u32) -> u64 {
        t + (INTERVAL as f64 / libm::sqrt(f64::from(count))) as u64
    }

    fn deque(&mut self, now: u64) -> Option<u16> {
        let (mut p, mut ok) = self.dodequeue(now);
        if self.dropping {
            if !ok {
                self.dropping = false;
            }
            while now >= self.drop_next && self.dropping {
                self.dropped.extend(p.map(|p| p.1));
                self.count += 1;
                (p, ok) = self.dodequeue(now);
                if ok {
                    self.drop_next = Self::law(self.drop_next, self.count);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok {
            self.dropped.extend(p.map(|p| p.1));
            (p, _) = self.dodequeue(now);
            self.dropping = true;
            let delta = self.count - self.lastcount;
            self.count = 1;
            if delta > 1 && now - self.drop_next < 16 * INTERVAL {
                self.count = delta;
            }
            self.drop_next = Self::law(now, self.count);
            self.lastcount = self.count;
        }
        p.map(|p| p.1)
    }
}

/// Packets come as `load` says how many at each millisecond, and one leaves each millisecond.
fn trace(config: CodelConfig, tos: u8, load: impl Fn(u64) -> usize) -> (Vec<u16>, PipeCounters) {
    let mut counters = PipeCounters::default();
    let mut codel = Codel::new(config, MAXPACKET as u32);
    let mut reference = Reference {
        queue: Default::default(),
        first_above_time: 0,
        drop_next: 0,
        count: 0,
        lastcount: 0,
        dropping: false,
        dropped: Vec::new(),
    };
    let (mut sent, mut out) = (0, Vec::new());
    for t in 1..4000 {
        for _ in 0..load(t) {
            let mut packet = packet(sent, LEN);
            packet.ip.tos = tos;
            let (len, since) = (LEN as u32, at(t));
            let label = Label::default();
            codel.push(
                Waiting {
                    frame: packet.into(),
                    len,
                    since,
                    label,
                },
                &mut counters,
            );
            reference.queue.push_back((at(t).as_nanos(), sent));
            sent += 1;
        }
        let ours = codel
            .pop(at(t), &mut counters)
            .map(|w| port(w.frame.packet().unwrap()));
        if !config.ecn || tos == 0 {
            assert_eq!(ours, reference.deque(at(t).as_nanos()), "at {t} ms");
        }
        out.extend(ours);
    }
    if !config.ecn || tos == 0 {
        assert_eq!(counters.aqm_dropped, reference.dropped.len() as u64);
    }
    (out, counters)
}

const BIG: CodelConfig = CodelConfig {
    target: Duration::from_nanos(TARGET),
    interval: Duration::from_nanos(INTERVAL),
    ecn: true,
    ce_threshold: None,
    limit: 100_000,
};

#[test]
fn it_drops_what_the_rfc_drops() {
    // A burst that drains; a little too much for long; far too much; waves.
    let loads: [fn(u64) -> usize; 4] = [
        |t| if t == 10 { 80 } else { 0 },
        |t| 1 + usize::from(t % 10 == 0 && t < 2500),
        |t| if t < 1000 { 2 } else { 0 },
        |t| {
            if t / 300 % 2 == 0 {
                2
            } else {
                usize::from(t % 3 == 0)
            }
        },
    ];
    let dropped = loads.map(|load| trace(BIG, 0, load).1.aqm_dropped);
    // A burst that is gone within the interval costs nothing.
    assert_eq!(dropped[0], 0);
    assert!(dropped[1..].iter().all(|n| *n > 5), "{dropped:?}");
}

#[test]
fn who_speaks_ecn_is_marked_and_loses_nothing() {
    let load = |t| if t < 1000 { 2 } else { 0 };
    let (out, counters) = trace(BIG, 2, load);
    assert_eq!(counters.aqm_dropped, 0);
    assert!(counters.marked > 5);
    assert_eq!(out.len(), 2 * 999);
}

#[test]
fn the_threshold_marks_what_waited_longer() {
    let config = CodelConfig {
        ce_threshold: Some(ms(2)),
        ..BIG
    };
    // Five at once, each ten milliseconds: the last two of them wait three and four.
    let (out, counters) = trace(config, 1, |t| if t % 10 == 0 { 5 } else { 0 });
    assert_eq!(counters.marked, out.len() as u64 * 2 / 5);
}

#[test]
fn the_limit_is_drop_tail() {
    let config = CodelConfig { limit: 3, ..BIG };
    let mut counters = PipeCounters::default();
    let mut codel = Codel::new(config, 1500);
    for n in 0..5 {
        let (packet, len, since) = (packet(n, LEN), LEN as u32, at(0));
        let label = Label::default();
        codel.push(
            Waiting {
                frame: packet.into(),
                len,
                since,
                label,
            },
            &mut counters,
        );
    }
    assert_eq!((codel.len(), counters.queue_full), (3, 2));
}
