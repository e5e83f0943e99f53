//! The receive queue: bytes in order, as the application will read them.
//!
//! # Theory of operation
//! Segments arrive as reference-counted chunks and are queued as they are, so bulk data is not copied. A chunk that is
//! small would cost more in bookkeeping than it carries (a one-byte write is one segment), so small chunks are copied
//! behind one another into a tail buffer of the queue's own. The tail grows up to [`TAIL_MAX`].
//!
//! # Limits
//! [`StreamQueue::charged`] is what counts against SO_RCVBUF: the bytes and [`CHUNK_COST`] for each chunk held. A chunk is
//! discharged when its last byte is consumed, as an skb is in Linux.

use bytes::{Bytes, BytesMut};
use switchboard_wire::Payload;

use super::chunks::Chunks;

/// Chunks shorter than this are copied together.
const SMALL: usize = 512;
/// Size of a tail buffer when it begins, and the most it grows to.
const TAIL_MIN: usize = 256;
const TAIL_MAX: usize = 4096;
/// What a chunk costs besides its bytes: Linux charges an sk_buff and its shared info, 256 + 320 bytes.
pub(crate) const CHUNK_COST: usize = 576;

/// Bytes received in order and not yet read.
#[derive(Debug, Default)]
pub struct StreamQueue {
    chunks: Chunks,
    len: usize,
    charged: usize,
    /// Bytes of the front chunk already consumed; they stay charged until the chunk goes.
    front_taken: usize,
    /// Room left in the back chunk, when that is a tail buffer of our own.
    tail_room: usize,
}

impl StreamQueue {
    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunks in order from the front; none is empty.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> + '_ {
        self.chunks.iter()
    }

    /// The first chunk; empty when the queue is.
    #[inline]
    pub fn front(&self) -> &Bytes {
        self.chunks.front()
    }

    /// Copies bytes from `offset` on to `out`, without consuming them; how many.
    pub fn copy_from(&self, offset: usize, out: &mut [u8]) -> usize {
        let mut skip = offset;
        let mut done = 0;
        for chunk in self.chunks.iter() {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let n = (chunk.len() - skip).min(out.len() - done);
            out[done..done + n].copy_from_slice(&chunk[skip..skip + n]);
            skip = 0;
            done += n;
            if done == out.len() {
                break;
            }
        }
        done
    }

    /// Appends `n` bytes from `offset` on to `out`, shared, without consuming them.
    #[inline]
    pub fn share(&self, offset: usize, n: usize, out: &mut Payload) {
        let front = self.chunks.front();
        if offset == 0 && n <= front.len() {
            out.push(if n == front.len() {
                front.clone()
            } else {
                front.slice(..n)
            });
            return;
        }
        let mut skip = offset;
        let mut left = n;
        for chunk in self.chunks.iter() {
            if left == 0 {
                break;
            }
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let take = left.min(chunk.len() - skip);
            out.push(chunk.slice(skip..skip + take));
            skip = 0;
            left -= take;
        }
    }

    /// The byte at `offset`.
    pub(crate) fn byte_at(&self, offset: usize) -> Option<u8> {
        let mut byte = [0];
        (self.copy_from(offset, &mut byte) == 1).then_some(byte[0])
    }

    /// What the queue counts against the receive buffer.
    #[inline]
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    #[inline]
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.len += chunk.len();
        self.charged += chunk.len();
        if chunk.len() < SMALL && !self.chunks.is_empty() && self.append_small(&chunk) {
            return;
        }
        self.charged += CHUNK_COST;
        self.tail_room = 0;
        self.chunks.push(chunk);
    }

    /// Copies a small chunk behind the last one. True when no chunk was added.
    fn append_small(&mut self, data: &[u8]) -> bool {
        let Some(back) = self.chunks.back_mut() else {
            return false;
        };
        if self.tail_room < data.len() {
            if back.len() >= TAIL_MAX / 2 {
                // Behind a large chunk, or a tail that is full: begin a tail buffer.
                let mut tail = with_capacity(TAIL_MIN.max(data.len()));
                tail.extend_from_slice(data);
                self.tail_room = tail.capacity() - tail.len();
                self.charged += CHUNK_COST;
                self.chunks.push(tail.freeze());
                return true;
            }
            // Behind a small chunk, or in a tail that is to grow: move both into one twice the size.
            let size = ((back.len() + data.len()) * 2).clamp(TAIL_MIN, TAIL_MAX);
            if size < back.len() + data.len() {
                return false;
            }
            let mut tail = with_capacity(size);
            tail.extend_from_slice(back);
            tail.extend_from_slice(data);
            self.tail_room = tail.capacity() - tail.len();
            *back = tail.freeze();
            return true;
        }
        // The tail is ours alone unless a reader still holds a clone; then it is left as it is.
        match core::mem::take(back).try_into_mut() {
            Ok(mut tail) if tail.capacity() - tail.len() >= data.len() => {
                tail.extend_from_slice(data);
                self.tail_room -= data.len();
                *back = tail.freeze();
                true
            }
            Ok(tail) => {
                *back = tail.freeze();
                self.tail_room = 0;
                self.append_small(data)
            }
            Err(shared) => {
                *back = shared;
                false
            }
        }
    }

    /// Puts bytes back in front.
    pub(crate) fn unread(&mut self, chunks: impl Iterator<Item = Bytes>) {
        let mut whole = StreamQueue::default();
        chunks.for_each(|chunk| whole.push(chunk));
        self.chunks
            .iter()
            .for_each(|chunk| whole.push(chunk.clone()));
        *self = whole;
    }

    /// Drops `n` bytes from the front.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        let mut left = n.min(self.len);
        self.len -= left;
        while left > 0 {
            let front = self.chunks.front_mut();
            if left < front.len() {
                bytes::Buf::advance(front, left);
                self.front_taken += left;
                return;
            }
            left -= front.len();
            self.charged -= front.len() + self.front_taken + CHUNK_COST;
            self.front_taken = 0;
            self.chunks.pop();
        }
        if self.len == 0 {
            self.tail_room = 0;
        }
    }
}

/// A buffer of the shared kind, so that freezing it and taking it back allocate nothing.
fn with_capacity(n: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(n);
    drop(buffer.split_to(0));
    buffer
}

#[cfg(test)]
mod tests;
