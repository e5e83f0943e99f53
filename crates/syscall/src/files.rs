//! The guest's descriptors, as the calls reach them.

use switchboard_abi::Errno;
use switchboard_socket::{BpfId, FileToken, Inode, Right, SocketId};

/// What a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileRef {
    /// A socket of the layer.
    Socket(SocketId),
    /// A program or a map of bpf(2).
    Bpf(BpfId),
    /// Anything else that is open.
    Other,
}

/// A guest's descriptor table.
///
/// A [`Right`] is a reference to an open file, named by a token that the embedder chooses:
/// [`Files::right`] makes one, [`Files::install_right`] makes a descriptor of it (the reference
/// stays), [`Files::release`] ends it. While it is in flight the layer holds it and gives it back
/// through [`Host::poll_released`](switchboard_socket::Host::poll_released).
pub trait Files {
    /// What a descriptor stands for; `EBADF` when it is closed.
    fn lookup(&mut self, fd: i32) -> Result<FileRef, Errno>;

    /// Whether `O_NONBLOCK` is set on the descriptor's open file.
    fn nonblocking(&mut self, fd: i32) -> bool;

    /// Sets `O_NONBLOCK` on the descriptor's open file: ioctl(2) `FIONBIO`.
    fn set_nonblocking(&mut self, fd: i32, on: bool);

    /// Sets `O_ASYNC` on the descriptor's open file: ioctl(2) `FIOASYNC`.
    fn set_async(&mut self, fd: i32, on: bool) -> Result<(), Errno> {
        let _ = (fd, on);
        Err(Errno::ENOTTY)
    }

    /// Who gets SIGIO and SIGURG, as `F_SETOWN` has it: ioctl(2) `FIOSETOWN` and `SIOCSPGRP`.
    fn set_owner(&mut self, fd: i32, owner: i32) -> Result<(), Errno> {
        let _ = (fd, owner);
        Err(Errno::ENOTTY)
    }

    /// ioctl(2) `FIOGETOWN` and `SIOCGPGRP`.
    fn owner(&mut self, fd: i32) -> Result<i32, Errno> {
        let _ = fd;
        Err(Errno::ENOTTY)
    }

    /// Whose the descriptor's file has become by fchown(2), where that is not seen as a call; `None`: nobody else's.
    fn changed_owner(&mut self, fd: i32) -> Option<u32> {
        let _ = fd;
        None
    }

    /// Whether `count` more descriptors fit in the table; `EMFILE` or `ENFILE` when not.
    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let _ = count;
        Ok(())
    }

    /// `reserve(1)` for a descriptor that is all a call makes: a driver that finds out when it installs it need not
    /// look before.
    fn reserve_last(&mut self) -> Result<(), Errno> {
        self.reserve(1)
    }

    /// Takes a reference to a descriptor's open file, to pass it in `SCM_RIGHTS`; `EBADF` when it
    /// is closed.
    fn right(&mut self, fd: i32) -> Result<Right, Errno>;

    /// Makes a descriptor for a received file. The right itself stays valid.
    fn install_right(&mut self, right: &Right, cloexec: bool) -> Result<i32, Errno>;

    /// Takes back a descriptor that [`Files::install_right`] made: the call that received it could
    /// not be told.
    fn uninstall(&mut self, fd: i32);

    /// A new descriptor that refers to a process, close-on-exec: pidfd_open(2). Why it cannot be had,
    /// `ESRCH` for one that is gone.
    fn open_pidfd(&mut self, pid: u32) -> Result<i32, Errno> {
        let _ = pid;
        Err(Errno::EINVAL)
    }

    /// A new descriptor of a file that an AF_UNIX socket is bound to, `O_PATH` and close-on-exec, whatever has become of its
    /// name: ioctl(2) `SIOCUNIXFILE`.
    fn open_path(&mut self, file: Inode) -> Result<i32, Errno> {
        let _ = file;
        Err(Errno::ENOTTY)
    }

    /// A new descriptor of the network namespace that the caller finds in /proc/self/ns/net, close-on-exec: ioctl(2)
    /// `SIOCGSKNS`.
    fn open_namespace(&mut self) -> Result<i32, Errno> {
        // open_related_ns(), without namespaces.
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether there is a process or thread with this number, which `SCM_CREDENTIALS` may name.
    fn process_exists(&mut self, pid: u32) -> bool {
        let _ = pid;
        true
    }

    /// Ends a reference.
    fn release(&mut self, token: FileToken);

    /// Reads a file that is no socket without moving its position: at `offset`, or at the file's
    /// position. For sendfile(2). `EINVAL` when it cannot be mapped (a pipe, a device), `ESPIPE`
    /// when it has no offsets.
    fn file_read(&mut self, fd: i32, offset: Option<u64>, out: &mut [u8]) -> Result<usize, Errno> {
        let _ = (fd, offset, out);
        Err(Errno::EINVAL)
    }

    /// Moves a file's position forward over what [`Files::file_read`] gave.
    fn file_advance(&mut self, fd: i32, count: usize) {
        let _ = (fd, count);
    }

    /// Whether a descriptor is open for writing, or for reading: `EBADF` when it is not. For sendfile(2) and splice(2).
    fn check_open_for(&mut self, fd: i32, writing: bool) -> Result<(), Errno> {
        let _ = writing;
        self.lookup(fd).map(drop)
    }

    /// Whether a descriptor is a pipe. For splice(2).
    fn is_pipe(&mut self, fd: i32) -> bool {
        let _ = fd;
        false
    }

    /// Copies what a pipe holds, up to `out`, without taking it. `Ok(0)` is its end; `EAGAIN`: it
    /// is empty and has writers.
    fn pipe_peek(&mut self, fd: i32, out: &mut [u8]) -> Result<usize, Errno> {
        let _ = (fd, out);
        Err(Errno::EINVAL)
    }

    /// Takes `count` bytes off a pipe that were peeked at.
    fn pipe_consume(&mut self, fd: i32, count: usize) {
        let _ = (fd, count);
    }

    /// Bytes a pipe takes now; `EPIPE` when it has no readers.
    fn pipe_room(&mut self, fd: i32) -> Result<usize, Errno> {
        let _ = fd;
        Err(Errno::EINVAL)
    }

    /// Writes to a pipe what [`Files::pipe_room`] said it takes.
    fn pipe_write(&mut self, fd: i32, data: &[&[u8]]) {
        let _ = (fd, data);
    }
}
