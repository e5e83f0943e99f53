//! What happened, for the layer above: readiness changes per socket.
//!
//! Theory of operation: an event says "look at this socket again", never more. Events of one socket that nobody has
//! taken yet merge into one, so the queue is bounded by the number of sockets. Sockets come out in the order in which
//! they first had something to say.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Names a TCP socket from its opening to its close; a reused slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl TcpId {
    /// The slot: small, and reused after the socket's close, for tables beside the stack's own.
    #[inline]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Names a UDP socket from its opening to its close; a reused slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UdpId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl UdpId {
    /// The slot: small, and reused after the socket's close, for tables beside the stack's own.
    #[inline]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// A socket of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketHandle {
    /// A TCP socket.
    Tcp(TcpId),
    /// A UDP socket.
    Udp(UdpId),
}

impl SocketHandle {
    /// The handle as one number, for tables of the layer above.
    pub fn to_u64(self) -> u64 {
        let (tag, index, generation) = match self {
            SocketHandle::Tcp(id) => (0, id.index, id.generation),
            SocketHandle::Udp(id) => (1, id.index, id.generation),
        };
        tag << 63 | u64::from(generation & 0x7fff_ffff) << 32 | u64::from(index)
    }
}

bitflags::bitflags! {
    /// What may have changed about a socket.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EventKind: u16 {
        /// There is something to receive.
        const READABLE = 1;
        /// There is room to send.
        const WRITABLE = 1 << 1;
        /// Urgent data arrived, or the urgent pointer moved.
        const URGENT = 1 << 2;
        /// An error is pending.
        const ERROR = 1 << 3;
        /// A connection attempt succeeded.
        const CONNECTED = 1 << 4;
        /// A connection waits for accept.
        const ACCEPTABLE = 1 << 5;
        /// A direction was shut down or the connection is gone.
        const HANGUP = 1 << 6;
        /// The engine has let go of what was left of the socket.
        const RELEASED = 1 << 7;
    }
}

/// Something changed about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which socket. It may have been closed since.
    pub socket: SocketHandle,
    /// What may have changed.
    pub kind: EventKind,
}

/// The events that were not taken yet. What happened to a UDP socket stands here, what happened to a TCP socket in the
/// socket itself: among very many each place in memory counts.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    order: VecDeque<Queued>,
    udp: Vec<Slot>,
}

/// A socket that has events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Queued {
    /// Its events are with it.
    Tcp(TcpId),
    /// What is left of it is gone.
    Released(TcpId),
    /// Its events are here.
    Udp(UdpId),
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    pending: EventKind,
}

impl EventQueue {
    /// Notes that something happened to a TCP socket, or that it is released.
    #[inline]
    pub(crate) fn push(&mut self, queued: Queued) {
        self.order.push_back(queued);
    }

    /// Notes that `kind` happened to `socket`.
    pub(crate) fn push_udp(&mut self, socket: UdpId, kind: EventKind) {
        if kind.is_empty() {
            return;
        }
        let index = socket.index();
        if self.udp.len() <= index {
            self.udp.resize(index + 1, Slot::default());
        }
        let slot = &mut self.udp[index];
        if slot.generation != socket.generation {
            *slot = Slot {
                generation: socket.generation,
                pending: EventKind::empty(),
            };
        }
        let first = slot.pending.is_empty();
        slot.pending |= kind;
        if first {
            self.order.push_back(Queued::Udp(socket));
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The next socket with events.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        self.order.pop_front()
    }

    /// The events of a UDP socket, all of them in one; none when another socket has taken its place, since then it is
    /// gone, and so are they.
    pub(crate) fn take_udp(&mut self, socket: UdpId) -> EventKind {
        let slot = &mut self.udp[socket.index()];
        if slot.generation != socket.generation {
            return EventKind::empty();
        }
        core::mem::take(&mut slot.pending)
    }
}

#[cfg(test)]
mod tests;
