//! Typed blocking sockets, in the manner of `std::net` and `std::os::unix::net`.

mod tcp;
mod udp;
mod unix;

pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixAddr, UnixDatagram, UnixListener, UnixStream};

use crate::host::Host;
use crate::process::linger;
use crate::world::Timing;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE;
use switchboard_abi::{Errno, SockAddr, Word};
use switchboard_socket::{
    AcceptPlan, Attempt, CloseOutcome, ConnectProgress, Cx, Fail, Host as Layer, RecvProgress,
    RecvRequest, SendControl, SendRequest, Skip, SocketId,
};
use switchboard_wire::Payload;

pub(crate) fn io_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(i32::from(errno.0))
}

/// The bytes of a `sockaddr`.
pub(crate) struct NameBytes {
    bytes: [u8; SOCKADDR_STORAGE_SIZE],
    len: usize,
}

impl NameBytes {
    pub(crate) fn new(name: &SockAddr) -> NameBytes {
        let mut bytes = [0; SOCKADDR_STORAGE_SIZE];
        let len = name.encode(&mut bytes);
        NameBytes { bytes, len }
    }

    pub(crate) fn inet(addr: SocketAddr) -> NameBytes {
        NameBytes::new(&SockAddr::Inet(addr))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A socket that is closed when its last handle is dropped. What a call needs is in the handle or the layer: among very many
/// sockets each step from one place in memory to the next is a wait.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) host: Host,
    pub(crate) id: SocketId,
    _open: Arc<Open>,
}

/// What the handles of one socket share.
struct Open {
    host: Host,
    id: SocketId,
}

impl Drop for Open {
    fn drop(&mut self) {
        let net = &self.host.net;
        let mut world = net.lock();
        let outcome = world.call(self.host.index, |layer, cx| layer.close(cx, self.id));
        if outcome != CloseOutcome::Done {
            world = linger(&self.host, world, self.id, outcome);
        }
        net.settle(&mut world, self.host.index);
        net.unlock(world);
    }
}

impl Handle {
    fn new(host: &Host, id: SocketId) -> Handle {
        let open = Open {
            host: host.clone(),
            id,
        };
        Handle {
            host: host.clone(),
            id,
            _open: Arc::new(open),
        }
    }

    pub(crate) fn open(host: &Host, domain: i32, ty: i32) -> io::Result<Handle> {
        let id = host
            .net
            .with(|world| world.call(host.index, |layer, cx| layer.socket(cx, domain, ty, 0)));
        Ok(Handle::new(host, id.map_err(io_error)?))
    }

    pub(crate) fn inet(host: &Host, addr: SocketAddr, ty: i32) -> io::Result<Handle> {
        let domain = if addr.is_ipv4() { AF_INET } else { AF_INET6 };
        Handle::open(host, domain, ty)
    }

    pub(crate) fn pair(host: &Host, ty: i32) -> io::Result<(Handle, Handle)> {
        let pair = host
            .net
            .with(|world| world.call(host.index, |layer, cx| layer.socketpair(cx, AF_UNIX, ty, 0)));
        let (a, b) = pair.map_err(io_error)?;
        Ok((Handle::new(host, a), Handle::new(host, b)))
    }

    /// A call that does not wait.
    pub(crate) fn now<T>(
        &self,
        f: impl FnOnce(&mut Layer, &mut Cx<'_>) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let net = &self.host.net;
        let mut world = net.lock();
        let result = world.call(self.host.index, f);
        net.settle(&mut world, self.host.index);
        net.unlock(world);
        result.map_err(io_error)
    }

    /// A call that may wait. `attempt` commits what it finds ready; its last argument says that
    /// the call may not wait any more.
    #[inline]
    fn run<T>(
        &self,
        timing: Timing,
        mut attempt: impl FnMut(&mut Layer, &mut Cx<'_>, bool) -> Result<Attempt<T>, Fail>,
    ) -> io::Result<T> {
        let net = &self.host.net;
        let index = self.host.index;
        let mut world = net.lock();
        let mut last = world.hosts[index].layer.nonblocking(self.id);
        let mut started = None;
        loop {
            let result = world.call_with(index, timing, |layer, cx| {
                attempt(layer, cx, last).inspect_err(|fail| layer.commit_fail(cx, self.id, *fail))
            });
            // What is blocked settles when it waits: then it is told what happens.
            let blocked = match result {
                Ok(Attempt::Ready(value)) => {
                    net.settle(&mut world, index);
                    net.unlock(world);
                    return Ok(value);
                }
                Err(fail) => {
                    net.settle(&mut world, index);
                    net.unlock(world);
                    return Err(io_error(fail.errno));
                }
                Ok(Attempt::Blocked(_)) if last => return Err(io_error(Errno::EAGAIN)),
                Ok(Attempt::Blocked(blocked)) => blocked,
            };
            let started = *started.get_or_insert(world.now());
            let deadline = blocked.timeout.map(|timeout| started + timeout);
            let sockets = [(self.id, blocked.interest)];
            world = net
                .wait(world, index, &sockets, deadline)
                .map_err(io_error)?;
            last = deadline.is_some_and(|deadline| deadline <= world.now());
        }
    }

    pub(crate) fn bind(&self, name: &NameBytes) -> io::Result<()> {
        self.now(|layer, cx| layer.bind(cx, self.id, name.as_slice()))
    }

    pub(crate) fn listen(&self, backlog: i32) -> io::Result<()> {
        self.now(|layer, cx| layer.listen(cx, self.id, backlog))
    }

    pub(crate) fn connect(&self, name: &NameBytes) -> io::Result<()> {
        let mut progress = ConnectProgress::default();
        self.run(Timing::Now, |layer, cx, last| {
            layer.attempt_connect(cx, self.id, name.as_slice(), &mut progress, last)
        })
    }

    pub(crate) fn accept(&self) -> io::Result<(Handle, SockAddr)> {
        let (id, peer) = self.run(Timing::Now, |layer, cx, last| {
            Ok(match layer.attempt_accept(cx, self.id, last)? {
                Attempt::Ready(plan) => {
                    let AcceptPlan { ref peer, .. } = plan;
                    let peer = peer.clone();
                    Attempt::Ready((layer.commit_accept(cx, plan), peer))
                }
                Attempt::Blocked(blocked) => Attempt::Blocked(blocked),
            })
        })?;
        Ok((Handle::new(&self.host, id), peer))
    }

    /// Sends what there is room for, or the whole message.
    #[inline]
    pub(crate) fn send(
        &self,
        timing: Timing,
        data: &[u8],
        name: Option<&NameBytes>,
    ) -> io::Result<usize> {
        let control = SendControl::default();
        self.run(timing, |layer, cx, last| {
            let request = SendRequest {
                len: data.len(),
                done: 0,
                skip: Skip::default(),
                flags: MSG_NOSIGNAL,
                name: name.map(NameBytes::as_slice),
                control: &control,
                last,
            };
            Ok(match layer.attempt_send(cx, self.id, &request)? {
                Attempt::Ready(plan) => {
                    let take = plan.take;
                    layer.commit_send(cx, self.id, plan, pieces(&data[..take]));
                    Attempt::Ready(take)
                }
                Attempt::Blocked(blocked) => Attempt::Blocked(blocked),
            })
        })
    }

    /// Receives into `out`: the count, and who sent it.
    #[inline]
    pub(crate) fn recv(
        &self,
        timing: Timing,
        out: &mut [u8],
        flags: i32,
    ) -> io::Result<(usize, Option<SockAddr>)> {
        let mut progress = RecvProgress::default();
        let result = self.run(timing, |layer, cx, last| {
            let mut request = RecvRequest {
                len: out.len(),
                flags,
                skip: Skip::default(),
                progress: &mut progress,
                last,
            };
            Ok(match layer.attempt_recv(cx, self.id, &mut request)? {
                Attempt::Ready(mut received) => {
                    let n = received.data.copy_to(out);
                    let name = received.name.take();
                    layer.commit_recv(cx, self.id, received);
                    Attempt::Ready((n, name))
                }
                Attempt::Blocked(blocked) => Attempt::Blocked(blocked),
            })
        });
        if result.is_err() {
            // Bytes that a call with a large SO_RCVLOWAT had taken go back.
            self.now(|layer, cx| {
                layer.abandon_recv(cx, self.id, progress);
                Ok(())
            })?;
        }
        result
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => SHUT_RD,
            Shutdown::Write => SHUT_WR,
            Shutdown::Both => SHUT_RDWR,
        };
        self.now(|layer, cx| layer.shutdown(cx, self.id, how))
    }

    pub(crate) fn local_name(&self) -> io::Result<SockAddr> {
        self.now(|layer, _| layer.getsockname(self.id))
    }

    pub(crate) fn peer_name(&self) -> io::Result<SockAddr> {
        self.now(|layer, _| layer.getpeername(self.id))
    }

    pub(crate) fn set_nonblocking(&self, on: bool) {
        let net = &self.host.net;
        net.with(|world| {
            world.hosts[self.host.index]
                .layer
                .set_nonblocking(self.id, on)
        });
    }

    pub(crate) fn set_option(&self, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
        self.now(|layer, cx| layer.setsockopt(cx, self.id, level, name, value, Word::Lp64))
    }

    pub(crate) fn option(&self, level: i32, name: i32, len: usize) -> io::Result<Vec<u8>> {
        self.now(|layer, cx| {
            let value = layer.getsockopt(cx, self.id, level, name, len, Word::Lp64)?;
            layer.commit_getsockopt(self.id, &value);
            Ok(value.bytes)
        })
    }

    pub(crate) fn set_int(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        self.set_option(level, name, &value.to_ne_bytes())
    }

    pub(crate) fn int(&self, level: i32, name: i32) -> io::Result<i32> {
        let bytes = self.option(level, name, 4)?;
        let bytes = bytes
            .first_chunk()
            .copied()
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(i32::from_ne_bytes(bytes))
    }

    /// `SO_RCVTIMEO` or `SO_SNDTIMEO`. As in std, zero is refused; `None` waits for ever.
    pub(crate) fn set_timeout(&self, name: i32, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let timeout = timeout.unwrap_or(Duration::ZERO);
        // What is less than a microsecond is not for ever.
        let micros = u64::from(timeout.subsec_micros());
        let micros = if timeout > Duration::ZERO && timeout < Duration::from_micros(1) {
            1
        } else {
            micros
        };
        let mut value = [0; 16];
        value[..8].copy_from_slice(&timeout.as_secs().to_ne_bytes());
        value[8..].copy_from_slice(&micros.to_ne_bytes());
        self.set_option(SOL_SOCKET, name, &value)
    }

    /// `SO_ERROR`, taken.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let errno = self.int(SOL_SOCKET, SO_ERROR)?;
        Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
    }
}

/// Sent bytes, in pieces that a reader frees one by one.
#[inline]
fn pieces(data: &[u8]) -> Payload {
    const PIECE: usize = 64 * 1024;
    if data.len() <= PIECE {
        return Payload::from(data);
    }
    data.chunks(PIECE)
        .map(bytes::Bytes::copy_from_slice)
        .collect()
}

pub(crate) fn inet_name(name: SockAddr) -> io::Result<SocketAddr> {
    name.as_inet()
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What every typed socket has.
macro_rules! common_methods {
    () => {
        /// `O_NONBLOCK`: a call that would wait fails with [`WouldBlock`](io::ErrorKind::WouldBlock).
        pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
            self.handle.set_nonblocking(on);
            Ok(())
        }

        /// `SO_ERROR`: the pending error, taken.
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            self.handle.take_error()
        }

        /// setsockopt(2), for the options that have no method here.
        pub fn set_option(&self, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
            self.handle.set_option(level, name, value)
        }

        /// getsockopt(2), for the options that have no method here.
        pub fn option(&self, level: i32, name: i32, len: usize) -> io::Result<Vec<u8>> {
            self.handle.option(level, name, len)
        }
    };
}
pub(crate) use common_methods;

/// Time-outs, for sockets that carry data.
macro_rules! timeout_methods {
    () => {
        /// `SO_RCVTIMEO`; `None` waits for ever, zero is refused.
        pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.handle.set_timeout(SO_RCVTIMEO_OLD, timeout)
        }

        /// `SO_SNDTIMEO`; `None` waits for ever, zero is refused.
        pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.handle.set_timeout(SO_SNDTIMEO_OLD, timeout)
        }
    };
}
pub(crate) use timeout_methods;

/// `Read` and `Write`, by value and by reference.
macro_rules! stream_io {
    ($stream:ty, $timing:expr) => {
        impl Read for $stream {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                (&*self).read(out)
            }
        }

        impl Read for &$stream {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                if out.is_empty() {
                    return Ok(0);
                }
                self.handle.recv($timing, out, 0).map(|(n, _)| n)
            }
        }

        impl Write for $stream {
            fn write(&mut self, data: &[u8]) -> io::Result<usize> {
                (&*self).write(data)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Write for &$stream {
            fn write(&mut self, data: &[u8]) -> io::Result<usize> {
                self.handle.send($timing, data, None)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}
pub(crate) use stream_io;
