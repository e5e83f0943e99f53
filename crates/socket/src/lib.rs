//! Linux's socket semantics over the engine: families, types, options, queues, readiness,
//! ancillary data and credentials.
//!
//! # Theory of operation
//!
//! A [`Host`] is the socket layer of one virtual host: every socket of it, the engine's stack and
//! the AF_UNIX namespace. Nothing here blocks, reads a clock or knows a descriptor.
//!
//! A call that may block is *attempted*: the attempt answers [`Attempt::Ready`] with what would be
//! returned and what has still to take effect, or [`Attempt::Blocked`] with the readiness to wait
//! for. What was ready takes effect when it is *committed*; dropping it leaves the socket as it
//! was. So a caller that cannot deliver a result (a signal took the task away) loses nothing.
//!
//! What happened to a socket comes out of [`Host::poll_event`] as the wake-ups Linux would do:
//! whoever drives the layer attempts parked calls again and tells pollers.
//!
//! This crate is the one place where errors become `errno` values (`error.rs`).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod call;
mod cred;
mod error;
mod family;
mod filter;
mod groups;
mod host;
mod inet;
mod mask;
mod message;
mod netlink;
mod options;
mod packet;
mod proc;
mod queues;
mod socket;
mod sure;
mod table;
mod tun;
mod unix;
mod virtio;

pub use call::{AcceptPlan, Attempt, Blocked, CloseOutcome, ConnectProgress, Cx, Event, Fail};
pub use cred::{Caps, Cred, IdMap};
pub use filter::{Attach, BpfId, BpfObject, FilterProgram, NamedProgram};
pub use host::{Host, HostConfig};
pub use inet::interface::{InterfaceSetting, interface_flags, may_administer};
pub use inet::route_ioctl::{ArpCall, ArpEntry, RouteEntry, RouteEntry6};
pub use mask::PollMask;
pub use message::{
    ControlOut, FileToken, Received, RecvProgress, RecvRequest, Right, SendControl, SendPlan,
    SendRequest, Skip, Ucred,
};
pub use options::{OptValue, OptionRow, Status, support_table};
pub use packet::fanout::FanoutData;
pub use packet::memory::{MakeRing, RingMemory};
pub use proc::{Inodes, ProcFile, ProcOpen, ProcReading, SysctlRow, Tunable, sysctl_table};
pub use table::SocketId;
pub use tun::{TunId, tun_argument};
pub use unix::paths::{Inode, MemoryPaths, Paths};
