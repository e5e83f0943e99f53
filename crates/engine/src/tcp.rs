//! TCP: the module that fills this in is being written; these are its hooks into the stack.

use switchboard_wire::{IcmpMessage, IpHeader, TcpSegment};

use crate::event::TcpId;
use crate::hash::{KeyedState, Random};
use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::time::Instant;

#[derive(Debug)]
pub(crate) struct TcpTable;

impl TcpTable {
    pub(crate) fn new(_hash: KeyedState, _random: &mut Random) -> TcpTable {
        TcpTable
    }
}

impl Stack {
    /// A segment came in for one of the host's unicast addresses.
    pub(crate) fn tcp_input(&mut self, _: Instant, _: IfIndex, _: IpHeader, _: TcpSegment) {}

    /// An ICMP error came in that quotes a TCP segment.
    pub(crate) fn tcp_icmp_error(&mut self, _: Instant, _: IfIndex, _: &IcmpMessage) {}

    /// A timer made with this token is due. `Timers` disarmed it.
    pub(crate) fn tcp_timer(&mut self, _: Instant, _: TcpId) {}
}
