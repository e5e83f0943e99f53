//! The hosts that one supervising process has: their calls are waited for together, packets between them are carried.
//!
//! # Theory of operation
//! Each virtual host has a [`Supervisor`] with a listener of its own, so the listener that a call comes through says whose
//! it is. `switchboard run` has one host, a lab has many. Who drives the room asks [`Room::wait`] for what
//! happens, looks at what is his own (signals, programs that start), and lets the rest be done by [`Room::work`].
//!
//! Packets cross the wires in real time: each has its time of arrival, which the loop waits for as for any timer. A late
//! loop makes a packet late, but moves no queue: see docs/design/links.md.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, epoll};
use rustix::time::Timespec;
use smallvec::SmallVec;
use switchboard::wires::{Hosts, Wires};
use switchboard_device::{Cable, Outlet, PipeConfig, Seen};
use switchboard_engine::{Departure, IfIndex, Instant};
use switchboard_notify::{Closings, Notification};
use switchboard_socket::Host;
use switchboard_wire::Frame;

use super::clock::Clock;
use super::mirror::Mirror;
use super::supervisor::Supervisor;

/// What an epoll event is about, where it is not a socket's placeholder: datagram placeholders that were closed.
const CLOSED: u64 = u64::MAX;
/// The epoll instance of host n of many has this number and n.
const HOSTS: u64 = u64::MAX - (1 << 20);
/// A process of a host's has ended, of those that are watched for it.
pub(super) const ENDED: u64 = HOSTS - 1;
/// The descriptor of network n that leads outside has this number and n.
pub(super) const OUTLETS: u64 = HOSTS - (1 << 20);
/// A host's n-th descriptor of /dev/net/tun has this number and n.
pub(super) const TUNS: u64 = OUTLETS - (1 << 32);
/// Who drives the room has the numbers from here up to the last but one.
pub(super) const FIRST_OWN: u64 = u64::MAX - (1 << 19);

pub(super) struct Room {
    pub(super) supervisors: Vec<Supervisor>,
    pub(super) clock: Rc<Clock>,
    pub(super) wires: Wires,
    epoll: Rc<OwnedFd>,
    closings: Option<Closings>,
    /// Copies of programs' ends of sockets are kept.
    keep: bool,
    /// Whether a host's listener may still have calls.
    listening: Vec<bool>,
    /// When each host wants to be looked at.
    deadlines: Vec<Option<Instant>>,
    /// What arrived while it was waited.
    received: SmallVec<[(usize, Notification); 4]>,
    /// A deadline may have passed.
    timed: bool,
    /// What [`Room::carry`] works with, and leaves empty.
    touched: Numbers,
    delivered: Numbers,
    from: Vec<usize>,
}

impl Room {
    /// A room without hosts. `seed` is that of the wires; `keep` as for [`Mirror::new`].
    pub(super) fn new(seed: [u8; 32], keep: bool) -> rustix::io::Result<Room> {
        let epoll = Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        // Where the kernel does not tell, there are no such placeholders.
        let closings = Closings::new().ok();
        if let Some(closings) = &closings {
            let data = epoll::EventData::new_u64(CLOSED);
            epoll::add(&*epoll, closings, data, epoll::EventFlags::IN)?;
        }
        Ok(Room {
            supervisors: Vec::new(),
            clock: Rc::new(Clock::start()),
            wires: Wires::new(seed),
            epoll,
            closings,
            keep,
            listening: Vec::new(),
            deadlines: Vec::new(),
            received: SmallVec::new(),
            timed: false,
            touched: Numbers::default(),
            delivered: Numbers::default(),
            from: Vec::new(),
        })
    }

    /// The mirror of a host that is alone.
    pub(super) fn mirror(&self) -> Mirror {
        Mirror::new(self.epoll.clone(), self.closings.clone(), self.keep)
    }

    /// The mirror of the next one of many hosts, whose sockets have the same numbers.
    pub(super) fn mirror_of_next(&self) -> rustix::io::Result<Mirror> {
        let own = Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let data = epoll::EventData::new_u64(HOSTS + self.supervisors.len() as u64);
        epoll::add(&*self.epoll, &*own, data, epoll::EventFlags::IN)?;
        Ok(Mirror::new(own, self.closings.clone(), self.keep))
    }

    /// One more host. Its number, which the wires have for it too.
    pub(super) fn add(&mut self, supervisor: Supervisor) -> usize {
        self.supervisors.push(supervisor);
        let hosts = self.supervisors.len();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        for supervisor in &mut self.supervisors {
            supervisor.share_descriptors(limit, hosts);
        }
        self.listening.push(true);
        self.deadlines.push(None);
        self.wires.add_host()
    }

    /// Gives a host an interface that leads outside, to what may come at any time.
    pub(super) fn join_outside(
        &mut self,
        host: usize,
        outlet: Outlet,
        mtu: u32,
        addresses: &[(IpAddr, u8)],
        impairment: Option<PipeConfig>,
    ) -> io::Result<IfIndex> {
        let token = OUTLETS + self.wires.networks() as u64;
        self.watch(outlet.as_fd(), token)?;
        let network = self.wires.add_outlet(outlet, mtu);
        let layer = &mut self.supervisors[host].host;
        let at = (host, layer);
        let (interface, plug) = (self.wires).plug_in(at, network, addresses, Duration::ZERO)?;
        if let Some(config) = impairment {
            let now = self.clock.now();
            for cable in [Cable::Up, Cable::Down] {
                (self.wires).change(now, plug, cable, |pipe| *pipe = config);
            }
        }
        Ok(interface)
    }

    /// Tells of a descriptor from now on, by a number from [`FIRST_OWN`] on.
    pub(super) fn watch(&self, fd: impl AsFd, token: u64) -> rustix::io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        epoll::add(&*self.epoll, fd, data, epoll::EventFlags::IN)
    }

    /// Tells of it no more.
    pub(super) fn unwatch(&self, fd: impl AsFd) {
        let _ = epoll::delete(&*self.epoll, fd);
    }

    /// Waits until something happens, or until `until`. Receives calls, tells sockets of their end, and gives back the
    /// numbers of descriptors that were asked for by [`Room::watch`].
    ///
    /// Listeners are waited for by themselves, and not through epoll: their wake-up then keeps us on
    /// the caller's CPU, which epoll's does not pass on, and one call less is made.
    pub(super) fn wait(&mut self, until: Option<Instant>) -> Result<SmallVec<[u64; 4]>, String> {
        let timeout = self.timeout(until);
        self.timed = timeout.is_some();
        let (calling, others) = match self.poll(timeout.as_ref()) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(SmallVec::new()),
            Err(error) => return Err(format!("poll: {error}")),
        };
        // Received at once: until then any signal ends the call, with EINTR even where the kernel
        // has none (docs/design/results-and-signals.md). It is served in its turn.
        for (host, shown) in calling {
            if shown.contains(PollFlags::IN) {
                match self.supervisors[host].listener.recv_ready() {
                    Ok(call) => self.received.extend(call.map(|call| (host, call))),
                    Err(error) => return Err(format!("the listener: {error}")),
                }
            } else if shown.contains(PollFlags::HUP) {
                // The last filtered thread is gone; SIGCHLD tells of the program itself.
                self.listening[host] = false;
            }
        }
        self.clock.read();
        // Who has closed a socket sees it closed in whatever call comes next: the listeners were
        // looked at first, so what happened before the call is in the epoll instance by now.
        if others {
            self.others()
        } else {
            Ok(SmallVec::new())
        }
    }

    fn timeout(&mut self, until: Option<Instant>) -> Option<Timespec> {
        let hosts = self.deadlines.iter().copied().flatten();
        let deadline = hosts.chain(self.wires.poll_timeout()).chain(until).min()?;
        self.clock.read();
        let now = self.clock.now();
        let wait = if deadline > now {
            deadline.saturating_sub(now)
        } else {
            Duration::ZERO
        };
        Some(Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        })
    }

    /// Which listeners show something, and whether there is something else.
    #[allow(clippy::type_complexity, reason = "it is not handed on")]
    fn poll(
        &self,
        timeout: Option<&Timespec>,
    ) -> rustix::io::Result<(SmallVec<[(usize, PollFlags); 4]>, bool)> {
        let asked = self.supervisors.iter().enumerate();
        let asked = asked.filter(|(host, _)| self.listening[*host]);
        let mut fds: SmallVec<[PollFd<'_>; 4]> = SmallVec::new();
        let mut hosts: SmallVec<[usize; 4]> = SmallVec::new();
        for (host, supervisor) in asked {
            hosts.push(host);
            fds.push(PollFd::new(&supervisor.listener, PollFlags::IN));
        }
        fds.push(PollFd::new(&*self.epoll, PollFlags::IN));
        rustix::event::poll(&mut fds, timeout)?;
        let others = fds.last().is_some_and(|fd| !fd.revents().is_empty());
        let shown = fds.iter().map(PollFd::revents);
        let calling = hosts.into_iter().zip(shown).filter(|(_, s)| !s.is_empty());
        Ok((calling.collect(), others))
    }

    /// Everything but calls: hang-ups here, and what is the driver's.
    fn others(&mut self) -> Result<SmallVec<[u64; 4]>, String> {
        let mut own = SmallVec::new();
        let epoll = self.epoll.clone();
        let mut touched = BTreeSet::new();
        let mut looked: SmallVec<[usize; 1]> = SmallVec::new();
        drain(&epoll, &mut |token, hung_up| {
            match token {
                CLOSED => touched.extend(self.closed()),
                // They stay until they are handled, each behind all others: one that is seen again says that all were.
                FIRST_OWN.. if own.contains(&token) => return Ok(ControlFlow::Break(())),
                FIRST_OWN.. => own.push(token),
                HOSTS.. => {
                    let host = (token - HOSTS) as usize;
                    touched.insert(host);
                    let supervisor = &mut self.supervisors[host];
                    let epoll = supervisor.mirror.epoll();
                    drain(&epoll, &mut |token, hung_up| {
                        supervisor.told(token, hung_up);
                        Ok(ControlFlow::Continue(()))
                    })?;
                }
                OUTLETS.. if token != ENDED => {
                    let now = self.clock.now();
                    let network = (token - OUTLETS) as usize;
                    self.wires.look(now, network);
                    looked.push(network);
                }
                _ => {
                    touched.insert(0);
                    self.supervisors[0].told(token, hung_up);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.carry(touched);
        for network in looked {
            if let Some(outlet) = self.wires.outlet(network).filter(|o| o.is_gone()) {
                let _ = epoll::delete(&*epoll, outlet.as_fd());
            }
        }
        Ok(own)
    }

    /// Placeholders of datagram sockets may have been closed for the last time. The hosts that heard.
    fn closed(&mut self) -> Vec<usize> {
        let mut told = Vec::new();
        if let Some(closings) = &self.closings {
            closings.read(|closing| told.push(closing));
        }
        let hosts = self.supervisors.iter_mut().enumerate();
        hosts
            .filter_map(|(host, supervisor)| supervisor.closed(&told).then_some(host))
            .collect()
    }

    /// What is due by now, and the calls that were received.
    pub(super) fn work(&mut self) {
        if self.timed {
            let now = self.clock.now();
            let mut due = BTreeSet::new();
            for (host, deadline) in self.deadlines.iter().enumerate() {
                if deadline.is_some_and(|at| at <= now) {
                    self.supervisors[host].on_time();
                    due.insert(host);
                }
            }
            self.carry(due);
        }
        for (host, call) in std::mem::take(&mut self.received) {
            self.supervisors[host].serve(call);
            self.carried(host);
        }
    }

    /// Something was done on a host: what it sends goes on its way.
    pub(super) fn carried(&mut self, host: usize) {
        if self.leads_out(host) {
            self.carry([host]);
        } else {
            self.deadlines[host] = self.supervisors[host].deadline();
        }
    }

    /// Whether what a host sends goes anywhere: by a wire, to a descriptor of /dev/net/tun, or through a queue of tc(8).
    fn leads_out(&self, host: usize) -> bool {
        self.wires.is_plugged_in(host) || self.supervisors[host].sends_frames()
    }

    /// Carries packets between the hosts, beginning with these, until none moves now.
    pub(super) fn carry(&mut self, busy: impl IntoIterator<Item = usize>) {
        let (now, at) = (self.clock.now(), self.clock.realtime());
        let mut touched = std::mem::take(&mut self.touched);
        let mut delivered = std::mem::take(&mut self.delivered);
        let mut from = std::mem::take(&mut self.from);
        for host in busy {
            touched.insert(host);
            if self.leads_out(host) {
                from.push(host);
            }
        }
        loop {
            let mut hosts = Delivered {
                supervisors: &mut self.supervisors,
                to: &mut delivered,
            };
            self.wires.carry(now, at, &mut from, &mut hosts);
            let mut settled = false;
            while let Some(host) = delivered.pop() {
                touched.insert(host);
                // Where nothing has come of it nobody has to be told.
                if !self.supervisors[host].host.has_events() {
                    continue;
                }
                // Calls that waited for it are attempted again, and may send.
                self.supervisors[host].settle();
                settled = true;
                if self.leads_out(host) {
                    from.push(host);
                }
            }
            if !settled {
                break;
            }
        }
        while let Some(host) = touched.pop() {
            self.deadlines[host] = self.supervisors[host].deadline();
        }
        (self.touched, self.delivered, self.from) = (touched, delivered, from);
    }

    /// Closes what nobody holds any more, whether its placeholder has said so or not.
    pub(super) fn sweep(&mut self) {
        // Closing one may let go of others, which were in flight in its queue.
        loop {
            self.closed();
            let mut closed = false;
            for supervisor in &mut self.supervisors {
                closed |= supervisor.sweep();
            }
            if !closed {
                return;
            }
        }
    }
}

/// Hosts, each once.
#[derive(Default)]
struct Numbers {
    list: Vec<usize>,
    there: Vec<bool>,
}

impl Numbers {
    fn insert(&mut self, host: usize) {
        if self.there.len() <= host {
            self.there.resize(host + 1, false);
        }
        if !std::mem::replace(&mut self.there[host], true) {
            self.list.push(host);
        }
    }

    fn pop(&mut self) -> Option<usize> {
        let host = self.list.pop()?;
        self.there[host] = false;
        Some(host)
    }
}

/// Which hosts got packets.
struct Delivered<'a> {
    supervisors: &'a mut [Supervisor],
    to: &'a mut Numbers,
}

impl Hosts for Delivered<'_> {
    fn layer(&mut self, host: usize) -> &mut Host {
        &mut self.supervisors[host].host
    }

    fn delivered(&mut self, host: usize) {
        self.to.insert(host);
    }

    fn departure(&mut self, now: Instant, host: usize) -> Option<Departure> {
        self.supervisors[host].departure(now)
    }

    fn program_of(&self, host: usize, seen: Seen, frame: &Frame) -> Option<Rc<str>> {
        self.supervisors[host].owners.as_ref()?.of(seen, frame)
    }
}

/// Takes all events of an instance, or until it is told to stop: their numbers, and whether it is a hang-up.
fn drain(
    epoll: &OwnedFd,
    each: &mut dyn FnMut(u64, bool) -> Result<ControlFlow<()>, String>,
) -> Result<(), String> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        let (events, rest) = match epoll::wait(epoll, &mut events, Some(&now)) {
            Ok(events) => events,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(format!("epoll: {error}")),
        };
        for event in &*events {
            let flags = event.flags;
            let hung_up = flags.contains(epoll::EventFlags::HUP);
            if each(event.data.u64(), hung_up)?.is_break() {
                return Ok(());
            }
        }
        if !rest.is_empty() {
            return Ok(());
        }
    }
}
