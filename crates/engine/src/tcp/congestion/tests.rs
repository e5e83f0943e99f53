use super::*;

const MSS: u32 = 1000;

fn reno() -> Congestion {
    Congestion::new(Algorithm::Reno, MSS)
}

fn acked(cc: &mut Congestion, bytes: u32) {
    let rtt = Rtt::new(Default::default());
    cc.on_ack(bytes, MSS, Instant::from_secs(1), &rtt);
}

#[test]
fn slow_start_doubles_each_window() {
    for algorithm in [Algorithm::Reno, Algorithm::Cubic] {
        let mut cc = Congestion::new(algorithm, MSS);
        acked(&mut cc, 10 * MSS);
        assert_eq!(cc.cwnd, 20 * MSS);
    }
}

#[test]
fn slow_start_stops_at_ssthresh_and_the_rest_counts_linearly() {
    let mut cc = reno();
    cc.ssthresh = 12 * MSS;
    acked(&mut cc, 10 * MSS);
    assert_eq!(cc.cwnd, 12 * MSS);
    acked(&mut cc, 4 * MSS);
    assert_eq!(cc.cwnd, 13 * MSS);
    acked(&mut cc, 12 * MSS);
    assert_eq!(cc.cwnd, 13 * MSS);
    acked(&mut cc, MSS);
    assert_eq!(cc.cwnd, 14 * MSS);
}

#[test]
fn a_loss_halves_and_a_timeout_leaves_one_segment() {
    let mut cc = reno();
    cc.reduce(MSS);
    assert_eq!(cc.ssthresh, 5 * MSS);
    cc.after_timeout(0, MSS);
    assert_eq!((cc.cwnd, cc.ssthresh), (MSS, 5 * MSS));
    cc.undo(10 * MSS, 20 * MSS);
    assert_eq!((cc.cwnd, cc.ssthresh), (10 * MSS, 20 * MSS));
}

#[test]
fn never_less_than_two_segments() {
    for algorithm in [Algorithm::Reno, Algorithm::Cubic] {
        let mut cc = Congestion::new(algorithm, MSS);
        cc.cwnd = MSS;
        cc.reduce(MSS);
        assert_eq!(cc.ssthresh, 2 * MSS);
    }
}

#[test]
fn idle_decays_to_the_restart_window() {
    let mut cc = reno();
    cc.cwnd = 80 * MSS;
    cc.restart_after_idle(2, MSS);
    assert_eq!((cc.cwnd, cc.ssthresh), (20 * MSS, INFINITE_SSTHRESH));
    cc.restart_after_idle(9, MSS);
    assert_eq!(cc.cwnd, 10 * MSS);
}

#[test]
fn what_is_not_used_decays() {
    let mut cc = reno();
    cc.cwnd = 80 * MSS;
    cc.application_limited(20 * MSS, MSS);
    assert_eq!(cc.cwnd, 50 * MSS);
    cc.application_limited(MSS, MSS);
    assert_eq!(cc.cwnd, 30 * MSS);
}

#[test]
fn names() {
    for algorithm in Algorithm::ALL {
        assert_eq!(
            Algorithm::from_name(algorithm.name().as_bytes()),
            Some(*algorithm)
        );
    }
    assert_eq!(Algorithm::from_name(b"vegas"), None);
    assert_eq!(Algorithm::default().name(), "cubic");
}
