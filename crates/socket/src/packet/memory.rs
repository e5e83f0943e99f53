//! The memory of a ring, which the layer shares with a program.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::Debug;
use core::sync::atomic::{AtomicU8, Ordering};

/// What mmap(2) of a packet socket leads to. The other side may write anything to it at any time.
pub trait RingMemory: Send + Sync + Debug {
    /// Reads at an offset that lies within, with all of `out`.
    fn read(&self, at: usize, out: &mut [u8]);

    /// Writes there. What was written before is seen before.
    fn write(&self, at: usize, bytes: &[u8]);

    /// What an embedder knows it by, who has made it.
    fn token(&self) -> u64 {
        0
    }
}

/// Makes memory of so many bytes, all zero. `None`: there is none.
pub type MakeRing = fn(usize) -> Option<Arc<dyn RingMemory>>;

/// Memory of this process.
#[derive(Debug)]
struct Own(Box<[AtomicU8]>);

/// What a host has until somebody says otherwise.
pub(crate) fn own(len: usize) -> Option<Arc<dyn RingMemory>> {
    Some(Arc::new(Own((0..len).map(|_| AtomicU8::new(0)).collect())))
}

impl RingMemory for Own {
    fn read(&self, at: usize, out: &mut [u8]) {
        for (byte, from) in out.iter_mut().zip(self.0.iter().skip(at)) {
            *byte = from.load(Ordering::Acquire);
        }
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        for (byte, to) in bytes.iter().zip(self.0.iter().skip(at)) {
            to.store(*byte, Ordering::Release);
        }
    }
}
