//! DNS by the gateway: questions to its resolver's address go to the real host's name servers, one after another as a
//! resolver asks them (resolv.conf(5)).
//!
//! # Theory of operation
//! Nothing is understood of a question but its identifier. Each gets a socket of its own, connected to the first server.
//! The next one is asked when a server refuses, and when the virtual host asks again, which it does when nobody has
//! answered. When no server is left, the answer is "server failure" (RFC 1035, 4.1.1), and comes at once: a host that is
//! offline does not wait.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;
use std::format;
use std::fs;
use std::net::SocketAddrV6;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::string::String;
use std::time::SystemTime;
use std::vec::Vec;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use switchboard_engine::Instant;
use switchboard_wire::{Body, IpHeader, Packet, Payload, UdpDatagram};

use super::{Gateway, Kind, MOST_QUESTIONS, NatAddresses, QUESTION_IDLE, sockets};

const PORT: u16 = 53;
/// MAXNS of resolv.h: more servers are not asked.
const MOST_SERVERS: usize = 3;
/// The header of a message (RFC 1035, 4.1.1).
const HEADER: usize = 12;

struct Question {
    socket: OwnedFd,
    source: SocketAddr,
    id: u16,
    text: Vec<u8>,
    /// Which server it was sent to.
    server: usize,
    last: Instant,
}

pub(super) struct Questions {
    path: PathBuf,
    /// The servers, and the state of the file that names them.
    servers: Vec<SocketAddr>,
    read: Option<(SystemTime, u64)>,
    waiting: BTreeMap<u64, Question>,
    by_source: BTreeMap<(SocketAddr, u16), u64>,
}

impl Questions {
    pub(super) fn new(path: PathBuf) -> Questions {
        Questions {
            path,
            servers: Vec::new(),
            read: None,
            waiting: BTreeMap::new(),
            by_source: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What the virtual host's resolv.conf says.
    pub(super) fn file(&self, addresses: &NatAddresses) -> String {
        let mut file = format!("nameserver {}\n", addresses.v4.resolver);
        for line in fs::read_to_string(&self.path).unwrap_or_default().lines() {
            let word = line.split_whitespace().next();
            if matches!(word, Some("search" | "domain" | "options")) {
                file.push_str(line);
                file.push('\n');
            }
        }
        file
    }

    /// The servers, in the order in which they are asked. There is one at least.
    pub(super) fn servers(&mut self) -> &[SocketAddr] {
        self.refresh();
        &self.servers
    }

    /// Reads the file again if it is another now.
    fn refresh(&mut self) {
        let state = fs::metadata(&self.path).and_then(|file| Ok((file.modified()?, file.len())));
        let state = state.ok();
        if state.is_some() && state == self.read {
            return;
        }
        self.read = state;
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        self.servers = servers(&text);
    }

    /// A question of the virtual host's.
    pub(super) fn ask(&mut self, gateway: &mut Gateway, now: Instant, packet: &Packet) {
        let Body::Udp(datagram) = &packet.body else {
            return;
        };
        let text = datagram.payload.to_vec();
        let (Some(&[a, b]), true) = (text.first_chunk(), text.len() >= HEADER) else {
            return;
        };
        let id = u16::from_be_bytes([a, b]);
        let source = SocketAddr::new(packet.ip.src, datagram.src_port);
        self.refresh();
        // Asked again: the next server.
        let mut server = 0;
        if let Some(key) = self.by_source.remove(&(source, id))
            && let Some(before) = self.waiting.remove(&key)
        {
            server = (before.server + 1) % self.servers.len().max(1);
        }
        if self.waiting.len() < MOST_QUESTIONS {
            self.ask_from(gateway, now, (source, id), text, server);
        }
    }

    /// Asks this server, or the first after it that takes the question.
    fn ask_from(
        &mut self,
        gateway: &mut Gateway,
        now: Instant,
        (source, id): (SocketAddr, u16),
        text: Vec<u8>,
        from: usize,
    ) {
        for server in from..self.servers.len() {
            let key = gateway.key();
            let Ok(socket) = put(self.servers[server], &text) else {
                continue;
            };
            if gateway.watch(&socket, Kind::Dns, key).is_err() {
                return;
            }
            let question = Question {
                socket,
                source,
                id,
                text,
                server,
                last: now,
            };
            self.waiting.insert(key, question);
            self.by_source.insert((source, id), key);
            return;
        }
        answer(gateway, now, source, failure(&text).into());
    }

    /// A server has answered, or is not there.
    pub(super) fn ready(&mut self, gateway: &mut Gateway, now: Instant, key: u64) {
        let Some(question) = self.waiting.get(&key) else {
            return;
        };
        let mut buffer: Vec<u8> = Vec::with_capacity(0x1_0000);
        loop {
            buffer.clear();
            let room = rustix::buffer::spare_capacity(&mut buffer);
            match rustix::net::recv(&question.socket, room, RecvFlags::empty()) {
                // Not to this question: a late answer to an earlier one, or somebody else's.
                Ok(_) if buffer.first_chunk() != Some(&question.id.to_be_bytes()) => {}
                Ok(_) => {
                    answer(gateway, now, question.source, buffer.into());
                    self.forget(key);
                    return;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    if let Some(Question {
                        source,
                        id,
                        text,
                        server,
                        ..
                    }) = self.forget(key)
                    {
                        self.ask_from(gateway, now, (source, id), text, server + 1);
                    }
                    return;
                }
            }
        }
    }

    fn forget(&mut self, key: u64) -> Option<Question> {
        let question = self.waiting.remove(&key)?;
        self.by_source.remove(&(question.source, question.id));
        Some(question)
    }

    /// Ends what nobody has answered.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.waiting.retain(|_, question| {
            let stays = now.saturating_sub(question.last) < QUESTION_IDLE;
            if !stays {
                self.by_source.remove(&(question.source, question.id));
            }
            stays
        });
    }
}

fn put(server: SocketAddr, text: &[u8]) -> Result<OwnedFd, Errno> {
    let socket = sockets::datagram(server.is_ipv6())?;
    rustix::net::connect(&socket, &server)?;
    rustix::net::send(&socket, text, SendFlags::NOSIGNAL)?;
    Ok(socket)
}

/// Sends the virtual host what its question has come to.
fn answer(gateway: &mut Gateway, now: Instant, to: SocketAddr, payload: Payload) {
    let resolver = gateway.translation.resolver(to.is_ipv6());
    let packet = Packet {
        ip: IpHeader::new(resolver, to.ip()),
        body: Body::Udp(UdpDatagram {
            src_port: PORT,
            dst_port: to.port(),
            payload,
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    };
    gateway.send(now, packet);
}

/// "Server failure" as the answer to a question (RFC 1035, 4.1.1): its header, and its first entry.
fn failure(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = text.iter().take(HEADER).copied().collect();
    // QR, and of the question the opcode and RD.
    out[2] = 0x80 | (out[2] & 0x79);
    // RA, and the code.
    out[3] = 0x80 | 2;
    out[4..].fill(0);
    if let Some(question) = first_question(text) {
        out[5] = 1;
        out.extend_from_slice(question);
    }
    out
}

/// The first entry of the question section: labels, type, class.
fn first_question(text: &[u8]) -> Option<&[u8]> {
    let rest = text.get(HEADER..)?;
    if text.get(4..6)? == [0, 0] {
        return None;
    }
    let mut at = 0;
    loop {
        match *rest.get(at)? {
            0 => return rest.get(..at + 5),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// The name servers of a resolv.conf(5).
fn servers(text: &str) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver")
            && let Some(server) = words.next().and_then(server)
            && servers.len() < MOST_SERVERS
        {
            servers.push(server);
        }
    }
    if servers.is_empty() {
        // "If no nameserver entries are present, the default is to use the name server on the local machine."
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    servers
}

fn server(word: &str) -> Option<SocketAddr> {
    let Some((addr, scope)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT));
    };
    let addr: Ipv6Addr = addr.parse().ok()?;
    let scope = match scope.parse() {
        Ok(number) => number,
        Err(_) => nix::net::if_::if_nametoindex(scope).ok()?,
    };
    Some(SocketAddrV6::new(addr, PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_resolver_reads_them() {
        let text = "# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.53\n\
                    nameserver  2001:db8::53 \nnameserver fe80::1%1\nnameserver 192.0.2.54\n";
        let expected: Vec<SocketAddr> = ["192.0.2.53:53", "[2001:db8::53]:53", "[fe80::1%1]:53"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(servers(text), expected);
        let own: SocketAddr = "127.0.0.1:53".parse().unwrap();
        assert_eq!(servers("nameserver nobody\n"), [own]);
        assert_eq!(servers(""), [own]);
    }

    #[test]
    fn a_failure_repeats_the_question() {
        let mut text = Vec::from([7, 8, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 1]);
        text.extend_from_slice(b"\x02no\x04such\0\0\x01\0\x01");
        let question = text.len();
        // EDNS is not repeated.
        text.extend_from_slice(b"\0\0\x29\x10\0\0\0\0\0\0\0");
        let answer = failure(&text);
        assert_eq!(answer[..HEADER], [7, 8, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(answer[HEADER..], text[HEADER..question]);
        // A name that does not end.
        let cut = failure(&text[..HEADER + 3]);
        assert_eq!(cut[..], [7, 8, 0x81, 0x82, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
