//! The receiving half: data in order, the window we offer, and when to acknowledge.

use bytes::Bytes;
use core::time::Duration;

use switchboard_wire::{SeqNum, TcpFlags, TcpSegment};

use super::connection::{Connection, Cx, MSS_DEFAULT, Out};
use super::reassembly::Reassembly;
use super::state::State;
use super::timers::{DELACK_MAX, DELACK_MIN};
use super::user::SIGNED_WINDOW;
use crate::config::Sysctl;
use crate::event::EventKind;
use crate::time::Instant;

/// Segments acknowledged at once when a connection begins or resumes (TCP_MAX_QUICKACKS).
const MAX_QUICKACKS: u32 = 16;
/// One tick of Linux's timers at HZ=250.
pub(crate) const TICK: Duration = Duration::from_millis(4);
/// Smallest segment size assumed of the peer (TCP_MIN_MSS).
pub(crate) const RCV_MSS_MIN: u32 = 88;

impl Connection {
    /// Bytes of window still offered (tcp_receive_window).
    #[inline]
    pub(crate) fn receive_window(&self) -> u32 {
        (self.rcv_wup + self.rcv_wnd - self.rcv_nxt).max(0) as u32
    }

    /// Receive memory in use.
    #[inline]
    pub(crate) fn recv_charged(&self) -> u32 {
        let held = self.reassembly.as_ref().map_or(0, |r| r.charged());
        (self.recv.charged() + held).min(u32::MAX as usize) as u32
    }

    /// How much window a buffer gives (tcp_win_from_space).
    #[inline]
    pub(crate) fn window_from_space(&self, space: u32) -> u32 {
        ((u64::from(space) * u64::from(self.rcv_ratio)) >> 8) as u32
    }

    /// The whole buffer as window (tcp_full_space).
    #[inline]
    pub(crate) fn full_space(&self) -> u32 {
        self.window_from_space(self.opts.recv_buffer)
    }

    #[inline]
    fn free_space(&self) -> u32 {
        self.window_from_space(self.opts.recv_buffer.saturating_sub(self.recv_charged()))
    }

    /// Takes the text of a segment (RFC 9293, 3.10.7.4, seventh and eighth step; tcp_data_queue).
    pub(crate) fn on_data(&mut self, cx: Cx<'_>, segment: &mut TcpSegment) {
        let fin = segment.flags.contains(TcpFlags::FIN);
        let seq = segment.seq + u32::from(segment.flags.contains(TcpFlags::SYN));
        let len = segment.payload.len() as u32;
        let end = seq + len + u32::from(fin);
        if end == seq {
            return;
        }
        if end.leq(self.rcv_nxt) {
            // A duplicate: the peer has not seen our acknowledgment (RFC 9293, 3.10.7.4, first step).
            self.note_duplicate(cx, seq, end);
            self.enter_quickack(MAX_QUICKACKS);
            self.out |= Out::ACK;
            return;
        }
        let window = self.receive_window();
        if seq == self.rcv_nxt && (window > 0 || len == 0) {
            // The usual case. What goes beyond the window is taken whole, as Linux does, or was not let in.
            self.ecn_of_data(segment.flags);
            let (count, gso) = (segment.segments(), u32::from(segment.gso));
            for chunk in core::mem::take(&mut segment.payload) {
                self.recv.push(chunk);
            }
            self.advance(len);
            if len > 0 {
                let psh = segment.flags.contains(TcpFlags::PSH);
                self.data_arrived(cx, len, (count, gso), psh);
            }
            if fin {
                self.on_fin(cx);
            } else {
                self.fill_from_reassembly(cx);
            }
            self.look_for_urgent_byte();
            return;
        }
        if window == 0 || seq.geq(self.rcv_nxt + window) {
            // RFC 9293, 3.10.7.4: outside the window, answered with an ACK (TCP_ZEROWINDOWDROP).
            self.enter_quickack(MAX_QUICKACKS);
            self.out |= Out::ACK;
            return;
        }
        self.out_of_order(cx, seq, segment, window);
    }

    /// Text that overlaps what we have, or lies behind a gap.
    fn out_of_order(&mut self, cx: Cx<'_>, seq: SeqNum, segment: &mut TcpSegment, window: u32) {
        let fin = segment.flags.contains(TcpFlags::FIN);
        let psh = segment.flags.contains(TcpFlags::PSH);
        let (count, gso) = (segment.segments(), u32::from(segment.gso));
        let len = segment.payload.len() as u32;
        self.ecn_of_data(segment.flags);
        let limit = self.received + u64::from(window);
        let base = self.received;
        // 64-bit stream offsets; may lie before `base`.
        let start = base.wrapping_add_signed(i64::from(seq - self.rcv_nxt));
        if seq.lt(self.rcv_nxt) {
            self.note_duplicate(cx, seq, self.rcv_nxt);
        }
        let held = self.reassembly.get_or_insert_default();
        let mut at = start;
        let mut twice = None;
        for chunk in core::mem::take(&mut segment.payload) {
            let next = at.wrapping_add(chunk.len() as u64);
            twice = insert_cut(held, at, chunk, base, limit).or(twice);
            at = next;
        }
        if fin && at <= limit {
            held.fin = Some(at);
        }
        if let Some((left, right)) = twice {
            let seq = |offset: u64| self.rcv_nxt + offset.wrapping_sub(base) as u32;
            self.note_duplicate(cx, seq(left), seq(right));
        }
        let gap = seq.gt(self.rcv_nxt);
        if !gap {
            let before = self.received;
            self.fill_from_reassembly(cx);
            let taken = (self.received - before) as u32;
            self.data_arrived(cx, taken, (count, gso), psh);
            self.look_for_urgent_byte();
        } else {
            // What is beyond the buffer goes first: it is furthest from being useful.
            while self.recv_charged() > self.opts.recv_buffer.saturating_mul(2) {
                if !self.reassembly.as_mut().is_some_and(|r| r.drop_last()) {
                    break;
                }
            }
            self.counters.data_segs_in += count;
            self.counters.out_of_order += count;
            if self.sack_ok && len >= 128 {
                // Without SACK a window that grows would make of a duplicate acknowledgment another.
                self.grow_window(len);
            }
            if !self.orphan {
                self.grow_buffer(cx, self.tune.space);
            }
        }
        // RFC 5681, 4.2: a duplicate ACK at once for a gap, and an ACK at once when one is filled.
        self.out |= Out::ACK;
    }

    /// RFC 2883: the next acknowledgment says what came twice.
    pub(crate) fn note_duplicate(&mut self, cx: Cx<'_>, left: SeqNum, right: SeqNum) {
        if self.sack_ok && cx.sysctl.tcp_dsack && left.lt(right) {
            let held = self.reassembly.get_or_insert_default();
            held.note_duplicate(left, right);
        }
    }

    /// Moves RCV.NXT over data that was queued.
    #[inline]
    fn advance(&mut self, n: u32) {
        self.rcv_nxt += n;
        self.received += u64::from(n);
        if n > 0 {
            self.events |= EventKind::READABLE;
        }
    }

    /// Takes from the reassembly queue what has become contiguous.
    #[inline]
    fn fill_from_reassembly(&mut self, cx: Cx<'_>) {
        let Some(held) = &mut self.reassembly else {
            return;
        };
        if !held.has_gap() {
            return;
        }
        // tcp_ofo_queue: what was held and has come again.
        let twice = held.covered(self.received);
        let next = held.drain(self.received, &mut self.recv);
        let fin = held.fin == Some(next);
        if held.is_empty() || fin {
            self.reassembly = None;
        }
        if let Some((left, right)) = twice
            && !fin
        {
            let seq = |offset: u64| self.rcv_nxt - self.received.wrapping_sub(offset) as u32;
            self.note_duplicate(cx, seq(left), seq(right));
        }
        let n = (next - self.received) as u32;
        self.advance(n);
        if n > 0 || fin {
            self.out |= Out::ACK;
        }
        if fin {
            self.on_fin(cx);
        }
    }

    /// The peer's FIN is next (RFC 9293, 3.10.7.4, eighth step; tcp_fin).
    fn on_fin(&mut self, _cx: Cx<'_>) {
        self.rcv_nxt += 1u32;
        self.rcv_shutdown = true;
        self.fin_received = true;
        self.reassembly = None;
        self.ack.scheduled = true;
        match self.state {
            State::SynRecv | State::Established => {
                self.state = State::CloseWait;
                // The close is likely answered by ours, which carries the ACK.
                self.ack.pingpong = true;
            }
            State::FinWait1 => {
                // Simultaneous close: our FIN is not acknowledged yet.
                self.state = State::Closing;
                self.out |= Out::ACK;
            }
            State::FinWait2 => {
                self.state = State::TimeWait;
                self.out |= Out::ACK;
            }
            _ => {}
        }
        self.events |= EventKind::HANGUP | EventKind::READABLE;
    }

    /// tcp_event_data_recv: sizes up the peer's segments and our delay. `gso`: how long each of several is, or 0.
    #[inline]
    fn data_arrived(&mut self, cx: Cx<'_>, len: u32, (count, gso): (u32, u32), psh: bool) {
        self.counters.data_segs_in += count;
        self.ack.scheduled = true;
        self.measure_segment(len, gso, psh);
        self.measure_window(cx.now);
        if self.ack.ato_us == 0 {
            // First data: slow start of the sender wants each segment acknowledged.
            self.raise_quickack(MAX_QUICKACKS);
            self.ack.ato_us = DELACK_MIN.as_micros() as u32;
        } else {
            let since = cx.now.micros_since(self.ack.last_received);
            let since_us = since.min(u64::from(u32::MAX)) as u32;
            let min = DELACK_MIN.as_micros() as u32;
            let rto = self.rtt.rto_us();
            if since_us <= min / 2 {
                self.ack.ato_us = self.ack.ato_us / 2 + min / 2;
            } else if since_us < self.ack.ato_us {
                self.ack.ato_us = (self.ack.ato_us / 2 + since_us).min(rto);
            } else if since_us > rto {
                // The sender was idle and slow-starts again.
                self.raise_quickack(MAX_QUICKACKS);
            }
        }
        self.ack.last_received = cx.now;
        self.ack.unstamped = false;
        if len >= 128 {
            self.grow_window(len);
        }
    }

    /// tcp_measure_rcv_mss.
    #[inline]
    fn measure_segment(&mut self, len: u32, gso: u32, psh: bool) {
        let each = if gso == 0 { len } else { gso };
        if each >= self.rcv_mss {
            self.rcv_mss = each.min(u32::from(self.advmss));
            // Large segments waste less of the buffer on bookkeeping (Linux adapts scaling_ratio here).
            if len >= 4096 && self.rcv_ratio < 248 {
                self.rcv_ratio = 248;
                if !self.opts.recv_buffer_locked || self.opts.window_clamp() == 0 {
                    self.window_clamp = self.window_clamp.max(self.full_space());
                }
            } else if len >= 1024 && self.rcv_ratio < 180 {
                self.rcv_ratio = 180;
                self.window_clamp = self.window_clamp.max(self.full_space());
            }
        } else if psh {
            if self.ack.pushed {
                self.ack.pushed2 = true;
            }
            self.ack.pushed = true;
        }
    }

    /// tcp_grow_window: slow start of the offered window, as the reader proves to keep up.
    #[inline]
    fn grow_window(&mut self, len: u32) {
        let room = self
            .window_clamp
            .min(self.free_space())
            .saturating_sub(self.rcv_ssthresh);
        if room > 0 {
            let grow = (2 * u32::from(self.advmss)).max(2 * len);
            self.rcv_ssthresh += room.min(grow);
            self.ack.quick |= 1;
        }
    }

    /// tcp_initialize_rcv_mss.
    pub(crate) fn init_rcv_mss(&mut self) {
        let hint = u32::from(self.advmss).min(self.mss).min(self.rcv_wnd / 2);
        self.rcv_mss = hint.clamp(RCV_MSS_MIN, MSS_DEFAULT);
    }

    /// tcp_incr_quickack.
    pub(crate) fn raise_quickack(&mut self, max: u32) {
        let n = (self.rcv_wnd / (2 * self.rcv_mss.max(1))).clamp(2, max);
        self.ack.quick = self.ack.quick.max(n as u8);
    }

    /// tcp_enter_quickack_mode.
    pub(crate) fn enter_quickack(&mut self, max: u32) {
        self.raise_quickack(max);
        self.ack.pingpong = false;
        self.ack.ato_us = DELACK_MIN.as_micros() as u32;
    }

    /// After data: acknowledge now or later (__tcp_ack_snd_check; RFC 9293, 3.8.6.3: every second full segment).
    #[inline]
    pub(crate) fn check_ack(&mut self, now: Instant) {
        if !self.ack.scheduled || self.out.contains(Out::ACK) {
            return;
        }
        let two_segments = (self.rcv_nxt - self.rcv_wup) as u32 > self.rcv_mss
            && ((self.recv.len() as u32) < self.opts.recv_low_water
                || self.next_window() >= self.rcv_wnd);
        let quick = self.ack.quick > 0 && !self.ack.pingpong;
        if two_segments || quick || self.reassembly.as_ref().is_some_and(|held| held.has_gap()) {
            self.out |= Out::ACK;
        } else {
            self.delay_ack(now);
        }
    }

    /// tcp_send_delayed_ack.
    fn delay_ack(&mut self, now: Instant) {
        let mut ato = Duration::from_micros(u64::from(self.ack.ato_us));
        if ato > DELACK_MIN {
            let mut max = Duration::from_millis(500);
            if self.ack.pingpong || self.ack.pushed {
                max = DELACK_MAX;
            }
            if self.rtt.srtt_us() > 0 {
                max = max.min(Duration::from_micros(u64::from(self.rtt.srtt_us())).max(DELACK_MIN));
            }
            ato = ato.min(max);
        }
        // Before the first data there is no delay but the timer's tick (a FIN on an unused connection).
        ato = ato.clamp(TICK, self.opts.timing().delack_max().max(TICK));
        let mut at = now + ato;
        let armed = self.deadlines.delayed_ack;
        if armed != Instant::MAX {
            if armed <= now + ato / 4 {
                self.out |= Out::ACK;
                return;
            }
            at = at.min(armed);
        }
        self.deadlines.delayed_ack = at;
    }

    /// An acknowledgment leaves, alone or on data (tcp_event_ack_sent).
    #[inline]
    pub(crate) fn ack_sent(&mut self) {
        if self.ack.quick > 0 {
            self.ack.quick -= 1;
            if self.ack.quick == 0 {
                self.ack.ato_us = DELACK_MIN.as_micros() as u32;
            }
        }
        self.ack.scheduled = false;
        self.ack.pushed = false;
        self.ack.pushed2 = false;
        self.deadlines.delayed_ack = Instant::MAX;
        self.out.remove(Out::ACK);
    }

    /// The window to offer (__tcp_select_window). Silly-window avoidance of the receiver: RFC 9293, 3.8.6.2.2.
    pub(crate) fn next_window(&self) -> u32 {
        let mut free = self.free_space();
        let allowed = self.full_space();
        let full = allowed.min(self.window_clamp);
        let mss = self.rcv_mss.min(full);
        if mss == 0 {
            return 0;
        }
        if free < full / 2 {
            free = free >> self.rcv_wscale << self.rcv_wscale;
            if free < allowed / 16 || free < mss {
                return 0;
            }
        }
        free = free.min(self.rcv_ssthresh);
        if self.rcv_wscale > 0 {
            let unit = 1 << self.rcv_wscale;
            return free.div_ceil(unit) * unit;
        }
        let offered = self.rcv_wnd;
        if offered <= free.saturating_sub(mss) || offered > free {
            free / mss * mss
        } else if mss == full && free > offered + full / 2 {
            free
        } else {
            offered
        }
    }

    /// Chooses the window of a segment that leaves now, as the header carries it (tcp_select_window).
    #[inline]
    pub(crate) fn select_window(&mut self, sysctl: &Sysctl) -> u16 {
        let current = self.receive_window();
        let mut window = self.next_window();
        if window < current {
            // RFC 9293, 3.8.6: "a TCP receiver SHOULD NOT shrink the window".
            let unit = 1u32 << self.rcv_wscale;
            window = current.div_ceil(unit) * unit;
        }
        let signed = self.rcv_wscale == 0 && sysctl.tcp_workaround_signed_windows;
        let most = if signed { SIGNED_WINDOW } else { 0xffff };
        window = window.min(most << self.rcv_wscale);
        self.rcv_wnd = window;
        self.rcv_wup = self.rcv_nxt;
        (window >> self.rcv_wscale) as u16
    }

    /// The application took `n` bytes: autotune, and say so if the window opened (tcp_cleanup_rbuf).
    pub(crate) fn consumed(&mut self, cx: Cx<'_>, n: usize) {
        self.adjust_space(cx, n as u32);
        self.recv.consume(n);
        self.forget_passed_mark();
        self.after_read(n);
    }

    pub(crate) fn after_read(&mut self, n: usize) {
        if matches!(self.state, State::Close | State::Listen | State::SynSent) {
            return;
        }
        if self.ack.scheduled {
            let unacked = (self.rcv_nxt - self.rcv_wup) as u32;
            let emptied = n > 0
                && (self.ack.pushed2 || (self.ack.pushed && !self.ack.pingpong))
                && self.recv.is_empty();
            if unacked > self.rcv_mss || emptied {
                self.out |= Out::ACK;
                return;
            }
        }
        if n > 0 && !self.rcv_shutdown {
            let offered = self.receive_window();
            // Worth a segment only when the window at least doubles.
            if 2 * offered <= self.window_clamp {
                let new = self.next_window();
                if new > 0 && new >= 2 * offered {
                    self.out |= Out::ACK;
                }
            }
        }
    }
}

/// Inserts the part of a chunk that lies in `base..limit`.
fn insert_cut(
    held: &mut Reassembly,
    at: u64,
    mut chunk: Bytes,
    base: u64,
    limit: u64,
) -> Option<(u64, u64)> {
    let mut at = at;
    // `at` may be before the stream's offset 0 when an old segment overlaps; then it wrapped.
    let behind = base.wrapping_sub(at) as i64;
    if behind > 0 {
        if behind as u64 >= chunk.len() as u64 {
            return None;
        }
        bytes::Buf::advance(&mut chunk, behind as usize);
        at = base;
    }
    if at >= limit {
        return None;
    }
    let room = (limit - at).min(chunk.len() as u64) as usize;
    chunk.truncate(room);
    held.insert(at, chunk)
}
