//! Who has something to do when.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use switchboard_engine::Instant;

/// The next time of each of many, and who is first. Asking costs nothing, a change the logarithm of their number.
#[derive(Debug, Default)]
pub struct Calendar {
    times: Vec<Option<Instant>>,
    order: BTreeSet<(Instant, u32)>,
}

impl Calendar {
    /// Someone's next time.
    pub fn set(&mut self, who: u32, at: Option<Instant>) {
        let index = who as usize;
        if index >= self.times.len() {
            self.times.resize(index + 1, None);
        }
        let old = core::mem::replace(&mut self.times[index], at);
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, who));
        }
        if let Some(at) = at {
            self.order.insert((at, who));
        }
    }

    /// Whose time is next; the lowest number of several.
    pub fn first(&self) -> Option<(Instant, u32)> {
        self.order.first().copied()
    }
}
