//! The routes of the host as messages have them: those that were added, and those that follow from addresses.

use super::super::message::Message;
use super::hops::{self, Hop};
use super::{
    BY_KERNEL, Form, HOST, Host, LINK, LOCAL, MAIN, RTMSG, UNIVERSE, bits, family_of, network,
    octets, table_byte,
};
use crate::proc::Alias;
use alloc::vec::Vec;
use core::net::IpAddr;
use switchboard_engine::{IfIndex, Instant, Interface, InterfaceAddress, Leads, RouteConfig};

/// RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST
pub(crate) const UNICAST: u8 = 1;
pub(super) const TO_HOST: u8 = 2;
pub(super) const BROADCAST: u8 = 3;
pub(super) const MULTICAST: u8 = 5;
/// RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW
pub(super) const BLACKHOLE: u8 = 6;
pub(super) const UNREACHABLE: u8 = 7;
pub(super) const PROHIBIT: u8 = 8;
pub(super) const THROW: u8 = 9;

/// IP6_RT_PRIO_ADDRCONF and IP6_RT_PRIO_USER.
const CONNECTED_METRIC: u32 = 256;
pub(crate) const USER_METRIC: u32 = 1024;

/// FIB_TABLE_HASHSZ
const TABLE_BUCKETS: u32 = 256;

/// A route as a message has it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) to: IpAddr,
    pub(super) len: u8,
    pub(super) table: u32,
    pub(super) protocol: u8,
    pub(super) scope: u8,
    /// RTN_*
    pub(super) kind: u8,
    pub(super) source: Option<IpAddr>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) metric: Option<u32>,
    pub(super) interface: IfIndex,
    /// Where it has several, in place of gateway and interface.
    pub(super) hops: Vec<Hop>,
    /// Where it does not last for ever.
    pub(super) aged: Option<Aged>,
}

/// What a route has that came of a router's advertisement.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Aged {
    /// How long it lasts, in hundredths of a second; 0: for ever.
    pub(super) ticks: u32,
    /// RTA_PREF
    pub(super) preference: u8,
    /// RTAX_*, each with its value.
    pub(super) metrics: Vec<(u16, u32)>,
}

impl Row {
    fn kernel(to: IpAddr, len: u8, table: u32, kind: u8, interface: IfIndex) -> Row {
        let v4 = to.is_ipv4();
        Row {
            to,
            len,
            table,
            protocol: BY_KERNEL,
            scope: match kind {
                _ if !v4 => UNIVERSE,
                TO_HOST => HOST,
                _ => LINK,
            },
            kind,
            source: None,
            gateway: None,
            metric: match (v4, table) {
                (true, _) => None,
                (false, LOCAL) if kind == TO_HOST => Some(0),
                (false, _) => Some(CONNECTED_METRIC),
            },
            interface,
            hops: Vec::new(),
            aged: None,
        }
    }

    fn from(self, source: IpAddr) -> Row {
        Row {
            source: Some(source),
            ..self
        }
    }

    /// A route that was added, by all its hops.
    pub(super) fn of(routes: &[RouteConfig]) -> Option<Row> {
        let hops = hops::of(routes);
        let row = Row::added(routes.first()?);
        Some(match hops.is_empty() {
            true => row,
            false => Row {
                gateway: None,
                hops,
                ..row
            },
        })
    }

    /// A route that was added, with the one hop it has, or one of several.
    pub(super) fn added(route: &RouteConfig) -> Row {
        Row {
            to: network(route.prefix, route.prefix_len),
            len: route.prefix_len,
            table: route.table,
            protocol: route.protocol,
            scope: route.scope,
            kind: match route.leads {
                Leads::On => UNICAST,
                Leads::Nowhere => BLACKHOLE,
                Leads::Unreachable => UNREACHABLE,
                Leads::Prohibited => PROHIBIT,
                Leads::Back => THROW,
            },
            source: route.source,
            gateway: route.gateway,
            metric: match route.metric {
                0 if route.prefix.is_ipv6() => Some(USER_METRIC),
                0 => None,
                metric => Some(metric),
            },
            interface: route.interface,
            hops: Vec::new(),
            aged: None,
        }
    }

    /// Where it stands in a dump: the tables as they are hashed, main before local, each as the trees are walked.
    fn place(&self) -> (bool, u32, u128, core::cmp::Reverse<u8>, u32) {
        let key = match self.to {
            IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
            IpAddr::V6(a) => a.to_bits(),
        };
        let len = if self.to.is_ipv4() {
            self.len
        } else {
            // A parent goes before what it leads to.
            u8::MAX - self.len
        };
        (
            self.to.is_ipv6(),
            self.table % TABLE_BUCKETS,
            key,
            core::cmp::Reverse(len),
            self.metric.unwrap_or(0),
        )
    }

    pub(super) fn head(&self, flags: u32) -> [u8; RTMSG] {
        let mut head = [0; RTMSG];
        head[..2].copy_from_slice(&[family_of(self.to), self.len]);
        let table = table_byte(self.table);
        head[4..8].copy_from_slice(&[table, self.protocol, self.scope, self.kind]);
        head[8..].copy_from_slice(&flags.to_ne_bytes());
        head
    }

    /// fib_dump_info(), rt6_fill_node()
    pub(super) fn message(&self, form: &Form) -> Message {
        let mut m = form.message(&self.head(0));
        // RTA_TABLE, RTA_DST, RTA_PREFSRC, RTA_GATEWAY, RTA_PRIORITY, RTA_OIF
        m.put_u32(15, self.table);
        if self.len > 0 {
            m.put(1, &octets(self.to));
        }
        if let Some(source) = self.source {
            m.put(7, &octets(source));
        }
        if let Some(gateway) = self.gateway {
            m.put(5, &octets(gateway));
        }
        if let Some(metric) = self.metric {
            m.put_u32(6, metric);
        }
        if let Some(aged) = self.aged.as_ref().filter(|aged| !aged.metrics.is_empty()) {
            let mut inner = Vec::new();
            for (kind, value) in &aged.metrics {
                inner.extend_from_slice(&8_u16.to_ne_bytes());
                inner.extend_from_slice(&kind.to_ne_bytes());
                inner.extend_from_slice(&value.to_ne_bytes());
            }
            // RTA_METRICS
            m.put(8, &inner);
        }
        // A route of IPv4 that leads nowhere has no interface.
        if !self.hops.is_empty() {
            hops::put(&mut m, &self.hops);
        } else if self.to.is_ipv6() || self.kind < BLACKHOLE {
            m.put_u32(4, self.interface.get());
        }
        match &self.aged {
            Some(aged) => {
                // rta_expires
                let mut cache = [0; 32];
                cache[8..12].copy_from_slice(&aged.ticks.to_ne_bytes());
                m.put(12, &cache);
                m.put(20, &[aged.preference]);
            }
            None if self.to.is_ipv6() => put_v6_rest(&mut m),
            None => {}
        }
        m
    }
}

/// RTA_CACHEINFO of what is in use nowhere and lasts, RTA_PREF medium.
pub(super) fn put_v6_rest(m: &mut Message) {
    m.put(12, &[0; 32]);
    m.put(20, &[0]);
}

/// What an address brings, in the order in which Linux adds it (fib_add_ifaddr(), addrconf_prefix_route()).
pub(super) fn brought(interface: &Interface, own: &InterfaceAddress) -> Vec<Row> {
    let index = interface.index();
    let net = network(own.peer, own.prefix_len);
    let row = |to, len, table, kind| Row::kernel(to, len, table, kind, index);
    let local = row(own.addr, bits(own.addr), LOCAL, TO_HOST);
    let mut out = Vec::new();
    if own.addr.is_ipv6() {
        let linked = interface.is_up() && own.addr != core::net::Ipv6Addr::LOCALHOST;
        if linked {
            out.push(row(net, own.prefix_len, MAIN, UNICAST));
        }
        out.push(local);
        return out;
    }
    let primary = interface.primary(own);
    let source = primary.unwrap_or(own.addr);
    out.push(local.from(source));
    if primary.is_some() {
        return out;
    }
    let (up, lo) = (interface.is_up(), interface.is_loopback());
    if let (Some(given), true) = (own.given_broadcast, up)
        && Some(given) != own.broadcast()
        && !given.is_broadcast()
    {
        out.push(row(given.into(), 32, LOCAL, BROADCAST).from(source));
    }
    let zero = matches!(net, IpAddr::V4(v4) if v4.octets()[0] == 0);
    if zero || (net == own.addr && own.prefix_len == 32) {
        return out;
    }
    if lo {
        out.push(row(net, own.prefix_len, LOCAL, TO_HOST).from(source));
    } else if up {
        out.push(row(net, own.prefix_len, MAIN, UNICAST).from(source));
    }
    if let (Some(all), true) = (own.broadcast(), up) {
        out.push(row(all.into(), 32, LOCAL, BROADCAST).from(source));
    }
    out
}

impl Host {
    /// The routes of IPv4, for /proc/net/fib_trie.
    pub(crate) fn v4_aliases(&self) -> Vec<Alias> {
        let alias = |row: Row| match row.to {
            IpAddr::V4(to) => Some(Alias {
                to: to.to_bits(),
                len: row.len,
                table: row.table,
                metric: row.metric.unwrap_or(0),
                scope: row.scope,
                kind: row.kind,
            }),
            IpAddr::V6(_) => None,
        };
        self.route_rows().into_iter().filter_map(alias).collect()
    }

    /// A route that was added, by all its hops, and how long it lasts.
    fn row_of(&self, routes: &[RouteConfig]) -> Option<Row> {
        let row = Row::of(routes)?;
        let aged = self.aged(routes.first()?);
        Some(Row { aged, ..row })
    }

    /// What is left of a time, in hundredths of a second, and never none: that would be for ever.
    pub(super) fn ticks_until(&self, at: Instant) -> u32 {
        let left = at.saturating_sub(self.asked_at).as_millis() / 10;
        u32::try_from(left).unwrap_or(u32::MAX).max(1)
    }

    /// What an advertisement said of a route.
    pub(super) fn aged(&self, route: &RouteConfig) -> Option<Aged> {
        let (at, preference) = self.stack.route_expiry(route)?;
        let mut metrics = Vec::new();
        if let (0, Some(interface)) = (route.prefix_len, self.stack.interface(route.interface)) {
            // RTAX_MTU, RTAX_HOPLIMIT
            if interface.mtu6() != interface.mtu() {
                metrics.push((2, interface.mtu6()));
            }
            metrics.extend(interface.hop_limit().map(|hops| (10, hops.into())));
        }
        Some(Aged {
            ticks: at.map_or(0, |at| self.ticks_until(at)),
            preference,
            metrics,
        })
    }

    /// All routes, in the order of Linux's dumps.
    pub(super) fn route_rows(&self) -> Vec<Row> {
        let mut out: Vec<Row> = {
            let added = self.added_routes();
            added.iter().filter_map(|hops| self.row_of(hops)).collect()
        };
        for interface in self.stack.interfaces() {
            for own in interface.addresses() {
                for row in self.brought(interface, own) {
                    if !out.contains(&row) {
                        out.push(row);
                    }
                }
            }
            let v6 = interface.addresses().iter().any(|a| a.addr.is_ipv6());
            if v6 && interface.is_up() && !interface.is_loopback() {
                let all = core::net::Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
                let index = interface.index();
                out.push(Row::kernel(all.into(), 8, LOCAL, MULTICAST, index));
            }
        }
        out.sort_by_key(Row::place);
        out
    }
}
