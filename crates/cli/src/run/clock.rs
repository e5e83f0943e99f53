//! Real time and randomness, which enter here and nowhere below.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard_engine::Instant;

/// Time since the run began.
pub(super) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the runner lives in real time")]
    pub(super) fn start() -> Clock {
        Clock { start: std::time::Instant::now() }
    }

    pub(super) fn now(&self) -> Instant {
        // A host that has been up for no time at all would have timers at zero.
        Instant::BOOT + (self.start.elapsed() + Duration::from_secs(1))
    }

    #[allow(clippy::disallowed_methods, reason = "the runner lives in real time")]
    pub(super) fn realtime(&self) -> Duration {
        // A clock before 1970 stamps with 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
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
