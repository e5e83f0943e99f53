//! Conformance of the socket layer with Linux.
//!
//! # Theory of operation
//! A test is one *body*: a function over [`Kernel`], a trait with little more than "make this system
//! call with these six registers". A body runs on three arms:
//! - **host**: the calls go to the kernel this program runs on. What it answers is the expectation.
//! - **library**: the calls go to Switchboard, whose guest memory is this process's own memory.
//! - **runner**: the host arm's program, started under `switchboard run --`.
//!
//! Each body runs in a process of its own (a fork), so that credentials, signal masks, descriptor
//! tables and limits are fresh, and a body that hangs is killed and reported.
//!
//! [`lockstep`] asks where no body was written: seeded random sequences of calls on two kernels,
//! compared call by call.
//!
//! # Limits
//! Memory is passed by address. A body may pass any integer as an address, which is what EFAULT
//! tests need; the kernel under test must treat it as a kernel does.

mod addr;
mod arm;
mod bodies;
mod cbpf;
mod check;
mod compat;
mod ebpf;
mod expect;
mod kernel;
pub mod lockstep;
mod mem;
mod msg;
mod names;
mod proc_file;
mod registry;
mod run;
mod scene;
pub mod signal;
mod support;
mod sys;

pub use addr::Addr;
pub use arm::{HostKernel, LibraryKernel, SocketcallEntry, shown};
pub use check::{Outcome, Stop};
pub use expect::{Expectations, Kind, files as expectations};
pub use kernel::{Kernel, Ring, SocketCall};
pub use registry::{Needs, Test, all_tests};
pub use run::{Maker, RunOptions, Summary, run_tests};
pub use support::{reference_name, reference_names, support_document};
