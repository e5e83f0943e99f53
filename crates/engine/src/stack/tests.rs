//! Two hosts on a wire, and what a host takes in.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;
use switchboard_wire::{IcmpMessage, IpHeader, UdpDatagram};

use super::output::TX_QUEUE_LEN;
use super::*;
use crate::{BindRequest, Family, UdpError, UdpId, UdpSend, UdpSendError};

const NOW: Instant = Instant::from_millis(5);
const ETH0: IfIndex = IfIndex::new(2).unwrap();

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host(addr: &str, seed: u8) -> Stack {
    let mut stack = Stack::new(Config {
        seed: [seed; 32],
        ..Config::default()
    });
    let eth0 = stack.add_interface(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    stack.add_address(eth0, ip(addr), 24);
    stack
}

/// The packet as bytes and back: what a host sends must survive a real wire.
fn wire(packet: Packet) -> Packet {
    let parsed = switchboard_wire::parse(&switchboard_wire::emit(&packet)).unwrap();
    assert_eq!(parsed, packet);
    parsed
}

/// Carries packets between two hosts until both are quiet; how many went each way.
fn exchange(a: &mut Stack, b: &mut Stack) -> (usize, usize) {
    let mut count = (0, 0);
    loop {
        if let Some((ETH0, packet)) = a.poll_transmit(NOW) {
            b.deliver(NOW, ETH0, wire(packet));
            count.0 += 1;
        } else if let Some((ETH0, packet)) = b.poll_transmit(NOW) {
            a.deliver(NOW, ETH0, wire(packet));
            count.1 += 1;
        } else {
            return count;
        }
    }
}

fn bind(stack: &mut Stack, local: &str) -> UdpId {
    let local: SocketAddr = local.parse().unwrap();
    let family = if local.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    let id = stack.udp_open(family);
    let request = BindRequest {
        addr: local.ip(),
        port: local.port(),
        family,
        v6only: false,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    };
    stack.udp_bind(id, request).unwrap();
    id
}

fn send(stack: &mut Stack, id: UdpId, dst: &str, len: usize) -> Result<(), UdpSendError> {
    let payload = Bytes::from(alloc::vec![7; len]).into();
    let dst = dst.parse().unwrap();
    stack.udp_send(
        NOW,
        id,
        UdpSend {
            tag: crate::tag::Tag::default(),
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
        },
    )
}

fn datagram(src: &str, dst: &str, port: u16) -> Packet {
    let body = Body::Udp(UdpDatagram {
        src_port: 9,
        dst_port: port,
        payload: Default::default(),
        segment: 0,
        unsummed: false,
        lite: None,
    });
    Packet {
        ip: IpHeader::new(ip(src), ip(dst)),
        body,
    }
}

#[test]
fn two_hosts_talk() {
    let (mut a, mut b) = (host("10.0.0.1", 1), host("10.0.0.2", 2));
    let server = bind(&mut b, "0.0.0.0:53");
    let client = a.udp_open(Family::V4);
    assert_eq!(send(&mut a, client, "10.0.0.2:53", 100), Ok(()));
    assert_eq!(exchange(&mut a, &mut b), (1, 0));
    let received = b.udp_pop(server).unwrap();
    assert_eq!(received.from.ip(), ip("10.0.0.1"));
    assert_eq!((received.interface, received.payload.len()), (ETH0, 100));
    assert_eq!(
        b.udp_send(
            NOW,
            server,
            UdpSend {
                tag: crate::tag::Tag::default(),
                flow_label: None,
                device: None,
                dst: received.from,
                src: None,
                tos: None,
                ttl: None,
                payload: received.payload,
                segment: 0,
                unsummed: false,
                may_be_cut: false,
                fragment_size: 0,
                extra: None,
            }
        ),
        Ok(())
    );
    assert_eq!(exchange(&mut a, &mut b), (0, 1));
    assert_eq!(
        a.udp_pop(client).map(|r| r.from),
        Some("10.0.0.2:53".parse().unwrap())
    );
}

#[test]
fn a_refusal_crosses_the_wire() {
    let (mut a, mut b) = (host("10.0.0.1", 1), host("10.0.0.2", 2));
    let client = a.udp_open(Family::V4);
    a.udp_connect(NOW, client, "10.0.0.2:53".parse().unwrap())
        .unwrap();
    send(&mut a, client, "10.0.0.2:53", 1).unwrap();
    assert_eq!(exchange(&mut a, &mut b), (1, 1));
    assert_eq!(a.udp_take_error(client), Some(UdpError::ConnectionRefused));
}

#[test]
fn what_exceeds_the_length_field_is_refused() {
    let mut a = host("10.0.0.1", 1);
    let client = a.udp_open(Family::V4);
    for to in ["10.0.0.2:53", "10.0.0.1:53"] {
        assert_eq!(send(&mut a, client, to, 65_507), Ok(()));
        assert_eq!(send(&mut a, client, to, 65_508), Err(UdpSendError::TooBig));
    }
}

#[test]
fn own_addresses_stay_inside() {
    let mut a = host("10.0.0.1", 1);
    let server = bind(&mut a, "10.0.0.1:53");
    let client = a.udp_open(Family::V4);
    send(&mut a, client, "10.0.0.1:53", 1).unwrap();
    assert_eq!(a.poll_transmit(NOW), None);
    let received = a.udp_pop(server).unwrap();
    assert_eq!(
        (received.from.ip(), received.interface),
        (ip("10.0.0.1"), IfIndex::LO)
    );
}

#[test]
fn strangers_packets_are_dropped() {
    let mut a = host("10.0.0.1", 1);
    let server = bind(&mut a, "0.0.0.0:53");
    a.deliver(NOW, ETH0, datagram("10.0.0.2", "10.0.0.3", 53));
    assert_eq!(a.counters().ip_in_addr_errors, 1);
    for martian in [
        datagram("127.0.0.1", "10.0.0.1", 53),
        datagram("10.0.0.2", "127.0.0.1", 53),
        datagram("224.0.0.1", "10.0.0.1", 53),
        datagram("255.255.255.255", "10.0.0.1", 53),
        datagram("::1", "10.0.0.1", 53),
    ] {
        a.deliver(NOW, ETH0, martian);
    }
    assert_eq!(a.counters().ip_in_hdr_errors, 0);
    assert_eq!(a.counters().ip_in_receives, 6);
    assert_eq!(a.udp_pop(server), None);
    a.deliver(NOW, ETH0, datagram("10.0.0.2", "10.0.0.1", 53));
    assert!(a.udp_pop(server).is_some());
    assert_eq!(a.counters().ip_in_delivers, 1);
    assert_eq!(a.poll_transmit(NOW), None);
}

#[test]
fn a_broadcast_reaches_the_wire_and_the_sender() {
    let (mut a, mut b) = (host("10.0.0.1", 1), host("10.0.0.2", 2));
    let (ours, theirs) = (bind(&mut a, "0.0.0.0:53"), bind(&mut b, "0.0.0.0:53"));
    send(&mut a, ours, "10.0.0.255:53", 1).unwrap();
    assert_eq!(a.udp_pop(ours).map(|r| r.interface), Some(ETH0));
    assert_eq!(exchange(&mut a, &mut b), (1, 0));
    assert!(b.udp_pop(theirs).is_some());
    // Nobody answers a broadcast to a port nobody has (RFC 1122, 3.2.2).
    send(&mut a, ours, "10.0.0.255:54", 1).unwrap();
    assert_eq!(exchange(&mut a, &mut b), (1, 0));
}

#[test]
fn the_loopback_queue_is_bounded() {
    let mut a = host("10.0.0.1", 1);
    a.sysctl_mut().netdev_max_backlog = 3;
    let route = a.route(ip("127.0.0.1"), None, None).unwrap();
    for _ in 0..5 {
        a.ip_output(&route, datagram("127.0.0.1", "127.0.0.1", 53));
    }
    assert_eq!(a.counters().ip_in_discards, 2);
    assert_eq!(a.poll_timeout(), Some(Instant::BOOT));
    a.handle_timeout(NOW);
    assert_eq!(a.poll_timeout(), None);
    assert_eq!(a.counters().udp_no_ports, 3);
}

#[test]
fn the_transmit_queue_is_bounded() {
    let mut a = host("10.0.0.1", 1);
    let client = a.udp_open(Family::V4);
    for _ in 0..3000 {
        send(&mut a, client, "10.0.0.2:53", 1).unwrap();
    }
    assert_eq!(
        core::iter::from_fn(|| a.poll_transmit(NOW)).count(),
        TX_QUEUE_LEN
    );
}

#[test]
fn nobody_else_speaks_with_an_own_address() {
    let mut a = host("10.0.0.1", 1);
    let server = bind(&mut a, "0.0.0.0:53");
    a.deliver(NOW, ETH0, datagram("10.0.0.1", "10.0.0.1", 53));
    assert_eq!(a.counters().ip_in_hdr_errors, 0);
    assert_eq!(a.counters().ip_in_receives, 1);
    assert_eq!(a.udp_pop(server), None);
}

#[test]
fn an_unknown_protocol_is_answered() {
    let (mut a, mut b) = (host("10.0.0.1", 1), host("10.0.0.2", 2));
    let body = Body::Other {
        protocol: 99,
        payload: Bytes::from_static(b"12345678"),
    };
    let packet = Packet {
        ip: IpHeader::new(ip("10.0.0.1"), ip("10.0.0.2")),
        body,
    };
    b.deliver(NOW, ETH0, packet);
    assert_eq!(b.counters().ip_in_unknown_protos, 1);
    let (_, answer) = b.poll_transmit(NOW).unwrap();
    let Body::Icmp(IcmpMessage::Unreachable { code, .. }) = &answer.body else {
        panic!("{answer:?}");
    };
    assert_eq!(*code, switchboard_wire::Unreachable::Protocol);
    a.deliver(NOW, ETH0, answer);
    assert_eq!(a.counters().icmp_in_msgs, 1);
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let run = |seed| {
        let mut a = host("10.0.0.1", seed);
        for _ in 0..10 {
            let client = a.udp_open(Family::V4);
            send(&mut a, client, "10.0.0.2:53", 3).unwrap();
        }
        core::iter::from_fn(|| a.poll_transmit(NOW))
            .map(|(_, packet)| switchboard_wire::emit(&packet))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_carried_loopback_is_the_callers() {
    let mut stack = host("10.0.0.1", 1);
    let (a, b) = (
        bind(&mut stack, "127.0.0.1:1000"),
        bind(&mut stack, "127.0.0.1:53"),
    );
    stack.carry_loopback(true);
    send(&mut stack, a, "127.0.0.1:53", 1).unwrap();
    assert!(stack.udp_pop(b).is_none());
    let outgoing = stack.poll_outgoing(NOW).unwrap();
    assert_eq!(
        (outgoing.interface, outgoing.next_hop),
        (IfIndex::LO, ip("127.0.0.1"))
    );
    stack.deliver(NOW, IfIndex::LO, outgoing.packet);
    assert!(stack.udp_pop(b).is_some());
    // It is bounded, and while lo is down nothing is sent.
    for _ in 0..5000 {
        send(&mut stack, a, "127.0.0.1:53", 1).unwrap();
    }
    let all = core::iter::from_fn(|| stack.poll_outgoing(NOW)).count();
    assert_eq!(all, 2 * TX_QUEUE_LEN);
    stack.change_interface(IfIndex::LO, InterfaceChange::Up(false));
    let _ = send(&mut stack, a, "127.0.0.1:53", 1);
    assert!(stack.poll_outgoing(NOW).is_none());
    stack.change_interface(IfIndex::LO, InterfaceChange::Up(true));
    stack.carry_loopback(false);
    send(&mut stack, a, "127.0.0.1:53", 1).unwrap();
    assert!(stack.udp_pop(b).is_some());
}
