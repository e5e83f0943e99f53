//! Sequences of socket-layer calls over a pool of sockets, with time between.
//!
//! What must hold after each of them:
//! - an attempt that is dropped changes nothing that can be seen: masks, counts, names;
//! - what comes out of a stream is what went in, in order;
//! - each file that was sent is received or released exactly once;
//! - `IN` means that a receive does not wait, `OUT` that a send does not, and what can be received
//!   shows as `IN`;
//! - a bit that rises in a mask has a wake-up;
//! - when everything is closed nothing is left.

use crate::model::{run_out, step};
use crate::{Source, note, trace};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::Word;
use switchboard_abi::number::*;
use switchboard_engine::{Config, Instant, Sysctl};
use switchboard_socket::{
    Attempt, ConnectProgress, Cred, Cx, Host, HostConfig, MemoryPaths, PollMask, RecvProgress,
    SocketId,
};

macro_rules! cx {
    ($world:ident) => {
        &mut Cx {
            now: $world.now,
            realtime: Duration::from_nanos($world.now.as_nanos()),
            cred: &$world.creds[$world.who],
            paths: &mut $world.paths,
        }
    };
}

mod check;
mod data;

/// How many sockets there are at most.
const POOL: usize = 14;

/// What is known of an open socket.
#[derive(Clone, Debug, Default)]
struct Known {
    domain: i32,
    ty: i32,
    protocol: i32,
    /// Descriptors, and files in flight, that refer to it.
    fds: u32,
    rights: u32,
    /// The next byte of the stream it sends, and the one it should receive.
    sent: i64,
    expected: Option<i64>,
    /// Options that change what masks and streams mean.
    low_water: bool,
    shut_read: bool,
}

struct Token {
    socket: Option<SocketId>,
}

/// A receive that waits and holds bytes.
struct Parked {
    id: SocketId,
    len: usize,
    flags: i32,
    progress: RecvProgress,
}

struct World {
    host: Host,
    paths: MemoryPaths,
    creds: [Arc<Cred>; 2],
    who: usize,
    now: Instant,
    known: BTreeMap<SocketId, Known>,
    /// Files in flight.
    tokens: BTreeMap<u64, Token>,
    next_token: u64,
    parked: Vec<Parked>,
    listeners: BTreeSet<SocketId>,
    /// Urgent data was sent: a stream may have a byte less.
    urgent: bool,
    /// Raw sockets of IPv6 may put a checksum into what they send (IPV6_CHECKSUM).
    summed: bool,
    /// A receive was followed by more to receive: that needs a wake-up.
    arrived: Option<SocketId>,
    /// An option of this socket was set: as in Linux, who sets it looks for himself.
    changed: Option<SocketId>,
}

impl World {
    fn new(s: &mut Source<'_>) -> World {
        let sysctl = Sysctl {
            tcp_wmem: [4096, 16_384, 65_536],
            tcp_rmem: [4096, 16_384, 65_536],
            ip_local_port_range: if s.one_in(8) {
                (40_000, 40_003)
            } else {
                (32_768, 60_999)
            },
            ..Sysctl::default()
        };
        let stack = Config {
            seed: [s.u8(); 32],
            sysctl,
        };
        World {
            host: Host::new(HostConfig { stack }),
            paths: MemoryPaths::default(),
            creds: [Arc::new(Cred::user(7, 1000, 1000)), Arc::new(Cred::root(8))],
            who: 0,
            now: Instant::from_secs(1),
            known: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_token: 1,
            parked: Vec::new(),
            listeners: BTreeSet::new(),
            urgent: false,
            summed: false,
            arrived: None,
            changed: None,
        }
    }

    /// Sockets with a descriptor.
    fn open(&self) -> Vec<SocketId> {
        self.known
            .iter()
            .filter(|(_, known)| known.fds > 0)
            .map(|(id, _)| *id)
            .collect()
    }

    fn any(&self, s: &mut Source<'_>) -> Option<SocketId> {
        let open = self.open();
        (!open.is_empty()).then(|| open[s.below(open.len())])
    }

    fn adopt(&mut self, id: SocketId) {
        let (domain, ty) = self.host.family(id).expect("a socket that was just made");
        let old = self.known.insert(
            id,
            Known {
                domain,
                ty,
                fds: 1,
                ..Known::default()
            },
        );
        assert!(old.is_none(), "{id:?} was given twice");
    }

    fn address(&mut self, s: &mut Source<'_>) -> Vec<u8> {
        let port: u16 = s.pick(&[0, 4000, 4001, 4002, 80, 4003]);
        let mut out = Vec::new();
        match s.u8() {
            0..90 => {
                let addr = s.pick(&[[127, 0, 0, 1], [0, 0, 0, 0], [127, 0, 0, 2], [10, 9, 9, 9]]);
                out.extend_from_slice(&(AF_INET as u16).to_ne_bytes());
                out.extend_from_slice(&port.to_be_bytes());
                out.extend_from_slice(&addr);
                out.extend_from_slice(&[0; 8]);
            }
            90..140 => {
                let mut addr = [0; 16];
                match s.below(3) {
                    0 => addr[15] = 1,
                    1 => {}
                    _ => addr[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]),
                }
                out.extend_from_slice(&(AF_INET6 as u16).to_ne_bytes());
                out.extend_from_slice(&port.to_be_bytes());
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(&addr);
                out.extend_from_slice(&[0; 4]);
            }
            140..200 => {
                out.extend_from_slice(&(AF_UNIX as u16).to_ne_bytes());
                let name: &[u8] =
                    [&b""[..], b"\0a", b"\0b", b"/s", b"/t", b"/t\0", b"\0"][s.below(7)];
                out.extend_from_slice(name);
            }
            200..215 => out.extend_from_slice(&[0; 16]),
            215..240 => {
                // The address of one that is there.
                if let Some(id) = self.any(s)
                    && let Ok(name) = self.host.getsockname(id)
                {
                    let mut bytes = [0; 128];
                    let len = name.encode(&mut bytes);
                    out.extend_from_slice(&bytes[..len]);
                }
            }
            _ => out.extend_from_slice(s.bytes(30)),
        }
        if s.one_in(20) {
            out.truncate(s.below(16));
        }
        out
    }

    fn create(&mut self, s: &mut Source<'_>) {
        if self.known.len() >= POOL {
            return;
        }
        if s.one_in(3) {
            let ty = s.pick(&[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]);
            let domain = if s.one_in(16) { AF_INET } else { AF_UNIX };
            if let Ok((a, b)) = self.host.socketpair(cx!(self), domain, ty, 0) {
                self.adopt(a);
                self.adopt(b);
            }
            return;
        }
        let domain = s.pick(&[AF_UNIX, AF_INET, AF_INET, AF_INET6, AF_NETLINK]);
        let ty = s.pick(&[
            SOCK_STREAM,
            SOCK_STREAM,
            SOCK_DGRAM,
            SOCK_SEQPACKET,
            SOCK_RAW,
        ]);
        let protocol = if s.one_in(16) { s.int() } else { 0 };
        if let Ok(id) = self.host.socket(cx!(self), domain, ty, protocol) {
            self.adopt(id);
            let known = self.known.get_mut(&id).expect("it was just adopted");
            known.protocol = protocol;
        }
    }

    fn connect(&mut self, s: &mut Source<'_>, id: SocketId) {
        let mut addr = self.address(s);
        // Mostly to somebody who listens, and if need be on the loopback address.
        let listeners: Vec<SocketId> = self.listeners.iter().copied().collect();
        if !listeners.is_empty() && !s.one_in(3) {
            let to = listeners[s.below(listeners.len())];
            if let Ok(name) = self.host.getsockname(to) {
                let mut bytes = [0; 128];
                let len = name.encode(&mut bytes);
                addr = bytes[..len].to_vec();
            }
        }
        let mut progress = ConnectProgress::default();
        let last = s.one_in(2);
        let result = self
            .host
            .attempt_connect(cx!(self), id, &addr, &mut progress, last);
        trace(|| format!("connect {id:?} {addr:?} = {result:?}"));
        note(("connect", format!("{result:?}")));
        match result {
            Ok(Attempt::Blocked(_)) => {
                assert!(
                    !last || self.known[&id].domain == AF_UNIX,
                    "a last attempt waits"
                );
                let again = self
                    .host
                    .attempt_connect(cx!(self), id, &addr, &mut progress, true);
                assert!(
                    !matches!(again, Ok(Attempt::Blocked(_))),
                    "a last attempt waits"
                );
                if let Err(fail) = again
                    && s.one_in(2)
                {
                    self.host.commit_fail(cx!(self), id, fail);
                }
            }
            Ok(Attempt::Ready(())) => {}
            Err(fail) => {
                if s.one_in(2) {
                    self.host.commit_fail(cx!(self), id, fail);
                }
            }
        }
        // A new connection, a new stream.
        if self.known[&id].domain != AF_UNIX {
            let known = self.known.get_mut(&id).expect("an open socket");
            known.expected = None;
        }
    }

    fn accept(&mut self, s: &mut Source<'_>, id: SocketId) {
        let before = self.views();
        let last = s.one_in(2);
        let mask = self.host.poll(id);
        let result = self.host.attempt_accept(cx!(self), id, last);
        trace(|| format!("accept {id:?} = {result:?}"));
        note((
            "accept",
            result.as_ref().map(|_| ()).map_err(|fail| fail.errno),
        ));
        match result {
            Ok(Attempt::Ready(plan)) => {
                assert!(mask.contains(PollMask::IN), "accept from {mask:?}");
                assert_eq!(plan.listener(), id);
                if s.one_in(4) || self.known.len() >= POOL {
                    drop(plan);
                    assert_eq!(before, self.views(), "a dropped accept");
                    return;
                }
                let more = self.host.leaves_acceptable(&plan);
                let child = self.host.commit_accept(cx!(self), plan);
                let after = self.host.attempt_accept(cx!(self), id, true);
                let really = matches!(after, Ok(Attempt::Ready(_)));
                assert_eq!(more, really, "what leaves_acceptable said");
                drop(after);
                let low_water = self.known[&id].low_water;
                self.adopt(child);
                let known = self.known.get_mut(&child).expect("an open socket");
                // What was set on the listener holds for its connections.
                known.low_water = low_water;
            }
            Ok(Attempt::Blocked(_)) => {
                assert!(!mask.contains(PollMask::IN), "IN, and accept waits");
                assert_eq!(before, self.views(), "a blocked accept");
            }
            Err(_) => assert_eq!(before, self.views(), "a failed accept"),
        }
    }

    fn option(&mut self, s: &mut Source<'_>, id: SocketId) {
        let (level, name) = match s.below(16) {
            0..10 => s.pick(&[
                (SOL_SOCKET, SO_SNDBUF),
                (SOL_SOCKET, SO_RCVBUF),
                (SOL_SOCKET, SO_RCVLOWAT),
                (SOL_SOCKET, SO_PASSCRED),
                (SOL_SOCKET, SO_OOBINLINE),
                (SOL_SOCKET, SO_REUSEADDR),
                (SOL_SOCKET, SO_REUSEPORT),
                (SOL_SOCKET, SO_ERROR),
                (SOL_SOCKET, SO_LINGER),
                (SOL_SOCKET, SO_TIMESTAMP_OLD),
                (SOL_TCP, TCP_NODELAY),
                (SOL_TCP, TCP_CORK),
                (SOL_TCP, TCP_DEFER_ACCEPT),
                (SOL_TCP, TCP_LINGER2),
                (SOL_TCP, TCP_USER_TIMEOUT),
                (SOL_TCP, TCP_MAXSEG),
                (SOL_TCP, TCP_WINDOW_CLAMP),
                (SOL_TCP, TCP_NOTSENT_LOWAT),
                (SOL_IPV6, IPV6_V6ONLY),
                (SOL_SOCKET, SO_KEEPALIVE),
            ]),
            _ => (
                s.pick(&[SOL_SOCKET, SOL_TCP, SOL_IP, SOL_IPV6, SOL_UDP]),
                s.int(),
            ),
        };
        if s.one_in(3) {
            let len = s.below(40);
            let before = self.views();
            let result = self
                .host
                .getsockopt(&*cx!(self), id, level, name, len, Word::Lp64);
            if let Ok(value) = result {
                assert!(value.bytes.len() <= len);
                if s.one_in(2) {
                    self.host.commit_getsockopt(id, &value);
                    return;
                }
            }
            assert_eq!(before, self.views(), "a dropped getsockopt");
            return;
        }
        let mut value = s.int().to_ne_bytes().to_vec();
        if s.one_in(2) {
            value = i32::from(s.u8()).to_ne_bytes().to_vec();
        }
        if name == SO_LINGER || s.one_in(4) {
            value.extend_from_slice(&s.int().to_ne_bytes());
        }
        let result = self
            .host
            .setsockopt(cx!(self), id, level, name, &value, Word::Lp64);
        trace(|| format!("setsockopt {id:?} {level} {name} {value:?} = {result:?}"));
        note(("setsockopt", level, name, result));
        self.changed = Some(id);
        self.summed |= name == IPV6_CHECKSUM && result.is_ok();
        let known = self.known.get_mut(&id).expect("an open socket");
        known.low_water |= (level, name) == (SOL_SOCKET, SO_RCVLOWAT);
    }

    fn close(&mut self, id: SocketId) {
        let known = self.known.get_mut(&id).expect("an open socket");
        known.fds -= 1;
        if known.fds > 0 {
            return;
        }
        for at in (0..self.parked.len()).rev() {
            if self.parked[at].id == id {
                let parked = self.parked.swap_remove(at);
                self.host.abandon_recv(cx!(self), id, parked.progress);
            }
        }
        self.reap(id);
    }

    /// Closes a socket that nothing refers to.
    fn reap(&mut self, id: SocketId) {
        let Some(known) = self.known.get(&id) else {
            return;
        };
        if known.fds + known.rights == 0 {
            let _ = self.known.remove(&id);
            let _ = self.listeners.remove(&id);
            trace(|| format!("close {id:?}"));
            let outcome = self.host.close(cx!(self), id);
            note(("close", format!("{outcome:?}").len()));
        }
    }

    fn released(&mut self) {
        while let Some(token) = self.host.poll_released() {
            trace(|| format!("released {token:?}"));
            let token = self
                .tokens
                .remove(&token.0)
                .expect("a file in flight, released");
            if let Some(socket) = token.socket
                && let Some(known) = self.known.get_mut(&socket)
            {
                known.rights -= 1;
                self.reap(socket);
            }
        }
    }

    fn collect(&mut self) {
        let known = &self.known;
        let mut held = |id| known.get(&id).is_some_and(|known: &Known| known.fds > 0);
        let mut cx = Cx {
            now: self.now,
            realtime: Duration::ZERO,
            cred: &self.creds[self.who],
            paths: &mut self.paths,
        };
        let before = self.host.socket_count();
        let closed = self.host.collect_cycles(&mut cx, &mut held);
        trace(|| format!("collect = {closed}"));
        note(("collect", closed.min(4)));
        assert!(self.host.socket_count() + closed <= before);
        for (id, known) in &self.known {
            assert!(
                self.host.family(*id).is_some() || known.fds == 0,
                "a socket with a descriptor was collected"
            );
        }
        let host = &self.host;
        self.known.retain(|id, _| host.family(*id).is_some());
        self.released();
    }

    fn step(&mut self, s: &mut Source<'_>) {
        let op = s.below(32);
        if s.one_in(16) {
            self.who ^= 1;
        }
        let Some(id) = self.any(s) else {
            return self.create(s);
        };
        match op {
            0..3 => self.create(s),
            3..5 => {
                let addr = self.address(s);
                let result = self.host.bind(cx!(self), id, &addr);
                trace(|| format!("bind {id:?} {addr:?} = {result:?}"));
                note(("bind", self.known[&id].domain, result));
            }
            5..8 => self.connect(s, id),
            8 => {
                let backlog = s.pick(&[0, 1, 5, -1]);
                let result = self.host.listen(cx!(self), id, backlog);
                trace(|| format!("listen {id:?} = {result:?}"));
                note(("listen", result));
                if result.is_ok() {
                    let _ = self.listeners.insert(id);
                }
            }
            9..11 => self.accept(s, id),
            11..17 => self.send(s, id),
            17..23 => self.recv(s, id),
            23 => {
                let how = s.below(4) as i32;
                let result = self.host.shutdown(cx!(self), id, how);
                trace(|| format!("shutdown {id:?} {how} = {result:?}"));
                note(("shutdown", how, result));
                if how != SHUT_WR {
                    self.known.get_mut(&id).expect("an open socket").shut_read = true;
                }
            }
            24 => self.close(id),
            25 | 26 => self.option(s, id),
            27 => {
                self.now += step(s);
                self.host.handle_timeout(self.now);
            }
            28 => {
                if let Some(at) = self.host.poll_timeout() {
                    self.now = self.now.max(at);
                    self.host.handle_timeout(self.now);
                    let next = self.host.poll_timeout();
                    assert!(next.is_none_or(|at| at > self.now), "due still: {next:?}");
                }
            }
            29 => self.collect(),
            30 => self.resume(s),
            _ => {
                let _ = self.paths.unlink([&b"/s"[..], b"/t"][s.below(2)]);
            }
        }
    }
}

pub(crate) fn target(data: &[u8]) {
    let mut s = Source::new(data);
    let mut w = World::new(&mut s);
    while !s.done() {
        let before = w.known.keys().map(|id| (*id, w.host.poll(*id))).collect();
        w.step(&mut s);
        w.released();
        w.events(&before);
        if s.one_in(4) {
            w.masks();
            w.events(&BTreeMap::new());
        }
    }
    for parked in std::mem::take(&mut w.parked) {
        w.host.abandon_recv(cx!(w), parked.id, parked.progress);
    }
    while let Some(id) = w.open().first() {
        w.close(*id);
        w.released();
    }
    w.collect();
    assert!(w.known.is_empty(), "left: {:?}", w.known);
    assert!(w.tokens.is_empty(), "files in flight are left");
    assert!(
        !w.host.has_rights_in_flight(),
        "sockets in flight are counted"
    );
    assert_eq!(w.host.socket_count(), 0, "sockets are left");
    let now = w.now;
    let host = std::cell::RefCell::new(w.host);
    run_out(
        now,
        || host.borrow().poll_timeout(),
        |now| host.borrow_mut().handle_timeout(now),
    );
    assert_eq!(
        host.borrow().stack().tcp_connection_count(),
        0,
        "connections are left"
    );
}
