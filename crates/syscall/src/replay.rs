//! For drivers whose replies can fail to arrive: what a reply would leave behind, and recognizing
//! a call that is made again.
//!
//! A send that took effect before its caller could be told is not to be sent twice. The driver
//! keeps what was sent; when the caller makes the same call again (as SA_RESTART, or a program that
//! repeats after `EINTR`, does), the bytes it offers are compared: the same bytes are answered
//! with the first result, others are a new call.

use crate::call::Call;
use crate::effect::{Effect, Kind};
use crate::memory::{Memory, import_buffer};
use crate::msghdr::{Header, IoVecs, advance, import_iovec};
use crate::pending::{Pending, Work};
use alloc::vec;
use switchboard_socket::{Host, PollMask, SocketId};
use switchboard_wire::Payload;

impl Effect {
    /// The effect of a reply whose effect has taken place.
    pub fn happened() -> Effect {
        Effect(Kind::Happened)
    }

    /// The socket whose state the effect changes, if it changes one.
    pub fn socket(&self) -> Option<SocketId> {
        match &self.0 {
            Kind::None | Kind::Happened | Kind::Created(_) | Kind::CreatedBpf(_) => None,
            Kind::Accept(plan) | Kind::AcceptLost(plan) => Some(plan.listener()),
            Kind::Send(send) => Some(send.id),
            Kind::Recv(recv) => Some(recv.id),
            Kind::Option { id, .. } | Kind::Fail { id, .. } => Some(*id),
        }
    }

    /// Whether what the effect does has to be seen by others before the caller goes on: a send, and what splice(2)
    /// moves to a pipe, whose descriptor goes with a caller that ends.
    /// Commit it, then deliver the reply with [`Effect::happened`].
    pub fn takes_effect_first(&self) -> bool {
        match &self.0 {
            Kind::Send(_) => true,
            Kind::Recv(recv) => recv.pipe.is_some(),
            _ => false,
        }
    }

    /// The bytes of a send, to know the call by when it is made again.
    pub fn sent(&self) -> Option<Payload> {
        let Kind::Send(send) = &self.0 else {
            return None;
        };
        let mut sent = Payload::new();
        for (_, data) in &send.plans {
            data.iter().for_each(|chunk| sent.push(chunk.clone()));
        }
        Some(sent)
    }

    /// What poll(2) says of [`Effect::socket`] and will not when this has been committed.
    pub fn falls(&self, host: &Host) -> PollMask {
        let readable = |stays| {
            if stays {
                PollMask::empty()
            } else {
                PollMask::READABLE
            }
        };
        match &self.0 {
            Kind::Recv(recv) => {
                let mut falls = readable(host.leaves_readable(recv.id, &recv.received));
                falls.set(PollMask::PRI, host.takes_urgent(recv.id, &recv.received));
                falls |= host.errors_fall(recv.id, &recv.received);
                falls
            }
            Kind::Accept(plan) | Kind::AcceptLost(plan) => readable(host.leaves_acceptable(plan)),
            Kind::Option { value, .. } if value.clears_error => PollMask::ERR,
            Kind::Fail { fail, .. } => {
                let mut falls = PollMask::empty();
                falls.set(PollMask::ERR, fail.is_pending());
                falls.set(PollMask::PRI | PollMask::READABLE, fail.skips());
                falls
            }
            _ => PollMask::empty(),
        }
    }

    /// What poll(2) will say of the socket that accept(2) returns.
    pub fn accepted_mask(&self, host: &Host) -> Option<PollMask> {
        match &self.0 {
            Kind::Accept(plan) => Some(host.poll_accepted(plan)),
            _ => None,
        }
    }
}

impl Pending {
    /// Whether a send returned less than it was offered, so that its caller now waits for room,
    /// however much there is by then.
    pub fn fell_short(&self, value: i64) -> bool {
        let Ok(value) = usize::try_from(value) else {
            return false;
        };
        match (&self.work, &self.call) {
            (Work::Send(send), _) => value < send.len,
            (_, Call::Sendfile { count, .. }) => (value as u64) < *count && value > 0,
            (_, Call::Splice { len, .. }) => (value as u64) < *len && value > 0,
            _ => false,
        }
    }

    /// How far a parked stream send has come, and the digest of the bytes that went; `None` when
    /// none did. For [`Pending::resume`].
    pub fn sent_so_far(&self) -> Option<(usize, u64)> {
        match &self.work {
            Work::Send(send) if send.done > 0 => Some((send.done, send.digest.finish())),
            _ => None,
        }
    }

    /// The call was made before and `done` bytes of it went: goes on behind them, if they are the
    /// same bytes. Before the first attempt.
    pub fn resume(&mut self, done: usize, digest: u64, mem: &mut dyn Memory) {
        let Some(iov) = self.offered(mem) else { return };
        let mut found = Digest::default();
        let mut left = done;
        let mut rest = iov;
        let mut bytes = vec![0; left.min(64 * 1024)];
        while left > 0 {
            let n = left.min(bytes.len());
            if mem.gather(&rest, &mut bytes[..n]) < n {
                return;
            }
            found.update(&bytes[..n]);
            rest = advance(&rest, n);
            left -= n;
        }
        if found.finish() == digest {
            self.resumed = Some((done, found));
        }
    }

    /// Whether a send offers these bytes first. Before the first attempt.
    pub fn offers(&self, sent: &Payload, mem: &mut dyn Memory) -> bool {
        let Some(mut rest) = self.offered(mem) else {
            // What does not send, or cannot be read: only a send of nothing is the same.
            return sent.is_empty();
        };
        for chunk in sent.iter() {
            let mut bytes = vec![0; chunk.len()];
            if mem.gather(&rest, &mut bytes) < chunk.len() || bytes[..] != chunk[..] {
                return false;
            }
            rest = advance(&rest, chunk.len());
        }
        true
    }

    /// The vector of a call that sends one message.
    fn offered(&self, mem: &mut dyn Memory) -> Option<IoVecs> {
        match self.call {
            Call::Send { buf, len, .. }
            | Call::Sendto { buf, len, .. }
            | Call::Write { buf, len, .. } => {
                Some(IoVecs::from_elem(import_buffer(mem, buf, len).ok()?, 1))
            }
            Call::Writev { iov, iovlen, .. } => import_iovec(mem, self.word, iov, iovlen).ok(),
            Call::Sendmsg { msg, .. } => Header::read(mem, self.word, msg, true)
                .ok()
                .map(|(header, _)| header.iov),
            _ => None,
        }
    }
}

/// A running 64-bit digest: equal for equal bytes, however they were cut. It tells a repeated call
/// from another of the same caller, who could fool only itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digest {
    state: u64,
    /// Bytes that do not make a word yet.
    tail: [u8; 8],
    len: u64,
}

impl Digest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        let held = (self.len % 8) as usize;
        self.len += bytes.len() as u64;
        if held > 0 {
            let n = bytes.len().min(8 - held);
            self.tail[held..held + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if held + n < 8 {
                return;
            }
            self.word(self.tail);
        }
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut whole = [0; 8];
            whole.copy_from_slice(word);
            self.word(whole);
        }
        let rest = words.remainder();
        self.tail = [0; 8];
        self.tail[..rest.len()].copy_from_slice(rest);
    }

    fn word(&mut self, word: [u8; 8]) {
        // An odd multiplier with well-spread bits (2^64 divided by the golden ratio).
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.state ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
        self.state = mixed ^ (mixed >> 32);
    }

    pub(crate) fn finish(&self) -> u64 {
        let mut last = *self;
        if !self.len.is_multiple_of(8) {
            let held = (self.len % 8) as usize;
            last.tail[held..].fill(0);
            last.word(last.tail);
        }
        last.word(self.len.to_le_bytes());
        last.state
    }
}
