//! Addresses that each kernel has in its own way.

use super::op::SLOTS;
use super::prng::Prng;
use crate::addr::Addr;
use libc::{AF_INET, AF_INET6};

/// Addresses that compete for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Any4,
    Loopback4,
    Other4,
    Any6,
    Loopback6,
    Mapped,
}

impl Form {
    pub(super) const ALL: [Form; 6] = [
        Form::Any4,
        Form::Loopback4,
        Form::Other4,
        Form::Any6,
        Form::Loopback6,
        Form::Mapped,
    ];

    pub(super) fn with(self, port: u16) -> Addr {
        match self {
            Form::Any4 => Addr::any4(port),
            Form::Loopback4 => Addr::lo4(port),
            Form::Other4 => Addr::v4([127, 0, 0, 2], port),
            Form::Any6 => Addr::any6(port),
            Form::Loopback6 => Addr::lo6(port),
            Form::Mapped => Addr::mapped([127, 0, 0, 1], port),
        }
    }
}

/// An address that each kernel has in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// What getsockname says of this slot.
    Slot(usize),
    /// Loopback and port 0.
    Loopback(i32),
    /// The wildcard and port 0.
    Wildcard(i32),
    /// 127.0.0.2, port 0.
    Other,
    /// ::ffff:127.0.0.1, port 0.
    Mapped,
    /// Loopback, port 1, where nobody listens.
    Closed(i32),
    /// An abstract name.
    Abstract(usize),
    /// The family of AF_UNIX alone.
    Unnamed,
    /// AF_UNSPEC.
    Unspec,
    /// The port of this slot, with an address of this form.
    Beside(usize, Form),
    /// The address of this slot, cut to a length.
    Cut(usize, usize),
    /// A null pointer with a length.
    Null(u32),
    /// An address of no memory.
    Bad,
}

impl Where {
    pub(super) fn to_bind(rng: &mut Prng, unix: bool) -> Where {
        if rng.one_in(12) {
            return Where::odd(rng);
        }
        if unix {
            return match rng.below(4) {
                0 => Where::Unnamed,
                1 => Where::Slot(rng.below(SLOTS)),
                _ => Where::Abstract(rng.below(4)),
            };
        }
        match rng.below(7) {
            6 => Where::Other,
            0 => Where::Slot(rng.below(SLOTS)),
            1 => Where::Wildcard(rng.of(&[AF_INET, AF_INET6])),
            2 => Where::Mapped,
            _ => Where::Loopback(rng.of(&[AF_INET, AF_INET, AF_INET6])),
        }
    }

    pub(super) fn to_reach(rng: &mut Prng, unix: bool) -> Where {
        if rng.one_in(12) {
            return Where::odd(rng);
        }
        match rng.below(10) {
            0 if unix => Where::Abstract(rng.below(4)),
            0 => Where::Closed(rng.of(&[AF_INET, AF_INET, AF_INET6])),
            1 => Where::Unspec,
            _ => Where::Slot(rng.below(SLOTS)),
        }
    }

    fn odd(rng: &mut Prng) -> Where {
        match rng.below(5) {
            0 => Where::Cut(rng.below(SLOTS), rng.below(20)),
            1 => Where::Null(rng.of(&[0, 16, 200])),
            2 => Where::Bad,
            3 => Where::Unspec,
            _ => Where::Unnamed,
        }
    }
}
