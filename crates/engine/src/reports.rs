//! Who is a member of what, told to the link: IGMP (RFC 3376, RFC 2236) and MLD (RFC 3810, RFC 2710).
//!
//! # Theory of operation
//! What sockets have joined on an interface with a link layer is, by group, one filter: all sources but some, or some. When
//! it changes, the change is reported, and once more within a second (the robustness variable is 2). A router's query is
//! answered after a random part of the time it grants. A query of an older version makes the host speak that version for
//! as long as the older router may be there (RFC 3376, 7.2.1; RFC 3810, 8.2.1).
//!
//! Changes meet the link when frames are taken ([`Stack::poll_frame`]), as packets do.
//!
//! # Limits
//! IGMPv1 is taken for version 2. The groups that every host is in by its addresses (ff02::1:ff00:0/104) are not reported:
//! switches here send every group to everyone. A report has at most [`RECORDS`] groups; there are as many reports as it
//! takes. A host that forwards asks nothing: there is no querier and no multicast routing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use bytes::Bytes;
use switchboard_wire::{
    Body, ExtHeader, Extended, HOP_OPTIONS, IcmpMessage, IpHeader, Packet, checksum,
};

use crate::iface::IfIndex;
use crate::multicast::FilterMode;
use crate::route::{RouteInfo, RouteKind};
use crate::stack::Stack;
use crate::time::Instant;
use crate::timer::TimerId;

/// How many groups one report tells of: with a few sources each it fits any link.
const RECORDS: usize = 20;

/// IGMP as an IP protocol.
pub(crate) const IGMP: u8 = 2;
const QUERY: u8 = 0x11;
const V2_REPORT: u8 = 0x16;
const V2_LEAVE: u8 = 0x17;
const V3_REPORT: u8 = 0x22;

/// ICMPv6 types of MLD.
pub(crate) const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const MLD2_REPORT: u8 = 143;

/// Record types (RFC 3376, 4.2.12).
const IS_INCLUDE: u8 = 1;
const IS_EXCLUDE: u8 = 2;
const TO_INCLUDE: u8 = 3;
const TO_EXCLUDE: u8 = 4;
const ALLOW: u8 = 5;
const BLOCK: u8 = 6;

/// RFC 3376, 8.11: unsolicited reports follow each other within a second.
const UNSOLICITED: Duration = Duration::from_secs(1);
/// RFC 3376, 8.12: twice the query interval of 125 s, and the response interval of 10 s.
const OLDER_QUERIER: Duration = Duration::from_secs(260);

type Key = (IfIndex, IpAddr);

/// A group's filter on an interface; [`Filter::NONE`] of one that nobody is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    mode: FilterMode,
    sources: BTreeSet<IpAddr>,
}

impl Filter {
    const NONE: Filter = Filter {
        mode: FilterMode::Include,
        sources: BTreeSet::new(),
    };
}

/// What is said of a group.
#[derive(Clone, Debug)]
struct Record {
    kind: u8,
    group: IpAddr,
    sources: Vec<IpAddr>,
}

#[derive(Debug)]
pub(crate) struct Reports {
    /// Whose memberships may have changed.
    dirty: BTreeSet<Key>,
    /// What was told last.
    told: BTreeMap<Key, Filter>,
    /// What is told once more, and when.
    again: BTreeMap<Key, (Instant, Vec<Record>)>,
    /// What was asked for: a group, or by the unspecified address all of the version; and when that is answered.
    asked: BTreeMap<Key, Instant>,
    /// Until when there is an older router: IPv4, IPv6.
    older: BTreeMap<(IfIndex, bool), Instant>,
    timer: TimerId,
}

impl Reports {
    pub(crate) fn new(timer: TimerId) -> Reports {
        Reports {
            dirty: BTreeSet::new(),
            told: BTreeMap::new(),
            again: BTreeMap::new(),
            asked: BTreeMap::new(),
            older: BTreeMap::new(),
            timer,
        }
    }

    fn next(&self) -> Option<Instant> {
        let again = self.again.values().map(|(at, _)| *at);
        again.chain(self.asked.values().copied()).min()
    }

    fn is_older(&self, now: Instant, interface: IfIndex, v6: bool) -> bool {
        let until = self.older.get(&(interface, v6));
        until.is_some_and(|until| now < *until)
    }
}

/// RFC 3376, 4: never of all hosts; RFC 3810, 6: nor of a node's or an interface's own.
fn is_reported(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(v4) => v4 != Ipv4Addr::new(224, 0, 0, 1),
        IpAddr::V6(v6) => {
            v6.octets()[1] & 15 > 1 && v6 != Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)
        }
    }
}

/// RFC 3376, 5.1: what is said of a change.
fn changes(group: IpAddr, old: &Filter, new: &Filter) -> Vec<Record> {
    let record = |kind, sources| Record {
        kind,
        group,
        sources,
    };
    let beyond = |a: &Filter, b: &Filter| a.sources.difference(&b.sources).copied().collect();
    let all = || new.sources.iter().copied().collect();
    let (allow, block): (Vec<IpAddr>, Vec<IpAddr>) = match (old.mode, new.mode) {
        (FilterMode::Include, FilterMode::Exclude) => return [record(TO_EXCLUDE, all())].into(),
        (FilterMode::Exclude, FilterMode::Include) => return [record(TO_INCLUDE, all())].into(),
        (FilterMode::Include, _) => (beyond(new, old), beyond(old, new)),
        (FilterMode::Exclude, _) => (beyond(old, new), beyond(new, old)),
    };
    let both = [record(ALLOW, allow), record(BLOCK, block)];
    both.into_iter().filter(|r| !r.sources.is_empty()).collect()
}

/// RFC 3376, 4.1.1 and 4.1.7; RFC 3810, 5.1.3: numbers that are large are written as powers.
fn time_of(code: u32, mantissa: u32) -> u32 {
    let top = 1 << (mantissa + 3);
    if code < top {
        return code;
    }
    let exponent = code >> mantissa & 7;
    (code & ((1 << mantissa) - 1) | 1 << mantissa) << (exponent + 3)
}

fn push_addr(out: &mut Vec<u8>, addr: IpAddr) {
    match addr {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
}

impl Stack {
    /// RFC 3376, 3.2: the filter that a group's members on an interface make together.
    fn interface_filter(&self, (interface, group): Key) -> Filter {
        let mut made = Filter::NONE;
        for member in self.groups.members_of(interface, group) {
            let own: BTreeSet<IpAddr> = member.sources().iter().copied().collect();
            made = match (made.mode, member.mode) {
                (FilterMode::Include, FilterMode::Include) => Filter {
                    mode: FilterMode::Include,
                    sources: made.sources.union(&own).copied().collect(),
                },
                (FilterMode::Exclude, FilterMode::Exclude) => Filter {
                    mode: FilterMode::Exclude,
                    sources: made.sources.intersection(&own).copied().collect(),
                },
                (FilterMode::Include, FilterMode::Exclude) => Filter {
                    mode: FilterMode::Exclude,
                    sources: own.difference(&made.sources).copied().collect(),
                },
                (FilterMode::Exclude, FilterMode::Include) => Filter {
                    mode: FilterMode::Exclude,
                    sources: made.sources.difference(&own).copied().collect(),
                },
            };
        }
        made
    }

    /// A membership came, went or changed.
    pub(crate) fn touch_group(&mut self, interface: IfIndex, group: IpAddr) {
        if self.interfaces.is_ethernet(interface) {
            self.group_reports.dirty.insert((interface, group));
        }
    }

    /// ip_mc_up(): what was told before the interface went down may have been forgotten.
    pub(crate) fn touch_groups(&mut self, interface: IfIndex) {
        self.group_reports.told.retain(|key, _| key.0 != interface);
        for (group, _) in self.groups_on(interface) {
            self.touch_group(interface, group);
        }
    }

    /// Tells the links what has changed.
    #[inline]
    pub(crate) fn report_groups(&mut self, now: Instant) {
        if !self.group_reports.dirty.is_empty() {
            self.report_changes(now);
        }
    }

    #[cold]
    fn report_changes(&mut self, now: Instant) {
        while let Some(key) = self.group_reports.dirty.pop_first() {
            let (interface, group) = key;
            let link = self.interface(interface);
            let here = link.is_some_and(|i| i.is_ethernet() && i.is_up());
            if !here || !is_reported(group) {
                continue;
            }
            let new = self.interface_filter(key);
            let old = match new == Filter::NONE {
                true => self.group_reports.told.remove(&key),
                false => self.group_reports.told.insert(key, new.clone()),
            };
            let records = changes(group, &old.unwrap_or(Filter::NONE), &new);
            if records.is_empty() {
                continue;
            }
            self.send_records(now, interface, &records);
            let at = now + self.part_of(UNSOLICITED);
            self.group_reports.again.insert(key, (at, records));
        }
        self.report_arm();
    }

    /// A random part of a time, to the millisecond.
    fn part_of(&mut self, time: Duration) -> Duration {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(1 + u64::from(self.random.u32()) % millis)
    }

    fn report_arm(&mut self) {
        let at = self.group_reports.next().unwrap_or(Instant::MAX);
        self.timers.arm(self.group_reports.timer, at);
    }

    /// What is due is told.
    pub(crate) fn report_timeout(&mut self, now: Instant) {
        let again = self.group_reports.again.iter();
        let due: Vec<Key> = again
            .filter(|(_, (at, _))| *at <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            if let Some((_, records)) = self.group_reports.again.remove(&key) {
                self.send_records(now, key.0, &records);
            }
        }
        let asked = self.group_reports.asked.iter();
        let due: Vec<Key> = asked
            .filter(|(_, at)| **at <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.group_reports.asked.remove(&key);
            let (interface, group) = key;
            let told = self.group_reports.told.iter();
            let wanted = told.filter(|((i, g), _)| {
                *i == interface
                    && g.is_ipv4() == group.is_ipv4()
                    && (group.is_unspecified() || *g == group)
            });
            let records: Vec<Record> = wanted
                .map(|((_, group), filter)| Record {
                    kind: match filter.mode {
                        FilterMode::Include => IS_INCLUDE,
                        FilterMode::Exclude => IS_EXCLUDE,
                    },
                    group: *group,
                    sources: filter.sources.iter().copied().collect(),
                })
                .collect();
            self.send_records(now, interface, &records);
        }
        self.report_arm();
    }

    fn send_records(&mut self, now: Instant, interface: IfIndex, records: &[Record]) {
        let Some(first) = records.first() else {
            return;
        };
        let v6 = first.group.is_ipv6();
        if self.group_reports.is_older(now, interface, v6) {
            return records.iter().for_each(|r| self.send_older(interface, r));
        }
        for some in records.chunks(RECORDS) {
            let mut list = Vec::new();
            for record in some {
                list.extend_from_slice(&[record.kind, 0]);
                list.extend_from_slice(&(record.sources.len() as u16).to_be_bytes());
                push_addr(&mut list, record.group);
                record.sources.iter().for_each(|s| push_addr(&mut list, *s));
            }
            let count = some.len() as u32;
            if v6 {
                let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
                self.send_mld(interface, all, MLD2_REPORT, count, list);
            } else {
                let all = Ipv4Addr::new(224, 0, 0, 22);
                let mut bytes = Vec::from([V3_REPORT, 0, 0, 0]);
                bytes.extend_from_slice(&count.to_be_bytes());
                bytes.extend_from_slice(&list);
                self.send_igmp(interface, all, bytes);
            }
        }
    }

    /// To an older router: a report of a group that somebody is in, or that nobody is any more.
    fn send_older(&mut self, interface: IfIndex, record: &Record) {
        let leaves = matches!(record.kind, TO_INCLUDE | BLOCK)
            && !self
                .group_reports
                .told
                .contains_key(&(interface, record.group));
        match record.group {
            IpAddr::V4(group) => {
                let (kind, to) = match leaves {
                    true => (V2_LEAVE, Ipv4Addr::new(224, 0, 0, 2)),
                    false => (V2_REPORT, group),
                };
                let mut bytes = Vec::from([kind, 0, 0, 0]);
                bytes.extend_from_slice(&group.octets());
                self.send_igmp(interface, to, bytes);
            }
            IpAddr::V6(group) => {
                let (kind, to) = match leaves {
                    true => (MLD_DONE, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2)),
                    false => (MLD_REPORT, group),
                };
                self.send_mld(interface, to, kind, 0, group.octets().into());
            }
        }
    }

    /// igmpv3_newpack(): with the router alert option (RFC 2113), so that routers look.
    fn send_igmp(&mut self, interface: IfIndex, to: Ipv4Addr, mut bytes: Vec<u8>) {
        let sum = checksum(None, &bytes);
        bytes[2..4].copy_from_slice(&sum);
        let source = self.address_towards(interface, to.into());
        let source = source.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let mut ip = IpHeader::new(source, to.into());
        ip.hop_limit = 1;
        // Internetwork control.
        ip.tos = 0xc0;
        let body = Body::Other {
            protocol: IGMP,
            payload: bytes.into(),
        };
        let alert = Bytes::from_static(&[0x94, 4, 0, 0]);
        let body = Extended::with_options(alert, None, body);
        self.send_report(interface, Packet { ip, body });
    }

    /// mld_newpack(): with the router alert option (RFC 2711), from the address of the link.
    fn send_mld(&mut self, interface: IfIndex, to: Ipv6Addr, kind: u8, rest: u32, list: Vec<u8>) {
        let Some(link) = self.interface(interface) else {
            return;
        };
        let local = |addr: &IpAddr| matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local());
        let own = link.addresses().iter().map(|a| a.addr).find(local);
        let mut ip = IpHeader::new(own.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), to.into());
        ip.hop_limit = 1;
        let message = IcmpMessage::Other {
            kind,
            code: 0,
            rest,
            payload: list.into(),
        };
        self.counters.icmp_out_msgs += 1;
        self.counters.v6.icmp_out_msgs += 1;
        self.counters.icmp_out[1].count(true, &message);
        let alert = ExtHeader {
            kind: HOP_OPTIONS,
            // Router alert of MLD, and two octets of padding.
            bytes: Bytes::from_static(&[58, 0, 5, 2, 0, 0, 1, 0]),
        };
        let body = Extended::with_headers([alert].into(), None, Body::Icmp(message));
        self.send_report(interface, Packet { ip, body });
    }

    fn send_report(&mut self, interface: IfIndex, packet: Packet) {
        let route = RouteInfo {
            destination: packet.ip.dst,
            source: packet.ip.src,
            mtu: self.interface(interface).map_or(0, |i| i.mtu()),
            interface,
            next_hop: packet.ip.dst,
            kind: RouteKind::Multicast,
        };
        self.ip_output(&route, packet);
    }

    /// igmp_rcv(): a router asks.
    pub(crate) fn igmp_input(&mut self, now: Instant, interface: IfIndex, bytes: &[u8]) {
        let [QUERY, code, _, _, a, b, c, d, ..] = *bytes else {
            return;
        };
        if checksum(None, bytes) != [0, 0] {
            return;
        }
        // In tenths of a second; an IGMPv1 router grants ten.
        let tenths = match bytes.len() {
            8 if code == 0 => 100,
            8 => u32::from(code),
            12.. => time_of(code.into(), 4),
            _ => return,
        };
        let group = Ipv4Addr::new(a, b, c, d);
        let granted = Duration::from_millis(u64::from(tenths) * 100);
        self.queried(now, interface, group.into(), granted, bytes.len() == 8);
    }

    /// igmp6_event_query(): the same of IPv6. `rest` begins with the time.
    pub(crate) fn mld_query(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        rest: u32,
        payload: &[u8],
    ) {
        let local = matches!(ip.src, IpAddr::V6(src) if src.is_unicast_link_local());
        let Some(group) = payload.first_chunk::<16>() else {
            return;
        };
        // RFC 3810, 6.2: from the link, and with one hop.
        if !local || ip.hop_limit != 1 {
            return;
        }
        let older = payload.len() == 16;
        let code = rest >> 16;
        let millis = if older { code } else { time_of(code, 12) };
        let granted = Duration::from_millis(millis.into());
        self.queried(
            now,
            interface,
            Ipv6Addr::from(*group).into(),
            granted,
            older,
        );
    }

    fn queried(
        &mut self,
        now: Instant,
        interface: IfIndex,
        group: IpAddr,
        granted: Duration,
        older: bool,
    ) {
        let ethernet = self.interface(interface).is_some_and(|i| i.is_ethernet());
        if !ethernet || !(group.is_unspecified() || group.is_multicast()) {
            return;
        }
        if older {
            let until = now + OLDER_QUERIER;
            let _ = (self.group_reports.older).insert((interface, group.is_ipv6()), until);
        }
        let key = (interface, group);
        let member = match group.is_unspecified() {
            true => true,
            false => self.group_reports.told.contains_key(&key),
        };
        if !member {
            return;
        }
        let at = now + self.part_of(granted);
        let due = self.group_reports.asked.entry(key).or_insert(at);
        *due = at.min(*due);
        self.report_arm();
    }
}

#[cfg(test)]
mod tests;
