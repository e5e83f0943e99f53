//! Interfaces that are not `lo`, which conformance has none of.

use crate::call::{Attempt, Cx, Fail};
use crate::cred::Cred;
use crate::host::{Host, HostConfig};
use crate::message::{RecvProgress, RecvRequest, SendControl, SendRequest, Skip};
use crate::table::SocketId;
use crate::unix::paths::MemoryPaths;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{IfIndex, Instant, InterfaceConfig};
use switchboard_wire::{Body, IpHeader, Packet, Payload, UdpDatagram, emit};

const NOW: Instant = Instant::from_millis(5);

struct World {
    host: Host,
    cred: Arc<Cred>,
    paths: MemoryPaths,
    eth0: IfIndex,
}

impl World {
    fn new() -> World {
        let mut host = Host::new(HostConfig::default());
        let stack = host.stack_mut();
        let eth0 = stack.add_interface(InterfaceConfig {
            name: "eth0".into(),
            mtu: 1500,
        });
        stack.add_address(eth0, [10, 0, 0, 1].into(), 24);
        World {
            host,
            cred: Arc::new(Cred::root(1)),
            paths: MemoryPaths::default(),
            eth0,
        }
    }

    fn call<T>(&mut self, part: impl FnOnce(&mut Host, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: NOW,
            realtime: Duration::from_secs(1),
            cred: &self.cred,
            paths: &mut self.paths,
        };
        part(&mut self.host, &mut cx)
    }

    fn open(&mut self, ty: i32, protocol: u16) -> SocketId {
        let protocol = i32::from(protocol.to_be());
        self.call(|host, cx| host.socket(cx, AF_PACKET, ty, protocol).unwrap())
    }

    /// Sends by eth0.
    fn send(&mut self, id: SocketId, protocol: u16, data: &[u8]) -> Result<usize, Errno> {
        let mut name = vec![17, 0];
        name.extend(protocol.to_be_bytes());
        name.extend(self.eth0.get().to_ne_bytes());
        name.extend([0; 12]);
        let data = Payload::from(bytes::Bytes::copy_from_slice(data));
        self.call(|host, cx| {
            let request = SendRequest {
                len: data.len(),
                done: 0,
                skip: Skip::default(),
                flags: 0,
                name: Some(&name),
                control: &SendControl::default(),
                last: true,
            };
            let plan = match host.attempt_send(cx, id, &request) {
                Ok(Attempt::Ready(plan)) => plan,
                Ok(Attempt::Blocked(_)) => return Err(Errno::EAGAIN),
                Err(Fail { errno, .. }) => return Err(errno),
            };
            host.check_send(id, &plan, &data)
                .map_err(|fail| fail.errno)?;
            let n = data.len();
            host.commit_send(cx, id, plan, data);
            Ok(n)
        })
    }

    /// The next frame, and its `PACKET_*`.
    fn recv(&mut self, id: SocketId) -> Option<(Vec<u8>, u8)> {
        self.call(|host, cx| {
            let mut progress = RecvProgress::default();
            let mut request = RecvRequest {
                len: 2000,
                flags: 0,
                skip: Skip::default(),
                progress: &mut progress,
                last: true,
            };
            let Ok(Attempt::Ready(received)) = host.attempt_recv(cx, id, &mut request) else {
                return None;
            };
            let Some(SockAddr::Link(from)) = received.name else {
                panic!("{:?}", received.name);
            };
            let data = received.data.to_vec();
            host.commit_recv(cx, id, received);
            Some((data, from.kind))
        })
    }
}

fn datagram(src: [u8; 4], dst: [u8; 4]) -> Packet {
    Packet {
        ip: IpHeader::new(src.into(), dst.into()),
        body: Body::Udp(UdpDatagram {
            src_port: 1,
            dst_port: 2,
            payload: Payload::from(bytes::Bytes::from_static(b"hello")),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    }
}

#[test]
fn what_comes_by_a_link_is_seen() {
    let mut w = World::new();
    let all = w.open(SOCK_DGRAM, 3);
    let other = w.open(SOCK_DGRAM, 0x86dd);
    let packet = datagram([10, 0, 0, 2], [10, 0, 0, 1]);
    let eth0 = w.eth0;
    w.host.deliver(NOW, eth0, packet);
    let (seen, kind) = w.recv(all).unwrap();
    assert_eq!((seen.len(), kind), (33, 0));
    // The answer, that there is no such port, leaves.
    let (seen, kind) = w.recv(all).unwrap();
    assert_eq!((seen[9], kind), (1, 4));
    assert_eq!(w.recv(all), None);
    assert_eq!(w.recv(other), None);
}

#[test]
fn ip_packets_leave_by_a_link_and_nothing_else_does() {
    let mut w = World::new();
    let (raw, cooked) = (w.open(SOCK_RAW, 0), w.open(SOCK_DGRAM, 0));
    let packet = datagram([10, 0, 0, 1], [10, 0, 0, 2]);
    let bytes = emit(&packet);
    let mut frame = vec![0; 12];
    frame.extend([8, 0]);
    frame.extend(&bytes);
    assert_eq!(w.send(raw, 0x0800, &frame), Ok(frame.len()));
    assert_eq!(w.send(cooked, 0x0800, &bytes), Ok(bytes.len()));
    for _ in 0..2 {
        let (interface, sent) = w.host.poll_transmit(NOW).unwrap();
        assert_eq!((interface, emit(&sent)), (w.eth0, bytes.clone()));
    }
    assert_eq!(w.send(cooked, 0x88b5, b"abc"), Err(Errno::ENOBUFS));
    assert_eq!(w.send(cooked, 0x0800, &[0; 1501]), Err(Errno::EMSGSIZE));
    assert!(w.host.poll_transmit(NOW).is_none());
}

#[test]
fn a_closed_socket_sees_nothing_and_the_stack_stops_showing() {
    let mut w = World::new();
    let first = w.open(SOCK_RAW, 3);
    let second = w.open(SOCK_RAW, 3);
    w.call(|host, cx| host.close(cx, first));
    assert!(w.host.stack.has_taps());
    w.call(|host, cx| host.close(cx, second));
    assert!(!w.host.stack.has_taps());
}
