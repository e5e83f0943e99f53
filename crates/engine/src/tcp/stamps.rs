//! When bytes leave and when they are acknowledged, for a sender that asked (SO_TIMESTAMPING).
//!
//! A send names its last byte. When the segment with that byte is handed to its interface, and when its acknowledgment
//! comes, a report leaves the engine; the layer above takes the reports after each call. Few connections ask, so what
//! is asked for stands behind one word.

use alloc::collections::VecDeque;

use switchboard_wire::{IpHeader, Packet, Payload, SeqNum, TcpSegment};

use crate::event::TcpId;
use crate::stack::Stack;
use crate::time::Instant;

bitflags::bitflags! {
    /// Moments in the life of a byte that is sent.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Moments: u8 {
        /// The segment is handed to the interface's queue (SCM_TSTAMP_SCHED).
        const QUEUED = 1 << 0;
        /// The interface has taken it (SCM_TSTAMP_SND).
        const SENT = 1 << 1;
        /// It is acknowledged (SCM_TSTAMP_ACK).
        const ACKED = 1 << 2;
    }
}

/// One moment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpStamp {
    /// Whose byte.
    pub socket: TcpId,
    /// Which moment: one of them.
    pub moment: Moments,
    /// The sequence number of the byte.
    pub last: u32,
    /// When.
    pub at: Instant,
    /// The segment as it left.
    pub packet: Option<Packet>,
    /// What it carried.
    pub data: Payload,
}

/// How many bytes of a connection are watched at most, and how many reports wait; more are forgotten.
const MAX: usize = 1024;

/// The bytes that a connection watches, in their order.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    /// Where records of MSG_EOR end: no segment reaches over such a place.
    pub(crate) records: VecDeque<SeqNum>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    last: SeqNum,
    moments: Moments,
    /// What its segment carried.
    data: Payload,
}

/// Reports that wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Reports(VecDeque<TcpStamp>);

impl Reports {
    fn push(&mut self, stamp: TcpStamp) {
        if self.0.len() < MAX {
            self.0.push_back(stamp);
        }
    }
}

impl Stamps {
    /// A segment is on its way.
    pub(crate) fn sent(
        &mut self,
        (now, socket): (Instant, TcpId),
        ip: &IpHeader,
        segment: &TcpSegment,
        reports: &mut Reports,
    ) {
        let end = segment.seq + segment.payload.len();
        for waiting in &mut self.waiting {
            let inside = !waiting.last.lt(segment.seq) && waiting.last.lt(end);
            let moments = waiting.moments & (Moments::QUEUED | Moments::SENT);
            if !inside {
                continue;
            }
            waiting.moments -= moments;
            waiting.data = segment.payload.clone();
            for moment in moments.iter() {
                let body = switchboard_wire::Body::Tcp(segment.clone());
                reports.push(TcpStamp {
                    socket,
                    moment,
                    last: waiting.last.0,
                    at: now,
                    packet: Some(Packet { ip: *ip, body }),
                    data: segment.payload.clone(),
                });
            }
        }
        self.waiting.retain(|waiting| !waiting.moments.is_empty());
    }

    /// Everything before `next` is acknowledged.
    pub(crate) fn acknowledged(
        &mut self,
        (now, socket): (Instant, TcpId),
        next: SeqNum,
        reports: &mut Reports,
    ) {
        while let Some(waiting) = self.waiting.front()
            && waiting.last.lt(next)
        {
            let Some(waiting) = self.waiting.pop_front() else {
                return;
            };
            if waiting.moments.contains(Moments::ACKED) {
                reports.push(TcpStamp {
                    socket,
                    moment: Moments::ACKED,
                    last: waiting.last.0,
                    at: now,
                    packet: None,
                    data: waiting.data,
                });
            }
        }
    }
}

impl Stack {
    /// The last of the next `len` bytes to be sent is watched.
    pub fn tcp_watch(&mut self, id: TcpId, len: usize, moments: Moments) {
        let conn = &mut self.tcp.open_mut(id).conn;
        let Some(before) = len.checked_sub(1) else {
            return;
        };
        let last = conn.write_seq() + before;
        let waiting = &mut conn.stamps.get_or_insert_default().waiting;
        if waiting.len() < MAX {
            waiting.push_back(Waiting {
                last,
                moments,
                data: Payload::new(),
            });
        }
    }

    #[inline]
    pub(crate) fn has_stamps(&self) -> bool {
        !self.tcp_stamps.0.is_empty()
    }

    /// The next moment that has come.
    pub fn poll_stamp(&mut self) -> Option<TcpStamp> {
        self.tcp_stamps.0.pop_front()
    }
}
