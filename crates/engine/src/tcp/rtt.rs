//! Round-trip time and the retransmission timeout (RFC 6298), with Linux's estimator.
//!
//! Differences from RFC 6298 are Linux's (tcp_rtt_estimator): a falling RTT raises the variance by an eighth only, the
//! variance decays once a round trip, and the lower bound of 200 ms applies to the variance term, not to the sum.

use core::time::Duration;

use switchboard_wire::SeqNum;

/// RFC 6298, 2.1 says 1 s; so does Linux (TCP_TIMEOUT_INIT).
pub(crate) const RTO_INIT: Duration = Duration::from_secs(1);
/// RFC 6298, 2.4 says 1 s; Linux 200 ms (TCP_RTO_MIN).
pub(crate) const RTO_MIN: Duration = Duration::from_millis(200);
/// RFC 6298, 2.5 allows 60 s or more; Linux 120 s (TCP_RTO_MAX).
pub(crate) const RTO_MAX: Duration = Duration::from_secs(120);
/// RFC 6298, 5.7: after a lost SYN data starts with 3 s (TCP_TIMEOUT_FALLBACK).
pub(crate) const RTO_FALLBACK: Duration = Duration::from_secs(3);

/// Least and greatest timeout of a socket: TCP_RTO_MIN_US and TCP_RTO_MAX_MS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtoBounds {
    pub(crate) min_us: u32,
    pub(crate) max_us: u32,
}

impl Default for RtoBounds {
    fn default() -> RtoBounds {
        RtoBounds {
            min_us: RTO_MIN.as_micros() as u32,
            max_us: RTO_MAX.as_micros() as u32,
        }
    }
}

impl RtoBounds {
    pub(crate) const fn min(self) -> Duration {
        Duration::from_micros(self.min_us as u64)
    }

    pub(crate) const fn max(self) -> Duration {
        Duration::from_micros(self.max_us as u64)
    }
}

/// The estimator. Times are microseconds; `srtt` is scaled by 8, the deviations by 4, as in Linux.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    srtt8: u32,
    mdev4: u32,
    mdev_max4: u32,
    rttvar4: u32,
    min_us: u32,
    /// The variance is let decay when this is acknowledged.
    round_end: SeqNum,
    /// Current timeout in microseconds, backed off or not.
    rto_us: u32,
    bounds: RtoBounds,
}

impl Rtt {
    pub(crate) const fn new(bounds: RtoBounds) -> Rtt {
        Rtt {
            srtt8: 0,
            // Shown by TCP_INFO as rttvar 250000 before the first sample.
            mdev4: RTO_INIT.as_micros() as u32,
            mdev_max4: RTO_INIT.as_micros() as u32,
            rttvar4: RTO_INIT.as_micros() as u32,
            min_us: u32::MAX,
            round_end: SeqNum(0),
            rto_us: RTO_INIT.as_micros() as u32,
            bounds,
        }
    }

    /// Takes one measurement (Karn's rule is the caller's business) and recomputes the timeout.
    pub(crate) fn sample(&mut self, rtt: Duration, snd_una: SeqNum, snd_nxt: SeqNum) {
        let m = u32::try_from(rtt.as_micros())
            .unwrap_or(u32::MAX >> 4)
            .clamp(1, u32::MAX >> 4);
        self.min_us = self.min_us.min(m);
        if self.srtt8 == 0 {
            // RFC 6298, 2.2: SRTT = R, RTTVAR = R/2.
            self.srtt8 = m << 3;
            self.mdev4 = m << 1;
            self.rttvar4 = self.mdev4.max(self.bounds.min_us);
            self.mdev_max4 = self.rttvar4;
            self.round_end = snd_nxt;
        } else {
            // RFC 6298, 2.3 with alpha 1/8, beta 1/4.
            let err = m as i32 - (self.srtt8 >> 3) as i32;
            self.srtt8 = (self.srtt8 as i32 + err).max(1) as u32;
            let mut dev = err.abs() - (self.mdev4 >> 2) as i32;
            if err < 0 && dev > 0 {
                // A falling RTT must not inflate the timeout.
                dev >>= 3;
            }
            self.mdev4 = (self.mdev4 as i32 + dev).max(0) as u32;
            if self.mdev4 > self.mdev_max4 {
                self.mdev_max4 = self.mdev4;
                self.rttvar4 = self.rttvar4.max(self.mdev_max4);
            }
            if snd_una.gt(self.round_end) {
                if self.mdev_max4 < self.rttvar4 {
                    self.rttvar4 -= (self.rttvar4 - self.mdev_max4) >> 2;
                }
                self.round_end = snd_nxt;
                self.mdev_max4 = self.bounds.min_us;
            }
        }
        self.reset_rto();
    }

    /// RTO = SRTT + 4 * RTTVAR (RFC 6298, 2.3), undoing any backoff (5.7 and Linux's tcp_set_rto).
    pub(crate) fn reset_rto(&mut self) {
        self.rto_us = if self.srtt8 == 0 {
            RTO_INIT.as_micros() as u32
        } else {
            ((self.srtt8 >> 3) + self.rttvar4).min(self.bounds.max_us)
        };
    }

    /// RFC 6298, 5.5: "back off the timer".
    pub(crate) fn back_off(&mut self) {
        self.rto_us = self.rto_us.saturating_mul(2).min(self.bounds.max_us);
    }

    /// RFC 6298, 5.7: the SYN was retransmitted, so there is no sample; start conservatively.
    pub(crate) fn fall_back(&mut self) {
        if self.srtt8 == 0 {
            self.rto_us = RTO_FALLBACK.as_micros() as u32;
        }
    }

    #[inline]
    pub(crate) const fn rto(&self) -> Duration {
        Duration::from_micros(self.rto_us as u64)
    }

    /// The same in microseconds.
    #[inline]
    pub(crate) const fn rto_us(&self) -> u32 {
        self.rto_us
    }

    pub(crate) const fn bounds(&self) -> RtoBounds {
        self.bounds
    }

    /// They count from the next sample or timeout on.
    pub(crate) const fn set_bounds(&mut self, bounds: RtoBounds) {
        self.bounds = bounds;
    }

    /// The smoothed RTT in microseconds; 0 before the first sample.
    #[inline]
    pub(crate) const fn srtt_us(&self) -> u32 {
        self.srtt8 >> 3
    }

    /// What TCP_INFO shows as rttvar.
    pub(crate) const fn mdev_us(&self) -> u32 {
        self.mdev4 >> 2
    }

    /// The least sample; `u32::MAX` before the first.
    pub(crate) const fn min_us(&self) -> u32 {
        self.min_us
    }
}

#[cfg(test)]
mod tests;
