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

/// The events that were not taken yet.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    order: VecDeque<SocketHandle>,
    tcp: Vec<Slot>,
    udp: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    pending: EventKind,
}

impl EventQueue {
    /// Notes that `kind` happened to `socket`.
    pub(crate) fn push(&mut self, socket: SocketHandle, kind: EventKind) {
        if kind.is_empty() {
            return;
        }
        let (slots, index, generation) = self.slots(socket);
        if slots.len() <= index {
            slots.resize(index + 1, Slot::default());
        }
        let slot = &mut slots[index];
        if slot.generation != generation {
            *slot = Slot {
                generation,
                pending: EventKind::empty(),
            };
        }
        let first = slot.pending.is_empty();
        slot.pending |= kind;
        if first {
            self.order.push_back(socket);
        }
    }

    /// The next socket with events, all of them in one.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        while let Some(socket) = self.order.pop_front() {
            let (slots, index, generation) = self.slots(socket);
            let slot = &mut slots[index];
            // A slot that another socket has taken over: the first owner is gone, and so are its events.
            if slot.generation == generation && !slot.pending.is_empty() {
                let kind = core::mem::take(&mut slot.pending);
                return Some(Event { socket, kind });
            }
        }
        None
    }

    fn slots(&mut self, socket: SocketHandle) -> (&mut Vec<Slot>, usize, u32) {
        match socket {
            SocketHandle::Tcp(id) => (&mut self.tcp, id.index as usize, id.generation),
            SocketHandle::Udp(id) => (&mut self.udp, id.index as usize, id.generation),
        }
    }
}

#[cfg(test)]
mod tests;
