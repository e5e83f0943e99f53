//! The descriptor that stands for a socket, and what it shows to poll, select and epoll.
//!
//! # Theory of operation
//! A placeholder is a host AF_UNIX pair. The program holds end A (in any number of copies); we hold end B. Nothing a
//! program does with A but polling reaches the pair, as every call that names A is trapped. So what lies in the two
//! queues is ours alone, and it makes A's poll mask.
//!
//! There are three kinds, as each can show what its type of socket does:
//! * a stream pair ([`Placeholder`], [`Pairs::make`]): urgent data, half-closes, hang-ups, resets;
//! * a SOCK_SEQPACKET pair (the same, [`Pairs::make_packets`]): no urgent data, but SO_SELECT_ERR_QUEUE;
//! * a datagram pair ([`DatagramPlaceholder`], [`Pairs::make_datagrams`]): errors that come and go.
//!
//! The *NORM and *BAND bits go with their parents; OUT brings WRBAND, which TCP does not show.
//!
//! # Edges
//! The rising side is made through B alone, at any time. The falling side of IN, OUT, PRI and ERR needs A:
//! it happens in calls that name the socket, where A can be fetched. A new arrival on a socket that shows IN
//! is one more byte, so that edge-triggered epoll, SIGIO and MSG_OOB's SIGURG fire as they do on a real socket.
//!
//! # Limits
//! Wake bytes: each costs 768 bytes of B's SO_SNDBUF. We ask for room for 4096 of them; an ordinary user gets
//! net.core.wmem_max (by default 212992: 554 of them). All but one go whenever a call has A at hand and there are more than
//! a few. Without such a call for that many arrivals it is [`Signalled::Full`]: the level is right, but those who wait for
//! edges see no more of them until they make one.

mod calls;
mod datagram;
mod stream;

pub use datagram::DatagramPlaceholder;
pub use stream::Placeholder;

use std::os::fd::OwnedFd;

use bitflags::bitflags;

use crate::Errno;
use crate::census::Census;
use crate::closings::Closings;

bitflags! {
    /// A poll mask, without the bits that always go with another.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Mask: u16 {
        /// POLLIN, with POLLRDNORM.
        const IN = 0x0001;
        /// POLLPRI.
        const PRI = 0x0002;
        /// POLLOUT, with POLLWRNORM and POLLWRBAND.
        const OUT = 0x0004;
        /// POLLERR.
        const ERR = 0x0008;
        /// POLLHUP.
        const HUP = 0x0010;
        /// POLLRDHUP.
        const RDHUP = 0x2000;
    }
}

/// What HUP cannot be shown without.
const HUNG_UP: Mask = Mask::IN.union(Mask::RDHUP).union(Mask::HUP);
/// What ERR cannot be shown without.
const RESET: Mask = HUNG_UP.union(Mask::OUT).union(Mask::ERR);

/// How many wake bytes we want to fit.
const WAKE_BYTES: i32 = 4096;
/// With more of them than this, all but one go when A is at hand.
const MANY: u32 = 64;
/// What the kernel charges for one of them (skb truesize: 256 for the head, 512 for the data).
const WAKE_BYTE_COST: i32 = 768;
/// Charged 2304: with it, and the residue of one or two single bytes, more than a quarter and less than all
/// of SO_SNDBUF's minimum are used up. So OUT is off, and the residue sent after it still fits.
const BLOCKER: usize = 1500;
/// At most so many single bytes fill what the blocker and the residues leave of the minimum.
const FILLERS: usize = 4;

/// Whether one more wake byte went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// Every poller, level or edge, has been woken.
    Edge,
    /// IN stands, but there was no room for one more byte: edge-triggered pollers saw nothing new.
    Full,
    /// The pair is shut down: it shows IN for ever and takes no more bytes.
    Final,
}

/// What [`Placeholder::show`] could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What A shows now.
    pub mask: Mask,
    /// Asked for, and not shown.
    pub missing: Mask,
    /// Shown, and not asked for.
    pub excess: Mask,
    /// With A it would be closer: call again where the descriptor is at hand.
    pub needs_a: bool,
    /// Only another pair in the place of this one could show what was asked for, as this one is shut down.
    pub needs_replacing: bool,
    /// [`Placeholder::watch`] is another descriptor from now on.
    pub rewatch: bool,
}

/// Makes placeholders, each a little cheaper than [`Placeholder::new`] does.
#[derive(Debug, Default)]
pub struct Pairs {
    census: Census,
}

impl Pairs {
    /// As [`Placeholder::with_flags`].
    pub fn make(&mut self, flags: i32) -> Result<(OwnedFd, Placeholder), Errno> {
        Placeholder::make(&mut self.census, libc::SOCK_STREAM, flags)
    }

    /// The same out of SOCK_SEQPACKET: its ERR brings PRI where SO_SELECT_ERR_QUEUE is set, and it has no PRI by itself.
    pub fn make_packets(&mut self, flags: i32) -> Result<(OwnedFd, Placeholder), Errno> {
        Placeholder::make(&mut self.census, libc::SOCK_SEQPACKET, flags)
    }

    /// One that shows what a datagram socket does.
    pub fn make_datagrams(
        &mut self,
        closings: &Closings,
        flags: i32,
    ) -> Result<(OwnedFd, DatagramPlaceholder), Errno> {
        DatagramPlaceholder::make(&mut self.census, closings, flags)
    }
}
