//! PACKET_VNET_HDR: a `struct virtio_net_hdr` in front of each frame, of linux/virtio_net.h: where a checksum is that has
//! still to be made, of what came and of what is sent.
//!
//! # Limits
//! What is sent is not cut: a frame of several segments (`gso_type`) is EINVAL. No frame that is shown has any.

use super::LINK;
use crate::virtio::{
    self, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, NEEDS_CSUM, TCP_CHECK, UDP_CHECK,
};
use switchboard_abi::Errno;

/// `sizeof(struct virtio_net_hdr)` and `sizeof(struct virtio_net_hdr_mrg_rxbuf)`, whose last field is zero.
pub(crate) const HEADER: u8 = virtio::HEADER as u8;
pub(crate) const MERGED: u8 = 12;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// A checksum that is left to the interface (`CHECKSUM_PARTIAL`): of what begins at `start` of the frame, to be written
/// `offset` behind that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unsummed {
    pub(super) start: u16,
    pub(super) offset: u16,
}

impl Unsummed {
    /// That of a frame whose transport's header begins here.
    pub(super) fn of(tcp: bool, start: usize) -> Unsummed {
        Unsummed {
            start: start as u16,
            offset: if tcp { TCP_CHECK } else { UDP_CHECK } as u16,
        }
    }

    /// Of the bytes behind the link's header.
    pub(super) fn make(self, packet: &mut [u8]) {
        let start = usize::from(self.start).saturating_sub(LINK);
        virtio::make_checksum(packet, start, self.offset.into());
    }
}

/// virtio_net_hdr_from_skb()
pub(super) fn header(unsummed: Option<Unsummed>) -> [u8; MERGED as usize] {
    let mut out = [0; MERGED as usize];
    if let Some(Unsummed { start, offset }) = unsummed {
        out[0] = NEEDS_CSUM;
        out[6..8].copy_from_slice(&start.to_ne_bytes());
        out[8..10].copy_from_slice(&offset.to_ne_bytes());
    }
    out
}

/// __packet_snd_vnet_parse() and virtio_net_hdr_to_skb(), of a frame of so many bytes.
pub(super) fn parse(header: &[u8; HEADER as usize], len: usize) -> Result<Option<Unsummed>, Errno> {
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let (headers, size, start, offset) = (half(2), usize::from(half(4)), half(6), half(8));
    let needs = header[0] & NEEDS_CSUM != 0;
    let from = usize::from(start);
    let end = from + usize::from(offset) + 2;
    if usize::from(headers) > len || needs && end > len {
        return Err(Errno::EINVAL);
    }
    let (network, transport, check) = match header[1] {
        GSO_NONE => (IPV4_HEADER, 0, None),
        // The ECN bit alone is no type, and with one it says how segments are cut.
        GSO_TCPV4 => (IPV4_HEADER, TCP_HEADER, Some(TCP_CHECK)),
        GSO_TCPV6 => (IPV6_HEADER, TCP_HEADER, Some(TCP_CHECK)),
        GSO_UDP => (IPV4_HEADER, UDP_HEADER, None),
        GSO_UDP_L4 => (IPV4_HEADER, UDP_HEADER, Some(UDP_CHECK)),
        _ => return Err(Errno::EINVAL),
    };
    if needs && (from < network || from + transport > len) {
        return Err(Errno::EINVAL);
    }
    if header[1] != GSO_NONE {
        let other = check.is_some_and(|check| check != usize::from(offset));
        // UDP's fragments count their own header.
        let behind = if header[1] == GSO_UDP { 0 } else { transport };
        if !needs || other || size == 0 || len - from - behind > size {
            return Err(Errno::EINVAL);
        }
    }
    Ok(needs.then_some(Unsummed { start, offset }))
}
