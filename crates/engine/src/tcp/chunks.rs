//! A FIFO of byte chunks whose first element is stored in place: a queue that holds at most one chunk, which is the
//! common case on a fast path, owns no heap of its own, and an empty one owns none at all.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::Bytes;

#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks {
    /// Empty only when the whole list is empty.
    first: Bytes,
    #[allow(
        clippy::box_collection,
        reason = "8 bytes in a million idle connections instead of 32"
    )]
    rest: Option<Box<VecDeque<Bytes>>>,
}

impl Chunks {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        usize::from(!self.first.is_empty()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    #[inline]
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(!chunk.is_empty());
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.get_or_insert_default().push_back(chunk);
        }
    }

    #[inline]
    pub(crate) fn front(&self) -> &Bytes {
        &self.first
    }

    #[inline]
    pub(crate) fn front_mut(&mut self) -> &mut Bytes {
        &mut self.first
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&Bytes> {
        match index {
            0 => (!self.first.is_empty()).then_some(&self.first),
            _ => self.rest.as_ref()?.get(index - 1),
        }
    }

    #[inline]
    pub(crate) fn back_mut(&mut self) -> Option<&mut Bytes> {
        if let Some(rest) = &mut self.rest {
            return rest.back_mut();
        }
        (!self.first.is_empty()).then_some(&mut self.first)
    }

    /// Drops the front chunk.
    #[inline]
    pub(crate) fn pop(&mut self) {
        let Some(rest) = &mut self.rest else {
            self.first = Bytes::new();
            return;
        };
        self.first = rest.pop_front().unwrap_or_default();
        if rest.is_empty() {
            self.rest = None;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> + '_ {
        let first = (!self.first.is_empty()).then_some(&self.first);
        first
            .into_iter()
            .chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }
}
