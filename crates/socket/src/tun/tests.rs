use super::*;
use crate::cred::Cred;
use crate::host::HostConfig;
use crate::unix::paths::MemoryPaths;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_engine::{InterfaceChange, Rule};

const NOW: Instant = Instant::from_millis(5);

struct World {
    host: Host,
    cred: Arc<Cred>,
    paths: MemoryPaths,
}

impl World {
    fn new() -> World {
        World {
            host: Host::new(HostConfig::default()),
            cred: Arc::new(Cred::root(1)),
            paths: MemoryPaths::default(),
        }
    }

    fn ioctl(&mut self, id: TunId, command: u32, data: &mut [u8]) -> Result<(), Errno> {
        let cx = Cx {
            now: NOW,
            realtime: Duration::from_secs(1),
            cred: &self.cred,
            paths: &mut self.paths,
        };
        self.host.tun_ioctl(&cx, id, command, 1, data)
    }

    /// An interface of this name, up, with 10.0.0.1/24.
    fn attach(&mut self, name: &str, flags: u16) -> (TunId, IfIndex) {
        let id = self.host.tun_open();
        let mut data = [0; 40];
        data[..name.len()].copy_from_slice(name.as_bytes());
        data[16..18].copy_from_slice(&flags.to_ne_bytes());
        self.ioctl(id, TUNSETIFF, &mut data).expect(name);
        let index = self.host.tun_index(id).expect("attached");
        let stack = self.host.stack_mut();
        stack.add_address(index, [10, 0, 0, 1].into(), 24);
        stack.change_interface(index, InterfaceChange::Up(true));
        (id, index)
    }

    fn names(&self) -> Vec<&str> {
        self.host.stack().interfaces().map(|i| i.name()).collect()
    }

    /// An echo request comes in; what goes out.
    fn ping(&mut self, id: TunId) -> Option<Vec<u8>> {
        let request = [
            0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0x66, 0xde, 10, 0, 0, 2, 10, 0, 0, 1, 8, 0, 0xf6,
            0xfd, 1, 2, 0, 0,
        ];
        assert_eq!(self.host.tun_send(NOW, id, &request), Ok(28));
        assert!(
            self.host.poll_frame(NOW).is_none(),
            "it is the descriptor's"
        );
        self.host.tun_recv(id)
    }
}

#[test]
fn what_comes_in_is_answered() {
    let mut world = World::new();
    let (id, _) = world.attach("t0", IFF_TUN | IFF_NO_PI);
    let back = world.ping(id).expect("an answer");
    assert_eq!((back.len(), back[9], back[20]), (28, 1, 0));
    assert_eq!(world.host.tun_recv(id), None);
}

#[test]
fn indexes_are_not_given_again() {
    let mut world = World::new();
    let (first, one) = world.attach("a", IFF_TUN | IFF_NO_PI);
    let (second, two) = world.attach("b", IFF_TUN | IFF_NO_PI);
    assert_eq!(world.names(), ["lo", "a", "b"]);
    world.host.tun_close(NOW, first);
    assert_eq!(world.names(), ["lo", "b"]);
    assert!(world.host.stack().interface(one).is_none());
    let name = world.host.stack().interface(two).map(|i| i.name());
    assert_eq!(name, Some("b"));
    assert!(world.ping(second).is_some(), "the other one is as it was");
    let (_, three) = world.attach("c", IFF_TUN | IFF_NO_PI);
    assert_eq!(three.get(), 4);
    assert_eq!(world.names(), ["lo", "b", "c"]);
}

#[test]
fn a_full_queue_drops() {
    let mut world = World::new();
    let (id, index) = world.attach("t0", IFF_TUN | IFF_NO_PI);
    let change = InterfaceChange::QueueLen(3);
    world.host.stack_mut().change_interface(index, change);
    for _ in 0..5 {
        if let Some(packet) = world.ping(id) {
            world.host.tun_unrecv(id, packet);
        }
    }
    let mut left = 0;
    while world.host.tun_recv(id).is_some() {
        left += 1;
    }
    assert_eq!(left, 3);
}

#[test]
fn what_is_not_done_is_refused() {
    let mut world = World::new();
    let id = world.host.tun_open();
    for flag in [0x0010, 0x0020] {
        let mut data = [0; 40];
        data[16..18].copy_from_slice(&(IFF_TUN | flag).to_ne_bytes());
        assert_eq!(world.ioctl(id, TUNSETIFF, &mut data), Err(Errno::EINVAL));
    }
    let (id, _) = world.attach("t0", IFF_TUN);
    assert_eq!(world.ioctl(id, TUNSETOFFLOAD, &mut []), Ok(()));
    assert_eq!(
        world.ioctl(id, TUNSETQUEUE, &mut [0; 40]),
        Err(Errno::EINVAL)
    );
}

#[test]
fn rules_go_with_their_interface() {
    let mut world = World::new();
    let before: Vec<Rule> = world.host.stack.rules().copied().collect();
    let (id, index) = world.attach("t0", IFF_TUN | IFF_NO_PI);
    for (input, output) in [(Some(index), None), (None, Some(index))] {
        world.host.stack.add_rule(Rule {
            input,
            output,
            ..Rule::of_table(false, 5, 100)
        });
    }
    assert_eq!(world.host.stack.rules().count(), before.len() + 2);
    world.host.tun_close(NOW, id);
    assert!(world.host.stack.rules().eq(&before));
}

/// What is handed on as one comes in as one, and is several where the reader takes no such segments.
#[test]
fn segments_that_travel_as_one() {
    use super::offload::{Vnet, large};
    use bytes::Bytes;
    use switchboard_wire::{Body, IpHeader, Packet, SeqNum, TcpFlags, TcpOptions, TcpSegment};

    for v6 in [false, true] {
        let (src, dst) = match v6 {
            false => ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
            true => (
                [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].into(),
                [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2].into(),
            ),
        };
        let data: Vec<u8> = (0..2500_u32).map(|n| n as u8).collect();
        let frame = Frame {
            link: None,
            body: FrameBody::Ip(Packet {
                ip: IpHeader::new(src, dst),
                body: Body::Tcp(TcpSegment {
                    src_port: 1,
                    dst_port: 2,
                    seq: SeqNum(7),
                    ack: SeqNum(9),
                    flags: TcpFlags::ACK | TcpFlags::PSH,
                    window: 100,
                    urgent: 0,
                    options: TcpOptions::default(),
                    payload: Bytes::from(data).into(),
                    gso: 1000,
                }),
            }),
        };
        let back = |vnet: &Vnet| -> Vec<Frame> {
            let all = vnet.packets(frame.clone());
            let parse = |bytes: &Vec<u8>| {
                let (header, packet) = vnet.read(bytes).expect("what was made");
                let ethertype = if v6 { 0x86dd } else { 0x0800 };
                let frame = Frame {
                    link: None,
                    body: FrameBody::parse(ethertype, &packet),
                };
                large(header, frame).expect("its own segments")
            };
            all.iter().flat_map(parse).collect()
        };
        let mut vnet = Vnet::default();
        for (offload, as_one) in [(0, false), (1, false), (3, !v6), (5, v6), (7, true)] {
            vnet.set_offload(offload).expect("an offload");
            let wanted = match as_one {
                true => Vec::from([frame.clone()]),
                false => frame.clone().split().collect(),
            };
            assert_eq!(back(&vnet), wanted, "{offload} {v6}");
        }
    }
}
