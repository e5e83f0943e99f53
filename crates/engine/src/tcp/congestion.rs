//! Congestion control: how much may be in flight.
//!
//! [`Congestion`] holds what every algorithm shares (cwnd, ssthresh) and dispatches on [`Algorithm`]. Loss detection is
//! not here but in `recovery`, so CUBIC and BBR only add an arm. Windows are counted in bytes (RFC 5681), where Linux
//! counts packets; TCP_INFO divides by the MSS.

/// The algorithms that are implemented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 5681 growth and RFC 6582 recovery; Linux calls it "reno".
    #[default]
    Reno,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &'static [Algorithm] = &[Algorithm::Reno];

    /// The name TCP_CONGESTION uses.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Reno => "reno",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &[u8]) -> Option<Algorithm> {
        match name {
            b"reno" => Some(Algorithm::Reno),
            _ => None,
        }
    }
}

/// RFC 6928: ten segments; Linux's TCP_INIT_CWND.
pub(crate) const INITIAL_WINDOW: u32 = 10;
/// Linux's TCP_INFINITE_SSTHRESH.
pub(crate) const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;
/// A window larger than any send buffer gains nothing.
const CWND_MAX: u32 = 1 << 30;

/// The congestion window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    pub(crate) algorithm: Algorithm,
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    /// Bytes acknowledged since cwnd last grew, in congestion avoidance (RFC 5681, 3.1, last form).
    acked: u32,
}

impl Congestion {
    pub(crate) const fn new(algorithm: Algorithm, mss: u32) -> Congestion {
        Congestion {
            algorithm,
            cwnd: INITIAL_WINDOW * mss,
            ssthresh: INFINITE_SSTHRESH,
            acked: 0,
        }
    }

    /// RFC 5681, 3.1: slow start is below ssthresh.
    pub(crate) const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// New data was acknowledged, outside recovery, while the window was what limited us (RFC 7661's concern).
    pub(crate) fn on_ack(&mut self, acked: u32, mss: u32) {
        match self.algorithm {
            Algorithm::Reno => {
                let mut acked = acked;
                if self.in_slow_start() {
                    // RFC 5681, 3.1 with RFC 3465 byte counting, as Linux: an ACK of n segments gives n segments.
                    let grow = acked.min(self.ssthresh - self.cwnd);
                    self.cwnd = (self.cwnd + grow).min(CWND_MAX);
                    acked -= grow;
                    if acked == 0 {
                        return;
                    }
                }
                // Congestion avoidance: one segment for each window acknowledged.
                self.acked = self.acked.saturating_add(acked);
                if self.acked >= self.cwnd {
                    self.acked -= self.cwnd;
                    self.cwnd = (self.cwnd + mss).min(CWND_MAX);
                }
            }
        }
    }

    /// RFC 5681, (4): half of what was in flight, at least two segments.
    pub(crate) fn ssthresh_after_loss(&self, flight: u32, mss: u32) -> u32 {
        match self.algorithm {
            Algorithm::Reno => (flight / 2).max(2 * mss),
        }
    }

    /// RFC 5681, 3.1: the retransmission timer expired. The loss window is one segment.
    pub(crate) fn on_timeout(&mut self, flight: u32, mss: u32, first: bool) {
        if first {
            self.ssthresh = self.ssthresh_after_loss(flight, mss);
        }
        self.cwnd = mss;
        self.acked = 0;
    }

    /// RFC 6582, 3.2 step 2: enter fast recovery; the three duplicates have left the network.
    pub(crate) fn on_fast_retransmit(&mut self, flight: u32, mss: u32) {
        self.ssthresh = self.ssthresh_after_loss(flight, mss);
        self.cwnd = self.ssthresh + 3 * mss;
        self.acked = 0;
    }

    /// RFC 5681, 3.2 step 4: each further duplicate says one more segment has left.
    pub(crate) fn inflate(&mut self, mss: u32) {
        self.cwnd = (self.cwnd + mss).min(CWND_MAX);
    }

    /// RFC 6582, 3.2 step 3, partial acknowledgment: deflate by what was acknowledged, add back one segment.
    pub(crate) fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        self.cwnd = self.cwnd.saturating_sub(acked).max(mss);
        if acked >= mss {
            self.cwnd += mss;
        }
    }

    /// RFC 6582, 3.2 step 3, full acknowledgment: option (1), min(ssthresh, max(flight, SMSS) + SMSS).
    pub(crate) fn on_recovered(&mut self, flight: u32, mss: u32) {
        self.cwnd = self.ssthresh.min(flight.max(mss) + mss).max(mss);
        self.acked = 0;
    }

    /// RFC 5681, 4.1 / RFC 2861 as Linux (tcp_cwnd_restart): after `idle_rtos` timeouts without sending, decay to the
    /// restart window.
    pub(crate) fn restart_after_idle(&mut self, idle_rtos: u32, mss: u32) {
        let restart = (INITIAL_WINDOW * mss).min(self.cwnd);
        self.ssthresh = self.ssthresh.max(self.cwnd - self.cwnd / 4);
        self.cwnd = (self.cwnd >> idle_rtos.min(31)).max(restart);
        self.acked = 0;
    }

    /// cwnd in segments, for TCP_INFO.
    pub(crate) const fn cwnd_segments(&self, mss: u32) -> u32 {
        self.cwnd / if mss == 0 { 1 } else { mss }
    }

    /// ssthresh in segments, for TCP_INFO.
    pub(crate) const fn ssthresh_segments(&self, mss: u32) -> u32 {
        if self.ssthresh == INFINITE_SSTHRESH {
            INFINITE_SSTHRESH
        } else {
            self.ssthresh / if mss == 0 { 1 } else { mss }
        }
    }
}

#[cfg(test)]
mod tests;
