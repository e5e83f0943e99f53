//! Socket addresses: `struct sockaddr_in`, `sockaddr_in6` and `sockaddr_un`.
//!
//! See [ip(7)], [ipv6(7)] and [unix(7)]. Ports and addresses are in network byte order in memory.
//!
//! [ip(7)]: https://man7.org/linux/man-pages/man7/ip.7.html
//! [ipv6(7)]: https://man7.org/linux/man-pages/man7/ipv6.7.html
//! [unix(7)]: https://man7.org/linux/man-pages/man7/unix.7.html

use crate::number::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

extern crate alloc;
use alloc::sync::Arc;

/// `sizeof(struct sockaddr_storage)`: no address is longer; a longer length argument is `EINVAL`.
pub const SOCKADDR_STORAGE_SIZE: usize = 128;
/// `sizeof(struct sockaddr_in)`.
pub const SOCKADDR_IN_SIZE: usize = 16;
/// `sizeof(struct sockaddr_in6)`.
pub const SOCKADDR_IN6_SIZE: usize = 28;
/// The shortest `sockaddr_in6` Linux takes (RFC 2133, without `sin6_scope_id`).
pub const SIN6_LEN_RFC2133: usize = 24;
/// `sizeof(struct sockaddr_un)`.
pub const SOCKADDR_UN_SIZE: usize = 110;

/// An address as a call returns it.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum SockAddr {
    /// An IPv4 or IPv6 address and port.
    Inet(SocketAddr),
    /// The bytes of `sun_path` that count: empty (unnamed), a leading NUL (abstract), or a path
    /// with its terminating NUL.
    Unix(Arc<[u8]>),
    /// Port and groups of netlink(7).
    #[allow(missing_docs)]
    Netlink { port: u32, groups: u32 },
    /// A link of packet(7).
    Link(LinkAddr),
    /// A device of packet(7), as SOCK_PACKET names it.
    Device(DeviceAddr),
}

/// `struct sockaddr_pkt`, or what of it is a `struct sockaddr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct DeviceAddr {
    /// `spkt_family`
    pub family: u16,
    /// `spkt_device`, with a NUL.
    pub device: [u8; 14],
    /// `spkt_protocol`, in the host's order, if there is room for it.
    pub protocol: Option<u16>,
}

/// `struct sockaddr_ll`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct LinkAddr {
    /// `sll_protocol`, in the host's order.
    pub protocol: u16,
    /// `sll_ifindex`
    pub interface: u32,
    /// `sll_hatype`
    pub device: u16,
    /// `sll_pkttype`
    pub kind: u8,
    /// `sll_addr`, of `sll_halen` bytes.
    pub address: Option<[u8; 6]>,
    /// The whole structure counts, not only up to the address's end.
    pub whole: bool,
}

impl SockAddr {
    /// Writes the address in its memory layout into `out` and returns its length in bytes.
    pub fn encode(&self, out: &mut [u8; SOCKADDR_STORAGE_SIZE]) -> usize {
        match self {
            SockAddr::Inet(SocketAddr::V4(a)) => {
                out[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
                out[2..4].copy_from_slice(&a.port().to_be_bytes());
                out[4..8].copy_from_slice(&a.ip().octets());
                out[8..16].fill(0);
                SOCKADDR_IN_SIZE
            }
            SockAddr::Inet(SocketAddr::V6(a)) => {
                out[..2].copy_from_slice(&(AF_INET6 as u16).to_ne_bytes());
                out[2..4].copy_from_slice(&a.port().to_be_bytes());
                out[4..8].copy_from_slice(&a.flowinfo().to_be_bytes());
                out[8..24].copy_from_slice(&a.ip().octets());
                out[24..28].copy_from_slice(&a.scope_id().to_ne_bytes());
                SOCKADDR_IN6_SIZE
            }
            SockAddr::Unix(path) => {
                out[..2].copy_from_slice(&(AF_UNIX as u16).to_ne_bytes());
                // A path of exactly 108 bytes comes back with its NUL: 111 bytes in all.
                out[2..2 + path.len()].copy_from_slice(path);
                2 + path.len()
            }
            SockAddr::Netlink { port, groups } => {
                out[..2].copy_from_slice(&(AF_NETLINK as u16).to_ne_bytes());
                out[2..4].fill(0);
                out[4..8].copy_from_slice(&port.to_ne_bytes());
                out[8..12].copy_from_slice(&groups.to_ne_bytes());
                12
            }
            SockAddr::Link(link) => {
                let address = link.address.unwrap_or_default();
                let length = if link.address.is_some() {
                    address.len()
                } else {
                    0
                };
                out[..2].copy_from_slice(&(AF_PACKET as u16).to_ne_bytes());
                out[2..4].copy_from_slice(&link.protocol.to_be_bytes());
                out[4..8].copy_from_slice(&link.interface.to_ne_bytes());
                out[8..10].copy_from_slice(&link.device.to_ne_bytes());
                out[10] = link.kind;
                out[11] = length as u8;
                out[12..18].copy_from_slice(&address);
                out[18..20].fill(0);
                if link.whole { 20 } else { 12 + length }
            }
            SockAddr::Device(device) => {
                out[..2].copy_from_slice(&device.family.to_ne_bytes());
                out[2..16].copy_from_slice(&device.device);
                let Some(protocol) = device.protocol else {
                    return 16;
                };
                out[16..18].copy_from_slice(&protocol.to_be_bytes());
                18
            }
        }
    }

    /// The IP address and port, where it is one.
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            SockAddr::Inet(a) => Some(*a),
            SockAddr::Unix(_)
            | SockAddr::Netlink { .. }
            | SockAddr::Link(_)
            | SockAddr::Device(_) => None,
        }
    }
}

/// `sa_family` of an address in memory; `None` when there are not even two bytes.
pub fn family(bytes: &[u8]) -> Option<i32> {
    let raw = bytes.get(..2)?;
    Some(i32::from(u16::from_ne_bytes([raw[0], raw[1]])))
}

/// Reads a `sockaddr_in`, whatever its family field says; `None` when it is too short.
pub fn read_in(bytes: &[u8]) -> Option<SocketAddrV4> {
    let b = bytes.get(..8)?;
    let port = u16::from_be_bytes([b[2], b[3]]);
    Some(SocketAddrV4::new(
        Ipv4Addr::new(b[4], b[5], b[6], b[7]),
        port,
    ))
}

/// Reads a `sockaddr_in6`, whatever its family field says; a missing `sin6_scope_id` is zero,
/// `None` when it is shorter than RFC 2133 allows.
pub fn read_in6(bytes: &[u8]) -> Option<SocketAddrV6> {
    let b = bytes.get(..SIN6_LEN_RFC2133)?;
    let port = u16::from_be_bytes([b[2], b[3]]);
    let flowinfo = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
    let mut ip = [0; 16];
    ip.copy_from_slice(&b[8..24]);
    let scope = match bytes.get(24..28) {
        Some(s) => u32::from_ne_bytes([s[0], s[1], s[2], s[3]]),
        None => 0,
    };
    Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, flowinfo, scope))
}
