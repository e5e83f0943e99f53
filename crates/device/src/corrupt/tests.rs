use switchboard_wire::{SeqNum, TcpFlags, TcpSegment};

use super::*;
use crate::testing::{packet, random};

#[test]
fn one_bit_changes_and_the_checksum_sees_it() {
    let (mut random, packet) = (random(5), packet(7, 1000));
    let before = emit(&packet);
    let (mut bad, mut unreadable) = (0, 0);
    for _ in 0..2000 {
        match corrupt(&mut random, packet.clone()) {
            Some(changed) => {
                let Body::Other { payload, .. } = &changed.body else {
                    panic!("a checksum did not see {changed:?}");
                };
                let differing = payload.iter().zip(&before[20..]);
                let bits: u32 = differing.map(|(a, b)| (a ^ b).count_ones()).sum();
                assert_eq!(bits, 1);
                assert!(parse_body(&changed.ip, 17, payload).is_err());
                bad += 1;
            }
            None => unreadable += 1,
        }
    }
    // The header is a fiftieth of the packet, and its checksum leaves nothing of it.
    assert!((10..100).contains(&unreadable), "{unreadable}");
    assert_eq!(bad + unreadable, 2000);
}

#[test]
fn without_a_checksum_it_arrives_as_it_is() {
    let mut random = random(6);
    let mut sent = packet(7, 1000);
    if let Body::Udp(udp) = &mut sent.body {
        udp.unsummed = true;
    }
    let arrived = (0..100)
        .filter_map(|_| corrupt(&mut random, sent.clone()))
        .filter(|changed| matches!(&changed.body, Body::Udp(udp) if udp.payload.len() == 972));
    assert!(arrived.count() > 80);
}

#[test]
fn of_ipv6_and_tcp_something_is_left_too() {
    let mut random = random(7);
    let sent = Packet {
        ip: switchboard_wire::IpHeader::new("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap()),
        body: Body::Tcp(TcpSegment {
            src_port: 1,
            dst_port: 2,
            seq: SeqNum(1),
            ack: SeqNum(1),
            flags: TcpFlags::ACK,
            window: 100,
            urgent: 0,
            options: Default::default(),
            payload: Default::default(),
            gso: 0,
        }),
    };
    for _ in 0..2000 {
        if let Some(changed) = corrupt(&mut random, sent.clone()) {
            // Only what no checksum covers may pass as a segment.
            let same = Packet {
                ip: sent.ip,
                ..changed.clone()
            };
            assert!(
                same == sent || matches!(changed.body, Body::Other { .. }),
                "{changed:?}"
            );
        }
    }
}
