//! Readiness: unix_poll() and unix_dgram_poll(), and the counts of SIOCINQ and SIOCOUTQ.

use super::queue::stream_piece;
use super::{Shut, State, UnixSocket, UnixType};
use crate::host::Host;
use crate::mask::PollMask;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use switchboard_abi::Errno;

/// unix_writable(): a quarter of the buffer is in use at most.
#[inline]
fn writable(sndbuf: u32, unix: &UnixSocket) -> bool {
    // sk_wmem_alloc counts one for the socket itself.
    !matches!(unix.state, State::Listening(_))
        && (u64::from(unix.charged) + 1) << 2 <= u64::from(sndbuf)
}

impl UnixSocket {
    /// Whether there is still something to read when as much has been taken.
    pub(crate) fn readable_after(&self, bytes: usize, messages: usize, inline: bool) -> bool {
        self.shut.contains(Shut::READ)
            || self.error.is_some()
            || match self.ty {
                UnixType::Stream if self.marked => self.leaves_marked(bytes, inline),
                UnixType::Stream => self.queued > bytes,
                UnixType::Dgram | UnixType::SeqPacket => self.queue.len() > messages,
            }
    }

    /// Whether a stream without marks has this much to read.
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        let connected = matches!(self.state, State::Connected(_));
        connected && self.is_stream() && !self.marked && self.queued >= bytes
    }

    /// Whether a stream takes this much in one piece.
    pub(crate) fn takes(&self, sndbuf: u32, bytes: usize) -> bool {
        let connected = matches!(self.state, State::Connected(_));
        connected
            && self.is_stream()
            && self.charged < sndbuf
            && stream_piece(sndbuf, bytes).0 == bytes
    }

    /// How many connections wait for accept(2).
    pub(crate) fn accept_queue(&self) -> usize {
        match &self.state {
            State::Listening(listening) => listening.embryos.len(),
            _ => 0,
        }
    }
}

impl Host {
    /// poll(2)'s mask.
    pub(crate) fn unix_poll(&self, id: SocketId) -> PollMask {
        let Ok(socket) = self.get(id) else {
            return PollMask::empty();
        };
        let Kind::Unix(unix) = &socket.kind else {
            return PollMask::empty();
        };
        let mut mask = PollMask::empty();
        if unix.error.is_some() {
            mask |= PollMask::ERR;
            // unix_dgram_poll(), not unix_poll().
            if !unix.is_stream() && socket.common.has(CommonFlags::SELECT_ERR_QUEUE) {
                mask |= PollMask::PRI;
            }
        }
        if unix.shut == Shut::all() {
            mask |= PollMask::HUP;
        }
        if unix.shut.contains(Shut::READ) {
            mask |= PollMask::RDHUP | PollMask::READABLE;
        }
        if !unix.queue.is_empty() {
            mask |= PollMask::READABLE;
        }
        if unix.oob.is_some() {
            mask |= PollMask::PRI;
        }
        match &unix.state {
            // "Connection-based need to check for termination and startup."
            State::Unconnected => mask |= PollMask::HUP,
            State::Listening(l) if !l.embryos.is_empty() => mask |= PollMask::READABLE,
            State::Listening(_) | State::Connected(_) | State::Datagram(_) => {}
        }
        if writable(socket.common.sndbuf, unix) && !self.peer_is_full(id, unix) {
            mask |= PollMask::WRITABLE;
        }
        mask
    }

    /// Whether a datagram socket's peer, not connected back, has a full queue.
    fn peer_is_full(&self, id: SocketId, unix: &UnixSocket) -> bool {
        let State::Datagram(datagram) = &unix.state else {
            return false;
        };
        let Some(peer) = &datagram.peer else {
            return false;
        };
        self.unix(peer.id)
            .is_some_and(|other| !other.peer_is(id) && other.dgram_full(0))
    }

    /// sock_wfree() and unix_write_space(): memory of a sender's chunks is free again.
    #[inline]
    pub(super) fn uncharge(&mut self, sender: SocketId, truesize: u32) {
        let Some(socket) = self.sockets.get_mut(sender) else {
            return self.uncharge_departed(sender, truesize);
        };
        let Kind::Unix(unix) = &mut socket.kind else {
            return;
        };
        unix.charged = unix.charged.saturating_sub(truesize);
        if writable(socket.common.sndbuf, unix) {
            self.wake(sender, PollMask::WRITABLE);
        }
    }

    fn uncharge_departed(&mut self, sender: SocketId, truesize: u32) {
        if let Some(departed) = self.unix.departed.get_mut(&sender) {
            departed.charged = departed.charged.saturating_sub(truesize);
            if departed.charged == 0 {
                self.unix.departed.remove(&sender);
            }
        }
    }

    /// `SO_SNDBUF` was set: "Wake up sending tasks if we upped the value."
    pub(crate) fn unix_sndbuf_changed(&mut self, id: SocketId) {
        self.uncharge(id, 0);
    }

    /// `SIOCINQ`: all that can be read, but of a datagram socket the first message only.
    pub(crate) fn unix_inq(&self, id: SocketId) -> Result<i32, Errno> {
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        if matches!(unix.state, State::Listening(_)) {
            return Err(Errno::EINVAL);
        }
        let bytes = match unix.ty {
            UnixType::Dgram => unix.queue.front().map_or(0, |chunk| chunk.len()),
            UnixType::Stream | UnixType::SeqPacket => unix.queued,
        };
        Ok(bytes as i32)
    }

    /// `SIOCOUTQ`: not bytes, but the memory that unread messages take.
    pub(crate) fn unix_outq(&self, id: SocketId) -> Result<i32, Errno> {
        Ok(self.unix(id).ok_or(Errno::EBADF)?.charged as i32)
    }
}
