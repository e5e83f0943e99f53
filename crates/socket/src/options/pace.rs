//! Options of what drives packets: polling of devices, pacing, and which processor does the work.
//! A virtual host has no device to poll and one processor.

use super::rare::TxTime;
use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{State, TcpSet, UdpSet};

/// `SO_BUSY_POLL`: whatever socket(7) says, anybody may raise it.
pub(super) fn set_busy_poll(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let common = &mut h.get_mut(id)?.common;
    let value = u32::try_from(value).map_err(|_| Errno::EINVAL)?;
    if value != common.rare().busy_poll {
        common.rare_mut().busy_poll = value;
    }
    Ok(())
}

pub(super) fn get_busy_poll(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(h.get(id)?.common.rare().busy_poll as i32, a))
}

pub(super) fn set_prefer_busy_poll(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.bool()?;
    if on && !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    let flags = &mut h.get_mut(id)?.common.flags;
    flags.set(CommonFlags::PREFER_BUSY_POLL, on);
    Ok(())
}

pub(super) fn get_prefer_busy_poll(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let on = h.get(id)?.common.has(CommonFlags::PREFER_BUSY_POLL);
    Ok(OptValue::bool(on, a))
}

/// `SO_BUSY_POLL_BUDGET`, which can be set and not read: who may administer the network may raise it.
pub(super) fn set_busy_poll_budget(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let common = &mut h.get_mut(id)?.common;
    let old = common.rare().busy_poll_budget;
    if value > i32::from(old) && !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    let value = u16::try_from(value).map_err(|_| Errno::EINVAL)?;
    if value != old {
        common.rare_mut().busy_poll_budget = value;
    }
    Ok(())
}

/// The processor of a virtual host.
const CPU: i32 = 0;

/// Of a connection, how many segments have come.
fn segments(h: &Host, cx: &Cx<'_>, kind: &Kind) -> u32 {
    match kind {
        Kind::Tcp(s) => match h.stack.tcp_state(s.handle) {
            State::Close | State::Listen | State::SynSent => 0,
            _ => h.stack.tcp_info(cx.now, s.handle).segs_in,
        },
        _ => 0,
    }
}

/// `SO_INCOMING_CPU`: the processor that the last packet came by, or the one that is preferred among
/// the sockets of a group.
pub(super) fn set_incoming_cpu(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let socket = h.get(id)?;
    let seen = segments(h, cx, &socket.kind);
    if let Kind::Udp(s) = &socket.kind {
        let handle = s.handle;
        h.stack.udp_forget_heard(handle);
        h.stack.udp_set(handle, UdpSet::PreferCpu(value == CPU));
    } else if let Kind::Tcp(s) = &socket.kind {
        let handle = s.handle;
        h.stack.tcp_prefer_cpu(handle, value == CPU);
    }
    let rare = h.get_mut(id)?.common.rare_mut();
    rare.incoming_cpu = value;
    rare.incoming_at = seen;
    Ok(())
}

pub(super) fn get_incoming_cpu(
    h: &Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let socket = h.get(id)?;
    let rare = socket.common.rare();
    let heard = match &socket.kind {
        Kind::Tcp(_) => segments(h, cx, &socket.kind) != rare.incoming_at,
        Kind::Udp(s) => h.stack.udp_has_heard(s.handle),
        Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => false,
    };
    let value = if heard { CPU } else { rare.incoming_cpu };
    Ok(OptValue::int(value, a))
}

/// `SO_INCOMING_NAPI_ID`: zero where no NAPI instance has brought a packet.
pub(super) fn get_napi_id(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(0, a))
}

/// `SO_MAX_PACING_RATE`: an `unsigned int` or, of the kernel, an `unsigned long`; all ones is none.
pub(super) fn set_max_pacing_rate(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let narrow = a.int()? as u32;
    let value = if a.len >= 8 {
        let mut wide = [0; 8];
        wide.copy_from_slice(a.bytes(8)?);
        u64::from_ne_bytes(wide)
    } else if narrow == u32::MAX {
        u64::MAX
    } else {
        u64::from(narrow)
    };
    h.get_mut(id)?.common.rare_mut().pacing_rate = value;
    // sk_pacing_status: TCP paces by itself; for others it is for a queue, of which there is none.
    if let Ok(tcp) = h.tcp(id) {
        let handle = tcp.handle;
        h.stack.tcp_set(cx.now, handle, TcpSet::MaxPacing(value));
        h.collect_stack_events();
    }
    Ok(())
}

pub(super) fn get_max_pacing_rate(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let rate = h.get(id)?.common.rare().pacing_rate;
    if a.len >= 8 {
        return Ok(OptValue::bytes(&rate.to_ne_bytes(), a));
    }
    let narrow = u32::try_from(rate).unwrap_or(u32::MAX);
    Ok(OptValue::bytes(&narrow.to_ne_bytes(), a))
}

/// SOF_TXTIME_DEADLINE_MODE and SOF_TXTIME_REPORT_ERRORS.
const TXTIME_FLAGS: u32 = 3;

/// `SO_TXTIME`: `struct sock_txtime`, from then on a datagram may say when it wants to leave.
pub(super) fn set_tx_time(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len != 8 {
        return Err(Errno::EINVAL);
    }
    let raw = a.bytes(8)?;
    let clock = i32::from_ne_bytes([raw[0], raw[1], raw[2], raw[3]]);
    let flags = u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]);
    if flags & !TXTIME_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    // CLOCK_MONOTONIC is for anybody: the scheduler that heeds it takes care by itself.
    if clock != CLOCK_MONOTONIC && !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    if !matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC | CLOCK_TAI) {
        return Err(Errno::EINVAL);
    }
    let common = &mut h.get_mut(id)?.common;
    common.flags.insert(CommonFlags::TXTIME);
    common.rare_mut().tx_time = TxTime { clock, flags };
    Ok(())
}

pub(super) fn get_tx_time(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let TxTime { clock, flags } = h.get(id)?.common.rare().tx_time;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&clock.to_ne_bytes());
    bytes[4..].copy_from_slice(&flags.to_ne_bytes());
    Ok(OptValue::bytes(&bytes, a))
}

/// `SO_TXREHASH`: whether a connection that does not get through tries another path. -1 is the
/// system's choice, net.core.txrehash, which is on.
pub(super) fn set_tx_rehash(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    if !matches!(h.kind(id)?, Kind::Tcp(_)) {
        return Err(Errno::EOPNOTSUPP);
    }
    if !(-1..=1).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let flags = &mut h.get_mut(id)?.common.flags;
    flags.set(CommonFlags::NO_TXREHASH, value == 0);
    Ok(())
}

pub(super) fn get_tx_rehash(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let socket = h.get(id)?;
    if !matches!(socket.kind, Kind::Tcp(_)) {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(OptValue::bool(
        !socket.common.has(CommonFlags::NO_TXREHASH),
        a,
    ))
}

/// `SO_CNX_ADVICE`: 1 says that the path does not work; the next packet looks for its way again.
pub(super) fn set_cnx_advice(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.int()? == 1 {
        match h.kind(id)? {
            Kind::Tcp(s) => h.stack.tcp_forget_route(s.handle),
            Kind::Udp(s) => h.stack.udp_forget_route(s.handle),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => {}
        }
    }
    Ok(())
}

/// `SO_ZEROCOPY`: sends with `MSG_ZEROCOPY` are told when their memory is free again.
pub(super) fn set_zerocopy(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let socket = h.get_mut(id)?;
    let protocol = i32::from(socket.common.protocol);
    // A raw socket may have one of these protocols, too.
    let sends_so = match socket.kind {
        Kind::Tcp(_) => true,
        Kind::Udp(_) => i32::from(socket.common.ty) == SOCK_DGRAM && protocol == IPPROTO_UDP,
        Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => false,
    };
    if !sends_so {
        return Err(Errno::EOPNOTSUPP);
    }
    if !(0..=1).contains(&value) {
        return Err(Errno::EINVAL);
    }
    socket.common.flags.set(CommonFlags::ZEROCOPY, value == 1);
    Ok(())
}

pub(super) fn get_zerocopy(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let on = h.get(id)?.common.has(CommonFlags::ZEROCOPY);
    Ok(OptValue::bool(on, a))
}

/// `SO_DEVMEM_DONTNEED`: gives pieces of device memory back, of which a host without such devices
/// has never handed out any.
pub(super) fn set_devmem_dontneed(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    /// struct dmabuf_token
    const TOKEN: usize = 8;
    const MAX_TOKENS: usize = 128;
    if !matches!(h.kind(id)?, Kind::Tcp(_)) {
        return Err(Errno::EBADF);
    }
    if !a.len.is_multiple_of(TOKEN) || a.len > TOKEN * MAX_TOKENS {
        return Err(Errno::EINVAL);
    }
    a.bytes(a.len)?;
    Ok(())
}
