//! The placeholder of a socket, of the kind that shows what its type can.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use switchboard_notify::{
    Closings, DatagramPlaceholder, Errno, Identity, Mask, Pairs, Placeholder, Shown,
};

/// What a program's descriptor of a socket has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// SOCK_STREAM: urgent data, hang-ups and resets by the peer.
    Stream,
    /// SOCK_SEQPACKET: the same without urgent data, and SO_SELECT_ERR_QUEUE.
    Packets,
    /// All else: errors that come and go.
    Datagrams,
}

impl Shape {
    /// Of a socket's SO_TYPE.
    pub(super) fn of(kind: i32) -> Shape {
        match kind {
            libc::SOCK_STREAM => Shape::Stream,
            libc::SOCK_SEQPACKET => Shape::Packets,
            _ => Shape::Datagrams,
        }
    }
}

/// Makes them.
pub(super) struct Makers {
    pairs: Pairs,
    /// Tells of the end of datagram placeholders. `None`: this kernel does not, and there are none.
    closings: Option<Closings>,
    /// Keep a copy of the program's end.
    keep: bool,
}

impl Makers {
    pub(super) fn new(closings: Option<Closings>, keep: bool) -> Makers {
        Makers {
            pairs: Pairs::default(),
            closings,
            keep,
        }
    }

    pub(super) fn keep(&self) -> bool {
        self.keep
    }

    /// A new one: the program's end, and ours.
    pub(super) fn make(
        &mut self,
        shape: Shape,
        nonblock: bool,
    ) -> Result<(OwnedFd, StandIn), Errno> {
        let (a, kind) = self.pair(shape, nonblock)?;
        let kept = if self.keep {
            let copy = a.try_clone();
            Some(copy.map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::EMFILE)))?)
        } else {
            None
        };
        Ok((a, StandIn { kind, kept }))
    }

    fn pair(&mut self, shape: Shape, nonblock: bool) -> Result<(OwnedFd, Kind), Errno> {
        let flags = if nonblock { libc::O_NONBLOCK } else { 0 };
        if shape == Shape::Datagrams
            && let Some(closings) = &self.closings
            // Without a name or a watch to spare it has to do with what a stream pair shows.
            && let Ok((a, made)) = self.pairs.make_datagrams(closings, flags)
        {
            return Ok((a, Kind::Datagrams(made)));
        }
        let made = match shape {
            Shape::Packets => self.pairs.make_packets(flags),
            _ => self.pairs.make(flags),
        };
        made.map(|(a, made)| (a, Kind::Stream(made)))
    }
}

/// What stands for a socket, but for the program's end.
pub(super) struct StandIn {
    kind: Kind,
    /// A copy of the program's end, where it cannot be fetched when it is needed.
    kept: Option<OwnedFd>,
}

enum Kind {
    Stream(Placeholder),
    Datagrams(DatagramPlaceholder),
}

impl StandIn {
    /// Our own copy of the program's end.
    pub(super) fn kept(&self) -> Option<BorrowedFd<'_>> {
        self.kept.as_ref().map(AsFd::as_fd)
    }

    /// No program has the other one any more.
    pub(super) fn let_go(&mut self) {
        self.kept = None;
    }

    pub(super) fn identity(&self) -> Identity {
        match &self.kind {
            Kind::Stream(it) => it.identity(),
            Kind::Datagrams(it) => it.identity(),
        }
    }

    pub(super) fn mask(&self) -> Mask {
        match &self.kind {
            Kind::Stream(it) => it.mask(),
            Kind::Datagrams(it) => it.mask(),
        }
    }

    pub(super) fn show(&mut self, want: Mask, a: Option<BorrowedFd<'_>>) -> Shown {
        let a = a.or(self.kept.as_ref().map(AsFd::as_fd));
        match &mut self.kind {
            Kind::Stream(it) => it.show(want, a),
            Kind::Datagrams(it) => it.show(want, a),
        }
    }

    /// Never while we have a copy of it ourselves.
    pub(super) fn released(&self) -> bool {
        if self.kept.is_some() {
            return false;
        }
        match &self.kind {
            Kind::Stream(it) => it.released(),
            Kind::Datagrams(it) => it.released(),
        }
    }

    /// What to poll for the end of the program's; of datagrams [`Closings`] tells.
    pub(super) fn watch(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Stream(it) => it.watch(),
            Kind::Datagrams(_) => None,
        }
    }

    pub(super) fn watch_is_exact(&self) -> bool {
        match &self.kind {
            Kind::Stream(it) => self.kept.is_none() && it.watch_is_exact(),
            Kind::Datagrams(_) => false,
        }
    }

    /// Whether nothing tells of the end of the program's.
    pub(super) fn is_unwatched(&self) -> bool {
        match &self.kind {
            Kind::Stream(it) => it.watch().is_none(),
            Kind::Datagrams(_) => false,
        }
    }

    /// What [`Closings`] calls it.
    pub(super) fn closing(&self) -> Option<i32> {
        match &self.kind {
            Kind::Stream(_) => None,
            Kind::Datagrams(it) => Some(it.watch_number()),
        }
    }

    /// [`Closings`] has told of it.
    pub(super) fn set_closed(&mut self) {
        match &mut self.kind {
            Kind::Stream(_) => {}
            Kind::Datagrams(it) => it.set_closed(),
        }
    }

    /// Shows these bits anew, of which it shows each, to those who wait for edges.
    pub(super) fn signal(&mut self, again: Mask) {
        match &mut self.kind {
            // Without room for one more arrival the level stands.
            Kind::Stream(it) => {
                if again.contains(Mask::PRI) && !again.contains(Mask::ERR) {
                    let _ = it.signal_pri();
                } else if again.contains(Mask::IN) {
                    let _ = it.signal_in();
                }
            }
            Kind::Datagrams(it) => {
                if again.contains(Mask::ERR) {
                    it.signal_err();
                }
                if again.contains(Mask::IN) {
                    let _ = it.signal_in();
                }
            }
        }
    }

    /// Makes room for more arrivals, where there have been many and something is still to be read.
    pub(super) fn thin(&mut self, a: BorrowedFd<'_>) {
        match &mut self.kind {
            Kind::Stream(it) => it.thin(a),
            Kind::Datagrams(it) => it.thin(a),
        }
    }

    pub(super) fn set_select_err(&mut self, a: BorrowedFd<'_>, on: bool) {
        match &mut self.kind {
            Kind::Stream(it) => it.set_select_err(a, on),
            Kind::Datagrams(it) => it.set_select_err(a, on),
        }
    }

    /// A write that the kernel runs on the program's end gives EPIPE and SIGPIPE, which datagram sockets do not know.
    pub(super) fn close_send(&mut self) {
        match &mut self.kind {
            Kind::Stream(it) => it.close_send(),
            Kind::Datagrams(_) => {}
        }
    }

    /// Takes OUT away and gives it back, for edge-triggered pollers.
    pub(super) fn edge_out(&mut self, a: BorrowedFd<'_>) {
        match &mut self.kind {
            Kind::Stream(it) => {
                it.block_out(a);
                it.unblock_out();
            }
            Kind::Datagrams(it) => {
                it.block_out(a);
                it.unblock_out();
            }
        }
    }
}
