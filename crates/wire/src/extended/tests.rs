use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Packet, Payload, Quoted, UdpDatagram, emit, parse};

fn v4() -> IpHeader {
    IpHeader::new(
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv4Addr::new(10, 0, 0, 2).into(),
    )
}

fn v6() -> IpHeader {
    IpHeader::new(IpAddr::V6(Ipv6Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into())
}

fn udp(data: &'static [u8]) -> Body {
    Body::Udp(UdpDatagram {
        src_port: 7,
        dst_port: 9,
        payload: Payload::from(Bytes::from_static(data)),
        segment: 0,
        unsummed: false,
        lite: None,
    })
}

fn header(kind: u8, bytes: &'static [u8]) -> ExtHeader {
    ExtHeader {
        kind,
        bytes: Bytes::from_static(bytes),
    }
}

const RECORD_ROUTE: &[u8] = &[7, 7, 4, 0, 0, 0, 0, 0];

#[test]
fn ipv4_options_lengthen_the_header() {
    let body = Extended::with_options(Bytes::from_static(RECORD_ROUTE), None, udp(b"abc"));
    let packet = Packet { ip: v4(), body };
    let bytes = emit(&packet);
    assert_eq!(bytes[0], 0x47);
    assert_eq!(&bytes[20..28], RECORD_ROUTE);
    assert_eq!(bytes.len(), packet.wire_len());
    assert_eq!(usize::from(bytes[3]), bytes.len());
    assert_eq!(parse(&bytes), Ok(packet));
}

#[test]
fn nothing_between_is_a_plain_body() {
    assert_eq!(
        Extended::with_options(Bytes::new(), None, udp(b"a")),
        udp(b"a")
    );
    assert_eq!(Extended::with_headers(vec![], None, udp(b"a")), udp(b"a"));
}

#[test]
fn extension_headers_name_each_other() {
    let headers = vec![
        header(HOP_OPTIONS, &[0, 0, 1, 4, 0, 0, 0, 0]),
        header(DESTINATION_OPTIONS, &[0, 0, 1, 4, 0, 0, 0, 0]),
        header(
            ROUTING,
            &[
                0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            ],
        ),
    ];
    let body = Extended::with_headers(headers, None, udp(b"abc"));
    let packet = Packet { ip: v6(), body };
    let bytes = emit(&packet);
    assert_eq!(bytes[6], HOP_OPTIONS);
    assert_eq!(bytes[40], DESTINATION_OPTIONS);
    assert_eq!(bytes[48], ROUTING);
    assert_eq!(bytes[56], 17);
    assert_eq!(bytes.len(), packet.wire_len());
    let Ok(back) = parse(&bytes) else {
        panic!("it is a packet")
    };
    assert_eq!(emit(&back), bytes);
}

#[test]
fn fragments_of_both_versions() {
    let place = Fragment {
        ident: 0x1234,
        offset: 1480,
        more: true,
    };
    let body = Body::Other {
        protocol: 17,
        payload: Bytes::from_static(b"12345678"),
    };
    let mut ip = v4();
    ip.ident = 0x1234;
    ip.dont_fragment = false;
    let packet = Packet {
        ip,
        body: Extended::with_options(Bytes::new(), Some(place), body.clone()),
    };
    let bytes = emit(&packet);
    assert_eq!(&bytes[6..8], &[0x20, 185]);
    assert_eq!(parse(&bytes), Ok(packet));
    let packet = Packet {
        ip: v6(),
        body: Extended::with_headers(vec![], Some(place), body),
    };
    let bytes = emit(&packet);
    assert_eq!(&bytes[40..48], &[17, 0, 5, 0xc9, 0, 0, 0x12, 0x34]);
    assert_eq!(parse(&bytes), Ok(packet));
}

#[test]
fn a_quoted_packet_keeps_its_headers() {
    let options = Bytes::from_static(RECORD_ROUTE);
    let packet = Packet {
        ip: v4(),
        body: Extended::with_options(options.clone(), None, udp(b"abc")),
    };
    let quoted = Quoted::of(&packet);
    assert_eq!(quoted.headers, options);
    assert_eq!(quoted.ports(), Some((7, 9)));
    let headers = vec![header(DESTINATION_OPTIONS, &[17, 0, 1, 4, 0, 0, 0, 0])];
    let packet = Packet {
        ip: v6(),
        body: Extended::with_headers(headers, None, udp(b"abc")),
    };
    let quoted = Quoted::of(&packet);
    assert_eq!((quoted.protocol, quoted.first), (17, DESTINATION_OPTIONS));
    assert_eq!(quoted.ports(), Some((7, 9)));
    let error = crate::IcmpMessage::TimeExceeded {
        code: 1,
        original: alloc::boxed::Box::new(quoted),
    };
    let error = Packet {
        ip: v6(),
        body: Body::Icmp(error),
    };
    let bytes = emit(&error);
    assert_eq!(parse(&bytes), Ok(error));
    assert_eq!(&bytes[48..], emit(&packet));
}

#[test]
fn a_chain_that_is_cut_short_is_refused() {
    let mut bytes = emit(&Packet {
        ip: v6(),
        body: Extended::with_headers(
            vec![header(HOP_OPTIONS, &[0, 0, 1, 4, 0, 0, 0, 0])],
            None,
            Body::Other {
                protocol: 59,
                payload: Bytes::new(),
            },
        ),
    });
    bytes[41] = 1;
    assert_eq!(parse(&bytes), Err(ParseError::Ip));
}

proptest! {
    #[test]
    fn any_chain_is_taken_or_refused(kind in 0u8..64, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(body) = parse_chain(&v6(), kind, &bytes) {
            // Its transport's length may say less than there is; never more.
            prop_assert!(body.wire_len() <= bytes.len());
        }
        if let Some((_, at)) = skip_chain(kind, &bytes) {
            prop_assert!(at <= bytes.len());
        }
    }

    #[test]
    fn any_bytes_behind_a_version(first in 0x40u8..0x70, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut packet: Vec<u8> = vec![first];
        packet.extend(bytes);
        let _ = parse(&packet);
    }
}
