//! Packets with more than a plain IP header: IPv4 options and IPv6 extension headers, in and out.
//!
//! # Theory of operation
//! Such a packet's body is a [`Body::Extended`]. On its way in the options are looked at first (ip_rcv_options,
//! ipv6_parse_hopopts), then what is a fragment waits for the rest, then the packet goes on as any other. While its
//! transport has it, [`Stack::arriving`] says what it came with: whoever queues the packet keeps that, and whoever answers
//! echoes it. Packets without any pass by with one look at their body.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use switchboard_wire::{
    Body, DESTINATION_OPTIONS, ExtHeader, Extended, Fragment, HOP_OPTIONS, IpHeader, Packet,
    ROUTING, emit_body, is_extension, parse_body,
};

use crate::fragments::{Joined, Piece, Whole};
use crate::icmp::Fault;
use crate::iface::IfIndex;
use crate::ip_options::{BadOption, IpOptions};
use crate::stack::{Cast, Hint, Stack};
use crate::tag::Tag;
use crate::time::Instant;

/// What a datagram is sent with beside a plain IP header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendExtra {
    /// IP_OPTIONS, or IP_RETOPTS of the message.
    pub options: Option<IpOptions>,
    /// IPV6_HOPOPTS and kin.
    pub headers: SendHeaders,
    /// The UDP port to send from, if it is not the socket's.
    pub port: Option<u16>,
}

/// IPv6 extension headers to send, each whole: a multiple of eight octets, of which the first is written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendHeaders {
    /// IPV6_HOPOPTS.
    pub hop: Option<Bytes>,
    /// IPV6_RTHDRDSTOPTS, which counts with a routing header only.
    pub before_routing: Option<Bytes>,
    /// IPV6_RTHDR.
    pub routing: Option<Bytes>,
    /// IPV6_DSTOPTS.
    pub destination: Option<Bytes>,
}

/// What a packet came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// When.
    pub at: Instant,
    /// Its IPv4 options.
    pub options: Option<IpOptions>,
    /// What an answer to them carries; `None` when there is none that could.
    pub answer: Option<IpOptions>,
    /// Its IPv6 extension headers, as they were.
    pub headers: Vec<ExtHeader>,
    /// The largest piece that it came in; 0 when it came whole.
    pub fragment_size: u32,
}

impl SendHeaders {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hop.is_none()
            && self.routing.is_none()
            && self.destination.is_none()
            && self.before_routing.is_none()
    }

    /// The octets they take before a fragment's header, and behind it.
    pub fn lens(&self) -> (usize, usize) {
        let len = |header: &Option<Bytes>| header.as_ref().map_or(0, Bytes::len);
        let before = match self.routing {
            Some(_) => len(&self.before_routing),
            None => 0,
        };
        (
            len(&self.hop) + before + len(&self.routing),
            len(&self.destination),
        )
    }

    /// In the order of RFC 8200, 4.1. `last` is where a routing header leads in the end.
    fn chain(&self, last: IpAddr) -> Vec<ExtHeader> {
        let mut out = Vec::new();
        let mut push = |kind, bytes: &Option<Bytes>| {
            if let Some(bytes) = bytes {
                let bytes = bytes.clone();
                out.push(ExtHeader { kind, bytes });
            }
        };
        push(HOP_OPTIONS, &self.hop);
        if self.routing.is_some() {
            push(DESTINATION_OPTIONS, &self.before_routing);
        }
        let routing = self.routing.as_ref().map(|bytes| routed(bytes, last));
        push(ROUTING, &routing);
        push(DESTINATION_OPTIONS, &self.destination);
        out
    }

    /// Where a packet with a routing header goes first (fl6_update_dst).
    fn first_hop(&self) -> Option<IpAddr> {
        let bytes = self.routing.as_ref()?;
        let at = match bytes.get(2)? {
            // A segment routing header counts from behind.
            4 => 8 + usize::from(*bytes.get(4)?) * 16,
            _ => 8,
        };
        let hop: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
        Some(IpAddr::from(*hop))
    }
}

/// ipv6_push_rthdr: the destination comes last.
fn routed(bytes: &Bytes, last: IpAddr) -> Bytes {
    let mut out = bytes.to_vec();
    if let IpAddr::V6(last) = last {
        let at = match out.get(2) {
            Some(4) => 8,
            _ => out.len().saturating_sub(16),
        };
        if let Some(slot) = out.get_mut(at..at + 16) {
            slot.copy_from_slice(&last.octets());
        }
    }
    Bytes::from(out)
}

impl SendExtra {
    /// Where the packet goes first, if that is not its destination.
    pub fn first_hop(&self) -> Option<IpAddr> {
        let options = self.options.as_ref().and_then(IpOptions::first_hop);
        options.map(IpAddr::V4).or_else(|| self.headers.first_hop())
    }

    /// The octets it takes.
    pub fn len(&self, v6: bool) -> usize {
        match v6 {
            true => self.headers.lens().0 + self.headers.lens().1,
            false => self.options.as_ref().map_or(0, IpOptions::len),
        }
    }

    /// Whether it takes none.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.options.as_ref().is_none_or(IpOptions::is_empty)
    }

    /// `body` behind it, in a packet that is to end up at `last`.
    pub(crate) fn wrap(&self, now: Instant, ip: &IpHeader, last: IpAddr, body: Body) -> Body {
        if ip.is_v6() {
            return Extended::with_headers(self.headers.chain(last), None, body);
        }
        match &self.options {
            Some(options) => options.wrap(now, ip, last, body),
            None => body,
        }
    }
}

impl IpOptions {
    /// `body` behind the options, in a packet that is to end up at `last`.
    pub(crate) fn wrap(&self, now: Instant, ip: &IpHeader, last: IpAddr, body: Body) -> Body {
        let v4 = |addr| match addr {
            IpAddr::V4(addr) => addr,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let options = self.build(now, v4(ip.src), v4(last));
        Extended::with_options(options, None, body)
    }
}

impl Arrived {
    pub(crate) fn new(at: Instant) -> Arrived {
        Arrived {
            at,
            options: None,
            answer: None,
            headers: Vec::new(),
            fragment_size: 0,
        }
    }

    /// What an answer is sent with.
    pub(crate) fn answer(&self) -> Option<SendExtra> {
        let options = self.answer.clone().filter(|options| !options.is_empty())?;
        Some(SendExtra {
            options: Some(options),
            ..SendExtra::default()
        })
    }

    /// The packet's body again, as it came.
    pub(crate) fn rewrap(&self, v6: bool, body: Body) -> Body {
        if v6 {
            return Extended::with_headers(self.headers.clone(), None, body);
        }
        let options = self.options.as_ref().map(IpOptions::bytes);
        Extended::with_options(
            Bytes::copy_from_slice(options.unwrap_or_default()),
            None,
            body,
        )
    }
}

/// What to do with a packet whose header was looked at.
enum Verdict {
    Pass,
    Drop,
    /// Drop it and tell the sender: code and pointer of a parameter problem.
    Tell(u8, u32),
}

/// ip6_parse_tlv: the options of a hop-by-hop or destination header that begins `at` octets into the packet.
fn parse_tlvs(bytes: &[u8], at: u32, cast: Cast) -> Verdict {
    /// IPV6_TLV_*: padding, and what a host knows.
    const PAD1: u8 = 0;
    const PADN: u8 = 1;
    const ROUTER_ALERT: u8 = 5;
    /// max_dst_opts_cnt and max_hbh_opts_cnt.
    const MOST: usize = 8;
    let mut pos = 2;
    let mut padding = 0;
    let mut count = 0;
    while pos < bytes.len() {
        let kind = bytes[pos];
        if kind == PAD1 {
            padding += 1;
            // RFC 9673 and Linux: no more padding than aligns eight octets.
            if padding > 7 {
                return Verdict::Drop;
            }
            pos += 1;
            continue;
        }
        let Some(len) = bytes.get(pos + 1).map(|len| usize::from(*len) + 2) else {
            return Verdict::Drop;
        };
        let Some(option) = bytes.get(pos..pos + len) else {
            return Verdict::Drop;
        };
        if kind == PADN {
            padding += len;
            if padding > 7 || option[2..].iter().any(|byte| *byte != 0) {
                return Verdict::Drop;
            }
            pos += len;
            continue;
        }
        padding = 0;
        count += 1;
        if count > MOST {
            return Verdict::Drop;
        }
        let known = kind == ROUTER_ALERT && len == 4;
        if !known {
            // RFC 8200, 4.2: the two highest bits say what to do with what is not known.
            let pointer = at + pos as u32;
            match kind >> 6 {
                0 => {}
                1 => return Verdict::Drop,
                2 => return Verdict::Tell(2, pointer),
                _ if cast == Cast::Unicast => return Verdict::Tell(2, pointer),
                _ => return Verdict::Drop,
            }
        }
        pos += len;
    }
    Verdict::Pass
}

/// ipv6_rthdr_rcv: nobody routes by headers here.
fn parse_routing(bytes: &[u8], at: u32, cast: Cast) -> Verdict {
    let (kind, left) = match bytes {
        [_, _, kind, left, ..] => (*kind, *left),
        _ => return Verdict::Drop,
    };
    if cast != Cast::Unicast {
        return Verdict::Drop;
    }
    match (kind, left) {
        // net.ipv6.conf.all.seg6_enabled and rpl_seg_enabled are off.
        (3 | 4, _) => Verdict::Drop,
        (_, 0) => Verdict::Pass,
        // RFC 8200, 4.4; RFC 5095.
        _ => Verdict::Tell(0, at + 2),
    }
}

impl Stack {
    /// Whether another host has the address, as far as options ask (inet_addr_type says RTN_UNICAST).
    pub fn is_elsewhere(&self, addr: Ipv4Addr) -> bool {
        let many =
            addr.is_multicast() || addr.octets()[0] == 0 || self.interfaces.is_broadcast(addr);
        !many && self.interfaces.owner(addr.into()).is_none()
    }

    /// A packet that this host takes came in with options or extension headers.
    pub(crate) fn extended_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        marks: (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        extended: Extended,
    ) {
        let arrived = match ip.is_v6() {
            true => self.headers_input(now, interface, marks.1, cast, ip, &extended),
            false => self.options_input(now, interface, cast, ip, &extended),
        };
        let Some(arrived) = arrived else { return };
        let Some(fragment) = extended.fragment else {
            return self.whole_input(now, interface, marks, cast, ip, arrived, extended.body);
        };
        let Some(whole) = self.reassemble(now, interface, ip, arrived, fragment, extended) else {
            return;
        };
        let Whole {
            ip,
            protocol,
            bytes,
            mut arrived,
        } = *whole;
        if !(ip.is_v6() && is_extension(protocol)) {
            let body = Body::Other {
                protocol,
                payload: bytes,
            };
            return self.whole_input(now, interface, marks, cast, &ip, *arrived, body);
        }
        // Behind the fragment's header there were more.
        match parse_body(&ip, protocol, &bytes) {
            Ok(Body::Extended(rest)) if rest.fragment.is_none() => {
                let more = self.headers_input(now, interface, marks.1, cast, &ip, &rest);
                let Some(more) = more else { return };
                arrived.headers.extend(more.headers);
                self.whole_input(now, interface, marks, cast, &ip, *arrived, rest.body);
            }
            _ => self.counters.ip_in_hdr_errors += 1,
        }
    }

    /// A piece came in: the packet, if that makes it whole.
    fn reassemble(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        arrived: Arrived,
        fragment: Fragment,
        extended: Extended,
    ) -> Option<Box<Whole>> {
        let v6 = ip.is_v6();
        self.counters.ip_reasm_reqds += 1;
        self.counters.v6.reasm_reqds += u64::from(v6);
        let (protocol, bytes) = match &extended.body {
            Body::Other { protocol, payload } => (*protocol, payload.clone()),
            body => (body.protocol(v6), Bytes::from(emit_body(ip, body))),
        };
        let packet = Packet {
            ip: *ip,
            body: Body::Extended(Box::new(extended)),
        };
        // RFC 8200, 4.5: a length that is not a multiple of eight, and one that makes the packet too long.
        if v6 {
            let pointer = match fragment.more && !bytes.len().is_multiple_of(8) {
                true => Some(4),
                false if fragment.offset as usize + bytes.len() > usize::from(u16::MAX) => {
                    Some((packet.wire_len() - bytes.len()) as u32 - 6)
                }
                false => None,
            };
            if let Some(pointer) = pointer {
                self.counters.ip_in_hdr_errors += 1;
                let fault = Fault::Field { code: 0, pointer };
                self.icmp_error(now, interface, Cast::Unicast, &packet, fault);
                return None;
            }
        }
        let (time, high) = match v6 {
            true => (self.sysctl.ip6frag_time, self.sysctl.ip6frag_high_thresh),
            false => (self.sysctl.ipfrag_time, self.sysctl.ipfrag_high_thresh),
        };
        let piece = Piece {
            interface,
            // Addresses and protocol tell IPv4 packets apart too.
            fragment: match v6 {
                true => fragment,
                false => Fragment {
                    ident: u32::from(ip.ident),
                    ..fragment
                },
            },
            arrived: Box::new(arrived),
            packet,
            protocol,
            bytes,
        };
        // RFC 6946: the only piece there is waits for no other.
        let alone = v6 && fragment.offset == 0 && !fragment.more;
        let joined = match alone {
            true => Joined::Whole(Box::new(Whole {
                ip: *ip,
                protocol: piece.protocol,
                bytes: piece.bytes,
                arrived: piece.arrived,
            })),
            false => self.fragments.join(piece, now + time, high as usize),
        };
        self.ip_arm();
        match joined {
            Joined::Waits => None,
            Joined::Dropped => {
                self.counters.ip_reasm_fails += 1;
                self.counters.v6.reasm_fails += u64::from(v6);
                None
            }
            Joined::Whole(whole) => {
                self.counters.ip_reasm_oks += 1;
                self.counters.v6.reasm_oks += u64::from(v6);
                Some(whole)
            }
        }
    }

    /// What a packet carries goes to whom it is for.
    #[allow(clippy::too_many_arguments)] // A packet, and what is known of it.
    fn whole_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        marks: (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        arrived: Arrived,
        mut body: Body,
    ) {
        let v6 = ip.is_v6();
        self.count_delivery(v6);
        let whole = match v6 {
            false => Some(arrived.rewrap(false, body.clone())),
            true => None,
        };
        // A packet comes in while another is worked on only by the queue, which waits.
        self.arriving = Some(Box::new(arrived));
        let heard = self.udp.has_raw()
            && self.raw_input(now, interface, marks.1, ip, whole.as_ref().unwrap_or(&body));
        self.ip_deliver(now, interface, marks, cast, ip, &mut body, heard);
        self.arriving = None;
    }

    fn options_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        cast: Cast,
        ip: &IpHeader,
        extended: &Extended,
    ) -> Option<Arrived> {
        let here = match (ip.dst, cast) {
            (IpAddr::V4(dst), Cast::Unicast) => dst,
            // fib_compute_spec_dst: the address that an answer would come from.
            _ => match self.route(ip.src, None, None).map(|route| route.source) {
                Ok(IpAddr::V4(source)) => source,
                _ => Ipv4Addr::UNSPECIFIED,
            },
        };
        let bytes = extended.options();
        let compiled = IpOptions::arrived(bytes, now, here, |addr| self.is_elsewhere(addr));
        let options = match compiled {
            Ok(options) => options,
            Err(BadOption(pointer)) => {
                self.counters.ip_in_hdr_errors += 1;
                let body = Body::Extended(Box::new(extended.clone()));
                let packet = Packet { ip: *ip, body };
                let fault = Fault::Field {
                    code: 0,
                    pointer: u32::from(pointer),
                };
                self.icmp_error(now, interface, cast, &packet, fault);
                return None;
            }
        };
        // net.ipv4.conf.all.accept_source_route is off.
        if options.has_source_route() {
            self.counters.ip_in_hdr_errors += 1;
            return None;
        }
        Some(Arrived {
            answer: options.echo(|addr| self.is_elsewhere(addr)),
            options: Some(options).filter(|options| !options.is_empty()),
            ..Arrived::new(now)
        })
    }

    fn headers_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        tag: Tag,
        cast: Cast,
        ip: &IpHeader,
        extended: &Extended,
    ) -> Option<Arrived> {
        let mut at = ip.header_len() as u32;
        for (index, header) in extended.headers.iter().enumerate() {
            // raw6_local_deliver: before each header that is not taken at once.
            if header.kind != HOP_OPTIONS && self.udp.has_raw() {
                let rest = extended.headers[index..].to_vec();
                let body = Extended::with_headers(rest, extended.fragment, extended.body.clone());
                self.raw_input(now, interface, tag, ip, &body);
            }
            let verdict = match header.kind {
                ROUTING => parse_routing(&header.bytes, at, cast),
                _ => parse_tlvs(&header.bytes, at, cast),
            };
            match verdict {
                Verdict::Pass => {}
                Verdict::Drop => {
                    self.counters.ip_in_hdr_errors += 1;
                    return None;
                }
                Verdict::Tell(code, pointer) => {
                    self.counters.ip_in_hdr_errors += 1;
                    let body = Body::Extended(Box::new(extended.clone()));
                    let packet = Packet { ip: *ip, body };
                    let fault = Fault::Field { code, pointer };
                    // RFC 4443, 2.4 e.3: about options that must be known, whatever the packet was addressed to.
                    self.icmp_error(now, interface, Cast::Unicast, &packet, fault);
                    return None;
                }
            }
            at += header.bytes.len() as u32;
        }
        Some(Arrived {
            headers: extended.headers.clone(),
            ..Arrived::new(now)
        })
    }

    /// A raw socket's bytes behind an IPv6 header that names extension headers.
    #[allow(clippy::too_many_arguments)] // A packet, and what is known of it.
    pub(crate) fn chain_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        marks: (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        protocol: u8,
        bytes: &Bytes,
    ) {
        match parse_body(ip, protocol, bytes) {
            Ok(Body::Extended(extended)) => {
                self.extended_input(now, interface, marks, cast, ip, *extended);
            }
            _ => self.counters.ip_in_hdr_errors += 1,
        }
    }
}
