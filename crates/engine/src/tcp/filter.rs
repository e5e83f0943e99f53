//! Filters of TCP sockets and of their SO_REUSEPORT groups.

use alloc::boxed::Box;
use alloc::sync::Arc;

use switchboard_wire::{IpHeader, Payload, TcpSegment};

use super::connection::FourTuple;
use super::state::State;
use crate::event::TcpId;
use crate::filter::{
    self, Ask, Filters, GroupError, GroupFilter, Inspected, PacketType, SocketFilter, Transport,
};
use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::tag::Tag;
use crate::time::Instant;

/// What the child of a listener has: the socket's filter, and no group's (sk_clone).
pub(super) fn inherited(listener: &Option<Box<Filters>>) -> Option<Box<Filters>> {
    let socket = Filters::socket_of(listener)?;
    Some(Box::new(Filters {
        socket: Some(socket),
        group: None,
    }))
}

impl Stack {
    /// `setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, ...)`, and without a filter SO_DETACH_FILTER.
    pub fn tcp_set_filter(&mut self, id: TcpId, filter: Option<Arc<dyn SocketFilter>>) {
        Filters::change(&mut self.tcp.open_mut(id).filters, |f| f.socket = filter);
    }

    /// Whether the socket listens, and is in a SO_REUSEPORT group.
    pub fn tcp_is_grouped(&self, id: TcpId) -> bool {
        !self.tcp.group(id).is_empty() && self.tcp.open(id).conn.state == State::Listen
    }

    /// `setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ...)` (reuseport_attach_prog), and without a filter
    /// SO_DETACH_REUSEPORT_BPF (reuseport_detach_prog): for every listener of the socket's group. A socket that does not
    /// listen yet brings its own to the group that it founds.
    pub fn tcp_set_group_filter(
        &mut self,
        id: TcpId,
        group: Option<Arc<dyn GroupFilter>>,
    ) -> Result<(), GroupError> {
        let socket = self.tcp.open(id);
        let had = Filters::group_of(&socket.filters).is_some();
        // A connection is in the tables, and in no group.
        let eligible = socket.reuse_port && !socket.hashed;
        if group.is_none() && !had {
            return Err(if socket.reuse_port {
                GroupError::NoFilter
            } else {
                GroupError::NoGroup
            });
        }
        if group.is_some() && !eligible {
            return Err(GroupError::NoGroup);
        }
        let mut members = self.tcp.group(id);
        if members.is_empty() || self.tcp.open(id).conn.state != State::Listen {
            members = [id].into_iter().collect();
        }
        for member in members {
            let filters = &mut self.tcp.open_mut(member).filters;
            Filters::change(filters, |f| f.group = group.clone());
        }
        Ok(())
    }

    /// reuseport_add_sock: a listener that joins a group has the group's filter and no longer its own.
    pub(super) fn tcp_join_group(&mut self, id: TcpId) {
        let group = self.tcp.group(id);
        if group.is_empty() {
            return;
        }
        let other = group.into_iter().find(|member| *member != id);
        let theirs = |other| Some(self.tcp.get(other)?.conn.listener.as_ref()?.group);
        let number = other.and_then(theirs).unwrap_or_else(|| {
            self.tcp.last_group = self.tcp.last_group.wrapping_add(1).max(1);
            self.tcp.last_group
        });
        if let Some(listener) = &mut self.tcp.open_mut(id).conn.listener {
            listener.group = number;
        }
        let Some(other) = other else {
            return;
        };
        let theirs = Filters::group_of(&self.tcp.open(other).filters);
        Filters::change(&mut self.tcp.open_mut(id).filters, |f| f.group = theirs);
    }

    /// The listener for a segment, which the filter of a group may have chosen.
    pub(super) fn tcp_receiving_listener(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        tuple: &FourTuple,
        segment: &TcpSegment,
    ) -> Option<TcpId> {
        let Stack { tcp, random, .. } = self;
        let mut choose = |filter: &dyn GroupFilter, members: &[_], hash, socket| {
            let packet = Inspected {
                now,
                seed: filter::seed(random),
                interface,
                packet_type: PacketType::Host,
                hash: tcp.flow_hash(tuple),
                tag: Tag::default(),
                from_network: false,
                ip,
                transport: Transport::Tcp(segment),
            };
            filter.choose(&Ask::about(&packet, members, hash, socket))
        };
        tcp.find_listener(tuple, interface, Some(&mut choose))
    }

    /// What of a segment's data a socket gets; `None`: it gets nothing, and the segment is lost (tcp_filter). What is cut
    /// off has not come: it is sent again.
    #[cold]
    pub(super) fn tcp_filtered(
        &mut self,
        now: Instant,
        id: TcpId,
        interface: IfIndex,
        ip: &IpHeader,
        segment: &TcpSegment,
    ) -> Option<Payload> {
        let socket = self.tcp.get(id)?;
        let Some(filter) = Filters::socket_of(&socket.filters) else {
            return Some(segment.payload.clone());
        };
        let tuple = FourTuple {
            local: ip.dst,
            remote: ip.src,
            local_port: segment.dst_port,
            remote_port: segment.src_port,
        };
        let packet = Inspected {
            now,
            seed: filter::seed(&mut self.random),
            interface,
            packet_type: PacketType::Host,
            hash: self.tcp.flow_hash(&tuple),
            tag: Tag::default(),
            from_network: false,
            ip,
            transport: Transport::Tcp(segment),
        };
        let verdict = filter.verdict(&packet) as usize;
        if verdict == 0 {
            return None;
        }
        let kept = verdict.saturating_sub(segment.header_len());
        Some(segment.payload.slice(..kept.min(segment.payload.len())))
    }
}
