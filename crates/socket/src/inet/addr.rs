//! IP socket addresses as calls pass them: length and family rules, v4-mapped addresses.

use core::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6, AF_UNSPEC};
use switchboard_abi::sockaddr::{self, SIN6_LEN_RFC2133, SOCKADDR_IN_SIZE};
use switchboard_engine::IfIndex;

/// A decoded address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InetAddr {
    V4(SocketAddrV4),
    V6(SocketAddrV6),
    /// AF_UNSPEC.
    Unspec,
}

impl InetAddr {
    /// What an AF_INET socket takes: a whole `sockaddr_in`, else EINVAL; the family after that.
    pub(crate) fn parse_v4(raw: &[u8]) -> Result<InetAddr, Errno> {
        if raw.len() < SOCKADDR_IN_SIZE {
            return Err(Errno::EINVAL);
        }
        match sockaddr::family(raw) {
            Some(AF_INET) => Ok(InetAddr::V4(sockaddr::read_in(raw).ok_or(Errno::EINVAL)?)),
            Some(AF_UNSPEC) => Ok(InetAddr::Unspec),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// What an AF_INET6 socket takes where it takes no IPv4 address: at least RFC 2133's length.
    pub(crate) fn parse_v6(raw: &[u8]) -> Result<InetAddr, Errno> {
        if raw.len() < SIN6_LEN_RFC2133 {
            return Err(Errno::EINVAL);
        }
        match sockaddr::family(raw) {
            Some(AF_INET6) => Ok(InetAddr::V6(sockaddr::read_in6(raw).ok_or(Errno::EINVAL)?)),
            Some(AF_UNSPEC) => Ok(InetAddr::Unspec),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }
}

/// `::ffff:a.b.c.d`.
pub(crate) fn map_v4(a: SocketAddrV4) -> SocketAddrV6 {
    SocketAddrV6::new(a.ip().to_ipv6_mapped(), a.port(), 0, 0)
}

/// The address the stack works with: a v4-mapped one is IPv4.
pub(crate) fn unmap(a: SocketAddrV6) -> SocketAddr {
    match a.ip().to_ipv4_mapped() {
        Some(v4) => SocketAddr::V4(SocketAddrV4::new(v4, a.port())),
        None => SocketAddr::V6(SocketAddrV6::new(*a.ip(), a.port(), 0, a.scope_id())),
    }
}

/// __ipv6_addr_needs_scope_id(): an address that means something on one link only, or within this
/// host: link-local ones, and groups of those scopes.
pub(crate) fn needs_scope(ip: &Ipv6Addr) -> bool {
    // RFC 4291, 2.7: the group's scope is in the low bits of the second byte.
    let [first, second, ..] = ip.octets();
    ip.is_unicast_link_local() || (first == 0xff && matches!(second & 15, 1 | 2))
}

/// The interface that a connection to an address which needs a scope is bound to: that of the address, which must not be another one
/// than the socket's, or the socket's (tcp_v6_connect(), __ip6_datagram_connect()).
pub(crate) fn scope_of_peer(bound: Option<IfIndex>, scope: u32) -> Result<IfIndex, Errno> {
    match (IfIndex::new(scope), bound) {
        (Some(scope), Some(bound)) if scope != bound => Err(Errno::EINVAL),
        (scope, bound) => scope.or(bound).ok_or(Errno::EINVAL),
    }
}

/// ipv6_iface_scope_id(): an address that needs a scope is shown with that of the interface.
pub(crate) fn scoped(mut a: SocketAddr, interface: Option<IfIndex>) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut a {
        let scope = interface.filter(|_| needs_scope(v6.ip()));
        v6.set_scope_id(scope.map_or(0, IfIndex::get));
    }
    a
}

/// The address as a socket of the family shows it: IPv4 is v4-mapped on an AF_INET6 socket. An
/// unspecified IPv4 address there is `::` (a dual-stack wildcard).
pub(crate) fn present(a: SocketAddr, v6: bool) -> SocketAddr {
    match a {
        SocketAddr::V4(a) if v6 => SocketAddr::V6(map_v4(a)),
        other => other,
    }
}
