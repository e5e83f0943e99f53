//! The guest's memory, as the calls reach it.

use crate::msghdr::advance;
use alloc::vec;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::MAX_RW_COUNT;

/// An address that cannot be read or written: `EFAULT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

impl From<Fault> for Errno {
    fn from(_: Fault) -> Errno {
        Errno::EFAULT
    }
}

/// An element of an I/O vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IoVec {
    /// Where.
    pub addr: u64,
    /// How many bytes.
    pub len: usize,
}

/// A guest's memory.
pub trait Memory {
    /// Copies `out.len()` bytes at `addr` to `out`. After a fault `out` may hold anything.
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Fault>;

    /// Copies `data` to `addr`. After a fault, bytes before it may have been written.
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Fault>;

    /// Whether a range may belong to the guest at all: Linux's access_ok(), which looks at the
    /// number only. What lies outside fails before descriptors are looked at.
    fn access_ok(&self, addr: u64, len: usize) -> bool {
        // TASK_SIZE_MAX of x86-64 with four-level page tables.
        const LIMIT: u64 = 0x7fff_ffff_f000;
        addr.checked_add(len as u64).is_some_and(|end| end <= LIMIT)
    }

    /// Reads from `iov` in order until `out` is full; the number of bytes before the first fault.
    fn gather(&mut self, iov: &[IoVec], out: &mut [u8]) -> usize {
        let mut done = 0;
        for segment in iov {
            let n = segment.len.min(out.len() - done);
            if n == 0 {
                continue;
            }
            let part = &mut out[done..done + n];
            if self.read(segment.addr, part).is_err() {
                return done + longest_prefix(n, |k| self.read(segment.addr, &mut part[..k]));
            }
            done += n;
        }
        done
    }

    /// Reads `len` bytes from `iov` into new buffers of `piece` bytes each, the last one shorter;
    /// up to the first fault.
    fn gather_pieces(&mut self, iov: &[IoVec], len: usize, piece: usize) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut got = 0;
        while got < len {
            let want = piece.min(len - got);
            let mut bytes = vec![0; want];
            let n = self.gather(&advance(iov, got), &mut bytes);
            bytes.truncate(n);
            pieces.push(bytes);
            got += n;
            if n < want {
                break;
            }
        }
        pieces
    }

    /// Writes the pieces of `data` in order to `iov`; the number of bytes before the first fault
    /// (or before `iov` is full).
    fn scatter(&mut self, iov: &[IoVec], data: &[&[u8]]) -> usize {
        let mut done = 0;
        let mut segments = iov.iter().copied();
        let mut to = IoVec::default();
        for piece in data {
            let mut piece = *piece;
            while !piece.is_empty() {
                while to.len == 0 {
                    match segments.next() {
                        Some(next) => to = next,
                        None => return done,
                    }
                }
                let (now, rest) = piece.split_at(to.len.min(piece.len()));
                if self.write(to.addr, now).is_err() {
                    return done + longest_prefix(now.len(), |k| self.write(to.addr, &now[..k]));
                }
                done += now.len();
                to = IoVec {
                    addr: to.addr + now.len() as u64,
                    len: to.len - now.len(),
                };
                piece = rest;
            }
        }
        done
    }
}

/// The largest `k < n` that works, where all of `n` did not: a fault's exact place.
fn longest_prefix(n: usize, mut works: impl FnMut(usize) -> Result<(), Fault>) -> usize {
    let (mut good, mut bad) = (0, n);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if works(middle).is_ok() {
            good = middle
        } else {
            bad = middle
        }
    }
    good
}

/// Reads a fixed number of bytes.
pub(crate) fn read_array<const N: usize>(
    mem: &mut dyn Memory,
    addr: u64,
) -> Result<[u8; N], Fault> {
    let mut out = [0; N];
    mem.read(addr, &mut out)?;
    Ok(out)
}

/// get_user() of an `int`.
pub(crate) fn read_int(mem: &mut dyn Memory, addr: u64) -> Result<i32, Fault> {
    read_array(mem, addr).map(i32::from_ne_bytes)
}

/// put_user() of an `int`.
pub(crate) fn write_int(mem: &mut dyn Memory, addr: u64, value: i32) -> Result<(), Fault> {
    mem.write(addr, &value.to_ne_bytes())
}

/// Whether an `int` can be written: it is, with what is there.
pub(crate) fn probe(mem: &mut dyn Memory, addr: u64) -> Result<(), Fault> {
    let there = read_int(mem, addr)?;
    write_int(mem, addr, there)
}

/// import_ubuf(): one buffer, cut to what a call may move; `EFAULT` when it cannot be the guest's.
pub(crate) fn import_buffer(mem: &dyn Memory, addr: u64, len: u64) -> Result<IoVec, Errno> {
    let len = len.min(MAX_RW_COUNT as u64) as usize;
    if mem.access_ok(addr, len) {
        Ok(IoVec { addr, len })
    } else {
        Err(Errno::EFAULT)
    }
}
