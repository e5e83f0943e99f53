use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

#[test]
fn slices_cross_chunks() {
    let mut queue = SendQueue::default();
    queue.push(Bytes::from_static(b"hello"), false);
    queue.push(Bytes::from_static(b" "), true);
    queue.push(Bytes::from_static(b"world"), true);
    assert_eq!(queue.slice(3, 5).to_vec(), b"lo wo");
    assert_eq!(queue.slice(0, 11).to_vec(), b"hello world");
    queue.acknowledge(4);
    assert_eq!(queue.slice(0, 7).to_vec(), b"o world");
}

#[test]
fn waiting_small_writes_share_a_chunk() {
    let mut queue = SendQueue::default();
    queue.push(Bytes::from_static(b"x"), false);
    for _ in 0..1000 {
        queue.push(Bytes::from_static(b"y"), true);
    }
    assert_eq!(queue.charged(), 1001 + 2 * CHUNK_COST);
    assert_eq!(queue.slice(0, 1001).iter().count(), 2);
    queue.acknowledge(1001);
    assert_eq!((queue.len(), queue.charged()), (0, 0));
}

proptest! {
    #[test]
    fn behaves_as_a_vec(ops in prop::collection::vec((0usize..3000, any::<bool>(), 0.0f64..1.0, 0.0f64..1.0), 1..60)) {
        let mut queue = SendQueue::default();
        let mut model: Vec<u8> = Vec::new();
        let mut next = 0u8;
        for (push, join, at, ack) in ops {
            let data: Vec<u8> = (0..push).map(|_| { next = next.wrapping_add(1); next }).collect();
            model.extend(&data);
            queue.push(Bytes::from(data), join);
            let from = (at * model.len() as f64) as usize;
            let len = ((1.0 - at) * ack * model.len() as f64) as usize;
            let len = len.min(model.len() - from);
            prop_assert_eq!(queue.slice(from, len).to_vec(), &model[from..from + len]);
            // A second slice in order continues from the cursor.
            let rest = (model.len() - from - len).min(700);
            prop_assert_eq!(queue.slice(from + len, rest).to_vec(), &model[from + len..from + len + rest]);
            let ack = (ack * model.len() as f64) as usize;
            model.drain(..ack);
            queue.acknowledge(ack);
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.slice(0, model.len()).to_vec(), &model[..]);
        }
        queue.acknowledge(usize::MAX);
        prop_assert_eq!(queue.charged(), 0);
    }
}
