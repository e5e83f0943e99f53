use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn all(queue: &StreamQueue) -> Vec<u8> {
    queue.iter().flat_map(|chunk| chunk.to_vec()).collect()
}

#[test]
fn small_chunks_share_a_tail() {
    let mut queue = StreamQueue::default();
    for i in 0..1000u32 {
        queue.push(Bytes::copy_from_slice(&[i as u8]));
    }
    assert_eq!(queue.len(), 1000);
    assert_eq!(queue.iter().count(), 1);
    assert_eq!(
        all(&queue),
        (0..1000u32).map(|i| i as u8).collect::<Vec<_>>()
    );
    assert_eq!(queue.charged(), 1000 + CHUNK_COST);
}

#[test]
fn large_chunks_are_not_copied() {
    let mut queue = StreamQueue::default();
    let big = Bytes::from(vec![7; 65536]);
    let at = big.as_ptr();
    queue.push(big);
    assert_eq!(queue.front().as_ptr(), at);
}

#[test]
fn a_reader_holding_a_clone_is_not_disturbed() {
    let mut queue = StreamQueue::default();
    queue.push(Bytes::copy_from_slice(b"ab"));
    queue.push(Bytes::copy_from_slice(b"cd"));
    let held: Vec<Bytes> = queue.iter().cloned().collect();
    queue.push(Bytes::copy_from_slice(b"ef"));
    assert_eq!(held.concat(), b"abcd");
    assert_eq!(all(&queue), b"abcdef");
}

#[test]
fn empty_owns_nothing() {
    let mut queue = StreamQueue::default();
    for _ in 0..10 {
        queue.push(Bytes::from(vec![1; 600]));
    }
    queue.consume(6000);
    assert!(queue.is_empty() && queue.charged() == 0 && queue.chunks.count() == 0);
}

proptest! {
    #[test]
    fn behaves_as_a_vec(ops in prop::collection::vec((0usize..1200, 0usize..1500), 1..60)) {
        let mut queue = StreamQueue::default();
        let mut model: Vec<u8> = Vec::new();
        let mut next = 0u8;
        for (push, take) in ops {
            let data: Vec<u8> = (0..push).map(|_| { next = next.wrapping_add(1); next }).collect();
            model.extend(&data);
            queue.push(Bytes::from(data));
            prop_assert_eq!(all(&queue), &model[..]);
            let take = take.min(model.len());
            model.drain(..take);
            queue.consume(take);
            prop_assert_eq!(all(&queue), &model[..]);
            prop_assert_eq!(queue.len(), model.len());
            prop_assert!(queue.charged() >= queue.len());
        }
        queue.consume(usize::MAX);
        prop_assert_eq!(queue.charged(), 0);
    }
}
