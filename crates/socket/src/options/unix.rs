//! What unix(7) has of `SOL_SOCKET`: which control messages a socket takes, and who its peer is.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;

/// Of AF_UNIX alone.
fn only_unix(h: &Host, id: SocketId) -> Result<(), Errno> {
    match h.kind(id)? {
        Kind::Unix(_) => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn get(h: &Host, id: SocketId, a: &GetArg, flag: CommonFlags) -> Result<OptValue, Errno> {
    only_unix(h, id)?;
    Ok(OptValue::bool(h.get(id)?.common.has(flag), a))
}

fn set(h: &mut Host, id: SocketId, a: &SetArg<'_>, flag: CommonFlags) -> Result<(), Errno> {
    let on = a.int()? != 0;
    only_unix(h, id)?;
    h.get_mut(id)?.common.flags.set(flag, on);
    Ok(())
}

pub(super) fn get_passpidfd(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    get(h, id, a, CommonFlags::PASSPIDFD)
}

pub(super) fn set_passpidfd(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set(h, id, a, CommonFlags::PASSPIDFD)
}

/// `SO_INQ`: of streams, which tell with each receive how much is left (unix_setsockopt()).
pub(super) fn set_inq(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match h.kind(id)? {
        Kind::Unix(unix) if unix.is_stream() => {}
        _ => return Err(Errno::ENOPROTOOPT),
    }
    let on = match (a.len, a.int()?) {
        (4, value @ (0 | 1)) => value == 1,
        _ => return Err(Errno::EINVAL),
    };
    h.get_mut(id)?.common.flags.set(CommonFlags::INQ, on);
    Ok(())
}

/// `SO_PASSSEC`: without a security module there is no context to pass.
pub(super) fn get_passsec(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    may_passsec(h, id)?;
    let on = h.get(id)?.common.has(CommonFlags::PASSSEC);
    Ok(OptValue::bool(on, a))
}

pub(super) fn set_passsec(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.int()? != 0;
    may_passsec(h, id)?;
    h.get_mut(id)?.common.flags.set(CommonFlags::PASSSEC, on);
    Ok(())
}

/// sk_may_scm_recv(): of AF_NETLINK too.
fn may_passsec(h: &Host, id: SocketId) -> Result<(), Errno> {
    match h.kind(id)? {
        Kind::Unix(_) | Kind::Netlink(_) => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// `SO_PASSRIGHTS`: on from the start.
pub(super) fn get_passrights(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    only_unix(h, id)?;
    let refused = h.get(id)?.common.has(CommonFlags::NO_PASSRIGHTS);
    Ok(OptValue::bool(!refused, a))
}

pub(super) fn set_passrights(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.int()? != 0;
    only_unix(h, id)?;
    let flags = &mut h.get_mut(id)?.common.flags;
    flags.set(CommonFlags::NO_PASSRIGHTS, !on);
    Ok(())
}

/// `SO_PEERPIDFD`: `ENODATA` without a peer.
pub(super) fn get_peerpidfd(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let peer = h.unix_peer(id).ok_or(Errno::ENODATA)?;
    Ok(OptValue {
        pidfd: Some(peer.ucred.pid),
        ..OptValue::int(0, a)
    })
}

/// `SO_PEERGROUPS`: `ERANGE`, and how much room it takes, where there is too little.
pub(super) fn get_peergroups(
    h: &Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let peer = h.unix_peer(id).ok_or(Errno::ENODATA)?;
    let bytes: Vec<u8> = peer
        .groups
        .iter()
        .flat_map(|gid| cx.cred.group_seen(*gid).to_ne_bytes())
        .collect();
    let wanted = (a.len < bytes.len()).then_some(bytes.len());
    Ok(OptValue {
        wanted,
        wanted_errno: Errno::ERANGE,
        ..OptValue::bytes(&bytes, a)
    })
}

/// `SO_PEERSEC`: as on a kernel without a security module.
pub(super) fn get_peersec(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    _: &GetArg,
) -> Result<OptValue, Errno> {
    Err(Errno::ENOPROTOOPT)
}
