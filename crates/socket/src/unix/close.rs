//! The ends of a socket: shutdown(2) and close(2).

use super::names::Departed;
use super::queue::Chunk;
use super::{Shut, State, UnixType};
use crate::call::Cx;
use crate::host::Host;
use crate::mask::PollMask;
use crate::table::SocketId;
use alloc::collections::VecDeque;
use core::mem;
use switchboard_abi::Errno;
use switchboard_abi::number::*;

/// sk_state_change() wakes everyone, whatever they wait for.
const EVERYONE: PollMask = PollMask::all();

impl Host {
    /// unix_shutdown(): sockets without a peer can be shut down too.
    pub(crate) fn unix_shutdown(
        &mut self,
        _cx: &mut Cx<'_>,
        id: SocketId,
        how: i32,
    ) -> Result<(), Errno> {
        let (mine, theirs) = match how {
            SHUT_RD => (Shut::READ, Shut::WRITE),
            SHUT_WR => (Shut::WRITE, Shut::READ),
            _ => (Shut::all(), Shut::all()),
        };
        let unix = self.unix_mut(id).ok_or(Errno::EBADF)?;
        unix.shut |= mine;
        let peer = match unix.ty {
            UnixType::Dgram => None,
            UnixType::Stream | UnixType::SeqPacket => unix.peer().map(|peer| peer.id),
        };
        self.wake(id, EVERYONE);
        if let Some(peer) = peer
            && let Some(other) = self.unix_mut(peer)
        {
            other.shut |= theirs;
            self.wake(peer, EVERYONE);
        }
        Ok(())
    }

    /// unix_release().
    pub(crate) fn unix_close(&mut self, _cx: &mut Cx<'_>, id: SocketId) {
        self.unix_release(id);
    }

    /// What waits in a queue goes, as if it had never come.
    pub(super) fn unix_purge(&mut self, id: SocketId) {
        let Some(unix) = self.unix_mut(id) else {
            return;
        };
        unix.queued = 0;
        unix.oob = None;
        let unread = mem::take(&mut unix.queue);
        self.drop_chunks(unread);
    }

    /// unix_release_sock().
    fn unix_release(&mut self, id: SocketId) {
        self.unbind(id);
        let embryo = self.is_embryo(id);
        let Some(unix) = self.unix_mut(id) else {
            return;
        };
        let unread = mem::take(&mut unix.queue);
        let name = unix.name.take();
        let charged = unix.charged;
        match mem::replace(&mut unix.state, State::Unconnected) {
            State::Unconnected => {}
            State::Listening(listening) => {
                for waiting in listening.waiting {
                    self.wake(waiting, PollMask::WRITABLE);
                }
                for child in listening.embryos {
                    self.unix_release(child);
                }
            }
            State::Connected(connected) => {
                let peer = connected.peer.id;
                if let Some(other) = self.unix_mut(peer) {
                    // "No more writes."
                    other.shut = Shut::all();
                    // An empty message at the front does not count: Linux takes it for the place
                    // of an out-of-band byte that was read.
                    let spent = unread.front().is_some_and(|chunk| chunk.len() == 0);
                    if embryo || unread.len() > usize::from(spent) {
                        other.error = Some(Errno::ECONNRESET);
                    }
                    if let Some(peer) = other.peer_mut() {
                        peer.last_name = name;
                    }
                    self.wake(peer, EVERYONE);
                }
            }
            State::Datagram(datagram) => {
                if charged > 0
                    && let Some(name) = name.clone()
                {
                    self.unix.departed.insert(id, Departed { name, charged });
                }
                if let Some(peer) = datagram.peer
                    && let Some(State::Datagram(d)) =
                        self.unix_mut(peer.id).map(|other| &mut other.state)
                {
                    d.connected.remove(&id);
                }
                for sender in datagram.connected {
                    if let Some(peer) = self.unix_mut(sender).and_then(|unix| unix.peer_mut())
                        && peer.id == id
                    {
                        peer.last_name = name.clone();
                    }
                    if unread.len() > datagram.limit as usize && sender != id {
                        self.wake(sender, PollMask::WRITABLE);
                    }
                }
                for sender in datagram.waiting {
                    self.wake(sender, PollMask::WRITABLE);
                }
            }
        }
        self.sockets.remove(id);
        self.drop_chunks(unread);
    }

    /// Chunks that nobody will read: their senders have the memory back, their files are released.
    pub(super) fn drop_chunks(&mut self, chunks: VecDeque<Chunk>) {
        for chunk in chunks {
            self.uncharge(chunk.sender, chunk.truesize);
            self.drop_extra(chunk);
        }
    }
}
