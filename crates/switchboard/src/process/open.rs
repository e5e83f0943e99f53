//! An open file: what descriptors refer to.

use super::epoll::EpollId;
use super::proc::OpenProc;
use crate::host::Host;
use crate::world::{HostState, World};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use switchboard_abi::number::POLLNVAL;
use switchboard_socket::{BpfId, CloseOutcome, Inode, PollMask, SocketId};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Socket(SocketId),
    Epoll(EpollId),
    /// A program or a map of bpf(2).
    Bpf(BpfId),
    /// A file under /proc.
    Proc,
    /// pidfd_open(2): a process, readable when it has ended.
    Process(u32),
    /// `O_PATH`: a name's file and not the file opened, here one that a socket is bound to.
    Path(Inode),
}

/// An open file description (open(2)). When the last reference goes, the socket is closed: so it
/// must not be let go of under the net's lock.
pub(crate) struct OpenFile {
    host: Host,
    pub(crate) kind: Kind,
    nonblocking: AtomicBool,
    /// Flags that F_SETFL keeps and that mean nothing to a socket.
    kept: AtomicI32,
    /// Whoever lets go of it last waits as `SO_LINGER` says.
    lingers: bool,
    pub(crate) proc: Option<Box<Mutex<OpenProc>>>,
}

impl OpenFile {
    pub(crate) fn new(host: &Host, kind: Kind, nonblocking: bool) -> Arc<OpenFile> {
        let nonblocking = AtomicBool::new(nonblocking);
        Arc::new(OpenFile {
            host: host.clone(),
            kind,
            nonblocking,
            kept: AtomicI32::new(0),
            lingers: false,
            proc: None,
        })
    }

    pub(crate) fn with(
        host: &Host,
        kind: Kind,
        proc: Option<Box<Mutex<OpenProc>>>,
    ) -> Arc<OpenFile> {
        Arc::new(OpenFile {
            host: host.clone(),
            kind,
            nonblocking: AtomicBool::new(false),
            kept: AtomicI32::new(0),
            lingers: false,
            proc,
        })
    }

    pub(crate) fn nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    pub(crate) fn set_nonblocking(&self, on: bool) {
        self.nonblocking.store(on, Ordering::Relaxed);
    }

    pub(crate) fn kept_flags(&self) -> i32 {
        self.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn keep_flags(&self, flags: i32) {
        self.kept.store(flags, Ordering::Relaxed);
    }

    pub(crate) fn socket(&self) -> Option<SocketId> {
        match self.kind {
            Kind::Socket(id) => Some(id),
            Kind::Epoll(_) | Kind::Bpf(_) | Kind::Proc | Kind::Process(_) | Kind::Path(_) => None,
        }
    }

    pub(crate) fn poll(&self, host: &mut HostState) -> PollMask {
        match self.kind {
            Kind::Socket(id) => host.layer.poll(id),
            Kind::Epoll(id) => host.epolls.poll(id, &host.layer),
            Kind::Process(pid) if host.tasks.exists(pid) => PollMask::empty(),
            Kind::Process(_) => PollMask::READABLE,
            Kind::Path(_) => PollMask::from_bits_retain(POLLNVAL),
            // DEFAULT_POLLMASK: neither read nor write ever waits.
            Kind::Bpf(_) | Kind::Proc => PollMask::READABLE | PollMask::WRITABLE,
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Kind::Process(_) | Kind::Path(_) = self.kind {
            return;
        }
        let net = &self.host.net;
        let index = self.host.index;
        let mut world = net.lock();
        match self.kind {
            Kind::Socket(id) => {
                world.hosts[index].epolls.forget_file(id);
                world.hosts[index].tasks.forget(id);
                let outcome = world.call(index, |layer, cx| layer.close(cx, id));
                if self.lingers {
                    world = linger(&self.host, world, id, outcome);
                }
            }
            Kind::Epoll(id) => world.hosts[index].epolls.remove(id),
            Kind::Bpf(id) => world.hosts[index].layer.bpf_close(id),
            Kind::Process(_) | Kind::Path(_) => {}
            Kind::Proc => {}
        }
        net.settle(&mut world, index);
        net.unlock(world);
    }
}

/// A descriptor was closed by a process that goes on (inet_release() waits for no other): SO_LINGER's
/// wait, if it was the last.
pub(crate) fn close(file: Arc<OpenFile>) {
    if let Some(mut last) = Arc::into_inner(file) {
        last.lingers = true;
    }
}

/// Waits until the connection of a socket that was closed needs nobody any more.
pub(crate) fn linger<'a>(
    host: &'a Host,
    mut world: MutexGuard<'a, World>,
    id: SocketId,
    outcome: CloseOutcome,
) -> MutexGuard<'a, World> {
    let CloseOutcome::Linger(time) = outcome else {
        return world;
    };
    let deadline = world.now() + time;
    while world.hosts[host.index].layer.lingers(id) && world.now() < deadline {
        world = match host
            .net
            .wait(world, host.index, &[(id, PollMask::HUP)], Some(deadline))
        {
            Ok(world) => world,
            Err(_) => host.net.lock(),
        };
    }
    world
}

/// After descriptors were closed: closes sockets that only messages in flight refer to.
pub(crate) fn collect(host: &Host) {
    let index = host.index;
    let mut world = host.net.lock();
    if !world.hosts[index].layer.has_rights_in_flight() {
        return;
    }
    let in_flight: Vec<(SocketId, usize)> = world.hosts[index]
        .rights
        .values()
        .filter_map(|file| Some((file.socket()?, Arc::strong_count(file))))
        .collect();
    // A file is held by more than messages when it has more references than they are.
    let mut held = |id: SocketId| {
        let messages = in_flight.iter().filter(|entry| entry.0 == id).count();
        in_flight
            .iter()
            .find(|entry| entry.0 == id)
            .is_none_or(|entry| entry.1 > messages)
    };
    let _ = world.call(index, |layer, cx| layer.collect_cycles(cx, &mut held));
    host.net.settle(&mut world, index);
    host.net.unlock(world);
}
