//! AF_UNIX pathnames of a program: real inodes, found and made as the program would.
//!
//! A relative path starts at the program's current directory, an absolute one at its root. When
//! the supervisor runs as root and the program does not, the file system is asked with the
//! program's fsuid, fsgid and groups, and without capabilities that it lacks, so that the kernel's own permission
//! checks decide.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
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

/// Where a path starts.
struct Start {
    dir: OwnedFd,
    path: PathBuf,
    /// IN_ROOT where `dir` is the program's root, and not the supervisor's.
    resolve: ResolveFlags,
}

impl Start {
    fn plain(dir: OwnedFd, path: &Path) -> Start {
        Start {
            dir,
            path: path.into(),
            resolve: ResolveFlags::empty(),
        }
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        if self.resolve.is_empty() {
            return fs::openat(&self.dir, path, flags, Mode::empty()).map_err(errno);
        }
        // EAGAIN: something was renamed on the way, and it is not known whether `..` has left the root.
        let open = || fs::openat2(&self.dir, path, flags, Mode::empty(), self.resolve);
        let mut opened = open();
        for _ in 0..RENAMED_MEANWHILE {
            match opened {
                Err(rustix::io::Errno::AGAIN) => opened = open(),
                _ => break,
            }
        }
        opened.map_err(errno)
    }

    /// The directory that a file is made in, and its name there: mknodat(2) and unlinkat(2) know of no other root.
    fn place(self) -> Result<(OwnedFd, PathBuf), Errno> {
        if self.resolve.is_empty() {
            return Ok((self.dir, self.path));
        }
        let bytes = self.path.as_os_str().as_bytes();
        // A slash at the end stays with the name: such a file cannot be made.
        let end = bytes
            .iter()
            .rposition(|b| *b != b'/')
            .map_or(0, |at| at + 1);
        let cut = bytes[..end]
            .iter()
            .rposition(|b| *b == b'/')
            .map_or(0, |at| at + 1);
        let above = match &bytes[..cut] {
            b"" => b".",
            above => above,
        };
        let dir = self.open(Path::new(OsStr::from_bytes(above)), OFlags::DIRECTORY)?;
        Ok((dir, OsStr::from_bytes(&bytes[cut..]).into()))
    }
}

/// How often a path is looked up again that was renamed meanwhile.
const RENAMED_MEANWHILE: u32 = 16;

/// What tells one mount of a directory from all others.
fn identity(dir: BorrowedFd<'_>, path: &str) -> Result<[u64; 4], Errno> {
    let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
    let stat = fs::statx(dir, path, AtFlags::EMPTY_PATH, wanted).map_err(errno)?;
    let device = [stat.stx_dev_major, stat.stx_dev_minor].map(u64::from);
    Ok([device[0], device[1], stat.stx_ino, stat.stx_mnt_id])
}

/// Whether a root is the supervisor's. In a mount namespace of its own it is another mount of the same directory, and what is
/// mounted below it may be something else.
fn is_own_root(root: &OwnedFd) -> Result<bool, Errno> {
    Ok(identity(CWD, "/")? == identity(root.as_fd(), "")?)
}

/// The path of a directory that is below a root, from there.
fn below(root: &OwnedFd, dir: &OwnedFd) -> Option<PathBuf> {
    let path = |fd| std::fs::read_link(proc_path(fd)).ok();
    let rest = PathBuf::from(path(dir)?.strip_prefix(path(root)?).ok()?);
    let at = Path::new(".").join(&rest);
    let seen = fs::openat2(root, at, DIRECTORY, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    let (seen, known) = (fs::fstat(seen).ok()?, fs::fstat(dir).ok()?);
    ((seen.st_dev, seen.st_ino) == (known.st_dev, known.st_ino)).then_some(rest)
}

impl TargetPaths<'_> {
    /// Where a path starts, and the path from there.
    fn start(&mut self, path: &[u8]) -> Result<Start, Errno> {
        let path = Path::new(OsStr::from_bytes(path));
        let mut processes = self.processes.borrow_mut();
        let root = processes.root(self.tid).map_err(|_| Errno::ENOENT)?;
        let cwd = match path.is_absolute() {
            true => None,
            false => Some(processes.cwd(self.tid).map_err(|_| Errno::ENOENT)?),
        };
        drop(processes);
        let resolve = match is_own_root(&root)? {
            true => ResolveFlags::empty(),
            false => ResolveFlags::IN_ROOT,
        };
        let from = cwd.as_ref().unwrap_or(&root);
        let inside = match cwd {
            Some(_) => ResolveFlags::empty(),
            None => resolve,
        };
        if let Some((dir, path)) = self.in_own_proc(from, path, inside) {
            return Ok(Start::plain(dir, path));
        }
        match cwd {
            Some(cwd) if resolve.is_empty() => Ok(Start::plain(cwd, path)),
            // Symbolic links and `..` end at the program's root, so the path is taken from there.
            Some(cwd) => Ok(match below(&root, &cwd) {
                Some(here) => Start {
                    dir: root,
                    path: here.join(path),
                    resolve,
                },
                None => Start::plain(cwd, path),
            }),
            None => Ok(Start {
                dir: root,
                path: path.into(),
                resolve,
            }),
        }
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
        let start = self.start(path)?;
        let mode = self.mode()?;
        let _as_target = AsTarget::enter(&self.status()?);
        let (dir, name) = start.place()?;
        fs::mknodat(&dir, &name, FileType::Socket, mode, 0).map_err(errno)?;
        let made = fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(errno)?;
        Ok(Inode {
            dev: made.st_dev,
            ino: made.st_ino,
        })
    }

    fn check_create(&mut self, path: &[u8]) -> Result<(), Errno> {
        // As Linux finds out: by making the file, and unlinking it again.
        let start = self.start(path)?;
        let _as_target = AsTarget::enter(&self.status()?);
        let (dir, name) = start.place()?;
        fs::mknodat(&dir, &name, FileType::Socket, Mode::empty(), 0).map_err(errno)?;
        fs::unlinkat(&dir, &name, AtFlags::empty()).map_err(errno)
    }

    fn resolve(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        let start = self.start(path)?;
        let _as_target = AsTarget::enter(&self.status()?);
        let found = start.open(&start.path, OFlags::empty())?;
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
