//! The sockets of a host, by generation-checked handle.

use crate::socket::{Common, Socket};
use alloc::vec::Vec;

/// A socket of a [`Host`](crate::Host). A handle outlives its socket safely: it then names nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct SocketId {
    index: u32,
    generation: u32,
}

impl SocketId {
    /// The handle as one number, for an embedder's tables.
    pub fn to_u64(self) -> u64 {
        (u64::from(self.generation) << 32) | u64::from(self.index)
    }

    /// The handle that [`SocketId::to_u64`] made a number of.
    pub fn from_u64(raw: u64) -> SocketId {
        SocketId {
            index: raw as u32,
            generation: (raw >> 32) as u32,
        }
    }
}

struct Slot {
    generation: u32,
    socket: Option<Socket>,
}

/// A slab whose handles carry the slot's generation.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
    /// How many of them want to know when something came in (netstamp_needed).
    stamping: usize,
}

impl Table {
    pub(crate) fn insert(&mut self, socket: Socket) -> SocketId {
        self.live += 1;
        self.stamping += usize::from(socket.common.enables_stamps());
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.socket = Some(socket);
            return SocketId {
                index,
                generation: slot.generation,
            };
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot {
            generation: 0,
            socket: Some(socket),
        });
        SocketId {
            index,
            generation: 0,
        }
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let socket = slot.socket.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.live -= 1;
        self.stamping -= usize::from(socket.common.enables_stamps());
        Some(socket)
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&Socket> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation {
            slot.socket.as_ref()
        } else {
            None
        }
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation {
            slot.socket.as_mut()
        } else {
            None
        }
    }

    /// Two different sockets at once.
    pub(crate) fn pair_mut(
        &mut self,
        a: SocketId,
        b: SocketId,
    ) -> Option<(&mut Socket, &mut Socket)> {
        let [x, y] = self
            .slots
            .get_disjoint_mut([a.index as usize, b.index as usize])
            .ok()?;
        if x.generation != a.generation || y.generation != b.generation {
            return None;
        }
        Some((x.socket.as_mut()?, y.socket.as_mut()?))
    }

    /// Whether any socket has what comes in stamped (netstamp_needed_key).
    pub(crate) fn stamp_arrivals(&self) -> bool {
        self.stamping > 0
    }

    /// Changes what the socket says of time stamps. True when it is the first to want any.
    pub(crate) fn change_stamps(&mut self, id: SocketId, change: impl FnOnce(&mut Common)) -> bool {
        let Some(socket) = self.get_mut(id) else {
            return false;
        };
        let before = socket.common.enables_stamps();
        change(&mut socket.common);
        let after = socket.common.enables_stamps();
        let none = self.stamping == 0;
        self.stamping = self.stamping + usize::from(after) - usize::from(before);
        none && after
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketId, &Socket)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = SocketId {
                index: index as u32,
                generation: slot.generation,
            };
            Some((id, slot.socket.as_ref()?))
        })
    }
}
