//! poll(2)'s event bits.

use bitflags::bitflags;

bitflags! {
    /// The `POLL*` bits, with their numbers in poll(2) and epoll(7).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct PollMask: u16 {
        /// There is data to read, or a connection to accept.
        const IN = 0x001;
        /// There is urgent data.
        const PRI = 0x002;
        /// There is room to write.
        const OUT = 0x004;
        /// An error is pending.
        const ERR = 0x008;
        /// Both directions are shut down.
        const HUP = 0x010;
        /// Same as `IN`.
        const RDNORM = 0x040;
        /// Priority band data.
        const RDBAND = 0x080;
        /// Same as `OUT`.
        const WRNORM = 0x100;
        /// Room for priority data.
        const WRBAND = 0x200;
        /// The peer shut its writing half down.
        const RDHUP = 0x2000;

        /// What Linux reports when a socket becomes readable.
        const READABLE = Self::IN.bits() | Self::RDNORM.bits();
        /// What Linux reports when a socket becomes writable.
        const WRITABLE = Self::OUT.bits() | Self::WRNORM.bits() | Self::WRBAND.bits();
    }
}

impl PollMask {
    /// datagram_poll() of a socket that always has room to send: packet and netlink sockets.
    pub(crate) fn of_datagrams(failed: bool, waiting: bool) -> PollMask {
        let mut mask = PollMask::WRITABLE;
        mask.set(PollMask::ERR, failed);
        if waiting {
            mask |= PollMask::READABLE;
        }
        mask
    }
}
