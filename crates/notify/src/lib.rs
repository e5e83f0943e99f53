//! seccomp user notification: filter, listener, remote memory, descriptors.
//!
//! The host-kernel side of the runner. Nothing in here knows what a socket call means: this crate
//! traps system calls ([`Filter`], [`Spawn`]), hands them over ([`Listener`]), reads and writes the
//! caller's memory ([`RemoteMemory`]), tells what its descriptors and credentials are
//! ([`Processes`]), makes the descriptor that stands for a socket ([`Placeholder`]), and says what
//! this machine allows ([`probe`]).
//!
//! # Theory of operation
//! A dedicated thread installs the filter on itself and starts the program; the filter is inherited
//! by every descendant and cannot be taken off. Each trapped call stops its thread until the
//! supervisor answers through the listener. A call that a signal interrupts answers ENOENT at the
//! reply: [`ReplyError::NotDelivered`], and the supervisor must then behave as if the call had never
//! been made. The converse has a gap in the kernel, see [`Interrupts`].
//!
//! # Limits
//! One listener per process tree (the kernel refuses a second one below it with EBUSY): runs do not
//! nest. Linux 5.14 or later is expected (ADDFD with SEND); `probe` says what is missing.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod census;
mod closings;
mod epoll;
mod errno;
mod filter;
mod install;
mod listener;
mod memory;
mod placeholder;
mod probe;
mod process;
mod spawn;

pub use closings::{Closing, Closings};
pub use epoll::Registration;
pub use errno::Errno;
pub use filter::{
    ARCH_I386, ARCH_X86_64, Action, Arch, ArgMatch, Data, Filter, FilterError, Rule, RuleTable,
};
pub use install::{InstallError, Interrupts, install, install_with};
pub use listener::{Listener, Notification, Received, ReplyError};
pub use memory::{MemoryError, RemoteMemory, RemoteSlice};
pub use placeholder::{DatagramPlaceholder, Mask, Pairs, Placeholder, Shown, Signalled};
pub use probe::{Report, Support, probe};
pub use process::{FdError, Identity, Processes, Status, signal_thread};
pub use spawn::{Child, Pending, SignalMask, Spawn, SpawnError, Spawner};
