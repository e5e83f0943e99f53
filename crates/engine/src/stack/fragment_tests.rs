use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet, Quoted, Unreachable, emit, parse};

use super::*;
use crate::event::UdpId;
use crate::ports::{BindRequest, Family};
use crate::udp::UdpSend;

const ETH0: IfIndex = IfIndex::new(2).unwrap();

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host with this address on a link of 1500 octets.
fn host(addr: &str) -> Stack {
    let mut stack = Stack::new(Config::default());
    let eth0 = stack.add_interface(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    let prefix = if addr.contains(':') { 64 } else { 24 };
    stack.add_address(eth0, ip(addr), prefix);
    stack
}

fn socket(stack: &mut Stack, addr: &str, port: u16) -> UdpId {
    let family = match ip(addr) {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    let id = stack.udp_open(family);
    let request = BindRequest {
        addr: ip(addr),
        port,
        family,
        v6only: true,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    };
    stack.udp_bind(id, request).unwrap();
    id
}

fn send(stack: &mut Stack, id: UdpId, to: &str, len: usize) {
    let send = UdpSend {
        dst: SocketAddr::new(ip(to), 53),
        src: None,
        device: None,
        tos: None,
        ttl: None,
        tag: Tag::default(),
        flow_label: None,
        payload: vec![5; len].into(),
        segment: 0,
        unsummed: false,
        may_be_cut: false,
        fragment_size: 0,
        extra: None,
    };
    stack.udp_send(Instant::BOOT, id, send).unwrap();
}

fn out(stack: &mut Stack) -> Vec<Packet> {
    core::iter::from_fn(|| stack.poll_transmit(Instant::BOOT))
        .map(|(_, packet)| packet)
        .collect()
}

#[test]
fn a_long_datagram_crosses_a_link_in_pieces() {
    for (here, there) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
        let (mut a, mut b) = (host(here), host(there));
        let from = socket(&mut a, here, 9);
        let to = socket(&mut b, there, 53);
        send(&mut a, from, there, 5000);
        let pieces = out(&mut a);
        assert_eq!(pieces.len(), 4);
        assert_eq!(a.counters().ip_frag_creates, 4);
        for piece in pieces.into_iter().rev() {
            assert!(piece.wire_len() <= 1500);
            // By the wire, with all its checksums.
            let piece = parse(&emit(&piece)).unwrap();
            assert!(b.udp_peek(to).is_none());
            b.deliver(Instant::BOOT, ETH0, piece);
        }
        let came = b.udp_pop(to).unwrap();
        assert_eq!(came.payload.len(), 5000);
        let size = came.extra.map_or(0, |extra| extra.fragment_size);
        assert!(size > 1480 && size <= 1500);
        assert_eq!(b.fragments_held(here.contains(':')), (0, 0));
        assert_eq!(b.poll_timeout(), None);
    }
}

#[test]
fn what_stays_in_pieces_is_given_up_and_told() {
    for (here, there, time) in [("10.0.0.1", "10.0.0.2", 30), ("fd00::1", "fd00::2", 60)] {
        let (mut a, mut b) = (host(here), host(there));
        let from = socket(&mut a, here, 9);
        send(&mut a, from, there, 3000);
        let first = out(&mut a).swap_remove(0);
        b.deliver(Instant::BOOT, ETH0, first.clone());
        let end = Instant::BOOT + Duration::from_secs(time);
        assert_eq!(b.poll_timeout(), Some(end));
        b.handle_timeout(end);
        let told = out(&mut b).pop().unwrap();
        let Body::Icmp(IcmpMessage::TimeExceeded { code: 1, original }) = told.body else {
            panic!("time exceeded")
        };
        assert_eq!(original.ip, first.ip);
        assert_eq!(b.counters().ip_reasm_timeout, 1);
        assert_eq!(b.poll_timeout(), None);
        // Without the first piece nobody is told.
        let mut a = host(here);
        let from = socket(&mut a, here, 9);
        send(&mut a, from, there, 3000);
        let last = out(&mut a).pop().unwrap();
        b.deliver(end, ETH0, last);
        b.handle_timeout(end + Duration::from_secs(time));
        assert!(out(&mut b).is_empty());
    }
}

#[test]
fn a_router_tells_what_the_path_takes() {
    for (here, there, takes, least) in [
        ("10.0.0.1", "10.0.0.2", 1000, 552),
        ("fd00::1", "fd00::2", 1300, 1280),
    ] {
        let mut a = host(here);
        let from = socket(&mut a, here, 9);
        for (mtu, then) in [(takes, takes), (1400, takes), (68, least)] {
            send(&mut a, from, there, 1200);
            let sent = out(&mut a).swap_remove(0);
            let original = alloc::boxed::Box::new(Quoted::of(&sent));
            let body = Body::Icmp(IcmpMessage::Unreachable {
                code: Unreachable::PacketTooBig,
                mtu,
                original,
            });
            let ip = IpHeader::new(ip(there), ip(here));
            a.deliver(Instant::BOOT, ETH0, Packet { ip, body });
            let route = a.route(sent.ip.dst, None, None).unwrap();
            assert_eq!(route.mtu, then);
        }
        send(&mut a, from, there, 1400);
        assert!(out(&mut a).iter().all(|p| p.wire_len() <= least as usize));
        // It is forgotten in time.
        let end = Instant::BOOT + Duration::from_secs(600);
        assert_eq!(a.poll_timeout(), Some(end));
        a.handle_timeout(end);
        assert_eq!(a.route(ip(there), None, None).unwrap().mtu, 1500);
    }
}
