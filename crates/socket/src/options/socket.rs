//! `SOL_SOCKET`, socket(7).

use super::control::{may_mark, may_prioritize};
use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::socket::{CommonFlags, Kind, Linger};
use crate::table::SocketId;
use core::time::Duration;
use switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE;
use switchboard_abi::{Errno, Word};
use switchboard_engine::{State, TcpSet, UdpSet};

/// The clock tick timeouts are rounded up to: CONFIG_HZ=250, as Debian and Ubuntu build it.
const TICK: Duration = Duration::from_millis(4);

pub(super) fn get_type(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    Ok(OptValue::int(i32::from(h.get(id)?.common.ty), a))
}

pub(super) fn get_domain(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(i32::from(h.get(id)?.common.domain), a))
}

pub(super) fn get_protocol(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(i32::from(h.get(id)?.common.protocol), a))
}

pub(super) fn get_error(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let error = h.pending_error(id).or_else(|| h.soft_error(id));
    let mut value = OptValue::int(error.map_or(0, |e| i32::from(e.0)), a);
    value.clears_error = error.is_some();
    Ok(value)
}

pub(super) fn get_acceptconn(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let listening = match h.kind(id)? {
        Kind::Tcp(s) => h.stack.tcp_state(s.handle) == State::Listen,
        Kind::Udp(_) | Kind::Netlink(_) | Kind::Packet(_) => false,
        Kind::Unix(_) => h.unix_is_listening(id),
    };
    Ok(OptValue::bool(listening, a))
}

pub(super) fn get_cookie(
    _: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    if a.len < 8 {
        return Err(Errno::EINVAL);
    }
    // Unique for the life of the host and never zero: the slot with its generation.
    Ok(OptValue::bytes(&(id.to_u64() + 1).to_ne_bytes(), a))
}

/// A boolean kept in [`CommonFlags`] and nowhere else.
macro_rules! flag {
    ($get:ident, $set:ident, $flag:ident) => {
        pub(super) fn $get(
            h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            Ok(OptValue::bool(h.get(id)?.common.has(CommonFlags::$flag), a))
        }

        pub(super) fn $set(
            h: &mut Host,
            _: &mut Cx<'_>,
            id: SocketId,
            a: &SetArg<'_>,
        ) -> Result<(), Errno> {
            let on = a.bool()?;
            h.get_mut(id)?.common.flags.set(CommonFlags::$flag, on);
            Ok(())
        }
    };
}

flag!(get_reuseaddr, set_reuseaddr_flag, REUSEADDR);
flag!(get_reuseport, set_reuseport_flag, REUSEPORT);
flag!(get_broadcast, set_broadcast, BROADCAST);
flag!(get_keepalive, set_keepalive_flag, KEEPALIVE);
flag!(get_oobinline, set_oobinline_flag, OOBINLINE);
flag!(get_dontroute, set_dontroute_flag, DONTROUTE);
flag!(get_no_check, set_no_check, NO_CHECK);
flag!(get_wifi_status, set_wifi_status, WIFI_STATUS);
flag!(get_nofcs, set_nofcs, NOFCS);
flag!(get_select_err_queue, set_select_err_queue, SELECT_ERR_QUEUE);
flag!(get_rcvmark, set_rcvmark, RCVMARK);
flag!(get_rcvpriority, set_rcvpriority, RCVPRIORITY);
flag!(get_rxq_ovfl, set_rxq_ovfl_flag, RXQ_OVFL);
flag!(get_debug, set_debug_flag, DEBUG);
flag!(get_passcred_flag, set_passcred_flag, PASSCRED);

/// `sk_reuse` keeps the value, 1 for any other than zero: getsockopt(2) tells 1.
pub(super) fn set_reuseaddr(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_reuseaddr_flag(h, cx, id, a)?;
    h.bind_flags_changed(id);
    Ok(())
}

pub(super) fn set_reuseport(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.bool()? && !matches!(h.kind(id)?, Kind::Tcp(_) | Kind::Udp(_)) {
        return Err(Errno::EOPNOTSUPP);
    }
    set_reuseport_flag(h, cx, id, a)?;
    h.bind_flags_changed(id);
    Ok(())
}

pub(super) fn set_keepalive(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_keepalive_flag(h, cx, id, a)?;
    if let Kind::Tcp(s) = h.kind(id)? {
        let handle = s.handle;
        h.stack
            .tcp_set(cx.now, handle, TcpSet::KeepAlive(a.bool()?));
    }
    Ok(())
}

pub(super) fn set_oobinline(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_oobinline_flag(h, cx, id, a)?;
    if let Kind::Tcp(s) = h.kind(id)? {
        let handle = s.handle;
        h.stack
            .tcp_set(cx.now, handle, TcpSet::OobInline(a.bool()?));
    }
    Ok(())
}

/// sk_may_scm_recv(): only families that carry credentials.
pub(super) fn get_passcred(
    h: &Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    match h.kind(id)? {
        Kind::Unix(_) | Kind::Netlink(_) => get_passcred_flag(h, cx, id, a),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

pub(super) fn set_passcred(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match h.kind(id)? {
        Kind::Unix(_) | Kind::Netlink(_) => set_passcred_flag(h, cx, id, a),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

pub(super) fn get_peercred(
    h: &Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let (pid, uid, gid) = match h.kind(id)? {
        Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => {
            let c = h.unix_peercred(id);
            // (uid_t) -1 is told as it is.
            let seen = |id, as_seen: u32| if id == u32::MAX { id } else { as_seen };
            let (uid, gid) = (cx.cred.user_seen(c.uid), cx.cred.group_seen(c.gid));
            (c.pid, seen(c.uid, uid), seen(c.gid, gid))
        }
        // cred_to_ucred() of no credentials.
        _ => (0, u32::MAX, u32::MAX),
    };
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&pid.to_ne_bytes());
    bytes[4..8].copy_from_slice(&uid.to_ne_bytes());
    bytes[8..].copy_from_slice(&gid.to_ne_bytes());
    Ok(OptValue::bytes(&bytes, a))
}

/// MAX_SCHEDULE_TIMEOUT in seconds, as far as an `int` takes it: what SO_LINGER tells of one that was below 0.
const FOREVER_SECONDS: i32 = (i64::MAX / 250) as i32;

pub(super) fn get_linger(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let linger = h.get(id)?.common.linger;
    let seconds = match linger.seconds {
        Linger::FOREVER => FOREVER_SECONDS,
        seconds => seconds as i32,
    };
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&i32::from(linger.on).to_ne_bytes());
    bytes[4..].copy_from_slice(&seconds.to_ne_bytes());
    Ok(OptValue::bytes(&bytes, a))
}

pub(super) fn set_linger(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let raw = a.bytes(8)?;
    let linger = &mut h.get_mut(id)?.common.linger;
    if raw[..4] == [0; 4] {
        linger.on = false;
    } else {
        // "int l_linger": less than 0 is more than MAX_SCHEDULE_TIMEOUT.
        let seconds = i32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]);
        let seconds = u32::try_from(seconds).unwrap_or(Linger::FOREVER);
        *linger = Linger { on: true, seconds };
        h.inet.linger_used |= seconds > 0;
    }
    Ok(())
}

pub(super) fn get_rcvlowat(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(h.get(id)?.common.rcvlowat as i32, a))
}

pub(super) fn set_rcvlowat(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let mut value = if value < 0 {
        i32::MAX as u32
    } else {
        value as u32
    };
    let mut wakes = false;
    if let Kind::Tcp(s) = h.kind(id)? {
        // tcp_set_rcvlowat(): no more than half of what the buffer may become.
        let locked = h.get(id)?.common.has(CommonFlags::RCVBUF_LOCKED);
        let buffer = if locked {
            h.stack.tcp_buffers(s.handle).1
        } else {
            h.stack.sysctl().tcp_rmem[2]
        };
        value = value.min(buffer / 2);
        let handle = s.handle;
        let mark = TcpSet::RecvLowWater(value);
        h.stack.tcp_set(cx.now, handle, mark);
        // tcp_data_ready(): a FIN came (SOCK_DONE), or there is something to read.
        let ended = [
            State::CloseWait,
            State::LastAck,
            State::Closing,
            State::TimeWait,
        ];
        wakes =
            ended.contains(&h.stack.tcp_state(handle)) || h.stack.tcp_recv_available(handle) > 0;
    }
    h.get_mut(id)?.common.rcvlowat = value.max(1);
    // A lower mark may have made the socket readable.
    if wakes {
        h.wake(id, h.poll(id) & crate::mask::PollMask::READABLE);
    }
    Ok(())
}

pub(super) fn get_sndlowat(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    // "Always 1": SO_SNDLOWAT cannot be set on Linux.
    Ok(OptValue::int(1, a))
}

pub(super) fn get_priority(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(h.get(id)?.common.priority as i32, a))
}

pub(super) fn set_priority(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    if !may_prioritize(cx.cred.caps, value as u32) {
        return Err(Errno::EPERM);
    }
    h.get_mut(id)?.common.priority = value as u32;
    Ok(())
}

pub(super) fn get_mark(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    Ok(OptValue::int(h.get(id)?.common.rare().mark as i32, a))
}

/// `SO_DONTROUTE`: even one that was set already makes the socket look for its way again.
pub(super) fn set_dontroute(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_dontroute_flag(h, cx, id, a)?;
    h.forget_way(id);
    Ok(())
}

/// `SO_MARK`: whatever the value, it takes who may mark.
pub(super) fn set_mark(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()? as u32;
    if !may_mark(cx.cred.caps) {
        return Err(Errno::EPERM);
    }
    let common = &mut h.get_mut(id)?.common;
    if value != common.rare().mark {
        common.rare_mut().mark = value;
        h.forget_way(id);
    }
    match h.kind(id)? {
        Kind::Tcp(s) => {
            let handle = s.handle;
            h.stack.tcp_set_mark(handle, value);
        }
        Kind::Udp(s) => {
            let handle = s.handle;
            h.stack.udp_set(handle, UdpSet::Mark(value));
        }
        Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => {}
    }
    Ok(())
}

/// Tracing of a socket, which this kernel too was built without: a flag that anybody may take off.
pub(super) fn set_debug(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.bool()? && !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EACCES);
    }
    set_debug_flag(h, cx, id, a)
}

/// `SO_BSDCOMPAT`: once a thing of Linux 2.0; nothing is kept.
pub(super) fn set_bsdcompat(
    _: &mut Host,
    _: &mut Cx<'_>,
    _: SocketId,
    _: &SetArg<'_>,
) -> Result<(), Errno> {
    Ok(())
}

pub(super) fn get_bsdcompat(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(0, a))
}

pub(super) fn set_rxq_ovfl(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_rxq_ovfl_flag(h, cx, id, a)?;
    if let Kind::Udp(s) = h.kind(id)? {
        let (handle, on) = (s.handle, a.bool()?);
        h.stack.udp_set(handle, UdpSet::CountDrops(on));
    }
    Ok(())
}

/// `SO_PEERNAME`: getpeername(2)'s answer, of which no more may be asked for than there is.
pub(super) fn get_peername(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let name = h.getpeername(id).map_err(|_| Errno::ENOTCONN)?;
    let mut bytes = [0; SOCKADDR_STORAGE_SIZE];
    let len = name.encode(&mut bytes);
    let name = &bytes[..len];
    if name.len() < a.len {
        return Err(Errno::EINVAL);
    }
    Ok(OptValue::bytes(name, a))
}

/// `SO_NETNS_COOKIE`: the first network namespace that was asked for its number has 1, and a virtual
/// host is one. No other length than the number's is taken.
pub(super) fn get_netns_cookie(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    if a.len != 8 {
        return Err(Errno::EINVAL);
    }
    Ok(OptValue::bytes(&1u64.to_ne_bytes(), a))
}

/// The two widths of a `timeval`: `old` follows the caller's word, new is always 64-bit.
fn timeval_size(old: bool, word: Word) -> usize {
    if old { word.old_time_size() } else { 16 }
}

fn put_timeout(timeout: Option<Duration>, old: bool, a: &GetArg) -> OptValue {
    let timeout = timeout.unwrap_or_default();
    let (sec, usec) = (timeout.as_secs(), u64::from(timeout.subsec_micros()));
    let mut bytes = [0; 16];
    let size = timeval_size(old, a.word);
    if size == 16 {
        bytes[..8].copy_from_slice(&sec.to_ne_bytes());
        bytes[8..].copy_from_slice(&usec.to_ne_bytes());
    } else {
        bytes[..4].copy_from_slice(&(sec as u32).to_ne_bytes());
        bytes[4..8].copy_from_slice(&(usec as u32).to_ne_bytes());
    }
    OptValue::bytes(&bytes[..size], a)
}

/// sock_set_timeout(): zero is for ever, a negative time is none at all, and what is between is
/// rounded up to clock ticks.
fn take_timeout(old: bool, a: &SetArg<'_>) -> Result<Option<Duration>, Errno> {
    let size = timeval_size(old, a.word);
    let raw = a.bytes(size)?;
    let word = if size == 16 { Word::Lp64 } else { Word::Ilp32 };
    let (sec, usec) = (word.read_long(raw, 0), word.read_long(raw, size / 2));
    if !(0..1_000_000).contains(&usec) {
        return Err(Errno::EDOM);
    }
    if sec < 0 {
        return Ok(Some(Duration::ZERO));
    }
    if sec == 0 && usec == 0 {
        return Ok(None);
    }
    // Beyond MAX_SCHEDULE_TIMEOUT: for ever.
    if sec >= i64::MAX / 250 - 1 {
        return Ok(None);
    }
    let ticks = (usec as u64).div_ceil(TICK.as_micros() as u64);
    Ok(Some(Duration::from_secs(sec as u64) + TICK * ticks as u32))
}

macro_rules! timeout {
    ($get:ident, $set:ident, $field:ident, $old:literal) => {
        pub(super) fn $get(
            h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            Ok(put_timeout(h.get(id)?.common.$field, $old, a))
        }

        pub(super) fn $set(
            h: &mut Host,
            _: &mut Cx<'_>,
            id: SocketId,
            a: &SetArg<'_>,
        ) -> Result<(), Errno> {
            let timeout = take_timeout($old, a)?;
            h.get_mut(id)?.common.$field = timeout;
            Ok(())
        }
    };
}

timeout!(get_rcvtimeo_old, set_rcvtimeo_old, rcvtimeo, true);
timeout!(get_rcvtimeo_new, set_rcvtimeo_new, rcvtimeo, false);
timeout!(get_sndtimeo_old, set_sndtimeo_old, sndtimeo, true);
timeout!(get_sndtimeo_new, set_sndtimeo_new, sndtimeo, false);
