//! The send queue: bytes from SND.UNA to the end of what was written, sent or not.
//!
//! Chunks are the caller's buffers; a segment's payload shares them. Small writes that wait (Nagle, window) are copied
//! together in a tail buffer, so that one-byte writes do not cost a chunk each.

use bytes::{Bytes, BytesMut};
use switchboard_wire::Payload;

use super::chunks::Chunks;

/// Writes shorter than this join the tail, when there is unsent data before them.
const SMALL: usize = 2048;
/// Size of a tail buffer.
const TAIL: usize = 4096;
/// What a chunk costs besides its bytes: Linux charges 1280 for a stream skb without data (fclone, headers).
const CHUNK_COST: usize = 1280;

/// Bytes to be sent or acknowledged, addressed by their offset from SND.UNA.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    chunks: Chunks,
    /// Behind the chunks: small writes not yet part of any segment.
    tail: BytesMut,
    /// Bytes in `chunks`.
    frozen: usize,
    charged: usize,
    front_taken: usize,
    /// Where the last slice ended, so that sending in order does not walk the list: (index, offset of its first byte).
    cursor: (u32, u32),
}

impl SendQueue {
    /// All bytes, sent or not.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.frozen + self.tail.len()
    }

    /// What counts against the send buffer (Linux's sk_wmem_queued).
    #[inline]
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    /// Queues a write. `joinable`: the byte before it is unsent too.
    #[inline]
    pub(crate) fn push(&mut self, data: Bytes, joinable: bool) {
        if data.is_empty() {
            return;
        }
        self.charged += data.len();
        if joinable && data.len() < SMALL && self.frozen + self.tail.len() > 0 {
            if self.tail.is_empty() {
                self.charged += CHUNK_COST;
                if self.tail.capacity() < data.len() {
                    self.tail = BytesMut::with_capacity(TAIL);
                }
            } else if self.tail.capacity() - self.tail.len() < data.len() {
                self.freeze_tail();
                self.charged += CHUNK_COST;
                self.tail = BytesMut::with_capacity(TAIL);
            }
            self.tail.extend_from_slice(&data);
            return;
        }
        self.freeze_tail();
        self.charged += CHUNK_COST;
        self.frozen += data.len();
        self.chunks.push(data);
    }

    fn freeze_tail(&mut self) {
        if !self.tail.is_empty() {
            self.frozen += self.tail.len();
            self.chunks.push(self.tail.split().freeze());
        }
    }

    /// The `len` bytes from `offset` on, shared.
    pub(crate) fn slice(&mut self, offset: usize, len: usize) -> Payload {
        if offset + len > self.frozen {
            self.freeze_tail();
        }
        let front = self.chunks.front();
        if offset == 0 && front.len() == len {
            return Payload::from(front.clone());
        }
        let (mut index, mut at) = match self.cursor {
            (index, at) if at as usize <= offset => (index as usize, at as usize),
            _ => (0, 0),
        };
        let mut payload = Payload::new();
        let end = offset + len;
        while at < end {
            let Some(chunk) = self.chunks.get(index) else {
                break;
            };
            let from = offset.saturating_sub(at).min(chunk.len());
            let to = (end - at).min(chunk.len());
            if from < to {
                payload.push(chunk.slice(from..to));
            }
            if at + chunk.len() > end {
                break;
            }
            at += chunk.len();
            index += 1;
        }
        self.cursor = (index as u32, at as u32);
        payload
    }

    /// The first `n` bytes are acknowledged.
    #[inline]
    pub(crate) fn acknowledge(&mut self, n: usize) {
        if n > self.frozen {
            self.freeze_tail();
        }
        let mut left = n.min(self.frozen);
        self.frozen -= left;
        self.cursor.1 = self.cursor.1.saturating_sub(left as u32);
        while left > 0 {
            let front = self.chunks.front_mut();
            if left < front.len() {
                bytes::Buf::advance(front, left);
                self.front_taken += left;
                // The cursor may stand on a later chunk, whose offset was adjusted above; on this one it begins at 0.
                return;
            }
            left -= front.len();
            self.charged -= front.len() + self.front_taken + CHUNK_COST;
            self.front_taken = 0;
            self.chunks.pop();
            self.cursor.0 = self.cursor.0.saturating_sub(1);
        }
        if self.frozen == 0 {
            self.cursor = (0, 0);
            if self.tail.is_empty() {
                self.tail = BytesMut::new();
            }
        }
    }

    /// Forgets everything (tcp_write_queue_purge).
    pub(crate) fn clear(&mut self) {
        *self = SendQueue::default();
    }
}

#[cfg(test)]
mod tests;
