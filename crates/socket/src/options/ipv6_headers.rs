//! IPv6 extension headers, ipv6(7) and RFC 3542: those that a socket or a message sends.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::inet::InetFlags;
use crate::message::SendControl;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, Ipv6Addr};
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_engine::{IfIndex, SendHeaders};

/// `struct ipv6_opt_hdr`
const HEADER: usize = 2;
/// A segment routing header (RFC 8754).
const SEGMENT_ROUTING: u8 = 4;
/// The most that `IPV6_2292PKTOPTIONS` takes.
const MOST: usize = 64 * 1024;

/// `ipv6_optlen()`
fn own_len(header: &[u8]) -> usize {
    header.get(1).map_or(0, |len| (usize::from(*len) + 1) * 8)
}

fn slot(headers: &mut SendHeaders, number: i32) -> &mut Option<Bytes> {
    match number {
        IPV6_HOPOPTS => &mut headers.hop,
        IPV6_RTHDRDSTOPTS => &mut headers.before_routing,
        IPV6_RTHDR => &mut headers.routing,
        _ => &mut headers.destination,
    }
}

/// seg6_validate_srh()
fn is_segment_route(header: &[u8], len: usize) -> bool {
    let &[_, words, SEGMENT_ROUTING, left, first, ..] = header else {
        return false;
    };
    let entries = usize::from(words >> 1);
    if own_len(header) != len || usize::from(first) + 1 > entries || left > first {
        return false;
    }
    // What follows the segments is in pieces that say how long they are.
    let mut rest = &header[8 + (usize::from(first) + 1) * 16..];
    while let [_, len, more @ ..] = rest {
        match more.get(usize::from(*len)..) {
            Some(more) => rest = more,
            None => return false,
        }
    }
    rest.is_empty()
}

pub(super) fn get<const NUMBER: i32>(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let mut headers = match h.send_extra(id)? {
        Some(extra) => extra.headers.clone(),
        None => SendHeaders::default(),
    };
    let header = slot(&mut headers, NUMBER).take().unwrap_or_default();
    Ok(OptValue::bytes(&header, a))
}

/// ipv6_set_opt_hdr(): none at all takes the header away.
pub(super) fn set<const NUMBER: i32>(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if NUMBER != IPV6_RTHDR && !cx.cred.caps.contains(Caps::NET_RAW) {
        return Err(Errno::EPERM);
    }
    let mut header = None;
    if a.len > 0 {
        if a.null || !a.len.is_multiple_of(8) || a.len > 8 * 255 {
            return Err(Errno::EINVAL);
        }
        let bytes = a.bytes(a.len)?;
        let len = own_len(bytes);
        let routes = NUMBER == IPV6_RTHDR;
        if len > a.len || (routes && !is_segment_route(bytes, a.len)) {
            return Err(Errno::EINVAL);
        }
        header = Some(Bytes::copy_from_slice(&bytes[..len]));
    }
    h.change_extra(id, |extra| *slot(&mut extra.headers, NUMBER) = header)
}

/// ip6_datagram_send_ctl(), as far as it is about extension headers; `None` of another message.
pub(crate) fn control(
    caps: Caps,
    kind: i32,
    data: &[u8],
    headers: &mut SendHeaders,
) -> Option<Result<(), Errno>> {
    let number = match kind {
        IPV6_HOPOPTS | IPV6_2292HOPOPTS => IPV6_HOPOPTS,
        IPV6_DSTOPTS | IPV6_2292DSTOPTS => IPV6_DSTOPTS,
        IPV6_RTHDRDSTOPTS => IPV6_RTHDRDSTOPTS,
        // Of the routing headers that a message may bring, type 2 is for mobility (RFC 6275), which is not here.
        IPV6_RTHDR | IPV6_2292RTHDR => return Some(Err(Errno::EINVAL)),
        _ => return None,
    };
    let once = number == IPV6_HOPOPTS || kind == IPV6_2292DSTOPTS;
    let slot = slot(headers, number);
    let again = once && slot.is_some();
    if (again && number == IPV6_HOPOPTS) || data.len() < HEADER {
        return Some(Err(Errno::EINVAL));
    }
    let Some(header) = data.get(..own_len(data)) else {
        return Some(Err(Errno::EINVAL));
    };
    if !caps.contains(Caps::NET_RAW) {
        return Some(Err(Errno::EPERM));
    }
    if again {
        return Some(Err(Errno::EINVAL));
    }
    *slot = Some(Bytes::copy_from_slice(header));
    Some(Ok(()))
}

/// `IPV6_2292PKTOPTIONS`, RFC 2292: the headers as control messages, in place of all there were.
pub(super) fn set_pktoptions(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len > MOST {
        return Err(Errno::EINVAL);
    }
    let control = messages(a.bytes(a.len)?)?;
    let headers = h.headers_of(cx, id, &control)?;
    h.change_extra(id, |extra| extra.headers = headers)
}

/// `CMSG_FIRSTHDR()` to the end: ip6_datagram_send_ctl() takes an option's value for messages of the kernel's own layout,
/// whoever asks.
pub(crate) fn messages(bytes: &[u8]) -> Result<SendControl, Errno> {
    let word = Word::Lp64;
    let mut control = SendControl::default();
    let header = word.cmsghdr_size();
    let mut rest = bytes;
    while rest.len() >= header {
        let len = word.read_ulong(rest, 0);
        if len < header as u64 || len > rest.len() as u64 {
            return Err(Errno::EINVAL);
        }
        let len = len as usize;
        let level = switchboard_abi::layout::read_i32(rest, word.size());
        let kind = switchboard_abi::layout::read_i32(rest, word.size() + 4);
        control
            .other
            .push((level, kind, rest[header..len].to_vec()));
        rest = &rest[word.align(len).min(rest.len())..];
    }
    Ok(control)
}

/// `IPV6_2292PKTOPTIONS` of a stream: what the options ask for, from the socket's own settings, since no segment was
/// kept.
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
    let (mut addr, mut device) = options.rare(|rare| match rare.multicast_if6 {
        Some(device) => (None, Some(device)),
        None => (rare.pktinfo.map(|(ip, _)| ip), None),
    });
    if device.is_some() {
        // sk_v6_daddr
        addr = h.tcp_peer(s).map(|peer| match peer.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        });
    } else {
        device = h.get(id)?.common.device();
    }
    let mut info = addr.unwrap_or(Ipv6Addr::UNSPECIFIED).octets().to_vec();
    info.extend_from_slice(&device.map_or(0, IfIndex::get).to_ne_bytes());
    let hops = i32::from(options.multicast_hops).to_ne_bytes();
    let mut out = Vec::new();
    let mut tell = |asked: bool, kind, data: &[u8]| {
        if asked {
            super::put_control(&mut out, a, SOL_IPV6, kind, data);
        }
    };
    tell(options.pktinfo6, IPV6_PKTINFO, &info);
    tell(options.has(InetFlags::RECVHOPLIMIT), IPV6_HOPLIMIT, &hops);
    tell(options.has(InetFlags::RECVTCLASS), IPV6_TCLASS, &[0; 4]);
    tell(
        options.has(InetFlags::PKTINFO_2292),
        IPV6_2292PKTINFO,
        &info,
    );
    tell(
        options.has(InetFlags::HOPLIMIT_2292),
        IPV6_2292HOPLIMIT,
        &hops,
    );
    tell(options.has(InetFlags::RECVFLOWINFO), IPV6_FLOWINFO, &[0; 4]);
    Ok(OptValue::whole(out))
}
