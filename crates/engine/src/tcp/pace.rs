//! Pacing: segments leave at a rate, and not in bursts of a window (Linux's internal pacing of TCP).
//!
//! A socket is paced that has SO_MAX_PACING_RATE, or an algorithm that asks for it (BBR).

use core::time::Duration;

use super::connection::{Connection, Cx};
use crate::config::Sysctl;
use crate::time::Instant;

/// The first segments of a connection are not paced (RFC 6928's window; tcp_update_skb_after_send).
const UNPACED: u32 = 10;
/// net.ipv4.tcp_tso_rtt_log
const TSO_RTT_LOG: u32 = 9;

/// When the next segment may leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// SO_MAX_PACING_RATE, bytes a second; `u64::MAX` is none.
    pub(crate) max: u64,
    /// Not before.
    pub(crate) next: Instant,
    /// Something waits for that.
    pub(crate) waiting: bool,
}

impl Pace {
    pub(crate) const fn new(max: u64) -> Pace {
        Pace {
            max,
            next: Instant::BOOT,
            waiting: false,
        }
    }
}

impl Connection {
    /// What the window and the round trip come to (tcp_update_pacing_rate), bytes a second; `None` before the first
    /// measurement.
    fn window_rate(&self, sysctl: &Sysctl) -> Option<u64> {
        let srtt = u64::from(self.rtt.srtt_us());
        if srtt == 0 {
            return None;
        }
        let ratio = if self.cc.cwnd < self.cc.ssthresh / 2 {
            sysctl.tcp_pacing_ss_ratio
        } else {
            sysctl.tcp_pacing_ca_ratio
        };
        let window = u64::from(self.cc.cwnd.max(self.outstanding()));
        Some(window * u64::from(ratio) * 10_000 / srtt)
    }

    /// sk_pacing_rate, bytes a second; `u64::MAX` when nothing says how much.
    pub(crate) fn pacing_rate(&self, sysctl: &Sysctl) -> u64 {
        let max = self.pace.as_ref().map_or(u64::MAX, |pace| pace.max);
        let rate = self.cc.pacing_rate().or_else(|| self.window_rate(sysctl));
        rate.map_or(max, |rate| rate.min(max))
    }

    /// Whether a segment must wait. If so the timer is set for it.
    #[inline]
    pub(crate) fn is_paced_out(&mut self, now: Instant) -> bool {
        match &mut self.pace {
            None => false,
            Some(pace) => {
                pace.waiting = now < pace.next;
                pace.waiting
            }
        }
    }

    /// A segment of this length left.
    pub(crate) fn pace_sent(&mut self, cx: Cx<'_>, len: u32) {
        if self.pace.is_none() || len == 0 || self.counters.data_segs_out < UNPACED {
            return;
        }
        let rate = self.pacing_rate(cx.sysctl);
        // With a ratio of 0 there is no pace.
        if rate == u64::MAX || rate == 0 {
            return;
        }
        let Some(pace) = &mut self.pace else { return };
        let time = Duration::from_nanos(u64::from(len) * 1_000_000_000 / rate.max(1));
        // A late timer is made good, half of a segment's time at most.
        let late = cx.now.saturating_sub(pace.next).min(time / 2);
        let late = if pace.next == Instant::BOOT {
            Duration::ZERO
        } else {
            late
        };
        pace.next = cx.now + (time - late);
    }

    /// How much leaves at once: about a millisecond's worth (tcp_tso_autosize).
    #[inline]
    pub(crate) fn paced_burst(&self, sysctl: &Sysctl, mss: u32) -> u32 {
        match &self.pace {
            None => u32::MAX,
            Some(_) => {
                let burst = self.pacing_rate(sysctl) >> 10;
                (burst.min(1 << 20) as u32).max(2 * mss)
            }
        }
    }

    /// How much leaves as one packet (tcp_tso_autosize): about a millisecond's worth, and more the shorter the way is.
    #[inline]
    pub(crate) fn most_at_once(&self, sysctl: &Sysctl, mss: u32) -> u32 {
        // tcp_bound_to_half_wnd(): a packet that fills the window leaves its reader nothing to open it by.
        let most = self.path.max_payload.min(self.max_window / 2);
        if most <= mss || !self.path.tracked {
            return most.max(mss);
        }
        // What belongs to each segment cannot be said once for many of them.
        let opts = &self.opts;
        let each = self.sending_urgent() || opts.extra().is_some();
        if each || opts.md5_key(self.tuple.remote).is_some() {
            return mss;
        }
        let mut bytes = u64::from(most);
        let distance = self.rtt.min_us() >> TSO_RTT_LOG;
        if distance > 0 {
            bytes >>= distance.min(63);
            bytes = bytes.saturating_add(self.pacing_rate(sysctl) >> 10);
        }
        let segments = (bytes / u64::from(mss)).max(2);
        segments.min(u64::from(most / mss)).max(1) as u32 * mss
    }

    /// SO_MAX_PACING_RATE, or an algorithm that paces.
    pub(crate) fn set_pacing(&mut self, max: u64) {
        if max == u64::MAX && !self.cc.paces() {
            self.pace = None;
            return;
        }
        match &mut self.pace {
            Some(pace) => pace.max = max,
            none => *none = Some(alloc::boxed::Box::new(Pace::new(max))),
        }
    }
}
