//! Any configuration, changed at any time: nothing is lost uncounted, nothing hangs, nothing goes back in time.

use alloc::boxed::Box;

use proptest::prelude::*;

use super::*;
use crate::{FifoConfig, Probability};

#[derive(Clone, Debug)]
enum Step {
    Send(u16, usize),
    Wait(u64),
    Change(Box<PipeConfig>),
}

fn chance() -> impl Strategy<Value = Chance> {
    let some = (0u8..=100, 0u8..=100).prop_map(|(percent, correlation)| Chance {
        correlation: Probability::percent(correlation.into()),
        ..Chance::percent(percent.into())
    });
    prop_oneof![3 => Just(Chance::NEVER), 1 => some]
}

fn queue() -> impl Strategy<Value = QueueConfig> {
    let fifo = (0u32..20, 0u64..20_000)
        .prop_map(|(packets, bytes)| QueueConfig::Fifo(FifoConfig { packets, bytes }));
    let codel = || {
        (0u64..20, 0u64..200, any::<bool>(), 0u32..50).prop_map(|(target, interval, ecn, limit)| {
            CodelConfig {
                target: ms(target),
                interval: ms(interval),
                ecn,
                ce_threshold: ecn.then(|| ms(target / 2)),
                limit,
            }
        })
    };
    let flows = (codel(), 0u32..4, 0u32..3000, 0u64..50_000).prop_map(
        |(codel, flows, quantum, memory_limit)| {
            QueueConfig::FqCodel(FqCodelConfig {
                codel,
                flows,
                quantum,
                memory_limit,
            })
        },
    );
    prop_oneof![fifo, codel().prop_map(QueueConfig::Codel), flows]
}

fn config() -> impl Strategy<Value = PipeConfig> {
    let times = (0u64..100, 0u64..100, 0u8..=100, 0usize..4);
    let delay = times.prop_map(|(delay, jitter, correlation, distribution)| Delay {
        delay: ms(delay),
        jitter: ms(jitter),
        correlation: Probability::percent(correlation.into()),
        distribution: [
            crate::Distribution::Uniform,
            crate::Distribution::Normal,
            crate::Distribution::Pareto,
            crate::Distribution::ParetoNormal,
        ][distribution],
    });
    let loss = prop_oneof![
        chance().prop_map(Loss::Random),
        (0u8..=100, 0u8..=100).prop_map(|(p, r)| {
            Loss::gilbert(
                Probability::percent(p.into()),
                Probability::percent(r.into()),
            )
        }),
    ];
    let rate = prop_oneof![
        Just(None),
        (0u64..10_000_000).prop_map(|bits| Some(Rate::bits(bits)))
    ];
    let rest = (
        any::<bool>(),
        0u32..40,
        20u32..2000,
        prop::bool::weighted(0.9),
        0u32..5,
    );
    (
        delay,
        loss,
        [chance(), chance(), chance()],
        rate,
        queue(),
        rest,
    )
        .prop_map(
            |(delay, loss, [duplicate, corrupt, reorder], rate, queue, rest)| {
                let (loss_marks, limit, mtu, up, gap) = rest;
                PipeConfig {
                    delay,
                    loss,
                    loss_marks,
                    duplicate,
                    corrupt,
                    reorder: Reorder {
                        chance: reorder,
                        gap,
                    },
                    rate,
                    queue,
                    limit,
                    mtu,
                    up,
                }
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u16..5, 28usize..1600).prop_map(|(port, len)| Step::Send(port, len)),
        3 => (0u64..50).prop_map(Step::Wait),
        1 => config().prop_map(|config| Step::Change(Box::new(config))),
    ]
}

proptest! {
    #[test]
    fn what_is_sent_is_accounted_for(
        seed in any::<u8>(),
        first in config(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut random = random(seed);
        let mut pipe = Pipe::new(first, &mut random);
        let mut now = at(0);
        let mut last = Instant::BOOT;
        for step in steps {
            match step {
                Step::Send(port, len) => pipe.send(now, &mut random, packet(port, len)),
                Step::Wait(time) => now += ms(time),
                Step::Change(config) => pipe.change(now, &mut random, *config),
            }
            while let Some((at, _)) = pipe.poll_arrival(now, &mut random) {
                prop_assert!(at >= last && at <= now);
                last = at;
            }
            // What was due is done.
            prop_assert!(pipe.poll_timeout().is_none_or(|at| at > now));
            let c = pipe.counters();
            let inside = (pipe.queued().0 + pipe.under_way()) as u64;
            prop_assert_eq!(c.sent + c.duplicated, c.delivered + c.dropped() + inside);
            prop_assert!(pipe.queued().1 >= 28 * pipe.queued().0 as u64);
        }
        // Left alone it becomes empty.
        let quiet = PipeConfig { rate: None, ..*pipe.config() };
        pipe.change(now, &mut random, quiet);
        while let Some(at) = pipe.poll_timeout() {
            while pipe.poll_arrival(at, &mut random).is_some() {}
        }
        prop_assert_eq!((pipe.queued(), pipe.under_way()), ((0, 0), 0));
    }
}
