//! TCP_INFO: what getsockopt(TCP_INFO) tells (tcp_get_info). Every number is a true one.

use core::time::Duration;

use super::connection::{Connection, Cx};
use super::ecn::Ecn;
use super::receive::TICK;
use super::state::State;
use crate::time::Instant;

/// The facts behind `struct tcp_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The state.
    pub state: State,
    /// TCP_CA_Open 0, Disorder 1, Recovery 3, Loss 4.
    pub ca_state: u8,
    /// Timeouts of the oldest unacknowledged segment.
    pub retransmits: u8,
    /// Probes without an answer.
    pub probes: u8,
    /// Doublings of the timeout.
    pub backoff: u8,
    /// Timestamps are in use.
    pub timestamps: bool,
    /// Selective acknowledgments are in use.
    pub sack: bool,
    /// Window scaling is in use.
    pub window_scaling: bool,
    /// The SYN-ACK acknowledged data of the SYN (TCPI_OPT_SYN_DATA), or a SYN with a cookie made the connection
    /// (TCPI_OPT_TFO_CHILD).
    pub syn_data: bool,
    /// See `syn_data`.
    pub fastopen_child: bool,
    /// Why a fast open was none (enum tcp_fastopen_client_fail).
    pub fastopen_client_fail: u8,
    /// The peer's scale.
    pub snd_wscale: u8,
    /// Our scale.
    pub rcv_wscale: u8,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Delay of acknowledgments.
    pub ato: Duration,
    /// Our segment size.
    pub snd_mss: u32,
    /// The peer's segment size, estimated.
    pub rcv_mss: u32,
    /// Segments in flight; for a listener the length of the accept queue.
    pub unacked: u32,
    /// Segments acknowledged selectively; for a listener its backlog.
    pub sacked: u32,
    /// Segments taken for lost.
    pub lost: u32,
    /// Segments retransmitted and in flight.
    pub retrans: u32,
    /// Since data was last sent.
    pub last_data_sent: Duration,
    /// Since data was last received.
    pub last_data_recv: Duration,
    /// Since an acknowledgment was last received.
    pub last_ack_recv: Duration,
    /// Path MTU.
    pub pmtu: u32,
    /// Limit of the offered window.
    pub rcv_ssthresh: u32,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Its deviation.
    pub rttvar: Duration,
    /// Slow start threshold, segments.
    pub snd_ssthresh: u32,
    /// Congestion window, segments.
    pub snd_cwnd: u32,
    /// The MSS we announce, less our options.
    pub advmss: u32,
    /// Duplicate acknowledgments that mean loss.
    pub reordering: u32,
    /// Round-trip time as the receiver sees it.
    pub rcv_rtt: Duration,
    /// Bytes the application takes per round trip.
    pub rcv_space: u32,
    /// All retransmissions.
    pub total_retrans: u32,
    /// Bytes acknowledged.
    pub bytes_acked: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Bytes queued and never sent.
    pub notsent_bytes: u32,
    /// The least round-trip time.
    pub min_rtt: Duration,
    /// Segments with data received.
    pub data_segs_in: u32,
    /// Segments with data sent.
    pub data_segs_out: u32,
    /// The rate at which what is sent arrives, bytes a second; 0 where nothing is measured (`lo`). Whether the application
    /// limited it.
    pub delivery_rate: u64,
    /// See `delivery_rate`.
    pub delivery_rate_app_limited: bool,
    /// The pace and its limit, bytes a second; `u64::MAX` is none.
    pub pacing_rate: u64,
    /// See `pacing_rate`.
    pub max_pacing_rate: u64,
    /// Duplicates that the peer reported.
    pub dsack_dups: u32,
    /// How often reordering was seen.
    pub reord_seen: u32,
    /// ECN is agreed on, and marks or packets that may be marked were seen.
    pub ecn: bool,
    /// See `ecn`.
    pub ecn_seen: bool,
    /// BBR's bandwidth, least round-trip time in microseconds, gains of pace and window in 1/256.
    pub bbr: Option<(u64, u32, u32, u32)>,
    /// Segments that the peer has, the SYN and the FIN included.
    pub delivered: u32,
    /// Data bytes sent, with retransmissions.
    pub bytes_sent: u64,
    /// Data bytes retransmitted.
    pub bytes_retrans: u64,
    /// Segments received out of order.
    pub rcv_ooopack: u32,
    /// The peer's window.
    pub snd_wnd: u32,
    /// The window we offer.
    pub rcv_wnd: u32,
    /// Timeouts, the recoveries that they began, and the time those took, milliseconds.
    pub total_rto: u16,
    /// See `total_rto`.
    pub total_rto_recoveries: u16,
    /// See `total_rto`.
    pub total_rto_time: u32,
}

/// Linux counts timeouts in ticks of its timers, and rounds up (usecs_to_jiffies).
fn in_ticks(time: Duration) -> Duration {
    let tick = TICK.as_micros();
    Duration::from_micros((time.as_micros().div_ceil(tick) * tick) as u64)
}

impl Connection {
    /// tp->delivered: what was sent once, less what is in flight.
    fn delivered(&self) -> u32 {
        if !self.state.is_synchronized() && self.counters.bytes_acked == 0 {
            return 0;
        }
        let flight = self
            .outstanding()
            .saturating_sub(u32::from(self.fin_sent && !self.fin_acked));
        let sent = self
            .counters
            .data_segs_out
            .saturating_sub(self.counters.retrans);
        let acked = sent.saturating_sub(flight.div_ceil(self.mss.max(1)));
        1 + acked + u32::from(self.fin_acked)
    }

    pub(crate) fn info(&self, cx: Cx<'_>) -> TcpInfo {
        let now = cx.now;
        let us = |n: u32| Duration::from_micros(u64::from(n));
        let since = |at: Instant| {
            if at == Instant::BOOT {
                Duration::ZERO
            } else {
                now.saturating_sub(at)
            }
        };
        let segments = |bytes: u32| bytes.div_ceil(self.mss.max(1));
        let board = self.track.as_ref().map(|track| &track.board);
        let (unacked, sacked) = match &self.listener {
            Some(listener) => (listener.accept.len() as u32, listener.backlog),
            None => {
                let sacked = board.map_or(0, |board| board.sacked_segments());
                let sacked = sacked.max(u32::from(self.recovery.dupacks));
                // tcp_write_queue_purge: what is over waits for no acknowledgment.
                let over = self.state == State::Close;
                let out = if over { 0 } else { self.outstanding() };
                (segments(out), sacked)
            }
        };
        let timeouts = self.track.as_ref().map(|t| t.timeouts).unwrap_or_default();
        TcpInfo {
            state: self.state,
            ca_state: self.recovery.phase() as u8,
            retransmits: self.retransmits,
            probes: self.probes_out,
            backoff: self.backoff,
            timestamps: self.ts_ok,
            sack: self.sack_ok,
            window_scaling: self.wscale_ok,
            syn_data: self.fastopen.as_ref().is_some_and(|f| f.acked || f.child),
            fastopen_child: self.fastopen.as_ref().is_some_and(|f| f.child),
            fastopen_client_fail: self.fastopen.as_ref().map_or(0, |f| f.fail as u8),
            // Until they are agreed on there are none.
            snd_wscale: if self.wscale_ok { self.snd_wscale } else { 0 },
            rcv_wscale: if self.wscale_ok { self.rcv_wscale } else { 0 },
            rto: in_ticks(self.rtt.rto()),
            ato: us(self.ack.ato_us),
            snd_mss: self.mss,
            rcv_mss: self.rcv_mss,
            unacked,
            sacked,
            lost: segments(board.map_or(0, |board| board.lost())),
            retrans: segments(board.map_or(0, |board| board.again())),
            last_data_sent: since(self.last_sent),
            last_data_recv: since(self.ack.last_received),
            last_ack_recv: since(self.last_ack_received),
            // What IPv4's length field can say bounds its paths.
            pmtu: if self.tuple.remote.is_ipv6() {
                self.path.mtu
            } else {
                self.path.mtu.min(0xffff)
            },
            rcv_ssthresh: self.rcv_ssthresh,
            rtt: us(self.rtt.srtt_us()),
            rttvar: us(self.rtt.mdev_us()),
            snd_ssthresh: self.cc.ssthresh_segments(self.mss),
            snd_cwnd: self.cc.cwnd_segments(self.mss),
            advmss: u32::from(self.advmss),
            reordering: (self.track.as_ref())
                .map_or_else(|| self.opts.reordering(), |t| t.reordering),
            rcv_rtt: us(self.tune.rtt_us()),
            rcv_space: self.tune.space,
            total_retrans: self.counters.retrans,
            bytes_acked: self.counters.bytes_acked,
            // tcp_rcv_nxt_update: sequence numbers, so that a FIN counts too.
            bytes_received: self.received + u64::from(self.fin_received),
            segs_out: self.counters.segs_out,
            segs_in: self.counters.segs_in,
            notsent_bytes: self.never_sent(),
            // Linux says ~0 before the first sample.
            min_rtt: us(self.rtt.min_us()),
            data_segs_in: self.counters.data_segs_in,
            data_segs_out: self.counters.data_segs_out,
            delivery_rate: self.track.as_ref().map_or(0, |t| match t.rate {
                (_, 0, _) => 0,
                (bytes, us, _) => u64::from(bytes) * 1_000_000 / u64::from(us),
            }),
            // tcp_init_sock(): so until there is a sample.
            delivery_rate_app_limited: (self.track.as_ref())
                .is_none_or(|t| t.rate.1 == 0 || t.rate.2),
            pacing_rate: self.pacing_rate(cx.sysctl),
            max_pacing_rate: self.opts.max_pacing(),
            dsack_dups: self.track.as_ref().map_or(0, |t| t.duplicates),
            reord_seen: self.track.as_ref().map_or(0, |t| t.reordered),
            ecn: self.ecn.contains(Ecn::OK),
            ecn_seen: self.ecn.contains(Ecn::SEEN),
            bbr: self.cc.bbr_info(),
            delivered: self.delivered(),
            bytes_sent: self.counters.bytes_sent,
            bytes_retrans: self.counters.bytes_retrans,
            rcv_ooopack: self.counters.out_of_order,
            snd_wnd: self.snd_wnd,
            rcv_wnd: self.rcv_wnd,
            total_rto: timeouts.all,
            total_rto_recoveries: timeouts.recoveries,
            total_rto_time: timeouts.time(now),
        }
    }
}
