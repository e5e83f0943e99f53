//! `IPV6_FLOWLABEL_MGR` and `IPV6_AUTOFLOWLABEL`.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::inet::InetFlags;
use crate::inet::flow_label::LabelRequest;
use crate::table::SocketId;
use core::net::Ipv6Addr;
use switchboard_abi::Errno;

/// `sizeof(struct in6_flowlabel_req)`
const REQUEST: usize = 32;
/// `IPV6_FL_F_REMOTE`: what the peer sends with.
const REMOTE: u16 = 8;

fn read(b: &[u8]) -> LabelRequest {
    let half = |at: usize| u16::from_ne_bytes([b[at], b[at + 1]]);
    let dst = <[u8; 16]>::try_from(&b[..16]).unwrap_or_default();
    LabelRequest {
        dst: Ipv6Addr::from(dst),
        label: u32::from_be_bytes([b[16], b[17], b[18], b[19]]),
        action: b[20],
        share: b[21],
        flags: half(22),
        expires: half(24),
        linger: half(26),
    }
}

/// `setsockopt(fd, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, ...)`: leases a label, gives it back, renews it.
pub(super) fn set(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let request = read(a.bytes(REQUEST)?);
    // fl_create()
    if a.len > REQUEST + (64 << 10) {
        return Err(Errno::EINVAL);
    }
    let options = match request.action {
        0 => &a.bytes(a.len)?[REQUEST..],
        _ => &[],
    };
    h.flow_label_request(cx, id, &request, options)
}

/// `getsockopt(fd, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, ...)`: the label of the connection.
pub(super) fn get(h: &Host, cx: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let request = read(a.given(REQUEST)?);
    // IPV6_FL_A_GET
    if request.action != 0 {
        return Err(Errno::EINVAL);
    }
    let mut out = [0; REQUEST];
    if request.flags & REMOTE == 0 {
        let (label, lease, left) = h.flow_label_of(cx, id)?;
        out[..16].copy_from_slice(&lease.dst.octets());
        out[16..20].copy_from_slice(&label.to_be_bytes());
        out[21] = lease.share;
        out[24..26].copy_from_slice(&(left as u16).to_ne_bytes());
        out[26..28].copy_from_slice(&(lease.linger.as_secs() as u16).to_ne_bytes());
    }
    Ok(OptValue::whole(out.to_vec()))
}

/// `IPV6_AUTOFLOWLABEL`: what net.ipv6.auto_flowlabels says until it is set.
pub(super) fn get_auto(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let on = h.auto_flow_label(h.inet_options(id)?);
    Ok(OptValue::bool(on, a))
}

/// Less than an `int` is 0.
pub(super) fn set_auto(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = a.len >= 4 && a.bool()?;
    let flags = &mut h.inet_options_mut(id)?.flags;
    flags.insert(InetFlags::AUTOFLOWLABEL_SET);
    flags.set(InetFlags::AUTOFLOWLABEL, on);
    Ok(())
}
