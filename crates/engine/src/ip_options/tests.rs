use alloc::vec::Vec;
use core::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn elsewhere(addr: Ipv4Addr) -> bool {
    addr != HERE
}

fn set(bytes: &[u8]) -> Result<IpOptions, BadOption> {
    IpOptions::compile(bytes, false, elsewhere)
}

fn came(bytes: &[u8]) -> Result<IpOptions, BadOption> {
    IpOptions::arrived(bytes, Instant::BOOT, HERE, elsewhere)
}

#[test]
fn a_route_is_recorded_by_sender_and_receiver() {
    let options = set(&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let wire = options.build(Instant::BOOT, THERE, HERE);
    assert_eq!(&wire[..], [7, 11, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0]);
    let arrived = came(&wire).unwrap();
    assert_eq!(arrived.bytes(), [7, 11, 12, 10, 0, 0, 1, 10, 0, 0, 2, 0]);
    assert_eq!(options.undo(), [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_source_route_names_the_destination_last() {
    let given = [131, 11, 4, 10, 0, 0, 7, 10, 0, 0, 8];
    let options = set(&given).unwrap();
    assert_eq!(options.first_hop(), Some(Ipv4Addr::new(10, 0, 0, 7)));
    assert!(!options.is_strict());
    let wire = options.build(Instant::BOOT, THERE, HERE);
    assert_eq!(&wire[..11], [131, 11, 4, 10, 0, 0, 8, 10, 0, 0, 2]);
    assert_eq!(options.undo()[..11], given);
    assert!(came(&wire).unwrap().has_source_route());
}

#[test]
fn times_do_not_count_from_midnight() {
    let options = set(&[68, 8, 5, 0, 0, 0, 0, 0]).unwrap();
    let now = Instant::BOOT + core::time::Duration::from_millis(258);
    let wire = options.build(now, THERE, HERE);
    assert_eq!(&wire[..], [68, 8, 9, 0, 0x80, 0, 1, 2]);
}

#[test]
fn an_answer_goes_on_where_the_question_ended() {
    let mut given = Vec::from([7, 15, 8, 10, 0, 0, 1]);
    given.resize(16, 0);
    let arrived = came(&given).unwrap();
    let answer = arrived.echo(elsewhere).unwrap();
    let wire = answer.build(Instant::BOOT, HERE, THERE);
    assert_eq!(
        &wire[..],
        [7, 15, 16, 10, 0, 0, 1, 10, 0, 0, 2, 10, 0, 0, 2, 0]
    );
}

#[test]
fn the_octet_at_fault_counts_from_the_header() {
    assert_eq!(came(&[1, 7, 7, 3, 0, 0, 0, 0]), Err(BadOption(23)));
    assert_eq!(came(&[7]), Err(BadOption(20)));
    assert_eq!(set(&[200, 4, 0, 0]), Err(BadOption(20)));
}

proptest! {
    #[test]
    fn any_octets_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..41), kind in prop::sample::select(&[7u8, 68, 131, 148, 1][..])) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if let Ok(options) = set(&bytes) {
            let wire = options.build(Instant::BOOT, THERE, HERE);
            prop_assert_eq!(wire.len() % 4, 0);
            options.undo();
        }
        let whole = bytes.len() & !3;
        if let Ok(options) = came(&bytes[..whole])
            && let Some(answer) = options.echo(elsewhere)
        {
            prop_assert!(answer.len() <= MAX_OPTIONS);
            answer.build(Instant::BOOT, HERE, THERE);
            answer.undo();
        }
    }
}
