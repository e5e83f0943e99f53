//! What few sockets set: it stands behind one word of [`Common`], so that the others stay small.

use super::timestamping::Stamping;
use crate::socket::Common;

/// The `SOL_SOCKET` settings of a socket that has changed any of them.
#[derive(Clone, Debug)]
pub(crate) struct Rare {
    /// `SO_MARK`
    pub(crate) mark: u32,
    /// `SO_BINDTOIFINDEX` and `SO_BINDTODEVICE`: an interface's index, which need not exist; zero is none.
    pub(crate) device: u32,
    /// `SO_PEEK_OFF`; what is negative is off.
    pub(crate) peek_off: i32,
    /// `SO_INCOMING_CPU`; -1 before anything came in.
    pub(crate) incoming_cpu: i32,
    /// How many segments had come by then.
    pub(crate) incoming_at: u32,
    /// `SO_MAX_PACING_RATE` in bytes a second; all ones is no limit.
    pub(crate) pacing_rate: u64,
    /// `SO_BUSY_POLL` in microseconds.
    pub(crate) busy_poll: u32,
    /// `SO_BUSY_POLL_BUDGET`
    pub(crate) busy_poll_budget: u16,
    /// `SO_TXTIME`
    pub(crate) tx_time: TxTime,
    /// `SO_TIMESTAMPING`
    pub(crate) stamping: Stamping,
    /// How many sends had `MSG_ZEROCOPY`.
    pub(crate) zerocopy: u32,
}

/// `struct sock_txtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct TxTime {
    pub(crate) clock: i32,
    pub(crate) flags: u32,
}

static DEFAULT: Rare = Rare::new();

impl Rare {
    /// With SO_BUSY_POLL.
    pub(crate) fn polling(microseconds: u32) -> Rare {
        Rare {
            busy_poll: microseconds,
            ..Rare::new()
        }
    }

    const fn new() -> Rare {
        Rare {
            mark: 0,
            device: 0,
            peek_off: -1,
            incoming_cpu: -1,
            incoming_at: 0,
            pacing_rate: u64::MAX,
            busy_poll: 0,
            busy_poll_budget: 0,
            tx_time: TxTime { clock: 0, flags: 0 },
            stamping: Stamping::NONE,
            zerocopy: 0,
        }
    }
}

impl Default for Rare {
    fn default() -> Rare {
        Rare::new()
    }
}

impl Common {
    /// The rare settings, or their defaults.
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&DEFAULT)
    }

    /// The rare settings, to change.
    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}
