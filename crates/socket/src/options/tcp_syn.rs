//! tcp(7): what concerns SYNs. TCP_SAVE_SYN and TCP_SAVED_SYN.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_engine::TcpSet;

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
        takes_syn: true,
        ..OptValue::bytes(headers, a)
    })
}
