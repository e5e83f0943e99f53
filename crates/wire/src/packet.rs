//! IP packets and UDP datagrams as values.

use alloc::boxed::Box;
use core::net::IpAddr;

use bytes::Bytes;

use crate::{Extended, IcmpMessage, Payload, TcpSegment};

/// One IP packet, structured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The IP header.
    pub ip: IpHeader,
    /// What it carries.
    pub body: Body,
}

/// The IPv4 or IPv6 header; which one follows from the family of the addresses.
///
/// IPv4 options and IPv6 extension headers stand with the body ([`Extended`]). `src` and `dst` are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IPv4 time to live, IPv6 hop limit.
    pub hop_limit: u8,
    /// IPv4 type of service, IPv6 traffic class (DSCP and ECN).
    pub tos: u8,
    /// IPv4 identification; 0 in IPv6.
    pub ident: u16,
    /// IPv4's DF bit; true in IPv6, which routers never fragment.
    pub dont_fragment: bool,
    /// IPv6 flow label (20 bits); 0 in IPv4.
    pub flow_label: u32,
}

impl IpHeader {
    /// A header with Linux's defaults: 64 hops, best effort, don't fragment.
    #[inline]
    pub const fn new(src: IpAddr, dst: IpAddr) -> IpHeader {
        IpHeader {
            src,
            dst,
            hop_limit: 64,
            tos: 0,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
        }
    }

    /// Whether this is an IPv6 header.
    #[inline]
    pub const fn is_v6(&self) -> bool {
        self.dst.is_ipv6()
    }

    /// Length of the header on the wire, without options.
    #[inline]
    pub const fn header_len(&self) -> usize {
        if self.is_v6() { 40 } else { 20 }
    }
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// TCP, protocol 6.
    Tcp(TcpSegment),
    /// UDP, protocol 17, and UDP-Lite, 136.
    Udp(UdpDatagram),
    /// ICMP (protocol 1) in an IPv4 packet, ICMPv6 (58) in an IPv6 packet.
    Icmp(IcmpMessage),
    /// Any other protocol, uninterpreted.
    Other {
        /// The IP protocol number.
        protocol: u8,
        /// The bytes after the IP header.
        payload: Bytes,
    },
    /// Any of these behind IPv4 options or IPv6 extension headers, or a piece of it.
    Extended(Box<Extended>),
}

/// A UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpDatagram {
    /// Source port; 0 when no reply is wanted (RFC 768).
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// The data.
    pub payload: Payload,
    /// Not 0: the data is that of several datagrams, each of this size but for the last (UDP_SEGMENT). Inside a host
    /// only.
    pub segment: u16,
    /// The checksum field is 0: there is none (RFC 768; RFC 6935 for IPv6).
    pub unsummed: bool,
    /// The checksum coverage of a UDP-Lite datagram as its header says it (RFC 3828, 3.1); `None`: UDP.
    pub lite: Option<u16>,
}

impl Packet {
    /// The IP protocol number.
    pub fn protocol(&self) -> u8 {
        self.body.protocol(self.ip.is_v6())
    }

    /// Length of the whole packet on the wire.
    pub fn wire_len(&self) -> usize {
        self.ip.header_len() + self.body.wire_len()
    }
}

impl Body {
    /// The IP protocol number in a packet of this version.
    pub fn protocol(&self, v6: bool) -> u8 {
        match self {
            Body::Tcp(_) => 6,
            Body::Udp(udp) => udp.protocol(),
            Body::Icmp(_) if v6 => 58,
            Body::Icmp(_) => 1,
            Body::Other { protocol, .. } => *protocol,
            Body::Extended(extended) => extended.first(),
        }
    }

    /// Length on the wire.
    pub fn wire_len(&self) -> usize {
        match self {
            Body::Tcp(tcp) => tcp.header_len() + tcp.payload.len(),
            Body::Udp(udp) => UdpDatagram::HEADER_LEN + udp.payload.len(),
            Body::Icmp(icmp) => icmp.wire_len(),
            Body::Other { payload, .. } => payload.len(),
            Body::Extended(extended) => extended.headers_len() + extended.body.wire_len(),
        }
    }
}

impl UdpDatagram {
    /// Length of the header (RFC 768).
    pub const HEADER_LEN: usize = 8;

    /// The IP protocol number: UDP's or UDP-Lite's.
    pub const fn protocol(&self) -> u8 {
        match self.lite {
            None => 17,
            Some(_) => 136,
        }
    }

    /// How much of a UDP-Lite datagram its checksum covers, when that is not all of it.
    pub fn partly_covered(&self) -> Option<u16> {
        // RFC 3828, 3.1: a coverage of zero is all.
        let covered = self.lite.filter(|coverage| *coverage != 0)?;
        (usize::from(covered) < Self::HEADER_LEN + self.payload.len()).then_some(covered)
    }
}
