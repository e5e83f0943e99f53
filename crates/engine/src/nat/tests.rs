use alloc::string::String;

use bytes::Bytes;
use switchboard_wire::{Mac, UdpDatagram, emit_body};

use super::*;
use crate::neigh::NeighState;
use crate::{Conf, Config, InterfaceConfig};

const OUTSIDE: [u8; 4] = [203, 0, 113, 1];
const PEER: [u8; 4] = [203, 0, 113, 9];

struct Router {
    stack: Stack,
    inner: IfIndex,
    outer: IfIndex,
}

/// What a datagram's addresses are.
type Seen = (IpAddr, u16, IpAddr, u16);

impl Router {
    fn new(kind: NatKind) -> Router {
        let mut stack = Stack::new(Config::default());
        let mut add = |name: &str, addr: [u8; 4], mac| {
            let name = String::from(name);
            let config = InterfaceConfig { name, mtu: 1500 };
            let index = stack.add_ethernet(config, Mac([2, 0, 0, 0, 0, mac]));
            stack.add_address(index, addr.into(), 24);
            index
        };
        let (inner, outer) = (add("eth0", [10, 0, 0, 1], 1), add("eth1", OUTSIDE, 2));
        stack.set_forwarding(false, Conf::All, true);
        let (now, known) = (Instant::BOOT, NeighState::Permanent);
        for (index, last) in [(inner, 5), (inner, 6)] {
            let mac = Some(Mac([2, 0, 0, 0, 1, last]));
            stack.set_neighbour(now, index, [10, 0, 0, last].into(), mac, known);
        }
        for last in 8..10 {
            let mac = Some(Mac([2, 0, 0, 0, 2, last]));
            stack.set_neighbour(now, outer, [203, 0, 113, last].into(), mac, known);
        }
        stack.set_nat(Some(NatConfig::new(outer, kind)));
        Router {
            stack,
            inner,
            outer,
        }
    }

    fn pass(&mut self, at: u64, by: IfIndex, packet: Packet) -> Option<Packet> {
        let now = Instant::from_secs(at);
        self.stack.deliver(now, by, packet);
        let mut out = None;
        while let Some(next) = self.stack.poll_frame(now) {
            assert!(out.is_none(), "one in, one out");
            out = next.frame.packet().cloned();
        }
        out
    }

    /// A datagram from inside; how it leaves.
    fn out(&mut self, at: u64, src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> Option<Seen> {
        seen(&self.pass(at, self.inner, datagram(src, dst))?)
    }

    /// A datagram from outside; how it comes in. An ICMP error of the router's is nothing.
    fn back(&mut self, at: u64, src: ([u8; 4], u16), port: u16) -> Option<Seen> {
        seen(&self.pass(at, self.outer, datagram(src, (OUTSIDE, port)))?)
    }
}

fn datagram(src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> Packet {
    Packet {
        ip: IpHeader::new(src.0.into(), dst.0.into()),
        body: Body::Udp(UdpDatagram {
            src_port: src.1,
            dst_port: dst.1,
            payload: Bytes::from_static(b"x").into(),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    }
}

fn seen(packet: &Packet) -> Option<Seen> {
    let Body::Udp(udp) = &packet.body else {
        return None;
    };
    Some((packet.ip.src, udp.src_port, packet.ip.dst, udp.dst_port))
}

const HOST: ([u8; 4], u16) = ([10, 0, 0, 5], 4000);

#[test]
fn ports_are_kept_where_they_are_free() {
    let mut r = Router::new(NatKind::PortRestricted);
    let first = r.out(0, HOST, (PEER, 9)).unwrap();
    assert_eq!(first, (OUTSIDE.into(), 4000, PEER.into(), 9));
    let second = r.out(0, ([10, 0, 0, 6], 4000), (PEER, 9)).unwrap();
    assert_ne!(second.1, 4000);
    // Both hear their answers.
    let to = |r: &mut Router, port| r.back(1, (PEER, 9), port).map(|seen| seen.2);
    assert_eq!(to(&mut r, 4000), Some([10, 0, 0, 5].into()));
    assert_eq!(to(&mut r, second.1), Some([10, 0, 0, 6].into()));
}

#[test]
fn the_kinds_differ_in_mapping_and_in_filtering() {
    let others = [
        (PEER, 10, [true, false, false]),
        ([203, 0, 113, 8], 9, [true, false, false]),
        (PEER, 9, [true, true, true]),
    ];
    let kinds = [
        NatKind::FullCone,
        NatKind::PortRestricted,
        NatKind::Symmetric,
    ];
    for (n, kind) in kinds.into_iter().enumerate() {
        let mut r = Router::new(kind);
        let port = r.out(0, HOST, (PEER, 9)).unwrap().1;
        for (peer, from, may) in others {
            let came = r.back(0, (peer, from), port);
            assert_eq!(came.is_some(), may[n], "{kind:?} {peer:?} {from}");
        }
        let again = r.out(0, HOST, ([203, 0, 113, 8], 9)).unwrap().1;
        assert_eq!(again == port, kind != NatKind::Symmetric, "{kind:?}");
    }
}

#[test]
fn mappings_time_out_as_connection_tracking_does() {
    let mut r = Router::new(NatKind::PortRestricted);
    let answered = |r: &mut Router, at| r.back(at, (PEER, 9), 4000).is_some();
    r.out(0, HOST, (PEER, 9)).unwrap();
    assert!(!answered(&mut r, 30));
    r.out(100, HOST, (PEER, 9)).unwrap();
    assert!(answered(&mut r, 129));
    // A stream by now.
    assert!(answered(&mut r, 248));
    assert!(!answered(&mut r, 368));
    assert_eq!(r.stack.nat_flows(), 0);
}

#[test]
fn there_is_room_for_so_many_flows() {
    let mut r = Router::new(NatKind::Symmetric);
    let config = NatConfig {
        flows: 10,
        ..NatConfig::new(r.outer, NatKind::Symmetric)
    };
    r.stack.set_nat(Some(config));
    let passed = (1..=20).filter(|port| r.out(0, HOST, (PEER, *port)).is_some());
    assert_eq!(passed.count(), 10);
    assert_eq!(r.stack.nat_counters().dropped, 10);
    // With time there is room again.
    assert!(r.out(31, HOST, (PEER, 30)).is_some());
    assert_eq!(r.stack.nat_flows(), 1);
}

#[test]
fn errors_find_their_way_back() {
    let mut r = Router::new(NatKind::PortRestricted);
    r.out(0, ([10, 0, 0, 6], 4000), (PEER, 9)).unwrap();
    let sent = r.out(0, HOST, (PEER, 9)).unwrap();
    let quoted = datagram((OUTSIDE, sent.1), (PEER, 9));
    let error = Packet {
        ip: IpHeader::new(PEER.into(), OUTSIDE.into()),
        body: Body::Icmp(IcmpMessage::Unreachable {
            code: switchboard_wire::Unreachable::Port,
            mtu: 0,
            original: Box::new(Quoted::of(&quoted)),
        }),
    };
    let mut came = r.pass(0, r.outer, error.clone()).unwrap();
    assert_eq!(came.ip.dst, IpAddr::from(HOST.0));
    let inner = quoted_mut(&mut came.body).unwrap();
    assert_eq!(inner.ip.src, IpAddr::from(HOST.0));
    assert_eq!(inner.ports(), Some((4000, 9)));
    // The other way: the host behind has no such port any more.
    let about = datagram((PEER, 9), HOST);
    let error = Packet {
        ip: IpHeader::new(HOST.0.into(), PEER.into()),
        body: Body::Icmp(IcmpMessage::Unreachable {
            code: switchboard_wire::Unreachable::Port,
            mtu: 0,
            original: Box::new(Quoted::of(&about)),
        }),
    };
    let mut left = r.pass(0, r.inner, error).unwrap();
    assert_eq!(left.ip.src, IpAddr::from(OUTSIDE));
    let inner = quoted_mut(&mut left.body).unwrap();
    assert_eq!(inner.ip.dst, IpAddr::from(OUTSIDE));
    assert_eq!(inner.ports(), Some((9, sent.1)));
}

#[test]
fn what_nobody_asked_for_stays_outside() {
    let mut r = Router::new(NatKind::FullCone);
    assert_eq!(r.back(0, (PEER, 9), 4000), None);
    // Nor does what names a host behind the router.
    let direct = datagram((PEER, 9), HOST);
    assert_eq!(r.pass(0, r.outer, direct), None);
    assert_eq!(r.stack.nat_counters().back, 0);
    // A protocol without ports does not pass.
    let other = Packet {
        ip: IpHeader::new(HOST.0.into(), PEER.into()),
        body: Body::Other {
            protocol: 47,
            payload: Bytes::from_static(&[0; 8]),
        },
    };
    assert_eq!(r.pass(0, r.inner, other), None);
    assert_eq!(r.stack.nat_counters().dropped, 2);
}

#[test]
fn what_raw_sockets_send_passes() {
    let mut r = Router::new(NatKind::Symmetric);
    let bytes = |src: [u8; 4], dst: [u8; 4], message| {
        let ip = IpHeader::new(src.into(), dst.into());
        let payload = emit_body(&ip, &Body::Icmp(message)).into();
        Packet {
            ip,
            body: Body::Other {
                protocol: 1,
                payload,
            },
        }
    };
    let payload = Bytes::from_static(b"ping");
    let question = IcmpMessage::EchoRequest {
        ident: 7,
        sequence: 1,
        payload: payload.clone(),
    };
    let inner = r.inner;
    let out = r.pass(0, inner, bytes(HOST.0, PEER, question)).unwrap();
    assert_eq!(out.ip.src, IpAddr::from(OUTSIDE));
    let Body::Icmp(IcmpMessage::EchoRequest { ident, .. }) = out.body else {
        panic!("{out:?}");
    };
    let answer = IcmpMessage::EchoReply {
        ident,
        sequence: 1,
        payload,
    };
    let outer = r.outer;
    let back = r.pass(1, outer, bytes(PEER, OUTSIDE, answer)).unwrap();
    assert_eq!(back.ip.dst, IpAddr::from(HOST.0));
    let Body::Icmp(IcmpMessage::EchoReply { ident: 7, .. }) = back.body else {
        panic!("{back:?}");
    };
}
