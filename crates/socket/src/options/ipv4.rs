//! `IPPROTO_IP`, ip(7): what is an `int`, or a single byte.

use super::ip::{int_or_byte, put};
use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::inet::InetFlags;
use crate::inet::raw::Datagram;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::vec::Vec;
use core::net::SocketAddr;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_engine::{IfIndex, TcpSet};

/// Reads a boolean option.
pub(super) fn get_flag<const FLAG: u64>(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let flag = InetFlags::from_bits_retain(FLAG);
    Ok(put(i32::from(h.inet_options(id)?.has(flag)), a))
}

fn store(h: &mut Host, id: SocketId, flag: u64, on: bool) -> Result<(), Errno> {
    let flag = InetFlags::from_bits_retain(flag);
    h.inet_options_mut(id)?.flags.set(flag, on);
    h.inet_flags_changed(id);
    Ok(())
}

/// Sets a boolean option that takes any value for true, and no value for false.
pub(super) fn set_flag<const FLAG: u64>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    store(h, id, FLAG, int_or_byte(a)? != 0)
}

/// The same of an option that needs a value.
pub(super) fn set_given<const FLAG: u64>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = int_or_byte(a)? != 0;
    if a.len == 0 {
        return Err(Errno::EINVAL);
    }
    store(h, id, FLAG, on)
}

/// The same of an option that takes 0 and 1 only.
pub(super) fn set_strict<const FLAG: u64>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match int_or_byte(a)? {
        value @ (0 | 1) => store(h, id, FLAG, value == 1),
        _ => Err(Errno::EINVAL),
    }
}

/// `IP_MULTICAST_ALL` takes 0 and 1, and needs a value.
pub(super) fn set_multicast_all(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len == 0 {
        return Err(Errno::EINVAL);
    }
    set_strict::<{ InetFlags::MULTICAST_ALL.bits() }>(h, cx, id, a)
}

/// `IP_RECVERR`: who does not want errors any more loses those that wait.
pub(super) fn set_recverr(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_flag::<{ InetFlags::RECVERR.bits() }>(h, cx, id, a)?;
    h.purge_errors(id, InetFlags::RECVERR)
}

/// `IP_RECVFRAGSIZE`: a stream has no datagrams.
pub(super) fn set_recvfragsize(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = int_or_byte(a);
    if matches!(h.kind(id)?, Kind::Tcp(_)) {
        value?;
        return Err(Errno::EINVAL);
    }
    set_flag::<{ InetFlags::RECVFRAGSIZE.bits() }>(h, cx, id, a)
}

/// `IP_NODEFRAG` is for raw sockets.
pub(super) fn set_nodefrag(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    int_or_byte(a)?;
    if matches!(h.kind(id)?, Kind::Tcp(_)) || h.datagram(id) != Datagram::Raw {
        return Err(Errno::ENOPROTOOPT);
    }
    set_flag::<{ InetFlags::NODEFRAG.bits() }>(h, cx, id, a)
}

/// Who may pretend to be another host.
pub(super) fn may_be_transparent(cx: &Cx<'_>) -> bool {
    cx.cred.caps.intersects(Caps::NET_RAW | Caps::NET_ADMIN)
}

/// `IP_TRANSPARENT`: switching it off is everyone's.
pub(super) fn set_transparent(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if int_or_byte(a)? != 0 && !may_be_transparent(cx) {
        return Err(Errno::EPERM);
    }
    set_given::<{ InetFlags::TRANSPARENT.bits() }>(h, cx, id, a)
}

pub(super) fn get_discover(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(put(i32::from(h.inet_options(id)?.discover), a))
}

/// `IP_PMTUDISC_DONT` to `IP_PMTUDISC_OMIT`.
pub(super) fn set_discover(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match int_or_byte(a)? {
        value @ 0..=5 => h.inet_options_mut(id)?.discover = value as u8,
        _ => return Err(Errno::EINVAL),
    }
    h.inet_flags_changed(id);
    Ok(())
}

pub(super) fn get_minttl(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(put(
        h.inet_options(id)?.rare(|rare| i32::from(rare.min_ttl)),
        a,
    ))
}

/// `IP_MINTTL`, RFC 5082: a connection hears nobody who is further away.
pub(super) fn set_minttl(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = int_or_byte(a)?;
    if a.len == 0 {
        return Err(Errno::EINVAL);
    }
    let ttl = u8::try_from(value).map_err(|_| Errno::EINVAL)?;
    h.inet_options_mut(id)?.rare_mut().min_ttl = ttl;
    if let Kind::Tcp(s) = h.kind(id)? {
        let handle = s.handle;
        h.stack.tcp_set(cx.now, handle, TcpSet::MinTtl(ttl));
    }
    Ok(())
}

/// What the path to the peer takes, of a socket that has one.
pub(super) fn path_mtu(h: &Host, id: SocketId) -> Result<(u32, SocketAddr), Errno> {
    let peer = match h.kind(id)? {
        // The way stays when the connection is gone (sk_dst_cache).
        Kind::Tcp(s) => {
            let ip = h.stack.tcp_destination(s.handle);
            ip.map(|ip| SocketAddr::new(ip, 0))
        }
        Kind::Udp(s) => h.stack.udp_peer(s.handle),
        _ => None,
    };
    let peer = peer.ok_or(Errno::ENOTCONN)?;
    let route = h.stack.route(peer.ip(), None, None);
    let mtu = route.map_err(|_| Errno::ENOTCONN)?.mtu;
    Ok((mtu, peer))
}

/// `IP_MTU`: IPv4 counts no more than its length field does.
pub(super) fn get_mtu(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let (mtu, peer) = path_mtu(h, id)?;
    let mtu = if peer.is_ipv4() { mtu.min(0xffff) } else { mtu };
    Ok(put(mtu as i32, a))
}

/// The index in network byte order, as both levels have it.
pub(super) fn unicast_if(h: &Host, id: SocketId, a: &SetArg<'_>) -> Result<Option<IfIndex>, Errno> {
    let value = a.int()?;
    if a.len != 4 {
        return Err(Errno::EINVAL);
    }
    let index = IfIndex::new(u32::from_be(value as u32));
    if let Some(index) = index {
        h.stack.interface(index).ok_or(Errno::EADDRNOTAVAIL)?;
        if h.bound_device(id).is_some() {
            return Err(Errno::EINVAL);
        }
    }
    Ok(index)
}

pub(super) fn show_index(index: Option<IfIndex>) -> i32 {
    index.map_or(0, IfIndex::get).to_be() as i32
}

pub(super) fn get_unicast_if(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(put(
        show_index(h.inet_options(id)?.rare(|rare| rare.unicast_if)),
        a,
    ))
}

pub(super) fn set_unicast_if(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    int_or_byte(a)?;
    let index = unicast_if(h, id, a)?;
    h.inet_options_mut(id)?.rare_mut().unicast_if = index;
    Ok(())
}

pub(super) fn get_port_range(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(put(
        h.inet_options(id)?.rare(|rare| rare.port_range as i32),
        a,
    ))
}

/// `IP_LOCAL_PORT_RANGE`: the lowest port in the lower half, the highest in the upper; zero is no bound.
pub(super) fn set_port_range(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = int_or_byte(a)? as u32;
    let (low, high) = (value & 0xffff, value >> 16);
    if a.len != 4 || (low != 0 && high != 0 && low > high) {
        return Err(Errno::EINVAL);
    }
    h.inet_options_mut(id)?.rare_mut().port_range = value;
    h.inet_flags_changed(id);
    Ok(())
}

/// `IP_PROTOCOL`: inet_num, which is a raw socket's protocol and another's port.
pub(super) fn get_protocol(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let number = match h.kind(id)? {
        Kind::Tcp(s) => h.stack.tcp_local(s.handle).map_or(0, |local| local.port()),
        Kind::Udp(_) if h.datagram(id) == Datagram::Raw => h.get(id)?.common.protocol,
        Kind::Udp(s) => h.stack.udp_local(s.handle).port(),
        _ => 0,
    };
    Ok(put(i32::from(number), a))
}

/// `IP_ROUTER_ALERT`: of a raw socket, which may ask for it once. Packets that are forwarded are not shown to it.
pub(super) fn set_router_alert(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = int_or_byte(a)? != 0;
    let raw = h.datagram(id) == Datagram::Raw && matches!(h.kind(id)?, Kind::Udp(_));
    if !raw || i32::from(h.get(id)?.common.protocol) == IPPROTO_RAW {
        return Err(Errno::EINVAL);
    }
    ask_once(h, id, InetFlags::ROUTER_ALERT, on)
}

/// ip_ra_control(), ip6_ra_control(): asking twice is EADDRINUSE, and giving up what one has not ENOBUFS.
pub(super) fn ask_once(h: &mut Host, id: SocketId, flag: InetFlags, on: bool) -> Result<(), Errno> {
    let options = h.inet_options_mut(id)?;
    match (options.has(flag), on) {
        (true, true) => Err(Errno::EADDRINUSE),
        (false, false) => Err(Errno::ENOBUFS),
        _ => {
            options.flags.set(flag, on);
            Ok(())
        }
    }
}

/// `IP_IPSEC_POLICY`, `IP_XFRM_POLICY` and IPv6's, xfrm_user_policy(): there are no policies here.
/// Nobody answers to PF_KEY's form (`ipsec`), nor to the other one where an IPv6 socket asks for one of IPv4.
fn set_policy(
    h: &Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
    ipsec: bool,
) -> Result<(), Errno> {
    if !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    let v6 = i32::from(h.get(id)?.common.domain) == AF_INET6;
    read_policy(
        a,
        if ipsec || v6 {
            Errno::EOPNOTSUPP
        } else {
            Errno::EINVAL
        },
    )
}

/// xfrm_user_policy(): nothing at all takes the socket's policies away, which has none; one that is given is read and then
/// `refused`.
fn read_policy(a: &SetArg<'_>, refused: Errno) -> Result<(), Errno> {
    /// PAGE_SIZE
    const MOST: usize = 4096;
    match a.len {
        0 if a.null => Ok(()),
        1..=MOST if a.raw.len() < a.len => Err(Errno::EFAULT),
        // Nobody translates it (CONFIG_XFRM_USER_COMPAT).
        1..=MOST if a.word == Word::Ilp32 => Err(Errno::EOPNOTSUPP),
        1..=MOST => Err(refused),
        _ => Err(Errno::EMSGSIZE),
    }
}

pub(super) fn set_ipsec_policy(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_policy(h, cx, id, a, true)
}

pub(super) fn set_xfrm_policy(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_policy(h, cx, id, a, false)
}

/// `IPV6_XFRM_POLICY`.
pub(super) fn set_xfrm_policy6(
    _: &mut Host,
    cx: &mut Cx<'_>,
    _: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    match cx.cred.caps.contains(Caps::NET_ADMIN) {
        false => Err(Errno::EPERM),
        true => read_policy(a, Errno::EINVAL),
    }
}

/// `IP_PKTOPTIONS`: of a stream, what the last packet would have told a datagram socket.
pub(super) fn get_pktoptions(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let Kind::Tcp(s) = h.kind(id)? else {
        return Err(Errno::ENOPROTOOPT);
    };
    let options = &s.inet;
    let mut out = Vec::new();
    let mut put = |kind: i32, data: &[u8]| super::put_control(&mut out, a, SOL_IP, kind, data);
    if options.pktinfo {
        let local = match h.stack.tcp_local(s.handle).map(|local| local.ip()) {
            Some(core::net::IpAddr::V4(ip)) => ip.octets(),
            _ => [0; 4],
        };
        let mut data = [0; 12];
        data[4..8].copy_from_slice(&local);
        data[8..].copy_from_slice(&local);
        put(IP_PKTINFO, &data);
    }
    if options.has(InetFlags::RECVTTL) {
        put(IP_TTL, &i32::from(options.multicast_ttl).to_ne_bytes());
    }
    if options.has(InetFlags::RECVTOS) {
        put(IP_TOS, &0i32.to_ne_bytes());
    }
    Ok(OptValue::whole(out))
}
