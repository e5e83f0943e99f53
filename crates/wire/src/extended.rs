//! What few packets have between the IP header and what they carry: IPv4 options (RFC 791, 3.1), IPv6 extension headers
//! (RFC 8200, 4) and the place of a fragment.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::parse::parse_transport;
use crate::{Body, IpHeader, ParseError};

/// IPv6's hop-by-hop options.
pub const HOP_OPTIONS: u8 = 0;
/// IPv6's routing header.
pub const ROUTING: u8 = 43;
/// IPv6's fragment header.
pub const FRAGMENT: u8 = 44;
/// IPv6's destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// The body of a packet with more than a plain IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extended {
    /// Whether the packet is one of IPv6.
    pub v6: bool,
    /// IPv6: the extension headers in their order, but for that of a fragment. IPv4: the options, as one entry.
    pub headers: Vec<ExtHeader>,
    /// Which piece of a larger packet this is.
    pub fragment: Option<Fragment>,
    /// What comes behind; of a fragment uninterpreted bytes.
    pub body: Body,
}

/// One extension header, or the options of an IPv4 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtHeader {
    /// Its number, as the header before it names it; of no account in IPv4.
    pub kind: u8,
    /// The whole of it: of IPv6 with the octet that names the next header, which is written anew, a multiple of eight
    /// octets; of IPv4 a multiple of four.
    pub bytes: Bytes,
}

/// A piece of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What the pieces of one packet have in common; of IPv4 it is [`IpHeader::ident`] instead.
    pub ident: u32,
    /// Where the piece begins, in octets: a multiple of eight.
    pub offset: u32,
    /// There are more behind it.
    pub more: bool,
}

/// Length of IPv6's fragment header.
const FRAGMENT_LEN: usize = 8;

impl Extended {
    /// An IPv4 body behind these options, which are padded to whole words; the plain body without any.
    pub fn with_options(options: Bytes, fragment: Option<Fragment>, body: Body) -> Body {
        if options.is_empty() && fragment.is_none() {
            return body;
        }
        let mut headers = Vec::new();
        if !options.is_empty() {
            headers.push(ExtHeader {
                kind: 0,
                bytes: options,
            });
        }
        Body::Extended(alloc::boxed::Box::new(Extended {
            v6: false,
            headers,
            fragment,
            body,
        }))
    }

    /// An IPv6 body behind these headers; the plain body without any.
    pub fn with_headers(
        mut headers: Vec<ExtHeader>,
        fragment: Option<Fragment>,
        body: Body,
    ) -> Body {
        if headers.is_empty() && fragment.is_none() {
            return body;
        }
        let mut next = fragment.map_or(body.protocol(true), |_| FRAGMENT);
        for header in headers.iter_mut().rev() {
            if header.bytes.first() != Some(&next) {
                let mut bytes = header.bytes.to_vec();
                bytes.resize(bytes.len().max(1), 0);
                bytes[0] = next;
                header.bytes = Bytes::from(bytes);
            }
            next = header.kind;
        }
        Body::Extended(alloc::boxed::Box::new(Extended {
            v6: true,
            headers,
            fragment,
            body,
        }))
    }

    /// The octets between the IP header and the body.
    pub fn headers_len(&self) -> usize {
        let fragment = match self.fragment {
            Some(_) if self.v6 => FRAGMENT_LEN,
            _ => 0,
        };
        let headers: usize = self.headers.iter().map(|header| header.bytes.len()).sum();
        headers + fragment
    }

    /// The options of an IPv4 packet.
    pub fn options(&self) -> &[u8] {
        match self.headers.first() {
            Some(header) if !self.v6 => &header.bytes,
            _ => &[],
        }
    }

    /// What the IP header names as its protocol.
    pub fn first(&self) -> u8 {
        match (self.headers.first(), self.fragment) {
            (Some(header), _) if self.v6 => header.kind,
            (_, Some(_)) if self.v6 => FRAGMENT,
            _ => self.body.protocol(self.v6),
        }
    }

    /// The octets between the IP header and the body.
    pub fn push_headers(&self, out: &mut Vec<u8>) {
        if !self.v6 {
            return out.extend_from_slice(self.options());
        }
        let body = self.body.protocol(true);
        let last = self.fragment.map_or(body, |_| FRAGMENT);
        let next = self.headers.iter().skip(1).map(|header| header.kind);
        for (header, next) in self.headers.iter().zip(next.chain([last])) {
            out.push(next);
            out.extend_from_slice(header.bytes.get(1..).unwrap_or_default());
        }
        if let Some(fragment) = self.fragment {
            let place = (fragment.offset as u16) & !7 | u16::from(fragment.more);
            out.extend_from_slice(&[body, 0]);
            out.extend_from_slice(&place.to_be_bytes());
            out.extend_from_slice(&fragment.ident.to_be_bytes());
        }
    }
}

/// Whether an IPv6 header of this number is one that is represented in [`Extended`].
pub const fn is_extension(kind: u8) -> bool {
    matches!(kind, HOP_OPTIONS | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
}

/// What stands behind an IPv6 header that names `kind`: extension headers up to a fragment's, then the rest.
pub(crate) fn parse_chain(ip: &IpHeader, kind: u8, bytes: &[u8]) -> Result<Body, ParseError> {
    let mut headers = Vec::new();
    let (mut kind, mut rest) = (kind, bytes);
    loop {
        // Hop-by-hop options stand first or nowhere (RFC 8200, 4.1).
        let known = is_extension(kind) && (kind != HOP_OPTIONS || headers.is_empty());
        if !known {
            break;
        }
        let [next, len, ..] = *rest else {
            return Err(ParseError::Ip);
        };
        if kind == FRAGMENT {
            let (head, data) = rest
                .split_first_chunk::<FRAGMENT_LEN>()
                .ok_or(ParseError::Ip)?;
            let place = u16::from_be_bytes([head[2], head[3]]);
            let fragment = Fragment {
                ident: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
                offset: u32::from(place & !7),
                more: place & 1 != 0,
            };
            let body = Body::Other {
                protocol: next,
                payload: Bytes::copy_from_slice(data),
            };
            return Ok(Extended::with_headers(headers, Some(fragment), body));
        }
        let len = (usize::from(len) + 1) * 8;
        let header = rest.get(..len).ok_or(ParseError::Ip)?;
        headers.push(ExtHeader {
            kind,
            bytes: Bytes::copy_from_slice(header),
        });
        rest = &rest[len..];
        kind = next;
    }
    let body = parse_transport(ip, kind, rest)?;
    Ok(Extended::with_headers(headers, None, body))
}

/// How many octets of extension headers stand before the transport that an IPv6 packet of `kind` carries, and which that
/// is: of a packet that may be cut short. `None` of a later fragment, which carries none.
pub(crate) fn skip_chain(kind: u8, bytes: &[u8]) -> Option<(u8, usize)> {
    let (mut kind, mut at) = (kind, 0);
    while is_extension(kind) {
        let head: &[u8; 8] = bytes.get(at..)?.first_chunk()?;
        let len = match kind {
            FRAGMENT => {
                if u16::from_be_bytes([head[2], head[3]]) & !7 != 0 {
                    return None;
                }
                FRAGMENT_LEN
            }
            _ => (usize::from(head[1]) + 1) * 8,
        };
        at += len;
        kind = head[0];
    }
    (at <= bytes.len()).then_some((kind, at))
}

#[cfg(test)]
mod tests;
