//! Out-of-band bytes of streams: `MSG_OOB`, `SO_OOBINLINE` and `SIOCATMARK`, as a kernel with
//! CONFIG_AF_UNIX_OOB has them.
//!
//! # Theory of operation
//!
//! One byte at a time is out of band: the last one of the newest `MSG_OOB` send, a chunk of its own
//! whose place in the queue is `UnixSocket::oob`. A newer one makes the older an ordinary byte. Read
//! with `MSG_OOB` its chunk stays in the queue, empty, as the mark at which ordinary reads stop. An
//! ordinary read that finds the byte first drops it, unless `SO_OOBINLINE` is set.
//!
//! A socket that never had such a byte (`UnixSocket::marked`) reads without any of this.

use super::queue::Chunk;
use super::{State, UnixRecvEffect, UnixSocket};
use crate::call::{Attempt, Fail};
use crate::host::Host;
use crate::message::{Received, RecvEffect, RecvRequest};
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_wire::Payload;

/// An ordinary read's way through the queue: the loop of unix_stream_read_generic(), with
/// manage_oob().
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// The chunk at hand. Those before it are read or dropped; of a peek, passed.
    pub(super) at: usize,
    /// Bytes of it that are read.
    pub(super) offset: usize,
    /// Where the out-of-band byte is.
    oob: Option<usize>,
    inline: bool,
    peek: bool,
}

/// What a read finds next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Bytes, at [`Walk::at`].
    Chunk,
    /// A mark that a read which has some bytes does not pass.
    Mark,
    /// Nothing: wait for more.
    Empty,
}

impl Walk {
    #[inline]
    pub(super) fn new(unix: &UnixSocket, inline: bool, peek: bool) -> Walk {
        Walk {
            at: 0,
            offset: 0,
            oob: unix.oob,
            inline,
            peek,
        }
    }

    /// Bytes left in the chunk at hand.
    #[inline]
    pub(super) fn left(&self, queue: &VecDeque<Chunk>) -> Option<usize> {
        queue.get(self.at).map(|chunk| chunk.len() - self.offset)
    }

    #[inline]
    pub(super) fn step(&mut self) {
        self.at += 1;
        self.offset = 0;
    }

    /// Takes `n` bytes of the chunk at hand.
    #[inline]
    pub(super) fn read(&mut self, queue: &VecDeque<Chunk>, n: usize) {
        self.offset += n;
        if self.left(queue) == Some(0) {
            self.step();
        }
    }

    /// manage_oob(). `copied`: the read has some bytes already.
    #[inline]
    pub(super) fn next(&mut self, queue: &VecDeque<Chunk>, copied: bool) -> Next {
        match self.left(queue) {
            None => Next::Empty,
            Some(left) if left > 0 && self.oob != Some(self.at) => Next::Chunk,
            Some(left) => self.next_marked(queue, copied, left),
        }
    }

    fn next_marked(&mut self, queue: &VecDeque<Chunk>, copied: bool, left: usize) -> Next {
        if left == 0 {
            if copied && self.oob.is_none() {
                return Next::Mark;
            }
            self.step();
            if self.at >= queue.len() {
                return if copied { Next::Mark } else { Next::Empty };
            }
        }
        if self.oob == Some(self.at) {
            if copied {
                return Next::Mark;
            }
            if !self.peek {
                self.oob = None;
            }
            if !self.inline {
                self.step();
            }
        }
        // Whatever is empty here is passed without a further look.
        while self.left(queue) == Some(0) {
            self.step();
        }
        if self.at < queue.len() {
            Next::Chunk
        } else {
            Next::Empty
        }
    }

    /// `SO_PEEK_OFF`: passes what lies before the offset of a peek, and says what is there. Only the front is looked at
    /// by manage_oob(): an out-of-band byte further behind counts, and is seen, as any other.
    pub(super) fn pass(&mut self, queue: &VecDeque<Chunk>, offset: usize, copied: bool) -> Next {
        let front = self.next(queue, copied);
        if front != Next::Chunk {
            return front;
        }
        let mut left = offset;
        while let Some(chunk) = self.left(queue) {
            if left < chunk {
                self.offset += left;
                return Next::Chunk;
            }
            left -= chunk;
            self.step();
        }
        Next::Empty
    }

    /// Passes what earlier entries of the same recvmmsg(2) have read: each stopped at a mark.
    pub(super) fn skip(&mut self, queue: &VecDeque<Chunk>, bytes: usize) {
        let mut left = bytes;
        let mut copied = false;
        while left > 0 {
            match self.next(queue, copied) {
                Next::Chunk => {
                    let n = self.left(queue).unwrap_or(0).min(left);
                    left -= n;
                    copied = true;
                    self.read(queue, n);
                }
                Next::Mark => copied = false,
                Next::Empty => return,
            }
        }
    }

    /// Whether a read of no bytes has changed something.
    #[inline]
    pub(super) fn moved_since(&self, start: &Walk) -> bool {
        self.at != start.at || self.oob != start.oob
    }
}

impl UnixSocket {
    /// Takes `n` bytes off the front as one read does, with the marks it passes. `each` gets every
    /// chunk that goes, and whether bytes of it were read. True when the chunk that is then at the
    /// front was read in part.
    pub(super) fn take_marked(
        &mut self,
        n: usize,
        inline: bool,
        each: &mut dyn FnMut(Chunk, bool),
    ) -> bool {
        let mut walk = Walk::new(self, inline, false);
        let mut read = Vec::new();
        let mut copied = 0;
        while walk.next(&self.queue, copied > 0) == Next::Chunk {
            let some = walk.left(&self.queue).unwrap_or(0).min(n - copied);
            read.push(walk.at);
            copied += some;
            walk.read(&self.queue, some);
            if copied >= n {
                break;
            }
        }
        for at in 0..walk.at {
            let Some(chunk) = self.queue.pop_front() else {
                break;
            };
            let read = read.contains(&at);
            // Linux does not tell its count of bytes (SIOCINQ) of one that was dropped.
            self.queued -= if read { chunk.len() } else { 0 };
            each(chunk, read);
        }
        if let Some(front) = self.queue.front_mut() {
            front.taken += walk.offset as u32;
            self.queued -= walk.offset;
        }
        self.oob = walk.oob.map(|at| at - walk.at);
        walk.offset > 0
    }

    /// Whether a read of this many bytes has the out-of-band one among them (`SO_OOBINLINE`).
    pub(crate) fn passes_urgent(&self, bytes: usize, inline: bool) -> bool {
        let mut walk = Walk::new(self, inline, false);
        self.oob.is_some() && {
            walk.skip(&self.queue, bytes);
            walk.oob.is_none()
        }
    }

    /// Whether anything would be left in the queue.
    pub(super) fn leaves_marked(&self, n: usize, inline: bool) -> bool {
        let mut walk = Walk::new(self, inline, false);
        walk.skip(&self.queue, n);
        walk.at < self.queue.len()
    }
}

impl Host {
    /// See [`UnixSocket::passes_urgent`].
    pub(crate) fn unix_passes_urgent(&self, id: SocketId, bytes: usize) -> bool {
        let Ok(socket) = self.get(id) else {
            return false;
        };
        let inline = socket.common.has(CommonFlags::OOBINLINE);
        matches!(&socket.kind, Kind::Unix(unix) if unix.passes_urgent(bytes, inline))
    }

    /// unix_stream_recv_urg()
    pub(super) fn stream_recv_oob(
        &self,
        id: SocketId,
        request: &RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        let socket = self.get(id)?;
        let Kind::Unix(unix) = &socket.kind else {
            return Err(Errno::EBADF.into());
        };
        let inline = socket.common.has(CommonFlags::OOBINLINE);
        let chunk = unix
            .oob
            .filter(|_| !inline)
            .and_then(|at| unix.queue.get(at));
        let Some(chunk) = chunk else {
            return Err(Errno::EINVAL.into());
        };
        // Without room the byte is taken and counted all the same.
        let mut data = Payload::new();
        chunk.append_to(&mut data, chunk.taken as usize, request.len.min(1));
        Ok(Attempt::Ready(Received {
            data,
            ret: 1,
            msg_flags: MSG_OOB,
            name: None,
            control: Vec::new(),
            effect: if request.flags & MSG_PEEK != 0 {
                RecvEffect::None
            } else {
                RecvEffect::Unix(UnixRecvEffect {
                    took_oob: true,
                    ..UnixRecvEffect::default()
                })
            },
        }))
    }

    /// The out-of-band byte was read: its empty chunk stays as a mark, in the place of one that was
    /// right before it.
    pub(super) fn stream_take_oob(&mut self, id: SocketId) {
        let Some(unix) = self.unix_mut(id) else {
            return;
        };
        let Some(at) = unix.oob.take() else { return };
        if let Some(chunk) = unix.queue.get_mut(at) {
            let left = chunk.len();
            chunk.taken += left as u32;
            unix.queued -= left;
        }
        let before = at.checked_sub(1);
        if let Some(before) = before.filter(|&at| unix.queue[at].len() == 0)
            && let Some(mark) = unix.queue.remove(before)
        {
            self.uncharge(mark.sender, mark.truesize);
            self.drop_extra(mark);
        }
    }

    /// A read that found nothing has dropped the out-of-band byte.
    pub(crate) fn unix_skip_oob(&mut self, id: SocketId) {
        self.stream_take(id, 0);
    }

    /// `SIOCATMARK`: the next byte is the out-of-band one, or the mark that one left.
    pub(crate) fn unix_at_mark(&self, id: SocketId) -> Result<bool, Errno> {
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        if let State::Listening(listening) = &unix.state {
            // A connection waits as an empty message.
            return Ok(!listening.embryos.is_empty());
        }
        Ok(match unix.queue.front() {
            None => false,
            Some(_) if unix.oob == Some(0) => true,
            Some(front) => front.len() == 0 && unix.oob.is_none_or(|at| at == 1),
        })
    }
}
