use alloc::vec::Vec;

use super::*;
use crate::testing::{at, ms, random};

/// Delays in milliseconds.
fn delays(config: Delay) -> Vec<f64> {
    let (mut random, mut delays) = (random(3), Delays::default());
    (0..50_000)
        .map(|_| {
            let arrival = delays.arrival(&mut random, &config, at(1000));
            arrival.saturating_sub(at(1000)).as_nanos() as f64 / 1e6
        })
        .collect()
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    (mean, libm::sqrt(square))
}

fn jitter(distribution: Distribution) -> Delay {
    Delay {
        delay: ms(100),
        jitter: ms(10),
        correlation: Probability::NEVER,
        distribution,
    }
}

#[test]
fn without_jitter_it_is_always_the_same() {
    assert!(delays(Delay::fixed(ms(7))).iter().all(|d| *d == 7.0));
}

#[test]
fn each_distribution_has_the_moments_of_its_table() {
    // Mean and standard deviation of the tables of tc(8), in jitters; the uniform one's is 2/sqrt(12).
    for (distribution, mean, deviation) in [
        (Distribution::Uniform, 0.0, 0.577),
        (Distribution::Normal, 0.0, 1.0),
        (Distribution::Pareto, -0.033, 0.820),
        (Distribution::ParetoNormal, -0.025, 0.834),
    ] {
        let (found, spread) = mean_and_deviation(&delays(jitter(distribution)));
        assert!(
            (found - 100.0 - mean * 10.0).abs() < 0.2,
            "{distribution:?} {found}"
        );
        assert!(
            (spread - deviation * 10.0).abs() < 0.2,
            "{distribution:?} {spread}"
        );
    }
}

/// Entries of the tables that tc(8) reads: normal.dist, pareto.dist, paretonormal.dist.
#[test]
fn the_tables_are_those_of_tc() {
    for (distribution, entry, theirs) in [
        (Distribution::Normal, 100, -16_135),
        (Distribution::Normal, 2048, 0),
        (Distribution::Normal, 4000, 16_285),
        (Distribution::Pareto, 0, -5461),
        (Distribution::Pareto, 2048, -2622),
        (Distribution::Pareto, 4000, 21_783),
        (Distribution::Pareto, 4095, 32_767),
        (Distribution::ParetoNormal, 100, -8062),
        (Distribution::ParetoNormal, 4000, 20_408),
    ] {
        let ours = distribution.deviation(entry).unwrap() * 8192.0;
        assert!(
            (ours - f64::from(theirs)).abs() < 40.0,
            "{distribution:?} {entry} {ours}"
        );
    }
}

#[test]
fn nothing_arrives_before_it_is_sent() {
    let config = Delay {
        delay: ms(1),
        jitter: Duration::MAX,
        ..jitter(Distribution::Normal)
    };
    assert!(delays(config).contains(&0.0));
    assert!(
        delays(Delay {
            delay: ms(1),
            ..jitter(Distribution::Uniform)
        })
        .contains(&0.0)
    );
}

#[test]
fn correlated_delays_are_near_the_last_one() {
    let step = |correlation| {
        let delays = delays(Delay {
            correlation: Probability::new(correlation),
            ..jitter(Distribution::Uniform)
        });
        let steps = delays.windows(2).map(|two| (two[1] - two[0]).abs());
        steps.sum::<f64>() / delays.len() as f64
    };
    assert!(step(0.9) < step(0.0) / 3.0);
}
