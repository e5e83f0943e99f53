//! What happens when time passes: retransmission, probes, keepalive, delayed ACK.
//!
//! # Timeouts
//! - retransmission: RFC 6298; given up after tcp_retries2 (15) back-offs, about 924 s, or TCP_USER_TIMEOUT.
//! - SYN: four at a constant second, then doubling; tcp_syn_retries (6) doublings, 131 s in all.
//! - zero-window probe: as often as retransmissions, given up likewise.
//! - keepalive: 7200 s, then 9 probes 75 s apart.
//! - delayed ACK: 40 to 200 ms (RFC 9293, 3.8.6.3 allows 500 ms).

use core::time::Duration;

use super::congestion::INFINITE_SSTHRESH;
use super::connection::{Connection, Cx, Out, Timed};
use super::rtt::{RTO_INIT, RTO_MIN};
use super::state::{State, TcpError};
use super::timing::{THIN_LINEAR_RETRIES, THIN_SEGMENTS};
use crate::event::EventKind;
use crate::time::Instant;

/// Least and greatest delay of an acknowledgment (TCP_DELACK_MIN, TCP_DELACK_MAX).
pub(crate) const DELACK_MIN: Duration = Duration::from_millis(40);
pub(crate) const DELACK_MAX: Duration = Duration::from_millis(200);
/// RFC 9293 says two MSL, 4 minutes; Linux one minute (TCP_TIMEWAIT_LEN).
pub(crate) const TIME_WAIT_LEN: Duration = Duration::from_secs(60);
/// Two ticks of Linux's timers (TCP_TIMEOUT_MIN).
pub(crate) const TIMEOUT_MIN: Duration = Duration::from_millis(8);
/// Retransmissions of an orphan when tcp_orphan_retries is 0 (tcp_orphan_retries()).
const ORPHAN_RETRIES: u8 = 8;

/// What the retransmission timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Retransmit,
    /// The window is closed.
    Probe,
    /// The tail may be lost (RFC 8985, 7).
    LossProbe,
    /// What may have been reordered has had its time (RFC 8985, 6.3).
    Reorder,
}

/// The deadlines of a connection; `Instant::MAX` is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) retransmit: Instant,
    pub(crate) purpose: Purpose,
    pub(crate) delayed_ack: Instant,
    /// Keepalive, or the end of FIN_WAIT2.
    pub(crate) keep: Instant,
}

impl Deadlines {
    pub(crate) const fn new() -> Deadlines {
        Deadlines {
            retransmit: Instant::MAX,
            purpose: Purpose::Retransmit,
            delayed_ack: Instant::MAX,
            keep: Instant::MAX,
        }
    }

    #[inline]
    pub(crate) fn next(&self) -> Instant {
        self.retransmit.min(self.delayed_ack).min(self.keep)
    }
}

impl Connection {
    /// Runs what is due.
    pub(crate) fn on_timer(&mut self, cx: Cx<'_>) {
        self.hold = false;
        if self.deadlines.delayed_ack <= cx.now {
            self.deadlines.delayed_ack = Instant::MAX;
            self.on_delayed_ack();
        }
        if self.deadlines.retransmit <= cx.now {
            self.deadlines.retransmit = Instant::MAX;
            match self.deadlines.purpose {
                Purpose::Retransmit => self.on_retransmit_timeout(cx),
                Purpose::Probe => self.on_probe_timeout(cx),
                Purpose::LossProbe => self.on_loss_probe_due(cx),
                Purpose::Reorder => self.on_reordering_timeout(cx),
            }
        }
        if self.deadlines.keep <= cx.now {
            self.deadlines.keep = Instant::MAX;
            self.on_keepalive(cx);
        }
    }

    /// RFC 6298, 5.1 and 5.3: (re)start the timer for what is outstanding.
    #[inline]
    pub(crate) fn restart_retransmit(&mut self, now: Instant) {
        self.deadlines.purpose = Purpose::Retransmit;
        self.deadlines.retransmit = now + self.rtt.rto();
    }

    /// tcp_delack_timer_handler.
    fn on_delayed_ack(&mut self) {
        if self.state == State::Close || !self.ack.scheduled {
            return;
        }
        if self.ack.pingpong {
            // The reply did not come in time: leave interactive mode.
            self.ack.pingpong = false;
            self.ack.ato_us = DELACK_MIN.as_micros() as u32;
        } else {
            self.ack.ato_us = (self.ack.ato_us * 2).min(self.rtt.rto_us());
        }
        self.out |= Out::ACK;
    }

    /// RFC 6298, 5.4 to 5.7 (tcp_retransmit_timer, tcp_write_timeout).
    fn on_retransmit_timeout(&mut self, cx: Cx<'_>) {
        match self.state {
            State::SynSent | State::SynRecv => return self.on_syn_timeout(cx),
            State::Close | State::Listen | State::TimeWait => return,
            _ if self.outstanding() == 0 => return,
            _ => {}
        }
        if self.snd_wnd == 0 && !self.orphan {
            return self.on_timeout_of_closed_window(cx);
        }
        if self.retransmits == 0 {
            // retrans_stamp: the time counts from the first retransmission.
            self.retrans_since = cx.now;
        }
        if self.should_give_up(cx) {
            return self.give_up();
        }
        if self.suspects_black_hole(cx) {
            self.shrink_segments(cx);
        }
        let mut track = self.take_track();
        self.enter_loss(cx, &mut track);
        // tcp_update_rto_stats.
        track.timeouts.count(cx.now, self.retransmits == 0);
        self.track = Some(track);
        self.retransmits = self.retransmits.saturating_add(1);
        self.back_off_and_arm(cx);
    }

    fn back_off_and_arm(&mut self, cx: Cx<'_>) {
        if self.is_thin_linear(cx) {
            self.backoff = 0;
            self.rtt.reset_rto();
        } else {
            self.backoff = self.backoff.saturating_add(1);
            // RFC 6298, 5.5.
            self.rtt.back_off();
        }
        self.arm_clamped(cx);
    }

    /// The peer has shrunk its window to nothing though data is out: what is sent again are window probes, and the
    /// connection lasts as long as they are answered (tcp_rtx_probe0_timed_out).
    fn on_timeout_of_closed_window(&mut self, cx: Cx<'_>) {
        if self.retrans_since == Instant::BOOT {
            self.retrans_since = cx.now;
        }
        let waited = cx.now.saturating_sub(self.retrans_since);
        let most = self.rtt.bounds().max() * 2;
        let silent = cx.now.saturating_sub(self.last_ack_received);
        let dead = match self.opts.user_timeout() {
            Some(limit) => waited > limit || (silent > limit.min(most) && waited > most),
            None => silent > most && waited > most,
        };
        if dead {
            return self.give_up();
        }
        let mut track = self.take_track();
        self.enter_loss(cx, &mut track);
        self.track = Some(track);
        self.back_off_and_arm(cx);
    }

    /// RFC 4821, 7.7 (tcp_mtu_probing): after tcp_retries1 timeouts without an answer the path may swallow large packets,
    /// and say nothing.
    fn suspects_black_hole(&self, cx: Cx<'_>) -> bool {
        let waited = cx.now.saturating_sub(self.retrans_since);
        let limit = model_timeout(cx.sysctl.tcp_retries1, RTO_MIN, self.rtt.bounds().max());
        cx.sysctl.tcp_mtu_probing > 0 && self.retransmits > 0 && waited >= limit
    }

    /// TCP_THIN_LINEAR_TIMEOUTS: an interactive stream does not double its first timeouts.
    fn is_thin_linear(&self, cx: Cx<'_>) -> bool {
        let wanted = self.opts.timing().thin_linear || cx.sysctl.tcp_thin_linear_timeouts;
        wanted
            && self.state == State::Established
            && self.outstanding().div_ceil(self.mss.max(1)) < THIN_SEGMENTS
            && self.cc.ssthresh != INFINITE_SSTHRESH
            && self.retransmits <= THIN_LINEAR_RETRIES
    }

    /// Arms with the current RTO, not past the end of TCP_USER_TIMEOUT (tcp_clamp_rto_to_user_timeout).
    fn arm_clamped(&mut self, cx: Cx<'_>) {
        let mut wait = self.rtt.rto();
        if let Some(limit) = self.opts.user_timeout() {
            let left = limit.saturating_sub(cx.now.saturating_sub(self.retrans_since));
            wait = wait.min(left.max(Duration::from_millis(1)));
        }
        self.deadlines.purpose = Purpose::Retransmit;
        self.deadlines.retransmit = cx.now + wait;
    }

    /// tcp_write_timeout for a synchronized connection.
    fn should_give_up(&self, cx: Cx<'_>) -> bool {
        let elapsed = cx.now.saturating_sub(self.retrans_since);
        let mut retries = cx.sysctl.tcp_retries2;
        if self.orphan {
            let alive = self.rtt.rto() < self.rtt.bounds().max();
            retries = self.orphan_retries(cx, alive);
        }
        if self.retransmits == 0 {
            return false;
        }
        let limit = self
            .opts
            .user_timeout()
            .unwrap_or_else(|| model_timeout(retries, RTO_MIN, self.rtt.bounds().max()));
        elapsed >= limit
    }

    fn orphan_retries(&self, cx: Cx<'_>, alive: bool) -> u8 {
        match cx.sysctl.tcp_orphan_retries {
            // The path is known to be broken: do not try for long.
            _ if self.soft_error.is_some() && !alive => 0,
            0 if alive => ORPHAN_RETRIES,
            n => n,
        }
    }

    /// tcp_write_err.
    fn give_up(&mut self) {
        self.fail(self.soft_error.unwrap_or(TcpError::TimedOut));
    }

    /// No answer to our SYN, or to our SYN-ACK in a simultaneous open.
    fn on_syn_timeout(&mut self, cx: Cx<'_>) {
        let mut limit = self.opts.syn_count_or(cx.sysctl);
        if self.is_fast_child() {
            // tcp_fastopen_synack_timer.
            limit = match self.opts.syn_count() {
                0 => cx.sysctl.tcp_synack_retries.saturating_add(1),
                n => n,
            };
        }
        if self.state == State::SynSent {
            limit = limit.saturating_add(cx.sysctl.tcp_syn_linear_timeouts);
        }
        if self.retransmits == 0 {
            // The time counts from the SYN.
            let sent = self.timed.get().map(|(_, at)| at);
            self.retrans_since = sent.unwrap_or(cx.now - self.rtt.rto());
        }
        let most = self.opts.user_timeout().unwrap_or_else(|| {
            let retries = self.opts.syn_count_or(cx.sysctl);
            model_timeout(retries, RTO_INIT, self.rtt.bounds().max())
        });
        let waited = cx.now.saturating_sub(self.retrans_since);
        let overdue = self.retransmits > 0 && waited >= most;
        if self.retransmits >= limit || overdue {
            return self.give_up();
        }
        if self.retransmits == 1 && self.is_fast_child() {
            // Everything is taken for lost, and sent again when the handshake is over.
            let mut track = self.take_track();
            self.enter_loss(cx, &mut track);
            self.track = Some(track);
        }
        self.retransmits += 1;
        // Linux since 6.5: the first SYNs are a second apart, and only then the timeout doubles.
        if self.state != State::SynSent || self.retransmits > cx.sysctl.tcp_syn_linear_timeouts {
            self.backoff = self.backoff.saturating_add(1);
            self.rtt.back_off();
        }
        self.timed = Timed::NONE;
        self.queue_cwr();
        self.out |= Out::SYN;
        self.arm_clamped(cx);
    }

    /// tcp_probe_timer: the window is closed, or what is queued may not be sent yet.
    fn on_probe_timeout(&mut self, cx: Cx<'_>) {
        if self.outstanding() > 0 || !self.has_unsent() {
            self.probes_out = 0;
            self.retrans_since = Instant::BOOT;
            return;
        }
        // Answers do not put TCP_USER_TIMEOUT off, only an open window does (icsk_probes_tstamp).
        if self.retrans_since == Instant::BOOT {
            self.retrans_since = cx.now;
        }
        let waited = cx.now.saturating_sub(self.retrans_since);
        let user = self.opts.user_timeout().filter(|_| !waited.is_zero());
        if user.is_some_and(|limit| waited >= limit) {
            return self.give_up();
        }
        let mut limit = cx.sysctl.tcp_retries2;
        if self.orphan {
            let alive = self.probe_interval() < self.rtt.bounds().max();
            limit = self.orphan_retries(cx, alive);
            if !alive && self.backoff >= limit {
                return self.give_up();
            }
        }
        if self.probes_out >= limit {
            return self.give_up();
        }
        self.out |= Out::PROBE;
        self.backoff = (self.backoff + 1).min(30);
        self.probes_out = self.probes_out.saturating_add(1);
        self.arm_probe(cx.now);
    }

    /// tcp_probe0_when: RTO doubled for each probe sent (RFC 9293, 3.8.6.1).
    fn probe_interval(&self) -> Duration {
        (self.rtt.rto().max(RTO_MIN) * (1 << u32::from(self.backoff).min(16)))
            .min(self.rtt.bounds().max())
    }

    pub(crate) fn arm_probe(&mut self, now: Instant) {
        let mut wait = self.probe_interval();
        // tcp_clamp_probe0_to_user_timeout.
        if let Some(limit) = self.opts.user_timeout()
            && self.retrans_since != Instant::BOOT
        {
            let left = limit.saturating_sub(now.saturating_sub(self.retrans_since));
            wait = wait.min(left.max(TIMEOUT_MIN));
        }
        self.deadlines.purpose = Purpose::Probe;
        self.deadlines.retransmit = now + wait;
    }

    /// tcp_keepalive_timer (RFC 9293, 3.8.4).
    fn on_keepalive(&mut self, cx: Cx<'_>) {
        if matches!(self.state, State::Close | State::Listen | State::SynSent)
            || !self.opts.keep_alive
        {
            return;
        }
        let idle_limit = self.opts.keep_idle(cx.sysctl);
        let interval = self.opts.keep_interval(cx.sysctl);
        // Data in flight or waiting: the retransmission or probe timer watches the peer.
        if self.outstanding() > 0 || self.has_unsent() {
            self.deadlines.keep = cx.now + idle_limit;
            return;
        }
        let idle = self.idle_for(cx.now);
        if idle < idle_limit {
            self.deadlines.keep = cx.now + (idle_limit - idle);
            return;
        }
        let dead = match self.opts.user_timeout() {
            Some(limit) => idle >= limit && self.probes_out > 0,
            None => self.probes_out >= self.opts.keep_count(cx.sysctl),
        };
        if dead {
            self.out |= Out::RST;
            self.give_up();
            return;
        }
        self.out |= Out::PROBE;
        self.probes_out = self.probes_out.saturating_add(1);
        self.deadlines.keep = cx.now + interval;
    }

    /// keepalive_time_elapsed.
    fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_sub(self.ack.last_received.max(self.last_ack_received))
    }

    /// SO_KEEPALIVE was set: the idle time counts from now (tcp_set_keepalive).
    pub(crate) fn begin_keepalive(&mut self, cx: Cx<'_>) {
        if !matches!(self.state, State::Close | State::Listen) {
            self.deadlines.keep = cx.now + self.opts.keep_idle(cx.sysctl);
        }
    }

    /// Starts the keepalive timer when the option is on.
    pub(crate) fn start_keepalive(&mut self, cx: Cx<'_>) {
        if self.opts.keep_alive && !matches!(self.state, State::Close | State::Listen) {
            let idle = self.idle_for(cx.now);
            let limit = self.opts.keep_idle(cx.sysctl);
            self.deadlines.keep = cx.now + limit.saturating_sub(idle);
        }
    }

    /// An ICMP error about this connection arrived (tcp_v4_err). Only a connection attempt fails at once; else it is the
    /// reason given if the connection times out (RFC 5461 says why).
    pub(crate) fn on_icmp_error(&mut self, error: TcpError, hard: bool) {
        match self.state {
            State::SynSent | State::SynRecv if hard => self.fail(error),
            State::Close | State::Listen => {}
            _ => {
                self.soft_error = Some(error);
                self.events |= EventKind::empty();
            }
        }
    }
}

/// tcp_model_timeout: how long `retries` retransmissions take, the first after `first`.
fn model_timeout(retries: u8, first: Duration, max: Duration) -> Duration {
    // Doublings that fit in the greatest timeout (9 of 200 ms in 120 s).
    let linear_after = (max.as_micros() / first.as_micros()).max(1).ilog2();
    let retries = u32::from(retries);
    if retries <= linear_after {
        first * ((2 << retries) - 1)
    } else {
        first * ((2 << linear_after) - 1) + max * (retries - linear_after)
    }
}

/// The timeout before the n-th retransmission of a SYN-ACK (tcp_reqsk_timeout).
pub(crate) fn syn_ack_timeout(n: u8, max: Duration) -> Duration {
    (RTO_INIT * (1 << u32::from(n).min(16))).min(max)
}
