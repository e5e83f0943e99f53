//! Segments that arrived ahead of a gap (RFC 9293, 3.10.7.4: "segments with higher beginning sequence numbers SHOULD be
//! held for later processing").
//!
//! Keys are 64-bit stream offsets, so there is no wrap-around to order. Pieces never overlap: what is already held is cut
//! off a new piece, so the first copy of a byte is the one delivered.

use alloc::collections::BTreeMap;

use bytes::{Buf, Bytes};
use switchboard_wire::{SackList, SeqNum};

use super::stream_queue::{CHUNK_COST, StreamQueue};

#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    pieces: BTreeMap<u64, Bytes>,
    charged: usize,
    /// Stream offset of a FIN that arrived early.
    pub(crate) fin: Option<u64>,
    /// What is held, as selective acknowledgments say it: the block of the latest arrival first (RFC 2018, 4). What is
    /// beyond four is forgotten, as in Linux.
    blocks: [(u64, u64); BLOCKS],
    block_count: u8,
    /// What came twice: said once, with the next acknowledgment (RFC 2883).
    duplicate: Option<(SeqNum, SeqNum)>,
}

/// A header has room for four.
const BLOCKS: usize = 4;

impl Reassembly {
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_gap() && self.duplicate.is_none()
    }

    /// Something waits for what is before it.
    pub(crate) fn has_gap(&self) -> bool {
        !self.pieces.is_empty() || self.fin.is_some()
    }

    /// Bytes that came before.
    pub(crate) fn note_duplicate(&mut self, left: SeqNum, right: SeqNum) {
        match &mut self.duplicate {
            // tcp_dsack_extend.
            Some((l, r)) if !(left.gt(*r) || right.lt(*l)) => {
                (*l, *r) = (l.min(left), r.max(right));
            }
            other => *other = Some((left, right)),
        }
    }

    /// The right edge of the highest block.
    pub(crate) fn highest(&self) -> Option<u64> {
        let blocks = &self.blocks[..usize::from(self.block_count)];
        blocks.iter().map(|(_, right)| *right).max()
    }

    /// The stream offset after the last byte held.
    pub(crate) fn end(&self) -> Option<u64> {
        let (at, data) = self.pieces.last_key_value()?;
        Some(at + data.len() as u64)
    }

    /// What the SACK option takes of a header.
    pub(crate) fn option_len(&self, timestamps: bool) -> u32 {
        let most = if timestamps { BLOCKS - 1 } else { BLOCKS };
        let blocks = usize::from(self.block_count) + usize::from(self.duplicate.is_some());
        match blocks.min(most) as u32 {
            0 => 0,
            n => 4 + 8 * n,
        }
    }

    /// The blocks of an acknowledgment that leaves now. `received` is the stream offset of `rcv_nxt`.
    pub(crate) fn sack_blocks(&mut self, rcv_nxt: SeqNum, received: u64) -> SackList {
        let mut list = SackList::new();
        if let Some((left, right)) = self.duplicate.take() {
            list.push(left, right);
        }
        let seq = |offset: u64| rcv_nxt + offset.wrapping_sub(received) as u32;
        for &(left, right) in &self.blocks[..usize::from(self.block_count)] {
            // A FIN has a number too.
            let fin = u32::from(self.fin == Some(right));
            list.push(seq(left), seq(right) + fin);
        }
        list
    }

    /// tcp_sack_new_ofo_skb: what arrived joins the blocks that it touches, which come first.
    fn note_block(&mut self, mut left: u64, mut right: u64) {
        let mut kept = [(0, 0); BLOCKS];
        let mut n = 0;
        for &(l, r) in &self.blocks[..usize::from(self.block_count)] {
            if l <= right && left <= r {
                (left, right) = (left.min(l), right.max(r));
            } else {
                kept[n] = (l, r);
                n += 1;
            }
        }
        self.blocks[0] = (left, right);
        let more = n.min(BLOCKS - 1);
        self.blocks[1..=more].copy_from_slice(&kept[..more]);
        self.block_count = 1 + more as u8;
    }

    /// tcp_sack_remove: what is in order needs no block.
    fn forget_blocks(&mut self, next: u64) {
        let mut n = 0;
        for i in 0..usize::from(self.block_count) {
            if self.blocks[i].1 > next {
                self.blocks[n] = self.blocks[i];
                n += 1;
            }
        }
        self.block_count = n as u8;
    }

    /// What counts against the receive buffer.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    /// Holds `data`, which begins at stream offset `at`. Says what of it was held already.
    pub(crate) fn insert(&mut self, mut at: u64, mut data: Bytes) -> Option<(u64, u64)> {
        if data.is_empty() {
            return None;
        }
        self.note_block(at, at + data.len() as u64);
        let mut twice: Option<(u64, u64)> = None;
        let mut seen = |from: u64, to: u64| {
            if from < to {
                twice = Some(twice.map_or((from, to), |(l, r)| (l.min(from), r.max(to))));
            }
        };
        if let Some((&before, held)) = self.pieces.range(..=at).next_back() {
            let covered = (before + held.len() as u64).saturating_sub(at);
            if covered >= data.len() as u64 {
                seen(at, at + data.len() as u64);
                return twice;
            }
            seen(at, at + covered);
            data.advance(covered as usize);
            at += covered;
        }
        while !data.is_empty() {
            let end = at + data.len() as u64;
            let Some((&next, held)) = self.pieces.range(at..end).next() else {
                self.add(at, data);
                return twice;
            };
            let (next_len, head) = (held.len() as u64, (next - at) as usize);
            self.add(at, data.split_to(head));
            let skip = (next_len as usize).min(data.len());
            data.advance(skip);
            seen(next, next + skip as u64);
            at = next + skip as u64;
        }
        twice
    }

    fn add(&mut self, at: u64, data: Bytes) {
        if !data.is_empty() {
            self.charged += data.len() + CHUNK_COST;
            self.pieces.insert(at, data);
        }
    }

    /// Of what is held, the first run before stream offset `next`.
    pub(crate) fn covered(&self, next: u64) -> Option<(u64, u64)> {
        let mut twice: Option<(u64, u64)> = None;
        for (&at, data) in self.pieces.range(..next) {
            let end = (at + data.len() as u64).min(next);
            match &mut twice {
                None => twice = Some((at, end)),
                Some((_, right)) if *right == at => *right = end,
                Some(_) => break,
            }
        }
        twice
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
        self.forget_blocks(next);
        next
    }

    /// Drops the piece furthest away, to make room (tcp_prune_ofo_queue). False when there is none.
    pub(crate) fn drop_last(&mut self) -> bool {
        let Some((_, data)) = self.pieces.pop_last() else {
            return false;
        };
        self.charged -= data.len() + CHUNK_COST;
        // What was said before does not hold any more (RFC 2018, 8).
        self.block_count = 0;
        true
    }
}

#[cfg(test)]
mod tests;
