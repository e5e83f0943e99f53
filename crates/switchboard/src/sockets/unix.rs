//! AF_UNIX: the types of `std::os::unix::net` on a virtual host. See unix(7).

use super::{Handle, NameBytes, common_methods, io_error, stream_io, timeout_methods};
use crate::host::Host;
use crate::world::Timing;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};

/// The name of an AF_UNIX socket: the bytes of `sun_path`.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct UnixAddr(Arc<[u8]>);

impl UnixAddr {
    /// A name in the host's file system.
    pub fn path(path: impl AsRef<[u8]>) -> UnixAddr {
        let mut bytes = path.as_ref().to_vec();
        bytes.push(0);
        UnixAddr(bytes.into())
    }

    /// A name in the host's abstract namespace.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> UnixAddr {
        let mut bytes = vec![0];
        bytes.extend_from_slice(name.as_ref());
        UnixAddr(bytes.into())
    }

    /// The name in the file system, if it is one.
    pub fn as_path(&self) -> Option<&[u8]> {
        match self.0.first() {
            None | Some(0) => None,
            Some(_) => self.0.split(|byte| *byte == 0).next(),
        }
    }

    /// The name in the abstract namespace, if it is one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match self.0.split_first() {
            Some((0, name)) => Some(name),
            _ => None,
        }
    }

    /// Whether there is no name.
    pub fn is_unnamed(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> io::Result<NameBytes> {
        // One byte beyond is the NUL of a path that fills sun_path.
        let longest = if self.as_path().is_some() {
            UNIX_PATH_MAX + 1
        } else {
            UNIX_PATH_MAX
        };
        if self.0.len() > longest {
            return Err(io_error(Errno::EINVAL));
        }
        let bytes = self.0[..self.0.len().min(UNIX_PATH_MAX)].into();
        Ok(NameBytes::new(&SockAddr::Unix(bytes)))
    }

    fn from_name(name: SockAddr) -> UnixAddr {
        match name {
            SockAddr::Unix(bytes) => UnixAddr(bytes),
            SockAddr::Inet(_)
            | SockAddr::Netlink { .. }
            | SockAddr::Link(_)
            | SockAddr::Device(_) => UnixAddr(Arc::from([])),
        }
    }
}

/// A stream socket that listens for connections.
pub struct UnixListener {
    handle: Handle,
}

impl UnixListener {
    /// socket(2), bind(2), listen(2).
    pub fn bind(host: &Host, addr: &UnixAddr) -> io::Result<UnixListener> {
        let handle = Handle::open(host, AF_UNIX, SOCK_STREAM)?;
        handle.bind(&addr.bytes()?)?;
        handle.listen(-1)?;
        Ok(UnixListener { handle })
    }

    /// accept(2): waits for a connection.
    pub fn accept(&self) -> io::Result<(UnixStream, UnixAddr)> {
        let (handle, peer) = self.handle.accept()?;
        Ok((UnixStream { handle }, UnixAddr::from_name(peer)))
    }

    /// getsockname(2)
    pub fn local_addr(&self) -> io::Result<UnixAddr> {
        self.handle.local_name().map(UnixAddr::from_name)
    }

    common_methods!();
}

/// A connected stream socket.
pub struct UnixStream {
    handle: Handle,
}

impl UnixStream {
    /// socket(2) and connect(2).
    pub fn connect(host: &Host, addr: &UnixAddr) -> io::Result<UnixStream> {
        let handle = Handle::open(host, AF_UNIX, SOCK_STREAM)?;
        handle.connect(&addr.bytes()?)?;
        Ok(UnixStream { handle })
    }

    /// socketpair(2)
    pub fn pair(host: &Host) -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = Handle::pair(host, SOCK_STREAM)?;
        Ok((UnixStream { handle: a }, UnixStream { handle: b }))
    }

    /// dup(2): another handle to the same socket.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        Ok(UnixStream {
            handle: self.handle.clone(),
        })
    }

    /// shutdown(2)
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.handle.shutdown(how)
    }

    /// getsockname(2)
    pub fn local_addr(&self) -> io::Result<UnixAddr> {
        self.handle.local_name().map(UnixAddr::from_name)
    }

    /// getpeername(2)
    pub fn peer_addr(&self) -> io::Result<UnixAddr> {
        self.handle.peer_name().map(UnixAddr::from_name)
    }

    timeout_methods!();
    common_methods!();
}

// Nothing of a stream of AF_UNIX depends on the time.
stream_io!(UnixStream, Timing::Recent);

/// A datagram socket.
pub struct UnixDatagram {
    handle: Handle,
}

impl UnixDatagram {
    /// socket(2) and bind(2).
    pub fn bind(host: &Host, addr: &UnixAddr) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound(host)?;
        socket.handle.bind(&addr.bytes()?)?;
        Ok(socket)
    }

    /// socket(2)
    pub fn unbound(host: &Host) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram {
            handle: Handle::open(host, AF_UNIX, SOCK_DGRAM)?,
        })
    }

    /// socketpair(2)
    pub fn pair(host: &Host) -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = Handle::pair(host, SOCK_DGRAM)?;
        Ok((UnixDatagram { handle: a }, UnixDatagram { handle: b }))
    }

    /// connect(2)
    pub fn connect(&self, addr: &UnixAddr) -> io::Result<()> {
        self.handle.connect(&addr.bytes()?)
    }

    /// send(2)
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.handle.send(Timing::Now, data, None)
    }

    /// sendto(2)
    pub fn send_to(&self, data: &[u8], addr: &UnixAddr) -> io::Result<usize> {
        self.handle.send(Timing::Now, data, Some(&addr.bytes()?))
    }

    /// recv(2)
    pub fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
        self.handle.recv(Timing::Now, out, 0).map(|(n, _)| n)
    }

    /// recvfrom(2)
    pub fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, UnixAddr)> {
        let (n, name) = self.handle.recv(Timing::Now, out, 0)?;
        let name = name.map_or_else(|| UnixAddr(Arc::from([])), UnixAddr::from_name);
        Ok((n, name))
    }

    /// shutdown(2)
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.handle.shutdown(how)
    }

    /// getsockname(2)
    pub fn local_addr(&self) -> io::Result<UnixAddr> {
        self.handle.local_name().map(UnixAddr::from_name)
    }

    timeout_methods!();
    common_methods!();
}
