use alloc::vec;
use alloc::vec::Vec;

use switchboard_wire::{
    IcmpMessage, SeqNum, TcpFlags, TcpOptions, TcpSegment, UdpDatagram, Unreachable, emit_body,
};

use super::*;
use crate::config::Config;
use crate::fragments::cut;
use crate::iface::InterfaceConfig;
use crate::route::RouteConfig;
use crate::stack::{InterfaceChange, Outgoing};

const ETH0: IfIndex = IfIndex::new(2).unwrap();
const ETH1: IfIndex = IfIndex::new(3).unwrap();

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// 10.0.0.0/24 and fd00::/64 on eth0, 10.0.1.0/24 and fd01::/64 on eth1, whose MTU is less; 10.9.0.0/16 behind 10.0.1.2.
fn router() -> Stack {
    let mut stack = Stack::new(Config::default());
    for (net, mtu) in [(0, 1500), (1, 1300)] {
        let index = stack.add_interface(InterfaceConfig {
            name: alloc::format!("eth{net}"),
            mtu,
        });
        stack.add_address(index, ip(&alloc::format!("10.0.{net}.1")), 24);
        stack.add_address(index, ip(&alloc::format!("fd0{net}::1")), 64);
    }
    stack.add_route(RouteConfig {
        prefix: ip("10.9.0.0"),
        prefix_len: 16,
        gateway: Some(ip("10.0.1.2")),
        interface: ETH1,
        source: None,
        metric: 0,
        protocol: 3,
        scope: 0,
        table: crate::TABLE_MAIN,
        leads: crate::Leads::On,
        share: None,
    });
    stack.set_forwarding(false, Conf::All, true);
    stack.set_forwarding(true, Conf::All, true);
    stack
}

fn datagram(src: &str, dst: &str, len: usize) -> Packet {
    Packet {
        ip: IpHeader::new(ip(src), ip(dst)),
        body: Body::Udp(UdpDatagram {
            src_port: 9,
            dst_port: 53,
            payload: vec![0; len].into(),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    }
}

fn out(stack: &mut Stack) -> Vec<Outgoing> {
    core::iter::from_fn(|| stack.poll_outgoing(Instant::BOOT)).collect()
}

/// What a packet on eth0 makes the router say to its sender.
fn answer(stack: &mut Stack, packet: Packet) -> (IpAddr, IcmpMessage) {
    let sender = packet.ip.src;
    stack.deliver(Instant::from_secs(10), ETH0, packet);
    let mut sent = out(stack);
    let only = sent.pop().expect("an answer");
    assert!(sent.is_empty());
    assert_eq!((only.interface, only.packet.ip.dst), (ETH0, sender));
    match only.packet.body {
        Body::Icmp(message) => (only.packet.ip.src, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_handed_on_with_a_hop_less() {
    for (src, dst, hop) in [
        ("10.0.0.2", "10.0.1.7", "10.0.1.7"),
        ("10.0.0.2", "10.9.8.7", "10.0.1.2"),
        ("fd00::2", "fd01::7", "fd01::7"),
    ] {
        let mut stack = router();
        let packet = datagram(src, dst, 10);
        stack.deliver(Instant::BOOT, ETH0, packet.clone());
        let sent = out(&mut stack);
        assert_eq!(sent.len(), 1, "{dst}");
        assert_eq!((sent[0].interface, sent[0].next_hop), (ETH1, ip(hop)));
        assert_eq!(sent[0].packet.ip.hop_limit, 63);
        assert_eq!(sent[0].packet.body, packet.body);
        let c = stack.counters();
        assert_eq!(
            (c.ip_forw_datagrams, c.ip_out_requests, c.ip_in_delivers),
            (1, 0, 0)
        );
    }
}

#[test]
fn a_host_hands_nothing_on() {
    let mut stack = router();
    stack.set_forwarding(false, Conf::Interface(ETH0), false);
    stack.set_forwarding(true, Conf::All, false);
    // IPv6 asks the host as a whole.
    stack.set_forwarding(true, Conf::Interface(ETH0), true);
    for (src, dst) in [("10.0.0.2", "10.0.1.7"), ("fd00::2", "fd01::7")] {
        stack.deliver(Instant::BOOT, ETH0, datagram(src, dst, 10));
        assert!(out(&mut stack).is_empty());
    }
    assert_eq!(stack.counters().ip_in_addr_errors, 2);
    // Of the other interface it is still a router.
    stack.deliver(Instant::BOOT, ETH1, datagram("10.0.1.7", "10.0.0.2", 10));
    assert_eq!(out(&mut stack).len(), 1);
}

#[test]
fn the_last_hop_is_told() {
    for (src, dst, from) in [
        ("10.0.0.2", "10.0.1.7", "10.0.0.1"),
        ("fd00::2", "fd01::7", "fd00::1"),
    ] {
        let mut stack = router();
        let mut packet = datagram(src, dst, 10);
        packet.ip.hop_limit = 1;
        let (by, message) = answer(&mut stack, packet);
        assert_eq!(by, ip(from));
        assert!(
            matches!(message, IcmpMessage::TimeExceeded { code: 0, .. }),
            "{message:?}"
        );
        assert_eq!(stack.counters().ip_forw_datagrams, 0);
    }
}

#[test]
fn without_a_route_the_sender_is_told() {
    for (src, dst) in [("10.0.0.2", "192.0.2.1"), ("fd00::2", "2001:db8::1")] {
        let mut stack = router();
        let (_, message) = answer(&mut stack, datagram(src, dst, 10));
        let net = Unreachable::Net;
        assert!(matches!(message, IcmpMessage::Unreachable { code, .. } if code == net));
        assert_eq!(stack.counters().ip_in_no_routes, 1);
    }
}

#[test]
fn what_does_not_fit_the_next_link_comes_back_with_its_mtu() {
    for (src, dst) in [("10.0.0.2", "10.0.1.7"), ("fd00::2", "fd01::7")] {
        let mut stack = router();
        // Path MTU discovery is not held up by the limit on errors.
        for _ in 0..100 {
            let (_, message) = answer(&mut stack, datagram(src, dst, 1300));
            let big = Unreachable::PacketTooBig;
            let IcmpMessage::Unreachable {
                code,
                mtu,
                original,
            } = message
            else {
                panic!("{message:?}");
            };
            assert_eq!((code, mtu), (big, 1300));
            assert_eq!(original.ports(), Some((9, 53)));
        }
        stack.deliver(Instant::BOOT, ETH0, datagram(src, dst, 1200));
        assert_eq!(out(&mut stack).len(), 1);
    }
}

/// 3500 bytes in segments of this size.
fn large(dst: &str, gso: u16) -> Packet {
    Packet {
        ip: IpHeader::new(ip("10.0.0.2"), ip(dst)),
        body: Body::Tcp(TcpSegment {
            src_port: 9,
            dst_port: 80,
            seq: SeqNum(7),
            ack: SeqNum(8),
            flags: TcpFlags::ACK | TcpFlags::PSH,
            window: 9,
            urgent: 0,
            options: TcpOptions::default(),
            payload: vec![1; 3500].into(),
            gso,
        }),
    }
}

#[test]
fn segments_that_came_as_one_leave_as_the_next_link_takes_them() {
    let mut router = router();
    router.deliver(Instant::BOOT, ETH0, large("10.0.1.2", 1260));
    let lens = |sent: &[Outgoing]| sent.iter().map(|o| o.packet.wire_len()).collect::<Vec<_>>();
    let sent = out(&mut router);
    assert_eq!(lens(&sent), [1300, 1300, 1020]);
    assert!(sent.iter().all(|o| o.packet.segments() == 1));
    // Linux counts what came as one as one.
    let counters = router.counters();
    assert_eq!(
        (counters.ip_in_receives, counters.ip_forw_datagrams),
        (1, 1)
    );
    assert_eq!(router.interface(ETH1).unwrap().traffic().sent.0, 3);
    router.change_interface(ETH1, InterfaceChange::LargeSegments(true));
    router.deliver(Instant::BOOT, ETH0, large("10.0.1.2", 1260));
    let sent = out(&mut router);
    assert_eq!((lens(&sent), sent[0].packet.segments()), (vec![3540], 3));
    assert_eq!(
        router.interface(ETH1).unwrap().traffic().sent,
        (4, 3620 + 3540)
    );
}

#[test]
fn segments_that_came_as_one_and_do_not_fit_come_back() {
    let mut router = router();
    router.change_interface(ETH1, InterfaceChange::LargeSegments(true));
    let (_, message) = answer(&mut router, large("10.0.1.2", 1261));
    assert!(
        matches!(
            &message,
            IcmpMessage::Unreachable {
                code: Unreachable::PacketTooBig,
                mtu: 1300,
                ..
            }
        ),
        "{message:?}"
    );
    // Without DF each is cut by itself.
    let mut packet = large("10.0.1.2", 1261);
    packet.ip.dont_fragment = false;
    router.deliver(Instant::BOOT, ETH0, packet);
    assert_eq!(out(&mut router).len(), 5);
}

#[test]
fn errors_are_limited() {
    let mut stack = router();
    for _ in 0..100 {
        stack.deliver(Instant::BOOT, ETH0, datagram("10.0.0.2", "192.0.2.1", 10));
    }
    assert_eq!(out(&mut stack).len(), 6);
}

#[test]
fn what_is_not_for_routers_stays() {
    let mut stack = router();
    for (src, dst) in [
        ("10.0.0.2", "10.0.1.255"),
        ("10.0.0.2", "224.0.0.9"),
        ("0.0.0.0", "10.0.1.7"),
        ("10.0.0.2", "255.255.255.255"),
        ("fe80::2", "fd01::7"),
        ("fd00::2", "fe80::7"),
        ("fd00::2", "ff05::2"),
        ("127.0.0.1", "10.0.1.7"),
        ("10.0.0.1", "10.0.1.7"),
    ] {
        stack.deliver(Instant::BOOT, ETH0, datagram(src, dst, 10));
        let sent = out(&mut stack);
        let forwarded = sent.iter().filter(|sent| sent.interface == ETH1);
        assert_eq!(forwarded.count(), 0, "{src} {dst}");
    }
    assert_eq!(stack.counters().ip_forw_datagrams, 0);
}

/// RFC 791, 3.2: all pieces but the last are as long as fits, in units of eight.
#[test]
fn without_df_it_is_cut() {
    let mut stack = router();
    let mut packet = datagram("10.0.0.2", "10.0.1.7", 3000);
    packet.ip.dont_fragment = false;
    packet.ip.ident = 77;
    let whole = emit_body(&packet.ip, &packet.body);
    stack.deliver(Instant::BOOT, ETH0, packet);
    let pieces = out(&mut stack);
    let mut got = Vec::new();
    for (n, piece) in pieces.iter().enumerate() {
        let piece = &piece.packet;
        assert!(piece.wire_len() <= 1300);
        assert_eq!((piece.ip.ident, piece.ip.hop_limit), (77, 63));
        assert_eq!(
            switchboard_wire::parse(&switchboard_wire::emit(piece)).as_ref(),
            Ok(piece)
        );
        let Body::Extended(extended) = &piece.body else {
            panic!("{piece:?}");
        };
        let fragment = extended.fragment.unwrap();
        assert_eq!(
            (fragment.offset as usize, fragment.more),
            (got.len(), n + 1 < pieces.len())
        );
        got.extend(emit_body(&piece.ip, &extended.body));
    }
    assert!(got == whole);
    let c = stack.counters();
    assert_eq!(
        (c.ip_frag_oks, c.ip_frag_creates, c.ip_frag_fails),
        (1, 3, 0)
    );
    // A piece that is cut again keeps its place.
    let middle = pieces[1].packet.clone();
    let again = cut(&middle, 700, 0);
    let places: Vec<(u32, bool)> = again
        .iter()
        .map(|piece| match &piece.body {
            Body::Extended(extended) => extended.fragment.map(|f| (f.offset, f.more)).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(places, [(1280, true), (1280 + 680, true)]);
    assert!(cut(&pieces[0].packet, 24, 0).is_empty());
}
