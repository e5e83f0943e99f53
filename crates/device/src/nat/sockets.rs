//! Sockets of the real host: how they are made, and what their error queues say.

use core::net::{IpAddr, SocketAddr};
use std::boxed::Box;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::vec;
use std::vec::Vec;

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, socket_with,
    sockopt as options,
};

use super::fault::Fault;

/// `SO_EE_ORIGIN_ICMP`, `SO_EE_ORIGIN_ICMP6`
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

pub(super) fn stream(v6: bool) -> Result<OwnedFd> {
    open(v6, SocketType::STREAM, None)
}

/// A datagram socket that tells of ICMP errors by its error queue.
pub(super) fn datagram(v6: bool) -> Result<OwnedFd> {
    let socket = open(v6, SocketType::DGRAM, None)?;
    report_errors(&socket, v6);
    Ok(socket)
}

/// A ping socket; where ping_group_range does not allow it, a raw one if there is CAP_NET_RAW, and else EACCES.
pub(super) fn ping(v6: bool) -> Result<Echoes> {
    let protocol = if v6 { ipproto::ICMPV6 } else { ipproto::ICMP };
    let of_kind = |kind| open(v6, kind, Some(protocol));
    let (socket, raw) = match of_kind(SocketType::DGRAM) {
        Err(Errno::ACCESS) => match of_kind(SocketType::RAW) {
            Ok(socket) => (socket, true),
            Err(_) => return Err(Errno::ACCESS),
        },
        socket => (socket?, false),
    };
    report_errors(&socket, v6);
    Ok(Echoes { socket, raw })
}

/// A socket for echo messages.
pub(super) struct Echoes {
    pub(super) socket: OwnedFd,
    /// It hears those of everybody, with IPv4's header, and the kernel gives it no identifier.
    pub(super) raw: bool,
}

fn open(v6: bool, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd> {
    let family = if v6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, kind, flags, protocol)?;
    // A raw socket has its number already, and hears IPv6 only.
    if v6 && kind != SocketType::RAW {
        options::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// Without it errors would be less exact, so that a failure is no reason to fail.
fn report_errors(socket: &OwnedFd, v6: bool) {
    let _ = if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    };
}

/// close(2) with SO_LINGER and no time: the peer sees a reset.
pub(super) fn reset(socket: OwnedFd) {
    let _ = options::set_socket_linger(&socket, Some(core::time::Duration::ZERO));
    drop(socket);
}

/// The largest datagram (RFC 768).
const LARGEST: usize = 0xffff;

/// Where one is read.
pub(super) type Buffer = Box<[u8]>;

pub(super) fn buffer() -> Buffer {
    vec![0; LARGEST].into_boxed_slice()
}

/// What [`datagram`] or [`ping`] has opened, and what its datagrams have.
pub(super) struct Datagrams {
    socket: OwnedFd,
    v6: bool,
    hops: u8,
}

impl Datagrams {
    pub(super) fn new(socket: OwnedFd, v6: bool) -> Datagrams {
        let hops = 0;
        Datagrams { socket, v6, hops }
    }

    /// What is sent from now on has the hops of a packet of the virtual host's that goes on, less the gateway's.
    pub(super) fn set_hops(&mut self, of_packet: u8) {
        // takes_anybody() has let none with one hop pass.
        let hops = of_packet.saturating_sub(1).max(1);
        if hops == self.hops {
            return;
        }
        self.hops = hops;
        let _ = if self.v6 {
            options::set_ipv6_unicast_hops(&self.socket, Some(hops))
        } else {
            options::set_ip_ttl(&self.socket, hops.into())
        };
    }

    /// Sends a datagram; what went wrong, if it did. `report` is to pass on what [`reports`](Self::reports) has.
    pub(super) fn send(
        &self,
        data: &[u8],
        to: SocketAddr,
        report: impl FnOnce(),
    ) -> core::result::Result<(), Option<Fault>> {
        let put = || rustix::net::sendto(&self.socket, data, SendFlags::NOSIGNAL, &to);
        let mut sent = put();
        if sent.is_err() {
            // It may be the error of an earlier one.
            report();
            sent = put();
        }
        match sent {
            Ok(_) => Ok(()),
            Err(error) => Err(Fault::of_errno(error)),
        }
    }

    /// The next datagram that has come: its length and its sender.
    pub(super) fn recv(
        &self,
        buffer: &mut Buffer,
        mut report: impl FnMut(),
    ) -> Option<(usize, SocketAddr)> {
        loop {
            match rustix::net::recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((n, _, from)) => {
                    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                    if let Some(from) = from {
                        return Some((n, from));
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                // An error that the queue tells more of.
                Err(_) => report(),
            }
        }
    }

    /// What others have said about datagrams. The local errors of the queue are also the results of calls.
    pub(super) fn reports(&self) -> impl Iterator<Item = Report> {
        core::iter::from_fn(|| next_report(&self.socket).ok()).flatten()
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An error that somebody has sent about a datagram.
pub(super) struct Report {
    /// To whom it was sent.
    pub(super) to: SocketAddr,
    /// Who says so.
    pub(super) by: IpAddr,
    pub(super) fault: Fault,
    /// The data that was sent.
    pub(super) data: Vec<u8>,
}

/// The next report of a socket's error queue: `Err` when there is none, `None` for one that says nothing of use.
fn next_report(socket: &OwnedFd) -> core::result::Result<Option<Report>, nix::Error> {
    let mut data = vec![0; 2048];
    let mut control = [0; 512];
    let mut iov = [IoSliceMut::new(&mut data)];
    let got = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut iov,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    )?;
    let n = got.bytes;
    let to = got.address.as_ref().and_then(plain);
    let mut said = None;
    for message in got.cmsgs().into_iter().flatten() {
        said = match message {
            ControlMessageOwned::Ipv4RecvErr(error, by) => {
                let by = by.map(|by| IpAddr::from(by.sin_addr.s_addr.to_ne_bytes()));
                Some((error, by, false))
            }
            ControlMessageOwned::Ipv6RecvErr(error, by) => {
                let by = by.map(|by| IpAddr::from(by.sin6_addr.s6_addr));
                Some((error, by, true))
            }
            _ => continue,
        };
    }
    data.truncate(n);
    let Some((error, by, v6)) = said else {
        return Ok(None);
    };
    let fault = match error.ee_origin {
        ORIGIN_ICMP | ORIGIN_ICMP6 => {
            Fault::of_icmp(v6, error.ee_type, error.ee_code, error.ee_info)
        }
        _ => None,
    };
    let by = by.filter(|by| !by.is_unspecified());
    Ok((to.zip(by).zip(fault)).map(|((to, by), fault)| Report {
        to,
        by,
        fault,
        data,
    }))
}

fn plain(address: &SockaddrStorage) -> Option<SocketAddr> {
    // An address that the kernel did not fill in is of no family.
    address.family()?;
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::new(v4.ip().into(), v4.port())),
        (_, Some(v6)) => Some(SocketAddr::new(v6.ip().into(), v6.port())),
        _ => None,
    }
}
