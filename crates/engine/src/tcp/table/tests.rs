use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::*;

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
