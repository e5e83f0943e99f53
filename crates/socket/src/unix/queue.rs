//! What waits in a receive queue, and what it costs the sender.

use crate::message::{Right, Ucred};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_wire::Payload;

/// `sizeof(struct sk_buff)`, as a slab object.
const SKB: u32 = 256;
/// `sizeof(struct skb_shared_info)`, cache-line aligned: it follows the data of every skb.
const SHARED_INFO: usize = 320;
/// The smallest slab object that holds it: 320 bytes and up come from kmalloc-512.
const SMALLEST_HEAD: usize = 512;
const PAGE: usize = 4096;
/// `SKB_MAX_HEAD(0)`: the linear part of a stream's skb stays within one page.
const STREAM_HEAD: usize = PAGE - SHARED_INFO;
/// `UNIX_SKB_FRAGS_SZ`: what a stream's skb holds in page fragments.
const STREAM_FRAGS: usize = 32 * 1024;
/// `SKB_MAX_ALLOC`: the linear part of a datagram, up to which it has no fragments.
const DGRAM_HEAD: usize = (PAGE << 2) - SHARED_INFO;
/// `MAX_SKB_FRAGS`: page fragments of an skb.
const MAX_FRAGS: usize = 17;

/// Linux's skb: bytes of one send, with what travels with them.
pub(super) struct Chunk {
    pub(super) data: Payload,
    /// Bytes that were read off the front (streams).
    pub(super) taken: u32,
    /// What the sender is charged until all of it is read.
    pub(super) truesize: u32,
    pub(super) sender: SocketId,
    /// An empty datagram that was peeked at (skb->peeked): the next peek passes it over.
    pub(super) peeked: bool,
    pub(super) extra: Option<Box<Extra>>,
}

/// What few chunks have.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) credentials: Option<Ucred>,
    pub(super) rights: Vec<Right>,
    /// The user whose count of files in flight the rights stand in.
    pub(super) user: u32,
    /// When it was sent, for `SO_TIMESTAMP`.
    pub(super) at: Option<Duration>,
}

impl Chunk {
    /// Bytes not read yet.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.data.len() - self.taken as usize
    }

    /// Appends `n` of the bytes to `out`, from an offset into the whole chunk.
    #[inline]
    pub(super) fn append_to(&self, out: &mut Payload, mut offset: usize, mut n: usize) {
        for part in self.data.iter() {
            if n == 0 {
                break;
            }
            if offset >= part.len() {
                offset -= part.len();
                continue;
            }
            let here = n.min(part.len() - offset);
            out.push(if here == part.len() {
                part.clone()
            } else {
                part.slice(offset..offset + here)
            });
            n -= here;
            offset = 0;
        }
    }

    pub(super) fn credentials(&self) -> Option<Ucred> {
        self.extra.as_ref().and_then(|extra| extra.credentials)
    }

    pub(super) fn rights(&self) -> &[Right] {
        self.extra.as_ref().map_or(&[], |extra| &extra.rights)
    }
}

/// alloc_skb(): the skb and its linear part of `len` bytes.
fn head_truesize(len: usize) -> u32 {
    let size = len.next_multiple_of(64) + SHARED_INFO;
    size.next_power_of_two().max(SMALLEST_HEAD) as u32 + SKB
}

/// How many of `left` bytes a stream puts in its next skb, and what that costs
/// (unix_stream_sendmsg()).
#[inline]
pub(super) fn stream_piece(sndbuf: u32, left: usize) -> (usize, u32) {
    // "Keep two messages in the pipe so it schedules better."
    let size = left
        .min((sndbuf as usize >> 1).saturating_sub(64).max(1))
        .min(STREAM_HEAD + STREAM_FRAGS);
    (size, stream_truesize(size))
}

/// The cost of a stream's skb of `size` bytes.
#[inline]
pub(super) fn stream_truesize(size: usize) -> u32 {
    if size <= 192 {
        return SMALLEST_HEAD as u32 + SKB;
    }
    let frags = size.min(size.saturating_sub(STREAM_HEAD).next_multiple_of(PAGE));
    head_truesize(size - frags) + frags.next_multiple_of(PAGE) as u32
}

/// The cost of a datagram (unix_dgram_sendmsg()).
pub(super) fn dgram_truesize(len: usize) -> u32 {
    let frags = len
        .saturating_sub(DGRAM_HEAD)
        .min(MAX_FRAGS * PAGE)
        .next_multiple_of(PAGE);
    head_truesize(len - frags) + frags as u32
}
