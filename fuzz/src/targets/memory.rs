//! 100,000 sends of random sizes into small buffers that are hardly ever emptied: what is held
//! stays bounded, and is given back in the end.

use crate::{HEAP, Random, note};
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::Word;
use switchboard_abi::number::*;
use switchboard_engine::{Config, Instant, Sysctl};
use switchboard_socket::{
    Attempt, ConnectProgress, Cred, Cx, FileToken, Host, HostConfig, MemoryPaths, RecvProgress,
    RecvRequest, Right, SendControl, SendRequest, Skip, SocketId,
};
use switchboard_wire::Payload;

const SENDS: u32 = 100_000;
const BUFFER: i32 = 16_384;
/// Linux doubles what is asked for and adds overhead of its own on top of what is counted: a
/// socket may hold this much, for it and for its peer.
const PER_SOCKET: usize = 4 * 65_536;

struct World {
    host: Host,
    paths: MemoryPaths,
    cred: Arc<Cred>,
    now: Instant,
    sockets: Vec<SocketId>,
    next: u64,
    in_flight: usize,
}

macro_rules! cx {
    ($world:ident) => {
        &mut Cx {
            now: $world.now,
            realtime: Duration::ZERO,
            cred: &$world.cred,
            paths: &mut $world.paths,
        }
    };
}

fn loopback(port: u16) -> Vec<u8> {
    let mut out = (AF_INET as u16).to_ne_bytes().to_vec();
    out.extend_from_slice(&port.to_be_bytes());
    out.extend_from_slice(&[127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    out
}

impl World {
    fn new(seed: u8) -> World {
        let sysctl = Sysctl {
            tcp_rmem: [4096, 16_384, 32_768],
            tcp_wmem: [4096, 16_384, 32_768],
            ..Sysctl::default()
        };
        let stack = Config {
            seed: [seed; 32],
            sysctl,
        };
        let mut w = World {
            host: Host::new(HostConfig { stack }),
            paths: MemoryPaths::default(),
            cred: Arc::new(Cred::user(9, 1000, 1000)),
            now: Instant::from_secs(1),
            sockets: Vec::new(),
            next: 0,
            in_flight: 0,
        };
        for ty in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
            let (a, b) = w.host.socketpair(cx!(w), AF_UNIX, ty, 0).expect("a pair");
            w.sockets.extend([a, b]);
        }
        let udp = w
            .host
            .socket(cx!(w), AF_INET, SOCK_DGRAM, 0)
            .expect("a socket");
        w.host
            .bind(cx!(w), udp, &loopback(4000))
            .expect("a free port");
        w.connect(udp, 4000);
        let listener = w
            .host
            .socket(cx!(w), AF_INET, SOCK_STREAM, 0)
            .expect("a socket");
        w.host
            .bind(cx!(w), listener, &loopback(4000))
            .expect("a free port");
        w.host.listen(cx!(w), listener, 5).expect("a listener");
        let client = w
            .host
            .socket(cx!(w), AF_INET, SOCK_STREAM, 0)
            .expect("a socket");
        w.connect(client, 4000);
        let Ok(Attempt::Ready(plan)) = w.host.attempt_accept(cx!(w), listener, true) else {
            panic!("no connection on loopback");
        };
        let child = w.host.commit_accept(cx!(w), plan);
        w.sockets.extend([udp, client, child, listener]);
        for id in w.sockets.clone() {
            for name in [SO_SNDBUF, SO_RCVBUF] {
                let value = BUFFER.to_ne_bytes();
                let _ = w
                    .host
                    .setsockopt(cx!(w), id, SOL_SOCKET, name, &value, Word::Lp64);
            }
        }
        w
    }

    fn connect(&mut self, id: SocketId, port: u16) {
        let mut progress = ConnectProgress::default();
        let to = loopback(port);
        let _ = self
            .host
            .attempt_connect(cx!(self), id, &to, &mut progress, true);
    }

    fn send(&mut self, random: &mut Random, id: SocketId) {
        let len = match random.below(4) {
            0 => 1,
            1 => random.below(100),
            2 => random.below(4000),
            _ => random.below(100_000),
        };
        let mut control = SendControl::default();
        let unix = self
            .host
            .family(id)
            .is_some_and(|family| family.0 == AF_UNIX);
        if unix && random.below(8) == 0 && self.in_flight < 500 {
            self.next += 1;
            control.rights.push(Right {
                token: FileToken(self.next),
                socket: None,
            });
        }
        let request = SendRequest {
            len,
            done: 0,
            skip: Skip::default(),
            flags: MSG_NOSIGNAL,
            name: None,
            control: &control,
            last: true,
        };
        match self.host.attempt_send(cx!(self), id, &request) {
            Ok(Attempt::Ready(plan)) => {
                let data = Payload::from(vec![5; plan.take]);
                note((id, plan.take.next_power_of_two()));
                self.in_flight += control.rights.len();
                self.host.commit_send(cx!(self), id, plan, data);
            }
            Ok(Attempt::Blocked(_)) => note((id, "full")),
            Err(fail) => note((id, fail.errno)),
        }
    }

    fn recv(&mut self, random: &mut Random, id: SocketId) {
        let mut progress = RecvProgress::default();
        let skip = Skip::default();
        // A byte now and then, which leaves the rest of a piece of memory in use.
        let len = if random.below(2) == 0 {
            1
        } else {
            random.below(5000)
        };
        let mut request = RecvRequest {
            len,
            flags: 0,
            skip,
            progress: &mut progress,
            last: true,
        };
        if let Ok(Attempt::Ready(received)) = self.host.attempt_recv(cx!(self), id, &mut request) {
            for control in &received.control {
                if let switchboard_socket::ControlOut::Rights(rights) = control {
                    self.in_flight -= rights.len();
                }
            }
            self.host.commit_recv(cx!(self), id, received);
        }
        self.host.abandon_recv(cx!(self), id, progress);
    }
}

pub(crate) fn target(data: &[u8]) {
    let mut seed = [0; 8];
    let n = data.len().min(8);
    seed[..n].copy_from_slice(&data[..n]);
    let mut random = Random(u64::from_le_bytes(seed));
    let start = HEAP.allocated();
    let mut w = World::new(seed[0]);
    // The notes are ours, not the host's.
    let notes = (1 << 16) * 4;
    let most = w.sockets.len() * PER_SOCKET + notes;
    let mut greatest = 0;
    for n in 0..SENDS {
        let id = w.sockets[random.below(w.sockets.len())];
        w.send(&mut random, id);
        if random.below(12) == 0 {
            let id = w.sockets[random.below(w.sockets.len())];
            w.recv(&mut random, id);
        }
        if random.below(16) == 0 {
            w.now += Duration::from_millis(random.below(300) as u64);
            w.host.handle_timeout(w.now);
        }
        if n % 64 == 0 {
            while w.host.poll_event().is_some() {}
        }
        greatest = greatest.max(HEAP.allocated().saturating_sub(start));
        assert!(
            greatest <= most,
            "{greatest} bytes after {n} sends, at most {most} expected"
        );
    }
    for id in std::mem::take(&mut w.sockets) {
        let _ = w.host.close(cx!(w), id);
    }
    while w.host.poll_released().is_some() {
        w.in_flight -= 1;
    }
    assert_eq!(w.in_flight, 0, "files in flight are left");
    while let Some(at) = w.host.poll_timeout() {
        w.now = w.now.max(at);
        w.host.handle_timeout(w.now);
        while w.host.poll_event().is_some() {}
    }
    let left = HEAP.allocated().saturating_sub(start);
    // Tables keep their capacity.
    assert!(
        left < 128 * 1024 + notes,
        "{left} bytes when everything is closed"
    );
    drop(w);
}
