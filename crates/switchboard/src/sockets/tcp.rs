//! TCP: `std::net::TcpListener` and `TcpStream` on a virtual host. See tcp(7).

use super::{Handle, NameBytes, common_methods, inet_name, stream_io, timeout_methods};
use crate::host::Host;
use crate::world::Timing;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::number::*;

/// The backlog std asks for.
const BACKLOG: i32 = 128;

/// A TCP socket that listens for connections.
pub struct TcpListener {
    handle: Handle,
}

impl TcpListener {
    /// socket(2), bind(2) with `SO_REUSEADDR`, listen(2).
    pub fn bind(host: &Host, addr: SocketAddr) -> io::Result<TcpListener> {
        let handle = Handle::inet(host, addr, SOCK_STREAM)?;
        handle.set_int(SOL_SOCKET, SO_REUSEADDR, 1)?;
        handle.bind(&NameBytes::inet(addr))?;
        handle.listen(BACKLOG)?;
        Ok(TcpListener { handle })
    }

    /// accept(2): waits for a connection.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (handle, peer) = self.handle.accept()?;
        Ok((TcpStream { handle }, inet_name(peer)?))
    }

    /// getsockname(2)
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet_name(self.handle.local_name()?)
    }

    /// accept(2) over and over.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<TcpStream>> + '_ {
        std::iter::repeat_with(|| self.accept().map(|(stream, _)| stream))
    }

    common_methods!();
}

/// A TCP connection.
pub struct TcpStream {
    handle: Handle,
}

impl TcpStream {
    /// socket(2) and connect(2).
    pub fn connect(host: &Host, addr: SocketAddr) -> io::Result<TcpStream> {
        let handle = Handle::inet(host, addr, SOCK_STREAM)?;
        handle.connect(&NameBytes::inet(addr))?;
        Ok(TcpStream { handle })
    }

    /// socket(2) with `SOCK_NONBLOCK`, and connect(2), which goes on: what is sent or read before it is done is
    /// `WouldBlock`.
    pub fn connect_nonblocking(host: &Host, addr: SocketAddr) -> io::Result<TcpStream> {
        let handle = Handle::inet(host, addr, SOCK_STREAM)?;
        handle.set_nonblocking(true);
        match handle.connect(&NameBytes::inet(addr)) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS.0.into()) => Err(error),
            _ => Ok(TcpStream { handle }),
        }
    }

    /// dup(2): another handle to the same socket.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream {
            handle: self.handle.clone(),
        })
    }

    /// recv(2) with `MSG_PEEK`.
    pub fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
        self.handle.recv(Timing::Now, out, MSG_PEEK).map(|(n, _)| n)
    }

    /// shutdown(2)
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.handle.shutdown(how)
    }

    /// getsockname(2)
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet_name(self.handle.local_name()?)
    }

    /// getpeername(2)
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet_name(self.handle.peer_name()?)
    }

    /// `TCP_NODELAY`
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.handle.set_int(IPPROTO_TCP, TCP_NODELAY, i32::from(on))
    }

    /// `TCP_NODELAY`
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.handle.int(IPPROTO_TCP, TCP_NODELAY)? != 0)
    }

    /// `SO_LINGER`: closing waits this long, in whole seconds, for the peer to acknowledge everything;
    /// zero resets the connection.
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        let seconds = time.map_or(0, |time| i32::try_from(time.as_secs()).unwrap_or(i32::MAX));
        let value = [i32::from(time.is_some()), seconds].map(i32::to_ne_bytes);
        self.handle
            .set_option(SOL_SOCKET, SO_LINGER, value.as_flattened())
    }

    /// `SO_LINGER`
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        let value = self.handle.option(SOL_SOCKET, SO_LINGER, 8)?;
        let (on, rest) = value
            .split_first_chunk()
            .ok_or(io::ErrorKind::InvalidData)?;
        let seconds = rest.first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let seconds = Duration::from_secs(u64::from(u32::from_ne_bytes(*seconds)));
        Ok((i32::from_ne_bytes(*on) != 0).then_some(seconds))
    }

    timeout_methods!();
    common_methods!();
}

stream_io!(TcpStream, Timing::Now);
