use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn stream(from: u64, len: usize) -> Bytes {
    (from..from + len as u64)
        .map(|i| (i * 7 + i / 256) as u8)
        .collect::<Vec<_>>()
        .into()
}

#[test]
fn fills_a_gap() {
    let mut r = Reassembly::default();
    let mut queue = StreamQueue::default();
    r.insert(10, stream(10, 5));
    r.insert(20, stream(20, 5));
    assert_eq!(r.drain(0, &mut queue), 0);
    r.insert(0, stream(0, 12));
    assert_eq!(r.drain(0, &mut queue), 15);
    r.insert(12, stream(12, 30));
    assert_eq!(r.drain(15, &mut queue), 42);
    assert!(r.is_empty() && r.charged() == 0);
    assert_eq!(
        queue.iter().flat_map(|c| c.to_vec()).collect::<Vec<_>>(),
        stream(0, 42)
    );
}

proptest! {
    /// Pieces of one stream in any order and with any overlap come out once and in order.
    #[test]
    fn any_order_and_overlap(pieces in prop::collection::vec((0u64..400, 1usize..80), 1..80)) {
        let mut r = Reassembly::default();
        let mut queue = StreamQueue::default();
        let mut have = [false; 500];
        let mut next = 0u64;
        for (at, len) in pieces {
            have[at as usize..at as usize + len].fill(true);
            let end = at + len as u64;
            if end > next {
                let cut = next.saturating_sub(at);
                r.insert(at + cut, stream(at + cut, len - cut as usize));
            }
            next = r.drain(next, &mut queue);
            let want = have.iter().take_while(|&&b| b).count() as u64;
            prop_assert_eq!(next, want);
            let got: Vec<u8> = queue.iter().flat_map(|c| c.to_vec()).collect();
            prop_assert_eq!(&got[..], &stream(0, want as usize)[..]);
            let held = have[want as usize..].iter().filter(|&&b| b).count();
            prop_assert_eq!(r.pieces.values().map(Bytes::len).sum::<usize>(), held);
            prop_assert_eq!(r.charged(), held + r.pieces.len() * CHUNK_COST);
        }
    }
}
