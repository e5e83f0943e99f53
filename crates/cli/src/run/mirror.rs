//! What programs hold for sockets, and what poll(2) sees there.
//!
//! Each socket has a placeholder: one end of a host socket pair in the program, the other here. The
//! mirror finds the socket of a descriptor, keeps the placeholder's readiness equal to the
//! socket's, and tells when the last copy of the descriptor is gone.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use super::bpf::BpfFiles;
use super::reap;
use super::stand_in::{Makers, Shape, StandIn};
use rustix::event::epoll;
use switchboard_notify::{Closing, Closings, Errno, Identity, Mask};
use switchboard_socket::{PollMask, SocketId};

pub(super) struct Mirror {
    epoll: Rc<OwnedFd>,
    by_file: HashMap<Identity, SocketId>,
    sockets: HashMap<SocketId, Entry>,
    unwatched: HashSet<SocketId>,
    makers: Makers,
    /// By what tells of the end of datagram sockets' placeholders.
    closings: HashMap<i32, SocketId>,
    pub(super) bpf: BpfFiles,
    descendants: RefCell<reap::Descendants>,
}

struct Entry {
    placeholder: StandIn,
    /// Placeholders that another has taken the place of, and of which copies may be left.
    old: Vec<StandIn>,
    /// What is watched for the end of the placeholder.
    watched: Option<RawFd>,
    /// A falling edge could not be shown for want of the program's end.
    stale: bool,
    /// There has been another placeholder, of which news may be on the way.
    replaced: bool,
}

impl Mirror {
    /// `epoll` is to watch placeholders with; `closings` tells of the end of those of datagram sockets, where it can. `keep`:
    /// programs' ends cannot be fetched (docs/design/without-getfd.md).
    pub(super) fn new(epoll: Rc<OwnedFd>, closings: Option<Closings>, keep: bool) -> Mirror {
        Mirror {
            epoll,
            by_file: HashMap::new(),
            sockets: HashMap::new(),
            unwatched: HashSet::new(),
            makers: Makers::new(closings, keep),
            closings: HashMap::new(),
            bpf: BpfFiles::default(),
            descendants: RefCell::default(),
        }
    }

    /// What it watches placeholders with.
    pub(super) fn epoll(&self) -> Rc<OwnedFd> {
        self.epoll.clone()
    }

    /// A new pair, non-blocking if the socket is.
    pub(super) fn new_pair(
        &mut self,
        shape: Shape,
        nonblock: bool,
    ) -> Result<(OwnedFd, StandIn), Errno> {
        self.makers.make(shape, nonblock)
    }

    /// The sockets of which a placeholder has been closed for the last time, by what was told: ask [`Mirror::take_released`].
    pub(super) fn closed(&mut self, told: &[Closing]) -> Vec<SocketId> {
        let mut closed = Vec::new();
        for closing in told {
            match closing {
                Closing::Overflow => closed.extend(self.closings.values()),
                Closing::Of(number) => {
                    // One that was never handed over has no socket; others are another host's.
                    if let Some(id) = self.closings.remove(number)
                        && let Some(entry) = self.sockets.get_mut(&id)
                    {
                        let all = entry.old.iter_mut().chain([&mut entry.placeholder]);
                        all.filter(|it| it.closing() == Some(*number))
                            .for_each(StandIn::set_closed);
                        closed.push(id);
                    }
                }
            }
        }
        closed
    }

    pub(super) fn find(&self, file: Identity) -> Option<SocketId> {
        self.by_file.get(&file).copied()
    }

    /// A copy of the program's end with this identity, where we keep one.
    pub(super) fn kept_end(&self, file: Identity) -> Option<OwnedFd> {
        let entry = self.sockets.get(&self.find(file)?)?;
        let mut all = entry.old.iter().chain([&entry.placeholder]);
        let end = all.find(|it| it.identity() == file)?.kept()?;
        end.try_clone_to_owned().ok()
    }

    /// Whether copies of programs' ends are kept.
    pub(super) fn keeps_copies(&self) -> bool {
        self.makers.keep()
    }

    /// Whether we have a copy of a program's end of the socket.
    pub(super) fn keeps(&self, id: SocketId) -> bool {
        (self.sockets.get(&id)).is_some_and(|entry| entry.placeholder.kept().is_some())
    }

    /// Which of these files programs have, by /proc. `None`: some process cannot be looked at.
    pub(super) fn held_of(&self, files: &HashSet<Identity>) -> Option<HashSet<Identity>> {
        let pids = self.descendants.borrow_mut().list();
        let mut held = HashSet::new();
        let all = reap::each_open_file(&pids, |file| {
            if files.contains(&file) {
                held.insert(file);
            }
        });
        all.then_some(held)
    }

    /// The files of which we keep a copy.
    pub(super) fn kept_files(&self) -> HashSet<Identity> {
        let all = |entry: &'_ Entry| {
            let kept = |it: &StandIn| it.kept().map(|_| it.identity());
            let old = entry.old.iter().filter_map(kept);
            old.chain(kept(&entry.placeholder)).collect::<Vec<_>>()
        };
        self.sockets.values().flat_map(all).collect()
    }

    /// No program has these any more: our copies go, and what tells of a last close sees it. The sockets.
    pub(super) fn let_go(&mut self, files: &HashSet<Identity>) -> Vec<SocketId> {
        let mut ids = Vec::new();
        for file in files {
            let Some(id) = self.find(*file) else { continue };
            let Some(entry) = self.sockets.get_mut(&id) else {
                continue;
            };
            let all = entry.old.iter_mut().chain([&mut entry.placeholder]);
            all.filter(|it| it.identity() == *file)
                .for_each(StandIn::let_go);
            ids.push(id);
        }
        ids
    }

    /// The end of a process is told by the instance: [`super::room::ENDED`].
    pub(super) fn watch_process(&self, process: BorrowedFd<'_>) {
        let data = epoll::EventData::new_u64(super::room::ENDED);
        // Without memory for it the sweep finds what the process leaves.
        let _ = epoll::add(
            &*self.epoll,
            process,
            data,
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        );
    }

    /// The files that stand for sockets and that a program of the run has, by /proc, and by how many descriptors. `None`:
    /// some process cannot be looked at.
    pub(super) fn held_files(&self) -> Option<HashMap<Identity, u32>> {
        let mut held = HashMap::new();
        let all = self.each_descriptor(|file| *held.entry(file).or_default() += 1);
        all.then_some(held)
    }

    /// The inode of the file that stands for a socket.
    pub(super) fn inode(&self, id: SocketId) -> Option<u64> {
        Some(self.sockets.get(&id)?.placeholder.identity().ino)
    }

    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn sockets(&self) -> Vec<SocketId> {
        self.sockets.keys().copied().collect()
    }

    /// The sockets that a program of the run has a descriptor of, by /proc.
    pub(super) fn held_by_programs(&self) -> HashSet<SocketId> {
        let mut held = HashSet::new();
        self.each_descriptor(|file| {
            held.extend(self.find(file));
        });
        held
    }

    /// A placeholder stands for the socket from now on.
    pub(super) fn insert(&mut self, id: SocketId, placeholder: StandIn) {
        if let Some(number) = placeholder.closing() {
            self.closings.insert(number, id);
        }
        self.watch(id, &placeholder);
        self.by_file.insert(placeholder.identity(), id);
        match self.sockets.get_mut(&id) {
            Some(entry) => {
                entry.watched = placeholder.watch().map(|fd| fd.as_raw_fd());
                let old = std::mem::replace(&mut entry.placeholder, placeholder);
                entry.old.push(old);
                entry.replaced = true;
            }
            None => {
                let watched = placeholder.watch().map(|fd| fd.as_raw_fd());
                let entry = Entry {
                    placeholder,
                    old: Vec::new(),
                    watched,
                    stale: false,
                    replaced: false,
                };
                self.sockets.insert(id, entry);
            }
        }
    }

    fn watch(&self, id: SocketId, placeholder: &StandIn) {
        let Some(fd) = placeholder.watch() else {
            return;
        };
        let data = epoll::EventData::new_u64(id.to_u64());
        // No events asked for: HUP and ERR come unasked. EEXIST is a descriptor watched already.
        let _ = epoll::add(&*self.epoll, fd, data, epoll::EventFlags::ET);
    }

    /// The file that stands for a socket.
    pub(super) fn file_of(&self, id: SocketId) -> Option<Identity> {
        self.sockets
            .get(&id)
            .map(|entry| entry.placeholder.identity())
    }

    /// Whether every copy of the socket's descriptor is gone; then it is forgotten here.
    /// `told`: what is watched has hung up.
    pub(super) fn take_released(&mut self, id: SocketId, told: bool) -> bool {
        let Some(entry) = self.sockets.get_mut(&id) else {
            return false;
        };
        let (by_file, closings) = (&mut self.by_file, &mut self.closings);
        entry.old.retain(|old| {
            let released = old.released();
            if released {
                by_file.remove(&old.identity());
                old.closing().map(|number| closings.remove(&number));
            }
            !released
        });
        let told = told && !entry.replaced && entry.placeholder.watch_is_exact();
        if !entry.old.is_empty() || !(told || entry.placeholder.released()) {
            return false;
        }
        by_file.remove(&entry.placeholder.identity());
        (entry.placeholder.closing()).map(|number| closings.remove(&number));
        self.sockets.remove(&id);
        self.unwatched.remove(&id);
        true
    }

    /// Brings the placeholder to the socket's mask. `wake` are the bits that fired; `a` is the
    /// program's end where a call has it at hand, without which falling edges have to wait.
    pub(super) fn show(
        &mut self,
        id: SocketId,
        mask: PollMask,
        wake: PollMask,
        a: Option<BorrowedFd<'_>>,
    ) {
        let Some(entry) = self.sockets.get_mut(&id) else {
            return;
        };
        let mut want = to_mask(mask);
        if let Some(a) = a {
            entry.placeholder.thin(a);
        }
        let before = entry.placeholder.mask();
        if want == Mask::OUT | Mask::HUP && !before.contains(Mask::OUT) {
            // A listener that was shut down, or a connect that was called off: whoever waits for it has to wake, and a
            // hang-up comes with the rest. A listen(2) or connect(2) to come has another placeholder.
            want = Mask::all() - Mask::ERR - Mask::PRI;
        }
        if before == want && wake.is_empty() {
            entry.stale = false;
            return;
        }
        // An edge for those who see it already.
        let mut fired = to_mask(wake & mask);
        if fired.contains(Mask::ERR) && !before.contains(Mask::ERR) {
            // What cannot be shown is shown as IN.
            fired |= Mask::IN;
        }
        let again = fired & before;
        if !again.is_empty() {
            entry.placeholder.signal(again);
        }
        if before == want {
            return;
        }
        let shown = entry.placeholder.show(want, a);
        entry.stale = shown.needs_a;
        self.watch_what_tells(id);
    }

    /// The descriptor that tells of the end is another one after some steps.
    fn watch_what_tells(&mut self, id: SocketId) {
        let Some(entry) = self.sockets.get(&id) else {
            return;
        };
        let now = entry.placeholder.watch().map(|fd| fd.as_raw_fd());
        if now == entry.watched {
            return;
        }
        self.watch(id, &entry.placeholder);
        if entry.placeholder.is_unwatched() {
            self.unwatched.insert(id);
        }
        if let Some(entry) = self.sockets.get_mut(&id) {
            entry.watched = now;
        }
    }

    pub(super) fn has_unwatched(&self) -> bool {
        !self.unwatched.is_empty()
    }

    /// Sockets that were reset after a hang-up: nothing tells of their end, so they are asked now and then. Their
    /// ports are free already.
    pub(super) fn unwatched(&self) -> Vec<SocketId> {
        self.unwatched.iter().copied().collect()
    }

    /// Whether the placeholder shows a hang-up that the socket has not (any more): then only
    /// another placeholder can show what is.
    pub(super) fn needs_replacing(&mut self, id: SocketId, mask: PollMask) -> bool {
        let Some(entry) = self.sockets.get_mut(&id) else {
            return false;
        };
        let needed = entry.placeholder.show(to_mask(mask), None).needs_replacing;
        self.watch_what_tells(id);
        needed
    }

    /// The write half is shut for good: a write that the kernel runs on the descriptor itself gives
    /// EPIPE and SIGPIPE.
    pub(super) fn close_send(&mut self, id: SocketId) {
        if let Some(entry) = self.sockets.get_mut(&id) {
            entry.placeholder.close_send();
        }
        self.watch_what_tells(id);
    }

    /// SO_SELECT_ERR_QUEUE was set.
    pub(super) fn set_select_err(&mut self, id: SocketId, a: BorrowedFd<'_>, on: bool) {
        if let Some(entry) = self.sockets.get_mut(&id) {
            entry.placeholder.set_select_err(a, on);
        }
    }

    /// Takes OUT away and gives it back, for edge-triggered pollers.
    pub(super) fn edge_out(&mut self, id: SocketId, a: BorrowedFd<'_>) {
        if let Some(entry) = self.sockets.get_mut(&id) {
            entry.placeholder.edge_out(a);
        }
    }

    /// Whether one of these is shown. An error may be shown as IN.
    pub(super) fn shows(&self, id: SocketId, bits: PollMask) -> bool {
        let mut bits = to_mask(bits);
        if bits.contains(Mask::ERR) {
            bits |= Mask::IN;
        }
        self.sockets
            .get(&id)
            .is_some_and(|entry| entry.placeholder.mask().intersects(bits))
    }

    /// How many descriptors the programs of the run have of a socket, by /proc.
    pub(super) fn copies(&self, id: SocketId) -> usize {
        let mut copies = 0;
        self.each_descriptor(|file| copies += usize::from(self.find(file) == Some(id)));
        copies
    }

    /// The files of ours that programs have. False: not all could be looked at.
    fn each_descriptor(&self, mut each: impl FnMut(Identity)) -> bool {
        let pids = self.descendants.borrow_mut().list();
        reap::each_open_file(&pids, |file| {
            if self.find(file).is_some() {
                each(file);
            }
        })
    }
}

pub(super) fn to_mask(mask: PollMask) -> Mask {
    let mut out = Mask::empty();
    out.set(Mask::IN, mask.contains(PollMask::IN));
    out.set(Mask::PRI, mask.contains(PollMask::PRI));
    out.set(Mask::OUT, mask.contains(PollMask::OUT));
    out.set(Mask::ERR, mask.contains(PollMask::ERR));
    out.set(Mask::HUP, mask.contains(PollMask::HUP));
    out.set(Mask::RDHUP, mask.contains(PollMask::RDHUP));
    out
}
