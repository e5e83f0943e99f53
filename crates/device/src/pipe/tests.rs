use alloc::vec::Vec;

use switchboard_wire::{Body, SeqNum, TcpFlags, TcpOptions, TcpSegment};

use super::*;
use crate::testing::{at, ms, packet, port, random, thousand_a_second};
use crate::{CodelConfig, FifoConfig, FqCodelConfig};

mod random;

fn ports(arrived: &[(Instant, u16)]) -> Vec<u16> {
    arrived.iter().map(|(_, port)| *port).collect()
}

#[test]
fn a_plain_one_delivers_all_in_order_after_the_delay() {
    let config = PipeConfig {
        delay: Delay::fixed(ms(20)),
        ..PipeConfig::default()
    };
    let (arrived, pipe) = thousand_a_second(config, &mut random(1), 100);
    let expected: Vec<(Instant, u16)> = (0..100).map(|n| (at(u64::from(n) + 20), n)).collect();
    assert_eq!(arrived, expected);
    let counters = pipe.counters();
    assert_eq!(
        (counters.sent, counters.delivered, counters.dropped()),
        (100, 100, 0)
    );
    assert_eq!(
        (counters.sent_bytes, counters.delivered_bytes),
        (10_000, 10_000)
    );
}

/// Ten segments of 1460 bytes as one frame.
fn large() -> Frame {
    let Packet { ip, .. } = packet(1, 100);
    let body = Body::Tcp(TcpSegment {
        src_port: 9,
        dst_port: 80,
        seq: SeqNum(0),
        ack: SeqNum(8),
        flags: TcpFlags::ACK,
        window: 9,
        urgent: 0,
        options: TcpOptions::default(),
        payload: alloc::vec![1; 14_600].into(),
        gso: 1460,
    });
    Packet { ip, body }.into()
}

/// What comes of 100 of them, a millisecond apart: how many segments each frame is.
fn of_large(config: PipeConfig) -> (Vec<u32>, Pipe) {
    let mut random = random(1);
    let mut pipe = Pipe::new(config, &mut random);
    let mut arrived = Vec::new();
    for n in 0..200 {
        if n < 100 {
            pipe.send_frame(at(n), &mut random, large(), Label::default());
        }
        while let Some((_, frame, _)) = pipe.poll_frame(at(n), &mut random) {
            arrived.push(frame.segments());
        }
    }
    (arrived, pipe)
}

#[test]
fn segments_travel_as_one_where_nothing_acts_on_them() {
    let config = PipeConfig {
        delay: Delay::fixed(ms(20)),
        ..PipeConfig::default()
    };
    let (arrived, pipe) = of_large(config);
    assert_eq!(arrived, [10; 100]);
    // The counters are those of a wire.
    let c = pipe.counters();
    assert_eq!((c.sent, c.delivered), (1000, 1000));
    assert_eq!((c.sent_bytes, c.delivered_bytes), (1_500_000, 1_500_000));
}

#[test]
fn what_acts_on_packets_acts_on_each() {
    let plain = PipeConfig::default();
    let configs = [
        PipeConfig {
            loss: Loss::percent(10.0),
            ..plain
        },
        PipeConfig {
            duplicate: Chance::percent(10.0),
            ..plain
        },
        PipeConfig {
            corrupt: Chance::percent(10.0),
            ..plain
        },
        PipeConfig {
            rate: Some(Rate::bits(1_000_000_000)),
            ..plain
        },
        PipeConfig {
            delay: Delay {
                jitter: ms(1),
                ..Delay::fixed(ms(2))
            },
            ..plain
        },
        PipeConfig { limit: 9, ..plain },
        PipeConfig { mtu: 1000, ..plain },
    ];
    for config in configs {
        let (arrived, pipe) = of_large(config);
        assert!(arrived.iter().all(|segments| *segments == 1), "{config:?}");
        let c = pipe.counters();
        assert_eq!((c.sent, c.sent_bytes), (1000, 1_500_000), "{config:?}");
        assert_eq!(c.delivered, arrived.len() as u64);
        assert_eq!(
            c.sent + c.duplicated,
            c.delivered + c.dropped(),
            "{config:?}"
        );
        let told = [c.lost, c.duplicated, c.corrupted];
        let about = |n: u64| n == 0 || (60..140).contains(&n);
        assert!(told.into_iter().all(about), "{c:?}");
        if config.mtu == 1000 {
            assert_eq!(c.too_big, 1000);
        }
        if config.limit == 9 {
            assert_eq!((c.delivered, c.over_limit), (900, 100));
        }
    }
}

#[test]
fn what_goes_down_loses_every_segment() {
    let mut random = random(1);
    let config = PipeConfig {
        delay: Delay::fixed(ms(20)),
        ..PipeConfig::default()
    };
    let mut pipe = Pipe::new(config, &mut random);
    pipe.send_frame(at(0), &mut random, large(), Label::default());
    assert_eq!(pipe.under_way(), 10);
    let down = PipeConfig {
        up: false,
        ..config
    };
    pipe.change(at(1), &mut random, down);
    pipe.send_frame(at(2), &mut random, large(), Label::default());
    let c = pipe.counters();
    assert_eq!((c.sent, c.down, pipe.under_way()), (20, 20, 0));
}

#[test]
fn what_comes_in_comes_out_or_is_counted() {
    let config = PipeConfig {
        delay: Delay {
            jitter: ms(10),
            ..Delay::fixed(ms(20))
        },
        loss: Loss::percent(10.0),
        duplicate: Chance::percent(5.0),
        corrupt: Chance::percent(5.0),
        rate: Some(Rate::bits(700_000)),
        queue: QueueConfig::Fifo(FifoConfig {
            packets: 20,
            ..FifoConfig::default()
        }),
        limit: 30,
        ..PipeConfig::default()
    };
    for seed in 0..10 {
        let mut random = random(seed);
        let mut pipe = Pipe::new(config, &mut random);
        let mut delivered = 0;
        for n in 0..5000 {
            pipe.send(at(n), &mut random, packet(1, 100));
            delivered += core::iter::from_fn(|| pipe.poll_arrival(at(n), &mut random)).count();
        }
        let c = pipe.counters();
        let inside = (pipe.queued().0 + pipe.under_way()) as u64;
        assert_eq!(c.delivered, delivered as u64);
        assert_eq!(
            c.sent + c.duplicated,
            c.delivered + c.dropped() + inside,
            "{seed} {c:?}"
        );
        assert!(
            [c.lost, c.queue_full, c.corrupted, c.unreadable]
                .iter()
                .all(|n| *n > 0),
            "{c:?}"
        );
    }
}

#[test]
fn a_rate_takes_its_time_and_the_queue_its_place() {
    let config = PipeConfig {
        // A packet of 100 bytes takes 8 ms.
        rate: Some(Rate::bits(100_000)),
        delay: Delay::fixed(ms(5)),
        queue: QueueConfig::Fifo(FifoConfig {
            packets: 2,
            bytes: u64::MAX,
        }),
        ..PipeConfig::default()
    };
    let mut random = random(1);
    let mut pipe = Pipe::new(config, &mut random);
    for n in 0..4 {
        pipe.send(at(100), &mut random, packet(n, 100));
    }
    assert_eq!((pipe.queued(), pipe.under_way()), ((2, 200), 1));
    assert_eq!(pipe.poll_timeout(), Some(at(108)));
    // Asked late, it says when it happened.
    let mut arrived = Vec::new();
    while let Some((at, packet)) = pipe.poll_arrival(at(1000), &mut random) {
        arrived.push((at, port(&packet)));
    }
    assert_eq!(arrived, [(at(113), 0), (at(121), 1), (at(129), 2)]);
    assert_eq!(pipe.counters().queue_full, 1);
    // The transmitter rests, and a later packet takes its own time only.
    pipe.send(at(2000), &mut random, packet(9, 100));
    assert_eq!(pipe.poll_timeout(), Some(at(2013)));
    let overhead = Rate {
        overhead: 25,
        ..Rate::bits(100_000)
    };
    assert_eq!(overhead.time(100), ms(10));
}

#[test]
fn each_gapth_packet_overtakes() {
    let config = PipeConfig {
        delay: Delay::fixed(ms(10)),
        reorder: Reorder {
            chance: Chance::percent(100.0),
            gap: 5,
        },
        ..PipeConfig::default()
    };
    let (arrived, pipe) = thousand_a_second(config, &mut random(1), 100);
    assert_eq!(pipe.counters().reordered, 20);
    assert_eq!(&ports(&arrived)[..4], [4, 9, 0, 1]);
    let early = arrived.iter().filter(|(t, n)| *t == at((*n).into()));
    assert!(early.map(|(_, n)| n % 5).all(|n| n == 4));
}

#[test]
fn duplicates_arrive_twice() {
    let config = PipeConfig {
        duplicate: Chance::percent(10.0),
        ..PipeConfig::default()
    };
    let (arrived, pipe) = thousand_a_second(config, &mut random(1), 10_000);
    let twice = arrived.windows(2).filter(|two| two[0] == two[1]).count() as u64;
    assert_eq!(twice, pipe.counters().duplicated);
    assert!((900..1100).contains(&twice), "{twice}");
}

#[test]
fn loss_marks_who_speaks_ecn() {
    let config = PipeConfig {
        loss: Loss::percent(50.0),
        loss_marks: true,
        ..PipeConfig::default()
    };
    let mut random = random(1);
    let mut pipe = Pipe::new(config, &mut random);
    for n in 0..1000 {
        let mut packet = packet(n, 100);
        packet.ip.tos = u8::from(n % 2 == 0) * 2;
        pipe.send(at(0), &mut random, packet);
    }
    let c = pipe.counters();
    assert_eq!(c.delivered + pipe.under_way() as u64 + c.lost, 1000);
    assert!(
        (200..300).contains(&c.lost) && (200..300).contains(&c.marked),
        "{c:?}"
    );
}

#[test]
fn too_big_or_down_is_lost() {
    let mut random = random(1);
    let mut pipe = Pipe::new(PipeConfig::default(), &mut random);
    pipe.send(at(0), &mut random, packet(1, 1501));
    pipe.send(at(0), &mut random, packet(2, 1500));
    let down = PipeConfig {
        up: false,
        ..PipeConfig::default()
    };
    pipe.change(at(0), &mut random, down);
    pipe.send(at(1), &mut random, packet(3, 100));
    pipe.change(at(2), &mut random, PipeConfig::default());
    pipe.send(at(2), &mut random, packet(4, 100));
    let arrived = pipe.poll_arrival(at(2), &mut random).unwrap();
    assert_eq!((arrived.0, port(&arrived.1)), (at(2), 4));
    assert_eq!((pipe.counters().too_big, pipe.counters().down), (1, 2));
    assert_eq!(pipe.poll_timeout(), None);
}

#[test]
fn it_changes_while_it_runs() {
    let mut random = random(1);
    let slow = PipeConfig {
        rate: Some(Rate::bits(8_000)),
        ..PipeConfig::default()
    };
    for queue in [
        QueueConfig::default(),
        QueueConfig::Codel(CodelConfig::default()),
        QueueConfig::FqCodel(FqCodelConfig::default()),
    ] {
        let mut pipe = Pipe::new(slow, &mut random);
        for n in 0..10 {
            pipe.send(at(0), &mut random, packet(n, 100));
        }
        // Two have left at 250 ms; the third is being sent.
        pipe.change(at(250), &mut random, PipeConfig { queue, ..slow });
        assert_eq!(pipe.queued().0, 7, "{queue:?}");
        let fast = PipeConfig {
            queue,
            ..PipeConfig::default()
        };
        pipe.change(at(250), &mut random, fast);
        assert_eq!(pipe.queued().0, 0);
        let mut arrived = Vec::new();
        while let Some((_, packet)) = pipe.poll_arrival(at(300), &mut random) {
            arrived.push(port(&packet));
        }
        // Those that waited have left at once, before the one that was being sent. Flows have no order among them.
        if matches!(queue, QueueConfig::FqCodel(_)) {
            arrived[2..9].sort_unstable();
        }
        assert_eq!(arrived, [0, 1, 3, 4, 5, 6, 7, 8, 9, 2]);
    }
}

#[test]
fn the_same_seed_does_the_same() {
    let config = PipeConfig {
        delay: Delay {
            jitter: ms(15),
            ..Delay::fixed(ms(20))
        },
        loss: Loss::percent(10.0),
        duplicate: Chance::percent(5.0),
        ..PipeConfig::default()
    };
    let run = |seed| thousand_a_second(config, &mut random(seed), 2000).0;
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn codel_keeps_the_queue_short_and_a_fifo_does_not() {
    let longest = |queue| {
        let config = PipeConfig {
            // One packet of 1000 bytes each millisecond.
            rate: Some(Rate::bits(8_000_000)),
            queue,
            ..PipeConfig::default()
        };
        let mut random = random(1);
        let mut pipe = Pipe::new(config, &mut random);
        let mut window = 10.0;
        let (mut longest, mut in_flight, mut seen) = (0, 0u64, 0);
        // A sender that halves its window when something is dropped, and adds to it otherwise.
        for t in 0..20_000 {
            while pipe.poll_arrival(at(t), &mut random).is_some() {
                in_flight -= 1;
                window += 1.0 / window;
            }
            let dropped = pipe.counters().dropped();
            if dropped > seen {
                in_flight -= dropped - seen;
                seen = dropped;
                window = f64::max(window / 2.0, 2.0);
            }
            while (in_flight as f64) < window {
                pipe.send(at(t), &mut random, packet(1, 1000));
                in_flight += 1;
                if in_flight > 10_000 {
                    break;
                }
            }
            if t > 5000 {
                longest = longest.max(pipe.queued().0);
            }
        }
        longest
    };
    let fifo = longest(QueueConfig::default());
    let codel = longest(QueueConfig::Codel(CodelConfig::default()));
    assert!(codel * 2 < fifo, "{codel} {fifo}");
}

#[test]
fn what_was_being_transmitted_when_it_went_down_keeps_nobody_waiting() {
    // A packet of 100 bytes takes 800 ms.
    let slow = PipeConfig {
        rate: Some(Rate::bits(1000)),
        ..PipeConfig::default()
    };
    let mut random = random(1);
    let mut pipe = Pipe::new(slow, &mut random);
    for n in 0..3 {
        pipe.send(at(0), &mut random, packet(n, 100));
    }
    let down = PipeConfig { up: false, ..slow };
    pipe.change(at(10), &mut random, down);
    pipe.change(at(20), &mut random, slow);
    pipe.send(at(30), &mut random, packet(7, 100));
    let (arrival, arrived) = pipe.poll_arrival(at(2000), &mut random).unwrap();
    assert_eq!((arrival, port(&arrived)), (at(830), 7));
    assert_eq!(pipe.counters().down, 3);
}
