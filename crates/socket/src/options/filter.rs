//! Filters, as options: what of them is not a pointer. See [`Host::attach`] for what is.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::filter::FilterProgram;
use crate::host::Host;
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_bpf::classic::{self, Insn};

/// A program that lies in the caller's memory, or behind a descriptor of the caller's: the value
/// alone names nothing.
pub(super) fn set_by_address(
    _: &mut Host,
    _: &mut Cx<'_>,
    _: SocketId,
    _: &SetArg<'_>,
) -> Result<(), Errno> {
    Err(Errno::EFAULT)
}

pub(super) fn set_detach(
    host: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    _: &SetArg<'_>,
) -> Result<(), Errno> {
    host.detach_filter(id)
}

pub(super) fn set_detach_group(
    host: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    _: &SetArg<'_>,
) -> Result<(), Errno> {
    host.detach_group_filter(id)
}

pub(super) fn get_lock(
    host: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::bool(host.filter_is_locked(id)?, a))
}

/// There is no way back.
pub(super) fn set_lock(
    host: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.bool()?;
    if host.filter_is_locked(id)? && !on {
        return Err(Errno::EPERM);
    }
    if on {
        host.get_mut(id)?
            .common
            .filter
            .get_or_insert_default()
            .locked = true;
    }
    Ok(())
}

pub(super) fn get_extensions(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(classic::EXTENSIONS, a))
}

/// sk_get_filter(): lengths count instructions. With no room it only tells how many there are.
pub(super) fn get_filter(
    host: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let mut value = OptValue::bytes(&[], a);
    value.count = Some(0);
    let state = host.get(id)?.common.filter.as_ref();
    let Some(program) = state.and_then(|state| state.program.as_deref()) else {
        return Ok(value);
    };
    let FilterProgram::Classic(program) = program else {
        // It was never classic.
        return Err(Errno::EACCES);
    };
    let insns = program.insns();
    value.count = Some(insns.len() as u32);
    if a.len == 0 {
        return Ok(value);
    }
    if a.len < insns.len() {
        return Err(Errno::EINVAL);
    }
    value.bytes = insns.iter().copied().flat_map(Insn::to_bytes).collect();
    Ok(value)
}
