//! UDP: `std::net::UdpSocket` on a virtual host. See udp(7).

use super::{Handle, NameBytes, common_methods, inet_name, timeout_methods};
use crate::host::Host;
use crate::world::Timing;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use switchboard_abi::number::*;

/// A UDP socket.
pub struct UdpSocket {
    handle: Handle,
}

impl UdpSocket {
    /// socket(2) and bind(2).
    pub fn bind(host: &Host, addr: SocketAddr) -> io::Result<UdpSocket> {
        let handle = Handle::inet(host, addr, SOCK_DGRAM)?;
        handle.bind(&NameBytes::inet(addr))?;
        Ok(UdpSocket { handle })
    }

    /// connect(2): sends go there, and only what comes from there is received.
    pub fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        self.handle.connect(&NameBytes::inet(addr))
    }

    /// send(2)
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.handle.send(Timing::Now, data, None)
    }

    /// sendto(2)
    pub fn send_to(&self, data: &[u8], addr: SocketAddr) -> io::Result<usize> {
        self.handle
            .send(Timing::Now, data, Some(&NameBytes::inet(addr)))
    }

    /// recv(2)
    pub fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
        self.handle.recv(Timing::Now, out, 0).map(|(n, _)| n)
    }

    /// recvfrom(2)
    pub fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, name) = self.handle.recv(Timing::Now, out, 0)?;
        Ok((n, inet_name(name.ok_or(io::ErrorKind::InvalidData)?)?))
    }

    /// recvfrom(2) with `MSG_PEEK`
    pub fn peek_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, name) = self.handle.recv(Timing::Now, out, MSG_PEEK)?;
        Ok((n, inet_name(name.ok_or(io::ErrorKind::InvalidData)?)?))
    }

    /// getsockname(2)
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet_name(self.handle.local_name()?)
    }

    /// getpeername(2)
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet_name(self.handle.peer_name()?)
    }

    /// `SO_BROADCAST`
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.handle.set_int(SOL_SOCKET, SO_BROADCAST, i32::from(on))
    }

    timeout_methods!();
    common_methods!();
}
