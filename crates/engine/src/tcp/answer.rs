//! Segments that no connection sends, and ICMP errors about those that one has sent.

use core::net::IpAddr;

use switchboard_wire::{
    Body, IcmpMessage, IpHeader, Packet, SeqNum, TcpFlags, TcpOptions, TcpSegment, Unreachable,
};

use super::connection::{Cx, FourTuple};
use super::stack::Head;
use super::state::{State, TcpError};
use super::table::Kind;
use crate::event::SocketHandle;
use crate::extended::SendExtra;
use crate::iface::IfIndex;
use crate::report::IcmpReport;
use crate::route::RouteInfo;
use crate::stack::Stack;
use crate::time::Instant;

impl Stack {
    pub(super) fn tcp_emit(
        &mut self,
        route: &RouteInfo,
        tuple: FourTuple,
        tos: u8,
        ttl: Option<u8>,
        segment: TcpSegment,
    ) {
        self.tcp_emit_with(Instant::BOOT, route, tuple, tos, ttl, None, segment);
    }

    /// [`tcp_emit`](Self::tcp_emit) with IPv4 options or IPv6 extension headers.
    #[allow(clippy::too_many_arguments)] // A segment and all that its header says.
    pub(super) fn tcp_emit_with(
        &mut self,
        now: Instant,
        route: &RouteInfo,
        tuple: FourTuple,
        tos: u8,
        ttl: Option<u8>,
        extra: Option<&SendExtra>,
        mut segment: TcpSegment,
    ) {
        self.counters.tcp_out_segs += 1;
        self.counters.tcp_out_rsts += u64::from(segment.flags.contains(TcpFlags::RST));
        let mut ip = IpHeader::new(tuple.local, tuple.remote);
        ip.tos = tos;
        ip.hop_limit = ttl.unwrap_or(match tuple.remote {
            IpAddr::V4(_) => self.sysctl.ip_default_ttl,
            IpAddr::V6(_) => self.hop_limit6(route.interface),
        });
        if self.tcp.signs
            && let Some(key) = self.tcp_md5_key(&tuple, route.interface)
        {
            key.sign(&ip, &mut segment);
        }
        let mut body = Body::Tcp(segment);
        if let Some(extra) = extra {
            body = extra.wrap(now, &ip, tuple.remote, body);
        }
        self.ip_output(route, Packet { ip, body });
    }

    /// RFC 9293, 3.10.7.1: a reset that the sender of the segment will believe.
    pub(super) fn tcp_reset_reply(&mut self, ip: &IpHeader, head: Head) {
        if head.flags.contains(TcpFlags::RST) {
            return;
        }
        let (seq, ack, flags) = if head.flags.contains(TcpFlags::ACK) {
            (head.ack, SeqNum(0), TcpFlags::RST)
        } else {
            (
                SeqNum(0),
                head.seq + head.seq_len,
                TcpFlags::RST | TcpFlags::ACK,
            )
        };
        let tuple = FourTuple {
            local: ip.dst,
            remote: ip.src,
            local_port: head.dst_port,
            remote_port: head.src_port,
        };
        let Ok(route) = self.route(tuple.remote, Some(tuple.local), None) else {
            self.counters.ip_out_no_routes += 1;
            return;
        };
        let segment = TcpSegment {
            src_port: tuple.local_port,
            dst_port: tuple.remote_port,
            seq,
            ack,
            flags,
            window: 0,
            urgent: 0,
            options: TcpOptions::default(),
            payload: switchboard_wire::Payload::new(),
            gso: 0,
        };
        // ip_send_unicast_reply: with the options of what it answers.
        let (answer, now) = match (&self.arriving, tuple.remote) {
            (Some(arrived), IpAddr::V4(_)) => (arrived.answer(), arrived.at),
            _ => (None, Instant::BOOT),
        };
        self.tcp_emit_with(now, &route, tuple, 0, None, answer.as_ref(), segment);
    }

    /// An ICMP error about a segment of ours (tcp_v4_err, tcp_v6_err).
    pub(crate) fn tcp_icmp_error(
        &mut self,
        now: Instant,
        interface: IfIndex,
        ip: IpHeader,
        message: IcmpMessage,
    ) {
        let Some(quoted) = message.original() else {
            return;
        };
        let (Some(ports), Some(seq)) = (quoted.ports(), quoted.tcp_seq()) else {
            return;
        };
        let tuple = FourTuple {
            local: quoted.ip.src,
            remote: quoted.ip.dst,
            local_port: ports.0,
            remote_port: ports.1,
        };
        let Some(index) = self.tcp.find(&tuple) else {
            return;
        };
        let Kind::Socket(socket) = &mut self.tcp.entries[index as usize].kind else {
            return;
        };
        let conn = &mut socket.conn;
        // Only about what is in flight: an attacker must guess the number (RFC 5927, 4).
        if seq.lt(conn.snd_una) || seq.gt(conn.snd_max) {
            return;
        }
        let (error, hard) = match &message {
            IcmpMessage::Unreachable {
                code: Unreachable::PacketTooBig,
                mtu,
                ..
            } => {
                // RFC 1191, 6.3: less than before, and not less than any link carries.
                let least = if tuple.remote.is_ipv6() { 1280 } else { 552 };
                let mtu = (*mtu).max(least);
                if mtu < conn.path.mtu && conn.state.is_synchronized() {
                    conn.path.mtu = mtu;
                    if let Some(route) = &mut socket.route {
                        route.mtu = mtu;
                    }
                    conn.sync_mss(&self.sysctl);
                    // What was too big is lost: send it again in smaller pieces now.
                    let mss = conn.mss;
                    conn.resend_outstanding(
                        Cx {
                            now,
                            sysctl: &self.sysctl,
                        },
                        mss,
                    );
                    self.learn_path_mtu(now, tuple.remote, mtu);
                    self.tcp_flush(now, index);
                }
                return;
            }
            IcmpMessage::Unreachable { code, .. } => match code {
                Unreachable::Net => (TcpError::NetUnreachable, true),
                // Unknown, prohibited, or for this type of service (icmp_err_convert).
                Unreachable::Code(6 | 9 | 11) if !tuple.remote.is_ipv6() => {
                    (TcpError::NetUnreachable, true)
                }
                Unreachable::Protocol => (TcpError::ProtocolUnreachable, true),
                Unreachable::Port => (TcpError::ConnectionRefused, true),
                _ => (TcpError::HostUnreachable, true),
            },
            IcmpMessage::TimeExceeded { .. } => (TcpError::HostUnreachable, true),
            IcmpMessage::ParameterProblem { .. } => (TcpError::Parameter, true),
            _ => return,
        };
        // A connection that is being made has its errors reported, whether or not it asked (ip_icmp_error).
        let reports = conn.opts.reports() || conn.state == State::SynSent;
        conn.on_icmp_error(error, hard);
        self.tcp_flush(now, index);
        if reports {
            self.report_icmp(IcmpReport {
                socket: SocketHandle::Tcp(self.tcp.id_at(index)),
                ip,
                interface,
                at: now,
                message,
            });
        }
    }
}
