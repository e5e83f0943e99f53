//! Packets as raw sockets, packet sockets and error queues give them: some of their numbers are chance's.

/// An Ethernet header as the loopback device has it, but for the type.
const LINK: [u8; 12] = [0; 12];
/// Protocols, and next headers of IPv6.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const UDP_LITE: u8 = 136;
const FRAGMENT: u8 = 44;

/// Hides what chance chose of the packet that `data` begins with, if there is one. It may be cut.
pub(super) fn hide(data: &mut [u8]) {
    match data {
        // An ICMP echo: checksum and identifier. A frame from the error queue begins with zeros.
        [0 | 128 | 129, 0, number @ ..] if data_is_no_frame(number) => {
            let end = number.len().min(4);
            number[..end].fill(0);
        }
        // An ICMPv6 error, which a raw socket hears without a header.
        [1..=4, _, _, _, _, _, _, _, 0x60, ..] => hide_transport(ICMPV6, data),
        // What a raw socket of IPv4 hears. Data that is sent has small letters only.
        [0x45, ..] => hide_packet(data),
        _ => {
            if let Some((head, packet)) = data.split_at_mut_checked(14)
                && head[..12] == LINK
                && matches!(head[12..], [0x08, 0x00] | [0x86, 0xdd])
            {
                hide_packet(packet);
            }
        }
    }
}

/// Whether what follows two bytes is not the rest of a link header.
fn data_is_no_frame(rest: &[u8]) -> bool {
    rest.iter().take(10).any(|byte| *byte != 0)
}

/// Hides identification, flow label and header checksum, and what is chance's behind them.
fn hide_packet(packet: &mut [u8]) {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            blank(packet, &[4..6, 10..12]);
            let behind = usize::from(packet[0] & 15) * 4;
            let offset = [packet.get(6).map_or(0, |byte| byte & 0x1f), at(packet, 7)];
            if offset == [0, 0] && packet.len() > behind {
                hide_transport(at(packet, 9), &mut packet[behind..]);
            }
        }
        Some(6) => {
            blank(packet, std::slice::from_ref(&(1..4)));
            let (mut next, mut behind) = (at(packet, 6), 40);
            // Hop-by-hop options, routing header, fragment header, destination options.
            while matches!(next, 0 | 43 | FRAGMENT | 60) && packet.len() > behind + 8 {
                let header = &mut packet[behind..];
                let (follows, len) = (header[0], usize::from(header[1]));
                if next == FRAGMENT {
                    blank(header, std::slice::from_ref(&(4..8)));
                    if [header[2], header[3] & 0xf8] != [0, 0] {
                        return;
                    }
                    behind += 8;
                } else {
                    behind += (len + 1) * 8;
                }
                next = follows;
            }
            if packet.len() > behind {
                hide_transport(next, &mut packet[behind..]);
            }
        }
        _ => {}
    }
}

/// Hides ports and checksums; of TCP numbers, windows and times; of an ICMP error what it quotes.
fn hide_transport(protocol: u8, data: &mut [u8]) {
    match (protocol, at(data, 0)) {
        (TCP, _) => blank(data, &[0..12, 14..18, 24..32]),
        (UDP | UDP_LITE, _) => blank(data, &[0..4, 6..8]),
        (ICMP, 3 | 4 | 5 | 11 | 12) | (ICMPV6, 1..=4) => {
            blank(data, std::slice::from_ref(&(2..4)));
            if let Some(quoted) = data.get_mut(8..) {
                hide_packet(quoted);
            }
        }
        (ICMP | ICMPV6, _) => blank(data, std::slice::from_ref(&(2..6))),
        _ => {}
    }
}

fn at(data: &[u8], index: usize) -> u8 {
    data.get(index).copied().unwrap_or(0)
}

fn blank(data: &mut [u8], ranges: &[std::ops::Range<usize>]) {
    for index in ranges.iter().cloned().flatten() {
        if let Some(byte) = data.get_mut(index) {
            *byte = 0;
        }
    }
}
