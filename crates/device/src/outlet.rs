//! Where a link leads that does not lead to another virtual host: to the sockets of the real host, or to a device of it.
//! One face for whoever carries packets.

use std::boxed::Box;
use std::os::fd::{AsFd, BorrowedFd};

use switchboard_engine::Instant;
use switchboard_wire::Frame;

use crate::nat::Nat;
use crate::tun::{Tun, TunKind};

/// How many packets of a device come out before others get their turn.
const BUDGET: u32 = 256;

enum Way {
    Nat(Box<Nat>),
    Tun { device: Tun, left: u32 },
}

/// The other end of a link.
///
/// Whoever carries packets calls [`look`](Self::look) when the descriptor is readable, [`send`](Self::send) for each
/// frame, and [`next`](Self::next) until there is none; and again at [`poll_timeout`](Self::poll_timeout).
pub struct Outlet {
    way: Way,
    /// Something has happened since `next` had nothing.
    busy: bool,
    gone: bool,
}

impl From<Nat> for Outlet {
    fn from(nat: Nat) -> Outlet {
        Outlet {
            way: Way::Nat(Box::new(nat)),
            busy: false,
            gone: false,
        }
    }
}

impl From<Tun> for Outlet {
    /// A TUN or TAP device: packets or frames to and from the real host's kernel.
    fn from(device: Tun) -> Outlet {
        let left = BUDGET;
        Outlet {
            way: Way::Tun { device, left },
            busy: false,
            gone: false,
        }
    }
}

impl Outlet {
    /// Whether the link is an Ethernet. That of a TUN device carries IP packets only.
    pub fn is_ethernet(&self) -> bool {
        match &self.way {
            Way::Nat(_) => true,
            Way::Tun { device, .. } => device.kind() == TunKind::Tap,
        }
    }

    /// The virtual host has sent a frame. What a device has no room for is lost, as on any link.
    pub fn send(&mut self, now: Instant, frame: Frame) {
        match &mut self.way {
            Way::Nat(nat) => {
                nat.send(now, frame);
                self.busy = true;
            }
            Way::Tun { device, .. } => drop(device.send_frame(&frame)),
        }
    }

    /// The next frame for the virtual host.
    pub fn next(&mut self, now: Instant) -> Option<Frame> {
        if !self.busy && self.poll_timeout().is_none_or(|at| at > now) {
            return None;
        }
        match &mut self.way {
            Way::Nat(nat) => {
                if let Some(frame) = nat.recv(now) {
                    return Some(frame);
                }
                if nat.poll_timeout().is_some_and(|at| at <= now) {
                    nat.handle_timeout(now);
                }
                let mut more = true;
                while more {
                    more = nat.work(now);
                    if let Some(frame) = nat.recv(now) {
                        return Some(frame);
                    }
                }
            }
            Way::Tun { device, left } => {
                if let Some(fewer) = left.checked_sub(1) {
                    *left = fewer;
                    match device.recv_frame() {
                        Ok(Some(frame)) => return Some(frame),
                        Ok(None) => {}
                        // tun_do_read(), EBADFD: somebody has deleted the interface.
                        Err(_) => self.gone = true,
                    }
                }
            }
        }
        self.busy = false;
        None
    }

    /// Its descriptor is readable.
    pub fn look(&mut self, now: Instant) {
        match &mut self.way {
            Way::Nat(nat) => nat.look(now),
            Way::Tun { left, .. } => *left = BUDGET,
        }
        self.busy = true;
    }

    /// Whether the device is no more: its descriptor is readable for ever, and need not be waited for.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// When [`next`](Self::next) may have something by itself.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.way {
            _ if self.busy => Some(Instant::BOOT),
            Way::Nat(nat) => nat.poll_timeout(),
            Way::Tun { .. } => None,
        }
    }

    /// The gateway, if it is one.
    pub fn nat(&self) -> Option<&Nat> {
        match &self.way {
            Way::Nat(nat) => Some(nat),
            Way::Tun { .. } => None,
        }
    }

    /// The gateway, if it is one, to publish ports.
    pub fn nat_mut(&mut self) -> Option<&mut Nat> {
        match &mut self.way {
            Way::Nat(nat) => Some(nat),
            Way::Tun { .. } => None,
        }
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Nat(nat) => nat.as_fd(),
            Way::Tun { device, .. } => device.as_fd(),
        }
    }
}
