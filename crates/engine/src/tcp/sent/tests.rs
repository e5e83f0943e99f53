use proptest::prelude::*;

use super::*;

const MSS: u32 = 1000;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn sent(n: u32, ms: u64) -> Sent {
    Sent {
        seq: SeqNum(n * MSS),
        end: SeqNum((n + 1) * MSS),
        at: at(ms),
        marks: Mark::empty(),
        each: 0,
        delivered: 0,
        delivered_at: at(0),
        first_at: at(0),
    }
}

fn board(segments: u32) -> Scoreboard {
    let mut board = Scoreboard::default();
    (0..segments).for_each(|n| board.push(sent(n, 10)));
    board
}

fn blocks(list: &[(u32, u32)]) -> SackList {
    let mut blocks = SackList::new();
    for &(l, r) in list {
        assert!(blocks.push(SeqNum(l * MSS), SeqNum(r * MSS)));
    }
    blocks
}

fn round(board: &Scoreboard) -> Round {
    Round {
        highest: (board.sacked() > 0).then_some(board.highest),
        ..Round::default()
    }
}

fn sack(board: &mut Scoreboard, ms: u64, list: &[(u32, u32)]) -> Round {
    let mut round = round(board);
    let max = board.last().map_or(SeqNum(0), |s| s.end);
    let una = board.first().map_or(max, |s| s.seq);
    board.on_blocks(at(ms), &blocks(list), (una, una, max), max, &mut round);
    round
}

/// The counters, counted anew.
fn check(board: &Scoreboard) {
    let sum = |wanted: &dyn Fn(&Sent) -> bool| -> u32 {
        let of = board.segments.iter().filter(|s| wanted(s));
        of.map(Sent::len).sum()
    };
    let has = |s: &Sent, mark| s.marks.contains(mark);
    assert_eq!(board.sacked, sum(&|s| has(s, Mark::SACKED)));
    assert_eq!(board.lost, sum(&|s| has(s, Mark::LOST)));
    assert_eq!(board.again, sum(&|s| has(s, Mark::AGAIN)));
    let waits = |s: &Sent| has(s, Mark::LOST) && !has(s, Mark::AGAIN);
    assert_eq!(board.waiting, sum(&waits));
    let sacked = board.segments.iter().filter(|s| has(s, Mark::SACKED));
    assert_eq!(board.sacked_segments, sacked.map(Sent::segments).sum());
    let all = board.segments.iter().map(Sent::segments);
    assert_eq!(board.count, all.sum());
    for (a, b) in board.segments.iter().zip(board.segments.iter().skip(1)) {
        assert_eq!(a.end, b.seq);
    }
    if board.waiting > 0 {
        let first = board.segments.iter().find(|s| waits(s)).unwrap();
        assert!(board.hint.leq(first.seq) || board.hint.lt(first.end));
    }
}

#[test]
fn blocks_count_once() {
    let mut board = board(10);
    assert_eq!(sack(&mut board, 20, &[(2, 4)]).sacked, 2 * MSS);
    // The block of before, longer now, and another.
    let more = sack(&mut board, 21, &[(6, 7), (2, 5)]);
    assert_eq!((more.sacked, more.delivered), (2 * MSS, 2 * MSS));
    assert_eq!(board.sacked(), 4 * MSS);
    assert_eq!(board.sacked_segments(), 4);
    assert_eq!(board.in_flight(10 * MSS), 6 * MSS);
    check(&board);
}

#[test]
fn what_was_sent_before_the_newest_delivered_is_lost_after_the_window() {
    // RFC 8985, 6.2, step 5.
    let mut board = board(4);
    sack(&mut board, 30, &[(3, 4)]);
    assert_eq!(board.rack.rtt_us, 20_000);
    let mut r = Round::default();
    // Sent at 10, 20 ms of round trip, 5 ms of patience.
    assert_eq!(board.detect(at(30), 5000, &mut r), Some(at(35)));
    assert_eq!(r.lost, 0);
    assert_eq!(board.detect(at(35), 5000, &mut r), None);
    assert_eq!((r.lost, board.waiting()), (3 * MSS, 3 * MSS));
    assert_eq!(board.next_lost().map(|s| s.seq), Some(SeqNum(0)));
    board.resend(SeqNum(0), SeqNum(MSS), at(35), (0, at(0), at(0)));
    assert_eq!(board.next_lost().map(|s| s.seq), Some(SeqNum(MSS)));
    assert_eq!(board.in_flight(4 * MSS), MSS);
    check(&board);
}

#[test]
fn a_lost_retransmission_is_found_too() {
    // RFC 8985, 3.2: which counting duplicates cannot.
    let mut board = board(3);
    sack(&mut board, 30, &[(2, 3)]);
    board.detect(at(40), 0, &mut Round::default());
    board.resend(SeqNum(0), SeqNum(MSS), at(40), (0, at(0), at(0)));
    board.resend(SeqNum(MSS), SeqNum(2 * MSS), at(41), (0, at(0), at(0)));
    // The second arrives and the first does not.
    sack(&mut board, 61, &[(1, 3)]);
    let mut r = Round::default();
    assert_eq!(board.detect(at(61), 0, &mut r), None);
    assert_eq!(r.lost, MSS);
    assert_eq!(board.next_lost().map(|s| s.seq), Some(SeqNum(0)));
    check(&board);
}

#[test]
fn the_first_block_may_be_a_duplicate() {
    // RFC 2883, 4: below the acknowledgment, or within the second block.
    let mut below = board(5);
    let mut r = round(&below);
    let max = SeqNum(5 * MSS);
    let (una, ack) = (SeqNum(0), SeqNum(2 * MSS));
    below.on_blocks(at(20), &blocks(&[(0, 1)]), (una, ack, max), max, &mut r);
    assert_eq!(r.duplicate, Some((SeqNum(0), SeqNum(MSS))));
    assert_eq!(r.sacked, 0);
    let mut within = board(5);
    let r = sack(&mut within, 20, &[(3, 4), (2, 5)]);
    assert_eq!(r.duplicate, Some((SeqNum(3 * MSS), SeqNum(4 * MSS))));
    assert_eq!(r.sacked, 3 * MSS);
}

#[test]
fn lies_are_not_believed() {
    let mut board = board(5);
    // Never sent; backwards.
    assert_eq!(sack(&mut board, 20, &[(4, 9)]).sacked, 0);
    assert_eq!(sack(&mut board, 20, &[(4, 2)]).sacked, 0);
    check(&board);
}

#[test]
fn blocks_may_cut_segments() {
    let mut board = board(3);
    let mut list = SackList::new();
    list.push(SeqNum(1200), SeqNum(1700));
    let mut r = round(&board);
    let max = SeqNum(3000);
    board.on_blocks(at(20), &list, (SeqNum(0), SeqNum(0), max), max, &mut r);
    assert_eq!((r.sacked, board.segments()), (500, 5));
    check(&board);
}

#[test]
fn reordering_is_what_arrives_after_the_later() {
    let mut board = board(5);
    assert_eq!(sack(&mut board, 20, &[(3, 4)]).reordered, None);
    assert_eq!(
        sack(&mut board, 21, &[(1, 2), (3, 4)]).reordered,
        Some(SeqNum(MSS))
    );
    let mut r = round(&board);
    board.on_ack(at(22), SeqNum(MSS), SeqNum(0), &mut r);
    assert_eq!(r.reordered, Some(SeqNum(0)));
}

/// So many segments that left as one, from the n-th on.
fn large(n: u32, segments: u32, ms: u64) -> Sent {
    Sent {
        end: SeqNum((n + segments) * MSS),
        each: MSS as u16,
        ..sent(n, ms)
    }
}

#[test]
fn of_segments_that_left_as_one_each_fares_alone() {
    let mut board = Scoreboard::default();
    board.push(large(0, 40, 10));
    board.push(large(40, 5, 10));
    assert_eq!(board.segments(), 45);
    // Two are missing, far apart.
    let r = sack(&mut board, 30, &[(1, 20), (21, 45)]);
    assert_eq!((r.sacked, board.sacked_segments()), (43 * MSS, 43));
    assert_eq!(board.splits, 0);
    assert_eq!(board.segments(), 45);
    check(&board);
    let mut r = Round::default();
    assert_eq!(board.detect(at(30), 0, &mut r), None);
    assert_eq!((r.lost, board.waiting()), (2 * MSS, 2 * MSS));
    for n in [0, 20] {
        assert_eq!(board.next_lost().map(|s| s.seq), Some(SeqNum(n * MSS)));
        board.resend(
            SeqNum(n * MSS),
            SeqNum((n + 1) * MSS),
            at(30),
            (0, at(0), at(0)),
        );
    }
    assert_eq!(board.next_lost().map(|s| s.seq), None);
    board.on_ack(at(50), SeqNum(45 * MSS), SeqNum(0), &mut r);
    assert_eq!((board.segments(), board.sacked_segments()), (0, 0));
    check(&board);
}

#[test]
fn of_what_was_sent_last_the_last_segment_is_cut() {
    let mut board = Scoreboard::default();
    let end = SeqNum(3 * MSS + 100);
    board.push(Sent {
        end,
        ..large(0, 3, 10)
    });
    assert_eq!(board.segments(), 4);
    assert_eq!(board.cut_last(MSS), SeqNum(3 * MSS));
    assert_eq!(
        (board.segments(), board.last().map(Sent::len)),
        (4, Some(100))
    );
    check(&board);
    // On a path that became narrower, what is too long is what was too long of its own.
    board.lose_larger(MSS);
    assert_eq!(board.lost(), 0);
    board.lose_larger(MSS - 1);
    assert_eq!(board.lost(), 3 * MSS);
    check(&board);
}

proptest! {
    #[test]
    fn the_counters_are_right_whatever_happens(
        steps in proptest::collection::vec((0u8..8, 0u32..40, 1u32..40), 1..200)
    ) {
        let mut board = Scoreboard::default();
        let (mut next, mut now) = (0u32, 1000u64);
        let mut una = 0u32;
        for (what, a, b) in steps {
            now += u64::from(b % 5);
            match what {
                0 if a > 1 => {
                    board.push(large(next, a, now));
                    next += a;
                }
                0..=1 => for _ in 0..b {
                    board.push(Sent { at: at(now), ..sent(next, now) });
                    next += 1;
                },
                2..=3 => {
                    // Odd edges too.
                    let mut list = SackList::new();
                    let left = una * MSS + a * 500;
                    list.push(SeqNum(left), SeqNum(left + b * 300));
                    let mut r = round(&board);
                    let edges = (SeqNum(una * MSS), SeqNum(una * MSS), SeqNum(next * MSS));
                    board.on_blocks(at(now), &list, edges, SeqNum(next * MSS), &mut r);
                    board.detect(at(now), a * 100, &mut r);
                }
                4 => {
                    una = (una + a % 7).min(next);
                    let mut r = round(&board);
                    board.on_ack(at(now), SeqNum(una * MSS), SeqNum(0), &mut r);
                }
                5 => while let Some(lost) = board.next_lost() {
                    board.resend(lost.seq, lost.end, at(now), (0, at(0), at(0)));
                    if b % 3 == 0 { break; }
                },
                6 => board.lose_all(at(now), Duration::from_millis(u64::from(a))),
                _ => match a % 4 {
                    0 => board.find_all(),
                    1 => board.forget_sacked(),
                    2 => { board.lose_first(); }
                    _ => { board.cut_last(700); }
                },
            }
            check(&board);
        }
    }
}
