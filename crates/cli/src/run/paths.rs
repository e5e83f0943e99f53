//! AF_UNIX pathnames of a program: real inodes, found and made as the program would.
//!
//! A relative path starts at the program's current directory, an absolute one at its root. When
//! the supervisor runs as root and the program does not, the file system is asked with the
//! program's fsuid, fsgid and groups, so that the kernel's own permission checks decide.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use switchboard_abi::Errno;
use switchboard_notify::Processes;
use switchboard_socket::{Cred, Inode, Paths};

pub(super) struct TargetPaths<'a> {
    pub(super) processes: &'a RefCell<Processes>,
    pub(super) tid: i32,
    pub(super) cred: &'a Cred,
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
            return Ok((cwd, path));
        }
        let root = self
            .processes
            .borrow_mut()
            .root(self.tid)
            .map_err(|_| Errno::ENOENT)?;
        let ours = fs::stat("/").map_err(errno)?;
        let theirs = fs::fstat(&root).map_err(errno)?;
        if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino) {
            return Ok((root, path));
        }
        // Another root: its directory part is resolved inside it.
        let parent = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().map_or(Path::new("."), Path::new);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = fs::openat2(&root, parent, flags, Mode::empty(), ResolveFlags::IN_ROOT)
            .map_err(errno)?;
        Ok((parent, name))
    }

    /// A program that is gone makes nothing any more.
    fn umask(&mut self) -> Result<u32, Errno> {
        let status = self.processes.borrow_mut().status(self.tid);
        status.map(|status| status.umask).map_err(|_| Errno::ENOENT)
    }
}

impl Paths for TargetPaths<'_> {
    fn create(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        let (dir, name) = self.start(path)?;
        let mode = Mode::from_raw_mode(0o777 & !self.umask()?);
        let _as_target = AsTarget::enter(self.cred);
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
        let _as_target = AsTarget::enter(self.cred);
        fs::mknodat(&dir, name, FileType::Socket, Mode::empty(), 0).map_err(errno)?;
        fs::unlinkat(&dir, name, AtFlags::empty()).map_err(errno)
    }

    fn resolve(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        let (dir, name) = self.start(path)?;
        let _as_target = AsTarget::enter(self.cred);
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

/// The supervisor's thread with a program's file-system identity, until dropped.
struct AsTarget {
    restore: Option<Vec<u32>>,
}

impl AsTarget {
    fn enter(cred: &Cred) -> AsTarget {
        // Only root can be somebody else, and only needs to be.
        if !rustix::process::geteuid().is_root() || (cred.euid == 0 && cred.egid == 0) {
            return AsTarget { restore: None };
        }
        let groups = rustix::process::getgroups().unwrap_or_default();
        set_groups(&cred.groups);
        set_fs(libc::SYS_setfsgid, cred.egid);
        set_fs(libc::SYS_setfsuid, cred.euid);
        AsTarget {
            restore: Some(groups.iter().map(|g| g.as_raw()).collect()),
        }
    }
}

impl Drop for AsTarget {
    fn drop(&mut self) {
        if let Some(groups) = &self.restore {
            set_fs(libc::SYS_setfsuid, 0);
            set_fs(libc::SYS_setfsgid, 0);
            set_groups(groups);
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
