//! IFF_VNET_HDR: `struct virtio_net_hdr` before packets, which says of what the other side has to do: checksums that are not
//! there yet, and segments that travel as one (linux/virtio_net.h, tun_vnet_hdr_get(), virtio_net_hdr_from_skb()).

use crate::virtio::{
    self, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, HEADER, NEEDS_CSUM, TCP_CHECK,
    UDP_CHECK,
};
use alloc::vec::Vec;
use core::net::IpAddr;
use switchboard_abi::Errno;
use switchboard_wire::{Body, Frame, FrameBody, Packet, TcpFlags, checksum};

/// The longest header that may be asked for here.
pub(super) const LARGEST_HEADER: usize = 256;

/// VIRTIO_NET_HDR_GSO_ECN
const GSO_ECN: u8 = 0x80;

/// TUN_F_*
const F_CSUM: u64 = 0x01;
const F_TSO4: u64 = 0x02;
const F_TSO6: u64 = 0x04;
const F_TSO_ECN: u64 = 0x08;
const F_UFO: u64 = 0x10;
const F_USO4: u64 = 0x20;
const F_USO6: u64 = 0x40;

/// What was set of it.
#[derive(Debug)]
pub(super) struct Vnet {
    size: usize,
    /// TUNSETVNETLE
    pub(super) little_endian: bool,
    /// What may be left to the reader: F_CSUM, F_TSO4, F_TSO6, F_TSO_ECN.
    offload: u64,
}

impl Default for Vnet {
    fn default() -> Vnet {
        Vnet {
            size: HEADER,
            little_endian: false,
            offload: 0,
        }
    }
}

/// What a header says of a packet that is several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Large {
    kind: u8,
    size: u16,
}

impl Vnet {
    pub(super) fn size(&self) -> i32 {
        self.size as i32
    }

    /// TUNSETVNETHDRSZ
    pub(super) fn set_size(&mut self, size: i32) -> Result<(), Errno> {
        let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
        if !(HEADER..=LARGEST_HEADER).contains(&size) {
            return Err(Errno::EINVAL);
        }
        self.size = size;
        Ok(())
    }

    /// TUNSETOFFLOAD (set_offload()): without checksums there is nothing else.
    pub(super) fn set_offload(&mut self, wanted: u64) -> Result<(), Errno> {
        let mut left = wanted;
        let mut offload = 0;
        if left & F_CSUM != 0 {
            left &= !(F_CSUM | F_UFO);
            offload |= F_CSUM;
            if left & (F_TSO4 | F_TSO6) != 0 {
                offload |= left & (F_TSO4 | F_TSO6 | F_TSO_ECN);
                left &= !(F_TSO4 | F_TSO6 | F_TSO_ECN);
            }
            // Datagrams are never put together here.
            if left & (F_USO4 | F_USO6) == F_USO4 | F_USO6 {
                left &= !(F_USO4 | F_USO6);
            }
        }
        if left != 0 {
            return Err(Errno::EINVAL);
        }
        self.offload = offload;
        Ok(())
    }

    /// Whether the reader takes segments that travel as one.
    pub(super) fn takes_large(&self) -> bool {
        self.offload & (F_TSO4 | F_TSO6) != 0
    }

    /// A packet behind its header, as it is with its checksum.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<(Option<Large>, Vec<u8>), Errno> {
        let (header, packet) = bytes.split_at_checked(self.size).ok_or(Errno::EINVAL)?;
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let (flags, kind) = (header[0], header[1] & !GSO_ECN);
        let (mut whole, size) = (usize::from(half(2)), half(4));
        let (start, offset) = (usize::from(half(6)), usize::from(half(8)));
        let field = start + offset;
        if flags & NEEDS_CSUM != 0 {
            whole = whole.max(field + 2);
        }
        if whole > packet.len() {
            return Err(Errno::EINVAL);
        }
        let mut packet = packet.to_vec();
        if flags & NEEDS_CSUM != 0 {
            virtio::make_checksum(&mut packet, start, offset);
        }
        match kind {
            GSO_NONE => Ok((None, packet)),
            GSO_TCPV4 | GSO_TCPV6 | GSO_UDP_L4 if size > 0 => {
                Ok((Some(Large { kind, size }), packet))
            }
            // UFO of old guests is cut into fragments by Linux.
            GSO_UDP => Err(Errno::EINVAL),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A frame as the reader gets it: with a header, and as several where it does not take it as one.
    pub(super) fn packets(&self, frame: Frame) -> Vec<Vec<u8>> {
        let as_one = match frame.packet() {
            Some(Packet {
                ip,
                body: Body::Tcp(tcp),
            }) if tcp.gso != 0 => {
                let family = if ip.is_v6() { F_TSO6 } else { F_TSO4 };
                let ecn = tcp.flags.contains(TcpFlags::CWR);
                self.offload & family != 0 && (!ecn || self.offload & F_TSO_ECN != 0)
            }
            _ => true,
        };
        match as_one {
            true => Vec::from([self.packet(&frame)]),
            false => frame.split().map(|one| self.packet(&one)).collect(),
        }
    }

    fn packet(&self, frame: &Frame) -> Vec<u8> {
        let mut header = Vec::from([0; HEADER]);
        let mut bytes = frame.emit();
        if let Some(packet) = frame.packet()
            && self.offload & F_CSUM != 0
        {
            let before = bytes.len() - packet.body.wire_len();
            let (offset, whole) = match &packet.body {
                Body::Tcp(tcp) => (TCP_CHECK, before + tcp.header_len()),
                Body::Udp(udp) if !udp.unsummed && udp.lite.is_none() => (UDP_CHECK, before + 8),
                _ => return self.put(header, &bytes),
            };
            let field = before + offset;
            // What the reader does is done the other way round: what is left in the field is the pseudo header's sum.
            bytes[field..field + 2].fill(0);
            let with = checksum(Some((&packet.ip, packet.protocol())), &[]);
            let len = (bytes.len() - before) as u32;
            let pseudo = add(with, len);
            bytes[field..field + 2].copy_from_slice(&pseudo);
            header[0] = NEEDS_CSUM;
            let mut put = |at: usize, n: usize| {
                header[at..at + 2].copy_from_slice(&(n as u16).to_ne_bytes());
            };
            put(6, before);
            put(8, offset);
            if let Body::Tcp(tcp) = &packet.body
                && tcp.segments() > 1
            {
                put(2, whole);
                put(4, tcp.gso.into());
                let ecn = tcp.flags.contains(TcpFlags::CWR);
                let kind = if packet.ip.is_v6() {
                    GSO_TCPV6
                } else {
                    GSO_TCPV4
                };
                header[1] = kind | if ecn { GSO_ECN } else { 0 };
            }
        }
        self.put(header, &bytes)
    }

    fn put(&self, mut header: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
        header.resize(self.size, 0);
        header.extend_from_slice(bytes);
        header
    }
}

/// The sum whose complement `with` is, and a length: folded, not complemented (RFC 1071).
fn add(with: [u8; 2], len: u32) -> [u8; 2] {
    let mut sum = u32::from(!u16::from_be_bytes(with)) + (len >> 16) + (len & 0xffff);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (sum as u16).to_be_bytes()
}

/// What came in as one: a segment that is several, or the datagrams that it is.
pub(super) fn large(header: Option<Large>, mut frame: Frame) -> Result<Vec<Frame>, Errno> {
    let Some(large) = header else {
        return Ok(Vec::from([frame]));
    };
    let FrameBody::Ip(packet) = &mut frame.body else {
        return Err(Errno::EINVAL);
    };
    let v6 = packet.ip.is_v6();
    match (&mut packet.body, large.kind) {
        (Body::Tcp(tcp), GSO_TCPV4) if !v6 => tcp.gso = large.size,
        (Body::Tcp(tcp), GSO_TCPV6) if v6 => tcp.gso = large.size,
        (Body::Udp(udp), GSO_UDP_L4) => {
            let (size, len) = (usize::from(large.size), udp.payload.len());
            // UDP_MAX_SEGMENTS
            if len.div_ceil(size) > 128 {
                return Err(Errno::EINVAL);
            }
            let mut all = Vec::new();
            for (n, at) in (0..len).step_by(size).enumerate() {
                let mut one = frame.clone();
                if let FrameBody::Ip(packet) = &mut one.body {
                    packet.ip.ident = packet.ip.ident.wrapping_add(if v6 { 0 } else { n as u16 });
                    if let Body::Udp(udp) = &mut packet.body {
                        udp.payload = udp.payload.slice(at..(at + size).min(len));
                    }
                }
                all.push(one);
            }
            return Ok(all);
        }
        // Somebody else's segments, or a checksum that is wrong: as it is, it is nobody's.
        _ => return Err(Errno::EINVAL),
    }
    if let Body::Tcp(tcp) = &mut packet.body
        && tcp.payload.len() <= usize::from(tcp.gso)
    {
        tcp.gso = 0;
    }
    Ok(Vec::from([frame]))
}

/// A number of a frame's flow, the same in both directions (skb_get_hash_symmetric()).
pub(super) fn flow_of(frame: &Frame) -> u32 {
    let Some(Packet { ip, body }) = frame.packet() else {
        return 0;
    };
    let number = |addr: IpAddr| match addr {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() as u64 ^ (v6.to_bits() >> 64) as u64,
    };
    let ports = match body {
        Body::Tcp(tcp) => [tcp.src_port, tcp.dst_port],
        Body::Udp(udp) => [udp.src_port, udp.dst_port],
        _ => [0, 0],
    };
    let [a, b] = ports.map(u64::from);
    let mut hash = number(ip.src).wrapping_add(number(ip.dst)) ^ ((a + b) << 32) ^ (a * b);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (hash >> 32) as u32
}
