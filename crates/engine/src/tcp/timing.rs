//! Settings of a socket's clocks that few sockets change: TCP_RTO_MIN_US and kin, thin streams, TCP_TX_DELAY.

use core::time::Duration;

use super::rtt::RtoBounds;
use super::timers::DELACK_MAX;

/// Streams with fewer segments in flight are thin (tcp_stream_is_thin).
pub(crate) const THIN_SEGMENTS: u32 = 4;
/// Timeouts of a thin stream that do not double (TCP_THIN_LINEAR_RETRIES).
pub(crate) const THIN_LINEAR_RETRIES: u8 = 6;

/// As set; `None` is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) rto_min: Option<Duration>,
    pub(crate) rto_max: Option<Duration>,
    pub(crate) delack_max: Option<Duration>,
    /// TCP_THIN_LINEAR_TIMEOUTS.
    pub(crate) thin_linear: bool,
    /// TCP_TX_DELAY, microseconds: for a packet scheduler, of which there is none.
    pub(crate) tx_delay: u32,
}

impl Timing {
    pub(crate) fn rto_bounds(&self) -> RtoBounds {
        let default = RtoBounds::default();
        let us = |time: Duration| time.as_micros() as u32;
        RtoBounds {
            min_us: self.rto_min.map_or(default.min_us, us),
            max_us: self.rto_max.map_or(default.max_us, us),
        }
    }

    pub(crate) fn delack_max(&self) -> Duration {
        self.delack_max.unwrap_or(DELACK_MAX)
    }
}
