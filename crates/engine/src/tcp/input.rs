//! Segments in (RFC 9293, 3.10.7, "SEGMENT ARRIVES"), for a connection in any state but LISTEN and TIME_WAIT.

use switchboard_wire::{SeqNum, TcpFlags, TcpOptions, TcpSegment};

use super::ack::AckVerdict;
use super::congestion::Congestion;
use super::connection::{Connection, Cx, MSS_DEFAULT, Out, Timed};
use super::options::Linger2;
use super::recovery::Recovery;
use super::state::{State, TcpError};
use super::timers::{DELACK_MAX, TIMEOUT_MIN};
use crate::event::EventKind;
use crate::time::Instant;

/// After 24 days without segments the recent timestamp means nothing any more (RFC 7323, 5.5).
const PAWS_IDLE: core::time::Duration = core::time::Duration::from_secs(24 * 24 * 3600);
/// How many ticks of the peer's clock a segment may be late (TCP_PAWS_WINDOW).
const PAWS_WINDOW: i32 = 1;
/// The default of net.ipv4.tcp_challenge_ack_limit, which is none.
const UNLIMITED: u32 = i32::MAX as u32;
/// RFC 7323, 2.3.
pub(crate) const MAX_WINDOW_SCALE: u8 = 14;

/// What the caller must do for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    None,
    /// Answer it with a RST (RFC 9293, 3.10.7.1 gives its form).
    Reset,
}

/// tcp_oow_rate_limited: what has data or a FIN cannot be part of a loop of acknowledgments.
pub(crate) fn always_answered(segment: &TcpSegment) -> bool {
    segment.seq_len() > 0 && !segment.flags.contains(TcpFlags::SYN)
}

impl Connection {
    /// One segment for this connection.
    #[inline]
    pub(crate) fn on_segment(&mut self, cx: Cx<'_>, segment: &mut TcpSegment) -> Reply {
        self.counters.segs_in += segment.segments();
        match self.state {
            State::SynSent => self.on_segment_syn_sent(cx, segment),
            State::Close | State::Listen | State::TimeWait | State::NewSynRecv => Reply::Reset,
            _ => self.on_segment_synchronized(cx, segment),
        }
    }

    /// RFC 9293, 3.10.7.3.
    fn on_segment_syn_sent(&mut self, cx: Cx<'_>, segment: &mut TcpSegment) -> Reply {
        let flags = segment.flags;
        let has_ack = flags.contains(TcpFlags::ACK);
        // First: "if SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset".
        if has_ack && (!segment.ack.gt(self.snd_una) || segment.ack.gt(self.snd_max)) {
            // What the peer's old connection makes it say has been answered: the SYN goes again at once.
            if self.retransmits == 0 && self.deadlines.retransmit != Instant::MAX {
                self.deadlines.retransmit = cx.now + TIMEOUT_MIN;
            }
            return if flags.contains(TcpFlags::RST) {
                Reply::None
            } else {
                Reply::Reset
            };
        }
        // RFC 7323, 3.2: an echo of what we never sent is from another incarnation (PAWSACTIVEREJECTED).
        if let Some(ts) = segment.options.timestamps
            && has_ack
            && ts.echo != 0
            && !self.has_sent_timestamp(cx.now, ts.echo)
        {
            return if flags.contains(TcpFlags::RST) {
                Reply::None
            } else {
                Reply::Reset
            };
        }
        // Second: RST. Without an acceptable ACK it proves nothing.
        if flags.contains(TcpFlags::RST) {
            if has_ack {
                self.fail(TcpError::ConnectionRefused);
            }
            return Reply::None;
        }
        // Fourth: SYN.
        if !flags.contains(TcpFlags::SYN) {
            return Reply::None;
        }
        self.learn_options(cx, &segment.options);
        self.ecn_answered(flags);
        self.rcv_nxt = segment.seq + 1u32;
        self.rcv_wup = self.rcv_nxt;
        self.snd_wl1 = segment.seq;
        // The window of a SYN is never scaled (RFC 7323, 2.2).
        self.snd_wnd = u32::from(segment.window);
        self.max_window = self.snd_wnd;
        self.init_buffers(cx);
        if !has_ack {
            // Simultaneous open (RFC 9293, 3.5, figure 7).
            self.state = State::SynRecv;
            self.out |= Out::SYN;
            return Reply::None;
        }
        let retransmitted = self.retransmits > 0;
        let data_acked = (segment.ack - (self.snd_una + 1u32)).max(0) as u32;
        self.snd_una = segment.ack;
        // The SYN counts as a byte, as in Linux; without Fast Open it is the only one that was sent.
        self.counters.bytes_acked += 1;
        self.snd_nxt = self.snd_max.max(self.snd_una);
        if self.fastopen.is_some() {
            self.fast_open_answered(data_acked, retransmitted);
        }
        self.snd_up = self.snd_una;
        self.snd_sml = self.snd_una;
        let at = self.timed.take().map(|(_, at)| at);
        self.sample_handshake(cx, segment, at, retransmitted);
        self.establish(cx, segment.options.timestamps.map(|ts| ts.echo));
        // Data of the SYN that was not taken.
        self.resend_outstanding(cx, 0);
        self.events |= EventKind::CONNECTED;
        // Data right behind the handshake's last ACK would be carried by it: Linux waits when it expects that, as after
        // TCP_DEFER_ACCEPT or TCP_QUICKACK off.
        if self.opts.defer_accept() > 0 || self.ack.pingpong {
            self.ack.scheduled = true;
            self.deadlines.delayed_ack = cx.now + DELACK_MAX;
        } else {
            self.out |= Out::ACK;
        }
        // Seventh: data or FIN on the SYN-ACK is taken as in ESTABLISHED.
        if !segment.payload.is_empty() || flags.contains(TcpFlags::FIN) {
            self.on_data(cx, segment);
        }
        Reply::None
    }

    /// A connection that a SYN with a cookie made and whose handshake is not over: it sends already (RFC 7413, 4.2.2).
    #[inline]
    pub(crate) fn is_fast_child(&self) -> bool {
        self.state == State::SynRecv && self.fastopen.as_ref().is_some_and(|fast| fast.child)
    }

    /// The last ACK for such a connection (tcp_rcv_synrecv_state_fastopen): what it has sent stays sent.
    #[cold]
    fn complete_fast_child(&mut self, cx: Cx<'_>, segment: &TcpSegment) {
        let at = self.fastopen.as_ref().and_then(|fast| fast.answered);
        self.sample_handshake(cx, segment, at, self.retransmits > 0);
        self.timed = Timed::NONE;
        self.snd_wnd = u32::from(segment.window) << self.snd_wscale;
        self.snd_wl1 = segment.seq;
        self.max_window = self.max_window.max(self.snd_wnd);
        self.retransmits = 0;
        self.backoff = 0;
        self.retrans_since = Instant::BOOT;
        self.state = if self.fin_queued || self.snd_shutdown {
            self.fin_queued = true;
            State::FinWait1
        } else {
            State::Established
        };
        self.last_ack_received = cx.now;
        self.sync_mss(cx.sysctl);
        self.start_keepalive(cx);
        self.deadlines.retransmit = Instant::MAX;
        if self.outstanding() > 0 {
            self.restart_retransmit(cx.now);
        }
        self.events |= EventKind::CONNECTED | EventKind::WRITABLE;
    }

    /// tcp_init_transfer for it, when it is made: the window of a SYN is never scaled (RFC 7323, 2.2).
    pub(crate) fn begin_fast_child(&mut self, cx: Cx<'_>, segment: &TcpSegment) {
        self.snd_una = self.snd_nxt;
        self.snd_up = self.snd_una;
        self.snd_sml = self.snd_una;
        self.snd_wnd = u32::from(segment.window);
        self.snd_wl1 = segment.seq;
        self.max_window = self.snd_wnd;
        self.init_transfer(cx, false);
    }

    /// The handshake's round trip: from when its half was sent, once; otherwise by the time stamp, and RFC 6298, 5.7.
    fn sample_handshake(
        &mut self,
        cx: Cx<'_>,
        segment: &TcpSegment,
        at: Option<Instant>,
        retransmitted: bool,
    ) {
        if let Some(at) = at {
            self.rtt
                .sample(cx.now.saturating_sub(at), self.snd_una, self.snd_max);
        } else if retransmitted {
            self.sample_echo(cx.now, segment);
            self.rtt.fall_back();
        }
    }

    /// Both SYNs are acknowledged.
    pub(crate) fn establish(&mut self, cx: Cx<'_>, echo: Option<u32>) {
        // RFC 6928, 2: more than one SYN was lost, unless the echo is of the first (tcp_try_undo_spurious_syn).
        let slow = self.counters.retrans > 1
            && !(self.ts_ok && echo == Some(self.ts_now(self.retrans_since)));
        self.retrans_since = Instant::BOOT;
        let active = self.state == State::SynSent;
        self.state = State::Established;
        self.last_ack_received = cx.now;
        self.ack.last_received = cx.now;
        self.retransmits = 0;
        self.backoff = 0;
        self.deadlines.retransmit = Instant::MAX;
        self.out.remove(Out::SYN);
        self.init_transfer(cx, slow);
        self.begin_search(cx, active);
        if active && self.searches_mtu() {
            self.sync_mss(cx.sysctl);
        }
        self.start_keepalive(cx);
        self.events |= EventKind::WRITABLE;
    }

    /// tcp_init_transfer.
    fn init_transfer(&mut self, cx: Cx<'_>, slow: bool) {
        // RFC 6582, 3.2 step 1: "the initial send sequence number".
        self.recovery = Recovery::new(self.snd_una - 1u32);
        self.sync_mss(cx.sysctl);
        self.cc = Congestion::new(self.opts.congestion, self.mss);
        if slow {
            self.cc.cwnd = self.mss;
        }
        self.cc.begin(cx.now, self.ts_offset);
        self.set_pacing(self.opts.max_pacing());
        self.init_rcv_mss();
        self.expand_send_buffer(cx);
        self.init_window_clamp(cx);
        let initial = super::congestion::INITIAL_WINDOW * u32::from(self.advmss);
        let space = self.rcv_ssthresh.min(self.rcv_wnd).min(initial);
        self.tune.begin(cx.now, space);
    }

    /// tcp_init_buffer_space.
    fn init_window_clamp(&mut self, cx: Cx<'_>) {
        let (full, segment) = (self.full_space(), u32::from(self.advmss));
        let kept = cx.sysctl.tcp_app_win;
        if self.window_clamp >= full {
            self.window_clamp = full;
            if kept > 0 && full > 4 * segment {
                let part = full.checked_shr(u32::from(kept)).unwrap_or(0);
                self.window_clamp = (full - part).max(4 * segment);
            }
        }
        // One segment is kept back.
        let clamp = self.window_clamp;
        if kept > 0 && clamp > 2 * segment && clamp.saturating_add(segment) > full {
            self.window_clamp = full.saturating_sub(segment).max(2 * segment);
        }
        self.rcv_ssthresh = self.rcv_ssthresh.min(self.window_clamp);
    }

    /// What the peer's SYN announces.
    fn learn_options(&mut self, cx: Cx<'_>, options: &TcpOptions) {
        // RFC 9293, 3.7.1: without the option, 536.
        let mut mss = options.mss.unwrap_or(MSS_DEFAULT as u16);
        let limit = self.opts.max_segment();
        if limit > 0 {
            mss = mss.min(limit);
        }
        self.mss_clamp = mss;
        match options.timestamps {
            Some(ts) if cx.sysctl.tcp_timestamps => {
                self.ts_ok = true;
                self.ts_recent = ts.value;
                self.ts_recent_at = cx.now;
                self.advmss = self.advmss.saturating_sub(12);
            }
            _ => self.ts_ok = false,
        }
        self.sack_ok = options.sack_permitted && cx.sysctl.tcp_sack;
        match options.window_scale {
            Some(scale) if cx.sysctl.tcp_window_scaling => {
                self.wscale_ok = true;
                self.snd_wscale = scale.min(MAX_WINDOW_SCALE);
            }
            _ => {
                self.wscale_ok = false;
                self.snd_wscale = 0;
                self.rcv_wscale = 0;
                self.window_clamp = self.window_clamp.min(0xffff);
            }
        }
    }

    fn init_buffers(&mut self, cx: Cx<'_>) {
        // tcp_init_buffer_space: no more than the buffer holds.
        self.window_clamp = self.window_clamp.min(self.full_space());
        self.rcv_ssthresh = self.rcv_ssthresh.min(self.window_clamp);
        self.sync_mss(cx.sysctl);
    }

    /// RFC 9293, 3.10.7.4, with RFC 5961 and RFC 7323.
    fn on_segment_synchronized(&mut self, cx: Cx<'_>, segment: &mut TcpSegment) -> Reply {
        let flags = segment.flags;
        let ts = if self.ts_ok {
            segment.options.timestamps
        } else {
            None
        };
        // RFC 7323, 5.3, R1. A RST is judged by its sequence number alone.
        if let Some(ts) = ts
            && !flags.contains(TcpFlags::RST)
            && self.is_old_timestamp(cx.now, ts.value, PAWS_WINDOW)
            && !self.is_harmless(segment, ts.value)
        {
            if flags.contains(TcpFlags::SYN) {
                self.challenge(cx);
            } else if segment.seq_len() > 0 || !segment.seq.lt(self.rcv_nxt) {
                // Old acknowledgments are common, and not answered (TCP_RFC7323_PAWS_ACK).
                self.answer_invalid(cx, segment);
            }
            return Reply::None;
        }
        // The SYN again: the SYN-ACK was lost (tcp_check_req).
        if self.is_fast_child()
            && flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) == TcpFlags::SYN
            && segment.seq + 1u32 == self.rcv_nxt - self.received as u32
        {
            if self.may_answer_invalid(cx) {
                self.out |= Out::SYN;
            }
            return Reply::None;
        }
        // First: the sequence number. Linux's left edge is the last window sent, not RCV.NXT, so that what was
        // acknowledged but not by a window-bearing segment still counts as in sequence (tcp_sequence).
        let end = segment.seq + segment.seq_len();
        let window = self.receive_window();
        let edge = self.rcv_nxt + window;
        // Data that goes beyond the window is taken only by who has nothing else to read (TCP_INVALID_END_SEQUENCE); a FIN
        // may.
        let fin = u32::from(flags.contains(TcpFlags::FIN));
        let beyond = segment.seq.gt(edge) || ((end - fin).gt(edge) && !self.recv.is_empty());
        if end.lt(self.rcv_wup) || beyond {
            if flags.contains(TcpFlags::RST) {
                if self.is_rst_after_fin(segment) {
                    self.on_reset();
                }
            } else if flags.contains(TcpFlags::SYN) {
                self.challenge(cx);
            } else {
                self.answer_invalid(cx, segment);
            }
            return Reply::None;
        }
        // Second: RST (RFC 5961, 3.2).
        if flags.contains(TcpFlags::RST) {
            if segment.seq == self.rcv_nxt
                || self.is_rst_after_fin(segment)
                || self.is_rst_after_blocks(segment)
            {
                self.on_reset();
            } else {
                self.challenge(cx);
            }
            return Reply::None;
        }
        // Fourth: SYN (RFC 5961, 4.2), except that which completes a simultaneous open.
        if flags.contains(TcpFlags::SYN) {
            let completes = self.state == State::SynRecv
                && flags.contains(TcpFlags::ACK)
                && segment.seq + 1u32 == self.rcv_nxt
                && segment.ack == self.snd_max;
            if !completes {
                self.challenge(cx);
                return Reply::None;
            }
        }
        // Fifth: ACK. "If the ACK bit is off, drop the segment."
        if !flags.contains(TcpFlags::ACK) {
            return Reply::None;
        }
        if self.state == State::SynRecv {
            if self.is_fast_child() {
                if segment.ack.lt(self.snd_una) || segment.ack.gt(self.snd_max) {
                    return Reply::Reset;
                }
                self.complete_fast_child(cx, segment);
                // The SYN's number is acknowledged here for the first time: that is no duplicate.
                if segment.ack != self.snd_una && self.on_ack(cx, segment) == AckVerdict::Discard {
                    return Reply::None;
                }
            } else if !segment.ack.gt(self.snd_una) || segment.ack.gt(self.snd_max) {
                return Reply::Reset;
            } else {
                self.complete_syn_recv(cx, segment);
            }
        } else if self.on_ack(cx, segment) == AckVerdict::Discard {
            return Reply::None;
        }
        if let Some(ts) = ts {
            // RFC 7323, 4.3: only a segment that covers the last ACK sent, and never back.
            if segment.seq.leq(self.rcv_wup) && !self.is_old_timestamp(cx.now, ts.value, 0) {
                self.ts_recent = ts.value;
                self.ts_recent_at = cx.now;
            }
            if ts.echo != 0 && !segment.payload.is_empty() {
                self.measure_echo(cx.now, ts.echo, segment.payload.len() as u32);
            }
        }
        if let Some(reply) = self.after_ack(cx, segment, end) {
            return reply;
        }
        self.hold = false;
        if flags.contains(TcpFlags::SYN) {
            // The SYN of a simultaneous open has come twice.
            self.note_duplicate(cx, segment.seq, segment.seq + 1u32);
            self.enter_quickack(16);
            self.out |= Out::ACK;
        }
        if flags.contains(TcpFlags::URG) {
            self.on_urgent(cx, segment);
        }
        if segment.payload.is_empty() && !flags.contains(TcpFlags::FIN) {
            return Reply::None;
        }
        self.on_text(cx, segment, end)
    }

    /// What our FIN's acknowledgment changes (RFC 9293, 3.10.7.4, fifth step, by state).
    #[inline]
    fn after_ack(&mut self, _cx: Cx<'_>, segment: &TcpSegment, end: SeqNum) -> Option<Reply> {
        if !self.state.is_closing() || !self.fin_acked {
            return None;
        }
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                self.snd_shutdown = true;
                if self.orphan {
                    let fin = segment.flags.contains(TcpFlags::FIN);
                    let news = (end - u32::from(fin)).gt(self.rcv_nxt);
                    // Nobody is left to read: data that comes now is lost, and the peer must know (RFC 2525, 2.17).
                    if self.opts.linger2() == Linger2::Never || news {
                        self.done();
                        return Some(Reply::Reset);
                    }
                } else {
                    self.events |= EventKind::HANGUP | EventKind::WRITABLE;
                }
                None
            }
            State::Closing => {
                self.state = State::TimeWait;
                Some(Reply::None)
            }
            State::LastAck => {
                self.done();
                Some(Reply::None)
            }
            _ => None,
        }
    }

    /// Seventh and eighth step: text and FIN, by state.
    #[inline]
    fn on_text(&mut self, cx: Cx<'_>, segment: &mut TcpSegment, end: SeqNum) -> Reply {
        match self.state {
            State::Established | State::SynRecv => {}
            State::FinWait1 | State::FinWait2 => {
                let fin = segment.flags.contains(TcpFlags::FIN);
                if self.rcv_shutdown && (end - u32::from(fin)).gt(self.rcv_nxt) {
                    // RFC 2525, 2.17 (Linux: TCPABORTONDATA).
                    self.fail(TcpError::ConnectionReset);
                    return Reply::Reset;
                }
            }
            // "This should not occur since a FIN has been received": a retransmission at most.
            _ => {
                if end.leq(self.rcv_nxt) {
                    self.out |= Out::ACK;
                }
                return Reply::None;
            }
        }
        self.on_data(cx, segment);
        self.check_ack(cx.now);
        Reply::None
    }

    /// The handshake's last ACK (or the SYN-ACK of a simultaneous open).
    fn complete_syn_recv(&mut self, cx: Cx<'_>, segment: &TcpSegment) {
        self.snd_una = segment.ack;
        self.snd_nxt = self.snd_nxt.max(segment.ack);
        self.snd_up = segment.ack;
        self.snd_sml = segment.ack;
        let scale = if segment.flags.contains(TcpFlags::SYN) {
            0
        } else {
            self.snd_wscale
        };
        self.snd_wnd = u32::from(segment.window) << scale;
        self.snd_wl1 = segment.seq;
        self.max_window = self.max_window.max(self.snd_wnd);
        let at = self.timed.take().map(|(_, at)| at);
        self.sample_handshake(cx, segment, at, self.retransmits > 0);
        // shutdown(2) before the handshake was over has queued a FIN; one before there was a connection does so now.
        self.fin_queued |= self.snd_shutdown;
        let closing = self.state != State::SynRecv || self.fin_queued;
        self.establish(cx, segment.options.timestamps.map(|ts| ts.echo));
        if closing {
            self.state = State::FinWait1;
        }
        self.events |= EventKind::CONNECTED;
    }

    /// Whether the clock showed this between our first SYN and now.
    fn has_sent_timestamp(&self, now: Instant, value: u32) -> bool {
        let first = self.timed.get().map_or(self.retrans_since, |(_, at)| at);
        let (first, last) = (self.ts_now(first), self.ts_now(now));
        value.wrapping_sub(first) <= last.wrapping_sub(first)
    }

    /// RFC 7323, 5.3 (tcp_paws_check): whether a segment was made more than so many ticks before one that has come.
    #[inline]
    fn is_old_timestamp(&self, now: Instant, value: u32, allowed: i32) -> bool {
        let age = self.ts_recent.wrapping_sub(value) as i32;
        // Zero is that none is known: of some systems' SYNs, and under TCP_REPAIR.
        age > allowed
            && self.ts_recent != 0
            // RFC 7323, 5.5: outdated.
            && now.saturating_sub(self.ts_recent_at) < PAWS_IDLE
    }

    /// tcp_disordered_ack: an acknowledgment that was overtaken by another, and says nothing that could do harm.
    #[cold]
    fn is_harmless(&self, segment: &TcpSegment, value: u32) -> bool {
        let window = u32::from(segment.window) << self.snd_wscale;
        let age = self.ts_recent.wrapping_sub(value);
        segment.flags.contains(TcpFlags::ACK)
            && segment.seq_len() == 0
            && segment.seq == self.rcv_nxt
            && segment.ack == self.snd_una
            && !self.is_newer_window(segment, window)
            && u128::from(age) * 10 <= self.rtt.rto().as_millis() * 12
    }

    /// A RST whose number is before the FIN we have received: the peer sent it before it knew (tcp_reset_check).
    fn is_rst_after_fin(&self, segment: &TcpSegment) -> bool {
        segment.seq + 1u32 == self.rcv_nxt
            && matches!(
                self.state,
                State::CloseWait | State::LastAck | State::Closing
            )
    }

    /// The peer's own number is behind what we have told it that we hold (RFC 5961, 3.2; tcp_rcv_rst's max_sack).
    fn is_rst_after_blocks(&self, segment: &TcpSegment) -> bool {
        let highest = self.reassembly.as_ref().and_then(|held| held.highest());
        highest.is_some_and(|offset| {
            segment.seq == self.rcv_nxt + offset.wrapping_sub(self.received) as u32
        }) && self.sack_ok
    }

    /// tcp_reset.
    fn on_reset(&mut self) {
        let error = match self.state {
            State::SynSent => TcpError::ConnectionRefused,
            State::CloseWait => TcpError::BrokenPipe,
            _ => TcpError::ConnectionReset,
        };
        self.fail(error);
    }

    /// A challenge ACK (RFC 5961, 7: rate-limited).
    pub(crate) fn challenge(&mut self, cx: Cx<'_>) {
        if self.may_answer_invalid(cx) {
            self.out |= match cx.sysctl.tcp_challenge_ack_limit {
                UNLIMITED => Out::ACK,
                _ => Out::CHALLENGE,
            };
        }
    }

    /// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply."
    fn answer_invalid(&mut self, cx: Cx<'_>, segment: &TcpSegment) {
        if always_answered(segment) {
            // tcp_send_dupack: the peer has sent again what has come.
            if segment.seq.lt(self.rcv_nxt) {
                let end = segment.seq + segment.seq_len();
                self.note_duplicate(cx, segment.seq, end.min(self.rcv_nxt));
            }
            self.enter_quickack(16);
            self.out |= Out::ACK;
        } else if self.may_answer_invalid(cx) {
            self.out |= Out::ACK;
        }
    }

    fn may_answer_invalid(&mut self, cx: Cx<'_>) -> bool {
        let since = cx.now.saturating_sub(self.last_invalid_answer);
        if self.last_invalid_answer != Instant::BOOT && since < cx.sysctl.tcp_invalid_ratelimit {
            return false;
        }
        self.last_invalid_answer = cx.now;
        true
    }
}
