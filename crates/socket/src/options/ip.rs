//! `IPPROTO_IP` and `IPPROTO_IPV6`, ip(7) and ipv6(7).

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::socket::Kind;
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_engine::{Arrival, TcpSet, UdpSet};

/// do_ip_setsockopt(): an `int`, or a single byte for those who have learnt it from BSD.
pub(super) fn int_or_byte(a: &SetArg<'_>) -> Result<i32, Errno> {
    match a.len {
        0 => Ok(0),
        1..4 => Ok(i32::from(a.bytes(1)?[0])),
        _ => a.int(),
    }
}

/// rt_tos2priority(): what the type of service says about SO_PRIORITY. TC_PRIO_BESTEFFORT, _BULK,
/// _INTERACTIVE and _INTERACTIVE_BULK by the two upper bits of IPTOS_TOS.
fn tos_priority(tos: u8) -> u32 {
    [0, 2, 6, 4][usize::from(tos >> 3 & 3)]
}

/// do_ip_getsockopt(): a byte when the caller has room for less than an `int` and it fits one.
pub(super) fn put(value: i32, a: &GetArg) -> OptValue {
    if (1..4).contains(&a.len)
        && let Ok(byte) = u8::try_from(value)
    {
        return OptValue {
            bytes: alloc::vec![byte],
            ..OptValue::int(value, a)
        };
    }
    OptValue::int(value, a)
}

fn tell_tcp(h: &mut Host, cx: &mut Cx<'_>, id: SocketId, option: TcpSet) {
    if let Ok(Kind::Tcp(s)) = h.kind(id) {
        let handle = s.handle;
        h.stack.tcp_set(cx.now, handle, option);
    }
}

pub(super) fn get_tos(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    Ok(put(i32::from(h.inet_options(id)?.tos), a))
}

pub(super) fn set_tos(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let mut tos = int_or_byte(a)? as u8;
    let stream = matches!(h.kind(id)?, Kind::Tcp(_));
    let options = h.inet_options_mut(id)?;
    if stream {
        // INET_ECN_MASK: the ECN bits are TCP's own.
        tos = (tos & !3) | (options.tos & 3);
    }
    if options.tos != tos {
        options.tos = tos;
        h.get_mut(id)?.common.priority = tos_priority(tos);
        h.forget_way(id);
    }
    tell_tcp(h, cx, id, TcpSet::Tos(tos));
    Ok(())
}

pub(super) fn get_ttl(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let ttl = h
        .inet_options(id)?
        .ttl
        .unwrap_or(h.stack.sysctl().ip_default_ttl);
    Ok(put(i32::from(ttl), a))
}

pub(super) fn set_ttl(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len == 0 {
        return Err(Errno::EINVAL);
    }
    let ttl = match int_or_byte(a)? {
        -1 => None,
        value @ 1..=255 => Some(value as u8),
        _ => return Err(Errno::EINVAL),
    };
    h.inet_options_mut(id)?.ttl = ttl;
    tell_tcp(h, cx, id, TcpSet::Ttl(ttl));
    Ok(())
}

/// The stack notes what only the arrival of a datagram shows.
fn note_packets(h: &mut Host, id: SocketId) -> Result<(), Errno> {
    let options = h.inet_options(id)?;
    let on = options.pktinfo || options.pktinfo6;
    if let Kind::Udp(s) = h.kind(id)? {
        let handle = s.handle;
        h.stack.udp_set(handle, UdpSet::PacketInfo(on));
    }
    Ok(())
}

pub(super) fn get_pktinfo(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(put(i32::from(h.inet_options(id)?.pktinfo), a))
}

pub(super) fn set_pktinfo(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    h.inet_options_mut(id)?.pktinfo = int_or_byte(a)? != 0;
    note_packets(h, id)
}

pub(super) fn get_v6only(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::bool(h.inet_options(id)?.v6only, a))
}

/// IPV6_V6ONLY cannot change once the socket has a port.
pub(super) fn set_v6only(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.bool()?;
    let bound = match h.kind(id)? {
        Kind::Tcp(s) => h.stack.tcp_is_bound(s.handle),
        // inet_num of a raw socket is its protocol, whatever becomes of its port.
        Kind::Udp(s) => {
            h.stack.udp_local(s.handle).port() != 0 || h.stack.raw_settings(s.handle).is_some()
        }
        Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => false,
    };
    if bound {
        return Err(Errno::EINVAL);
    }
    h.inet_options_mut(id)?.v6only = on;
    tell_tcp(h, cx, id, TcpSet::V6Only(on));
    Ok(())
}

pub(super) fn get_hops(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let hops = h
        .inet_options(id)?
        .hops
        .unwrap_or(h.stack.sysctl().ipv6_hop_limit);
    Ok(OptValue::int(i32::from(hops), a))
}

pub(super) fn set_hops(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let hops = match a.int()? {
        -1 => None,
        value @ 0..=255 => Some(value as u8),
        _ => return Err(Errno::EINVAL),
    };
    h.inet_options_mut(id)?.hops = hops;
    tell_tcp(h, cx, id, TcpSet::HopLimit(hops));
    Ok(())
}

pub(super) fn get_recvpktinfo(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::bool(h.inet_options(id)?.pktinfo6, a))
}

pub(super) fn set_recvpktinfo(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    h.inet_options_mut(id)?.pktinfo6 = a.bool()?;
    note_packets(h, id)
}

/// tcp_v4_syn_recv_sock(), tcp_v6_syn_recv_sock(): a stream has no groups to send to; one that was accepted shows here how its peer's segment came.
pub(super) fn arrival(h: &Host, id: SocketId) -> Option<Arrival> {
    h.stack.tcp_arrival(h.tcp(id).ok()?.handle)
}

pub(super) fn get_multicast_ttl(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let came = arrival(h, id).filter(|came| !came.v6);
    let hops = came.map_or(h.inet_options(id)?.multicast_ttl, |came| came.hops);
    Ok(put(hops.into(), a))
}

/// A stream has no groups to send to.
pub(super) fn set_multicast_ttl(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = int_or_byte(a)?;
    if matches!(h.kind(id)?, Kind::Tcp(_)) || a.len == 0 {
        return Err(Errno::EINVAL);
    }
    h.inet_options_mut(id)?.multicast_ttl = match value {
        -1 => 1,
        value => u8::try_from(value).map_err(|_| Errno::EINVAL)?,
    };
    Ok(())
}

pub(super) fn get_multicast_hops(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let came = arrival(h, id);
    let hops = came.map_or(h.inet_options(id)?.multicast_hops, |came| came.hops);
    Ok(OptValue::int(hops.into(), a))
}

pub(super) fn set_multicast_hops(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if matches!(h.kind(id)?, Kind::Tcp(_)) {
        return Err(Errno::ENOPROTOOPT);
    }
    h.inet_options_mut(id)?.multicast_hops = match a.int()? {
        -1 => 1,
        value => u8::try_from(value).map_err(|_| Errno::EINVAL)?,
    };
    Ok(())
}
