//! Which routing table a packet is looked up in (ip-rule(8)).
//!
//! Rules are tried by priority, among equals in the order in which they came, until a table has a route. As on Linux the
//! first rule is the table of the host's own addresses, which no other rule can come before here; then, if nobody has
//! added any, the tables main and default. A packet is told from others by addresses, mark and interfaces, type of service,
//! protocol, ports and the user whose socket it is of.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::iface::{IfIndex, in_prefix};
use crate::route::RouteError;

/// RT_TABLE_DEFAULT, RT_TABLE_MAIN and RT_TABLE_LOCAL.
pub const TABLE_DEFAULT: u32 = 253;
/// RT_TABLE_MAIN: that of connected subnets, and of routes that say nothing else.
pub const TABLE_MAIN: u32 = 254;
/// RT_TABLE_LOCAL: that of the host's own addresses.
pub const TABLE_LOCAL: u32 = 255;

/// What is known of a packet whose way is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where to.
    pub dst: IpAddr,
    /// From where, if its sender chose one.
    pub src: Option<IpAddr>,
    /// The interface that the socket is bound to.
    pub device: Option<IfIndex>,
    /// The interface by which it came, if it is handed on.
    pub input: Option<IfIndex>,
    /// Its mark: SO_MARK.
    pub mark: u32,
    /// Its protocol (IPPROTO_*), or 0 where none is known.
    pub protocol: u8,
    /// Its source port and its destination port, in the host's byte order, or 0.
    pub ports: (u16, u16),
    /// Its type of service or traffic class, of which the upper six bits count.
    pub tos: u8,
    /// The user whose socket it is of; 0 for the host itself.
    pub uid: u32,
}

impl Flow {
    /// A packet of this host of which no more is known.
    pub fn to(dst: IpAddr) -> Flow {
        Flow {
            dst,
            src: None,
            device: None,
            input: None,
            mark: 0,
            protocol: 0,
            ports: (0, 0),
            tos: 0,
            uid: 0,
        }
    }
}

/// Ports that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// From the one to the other (FRA_SPORT_RANGE, FRA_DPORT_RANGE).
    Range(u16, u16),
    /// Those that are the first, in the bits of the second (FRA_SPORT_MASK, FRA_DPORT_MASK).
    Masked(u16, u16),
}

impl Ports {
    fn has(self, port: u16) -> bool {
        match self {
            Ports::Range(first, last) => (first..=last).contains(&port),
            Ports::Masked(value, mask) => (value ^ port) & mask == 0,
        }
    }
}

/// Types of service that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `tos` of the rule's header, which of IPv4 leaves out the upper three bits (INET_DSCP_LEGACY_TOS_MASK).
    Legacy(u8),
    /// FRA_DSCP and FRA_DSCP_MASK, in the place that they have in a header: the upper six bits.
    Full(u8, u8),
}

impl Service {
    /// DSCP without the ECN bits, and IPv4's part of it that was once the type of service.
    const DSCP: u8 = 0xfc;
    const LEGACY: u8 = 0x1c;

    fn has(self, tos: u8, v6: bool) -> bool {
        match self {
            Service::Legacy(value) if v6 => value == tos & Service::DSCP,
            Service::Legacy(value) => value == tos & Service::LEGACY,
            Service::Full(value, mask) => (value ^ tos) & mask & Service::DSCP == 0,
        }
    }
}

/// What a rule does with those that it is about (FR_ACT_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// They are looked up in a table, and go on to the next rule if it has no route.
    Table(u32),
    /// Nothing.
    Nop,
    /// They are dropped.
    Blackhole,
    /// They are refused: the network is unreachable.
    Unreachable,
    /// They are refused: communication is prohibited.
    Prohibit,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// About IPv6, not IPv4.
    pub v6: bool,
    /// When it is tried: the smallest first.
    pub priority: u32,
    /// What it does.
    pub action: RuleAction,
    /// It is about all others.
    pub invert: bool,
    /// Sources, and the length of their prefix.
    pub src: Option<(IpAddr, u8)>,
    /// Destinations, and the length of their prefix.
    pub dst: Option<(IpAddr, u8)>,
    /// By which interface a packet came; `lo` for those of this host.
    pub input: Option<IfIndex>,
    /// The interface that the sending socket is bound to.
    pub output: Option<IfIndex>,
    /// The mark, as far as the mask goes.
    pub mark: u32,
    /// The bits of the mark that count.
    pub mask: u32,
    /// The protocol, if it counts (FRA_IP_PROTO).
    pub ip_protocol: Option<u8>,
    /// The source ports.
    pub src_ports: Option<Ports>,
    /// The destination ports.
    pub dst_ports: Option<Ports>,
    /// The types of service.
    pub service: Option<Service>,
    /// The users, from the one to the other (FRA_UID_RANGE).
    pub users: Option<(u32, u32)>,
    /// Routes with a prefix that is not longer are no routes (FRA_SUPPRESS_PREFIXLEN).
    pub suppress: Option<u8>,
    /// Who made it (RTPROT_*), which is only kept.
    pub protocol: u8,
}

impl Rule {
    /// The rule of a table, for all packets.
    pub const fn of_table(v6: bool, priority: u32, table: u32) -> Rule {
        Rule {
            v6,
            priority,
            action: RuleAction::Table(table),
            invert: false,
            src: None,
            dst: None,
            input: None,
            output: None,
            mark: 0,
            mask: 0,
            ip_protocol: None,
            src_ports: None,
            dst_ports: None,
            service: None,
            users: None,
            suppress: None,
            protocol: 2,
        }
    }

    /// fib_rule_match(), fib4_rule_match(), fib6_rule_match()
    fn matches(&self, flow: &Flow) -> bool {
        let within = |prefix: Option<(IpAddr, u8)>, addr: Option<IpAddr>| {
            prefix.is_none_or(|(net, len)| match addr {
                Some(addr) => in_prefix(addr, net, len),
                // An address that nobody has chosen yet is in no prefix but the one of all.
                None => len == 0,
            })
        };
        let fits = self
            .input
            .is_none_or(|by| flow.input.unwrap_or(IfIndex::LO) == by)
            && self.output.is_none_or(|by| flow.device == Some(by))
            && (self.mark ^ flow.mark) & self.mask == 0
            && within(self.src, flow.src)
            && within(self.dst, Some(flow.dst))
            && self.ip_protocol.is_none_or(|own| own == flow.protocol)
            && self.src_ports.is_none_or(|own| own.has(flow.ports.0))
            && self.dst_ports.is_none_or(|own| own.has(flow.ports.1))
            && self.service.is_none_or(|own| own.has(flow.tos, self.v6))
            && (self.users).is_none_or(|(first, last)| (first..=last).contains(&flow.uid));
        fits != self.invert
    }
}

/// The rules of a host.
#[derive(Debug)]
pub(crate) struct Policy {
    /// By priority, then by age; those of the table of own addresses too, for show.
    list: Vec<Rule>,
    /// For IPv4 and IPv6: nobody has changed them.
    plain: [bool; 2],
}

impl Default for Policy {
    fn default() -> Policy {
        let of = |&(v6, priority, table): &(bool, u32, u32)| Rule::of_table(v6, priority, table);
        let list = [
            (false, 0, TABLE_LOCAL),
            (true, 0, TABLE_LOCAL),
            (false, 32_766, TABLE_MAIN),
            (true, 32_766, TABLE_MAIN),
            (false, 32_767, TABLE_DEFAULT),
        ];
        Policy {
            list: list.iter().map(of).collect(),
            plain: [true; 2],
        }
    }
}

impl Policy {
    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Rule> {
        self.list.iter()
    }

    /// Whether nobody has changed the rules of IPv6 or IPv4.
    pub(crate) fn is_plain(&self, v6: bool) -> bool {
        self.plain[usize::from(v6)]
    }

    pub(crate) fn add(&mut self, rule: Rule) {
        let at = self.list.partition_point(|r| r.priority <= rule.priority);
        self.list.insert(at, rule);
        self.plain[usize::from(rule.v6)] = false;
    }

    pub(crate) fn remove(&mut self, rule: &Rule) {
        if let Some(at) = self.list.iter().position(|r| r == rule) {
            self.list.remove(at);
            self.plain[usize::from(rule.v6)] = false;
        }
    }

    /// fib_rules_lookup(): what `find` finds in the first table that has something, with that table's number. It gives the
    /// length of the route's prefix too.
    pub(crate) fn lookup<T>(
        &self,
        flow: &Flow,
        find: impl Fn(u32) -> Option<Result<(T, u8), RouteError>>,
    ) -> Option<Result<(T, u32), RouteError>> {
        let v6 = flow.dst.is_ipv6();
        if self.is_plain(v6) {
            let tables: &[u32] = if v6 {
                &[TABLE_MAIN]
            } else {
                &[TABLE_MAIN, TABLE_DEFAULT]
            };
            let found = |&table: &u32| Some(find(table)?.map(|(found, _)| (found, table)));
            return tables.iter().find_map(found);
        }
        for rule in &self.list {
            if rule.v6 != v6 || !rule.matches(flow) {
                continue;
            }
            let table = match rule.action {
                RuleAction::Nop => continue,
                RuleAction::Blackhole => return Some(Err(RouteError::Blackhole)),
                RuleAction::Unreachable => return Some(Err(RouteError::Unreachable)),
                RuleAction::Prohibit => return Some(Err(RouteError::Prohibited)),
                RuleAction::Table(table) => table,
            };
            match find(table) {
                Some(Ok((_, len))) if rule.suppress.is_some_and(|most| len <= most) => {}
                Some(found) => return Some(found.map(|(found, _)| (found, table))),
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
