//! What a packet carries: a rope of reference-counted byte chunks.

use alloc::vec::Vec;
use core::ops::{Bound, RangeBounds};

use bytes::Bytes;
use smallvec::SmallVec;

/// The payload of a segment or datagram: chunks shared with the sender's queue, nothing is copied on the way.
///
/// Empty chunks are never stored, so `iter()` yields at least one byte each time.
#[derive(Clone, Default)]
pub struct Payload(SmallVec<[Bytes; 1]>);

impl Payload {
    /// No bytes.
    #[inline]
    pub fn new() -> Payload {
        Payload(SmallVec::new())
    }

    /// Total number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0[..] {
            [] => 0,
            [one] => one.len(),
            many => many.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there is no byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The chunks, in order; none is empty.
    pub fn iter(&self) -> core::slice::Iter<'_, Bytes> {
        self.0.iter()
    }

    /// Appends a chunk.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.0.push(chunk);
        }
    }

    /// The bytes in `range`, sharing the chunks. A range beyond the end is cut to what is there.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Payload {
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.saturating_add(1),
            Bound::Excluded(&n) => n,
            Bound::Unbounded => usize::MAX,
        };
        let mut out = Payload::new();
        let mut at = 0;
        for chunk in &self.0 {
            if at >= end {
                break;
            }
            let from = start.saturating_sub(at).min(chunk.len());
            let to = (end - at).min(chunk.len());
            if from < to {
                out.0.push(chunk.slice(from..to));
            }
            at += chunk.len();
        }
        out
    }

    /// Copies the front of the payload to `out`; the number of bytes copied.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut done = 0;
        for chunk in &self.0 {
            let n = chunk.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&chunk[..n]);
            done += n;
            if done == out.len() {
                break;
            }
        }
        done
    }

    /// All bytes in one vector.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        for chunk in &self.0 {
            out.extend_from_slice(chunk);
        }
        out
    }

    /// All bytes as one chunk: shared when there is only one, else copied.
    pub fn to_bytes(&self) -> Bytes {
        match &self.0[..] {
            [] => Bytes::new(),
            [one] => one.clone(),
            _ => Bytes::from(self.to_vec()),
        }
    }
}

impl From<Bytes> for Payload {
    #[inline]
    fn from(chunk: Bytes) -> Payload {
        let mut payload = Payload::new();
        payload.push(chunk);
        payload
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload::from(Bytes::from(bytes))
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Payload {
        Payload::from(Bytes::copy_from_slice(bytes))
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Payload {
        let mut payload = Payload::new();
        chunks.into_iter().for_each(|chunk| payload.push(chunk));
        payload
    }
}

impl IntoIterator for Payload {
    type Item = Bytes;
    type IntoIter = smallvec::IntoIter<[Bytes; 1]>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Payload {
    type Item = &'a Bytes;
    type IntoIter = core::slice::Iter<'a, Bytes>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Equal when the bytes are, however they are cut into chunks.
impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.len() == other.len() && self.0.iter().flatten().eq(other.0.iter().flatten())
    }
}

impl Eq for Payload {}

impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        const SHOWN: usize = 64;
        let mut head = [0; SHOWN];
        let n = self.copy_to(&mut head);
        write!(f, "{}b\"{}\"", self.len(), head[..n].escape_ascii())?;
        if n < self.len() {
            f.write_str("...")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
