//! A bit that is not what it was.

use switchboard_wire::{Body, Frame, FrameBody, Packet, emit, parse, parse_body};

use crate::Random;

/// [`corrupt`] of what a frame carries; its addresses are left alone.
pub(crate) fn corrupt_frame(random: &mut Random, frame: Frame) -> Option<Frame> {
    let ethertype = frame.ethertype();
    let body = match frame.body {
        FrameBody::Ip(packet) => FrameBody::Ip(corrupt(random, packet)?),
        _ => {
            let mut bytes = frame.payload().to_vec();
            if !bytes.is_empty() {
                let at = random.below(bytes.len() as u32) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            FrameBody::parse(ethertype, &bytes)
        }
    };
    Some(Frame { body, ..frame })
}

/// netem's `corrupt`: one bit of the packet's bytes changes. What comes of it is what a host would see: its checksums
/// decide. `None` when no host would take it for a packet any more.
pub(crate) fn corrupt(random: &mut Random, packet: Packet) -> Option<Packet> {
    let mut bytes = emit(&packet);
    let at = random.below(bytes.len() as u32) as usize;
    bytes[at] ^= 1 << random.below(8);
    let known = matches!(
        packet.body,
        Body::Tcp(_) | Body::Udp(_) | Body::Icmp(_) | Body::Other { .. }
    );
    match bytes.len().checked_sub(packet.body.wire_len()) {
        // A wrong header checksum (IPv4), another version, another length; in IPv6 addresses and hop limit may pass.
        Some(header) if at < header || !known => parse(&bytes).ok(),
        Some(header) => {
            let protocol = packet.protocol();
            let payload = bytes.split_off(header);
            // A transport that cannot be read is the receiving host's to refuse, and to count.
            let body = parse_body(&packet.ip, protocol, &payload).unwrap_or(Body::Other {
                protocol,
                payload: payload.into(),
            });
            Some(Packet { body, ..packet })
        }
        None => None,
    }
}

#[cfg(test)]
mod tests;
