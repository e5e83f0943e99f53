//! ICMP: echo replies, the errors that the host sends, and those that come in for its sockets.
//!
//! # Limits
//! Errors that leave the host are limited as in Linux: `icmp_msgs_per_sec` with bursts of `icmp_msgs_burst` in all, and
//! to one destination one per `icmp_ratelimit` with bursts of [`HOST_BURST`]. On `lo` nothing is limited. The memory of
//! destinations is bounded by [`MAX_HOSTS`].

use core::net::IpAddr;
use core::time::Duration;

use alloc::boxed::Box;
use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet, Quoted, UdpDatagram, Unreachable};

use crate::config::Sysctl;
use crate::hash::{KeyedMap, KeyedState};
use crate::iface::IfIndex;
use crate::reports::MLD_QUERY;
use crate::stack::{Cast, Stack};
use crate::time::Instant;

/// Errors to one destination that may follow each other at once (XRLIM_BURST_FACTOR).
const HOST_BURST: u32 = 6;

/// Destinations remembered for the limit; when there are more, all are forgotten.
const MAX_HOSTS: usize = 4096;

/// The precedence "internetwork control" that ICMPv4 errors carry (RFC 1812, 4.3.2.5).
const TOS_INTERNETWORK_CONTROL: u8 = 0xc0;

#[derive(Debug)]
pub(crate) struct IcmpState {
    global: Credit,
    hosts: KeyedMap<IpAddr, Credit>,
}

/// A token bucket that counts time: a token is worth a period.
#[derive(Clone, Copy, Debug)]
struct Credit {
    have: Duration,
    at: Instant,
}

impl Credit {
    fn full(period: Duration, burst: u32) -> Credit {
        Credit {
            have: period * burst,
            at: Instant::BOOT,
        }
    }

    fn spend(&mut self, now: Instant, period: Duration, burst: u32) -> bool {
        self.have = (self.have + now.saturating_sub(self.at)).min(period * burst);
        self.at = now;
        match self.have.checked_sub(period) {
            Some(rest) => {
                self.have = rest;
                true
            }
            None => false,
        }
    }
}

impl IcmpState {
    pub(crate) fn new(hash: KeyedState, sysctl: &Sysctl) -> IcmpState {
        let global = Credit::full(global_period(sysctl), sysctl.icmp_msgs_burst);
        IcmpState {
            global,
            hosts: KeyedMap::with_hasher(hash),
        }
    }
}

fn global_period(sysctl: &Sysctl) -> Duration {
    Duration::from_secs(1) / sysctl.icmp_msgs_per_sec.max(1)
}

/// What is wrong with a packet, to be told to its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Port,
    Protocol,
    /// A parameter problem.
    Field {
        code: u8,
        pointer: u32,
    },
    /// A packet does not fit what it has to pass, and must not be cut.
    TooBig(u32),
    /// No route leads there.
    NoRoute,
    /// A route prohibits it.
    Prohibited,
    /// It does not answer on its link.
    Host,
    /// It has been handed on too often.
    Hops,
    /// The rest of it did not come in time.
    Reassembly,
}

impl Fault {
    /// The type of ICMP that tells of it.
    fn kind(self, v6: bool) -> u8 {
        match self {
            Fault::Hops | Fault::Reassembly if v6 => 3,
            Fault::Field { .. } | Fault::Protocol if v6 => 4,
            Fault::TooBig(_) if v6 => 2,
            _ if v6 => 1,
            Fault::Hops | Fault::Reassembly => 11,
            Fault::Field { .. } => 12,
            _ => 3,
        }
    }
}

impl Stack {
    /// icmpv4_mask_allow() and icmpv6_mask_allow(), the other way round.
    fn is_limited(&self, v6: bool, kind: u8) -> bool {
        if !v6 {
            return self.sysctl.icmp_ratemask & 1 << kind != 0;
        }
        let mut limited = self.sysctl.icmp6_ratemask.iter();
        limited.any(|(first, last)| (*first..=*last).contains(&u16::from(kind)))
    }

    /// An ICMP message came in.
    pub(crate) fn icmp_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        cast: Cast,
        ip: IpHeader,
        message: IcmpMessage,
    ) {
        self.counters.icmp_in_msgs += 1;
        self.counters.v6.icmp_in_msgs += u64::from(ip.is_v6());
        self.counters.icmp_in[usize::from(ip.is_v6())].count(ip.is_v6(), &message);
        match message {
            IcmpMessage::EchoRequest {
                ident,
                sequence,
                payload,
            } => {
                let (all, group) = if ip.is_v6() {
                    (
                        self.sysctl.icmp6_echo_ignore_all,
                        self.sysctl.icmp6_echo_ignore_multicast,
                    )
                } else {
                    (
                        self.sysctl.icmp_echo_ignore_all,
                        self.sysctl.icmp_echo_ignore_broadcasts,
                    )
                };
                let ignored = all || (cast != Cast::Unicast && group);
                let limited = self.is_limited(ip.is_v6(), if ip.is_v6() { 129 } else { 0 });
                if !ignored && (!limited || self.icmp_may_send(now, interface, ip.src)) {
                    let reply = IcmpMessage::EchoReply {
                        ident,
                        sequence,
                        payload,
                    };
                    // RFC 1122, 3.2.2.6: from the address that was asked, if it is one of a host.
                    let from = Some(ip.dst).filter(|_| cast == Cast::Unicast);
                    self.icmp_send(now, interface, ip.src, from, ip.tos, reply);
                }
            }
            IcmpMessage::EchoReply { .. } => self.ping_input(now, interface, &ip, message),
            IcmpMessage::Other {
                kind: MLD_QUERY,
                rest,
                payload,
                ..
            } if ip.is_v6() => self.mld_query(now, interface, &ip, rest, &payload),
            IcmpMessage::Other {
                kind: kind @ 133..=137,
                code,
                rest,
                payload,
            } if ip.is_v6() => self.ndp_input(now, interface, &ip, (kind, code), rest, &payload),
            IcmpMessage::Other { .. } => {}
            // icmp_unreach: of fragments that did not meet IPv4's senders are not told.
            IcmpMessage::TimeExceeded { code: 1, .. } if !ip.is_v6() => {}
            // icmp_unreach(): who may tell that a packet was too big.
            IcmpMessage::Unreachable {
                code: Unreachable::PacketTooBig,
                ref original,
                ..
            } if !ip.is_v6()
                && (self.sysctl.ip_no_pmtu_disc == 2
                    || (self.sysctl.ip_no_pmtu_disc == 3 && original.protocol != 6)) => {}
            // icmp_socket_deliver, icmpv6_notify: eight octets of what it is about have to be there.
            error
                if error
                    .original()
                    .is_some_and(|quoted| quoted.transport.len() < 8) => {}
            mut error => {
                let not_heard = !matches!(self.sysctl.ip_no_pmtu_disc, 0 | 3);
                if let (
                    IcmpMessage::Unreachable {
                        code: Unreachable::PacketTooBig,
                        mtu,
                        ..
                    },
                    true,
                    false,
                ) = (&mut error, not_heard, ip.is_v6())
                {
                    *mtu = 0;
                }
                if self.udp.has_raw() {
                    self.raw_icmp_error(now, interface, &ip, &error);
                }
                match error.original().map(|quoted| quoted.protocol) {
                    Some(6) => self.tcp_icmp_error(now, interface, ip, error),
                    Some(17 | 136) => self.udp_icmp_error(now, interface, &ip, &error),
                    Some(1 | 58) => self.ping_icmp_error(now, interface, &ip, &error),
                    _ => {}
                }
            }
        }
    }

    /// Nobody has the port of this datagram.
    pub(crate) fn icmp_port_unreachable(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: IpHeader,
        datagram: UdpDatagram,
    ) {
        let body = Body::Udp(datagram);
        let packet = Packet {
            ip,
            body: match &self.arriving {
                Some(arrived) => arrived.rewrap(ip.is_v6(), body),
                None => body,
            },
        };
        self.icmp_error(now, interface, Cast::Unicast, &packet, Fault::Port);
    }

    /// Nobody speaks the protocol of this packet.
    pub(crate) fn icmp_unknown_protocol(
        &mut self,
        now: Instant,
        interface: IfIndex,
        cast: Cast,
        packet: &Packet,
    ) {
        let Some(arrived) = &self.arriving else {
            return self.icmp_error(now, interface, cast, packet, Fault::Protocol);
        };
        let v6 = packet.ip.is_v6();
        let body = arrived.rewrap(v6, packet.body.clone());
        let fault = match arrived.headers.last() {
            // The last header names what nobody speaks.
            Some(last) => Fault::Field {
                code: 1,
                pointer: (packet.ip.header_len() + body.wire_len()
                    - packet.body.wire_len()
                    - last.bytes.len()) as u32,
            },
            None => Fault::Protocol,
        };
        let packet = Packet {
            ip: packet.ip,
            body,
        };
        self.icmp_error(now, interface, cast, &packet, fault);
    }

    /// Sends an error about `packet`, unless the rules forbid it.
    pub(crate) fn icmp_error(
        &mut self,
        now: Instant,
        interface: IfIndex,
        cast: Cast,
        packet: &Packet,
        fault: Fault,
    ) {
        let v6 = packet.ip.is_v6();
        // RFC 1122, 3.2.2; RFC 4443, 2.4 e: never about an error, a broadcast or a group, nor to no single host.
        let forbidden = cast != Cast::Unicast
            || packet.ip.src.is_unspecified()
            || packet.ip.src.is_multicast()
            || matches!(packet.ip.src, IpAddr::V4(v4) if self.interfaces.is_broadcast(v4))
            || matches!(&packet.body, Body::Icmp(icmp) if icmp.is_error(v6));
        if forbidden {
            return;
        }
        // icmpv4_global_allow, icmpv6_global_allow: path MTU discovery is not held up, that of IPv6 as long as its type is
        // not among the limited.
        let discovery = !v6 && matches!(fault, Fault::TooBig(_));
        let limited = !discovery && self.is_limited(v6, fault.kind(v6));
        if limited && !self.icmp_may_send(now, interface, packet.ip.src) {
            return;
        }
        let answer = self.arriving.as_ref().and_then(|a| a.answer.as_ref());
        let beside = answer.filter(|_| !v6).map_or(0, |options| options.len());
        let original = Box::new(Quoted::beside(packet, beside));
        let message = match fault {
            Fault::Port => IcmpMessage::Unreachable {
                code: Unreachable::Port,
                mtu: 0,
                original,
            },
            // RFC 4443, 3.4, code 1: the next header field, the seventh octet, is at fault.
            Fault::Protocol if v6 => IcmpMessage::ParameterProblem {
                code: 1,
                pointer: 6,
                original,
            },
            Fault::Protocol => IcmpMessage::Unreachable {
                code: Unreachable::Protocol,
                mtu: 0,
                original,
            },
            Fault::Field { code, pointer } => IcmpMessage::ParameterProblem {
                code,
                pointer,
                original,
            },
            Fault::TooBig(mtu) => IcmpMessage::Unreachable {
                code: Unreachable::PacketTooBig,
                mtu,
                original,
            },
            Fault::NoRoute => IcmpMessage::Unreachable {
                code: Unreachable::Net,
                mtu: 0,
                original,
            },
            Fault::Prohibited => IcmpMessage::Unreachable {
                code: Unreachable::AdminProhibited,
                mtu: 0,
                original,
            },
            Fault::Host => IcmpMessage::Unreachable {
                code: Unreachable::Host,
                mtu: 0,
                original,
            },
            Fault::Reassembly => IcmpMessage::TimeExceeded { code: 1, original },
            Fault::Hops => IcmpMessage::TimeExceeded { code: 0, original },
        };
        let tos = if v6 {
            0
        } else {
            packet.ip.tos & 0x1e | TOS_INTERNETWORK_CONTROL
        };
        // From the address that was meant, if it is one of the host.
        let own = Some(packet.ip.dst).filter(|dst| self.interfaces.owner(*dst).is_some());
        self.icmp_send(now, interface, packet.ip.src, own, tos, message);
    }

    fn icmp_send(
        &mut self,
        now: Instant,
        interface: IfIndex,
        dst: IpAddr,
        src: Option<IpAddr>,
        tos: u8,
        message: IcmpMessage,
    ) {
        // A link-local sender is reached by the link it was heard on.
        let link_local = matches!(dst, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let Ok(route) = self.route(dst, src, link_local.then_some(interface)) else {
            self.counters.ip_out_no_routes += 1;
            return;
        };
        let mut ip = IpHeader::new(route.source, route.destination);
        ip.tos = tos;
        ip.hop_limit = if ip.is_v6() {
            self.hop_limit6(route.interface)
        } else {
            self.sysctl.ip_default_ttl
        };
        ip.dont_fragment = ip.is_v6();
        // ip6_autoflowlabel() of the host's own ICMP socket, which says nothing itself.
        let asked = (!matches!(self.sysctl.auto_flowlabels, 1 | 3)).then_some(0);
        self.label(&mut ip, asked, (0, 0));
        if !ip.dont_fragment {
            // RFC 6864, 4.1: what may be fragmented needs an identification.
            ip.ident = self.random.u32() as u16;
        }
        self.counters.icmp_out_msgs += 1;
        self.counters.v6.icmp_out_msgs += u64::from(ip.is_v6());
        self.counters.icmp_out[usize::from(ip.is_v6())].count(ip.is_v6(), &message);
        let mut body = Body::Icmp(message);
        if let Some(arrived) = self.arriving.as_ref().filter(|_| !ip.is_v6()) {
            // icmp_reply, __icmp_send: the options come back, or nothing does.
            let Some(answer) = &arrived.answer else {
                return;
            };
            body = answer.wrap(now, &ip, ip.dst, body);
        }
        self.ip_output(&route, Packet { ip, body });
    }

    /// icmpv4_xrlim_allow and icmp_global_allow.
    fn icmp_may_send(&mut self, now: Instant, interface: IfIndex, dst: IpAddr) -> bool {
        if interface == IfIndex::LO || self.interfaces.owner(dst).is_some() {
            return true;
        }
        if !self.icmp.global.spend(
            now,
            global_period(&self.sysctl),
            self.sysctl.icmp_msgs_burst,
        ) {
            self.counters.icmp_out_rate_limit_global += 1;
            return false;
        }
        let period = match dst {
            IpAddr::V4(_) => self.sysctl.icmp_ratelimit,
            IpAddr::V6(_) => self.sysctl.icmp6_ratelimit,
        };
        if self.icmp.hosts.len() >= MAX_HOSTS && !self.icmp.hosts.contains_key(&dst) {
            self.icmp.hosts.clear();
        }
        let full = Credit::full(period, HOST_BURST);
        let allowed = self
            .icmp
            .hosts
            .entry(dst)
            .or_insert(full)
            .spend(now, period, HOST_BURST);
        if !allowed {
            self.counters.icmp_out_rate_limit_host += 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests;
