//! UDP input: datagrams to sockets, ICMP errors to their senders.

use core::net::SocketAddr;

use switchboard_wire::{IcmpMessage, IpHeader, UdpDatagram, Unreachable};

use super::queue::UdpReceived;
use super::{Notes, UdpError};
use crate::event::{EventKind, SocketHandle, UdpId};
use crate::iface::IfIndex;
use crate::report::IcmpReport;
use crate::stack::{Cast, Stack};
use crate::tag::Tag;
use crate::time::Instant;

impl Stack {
    /// A datagram came in.
    pub(crate) fn udp_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        cast: Cast,
        tag: Tag,
        ip: IpHeader,
        mut datagram: UdpDatagram,
    ) {
        if datagram.segment != 0 {
            let whole = self.udp_uncoalesced(now, interface, cast, tag, ip, datagram);
            let Some(batch) = whole else { return };
            datagram = batch;
        }
        let from = SocketAddr::new(ip.src, datagram.src_port);
        let to = SocketAddr::new(ip.dst, datagram.dst_port);
        let (unsummed, lite) = (datagram.unsummed, datagram.lite.is_some());
        let received = |payload| UdpReceived {
            from,
            to: ip.dst,
            port: datagram.dst_port,
            interface,
            tos: ip.tos,
            ttl: ip.hop_limit,
            flow_label: ip.flow_label,
            at: now,
            noted: false,
            segment: datagram.segment,
            stamped: false,
            drops: 0,
            peeked: false,
            extra: None,
            tag,
            payload,
        };
        if cast != Cast::Unicast {
            let Some(space) = self.udp.space(lite) else {
                return;
            };
            for id in space.demux.lookup_all(interface, from, to) {
                if cast == Cast::Multicast && !self.udp_is_addressed(id, interface, &ip) {
                    continue;
                }
                if lite && !self.udp_is_covered(id, &datagram, ip.is_v6()) {
                    continue;
                }
                let payload = self.udp_filtered(now, id, interface, cast, tag, &ip, &datagram);
                if let Some(payload) = payload {
                    self.udp_take(id, unsummed, received(payload));
                }
            }
            return;
        }
        match self.udp_receiver(now, interface, cast, tag, &ip, &datagram) {
            Some(id) if lite && !self.udp_is_covered(id, &datagram, ip.is_v6()) => {}
            Some(id) if self.udp.get(id).is_some_and(|s| s.filters.is_some()) => {
                let payload = self.udp_filtered(now, id, interface, cast, tag, &ip, &datagram);
                if let Some(payload) = payload {
                    self.udp_take(id, unsummed, received(payload));
                }
            }
            Some(id) => self.udp_take(id, unsummed, received(datagram.payload)),
            // RFC 8200, 8.1: __udp6_lib_rcv() answers no datagram without a checksum.
            None if unsummed && ip.is_v6() => self.counters.udp_in_errors += 1,
            None => {
                // RFC 1122, 4.1.3.1.
                if lite {
                    self.counters.lite[usize::from(ip.is_v6())].no_ports += 1;
                } else {
                    self.counters.udp_no_ports += 1;
                    self.counters.v6.udp_no_ports += u64::from(ip.is_v6());
                }
                self.icmp_port_unreachable(now, interface, ip, datagram);
            }
        }
    }

    /// A socket is to have the datagram, if it takes one without a checksum.
    fn udp_take(&mut self, id: UdpId, unsummed: bool, datagram: UdpReceived) {
        let v6 = datagram.to.is_ipv6();
        if unsummed && v6 && self.udp.get(id).is_some_and(|s| !s.no_check6) {
            // RFC 8200, 8.1 (udp6_csum_zero_error).
            self.counters.udp_in_errors += 1;
            return;
        }
        self.udp_enqueue(id, datagram);
    }

    pub(super) fn udp_enqueue(&mut self, id: UdpId, mut datagram: UdpReceived) {
        let Some(socket) = self.udp.get_mut(id) else {
            return;
        };
        if let Some(arrived) = &self.arriving {
            datagram.extra = Some(arrived.clone());
        }
        datagram.noted = socket.notes.contains(Notes::PACKET_INFO);
        datagram.stamped = socket.notes.contains(Notes::STAMPS);
        if socket.notes.contains(Notes::DROPS) {
            datagram.drops = socket.queue.drops;
        }
        // sk_incoming_cpu_update(), of connected sockets only.
        if socket.remote.is_some() {
            socket.notes |= Notes::HEARD;
        }
        let v6 = datagram.to.is_ipv6();
        let (counted, lite) = (socket.has_port(), socket.is_lite());
        if socket.queue.push(datagram) {
            self.udp_event(id, EventKind::READABLE);
        } else if counted {
            self.count_udp_error(lite, v6);
            if lite {
                self.counters.lite[usize::from(v6)].rcvbuf_errors += 1;
            } else {
                self.counters.udp_rcvbuf_errors += 1;
                self.counters.v6.udp_rcvbuf_errors += u64::from(v6);
            }
        }
    }

    pub(super) fn count_udp_error(&mut self, lite: bool, v6: bool) {
        if lite {
            self.counters.lite[usize::from(v6)].in_errors += 1;
        } else {
            self.counters.udp_in_errors += 1;
        }
    }

    /// An ICMP error about a datagram of this host came in (__udp4_lib_err).
    pub(crate) fn udp_icmp_error(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        error: &IcmpMessage,
    ) {
        let Some(quoted) = error.original() else {
            return;
        };
        let Some((src_port, dst_port)) = quoted.ports() else {
            return;
        };
        let local = SocketAddr::new(quoted.ip.src, src_port);
        let remote = SocketAddr::new(quoted.ip.dst, dst_port);
        let lite = quoted.protocol == 136;
        let Some(id) = self.udp.lookup(lite, interface, remote, local, None) else {
            return;
        };
        self.udp_tell(id, now, interface, ip, error);
    }

    /// Whether a packet to a group is for this socket.
    pub(super) fn udp_is_addressed(&self, id: UdpId, interface: IfIndex, ip: &IpHeader) -> bool {
        let Some(socket) = self.udp.get(id) else {
            return false;
        };
        let all = socket.multicast_all[usize::from(ip.is_v6())];
        let handle = SocketHandle::Udp(id);
        (self.groups).lets_through(handle, interface, ip.dst, ip.src, all)
    }

    /// An ICMP error is about a datagram of this socket.
    pub(super) fn udp_tell(
        &mut self,
        id: UdpId,
        now: Instant,
        interface: IfIndex,
        ip: &IpHeader,
        error: &IcmpMessage,
    ) {
        if let IcmpMessage::Unreachable {
            code: Unreachable::PacketTooBig,
            mtu,
            original,
        } = error
        {
            self.learn_path_mtu(now, original.ip.dst, *mtu);
        }
        let Some(socket) = self.udp.get_mut(id) else {
            return;
        };
        if socket.reports {
            return self.report_icmp(IcmpReport {
                socket: SocketHandle::Udp(id),
                ip: *ip,
                interface,
                at: now,
                message: error.clone(),
            });
        }
        // Without IP_RECVERR only hard errors count, and only on connected sockets (RFC 1122, 4.1.3.3 asks for more;
        // Linux explains why not).
        if let (Some(error), true) = (hard_error(error, ip.is_v6()), socket.remote.is_some()) {
            socket.error = Some(error);
            self.udp_event(id, EventKind::ERROR);
        }
    }
}

/// The error that a connected socket sees, if the message is a hard one (icmp_err_convert, icmpv6_err_convert).
fn hard_error(message: &IcmpMessage, v6: bool) -> Option<UdpError> {
    use Unreachable as U;
    match message {
        IcmpMessage::Unreachable { code, .. } => match (code, v6) {
            (U::Port, _) => Some(UdpError::ConnectionRefused),
            (U::Protocol, _) => Some(UdpError::ProtocolUnreachable),
            // Sockets discover the path MTU by default (IP_PMTUDISC_WANT).
            (U::PacketTooBig, _) => Some(UdpError::MessageTooLong),
            (U::AdminProhibited, true) => Some(UdpError::Prohibited),
            // Policy failed, and reject route.
            (U::Code(5 | 6), true) => Some(UdpError::Prohibited),
            (U::AdminProhibited, false) => Some(UdpError::HostUnreachable),
            (U::Code(6 | 9), false) => Some(UdpError::NetUnreachable),
            (U::Code(7), false) => Some(UdpError::HostDown),
            (U::Code(8), false) => Some(UdpError::HostIsolated),
            (U::Code(10 | 14 | 15), false) => Some(UdpError::HostUnreachable),
            _ => None,
        },
        IcmpMessage::ParameterProblem { .. } => Some(UdpError::ParameterProblem),
        _ => None,
    }
}
