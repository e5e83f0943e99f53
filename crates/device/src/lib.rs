//! What packets cross on the way from one host to another.
//!
//! Most devices do no I/O: packets, the time and a seeded generator go in, packets and the next deadline come out. A
//! [`Link`] joins two interfaces, and each of its directions is a [`Pipe`] with the impairments of tc-netem(8), a rate and
//! a queue. A [`Segment`] is a switch: many hosts, each at the end of a cable that is a link.
//!
//! With the feature `host` there are devices of the machine that this runs on: [`Tun`], a real TUN or TAP device, whose
//! system calls are the one place of the crate with unsafe code, and [`Nat`], a gateway to the machine's own sockets.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(feature = "host")]
extern crate std;

mod calendar;
mod capture;
mod chance;
mod codel;
mod corrupt;
mod counters;
mod delay;
mod fq_codel;
mod link;
mod loss;
#[cfg(feature = "host")]
mod nat;
#[cfg(feature = "host")]
mod outlet;
mod pipe;
mod qdisc;
mod queue;
mod random;
mod segment;
#[cfg(test)]
mod testing;
#[cfg(feature = "host")]
mod tun;

pub use calendar::Calendar;
pub use capture::{Seen, capture_frame, capture_header, capture_header_of, capture_packet};
pub use chance::{Chance, Probability};
pub use codel::CodelConfig;
pub use counters::PipeCounters;
pub use delay::{Delay, Distribution};
pub use fq_codel::{FqCodelConfig, target_for_rate};
pub use link::{End, Link};
pub use loss::Loss;
#[cfg(feature = "host")]
pub use nat::{
    NAT_MTU, Nat, NatAddresses, NatConfig, NatCounts, NatSubnet, Publish, PublishProtocol,
};
#[cfg(feature = "host")]
pub use outlet::Outlet;
pub use pipe::{Label, Pipe, PipeConfig, Rate, Reorder};
pub use qdisc::{
    Discipline, NetemConfig, QdiscChain, QdiscCounters, QdiscLen, RateSpec, TbfConfig,
};
pub use queue::{FifoConfig, QueueConfig};
pub use random::Random;
pub use segment::{
    AGEING, Arrival, AttachError, Cable, LEARNED, Port, Segment, SegmentConfig, SegmentCounters,
};
#[cfg(feature = "host")]
pub use tun::{Tun, TunConfig, TunKind};
