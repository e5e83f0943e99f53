//! `IPPROTO_IPV6`, ipv6(7): what is an `int`.

use super::ipv4::{ask_once, may_be_transparent, path_mtu, show_index, unicast_if};
use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::inet::InetFlags;
use crate::inet::raw::Datagram;
use crate::socket::Kind;
use crate::table::SocketId;
use core::net::Ipv6Addr;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{IfIndex, TcpSet};

/// Reads a boolean option.
pub(super) fn get_flag<const FLAG: u64>(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let flag = InetFlags::from_bits_retain(FLAG);
    Ok(OptValue::bool(h.inet_options(id)?.has(flag), a))
}

fn store(h: &mut Host, id: SocketId, flag: u64, on: bool) -> Result<(), Errno> {
    let flag = InetFlags::from_bits_retain(flag);
    h.inet_options_mut(id)?.flags.set(flag, on);
    h.inet_flags_changed(id);
    Ok(())
}

/// Sets a boolean option that takes any value for true.
pub(super) fn set_flag<const FLAG: u64>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    store(h, id, FLAG, a.bool()?)
}

/// The same of an option that takes less than an `int` for 0.
pub(super) fn set_lax<const FLAG: u64>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    store(h, id, FLAG, a.len >= 4 && a.bool()?)
}

/// The same of an option that takes 0 and 1 only.
pub(super) fn set_strict<const FLAG: u64>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match a.int()? {
        value @ (0 | 1) => store(h, id, FLAG, value == 1),
        _ => Err(Errno::EINVAL),
    }
}

/// `IPV6_RECVERR`: who does not want errors any more loses those that wait.
pub(super) fn set_recverr(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_flag::<{ InetFlags::RECVERR6.bits() }>(h, cx, id, a)?;
    h.purge_errors(id, InetFlags::RECVERR6)
}

/// `IPV6_TRANSPARENT`: switching it off is everyone's.
pub(super) fn set_transparent(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len >= 4 && a.bool()? && !may_be_transparent(cx) {
        return Err(Errno::EPERM);
    }
    set_flag::<{ InetFlags::TRANSPARENT.bits() }>(h, cx, id, a)
}

pub(super) fn get_tclass(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(i32::from(h.inet_options(id)?.tclass), a))
}

/// `IPV6_TCLASS`, RFC 3542, 6.5: -1 is the default, 0.
pub(super) fn set_tclass(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let mut tclass = match a.int()? {
        -1 => 0,
        value => u8::try_from(value).map_err(|_| Errno::EINVAL)?,
    };
    let stream = matches!(h.kind(id)?, Kind::Tcp(_));
    let options = h.inet_options_mut(id)?;
    if stream {
        // INET_ECN_MASK: the ECN bits are TCP's own.
        tclass = (tclass & !3) | (options.tclass & 3);
    }
    options.tclass = tclass;
    if let Kind::Tcp(s) = h.kind(id)? {
        let handle = s.handle;
        h.stack
            .tcp_set(cx.now, handle, TcpSet::TrafficClass(tclass));
    }
    Ok(())
}

pub(super) fn get_discover(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(i32::from(h.inet_options(id)?.discover6), a))
}

/// `IPV6_PMTUDISC_DONT` to `IPV6_PMTUDISC_OMIT`.
pub(super) fn set_discover(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match a.int()? {
        value @ 0..=5 => h.inet_options_mut(id)?.discover6 = value as u8,
        _ => return Err(Errno::EINVAL),
    }
    h.inet_flags_changed(id);
    Ok(())
}

pub(super) fn get_minhops(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let hops = h.inet_options(id)?.rare(|rare| i32::from(rare.min_hops));
    Ok(OptValue::int(hops, a))
}

/// `IPV6_MINHOPCOUNT`, RFC 5082: a connection hears nobody who is further away.
pub(super) fn set_minhops(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let hops = u8::try_from(a.int()?).map_err(|_| Errno::EINVAL)?;
    h.inet_options_mut(id)?.rare_mut().min_hops = hops;
    if let Kind::Tcp(s) = h.kind(id)? {
        let handle = s.handle;
        h.stack.tcp_set(cx.now, handle, TcpSet::MinHops(hops));
    }
    Ok(())
}

pub(super) fn get_mtu(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    Ok(OptValue::int(mtu(h, id)? as i32, a))
}

/// As the path tells it: of a v4-mapped peer no more than IPv4's length field counts.
fn mtu(h: &Host, id: SocketId) -> Result<u32, Errno> {
    let (mtu, peer) = path_mtu(h, id)?;
    Ok(if peer.is_ipv4() { mtu.min(0xffff) } else { mtu })
}

/// `IPV6_MTU`: no fragment is larger; zero leaves it to the path.
pub(super) fn set_mtu(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    if value != 0 && value < IPV6_MIN_MTU {
        return Err(Errno::EINVAL);
    }
    h.inet_options_mut(id)?.rare_mut().frag_size = value as u32;
    Ok(())
}

/// `IPV6_PATHMTU`: `struct ip6_mtuinfo`, of which Linux fills in the number only.
pub(super) fn get_pathmtu(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let mut info = [0; 32];
    if a.len < info.len() {
        return Err(Errno::EINVAL);
    }
    info[28..].copy_from_slice(&mtu(h, id)?.to_ne_bytes());
    Ok(OptValue::bytes(&info, a))
}

pub(super) fn get_unicast_if(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let index = h.inet_options(id)?.rare(|rare| rare.unicast_if6);
    Ok(OptValue::int(show_index(index), a))
}

pub(super) fn set_unicast_if(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let index = unicast_if(h, id, a)?;
    h.inet_options_mut(id)?.rare_mut().unicast_if6 = index;
    Ok(())
}

/// What of RFC 5014's pairs is one choice and not two.
fn one_of(value: i32, mask: i32) -> Result<i32, Errno> {
    let chosen = value & mask;
    if chosen & (chosen - 1) == 0 || chosen == 0 {
        Ok(chosen)
    } else {
        Err(Errno::EINVAL)
    }
}

pub(super) fn get_preferences(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let preferences = h.inet_options(id)?.rare(|rare| rare.preferences);
    let public = preferences & (IPV6_PREFER_SRC_TMP | IPV6_PREFER_SRC_PUBLIC);
    let mut value = match public {
        0 => IPV6_PREFER_SRC_PUBTMP_DEFAULT,
        chosen => chosen,
    };
    value |= match preferences & IPV6_PREFER_SRC_COA {
        0 => IPV6_PREFER_SRC_HOME,
        care_of => care_of,
    };
    Ok(OptValue::int(value, a))
}

/// `IPV6_ADDR_PREFERENCES`, RFC 5014: what contradicts itself is EINVAL.
pub(super) fn set_preferences(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let public = IPV6_PREFER_SRC_TMP | IPV6_PREFER_SRC_PUBLIC;
    let temporary = one_of(value, public | IPV6_PREFER_SRC_PUBTMP_DEFAULT)?;
    let home = one_of(value, IPV6_PREFER_SRC_HOME | IPV6_PREFER_SRC_COA)?;
    one_of(value, IPV6_PREFER_SRC_CGA | IPV6_PREFER_SRC_NONCGA)?;
    // What was preferred before is forgotten.
    h.inet_options_mut(id)?.rare_mut().preferences =
        temporary & public | home & IPV6_PREFER_SRC_COA;
    Ok(())
}

/// `IPV6_PKTINFO`, RFC 3542, 6.1: the source address and the interface of what is sent from now on.
pub(super) fn set_pktinfo(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.null {
        return Err(Errno::EINVAL);
    }
    let info = a.bytes(20)?;
    let (ip, index) = info.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
    let index: [u8; 4] = index.try_into().map_err(|_| Errno::EINVAL)?;
    let index = IfIndex::new(u32::from_ne_bytes(index));
    let bound = h.bound_device(id);
    if bound.is_some() && index.is_some() && bound != index {
        return Err(Errno::EINVAL);
    }
    let ip = Ipv6Addr::from(*ip);
    let rare = h.inet_options_mut(id)?.rare_mut();
    rare.pktinfo = Some((ip, index)).filter(|_| index.is_some() || !ip.is_unspecified());
    Ok(())
}

/// `IPV6_ROUTER_ALERT`: of a raw socket of IPPROTO_RAW; a negative value gives it up. Packets that are forwarded are not shown to it.
pub(super) fn set_router_alert(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let raw = h.datagram(id) == Datagram::Raw && matches!(h.kind(id)?, Kind::Udp(_));
    if !raw || i32::from(h.get(id)?.common.protocol) != IPPROTO_RAW {
        return Err(Errno::ENOPROTOOPT);
    }
    ask_once(h, id, InetFlags::ROUTER_ALERT6, value >= 0)
}

/// `IPV6_ADDRFORM`: which family a connected socket is of.
pub(super) fn get_addrform(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    if h.datagram(id) != Datagram::Udp && matches!(h.kind(id)?, Kind::Udp(_)) {
        // What counts is the protocol, which may be a raw socket's, too.
        match i32::from(h.get(id)?.common.protocol) {
            IPPROTO_TCP | IPPROTO_UDP | IPPROTO_UDPLITE => {}
            _ => return Err(Errno::ENOPROTOOPT),
        }
    }
    match h.kind(id)? {
        // TCP_ESTABLISHED, of whatever port.
        Kind::Udp(s) => h
            .stack
            .udp_peer(s.handle)
            .map(|_| ())
            .ok_or(Errno::ENOTCONN)?,
        _ => h.inet_getpeername(id).map(|_| ())?,
    }
    Ok(OptValue::int(i32::from(h.get(id)?.common.domain), a))
}

/// `IPV6_ADDRFORM` with `AF_INET`: a socket that speaks IPv4 to its peer becomes one of AF_INET for good.
pub(super) fn set_addrform(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.int()? != AF_INET {
        return Err(Errno::EINVAL);
    }
    let peer = match h.kind(id)? {
        Kind::Tcp(s) => h.tcp_peer(s),
        Kind::Udp(_) if h.datagram(id) != Datagram::Udp => return Err(Errno::ENOPROTOOPT),
        Kind::Udp(s) => h.stack.udp_peer(s.handle),
        _ => None,
    };
    let peer = peer.ok_or(Errno::ENOTCONN)?;
    if h.inet_options(id)?.v6only || peer.is_ipv6() {
        return Err(Errno::EADDRNOTAVAIL);
    }
    h.get_mut(id)?.common.domain = AF_INET as u16;
    Ok(())
}
