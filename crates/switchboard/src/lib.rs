//! Linux sockets in user space.
//!
//! A [`Net`] holds virtual [`Host`]s. Each has the whole socket layer of a Linux host: TCP and UDP
//! over IPv4 and IPv6, AF_UNIX, options, readiness, ancillary data, with the kernel's errors.
//! Nothing of it touches the host's network, and none of it needs a privilege.
//!
//! There are two ways in:
//!
//! - typed sockets in the manner of `std::net` and `std::os::unix::net`: [`TcpListener`],
//!   [`TcpStream`], [`UdpSocket`], [`UnixListener`], [`UnixStream`], [`UnixDatagram`];
//! - a [`Process`] with descriptors, on which system calls are made by number over a guest's memory:
//!   what an emulator or a sandbox needs.
//!
//! ```
//! use std::io::{Read, Write};
//! use switchboard::{Net, TcpListener, TcpStream};
//!
//! let net = Net::real_time()?;
//! let host = net.host("alone").build()?;
//! let listener = TcpListener::bind(&host, "127.0.0.1:80".parse().unwrap())?;
//! let mut client = TcpStream::connect(&host, "127.0.0.1:80".parse().unwrap())?;
//! let (mut server, peer) = listener.accept()?;
//! client.write_all(b"hello")?;
//! let mut buf = [0; 5];
//! server.read_exact(&mut buf)?;
//! assert_eq!(&buf, b"hello");
//! assert_eq!(peer, client.local_addr()?);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Time
//!
//! [`Net::real_time`] runs by the machine's clock: threads block, and a thread of the net's own runs
//! the timers. [`Net::virtual_time`] is for deterministic tests on one thread: time stands still
//! until a call blocks, and then jumps to the next thing that happens. The same seed and the same
//! calls give the same packets.
#![forbid(unsafe_code)]

mod capture;
mod clock;
mod guest;
mod host;
mod link;
mod net;
mod network;
mod outlet;
mod process;
mod sigio;
mod sockets;
pub mod wires;
mod world;

pub use clock::{Clock, RealClock};
pub use guest::GuestMemory;
pub use host::{Host, HostBuilder};
pub use link::{Interface, Link, LinkBuilder, Partition, Segment};
pub use net::Net;
pub use outlet::Gateway;
pub use process::{EpollEvent, EpollOp, FdFlags, PollFd, Process, ProcessBuilder, epoll};
pub use sigio::{Owner, Signal};
pub use sockets::{
    TcpListener, TcpStream, UdpSocket, UnixAddr, UnixDatagram, UnixListener, UnixStream,
};
pub use switchboard_abi::sysno::Arch;
pub use switchboard_abi::{Errno, Word};
pub use switchboard_device::{
    Cable, Chance, CodelConfig, Delay, Distribution, End, FifoConfig, FqCodelConfig, Loss, NAT_MTU,
    NatAddresses, NatConfig, NatCounts, NatSubnet, PipeConfig, PipeCounters, Probability, Publish,
    PublishProtocol, QueueConfig, Rate, Reorder, SegmentConfig, Tun, TunConfig, TunKind,
};
pub use switchboard_engine::{NatKind, Sysctl};
pub use switchboard_socket::{Caps, Cred, PollMask, RingMemory};
pub use switchboard_syscall::{Fault, IoVec, Memory};

/// The README's examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExamples;
