//! Routes with several next hops, among which flows are shared out (RTA_MULTIPATH, `struct rtnexthop`).
//!
//! A hop goes with the interface it is on; Linux keeps it, as dead, until the interface is up again.

use super::super::message::{Message, Refusal, attribute, attributes};
use super::{Host, RTA_GATEWAY, RTA_MULTIPATH, address_of, octets};
use alloc::vec::Vec;
use core::net::IpAddr;
use switchboard_abi::Errno;
use switchboard_engine::{RouteConfig, Share};

/// `sizeof(struct rtnexthop)`: length, flags, weight less one, interface.
const HEAD: usize = 8;

/// One of the hops of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(super) gateway: Option<IpAddr>,
    pub(super) interface: u32,
    pub(super) weight: u16,
}

impl Hop {
    fn of(route: &RouteConfig) -> Hop {
        Hop {
            gateway: route.gateway,
            interface: route.interface.get(),
            weight: route.share.map_or(1, |share| share.weight),
        }
    }
}

/// The value of RTA_MULTIPATH (fib_get_nhs(), ip6_route_multipath_add()).
pub(super) fn parse(family: u8, mut rest: &[u8]) -> Result<Vec<Hop>, Refusal> {
    let wrong = || {
        Refusal::new(
            Errno::EINVAL,
            "Invalid nexthop configuration - extra data after nexthop",
        )
    };
    let mut hops = Vec::new();
    while !rest.is_empty() {
        let head: &[u8; HEAD] = rest.first_chunk().ok_or_else(wrong)?;
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let own = rest.get(HEAD..len).ok_or_else(wrong)?;
        let mut gateway = None;
        for (kind, data) in attributes(own) {
            match kind {
                RTA_GATEWAY => gateway = Some(address_of(family, data)?),
                _ => return Err(unknown()),
            }
        }
        // RTNH_F_ONLINK and kin
        if head[2] != 0 {
            return Err(unknown());
        }
        hops.push(Hop {
            gateway: gateway.filter(|via| !via.is_unspecified()),
            interface: u32::from_ne_bytes([head[4], head[5], head[6], head[7]]),
            weight: u16::from(head[3]) + 1,
        });
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(hops)
}

/// Of a route that there is none of here.
pub(super) fn unknown() -> Refusal {
    Refusal::new(Errno::EOPNOTSUPP, "Not supported by this host's routes")
}

/// fib_add_nexthop()
pub(super) fn put(m: &mut Message, hops: &[Hop]) {
    let mut value = Vec::new();
    for hop in hops {
        let via = hop.gateway.map(|via| attribute(RTA_GATEWAY, &octets(via)));
        let via = via.unwrap_or_default();
        let len = (HEAD + via.len()) as u16;
        value.extend_from_slice(&len.to_ne_bytes());
        value.extend_from_slice(&[0, (hop.weight - 1) as u8]);
        value.extend_from_slice(&hop.interface.to_ne_bytes());
        value.extend_from_slice(&via);
    }
    m.put(RTA_MULTIPATH, &value);
}

/// The hops of a route that was added; none of one that has a single one.
pub(super) fn of(routes: &[RouteConfig]) -> Vec<Hop> {
    match routes {
        [_] => Vec::new(),
        all => all.iter().map(Hop::of).collect(),
    }
}

/// Whether both are the same, but for the number of their group.
pub(super) fn are_same(one: &RouteConfig, other: &RouteConfig) -> bool {
    let bare = |route: &RouteConfig| RouteConfig {
        share: route.share.map(|share| Share { group: 0, ..share }),
        ..*route
    };
    bare(one) == bare(other)
}

/// Whether both are hops of one route of several.
pub(super) fn are_together(one: &RouteConfig, other: &RouteConfig) -> bool {
    let group = |route: &RouteConfig| route.share.map(|share| share.group);
    one.share.is_some() && group(one) == group(other)
}

impl Host {
    /// The routes that were added, each with all its hops.
    pub(crate) fn added_routes(&self) -> Vec<Vec<RouteConfig>> {
        let mut out: Vec<Vec<RouteConfig>> = Vec::new();
        for route in self.stack.routes() {
            match out.last_mut() {
                Some(last) if are_together(&last[0], route) => last.push(*route),
                _ => out.push(alloc::vec![*route]),
            }
        }
        out
    }

    /// Makes them the hops of one route, with a number that no other has.
    pub(super) fn joined(&self, hops: &[RouteConfig]) -> Vec<RouteConfig> {
        let groups = self.stack.routes().filter_map(|route| route.share);
        let group = groups.map(|share| share.group).max().unwrap_or(0) + 1;
        let several = hops.len() > 1;
        let share = |r: &RouteConfig| Share {
            group,
            weight: r.share.map_or(1, |share| share.weight),
        };
        let one = |r: &RouteConfig| RouteConfig {
            share: several.then(|| share(r)),
            ..*r
        };
        hops.iter().map(one).collect()
    }
}
