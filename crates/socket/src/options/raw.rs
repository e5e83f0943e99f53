//! `SOL_RAW`, `SOL_ICMPV6` and what of `IPPROTO_IP` and `IPPROTO_IPV6` is for raw sockets: raw(7),
//! icmp(7), ipv6(7), RFC 3542.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::RawSettings;

fn settings(h: &Host, id: SocketId) -> Result<(i32, &RawSettings), Errno> {
    let handle = h.udp(id)?.handle;
    let (protocol, settings) = h.stack.raw_settings(handle).ok_or(Errno::ENOPROTOOPT)?;
    Ok((i32::from(protocol), settings))
}

fn settings_mut(h: &mut Host, id: SocketId) -> Result<&mut RawSettings, Errno> {
    let handle = h.udp(id).map_err(|_| Errno::ENOPROTOOPT)?.handle;
    h.stack.raw_settings_mut(handle).ok_or(Errno::ENOPROTOOPT)
}

fn is_v6(h: &Host, id: SocketId) -> Result<bool, Errno> {
    Ok(i32::from(h.get(id)?.common.domain) == AF_INET6)
}

/// IPv6's options at SOL_RAW and SOL_IPV6 are those of a raw IPv6 socket.
fn only_v6(h: &Host, id: SocketId) -> Result<(), Errno> {
    if is_v6(h, id)? {
        Ok(())
    } else {
        Err(Errno::ENOPROTOOPT)
    }
}

pub(super) fn get_hdrincl(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    // Every socket has the bit, a raw one sets it.
    let on = settings(h, id).is_ok_and(|(_, settings)| settings.header_included);
    Ok(super::ip::put(i32::from(on), a))
}

pub(super) fn set_hdrincl(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = super::ip::int_or_byte(a)? != 0;
    settings_mut(h, id)?.header_included = on;
    Ok(())
}

pub(super) fn get_hdrincl6(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    only_v6(h, id)?;
    Ok(OptValue::bool(settings(h, id)?.1.header_included, a))
}

pub(super) fn set_hdrincl6(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    only_v6(h, id)?;
    let on = a.bool()?;
    settings_mut(h, id)?.header_included = on;
    Ok(())
}

pub(super) fn get_checksum(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    only_v6(h, id)?;
    let at = settings(h, id)?.1.checksum;
    Ok(OptValue::int(at.map_or(-1, |at| at as i32), a))
}

/// RFC 3542, 3.1: not for ICMPv6, whose checksum has its place.
pub(super) fn set_checksum(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    only_v6(h, id)?;
    let _ = a.int()?;
    if settings(h, id)?.0 == IPPROTO_ICMPV6 {
        return Err(Errno::EINVAL);
    }
    set_checksum_raw(h, cx, id, a)
}

pub(super) fn set_checksum_raw(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    only_v6(h, id)?;
    let at = a.int()?;
    // "You may get strange result with a positive odd offset."
    if at > 0 && at & 1 != 0 {
        return Err(Errno::EINVAL);
    }
    settings_mut(h, id)?.checksum = u32::try_from(at).ok();
    Ok(())
}

/// Both filters: whose they are, then as many bytes as the caller has.
pub(super) fn only_protocol(h: &Host, id: SocketId, protocol: i32) -> Result<(), Errno> {
    if settings(h, id)?.0 == protocol {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// `SOL_RAW` of a raw IPv6 socket has IPv6's options and no filter.
fn only_v4(h: &Host, id: SocketId) -> Result<(), Errno> {
    if is_v6(h, id)? {
        Err(Errno::ENOPROTOOPT)
    } else {
        Ok(())
    }
}

pub(super) fn get_icmp_filter(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    only_v4(h, id)?;
    only_protocol(h, id, IPPROTO_ICMP)?;
    let filter = settings(h, id)?.1.icmp_filter;
    Ok(OptValue::bytes(&filter.to_ne_bytes(), a))
}

pub(super) fn set_icmp_filter(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    only_v4(h, id)?;
    only_protocol(h, id, IPPROTO_ICMP)?;
    let new = a.bytes(a.len.min(4))?;
    let mut bytes = settings(h, id)?.1.icmp_filter.to_ne_bytes();
    bytes[..new.len()].copy_from_slice(new);
    settings_mut(h, id)?.icmp_filter = u32::from_ne_bytes(bytes);
    Ok(())
}

pub(super) fn get_icmp6_filter(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    only_protocol(h, id, IPPROTO_ICMPV6)?;
    let filter = settings(h, id)?.1.icmp6_filter;
    let bytes: alloc::vec::Vec<u8> = filter.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Ok(OptValue::bytes(&bytes, a))
}

pub(super) fn set_icmp6_filter(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    only_protocol(h, id, IPPROTO_ICMPV6)?;
    let new = a.bytes(a.len.min(32))?;
    let filter = &mut settings_mut(h, id)?.icmp6_filter;
    for (i, byte) in new.iter().enumerate() {
        let mut word = filter[i / 4].to_ne_bytes();
        word[i % 4] = *byte;
        filter[i / 4] = u32::from_ne_bytes(word);
    }
    Ok(())
}
