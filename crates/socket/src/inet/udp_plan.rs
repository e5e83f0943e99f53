//! A datagram on its way out: where it goes and how, and what is held back of it until it is whole.

use super::flow_label::LABEL;
use super::udp::UdpSocket;
use super::{InetFlags, InetOptions, needs_scope};
use crate::call::FailEffect;
use crate::options::control::Cookie;
use crate::socket::{Common, CommonFlags};
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use switchboard_abi::number::*;
use switchboard_engine::{IfIndex, IpOptions, SendExtra, Tag, UdpSend, Way};
use switchboard_wire::Payload;

#[derive(Clone, Debug)]
pub(crate) struct UdpSendPlan {
    pub(super) dst: SocketAddr,
    pub(super) src: Option<IpAddr>,
    pub(super) device: Option<IfIndex>,
    pub(super) ttl: Option<u8>,
    pub(super) tos: Option<u8>,
    pub(super) more: bool,
    /// A plain send of a connected IPv4 socket, which keeps the way that it finds (sk_dst_set()).
    pub(super) finds_way: bool,
    pub(super) cookie: Cookie,
    /// How many of the sends that it is made of want a MSG_ZEROCOPY notice.
    pub(super) notices: u32,
    /// IPv6's, if it is not to be made of addresses and ports.
    pub(super) flow_label: Option<u32>,
    /// Not to be sent in fragments (`IPV6_DONTFRAG`).
    pub(super) whole: bool,
    pub(super) probe: bool,
    /// MSG_CONFIRM
    pub(super) confirm: bool,
    /// `UDP_SEGMENT`; 0 is off.
    pub(super) segment: u16,
    /// `UDP_NO_CHECK6_TX`, over IPv6.
    pub(super) unsummed: bool,
    /// `IP_PMTUDISC_DONT` and kin: routers may cut it.
    may_be_cut: bool,
    /// `IPV6_MTU`; 0 leaves it to the path.
    pub(super) fragment_size: u32,
    /// IPv4 options or IPv6 extension headers.
    pub(super) extra: Option<Box<SendExtra>>,
}

pub(crate) struct Corked {
    pub(super) data: Payload,
    /// The bytes of the first send, for which memory was taken; later ones are charged by the byte.
    pub(super) first: usize,
    pub(super) to: UdpSendPlan,
    /// The address it leaves from, whatever becomes of the socket's (inet->cork.fl).
    pub(super) from: Option<IpAddr>,
}

/// The type of service, or the traffic class, of the socket's options.
pub(super) fn tos_to(dst: IpAddr, inet: &InetOptions) -> u8 {
    match dst {
        IpAddr::V4(_) => inet.tos,
        IpAddr::V6(_) => inet.tclass,
    }
}

/// From which address and by which interface the socket's options want a datagram to go.
pub(super) fn egress(dst: IpAddr, inet: &InetOptions) -> (Option<IpAddr>, Option<IfIndex>) {
    inet.rare(|rare| match dst {
        IpAddr::V4(ip) if ip.is_multicast() => {
            let address = rare.multicast_address.filter(|ip| !ip.is_unspecified());
            (address.map(IpAddr::V4), rare.multicast_if)
        }
        IpAddr::V4(_) => (None, rare.unicast_if),
        IpAddr::V6(ip) => {
            let sticky = rare.pktinfo.and_then(|(_, device)| device);
            (None, sticky.or_else(|| picked(ip, inet)))
        }
    })
}

impl InetOptions {
    /// Whether IP options name a router to go by (`ip_opt.srr`).
    pub(super) fn routes_by_source(&self) -> bool {
        let extra = self.rare.as_deref().and_then(|rare| rare.extra.as_ref());
        extra.is_some_and(|extra| extra.first_hop().is_some())
    }
}

/// `IPV6_MULTICAST_IF` or `IPV6_UNICAST_IF`.
fn picked(ip: Ipv6Addr, inet: &InetOptions) -> Option<IfIndex> {
    inet.rare(|rare| match ip.is_multicast() {
        true => rare.multicast_if6,
        false => rare.unicast_if6,
    })
}

/// The interface that an address names which means something on one link only.
pub(super) fn scope_of(dst: SocketAddr) -> Option<IfIndex> {
    match dst {
        SocketAddr::V6(a) if needs_scope(a.ip()) => IfIndex::new(a.scope_id()),
        _ => None,
    }
}

/// What the socket sends to `dst` beside a plain IP header.
fn extra_to(dst: SocketAddr, inet: &InetOptions) -> Option<Box<SendExtra>> {
    let sticky = inet.rare.as_deref().and_then(|rare| rare.extra.as_ref());
    sticky.filter(|extra| extra.len(dst.is_ipv6()) > 0).cloned()
}

/// ip_dont_fragment(), the other way round.
fn may_be_cut(dst: SocketAddr, inet: &InetOptions) -> bool {
    let loose = [IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE, IP_PMTUDISC_OMIT];
    dst.is_ipv4() && loose.contains(&inet.discover.into())
}

impl UdpSendPlan {
    /// rawv6_sendmsg() does not ask `IPV6_PKTINFO` for an interface.
    pub(super) fn pass_sticky(&mut self, inet: &InetOptions) {
        if let IpAddr::V6(ip) = self.dst.ip() {
            self.device = scope_of(self.dst).or_else(|| picked(ip, inet));
        }
    }

    /// A datagram to `dst` with what the socket's options say.
    pub(super) fn to(
        dst: SocketAddr,
        inet: &InetOptions,
        cookie: Cookie,
        flags: i32,
    ) -> UdpSendPlan {
        let (src, device) = egress(dst.ip(), inet);
        UdpSendPlan {
            dst,
            src,
            device: scope_of(dst).or(device),
            ttl: match dst {
                SocketAddr::V4(a) if a.ip().is_multicast() => Some(inet.multicast_ttl),
                SocketAddr::V4(_) => inet.ttl,
                SocketAddr::V6(a) if a.ip().is_multicast() => Some(inet.multicast_hops),
                SocketAddr::V6(_) => inet.hops,
            },
            cookie,
            notices: 0,
            tos: Some(tos_to(dst.ip(), inet)),
            flow_label: None,
            whole: dst.is_ipv6() && inet.has(InetFlags::DONTFRAG),
            more: flags & MSG_MORE != 0,
            finds_way: false,
            probe: flags & MSG_PROBE != 0,
            confirm: flags & MSG_CONFIRM != 0,
            segment: 0,
            unsummed: false,
            may_be_cut: may_be_cut(dst, inet),
            fragment_size: match dst {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(_) => inet.rare(|rare| rare.frag_size),
            },
            extra: extra_to(dst, inet),
        }
    }

    /// Where it goes first: a source route leads elsewhere than to the destination.
    pub(super) fn via(&self) -> IpAddr {
        let hop = self.extra.as_ref().and_then(|extra| extra.first_hop());
        hop.unwrap_or(self.dst.ip())
    }

    /// The same, as the route is asked for.
    pub(super) fn way(&self) -> Way {
        Way {
            src: self.src,
            device: self.device,
            mark: Some(self.cookie.tag.mark),
            tos: self.tos.unwrap_or(0),
            port: self.dst.port(),
        }
    }

    /// What stands between the IP header and the datagram.
    pub(super) fn beside(&self) -> usize {
        let extra = self.extra.as_ref();
        extra.map_or(0, |extra| extra.len(self.dst.is_ipv6()))
    }

    /// Whether the first stop has to be on the link (`RTO_ONLINK`).
    pub(super) fn is_strict(&self) -> bool {
        let options = self.extra.as_ref().and_then(|e| e.options.as_ref());
        options.is_some_and(IpOptions::is_strict)
    }

    /// What `UDP_CORK` held back, when it is pushed.
    pub(super) fn pushed(&self) -> UdpSendPlan {
        UdpSendPlan {
            more: false,
            ..self.clone()
        }
    }

    /// It is taken, and never arrives.
    pub(super) fn lose(&mut self) {
        self.probe = true;
    }

    /// `IPV6_FLOWINFO`: of it Linux takes the label for the packet.
    pub(super) fn set_flow(&mut self, flow: u32) {
        self.flow_label = Some(flow & LABEL);
    }

    pub(super) fn into_send(self, payload: Payload) -> UdpSend {
        UdpSend {
            dst: self.dst,
            src: self.src,
            device: self.device,
            tos: self.tos,
            ttl: self.ttl,
            // A batch of one is none.
            segment: if payload.len() > usize::from(self.segment) {
                self.segment
            } else {
                0
            },
            unsummed: self.unsummed,
            may_be_cut: self.may_be_cut,
            fragment_size: self.fragment_size,
            tag: Tag {
                paged: self.segment > 0,
                ..self.cookie.tag
            },
            flow_label: self.flow_label,
            extra: self.extra,
            payload,
        }
    }
}

impl UdpSocket {
    /// Bytes that MSG_MORE holds back.
    pub(super) fn held(&self) -> usize {
        self.corked.as_ref().map_or(0, |c| c.data.len())
    }

    /// Each protocol has its own option: SO_NO_CHECK and UDP_NO_CHECK6_TX.
    pub(super) fn is_unsummed(&self, common: &Common, dst: SocketAddr) -> bool {
        match dst {
            SocketAddr::V4(_) => common.has(CommonFlags::NO_CHECK),
            SocketAddr::V6(_) => self.offload.no_check_tx,
        }
    }

    /// Whether it is not simply sent: something is held back, or will be.
    pub(super) fn corks(&self, to: &UdpSendPlan) -> bool {
        to.more || to.probe || self.corked.is_some()
    }

    /// What a first datagram that could not be made leaves behind: udp_sendmsg() has settled by then where it goes. `pending`:
    /// the error is the socket's.
    pub(crate) fn left_by(&self, plan: &UdpSendPlan, pending: bool) -> FailEffect {
        let from = match plan.src {
            Some(IpAddr::V4(from)) => Some(from),
            _ => None,
        };
        match plan.dst {
            SocketAddr::V4(to) if plan.more => FailEffect::UdpStrayed { to, from, pending },
            _ if plan.finds_way && self.no_way => FailEffect::UdpFoundWay { pending },
            _ => FailEffect::Nothing,
        }
    }

    /// Joins data to what MSG_MORE held back. `None`: nothing is sent yet.
    pub(super) fn cork(
        &mut self,
        mut to: UdpSendPlan,
        mut data: Payload,
        mut from: Option<IpAddr>,
    ) -> Option<(UdpSendPlan, Payload)> {
        if to.probe {
            // "Do not send. Only probe path f.e. for MTU." What is held back already is pushed all the same.
            self.corked.as_ref()?;
            data = Payload::default();
        }
        let mut first = data.len();
        if let Some(mut corked) = self.corked.take() {
            (first, from) = (corked.first, corked.from);
            for chunk in data.iter() {
                corked.data.push(chunk.clone());
            }
            data = corked.data;
            // Where it goes and how is settled by the first of them, the checksum by the last.
            to = UdpSendPlan {
                more: to.more,
                unsummed: to.unsummed,
                notices: corked.to.notices + to.notices,
                ..corked.to
            };
        }
        if to.more {
            if to.dst.is_ipv4() {
                self.flow = Some(Box::new((to.dst, to.src)));
            }
            self.corked = Some(Corked {
                data,
                first,
                to,
                from,
            });
            return None;
        }
        // UdpSendPlan::lose()
        if to.probe {
            return None;
        }
        to.src = to.src.or(from);
        Some((to, data))
    }

    /// Whether anything is held back, if only its destination.
    pub(crate) fn held_back(&self) -> bool {
        self.corked.is_some()
    }

    /// sk_wmem_alloc: what is held back.
    pub(crate) fn charge(&self) -> u32 {
        self.corked.as_ref().map_or(0, |corked| {
            let rest = corked.data.len() - corked.first;
            switchboard_engine::datagram_memory(corked.first, corked.to.dst.is_ipv6())
                .saturating_add(rest as u32)
        })
    }
}
