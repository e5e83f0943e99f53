//! The receive queue of a UDP socket and its memory accounting.
//!
//! # Theory of operation
//! Linux charges a queued datagram by its truesize: the sk_buff, its data area rounded up to an allocation size, and
//! pages. A socket takes a datagram if it fits the rest of its receive buffer, or if nothing is charged
//! (__udp_enqueue_schedule_skb, Linux 6.18). What a reader takes is not uncharged at once: the reader works on a batch
//! of its own, and gives memory back when it has taken a quarter of the buffer or the batch is empty
//! (udp_rmem_release); what has arrived by then is in the next batch. So how many datagrams fit depends on how they were read, here as there.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use switchboard_wire::Payload;

use crate::extended::Arrived;
use crate::iface::IfIndex;
use crate::tag::Tag;
use crate::time::Instant;

/// A datagram in a socket's receive queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpReceived {
    /// Who sent it. IPv4 senders have IPv4 addresses here, on IPv6 sockets too.
    pub from: SocketAddr,
    /// The address it was sent to.
    pub to: IpAddr,
    /// The port it was sent to; 0 of raw and ping sockets.
    pub port: u16,
    /// The interface it came in by.
    pub interface: IfIndex,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv6's flow label.
    pub flow_label: u32,
    /// When it came in.
    pub at: Instant,
    /// The socket asked for packet information when it came in (ipv4_pktinfo_prepare): otherwise Linux does not know
    /// `interface` any more.
    pub noted: bool,
    /// Not 0: the data is that of datagrams of this size each (UDP_GRO).
    pub segment: u16,
    /// The socket stamped what came in by then.
    pub stamped: bool,
    /// How many datagrams the socket had dropped before it, if it counted them (SO_RXQ_OVFL).
    pub drops: u32,
    /// It is empty and was shown by a peek at an offset (SO_PEEK_OFF).
    pub peeked: bool,
    /// What its sender marked it with, if that is a socket of this host.
    pub tag: Tag,
    /// What it came with, if that is more than a plain header.
    pub extra: Option<Box<Arrived>>,
    /// The data.
    pub payload: Payload,
}

#[derive(Debug)]
pub(crate) struct ReceiveQueue {
    items: VecDeque<(UdpReceived, u32)>,
    /// SO_RCVBUF as the kernel keeps it: twice what was asked for.
    limit: u32,
    /// What is charged for datagrams.
    charged: u32,
    /// What else sk_rmem_alloc counts: the layer's queue of errors.
    beside: u32,
    /// How many items at the front are the reader's batch (reader_queue).
    batch: usize,
    /// What was read and is still charged (forward_deficit).
    deficit: u32,
    /// The queue of a raw or ping socket: sock_queue_rcv_skb() looks at what is charged only, and nothing is given
    /// back late.
    plain: bool,
    /// Datagrams that did not fit (sk_drops).
    pub(crate) drops: u32,
}

impl ReceiveQueue {
    pub(crate) fn new(limit: u32) -> ReceiveQueue {
        ReceiveQueue {
            items: VecDeque::new(),
            limit,
            charged: 0,
            beside: 0,
            batch: 0,
            deficit: 0,
            plain: false,
            drops: 0,
        }
    }

    /// Makes it the queue of a raw or ping socket.
    pub(crate) fn make_plain(&mut self) {
        self.plain = true;
    }

    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(crate) fn charged(&self) -> u32 {
        self.charged
    }

    pub(crate) fn set_beside(&mut self, bytes: u32) {
        self.beside = bytes;
    }

    /// sk_rmem_alloc.
    fn allocated(&self) -> u32 {
        self.charged.saturating_add(self.beside)
    }

    /// Whether what is charged reaches the limit.
    pub(crate) fn is_full(&self) -> bool {
        self.allocated() >= self.limit
    }

    /// Takes a datagram, or drops and counts it when it does not fit.
    pub(crate) fn push(&mut self, datagram: UdpReceived) -> bool {
        let len = datagram.payload.len();
        let size = match datagram.tag.paged {
            // Headers in a small head, data in pages that are charged by the byte (udp_rcv_segment(), too).
            true => SKB + SMALL_HEAD + len as u32,
            false => datagram_memory(len, datagram.to.is_ipv6()),
        };
        // With nothing charged any datagram is taken, however small the buffer.
        let full = match self.plain {
            true => self.is_full(),
            false => {
                let before = self.allocated();
                before != 0 && before.saturating_add(size) > self.limit
            }
        };
        if full {
            self.drops = self.drops.wrapping_add(1);
            return false;
        }
        self.charged += size;
        self.items.push_back((datagram, size));
        true
    }

    pub(crate) fn front(&self) -> Option<&UdpReceived> {
        self.items.front().map(|(datagram, _)| datagram)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &UdpReceived> {
        self.items.iter().map(|(datagram, _)| datagram)
    }

    pub(crate) fn mark_peeked(&mut self, index: usize) {
        if let Some((datagram, _)) = self.items.get_mut(index) {
            datagram.peeked = true;
        }
    }

    /// Makes what is queued the reader's batch, if there is none.
    pub(crate) fn look(&mut self) {
        if self.batch == 0 {
            self.batch = self.items.len();
        }
    }

    pub(crate) fn pop(&mut self) -> Option<UdpReceived> {
        self.look();
        let (datagram, size) = self.items.pop_front()?;
        self.batch -= 1;
        self.deficit += size;
        // forward_threshold: a quarter of the buffer.
        if self.plain || self.deficit >= self.limit >> 2 || self.batch == 0 {
            self.charged -= self.deficit;
            self.deficit = 0;
            // "this can save us from acquiring the rx queue lock on next receive"
            self.batch = self.items.len();
        }
        Some(datagram)
    }
}

/// sizeof(struct sk_buff), rounded up to a cache line.
const SKB: u32 = 256;
/// sizeof(struct skb_shared_info), which ends the data area.
const SHARED_INFO: u32 = 320;
/// The smallest data area (SKB_SMALL_HEAD_CACHE_SIZE as the kernel measured against has it; it follows from its build
/// options).
const SMALL_HEAD: u32 = 576;
/// The largest header and data that go in one piece of memory (SKB_MAX_ALLOC).
const MAX_LINEAR: u32 = (16 << 10) - SHARED_INFO;

/// What Linux 6.18 charges for a datagram of `len` bytes that came over `lo`.
pub fn datagram_memory(len: usize, v6: bool) -> u32 {
    let len = u32::try_from(len).unwrap_or(u32::MAX >> 2);
    // UDP and IP headers, then room for the link header: 16 bytes, and 15 for alignment in IPv4 or 8 for a fragment
    // header in IPv6 (__ip_append_data, __ip6_append_data).
    let overhead = if v6 {
        8 + 40 + 16 + 8
    } else {
        8 + 20 + 16 + 15
    };
    if len + overhead >= MAX_LINEAR {
        // Headers in a small head, data in pages that are charged by the byte.
        return SKB + SMALL_HEAD + len;
    }
    let area = len + overhead + SHARED_INFO;
    SKB + if area <= SMALL_HEAD {
        SMALL_HEAD
    } else {
        area.next_power_of_two()
    }
}

#[cfg(test)]
mod tests;
