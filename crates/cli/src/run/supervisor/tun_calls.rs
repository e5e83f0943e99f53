//! /dev/net/tun of the virtual host (docs/design/tun-inside.md).
//!
//! What a program gets for it is one end of a host SOCK_SEQPACKET pair. Packets for it are sent into the other end, so that read(2),
//! poll(2) and epoll are the kernel's. write(2) and ioctl(2) are trapped anyway, and answered here.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::fs::OFlags;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};
use switchboard_abi::number::TUNSETIFF;
use switchboard_abi::{Errno, Word};
use switchboard_notify::{Identity, Notification, RemoteMemory, ReplyError};
use switchboard_socket::{TunId, tun_argument};
use switchboard_syscall::{Call, Memory};

use super::super::files::{AtHand, errno};
use super::super::memory::TargetMemory;
use super::super::opens::Open;
use super::super::room::TUNS;
use super::proc_calls::vectors;
use super::{Supervisor, host_errno};

/// `struct ifreq`, on LP64 and ILP32.
const IFREQ: usize = 40;
const IFREQ_ILP32: usize = 32;
/// More of a write is no packet; longer than any that there are.
const LARGEST: usize = 1 << 17;
/// How much the pair is asked to hold; the rest of the interface's queue waits with it.
const PAIR: usize = 1 << 20;

/// What is open of it.
struct TunFile {
    id: TunId,
    ours: OwnedFd,
    mode: OFlags,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has no interface yet.
    Open,
    Attached,
    /// Its interface was taken away. The pair tells of no other.
    Lost,
}

#[derive(Default)]
pub(super) struct TunFiles {
    files: HashMap<Identity, TunFile>,
}

impl TunFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl Supervisor {
    /// open(2) of /dev/net/tun.
    pub(super) fn open_tun(&mut self, call: &Notification, open: &Open) {
        if let Err(errno) = self.make_tun(call, open) {
            let _ = self.listener.reply_errno(call.id, host_errno(errno));
        }
    }

    fn make_tun(&mut self, call: &Notification, open: &Open) -> Result<(), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let pair = net::socketpair(net::AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (theirs, ours) = pair.map_err(errno)?;
        // As much as the machine lets it have.
        let _ = sockopt::set_socket_send_buffer_size(&ours, PAIR);
        let file = Identity::of(theirs.as_fd()).map_err(|e| Errno(e.0 as u16))?;
        let nonblock = open.flags & OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&theirs, nonblock).map_err(errno)?;
        let cloexec = open.flags.contains(OFlags::CLOEXEC);
        match self.listener.reply_fd(call.id, theirs.as_fd(), cloexec) {
            Ok(_) => {}
            Err(ReplyError::Refused(errno)) => return Err(Errno(errno.0 as u16)),
            // Gone: nobody hears an answer.
            Err(ReplyError::NotDelivered) => return Ok(()),
        }
        let id = self.host.tun_open();
        let data = epoll::EventData::new_u64(TUNS + u64::from(id.get()));
        let events = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let watched = epoll::add(&*self.mirror.epoll(), &ours, data, events);
        if watched.is_err() {
            // Without memory for it the program sees the other end go.
            self.host.tun_close(self.clock.now(), id);
            return Ok(());
        }
        let mode = open.flags & OFlags::RWMODE;
        self.tuns.files.insert(
            file,
            TunFile {
                id,
                ours,
                mode,
                state: State::Open,
            },
        );
        Ok(())
    }

    /// Something about our end: it has room again, or the last copy of the program's is gone.
    pub(super) fn tun_told(&mut self, token: u64, hung_up: bool) {
        let id = TunId::new((token - TUNS) as u32);
        let found = self.tuns.files.iter().find(|(_, tun)| tun.id == id);
        let Some(file) = found.map(|(file, _)| *file) else {
            return;
        };
        // What came by a call that is not trapped.
        let mut packet = vec![0; LARGEST];
        while let Some(tun) = self.tuns.files.get(&file) {
            match net::recv(&tun.ours, &mut packet[..], RecvFlags::DONTWAIT) {
                Ok((_, len)) if len > 0 => {
                    let _ = self.host.tun_send(self.clock.now(), id, &packet[..len]);
                }
                _ => break,
            }
        }
        if hung_up {
            self.tuns.files.remove(&file);
            self.host.tun_close(self.clock.now(), id);
        }
        self.settle();
    }

    /// Hands over what interfaces have sent.
    pub(super) fn flush_tuns(&mut self) {
        for tun in self.tuns.files.values_mut() {
            while let Some(packet) = self.host.tun_recv(tun.id) {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                // What is larger than the pair takes at all is lost, and what is for nobody any more.
                let sent = net::send(&tun.ours, &packet, flags);
                if let Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) = sent {
                    self.host.tun_unrecv(tun.id, packet);
                    break;
                }
            }
            if tun.state == State::Attached && !self.host.tun_is_attached(tun.id) {
                // Whoever waits to read from it is to hear of it.
                let _ = net::shutdown(&tun.ours, Shutdown::Write);
                tun.state = State::Lost;
            }
        }
    }

    /// A call on a descriptor of /dev/net/tun. False: it is on none.
    pub(super) fn tun_call(&mut self, call: &Notification, decoded: &Call, word: Word) -> bool {
        if self.tuns.is_empty() {
            return false;
        }
        let find = |fd: i32| {
            let mut processes = self.processes.borrow_mut();
            let hand = AtHand::look(&mut processes, &self.mirror, call.tid, fd).ok()?;
            let file = hand.file();
            self.tuns.files.contains_key(&file).then_some(file)
        };
        let found = match decoded {
            Call::Sendfile { out_fd, in_fd, .. } => find(*out_fd).or_else(|| find(*in_fd)),
            Call::Splice { fd_in, fd_out, .. } => find(*fd_in).or_else(|| find(*fd_out)),
            _ => decoded.fd().and_then(find),
        };
        let Some(file) = found else { return false };
        let told = match self.on_tun(call, decoded, word, file) {
            Ok(None) => {
                self.go_on(call);
                return true;
            }
            Ok(Some(value)) => self.listener.reply_value(call.id, value as i64),
            Err(errno) => self.listener.reply_errno(call.id, host_errno(errno)),
        };
        if told.is_err() {
            self.stats.not_delivered += 1;
        }
        true
    }

    /// What is to be answered; `None`: the kernel does it on the pair.
    fn on_tun(
        &mut self,
        call: &Notification,
        decoded: &Call,
        word: Word,
        file: Identity,
    ) -> Result<Option<usize>, Errno> {
        let tun = self.tuns.files.get(&file).ok_or(Errno::EBADF)?;
        let (id, mode) = (tun.id, tun.mode);
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        match *decoded {
            Call::Ioctl { cmd, arg, .. } => {
                self.tun_ioctl(call, word, (file, id), cmd, arg)?;
                Ok(Some(0))
            }
            Call::Read { .. } | Call::Readv { .. } if mode == OFlags::WRONLY => Err(Errno::EBADF),
            Call::Read { .. } | Call::Readv { .. } => {
                let attached = self.host.tun_is_attached(id);
                attached.then_some(None).ok_or(Errno::EBADFD)
            }
            Call::Write { .. } | Call::Writev { .. } if mode == OFlags::RDONLY => Err(Errno::EBADF),
            Call::Write { .. } | Call::Writev { .. } => {
                let iov = vectors(decoded, word, &mut memory)?;
                let all = |a: usize, v: &switchboard_syscall::IoVec| a.saturating_add(v.len);
                let len = iov.iter().fold(0, all);
                if len > LARGEST {
                    return Err(Errno::EINVAL);
                }
                let mut packet = vec![0; len];
                if memory.gather(&iov, &mut packet) < len {
                    return Err(Errno::EFAULT);
                }
                // It does not happen for a caller that is gone: it comes again, and is another packet then.
                if !self.listener.is_valid(call.id) {
                    return Err(Errno::EINTR);
                }
                let count = self.host.tun_send(self.clock.now(), id, &packet)?;
                self.settle();
                Ok(Some(count))
            }
            Call::Sendfile { .. } | Call::Splice { .. } => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    fn tun_ioctl(
        &mut self,
        call: &Notification,
        word: Word,
        (file, id): (Identity, TunId),
        command: u32,
        arg: u64,
    ) -> Result<(), Errno> {
        let ifreq = match word {
            Word::Lp64 => IFREQ,
            Word::Ilp32 => IFREQ_ILP32,
        };
        let state = self.tuns.files.get(&file).map(|tun| tun.state);
        if command == TUNSETIFF && state == Some(State::Lost) {
            return Err(Errno::EBADFD);
        }
        let (reads, writes) = tun_argument(command, ifreq);
        let mut data = [0; IFREQ];
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        memory
            .read(arg, &mut data[..reads])
            .map_err(|_| Errno::EFAULT)?;
        let cred = self.cred(call.tid);
        self.with_cx(call.tid, &cred, |host, cx| {
            host.tun_ioctl(cx, id, command, arg, &mut data)
        })?;
        if let Some(tun) = self.tuns.files.get_mut(&file)
            && self.host.tun_is_attached(id)
        {
            tun.state = State::Attached;
        }
        self.settle();
        let written = memory.write(arg, &data[..writes]);
        written.map_err(|_| Errno::EFAULT)
    }
}
