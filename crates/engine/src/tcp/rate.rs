//! The delivery rate: how fast the path takes what is sent (draft-cheng-iccrg-delivery-rate-estimation; tcp_rate.c).

use super::connection::{Connection, Cx};
use super::loss::Track;
use super::sent::{Mark, Round};

/// What one acknowledgment says about the rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateSample {
    /// Bytes delivered in the interval; 0: there is no sample.
    pub(crate) delivered: u32,
    pub(crate) interval_us: u32,
    pub(crate) app_limited: bool,
}

impl Connection {
    /// tcp_rate_gen.
    pub(crate) fn sample_rate(&mut self, cx: Cx<'_>, t: &mut Track, round: &Round) -> RateSample {
        if t.app_limited > 0 && t.delivered > t.app_limited {
            t.app_limited = 0;
        }
        let mut sample = RateSample {
            delivered: 0,
            interval_us: 0,
            app_limited: false,
        };
        let Some(newest) = round.newest else {
            return sample;
        };
        // The sending and the acknowledging of the same data: the slower one counts.
        let sending = newest.at.micros_since(newest.first_at);
        let acking = cx.now.micros_since(newest.delivered_at);
        t.first_at = newest.at;
        let interval = sending.max(acking).min(u64::from(u32::MAX)) as u32;
        // Faster than the path ever was cannot be.
        if interval == 0 || interval < self.rtt.min_us() {
            return sample;
        }
        let delivered = t.delivered.saturating_sub(newest.delivered);
        sample.delivered = delivered.min(u64::from(u32::MAX)) as u32;
        sample.interval_us = interval;
        sample.app_limited = newest.marks.contains(Mark::APP_LIMITED);
        let (bytes, us, _) = t.rate;
        let rises =
            u64::from(sample.delivered) * u64::from(us) >= u64::from(bytes) * u64::from(interval);
        if !sample.app_limited || rises {
            t.rate = (sample.delivered, interval, sample.app_limited);
        }
        sample
    }

    /// Nothing more leaves now: if the window would have admitted more, the application is the limit
    /// (tcp_rate_check_app_limited, tcp_cwnd_validate).
    #[cold]
    pub(crate) fn note_idle_window(&mut self, cx: Cx<'_>) {
        let Some(mut track) = self.track.take() else {
            return;
        };
        if let Some(search) = &mut track.search {
            search.rest();
        }
        let flight = self.in_flight_of(&track);
        if self.cwnd_limited || flight >= self.cc.cwnd || flight == 0 {
            track.used = (0, cx.now);
        } else {
            if track.board.waiting() == 0 && !self.has_unsent() {
                track.app_limited = (track.delivered + u64::from(flight)).max(1);
            }
            let (used, since) = track.used;
            track.used.0 = used.max(flight);
            // RFC 7661, 4.4: for a timeout it was not used.
            if cx.sysctl.tcp_slow_start_after_idle
                && !self.cc.governs()
                && cx.now.saturating_sub(since) >= self.rtt.rto()
            {
                self.cc.application_limited(track.used.0, self.mss);
                track.used = (0, cx.now);
            }
        }
        self.track = Some(track);
    }
}
