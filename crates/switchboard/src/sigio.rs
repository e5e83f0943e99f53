//! Signals of sockets: who owns a socket, and what its owner is told (fcntl(2), signal(7)).
//!
//! # Theory of operation
//! `F_SETOWN`, `F_SETSIG` and `O_ASYNC` belong to the open file, which a socket has one of: they are kept
//! by the socket. When an event of it comes out of the layer, the owner's processes get a signal in
//! their queues (kill_fasync() and send_sigio()), and SIGURG for urgent data (send_sigurg()). The
//! embedder takes signals from the queue; nothing runs by itself.
//!
//! # Limits
//! Events that came before anybody looked are one, and so is their signal. A signal is raised while a
//! thread waits in recv(2) on the socket, too, where Linux leaves SIGIO out.

use std::collections::{BTreeMap, VecDeque};
use switchboard_abi::Errno;
use switchboard_abi::number::{SIGIO, SIGURG};
use switchboard_socket::{Cred, Event, PollMask, SocketId};

/// Of one number: those below are pending once at most.
const SIGRTMIN: i32 = 32;
/// How many wait for a process at most; beyond it a queued signal becomes a plain SIGIO
/// (send_sigio()).
const QUEUE: usize = 1024;

/// A signal that was raised: what sigwaitinfo(2) tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal {
    /// `si_signo`
    pub number: i32,
    /// `si_code`: `POLL_IN` and kin, or `SI_KERNEL`.
    pub code: i32,
    /// `si_band`: the poll(2) bits.
    pub band: i64,
    /// `si_fd`: the descriptor that `O_ASYNC` was set by.
    pub fd: i32,
}

/// `si_code` of a signal without more to tell.
pub(crate) const SI_KERNEL: i32 = 128;

/// Whom `F_SETOWN_EX` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Owner {
    /// Nobody.
    #[default]
    None,
    /// A thread: here each process is one.
    Thread(u32),
    /// A process.
    Process(u32),
    /// The processes of a group.
    Group(u32),
}

/// What fcntl(2) has set on a socket's open file.
#[derive(Clone, Debug, Default)]
struct Asynchronous {
    owner: Owner,
    /// Who set it, real and effective (sigio_perm()).
    uid: u32,
    euid: u32,
    /// `F_SETSIG`; 0 is SIGIO without anything more.
    signal: i32,
    /// `O_ASYNC`, by this descriptor.
    descriptor: Option<i32>,
    /// A send met a full buffer, and is to be told of room (SOCKWQ_ASYNC_NOSPACE).
    no_space: bool,
}

/// A process, as signals see it.
#[derive(Debug)]
struct Task {
    group: u32,
    uid: u32,
    suid: u32,
    queue: VecDeque<Signal>,
}

/// The processes of a host and what their sockets are to tell them.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    tasks: BTreeMap<u32, Task>,
    sockets: BTreeMap<SocketId, Asynchronous>,
}

/// Why an event is told: `POLL_IN` and so on, with its bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    In = 1,
    Out = 2,
    Err = 4,
    Pri = 5,
    Hup = 6,
}

impl Reason {
    /// band_table
    fn band(self) -> i64 {
        let band = match self {
            Reason::In => PollMask::READABLE,
            Reason::Out => PollMask::WRITABLE,
            Reason::Err => PollMask::ERR,
            Reason::Pri => PollMask::PRI | PollMask::RDBAND,
            Reason::Hup => PollMask::HUP | PollMask::ERR,
        };
        i64::from(band.bits())
    }
}

impl Tasks {
    /// A process begins.
    pub(crate) fn insert(&mut self, pid: u32, group: u32, cred: &Cred) {
        let task = Task {
            group,
            uid: cred.ruid,
            suid: cred.suid,
            queue: VecDeque::new(),
        };
        let _ = self.tasks.insert(pid, task);
    }

    pub(crate) fn remove(&mut self, pid: u32) {
        let _ = self.tasks.remove(&pid);
    }

    pub(crate) fn exists(&self, pid: u32) -> bool {
        self.tasks.contains_key(&pid)
    }

    pub(crate) fn credentials_changed(&mut self, cred: &Cred) {
        if let Some(task) = self.tasks.get_mut(&cred.pid) {
            (task.uid, task.suid) = (cred.ruid, cred.suid);
        }
    }

    pub(crate) fn group(&self, pid: u32) -> u32 {
        self.tasks.get(&pid).map_or(pid, |task| task.group)
    }

    pub(crate) fn set_group(&mut self, pid: u32, group: u32) {
        if let Some(task) = self.tasks.get_mut(&pid) {
            task.group = group;
        }
    }

    /// The socket is gone.
    pub(crate) fn forget(&mut self, socket: SocketId) {
        let _ = self.sockets.remove(&socket);
    }

    pub(crate) fn owner(&self, socket: SocketId) -> Owner {
        let owner = self
            .sockets
            .get(&socket)
            .map(|s| s.owner)
            .unwrap_or_default();
        match owner {
            // Who is gone owns nothing any more.
            Owner::Thread(pid) | Owner::Process(pid) if !self.exists(pid) => Owner::None,
            owner => owner,
        }
    }

    /// f_setown(): `ESRCH` for who is not there.
    pub(crate) fn set_owner(
        &mut self,
        socket: SocketId,
        owner: Owner,
        cred: &Cred,
    ) -> Result<(), Errno> {
        let there = match owner {
            Owner::None => true,
            Owner::Thread(pid) | Owner::Process(pid) => self.exists(pid),
            // Any process's number will do for a group's.
            Owner::Group(group) => {
                self.exists(group) || self.tasks.values().any(|task| task.group == group)
            }
        };
        if !there {
            return Err(Errno::ESRCH);
        }
        let entry = self.sockets.entry(socket).or_default();
        (entry.owner, entry.uid, entry.euid) = (owner, cred.ruid, cred.euid);
        Ok(())
    }

    pub(crate) fn signal(&self, socket: SocketId) -> i32 {
        self.sockets.get(&socket).map_or(0, |s| s.signal)
    }

    /// `F_SETSIG`
    pub(crate) fn set_signal(&mut self, socket: SocketId, signal: i32) -> Result<(), Errno> {
        if !(0..=64).contains(&signal) {
            return Err(Errno::EINVAL);
        }
        self.sockets.entry(socket).or_default().signal = signal;
        Ok(())
    }

    pub(crate) fn is_async(&self, socket: SocketId) -> bool {
        let entry = self.sockets.get(&socket);
        entry.is_some_and(|s| s.descriptor.is_some())
    }

    /// `O_ASYNC`
    pub(crate) fn set_async(&mut self, socket: SocketId, descriptor: Option<i32>) {
        if descriptor.is_some() || self.sockets.contains_key(&socket) {
            self.sockets.entry(socket).or_default().descriptor = descriptor;
        }
    }

    /// Whether anybody has asked for signals.
    #[inline]
    pub(crate) fn listens(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// A send on the socket found no room.
    pub(crate) fn no_space(&mut self, socket: SocketId) {
        if let Some(socket) = self.sockets.get_mut(&socket) {
            socket.no_space = true;
        }
    }

    /// An event of a socket, whose mask is this now. `exact`: room is told of only when somebody
    /// met a full buffer.
    pub(crate) fn event(&mut self, event: Event, mask: PollMask, exact: bool) {
        let Some(entry) = self.sockets.get_mut(&event.socket) else {
            return;
        };
        let socket = entry.clone();
        let room = exact || entry.no_space;
        // A change of state wakes whoever waits for anything: what is true of it is told.
        let wake = event.wake & (mask | PollMask::READABLE);
        let reason = if wake.contains(PollMask::ERR) {
            Some(Reason::Err)
        } else if wake.contains(PollMask::HUP) {
            Some(Reason::Hup)
        } else if wake.contains(PollMask::IN) {
            Some(Reason::In)
        } else if wake.contains(PollMask::OUT) && room {
            entry.no_space = false;
            Some(Reason::Out)
        } else {
            None
        };
        if wake.contains(PollMask::PRI) {
            self.send(&socket, plain(SIGURG));
            self.tell(&socket, Reason::Pri);
        }
        if let Some(reason) = reason {
            self.tell(&socket, reason);
        }
    }

    /// kill_fasync() and send_sigio().
    fn tell(&mut self, socket: &Asynchronous, reason: Reason) {
        let Some(fd) = socket.descriptor else { return };
        if socket.signal == 0 {
            // SIGURG has been sent by itself.
            if reason != Reason::Pri {
                self.send(socket, plain(SIGIO));
            }
            return;
        }
        let signal = Signal {
            number: socket.signal,
            code: reason as i32,
            band: reason.band(),
            fd,
        };
        self.send(socket, signal);
    }

    /// To each process that the owner is, if its setter may signal it (sigio_perm()).
    fn send(&mut self, socket: &Asynchronous, signal: Signal) {
        let owner = socket.owner;
        for (pid, task) in &mut self.tasks {
            let meant = match owner {
                Owner::None => false,
                Owner::Thread(owner) | Owner::Process(owner) => owner == *pid,
                Owner::Group(group) => group == task.group,
            };
            let allowed = socket.euid == 0
                || [socket.euid, socket.uid]
                    .iter()
                    .any(|uid| *uid == task.uid || *uid == task.suid);
            if meant && allowed {
                task.raise(signal);
            }
        }
    }

    /// A signal for a process itself: SIGPIPE.
    pub(crate) fn raise(&mut self, pid: u32, number: i32) {
        if let Some(task) = self.tasks.get_mut(&pid) {
            task.raise(Signal {
                code: 0,
                ..plain(number)
            });
        }
    }

    /// The next one, the lowest number first (signal(7)).
    pub(crate) fn take(&mut self, pid: u32) -> Option<Signal> {
        let queue = &mut self.tasks.get_mut(&pid)?.queue;
        let lowest = queue.iter().map(|signal| signal.number).min()?;
        let at = queue.iter().position(|signal| signal.number == lowest)?;
        queue.remove(at)
    }
}

impl Task {
    fn raise(&mut self, signal: Signal) {
        let signal = if self.queue.len() < QUEUE || signal.number < SIGRTMIN {
            signal
        } else {
            plain(SIGIO)
        };
        let pending = self.queue.iter().any(|other| other.number == signal.number);
        if signal.number >= SIGRTMIN || !pending {
            self.queue.push_back(signal);
        }
    }
}

fn plain(number: i32) -> Signal {
    Signal {
        number,
        code: SI_KERNEL,
        band: 0,
        fd: 0,
    }
}

impl Owner {
    /// `F_SETOWN`'s argument: a group is negative. `EINVAL` for what has no positive counterpart.
    pub fn from_number(number: i32) -> Result<Owner, Errno> {
        Ok(match number {
            0 => Owner::None,
            1.. => Owner::Process(number as u32),
            i32::MIN => return Err(Errno::EINVAL),
            _ => Owner::Group(number.unsigned_abs()),
        })
    }

    /// `F_GETOWN`'s result.
    pub fn number(self) -> i32 {
        match self {
            Owner::None => 0,
            Owner::Thread(pid) | Owner::Process(pid) => pid as i32,
            Owner::Group(group) => -(group as i32),
        }
    }
}
