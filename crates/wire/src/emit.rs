//! Packets to bytes.

use alloc::vec::Vec;
use core::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header, TcpHeader,
    TcpOptionElement,
};

use crate::tcp::MD5_LEN;
use crate::{
    Body, Fragment, IcmpMessage, IpHeader, Packet, Quoted, TcpOptions, TcpSegment, UdpDatagram,
};

/// The packet as bytes from the IP header on, with all lengths and checksums filled in.
///
/// A length that does not fit 16 bits is written as 0, as Linux does for its big packets inside a host.
pub fn emit(packet: &Packet) -> Vec<u8> {
    emit_parts(&packet.ip, &packet.body)
}

/// [`emit`] of a packet whose parts stand apart.
pub fn emit_parts(ip: &IpHeader, body: &Body) -> Vec<u8> {
    let body_len = body.wire_len();
    let mut out = Vec::with_capacity(ip.header_len() + body_len);
    match body {
        Body::Extended(extended) if !ip.is_v6() => {
            let protocol = extended.body.protocol(false);
            let (options, fragment) = (extended.options(), extended.fragment);
            let len = extended.body.wire_len();
            push_v4(&mut out, ip, protocol, len, options, fragment);
            push_body(&mut out, ip, &extended.body);
            return out;
        }
        _ => push_ip(&mut out, ip, body.protocol(ip.is_v6()), body_len),
    }
    push_body(&mut out, ip, body);
    out
}

/// What follows the IP header, as bytes: a transport's header and data with the checksum filled in.
pub fn emit_body(ip: &IpHeader, body: &Body) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.wire_len());
    push_body(&mut out, ip, body);
    out
}

/// The checksum of `bytes`, as it stands in a header whose own field is zero (RFC 1071); with the pseudo header of
/// `pseudo`'s addresses and protocol when it is given.
pub fn checksum(pseudo: Option<(&IpHeader, u8)>, bytes: &[u8]) -> [u8; 2] {
    let sum = match pseudo {
        Some((ip, protocol)) => pseudo_sum(ip, protocol, bytes.len()),
        None => Sum16BitWords::new(),
    };
    // etherparse sums words as they lie in memory, so the result is in memory order too.
    sum.add_slice(bytes).ones_complement().to_ne_bytes()
}

fn push_body(out: &mut Vec<u8>, ip: &IpHeader, body: &Body) {
    let at = out.len();
    match body {
        Body::Tcp(tcp) => {
            push_tcp(out, tcp);
            fill_checksum(out, at, 16, Some((ip, 6)));
        }
        Body::Udp(udp) => {
            push_udp(out, udp);
            if udp.lite.is_some() || !udp.unsummed {
                let covered = udp.partly_covered().map_or(out.len() - at, usize::from);
                // RFC 3828, 3.1: the pseudo header says the whole length, whatever is covered.
                let sum = pseudo_sum(ip, udp.protocol(), out.len() - at)
                    .add_slice(&out[at..at + covered]);
                out[at + 6..at + 8].copy_from_slice(&sum.ones_complement().to_ne_bytes());
                // A computed 0 is sent as all ones: 0 means "no checksum" (RFC 768).
                if out[at + 6..at + 8] == [0, 0] {
                    out[at + 6..at + 8].fill(0xff);
                }
            }
        }
        Body::Icmp(icmp) => {
            let v6 = ip.is_v6();
            push_icmp(out, icmp, v6);
            // Only ICMPv6 has a pseudo header (RFC 4443, 2.3).
            fill_checksum(out, at, 2, v6.then_some((ip, 58)));
        }
        Body::Other { payload, .. } => out.extend_from_slice(payload),
        Body::Extended(extended) => {
            extended.push_headers(out);
            push_body(out, ip, &extended.body);
        }
    }
}

fn v6_bytes(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V6(addr) => addr.octets(),
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
    }
}

fn v4_bytes(addr: IpAddr) -> [u8; 4] {
    match addr {
        IpAddr::V4(addr) => addr.octets(),
        IpAddr::V6(addr) => addr.to_ipv4_mapped().map_or([0; 4], |addr| addr.octets()),
    }
}

fn push_ip(out: &mut Vec<u8>, ip: &IpHeader, protocol: u8, body_len: usize) {
    if ip.is_v6() {
        let header = Ipv6Header {
            traffic_class: ip.tos,
            flow_label: Ipv6FlowLabel::try_new(ip.flow_label & 0xf_ffff).unwrap_or_default(),
            payload_length: u16::try_from(body_len).unwrap_or(0),
            next_header: IpNumber(protocol),
            hop_limit: ip.hop_limit,
            source: v6_bytes(ip.src),
            destination: v6_bytes(ip.dst),
        };
        out.extend_from_slice(&header.to_bytes());
        return;
    }
    push_v4(out, ip, protocol, body_len, &[], None);
}

/// An IPv4 header with its options; more than the header's length can count are left out.
fn push_v4(
    out: &mut Vec<u8>,
    ip: &IpHeader,
    protocol: u8,
    body_len: usize,
    options: &[u8],
    fragment: Option<Fragment>,
) {
    let options = Ipv4Options::try_from(options).unwrap_or_default();
    let length = ip.header_len() + options.len() + body_len;
    let offset = fragment.map_or(0, |fragment| (fragment.offset >> 3) as u16);
    let mut header = Ipv4Header {
        dscp: etherparse::IpDscp::try_new(ip.tos >> 2).unwrap_or_default(),
        ecn: etherparse::IpEcn::try_new(ip.tos & 3).unwrap_or_default(),
        total_len: u16::try_from(length).unwrap_or(0),
        identification: ip.ident,
        dont_fragment: ip.dont_fragment,
        more_fragments: fragment.is_some_and(|fragment| fragment.more),
        fragment_offset: IpFragOffset::try_new(offset).unwrap_or(IpFragOffset::ZERO),
        time_to_live: ip.hop_limit,
        protocol: IpNumber(protocol),
        header_checksum: 0,
        source: v4_bytes(ip.src),
        destination: v4_bytes(ip.dst),
        options,
    };
    header.header_checksum = header.calc_header_checksum();
    out.extend_from_slice(&header.to_bytes());
}

/// The IP header and a UDP header, as bytes, for a datagram that stays as it is: the checksum is that of the pseudo
/// header only, as of a packet whose checksum is left to an interface (CHECKSUM_PARTIAL).
pub fn emit_udp_headers(ip: &IpHeader, udp: &UdpDatagram) -> Vec<u8> {
    let len = UdpDatagram::HEADER_LEN + udp.payload.len();
    let mut out = Vec::with_capacity(ip.header_len() + UdpDatagram::HEADER_LEN);
    push_ip(&mut out, ip, udp.protocol(), len);
    let at = out.len();
    push_udp_header(&mut out, udp);
    fill_partial(&mut out[at + 6..at + 8], ip, udp.protocol(), len);
    out
}

/// The IP header and a TCP header, as bytes; see [`emit_udp_headers`].
pub fn emit_tcp_headers(ip: &IpHeader, tcp: &TcpSegment) -> Vec<u8> {
    let len = tcp.header_len() + tcp.payload.len();
    let mut out = Vec::with_capacity(ip.header_len() + tcp.header_len());
    push_ip(&mut out, ip, 6, len);
    let at = out.len();
    push_tcp_header(&mut out, tcp);
    fill_partial(&mut out[at + 16..at + 18], ip, 6, len);
    out
}

/// A TCP header without its options, the checksum being zero.
pub fn tcp_fixed_header(tcp: &TcpSegment) -> [u8; 20] {
    let mut out = Vec::with_capacity(tcp.header_len());
    push_tcp_header(&mut out, tcp);
    let mut fixed = [0; 20];
    fixed.copy_from_slice(&out[..20]);
    fixed
}

/// The IP header, as bytes, of a packet with `len` bytes of a protocol.
pub fn emit_ip_header(ip: &IpHeader, protocol: u8, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(ip.header_len());
    push_ip(&mut out, ip, protocol, len);
    out
}

fn fill_partial(field: &mut [u8], ip: &IpHeader, protocol: u8, len: usize) {
    let sum = !pseudo_sum(ip, protocol, len).ones_complement();
    field.copy_from_slice(&sum.to_ne_bytes());
}

fn push_tcp(out: &mut Vec<u8>, tcp: &TcpSegment) {
    push_tcp_header(out, tcp);
    for chunk in &tcp.payload {
        out.extend_from_slice(chunk);
    }
}

/// Option kinds: "no operation" (RFC 9293, 3.2), and Fast Open (RFC 7413).
const NOP: u8 = 1;
/// RFC 2385.
pub(crate) const MD5: u8 = 19;
pub(crate) const FAST_OPEN: u8 = 34;

fn push_tcp_header(out: &mut Vec<u8>, tcp: &TcpSegment) {
    use crate::TcpFlags as F;
    let has = |flag| tcp.flags.contains(flag);
    let mut header = TcpHeader::new(tcp.src_port, tcp.dst_port, tcp.seq.0, tcp.window);
    header.acknowledgment_number = tcp.ack.0;
    header.ns = has(F::AE);
    header.fin = has(F::FIN);
    header.syn = has(F::SYN);
    header.rst = has(F::RST);
    header.psh = has(F::PSH);
    header.ack = has(F::ACK);
    header.urg = has(F::URG);
    header.ece = has(F::ECE);
    header.cwr = has(F::CWR);
    header.urgent_pointer = tcp.urgent;
    let (elements, n) = option_elements(&tcp.options);
    // The layout never exceeds 40 bytes: wire_len() leaves out what does not fit.
    let fits = header.set_options(&elements[..n]);
    debug_assert!(fits.is_ok());
    if let Some(signature) = &tcp.options.md5 {
        let mut raw = Vec::with_capacity(TcpOptions::MAX_LEN);
        raw.extend_from_slice(&[NOP, NOP, MD5, 18]);
        raw.extend_from_slice(signature);
        raw.extend_from_slice(header.options.as_slice());
        let fits = header.set_options_raw(&raw);
        debug_assert!(fits.is_ok());
    }
    if let Some(cookie) = &tcp.options.fastopen {
        let mut raw = Vec::with_capacity(TcpOptions::MAX_LEN);
        raw.extend_from_slice(header.options.as_slice());
        raw.extend_from_slice(&[FAST_OPEN, 2 + cookie.as_bytes().len() as u8]);
        raw.extend_from_slice(cookie.as_bytes());
        raw.resize(raw.len().next_multiple_of(4), NOP);
        let fits = header.set_options_raw(&raw);
        debug_assert!(fits.is_ok());
    }
    out.extend_from_slice(&header.to_bytes());
}

/// The options in the order and with the padding that Linux uses (tcp_options_write).
fn option_elements(options: &TcpOptions) -> ([TcpOptionElement; 9], usize) {
    use TcpOptionElement as E;
    let mut list = [const { E::Noop }; 9];
    let mut n = 0;
    // The signature goes first, and is no element.
    let mut used = if options.md5.is_some() { MD5_LEN } else { 0 };
    let mut len = used;
    let mut push = |element: E, len: usize| {
        list[n] = element;
        n += 1;
        used += len;
        used
    };
    if let Some(mss) = options.mss {
        len = push(E::MaximumSegmentSize(mss), 4);
    }
    if let Some(ts) = options.timestamps {
        if options.sack_permitted {
            push(E::SelectiveAcknowledgementPermitted, 2);
        } else {
            push(E::Noop, 1);
            push(E::Noop, 1);
        }
        len = push(E::Timestamp(ts.value, ts.echo), 10);
    } else if options.sack_permitted {
        push(E::Noop, 1);
        push(E::Noop, 1);
        len = push(E::SelectiveAcknowledgementPermitted, 2);
    }
    if let Some(shift) = options.window_scale {
        push(E::Noop, 1);
        len = push(E::WindowScale(shift), 3);
    }
    if let Some(cookie) = &options.fastopen {
        len += (2 + cookie.as_bytes().len()).next_multiple_of(4);
    }
    let fit = options.sack_blocks_that_fit(len);
    if let [first, rest @ ..] = &options.sack.as_slice()[..fit] {
        let mut more = [None; 3];
        for (slot, block) in more.iter_mut().zip(rest) {
            *slot = Some((block.0.0, block.1.0));
        }
        push(E::Noop, 1);
        push(E::Noop, 1);
        push(
            E::SelectiveAcknowledgement((first.0.0, first.1.0), more),
            2 + 8 * fit,
        );
    }
    (list, n)
}

fn push_udp(out: &mut Vec<u8>, udp: &UdpDatagram) {
    push_udp_header(out, udp);
    for chunk in &udp.payload {
        out.extend_from_slice(chunk);
    }
}

fn push_udp_header(out: &mut Vec<u8>, udp: &UdpDatagram) {
    let length = UdpDatagram::HEADER_LEN + udp.payload.len();
    let length = udp.lite.unwrap_or(u16::try_from(length).unwrap_or(0));
    out.extend_from_slice(&udp.src_port.to_be_bytes());
    out.extend_from_slice(&udp.dst_port.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
}

fn push_icmp(out: &mut Vec<u8>, icmp: &IcmpMessage, v6: bool) {
    let (kind, code, rest) = match icmp {
        IcmpMessage::EchoRequest {
            ident, sequence, ..
        } => (
            if v6 { 128 } else { 8 },
            0,
            u32::from(*ident) << 16 | u32::from(*sequence),
        ),
        IcmpMessage::EchoReply {
            ident, sequence, ..
        } => (
            if v6 { 129 } else { 0 },
            0,
            u32::from(*ident) << 16 | u32::from(*sequence),
        ),
        IcmpMessage::Unreachable { code, mtu, .. } if v6 => {
            let (kind, code) = code.to_v6();
            (kind, code, *mtu)
        }
        // RFC 1191, 4: the MTU is the low half.
        IcmpMessage::Unreachable { code, mtu, .. } => (3, code.to_v4(), *mtu & 0xffff),
        IcmpMessage::TimeExceeded { code, .. } => (if v6 { 3 } else { 11 }, *code, 0),
        IcmpMessage::ParameterProblem { code, pointer, .. } if v6 => (4, *code, *pointer),
        IcmpMessage::ParameterProblem { code, pointer, .. } => (12, *code, *pointer << 24),
        IcmpMessage::Other {
            kind, code, rest, ..
        } => (*kind, *code, *rest),
    };
    let words = icmp.original().map_or(0, |quoted| u32::from(quoted.words));
    // RFC 4884, 4: of ICMPv6 the first octet of the four, of ICMP the second.
    let rest = rest | words << if v6 { 24 } else { 16 };
    out.extend_from_slice(&[kind, code, 0, 0]);
    out.extend_from_slice(&rest.to_be_bytes());
    match icmp {
        IcmpMessage::EchoRequest { payload, .. }
        | IcmpMessage::EchoReply { payload, .. }
        | IcmpMessage::Other { payload, .. } => out.extend_from_slice(payload),
        IcmpMessage::Unreachable { original, .. }
        | IcmpMessage::TimeExceeded { original, .. }
        | IcmpMessage::ParameterProblem { original, .. } => push_quoted(out, original),
    }
}

fn push_quoted(out: &mut Vec<u8>, quoted: &Quoted) {
    let (headers, length) = (&quoted.headers, usize::from(quoted.length));
    if quoted.ip.is_v6() {
        push_ip(out, &quoted.ip, quoted.first, headers.len() + length);
        out.extend_from_slice(headers);
    } else {
        push_v4(
            out,
            &quoted.ip,
            quoted.first,
            length,
            headers,
            quoted.fragment,
        );
    }
    out.extend_from_slice(&quoted.transport);
}

/// Sums the bytes from `at` on, with the pseudo header if there is one, into the field at `at + field`.
fn fill_checksum(out: &mut [u8], at: usize, field: usize, pseudo: Option<(&IpHeader, u8)>) {
    let check = checksum(pseudo, &out[at..]);
    out[at + field..at + field + 2].copy_from_slice(&check);
}

/// The pseudo header's part of a checksum (RFC 9293, 3.1; RFC 8200, 8.1).
pub(crate) fn pseudo_sum(ip: &IpHeader, protocol: u8, len: usize) -> Sum16BitWords {
    let mut sum = match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Sum16BitWords::new()
            .add_4bytes(src.octets())
            .add_4bytes(dst.octets()),
        (src, dst) => Sum16BitWords::new()
            .add_16bytes(v6_bytes(src))
            .add_16bytes(v6_bytes(dst)),
    };
    sum.add_4bytes((len as u32).to_be_bytes())
        .add_2bytes([0, protocol])
}
