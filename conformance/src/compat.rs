//! The i386 entry: direct numbers and `socketcall(2)` with ILP32 layouts, in memory below 4 GiB.

use crate::check::{Got, Stop};
use crate::kernel::{Kernel, SocketCall};
use crate::mem::Edge;

/// socketcall's number in the i386 table.
pub(crate) const SYS_SOCKETCALL: u32 = 102;

/// Memory below 4 GiB, handed out piece by piece.
pub(crate) struct Low {
    /// The memory itself.
    pub(crate) edge: Edge,
    next: u64,
}

impl Low {
    /// Two pages of it.
    pub(crate) fn new() -> Low {
        let edge = Edge::low();
        let next = edge.start();
        Low { edge, next }
    }

    /// Room for these bytes, 8-aligned.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        let at = self.next;
        self.edge.write(at, bytes);
        self.next = (at + bytes.len() as u64).next_multiple_of(8);
        at as u32
    }

    /// Room for these words.
    pub(crate) fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.put(&bytes)
    }

    /// What lies there now.
    pub(crate) fn read(&self, at: u32, len: usize) -> Vec<u8> {
        self.edge.read(u64::from(at), len)
    }

    /// A word of it.
    pub(crate) fn word(&self, at: u32) -> u32 {
        self.edge.read_u32(u64::from(at))
    }
}

impl<'k> dyn Kernel + 'k {
    /// `socketcall(call, args)` through the i386 entry, the block of arguments anywhere.
    pub(crate) fn socketcall32_at(&mut self, call: u32, block: u32) -> Got<i64> {
        self.int80(SYS_SOCKETCALL, [call, block, 0, 0, 0, 0])
            .ok_or_else(|| Stop::Skip("no i386 entry".to_string()))
    }

    /// `socketcall(call, args)` with these arguments.
    pub(crate) fn socketcall32(
        &mut self,
        low: &mut Low,
        call: SocketCall,
        args: &[u32],
    ) -> Got<i64> {
        let block = low.words(args);
        self.socketcall32_at(call as u32, block)
    }

    /// A direct call of the i386 table.
    pub(crate) fn call32(&mut self, nr: u32, args: &[u32]) -> Got<i64> {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        self.int80(nr, six)
            .ok_or_else(|| Stop::Skip("no i386 entry".to_string()))
    }
}
