//! What packets cross on the way from one host to another.
//!
//! A device does no I/O: packets and the time go in, packets and the next deadline come out. So far there is the
//! [`Segment`]: a switched link that joins hosts by their IP addresses. Impairments, captures and TAP devices are to come.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod segment;

pub use segment::{Arrival, AttachError, Port, Segment, SegmentConfig, SegmentCounters};
