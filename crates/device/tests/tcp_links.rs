//! TCP over bad links, in virtual time. The larger table is the bench `links`.
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../benches/links/harness.rs"]
mod harness;

use std::time::Duration;

use harness::{Outcome, Pair, Path, Table, fairness, spread, transfer};

const MB: usize = 1_000_000;

fn path(loss_percent: f64) -> Path {
    Path {
        rtt: Duration::from_millis(20),
        bits_per_second: 100_000_000,
        loss_percent,
        queue: 1000,
    }
}

/// What came of 2 MB with three seeds at each rate of loss. A change here is a change of behaviour: look at the bench.
const GOODPUT: &str = "\
loss %  least  middle  most
     0   58.5    58.5  58.5
   0.1   37.6    55.3  58.5
     1    9.4    16.8  46.9
     3    3.1     3.1   3.5
     5    1.8     1.9   2.1
    10    0.6     0.8   0.9
";

#[test]
fn goodput_over_loss() {
    let mut table = Table::default();
    table.row(["loss %", "least", "middle", "most"].map(String::from));
    for loss in [0.0, 0.1, 1.0, 3.0, 5.0, 10.0] {
        let all: Vec<Outcome> = (0..3)
            .map(|seed| transfer(seed, path(loss), 2 * MB, |_| {}))
            .collect();
        for outcome in &all {
            // No stall is longer than the timeout that the RFC asks for, and its doublings so far.
            let limit =
                outcome.rto.max(Duration::from_millis(230)) * 2 + Duration::from_millis(100);
            assert!(outcome.stall <= limit, "{outcome:?}");
        }
        let (least, middle, most) = spread(&all);
        table.row([
            format!("{loss}"),
            format!("{least:.1}"),
            format!("{middle:.1}"),
            format!("{most:.1}"),
        ]);
    }
    let got = table.text();
    assert!(got == GOODPUT, "{got}");
}

#[test]
fn a_long_path_is_filled() {
    // 100 ms at 200 Mbit/s are 2.5 MB: buffers and windows grow by themselves.
    let long = Path {
        rtt: Duration::from_millis(100),
        bits_per_second: 200_000_000,
        loss_percent: 0.0,
        queue: 2000,
    };
    let mut pair = Pair::new(1, long, |_| {});
    pair.start(usize::MAX / 2);
    let before = pair.run_for(Duration::from_secs(4))[0];
    let after = pair.run_for(Duration::from_secs(4))[0];
    let share = (after - before) as f64 * 8.0 / 4.0 / (200e6 * 1448.0 / 1500.0);
    assert!(share > 0.9, "{share}");
}

#[test]
fn flows_share_a_bottleneck() {
    let mut pair = Pair::new(
        1,
        Path {
            queue: 250,
            ..path(0.0)
        },
        |_| {},
    );
    for _ in 0..4 {
        pair.start(usize::MAX / 2);
        pair.run_for(Duration::from_millis(100));
    }
    let before = pair.run_for(Duration::from_secs(5));
    let after = pair.run_for(Duration::from_secs(20));
    let bytes: Vec<usize> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
    // Jain's index, which is 1 when all have the same; CUBIC takes minutes to get there. The bench shows how far it is
    // after one.
    let index = fairness(&bytes);
    assert!(index > 0.8, "{index} {bytes:?}");
}

#[test]
fn the_same_seed_gives_the_same_transfer() {
    let run = || transfer(5, path(3.0), MB, |_| {}).took;
    assert_eq!(run(), run());
}
