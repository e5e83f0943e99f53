//! Where a packet goes: local table, then as the rules say (policy.rs): subnets, added routes, default.
//!
//! As in Linux, the host's own addresses are looked up first and lead to `lo`; then the longest prefix wins, among
//! equals the smaller metric, then the older route. A connected subnet is a route with the subnet's prefix.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::conf::Tunable4;
use crate::iface::{IfIndex, Interface, Interfaces, common_v6, in_prefix};
use crate::policy::{Flow, Policy, Rule, RuleAction, TABLE_LOCAL, TABLE_MAIN};

/// `RTPROT_RA`: the route came of a router's advertisement.
pub(crate) const BY_RA: u8 = 9;

/// What a route does with packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leads {
    /// They go to a router or a neighbour.
    #[default]
    On,
    /// They are dropped; a sender on this host gets EINVAL.
    Nowhere,
    /// They are refused: the host is unreachable.
    Unreachable,
    /// They are refused: communication is prohibited.
    Prohibited,
    /// The table is left as if it had no route.
    Back,
}

/// One of several next hops, among which flows are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The route that it is one of: the same number for all of its hops, which are next to each other.
    pub group: u32,
    /// How many of the flows it gets, in proportion.
    pub weight: u16,
}

/// A route to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Destination prefix; 0.0.0.0 or :: with length 0 is the default route.
    pub prefix: IpAddr,
    /// Length of the prefix in bits.
    pub prefix_len: u8,
    /// The router to hand packets to; none when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface packets leave by.
    pub interface: IfIndex,
    /// The source address for packets whose sender did not choose one.
    pub source: Option<IpAddr>,
    /// The smaller one wins among routes with the same prefix.
    pub metric: u32,
    /// Who made it (RTPROT_*), which is only kept.
    pub protocol: u8,
    /// How far the destination is (RT_SCOPE_*), which is only kept.
    pub scope: u8,
    /// The table it is in: [`TABLE_MAIN`], or one that a rule names.
    pub table: u32,
    /// Whether it leads anywhere.
    pub leads: Leads,
    /// Whether it is one hop of several.
    pub share: Option<Share>,
}

/// What kind of destination a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// The host itself.
    Local,
    /// Another host.
    Unicast,
    /// All hosts of a subnet; needs SO_BROADCAST in Linux.
    Broadcast,
    /// A group.
    Multicast,
}

/// How a destination is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The destination in effect: an unspecified destination means this host.
    pub destination: IpAddr,
    /// The source address a packet gets when its sender chose none.
    pub source: IpAddr,
    /// The largest packet the path takes.
    pub mtu: u32,
    /// The interface packets leave by; `lo` for the host's own addresses.
    pub interface: IfIndex,
    /// The node on the link that takes the packet.
    pub next_hop: IpAddr,
    /// What kind of destination it is.
    pub kind: RouteKind,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No route leads there.
    #[error("network is unreachable")]
    Unreachable,
    /// A route or a rule says that packets are dropped.
    #[error("packets to there are dropped")]
    Blackhole,
    /// A route or a rule says that the host is unreachable.
    #[error("host is unreachable")]
    HostUnreachable,
    /// A route or a rule prohibits it.
    #[error("communication is prohibited")]
    Prohibited,
    /// The source is of 127.0.0.0/8 and the destination is not the host itself.
    #[error("a loopback address stays inside the host")]
    StaysInside,
    /// A route leads there, but the host has no address of the family to send from.
    #[error("no source address")]
    NoSource,
    /// Source and destination are of different families.
    #[error("wrong address family")]
    WrongFamily,
    /// The socket is bound to an interface that is not there.
    #[error("no such interface")]
    NoDevice,
    /// The socket could not be bound to a port first.
    #[error("no free port")]
    PortsExhausted,
}

/// The routes that were added; connected subnets follow from the addresses.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Sorted: longest prefix first, then smallest metric, then oldest.
    list: Vec<RouteConfig>,
    /// The tables that a route was added to or, of IPv6, that a rule names. They stay, as in Linux.
    tables: Vec<(bool, u32)>,
    policy: Policy,
    /// Changes whenever a cached route may have become wrong.
    generation: u32,
}

impl Routes {
    pub(crate) fn add(&mut self, route: RouteConfig) {
        self.know_table(route.prefix.is_ipv6(), route.table);
        let key = |r: &RouteConfig| (core::cmp::Reverse(r.prefix_len), r.metric);
        let at = self.list.partition_point(|other| key(other) <= key(&route));
        self.list.insert(at, route);
        self.touch();
    }

    fn know_table(&mut self, v6: bool, table: u32) {
        if !self.has_table(v6, table) {
            self.tables.push((v6, table));
        }
    }

    /// Whether there is a table of this number.
    pub(crate) fn has_table(&self, v6: bool, table: u32) -> bool {
        let always = matches!(table, TABLE_MAIN | TABLE_LOCAL);
        always || self.tables.contains(&(v6, table))
    }

    /// Takes those away that `goes` names.
    pub(crate) fn remove(&mut self, goes: impl Fn(&RouteConfig) -> bool) {
        self.list.retain(|route| !goes(route));
        self.touch();
    }

    /// Routes over a router that does not answer are looked at last among their equals (rt6_score_route()).
    pub(crate) fn put_last(&mut self, gateway: IpAddr, interface: IfIndex) {
        let over = |r: &RouteConfig| r.gateway == Some(gateway) && r.interface == interface;
        // The administrator's are used as they are.
        let (last, mut rest): (Vec<_>, Vec<_>) =
            (self.list.iter().copied()).partition(|r| over(r) && r.protocol == BY_RA);
        if last.is_empty() {
            return;
        }
        core::mem::swap(&mut self.list, &mut rest);
        for route in last {
            self.add(route);
        }
    }

    /// Puts another in the place of the first that `goes` names.
    pub(crate) fn replace(&mut self, goes: impl Fn(&RouteConfig) -> bool, new: RouteConfig) {
        if let Some(place) = self.list.iter_mut().find(|route| goes(route)) {
            *place = new;
        }
        self.touch();
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, RouteConfig> {
        self.list.iter()
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn add_rule(&mut self, rule: Rule) {
        // fib6_rule_configure()
        if let (true, RuleAction::Table(table)) = (rule.v6, rule.action) {
            self.know_table(true, table);
        }
        self.policy.add(rule);
        self.touch();
    }

    pub(crate) fn remove_rule(&mut self, rule: &Rule) {
        self.policy.remove(rule);
        self.touch();
    }

    /// Makes cached routes stale.
    pub(crate) fn touch(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}

/// Finds the route of a packet.
pub(crate) fn lookup(
    interfaces: &Interfaces,
    routes: &Routes,
    flow: &Flow,
) -> Result<RouteInfo, RouteError> {
    Ok(lookup_in(interfaces, routes, flow)?.0)
}

/// The route, and which table has it.
pub(crate) fn lookup_in(
    interfaces: &Interfaces,
    routes: &Routes,
    flow: &Flow,
) -> Result<(RouteInfo, u32), RouteError> {
    let Flow { dst, device, .. } = *flow;
    let src = flow.src.filter(|src| !src.is_unspecified());
    // What answers on a link leaves by that link, of which the source is.
    let local = |addr: IpAddr| matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let link = src.filter(|&src| local(src) && local(dst));
    let device = device.or_else(|| interfaces.owner(link?));
    // ip_route_output_key_hash; IPv6 finds no route there.
    if device.is_some_and(|device| interfaces.get(device).is_none()) {
        return Err(if dst.is_ipv4() {
            RouteError::NoDevice
        } else {
            RouteError::Unreachable
        });
    }
    if src.is_some_and(|src| src.is_ipv4() != dst.is_ipv4()) {
        return Err(RouteError::WrongFamily);
    }
    // ip_route_output_key: the unspecified destination is the source address, or the loopback address.
    let dst = match dst {
        IpAddr::V4(v4) if v4.is_unspecified() => src.unwrap_or(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(v6) if v6.is_unspecified() => src.unwrap_or(Ipv6Addr::LOCALHOST.into()),
        _ => dst,
    };
    let on = |interface: IfIndex| device.is_none_or(|d| d == interface || d == IfIndex::LO);
    if interfaces.owner(dst).is_some_and(on) {
        let source = src.unwrap_or_else(|| interfaces.local_source(dst));
        let kind = RouteKind::Local;
        let route = info(interfaces, IfIndex::LO, dst, source, dst, kind);
        return Ok((route, TABLE_LOCAL));
    }
    let kind = match dst {
        IpAddr::V4(v4) if v4.is_multicast() => RouteKind::Multicast,
        IpAddr::V4(v4) if interfaces.is_broadcast(v4) => RouteKind::Broadcast,
        IpAddr::V6(v6) if v6.is_multicast() => RouteKind::Multicast,
        _ => RouteKind::Unicast,
    };
    let flow = Flow {
        dst,
        src,
        device,
        ..*flow
    };
    let (egress, table) = egress(interfaces, routes, &flow, kind).map_err(|error| {
        // ip6_dst_lookup_tail(): a source is chosen before the route is looked at.
        let without = dst.is_ipv6() && src.is_none() && !interfaces.has_v6_address();
        if without { RouteError::NoSource } else { error }
    })?;
    let (interface, next_hop, preferred, scope) = egress;
    let link = interfaces
        .get(interface)
        .filter(|link| link.is_up())
        .ok_or(RouteError::Unreachable)?;
    let source = match src.or(preferred) {
        Some(src) => src,
        // fib_info_update_nhc_saddr(): IPv4 looks from the gateway.
        None => {
            let towards = if dst.is_ipv4() { next_hop } else { dst };
            select_source(interfaces, link, towards, scope).ok_or(RouteError::NoSource)?
        }
    };
    // __mkroute_output(): 127.0.0.0/8 stays inside.
    if source.is_ipv4()
        && source.is_loopback()
        && interface != IfIndex::LO
        && !interfaces.conf_or(interface, Tunable4::RouteLocalnet)
    {
        return Err(RouteError::StaysInside);
    }
    let route = info(interfaces, interface, dst, source, next_hop, kind);
    Ok((route, table))
}

fn info(
    interfaces: &Interfaces,
    interface: IfIndex,
    destination: IpAddr,
    source: IpAddr,
    next_hop: IpAddr,
    kind: RouteKind,
) -> RouteInfo {
    let mtu = interfaces
        .get(interface)
        .map_or(0, |i| match destination.is_ipv6() {
            true => i.mtu6(),
            false => i.mtu(),
        });
    RouteInfo {
        destination,
        source,
        mtu,
        interface,
        next_hop,
        kind,
    }
}

/// Outgoing interface, next hop, the route's preferred source and its scope.
type Egress = (IfIndex, IpAddr, Option<IpAddr>, u8);

/// RT_SCOPE_LINK
const LINK: u8 = 253;

/// By which interface a packet leaves, and which table says so.
fn egress(
    interfaces: &Interfaces,
    routes: &Routes,
    flow: &Flow,
    kind: RouteKind,
) -> Result<(Egress, u32), RouteError> {
    let Flow {
        dst, src, device, ..
    } = *flow;
    if let IpAddr::V4(v4) = dst {
        let subnet = interfaces
            .broadcast_interface(v4)
            .filter(|_| !v4.is_broadcast());
        if let Some(interface) = subnet.filter(|&subnet| device.is_none_or(|d| d == subnet)) {
            return Ok(((interface, dst, None, LINK), TABLE_LOCAL));
        }
        // ip_route_output_key_hash: a group or 255.255.255.255 leaves by the interface of a chosen source.
        let by_source = device.is_none() && (v4.is_broadcast() || v4.is_multicast());
        let owner = src
            .filter(|_| by_source)
            .and_then(|src| interfaces.owner(src));
        if let Some(interface) = owner {
            return Ok(((interface, dst, None, LINK), TABLE_MAIN));
        }
    }
    // Every interface but lo has a multicast route in IPv6 (ff00::/8 in the local table).
    if let (IpAddr::V6(_), RouteKind::Multicast) = (dst, kind) {
        let link = interfaces
            .iter()
            .find(|i| !i.is_loopback() && device.is_none_or(|device| i.index() == device));
        return link
            .map(|i| ((i.index(), dst, None, LINK), TABLE_LOCAL))
            .ok_or(RouteError::Unreachable);
    }
    let found = (routes.policy).lookup(flow, |table| in_table(interfaces, routes, flow, table));
    match (found, device) {
        (Some(found), _) => found,
        // ip_route_output_key_hash: a socket bound to a device treats everything as on that link.
        (None, Some(device)) if dst.is_ipv4() => Ok(((device, dst, None, LINK), TABLE_MAIN)),
        (None, _) => Err(RouteError::Unreachable),
    }
}

/// What a table says, and the length of the prefix that says it.
fn in_table(
    interfaces: &Interfaces,
    routes: &Routes,
    flow: &Flow,
    table: u32,
) -> Option<Result<(Egress, u8), RouteError>> {
    let Flow { dst, device, .. } = *flow;
    let connected = interfaces
        .iter()
        .filter(|_| table == TABLE_MAIN)
        .filter(|i| i.is_up() && !i.is_loopback() && device.is_none_or(|d| d == i.index()))
        .flat_map(|i| i.addresses().iter().map(move |a| (i, a)))
        .filter(|(i, a)| a.covers(dst) && !i.traits(a.addr).without_subnet)
        .map(|(i, a)| (i.index(), a))
        .fold(
            None,
            |best: Option<(IfIndex, _)>, new: (IfIndex, &_)| match best {
                Some((_, old)) if longer(old, new.1) => best,
                _ => Some(new),
            },
        );
    let fits = |route: &&RouteConfig| {
        route.table == table
            && in_prefix(dst, route.prefix, route.prefix_len)
            && (route.leads != Leads::On || device.is_none_or(|d| d == route.interface))
    };
    let added = routes.list.iter().find(fits);
    if let Some((interface, address)) = connected
        // A connected subnet has metric 0, so it wins among equals.
        && added.is_none_or(|route| address.prefix_len >= route.prefix_len)
    {
        // IPv4: the subnet route prefers the address that made it. IPv6: RFC 6724 decides.
        let preferred = Some(address.addr).filter(IpAddr::is_ipv4);
        let egress = (interface, dst, preferred, LINK);
        return Some(Ok((egress, address.prefix_len)));
    }
    let route = match added?.share {
        Some(share) => shared_out(routes.list.iter().filter(fits), share.group, flow)?,
        None => added?,
    };
    let error = match route.leads {
        Leads::On => {
            let next = route.gateway.unwrap_or(dst);
            let egress = (route.interface, next, route.source, route.scope);
            return Some(Ok((egress, route.prefix_len)));
        }
        Leads::Back => return None,
        Leads::Nowhere => RouteError::Blackhole,
        Leads::Unreachable => RouteError::HostUnreachable,
        Leads::Prohibited => RouteError::Prohibited,
    };
    Some(Err(error))
}

/// fib_select_multipath() with fib_multipath_hash_policy 0: one hop for all that two hosts send each other. Linux's hash has a key
/// of its own; this one is of the addresses alone.
fn shared_out<'a>(
    routes: impl Iterator<Item = &'a RouteConfig> + Clone,
    group: u32,
    flow: &Flow,
) -> Option<&'a RouteConfig> {
    let hops = routes.filter_map(|route| match route.share {
        Some(share) if share.group == group => Some((route, u64::from(share.weight))),
        _ => None,
    });
    let total: u64 = hops.clone().map(|(_, weight)| weight).sum();
    let number = |addr: IpAddr| match addr {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() as u64 ^ (v6.to_bits() >> 64) as u64,
    };
    // FNV's prime, and the finish of a murmur hash.
    let mut hash = number(flow.dst).wrapping_mul(0x0100_0000_01b3) ^ flow.src.map_or(0, number);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mut place = (hash >> 32) % total.max(1);
    for (route, weight) in hops {
        match place.checked_sub(weight) {
            Some(further) => place = further,
            None => return Some(route),
        }
    }
    None
}

fn longer(old: &crate::iface::InterfaceAddress, new: &crate::iface::InterfaceAddress) -> bool {
    old.prefix_len >= new.prefix_len
}

/// [`select_source`] on an interface.
pub(crate) fn source_on(interfaces: &Interfaces, index: IfIndex, dst: IpAddr) -> Option<IpAddr> {
    select_source(interfaces, interfaces.get(index)?, dst, LINK)
}

/// The source address when neither sender nor route chose one. An IPv4 address of a narrower scope than the route's is none.
fn select_source(
    interfaces: &Interfaces,
    link: &Interface,
    dst: IpAddr,
    route_scope: u8,
) -> Option<IpAddr> {
    let all = || {
        interfaces
            .iter()
            .filter(|i| !i.is_loopback())
            .flat_map(|i| {
                i.addresses()
                    .iter()
                    .filter(move |a| i.tentative(a.addr).is_none())
            })
    };
    match dst {
        // inet_select_addr: the link's first address, on the destination's subnet if one is, else any of the host's.
        IpAddr::V4(_) => {
            let own = || link.addresses().iter().filter(|a| a.addr.is_ipv4());
            // Those of 127.0.0.0/8 are of the host's scope, too narrow for what goes further.
            let wide = |a: &&crate::iface::InterfaceAddress| {
                link.scope(a.addr) <= route_scope && link.primary(a).is_none()
            };
            // in_dev_select_addr(): that of another interface has to mean something there.
            let other = || {
                let fits = |i: &Interface, a: &crate::iface::InterfaceAddress| {
                    let scope = i.scope(a.addr);
                    a.addr.is_ipv4()
                        && scope != LINK
                        && scope <= route_scope
                        && i.primary(a).is_none()
                };
                interfaces
                    .iter()
                    .find_map(|i| i.addresses().iter().find(|a| fits(i, a)))
            };
            own()
                .filter(wide)
                .find(|a| a.covers(dst))
                .or_else(|| own().find(wide))
                .or_else(other)
                .or_else(|| own().next())
                .or_else(|| all().find(|a| a.addr.is_ipv4()))
                .map(|a| a.addr)
        }
        // RFC 6724, 5, of its rules those that can differ here: 2 (appropriate scope), 3 (deprecated addresses), 5 (outgoing
        // interface), 6 (matching label), 8 (longest matching prefix); the older address wins among equals. No address is a
        // home address or a temporary one.
        IpAddr::V6(dst) => {
            let own = link.addresses().iter();
            let candidates = (own.filter(|a| link.tentative(a.addr).is_none())).map(|a| (a, true));
            // RFC 6724, 4: on the link itself only the link's own addresses are candidates.
            let wide = !dst.is_multicast() && scope(dst) > LINK_SCOPE;
            let others = all().filter(|_| wide).map(|a| (a, false));
            let deprecated = |addr: IpAddr| {
                let owner = interfaces.owner(addr).and_then(|of| interfaces.get(of));
                owner.is_some_and(|of| of.traits(addr).deprecated)
            };
            let mut best: Option<(Ipv6Addr, _)> = None;
            for (address, own) in candidates.chain(others) {
                let IpAddr::V6(addr) = address.addr else {
                    continue;
                };
                let (have, want) = (scope(addr), scope(dst));
                // Rule 2: the smallest scope that is large enough, else the largest.
                let fit = if have >= want { (1, -have) } else { (0, have) };
                // ipv6_get_saddr_eval(): no more of the prefix counts than the subnet has.
                let common = common_v6(addr, dst).min(address.prefix_len.into());
                let lasts = !deprecated(address.addr);
                let key = (fit, lasts, own, label(addr) == label(dst), common);
                if best.is_none_or(|(_, best)| key > best) {
                    best = Some((addr, key));
                }
            }
            best.map(|(addr, _)| addr.into())
        }
    }
}

/// The label of the policy table that an address has (RFC 6724, 2.1, with the numbers of Linux's ip6addrlbl_init).
fn label(addr: Ipv6Addr) -> u8 {
    const TABLE: [(Ipv6Addr, u32, u8); 7] = [
        (Ipv6Addr::LOCALHOST, 128, 0),
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 4),
        (Ipv6Addr::UNSPECIFIED, 96, 3),
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 6),
        (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, 7),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 2),
        (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 5),
    ];
    let fits = |(prefix, len, _): &&(Ipv6Addr, u32, u8)| common_v6(addr, *prefix) >= *len;
    TABLE.iter().find(fits).map_or(1, |(_, _, label)| *label)
}

/// The scope of a link-local address.
const LINK_SCOPE: i8 = 2;

pub(crate) fn scope_of(addr: IpAddr) -> i8 {
    match addr {
        IpAddr::V6(v6) => scope(v6),
        IpAddr::V4(_) => 14,
    }
}

/// Scopes in the order of their size (RFC 4007, 5; RFC 4291, 2.7).
fn scope(addr: Ipv6Addr) -> i8 {
    match addr.octets() {
        [0xff, flags_scope, ..] => (flags_scope & 15) as i8,
        _ if addr.is_unicast_link_local() || addr.is_loopback() => LINK_SCOPE,
        _ => 14,
    }
}

#[cfg(test)]
mod tests;
