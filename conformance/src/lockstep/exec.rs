//! Executes ops on one kernel.

use super::address::Seen;
use super::control::Control;
use super::frame;
use super::op::{Op, SLOTS};
use super::place::Where;
use super::trace::Record;
use crate::addr::Addr;
use crate::kernel::Kernel;
use crate::mem::{BAD, int};
use crate::msg::{Msg, rights};
use crate::scene::NB;
use crate::sys::Fd;
use std::time::Duration;

pub(super) const STORAGE: usize = 128;

/// One kernel with its pool of sockets.
pub(super) struct Exec {
    pub(super) kernel: Box<dyn Kernel>,
    /// epoll instances, made when they are first used.
    pub(super) instances: [Option<Fd>; 2],
    slots: [Option<Fd>; SLOTS],
    seen: Seen,
    prefix: Vec<u8>,
    /// Its process's number, which no two kernels share.
    pid: [u8; 4],
    /// Counts calls, so that sent bytes tell where they came from.
    calls: u8,
}

/// What a call writes beside its value.
#[derive(Default)]
pub(super) struct Output {
    pub(super) data: Vec<u8>,
    pub(super) more: Vec<String>,
}

/// SCM_TIMESTAMP, SCM_TIMESTAMPNS and SCM_TIMESTAMPING, old and new: their values differ with the clock.
const TIMES: [i32; 6] = [29, 35, 37, 63, 64, 65];

/// IP_RECVORIGDSTADDR and IPV6_RECVORIGDSTADDR: there is a port in it.
const DESTINATIONS: [(i32, i32); 2] = [(0, 20), (41, 74)];

const IPV6_FLOWINFO: i32 = 11;

impl Exec {
    /// On this kernel; `arm` and `number` keep its names apart from all others.
    pub(super) fn new(mut kernel: Box<dyn Kernel>, arm: char, number: u64) -> Exec {
        let pid = (kernel.call(libc::SYS_getpid, &[]) as u32).to_ne_bytes();
        let prefix = format!("lockstep-{}-{number:08}-{arm}-", std::process::id()).into_bytes();
        Exec {
            kernel,
            instances: [None; 2],
            slots: [None; SLOTS],
            seen: Seen::default(),
            prefix,
            pid,
            calls: 0,
        }
    }

    /// Makes the call.
    pub(super) fn execute(&mut self, op: &Op) -> Record {
        self.calls = self.calls.wrapping_add(1);
        let mut out = Output::default();
        let value = self.call(op, &mut out);
        frame::hide(&mut out.data);
        Record {
            value,
            data: out.data,
            more: out.more,
            masks: self.masks(),
        }
    }

    /// Lets a little time pass.
    pub(super) fn pause(&mut self, time: Duration) {
        self.kernel.pause(time);
    }

    /// The poll masks of all slots.
    pub(super) fn masks(&mut self) -> Vec<Option<i16>> {
        let slots = self.slots;
        slots
            .iter()
            .map(|slot| slot.map(|fd| self.kernel.poll_mask(fd)))
            .collect()
    }

    /// The descriptor in this slot, or in the next one that holds any; -1 when none does.
    pub(super) fn fd(&self, slot: usize) -> Fd {
        (0..SLOTS)
            .find_map(|i| self.slots[(slot + i) % SLOTS])
            .unwrap_or(-1)
    }

    /// Puts a new descriptor into the pool; the first slot gives way when all are taken.
    fn keep(&mut self, fd: i64) -> i64 {
        if fd < 0 {
            return fd;
        }
        let free = self
            .slots
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                let oldest = usize::from(self.calls) % SLOTS;
                if let Some(old) = self.slots[oldest] {
                    self.kernel.close(old);
                }
                oldest
            });
        self.slots[free] = Some(fd);
        0
    }

    /// The address, as bytes and a pointer to give to the kernel.
    pub(super) fn address(&mut self, place: Where) -> Addr {
        match place {
            Where::Slot(slot) => {
                let fd = self.fd(slot);
                self.kernel.sockname(fd).unwrap_or(Addr::unspec())
            }
            Where::Cut(slot, len) => {
                let whole = self.address(Where::Slot(slot));
                // A name cut inside the prefix would be the same name on both sides.
                let ours = whole
                    .0
                    .get(3..)
                    .is_some_and(|name| name.starts_with(&self.prefix));
                if ours && len > 2 {
                    whole
                } else {
                    whole.cut(len.min(whole.len()))
                }
            }
            Where::Loopback(family) => Addr::lo(family, 0),
            Where::Wildcard(family) => Addr::any(family, 0),
            Where::Other => Addr::v4([127, 0, 0, 2], 0),
            Where::Mapped => Addr::mapped([127, 0, 0, 1], 0),
            Where::Closed(family) => Addr::lo(family, 1),
            Where::Abstract(n) => {
                let mut name = self.prefix.clone();
                name.extend(n.to_string().bytes());
                Addr::abstract_name(&name)
            }
            Where::Unnamed => Addr::unix(b""),
            Where::Unspec => Addr::unspec(),
            Where::Beside(slot, form) => {
                let fd = self.fd(slot);
                let port = self.kernel.sockname(fd).map_or(0, |name| name.port());
                form.with(port)
            }
            Where::Null(_) | Where::Bad => Addr(Vec::new()),
        }
    }

    /// Pointer and length of an address.
    pub(super) fn pointer(place: Where, addr: &Addr) -> (u64, u64) {
        match place {
            Where::Null(len) => (0, u64::from(len)),
            Where::Bad => (BAD, 16),
            _ => (addr.ptr(), addr.len() as u64),
        }
    }

    /// Whether a message might leave the host: AF_UNSPEC as the address sends over IPv6 to the peer as it
    /// is written, and an IPv4-mapped one is then looked for along the machine's IPv6 routes.
    pub(super) fn leaves(&mut self, fd: Fd, place: Option<Where>) -> bool {
        let mut option = |name| self.kernel.get_int(fd, libc::SOL_SOCKET, name).ok();
        place == Some(Where::Unspec)
            && option(libc::SO_DOMAIN) == Some(libc::AF_INET6)
            && option(libc::SO_PROTOCOL) == Some(libc::IPPROTO_UDP)
    }

    pub(super) fn bytes(&self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|i| b'a' + ((usize::from(self.calls) + i) % 26) as u8)
            .collect()
    }

    /// A filled address and its length, in words.
    pub(super) fn name(&mut self, storage: &[u8], room: u32, len: u32) -> String {
        let n = (room as usize).min(len as usize).min(storage.len());
        format!(
            "len {len} {}",
            self.seen.normal(&storage[..n], &self.prefix)
        )
    }

    fn call(&mut self, op: &Op, out: &mut Output) -> i64 {
        match op {
            Op::Socket {
                family,
                kind,
                protocol,
            } => {
                let fd = self.kernel.socket(*family, kind | NB, *protocol);
                if fd >= 0 && *family != libc::AF_UNIX {
                    let tcp = libc::IPPROTO_TCP;
                    self.kernel
                        .setsockopt(fd, tcp, libc::TCP_CONGESTION, b"reno");
                    self.kernel.set_int(fd, tcp, libc::TCP_NODELAY, 1);
                }
                self.keep(fd)
            }
            Op::Pair { family, kind } => {
                let mut sv = [-1i32; 2];
                let at = sv.as_mut_ptr() as u64;
                let got = self.kernel.socketpair_raw(*family, kind | NB, 0, at);
                if got == 0 {
                    self.keep(i64::from(sv[0]));
                    self.keep(i64::from(sv[1]));
                }
                got
            }
            Op::Bind { slot, to } => {
                let (fd, addr) = (self.fd(*slot), self.address(*to));
                let (ptr, len) = Exec::pointer(*to, &addr);
                self.kernel.bind_raw(fd, ptr, len)
            }
            Op::Connect { slot, to } => {
                let (fd, addr) = (self.fd(*slot), self.address(*to));
                let (ptr, len) = Exec::pointer(*to, &addr);
                self.kernel.connect_raw(fd, ptr, len)
            }
            Op::Listen { slot, backlog } => self.kernel.listen(self.fd(*slot), *backlog),
            Op::Accept { slot, flags, room } => self.accept(*slot, *flags, *room, out),
            Op::Shutdown { slot, how } => self.kernel.shutdown(self.fd(*slot), *how),
            Op::Close { slot } => {
                let fd = self.fd(*slot);
                if let Some(held) = self.slots.iter_mut().find(|s| **s == Some(fd)) {
                    *held = None;
                }
                self.kernel.close(fd)
            }
            Op::Dup { slot } => {
                let fd = self.kernel.dup(self.fd(*slot));
                self.keep(fd)
            }
            Op::Name { slot, room } => self.names(libc::SYS_getsockname, *slot, *room, out),
            Op::Peer { slot, room } => self.names(libc::SYS_getpeername, *slot, *room, out),
            Op::SetOption {
                slot,
                level,
                name,
                value,
            } => {
                let fd = self.fd(*slot);
                self.kernel.setsockopt(fd, *level, *name, value)
            }
            Op::GetOption {
                slot,
                level,
                name,
                room,
            } => {
                let fd = self.fd(*slot);
                let (got, value) = self.kernel.getsockopt(fd, *level, *name, *room as usize);
                out.data = value;
                if (*level, *name) == (libc::SOL_SOCKET, libc::SO_PEERCRED) {
                    self.hide_pid(&mut out.data);
                }
                got
            }
            Op::Readable { slot } => {
                let mut n = -1;
                let got = self
                    .kernel
                    .ioctl_int(self.fd(*slot), libc::FIONREAD, &mut n);
                out.more.push(format!("n {n}"));
                got
            }
            Op::Unsent { slot } => self.unsent(*slot, out),
            Op::AtMark { slot } => {
                let mut n = -1;
                let got = self.kernel.ioctl_int(self.fd(*slot), 0x8905, &mut n);
                out.more.push(format!("mark {n}"));
                got
            }
            _ => self.transfer(op, out),
        }
    }

    /// Credentials, perhaps cut: this process is number 1 everywhere.
    fn hide_pid(&self, credentials: &mut [u8]) {
        let n = credentials.len().min(4);
        if credentials[..n] == self.pid[..n] {
            credentials[..n].copy_from_slice(&1u32.to_ne_bytes()[..n]);
        }
    }

    /// Without what ends a process, and on TCP without MSG_MORE and MSG_ZEROCOPY: a timer ends the one, or whichever
    /// acknowledgement takes the slow path, and acknowledgements the other.
    pub(super) fn timeless(&mut self, fd: Fd, flags: i32) -> i32 {
        let untimely = libc::MSG_MORE | libc::MSG_ZEROCOPY;
        let held = flags & untimely != 0 && self.is_tcp(fd);
        let flags = if held { flags & !untimely } else { flags };
        flags | libc::MSG_NOSIGNAL
    }

    fn transfer(&mut self, op: &Op, out: &mut Output) -> i64 {
        match op {
            Op::Send {
                slot,
                len,
                flags,
                bad,
            } => {
                let (fd, data) = (self.fd(*slot), self.bytes(*len));
                let at = if *bad { BAD } else { data.as_ptr() as u64 };
                let flags = self.timeless(fd, *flags);
                self.kernel.send_raw(fd, at, *len as u64, flags)
            }
            Op::SendTo {
                slot,
                len,
                flags,
                to,
            } => {
                let (fd, data, addr) = (self.fd(*slot), self.bytes(*len), self.address(*to));
                if self.leaves(fd, Some(*to)) {
                    return 0;
                }
                let (ptr, n) = Exec::pointer(*to, &addr);
                let flags = self.timeless(fd, *flags);
                self.kernel
                    .sendto_raw(fd, data.as_ptr() as u64, *len as u64, flags, ptr, n)
            }
            Op::SendMsg {
                slot,
                lens,
                flags,
                rights,
                control,
                to,
            } => self.send_message(*slot, lens, *flags, (rights, control), *to),
            Op::Recv {
                slot,
                len,
                flags,
                bad,
            } => {
                let mut data = vec![0; *len];
                let at = if *bad { BAD } else { data.as_mut_ptr() as u64 };
                let got = self
                    .kernel
                    .recv_raw(self.fd(*slot), at, *len as u64, *flags);
                out.data = data;
                got
            }
            Op::RecvFrom {
                slot,
                len,
                flags,
                room,
            } => {
                let mut data = vec![0; *len];
                let mut storage = [0u8; STORAGE];
                let mut n = *room;
                let got = self.kernel.recvfrom_raw(
                    self.fd(*slot),
                    data.as_mut_ptr() as u64,
                    *len as u64,
                    *flags,
                    storage.as_mut_ptr() as u64,
                    &raw mut n as u64,
                );
                out.data = data;
                if got >= 0 {
                    let name = self.name(&storage, *room, n);
                    out.more.push(name);
                }
                got
            }
            Op::RecvMsg {
                slot,
                lens,
                flags,
                control,
            } => self.receive_message(*slot, lens, *flags, *control, out),
            Op::Read { slot, len } => {
                let mut data = vec![0; *len];
                let got = self.kernel.read(self.fd(*slot), &mut data);
                out.data = data;
                got
            }
            Op::Write { slot, len } => {
                let data = self.bytes(*len);
                self.kernel.write(self.fd(*slot), &data)
            }
            _ => self.less_usual(op, out),
        }
    }

    fn accept(&mut self, slot: usize, flags: i32, room: u32, out: &mut Output) -> i64 {
        let mut storage = [0u8; STORAGE];
        let mut len = room;
        let fd = self.kernel.accept4_raw(
            self.fd(slot),
            storage.as_mut_ptr() as u64,
            &raw mut len as u64,
            flags | NB,
        );
        if fd >= 0 {
            let name = self.name(&storage, room, len);
            out.more.push(name);
        }
        self.keep(fd)
    }

    /// accept4(2) without an address.
    pub(super) fn accepted(&mut self, fd: Fd) -> i64 {
        let fd = self.kernel.accept4_raw(fd, 0, 0, NB);
        self.keep(fd)
    }

    fn names(&mut self, nr: i64, slot: usize, room: u32, out: &mut Output) -> i64 {
        let mut storage = [0u8; STORAGE];
        let mut len = room;
        let args = [
            self.fd(slot) as u64,
            storage.as_mut_ptr() as u64,
            &raw mut len as u64,
        ];
        let got = self.kernel.call(nr, &args);
        if got >= 0 {
            let name = self.name(&storage, room, len);
            out.more.push(name);
        }
        got
    }

    /// SIOCOUTQ. What TCP still waits for depends on delayed acknowledgements, and what AF_UNIX and
    /// UDP count is memory: only whether there is any is compared, and nothing of TCP.
    fn unsent(&mut self, slot: usize, out: &mut Output) -> i64 {
        let fd = self.fd(slot);
        let mut n = -1;
        let got = self.kernel.ioctl_int(fd, libc::TIOCOUTQ, &mut n);
        let protocol = self.kernel.get_int(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL);
        if got == 0 && protocol.is_ok_and(|p| p != libc::IPPROTO_TCP) {
            out.more.push(format!("empty {}", n == 0));
        }
        got
    }

    fn send_message(
        &mut self,
        slot: usize,
        lens: &[usize],
        flags: i32,
        (passed, control): (&[usize], &[Control]),
        to: Option<Where>,
    ) -> i64 {
        let fd = self.fd(slot);
        if self.leaves(fd, to) {
            return 0;
        }
        let parts: Vec<Vec<u8>> = lens.iter().map(|len| self.bytes(*len)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut msg = Msg::of(&parts);
        let place = to.map(|place| (place, self.address(place)));
        if let Some((place, addr)) = &place {
            let (ptr, len) = Exec::pointer(*place, addr);
            msg.hdr.msg_name = ptr as *mut libc::c_void;
            msg.hdr.msg_namelen = len as u32;
        }
        // Only sockets that cannot hold others: no cycles.
        let mut fds = Vec::new();
        for slot in passed {
            let fd = self.fd(*slot);
            let domain = self.kernel.get_int(fd, libc::SOL_SOCKET, libc::SO_DOMAIN);
            if domain.is_ok_and(|d| d != libc::AF_UNIX) {
                fds.push(fd);
            }
        }
        let mut bytes = Vec::new();
        if !fds.is_empty() {
            bytes.extend(rights(&fds));
        }
        for one in control {
            bytes.extend(one.bytes(self.pid));
        }
        if !bytes.is_empty() {
            msg = msg.control(&bytes);
        }
        let flags = self.timeless(fd, flags);
        self.kernel.sendmsg(fd, &mut msg, flags)
    }

    fn receive_message(
        &mut self,
        slot: usize,
        lens: &[usize],
        flags: i32,
        control: usize,
        out: &mut Output,
    ) -> i64 {
        let mut msg = Msg::room(lens).name_room(STORAGE);
        if control > 0 {
            msg = msg.control_room(control);
        }
        let got = self.kernel.recvmsg(self.fd(slot), &mut msg, flags);
        out.data = msg.data(i64::MAX);
        if got < 0 {
            return got;
        }
        let peer = msg.peer();
        let name = self.name(&peer.0, STORAGE as u32, msg.hdr.msg_namelen);
        out.more.push(name);
        out.more.push(format!("flags {:#x}", msg.flags()));
        out.more
            .push(format!("controllen {}", msg.hdr.msg_controllen));
        for mut cmsg in msg.cmsgs() {
            if (cmsg.level, cmsg.kind) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
                self.hide_pid(&mut cmsg.data);
            }
            let shown = if cmsg.kind == libc::SCM_RIGHTS && cmsg.level == libc::SOL_SOCKET {
                format!("{} descriptors", cmsg.ints().len())
            } else if DESTINATIONS.contains(&(cmsg.level, cmsg.kind)) {
                self.seen.normal(&cmsg.data, &self.prefix)
            } else if cmsg.level == libc::SOL_SOCKET && TIMES.contains(&cmsg.kind) {
                format!("{} bytes of times", cmsg.data.len())
            } else if (cmsg.level, cmsg.kind) == (libc::IPPROTO_IPV6, IPV6_FLOWINFO) {
                // The traffic class is told; a flow label is chance, but for whether there is one.
                let first = cmsg.data.first_chunk().copied().unwrap_or_default();
                let flow = u32::from_be_bytes(first);
                let label = flow & 0xf_ffff != 0;
                format!("flow {:#x} label {label}", flow >> 20)
            } else {
                format!("{:?}", cmsg.data)
            };
            out.more
                .push(format!("cmsg {} {} {shown}", cmsg.level, cmsg.kind));
        }
        for fd in msg.fds() {
            self.keep(fd);
        }
        got
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        for fd in self.instances.into_iter().flatten() {
            self.kernel.close(fd);
        }
        for fd in self.slots.into_iter().flatten() {
            // Without waiting and without TIME_WAIT: ten thousand sequences would use up the ports.
            let linger = [int(1), int(0)].concat();
            self.kernel
                .setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
            self.kernel.close(fd);
        }
    }
}
