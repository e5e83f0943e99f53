//! Addresses and routes of hosts that did not say which they have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::plan::{Member, Plan, RoutePlan};

/// A prefix of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    pub(super) addr: IpAddr,
    pub(super) len: u8,
}

impl Subnet {
    /// `10.1.0.0/16`
    pub(super) fn parse(text: &str) -> Result<Subnet, String> {
        let wanted = || format!("{text:?}: ADDRESS/LENGTH is wanted, such as 10.1.0.0/24");
        let (addr, len) = text.split_once('/').ok_or_else(wanted)?;
        let addr: IpAddr = addr.parse().map_err(|_| wanted())?;
        let len: u8 = len.parse().map_err(|_| wanted())?;
        let first_is_0 = matches!(addr, IpAddr::V4(v4) if v4.octets()[0] == 0);
        if addr.is_multicast() || addr.is_loopback() || first_is_0 {
            return Err(format!("{text:?} is no subnet of hosts"));
        }
        let longest = if addr.is_ipv4() { 30 } else { 126 };
        if len > longest {
            return Err(format!(
                "a subnet for hosts has a length of {longest} at most"
            ));
        }
        let subnet = Subnet { addr, len };
        Ok(Subnet {
            addr: subnet.nth(0),
            len,
        })
    }

    /// Its n-th address.
    pub(super) fn nth(self, n: u32) -> IpAddr {
        match self.addr {
            IpAddr::V4(addr) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0);
                Ipv4Addr::from((u32::from(addr) & mask).wrapping_add(n)).into()
            }
            IpAddr::V6(addr) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.len))
                    .unwrap_or(0);
                Ipv6Addr::from((u128::from(addr) & mask).wrapping_add(u128::from(n))).into()
            }
        }
    }

    pub(super) fn contains(self, addr: IpAddr) -> bool {
        let other = Subnet {
            addr,
            len: self.len,
        };
        addr.is_ipv4() == self.addr.is_ipv4() && other.nth(0) == self.nth(0)
    }

    /// Whether they have an address in common.
    fn overlaps(self, other: Subnet) -> bool {
        let (short, long) = if self.len < other.len {
            (self, other)
        } else {
            (other, self)
        };
        short.contains(long.addr)
    }

    /// How many hosts have room in it.
    fn room(self) -> u64 {
        let bits = if self.addr.is_ipv4() { 32 } else { 128 };
        let bits = bits - u32::from(self.len);
        if bits >= 32 {
            u64::from(u32::MAX)
        } else {
            (1 << bits) - 2
        }
    }
}

/// Numbers networks: the n-th is 10.0.n.0/24 and fd00:0:0:n::/64, larger ones 10.128+n.0.0/16; one whose number the file has
/// given away gets the highest that is free.
#[derive(Default)]
pub(super) struct Numbers {
    small: u32,
    large: u32,
    taken: Vec<Subnet>,
}

impl Numbers {
    /// A subnet is what the file has said.
    pub(super) fn give(&mut self, subnet: Option<Subnet>) {
        self.taken.extend(subnet);
    }

    /// The subnet, or another one like it that is nobody's.
    pub(super) fn free(&mut self, wish: Subnet) -> Subnet {
        let of_number = |n: u32| {
            let addr = match wish.addr {
                IpAddr::V4(_) if wish.len == 16 => Ipv4Addr::new(10, n as u8, 0, 0).into(),
                IpAddr::V4(_) => Ipv4Addr::new(10, 0, n as u8, 0).into(),
                IpAddr::V6(_) => Ipv6Addr::new(0xfd00, 0, 0, n as u16, 0, 0, 0, 0).into(),
            };
            Subnet { addr, ..wish }
        };
        let is_free = |subnet: &Subnet| !self.taken.iter().any(|other| other.overlaps(*subnet));
        let others = (1..=254).rev().map(of_number);
        let free = std::iter::once(wish).chain(others).find(is_free);
        let free = free.unwrap_or(wish);
        self.taken.push(free);
        free
    }

    /// The subnets of the next network, which has so many hosts.
    pub(super) fn next(&mut self, hosts: usize) -> [Subnet; 2] {
        self.small += 1;
        let v4 = if hosts <= 254 {
            let [.., high, low] = self.small.to_be_bytes();
            Subnet {
                addr: Ipv4Addr::new(10, high & 0x7f, low, 0).into(),
                len: 24,
            }
        } else {
            self.large += 1;
            Subnet {
                addr: Ipv4Addr::new(10, 127 + self.large.min(128) as u8, 0, 0).into(),
                len: 16,
            }
        };
        let [_, _, high, low] = self.small.to_be_bytes();
        let group = u16::from_be_bytes([high, low]);
        let v6 = Subnet {
            addr: Ipv6Addr::new(0xfd00, 0, 0, group, 0, 0, 0, 0).into(),
            len: 64,
        };
        [v4, v6]
    }
}

/// `ADDRESS[/LENGTH]`; without a length it is that of the subnet.
pub(super) fn address(text: &str, subnets: &[Subnet]) -> Result<(IpAddr, u8), String> {
    let (addr, len) = match text.split_once('/') {
        Some((addr, len)) => (addr, Some(len)),
        None => (text, None),
    };
    let addr: IpAddr = addr
        .parse()
        .map_err(|_| format!("{text:?} is no address"))?;
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() {
        return Err(format!("{text:?} is no host's address"));
    }
    let longest = if addr.is_ipv4() { 32 } else { 128 };
    let len = match len {
        Some(len) => len.parse().ok().filter(|len| *len <= longest),
        None => subnets.iter().find(|s| s.contains(addr)).map(|s| s.len),
    };
    match len {
        Some(len) => Ok((addr, len)),
        None => Err(format!(
            "{text:?}: outside of the subnet an address has its length with it, such as {addr}/24"
        )),
    }
}

/// Gives each member its addresses: those given, and the next free one of each subnet it has none of.
pub(super) fn assign(
    members: &mut [Member],
    subnets: &[Subnet],
    given: &BTreeMap<usize, Vec<(IpAddr, u8)>>,
) -> Result<(), String> {
    let mut taken: BTreeSet<IpAddr> = BTreeSet::new();
    for (addr, _) in given.values().flatten() {
        if !taken.insert(*addr) {
            return Err(format!("{addr} is given twice"));
        }
    }
    for (number, member) in members.iter_mut().enumerate() {
        member.addresses = given.get(&number).cloned().unwrap_or_default();
        for subnet in subnets {
            let same = |(addr, _): &(IpAddr, u8)| addr.is_ipv4() == subnet.addr.is_ipv4();
            if member.addresses.iter().any(same) {
                continue;
            }
            // The place among the members, where it is free.
            let wish = number as u64 + 1;
            let room = subnet.room();
            let free = (wish..=room)
                .chain(1..wish.min(room + 1))
                .map(|n| subnet.nth(n as u32))
                .find(|addr| !taken.contains(addr));
            let addr = free.ok_or_else(|| format!("{}/{} has no room", subnet.addr, subnet.len))?;
            taken.insert(addr);
            member.addresses.push((addr, subnet.len));
        }
    }
    Ok(())
}

/// The routes of a host over routers, each by one of the shortest ways: to all subnets that it is not on.
pub(super) fn routes(plan: &Plan, host: usize) -> Vec<RoutePlan> {
    // Networks in the order of their distance, and over whom they are reached.
    let mut seen: BTreeMap<usize, Option<(usize, usize)>> = BTreeMap::new();
    let mut queue = VecDeque::new();
    let on = |network: usize, host: usize| {
        let members = &plan.networks[network].members;
        members.iter().find(|member| member.host == host)
    };
    for network in 0..plan.networks.len() {
        if on(network, host).is_some() {
            seen.insert(network, None);
            queue.push_back(network);
        }
    }
    while let Some(network) = queue.pop_front() {
        let first = seen[&network];
        for member in &plan.networks[network].members {
            let router = &plan.hosts[member.host];
            // From outside nobody finds the way to what is behind a translation.
            let hides = router.nat.is_some_and(|nat| nat.outside == network);
            if member.host == host || !router.router || hides {
                continue;
            }
            for next in 0..plan.networks.len() {
                if on(next, member.host).is_some() && !seen.contains_key(&next) {
                    // The first router on the way, and the network it is met on.
                    seen.insert(next, first.or(Some((network, member.host))));
                    queue.push_back(next);
                }
            }
        }
    }
    let mut routes: Vec<RoutePlan> = Vec::new();
    for (network, way) in seen {
        let Some((met_on, router)) = way else {
            continue;
        };
        let Some(router) = on(met_on, router) else {
            continue;
        };
        let addresses = plan.networks[network]
            .members
            .iter()
            .flat_map(|m| &m.addresses);
        for (addr, len) in addresses {
            let prefix = Subnet {
                addr: *addr,
                len: *len,
            }
            .nth(0);
            let known = |r: &RoutePlan| (r.prefix, r.len) == (prefix, *len);
            let gateway = router
                .addresses
                .iter()
                .find(|(g, _)| g.is_ipv4() == addr.is_ipv4());
            if let Some((gateway, _)) = gateway
                && !routes.iter().any(known)
            {
                routes.push(RoutePlan {
                    prefix,
                    len: *len,
                    gateway: *gateway,
                });
            }
        }
    }
    routes
}
