//! Echo requests through the gateway, by ping sockets (net.ipv4.ping_group_range): the kernel has an identifier of its
//! own for each of them, which is changed back here. Where there are none, by raw sockets, if those may be had (CAP_NET_RAW).

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::vec;

use bytes::Bytes;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use switchboard_engine::Instant;
use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet, checksum};

use super::fault::Fault;
use super::sockets::{Datagrams, Echoes};
use super::{Gateway, Kind, MOST_PINGS, PING_IDLE, sockets};

/// Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443).
const HEADER: usize = 8;

struct Flow {
    socket: Datagrams,
    /// The identifier of a raw socket.
    raw: Option<u16>,
    source: IpAddr,
    ident: u16,
    last: Instant,
}

#[derive(Default)]
pub(super) struct Flows {
    flows: BTreeMap<u64, Flow>,
    by_ident: BTreeMap<(IpAddr, u16), u64>,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// An echo request of the virtual host's.
    pub(super) fn send(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        packet: &Packet,
        real: IpAddr,
    ) {
        let Body::Icmp(IcmpMessage::EchoRequest {
            ident,
            sequence,
            payload,
        }) = &packet.body
        else {
            return;
        };
        let v6 = packet.ip.is_v6();
        let name = (packet.ip.src, *ident);
        let key = match self.by_ident.get(&name) {
            Some(&key) => key,
            None => {
                if self.flows.len() >= MOST_PINGS {
                    return;
                }
                let Echoes { socket, raw } = match sockets::ping(v6) {
                    Ok(echoes) => echoes,
                    // This user may have no ping socket: a filter of the real host, to whom it stands in its way.
                    Err(Errno::ACCESS | Errno::PERM) => {
                        return gateway.fail(now, packet, None, Fault::Prohibited);
                    }
                    Err(_) => return,
                };
                let key = gateway.key();
                if gateway.watch(&socket, Kind::Ping, key).is_err() {
                    return;
                }
                // One that other processes of the machine hardly have.
                let own = (std::process::id() as u16)
                    .rotate_left(8)
                    .wrapping_add(key as u16);
                let flow = Flow {
                    socket: Datagrams::new(socket, v6),
                    raw: raw.then_some(own),
                    source: packet.ip.src,
                    ident: *ident,
                    last: now,
                };
                self.flows.insert(key, flow);
                self.by_ident.insert(name, key);
                key
            }
        };
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        flow.last = now;
        flow.socket.set_hops(packet.ip.hop_limit);
        let mut message = vec![0; HEADER];
        message[0] = if v6 { 128 } else { 8 };
        message[4..6].copy_from_slice(&flow.raw.unwrap_or(0).to_be_bytes());
        message[6..].copy_from_slice(&sequence.to_be_bytes());
        message.extend_from_slice(payload);
        if flow.raw.is_some() && !v6 {
            // The kernel makes that of ICMPv6 only.
            let sum = checksum(None, &message);
            message[2..4].copy_from_slice(&sum);
        }
        let to = SocketAddr::new(real, 0);
        let sent = (flow.socket).send(&message, to, || flow.report(gateway, now));
        if let Err(Some(fault)) = sent {
            gateway.fail(now, packet, None, fault);
        }
    }

    /// The real socket has replies, or errors.
    pub(super) fn ready(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        key: u64,
        flags: EventFlags,
    ) {
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        if flags.contains(EventFlags::ERR) {
            flow.report(gateway, now);
        }
        if !flags.contains(EventFlags::IN) {
            return;
        }
        let mut buffer = sockets::buffer();
        while let Some((n, from)) = (flow.socket).recv(&mut buffer, || flow.report(gateway, now)) {
            let Some((kind, sequence, payload)) = flow.own(flow.without_ip(&buffer[..n])) else {
                continue;
            };
            // 0: echo reply; 129: that of ICMPv6.
            if kind != if flow.source.is_ipv6() { 129 } else { 0 } {
                continue;
            }
            flow.last = now;
            let reply = IcmpMessage::EchoReply {
                ident: flow.ident,
                sequence,
                payload: Bytes::copy_from_slice(payload),
            };
            let packet = Packet {
                ip: IpHeader::new(gateway.translation.seen(from.ip()), flow.source),
                body: Body::Icmp(reply),
            };
            gateway.send(now, packet);
        }
    }

    /// Ends what was idle for long.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.flows.retain(|_, flow| {
            let stays = now.saturating_sub(flow.last) < PING_IDLE;
            if !stays {
                self.by_ident.remove(&(flow.source, flow.ident));
            }
            stays
        });
    }
}

impl Flow {
    /// A message that came, less the header of IPv4 that a raw socket hears.
    fn without_ip<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        if self.raw.is_none() || self.source.is_ipv6() {
            return message;
        }
        let header = message
            .first()
            .map_or(0, |first| usize::from(first & 15) * 4);
        message.get(header..).unwrap_or_default()
    }

    /// Type, sequence number and data of an echo message, if it is this flow's.
    fn own<'a>(&self, message: &'a [u8]) -> Option<(u8, u16, &'a [u8])> {
        let (header, payload) = message.split_at_checked(HEADER)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let own = self.raw.is_none_or(|ident| ident == word(4));
        own.then(|| (header[0], word(6), payload))
    }

    /// Passes on what the error queue says.
    fn report(&self, gateway: &mut Gateway, now: Instant) {
        for report in self.socket.reports() {
            let Some((_, sequence, payload)) = self.own(&report.data) else {
                continue;
            };
            let request = IcmpMessage::EchoRequest {
                ident: self.ident,
                sequence,
                payload: Bytes::copy_from_slice(payload),
            };
            let about = Packet {
                ip: IpHeader::new(self.source, gateway.translation.seen(report.to.ip())),
                body: Body::Icmp(request),
            };
            let by = gateway.translation.seen(report.by);
            gateway.fail(now, &about, Some(by), report.fault);
        }
    }
}
