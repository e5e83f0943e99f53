//! Diversion: a gateway's host takes what is for anybody, and leaves to its owner what becomes of it. What TPROXY and
//! IP_TRANSPARENT are to a gateway made of Linux sockets.
//!
//! # Theory of operation
//! A packet that comes in by a diverting interface for an address of nobody here is handled as if it were the host's own:
//! put together, its checksums and headers checked. Then the first packet of a conversation (a SYN that belongs to no
//! connection, each datagram, an echo request to somebody else) is not answered but put aside, for
//! [`Stack::poll_diverted`]. The owner says what becomes of it: [`Stack::tcp_admit`] makes a connection of a SYN,
//! [`Stack::resume`] lets the packet go on as if nobody had looked, and is answered with a RST or an ICMP error.
//! Segments of connections that were admitted never come out here.
//!
//! # Limits
//! [`MOST`] packets are kept; what comes on top is dropped and counted as a discard.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet, TcpFlags};

use crate::event::TcpId;
use crate::icmp::Fault;
use crate::iface::IfIndex;
use crate::ports::{BindError, BindRequest, Family};
use crate::stack::{Cast, Hint, Stack};
use crate::tag::Tag;
use crate::tcp::{ConnectError, FourTuple};
use crate::time::Instant;

/// How many packets wait for their owner: a thousand, as before an interface.
const MOST: usize = 1000;

/// A packet that was put aside.
#[derive(Clone, Debug)]
pub struct Diverted {
    /// Where it came in.
    pub interface: IfIndex,
    /// The packet, whole and without IPv4 options and IPv6 extension headers.
    pub packet: Packet,
}

#[derive(Debug, Default)]
pub(crate) struct Diversion {
    interfaces: alloc::vec::Vec<IfIndex>,
    aside: VecDeque<Diverted>,
}

impl Diversion {
    fn is_of(&self, interface: IfIndex) -> bool {
        self.interfaces.contains(&interface)
    }
}

impl Stack {
    /// From now on `interface` takes what is for anybody.
    pub fn divert(&mut self, interface: IfIndex) {
        let diversion = self.diversion.get_or_insert_with(Box::default);
        if !diversion.is_of(interface) {
            diversion.interfaces.push(interface);
        }
    }

    /// The oldest packet that was put aside.
    pub fn poll_diverted(&mut self) -> Option<Diverted> {
        self.diversion.as_mut()?.aside.pop_front()
    }

    /// A packet that was put aside goes on: no connection takes it, nor does a socket that is not there.
    pub fn resume(&mut self, now: Instant, diverted: Diverted) {
        let Diverted { interface, packet } = diverted;
        let Packet { ip, mut body } = packet;
        let marks = (Hint::NONE, Tag::default());
        self.transport_deliver(now, interface, marks, Cast::Unicast, &ip, &mut body);
        self.run_loopback(now);
    }

    /// Sends a packet as it is, by the route to its destination. It may have anybody's address as its source; what is too
    /// long for the link is cut, or is lost where it must not be.
    pub fn send_packet(&mut self, now: Instant, packet: Packet) {
        match self.route(packet.ip.dst, Some(packet.ip.src), None) {
            Ok(route) => self.ip_output(&route, packet),
            Err(_) => self.counters.ip_out_no_routes += 1,
        }
        self.run_loopback(now);
    }

    /// `connect(fd, remote, len)` from an address and port that may be anybody's (IP_TRANSPARENT).
    pub fn tcp_connect_as(
        &mut self,
        now: Instant,
        id: TcpId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(), ConnectError> {
        let request = BindRequest {
            addr: local.ip(),
            port: local.port(),
            family: if local.is_ipv4() {
                Family::V4
            } else {
                Family::V6
            },
            v6only: true,
            device: None,
            // Two clients may come from one port of different addresses, or one from one port to several.
            reuse_addr: true,
            reuse_port: false,
            uid: 0,
        };
        let nonlocal = (self.sysctl.ip_nonlocal_bind, self.sysctl.ipv6_nonlocal_bind);
        self.sysctl.ip_nonlocal_bind = true;
        self.sysctl.ipv6_nonlocal_bind = true;
        let bound = self.tcp_bind(id, request);
        (self.sysctl.ip_nonlocal_bind, self.sysctl.ipv6_nonlocal_bind) = nonlocal;
        match bound {
            Ok(_) => self.tcp_connect(now, id, remote),
            Err(BindError::InUse | BindError::NotLocal | BindError::PortsExhausted) => {
                Err(ConnectError::AddrNotAvailable)
            }
        }
    }

    fn diverts(&self, interface: IfIndex) -> bool {
        let diversion = self.diversion.as_deref();
        diversion.is_some_and(|diversion| diversion.is_of(interface))
    }

    /// Whether a packet to nobody here is taken all the same. One whose hops are used up is not, and its sender is told.
    pub(crate) fn takes_anybody(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        body: &Body,
    ) -> bool {
        if !self.diverts(interface) || !is_one(ip.dst) {
            return false;
        }
        if ip.hop_limit <= 1 {
            self.counters.ip_in_hdr_errors += 1;
            let packet = Packet {
                ip: *ip,
                body: body.clone(),
            };
            self.icmp_error(now, interface, Cast::Unicast, &packet, Fault::Hops);
            return false;
        }
        true
    }

    /// Puts a packet aside that came in by a diverting interface and begins a conversation. Says whether it did.
    #[cold]
    pub(crate) fn put_aside(&mut self, interface: IfIndex, ip: &IpHeader, body: &mut Body) -> bool {
        if !self.diverts(interface) {
            return false;
        }
        let begins = match body {
            Body::Tcp(segment) => {
                let kind = segment.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST);
                let tuple = FourTuple::of(ip, segment);
                kind == TcpFlags::SYN && !self.tcp_is_alive(&tuple)
            }
            Body::Udp(_) => true,
            Body::Icmp(IcmpMessage::EchoRequest { .. }) => self.interface_of(ip.dst).is_none(),
            Body::Icmp(_) | Body::Other { .. } | Body::Extended(_) => false,
        };
        let Some(diversion) = self.diversion.as_deref_mut().filter(|_| begins) else {
            return false;
        };
        if diversion.aside.len() >= MOST {
            self.counters.ip_in_discards += 1;
            return true;
        }
        let nothing = Body::Other {
            protocol: 0,
            payload: Default::default(),
        };
        diversion.aside.push_back(Diverted {
            interface,
            packet: Packet {
                ip: *ip,
                body: core::mem::replace(body, nothing),
            },
        });
        true
    }
}

/// Neither a group nor everybody.
fn is_one(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0),
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests;
