//! This process's own memory, as a guest's: bad addresses are found by the host's kernel.

use switchboard::{Errno, Fault, Memory};

/// The memory of this process.
pub(super) struct OwnMemory {
    pid: libc::pid_t,
}

impl OwnMemory {
    pub(super) fn new() -> OwnMemory {
        OwnMemory {
            pid: std::process::id() as libc::pid_t,
        }
    }

    /// A value of fixed size.
    pub(super) fn array<const N: usize>(&mut self, addr: u64) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.read(addr, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies out.
    pub(super) fn put(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
        Ok(self.write(addr, bytes)?)
    }
}

fn iovec(addr: u64, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: addr as *mut libc::c_void,
        iov_len: len,
    }
}

impl Memory for OwnMemory {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Fault> {
        if out.is_empty() {
            return Ok(());
        }
        let local = iovec(out.as_mut_ptr() as u64, out.len());
        let remote = iovec(addr, out.len());
        // SAFETY: the kernel writes to `out` only, for its length; it checks the other address itself.
        let got = unsafe { libc::process_vm_readv(self.pid, &local, 1, &remote, 1, 0) };
        if got == out.len() as isize {
            Ok(())
        } else {
            Err(Fault)
        }
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Fault> {
        if data.is_empty() {
            return Ok(());
        }
        let local = iovec(data.as_ptr() as u64, data.len());
        let remote = iovec(addr, data.len());
        // SAFETY: the kernel checks the address. What lies there is memory that a body handed to the
        // kernel under test as a place to write to, which is what a system call would do.
        let put = unsafe { libc::process_vm_writev(self.pid, &local, 1, &remote, 1, 0) };
        if put == data.len() as isize {
            Ok(())
        } else {
            Err(Fault)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::{BAD, Edge, KERNEL_SPACE};

    #[test]
    fn bad_addresses_fault() {
        let edge = Edge::new();
        let mut memory = OwnMemory::new();
        let at = edge.put(b"edge");
        let mut four = [0; 4];
        assert_eq!(memory.read(at, &mut four), Ok(()));
        assert_eq!(&four, b"edge");
        assert_eq!(memory.write(at, b"EDGE"), Ok(()));
        assert_eq!(edge.read(at, 4), b"EDGE");
        for bad in [BAD, 0, KERNEL_SPACE, at + 1, at + 4, u64::MAX - 1] {
            assert_eq!(memory.read(bad, &mut four), Err(Fault), "{bad:#x}");
            assert_eq!(memory.write(bad, &four), Err(Fault), "{bad:#x}");
        }
        let _edge = edge.read_only();
        assert_eq!(memory.read(at, &mut four), Ok(()));
        assert_eq!(memory.write(at, &four), Err(Fault));
        assert_eq!(memory.read(BAD, &mut []), Ok(()));
    }
}
