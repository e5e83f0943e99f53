use core::net::SocketAddr;

use proptest::prelude::*;
use switchboard_engine::{
    BindRequest, Config, Family, IfIndex, InterfaceConfig, Stack, UdpId, UdpSend,
};
use switchboard_wire::{Body, IpHeader, UdpDatagram};

use super::*;
use crate::testing::{at, random};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Hands a packet to its destination itself.
fn send(segment: &mut Segment, now: Instant, from: Port, packet: Packet) {
    let dst = packet.ip.dst;
    segment.send(now, &mut random(0), from, dst, packet);
}

fn packet(dst: &str, len: usize) -> Packet {
    let payload = alloc::vec![0; len].into();
    let body = Body::Udp(UdpDatagram {
        src_port: 1,
        dst_port: 2,
        payload,
        segment: 0,
        unsummed: false,
        lite: None,
    });
    Packet {
        ip: IpHeader::new(ip("10.0.0.1"), ip(dst)),
        body,
    }
}

/// Three hosts, 10.0.0.1 to 10.0.0.3, the first one 5 ms away from the others.
fn three() -> (Segment, [Port; 3]) {
    let mut segment = Segment::new(SegmentConfig::default());
    let ports = [5, 0, 0].map(|ms| segment.attach(&mut random(0), Duration::from_millis(ms)));
    for (port, addr) in ports.into_iter().zip(["10.0.0.1", "10.0.0.2", "10.0.0.3"]) {
        segment.add_address(port, ip(addr), 24).unwrap();
    }
    (segment, ports)
}

#[test]
fn a_packet_arrives_at_its_address_after_the_senders_delay() {
    let (mut segment, [a, b, c]) = three();
    send(&mut segment, at(1), a, packet("10.0.0.2", 1));
    assert_eq!(segment.poll_timeout(), Some(at(6)));
    assert_eq!(segment.poll_arrival(at(5), &mut random(0)), None);
    let arrival = segment.poll_arrival(at(9), &mut random(0)).unwrap();
    assert_eq!((arrival.port, arrival.at), (b, at(6)));
    assert_eq!(segment.poll_timeout(), None);
    send(&mut segment, at(9), c, packet("10.0.0.1", 1));
    assert_eq!(
        segment
            .poll_arrival(at(9), &mut random(0))
            .map(|arrival| arrival.port),
        Some(a)
    );
}

#[test]
fn those_that_arrive_at_once_keep_their_order() {
    let (mut segment, [_, b, c]) = three();
    for len in 0..100 {
        send(
            &mut segment,
            at(1),
            if len % 2 == 0 { b } else { c },
            packet("10.0.0.1", len),
        );
    }
    for len in 0..100 {
        assert_eq!(
            segment
                .poll_arrival(at(1), &mut random(0))
                .map(|a| a.packet.wire_len()),
            Some(28 + len)
        );
    }
}

#[test]
fn broadcasts_and_groups_reach_all_others() {
    for dst in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        let (mut segment, [a, b, c]) = three();
        send(&mut segment, at(0), b, packet(dst, 1));
        let ports: Vec<Port> = core::iter::from_fn(|| segment.poll_arrival(at(0), &mut random(0)))
            .map(|a| a.port)
            .collect();
        assert_eq!(ports, [a, c], "{dst}");
    }
}

#[test]
fn drops_are_counted() {
    let (mut segment, [a, b, _]) = three();
    send(&mut segment, at(0), a, packet("10.0.0.9", 1));
    send(&mut segment, at(0), a, packet("10.0.0.1", 1));
    send(&mut segment, at(0), a, packet("10.0.0.2", 1473));
    send(&mut segment, at(0), a, packet("10.0.0.2", 1472));
    assert!(segment.poll_arrival(at(5), &mut random(0)).is_some());
    let mut small = Segment::new(SegmentConfig {
        queue: 1,
        ..SegmentConfig::default()
    });
    let ports = [
        small.attach(&mut random(0), Duration::ZERO),
        small.attach(&mut random(0), Duration::ZERO),
    ];
    small.add_address(ports[1], ip("10.0.0.2"), 24).unwrap();
    send(&mut small, at(0), ports[0], packet("10.0.0.2", 1));
    send(&mut small, at(0), ports[0], packet("10.0.0.2", 1));
    assert_eq!(
        small.counters(),
        SegmentCounters {
            dropped: 1,
            ..Default::default()
        }
    );
    let expected = SegmentCounters {
        delivered: 1,
        unknown_destination: 2,
        too_big: 1,
        dropped: 0,
    };
    assert_eq!(segment.counters(), expected);
    assert_eq!(
        segment.add_address(b, ip("10.0.0.1"), 24),
        Err(AttachError::AddressInUse)
    );
    assert_eq!(
        segment.add_address(b, ip("224.0.0.1"), 24),
        Err(AttachError::NotUnicast)
    );
    assert_eq!(segment.add_address(b, ip("10.0.0.2"), 24), Ok(()));
}

/// Two stacks on a segment.
struct Lab {
    segment: Segment,
    hosts: [(Stack, Port); 2],
}

const ETH0: IfIndex = IfIndex::new(2).unwrap();

impl Lab {
    fn new(delay: Duration) -> Lab {
        let mut segment = Segment::new(SegmentConfig::default());
        let hosts = ["10.0.0.1", "10.0.0.2"].map(|addr| {
            let mut stack = Stack::new(Config::default());
            let eth0 = stack.add_interface(InterfaceConfig {
                name: "eth0".into(),
                mtu: segment.mtu(),
            });
            stack.add_address(eth0, ip(addr), 24);
            let port = segment.attach(&mut random(0), delay);
            segment.add_address(port, ip(addr), 24).unwrap();
            (stack, port)
        });
        Lab { segment, hosts }
    }

    fn bind(&mut self, host: usize, local: &str) -> UdpId {
        let local: SocketAddr = local.parse().unwrap();
        let stack = &mut self.hosts[host].0;
        let id = stack.udp_open(Family::V4);
        let request = BindRequest {
            addr: local.ip(),
            port: local.port(),
            family: Family::V4,
            v6only: false,
            device: None,
            reuse_addr: false,
            reuse_port: false,
            uid: 0,
        };
        stack.udp_bind(id, request).unwrap();
        id
    }

    fn send(&mut self, now: Instant, host: usize, id: UdpId, dst: &str) {
        let payload = b"ping"[..].into();
        let dst = dst.parse().unwrap();
        let send = UdpSend {
            tag: switchboard_engine::Tag::default(),
            flow_label: None,
            device: None,
            dst,
            src: None,
            tos: None,
            ttl: None,
            payload,
            segment: 0,
            unsummed: false,
            may_be_cut: false,
            fragment_size: 0,
            extra: None,
        };
        self.hosts[host].0.udp_send(now, id, send).unwrap();
    }

    /// Runs until nothing is under way; the time of the last arrival.
    fn run(&mut self, mut now: Instant) -> Instant {
        loop {
            for (stack, port) in &mut self.hosts {
                while let Some((ETH0, packet)) = stack.poll_transmit(now) {
                    send(&mut self.segment, now, *port, packet);
                }
            }
            let Some(next) = self.segment.poll_timeout() else {
                return now;
            };
            now = now.max(next);
            while let Some(Arrival { port, packet, .. }) =
                self.segment.poll_arrival(now, &mut random(0))
            {
                let (stack, _) = self.hosts.iter_mut().find(|host| host.1 == port).unwrap();
                stack.deliver(now, ETH0, packet);
            }
        }
    }
}

#[test]
fn a_round_trip_takes_two_delays() {
    let mut lab = Lab::new(Duration::from_millis(10));
    let (client, server) = (lab.bind(0, "0.0.0.0:1000"), lab.bind(1, "0.0.0.0:53"));
    lab.send(at(100), 0, client, "10.0.0.2:53");
    assert_eq!(lab.run(at(100)), at(110));
    let received = lab.hosts[1].0.udp_pop(server).unwrap();
    assert_eq!(
        (received.from, received.at),
        ("10.0.0.1:1000".parse().unwrap(), at(110))
    );
    lab.send(at(110), 1, server, "10.0.0.1:1000");
    assert_eq!(lab.run(at(110)), at(120));
    assert!(lab.hosts[0].0.udp_pop(client).is_some());
}

#[test]
fn a_refusal_comes_back() {
    let mut lab = Lab::new(Duration::from_millis(10));
    let client = lab.bind(0, "0.0.0.0:1000");
    lab.hosts[0]
        .0
        .udp_connect(at(0), client, "10.0.0.2:53".parse().unwrap())
        .unwrap();
    lab.send(at(0), 0, client, "10.0.0.2:53");
    assert_eq!(lab.run(at(0)), at(20));
    assert!(lab.hosts[0].0.udp_take_error(client).is_some());
}

proptest! {
    #[test]
    fn arrivals_are_in_order_and_none_is_lost(
        sends in prop::collection::vec((0u64..50, 0usize..3, 1u8..4), 0..100),
    ) {
        let (mut segment, ports) = three();
        let mut sends = sends;
        sends.sort_by_key(|send| send.0);
        for &(ms, from, dst) in &sends {
            let dst = alloc::format!("10.0.0.{dst}");
            send(&mut segment, at(ms), ports[from], packet(&dst, 1));
        }
        let mut last = Instant::BOOT;
        let mut count = 0;
        while let Some(next) = segment.poll_timeout() {
            // It may be that a packet has come up to the switch, and is on its way down.
            let Some(arrival) = segment.poll_arrival(next, &mut random(0)) else {
                continue;
            };
            prop_assert_eq!(arrival.at, next);
            prop_assert!(next >= last);
            last = next;
            count += 1;
        }
        let counters = segment.counters();
        prop_assert_eq!(counters.delivered, count);
        prop_assert_eq!(counters.delivered + counters.unknown_destination, sends.len() as u64);
    }
}

#[test]
fn a_router_gets_what_is_handed_to_it() {
    let (mut segment, [a, b, c]) = three();
    segment.send(
        at(0),
        &mut random(0),
        b,
        ip("10.0.0.3"),
        packet("192.0.2.1", 1),
    );
    let arrival = segment.poll_arrival(at(0), &mut random(0)).unwrap();
    assert_eq!((arrival.port, arrival.packet.ip.dst), (c, ip("192.0.2.1")));
    assert_eq!(segment.pipe_counters(a, Cable::Up).sent, 0);
}

#[test]
fn each_cable_has_impairments_of_its_own() {
    let (mut segment, [a, b, c]) = three();
    let mut random = random(3);
    let lossy = PipeConfig {
        loss: crate::Loss::percent(50.0),
        ..segment.plain()
    };
    segment.change(at(0), &mut random, (b, Cable::Down), lossy);
    for _ in 0..200 {
        for to in ["10.0.0.2", "10.0.0.3"] {
            segment.send(at(0), &mut random, a, ip(to), packet(to, 1));
        }
    }
    let mut arrived = [0; 3];
    while let Some(arrival) = segment.poll_arrival(at(10), &mut random) {
        arrived[arrival.port.index()] += 1;
    }
    assert_eq!((arrived[a.index()], arrived[c.index()]), (0, 200));
    assert!((60..140).contains(&arrived[b.index()]), "{arrived:?}");
    assert_eq!(segment.counters().dropped, 200 - arrived[b.index()]);
}
