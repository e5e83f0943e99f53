//! getdents(2) of the directories below /proc/net and /proc/sys/net.
//!
//! The directory is the machine's own, so fstat(2), fchdir(2), openat(2) and the rest are the kernel's; only what it lists is the
//! run's host. The file's position is the number of the next entry.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, FileType, SeekFrom};
use switchboard_abi::sysno::Arch;
use switchboard_abi::{Errno, Word};
use switchboard_notify::{Notification, RemoteMemory};
use switchboard_syscall::Memory;

use super::super::files::{AtHand, errno};
use super::super::memory::TargetMemory;
use super::super::opens;
use super::{Supervisor, host_errno};

/// getdents(2) and getdents64(2).
pub(in super::super) const LISTINGS_X86_64: [u32; 2] = [78, 217];
pub(in super::super) const LISTINGS_I386: [u32; 2] = [141, 220];

/// Larger buffers are filled in part only.
const MOST: usize = 64 * 1024;

/// `struct linux_dirent` of a word size, or `struct linux_dirent64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Old(Word),
    New,
}

/// Which entries a call wants to have, if it is one of these.
pub(super) fn layout(arch: Arch, nr: u32) -> Option<Layout> {
    let [old, new] = match arch {
        Arch::X86_64 => LISTINGS_X86_64,
        Arch::I386 => LISTINGS_I386,
    };
    match nr {
        _ if nr == old => Some(Layout::Old(arch.word())),
        _ if nr == new => Some(Layout::New),
        _ => None,
    }
}

struct Entry {
    name: String,
    ino: u64,
    kind: u8,
}

impl Supervisor {
    /// A listing of a directory: ours are answered, others go on.
    pub(super) fn list(&mut self, call: &Notification, layout: Layout) {
        let Some((directory, below)) = self.net_directory(call) else {
            return self.go_on(call);
        };
        let told = match self.entries(call, layout, &directory, &below) {
            Ok(count) => self.listener.reply_value(call.id, count as i64),
            Err(errno) => self.listener.reply_errno(call.id, host_errno(errno)),
        };
        if told.is_err() {
            self.stats.not_delivered += 1;
        }
    }

    /// The directory of the call, if it is one of the network's below /proc, and which.
    fn net_directory(&mut self, call: &Notification) -> Option<(OwnedFd, String)> {
        let fd = call.data.args[0] as i32;
        let hand = AtHand::look(&mut self.processes.borrow_mut(), &self.mirror, call.tid, fd);
        let directory = hand.ok()?.into_end()?;
        let below = opens::directory_below_proc(&directory)?;
        let stat = fs::fstat(&directory).ok()?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        is_directory.then_some((directory, below))
    }

    fn entries(
        &mut self,
        call: &Notification,
        layout: Layout,
        directory: &OwnedFd,
        below: &str,
    ) -> Result<usize, Errno> {
        let entries = self.names_in(directory, below);
        let [_, address, size, ..] = call.data.args;
        let room = (size as u32 as usize).min(MOST);
        let from = fs::seek(directory, SeekFrom::Current(0)).map_err(errno)? as usize;
        let mut out = Vec::new();
        let mut next = from;
        for (at, entry) in entries.iter().enumerate().skip(from) {
            let before = out.len();
            layout.push(&mut out, entry, at as u64 + 1);
            if out.len() > room {
                out.truncate(before);
                break;
            }
            next = at + 1;
        }
        if out.is_empty() && from < entries.len() {
            // Not even one fits.
            return Err(Errno::EINVAL);
        }
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        memory.write(address, &out).map_err(|_| Errno::EFAULT)?;
        fs::seek(directory, SeekFrom::Start(next as u64)).map_err(errno)?;
        Ok(out.len())
    }

    /// What there is, in the kernel's order.
    fn names_in(&self, directory: &OwnedFd, below: &str) -> Vec<Entry> {
        let mut names: BTreeMap<(usize, String), bool> = BTreeMap::new();
        for path in self.host.proc_files() {
            let rest = path.strip_prefix(below).and_then(|r| r.strip_prefix('/'));
            let Some(rest) = rest else { continue };
            let (name, is_directory) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            // proc_match() looks at the lengths first, sysctl's namecmp() does not.
            let len = if below.starts_with("net") {
                name.len()
            } else {
                0
            };
            names.insert((len, name.to_string()), is_directory);
        }
        let stat = |name: &str| fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let mut entries = Vec::new();
        for name in [".", ".."] {
            entries.push(Entry {
                name: name.to_string(),
                ino: stat(name).map_or(1, |stat| stat.st_ino),
                kind: libc::DT_DIR,
            });
        }
        for ((_, name), is_directory) in names {
            let there = stat(&name);
            // A directory is the machine's to open; a file of ours needs none of its.
            if is_directory && there.is_none() {
                continue;
            }
            let ino = there.map_or(1 + entries.len() as u64, |stat| stat.st_ino);
            let kind = if is_directory {
                libc::DT_DIR
            } else {
                libc::DT_REG
            };
            entries.push(Entry { name, ino, kind });
        }
        entries
    }
}

impl Layout {
    /// One more entry; `next` is the position after it.
    fn push(self, out: &mut Vec<u8>, entry: &Entry, next: u64) {
        let start = out.len();
        let (word, align) = match self {
            Layout::Old(Word::Ilp32) => (4, 4),
            Layout::Old(Word::Lp64) | Layout::New => (8, 8),
        };
        out.extend_from_slice(&entry.ino.to_le_bytes()[..word]);
        out.extend_from_slice(&next.to_le_bytes()[..word]);
        let name = entry.name.as_bytes();
        // Two bytes of length, one of the kind (the last one of all, or before the name), and the NUL.
        let len = (2 * word + 4 + name.len()).next_multiple_of(align);
        out.extend_from_slice(&(len as u16).to_le_bytes());
        if self == Layout::New {
            out.push(entry.kind);
        }
        out.extend_from_slice(name);
        out.resize(start + len, 0);
        if self != Layout::New {
            out[start + len - 1] = entry.kind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(layout: Layout, name: &str) -> Vec<u8> {
        let entry = Entry {
            name: name.into(),
            ino: 0x1234,
            kind: libc::DT_REG,
        };
        let mut out = Vec::new();
        layout.push(&mut out, &entry, 7);
        out
    }

    #[test]
    fn entries_are_laid_out_as_the_kernels() {
        let new = one(Layout::New, "tcp");
        assert_eq!(new.len(), 24);
        assert_eq!(new[..10], [0x34, 0x12, 0, 0, 0, 0, 0, 0, 7, 0]);
        assert_eq!(new[16..24], [24, 0, libc::DT_REG, b't', b'c', b'p', 0, 0]);
        let old = one(Layout::Old(Word::Ilp32), "udp6");
        assert_eq!(old.len(), 16);
        assert_eq!(old[8..16], [16, 0, b'u', b'd', b'p', b'6', 0, libc::DT_REG]);
        // The NUL and the kind have their places, however long the name is.
        for len in 1..20 {
            let name = "x".repeat(len);
            let new = one(Layout::New, &name);
            assert_eq!(new[19 + len], 0);
            let old = one(Layout::Old(Word::Lp64), &name);
            assert_eq!((old[18 + len], old[old.len() - 1]), (0, libc::DT_REG));
        }
    }
}
