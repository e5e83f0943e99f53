//! inet_diag: TCP and UDP sockets.

use super::bytecode::{Entry, Program};
use super::{GET_SOCK, NO_COOKIE, cookie_bytes, cookie_of, read_cookie, read_word, start};
use crate::call::Cx;
use crate::host::Host;
use crate::inet::{InetFlags, InetOptions};
use crate::netlink::message::{Answer, Refusal, Request};
use crate::netlink::serve::Asker;
use crate::proc::{Datagrams, datagram_sockets};
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{Family, SocketHandle, State, TcpEntry, TcpId};

/// `sizeof(struct inet_diag_req_v2)`
const REQUEST: usize = 56;
/// Where its `struct inet_diag_sockid` is.
const ID: usize = 8;
/// `sizeof(struct inet_diag_req)`, of TCPDIAG_GETSOCK.
const OLD_REQUEST: usize = 60;

/// INET_DIAG_*: attributes, whose numbers less one are bits of `idiag_ext`.
const MEMINFO: u16 = 1;
const INFO: u16 = 2;
const CONG: u16 = 4;
const TOS: u16 = 5;
const TCLASS: u16 = 6;
const SKMEMINFO: u16 = 7;
const SHUTDOWN: u16 = 8;
const SKV6ONLY: u16 = 11;
const MARK: u16 = 15;
const CLASS_ID: u16 = 17;
const SOCKOPT: u16 = 22;
/// INET_DIAG_REQ_BYTECODE, INET_DIAG_REQ_PROTOCOL
const BYTECODE: u16 = 1;
const PROTOCOL: u16 = 3;

/// A socket, request or TIME_WAIT entry.
struct Found {
    /// Who has it, unless it is an orphan, a request or in TIME_WAIT.
    id: Option<SocketId>,
    /// The engine's, of TCP.
    entry: Option<TcpId>,
    v6: bool,
    state: State,
    local: SocketAddr,
    remote: SocketAddr,
    timer: u8,
    timer_in: Duration,
    retransmits: u8,
    queues: (u32, u32),
    uid: u32,
}

/// What a request names.
#[derive(Clone)]
struct Wanted {
    family: i32,
    ext: u8,
    states: u32,
    ports: (u16, u16),
    addresses: [[u8; 16]; 2],
    device: u32,
    cookie: u64,
}

impl Wanted {
    fn of(body: &[u8]) -> Result<Wanted, Errno> {
        let body: &[u8; REQUEST] = body.first_chunk().ok_or(Errno::EINVAL)?;
        let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let address = |at: usize| <[u8; 16]>::try_from(&body[at..at + 16]).unwrap_or_default();
        Ok(Wanted {
            family: body[0].into(),
            ext: body[2],
            states: read_word(body, 4),
            ports: (port(ID), port(ID + 2)),
            addresses: [address(ID + 4), address(ID + 20)],
            device: read_word(body, ID + 36),
            cookie: read_cookie(body, ID + 40),
        })
    }

    /// Of `struct inet_diag_req`. A dump by it tells of both families, whatever it names (inet_diag_dump_compat()).
    fn of_old(body: &[u8], dump: bool) -> Result<Wanted, Errno> {
        let body: &[u8; OLD_REQUEST] = body.first_chunk().ok_or(Errno::EINVAL)?;
        let (head, id, states) = (&body[..4], &body[4..52], &body[52..56]);
        let family = if dump { AF_UNSPEC as u8 } else { head[0] };
        Wanted::of(&[&[family, 0, head[3], 0], states, id].concat())
    }

    /// Whether a dump is to show sockets of this family.
    fn is_of(&self, v6: bool) -> bool {
        self.family == AF_UNSPEC || v6 == (self.family == AF_INET6)
    }

    fn asks(&self, attribute: u16) -> bool {
        self.ext & 1 << (attribute - 1) != 0
    }
}

/// Where a request's attributes begin.
fn length(request: &Request<'_>) -> usize {
    match request.kind {
        GET_SOCK => OLD_REQUEST,
        _ => REQUEST,
    }
}

/// An address as `struct inet_diag_sockid` has it; of an IPv6 socket mapped.
fn words(addr: IpAddr, v6: bool) -> [u8; 16] {
    let mut out = [0; 16];
    match addr {
        IpAddr::V4(a) if !v6 => out[..4].copy_from_slice(&a.octets()),
        IpAddr::V4(a) if !a.is_unspecified() => out = a.to_ipv6_mapped().octets(),
        IpAddr::V4(_) => {}
        IpAddr::V6(a) => out = a.octets(),
    }
    out
}

impl Host {
    /// The sockets of a request's protocol, and what the request names. ENOENT where there is no module that knows it
    /// (inet_diag_lock_handler()).
    fn inet_asked(
        &self,
        cx: &Cx<'_>,
        request: &Request<'_>,
        protocol: u8,
    ) -> Result<(Wanted, i32, Option<Vec<Found>>), Errno> {
        let wanted = match request.kind {
            GET_SOCK => Wanted::of_old(request.body(), request.is_dump())?,
            _ => Wanted::of(request.body())?,
        };
        let protocol = match request.attribute(length(request), PROTOCOL) {
            Some(data) => read_word(data, 0) as i32,
            None => protocol.into(),
        };
        let all = match protocol {
            IPPROTO_TCP => Some(self.tcp_found(cx)),
            IPPROTO_UDP => Some(self.udp_found(Datagrams::Udp)),
            IPPROTO_UDPLITE => Some(self.udp_found(Datagrams::UdpLite)),
            _ => None,
        };
        Ok((wanted, protocol, all))
    }

    /// tcp_diag_destroy(), udp_diag_destroy()
    pub(super) fn inet_destroy(
        &mut self,
        cx: &mut Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
        protocol: u8,
    ) -> Result<Answer, Refusal> {
        let (wanted, protocol, all) = self.inet_asked(cx, request, protocol)?;
        let all = all.ok_or(Errno::ENOENT)?;
        let mut found = all.iter().find(|f| self.is_named(f, &wanted));
        if found.is_none() && protocol != IPPROTO_TCP {
            // __udp4_lib_lookup(): whoever would get a datagram from there.
            let mut anyone = wanted.clone();
            (anyone.ports.1, anyone.addresses[1]) = (0, [0; 16]);
            found = all.iter().find(|f| self.is_named(f, &anyone));
        }
        // The socket is looked for first.
        let found = found.ok_or(Errno::ENOENT)?;
        if !asker.admin {
            return Err(Errno::EPERM.into());
        }
        match (protocol, found.entry, found.id) {
            (IPPROTO_TCP, Some(entry), _) => {
                self.stack.tcp_destroy(cx.now, entry);
                self.collect_stack_events();
            }
            (_, _, Some(id)) => self.udp_abort(id),
            _ => {}
        }
        Ok(Answer::Done)
    }

    /// inet_diag_handler_cmd()
    pub(super) fn inet_diag(
        &self,
        cx: &Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
        protocol: u8,
    ) -> Result<Answer, Refusal> {
        let (wanted, _, all) = self.inet_asked(cx, request, protocol)?;
        let program = match request.attribute(length(request), BYTECODE) {
            Some(code) if request.is_dump() => Some(Program::new(code, asker.admin)?),
            _ => None,
        };
        let Some(all) = all else {
            return match request.is_dump() {
                true => Ok(Answer::no_dump(Errno::ENOENT)),
                false => Err(Errno::ENOENT.into()),
            };
        };
        if !request.is_dump() {
            if !matches!(wanted.family, AF_INET | AF_INET6) {
                return Err(Errno::EINVAL.into());
            }
            let found = all.iter().find(|f| self.is_named(f, &wanted));
            let found = found.ok_or(Errno::ENOENT)?;
            let message = self.inet_message(cx, asker, request, &wanted, found);
            return Ok(Answer::One(message));
        }
        let shown = all.iter().filter(|f| {
            wanted.is_of(f.v6)
                && wanted.states >> (f.state as u32) & 1 == 1
                && (wanted.ports.0 == 0 || wanted.ports.0 == f.local.port())
                && (wanted.ports.1 == 0 || wanted.ports.1 == f.remote.port())
                && program
                    .as_ref()
                    .is_none_or(|program| program.shows(&self.entry_of(f)))
        });
        let messages = shown.map(|f| self.inet_message(cx, asker, request, &wanted, f));
        Ok(Answer::dump(messages.collect()))
    }

    fn tcp_found(&self, cx: &Cx<'_>) -> Vec<Found> {
        let found = |e: TcpEntry| {
            let id = e.socket.and_then(|t| self.socket_of(SocketHandle::Tcp(t)));
            let backlog = match (e.state, e.socket) {
                // Of a listener: how many wait, and how many may.
                (State::Listen, Some(t)) => self.stack.tcp_info(cx.now, t).sacked,
                _ => e.send_queue,
            };
            Found {
                id,
                entry: Some(e.entry),
                v6: e.family == Family::V6,
                state: e.state,
                local: e.local,
                remote: e.remote,
                timer: e.timer as u8,
                timer_in: e.timer_in,
                retransmits: e.retransmits.max(e.probes),
                queues: (e.receive_queue, backlog),
                uid: e.uid,
            }
        };
        self.stack.tcp_entries(cx.now).map(found).collect()
    }

    fn udp_found(&self, kind: Datagrams) -> Vec<Found> {
        let mut out = Vec::new();
        for v6 in [false, true] {
            for (id, socket, local, peer, memory, _) in datagram_sockets(self, kind, v6) {
                let none = match v6 {
                    true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                    false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                };
                out.push(Found {
                    id: Some(id),
                    entry: None,
                    v6,
                    state: match peer {
                        Some(_) => State::Established,
                        None => State::Close,
                    },
                    local,
                    remote: peer.unwrap_or(SocketAddr::new(none, 0)),
                    timer: 0,
                    timer_in: Duration::ZERO,
                    retransmits: 0,
                    queues: (memory, 0),
                    uid: socket.common.uid,
                });
            }
        }
        out
    }

    fn device_of(&self, found: &Found) -> u32 {
        let socket = found.id.and_then(|id| self.get(id).ok());
        let device = socket.and_then(|socket| socket.common.device());
        device.map_or(0, |device| device.get())
    }

    fn mark_of(&self, found: &Found) -> u32 {
        let socket = found.id.and_then(|id| self.get(id).ok());
        socket.map_or(0, |socket| socket.common.rare().mark)
    }

    fn entry_of(&self, found: &Found) -> Entry {
        let side = |addr: SocketAddr| (addr.ip(), addr.port());
        Entry {
            v6: found.v6,
            local: side(found.local),
            remote: side(found.remote),
            device: self.device_of(found),
            mark: self.mark_of(found),
            // SOCK_BINDPORT_LOCK: a listener has it, whoever connected chose none.
            port_was_given: found.state == State::Listen || found.state == State::Close,
        }
    }

    /// inet_diag_find_one_icsk(), udp_dump_one(): by four-tuple and cookie.
    fn is_named(&self, found: &Found, wanted: &Wanted) -> bool {
        let own = found.id.map_or(0, cookie_of);
        found.v6 == (wanted.family == AF_INET6)
            && found.local.port() == wanted.ports.0
            && found.remote.port() == wanted.ports.1
            && (wanted.device == 0 || wanted.device == self.device_of(found))
            && (words(found.remote.ip(), found.v6) == wanted.addresses[1])
            && (words(found.local.ip(), found.v6) == wanted.addresses[0]
                || found.local.ip().is_unspecified())
            && (wanted.cookie == NO_COOKIE || wanted.cookie == own)
    }

    /// inet_sk_diag_fill(), inet_req_diag_fill(), inet_twsk_diag_fill()
    fn inet_message(
        &self,
        cx: &Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
        wanted: &Wanted,
        found: &Found,
    ) -> Vec<u8> {
        let family = if found.v6 { AF_INET6 } else { AF_INET };
        let mut head = Vec::with_capacity(72);
        head.extend([
            family as u8,
            found.state as u8,
            found.timer,
            found.retransmits,
        ]);
        head.extend(found.local.port().to_be_bytes());
        head.extend(found.remote.port().to_be_bytes());
        head.extend(words(found.local.ip(), found.v6));
        head.extend(words(found.remote.ip(), found.v6));
        head.extend(self.device_of(found).to_ne_bytes());
        head.extend(cookie_bytes(found.id.map_or(0, cookie_of)));
        let inode = found.id.map_or(0, |id| self.socket_inode(id));
        let expires = u32::try_from(found.timer_in.as_millis()).unwrap_or(u32::MAX);
        for word in [expires, found.queues.0, found.queues.1, found.uid, inode] {
            head.extend(word.to_ne_bytes());
        }
        let mut m = start(request, asker.port, &head);
        let Some((id, Ok(options))) = found.id.map(|id| (id, self.inet_options(id))) else {
            return m.finish();
        };
        let socket = self.get(id);
        let shut = match socket.as_ref().map(|socket| &socket.kind) {
            Ok(Kind::Tcp(s)) => {
                let status = self.stack.tcp_status(s.handle);
                u8::from(status.rcv_shutdown) | u8::from(status.snd_shutdown) << 1
            }
            Ok(Kind::Udp(s)) => u8::from(s.shut.read) | u8::from(s.shut.write) << 1,
            _ => 0,
        };
        m.put(SHUTDOWN, &[shut]);
        if wanted.asks(TOS) {
            m.put(TOS, &[options.tos]);
        }
        if found.v6 {
            if wanted.asks(TCLASS) {
                m.put(TCLASS, &[options.tclass]);
            }
            if matches!(found.state, State::Listen | State::Close) {
                m.put(SKV6ONLY, &[options.v6only.into()]);
            }
        }
        if asker.admin {
            m.put_u32(MARK, self.mark_of(found));
        }
        if wanted.asks(TCLASS) {
            m.put_u32(CLASS_ID, socket.as_ref().map_or(0, |s| s.common.priority));
        }
        let connected = matches!(socket.as_ref().map(|s| &s.kind), Ok(Kind::Tcp(_)));
        m.put(SOCKOPT, &socket_options(options, connected));
        let memory = self.option(cx, id, SOL_SOCKET, SO_MEMINFO);
        if wanted.asks(MEMINFO) && memory.len() == 36 {
            // struct inet_diag_meminfo: rmem, wmem, fmem, tmem.
            let word = |i: usize| &memory[4 * i..4 * i + 4];
            m.put(MEMINFO, &[word(0), word(5), word(4), word(2)].concat());
        }
        if wanted.asks(SKMEMINFO) {
            m.put(SKMEMINFO, &memory);
        }
        if matches!(socket.map(|socket| &socket.kind), Ok(Kind::Tcp(_))) {
            if wanted.asks(INFO) {
                m.put(INFO, &self.option(cx, id, SOL_TCP, TCP_INFO));
            }
            if wanted.asks(CONG) {
                let name = self.option(cx, id, SOL_TCP, TCP_CONGESTION);
                let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
                m.put_text(CONG, core::str::from_utf8(&name[..end]).unwrap_or(""));
            }
        }
        m.finish()
    }
}

/// `struct inet_diag_sockopt`: recverr, is_icsk, freebind, hdrincl, mc_loop, transparent, mc_all, nodefrag;
/// bind_address_no_port, recverr_rfc4884, defer_connect.
fn socket_options(options: &InetOptions, tcp: bool) -> [u8; 2] {
    let has = |flag, bit: u8| u8::from(options.flags.contains(flag)) << bit;
    [
        has(InetFlags::RECVERR, 0)
            | u8::from(tcp) << 1
            | has(InetFlags::FREEBIND, 2)
            | has(InetFlags::TRANSPARENT, 5)
            | has(InetFlags::MULTICAST_ALL, 6)
            | has(InetFlags::MULTICAST_LOOP, 4),
        has(InetFlags::BIND_ADDRESS_NO_PORT, 0),
    ]
}
