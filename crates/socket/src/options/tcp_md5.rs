//! `TCP_MD5SIG` and `TCP_MD5SIG_EXT` of `IPPROTO_TCP`: struct tcp_md5sig of linux/tcp.h.

use super::SetArg;
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use core::net::IpAddr;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr;
use switchboard_engine::{IfIndex, Md5Error};

/// sizeof(struct tcp_md5sig): a sockaddr_storage, flags, prefix, length of the key, interface, key.
const LEN: usize = 128 + 8 + TCP_MD5SIG_MAXKEYLEN;
const TCP_MD5SIG_MAXKEYLEN: usize = 80;
/// `TCP_MD5SIG_FLAG_PREFIX` and `TCP_MD5SIG_FLAG_IFINDEX`
const PREFIX: u8 = 1;
const IFINDEX: u8 = 2;

/// `TCP_MD5SIG`: the key for one peer.
pub(super) fn set_key(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set(h, id, a, false)
}

/// `TCP_MD5SIG_EXT`: the key for the peers of a prefix.
pub(super) fn set_key_ext(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set(h, id, a, true)
}

/// tcp_v4_parse_md5_keys() and tcp_v6_parse_md5_keys().
fn set(h: &mut Host, id: SocketId, a: &SetArg<'_>, extended: bool) -> Result<(), Errno> {
    if a.len < LEN {
        return Err(Errno::EINVAL);
    }
    let raw = a.raw.get(..LEN).ok_or(Errno::EFAULT)?;
    let v6 = i32::from(h.get(id)?.common.domain) == AF_INET6;
    let family = sockaddr::family(raw).ok_or(Errno::EINVAL)?;
    let addr: IpAddr = match (v6, family) {
        (false, AF_INET) => (*sockaddr::read_in(raw).ok_or(Errno::EINVAL)?.ip()).into(),
        (true, AF_INET6) => {
            let v6 = sockaddr::read_in6(&raw[..28]).ok_or(Errno::EINVAL)?;
            IpAddr::V6(*v6.ip()).to_canonical()
        }
        _ => return Err(Errno::EINVAL),
    };
    let (flags, prefix) = (raw[128], raw[129]);
    let len = usize::from(u16::from_ne_bytes([raw[130], raw[131]]));
    let interface = u32::from_ne_bytes([raw[132], raw[133], raw[134], raw[135]]);
    let whole = if addr.is_ipv4() { 32 } else { 128 };
    let prefix = match extended && flags & PREFIX != 0 {
        true if prefix > whole => return Err(Errno::EINVAL),
        true => prefix,
        false => whole,
    };
    // An interface has to be a VRF's, of which there are none.
    if extended && flags & IFINDEX != 0 && IfIndex::new(interface).is_some() {
        return Err(Errno::EINVAL);
    }
    if len > TCP_MD5SIG_MAXKEYLEN {
        return Err(Errno::EINVAL);
    }
    let secret = &raw[136..136 + len];
    let handle = h.tcp(id)?.handle;
    (h.stack.tcp_set_md5_key(handle, addr, prefix, secret)).map_err(|error| match error {
        Md5Error::NoSuchKey => Errno::ENOENT,
        Md5Error::NoMemory => Errno::ENOMEM,
    })
}
