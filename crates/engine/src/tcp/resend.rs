//! What is sent again, and when (tcp_xmit_retransmit_queue, tcp_send_loss_probe, tcp_rearm_rto).

use core::time::Duration;

use switchboard_wire::{SeqNum, TcpFlags, TcpSegment};

use super::connection::{Connection, Cx, Out, Timed};
use super::loss::Track;
use super::recovery::Phase;
use super::sent::{Mark, Round, Sent};
use super::state::State;
use super::timers::{Purpose, TIMEOUT_MIN};
use crate::time::Instant;

/// Before the first measurement (TCP_TIMEOUT_INIT).
const PROBE_INIT: Duration = Duration::from_secs(1);

impl Connection {
    /// Something lost waits to be sent again.
    #[inline]
    pub(crate) fn has_lost(&self) -> bool {
        self.track
            .as_ref()
            .is_some_and(|track| track.board.waiting() > 0)
    }

    /// The next lost segment, if the window admits it.
    pub(crate) fn resend_lost(&mut self, cx: Cx<'_>) -> Option<TcpSegment> {
        let mss = self.payload_limit();
        let data_end = self.write_seq();
        let edge = self.snd_una + self.snd_wnd;
        if self.is_paced_out(cx.now) {
            return None;
        }
        let mut track = self.track.take()?;
        let flight = self.in_flight_of(&track);
        let next = track.board.next_lost().filter(|_| !track.new_first);
        let admitted = next.filter(|sent| {
            let fits = flight == 0 || flight + sent.len().min(mss) <= self.cc.cwnd;
            // What is at SND.UNA tests a window that was shrunk (RFC 9293, 3.8.6).
            fits && (sent.seq.lt(edge) || sent.seq == self.snd_una)
        });
        let Some(sent) = admitted else {
            self.track = Some(track);
            return None;
        };
        let first = sent.seq == self.snd_una;
        let segment = self.resend(cx, &mut track, sent, mss, data_end);
        self.track = Some(track);
        // tcp_xmit_retransmit_queue: for the first segment the timer starts anew.
        if (first && self.retransmits == 0) || self.deadlines.retransmit == Instant::MAX {
            self.restart_retransmit(cx.now);
        }
        Some(segment)
    }

    fn resend(
        &mut self,
        cx: Cx<'_>,
        t: &mut Track,
        sent: Sent,
        mss: u32,
        data_end: SeqNum,
    ) -> TcpSegment {
        let mut sent = sent;
        if let Some(search) = &mut t.search {
            search.give_up();
        }
        if cx.sysctl.tcp_retrans_collapse && sent.len() < mss {
            // A FIN takes no room in a segment.
            let most = sent.seq + mss;
            let most = if data_end.leq(most) {
                most.max(data_end + 1u32)
            } else {
                most
            };
            let most = most.min(self.snd_una + self.snd_wnd.max(1));
            sent.end = t.board.collapse(sent.seq, most, |at| self.ends_record(at));
        }
        let len = ((data_end - sent.seq).max(0) as u32)
            .min(sent.len())
            .min(mss);
        let mut end = sent.seq + len;
        let offset = (sent.seq - self.snd_una) as usize;
        let payload = self.queue.slice(offset, len as usize);
        let mut flags = TcpFlags::ACK;
        if len > 0 && (end == data_end || t.board.is_pushed(sent.seq, end)) {
            flags |= TcpFlags::PSH;
        }
        // The FIN goes along when the segment reaches it.
        if end == data_end && sent.end.gt(data_end) {
            flags |= TcpFlags::FIN;
            end = sent.end;
        }
        let stamp = (t.delivered, t.delivered_at, t.first_at);
        t.board.resend(sent.seq, end, cx.now, stamp);
        t.undo_retrans = t.undo_retrans.max(0) + i64::from((end - sent.seq) as u32);
        t.prr_out = t.prr_out.saturating_add((end - sent.seq) as u32);
        if t.retrans_stamp.is_none() {
            t.retrans_stamp = Some(self.ts_now(cx.now));
        }
        self.counters.bytes_sent += u64::from(len);
        self.count_retransmission(len);
        flags |= self.ecn_flags(false);
        self.pace_sent(cx, len);
        self.last_sent = cx.now;
        self.segment(cx, sent.seq, flags, payload)
    }

    /// A segment left for the first time, or several of length `each`: it is written down where it can be lost.
    #[inline]
    pub(crate) fn note_sent(&mut self, cx: Cx<'_>, seq: SeqNum, end: SeqNum, each: u16) {
        if self.track.is_none() && !self.path.tracked && !self.cc.governs() {
            if self.timed.get().is_none() {
                self.timed = Timed::new(end, cx.now);
            }
            return;
        }
        self.track_sent(cx, seq, end, each);
    }

    #[cold]
    fn track_sent(&mut self, cx: Cx<'_>, seq: SeqNum, end: SeqNum, each: u16) {
        // SND.MAX is `seq` still: what a new track takes over ends there.
        let mut track = self.take_track();
        let t = &mut *track;
        if self.in_flight_of(t) == 0 {
            (t.first_at, t.delivered_at) = (cx.now, cx.now);
        }
        let mut marks = Mark::empty();
        marks.set(Mark::APP_LIMITED, t.app_limited > 0);
        t.board.push(Sent {
            seq,
            end,
            at: cx.now,
            marks,
            each,
            delivered: t.delivered,
            delivered_at: t.delivered_at,
            first_at: t.first_at,
        });
        t.prr_out = t.prr_out.saturating_add((end - seq) as u32);
        // tcp_cwnd_validate. Small segments count as what they are in a window of segments.
        let out =
            ((end - self.snd_una).max(0) as u32).max(t.board.segments() * self.mss.min(1 << 16));
        if self.snd_una.geq(t.peak_end) || out > t.peak {
            (t.peak, t.peak_end) = (out, end);
        }
        self.track = Some(track);
    }

    /// The timer after an acknowledgment of something, or after new data was sent (tcp_set_xmit_timer).
    pub(crate) fn arm_after_ack(&mut self, cx: Cx<'_>, t: &Track) {
        self.restart_retransmit(cx.now);
        self.arm_probe_of_tail(cx, t, self.deadlines.retransmit);
    }

    /// The same when new data has left: the timeout is that of the first segment.
    pub(crate) fn arm_after_send(&mut self, cx: Cx<'_>, t: &Track) {
        let timeout = self.timeout_of_first(t);
        self.arm_probe_of_tail(cx, t, timeout);
    }

    /// RFC 8985, 7.2 (tcp_schedule_loss_probe): the tail is probed before the first timeout, at its time at the latest.
    fn arm_probe_of_tail(&mut self, cx: Cx<'_>, t: &Track, timeout: Instant) {
        let wanted = self.sack_ok
            && self.state != State::SynRecv
            && matches!(self.recovery.phase, Phase::Open | Phase::Cwr)
            && t.tlp.is_none()
            && t.board.segments() > 0
            && cx.sysctl.tcp_early_retrans >= 3;
        if !wanted {
            return;
        }
        let srtt = Duration::from_micros(u64::from(self.rtt.srtt_us()));
        let wait = if srtt.is_zero() {
            PROBE_INIT
        } else if t.board.segments() == 1 {
            // Its acknowledgment may be delayed.
            2 * srtt + self.rtt.bounds().min()
        } else {
            2 * srtt + TIMEOUT_MIN
        };
        let at = cx.now + wait;
        self.deadlines.purpose = Purpose::LossProbe;
        self.deadlines.retransmit = if timeout > cx.now {
            at.min(timeout)
        } else {
            at
        };
    }

    /// When the retransmission timer of the oldest segment expires.
    fn timeout_of_first(&self, t: &Track) -> Instant {
        t.board
            .first()
            .map_or(Instant::MAX, |sent| sent.at + self.rtt.rto())
    }

    /// After another timer the retransmission timer runs on from where it was (tcp_rearm_rto).
    fn rearm_retransmit(&mut self, now: Instant, t: &Track) {
        let at = self.timeout_of_first(t);
        self.deadlines.purpose = Purpose::Retransmit;
        self.deadlines.retransmit = if at == Instant::MAX {
            at
        } else {
            at.max(now + Duration::from_micros(1))
        };
    }

    /// The probe of the tail is due (tcp_send_loss_probe).
    pub(crate) fn on_loss_probe_due(&mut self, cx: Cx<'_>) {
        let Some(track) = self.track.take() else {
            return;
        };
        if track.tlp.is_none() && !track.board.is_empty() {
            self.out |= Out::LOSS_PROBE;
        } else {
            self.rearm_retransmit(cx.now, &track);
        }
        self.track = Some(track);
    }

    /// RFC 8985, 7.3: new data, or the last segment again.
    pub(crate) fn loss_probe(&mut self, cx: Cx<'_>) -> Option<TcpSegment> {
        let mss = self.payload_limit();
        let data_end = self.write_seq();
        let unsent = (data_end - self.snd_nxt).max(0) as u32;
        let window = self.usable_window();
        let mut segment = None;
        if unsent > 0 && window >= unsent.min(mss) {
            segment = Some(self.send_new(cx, unsent.min(mss)));
        }
        let mut track = self.track.take()?;
        let again = segment.is_none();
        if again && let Some(mut last) = track.board.last().copied() {
            if last.len() > mss {
                last.seq = track.board.cut_last(mss);
            }
            // A probe is not the beginning of a recovery (tcp_retransmit_skb is passed by).
            let stamp = track.retrans_stamp;
            segment = Some(self.resend(cx, &mut track, last, mss, data_end));
            track.retrans_stamp = stamp;
        }
        if segment.is_some() {
            track.tlp = Some(self.snd_nxt);
            track.tlp_again = again;
            // RFC 8985, 7.3: after a probe the timer starts anew.
            self.restart_retransmit(cx.now);
        } else {
            self.rearm_retransmit(cx.now, &track);
        }
        self.track = Some(track);
        segment
    }

    /// The reordering window has passed (RFC 8985, 6.3; tcp_rack_reo_timeout).
    pub(crate) fn on_reordering_timeout(&mut self, cx: Cx<'_>) {
        let mut track = self.take_track();
        let t = &mut *track;
        let mut round = Round::default();
        let before = self.in_flight_of(t);
        let due = self.identify(cx, t, &mut round, false);
        if self.in_flight_of(t) != before && self.recovery.phase < Phase::Recovery {
            self.enter_recovery(t, false);
            if !self.cc.governs() {
                let mss = self.mss;
                self.reduce(t, mss, round.lost, false);
            }
        }
        match due {
            Some(due) => {
                self.deadlines.purpose = Purpose::Reorder;
                self.deadlines.retransmit = due;
            }
            None => self.rearm_retransmit(cx.now, t),
        }
        self.track = Some(track);
    }

    /// All that is outstanding is sent again, though nothing says that the network is congested: data of a SYN that was
    /// not taken (RFC 7413, 4.2.2), or what a path that became narrower has dropped (tcp_simple_retransmit).
    pub(crate) fn resend_outstanding(&mut self, cx: Cx<'_>, larger_than: u32) {
        if self.outstanding() == 0 {
            return;
        }
        let mut track = self.take_track();
        track.board.lose_larger(larger_than);
        if track.board.lost() > 0 && self.recovery.phase != Phase::Loss {
            self.recovery.phase = Phase::Loss;
            self.recovery.recover = self.snd_max;
            track.undo_marker = None;
            self.cc.ssthresh = self.cc.current_ssthresh();
        }
        self.track = Some(track);
        if self.deadlines.retransmit == Instant::MAX {
            self.restart_retransmit(cx.now);
        }
    }
}
