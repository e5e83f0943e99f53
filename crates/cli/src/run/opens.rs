//! open(2) and kin: which of them name a file that is the layer's.
//!
//! Every open of every program comes here, so most must be let go at once: by the last word of the path, which no
//! directory and no link before it changes. The few that may be ours are resolved as the program would.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags};
use switchboard_abi::sysno::Arch;
use switchboard_notify::{Data, RemoteMemory};
use switchboard_socket::{Host, ProcOpen};

use super::reap::is_in_run;

/// open(2), creat(2), openat(2), openat2(2).
pub(super) const OPENS_X86_64: &[u32] = &[2, 85, 257, 437];
pub(super) const OPENS_I386: &[u32] = &[5, 8, 295, 437];

/// Which argument holds the flags, where one does: creat(2) has none, openat2(2)'s are in memory.
pub(super) fn flags_argument(arch: Arch, nr: u32) -> Option<u8> {
    match (arch, nr) {
        (Arch::X86_64, 2) | (Arch::I386, 5) => Some(1),
        (Arch::X86_64, 257) | (Arch::I386, 295) => Some(2),
        _ => None,
    }
}

/// PROC_SUPER_MAGIC of statfs(2).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// Longest path (PATH_MAX), with its NUL.
const PATH_MAX: usize = 4096;

/// An open as a program asked for it.
pub(super) struct Open {
    pub(super) dirfd: i32,
    pub(super) path: Vec<u8>,
    pub(super) flags: OFlags,
}

impl Open {
    /// The call, if it is one of these; `None` also where the kernel will find its arguments bad.
    pub(super) fn decode(arch: Arch, data: &Data, memory: RemoteMemory) -> Option<Open> {
        let [a, b, c, d, ..] = data.args;
        let create = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;
        let (dirfd, path, flags) = match (arch, data.nr as u32) {
            (Arch::X86_64, 2) | (Arch::I386, 5) => (libc::AT_FDCWD, a, b),
            (Arch::X86_64, 85) | (Arch::I386, 8) => (libc::AT_FDCWD, a, create),
            (Arch::X86_64, 257) | (Arch::I386, 295) => (a as i32, b, c),
            (_, 437) => {
                // struct open_how begins with its flags.
                let mut how = [0; 8];
                if d < 8 || memory.read(c, &mut how) != Ok(8) {
                    return None;
                }
                (a as i32, b, u64::from_ne_bytes(how))
            }
            _ => return None,
        };
        Some(Open {
            dirfd,
            path: read_path(memory, path)?,
            flags: OFlags::from_bits_retain(flags as u32),
        })
    }

    pub(super) fn base(&self) -> &[u8] {
        let cut = self.path.iter().rposition(|byte| *byte == b'/');
        &self.path[cut.map_or(0, |cut| cut + 1)..]
    }

    pub(super) fn how(&self) -> ProcOpen {
        let mode = self.flags & OFlags::RWMODE;
        ProcOpen {
            read: mode != OFlags::WRONLY,
            write: mode != OFlags::RDONLY,
            truncate: self.flags.contains(OFlags::TRUNC),
            exclusive: self.flags.contains(OFlags::CREATE | OFlags::EXCL),
            directory: self.flags.contains(OFlags::DIRECTORY),
        }
    }
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// The bytes before the NUL.
fn read_path(memory: RemoteMemory, address: u64) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut piece = [0; 256];
    while path.len() < PATH_MAX {
        let n = memory
            .read(address.checked_add(path.len() as u64)?, &mut piece)
            .ok()?;
        if let Some(end) = piece[..n].iter().position(|byte| *byte == 0) {
            path.extend_from_slice(&piece[..end]);
            return Some(path);
        }
        if n < piece.len() {
            return None;
        }
        path.extend_from_slice(&piece);
    }
    None
}

/// The last words of the paths that may be the layer's.
pub(super) struct Names {
    words: HashSet<Vec<u8>>,
}

impl Names {
    pub(super) fn new(host: &Host) -> Names {
        let paths = host.proc_files();
        let last = |path: &String| path.rsplit('/').next().map(|word| word.as_bytes().to_vec());
        let mut words: HashSet<Vec<u8>> = paths.iter().filter_map(last).collect();
        // What the machine shows there and the layer has not must not be seen either. Where nothing can be listed,
        // nothing can be opened.
        for dir in [
            "/proc/self/net",
            "/proc/sys/net/core",
            "/proc/sys/net/ipv4",
            "/proc/sys/net/ipv4/conf/default",
            "/proc/sys/net/ipv4/neigh/default",
            "/proc/sys/net/ipv4/route",
            "/proc/sys/net/ipv6",
            "/proc/sys/net/ipv6/conf/default",
            "/proc/sys/net/ipv6/icmp",
            "/proc/sys/net/ipv6/route",
            "/proc/sys/net/unix",
        ] {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            words.extend(entries.map(|entry| entry.file_name().as_bytes().to_vec()));
        }
        // /dev/net/tun.
        words.insert(b"tun".to_vec());
        Names { words }
    }

    /// And files of these names.
    pub(super) fn with<'a>(mut self, names: impl Iterator<Item = &'a str>) -> Names {
        self.words
            .extend(names.map(|name| name.as_bytes().to_vec()));
        self
    }

    /// Whether the path has to be looked at.
    pub(super) fn may_be_ours(&self, open: &Open) -> bool {
        let has = |word: &[u8]| open.path.windows(word.len()).any(|part| part == word);
        let base = open.base();
        !base.is_empty()
            && (self.words.contains(base)
                || (has(b"proc") && has(b"net"))
                || (has(b"fd/") && is_number(base)))
    }
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// None of ours: the kernel's.
    Elsewhere,
    /// Below /proc, in the part that is the network's.
    Below(String),
}

/// Finds out where an open leads, as the thread would get there.
pub(super) fn place(tid: i32, open: &Open) -> Place {
    find(tid, open).map_or(Place::Elsewhere, Place::Below)
}

fn find(tid: i32, open: &Open) -> Option<String> {
    let base = std::str::from_utf8(open.base()).ok()?;
    let Some(dir) = directory(tid, open) else {
        return of_own_interface(tid, open, base);
    };
    if is_number(open.base()) {
        return reopened(tid, base, &dir);
    }
    let below = directory_below_proc(&dir)?;
    // Its directories stay the kernel's.
    if let Ok(stat) = fs::statat(&dir, base, fs::AtFlags::SYMLINK_NOFOLLOW)
        && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
    {
        return None;
    }
    Some(format!("{below}/{base}"))
}

/// A tunable of an interface that the machine has none of that name of: its directory is not there.
fn of_own_interface(tid: i32, open: &Open, base: &str) -> Option<String> {
    let cut = open.path.len() - open.base().len();
    let path = open.path[..cut].to_vec();
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    let above = Open {
        path: path[..end].to_vec(),
        ..*open
    };
    let name = std::str::from_utf8(above.base()).ok()?;
    let below = directory_below_proc(&directory(tid, &above)?)?;
    let words: Vec<&str> = below.split('/').collect();
    let known = matches!(words[..], ["sys", "net", "ipv4" | "ipv6", "conf" | "neigh"]);
    (known && !matches!(name, "." | "..")).then(|| format!("{below}/{name}/{base}"))
}

/// The file that a descriptor of O_PATH names, which is opened again by its link below /proc/PID/fd.
fn reopened(tid: i32, base: &str, dir: &OwnedFd) -> Option<String> {
    let path = path_in_proc(dir)?;
    let words: Vec<&str> = path.iter().filter_map(OsStr::to_str).collect();
    let (fds, above) = words.split_last()?;
    let pid: i32 = above.last()?.parse().ok()?;
    if *fds != "fd" {
        return None;
    }
    // Here /proc/self is the supervisor; for the caller it is itself.
    let whose = if pid == std::process::id() as i32 {
        tid
    } else {
        pid
    };
    let link = format!("/proc/{whose}/fd/{base}");
    let file = fs::stat(&link).ok()?;
    if FileType::from_raw_mode(file.st_mode) != FileType::RegularFile {
        return None;
    }
    below_proc(&std::fs::read_link(&link).ok()?)
}

/// Which directory of the network's an open one is.
pub(super) fn directory_below_proc(directory: &OwnedFd) -> Option<String> {
    below_proc(&path_in_proc(directory)?)
}

/// The path of an open directory, if it is one of procfs.
pub(super) fn path_in_proc(directory: &OwnedFd) -> Option<PathBuf> {
    if fs::fstatfs(directory).ok()?.f_type != PROC_SUPER_MAGIC {
        return None;
    }
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()
}

/// The directory that holds what is opened.
pub(super) fn directory(tid: i32, open: &Open) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cut = open.path.len() - open.base().len();
    let path = Path::new(OsStr::from_bytes(&open.path[..cut]));
    let start: PathBuf = match open.dirfd {
        _ if path.is_absolute() => format!("/proc/{tid}/root").into(),
        libc::AT_FDCWD => format!("/proc/{tid}/cwd").into(),
        fd => format!("/proc/{tid}/fd/{fd}").into(),
    };
    let start = fs::open(&start, flags, Mode::empty()).ok()?;
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    if !path.is_absolute() {
        return fs::openat(&start, path, flags, Mode::empty()).ok();
    }
    let ours = fs::stat("/").ok()?;
    let theirs = fs::fstat(&start).ok()?;
    if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino) {
        return fs::open(path, flags, Mode::empty()).ok();
    }
    let inside = fs::ResolveFlags::IN_ROOT;
    fs::openat2(&start, path, flags, Mode::empty(), inside).ok()
}

/// The part of a directory below /proc that is the network's: `sys/net/...`, or `net` of a process of the run.
fn below_proc(path: &Path) -> Option<String> {
    let words: Vec<&str> = path.iter().filter_map(OsStr::to_str).collect();
    if let Some(at) = words.windows(2).position(|pair| pair == ["sys", "net"]) {
        return Some(words[at..].join("/"));
    }
    let at = words.iter().rposition(|word| *word == "net")?;
    // PID/net and PID/task/TID/net.
    let mut number = words[..at].iter().rev();
    let mut pid = number.next()?.parse().ok()?;
    if let (Some(&"task"), Some(process)) = (number.next(), number.next()) {
        pid = process.parse().ok()?;
    }
    is_in_run(pid).then(|| words[at..].join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &str) -> Open {
        Open {
            dirfd: libc::AT_FDCWD,
            path: path.as_bytes().to_vec(),
            flags: OFlags::RDONLY,
        }
    }

    fn at(path: &str) -> Place {
        place(std::process::id() as i32, &open(path))
    }

    #[test]
    fn every_way_leads_there() {
        let tcp = || Place::Below("net/tcp".to_string());
        let me = std::process::id();
        for path in [
            "/proc/net/tcp".to_string(),
            "/proc/self/net/tcp".to_string(),
            "/proc/thread-self/net/tcp".to_string(),
            "//proc/./net/../net/tcp".to_string(),
            format!("/proc/{me}/net/tcp"),
            format!("/proc/{me}/task/{me}/net/tcp"),
            format!("/proc/{me}/root/proc/net/tcp"),
        ] {
            assert_eq!(at(&path), tcp(), "{path}");
        }
        let core = Place::Below("sys/net/core/somaxconn".to_string());
        assert_eq!(at("/proc/sys/net/core/somaxconn"), core);
    }

    #[test]
    fn others_are_the_kernels() {
        for path in [
            "/proc/sys/net",
            "/proc/sys/net/core",
            "/proc/net",
            "/proc/sys/kernel/hostname",
            "/proc/1/net/tcp",
            "/etc/hostname",
            "/no/such/net/tcp",
            "tcp",
        ] {
            assert_eq!(at(path), Place::Elsewhere, "{path}");
        }
        // Interfaces are the layer's own, and the machine need not have one of that name.
        for (path, wanted) in [
            (
                "/proc/sys/net/ipv6/conf/tap77/accept_ra",
                "sys/net/ipv6/conf/tap77/accept_ra",
            ),
            (
                "/proc/sys/net/ipv4/neigh/tap77//x",
                "sys/net/ipv4/neigh/tap77/x",
            ),
        ] {
            assert_eq!(at(path), Place::Below(wanted.to_string()), "{path}");
        }
        assert_eq!(at("/proc/sys/net/ipv4/nope/tap77/x"), Place::Elsewhere);
        let none = Place::Below("sys/net/core/nope".to_string());
        assert_eq!(at("/proc/sys/net/core/nope"), none);
    }

    #[test]
    fn most_paths_are_not_looked_at() {
        let host = Host::new(switchboard_socket::HostConfig::default());
        let names = Names::new(&host);
        for path in [
            "/proc/net/tcp",
            "somaxconn",
            "/proc/sys/net/x",
            "core/rmem_max",
        ] {
            assert!(names.may_be_ours(&open(path)), "{path}");
        }
        for path in [
            "/etc/passwd",
            "/usr/lib/python3/os.py",
            "",
            "/",
            "/proc/net/",
        ] {
            assert!(!names.may_be_ours(&open(path)), "{path}");
        }
    }
}
