//! Files under /proc/net and /proc/sys/net: open, read, write and lseek by number.
//!
//! # Limits
//! Paths are absolute and plain: `/proc/net/...`, `/proc/self/net/...`, `/proc/PID/net/...` of a process on the host,
//! `/proc/sys/net/...`. Whatever else is opened is the embedder's (`ENOSYS`).

use super::Process;
use super::open::{Kind, OpenFile};
use crate::host::Host;
use std::sync::{Arc, Mutex, PoisonError};
use switchboard_abi::Errno;
use switchboard_abi::sysno::Arch;
use switchboard_socket::{ProcFile, ProcOpen, ProcReading, SocketId};
use switchboard_syscall::Memory;

const O_ACCMODE: u64 = 3;
const O_WRONLY: u64 = 1;
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_TRUNC: u64 = 0o1000;
const O_DIRECTORY: u64 = 0o200_000;
const O_CLOEXEC: u64 = 0o2_000_000;
const AT_FDCWD: i32 = -100;
const PATH_MAX: u64 = 4096;
/// More than this of a write is not looked at; a tunable takes a page.
const WRITE_MAX: u64 = 64 * 1024;

/// A file that is open, and its position.
pub(crate) struct OpenProc {
    reading: ProcReading,
    offset: u64,
    how: ProcOpen,
}

/// The inode that stands for a socket in /proc/net: no file of the host has another.
pub(crate) fn inode(id: SocketId) -> u64 {
    (id.to_u64() & 0xffff_ffff) + 1
}

/// The path below /proc of a file that may be the layer's.
pub(crate) fn below_proc(path: &str, pids: impl Fn(u32) -> bool) -> Option<String> {
    let below = path.strip_prefix("/proc/")?;
    if below.starts_with("net/") || below.starts_with("sys/net/") {
        return Some(below.into());
    }
    let (who, rest) = below.split_once('/')?;
    let known = matches!(who, "self" | "thread-self") || who.parse().is_ok_and(pids);
    (known && rest.starts_with("net/")).then(|| rest.into())
}

enum Call {
    Open { dirfd: i32, path: u64, flags: u64 },
    Read { fd: i32, buf: u64, len: u64 },
    Write { fd: i32, buf: u64, len: u64 },
    Seek { fd: i32, offset: i64, whence: u64 },
}

fn decode(arch: Arch, nr: u32, [a, b, c, ..]: [u64; 6]) -> Option<Call> {
    let fd = a as i32;
    let create = O_CREAT | O_WRONLY | O_TRUNC;
    let open = |dirfd, path, flags| Call::Open { dirfd, path, flags };
    Some(match (arch, nr) {
        (Arch::X86_64, 0) | (Arch::I386, 3) => Call::Read { fd, buf: b, len: c },
        (Arch::X86_64, 1) | (Arch::I386, 4) => Call::Write { fd, buf: b, len: c },
        (Arch::X86_64, 2) | (Arch::I386, 5) => open(AT_FDCWD, a, b),
        (Arch::X86_64, 85) | (Arch::I386, 8) => open(AT_FDCWD, a, create),
        (Arch::X86_64, 257) | (Arch::I386, 295) => open(fd, b, c),
        (Arch::X86_64, 8) => Call::Seek {
            fd,
            offset: b as i64,
            whence: c,
        },
        (Arch::I386, 19) => Call::Seek {
            fd,
            offset: i64::from(b as i32),
            whence: c,
        },
        _ => return None,
    })
}

impl Process {
    /// The call, if it is one on such a file.
    pub(super) fn proc_call(
        &self,
        nr: u32,
        args: [u64; 6],
        mem: &mut dyn Memory,
    ) -> Option<Result<i64, Errno>> {
        let call = decode(self.arch, nr, args)?;
        let fd = match call {
            Call::Open { dirfd, path, flags } => {
                return self.proc_open(dirfd, path, flags, mem);
            }
            Call::Read { fd, .. } | Call::Write { fd, .. } | Call::Seek { fd, .. } => fd,
        };
        let file = self.table().get(fd).ok()?;
        let mut open = file
            .proc
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(match call {
            Call::Open { .. } => Err(Errno::EBADF),
            Call::Read { buf, len, .. } => self.proc_read(&mut open, buf, len, mem),
            Call::Write { buf, len, .. } => self.proc_write(&mut open, buf, len, mem),
            Call::Seek { offset, whence, .. } => seek(&mut open, offset, whence),
        })
    }

    fn proc_open(
        &self,
        dirfd: i32,
        path: u64,
        flags: u64,
        mem: &mut dyn Memory,
    ) -> Option<Result<i64, Errno>> {
        let mut text = Vec::new();
        loop {
            let mut byte = [0];
            if text.len() as u64 >= PATH_MAX
                || mem.read(path + text.len() as u64, &mut byte).is_err()
            {
                return None;
            }
            if byte == [0] {
                break;
            }
            text.push(byte[0]);
        }
        let text = String::from_utf8(text).ok()?;
        if dirfd != AT_FDCWD && !text.starts_with('/') {
            return None;
        }
        let mut world = self.host.net.lock();
        let state = &mut world.hosts[self.host.index];
        let below = below_proc(&text, |pid| state.tasks.exists(pid))?;
        let file = state.layer.proc_file(&below);
        drop(world);
        Some(file.ok_or(Errno::ENOENT).and_then(|file| {
            let how = ProcOpen {
                read: flags & O_ACCMODE != O_WRONLY,
                write: flags & O_ACCMODE != 0,
                truncate: flags & O_TRUNC != 0,
                exclusive: flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL,
                directory: flags & O_DIRECTORY != 0,
            };
            file.open(&self.cred, how)?;
            let open = OpenProc {
                reading: ProcReading::new(file),
                offset: 0,
                how,
            };
            let file = OpenFile::of_proc(&self.host, open);
            let cloexec = flags & O_CLOEXEC != 0;
            self.table().add(file, cloexec, 0).map(i64::from)
        }))
    }

    fn proc_read(
        &self,
        open: &mut OpenProc,
        buf: u64,
        len: u64,
        mem: &mut dyn Memory,
    ) -> Result<i64, Errno> {
        if !open.how.read {
            return Err(Errno::EBADF);
        }
        let world = self.host.net.lock();
        let layer = &world.hosts[self.host.index].layer;
        let rest = open.reading.rest(layer, world.now(), &inode, open.offset);
        let piece = &rest[..rest.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        mem.write(buf, piece)?;
        let count = piece.len();
        open.offset += count as u64;
        Ok(count as i64)
    }

    fn proc_write(
        &self,
        open: &mut OpenProc,
        buf: u64,
        len: u64,
        mem: &mut dyn Memory,
    ) -> Result<i64, Errno> {
        if !open.how.write {
            return Err(Errno::EBADF);
        }
        let mut data = vec![0; len.min(WRITE_MAX) as usize];
        mem.read(buf, &mut data)?;
        let file = open.reading.file().clone();
        let offset = &mut open.offset;
        let count = self
            .host
            .with_layer(|layer| layer.proc_write(&file, offset, &data))?;
        Ok(count as i64)
    }
}

fn seek(open: &mut OpenProc, offset: i64, whence: u64) -> Result<i64, Errno> {
    let base = match whence {
        0 => 0,
        1 => i64::try_from(open.offset).unwrap_or(i64::MAX),
        // SEEK_END: these files have no end to count from (seq_lseek).
        _ => return Err(Errno::EINVAL),
    };
    let at = base.checked_add(offset).filter(|at| *at >= 0);
    open.offset = at.ok_or(Errno::EINVAL)? as u64;
    Ok(open.offset as i64)
}

impl OpenFile {
    fn of_proc(host: &Host, open: OpenProc) -> Arc<OpenFile> {
        OpenFile::with(host, Kind::Proc, Some(Box::new(Mutex::new(open))))
    }
}

/// What a file under /proc says, as root reads it.
pub(crate) fn text(host: &Host, path: &str) -> Result<String, Errno> {
    let world = host.net.lock();
    let state = &world.hosts[host.index];
    let below = below_proc(path, |pid| state.tasks.exists(pid)).ok_or(Errno::ENOENT)?;
    let file: ProcFile = state.layer.proc_file(&below).ok_or(Errno::ENOENT)?;
    if file.mode() & 0o400 == 0 {
        return Err(Errno::EACCES);
    }
    Ok(state.layer.proc_text(world.now(), &inode, &file))
}
