use super::*;
use crate::testing::random;

const DRAWS: u32 = 100_000;

fn share(chance: Chance) -> f64 {
    let mut random = random(1);
    let mut numbers = Correlated::default();
    let hits = (0..DRAWS).filter(|_| numbers.happens(&mut random, chance));
    hits.count() as f64 / f64::from(DRAWS)
}

#[test]
fn it_happens_as_often_as_it_says() {
    for percent in [0.0, 0.1, 1.0, 10.0, 50.0, 99.0, 100.0] {
        let share = share(Chance::percent(percent)) * 100.0;
        // Four standard deviations.
        let off = 4.0 * libm::sqrt(percent * (100.0 - percent) / f64::from(DRAWS));
        assert!((share - percent).abs() <= off, "{percent} {share}");
    }
}

#[test]
fn what_is_no_probability_is_the_nearest() {
    assert_eq!(Probability::new(-1.0), Probability::NEVER);
    assert_eq!(Probability::new(f64::NAN), Probability::NEVER);
    assert_eq!(Probability::percent(200.0), Probability::ALWAYS);
    assert_eq!(Probability::ALWAYS.as_f64(), 1.0);
}

#[test]
fn numbers_depend_on_the_last_one_as_much_as_they_say() {
    for rho in [0.0, 0.25, 0.9] {
        let (mut random, correlation) = (random(2), Probability::new(rho));
        let mut numbers = Correlated::default();
        let draws: alloc::vec::Vec<f64> = (0..DRAWS)
            .map(|_| f64::from(numbers.next(&mut random, correlation)))
            .collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let moment = |lag: usize| {
            let pairs = draws.iter().zip(&draws[lag..]);
            pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>()
        };
        let found = moment(1) / moment(0);
        assert!((found - rho).abs() < 0.02, "{rho} {found}");
        assert!((mean / f64::from(u32::MAX) - 0.5).abs() < 0.02, "{rho}");
    }
}

#[test]
fn streams_of_one_seed_differ_and_repeat() {
    let draw = |stream| Random::new([7; 32], stream).u64();
    assert_eq!(draw(0), draw(0));
    assert_ne!(draw(0), draw(1));
    let mut random = random(0);
    assert_eq!(random.below(0), 0);
    assert!((0..1000).all(|_| random.below(3) < 3));
}
