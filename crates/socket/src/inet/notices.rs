//! What a sender is told of what it sent: transmit timestamps (`SO_TIMESTAMPING`) and `MSG_ZEROCOPY` notices. Both come
//! by the error queue.

use super::errqueue::{ExtendedError, Origin, QueuedError};
use crate::host::Host;
use crate::mask::PollMask;
use crate::options::control::Cookie;
use crate::options::timestamping::Sof;
use crate::socket::{Common, CommonFlags};
use crate::table::SocketId;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use switchboard_abi::Errno;
use switchboard_abi::number::MSG_ZEROCOPY;
use switchboard_engine::{Instant, Moments, TcpStamp};
use switchboard_wire::{Body, Packet, Payload};

/// `SCM_TSTAMP_*`, as `ee_info` tells it.
const SND: u32 = 0;
const SCHED: u32 = 1;
const ACK: u32 = 2;

/// `SO_EE_CODE_ZEROCOPY_COPIED`: the bytes were copied after all.
const COPIED: u8 = 1;

/// What Linux takes for an skb without data, or with the headers of a datagram.
const CHARGE: u32 = 832;

/// A moment that a sender asked for.
pub(crate) struct SentStamp {
    kind: u32,
    key: u32,
    at: Instant,
    /// What is given back of the message.
    data: Payload,
    /// How much of it is charged beside its headers.
    charged: usize,
    /// With all its headers: where it came from.
    source: Option<SocketAddr>,
}

impl Common {
    /// Whether a send with these flags wants a `MSG_ZEROCOPY` notice: without `SO_ZEROCOPY` the flag is nothing.
    pub(crate) fn wants_notice(&self, flags: i32) -> bool {
        flags & MSG_ZEROCOPY != 0 && self.has(CommonFlags::ZEROCOPY)
    }
}

impl Cookie {
    /// What of a stream's bytes is to be stamped.
    pub(crate) fn moments(&self) -> Moments {
        let mut moments = Moments::empty();
        moments.set(Moments::QUEUED, self.stamps.contains(Sof::TX_SCHED));
        moments.set(Moments::SENT, self.stamps.contains(Sof::TX_SOFTWARE));
        moments.set(Moments::ACKED, self.stamps.contains(Sof::TX_ACK));
        moments
    }

    /// Whether a datagram is numbered (SKBTX_ANY_TSTAMP).
    fn counts(&self) -> bool {
        let any = Sof::TX_RECORD.difference(Sof::TX_ACK);
        self.stamps.intersects(any) && self.stamps.contains(Sof::OPT_ID)
    }

    /// Whether the packet itself is given back with its stamps.
    pub(crate) fn keeps_packet(&self) -> bool {
        self.stamps.intersects(Sof::TX_SCHED | Sof::TX_SOFTWARE)
            && !self.stamps.contains(Sof::OPT_TSONLY)
    }
}

/// A packet as the loopback interface takes it: behind an Ethernet header of zeroes.
fn frame(packet: &Packet) -> Payload {
    let mut bytes = Vec::from([0; 12]);
    let kind: u16 = if packet.ip.is_v6() { 0x86dd } else { 0x0800 };
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&switchboard_wire::emit(packet));
    Payload::from(Bytes::from(bytes))
}

impl Host {
    /// A datagram has left: its stamps, in the order of their moments.
    pub(crate) fn datagram_sent(
        &mut self,
        id: SocketId,
        at: Instant,
        cookie: &Cookie,
        packet: Option<&Packet>,
    ) {
        let Ok(socket) = self.get_mut(id) else { return };
        let mut key = 0;
        if cookie.counts() {
            key = cookie.stamp_id.unwrap_or_else(|| {
                let next = &mut socket.common.rare_mut().stamping.key;
                let key = *next;
                *next = key.wrapping_add(1);
                key
            });
        }
        for (asked, kind) in [(Sof::TX_SCHED, SCHED), (Sof::TX_SOFTWARE, SND)] {
            if cookie.stamps.contains(asked) {
                let data = packet.map(frame).unwrap_or_default();
                let stamp = SentStamp {
                    kind,
                    key,
                    at,
                    charged: data.len(),
                    data,
                    source: packet.map(|packet| SocketAddr::new(packet.ip.src, 0)),
                };
                self.queue_stamp(id, stamp);
            }
        }
    }

    /// A moment of a stream's byte has come.
    pub(crate) fn stream_stamped(&mut self, id: SocketId, stamp: TcpStamp) {
        let Ok(socket) = self.get(id) else { return };
        let asked = socket.common.rare().stamping;
        let whole = !asked.flags.contains(Sof::OPT_TSONLY);
        let packet = stamp.packet.as_ref().filter(|_| whole);
        let data = match packet {
            Some(packet) => frame(packet),
            None if whole => stamp.data,
            None => Payload::new(),
        };
        // tcp_stream_alloc_skb() has counted room for headers.
        let charged = match packet.map(|packet| &packet.body) {
            Some(Body::Tcp(segment)) => segment.payload.len(),
            _ => data.len(),
        };
        let stamp = SentStamp {
            charged,
            kind: match stamp.moment {
                Moments::QUEUED => SCHED,
                Moments::SENT => SND,
                _ => ACK,
            },
            // Bytes are counted from where the option was set.
            key: match asked.flags.contains(Sof::OPT_ID) {
                true => stamp.last.wrapping_sub(asked.key),
                false => 0,
            },
            at: stamp.at,
            data,
            source: packet.map(|packet| SocketAddr::new(packet.ip.src, 0)),
        };
        self.queue_stamp(id, stamp);
    }

    fn queue_stamp(&mut self, id: SocketId, stamp: SentStamp) {
        let Ok(socket) = self.get(id) else { return };
        let v6 = i32::from(socket.common.domain) == switchboard_abi::number::AF_INET6;
        // ipv4_datagram_support_cmsg(): IPv4 tells the source to who asks for control messages.
        let told = v6 || socket.common.rare().stamping.flags.contains(Sof::OPT_CMSG);
        let entry = QueuedError {
            error: ExtendedError {
                errno: Errno::ENOMSG,
                origin: Origin::Timestamping,
                kind: 0,
                code: 0,
                info: stamp.kind,
                data: stamp.key,
            },
            offender: stamp.source.filter(|_| told),
            name: None,
            charge: CHARGE + stamp.charged as u32,
            payload: stamp.data,
            control: Vec::new(),
            facts: None,
            stamped: Some(stamp.at),
        };
        self.queue_error(id, entry);
    }

    /// [`zerocopy_done`](Self::zerocopy_done) of the sends that were joined to one datagram.
    pub(super) fn zerocopies_done(&mut self, id: SocketId, count: u32) {
        for _ in 0..count {
            self.zerocopy_done(id);
        }
    }

    /// __msg_zerocopy_callback(): a send with `MSG_ZEROCOPY` has let go of the caller's memory, which was copied. Notices
    /// of sends that follow each other become one.
    pub(crate) fn zerocopy_done(&mut self, id: SocketId) {
        let Ok(socket) = self.get_mut(id) else { return };
        let next = &mut socket.common.rare_mut().zerocopy;
        let number = *next;
        *next = number.wrapping_add(1);
        let Ok(options) = self.inet_options_mut(id) else {
            return;
        };
        if let Some(last) = options.errors.last_mut()
            && last.error.origin == Origin::Zerocopy
            && last.error.data.wrapping_add(1) == number
        {
            last.error.data = number;
            return;
        }
        options.errors.push(QueuedError {
            error: ExtendedError {
                errno: Errno(0),
                origin: Origin::Zerocopy,
                kind: 0,
                code: COPIED,
                info: number,
                data: number,
            },
            offender: None,
            name: None,
            payload: Payload::new(),
            control: Vec::new(),
            charge: CHARGE,
            facts: None,
            stamped: None,
        });
        self.wake(id, PollMask::ERR);
    }
}
