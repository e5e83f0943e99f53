//! `SOL_NETLINK`, netlink(7).

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::netlink::NetlinkFlags;
use crate::table::SocketId;
use switchboard_abi::Errno;

/// netlink_setsockopt(): fewer bytes than an `int` are zero.
fn int_or_zero(a: &SetArg<'_>) -> Result<i32, Errno> {
    if a.len < 4 { Ok(0) } else { a.int() }
}

macro_rules! flag {
    ($get:ident, $set:ident, $flag:ident) => {
        pub(super) fn $get(
            h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            if a.len < 4 {
                return Err(Errno::EINVAL);
            }
            let on = h.netlink(id)?.flags.contains(NetlinkFlags::$flag);
            Ok(OptValue::bool(on, a))
        }

        pub(super) fn $set(
            h: &mut Host,
            _: &mut Cx<'_>,
            id: SocketId,
            a: &SetArg<'_>,
        ) -> Result<(), Errno> {
            let on = int_or_zero(a)? != 0;
            h.netlink_mut(id)?.flags.set(NetlinkFlags::$flag, on);
            Ok(())
        }
    };
}

flag!(get_pktinfo, set_pktinfo, PKTINFO);
flag!(get_broadcast_error, set_broadcast_error, BROADCAST_ERROR);
flag!(get_no_enobufs, set_no_enobufs_flag, NO_ENOBUFS);
flag!(get_cap_ack, set_cap_ack, CAP_ACK);
flag!(get_ext_ack, set_ext_ack, EXT_ACK);
flag!(get_strict, set_strict, STRICT);
flag!(get_listen_all, set_listen_all_flag, LISTEN_ALL_NSID);

/// `NETLINK_NO_ENOBUFS` forgets what was lost.
pub(super) fn set_no_enobufs(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_no_enobufs_flag(h, cx, id, a)?;
    if h.netlink(id)?.flags.contains(NetlinkFlags::NO_ENOBUFS) {
        h.netlink_mut(id)?.forget_overrun();
    }
    Ok(())
}

/// `NETLINK_LISTEN_ALL_NSID`: for CAP_NET_BROADCAST. A virtual host is the only one that its sockets can hear.
pub(super) fn set_listen_all(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len >= 4 {
        a.int()?;
    }
    if !cx.cred.caps.contains(Caps::NET_BROADCAST) {
        return Err(Errno::EPERM);
    }
    set_listen_all_flag(h, cx, id, a)
}

pub(super) fn set_add(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let group = int_or_zero(a)? as u32;
    h.netlink_join(cx, id, group, true)
}

pub(super) fn set_drop(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let group = int_or_zero(a)? as u32;
    h.netlink_join(cx, id, group, false)
}

/// The words that fit; the length says how many there are in all.
pub(super) fn get_memberships(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let all = h.netlink(id)?.memberships();
    let fits = all.len().min(a.len) / 4 * 4;
    let mut value = OptValue::whole(all[..fits].to_vec());
    value.count = Some(all.len() as u32);
    Ok(value)
}
