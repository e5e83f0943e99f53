//! tcp(7): TCP_REPAIR and what goes with it. Setting anything up wants CAP_NET_ADMIN, which TCP_REPAIR asks for.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::socket::CommonFlags;
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{RepairOption, RepairQueue, RepairWindow, State, TcpId};

/// Kinds of TCP options, as TCP_REPAIR_OPTIONS names them.
const TCPOPT_MSS: u32 = 2;
const TCPOPT_WINDOW: u32 = 3;
const TCPOPT_SACK_PERM: u32 = 4;
const TCPOPT_TIMESTAMP: u32 = 8;
/// TCP_MAX_WSCALE.
const SCALE_MAX: u32 = 14;
/// `sizeof(struct tcp_repair_window)`
const WINDOW_SIZE: usize = 20;

fn handle(h: &Host, id: SocketId) -> Result<TcpId, Errno> {
    Ok(h.tcp(id)?.handle)
}

fn word(raw: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
}

pub(super) fn get_repair(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    Ok(OptValue::bool(h.stack.tcp_is_repaired(t), a))
}

pub(super) fn set_repair(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let t = handle(h, id)?;
    if !cx.cred.caps.contains(Caps::NET_ADMIN) || h.stack.tcp_state(t) == State::Listen {
        return Err(Errno::EPERM);
    }
    let (on, probe) = match value {
        TCP_REPAIR_ON => (true, false),
        TCP_REPAIR_OFF => (false, true),
        TCP_REPAIR_OFF_NO_WP => (false, false),
        _ => return Err(Errno::EINVAL),
    };
    let flags = &mut h.get_mut(id)?.common.flags;
    flags.set(CommonFlags::TCP_REPAIR, on);
    if !on {
        // SK_NO_REUSE, whatever it was before.
        flags.remove(CommonFlags::REUSEADDR);
        h.bind_flags_changed(id);
    }
    h.stack.tcp_set_repair(cx.now, t, on, probe);
    h.collect_stack_events();
    Ok(())
}

pub(super) fn get_queue(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    if !h.stack.tcp_is_repaired(t) {
        return Err(Errno::EINVAL);
    }
    Ok(OptValue::int(h.stack.tcp_repair_queue(t) as i32, a))
}

pub(super) fn set_queue(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let t = handle(h, id)?;
    if !h.stack.tcp_is_repaired(t) {
        return Err(Errno::EPERM);
    }
    let queue = match value {
        TCP_NO_QUEUE => RepairQueue::None,
        TCP_RECV_QUEUE => RepairQueue::Receive,
        TCP_SEND_QUEUE => RepairQueue::Send,
        _ => return Err(Errno::EINVAL),
    };
    h.stack.tcp_set_repair_queue(t, queue);
    Ok(())
}

pub(super) fn get_seq(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let seq = h.stack.tcp_queue_seq(handle(h, id)?);
    Ok(OptValue::int(seq.ok_or(Errno::EINVAL)? as i32, a))
}

pub(super) fn set_seq(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let t = handle(h, id)?;
    if h.stack.tcp_state(t) != State::Close {
        return Err(Errno::EPERM);
    }
    match h.stack.tcp_repair_queue(t) {
        RepairQueue::None => return Err(Errno::EINVAL),
        RepairQueue::Receive if h.stack.tcp_recv_available(t) > 0 => return Err(Errno::EPERM),
        _ => {}
    }
    h.stack.tcp_set_queue_seq(t, value as u32);
    Ok(())
}

/// tcp_repair_options_est(): pairs of a kind and a value.
pub(super) fn set_options(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let t = handle(h, id)?;
    if !h.stack.tcp_is_repaired(t) {
        return Err(Errno::EINVAL);
    }
    if !h.stack.tcp_is_unused(t) {
        return Err(Errno::EPERM);
    }
    let raw = a.bytes(a.len)?;
    for pair in raw.chunks_exact(8) {
        let value = word(pair, 4);
        let option = match word(pair, 0) {
            TCPOPT_MSS => RepairOption::Mss(value as u16),
            TCPOPT_WINDOW => {
                let (snd, rcv) = (value & 0xffff, value >> 16);
                if snd > SCALE_MAX || rcv > SCALE_MAX {
                    return Err(Errno::EFBIG);
                }
                RepairOption::Scale(snd as u8, rcv as u8)
            }
            TCPOPT_SACK_PERM | TCPOPT_TIMESTAMP if value != 0 => return Err(Errno::EINVAL),
            TCPOPT_TIMESTAMP => RepairOption::Timestamps,
            // Selective acknowledgments are the sender's to use, and this one does without.
            _ => continue,
        };
        h.stack.tcp_repair_option(t, option);
    }
    Ok(())
}

pub(super) fn get_window(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    if a.len != WINDOW_SIZE {
        return Err(Errno::EINVAL);
    }
    if !h.stack.tcp_is_repaired(t) {
        return Err(Errno::EPERM);
    }
    let w = h.stack.tcp_repair_window(t);
    let words = [w.snd_wl1, w.snd_wnd, w.max_window, w.rcv_wnd, w.rcv_wup];
    let mut bytes = [0; WINDOW_SIZE];
    for (to, from) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    Ok(OptValue::bytes(&bytes, a))
}

pub(super) fn set_window(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let t = handle(h, id)?;
    if !h.stack.tcp_is_repaired(t) {
        return Err(Errno::EPERM);
    }
    if a.len != WINDOW_SIZE {
        return Err(Errno::EINVAL);
    }
    let raw = a.bytes(WINDOW_SIZE)?;
    let window = RepairWindow {
        snd_wl1: word(raw, 0),
        snd_wnd: word(raw, 4),
        max_window: word(raw, 8),
        rcv_wnd: word(raw, 12),
        rcv_wup: word(raw, 16),
    };
    if h.stack.tcp_set_repair_window(t, window) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// TCP_TIMESTAMP: only a socket under repair has its clock set.
pub(super) fn set_timestamp(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let t = handle(h, id)?;
    if !h.stack.tcp_is_repaired(t) {
        return Err(Errno::EPERM);
    }
    h.stack.tcp_set_timestamp(cx.now, t, value as u32);
    Ok(())
}
