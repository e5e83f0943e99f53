//! A structured packet as a program sees it: its headers are written, its data is looked at where it
//! is.

use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::IpAddr;
use switchboard_abi::number::*;
use switchboard_bpf::{Meta, Packet, SocketFields, Which};
use switchboard_engine::{Ask, Described, IfIndex, Inspected, Transport};
use switchboard_wire::{
    IpHeader, Payload, UdpDatagram, emit_ip_header, emit_tcp_headers, emit_udp_headers,
};

/// `ETH_P_IP`, `ETH_P_IPV6`: linux/if_ether.h
pub(crate) const ETH_P_IP: u16 = 0x0800;
pub(crate) const ETH_P_IPV6: u16 = 0x86dd;
/// sizeof(struct ethhdr): `lo` has one too, and its addresses are zero.
pub(crate) const LINK: usize = 14;

/// `ARPHRD_LOOPBACK` or `ARPHRD_ETHER` of linux/if_arp.h.
pub(crate) fn device_kind(interface: IfIndex) -> u16 {
    if interface == IfIndex::LO { 772 } else { 1 }
}

fn protocol_of(ip: &IpHeader) -> u16 {
    if ip.is_v6() { ETH_P_IPV6 } else { ETH_P_IP }
}

/// From where on a program sees a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    Network,
    Transport,
    Data,
}

/// A packet: headers, then data.
pub(super) struct Frame {
    headers: Vec<u8>,
    data: Payload,
    /// Where in them the program's first byte is.
    start: usize,
    network: usize,
    link: bool,
    pub(super) meta: Meta,
    /// `sk`, and `migrating_sk`.
    sockets: [Option<SocketFields>; 2],
}

/// `struct bpf_sock`.
fn fields(of: &Described, tcp: bool, cookie: u64) -> SocketFields {
    const ADDR4: usize = 6;
    const PORT: usize = 11;
    const PEER_PORT: usize = 12;
    const PEER4: usize = 13;
    let mut words = [0; SocketFields::WORDS];
    words[0] = of.device.map_or(0, |device| device.get());
    let family = if of.v6 { AF_INET6 } else { AF_INET };
    let (kind, protocol) = match tcp {
        true => (SOCK_STREAM, IPPROTO_TCP),
        false => (SOCK_DGRAM, IPPROTO_UDP),
    };
    words[1] = family as u32;
    words[2] = kind as u32;
    words[3] = protocol as u32;
    words[4] = of.mark;
    let mut put = |at: usize, addr: IpAddr| match addr {
        IpAddr::V4(addr) => words[at] = u32::from_ne_bytes(addr.octets()),
        IpAddr::V6(addr) => {
            let octets = addr.octets();
            let (parts, _) = octets.as_chunks::<4>();
            for (n, part) in parts.iter().enumerate() {
                words[at + 1 + n] = u32::from_ne_bytes(*part);
            }
        }
    };
    put(ADDR4, of.local.ip());
    put(PEER4, of.remote.ip());
    // The own port is a number, the peer's as it stands in a header.
    words[PORT] = of.local.port().into();
    words[PEER_PORT] = of.remote.port().to_be().into();
    words[18] = of.state.into();
    // rx_queue_mapping: none is known.
    words[19] = u32::MAX;
    SocketFields { words, cookie }
}

/// A packet's headers from the link's on, whose addresses are zero, and its data.
pub(crate) struct Written {
    pub(crate) headers: Vec<u8>,
    pub(crate) data: Payload,
    pub(crate) ip_protocol: u8,
    /// Where the data of its transport begins (skb_get_poff()).
    pub(crate) payload_at: usize,
}

impl Written {
    /// Bytes behind a link header, in which no transport is known.
    pub(crate) fn plain(headers: Vec<u8>, data: Bytes, ip_protocol: u8) -> Written {
        Written {
            headers,
            data: data.into(),
            ip_protocol,
            payload_at: 0,
        }
    }

    pub(crate) fn of(ip: &IpHeader, transport: &Transport<'_>) -> Written {
        let (written, data, payload_offset) = match *transport {
            Transport::Tcp(segment) => {
                let headers = emit_tcp_headers(ip, segment);
                (headers, segment.payload.clone(), segment.header_len())
            }
            Transport::Udp(datagram) => {
                let headers = emit_udp_headers(ip, datagram);
                (headers, datagram.payload.clone(), UdpDatagram::HEADER_LEN)
            }
            Transport::Other { protocol, payload } => {
                let headers = emit_ip_header(ip, protocol, payload.len());
                // __skb_get_poff(): the headers of ICMP have eight bytes.
                let icmp = if matches!(protocol, 1 | 58) { 8 } else { 0 };
                (headers, Payload::from(payload.clone()), icmp)
            }
        };
        let protocol = protocol_of(ip);
        let mut headers = vec![0; LINK];
        headers[12..].copy_from_slice(&protocol.to_be_bytes());
        headers.extend_from_slice(&written);
        Written {
            headers,
            data,
            ip_protocol: match *transport {
                Transport::Tcp(_) => 6,
                Transport::Udp(datagram) => datagram.protocol(),
                Transport::Other { protocol, .. } => protocol,
            },
            payload_at: LINK + ip.header_len() + payload_offset,
        }
    }
}

impl Frame {
    pub(super) fn of(packet: &Inspected<'_>, start: Start) -> Frame {
        let protocol = protocol_of(packet.ip);
        let written = Written::of(packet.ip, &packet.transport);
        let Written { headers, data, .. } = written;
        let network = LINK;
        let transport = network + packet.ip.header_len();
        let start = match start {
            Start::Network => network,
            Start::Transport => transport,
            Start::Data => headers.len(),
        };
        let kind = device_kind(packet.interface);
        let meta = Meta {
            protocol,
            pkt_type: packet.packet_type as u8,
            device: Some((packet.interface.get(), kind)),
            hash: packet.hash,
            mark: packet.tag.mark,
            priority: packet.tag.priority,
            ip_protocol: written.ip_protocol,
            // From the first byte; the flow is dissected from the network header on.
            payload_offset: written.payload_at.saturating_sub(start) as u32,
            ..Meta::default()
        };
        Frame {
            headers,
            data,
            start,
            network,
            link: true,
            meta,
            sockets: [None; 2],
        }
    }

    /// A frame whose headers begin with the link's, `start` bytes of which the program does not see.
    pub(super) fn link(
        (headers, data, start, network): (Vec<u8>, Payload, usize, usize),
        meta: Meta,
    ) -> Frame {
        Frame {
            headers,
            data,
            start,
            network,
            link: true,
            meta,
            sockets: [None; 2],
        }
    }

    /// Lets the program see the sockets it is asked about. `cookie` is that of a socket whose own is not known.
    pub(super) fn show_sockets(&mut self, ask: &Ask<'_>, tcp: bool, cookie: u64) {
        let found = ask.socket.name.map_or(cookie, |name| name + 1);
        // A connection nobody has accepted has no name yet, and a number of its own all the same.
        let moving = |of: Described| fields(&of, tcp, 1 << 63 | u64::from(ask.hash));
        self.sockets = [
            Some(fields(&ask.socket, tcp, found)),
            ask.migrating.map(moving),
        ];
    }

    /// A message without headers.
    pub(super) fn message(data: &Payload, meta: Meta) -> Frame {
        Frame {
            headers: Vec::new(),
            data: data.clone(),
            start: 0,
            network: 0,
            link: false,
            meta,
            sockets: [None; 2],
        }
    }
}

impl Packet for Frame {
    fn len(&self) -> usize {
        self.headers.len() - self.start + self.data.len()
    }

    fn load(&self, offset: i64, out: &mut [u8]) -> bool {
        let at = (self.start as i64).checked_add(offset);
        let Some(mut at) = at.and_then(|at| usize::try_from(at).ok()) else {
            return false;
        };
        let whole = self.headers.len() + self.data.len();
        if at.checked_add(out.len()).is_none_or(|end| end > whole) {
            return false;
        }
        let mut done = 0;
        let pieces = core::iter::once(&self.headers[..]).chain(self.data.iter().map(|c| &c[..]));
        for piece in pieces {
            if done == out.len() {
                break;
            }
            if at >= piece.len() {
                at -= piece.len();
                continue;
            }
            let n = (piece.len() - at).min(out.len() - done);
            out[done..done + n].copy_from_slice(&piece[at..at + n]);
            done += n;
            at = 0;
        }
        done == out.len()
    }

    fn network_offset(&self) -> i32 {
        self.network as i32 - self.start as i32
    }

    fn link_offset(&self) -> Option<i32> {
        self.link.then(|| -(self.start as i32))
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn socket(&self, which: Which) -> Option<&SocketFields> {
        self.sockets[which as usize].as_ref()
    }
}
