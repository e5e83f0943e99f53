//! TCP over bad links, in virtual time. The larger table is the bench `links`.
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../benches/links/harness.rs"]
mod harness;

use std::time::Duration;

use harness::{
    Bottleneck, Outcome, Pair, Path, Table, fairness, shares, spread, transfer, unfairness,
};
use switchboard_engine::{Algorithm, Sysctl};

const MB: usize = 1_000_000;

/// What came of 2 MB with three seeds at each rate of loss. A change here is a change of behaviour: look at the bench.
const GOODPUT: &str = "\
loss %  least  middle  most
     0   61.6    61.6  61.6
   0.1   37.8    61.6  61.6
     1   12.3    35.2  57.5
     3    2.8     3.1   3.5
     5    1.7     2.2   2.2
    10    0.8     0.9   0.9
";

#[test]
fn goodput_over_loss() {
    let mut table = Table::default();
    table.row(["loss %", "least", "middle", "most"].map(String::from));
    for loss in [0.0, 0.1, 1.0, 3.0, 5.0, 10.0] {
        let all: Vec<Outcome> = (0..3)
            .map(|seed| transfer(seed, Path::new(loss), 2 * MB, |_| {}))
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

/// What a flow has, after four seconds, of a path that takes 2.5 MB: 100 ms at 200 Mbit/s.
fn share_of_long_path(tune: impl Fn(&mut Sysctl)) -> f64 {
    let long = Path {
        rtt: Duration::from_millis(100),
        bits_per_second: 200_000_000,
        queue: Bottleneck::Fifo(2000),
        ..Path::new(0.0)
    };
    let mut pair = Pair::new(1, long, tune);
    pair.start(usize::MAX / 2);
    let before = pair.run_for(Duration::from_secs(4))[0];
    let after = pair.run_for(Duration::from_secs(4))[0];
    (after - before) as f64 * 8.0 / 4.0 / (200e6 * 1448.0 / 1500.0)
}

#[test]
fn a_long_path_is_filled() {
    // Buffers and windows grow by themselves.
    let share = share_of_long_path(|_| {});
    assert!(share > 0.9, "{share}");
}

#[test]
fn buffers_that_may_not_grow_bound_it() {
    // tcp_rmem's default is 128 KiB, of which a part is window.
    let share = share_of_long_path(|s| s.tcp_moderate_rcvbuf = false);
    assert!((0.01..0.05).contains(&share), "{share}");
    let share = share_of_long_path(|s| s.tcp_rmem[2] = 1 << 20);
    assert!((0.1..0.4).contains(&share), "{share}");
    let share = share_of_long_path(|s| s.tcp_wmem[2] = 1 << 20);
    assert!((0.1..0.4).contains(&share), "{share}");
}

/// How far from its share the farthest of four flows is, in percent, and Jain's index, which is 1 when all have the same.
/// With a queue for each flow within seconds; with one for all within minutes, as the machine's own TCP (the bench
/// `kernel`): which flow is hit when it is full is chance, and who was hit grows back for seconds.
const SHARES: &str = "\
algorithm        queue  seconds  farthest %  Jain's index
     reno     FQ-CoDel       15         2.0         1.000
    cubic     FQ-CoDel       15         0.5         1.000
      bbr     FQ-CoDel       15         3.2         0.999
     reno  250 packets      200         3.2         1.000
    cubic  250 packets      200         6.9         0.998
";

#[test]
fn flows_share_a_bottleneck() {
    let mut table = Table::default();
    table.row(
        [
            "algorithm",
            "queue",
            "seconds",
            "farthest %",
            "Jain's index",
        ]
        .map(String::from),
    );
    let fair = Algorithm::ALL.iter().map(|a| (*a, Bottleneck::Fair, 15));
    let one = [Algorithm::Reno, Algorithm::Cubic].map(|a| (a, Bottleneck::Fifo(250), 200));
    for (algorithm, queue, seconds) in fair.chain(one) {
        let path = Path {
            queue,
            ..Path::new(0.0).jittery()
        };
        let from = Duration::from_secs(5);
        let to = from + Duration::from_secs(seconds);
        let bytes = shares(1, path, algorithm, from, to);
        let farthest = unfairness(&bytes);
        assert!(farthest < 0.1, "{algorithm:?} {queue} {bytes:?}");
        table.row([
            algorithm.name().to_owned(),
            format!("{queue}"),
            format!("{seconds}"),
            format!("{:.1}", farthest * 100.0),
            format!("{:.3}", fairness(&bytes)),
        ]);
    }
    let got = table.text();
    assert!(got == SHARES, "{got}");
}

#[test]
fn the_same_seed_gives_the_same_transfer() {
    let run = || transfer(5, Path::new(3.0), MB, |_| {}).took;
    assert_eq!(run(), run());
}
