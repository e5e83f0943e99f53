//! Another process's memory: process_vm_readv(2) and process_vm_writev(2), with /proc/PID/mem
//! behind them.
//!
//! # Counts
//! Every function moves as many bytes as the kernel's own copy_to_user and copy_from_user would: up
//! to the first byte that cannot be accessed, and returns that number. A count smaller than what
//! was asked for means "EFAULT from here on"; what to make of it (a partial result or EFAULT) is the
//! caller's decision, as it depends on the system call.
//!
//! The man page promises partial transfers only at the granularity of an iovec element. Linux 6.18,
//! measured, stops exactly at the page that faults. Should a kernel stop earlier, the rest
//! is tried again with the first remote element cut at its next page boundary, until a page gives
//! nothing: the count is exact either way.
//!
//! # Which process
//! A thread ID is a number and can be used again. As long as the thread's notification is valid it
//! cannot be, so: transfer, then ask `Listener::is_valid`, then believe it.
//!
//! # Fallback
//! Where process_vm_* is refused (ENOSYS, or EPERM from a container's profile), /proc/PID/mem is opened for
//! each transfer: the file belongs to the address space of the time of the open, and a cached one
//! would point to the program before its exec. That file overrides page protections (FOLL_FORCE),
//! which a system call never does, so the protections are looked up in /proc/PID/maps first. That is
//! slow, and a mapping changed by another thread in between is seen in its old or new state,
//! as with any race of that kind.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use std::fs::OpenOptions;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use thiserror::Error;

use crate::Errno;

#[cfg(test)]
mod tests;

/// UIO_MAXIOV: elements per call, on each side.
const IOV_MAX: usize = 1024;
/// The smallest page of the architecture; a fault can begin at no other boundary.
const PAGE: u64 = 4096;

/// Set once process_vm_* has answered ENOSYS: there is no use in asking again.
static NO_PROCESS_VM: AtomicBool = AtomicBool::new(false);

/// Why nothing can be said about the process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// There is no such thread any more.
    #[error("the process is gone")]
    Gone,
    /// Neither process_vm_* nor /proc/PID/mem is allowed for this process.
    #[error("access to the process's memory is refused: {0}")]
    Refused(Errno),
}

/// A piece of the other process's memory. Nothing is assumed about the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteSlice {
    /// Where it begins, in the other process.
    pub address: u64,
    /// How long it is.
    pub len: u64,
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

/// The memory of one process, named by any of its threads.
#[derive(Clone, Copy, Debug)]
pub struct RemoteMemory {
    tid: i32,
    force_fallback: bool,
}

impl RemoteMemory {
    /// The memory that thread `tid` runs in.
    pub fn new(tid: i32) -> RemoteMemory {
        RemoteMemory {
            tid,
            force_fallback: false,
        }
    }

    /// The same, through /proc/PID/mem only: what a machine without process_vm_* uses. For tests and
    /// measurements.
    #[must_use]
    pub fn through_proc(mut self) -> RemoteMemory {
        self.force_fallback = true;
        self
    }

    /// Reads from `address` into `buffer`; returns how many bytes came before the first fault.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize, MemoryError> {
        let len = buffer.len() as u64;
        self.read_vectored(
            &[RemoteSlice { address, len }],
            &mut [IoSliceMut::new(buffer)],
        )
    }

    /// Writes `bytes` at `address`; returns how many were written before the first fault.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<usize, MemoryError> {
        let len = bytes.len() as u64;
        self.write_vectored(&[RemoteSlice { address, len }], &[IoSlice::new(bytes)])
    }

    /// Gathers from all of `remote`, in order, into all of `local`, until either is used up or a byte
    /// faults.
    pub fn read_vectored(
        &self,
        remote: &[RemoteSlice],
        local: &mut [IoSliceMut<'_>],
    ) -> Result<usize, MemoryError> {
        // SAFETY: IoSliceMut is guaranteed to have the layout of iovec, and the borrow of `local`
        // lasts as long as `pieces`.
        let pieces = unsafe {
            core::slice::from_raw_parts(local.as_ptr().cast::<libc::iovec>(), local.len())
        };
        self.transfer(Direction::Read, remote, pieces)
    }

    /// Gathers from all of `remote` into the spare capacity of `pieces`, in order, which need not be
    /// initialized before; each piece grows by what came.
    pub fn read_pieces(
        &self,
        remote: &[RemoteSlice],
        pieces: &mut [Vec<u8>],
    ) -> Result<usize, MemoryError> {
        let spare = pieces.iter_mut().map(|piece| {
            let room = piece.spare_capacity_mut();
            libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            }
        });
        let local: Vec<libc::iovec> = spare.collect();
        let got = self.transfer(Direction::Read, remote, &local)?;
        let mut left = got;
        for (piece, room) in pieces.iter_mut().zip(&local) {
            let filled = left.min(room.iov_len);
            // SAFETY: the kernel has filled the spare capacity of the pieces in order, `got` bytes
            // in all, and `filled` is what of them fell to this one.
            unsafe { piece.set_len(piece.len() + filled) };
            left -= filled;
        }
        Ok(got)
    }

    /// Scatters all of `local`, in order, over all of `remote`, until either is used up or a byte faults.
    pub fn write_vectored(
        &self,
        remote: &[RemoteSlice],
        local: &[IoSlice<'_>],
    ) -> Result<usize, MemoryError> {
        // SAFETY: IoSlice is guaranteed to have the layout of iovec. It is only read through, as
        // the direction is Write.
        let pieces = unsafe {
            core::slice::from_raw_parts(local.as_ptr().cast::<libc::iovec>(), local.len())
        };
        self.transfer(Direction::Write, remote, pieces)
    }

    /// Reads one byte with process_vm_readv alone: is it allowed?
    pub(crate) fn process_vm_works(&self, address: u64) -> Result<(), Errno> {
        let mut byte = 0u8;
        let local = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        let remote = libc::iovec {
            iov_base: address as *mut c_void,
            iov_len: 1,
        };
        // SAFETY: one byte of ours is written; the remote address is the other process's.
        let moved = unsafe {
            libc::process_vm_readv(self.tid, &raw const local, 1, &raw const remote, 1, 0)
        };
        match Errno::check(moved as i64) {
            Ok(_) | Err(Errno(libc::EFAULT)) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// `local` must be valid for the direction.
    fn transfer(
        &self,
        direction: Direction,
        remote: &[RemoteSlice],
        local: &[libc::iovec],
    ) -> Result<usize, MemoryError> {
        let mut here = Cursor::new(local, |piece: &libc::iovec| {
            (piece.iov_base as u64, piece.iov_len as u64)
        });
        let mut there = Cursor::new(remote, |piece: &RemoteSlice| (piece.address, piece.len));
        let mut done = 0usize;
        // After a short transfer: one page at a time, to find the end exactly.
        let mut careful = false;
        let mut here_batch = [const { MaybeUninit::uninit() }; IOV_MAX];
        let mut there_batch = [const { MaybeUninit::uninit() }; IOV_MAX];
        loop {
            let limit = if careful {
                match there.to_page_end() {
                    Some(bytes) => bytes,
                    None => return Ok(done),
                }
            } else {
                u64::MAX
            };
            let (mine, my_bytes) = here.batch(&mut here_batch, limit);
            // Never more on the remote side than there is room for: the kernel refuses with EINVAL lengths
            // that are only in the way.
            let (theirs, their_bytes) = there.batch(&mut there_batch, my_bytes.min(limit));
            let wanted = my_bytes.min(their_bytes) as usize;
            if wanted == 0 {
                return Ok(done);
            }
            let moved = self.transfer_once(direction, mine, theirs)?;
            done += moved;
            here.advance(moved as u64);
            there.advance(moved as u64);
            if moved < wanted {
                if careful {
                    return Ok(done);
                }
                careful = true;
            }
        }
    }

    /// One kernel call. Zero is a fault on the first byte.
    fn transfer_once(
        &self,
        direction: Direction,
        local: &[libc::iovec],
        remote: &[libc::iovec],
    ) -> Result<usize, MemoryError> {
        if !self.force_fallback && !NO_PROCESS_VM.load(Relaxed) {
            let (mine, my_count) = (local.as_ptr(), local.len() as u64);
            let (theirs, their_count) = (remote.as_ptr(), remote.len() as u64);
            let moved = match direction {
                // SAFETY: `local` describes memory borrowed mutably for this call; the remote
                // addresses are another process's, the kernel checks them.
                Direction::Read => unsafe {
                    libc::process_vm_readv(self.tid, mine, my_count, theirs, their_count, 0)
                },
                // SAFETY: `local` describes memory borrowed for this call, and is only read.
                Direction::Write => unsafe {
                    libc::process_vm_writev(self.tid, mine, my_count, theirs, their_count, 0)
                },
            };
            match Errno::check(moved as i64) {
                Ok(moved) => return Ok(moved as usize),
                // It wants pages that are mapped to be read, where a system call reads those that are mapped to be written.
                Err(Errno(libc::EFAULT)) => {
                    return match direction {
                        Direction::Read => {
                            let read = self.transfer_through_proc(direction, local, remote);
                            Ok(read.unwrap_or(0))
                        }
                        Direction::Write => Ok(0),
                    };
                }
                Err(Errno(libc::ESRCH)) => return Err(MemoryError::Gone),
                Err(Errno(libc::ENOSYS)) => NO_PROCESS_VM.store(true, Relaxed),
                Err(Errno(libc::EPERM)) => {}
                Err(errno) => return Err(MemoryError::Refused(errno)),
            }
        }
        self.transfer_through_proc(direction, local, remote)
    }

    fn transfer_through_proc(
        &self,
        direction: Direction,
        local: &[libc::iovec],
        remote: &[libc::iovec],
    ) -> Result<usize, MemoryError> {
        let failed = |error: std::io::Error| match error.raw_os_error().unwrap_or(libc::EIO) {
            libc::ENOENT | libc::ESRCH => MemoryError::Gone,
            errno => MemoryError::Refused(Errno(errno)),
        };
        let writing = matches!(direction, Direction::Write);
        let memory = OpenOptions::new()
            .read(!writing)
            .write(writing)
            .open(format!("/proc/{}/mem", self.tid))
            .map_err(failed)?;
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.tid)).map_err(failed)?;
        let mut here = Cursor::new(local, |piece: &libc::iovec| {
            (piece.iov_base as u64, piece.iov_len as u64)
        });
        let mut done = 0;
        for piece in remote {
            let len = piece.iov_len as u64;
            let mut address = piece.iov_base as u64;
            let allowed = accessible(&maps, address, len, writing);
            let end = address.saturating_add(allowed);
            while address < end {
                let Some((base, room)) = here.first() else {
                    return Ok(done);
                };
                let count = room.min(end - address) as usize;
                let (fd, at) = (memory.as_raw_fd(), address as i64);
                let moved = Errno::retry(|| match direction {
                    // SAFETY: `local` describes memory borrowed mutably for this transfer.
                    Direction::Read => unsafe {
                        libc::pread(fd, base as *mut c_void, count, at) as i64
                    },
                    // SAFETY: `local` describes memory borrowed for this transfer; it is only read.
                    Direction::Write => unsafe {
                        libc::pwrite(fd, base as *const c_void, count, at) as i64
                    },
                });
                // EIO is this file's EFAULT; 0 bytes: the address space is gone.
                let moved = moved.unwrap_or(0) as usize;
                done += moved;
                address += moved as u64;
                here.advance(moved as u64);
                if moved < count {
                    return Ok(done);
                }
            }
            if allowed < len {
                return Ok(done);
            }
        }
        Ok(done)
    }
}

/// How many bytes from `address` on are mapped with the permission, by /proc/PID/maps.
fn accessible(maps: &str, address: u64, len: u64, writing: bool) -> u64 {
    let mut at = address;
    let end = address.saturating_add(len);
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((from, to)) = range.split_once('-') else {
            continue;
        };
        let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
        else {
            continue;
        };
        if at < from || at >= end {
            break; // sorted by address: a hole
        }
        if at >= to {
            continue;
        }
        // On x86 a writable page is readable by the kernel's copy routines, an executable one is too.
        let allowed = match permissions.as_bytes() {
            [_, b'w', ..] => true,
            [b'r', ..] | [_, _, b'x', ..] => !writing,
            _ => false,
        };
        if !allowed {
            break;
        }
        at = to.min(end);
    }
    at - address
}

/// A place in a list of pieces.
struct Cursor<'a, T, F> {
    pieces: &'a [T],
    /// Bytes of the first piece that are done.
    offset: u64,
    get: F,
}

impl<'a, T, F: Fn(&T) -> (u64, u64)> Cursor<'a, T, F> {
    fn new(pieces: &'a [T], get: F) -> Self {
        let mut cursor = Cursor {
            pieces,
            offset: 0,
            get,
        };
        cursor.advance(0);
        cursor
    }

    /// The next pieces, up to `limit` bytes, in the kernel's form, and how many bytes they hold.
    fn batch<'b>(
        &self,
        batch: &'b mut [MaybeUninit<libc::iovec>; IOV_MAX],
        limit: u64,
    ) -> (&'b [libc::iovec], u64) {
        let (mut bytes, mut count) = (0u64, 0usize);
        let mut offset = self.offset;
        for piece in self.pieces {
            if count == IOV_MAX || bytes == limit {
                break;
            }
            let (base, len) = (self.get)(piece);
            // An address that wraps is not ours to judge: the kernel answers EFAULT.
            let base = base.wrapping_add(offset);
            let len = (len - offset)
                .min(limit - bytes)
                .min(isize::MAX as u64 - bytes);
            offset = 0;
            if len == 0 {
                continue;
            }
            batch[count].write(libc::iovec {
                iov_base: base as *mut c_void,
                iov_len: len as usize,
            });
            count += 1;
            bytes += len;
        }
        // SAFETY: the first `count` elements have been written; MaybeUninit<T> has T's layout.
        let batch =
            unsafe { core::slice::from_raw_parts(batch.as_ptr().cast::<libc::iovec>(), count) };
        (batch, bytes)
    }

    fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
        while let Some((first, rest)) = self.pieces.split_first() {
            let len = (self.get)(first).1;
            if self.offset < len {
                return;
            }
            self.offset -= len;
            self.pieces = rest;
        }
    }

    /// Where the rest of the first piece is, and how long.
    fn first(&self) -> Option<(u64, u64)> {
        let (base, len) = (self.get)(self.pieces.first()?);
        Some((base.wrapping_add(self.offset), len - self.offset))
    }

    /// Bytes up to the next page boundary, at most up to the end of the first piece.
    fn to_page_end(&self) -> Option<u64> {
        let (base, len) = self.first()?;
        Some((PAGE - base % PAGE).min(len))
    }
}
