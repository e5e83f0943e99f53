//! `IPPROTO_IPV6`, ipv6(7): options that are an `int`.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::inet::InetFlags;
use crate::table::SocketId;
use switchboard_abi::Errno;

/// Reads a boolean option.
pub(super) fn get_flag<const FLAG: u64>(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let flag = InetFlags::from_bits_retain(FLAG);
    Ok(OptValue::bool(h.inet_options(id)?.flags.contains(flag), a))
}

/// Sets a boolean option that takes any value for true.
pub(super) fn set_flag<const FLAG: u64>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.bool()?;
    let flag = InetFlags::from_bits_retain(FLAG);
    h.inet_options_mut(id)?.flags.set(flag, on);
    h.inet_flags_changed(id);
    Ok(())
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
