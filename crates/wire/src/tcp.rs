//! TCP segments as values.

use core::fmt;

use crate::{Payload, SeqNum};

bitflags::bitflags! {
    /// The control bits of a TCP header (RFC 9293, 3.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TcpFlags: u16 {
        /// No more data from the sender.
        const FIN = 1;
        /// Synchronize sequence numbers.
        const SYN = 1 << 1;
        /// Reset the connection.
        const RST = 1 << 2;
        /// Push.
        const PSH = 1 << 3;
        /// The acknowledgment field is significant.
        const ACK = 1 << 4;
        /// The urgent pointer is significant.
        const URG = 1 << 5;
        /// ECN echo (RFC 3168).
        const ECE = 1 << 6;
        /// Congestion window reduced (RFC 3168).
        const CWR = 1 << 7;
        /// Accurate ECN (RFC 9768), formerly the nonce sum.
        const AE = 1 << 8;
    }
}

/// The signature of RFC 2385 with the two bytes that pad it.
pub(crate) const MD5_LEN: usize = 20;

/// One TCP segment. Inside a host it may be larger than the MSS, as a GSO packet is in Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSegment {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first octet, or of the SYN.
    pub seq: SeqNum,
    /// The next sequence number expected; counts when `ACK` is set.
    pub ack: SeqNum,
    /// The control bits.
    pub flags: TcpFlags,
    /// The window field as it is on the wire, not scaled.
    pub window: u16,
    /// Urgent pointer; counts when `URG` is set.
    pub urgent: u16,
    /// The options.
    pub options: TcpOptions,
    /// The data.
    pub payload: Payload,
    /// Not 0: the data is that of several segments, each of this size but for the last (gso_size). Never on a wire.
    pub gso: u16,
}

/// The options of a segment. Options that are not named here are dropped when parsing.
///
/// A TCP header has room for 40 bytes of options: all of a SYN's (19 bytes), or timestamps and three SACK blocks. What
/// does not fit is left out by `emit`, SACK blocks from the end first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size (RFC 9293, 3.7.1); on SYN only.
    pub mss: Option<u16>,
    /// Window scale shift (RFC 7323, 2.2); on SYN only.
    pub window_scale: Option<u8>,
    /// SACK permitted (RFC 2018, 2); on SYN only.
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323, 3.2).
    pub timestamps: Option<Timestamps>,
    /// SACK blocks (RFC 2018, 3).
    pub sack: SackList,
    /// Fast Open (RFC 7413, 4.1.1); on SYN only.
    pub fastopen: Option<FastOpenCookie>,
    /// A signature (RFC 2385).
    pub md5: Option<[u8; 16]>,
}

/// A Fast Open cookie of 4 to 16 bytes, or of none: the request for one (RFC 7413, 4.1.1).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FastOpenCookie {
    bytes: [u8; 16],
    len: u8,
}

impl FastOpenCookie {
    /// The request for a cookie.
    pub const REQUEST: FastOpenCookie = FastOpenCookie {
        bytes: [0; 16],
        len: 0,
    };

    /// The cookie of these bytes, of which there are an even number from 4 to 16; none are a request.
    pub fn new(bytes: &[u8]) -> Option<FastOpenCookie> {
        let fits = bytes.is_empty() || (4..=16).contains(&bytes.len());
        if !fits || !bytes.len().is_multiple_of(2) {
            return None;
        }
        let mut cookie = FastOpenCookie::REQUEST;
        cookie.bytes[..bytes.len()].copy_from_slice(bytes);
        cookie.len = bytes.len() as u8;
        Some(cookie)
    }

    /// The cookie's bytes; empty in a request.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether a cookie is asked for.
    pub const fn is_request(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for FastOpenCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_bytes())
    }
}

/// The timestamps option (RFC 7323, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the clock value that is echoed.
    pub echo: u32,
}

/// Up to four SACK blocks: (left edge, right edge), the right edge being the first octet not received.
#[derive(Clone, Copy, Default)]
pub struct SackList {
    blocks: [(SeqNum, SeqNum); 4],
    len: u8,
}

impl TcpSegment {
    /// Length in sequence space: data, SYN and FIN (RFC 9293, 3.4).
    #[inline]
    pub fn seq_len(&self) -> u32 {
        self.payload.len() as u32
            + u32::from(self.flags.contains(TcpFlags::SYN))
            + u32::from(self.flags.contains(TcpFlags::FIN))
    }

    /// How many segments it stands for (gso_segs).
    #[inline]
    pub fn segments(&self) -> u32 {
        match usize::from(self.gso) {
            0 => 1,
            size => self.payload.len().div_ceil(size).max(1) as u32,
        }
    }

    /// Length of the header with its options on the wire.
    #[inline]
    pub fn header_len(&self) -> usize {
        20 + self.options.wire_len()
    }
}

impl TcpOptions {
    /// Room for options in a TCP header: a data offset of 15 words less the fixed 20 bytes.
    pub const MAX_LEN: usize = 40;

    /// Length on the wire, padded to whole words, as Linux lays options out.
    #[inline]
    pub fn wire_len(&self) -> usize {
        let mut len = 0;
        if self.md5.is_some() {
            len += MD5_LEN;
        }
        if self.mss.is_some() {
            len += 4;
        }
        // Linux puts "SACK permitted" into the two bytes that would pad the timestamps (tcp_options_write).
        if self.timestamps.is_some() {
            len += 12;
        } else if self.sack_permitted {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        if let Some(cookie) = &self.fastopen {
            len += (2 + cookie.as_bytes().len()).next_multiple_of(4);
        }
        if !self.sack.is_empty() {
            let sack = self.sack_blocks_that_fit(len);
            if sack > 0 {
                len += 4 + 8 * sack;
            }
        }
        len
    }

    /// How many SACK blocks there is room for after `used` bytes of other options.
    pub(crate) fn sack_blocks_that_fit(&self, used: usize) -> usize {
        (Self::MAX_LEN.saturating_sub(used + 4) / 8).min(self.sack.len())
    }
}

impl SackList {
    /// No block.
    pub const fn new() -> SackList {
        SackList {
            blocks: [(SeqNum(0), SeqNum(0)); 4],
            len: 0,
        }
    }

    /// Number of blocks.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no block.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a block; false when there are four already.
    pub fn push(&mut self, left: SeqNum, right: SeqNum) -> bool {
        let at = self.len();
        let Some(slot) = self.blocks.get_mut(at) else {
            return false;
        };
        *slot = (left, right);
        self.len += 1;
        true
    }

    /// The blocks in order.
    #[inline]
    pub fn as_slice(&self) -> &[(SeqNum, SeqNum)] {
        &self.blocks[..self.len()]
    }

    /// The blocks in order.
    pub fn iter(&self) -> impl Iterator<Item = (SeqNum, SeqNum)> + '_ {
        self.as_slice().iter().copied()
    }
}

impl PartialEq for SackList {
    fn eq(&self, other: &SackList) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SackList {}

impl fmt::Debug for SackList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests;
