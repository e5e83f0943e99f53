//! Raw sockets (raw(7)): packets of one protocol as they are.
//!
//! # Theory of operation
//! A raw socket is a datagram socket without a port: it has the queue, the peer, the route and the errors of a UDP
//! socket and stands in the same table, but not among those a port is looked for in. Every packet of its protocol that
//! the host takes is copied to it before the transport sees it (raw_local_deliver). What it sends is a packet whose
//! body nobody has looked into: it is parsed where it arrives, so that whoever listens sees the sender's own bytes.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use smallvec::SmallVec;
use switchboard_wire::{
    Body, Extended, Fragment, IcmpMessage, IpHeader, Packet, Payload, checksum, emit_body,
    emit_parts,
};

use super::queue::UdpReceived;
use super::send::check_size;
use super::{Role, UdpSend, UdpSendError, UdpSocket};
use crate::event::UdpId;
use crate::hash::prune;
use crate::iface::IfIndex;
use crate::ports::{BindError, BindRequest, Family};
use crate::route::RouteKind;
use crate::stack::Stack;
use crate::tag::Tag;
use crate::time::Instant;

/// The protocol that only sends, with a header of the caller's own (IPPROTO_RAW).
const RAW: u16 = 255;
const ICMP: u16 = 1;
const ICMP6: u16 = 58;

/// What the options of raw(7), icmp(7) and ipv6(7) set on a raw socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSettings {
    /// IP_HDRINCL or IPV6_HDRINCL: the caller writes the IP header.
    pub header_included: bool,
    /// ICMP_FILTER: a bit for each ICMP type that is not received.
    pub icmp_filter: u32,
    /// ICMP6_FILTER: a bit for each ICMPv6 type that is not received.
    pub icmp6_filter: [u32; 8],
    /// IPV6_CHECKSUM: where in the data the checksum stands; without it none is made or looked at.
    pub checksum: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Raw {
    /// Up to 262: what is above 255 is sent cut to eight bits, as Linux does, and never received.
    protocol: u16,
    settings: RawSettings,
}

impl Raw {
    fn new(family: Family, protocol: u16) -> Raw {
        let settings = RawSettings {
            header_included: protocol == RAW,
            icmp_filter: 0,
            icmp6_filter: [0; 8],
            // RFC 3542, 3.1: ICMPv6 has one always.
            checksum: (family == Family::V6 && protocol == ICMP6).then_some(2),
        };
        Raw { protocol, settings }
    }

    /// As a packet's header has it.
    pub(super) fn protocol(&self) -> u8 {
        self.protocol as u8
    }

    /// icmp_filter and icmpv6_filter: whether the socket does not want to hear of this.
    fn filters(&self, v6: bool, body: &[u8]) -> bool {
        match (self.protocol, body) {
            (ICMP, [kind, _, _, _, _, _, _, _, ..]) if !v6 => {
                *kind < 32 && self.settings.icmp_filter >> kind & 1 != 0
            }
            (ICMP, _) if !v6 => true,
            (ICMP6, [kind, _, _, _, ..]) if v6 => {
                self.settings.icmp6_filter[usize::from(kind >> 5)] >> (kind & 31) & 1 != 0
            }
            (ICMP6, _) if v6 => true,
            _ => false,
        }
    }
}

impl UdpSocket {
    pub(super) fn raw(&self) -> Option<&Raw> {
        match &self.role {
            Role::Raw(raw) => Some(raw),
            _ => None,
        }
    }

    /// raw_v4_match and raw_v6_match.
    fn hears(&self, interface: IfIndex, from: IpAddr, to: IpAddr) -> bool {
        let local = self.local.ip();
        (local.is_unspecified() || local == to)
            && self.remote.is_none_or(|remote| remote.ip() == from)
            && self
                .attributes
                .device
                .is_none_or(|device| device == interface)
    }
}

/// All of these panic when `id` names a socket that was closed.
impl Stack {
    /// `socket(domain, SOCK_RAW, protocol)`: a new raw socket, which hears every packet of its protocol.
    pub fn raw_open(&mut self, family: Family, protocol: u16) -> UdpId {
        let id = self.udp_open(family);
        let socket = self.udp.open_mut(id);
        // inet_create: the protocol stands where the port would.
        socket.local.set_port(protocol);
        socket.role = Role::Raw(Box::new(Raw::new(family, protocol)));
        socket.queue.make_plain();
        let key = (family, protocol);
        self.udp.raw.entry(key).or_default().push(id);
        id
    }

    /// A raw socket's protocol and settings; `None` of another socket.
    pub fn raw_settings(&self, id: UdpId) -> Option<(u16, &RawSettings)> {
        let raw = self.udp.open(id).raw()?;
        Some((raw.protocol, &raw.settings))
    }

    /// A raw socket's settings, to change; `None` of another socket.
    pub fn raw_settings_mut(&mut self, id: UdpId) -> Option<&mut RawSettings> {
        match &mut self.udp.open_mut(id).role {
            Role::Raw(raw) => Some(&mut raw.settings),
            _ => None,
        }
    }

    /// raw_bind: an address, again if the caller likes.
    pub(super) fn raw_bind(
        &mut self,
        id: UdpId,
        request: &BindRequest,
    ) -> Result<SocketAddr, BindError> {
        let socket = self.udp.open_mut(id);
        socket.local.set_ip(request.addr.to_canonical());
        socket.attributes.device = request.device;
        Ok(socket.local)
    }

    /// raw_unhash_sk: the socket hears nothing from now on.
    pub(super) fn raw_unhash(&mut self, id: UdpId) {
        let socket = self.udp.open(id);
        let Some(raw) = socket.raw() else { return };
        let key = (socket.family, raw.protocol);
        prune(&mut self.udp.raw, key, |list| {
            list.retain(|other| *other != id)
        });
    }

    /// `sendto(fd, ...)` of a raw socket: one packet. The data starts with the IP header when
    /// [`RawSettings::header_included`] says so, which the caller has found to be whole. `protocol` is for IPv6, where
    /// each packet may name its own. Gives the packet back as it left, if the caller wants to `see` it.
    pub fn raw_send(
        &mut self,
        now: Instant,
        id: UdpId,
        send: UdpSend,
        protocol: Option<u8>,
        see: bool,
    ) -> Result<Option<Packet>, UdpSendError> {
        let dst = send.dst.ip().to_canonical();
        let route = self.udp_send_route(id, dst, &send)?;
        let Some(raw) = self.udp.open(id).raw() else {
            return Ok(None);
        };
        let protocol = protocol.unwrap_or(raw.protocol as u8);
        let settings = &raw.settings;
        let own = settings.header_included;
        // What the caller has made whole is not cut.
        let most = match own {
            true => 0,
            false => send.fragment_size,
        };
        let packet = if own {
            let Some(mut packet) = own_header(dst.is_ipv6(), &send.payload.to_bytes()) else {
                // Linux sends it, and whoever gets it throws it away.
                self.counters.ip_in_hdr_errors += 1;
                return Ok(None);
            };
            if packet.ip.src.is_unspecified() && packet.ip.src.is_ipv4() {
                packet.ip.src = route.source;
            }
            if packet.ip.ident == 0 && !packet.ip.is_v6() {
                packet.ip.ident = self.random.u32() as u16;
            }
            packet
        } else {
            let mut ip = self.udp_header(&route, send.tos, send.ttl);
            self.label(&mut ip, send.flow_label, (protocol.into(), protocol.into()));
            let mut data = send.payload.to_vec();
            if let (Some(at), true) = (settings.checksum, ip.is_v6()) {
                fill(&ip, protocol, &mut data, at as usize);
            }
            if !ip.is_v6() {
                ip.ident = self.random.u32() as u16;
                ip.dont_fragment = !send.may_be_cut;
            }
            let payload = Bytes::from(data);
            let mut body = Body::Other { protocol, payload };
            if let Some(extra) = &send.extra {
                body = extra.wrap(now, &ip, dst, body);
            }
            Packet { ip, body }
        };
        let len = packet.wire_len() - packet.ip.header_len();
        check_size(&packet.ip, len)?;
        let seen = see.then(|| packet.clone());
        if own && route.interface == IfIndex::LO && route.kind == RouteKind::Local {
            self.ip_output_routed(send.tag, packet);
        } else {
            self.udp_output(id, &route, send.tag, most, packet);
        }
        self.run_loopback(now);
        Ok(seen)
    }

    /// A packet came in: a copy for each raw socket that wants it. Says whether there was one.
    pub(crate) fn raw_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        tag: Tag,
        ip: &IpHeader,
        body: &Body,
    ) -> bool {
        let v6 = ip.is_v6();
        let family = if v6 { Family::V6 } else { Family::V4 };
        let Some(list) = self.udp.raw.get(&(family, u16::from(body.protocol(v6)))) else {
            return false;
        };
        let ids: SmallVec<[UdpId; 4]> = (list.iter().copied())
            .filter(|id| {
                self.udp
                    .get(*id)
                    .is_some_and(|socket| socket.hears(interface, ip.src, ip.dst))
                    && (!ip.dst.is_multicast() || self.udp_is_addressed(*id, interface, ip))
            })
            .collect();
        if ids.is_empty() {
            return false;
        }
        // An IPv4 socket gets the header too; an IPv6 socket has ancillary data for it (RFC 3542, 3).
        let bytes = Bytes::from(if v6 {
            emit_body(ip, body)
        } else {
            emit_parts(ip, body)
        });
        let at = match bytes.first() {
            Some(first) if !v6 => usize::from(first & 15) * 4,
            _ => 0,
        };
        let mut delivered = false;
        for id in ids {
            // raw_v4_input, ipv6_raw_deliver: one whose buffer is full has not heard it.
            let Some(socket) = self.udp.get_mut(id) else {
                continue;
            };
            if socket.queue.is_full() {
                socket.queue.drops = socket.queue.drops.wrapping_add(1);
                continue;
            }
            delivered = true;
            let Some(raw) = socket.raw() else {
                continue;
            };
            let wrong = raw.settings.checksum.is_some()
                && v6
                && checksum(Some((ip, body.protocol(v6))), &bytes) != [0, 0];
            if wrong || raw.filters(v6, &bytes[at..]) {
                continue;
            }
            let protocol = body.protocol(v6);
            let seen = self.raw_filtered(now, id, interface, ip, protocol, &bytes, !v6);
            let Some(bytes) = seen else { continue };
            let datagram = UdpReceived {
                tag,
                ..UdpReceived::raw(now, interface, ip, Payload::from(bytes))
            };
            self.udp_enqueue(id, datagram);
        }
        delivered
    }

    /// An ICMP error about a packet of this host came in (raw_err, rawv6_err).
    pub(crate) fn raw_icmp_error(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        error: &IcmpMessage,
    ) {
        let Some(quoted) = error.original() else {
            return;
        };
        let v6 = quoted.ip.is_v6();
        let family = if v6 { Family::V6 } else { Family::V4 };
        let key = (family, u16::from(quoted.protocol));
        let Some(list) = self.udp.raw.get(&key) else {
            return;
        };
        let ids: SmallVec<[UdpId; 4]> = list.iter().copied().collect();
        for id in ids {
            let Some(socket) = self.udp.get(id) else {
                continue;
            };
            if !socket.hears(interface, quoted.ip.dst, quoted.ip.src) {
                continue;
            }
            self.udp_tell(id, now, interface, ip, error);
        }
    }
}

impl UdpReceived {
    pub(super) fn raw(
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        payload: Payload,
    ) -> UdpReceived {
        UdpReceived {
            from: SocketAddr::new(ip.src, 0),
            to: ip.dst,
            port: 0,
            interface,
            tos: ip.tos,
            ttl: ip.hop_limit,
            flow_label: ip.flow_label,
            at: now,
            noted: false,
            segment: 0,
            stamped: false,
            drops: 0,
            peeked: false,
            extra: None,
            tag: Tag::default(),
            payload,
        }
    }
}

/// rawv6_push_pending_frames: the checksum at its place, which the caller has found to be there.
fn fill(ip: &IpHeader, protocol: u8, data: &mut [u8], at: usize) {
    let Some(field) = data.get_mut(at..at + 2) else {
        return;
    };
    field.fill(0);
    let mut sum = checksum(Some((ip, protocol)), data);
    // RFC 768: UDP writes a sum of zero as all ones.
    if sum == [0, 0] && protocol == 17 {
        sum = [0xff, 0xff];
    }
    data[at..at + 2].copy_from_slice(&sum);
}

/// A packet whose IP header the caller wrote. Length and checksum of an IPv4 header are the kernel's to write.
fn own_header(v6: bool, bytes: &Bytes) -> Option<Packet> {
    let (ip, protocol, payload) = match bytes.first()? >> 4 {
        4 if !v6 => {
            let h: &[u8; 20] = bytes.first_chunk()?;
            let place = u16::from_be_bytes([h[6], h[7]]);
            let len = usize::from(h[0] & 15) * 4;
            if len < h.len() || bytes.len() < len {
                return None;
            }
            let fragment = (place & 0x3fff != 0).then_some(Fragment {
                ident: 0,
                offset: u32::from(place & 0x1fff) << 3,
                more: place & 0x2000 != 0,
            });
            let options = bytes.slice(h.len()..len);
            let addr = |at: usize| Ipv4Addr::new(h[at], h[at + 1], h[at + 2], h[at + 3]).into();
            let mut ip = IpHeader::new(addr(12), addr(16));
            ip.tos = h[1];
            ip.ident = u16::from_be_bytes([h[4], h[5]]);
            ip.dont_fragment = place & 0x4000 != 0;
            ip.hop_limit = h[8];
            let (protocol, payload) = (h[9], bytes.slice(len..));
            let body = Body::Other { protocol, payload };
            let body = Extended::with_options(options, fragment, body);
            return Some(Packet { ip, body });
        }
        6 if v6 => {
            let h: &[u8; 40] = bytes.first_chunk()?;
            let len = usize::from(u16::from_be_bytes([h[4], h[5]]));
            let (src, dst): (&[u8; 16], &[u8; 16]) =
                (h[8..].first_chunk()?, h[24..].first_chunk()?);
            let mut ip = IpHeader::new(Ipv6Addr::from(*src).into(), Ipv6Addr::from(*dst).into());
            let first = u32::from_be_bytes([h[0], h[1], h[2], h[3]]);
            ip.tos = (first >> 20) as u8;
            ip.flow_label = first & 0xf_ffff;
            ip.hop_limit = h[7];
            let rest = bytes.slice(40..);
            // ip6_rcv_core: cut to what the header says, and dropped when it says more than there is.
            (ip, h[6], (len <= rest.len()).then(|| rest.slice(..len))?)
        }
        _ => return None,
    };
    let body = Body::Other { protocol, payload };
    Some(Packet { ip, body })
}
