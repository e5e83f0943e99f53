//! Socket system calls as data: decoded from a guest's memory, attempted, parked, committed.
//!
//! # Theory of operation
//!
//! [`decode`] (a system-call number) and [`decode_socketcall`] (socketcall(2)) turn a caller's
//! registers into a typed [`Call`]. A [`Pending`] holds that call while it is carried out:
//! [`Pending::attempt`] answers [`Progress::Ready`] with a [`Reply`], or [`Progress::Blocked`] with
//! what to wait for; then it is attempted again when that readiness fires or its deadline passes.
//! The bytes of the guest are reached through [`Memory`], its descriptors through [`Files`].
//!
//! A reply has two halves: what the caller is told, and an [`Effect`] that makes it so. Whoever
//! drives the call delivers the first and then [commits](commit) the second; when the caller could
//! not be told (a signal took it away), [abandoning](abandon) the effect leaves the sockets as they
//! were. What cannot be taken back says so: [`Abandoned::Happened`].
//!
//! # Limits
//!
//! Linux's: [`UIO_MAXIOV`](switchboard_abi::number::UIO_MAXIOV) elements of a vector,
//! [`MAX_RW_COUNT`](switchboard_abi::number::MAX_RW_COUNT) bytes a call, 128 KiB of control
//! messages (`net.core.optmem_max`).
//!
//! Order of checks and partial results are those of Linux's `net/socket.c`, `net/compat.c`,
//! `net/core/scm.c` and `fs/read_write.c`, as observed from outside.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod call;
mod cmsg;
mod decode;
mod effect;
mod exec;
mod files;
mod memory;
mod msghdr;
mod pending;
mod replay;
mod support;
pub mod trace;

pub use call::{Call, MsgTimeout, Offset};
pub use decode::{decode, decode_socketcall};
pub use effect::{Abandoned, Committed, Effect, Install, Installed, Reply, abandon, commit};
pub use files::{FileRef, Files};
pub use memory::{Fault, IoVec, Memory};
pub use pending::{Interrupted, Parked, Pending, Progress};
pub use support::{Kind, SupportRow, support};
