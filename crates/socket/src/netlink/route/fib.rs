//! Routes: RTM_NEWROUTE and RTM_DELROUTE, and their dump.

use super::super::message::{APPEND, Answer, CREATE, EXCL, REPLACE, Refusal, Request};
use super::super::serve::Asker;
use super::hops::{self, Hop};
use super::rows::{BLACKHOLE, PROHIBIT, Row, THROW, UNICAST, UNREACHABLE, USER_METRIC};
use super::{
    Form, HOST, Host, LINK, LOCAL, MAIN, NOWHERE, RTA_CACHEINFO, RTA_DST, RTA_GATEWAY,
    RTA_MULTIPATH, RTA_OIF, RTA_PREF, RTA_PREFSRC, RTA_PRIORITY, RTA_TABLE, RTM_DELROUTE,
    RTM_NEWROUTE, RTMSG, Teller, bits, family_of, network, policies, strict, word_of,
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{IfIndex, Interface, InterfaceAddress, Leads, RouteConfig, Share};

/// RT_TABLE_UNSPEC, RT_TABLE_COMPAT
const NO_TABLE: u32 = 0;
/// RTM_F_CLONED: cached routes, of which there are none to show. RTM_F_PREFIX: of IPv6, those that a router announced.
const CLONED: u32 = 0x200;
const PREFIX: u32 = 0x800;
/// ICMPV6_ROUTER_PREF_HIGH, ICMPV6_ROUTER_PREF_LOW
const HIGH: u8 = 1;
const LOW: u8 = 3;
/// RTN_MAX
const LAST_KIND: u8 = 11;

/// A route as a request names it.
#[derive(Clone)]
pub(crate) struct RouteWanted {
    pub(crate) to: IpAddr,
    pub(crate) len: u8,
    pub(crate) table: u32,
    pub(crate) protocol: u8,
    pub(crate) scope: u8,
    pub(crate) kind: u8,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) interface: Option<u32>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) metric: u32,
    /// Several, in place of gateway and interface.
    pub(crate) hops: Vec<Hop>,
    /// NLM_F_*
    pub(crate) flags: u16,
}

impl RouteWanted {
    /// The table's number.
    fn table(&self) -> u32 {
        if self.table == NO_TABLE {
            MAIN
        } else {
            self.table
        }
    }

    /// What the kind of route makes of packets; `None` for those that there are none of here.
    fn leads(&self) -> Option<Leads> {
        match self.kind {
            0 | UNICAST => Some(Leads::On),
            BLACKHOLE => Some(Leads::Nowhere),
            UNREACHABLE => Some(Leads::Unreachable),
            PROHIBIT => Some(Leads::Prohibited),
            THROW => Some(Leads::Back),
            _ => None,
        }
    }

    /// Whether a route is the one that a deletion names (fib_table_delete(), ip6_route_del()).
    fn names(&self, row: &Row) -> bool {
        let given = |n: u8, of: u8| n == 0 || n == of;
        (row.to, row.len, row.table) == (self.to, self.len, self.table())
            && (given(self.kind, row.kind))
            && (self.scope == NOWHERE || self.to.is_ipv6() || self.scope == row.scope)
            && given(self.protocol, row.protocol)
            && (self.metric == 0 || row.metric == Some(self.metric))
            && self.gateway.is_none_or(|via| row.gateway == Some(via))
            && self.interface.is_none_or(|dev| row.interface.get() == dev)
            && (self.source.is_none() || self.source == row.source)
            && (self.hops.is_empty() || self.hops == row.hops)
    }
}

impl Host {
    pub(super) fn routes_by(&self, index: IfIndex) -> Vec<RouteConfig> {
        let all = self.stack.routes();
        // Those of IPv4 that lead nowhere have no interface.
        let on = |route: &&RouteConfig| {
            route.interface == index && (route.leads == Leads::On || route.prefix.is_ipv6())
        };
        all.filter(on).copied().collect()
    }

    pub(super) fn route_dump(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let mut shown = self.route_rows();
        shown.retain(|row| family == 0 || family_of(row.to) == family);
        let head: Option<&[u8; RTMSG]> = request.body().first_chunk();
        let flags = head.map_or(Ok(0), |head| word_of(&head[8..]))?;
        let mut filtered = false;
        // ip_valid_fib_dump_req()
        if asker.strict {
            let refuse = |text| Refusal::new(Errno::EINVAL, text);
            let head = head.ok_or(refuse("Invalid header for FIB dump request"))?;
            let [_, dst_len, src_len, tos, table, protocol, scope, kind, ..] = *head;
            if [dst_len, src_len, tos, scope] != [0; 4] {
                return Err(refuse("Invalid values in header for FIB dump request"));
            }
            if flags & !(CLONED | PREFIX) != 0 {
                return Err(refuse("Invalid flags for FIB dump request"));
            }
            request.check(RTMSG, &policies::ROUTE4, true)?;
            let text = "Unsupported attribute in dump request";
            strict::only(asker, request, RTMSG, &[RTA_TABLE, RTA_OIF], text)?;
            let mut table = u32::from(table);
            if let Some(data) = request.attribute(RTMSG, RTA_TABLE) {
                table = word_of(data)?;
            }
            let by = request.word(RTMSG, RTA_OIF)?;
            if let Some(by) = by
                && IfIndex::new(by).is_none_or(|by| self.stack.interface(by).is_none())
            {
                return Err(Errno::ENODEV.into());
            }
            let known = |v6| family == 0 || self.stack.has_table(v6, table);
            if table > 0 && !known(i32::from(family) == AF_INET6) {
                let text = match i32::from(family) {
                    AF_INET => "ipv4: FIB table does not exist",
                    AF_INET6 => "ipv6: FIB table does not exist",
                    _ => return Ok(Answer::dump(Vec::new())),
                };
                return Ok(Answer::NoDump {
                    why: Refusal::new(Errno::ENOENT, text),
                    filtered: true,
                });
            }
            filtered = table > 0 || protocol > 0 || kind > 0 || by.is_some();
            shown.retain(|row| {
                (table == 0 || row.table == table)
                    && (protocol == 0 || row.protocol == protocol)
                    && (kind == 0 || row.kind == kind)
                    && by.is_none_or(|by| row.interface.get() == by)
            });
        }
        if flags & (CLONED | PREFIX) != 0 {
            shown.clear();
        }
        let form = Form::part(RTM_NEWROUTE, request, asker.port);
        Ok(Answer::Dump {
            messages: shown.iter().map(|r| r.message(&form).finish()).collect(),
            filtered,
        })
    }

    /// rtm_to_fib_config(), rtm_to_fib6_config()
    fn route_wanted(&self, request: &Request<'_>, family: u8) -> Result<RouteWanted, Refusal> {
        if matches!(i32::from(family), AF_INET | AF_INET6) {
            let policy = policies::route(i32::from(family) == AF_INET6);
            // nlmsg_validate_deprecated() tells nothing of a short header.
            if request.body().len() < RTMSG && i32::from(family) == AF_INET {
                return Err(Errno::EINVAL.into());
            }
            request.check(RTMSG, policy, false)?;
        }
        let head: &[u8; RTMSG] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        let [
            _,
            len,
            src_len,
            tos,
            table,
            protocol,
            scope,
            kind,
            flags @ ..,
        ] = *head;
        let any = match i32::from(family) {
            AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => return Err(Errno::EOPNOTSUPP.into()),
        };
        let refuse = |text| Refusal::new(Errno::EINVAL, text);
        if len > bits(any) {
            return Err(refuse("Invalid prefix length"));
        }
        if kind > LAST_KIND {
            return Err(refuse("Invalid route type"));
        }
        let known = [
            RTA_DST,
            RTA_OIF,
            RTA_GATEWAY,
            RTA_PRIORITY,
            RTA_PREFSRC,
            RTA_CACHEINFO,
            RTA_MULTIPATH,
            RTA_TABLE,
            RTA_PREF,
        ];
        // rtm_to_fib6_config(): what is neither high nor low is medium, which all routes here are.
        let preferred = |data: &[u8]| any.is_ipv6() && matches!(data, [HIGH | LOW, ..]);
        // Who deletes a route of IPv4 is not asked for its flags.
        let flagged = flags != [0; 4] && (any.is_ipv6() || request.kind == RTM_NEWROUTE);
        if src_len != 0
            || tos != 0
            || flagged
            || request.attribute(RTMSG, RTA_PREF).is_some_and(preferred)
            || request.kinds(RTMSG).any(|k| !known.contains(&k))
        {
            return Err(hops::unknown());
        }
        let addr = |kind| request.address(RTMSG, family, kind);
        let word = |kind| request.word(RTMSG, kind);
        let to = addr(RTA_DST)?.unwrap_or(any);
        if any.is_ipv4() && network(to, len) != to {
            return Err(refuse("Invalid prefix for given prefix length"));
        }
        Ok(RouteWanted {
            to: network(to, len),
            len,
            table: word(RTA_TABLE)?.unwrap_or(table.into()),
            protocol,
            scope,
            kind,
            gateway: addr(RTA_GATEWAY)?.filter(|via| !via.is_unspecified()),
            interface: word(RTA_OIF)?.filter(|index| *index != 0),
            source: addr(RTA_PREFSRC)?.filter(|source| !source.is_unspecified()),
            metric: word(RTA_PRIORITY)?.unwrap_or(0),
            hops: match request.attribute(RTMSG, RTA_MULTIPATH) {
                Some(data) => hops::parse(family, data)?,
                None => Vec::new(),
            },
            flags: request.flags,
        })
    }

    pub(super) fn new_route(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let wanted = self.route_wanted(request, family)?;
        self.insert_route(&Teller::of(asker, request), &wanted)?;
        Ok(Answer::Done)
    }

    /// fib_table_insert(), ip6_route_add()
    pub(crate) fn insert_route(
        &mut self,
        teller: &Teller,
        wanted: &RouteWanted,
    ) -> Result<(), Refusal> {
        let table = wanted.table();
        let leads = wanted.leads().filter(|_| table != LOCAL);
        let Some(leads) = leads else {
            let text = "Routes of this kind follow from addresses on this host";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        };
        let some =
            wanted.gateway.is_some() || wanted.interface.is_some() || !wanted.hops.is_empty();
        // fib_create_info()
        if leads != Leads::On && wanted.to.is_ipv4() && some {
            let text = "Gateway, device and multipath can not be specified for this route type";
            return Err(Refusal::new(Errno::EINVAL, text));
        }
        if let Some(source) = wanted.source
            && !self.stack.is_local(source)
        {
            let text = match source {
                IpAddr::V4(_) => "Invalid prefsrc address",
                IpAddr::V6(_) => "Invalid source address",
            };
            return Err(Refusal::new(Errno::EINVAL, text));
        }
        let v4 = wanted.to.is_ipv4();
        let route = RouteConfig {
            prefix: wanted.to,
            prefix_len: wanted.len,
            gateway: None,
            interface: IfIndex::LO,
            source: wanted.source,
            metric: match wanted.metric {
                0 if !v4 => USER_METRIC,
                metric => metric,
            },
            protocol: wanted.protocol,
            scope: if v4 { wanted.scope } else { 0 },
            table,
            leads,
            share: None,
        };
        let new = match leads {
            Leads::On => self.joined(&self.by_hops(wanted, &route)?),
            _ => alloc::vec![route],
        };
        let like = |r: &RouteConfig| {
            (r.table, r.prefix, r.prefix_len, r.metric)
                == (table, route.prefix, route.prefix_len, route.metric)
        };
        let existing: Vec<RouteConfig> = self.stack.routes().filter(|r| like(r)).copied().collect();
        // A connected subnet stands in the same table: it has IPv6's metric 256 and IPv4's 0.
        let derived = self.route_rows();
        let derived = derived.iter().any(|row| {
            (row.to, row.len, row.table) == (route.prefix, route.prefix_len, table)
                && row.metric.unwrap_or(0) == route.metric
                && row.protocol == super::BY_KERNEL
        });
        let taken = derived || !existing.is_empty();
        let (new, all) = self.arranged(wanted.flags, taken, existing, new)?;
        self.stack.remove_routes(like);
        all.iter().for_each(|route| self.stack.add_route(*route));
        if let Some(row) = Row::of(&new) {
            self.tell_route(teller, &teller.form(RTM_NEWROUTE), &row);
        }
        Ok(())
    }

    /// The new route as it will be, and all those that are alike in their order; or why it cannot be among them.
    fn arranged(
        &self,
        flags: u16,
        taken: bool,
        old: Vec<RouteConfig>,
        new: Vec<RouteConfig>,
    ) -> Result<(Vec<RouteConfig>, Vec<RouteConfig>), Errno> {
        if taken && flags & EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        let Some(first) = old.first() else {
            return match flags & CREATE {
                0 => Err(Errno::ENOENT),
                _ => Ok((new.clone(), new)),
            };
        };
        let is_among =
            |among: &[RouteConfig], route| among.iter().any(|r| hops::are_same(r, route));
        if flags & REPLACE != 0 {
            let others = old
                .iter()
                .filter(|r| *r != first && !hops::are_together(first, r));
            let rest: Vec<RouteConfig> = others.copied().collect();
            return match is_among(&rest, &new[0]) {
                true => Err(Errno::EEXIST),
                false => Ok((new.clone(), [new, rest].concat())),
            };
        }
        if new.iter().all(|route| is_among(&old, route)) {
            return Err(Errno::EEXIST);
        }
        if first.prefix.is_ipv4() {
            let all = match flags & APPEND {
                // In front of those that are like it.
                0 => [new.clone(), old].concat(),
                _ => [old, new.clone()].concat(),
            };
            return Ok((new, all));
        }
        // rt6_qualify_for_ecmp(): those with routers become hops of one route.
        if old.iter().chain(&new).all(|r| r.gateway.is_some()) {
            let joined = self.joined(&[old, new].concat());
            return Ok((joined.clone(), joined));
        }
        Ok((new.clone(), [old, new].concat()))
    }

    /// The route by each of its hops, if there is a way to them.
    fn by_hops(
        &self,
        wanted: &RouteWanted,
        route: &RouteConfig,
    ) -> Result<Vec<RouteConfig>, Refusal> {
        if wanted.hops.is_empty() {
            return Ok(alloc::vec![RouteConfig {
                gateway: wanted.gateway,
                interface: self.next_hop(wanted)?,
                ..*route
            }]);
        }
        let by = |hop: &Hop| {
            let single = RouteWanted {
                gateway: hop.gateway,
                interface: Some(hop.interface).filter(|index| *index != 0),
                hops: Vec::new(),
                ..wanted.clone()
            };
            Ok(RouteConfig {
                gateway: hop.gateway,
                interface: self.next_hop(&single)?,
                share: Some(Share {
                    group: 0,
                    weight: hop.weight,
                }),
                ..*route
            })
        };
        wanted.hops.iter().map(by).collect()
    }

    /// fib_check_nh(), ip6_route_check_nh(): the interface that the route leaves by.
    fn next_hop(&self, wanted: &RouteWanted) -> Result<IfIndex, Refusal> {
        let v4 = wanted.to.is_ipv4();
        let asked = match wanted.interface {
            Some(index) => {
                let found = IfIndex::new(index).and_then(|index| self.stack.interface(index));
                Some(found.ok_or(Errno::ENODEV)?)
            }
            None => None,
        };
        if !v4 && asked.is_some_and(Interface::is_v6_disabled) {
            let text = "IPv6 is disabled on nexthop device";
            return Err(Refusal::new(Errno::EACCES, text));
        }
        if asked.is_some_and(|interface| !interface.is_up()) {
            let text = if v4 {
                "Device for nexthop is not up"
            } else {
                "Nexthop device is not up"
            };
            return Err(Refusal::new(Errno::ENETDOWN, text));
        }
        let Some(via) = wanted.gateway else {
            return Ok(asked.ok_or(Errno::ENODEV)?.index());
        };
        if via.is_multicast() || matches!(via, IpAddr::V4(via) if via.is_broadcast()) {
            let text = if v4 {
                "Nexthop has invalid gateway"
            } else {
                "Invalid gateway address"
            };
            return Err(Refusal::new(Errno::EINVAL, text));
        }
        let may = |i: &Interface| i.is_up() && asked.is_none_or(|a| a.index() == i.index());
        let has = |i: &Interface, test: &dyn Fn(&InterfaceAddress) -> bool| {
            may(i) && i.addresses().iter().any(test)
        };
        // The gateway has to be nearer than what is behind it (flowi4_scope).
        let need = if v4 {
            wanted.scope.saturating_add(1).max(LINK)
        } else {
            LINK
        };
        let own = |i: &&Interface| {
            let lo = i.is_loopback();
            has(i, &|a| a.addr == via || (lo && a.covers(via)))
        };
        if let (true, Some(interface)) = (v4 && need <= HOST, self.stack.interfaces().find(own)) {
            return Ok(interface.index());
        }
        let on_link = |i: &&Interface| !i.is_loopback() && has(i, &|a| a.covers(via));
        if let (true, Some(interface)) = (need <= LINK, self.stack.interfaces().find(on_link)) {
            return Ok(interface.index());
        }
        let direct = self.stack.routes().find(|r| {
            let near = if v4 {
                r.scope >= need
            } else {
                r.gateway.is_none()
            };
            near && r.leads == Leads::On
                && network(via, r.prefix_len) == r.prefix
                && r.prefix.is_ipv4() == v4
                && asked.is_none_or(|a| a.index() == r.interface)
        });
        match direct {
            Some(route) => Ok(route.interface),
            None if v4 => {
                let text = "Nexthop has invalid gateway";
                Err(Refusal::new(Errno::ENETUNREACH, text))
            }
            None => Err(Errno::EHOSTUNREACH.into()),
        }
    }

    pub(super) fn delete_route(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let wanted = self.route_wanted(request, family)?;
        self.remove_route(&Teller::of(asker, request), &wanted)?;
        Ok(Answer::Done)
    }

    /// fib_table_delete(), ip6_route_del()
    pub(crate) fn remove_route(
        &mut self,
        teller: &Teller,
        wanted: &RouteWanted,
    ) -> Result<(), Refusal> {
        let all = self.added_routes();
        let named = |hops: &&Vec<RouteConfig>| Row::of(hops).is_some_and(|row| wanted.names(&row));
        let mut gone = all.iter().find(named).cloned();
        // ip6_route_del(): one of several hops, by its router.
        if gone.is_none() && wanted.to.is_ipv6() && wanted.gateway.is_some() {
            let one = |route: &&RouteConfig| wanted.names(&Row::added(route));
            gone = all.iter().flatten().find(one).map(|r| alloc::vec![*r]);
        }
        if let Some(gone) = gone {
            self.stack.remove_routes(|r| gone.contains(r));
            self.lonely_hop(&gone[0]);
            if let Some(row) = Row::of(&gone) {
                self.tell_route(teller, &teller.form(RTM_DELROUTE), &row);
            }
            return Ok(());
        }
        if self.route_rows().iter().any(|row| wanted.names(row)) {
            let text = "The route stays as long as its address on this host";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        Err(Errno::ESRCH.into())
    }

    /// What is left alone of several hops is a route like any other.
    fn lonely_hop(&mut self, gone: &RouteConfig) {
        let Some(share) = gone.share else { return };
        let ours = |r: &RouteConfig| r.share.is_some_and(|s| s.group == share.group);
        let left = self.stack.routes().filter(|r| ours(r)).copied();
        if let [last] = left.collect::<Vec<_>>()[..] {
            let alone = RouteConfig {
                share: None,
                ..last
            };
            self.stack.replace_route(ours, alone);
        }
    }
}
