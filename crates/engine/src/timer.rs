//! Timers: when does who want to be woken next?
//!
//! # Theory of operation
//! A 4-ary heap of (key, timer), and per timer its place in the heap. A timer's key may be earlier than its deadline:
//! moving a deadline to later, the common case (every ACK restarts the retransmission timer), and disarming only write
//! the deadline. The heap is put right when such a timer comes to its top, so `next()` is always exact.
//! Moving a deadline to earlier sifts the entry up.
//!
//! Costs: re-arming to later and disarming O(1); re-arming to earlier and expiring O(log of timers in the heap).
//! Memory: 16 bytes a timer, and 16 more while it is in the heap. Ties go by the timer's number: deterministic.

use alloc::vec::Vec;

use crate::Instant;
use crate::event::TcpId;

/// Whose timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerToken {
    /// A TCP socket, connection, request or TIME_WAIT entry, by the handle that made the timer.
    Tcp(TcpId),
    /// Packets in pieces and path MTUs.
    Ip,
    /// Neighbours.
    Neigh,
    /// What links are told of groups.
    Groups,
}

/// Names a timer until [`Timers::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId(u32);

#[derive(Debug)]
pub(crate) struct Timers {
    entries: slab::Slab<Entry>,
    heap: Vec<(Instant, u32)>,
}

#[derive(Debug)]
struct Entry {
    token: TimerToken,
    /// `Instant::MAX` when disarmed.
    deadline: Instant,
    /// Index in the heap, `NOWHERE` when not in it.
    place: u32,
}

const NOWHERE: u32 = u32::MAX;
/// Children per node: four (key, id) pairs fill one cache line.
const FAN: usize = 4;

impl Timers {
    pub(crate) const fn new() -> Timers {
        Timers {
            entries: slab::Slab::new(),
            heap: Vec::new(),
        }
    }

    /// A new timer, disarmed.
    pub(crate) fn create(&mut self, token: TimerToken) -> TimerId {
        let entry = Entry {
            token,
            deadline: Instant::MAX,
            place: NOWHERE,
        };
        TimerId(self.entries.insert(entry) as u32)
    }

    /// Forgets a timer.
    pub(crate) fn remove(&mut self, id: TimerId) {
        let entry = self.entries.remove(id.0 as usize);
        if entry.place != NOWHERE {
            self.take_out(entry.place as usize);
            self.settle();
        }
    }

    /// Sets or moves the deadline; `Instant::MAX` clears it.
    pub(crate) fn arm(&mut self, id: TimerId, deadline: Instant) {
        let entry = &mut self.entries[id.0 as usize];
        entry.deadline = deadline;
        match entry.place {
            NOWHERE if deadline == Instant::MAX => {}
            NOWHERE => {
                self.heap.push((deadline, id.0));
                self.sift_up(self.heap.len() - 1);
            }
            place if deadline < self.heap[place as usize].0 => {
                self.heap[place as usize].0 = deadline;
                self.sift_up(place as usize);
            }
            0 => self.settle(),
            _ => {}
        }
    }

    /// The deadline, when armed.
    #[cfg(test)]
    pub(crate) fn deadline(&self, id: TimerId) -> Option<Instant> {
        Some(self.entries[id.0 as usize].deadline).filter(|&deadline| deadline != Instant::MAX)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&(key, _)| key)
    }

    /// Takes the earliest timer that is due; it is disarmed thereby.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(TimerId, TimerToken)> {
        let &(key, id) = self.heap.first()?;
        if key > now {
            return None;
        }
        let entry = &mut self.entries[id as usize];
        entry.deadline = Instant::MAX;
        entry.place = NOWHERE;
        let token = entry.token;
        self.take_out(0);
        self.settle();
        Some((TimerId(id), token))
    }

    /// Makes the top's key its deadline, until they agree.
    fn settle(&mut self) {
        while let Some(&(key, id)) = self.heap.first() {
            let entry = &mut self.entries[id as usize];
            if entry.deadline == key {
                break;
            }
            if entry.deadline == Instant::MAX {
                entry.place = NOWHERE;
                self.take_out(0);
            } else {
                self.heap[0].0 = entry.deadline;
                self.sift_down(0);
            }
        }
    }

    /// Removes the heap's entry at `place`; its timer's `place` is the caller's business.
    fn take_out(&mut self, place: usize) {
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.sift_down(place);
            self.sift_up(place);
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        let moving = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / FAN;
            if self.heap[parent] <= moving {
                break;
            }
            self.put(at, self.heap[parent]);
            at = parent;
        }
        self.put(at, moving);
    }

    fn sift_down(&mut self, mut at: usize) {
        let moving = self.heap[at];
        loop {
            let first = at * FAN + 1;
            let last = (first + FAN).min(self.heap.len());
            let Some(least) = (first..last).min_by_key(|&child| self.heap[child]) else {
                break;
            };
            if moving <= self.heap[least] {
                break;
            }
            self.put(at, self.heap[least]);
            at = least;
        }
        self.put(at, moving);
    }

    fn put(&mut self, place: usize, item: (Instant, u32)) {
        self.heap[place] = item;
        self.entries[item.1 as usize].place = place as u32;
    }
}

#[cfg(test)]
mod tests;
