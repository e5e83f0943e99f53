//! Segments that travel as one: what Linux's GSO packets are.
//!
//! A [`TcpSegment`](crate::TcpSegment) whose `gso` is not 0 stands for several. It is one packet as long as nobody can tell
//! the difference, and becomes the packets of a wire where somebody can (tcp_gso_segment, inet_gso_segment).

use crate::{Body, Frame, FrameBody, Packet, Payload, TcpFlags};

impl Packet {
    /// How many packets it is on a wire.
    #[inline]
    pub fn segments(&self) -> u32 {
        match &self.body {
            Body::Tcp(tcp) => tcp.segments(),
            _ => 1,
        }
    }

    /// Length of the longest packet that it is on a wire: what an MTU is compared with (skb_gso_network_seglen).
    #[inline]
    pub fn longest(&self) -> usize {
        let whole = self.wire_len();
        match &self.body {
            Body::Tcp(tcp) if tcp.gso != 0 => {
                let data = tcp.payload.len();
                whole - data + data.min(tcp.gso.into())
            }
            _ => whole,
        }
    }

    /// Length of all the packets that it is on a wire.
    #[inline]
    pub fn total_len(&self) -> usize {
        let whole = self.wire_len();
        match &self.body {
            Body::Tcp(tcp) if tcp.gso != 0 => {
                whole + (tcp.segments() as usize - 1) * (whole - tcp.payload.len())
            }
            _ => whole,
        }
    }

    /// The packets that it is on a wire.
    pub fn split(mut self) -> impl Iterator<Item = Packet> {
        let (count, mut rest) = (self.segments() as usize, Payload::new());
        if let Body::Tcp(tcp) = &mut self.body
            && count > 1
        {
            rest = core::mem::take(&mut tcp.payload);
        }
        let mut whole = Some(self);
        (0..count).filter_map(move |n| {
            let last = n + 1 == count;
            let mut packet = if last { whole.take()? } else { whole.clone()? };
            if let Body::Tcp(tcp) = &mut packet.body {
                let at = n * usize::from(tcp.gso);
                if count > 1 {
                    tcp.payload = rest.slice(at..at + usize::from(tcp.gso));
                }
                tcp.gso = 0;
                tcp.seq += at as u32;
                if n > 0 {
                    // RFC 3168, 6.1.2: said once.
                    tcp.flags -= TcpFlags::CWR;
                }
                if !last {
                    tcp.flags -= TcpFlags::FIN | TcpFlags::PSH;
                }
                if !packet.ip.is_v6() {
                    packet.ip.ident = packet.ip.ident.wrapping_add(n as u16);
                }
            }
            Some(packet)
        })
    }
}

impl Frame {
    /// How many frames it is on a wire.
    #[inline]
    pub fn segments(&self) -> u32 {
        self.packet().map_or(1, Packet::segments)
    }

    /// [`wire_len`](Self::wire_len) of the longest frame that it is on a wire.
    #[inline]
    pub fn longest(&self) -> usize {
        self.packet()
            .map_or_else(|| self.wire_len(), Packet::longest)
    }

    /// [`wire_len`](Self::wire_len) of all the frames that it is on a wire.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.packet()
            .map_or_else(|| self.wire_len(), Packet::total_len)
    }

    /// The frames that it is on a wire.
    pub fn split(self) -> impl Iterator<Item = Frame> {
        let link = self.link;
        let (packet, other) = match self.body {
            FrameBody::Ip(packet) => (Some(packet), None),
            other => (None, Some(other)),
        };
        let packets = packet.into_iter().flat_map(Packet::split);
        packets
            .map(FrameBody::Ip)
            .chain(other)
            .map(move |body| Frame { link, body })
    }
}

#[cfg(test)]
mod tests;
