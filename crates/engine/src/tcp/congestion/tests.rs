use super::*;

const MSS: u32 = 1000;

#[test]
fn slow_start_doubles_each_window() {
    let mut cc = Congestion::new(Algorithm::Reno, MSS);
    cc.on_ack(10 * MSS, MSS);
    assert_eq!(cc.cwnd, 20 * MSS);
}

#[test]
fn slow_start_stops_at_ssthresh_and_the_rest_counts_linearly() {
    let mut cc = Congestion::new(Algorithm::Reno, MSS);
    cc.ssthresh = 12 * MSS;
    cc.on_ack(10 * MSS, MSS);
    assert_eq!(cc.cwnd, 12 * MSS);
    cc.on_ack(4 * MSS, MSS);
    assert_eq!(cc.cwnd, 13 * MSS);
    cc.on_ack(12 * MSS, MSS);
    assert_eq!(cc.cwnd, 13 * MSS);
    cc.on_ack(MSS, MSS);
    assert_eq!(cc.cwnd, 14 * MSS);
}

#[test]
fn timeout_collapses_to_one_segment_and_halves_once() {
    let mut cc = Congestion::new(Algorithm::Reno, MSS);
    cc.on_timeout(10 * MSS, MSS, true);
    assert_eq!((cc.cwnd, cc.ssthresh), (MSS, 5 * MSS));
    cc.on_timeout(MSS, MSS, false);
    assert_eq!(cc.ssthresh, 5 * MSS);
}

#[test]
fn fast_recovery_follows_rfc_6582() {
    let mut cc = Congestion::new(Algorithm::Reno, MSS);
    cc.on_fast_retransmit(10 * MSS, MSS);
    assert_eq!((cc.cwnd, cc.ssthresh), (8 * MSS, 5 * MSS));
    cc.inflate(MSS);
    assert_eq!(cc.cwnd, 9 * MSS);
    cc.on_partial_ack(2 * MSS, MSS);
    assert_eq!(cc.cwnd, 8 * MSS);
    cc.on_recovered(2 * MSS, MSS);
    assert_eq!(cc.cwnd, 3 * MSS);
    cc.on_recovered(20 * MSS, MSS);
    assert_eq!(cc.cwnd, 5 * MSS);
}

#[test]
fn idle_decays_to_the_restart_window() {
    let mut cc = Congestion::new(Algorithm::Reno, MSS);
    cc.cwnd = 80 * MSS;
    cc.restart_after_idle(2, MSS);
    assert_eq!((cc.cwnd, cc.ssthresh), (20 * MSS, INFINITE_SSTHRESH));
    cc.restart_after_idle(9, MSS);
    assert_eq!(cc.cwnd, 10 * MSS);
}
