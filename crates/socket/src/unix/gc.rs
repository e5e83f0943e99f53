//! Cycles of sockets in flight: a socket sent to itself, or two to each other, and then closed by
//! everyone. Only messages that nobody can receive refer to them.
//!
//! As in Linux, a socket that is in no message is alive: a descriptor refers to it. One that is
//! in messages is alive when a descriptor refers to it as well, or when it can be received by way of
//! living sockets' queues. All others go.

use super::State;
use crate::call::Cx;
use crate::host::Host;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

impl Host {
    /// Whether any socket is in flight, so that [`Host::collect_cycles`] could find something.
    pub fn has_rights_in_flight(&self) -> bool {
        self.unix.sockets_in_flight > 0
    }

    /// Closes the sockets that only unreachable messages refer to. `held` tells whether anything
    /// but messages in flight refers to a socket: a descriptor, a call in progress. The files in
    /// those messages come out of [`Host::poll_released`].
    ///
    /// Costs time in proportion to the number of sockets; Linux runs it when a socket closes and
    /// sockets are in flight. Returns how many sockets it closed.
    pub fn collect_cycles(
        &mut self,
        cx: &mut Cx<'_>,
        held: &mut dyn FnMut(SocketId) -> bool,
    ) -> usize {
        if !self.has_rights_in_flight() {
            return 0;
        }
        let mut in_flight = BTreeSet::new();
        let mut embryos = BTreeSet::new();
        for (id, _) in self.sockets.iter() {
            self.each_in_flight(id, &mut |socket| {
                in_flight.insert(socket);
            });
            embryos.extend(self.embryos_of(id));
        }
        let mut reached = BTreeSet::new();
        let mut todo: Vec<SocketId> = self
            .sockets
            .iter()
            .map(|(id, _)| id)
            .filter(|id| !embryos.contains(id) && (!in_flight.contains(id) || held(*id)))
            .collect();
        while let Some(id) = todo.pop() {
            if !reached.insert(id) {
                continue;
            }
            self.each_in_flight(id, &mut |socket| todo.push(socket));
            todo.extend(self.embryos_of(id));
        }
        in_flight.retain(|id| !reached.contains(id) && self.unix(*id).is_some());
        // unix_collect_skb(): the queues are emptied first, so that no peer is told of lost data.
        for &id in &in_flight {
            let embryos: Vec<SocketId> = self.embryos_of(id).collect();
            for id in embryos.into_iter().chain([id]) {
                self.unix_purge(id);
            }
        }
        for &id in &in_flight {
            self.unix_close(cx, id);
        }
        in_flight.len()
    }

    fn each_in_flight(&self, id: SocketId, each: &mut dyn FnMut(SocketId)) {
        let Some(Kind::Unix(unix)) = self.sockets.get(id).map(|socket| &socket.kind) else {
            return;
        };
        for chunk in &unix.queue {
            for right in chunk.rights() {
                if let Some(socket) = right.socket {
                    each(socket);
                }
            }
        }
    }

    fn embryos_of(&self, id: SocketId) -> impl Iterator<Item = SocketId> {
        let embryos = match self.unix(id).map(|unix| &unix.state) {
            Some(State::Listening(l)) => Some(l.embryos.iter().copied()),
            _ => None,
        };
        embryos.into_iter().flatten()
    }
}
