//! Segments that arrived ahead of a gap (RFC 9293, 3.10.7.4: "segments with higher beginning sequence numbers SHOULD be
//! held for later processing").
//!
//! Keys are 64-bit stream offsets, so there is no wrap-around to order. Pieces never overlap: what is already held is cut
//! off a new piece, so the first copy of a byte is the one delivered.

use alloc::collections::BTreeMap;

use bytes::{Buf, Bytes};

use super::stream_queue::{CHUNK_COST, StreamQueue};

#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    pieces: BTreeMap<u64, Bytes>,
    charged: usize,
    /// Stream offset of a FIN that arrived early.
    pub(crate) fin: Option<u64>,
}

impl Reassembly {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.fin.is_none()
    }

    /// What counts against the receive buffer.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    /// Holds `data`, which begins at stream offset `at`.
    pub(crate) fn insert(&mut self, mut at: u64, mut data: Bytes) {
        if let Some((&before, held)) = self.pieces.range(..=at).next_back() {
            let covered = (before + held.len() as u64).saturating_sub(at);
            if covered >= data.len() as u64 {
                return;
            }
            data.advance(covered as usize);
            at += covered;
        }
        while !data.is_empty() {
            let end = at + data.len() as u64;
            let Some((&next, held)) = self.pieces.range(at..end).next() else {
                self.add(at, data);
                return;
            };
            let (next_len, head) = (held.len() as u64, (next - at) as usize);
            self.add(at, data.split_to(head));
            let skip = (next_len as usize).min(data.len());
            data.advance(skip);
            at = next + skip as u64;
        }
    }

    fn add(&mut self, at: u64, data: Bytes) {
        if !data.is_empty() {
            self.charged += data.len() + CHUNK_COST;
            self.pieces.insert(at, data);
        }
    }

    /// Moves what has become contiguous at stream offset `next` into `queue`; the new end.
    pub(crate) fn drain(&mut self, mut next: u64, queue: &mut StreamQueue) -> u64 {
        while let Some(entry) = self.pieces.first_entry() {
            let at = *entry.key();
            if at > next {
                break;
            }
            let mut data = entry.remove();
            self.charged -= data.len() + CHUNK_COST;
            let old = (next - at) as usize;
            if old < data.len() {
                data.advance(old);
                next += data.len() as u64;
                queue.push(data);
            }
        }
        next
    }

    /// Drops the piece furthest away, to make room (tcp_prune_ofo_queue). False when there is none.
    pub(crate) fn drop_last(&mut self) -> bool {
        let Some((_, data)) = self.pieces.pop_last() else {
            return false;
        };
        self.charged -= data.len() + CHUNK_COST;
        true
    }
}

#[cfg(test)]
mod tests;
