//! NETLINK_ROUTE (rtnetlink(7)): links, addresses, routes and rules of the host, read and changed, and who is told.
//!
//! # Limits
//! Interfaces come by /dev/net/tun alone. Routes have no metrics of their own; those that follow from addresses cannot
//! be taken away one by one. What is left out is EOPNOTSUPP.

mod address;
mod addresses;
mod fib;
mod get;
mod groups;
mod hops;
mod link;
mod neigh;
mod ntable;
mod policies;
mod router;
mod rows;
mod rule;
mod settings;
mod strict;
mod tc;

use super::message::{Answer, CREATE, EXCL, Message, Refusal, Request};
use super::queue::Queued;
use super::serve::Asker;
use crate::host::Host;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{TABLE_LOCAL, TABLE_MAIN};

pub(crate) use address::{AddressKey, AddressNote};
pub(crate) use fib::RouteWanted;
pub(crate) use rows::{UNICAST, USER_METRIC};
pub(crate) use tc::QdiscEntry;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWPREFIX: u16 = 52;
const RTM_NEWNDUSEROPT: u16 = 68;
const RTM_GETTCLASS: u16 = 42;
const RTM_GETTFILTER: u16 = 46;
const RTM_GETMULTICAST: u16 = 58;
const RTM_GETNEIGHTBL: u16 = 66;
const RTM_GETADDRLABEL: u16 = 74;
const RTM_GETNETCONF: u16 = 82;
const RTM_GETNSID: u16 = 90;
const RTM_GETCHAIN: u16 = 102;
/// The last message of linux/rtnetlink.h of Linux 6.18, rounded up as RTM_MAX is.
const RTM_MAX: u16 = 127;

/// Attributes of `struct rtmsg`.
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_IIF: u16 = 3;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_CACHEINFO: u16 = 12;
const RTA_TABLE: u16 = 15;
const RTA_MARK: u16 = 16;
const RTA_PREF: u16 = 20;
const RTA_UID: u16 = 25;

/// RTNLGRP_*
const GROUP_LINK: u32 = 1;
const GROUP_NEIGH: u32 = 3;
const GROUP_V4_ADDRESS: u32 = 5;
const GROUP_V4_ROUTE: u32 = 7;
const GROUP_V6_ADDRESS: u32 = 9;
const GROUP_V6_ROUTE: u32 = 11;
const GROUP_V6_PREFIX: u32 = 18;
const GROUP_ND_USEROPT: u32 = 20;

/// `NLM_F_ECHO`: the requester is told what the groups are told.
const ECHO: u16 = 8;

/// `sizeof(struct ifinfomsg)`, `sizeof(struct rtmsg)`, `sizeof(struct ifaddrmsg)`.
const IFINFOMSG: usize = 16;
const RTMSG: usize = 12;
const IFADDRMSG: usize = 8;

/// RT_TABLE_LOCAL and RT_TABLE_MAIN; RTPROT_KERNEL.
const LOCAL: u32 = TABLE_LOCAL;
pub(crate) const MAIN: u32 = TABLE_MAIN;
const BY_KERNEL: u8 = 2;

/// As `rtm_table` and `fib_rule_hdr.table` have it: RT_TABLE_COMPAT where the number is too large.
fn table_byte(table: u32) -> u8 {
    table.try_into().unwrap_or(252)
}

/// RT_SCOPE_UNIVERSE, _LINK, _HOST and _NOWHERE.
const UNIVERSE: u8 = 0;
pub(crate) const LINK: u8 = 253;
const HOST: u8 = 254;
pub(crate) const NOWHERE: u8 = 255;

const PF_BRIDGE: u8 = 7;
/// RTNL_FAMILY_IPMR, RTNL_FAMILY_IP6MR
const IPMR: u8 = 128;
const IP6MR: u8 = 129;

/// rtnl_dump_all(): a family that has no dump of its own asks for those of all.
fn of_ip(family: u8) -> u8 {
    match i32::from(family) {
        AF_INET | AF_INET6 => family,
        _ => 0,
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn family_of(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => AF_INET as u8,
        IpAddr::V6(_) => AF_INET6 as u8,
    }
}

fn bits(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits behind the prefix zero.
pub(crate) fn network(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(a) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(len.min(32)))
                .unwrap_or(0);
            Ipv4Addr::from_bits(a.to_bits() & mask).into()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(len.min(128)))
                .unwrap_or(0);
            Ipv6Addr::from_bits(a.to_bits() & mask).into()
        }
    }
}

/// An address of a family, as an attribute has it. What is too much of the attribute is not looked at, nor with a word.
fn address_of(family: u8, data: &[u8]) -> Result<IpAddr, Refusal> {
    match i32::from(family) {
        AF_INET => Ok((*data.first_chunk::<4>().ok_or(Errno::EINVAL)?).into()),
        AF_INET6 => Ok((*data.first_chunk::<16>().ok_or(Errno::EINVAL)?).into()),
        _ => Err(Errno::EOPNOTSUPP.into()),
    }
}

impl Request<'_> {
    /// An attribute that is an address of this family, behind a header of `skip` bytes.
    fn address(&self, skip: usize, family: u8, kind: u16) -> Result<Option<IpAddr>, Refusal> {
        let data = self.attribute(skip, kind);
        data.map(|data| address_of(family, data)).transpose()
    }

    /// An attribute that is a word.
    fn word(&self, skip: usize, kind: u16) -> Result<Option<u32>, Refusal> {
        self.attribute(skip, kind).map(word_of).transpose()
    }
}

fn word_of(data: &[u8]) -> Result<u32, Refusal> {
    let word = data.first_chunk().ok_or(Errno::EINVAL)?;
    Ok(u32::from_ne_bytes(*word))
}

/// Up to the NUL.
fn text_of(data: &[u8]) -> &[u8] {
    data.split(|b| *b == 0).next().unwrap_or(data)
}

/// A dump that is refused ends at once (netlink_dump()).
fn dumped(answer: Result<Answer, Refusal>) -> Result<Answer, Refusal> {
    answer.or_else(|why| Ok(Answer::no_dump(why)))
}

/// A message that answers somebody, or tells a group of a change.
struct Form {
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

impl Form {
    /// In answer to a request.
    fn part(kind: u16, request: &Request<'_>, port: u32) -> Form {
        Form {
            kind,
            flags: request.reply_flags(),
            sequence: request.sequence,
            port,
        }
    }

    /// Of what nobody asked for by netlink.
    fn news(kind: u16) -> Form {
        Form {
            kind,
            flags: if kind == RTM_NEWROUTE {
                CREATE | EXCL
            } else {
                0
            },
            sequence: 0,
            port: 0,
        }
    }

    fn message(&self, head: &[u8]) -> Message {
        Message::new(self.kind, self.flags, self.sequence, self.port, head)
    }
}

/// Who is told of a change, and by whom it was made.
pub(crate) struct Teller {
    now: u64,
    /// The request's number and its sender's port.
    by: (u32, u32),
    /// The requester wants to hear, too.
    echo: Option<crate::table::SocketId>,
}

impl Teller {
    fn of(asker: &Asker, request: &Request<'_>) -> Teller {
        Teller {
            now: asker.now.as_nanos(),
            by: (request.sequence, asker.port),
            echo: (request.flags & ECHO != 0).then_some(asker.id),
        }
    }

    /// Of a change that came by ioctl(2).
    pub(crate) fn ioctl(now: switchboard_engine::Instant) -> Teller {
        Teller {
            now: now.as_nanos(),
            by: (0, 0),
            echo: None,
        }
    }

    /// Of what was asked for itself.
    fn form(&self, kind: u16) -> Form {
        Form {
            sequence: self.by.0,
            port: self.by.1,
            ..Form::news(kind)
        }
    }
}

impl Host {
    /// rtnetlink_rcv_msg()
    pub(super) fn rtnetlink(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        dumping: bool,
    ) -> Result<Answer, Refusal> {
        if request.kind > RTM_MAX {
            return Err(Errno::EOPNOTSUPP.into());
        }
        // "All the messages must have at least 1 byte length."
        let Some(&family) = request.body().first() else {
            return Ok(Answer::Done);
        };
        // The kinds come in fours: new, delete, get, set.
        let reads = request.kind & 3 == 2;
        if !reads && !asker.admin {
            return Err(Errno::EPERM.into());
        }
        let dump = reads && request.is_dump();
        if dump && dumping {
            return Err(Errno::EBUSY.into());
        }
        self.asked_at = asker.now;
        match (request.kind, dump) {
            // rtnl_bridge_getlink(): there is no bridge.
            (RTM_GETLINK, true) if family == PF_BRIDGE => Ok(Answer::dump(Vec::new())),
            (RTM_GETLINK, true) => dumped(self.link_dump(asker, request)),
            (RTM_GETLINK, false) => self.one_link(asker, request),
            (RTM_NEWLINK | RTM_SETLINK, _) => self.change_link(asker, request),
            (RTM_DELLINK, _) => self.delete_link(asker, request),
            (RTM_GETADDR, true) => dumped(self.address_dump(asker, request, of_ip(family))),
            (RTM_GETADDR, false) if i32::from(family) == AF_INET6 => {
                self.one_address(asker, request)
            }
            (RTM_NEWADDR, _) => self.new_address(asker, request, family),
            (RTM_DELADDR, _) => self.delete_address(asker, request, family),
            // Those of multicast forwarding, of which there are none.
            (RTM_GETROUTE, true) if matches!(family, IPMR | IP6MR) => Ok(Answer::dump(Vec::new())),
            (RTM_GETROUTE, true) => dumped(self.route_dump(asker, request, of_ip(family))),
            (RTM_GETROUTE, false) => self.one_route(asker, request, family),
            (RTM_NEWROUTE, _) => self.new_route(asker, request, family),
            (RTM_DELROUTE, _) => self.delete_route(asker, request, family),
            (RTM_GETRULE, true) => Ok(self.rule_dump(asker, request, family)),
            (RTM_NEWRULE, _) => self.new_rule(asker, request, family),
            (RTM_DELRULE, _) => self.delete_rule(asker, request, family),
            (RTM_GETNEIGH, true) => dumped(self.neigh_dump(asker, request, family)),
            (RTM_GETNEIGH, false) => self.one_neigh(asker, request, family),
            (RTM_NEWNEIGH, _) => self.new_neigh(asker, request, family),
            (RTM_DELNEIGH, _) => self.delete_neigh(asker, request, family),
            (RTM_GETNEIGHTBL, true) => dumped(self.neigh_tables(asker, request, family)),
            (RTM_GETQDISC, true) => Ok(self.qdisc_dump(request, asker.port)),
            (RTM_GETQDISC, false) => self.one_qdisc(asker, request),
            (RTM_NEWQDISC, _) => self.new_qdisc(asker, request),
            (RTM_DELQDISC, _) => self.delete_qdisc(asker, request),
            // There is nothing of it on a virtual host.
            (RTM_GETTCLASS | RTM_GETTFILTER | RTM_GETCHAIN | RTM_GETNSID, true) => {
                Ok(Answer::dump(Vec::new()))
            }
            // No RTM_GETNEXTHOP: whom an empty dump tells that there are next hops to be made (FRR's zebra) makes routes of
            // them, and all of its routes fail.
            (RTM_GETNETCONF, true) => {
                Ok(self.netconf_dump(asker.strict, request, asker.port, of_ip(family)))
            }
            (RTM_GETNETCONF, false) => self.one_netconf(request, asker.port, family),
            (RTM_GETMULTICAST, true) if matches!(i32::from(family), AF_INET | AF_INET6) => {
                dumped(self.group_dump(asker, request, family))
            }
            (RTM_GETADDRLABEL, true) if i32::from(family) == AF_INET6 => {
                Ok(settings::labels(asker.strict, request, asker.port))
            }
            _ => Err(Errno::EOPNOTSUPP.into()),
        }
    }

    /// rtnl_notify()
    fn tell(&mut self, teller: &Teller, group: u32, message: Message) {
        self.tell_bytes(teller, group, message.finish());
    }

    /// rtnl_notify(), of several messages at once.
    fn tell_bytes(&mut self, teller: &Teller, group: u32, bytes: Vec<u8>) {
        let Some(id) = teller.echo else {
            return self.netlink_tell(teller.now, group, bytes);
        };
        let item = Queued {
            group,
            ..Queued::answer(bytes.clone())
        };
        let protocol = switchboard_abi::number::NETLINK_ROUTE;
        self.netlink_broadcast(teller.now, protocol, Some(id), 0, &item);
        self.netlink_queue(teller.now, id, Queued::answer(bytes));
    }
}
