//! Echo requests through the gateway, by ping sockets (net.ipv4.ping_group_range): the kernel has an identifier of its
//! own for each of them, which is changed back here.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use switchboard_engine::Instant;
use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet};

use super::fault::Fault;
use super::{Gateway, Kind, MOST_PINGS, PING_IDLE, sockets};

/// Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443).
const HEADER: usize = 8;

struct Flow {
    socket: OwnedFd,
    source: IpAddr,
    ident: u16,
    last: Instant,
    hops: u8,
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
                let socket = match sockets::ping(v6) {
                    Ok(socket) => socket,
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
                let flow = Flow {
                    socket,
                    source: packet.ip.src,
                    ident: *ident,
                    last: now,
                    hops: 0,
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
        let hops = packet.ip.hop_limit.saturating_sub(1).max(1);
        if hops != flow.hops {
            sockets::set_hops(&flow.socket, v6, hops);
            flow.hops = hops;
        }
        let mut message = vec![0; HEADER];
        message[0] = if v6 { 128 } else { 8 };
        message[6..].copy_from_slice(&sequence.to_be_bytes());
        message.extend_from_slice(payload);
        let to = core::net::SocketAddr::new(real, 0);
        let put = || rustix::net::sendto(&flow.socket, &message, SendFlags::NOSIGNAL, &to);
        let mut sent = put();
        if sent.is_err() {
            flow.report(gateway, now);
            sent = put();
        }
        if let Err(error) = sent
            && let Some(fault) = Fault::of_errno(error)
        {
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
        let mut buffer: Vec<u8> = Vec::with_capacity(0x1_0000);
        loop {
            buffer.clear();
            let room = rustix::buffer::spare_capacity(&mut buffer);
            let from = match rustix::net::recvfrom(&flow.socket, room, RecvFlags::empty()) {
                Ok((_, _, from)) => from,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    flow.report(gateway, now);
                    continue;
                }
            };
            let from = from.and_then(|from| core::net::SocketAddr::try_from(from).ok());
            let (Some(from), Some((sequence, payload))) = (from, parts(&buffer)) else {
                continue;
            };
            // 0: echo reply; 129: that of ICMPv6.
            if buffer[0] != if flow.source.is_ipv6() { 129 } else { 0 } {
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
    /// Passes on what the error queue says.
    fn report(&self, gateway: &mut Gateway, now: Instant) {
        while let Ok(report) = sockets::next_report(&self.socket) {
            let Some(report) = report else { continue };
            let (Some(to), Some(by)) = (report.to, report.by) else {
                continue;
            };
            let Some((sequence, payload)) = parts(&report.data) else {
                continue;
            };
            let request = IcmpMessage::EchoRequest {
                ident: self.ident,
                sequence,
                payload: Bytes::copy_from_slice(payload),
            };
            let about = Packet {
                ip: IpHeader::new(self.source, gateway.translation.seen(to.ip())),
                body: Body::Icmp(request),
            };
            let by = gateway.translation.seen(by);
            gateway.fail(now, &about, Some(by), report.fault);
        }
    }
}

/// The sequence number and the data of an echo message.
fn parts(message: &[u8]) -> Option<(u16, &[u8])> {
    let (header, payload) = message.split_at_checked(HEADER)?;
    Some((u16::from_be_bytes([header[6], header[7]]), payload))
}
