//! ICMP errors for sockets that want to see them whole (IP_RECVERR).
//!
//! What is not asked for becomes at most a pending error; what is asked for leaves the engine as a report, in the order
//! of arrival. The layer above takes the reports after each call, so that few wait at a time; beyond [`MAX_REPORTS`]
//! they are dropped, as a datagram would be.

use core::net::IpAddr;

use switchboard_wire::{IcmpMessage, IpHeader};

use crate::event::SocketHandle;
use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::time::Instant;

/// How many reports wait at most.
const MAX_REPORTS: usize = 1024;

/// An ICMP error about a packet that a socket sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpReport {
    /// Whose packet it was.
    pub socket: SocketHandle,
    /// The IP header that the error came with: its source is who found fault.
    pub ip: IpHeader,
    /// The interface it came in by.
    pub interface: IfIndex,
    /// When.
    pub at: Instant,
    /// The error.
    pub message: IcmpMessage,
}

impl IcmpReport {
    /// The host that sent the error.
    pub fn offender(&self) -> IpAddr {
        self.ip.src
    }
}

impl Stack {
    /// The next ICMP error for a socket that asked for them.
    pub fn poll_report(&mut self) -> Option<IcmpReport> {
        self.reports.pop_front()
    }

    pub(crate) fn report_icmp(&mut self, report: IcmpReport) {
        if self.reports.len() < MAX_REPORTS {
            self.reports.push_back(report);
        }
    }
}
