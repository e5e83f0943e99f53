use core::net::Ipv4Addr;
use core::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::hash::Random;

fn table() -> Fragments {
    Fragments::new(Random::new([7; 32]).hash_state())
}

fn packet(v6: bool, len: usize) -> Packet {
    let ip = match v6 {
        false => IpHeader::new(
            Ipv4Addr::new(10, 0, 0, 1).into(),
            Ipv4Addr::new(10, 0, 0, 2).into(),
        ),
        true => IpHeader::new(
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(),
        ),
    };
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    let body = Body::Other {
        protocol: 200,
        payload: Bytes::from(bytes),
    };
    Packet { ip, body }
}

fn piece(packet: Packet) -> Piece {
    let Body::Extended(extended) = &packet.body else {
        panic!("a piece")
    };
    let Body::Other { protocol, payload } = &extended.body else {
        panic!("bytes")
    };
    Piece {
        interface: IfIndex::LO,
        fragment: extended.fragment.unwrap(),
        arrived: Box::new(Arrived::new(Instant::BOOT)),
        protocol: *protocol,
        bytes: payload.clone(),
        packet,
    }
}

fn at(offset: u32, bytes: &'static [u8], more: bool) -> Piece {
    let place = Fragment {
        ident: 9,
        offset,
        more,
    };
    let body = Body::Other {
        protocol: 200,
        payload: Bytes::from_static(bytes),
    };
    let mut packet = packet(false, 0);
    packet.body = Extended::with_options(Bytes::new(), Some(place), body);
    piece(packet)
}

fn join(table: &mut Fragments, piece: Piece) -> Joined {
    let later = Instant::BOOT + core::time::Duration::from_secs(30);
    table.join(piece, later, 1 << 20)
}

#[test]
fn pieces_fit_the_link_and_meet_again() {
    for v6 in [false, true] {
        let packet = packet(v6, 5000);
        let mut pieces = cut(&packet, 1500, 77);
        assert_eq!(pieces.len(), 4);
        assert!(pieces.iter().all(|piece| piece.wire_len() <= 1500));
        pieces.reverse();
        let mut table = table();
        let last = pieces.pop().unwrap();
        for one in pieces {
            assert!(matches!(join(&mut table, piece(one)), Joined::Waits));
        }
        let Joined::Whole(whole) = join(&mut table, piece(last)) else {
            panic!("all are there")
        };
        let Body::Other { payload, .. } = &packet.body else {
            panic!("bytes")
        };
        assert_eq!(&whole.bytes, payload);
        assert_eq!(whole.protocol, 200);
        assert_eq!(table.memory(v6), 0);
        assert_eq!(table.next_deadline(), None);
    }
}

#[test]
fn what_overlaps_ends_the_packet() {
    let mut table = table();
    assert!(matches!(
        join(&mut table, at(0, &[1; 16], true)),
        Joined::Waits
    ));
    // The same again is passed over, and so is a part of it.
    assert!(matches!(
        join(&mut table, at(0, &[1; 16], true)),
        Joined::Dropped
    ));
    assert!(matches!(
        join(&mut table, at(8, &[1; 8], true)),
        Joined::Dropped
    ));
    assert!(table.memory(false) > 0);
    assert!(matches!(
        join(&mut table, at(8, &[2; 16], true)),
        Joined::Dropped
    ));
    assert_eq!(table.memory(false), 0);
    // The rest begins a packet of its own, which never ends.
    assert!(matches!(
        join(&mut table, at(16, &[1; 3], false)),
        Joined::Waits
    ));
}

#[test]
fn ends_that_contradict_end_the_packet() {
    let mut table = table();
    assert!(matches!(
        join(&mut table, at(16, &[1; 3], false)),
        Joined::Waits
    ));
    assert!(matches!(
        join(&mut table, at(24, &[1; 3], false)),
        Joined::Dropped
    ));
    assert_eq!(table.memory(false), 0);
    assert!(matches!(
        join(&mut table, at(16, &[1; 3], false)),
        Joined::Waits
    ));
    assert!(matches!(
        join(&mut table, at(16, &[1; 16], true)),
        Joined::Dropped
    ));
    assert!(matches!(
        join(&mut table, at(65_528, &[1; 8], false)),
        Joined::Dropped
    ));
    assert_eq!(table.memory(false), 0);
}

#[test]
fn memory_is_bounded_and_time_too() {
    let mut table = table();
    let soon = Instant::BOOT + core::time::Duration::from_secs(1);
    for ident in 0..100 {
        let mut piece = at(8, &[1; 8], true);
        piece.fragment.ident = ident;
        table.join(piece, soon, 2000);
    }
    assert!(table.memory(false) < 3000);
    assert_eq!(table.next_deadline(), Some(soon));
    let mut given_up = 0;
    while let Some(expired) = table.expire(soon) {
        assert!(expired.first.is_none());
        given_up += 1;
    }
    assert_eq!(given_up, 4);
    assert_eq!(table.memory(false), 0);
}

#[test]
fn options_that_are_not_copied_stay_with_the_first() {
    let mut packet = packet(false, 2000);
    // Record route is not copied, a router alert is.
    let options = Bytes::from_static(&[7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0]);
    packet.body = Extended::with_options(options.clone(), None, packet.body);
    let pieces = cut(&packet, 1000, 5);
    let of = |piece: &Packet| match &piece.body {
        Body::Extended(extended) => extended.options().to_vec(),
        _ => Vec::new(),
    };
    assert_eq!(of(&pieces[0]), options);
    assert_eq!(of(&pieces[1]), [1, 1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0]);
}

#[test]
fn no_room_is_no_piece() {
    assert!(cut(&packet(true, 100), 55, 1).is_empty());
}

proptest! {
    #[test]
    fn in_any_order_with_repeats(len in 1usize..4000, mtu in 68u32..1000, order in prop::collection::vec(any::<prop::sample::Index>(), 1..200)) {
        let packet = packet(false, len);
        let pieces = cut(&packet, mtu, 3);
        let mut table = table();
        let mut whole = None;
        let all = (0..pieces.len()).rev();
        for at in order.iter().map(|index| index.index(pieces.len())).chain(all) {
            if whole.is_some() {
                break;
            }
            if pieces.len() == 1 && matches!(pieces[0].body, Body::Extended(ref e) if e.fragment.is_none()) {
                break;
            }
            if let Joined::Whole(done) = join(&mut table, piece(pieces[at].clone())) {
                whole = Some(done.bytes);
            }
        }
        let Body::Other { payload, .. } = &packet.body else { unreachable!() };
        prop_assert_eq!(whole.as_ref(), Some(payload));
        prop_assert_eq!(table.memory(false), 0);
    }

    #[test]
    fn any_pieces_are_bounded(all in prop::collection::vec((0u32..60, 0usize..80, any::<bool>()), 0..60)) {
        let mut table = table();
        for (place, len, more) in all {
            let bytes: &'static [u8] = &[0; 80];
            join(&mut table, at(place * 8, &bytes[..len], more));
        }
        let end = Instant::BOOT + core::time::Duration::from_secs(60);
        while table.expire(end).is_some() {}
        prop_assert_eq!(table.memory(false), 0);
        prop_assert_eq!(table.next_deadline(), None);
    }
}
