//! A lab's control socket: `switchboard ctl`, `exec` and `top` ask here.
//!
//! A request is a line of JSON, and so is each answer. The socket is its owner's alone (mode 0600, in a directory of mode
//! 0700): whoever can connect may start programs as the lab's user.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;

/// A request is not longer than a command line may be (ARG_MAX).
const LONGEST: usize = 4 << 20;
/// An answer that nobody reads is not kept beyond this.
const MOST_WAITING: usize = 16 << 20;
/// Descriptors of a program's standard streams.
const STREAMS: usize = 3;

/// Where the sockets of all sessions of a user are.
pub(super) fn directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if Path::new(&dir).is_absolute() => Path::new(&dir).join("switchboard"),
        _ => {
            let user = rustix::process::geteuid().as_raw();
            PathBuf::from(format!("/tmp/switchboard-{user}"))
        }
    }
}

/// The socket of a session.
pub(super) fn path(name: &str) -> PathBuf {
    directory().join(format!("{name}.sock"))
}

pub(super) struct Session {
    pub(super) name: String,
    path: PathBuf,
    listener: UnixListener,
    connections: BTreeMap<usize, Connection>,
    next: usize,
}

struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    fds: Vec<OwnedFd>,
    output: Vec<u8>,
}

/// What a connection has to say.
pub(super) enum Heard {
    Request(Value, Vec<OwnedFd>),
    Gone,
}

impl Session {
    /// Under the name, or the name with a number when a session has it. The error is one line.
    pub(super) fn start(name: &str) -> Result<Session, String> {
        let directory = directory();
        let failed = |error: io::Error| {
            let runtime = "XDG_RUNTIME_DIR, if it is set, has to be a directory of this user's";
            format!(
                "no control socket in {}: {error}; {runtime}",
                directory.display()
            )
        };
        let lock = Lock::of(&directory, true).map_err(failed)?;
        Session::start_in(name, &lock).map_err(failed)
    }

    fn start_in(name: &str, _lock: &Lock) -> io::Result<Session> {
        for number in 1..1000 {
            let name = match number {
                1 => name.to_owned(),
                number => format!("{name}-{number}"),
            };
            let path = path(&name);
            match UnixStream::connect(&path) {
                Ok(_) => continue,
                // One whose session is gone.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(&path)?;
                }
                Err(_) => {}
            }
            let before = rustix::process::umask(Mode::from_raw_mode(0o177));
            let listener = UnixListener::bind(&path);
            rustix::process::umask(before);
            let listener = listener?;
            listener.set_nonblocking(true)?;
            return Ok(Session {
                name,
                path,
                listener,
                connections: BTreeMap::new(),
                next: 0,
            });
        }
        Err(ErrorKind::AddrInUse.into())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// A new connection, if one has come: its number, and what to watch.
    pub(super) fn accept(&mut self) -> Option<(usize, BorrowedFd<'_>)> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        let number = self.next;
        self.next += 1;
        let connection = Connection {
            stream,
            input: Vec::new(),
            fds: Vec::new(),
            output: Vec::new(),
        };
        let kept = self.connections.entry(number).or_insert(connection);
        Some((number, kept.stream.as_fd()))
    }

    /// What a connection has said since the last time.
    pub(super) fn hear(&mut self, number: usize) -> Vec<Heard> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Vec::new();
        };
        let mut heard = Vec::new();
        if connection.read().is_err() {
            heard.push(Heard::Gone);
        }
        while let Some(end) = connection.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = connection.input.drain(..=end).collect();
            let request = serde_json::from_slice(&line).unwrap_or(Value::Null);
            let at = heard.len() - usize::from(matches!(heard.last(), Some(Heard::Gone)));
            let fds = std::mem::take(&mut connection.fds);
            heard.insert(at, Heard::Request(request, fds));
        }
        heard
    }

    pub(super) fn drop_connection(&mut self, number: usize) -> Option<impl AsFd> {
        self.connections
            .remove(&number)
            .map(|connection| connection.stream)
    }

    /// An answer, as far as it goes now; the rest waits.
    pub(super) fn answer(&mut self, number: usize, answer: &Value) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if connection.output.len() < MOST_WAITING {
            connection.output.extend(answer.to_string().into_bytes());
            connection.output.push(b'\n');
        }
        connection.write();
    }

    /// Writes what waits. Whether some is left.
    pub(super) fn write_on(&mut self) -> bool {
        let mut left = false;
        for connection in self.connections.values_mut() {
            connection.write();
            left |= !connection.output.is_empty();
        }
        left
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let lock = Lock::of(&directory(), false);
        let _ = std::fs::remove_file(&self.path);
        // The last one takes the directory away, which is not empty for any other.
        let _ = std::fs::remove_dir(directory());
        drop(lock);
    }
}

/// Keeps other sessions from starting and ending: a socket that nobody listens at yet looks like one that was left behind.
struct Lock {
    _directory: File,
}

impl Lock {
    /// Of the sessions' directory, which is made if it is not there and is to be.
    fn of(path: &Path, make: bool) -> io::Result<Lock> {
        // Each time it was taken away meanwhile, another session has ended.
        for _ in 0..1000 {
            if make
                && let Err(error) = DirBuilder::new().mode(0o700).create(path)
                && error.kind() != ErrorKind::AlreadyExists
            {
                return Err(error);
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(directory) => File::from(directory),
                Err(Errno::NOENT) if make => continue,
                Err(error) => return Err(error.into()),
            };
            // In /tmp somebody else may have been here first.
            let found = directory.metadata()?;
            if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
                return Err(io::Error::other("it is not this user's alone"));
            }
            rustix::fs::flock(&directory, FlockOperation::LockExclusive)?;
            let there = std::fs::symlink_metadata(path);
            if there.is_ok_and(|there| there.ino() == found.ino() && there.dev() == found.dev()) {
                return Ok(Lock {
                    _directory: directory,
                });
            }
        }
        Err(ErrorKind::NotFound.into())
    }
}

impl Connection {
    fn read(&mut self) -> io::Result<()> {
        loop {
            let mut bytes = [0; 16 * 1024];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut pieces = [IoSliceMut::new(&mut bytes)];
            let got = recvmsg(
                &self.stream,
                &mut pieces,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            );
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            self.fds.truncate(STREAMS);
            match got {
                Ok(message) if message.bytes == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(message) => self.input.extend_from_slice(&bytes[..message.bytes]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if self.input.len() > LONGEST {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }

    fn write(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It is gone, which its end tells.
                Err(_) => self.output.clear(),
            }
        }
    }
}
