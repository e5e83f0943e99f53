//! One TCP socket: the variables of RFC 9293, 3.3.1 and what Linux keeps beside them.
//!
//! # Theory of operation
//! A [`Connection`] is a sans-IO value. Inputs are [`on_segment`](Connection::on_segment), the user's calls and
//! [`on_timer`](Connection::on_timer); after each, the owner takes segments from
//! [`poll_transmit`](Connection::poll_transmit) until there is none, takes [`events`](Connection::events) and arms a timer
//! for [`deadline`](Connection::deadline). The code is split by concern: `input` (segments), `ack` (acknowledgments),
//! `receive` (data, window, delayed ACK), `output` (segments out), `timers`, `user` (calls), `urgent`, `info`.
//!
//! # Limits
//! Send queue: SO_SNDBUF. Receive queue and reassembly: SO_RCVBUF. An idle connection owns no heap but itself.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use switchboard_wire::SeqNum;

use super::congestion::Congestion;
use super::ecn::Ecn;
use super::fastopen::FastOpen;
use super::listen::Listener;
use super::loss::Track;
use super::options::TcpOptionsSet;
use super::pace::Pace;
use super::reassembly::Reassembly;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::send_queue::SendQueue;
use super::stamps::Stamps;
use super::state::{State, TcpError};
use super::stream_queue::StreamQueue;
use super::timers::Deadlines;
use super::tune::Tune;
use super::urgent::Urgent;
use crate::config::Sysctl;
use crate::event::EventKind;
use crate::ports::Family;
use crate::time::Instant;

/// What every input comes with: the time, and the host's tunables.
#[derive(Clone, Copy)]
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) sysctl: &'a Sysctl,
}

/// Names a connection to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FourTuple {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl FourTuple {
    pub(crate) fn local_addr(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.local_port)
    }

    pub(crate) fn remote_addr(&self) -> SocketAddr {
        SocketAddr::new(self.remote, self.remote_port)
    }
}

bitflags::bitflags! {
    /// What must be sent apart from data.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Out: u8 {
        /// An acknowledgment, now.
        const ACK = 1;
        /// SYN, or SYN-ACK in SYN_RECV.
        const SYN = 1 << 1;
        /// RST that aborts the connection.
        const RST = 1 << 2;
        /// The end of what was sent again, or new data, to learn whether the end was lost.
        const LOSS_PROBE = 1 << 3;
        /// A zero-window or keepalive probe.
        const PROBE = 1 << 4;
        /// A challenge ACK, if the host's limit allows one.
        const CHALLENGE = 1 << 5;
        /// The first half of a probe, of urgent data, has left.
        const PROBE_PLAIN = 1 << 6;
    }
}

/// What the path to the peer allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Path MTU.
    pub(crate) mtu: u32,
    /// Largest payload handed down in one packet, when that is more than the MSS (loopback).
    pub(crate) max_payload: u32,
    /// Packets may be lost on it, so segments are tracked from the first one on.
    pub(crate) tracked: bool,
    /// The peer has answered since the last segment left: whoever takes them on the link does so (sk_dst_pending_confirm).
    pub(crate) confirmed: bool,
}

/// The segment whose acknowledgment measures the round trip, if one is: its end and when it left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    end: SeqNum,
    at: Instant,
}

impl Timed {
    pub(crate) const NONE: Timed = Timed {
        end: SeqNum(0),
        at: Instant::MAX,
    };

    #[inline]
    pub(crate) const fn new(end: SeqNum, at: Instant) -> Timed {
        Timed { end, at }
    }

    #[inline]
    pub(crate) fn get(self) -> Option<(SeqNum, Instant)> {
        (self.at != Instant::MAX).then_some((self.end, self.at))
    }

    pub(crate) fn take(&mut self) -> Option<(SeqNum, Instant)> {
        core::mem::replace(self, Timed::NONE).get()
    }
}

/// A TCP socket in any state.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    pub(crate) family: Family,
    /// shutdown(2) or a FIN closed this direction (Linux's sk_shutdown).
    pub(crate) rcv_shutdown: bool,
    pub(crate) snd_shutdown: bool,
    /// Closed by the user (SOCK_DEAD).
    pub(crate) orphan: bool,
    /// A FIN was received (SOCK_DONE); it holds one sequence number after the data.
    pub(crate) fin_received: bool,
    /// Our FIN is queued behind the data.
    pub(crate) fin_queued: bool,
    pub(crate) fin_sent: bool,
    pub(crate) fin_acked: bool,
    /// Both ends speak timestamps.
    pub(crate) ts_ok: bool,
    /// Window scaling was agreed.
    pub(crate) wscale_ok: bool,
    /// RFC 3168.
    pub(crate) ecn: Ecn,
    /// Both ends speak selective acknowledgments (RFC 2018).
    pub(crate) sack_ok: bool,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    /// Part of the buffer that is window, in 1/256 (Linux's scaling_ratio).
    pub(crate) rcv_ratio: u8,
    /// The last send had MSG_MORE: wait for more as if corked.
    pub(crate) hold: bool,
    /// TCP_NODELAY was just set or TCP_CORK cleared: the next push ignores Nagle.
    pub(crate) push_now: bool,
    /// A send filled the buffer: tell when there is room.
    pub(crate) no_space: bool,
    /// The congestion window was the limit since the last acknowledgment.
    pub(crate) cwnd_limited: bool,
    pub(crate) error: Option<TcpError>,
    /// ICMP error that is only reported if the connection fails (sk_err_soft).
    pub(crate) soft_error: Option<TcpError>,
    pub(crate) out: Out,
    pub(crate) events: EventKind,
    pub(crate) tuple: FourTuple,

    // Send sequence variables (RFC 9293, 3.3.1).
    pub(crate) snd_una: SeqNum,
    /// Next to send.
    pub(crate) snd_nxt: SeqNum,
    /// The highest ever sent.
    pub(crate) snd_max: SeqNum,
    pub(crate) snd_wnd: u32,
    pub(crate) snd_wl1: SeqNum,
    pub(crate) snd_up: SeqNum,
    /// End of the last segment sent that was not full (Minshall).
    pub(crate) snd_sml: SeqNum,
    pub(crate) max_window: u32,
    /// Effective send MSS, without options.
    pub(crate) mss: u32,
    /// The peer's MSS option.
    pub(crate) mss_clamp: u16,
    /// The MSS we announced.
    pub(crate) advmss: u16,
    pub(crate) path: Path,
    pub(crate) queue: SendQueue,

    // Receive sequence variables.
    pub(crate) rcv_nxt: SeqNum,
    /// RCV.NXT at the last window sent.
    pub(crate) rcv_wup: SeqNum,
    pub(crate) rcv_wnd: u32,
    pub(crate) rcv_ssthresh: u32,
    pub(crate) window_clamp: u32,
    /// Estimate of the peer's segment size, for delayed ACKs.
    pub(crate) rcv_mss: u32,
    /// Bytes received in order so far: the stream offset of RCV.NXT.
    pub(crate) received: u64,
    pub(crate) recv: StreamQueue,
    pub(crate) reassembly: Option<Box<Reassembly>>,
    pub(crate) urgent: Urgent,
    /// Bytes whose sending is watched, and the ends of records.
    pub(crate) stamps: Option<Box<Stamps>>,
    pub(crate) ack: AckState,
    pub(crate) tune: Tune,

    // Timestamps (RFC 7323).
    pub(crate) ts_recent: u32,
    pub(crate) ts_offset: u32,
    pub(crate) ts_recent_at: Instant,

    pub(crate) rtt: Rtt,
    /// The segment being timed: its end and when it left (Karn: dropped at a retransmission).
    pub(crate) timed: Timed,
    pub(crate) cc: Congestion,
    pub(crate) recovery: Recovery,
    pub(crate) track: Option<Box<Track>>,
    /// Segments leave at a rate.
    pub(crate) pace: Option<Box<Pace>>,
    pub(crate) deadlines: Deadlines,
    pub(crate) retransmits: u8,
    pub(crate) backoff: u8,
    pub(crate) probes_out: u8,
    /// When the oldest unacknowledged segment was first sent, once it was retransmitted.
    pub(crate) retrans_since: Instant,
    pub(crate) last_sent: Instant,
    pub(crate) last_ack_received: Instant,
    /// When an invalid segment was last answered (RFC 5961, 7).
    pub(crate) last_invalid_answer: Instant,
    pub(crate) counters: Counters,
    pub(crate) opts: TcpOptionsSet,
    pub(crate) listener: Option<Box<Listener>>,
    pub(crate) fastopen: Option<Box<FastOpen>>,
}

/// Delayed acknowledgments (Linux's icsk_ack).
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckState {
    /// An acknowledgment is owed.
    pub(crate) scheduled: bool,
    /// Data with PSH, or a small segment, arrived since.
    pub(crate) pushed: bool,
    pub(crate) pushed2: bool,
    /// The session is interactive: replies carry the acknowledgments.
    pub(crate) pingpong: bool,
    /// Segments still to be acknowledged at once.
    pub(crate) quick: u8,
    /// Current delay in microseconds; 0 before the first segment.
    pub(crate) ato_us: u32,
    pub(crate) last_received: Instant,
    /// What has been received came before anybody wanted to know when.
    pub(crate) unstamped: bool,
}

/// TCP_INFO's counters (RFC 4898).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) segs_in: u32,
    pub(crate) segs_out: u32,
    pub(crate) data_segs_in: u32,
    pub(crate) data_segs_out: u32,
    pub(crate) retrans: u32,
    pub(crate) out_of_order: u32,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_retrans: u64,
}

/// Linux's TCP_DEFAULT_SCALING_RATIO (tcp_adv_win_scale 1): half of the buffer is window.
pub(crate) const DEFAULT_RATIO: u8 = 128;
/// RFC 9293, 3.7.1: the MSS when none was announced (TCP_MSS_DEFAULT).
pub(crate) const MSS_DEFAULT: u32 = 536;

impl Connection {
    /// A fresh socket.
    pub(crate) fn new(family: Family, sysctl: &Sysctl) -> Connection {
        let any = match family {
            Family::V4 => IpAddr::from([0; 4]),
            Family::V6 => IpAddr::from([0u16; 8]),
        };
        let tuple = FourTuple {
            local: any,
            remote: any,
            local_port: 0,
            remote_port: 0,
        };
        Connection::with_options(family, tuple, TcpOptionsSet::new(sysctl))
    }

    /// A socket that has not spoken yet.
    pub(crate) fn with_options(
        family: Family,
        tuple: FourTuple,
        opts: TcpOptionsSet,
    ) -> Connection {
        let zero = SeqNum(0);
        Connection {
            state: State::Close,
            family,
            rcv_shutdown: false,
            snd_shutdown: false,
            orphan: false,
            fin_received: false,
            fin_queued: false,
            fin_sent: false,
            fin_acked: false,
            ts_ok: false,
            wscale_ok: false,
            ecn: Ecn::empty(),
            sack_ok: false,
            snd_wscale: 0,
            rcv_wscale: 0,
            rcv_ratio: DEFAULT_RATIO,
            hold: false,
            push_now: false,
            no_space: false,
            cwnd_limited: false,
            error: None,
            soft_error: None,
            out: Out::empty(),
            events: EventKind::empty(),
            tuple,
            snd_una: zero,
            snd_nxt: zero,
            snd_max: zero,
            snd_wnd: 0,
            snd_wl1: zero,
            snd_up: zero,
            snd_sml: zero,
            max_window: 0,
            mss: MSS_DEFAULT,
            mss_clamp: MSS_DEFAULT as u16,
            advmss: 0,
            path: Path {
                mtu: 0,
                max_payload: 0,
                tracked: false,
                confirmed: false,
            },
            queue: SendQueue::default(),
            rcv_nxt: zero,
            rcv_wup: zero,
            rcv_wnd: 0,
            rcv_ssthresh: 0,
            window_clamp: 0,
            rcv_mss: 0,
            received: 0,
            recv: StreamQueue::default(),
            reassembly: None,
            urgent: Urgent::default(),
            stamps: None,
            ack: AckState {
                scheduled: false,
                pushed: false,
                pushed2: false,
                pingpong: false,
                quick: 0,
                ato_us: 0,
                last_received: Instant::BOOT,
                unstamped: false,
            },
            tune: Tune::new(),
            ts_recent: 0,
            ts_offset: 0,
            ts_recent_at: Instant::BOOT,
            rtt: Rtt::new(opts.timing().rto_bounds()),
            timed: Timed::NONE,
            cc: Congestion::new(opts.congestion, MSS_DEFAULT),
            recovery: Recovery::new(zero),
            track: None,
            pace: None,
            deadlines: Deadlines::new(),
            retransmits: 0,
            backoff: 0,
            probes_out: 0,
            retrans_since: Instant::BOOT,
            last_sent: Instant::BOOT,
            last_ack_received: Instant::BOOT,
            last_invalid_answer: Instant::BOOT,
            counters: Counters::default(),
            opts,
            listener: None,
            fastopen: None,
        }
    }

    /// The earliest time at which [`on_timer`](Self::on_timer) has something to do.
    #[inline]
    pub(crate) fn deadline(&self) -> Instant {
        match &self.pace {
            Some(pace) if pace.waiting => self.deadlines.next().min(pace.next),
            _ => self.deadlines.next(),
        }
    }

    /// Sequence number after the last byte written, without the FIN.
    #[inline]
    pub(crate) fn write_seq(&self) -> SeqNum {
        // In the SYN states SND.UNA is the SYN itself, and nothing is queued.
        self.snd_una + self.queue.len()
    }

    /// Sequence space sent and not acknowledged.
    #[inline]
    pub(crate) fn outstanding(&self) -> u32 {
        (self.snd_max - self.snd_una).max(0) as u32
    }

    /// What SIOCOUTQ counts: `write_seq - snd_una` of Linux, whose numbers the SYN and the FIN are.
    pub(crate) fn unacknowledged(&self) -> u32 {
        match self.state {
            State::Close | State::Listen => self.opts.left().0,
            State::SynSent | State::SynRecv => self.outstanding(),
            _ => self.queue.len() as u32 + u32::from(self.fin_queued && !self.fin_acked),
        }
    }

    /// SIOCOUTQNSD: `write_seq - snd_nxt`.
    pub(crate) fn never_sent(&self) -> u32 {
        match self.state {
            State::Close | State::Listen => self.opts.left().1,
            State::SynSent | State::SynRecv => 0,
            _ => {
                let fin = u32::from(self.fin_queued && !self.fin_acked);
                (self.write_seq() + fin - self.snd_max).max(0) as u32
            }
        }
    }

    /// Bytes the application has not read, and the FIN not counted.
    #[inline]
    pub(crate) fn copied_seq(&self) -> SeqNum {
        self.rcv_nxt - self.recv.len() as u32 - u32::from(self.fin_received)
    }

    /// tcp_done: the connection is over, whatever the reason.
    pub(crate) fn done(&mut self) {
        if self.state != State::Close {
            let left = (self.unacknowledged(), self.never_sent());
            self.opts.set_left(left);
        }
        self.state = State::Close;
        self.rcv_shutdown = true;
        self.snd_shutdown = true;
        self.deadlines = Deadlines::new();
        self.pace = None;
        self.reassembly = None;
        self.track = None;
        self.out &= Out::RST;
        self.queue.clear();
        if let Some(stamps) = &mut self.stamps {
            stamps.records.clear();
        }
        self.ack.scheduled = false;
        self.events |= EventKind::HANGUP | EventKind::READABLE | EventKind::WRITABLE;
    }

    /// The connection failed: the error stays until it is taken.
    pub(crate) fn fail(&mut self, error: TcpError) {
        self.error = Some(error);
        self.events |= EventKind::ERROR;
        self.done();
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Socket;

    #[test]
    fn an_idle_connection_is_small() {
        // 2 KiB for a whole socket, the layers above included.
        let size = core::mem::size_of::<Socket>();
        assert!(size <= 832, "{size}");
    }
}
