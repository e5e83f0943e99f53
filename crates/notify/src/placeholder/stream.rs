//! The placeholder of a stream socket, or of one of packets in order.
//!
//! # Theory of operation
//! | A shows | because | made by | undone by |
//! |---|---|---|---|
//! | OUT | A's send charge is at most a quarter of SO_SNDBUF (the minimum, 4608) | new pair; B reads the blocker | A sends the blocker (one buffer of 1500 bytes costs 2304) |
//! | IN | a byte in A's queue | B sends one | A reads them all |
//! | PRI (and IN) | an out-of-band byte in A's queue | B sends with MSG_OOB | A reads with MSG_OOB, then the rest |
//! | OUT, for good | A may not send, so B's queue stays as it is | shutdown(B, SHUT_RD) | never |
//! | RDHUP (and IN) | the peer will send no more | shutdown(B, SHUT_WR) | never |
//! | HUP (and IN, RDHUP) | both directions are shut | shutdown(B, SHUT_RDWR) | never |
//! | ERR (and IN, OUT, RDHUP, HUP) | B was closed with a byte unread | close(B) | getsockopt(A, SO_ERROR) takes ERR away, the rest stays |
//!
//! Which masks can be shown, then:
//! * any of {}, IN, OUT, IN|OUT, each also with PRI where IN is, and with RDHUP where IN is;
//! * IN|RDHUP|HUP with or without OUT (OUT can still be given back there, but not taken away);
//! * IN|OUT|RDHUP|HUP|ERR, and the same without ERR after it;
//! * not: PRI without IN; RDHUP without IN; HUP without IN|RDHUP (a fresh TCP socket's OUT|HUP); ERR without
//!   HUP (an error queue that has something: shown as IN, so that a poller wakes and finds out by its call).
//!
//! An irreversible step is taken only when everything it brings along has been asked for. What then
//! cannot be shown any more, since the socket is connected anew after a hang-up, needs another pair in the
//! place of this one; [`Shown::needs_replacing`] says so.
//!
//! # When is the last copy of A gone?
//! B polls HUP, until we hang up ourselves. Then B is woken all the same when A ends, and the census says whether it
//! was that: an epoll instance that A is registered with, and leaves when its last copy is closed. Where B is
//! closed (ERR) a canary tells: before it, and before SHUT_WR, B sends the write end of a pipe to A (SCM_RIGHTS), where
//! nobody will ever read it; the queue holding it dies with A, and the pipe's read end polls HUP.
//! [`Placeholder::released`] asks the right one; [`Placeholder::watch`] is what to poll.
//!
//! # Limits
//! The canary counts as one descriptor in flight: beyond RLIMIT_NOFILE of them an unprivileged supervisor gets
//! ETOOMANYREFS, and the placeholder then does not show ERR and tells of A's end by ERR on B instead.
//!
//! # Cost
//! Four system calls to make and one more for every sixteenth, three for the canary; one for each step of the table.

use core::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use super::calls::{is_async, poll, receive, send, send_canary, set_option, shutdown, take_error};
use super::{
    BLOCKER, FILLERS, HUNG_UP, MANY, Mask, Pairs, RESET, Shown, Signalled, WAKE_BYTE_COST,
    WAKE_BYTES,
};
use crate::Errno;
use crate::census::{Census, Counted};
use crate::process::Identity;

/// How far the pair has been shut down. Each state is final but for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// SHUT_WR on B.
    ReadClosed,
    /// SHUT_RDWR on B.
    HungUp,
    /// B is closed, ERR stands.
    Reset,
    /// B is closed, ERR has been taken away.
    ResetTaken,
}

/// End B, and what A shows because of it.
#[derive(Debug)]
pub struct Placeholder {
    /// None: reset.
    b: Option<OwnedFd>,
    /// The read end of the canary's pipe.
    canary: Option<OwnedFd>,
    census: Counted,
    identity: Identity,
    phase: Phase,
    /// Bytes in A's queue, out-of-band ones included; the canary is not counted.
    wake_bytes: u32,
    /// The last of these is out of band and unread.
    urgent: bool,
    /// An out-of-band byte has come since A's queue was empty.
    had_urgent: bool,
    /// B's SO_SNDBUF has been raised: when it was first full.
    roomy: bool,
    /// A's SO_SNDBUF has been lowered: when OUT was first taken away.
    small: bool,
    /// The blocker lies in B's queue.
    blocked: bool,
    /// Single bytes behind it.
    fillers: usize,
    /// SHUT_RD on B: A cannot send.
    send_closed: bool,
    /// A pair of SOCK_SEQPACKET.
    packets: bool,
    /// SO_SELECT_ERR_QUEUE of A.
    select: bool,
}

impl Placeholder {
    /// A new pair: A, blocking, close-on-exec on our side; and B. A shows OUT.
    pub fn new() -> Result<(OwnedFd, Placeholder), Errno> {
        Placeholder::with_flags(0)
    }

    /// The same; `flags` may be O_NONBLOCK, which A then has.
    pub fn with_flags(flags: i32) -> Result<(OwnedFd, Placeholder), Errno> {
        Pairs::default().make(flags)
    }

    pub(super) fn make(
        census: &mut Census,
        kind: i32,
        flags: i32,
    ) -> Result<(OwnedFd, Placeholder), Errno> {
        let mut pair = [-1; 2];
        let packets = kind == libc::SOCK_SEQPACKET;
        // B gets the flag too, which does not matter: all its calls are MSG_DONTWAIT.
        let kind = kind | libc::SOCK_CLOEXEC | (flags & libc::O_NONBLOCK);
        // SAFETY: the kernel writes two descriptors.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
        Errno::check(made.into())?;
        // SAFETY: just made, nobody else knows them.
        let (a, b) = unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) };
        // The residue: what makes a close of B a reset. Always one byte, always the last in B's queue.
        send(a.as_fd(), &[0], 0)?;
        let identity = Identity::of(a.as_fd())?;
        let placeholder = Placeholder {
            b: Some(b),
            canary: None,
            census: census.add(a.as_fd())?,
            identity,
            phase: Phase::Open,
            wake_bytes: 0,
            urgent: false,
            had_urgent: false,
            roomy: false,
            small: false,
            blocked: false,
            fillers: 0,
            send_closed: false,
            packets,
            select: false,
        };
        Ok((a, placeholder))
    }

    /// Which file A is: how a descriptor of the program is recognised.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What A shows.
    pub fn mask(&self) -> Mask {
        let mut mask = match self.phase {
            Phase::Open => Mask::empty(),
            Phase::ReadClosed => Mask::IN | Mask::RDHUP,
            Phase::HungUp | Phase::ResetTaken => HUNG_UP,
            Phase::Reset => RESET,
        };
        mask.set(Mask::OUT, !self.blocked);
        if self.wake_bytes > 0 {
            mask |= Mask::IN;
        }
        if self.urgent || self.select && self.phase == Phase::Reset {
            mask |= Mask::PRI;
        }
        mask
    }

    /// SO_SELECT_ERR_QUEUE: of packets an error counts as urgent, too; streams do not heed it.
    pub fn set_select_err(&mut self, a: BorrowedFd<'_>, on: bool) {
        if self.packets && set_option(a, libc::SO_SELECT_ERR_QUEUE, on.into()).is_ok() {
            self.select = on;
        }
    }

    /// What to watch for the end of A: register it edge-triggered with no events (HUP and ERR come unasked),
    /// and ask [`Self::released`] when something comes. `None`: A cannot be watched; never in
    /// practice, as a reset without a canary is refused.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.b.as_ref().or(self.canary.as_ref()).map(AsFd::as_fd)
    }

    /// Whether a HUP of what is watched means that the last copy of A is gone, and nothing else.
    pub fn watch_is_exact(&self) -> bool {
        match (&self.b, &self.canary) {
            (Some(_), _) => self.phase < Phase::HungUp,
            (None, canary) => canary.is_some(),
        }
    }

    /// Whether the last copy of A is gone.
    pub fn released(&self) -> bool {
        match (&self.b, &self.canary) {
            // Until we hang up ourselves B's HUP is exact.
            (Some(b), _) if self.phase < Phase::HungUp => poll(b.as_fd()) & libc::POLLHUP != 0,
            // B is woken once more when A ends, though it shows HUP all the time; by then A has left the census.
            (Some(_), _) => !self.census.exists(),
            (None, Some(canary)) => poll(canary.as_fd()) & libc::POLLHUP != 0,
            (None, None) => !self.census.exists(),
        }
    }

    /// Something arrived: IN, and an edge for those who see IN already.
    pub fn signal_in(&mut self) -> Signalled {
        self.wake(0)
    }

    fn wake(&mut self, flags: i32) -> Signalled {
        let Some(b) = self.b.as_ref().filter(|_| self.phase == Phase::Open) else {
            return Signalled::Final;
        };
        let mut sent = send(b.as_fd(), &[0], flags);
        if sent == Err(Errno(libc::EAGAIN)) && !self.roomy {
            self.roomy = true;
            // The kernel doubles what is asked for.
            let room = WAKE_BYTES * WAKE_BYTE_COST / 2;
            if set_option(b.as_fd(), libc::SO_SNDBUFFORCE, room).is_err() {
                // EPERM: as much as everybody may have. What there is stays where this fails.
                let _same = set_option(b.as_fd(), libc::SO_SNDBUF, room);
            }
            sent = send(b.as_fd(), &[0], flags);
        }
        match sent {
            Ok(_) => {
                self.wake_bytes += 1;
                Signalled::Edge
            }
            // EPIPE: A is gone, nobody looks. With ENOBUFS or ENOMEM and an empty queue IN is missing:
            // `show` tells.
            Err(_) => Signalled::Full,
        }
    }

    /// Urgent data arrived: PRI (and IN), and SIGURG to A's owner. Again for each urgent mark.
    pub fn signal_pri(&mut self) -> Signalled {
        if self.packets {
            // Packets have no out-of-band data.
            return Signalled::Final;
        }
        let signalled = self.wake(libc::MSG_OOB);
        self.urgent |= signalled == Signalled::Edge;
        self.had_urgent |= self.urgent;
        signalled
    }

    /// Nothing is left to read: takes IN and PRI away. In a pair that is shut down it does nothing.
    pub fn drain_in(&mut self, a: BorrowedFd<'_>) {
        if self.phase != Phase::Open || self.wake_bytes == 0 {
            return;
        }
        let mut room = [const { MaybeUninit::<u8>::uninit() }; WAKE_BYTES as usize];
        if self.urgent {
            self.take_pri(a);
        }
        loop {
            match receive(a, &mut room, 0) {
                // All of them, one read does. With an out-of-band byte, one more: that byte, read,
                // keeps its place in the queue, and IN, until the next read finds it empty.
                Ok(got) if got == self.wake_bytes as usize && !self.had_urgent && !self.packets => {
                    break;
                }
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        self.wake_bytes = 0;
        self.had_urgent = false;
    }

    /// All wake bytes but one go, if there are many: room for more arrivals while something is still to be read.
    pub fn thin(&mut self, a: BorrowedFd<'_>) {
        if self.phase != Phase::Open || self.wake_bytes <= MANY || self.urgent {
            return;
        }
        if self.had_urgent {
            self.drain_in(a);
            let _first = self.signal_in();
            return;
        }
        let mut room = [const { MaybeUninit::<u8>::uninit() }; WAKE_BYTES as usize];
        let many = (self.wake_bytes - 1).min(WAKE_BYTES as u32);
        // One read takes one packet, or bytes of a stream.
        let (reads, each) = if self.packets {
            (many, 1)
        } else {
            (1, many as usize)
        };
        for _ in 0..reads {
            match receive(a, &mut room[..each], 0) {
                Ok(got) => self.wake_bytes -= got as u32,
                Err(_) => return,
            }
        }
    }

    /// The urgent mark has been read: takes PRI away. IN stays if something else is to be read.
    fn take_pri(&mut self, a: BorrowedFd<'_>) {
        let mut byte = [MaybeUninit::uninit()];
        // EINVAL: an ordinary read has discarded it already.
        let _taken = receive(a, &mut byte, libc::MSG_OOB);
        self.urgent = false;
    }

    /// Nothing can be sent: takes OUT away. Not possible once sending is shut down.
    pub fn block_out(&mut self, a: BorrowedFd<'_>) {
        if self.blocked || self.out_is_fixed() {
            return;
        }
        let blocker = [0u8; BLOCKER];
        if !self.small {
            // Raised to the minimum.
            self.small = set_option(a, libc::SO_SNDBUF, 0).is_ok();
        }
        // The blocker lies before a new residue, so that reading up to it leaves the one unread byte.
        self.blocked = send(a, &blocker, 0) == Ok(BLOCKER) && send(a, &[0], 0).is_ok();
        if self.blocked && is_async(a) {
            // SIGIO for room comes only to who has met a full buffer (SOCKWQ_ASYNC_NOSPACE): one more byte
            // fills it, and the next is refused. The residue is behind them all.
            while self.fillers < FILLERS && send(a, &[0], 0).is_ok() {
                self.fillers += 1;
            }
        }
    }

    /// There is room to send again: gives OUT back, with an edge.
    pub fn unblock_out(&mut self) {
        let Some(b) = self.b.as_ref().filter(|_| self.blocked) else {
            return;
        };
        // All but the last byte: the old residue and the blocker.
        let mut room = [const { MaybeUninit::uninit() }; 1 + BLOCKER + FILLERS];
        let fillers = self.fillers.min(FILLERS);
        if self.packets {
            // One read takes one packet.
            let packets = 2 + fillers;
            let read = (0..packets).filter(|_| receive(b.as_fd(), &mut room, 0).is_ok());
            self.blocked = read.count() != packets;
        } else {
            let count = 1 + BLOCKER + fillers;
            self.blocked = receive(b.as_fd(), &mut room[..count], 0) != Ok(count);
        }
        self.fillers = 0;
    }

    fn out_is_fixed(&self) -> bool {
        self.send_closed || self.phase >= Phase::HungUp
    }

    /// The program will send no more (its own SHUT_WR): OUT for good, and a write to A that is answered with
    /// CONTINUE gives EPIPE and SIGPIPE by the kernel's hand. Together with [`Self::rdhup`] it is HUP.
    pub fn close_send(&mut self) {
        if self.out_is_fixed() {
            return;
        }
        self.unblock_out();
        self.send_closed = true;
        if self.phase == Phase::ReadClosed {
            return self.hup();
        }
        if let Some(b) = &self.b {
            shutdown(b.as_fd(), libc::SHUT_RD);
        }
    }

    /// Nothing goes in either direction, by the program's own SHUT_WR: HUP, and no SIGIO for it.
    fn hup_by(&mut self, a: BorrowedFd<'_>) {
        if self.phase != Phase::ReadClosed || self.send_closed {
            return self.hup();
        }
        self.unblock_out();
        shutdown(a, libc::SHUT_WR);
        self.phase = Phase::HungUp;
    }

    /// The peer will send no more: IN and RDHUP, for good.
    pub fn rdhup(&mut self) {
        if self.phase >= Phase::ReadClosed {
            return;
        }
        if self.send_closed {
            return self.hup();
        }
        self.place_canary();
        if let Some(b) = &self.b {
            shutdown(b.as_fd(), libc::SHUT_WR);
        }
        self.phase = Phase::ReadClosed;
    }

    /// Nothing goes in either direction: IN, RDHUP and HUP, for good. OUT is given back before.
    pub fn hup(&mut self) {
        if self.phase >= Phase::HungUp {
            return;
        }
        self.unblock_out();
        // No canary: it would show IN alone for a moment, to a poller that waits for the hang-up.
        if let Some(b) = &self.b {
            shutdown(b.as_fd(), libc::SHUT_RDWR);
        }
        self.phase = Phase::HungUp;
    }

    /// Reset: ERR with everything else but PRI, for good. False, and only hung up, where no canary
    /// could be placed. After a hang-up there is none, and nothing to watch: ask [`Self::released`] now and then.
    pub fn err(&mut self) -> bool {
        if self.phase >= Phase::Reset {
            return self.phase == Phase::Reset;
        }
        self.place_canary();
        if self.canary.is_none() && self.phase < Phase::HungUp {
            self.hup();
            return false;
        }
        self.b = None;
        self.blocked = false; // B's queue is gone, and A is no longer charged for it
        self.phase = Phase::Reset;
        true
    }

    /// getsockopt(A, SO_ERROR): takes ERR away after a reset, as reading the error does on a real socket.
    pub fn take_err(&mut self, a: BorrowedFd<'_>) {
        if self.phase != Phase::Reset {
            return;
        }
        if take_error(a) {
            self.phase = Phase::ResetTaken;
        }
    }

    /// Sends the canary, while B can still send. Also the byte that keeps A's queue non-empty.
    fn place_canary(&mut self) {
        if self.canary.is_some() || self.phase != Phase::Open {
            return;
        }
        let Some(b) = &self.b else { return };
        self.canary = send_canary(b.as_fd()).ok();
        if self.canary.is_none() && self.wake_bytes == 0 {
            let _full = self.signal_in();
        }
    }

    /// Brings A as close to `want` as it goes: rising bits at once, falling ones if A is given. See the table
    /// at the top for what is possible. Makes no new edge for what A shows already.
    pub fn show(&mut self, want: Mask, a: Option<BorrowedFd<'_>>) -> Shown {
        let watched_b = self.b.is_some();
        // ERR alone cannot be shown: it wakes as IN.
        let mut target = want;
        if want.contains(Mask::ERR) && !want.contains(RESET) {
            target |= Mask::IN;
        }
        if want.contains(RESET) && self.phase < Phase::Reset {
            self.err();
        } else if want.contains(HUNG_UP) {
            match a {
                Some(a) => self.hup_by(a),
                None => self.hup(),
            }
        } else if want.contains(Mask::IN | Mask::RDHUP) {
            self.rdhup();
        }
        if target.contains(Mask::OUT) {
            self.unblock_out();
        }
        if target.contains(Mask::PRI) && !self.mask().contains(Mask::PRI) {
            self.signal_pri();
        }
        if let Some(a) = a {
            if !want.contains(Mask::ERR) {
                self.take_err(a);
            }
            if !target.contains(Mask::OUT) {
                self.block_out(a);
            }
            if !target.contains(Mask::PRI) && self.urgent {
                // The byte keeps its place in the queue, and IN: nobody is woken by what is not new.
                self.take_pri(a);
            }
            if !target.intersects(Mask::IN | Mask::PRI) {
                self.drain_in(a);
            }
        }
        if target.contains(Mask::IN) && !self.mask().contains(Mask::IN) {
            self.signal_in();
        }
        let mask = self.mask();
        let excess = mask - want;
        let phase = self.phase;
        // What A can do about the excess.
        let mut curable = Mask::empty();
        if !self.out_is_fixed() {
            curable |= Mask::OUT;
        }
        if phase == Phase::Open {
            curable |= Mask::PRI;
            if !target.contains(Mask::IN) && !target.contains(Mask::PRI) {
                curable |= Mask::IN;
            }
        } else if self.urgent {
            curable |= Mask::PRI;
        }
        if phase == Phase::Reset {
            curable |= Mask::ERR;
        }
        // What the phases passed have made impossible.
        let mut lasting = match phase {
            Phase::Open => Mask::empty(),
            Phase::ReadClosed => Mask::IN | Mask::RDHUP,
            Phase::HungUp | Phase::Reset | Phase::ResetTaken => HUNG_UP,
        };
        lasting.set(Mask::OUT, self.out_is_fixed());
        let missing = want - mask;
        let lost = if phase == Phase::Open {
            Mask::empty()
        } else {
            Mask::PRI | Mask::ERR
        };
        Shown {
            mask,
            missing,
            excess,
            needs_a: a.is_none() && excess.intersects(curable),
            needs_replacing: excess.intersects(lasting - curable) || missing.intersects(lost),
            rewatch: watched_b && self.b.is_none(),
        }
    }
}
