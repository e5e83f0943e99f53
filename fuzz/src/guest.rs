//! A guest: memory with holes, a descriptor table, and a host to call.

use crate::{Source, note};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::{Errno, Word};
use switchboard_engine::{Config, Instant};
use switchboard_socket::{
    BpfId, Cred, Cx, FileToken, Host, HostConfig, MemoryPaths, Right, SocketId,
};
use switchboard_syscall::{
    Abandoned, Call, Fault, FileRef, Files, Installed, Interrupted, Memory, Pending, Progress,
    Reply, abandon, commit,
};

/// Where the guest's memory starts.
pub(crate) const BASE: u64 = 0x10_0000;
/// A page.
pub(crate) const PAGE: usize = 4096;
/// How many there are.
pub(crate) const PAGES: usize = 24;

/// Memory of pages that can be read and written, read only, or are not there.
pub(crate) struct Ram {
    pub(crate) bytes: Vec<u8>,
    pub(crate) readable: [bool; PAGES],
    pub(crate) writable: [bool; PAGES],
}

impl Ram {
    fn at(&self, addr: u64, len: usize, may: &[bool; PAGES]) -> Result<usize, Fault> {
        let at = usize::try_from(addr.checked_sub(BASE).ok_or(Fault)?).map_err(|_| Fault)?;
        let end = at.checked_add(len).ok_or(Fault)?;
        if end > self.bytes.len() {
            return Err(Fault);
        }
        let pages = at / PAGE..end.div_ceil(PAGE).max(at / PAGE);
        if pages.clone().all(|page| may[page]) {
            Ok(at)
        } else {
            Err(Fault)
        }
    }

    /// Puts bytes where they fit, whatever the pages say.
    pub(crate) fn poke(&mut self, addr: u64, data: &[u8]) {
        let at = (addr.saturating_sub(BASE) as usize).min(self.bytes.len());
        let n = data.len().min(self.bytes.len() - at);
        self.bytes[at..at + n].copy_from_slice(&data[..n]);
    }
}

impl Memory for Ram {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Fault> {
        let at = self.at(addr, out.len(), &self.readable)?;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Fault> {
        let at = self.at(addr, data.len(), &self.writable)?;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum What {
    Socket(SocketId),
    Bpf(BpfId),
    /// Its contents and position.
    Regular(Vec<u8>, usize),
    /// What is in it, and its capacity.
    Pipe(Vec<u8>, usize),
}

#[derive(Clone, Debug)]
struct File {
    what: What,
    nonblocking: bool,
    /// Descriptors and rights that refer to it.
    references: u32,
}

/// Descriptors, open files, and rights to them.
#[derive(Default)]
pub(crate) struct Table {
    fds: BTreeMap<i32, u64>,
    files: BTreeMap<u64, File>,
    rights: BTreeMap<u64, u64>,
    next: u64,
    /// Sockets that nothing refers to any more.
    dead: Vec<SocketId>,
}

/// Few enough to be reached.
const NOFILE: i32 = 40;

impl Table {
    fn file(&self, fd: i32) -> Result<&File, Errno> {
        self.fds
            .get(&fd)
            .and_then(|id| self.files.get(id))
            .ok_or(Errno::EBADF)
    }

    fn file_mut(&mut self, fd: i32) -> Result<&mut File, Errno> {
        self.fds
            .get(&fd)
            .and_then(|id| self.files.get_mut(id))
            .ok_or(Errno::EBADF)
    }

    fn open(&mut self, what: What, nonblocking: bool) -> u64 {
        self.next += 1;
        let _ = self.files.insert(
            self.next,
            File {
                what,
                nonblocking,
                references: 0,
            },
        );
        self.next
    }

    fn add(&mut self, file: u64) -> Result<i32, Errno> {
        let fd = (0..NOFILE)
            .find(|fd| !self.fds.contains_key(fd))
            .ok_or(Errno::EMFILE)?;
        self.files.get_mut(&file).expect("an open file").references += 1;
        let _ = self.fds.insert(fd, file);
        Ok(fd)
    }

    fn drop_file(&mut self, id: u64) {
        let file = self.files.get_mut(&id).expect("an open file");
        file.references -= 1;
        if file.references == 0 {
            if let What::Socket(socket) = file.what {
                self.dead.push(socket);
            }
            let _ = self.files.remove(&id);
        }
    }

    pub(crate) fn close(&mut self, fd: i32) {
        if let Some(file) = self.fds.remove(&fd) {
            self.drop_file(file);
        }
    }

    pub(crate) fn descriptors(&self) -> Vec<i32> {
        self.fds.keys().copied().collect()
    }

    /// Rights that were taken and not released.
    pub(crate) fn held(&self) -> usize {
        self.rights.len()
    }

    /// Whether a descriptor refers to the socket.
    fn holds(&self, id: SocketId) -> bool {
        let is = |file: &u64| matches!(&self.files[file].what, What::Socket(s) if *s == id);
        self.fds.values().any(is)
    }
}

impl Files for Table {
    fn lookup(&mut self, fd: i32) -> Result<FileRef, Errno> {
        Ok(match self.file(fd)?.what {
            What::Socket(id) => FileRef::Socket(id),
            What::Bpf(id) => FileRef::Bpf(id),
            What::Regular(..) | What::Pipe(..) => FileRef::Other,
        })
    }

    fn nonblocking(&mut self, fd: i32) -> bool {
        self.file(fd).is_ok_and(|file| file.nonblocking)
    }

    fn set_nonblocking(&mut self, fd: i32, on: bool) {
        if let Ok(file) = self.file_mut(fd) {
            file.nonblocking = on;
        }
    }

    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        if self.fds.len() + count <= NOFILE as usize {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }

    fn right(&mut self, fd: i32) -> Result<Right, Errno> {
        let file = *self.fds.get(&fd).ok_or(Errno::EBADF)?;
        self.next += 1;
        let _ = self.rights.insert(self.next, file);
        let open = self.files.get_mut(&file).expect("an open file");
        open.references += 1;
        let socket = match open.what {
            What::Socket(id) => Some(id),
            What::Bpf(_) | What::Regular(..) | What::Pipe(..) => None,
        };
        Ok(Right {
            token: FileToken(self.next),
            socket,
        })
    }

    fn install_right(&mut self, right: &Right, _cloexec: bool) -> Result<i32, Errno> {
        let file = *self
            .rights
            .get(&right.token.0)
            .expect("a right that is held");
        self.add(file)
    }

    fn uninstall(&mut self, fd: i32) {
        assert!(self.fds.contains_key(&fd), "uninstalled and not there");
        self.close(fd);
    }

    fn release(&mut self, token: FileToken) {
        let file = self
            .rights
            .remove(&token.0)
            .expect("a right that is held, released");
        self.drop_file(file);
    }

    fn file_read(&mut self, fd: i32, offset: Option<u64>, out: &mut [u8]) -> Result<usize, Errno> {
        let What::Regular(data, position) = &self.file(fd)?.what else {
            return Err(Errno::EINVAL);
        };
        let from = offset
            .map_or(*position, |offset| offset as usize)
            .min(data.len());
        let n = out.len().min(data.len() - from);
        out[..n].copy_from_slice(&data[from..from + n]);
        Ok(n)
    }

    fn file_advance(&mut self, fd: i32, count: usize) {
        if let Ok(File {
            what: What::Regular(_, position),
            ..
        }) = self.file_mut(fd)
        {
            *position += count;
        }
    }

    fn is_pipe(&mut self, fd: i32) -> bool {
        self.file(fd)
            .is_ok_and(|file| matches!(file.what, What::Pipe(..)))
    }

    fn pipe_peek(&mut self, fd: i32, out: &mut [u8]) -> Result<usize, Errno> {
        let What::Pipe(data, _) = &self.file(fd)?.what else {
            return Err(Errno::EINVAL);
        };
        if data.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let n = out.len().min(data.len());
        out[..n].copy_from_slice(&data[..n]);
        Ok(n)
    }

    fn pipe_consume(&mut self, fd: i32, count: usize) {
        if let Ok(File {
            what: What::Pipe(data, _),
            ..
        }) = self.file_mut(fd)
        {
            let _ = data.drain(..count);
        }
    }

    fn pipe_room(&mut self, fd: i32) -> Result<usize, Errno> {
        let What::Pipe(data, capacity) = &self.file(fd)?.what else {
            return Err(Errno::EINVAL);
        };
        Ok(capacity - data.len())
    }

    fn pipe_write(&mut self, fd: i32, data: &[&[u8]]) {
        if let Ok(File {
            what: What::Pipe(pipe, capacity),
            ..
        }) = self.file_mut(fd)
        {
            data.iter().for_each(|piece| pipe.extend_from_slice(piece));
            assert!(pipe.len() <= *capacity, "a pipe over its capacity");
        }
    }
}

/// A guest of either word size.
pub(crate) struct Guest {
    pub(crate) host: Host,
    paths: MemoryPaths,
    cred: Arc<Cred>,
    pub(crate) now: Instant,
    pub(crate) ram: Ram,
    pub(crate) table: Table,
    pub(crate) word: Word,
}

impl Guest {
    /// All memory there; a regular file at descriptor 0 and a pipe at 1.
    pub(crate) fn new(word: Word, root: bool) -> Guest {
        let mut table = Table::default();
        let file = table.open(
            What::Regular((0..5000).map(|n| n as u8).collect(), 0),
            false,
        );
        let _ = table.add(file);
        let pipe = table.open(What::Pipe(vec![1; 3000], 65_536), false);
        let _ = table.add(pipe);
        let stack = Config {
            seed: [7; 32],
            ..Config::default()
        };
        Guest {
            host: Host::new(HostConfig { stack }),
            paths: MemoryPaths::default(),
            cred: Arc::new(if root {
                Cred::root(100)
            } else {
                Cred::user(100, 1000, 1000)
            }),
            now: Instant::from_secs(1),
            ram: Ram {
                bytes: vec![0; PAGES * PAGE],
                readable: [true; PAGES],
                writable: [true; PAGES],
            },
            table,
            word,
        }
    }

    fn parts(&mut self) -> (&mut Host, Cx<'_>, &mut Ram, &mut Table) {
        let cx = Cx {
            now: self.now,
            realtime: Duration::from_secs(1_000_000),
            cred: &self.cred,
            paths: &mut self.paths,
        };
        (&mut self.host, cx, &mut self.ram, &mut self.table)
    }

    pub(crate) fn attempt(&mut self, pending: &mut Pending) -> Progress {
        let (host, mut cx, ram, table) = self.parts();
        pending.attempt(host, &mut cx, ram, table)
    }

    pub(crate) fn give_up(&mut self, mut pending: Pending) {
        let (host, mut cx, _, table) = self.parts();
        pending.give_up(host, &mut cx, table);
    }

    pub(crate) fn interrupt(&mut self, mut pending: Pending) {
        let (host, mut cx, ram, table) = self.parts();
        match pending.interrupt(host, &mut cx, ram, table) {
            Interrupted::Reply(reply) => {
                let _ = self.deliver(reply);
            }
            Interrupted::Restart => {}
        }
    }

    pub(crate) fn abandon(&mut self, reply: Reply) -> Abandoned {
        let (host, mut cx, _, table) = self.parts();
        abandon(host, &mut cx, table, reply.effect)
    }

    /// Delivers a reply as an embedder does; the value the caller sees.
    pub(crate) fn deliver(&mut self, reply: Reply) -> i64 {
        let Reply {
            value,
            install,
            effect,
            ..
        } = reply;
        check_value(value);
        let committed = {
            let (host, mut cx, _, table) = self.parts();
            commit(host, &mut cx, table, effect)
        };
        let Some(install) = install else { return value };
        let mut add = |id: SocketId| {
            let file = self.table.open(What::Socket(id), install.nonblocking);
            self.table.add(file).expect("the room that was reserved")
        };
        match install.what {
            Installed::Socket(id) => i64::from(add(id)),
            Installed::Bpf(id) => {
                let file = self.table.open(What::Bpf(id), false);
                i64::from(self.table.add(file).expect("the room that was reserved"))
            }
            Installed::Accepted => i64::from(add(committed.accepted.expect("a connection"))),
            Installed::Pair(a, b, at) => {
                let (a, b) = (add(a), add(b));
                self.ram.poke(at, &a.to_ne_bytes());
                self.ram.poke(at.wrapping_add(4), &b.to_ne_bytes());
                value
            }
        }
    }

    /// What an embedder does after each call: files released, sockets closed, cycles collected.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(token) = self.host.poll_released() {
                self.table.release(token);
            }
            let Some(id) = self.table.dead.pop() else {
                break;
            };
            let (host, mut cx, _, _) = self.parts();
            let _ = host.close(&mut cx, id);
        }
        let mut events = 0;
        while self.host.poll_event().is_some() {
            events += 1;
            assert!(events < 100_000, "events without end");
        }
    }

    /// Looks for sockets that only unreachable messages refer to.
    pub(crate) fn collect(&mut self) {
        let (host, mut cx, _, table) = self.parts();
        let closed = host.collect_cycles(&mut cx, &mut |id| table.holds(id));
        note(("collected", closed.min(3)));
        // What was collected is closed; its files are released and must not close it again.
        self.settle();
    }

    /// A call that finishes now, or is given up.
    pub(crate) fn call(&mut self, call: Call) -> i64 {
        let mut pending = Pending::new(call, self.word);
        let value = match self.attempt(&mut pending) {
            Progress::Ready(reply) => self.deliver(reply),
            Progress::Blocked(_) => {
                self.give_up(pending);
                Errno::EAGAIN.to_ret()
            }
        };
        self.settle();
        value
    }

    pub(crate) fn socketpair(&mut self, ty: i32) -> (i32, i32) {
        let sv = BASE + (PAGES * PAGE) as u64 - 8;
        assert_eq!(
            self.call(Call::Socketpair {
                domain: 1,
                ty,
                protocol: 0,
                sv
            }),
            0
        );
        let at = PAGES * PAGE - 8;
        let int = |at: usize| {
            i32::from_ne_bytes(self.ram.bytes[at..at + 4].try_into().expect("four bytes"))
        };
        (int(at), int(at + 4))
    }

    /// Everything is closed: nothing may be left.
    pub(crate) fn end(mut self) {
        for fd in self.table.descriptors() {
            self.table.close(fd);
        }
        self.settle();
        self.collect();
        assert_eq!(self.host.socket_count(), 0, "sockets are left");
        assert_eq!(self.table.held(), 0, "rights are left");
        assert!(
            !self.host.has_rights_in_flight(),
            "sockets in flight are counted"
        );
        assert!(self.table.files.is_empty(), "files are left");
        let now = self.now;
        let host = std::cell::RefCell::new(self.host);
        crate::model::run_out(
            now,
            || host.borrow().poll_timeout(),
            |now| host.borrow_mut().handle_timeout(now),
        );
        assert_eq!(
            host.borrow().stack().tcp_connection_count(),
            0,
            "connections are left"
        );
    }
}

/// A system call returns a count or a negated errno.
pub(crate) fn check_value(value: i64) {
    assert!(value >= -4095, "returned {value}");
    note(("value", value.min(8)));
}

/// A pointer, a descriptor, a length or a flag, as a confused caller might pass it.
pub(crate) fn argument(s: &mut Source<'_>) -> u64 {
    match s.u8() {
        n @ 0..110 => u64::from(n) % 14,
        n @ 110..190 => BASE + u64::from(n % 16) * 256 + if n & 1 == 0 { 0 } else { 20_000 },
        190..200 => BASE + (s.below(PAGES + 1) * PAGE) as u64 - s.below(64) as u64,
        200..210 => [
            u64::MAX,
            1 << 31,
            (1 << 32) - 1,
            1 << 63,
            0x7fff_ffff_ffff_fff0,
            i32::MIN as u64,
            0x7fff_ffff,
            0x7fff_f000,
        ][s.below(8)],
        210..225 => u64::from(s.u16()),
        225..240 => 1 << s.below(32),
        240..250 => u64::from(s.u8()),
        _ => s.u64(),
    }
}
