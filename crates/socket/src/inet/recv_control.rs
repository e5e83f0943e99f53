//! Control messages of a datagram that was received, from what IP says of it: ip_cmsg_recv() and
//! ip6_datagram_recv_ctl(), in their order.

use super::raw::Datagram;
use super::{InetFlags, InetOptions};
use crate::host::Host;
use crate::message::ControlOut;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use switchboard_abi::SockAddr;
use switchboard_abi::number::*;
use switchboard_engine::{Arrived, IcmpReport, UdpReceived};
use switchboard_wire::{DESTINATION_OPTIONS, ExtHeader, HOP_OPTIONS, ROUTING};

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

/// IP_ORIGDSTADDR takes for a port what stands where UDP has it, if it is there.
fn second_word(kind: Datagram, m: &UdpReceived) -> Option<u16> {
    let mut first = [0];
    m.payload.copy_to(&mut first);
    let header = match m.to {
        IpAddr::V4(_) if kind == Datagram::Raw => usize::from(first[0] & 15) * 4,
        _ => 0,
    };
    let mut word = [0; 2];
    let whole = m.payload.len() >= header + 4;
    whole.then(|| {
        m.payload.slice(header + 2..header + 4).copy_to(&mut word);
        u16::from_be_bytes(word)
    })
}

/// What IP says of a packet that came in, as far as sockets are told.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Where it was sent to.
    pub(crate) to: IpAddr,
    /// The port it was sent to; none of an ICMP error.
    pub(crate) port: Option<u16>,
    /// By which interface it came; 0 if that is forgotten.
    pub(crate) interface: u32,
    /// The address to answer from (ipi_spec_dst), if that was noted.
    pub(crate) answer: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) flow_label: u32,
    /// Its options or extension headers.
    pub(crate) extra: Option<Box<Arrived>>,
}

/// What asks for a control message with each datagram, beside `IP_PKTINFO` and `IPV6_RECVPKTINFO`.
const ASKS: InetFlags = InetFlags::RECVTTL
    .union(InetFlags::RECVTOS)
    .union(InetFlags::RECVOPTS)
    .union(InetFlags::RETOPTS)
    .union(InetFlags::RECVORIGDSTADDR)
    .union(InetFlags::RECVFRAGSIZE)
    .union(InetFlags::RECVHOPLIMIT)
    .union(InetFlags::HOPLIMIT_2292)
    .union(InetFlags::PKTINFO_2292)
    .union(InetFlags::RECVRTHDR)
    .union(InetFlags::RTHDR_2292)
    .union(InetFlags::RECVHOPOPTS)
    .union(InetFlags::HOPOPTS_2292)
    .union(InetFlags::RECVDSTOPTS)
    .union(InetFlags::DSTOPTS_2292)
    .union(InetFlags::RECVTCLASS)
    .union(InetFlags::RECVFLOWINFO)
    .union(InetFlags::RECVORIGDSTADDR6)
    .union(InetFlags::RECVFRAGSIZE6);

impl InetOptions {
    /// Whether [`Facts::tell`] may have anything to tell.
    pub(super) fn asks(&self) -> bool {
        self.pktinfo || self.pktinfo6 || self.flags.intersects(ASKS)
    }
}

impl Facts {
    /// Of a datagram in a socket's queue.
    pub(super) fn of(h: &Host, kind: Datagram, m: &UdpReceived) -> Facts {
        let ping = kind == Datagram::Ping;
        // Of an IPv4 datagram Linux has forgotten it by now, unless it was asked for before; ping_queue_rcv_skb() does not
        // prepare for that, so there it stays.
        let interface = match m.noted || m.to.is_ipv6() || ping {
            true => m.interface.get(),
            false => 0,
        };
        // fib_compute_spec_dst()
        let answer = match m.to {
            _ if ping => Ipv4Addr::UNSPECIFIED,
            IpAddr::V4(ip) if m.noted && h.stack.is_local(m.to) => ip,
            IpAddr::V4(_) if m.noted => {
                match h.stack.route(m.from.ip(), None, None).map(|r| r.source) {
                    Ok(IpAddr::V4(source)) => source,
                    _ => Ipv4Addr::UNSPECIFIED,
                }
            }
            _ => Ipv4Addr::UNSPECIFIED,
        };
        Facts {
            to: m.to,
            port: match kind {
                Datagram::Udp => Some(m.port),
                Datagram::Raw | Datagram::Ping => second_word(kind, m),
            },
            interface,
            answer,
            ttl: m.ttl,
            tos: m.tos,
            flow_label: m.flow_label,
            extra: m.extra.clone(),
        }
    }

    /// Of an ICMP error: its own header, not that of what it is about.
    pub(super) fn of_error(report: &IcmpReport) -> Facts {
        Facts {
            to: report.ip.dst,
            port: None,
            interface: report.interface.get(),
            answer: Ipv4Addr::UNSPECIFIED,
            ttl: report.ip.hop_limit,
            tos: report.ip.tos,
            flow_label: report.ip.flow_label,
            extra: None,
        }
    }

    /// Adds what the socket asked for. `v6`: of an AF_INET6 socket.
    pub(super) fn tell(&self, options: &InetOptions, v6: bool, out: &mut Vec<ControlOut>) {
        if options.pktinfo6 && v6 {
            let info = pktinfo6(self.to, self.interface);
            out.push(raw(SOL_IPV6, IPV6_PKTINFO, &info));
        }
        match self.to {
            IpAddr::V4(ip) => self.tell_v4(options, ip, out),
            IpAddr::V6(_) => self.tell_v6(options, out),
        }
    }

    fn tell_v4(&self, options: &InetOptions, ip: Ipv4Addr, out: &mut Vec<ControlOut>) {
        if options.pktinfo {
            let mut data = self.interface.to_ne_bytes().to_vec();
            data.extend_from_slice(&self.answer.octets());
            data.extend_from_slice(&ip.octets());
            out.push(raw(SOL_IP, IP_PKTINFO, &data));
        }
        if options.has(InetFlags::RECVTTL) {
            out.push(raw(SOL_IP, IP_TTL, &i32::from(self.ttl).to_ne_bytes()));
        }
        if options.has(InetFlags::RECVTOS) {
            // A byte, where IP_TTL is an int.
            out.push(raw(SOL_IP, IP_TOS, &[self.tos]));
        }
        let came = self.extra.as_ref().and_then(|extra| extra.options.as_ref());
        if options.has(InetFlags::RECVOPTS)
            && let Some(came) = came
        {
            out.push(raw(SOL_IP, IP_RECVOPTS, came.bytes()));
        }
        // ip_cmsg_recv_retopts(): an answer that carries nothing is told too.
        if options.has(InetFlags::RETOPTS)
            && came.is_some()
            && let Some(answer) = self.extra.as_ref().and_then(|extra| extra.answer.as_ref())
        {
            out.push(raw(SOL_IP, IP_RETOPTS, &answer.undo()));
        }
        if options.has(InetFlags::RECVORIGDSTADDR)
            && let Some(port) = self.port
        {
            let to = name(SocketAddr::new(self.to, port));
            out.push(raw(SOL_IP, IP_ORIGDSTADDR, &to));
        }
        self.tell_size(
            options.has(InetFlags::RECVFRAGSIZE),
            SOL_IP,
            IP_RECVFRAGSIZE,
            out,
        );
    }

    fn tell_v6(&self, options: &InetOptions, out: &mut Vec<ControlOut>) {
        let hops = i32::from(self.ttl).to_ne_bytes();
        if options.has(InetFlags::RECVHOPLIMIT) {
            out.push(raw(SOL_IPV6, IPV6_HOPLIMIT, &hops));
        }
        if options.has(InetFlags::RECVTCLASS) {
            let tclass = i32::from(self.tos).to_ne_bytes();
            out.push(raw(SOL_IPV6, IPV6_TCLASS, &tclass));
        }
        // The traffic class and the label, if there is any of it.
        let flow = u32::from(self.tos) << 20 | self.flow_label;
        if options.has(InetFlags::RECVFLOWINFO) && flow != 0 {
            out.push(raw(SOL_IPV6, IPV6_FLOWINFO, &flow.to_be_bytes()));
        }
        self.tell_headers(options, out);
        if options.has(InetFlags::PKTINFO_2292) {
            let info = pktinfo6(self.to, self.interface);
            out.push(raw(SOL_IPV6, IPV6_2292PKTINFO, &info));
        }
        if options.has(InetFlags::HOPLIMIT_2292) {
            out.push(raw(SOL_IPV6, IPV6_2292HOPLIMIT, &hops));
        }
        self.tell_headers_2292(options, out);
        if options.has(InetFlags::RECVORIGDSTADDR6)
            && let Some(port) = self.port
        {
            let to = name(SocketAddr::new(self.to, port));
            out.push(raw(SOL_IPV6, IPV6_ORIGDSTADDR, &to));
        }
        let asked = options.has(InetFlags::RECVFRAGSIZE6);
        self.tell_size(asked, SOL_IPV6, IPV6_RECVFRAGSIZE, out);
    }

    /// The largest piece of a packet that came in pieces.
    fn tell_size(&self, asked: bool, level: i32, kind: i32, out: &mut Vec<ControlOut>) {
        let size = self.extra.as_ref().map_or(0, |extra| extra.fragment_size);
        if asked && size > 0 {
            out.push(raw(level, kind, &size.to_ne_bytes()));
        }
    }

    fn headers(&self) -> &[ExtHeader] {
        self.extra.as_ref().map_or(&[], |extra| &extra.headers)
    }

    /// RFC 3542: hop-by-hop options first, then the others in their order.
    fn tell_headers(&self, options: &InetOptions, out: &mut Vec<ControlOut>) {
        for header in self.headers() {
            let (flag, kind) = match header.kind {
                HOP_OPTIONS => (InetFlags::RECVHOPOPTS, IPV6_HOPOPTS),
                ROUTING => (InetFlags::RECVRTHDR, IPV6_RTHDR),
                _ => (InetFlags::RECVDSTOPTS, IPV6_DSTOPTS),
            };
            if options.has(flag) {
                out.push(raw(SOL_IPV6, kind, &header.bytes));
            }
        }
    }

    /// RFC 2292: of destination options the last before the routing header, and the last behind it.
    fn tell_headers_2292(&self, options: &InetOptions, out: &mut Vec<ControlOut>) {
        let headers = self.headers();
        let find = |kind| headers.iter().rposition(|header| header.kind == kind);
        let mut tell = |flag, kind, at: Option<usize>| {
            if let Some(header) = at.and_then(|at| headers.get(at))
                && options.has(flag)
            {
                out.push(raw(SOL_IPV6, kind, &header.bytes));
            }
        };
        let (route, last) = (find(ROUTING), find(DESTINATION_OPTIONS));
        let before = headers[..route.unwrap_or(0)]
            .iter()
            .rposition(|header| header.kind == DESTINATION_OPTIONS);
        tell(InetFlags::HOPOPTS_2292, IPV6_2292HOPOPTS, find(HOP_OPTIONS));
        tell(InetFlags::DSTOPTS_2292, IPV6_2292DSTOPTS, before);
        tell(InetFlags::RTHDR_2292, IPV6_2292RTHDR, route);
        let behind = last.filter(|last| route.is_none_or(|route| *last > route));
        tell(InetFlags::DSTOPTS_2292, IPV6_2292DSTOPTS, behind);
    }
}
