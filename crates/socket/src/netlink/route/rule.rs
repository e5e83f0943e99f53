//! Rules: RTM_NEWRULE, RTM_DELRULE and their dump (ip-rule(8)).
//!
//! # Limits
//! A packet is told from others by addresses, mark, interfaces that there are, type of service, users, protocol and ports;
//! flow labels, realms, tunnels, other VRFs and jumps from rule to rule are EOPNOTSUPP. The rule of the table local stays, and stays
//! first.

use super::super::message::{Answer, EXCL, Message, Refusal, Request};
use super::super::serve::Asker;
use super::{
    Form, Host, IP6MR, IPMR, RTM_DELRULE, RTM_NEWRULE, Teller, bits, network, octets, of_ip,
    policies, table_byte, text_of, word_of,
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{
    IfIndex, Ports, Rule, RuleAction, Service, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};

/// `sizeof(struct fib_rule_hdr)`
const HEAD: usize = 12;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const FRA_DSCP: u16 = 25;
const FRA_SPORT_MASK: u16 = 28;
const FRA_DPORT_MASK: u16 = 29;
const FRA_DSCP_MASK: u16 = 30;
const KNOWN: [u16; 18] = [
    FRA_DST,
    FRA_SRC,
    FRA_IIFNAME,
    FRA_PRIORITY,
    FRA_FWMARK,
    FRA_SUPPRESS_PREFIXLEN,
    FRA_TABLE,
    FRA_FWMASK,
    FRA_OIFNAME,
    FRA_UID_RANGE,
    FRA_PROTOCOL,
    FRA_IP_PROTO,
    FRA_SPORT_RANGE,
    FRA_DPORT_RANGE,
    FRA_DSCP,
    FRA_SPORT_MASK,
    FRA_DPORT_MASK,
    FRA_DSCP_MASK,
];

/// Where a message has its family.
const FAMILY_AT: usize = 16;
/// The priority of the last rule.
const LAST_PRIORITY: u32 = 0x7fff;
/// FR_ACT_TO_TBL, FR_ACT_NOP, FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT, FR_ACT_MAX
const TO_TABLE: u8 = 1;
const NOP: u8 = 3;
const BLACKHOLE: u8 = 6;
const UNREACHABLE: u8 = 7;
const PROHIBIT: u8 = 8;
const LAST_ACTION: u8 = 8;
/// FIB_RULE_INVERT
const INVERT: u32 = 2;

/// RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE
const GROUP_V4_RULE: u32 = 8;
const GROUP_V6_RULE: u32 = 19;

/// A rule as a request names it: a deletion is about the first that has all that it says.
struct Wanted {
    rule: Rule,
    /// Which attributes there were.
    given: Vec<u16>,
    action: u8,
    table: u32,
}

impl Wanted {
    /// rule_find()
    fn names(&self, rule: &Rule) -> bool {
        let says = |kind| self.given.contains(&kind);
        let w = &self.rule;
        rule.v6 == w.v6
            && (self.action == 0 || action_of(rule).0 == self.action)
            && (self.table == 0 || action_of(rule).1 == self.table)
            && (!says(FRA_PROTOCOL) || w.protocol == rule.protocol)
            && (!says(FRA_PRIORITY) || w.priority == rule.priority)
            && (w.input.is_none() || w.input == rule.input)
            && (w.output.is_none() || w.output == rule.output)
            && (w.mark == 0 || w.mark == rule.mark)
            && (!says(FRA_SUPPRESS_PREFIXLEN) || w.suppress == rule.suppress)
            && (w.mask == 0 || w.mask == rule.mask)
            && (w.src.is_none() || w.src == rule.src)
            && (w.dst.is_none() || w.dst == rule.dst)
            && (w.users.is_none() || w.users == rule.users)
            && (w.ip_protocol.is_none() || w.ip_protocol == rule.ip_protocol)
            && (w.src_ports.is_none() || w.src_ports == rule.src_ports)
            && (w.dst_ports.is_none() || w.dst_ports == rule.dst_ports)
            && (w.service.is_none() || w.service == rule.service)
    }
}

/// FR_ACT_*, and the table.
fn action_of(rule: &Rule) -> (u8, u32) {
    match rule.action {
        RuleAction::Table(table) => (TO_TABLE, table),
        RuleAction::Nop => (NOP, 0),
        RuleAction::Blackhole => (BLACKHOLE, 0),
        RuleAction::Unreachable => (UNREACHABLE, 0),
        RuleAction::Prohibit => (PROHIBIT, 0),
    }
}

impl Host {
    pub(super) fn rule_dump(&self, asker: &Asker, request: &Request<'_>, family: u8) -> Answer {
        // fib_valid_dumprule_req()
        if asker.strict {
            let refuse = |text| Answer::no_dump(Refusal::new(Errno::EINVAL, text));
            let body = request.body();
            if body.len() < HEAD {
                return refuse("Invalid header for fib rule dump request");
            }
            if body[1..HEAD].iter().any(|b| *b != 0) {
                return refuse("Invalid values in header for fib rule dump request");
            }
            if body.len() > HEAD {
                return refuse("Invalid data after header in fib rule dump request");
            }
        }
        // fib_nl_dumprule()
        if family != 0 && of_ip(family) == 0 && !matches!(family, IPMR | IP6MR) {
            return Answer::no_dump(Errno::EAFNOSUPPORT);
        }
        let form = Form::part(RTM_NEWRULE, request, asker.port);
        // IPv4, multicast of both, IPv6: as the families were registered.
        let mut shown: Vec<&Rule> = self.stack.rules().collect();
        shown.retain(|rule| family == 0 || family_of(rule) == family);
        let own = |v6| shown.iter().filter(move |rule| rule.v6 == v6);
        let told = |rule: &&Rule| self.message(rule, &form).finish();
        let mut messages: Vec<Vec<u8>> = own(false).map(told).collect();
        // ipmr_rules_init(), ip6mr_rules_init(): what multicast forwarding has from the start.
        for (own, table) in [(IPMR, TABLE_DEFAULT), (IP6MR, TABLE_MAIN)] {
            if family == 0 || family == own {
                let rule = Rule::of_table(own == IP6MR, LAST_PRIORITY, table);
                let mut message = self.message(&rule, &form).finish();
                message[FAMILY_AT] = own;
                messages.push(message);
            }
        }
        messages.extend(own(true).map(told));
        Answer::dump(messages)
    }

    /// fib_nl_fill_rule()
    fn message(&self, rule: &Rule, form: &Form) -> Message {
        let mut head = [0; HEAD];
        let (action, table) = action_of(rule);
        let len = |prefix: Option<(IpAddr, u8)>| prefix.map_or(0, |(_, len)| len);
        head[..3].copy_from_slice(&[family_of(rule), len(rule.dst), len(rule.src)]);
        if let Some(Service::Legacy(tos)) = rule.service {
            head[3] = tos;
        }
        head[4] = table_byte(table);
        head[7] = action;
        head[8..].copy_from_slice(&(if rule.invert { INVERT } else { 0 }).to_ne_bytes());
        let mut m = form.message(&head);
        m.put_u32(FRA_TABLE, table);
        m.put_u32(
            FRA_SUPPRESS_PREFIXLEN,
            rule.suppress.map_or(u32::MAX, u32::from),
        );
        m.put(FRA_PROTOCOL, &[rule.protocol]);
        for (kind, index) in [(FRA_IIFNAME, rule.input), (FRA_OIFNAME, rule.output)] {
            if let Some(interface) = index.and_then(|index| self.stack.interface(index)) {
                m.put_text(kind, interface.name());
            }
        }
        if rule.priority > 0 {
            m.put_u32(FRA_PRIORITY, rule.priority);
        }
        if rule.mark != 0 {
            m.put_u32(FRA_FWMARK, rule.mark);
        }
        if rule.mark != 0 || rule.mask != 0 {
            m.put_u32(FRA_FWMASK, rule.mask);
        }
        if let Some((first, last)) = rule.users {
            m.put(
                FRA_UID_RANGE,
                &range(first.to_ne_bytes(), last.to_ne_bytes()),
            );
        }
        for (kind, mask_kind, ports) in [
            (FRA_SPORT_RANGE, FRA_SPORT_MASK, rule.src_ports),
            (FRA_DPORT_RANGE, FRA_DPORT_MASK, rule.dst_ports),
        ] {
            let (first, last, mask) = match ports {
                Some(Ports::Range(first, last)) => (first, last, None),
                Some(Ports::Masked(port, mask)) => (port, port, Some(mask)),
                None => continue,
            };
            m.put(kind, &range(first.to_ne_bytes(), last.to_ne_bytes()));
            if let Some(mask) = mask {
                m.put(mask_kind, &mask.to_ne_bytes());
            }
        }
        if let Some(protocol) = rule.ip_protocol {
            m.put(FRA_IP_PROTO, &[protocol]);
        }
        if let Some(Service::Full(value, mask)) = rule.service {
            m.put(FRA_DSCP, &[value >> 2]);
            m.put(FRA_DSCP_MASK, &[mask >> 2]);
        }
        for (kind, prefix) in [(FRA_DST, rule.dst), (FRA_SRC, rule.src)] {
            if let Some((net, _)) = prefix {
                m.put(kind, &octets(net));
            }
        }
        m
    }

    /// fib_nl2rule()
    fn rule_wanted(&self, request: &Request<'_>, family: u8) -> Result<Wanted, Refusal> {
        let refuse = |text| Refusal::new(Errno::EINVAL, text);
        let head: &[u8; HEAD] = request
            .body()
            .first_chunk()
            .ok_or(refuse("Invalid msg length"))?;
        let [_, dst_len, src_len, tos, table, _, _, action, flags @ ..] = *head;
        let any: IpAddr = match i32::from(family) {
            AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => {
                let text = "Rule family not supported";
                return Err(Refusal::new(Errno::EAFNOSUPPORT, text));
            }
        };
        let text = "Error parsing msg";
        (request.check(HEAD, &policies::RULE, false)).map_err(|why| why.reworded(text))?;
        let flags = u32::from_ne_bytes(flags);
        let given: Vec<u16> = request.kinds(HEAD).collect();
        if action > LAST_ACTION
            || flags & !INVERT != 0
            || given.iter().any(|kind| !KNOWN.contains(kind))
        {
            return Err(unknown());
        }
        let prefix = |kind, len: u8, text| {
            let addr = request.address(HEAD, family, kind)?;
            match addr {
                None if len > 0 => Err(refuse(text)),
                _ if len > bits(any) => Err(refuse(text)),
                addr => Ok(addr
                    .filter(|_| len > 0)
                    .map(|addr| (network(addr, len), len))),
            }
        };
        let word = |kind| request.word(HEAD, kind);
        let device = |kind| {
            let Some(name) = request.attribute(HEAD, kind).map(text_of) else {
                return Ok(None);
            };
            let mut all = self.stack.interfaces();
            match all.find(|i| i.name().as_bytes() == name) {
                Some(interface) => Ok(Some(interface.index())),
                // Linux waits for one of that name.
                None => Err(Refusal::new(Errno::EOPNOTSUPP, "No such interface here")),
            }
        };
        let mark = word(FRA_FWMARK)?.unwrap_or(0);
        let table = word(FRA_TABLE)?.unwrap_or(table.into());
        let suppress = word(FRA_SUPPRESS_PREFIXLEN)?.filter(|len| *len != u32::MAX);
        let protocol = request.attribute(HEAD, FRA_PROTOCOL);
        let byte = |kind| {
            request
                .attribute(HEAD, kind)
                .and_then(<[u8]>::first)
                .copied()
        };
        let faulty = |kind, text| request.refuse_at(HEAD, kind, Errno::EINVAL, text);
        let ports = |kind, mask_kind, text| {
            let half = |kind, at: usize| {
                let data = request.attribute(HEAD, kind)?.get(at..at + 2)?;
                Some(u16::from_ne_bytes([data[0], data[1]]))
            };
            // fib_rule_port_range_valid()
            let given = half(kind, 0).zip(half(kind, 2));
            if given.is_some_and(|(first, last)| first == 0 || last == u16::MAX || first > last) {
                return Err(refuse(text));
            }
            // fib_nl2rule_port_mask()
            let why = match (half(mask_kind, 0), given) {
                (None, None) => return Ok(None),
                // Of one port all bits count, and the mask is told.
                (None, Some((first, last))) if first == last => {
                    return Ok(Some(Ports::Masked(first, u16::MAX)));
                }
                (None, Some((first, last))) => return Ok(Some(Ports::Range(first, last))),
                (Some(mask), Some((port, last))) if port == last && port & !mask == 0 => {
                    return Ok(Some(Ports::Masked(port, mask)));
                }
                (Some(_), Some((first, last))) if first == last => "Invalid port mask",
                (Some(_), Some(_)) => "Cannot specify port mask for port range",
                (Some(_), None) => "Cannot specify port mask without port value",
            };
            Err(faulty(mask_kind, why))
        };
        let users = match request.attribute(HEAD, FRA_UID_RANGE) {
            Some(data) => {
                let first = word_of(data.get(..4).unwrap_or_default())?;
                let last = word_of(data.get(4..8).unwrap_or_default())?;
                if first > last || last == u32::MAX {
                    return Err(refuse("Invalid uid range"));
                }
                Some((first, last))
            }
            None => None,
        };
        let service = match (tos, byte(FRA_DSCP), byte(FRA_DSCP_MASK)) {
            // inet_validate_dscp()
            _ if tos & 3 != 0 => {
                return Err(refuse("Invalid dsfield (tos): ECN bits must be 0"));
            }
            // IPTOS_RT_MASK of IPv4
            _ if tos & 0xe0 != 0 && any.is_ipv4() => return Err(refuse("Invalid tos")),
            (1.., Some(_), _) => return Err(refuse("Cannot specify both TOS and DSCP")),
            // fib4_rule_match(): 0 is any.
            (0, None, None) => None,
            (_, None, None) => Some(Service::Legacy(tos)),
            (_, None, Some(_)) => {
                let text = "Cannot specify DSCP mask without DSCP value";
                return Err(faulty(FRA_DSCP_MASK, text));
            }
            (0, Some(value), mask) => {
                let mask = mask.unwrap_or(0x3f);
                if value & !mask != 0 {
                    return Err(faulty(FRA_DSCP_MASK, "Invalid DSCP mask"));
                }
                Some(Service::Full(value << 2, mask << 2))
            }
        };
        let rule = Rule {
            v6: any.is_ipv6(),
            priority: word(FRA_PRIORITY)?.unwrap_or(0),
            action: match action {
                NOP => RuleAction::Nop,
                BLACKHOLE => RuleAction::Blackhole,
                UNREACHABLE => RuleAction::Unreachable,
                PROHIBIT => RuleAction::Prohibit,
                _ => RuleAction::Table(table),
            },
            invert: flags & INVERT != 0,
            src: prefix(FRA_SRC, src_len, "Invalid source address")?,
            dst: prefix(FRA_DST, dst_len, "Invalid dst address")?,
            input: device(FRA_IIFNAME)?,
            output: device(FRA_OIFNAME)?,
            mark,
            mask: match word(FRA_FWMASK)? {
                // "compatibility: if the mark value is non-zero all bits are compared unless a mask is explicitly specified."
                None if mark != 0 => u32::MAX,
                mask => mask.unwrap_or(0),
            },
            ip_protocol: byte(FRA_IP_PROTO).filter(|of| *of != 0),
            src_ports: ports(FRA_SPORT_RANGE, FRA_SPORT_MASK, "Invalid sport range")?,
            dst_ports: ports(FRA_DPORT_RANGE, FRA_DPORT_MASK, "Invalid dport range")?,
            service,
            users,
            suppress: suppress.map(|len| len.min(u8::MAX.into()) as u8),
            protocol: protocol.and_then(|data| data.first()).copied().unwrap_or(0),
        };
        Ok(Wanted {
            rule,
            given,
            action,
            table,
        })
    }

    /// fib_nl_newrule()
    pub(super) fn new_rule(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let wanted = self.rule_wanted(request, family)?;
        let mut rule = wanted.rule;
        match wanted.action {
            TO_TABLE | NOP | BLACKHOLE | UNREACHABLE | PROHIBIT => {}
            // FR_ACT_GOTO and those that have no name.
            _ => return Err(unknown()),
        }
        if !wanted.given.contains(&FRA_PRIORITY) {
            rule.priority = self.default_priority(rule.v6);
        }
        if rule.action == RuleAction::Table(0) {
            if rule.v6 {
                return Err(Refusal::new(Errno::EINVAL, "Invalid table"));
            }
            // fib_empty_table()
            let used = |table| self.stack.routes().any(|route| route.table == table);
            rule.action = RuleAction::Table((1..).find(|table| !used(*table)).unwrap_or(1));
        }
        // rule_exists() does not look at who made it.
        let same = |old: &Rule| {
            Rule {
                protocol: rule.protocol,
                ..*old
            } == rule
        };
        if request.flags & EXCL != 0 && self.stack.rules().any(same) {
            return Err(Errno::EEXIST.into());
        }
        self.stack.add_rule(rule);
        self.tell_rule(&Teller::of(asker, request), RTM_NEWRULE, &rule);
        Ok(Answer::Done)
    }

    /// fib_default_rule_pref(): in front of the second rule.
    fn default_priority(&self, v6: bool) -> u32 {
        let mut own = self.stack.rules().filter(|rule| rule.v6 == v6);
        own.nth(1).map_or(0, |rule| rule.priority.saturating_sub(1))
    }

    /// fib_nl_delrule()
    pub(super) fn delete_rule(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let wanted = self.rule_wanted(request, family)?;
        let found = self.stack.rules().find(|rule| wanted.names(rule)).copied();
        let rule = found.ok_or(Errno::ENOENT)?;
        if rule == Rule::of_table(rule.v6, 0, TABLE_LOCAL) {
            let text = "The rule of the table local stays on this host";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        self.stack.remove_rule(&rule);
        self.tell_rule(&Teller::of(asker, request), RTM_DELRULE, &rule);
        Ok(Answer::Done)
    }

    /// Rules that name an interface go with it. Linux keeps them, for another one of the name.
    pub(super) fn remove_rules_of(&mut self, teller: &Teller, index: IfIndex) {
        let of = |rule: &&Rule| rule.input == Some(index) || rule.output == Some(index);
        let rules: Vec<Rule> = self.stack.rules().filter(of).copied().collect();
        for rule in rules {
            self.stack.remove_rule(&rule);
            self.tell_rule(teller, RTM_DELRULE, &rule);
        }
    }

    fn tell_rule(&mut self, teller: &Teller, kind: u16, rule: &Rule) {
        let message = self.message(rule, &teller.form(kind));
        let group = if rule.v6 {
            GROUP_V6_RULE
        } else {
            GROUP_V4_RULE
        };
        self.tell(teller, group, message);
    }
}

/// `struct fib_rule_uid_range`, `struct fib_rule_port_range`.
fn range<const N: usize>(first: [u8; N], last: [u8; N]) -> Vec<u8> {
    [first, last].concat()
}

/// Of a rule that there is none of here.
fn unknown() -> Refusal {
    Refusal::new(Errno::EOPNOTSUPP, "Not supported by this host's rules")
}

fn family_of(rule: &Rule) -> u8 {
    if rule.v6 {
        AF_INET6 as u8
    } else {
        AF_INET as u8
    }
}
