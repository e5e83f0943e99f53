//! NETLINK_GET_STRICT_CHK: what a request to read may hold, netlink(7).

use super::super::message::{Refusal, Request};
use super::super::serve::Asker;
use super::{RTA_DST, RTA_IIF, RTA_MARK, RTA_OIF, RTA_SRC, RTA_UID, RTMSG, policies, word_of};
use switchboard_abi::Errno;

/// RTM_F_NOTIFY, RTM_F_LOOKUP_TABLE and RTM_F_FIB_MATCH.
const FLAGS_OF_IPV4: u32 = 0x3100;
/// RTM_F_FIB_MATCH
const FLAGS_OF_IPV6: u32 = 0x2000;

pub(super) const RTA_IP_PROTO: u16 = 27;
pub(super) const RTA_SPORT: u16 = 28;
pub(super) const RTA_DPORT: u16 = 29;
const RTA_FLOWLABEL: u16 = 31;
/// What a request for one route has, that of IPv4 but for the last.
const OF_ONE_ROUTE: [u16; 10] = [
    RTA_DST,
    RTA_SRC,
    RTA_IIF,
    RTA_OIF,
    RTA_MARK,
    RTA_UID,
    RTA_IP_PROTO,
    RTA_SPORT,
    RTA_DPORT,
    RTA_FLOWLABEL,
];

/// Behind a header of `skip` bytes are attributes of these kinds alone.
pub(super) fn only(
    asker: &Asker,
    request: &Request<'_>,
    skip: usize,
    kinds: &[u16],
    text: &'static str,
) -> Result<(), Refusal> {
    if asker.strict && request.kinds(skip).any(|kind| !kinds.contains(&kind)) {
        return Err(Refusal::new(Errno::EINVAL, text));
    }
    Ok(())
}

/// The same, of any asker.
pub(super) fn only_known(
    request: &Request<'_>,
    skip: usize,
    kinds: &[u16],
    text: &'static str,
) -> Result<(), Refusal> {
    match request.kinds(skip).any(|kind| !kinds.contains(&kind)) {
        true => Err(Refusal::new(Errno::EINVAL, text)),
        false => Ok(()),
    }
}

/// inet_rtm_valid_getroute_req(), inet6_rtm_valid_getroute_req()
pub(super) fn one_route(
    asker: &Asker,
    request: &Request<'_>,
    head: &[u8; RTMSG],
    v6: bool,
) -> Result<(), Refusal> {
    if !asker.strict {
        return Ok(());
    }
    let refuse = |v4, of_v6| Err(Refusal::new(Errno::EINVAL, if v6 { of_v6 } else { v4 }));
    let (bits, flags, kinds) = match v6 {
        false => (32, FLAGS_OF_IPV4, &OF_ONE_ROUTE[..9]),
        true => (128, FLAGS_OF_IPV6, &OF_ONE_ROUTE[..]),
    };
    let [_, dst_len, src_len, _, table, protocol, scope, kind, ..] = *head;
    let whole = |len| len == 0 || len == bits;
    if !whole(dst_len) || !whole(src_len) || [table, protocol, scope, kind] != [0; 4] {
        return refuse(
            "ipv4: Invalid values in header for route get request",
            "ipv6: Invalid values in header for get route request",
        );
    }
    if word_of(&head[8..])? & !flags != 0 {
        return refuse(
            "ipv4: Unsupported rtm_flags for route get request",
            "ipv6: Invalid flags for get route request",
        );
    }
    request.check(RTMSG, policies::route(v6), true)?;
    let without = |kind, len| len == 0 && request.attribute(RTMSG, kind).is_some();
    if without(RTA_SRC, src_len) || without(RTA_DST, dst_len) {
        return refuse(
            "ipv4: rtm_src_len and rtm_dst_len must be 32 for IPv4",
            "ipv6: rtm_src_len and rtm_dst_len must be 128 for IPv6",
        );
    }
    let text = match v6 {
        false => "ipv4: Unsupported attribute in route get request",
        true => "ipv6: Unsupported attribute in get route request",
    };
    only(asker, request, RTMSG, kinds, text)
}
