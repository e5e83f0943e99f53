//! The supervisor: answers the trapped calls of the programs it runs.
//!
//! # Theory of operation
//! A supervisor has one virtual host. One thread, one loop (room.rs). It waits for the listener (a call), for a
//! placeholder (a descriptor's last copy is gone), for signals and children, and for the next deadline of the stack or of
//! a parked call. Hang-ups are handled before calls: a process that has closed a socket sees it closed in
//! whatever it does next.
//!
//! A call is decoded, attempted, and answered or parked. What then happened to sockets is shown at
//! their placeholders and wakes parked calls, before the caller goes on: whatever it polls next, it
//! sees what its call has done. See docs/design/results-and-signals.md for the order, and for what
//! becomes of a result that could not be delivered.

pub(super) mod aio;
mod context;
mod deliver;
mod dns;
mod etc_calls;
mod linger;
pub(super) mod listing;
mod nodename;
mod proc_calls;
pub(super) mod rings;
mod tun_calls;
mod unheld;

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use switchboard_abi::sysno::Arch;
use switchboard_engine::{Departure, Instant};
use switchboard_notify::{Closing, Listener, Notification, Processes, RemoteMemory};
use switchboard_socket::{Caps, Cred, Host, PollMask, SocketId};
use switchboard_syscall::{Call, Interrupted, Pending, Progress, decode};

use super::clock::Clock;
use super::files::{AtHand, Rights};
use super::filter::changes_credentials;
use super::interrupts::{self, ERESTARTSYS, Verdict};
use super::loopback::Loopback;
use super::memory::TargetMemory;
use super::mirror::Mirror;
use super::names::Named;
use super::namespaces::Namespaces;
use super::opens::{Names, OPENS_I386, OPENS_X86_64, Open};
use super::owners::Owners;
use super::parking::{Parking, Waiter};
use super::procfs::OpenFiles;
use super::remembered::{Outcome, Remembered};
use super::room::{ENDED, OUTLETS, TUNS};
use super::trace::Trace;
use crate::complain;
use context::{host_errno, nobody};

pub(super) use dns::Dns;
pub(super) use nodename::{NAMES_I386, NAMES_X86_64};
use unheld::Unheld;

pub(super) use context::descriptor_limit;

/// How often sockets are asked whose end nothing tells of.
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);

/// How often calls that were woken are attempted before others are looked at: more than one event wakes, and a millisecond's work.
const ROUNDS: usize = 100;

/// How often a call that waits for a pipe is attempted again.
const PIPE_INTERVAL: Duration = Duration::from_millis(1);

pub(super) struct Supervisor {
    pub(super) listener: Listener,
    pub(super) host: Host,
    pub(super) mirror: Mirror,
    pub(super) clock: Rc<Clock>,
    pub(super) stats: Stats,
    processes: RefCell<Processes>,
    rights: Rights,
    creds: HashMap<i32, Arc<Cred>>,
    namespaces: Namespaces,
    parking: Parking,
    remembered: Remembered,
    pub(super) trace: Option<Trace>,
    pub(super) loopback: Option<Loopback>,
    /// Which programs packets are of, where somebody captures them.
    pub(super) owners: Option<Owners>,
    names: Rc<Names>,
    /// Files under /etc that are this host's, and what they say; those of one with a name follow from it.
    pub(super) etc: Vec<(String, String)>,
    proc_files: OpenFiles,
    /// Capabilities that each program has here, beside its own.
    pub(super) caps: Caps,
    /// Sockets whose descriptors are gone while calls on them still wait.
    closing: Vec<SocketId>,
    /// Threads whose parked calls have something to do.
    woken: Vec<i32>,
    /// What these calls may leave to show: sockets and the bits that fired.
    owed: Vec<(SocketId, PollMask)>,
    /// Closes that wait, by the socket that was.
    lingering: HashMap<SocketId, linger::Lingering>,
    /// When to ask the sockets whose end nothing tells of.
    next_sweep: Option<Instant>,
    /// A call that was received waits through signals: they have to be looked for.
    uninterruptible: bool,
    rings: rings::Rings,
    /// What is open of /dev/net/tun.
    tuns: tun_calls::TunFiles,
    /// Where copies of programs' ends are kept: what tells that they are the last.
    unheld: Option<unheld::Unheld>,
    /// The host's name and those of others, if it has any of its own.
    pub(super) named: Option<Named>,
    /// Who answers for these names.
    pub(super) dns: Option<Dns>,
}

/// What the run did, for `--stats`.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) calls: u64,
    pub(super) continued: u64,
    pub(super) parked: u64,
    pub(super) not_delivered: u64,
    pub(super) sockets: u64,
}

/// So many threads of programs are known by descriptors of ours at most.
const THREADS_KEPT: usize = 1024;

/// What became of a call.
#[allow(
    clippy::large_enum_variant,
    reason = "one lives at a time, and boxing would cost every wait"
)]
enum Step {
    Answered,
    Blocked(Pending, SocketId, PollMask, Option<Instant>),
}

impl Supervisor {
    /// Leaves most of so many descriptors for sockets, when this is one of so many hosts.
    pub(super) fn share_descriptors(&mut self, limit: usize, hosts: usize) {
        // At three for each of them this is less than a fifth.
        let kept = (limit / 16 / hosts.max(1)).min(THREADS_KEPT);
        self.processes.get_mut().set_capacity(kept);
    }

    pub(super) fn new(
        listener: Listener,
        mut host: Host,
        mirror: Mirror,
        clock: Rc<Clock>,
        names: Rc<Names>,
        uninterruptible: bool,
    ) -> Supervisor {
        let mut processes = Processes::new(THREADS_KEPT);
        let mut unheld = None;
        if mirror.keeps_copies() {
            processes = processes.through_proc();
            unheld = Some(Unheld::new());
        }
        host.set_make_ring(rings::make);
        Supervisor {
            names,
            etc: Vec::new(),
            proc_files: OpenFiles::default(),
            caps: Caps::empty(),
            listener,
            host,
            mirror,
            clock,
            stats: Stats::default(),
            processes: RefCell::new(processes),
            rights: Rights::default(),
            creds: HashMap::new(),
            namespaces: Namespaces::own(),
            parking: Parking::default(),
            remembered: Remembered::default(),
            trace: None,
            loopback: None,
            owners: None,
            closing: Vec::new(),
            woken: Vec::new(),
            lingering: HashMap::new(),
            next_sweep: None,
            owed: Vec::new(),
            uninterruptible,
            unheld,
            named: None,
            dns: None,
            rings: rings::Rings::default(),
            tuns: tun_calls::TunFiles::default(),
        }
    }

    /// When [`Supervisor::on_time`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // It was left unsettled.
        if !(self.woken.is_empty() && self.owed.is_empty()) {
            return Some(Instant::BOOT);
        }
        [
            self.host.poll_timeout(),
            self.parking.next_deadline(),
            self.next_sweep,
            self.lingering_deadline(),
            self.unheld_deadline(),
            self.rings_deadline(),
            self.loopback.as_ref().and_then(Loopback::deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next frame that leaves by a wire.
    pub(super) fn departure(&mut self, now: Instant) -> Option<Departure> {
        let next = match &mut self.loopback {
            Some(loopback) => loopback.departure(&mut self.host, now),
            None => self.host.poll_frame(now),
        };
        if next.is_none() {
            self.flush_tuns();
        }
        next
    }

    /// Whether the host has interfaces of /dev/net/tun, or queues.
    pub(super) fn sends_frames(&self) -> bool {
        self.host.has_tuns() || self.host.has_queues()
    }

    /// Timers of the stack, timeouts of parked calls.
    pub(super) fn on_time(&mut self) {
        let now = self.clock.now();
        if self.host.poll_timeout().is_some_and(|at| at <= now) {
            self.host.handle_timeout(now);
        }
        for tid in self.parking.expired(now) {
            if let Some(waiter) = self.parking.take(tid) {
                self.attempt_again(waiter);
            }
        }
        for tid in self.parking.to_check(now) {
            self.check(tid, now);
        }
        self.look_at_lingering(now);
        self.look_for_unheld(now, None);
        self.look_at_rings(now);
        let unwatched = self.mirror.unwatched();
        if self.next_sweep.is_some_and(|at| at <= now) {
            unwatched.iter().for_each(|id| self.hang_up(*id, false));
            self.next_sweep = None;
        }
        if !unwatched.is_empty() && self.next_sweep.is_none() {
            self.next_sweep = Some(now + SWEEP_INTERVAL);
        }
        self.settle();
    }

    /// Looks whether a signal waits for a thread that waits here, and lets it go if so.
    fn check(&mut self, tid: i32, now: Instant) {
        let Some(mut waiter) = self.parking.take(tid) else {
            return;
        };
        let status = self.processes.borrow_mut().status(tid);
        let Ok(status) = status else {
            // Nobody there any more; whether the number is another's by now, the call's ID tells.
            if !self.listener.is_valid(waiter.call.id) {
                return self.interrupted(waiter);
            }
            return self.parking.park(waiter);
        };
        let leader_stopped = || {
            let mut processes = self.processes.borrow_mut();
            status.threads > 1
                && status.tgid != tid
                && processes
                    .status(status.tgid)
                    .is_ok_and(|leader| leader.stopped)
        };
        match interrupts::verdict(&status, tid, waiter.suspected, leader_stopped) {
            Verdict::Wait { suspected } => {
                waiter.suspected = suspected;
                waiter.checks += 1;
                let interval = interrupts::interval(waiter.checks, self.parking.len());
                waiter.check = Some(now + interval);
                self.parking.park(waiter);
            }
            Verdict::Restart => self.interrupt(waiter, ERESTARTSYS),
            Verdict::Eintr => {
                self.interrupt(waiter, switchboard_notify::Errno(libc::EINTR));
            }
        }
    }

    /// A signal came for the caller of a parked call: it ends with what signal(7) says.
    fn interrupt(&mut self, waiter: Waiter, restart: switchboard_notify::Errno) {
        let Waiter {
            call,
            mut pending,
            socket,
            ..
        } = waiter;
        let cred = self.cred(call.tid);
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        let (outcome, end) = self.with_files(&call, &cred, None, |host, cx, files| {
            let outcome = pending.interrupt(host, cx, &mut memory, files);
            (outcome, files.take_end(pending.socket()))
        });
        match outcome {
            Interrupted::Reply(reply) => self.deliver(&call, &pending, reply, end, &cred),
            Interrupted::Restart => {
                // Not delivered: the thread is being killed.
                let _ = self.listener.reply_errno(call.id, restart);
            }
        }
        if self.closing.contains(&socket) {
            self.close_what_waited();
        }
    }

    /// Closes what nobody holds any more, whether its placeholder has said so or not. Whether there was anything.
    pub(super) fn sweep(&mut self) -> bool {
        let before = self.mirror.len();
        self.process_ended();
        for id in self.mirror.sockets() {
            self.hang_up(id, false);
        }
        self.mirror.len() != before
    }

    /// Says so if the trace is not whole.
    pub(super) fn end_trace(&self) {
        if let Some(error) = self.trace.as_ref().and_then(Trace::failed) {
            complain(&format!("some of the trace could not be written: {error}"));
        }
        if let Some(error) = self.loopback.as_ref().and_then(Loopback::failed) {
            complain(&format!(
                "some of the capture could not be written: {error}"
            ));
        }
    }

    /// How many sockets there are, waiting calls, and files in flight.
    pub(super) fn left(&self) -> (usize, usize, usize) {
        (
            self.host.socket_count(),
            self.parking.len(),
            self.rights.len(),
        )
    }

    /// What the epoll instance of the mirror says.
    pub(super) fn told(&mut self, token: u64, hung_up: bool) {
        match token {
            ENDED => self.process_ended(),
            TUNS..OUTLETS => self.tun_told(token, hung_up),
            token => self.hang_up(SocketId::from_u64(token), hung_up),
        }
    }

    /// A placeholder says that the last copy of a descriptor may be gone. `told`: what is watched has hung up.
    pub(super) fn hang_up(&mut self, id: SocketId, told: bool) {
        if self.mirror.take_released(id, told) {
            self.close(id);
        }
    }

    /// Placeholders of datagram sockets may have been closed for the last time. Whether any of this host's is among those told.
    pub(super) fn closed(&mut self, told: &[Closing]) -> bool {
        let closed = self.mirror.closed(told);
        for id in &closed {
            self.hang_up(*id, false);
        }
        !closed.is_empty()
    }

    fn close(&mut self, id: SocketId) {
        // A thread that waits on the socket keeps it, as on Linux; one that is gone does not.
        for tid in self.parking.on(id) {
            let alive = self
                .parking
                .call_of(tid)
                .is_some_and(|call| self.listener.is_valid(call));
            if alive {
                self.closing.push(id);
                return;
            }
            drop(self.parking.take(tid));
        }
        self.with_cx(0, &nobody(), |host, cx| {
            let _ = host.close(cx, id);
        });
        self.collect_cycles();
        if let Some(trace) = &mut self.trace {
            trace.closed(id);
        }
        self.settle();
    }

    /// Sockets in flight that only each other's queues refer to. As on Linux it is looked for when a
    /// socket is closed; whether a program holds one is asked of /proc, so only when it matters.
    fn collect_cycles(&mut self) {
        if !self.host.has_rights_in_flight() {
            return;
        }
        let mut held = self.mirror.held_by_programs();
        held.extend(self.parking.sockets());
        let collected = self.with_cx(0, &nobody(), |host, cx| {
            host.collect_cycles(cx, &mut |id| held.contains(&id))
        });
        if collected > 0 {
            self.show_events();
        }
    }

    fn close_what_waited(&mut self) {
        for id in std::mem::take(&mut self.closing) {
            self.close(id);
        }
    }

    /// A trapped call.
    pub(super) fn serve(&mut self, call: Notification) {
        self.stats.calls += 1;
        // Who has closed a socket, or waited for who had it, sees it closed.
        if self.unheld.is_some() {
            self.look_for_unheld(self.clock.now(), Some(call.tid));
        }
        self.put_back(&call);
        // The thread is in a new call: what it waited in is over.
        if let Some(waiter) = self.parking.take(call.tid) {
            self.interrupted(waiter);
            self.close_what_waited();
        }
        let arch = match call.arch() {
            Some(switchboard_notify::Arch::X86_64) => Arch::X86_64,
            Some(switchboard_notify::Arch::I386) => Arch::I386,
            None => return self.go_on(&call),
        };
        let nr = call.data.nr as u32;
        if let Some(closes) = linger::closes(arch, nr, &call.data.args) {
            return self.closing(call, &closes);
        }
        if changes_credentials(arch, nr) {
            self.creds.remove(&call.tid);
            return self.go_on(&call);
        }
        if let Some(layout) = nodename::layout(arch, nr) {
            return self.name_call(&call, layout);
        }
        if is_open(arch, nr) {
            return match Open::decode(arch, &call.data, RemoteMemory::new(call.tid)) {
                Some(open) => self.open_file(&call, &open),
                None => self.go_on(&call),
            };
        }
        if let Some(asked) = rings::mmap(arch, nr, &call.data.args) {
            return self.map(&call, &asked);
        }
        if let Some(word) = aio::submits(arch, nr) {
            return self.submit(&call, word);
        }
        if let Some(layout) = listing::layout(arch, nr) {
            return self.list(&call, layout);
        }
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        let decoded = match decode(arch, nr, call.data.args, &mut memory) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return self.go_on(&call),
            Err(errno) => {
                let _ = self.listener.reply_errno(call.id, host_errno(errno));
                return;
            }
        };
        let Some(at_hand) = self.is_ours(&call, &decoded) else {
            let word = arch.word();
            if !self.file_io(&call, &decoded, word) && !self.tun_call(&call, &decoded, word) {
                self.go_on(&call);
            }
            return;
        };
        if let Call::Bpf { .. } = decoded {
            for id in self.mirror.bpf.take_released() {
                self.host.bpf_close(id);
            }
        }
        let mut pending = Pending::new(decoded, arch.word());
        if !self.remembered.is_empty()
            && let Some(outcome) = self.remembered.take(&call)
            && self.replay(&call, &mut pending, outcome)
        {
            return;
        }
        if let Step::Blocked(pending, socket, interest, deadline) =
            self.attempt(&call, pending, at_hand)
        {
            self.stats.parked += 1;
            self.park(call, pending, socket, interest, deadline);
        }
        self.settle();
    }

    /// Whether the layer answers: a new socket always, others when a descriptor is a socket's. The
    /// look that told goes to the attempt: the same file is then meant throughout the call, as the
    /// kernel's fdget() has it.
    fn is_ours(&mut self, call: &Notification, decoded: &Call) -> Option<Option<AtHand>> {
        let mut processes = self.processes.borrow_mut();
        let mut find = |fd: i32| {
            let hand = AtHand::look(&mut processes, &self.mirror, call.tid, fd).ok()?;
            let ours = self.mirror.find(hand.file()).is_some()
                || self.mirror.bpf.find(hand.file()).is_some();
            ours.then_some(Some(hand))
        };
        match decoded {
            Call::Socket { .. } | Call::Socketpair { .. } | Call::Bpf { .. } => Some(None),
            Call::Sendfile { out_fd, in_fd, .. } => find(*out_fd).or_else(|| find(*in_fd)),
            Call::Splice { fd_in, fd_out, .. } => find(*fd_in).or_else(|| find(*fd_out)),
            _ => find(decoded.fd()?),
        }
    }

    fn go_on(&mut self, call: &Notification) {
        self.stats.continued += 1;
        // Not delivered: interrupted, it comes again.
        let _ = self.listener.reply_continue(call.id);
    }

    /// A parked call may have something to do.
    fn attempt_again(&mut self, waiter: Waiter) {
        // Nothing may happen for a call that is gone.
        if !self.listener.is_valid(waiter.call.id) {
            return self.interrupted(waiter);
        }
        let Waiter {
            call,
            pending,
            socket: waited_on,
            ..
        } = waiter;
        if let Step::Blocked(pending, socket, interest, deadline) =
            self.attempt(&call, pending, None)
        {
            self.park(call, pending, socket, interest, deadline);
        } else if self.closing.contains(&waited_on) {
            self.close_what_waited();
        }
    }

    fn park(
        &mut self,
        call: Notification,
        pending: Pending,
        socket: SocketId,
        interest: PollMask,
        deadline: Option<Instant>,
    ) {
        let check = self
            .uninterruptible
            .then(|| self.clock.now() + interrupts::FIRST);
        self.parking.park(Waiter {
            call,
            pending,
            socket,
            interest,
            deadline,
            check,
            checks: 0,
            suspected: false,
        });
    }

    /// A parked call was interrupted, or its thread is gone.
    fn interrupted(&mut self, waiter: Waiter) {
        self.stats.not_delivered += 1;
        let Waiter {
            call, mut pending, ..
        } = waiter;
        if let Some((done, digest)) = pending.sent_so_far() {
            self.remembered
                .keep(&call, Outcome::Partial { done, digest });
        }
        self.with_files(&call, &nobody(), None, |host, cx, files| {
            pending.give_up(host, cx, files);
        });
    }

    fn attempt(
        &mut self,
        call: &Notification,
        mut pending: Pending,
        at_hand: Option<AtHand>,
    ) -> Step {
        let mut cred = self.cred(call.tid);
        if let Call::Sendmsg { .. } | Call::Sendmmsg { .. } = pending.call() {
            // The limit on files in flight may have changed since.
            if let Some(nofile) = descriptor_limit(call.tid)
                && nofile != cred.nofile
            {
                Arc::make_mut(&mut cred).nofile = nofile;
                self.keep_cred(call.tid, &cred);
            }
        }
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        let (progress, end) = self.with_files(call, &cred, at_hand, |host, cx, files| {
            let progress = pending.attempt(host, cx, &mut memory, files);
            (progress, files.take_end(pending.socket()))
        });
        if let Some(owners) = &mut self.owners
            && let Some(socket) = pending.socket()
            && let Some(place) = self.host.port(socket)
        {
            owners.note(place, call.tid);
        }
        match progress {
            Progress::Blocked(parked) => {
                // It may have taken or queued part of it.
                if let Some(end) = &end {
                    let mask = self.host.poll(parked.socket);
                    self.mirror
                        .show(parked.socket, mask, PollMask::empty(), Some(end.as_fd()));
                }
                // A pipe of splice(2) is not ours to watch: look again soon.
                let deadline = match parked.file {
                    Some(_) => Some(self.clock.now() + PIPE_INTERVAL),
                    None => parked.deadline,
                };
                Step::Blocked(pending, parked.socket, parked.interest, deadline)
            }
            Progress::Ready(reply) => {
                self.deliver(call, &pending, reply, end, &cred);
                Step::Answered
            }
        }
    }

    /// The program's end of a socket, if the call's descriptor is still that.
    fn end_of(&self, call: &Notification, pending: &Pending, id: SocketId) -> Option<OwnedFd> {
        let fd = pending.call().fd()?;
        let hand =
            AtHand::look(&mut self.processes.borrow_mut(), &self.mirror, call.tid, fd).ok()?;
        if self.mirror.find(hand.file()) == Some(id) {
            hand.into_end()
        } else {
            None
        }
    }

    /// Shows what happened to sockets; who waits for it is woken by [`Supervisor::settle`]. What a
    /// waiting call is about to take is shown after it, as far as it is left: it has the first claim,
    /// and most often there is nothing to show and to take back then.
    fn show_events(&mut self) {
        // A send of several segments arrives as often, and is one edge: nobody could have looked
        // in between.
        let mut happened: SmallVec<[(SocketId, PollMask); 4]> = SmallVec::new();
        while let Some(event) = self.host.poll_event() {
            match happened
                .iter_mut()
                .find(|(socket, _)| *socket == event.socket)
            {
                Some((_, wake)) => *wake |= event.wake,
                None => happened.push((event.socket, event.wake)),
            }
        }
        for (socket, wake) in happened {
            if self.lingered(socket) {
                continue;
            }
            if self.dns.as_mut().is_some_and(|dns| dns.has_news(socket)) {
                continue;
            }
            if self.parking.wake(socket, wake, &mut self.woken) {
                self.owed.push((socket, wake));
            } else {
                let mask = self.host.poll(socket);
                self.mirror.show(socket, mask, wake, None);
            }
        }
        while let Some(token) = self.host.poll_released() {
            self.rights.release(token);
            self.suspect_released();
        }
    }

    /// Until nothing happens any more: shows events, attempts the calls that waited for them. Calls that wake each other, or
    /// themselves, without end do not keep signals and other calls from being heard: after [`ROUNDS`] it goes on later.
    pub(super) fn settle(&mut self) {
        if self.next_sweep.is_none() && self.mirror.has_unwatched() {
            self.next_sweep = Some(self.clock.now() + SWEEP_INTERVAL);
        }
        for _ in 0..ROUNDS {
            if let Some(loopback) = &mut self.loopback {
                let (now, realtime) = (self.clock.now(), self.clock.realtime());
                loopback.carry(&mut self.host, self.owners.as_ref(), now, realtime);
            }
            self.show_events();
            self.answer_names();
            if self.woken.is_empty() && self.owed.is_empty() {
                break;
            }
            for tid in std::mem::take(&mut self.woken) {
                if let Some(waiter) = self.parking.take(tid) {
                    self.attempt_again(waiter);
                }
            }
            for (socket, wake) in std::mem::take(&mut self.owed) {
                let mask = self.host.poll(socket);
                self.mirror.show(socket, mask, wake, None);
            }
        }
        self.flush_tuns();
    }
}

fn is_open(arch: Arch, nr: u32) -> bool {
    match arch {
        Arch::X86_64 => OPENS_X86_64.contains(&nr),
        Arch::I386 => OPENS_I386.contains(&nr),
    }
}
