//! TCP over bad links, in virtual time: `cargo bench -p switchboard-device --bench links`.
//!
//! The figures depend on nothing but the code and the seeds.
#![allow(missing_docs, unreachable_pub, dead_code)]

mod harness;

use std::time::Duration;

use harness::{Bottleneck, Pair, Path, Table, fairness, spread, transfer, unfairness};
use switchboard_engine::Algorithm;

const MB: usize = 1_000_000;
const SEEDS: u64 = 10;

fn main() {
    // `cargo test` calls benches too.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    for algorithm in Algorithm::ALL {
        losses(*algorithm);
    }
    round_trips();
    shares();
}

fn losses(algorithm: Algorithm) {
    println!("20 MB, 100 Mbit/s, RTT 20 ms, {}: Mbit/s", algorithm.name());
    let mut table = Table::default();
    table.row(
        [
            "loss %",
            "least",
            "middle",
            "most",
            "longest stall ms",
            "RTO then ms",
            "sent again",
        ]
        .map(String::from),
    );
    for loss_percent in [0.0, 0.1, 1.0, 3.0, 5.0, 10.0] {
        let path = Path::new(loss_percent);
        let all: Vec<_> = (0..SEEDS)
            .map(|seed| {
                transfer(seed, path, 20 * MB, |s| {
                    s.tcp_congestion_control = algorithm
                })
            })
            .collect();
        let (least, middle, most) = spread(&all);
        let worst = all.iter().max_by_key(|o| o.stall).expect("seeds");
        table.row([
            format!("{loss_percent}"),
            format!("{least:.2}"),
            format!("{middle:.2}"),
            format!("{most:.2}"),
            format!("{}", worst.stall.as_millis()),
            format!("{}", worst.rto.as_millis()),
            format!("{}", all.iter().map(|o| o.info.total_retrans).sum::<u32>()),
        ]);
    }
    println!("{}", table.text());
}

fn round_trips() {
    println!("1 Gbit/s without loss, 30 s after the first 10");
    let mut table = Table::default();
    table.row(["RTT ms", "% of the link"].map(String::from));
    for ms in [1, 10, 30, 100, 300] {
        let share = steady_share(ms, 1_000_000_000);
        table.row([format!("{ms}"), format!("{:.1}", share * 100.0)]);
    }
    println!("{}", table.text());
}

/// What one flow has of the link once it has started.
fn steady_share(ms: u64, bits_per_second: u64) -> f64 {
    let rtt = Duration::from_millis(ms);
    let bdp = bits_per_second as f64 * rtt.as_secs_f64() / 12_000.0;
    let path = Path {
        rtt,
        bits_per_second,
        queue: Bottleneck::Fifo((bdp as u32).max(1000)),
        ..Path::new(0.0)
    };
    let mut pair = Pair::new(1, path, |s| {
        s.tcp_wmem[2] = 512 << 20;
        s.tcp_rmem[2] = 256 << 20;
    });
    pair.start(usize::MAX / 2);
    let before = pair.run_for(Duration::from_secs(10))[0];
    let after = pair.run_for(Duration::from_secs(30))[0];
    // 40 bytes of headers and 12 of options in 1500.
    (after - before) as f64 * 8.0 / 30.0 / (bits_per_second as f64 * 1448.0 / 1500.0)
}

/// For five minutes, from starts that are some milliseconds apart: which flow is hit when one queue for all is full is chance, and
/// who was hit grows back for seconds, so that one run says little.
fn shares() {
    println!(
        "four flows, 100 Mbit/s, RTT 20 ms, five minutes after the first 10 s: the farthest from fair, %"
    );
    println!("(jitter: of a millisecond, on the way back; starts: how many were tried)");
    let mut table = Table::default();
    table.row(
        [
            "algorithm",
            "queue",
            "starts",
            "least",
            "middle",
            "most",
            "Jain's index",
        ]
        .map(String::from),
    );
    for algorithm in Algorithm::ALL {
        for (queue, starts) in [(Bottleneck::Fifo(250), SEEDS), (Bottleneck::Fair, 1)] {
            let plain = Path {
                queue,
                ..Path::new(0.0)
            };
            for (path, name) in [(plain, ""), (plain.jittery(), ", jitter")] {
                let (from, to) = (Duration::from_secs(10), Duration::from_secs(310));
                let mut all: Vec<(f64, f64)> = (1..=starts)
                    .map(|seed| {
                        let bytes = harness::shares(seed, path, *algorithm, from, to);
                        (unfairness(&bytes) * 100.0, fairness(&bytes))
                    })
                    .collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0));
                let middle = all[all.len() / 2];
                table.row([
                    algorithm.name().to_owned(),
                    format!("{queue}{name}"),
                    format!("{starts}"),
                    format!("{:.1}", all[0].0),
                    format!("{:.1}", middle.0),
                    format!("{:.1}", all[all.len() - 1].0),
                    format!("{:.3}", middle.1),
                ]);
            }
        }
    }
    println!("{}", table.text());
}
