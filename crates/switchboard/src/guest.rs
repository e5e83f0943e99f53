//! A guest's memory as an array of bytes.

use switchboard_syscall::{Fault, Memory};

/// One range of a guest's address space: what lies outside faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestMemory {
    base: u64,
    bytes: Vec<u8>,
}

impl GuestMemory {
    /// `len` zero bytes at `base`.
    pub fn new(base: u64, len: usize) -> GuestMemory {
        GuestMemory {
            base,
            bytes: vec![0; len],
        }
    }

    /// The address of the first byte.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of a range; `None` when it is not all there.
    pub fn get(&self, addr: u64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(addr.checked_sub(self.base)?).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }

    /// The bytes of a range, to change them.
    pub fn get_mut(&mut self, addr: u64, len: usize) -> Option<&mut [u8]> {
        let at = usize::try_from(addr.checked_sub(self.base)?).ok()?;
        self.bytes.get_mut(at..at.checked_add(len)?)
    }
}

impl Memory for GuestMemory {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Fault> {
        out.copy_from_slice(self.get(addr, out.len()).ok_or(Fault)?);
        Ok(())
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Fault> {
        self.get_mut(addr, data.len())
            .ok_or(Fault)?
            .copy_from_slice(data);
        Ok(())
    }
}
