//! Where real time comes in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A monotonic clock.
pub trait Clock: Send + Sync {
    /// Time since the clock was made.
    fn now(&self) -> Duration;

    /// The wall-clock time, since the epoch, at which the clock was made.
    fn started(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct RealClock {
    start: std::time::Instant,
    started: Duration,
}

impl RealClock {
    /// A clock that starts now.
    #[allow(clippy::disallowed_methods)] // The real-time driver is where real time comes in.
    pub fn new() -> RealClock {
        RealClock {
            start: std::time::Instant::now(),
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }
}

impl Default for RealClock {
    fn default() -> RealClock {
        RealClock::new()
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn started(&self) -> Duration {
        self.started
    }
}
