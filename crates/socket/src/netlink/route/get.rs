//! RTM_GETROUTE for one destination: `ip route get`.

use super::super::message::{Answer, Refusal, Request};
use super::super::serve::Asker;
use super::rows::{BROADCAST, MULTICAST, Row, TO_HOST, UNICAST, put_v6_rest};
use super::strict::{RTA_DPORT, RTA_IP_PROTO, RTA_SPORT};
use super::{
    Form, Host, MAIN, RTA_CACHEINFO, RTA_DST, RTA_GATEWAY, RTA_IIF, RTA_MARK, RTA_OIF, RTA_PREFSRC,
    RTA_PRIORITY, RTA_SRC, RTA_TABLE, RTA_UID, RTM_NEWROUTE, RTMSG, UNIVERSE, bits, octets,
    policies, strict, word_of,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{Flow, IfIndex, RouteInfo, RouteKind};

/// RTM_F_CLONED and RTCF_LOCAL, RTCF_MULTICAST, RTCF_BROADCAST of `rtm_flags`.
const CLONED: u32 = 0x200;
const TO_THIS_HOST: u32 = 0x8000_0000;
const TO_A_GROUP: u32 = 0x2000_0000;
const TO_ALL: u32 = 0x1000_0000;
/// RTM_F_LOOKUP_TABLE: the table is asked for, too.
const LOOKUP_TABLE: u32 = 0x1000;
/// RTM_F_FIB_MATCH: the route itself is asked for.
const FIB_MATCH: u32 = 0x2000;

/// IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

/// rtm_getroute_parse_ip_proto(): which protocol's way is asked for.
fn protocol_of(request: &Request<'_>, v6: bool) -> Result<u8, Refusal> {
    match (
        request
            .attribute(RTMSG, RTA_IP_PROTO)
            .and_then(<[u8]>::first),
        v6,
    ) {
        (None, _) => Ok(0),
        (Some(&own @ (TCP | UDP)), _) | (Some(&own @ ICMP), false) | (Some(&own @ ICMP6), true) => {
            Ok(own)
        }
        _ => Err(Refusal::new(Errno::EOPNOTSUPP, "Unsupported ip proto")),
    }
}

impl Host {
    /// inet_rtm_getroute(), inet6_rtm_getroute()
    pub(super) fn one_route(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let any: IpAddr = match i32::from(family) {
            AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return Err(Errno::EOPNOTSUPP.into()),
        };
        let text = match any.is_ipv6() {
            false => "ipv4: Invalid header for route get request",
            true => "ipv6: Invalid header for get route request",
        };
        let head: &[u8; RTMSG] =
            (request.body().first_chunk()).ok_or(Refusal::new(Errno::EINVAL, text))?;
        if !asker.strict {
            request.check(RTMSG, policies::route(any.is_ipv6()), false)?;
        }
        strict::one_route(asker, request, head, any.is_ipv6())?;
        let addr = |kind| request.address(RTMSG, family, kind);
        let word = |kind| request.word(RTMSG, kind);
        let (dst, src) = (addr(RTA_DST)?.unwrap_or(any), addr(RTA_SRC)?);
        if word(RTA_IIF)?.is_some_and(|index| index != 0) {
            // The way of a packet that comes in.
            let text = "Only routes of packets from this host";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        if word_of(&head[8..])? & FIB_MATCH != 0 {
            let text = "Only the way of a packet, not the route that leads it";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        // A connection to :: is one to ::1, and a packet is not.
        let default = |row: &Row| row.to.is_ipv6() && row.len == 0;
        if dst == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !self.route_rows().iter().any(default) {
            return Err(Errno::ENETUNREACH.into());
        }
        let device = match word(RTA_OIF)?.and_then(IfIndex::new) {
            Some(index) if self.stack.interface(index).is_none() => {
                return Err(Errno::ENODEV.into());
            }
            device => device,
        };
        let port = |kind| -> Result<u16, Refusal> {
            let data = request.attribute(RTMSG, kind);
            Ok(data
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |raw| u16::from_be_bytes(*raw)))
        };
        let flow = Flow {
            src,
            device,
            mark: word(RTA_MARK)?.unwrap_or(0),
            protocol: protocol_of(request, any.is_ipv6())?,
            ports: (port(RTA_SPORT)?, port(RTA_DPORT)?),
            tos: head[3],
            uid: word(RTA_UID)?.unwrap_or(asker.uid),
            ..Flow::to(dst)
        };
        let found = self.stack.route_of(&flow).map_err(crate::error::route)?;
        // Who does not ask for the table hears of main.
        let table = match word_of(&head[8..])? & LOOKUP_TABLE {
            0 => MAIN,
            _ => self.stack.table_of(&flow).map_err(crate::error::route)?,
        };
        let form = Form::part(RTM_NEWROUTE, request, asker.port);
        let to = found.destination;
        let mut row = Row {
            to,
            len: bits(to),
            table,
            protocol: 0,
            scope: UNIVERSE,
            kind: match found.kind {
                RouteKind::Local => TO_HOST,
                RouteKind::Unicast => UNICAST,
                RouteKind::Broadcast => BROADCAST,
                RouteKind::Multicast => MULTICAST,
            },
            source: Some(found.source).filter(|_| src.is_none() || to.is_ipv6()),
            gateway: Some(found.next_hop).filter(|via| *via != to),
            metric: None,
            interface: found.interface,
            hops: alloc::vec::Vec::new(),
            aged: None,
        };
        if to.is_ipv6() {
            return Ok(Answer::One(self.v6_answer(row, &found, &form, src)));
        }
        let lo = found.interface == IfIndex::LO;
        // rt_set_nexthop(): a gateway that is the host itself is none, and a group has none.
        if lo || found.kind == RouteKind::Multicast {
            row.gateway = None;
        }
        let kind = match found.kind {
            RouteKind::Multicast => TO_A_GROUP,
            RouteKind::Broadcast => TO_ALL,
            RouteKind::Local | RouteKind::Unicast => 0,
        };
        // __mkroute_output(): the host hears broadcasts of its own, and groups that it has joined there.
        let heard = match found.kind {
            RouteKind::Broadcast => true,
            RouteKind::Multicast => {
                let all = Ipv4Addr::new(224, 0, 0, 1);
                let groups = self.stack.groups_on(found.interface);
                to == all || groups.iter().any(|(group, _)| *group == to)
            }
            RouteKind::Local | RouteKind::Unicast => false,
        };
        let flags = CLONED | kind | if lo || heard { TO_THIS_HOST } else { 0 };
        let mut head = row.head(flags);
        if src.is_some() {
            head[2] = 32;
        }
        let mut m = form.message(&head);
        m.put_u32(RTA_TABLE, row.table);
        m.put(RTA_DST, &octets(to));
        if let Some(src) = src {
            m.put(RTA_SRC, &octets(src));
        }
        m.put_u32(RTA_OIF, row.interface.get());
        if let Some(source) = row.source {
            m.put(RTA_PREFSRC, &octets(source));
        }
        if let Some(via) = row.gateway {
            m.put(RTA_GATEWAY, &octets(via));
        }
        if flow.mark != 0 {
            m.put_u32(RTA_MARK, flow.mark);
        }
        m.put_u32(RTA_UID, word(RTA_UID)?.unwrap_or(asker.uid));
        m.put(RTA_CACHEINFO, &[0; 32]);
        Ok(Answer::One(m.finish()))
    }

    /// rt6_fill_node(): with the route's own table, protocol and metric.
    fn v6_answer(
        &self,
        mut row: Row,
        found: &RouteInfo,
        form: &Form,
        src: Option<IpAddr>,
    ) -> alloc::vec::Vec<u8> {
        let all = self.route_rows();
        let leads = |r: &&Row| {
            r.to.is_ipv6()
                && r.interface == found.interface
                && super::network(row.to, r.len) == r.to
                && r.gateway == row.gateway
                && (r.kind == TO_HOST) == (found.kind == RouteKind::Local)
        };
        let local = |r: &&Row| r.kind == TO_HOST && r.to == row.to;
        let longest = match found.kind {
            RouteKind::Local => all.iter().find(local),
            _ => all.iter().filter(leads).max_by_key(|r| r.len),
        };
        if let Some(r) = longest {
            (row.table, row.protocol, row.metric) = (r.table, r.protocol, r.metric);
        }
        let mut head = row.head(0);
        head[2] = 128;
        let mut m = form.message(&head);
        m.put_u32(RTA_TABLE, row.table);
        m.put(RTA_DST, &octets(row.to));
        let none = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        m.put(RTA_SRC, &octets(src.unwrap_or(none)));
        if let Some(source) = row.source {
            m.put(RTA_PREFSRC, &octets(source));
        }
        m.put_u32(RTA_PRIORITY, row.metric.unwrap_or(0));
        if let Some(via) = row.gateway {
            m.put(RTA_GATEWAY, &octets(via));
        }
        m.put_u32(RTA_OIF, row.interface.get());
        put_v6_rest(&mut m);
        m.finish()
    }
}
