//! A guest: memory as an array of bytes, a descriptor table, and a host to call.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::sysno::Arch;
use switchboard_abi::{Errno, Word};
use switchboard_engine::Instant;
use switchboard_socket::{Cred, Cx, FileToken, Host, HostConfig, MemoryPaths, Right, SocketId};
use switchboard_syscall::{
    Abandoned, Call, Fault, FileRef, Files, Installed, Interrupted, Memory, Parked, Pending,
    Progress, Reply, abandon, commit, decode, decode_socketcall,
};

/// Where the guest's memory starts.
pub const BASE: u64 = 0x10_0000;
/// How much there is.
pub const SIZE: usize = 0x4_0000;

pub struct Ram {
    pub bytes: Vec<u8>,
    /// Reads from here on fault.
    pub readable: u64,
    /// Writes from here on fault.
    pub writable: u64,
}

impl Ram {
    fn at(&self, addr: u64, len: usize, limit: u64) -> Result<usize, Fault> {
        let end = addr.checked_add(len as u64).ok_or(Fault)?;
        if addr < BASE || end > BASE + SIZE as u64 || end > limit {
            return Err(Fault);
        }
        Ok((addr - BASE) as usize)
    }
}

impl Memory for Ram {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Fault> {
        let at = self.at(addr, out.len(), self.readable)?;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Fault> {
        let at = self.at(addr, data.len(), self.writable)?;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct File {
    pub what: FileRef,
    pub nonblocking: bool,
    pub cloexec: bool,
}

#[derive(Default)]
pub struct Table {
    pub files: Vec<Option<File>>,
    pub limit: usize,
    /// Rights by token.
    pub rights: Vec<Option<File>>,
    /// A regular file at descriptor `.0` with these contents and this position.
    pub regular: Option<(i32, Vec<u8>, usize)>,
    /// A pipe at descriptor `.0`: what is in it, its capacity.
    pub pipe: Option<(i32, Vec<u8>, usize)>,
}

impl Table {
    pub fn add(&mut self, file: File) -> Result<i32, Errno> {
        let at = self
            .files
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.files.len());
        if at >= self.limit {
            return Err(Errno::EMFILE);
        }
        if at == self.files.len() {
            self.files.push(None);
        }
        self.files[at] = Some(file);
        Ok(at as i32)
    }

    pub fn get(&self, fd: i32) -> Result<File, Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        self.files.get(at).copied().flatten().ok_or(Errno::EBADF)
    }

    pub fn held(&self) -> usize {
        self.rights.iter().flatten().count()
    }
}

impl Files for Table {
    fn lookup(&mut self, fd: i32) -> Result<FileRef, Errno> {
        Ok(self.get(fd)?.what)
    }

    fn nonblocking(&mut self, fd: i32) -> bool {
        self.get(fd).is_ok_and(|file| file.nonblocking)
    }

    fn set_nonblocking(&mut self, fd: i32, on: bool) {
        if let Some(file) = &mut self.files[fd as usize] {
            file.nonblocking = on;
        }
    }

    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let open = self.files.iter().flatten().count();
        if open + count <= self.limit {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }

    fn right(&mut self, fd: i32) -> Result<Right, Errno> {
        let file = self.get(fd)?;
        self.rights.push(Some(file));
        let socket = match file.what {
            FileRef::Socket(id) => Some(id),
            FileRef::Bpf(_) | FileRef::Other => None,
        };
        Ok(Right {
            token: FileToken(self.rights.len() as u64 - 1),
            socket,
        })
    }

    fn install_right(&mut self, right: &Right, cloexec: bool) -> Result<i32, Errno> {
        let file = self.rights[right.token.0 as usize].expect("a right that is held");
        self.add(File { cloexec, ..file })
    }

    fn uninstall(&mut self, fd: i32) {
        self.files[fd as usize] = None;
    }

    fn release(&mut self, token: FileToken) {
        let right = self.rights[token.0 as usize].take();
        assert!(right.is_some(), "released twice");
    }

    fn file_read(&mut self, fd: i32, offset: Option<u64>, out: &mut [u8]) -> Result<usize, Errno> {
        let (at, data, position) = self.regular.as_ref().ok_or(Errno::EINVAL)?;
        if *at != fd {
            return Err(Errno::EINVAL);
        }
        let from = offset
            .map_or(*position, |offset| offset as usize)
            .min(data.len());
        let n = out.len().min(data.len() - from);
        out[..n].copy_from_slice(&data[from..from + n]);
        Ok(n)
    }

    fn file_advance(&mut self, _: i32, count: usize) {
        self.regular.as_mut().expect("a file").2 += count;
    }

    fn is_pipe(&mut self, fd: i32) -> bool {
        self.pipe.as_ref().is_some_and(|pipe| pipe.0 == fd)
    }

    fn pipe_peek(&mut self, _: i32, out: &mut [u8]) -> Result<usize, Errno> {
        let pipe = self.pipe.as_ref().ok_or(Errno::EINVAL)?;
        if pipe.1.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let n = out.len().min(pipe.1.len());
        out[..n].copy_from_slice(&pipe.1[..n]);
        Ok(n)
    }

    fn pipe_consume(&mut self, _: i32, count: usize) {
        let _ = self.pipe.as_mut().expect("a pipe").1.drain(..count);
    }

    fn pipe_room(&mut self, _: i32) -> Result<usize, Errno> {
        let pipe = self.pipe.as_ref().ok_or(Errno::EINVAL)?;
        Ok(pipe.2 - pipe.1.len())
    }

    fn pipe_write(&mut self, _: i32, data: &[&[u8]]) {
        let pipe = self.pipe.as_mut().expect("a pipe");
        data.iter()
            .for_each(|piece| pipe.1.extend_from_slice(piece));
    }
}

pub struct Guest {
    pub host: Host,
    pub paths: MemoryPaths,
    pub cred: Arc<Cred>,
    pub now: Instant,
    pub ram: Ram,
    pub table: Table,
    pub word: Word,
    pub signals: u32,
}

/// What a call came to.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One at a time.
pub enum Outcome {
    Value(i64),
    Parked(Pending, Parked),
}

impl Guest {
    pub fn new(word: Word) -> Guest {
        Guest {
            host: Host::new(HostConfig::default()),
            paths: MemoryPaths::default(),
            cred: Arc::new(Cred::root(100)),
            now: Instant::from_secs(1),
            ram: Ram {
                bytes: vec![0; SIZE],
                readable: u64::MAX,
                writable: u64::MAX,
            },
            table: Table {
                limit: 64,
                ..Table::default()
            },
            word,
            signals: 0,
        }
    }

    pub fn both() -> [Guest; 2] {
        [Guest::new(Word::Lp64), Guest::new(Word::Ilp32)]
    }

    pub fn poke(&mut self, addr: u64, data: &[u8]) {
        let at = (addr - BASE) as usize;
        self.ram.bytes[at..at + data.len()].copy_from_slice(data);
    }

    pub fn peek(&self, addr: u64, len: usize) -> &[u8] {
        let at = (addr - BASE) as usize;
        &self.ram.bytes[at..at + len]
    }

    pub fn int(&self, addr: u64) -> i32 {
        i32::from_ne_bytes(self.peek(addr, 4).try_into().unwrap())
    }

    pub fn poke_int(&mut self, addr: u64, value: i32) {
        self.poke(addr, &value.to_ne_bytes());
    }

    /// Words of the guest's size.
    pub fn poke_words(&mut self, addr: u64, words: &[u64]) {
        for (i, word) in words.iter().enumerate() {
            match self.word {
                Word::Lp64 => self.poke(addr + 8 * i as u64, &word.to_ne_bytes()),
                Word::Ilp32 => self.poke(addr + 4 * i as u64, &(*word as u32).to_ne_bytes()),
            }
        }
    }

    pub fn word_at(&self, addr: u64) -> u64 {
        self.word.read_ulong(self.peek(addr, self.word.size()), 0)
    }

    /// A `msghdr` at `at`.
    pub fn poke_msghdr(&mut self, at: u64, m: Msg) {
        let layout = self.word.msghdr();
        let mut bytes = vec![0; layout.size];
        let word = self.word;
        let mut put = |offset: usize, value: u64| match word {
            Word::Lp64 => bytes[offset..offset + 8].copy_from_slice(&value.to_ne_bytes()),
            Word::Ilp32 => {
                bytes[offset..offset + 4].copy_from_slice(&(value as u32).to_ne_bytes());
            }
        };
        put(layout.name, m.name);
        put(layout.iov, m.iov);
        put(layout.iovlen, m.iovlen);
        put(layout.control, m.control);
        put(layout.controllen, m.controllen);
        bytes[layout.namelen..layout.namelen + 4].copy_from_slice(&m.namelen.to_ne_bytes());
        bytes[layout.flags..layout.flags + 4].copy_from_slice(&m.flags.to_ne_bytes());
        self.poke(at, &bytes);
    }

    /// A control message; its space.
    pub fn poke_cmsg(&mut self, at: u64, level: i32, kind: i32, data: &[u8]) -> u64 {
        let word = self.word;
        self.poke_words(at, &[word.cmsg_len(data.len()) as u64]);
        self.poke_int(at + word.size() as u64, level);
        self.poke_int(at + word.size() as u64 + 4, kind);
        self.poke(at + word.cmsghdr_size() as u64, data);
        word.cmsg_space(data.len()) as u64
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

    pub fn attempt(&mut self, pending: &mut Pending) -> Progress {
        let (host, mut cx, ram, table) = self.parts();
        pending.attempt(host, &mut cx, ram, table)
    }

    pub fn interrupt(&mut self, mut pending: Pending) -> Interrupted {
        let (host, mut cx, ram, table) = self.parts();
        pending.interrupt(host, &mut cx, ram, table)
    }

    pub fn give_up(&mut self, mut pending: Pending) {
        let (host, mut cx, _, table) = self.parts();
        pending.give_up(host, &mut cx, table);
    }

    pub fn abandon(&mut self, reply: Reply) -> Abandoned {
        let (host, mut cx, _, table) = self.parts();
        abandon(host, &mut cx, table, reply.effect)
    }

    /// Delivers a reply as an embedder does.
    pub fn deliver(&mut self, reply: Reply) -> i64 {
        let Reply {
            value,
            install,
            sigpipe,
            effect,
        } = reply;
        self.signals += u32::from(sigpipe);
        let committed = {
            let (host, mut cx, _, table) = self.parts();
            commit(host, &mut cx, table, effect)
        };
        while let Some(token) = self.host.poll_released() {
            self.table.release(token);
        }
        let Some(install) = install else { return value };
        let mut open = |what: FileRef| {
            let (nonblocking, cloexec) = (install.nonblocking, install.cloexec);
            i64::from(
                self.table
                    .add(File {
                        what,
                        nonblocking,
                        cloexec,
                    })
                    .unwrap(),
            )
        };
        let mut add = |id: SocketId| open(FileRef::Socket(id));
        match install.what {
            Installed::Bpf(id) => open(FileRef::Bpf(id)),
            Installed::Socket(id) => add(id),
            Installed::Accepted => add(committed.accepted.unwrap()),
            Installed::Pair(a, b, at) => {
                let (a, b) = (add(a) as i32, add(b) as i32);
                self.poke_int(at, a);
                self.poke_int(at + 4, b);
                value
            }
        }
    }

    pub fn start(&mut self, call: Call) -> Outcome {
        let mut pending = Pending::new(call, self.word);
        self.go_on(&mut pending)
            .map_or_else(|parked| Outcome::Parked(pending, parked), Outcome::Value)
    }

    pub fn go_on(&mut self, pending: &mut Pending) -> Result<i64, Parked> {
        match self.attempt(pending) {
            Progress::Ready(reply) => Ok(self.deliver(reply)),
            Progress::Blocked(parked) => Err(parked),
        }
    }

    /// A call that must not wait.
    pub fn call(&mut self, call: Call) -> i64 {
        match self.start(call) {
            Outcome::Value(value) => value,
            Outcome::Parked(_, parked) => panic!("{call:?} waits: {parked:?}"),
        }
    }

    /// A call that must wait.
    pub fn park(&mut self, call: Call) -> (Pending, Parked) {
        match self.start(call) {
            Outcome::Value(value) => panic!("{call:?} = {value}"),
            Outcome::Parked(pending, parked) => (pending, parked),
        }
    }

    /// By system-call number.
    pub fn syscall(&mut self, nr: u32, args: [u64; 6]) -> i64 {
        let arch = if self.word == Word::Lp64 {
            Arch::X86_64
        } else {
            Arch::I386
        };
        match decode(arch, nr, args, &mut self.ram) {
            Ok(Some(call)) => self.call(call),
            Ok(None) => Errno::ENOSYS.to_ret(),
            Err(errno) => errno.to_ret(),
        }
    }

    /// By socketcall(2), with the argument block at the start of memory.
    pub fn socketcall(&mut self, call: i32, args: &[u64]) -> i64 {
        self.poke_words(BASE, args);
        match decode_socketcall(self.word, call, BASE, &mut self.ram) {
            Ok(call) => self.call(call),
            Err(errno) => errno.to_ret(),
        }
    }

    /// To the `sockaddr_in` at `addr`.
    pub fn bind(&mut self, fd: i32, addr: u64) -> i64 {
        self.call(Call::Bind { fd, addr, len: 16 })
    }

    /// To the `sockaddr_in` at `addr`.
    pub fn connect(&mut self, fd: i32, addr: u64) -> i64 {
        self.call(Call::Connect { fd, addr, len: 16 })
    }

    pub fn sendmsg(&mut self, fd: i32, msg: u64, flags: i32) -> i64 {
        self.call(Call::Sendmsg { fd, msg, flags })
    }

    pub fn writev(&mut self, fd: i32, iov: u64, iovlen: u64) -> i64 {
        self.call(Call::Writev {
            fd,
            iov,
            iovlen,
            offset: None,
            flags: 0,
        })
    }

    pub fn socket(&mut self, domain: i32, ty: i32) -> i32 {
        let fd = self.call(Call::Socket {
            domain,
            ty,
            protocol: 0,
        });
        assert!(fd >= 0, "{fd}");
        fd as i32
    }

    pub fn pair(&mut self, ty: i32) -> (i32, i32) {
        let sv = BASE + 0x3_f000;
        assert_eq!(
            self.call(Call::Socketpair {
                domain: 1,
                ty,
                protocol: 0,
                sv
            }),
            0
        );
        (self.int(sv), self.int(sv + 4))
    }

    pub fn send(&mut self, fd: i32, data: &[u8]) -> i64 {
        let buf = BASE + 0x3_0000;
        self.poke(buf, data);
        self.call(Call::Send {
            fd,
            buf,
            len: data.len() as u64,
            flags: 0,
        })
    }

    /// What can be received without waiting.
    pub fn recv(&mut self, fd: i32) -> Result<Vec<u8>, Errno> {
        let buf = BASE + 0x3_0000;
        let n = self.call(Call::Recv {
            fd,
            buf,
            len: 0x8000,
            flags: 0x40,
        });
        if n < 0 {
            Err(Errno(-n as u16))
        } else {
            Ok(self.peek(buf, n as usize).to_vec())
        }
    }

    pub fn socket_of(&self, fd: i32) -> SocketId {
        match self.table.get(fd).unwrap().what {
            FileRef::Socket(id) => id,
            FileRef::Bpf(_) | FileRef::Other => panic!("no socket"),
        }
    }
}

/// The members of a `msghdr`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Msg {
    pub name: u64,
    pub namelen: i32,
    pub iov: u64,
    pub iovlen: u64,
    pub control: u64,
    pub controllen: u64,
    pub flags: i32,
}

pub fn err(errno: Errno) -> i64 {
    errno.to_ret()
}

pub fn sockaddr_in(port: u16) -> [u8; 16] {
    let mut name = [0; 16];
    name[..2].copy_from_slice(&2u16.to_ne_bytes());
    name[2..4].copy_from_slice(&port.to_be_bytes());
    name[4..8].copy_from_slice(&[127, 0, 0, 1]);
    name
}
