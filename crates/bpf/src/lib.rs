//! BPF, as sockets use it: programs that decide over packets.
//!
//! # Theory of operation
//!
//! A program comes from somebody who is not trusted. It is checked once, when it is attached or
//! loaded, and then run for every packet; what the check lets pass can neither fail nor run for
//! ever, and each run is bounded all the same.
//!
//! [`classic`] is the BPF of `SO_ATTACH_FILTER`: two registers, sixteen words of memory, jumps
//! forward only.
//!
//! [`ebpf`] is the BPF of bpf(2): eleven registers, a stack, maps and helpers.
//!
//! A program sees the packet through [`Packet`], so that nobody has to make bytes of a packet that
//! is structured. Time and randomness come with the run ([`Env`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod classic;
pub mod ebpf;
mod env;
mod packet;

pub use env::Env;
pub use packet::{Bytes, Meta, Packet, SocketFields, Which};
