//! Segments out: what may leave now, and how it looks (tcp_output.c).
//!
//! Order of [`Connection::poll_transmit`]: RST, SYN, probes, what was lost, data, and an acknowledgment if nothing has
//! carried it. The sender's silly-window avoidance (RFC 9293, 3.8.6.2.1), Nagle's algorithm in Minshall's variant, and
//! TCP_CORK decide about segments that are not full.

use switchboard_wire::{Payload, SackList, SeqNum, TcpFlags, TcpOptions, TcpSegment, Timestamps};

use super::connection::{Connection, Cx, Out, Timed};
use super::state::State;
use crate::time::Instant;

/// What data may leave.
struct Chunk {
    len: u32,
    fin: bool,
}

impl Connection {
    /// The next segment to send, if any. Call until there is none.
    #[inline]
    pub(crate) fn poll_transmit(&mut self, cx: Cx<'_>) -> Option<TcpSegment> {
        if !self.out.is_empty()
            && self.out != Out::ACK
            && let Some(segment) = self.special(cx)
        {
            return Some(segment);
        }
        if matches!(
            self.state,
            State::Close | State::Listen | State::SynSent | State::SynRecv | State::TimeWait
        ) && !self.is_fast_child()
        {
            return self
                .out
                .contains(Out::ACK)
                .then(|| self.closing_ack(cx))
                .flatten();
        }
        if self.has_lost()
            && self.state != State::SynRecv
            && let Some(segment) = self.resend_lost(cx)
        {
            return Some(segment);
        }
        if self.has_unsent() {
            if self.searches_mtu()
                && let Some(segment) = self.probe_mtu(cx)
            {
                return Some(segment);
            }
            if !self.waits_for_probe()
                && let Some(chunk) = self.next_chunk(cx)
            {
                return Some(self.send_chunk(cx, chunk));
            }
            // Nothing may leave and nothing is in flight that would restart us: probe (tcp_check_probe_timer).
            if self.outstanding() == 0
                && self.deadlines.retransmit == Instant::MAX
                && self.pace.as_ref().is_none_or(|pace| !pace.waiting)
            {
                self.arm_probe(cx.now);
            }
        }
        if self.track.is_some() {
            self.note_idle_window(cx);
        }
        if self.out.contains(Out::ACK) {
            return Some(self.plain(cx, self.acceptable_seq(), TcpFlags::ACK));
        }
        None
    }

    /// In TIME_WAIT the FIN that brought us there is still to be acknowledged; in SYN_RECV a stray segment.
    fn closing_ack(&mut self, cx: Cx<'_>) -> Option<TcpSegment> {
        match self.state {
            State::TimeWait | State::SynRecv => {
                Some(self.plain(cx, self.acceptable_seq(), TcpFlags::ACK))
            }
            _ => {
                self.out.remove(Out::ACK);
                None
            }
        }
    }

    fn special(&mut self, cx: Cx<'_>) -> Option<TcpSegment> {
        if self.out.contains(Out::RST) {
            // tcp_send_active_reset.
            self.out = Out::empty();
            let seq = self.acceptable_seq();
            return Some(self.plain(cx, seq, TcpFlags::RST | TcpFlags::ACK));
        }
        if self.out.contains(Out::SYN) {
            self.out.remove(Out::SYN);
            match self.state {
                State::SynSent | State::SynRecv => return Some(self.syn(cx)),
                _ => {}
            }
        }
        if self.out.contains(Out::LOSS_PROBE) {
            self.out.remove(Out::LOSS_PROBE);
            if self.state.is_synchronized()
                && let Some(segment) = self.loss_probe(cx)
            {
                return Some(segment);
            }
        }
        if self.out.contains(Out::PROBE) {
            self.out.remove(Out::PROBE);
            return self.probe(cx);
        }
        None
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has nothing to do.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.out.is_empty() && !self.has_unsent() && !self.has_lost()
    }

    /// Data or our FIN waits to be sent, or to be sent again.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        let end = self.snd_una + self.queue.len();
        self.snd_nxt.lt(end) || (self.fin_queued && !self.fin_acked && self.snd_nxt == end)
    }

    /// SND.NXT, unless the peer's window has shrunk below it (tcp_acceptable_seq).
    fn acceptable_seq(&self) -> SeqNum {
        let edge = self.snd_una + self.snd_wnd;
        if !self.snd_max.gt(edge) || !self.state.is_synchronized() {
            self.snd_max
        } else {
            edge.max(self.snd_una)
        }
    }

    /// How much of the unsent may leave now: window, congestion window, silly-window avoidance, Nagle.
    #[inline]
    fn next_chunk(&mut self, cx: Cx<'_>) -> Option<Chunk> {
        let end = self.snd_una + self.queue.len();
        let mut unsent = (end - self.snd_nxt).max(0) as u32;
        // What a record's end holds apart is not small for want of data: it need not wait.
        let last = match self.next_record() {
            None => true,
            Some(record) => {
                unsent = unsent.min((record - self.snd_nxt) as u32);
                record == end
            }
        };
        if self.outstanding() == 0 {
            self.restart_if_idle(cx);
        }
        let window = self.usable_window();
        let fin = self.fin_queued;
        if unsent == 0 {
            return (fin && window > 0).then_some(Chunk { len: 0, fin: true });
        }
        if self.is_paced_out(cx.now) {
            return None;
        }
        let mss = self.payload_limit();
        let flight = self.in_flight();
        let allowed = self.cc.cwnd;
        if flight >= allowed {
            self.cwnd_limited = true;
            return None;
        }
        let mut room = allowed - flight;
        if room < mss {
            // A reduction counts what leaves exactly (RFC 6937); else a segment begun is a segment.
            if self.recovery.is_reducing() && room < unsent.min(mss) && flight > 0 {
                self.cwnd_limited = true;
                return None;
            }
            room = mss;
        }
        let mut len = unsent
            .min(window)
            .min(room)
            .min(self.most_at_once(cx.sysctl, mss))
            .min(self.paced_burst(cx.sysctl, mss));
        if len == unsent {
            let rest = len % mss;
            if rest != 0 && last && self.holds_partial(fin) {
                len -= rest;
                if len == 0 {
                    return None;
                }
            }
        } else {
            if len == room && window >= len {
                self.cwnd_limited = true;
            }
            if len >= mss {
                len -= len % mss;
            } else {
                // RFC 9293, 3.8.6.2.1: not a silly segment into a small window; the probe timer breaks a deadlock.
                return None;
            }
        }
        Some(Chunk {
            len,
            fin: fin && last && len == unsent && len < window,
        })
    }

    /// Where the record that is to be sent next ends (MSG_EOR).
    #[inline]
    fn next_record(&self) -> Option<SeqNum> {
        let records = &self.stamps.as_ref()?.records;
        let at = records.partition_point(|end| end.leq(self.snd_nxt));
        records.get(at).copied()
    }

    /// Whether a record ends there.
    pub(crate) fn ends_record(&self, at: SeqNum) -> bool {
        let stamps = self.stamps.as_ref();
        stamps.is_some_and(|stamps| stamps.records.contains(&at))
    }

    /// The largest payload of a segment now: selective acknowledgments take of its room.
    #[inline]
    pub(crate) fn payload_limit(&self) -> u32 {
        match &self.reassembly {
            Some(held) if self.sack_ok => {
                self.mss.saturating_sub(held.option_len(self.ts_ok)).max(8)
            }
            _ => self.mss,
        }
    }

    /// Whether a segment that is not full must wait (tcp_nagle_test).
    #[inline]
    fn holds_partial(&self, fin: bool) -> bool {
        if fin || self.push_now || self.sending_urgent() {
            return false;
        }
        if self.opts.cork || self.hold {
            return true;
        }
        // RFC 9293, 3.7.4; Minshall: only if the unacknowledged one is small too.
        !self.opts.no_delay && self.snd_sml.gt(self.snd_una) && self.snd_sml.leq(self.snd_nxt)
    }

    fn send_chunk(&mut self, cx: Cx<'_>, chunk: Chunk) -> TcpSegment {
        let seq = self.snd_nxt;
        let offset = (seq - self.snd_una) as usize;
        let payload = self.queue.slice(offset, chunk.len as usize);
        let end = seq + chunk.len + u32::from(chunk.fin);
        let mut flags = TcpFlags::ACK;
        if chunk.len > 0
            && (offset + chunk.len as usize == self.queue.len()
                || self.ends_record(seq + chunk.len))
        {
            flags |= TcpFlags::PSH;
        }
        if chunk.fin {
            flags |= TcpFlags::FIN;
            self.fin_sent = true;
        }
        flags |= self.ecn_flags(chunk.len > 0);
        self.snd_nxt = end;
        self.counters.bytes_sent += u64::from(chunk.len);
        // What leaves at once counts as the segments it stands for (tcp_skb_pcount).
        let mss = self.payload_limit();
        let mut gso = 0;
        if chunk.len <= mss {
            self.counters.data_segs_out += u32::from(chunk.len > 0);
        } else {
            // On `lo` nobody takes it apart, and its size is that of a segment.
            if self.path.tracked {
                gso = mss as u16;
            }
            let segments = chunk.len.div_ceil(mss);
            self.counters.data_segs_out += segments;
            self.counters.segs_out += segments - 1;
        }
        self.note_sent(cx, seq, end, gso);
        if flags.contains(TcpFlags::PSH)
            && let Some(track) = &mut self.track
        {
            track.board.push_last();
        }
        if self.pace.is_some() {
            self.pace_sent(cx, chunk.len);
        }
        self.snd_max = end;
        if !chunk.len.is_multiple_of(mss) {
            self.snd_sml = end;
        }
        if chunk.len > 0 {
            self.push_now = false;
            self.data_sent(cx);
        }
        if self.deadlines.retransmit == Instant::MAX
            || self.deadlines.purpose == super::timers::Purpose::Probe
        {
            self.backoff = 0;
            self.retrans_since = Instant::BOOT;
            self.restart_retransmit(cx.now);
        }
        if let Some(track) = self.track.take() {
            self.arm_after_send(cx, &track);
            self.track = Some(track);
        }
        let segment = self.segment(cx, seq, flags, payload);
        TcpSegment { gso, ..segment }
    }

    /// Sends `len` bytes that were not sent yet.
    pub(crate) fn send_new(&mut self, cx: Cx<'_>, len: u32) -> TcpSegment {
        self.send_chunk(cx, Chunk { len, fin: false })
    }

    /// tcp_event_data_sent: a reply within the delayed-ACK time makes the session interactive.
    #[inline]
    fn data_sent(&mut self, cx: Cx<'_>) {
        if cx.now.micros_since(self.ack.last_received) < u64::from(self.ack.ato_us) {
            self.ack.pingpong = true;
        }
        self.last_sent = cx.now;
    }

    /// RFC 5681, 4.1.
    fn restart_if_idle(&mut self, cx: Cx<'_>) {
        if !cx.sysctl.tcp_slow_start_after_idle
            || self.cc.governs()
            || self.last_sent == Instant::BOOT
        {
            return;
        }
        let rto = self.rtt.rto();
        let idle = cx.now.saturating_sub(self.last_sent);
        if idle > rto {
            let periods = (idle.as_micros() / rto.as_micros().max(1)).min(31) as u32;
            self.cc.restart_after_idle(periods, self.mss);
            self.last_sent = cx.now;
        }
    }

    pub(crate) fn count_retransmission(&mut self, len: u32) {
        self.counters.retrans = self.counters.retrans.wrapping_add(1);
        self.counters.bytes_retrans += u64::from(len);
    }

    /// A window probe or a keepalive (tcp_write_wakeup, tcp_xmit_probe_skb): what fits of the data, else an old number
    /// that the peer must answer with an ACK (RFC 9293, 3.8.4 and 3.8.6.1).
    fn probe(&mut self, cx: Cx<'_>) -> Option<TcpSegment> {
        if !self.state.is_synchronized() {
            return None;
        }
        if self.has_unsent() {
            let window = self.usable_window();
            let unsent = (self.write_seq() - self.snd_nxt).max(0) as u32;
            if window > 0 {
                let len = unsent.min(window).min(self.mss);
                let fin = self.fin_queued && len == unsent && len < window;
                if len > 0 || fin {
                    let segment = self.send_chunk(cx, Chunk { len, fin });
                    // tcp_write_wakeup: without a probe of the tail.
                    self.restart_retransmit(cx.now);
                    return Some(segment);
                }
            }
        }
        // tcp_write_wakeup: of urgent data the peer is told first, by a number it may take.
        if self.sending_urgent()
            && self.snd_up.gt(self.snd_una)
            && !self.out.contains(Out::PROBE_PLAIN)
        {
            self.out |= Out::PROBE | Out::PROBE_PLAIN;
            return Some(self.plain(cx, self.snd_una, TcpFlags::ACK));
        }
        self.out.remove(Out::PROBE_PLAIN);
        Some(self.plain(cx, self.snd_una - 1u32, TcpFlags::ACK))
    }

    /// A segment without data.
    fn plain(&mut self, cx: Cx<'_>, seq: SeqNum, mut flags: TcpFlags) -> TcpSegment {
        if !flags.contains(TcpFlags::RST) {
            flags |= self.ecn_flags(false);
        }
        self.segment(cx, seq, flags, Payload::new())
    }

    /// SYN, or SYN-ACK of a simultaneous open (RFC 9293, 3.5).
    fn syn(&mut self, cx: Cx<'_>) -> TcpSegment {
        let fast = self.is_fast_child();
        let first = if fast {
            self.counters.segs_out == 0
        } else {
            self.snd_max == self.snd_una
        };
        let seq = self.snd_una - u32::from(fast);
        if fast && let Some(fast) = &mut self.fastopen {
            fast.answered = first.then_some(cx.now);
        }
        let (data, fastopen) = self.syn_extras(first);
        let payload = self.queue.slice(0, data as usize);
        if data > 0 {
            self.counters.bytes_sent += u64::from(data);
            self.counters.data_segs_out += 1;
        }
        if !fast {
            self.snd_nxt = seq + 1u32 + data;
        }
        self.snd_max = self.snd_max.max(self.snd_nxt);
        if first {
            self.timed = Timed::new(self.snd_nxt, cx.now);
            self.restart_retransmit(cx.now);
        } else if self.state == State::SynRecv && self.deadlines.retransmit == Instant::MAX {
            self.restart_retransmit(cx.now);
        }
        if self.retransmits > 0 {
            self.count_retransmission(0);
        }
        let answer = self.state == State::SynRecv;
        let mut flags = TcpFlags::SYN;
        if answer {
            flags |= TcpFlags::ACK;
            self.ack_sent();
        } else {
            flags |= self.ecn_syn_flags(cx, self.retransmits == 0);
        }
        self.counters.segs_out += 1;
        self.rcv_wup = self.rcv_nxt;
        // A simultaneous open offers what a SYN does (tcp_send_synack).
        let child = answer && self.fastopen.is_some();
        let offer_ts = if child {
            self.ts_ok
        } else {
            // There is no room for both (tcp_syn_options).
            cx.sysctl.tcp_timestamps && self.opts.md5_key(self.tuple.remote).is_none()
        };
        let offer_scale = if answer {
            self.wscale_ok
        } else {
            cx.sysctl.tcp_window_scaling
        };
        let offer_sack = if child {
            self.sack_ok
        } else {
            cx.sysctl.tcp_sack
        };
        TcpSegment {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq,
            ack: if answer { self.rcv_nxt } else { SeqNum(0) },
            flags,
            window: self.rcv_wnd.min(0xffff) as u16,
            urgent: 0,
            options: TcpOptions {
                // The option says what we can take; our own options do not count (RFC 6691).
                mss: Some(self.advmss + if answer && self.ts_ok { 12 } else { 0 }),
                window_scale: offer_scale.then_some(self.rcv_wscale),
                sack_permitted: offer_sack,
                timestamps: offer_ts.then(|| Timestamps {
                    value: self.ts_now(cx.now),
                    echo: self.ts_recent,
                }),
                fastopen,
                ..TcpOptions::default()
            },
            payload,
            gso: 0,
        }
    }

    /// Our timestamp clock: milliseconds from a random start (RFC 7323, 5.4 and 7.1).
    #[inline]
    pub(crate) fn ts_now(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.ts_offset)
    }

    #[inline]
    pub(crate) fn segment(
        &mut self,
        cx: Cx<'_>,
        seq: SeqNum,
        flags: TcpFlags,
        payload: Payload,
    ) -> TcpSegment {
        if self.reassembly.is_some() && self.sack_ok {
            return self.segment_with_blocks(cx, seq, flags, payload);
        }
        self.segment_of(cx, seq, flags, payload, SackList::new())
    }

    /// RFC 2018, 3: it says what is held, and what came twice.
    #[cold]
    fn segment_with_blocks(
        &mut self,
        cx: Cx<'_>,
        seq: SeqNum,
        flags: TcpFlags,
        payload: Payload,
    ) -> TcpSegment {
        let mut sack = SackList::new();
        if let Some(held) = &mut self.reassembly {
            sack = held.sack_blocks(self.rcv_nxt, self.received);
            if held.is_empty() {
                self.reassembly = None;
            }
        }
        self.segment_of(cx, seq, flags, payload, sack)
    }

    #[inline(always)]
    fn segment_of(
        &mut self,
        cx: Cx<'_>,
        seq: SeqNum,
        flags: TcpFlags,
        payload: Payload,
        sack: SackList,
    ) -> TcpSegment {
        let mut flags = flags;
        let window = self.select_window(cx.sysctl);
        let urgent = self.urgent_pointer(seq, &mut flags);
        self.ack_sent();
        self.counters.segs_out += 1;
        let timestamps = self.ts_ok.then(|| Timestamps {
            value: self.ts_now(cx.now),
            echo: self.ts_recent,
        });
        TcpSegment {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq,
            ack: self.rcv_nxt,
            flags,
            window,
            urgent,
            options: TcpOptions {
                timestamps,
                sack,
                ..TcpOptions::default()
            },
            payload,
            gso: 0,
        }
    }

    /// RFC 9293, 3.8.5: while there is urgent data ahead, every segment points to its end.
    #[inline]
    fn urgent_pointer(&self, seq: SeqNum, flags: &mut TcpFlags) -> u16 {
        if !self.sending_urgent() || !seq.lt(self.snd_up) {
            return 0;
        }
        let ahead = (self.snd_up - seq) as u32;
        if ahead <= 0xffff {
            *flags |= TcpFlags::URG;
            ahead as u16
        } else if (seq + 0xffffu32).gt(self.snd_nxt) {
            *flags |= TcpFlags::URG;
            0xffff
        } else {
            0
        }
    }
}
