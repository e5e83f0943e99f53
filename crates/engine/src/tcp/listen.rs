//! Passive opens: the SYN queue and the accept queue (RFC 9293, 3.10.7.2; Linux's request sockets).
//!
//! # Theory of operation
//! A SYN for a listener makes a [`Request`], a small entry in the connection table, and is answered. The last ACK of the
//! handshake turns it into a connection in the listener's accept queue. When that queue is full the ACK is ignored, and
//! the peer, which thinks it is connected, sends its data again until there is room.
//!
//! # Limits
//! Accept queue: backlog + 1 (Linux compares with >). SYN queue: backlog; beyond it, SYNs are answered
//! with cookies (`syncookies`), or dropped. SYN-ACKs are sent again tcp_synack_retries times, fewer when the queue is more than half full.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use switchboard_wire::{
    FastOpenCookie, Payload, SeqNum, TcpFlags, TcpOptions, TcpSegment, Timestamps,
};

use super::connection::FourTuple;
use super::user::InitialWindow;
use crate::event::TcpId;
use crate::extended::SendExtra;
use crate::iface::IfIndex;
use crate::route::RouteInfo;
use crate::time::Instant;

/// A socket in LISTEN.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    /// Already cut to somaxconn.
    pub(crate) backlog: u32,
    /// Established, not yet accepted.
    pub(crate) accept: VecDeque<TcpId>,
    /// Requests in the table, and those whose SYN-ACK was not repeated yet.
    pub(crate) requests: u32,
    pub(crate) young: u32,
    /// Those of `accept` and of the accepted that were opened fast and wait for the last ACK; some that do not any more.
    pub(crate) fast: Vec<TcpId>,
    /// When a SYN was last answered with a cookie.
    pub(crate) flooded_at: Option<Instant>,
    /// Its SO_REUSEPORT group; 0: none.
    pub(crate) group: u32,
}

impl Listener {
    /// sk_acceptq_is_full.
    pub(crate) fn accept_full(&self) -> bool {
        self.accept.len() > self.backlog as usize
    }

    /// inet_csk_reqsk_queue_is_full.
    pub(crate) fn requests_full(&self) -> bool {
        self.requests >= self.backlog.max(1)
    }

    /// How often a SYN-ACK is repeated before the request is dropped (reqsk_timer_handler).
    pub(crate) fn syn_ack_retries(&self, configured: u8) -> u8 {
        let mut retries = configured;
        if self.requests * 2 > self.backlog.max(8) {
            let mut young = self.young * 2;
            while retries > 2 && self.requests >= young {
                retries -= 1;
                young *= 2;
            }
        }
        retries
    }
}

/// A connection whose handshake is not over (NEW_SYN_RECV).
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) tuple: FourTuple,
    /// What the connection will be bound to.
    pub(crate) device: Option<IfIndex>,
    pub(crate) listener: TcpId,
    pub(crate) route: RouteInfo,
    pub(crate) iss: SeqNum,
    pub(crate) irs: SeqNum,
    /// The peer's MSS option, and the one we announce.
    pub(crate) peer_mss: u16,
    pub(crate) advmss: u16,
    pub(crate) peer_scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) ecn: bool,
    pub(crate) ts_recent: Option<u32>,
    pub(crate) ts_offset: u32,
    pub(crate) initial: InitialWindow,
    /// How often the timer ran, and how often the SYN-ACK was repeated.
    pub(crate) timeouts: u8,
    pub(crate) retransmits: u8,
    /// The last ACK arrived, but the connection could not be handed over yet.
    pub(crate) acked: bool,
    pub(crate) sent_at: Instant,
    pub(crate) last_answer: Instant,
    /// TCP_SAVED_SYN of the connection to come.
    pub(crate) saved_syn: Option<Bytes>,
    /// The Fast Open cookie that the SYN-ACK gives.
    pub(crate) cookie: Option<FastOpenCookie>,
    /// TCP_RTO_MAX_MS of the listener.
    pub(crate) rto_max: Duration,
    /// The listener has ended, and its group may have another one for it.
    pub(crate) left: Option<Box<super::migrate::Left>>,
    pub(crate) tos: u8,
    pub(crate) ttl: Option<u8>,
    /// The answer to the IPv4 options of the SYN, or the listener's IPv6 extension headers.
    pub(crate) extra: Option<Box<SendExtra>>,
}

impl Request {
    fn ts_now(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.ts_offset)
    }

    /// The SYN-ACK.
    pub(crate) fn syn_ack(&self, now: Instant) -> TcpSegment {
        TcpSegment {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq: self.iss,
            ack: self.irs + 1u32,
            // RFC 3168, 6.1.1: ECE alone agrees.
            flags: if self.ecn {
                TcpFlags::SYN | TcpFlags::ACK | TcpFlags::ECE
            } else {
                TcpFlags::SYN | TcpFlags::ACK
            },
            window: self.initial.window.min(0xffff) as u16,
            urgent: 0,
            options: TcpOptions {
                mss: Some(self.advmss),
                // Only in answer to the option (RFC 7323, 2.2 and 3.2).
                window_scale: self.peer_scale.map(|_| self.initial.scale),
                sack_permitted: self.sack,
                timestamps: self.ts_recent.map(|echo| Timestamps {
                    value: self.ts_now(now),
                    echo,
                }),
                fastopen: self.cookie,
                ..TcpOptions::default()
            },
            payload: Payload::new(),
            gso: 0,
        }
    }

    /// An acknowledgment for a segment that does not belong here (tcp_v4_reqsk_send_ack).
    pub(crate) fn plain_ack(&self, now: Instant) -> TcpSegment {
        let scale = if self.peer_scale.is_some() {
            self.initial.scale
        } else {
            0
        };
        let mut segment = self.syn_ack(now);
        segment.seq = self.iss + 1u32;
        segment.flags = TcpFlags::ACK;
        segment.window = (self.initial.window >> scale) as u16;
        segment.options.mss = None;
        segment.options.sack_permitted = false;
        segment.options.fastopen = None;
        segment.options.window_scale = None;
        segment
    }
}

/// What a segment means for a request (tcp_check_req).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Drop,
    /// The SYN again: repeat the SYN-ACK.
    RepeatSynAck,
    /// Not acceptable: an ACK says where we are.
    Acknowledge,
    /// RFC 9293, 3.10.7.4, fifth step, SYN-RECEIVED: "form a reset segment".
    Reset,
    /// The request is over: the peer reset it.
    Forget,
    /// A SYN in the window: reset, and the request is over.
    ResetAndForget,
    /// The handshake is complete.
    Establish,
}

impl Request {
    pub(crate) fn judge(&self, now: Instant, segment: &TcpSegment) -> Judgement {
        let flags = segment.flags;
        // An echo of what no SYN-ACK has said.
        let stranger = match (self.ts_recent, segment.options.timestamps) {
            (Some(_), Some(ts)) if ts.echo != 0 => {
                let first = self.ts_now(self.sent_at);
                ts.echo.wrapping_sub(first) > self.ts_now(now).wrapping_sub(first)
            }
            _ => false,
        };
        let old = match (self.ts_recent, segment.options.timestamps) {
            // Zero is that none is known (tcp_paws_check).
            (Some(recent), Some(ts)) => recent != 0 && recent.wrapping_sub(ts.value) as i32 > 0,
            _ => false,
        };
        let control = flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST);
        if segment.seq == self.irs && control == TcpFlags::SYN && !old {
            return Judgement::RepeatSynAck;
        }
        if flags.contains(TcpFlags::ACK) && segment.ack != self.iss + 1u32 {
            return if flags.contains(TcpFlags::RST) {
                Judgement::Drop
            } else {
                Judgement::Reset
            };
        }
        let next = self.irs + 1u32;
        let end = segment.seq + segment.seq_len();
        let in_window = if segment.seq == next {
            true
        } else {
            end.gt(next) && segment.seq.lt(next + self.initial.window)
        };
        if old || stranger || !in_window {
            let rst = flags.contains(TcpFlags::RST);
            return if rst {
                Judgement::Drop
            } else {
                Judgement::Acknowledge
            };
        }
        if flags.contains(TcpFlags::RST) {
            // RFC 5961, 3.2 leaves SYN-RECEIVED as RFC 9293 has it; Linux wants the exact number, and challenges the rest.
            return if segment.seq == next {
                Judgement::Forget
            } else {
                Judgement::Acknowledge
            };
        }
        if flags.contains(TcpFlags::SYN) && segment.seq != self.irs {
            return Judgement::ResetAndForget;
        }
        if !flags.contains(TcpFlags::ACK) {
            return Judgement::Drop;
        }
        Judgement::Establish
    }
}
