//! What /dev/net/tun and packet sockets have in common of `struct virtio_net_hdr` (linux/virtio_net.h), which stands before
//! packets whose checksum somebody else makes, or that are several.

use switchboard_wire::checksum;

/// `sizeof(struct virtio_net_hdr)`
pub(crate) const HEADER: usize = 10;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
pub(crate) const NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_*`
pub(crate) const GSO_NONE: u8 = 0;
pub(crate) const GSO_TCPV4: u8 = 1;
pub(crate) const GSO_UDP: u8 = 3;
pub(crate) const GSO_TCPV6: u8 = 4;
pub(crate) const GSO_UDP_L4: u8 = 5;

/// Where the checksum stands in TCP's header, and in UDP's.
pub(crate) const TCP_CHECK: usize = 16;
pub(crate) const UDP_CHECK: usize = 6;

/// skb_checksum_help(): the checksum of what begins at `start`, written `offset` behind that. The field has the pseudo
/// header's sum, which is summed with the rest.
pub(crate) fn make_checksum(packet: &mut [u8], start: usize, offset: usize) {
    let Some(covered) = packet.get_mut(start..) else {
        return;
    };
    let sum = checksum(None, covered);
    if let Some(field) = covered.get_mut(offset..offset + 2) {
        // CSUM_MANGLED_0
        field.copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
    }
}
