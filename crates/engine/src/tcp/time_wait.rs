//! TIME_WAIT, and FIN_WAIT2 of orphans: a small entry answers for a connection that is gone (tcp_minisocks.c).

use alloc::boxed::Box;

use switchboard_wire::{Payload, SeqNum, TcpFlags, TcpOptions, TcpSegment, Timestamps};

use super::connection::FourTuple;
use super::input::always_answered;
use super::md5::Key;
use super::timers::TIME_WAIT_LEN;
use crate::config::Sysctl;
use crate::ports::BindKey;
use crate::route::RouteInfo;
use crate::time::Instant;

#[derive(Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: FourTuple,
    pub(crate) route: RouteInfo,
    /// The port it keeps taken.
    pub(crate) bind: Option<BindKey>,
    /// The orphan waits for the peer's FIN.
    pub(crate) fin_wait2: bool,
    pub(crate) snd_nxt: SeqNum,
    pub(crate) rcv_nxt: SeqNum,
    pub(crate) rcv_wnd: u32,
    pub(crate) rcv_wscale: u8,
    pub(crate) ts_recent: Option<u32>,
    pub(crate) ts_offset: u32,
    pub(crate) ts_recent_at: Instant,
    pub(crate) last_answer: Instant,
    /// When the entry was made (tw_entry_stamp).
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    /// TCP_MD5SIG's key for the peer.
    pub(crate) md5: Option<Box<Key>>,
    pub(crate) tos: u8,
    pub(crate) ttl: Option<u8>,
}

/// What a segment does to the entry (enum tcp_tw_status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeWaitVerdict {
    Drop,
    Acknowledge,
    /// Answer with RST, and the entry is over.
    Reset,
    /// The entry is over.
    Kill,
    /// A new connection begins with this SYN; its initial number must be beyond the old one.
    Reopen(SeqNum),
}

impl TimeWait {
    /// tcp_timewait_state_process.
    pub(crate) fn on_segment(
        &mut self,
        now: Instant,
        sysctl: &Sysctl,
        segment: &TcpSegment,
    ) -> TimeWaitVerdict {
        let flags = segment.flags;
        let rst = flags.contains(TcpFlags::RST);
        let end = segment.seq + segment.seq_len();
        let ts = segment.options.timestamps;
        let old = match (self.ts_recent, ts) {
            (Some(recent), Some(ts)) => recent != 0 && recent.wrapping_sub(ts.value) as i32 > 0,
            _ => false,
        };
        if self.fin_wait2 {
            let in_window = segment.seq == self.rcv_nxt
                || (end.gt(self.rcv_nxt) && segment.seq.lt(self.rcv_nxt + self.rcv_wnd));
            if old || !in_window {
                return if rst {
                    TimeWaitVerdict::Drop
                } else {
                    self.answer(now, sysctl, segment)
                };
            }
            if rst {
                return TimeWaitVerdict::Kill;
            }
            if flags.contains(TcpFlags::SYN) && segment.seq.geq(self.rcv_nxt) {
                return TimeWaitVerdict::Reset;
            }
            if !flags.contains(TcpFlags::ACK) || end.leq(self.rcv_nxt) || end == segment.seq {
                return TimeWaitVerdict::Drop;
            }
            // RFC 2525, 2.17: nobody will read this data.
            if !flags.contains(TcpFlags::FIN) || end != self.rcv_nxt + 1u32 {
                return TimeWaitVerdict::Reset;
            }
            self.fin_wait2 = false;
            self.rcv_nxt = end;
            self.note_timestamp(now, segment);
            self.deadline = now + TIME_WAIT_LEN;
            return TimeWaitVerdict::Acknowledge;
        }
        if !old && segment.seq == self.rcv_nxt && (end == segment.seq || rst) {
            if rst {
                // RFC 1337: this "assassination" is possible, and Linux allows it by default.
                if !sysctl.tcp_rfc1337 {
                    return TimeWaitVerdict::Kill;
                }
            } else {
                self.deadline = now + TIME_WAIT_LEN;
            }
            self.note_timestamp(now, segment);
            return TimeWaitVerdict::Drop;
        }
        // RFC 9293, 3.10.7.4 (and RFC 6191): a SYN that cannot be an old duplicate opens a new connection.
        let newer_ts = match (self.ts_recent, ts) {
            (Some(recent), Some(ts)) => (ts.value.wrapping_sub(recent) as i32) > 0,
            _ => false,
        };
        if flags.contains(TcpFlags::SYN)
            && !rst
            && !flags.contains(TcpFlags::ACK)
            && !old
            && (segment.seq.gt(self.rcv_nxt) || newer_ts)
        {
            return TimeWaitVerdict::Reopen(self.next_isn());
        }
        if rst {
            return TimeWaitVerdict::Drop;
        }
        // "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and
        // restart the 2 MSL timeout."
        if old || flags.contains(TcpFlags::ACK) {
            self.deadline = now + TIME_WAIT_LEN;
        }
        self.answer(now, sysctl, segment)
    }

    /// An initial number that no segment of the old connection can be mistaken for.
    pub(crate) fn next_isn(&self) -> SeqNum {
        self.snd_nxt + (65_535u32 + 2)
    }

    /// Whether connect(2) may take the four-tuple over (tcp_twsk_unique): timestamps tell the incarnations apart.
    /// Who is bound to the port has chosen it.
    pub(crate) fn may_be_reused(&self, now: Instant, sysctl: &Sysctl, bound: bool) -> bool {
        if bound {
            return self.ts_recent.is_some();
        }
        let allowed = match sysctl.tcp_tw_reuse {
            0 => false,
            1 => true,
            _ => self.tuple.local.is_loopback() || self.tuple.remote.is_loopback(),
        };
        allowed
            && !self.fin_wait2
            && self.ts_recent.is_some()
            && now.saturating_sub(self.since) > sysctl.tcp_tw_reuse_delay
    }

    fn note_timestamp(&mut self, now: Instant, segment: &TcpSegment) {
        if let (Some(recent), Some(ts)) = (&mut self.ts_recent, segment.options.timestamps) {
            *recent = ts.value;
            self.ts_recent_at = now;
        }
    }

    /// RFC 5961, 7.
    fn answer(&mut self, now: Instant, sysctl: &Sysctl, segment: &TcpSegment) -> TimeWaitVerdict {
        if always_answered(segment) {
            return TimeWaitVerdict::Acknowledge;
        }
        let since = now.saturating_sub(self.last_answer);
        if self.last_answer != Instant::BOOT && since < sysctl.tcp_invalid_ratelimit {
            return TimeWaitVerdict::Drop;
        }
        self.last_answer = now;
        TimeWaitVerdict::Acknowledge
    }

    /// The acknowledgment the entry sends.
    pub(crate) fn ack(&self, now: Instant) -> TcpSegment {
        TcpSegment {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: TcpFlags::ACK,
            window: (self.rcv_wnd >> self.rcv_wscale).min(0xffff) as u16,
            urgent: 0,
            options: TcpOptions {
                timestamps: self.ts_recent.map(|echo| Timestamps {
                    value: (now.as_millis() as u32).wrapping_add(self.ts_offset),
                    echo,
                }),
                ..TcpOptions::default()
            },
            payload: Payload::new(),
            gso: 0,
        }
    }
}
