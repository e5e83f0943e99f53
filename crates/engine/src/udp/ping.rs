//! Ping sockets (icmp(7)): echo requests for those who may not have a raw socket.
//!
//! # Theory of operation
//! A ping socket is a datagram socket whose port is the identifier of its echo requests. What it sends gets that
//! identifier, and the reply that carries it comes to the socket, ICMP header and all. Several sockets may share an
//! identifier; the one bound last hears.

use core::net::SocketAddr;

use bytes::Bytes;
use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet, Payload, emit_body};

use super::queue::UdpReceived;
use super::send::check_size;
use super::{Role, UdpSend, UdpSendError, any};
use crate::counters::IcmpCounters;
use crate::event::UdpId;
use crate::hash::prune;
use crate::iface::IfIndex;
use crate::ports::{BindError, BindRequest, Family};
use crate::stack::Stack;
use crate::time::Instant;

/// All of these panic when `id` names a socket that was closed.
impl Stack {
    /// `socket(domain, SOCK_DGRAM, IPPROTO_ICMP)`, or IPPROTO_ICMPV6: a new ping socket, not bound.
    pub fn ping_open(&mut self, family: Family) -> UdpId {
        let id = self.udp_open(family);
        self.udp.open_mut(id).role = Role::Ping;
        self.udp.open_mut(id).queue.make_plain();
        id
    }

    /// Whether it is a ping socket.
    pub fn is_ping(&self, id: UdpId) -> bool {
        matches!(self.udp.open(id).role, Role::Ping)
    }

    /// ping_bind: an address and an identifier, 0 for any that is free. Sharing one is allowed, as SO_REUSEADDR is set
    /// on every ping socket; `request.reuse_addr` says whether it still is.
    pub(super) fn ping_bind(
        &mut self,
        id: UdpId,
        request: &BindRequest,
    ) -> Result<SocketAddr, BindError> {
        let ident = self.ping_claim(id, request.port, request.reuse_addr)?;
        let socket = self.udp.open_mut(id);
        let addr = request.addr.to_canonical();
        socket.attributes.device = request.device;
        socket.attributes.reuse_addr = request.reuse_addr;
        socket.addr_locked |= !addr.is_unspecified();
        socket.port_locked |= request.port != 0;
        socket.local = SocketAddr::new(addr, ident);
        Ok(socket.local)
    }

    pub(super) fn ping_autobind(&mut self, id: UdpId) -> Result<(), BindError> {
        let socket = self.udp.open(id);
        if socket.local.port() != 0 {
            return Ok(());
        }
        let ident = self.ping_claim(id, 0, socket.attributes.reuse_addr)?;
        self.udp.open_mut(id).local.set_port(ident);
        Ok(())
    }

    /// ping_get_port.
    fn ping_claim(&mut self, id: UdpId, ident: u16, reuse: bool) -> Result<u16, BindError> {
        let ident = match ident {
            0 => {
                if self.udp.last_ident == 0 {
                    self.udp.last_ident = self.random.u32() as u16;
                }
                let first = self.udp.last_ident;
                (1..=u16::MAX)
                    .map(|step| first.wrapping_add(step))
                    .find(|ident| *ident != 0 && !self.udp.pings.contains_key(ident))
                    .ok_or(BindError::PortsExhausted)?
            }
            ident => {
                let sharers = self.udp.pings.get(&ident);
                let mut sharers = sharers.into_iter().flatten();
                let all = sharers.all(|other| {
                    let other = self.udp.get(*other);
                    other.is_none_or(|other| other.attributes.reuse_addr)
                });
                if !(all && (reuse || !self.udp.pings.contains_key(&ident))) {
                    return Err(BindError::InUse);
                }
                ident
            }
        };
        self.udp.last_ident = ident;
        self.ping_unhash(id);
        self.udp.pings.entry(ident).or_default().push(id);
        Ok(ident)
    }

    pub(super) fn ping_unhash(&mut self, id: UdpId) {
        let socket = self.udp.open(id);
        let key = socket.local.port();
        if !matches!(socket.role, Role::Ping) {
            return;
        }
        prune(&mut self.udp.pings, key, |list| {
            list.retain(|other| *other != id)
        });
    }

    /// `sendto(fd, ...)` of a ping socket: an echo request of type `kind` with the socket's identifier. The data of
    /// `send` is what follows the ICMP header. Gives the packet back as it left, if the caller wants to `see` it.
    pub fn ping_send(
        &mut self,
        now: Instant,
        id: UdpId,
        send: UdpSend,
        kind: u8,
        sequence: u16,
        see: bool,
    ) -> Result<Option<Packet>, UdpSendError> {
        self.ping_autobind(id)
            .map_err(|_| UdpSendError::PortsExhausted)?;
        let route = self.udp_send_route(id, send.dst.ip().to_canonical(), &send)?;
        let ident = self.udp.open(id).local.port();
        let payload = send.payload.to_bytes();
        let message = match kind {
            8 | 128 => IcmpMessage::EchoRequest {
                ident,
                sequence,
                payload,
            },
            // RFC 8335: extended echo.
            _ => IcmpMessage::Other {
                kind,
                code: 0,
                rest: u32::from(ident) << 16 | u32::from(sequence),
                payload,
            },
        };
        let mut ip = self.udp_header(&route, send.tos, send.ttl);
        if send.may_be_cut {
            self.let_cut(&mut ip);
        }
        self.label(&mut ip, send.flow_label, (0, 0));
        let v6 = ip.is_v6();
        let kind = IcmpCounters::kind(v6, &message);
        let mut body = Body::Icmp(message);
        if let Some(extra) = &send.extra {
            body = extra.wrap(now, &ip, send.dst.ip().to_canonical(), body);
        }
        let len = body.wire_len();
        check_size(&ip, len)?;
        self.counters.icmp_out_msgs += 1;
        self.counters.v6.icmp_out_msgs += u64::from(v6);
        self.counters.icmp_out[usize::from(v6)].add(kind);
        let packet = Packet { ip, body };
        let seen = see.then(|| packet.clone());
        self.udp_output(id, &route, send.tag, send.fragment_size, packet);
        self.run_loopback(now);
        Ok(seen)
    }

    /// The socket that an identifier belongs to (ping_lookup): the peer does not count.
    fn ping_lookup(
        &self,
        interface: IfIndex,
        ip: &IpHeader,
        local: core::net::IpAddr,
        ident: u16,
    ) -> Option<UdpId> {
        let family = if ip.is_v6() { Family::V6 } else { Family::V4 };
        let list = self.udp.pings.get(&ident)?;
        (list.iter().rev().copied()).find(|id| {
            self.udp.get(*id).is_some_and(|socket| {
                let bound = socket.local.ip();
                let device = socket.attributes.device;
                socket.family == family
                    && (bound == any(family) || bound == local)
                    && device.is_none_or(|device| device == interface)
            })
        })
    }

    /// An echo reply came in (ping_rcv).
    pub(crate) fn ping_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        message: IcmpMessage,
    ) {
        let IcmpMessage::EchoReply { ident, .. } = message else {
            return;
        };
        let Some(id) = self.ping_lookup(interface, ip, ip.dst, ident) else {
            return;
        };
        let body = Body::Icmp(message);
        let bytes = Bytes::from(emit_body(ip, &body));
        let protocol = body.protocol(ip.is_v6());
        let seen = self.raw_filtered(now, id, interface, ip, protocol, &bytes, false);
        let Some(bytes) = seen else { return };
        let datagram = UdpReceived::raw(now, interface, ip, Payload::from(bytes));
        self.udp_enqueue(id, datagram);
    }

    /// An ICMP error about an echo request of this host came in (ping_err).
    pub(crate) fn ping_icmp_error(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        error: &IcmpMessage,
    ) {
        let Some(quoted) = error.original() else {
            return;
        };
        let v6 = quoted.ip.is_v6();
        let &[kind, _, _, _, high, low, ..] = &quoted.transport[..] else {
            return;
        };
        if kind != if v6 { 128 } else { 8 } {
            return;
        }
        let ident = u16::from_be_bytes([high, low]);
        let Some(id) = self.ping_lookup(interface, &quoted.ip, quoted.ip.src, ident) else {
            return;
        };
        self.udp_tell(id, now, interface, ip, error);
    }
}
