//! What an error queue gives back of a packet that was sent: some of its numbers are chance's.

/// An Ethernet header as the loopback device has it, but for the type.
const LINK: [u8; 12] = [0; 12];

/// Hides what chance chose of the packet that `data` begins with, if there is one. It may be cut.
pub(super) fn hide(data: &mut [u8]) {
    match data {
        // An ICMP echo reply: checksum and identifier. A frame from the error queue begins with zeros.
        [0 | 129, 0, number @ ..] if data_is_no_frame(number) => {
            let end = number.len().min(4);
            number[..end].fill(0);
        }
        // What a raw socket of IPv4 hears: identification and checksum. Data that is sent has small letters only.
        [0x45, _, _, _, rest @ ..] => {
            for at in [0, 1, 6, 7] {
                if let Some(byte) = rest.get_mut(at) {
                    *byte = 0;
                }
            }
        }
        _ => hide_frame(data),
    }
}

/// Whether what follows two bytes is not the rest of a link header.
fn data_is_no_frame(rest: &[u8]) -> bool {
    rest.iter().take(10).any(|byte| *byte != 0)
}

/// Hides ports, identification, flow label and checksums, and of TCP numbers, windows and times, if `data` begins with a frame. It may be cut.
fn hide_frame(data: &mut [u8]) {
    let Some((head, packet)) = data.split_at_mut_checked(14) else {
        return;
    };
    let (link, kind) = head.split_at(12);
    let hidden: &[_] = match kind {
        _ if link != LINK => &[],
        [0x08, 0x00] if packet.get(9) == Some(&6) => &[4..6, 10..12, 20..32, 34..38, 44..52],
        [0x86, 0xdd] if packet.get(6) == Some(&6) => &[1..4, 40..52, 54..58, 64..72],
        [0x08, 0x00] => &[4..6, 10..12, 20..24, 26..28],
        [0x86, 0xdd] => &[1..4, 40..44, 46..48],
        _ => &[],
    };
    for range in hidden {
        for at in range.clone() {
            if let Some(byte) = packet.get_mut(at) {
                *byte = 0;
            }
        }
    }
}
