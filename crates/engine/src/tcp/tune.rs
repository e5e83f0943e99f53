//! Receive buffer autotuning: the round trip as the receiver sees it, and a buffer for what is read in one.
//!
//! Where the reader keeps up, its buffer grows until it does not hold the sender up (tcp_moderate_rcvbuf). All of it is as in
//! Linux 6.18, on whose sockets SO_RCVBUF, tcpi_rcv_rtt and tcpi_rcv_space show it.

use core::time::Duration;

use switchboard_wire::SeqNum;

use super::connection::{Connection, Cx};
use crate::time::Instant;

/// Receive buffer autotuning (Linux's rcv_rtt_est and rcvq_space). Times are microseconds that wrap after 71 minutes; what
/// takes longer is no measure of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tune {
    /// When the window was offered that is measured; 0 before the first data.
    at: u32,
    /// Where it ends.
    end: SeqNum,
    /// Round trip, in eighths of microseconds; 0 before the first sample.
    rtt: u32,
    /// Echoed timestamp of the last sample.
    last_echo: u32,
    /// Bytes the application took in the best round trip.
    pub(crate) space: u32,
    /// Bytes it took in this one.
    taken: u32,
    /// When that began.
    since: u32,
}

impl Tune {
    pub(crate) const fn new() -> Tune {
        Tune {
            at: 0,
            end: SeqNum(0),
            rtt: 0,
            last_echo: 0,
            space: 0,
            taken: 0,
            since: 0,
        }
    }

    /// The first round begins.
    pub(crate) fn begin(&mut self, now: Instant, space: u32) {
        self.space = space;
        self.taken = 0;
        self.since = now.as_micros() as u32;
    }

    /// Round trip, in microseconds (tcpi_rcv_rtt).
    pub(crate) fn rtt_us(&self) -> u32 {
        self.rtt >> 3
    }

    /// tcp_rcv_rtt_update: `smooth` is what to do with a sample that is not the least so far.
    #[inline]
    fn sample(&mut self, us: u32, smooth: bool) {
        let eighths = us.saturating_mul(8);
        if self.rtt == 0 || eighths < self.rtt {
            self.rtt = eighths;
        } else if smooth {
            self.rtt = (self.rtt - (self.rtt >> 3)).saturating_add(us);
        }
    }
}

impl Connection {
    /// tcp_rcv_rtt_measure: a window's worth has come since it was offered, so a round trip has passed at least.
    #[inline]
    pub(crate) fn measure_window(&mut self, now: Instant) {
        let at = (now.as_micros() as u32).max(1);
        if self.tune.at != 0 {
            if self.rcv_nxt.lt(self.tune.end) {
                return;
            }
            let us = at.wrapping_sub(self.tune.at);
            // Within one call no time passes: that is no measure. And idle for so long, the times may have wrapped.
            let idle = now.saturating_sub(self.ack.last_received);
            if us > 0 && idle < Duration::from_secs(2048) {
                self.tune.sample(us, false);
            }
        }
        self.tune.at = at;
        self.tune.end = self.rcv_nxt + self.rcv_wnd;
    }

    /// tcp_rcv_rtt_measure_ts: full segments say by the timestamp they echo how long ago we sent what they answer. The
    /// clock's milliseconds cannot tell of less than one.
    #[inline]
    pub(crate) fn measure_echo(&mut self, now: Instant, echo: u32, len: u32) {
        if echo == self.tune.last_echo {
            return;
        }
        self.tune.last_echo = echo;
        let ms = self.ts_now(now).wrapping_sub(echo);
        if len >= self.rcv_mss && ms > 0 && ms < (i32::MAX / 1000) as u32 {
            // What waits to be read waited for the reader, not for the path.
            self.tune.sample(ms * 1000, self.recv.is_empty());
        }
    }

    /// Dynamic right-sizing (tcp_rcv_space_adjust): the application takes `n` bytes, which are still there. Linux looks after
    /// each packet that it copies, and a round trip ends at the first.
    #[inline]
    pub(crate) fn adjust_space(&mut self, cx: Cx<'_>, n: u32) {
        let first = n.min(self.recv.front().len() as u32);
        let taken = self.tune.taken.saturating_add(first);
        let now = cx.now.as_micros() as u32;
        if self.tune.rtt == 0 || now.wrapping_sub(self.tune.since) < self.tune.rtt_us() {
            self.tune.taken = self.tune.taken.saturating_add(n);
            return;
        }
        self.tune.taken = n - first;
        self.tune.since = now;
        // What is left has not been kept up with.
        let taken = taken.saturating_sub(self.recv.len() as u32 - first);
        if taken > self.tune.space {
            self.grow_buffer(cx, taken);
        }
    }

    /// tcp_rcvbuf_grow: room for what the application takes in a round trip, and for a sender that doubles its rate.
    pub(crate) fn grow_buffer(&mut self, cx: Cx<'_>, space: u32) {
        let before = core::mem::replace(&mut self.tune.space, space);
        if !cx.sysctl.tcp_moderate_rcvbuf || self.opts.recv_buffer_locked {
            return;
        }
        // The measure is one round trip late.
        let mut window = u128::from(space) * 2;
        window += 2 * (window * u128::from(space - before) / u128::from(before.max(1)));
        let held = self.reassembly.as_ref().and_then(|held| held.end());
        window += u128::from(held.map_or(0, |end| end.saturating_sub(self.received)));
        let buffer = (window << 8) / u128::from(self.rcv_ratio.max(1));
        let buffer = buffer.min(u128::from(cx.sysctl.tcp_rmem[2])) as u32;
        if buffer > self.opts.recv_buffer {
            self.opts.recv_buffer = buffer;
            self.window_clamp = self.full_space();
        }
    }
}
