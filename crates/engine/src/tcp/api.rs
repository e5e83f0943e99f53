//! What the socket layer calls. A [`TcpId`] lives from `tcp_open` or `tcp_accept` to `tcp_close`; using it later is a bug
//! of the caller and panics.

mod data;
mod end;
mod settings;

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use super::connection::{Connection, Cx, FourTuple};
use super::fastopen::FastOpen;
use super::listen::Listener;
use super::stack::path_of;
use super::state::{State, TcpError};
use super::table::{Arrival, Kind, Socket};
use crate::event::{EventKind, TcpId};
use crate::filter::Filters;
use crate::iface::{IfIndex, Interfaces};
use crate::policy::Flow;
use crate::ports::{BindError, BindKey, BindRequest, BindState, Family};
use crate::route::{RouteError, RouteKind};
use crate::stack::Stack;
use crate::time::Instant;

/// Why connect(2) fails at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No port is free, or the bound one has a connection to this peer already (EADDRNOTAVAIL).
    #[error("no local address is free")]
    AddrNotAvailable,
    /// There is no way to the destination.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The socket is not closed (EISCONN).
    #[error("already connected")]
    AlreadyConnected,
}

/// Why listen(2) fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// The port, or every ephemeral one, is taken (EADDRINUSE).
    #[error("address already in use")]
    InUse,
    /// The socket is connected (EINVAL).
    #[error("not a closed socket")]
    Invalid,
}

/// There is no connection (ENOTCONN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not connected")]
pub struct NotConnected;

/// What decides about errors and readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Nothing more will be received (RCV_SHUTDOWN).
    pub rcv_shutdown: bool,
    /// Nothing more may be sent (SEND_SHUTDOWN).
    pub snd_shutdown: bool,
    /// The peer's FIN has come (SOCK_DONE): reads that find nothing tell the end, whatever happened since.
    pub done: bool,
    /// The pending error (sk_err), until [`Stack::tcp_take_error`].
    pub error: Option<TcpError>,
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0u16; 8]),
    }
}

/// A group's address, or one that all hosts of a subnet listen to.
fn many(interfaces: &Interfaces, addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_multicast() || interfaces.is_broadcast(v4),
        IpAddr::V6(_) => false,
    }
}

impl Stack {
    fn tcp_cx(&mut self, now: Instant, id: TcpId) -> (Cx<'_>, &mut Socket) {
        (
            Cx {
                now,
                sysctl: &self.sysctl,
            },
            self.tcp.open_mut(id),
        )
    }

    /// `socket(AF_INET or AF_INET6, SOCK_STREAM, IPPROTO_TCP)`
    pub fn tcp_open(&mut self, family: Family) -> TcpId {
        let v6only = family == Family::V6 && self.sysctl.bindv6only;
        let socket = Socket {
            conn: Connection::new(family, &self.sysctl),
            bind: None,
            addr_locked: false,
            port_locked: false,
            hashed: false,
            throttled: false,
            v6only,
            reuse_addr: false,
            reuse_port: false,
            prefers_cpu: false,
            device: None,
            mark: 0,
            uid: 0,
            filters: None,
            route: None,
            route_generation: 0,
            hops: 0,
            peer: crate::stack::Hint::NOWHERE,
            pending: EventKind::empty(),
            name: super::table::NAMELESS,
        };
        self.tcp.insert(Kind::Socket(Box::new(socket)))
    }

    /// `bind(fd, addr, len)`: the local address, with the port that was chosen.
    pub fn tcp_bind(&mut self, id: TcpId, request: BindRequest) -> Result<SocketAddr, BindError> {
        let addr = request.addr.to_canonical();
        // Linux lets a stream bind a group's or a subnet's address too, though nobody can reach it there.
        let many = many(&self.interfaces, addr);
        let local = addr.is_unspecified() || many || self.interfaces.owner(addr).is_some();
        let opts = &self.tcp.open(id).conn.opts;
        if !local && !opts.nonlocal() && !self.sysctl.nonlocal_bind(request.addr) {
            return Err(BindError::NotLocal);
        }
        let range = self.sysctl.local_ports(opts.ports());
        let founded = Filters::group_of(&self.tcp.open(id).filters).is_some();
        let bound = if request.port != 0 && self.tcp.open(id).conn.opts.repair().on {
            // SK_FORCE_REUSE: the port of a connection that moves here is as it is.
            let key = BindKey::new(&request, request.port);
            self.tcp_ports.insert(key);
            Ok(key)
        } else {
            self.tcp_ports.autobind_reuse = self.sysctl.ip_autobind_reuse;
            self.tcp_ports
                .bind_founder(&request, range, &mut self.random, founded)
        };
        let socket = self.tcp.open_mut(id);
        let key = bound.inspect_err(|_| {
            // inet_bind: the address of an earlier connection is gone by then.
            socket.conn.tuple.local = unspecified(socket.conn.family);
        })?;
        let old = socket.bind.replace(key);
        socket.addr_locked |= !addr.is_unspecified();
        socket.port_locked |= request.port != 0;
        socket.v6only = request.v6only;
        socket.reuse_addr = request.reuse_addr;
        socket.reuse_port = request.reuse_port;
        socket.device = request.device;
        socket.uid = request.uid;
        socket.conn.tuple.local = addr;
        socket.conn.tuple.local_port = key.port;
        // inet_daddr, sk_dst_reset()
        socket.conn.tuple.remote = unspecified(socket.conn.family);
        if let Some(old) = old {
            self.tcp_ports.remove(&old);
        }
        Ok(SocketAddr::new(addr, key.port))
    }

    /// `bind(fd, addr, len)` with IP_BIND_ADDRESS_NO_PORT: the address without a port, which connect(2) or listen(2)
    /// brings.
    pub fn tcp_bind_address(&mut self, id: TcpId, addr: IpAddr) -> Result<(), BindError> {
        let addr = addr.to_canonical();
        let many = many(&self.interfaces, addr);
        let local = addr.is_unspecified() || many || self.interfaces.owner(addr).is_some();
        let opts = &self.tcp.open(id).conn.opts;
        if !local && !opts.nonlocal() && !self.sysctl.nonlocal_bind(addr) {
            return Err(BindError::NotLocal);
        }
        let socket = self.tcp.open_mut(id);
        socket.addr_locked |= !addr.is_unspecified();
        socket.port_locked = false;
        socket.conn.tuple.local = addr;
        // Those of an earlier connection are shown no more (inet_daddr, sk_dst_reset()).
        socket.conn.tuple.local_port = 0;
        socket.conn.tuple.remote = unspecified(socket.conn.family);
        socket.v6only |= addr.is_ipv6() && !addr.is_unspecified();
        Ok(())
    }

    /// The address that bind(2) gave a socket that has no port yet.
    pub fn tcp_bound_address(&self, id: TcpId) -> Option<IpAddr> {
        let socket = self.tcp.open(id);
        socket.addr_locked.then_some(socket.conn.tuple.local)
    }

    /// SO_REUSEADDR and SO_REUSEPORT, which count at other sockets' bind(2) too.
    pub fn tcp_set_reuse(&mut self, id: TcpId, reuse_addr: bool, reuse_port: bool) {
        let socket = self.tcp.open_mut(id);
        socket.reuse_addr = reuse_addr;
        socket.reuse_port = reuse_port;
        if let Some(old) = socket.bind {
            let new = BindKey {
                reuse_addr,
                reuse_port,
                ..old
            };
            socket.bind = Some(new);
            self.tcp_ports.replace(&old, new);
        }
    }

    /// How the segment came that made a passive connection; `None` of others. The interface is that of the way back, and
    /// `lo` when the connection is gone.
    pub fn tcp_arrival(&self, id: TcpId) -> Option<Arrival> {
        let socket = self.tcp.open(id);
        let route = socket.route.as_ref();
        (socket.hops > 0).then(|| Arrival {
            interface: route.map_or(IfIndex::LO, |route| route.interface),
            hops: socket.hops,
            v6: socket.conn.tuple.remote.is_ipv6(),
        })
    }

    /// SO_BINDTODEVICE, which counts at other sockets' bind(2) too. The way to the peer is looked for again.
    pub fn tcp_set_device(&mut self, id: TcpId, device: Option<IfIndex>) {
        let socket = self.tcp.open_mut(id);
        socket.device = device;
        socket.route = None;
        if let Some(old) = socket.bind {
            let new = BindKey { device, ..old };
            socket.bind = Some(new);
            self.tcp_ports.replace(&old, new);
        }
    }

    /// The interface that the socket is bound to; a connection to be accepted, whose peer is on one link, by that.
    pub fn tcp_device(&self, id: TcpId) -> Option<IfIndex> {
        self.tcp.get(id)?.device
    }

    /// SO_MARK, by which rules tell packets from others. The way to the peer is looked for again.
    pub fn tcp_set_mark(&mut self, id: TcpId, mark: u32) {
        let socket = self.tcp.open_mut(id);
        socket.mark = mark;
        socket.route = None;
    }

    /// SO_INCOMING_CPU names the host's only processor, or not: such a listener is preferred.
    pub fn tcp_prefer_cpu(&mut self, id: TcpId, on: bool) {
        self.tcp.open_mut(id).prefers_cpu = on;
    }

    /// The next segment looks for its way again (dst_negative_advice).
    pub fn tcp_forget_route(&mut self, id: TcpId) {
        self.tcp.open_mut(id).route = None;
    }

    fn tcp_bind_key(socket: &Socket, addr: IpAddr) -> BindKey {
        BindKey {
            addr,
            port: 0,
            family: socket.conn.family,
            v6only: socket.v6only,
            device: socket.device,
            reuse_addr: socket.reuse_addr,
            reuse_port: socket.reuse_port,
            uid: socket.uid,
            state: BindState::Bound,
            stamp: 0,
        }
    }

    /// `listen(fd, backlog)`; on a listener it changes the backlog.
    pub fn tcp_listen(
        &mut self,
        _now: Instant,
        id: TcpId,
        backlog: u32,
    ) -> Result<(), ListenError> {
        let backlog = backlog.min(self.sysctl.somaxconn);
        let socket = self.tcp.open_mut(id);
        match socket.conn.state {
            State::Listen => {
                if let Some(listener) = &mut socket.conn.listener {
                    listener.backlog = backlog;
                }
                return Ok(());
            }
            State::Close => {}
            _ => return Err(ListenError::Invalid),
        }
        let bound_here = socket.bind.is_none();
        if bound_here {
            let request = BindRequest {
                addr: socket.conn.tuple.local,
                port: 0,
                family: socket.conn.family,
                v6only: socket.v6only,
                device: socket.device,
                reuse_addr: socket.reuse_addr,
                reuse_port: socket.reuse_port,
                uid: socket.uid,
            };
            let locked = socket.addr_locked;
            self.tcp_bind(id, request).map_err(|_| ListenError::InUse)?;
            self.tcp.open_mut(id).addr_locked = locked;
        }
        let socket = self.tcp.open_mut(id);
        let Some(key) = &mut socket.bind else {
            return Err(ListenError::InUse);
        };
        let founded = Filters::group_of(&socket.filters).is_some();
        self.tcp_ports
            .listen(key, founded)
            .map_err(|_| ListenError::InUse)?;
        let port = key.port;
        socket.conn.state = State::Listen;
        socket.conn.listener = Some(Box::new(Listener {
            backlog,
            ..Listener::default()
        }));
        self.tcp.add_listener(port, id);
        self.tcp_join_group(id);
        Ok(())
    }

    /// `connect(fd, addr, len)`: sends the SYN. How it ends is told by events and [`tcp_status`](Self::tcp_status).
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        id: TcpId,
        remote: SocketAddr,
    ) -> Result<(), ConnectError> {
        self.tcp_connect_with(now, id, remote, None)
    }

    /// The same with Fast Open: the SYN asks for a cookie, or (`deferred`) waits for data to take along.
    pub fn tcp_connect_fast(
        &mut self,
        now: Instant,
        id: TcpId,
        remote: SocketAddr,
        deferred: bool,
    ) -> Result<(), ConnectError> {
        let fast = self.fastopen_begin(id, remote.ip().to_canonical(), deferred);
        self.tcp_connect_with(now, id, remote, Some(Box::new(fast)))
    }

    fn tcp_connect_with(
        &mut self,
        now: Instant,
        id: TcpId,
        remote: SocketAddr,
        fast: Option<Box<FastOpen>>,
    ) -> Result<(), ConnectError> {
        let socket = self.tcp.open(id);
        if socket.conn.state != State::Close {
            return Err(ConnectError::AlreadyConnected);
        }
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        // inet_bind: an address of many is none to send from ("Use device").
        let chosen = Some(socket.conn.tuple.local).filter(|&addr| {
            socket.addr_locked && !addr.is_unspecified() && !many(&self.interfaces, addr)
        });
        if chosen.is_some_and(|addr| addr.is_ipv4() != remote.is_ipv4()) {
            return Err(RouteError::WrongFamily.into());
        }
        let route = self.route_of(&Flow {
            src: chosen,
            // tcp_v4_connect(): a port that bind(2) has not brought yet is none.
            ports: (socket.conn.tuple.local_port, remote.port()),
            ..socket.flow(remote.ip())
        })?;
        if matches!(route.kind, RouteKind::Broadcast | RouteKind::Multicast) {
            // RFC 9293, 3.9.2.2.
            return Err(RouteError::Unreachable.into());
        }
        let mut tuple = FourTuple {
            local: route.source,
            remote: route.destination,
            local_port: 0,
            remote_port: remote.port(),
        };
        self.tcp_choose_port(now, id, &mut tuple)?;
        // A connection in TIME_WAIT gives way; its numbers must not come again.
        let mut isn = self.tcp.initial_sequence(now, &tuple);
        let mut recent = None;
        if let Some(old) = self.tcp.find(&tuple) {
            if let Kind::TimeWait(time_wait) = &self.tcp.entries[old as usize].kind {
                isn = time_wait.next_isn();
                recent = time_wait
                    .ts_recent
                    .map(|value| (value, time_wait.ts_recent_at));
            }
            self.tcp_release(old);
        }
        let ts_offset = self.tcp.timestamp_offset(&tuple);
        let generation = self.routes.generation();
        self.counters.tcp_active_opens += 1;
        let path = path_of(&route, &self.interfaces);
        let (cx, socket) = self.tcp_cx(now, id);
        socket.conn.tuple = tuple;
        socket.conn.path = path;
        socket.route = Some(route);
        socket.route_generation = generation;
        socket.hashed = true;
        let repaired = socket.conn.opts.repair().on;
        if repaired {
            isn = socket.conn.snd_una;
        }
        socket.conn.connect(cx, isn.0, ts_offset);
        if let Some((value, at)) = recent {
            // What the peer's clock was is told it by the SYN.
            (socket.conn.ts_recent, socket.conn.ts_recent_at) = (value, at);
        }
        if repaired {
            socket.conn.connect_repaired(cx);
        }
        socket.conn.fastopen = fast;
        if socket.conn.is_deferred() {
            socket.conn.out = super::connection::Out::empty();
        }
        self.tcp.hash_in(id.index);
        self.tcp_finish(now, id.index);
        Ok(())
    }

    /// The local port of a connection: the bound one if it has no connection to this peer, or any that has none.
    fn tcp_choose_port(
        &mut self,
        now: Instant,
        id: TcpId,
        tuple: &mut FourTuple,
    ) -> Result<(), ConnectError> {
        let Stack {
            tcp,
            tcp_ports,
            sysctl,
            ..
        } = self;
        let bound = tcp.open(id).bind.is_some();
        let free = |tuple: &FourTuple| match tcp.find(tuple) {
            None => true,
            Some(index) => match &tcp.entries[index as usize].kind {
                Kind::TimeWait(time_wait) => time_wait.may_be_reused(now, sysctl, bound),
                _ => false,
            },
        };
        let socket = tcp.open(id);
        if let Some(old) = socket.bind {
            tuple.local_port = old.port;
            if !free(tuple) {
                return Err(ConnectError::AddrNotAvailable);
            }
            let new = BindKey {
                addr: tuple.local,
                ..old
            };
            tcp_ports.replace(&old, new);
            tcp.open_mut(id).bind = Some(new);
            return Ok(());
        }
        let offset = tcp.port_offset(tuple.local, tuple.remote, tuple.remote_port);
        let key = Self::tcp_bind_key(socket, tuple.local);
        let key = tcp_ports
            .connect_port(
                key,
                sysctl.local_ports(socket.conn.opts.ports()),
                offset,
                |port| {
                    free(&FourTuple {
                        local_port: port,
                        ..*tuple
                    })
                },
            )
            .ok_or(ConnectError::AddrNotAvailable)?;
        tuple.local_port = key.port;
        let socket = tcp.open_mut(id);
        socket.bind = Some(key);
        socket.port_locked = false;
        Ok(())
    }

    /// The connection that [`tcp_accept`](Self::tcp_accept) would return.
    pub fn tcp_accept_peek(&self, id: TcpId) -> Option<TcpId> {
        self.tcp
            .open(id)
            .conn
            .listener
            .as_ref()?
            .accept
            .front()
            .copied()
    }

    /// How many connections wait for accept(2).
    pub fn tcp_accept_queue(&self, id: TcpId) -> usize {
        self.tcp
            .open(id)
            .conn
            .listener
            .as_ref()
            .map_or(0, |listener| listener.accept.len())
    }

    /// The connections that wait for accept(2), oldest first.
    pub fn tcp_accept_pending(&self, id: TcpId) -> impl Iterator<Item = TcpId> {
        let listener = self.tcp.open(id).conn.listener.as_ref();
        listener.into_iter().flat_map(|l| l.accept.iter().copied())
    }

    /// `accept(fd, ...)`: the oldest established connection. It has the listener's options.
    pub fn tcp_accept(&mut self, _now: Instant, id: TcpId) -> Option<TcpId> {
        self.tcp
            .open_mut(id)
            .conn
            .listener
            .as_mut()?
            .accept
            .pop_front()
    }
}
