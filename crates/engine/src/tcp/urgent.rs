//! Urgent data (RFC 9293, 3.8.5; RFC 6093; Linux's tcp_check_urg and tcp_recv_urg).
//!
//! Linux keeps one urgent byte: the one the latest urgent pointer names. Unless SO_OOBINLINE is set it is read with
//! MSG_OOB, and the stream skips it. Here the byte always stays in the receive queue at [`UrgentView::offset`]; the reader
//! skips it there when it is not inline.

use switchboard_wire::{SeqNum, TcpFlags, TcpSegment};

use super::connection::{Connection, Cx};
use crate::event::EventKind;

/// What is known of the urgent byte (Linux's urg_data).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UrgentByte {
    /// There is no urgent mark.
    #[default]
    None,
    /// The mark was announced, the byte has not arrived (TCP_URG_NOTYET).
    NotYet,
    /// The byte can be read with MSG_OOB (TCP_URG_VALID).
    Ready(u8),
    /// It was read with MSG_OOB (TCP_URG_READ).
    Taken,
}

/// The receiver's urgent state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Urgent {
    pub(crate) byte: UrgentByte,
    pub(crate) seq: SeqNum,
}

/// The urgent state of a socket, for recv(2), MSG_OOB and SIOCATMARK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrgentView {
    /// Offset of the urgent byte from the front of the receive queue, while it was not passed. A reader stops there, and
    /// steps over the byte when it is first and not inline.
    pub offset: Option<usize>,
    /// The urgent byte is the next one (SIOCATMARK).
    pub at_mark: bool,
    /// There is a mark whose byte was not read with MSG_OOB.
    pub pending: bool,
    /// The byte has arrived and was not read with MSG_OOB (POLLPRI).
    pub valid: bool,
    /// The byte, when `valid`.
    pub byte: Option<u8>,
}

impl Connection {
    /// The urgent pointer of a segment (RFC 9293, 3.10.7.4, sixth step).
    pub(crate) fn on_urgent(&mut self, cx: Cx<'_>, segment: &TcpSegment) {
        if segment.flags.contains(TcpFlags::URG) {
            self.check_urgent(cx, segment);
        }
    }

    fn check_urgent(&mut self, cx: Cx<'_>, segment: &TcpSegment) {
        // RFC 6093, 3: BSD's and Linux's pointer names the octet after the urgent one, unless tcp_stdurg is set.
        let mut pointer = segment.urgent;
        if pointer != 0 && !cx.sysctl.tcp_stdurg {
            pointer -= 1;
        }
        let seq = segment.seq + u32::from(pointer);
        let copied = self.copied_seq();
        if copied.gt(seq) || seq.lt(self.rcv_nxt) {
            // Already read, or already received: an old announcement.
            return;
        }
        let known = self.urgent.byte != UrgentByte::None;
        if known && !seq.gt(self.urgent.seq) {
            return;
        }
        self.events |= EventKind::URGENT;
        if known && self.urgent.seq == copied && !self.opts.oob_inline && !self.recv.is_empty() {
            // The reader stands at the old mark: that byte becomes lost, as in Linux.
            self.recv.consume(1);
        }
        // Looked for in the segment itself too: this end may not take its text any more.
        let at = usize::try_from(seq - segment.seq).ok();
        let byte = at.filter(|&at| at < segment.payload.len()).and_then(|at| {
            segment
                .payload
                .slice(at..=at)
                .iter()
                .next()?
                .first()
                .copied()
        });
        self.urgent = Urgent {
            byte: byte.map_or(UrgentByte::NotYet, UrgentByte::Ready),
            seq,
        };
    }

    /// Data was queued: has the urgent byte arrived with it?
    #[inline]
    pub(crate) fn look_for_urgent_byte(&mut self) {
        if self.urgent.byte != UrgentByte::NotYet || !self.urgent.seq.lt(self.rcv_nxt) {
            return;
        }
        let offset = self.urgent.seq - self.copied_seq();
        if let Some(byte) = usize::try_from(offset)
            .ok()
            .and_then(|at| self.recv.byte_at(at))
        {
            self.urgent.byte = UrgentByte::Ready(byte);
            self.events |= EventKind::URGENT | EventKind::READABLE;
        }
    }

    #[inline]
    pub(crate) fn urgent_view(&self) -> UrgentView {
        let ahead = self.urgent.seq - self.copied_seq();
        let known = self.urgent.byte != UrgentByte::None;
        let offset = (known && ahead >= 0).then_some(ahead as usize);
        let byte = match self.urgent.byte {
            UrgentByte::Ready(byte) => Some(byte),
            _ => None,
        };
        UrgentView {
            offset,
            at_mark: offset == Some(0),
            pending: known && self.urgent.byte != UrgentByte::Taken,
            valid: byte.is_some(),
            byte,
        }
    }

    /// recv(MSG_OOB) has taken the byte.
    pub(crate) fn urgent_taken(&mut self) {
        if matches!(self.urgent.byte, UrgentByte::Ready(_)) {
            self.urgent.byte = UrgentByte::Taken;
        }
    }

    /// The reader has passed the mark: it is over (tcp_recvmsg).
    #[inline]
    pub(crate) fn forget_passed_mark(&mut self) {
        if self.urgent.byte != UrgentByte::None && self.copied_seq().gt(self.urgent.seq) {
            self.urgent.byte = UrgentByte::None;
        }
    }

    /// The sender is in urgent mode (tcp_urg_mode).
    #[inline]
    pub(crate) fn sending_urgent(&self) -> bool {
        self.snd_up != self.snd_una
    }
}
