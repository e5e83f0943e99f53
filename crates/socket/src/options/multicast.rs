//! Multicast options of both levels: which groups a socket is a member of, of whom it wants to hear there, and where and
//! how far its own datagrams go. ip(7), ipv6(7), RFC 3678.

use super::source::{Filter, Layout, group_of};
use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::groups::Named;
use crate::host::Host;
use crate::socket::Kind;
use crate::table::SocketId;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{FilterMode, IfIndex};

fn is_stream(h: &Host, id: SocketId) -> Result<bool, Errno> {
    Ok(matches!(h.kind(id)?, Kind::Tcp(_)))
}

fn v4(raw: &[u8]) -> Ipv4Addr {
    raw.first_chunk::<4>()
        .map_or(Ipv4Addr::UNSPECIFIED, |raw| Ipv4Addr::from(*raw))
}

fn index(raw: &[u8]) -> Option<IfIndex> {
    let raw = raw.first_chunk::<4>()?;
    IfIndex::new(u32::from_ne_bytes(*raw))
}

/// `struct ip_mreq` or, where there are enough bytes, `struct ip_mreqn`: the group, an address, an index.
fn mreq(a: &SetArg<'_>) -> Result<(IpAddr, Named), Errno> {
    let raw = a.bytes(if a.len >= 12 { 12 } else { 8 })?;
    let named = Named {
        address: v4(&raw[4..8]),
        index: raw.get(8..).and_then(index),
    };
    Ok((v4(raw).into(), named))
}

/// `IP_ADD_MEMBERSHIP` and `IP_DROP_MEMBERSHIP`; a connection has no groups.
pub(super) fn set_membership<const JOIN: bool>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if is_stream(h, id)? {
        return Err(Errno::EPROTO);
    }
    let (group, named) = mreq(a)?;
    match JOIN {
        true => h
            .group_join(id, group, named, FilterMode::Exclude)
            .map(drop),
        false => h.group_leave(id, group, named),
    }
}

/// `IPV6_ADD_MEMBERSHIP` and `IPV6_DROP_MEMBERSHIP`: `struct ipv6_mreq`.
pub(super) fn set_membership6<const JOIN: bool>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len < 20 {
        return Err(Errno::EINVAL);
    }
    if is_stream(h, id)? {
        return Err(Errno::EPROTO);
    }
    let raw = a.bytes(20)?;
    let group: [u8; 16] = raw[..16].try_into().map_err(|_| Errno::EINVAL)?;
    let (group, named) = (
        Ipv6Addr::from(group).into(),
        Named::by_index(index(&raw[16..])),
    );
    match JOIN {
        true => h
            .group_join(id, group, named, FilterMode::Exclude)
            .map(drop),
        false => h.group_leave(id, group, named),
    }
}

/// What the options with a source do to a membership: the mode that they belong to, and whether they add to the list.
#[derive(Clone, Copy)]
struct SourceOption {
    mode: FilterMode,
    add: bool,
}

fn source_option(option: i32) -> SourceOption {
    let (mode, add) = match option {
        IP_BLOCK_SOURCE | MCAST_BLOCK_SOURCE => (FilterMode::Exclude, true),
        IP_UNBLOCK_SOURCE | MCAST_UNBLOCK_SOURCE => (FilterMode::Exclude, false),
        IP_ADD_SOURCE_MEMBERSHIP | MCAST_JOIN_SOURCE_GROUP => (FilterMode::Include, true),
        _ => (FilterMode::Include, false),
    };
    SourceOption { mode, add }
}

/// ip_mc_source() and ip6_mc_source(), and the join before, if the option is one.
fn change_source(
    h: &mut Host,
    id: SocketId,
    option: i32,
    group: IpAddr,
    source: IpAddr,
    named: Named,
) -> Result<(), Errno> {
    let SourceOption { mode, add } = source_option(option);
    if mode == FilterMode::Include && add {
        match h.group_join(id, group, named, mode) {
            // "Prior join with a different source is ok."
            Ok(_) | Err(Errno::EADDRINUSE) => {}
            Err(errno) => return Err(errno),
        }
    }
    h.group_source(id, group, named, mode, add, source)
}

/// `IP_BLOCK_SOURCE` and kin: `struct ip_mreq_source`, which has the group, the interface and the source.
pub(super) fn set_source<const OPTION: i32>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len != 12 {
        return Err(Errno::EINVAL);
    }
    let raw = a.bytes(12)?;
    let named = Named {
        address: v4(&raw[4..8]),
        index: None,
    };
    change_source(h, id, OPTION, v4(raw).into(), v4(&raw[8..]).into(), named)
}

/// `MCAST_JOIN_GROUP` and `MCAST_LEAVE_GROUP`: `struct group_req`.
pub(super) fn set_group<const JOIN: bool, const V6: bool>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let layout = Layout::of(a.word);
    let raw = a.bytes(layout.group_req)?;
    let wrong = if V6 {
        Errno::EADDRNOTAVAIL
    } else {
        Errno::EINVAL
    };
    let group = group_of(&raw[layout.group..], V6).ok_or(wrong)?;
    let named = Named::by_index(index(raw));
    match JOIN {
        true => h
            .group_join(id, group, named, FilterMode::Exclude)
            .map(drop),
        false => h.group_leave(id, group, named),
    }
}

/// `MCAST_BLOCK_SOURCE` and kin: `struct group_source_req`.
pub(super) fn set_group_source<const OPTION: i32, const V6: bool>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let layout = Layout::of(a.word);
    // Only do_mcast_group_source() of IPv4 wants no more than that.
    if !V6 && a.len != layout.group_source_req {
        return Err(Errno::EINVAL);
    }
    let raw = a.bytes(layout.group_source_req)?;
    let at = &raw[layout.group..];
    let group = group_of(at, V6).ok_or(Errno::EADDRNOTAVAIL)?;
    let source = group_of(&at[128..], V6).ok_or(Errno::EADDRNOTAVAIL)?;
    change_source(h, id, OPTION, group, source, Named::by_index(index(raw)))
}

/// The most bytes of a filter that are looked at: net.core.optmem_max.
const OPTMEM_MAX: usize = 131_072;

/// memdup_sockptr(): all that is offered, needed or not.
fn readable(a: &SetArg<'_>) -> Result<(), Errno> {
    match a.raw.len() < a.len {
        true => Err(Errno::EFAULT),
        false => Ok(()),
    }
}

/// `IP_MSFILTER`: `struct ip_msfilter`.
pub(super) fn set_msfilter(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len < 16 {
        return Err(Errno::EINVAL);
    }
    if a.len > OPTMEM_MAX {
        return Err(Errno::ENOBUFS);
    }
    readable(a)?;
    let filter = Filter::read_ip(a, h.stack.sysctl().igmp_max_msf)?;
    let named = Named {
        address: filter.address,
        index: None,
    };
    h.group_filter(id, filter.group, named, filter.mode, filter.sources)
}

pub(super) fn get_msfilter(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let raw = a.given(16)?;
    let group = IpAddr::V4(v4(raw));
    let named = Named {
        address: v4(&raw[4..8]),
        index: None,
    };
    let membership = h.group_membership(id, group, named)?;
    Ok(OptValue::whole(Filter::show_ip(raw, membership)))
}

/// `MCAST_MSFILTER`: `struct group_filter`.
pub(super) fn set_group_filter<const V6: bool>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len < Layout::of(a.word).filter {
        return Err(Errno::EINVAL);
    }
    if a.len > OPTMEM_MAX {
        return Err(Errno::ENOBUFS);
    }
    readable(a)?;
    let sysctl = h.stack.sysctl();
    let most = if V6 {
        sysctl.mld_max_msf
    } else {
        sysctl.igmp_max_msf
    };
    let filter = Filter::read_group(a, V6, most)?;
    let named = Named::by_index(filter.index);
    h.group_filter(id, filter.group, named, filter.mode, filter.sources)
}

pub(super) fn get_group_filter<const V6: bool>(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let layout = Layout::of(a.word);
    let raw = a.given(layout.filter)?;
    let wrong = if V6 {
        Errno::EADDRNOTAVAIL
    } else {
        Errno::EINVAL
    };
    let group = group_of(&raw[layout.group..], V6).ok_or(wrong)?;
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    // Exactly this index: 0 finds nothing.
    let index = index(raw);
    let list = h.memberships(id)?.iter();
    let membership = list
        .clone()
        .find(|m| m.group == group && Some(m.interface) == index)
        .ok_or(Errno::EADDRNOTAVAIL)?;
    Ok(OptValue::whole(Filter::show_group(raw, layout, membership)))
}

/// `IP_MULTICAST_IF` as it was set by address.
pub(super) fn get_interface(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let address = h.inet_options(id)?.rare(|rare| rare.multicast_address);
    let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    Ok(OptValue::bytes(&address.octets(), a))
}

/// `IP_MULTICAST_IF`: an address, `struct ip_mreq` or `struct ip_mreqn`.
pub(super) fn set_interface(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if is_stream(h, id)? || a.len < 4 {
        return Err(Errno::EINVAL);
    }
    let (address, given) = match a.len {
        12.. => {
            let raw = a.bytes(12)?;
            (v4(&raw[4..8]), index(&raw[8..]))
        }
        8.. => (v4(&a.bytes(8)?[4..8]), None),
        _ => (v4(a.bytes(4)?), None),
    };
    let device = match given {
        Some(given) => Some(given).filter(|given| h.stack.interface(*given).is_some()),
        None if address.is_unspecified() => {
            let rare = h.inet_options_mut(id)?.rare_mut();
            (rare.multicast_if, rare.multicast_address) = (None, None);
            return Ok(());
        }
        None => h.stack.interface_of(address.into()),
    };
    let device = device.ok_or(Errno::EADDRNOTAVAIL)?;
    if h.bound_device(id).is_some_and(|bound| bound != device) {
        return Err(Errno::EINVAL);
    }
    let rare = h.inet_options_mut(id)?.rare_mut();
    rare.multicast_if = Some(device);
    rare.multicast_address = Some(address);
    Ok(())
}

pub(super) fn get_interface6(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let index = match super::ip::arrival(h, id) {
        Some(came) => Some(came.interface),
        None => h.inet_options(id)?.rare(|rare| rare.multicast_if6),
    };
    Ok(OptValue::int(index.map_or(0, IfIndex::get) as i32, a))
}

/// `IPV6_MULTICAST_IF`: an index.
pub(super) fn set_interface6(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if is_stream(h, id)? {
        return Err(Errno::ENOPROTOOPT);
    }
    let index = IfIndex::new(a.int()? as u32);
    if let Some(index) = index {
        h.stack.interface(index).ok_or(Errno::ENODEV)?;
        if h.bound_device(id).is_some_and(|bound| bound != index) {
            return Err(Errno::EINVAL);
        }
    }
    h.inet_options_mut(id)?.rare_mut().multicast_if6 = index;
    Ok(())
}

/// `IPV6_JOIN_ANYCAST` and `IPV6_LEAVE_ANYCAST`, ipv6_sock_ac_join(): what Linux refuses is refused as there; what it would
/// let in is ENOPROTOOPT, so nobody is in one.
pub(super) fn set_anycast<const JOIN: bool>(
    h: &mut Host,
    cx: &mut Cx<'_>,
    _: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let raw = a.bytes(20)?;
    if !JOIN {
        return Err(Errno::ENOENT);
    }
    if !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    let octets = <[u8; 16]>::try_from(&raw[..16]).unwrap_or_default();
    let addr = Ipv6Addr::from(octets);
    // An IPv4-mapped address is none of IPv4's here.
    let mapped = addr.to_ipv4_mapped().is_some();
    if addr.is_multicast() || (!mapped && h.stack.is_local(addr.into())) {
        return Err(Errno::EINVAL);
    }
    let interface = match raw[16..] {
        [0, 0, 0, 0, ..] if mapped => None,
        [0, 0, 0, 0, ..] => {
            let route = h.stack.route(addr.into(), None, None).ok();
            route.and_then(|route| h.stack.interface(route.interface))
        }
        _ => {
            let named = index(&raw[16..]).and_then(|index| h.stack.interface(index));
            Some(named.ok_or(Errno::ENODEV)?)
        }
    };
    // ipv6_chk_prefix(): a host is in those of its own subnets only.
    let on_link = interface.is_some_and(|interface| {
        interface.addresses().iter().any(|own| match own.addr {
            IpAddr::V6(own6) => {
                let rest = 128 - u32::from(own.prefix_len);
                (own6.to_bits() ^ addr.to_bits())
                    .checked_shr(rest)
                    .unwrap_or(0)
                    == 0
            }
            IpAddr::V4(_) => false,
        })
    });
    match on_link || h.stack.sysctl().ipv6_forwarding {
        true => Err(Errno::ENOPROTOOPT),
        false => Err(Errno::EADDRNOTAVAIL),
    }
}
