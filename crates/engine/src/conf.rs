//! What is set for interfaces in IPv4, as the directories of /proc/sys/net/ipv4/conf have it
//! (Documentation/networking/ip-sysctl.rst of the kernel).
//!
//! # Theory of operation
//! An interface has values of its own. `all` is looked at beside them: the larger of the two counts, or either of them
//! (IN_DEV_MAXCONF, IN_DEV_ORCONF). `default` is what new interfaces have; a change of it goes on to those whose value was
//! never written (devinet_copy_dflt_conf), until they have an address (ipv4_devconf_setall).

use core::net::IpAddr;

use switchboard_wire::IpHeader;

use crate::iface::{IfIndex, Interfaces, in_prefix};
use crate::policy::Flow;
use crate::route::{self, RouteKind};
use crate::stack::Stack;

/// Which interfaces something is set for, as the directories of /proc/sys/net/ipv4/conf have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conf {
    /// `all`: for IPv4 all there are and will be.
    All,
    /// `default`: those that will be.
    Default,
    /// One.
    Interface(IfIndex),
}

/// A number under net.ipv4.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunable4 {
    /// `accept_local`: packets may come from the host's own addresses.
    AcceptLocal,
    /// `arp_accept`: strangers' unasked words are kept: 1 all, 2 those of the interface's subnets.
    ArpAccept,
    /// `arp_announce`: 1 and 2 restrict the addresses that ARP asks from.
    ArpAnnounce,
    /// `arp_filter`: only the interface by which the asker is reached answers.
    ArpFilter,
    /// `arp_ignore`: 1, 2, 3 and 8 restrict the addresses that are answered for.
    ArpIgnore,
    /// `arp_notify`: an interface that comes up announces its addresses.
    ArpNotify,
    /// `drop_gratuitous_arp`: announcements are not heard.
    DropGratuitousArp,
    /// `promote_secondaries`: the first secondary address takes the place of a primary one that goes.
    PromoteSecondaries,
    /// `proxy_arp`: what is asked for and reached by another interface is answered for.
    ProxyArp,
    /// `route_localnet`: 127.0.0.0/8 comes in and goes out.
    RouteLocalnet,
    /// `rp_filter`: sources are looked at: 1 must be reached by the same interface, 2 at all.
    RpFilter,
}

const COUNT: usize = Tunable4::RpFilter as usize + 1;

/// The values of one directory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Values {
    all: [i32; COUNT],
    /// A bit for each that `default` does not change any more.
    settled: u16,
}

impl Values {
    pub(crate) fn get(&self, which: Tunable4) -> i32 {
        self.all[which as usize]
    }

    /// Somebody wrote it.
    pub(crate) fn set(&mut self, which: Tunable4, value: i32) {
        self.all[which as usize] = value;
        self.settled |= 1 << which as u16;
    }

    /// `default` was written.
    pub(crate) fn follow(&mut self, which: Tunable4, value: i32) {
        if self.settled & 1 << which as u16 == 0 {
            self.all[which as usize] = value;
        }
    }

    /// The interface got an address.
    pub(crate) fn settle(&mut self) {
        self.settled = !0;
    }
}

impl Interfaces {
    fn own_conf(&self, index: IfIndex, which: Tunable4) -> i32 {
        self.get(index).map_or(0, |i| i.conf.get(which))
    }

    /// IN_DEV_MAXCONF
    pub(crate) fn conf_max(&self, index: IfIndex, which: Tunable4) -> i32 {
        self.conf_all.get(which).max(self.own_conf(index, which))
    }

    /// IN_DEV_ORCONF
    pub(crate) fn conf_or(&self, index: IfIndex, which: Tunable4) -> bool {
        self.conf_all.get(which) != 0 || self.own_conf(index, which) != 0
    }
}

impl Stack {
    /// A number of net.ipv4.conf.*
    pub fn conf4(&self, conf: Conf, which: Tunable4) -> i32 {
        match conf {
            Conf::All => self.interfaces.conf_all.get(which),
            Conf::Default => self.interfaces.conf_default.get(which),
            Conf::Interface(index) => self.interfaces.own_conf(index, which),
        }
    }

    /// Sets it.
    pub fn set_conf4(&mut self, conf: Conf, which: Tunable4, value: i32) {
        self.interfaces.set_conf(conf, which, value);
        self.routes.touch();
    }

    /// fib_validate_source(): whether a packet that came in may come from there. IPv6 does not look.
    pub(crate) fn may_come(&mut self, interface: IfIndex, ip: &IpHeader) -> bool {
        let checks = &self.interfaces;
        let filter = if checks.checks_sources {
            checks.conf_max(interface, Tunable4::RpFilter)
        } else {
            0
        };
        // An address of an interface; others of a subnet of lo may be, unless sources are looked at.
        let own = if filter > 0 {
            checks.owner(ip.src).is_some()
        } else {
            checks.is_address(ip.src)
        };
        if own {
            // Strictly, by lo is the way back to itself.
            let way = filter != 1 || interface == IfIndex::LO;
            return way && checks.conf_or(interface, Tunable4::AcceptLocal);
        }
        // Who has no address yet asks for one. Impossible sources are looked at elsewhere.
        if filter <= 0 || ip.src.is_unspecified() || ip.src.is_multicast() {
            return true;
        }
        let reached = self.is_reached_by(interface, ip, filter);
        self.counters.ip_reverse_path_filter += u64::from(!reached);
        reached
    }

    /// __fib_validate_source(), of RFC 3704: strict (1) or loose.
    fn is_reached_by(&self, interface: IfIndex, ip: &IpHeader, filter: i32) -> bool {
        let back = Flow {
            src: Some(ip.dst).filter(|dst| self.interfaces.owner(*dst).is_some()),
            ..Flow::to(ip.src)
        };
        let Ok(found) = route::lookup(&self.interfaces, &self.routes, &back) else {
            return false;
        };
        if found.kind != RouteKind::Unicast {
            return false;
        }
        // Any of the hops of one route will do.
        let shared = || {
            let of_group =
                |group: u32| move |r: &&route::RouteConfig| r.share.map(|s| s.group) == Some(group);
            self.routes.iter().any(|r| {
                let leads = r.interface == interface && in_prefix(ip.src, r.prefix, r.prefix_len);
                leads
                    && r.share.is_some_and(|share| {
                        let mut hops = self.routes.iter().filter(of_group(share.group));
                        hops.any(|hop| {
                            let next = hop.gateway.unwrap_or(ip.src);
                            (hop.interface, next) == (found.interface, found.next_hop)
                        })
                    })
            })
        };
        found.interface == interface || shared() || filter != 1
    }

    /// inet_confirm_addr(): whether an address of the host's may stand in an answer: one of the interface's own, of which
    /// subnet `towards` is, if they are given.
    pub(crate) fn confirms(
        &self,
        interface: Option<IfIndex>,
        addr: IpAddr,
        towards: Option<IpAddr>,
    ) -> bool {
        let mut all = (self.interfaces.iter())
            .filter(|i| interface.is_none_or(|index| i.index() == index))
            .flat_map(|i| i.addresses());
        all.any(|own| own.addr == addr && towards.is_none_or(|other| own.covers(other)))
    }
}

#[cfg(test)]
mod tests;
