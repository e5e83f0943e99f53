//! A program's memory as the decoder reads it.

use smallvec::SmallVec;
use std::io::{IoSlice, IoSliceMut};
use switchboard_notify::{RemoteMemory, RemoteSlice};
use switchboard_syscall::{Fault, IoVec, Memory};

pub(super) struct TargetMemory(pub(super) RemoteMemory);

/// Up to `len` bytes of `iov`.
fn slices(iov: &[IoVec], len: usize) -> SmallVec<[RemoteSlice; 8]> {
    let mut left = len;
    let take = |v: &IoVec| {
        let len = v.len.min(left);
        left -= len;
        RemoteSlice {
            address: v.addr,
            len: len as u64,
        }
    };
    iov.iter().map(take).collect()
}

impl Memory for TargetMemory {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Fault> {
        let want = out.len();
        match self.0.read(addr, out) {
            Ok(n) if n == want => Ok(()),
            _ => Err(Fault),
        }
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Fault> {
        match self.0.write(addr, data) {
            Ok(n) if n == data.len() => Ok(()),
            _ => Err(Fault),
        }
    }

    fn gather(&mut self, iov: &[IoVec], out: &mut [u8]) -> usize {
        if let [one] = iov {
            let n = one.len.min(out.len());
            return self.0.read(one.addr, &mut out[..n]).unwrap_or(0);
        }
        let slices = slices(iov, out.len());
        self.0
            .read_vectored(&slices, &mut [IoSliceMut::new(out)])
            .unwrap_or(0)
    }

    fn gather_pieces(&mut self, iov: &[IoVec], len: usize, piece: usize) -> Vec<Vec<u8>> {
        // One call for all of them, into memory that nobody has cleared before.
        let mut pieces = Vec::with_capacity(len.div_ceil(piece));
        let mut left = len;
        while left > 0 {
            let want = left.min(piece);
            pieces.push(Vec::with_capacity(want));
            left -= want;
        }
        // Of a process that is gone there is nothing to read.
        let _ = self.0.read_pieces(&slices(iov, len), &mut pieces);
        pieces
    }

    fn scatter(&mut self, iov: &[IoVec], data: &[&[u8]]) -> usize {
        let local: SmallVec<[IoSlice<'_>; 8]> =
            data.iter().map(|piece| IoSlice::new(piece)).collect();
        self.0
            .write_vectored(&slices(iov, usize::MAX), &local)
            .unwrap_or(0)
    }
}
