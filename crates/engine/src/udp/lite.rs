//! UDP-Lite (RFC 3828): UDP whose checksum may cover less than the datagram, with ports of its own.
//!
//! # Theory of operation
//! A UDP-Lite socket is a UDP socket in another port space. Its datagrams carry how much of them is covered; on `lo` that
//! is a number to compare, elsewhere the checksum is made and looked at by `wire`.

use alloc::boxed::Box;
use core::net::SocketAddr;

use switchboard_wire::UdpDatagram;

use super::demux::Choose;
use super::{Role, Space, UdpSocket, UdpTable};
use crate::event::UdpId;
use crate::iface::IfIndex;
use crate::ports::Family;
use crate::stack::Stack;

/// How much of a datagram is covered, as the options say it; `None`: they were not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    send: Option<u16>,
    receive: Option<u16>,
}

impl Coverage {
    /// What the header of a datagram of `len` bytes says (udplite_csum).
    pub(super) fn of(&self, len: usize) -> u16 {
        let len = u16::try_from(len).unwrap_or(0);
        self.send.map_or(len, |chosen| chosen.min(len))
    }

    /// udp_queue_rcv_one_skb: whether enough of the datagram is covered.
    pub(super) fn takes(&self, covered: Option<u16>) -> bool {
        match (self.receive, covered) {
            (Some(0), Some(_)) => false,
            (Some(least), Some(covered)) => covered >= least,
            _ => true,
        }
    }
}

impl UdpSocket {
    /// A socket of UDP or UDP-Lite.
    #[inline]
    pub(super) fn has_port(&self) -> bool {
        matches!(self.role, Role::Udp | Role::Lite(_))
    }

    #[inline]
    pub(super) fn is_lite(&self) -> bool {
        matches!(self.role, Role::Lite(_))
    }
}

impl UdpTable {
    /// Where a socket of UDP-Lite, or else of UDP, stands.
    #[inline]
    pub(super) fn space(&self, lite: bool) -> Option<&Space> {
        if lite {
            self.lite.as_deref()
        } else {
            Some(&self.udp)
        }
    }

    /// [`space`](Self::space) of a socket that is there.
    #[inline]
    pub(super) fn space_mut(&mut self, lite: bool) -> &mut Space {
        match &mut self.lite {
            Some(space) if lite => space,
            _ => &mut self.udp,
        }
    }

    /// The socket for a datagram to one host. `choose` asks the filter of a group.
    #[inline]
    pub(super) fn lookup(
        &self,
        lite: bool,
        interface: IfIndex,
        remote: SocketAddr,
        local: SocketAddr,
        choose: Choose<'_>,
    ) -> Option<UdpId> {
        let space = self.space(lite)?;
        space.demux.lookup(interface, remote, local, choose)
    }
}

/// All of these panic when `id` names a socket that was closed.
impl Stack {
    /// `socket(domain, SOCK_DGRAM, IPPROTO_UDPLITE)`: a new socket, not bound.
    pub fn udplite_open(&mut self, family: Family) -> UdpId {
        if self.udp.lite.is_none() {
            let hash = self.udp.hash;
            self.udp.lite = Some(Box::new(Space::new(hash, &mut self.random)));
        }
        let id = self.udp_open(family);
        self.udp.open_mut(id).role = Role::Lite(Coverage::default());
        id
    }

    /// UDPLITE_SEND_CSCOV and UDPLITE_RECV_CSCOV; 0 while they are not set, and of another socket.
    pub fn udplite_coverage(&self, id: UdpId) -> (u16, u16) {
        match self.udp.open(id).role {
            Role::Lite(Coverage { send, receive }) => (send.unwrap_or(0), receive.unwrap_or(0)),
            _ => (0, 0),
        }
    }

    /// `setsockopt(fd, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, ...)`: what of a datagram is covered, 0 for all. Says whether
    /// it is a UDP-Lite socket.
    pub fn udplite_cover_sent(&mut self, id: UdpId, bytes: u16) -> bool {
        match &mut self.udp.open_mut(id).role {
            Role::Lite(coverage) => coverage.send = Some(bytes),
            _ => return false,
        }
        true
    }

    /// `setsockopt(fd, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, ...)`: what of a datagram has to be covered, 0 for all. Says
    /// whether it is a UDP-Lite socket.
    pub fn udplite_want_covered(&mut self, id: UdpId, bytes: u16) -> bool {
        match &mut self.udp.open_mut(id).role {
            Role::Lite(coverage) => coverage.receive = Some(bytes),
            _ => return false,
        }
        true
    }

    /// Whether the socket takes the datagram, as far as UDP-Lite has a say. A drop is counted.
    pub(super) fn udp_is_covered(&mut self, id: UdpId, datagram: &UdpDatagram, v6: bool) -> bool {
        let Some(UdpSocket {
            role: Role::Lite(coverage),
            ..
        }) = self.udp.get(id)
        else {
            return true;
        };
        let takes = coverage.takes(datagram.partly_covered());
        if !takes {
            self.counters.lite[usize::from(v6)].in_errors += 1;
            self.udp_count_drop(id);
        }
        takes
    }
}
