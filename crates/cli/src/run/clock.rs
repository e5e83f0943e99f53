//! Real time and randomness, which enter here and nowhere below.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard_engine::Instant;

/// How long a look at the calendar's clock holds.
const CALENDAR: Duration = Duration::from_millis(5);

/// Time since the run began. It is read once in a turn of the loop: all of a call happens at one
/// time.
pub(super) struct Clock {
    start: std::time::Instant,
    now: Cell<Instant>,
    /// When the calendar's clock was looked at, and what it said.
    calendar: Cell<Option<(Instant, Duration)>>,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the runner lives in real time")]
    pub(super) fn start() -> Clock {
        let start = std::time::Instant::now();
        let clock = Clock {
            start,
            now: Cell::new(Instant::BOOT),
            calendar: Cell::new(None),
        };
        clock.read();
        clock
    }

    /// Looks at the clock.
    pub(super) fn read(&self) {
        // A host that has been up for no time at all would have timers at zero.
        self.now
            .set(Instant::BOOT + (self.start.elapsed() + Duration::from_secs(1)));
    }

    /// The time at the last [`Clock::read`].
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The same moment by the calendar.
    #[allow(clippy::disallowed_methods, reason = "the runner lives in real time")]
    pub(super) fn realtime(&self) -> Duration {
        let now = self.now();
        if let Some((at, then)) = self.calendar.get()
            && now.saturating_sub(at) < CALENDAR
        {
            return then + now.saturating_sub(at);
        }
        // A clock before 1970 stamps with 1970.
        let then = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.calendar.set(Some((now, then)));
        then
    }
}

/// The stack's seed: from the number given, or from the kernel.
pub(super) fn seed(given: Option<u64>) -> [u8; 32] {
    let mut seed = [0; 32];
    match given {
        Some(number) => seed[..8].copy_from_slice(&number.to_le_bytes()),
        None => {
            // Never short for 32 bytes; an interrupted call leaves zeroes, which still runs.
            let _ = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
        }
    }
    seed
}
