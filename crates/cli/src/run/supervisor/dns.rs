//! The name server of a host: a UDP socket of the host's own, which no program holds.

use std::net::{SocketAddr, SocketAddrV4};

use switchboard_abi::number::{AF_INET, MSG_DONTWAIT, SOCK_DGRAM};
use switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE;
use switchboard_abi::{Errno, SockAddr};
use switchboard_socket::{
    Attempt, Cred, RecvProgress, RecvRequest, SendControl, SendRequest, Skip, SocketId,
};
use switchboard_wire::Payload;

use super::super::names::SERVER;
use super::Supervisor;

/// Larger than any query.
const ROOM: usize = 4096;

pub(in super::super) struct Dns {
    socket: SocketId,
    /// Something may have come.
    news: bool,
}

impl Dns {
    /// Whether this is about its socket.
    pub(super) fn has_news(&mut self, socket: SocketId) -> bool {
        self.news |= socket == self.socket;
        socket == self.socket
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
        self.dns = Some(Dns {
            socket,
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
        let socket = dns.socket;
        while let Some((query, from)) = self.receive_query(socket) {
            let named = self.named.as_ref();
            if let Some(answer) = named.and_then(|named| named.answer(&query)) {
                self.send_answer(socket, answer, &from);
            }
        }
        self.show_events();
    }

    fn receive_query(&mut self, socket: SocketId) -> Option<(Vec<u8>, SockAddr)> {
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
    fn send_answer(&mut self, socket: SocketId, answer: Vec<u8>, to: &SockAddr) {
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
