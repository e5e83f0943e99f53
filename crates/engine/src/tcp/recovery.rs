//! Where loss recovery stands: the part of it that every connection has.
//!
//! The rest ([`Track`](super::loss::Track)) exists while something is tracked: on a path where segments can be lost, or
//! once something was.

use switchboard_wire::SeqNum;

/// Linux's tcp_ca_state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing is suspected.
    Open = 0,
    /// Something arrived out of order, or twice.
    Disorder = 1,
    /// The window is being reduced since the network said so (ECN), or a probe of the tail found a loss.
    Cwr = 2,
    /// Fast recovery until `recover` is acknowledged.
    Recovery = 3,
    /// After a timeout, until `recover` is acknowledged.
    Loss = 4,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    /// Duplicate acknowledgments of a peer without SACK: each is a segment that arrived (tcp_add_reno_sack).
    pub(crate) dupacks: u16,
    /// What had been sent when the phase began (Linux's high_seq).
    pub(crate) recover: SeqNum,
}

impl Recovery {
    pub(crate) const fn new(iss: SeqNum) -> Recovery {
        Recovery {
            phase: Phase::Open,
            dupacks: 0,
            recover: iss,
        }
    }

    #[inline]
    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// The window is being reduced step by step (RFC 6937).
    #[inline]
    pub(crate) const fn is_reducing(&self) -> bool {
        matches!(self.phase, Phase::Cwr | Phase::Recovery)
    }
}
