//! Answers: what a call returns goes to its caller, and takes effect.
//!
//! The order, and what becomes of an answer that could not be delivered, are in
//! docs/design/results-and-signals.md.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use switchboard_notify::{Listener, Notification, RemoteMemory, ReplyError, signal_thread};
use switchboard_socket::{Cred, PollMask, SocketId};
use switchboard_syscall::{
    Abandoned, Call, Effect, Install, Installed, Memory, Pending, Reply, abandon, commit,
};

use super::super::bpf::BpfFiles;
use super::super::epolls;
use super::super::memory::TargetMemory;
use super::super::mirror;
use super::super::remembered::Outcome;
use super::super::stand_in::{Shape, StandIn};
use super::super::trace::Trace;
use super::Supervisor;

impl Supervisor {
    /// Answers a call, and makes the answer so.
    pub(super) fn deliver(
        &mut self,
        call: &Notification,
        pending: &Pending,
        reply: Reply,
        mut end: Option<OwnedFd>,
        cred: &Arc<Cred>,
    ) {
        let socket = pending.socket().or(reply.effect.socket());
        let Reply {
            value,
            install,
            sigpipe,
            mut effect,
        } = reply;
        let mut sent = None;
        let falls = effect.falls(&self.host);
        if effect.takes_effect_first() {
            sent = effect.sent();
            self.settle_effect(call, effect, cred);
            effect = Effect::happened();
        }
        if let (Call::Shutdown { .. }, Some(id), Some(end)) = (pending.call(), socket, &end) {
            // By the program's own end: nobody gets a SIGIO for its own shutdown(2).
            let mask = self.host.poll(id);
            self.mirror
                .show(id, mask, PollMask::empty(), Some(end.as_fd()));
        }
        if let (
            Call::Setsockopt {
                level: libc::SOL_SOCKET,
                name: libc::SO_SELECT_ERR_QUEUE,
                ..
            },
            Some(id),
            Some(end),
        ) = (pending.call(), socket, &end)
        {
            let on = self.number_option(id, libc::SO_SELECT_ERR_QUEUE) == Some(1);
            self.mirror.set_select_err(id, end.as_fd(), on);
        }
        // What the call has done is to be seen before its caller goes on, and what it is about to do.
        self.show_events();
        if let (Call::Connect { fd, .. } | Call::Listen { fd, .. }, Some(id)) =
            (pending.call(), socket)
            // Not by connect(2) to AF_UNSPEC, which ends what there was.
            && !(value == 0 && self.host.poll(id).contains(PollMask::HUP))
            && self.replace(call, *fd, id)
        {
            end = None;
        }
        if let Some(id) = socket {
            if !falls.is_empty() && self.mirror.shows(id, falls) {
                // A call that has waited had its look long ago.
                end = end.or_else(|| self.end_of(call, pending, id));
            }
            if let Some(end) = &end {
                // No poll of the caller's may see what is about to be untrue. What else there is to
                // see, urgent data for one, stays.
                let mask = self.host.poll(id) - falls;
                self.mirror
                    .show(id, mask, PollMask::empty(), Some(end.as_fd()));
                if mask.contains(PollMask::OUT) && self.connects(pending.call(), id, value) {
                    self.mirror.edge_out(id, end.as_fd());
                }
            }
        }
        // The copy of the program's end goes before the answer, where nothing more is to be shown by it: the
        // program may close its own at once, and its closes are told in the order in which the last copies go.
        let looked_at = end.is_some();
        let fell_short = pending.fell_short(value);
        end = end.filter(|_| fell_short);
        let mut told = value;
        let mut text = self
            .trace
            .as_ref()
            .map(|_| Trace::prepare(call, pending, value));
        // A listener's placeholder must not be shut down.
        let listens = sigpipe
            && socket.is_some_and(|id| self.number_option(id, libc::SO_ACCEPTCONN) == Some(1));
        let by_hand = sigpipe && (listens || self.says_otherwise(pending.call(), socket));
        if by_hand && self.uninterruptible {
            // Before the answer, so that the caller has it when it goes on.
            let _ = signal_thread(call.tid, libc::SIGPIPE);
        }
        let delivered = if sigpipe && !by_hand {
            if let Some(id) = socket {
                self.mirror.close_send(id);
            }
            self.listener.reply_continue(call.id).map(|()| None)
        } else if let Some(install) = install {
            let mask = match install.what {
                Installed::Socket(id) => Some(self.host.poll(id)),
                _ => effect.accepted_mask(&self.host),
            };
            self.install(call, pending, install, mask, &mut told, &mut text)
        } else if told < 0 {
            let errno = switchboard_notify::Errno(-told as i32);
            self.listener.reply_errno(call.id, errno).map(|()| None)
        } else {
            self.listener.reply_value(call.id, told).map(|()| None)
        };
        if by_hand && !self.uninterruptible && delivered.is_ok() {
            let _ = signal_thread(call.tid, libc::SIGPIPE);
        }
        match delivered {
            Ok(made) => {
                if let (Some(trace), Some(text)) = (&mut self.trace, &text) {
                    trace.answered(call, text, told);
                }
                let accepted = self.settle_effect(call, effect, cred);
                if let Some(made) = made {
                    self.stats.sockets += made.len() as u64;
                    self.watch_process(cred.pid);
                    for (id, placeholder) in made {
                        if let Some(id) = id.or(accepted) {
                            self.stand_for(id, placeholder, None);
                        }
                    }
                }
            }
            Err(_) => {
                if told == value {
                    self.stats.not_delivered += 1;
                } else if let (Some(trace), Some(text)) = (&mut self.trace, &text) {
                    // Answered all the same, with why there is no descriptor.
                    trace.answered(call, text, told);
                }
                if let Abandoned::Happened = self.abandon(call, effect, cred) {
                    self.remembered.keep(call, Outcome::Result { value, sent });
                }
            }
        }
        if let (Some(id), true) = (socket, looked_at) {
            let mask = self.host.poll(id);
            let end = end.as_ref().map(AsFd::as_fd);
            self.mirror.show(id, mask, PollMask::empty(), end);
            if let (Some(end), true) = (end, fell_short && mask.contains(PollMask::OUT)) {
                // Linux would have gone on until there was no room, and woken the caller when
                // there was some again. Here there is some already: an edge for those who wait.
                self.mirror.edge_out(id, end);
            }
        }
    }

    /// Whether TCP has connected at once: tcp_rcv_synsent_state_process() wakes those who wait for an edge, though there was
    /// OUT before as well.
    fn connects(&self, call: &Call, id: SocketId, value: i64) -> bool {
        let begun = value == 0 || value == -i64::from(libc::EINPROGRESS);
        let internet =
            |(domain, kind): (i32, i32)| domain != libc::AF_UNIX && kind == libc::SOCK_STREAM;
        matches!(call, Call::Connect { .. }) && begun && self.host.family(id).is_some_and(internet)
    }

    /// Whether the kernel, asked by a write that is to fail with EPIPE, finds another error on the placeholder,
    /// which is an AF_UNIX socket: unix_stream_sendmsg() looks at names, MSG_OOB and control messages first,
    /// tcp_sendmsg() at the connection.
    fn says_otherwise(&self, call: &Call, socket: Option<SocketId>) -> bool {
        let unix = socket
            .and_then(|id| self.host.family(id))
            .is_some_and(|(domain, _)| domain == libc::AF_UNIX);
        !unix
            && match call {
                Call::Send { flags, .. } => flags & libc::MSG_OOB != 0,
                Call::Sendto {
                    flags,
                    addr,
                    addrlen,
                    ..
                } => flags & libc::MSG_OOB != 0 || (*addr != 0 && *addrlen > 0),
                Call::Sendmsg { .. } | Call::Sendmmsg { .. } => true,
                _ => false,
            }
    }

    /// Makes descriptors and answers with them.
    #[allow(
        clippy::type_complexity,
        reason = "the pairs that were delivered, in order"
    )]
    pub(super) fn install(
        &mut self,
        call: &Notification,
        pending: &Pending,
        install: Install,
        mask: Option<PollMask>,
        told: &mut i64,
        text: &mut Option<String>,
    ) -> Result<Option<Vec<(Option<SocketId>, StandIn)>>, ReplyError> {
        let refuse = |listener: &Listener, told: &mut i64, errno: switchboard_notify::Errno| {
            *told = -i64::from(errno.0);
            let _ = listener.reply_errno(call.id, errno);
            Err(ReplyError::Refused(errno))
        };
        let shape = match &install.what {
            Installed::Socket(id) | Installed::Pair(id, ..) => self.shape(*id),
            // Of the listener's type.
            _ => pending.socket().map_or(Shape::Stream, |id| self.shape(id)),
        };
        let mut pair = || self.mirror.new_pair(shape, install.nonblocking);
        match install.what {
            Installed::Socket(_) | Installed::Accepted => {
                let (a, mut placeholder) = match pair() {
                    Ok(made) => made,
                    Err(errno) => return refuse(&self.listener, told, errno),
                };
                // Its caller may poll it at once.
                if let Some(mask) = mask {
                    placeholder.show(mirror::to_mask(mask), Some(a.as_fd()));
                }
                match self.listener.reply_fd(call.id, a.as_fd(), install.cloexec) {
                    Ok(fd) => *told = i64::from(fd),
                    Err(ReplyError::Refused(errno)) => return refuse(&self.listener, told, errno),
                    Err(gone) => return Err(gone),
                }
                let id = match install.what {
                    Installed::Socket(id) => Some(id),
                    _ => None,
                };
                Ok(Some(vec![(id, placeholder)]))
            }
            Installed::Bpf(id) => {
                let (theirs, ours) = match BpfFiles::new_pair() {
                    Ok(made) => made,
                    Err(errno) => return refuse(&self.listener, told, errno),
                };
                match (self.listener).reply_fd(call.id, theirs.as_fd(), install.cloexec) {
                    Ok(fd) => *told = i64::from(fd),
                    Err(ReplyError::Refused(errno)) => return refuse(&self.listener, told, errno),
                    Err(gone) => return Err(gone),
                }
                self.mirror.bpf.insert(id, ours);
                Ok(None)
            }
            Installed::Pair(first, second, address) => {
                let made = pair().and_then(|one| Ok((one, pair()?)));
                let ((a, one), (b, two)) = match made {
                    Ok(made) => made,
                    Err(errno) => return refuse(&self.listener, told, errno),
                };
                let mut numbers = [0; 8];
                for (end, place) in [(&a, 0), (&b, 4)] {
                    match self.listener.add_fd(call.id, end.as_fd(), install.cloexec) {
                        Ok(fd) => numbers[place..place + 4].copy_from_slice(&fd.to_ne_bytes()),
                        Err(ReplyError::Refused(errno)) => {
                            return refuse(&self.listener, told, errno);
                        }
                        Err(gone) => return Err(gone),
                    }
                }
                let mut memory = TargetMemory(RemoteMemory::new(call.tid));
                if memory.write(address, &numbers).is_err() {
                    return refuse(
                        &self.listener,
                        told,
                        switchboard_notify::Errno(libc::EFAULT),
                    );
                }
                if let Some(text) = text {
                    // Its arguments were written before there were descriptors to show.
                    *text = Trace::prepare(call, pending, 0);
                }
                self.listener.reply_value(call.id, 0)?;
                Ok(Some(vec![(Some(first), one), (Some(second), two)]))
            }
        }
    }

    /// A placeholder stands for the socket from now on, and shows what it has.
    fn stand_for(&mut self, id: SocketId, placeholder: StandIn, a: Option<BorrowedFd<'_>>) {
        self.mirror.insert(id, placeholder);
        self.host.set_inode(id, self.mirror.inode(id).unwrap_or(0));
        let mask = self.host.poll(id);
        self.mirror.show(id, mask, PollMask::empty(), a);
    }

    pub(super) fn settle_effect(
        &mut self,
        call: &Notification,
        effect: Effect,
        cred: &Arc<Cred>,
    ) -> Option<SocketId> {
        self.with_files(call, cred, None, |host, cx, files| {
            commit(host, cx, files, effect).accepted
        })
    }

    pub(super) fn abandon(
        &mut self,
        call: &Notification,
        effect: Effect,
        cred: &Arc<Cred>,
    ) -> Abandoned {
        self.with_files(call, cred, None, |host, cx, files| {
            abandon(host, cx, files, effect)
        })
    }

    /// The same call again, which was carried out and whose caller was not told. True when that
    /// answers it.
    pub(super) fn replay(
        &mut self,
        call: &Notification,
        pending: &mut Pending,
        outcome: Outcome,
    ) -> bool {
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        match outcome {
            Outcome::Partial { done, digest } => {
                pending.resume(done, digest, &mut memory);
                false
            }
            Outcome::Result { value, sent } => {
                if let Some(sent) = &sent
                    && !pending.offers(sent, &mut memory)
                {
                    return false;
                }
                let text = self
                    .trace
                    .as_ref()
                    .map(|_| Trace::prepare(call, pending, value));
                let told = if value < 0 {
                    let errno = switchboard_notify::Errno(-value as i32);
                    self.listener.reply_errno(call.id, errno)
                } else {
                    self.listener.reply_value(call.id, value)
                };
                if told.is_err() {
                    self.remembered.keep(call, Outcome::Result { value, sent });
                } else if let (Some(trace), Some(text)) = (&mut self.trace, &text) {
                    trace.answered(call, text, value);
                }
                true
            }
        }
    }

    /// A connection, or listen(2), on a socket whose placeholder shows the end of an earlier one: only another
    /// placeholder can show anything else. It takes the place of the descriptor that was named;
    /// copies of it keep the old one. Whether that was done.
    pub(super) fn replace(&mut self, call: &Notification, fd: i32, id: SocketId) -> bool {
        if !self.mirror.needs_replacing(id, self.host.poll(id)) {
            return false;
        }
        let Ok(flags) = self.processes.borrow_mut().status_flags(call.tid, fd) else {
            return false;
        };
        let shape = self.shape(id);
        let made = (self.mirror).new_pair(shape, flags & libc::O_NONBLOCK != 0);
        let Ok((a, placeholder)) = made else {
            return false;
        };
        let cloexec = is_cloexec(call.tid, fd);
        // With its last copy the old one leaves them.
        let registered = self.mirror.file_of(id).map_or_else(Vec::new, |file| {
            epolls::registered(&mut self.processes.borrow_mut(), call.tid, file)
        });
        let replaced = self.listener.set_fd(call.id, a.as_fd(), fd, cloexec);
        if replaced.is_ok() {
            self.stand_for(id, placeholder, Some(a.as_fd()));
            for (epoll, registration) in registered {
                // EEXIST: it was added twice over. Without memory for it the program misses the end of
                // this connect.
                let _ = registration.renew(epoll.as_fd(), a.as_fd());
            }
        }
        replaced.is_ok()
    }
}

/// FD_CLOEXEC of a program's descriptor, which its copies do not share.
pub(super) fn is_cloexec(tid: i32, fd: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| i32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_CLOEXEC != 0)
}
