//! What a packet carries: a rope of reference-counted byte chunks.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::{Bound, RangeBounds};

use bytes::Bytes;

/// The payload of a segment or datagram: chunks shared with the sender's queue, nothing is copied on the way.
///
/// Empty chunks are never stored, so `iter()` yields at least one byte each time.
#[derive(Clone)]
pub struct Payload(Rope);

/// As large as one `Bytes`, since a payload is moved by value many times on its way, and nearly always one chunk.
#[derive(Clone)]
enum Rope {
    /// One chunk, or none: then it is empty.
    One(Bytes),
    /// Two chunks or more.
    #[allow(
        clippy::box_collection,
        reason = "so that the enum is no larger than `Bytes`"
    )]
    Many(Box<Vec<Bytes>>),
}

impl Payload {
    /// No bytes.
    #[inline]
    pub const fn new() -> Payload {
        Payload(Rope::One(Bytes::new()))
    }

    #[inline]
    fn chunks(&self) -> &[Bytes] {
        match &self.0 {
            Rope::One(none) if none.is_empty() => &[],
            Rope::One(one) => core::slice::from_ref(one),
            Rope::Many(many) => many,
        }
    }

    /// Total number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Rope::One(one) => one.len(),
            Rope::Many(many) => many.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there is no byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Rope::One(one) if one.is_empty())
    }

    /// The chunks, in order; none is empty.
    #[inline]
    pub fn iter(&self) -> core::slice::Iter<'_, Bytes> {
        self.chunks().iter()
    }

    /// Appends a chunk.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        match &mut self.0 {
            _ if chunk.is_empty() => {}
            Rope::One(one) if one.is_empty() => *one = chunk,
            Rope::One(one) => {
                let first = core::mem::take(one);
                self.0 = Rope::Many(Box::new(vec![first, chunk]));
            }
            Rope::Many(many) => many.push(chunk),
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
        if start == 0 && end >= self.len() {
            return self.clone();
        }
        let mut out = Payload::new();
        let mut at = 0;
        for chunk in self {
            if at >= end {
                break;
            }
            let from = start.saturating_sub(at).min(chunk.len());
            let to = (end - at).min(chunk.len());
            if from < to {
                out.push(chunk.slice(from..to));
            }
            at += chunk.len();
        }
        out
    }

    /// Copies the front of the payload to `out`; the number of bytes copied.
    #[inline]
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut done = 0;
        for chunk in self {
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
        for chunk in self {
            out.extend_from_slice(chunk);
        }
        out
    }

    /// All bytes as one chunk: shared when there is only one, else copied.
    pub fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Rope::One(one) => one.clone(),
            Rope::Many(_) => Bytes::from(self.to_vec()),
        }
    }
}

impl Default for Payload {
    #[inline]
    fn default() -> Payload {
        Payload::new()
    }
}

/// Bytes and their reference count in one allocation. `Bytes` of a vector takes a second one when it is first cloned,
/// which every sent byte is.
struct Small<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Small<N> {
    #[inline]
    fn shared(from: &[u8]) -> Bytes {
        let mut bytes = [0; N];
        bytes[..from.len()].copy_from_slice(from);
        Bytes::from_owner(Small {
            bytes,
            len: from.len() as u8,
        })
    }
}

impl<const N: usize> AsRef<[u8]> for Small<N> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }
}

/// With the length, the count and the allocator's own word: blocks of 64 and 256 bytes.
const TINY: usize = 47;
const SMALL: usize = 239;

impl From<Bytes> for Payload {
    #[inline]
    fn from(chunk: Bytes) -> Payload {
        Payload(Rope::One(chunk))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload::from(Bytes::from(bytes))
    }
}

impl From<&[u8]> for Payload {
    #[inline]
    fn from(bytes: &[u8]) -> Payload {
        const SMALL_FROM: usize = TINY + 1;
        Payload::from(match bytes.len() {
            0 => Bytes::new(),
            1..=TINY => Small::<TINY>::shared(bytes),
            SMALL_FROM..=SMALL => Small::<SMALL>::shared(bytes),
            _ => Bytes::copy_from_slice(bytes),
        })
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
    type IntoIter = IntoIter;
    #[inline]
    fn into_iter(self) -> IntoIter {
        IntoIter(match self.0 {
            Rope::One(one) => Chunks::One(one),
            Rope::Many(many) => Chunks::Many(many.into_iter()),
        })
    }
}

/// The chunks of a [`Payload`], by value.
#[derive(Debug)]
pub struct IntoIter(Chunks);

#[derive(Debug)]
enum Chunks {
    One(Bytes),
    Many(vec::IntoIter<Bytes>),
}

impl Iterator for IntoIter {
    type Item = Bytes;
    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Chunks::One(one) if one.is_empty() => None,
            Chunks::One(one) => Some(core::mem::take(one)),
            Chunks::Many(many) => many.next(),
        }
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
        self.len() == other.len() && self.iter().flatten().eq(other.iter().flatten())
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
