use super::*;
use crate::{Body, IpHeader, UdpDatagram};

fn link() -> Ethernet {
    Ethernet {
        dst: Mac::BROADCAST,
        src: Mac([2, 0, 0, 0, 0, 1]),
    }
}

#[test]
fn frames_come_back_as_they_went() {
    let arp = Arp {
        operation: Arp::REQUEST,
        sender: (link().src, [10, 0, 0, 1].into()),
        target: (Mac::ZERO, [10, 0, 0, 2].into()),
    };
    let packet = Packet {
        ip: IpHeader::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
        body: Body::Udp(UdpDatagram {
            src_port: 1,
            dst_port: 2,
            payload: Bytes::from_static(b"abc").into(),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    };
    let other = FrameBody::Other {
        ethertype: 0x88b5,
        payload: Bytes::from_static(b"xyz"),
    };
    for body in [FrameBody::Arp(arp), FrameBody::Ip(packet), other] {
        let frame = Frame {
            link: Some(link()),
            body,
        };
        let mut bytes = frame.emit();
        assert_eq!(bytes.len(), Ethernet::LEN + frame.wire_len());
        assert_eq!(Frame::parse(&bytes), Some(frame.clone()));
        if !matches!(frame.body, FrameBody::Other { .. }) {
            // A short frame is padded on the wire.
            bytes.resize(60, 0);
            assert_eq!(Frame::parse(&bytes), Some(frame));
        }
    }
    assert_eq!(Frame::parse(&[0; 13]), None);
}

#[test]
fn what_is_no_ip_packet_stays_bytes() {
    // IPv6 in a frame that says IPv4.
    let mut bytes = [0; 60];
    bytes[12..15].copy_from_slice(&[8, 0, 0x60]);
    let frame = Frame::parse(&bytes).unwrap();
    assert!(matches!(
        frame.body,
        FrameBody::Other {
            ethertype: 0x0800,
            ..
        }
    ));
}

#[test]
fn groups_have_hardware_addresses() {
    let of = |group: &str| Mac::of_group(group.parse().unwrap());
    assert_eq!(of("239.129.2.3"), Mac([1, 0, 0x5e, 1, 2, 3]));
    assert_eq!(of("255.255.255.255"), Mac::BROADCAST);
    assert_eq!(of("10.0.0.255"), Mac::BROADCAST);
    assert_eq!(
        of("ff02::1:ff12:3456").0,
        [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]
    );
    let own = Mac([0x02, 0x12, 0x34, 0x56, 0x78, 0x9a]).link_local();
    assert_eq!(own, "fe80::12:34ff:fe56:789a".parse::<Ipv6Addr>().unwrap());
}
