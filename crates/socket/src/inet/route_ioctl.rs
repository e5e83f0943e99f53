//! Routes and neighbours by ioctl(2): SIOCADDRT, SIOCDELRT, SIOCSARP, SIOCGARP, SIOCDARP.

use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::inet::interface::prefix_of;
use crate::netlink::{
    CREATE, LINK, MAIN, NOWHERE, RouteWanted, Teller, UNICAST, USER_METRIC, network,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::AF_INET;
use switchboard_engine::{NeighState, RouteKind};
use switchboard_wire::Mac;

/// RTF_GATEWAY, RTF_HOST, RTF_REJECT, RTF_EXPIRES, and RTF_MTU, RTF_WINDOW and RTF_IRTT, which a route here has none of
/// its own of.
const GATEWAY: u32 = 0x2;
const TO_HOST: u32 = 0x4;
const REJECT: u32 = 0x200;
const EXPIRES: u32 = 0x40_0000;
const METRICS: u32 = 0x40 | 0x80 | 0x100;
/// RTPROT_BOOT
const BOOT: u8 = 3;

/// `struct rtentry`, as far as it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct RouteEntry<'a> {
    /// `rt_dst`: family and address.
    pub dst: (u16, Ipv4Addr),
    /// `rt_gateway`
    pub gateway: (u16, Ipv4Addr),
    /// `rt_genmask`
    pub mask: (u16, Ipv4Addr),
    /// `rt_flags`
    pub flags: u16,
    /// `rt_metric`: one more than it is.
    pub metric: i16,
    /// `rt_dev`
    pub device: Option<&'a [u8]>,
}

/// `struct in6_rtmsg`, as far as it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct RouteEntry6 {
    /// `rtmsg_dst` and `rtmsg_dst_len`
    pub dst: (Ipv6Addr, u16),
    /// `rtmsg_src_len`
    pub src_len: u16,
    /// `rtmsg_gateway`
    pub gateway: Ipv6Addr,
    /// `rtmsg_metric`
    pub metric: u32,
    /// `rtmsg_flags`
    pub flags: u32,
    /// `rtmsg_ifindex`
    pub interface: i32,
}

/// What an ARP ioctl does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArpCall {
    /// SIOCSARP
    Set,
    /// SIOCGARP
    Get,
    /// SIOCDARP
    Delete,
}

impl Host {
    /// ioctl(2) with SIOCADDRT (`add`) or SIOCDELRT on an AF_INET socket: ip_rt_ioctl().
    pub fn ioctl_route(
        &mut self,
        cx: &Cx<'_>,
        add: bool,
        entry: &RouteEntry<'_>,
    ) -> Result<(), Errno> {
        const INET: u16 = AF_INET as u16;
        if !cx.cred.caps.contains(Caps::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        let ((family, dst), (mask_family, mask)) = (entry.dst, entry.mask);
        if family != INET {
            return Err(Errno::EAFNOSUPPORT);
        }
        let flags = u32::from(entry.flags);
        let mut len = 32;
        if flags & TO_HOST == 0 {
            if mask_family != INET && (mask_family != 0 || !mask.is_unspecified()) {
                return Err(Errno::EAFNOSUPPORT);
            }
            len = prefix_of(mask).ok_or(Errno::EINVAL)?;
            if network(dst.into(), len) != IpAddr::V4(dst) {
                return Err(Errno::EINVAL);
            }
        }
        if flags & (REJECT | METRICS) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let (mut interface, mut source) = (None, None);
        if let Some(whole) = entry.device {
            let base = whole.split(|b| *b == b':').next().unwrap_or(whole);
            let mut all = self.stack.interfaces();
            let found = all.find(|i| i.name().as_bytes() == base);
            let found = found.ok_or(Errno::ENODEV)?;
            interface = Some(found.index().get());
            if base.len() < whole.len() {
                // A label is the address to prefer.
                let mut labelled = self.labelled_addresses(found);
                let own = labelled.find(|(label, _)| label.as_bytes() == whole);
                source = Some(own.ok_or(Errno::ENODEV)?.1.addr);
            }
        }
        let (gateway_family, via) = entry.gateway;
        let gateway = (gateway_family == INET && !via.is_unspecified()).then_some(IpAddr::V4(via));
        let mut scope = NOWHERE;
        if let Some(via) = gateway
            && flags & GATEWAY != 0
        {
            let route = self.stack.route(via, None, None);
            let own = route.is_ok_and(|route| route.kind != RouteKind::Unicast);
            if !own {
                scope = 0;
            }
        }
        let wanted = RouteWanted {
            to: dst.into(),
            len,
            table: MAIN,
            protocol: if add { BOOT } else { 0 },
            scope,
            kind: UNICAST,
            gateway,
            interface,
            source,
            metric: match entry.metric {
                0 => 0,
                metric => metric as u32 - 1,
            },
            hops: alloc::vec::Vec::new(),
            flags: CREATE,
        };
        let teller = Teller::ioctl(cx.now);
        if !add {
            return errno(self.remove_route(&teller, &wanted));
        }
        if flags & GATEWAY != 0 && gateway.is_none() {
            return Err(Errno::EINVAL);
        }
        let scope = if scope == NOWHERE { LINK } else { scope };
        errno(self.insert_route(&teller, &RouteWanted { scope, ..wanted }))
    }

    /// The same on an AF_INET6 socket: ipv6_route_ioctl().
    pub fn ioctl_route6(
        &mut self,
        cx: &Cx<'_>,
        add: bool,
        entry: &RouteEntry6,
    ) -> Result<(), Errno> {
        if !cx.cred.caps.contains(Caps::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        let (dst, len) = entry.dst;
        // ip6_route_info_create() of a kernel without CONFIG_IPV6_SUBTREES: nothing is routed by its source.
        if len > 128 || entry.src_len != 0 {
            return Err(Errno::EINVAL);
        }
        if entry.flags & (REJECT | EXPIRES) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let via = entry.flags & GATEWAY != 0;
        let wanted = RouteWanted {
            to: network(dst.into(), len as u8),
            len: len as u8,
            table: MAIN,
            protocol: if add { BOOT } else { 0 },
            scope: 0,
            kind: 0,
            gateway: via.then_some(IpAddr::V6(entry.gateway)),
            interface: u32::try_from(entry.interface)
                .ok()
                .filter(|index| *index != 0),
            source: None,
            metric: match entry.metric {
                0 if add => USER_METRIC,
                metric => metric,
            },
            hops: alloc::vec::Vec::new(),
            flags: CREATE,
        };
        let teller = Teller::ioctl(cx.now);
        if add {
            return errno(self.insert_route(&teller, &wanted));
        }
        let gone = errno(self.remove_route(&teller, &wanted));
        // fib6_locate(): where there is no node at all.
        gone.map_err(|e| match (e, wanted.len, wanted.interface) {
            (Errno::ESRCH, 0, None) => Errno::ENOENT,
            (e, ..) => e,
        })
    }

    /// ioctl(2) about the neighbour table: arp_ioctl(). What is asked for is the hardware address and the flags.
    pub fn ioctl_arp(
        &mut self,
        cx: &Cx<'_>,
        call: ArpCall,
        entry: &ArpEntry<'_>,
    ) -> Result<Option<(Mac, i32)>, Errno> {
        /// ATF_COM, ATF_PERM, ATF_PUBL, and ATF_NETMASK and ATF_DONTPUB
        const COMPLETE: i32 = 0x2;
        const PERMANENT: i32 = 0x4;
        const PUBLISHED: i32 = 0x8;
        const OF_PUBLISHED: i32 = 0x20 | 0x40;
        let ArpEntry {
            family,
            addr,
            flags,
            hardware: (kind, mac),
            device,
        } = *entry;
        if call != ArpCall::Get && !cx.cred.caps.contains(Caps::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        if i32::from(family) != AF_INET {
            return Err(Errno::EPFNOSUPPORT);
        }
        if flags & PUBLISHED == 0 && flags & OF_PUBLISHED != 0 {
            return Err(Errno::EINVAL);
        }
        let index = if !device.is_empty() {
            let mut all = self.stack.interfaces();
            let found = all.find(|i| i.name().as_bytes() == device);
            found.ok_or(Errno::ENODEV)?.index()
        } else if call == ArpCall::Get {
            return Err(Errno::ENODEV);
        } else {
            let route = self.stack.route(addr.into(), None, None);
            route.map_err(|_| Errno::ENETUNREACH)?.interface
        };
        let found = self.stack.neighbour(index, addr.into());
        let ethernet = self.stack.interface(index).is_some_and(|i| i.is_ethernet());
        match call {
            ArpCall::Get => {
                // arp_req_get(): neither those that need no asking nor those that are not known.
                let shown = found.filter(|n| n.state.is_valid() && n.state != NeighState::NoArp);
                let found = shown.ok_or(Errno::ENXIO)?;
                let permanent = match found.state {
                    NeighState::Permanent => PERMANENT,
                    _ => 0,
                };
                Ok(Some((found.mac.unwrap_or_default(), COMPLETE | permanent)))
            }
            // The device resolves nothing (IFF_NOARP, IFF_LOOPBACK).
            ArpCall::Set if !ethernet => Err(Errno::EINVAL),
            // Proxies: arp_req_set_public().
            ArpCall::Set | ArpCall::Delete if flags & PUBLISHED != 0 && ethernet => {
                Err(Errno::EOPNOTSUPP)
            }
            ArpCall::Set => {
                // ARPHRD_ETHER
                if kind != 1 {
                    return Err(Errno::EINVAL);
                }
                let state = match flags & PERMANENT {
                    0 => NeighState::Stale,
                    _ => NeighState::Permanent,
                };
                let mac = Some(mac).filter(|_| flags & COMPLETE != 0 || mac != Mac::ZERO);
                let made = self
                    .stack
                    .set_neighbour(cx.now, index, addr.into(), mac, state);
                self.collect_stack_events();
                if made { Ok(None) } else { Err(Errno::ENOBUFS) }
            }
            ArpCall::Delete => {
                // arp_invalidate()
                found.ok_or(Errno::ENXIO)?;
                self.stack.remove_neighbour(cx.now, index, addr.into());
                self.collect_stack_events();
                Ok(None)
            }
        }
    }
}

/// `struct arpreq`.
#[derive(Clone, Copy, Debug)]
pub struct ArpEntry<'a> {
    /// Family of the address.
    pub family: u16,
    /// Whose hardware address it is.
    pub addr: Ipv4Addr,
    /// `ATF_*`
    pub flags: i32,
    /// Kind of link, and address.
    pub hardware: (u16, Mac),
    /// Name of the interface, or nothing.
    pub device: &'a [u8],
}

fn errno(done: Result<(), crate::netlink::Refusal>) -> Result<(), Errno> {
    done.map_err(|refusal| refusal.errno.unwrap_or(Errno::EINVAL))
}
