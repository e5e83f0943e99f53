//! Acknowledgments: what the peer has, what it offers, what that says about the path (tcp_ack).

use core::time::Duration;

use switchboard_wire::{SeqNum, TcpSegment};

use super::connection::{Connection, Cx, Timed};
use super::recovery::Phase;
use super::timers::Purpose;
use crate::config::Sysctl;
use crate::time::Instant;

/// What becomes of the rest of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckVerdict {
    Accept,
    /// Unacceptable; it was answered as it should be.
    Discard,
}

impl Connection {
    /// RFC 9293, 3.10.7.4, fifth step, in a synchronized state.
    pub(crate) fn on_ack(&mut self, cx: Cx<'_>, segment: &TcpSegment) -> AckVerdict {
        let (ack, una) = (segment.ack, self.snd_una);
        if ack.lt(una) {
            // RFC 5961, 5.2: older than any window we ever offered to fill, or of what we never sent: a blind injection;
            // challenge it.
            let most = u64::from(self.max_window).min(self.counters.bytes_acked);
            if ack.lt(una - most as u32) {
                self.challenge(cx);
                return AckVerdict::Discard;
            }
            return AckVerdict::Accept;
        }
        if ack.gt(self.snd_max) {
            // "If the ACK acks something not yet sent, then send an ACK, drop the segment"; rate-limited (RFC 5961, 5).
            self.challenge(cx);
            return AckVerdict::Discard;
        }
        let updated = self.update_send_window(cx.sysctl, segment);
        self.last_ack_received = cx.now;
        self.probes_out = 0;
        self.soft_error = None;
        let outstanding = self.outstanding();
        if outstanding == 0 {
            if self.track.is_some() && !segment.options.sack.is_empty() {
                // What the peer got twice may say that a reduction was wrong, even now.
                self.tracked_ack(cx, segment, false);
            }
            self.after_probe(cx.now);
            return AckVerdict::Accept;
        }
        let duplicate = !updated && self.is_duplicate(segment);
        // tcp_ack(): FLAG_FORWARD_PROGRESS, or nothing but an acknowledgment.
        self.path.confirmed |= ack != una || duplicate || !segment.options.sack.is_empty();
        if self.track.is_some()
            || duplicate
            || !segment.options.sack.is_empty()
            || self.path.tracked
        {
            self.tracked_ack(cx, segment, duplicate);
        } else if ack != una {
            self.new_data_acked(cx, segment, ack);
        }
        AckVerdict::Accept
    }

    /// What is acknowledged needs no more.
    pub(crate) fn take_acknowledged(&mut self, ack: SeqNum) -> u32 {
        let una = self.snd_una;
        let acked = (ack - una) as u32;
        let data = (acked as usize).min(self.queue.len());
        self.queue.acknowledge(data);
        // tcp_snd_una_update: sequence numbers, so that a FIN counts too.
        self.counters.bytes_acked += u64::from(acked);
        if self.fin_sent && ack == self.snd_max {
            self.fin_acked = true;
        }
        if self.snd_up.geq(una) && self.snd_up.leq(ack) {
            self.snd_up = ack;
        }
        self.snd_una = ack;
        if let Some(stamps) = &mut self.stamps {
            let records = &mut stamps.records;
            while records.front().is_some_and(|end| end.leq(ack)) {
                records.pop_front();
            }
        }
        acked
    }

    /// On a path that loses nothing, while nothing was lost.
    fn new_data_acked(&mut self, cx: Cx<'_>, segment: &TcpSegment, ack: SeqNum) {
        let acked = self.take_acknowledged(ack);
        self.sample_rtt(cx.now, segment, ack);
        self.backoff = 0;
        let flight = self.outstanding();
        // Only a window that was used may grow (RFC 7661; tcp_is_cwnd_limited).
        let limited =
            self.cwnd_limited || (self.cc.in_slow_start() && self.cc.cwnd < 2 * (acked + flight));
        self.cwnd_limited = false;
        if limited {
            self.cc.on_ack(acked, self.mss, cx.now, &self.rtt);
        }
        if flight == 0 {
            // RFC 6298, 5.2.
            self.deadlines.retransmit = Instant::MAX;
        } else {
            // RFC 6298, 5.3.
            self.restart_retransmit(cx.now);
        }
        if self.no_space {
            // tcp_new_space; whether that makes the socket writable is seen when the call ends.
            self.expand_send_buffer(cx);
        }
    }

    /// A round-trip time of the latest segment, for what looks at the path.
    pub(crate) fn latest_rtt(&mut self, us: u64) {
        let us = us.min(u64::from(u32::MAX)) as u32;
        self.cc.on_rtt(us, self.snd_una, self.snd_max);
    }

    /// One measurement per round trip, or the echoed timestamp (RFC 7323, 4.1) when Karn's rule forbids the first.
    fn sample_rtt(&mut self, now: Instant, segment: &TcpSegment, ack: SeqNum) {
        if let Some((end, at)) = self.timed.get() {
            if ack.geq(end) {
                self.timed = Timed::NONE;
                self.rtt
                    .sample(now.saturating_sub(at), self.snd_una, self.snd_max);
            }
            return;
        }
        self.sample_echo(now, segment);
    }

    /// RFC 6298, 5.7: only a measurement ends the back-off (tcp_ack_update_rtt).
    pub(crate) fn take_rtt(&mut self, rtt: Duration) {
        self.rtt.sample(rtt, self.snd_una, self.snd_max);
        self.backoff = 0;
    }

    /// RFC 7323, 4.1.
    pub(crate) fn sample_echo(&mut self, now: Instant, segment: &TcpSegment) {
        if let Some(ts) = segment
            .options
            .timestamps
            .filter(|ts| self.ts_ok && ts.echo != 0)
        {
            let delta = self.ts_now(now).wrapping_sub(ts.echo);
            // Milliseconds; what is beyond 2^21 is a broken or forged echo.
            if delta < 1 << 21 {
                let rtt = Duration::from_millis(u64::from(delta.max(1)));
                self.take_rtt(rtt);
            }
        }
    }

    /// RFC 9293, 3.10.7.4: "SND.WND should be updated" only by a newer segment (SND.WL1; Linux has no SND.WL2).
    #[inline]
    fn update_send_window(&mut self, sysctl: &Sysctl, segment: &TcpSegment) -> bool {
        let window = u32::from(segment.window) << self.snd_wscale;
        let newer = self.is_newer_window(segment, window);
        if newer {
            self.snd_wl1 = segment.seq;
            self.snd_wnd = window;
            if window > self.max_window {
                self.max_window = window;
                self.sync_mss(sysctl);
            }
        }
        newer
    }

    /// RFC 9293, 3.10.7.4, fifth step (tcp_may_update_window).
    #[inline]
    pub(crate) fn is_newer_window(&self, segment: &TcpSegment, window: u32) -> bool {
        segment.ack.gt(self.snd_una)
            || segment.seq.gt(self.snd_wl1)
            || (segment.seq == self.snd_wl1 && (window > self.snd_wnd || window == 0))
    }

    /// Nothing was outstanding: an answer to a probe, or a window update (tcp_ack_probe).
    fn after_probe(&mut self, now: Instant) {
        if self.deadlines.retransmit == Instant::MAX || self.deadlines.purpose != Purpose::Probe {
            return;
        }
        if self.has_unsent() && self.usable_window() == 0 {
            // Still closed, but the peer lives: keep probing, at the backed-off pace.
            self.arm_probe(now);
        } else {
            self.backoff = 0;
            self.retrans_since = Instant::BOOT;
            self.deadlines.retransmit = Instant::MAX;
        }
    }

    /// Whether poll(2) says POLLOUT: a third of the buffer is free (sk_stream_is_writeable).
    #[inline]
    pub(crate) fn writable(&self, sysctl: &Sysctl) -> bool {
        let (queued, limit) = (
            self.queue.charged() as u64,
            u64::from(self.opts.send_buffer),
        );
        if limit < queued || limit - queued < queued >> 1 {
            return false;
        }
        // Who waits for room is woken when half of what may be unsent is free (tcp_stream_memory_free).
        match self.not_sent_low_water(sysctl) {
            u32::MAX => true,
            limit => u64::from(self.not_sent()) << 1 < u64::from(limit),
        }
    }

    /// TCP_NOTSENT_LOWAT, or the system's tcp_notsent_lowat; `u32::MAX` is no limit.
    #[inline]
    pub(crate) fn not_sent_low_water(&self, sysctl: &Sysctl) -> u32 {
        match self.opts.not_sent_low_water() {
            0 => sysctl.tcp_notsent_lowat,
            limit => limit,
        }
    }

    /// Bytes written and never sent.
    #[inline]
    pub(crate) fn not_sent(&self) -> u32 {
        (self.write_seq() - self.snd_max).max(0) as u32
    }

    /// Send buffer autotuning (tcp_sndbuf_expand): twice the congestion window, in what a segment costs.
    pub(crate) fn expand_send_buffer(&mut self, cx: Cx<'_>) {
        if self.opts.send_buffer_locked {
            return;
        }
        // Linux: headers and shared info (640), to a power of two, and the sk_buff (256).
        let per_segment = (u32::from(self.mss_clamp).max(self.mss) + 640).next_power_of_two() + 256;
        let reordering =
            (self.track.as_ref()).map_or_else(|| self.opts.reordering(), |t| t.reordering);
        let segments = (self.cc.cwnd_segments(self.mss))
            .max(super::congestion::INITIAL_WINDOW)
            .max(reordering.saturating_add(1));
        let want = self.cc.windows_kept() * u64::from(segments) * u64::from(per_segment);
        let want = want.min(u64::from(cx.sysctl.tcp_wmem[2])) as u32;
        self.opts.send_buffer = self.opts.send_buffer.max(want);
    }

    /// The effective MSS: path, peer's option, our own limit, less our options, and at most half of the largest window
    /// the peer ever had (tcp_sync_mss, tcp_bound_to_half_wnd).
    pub(crate) fn sync_mss(&mut self, sysctl: &Sysctl) {
        let ip = if self.tuple.remote.is_ipv6() { 40 } else { 20 };
        let mut options = if self.ts_ok { 12 } else { 0 };
        if self.opts.md5_key(self.tuple.remote).is_some() {
            options += 20;
        }
        // What the header's 16-bit length can say bounds what a path can carry, whatever its MTU.
        let mtu = self.path.mtu.min(0xffff);
        // icsk_ext_hdr_len: what IP has of its own.
        let beside = self.opts.extra().map_or(0, |extra| extra.len(ip == 40));
        // The least segment is that with its options (tcp_mtu_to_mss).
        let clamp = u32::from(self.mss_clamp);
        let segment_in = |packet: u32| {
            let mss = packet.saturating_sub(ip + 20).min(clamp);
            let mss = mss
                .saturating_sub(beside as u32)
                .max(sysctl.tcp_min_snd_mss);
            mss.saturating_sub(options).max(1)
        };
        let mut mss = segment_in(mtu);
        if self.max_window > 0 {
            let half = if self.max_window > 536 {
                self.max_window / 2
            } else {
                self.max_window
            };
            if mss > half {
                mss = half.max(48 - options);
            }
        }
        if let Some(search) = self.track.as_mut().and_then(|track| track.search.as_mut()) {
            search.limit(mtu);
            mss = mss.min(segment_in(search.low()));
        }
        if mss != self.mss {
            // The window is kept in segments, as in Linux, where it is counted so.
            if self.recovery.phase() == Phase::Open {
                let segments = u64::from(self.cc.cwnd_segments(self.mss).max(1));
                self.cc.cwnd = (segments * u64::from(mss)).min(1 << 30) as u32;
            }
            self.mss = mss;
        }
    }

    /// Bytes that the peer's window still admits.
    #[inline]
    pub(crate) fn usable_window(&self) -> u32 {
        (self.snd_una + self.snd_wnd - self.snd_nxt).max(0) as u32
    }
}
