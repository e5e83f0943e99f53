use super::*;

#[test]
fn syn_options_take_twenty_bytes_as_in_linux() {
    let options = TcpOptions {
        mss: Some(65495),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 1, echo: 0 }),
        sack: SackList::new(),
        fastopen: None,
        md5: None,
    };
    assert_eq!(options.wire_len(), 20);
    // Linux's cookies have 8 bytes; kind, length and padding make it 12.
    let fastopen = FastOpenCookie::new(&[7; 8]);
    assert_eq!(
        TcpOptions {
            fastopen,
            ..options
        }
        .wire_len(),
        32
    );
}

#[test]
fn timestamps_leave_room_for_three_sack_blocks() {
    let mut options = TcpOptions {
        timestamps: Some(Timestamps { value: 1, echo: 0 }),
        ..Default::default()
    };
    for n in 0..4 {
        assert!(options.sack.push(SeqNum(n * 10), SeqNum(n * 10 + 5)));
    }
    assert!(!options.sack.push(SeqNum(90), SeqNum(95)));
    assert_eq!(options.wire_len(), 12 + 4 + 24);
    options.timestamps = None;
    assert_eq!(options.wire_len(), 4 + 32);
}

#[test]
fn sequence_length_counts_syn_and_fin() {
    let segment = TcpSegment {
        src_port: 1,
        dst_port: 2,
        seq: SeqNum(0),
        ack: SeqNum(0),
        flags: TcpFlags::SYN | TcpFlags::FIN,
        window: 0,
        urgent: 0,
        options: TcpOptions::default(),
        payload: Payload::from(&b"abc"[..]),
        gso: 0,
    };
    assert_eq!(segment.seq_len(), 5);
    assert_eq!(segment.header_len(), 20);
}

#[test]
fn cookies_have_four_to_sixteen_bytes_or_none() {
    // RFC 7413, 4.1.1.
    for len in 0..20 {
        let right = len == 0 || ((4..=16).contains(&len) && len % 2 == 0);
        assert_eq!(
            FastOpenCookie::new(&[1; 20][..len]).is_some(),
            right,
            "{len}"
        );
    }
}
