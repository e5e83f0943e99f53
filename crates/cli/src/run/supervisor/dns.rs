//! The name server of a host: a UDP socket of the host's own, which no program holds. Where the host has a way out, names that
//! are no host's are asked for there, by another such socket.

use std::collections::VecDeque;
use std::net::{SocketAddr, SocketAddrV4};

use switchboard_abi::number::{AF_INET, MSG_DONTWAIT, SOCK_DGRAM};
use switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE;
use switchboard_abi::{Errno, SockAddr};
use switchboard_socket::{
    Attempt, Cred, RecvProgress, RecvRequest, SendControl, SendRequest, Skip, SocketId,
};
use switchboard_wire::Payload;

use super::super::names::{Answer, Named, SERVER};
use super::Supervisor;

/// Larger than any query.
const ROOM: usize = 4096;

/// So many questions are outside at a time; the oldest gives way.
const ASKED: usize = 512;

pub(in super::super) struct Dns {
    socket: SocketId,
    outer: Option<Outer>,
    /// Something may have come.
    news: bool,
}

/// Who knows the names of others.
struct Outer {
    socket: SocketId,
    resolver: SockAddr,
    asked: VecDeque<Asked>,
}

/// A question that is outside.
struct Asked {
    id: [u8; 2],
    /// Who asked, and under which number.
    by: SockAddr,
    theirs: [u8; 2],
}

impl Dns {
    /// Whether this is about one of its sockets.
    pub(super) fn has_news(&mut self, socket: SocketId) -> bool {
        let outer = self.outer.as_ref().map(|outer| outer.socket);
        let ours = socket == self.socket || Some(socket) == outer;
        self.news |= ours;
        ours
    }
}

impl Supervisor {
    /// Answers at port 53 of the host's own address for it from now on.
    pub(in super::super) fn start_dns(&mut self) -> Result<(), Errno> {
        let root = std::sync::Arc::new(Cred::root(0));
        let socket = self.with_cx(0, &root, |host, cx| {
            let socket = host.socket(cx, AF_INET, SOCK_DGRAM, 0)?;
            let addr = SockAddr::Inet(SocketAddr::V4(SocketAddrV4::new(SERVER, 53)));
            let mut bytes = [0; SOCKADDR_STORAGE_SIZE];
            let len = addr.encode(&mut bytes);
            host.bind(cx, socket, &bytes[..len])?;
            Ok::<_, Errno>(socket)
        })?;
        let resolver = self.named.as_ref().and_then(Named::resolver_outside);
        let outer = match resolver {
            None => None,
            Some(resolver) => Some(Outer {
                socket: self
                    .with_cx(0, &root, |host, cx| host.socket(cx, AF_INET, SOCK_DGRAM, 0))?,
                resolver: SockAddr::Inet(SocketAddr::new(resolver, 53)),
                asked: VecDeque::new(),
            }),
        };
        self.dns = Some(Dns {
            socket,
            outer,
            news: false,
        });
        Ok(())
    }

    /// Answers what was asked since the last time.
    pub(super) fn answer_names(&mut self) {
        let Some(dns) = &mut self.dns else { return };
        if !std::mem::take(&mut dns.news) {
            return;
        }
        let (socket, outer) = (dns.socket, dns.outer.as_ref().map(|outer| outer.socket));
        while let Some((query, from)) = self.receive(socket) {
            let named = self.named.as_ref();
            match named.and_then(|named| named.answer(&query)) {
                Some(Answer::Unknown(_)) if outer.is_some() => self.ask_outside(query, from),
                Some(Answer::Known(answer) | Answer::Unknown(answer)) => {
                    self.send(socket, answer, &from);
                }
                None => {}
            }
        }
        while let Some((answer, from)) = outer.and_then(|outer| self.receive(outer)) {
            self.hand_back(answer, &from);
        }
        self.show_events();
    }

    /// A name that is no host's.
    fn ask_outside(&mut self, mut query: Vec<u8>, by: SockAddr) {
        let [a, b, ..] = self.host.stack_mut().random_u32().to_ne_bytes();
        let Some(outer) = self.dns.as_mut().and_then(|dns| dns.outer.as_mut()) else {
            return;
        };
        let Some(number) = query.first_chunk_mut::<2>() else {
            return;
        };
        if outer.asked.len() == ASKED {
            outer.asked.pop_front();
        }
        let theirs = std::mem::replace(number, [a, b]);
        let id = [a, b];
        outer.asked.push_back(Asked { id, by, theirs });
        let (socket, resolver) = (outer.socket, outer.resolver.clone());
        self.send(socket, query, &resolver);
    }

    /// An answer from outside goes to whoever asked.
    fn hand_back(&mut self, mut answer: Vec<u8>, from: &SockAddr) {
        let Some(dns) = &mut self.dns else { return };
        let (socket, Some(outer)) = (dns.socket, &mut dns.outer) else {
            return;
        };
        let Some(number) = answer.first_chunk_mut::<2>() else {
            return;
        };
        let found = outer.asked.iter().position(|asked| asked.id == *number);
        let asked = found.filter(|_| *from == outer.resolver);
        if let Some(asked) = asked.and_then(|at| outer.asked.remove(at)) {
            *number = asked.theirs;
            self.send(socket, answer, &asked.by);
        }
    }

    fn receive(&mut self, socket: SocketId) -> Option<(Vec<u8>, SockAddr)> {
        let root = std::sync::Arc::new(Cred::root(0));
        self.with_cx(0, &root, |host, cx| {
            // An error of an earlier answer comes first, and is nobody's here.
            for _ in 0..2 {
                let mut progress = RecvProgress::default();
                let mut request = RecvRequest {
                    len: ROOM,
                    flags: MSG_DONTWAIT,
                    skip: Skip::default(),
                    progress: &mut progress,
                    last: true,
                };
                match host.attempt_recv(cx, socket, &mut request) {
                    Ok(Attempt::Ready(mut received)) => {
                        let mut query = vec![0; ROOM];
                        let len = received.data.copy_to(&mut query);
                        query.truncate(len);
                        let from = received.name.take();
                        host.commit_recv(cx, socket, received);
                        return from.map(|from| (query, from));
                    }
                    Ok(Attempt::Blocked(_)) => return None,
                    Err(fail) => host.commit_fail(cx, socket, fail),
                }
            }
            None
        })
    }

    /// As with any datagram: one that does not get away is asked for again.
    fn send(&mut self, socket: SocketId, answer: Vec<u8>, to: &SockAddr) {
        let root = std::sync::Arc::new(Cred::root(0));
        let mut name = [0; SOCKADDR_STORAGE_SIZE];
        let len = to.encode(&mut name);
        let control = SendControl::default();
        self.with_cx(0, &root, |host, cx| {
            let request = SendRequest {
                len: answer.len(),
                done: 0,
                skip: Skip::default(),
                flags: MSG_DONTWAIT,
                name: Some(&name[..len]),
                control: &control,
                last: true,
            };
            match host.attempt_send(cx, socket, &request) {
                Ok(Attempt::Ready(plan)) => {
                    host.commit_send(cx, socket, plan, Payload::from(answer));
                }
                Ok(Attempt::Blocked(_)) => {}
                Err(fail) => host.commit_fail(cx, socket, fail),
            }
        });
    }
}
