//! Buffer sizes and memory, socket(7): `SO_SNDBUF`, `SO_RCVBUF` and their kin.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_abi::number::{SOCK_BUF_LOCK_MASK, SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK};
use switchboard_engine::{TcpSet, UdpSet};

/// SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF: TCP_SKB_MIN_TRUESIZE is 2048 and an sk_buff of 256. The
/// 256 and 2048 of socket(7) are older than that.
const MIN_RCVBUF: u32 = 2304;
const MIN_SNDBUF: u32 = 2 * 2304;

pub(super) fn get_sndbuf(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let socket = h.get(id)?;
    let value = match &socket.kind {
        Kind::Tcp(s) => h.stack.tcp_buffers(s.handle).0,
        _ => socket.common.sndbuf,
    };
    Ok(OptValue::int(value as i32, a))
}

pub(super) fn get_rcvbuf(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let socket = h.get(id)?;
    let value = match &socket.kind {
        Kind::Tcp(s) => h.stack.tcp_buffers(s.handle).1,
        _ => socket.common.rcvbuf,
    };
    Ok(OptValue::int(value as i32, a))
}

/// "We double it on the way in to account for struct sk_buff etc. overhead". A negative value is
/// compared as unsigned, so it is taken for the largest there may be.
pub(super) fn set_sndbuf(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = (a.int()? as u32).min(h.stack.sysctl().wmem_max);
    send_buffer(h, cx, id, value)
}

pub(super) fn set_rcvbuf(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = (a.int()? as u32).min(h.stack.sysctl().rmem_max);
    receive_buffer(h, cx, id, value)
}

/// `SO_SNDBUFFORCE`: no limit but that of the type; "no negative values (to prevent underflow)".
pub(super) fn set_sndbufforce(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = forced(cx, a)?;
    send_buffer(h, cx, id, value)
}

pub(super) fn set_rcvbufforce(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = forced(cx, a)?;
    receive_buffer(h, cx, id, value)
}

fn forced(cx: &Cx<'_>, a: &SetArg<'_>) -> Result<u32, Errno> {
    let value = a.int()?;
    if !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    Ok(value.max(0) as u32)
}

fn doubled(value: u32) -> u32 {
    value.min(i32::MAX as u32 / 2) * 2
}

fn send_buffer(h: &mut Host, cx: &Cx<'_>, id: SocketId, value: u32) -> Result<(), Errno> {
    let value = doubled(value).max(MIN_SNDBUF);
    let common = &mut h.get_mut(id)?.common;
    common.sndbuf = value;
    common.flags.insert(CommonFlags::SNDBUF_LOCKED);
    match h.kind(id)? {
        Kind::Tcp(s) => {
            let handle = s.handle;
            h.stack.tcp_set(cx.now, handle, TcpSet::SendBuffer(value));
            h.collect_stack_events();
        }
        Kind::Unix(_) => h.unix_sndbuf_changed(id),
        Kind::Udp(_) | Kind::Netlink(_) | Kind::Packet(_) => {}
    }
    Ok(())
}

fn receive_buffer(h: &mut Host, cx: &Cx<'_>, id: SocketId, value: u32) -> Result<(), Errno> {
    let value = doubled(value).max(MIN_RCVBUF);
    let common = &mut h.get_mut(id)?.common;
    common.rcvbuf = value;
    common.flags.insert(CommonFlags::RCVBUF_LOCKED);
    match h.kind(id)? {
        Kind::Tcp(s) => {
            let handle = s.handle;
            h.stack
                .tcp_set(cx.now, handle, TcpSet::ReceiveBuffer(value));
        }
        Kind::Udp(s) => {
            let handle = s.handle;
            h.stack.udp_set(handle, UdpSet::ReceiveBuffer(value));
        }
        Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => {}
    }
    Ok(())
}

/// `SO_BUF_LOCK`: which buffers stay as they are, because a program has chosen their size.
pub(super) fn get_buf_lock(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let common = &h.get(id)?.common;
    let mut value = 0;
    if common.has(CommonFlags::SNDBUF_LOCKED) {
        value |= SOCK_SNDBUF_LOCK;
    }
    if common.has(CommonFlags::RCVBUF_LOCKED) {
        value |= SOCK_RCVBUF_LOCK;
    }
    Ok(OptValue::int(value, a))
}

pub(super) fn set_buf_lock(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    if value & !SOCK_BUF_LOCK_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let (send, receive) = (value & SOCK_SNDBUF_LOCK != 0, value & SOCK_RCVBUF_LOCK != 0);
    let flags = &mut h.get_mut(id)?.common.flags;
    flags.set(CommonFlags::SNDBUF_LOCKED, send);
    flags.set(CommonFlags::RCVBUF_LOCKED, receive);
    if let Kind::Tcp(s) = h.kind(id)? {
        let handle = s.handle;
        let lock = TcpSet::LockBuffers { send, receive };
        h.stack.tcp_set(cx.now, handle, lock);
    }
    Ok(())
}

/// `SO_MEMINFO`: sk_get_meminfo(), nine numbers, of those that the layer counts.
pub(super) fn get_meminfo(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let socket = h.get(id)?;
    let common = &socket.common;
    // rmem_alloc, rcvbuf, wmem_alloc, sndbuf, fwd_alloc, wmem_queued, optmem, backlog, drops
    let mut info = [0, common.rcvbuf, 0, common.sndbuf, 0, 0, 0, 0, 0];
    match &socket.kind {
        Kind::Tcp(s) => {
            (info[3], info[1]) = h.stack.tcp_buffers(s.handle);
            info[0] = h.stack.tcp_recv_available(s.handle) as u32;
            info[5] = h.stack.tcp_outq(s.handle) as u32;
        }
        Kind::Udp(s) => {
            info[0] = h.stack.udp_receive_memory(s.handle) + s.inet.errors.charged();
            info[8] = h.stack.udp_drops(s.handle);
        }
        // What was sent is charged to the sender until it is read.
        Kind::Unix(s) => info[2] = s.charged(),
        Kind::Netlink(s) => info[0] = s.charged(),
        Kind::Packet(s) => info[0] = s.charged(),
    }
    let mut bytes = [0; 36];
    for (to, word) in bytes.chunks_exact_mut(4).zip(info) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(OptValue::bytes(&bytes, a))
}

/// `SO_RESERVE_MEM` asks a memory cgroup; a socket that none accounts for cannot reserve.
pub(super) fn set_reserve_mem(
    _: &mut Host,
    _: &mut Cx<'_>,
    _: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.int()? < 0 {
        return Err(Errno::EINVAL);
    }
    Err(Errno::EOPNOTSUPP)
}

pub(super) fn get_reserve_mem(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(0, a))
}
