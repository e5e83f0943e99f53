use super::*;

/// A round of `n` samples; whether slow start ended.
fn round(h: &mut HyStart, number: u32, rtts: impl IntoIterator<Item = u32>) -> bool {
    let mut over = false;
    for rtt in rtts {
        // The first acknowledgment of a round is beyond the last round's end.
        over |= h.on_rtt(rtt, SeqNum(1000 * number + 1), SeqNum(1000 * (number + 1)));
    }
    over
}

#[test]
fn a_steady_path_stays_in_slow_start() {
    let mut h = HyStart::default();
    for n in 0..20 {
        assert!(!round(&mut h, n, [20_000; 10]));
        assert_eq!(h.divisor(), 1);
    }
}

#[test]
fn a_rise_ends_it_after_five_conservative_rounds() {
    let mut h = HyStart::default();
    round(&mut h, 0, [20_000; 10]);
    // An eighth of 20 ms is below 4 ms, which is the least.
    round(&mut h, 1, [23_900; 10]);
    assert_eq!(h.divisor(), 1);
    round(&mut h, 2, [27_900; 10]);
    assert_eq!(h.divisor(), CSS_GROWTH_DIVISOR);
    for n in 3..7 {
        assert!(!round(&mut h, n, [28_000; 10]), "{n}");
    }
    assert!(round(&mut h, 7, [28_000; 10]));
}

#[test]
fn a_fall_below_the_baseline_goes_back() {
    let mut h = HyStart::default();
    round(&mut h, 0, [20_000; 10]);
    round(&mut h, 1, [30_000; 10]);
    assert_eq!(h.divisor(), CSS_GROWTH_DIVISOR);
    round(&mut h, 2, [29_000; 10]);
    assert_eq!(h.divisor(), 1);
}

#[test]
fn seven_samples_are_too_few() {
    let mut h = HyStart::default();
    round(&mut h, 0, [20_000; 10]);
    round(&mut h, 1, [30_000; 7]);
    assert_eq!(h.divisor(), 1);
}
