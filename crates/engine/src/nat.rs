//! Network address translation by a router: the hosts behind it share its address (RFC 2663, RFC 4787, RFC 5382, RFC 5508).
//!
//! # Theory of operation
//! What is handed on to the *outside* interface leaves with that interface's IPv4 address and a port of it: a mapping. What
//! comes in there for such a port is handed on to the host behind. The kind says for whom a mapping is, and who may answer:
//!
//! | kind | a mapping is for | who may send to it |
//! |---|---|---|
//! | [`NatKind::FullCone`] | an inside address and port | anyone |
//! | [`NatKind::PortRestricted`] | an inside address and port | whom that one has sent to, address and port |
//! | [`NatKind::Symmetric`] | these, and an outside address and port | that one |
//!
//! A port of the inside is kept on the outside where it is free, as Linux does; the symmetric kind takes a random one for
//! each peer, since with kept ports it could be guessed. Echo requests have their identifier for a port. ICMP errors about
//! translated packets find their way back, with what they quote translated too.
//!
//! # Limits
//! IPv4 only. UDP, TCP and ICMP echo; other protocols and fragments do not pass, and inside packets to the router's own
//! outside address are the router's (no hairpins). What comes from outside and belongs to no mapping is not handed on. The
//! checksum inside a quote is left as it was. A mapping takes precedence over the router's own sockets on its port.
//! [`NatConfig::flows`] is the number of flows; without room, new ones do not pass.
//!
//! # Timeouts
//! Those of Linux's connection tracking, [`NatTimeouts`]. What has timed out goes when the next packet comes: there is no
//! timer.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use bytes::Bytes;
use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet, Quoted, TcpFlags, parse_transport};

use crate::hash::{KeyedMap, Random};
use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::time::Instant;

/// Whom a mapping is for, and who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// Endpoint-independent mapping and filtering (RFC 4787, 4.1 and 5).
    FullCone,
    /// Endpoint-independent mapping, address and port-dependent filtering.
    PortRestricted,
    /// Address and port-dependent mapping and filtering.
    Symmetric,
}

/// net.netfilter.nf_conntrack_*_timeout*, with Linux's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatTimeouts {
    /// UDP, until both have sent.
    pub udp: Duration,
    /// UDP, after that.
    pub udp_stream: Duration,
    /// ICMP echo.
    pub icmp: Duration,
    /// TCP, until the connection stands.
    pub tcp_opening: Duration,
    /// TCP, while it stands.
    pub tcp_established: Duration,
    /// TCP, after a FIN.
    pub tcp_closing: Duration,
    /// TCP, after a RST.
    pub tcp_reset: Duration,
}

impl Default for NatTimeouts {
    fn default() -> NatTimeouts {
        NatTimeouts {
            udp: Duration::from_secs(30),
            udp_stream: Duration::from_secs(120),
            icmp: Duration::from_secs(30),
            tcp_opening: Duration::from_secs(120),
            tcp_established: Duration::from_secs(432_000),
            tcp_closing: Duration::from_secs(120),
            tcp_reset: Duration::from_secs(10),
        }
    }
}

/// What a router translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// The interface whose address everyone behind the router has on the outside.
    pub outside: IfIndex,
    /// Whom mappings are for.
    pub kind: NatKind,
    /// How long they last.
    pub timeouts: NatTimeouts,
    /// How many flows there may be (net.netfilter.nf_conntrack_max).
    pub flows: usize,
}

impl NatConfig {
    /// With Linux's limits.
    pub fn new(outside: IfIndex, kind: NatKind) -> NatConfig {
        NatConfig {
            outside,
            kind,
            timeouts: NatTimeouts::default(),
            flows: 65_536,
        }
    }
}

/// What translation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatCounters {
    /// Packets that left translated.
    pub out: u64,
    /// Packets that came in translated.
    pub back: u64,
    /// Packets that did not pass: a protocol, a fragment, no room.
    pub dropped: u64,
    /// Packets from outside that nobody had asked for.
    pub unasked: u64,
}

type Endpoint = (Ipv4Addr, u16);

/// A protocol's number and an inside endpoint, and with the symmetric kind the peer.
type InsideKey = (u8, Endpoint, Option<Endpoint>);

/// A protocol's number and an outside port.
type OutsideKey = (u8, u16);

/// A mapping and a peer.
type FlowKey = (OutsideKey, Endpoint);

#[derive(Debug)]
struct Mapping {
    key: InsideKey,
    /// How many flows it has; without any it goes.
    flows: u32,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    expires: Instant,
    answered: bool,
    ended: bool,
}

/// A router's translations.
#[derive(Debug)]
pub(crate) struct Nat {
    config: NatConfig,
    inside: KeyedMap<InsideKey, u16>,
    outside: KeyedMap<OutsideKey, Mapping>,
    flows: KeyedMap<FlowKey, Flow>,
    /// When flows end. An entry may be earlier than its flow's end, which has moved on since.
    ends: BTreeSet<(Instant, FlowKey)>,
    counters: NatCounters,
}

/// What a packet is, as far as translation knows it.
#[derive(Clone, Copy, Debug)]
struct Ports {
    protocol: u8,
    src: u16,
    dst: u16,
    flags: TcpFlags,
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The ports of a body; with an echo request the identifier is the source's, with a reply the destination's.
fn ports(body: &Body) -> Option<Ports> {
    let plain = |protocol, src, dst| Ports {
        protocol,
        src,
        dst,
        flags: TcpFlags::empty(),
    };
    match body {
        Body::Udp(udp) if udp.lite.is_none() => Some(plain(UDP, udp.src_port, udp.dst_port)),
        Body::Tcp(tcp) => Some(Ports {
            flags: tcp.flags,
            ..plain(TCP, tcp.src_port, tcp.dst_port)
        }),
        Body::Icmp(IcmpMessage::EchoRequest { ident, .. }) => Some(plain(ICMP, *ident, 0)),
        Body::Icmp(IcmpMessage::EchoReply { ident, .. }) => Some(plain(ICMP, 0, *ident)),
        Body::Extended(extended) if extended.fragment.is_none() => ports(&extended.body),
        _ => None,
    }
}

fn set_port(body: &mut Body, source: bool, port: u16) {
    match body {
        Body::Udp(udp) if source => udp.src_port = port,
        Body::Udp(udp) => udp.dst_port = port,
        Body::Tcp(tcp) if source => tcp.src_port = port,
        Body::Tcp(tcp) => tcp.dst_port = port,
        Body::Icmp(
            IcmpMessage::EchoRequest { ident, .. } | IcmpMessage::EchoReply { ident, .. },
        ) => {
            *ident = port;
        }
        Body::Extended(extended) => set_port(&mut extended.body, source, port),
        _ => {}
    }
}

/// The ports that an error quotes, as the quoted packet had them.
fn quoted_ports(quoted: &Quoted) -> Option<Ports> {
    let flags = TcpFlags::empty();
    let (protocol, bytes) = (quoted.protocol, &quoted.transport[..]);
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (src, dst) = match protocol {
        TCP | UDP => (word(0)?, word(2)?),
        ICMP if *bytes.first()? == 8 => (word(4)?, 0),
        ICMP if *bytes.first()? == 0 => (0, word(4)?),
        _ => return None,
    };
    Some(Ports {
        protocol,
        src,
        dst,
        flags,
    })
}

/// Translates one end of a quote.
fn requote(quoted: &mut Quoted, source: bool, (addr, port): Endpoint) {
    if source {
        quoted.ip.src = addr.into();
    } else {
        quoted.ip.dst = addr.into();
    }
    let at = match (quoted.protocol, source) {
        (ICMP, _) => 4,
        (_, true) => 0,
        (_, false) => 2,
    };
    let mut bytes = quoted.transport.to_vec();
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&port.to_be_bytes());
    }
    quoted.transport = Bytes::from(bytes);
}

fn quoted_mut(body: &mut Body) -> Option<&mut Quoted> {
    match body {
        Body::Icmp(
            IcmpMessage::Unreachable { original, .. }
            | IcmpMessage::TimeExceeded { original, .. }
            | IcmpMessage::ParameterProblem { original, .. },
        ) => Some(original),
        Body::Extended(extended) => quoted_mut(&mut extended.body),
        _ => None,
    }
}

impl Nat {
    fn end_flow(&mut self, key: FlowKey) {
        if self.flows.remove(&key).is_none() {
            return;
        }
        let Some(mapping) = self.outside.get_mut(&key.0) else {
            return;
        };
        mapping.flows -= 1;
        if mapping.flows == 0 {
            let inside = mapping.key;
            self.outside.remove(&key.0);
            self.inside.remove(&inside);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.ends.first() {
            if at > now {
                return;
            }
            self.ends.remove(&(at, key));
            match self.flows.get(&key).map(|flow| flow.expires) {
                Some(expires) if expires > now => drop(self.ends.insert((expires, key))),
                _ => self.end_flow(key),
            }
        }
    }

    /// The outside port of an inside endpoint that speaks with a peer.
    fn map(
        &mut self,
        random: &mut Random,
        protocol: u8,
        own: Endpoint,
        peer: Endpoint,
    ) -> Option<u16> {
        let symmetric = self.config.kind == NatKind::Symmetric;
        let key = (protocol, own, symmetric.then_some(peer));
        if let Some(port) = self.inside.get(&key) {
            return Some(*port);
        }
        if self.flows.len() >= self.config.flows {
            return None;
        }
        let free = |port: &u16| !self.outside.contains_key(&(protocol, *port));
        let kept = Some(own.1)
            .filter(|port| !symmetric && *port != 0)
            .filter(free);
        let port = kept.or_else(|| {
            // nf_nat_l4proto_unique_tuple(): from a random place on, the unprivileged ones.
            let (first, count) = (1024, 65_536 - 1024);
            let start = random.u32() % count;
            let all = (0..count).map(|n| (first + (start + n) % count) as u16);
            all.into_iter().find(free)
        })?;
        let _ = self.inside.insert(key, port);
        let _ = self
            .outside
            .insert((protocol, port), Mapping { key, flows: 0 });
        Some(port)
    }

    /// A packet of a flow: how long it lasts from now on. False when there is no room for it.
    fn note(&mut self, now: Instant, key: FlowKey, flags: TcpFlags, answer: bool) -> bool {
        let times = self.config.timeouts;
        let room = self.flows.len() < self.config.flows;
        let new = Flow {
            expires: now,
            answered: false,
            ended: false,
        };
        let first = !self.flows.contains_key(&key);
        if first && !room {
            return false;
        }
        let flow = self.flows.entry(key).or_insert(new);
        flow.answered |= answer;
        flow.ended |= flags.contains(TcpFlags::FIN);
        if flags.contains(TcpFlags::SYN) && !answer {
            flow.ended = false;
        }
        let time = match key.0.0 {
            UDP if flow.answered => times.udp_stream,
            UDP => times.udp,
            ICMP => times.icmp,
            _ if flags.contains(TcpFlags::RST) => times.tcp_reset,
            _ if flow.ended => times.tcp_closing,
            _ if flow.answered => times.tcp_established,
            _ => times.tcp_opening,
        };
        let before = flow.expires;
        flow.expires = now + time;
        if first {
            if let Some(mapping) = self.outside.get_mut(&key.0) {
                mapping.flows += 1;
            }
            self.ends.insert((now + time, key));
        } else if now + time < before {
            // It ends earlier than was noted. The old note finds nothing, or a later end.
            self.ends.insert((now + time, key));
        }
        true
    }

    /// An outgoing packet gets the outside address. False: it does not pass.
    fn out(
        &mut self,
        now: Instant,
        random: &mut Random,
        outside: Ipv4Addr,
        packet: &mut Packet,
    ) -> bool {
        self.expire(now);
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (packet.ip.src, packet.ip.dst) else {
            return true;
        };
        if let Some(quoted) = quoted_mut(&mut packet.body) {
            // About a packet that came in by a mapping: its destination was the sender's.
            let found = quoted_ports(quoted).and_then(|ports| {
                let IpAddr::V4(meant) = quoted.ip.dst else {
                    return None;
                };
                let IpAddr::V4(peer) = quoted.ip.src else {
                    return None;
                };
                let symmetric = self.config.kind == NatKind::Symmetric;
                let peer = symmetric.then_some((peer, ports.src));
                self.inside
                    .get(&(ports.protocol, (meant, ports.dst), peer))
                    .copied()
            });
            let Some(port) = found else {
                return false;
            };
            requote(quoted, false, (outside, port));
            packet.ip.src = outside.into();
            return true;
        }
        let Some(ports) = ports(&packet.body) else {
            return false;
        };
        // An answer to an echo request from outside, which cannot have come in.
        if ports.protocol == ICMP && ports.src == 0 && ports.dst != 0 {
            return false;
        }
        let peer = (dst, ports.dst);
        let Some(port) = self.map(random, ports.protocol, (src, ports.src), peer) else {
            return false;
        };
        let key = ((ports.protocol, port), peer);
        if !self.note(now, key, ports.flags, false) {
            return false;
        }
        packet.ip.src = outside.into();
        set_port(&mut packet.body, true, port);
        true
    }

    /// Whom behind the router a packet from outside is for.
    fn back(&mut self, now: Instant, packet: &mut Packet) -> bool {
        self.expire(now);
        if let Some(quoted) = quoted_mut(&mut packet.body) {
            // About a packet that left by a mapping.
            let found = quoted_ports(quoted).and_then(|ports| {
                let mapping = self.outside.get(&(ports.protocol, ports.src))?;
                let IpAddr::V4(peer) = quoted.ip.dst else {
                    return None;
                };
                let key = ((ports.protocol, ports.src), (peer, ports.dst));
                self.flows.get(&key).map(|_| mapping.key.1)
            });
            let Some(own) = found else {
                return false;
            };
            requote(quoted, true, own);
            packet.ip.dst = own.0.into();
            return true;
        }
        let IpAddr::V4(src) = packet.ip.src else {
            return false;
        };
        let Some(ports) = ports(&packet.body) else {
            return false;
        };
        let outside = (ports.protocol, ports.dst);
        let Some(mapping) = self.outside.get(&outside) else {
            return false;
        };
        let own = mapping.key.1;
        let key = (outside, (src, ports.src));
        let asked = self.flows.contains_key(&key);
        if !asked && self.config.kind != NatKind::FullCone {
            self.counters.unasked += 1;
            return false;
        }
        if !self.note(now, key, ports.flags, true) {
            return false;
        }
        packet.ip.dst = own.0.into();
        set_port(&mut packet.body, false, own.1);
        true
    }
}

/// What a raw socket sent is bytes until somebody looks.
fn interpret(packet: &mut Packet) {
    if let Body::Other { protocol, payload } = &packet.body
        && let Ok(body) = parse_transport(&packet.ip, *protocol, payload)
    {
        packet.body = body;
    }
}

impl Stack {
    /// From now on the router translates like this, or not at all. What was translated is forgotten.
    pub fn set_nat(&mut self, config: Option<NatConfig>) {
        let hash = self.random.hash_state();
        self.nat = config.map(|config| {
            Box::new(Nat {
                config,
                inside: KeyedMap::with_hasher(hash),
                outside: KeyedMap::with_hasher(hash),
                flows: KeyedMap::with_hasher(hash),
                ends: BTreeSet::new(),
                counters: NatCounters::default(),
            })
        });
    }

    /// How the router translates.
    pub fn nat(&self) -> Option<&NatConfig> {
        self.nat.as_ref().map(|nat| &nat.config)
    }

    /// What translation did.
    pub fn nat_counters(&self) -> NatCounters {
        self.nat
            .as_ref()
            .map(|nat| nat.counters)
            .unwrap_or_default()
    }

    /// How many flows are translated; some may have timed out.
    pub fn nat_flows(&self) -> usize {
        self.nat.as_ref().map_or(0, |nat| nat.flows.len())
    }

    /// The first IPv4 address of the outside interface.
    fn nat_outside(&self) -> Option<(IfIndex, Ipv4Addr)> {
        let nat = self.nat.as_ref()?;
        let interface = self.interface(nat.config.outside)?;
        let own = interface.addresses().iter().find_map(|a| match a.addr {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })?;
        Some((interface.index(), own))
    }

    /// A packet came in: for somebody behind the router, if that is what is returned. What the router itself could not send
    /// on for them is told on `lo`.
    #[cold]
    pub(crate) fn nat_back(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        body: &Body,
    ) -> Option<Packet> {
        let (outside, own) = self.nat_outside()?;
        let here = interface == outside || interface == IfIndex::LO;
        if !here || ip.dst != IpAddr::V4(own) {
            return None;
        }
        let nat = self.nat.as_mut()?;
        let mut packet = Packet {
            ip: *ip,
            body: body.clone(),
        };
        interpret(&mut packet);
        if !nat.back(now, &mut packet) {
            return None;
        }
        nat.counters.back += 1;
        Some(packet)
    }

    /// A packet is handed on from one interface to another. False: it does not pass.
    #[cold]
    pub(crate) fn nat_out(
        &mut self,
        now: Instant,
        (from, to): (IfIndex, IfIndex),
        translated: bool,
        packet: &mut Packet,
    ) -> bool {
        let Some((outside, own)) = self.nat_outside() else {
            return true;
        };
        let Some(nat) = self.nat.as_mut().filter(|_| !packet.ip.is_v6()) else {
            return true;
        };
        let passes = match (from == outside, to == outside) {
            (false, true) => {
                interpret(packet);
                let passes = nat.out(now, &mut self.random, own, packet);
                nat.counters.out += u64::from(passes);
                passes
            }
            (true, false) => translated,
            _ => true,
        };
        nat.counters.dropped += u64::from(!passes);
        passes
    }
}

#[cfg(test)]
mod tests;
