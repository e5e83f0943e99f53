//! Congestion control: how much may be in flight.
//!
//! [`Congestion`] holds what every algorithm shares (cwnd, ssthresh) and dispatches on [`Algorithm`]. Loss detection is
//! not here but in `loss`. Windows are counted in bytes (RFC 5681), where Linux counts packets; TCP_INFO divides by the
//! MSS.

use alloc::boxed::Box;

use switchboard_wire::SeqNum;

use super::bbr::{Bbr, Told};
use super::cubic::Cubic;
use super::hystart::HyStart;
use super::rtt::Rtt;
use crate::time::Instant;

/// The algorithms that are implemented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 5681 growth and RFC 6582 recovery; Linux calls it "reno".
    Reno,
    /// RFC 9438; Linux's default.
    #[default]
    Cubic,
    /// By the bandwidth and the round-trip time; Linux's first version.
    Bbr,
}

impl Algorithm {
    /// All of them, in the order in which Linux names them.
    pub const ALL: &'static [Algorithm] = &[Algorithm::Reno, Algorithm::Cubic, Algorithm::Bbr];

    /// The name TCP_CONGESTION uses.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Reno => "reno",
            Algorithm::Cubic => "cubic",
            Algorithm::Bbr => "bbr",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &[u8]) -> Option<Algorithm> {
        let mut all = Algorithm::ALL.iter().copied();
        all.find(|algorithm| algorithm.name().as_bytes() == name)
    }
}

/// RFC 6928: ten segments; Linux's TCP_INIT_CWND.
pub(crate) const INITIAL_WINDOW: u32 = 10;
/// Linux's TCP_INFINITE_SSTHRESH.
pub(crate) const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;
/// A window larger than any send buffer gains nothing.
pub(crate) const CWND_MAX: u32 = 1 << 30;

/// The congestion window.
#[derive(Clone, Debug)]
pub(crate) struct Congestion {
    pub(crate) algorithm: Algorithm,
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    /// Bytes acknowledged since cwnd last grew, in congestion avoidance (RFC 5681, 3.1, last form); with CUBIC, growth that
    /// is less than a segment yet.
    acked: u32,
    /// What only a connection has that has seen a loss, or a path on which there may be one.
    extra: Option<Box<Extra>>,
}

#[derive(Clone, Debug, Default)]
struct Extra {
    cubic: Cubic,
    hystart: HyStart,
    bbr: Option<Bbr>,
}

impl Congestion {
    pub(crate) const fn new(algorithm: Algorithm, mss: u32) -> Congestion {
        Congestion {
            algorithm,
            cwnd: INITIAL_WINDOW * mss,
            ssthresh: INFINITE_SSTHRESH,
            acked: 0,
            extra: None,
        }
    }

    /// TCP_CONGESTION changes: the window stays, what the old algorithm knew goes.
    pub(crate) fn switch(&mut self, algorithm: Algorithm, now: Instant, random: u32) {
        if algorithm != self.algorithm {
            self.algorithm = algorithm;
            self.extra = None;
            self.acked = 0;
            self.begin(now, random);
        }
    }

    /// The connection is there, or the algorithm another.
    pub(crate) fn begin(&mut self, now: Instant, random: u32) {
        if self.algorithm == Algorithm::Bbr {
            self.ssthresh = INFINITE_SSTHRESH;
            self.extra.get_or_insert_default().bbr = Some(Bbr::new(now, random));
        }
    }

    fn bbr(&self) -> Option<&Bbr> {
        self.extra.as_ref()?.bbr.as_ref()
    }

    fn bbr_mut(&mut self) -> Option<&mut Bbr> {
        self.extra.as_mut()?.bbr.as_mut()
    }

    /// An acknowledgment, for an algorithm that governs.
    pub(crate) fn on_told(&mut self, told: &Told) {
        let cwnd = self.cwnd;
        if let Some(bbr) = self.bbr_mut() {
            self.cwnd = bbr.on_ack(cwnd, told);
        }
    }

    /// How many congestion windows the send buffer has room for (sndbuf_expand): BBR may double its window while it repairs.
    pub(crate) const fn windows_kept(&self) -> u64 {
        if self.governs() { 3 } else { 2 }
    }

    /// Whether segments leave at the algorithm's pace.
    pub(crate) const fn paces(&self) -> bool {
        self.governs()
    }

    /// Its pace, bytes a second.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        self.bbr().map(|bbr| bbr.rate).filter(|rate| *rate > 0)
    }

    /// BBR's bandwidth, least round-trip time, gains of pace and window.
    pub(crate) fn bbr_info(&self) -> Option<(u64, u32, u32, u32)> {
        self.bbr().map(Bbr::info)
    }

    /// RFC 5681, 3.1: slow start is below ssthresh.
    #[inline]
    pub(crate) const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// The algorithm sets the window itself, losses or not.
    #[inline]
    pub(crate) const fn governs(&self) -> bool {
        matches!(self.algorithm, Algorithm::Bbr)
    }

    /// New data was acknowledged, outside recovery, while the window was what limited us (RFC 7661's concern).
    #[inline]
    pub(crate) fn on_ack(&mut self, acked: u32, mss: u32, now: Instant, rtt: &Rtt) {
        let mut acked = acked;
        if self.in_slow_start() {
            // RFC 5681, 3.1 with RFC 3465 byte counting, as Linux: an ACK of n segments gives n segments.
            let divisor = match &self.extra {
                Some(extra) => extra.hystart.divisor(),
                None => 1,
            };
            let grow = (acked / divisor).min(self.ssthresh - self.cwnd);
            self.cwnd = (self.cwnd + grow).min(CWND_MAX);
            acked -= grow;
            if acked == 0 || self.in_slow_start() {
                return;
            }
        }
        match self.algorithm {
            Algorithm::Reno => {
                // Congestion avoidance: one segment for each window acknowledged.
                self.acked = self.acked.saturating_add(acked);
                if self.acked >= self.cwnd {
                    self.acked -= self.cwnd;
                    self.cwnd = (self.cwnd + mss).min(CWND_MAX);
                }
            }
            Algorithm::Cubic => {
                let extra = self.extra.get_or_insert_default();
                let window = self.cwnd + self.acked;
                let least = rtt.min_us().min(rtt.srtt_us());
                let window = extra.cubic.on_ack(window, acked, mss, now, least);
                // By whole segments: the rest is kept for later.
                let grown = window.saturating_sub(self.cwnd);
                self.acked = grown % mss.max(1);
                self.cwnd = (self.cwnd + grown - self.acked).min(CWND_MAX);
            }
            // It was told what it needs.
            Algorithm::Bbr => {}
        }
    }

    /// A round-trip time of a tracked path: HyStart++ (RFC 9406) looks whether slow start has gone far enough.
    pub(crate) fn on_rtt(&mut self, rtt_us: u32, una: SeqNum, max: SeqNum) {
        if self.algorithm != Algorithm::Cubic || !self.in_slow_start() {
            return;
        }
        let extra = self.extra.get_or_insert_default();
        if self.ssthresh != INFINITE_SSTHRESH {
            // RFC 9406, 4.3: for the first slow start only.
            extra.hystart = HyStart::default();
        } else if extra.hystart.on_rtt(rtt_us, una, max) {
            self.ssthresh = self.cwnd;
        }
    }

    /// A loss, or ECN's word of one: the new ssthresh (RFC 5681, (4), as Linux of cwnd; RFC 9438, 4.6).
    pub(crate) fn reduce(&mut self, mss: u32) {
        self.acked = 0;
        let reduced = match self.algorithm {
            Algorithm::Reno => self.cwnd / 2,
            Algorithm::Cubic => {
                let extra = self.extra.get_or_insert_default();
                extra.cubic.reduce(self.cwnd)
            }
            Algorithm::Bbr => {
                let cwnd = self.cwnd;
                if let Some(bbr) = self.bbr_mut() {
                    bbr.on_loss(cwnd);
                }
                return;
            }
        };
        // Whole segments, of which there are at least two: small windows differ from Linux's else.
        let mss = mss.max(1);
        self.ssthresh = (reduced / mss).max(2) * mss;
    }

    /// RFC 5681, 3.1: the retransmission timer expired. The loss window is one segment.
    pub(crate) fn after_timeout(&mut self, flight: u32, mss: u32) {
        self.cwnd = flight + mss;
        self.acked = 0;
        if let Some(extra) = &mut self.extra {
            extra.cubic = Cubic::default();
            if let Some(bbr) = &mut extra.bbr {
                bbr.on_timeout();
            }
        }
    }

    /// The window of the end of a reduction.
    pub(crate) fn end_reduction(&mut self, mss: u32) {
        self.cwnd = self.ssthresh.max(mss);
    }

    /// tcp_current_ssthresh: what an undone reduction goes back to.
    pub(crate) fn current_ssthresh(&self) -> u32 {
        self.ssthresh.max(self.cwnd / 2 + self.cwnd / 4)
    }

    /// The reduction was wrong.
    pub(crate) fn undo(&mut self, prior_cwnd: u32, prior_ssthresh: u32) {
        if let Some(bbr) = self.bbr_mut() {
            return bbr.on_undo();
        }
        self.cwnd = self.cwnd.max(prior_cwnd);
        self.ssthresh = self.ssthresh.max(prior_ssthresh);
    }

    /// RFC 5681, 4.1 / RFC 2861 as Linux (tcp_cwnd_restart): after `idle_rtos` timeouts without sending, decay to the
    /// restart window.
    pub(crate) fn restart_after_idle(&mut self, idle_rtos: u32, mss: u32) {
        let restart = (INITIAL_WINDOW * mss).min(self.cwnd);
        self.ssthresh = self.current_ssthresh();
        self.cwnd = (self.cwnd >> idle_rtos.min(31)).max(restart);
        self.acked = 0;
        if let Some(extra) = &mut self.extra {
            extra.cubic.restart();
        }
    }

    /// RFC 7661, 4.4 as Linux (tcp_cwnd_application_limited): a window that was not used for an RTO shrinks half of the way
    /// to what was used.
    pub(crate) fn application_limited(&mut self, used: u32, mss: u32) {
        let used = used.max(INITIAL_WINDOW * mss);
        if used < self.cwnd {
            self.ssthresh = self.current_ssthresh();
            self.cwnd = self.cwnd / 2 + used / 2;
        }
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
