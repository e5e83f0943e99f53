//! Calls that wait: values, not threads.

use std::collections::{BTreeSet, HashMap, VecDeque};
use switchboard_engine::Instant;
use switchboard_notify::Notification;
use switchboard_socket::{PollMask, SocketId};
use switchboard_syscall::Pending;

/// One waiting call.
pub(super) struct Waiter {
    pub(super) call: Notification,
    pub(super) pending: Pending,
    pub(super) socket: SocketId,
    pub(super) interest: PollMask,
    pub(super) deadline: Option<Instant>,
    /// When to look whether a signal waits for the thread, and how often that has been done.
    pub(super) check: Option<Instant>,
    pub(super) checks: u32,
    /// A signal for its whole process was pending at the last look.
    pub(super) suspected: bool,
}

/// All of them, found by socket, by thread and by deadline. A thread waits in one call at most.
#[derive(Default)]
pub(super) struct Parking {
    waiters: HashMap<i32, Waiter>,
    by_socket: HashMap<SocketId, VecDeque<i32>>,
    deadlines: BTreeSet<(Instant, i32)>,
    checks: BTreeSet<(Instant, i32)>,
}

impl Parking {
    pub(super) fn park(&mut self, waiter: Waiter) {
        let tid = waiter.call.tid;
        if let Some(deadline) = waiter.deadline {
            self.deadlines.insert((deadline, tid));
        }
        if let Some(check) = waiter.check {
            self.checks.insert((check, tid));
        }
        self.by_socket
            .entry(waiter.socket)
            .or_default()
            .push_back(tid);
        self.waiters.insert(tid, waiter);
    }

    pub(super) fn take(&mut self, tid: i32) -> Option<Waiter> {
        let waiter = self.waiters.remove(&tid)?;
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, tid));
        }
        if let Some(check) = waiter.check {
            self.checks.remove(&(check, tid));
        }
        if let Some(queue) = self.by_socket.get_mut(&waiter.socket) {
            queue.retain(|waiting| *waiting != tid);
            if queue.is_empty() {
                self.by_socket.remove(&waiter.socket);
            }
        }
        Some(waiter)
    }

    /// Adds the threads that wait for one of these bits to `woken`, the longest waiting first. Whether
    /// there are any.
    pub(super) fn wake(&self, socket: SocketId, wake: PollMask, woken: &mut Vec<i32>) -> bool {
        let Some(queue) = self.by_socket.get(&socket) else {
            return false;
        };
        let always = PollMask::ERR | PollMask::HUP;
        let before = woken.len();
        woken.extend(queue.iter().copied().filter(|tid| {
            let interest = self
                .waiters
                .get(tid)
                .map_or(always, |w| w.interest | always);
            wake.intersects(interest)
        }));
        woken.len() > before
    }

    /// The threads that wait on a socket, whatever for.
    pub(super) fn on(&self, socket: SocketId) -> Vec<i32> {
        self.by_socket
            .get(&socket)
            .map(|q| q.iter().copied().collect())
            .unwrap_or_default()
    }

    /// The sockets that threads wait on.
    pub(super) fn sockets(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.by_socket.keys().copied()
    }

    pub(super) fn call_of(&self, tid: i32) -> Option<u64> {
        self.waiters.get(&tid).map(|w| w.call.id)
    }

    /// The next deadline or check.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let check = self.checks.first().map(|(at, _)| *at);
        match (deadline, check) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn to_check(&self, now: Instant) -> Vec<i32> {
        self.checks
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, tid)| *tid)
            .collect()
    }

    pub(super) fn expired(&self, now: Instant) -> Vec<i32> {
        self.deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, tid)| *tid)
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }
}
