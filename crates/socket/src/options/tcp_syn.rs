//! tcp(7): what concerns SYNs. TCP_SAVE_SYN, TCP_SAVED_SYN and TCP_FASTOPEN with its kin.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_engine::{State, TcpSet};

pub(super) fn get_save_syn(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let handle = h.tcp(id)?.handle;
    let how = h.stack.tcp_options(handle).save_syn;
    Ok(OptValue::int(i32::from(how), a))
}

/// 1: from the network header on; 2: from the link header on.
pub(super) fn set_save_syn(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let how = u8::try_from(a.int()?)
        .ok()
        .filter(|how| *how <= 2)
        .ok_or(Errno::EINVAL)?;
    let handle = h.tcp(id)?.handle;
    h.stack.tcp_set(cx.now, handle, TcpSet::SaveSyn(how));
    Ok(())
}

/// Told once; a caller without room for all of it learns how much it is, and may ask again.
pub(super) fn get_saved_syn(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let handle = h.tcp(id)?.handle;
    let Some(headers) = h.stack.tcp_saved_syn(handle) else {
        return Ok(OptValue::bytes(&[], a));
    };
    if a.len < headers.len() {
        return Ok(OptValue {
            wanted: Some(headers.len()),
            ..OptValue::bytes(&[], a)
        });
    }
    Ok(OptValue {
        takes: true,
        ..OptValue::bytes(headers, a)
    })
}

macro_rules! getter {
    ($name:ident, $field:ident) => {
        pub(super) fn $name(
            h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            let handle = h.tcp(id)?.handle;
            Ok(OptValue::int(h.stack.tcp_options(handle).$field as i32, a))
        }
    };
}

getter!(get_fastopen, fastopen_queue);
getter!(get_fastopen_connect, fastopen_connect);
getter!(get_no_cookie, fastopen_no_cookie);

fn flag(a: &SetArg<'_>) -> Result<bool, Errno> {
    match a.int()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}

/// How many fast connections may wait for the end of their handshake.
pub(super) fn set_fastopen(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let queue = u32::try_from(a.int()?).map_err(|_| Errno::EINVAL)?;
    let handle = h.tcp(id)?.handle;
    if !matches!(h.stack.tcp_state(handle), State::Close | State::Listen) {
        return Err(Errno::EINVAL);
    }
    let queue = queue.min(h.stack.sysctl().somaxconn);
    h.stack
        .tcp_set(cx.now, handle, TcpSet::FastOpenQueue(queue));
    Ok(())
}

pub(super) fn set_fastopen_connect(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = flag(a)?;
    if !h.stack.tcp_fastopen_allowed() {
        return Err(Errno::EOPNOTSUPP);
    }
    let handle = h.tcp(id)?.handle;
    if h.stack.tcp_state(handle) != State::Close {
        return Err(Errno::EINVAL);
    }
    h.stack.tcp_set(cx.now, handle, TcpSet::FastOpenConnect(on));
    Ok(())
}

pub(super) fn set_no_cookie(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = flag(a)?;
    let handle = h.tcp(id)?.handle;
    if !matches!(h.stack.tcp_state(handle), State::Close | State::Listen) {
        return Err(Errno::EINVAL);
    }
    h.stack
        .tcp_set(cx.now, handle, TcpSet::FastOpenNoCookie(on));
    Ok(())
}

/// One key of 16 bytes, or with it an older one that is still good.
pub(super) fn set_fastopen_key(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if !matches!(a.len, 16 | 32) {
        return Err(Errno::EINVAL);
    }
    let raw = a.bytes(a.len)?;
    let key = |at: usize| <[u8; 16]>::try_from(&raw[at..at + 16]).unwrap_or_default();
    let keys = (key(0), (a.len == 32).then(|| key(16)));
    let handle = h.tcp(id)?.handle;
    h.stack.tcp_set(cx.now, handle, TcpSet::FastOpenKey(keys));
    Ok(())
}

pub(super) fn get_fastopen_key(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let mut bytes = Vec::new();
    if let Some((key, older)) = h.stack.tcp_fastopen_keys(h.tcp(id)?.handle) {
        bytes.extend_from_slice(&key);
        bytes.extend(older.into_iter().flatten());
    }
    Ok(OptValue::bytes(&bytes, a))
}
