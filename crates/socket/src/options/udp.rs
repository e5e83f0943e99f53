//! `IPPROTO_UDP`, udp(7).

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_engine::UdpSet;

macro_rules! getter {
    ($name:ident, |$o:ident| $value:expr) => {
        pub(super) fn $name(
            h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            let $o = &h.udp(id)?.offload;
            Ok(OptValue::int(i32::from($value), a))
        }
    };
}

getter!(get_cork, |o| o.cork);
getter!(get_segment, |o| o.segment);
getter!(get_gro, |o| o.gro);
getter!(get_no_check_tx, |o| o.no_check_tx);
getter!(get_no_check_rx, |o| o.no_check_rx);
getter!(get_encap, |_o| 0u8);

pub(super) fn set_cork(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    h.udp_set_cork(cx, id, a.bool()?)
}

/// A size of 16 bits; 0 is off.
pub(super) fn set_segment(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let size = u16::try_from(a.int()?).map_err(|_| Errno::EINVAL)?;
    h.udp_mut(id)?.offload.segment = size;
    Ok(())
}

pub(super) fn set_gro(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.bool()?;
    let s = h.udp_mut(id)?;
    s.offload.gro = on;
    let handle = s.handle;
    h.stack.udp_set(handle, UdpSet::Gro(on));
    Ok(())
}

pub(super) fn set_no_check_tx(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    h.udp_mut(id)?.offload.no_check_tx = a.bool()?;
    Ok(())
}

pub(super) fn set_no_check_rx(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.bool()?;
    let s = h.udp_mut(id)?;
    s.offload.no_check_rx = on;
    let handle = s.handle;
    h.stack.udp_set(handle, UdpSet::NoCheck6(on));
    Ok(())
}

/// `UDPLITE_SEND_CSCOV`; a UDP socket shows 0.
pub(super) fn get_send_coverage(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let (sent, _) = h.stack.udplite_coverage(h.udp(id)?.handle);
    Ok(OptValue::int(i32::from(sent), a))
}

/// `UDPLITE_RECV_CSCOV`; a UDP socket shows 0.
pub(super) fn get_wanted_coverage(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let (_, wanted) = h.stack.udplite_coverage(h.udp(id)?.handle);
    Ok(OptValue::int(i32::from(wanted), a))
}

/// RFC 3828, 3.1: the header is covered always; what is out of range is brought into it.
fn coverage(a: &SetArg<'_>) -> Result<u16, Errno> {
    Ok(match a.int()? {
        0 => 0,
        bytes => bytes.clamp(8, 0xffff) as u16,
    })
}

pub(super) fn set_send_coverage(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let handle = h.udp(id)?.handle;
    let set = h.stack.udplite_cover_sent(handle, coverage(a)?);
    set.then_some(()).ok_or(Errno::ENOPROTOOPT)
}

pub(super) fn set_wanted_coverage(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let handle = h.udp(id)?.handle;
    let set = h.stack.udplite_want_covered(handle, coverage(a)?);
    set.then_some(()).ok_or(Errno::ENOPROTOOPT)
}

/// No encapsulation is known, as in a kernel without IPsec and L2TP.
pub(super) fn set_encap(
    _: &mut Host,
    _: &mut Cx<'_>,
    _: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match a.int()? {
        0 => Ok(()),
        _ => Err(Errno::ENOPROTOOPT),
    }
}
