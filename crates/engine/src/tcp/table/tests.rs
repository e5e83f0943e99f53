use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::*;
use crate::{Config, Family, Stack};

#[test]
fn the_hash_is_siphash_1_3() {
    let key = Key(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
    for words in [
        &[][..],
        &[1],
        &[1, 2],
        &[u64::MAX, 3, 0x1234_5678_9abc_def0],
    ] {
        let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
        for word in words {
            hasher.write(&word.to_le_bytes());
        }
        assert_eq!(key.hash(words), hasher.finish());
    }
}

/// Two connections on `lo`; what one end remembers of the other is believed only when it is right.
#[test]
fn a_hint_is_checked() {
    let now = Instant::from_millis(5);
    let mut stack = Stack::new(Config::default());
    let listener = stack.tcp_open(Family::V4);
    stack.tcp_listen(now, listener, 8).unwrap();
    let to = stack.tcp_local(listener).unwrap().port();
    let mut connect = || {
        let id = stack.tcp_open(Family::V4);
        let to = (core::net::Ipv4Addr::LOCALHOST, to).into();
        stack.tcp_connect(now, id, to).unwrap();
        (id, stack.tcp_accept(now, listener).unwrap())
    };
    let (a, b) = (connect(), connect());
    let table = &mut stack.tcp;
    let tuple = table.open(a.1).conn.tuple;
    assert_eq!(table.open(a.0).peer, a.1.index);
    let from = a.0.index;
    // Right, none, another connection's end, the sender itself, no socket at all.
    for to in [a.1.index, Hint::NOWHERE, b.1.index, a.0.index, 1000] {
        assert_eq!(
            table.find_hinted(Hint { from, to }, &tuple),
            Some(a.1.index)
        );
    }
    // A socket that is no longer in the table is not found by the hint either.
    stack.tcp_disconnect(now, a.1);
    let to = a.1.index;
    assert_eq!(stack.tcp.find_hinted(Hint { from, to }, &tuple), None);
}
