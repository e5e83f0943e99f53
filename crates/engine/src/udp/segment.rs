//! Batches of datagrams in one packet: UDP_SEGMENT on the way out, UDP_GRO on the way in.
//!
//! # Theory of operation
//! A batch stays one packet as long as it stays on the host (Linux's GSO packet over `lo`): it is cut where it leaves by
//! another interface, where it is larger than a packet on `lo` may be, and where the receiver does not take batches.

use core::net::SocketAddr;

use switchboard_wire::{IpHeader, UdpDatagram};

use crate::iface::IfIndex;
use crate::stack::{Cast, Stack};
use crate::tag::Tag;
use crate::time::Instant;

/// Linux's gso_max_size of `lo`, which counts the link header of 14 bytes.
const GSO_MAX: usize = 65_536;
const LINK_HEADER: usize = 14;

/// Whether a batch of this length travels as one.
pub(super) fn stays_whole(interface: IfIndex, ip: &IpHeader, payload: usize) -> bool {
    let len = LINK_HEADER + ip.header_len() + UdpDatagram::HEADER_LEN + payload;
    interface == IfIndex::LO && len < GSO_MAX
}

/// The datagrams of a batch.
pub(super) fn cut(batch: UdpDatagram) -> impl Iterator<Item = UdpDatagram> {
    let size = usize::from(batch.segment).max(1);
    let len = batch.payload.len();
    (0..len).step_by(size).map(move |at| UdpDatagram {
        segment: 0,
        payload: batch.payload.slice(at..(at + size).min(len)),
        ..batch
    })
}

impl Stack {
    /// Takes a batch apart unless its receiver takes it as one, or nobody does (udp_queue_rcv_skb). `None`: done.
    pub(super) fn udp_uncoalesced(
        &mut self,
        now: Instant,
        interface: IfIndex,
        cast: Cast,
        tag: Tag,
        ip: IpHeader,
        batch: UdpDatagram,
    ) -> Option<UdpDatagram> {
        let from = SocketAddr::new(ip.src, batch.src_port);
        let to = SocketAddr::new(ip.dst, batch.dst_port);
        let whole = cast == Cast::Unicast
            && match self
                .udp
                .lookup(batch.lite.is_some(), interface, from, to, None)
            {
                Some(id) => self.udp.get(id).is_some_and(|s| s.gro),
                None => true,
            };
        if whole {
            return Some(batch);
        }
        for datagram in cut(batch) {
            self.udp_input(now, interface, cast, tag, ip, datagram);
        }
        None
    }
}
