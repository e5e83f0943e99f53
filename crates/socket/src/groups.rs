//! Joining and leaving groups by Linux's rules: ip_mc_join_group() and its kin in igmp.c and mcast.c.

use crate::host::Host;
use crate::inet::InetFlags;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_engine::{Family, FilterMode, IfIndex, Membership, SocketHandle, UdpSet};

/// What Linux takes of net.core.optmem_max (131072 bytes) for a membership of IPv6.
const MEMBERSHIP6_SIZE: usize = 56;
const OPTMEM_MAX: usize = 131_072;

/// How a call names an interface. With neither the route to the group decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    /// By one of its addresses (IPv4).
    pub(crate) address: Ipv4Addr,
    /// By its index, which goes first.
    pub(crate) index: Option<IfIndex>,
}

impl Named {
    pub(crate) fn by_index(index: Option<IfIndex>) -> Named {
        Named {
            address: Ipv4Addr::UNSPECIFIED,
            index,
        }
    }
}

impl Host {
    fn group_handle(&self, id: SocketId) -> Result<SocketHandle, Errno> {
        match self.kind(id)? {
            Kind::Tcp(s) => Ok(SocketHandle::Tcp(s.handle)),
            Kind::Udp(s) => Ok(SocketHandle::Udp(s.handle)),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// The groups that a socket is a member of.
    pub(crate) fn memberships(&self, id: SocketId) -> Result<&[Membership], Errno> {
        Ok(self.stack.memberships(self.group_handle(id)?))
    }

    /// ip_mc_find_dev(), and what IPv6 does in its place.
    fn group_interface(&self, group: IpAddr, named: Named) -> Option<IfIndex> {
        if let Some(index) = named.index {
            return self.stack.interface(index).map(|_| index);
        }
        if !named.address.is_unspecified() {
            return self.stack.interface_of(named.address.into());
        }
        Some(self.stack.route(group, None, None).ok()?.interface)
    }

    fn membership_at(&self, handle: SocketHandle, group: IpAddr, on: IfIndex) -> Option<usize> {
        let list = self.stack.memberships(handle);
        list.iter()
            .position(|m| m.group == group && m.interface == on)
    }

    /// ip_mc_join_group(), ipv6_sock_mc_join().
    pub(crate) fn group_join(
        &mut self,
        id: SocketId,
        group: IpAddr,
        named: Named,
        mode: FilterMode,
    ) -> Result<IfIndex, Errno> {
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let handle = self.group_handle(id)?;
        let list = self.stack.memberships(handle);
        let same = list.iter().filter(|m| m.group == group);
        // IPv6 without an index: on any interface.
        if group.is_ipv6()
            && (same.clone()).any(|m| named.index.is_none_or(|index| index == m.interface))
        {
            return Err(Errno::EADDRINUSE);
        }
        let interface = self.group_interface(group, named).ok_or(Errno::ENODEV)?;
        if same.clone().any(|m| m.interface == interface) {
            return Err(Errno::EADDRINUSE);
        }
        let of_family = list.iter().filter(|m| m.group.is_ipv4() == group.is_ipv4());
        let count = of_family.count();
        match group {
            IpAddr::V4(_) if count >= self.stack.sysctl().igmp_max_memberships as usize => {
                return Err(Errno::ENOBUFS);
            }
            IpAddr::V6(_) if (count + 1) * MEMBERSHIP6_SIZE > OPTMEM_MAX => {
                return Err(Errno::ENOMEM);
            }
            _ => {}
        }
        let named = match group {
            IpAddr::V4(_) => IpAddr::V4(named.address),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let membership = Membership {
            group,
            interface,
            named,
            mode,
            sources: None,
        };
        self.stack.join_group(handle, membership);
        Ok(interface)
    }

    /// ip_mc_leave_group(), ipv6_sock_mc_drop().
    pub(crate) fn group_leave(
        &mut self,
        id: SocketId,
        group: IpAddr,
        named: Named,
    ) -> Result<(), Errno> {
        let handle = self.group_handle(id)?;
        let mut index = named.index;
        if group.is_ipv4() {
            let found = self.group_interface(group, named);
            if index.is_none() && named.address.is_unspecified() && found.is_none() {
                return Err(Errno::ENODEV);
            }
            index = index.or(found);
        } else if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let list = self.stack.memberships(handle).iter();
        let at = list
            .clone()
            .position(|m| {
                let by_address =
                    || named.address.is_unspecified() || IpAddr::V4(named.address) == m.named;
                m.group == group && index.map_or_else(by_address, |index| index == m.interface)
            })
            .ok_or(Errno::EADDRNOTAVAIL)?;
        self.stack.leave_group(handle, at);
        Ok(())
    }

    /// The membership that a call with a source means: ENODEV without an interface, `missing` without a membership.
    fn group_find(
        &self,
        id: SocketId,
        group: IpAddr,
        named: Named,
        missing: Errno,
    ) -> Result<(SocketHandle, usize), Errno> {
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let handle = self.group_handle(id)?;
        let interface = self.group_interface(group, named).ok_or(Errno::ENODEV)?;
        let at = self.membership_at(handle, group, interface);
        Ok((handle, at.ok_or(missing)?))
    }

    /// ip_mc_source(), ip6_mc_source(): adds a source to a membership's list or takes one off.
    pub(crate) fn group_source(
        &mut self,
        id: SocketId,
        group: IpAddr,
        named: Named,
        mode: FilterMode,
        add: bool,
        source: IpAddr,
    ) -> Result<(), Errno> {
        let (handle, at) = self.group_find(id, group, named, Errno::EINVAL)?;
        let sysctl = self.stack.sysctl();
        let most = match group {
            IpAddr::V4(_) => sysctl.igmp_max_msf,
            IpAddr::V6(_) => sysctl.mld_max_msf,
        };
        let filter = self.stack.membership_filter(handle, at);
        let (have, sources) = filter.ok_or(Errno::EINVAL)?;
        match sources {
            // "If a source filter was set, must be the same mode as before."
            Some(_) if *have != mode => return Err(Errno::EINVAL),
            None => *have = mode,
            _ => {}
        }
        if add {
            if sources.as_ref().is_some_and(|s| s.len() >= most as usize) {
                return Err(Errno::ENOBUFS);
            }
            let list = sources.get_or_insert_default();
            if list.contains(&source) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            list.push(source);
            return Ok(());
        }
        let list = sources.as_mut().ok_or(Errno::EADDRNOTAVAIL)?;
        let position = list.iter().position(|s| *s == source);
        let position = position.ok_or(Errno::EADDRNOTAVAIL)?;
        if list.len() == 1 && mode == FilterMode::Include {
            // Nobody to hear any more: the same as leaving.
            self.stack.leave_group(handle, at);
            return Ok(());
        }
        list.remove(position);
        Ok(())
    }

    /// ip_mc_msfilter(), ip6_mc_msfilter(): replaces the filter.
    pub(crate) fn group_filter(
        &mut self,
        id: SocketId,
        group: IpAddr,
        named: Named,
        mode: Result<FilterMode, Errno>,
        sources: Vec<IpAddr>,
    ) -> Result<(), Errno> {
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let mode = mode?;
        self.group_interface(group, named).ok_or(Errno::ENODEV)?;
        if mode == FilterMode::Include && sources.is_empty() {
            return self.group_leave(id, group, named);
        }
        let (handle, at) = self.group_find(id, group, named, Errno::EINVAL)?;
        let filter = self.stack.membership_filter(handle, at);
        let (have, list) = filter.ok_or(Errno::EINVAL)?;
        *have = mode;
        *list = (!sources.is_empty()).then_some(sources);
        Ok(())
    }

    /// ip_mc_msfget(): the membership whose filter is asked for.
    pub(crate) fn group_membership(
        &self,
        id: SocketId,
        group: IpAddr,
        named: Named,
    ) -> Result<&Membership, Errno> {
        let (handle, at) = self.group_find(id, group, named, Errno::EADDRNOTAVAIL)?;
        let list = self.stack.memberships(handle);
        list.get(at).ok_or(Errno::EADDRNOTAVAIL)
    }

    /// Tells the engine what of groups the socket's flags say.
    pub(crate) fn multicast_flags_changed(&mut self, id: SocketId) {
        let Ok(Kind::Udp(s)) = self.kind(id) else {
            return;
        };
        let (handle, flags) = (s.handle, s.inet.flags);
        for (family, all, loops) in [
            (
                Family::V4,
                InetFlags::MULTICAST_ALL,
                InetFlags::MULTICAST_LOOP,
            ),
            (
                Family::V6,
                InetFlags::MULTICAST_ALL6,
                InetFlags::MULTICAST_LOOP6,
            ),
        ] {
            let (all, loops) = (flags.contains(all), flags.contains(loops));
            self.stack
                .udp_set(handle, UdpSet::MulticastAll(family, all));
            self.stack
                .udp_set(handle, UdpSet::MulticastLoop(family, loops));
        }
    }
}
