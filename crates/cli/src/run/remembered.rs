//! Outcomes whose replies were not delivered (docs/design/results-and-signals.md).

use std::collections::HashMap;
use switchboard_notify::Notification;
use switchboard_wire::Payload;

/// How many a thread may have: one for the call itself, and one for each handler on top of it.
const PER_THREAD: usize = 4;

/// What took effect although its caller was not told.
pub(super) enum Outcome {
    /// This result. `sent` are the bytes of a send: other bytes make it another call.
    Result { value: i64, sent: Option<Payload> },
    /// This many bytes of a send went, with this digest.
    Partial { done: usize, digest: u64 },
}

struct Entry {
    call: Key,
    outcome: Outcome,
}

/// What makes a call the same call again.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Key {
    arch: u32,
    nr: i32,
    args: [u64; 6],
    ip: u64,
}

impl Key {
    fn of(call: &Notification) -> Key {
        let d = &call.data;
        Key {
            arch: d.arch,
            nr: d.nr,
            args: d.args,
            ip: d.instruction_pointer,
        }
    }
}

#[derive(Default)]
pub(super) struct Remembered {
    threads: HashMap<i32, Vec<Entry>>,
}

impl Remembered {
    pub(super) fn keep(&mut self, call: &Notification, outcome: Outcome) {
        let entries = self.threads.entry(call.tid).or_default();
        if entries.len() >= PER_THREAD {
            entries.remove(0);
        }
        entries.push(Entry {
            call: Key::of(call),
            outcome,
        });
    }

    /// The outcome of the same call, if the thread has made it before and was not told.
    pub(super) fn take(&mut self, call: &Notification) -> Option<Outcome> {
        let entries = self.threads.get_mut(&call.tid)?;
        let key = Key::of(call);
        let at = entries.iter().position(|entry| entry.call == key)?;
        let outcome = entries.swap_remove(at).outcome;
        if entries.is_empty() {
            self.threads.remove(&call.tid);
        }
        Some(outcome)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }
}
