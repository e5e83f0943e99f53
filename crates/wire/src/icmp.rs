//! ICMP messages of both versions as values.

use alloc::boxed::Box;
use bytes::Bytes;

use crate::extended::skip_chain;
use crate::{Body, Fragment, IpHeader, Packet, SeqNum, emit};

/// An ICMP (RFC 792) or ICMPv6 (RFC 4443) message; which one follows from the family of the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IcmpMessage {
    /// Type 8, or 128 in ICMPv6.
    EchoRequest {
        /// Tells senders apart.
        ident: u16,
        /// Tells requests apart.
        sequence: u16,
        /// Comes back in the reply.
        payload: Bytes,
    },
    /// Type 0, or 129 in ICMPv6.
    EchoReply {
        /// From the request.
        ident: u16,
        /// From the request.
        sequence: u16,
        /// From the request.
        payload: Bytes,
    },
    /// Type 3; in ICMPv6 type 1, and type 2 for [`Unreachable::PacketTooBig`].
    Unreachable {
        /// Why.
        code: Unreachable,
        /// Next-hop MTU with [`Unreachable::PacketTooBig`] (RFC 1191, RFC 8201), else 0.
        mtu: u32,
        /// The packet that could not be delivered.
        original: Box<Quoted>,
    },
    /// Type 11, or 3 in ICMPv6. Code 0: hop limit exceeded; 1: reassembly time exceeded.
    TimeExceeded {
        /// The code as on the wire.
        code: u8,
        /// The packet that was dropped.
        original: Box<Quoted>,
    },
    /// Type 12, or 4 in ICMPv6.
    ParameterProblem {
        /// The code as on the wire.
        code: u8,
        /// Offset of the octet at fault; 8 bits in IPv4.
        pointer: u32,
        /// The packet that was dropped.
        original: Box<Quoted>,
    },
    /// Any other message, uninterpreted.
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The four bytes after the checksum.
        rest: u32,
        /// The bytes after that.
        payload: Bytes,
    },
}

/// Why a destination is unreachable: the codes that both versions know, and the others by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// Network unreachable (v4 code 0), no route to destination (v6 code 0).
    Net,
    /// Host unreachable (v4 code 1), address unreachable (v6 code 3).
    Host,
    /// Protocol unreachable (v4 code 2); ICMPv6 says this with a parameter problem.
    Protocol,
    /// Port unreachable (v4 code 3, v6 code 4).
    Port,
    /// Fragmentation needed and DF set (v4 code 4); ICMPv6's type 2, packet too big.
    PacketTooBig,
    /// Communication administratively prohibited (v4 code 13, v6 code 1).
    AdminProhibited,
    /// Another code of the message's version.
    Code(u8),
}

/// The start of the packet that an ICMP error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Its IP header.
    pub ip: IpHeader,
    /// The number of the protocol that it carries, behind whatever extension headers it has.
    pub protocol: u8,
    /// What its IP header names as the protocol: of IPv6 the first of the extension headers, if there are any.
    pub first: u8,
    /// Its IPv4 options, or its IPv6 extension headers.
    pub headers: Bytes,
    /// Which piece of an IPv4 packet it was.
    pub fragment: Option<Fragment>,
    /// Length of what followed the headers before it was cut.
    pub length: u16,
    /// What followed the headers, cut.
    pub transport: Bytes,
    /// How much of the message the packet takes, where an extension follows it: in words of four bytes, of ICMPv6 in
    /// words of eight (RFC 4884, 4); 0 says nothing.
    pub words: u8,
}

impl IcmpMessage {
    /// Length on the wire.
    pub fn wire_len(&self) -> usize {
        8 + match self {
            IcmpMessage::EchoRequest { payload, .. }
            | IcmpMessage::EchoReply { payload, .. }
            | IcmpMessage::Other { payload, .. } => payload.len(),
            IcmpMessage::Unreachable { original, .. }
            | IcmpMessage::TimeExceeded { original, .. }
            | IcmpMessage::ParameterProblem { original, .. } => {
                original.ip.header_len() + original.headers.len() + original.transport.len()
            }
        }
    }

    /// The quoted packet, when this is an error message.
    pub fn original(&self) -> Option<&Quoted> {
        match self {
            IcmpMessage::Unreachable { original, .. }
            | IcmpMessage::TimeExceeded { original, .. }
            | IcmpMessage::ParameterProblem { original, .. } => Some(original),
            _ => None,
        }
    }

    /// Type and code, as they are on the wire.
    pub fn type_and_code(&self, v6: bool) -> (u8, u8) {
        match (self, v6) {
            (IcmpMessage::EchoRequest { .. }, false) => (8, 0),
            (IcmpMessage::EchoRequest { .. }, true) => (128, 0),
            (IcmpMessage::EchoReply { .. }, false) => (0, 0),
            (IcmpMessage::EchoReply { .. }, true) => (129, 0),
            (IcmpMessage::Unreachable { code, .. }, false) => (3, code.to_v4()),
            (IcmpMessage::Unreachable { code, .. }, true) => code.to_v6(),
            (IcmpMessage::TimeExceeded { code, .. }, false) => (11, *code),
            (IcmpMessage::TimeExceeded { code, .. }, true) => (3, *code),
            (IcmpMessage::ParameterProblem { code, .. }, false) => (12, *code),
            (IcmpMessage::ParameterProblem { code, .. }, true) => (4, *code),
            (IcmpMessage::Other { kind, code, .. }, _) => (*kind, *code),
        }
    }

    /// Whether this is an error message, to which no error may be sent (RFC 1122, 3.2.2; RFC 4443, 2.4 e).
    pub fn is_error(&self, v6: bool) -> bool {
        match self {
            IcmpMessage::Other { kind, .. } if v6 => *kind < 128,
            // Source quench and redirect.
            IcmpMessage::Other { kind, .. } => matches!(kind, 4 | 5),
            other => other.original().is_some(),
        }
    }
}

impl Unreachable {
    /// The code of an ICMP type 3 message.
    pub const fn to_v4(self) -> u8 {
        match self {
            Unreachable::Net => 0,
            Unreachable::Host => 1,
            Unreachable::Protocol => 2,
            Unreachable::Port => 3,
            Unreachable::PacketTooBig => 4,
            Unreachable::AdminProhibited => 13,
            Unreachable::Code(code) => code,
        }
    }

    /// From the code of an ICMP type 3 message.
    pub const fn from_v4(code: u8) -> Unreachable {
        match code {
            0 => Unreachable::Net,
            1 => Unreachable::Host,
            2 => Unreachable::Protocol,
            3 => Unreachable::Port,
            4 => Unreachable::PacketTooBig,
            13 => Unreachable::AdminProhibited,
            code => Unreachable::Code(code),
        }
    }

    /// Type and code of an ICMPv6 message. A protocol that is unreachable has no code of its own there (RFC 4443, 3.4
    /// uses a parameter problem); as an unreachable message it is written with code 0.
    pub const fn to_v6(self) -> (u8, u8) {
        match self {
            Unreachable::Net | Unreachable::Protocol => (1, 0),
            Unreachable::AdminProhibited => (1, 1),
            Unreachable::Host => (1, 3),
            Unreachable::Port => (1, 4),
            Unreachable::PacketTooBig => (2, 0),
            Unreachable::Code(code) => (1, code),
        }
    }

    /// From the code of an ICMPv6 type 1 message.
    pub const fn from_v6(code: u8) -> Unreachable {
        match code {
            0 => Unreachable::Net,
            1 => Unreachable::AdminProhibited,
            3 => Unreachable::Host,
            4 => Unreachable::Port,
            code => Unreachable::Code(code),
        }
    }
}

impl Quoted {
    /// Quotes `packet`, as much of it as an error message may carry: 576 bytes in all for IPv4 (RFC 1812, 4.3.2.3, as
    /// Linux does), 1280 for IPv6 (RFC 4443, 2.4 c).
    pub fn of(packet: &Packet) -> Quoted {
        Quoted::beside(packet, 0)
    }

    /// [`of`](Self::of) when the error itself has so many octets of IPv4 options.
    pub fn beside(packet: &Packet, options: usize) -> Quoted {
        let v6 = packet.ip.is_v6();
        let limit: usize = if v6 { 1280 } else { 576 };
        let header = packet.ip.header_len();
        // The outer IP header, the ICMP header and the quoted IP header also count.
        let room = limit - header - options.min(40) - 8 - header;
        let mut bytes = emit(packet);
        let whole = bytes.len();
        bytes.truncate(header + room);
        let bytes = Bytes::from(bytes).slice(header..);
        let first = packet.protocol();
        let (protocol, at) = match &packet.body {
            Body::Extended(extended) if !v6 => (first, extended.headers_len()),
            _ if v6 => skip_chain(first, &bytes).unwrap_or((first, 0)),
            _ => (first, 0),
        };
        let fragment = match &packet.body {
            Body::Extended(extended) if !v6 => extended.fragment,
            _ => None,
        };
        Quoted {
            ip: packet.ip,
            protocol,
            first,
            headers: bytes.slice(..at),
            fragment,
            length: u16::try_from(whole - header - at).unwrap_or(0),
            transport: bytes.slice(at..),
            words: 0,
        }
    }

    /// A packet of this protocol with a plain header: `length` octets of which `transport` are left.
    pub fn plain(ip: IpHeader, protocol: u8, length: u16, transport: Bytes) -> Quoted {
        Quoted {
            ip,
            protocol,
            first: protocol,
            headers: Bytes::new(),
            fragment: None,
            length,
            transport,
            words: 0,
        }
    }

    /// Source and destination port, when the protocol has them and they were quoted.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match (self.protocol, &self.transport[..]) {
            // TCP, DCCP, UDP, SCTP and UDP-Lite begin with the ports.
            (6 | 17 | 33 | 132 | 136, [a, b, c, d, ..]) => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            _ => None,
        }
    }

    /// The sequence number of a quoted TCP segment.
    pub fn tcp_seq(&self) -> Option<SeqNum> {
        match (self.protocol, &self.transport[..]) {
            (6, [_, _, _, _, a, b, c, d, ..]) => Some(SeqNum(u32::from_be_bytes([*a, *b, *c, *d]))),
            _ => None,
        }
    }
}
