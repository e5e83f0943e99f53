//! Calls on files under /proc/net and /proc/sys/net.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, OFlags, SeekFrom};
use switchboard_abi::{Errno, Word};
use switchboard_notify::{Identity, Notification, RemoteMemory, ReplyError};
use switchboard_socket::{ProcFile, SocketId};
use switchboard_syscall::{Call, IoVec, Memory};

use super::super::files::{AtHand, errno};
use super::super::memory::TargetMemory;
use super::super::opens::{Open, Place, place};
use super::super::procfs::Held;
use super::{Supervisor, host_errno};

/// UIO_MAXIOV of readv(2).
const IOV_MAX: u64 = 1024;
/// More than this of a write is not looked at; a tunable takes a page.
const WRITE_MAX: usize = 64 * 1024;

impl Supervisor {
    /// open(2) and kin.
    pub(super) fn open_file(&mut self, call: &Notification, open: &Open) {
        if !self.names.may_be_ours(open) || open.flags.contains(OFlags::PATH) {
            return self.go_on(call);
        }
        let own_etc = self.named.is_some() || !self.etc.is_empty();
        if own_etc && self.open_etc(call, open) {
            return;
        }
        if self.is_tun_device(call.tid, open) {
            return self.open_tun(call, open);
        }
        let Place::Below(path) = place(call.tid, open) else {
            return self.go_on(call);
        };
        // Whoever was asked about is the one who asked only if they still wait.
        if !self.listener.is_valid(call.id) {
            return;
        }
        let result = self.open_below(call, open, &path);
        if let Some(trace) = &mut self.trace {
            let path = String::from_utf8_lossy(&open.path);
            let text = format!("open({path:?}, {:#o})", open.flags.bits());
            let value = match result {
                Ok(fd) => i64::from(fd),
                Err(errno) => errno.to_ret(),
            };
            trace.answered(call, &text, value);
        }
        if let Err(errno) = result {
            let _ = self.listener.reply_errno(call.id, host_errno(errno));
        }
    }

    fn open_below(&mut self, call: &Notification, open: &Open, path: &str) -> Result<i32, Errno> {
        let file = self.host.proc_file(path).ok_or(Errno::ENOENT)?;
        let cred = self.cred(call.tid);
        file.open(&cred, open.how())?;
        let text = self.proc_text(&file);
        let held = |files: &HashSet<Identity>| self.mirror.held_of(files);
        let keep = self.unheld.as_ref().map(|_| &held as &Held<'_>);
        let fd = self.proc_files.make(file, &text, open.flags, keep);
        let fd = fd.map_err(errno)?;
        let cloexec = open.flags.contains(OFlags::CLOEXEC);
        match self.listener.reply_fd(call.id, fd.as_fd(), cloexec) {
            Ok(number) => Ok(number),
            Err(ReplyError::Refused(errno)) => Err(Errno(errno.0 as u16)),
            // Gone: nobody hears an answer.
            Err(ReplyError::NotDelivered) => Err(Errno::EINTR),
        }
    }

    fn proc_text(&self, file: &ProcFile) -> String {
        let mirror = &self.mirror;
        let inodes = |id: SocketId| mirror.inode(id).unwrap_or(0);
        self.host.proc_text(self.clock.now(), &inodes, file)
    }

    /// read(2), write(2) and their vector forms, if the descriptor is such a file. False: it is not.
    pub(super) fn file_io(&mut self, call: &Notification, decoded: &Call, word: Word) -> bool {
        let (Call::Read { fd, .. }
        | Call::Write { fd, .. }
        | Call::Readv {
            fd, offset: None, ..
        }
        | Call::Writev {
            fd, offset: None, ..
        }) = *decoded
        else {
            return false;
        };
        if self.proc_files.is_empty() {
            return false;
        }
        let hand = AtHand::look(&mut self.processes.borrow_mut(), &self.mirror, call.tid, fd);
        let Ok(hand) = hand else { return false };
        let file = hand.file();
        let Some(open) = self.proc_files.get_mut(file) else {
            return false;
        };
        // Without a copy its position is out of reach: what was there at the open has to do.
        let kept = open.kept.as_ref().and_then(|kept| kept.try_clone().ok());
        let Some(copy) = hand.into_end().or(kept) else {
            return false;
        };
        let told = match self.read_or_write(call, decoded, word, file, &copy) {
            Ok(count) => self.listener.reply_value(call.id, count as i64),
            Err(errno) => self.listener.reply_errno(call.id, host_errno(errno)),
        };
        if told.is_err() {
            self.stats.not_delivered += 1;
        }
        true
    }

    fn read_or_write(
        &mut self,
        call: &Notification,
        decoded: &Call,
        word: Word,
        file: Identity,
        copy: &OwnedFd,
    ) -> Result<usize, Errno> {
        let mode = fs::fcntl_getfl(copy).map_err(errno)? & OFlags::RWMODE;
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        let reads = matches!(decoded, Call::Read { .. } | Call::Readv { .. });
        let refused = if reads {
            OFlags::WRONLY
        } else {
            OFlags::RDONLY
        };
        if mode == refused {
            return Err(Errno::EBADF);
        }
        let iov = vectors(decoded, word, &mut memory)?;
        let offset = fs::seek(copy, SeekFrom::Current(0)).map_err(errno)?;
        let (count, position) = if reads {
            let count = self.read_file(file, offset, &iov, &mut memory)?;
            (count, offset + count as u64)
        } else {
            self.write_file(file, offset, &iov, &mut memory)?
        };
        if position != offset {
            fs::seek(copy, SeekFrom::Start(position)).map_err(errno)?;
        }
        Ok(count)
    }

    fn read_file(
        &mut self,
        file: Identity,
        offset: u64,
        iov: &[IoVec],
        memory: &mut TargetMemory,
    ) -> Result<usize, Errno> {
        let Some(open) = self.proc_files.get_mut(file) else {
            return Ok(0);
        };
        let mirror = &self.mirror;
        let inodes = |id: SocketId| mirror.inode(id).unwrap_or(0);
        let left = open
            .reading
            .rest(&self.host, self.clock.now(), &inodes, offset);
        let room: usize = iov
            .iter()
            .map(|v| v.len)
            .fold(0, |a, b| a.saturating_add(b));
        let piece = &left[..left.len().min(room)];
        if piece.is_empty() {
            return Ok(0);
        }
        match memory.scatter(iov, &[piece]) {
            0 => Err(Errno::EFAULT),
            count => Ok(count),
        }
    }

    /// How much was taken, and where the file's position is then.
    fn write_file(
        &mut self,
        file: Identity,
        mut offset: u64,
        iov: &[IoVec],
        memory: &mut TargetMemory,
    ) -> Result<(usize, u64), Errno> {
        let Some(open) = self.proc_files.get_mut(file) else {
            return Err(Errno::EBADF);
        };
        let which = open.reading.file().clone();
        let total: usize = iov
            .iter()
            .map(|v| v.len)
            .fold(0, |a, b| a.saturating_add(b));
        let mut data = vec![0; total.min(WRITE_MAX)];
        if memory.gather(iov, &mut data) < data.len() {
            return Err(Errno::EFAULT);
        }
        let count = self.host.proc_write(&which, &mut offset, &data)?;
        self.settle();
        Ok((count, offset))
    }
}

/// Where a call's bytes are.
pub(super) fn vectors(
    call: &Call,
    word: Word,
    memory: &mut TargetMemory,
) -> Result<Vec<IoVec>, Errno> {
    let (addr, count) = match *call {
        Call::Read { buf, len, .. } | Call::Write { buf, len, .. } => {
            let len = usize::try_from(len).map_err(|_| Errno::EFAULT)?;
            return Ok(vec![IoVec { addr: buf, len }]);
        }
        Call::Readv { iov, iovlen, .. } | Call::Writev { iov, iovlen, .. } => (iov, iovlen),
        _ => return Err(Errno::EINVAL),
    };
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    let size = word.size();
    let mut bytes = vec![0; count as usize * 2 * size];
    memory.read(addr, &mut bytes).map_err(|_| Errno::EFAULT)?;
    let vectors = bytes.chunks(2 * size).map(|entry| IoVec {
        addr: word.read_ulong(entry, 0),
        len: word.read_ulong(entry, size) as usize,
    });
    Ok(vectors.collect())
}
