//! Connections that a gateway takes in somebody else's name (IP_TRANSPARENT): made of a SYN, without a bound listener.

use alloc::boxed::Box;
use core::net::SocketAddr;

use switchboard_wire::{Body, IpHeader, TcpSegment};

use super::connection::FourTuple;
use super::listen::Listener;
use super::state::State;
use super::table::Kind;
use crate::divert::Diverted;
use crate::event::TcpId;
use crate::ports::Family;
use crate::stack::Stack;
use crate::time::Instant;

impl FourTuple {
    /// Who a segment that came in is between.
    pub(crate) fn of(ip: &IpHeader, segment: &TcpSegment) -> FourTuple {
        FourTuple {
            local: ip.dst,
            remote: ip.src,
            local_port: segment.dst_port,
            remote_port: segment.src_port,
        }
    }
}

impl Stack {
    /// A listener that no packet finds: its connections are those that [`tcp_admit`](Self::tcp_admit) makes, and inherit
    /// its options. It is accepted from as from any.
    pub fn tcp_doorman(&mut self, family: Family, backlog: u32) -> TcpId {
        let id = self.tcp_open(family);
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.state = State::Listen;
        conn.listener = Some(Box::new(Listener {
            backlog,
            ..Listener::default()
        }));
        id
    }

    /// Answers a SYN that was put aside; the connection waits at `doorman` when its handshake is over.
    pub fn tcp_admit(&mut self, now: Instant, doorman: TcpId, syn: &Diverted) {
        let Body::Tcp(segment) = &syn.packet.body else {
            return;
        };
        let ip = &syn.packet.ip;
        let tuple = FourTuple::of(ip, segment);
        let mut isn = None;
        if let Some(index) = self.tcp.find(&tuple) {
            let Kind::TimeWait(old) = &self.tcp.entries[index as usize].kind else {
                // It has been answered since.
                return;
            };
            isn = Some(old.next_isn());
            self.tcp_release(index);
        }
        self.tcp_new_request(now, (doorman, syn.interface), ip, &tuple, segment, isn);
        self.run_loopback(now);
    }

    /// Whether the peer at the first address has a connection, or a half-open one, with who is at the second.
    pub fn tcp_is_between(&self, (remote, local): (SocketAddr, SocketAddr)) -> bool {
        self.tcp_is_alive(&FourTuple {
            local: local.ip(),
            remote: remote.ip(),
            local_port: local.port(),
            remote_port: remote.port(),
        })
    }

    /// Whether there is a connection, or one half-open, that is not over.
    pub(crate) fn tcp_is_alive(&self, tuple: &FourTuple) -> bool {
        self.tcp.find(tuple).is_some_and(|index| {
            !matches!(self.tcp.entries[index as usize].kind, Kind::TimeWait(_))
        })
    }
}
