//! What a listener leaves behind: connections nobody accepted and requests go to another listener of its SO_REUSEPORT
//! group (reuseport_migrate_sock), where net.ipv4.tcp_migrate_req or the program of the group says so.

use alloc::boxed::Box;

use smallvec::SmallVec;
use switchboard_wire::{IpHeader, TcpSegment};

use super::connection::FourTuple;
use super::listen::Request;
use super::state::State;
use super::table::{Kind, NAMELESS, Socket, TcpTable};
use crate::event::{EventKind, SocketHandle, TcpId};
use crate::filter::{self, Ask, Choice, Described, Filters, Inspected, PacketType, Transport};
use crate::iface::IfIndex;
use crate::ports::Family;
use crate::stack::Stack;
use crate::tag::Tag;
use crate::time::Instant;

/// A listener that has ended, for what it leaves behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// Its group.
    group: u32,
    /// The listener, as it was.
    socket: Described,
}

impl Socket {
    /// As a program sees it.
    pub(super) fn described(&self) -> Described {
        Described {
            name: (self.name != NAMELESS).then_some(self.name),
            device: self.device,
            v6: self.conn.family == Family::V6,
            mark: self.mark,
            local: self.conn.tuple.local_addr(),
            remote: self.conn.tuple.remote_addr(),
            state: self.conn.state as u8,
        }
    }
}

impl Request {
    fn described(&self) -> Described {
        Described {
            name: None,
            device: self.device,
            v6: self.tuple.local.is_ipv6(),
            mark: 0,
            local: self.tuple.local_addr(),
            remote: self.tuple.remote_addr(),
            state: State::NewSynRecv as u8,
        }
    }
}

impl Stack {
    /// reuseport_stop_listen_sock: whether what a listener leaves may go to others of its group.
    pub(super) fn tcp_leaves_to(&self, id: TcpId) -> Option<Left> {
        let socket = self.tcp.get(id)?;
        let group = socket.conn.listener.as_ref()?.group;
        let program = Filters::group_of(&socket.filters);
        let moves = self.sysctl.tcp_migrate_req || program.is_some_and(|filter| filter.migrates());
        let described = Described {
            state: State::Close as u8,
            ..socket.described()
        };
        (group != 0 && moves).then_some(Left {
            group,
            socket: described,
        })
    }

    /// Its requests remember where they were: they move when something comes for them, or their timer runs.
    pub(super) fn tcp_requests_left(&mut self, listener: TcpId, left: Left) {
        for (_, entry) in self.tcp.entries.iter_mut() {
            if let Kind::Request(request) = &mut entry.kind
                && request.listener == listener
            {
                request.left = Some(Box::new(left));
            }
        }
    }

    /// inet_csk_listen_stop: whether a connection nobody accepted has gone to another listener.
    pub(super) fn tcp_child_moves(&mut self, now: Instant, left: &Left, child: TcpId) -> bool {
        let Some(socket) = self.tcp.get(child) else {
            return false;
        };
        let (migrating, tuple) = (socket.described(), socket.conn.tuple);
        let fast = socket.conn.state == State::SynRecv;
        let heir = self.tcp_heir(now, left, &tuple, migrating, None);
        let listener = heir.and_then(|heir| self.tcp.get_mut(heir)?.conn.listener.as_mut());
        let (Some(heir), Some(listener)) = (heir, listener) else {
            return false;
        };
        // The backlog is not asked.
        listener.accept.push_back(child);
        if fast {
            listener.fast.push(child);
        }
        self.counters.tcp_migrate_req_success += 1;
        self.tcp_happened(heir, EventKind::ACCEPTABLE | EventKind::READABLE);
        true
    }

    /// The listener that a request whose own has ended goes to, if there is one.
    pub(super) fn tcp_request_heir(
        &mut self,
        now: Instant,
        index: u32,
        packet: Option<(IfIndex, &IpHeader, &TcpSegment)>,
    ) -> Option<TcpId> {
        let Kind::Request(request) = &self.tcp.entries.get(index as usize)?.kind else {
            return None;
        };
        let (left, tuple) = (*request.left.as_deref()?, request.tuple);
        let migrating = request.described();
        self.tcp_heir(now, &left, &tuple, migrating, packet)
    }

    /// reuseport_migrate_sock.
    fn tcp_heir(
        &mut self,
        now: Instant,
        left: &Left,
        tuple: &FourTuple,
        migrating: Described,
        packet: Option<(IfIndex, &IpHeader, &TcpSegment)>,
    ) -> Option<TcpId> {
        let members = self.tcp.members(left.socket.local.port(), left.group);
        let heir = self.tcp_choose_heir(now, left, &members, tuple, migrating, packet);
        if heir.is_none() {
            self.counters.tcp_migrate_req_failure += 1;
        }
        heir
    }

    fn tcp_choose_heir(
        &mut self,
        now: Instant,
        left: &Left,
        members: &[TcpId],
        tuple: &FourTuple,
        migrating: Described,
        packet: Option<(IfIndex, &IpHeader, &TcpSegment)>,
    ) -> Option<TcpId> {
        let first = self.tcp.get(*members.first()?)?;
        let program = Filters::group_of(&first.filters).filter(|filter| filter.migrates());
        let hash = self.tcp.flow_hash(tuple);
        let by_hash = crate::hash::reciprocal_scale(hash, members.len() as u32) as usize;
        let Some(program) = program else {
            let told = self.sysctl.tcp_migrate_req;
            return members.get(by_hash).copied().filter(|_| told);
        };
        let seed = filter::seed(&mut self.random);
        let inspected = packet.map(|(interface, ip, segment)| Inspected {
            now,
            seed,
            interface,
            packet_type: PacketType::Host,
            hash,
            tag: Tag::default(),
            from_network: false,
            ip,
            transport: Transport::Tcp(segment),
        });
        let handles: SmallVec<[SocketHandle; 8]> =
            members.iter().map(|id| SocketHandle::Tcp(*id)).collect();
        let choice = program.choose(&Ask {
            now,
            seed,
            packet: inspected.as_ref(),
            members: &handles,
            hash,
            socket: left.socket,
            migrating: Some(migrating),
        });
        match choice {
            Choice::Nobody => None,
            Choice::Member(at) if at < members.len() => Some(members[at]),
            _ => members.get(by_hash).copied(),
        }
    }

    /// reqsk_queue_migrated: the request is another listener's from now on.
    pub(super) fn tcp_request_moves(&mut self, index: u32, heir: TcpId) {
        let TcpTable { entries, .. } = &mut self.tcp;
        let Some(Kind::Request(request)) = entries.get_mut(index as usize).map(|e| &mut e.kind)
        else {
            return;
        };
        request.listener = heir;
        request.left = None;
        let young = request.timeouts == 0;
        let listener = self
            .tcp
            .get_mut(heir)
            .and_then(|s| s.conn.listener.as_mut());
        if let Some(listener) = listener {
            listener.requests += 1;
            listener.young += u32::from(young);
        }
    }
}
