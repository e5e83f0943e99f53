//! PACKET_TX_RING: frames to be sent, in memory that a program shares (Documentation/networking/packet_mmap.rst).
//!
//! # Theory of operation
//! The ring has slots of one size in every version. The program fills a slot, says so in its status, and calls send(2), which takes the
//! slots from where the last call ended, up to the first that is not asked for. A frame has left by the time the call returns, so its slot is
//! the program's again at once.
//!
//! A slot that cannot be sent ends the call with its error and is marked as wrong; with PACKET_LOSS it is skipped.

use super::memory::RingMemory;
use super::ring::{NAME, Request, Shape};
use super::{LINK, PacketSocket};
use alloc::sync::Arc;
use alloc::vec;
use bytes::Bytes;
use switchboard_abi::Errno;

/// `TP_STATUS_*` of a ring to send by.
const AVAILABLE: u32 = 0;
const SEND_REQUEST: u32 = 1;
const WRONG_FORMAT: u32 = 4;
/// `VLAN_HLEN`, which a frame may be longer than the interface's packets.
const VLAN: usize = 4;

#[derive(Debug)]
pub(crate) struct TxRing {
    memory: Arc<dyn RingMemory>,
    request: Request,
    shape: Shape,
    /// The next slot.
    head: usize,
}

/// Part of a memory that has another ring in front.
#[derive(Debug)]
struct Behind(Arc<dyn RingMemory>, usize);

impl RingMemory for Behind {
    fn read(&self, at: usize, out: &mut [u8]) {
        self.0.read(self.1 + at, out);
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        self.0.write(self.1 + at, bytes);
    }
}

/// What decides how a slot is read.
#[derive(Clone, Copy)]
pub(super) struct Sending {
    pub(super) mtu: usize,
    /// SOCK_DGRAM: the link header is the layer's to write.
    pub(super) dgram: bool,
    /// PACKET_TX_HAS_OFF
    pub(super) has_off: bool,
}

/// A slot that is to be sent.
pub(super) struct Slot {
    at: usize,
    /// The frame, or why it cannot be sent.
    pub(super) frame: Result<Bytes, Errno>,
}

impl TxRing {
    fn word(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        self.memory.read(at, &mut bytes);
        u32::from_ne_bytes(bytes)
    }

    /// Where a slot has its status, the length, and `tp_mac` with `tp_net` behind it.
    fn places(&self) -> (usize, usize, usize) {
        [(0, 8, 16), (0, 4, 12), (20, 16, 24)][self.shape.version as usize]
    }

    fn set_status(&self, slot: usize, status: u32) {
        let at = slot + self.places().0;
        // `unsigned long` in the first version.
        let len = if self.shape.version == 0 { 8 } else { 4 };
        let status = u64::from(status).to_ne_bytes();
        self.memory.write(at, &status[..len]);
    }

    /// packet_current_frame(): the next slot, if it is asked for.
    pub(super) fn next(&self, sending: Sending) -> Option<Slot> {
        let at = self.shape.slot(self.head);
        (self.word(at + self.places().0) == SEND_REQUEST).then(|| Slot {
            at,
            frame: self.read(at, sending),
        })
    }

    /// tpacket_parse_header() and tpacket_fill_skb(): the length is the program's to say, so it is looked at once.
    fn read(&self, slot: usize, sending: Sending) -> Result<Bytes, Errno> {
        let (_, length_at, mac_at) = self.places();
        if self.shape.version == 2 && self.word(slot) != 0 {
            // tp_next_offset: "variable sized slot not supported"
            return Err(Errno::EINVAL);
        }
        let len = self.word(slot + length_at) as usize;
        let reserve = if sending.dgram { 0 } else { LINK };
        let header = Shape::tp_hdrlen(self.shape.version) - NAME;
        let most = (self.shape.frame_size - header).min(sending.mtu + reserve + VLAN);
        if len > most || len > i32::MAX as usize {
            return Err(Errno::EMSGSIZE);
        }
        let mut start = header;
        if sending.has_off {
            let offsets = self.word(slot + mac_at).to_ne_bytes();
            let half = if sending.dgram { 2 } else { 0 };
            start = usize::from(u16::from_ne_bytes([offsets[half], offsets[half + 1]]));
            if start < header || start > self.shape.frame_size.saturating_sub(len) {
                return Err(Errno::EINVAL);
            }
        }
        if len > sending.mtu + reserve {
            // Longer by a VLAN's header, of which there is none.
            return Err(Errno::EMSGSIZE);
        }
        if !sending.dgram && len < LINK {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; len];
        self.memory.read(slot + start, &mut bytes);
        Ok(bytes.into())
    }

    fn advance(&mut self) {
        self.head = (self.head + 1) % self.shape.frames;
    }

    /// The slot's frame has left, or is skipped (PACKET_LOSS).
    pub(super) fn sent(&mut self, slot: &Slot) {
        self.set_status(slot.at, AVAILABLE);
        self.advance();
    }

    /// The slot stays where the next call begins.
    pub(super) fn refuse(&self, slot: &Slot) {
        self.set_status(slot.at, WRONG_FORMAT);
    }

    pub(super) fn frames(&self) -> usize {
        self.shape.frames
    }
}

impl PacketSocket {
    fn bytes_of(request: &Request) -> usize {
        request.block_size as usize * request.blocks as usize
    }

    /// packet_set_ring(), of what is sent. A ring for what comes is made anew in front of it: mmap(2) maps both.
    pub(crate) fn set_tx_ring(
        &mut self,
        request: Option<&Request>,
        make: super::memory::MakeRing,
    ) -> Result<(), Errno> {
        let version = self.options.version;
        let Some(request) = request else {
            self.sending = None;
            self.both = None;
            return Ok(());
        };
        let own = request.check(version, self.options.reserve)?;
        if version == 2 && (request.retire, request.private, request.features) != (0, 0, 0) {
            // "Block transmit is not supported yet"
            return Err(Errno::EINVAL);
        }
        let front = self.ring.as_ref().map_or(0, |ring| ring.len());
        let whole = make(front + own).ok_or(Errno::ENOMEM)?;
        let memory: Arc<dyn RingMemory> = match &mut self.ring {
            None => whole,
            Some(ring) => {
                ring.move_to(whole.clone())?;
                self.both = Some(whole.clone());
                Arc::new(Behind(whole, front))
            }
        };
        self.sending = Some(alloc::boxed::Box::new(TxRing {
            memory,
            request: *request,
            shape: request.shape(version, self.options.reserve),
            head: 0,
        }));
        Ok(())
    }

    /// A ring for what comes, in front of one to send by, if there is one.
    pub(crate) fn ring_with_room_behind(
        &mut self,
        len: usize,
        make: super::memory::MakeRing,
    ) -> Option<Arc<dyn RingMemory>> {
        let Some(tx) = &mut self.sending else {
            return make(len);
        };
        let whole = make(len + Self::bytes_of(&tx.request))?;
        tx.memory = Arc::new(Behind(whole.clone(), len));
        tx.head = 0;
        self.both = Some(whole.clone());
        Some(whole)
    }

    /// What mmap(2) of so many bytes maps: all of it, or EINVAL.
    pub(super) fn ring_memory(&self, len: usize) -> Result<Arc<dyn RingMemory>, Errno> {
        let front = self.ring.as_ref().map_or(0, |ring| ring.len());
        let sending = self.sending.as_ref();
        let behind = sending.map_or(0, |tx| Self::bytes_of(&tx.request));
        if front + behind == 0 || len.next_multiple_of(4096) != front + behind {
            return Err(Errno::EINVAL);
        }
        let own = match (&self.ring, sending) {
            (Some(_), Some(_)) => self.both.clone(),
            (Some(ring), None) => Some(ring.whole()),
            // The other one lay in front of it: there is nothing that could be mapped alone.
            (None, _) if self.both.is_some() => None,
            (None, tx) => tx.map(|tx| tx.memory.clone()),
        };
        own.ok_or(Errno::EINVAL)
    }
}
