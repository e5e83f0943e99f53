use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{SackList, emit};

fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn udp(ip: IpHeader, payload: &[u8]) -> Packet {
    Packet {
        ip,
        body: Body::Udp(UdpDatagram {
            src_port: 53,
            dst_port: 4000,
            payload: payload.into(),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    }
}

#[test]
fn udp_bytes_are_the_known_ones() {
    // Checksums computed by hand from RFC 768 and RFC 791.
    let mut ip = IpHeader::new(v4(1), v4(2));
    ip.ident = 0x1234;
    let bytes = emit(&udp(ip, b"hi"));
    assert_eq!(
        bytes,
        [
            0x45, 0, 0, 30, 0x12, 0x34, 0x40, 0, 64, 17, 0x14, 0x99, 10, 0, 0, 1, 10, 0, 0,
            2, //
            0, 53, 0x0f, 0xa0, 0, 10, 0x73, 0x99, b'h', b'i',
        ]
    );
    assert_eq!(parse(&bytes), Ok(udp(ip, b"hi")));
}

#[test]
fn every_flipped_bit_of_a_checked_packet_shows() {
    let packet = udp(IpHeader::new(v4(1), v4(2)), b"some data");
    let bytes = emit(&packet);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(parse(&bad), Ok(packet.clone()), "bit {bit}");
    }
}

#[test]
fn zero_udp_checksum_is_none() {
    let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
    for (ip, at) in [
        (IpHeader::new(v4(1), v4(2)), 26),
        (IpHeader::new(six, six), 46),
    ] {
        let mut bytes = emit(&udp(ip, b"x"));
        bytes[at..at + 2].fill(0);
        let packet = parse(&bytes).unwrap();
        assert!(matches!(&packet.body, Body::Udp(udp) if udp.unsummed));
        // And it leaves as it came.
        assert_eq!(emit(&packet), bytes);
    }
}

#[test]
fn trailing_bytes_are_padding() {
    let packet = udp(IpHeader::new(v4(1), v4(2)), b"x");
    let mut bytes = emit(&packet);
    bytes.extend_from_slice(&[0; 17]);
    assert_eq!(parse(&bytes), Ok(packet));
}

#[test]
fn a_fragment_is_not_looked_into() {
    let mut bytes = emit(&udp(IpHeader::new(v4(1), v4(2)), b"12345678"));
    bytes[6] = 0x20;
    bytes[10..12].fill(0);
    let (mut header, _) = Ipv4Header::from_slice(&bytes).unwrap();
    header.header_checksum = header.calc_header_checksum();
    bytes[..20].copy_from_slice(&header.to_bytes());
    let packet = parse(&bytes).unwrap();
    let Body::Extended(extended) = &packet.body else {
        panic!("a piece is marked as one");
    };
    assert_eq!(
        extended.fragment.map(|f| (f.offset, f.more)),
        Some((0, true))
    );
    assert!(matches!(extended.body, Body::Other { protocol: 17, .. }));
    assert_eq!(emit(&packet), bytes);
}

#[test]
fn quoted_packet_is_cut_to_576_bytes() {
    let big = udp(IpHeader::new(v4(1), v4(2)), &[7; 3000]);
    let quoted = Quoted::of(&big);
    assert_eq!(quoted.ports(), Some((53, 4000)));
    assert_eq!(quoted.length, 3008);
    let error = Packet {
        ip: IpHeader::new(v4(2), v4(1)),
        body: Body::Icmp(IcmpMessage::Unreachable {
            code: Unreachable::Port,
            mtu: 0,
            original: Box::new(quoted),
        }),
    };
    assert_eq!(error.wire_len(), 576);
    assert_eq!(parse(&emit(&error)), Ok(error));
}

#[test]
fn packets_beyond_64_kib_have_length_zero() {
    let bytes = emit(&udp(IpHeader::new(v4(1), v4(2)), &[0; 70_000]));
    assert_eq!(bytes.len(), 70_028);
    assert_eq!(bytes[2..4], [0, 0]);
    assert_eq!(bytes[24..26], [0, 0]);
}

fn any_header() -> impl Strategy<Value = IpHeader> {
    let v4 = (
        any::<[u8; 4]>(),
        any::<[u8; 4]>(),
        any::<u16>(),
        any::<bool>(),
    )
        .prop_map(|(src, dst, ident, dont_fragment)| IpHeader {
            ident,
            dont_fragment,
            ..IpHeader::new(src.into(), dst.into())
        });
    let v6 =
        (any::<[u8; 16]>(), any::<[u8; 16]>(), 0u32..1 << 20).prop_map(|(src, dst, flow_label)| {
            IpHeader {
                flow_label,
                ..IpHeader::new(IpAddr::from(src), IpAddr::from(dst))
            }
        });
    (prop_oneof![v4, v6], any::<u8>(), any::<u8>()).prop_map(|(ip, hop_limit, tos)| IpHeader {
        hop_limit,
        tos,
        ..ip
    })
}

fn any_payload() -> impl Strategy<Value = Payload> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)
        .prop_map(|chunks| chunks.into_iter().map(Bytes::from).collect())
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from)
}

prop_compose! {
    fn any_options()(
        mss in any::<Option<u16>>(),
        window_scale in any::<Option<u8>>(),
        sack_permitted in any::<bool>(),
        timestamps in prop::option::of((any::<u32>(), any::<u32>())),
        sack in prop::collection::vec((any::<u32>(), any::<u32>()), 0..5),
        cookie in prop::option::of(prop::collection::vec(any::<u8>(), 0..17)),
        md5 in any::<Option<[u8; 16]>>(),
    ) -> TcpOptions {
        let mut list = SackList::new();
        for (left, right) in sack {
            list.push(SeqNum(left), SeqNum(right));
        }
        let timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
        TcpOptions { mss, window_scale, sack_permitted, timestamps, sack: list, fastopen: cookie.and_then(|c| FastOpenCookie::new(&c)).filter(|_| md5.is_none()), md5 }
    }
}

prop_compose! {
    fn any_tcp()(
        (src_port, dst_port, seq, ack, flags) in any::<(u16, u16, u32, u32, u16)>(),
        (window, urgent) in any::<(u16, u16)>(),
        options in any_options(),
        payload in any_payload(),
    ) -> TcpSegment {
        TcpSegment {
            src_port, dst_port, seq: SeqNum(seq), ack: SeqNum(ack),
            flags: TcpFlags::from_bits_truncate(flags), window, urgent, options, payload,
            gso: 0,
        }
    }
}

fn any_icmp(v6: bool) -> impl Strategy<Value = IcmpMessage> {
    let echo = (any::<bool>(), any::<u16>(), any::<u16>(), any_bytes()).prop_map(
        |(request, ident, sequence, payload)| {
            if request {
                IcmpMessage::EchoRequest {
                    ident,
                    sequence,
                    payload,
                }
            } else {
                IcmpMessage::EchoReply {
                    ident,
                    sequence,
                    payload,
                }
            }
        },
    );
    let error =
        (any_packet_of(v6), any::<u8>(), any::<u32>()).prop_map(move |(packet, code, n)| {
            let original = Box::new(Quoted::of(&packet));
            match code % 4 {
                0 if v6 && n % 2 == 0 => IcmpMessage::Unreachable {
                    code: Unreachable::PacketTooBig,
                    mtu: n,
                    original,
                },
                0 => {
                    let code = if v6 {
                        Unreachable::from_v6(code)
                    } else {
                        Unreachable::from_v4(code)
                    };
                    let mtu = if code == Unreachable::PacketTooBig {
                        n & 0xffff
                    } else {
                        0
                    };
                    IcmpMessage::Unreachable {
                        code,
                        mtu,
                        original,
                    }
                }
                1 => IcmpMessage::TimeExceeded { code, original },
                _ => {
                    let pointer = if v6 { n } else { n & 0xff };
                    IcmpMessage::ParameterProblem {
                        code,
                        pointer,
                        original,
                    }
                }
            }
        });
    let other = (130u8.., any::<u8>(), any::<u32>(), any_bytes()).prop_map(
        |(kind, code, rest, payload)| IcmpMessage::Other {
            kind,
            code,
            rest,
            payload,
        },
    );
    prop_oneof![echo, error, other]
}

fn any_packet_of(v6: bool) -> impl Strategy<Value = Packet> {
    let header = any_header().prop_filter("family", move |ip| ip.is_v6() == v6);
    let udp =
        (any::<u16>(), any::<u16>(), any_payload()).prop_map(|(src_port, dst_port, payload)| {
            Body::Udp(UdpDatagram {
                src_port,
                dst_port,
                payload,
                segment: 0,
                unsummed: false,
                lite: None,
            })
        });
    // 143..=252 holds no protocol that has a meaning here (IPv6 extension headers do).
    let other = (143u8..=252, any_bytes())
        .prop_map(|(protocol, payload)| Body::Other { protocol, payload });
    (
        header,
        prop_oneof![any_tcp().prop_map(Body::Tcp), udp, other],
    )
        .prop_map(|(ip, body)| Packet { ip, body })
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let icmp = prop_oneof![
        (any_packet_of(false), any_icmp(false)),
        (any_packet_of(true), any_icmp(true))
    ]
    .prop_map(|(packet, icmp)| Packet {
        ip: packet.ip,
        body: Body::Icmp(icmp),
    });
    prop_oneof![any_packet_of(false), any_packet_of(true), icmp]
}

proptest! {
    #[test]
    fn emit_then_parse_gives_the_packet_back(packet in any_packet()) {
        let bytes = emit(&packet);
        prop_assert_eq!(bytes.len(), packet.wire_len());
        let mut expected = packet;
        if let Body::Tcp(tcp) = &mut expected.body {
            // What the 40 bytes of options have no room for is left out.
            let mut others = tcp.options;
            others.sack = SackList::new();
            let fit = tcp.options.sack_blocks_that_fit(others.wire_len());
            let kept: Vec<_> = tcp.options.sack.iter().take(fit).collect();
            tcp.options.sack = SackList::new();
            for (left, right) in kept {
                tcp.options.sack.push(left, right);
            }
        }
        prop_assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_damage_panics(
        packet in any_packet(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = emit(&packet);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = parse(&bytes);
        let cut = cut.index(bytes.len());
        let _ = parse(&bytes[..cut]);
        // With the IPv4 checksum made right again, damage reaches the inner parsers.
        if let Ok((mut header, _)) = Ipv4Header::from_slice(&bytes) {
            header.header_checksum = header.calc_header_checksum();
            let head = header.to_bytes();
            bytes[..head.len()].copy_from_slice(&head);
            let _ = parse(&bytes);
        }
        // The quoted packet of an ICMP error is parsed without checksums.
        let _ = parse_quoted(&bytes);
    }
}

/// RFC 3828, 3.1: what is outside of the coverage may change on the way.
#[test]
fn udp_lite_covers_what_it_says() {
    for (coverage, tolerant) in [(8, true), (11, true), (12, false), (0, false), (13, false)] {
        let sent = Packet {
            ip: IpHeader::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
            body: Body::Udp(UdpDatagram {
                src_port: 7,
                dst_port: 9,
                payload: Payload::from(&b"abcde"[..]),
                segment: 0,
                unsummed: false,
                lite: Some(coverage),
            }),
        };
        assert_eq!(sent.protocol(), 136);
        let mut bytes = emit(&sent);
        assert_eq!(parse(&bytes).as_ref(), Ok(&sent));
        // The fourth byte of the data.
        bytes[20 + 8 + 3] ^= 1;
        assert_eq!(parse(&bytes).is_ok(), tolerant, "coverage {coverage}");
    }
}
