//! Loss recovery: what acknowledgments say about losses (tcp_ack, tcp_fastretrans_alert).
//!
//! # Theory of operation
//! [`Track`] is what a connection keeps beside its [`Recovery`](super::recovery::Recovery) while segments are tracked:
//! always on a path that can lose something, and on `lo` from the first sign of loss until all is well again. The order
//! of an acknowledgment is Linux's: blocks are marked (RFC 2018, 2883), what is acknowledged goes, the phase is judged
//! (RACK, RFC 8985; NewReno, RFC 6582, for a peer without SACK), reductions that were wrong are undone (RFC 3522, 3708,
//! F-RTO of RFC 5682), the window is set (PRR, RFC 6937, or the algorithm), the timer is set. What is then sent again is
//! in `resend`.

use alloc::boxed::Box;

use switchboard_wire::{SeqNum, TcpFlags, TcpSegment};

use super::bbr::Told;
use super::congestion::INFINITE_SSTHRESH;
use super::connection::{Connection, Cx, Timed};
use super::mtu::MtuSearch;
use super::recovery::Phase;
use super::sent::{Mark, Round, Scoreboard, Sent};
use super::timers::Purpose;
use crate::time::Instant;

/// Bits of net.ipv4.tcp_recovery: RACK's window of reordering does not grow with duplicates that are reported
/// (TCP_RACK_STATIC_REO_WND), and is kept though enough has arrived behind a hole (TCP_RACK_NO_DUPTHRESH).
const STATIC_WINDOW: u8 = 2;
const NO_THRESHOLD: u8 = 4;
/// How long what a peer seems to have dropped is waited for, at least.
const RENEGED_MIN: core::time::Duration = core::time::Duration::from_millis(10);
/// Recoveries that a wider reordering window lasts (TCP_RACK_RECOVERY_THRESH).
const REO_PERSIST: u8 = 16;

/// What a tracked connection has.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) board: Scoreboard,
    // RFC 6937.
    pub(crate) prior_cwnd: u32,
    pub(crate) prr_delivered: u32,
    pub(crate) prr_out: u32,
    /// Where the reduction began that may be undone, and what was sent again since and not reported as a duplicate;
    /// -1 is nothing yet.
    pub(crate) undo_marker: Option<SeqNum>,
    pub(crate) undo_retrans: i64,
    pub(crate) prior_ssthresh: u32,
    /// Our clock at the first retransmission (RFC 3522).
    pub(crate) retrans_stamp: Option<u32>,
    /// F-RTO is looking whether the timeout was wrong, and sends new data to find out.
    frto: bool,
    pub(crate) new_first: bool,
    /// SND.NXT when the tail was probed, and whether that was a retransmission (RFC 8985, 7.4).
    pub(crate) tlp: Option<SeqNum>,
    pub(crate) tlp_again: bool,
    /// Reordering in segments, and whether any was seen.
    pub(crate) reordering: u32,
    pub(crate) reordered: u32,
    // RFC 8985, 6.2 step 4.
    reo_steps: u8,
    reo_persist: u8,
    reo_dsack: bool,
    reo_delivered: u64,
    /// Duplicates that the peer reported, segments.
    pub(crate) duplicates: u32,
    // The delivery rate.
    pub(crate) delivered: u64,
    pub(crate) delivered_at: Instant,
    pub(crate) first_at: Instant,
    /// Until this much is delivered, samples are limited by the application; 0: they are not.
    pub(crate) app_limited: u64,
    /// The largest segment that the path carries is looked for (RFC 4821).
    pub(crate) search: Option<Box<MtuSearch>>,
    /// What was in flight at most since the window was last the limit, and when that was (RFC 7661, 4.4).
    pub(crate) used: (u32, Instant),
    /// What was out at most since the window began that ends there (max_packets_out, cwnd_usage_seq).
    pub(crate) peak: u32,
    pub(crate) peak_end: SeqNum,
    pub(crate) timeouts: Timeouts,
    /// The last good sample: bytes in microseconds, and whether the application limited it.
    pub(crate) rate: (u32, u32, bool),
}

/// What is told of timeouts (RFC 4898).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeouts {
    pub(crate) all: u16,
    /// The recoveries that they began.
    pub(crate) recoveries: u16,
    /// What those took that are over, in milliseconds.
    time: u32,
    /// Since when one lasts.
    since: Option<Instant>,
}

impl Timeouts {
    /// One more; `first` of its recovery.
    pub(crate) fn count(&mut self, now: Instant, first: bool) {
        self.all = self.all.saturating_add(1);
        if first {
            self.recoveries = self.recoveries.saturating_add(1);
            self.since = Some(now);
        }
    }

    /// What all recoveries have taken until now, in milliseconds.
    pub(crate) fn time(&self, now: Instant) -> u32 {
        self.since.map_or(self.time, |since| {
            let lasts = now.saturating_sub(since).as_millis();
            self.time.saturating_add(lasts as u32)
        })
    }
}

/// What kind of acknowledgment it is.
#[derive(Clone, Copy, Debug)]
struct Kind {
    advanced: bool,
    duplicate: bool,
    /// ECN says that something was marked.
    ece: bool,
    /// The timestamp it echoes.
    echo: Option<u32>,
}

impl Track {
    pub(crate) fn new(now: Instant, reordering: u32) -> Track {
        Track {
            board: Scoreboard::default(),
            prior_cwnd: 0,
            prr_delivered: 0,
            prr_out: 0,
            undo_marker: None,
            undo_retrans: -1,
            prior_ssthresh: 0,
            retrans_stamp: None,
            frto: false,
            new_first: false,
            tlp: None,
            tlp_again: false,
            reordering,
            reordered: 0,
            reo_steps: 1,
            reo_persist: 0,
            reo_dsack: false,
            reo_delivered: 0,
            duplicates: 0,
            delivered: 0,
            delivered_at: now,
            first_at: now,
            app_limited: 0,
            search: None,
            used: (0, now),
            peak: 0,
            peak_end: SeqNum(0),
            timeouts: Timeouts::default(),
            rate: (0, 0, false),
        }
    }

    /// tcp_init_undo.
    fn init_undo(&mut self, una: SeqNum) {
        self.undo_marker = Some(una);
        self.undo_retrans = match i64::from(self.board.again()) {
            0 => -1,
            n => n,
        };
    }
}

impl Connection {
    /// What is in flight: sent, and neither acknowledged nor lost.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        match &self.track {
            None => self.outstanding(),
            Some(track) => self.in_flight_of(track),
        }
    }

    pub(crate) fn in_flight_of(&self, track: &Track) -> u32 {
        let flight = track.board.in_flight(self.outstanding());
        // A peer without SACK: each duplicate says that a segment has left the network.
        flight.saturating_sub(u32::from(self.recovery.dupacks) * self.mss)
    }

    /// Takes the track, made from what is outstanding if there was none.
    pub(crate) fn take_track(&mut self) -> Box<Track> {
        self.track.take().unwrap_or_else(|| {
            let mut track = Box::new(Track::new(self.last_sent, self.opts.reordering()));
            let mut from = self.snd_una;
            while from.lt(self.snd_max) {
                let end = (from + self.mss.max(1)).min(self.snd_max);
                track.board.push(Sent {
                    seq: from,
                    end,
                    at: self.last_sent,
                    marks: Mark::empty(),
                    each: 0,
                    delivered: 0,
                    delivered_at: self.last_sent,
                    first_at: self.last_sent,
                });
                from = end;
            }
            self.timed = Timed::NONE;
            track
        })
    }

    /// An acknowledgment while segments are tracked, or one that is the reason to do so.
    #[cold]
    pub(crate) fn tracked_ack(&mut self, cx: Cx<'_>, segment: &TcpSegment, duplicate: bool) {
        let mut track = self.take_track();
        let t = &mut *track;
        let (ack, una) = (segment.ack, self.snd_una);
        let advanced = ack.gt(una);
        let limited_before = self.cwnd_limited;
        let prior_flight = self.in_flight_of(t);
        let ece = self.is_echo(segment);
        let recover = self.recovery.recover;
        let mut round = Round {
            highest: (t.board.sacked() > 0).then_some(t.board.highest),
            min_rtt_us: self.rtt.min_us(),
            ..Round::default()
        };
        if self.sack_ok {
            let edges = (una, ack, self.snd_max);
            let blocks = &segment.options.sack;
            t.board
                .on_blocks(cx.now, blocks, edges, recover, &mut round);
        }
        if advanced {
            t.board.on_ack(cx.now, ack, recover, &mut round);
            self.take_acknowledged(ack);
        }
        let larger = advanced && self.judge_probe(t);
        if !self.sack_ok {
            self.count_duplicates(cx, t, (duplicate, advanced), &mut round);
        }
        self.judge_rtt(cx.now, segment, &round, advanced);
        if advanced {
            self.retransmits = 0;
            if !self.snd_una.lt(self.recovery.recover) {
                t.timeouts.time = t.timeouts.time(cx.now);
                t.timeouts.since = None;
            }
            if self.outstanding() == 0 {
                self.retrans_since = Instant::BOOT;
            }
        }
        t.delivered += u64::from(round.delivered);
        if round.delivered > 0 {
            t.delivered_at = cx.now;
        }
        if let Some((left, right)) = round.duplicate {
            self.on_duplicate_report(t, left, right, una);
        }
        if let Some(low) = round.reordered {
            self.on_reordering(cx, t, low);
        }
        t.new_first = false;
        if let Some(probed) = t.tlp
            && !ack.lt(probed)
        {
            self.on_probe_answered(t, ack, probed, &round, advanced);
        }
        let echo = segment.options.timestamps.map(|ts| ts.echo);
        let echo = echo.filter(|echo| self.ts_ok && *echo != 0);
        let mut due = None;
        // RFC 2018, 8: the peer has dropped what it said it had. Unless the next acknowledgment says otherwise, the timer
        // takes all of it for lost (tcp_check_sack_reneging).
        let reneged = advanced && t.board.is_reneged();
        if reneged {
        } else if self.recovery.phase != Phase::Open
            || duplicate
            || round.sacked > 0
            || round.duplicate.is_some()
            || ece
        {
            let kind = Kind {
                advanced,
                duplicate,
                ece,
                echo,
            };
            due = self.alert(cx, t, &mut round, kind);
        }
        let sample = self.sample_rate(cx, t, &round);
        if self.cc.governs() {
            let told = Told {
                now: cx.now,
                sample,
                acked: round.delivered,
                lost: round.lost,
                flight: self.in_flight_of(t),
                prior_flight,
                rtt_us: round.latest_rtt_us(cx.now),
                srtt_us: self.rtt.srtt_us(),
                delivered: t.delivered,
                prior_delivered: round.newest.map_or(0, |sent| sent.delivered),
                phase: self.recovery.phase,
                mss: self.mss,
            };
            self.cwnd_limited = false;
            self.cc.on_told(&told);
        } else {
            self.set_window(cx, t, &round, advanced, limited_before);
        }
        if self.outstanding() == 0 {
            // RFC 6298, 5.2.
            self.deadlines.retransmit = Instant::MAX;
        } else if reneged {
            let half = core::time::Duration::from_micros(u64::from(self.rtt.srtt_us() / 2));
            self.deadlines.purpose = Purpose::Retransmit;
            self.deadlines.retransmit = cx.now + half.max(RENEGED_MIN);
        } else if let Some(due) = due {
            self.deadlines.purpose = Purpose::Reorder;
            self.deadlines.retransmit = due;
        } else if advanced || Self::is_news_of_first(t, &round) {
            self.arm_after_ack(cx, t);
        }
        // On `lo` all is well again.
        let idle = t.board.is_empty() && self.recovery.phase == Phase::Open;
        let wanted = self.path.tracked || self.cc.governs() || !idle;
        self.track = wanted.then_some(track);
        if larger {
            self.sync_mss(cx.sysctl);
        }
        if advanced && self.no_space {
            self.expand_send_buffer(cx);
        }
    }

    /// A block restarts the timer only for what left before the first segment did last; else a stream of them would put the
    /// timeout of a lost retransmission off for ever (tcp_clean_rtx_queue).
    fn is_news_of_first(t: &Track, round: &Round) -> bool {
        match (round.sack_at, t.board.first()) {
            (Some(at), Some(first)) => at < first.at,
            _ => false,
        }
    }

    /// RFC 5681's duplicates of a peer without SACK stand for segments (tcp_add_reno_sack, tcp_remove_reno_sacks).
    fn count_duplicates(
        &mut self,
        cx: Cx<'_>,
        t: &mut Track,
        (duplicate, advanced): (bool, bool),
        round: &mut Round,
    ) {
        let mss = self.mss.max(1);
        let mut counted = u32::from(self.recovery.dupacks);
        let mut acked = 0;
        if advanced {
            // One segment was the hole; the rest had been counted.
            acked = round.acked.div_ceil(mss);
            let beyond = acked.saturating_sub(1).min(counted);
            counted -= beyond;
            round.delivered = round.acked.saturating_sub(beyond * mss).max(1);
        } else if duplicate {
            counted += 1;
        }
        // tcp_check_reno_reordering: more duplicates than segments that can have arrived, of which one was only late.
        let out = t.board.segments();
        let most = out - t.board.lost().div_ceil(mss).max(1).min(out);
        if counted > most {
            counted = most;
            t.reordering = out.saturating_add(acked).min(cx.sysctl.tcp_max_reordering);
            t.reordered = t.reordered.saturating_add(1);
        }
        if !advanced && counted > u32::from(self.recovery.dupacks) {
            round.delivered += mss;
        }
        self.recovery.dupacks = counted.min(u32::from(u16::MAX)) as u16;
    }

    /// RFC 6298 with Karn's rule: of segments sent once; else by the timestamp (tcp_ack_update_rtt).
    fn judge_rtt(&mut self, now: Instant, segment: &TcpSegment, round: &Round, advanced: bool) {
        let at = round
            .first_at
            // Karn: of an acknowledgment of what was sent twice too, nothing can be told.
            .filter(|_| !round.again)
            .or(round.sack_at.filter(|_| round.sacked > 0));
        if let Some(at) = at {
            let rtt = now.saturating_sub(at);
            self.take_rtt(rtt);
            let latest = round.last_at.max(round.sack_at).unwrap_or(at);
            self.latest_rtt(now.micros_since(latest));
        } else if advanced {
            self.sample_echo(now, segment);
        }
    }

    /// A duplicate that the peer reports: one retransmission more that was not needed (tcp_check_dsack).
    fn on_duplicate_report(&mut self, t: &mut Track, left: SeqNum, right: SeqNum, una: SeqNum) {
        let len = (right - left).max(0) as u32;
        let count = len.div_ceil(self.mss.max(1)).max(1);
        t.duplicates = t.duplicates.saturating_add(count);
        t.reo_dsack = true;
        let news = t
            .undo_marker
            .is_some_and(|marker| right.gt(marker) && (!right.gt(una) || left.geq(marker)));
        if news && t.undo_retrans > 0 {
            t.undo_retrans = (t.undo_retrans - i64::from(len)).max(0);
        }
    }

    /// tcp_check_sack_reordering.
    fn on_reordering(&mut self, cx: Cx<'_>, t: &mut Track, low: SeqNum) {
        // tcp_highest_sack_seq: when nothing is left there, what is acknowledged.
        let highest = if t.board.sacked() > 0 {
            t.board.highest
        } else {
            self.snd_una
        };
        if !low.lt(highest) {
            return;
        }
        let distance = (highest - low) as u32;
        if u64::from(distance) > u64::from(t.reordering) * u64::from(self.mss) {
            let segments = distance.div_ceil(self.mss.max(1));
            t.reordering = segments.min(cx.sysctl.tcp_max_reordering);
        }
        t.reordered = t.reordered.saturating_add(1);
    }

    /// tcp_process_tlp_ack (RFC 8985, 7.4.2).
    fn on_probe_answered(
        &mut self,
        t: &mut Track,
        ack: SeqNum,
        probed: SeqNum,
        round: &Round,
        advanced: bool,
    ) {
        if !t.tlp_again || round.duplicate.is_some() {
            // New data, or the copy was one too many.
            t.tlp = None;
        } else if ack.gt(probed) {
            // More than the probe was acknowledged, and no duplicate: the probe has repaired a loss.
            t.tlp = None;
            self.start_reduction(t);
            self.recovery.phase = Phase::Cwr;
            self.end_reduction(t);
            self.keep_open(t);
        } else if !advanced && round.sacked == 0 {
            // Another acknowledgment of the same: it was for the copy.
            t.tlp = None;
        }
    }

    /// tcp_fastretrans_alert. When RACK wants to look again.
    fn alert(
        &mut self,
        cx: Cx<'_>,
        t: &mut Track,
        round: &mut Round,
        kind: Kind,
    ) -> Option<Instant> {
        let Kind {
            advanced,
            duplicate,
            ece,
            echo,
        } = kind;
        if ece {
            t.prior_ssthresh = 0;
        }
        let una = self.snd_una;
        let recover = self.recovery.recover;
        match self.recovery.phase {
            Phase::Open => t.retrans_stamp = None,
            Phase::Cwr if una.gt(recover) => {
                self.end_reduction(t);
                self.recovery.phase = Phase::Open;
            }
            Phase::Recovery if una.geq(recover) => {
                if !self.sack_ok {
                    self.recovery.dupacks = 0;
                }
                if self.undo_recovery(t, echo) {
                    return None;
                }
                self.end_reduction(t);
            }
            _ => {}
        }
        let mut due = None;
        match self.recovery.phase {
            Phase::Recovery => {
                if advanced && self.undo_partial(t, echo) {
                    return None;
                }
                if self.undo_duplicates(t) {
                    self.try_to_open(t, ece);
                }
                due = self.identify(cx, t, round, advanced);
                if self.recovery.phase == Phase::Recovery {
                    return due;
                }
            }
            Phase::Loss => {
                self.process_loss(t, round, advanced, duplicate, echo);
                due = self.identify(cx, t, round, advanced);
                if self.recovery.phase == Phase::Loss {
                    return due;
                }
            }
            Phase::Open | Phase::Disorder | Phase::Cwr => {
                if self.recovery.phase <= Phase::Disorder {
                    self.undo_duplicates(t);
                }
                due = self.identify(cx, t, round, advanced).or(due);
            }
        }
        if t.board.lost() == 0 {
            self.try_to_open(t, ece);
            return due;
        }
        if self.recovery.phase < Phase::Cwr && self.probe_failed(t) {
            return due;
        }
        self.enter_recovery(t, ece);
        due
    }

    /// tcp_identify_packet_loss.
    pub(crate) fn identify(
        &mut self,
        cx: Cx<'_>,
        t: &mut Track,
        round: &mut Round,
        advanced: bool,
    ) -> Option<Instant> {
        if self.sack_ok {
            let window = self.reordering_window(cx, t);
            return t.board.detect(cx.now, window, round);
        }
        // tcp_newreno_mark_lost: RFC 6582, 3.2, and 3.2 step 3 for a partial acknowledgment.
        let fresh = self.recovery.phase < Phase::Recovery
            && u32::from(self.recovery.dupacks) >= t.reordering
            && self.snd_una.gt(self.recovery.recover);
        let partial = self.recovery.phase == Phase::Recovery && advanced;
        if fresh || partial {
            round.lost += t.board.lose_first();
        }
        None
    }

    /// RACK_update_reo_wnd (RFC 8985, 6.2 step 4; tcp_rack_reo_wnd).
    fn reordering_window(&mut self, cx: Cx<'_>, t: &mut Track) -> u32 {
        let recovery = cx.sysctl.tcp_recovery;
        if recovery & STATIC_WINDOW != 0 {
        } else if t.reo_dsack && t.delivered >= t.reo_delivered {
            t.reo_dsack = false;
            t.reo_steps = t.reo_steps.saturating_add(1);
            t.reo_persist = REO_PERSIST;
            t.reo_delivered = t.delivered + u64::from(self.outstanding());
        } else if t.reo_persist == 0 {
            t.reo_steps = 1;
        }
        if t.reordered == 0
            && (self.recovery.phase >= Phase::Recovery
                || (recovery & NO_THRESHOLD == 0 && t.board.sacked_segments() >= t.reordering))
        {
            return 0;
        }
        let min = self.rtt.min_us();
        let min = if min == u32::MAX { 0 } else { min };
        ((min >> 2).saturating_mul(u32::from(t.reo_steps))).min(self.rtt.srtt_us())
    }

    /// tcp_enter_recovery.
    pub(crate) fn enter_recovery(&mut self, t: &mut Track, ece: bool) {
        t.init_undo(self.snd_una);
        t.prior_ssthresh = 0;
        if !self.recovery.is_reducing() {
            if !ece {
                t.prior_ssthresh = self.cc.current_ssthresh();
            }
            self.start_reduction(t);
        }
        self.recovery.phase = Phase::Recovery;
        self.recovery.recover = self.snd_max;
        t.reo_persist = t.reo_persist.saturating_sub(1);
    }

    /// tcp_init_cwnd_reduction.
    pub(crate) fn start_reduction(&mut self, t: &mut Track) {
        self.recovery.recover = self.snd_max;
        t.tlp = None;
        t.prior_cwnd = self.cc.cwnd;
        (t.prr_delivered, t.prr_out) = (0, 0);
        self.cc.reduce(self.mss);
        self.queue_cwr();
    }

    /// tcp_end_cwnd_reduction.
    fn end_reduction(&mut self, t: &mut Track) {
        if self.cc.ssthresh < INFINITE_SSTHRESH
            && (t.undo_marker.is_some() || self.recovery.phase == Phase::Cwr)
        {
            self.cc.end_reduction(self.mss);
        }
    }

    /// RFC 6937, 3.1 (tcp_cwnd_reduction): proportional above ssthresh, slow start below it.
    pub(crate) fn reduce(&mut self, t: &mut Track, delivered: u32, lost: u32, advanced: bool) {
        if delivered == 0 || t.prior_cwnd == 0 {
            return;
        }
        let (ssthresh, mss) = (self.cc.ssthresh, self.mss);
        let flight = self.in_flight_of(t);
        t.prr_delivered = t.prr_delivered.saturating_add(delivered);
        let mut send = if flight > ssthresh {
            let due = (u64::from(ssthresh) * u64::from(t.prr_delivered))
                .div_ceil(u64::from(t.prior_cwnd));
            // A segment begun is a segment.
            (due as u32)
                .checked_next_multiple_of(mss.max(1))
                .unwrap_or(u32::MAX)
                .saturating_sub(t.prr_out)
        } else {
            let mut send = t.prr_delivered.saturating_sub(t.prr_out).max(delivered);
            if advanced && lost == 0 {
                send += mss;
            }
            send.min(ssthresh - flight)
        };
        if t.prr_out == 0 {
            // The fast retransmission itself.
            send = send.max(mss);
        }
        self.cc.cwnd = (flight + send).max(mss);
    }

    /// The window after an acknowledgment (tcp_cong_control).
    fn set_window(
        &mut self,
        cx: Cx<'_>,
        t: &mut Track,
        round: &Round,
        advanced: bool,
        was_limited: bool,
    ) {
        if self.recovery.is_reducing() {
            self.reduce(t, round.delivered, round.lost, advanced);
            return;
        }
        let growing = self.cc.in_slow_start() && self.cc.cwnd < 2 * t.peak;
        let limited = was_limited || growing || self.recovery.phase == Phase::Loss;
        if advanced {
            self.cwnd_limited = false;
        }
        // tcp_may_raise_cwnd: where much is reordered, what arrives out of order counts as well.
        let reordered = round.sacked > 0 && t.reordering > cx.sysctl.tcp_reordering;
        if (advanced || reordered) && limited && round.delivered > 0 {
            self.cc.on_ack(round.delivered, self.mss, cx.now, &self.rtt);
        }
    }

    /// tcp_try_keep_open.
    fn keep_open(&mut self, t: &Track) {
        let left = t.board.sacked() + t.board.lost() + t.board.again();
        let phase = if left > 0 || self.recovery.dupacks > 0 {
            Phase::Disorder
        } else {
            Phase::Open
        };
        if self.recovery.phase != phase {
            self.recovery.phase = phase;
            self.recovery.recover = self.snd_max;
        }
    }

    /// tcp_try_to_open.
    fn try_to_open(&mut self, t: &mut Track, ece: bool) {
        if t.board.again() == 0 {
            t.retrans_stamp = None;
        }
        if ece {
            self.enter_cwr(t);
        }
        if self.recovery.phase != Phase::Cwr {
            let recover = self.recovery.recover;
            self.keep_open(t);
            if !self.sack_ok {
                // RFC 6582, 3.2 step 1: what the last recovery had sent still counts.
                self.recovery.recover = recover;
            }
        }
    }

    /// tcp_may_undo: every retransmission was reported as a duplicate (RFC 3708), or the answer is to a segment that left
    /// before the first of them (RFC 3522).
    fn may_undo(t: &Track, echo: Option<u32>) -> bool {
        t.undo_marker.is_some() && (t.undo_retrans == 0 || Self::was_delayed(t, echo))
    }

    /// tcp_packet_delayed.
    fn was_delayed(t: &Track, echo: Option<u32>) -> bool {
        matches!((t.retrans_stamp, echo), (Some(stamp), Some(echo))
            if (echo.wrapping_sub(stamp) as i32) < 0)
    }

    /// tcp_undo_cwnd_reduction.
    fn undo(&mut self, t: &mut Track, found: bool) {
        if found {
            t.board.find_all();
        }
        if t.prior_ssthresh > 0 {
            self.cc.undo(t.prior_cwnd, t.prior_ssthresh);
        }
        t.undo_marker = None;
        t.board.rack.advanced = true;
    }

    /// tcp_try_undo_recovery, at the end of a recovery. True: hold the phase (RFC 6582: for a peer without SACK,
    /// duplicates of what was sent twice must not begin another one).
    fn undo_recovery(&mut self, t: &mut Track, echo: Option<u32>) -> bool {
        if Self::may_undo(t, echo) {
            self.undo(t, false);
        }
        if self.snd_una == self.recovery.recover && !self.sack_ok {
            if t.board.again() == 0 {
                t.retrans_stamp = None;
            }
            if self.outstanding() > 0 {
                return true;
            }
        }
        self.recovery.phase = Phase::Open;
        false
    }

    /// tcp_try_undo_partial.
    fn undo_partial(&mut self, t: &mut Track, echo: Option<u32>) -> bool {
        if t.undo_marker.is_none() || !Self::was_delayed(t, echo) {
            return false;
        }
        // What was sent again is in flight: its answers come first.
        if t.board.again() > 0 {
            return true;
        }
        t.retrans_stamp = None;
        self.undo(t, true);
        self.keep_open(t);
        true
    }

    /// tcp_try_undo_dsack.
    fn undo_duplicates(&mut self, t: &mut Track) -> bool {
        if t.undo_marker.is_some() && t.undo_retrans == 0 {
            t.reo_persist = REO_PERSIST.min(t.reo_persist + 1);
            self.undo(t, false);
            return true;
        }
        false
    }

    /// tcp_try_undo_loss: the timeout was wrong.
    fn undo_loss(&mut self, t: &mut Track, certain: bool, echo: Option<u32>) -> bool {
        if !certain && !Self::may_undo(t, echo) {
            return false;
        }
        self.undo(t, true);
        self.retransmits = 0;
        if certain || self.sack_ok {
            self.recovery.phase = Phase::Open;
            self.recovery.dupacks = 0;
            t.retrans_stamp = None;
        }
        true
    }

    /// tcp_process_loss: F-RTO (RFC 5682, 3) and the end of the phase.
    fn process_loss(
        &mut self,
        t: &mut Track,
        round: &Round,
        advanced: bool,
        duplicate: bool,
        echo: Option<u32>,
    ) {
        let recovered = self.snd_una.geq(self.recovery.recover);
        if advanced && self.undo_loss(t, false, echo) {
            return;
        }
        if t.frto {
            // Step 3.b: something that was not sent again has arrived.
            if round.original && self.undo_loss(t, true, echo) {
                return;
            }
            if self.snd_max.gt(self.recovery.recover) {
                if round.sacked > 0 || duplicate {
                    // Step 3.a: it was a loss.
                    t.frto = false;
                }
            } else if advanced && !recovered {
                self.recovery.recover = self.snd_max;
                // Step 2.b: new data, if there is and may be sent.
                if self.write_seq().gt(self.snd_max) && self.usable_window() > 0 {
                    t.new_first = true;
                    return;
                }
                t.frto = false;
            }
        }
        if recovered {
            self.finish_loss(t, echo);
        }
    }

    fn finish_loss(&mut self, t: &mut Track, echo: Option<u32>) {
        if Self::may_undo(t, echo) {
            self.undo(t, false);
        }
        self.recovery.phase = Phase::Open;
        self.recovery.dupacks = 0;
        t.undo_marker = None;
        t.retrans_stamp = None;
    }

    /// tcp_enter_loss: the retransmission timer expired.
    pub(crate) fn enter_loss(&mut self, cx: Cx<'_>, t: &mut Track) {
        let phase = self.recovery.phase;
        let fresh = phase < Phase::Recovery;
        let reneged = t.board.is_reneged();
        if reneged {
            t.board.forget_sacked();
        }
        self.recovery.dupacks = 0;
        let window = self.reordering_window(cx, t);
        let rtt = t.board.rack.rtt_us.max(self.rtt.srtt_us());
        let patience = core::time::Duration::from_micros(u64::from(rtt) + u64::from(window));
        let patience = if self.sack_ok && !reneged {
            patience
        } else {
            core::time::Duration::ZERO
        };
        if phase <= Phase::Disorder
            || !self.recovery.recover.gt(self.snd_una)
            || (phase == Phase::Loss && self.retransmits == 0)
        {
            t.prior_ssthresh = self.cc.current_ssthresh();
            t.prior_cwnd = self.cc.cwnd;
            self.cc.reduce(self.mss);
            t.init_undo(self.snd_una);
        }
        t.board.lose_all(cx.now, patience);
        self.cc.after_timeout(self.in_flight_of(t), self.mss);
        // A timeout amid duplicates: reordering was over-estimated.
        let usual = cx.sysctl.tcp_reordering;
        if phase <= Phase::Disorder && t.board.sacked_segments() >= usual {
            t.reordering = t.reordering.min(usual);
        }
        self.recovery.phase = Phase::Loss;
        self.recovery.recover = self.snd_max;
        let probing = t.search.as_ref().is_some_and(|search| search.is_probing());
        t.frto = cx.sysctl.tcp_frto > 0 && (fresh || self.retransmits > 0) && !probing;
        t.new_first = false;
        t.tlp = None;
        self.queue_cwr();
    }

    /// Whether an acknowledgment that says nothing new of the window is a duplicate as RFC 5681, 2 defines it. The first
    /// after a SYN always says something (tcp_may_update_window).
    pub(crate) fn is_duplicate(&self, segment: &TcpSegment) -> bool {
        segment.ack == self.snd_una
            && segment.seq_len() == 0
            && !segment.flags.intersects(TcpFlags::SYN | TcpFlags::FIN)
    }
}
