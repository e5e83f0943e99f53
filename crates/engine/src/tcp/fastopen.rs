//! TCP Fast Open (RFC 7413): data in the SYN, for who has a cookie.
//!
//! # Theory of operation
//! A client without a cookie asks for one in its SYN; [`Cookies`] keeps what servers gave. With one, connect(2) is put off
//! until there is data (TCP_FASTOPEN_CONNECT, MSG_FASTOPEN), which the SYN takes along. A server that finds its own cookie
//! in a SYN makes the connection at once, in SYN_RECV, and queues it for accept(2) with the data.
//!
//! # Limits
//! Connections of a listener in that state: TCP_FASTOPEN. Cookies kept: [`COOKIES_MAX`].

use alloc::boxed::Box;
use core::net::IpAddr;

use switchboard_wire::{FastOpenCookie, TcpSegment};

use super::connection::{Connection, Cx, FourTuple, Out};
use super::listen::Request;
use super::passive::child_of;
use super::state::State;
use super::table::{Key, Kind};
use crate::event::{EventKind, TcpId};
use crate::hash::{KeyedMap, KeyedState};
use crate::stack::Stack;
use crate::time::Instant;

/// Bits of net.ipv4.tcp_fastopen.
const CLIENT: u32 = 1;
const SERVER: u32 = 2;
const CLIENT_NO_COOKIE: u32 = 4;
const SERVER_COOKIE_NOT_REQUIRED: u32 = 0x200;
const SERVER_WITHOUT_OPTION: u32 = 0x400;

/// Servers whose cookies are kept.
const COOKIES_MAX: usize = 1024;
/// Options that routers may add are left room for (MAX_TCP_OPTION_SPACE).
const OPTION_SPACE: u32 = 40;

/// TCP_FASTOPEN_KEY: the key in use, and an older one whose cookies are still good.
pub type FastOpenKeys = ([u8; 16], Option<[u8; 16]>);

/// The options of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FastOpenOptions {
    /// TCP_FASTOPEN; 0 is off.
    pub(crate) queue: u32,
    /// TCP_FASTOPEN_CONNECT.
    pub(crate) connect: bool,
    /// TCP_FASTOPEN_NO_COOKIE.
    pub(crate) no_cookie: bool,
    pub(crate) keys: Option<FastOpenKeys>,
}

/// Why there was no fast open (enum tcp_fastopen_client_fail).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ClientFail {
    #[default]
    None,
    CookieUnavailable,
    DataNotAcked,
    SynRetransmitted,
}

/// What a connection that was opened so remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FastOpen {
    /// What the SYN says.
    pub(crate) option: Option<FastOpenCookie>,
    /// connect(2) has returned, and the SYN waits for data.
    pub(crate) deferred: bool,
    /// Bytes that the SYN carried, and whether its answer acknowledged them.
    pub(crate) syn_data: u32,
    pub(crate) acked: bool,
    pub(crate) fail: ClientFail,
    /// Made by a SYN with a cookie.
    pub(crate) child: bool,
    /// When its SYN-ACK left, unless it did twice (snt_synack).
    pub(crate) answered: Option<Instant>,
}

/// What servers gave, with the MSS they announced.
#[derive(Debug)]
pub(crate) struct Cookies(KeyedMap<IpAddr, (FastOpenCookie, u16)>);

impl Cookies {
    pub(crate) fn new(hash: KeyedState) -> Cookies {
        Cookies(KeyedMap::with_hasher(hash))
    }

    fn learn(&mut self, server: IpAddr, cookie: FastOpenCookie, mss: u16) {
        if self.0.len() >= COOKIES_MAX {
            self.0.clear();
        }
        self.0.insert(server, (cookie, mss));
    }
}

/// What a listener does with a SYN.
pub(super) enum Decision {
    /// A handshake as any other.
    Ordinary,
    /// The same, and the client gets a cookie.
    Give(FastOpenCookie),
    /// The connection is there.
    Accept,
}

/// tcp_fastopen_cookie_gen: bound to both addresses.
fn cookie(key: &[u8; 16], tuple: &FourTuple) -> FastOpenCookie {
    let half = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&key[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let key = Key::from_words(half(0), half(8));
    let hash = key.hash_addrs(tuple.remote, tuple.local);
    FastOpenCookie::new(&hash.to_le_bytes()).unwrap_or_default()
}

impl Connection {
    /// The SYN waits for data.
    pub(crate) fn is_deferred(&self) -> bool {
        self.fastopen.as_ref().is_some_and(|f| f.deferred)
    }

    /// Bytes for the SYN, and its option: of the first one only, a repeated SYN is plain.
    pub(crate) fn syn_extras(&mut self, first: bool) -> (u32, Option<FastOpenCookie>) {
        match &self.fastopen {
            Some(f) if first && !f.child => (f.syn_data, f.option),
            _ => (0, None),
        }
    }

    /// tcp_rcv_fastopen_synack: the answer to a SYN with data. What it does not acknowledge is sent again at once.
    pub(crate) fn fast_open_answered(&mut self, acked_data: u32, retransmitted: bool) {
        let Some(f) = &mut self.fastopen else { return };
        f.acked = f.syn_data > 0 && acked_data >= f.syn_data;
        if f.syn_data > 0 && !f.acked {
            f.fail = if retransmitted {
                ClientFail::SynRetransmitted
            } else {
                ClientFail::DataNotAcked
            };
        }
        let data = (acked_data as usize).min(self.queue.len());
        self.queue.acknowledge(data);
        self.counters.bytes_acked += data as u64;
    }
}

impl Stack {
    fn fastopen_no_cookie(&self, id: TcpId) -> bool {
        let option = self.tcp.open(id).conn.opts.fastopen().no_cookie;
        option || self.sysctl.tcp_fastopen & CLIENT_NO_COOKIE != 0
    }

    /// Whether net.ipv4.tcp_fastopen lets clients open fast.
    pub fn tcp_fastopen_allowed(&self) -> bool {
        self.sysctl.tcp_fastopen & CLIENT != 0
    }

    /// Whether a SYN to this server may carry data: there is a cookie, or none is wanted.
    pub fn tcp_fastopen_ready(&self, id: TcpId, server: IpAddr) -> bool {
        let cookies = &self.tcp.cookies.0;
        self.fastopen_no_cookie(id) || cookies.contains_key(&server.to_canonical())
    }

    /// A connection attempt whose SYN waits for [`tcp_send_syn`](Self::tcp_send_syn).
    pub fn tcp_is_deferred(&self, id: TcpId) -> bool {
        let conn = &self.tcp.open(id).conn;
        conn.state == State::SynSent && conn.is_deferred()
    }

    /// A connection that a SYN with a cookie made (tcp_passive_fastopen): it receives before its handshake is over.
    pub fn tcp_is_fastopen_child(&self, id: TcpId) -> bool {
        let conn = &self.tcp.open(id).conn;
        conn.fastopen.as_ref().is_some_and(|f| f.child)
    }

    /// How many bytes the SYN takes: by the MSS the server is known for.
    pub fn tcp_syn_room(&self, id: TcpId) -> usize {
        let conn = &self.tcp.open(id).conn;
        let known = self.tcp.cookies.0.get(&conn.tuple.remote);
        let mss = known.map_or(super::connection::MSS_DEFAULT, |(_, mss)| u32::from(*mss));
        let path = conn.path.mtu.min(0xffff).saturating_sub(40);
        mss.min(path).saturating_sub(OPTION_SPACE) as usize
    }

    /// What the SYN of a new connection says and waits for. `deferred`: it waits for data.
    pub(super) fn fastopen_begin(&self, id: TcpId, server: IpAddr, deferred: bool) -> FastOpen {
        let no_cookie = self.fastopen_no_cookie(id);
        let known = self.tcp.cookies.0.get(&server).map(|(cookie, _)| *cookie);
        FastOpen {
            option: match known {
                Some(cookie) => Some(cookie),
                None if no_cookie => None,
                None => Some(FastOpenCookie::REQUEST),
            },
            deferred,
            fail: if known.is_none() && !no_cookie {
                ClientFail::CookieUnavailable
            } else {
                ClientFail::None
            },
            ..FastOpen::default()
        }
    }

    /// The SYN that waited leaves, with data.
    pub fn tcp_send_syn(&mut self, now: Instant, id: TcpId, data: bytes::Bytes) {
        let conn = &mut self.tcp.open_mut(id).conn;
        let Some(f) = &mut conn.fastopen else { return };
        f.deferred = false;
        f.syn_data = data.len() as u32;
        conn.queue.push(data, false);
        conn.out |= Out::SYN;
        self.tcp_finish(now, id.index);
    }

    /// A SYN-ACK with the option came for a connection that is established by now.
    pub(super) fn fastopen_learn(&mut self, index: u32, given: FastOpenCookie) {
        let Kind::Socket(socket) = &self.tcp.entries[index as usize].kind else {
            return;
        };
        let conn = &socket.conn;
        if conn.state.is_synchronized() && conn.fastopen.is_some() && !given.is_request() {
            let (server, mss) = (conn.tuple.remote, conn.mss_clamp);
            self.tcp.cookies.learn(server, given, mss);
        }
    }

    /// TCP_FASTOPEN_KEY: the socket's own; without, the host's count.
    pub fn tcp_fastopen_keys(&self, id: TcpId) -> Option<FastOpenKeys> {
        self.tcp.open(id).conn.opts.fastopen().keys
    }

    /// net.ipv4.tcp_fastopen_key, if there is one yet.
    pub fn tcp_fastopen_host_keys(&self) -> Option<FastOpenKeys> {
        self.tcp.fastopen_keys
    }

    /// Sets net.ipv4.tcp_fastopen_key.
    pub fn tcp_set_fastopen_host_keys(&mut self, keys: FastOpenKeys) {
        self.tcp.fastopen_keys = Some(keys);
    }

    /// tcp_fastopen_init_key_once.
    pub(super) fn fastopen_init_keys(&mut self) {
        if self.tcp.fastopen_keys.is_none() {
            let mut key = [0; 16];
            for chunk in key.chunks_exact_mut(4) {
                chunk.copy_from_slice(&self.random.u32().to_le_bytes());
            }
            self.tcp.fastopen_keys = Some((key, None));
        }
    }

    /// tcp_try_fastopen.
    pub(super) fn fastopen_decide(
        &mut self,
        listener: TcpId,
        tuple: &FourTuple,
        segment: &TcpSegment,
    ) -> Decision {
        let with_data = !segment.payload.is_empty();
        if segment.options.fastopen.is_none() && !with_data {
            return Decision::Ordinary;
        }
        let asks = segment
            .options
            .fastopen
            .is_some_and(|cookie| cookie.is_request());
        self.counters.tcp_fast_open_cookie_reqd += u64::from(asks);
        let flags = self.sysctl.tcp_fastopen;
        let Some(socket) = self.tcp.get(listener) else {
            return Decision::Ordinary;
        };
        let options = socket.conn.opts.fastopen();
        let backlog = socket.conn.listener.as_ref().map_or(0, |l| l.backlog);
        let limit = match options.queue {
            0 if flags & SERVER_WITHOUT_OPTION != 0 => backlog,
            n => n,
        };
        if flags & SERVER == 0 || limit == 0 {
            return Decision::Ordinary;
        }
        if self.fastopen_pending(listener) >= limit as usize {
            self.counters.tcp_fast_open_listen_overflow += 1;
            return Decision::Ordinary;
        }
        if options.no_cookie || flags & SERVER_COOKIE_NOT_REQUIRED != 0 {
            return Decision::Accept;
        }
        self.fastopen_init_keys();
        let keys = self.tcp_fastopen_keys(listener).or(self.tcp.fastopen_keys);
        let (Some((key, older)), Some(offered)) = (keys, segment.options.fastopen) else {
            return Decision::Ordinary;
        };
        let good = cookie(&key, tuple);
        let known = offered == good || older.is_some_and(|key| offered == cookie(&key, tuple));
        if known && !offered.is_request() {
            Decision::Accept
        } else {
            // RFC 7413, 4.2.2: a wrong cookie is answered as a request is.
            Decision::Give(good)
        }
    }

    /// Connections of the listener whose handshake is not over (fastopenq.qlen).
    fn fastopen_pending(&mut self, listener: TcpId) -> usize {
        let tcp = &mut self.tcp;
        let Some(mut fast) = tcp
            .get_mut(listener)
            .and_then(|s| s.conn.listener.as_mut())
            .map(|l| core::mem::take(&mut l.fast))
        else {
            return 0;
        };
        fast.retain(|id| tcp.get(*id).is_some_and(|s| s.conn.state == State::SynRecv));
        let pending = fast.len();
        if let Some(l) = tcp.get_mut(listener).and_then(|s| s.conn.listener.as_mut()) {
            l.fast = fast;
        }
        pending
    }

    /// tcp_fastopen_create_child: the connection, before its handshake is over.
    pub(super) fn fastopen_accept(
        &mut self,
        now: Instant,
        hops: u8,
        request: &Request,
        segment: &TcpSegment,
    ) {
        let listener = request.listener;
        let Some(socket) = self.tcp.get(listener) else {
            return;
        };
        self.counters.tcp_fast_open_passive += 1;
        let mut child = child_of(
            socket,
            request,
            now,
            hops,
            self.routes.generation(),
            &self.interfaces,
        );
        child.conn.fastopen = Some(Box::new(FastOpen {
            child: true,
            ..FastOpen::default()
        }));
        let cx = Cx {
            now,
            sysctl: &self.sysctl,
        };
        child.conn.begin_fast_child(cx, segment);
        child.conn.on_data(cx, &mut segment.clone());
        child.conn.out = Out::SYN;
        if let Some(key) = child.bind {
            self.tcp_ports.insert(key);
        }
        let id = self.tcp.insert(Kind::Socket(Box::new(child)));
        self.tcp.hash_in(id.index);
        if let Some(listener) = self
            .tcp
            .get_mut(listener)
            .and_then(|s| s.conn.listener.as_mut())
        {
            listener.accept.push_back(id);
            listener.fast.push(id);
        }
        let kind = EventKind::ACCEPTABLE | EventKind::READABLE;
        self.tcp_happened(listener, kind);
        self.tcp_flush(now, id.index);
    }
}
