//! Rules: RTM_NEWRULE, RTM_DELRULE and their dump (ip-rule(8)).
//!
//! # Limits
//! A packet is told from others by addresses, mark and interfaces that there are; type of service, users, protocols and
//! ports, and jumps from rule to rule, are EOPNOTSUPP. The rule of the table local stays, and stays first.

use super::super::message::{Answer, EXCL, Message, Refusal, Request};
use super::super::serve::Asker;
use super::{
    Form, Host, RTM_DELRULE, RTM_NEWRULE, Teller, bits, network, octets, of_ip, table_byte, text_of,
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{IfIndex, Rule, RuleAction, TABLE_LOCAL};

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
const FRA_PROTOCOL: u16 = 21;
const KNOWN: [u16; 10] = [
    FRA_DST,
    FRA_SRC,
    FRA_IIFNAME,
    FRA_PRIORITY,
    FRA_FWMARK,
    FRA_SUPPRESS_PREFIXLEN,
    FRA_TABLE,
    FRA_FWMASK,
    FRA_OIFNAME,
    FRA_PROTOCOL,
];

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
        if family != 0 && of_ip(family) == 0 {
            return Answer::no_dump(Errno::EAFNOSUPPORT);
        }
        let form = Form::part(RTM_NEWRULE, request, asker.port);
        // Of IPv4 first, as the families were registered.
        let mut shown: Vec<&Rule> = self.stack.rules().collect();
        shown.retain(|rule| family == 0 || family_of(rule) == family);
        shown.sort_by_key(|rule| rule.v6);
        let messages = shown.iter().map(|rule| self.message(rule, &form).finish());
        Answer::dump(messages.collect())
    }

    /// fib_nl_fill_rule()
    fn message(&self, rule: &Rule, form: &Form) -> Message {
        let mut head = [0; HEAD];
        let (action, table) = action_of(rule);
        let len = |prefix: Option<(IpAddr, u8)>| prefix.map_or(0, |(_, len)| len);
        head[..3].copy_from_slice(&[family_of(rule), len(rule.dst), len(rule.src)]);
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
        let flags = u32::from_ne_bytes(flags);
        let given: Vec<u16> = request.kinds(HEAD).collect();
        if action > LAST_ACTION
            || tos != 0
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
