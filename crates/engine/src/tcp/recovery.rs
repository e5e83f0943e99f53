//! Loss recovery: NewReno (RFC 5681, 3.2 and RFC 6582).
//!
//! Decides, from acknowledgments and timeouts, when the segment at SND.UNA is sent again, and tells the congestion
//! window. SACK and RACK-TLP belong here too.

use switchboard_wire::SeqNum;

use super::congestion::Congestion;

/// RFC 5681, 3.2: "three duplicate ACKs".
const DUP_THRESH: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No loss is suspected.
    Open,
    /// Duplicate ACKs were counted, fewer than three.
    Disorder,
    /// Fast recovery until `recover` is acknowledged.
    Fast,
    /// After a timeout: everything up to `recover` is being sent again.
    Loss,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    phase: Phase,
    dupacks: u8,
    /// RFC 6582, 3.2: the highest sequence number sent when the last recovery began.
    recover: SeqNum,
}

/// What to do after an acknowledgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    None,
    /// Send the segment at SND.UNA again.
    Retransmit,
}

impl Recovery {
    pub(crate) const fn new(iss: SeqNum) -> Recovery {
        Recovery {
            phase: Phase::Open,
            dupacks: 0,
            recover: iss,
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// RFC 3042, limited transmit: each of the first two duplicates allows one new segment beyond cwnd.
    #[inline]
    pub(crate) const fn extra_segments(&self) -> u32 {
        match self.phase {
            Phase::Disorder => self.dupacks as u32,
            _ => 0,
        }
    }

    /// A duplicate ACK (RFC 5681, 2: data outstanding, no data, same window, same number).
    pub(crate) fn on_duplicate(
        &mut self,
        cc: &mut Congestion,
        una: SeqNum,
        snd_max: SeqNum,
        mss: u32,
    ) -> Action {
        match self.phase {
            Phase::Open | Phase::Disorder => {
                self.phase = Phase::Disorder;
                self.dupacks = self.dupacks.saturating_add(1);
                // RFC 6582, 3.2 step 2: only if the ACK covers more than `recover`; else these may be duplicates of
                // segments that the last timeout sent twice.
                if self.dupacks >= DUP_THRESH && una.gt(self.recover) {
                    self.phase = Phase::Fast;
                    self.recover = snd_max;
                    cc.on_fast_retransmit((snd_max - una).max(0) as u32, mss);
                    return Action::Retransmit;
                }
            }
            Phase::Fast => cc.inflate(mss),
            Phase::Loss => {}
        }
        Action::None
    }

    /// New data is acknowledged: `acked` bytes, `flight` remain. `limited`: cwnd was what held us back.
    pub(crate) fn on_ack(
        &mut self,
        cc: &mut Congestion,
        una: SeqNum,
        acked: u32,
        flight: u32,
        mss: u32,
        limited: bool,
    ) -> Action {
        self.dupacks = 0;
        match self.phase {
            Phase::Open | Phase::Disorder => {
                self.phase = Phase::Open;
                if limited {
                    cc.on_ack(acked, mss);
                }
            }
            Phase::Fast if una.lt(self.recover) => {
                cc.on_partial_ack(acked, mss);
                return Action::Retransmit;
            }
            Phase::Fast => {
                cc.on_recovered(flight, mss);
                self.phase = Phase::Open;
            }
            Phase::Loss => {
                // Slow start over what was lost (RFC 5681, 3.1); SND.NXT was pulled back, so there is nothing more to do.
                cc.on_ack(acked, mss);
                if una.geq(self.recover) {
                    self.phase = Phase::Open;
                }
            }
        }
        Action::None
    }

    /// The retransmission timer expired (RFC 5681, 3.1; RFC 6582, 4).
    pub(crate) fn on_timeout(
        &mut self,
        cc: &mut Congestion,
        una: SeqNum,
        snd_max: SeqNum,
        mss: u32,
    ) {
        let first = self.phase != Phase::Loss;
        cc.on_timeout((snd_max - una).max(0) as u32, mss, first);
        self.phase = Phase::Loss;
        self.dupacks = 0;
        self.recover = snd_max;
    }
}

#[cfg(test)]
mod tests;
