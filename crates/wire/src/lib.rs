//! Packets as values, and as the bytes that leave a host.
//!
//! Inside Switchboard a packet is a [`Packet`]: parsed headers and reference-counted payload. It becomes bytes with
//! [`emit`] only where it leaves (TAP, capture, raw socket) and comes back with [`parse`].
//!
//! # Panic contract
//! [`parse`] returns `Ok` or `Err` for every input and never panics. [`emit`] never panics for any [`Packet`]; a
//! length that its 16-bit header field cannot hold is written as 0, as Linux does for packets larger than 64 KiB.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod emit;
mod ethernet;
mod extended;
mod gso;
mod icmp;
mod packet;
mod parse;
mod payload;
mod seq;
mod tcp;

pub use emit::{
    checksum, emit, emit_body, emit_ip_header, emit_parts, emit_tcp_headers, emit_udp_headers,
    tcp_fixed_header,
};
pub use ethernet::{Arp, Ethernet, Frame, FrameBody, Mac};
pub use extended::{
    DESTINATION_OPTIONS, ExtHeader, Extended, FRAGMENT, Fragment, HOP_OPTIONS, ROUTING,
    is_extension,
};
pub use icmp::{IcmpMessage, Quoted, Unreachable};
pub use packet::{Body, IpHeader, Packet, UdpDatagram};
pub use parse::{ParseError, parse, parse_body, parse_transport};
pub use payload::{IntoIter, Payload};
pub use seq::SeqNum;
pub use tcp::{FastOpenCookie, SackList, TcpFlags, TcpOptions, TcpSegment, Timestamps};
