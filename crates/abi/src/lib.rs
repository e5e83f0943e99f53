//! Linux's socket numbers and memory layouts, for LP64 and ILP32 programs.
//!
//! This crate has no behaviour: it names numbers ([`number`]), error numbers ([`Errno`]), the
//! layouts of the structures that cross the system-call boundary ([`layout`], [`sockaddr`],
//! [`tcp_info`]), the argument table of socketcall(2) ([`socketcall`]) and the system-call numbers
//! of the two architectures that an x86-64 Linux runs ([`sysno`]).
//!
//! The numbers come from the kernel's own headers by way of `linux-raw-sys`; the layouts are
//! checked against `libc` in this crate's tests.
#![no_std]
#![forbid(unsafe_code)]

mod errno;
pub mod layout;
pub mod number;
pub mod sockaddr;
pub mod socketcall;
pub mod sysno;
pub mod tcp_info;

pub use errno::Errno;
pub use layout::Word;
pub use sockaddr::SockAddr;

#[cfg(test)]
mod tests;
