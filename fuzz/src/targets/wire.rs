//! `wire::parse` on any bytes: no panic; what parses is emitted and parsed as the same packet.

use crate::{Source, model, note};
use switchboard_wire::{Body, Packet, SackList, SeqNum, emit, parse};

pub(crate) fn target(data: &[u8]) {
    check(data);
    // Random bytes have no right checksum; with one they get further.
    let mut right = data.to_vec();
    if fix_checksums(&mut right) {
        check(&right);
    }
}

/// A packet as it should be.
pub(crate) fn seed(data: &[u8]) -> Vec<u8> {
    emit(&model::packet(&mut Source::new(data), &[], SeqNum(1)))
}

fn check(data: &[u8]) {
    let packet = match parse(data) {
        Ok(packet) => packet,
        Err(error) => return note(format!("{error:?}")),
    };
    note((packet.ip.is_v6(), packet.protocol(), packet.wire_len() / 64));
    if let Body::Tcp(tcp) = &packet.body {
        let options = &tcp.options;
        note((
            options.mss.is_some(),
            options.window_scale.is_some(),
            options.sack.len(),
        ));
        note((
            tcp.flags.bits(),
            options.timestamps.is_some(),
            options.sack_permitted,
        ));
    }
    if let Body::Icmp(icmp) = &packet.body {
        note((
            std::mem::discriminant(icmp),
            icmp.original().map(|quoted| quoted.protocol),
        ));
        let _ = icmp
            .original()
            .map(|quoted| (quoted.ports(), quoted.tcp_seq()));
        let _ = icmp.is_error(packet.ip.is_v6());
    }
    let bytes = emit(&packet);
    assert_eq!(bytes.len(), packet.wire_len());
    let again = parse(&bytes).expect("what was emitted parses");
    assert_eq!(again, as_emitted(packet));
}

/// `emit`'s layout pads options as Linux does: SACK blocks that were packed tighter may not fit.
fn as_emitted(mut packet: Packet) -> Packet {
    if let Body::Tcp(tcp) = &mut packet.body {
        let others = tcp.options.wire_len() - sack_len(&tcp.options);
        let fit = 40_usize.saturating_sub(others + 4) / 8;
        let mut sack = SackList::new();
        for (left, right) in tcp.options.sack.iter().take(fit) {
            let _ = sack.push(left, right);
        }
        tcp.options.sack = sack;
    }
    packet
}

fn sack_len(options: &switchboard_wire::TcpOptions) -> usize {
    let mut without = *options;
    without.sack = SackList::new();
    options.wire_len() - without.wire_len()
}

fn sum(bytes: &[u8], mut sum: u32) -> u16 {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Writes right checksums where the headers are plain enough to say where they are.
fn fix_checksums(data: &mut [u8]) -> bool {
    let (start, end, protocol, addresses) = match data.first().map(|byte| byte >> 4) {
        Some(4) if data.len() >= 20 => {
            let start = usize::from(data[0] & 15) * 4;
            let end = usize::from(u16::from_be_bytes([data[2], data[3]])).min(data.len());
            if start < 20 || start > end {
                return false;
            }
            data[10..12].fill(0);
            let check = sum(&data[..start], 0);
            data[10..12].copy_from_slice(&check.to_be_bytes());
            (start, end, data[9], 12..20)
        }
        Some(6) if data.len() >= 40 => {
            let end = 40 + usize::from(u16::from_be_bytes([data[4], data[5]]));
            (40, end.min(data.len()), data[6], 8..40)
        }
        _ => return false,
    };
    let (at, pseudo) = match protocol {
        6 => (16, true),
        17 => (6, true),
        1 => (2, false),
        58 => (2, true),
        _ => return true,
    };
    let len = end - start;
    if len < at + 2 {
        return true;
    }
    data[start + at..start + at + 2].fill(0);
    let mut carry = 0;
    if pseudo {
        carry = u32::from(!sum(&data[addresses], 0)) + u32::from(protocol) + len as u32;
    }
    let check = sum(&data[start..end], carry);
    data[start + at..start + at + 2].copy_from_slice(&check.to_be_bytes());
    true
}
