//! Groups: who is a member of what, and of whom a member wants to hear (RFC 1112, RFC 3376, RFC 3810).
//!
//! A membership belongs to a socket, and is of one group on one interface. It has a mode, as RFC 3376, 3.1 has it: all
//! sources but those listed, or those listed only. An interface takes a packet to a group if one membership there wants
//! it (RFC 3376, 3.2); a socket gets it if its own membership does.
//!
//! # Limits
//! Memberships of a socket are bounded by the layer above, as Linux does by igmp_max_memberships and optmem_max.

use core::net::IpAddr;

use alloc::vec::Vec;

use crate::event::SocketHandle;
use crate::hash::{KeyedMap, KeyedState};
use crate::iface::IfIndex;
use crate::stack::Stack;

/// Which sources a membership lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterMode {
    /// All but those listed (MCAST_EXCLUDE).
    Exclude,
    /// Those listed only (MCAST_INCLUDE).
    Include,
}

/// A socket's membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: IpAddr,
    /// On which interface.
    pub interface: IfIndex,
    /// The address by which the interface was named (imr_address); unspecified when it was not.
    pub named: IpAddr,
    /// What the list of sources means.
    pub mode: FilterMode,
    /// The sources; `None` where none was ever listed, which Linux tells from an empty list.
    pub sources: Option<Vec<IpAddr>>,
}

impl Membership {
    /// ip_mc_sf_allow, inet6_mc_check: whether packets of this source are wanted.
    pub fn wants(&self, source: IpAddr) -> bool {
        let listed = self.sources().contains(&source);
        listed == (self.mode == FilterMode::Include)
    }

    /// The sources listed.
    pub fn sources(&self) -> &[IpAddr] {
        self.sources.as_deref().unwrap_or_default()
    }
}

/// The memberships of all sockets.
#[derive(Debug)]
pub(crate) struct Groups {
    of: KeyedMap<SocketHandle, Vec<Membership>>,
    /// Who is a member, so that a packet to a group nobody is in costs one look.
    members: KeyedMap<(IfIndex, IpAddr), Vec<SocketHandle>>,
}

impl Groups {
    pub(crate) fn new(hash: KeyedState) -> Groups {
        Groups {
            of: KeyedMap::with_hasher(hash),
            members: KeyedMap::with_hasher(hash),
        }
    }

    fn list(&self, socket: SocketHandle) -> &[Membership] {
        self.of.get(&socket).map_or(&[], Vec::as_slice)
    }

    /// ip_check_mc_rcu, ipv6_chk_mcast_addr: whether somebody on the interface wants it. IPv6 leaves sources to the
    /// sockets.
    pub(crate) fn is_wanted(&self, interface: IfIndex, group: IpAddr, source: IpAddr) -> bool {
        let Some(members) = self.members.get(&(interface, group)) else {
            return false;
        };
        if group.is_ipv6() {
            return true;
        }
        let here = |m: &&Membership| m.interface == interface && m.group == group;
        members.iter().any(|&socket| {
            let own = self.list(socket).iter().find(here);
            own.is_some_and(|m| m.wants(source))
        })
    }

    /// Whether a socket gets a packet to the group; `all`: also where it is no member (IP_MULTICAST_ALL). IPv6 does not
    /// look at the interface.
    pub(crate) fn lets_through(
        &self,
        socket: SocketHandle,
        interface: IfIndex,
        group: IpAddr,
        source: IpAddr,
        all: bool,
    ) -> bool {
        let own = (self.list(socket).iter())
            .find(|m| m.group == group && (group.is_ipv6() || m.interface == interface));
        own.map_or(all, |m| m.wants(source))
    }

    /// The memberships of a group on an interface.
    pub(crate) fn members_of(
        &self,
        interface: IfIndex,
        group: IpAddr,
    ) -> impl Iterator<Item = &Membership> {
        let members = self.members.get(&(interface, group));
        let members = members.map_or(&[][..], Vec::as_slice);
        let here = move |m: &&Membership| m.interface == interface && m.group == group;
        members
            .iter()
            .filter_map(move |&socket| self.list(socket).iter().find(here))
    }

    fn join(&mut self, socket: SocketHandle, membership: Membership) {
        let key = (membership.interface, membership.group);
        self.members.entry(key).or_default().push(socket);
        self.of.entry(socket).or_default().push(membership);
    }

    fn leave(&mut self, socket: SocketHandle, index: usize) {
        let Some(list) = self.of.get_mut(&socket) else {
            return;
        };
        let membership = list.remove(index);
        if list.is_empty() {
            self.of.remove(&socket);
        }
        let key = (membership.interface, membership.group);
        if let Some(members) = self.members.get_mut(&key) {
            members.retain(|&member| member != socket);
            if members.is_empty() {
                self.members.remove(&key);
            }
        }
    }
}

impl Stack {
    /// The groups that sockets have joined on an interface and how many have, the highest first.
    pub fn groups_on(&self, interface: IfIndex) -> Vec<(IpAddr, usize)> {
        let here = self
            .groups
            .members
            .iter()
            .filter(|(key, _)| key.0 == interface);
        let mut groups: Vec<(IpAddr, usize)> =
            here.map(|(key, members)| (key.1, members.len())).collect();
        groups.sort_by(|a, b| b.cmp(a));
        groups
    }

    /// The sources that members of a group on an interface list, and how many do to hear them only and not to hear them.
    pub fn group_sources(&self, interface: IfIndex, group: IpAddr) -> Vec<(IpAddr, [usize; 2])> {
        let mut all: Vec<(IpAddr, [usize; 2])> = Vec::new();
        for member in self.groups.members_of(interface, group) {
            let mode = usize::from(member.mode == FilterMode::Exclude);
            for &source in member.sources() {
                let at = all.iter().position(|(other, _)| *other == source);
                let at = at.unwrap_or_else(|| {
                    all.push((source, [0; 2]));
                    all.len() - 1
                });
                all[at].1[mode] += 1;
            }
        }
        all
    }

    /// The groups that a socket is a member of, in the order of joining.
    pub fn memberships(&self, socket: SocketHandle) -> &[Membership] {
        self.groups.list(socket)
    }

    /// Joins a group. The caller has looked that the socket is no member yet.
    pub fn join_group(&mut self, socket: SocketHandle, membership: Membership) {
        let (interface, group) = (membership.interface, membership.group);
        self.groups.join(socket, membership);
        self.touch_group(interface, group);
    }

    /// Leaves the n-th group of [`memberships`](Self::memberships).
    pub fn leave_group(&mut self, socket: SocketHandle, index: usize) {
        if let Some(m) = self.groups.list(socket).get(index) {
            self.touch_group(m.interface, m.group);
        }
        self.groups.leave(socket, index);
    }

    /// The socket is closed: it leaves every group.
    pub(crate) fn forget_groups(&mut self, socket: SocketHandle) {
        while !self.groups.list(socket).is_empty() {
            self.leave_group(socket, 0);
        }
    }

    /// The n-th membership, to change its filter.
    pub fn membership_filter(
        &mut self,
        socket: SocketHandle,
        index: usize,
    ) -> Option<(&mut FilterMode, &mut Option<Vec<IpAddr>>)> {
        let membership = self.groups.list(socket).get(index)?;
        self.touch_group(membership.interface, membership.group);
        let membership = self.groups.of.get_mut(&socket)?.get_mut(index)?;
        Some((&mut membership.mode, &mut membership.sources))
    }
}

#[cfg(test)]
mod tests;
