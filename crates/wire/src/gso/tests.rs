use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::*;

fn segment(len: usize, gso: u16) -> TcpSegment {
    TcpSegment {
        src_port: 1,
        dst_port: 2,
        seq: SeqNum(u32::MAX - 1000),
        ack: SeqNum(9),
        flags: TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN | TcpFlags::CWR | TcpFlags::ECE,
        window: 7,
        urgent: 0,
        options: TcpOptions {
            timestamps: Some(Timestamps { value: 1, echo: 2 }),
            ..TcpOptions::default()
        },
        payload: (0..len).map(|n| n as u8).collect::<Vec<u8>>().into(),
        gso,
    }
}

fn packet(body: Body) -> Packet {
    let mut ip = IpHeader::new(
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv4Addr::new(10, 0, 0, 2).into(),
    );
    ip.ident = 0xfffe;
    Packet { ip, body }
}

#[test]
fn a_large_segment_becomes_those_that_it_stands_for() {
    let whole = packet(Body::Tcp(segment(3500, 1448)));
    assert_eq!(whole.segments(), 3);
    assert_eq!(whole.longest(), 1500);
    assert_eq!(whole.total_len(), 3 * 52 + 3500);
    let parts: Vec<Packet> = whole.clone().split().collect();
    let mut data = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let Body::Tcp(tcp) = &part.body else {
            panic!("{part:?}");
        };
        assert_eq!(tcp.gso, 0);
        assert_eq!(part.segments(), 1);
        assert_eq!(tcp.seq, SeqNum(u32::MAX - 1000) + data.len() as u32);
        assert_eq!(part.ip.ident, 0xfffe_u16.wrapping_add(n as u16));
        // FIN and PSH belong to the end, CWR to the beginning, ECE to all.
        let ends = TcpFlags::FIN | TcpFlags::PSH;
        assert_eq!(tcp.flags.intersects(ends), n == 2);
        assert_eq!(tcp.flags.contains(TcpFlags::CWR), n == 0);
        assert!(tcp.flags.contains(TcpFlags::ECE | TcpFlags::ACK));
        assert_eq!(tcp.options, segment(0, 0).options);
        data.extend(tcp.payload.to_vec());
        // On a wire it is a packet like any other.
        assert_eq!(parse(&emit(part)).unwrap(), *part);
    }
    assert_eq!(parts.len(), 3);
    assert_eq!(data, segment(3500, 0).payload.to_vec());
    let total: usize = parts.iter().map(Packet::wire_len).sum();
    assert_eq!(total, whole.total_len());
}

#[test]
fn what_is_one_packet_stays_as_it_is() {
    for body in [
        Body::Tcp(segment(1448, 0)),
        Body::Other {
            protocol: 99,
            payload: (&b"abc"[..]).into(),
        },
    ] {
        let one = packet(body);
        assert_eq!(one.segments(), 1);
        assert_eq!(one.longest(), one.wire_len());
        assert_eq!(one.total_len(), one.wire_len());
        assert_eq!(one.clone().split().collect::<Vec<_>>(), [one]);
    }
    // One that says its size and does not reach it.
    let small = packet(Body::Tcp(segment(100, 1448)));
    assert_eq!((small.segments(), small.longest()), (1, 152));
    let parts: Vec<Packet> = small.split().collect();
    assert_eq!(parts, [packet(Body::Tcp(segment(100, 0)))]);
}

#[test]
fn frames_are_split_with_their_addresses() {
    let link = Some(Ethernet {
        dst: Mac([2; 6]),
        src: Mac([4; 6]),
    });
    let v6 = |n| IpAddr::from(Ipv6Addr::from_bits(n));
    let ip = IpHeader::new(v6(1), v6(2));
    let frame = Frame {
        link,
        body: FrameBody::Ip(Packet {
            ip,
            body: Body::Tcp(segment(5000, 1428)),
        }),
    };
    assert_eq!(frame.segments(), 4);
    assert_eq!(frame.longest(), 1500);
    let parts: Vec<Frame> = frame.clone().split().collect();
    assert!(parts.iter().all(|part| part.link == link));
    assert!(parts.iter().all(|part| part.packet().unwrap().ip == ip));
    assert_eq!(
        parts.iter().map(Frame::wire_len).sum::<usize>(),
        frame.total_len()
    );
    let other = Frame {
        link,
        body: FrameBody::Other {
            ethertype: 0x88cc,
            payload: (&b"abc"[..]).into(),
        },
    };
    assert_eq!(other.clone().split().collect::<Vec<_>>(), [other]);
}
