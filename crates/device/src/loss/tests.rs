use alloc::vec::Vec;

use super::*;
use crate::testing::random;

fn run(loss: Loss) -> Vec<bool> {
    let (mut random, mut losses) = (random(4), Losses::default());
    (0..200_000)
        .map(|_| losses.is_lost(&mut random, &loss))
        .collect()
}

fn share(lost: &[bool]) -> f64 {
    lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64
}

/// The mean length of a run of losses.
fn burst(lost: &[bool]) -> f64 {
    let starts = lost.windows(2).filter(|two| !two[0] && two[1]).count();
    share(lost) * lost.len() as f64 / starts as f64
}

fn p(percent: f64) -> Probability {
    Probability::percent(percent)
}

#[test]
fn independent_losses_come_at_their_rate_and_alone() {
    let lost = run(Loss::percent(5.0));
    assert!((share(&lost) - 0.05).abs() < 0.003, "{}", share(&lost));
    assert!((burst(&lost) - 1.0 / 0.95).abs() < 0.02, "{}", burst(&lost));
    assert_eq!(share(&run(Loss::NONE)), 0.0);
}

#[test]
fn correlated_losses_come_in_bursts() {
    let chance = Chance {
        correlation: p(50.0),
        ..Chance::percent(20.0)
    };
    let lost = run(Loss::Random(chance));
    // Were each by itself, a burst would be as long as the share says.
    assert!(
        burst(&lost) > 1.15 / (1.0 - share(&lost)),
        "{} {}",
        burst(&lost),
        share(&lost)
    );
}

/// Of the time the bad state has p/(p+r); its runs last 1/r.
#[test]
fn gilbert_loses_what_the_formula_says() {
    let lost = run(Loss::gilbert(p(1.0), p(25.0)));
    let expected = 0.01 / 0.26;
    assert!((share(&lost) - expected).abs() < 0.004, "{}", share(&lost));
    assert!((burst(&lost) - 4.0).abs() < 0.3, "{}", burst(&lost));
}

#[test]
fn elliott_loses_in_both_states() {
    let lost = run(Loss::GilbertElliott {
        p: p(2.0),
        r: p(20.0),
        bad: p(60.0),
        good: p(1.0),
    });
    let bad = 0.02 / 0.22;
    let expected = bad * 0.6 + (1.0 - bad) * 0.01;
    assert!((share(&lost) - expected).abs() < 0.006, "{}", share(&lost));
}

/// The stationary distribution of the chain with four states, worked out from its balance equations.
#[test]
fn four_states_lose_what_the_chain_says() {
    let (p13, p31, p32, p23, p14) = (0.01, 0.2, 0.1, 0.3, 0.005);
    let lost = run(Loss::State {
        p13: Probability::new(p13),
        p31: Probability::new(p31),
        p32: Probability::new(p32),
        p23: Probability::new(p23),
        p14: Probability::new(p14),
    });
    // In units of the gap: what leaves a state comes into it.
    let burst_lost = p13 / p31;
    let burst_received = burst_lost * p32 / p23;
    let all = 1.0 + burst_lost + burst_received + p14;
    let expected = (burst_lost + p14) / all;
    assert!(
        (share(&lost) - expected).abs() < 0.006,
        "{} {expected}",
        share(&lost)
    );
}

#[test]
fn a_single_loss_is_single() {
    let none = Probability::NEVER;
    let lost = run(Loss::State {
        p13: none,
        p31: none,
        p32: none,
        p23: none,
        p14: p(50.0),
    });
    assert!(lost.windows(2).all(|two| !(two[0] && two[1])));
    assert!((share(&lost) - 1.0 / 3.0).abs() < 0.01);
}
