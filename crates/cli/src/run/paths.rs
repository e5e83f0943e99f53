//! AF_UNIX pathnames of a program: real inodes, found and made as the program would.
//!
//! A relative path starts at the program's current directory, an absolute one at its root. When
//! the supervisor runs as root and the program does not, the file system is asked with the
//! program's fsuid, fsgid and groups, and without capabilities that it lacks, so that the kernel's own permission
//! checks decide.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use switchboard_abi::Errno;
use switchboard_notify::{Processes, Status};
use switchboard_socket::{Inode, Paths};

use super::opens::path_in_proc;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

pub(super) struct TargetPaths<'a> {
    pub(super) processes: &'a RefCell<Processes>,
    pub(super) tid: i32,
    /// The call's socket, which is bound.
    pub(super) fd: Option<i32>,
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error() as u16)
}

impl TargetPaths<'_> {
    /// The directory a path starts at, and the path from there.
    fn start<'p>(&mut self, path: &'p [u8]) -> Result<(OwnedFd, &'p Path), Errno> {
        let path = Path::new(OsStr::from_bytes(path));
        if !path.is_absolute() {
            let cwd = self
                .processes
                .borrow_mut()
                .cwd(self.tid)
                .map_err(|_| Errno::ENOENT)?;
            let own = self.in_own_proc(&cwd, path, ResolveFlags::empty());
            return Ok(own.unwrap_or((cwd, path)));
        }
        let root = self
            .processes
            .borrow_mut()
            .root(self.tid)
            .map_err(|_| Errno::ENOENT)?;
        let ours = fs::stat("/").map_err(errno)?;
        let theirs = fs::fstat(&root).map_err(errno)?;
        if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino) {
            let own = self.in_own_proc(&root, path, ResolveFlags::empty());
            return Ok(own.unwrap_or((root, path)));
        }
        if let Some(own) = self.in_own_proc(&root, path, ResolveFlags::IN_ROOT) {
            return Ok(own);
        }
        // Another root: its directory part is resolved inside it.
        let parent = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().map_or(Path::new("."), Path::new);
        let parent = fs::openat2(
            &root,
            parent,
            DIRECTORY,
            Mode::empty(),
            ResolveFlags::IN_ROOT,
        )
        .map_err(errno)?;
        Ok((parent, name))
    }

    /// A path by `/proc/self` or `/dev/fd`, which for the supervisor are its own: from the program's. A socket whose path is
    /// too long for a sockaddr_un is reached as `/proc/self/fd/N`, or by its directory as `/proc/self/fd/N/NAME`.
    fn in_own_proc<'p>(
        &self,
        start: &OwnedFd,
        path: &'p Path,
        resolve: ResolveFlags,
    ) -> Option<(OwnedFd, &'p Path)> {
        let bytes = path.as_os_str().as_bytes();
        for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'/') {
            let above = &bytes[..at];
            let more = bytes[at..].iter().position(|b| *b != b'/');
            let rest = more.map_or(&[][..], |more| &bytes[at + more..]);
            let name = above.rsplit(|b| *b == b'/').next().unwrap_or_default();
            if !matches!(name, b"self" | b"thread-self" | b"fd") || rest.is_empty() {
                continue;
            }
            let seen = fs::openat2(start, above, DIRECTORY, Mode::empty(), resolve).ok()?;
            if let Some(theirs) = path_in_proc(&seen).and_then(|seen| self.own_proc(&seen)) {
                let dir = fs::open(theirs, DIRECTORY, Mode::empty()).ok()?;
                return Some((dir, Path::new(OsStr::from_bytes(rest))));
            }
        }
        None
    }

    /// The thread's directory of /proc, or one below it, in place of the supervisor's.
    fn own_proc(&self, seen: &Path) -> Option<PathBuf> {
        let pid = std::process::id().to_string();
        let mut parts = seen.iter().skip_while(|part| **part != *pid);
        parts.next()?;
        let mut below: PathBuf = parts.collect();
        // /proc/thread-self is PID/task/TID.
        if let Ok(thread) = below.strip_prefix("task") {
            below = thread.iter().skip(1).collect();
        }
        Some(Path::new("/proc").join(self.tid.to_string()).join(below))
    }

    /// unix_bind_bsd(): of the socket's own mode, which fchmod(2) changes beforehand, what the umask leaves.
    fn mode(&mut self) -> Result<Mode, Errno> {
        let file = self.fd.map(|fd| format!("/proc/{}/fd/{fd}", self.tid));
        let own = file.and_then(|file| fs::stat(file).ok());
        let own = own.map_or(0o777, |stat| stat.st_mode & 0o7777);
        Ok(Mode::from_raw_mode(own & !self.umask()?))
    }

    /// A program that is gone makes nothing any more.
    fn umask(&mut self) -> Result<u32, Errno> {
        self.status().map(|status| status.umask)
    }

    fn status(&self) -> Result<Status, Errno> {
        let status = self.processes.borrow_mut().status(self.tid);
        status.map_err(|_| Errno::ENOENT)
    }
}

impl Paths for TargetPaths<'_> {
    fn create(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        let (dir, name) = self.start(path)?;
        let mode = self.mode()?;
        let _as_target = AsTarget::enter(&self.status()?);
        fs::mknodat(&dir, name, FileType::Socket, mode, 0).map_err(errno)?;
        let made = fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(errno)?;
        Ok(Inode {
            dev: made.st_dev,
            ino: made.st_ino,
        })
    }

    fn check_create(&mut self, path: &[u8]) -> Result<(), Errno> {
        // As Linux finds out: by making the file, and unlinking it again.
        let (dir, name) = self.start(path)?;
        let _as_target = AsTarget::enter(&self.status()?);
        fs::mknodat(&dir, name, FileType::Socket, Mode::empty(), 0).map_err(errno)?;
        fs::unlinkat(&dir, name, AtFlags::empty()).map_err(errno)
    }

    fn resolve(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        let (dir, name) = self.start(path)?;
        let _as_target = AsTarget::enter(&self.status()?);
        let found =
            fs::openat(&dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(errno)?;
        // unix_find_bsd(): write permission first, the type after it.
        fs::accessat(
            CWD,
            proc_path(&found),
            fs::Access::WRITE_OK,
            AtFlags::EACCESS,
        )
        .map_err(errno)?;
        let stat = fs::fstat(&found).map_err(errno)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        Ok(Inode {
            dev: stat.st_dev,
            ino: stat.st_ino,
        })
    }
}

fn proc_path(fd: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// What passes over the permissions of files, capabilities(7).
const OVER_PERMISSIONS: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER);

/// The supervisor's thread with a program's file-system identity, until dropped.
struct AsTarget {
    restore: Option<Restore>,
}

struct Restore {
    groups: Vec<u32>,
    /// When some were taken away.
    caps: Option<CapabilitySets>,
}

impl AsTarget {
    fn enter(who: &Status) -> AsTarget {
        let (uid, gid) = (who.uid[3], who.gid[3]);
        let lacks =
            OVER_PERMISSIONS.difference(CapabilitySet::from_bits_truncate(who.cap_effective));
        // Only root can be somebody else, and only needs to be.
        if !rustix::process::geteuid().is_root() || (uid == 0 && gid == 0 && lacks.is_empty()) {
            return AsTarget { restore: None };
        }
        let groups = rustix::process::getgroups().unwrap_or_default();
        let own = capabilities(None).ok();
        set_groups(&who.groups);
        set_fs(libc::SYS_setfsgid, gid);
        // This takes the capabilities of files from everybody but root.
        set_fs(libc::SYS_setfsuid, uid);
        let mut caps = None;
        if uid == 0
            && let Some(own) = own
        {
            let effective = own.effective.difference(lacks);
            if set_capabilities(None, CapabilitySets { effective, ..own }).is_ok() {
                caps = Some(own);
            }
        }
        AsTarget {
            restore: Some(Restore {
                groups: groups.iter().map(|g| g.as_raw()).collect(),
                caps,
            }),
        }
    }
}

impl Drop for AsTarget {
    fn drop(&mut self) {
        if let Some(own) = &self.restore {
            if let Some(caps) = own.caps {
                let _ = set_capabilities(None, caps);
            }
            set_fs(libc::SYS_setfsuid, 0);
            set_fs(libc::SYS_setfsgid, 0);
            set_groups(&own.groups);
        }
    }
}

/// The raw calls change this thread alone, where libc's wrappers change every thread.
fn set_fs(call: libc::c_long, id: u32) {
    // SAFETY: no memory involved.
    unsafe { libc::syscall(call, libc::c_ulong::from(id)) };
}

fn set_groups(groups: &[u32]) {
    // SAFETY: the kernel reads `groups.len()` group IDs from the slice.
    unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
}
