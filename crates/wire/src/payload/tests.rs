use super::Payload;
use bytes::Bytes;
use proptest::prelude::*;

fn rope(chunks: &[&'static str]) -> Payload {
    chunks
        .iter()
        .map(|c| Bytes::from_static(c.as_bytes()))
        .collect()
}

#[test]
fn empty_chunks_vanish() {
    let p = rope(&["", "ab", "", "c"]);
    assert_eq!(p.iter().count(), 2);
    assert_eq!(p.len(), 3);
    assert!(Payload::from(Bytes::new()).is_empty());
}

#[test]
fn a_payload_is_as_large_as_a_chunk() {
    assert_eq!(size_of::<Payload>(), size_of::<Bytes>());
}

#[test]
fn bytes_of_all_sizes_are_kept() {
    for len in 0..300 {
        let bytes: alloc::vec::Vec<u8> = (0..len).map(|n| n as u8).collect();
        let p = Payload::from(&bytes[..]);
        assert_eq!(p.iter().count(), usize::from(len > 0));
        assert_eq!(p.clone().to_vec(), bytes);
        assert_eq!(
            p.into_iter().flatten().collect::<alloc::vec::Vec<u8>>(),
            bytes
        );
    }
}

#[test]
fn equality_ignores_the_cut() {
    assert_eq!(rope(&["ab", "c"]), rope(&["a", "bc"]));
    assert_ne!(rope(&["ab"]), rope(&["ab", "c"]));
}

#[test]
fn copy_stops_at_either_end() {
    let p = rope(&["ab", "cd"]);
    let mut out = [0; 3];
    assert_eq!(p.copy_to(&mut out), 3);
    assert_eq!(&out, b"abc");
    let mut out = [9; 6];
    assert_eq!(p.copy_to(&mut out), 4);
    assert_eq!(&out, b"abcd\x09\x09");
}

#[test]
fn debug_shows_length_and_text() {
    assert_eq!(alloc::format!("{:?}", rope(&["a\n", "b"])), "3b\"a\\nb\"");
}

proptest! {
    #[test]
    fn slice_is_the_slice_of_the_bytes(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..6),
        a in 0usize..30, b in 0usize..30,
    ) {
        let p: Payload = chunks.iter().cloned().map(Bytes::from).collect();
        let flat = chunks.concat();
        let end = b.min(flat.len());
        let start = a.min(end);
        prop_assert_eq!(p.slice(a..b).to_vec(), &flat[start..end]);
        prop_assert_eq!(p.slice(a..).to_bytes(), &flat[a.min(flat.len())..]);
        prop_assert_eq!(p.slice(..).to_vec(), flat);
    }
}
