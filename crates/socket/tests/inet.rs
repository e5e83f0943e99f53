//! TCP and UDP through the layer, one call at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr, Word};
use switchboard_engine::Instant;
use switchboard_socket::{
    Attempt, ConnectProgress, Cred, Cx, Host, HostConfig, MemoryPaths, PollMask, RecvProgress,
    RecvRequest, SendControl, SendRequest, Skip, SocketId,
};
use switchboard_wire::Payload;

struct World {
    host: Host,
    cred: Arc<Cred>,
    paths: MemoryPaths,
    now: Instant,
}

impl World {
    fn new() -> World {
        World {
            host: Host::new(HostConfig::default()),
            cred: Arc::new(Cred::user(1, 1000, 1000)),
            paths: MemoryPaths::default(),
            now: Instant::BOOT + Duration::from_secs(1),
        }
    }

    fn call<T>(&mut self, run: impl FnOnce(&mut Host, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            realtime: Duration::from_secs(1_700_000_000),
            cred: &self.cred,
            paths: &mut self.paths,
        };
        run(&mut self.host, &mut cx)
    }

    fn socket(&mut self, domain: i32, ty: i32) -> SocketId {
        self.call(|h, cx| h.socket(cx, domain, ty, 0))
            .expect("socket")
    }

    fn bind(&mut self, id: SocketId, addr: &str) -> Result<SocketAddr, Errno> {
        let raw = raw(addr);
        self.call(|h, cx| h.bind(cx, id, &raw))?;
        Ok(self.host.getsockname(id)?.as_inet().expect("an IP address"))
    }

    /// A non-blocking connect.
    fn connect(&mut self, id: SocketId, addr: &str) -> Result<(), Errno> {
        let raw = raw(addr);
        let mut progress = ConnectProgress::default();
        let outcome = self.call(|h, cx| h.attempt_connect(cx, id, &raw, &mut progress, true));
        match outcome.map_err(|fail| fail.errno)? {
            Attempt::Ready(()) => Ok(()),
            Attempt::Blocked(_) => panic!("a last attempt does not block"),
        }
    }

    fn send(
        &mut self,
        id: SocketId,
        data: &[u8],
        flags: i32,
        to: Option<&str>,
    ) -> Result<usize, Errno> {
        let name = to.map(raw);
        let control = SendControl::default();
        let request = SendRequest {
            len: data.len(),
            done: 0,
            skip: Skip::default(),
            flags,
            name: name.as_deref(),
            control: &control,
            last: true,
        };
        let plan = match self.call(|h, cx| h.attempt_send(cx, id, &request)) {
            Ok(Attempt::Ready(plan)) => plan,
            Ok(Attempt::Blocked(_)) => panic!("a last attempt does not block"),
            Err(fail) => {
                self.call(|h, cx| h.commit_fail(cx, id, fail));
                return Err(fail.errno);
            }
        };
        let taken = plan.take;
        let mut payload = Payload::new();
        payload.push(bytes::Bytes::copy_from_slice(&data[..taken]));
        self.call(|h, cx| h.commit_send(cx, id, plan, payload));
        Ok(taken)
    }

    fn recv(&mut self, id: SocketId, len: usize, flags: i32) -> Result<Vec<u8>, Errno> {
        let mut progress = RecvProgress::default();
        let mut request = RecvRequest {
            len,
            flags,
            skip: Skip::default(),
            progress: &mut progress,
            last: true,
        };
        match self.call(|h, cx| h.attempt_recv(cx, id, &mut request)) {
            Ok(Attempt::Ready(received)) => {
                let mut data = vec![0; received.data.len()];
                received.data.copy_to(&mut data);
                self.call(|h, cx| h.commit_recv(cx, id, received));
                Ok(data)
            }
            Ok(Attempt::Blocked(_)) => panic!("a last attempt does not block"),
            Err(fail) => {
                self.call(|h, cx| h.commit_fail(cx, id, fail));
                Err(fail.errno)
            }
        }
    }

    fn accept(&mut self, id: SocketId) -> Result<SocketId, Errno> {
        match self
            .call(|h, cx| h.attempt_accept(cx, id, true))
            .map_err(|fail| fail.errno)?
        {
            Attempt::Ready(plan) => Ok(self.call(|h, cx| h.commit_accept(cx, plan))),
            Attempt::Blocked(_) => panic!("a last attempt does not block"),
        }
    }

    fn connected_pair(&mut self) -> (SocketId, SocketId) {
        let listener = self.socket(AF_INET, SOCK_STREAM);
        let addr = self
            .bind(listener, "127.0.0.1:0")
            .expect("bind")
            .to_string();
        self.call(|h, cx| h.listen(cx, listener, 8))
            .expect("listen");
        let client = self.socket(AF_INET, SOCK_STREAM);
        assert_eq!(self.connect(client, &addr), Err(Errno::EINPROGRESS));
        assert_eq!(self.connect(client, &addr), Ok(()));
        let server = self.accept(listener).expect("accept");
        self.call(|h, cx| h.close(cx, listener));
        (client, server)
    }
}

fn raw(addr: &str) -> Vec<u8> {
    let addr: SocketAddr = addr.parse().expect("an address");
    let mut out = [0; 128];
    let len = SockAddr::Inet(addr).encode(&mut out);
    out[..len].to_vec()
}

#[test]
fn tcp_carries_bytes_both_ways_and_ends() {
    let mut w = World::new();
    let (client, server) = w.connected_pair();
    assert_eq!(w.send(client, b"hello", 0, None), Ok(5));
    assert!(w.host.poll(server).contains(PollMask::IN));
    assert_eq!(w.recv(server, 3, MSG_PEEK), Ok(b"hel".to_vec()));
    assert_eq!(w.recv(server, 100, 0), Ok(b"hello".to_vec()));
    assert_eq!(w.recv(server, 100, 0), Err(Errno::EAGAIN));
    assert_eq!(w.send(server, b"x", 0, None), Ok(1));
    assert_eq!(w.recv(client, 100, 0), Ok(b"x".to_vec()));
    w.call(|h, cx| h.shutdown(cx, client, SHUT_WR))
        .expect("shutdown");
    assert_eq!(w.recv(server, 100, 0), Ok(vec![]));
    assert_eq!(w.send(client, b"x", 0, None), Err(Errno::EPIPE));
    assert_eq!(w.send(server, b"late", 0, None), Ok(4));
    assert_eq!(w.recv(client, 100, 0), Ok(b"late".to_vec()));
}

#[test]
fn tcp_refused() {
    let mut w = World::new();
    let client = w.socket(AF_INET, SOCK_STREAM);
    assert_eq!(
        w.host.poll(client),
        PollMask::OUT | PollMask::WRNORM | PollMask::HUP
    );
    assert_eq!(w.connect(client, "127.0.0.1:1"), Err(Errno::EINPROGRESS));
    let mask = w.host.poll(client);
    assert!(mask.contains(PollMask::ERR | PollMask::HUP | PollMask::OUT | PollMask::IN));
    assert_eq!(w.connect(client, "127.0.0.1:1"), Err(Errno::ECONNREFUSED));
    assert_eq!(w.connect(client, "127.0.0.1:1"), Err(Errno::EINPROGRESS));
}

#[test]
fn tcp_close_with_unread_data_resets() {
    let mut w = World::new();
    let (client, server) = w.connected_pair();
    assert_eq!(w.send(client, b"unread", 0, None), Ok(6));
    w.call(|h, cx| h.close(cx, server));
    assert_eq!(w.recv(client, 10, 0), Err(Errno::ECONNRESET));
    assert_eq!(w.recv(client, 10, 0), Ok(vec![]));
    assert_eq!(w.host.socket_count(), 1);
}

#[test]
fn tcp_urgent_byte() {
    let mut w = World::new();
    let (client, server) = w.connected_pair();
    assert_eq!(w.send(client, b"abc", MSG_OOB, None), Ok(3));
    assert!(w.host.poll(server).contains(PollMask::PRI));
    assert_eq!(w.recv(server, 10, 0), Ok(b"ab".to_vec()));
    assert_eq!(w.recv(server, 10, MSG_OOB), Ok(b"c".to_vec()));
    assert_eq!(w.recv(server, 10, MSG_OOB), Err(Errno::EINVAL));
    assert_eq!(w.send(client, b"d", 0, None), Ok(1));
    assert_eq!(w.recv(server, 10, 0), Ok(b"d".to_vec()));
}

#[test]
fn udp_datagrams_and_errors() {
    let mut w = World::new();
    let (a, b) = (
        w.socket(AF_INET, SOCK_DGRAM),
        w.socket(AF_INET6, SOCK_DGRAM),
    );
    let to_b = w.bind(b, "[::]:0").expect("bind").port();
    let to_b = format!("127.0.0.1:{to_b}");
    assert_eq!(w.send(a, b"one", 0, Some(&to_b)), Ok(3));
    assert_eq!(w.send(a, b"", 0, Some(&to_b)), Ok(0));
    assert_eq!(w.recv(b, 2, 0), Ok(b"on".to_vec()));
    assert_eq!(w.recv(b, 2, 0), Ok(vec![]));
    assert_eq!(w.recv(b, 2, 0), Err(Errno::EAGAIN));
    assert_eq!(w.connect(a, &to_b), Ok(()));
    w.call(|h, cx| h.close(cx, b));
    assert_eq!(w.send(a, b"lost", 0, None), Ok(4));
    assert!(w.host.poll(a).contains(PollMask::ERR));
    assert_eq!(w.recv(a, 10, 0), Err(Errno::ECONNREFUSED));
    assert_eq!(w.recv(a, 10, 0), Err(Errno::EAGAIN));
}

#[test]
fn options_tell_linuxs_defaults() {
    let mut w = World::new();
    let s = w.socket(AF_INET, SOCK_STREAM);
    let mut get = |level, name| {
        let value = w
            .call(|h, cx| h.getsockopt(cx, s, level, name, 4, Word::Lp64))
            .expect("get");
        i32::from_ne_bytes(value.bytes.try_into().expect("an int"))
    };
    assert_eq!(get(SOL_SOCKET, SO_RCVBUF), 131_072);
    assert_eq!(get(SOL_SOCKET, SO_SNDBUF), 16_384);
    assert_eq!(get(SOL_TCP, TCP_MAXSEG), 536);
    assert_eq!(get(SOL_TCP, TCP_KEEPIDLE), 7200);
    assert_eq!(get(SOL_TCP, TCP_SYNCNT), 6);
    assert_eq!(get(SOL_TCP, TCP_LINGER2), 60);
    assert_eq!(get(SOL_IP, IP_TTL), 64);
}
