use alloc::vec::Vec;

use super::*;
use crate::testing::packet;

/// The blocks of a file: type and body.
fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let len = word(&file[4..]) as usize;
        assert_eq!(len % 4, 0);
        assert_eq!(word(&file[len - 4..]) as usize, len);
        blocks.push((word(file), file[8..len - 4].to_vec()));
        file = &file[len..];
    }
    blocks
}

#[test]
fn a_file_is_made_of_blocks() {
    let mut file = capture_header(&["eth0", "lo"]);
    let sent = packet(7, 129);
    let at = Duration::new(1_735_689_600, 123_456_789);
    file.extend(capture_packet(
        1,
        at,
        Seen::Outbound,
        &sent,
        Some("by curl"),
    ));
    let blocks = blocks(&file);
    let kinds: Vec<u32> = blocks.iter().map(|block| block.0).collect();
    assert_eq!(kinds, [SECTION_HEADER, 1, 1, 6]);
    assert!(blocks[1].1.windows(4).any(|name| name == b"eth0"));
    let body = &blocks[3].1;
    let word = |n: usize| u32::from_le_bytes(body[n * 4..][..4].try_into().unwrap());
    let nanos = u64::from(word(1)) << 32 | u64::from(word(2));
    assert_eq!((word(0), u128::from(nanos)), (1, at.as_nanos()));
    assert_eq!((word(3), word(4)), (129, 129));
    assert_eq!(body[20..149], emit(&sent));
    // Three bytes of padding, then the options.
    assert_eq!(body[152..160], [2, 0, 4, 0, 2, 0, 0, 0]);
    assert_eq!(&body[164..171], b"by curl");
    assert_eq!(body[body.len() - 4..], [0; 4]);
}

#[test]
fn what_no_header_can_say_is_shown_as_two() {
    let ip = |text: &str| text.parse().unwrap();
    let sent = Packet {
        ip: switchboard_wire::IpHeader::new(ip("::1"), ip("::1")),
        body: Body::Tcp(switchboard_wire::TcpSegment {
            src_port: 1,
            dst_port: 2,
            seq: switchboard_wire::SeqNum(u32::MAX - 5),
            ack: switchboard_wire::SeqNum(1),
            flags: TcpFlags::ACK | TcpFlags::PSH,
            window: 100,
            urgent: 0,
            options: Default::default(),
            payload: alloc::vec![7; 65_537].into(),
            gso: 0,
        }),
    };
    let file = capture_packet(0, Duration::ZERO, Seen::Inbound, &sent, None);
    let mut total = 0;
    for (_, body) in blocks(&file) {
        let len = u32::from_le_bytes(body[12..16].try_into().unwrap()) as usize;
        let packet = switchboard_wire::parse(&body[20..20 + len]).unwrap();
        let Body::Tcp(tcp) = packet.body else {
            panic!()
        };
        assert_eq!(tcp.seq.0, (u32::MAX - 5).wrapping_add(total));
        assert_eq!(tcp.flags.contains(TcpFlags::PSH), total > 0);
        total += tcp.payload.len() as u32;
    }
    assert_eq!(total, 65_537);
}
