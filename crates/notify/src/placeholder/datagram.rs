//! The placeholder of a datagram socket, which can show an error by itself.
//!
//! # Theory of operation
//! A host AF_UNIX datagram pair. What differs from a stream pair is in its poll (unix_dgram_poll()) and in what its other
//! end can do to it:
//!
//! | A shows | because | made by | undone by |
//! |---|---|---|---|
//! | OUT | A's send charge is at most a quarter of SO_SNDBUF (the minimum, 4608) | new pair; B reads the blocker | A sends the blocker |
//! | IN | a datagram in A's queue | B sends one | A reads them all |
//! | ERR | A's peer went away with something unread: ECONNRESET | B sends itself a byte, connects to A and away from it | getsockopt(A, SO_ERROR) |
//! | PRI beside ERR | SO_SELECT_ERR_QUEUE of A | setsockopt(A) | the same |
//! | RDHUP (and IN), HUP | A is shut down | shutdown(A) | never |
//!
//! All of it together in any combination, but for what is in parentheses, and for ERR, which brings OUT: what fills the
//! pair goes with the connection. A shutdown of a datagram socket is its own, in a call
//! that has A at hand. B finds A by the name that A was given (autobind); A's peer is B throughout, so nobody else of the
//! machine may send to it (unix_may_send()).
//!
//! Without a connection an end does not see the other one's: [`Closings`] tells of the last close of A.
//!
//! # Limits
//! Each takes one of fs.inotify.max_user_watches, and one of the 2^20 names; a stream pair does where there are none left.

use core::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::calls::{is_async, receive, send, set_option, shutdown, take_error};
use super::{BLOCKER, FILLERS, HUNG_UP, MANY, Mask, Shown, Signalled, WAKE_BYTE_COST, WAKE_BYTES};
use crate::Errno;
use crate::census::{Census, Counted};
use crate::closings::{Closings, Watch};
use crate::process::Identity;

/// sun_path of a name that the kernel chose: a NUL and five hexadecimal digits.
const AUTOBOUND: usize = 6;

/// What sendto(2) and connect(2) take.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Name {
    family: libc::sa_family_t,
    path: [u8; AUTOBOUND],
}

/// End B, and what A shows because of it.
#[derive(Debug)]
pub struct DatagramPlaceholder {
    b: OwnedFd,
    census: Counted,
    watch: Watch,
    /// The last copy of A is gone.
    closed: bool,
    identity: Identity,
    /// A's and B's names, once B has been disconnected.
    names: Option<(Name, Name)>,
    /// Datagrams in A's queue.
    wake_bytes: u32,
    err: bool,
    /// SO_SELECT_ERR_QUEUE.
    select: bool,
    roomy: bool,
    small: bool,
    /// The blocker and the fillers lie in B's queue.
    blocked: bool,
    fillers: usize,
    /// How far A has been shut down.
    read_shut: bool,
    write_shut: bool,
}

impl DatagramPlaceholder {
    pub(super) fn make(
        census: &mut Census,
        closings: &Closings,
        flags: i32,
    ) -> Result<(OwnedFd, DatagramPlaceholder), Errno> {
        let mut pair = [-1; 2];
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | (flags & libc::O_NONBLOCK);
        // SAFETY: the kernel writes two descriptors.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
        Errno::check(made.into())?;
        // SAFETY: just made, nobody else knows them.
        let (a, b) = unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) };
        autobind(a.as_fd())?;
        let placeholder = DatagramPlaceholder {
            b,
            census: census.add(a.as_fd())?,
            watch: closings.watch(a.as_fd())?,
            closed: false,
            identity: Identity::of(a.as_fd())?,
            names: None,
            wake_bytes: 0,
            err: false,
            select: false,
            roomy: false,
            small: false,
            blocked: false,
            fillers: 0,
            read_shut: false,
            write_shut: false,
        };
        Ok((a, placeholder))
    }

    /// Which file A is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What [`Closings`] calls it.
    pub fn watch_number(&self) -> i32 {
        self.watch.number()
    }

    /// [`Closings`] has told of it.
    pub fn set_closed(&mut self) {
        self.closed = true;
    }

    /// Whether the last copy of A is gone.
    pub fn released(&self) -> bool {
        self.closed || !self.census.exists()
    }

    /// What A shows.
    pub fn mask(&self) -> Mask {
        let mut mask = Mask::empty();
        mask.set(Mask::IN, self.wake_bytes > 0 || self.read_shut);
        mask.set(Mask::OUT, !self.blocked);
        mask.set(Mask::ERR, self.err);
        mask.set(Mask::PRI, self.err && self.select);
        mask.set(Mask::RDHUP, self.read_shut);
        mask.set(Mask::HUP, self.read_shut && self.write_shut);
        mask
    }

    /// A datagram to A, whether B is connected to it or not.
    fn send_to_a(&self) -> Result<usize, Errno> {
        match &self.names {
            None => send(self.b.as_fd(), &[0], 0),
            Some((a, _)) => send_to(self.b.as_fd(), a),
        }
    }

    /// Something arrived: IN, and an edge for those who see IN already.
    pub fn signal_in(&mut self) -> Signalled {
        if self.read_shut {
            return Signalled::Final;
        }
        let mut sent = self.send_to_a();
        if sent == Err(Errno(libc::EAGAIN)) && !self.roomy {
            self.roomy = true;
            let room = WAKE_BYTES * WAKE_BYTE_COST / 2;
            if set_option(self.b.as_fd(), libc::SO_SNDBUFFORCE, room).is_err() {
                let _same = set_option(self.b.as_fd(), libc::SO_SNDBUF, room);
            }
            sent = self.send_to_a();
        }
        match sent {
            Ok(_) => {
                self.wake_bytes += 1;
                Signalled::Edge
            }
            Err(_) => Signalled::Full,
        }
    }

    /// An error: ERR, and an edge for those who see it already.
    pub fn signal_err(&mut self) {
        self.err = self.raise().is_ok();
    }

    fn raise(&mut self) -> Result<(), Errno> {
        let b = self.b.as_fd();
        let (a_name, b_name) = match self.names {
            Some(names) => names,
            None => {
                let a_name = name(|address, len| {
                    // SAFETY: the kernel writes at most `len` bytes.
                    unsafe { libc::getpeername(b.as_raw_fd(), address, len) }
                })?;
                autobind(b)?;
                let b_name = name(|address, len| {
                    // SAFETY: as above.
                    unsafe { libc::getsockname(b.as_raw_fd(), address, len) }
                })?;
                disconnect(b)?;
                *self.names.insert((a_name, b_name))
            }
        };
        // Something unread, from whoever may send to B while it has no peer: itself.
        send_to(b, &b_name)?;
        connect(b, &a_name)?;
        // What A had sent goes with the connection: there is room again.
        self.blocked = false;
        self.fillers = 0;
        disconnect(b)
    }

    /// The error is gone: takes ERR away.
    fn take_err(&mut self, a: BorrowedFd<'_>) {
        if self.err {
            take_error(a);
            self.err = false;
        }
    }

    /// Whether an entry of the error queue counts as urgent, too.
    pub fn set_select_err(&mut self, a: BorrowedFd<'_>, on: bool) {
        if set_option(a, libc::SO_SELECT_ERR_QUEUE, on.into()).is_ok() {
            self.select = on;
        }
    }

    fn drain_in(&mut self, a: BorrowedFd<'_>) {
        if self.wake_bytes == 0 || self.read_shut {
            return;
        }
        // A receive would take the error, and nothing else.
        let err = self.err;
        self.take_err(a);
        let mut room = [const { MaybeUninit::<u8>::uninit() }; 1];
        while receive(a, &mut room, 0).is_ok() {}
        self.wake_bytes = 0;
        if err {
            self.signal_err();
        }
    }

    /// As [`super::Placeholder::thin`].
    pub fn thin(&mut self, a: BorrowedFd<'_>) {
        // A receive would take an error first.
        if self.wake_bytes <= MANY || self.read_shut || self.err {
            return;
        }
        let mut room = [const { MaybeUninit::<u8>::uninit() }; 1];
        while self.wake_bytes > 1 && receive(a, &mut room, 0).is_ok() {
            self.wake_bytes -= 1;
        }
    }

    /// Nothing can be sent: takes OUT away. Not possible beside an error, which a send would take.
    pub fn block_out(&mut self, a: BorrowedFd<'_>) {
        if self.blocked || self.write_shut || self.err {
            return;
        }
        if !self.small {
            self.small = set_option(a, libc::SO_SNDBUF, 0).is_ok();
        }
        self.blocked = send(a, &[0u8; BLOCKER], 0) == Ok(BLOCKER);
        if self.blocked && is_async(a) {
            while self.fillers < FILLERS && send(a, &[0], 0).is_ok() {
                self.fillers += 1;
            }
        }
    }

    /// There is room to send again: gives OUT back, with an edge.
    pub fn unblock_out(&mut self) {
        if !self.blocked {
            return;
        }
        let mut room = [const { MaybeUninit::<u8>::uninit() }; 1];
        while receive(self.b.as_fd(), &mut room, 0).is_ok() {}
        self.blocked = false;
        self.fillers = 0;
    }

    fn shut(&mut self, a: BorrowedFd<'_>, how: i32) {
        self.unblock_out();
        shutdown(a, how);
        self.read_shut |= how != libc::SHUT_WR;
        self.write_shut |= how != libc::SHUT_RD;
    }

    /// As [`super::Placeholder::show`].
    pub fn show(&mut self, want: Mask, a: Option<BorrowedFd<'_>>) -> Shown {
        let shut = want & HUNG_UP;
        if let Some(a) = a {
            if shut == HUNG_UP && !(self.read_shut && self.write_shut) {
                self.shut(a, libc::SHUT_RDWR);
            } else if shut == Mask::IN | Mask::RDHUP && !self.read_shut {
                self.shut(a, libc::SHUT_RD);
            }
            if !want.contains(Mask::ERR) {
                self.take_err(a);
            }
            if !want.contains(Mask::IN) {
                self.drain_in(a);
            }
        }
        if want.contains(Mask::ERR) && !self.err {
            self.signal_err();
        }
        if want.contains(Mask::IN) && !self.mask().contains(Mask::IN) {
            self.signal_in();
        }
        if want.contains(Mask::OUT) {
            self.unblock_out();
        } else if let Some(a) = a {
            self.block_out(a);
        }
        let mask = self.mask();
        let (missing, excess) = (want - mask, mask - want);
        let mut lasting = Mask::empty();
        if self.read_shut {
            lasting |= Mask::IN | Mask::RDHUP;
        }
        if self.write_shut {
            lasting |= Mask::OUT | Mask::HUP;
        }
        let mut fixed = lasting;
        fixed.set(Mask::OUT, self.write_shut || want.contains(Mask::ERR));
        let hang_up = Mask::RDHUP | Mask::HUP;
        let falls = (excess - fixed).intersects(Mask::IN | Mask::OUT | Mask::ERR);
        Shown {
            mask,
            missing,
            excess,
            needs_a: a.is_none() && (falls || missing.intersects(hang_up)),
            needs_replacing: excess.intersects(lasting),
            rewatch: false,
        }
    }
}

fn send_to(fd: BorrowedFd<'_>, to: &Name) -> Result<usize, Errno> {
    let byte = 0u8;
    // SAFETY: one byte and one name are read.
    let sent = Errno::retry(|| unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            (&raw const byte).cast(),
            1,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            (&raw const *to).cast(),
            size_of::<Name>() as u32,
        ) as i64
    });
    sent.map(|count| count as usize)
}

fn connect(fd: BorrowedFd<'_>, to: &Name) -> Result<(), Errno> {
    // SAFETY: one name is read.
    let done = Errno::retry(|| unsafe {
        let len = size_of::<Name>() as u32;
        libc::connect(fd.as_raw_fd(), (&raw const *to).cast(), len).into()
    });
    done.map(drop)
}

/// connect(2) to AF_UNSPEC.
fn disconnect(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let nobody = Name {
        family: libc::AF_UNSPEC as u16,
        path: [0; AUTOBOUND],
    };
    connect(fd, &nobody)
}

/// bind(2) with no more than a family: the kernel chooses a name (unix(7), Autobind).
fn autobind(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let family = libc::AF_UNIX as libc::sa_family_t;
    // SAFETY: the kernel reads two bytes.
    let bound = unsafe {
        let len = size_of_val(&family) as u32;
        libc::bind(fd.as_raw_fd(), (&raw const family).cast(), len)
    };
    Errno::check(bound.into()).map(drop)
}

fn name(ask: impl FnOnce(*mut libc::sockaddr, *mut u32) -> i32) -> Result<Name, Errno> {
    let mut name = Name {
        family: 0,
        path: [0; AUTOBOUND],
    };
    let mut len = size_of::<Name>() as u32;
    Errno::check(ask((&raw mut name).cast(), &raw mut len).into())?;
    // Longer names are not the kernel's choice.
    if len as usize == size_of::<Name>() {
        Ok(name)
    } else {
        Err(Errno(libc::ENAMETOOLONG))
    }
}
