//! epoll(7), answered for a process's own sockets.
//!
//! # Theory of operation
//!
//! As in Linux, an item is on its instance's ready list from an event of its socket on until a wait
//! finds it not ready. A wait looks at the listed items only: a level-triggered one that is ready
//! stays listed, an edge-triggered one leaves until the next event, a one-shot one is disarmed.
//!
//! # Limits
//!
//! An epoll instance cannot watch another one: `EINVAL`. `EPOLLEXCLUSIVE` wakes every waiter, which epoll(7) allows
//! ("one or more"); `EPOLLWAKEUP` keeps nothing awake, as without CAP_BLOCK_SUSPEND.

use super::Process;
use super::open::{Kind, OpenFile};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::Errno;
use switchboard_socket::{Event, Host as Layer, PollMask, SocketId};

/// `EPOLLET`: report an event once, when it happens.
pub const EDGE: u32 = 1 << 31;
/// `EPOLLONESHOT`: report one event, then disarm.
pub const ONESHOT: u32 = 1 << 30;
/// `EPOLLEXCLUSIVE`: wake one or more of those who wait, not all.
pub const EXCLUSIVE: u32 = 1 << 28;
/// `EPOLLWAKEUP`
const WAKEUP: u32 = 1 << 29;
/// What may stand beside `EPOLLEXCLUSIVE` (EPOLLEXCLUSIVE_OK_BITS): also IN, OUT, their kin, ERR and HUP.
const BESIDE_EXCLUSIVE: u32 = EXCLUSIVE | WAKEUP | EDGE | 0x1 | 0x4 | 0x8 | 0x10 | 0x40 | 0x100;
/// The `EPOLL*` bits that are `POLL*` bits.
const MASK: u32 = 0xffff;

/// `struct epoll_event` of epoll_ctl(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EpollEvent {
    /// `POLL*` bits, [`EDGE`], [`ONESHOT`].
    pub events: u32,
    /// The caller's own.
    pub data: u64,
}

/// What epoll_ctl(2) does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EpollOp {
    /// `EPOLL_CTL_ADD`
    Add(EpollEvent),
    /// `EPOLL_CTL_MOD`
    Modify(EpollEvent),
    /// `EPOLL_CTL_DEL`
    Delete,
}

pub(crate) type EpollId = u64;

/// An item is known by its open file and the descriptor it was added by: epoll(7), Q0.
type Key = (SocketId, i32);

#[derive(Default)]
struct Item {
    wanted: u32,
    data: u64,
    listed: bool,
}

#[derive(Default)]
struct Instance {
    items: BTreeMap<Key, Item>,
    ready: VecDeque<Key>,
}

/// The epoll instances of a host.
#[derive(Default)]
pub(crate) struct Epolls {
    instances: BTreeMap<EpollId, Instance>,
    /// Which instances watch a socket.
    watchers: BTreeMap<SocketId, Vec<EpollId>>,
    next: EpollId,
}

impl Instance {
    fn list(&mut self, key: Key) {
        if let Some(item) = self.items.get_mut(&key)
            && !item.listed
            && item.wanted & MASK != 0
        {
            item.listed = true;
            self.ready.push_back(key);
        }
    }

    fn ready_mask(item: &Item, layer: &Layer, id: SocketId) -> u32 {
        // ERR and HUP are reported always; a disarmed item wants nothing at all.
        if item.wanted & MASK == 0 {
            return 0;
        }
        let always = u32::from((PollMask::ERR | PollMask::HUP).bits());
        u32::from(layer.poll(id).bits()) & (item.wanted & MASK | always)
    }
}

impl Epolls {
    fn create(&mut self) -> EpollId {
        let id = self.next;
        self.next += 1;
        let _ = self.instances.insert(id, Instance::default());
        id
    }

    pub(crate) fn remove(&mut self, id: EpollId) {
        let _ = self.instances.remove(&id);
        self.watchers.retain(|_, watching| {
            watching.retain(|watcher| *watcher != id);
            !watching.is_empty()
        });
    }

    /// An open file is gone, and its items with it.
    pub(crate) fn forget_file(&mut self, socket: SocketId) {
        for id in self.watchers.remove(&socket).unwrap_or_default() {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.items.retain(|key, _| key.0 != socket);
            }
        }
    }

    #[inline]
    pub(crate) fn event(&mut self, event: Event) {
        if self.watchers.is_empty() {
            return;
        }
        // sock_def_readable() wakes whoever waits for urgent data, too.
        let mut wake = event.wake;
        if wake.contains(PollMask::RDNORM) {
            wake |= PollMask::PRI | PollMask::RDBAND;
        }
        for id in self.watchers.get(&event.socket).into_iter().flatten() {
            if let Some(instance) = self.instances.get_mut(id) {
                let range = (event.socket, i32::MIN)..=(event.socket, i32::MAX);
                let keys: Vec<Key> = instance.items.range(range).map(|(key, _)| *key).collect();
                let always = PollMask::ERR | PollMask::HUP;
                for key in keys {
                    let wanted = instance.items.get(&key).map_or(0, |item| item.wanted);
                    let wanted = PollMask::from_bits_truncate(wanted as u16);
                    if wake.intersects(wanted | always) {
                        instance.list(key);
                    }
                }
            }
        }
    }

    /// `POLLIN` when a wait would return something.
    pub(crate) fn poll(&mut self, id: EpollId, layer: &Layer) -> PollMask {
        let Some(instance) = self.instances.get(&id) else {
            return PollMask::empty();
        };
        let ready = instance.ready.iter().any(|key| {
            let item = instance.items.get(key);
            item.is_some_and(|item| Instance::ready_mask(item, layer, key.0) != 0)
        });
        if ready {
            PollMask::READABLE
        } else {
            PollMask::empty()
        }
    }

    /// The sockets an instance watches, and for what.
    pub(crate) fn sockets(&self, id: EpollId) -> Vec<(SocketId, PollMask)> {
        let items = self
            .instances
            .get(&id)
            .into_iter()
            .flat_map(|instance| &instance.items);
        items
            .map(|(key, item)| {
                (
                    key.0,
                    PollMask::from_bits_retain((item.wanted & MASK) as u16),
                )
            })
            .collect()
    }

    fn control(&mut self, id: EpollId, key: Key, op: EpollOp, layer: &Layer) -> Result<(), Errno> {
        let instance = self.instances.get_mut(&id).ok_or(Errno::EBADF)?;
        match op {
            EpollOp::Add(event) | EpollOp::Modify(event) => {
                if event.events & EXCLUSIVE != 0
                    && (matches!(op, EpollOp::Modify(_)) || event.events & !BESIDE_EXCLUSIVE != 0)
                {
                    return Err(Errno::EINVAL);
                }
                // ERR and HUP are reported unasked.
                let wanted = event.events | u32::from((PollMask::ERR | PollMask::HUP).bits());
                match (instance.items.get_mut(&key), op) {
                    (Some(_), EpollOp::Add(_)) => return Err(Errno::EEXIST),
                    (None, EpollOp::Modify(_)) => return Err(Errno::ENOENT),
                    (Some(item), _) if item.wanted & EXCLUSIVE != 0 => return Err(Errno::EINVAL),
                    (Some(item), _) => (item.wanted, item.data) = (wanted, event.data),
                    (None, _) => {
                        let item = Item {
                            wanted,
                            data: event.data,
                            listed: false,
                        };
                        let _ = instance.items.insert(key, item);
                        let watching = self.watchers.entry(key.0).or_default();
                        if !watching.contains(&id) {
                            watching.push(id);
                        }
                    }
                }
                // What is ready already counts as an event, for an edge-triggered item too.
                let ready = instance
                    .items
                    .get(&key)
                    .map_or(0, |i| Instance::ready_mask(i, layer, key.0));
                if ready != 0 {
                    instance.list(key);
                }
                Ok(())
            }
            EpollOp::Delete => {
                let _ = instance.items.remove(&key).ok_or(Errno::ENOENT)?;
                if !instance.items.keys().any(|other| other.0 == key.0)
                    && let Some(watching) = self.watchers.get_mut(&key.0)
                {
                    watching.retain(|watcher| *watcher != id);
                    if watching.is_empty() {
                        let _ = self.watchers.remove(&key.0);
                    }
                }
                Ok(())
            }
        }
    }

    fn collect(&mut self, id: EpollId, layer: &Layer, out: &mut [EpollEvent]) -> usize {
        let Some(instance) = self.instances.get_mut(&id) else {
            return 0;
        };
        let mut n = 0;
        for _ in 0..instance.ready.len() {
            if n == out.len() {
                break;
            }
            let Some(key) = instance.ready.pop_front() else {
                break;
            };
            let Some(item) = instance.items.get_mut(&key) else {
                continue;
            };
            // Deleted and added again while it was listed: listed twice, and once is enough.
            if !item.listed {
                continue;
            }
            item.listed = false;
            let mask = Instance::ready_mask(item, layer, key.0);
            if mask == 0 {
                continue;
            }
            out[n] = EpollEvent {
                events: mask,
                data: item.data,
            };
            n += 1;
            if item.wanted & ONESHOT != 0 {
                item.wanted &= EDGE | ONESHOT;
            } else if item.wanted & EDGE == 0 {
                item.listed = true;
                instance.ready.push_back(key);
            }
        }
        n
    }
}

impl Process {
    /// epoll_create1(2)
    #[doc(alias = "epoll_create1")]
    pub fn epoll_create(&self, cloexec: bool) -> Result<i32, Errno> {
        let mut world = self.host.net.lock();
        world.hosts[self.host.index].layer.tell_sent();
        let id = world.hosts[self.host.index].epolls.create();
        drop(world);
        let file = OpenFile::new(&self.host, Kind::Epoll(id), false);
        self.table().add(file, cloexec, 0)
    }

    /// epoll_ctl(2)
    #[doc(alias = "epoll_ctl")]
    pub fn epoll_control(&self, epfd: i32, op: EpollOp, fd: i32) -> Result<(), Errno> {
        let (epoll, target) = {
            let table = self.table();
            (table.get(epfd)?, table.get(fd)?)
        };
        let (Kind::Epoll(id), Kind::Socket(socket)) = (epoll.kind, target.kind) else {
            return Err(Errno::EINVAL);
        };
        let mut world = self.host.net.lock();
        let host = &mut world.hosts[self.host.index];
        host.epolls.control(id, (socket, fd), op, &host.layer)
    }

    /// epoll_wait(2): how many events there are in `out`. `None` waits for ever.
    #[doc(alias = "epoll_pwait2")]
    pub fn epoll_wait(
        &self,
        epfd: i32,
        out: &mut [EpollEvent],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let epoll: Arc<OpenFile> = self.table().get(epfd)?;
        let Kind::Epoll(id) = epoll.kind else {
            return Err(Errno::EINVAL);
        };
        if out.is_empty() {
            return Err(Errno::EINVAL);
        }
        let net = &self.host.net;
        let index = self.host.index;
        let mut world = net.lock();
        let deadline = timeout.map(|timeout| world.now() + timeout);
        let n = loop {
            let host = &mut world.hosts[index];
            let n = host.epolls.collect(id, &host.layer, out);
            if n > 0 || deadline.is_some_and(|deadline| deadline <= world.now()) {
                break n;
            }
            let sockets = world.hosts[index].epolls.sockets(id);
            world = net.wait(world, index, &sockets, deadline)?;
        };
        net.unlock(world);
        Ok(n)
    }
}
