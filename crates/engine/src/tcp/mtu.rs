//! The search for the largest segment that a path carries (RFC 4821; tcp_mtu_probing).
//!
//! # Theory of operation
//! With 2 a connection begins with tcp_base_mss, with 1 it comes to it when a path seems to swallow its segments. From there
//! on a segment half of the way to the largest is sent now and then, made of new data: if it arrives, segments
//! become as large as that; if it alone is lost, that is no sign of congestion, and it was too large. When what is left is not worth
//! a probe (tcp_probe_threshold), all begins anew after tcp_probe_interval.

use switchboard_wire::{SeqNum, TcpSegment};

use super::congestion::INFINITE_SSTHRESH;
use super::connection::{Connection, Cx};
use super::loss::Track;
use super::recovery::Phase;
use crate::time::Instant;

/// A window that a probe may be part of (tcp_mtu_probe).
const PROBE_WINDOW: u32 = 11;

/// icsk_mtup: sizes are those of whole packets.
#[derive(Debug)]
pub(crate) struct MtuSearch {
    /// What arrives, and what is not known not to.
    low: u32,
    high: u32,
    /// What is being tried: its place in the stream, and the size of its packet.
    probe: Option<(SeqNum, SeqNum, u32)>,
    /// When the range was last the whole one.
    since: Instant,
    /// One was thought of since the last segment left.
    tried: bool,
    /// A probe waits for room in the window, and all else with it.
    waits: bool,
}

impl MtuSearch {
    pub(crate) const fn low(&self) -> u32 {
        self.low
    }

    /// Something is being tried.
    pub(crate) const fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// tcp_retransmit_skb: what comes of it now tells nothing.
    pub(crate) fn give_up(&mut self) {
        self.probe = None;
    }

    /// tcp_sync_mss: the path is known to be no larger.
    pub(crate) fn limit(&mut self, mtu: u32) {
        self.high = self.high.min(mtu);
    }

    /// All that could leave has.
    pub(crate) fn rest(&mut self) {
        (self.tried, self.waits) = (false, false);
    }
}

impl Connection {
    fn ip_header(&self) -> u32 {
        if self.tuple.remote.is_ipv6() { 40 } else { 20 }
    }

    fn option_len(&self) -> u32 {
        if self.ts_ok { 12 } else { 0 }
    }

    /// tcp_mss_to_mtu, tcp_mtu_to_mss.
    fn packet_of(&self, mss: u32) -> u32 {
        mss + self.option_len() + 20 + self.ip_header()
    }

    fn segment_in(&self, packet: u32) -> u32 {
        packet.saturating_sub(self.ip_header() + 20 + self.option_len())
    }

    /// tcp_mtup_init, when tcp_mtu_probing is 2.
    pub(crate) fn begin_search(&mut self, cx: Cx<'_>, active: bool) {
        if cx.sysctl.tcp_mtu_probing < 2 || !self.path.tracked {
            return;
        }
        // A client begins when its SYN leaves, which has timestamps.
        let options = if active && cx.sysctl.tcp_timestamps {
            12
        } else {
            self.option_len()
        };
        let low = cx.sysctl.tcp_base_mss + options + 20 + self.ip_header();
        let mut track = self.take_track();
        track.search = Some(self.search_from(cx.now, low));
        self.track = Some(track);
    }

    fn search_from(&self, now: Instant, low: u32) -> alloc::boxed::Box<MtuSearch> {
        let high = u32::from(self.mss_clamp) + 20 + self.ip_header();
        alloc::boxed::Box::new(MtuSearch {
            low,
            high: high.min(self.path.mtu),
            probe: None,
            since: now,
            tried: false,
            waits: false,
        })
    }

    /// RFC 4821, 7.7 (tcp_mtu_probing()): nothing is acknowledged, so the path may swallow large packets.
    pub(crate) fn shrink_segments(&mut self, cx: Cx<'_>) {
        let mut track = self.take_track();
        let mss = match &track.search {
            None => cx.sysctl.tcp_base_mss,
            Some(search) => (self.segment_in(search.low) / 2)
                .min(cx.sysctl.tcp_base_mss)
                .max(cx.sysctl.tcp_mtu_probe_floor)
                .max(cx.sysctl.tcp_min_snd_mss),
        };
        let low = self.packet_of(mss);
        match &mut track.search {
            Some(search) => search.low = low,
            none => *none = Some(self.search_from(cx.now, low)),
        }
        self.track = Some(track);
        let before = self.mss;
        self.sync_mss(cx.sysctl);
        self.keep_segments(before);
    }

    /// Linux counts windows in segments: they remain as many.
    fn keep_segments(&mut self, before: u32) {
        let (mss, before) = (u64::from(self.mss), u64::from(before.max(1)));
        let scale = |bytes: &mut u32| {
            if *bytes != INFINITE_SSTHRESH {
                *bytes = (u64::from(*bytes) * mss / before).min(1 << 30) as u32;
            }
        };
        scale(&mut self.cc.ssthresh);
        if self.recovery.phase() != Phase::Open {
            scale(&mut self.cc.cwnd);
        }
        if let Some(track) = &mut self.track {
            scale(&mut track.prior_ssthresh);
            scale(&mut track.prior_cwnd);
        }
    }

    /// Whether probes are sent.
    #[inline]
    pub(crate) fn searches_mtu(&self) -> bool {
        self.track
            .as_ref()
            .is_some_and(|track| track.search.is_some())
    }

    /// Whether a probe waits, so that nothing else may leave.
    #[inline]
    pub(crate) fn waits_for_probe(&self) -> bool {
        let search = self.track.as_ref().and_then(|track| track.search.as_ref());
        search.is_some_and(|search| search.waits)
    }

    /// tcp_mtu_probe: new data in a segment that is larger than any before.
    #[cold]
    pub(crate) fn probe_mtu(&mut self, cx: Cx<'_>) -> Option<TcpSegment> {
        let flight = self.in_flight();
        let (window, cwnd) = (self.snd_wnd, self.cc.cwnd_segments(self.mss));
        let unsent = (self.write_seq() - self.snd_nxt).max(0) as u32;
        let edge = self.snd_una + window;
        let quiet = self.recovery.phase() == Phase::Open && self.reassembly.is_none();
        let mut track = self.track.take()?;
        let reordering = track.reordering;
        let mut size = None;
        if let Some(search) = track.search.as_mut().filter(|search| !search.tried) {
            search.tried = true;
            let middle = (search.high + search.low) / 2;
            let mss = self.segment_in(middle);
            let beside = reordering.saturating_add(1).saturating_mul(self.mss);
            let needed = mss.saturating_add(beside);
            if search.probe.is_some() || !quiet || cwnd < PROBE_WINDOW {
            } else if middle > search.high
                || search.high.saturating_sub(search.low) < cx.sysctl.tcp_probe_threshold
            {
                // tcp_mtu_check_reprobe.
                if cx.now.saturating_sub(search.since) >= cx.sysctl.tcp_probe_interval {
                    let low = self.packet_of(self.mss);
                    *search = self.search_from(cx.now, low);
                }
            } else if unsent < needed || window < needed {
            } else if (self.snd_nxt + needed).gt(edge) {
                search.waits = true;
            } else if flight.div_ceil(self.mss.max(1)) + 2 > cwnd {
                search.waits = flight > 0;
            } else {
                let end = self.snd_nxt + mss;
                search.probe = Some((self.snd_nxt, end, middle));
                size = Some(mss);
            }
        }
        self.track = Some(track);
        let size = size?;
        // It leaves as one segment, whatever its length.
        let mss = core::mem::replace(&mut self.mss, size);
        let segment = self.send_new(cx, size);
        self.mss = mss;
        // It weighs two.
        self.cc.cwnd = self.cc.cwnd.saturating_sub(self.mss).max(self.mss);
        Some(segment)
    }

    /// tcp_mtup_probe_success: what was tried has arrived.
    pub(crate) fn judge_probe(&mut self, t: &mut Track) -> bool {
        let una = self.snd_una;
        let Some(search) = &mut t.search else {
            return false;
        };
        let Some((_, _, packet)) = search.probe.filter(|(_, end, _)| !end.gt(una)) else {
            return false;
        };
        search.probe = None;
        search.low = packet;
        let segments = u64::from(self.cc.cwnd_segments(self.mss))
            * u64::from(self.packet_of(self.mss))
            / u64::from(packet.max(1));
        self.cc.cwnd = (segments.max(1) as u32).saturating_mul(self.mss);
        self.cc.ssthresh = self.cc.current_ssthresh();
        true
    }

    /// tcp_mtup_probe_failed: the first that is missing is what was tried. That says nothing of congestion.
    pub(crate) fn probe_failed(&mut self, t: &mut Track) -> bool {
        let una = self.snd_una;
        let Some(search) = &mut t.search else {
            return false;
        };
        let Some((_, _, packet)) = search.probe.filter(|(start, ..)| *start == una) else {
            return false;
        };
        search.probe = None;
        search.high = packet - 1;
        self.cc.cwnd += self.mss;
        // tcp_simple_retransmit.
        t.board.lose_larger(self.mss);
        self.recovery.recover = self.snd_max;
        self.cc.ssthresh = self.cc.current_ssthresh();
        t.undo_marker = None;
        self.recovery.phase = Phase::Loss;
        true
    }
}
