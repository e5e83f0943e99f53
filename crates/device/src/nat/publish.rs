//! Published ports: real sockets that lead into the virtual host.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with, getsockname, sockopt};
use switchboard_engine::Instant;

use super::{Gateway, Kind, sockets, tcp, udp};

/// The accept queue: net.core.somaxconn bounds it.
const BACKLOG: i32 = 4096;

/// Which protocol a port is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the virtual host that is one of the real host too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Of which protocol.
    pub protocol: PublishProtocol,
    /// Where on the real host; port 0 lets it choose.
    pub at: SocketAddr,
    /// The port of the virtual host, at its address of the same version.
    pub port: u16,
}

struct Listener {
    socket: OwnedFd,
    to: SocketAddr,
    /// It was left with somebody waiting: no descriptor was free.
    again: bool,
}

#[derive(Default)]
pub(super) struct Listeners {
    listeners: BTreeMap<u64, Listener>,
}

impl Listeners {
    /// Opens the real port.
    pub(super) fn add(
        &mut self,
        gateway: &mut Gateway,
        udp: &mut udp::Flows,
        publish: &Publish,
    ) -> io::Result<SocketAddr> {
        if publish.port == 0 {
            return Err(ErrorKind::InvalidInput.into());
        }
        let v6 = publish.at.is_ipv6();
        let to = SocketAddr::new(gateway.translation.host(v6), publish.port);
        let socket = match publish.protocol {
            PublishProtocol::Tcp => sockets::stream(v6)?,
            PublishProtocol::Udp => sockets::datagram(v6)?,
        };
        if publish.protocol == PublishProtocol::Tcp {
            // As any server: a port whose old connections are in TIME_WAIT is free.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        rustix::net::bind(&socket, &publish.at)?;
        let bound = SocketAddr::try_from(getsockname(&socket)?)?;
        match publish.protocol {
            PublishProtocol::Udp => udp.publish(gateway, socket, to)?,
            PublishProtocol::Tcp => {
                rustix::net::listen(&socket, BACKLOG)?;
                let key = gateway.key();
                gateway.watch(&socket, Kind::Listener, key)?;
                let listener = Listener {
                    socket,
                    to,
                    again: false,
                };
                self.listeners.insert(key, listener);
            }
        }
        Ok(bound)
    }

    /// Somebody has connected.
    pub(super) fn ready(
        &mut self,
        gateway: &mut Gateway,
        tcp: &mut tcp::Flows,
        now: Instant,
        key: u64,
    ) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            let (socket, from) = match acceptfrom_with(&listener.socket, flags) {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => {
                    listener.again = false;
                    return;
                }
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                // No descriptor, no memory; of those who wait nobody tells again.
                Err(_) => {
                    listener.again = true;
                    return;
                }
            };
            let Some(from) = from.and_then(|from| SocketAddr::try_from(from).ok()) else {
                continue;
            };
            let local = getsockname(&socket).ok();
            let local = local.and_then(|local| SocketAddr::try_from(local).ok());
            let seen = (gateway.translation).client(from.ip(), local.map(|local| local.ip()));
            let from = SocketAddr::new(seen, from.port());
            tcp.enter(gateway, now, socket, from, listener.to);
        }
    }

    /// Whether somebody waits of whom nobody tells.
    pub(super) fn want_again(&self) -> bool {
        self.listeners.values().any(|listener| listener.again)
    }

    /// Looks after those.
    pub(super) fn again(&mut self, gateway: &mut Gateway, tcp: &mut tcp::Flows, now: Instant) {
        let waiting = self.listeners.iter().filter(|(_, listener)| listener.again);
        let keys: std::vec::Vec<u64> = waiting.map(|(&key, _)| key).collect();
        for key in keys {
            self.ready(gateway, tcp, now, key);
        }
    }
}
