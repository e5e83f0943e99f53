//! Names of UDP sockets: bind(2), connect(2), and their places in the tables of ports and of receivers.

use core::net::{IpAddr, SocketAddr};

use super::{Attributes, Role, Way, any, canonical};
use crate::event::UdpId;
use crate::filter::Filters;
use crate::ports::{BindError, BindKey, BindRequest, Family};
use crate::route::RouteError;
use crate::stack::Stack;
use crate::time::Instant;

/// All of these panic when `id` names a socket that was closed.
impl Stack {
    /// `bind(fd, addr, len)`: claims an address and a port. A socket that is bound already is bound anew.
    pub fn udp_bind(&mut self, id: UdpId, request: BindRequest) -> Result<SocketAddr, BindError> {
        let addr = request.addr.to_canonical();
        let many = addr.is_multicast()
            || matches!(addr, IpAddr::V4(v4) if self.interfaces.is_broadcast(v4));
        let bindable = addr.is_unspecified() || many || self.interfaces.owner(addr).is_some();
        let Attributes {
            nonlocal, ports, ..
        } = self.udp.open(id).attributes;
        if !bindable && !nonlocal && !self.sysctl.nonlocal_bind(request.addr) {
            return Err(BindError::NotLocal);
        }
        match self.udp.open(id).role {
            Role::Udp | Role::Lite(_) => {}
            Role::Raw(_) => return self.raw_bind(id, &request),
            Role::Ping => return self.ping_bind(id, &request),
        }
        self.udp_unhash(id);
        let range = self.sysctl.local_ports(ports);
        let founded = Filters::group_of(&self.udp.open(id).filters).is_some();
        let lite = self.udp.open(id).is_lite();
        let bound = (self.udp.space_mut(lite).ports).bind_founder(
            &request,
            range,
            &mut self.random,
            founded,
        );
        let key = bound.inspect_err(|_| {
            // inet_bind: an address that was kept is gone by then.
            let socket = self.udp.open_mut(id);
            socket.local = SocketAddr::new(any(socket.family), 0);
        })?;
        let BindRequest {
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
            ..
        } = request;
        let socket = self.udp.open_mut(id);
        socket.attributes = Attributes {
            mark: socket.attributes.mark,
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
            nonlocal,
            ports,
        };
        socket.key = Some(key);
        socket.grouped = reuse_port;
        socket.local = SocketAddr::new(addr, key.port);
        // Linux only ever adds to sk_userlocks: an address once named is kept for good, even a later wildcard's.
        socket.addr_locked |= !addr.is_unspecified();
        socket.port_locked |= request.port != 0;
        self.udp_hash(id);
        Ok(self.udp.open(id).local)
    }

    /// `bind(fd, addr, len)` with IP_BIND_ADDRESS_NO_PORT: the address without a port, which connect(2) or the first
    /// datagram brings.
    pub fn udp_bind_address(&mut self, id: UdpId, addr: IpAddr) -> Result<(), BindError> {
        let addr = addr.to_canonical();
        let nonlocal = self.udp.open(id).attributes.nonlocal || self.sysctl.nonlocal_bind(addr);
        let many = addr.is_multicast()
            || matches!(addr, IpAddr::V4(v4) if self.interfaces.is_broadcast(v4));
        let here = addr.is_unspecified() || many || self.interfaces.owner(addr).is_some();
        if !here && !nonlocal {
            return Err(BindError::NotLocal);
        }
        self.udp_unhash(id);
        let socket = self.udp.open_mut(id);
        socket.local = SocketAddr::new(addr, 0);
        socket.addr_locked |= !addr.is_unspecified();
        Ok(())
    }

    /// `connect(fd, addr, len)`: sends to and receives from `remote` only. Binds an unbound socket first.
    pub fn udp_connect(
        &mut self,
        now: Instant,
        id: UdpId,
        remote: SocketAddr,
    ) -> Result<(), RouteError> {
        self.udp_connect_by(now, id, remote, Way::default())
    }

    /// [`udp_connect`](Self::udp_connect) with a source address and an interface of the caller's choice
    /// (IP_MULTICAST_IF, IP_UNICAST_IF), and a type of service.
    pub fn udp_connect_by(
        &mut self,
        _now: Instant,
        id: UdpId,
        remote: SocketAddr,
        way: Way,
    ) -> Result<(), RouteError> {
        self.udp_autobind(id)
            .map_err(|_| RouteError::PortsExhausted)?;
        let remote = canonical(remote);
        let way = Way {
            port: remote.port(),
            ..way
        };
        let route = self.udp_route(id, remote.ip(), way)?;
        let generation = self.routes.generation();
        self.udp_unregister(id);
        let socket = self.udp.open_mut(id);
        // ip4_datagram_connect: the route's source becomes the socket's address, unless it has one.
        if socket.local.ip().is_unspecified() {
            socket.local.set_ip(route.source);
        }
        socket.remote = Some(SocketAddr::new(route.destination, remote.port()));
        socket.route = Some((generation, route));
        self.udp_claim_address(id);
        self.udp_hash(id);
        Ok(())
    }

    /// `connect(fd, AF_UNSPEC)`: sends to and receives from anyone again. What bind(2) did not name is given up
    /// (__udp_disconnect): after a bind to port 0 the socket has no port any more.
    pub fn udp_disconnect(&mut self, id: UdpId) {
        self.udp_unregister(id);
        self.raw_unhash(id);
        let socket = self.udp.open_mut(id);
        if !socket.has_port() {
            // __udp_disconnect: what has no port of its own hears nothing from now on.
            socket.remote = None;
            socket.route = None;
            if !socket.addr_locked {
                socket.local.set_ip(any(socket.family));
            }
            if !socket.port_locked {
                self.ping_unhash(id);
                self.udp.open_mut(id).local.set_port(0);
            }
            return;
        }
        if let Some(remote) = socket.remote.take()
            && socket.family == Family::V6
        {
            socket.former = Some(match remote.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            });
        }
        socket.route = None;
        if !socket.addr_locked {
            socket.local.set_ip(any(socket.family));
        }
        if socket.port_locked {
            self.udp_claim_address(id);
            self.udp_hash(id);
        } else if let Some(key) = socket.key.take() {
            socket.local.set_port(0);
            let lite = socket.is_lite();
            self.udp.space_mut(lite).ports.remove(&key);
        }
    }

    /// Others may have the port at addresses that the socket no longer hears (udp_lib_lport_inuse looks at what it hears
    /// now).
    fn udp_claim_address(&mut self, id: UdpId) {
        let socket = self.udp.open_mut(id);
        let addr = socket.local.ip().to_canonical();
        if let Some(old) = socket.key.filter(|key| key.addr != addr) {
            let new = BindKey { addr, ..old };
            socket.key = Some(new);
            let lite = socket.is_lite();
            self.udp.space_mut(lite).ports.replace(&old, new);
        }
    }

    /// inet_autobind: any address, an ephemeral port.
    pub(super) fn udp_autobind(&mut self, id: UdpId) -> Result<(), BindError> {
        let socket = self.udp.open(id);
        match socket.role {
            _ if socket.key.is_some() => return Ok(()),
            Role::Udp | Role::Lite(_) => {}
            Role::Raw(_) => return Ok(()),
            Role::Ping => return self.ping_autobind(id),
        }
        let Attributes {
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
            ports,
            ..
        } = socket.attributes;
        let (family, addr) = (socket.family, socket.local.ip());
        let request = BindRequest {
            addr,
            port: 0,
            family,
            v6only,
            device,
            reuse_addr,
            reuse_port,
            uid,
        };
        let range = self.sysctl.local_ports(ports);
        let lite = socket.is_lite();
        let ports = &mut self.udp.space_mut(lite).ports;
        let key = ports.bind(&request, range, &mut self.random)?;
        let socket = self.udp.open_mut(id);
        socket.key = Some(key);
        socket.grouped = reuse_port;
        socket.local.set_port(key.port);
        self.udp_hash(id);
        Ok(())
    }

    /// Enters a bound socket into the demux tables.
    fn udp_hash(&mut self, id: UdpId) {
        if let Some(registration) = self.udp.open(id).registration(id) {
            let lite = self.udp.open(id).is_lite();
            self.udp.space_mut(lite).demux.insert(&registration);
            if registration.candidate.reuse_port {
                self.udp_join_group(id);
            }
        }
    }

    /// Takes a bound socket out of the demux tables; it keeps its port.
    fn udp_unregister(&mut self, id: UdpId) {
        if let Some(registration) = self.udp.open(id).registration(id) {
            let lite = self.udp.open(id).is_lite();
            self.udp.space_mut(lite).demux.remove(&registration);
        }
    }

    /// Takes a socket out of the demux tables and gives its port up.
    pub(super) fn udp_unhash(&mut self, id: UdpId) {
        self.udp_unregister(id);
        let socket = self.udp.open_mut(id);
        let lite = socket.is_lite();
        if let Some(key) = socket.key.take() {
            self.udp.space_mut(lite).ports.remove(&key);
        }
    }
}
