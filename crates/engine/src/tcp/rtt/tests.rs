use super::*;

fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

#[test]
fn starts_at_one_second() {
    let rtt = Rtt::new(RtoBounds::default());
    assert_eq!(rtt.rto(), RTO_INIT);
    assert_eq!(rtt.mdev_us(), 250_000);
}

#[test]
fn first_sample_sets_srtt_and_floor_of_the_variance() {
    let mut rtt = Rtt::new(RtoBounds::default());
    rtt.sample(us(100), SeqNum(1), SeqNum(2));
    assert_eq!(rtt.srtt_us(), 100);
    assert_eq!(rtt.mdev_us(), 50);
    // 200 ms floor on the variance term plus the RTT.
    assert_eq!(rtt.rto(), us(200_100));
}

#[test]
fn large_rtt_gives_three_times_rtt_first() {
    let mut rtt = Rtt::new(RtoBounds::default());
    rtt.sample(us(400_000), SeqNum(1), SeqNum(2));
    // R + 4 * R/2 (RFC 6298, 2.2).
    assert_eq!(rtt.rto(), us(1_200_000));
}

#[test]
fn steady_rtt_converges_to_the_floor() {
    let mut rtt = Rtt::new(RtoBounds::default());
    for i in 0..200u32 {
        rtt.sample(us(50_000), SeqNum(i * 10 + 1), SeqNum(i * 10 + 5));
    }
    assert_eq!(rtt.srtt_us(), 50_000);
    assert!(
        rtt.rto() >= us(250_000) && rtt.rto() < us(251_000),
        "{:?}",
        rtt.rto()
    );
}

#[test]
fn back_off_doubles_up_to_the_bound_and_a_sample_undoes_it() {
    let mut rtt = Rtt::new(RtoBounds::default());
    for _ in 0..20 {
        rtt.back_off();
    }
    assert_eq!(rtt.rto(), RTO_MAX);
    rtt.sample(us(1000), SeqNum(1), SeqNum(2));
    assert_eq!(rtt.rto(), us(201_000));
}
