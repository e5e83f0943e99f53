//! UDP through the gateway: a real socket for each address and port of the virtual host, and errors by its error queue.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use switchboard_engine::Instant;
use switchboard_wire::{Body, IpHeader, Packet, Payload, UdpDatagram};

use super::sockets::{Buffer, Datagrams};
use super::{Gateway, Kind, MOST_UDP, UDP_IDLE, any, sockets};

/// Clients of a published port that may be answered.
const MOST_CLIENTS: usize = 1024;

struct Flow {
    socket: Datagrams,
    /// The virtual host's address and port.
    source: SocketAddr,
    last: Instant,
    /// A published port, which stays, and who has asked there lately.
    published: Option<Clients>,
}

/// By the addresses and ports by which the virtual host sees them: who they are, and when they were last heard of.
type Clients = BTreeMap<SocketAddr, (SocketAddr, Instant)>;

#[derive(Default)]
pub(super) struct Flows {
    flows: BTreeMap<u64, Flow>,
    by_source: BTreeMap<SocketAddr, u64>,
    buffer: Option<Buffer>,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Nothing here will be idle some day.
    pub(super) fn is_empty(&self) -> bool {
        let idle = |flow: &Flow| flow.published.as_ref().is_some_and(Clients::is_empty);
        self.flows.values().all(idle)
    }

    /// A published port's socket.
    pub(super) fn publish(
        &mut self,
        gateway: &mut Gateway,
        socket: OwnedFd,
        source: SocketAddr,
    ) -> io::Result<()> {
        if self.by_source.contains_key(&source) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let key = gateway.key();
        gateway.watch(&socket, Kind::Udp, key)?;
        self.insert(key, socket, source, Instant::BOOT);
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.published = Some(BTreeMap::new());
        }
        Ok(())
    }

    fn insert(&mut self, key: u64, socket: OwnedFd, source: SocketAddr, now: Instant) {
        let flow = Flow {
            socket: Datagrams::new(socket, source.is_ipv6()),
            source,
            last: now,
            published: None,
        };
        self.flows.insert(key, flow);
        self.by_source.insert(source, key);
    }

    /// A published port answers a client. Says whether that is so.
    pub(super) fn answers(&mut self, gateway: &mut Gateway, now: Instant, packet: &Packet) -> bool {
        let Body::Udp(datagram) = &packet.body else {
            return false;
        };
        let source = SocketAddr::new(packet.ip.src, datagram.src_port);
        let Some(flow) = self
            .by_source
            .get(&source)
            .and_then(|k| self.flows.get_mut(k))
        else {
            return false;
        };
        let client = SocketAddr::new(packet.ip.dst, datagram.dst_port);
        let clients = flow.published.as_mut();
        let Some((real, last)) = clients.and_then(|clients| clients.get_mut(&client)) else {
            return false;
        };
        *last = now;
        let real = *real;
        flow.send(gateway, now, packet, datagram, real);
        true
    }

    /// A datagram of the virtual host's for somebody outside.
    pub(super) fn send(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        packet: &Packet,
        real: SocketAddr,
    ) {
        let Body::Udp(datagram) = &packet.body else {
            return;
        };
        let source = SocketAddr::new(packet.ip.src, datagram.src_port);
        let key = match self.by_source.get(&source) {
            Some(&key) => key,
            None => {
                if self.flows.len() >= MOST_UDP {
                    self.drop_oldest();
                }
                let v6 = packet.ip.is_v6();
                let Ok(socket) = sockets::datagram(v6) else {
                    return;
                };
                // The same port outside, if it is free there.
                let same = SocketAddr::new(any(v6), source.port());
                let _ = rustix::net::bind(&socket, &same);
                let key = gateway.key();
                if gateway.watch(&socket, Kind::Udp, key).is_err() {
                    return;
                }
                self.insert(key, socket, source, now);
                key
            }
        };
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.last = now;
            flow.send(gateway, now, packet, datagram, real);
        }
    }

    /// The table is full: who was silent for longest goes.
    fn drop_oldest(&mut self) {
        let flows = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.published.is_none());
        if let Some((&key, _)) = flows.min_by_key(|(_, flow)| flow.last)
            && let Some(flow) = self.flows.remove(&key)
        {
            self.by_source.remove(&flow.source);
        }
    }

    /// The real socket has datagrams, or errors.
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
        let buffer = self.buffer.get_or_insert_with(sockets::buffer);
        while let Some((n, from)) = (flow.socket).recv(buffer, || flow.report(gateway, now)) {
            flow.last = now;
            let from = flow.client(gateway, now, from);
            let packet = Packet {
                ip: IpHeader::new(from.ip(), flow.source.ip()),
                body: Body::Udp(UdpDatagram {
                    src_port: from.port(),
                    dst_port: flow.source.port(),
                    payload: Payload::from(&buffer[..n]),
                    segment: 0,
                    unsummed: false,
                    lite: None,
                }),
            };
            gateway.send(now, packet);
        }
    }

    /// Ends what was idle for long.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.flows.retain(|_, flow| {
            if let Some(clients) = &mut flow.published {
                clients.retain(|_, (_, last)| now.saturating_sub(*last) < UDP_IDLE);
                return true;
            }
            let stays = now.saturating_sub(flow.last) < UDP_IDLE;
            if !stays {
                self.by_source.remove(&flow.source);
            }
            stays
        });
    }
}

impl Flow {
    fn send(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        packet: &Packet,
        datagram: &UdpDatagram,
        real: SocketAddr,
    ) {
        self.socket.set_hops(packet.ip.hop_limit);
        let whole = datagram.payload.to_bytes();
        // UDP_SEGMENT: several in one.
        let each = match datagram.segment {
            0 => whole.len().max(1),
            n => n.into(),
        };
        let empty = whole.is_empty().then_some(&[][..]);
        for piece in whole.chunks(each).chain(empty) {
            let sent = (self.socket).send(piece, real, || self.report(gateway, now));
            if let Err(Some(fault)) = sent {
                return gateway.fail(now, packet, None, fault);
            }
        }
    }

    /// Passes on what the error queue says.
    fn report(&self, gateway: &mut Gateway, now: Instant) {
        for report in self.socket.reports() {
            let about = Packet {
                ip: IpHeader::new(self.source.ip(), gateway.translation.seen(report.to.ip())),
                body: Body::Udp(UdpDatagram {
                    src_port: self.source.port(),
                    dst_port: report.to.port(),
                    payload: report.data.into(),
                    segment: 0,
                    unsummed: false,
                    lite: None,
                }),
            };
            let by = gateway.translation.seen(report.by);
            gateway.fail(now, &about, Some(by), report.fault);
        }
    }

    /// The address and port by which the virtual host sees who has sent something.
    fn client(&mut self, gateway: &Gateway, now: Instant, from: SocketAddr) -> SocketAddr {
        let Some(clients) = &mut self.published else {
            return SocketAddr::new(gateway.translation.seen(from.ip()), from.port());
        };
        let seen = gateway.translation.client(from.ip(), None);
        // Its own port, or the next that no other client from another of the real host's addresses has.
        let at = |port| SocketAddr::new(seen, port);
        let own = |port: &u16| {
            clients
                .get(&at(*port))
                .is_none_or(|(real, _)| *real == from)
        };
        let port = (from.port()..=u16::MAX).chain(1..from.port()).find(own);
        let client = at(port.unwrap_or(from.port()));
        if clients.len() >= MOST_CLIENTS && !clients.contains_key(&client) {
            let oldest = clients.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(&client, _)| client) {
                clients.remove(&oldest);
            }
        }
        clients.insert(client, (from, now));
        client
    }
}
