//! Descriptors of bpf(2)'s programs and maps.
//!
//! What a program of the run holds for one is the write end of a pipe whose read end is here: an
//! inode of its own tells which object it is, and the read end hangs up when the last copy is gone.
//! Nobody waits for that: objects that nobody holds are looked for when another is made.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::Timespec;
use switchboard_notify::{Errno, Identity};
use switchboard_socket::BpfId;

/// How many processors the programs believe there may be: what a program reads of a percpu map is
/// as many values.
pub(super) fn possible_cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit([',', '-']).next();
    last.and_then(|last| last.parse::<u32>().ok())
        .map_or(1, |last| last + 1)
}

#[derive(Default)]
pub(super) struct BpfFiles {
    by_file: HashMap<Identity, BpfId>,
    ends: Vec<(BpfId, Identity, OwnedFd)>,
}

impl BpfFiles {
    pub(super) fn find(&self, file: Identity) -> Option<BpfId> {
        self.by_file.get(&file).copied()
    }

    /// A pipe: the program's end, and ours.
    pub(super) fn new_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
        let made = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
        let (read, write) = made.map_err(|e| Errno(e.raw_os_error()))?;
        Ok((write, read))
    }

    /// The pipe whose end `ours` is stands for an object from now on.
    pub(super) fn insert(&mut self, id: BpfId, ours: OwnedFd) {
        let Ok(file) = Identity::of(ours.as_fd()) else {
            return;
        };
        self.by_file.insert(file, id);
        self.ends.push((id, file, ours));
    }

    /// The objects that no program holds any more; they are forgotten here.
    pub(super) fn take_released(&mut self) -> Vec<BpfId> {
        let mut polled: Vec<PollFd<'_>> = self
            .ends
            .iter()
            .map(|(_, _, end)| PollFd::new(end, PollFlags::empty()))
            .collect();
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if polled.is_empty() || rustix::event::poll(&mut polled, Some(&now)).is_err() {
            return Vec::new();
        }
        let gone: Vec<bool> = polled
            .iter()
            .map(|end| end.revents().contains(PollFlags::HUP))
            .collect();
        let mut gone = gone.into_iter();
        let by_file = &mut self.by_file;
        let mut released = Vec::new();
        self.ends.retain(|(id, file, _)| {
            let gone = gone.next().unwrap_or(false);
            if gone {
                by_file.remove(file);
                released.push(*id);
            }
            !gone
        });
        released
    }
}
