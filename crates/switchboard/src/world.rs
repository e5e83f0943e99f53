//! What the lock of a net protects: the hosts, the wires between them, and the time.
//!
//! # Theory of operation
//!
//! Every call takes the lock, attempts what it wants, and calls [`World::settle`]: packets cross
//! the networks, events wake the threads that wait for them and mark epoll items. There is one lock
//! per net, held for the time of one call.

use crate::clock::Clock;
use crate::process::{Epolls, OpenFile};
use crate::sigio::Tasks;
use crate::wires::{Hosts, Wires};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar};
use std::time::Duration;
use switchboard_abi::number::AF_UNIX;
use switchboard_device::Calendar;
use switchboard_engine::Instant;
use switchboard_socket::{Cred, Cx, Event, MemoryPaths, PollMask, SocketId};

/// The start of virtual time on the wall clock: 2025-01-01.
const VIRTUAL_EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// Where the time comes from.
pub(crate) enum Time {
    Real(Box<dyn Clock>),
    Virtual(Instant),
}

/// Which time a call gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// The time now.
    Now,
    /// The time of an earlier call will do, since the call makes nothing of it: asking the machine takes a good part of
    /// the time of a small one.
    Recent,
}

pub(crate) struct World {
    pub(crate) hosts: Vec<HostState>,
    /// The first network is the net's own segment, which [`HostBuilder::address`](crate::HostBuilder::address) joins.
    pub(crate) wires: Wires,
    /// When each host has something to do by itself. Of those touched since, it may have changed.
    pub(crate) due: Calendar,
    pub(crate) touched: Vec<usize>,
    pub(crate) time: Time,
    pub(crate) seed: [u8; 32],
    /// The time when it was last asked for.
    pub(crate) recent: Instant,
    /// When the driver thread will look by itself.
    pub(crate) planned: Instant,
    /// The driver thread shall end.
    pub(crate) stop: bool,
    /// Open files to let go of once the lock is free: that closes sockets, which takes the lock.
    pub(crate) trash: Vec<Arc<OpenFile>>,
    /// Let go of, they end the threads that wait for the outside.
    pub(crate) watchers: Vec<std::os::unix::net::UnixStream>,
}

pub(crate) struct HostState {
    pub(crate) name: Arc<str>,
    pub(crate) layer: switchboard_socket::Host,
    pub(crate) paths: MemoryPaths,
    pub(crate) cred: Arc<Cred>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) epolls: Epolls,
    /// Open files in flight.
    pub(crate) rights: BTreeMap<u64, Arc<OpenFile>>,
    pub(crate) next_token: u64,
    pub(crate) next_pid: u32,
    /// The processes that there are, and the signals of their sockets.
    pub(crate) tasks: Tasks,
    /// A socket that a call is made on whose owner is not told what it does: shutdown(2).
    pub(crate) quiet: Option<SocketId>,
    /// It is among [`World::touched`].
    pub(crate) touched: bool,
}

/// A thread that waits for events of a socket.
pub(crate) struct Waiter {
    pub(crate) socket: SocketId,
    pub(crate) interest: PollMask,
    pub(crate) wake: Arc<Condvar>,
    /// It has been woken.
    pub(crate) fired: bool,
}

impl World {
    /// The time on every host.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match &self.time {
            Time::Real(clock) => Instant::from_nanos(clock.now().as_nanos() as u64),
            Time::Virtual(now) => *now,
        }
    }

    #[inline]
    fn epoch(&self) -> Duration {
        match &self.time {
            Time::Real(clock) => clock.started(),
            Time::Virtual(_) => VIRTUAL_EPOCH,
        }
    }

    /// Runs `f` on a host's layer as its default user.
    #[inline]
    pub(crate) fn call<T>(
        &mut self,
        host: usize,
        f: impl FnOnce(&mut switchboard_socket::Host, &mut Cx<'_>) -> T,
    ) -> T {
        self.call_with(host, Timing::Now, f)
    }

    /// [`call`](Self::call), with the time that it needs.
    #[inline]
    pub(crate) fn call_with<T>(
        &mut self,
        host: usize,
        timing: Timing,
        f: impl FnOnce(&mut switchboard_socket::Host, &mut Cx<'_>) -> T,
    ) -> T {
        if timing == Timing::Now || self.is_virtual() {
            self.recent = self.now();
        }
        let now = self.recent;
        let realtime = self.epoch() + Duration::from_nanos(now.as_nanos());
        let host = &mut self.hosts[host];
        let mut cx = Cx {
            now,
            realtime,
            cred: &host.cred,
            paths: &mut host.paths,
        };
        f(&mut host.layer, &mut cx)
    }

    /// The parts of a host that a system call works on.
    pub(crate) fn parts<'a>(&'a mut self, host: usize, cred: &'a Arc<Cred>) -> Parts<'a> {
        let now = self.now();
        let realtime = self.epoch() + Duration::from_nanos(now.as_nanos());
        let host = &mut self.hosts[host];
        Parts {
            layer: &mut host.layer,
            cx: Cx {
                now,
                realtime,
                cred,
                paths: &mut host.paths,
            },
            rights: &mut host.rights,
            next_token: &mut host.next_token,
            tasks: &mut host.tasks,
            trash: &mut self.trash,
        }
    }

    /// After a call on a host: carries its packets, tells who waits. True when the driver thread
    /// has to look earlier than it planned.
    #[inline]
    pub(crate) fn settle(&mut self, host: usize) -> bool {
        self.hosts[host].tell(&mut self.trash);
        self.hosts[host].touch(host, &mut self.touched);
        if self.wires.is_plugged_in(host) || self.hosts[host].layer.has_queues() {
            self.carry(vec![host]);
        }
        if self.is_virtual() {
            return false;
        }
        let timer = self.hosts[host]
            .layer
            .poll_timeout()
            .unwrap_or(Instant::MAX);
        let next = self.wires.poll_timeout().unwrap_or(Instant::MAX).min(timer);
        let earlier = next < self.planned;
        if earlier {
            self.planned = next;
        }
        earlier
    }

    /// Moves packets between the hosts until none can move now. `busy` are those that may have something to send.
    fn carry(&mut self, mut busy: Vec<usize>) {
        let now = self.now();
        let at = self.epoch() + Duration::from_nanos(now.as_nanos());
        let mut hosts = Telling {
            hosts: &mut self.hosts,
            trash: &mut self.trash,
            touched: &mut self.touched,
        };
        self.wires.carry(now, at, &mut busy, &mut hosts);
    }

    /// Every host knows its neighbours.
    pub(crate) fn know_neighbours(&mut self) {
        let now = self.now();
        let mut hosts = Telling {
            hosts: &mut self.hosts,
            trash: &mut self.trash,
            touched: &mut self.touched,
        };
        self.wires.know_neighbours(now, &mut hosts);
    }

    /// When something happens by itself next.
    pub(crate) fn next_timeout(&mut self) -> Option<Instant> {
        self.note_touched();
        let host = self.due.first().map(|(at, _)| at);
        host.into_iter().chain(self.wires.poll_timeout()).min()
    }

    /// The times of the hosts that something was done with are looked up.
    fn note_touched(&mut self) {
        for index in self.touched.drain(..) {
            let host = &mut self.hosts[index];
            host.touched = false;
            self.due.set(index as u32, host.layer.poll_timeout());
        }
    }

    /// Runs what is due now: timers, arrivals.
    pub(crate) fn run_due(&mut self) {
        let now = self.now();
        self.note_touched();
        let mut busy = Vec::new();
        while let Some((_, index)) = self.due.first().filter(|(at, _)| *at <= now) {
            self.due.set(index, None);
            busy.push(index as usize);
        }
        for &index in &busy {
            let host = &mut self.hosts[index];
            host.layer.handle_timeout(now);
            host.tell(&mut self.trash);
            host.touch(index, &mut self.touched);
        }
        self.carry(busy);
    }

    /// Virtual time: jumps to the next thing that happens, but not beyond `limit`. False when
    /// nothing will happen before it (the time is then `limit`, if there is one).
    pub(crate) fn step(&mut self, limit: Option<Instant>) -> bool {
        let next = self.next_timeout();
        let Time::Virtual(now) = &mut self.time else {
            return false;
        };
        match (next, limit) {
            (Some(at), limit) if limit.is_none_or(|limit| at <= limit) => {
                *now = at.max(*now);
                self.run_due();
                true
            }
            (_, Some(limit)) => {
                *now = limit.max(*now);
                false
            }
            _ => false,
        }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self.time, Time::Virtual(_))
    }
}

/// Hosts to which packets are carried: who waits for these learns of them.
struct Telling<'a> {
    hosts: &'a mut [HostState],
    trash: &'a mut Vec<Arc<OpenFile>>,
    touched: &'a mut Vec<usize>,
}

impl Hosts for Telling<'_> {
    fn layer(&mut self, host: usize) -> &mut switchboard_socket::Host {
        &mut self.hosts[host].layer
    }

    fn delivered(&mut self, host: usize) {
        self.hosts[host].tell(self.trash);
        self.hosts[host].touch(host, self.touched);
    }
}

impl HostState {
    /// Something was done with it: its next time may be another.
    #[inline]
    fn touch(&mut self, index: usize, touched: &mut Vec<usize>) {
        if !self.touched {
            self.touched = true;
            touched.push(index);
        }
    }

    /// Hands the layer's events to who waits for them.
    #[inline]
    pub(crate) fn tell(&mut self, trash: &mut Vec<Arc<OpenFile>>) {
        while let Some(event) = self.layer.poll_event() {
            if !self.waiters.is_empty() {
                self.wake(event);
            }
            self.epolls.event(event);
            if self.tasks.listens() {
                self.signal(event);
            }
        }
        while let Some(token) = self.layer.poll_released() {
            trash.extend(self.rights.remove(&token.0));
        }
    }

    fn signal(&mut self, event: Event) {
        if self.quiet == Some(event.socket) {
            return;
        }
        let mask = self.layer.poll(event.socket);
        let family = self.layer.family(event.socket);
        // TCP's events of room are such already.
        let exact = family.is_some_and(|(domain, _)| domain != AF_UNIX);
        self.tasks.event(event, mask, exact);
    }

    fn wake(&mut self, event: Event) {
        let always = PollMask::ERR | PollMask::HUP;
        for waiter in &mut self.waiters {
            if waiter.socket == event.socket && event.wake.intersects(waiter.interest | always) {
                waiter.fired = true;
                waiter.wake.notify_one();
            }
        }
    }
}

/// What a system call works on.
pub(crate) struct Parts<'a> {
    pub(crate) layer: &'a mut switchboard_socket::Host,
    pub(crate) cx: Cx<'a>,
    pub(crate) rights: &'a mut BTreeMap<u64, Arc<OpenFile>>,
    pub(crate) next_token: &'a mut u64,
    pub(crate) tasks: &'a mut Tasks,
    pub(crate) trash: &'a mut Vec<Arc<OpenFile>>,
}
