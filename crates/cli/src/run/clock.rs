//! Real time and randomness, which enter here and nowhere below.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard_engine::Instant;

/// How long a look at the calendar's clock holds.
const CALENDAR: Duration = Duration::from_millis(5);
/// Two clocks that are read within this time were read together; where a thread is interrupted in between, it tries again.
const CLOSE: Duration = Duration::from_micros(2);
const TRIES: usize = 5;

/// Time since the run began. It is read once in a turn of the loop: all of a call happens at one
/// time.
pub(super) struct Clock {
    start: std::time::Instant,
    now: Cell<Instant>,
    /// When the calendar's clock was looked at, and what it says at the start of the run.
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
        self.now.set(Instant::BOOT + self.elapsed());
    }

    /// The time that this run has taken until now.
    fn elapsed(&self) -> Duration {
        // A host that has been up for no time at all would have timers at zero.
        self.start.elapsed() + Duration::from_secs(1)
    }

    /// The time at the last [`Clock::read`].
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The same moment by the calendar.
    pub(super) fn realtime(&self) -> Duration {
        let now = self.now();
        let start = match self.calendar.get() {
            Some((at, start)) if now.saturating_sub(at) < CALENDAR => start,
            known => {
                let start = self.calendar_at_start(known.map(|(_, start)| start));
                self.calendar.set(Some((now, start)));
                start
            }
        };
        start + now.saturating_sub(Instant::BOOT)
    }

    /// What the calendar said when the run began: the two clocks are read together, since whatever goes by between
    /// them would go into every stamp, and come out of it at the next look. `known`, the last answer, stays as long as
    /// this one is no better.
    #[allow(clippy::disallowed_methods, reason = "the runner lives in real time")]
    fn calendar_at_start(&self, known: Option<Duration>) -> Duration {
        let mut best: Option<(Duration, Duration)> = None;
        for _ in 0..TRIES {
            let before = self.elapsed();
            // A clock before 1970 stamps with 1970.
            let then = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let between = self.elapsed() - before;
            let start = then.saturating_sub(before + between / 2);
            if best.is_none_or(|(least, _)| between < least) {
                best = Some((between, start));
            }
            if between < CLOSE {
                break;
            }
        }
        let (between, start) = best.unwrap_or_default();
        known
            .filter(|known| known.abs_diff(start) <= between)
            .unwrap_or(start)
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
