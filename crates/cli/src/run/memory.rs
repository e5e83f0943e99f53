//! A program's memory as the decoder reads it.

use std::io::{IoSlice, IoSliceMut};
use switchboard_notify::{RemoteMemory, RemoteSlice};
use switchboard_syscall::{Fault, IoVec, Memory};

pub(super) struct TargetMemory(pub(super) RemoteMemory);

fn slices(iov: &[IoVec]) -> Vec<RemoteSlice> {
    iov.iter().map(|v| RemoteSlice { address: v.addr, len: v.len as u64 }).collect()
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
        self.0.read_vectored(&slices(iov), &mut [IoSliceMut::new(out)]).unwrap_or(0)
    }

    fn scatter(&mut self, iov: &[IoVec], data: &[&[u8]]) -> usize {
        let local: Vec<IoSlice<'_>> = data.iter().map(|piece| IoSlice::new(piece)).collect();
        self.0.write_vectored(&slices(iov), &local).unwrap_or(0)
    }
}
