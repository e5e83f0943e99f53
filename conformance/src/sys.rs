//! System calls as methods of any [`Kernel`], so that bodies read like C. Each returns what the
//! kernel returned: a value, or the negative errno.

mod io;
mod option;
mod socket;

use crate::kernel::Kernel;
pub(crate) use io::{IN, OUT, PRI, R, W, WB};

/// A descriptor, as calls return it.
pub(crate) type Fd = i64;

impl<'k> dyn Kernel + 'k {
    /// A call with up to six arguments.
    pub(crate) fn call(&mut self, nr: i64, args: &[u64]) -> i64 {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        self.syscall(nr, six)
    }
}
