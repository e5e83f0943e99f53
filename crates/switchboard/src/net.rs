//! A net of virtual hosts, and how threads wait in it.

use crate::clock::{Clock, RealClock};
use crate::host::HostBuilder;
use crate::wires::Wires;
use crate::world::{Time, Waiter, World};
use std::io;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use switchboard_abi::Errno;
use switchboard_device::SegmentConfig;
use switchboard_engine::Instant;
use switchboard_socket::{PollMask, SocketId};

/// A net of virtual hosts. Cloning gives another handle to the same net.
#[derive(Clone)]
pub struct Net {
    pub(crate) inner: Arc<Inner>,
}

/// Ends the driver thread when the last handle is gone.
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    world: Mutex<World>,
    /// Wakes the driver thread.
    driver: Condvar,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut world = self.shared.lock();
        world.stop = true;
        world.watchers.clear();
        drop(world);
        self.shared.driver.notify_all();
    }
}

impl Net {
    /// A net that runs by the machine's clock, with random ports and sequence numbers.
    pub fn real_time() -> io::Result<Net> {
        let mut seed = [0; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Net::with_clock(Box::new(RealClock::new()), seed)
    }

    /// A net that runs by this clock. Waiting threads and the net's own thread take the clock's
    /// durations for real ones.
    pub fn with_clock(clock: Box<dyn Clock>, seed: [u8; 32]) -> io::Result<Net> {
        let net = Net::new(Time::Real(clock), seed);
        let shared = net.inner.shared.clone();
        std::thread::Builder::new()
            .name("switchboard".into())
            .spawn(move || drive(&shared))?;
        Ok(net)
    }

    /// A net in virtual time, for one thread: a call that has to wait lets the time jump. The same
    /// seed and the same calls give the same packets at the same times.
    pub fn virtual_time(seed: u64) -> Net {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Net::new(Time::Virtual(Instant::BOOT), bytes)
    }

    fn new(time: Time, seed: [u8; 32]) -> Net {
        let mut wires = Wires::new(seed);
        wires.add_segment(SegmentConfig::default());
        let world = World {
            hosts: Vec::new(),
            wires,
            due: Default::default(),
            touched: Vec::new(),
            time,
            seed,
            recent: Instant::BOOT,
            planned: Instant::MAX,
            stop: false,
            trash: Vec::new(),
            watchers: Vec::new(),
        };
        let shared = Shared {
            world: Mutex::new(world),
            driver: Condvar::new(),
        };
        Net {
            inner: Arc::new(Inner {
                shared: Arc::new(shared),
            }),
        }
    }

    /// A new host. With [`HostBuilder::address`] it is joined to the net's segment.
    pub fn host(&self, name: &str) -> HostBuilder {
        HostBuilder::new(self.clone(), name)
    }

    /// The time on every host: since the net was made.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.lock().now().as_nanos())
    }

    /// Virtual time: lets everything happen that happens by itself in the next `duration`. In real
    /// time it does nothing, since time passes without it.
    pub fn advance(&self, duration: Duration) {
        self.run_until(self.now() + duration);
    }

    /// Virtual time: lets everything happen that happens by itself until `time`.
    pub fn run_until(&self, time: Duration) {
        let until = Instant::BOOT + time;
        self.with(|world| while world.step(Some(until)) {});
    }

    /// Virtual time: lets the next thing happen; when nothing is left to happen, `None`, else the
    /// new time.
    pub fn step(&self) -> Option<Duration> {
        self.with(|world| {
            world
                .step(None)
                .then(|| Duration::from_nanos(world.now().as_nanos()))
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.inner.shared.lock()
    }

    /// Runs `f` under the lock; open files it lets go of are closed after it.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        let result = f(&mut world);
        self.unlock(world);
        result
    }

    /// Gives the lock back, and then closes what was let go of under it.
    #[inline]
    pub(crate) fn unlock(&self, mut world: MutexGuard<'_, World>) {
        if world.trash.is_empty() {
            return;
        }
        let trash = std::mem::take(&mut world.trash);
        drop(world);
        drop(trash);
    }

    /// After a call on a host: see [`World::settle`].
    #[inline]
    pub(crate) fn settle(&self, world: &mut World, host: usize) {
        if world.settle(host) {
            self.inner.shared.driver.notify_one();
        }
    }

    /// Waits until one of these sockets has one of its events, or `deadline` has passed. In virtual
    /// time it lets the time jump; `EDEADLK` when nothing would ever happen.
    pub(crate) fn wait<'a>(
        &'a self,
        mut world: MutexGuard<'a, World>,
        host: usize,
        sockets: &[(SocketId, PollMask)],
        deadline: Option<Instant>,
    ) -> Result<MutexGuard<'a, World>, Errno> {
        let wake = Arc::new(Condvar::new());
        world.hosts[host]
            .waiters
            .extend(sockets.iter().map(|&(socket, interest)| Waiter {
                socket,
                interest,
                wake: wake.clone(),
                fired: false,
            }));
        // What the attempt has sent may come back with what it waits for before anybody sleeps.
        self.settle(&mut world, host);
        let fired = world.hosts[host]
            .waiters
            .iter()
            .any(|waiter| waiter.fired && Arc::ptr_eq(&waiter.wake, &wake));
        let left = deadline.map(|deadline| deadline.saturating_sub(world.now()));
        let mut stuck = false;
        if fired || left == Some(Duration::ZERO) {
            // Nothing to sleep for.
        } else if world.is_virtual() {
            stuck = !world.step(deadline) && deadline.is_none();
        } else {
            world = match left {
                None => wake.wait(world).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    wake.wait_timeout(world, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        world.hosts[host]
            .waiters
            .retain(|waiter| !Arc::ptr_eq(&waiter.wake, &wake));
        if stuck {
            Err(Errno::EDEADLK)
        } else {
            Ok(world)
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        // A panic under the lock leaves the layer as consistent as a failed call does: no step of
        // it is half done in a way that a later call could not meet.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The outside has something on a network that leads there. Whether it may have more some day.
    pub(crate) fn look(&self, network: usize) -> bool {
        let mut world = self.lock();
        let now = world.now();
        world.wires.look(now, network);
        world.run_due();
        let outlet = world.wires.outlet(network);
        let stays = outlet.is_some_and(|outlet| !outlet.is_gone());
        let trash = std::mem::take(&mut world.trash);
        drop(world);
        drop(trash);
        // There may be new times to wait for.
        self.driver.notify_one();
        stays
    }
}

/// The net's own thread: runs timers and arrivals when they are due.
fn drive(shared: &Shared) {
    let mut world = shared.lock();
    while !world.stop {
        world.run_due();
        if !world.trash.is_empty() {
            let trash = std::mem::take(&mut world.trash);
            drop(world);
            drop(trash);
            world = shared.lock();
            continue;
        }
        let next = world.next_timeout();
        world.planned = next.unwrap_or(Instant::MAX);
        world = match next {
            None => shared
                .driver
                .wait(world)
                .unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let left = at.saturating_sub(world.now()).max(Duration::from_micros(1));
                shared
                    .driver
                    .wait_timeout(world, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
    }
}
