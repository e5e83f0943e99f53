//! Bytes to packets.

use alloc::boxed::Box;
use core::net::IpAddr;

use bytes::Bytes;
use etherparse::checksum::Sum16BitWords;
use etherparse::{Ipv4Header, Ipv6Header, TcpSlice, UdpSlice};

use crate::emit::pseudo_sum;
use crate::extended::{is_extension, parse_chain, skip_chain};
use crate::{
    Body, Extended, FastOpenCookie, Fragment, IcmpMessage, IpHeader, Packet, Payload, Quoted,
    SeqNum, TcpFlags, TcpOptions, TcpSegment, Timestamps, UdpDatagram, Unreachable,
};

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The IP header is cut short, of no known version, or contradicts the length.
    #[error("malformed IP header")]
    Ip,
    /// The IPv4 header's checksum is wrong.
    #[error("wrong IPv4 header checksum")]
    IpChecksum,
    /// The TCP, UDP or ICMP header is cut short or contradicts the length.
    #[error("malformed transport header")]
    Transport,
    /// The TCP, UDP or ICMP checksum is wrong.
    #[error("wrong transport checksum")]
    TransportChecksum,
}

/// Parses one packet from its IP header on; checks lengths and checksums. Bytes behind the packet are ignored.
///
/// Never panics. What an IPv4 header has of options is kept as it is; unknown TCP options are dropped.
pub fn parse(bytes: &[u8]) -> Result<Packet, ParseError> {
    if bytes.first().is_some_and(|first| first >> 4 == 6) {
        let (header, rest) = Ipv6Header::from_slice(bytes).map_err(|_| ParseError::Ip)?;
        let ip = ip_from_v6(&header);
        // 0: more than the field can count, as inside a host.
        let len = match usize::from(header.payload_length) {
            0 => rest.len(),
            len => len,
        };
        let payload = rest.get(..len).ok_or(ParseError::Ip)?;
        let body = parse_body(&ip, header.next_header.0, payload)?;
        return Ok(Packet { ip, body });
    }
    let (header, rest) = Ipv4Header::from_slice(bytes).map_err(|_| ParseError::Ip)?;
    if !sums_up(None, &bytes[..header.header_len()]) {
        return Err(ParseError::IpChecksum);
    }
    let ip = ip_from_v4(&header);
    let len = header.payload_len().map_err(|_| ParseError::Ip)?;
    let payload = rest.get(..usize::from(len)).ok_or(ParseError::Ip)?;
    let fragment = fragment_of(&header);
    let body = match fragment {
        Some(_) => Body::Other {
            protocol: header.protocol.0,
            payload: Bytes::copy_from_slice(payload),
        },
        None => parse_body(&ip, header.protocol.0, payload)?,
    };
    let options = Bytes::copy_from_slice(header.options.as_slice());
    let body = Extended::with_options(options, fragment, body);
    Ok(Packet { ip, body })
}

fn fragment_of(header: &Ipv4Header) -> Option<Fragment> {
    let offset = u32::from(header.fragment_offset.value()) << 3;
    (header.more_fragments || offset > 0).then_some(Fragment {
        ident: u32::from(header.identification),
        offset,
        more: header.more_fragments,
    })
}

/// Parses what follows the IP header of a packet of this protocol; checks lengths and checksums.
///
/// Never panics. A protocol without a form of its own comes as [`Body::Other`], one behind extension headers of IPv6 as
/// [`Body::Extended`].
pub fn parse_body(ip: &IpHeader, protocol: u8, bytes: &[u8]) -> Result<Body, ParseError> {
    if ip.is_v6() && is_extension(protocol) {
        return parse_chain(ip, protocol, bytes);
    }
    parse_transport(ip, protocol, bytes)
}

/// [`parse_body`] of what stands behind the last extension header, or without any: nothing is taken for one.
pub fn parse_transport(ip: &IpHeader, protocol: u8, bytes: &[u8]) -> Result<Body, ParseError> {
    Ok(match protocol {
        6 => Body::Tcp(parse_tcp(ip, bytes)?),
        17 => Body::Udp(parse_udp(ip, bytes)?),
        136 => Body::Udp(parse_udp_lite(ip, bytes)?),
        1 if !ip.is_v6() => Body::Icmp(parse_icmp(ip, bytes)?),
        58 if ip.is_v6() => Body::Icmp(parse_icmp(ip, bytes)?),
        _ => Body::Other {
            protocol,
            payload: Bytes::copy_from_slice(bytes),
        },
    })
}

fn ip_from_v4(header: &Ipv4Header) -> IpHeader {
    IpHeader {
        src: IpAddr::from(header.source),
        dst: IpAddr::from(header.destination),
        hop_limit: header.time_to_live,
        tos: header.dscp.value() << 2 | header.ecn.value(),
        ident: header.identification,
        dont_fragment: header.dont_fragment,
        flow_label: 0,
    }
}

fn ip_from_v6(header: &Ipv6Header) -> IpHeader {
    IpHeader {
        src: IpAddr::from(header.source),
        dst: IpAddr::from(header.destination),
        hop_limit: header.hop_limit,
        tos: header.traffic_class,
        ident: 0,
        dont_fragment: true,
        flow_label: header.flow_label.value(),
    }
}

/// Whether the checksum over `bytes` (its field included) is right.
fn sums_up(pseudo: Option<(&IpHeader, u8)>, bytes: &[u8]) -> bool {
    let sum = match pseudo {
        Some((ip, protocol)) => pseudo_sum(ip, protocol, bytes.len()),
        None => Sum16BitWords::new(),
    };
    sum.add_slice(bytes).ones_complement() == 0
}

fn parse_tcp(ip: &IpHeader, bytes: &[u8]) -> Result<TcpSegment, ParseError> {
    let tcp = TcpSlice::from_slice(bytes).map_err(|_| ParseError::Transport)?;
    if !sums_up(Some((ip, 6)), bytes) {
        return Err(ParseError::TransportChecksum);
    }
    let mut flags = TcpFlags::empty();
    for (flag, set) in [
        (TcpFlags::FIN, tcp.fin()),
        (TcpFlags::SYN, tcp.syn()),
        (TcpFlags::RST, tcp.rst()),
        (TcpFlags::PSH, tcp.psh()),
        (TcpFlags::ACK, tcp.ack()),
        (TcpFlags::URG, tcp.urg()),
        (TcpFlags::ECE, tcp.ece()),
        (TcpFlags::CWR, tcp.cwr()),
        (TcpFlags::AE, tcp.ns()),
    ] {
        flags.set(flag, set);
    }
    let options = parse_options(tcp.options());
    Ok(TcpSegment {
        src_port: tcp.source_port(),
        dst_port: tcp.destination_port(),
        seq: SeqNum(tcp.sequence_number()),
        ack: SeqNum(tcp.acknowledgment_number()),
        flags,
        window: tcp.window_size(),
        urgent: tcp.urgent_pointer(),
        options,
        payload: Payload::from(tcp.payload()),
        gso: 0,
    })
}

/// tcp_parse_options: an option of a wrong length counts for nothing, one that runs over the end ends the list.
fn parse_options(bytes: &[u8]) -> TcpOptions {
    let mut options = TcpOptions::default();
    let mut rest = bytes;
    loop {
        let (kind, data) = match *rest {
            [] | [0, ..] => return options,
            [1, ref more @ ..] => {
                rest = more;
                continue;
            }
            [kind, len, ref more @ ..] => {
                let Some(n) = usize::from(len).checked_sub(2).filter(|n| *n <= more.len()) else {
                    return options;
                };
                rest = &more[n..];
                (kind, &more[..n])
            }
            [_] => return options,
        };
        let word =
            |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        match (kind, data.len()) {
            (2, 2) => options.mss = Some(u16::from_be_bytes([data[0], data[1]])),
            (3, 1) => options.window_scale = Some(data[0]),
            (4, 0) => options.sack_permitted = true,
            (5, 8 | 16 | 24 | 32) => {
                options.sack = Default::default();
                for at in (0..data.len()).step_by(8) {
                    options.sack.push(SeqNum(word(at)), SeqNum(word(at + 4)));
                }
            }
            (8, 8) => {
                options.timestamps = Some(Timestamps {
                    value: word(0),
                    echo: word(4),
                });
            }
            (crate::emit::MD5, 16) => options.md5 = data.try_into().ok(),
            (crate::emit::FAST_OPEN, _) => options.fastopen = FastOpenCookie::new(data),
            _ => {}
        }
    }
}

fn parse_udp(ip: &IpHeader, bytes: &[u8]) -> Result<UdpDatagram, ParseError> {
    let udp = UdpSlice::from_slice(bytes).map_err(|_| ParseError::Transport)?;
    // A zero field: no checksum (RFC 768). In IPv6 a receiver must want that (RFC 8200, 8.1), which is its to say.
    let unsummed = udp.checksum() == 0;
    if !unsummed && !sums_up(Some((ip, 17)), udp.slice()) {
        return Err(ParseError::TransportChecksum);
    }
    Ok(UdpDatagram {
        src_port: udp.source_port(),
        dst_port: udp.destination_port(),
        payload: Payload::from(udp.payload()),
        segment: 0,
        unsummed,
        lite: None,
    })
}

/// RFC 3828, 3.1: a coverage that holds less than the header or more than there is, and a checksum that is missing, are
/// reasons to throw the datagram away.
fn parse_udp_lite(ip: &IpHeader, bytes: &[u8]) -> Result<UdpDatagram, ParseError> {
    let [s0, s1, d0, d1, c0, c1, k0, k1, payload @ ..] = bytes else {
        return Err(ParseError::Transport);
    };
    let coverage = u16::from_be_bytes([*c0, *c1]);
    let covered = match usize::from(coverage) {
        0 => bytes.len(),
        n if n < UdpDatagram::HEADER_LEN || n > bytes.len() => return Err(ParseError::Transport),
        n => n,
    };
    let sum = pseudo_sum(ip, 136, bytes.len()).add_slice(&bytes[..covered]);
    if [*k0, *k1] == [0, 0] || sum.ones_complement() != 0 {
        return Err(ParseError::TransportChecksum);
    }
    Ok(UdpDatagram {
        src_port: u16::from_be_bytes([*s0, *s1]),
        dst_port: u16::from_be_bytes([*d0, *d1]),
        payload: Payload::from(payload),
        segment: 0,
        unsummed: false,
        lite: Some(coverage),
    })
}

fn parse_icmp(ip: &IpHeader, bytes: &[u8]) -> Result<IcmpMessage, ParseError> {
    let [kind, code, _, _, r0, r1, r2, r3, payload @ ..] = bytes else {
        return Err(ParseError::Transport);
    };
    let v6 = ip.is_v6();
    if !sums_up(v6.then_some((ip, 58)), bytes) {
        return Err(ParseError::TransportChecksum);
    }
    let (kind, code, rest) = (*kind, *code, u32::from_be_bytes([*r0, *r1, *r2, *r3]));
    let (ident, sequence) = ((rest >> 16) as u16, rest as u16);
    let data = || Bytes::copy_from_slice(payload);
    // An error whose quotation is unreadable or of the other family is kept as it is.
    let quoted = || {
        let mut quoted = parse_quoted(payload).filter(|q| q.ip.is_v6() == v6)?;
        // RFC 4884, 4.1 to 4.5: which messages can have an extension, and where they say so.
        quoted.words = match (v6, kind) {
            (false, 3 | 11 | 12) => *r1,
            (true, 1 | 3) => *r0,
            _ => 0,
        };
        Some(Box::new(quoted))
    };
    let known = match (v6, kind, code) {
        (false, 8, 0) | (true, 128, 0) => Some(IcmpMessage::EchoRequest {
            ident,
            sequence,
            payload: data(),
        }),
        (false, 0, 0) | (true, 129, 0) => Some(IcmpMessage::EchoReply {
            ident,
            sequence,
            payload: data(),
        }),
        (false, 3, code) => quoted().map(|original| {
            let mtu = if code == 4 { rest & 0xffff } else { 0 };
            IcmpMessage::Unreachable {
                code: Unreachable::from_v4(code),
                mtu,
                original,
            }
        }),
        (true, 1, code) => quoted().map(|original| IcmpMessage::Unreachable {
            code: Unreachable::from_v6(code),
            mtu: 0,
            original,
        }),
        (true, 2, _) => quoted().map(|original| IcmpMessage::Unreachable {
            code: Unreachable::PacketTooBig,
            mtu: rest,
            original,
        }),
        (false, 11, code) | (true, 3, code) => {
            quoted().map(|original| IcmpMessage::TimeExceeded { code, original })
        }
        (false, 12, code) => quoted().map(|original| IcmpMessage::ParameterProblem {
            code,
            pointer: rest >> 24,
            original,
        }),
        (true, 4, code) => quoted().map(|original| IcmpMessage::ParameterProblem {
            code,
            pointer: rest,
            original,
        }),
        _ => None,
    };
    Ok(known.unwrap_or_else(|| IcmpMessage::Other {
        kind,
        code,
        rest,
        payload: data(),
    }))
}

/// The start of a packet, as an error message quotes it: the IP header must be whole, the rest may be cut.
fn parse_quoted(bytes: &[u8]) -> Option<Quoted> {
    match bytes.first()? >> 4 {
        4 => {
            let (header, rest) = Ipv4Header::from_slice(bytes).ok()?;
            Some(Quoted {
                ip: ip_from_v4(&header),
                protocol: header.protocol.0,
                first: header.protocol.0,
                headers: Bytes::copy_from_slice(header.options.as_slice()),
                fragment: fragment_of(&header),
                length: header.payload_len().unwrap_or(0),
                transport: Bytes::copy_from_slice(rest),
                words: 0,
            })
        }
        6 => {
            let (header, rest) = Ipv6Header::from_slice(bytes).ok()?;
            let first = header.next_header.0;
            let (protocol, at) = skip_chain(first, rest).unwrap_or((first, 0));
            let (headers, rest) = rest.split_at(at);
            Some(Quoted {
                ip: ip_from_v6(&header),
                protocol,
                first,
                headers: Bytes::copy_from_slice(headers),
                fragment: None,
                length: header.payload_length.saturating_sub(at as u16),
                transport: Bytes::copy_from_slice(rest),
                words: 0,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
