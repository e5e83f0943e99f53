//! Files under /proc/net and /proc/sys/net that programs have open.
//!
//! # Theory of operation
//! What a program gets is a memory file with the text as it was when it opened it, sealed: pread(2), mmap(2) and
//! sendfile(2) are the kernel's and find that. read(2) and write(2) are trapped anyway; the file is recognised by its inode
//! as a placeholder is, and they are answered here: with the text as it is now, and with the errno of the tunable. What
//! is not trapped cannot write: the seal refuses it with EPERM.
//!
//! See docs/design/proc-files.md.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use switchboard_notify::Identity;
use switchboard_socket::{ProcFile, ProcReading};

/// Files are looked through for those that nobody has open any more when there are this many.
const SWEEP_AT: usize = 64;

/// Which of these files programs have; `None` if it cannot be told.
pub(super) type Held<'a> = dyn Fn(&HashSet<Identity>) -> Option<HashSet<Identity>> + 'a;

/// A file that a program opened.
pub(super) struct OpenFile {
    pub(super) reading: ProcReading,
    /// Keeps the inode from being used again, and tells when nobody else has the file open.
    ours: OwnedFd,
    /// A copy of the program's descriptor, where it cannot be fetched when it is needed.
    pub(super) kept: Option<OwnedFd>,
}

#[derive(Default)]
pub(super) struct OpenFiles {
    by_file: HashMap<Identity, OpenFile>,
    sweep_at: usize,
}

impl OpenFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.by_file.is_empty()
    }

    pub(super) fn get_mut(&mut self, file: Identity) -> Option<&mut OpenFile> {
        self.by_file.get_mut(&file)
    }

    /// A descriptor for a program that opens `file` with these flags.
    pub(super) fn make(
        &mut self,
        file: ProcFile,
        text: &str,
        flags: OFlags,
        keep: Option<&Held<'_>>,
    ) -> Result<OwnedFd, Errno> {
        self.sweep(keep);
        let whole = sealed("proc", text)?;
        let path = format!("/proc/self/fd/{}", whole.as_raw_fd());
        let kept = OFlags::RWMODE | OFlags::APPEND | OFlags::NONBLOCK;
        let theirs = fs::open(&path, flags & kept | OFlags::CLOEXEC, Mode::empty())?;
        let ours = fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        fs::fchmod(&whole, Mode::from_raw_mode(file.mode().into()))?;
        let identity = Identity::of(ours.as_fd()).map_err(|e| Errno::from_raw_os_error(e.0))?;
        let reading = ProcReading::new(file);
        let kept = keep.map(|_| rustix::io::fcntl_dupfd_cloexec(&theirs, 0));
        let kept = kept.transpose()?;
        let open = OpenFile {
            reading,
            ours,
            kept,
        };
        self.by_file.insert(identity, open);
        Ok(theirs)
    }

    fn sweep(&mut self, held: Option<&Held<'_>>) {
        if self.by_file.len() < self.sweep_at.max(SWEEP_AT) {
            return;
        }
        match held {
            None => self.by_file.retain(|_, open| is_open_elsewhere(&open.ours)),
            Some(held) => {
                let known: HashSet<Identity> = self.by_file.keys().copied().collect();
                if let Some(held) = held(&known) {
                    self.by_file.retain(|file, _| held.contains(file));
                }
            }
        }
        self.sweep_at = 2 * self.by_file.len();
    }
}

/// A memory file with this text, which stays as it is.
pub(super) fn sealed(name: &str, text: &str) -> Result<OwnedFd, Errno> {
    let whole = fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut left = text.as_bytes();
    while !left.is_empty() {
        let n = rustix::io::write(&whole, left)?;
        left = &left[n..];
    }
    fs::fcntl_add_seals(
        &whole,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(whole)
}

/// Whether somebody else has the file open: a write lease is only granted when nobody has.
fn is_open_elsewhere(file: &OwnedFd) -> bool {
    let lease = |kind: i32| {
        // SAFETY: no memory involved.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) }
    };
    if lease(libc::F_WRLCK) != 0 {
        return true;
    }
    lease(libc::F_UNLCK);
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard_socket::{Host, HostConfig};

    fn tunable() -> ProcFile {
        let host = Host::new(HostConfig::default());
        host.proc_file("sys/net/core/somaxconn").expect("there")
    }

    #[test]
    fn a_file_is_there_while_somebody_has_it() {
        let mut files = OpenFiles::default();
        let fd = files
            .make(tunable(), "4096\n", OFlags::RDWR, None)
            .expect("a file");
        let identity = Identity::of(fd.as_fd()).expect("an inode");
        assert!(files.get_mut(identity).is_some());
        assert!(is_open_elsewhere(&files.by_file[&identity].ours));
        let mut text = [0; 8];
        assert_eq!(rustix::io::pread(&fd, &mut text, 0), Ok(5));
        assert_eq!(rustix::io::write(&fd, b"1"), Err(Errno::PERM));
        drop(fd);
        assert!(!is_open_elsewhere(&files.by_file[&identity].ours));
    }

    #[test]
    fn files_that_nobody_has_are_forgotten() {
        let mut files = OpenFiles::default();
        let held = files.make(tunable(), "1\n", OFlags::RDONLY, None);
        for _ in 0..4 * SWEEP_AT {
            drop(files.make(tunable(), "1\n", OFlags::RDONLY, None));
        }
        assert!(files.by_file.len() <= SWEEP_AT);
        let held = Identity::of(held.expect("a file").as_fd()).expect("an inode");
        assert!(files.get_mut(held).is_some());
    }
}
