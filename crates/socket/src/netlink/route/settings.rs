//! What is read only: settings that others are told of (netconf), labels of addresses.

use super::super::message::{Answer, Refusal, Request};
use super::Form;
use crate::host::Host;
use alloc::format;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{Conf, Tunable4};

/// The messages of answers.
const NEW_LABEL: u16 = 72;
const NEW_NETCONF: u16 = 80;

/// `sizeof(struct ifaddrlblmsg)`, and of `struct netconfmsg` with its padding.
const LABEL: usize = 12;
const NETCONF: usize = 4;

/// `NETCONFA_IFINDEX_ALL`, `NETCONFA_IFINDEX_DEFAULT`.
const ALL: i32 = -1;
const DEFAULT: i32 = -2;

/// ip6addrlbl_init_table: prefix, its length, label; in the order in which they are asked. What RFC 6724, section 2.1 has, and Teredo's
/// and ORCHID's.
const LABELS: [(u128, u8, u32); 10] = [
    (1, 128, 0),
    (0, 96, 3),
    (0xffff << 32, 96, 4),
    (0x2001 << 112, 32, 6),
    (0x2001_0010 << 96, 28, 7),
    (0x3ffe << 112, 16, 12),
    (0x2002 << 112, 16, 2),
    (0xfec0 << 112, 10, 11),
    (0xfc00 << 112, 7, 5),
    (0, 0, 1),
];

impl Host {
    /// inet_netconf_dump_devconf(), inet6_netconf_dump_devconf(): of `family`, or of both.
    pub(super) fn netconf_dump(
        &self,
        strict: bool,
        request: &Request<'_>,
        port: u32,
        family: u8,
    ) -> Answer {
        if strict && request.body().len() != NETCONF {
            return Answer::no_dump(Errno::EINVAL);
        }
        let mut all = Vec::new();
        for of in [AF_INET, AF_INET6] {
            if family != 0 && i32::from(family) != of {
                continue;
            }
            let interfaces = self.stack.interfaces().map(|i| i.index().get() as i32);
            for index in interfaces.chain([ALL, DEFAULT]) {
                all.extend(self.netconf(request, port, of, index));
            }
        }
        Answer::dump(all)
    }

    /// inet_netconf_get_devconf(), inet6_netconf_get_devconf()
    pub(super) fn one_netconf(
        &self,
        request: &Request<'_>,
        port: u32,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let family = i32::from(family);
        if family != AF_INET && family != AF_INET6 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let index = request.word(NETCONF, 1)?.ok_or(Errno::EINVAL)?;
        let nobody = if family == AF_INET {
            Errno::ENODEV
        } else {
            Errno::EINVAL
        };
        let message = self.netconf(request, port, family, index as i32);
        Ok(Answer::One(message.ok_or(nobody)?))
    }

    /// inet_netconf_fill_devconf(): forwarding, and what nobody can switch on here.
    fn netconf(
        &self,
        request: &Request<'_>,
        port: u32,
        family: i32,
        index: i32,
    ) -> Option<Vec<u8>> {
        let name = match index {
            ALL => "all",
            DEFAULT => "default",
            index => self.link(index)?.name(),
        };
        let v6 = family == AF_INET6;
        let version = if v6 { "ipv6" } else { "ipv4" };
        let forwarding = self.forwarding_shown(v6, &format!("{version}/conf/{name}/forwarding"));
        let mut m = Form::part(NEW_NETCONF, request, port).message(&[family as u8, 0, 0, 0]);
        m.put_u32(1, index as u32);
        m.put_u32(2, forwarding as u32);
        // NETCONFA_RP_FILTER, _MC_FORWARDING, _BC_FORWARDING, _PROXY_NEIGH, _IGNORE_ROUTES_WITH_LINKDOWN
        let others: &[u16] = if v6 { &[4, 5, 6] } else { &[3, 4, 8, 5, 6] };
        let filter = match index {
            ALL => Some(Conf::All),
            DEFAULT => Some(Conf::Default),
            index => self.link(index).map(|i| Conf::Interface(i.index())),
        };
        for kind in others {
            let value = match (kind, filter) {
                (3, Some(conf)) => self.stack.conf4(conf, Tunable4::RpFilter),
                (5, Some(conf)) if !v6 => self.stack.conf4(conf, Tunable4::ProxyArp),
                _ => 0,
            };
            m.put_u32(*kind, value as u32);
        }
        Some(m.finish())
    }
}

/// ip6addrlbl_dump()
pub(super) fn labels(strict: bool, request: &Request<'_>, port: u32) -> Answer {
    if strict && (request.body().len() != LABEL || request.body()[1..].iter().any(|b| *b != 0)) {
        return Answer::no_dump(Errno::EINVAL);
    }
    let all = LABELS.iter().map(|(prefix, len, label)| {
        let head = [AF_INET6 as u8, 0, *len, 0, 0, 0, 0, 0];
        // ifal_seq: how often the table was changed, which is how many are in it.
        let head = [&head[..], &(LABELS.len() as u32).to_ne_bytes()].concat();
        let mut m = Form::part(NEW_LABEL, request, port).message(&head);
        m.put(1, &prefix.to_be_bytes());
        m.put_u32(2, *label);
        m.finish()
    });
    Answer::dump(all.collect())
}
