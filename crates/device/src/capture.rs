//! Captures: packets as a pcapng file (draft-ietf-opsawg-pcapng), to be read by tshark(1) and its like.
//!
//! Bytes come out, in whole blocks; writing them is the caller's. Packets of links without a link layer are written from
//! the IP header on (LINKTYPE_RAW), frames from their Ethernet header on (LINKTYPE_ETHERNET), with all checksums, and the
//! time to the nanosecond. Segments that travel as one are written as the packets that they are on a wire.

use alloc::vec::Vec;
use core::time::Duration;

use switchboard_wire::{Body, Frame, FrameBody, Packet, TcpFlags, emit};

/// LINKTYPE_RAW: IPv4 or IPv6, as the first four bits say.
const LINKTYPE_RAW: u16 = 101;

/// LINKTYPE_ETHERNET.
const LINKTYPE_ETHERNET: u16 = 1;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

/// Which way a packet went, as seen by the interface that was listened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It came in.
    Inbound = 1,
    /// It went out.
    Outbound = 2,
}

/// What a file begins with: a section, and the interfaces in it, which packets name by their place.
pub fn capture_header(interfaces: &[&str]) -> Vec<u8> {
    let raw: Vec<(&str, bool)> = interfaces.iter().map(|name| (*name, false)).collect();
    capture_header_of(&raw)
}

/// [`capture_header`], of interfaces that have Ethernet, where it is true, or not.
pub fn capture_header_of(interfaces: &[(&str, bool)]) -> Vec<u8> {
    let mut body = Vec::new();
    // The byte-order magic, version 1.0, a section of unknown length.
    body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    body.extend_from_slice(&[1, 0, 0, 0]);
    body.extend_from_slice(&u64::MAX.to_le_bytes());
    option(&mut body, SHB_USERAPPL, b"switchboard");
    end_options(&mut body);
    let mut out = block(SECTION_HEADER, &body);
    for (name, ethernet) in interfaces {
        let mut body = Vec::new();
        let kind = if *ethernet {
            LINKTYPE_ETHERNET
        } else {
            LINKTYPE_RAW
        };
        body.extend_from_slice(&kind.to_le_bytes());
        // Reserved; packets are never cut.
        body.extend_from_slice(&[0; 6]);
        option(&mut body, IF_NAME, name.as_bytes());
        option(&mut body, IF_TSRESOL, &[9]);
        end_options(&mut body);
        out.extend(block(INTERFACE_DESCRIPTION, &body));
    }
    out
}

/// One packet, seen `at` this time since the epoch. `comment` is shown next to it.
pub fn capture_packet(
    interface: u32,
    at: Duration,
    seen: Seen,
    packet: &Packet,
    comment: Option<&str>,
) -> Vec<u8> {
    if packet.segments() > 1 {
        let all = packet.clone().split();
        return all
            .flat_map(|one| capture_packet(interface, at, seen, &one, comment))
            .collect();
    }
    // A segment that stays inside a host may be longer than an IP header can say: it is shown as the two that it would be
    // on a wire.
    if let Some([first, second]) = halves(packet) {
        let mut out = capture_packet(interface, at, seen, &first, comment);
        out.extend(capture_packet(interface, at, seen, &second, comment));
        return out;
    }
    capture_bytes(interface, at, seen, &emit(packet), comment)
}

/// [`capture_packet`], of what has crossed a link: with its Ethernet header, if it has one.
pub fn capture_frame(
    interface: u32,
    at: Duration,
    seen: Seen,
    frame: &Frame,
    comment: Option<&str>,
) -> Vec<u8> {
    match &frame.body {
        FrameBody::Ip(packet) if frame.link.is_none() => {
            capture_packet(interface, at, seen, packet, comment)
        }
        _ if frame.segments() > 1 => {
            let all = frame.clone().split();
            all.flat_map(|one| capture_frame(interface, at, seen, &one, comment))
                .collect()
        }
        _ => capture_bytes(interface, at, seen, &frame.emit(), comment),
    }
}

fn capture_bytes(
    interface: u32,
    at: Duration,
    seen: Seen,
    bytes: &[u8],
    comment: Option<&str>,
) -> Vec<u8> {
    let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let len = (bytes.len() as u32).to_le_bytes();
    let mut body = Vec::with_capacity(bytes.len() + 64);
    body.extend_from_slice(&interface.to_le_bytes());
    body.extend_from_slice(&((nanos >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&(nanos as u32).to_le_bytes());
    body.extend_from_slice(&len);
    body.extend_from_slice(&len);
    padded(&mut body, bytes);
    option(&mut body, EPB_FLAGS, &(seen as u32).to_le_bytes());
    if let Some(comment) = comment {
        option(&mut body, OPT_COMMENT, comment.as_bytes());
    }
    end_options(&mut body);
    block(ENHANCED_PACKET, &body)
}

/// A TCP segment whose length does not fit 16 bits, in two parts.
fn halves(packet: &Packet) -> Option<[Packet; 2]> {
    let too_long = packet.wire_len() > usize::from(u16::MAX);
    let Body::Tcp(tcp) = packet.body.clone() else {
        return None;
    };
    if !too_long {
        return None;
    }
    let half = tcp.payload.len() / 2;
    let (mut first, mut second) = (tcp.clone(), tcp);
    first.flags -= TcpFlags::FIN | TcpFlags::PSH;
    first.payload = first.payload.slice(..half);
    second.seq += half as u32;
    second.payload = second.payload.slice(half..);
    Some([first, second].map(|tcp| Packet {
        ip: packet.ip,
        body: Body::Tcp(tcp),
    }))
}

/// A block has its length at both ends.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32 + 12).to_le_bytes();
    let mut out = Vec::with_capacity(body.len() + 12);
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&len);
    out.extend_from_slice(body);
    out.extend_from_slice(&len);
    out
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    let rest = bytes.len().next_multiple_of(4) - bytes.len();
    out.extend_from_slice(&[0; 3][..rest]);
}

/// An option's length has 16 bits; what is longer is cut.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = value.len().min(u16::MAX.into());
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(len as u16).to_le_bytes());
    padded(out, &value[..len]);
}

fn end_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

#[cfg(test)]
mod tests;
