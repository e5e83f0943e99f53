//! TCP through the gateway: for each connection of the virtual host a real one, and bytes from queue to socket.

use core::net::SocketAddr;
use core::time::Duration;
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::vec::Vec;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, sockopt};
use switchboard_engine::{
    Diverted, Family, Instant, SendFlags as StackSendFlags, Shutdown as StackShutdown, Stack,
    State, TcpId, TcpSet,
};
use switchboard_wire::Body;

use super::fault::Fault;
use super::pool::{CHUNK, Pool};
use super::sockets;
use super::{Gateway, Kind, MOST_TCP, any};

/// How much one connection moves in each direction before others have their turn.
const TURN: usize = 1 << 20;
/// How many pieces one sendmsg(2) takes.
const PIECES: usize = 64;

/// What becomes of a connection.
enum Stage {
    /// The real connection is being made.
    Connecting(Box<Knock>),
    /// The SYN is answered; the virtual host has not confirmed it.
    Admitted,
    /// There is a connection on the virtual host's side, or one is being made for a client of a published port.
    Open(TcpId),
}

/// A SYN that waits for the real connection.
struct Knock {
    syn: Diverted,
    /// Who is tried next when this one is not there, the last one first.
    others: Vec<SocketAddr>,
}

struct Flow {
    socket: OwnedFd,
    stage: Stage,
    /// The virtual host's end, and whom it means.
    tuple: (SocketAddr, SocketAddr),
    /// The real socket may have something to read, or room.
    readable: bool,
    writable: bool,
    /// The real peer has sent its FIN, which may stand behind data.
    hung_up: bool,
    /// The FIN of the real peer was passed on, and that of the virtual host.
    outside_done: bool,
    inside_done: bool,
    /// It is in the list of those with something to do.
    stirred: bool,
}

/// What a connection does next.
#[derive(PartialEq, Eq)]
enum Outcome {
    Waits,
    GoesOn,
    Over,
    Broken,
}

pub(super) struct Flows {
    flows: BTreeMap<u64, Flow>,
    by_tuple: BTreeMap<(SocketAddr, SocketAddr), u64>,
    by_id: BTreeMap<TcpId, u64>,
    active: VecDeque<u64>,
    doormen: [TcpId; 2],
    pool: Pool,
}

impl Flows {
    pub(super) fn new(stack: &mut Stack) -> Flows {
        let doormen = [Family::V4, Family::V6].map(|family| {
            let id = stack.tcp_doorman(family, MOST_TCP as u32);
            set_options(stack, id);
            id
        });
        Flows {
            flows: BTreeMap::new(),
            by_tuple: BTreeMap::new(),
            by_id: BTreeMap::new(),
            active: VecDeque::new(),
            doormen,
            pool: Pool::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(super) fn is_doorman(&self, id: TcpId) -> bool {
        self.doormen.contains(&id)
    }

    /// A SYN: the real host connects first, to the first of these that takes the connection.
    pub(super) fn connect(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        syn: Diverted,
        reals: &[SocketAddr],
    ) {
        let Body::Tcp(segment) = &syn.packet.body else {
            return;
        };
        let ip = &syn.packet.ip;
        let from = SocketAddr::new(ip.src, segment.src_port);
        let tuple = (from, SocketAddr::new(ip.dst, segment.dst_port));
        // A SYN sent again asks for nothing new.
        if self.by_tuple.contains_key(&tuple) || self.flows.len() >= MOST_TCP {
            return;
        }
        let others = reals.iter().rev().copied().collect();
        let knock = Box::new(Knock { syn, others });
        self.knock(gateway, now, tuple, knock, Errno::CONNREFUSED);
    }

    /// Begins a real connection to the next one that does not refuse at once. Where nobody is left, `error` is the answer.
    fn knock(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        tuple: (SocketAddr, SocketAddr),
        mut knock: Box<Knock>,
        mut error: Errno,
    ) {
        let port = tuple.0.port();
        while let Some(real) = knock.others.pop() {
            // The same port outside, if it is free there; EADDRNOTAVAIL when it has a connection to this peer.
            let mut result = begin(real, port);
            if let Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) = result {
                result = begin(real, 0);
            }
            let (socket, connected) = match result {
                Ok(begun) => begun,
                // As a NAT whose table is full: the SYN comes again.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => return,
                Err(why) => {
                    error = why;
                    continue;
                }
            };
            let key = gateway.key();
            if gateway.watch(&socket, Kind::Tcp, key).is_err() {
                return;
            }
            let stage = if connected {
                self.admit(gateway, now, &knock.syn, tuple);
                Stage::Admitted
            } else {
                Stage::Connecting(knock)
            };
            return self.insert(key, Flow::new(socket, stage, tuple));
        }
        refuse(gateway, now, knock.syn, error);
    }

    /// The virtual host's SYN is answered.
    fn admit(
        &self,
        gateway: &mut Gateway,
        now: Instant,
        syn: &Diverted,
        tuple: (SocketAddr, SocketAddr),
    ) {
        let doorman = self.doormen[usize::from(tuple.1.is_ipv6())];
        gateway.stack.tcp_admit(now, doorman, syn);
    }

    /// A client of a published port, whose connection is to come in from `from`.
    pub(super) fn enter(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        socket: OwnedFd,
        from: SocketAddr,
        to: SocketAddr,
    ) {
        if self.flows.len() >= MOST_TCP {
            return sockets::reset(socket);
        }
        prepare(&socket);
        let v6 = to.is_ipv6();
        let family = if v6 { Family::V6 } else { Family::V4 };
        let id = gateway.stack.tcp_open(family);
        set_options(&mut gateway.stack, id);
        let mut begun = gateway.stack.tcp_connect_as(now, id, from, to);
        if begun.is_err() {
            // Its name is taken by another: a client of the same port of two names of the real host.
            let from = SocketAddr::new(gateway.translation.gateway(v6), 0);
            begun = gateway.stack.tcp_connect_as(now, id, from, to);
        }
        let key = gateway.key();
        if begun.is_err() || gateway.watch(&socket, Kind::Tcp, key).is_err() {
            gateway.stack.tcp_close(now, id, Some(Duration::ZERO));
            return sockets::reset(socket);
        }
        let from = gateway.stack.tcp_local(id).unwrap_or(from);
        self.insert(key, Flow::new(socket, Stage::Open(id), (to, from)));
        self.by_id.insert(id, key);
        // It may have been refused already.
        self.stir_key(key);
    }

    fn insert(&mut self, key: u64, flow: Flow) {
        self.by_tuple.insert(flow.tuple, key);
        self.flows.insert(key, flow);
    }

    /// Handshakes are over.
    pub(super) fn accept(&mut self, gateway: &mut Gateway, now: Instant) {
        for doorman in self.doormen {
            while let Some(id) = gateway.stack.tcp_accept(now, doorman) {
                let ends = gateway
                    .stack
                    .tcp_remote(id)
                    .zip(gateway.stack.tcp_local(id));
                let key = ends.and_then(|tuple| self.by_tuple.get(&tuple)).copied();
                let flow = key.and_then(|key| Some((key, self.flows.get_mut(&key)?)));
                match flow {
                    Some((key, flow)) if matches!(flow.stage, Stage::Admitted) => {
                        flow.stage = Stage::Open(id);
                        self.by_id.insert(id, key);
                        self.stir_key(key);
                    }
                    _ => gateway.stack.tcp_close(now, id, Some(Duration::ZERO)),
                }
            }
        }
    }

    /// Something has changed on the virtual host's side.
    pub(super) fn stir(&mut self, id: TcpId) {
        if let Some(&key) = self.by_id.get(&id) {
            self.stir_key(key);
        }
    }

    fn stir_key(&mut self, key: u64) {
        if let Some(flow) = self.flows.get_mut(&key)
            && !core::mem::replace(&mut flow.stirred, true)
        {
            self.active.push_back(key);
        }
    }

    /// Something has changed at the real socket.
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
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        flow.hung_up |= flags.intersects(ended);
        flow.readable |= flags.intersects(EventFlags::IN | ended);
        flow.writable |= flags.intersects(EventFlags::OUT | ended);
        if !matches!(flow.stage, Stage::Connecting(_)) {
            return self.stir_key(key);
        }
        match sockopt::socket_error(&flow.socket).unwrap_or_else(Err) {
            Ok(()) if flags.contains(EventFlags::OUT) => {
                let tuple = flow.tuple;
                let stage = core::mem::replace(&mut flow.stage, Stage::Admitted);
                if let Stage::Connecting(knock) = stage {
                    self.admit(gateway, now, &knock.syn, tuple);
                }
            }
            Ok(()) => {}
            Err(error) => {
                self.by_tuple.remove(&flow.tuple);
                if let Some(Flow {
                    stage: Stage::Connecting(knock),
                    tuple,
                    ..
                }) = self.flows.remove(&key)
                {
                    self.knock(gateway, now, tuple, knock, error);
                }
            }
        }
    }

    /// Moves what can be moved. Says whether somebody wants another turn.
    pub(super) fn work(&mut self, gateway: &mut Gateway, now: Instant) -> bool {
        for _ in 0..self.active.len() {
            let Some(key) = self.active.pop_front() else {
                break;
            };
            let Some(flow) = self.flows.get_mut(&key) else {
                continue;
            };
            flow.stirred = false;
            let Stage::Open(id) = flow.stage else {
                continue;
            };
            match flow.pump(&mut gateway.stack, now, id, &self.pool) {
                Outcome::Waits => {}
                Outcome::GoesOn => self.stir_key(key),
                end => self.end(&mut gateway.stack, now, key, end == Outcome::Broken),
            }
        }
        !self.active.is_empty()
    }

    fn end(&mut self, stack: &mut Stack, now: Instant, key: u64, broken: bool) {
        let Some(flow) = self.flows.remove(&key) else {
            return;
        };
        self.by_tuple.remove(&flow.tuple);
        if let Stage::Open(id) = flow.stage {
            self.by_id.remove(&id);
            let linger = broken.then_some(Duration::ZERO);
            stack.tcp_close(now, id, linger);
        }
        if broken {
            sockets::reset(flow.socket);
        }
    }

    /// Ends what was answered and never confirmed. The stack has given up long before.
    pub(super) fn sweep(&mut self, gateway: &Gateway) {
        let gone = |flow: &Flow| {
            matches!(flow.stage, Stage::Admitted) && !gateway.stack.tcp_is_between(flow.tuple)
        };
        let gone: Vec<u64> = (self.flows.iter())
            .filter_map(|(&key, flow)| gone(flow).then_some(key))
            .collect();
        for key in gone {
            if let Some(flow) = self.flows.remove(&key) {
                self.by_tuple.remove(&flow.tuple);
                sockets::reset(flow.socket);
            }
        }
    }
}

impl Flow {
    fn new(socket: OwnedFd, stage: Stage, tuple: (SocketAddr, SocketAddr)) -> Flow {
        Flow {
            socket,
            stage,
            tuple,
            readable: false,
            writable: false,
            hung_up: false,
            outside_done: false,
            inside_done: false,
            stirred: false,
        }
    }

    /// Moves bytes in both directions, and then what ends them.
    fn pump(&mut self, stack: &mut Stack, now: Instant, id: TcpId, pool: &Pool) -> Outcome {
        let status = stack.tcp_status(id);
        if matches!(status.state, State::SynSent | State::SynRecv) {
            return Outcome::Waits;
        }
        let Ok(sent) = self.push(stack, now, id) else {
            return Outcome::Broken;
        };
        let Ok(received) = self.pull(stack, now, id, pool) else {
            return Outcome::Broken;
        };
        let status = stack.tcp_status(id);
        let drained = stack.tcp_recv_available(id) == 0;
        if status.done && drained && !self.inside_done {
            self.inside_done = true;
            // ENOTCONN: the real peer has reset it, which is heard of by reading.
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
        }
        if self.inside_done && self.outside_done {
            Outcome::Over
        } else if status.error.is_some() || (status.state == State::Close && drained) {
            Outcome::Broken
        } else if sent >= TURN || received >= TURN {
            Outcome::GoesOn
        } else {
            Outcome::Waits
        }
    }

    /// From the virtual host to the real socket; how much.
    fn push(&mut self, stack: &mut Stack, now: Instant, id: TcpId) -> Result<usize, Errno> {
        let mut moved = 0;
        while self.writable && moved < TURN {
            let queue = stack.tcp_recv_queue(id);
            if queue.is_empty() {
                break;
            }
            let pieces: Vec<IoSlice<'_>> = (queue.iter().take(PIECES))
                .map(|piece| IoSlice::new(piece))
                .collect();
            let all: usize = pieces.iter().map(|piece| piece.len()).sum();
            let nothing = &mut SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&self.socket, &pieces, nothing, SendFlags::NOSIGNAL) {
                Ok(n) => {
                    // It took what it has room for, and tells when there is more.
                    self.writable = n == all;
                    moved += n;
                    stack.tcp_consume(now, id, n);
                }
                Err(Errno::AGAIN) => self.writable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    /// From the real socket to the virtual host; how much.
    fn pull(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        id: TcpId,
        pool: &Pool,
    ) -> Result<usize, Errno> {
        let mut moved = 0;
        while self.readable && !self.outside_done && moved < TURN && stack.tcp_is_writable(id) {
            if !matches!(stack.tcp_state(id), State::Established | State::CloseWait) {
                break;
            }
            let mut data = pool.take();
            let buffer = rustix::buffer::spare_capacity(&mut data);
            match rustix::net::recv(&self.socket, buffer, RecvFlags::empty()) {
                Ok((0, _)) => {
                    self.outside_done = true;
                    // Fails only where there is no connection any more, which the status tells.
                    let _ = stack.tcp_shutdown(now, id, StackShutdown::Write);
                }
                Ok((n, _)) => {
                    moved += n;
                    // Less than there was room for: there is no more. But for a FIN behind it.
                    self.readable = n >= CHUNK || self.hung_up;
                    let data = pool.lend(data);
                    stack.tcp_send(now, id, data, StackSendFlags::default());
                }
                Err(Errno::AGAIN) => self.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }
}

/// Starts a real connection; true when it stands already, as on `lo`.
fn begin(real: SocketAddr, port: u16) -> Result<(OwnedFd, bool), Errno> {
    let socket = sockets::stream(real.is_ipv6())?;
    prepare(&socket);
    if port != 0 {
        // Connections of one port may lead to several peers; below 1024 it is not for everybody. Any port will do.
        let _ = sockopt::set_socket_reuseaddr(&socket, true);
        let _ = rustix::net::bind(&socket, &SocketAddr::new(any(real.is_ipv6()), port));
    }
    match rustix::net::connect(&socket, &real) {
        Ok(()) => Ok((socket, true)),
        Err(Errno::INPROGRESS) => Ok((socket, false)),
        Err(error) => Err(error),
    }
}

/// The virtual host's TCP has decided what a segment is: it is not to wait here. An urgent byte keeps its place.
fn prepare(socket: &OwnedFd) {
    let _ = sockopt::set_tcp_nodelay(socket, true);
    let _ = sockopt::set_socket_oobinline(socket, true);
}

fn set_options(stack: &mut Stack, id: TcpId) {
    stack.tcp_set(Instant::BOOT, id, TcpSet::NoDelay(true));
    stack.tcp_set(Instant::BOOT, id, TcpSet::OobInline(true));
}

/// The real connection did not come to be.
fn refuse(gateway: &mut Gateway, now: Instant, syn: Diverted, error: Errno) {
    match error {
        // Nobody takes the SYN here, so it is answered with a RST, as there.
        Errno::CONNREFUSED | Errno::CONNRESET => gateway.stack.resume(now, syn),
        error => {
            if let Some(fault) = Fault::of_errno(error) {
                gateway.fail(now, &syn.packet, None, fault);
            }
        }
    }
}
