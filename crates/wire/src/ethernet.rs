//! Ethernet frames and ARP (RFC 826) as values.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use crate::{Packet, emit, parse};

/// EtherType of IPv4, ARP and IPv6.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// A hardware address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everyone on the link.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// None: the target of an ARP request.
    pub const ZERO: Mac = Mac([0; 6]);

    /// Whether it is a group's, or everyone's.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether a host may have it (is_valid_ether_addr).
    pub fn is_unicast(self) -> bool {
        !self.is_group() && self != Mac::ZERO
    }

    /// Where packets to a group go (RFC 1112, 6.4; RFC 2464, 7). Of no group: everyone.
    pub const fn of_group(group: IpAddr) -> Mac {
        match group {
            IpAddr::V4(v4) if v4.is_multicast() => {
                let [_, b, c, d] = v4.octets();
                Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
            }
            IpAddr::V6(v6) => {
                let o = v6.octets();
                Mac([0x33, 0x33, o[12], o[13], o[14], o[15]])
            }
            IpAddr::V4(_) => Mac::BROADCAST,
        }
    }

    /// The link-local address that an interface makes of it (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let word = |high: u8, low: u8| (high as u16) << 8 | low as u16;
        let (first, second) = (word(a ^ 2, b), word(c, 0xff));
        Ipv6Addr::new(0xfe80, 0, 0, 0, first, second, word(0xfe, d), word(e, f))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The addresses of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Who is to take it.
    pub dst: Mac,
    /// Who sent it.
    pub src: Mac,
}

impl Ethernet {
    /// Length of the header, with the EtherType.
    pub const LEN: usize = 14;
}

/// What crosses a link at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its addresses; `None` on a link without a link layer, which carries IP packets only.
    pub link: Option<Ethernet>,
    /// What it carries.
    pub body: FrameBody,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameBody {
    /// An IP packet.
    Ip(Packet),
    /// ARP for IPv4.
    Arp(Arp),
    /// Anything else, uninterpreted; also an IP packet that is none.
    Other {
        /// The EtherType, or the length of an IEEE 802.3 frame.
        ethertype: u16,
        /// What follows it.
        payload: Bytes,
    },
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1: request, 2: reply.
    pub operation: u16,
    /// Who speaks.
    pub sender: (Mac, Ipv4Addr),
    /// Who is asked for, or told.
    pub target: (Mac, Ipv4Addr),
}

impl Arp {
    /// ares_op$REQUEST
    pub const REQUEST: u16 = 1;
    /// ares_op$REPLY
    pub const REPLY: u16 = 2;
    /// Length on the wire.
    pub const LEN: usize = 28;

    fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Arp::LEN);
        // Ethernet, IPv4, and the lengths of their addresses.
        out.extend_from_slice(&[0, 1, 8, 0, 6, 4]);
        out.extend_from_slice(&self.operation.to_be_bytes());
        for (mac, ip) in [self.sender, self.target] {
            out.extend_from_slice(&mac.0);
            out.extend_from_slice(&ip.octets());
        }
        out
    }

    fn parse(bytes: &[u8]) -> Option<Arp> {
        let bytes: &[u8; Arp::LEN] = bytes.first_chunk()?;
        if bytes[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        let pair = |at: usize| {
            let (mut mac, mut ip) = ([0; 6], [0; 4]);
            mac.copy_from_slice(&bytes[at..at + 6]);
            ip.copy_from_slice(&bytes[at + 6..at + 10]);
            (Mac(mac), ip.into())
        };
        Some(Arp {
            operation: u16::from_be_bytes([bytes[6], bytes[7]]),
            sender: pair(8),
            target: pair(18),
        })
    }
}

impl From<Packet> for Frame {
    /// On a link without a link layer.
    fn from(packet: Packet) -> Frame {
        Frame {
            link: None,
            body: FrameBody::Ip(packet),
        }
    }
}

impl Frame {
    /// Length on the wire from the network layer's header on: what an MTU is about.
    pub fn wire_len(&self) -> usize {
        match &self.body {
            FrameBody::Ip(packet) => packet.wire_len(),
            FrameBody::Arp(_) => Arp::LEN,
            FrameBody::Other { payload, .. } => payload.len(),
        }
    }

    /// The IP packet in it.
    pub fn packet(&self) -> Option<&Packet> {
        match &self.body {
            FrameBody::Ip(packet) => Some(packet),
            _ => None,
        }
    }

    /// The EtherType.
    pub fn ethertype(&self) -> u16 {
        match &self.body {
            FrameBody::Ip(packet) if packet.ip.is_v6() => IPV6,
            FrameBody::Ip(_) => IPV4,
            FrameBody::Arp(_) => ARP,
            FrameBody::Other { ethertype, .. } => *ethertype,
        }
    }

    /// What follows the EtherType, as bytes.
    pub fn payload(&self) -> Bytes {
        match &self.body {
            FrameBody::Ip(packet) => emit(packet).into(),
            FrameBody::Arp(arp) => arp.emit().into(),
            FrameBody::Other { payload, .. } => payload.clone(),
        }
    }

    /// Its bytes, from the Ethernet header on if it has one.
    pub fn emit(&self) -> Vec<u8> {
        let payload = self.payload();
        let mut out = Vec::with_capacity(Ethernet::LEN + payload.len());
        if let Some(link) = self.link {
            out.extend_from_slice(&link.dst.0);
            out.extend_from_slice(&link.src.0);
            out.extend_from_slice(&self.ethertype().to_be_bytes());
        }
        out.extend_from_slice(&payload);
        out
    }

    /// Reads an Ethernet frame without its check sequence; `None` where it is too short to be one.
    pub fn parse(bytes: &[u8]) -> Option<Frame> {
        let (head, rest) = bytes.split_first_chunk::<{ Ethernet::LEN }>()?;
        let mac = |at: usize| {
            let mut mac = [0; 6];
            mac.copy_from_slice(&head[at..at + 6]);
            Mac(mac)
        };
        let link = Ethernet {
            dst: mac(0),
            src: mac(6),
        };
        let ethertype = u16::from_be_bytes([head[12], head[13]]);
        Some(Frame {
            link: Some(link),
            body: FrameBody::parse(ethertype, rest),
        })
    }
}

impl FrameBody {
    /// What these bytes of an EtherType are. What cannot be read is [`FrameBody::Other`].
    pub fn parse(ethertype: u16, bytes: &[u8]) -> FrameBody {
        let version = bytes.first().map_or(0, |first| first >> 4);
        let known = match (ethertype, version) {
            (IPV4, 4) | (IPV6, 6) => parse(bytes).ok().map(FrameBody::Ip),
            (ARP, _) => Arp::parse(bytes).map(FrameBody::Arp),
            _ => None,
        };
        known.unwrap_or_else(|| FrameBody::Other {
            ethertype,
            payload: Bytes::copy_from_slice(bytes),
        })
    }
}

#[cfg(test)]
mod tests;
