//! Explicit congestion notification (RFC 3168): routers mark packets instead of dropping them.
//!
//! Who offers accurate ECN (RFC 9768) gets the answer of a host that speaks RFC 3168, which is what it falls back to.

use switchboard_wire::{TcpFlags, TcpSegment};

use super::connection::{Connection, Cx};
use super::loss::Track;
use super::recovery::Phase;
use crate::config::Sysctl;

/// The codepoints of the IP header (RFC 3168, 5).
pub(crate) const ECT_0: u8 = 2;
pub(crate) const CE: u8 = 3;
const MASK: u8 = 3;

bitflags::bitflags! {
    /// Where a connection stands.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Ecn: u8 {
        /// Both ends speak it.
        const OK = 1;
        /// Every acknowledgment says ECE until the peer says CWR.
        const ECHO = 1 << 1;
        /// The next new data says CWR.
        const REDUCED = 1 << 2;
        /// Something was marked as capable (TCPI_OPT_ECN_SEEN).
        const SEEN = 1 << 3;
        /// The segment that is made now may be marked.
        const CAPABLE = 1 << 4;
        /// The segment that is being taken was marked.
        const MARKED = 1 << 5;
        /// Our SYN has asked for it.
        const ASKED = 1 << 6;
    }
}

/// What a SYN says about it: whether the answer may agree (tcp_ecn_create_request). A SYN that is itself marked as capable
/// is not RFC 3168's.
pub(crate) fn agrees(sysctl: &Sysctl, tos: u8, flags: TcpFlags) -> bool {
    sysctl.tcp_ecn != 0
        && flags.contains(TcpFlags::ECE | TcpFlags::CWR)
        && (tos & MASK == 0 || flags.contains(TcpFlags::AE))
}

impl Ecn {
    /// The IP header's codepoint of the segment that was just made.
    pub(crate) fn codepoint(&mut self) -> u8 {
        if !self.contains(Ecn::CAPABLE) {
            return 0;
        }
        self.remove(Ecn::CAPABLE);
        ECT_0
    }
}

impl Connection {
    /// The flags of a first SYN (RFC 3168, 6.1.1); a repeated one does not ask, for routers that drop what they
    /// do not know, unless tcp_ecn_fallback is 0.
    pub(crate) fn ecn_syn_flags(&mut self, cx: Cx<'_>, first: bool) -> TcpFlags {
        if cx.sysctl.tcp_ecn == 1 && (first || !cx.sysctl.tcp_ecn_fallback) {
            self.ecn |= Ecn::ASKED;
            TcpFlags::ECE | TcpFlags::CWR
        } else {
            TcpFlags::empty()
        }
    }

    /// The SYN-ACK: ECE alone agrees.
    pub(crate) fn ecn_answered(&mut self, flags: TcpFlags) {
        let agreed = self.ecn.contains(Ecn::ASKED)
            && flags.contains(TcpFlags::ECE)
            && !flags.contains(TcpFlags::CWR);
        // The timeout of a SYN has made the window smaller, too.
        let kept = self.ecn & Ecn::REDUCED;
        self.ecn = if agreed { Ecn::OK | kept } else { Ecn::empty() };
    }

    /// What the header of a segment says (RFC 3168, 6.1.2 to 6.1.4). `fresh`: it is data that was not sent before.
    #[inline]
    pub(crate) fn ecn_flags(&mut self, fresh: bool) -> TcpFlags {
        let mut flags = TcpFlags::empty();
        if self.ecn.is_empty() {
            return flags;
        }
        if self.ecn.contains(Ecn::OK) {
            self.ecn.set(Ecn::CAPABLE, fresh);
            if fresh && self.ecn.contains(Ecn::REDUCED) {
                self.ecn.remove(Ecn::REDUCED);
                flags |= TcpFlags::CWR;
            }
            if self.ecn.contains(Ecn::ECHO) {
                flags |= TcpFlags::ECE;
            }
        }
        flags
    }

    /// The codepoint with which a segment comes.
    #[inline]
    pub(crate) fn ecn_arrives(&mut self, tos: u8) {
        if tos & MASK != 0 && self.ecn.contains(Ecn::OK) {
            self.ecn |= Ecn::SEEN;
            self.ecn.set(Ecn::MARKED, tos & MASK == CE);
        }
    }

    /// Data was taken: RFC 3168, 6.1.3 (tcp_data_ecn_check, tcp_ecn_accept_cwr).
    #[inline]
    pub(crate) fn ecn_of_data(&mut self, flags: TcpFlags) {
        if !self.ecn.contains(Ecn::OK) {
            return;
        }
        if flags.contains(TcpFlags::CWR) {
            self.ecn.remove(Ecn::ECHO);
        }
        if self.ecn.contains(Ecn::MARKED) {
            self.ecn.remove(Ecn::MARKED);
            if !self.ecn.contains(Ecn::ECHO) {
                // The sender should know soon.
                self.enter_quickack(2);
                self.ecn |= Ecn::ECHO;
            }
        }
    }

    /// The next new data says that the window was reduced (tcp_ecn_queue_cwr).
    pub(crate) fn queue_cwr(&mut self) {
        if self.ecn.intersects(Ecn::OK | Ecn::ASKED) {
            self.ecn |= Ecn::REDUCED;
        }
    }

    /// Whether an acknowledgment says that something was marked.
    #[inline]
    pub(crate) fn is_echo(&self, segment: &TcpSegment) -> bool {
        self.ecn.contains(Ecn::OK)
            && segment.flags.contains(TcpFlags::ECE)
            && !segment.flags.contains(TcpFlags::SYN)
    }

    /// RFC 3168, 6.1.2: as a loss, once in a window (tcp_enter_cwr).
    pub(crate) fn enter_cwr(&mut self, t: &mut Track) {
        if self.recovery.phase < Phase::Cwr {
            t.undo_marker = None;
            self.start_reduction(t);
            self.recovery.phase = Phase::Cwr;
        }
    }
}
