//! Control messages of a datagram that was received, from what IP says of it: ip_cmsg_recv() and
//! ip6_datagram_recv_ctl(), in their order.

use super::InetFlags;
use super::udp::UdpSocket;
use crate::host::Host;
use crate::message::ControlOut;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use switchboard_abi::SockAddr;
use switchboard_abi::number::*;
use switchboard_engine::UdpReceived;

fn raw(level: i32, kind: i32, data: &[u8]) -> ControlOut {
    ControlOut::Raw {
        level,
        kind,
        data: data.to_vec(),
    }
}

fn name(addr: SocketAddr) -> Vec<u8> {
    let mut bytes = [0; switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE];
    let n = SockAddr::Inet(addr).encode(&mut bytes);
    bytes[..n].to_vec()
}

/// `struct in6_pktinfo`.
fn pktinfo6(ip: IpAddr, interface: u32) -> Vec<u8> {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut data = ip.octets().to_vec();
    data.extend_from_slice(&interface.to_ne_bytes());
    data
}

impl Host {
    /// Adds what the socket asked for. `v6`: of an AF_INET6 socket.
    pub(super) fn ip_control_out(
        &self,
        s: &UdpSocket,
        v6: bool,
        m: &UdpReceived,
        out: &mut Vec<ControlOut>,
    ) {
        // Of an IPv4 datagram Linux has forgotten it by now, unless it was asked for before.
        let interface = match m.noted || m.to.is_ipv6() {
            true => m.interface.get(),
            false => 0,
        };
        if s.inet.pktinfo6 && v6 {
            out.push(raw(SOL_IPV6, IPV6_PKTINFO, &pktinfo6(m.to, interface)));
        }
        match m.to {
            IpAddr::V4(ip) => self.control_out_v4(s, ip, interface, m, out),
            IpAddr::V6(_) => self.control_out_v6(s, m, out),
        }
    }

    fn control_out_v4(
        &self,
        s: &UdpSocket,
        ip: Ipv4Addr,
        interface: u32,
        m: &UdpReceived,
        out: &mut Vec<ControlOut>,
    ) {
        let options = &s.inet;
        if options.pktinfo {
            // ipi_spec_dst is the address to answer from (fib_compute_spec_dst()).
            let answer = match m.noted {
                false => Ipv4Addr::UNSPECIFIED,
                true if self.stack.is_local(m.to) => ip,
                true => match self.stack.route(m.from.ip(), None, None).map(|r| r.source) {
                    Ok(IpAddr::V4(source)) => source,
                    _ => Ipv4Addr::UNSPECIFIED,
                },
            };
            let mut data = interface.to_ne_bytes().to_vec();
            data.extend_from_slice(&answer.octets());
            data.extend_from_slice(&ip.octets());
            out.push(raw(SOL_IP, IP_PKTINFO, &data));
        }
        if options.has(InetFlags::RECVTTL) {
            out.push(raw(SOL_IP, IP_TTL, &i32::from(m.ttl).to_ne_bytes()));
        }
        if options.has(InetFlags::RECVTOS) {
            // A byte, where IP_TTL is an int.
            out.push(raw(SOL_IP, IP_TOS, &[m.tos]));
        }
        if options.has(InetFlags::RECVORIGDSTADDR) {
            let port = self.stack.udp_local(s.handle).port();
            let to = name(SocketAddr::new(m.to, port));
            out.push(raw(SOL_IP, IP_ORIGDSTADDR, &to));
        }
    }

    fn control_out_v6(&self, s: &UdpSocket, m: &UdpReceived, out: &mut Vec<ControlOut>) {
        let options = &s.inet;
        let hops = i32::from(m.ttl).to_ne_bytes();
        if options.has(InetFlags::RECVHOPLIMIT) {
            out.push(raw(SOL_IPV6, IPV6_HOPLIMIT, &hops));
        }
        if options.has(InetFlags::RECVTCLASS) {
            let tclass = i32::from(m.tos).to_ne_bytes();
            out.push(raw(SOL_IPV6, IPV6_TCLASS, &tclass));
        }
        // The traffic class and the label, if there is any of it.
        let flow = u32::from(m.tos) << 20 | m.flow_label;
        if options.has(InetFlags::RECVFLOWINFO) && flow != 0 {
            out.push(raw(SOL_IPV6, IPV6_FLOWINFO, &flow.to_be_bytes()));
        }
        if options.has(InetFlags::PKTINFO_2292) {
            let info = pktinfo6(m.to, m.interface.get());
            out.push(raw(SOL_IPV6, IPV6_2292PKTINFO, &info));
        }
        if options.has(InetFlags::HOPLIMIT_2292) {
            out.push(raw(SOL_IPV6, IPV6_2292HOPLIMIT, &hops));
        }
        if options.has(InetFlags::RECVORIGDSTADDR6) {
            let port = self.stack.udp_local(s.handle).port();
            let to = name(SocketAddr::new(m.to, port));
            out.push(raw(SOL_IPV6, IPV6_ORIGDSTADDR, &to));
        }
    }
}
