//! Buffers that come back: what was read from a real socket goes to the virtual host's queue as it is, and its memory is
//! used again when nobody has it any more. Fresh memory for each read would have to be mapped each time.

use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

use bytes::Bytes;

/// How much one read takes: some segments of 64 KiB.
pub(super) const CHUNK: usize = 256 << 10;
/// How many buffers are kept.
const MOST: usize = 16;

type Kept = Arc<Mutex<Vec<Vec<u8>>>>;

#[derive(Default)]
pub(super) struct Pool {
    kept: Kept,
}

/// A buffer that is lent.
struct Lent {
    data: Vec<u8>,
    kept: Kept,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST {
            kept.push(core::mem::take(&mut self.data));
        }
    }
}

impl Pool {
    /// An empty buffer with room for [`CHUNK`] bytes.
    pub(super) fn take(&self) -> Vec<u8> {
        let kept = (self.kept.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut buffer = kept.unwrap_or_default();
        buffer.clear();
        buffer.reserve_exact(CHUNK);
        buffer
    }

    /// What was read into one; little of it is copied, and the buffer is free at once.
    pub(super) fn lend(&self, data: Vec<u8>) -> Bytes {
        let lent = Lent {
            data,
            kept: self.kept.clone(),
        };
        if lent.data.len() > CHUNK / 4 {
            Bytes::from_owner(lent)
        } else {
            Bytes::copy_from_slice(&lent.data)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn buffers_come_back() {
        let pool = Pool::default();
        let mut buffer = pool.take();
        buffer.extend_from_slice(&vec![7; CHUNK]);
        let at = buffer.as_ptr() as usize;
        let lent = pool.lend(buffer);
        let half = lent.slice(CHUNK / 2..);
        drop(lent);
        let other = pool.take();
        assert_ne!(other.as_ptr() as usize, at);
        assert_eq!(half[0], 7);
        drop(half);
        let again = pool.take();
        assert_eq!(again.as_ptr() as usize, at);
        // Of little a copy is made.
        let few = pool.lend(vec![1, 2, 3]);
        assert_eq!(few[..], [1, 2, 3]);
        let many: Vec<Bytes> = (0..2 * MOST).map(|_| pool.lend(vec![0; CHUNK])).collect();
        drop(many);
        assert_eq!(pool.kept.lock().unwrap().len(), MOST);
    }
}
