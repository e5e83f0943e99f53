//! The descriptors of the program whose call is being served.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, FileType, Mode, OFlags, SeekFrom};
use rustix::pipe::{self, PipeFlags, SpliceFlags};
use switchboard_abi::Errno;
use switchboard_notify::{FdError, Identity, Listener, Processes, ReplyError};
use switchboard_socket::{FileToken, Right, SocketId};
use switchboard_syscall::{FileRef, Files};

use super::mirror::Mirror;

/// PAGE_SIZE of x86.
const PAGE: usize = 4096;

/// Most bytes moved through a pipe at once: the default size of one.
const PIPE_BYTES: usize = 64 * 1024;

/// Files in flight: open files of programs that are held here until somebody receives them.
#[derive(Default)]
pub(super) struct Rights {
    files: HashMap<FileToken, OwnedFd>,
    next: u64,
    /// Descriptors that were installed for a receive whose reply was not delivered: the same thread
    /// gets them with the same file when it asks again.
    orphans: HashMap<i32, Vec<(i32, Identity)>>,
}

impl Rights {
    pub(super) fn release(&mut self, token: FileToken) {
        self.files.remove(&token);
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The files in flight.
    pub(super) fn held(&self) -> impl Iterator<Item = Identity> {
        (self.files.values()).filter_map(|held| Identity::of(held.as_fd()).ok())
    }

    /// Whether a file is in flight.
    pub(super) fn has(&self, file: Identity) -> bool {
        self.held().any(|held| held == file)
    }
}

/// A descriptor that has been looked at during this call, once: which file it is, and the copy
/// that told.
pub(super) struct AtHand {
    fd: i32,
    file: Identity,
    copy: Option<OwnedFd>,
    /// Its file's, when it was looked at.
    flags: Option<OFlags>,
}

impl AtHand {
    pub(super) fn look(
        processes: &mut Processes,
        mirror: &Mirror,
        tid: i32,
        fd: i32,
    ) -> Result<AtHand, FdError> {
        let (file, copy) = processes.fetch(tid, fd)?;
        let mut flags = None;
        if mirror.find(file).is_some() {
            flags = copy.as_ref().and_then(|copy| fs::fcntl_getfl(copy).ok());
            let name_only = match flags {
                Some(flags) => flags.contains(OFlags::PATH),
                None => processes.is_name_only(tid, fd)?,
            };
            // The kernel itself says EBADF then.
            if name_only {
                return Err(FdError::NotOpen);
            }
        }
        let copy = copy.or_else(|| mirror.kept_end(file));
        Ok(AtHand {
            fd,
            file,
            copy,
            flags,
        })
    }

    pub(super) fn file(&self) -> Identity {
        self.file
    }

    pub(super) fn into_end(self) -> Option<OwnedFd> {
        self.copy
    }
}

pub(super) struct TargetFiles<'a> {
    pub(super) processes: &'a RefCell<Processes>,
    pub(super) mirror: &'a Mirror,
    pub(super) listener: &'a Listener,
    pub(super) rights: &'a mut Rights,
    /// The notification being served.
    pub(super) call: u64,
    pub(super) tid: i32,
    at_hand: Option<AtHand>,
}

pub(super) fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error() as u16)
}

fn fd_errno(error: FdError) -> Errno {
    match error {
        // A thread that is gone hears no answer.
        FdError::NotOpen | FdError::Gone => Errno::EBADF,
        FdError::Refused(e) | FdError::Failed(e) => Errno(e.0 as u16),
    }
}

impl<'a> TargetFiles<'a> {
    pub(super) fn new(
        processes: &'a RefCell<Processes>,
        mirror: &'a Mirror,
        listener: &'a Listener,
        rights: &'a mut Rights,
        call: u64,
        tid: i32,
    ) -> TargetFiles<'a> {
        TargetFiles {
            processes,
            mirror,
            listener,
            rights,
            call,
            tid,
            at_hand: None,
        }
    }

    fn look(&mut self, fd: i32) -> Result<&AtHand, Errno> {
        if self.at_hand.as_ref().is_none_or(|h| h.fd != fd) {
            let hand = AtHand::look(&mut self.processes.borrow_mut(), self.mirror, self.tid, fd);
            self.at_hand = Some(hand.map_err(fd_errno)?);
        }
        self.at_hand.as_ref().ok_or(Errno::EBADF)
    }

    /// With a descriptor that has been looked at since the call was received.
    pub(super) fn with(mut self, at_hand: Option<AtHand>) -> Self {
        self.at_hand = at_hand;
        self
    }

    /// The descriptor that has been looked at.
    pub(super) fn fd(&self) -> Option<i32> {
        self.at_hand.as_ref().map(|hand| hand.fd)
    }

    /// The program's end of this socket, if that was looked at last.
    pub(super) fn take_end(&mut self, socket: Option<SocketId>) -> Option<OwnedFd> {
        let hand = self.at_hand.take()?;
        if socket.is_some() && self.mirror.find(hand.file) == socket {
            hand.copy
        } else {
            None
        }
    }

    fn copy_of(&mut self, fd: i32) -> Result<OwnedFd, Errno> {
        let copy = self.processes.borrow_mut().getfd(self.tid, fd);
        match copy {
            // Our copy of a socket's end; others have positions, which would not be the program's.
            Err(FdError::Refused(_)) => {
                let file = self.processes.borrow_mut().identify(self.tid, fd);
                let end = self.mirror.kept_end(file.map_err(fd_errno)?);
                end.ok_or(Errno::EINVAL)
            }
            copy => copy.map_err(fd_errno),
        }
    }

    /// The same, or, where pidfd_getfd(2) is refused, the file opened anew, as far as that can be done.
    fn copy_or_another(&mut self, fd: i32) -> Result<OwnedFd, Errno> {
        match self.copy_of(fd) {
            Err(Errno::EINVAL) => {}
            copy => return copy,
        }
        let flags = self.processes.borrow_mut().status_flags(self.tid, fd);
        let flags = OFlags::from_bits_retain(flags.map_err(fd_errno)? as u32);
        let path = format!("/proc/{}/fd/{fd}", self.tid);
        let kind = FileType::from_raw_mode(fs::stat(&path).map_err(errno)?.st_mode);
        if kind == FileType::Socket || flags.contains(OFlags::PATH) {
            return Err(Errno::EINVAL);
        }
        let kept = OFlags::RWMODE | OFlags::APPEND;
        // Nobody may be at the other end of a pipe.
        let how = flags & kept | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match fs::open(&path, how, Mode::empty()) {
            Err(rustix::io::Errno::NXIO) if kind == FileType::Fifo => return Err(Errno::EPIPE),
            // Files without a file system: eventfd(2) and its like.
            Err(rustix::io::Errno::NXIO) => return Err(Errno::EINVAL),
            opened => opened.map_err(errno)?,
        };
        fs::fcntl_setfl(&file, flags & !(OFlags::RWMODE)).map_err(errno)?;
        if kind == FileType::RegularFile {
            let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.tid));
            let info = info.unwrap_or_default();
            let position = info.lines().find_map(|line| line.strip_prefix("pos:"));
            let position = position.and_then(|word| word.trim().parse().ok());
            fs::seek(&file, SeekFrom::Start(position.unwrap_or(0))).map_err(errno)?;
        }
        Ok(file)
    }
}

impl Files for TargetFiles<'_> {
    fn process_exists(&mut self, pid: u32) -> bool {
        // Threads are there too, though a listing does not show them.
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    fn lookup(&mut self, fd: i32) -> Result<FileRef, Errno> {
        let file = self.look(fd)?.file;
        Ok(match self.mirror.find(file) {
            Some(id) => FileRef::Socket(id),
            None => match self.mirror.bpf.find(file) {
                Some(id) => FileRef::Bpf(id),
                None => FileRef::Other,
            },
        })
    }

    fn nonblocking(&mut self, fd: i32) -> bool {
        let Ok(hand) = self.look(fd) else {
            return false;
        };
        if let Some(flags) = hand.flags {
            return flags.contains(OFlags::NONBLOCK);
        }
        if let Some(copy) = &hand.copy {
            return fs::fcntl_getfl(copy).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK));
        }
        let flags = self.processes.borrow_mut().status_flags(self.tid, fd);
        flags.is_ok_and(|flags| flags & libc::O_NONBLOCK != 0)
    }

    fn set_nonblocking(&mut self, fd: i32, on: bool) {
        let Ok(hand) = self.look(fd) else { return };
        let Some(copy) = &hand.copy else { return };
        if let Ok(flags) = fs::fcntl_getfl(copy) {
            let mut new = flags;
            new.set(OFlags::NONBLOCK, on);
            // Only flags that the file has already are set beside it.
            let _ = fs::fcntl_setfl(copy, new);
        }
        self.at_hand = None;
    }

    fn changed_owner(&mut self, fd: i32) -> Option<u32> {
        // fchown(2) meets the placeholder, which was ours before: nobody else's file is looked at here.
        let stat = fs::stat(format!("/proc/{}/fd/{fd}", self.tid)).ok()?;
        let own = rustix::process::geteuid().as_raw();
        (stat.st_uid != own).then_some(stat.st_uid)
    }

    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let Some(limit) = super::supervisor::descriptor_limit(self.tid) else {
            return Ok(());
        };
        let directory = format!("/proc/{}/fd", self.tid);
        // Its size is the number of descriptors (since Linux 6.2): while that is below the limit, there is a
        // number below it.
        let open = fs::stat(&directory).map_or(0, |stat| stat.st_size as u64);
        if open > 0 && open + count as u64 <= limit {
            return Ok(());
        }
        // The limit is on the number of a descriptor, not on how many there are.
        let Ok(entries) = std::fs::read_dir(&directory) else {
            return Ok(());
        };
        let numbers = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse::<u64>().ok());
        let below = numbers.filter(|fd| *fd < limit).count() as u64;
        if below + count as u64 <= limit {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }

    fn reserve_last(&mut self) -> Result<(), Errno> {
        // EMFILE comes from the kernel, with the answer.
        Ok(())
    }

    fn right(&mut self, fd: i32) -> Result<Right, Errno> {
        let copy = self.copy_or_another(fd)?;
        // SECCOMP_IOCTL_NOTIF_ADDFD hands over no descriptor of O_PATH: it is said here, before the message is lost to it.
        if fs::fcntl_getfl(&copy).is_ok_and(|flags| flags.contains(OFlags::PATH)) {
            return Err(Errno::EINVAL);
        }
        let file = Identity::of(copy.as_fd()).map_err(|e| Errno(e.0 as u16))?;
        let token = FileToken(self.rights.next);
        self.rights.next += 1;
        self.rights.files.insert(token, copy);
        Ok(Right {
            token,
            socket: self.mirror.find(file),
        })
    }

    fn install_right(&mut self, right: &Right, cloexec: bool) -> Result<i32, Errno> {
        let file = self.rights.files.get(&right.token).ok_or(Errno::EBADF)?;
        let identity = Identity::of(file.as_fd()).map_err(|e| Errno(e.0 as u16))?;
        // One that is already there, from a call that did not hear of it.
        if let Some(orphans) = self.rights.orphans.get_mut(&self.tid)
            && let Some(at) = orphans.iter().position(|(_, known)| *known == identity)
        {
            let (fd, _) = orphans.swap_remove(at);
            if self.processes.borrow_mut().identify(self.tid, fd) == Ok(identity) {
                return Ok(fd);
            }
        }
        match self.listener.add_fd(self.call, file.as_fd(), cloexec) {
            Ok(fd) => Ok(fd),
            Err(ReplyError::Refused(e)) => Err(Errno(e.0 as u16)),
            // Nobody hears the answer; the effect is abandoned at the reply.
            Err(ReplyError::NotDelivered) => Err(Errno::EINTR),
        }
    }

    fn open_pidfd(&mut self, pid: u32) -> Result<i32, Errno> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let file = pidfd_open(pid.ok_or(Errno::ESRCH)?, PidfdFlags::empty()).map_err(errno)?;
        match self.listener.add_fd(self.call, file.as_fd(), true) {
            Ok(fd) => Ok(fd),
            Err(ReplyError::Refused(e)) => Err(Errno(e.0 as u16)),
            // Nobody hears the answer.
            Err(_) => Err(Errno::ESRCH),
        }
    }

    fn open_namespace(&mut self) -> Result<i32, Errno> {
        let path = format!("/proc/{}/ns/net", self.tid);
        let how = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = fs::open(path, how, Mode::empty()).map_err(errno)?;
        match self.listener.add_fd(self.call, file.as_fd(), true) {
            Ok(fd) => Ok(fd),
            Err(ReplyError::Refused(e)) => Err(Errno(e.0 as u16)),
            // Nobody hears the answer.
            Err(ReplyError::NotDelivered) => Err(Errno::EINTR),
        }
    }

    fn uninstall(&mut self, fd: i32) {
        if let Ok(identity) = self.processes.borrow_mut().identify(self.tid, fd) {
            self.rights
                .orphans
                .entry(self.tid)
                .or_default()
                .push((fd, identity));
        }
    }

    fn release(&mut self, token: FileToken) {
        self.rights.release(token);
    }

    fn file_read(&mut self, fd: i32, offset: Option<u64>, out: &mut [u8]) -> Result<usize, Errno> {
        let copy = match offset {
            Some(_) => self.copy_or_another(fd)?,
            // It is to be moved.
            None => self.copy_of(fd)?,
        };
        let flags = fs::fcntl_getfl(&copy).map_err(errno)?;
        if flags & OFlags::RWMODE == OFlags::WRONLY || flags.contains(OFlags::PATH) {
            return Err(Errno::EBADF);
        }
        if !never_waits(&fs::fstat(&copy).map_err(errno)?) {
            return Err(if offset.is_some() {
                Errno::ESPIPE
            } else {
                Errno::EINVAL
            });
        }
        let mut at = match offset {
            Some(at) => at,
            None => fs::seek(&copy, SeekFrom::Current(0)).map_err(errno)?,
        };
        // As sendfile(2) itself reads, which not every file can be.
        let (read, write) = own_pipe()?;
        let mut done = 0;
        while done < out.len() {
            let want = (out.len() - done).min(PIPE_BYTES);
            let how = SpliceFlags::NONBLOCK;
            match pipe::splice(&copy, Some(&mut at), &write, None, want, how) {
                Ok(0) => break,
                Ok(n) => {
                    done += rustix::io::read(&read, &mut out[done..done + n]).map_err(errno)?
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(errno(error)),
            }
        }
        Ok(done)
    }

    fn check_open_for(&mut self, fd: i32, writing: bool) -> Result<(), Errno> {
        let flags = self.processes.borrow_mut().status_flags(self.tid, fd);
        let flags = OFlags::from_bits_retain(flags.map_err(fd_errno)? as u32);
        let not = if writing {
            OFlags::RDONLY
        } else {
            OFlags::WRONLY
        };
        if flags.contains(OFlags::PATH) || flags & OFlags::RWMODE == not {
            return Err(Errno::EBADF);
        }
        Ok(())
    }

    fn file_advance(&mut self, fd: i32, count: usize) {
        if let Ok(copy) = self.copy_of(fd) {
            let _ = fs::seek(&copy, SeekFrom::Current(count as i64));
        }
    }

    fn is_pipe(&mut self, fd: i32) -> bool {
        self.copy_or_another(fd)
            .is_ok_and(|copy| is_fifo(copy.as_fd()))
    }

    fn pipe_peek(&mut self, fd: i32, out: &mut [u8]) -> Result<usize, Errno> {
        let copy = self.copy_or_another(fd)?;
        let (read, write) = own_pipe()?;
        let want = out.len().min(PIPE_BYTES);
        let n = pipe::tee(&copy, &write, want, SpliceFlags::NONBLOCK).map_err(errno)?;
        if n == 0 {
            return Ok(0);
        }
        rustix::io::read(&read, &mut out[..n]).map_err(errno)
    }

    fn pipe_consume(&mut self, fd: i32, count: usize) {
        let Ok(copy) = self.copy_or_another(fd) else {
            return;
        };
        let Ok((read, write)) = own_pipe() else {
            return;
        };
        let mut left = count;
        let mut scratch = vec![0; count.min(PIPE_BYTES)];
        // Non-blocking whatever the pipe's own flag: another reader may have been faster.
        while left > 0 {
            let step = left.min(PIPE_BYTES);
            match pipe::splice(&copy, None, &write, None, step, SpliceFlags::NONBLOCK) {
                Ok(n) if n > 0 => {
                    left -= n;
                    let _ = rustix::io::read(&read, &mut scratch[..n]);
                }
                _ => return,
            }
        }
    }

    fn pipe_room(&mut self, fd: i32) -> Result<usize, Errno> {
        let copy = self.copy_or_another(fd)?;
        let mut poll = [rustix::event::PollFd::new(
            &copy,
            rustix::event::PollFlags::OUT,
        )];
        let now = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut poll, Some(&now)).map_err(errno)?;
        if poll[0].revents().contains(rustix::event::PollFlags::ERR) {
            return Err(Errno::EPIPE);
        }
        let size = pipe::fcntl_getpipe_size(&copy).map_err(errno)?;
        let held = rustix::io::ioctl_fionread(&copy).map_err(errno)? as usize;
        let writable = poll[0].revents().contains(rustix::event::PollFlags::OUT);
        // A buffer of a pipe is a page, however little of it is used: what an empty pipe takes is known, of another only
        // that one more buffer fits.
        Ok(match held {
            _ if !writable => 0,
            0 => size,
            _ => PAGE,
        })
    }

    fn pipe_write(&mut self, fd: i32, data: &[&[u8]]) {
        let Ok(copy) = self.copy_or_another(fd) else {
            return;
        };
        let Ok((read, write)) = own_pipe() else {
            return;
        };
        // Whole pages, wherever the pieces end: the room was counted in them.
        for part in data.concat().chunks(PIPE_BYTES) {
            let Ok(n) = rustix::io::write(&write, part) else {
                return;
            };
            let _ = pipe::splice(&read, None, &copy, None, n, SpliceFlags::NONBLOCK);
        }
    }
}

fn own_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(errno)
}

fn is_fifo(fd: BorrowedFd<'_>) -> bool {
    fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Files whose bytes are there when they are asked for: the supervisor must not wait.
fn never_waits(stat: &fs::Stat) -> bool {
    /// The devices of memory, mem(4), null(4) and random(4), but for the kernel's log.
    const MEMORY: u32 = 1;
    const KERNEL_LOG: u32 = 11;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::BlockDevice => true,
        FileType::CharacterDevice => {
            fs::major(stat.st_rdev) == MEMORY && fs::minor(stat.st_rdev) != KERNEL_LOG
        }
        _ => false,
    }
}
