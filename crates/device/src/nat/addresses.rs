//! Who is who on the gateway's link, and what an address outside is on the real host.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io::{self, ErrorKind};
use std::vec::Vec;

use super::fault::Fault;

/// The addresses of one version on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatSubnet {
    /// The virtual host's.
    pub host: IpAddr,
    /// The gateway's, which is the virtual host's default router.
    pub gateway: IpAddr,
    /// The gateway's as a name server.
    pub resolver: IpAddr,
    /// The length of the prefix that they share.
    pub prefix_len: u8,
}

/// The addresses on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatAddresses {
    /// IPv4.
    pub v4: NatSubnet,
    /// IPv6.
    pub v6: NatSubnet,
}

/// What the virtual host may have, the first that is free on the real host: slirp's own subnet is what people expect.
const V4_NETS: [[u8; 3]; 4] = [[10, 0, 2], [10, 0, 3], [10, 55, 2], [172, 30, 255]];
const V6_NETS: [u16; 4] = [0, 1, 2, 3];

impl Default for NatAddresses {
    /// 10.0.2.15/24 with 10.0.2.2 and 10.0.2.3, fd00::15/64 with fd00::2 and fd00::3.
    fn default() -> NatAddresses {
        NatAddresses {
            v4: v4(V4_NETS[0]),
            v6: v6(V6_NETS[0]),
        }
    }
}

fn v4([a, b, c]: [u8; 3]) -> NatSubnet {
    let of = |d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    NatSubnet {
        host: of(15),
        gateway: of(2),
        resolver: of(3),
        prefix_len: 24,
    }
}

fn v6(net: u16) -> NatSubnet {
    let of = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, net, 0, 0, 0, last));
    NatSubnet {
        host: of(0x15),
        gateway: of(2),
        resolver: of(3),
        prefix_len: 64,
    }
}

impl NatAddresses {
    /// Addresses of subnets in which the real host has none of these, so that the gateway hides nobody whom the real host
    /// reaches there. The last choice where none is free.
    pub fn beside(taken: &[IpAddr]) -> NatAddresses {
        let free = |subnet: &NatSubnet| !taken.iter().any(|&addr| subnet.covers(addr));
        NatAddresses {
            v4: V4_NETS
                .map(v4)
                .into_iter()
                .find(free)
                .unwrap_or(v4(V4_NETS[3])),
            v6: V6_NETS
                .map(v6)
                .into_iter()
                .find(free)
                .unwrap_or(v6(V6_NETS[3])),
        }
    }

    /// [`beside`](Self::beside) those that this machine has now, and these.
    pub fn beside_those_of_this_host(and: &[IpAddr]) -> NatAddresses {
        let mut taken = Vec::from(and);
        for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let Some(address) = interface.address else {
                continue;
            };
            if let Some(v4) = address.as_sockaddr_in() {
                taken.push(IpAddr::V4(v4.ip()));
            } else if let Some(v6) = address.as_sockaddr_in6() {
                taken.push(IpAddr::V6(v6.ip()));
            }
        }
        NatAddresses::beside(&taken)
    }

    /// Both subnets.
    pub fn subnets(&self) -> [NatSubnet; 2] {
        [self.v4, self.v6]
    }

    pub(super) fn of_gateway(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.subnets()
            .into_iter()
            .flat_map(|net| [net.gateway, net.resolver].map(|addr| (addr, net.prefix_len)))
    }
}

impl NatSubnet {
    /// Whether an address is of the subnet.
    pub fn covers(&self, addr: IpAddr) -> bool {
        match (self.host, addr) {
            (IpAddr::V4(ours), IpAddr::V4(addr)) => {
                (ours.to_bits() ^ addr.to_bits()).leading_zeros() >= self.prefix_len.into()
            }
            (IpAddr::V6(ours), IpAddr::V6(addr)) => {
                (ours.to_bits() ^ addr.to_bits()).leading_zeros() >= self.prefix_len.into()
            }
            _ => false,
        }
    }
}

/// Where what the virtual host sends is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// By a socket of the real host.
    Real(SocketAddr),
    /// To the real host's resolvers.
    Resolver,
    /// The gateway is meant, which has no sockets.
    Gateway,
    /// Nowhere, and why.
    Nobody(Fault),
}

/// From addresses that the virtual host sees to those of the real host, and back.
pub(super) struct Translation {
    subnets: [NatSubnet; 2],
    outside: bool,
    loopback: [Option<IpAddr>; 2],
}

impl Translation {
    pub(super) fn new(
        addresses: &NatAddresses,
        outside: bool,
        host_loopback: &[IpAddr],
    ) -> io::Result<Translation> {
        let subnets = addresses.subnets();
        let mut loopback = [None; 2];
        for &addr in host_loopback {
            let taken = subnets
                .iter()
                .any(|net| [net.host, net.gateway, net.resolver].contains(&addr));
            let slot = &mut loopback[usize::from(addr.is_ipv6())];
            if slot.is_some()
                || taken
                || addr.is_loopback()
                || addr.is_multicast()
                || addr.is_unspecified()
            {
                return Err(ErrorKind::InvalidInput.into());
            }
            *slot = Some(addr);
        }
        Ok(Translation {
            subnets,
            outside,
            loopback,
        })
    }

    /// The gateway's address of a version.
    pub(super) fn gateway(&self, v6: bool) -> IpAddr {
        self.subnets[usize::from(v6)].gateway
    }

    /// The resolver's address of a version.
    pub(super) fn resolver(&self, v6: bool) -> IpAddr {
        self.subnets[usize::from(v6)].resolver
    }

    /// The virtual host's address of a version.
    pub(super) fn host(&self, v6: bool) -> IpAddr {
        self.subnets[usize::from(v6)].host
    }

    /// Where this leads.
    pub(super) fn target(&self, to: SocketAddr) -> Target {
        let v6 = to.is_ipv6();
        let net = &self.subnets[usize::from(v6)];
        if self.loopback[usize::from(v6)] == Some(to.ip()) {
            return Target::Real(SocketAddr::new(localhost(v6), to.port()));
        }
        match to.ip() {
            addr if addr == net.resolver && to.port() == 53 => Target::Resolver,
            addr if addr == net.resolver || addr == net.gateway => Target::Gateway,
            // On the link, where nobody else is.
            addr if net.covers(addr) => Target::Nobody(Fault::Host),
            _ if !self.outside => Target::Nobody(Fault::Net),
            _ => Target::Real(to),
        }
    }

    /// What the virtual host calls an address of the real host: its loopback addresses mean another host there.
    pub(super) fn seen(&self, real: IpAddr) -> IpAddr {
        let v6 = real.is_ipv6();
        if !real.is_loopback() {
            return real;
        }
        self.loopback[usize::from(v6)].unwrap_or(self.gateway(v6))
    }

    /// The address by which a client of a published port is seen: its own, but for one on the real host itself, and for
    /// one that the virtual host takes for a neighbour or itself.
    pub(super) fn client(&self, client: IpAddr, local: Option<IpAddr>) -> IpAddr {
        let v6 = client.is_ipv6();
        let near = self.subnets[usize::from(v6)].covers(client);
        let scoped = matches!(client, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if near || scoped || client.is_loopback() || local == Some(client) {
            self.gateway(v6)
        } else {
            client
        }
    }
}

fn localhost(v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    }
}
