use super::super::congestion::{Algorithm, Congestion};
use super::*;

const MSS: u32 = 1000;

fn setup() -> (Recovery, Congestion) {
    (
        Recovery::new(SeqNum(0)),
        Congestion::new(Algorithm::Reno, MSS),
    )
}

#[test]
fn third_duplicate_retransmits_once() {
    let (mut r, mut cc) = setup();
    let (una, max) = (SeqNum(1), SeqNum(10_001));
    assert_eq!(r.on_duplicate(&mut cc, una, max, MSS), Action::None);
    assert_eq!(r.extra_segments(), 1);
    assert_eq!(r.on_duplicate(&mut cc, una, max, MSS), Action::None);
    assert_eq!(r.on_duplicate(&mut cc, una, max, MSS), Action::Retransmit);
    assert_eq!(r.phase(), Phase::Fast);
    assert_eq!(r.on_duplicate(&mut cc, una, max, MSS), Action::None);
    assert_eq!(cc.cwnd, 9 * MSS);
}

#[test]
fn partial_ack_retransmits_the_next_hole_and_full_ack_ends() {
    let (mut r, mut cc) = setup();
    for _ in 0..3 {
        r.on_duplicate(&mut cc, SeqNum(1), SeqNum(10_001), MSS);
    }
    let partial = r.on_ack(&mut cc, SeqNum(3001), 3000, 7000, MSS, true);
    assert_eq!((partial, r.phase()), (Action::Retransmit, Phase::Fast));
    let full = r.on_ack(&mut cc, SeqNum(10_001), 7000, 0, MSS, true);
    assert_eq!((full, r.phase()), (Action::None, Phase::Open));
}

#[test]
fn duplicates_below_recover_after_a_timeout_are_not_loss() {
    let (mut r, mut cc) = setup();
    r.on_timeout(&mut cc, SeqNum(1), SeqNum(10_001), MSS);
    r.on_ack(&mut cc, SeqNum(10_001), 10_000, 0, MSS, true);
    assert_eq!(r.phase(), Phase::Open);
    for _ in 0..5 {
        let action = r.on_duplicate(&mut cc, SeqNum(10_001), SeqNum(12_001), MSS);
        assert_eq!(action, Action::None);
    }
}
