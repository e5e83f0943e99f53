//! Filters of UDP sockets and of their SO_REUSEPORT groups.

use alloc::sync::Arc;
use core::net::SocketAddr;

use bytes::Bytes;
use switchboard_wire::{IpHeader, Payload, UdpDatagram};

use super::UdpSocket;
use crate::event::UdpId;
use crate::filter::{
    self, Ask, Choice, Described, Filters, GroupError, GroupFilter, Inspected, PacketType,
    SocketFilter, Transport,
};
use crate::iface::IfIndex;
use crate::ports::Family;
use crate::stack::{Cast, Stack};
use crate::tag::Tag;
use crate::time::Instant;

impl UdpSocket {
    /// As a program sees it.
    fn described(&self) -> Described {
        // TCP_ESTABLISHED and TCP_CLOSE, which UDP has too.
        const CONNECTED: u8 = 1;
        const UNCONNECTED: u8 = 7;
        Described {
            name: None,
            device: self.attributes.device,
            v6: self.family == Family::V6,
            mark: self.attributes.mark,
            local: self.local,
            remote: (self.remote).unwrap_or_else(|| match self.family {
                Family::V4 => SocketAddr::from(([0; 4], 0)),
                Family::V6 => SocketAddr::from(([0u16; 8], 0)),
            }),
            state: match self.remote {
                Some(_) => CONNECTED,
                None => UNCONNECTED,
            },
        }
    }
}

impl Stack {
    /// `setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, ...)`, and without a filter SO_DETACH_FILTER.
    pub fn udp_set_filter(&mut self, id: UdpId, filter: Option<Arc<dyn SocketFilter>>) {
        Filters::change(&mut self.udp.open_mut(id).filters, |f| f.socket = filter);
    }

    /// Whether the socket is in a SO_REUSEPORT group.
    pub fn udp_is_grouped(&self, id: UdpId) -> bool {
        let socket = self.udp.open(id);
        socket.key.is_some() && socket.grouped
    }

    /// `setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ...)` (reuseport_attach_prog), and without a filter
    /// SO_DETACH_REUSEPORT_BPF (reuseport_detach_prog): for every member of the socket's group.
    pub fn udp_set_group_filter(
        &mut self,
        id: UdpId,
        group: Option<Arc<dyn GroupFilter>>,
    ) -> Result<(), GroupError> {
        let socket = self.udp.open(id);
        let grouped = socket.key.is_some() && socket.grouped;
        let will_be = socket.key.is_none() && socket.attributes.reuse_port;
        let had = Filters::group_of(&socket.filters).is_some();
        if group.is_none() && !had {
            return Err(if socket.attributes.reuse_port || grouped {
                GroupError::NoFilter
            } else {
                GroupError::NoGroup
            });
        }
        if group.is_some() && !grouped && !will_be {
            return Err(GroupError::NoGroup);
        }
        let registration = socket.registration(id);
        let lite = socket.is_lite();
        let members =
            registration.map(|registration| self.udp.space_mut(lite).demux.group(&registration));
        for member in members.unwrap_or_else(|| [id].into_iter().collect()) {
            self.udp_change_group(member, group.clone());
        }
        Ok(())
    }

    fn udp_change_group(&mut self, id: UdpId, group: Option<Arc<dyn GroupFilter>>) {
        Filters::change(&mut self.udp.open_mut(id).filters, |f| f.group = group);
        if let Some(registration) = self.udp.open(id).registration(id) {
            let lite = self.udp.open(id).is_lite();
            self.udp.space_mut(lite).demux.update(&registration);
        }
    }

    /// reuseport_add_sock: a socket that joins a group has the group's filter and no longer its own.
    pub(super) fn udp_join_group(&mut self, id: UdpId) {
        let Some(registration) = self.udp.open(id).registration(id) else {
            return;
        };
        let lite = self.udp.open(id).is_lite();
        let group = self.udp.space_mut(lite).demux.group(&registration);
        let Some(other) = group.into_iter().find(|member| *member != id) else {
            return;
        };
        let theirs = Filters::group_of(&self.udp.open(other).filters);
        if theirs.is_some() || Filters::group_of(&self.udp.open(id).filters).is_some() {
            self.udp_change_group(id, theirs);
        }
    }

    /// The socket for a datagram to one host, which the filter of a group may have chosen.
    #[allow(clippy::too_many_arguments)] // A datagram and where it goes.
    pub(super) fn udp_receiver(
        &mut self,
        now: Instant,
        interface: IfIndex,
        cast: Cast,
        tag: Tag,
        ip: &IpHeader,
        datagram: &UdpDatagram,
    ) -> Option<UdpId> {
        let from = SocketAddr::new(ip.src, datagram.src_port);
        let to = SocketAddr::new(ip.dst, datagram.dst_port);
        let packet_type = self.packet_type(cast, ip);
        let Stack { udp, random, .. } = self;
        let mut choose = |id: UdpId, members: &[_], hash| {
            let Some(socket) = udp.get(id) else {
                return Choice::Hash;
            };
            let Some(filter) = Filters::group_of(&socket.filters) else {
                return Choice::Hash;
            };
            let packet = Inspected {
                now,
                seed: filter::seed(random),
                interface,
                packet_type,
                hash: 0,
                tag,
                from_network: false,
                ip,
                transport: Transport::Udp(datagram),
            };
            filter.choose(&Ask::about(&packet, members, hash, socket.described()))
        };
        let lite = datagram.lite.is_some();
        udp.lookup(lite, interface, from, to, Some(&mut choose))
    }

    /// What of a datagram a socket gets; `None`: nothing, which is counted (udp_queue_rcv_one_skb).
    #[allow(clippy::too_many_arguments)] // A datagram and where it goes.
    pub(super) fn udp_filtered(
        &mut self,
        now: Instant,
        id: UdpId,
        interface: IfIndex,
        cast: Cast,
        tag: Tag,
        ip: &IpHeader,
        datagram: &UdpDatagram,
    ) -> Option<Payload> {
        let socket = self.udp.get(id)?;
        let Some(filter) = Filters::socket_of(&socket.filters) else {
            return Some(datagram.payload.clone());
        };
        let packet = Inspected {
            now,
            seed: filter::seed(&mut self.random),
            interface,
            packet_type: self.packet_type(cast, ip),
            hash: 0,
            tag,
            from_network: false,
            ip,
            transport: Transport::Udp(datagram),
        };
        let verdict = filter.verdict(&packet) as usize;
        if verdict == 0 {
            let lite = datagram.lite.is_some();
            self.count_udp_error(lite, ip.is_v6());
            self.udp_count_drop(id);
            return None;
        }
        // The header always stays.
        let kept = verdict.saturating_sub(UdpDatagram::HEADER_LEN);
        let len = datagram.payload.len();
        Some(datagram.payload.slice(..kept.min(len)))
    }

    /// What of a packet a raw or ping socket gets (sock_queue_rcv_skb). `bytes` begin with the IP header when
    /// `from_network` says so.
    #[allow(clippy::too_many_arguments)] // A packet and where it goes.
    pub(super) fn raw_filtered(
        &mut self,
        now: Instant,
        id: UdpId,
        interface: IfIndex,
        ip: &IpHeader,
        protocol: u8,
        bytes: &Bytes,
        from_network: bool,
    ) -> Option<Bytes> {
        let filters = &self.udp.get(id)?.filters;
        let Some(filter) = Filters::socket_of(filters) else {
            return Some(bytes.clone());
        };
        let header = match bytes.first() {
            Some(first) if from_network => usize::from(first & 15) * 4,
            _ => 0,
        };
        let payload = &bytes.slice(header.min(bytes.len())..);
        let packet = Inspected {
            now,
            seed: filter::seed(&mut self.random),
            interface,
            packet_type: PacketType::Host,
            hash: 0,
            tag: Tag::default(),
            from_network,
            ip,
            transport: Transport::Other { protocol, payload },
        };
        let verdict = filter.verdict(&packet) as usize;
        if verdict == 0 {
            self.udp_count_drop(id);
            return None;
        }
        Some(bytes.slice(..verdict.min(bytes.len())))
    }

    pub(super) fn udp_count_drop(&mut self, id: UdpId) {
        if let Some(socket) = self.udp.get_mut(id) {
            socket.queue.drops = socket.queue.drops.wrapping_add(1);
        }
    }

    /// skb->pkt_type.
    pub(crate) fn packet_type(&self, cast: Cast, ip: &IpHeader) -> PacketType {
        match cast {
            Cast::Unicast => PacketType::Host,
            _ if self.interfaces.owner(ip.src).is_some() => PacketType::Loopback,
            Cast::Broadcast => PacketType::Broadcast,
            Cast::Multicast => PacketType::Multicast,
        }
    }
}
