//! BBR (draft-cardwell-iccrg-bbr-congestion-control-00, which is Linux's version): the window and the pace follow from the
//! bandwidth that was delivered and the least round-trip time, and not from losses.
//!
//! Bandwidths are in bytes a second, gains in 1/256.

use core::time::Duration;

use super::rate::RateSample;
use super::recovery::Phase;
use crate::time::Instant;

/// 2 / ln 2 and its inverse, the gains of STARTUP and DRAIN.
const HIGH_GAIN: u32 = 256 * 2885 / 1000 + 1;
const DRAIN_GAIN: u32 = 256 * 1000 / 2885;
const CWND_GAIN: u32 = 2 * 256;
/// PROBE_BW's cycle.
const CYCLE: [u32; 8] = [256 * 5 / 4, 256 * 3 / 4, 256, 256, 256, 256, 256, 256];
/// The bandwidth is the most of ten round trips, the round-trip time the least of ten seconds.
const BW_ROUNDS: usize = CYCLE.len() + 2;
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Segments in flight at least (bbr_cwnd_min_target).
const MIN_SEGMENTS: u32 = 4;
/// The pipe is full when the bandwidth has not grown by a quarter in three rounds.
const FULL_ROUNDS: u8 = 3;
/// The pace is a percent below the bandwidth, to drain queues (bbr_pacing_margin_percent).
const MARGIN: u64 = 99;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// What BBR is told of an acknowledgment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) now: Instant,
    pub(crate) sample: RateSample,
    /// Newly delivered and newly lost bytes.
    pub(crate) acked: u32,
    pub(crate) lost: u32,
    /// In flight now, and before this acknowledgment.
    pub(crate) flight: u32,
    pub(crate) prior_flight: u32,
    /// Of the newest segment, if it was sent once.
    pub(crate) rtt_us: Option<u32>,
    pub(crate) srtt_us: u32,
    /// All bytes delivered, and those when the newest segment left.
    pub(crate) delivered: u64,
    pub(crate) prior_delivered: u64,
    pub(crate) phase: Phase,
    pub(crate) mss: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    mode: Mode,
    /// The best bandwidth of each of the last rounds.
    bandwidths: [u64; BW_ROUNDS],
    rounds: u32,
    next_round: u64,
    round_began: bool,
    min_rtt_us: u32,
    min_rtt_at: Instant,
    probe_rtt_done: Option<Instant>,
    probe_rtt_round: bool,
    full_bw: u64,
    full_rounds: u8,
    full: bool,
    cycle: usize,
    cycle_at: Instant,
    /// The window before recovery or PROBE_RTT.
    prior_cwnd: u32,
    prior_phase: Phase,
    conserving: bool,
    /// The pace, bytes a second; 0: not known.
    pub(crate) rate: u64,
}

impl Bbr {
    pub(crate) fn new(now: Instant, random: u32) -> Bbr {
        Bbr {
            mode: Mode::Startup,
            bandwidths: [0; BW_ROUNDS],
            rounds: 0,
            next_round: 0,
            round_began: false,
            min_rtt_us: u32::MAX,
            min_rtt_at: now,
            probe_rtt_done: None,
            probe_rtt_round: false,
            full_bw: 0,
            full_rounds: 0,
            full: false,
            cycle: random as usize % (CYCLE.len() - 1),
            cycle_at: now,
            prior_cwnd: 0,
            prior_phase: Phase::Open,
            conserving: false,
            rate: 0,
        }
    }

    fn bandwidth(&self) -> u64 {
        self.bandwidths.iter().copied().max().unwrap_or(0)
    }

    fn pacing_gain(&self) -> u32 {
        match self.mode {
            Mode::Startup => HIGH_GAIN,
            Mode::Drain => DRAIN_GAIN,
            Mode::ProbeBw => CYCLE[self.cycle],
            Mode::ProbeRtt => 256,
        }
    }

    const fn cwnd_gain(&self) -> u32 {
        match self.mode {
            Mode::Startup | Mode::Drain => HIGH_GAIN,
            Mode::ProbeBw => CWND_GAIN,
            Mode::ProbeRtt => 256,
        }
    }

    /// The window for a gain (bbr_inflight), with room for what is delayed on the way: three bursts, and two segments.
    fn inflight(&self, gain: u32, mss: u32) -> u32 {
        if self.min_rtt_us == u32::MAX {
            return super::congestion::INITIAL_WINDOW * mss;
        }
        let bdp = u128::from(self.bandwidth()) * u128::from(self.min_rtt_us) / 1_000_000;
        let window = (bdp * u128::from(gain) / 256).min(1 << 29) as u32;
        let burst = ((self.rate >> 10).min(1 << 16) as u32).max(2 * mss);
        let mut window = window.div_ceil(mss) * mss + 3 * burst;
        if self.mode == Mode::ProbeBw && self.cycle == 0 {
            window += 2 * mss;
        }
        window
    }

    /// bbr_main: the new window.
    pub(crate) fn on_ack(&mut self, cwnd: u32, told: &Told) -> u32 {
        self.update_bandwidth(told);
        self.update_cycle(told);
        self.check_full(told);
        self.check_drain(told);
        let cwnd = self.update_min_rtt(cwnd, told);
        self.set_rate(cwnd, told);
        self.set_window(cwnd, told)
    }

    fn update_bandwidth(&mut self, told: &Told) {
        self.round_began = false;
        if told.sample.delivered == 0 || told.sample.interval_us == 0 {
            return;
        }
        if told.prior_delivered >= self.next_round {
            self.next_round = told.delivered;
            self.rounds += 1;
            self.round_began = true;
            self.conserving = false;
            self.bandwidths[self.rounds as usize % BW_ROUNDS] = 0;
        }
        let bw = u64::from(told.sample.delivered) * 1_000_000 / u64::from(told.sample.interval_us);
        if !told.sample.app_limited || bw >= self.bandwidth() {
            let slot = &mut self.bandwidths[self.rounds as usize % BW_ROUNDS];
            *slot = bw.max(*slot);
        }
    }

    fn update_cycle(&mut self, told: &Told) {
        if self.mode != Mode::ProbeBw {
            return;
        }
        let full = told.now.micros_since(self.cycle_at) > u64::from(self.min_rtt_us);
        let over = match CYCLE[self.cycle] {
            256 => full,
            // Up: until the queue shows, by a full window in flight or by losses.
            gain if gain > 256 => {
                full && (told.lost > 0 || told.prior_flight >= self.inflight(gain, told.mss))
            }
            _ => full || told.prior_flight <= self.inflight(256, told.mss),
        };
        if over {
            self.cycle = (self.cycle + 1) % CYCLE.len();
            self.cycle_at = told.now;
        }
    }

    fn check_full(&mut self, told: &Told) {
        if self.full || !self.round_began || told.sample.app_limited {
            return;
        }
        if self.bandwidth() >= self.full_bw * 5 / 4 {
            self.full_bw = self.bandwidth();
            self.full_rounds = 0;
            return;
        }
        self.full_rounds += 1;
        self.full = self.full_rounds >= FULL_ROUNDS;
    }

    fn check_drain(&mut self, told: &Told) {
        if self.mode == Mode::Startup && self.full {
            self.mode = Mode::Drain;
        }
        if self.mode == Mode::Drain && told.flight <= self.inflight(256, told.mss) {
            self.probe_bandwidth(told.now);
        }
    }

    fn probe_bandwidth(&mut self, now: Instant) {
        self.mode = Mode::ProbeBw;
        // Anywhere but in the phase that drains.
        if self.cycle == 1 {
            self.cycle = 2;
        }
        self.cycle_at = now;
    }

    /// bbr_update_min_rtt: a sample of each ten seconds is taken with little in flight.
    fn update_min_rtt(&mut self, cwnd: u32, told: &Told) -> u32 {
        let expired = told.now.saturating_sub(self.min_rtt_at) > MIN_RTT_WINDOW;
        if let Some(rtt) = told.rtt_us
            && (rtt < self.min_rtt_us || expired)
        {
            self.min_rtt_us = rtt.max(1);
            self.min_rtt_at = told.now;
        }
        let mut cwnd = cwnd;
        if expired && self.mode != Mode::ProbeRtt {
            self.mode = Mode::ProbeRtt;
            self.save(cwnd, told.phase);
            self.probe_rtt_done = None;
        }
        if self.mode != Mode::ProbeRtt {
            return cwnd;
        }
        match self.probe_rtt_done {
            None if told.flight <= MIN_SEGMENTS * told.mss => {
                self.probe_rtt_done = Some(told.now + PROBE_RTT_TIME);
                self.probe_rtt_round = false;
                self.next_round = told.delivered;
            }
            None => {}
            Some(done) => {
                self.probe_rtt_round |= self.round_began;
                if self.probe_rtt_round && told.now > done {
                    self.min_rtt_at = told.now;
                    cwnd = cwnd.max(self.prior_cwnd);
                    if self.full {
                        self.probe_bandwidth(told.now);
                    } else {
                        self.mode = Mode::Startup;
                    }
                }
            }
        }
        cwnd
    }

    fn save(&mut self, cwnd: u32, phase: Phase) {
        let steady = phase < Phase::Recovery && self.mode != Mode::ProbeRtt;
        self.prior_cwnd = if steady {
            cwnd
        } else {
            self.prior_cwnd.max(cwnd)
        };
    }

    /// A loss: the window to come back to. The threshold does not change.
    pub(crate) fn on_loss(&mut self, cwnd: u32) {
        self.save(cwnd, self.prior_phase);
    }

    /// A timeout: the path may be another one.
    pub(crate) fn on_timeout(&mut self) {
        self.prior_phase = Phase::Loss;
        self.full_bw = 0;
        self.round_began = true;
    }

    /// A loss that was none.
    pub(crate) fn on_undo(&mut self) {
        (self.full_bw, self.full_rounds) = (0, 0);
    }

    fn set_rate(&mut self, cwnd: u32, told: &Told) {
        if self.bandwidth() == 0 {
            if told.srtt_us > 0 && self.rate == 0 {
                let first = u64::from(cwnd) * 1_000_000 / u64::from(told.srtt_us);
                self.rate = first * u64::from(HIGH_GAIN) / 256;
            }
            return;
        }
        let rate = self.bandwidth() * u64::from(self.pacing_gain()) / 256 * MARGIN / 100;
        if self.full || rate > self.rate {
            self.rate = rate;
        }
    }

    /// bbr_set_cwnd, bbr_set_cwnd_to_recover_or_restore.
    fn set_window(&mut self, cwnd: u32, told: &Told) -> u32 {
        let mss = told.mss;
        let mut cwnd = cwnd;
        if told.acked > 0 {
            cwnd = cwnd.saturating_sub(told.lost).max(mss);
            let phase = told.phase;
            if phase == Phase::Recovery && self.prior_phase != Phase::Recovery {
                // A round of packet conservation, then slow start (bbr_set_cwnd_to_recover_or_restore).
                self.conserving = true;
                self.next_round = told.delivered;
                cwnd = told.flight + told.acked;
            } else if self.prior_phase >= Phase::Recovery && phase < Phase::Recovery {
                cwnd = cwnd.max(self.prior_cwnd);
                self.conserving = false;
            }
            self.prior_phase = phase;
            let target = self.inflight(self.cwnd_gain(), mss);
            if self.conserving {
                cwnd = cwnd.max(told.flight + told.acked);
            } else if self.full {
                cwnd = (cwnd + told.acked).min(target);
            } else if cwnd < target
                || told.delivered < u64::from(super::congestion::INITIAL_WINDOW * mss)
            {
                cwnd += told.acked;
            }
            cwnd = cwnd.max(MIN_SEGMENTS * mss);
        }
        if self.mode == Mode::ProbeRtt {
            cwnd = cwnd.min(MIN_SEGMENTS * mss);
        }
        cwnd.min(super::congestion::CWND_MAX)
    }

    /// What TCP_CC_INFO tells: bandwidth, least round trip, gains of pace and window.
    pub(crate) fn info(&self) -> (u64, u32, u32, u32) {
        (
            self.bandwidth(),
            self.min_rtt_us,
            self.pacing_gain(),
            self.cwnd_gain(),
        )
    }
}

#[cfg(test)]
mod tests;
