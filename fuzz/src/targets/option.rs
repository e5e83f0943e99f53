//! Any option of any level with any value of any length on every kind of socket: no panic, values
//! no longer than their room, and a socket that still works, or says why not.

use crate::model::run_out;
use crate::{Source, note};
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_engine::{Config, Instant};
use switchboard_socket::{
    Attempt, ConnectProgress, Cred, Cx, Host, HostConfig, MemoryPaths, RecvProgress, RecvRequest,
    SendControl, SendRequest, Skip, SocketId, support_table,
};
use switchboard_wire::Payload;

fn value(s: &mut Source<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    if !s.one_in(4) {
        value.extend_from_slice(&s.int().to_ne_bytes());
    }
    if s.one_in(3) {
        value.extend_from_slice(&s.int().to_ne_bytes());
    }
    if s.one_in(4) {
        let n = s.below(80);
        value.extend_from_slice(s.bytes(n));
    }
    if s.one_in(6) {
        let name: &[u8] = s.pick(&[
            b"lo",
            b"reno",
            b"cubic",
            b"lo\0",
            b"",
            b"nosuchalgorithmname",
        ]);
        value = name.to_vec();
    }
    if s.one_in(6) {
        value.truncate(s.below(9));
    }
    value
}

fn loopback(port: u16, v6: bool) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(if v6 { AF_INET6 } else { AF_INET } as u16).to_ne_bytes());
    out.extend_from_slice(&port.to_be_bytes());
    if v6 {
        out.extend_from_slice(&[0; 19]);
        out.push(1);
        out.extend_from_slice(&[0; 4]);
    } else {
        out.extend_from_slice(&[127, 0, 0, 1]);
        out.extend_from_slice(&[0; 8]);
    }
    out
}

pub(crate) fn target(data: &[u8]) {
    let mut s = Source::new(data);
    let mut host = Host::new(HostConfig {
        stack: Config {
            seed: [s.u8(); 32],
            ..Config::default()
        },
    });
    let cred = Arc::new(if s.one_in(2) {
        Cred::root(1)
    } else {
        Cred::user(1, 1000, 1000)
    });
    let mut paths = MemoryPaths::default();
    let mut now = Instant::from_secs(1);
    macro_rules! cx {
        () => {
            &mut Cx {
                now,
                realtime: Duration::from_secs(5),
                cred: &cred,
                paths: &mut paths,
            }
        };
    }
    let mut sockets: Vec<SocketId> = Vec::new();
    for (domain, ty) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET6, SOCK_STREAM),
        (AF_INET, SOCK_DGRAM),
        (AF_INET6, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
    ] {
        sockets.push(host.socket(cx!(), domain, ty, 0).expect("a socket"));
    }
    for ty in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = host.socketpair(cx!(), AF_UNIX, ty, 0).expect("a pair");
        sockets.extend([a, b]);
    }
    // A listener and a connection to it, of either version.
    for (n, domain) in [(0, AF_INET), (1, AF_INET6)] {
        let v6 = domain == AF_INET6;
        let listener = host
            .socket(cx!(), domain, SOCK_STREAM, 0)
            .expect("a socket");
        host.bind(cx!(), listener, &loopback(4000 + n, v6))
            .expect("a free port");
        host.listen(cx!(), listener, 5).expect("a listener");
        let client = host
            .socket(cx!(), domain, SOCK_STREAM, 0)
            .expect("a socket");
        let mut progress = ConnectProgress::default();
        let to = loopback(4000 + n, v6);
        let _ = host.attempt_connect(cx!(), client, &to, &mut progress, true);
        let Ok(Attempt::Ready(plan)) = host.attempt_accept(cx!(), listener, true) else {
            panic!("no connection on loopback");
        };
        let child = host.commit_accept(cx!(), plan);
        sockets.extend([listener, client, child]);
        // UDP sockets of both versions talk to each other.
        let udp = sockets[2 + usize::from(v6)];
        host.bind(cx!(), udp, &loopback(4000, v6))
            .expect("a free port");
        let connected = host.attempt_connect(cx!(), udp, &loopback(4000, v6), &mut progress, true);
        assert!(matches!(connected, Ok(Attempt::Ready(()))));
    }
    while !s.done() {
        let at = s.below(sockets.len());
        let id = sockets[at];
        let (level, name) = if s.one_in(6) {
            (
                s.pick(&[SOL_SOCKET, SOL_TCP, SOL_IP, SOL_IPV6, SOL_UDP, SOL_RAW, -1]),
                s.int(),
            )
        } else {
            let rows = support_table();
            let row = &rows[s.u16() as usize % rows.len()];
            (row.level, row.number)
        };
        let word = if s.one_in(2) { Word::Ilp32 } else { Word::Lp64 };
        match s.below(8) {
            0..3 => {
                let value = value(&mut s);
                let result = host.setsockopt(cx!(), id, level, name, &value, word);
                if let Err(errno) = result {
                    assert!((1..=4095).contains(&errno.0));
                }
                note((at, level, name, result));
            }
            3..6 => {
                let len = if s.one_in(4) { 300 } else { s.below(20) };
                let result = host.getsockopt(&*cx!(), id, level, name, len, word);
                let again = host.getsockopt(&*cx!(), id, level, name, len, word);
                assert_eq!(result, again, "asked twice, level {level}, name {name}");
                if let Ok(value) = &result {
                    assert!(
                        value.bytes.len() <= len,
                        "{} bytes in {len}",
                        value.bytes.len()
                    );
                    host.commit_getsockopt(id, value);
                }
                note((at, level, name, len.min(12), result.is_ok()));
            }
            6 => talk(&mut s, &mut host, cx!(), id),
            _ => {
                now += crate::model::step(&mut s);
                host.handle_timeout(now);
            }
        }
        let _ = host.poll(id);
        while host.poll_event().is_some() {}
    }
    for id in sockets {
        let _ = host.close(cx!(), id);
    }
    assert_eq!(host.socket_count(), 0);
    let host = std::cell::RefCell::new(host);
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

/// Sends and receives with whatever the options made of the socket.
fn talk(s: &mut Source<'_>, host: &mut Host, cx: &mut Cx<'_>, id: SocketId) {
    let control = SendControl::default();
    let len = s.length(100_000);
    let request = SendRequest {
        len,
        done: 0,
        skip: Skip::default(),
        flags: MSG_NOSIGNAL,
        name: None,
        control: &control,
        last: true,
    };
    match host.attempt_send(cx, id, &request) {
        Ok(Attempt::Ready(plan)) => {
            let data = Payload::from(vec![3; plan.take]);
            host.commit_send(cx, id, plan, data);
        }
        Ok(Attempt::Blocked(_)) => {}
        Err(fail) => {
            note(fail.errno);
            host.commit_fail(cx, id, fail);
        }
    }
    let mut progress = RecvProgress::default();
    let flags = s.pick(&[0, MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_WAITALL]);
    let len = s.length(100_000);
    let mut request = RecvRequest {
        len,
        flags,
        skip: Skip::default(),
        progress: &mut progress,
        last: true,
    };
    match host.attempt_recv(cx, id, &mut request) {
        Ok(Attempt::Ready(received)) => host.commit_recv(cx, id, received),
        Ok(Attempt::Blocked(_)) => {}
        Err(fail) => {
            assert_ne!(fail.errno, Errno(0));
            host.commit_fail(cx, id, fail);
        }
    }
    host.abandon_recv(cx, id, progress);
}
