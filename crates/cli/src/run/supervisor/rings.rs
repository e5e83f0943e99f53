//! mmap(2) of a packet socket's ring.
//!
//! The program's descriptor is a placeholder, which cannot be mapped; the ring's memory is a memory file. So that file
//! takes the placeholder's place for the one call, which the kernel then carries out, and the placeholder comes back at the next
//! call of the process that comes here. Programs that use rings make such a call before they wait: setsockopt(2), open(2),
//! recvmsg(2). A poll(2) in between finds a file that is always ready.
//!
//! Only what maps a file with MAP_SHARED comes here (filter.rs).
//!
//! # Readiness
//! The program gives a slot back by writing to memory, without a call. While a ring shows IN it is looked at now and
//! then, and IN goes when nothing is left in it. Until then a select(2) may say that there is something, and who believes it goes
//! into a wait that no frame ends (libpcap's poll(2) does not end by time). So IN is shown again for a moment, at growing distances,
//! after it went: whoever waits looks round, finds nothing, and looks at the clock.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};
use switchboard_abi::Errno;
use switchboard_abi::sysno::Arch;
use switchboard_engine::Instant;
use switchboard_notify::{Identity, Notification};
use switchboard_socket::{PollMask, RingMemory, SocketId};

use super::super::files::AtHand;
use super::deliver::is_cloexec;
use super::{Supervisor, host_errno};

/// How soon a ring that has come to show IN is looked at, and how often one that goes on showing it.
const FIRST_LOOK: Duration = Duration::from_micros(50);
const LOOK: Duration = Duration::from_millis(1);
/// When IN is shown for a moment after it went; each time is as long again as the one before, up to the longest. It
/// does not end: the moment's own end may be what catches a program between select(2) and libpcap's poll(2).
const FIRST_NUDGE: Duration = Duration::from_millis(2);
const LONGEST_NUDGE: Duration = Duration::from_millis(1024);
/// How often it is asked whether a program that has mapped one is still there.
const ALIVE: Duration = Duration::from_millis(50);

/// mmap(2) on x86-64, mmap2(2) on i386.
pub(in super::super) const MMAP_X86_64: u32 = 9;
pub(in super::super) const MMAP_I386: u32 = 192;

/// A ring's memory, as a file.
#[derive(Debug)]
struct Memory(OwnedFd);

impl RingMemory for Memory {
    fn read(&self, at: usize, out: &mut [u8]) {
        // Within the file, whose size is sealed: all of it, or the machine's memory is broken.
        let _ = rustix::io::pread(&self.0, out, at as u64);
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.0, &bytes[done..], (at + done) as u64) {
                Ok(n) if n > 0 => done += n,
                // No memory for it.
                _ => return,
            }
        }
    }

    fn token(&self) -> u64 {
        self.0.as_raw_fd() as u64
    }
}

/// As the layer makes rings.
pub(super) fn make(len: usize) -> Option<Arc<dyn RingMemory>> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = fs::memfd_create("packet-ring", flags).ok()?;
    fs::ftruncate(&file, len as u64).ok()?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW;
    fs::fcntl_add_seals(&file, seals).ok()?;
    Some(Arc::new(Memory(file)))
}

/// What mmap(2) was asked for.
pub(super) struct Asked {
    len: u64,
    fd: i32,
    offset: u64,
}

/// The call, if it is one.
pub(super) fn mmap(arch: Arch, nr: u32, args: &[u64; 6]) -> Option<Asked> {
    let own = match arch {
        Arch::X86_64 => MMAP_X86_64,
        Arch::I386 => MMAP_I386,
    };
    (nr == own).then_some(Asked {
        len: args[1],
        fd: args[4] as i32,
        offset: args[5],
    })
}

/// A descriptor with a ring's memory in place of the placeholder.
struct Swapped {
    tid: i32,
    fd: i32,
    memory: Identity,
    end: OwnedFd,
    cloexec: bool,
}

/// A ring that a program has mapped.
struct Mapped {
    socket: SocketId,
    tid: i32,
    fd: i32,
    watch: Watch,
}

/// What is known of a ring's IN, and when it is looked at next.
#[derive(Clone, Copy, Debug)]
enum Watch {
    Quiet,
    /// Frames are in it.
    Full {
        next: Instant,
        gap: Duration,
    },
    /// All were given back, perhaps a while before it was seen.
    Emptied {
        next: Instant,
        gap: Duration,
    },
    /// IN is shown though nothing is in it.
    Nudge {
        next: Instant,
        gap: Duration,
    },
}

impl Watch {
    fn next(self) -> Option<Instant> {
        match self {
            Self::Quiet => None,
            Self::Full { next, .. } | Self::Emptied { next, .. } | Self::Nudge { next, .. } => {
                Some(next)
            }
        }
    }

    /// What follows at `now`, and whether IN is to be shown.
    fn step(self, now: Instant, full: bool, shown: bool) -> (Self, bool) {
        match (full, shown, self) {
            (true, true, watch) => {
                let gap = match watch {
                    Self::Full { gap, .. } => (gap * 2).min(LOOK),
                    _ => FIRST_LOOK,
                };
                let next = now + gap;
                (Self::Full { next, gap }, true)
            }
            (false, true, watch) => {
                let gap = match watch {
                    Self::Nudge { gap, .. } => (gap * 2).min(LONGEST_NUDGE),
                    _ => FIRST_NUDGE,
                };
                let next = now + gap;
                (Self::Emptied { next, gap }, false)
            }
            (false, false, Self::Emptied { gap, .. }) => {
                let next = now + LOOK;
                (Self::Nudge { next, gap }, true)
            }
            // What is about to be shown is shown by the events of the host.
            (_, false, _) => (Self::Quiet, false),
        }
    }
}

#[derive(Default)]
pub(super) struct Rings {
    swapped: Vec<Swapped>,
    mapped: Vec<Mapped>,
    /// When it is asked next whether the processes of the swapped are still there.
    alive: Option<Instant>,
}

impl Rings {
    /// Placeholders that are not where they belong.
    pub(super) fn away(&self) -> impl Iterator<Item = Identity> {
        let ends = self.swapped.iter();
        ends.filter_map(|swapped| Identity::of(swapped.end.as_fd()).ok())
    }
}

impl Supervisor {
    /// mmap(2) of a file with MAP_SHARED.
    pub(super) fn map(&mut self, call: &Notification, asked: &Asked) {
        let look = AtHand::look(
            &mut self.processes.borrow_mut(),
            &self.mirror,
            call.tid,
            asked.fd,
        );
        let Some((id, hand)) = look
            .ok()
            .and_then(|hand| Some((self.mirror.find(hand.file())?, hand)))
        else {
            return self.go_on(call);
        };
        let memory = match self.host.ring_memory(id, asked.len as usize) {
            // Sockets of other families cannot be mapped: the kernel says so of the placeholder.
            Err(Errno::ENOTSOCK) => return self.go_on(call),
            Ok(_) if asked.offset != 0 => Err(Errno::EINVAL),
            memory => memory,
        };
        if let Err(errno) = memory.and_then(|memory| self.swap(call, asked.fd, id, hand, &*memory))
        {
            let _ = self.listener.reply_errno(call.id, host_errno(errno));
        }
    }

    fn swap(
        &mut self,
        call: &Notification,
        fd: i32,
        id: SocketId,
        hand: AtHand,
        memory: &dyn RingMemory,
    ) -> Result<(), Errno> {
        let end = hand.into_end().ok_or(Errno::ENODEV)?;
        let path = format!("/proc/self/fd/{}", memory.token());
        let file = fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let file = file.map_err(|_| Errno::ENOMEM)?;
        let identity = Identity::of(file.as_fd()).map_err(|_| Errno::ENOMEM)?;
        let cloexec = is_cloexec(call.tid, fd);
        let put = self.listener.set_fd(call.id, file.as_fd(), fd, cloexec);
        put.map_err(|_| Errno::ENOMEM)?;
        self.rings.swapped.push(Swapped {
            tid: call.tid,
            fd,
            memory: identity,
            end,
            cloexec,
        });
        self.rings.mapped.retain(|mapped| mapped.socket != id);
        self.rings.mapped.push(Mapped {
            socket: id,
            tid: call.tid,
            fd,
            watch: Watch::Quiet,
        });
        self.go_on(call);
        Ok(())
    }

    /// A call of a process came: the placeholders go back to where they belong.
    pub(super) fn put_back(&mut self, call: &Notification) {
        if self.rings.swapped.is_empty() {
            return;
        }
        let process = |tid: i32| {
            let status = self.processes.borrow_mut().status(tid);
            status.ok().map(|status| status.tgid)
        };
        let ours = process(call.tid);
        for swapped in std::mem::take(&mut self.rings.swapped) {
            if swapped.tid != call.tid && process(swapped.tid) != ours {
                self.rings.swapped.push(swapped);
                continue;
            }
            let there = self
                .processes
                .borrow_mut()
                .identify(swapped.tid, swapped.fd);
            // Otherwise it has been closed since, and perhaps another opened.
            if there == Ok(swapped.memory) {
                let (end, fd) = (swapped.end.as_fd(), swapped.fd);
                let _ = self.listener.set_fd(call.id, end, fd, swapped.cloexec);
            }
        }
    }

    pub(super) fn rings_deadline(&self) -> Option<Instant> {
        let looks = self.rings.mapped.iter().filter_map(|mapped| {
            let shown = || self.mirror.shows(mapped.socket, PollMask::IN);
            let next = mapped.watch.next();
            next.or_else(|| shown().then(|| self.clock.now()))
        });
        let away = !self.rings.swapped.is_empty();
        let alive = away.then(|| self.rings.alive.unwrap_or(self.clock.now()));
        looks.chain(alive).min()
    }

    /// Looks at what programs have given back by writing to memory.
    pub(super) fn look_at_rings(&mut self, now: Instant) {
        if self.rings_deadline().is_none_or(|at| at > now) {
            return;
        }
        let mirror = &self.mirror;
        self.rings
            .mapped
            .retain(|mapped| mirror.inode(mapped.socket).is_some());
        for mapped in &mut self.rings.mapped {
            if mapped.watch.next().is_some_and(|at| at > now) {
                continue;
            }
            let mask = self.host.poll(mapped.socket);
            let shown = self.mirror.shows(mapped.socket, PollMask::IN);
            let (watch, show) = mapped.watch.step(now, mask.contains(PollMask::IN), shown);
            mapped.watch = watch;
            if show == shown {
                continue;
            }
            let mut processes = self.processes.borrow_mut();
            let hand = AtHand::look(&mut processes, &self.mirror, mapped.tid, mapped.fd);
            let hand = hand
                .ok()
                .filter(|hand| self.mirror.find(hand.file()) == Some(mapped.socket));
            let Some(end) = hand.and_then(AtHand::into_end) else {
                continue;
            };
            let mask = if show { mask | PollMask::IN } else { mask };
            self.mirror
                .show(mapped.socket, mask, PollMask::empty(), Some(end.as_fd()));
        }
        if self.rings.alive.is_none_or(|at| at <= now) {
            // Whose process is gone has no descriptor any more.
            let mut processes = self.processes.borrow_mut();
            self.rings.swapped.retain(|swapped| {
                processes.identify(swapped.tid, swapped.fd) == Ok(swapped.memory)
            });
            self.rings.alive = Some(now + ALIVE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring that is emptied at 3 ms: what is shown, and when that changes.
    #[test]
    fn a_ring_that_was_emptied_nudges_ever_less() {
        let start = Instant::from_micros(0);
        let (mut watch, mut shown) = (Watch::Quiet, true);
        let mut now = start;
        let mut edges = Vec::new();
        while now < start + Duration::from_secs(10) {
            let at = now.as_micros();
            let (next, show) = watch.step(now, at < 3000, shown);
            if show != shown {
                edges.push(format!("{at} {}", if show { "IN" } else { "-" }));
            }
            (watch, shown) = (next, show);
            match watch.next() {
                Some(next) => now = next,
                None => break,
            }
        }
        let falls = edges.iter().filter(|edge| edge.ends_with('-')).count();
        assert_eq!(falls, edges.len() - falls + 1, "{edges:?}");
        // After 2, 4 ... 1024 ms, and then every 1024.
        assert_eq!(falls, 1 + 10 + 7, "{edges:?}");
        assert!(!shown);
    }

    #[test]
    fn frames_that_come_meanwhile_end_the_nudges() {
        let now = Instant::from_micros(0);
        let (watch, show) = Watch::Quiet.step(now, false, true);
        assert!(matches!(watch, Watch::Emptied { .. }) && !show);
        let (watch, show) = watch.step(now, true, true);
        assert!(
            matches!(
                watch,
                Watch::Full {
                    gap: FIRST_LOOK,
                    ..
                }
            ) && show
        );
    }
}
