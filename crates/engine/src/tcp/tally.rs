//! What TCP counts for /proc/net/netstat: seen from outside, by what a segment, a timer or a call has changed.

use core::time::Duration;

use switchboard_wire::{SeqNum, TcpFlags, TcpSegment};

use super::connection::{Connection, Out};
use super::state::State;
use super::timers::Purpose;
use crate::counters::Counters;
use crate::time::Instant;

/// A wait that is shorter than this is counted apart (inet_twsk_schedule: 4 * HZ).
const LONG_WAIT: Duration = Duration::from_secs(4);

/// A segment that comes in, and what was before it.
pub(super) struct Arriving {
    before: State,
    rcv_nxt: SeqNum,
    end: SeqNum,
    flags: TcpFlags,
    /// It has numbers of its own.
    long: bool,
}

impl Arriving {
    #[inline]
    pub(super) fn new(conn: &Connection, segment: &TcpSegment) -> Arriving {
        let len = segment.seq_len();
        Arriving {
            before: conn.state,
            rcv_nxt: conn.rcv_nxt,
            end: segment.seq + len,
            flags: segment.flags,
            long: len > 0,
        }
    }

    #[inline]
    pub(super) fn count(self, now: Instant, conn: &Connection, reset: bool, to: &mut Counters) {
        to.tcp_ended(self.before, conn.state);
        let syn_or_rst = self.flags.intersects(TcpFlags::SYN | TcpFlags::RST);
        if syn_or_rst || !self.before.is_synchronized() && self.before != State::SynRecv {
            return;
        }
        if !self.long {
            // There is no header prediction here, whose acknowledgments Linux counts as TCPHPAcks.
            to.tcp_pure_acks += u64::from(conn.last_ack_received == now);
        } else if self.end.leq(self.rcv_nxt) {
            to.tcp_delayed_ack_lost += 1;
        }
        let closing = matches!(self.before, State::FinWait1 | State::FinWait2);
        to.tcp_abort_on_data += u64::from(reset && closing && conn.state == State::Close);
    }
}

/// What is due when a timer fires.
pub(super) struct Due {
    before: State,
    retransmits: u8,
    delayed_ack: bool,
    retransmit: Option<Purpose>,
    keep: bool,
}

impl Due {
    pub(super) fn new(now: Instant, conn: &Connection) -> Due {
        let deadlines = &conn.deadlines;
        Due {
            before: conn.state,
            retransmits: conn.retransmits,
            delayed_ack: deadlines.delayed_ack <= now && conn.ack.scheduled,
            retransmit: (deadlines.retransmit <= now).then_some(deadlines.purpose),
            keep: deadlines.keep <= now,
        }
    }

    pub(super) fn count(self, conn: &Connection, to: &mut Counters) {
        to.tcp_ended(self.before, conn.state);
        if self.before == State::Close {
            return;
        }
        let over = conn.state == State::Close;
        let has = |what: Out| u64::from(conn.out.contains(what));
        to.tcp_delayed_acks += u64::from(self.delayed_ack);
        to.tcp_abort_on_timeout += u64::from(over);
        match self.retransmit {
            Some(Purpose::Retransmit) => {
                to.tcp_timeouts += u64::from(over || conn.retransmits > self.retransmits);
            }
            Some(Purpose::LossProbe) => to.tcp_loss_probes += has(Out::LOSS_PROBE),
            Some(Purpose::Probe) => to.tcp_win_probe += has(Out::PROBE),
            Some(Purpose::Reorder) | None if self.keep => to.tcp_keep_alive += has(Out::PROBE),
            Some(Purpose::Reorder) | None => {}
        }
    }
}

impl Counters {
    /// A segment leaves, of which so many are sent again; the window was `before`.
    #[inline]
    pub(super) fn tcp_leaves(
        &mut self,
        conn: &Connection,
        segment: &TcpSegment,
        again: u32,
        before: u32,
    ) {
        let flags = segment.flags;
        self.tcp_out_segs += u64::from(segment.segments());
        self.tcp_retrans_segs += u64::from(again);
        self.tcp_out_rsts += u64::from(flags.contains(TcpFlags::RST));
        if flags.contains(TcpFlags::SYN) {
            self.tcp_syn_retrans += u64::from(again);
        } else if again == 0 && (!segment.payload.is_empty() || flags.contains(TcpFlags::FIN)) {
            self.tcp_orig_data_sent += u64::from(segment.segments());
        }
        if conn.rcv_wnd != before && conn.state.is_synchronized() {
            self.tcp_to_zero_window_adv += u64::from(conn.rcv_wnd == 0);
            self.tcp_from_zero_window_adv += u64::from(before == 0);
        }
    }

    /// The program ends a connection by a call (tcp_set_state, which knows of no attempts).
    pub(super) fn tcp_aborted(&mut self, before: State, after: State) {
        let was = matches!(before, State::Established | State::CloseWait);
        self.tcp_estab_resets += u64::from(was && after == State::Close);
    }

    /// inet_twsk_schedule.
    pub(super) fn tcp_waits(&mut self, wait: Duration) {
        if wait > LONG_WAIT {
            self.tcp_time_waited += 1;
        } else {
            self.tcp_time_wait_killed += 1;
        }
    }
}
