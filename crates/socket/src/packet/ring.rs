//! PACKET_RX_RING: frames in memory that a program shares (Documentation/networking/packet_mmap.rst).
//!
//! # Theory of operation
//! In the versions 1 and 2 the ring has slots of one size. A slot is the layer's until its status says otherwise; the program gives it
//! back. Version 3 has blocks, which are filled with frames of any length: one is the program's when it is full, or when its
//! time is over (`tp_retire_blk_tov`). Where the next block is still the program's the ring is *frozen*, and what comes is lost.
//!
//! What the program writes is believed nowhere but for the status words. Offsets and counts are kept here.
//!
//! # Limits
//! A ring has at most [`MOST`] bytes. It may be taken away while it is mapped (Linux: EBUSY), since munmap(2) is not seen.

use super::memory::RingMemory;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_engine::Instant;

/// Bytes of a ring.
const MOST: usize = 256 << 20;
/// PAGE_SIZE, of which a block is a multiple.
const PAGE: u32 = 4096;
/// `TPACKET_ALIGNMENT`, and `V3_ALIGNMENT`.
const ALIGNMENT: usize = 16;
const ALIGNMENT_V3: usize = 8;
/// `sizeof(struct sockaddr_ll)`.
pub(super) const NAME: usize = 20;
/// `struct tpacket_block_desc`, padded.
const BLOCK_HEADER: usize = 48;
/// Where `hdr.bh1` of it begins: block_status, num_pkts, offset_to_first_pkt, blk_len, seq_num, ts_first_pkt, ts_last_pkt.
const BLOCK_STATUS: usize = 8;
/// `DEFAULT_PRB_RETIRE_TOV`, where the speed of the link is not known.
const RETIRE: Duration = Duration::from_millis(8);

/// PACKET_VERSION of a ring of blocks, the last there is.
pub(crate) const BLOCKS: i32 = 2;
/// `struct tpacket_hdr`, `tpacket2_hdr`, `tpacket3_hdr`: their sizes.
pub(crate) const HEADERS: [usize; 3] = [32, 32, 48];
/// `TP_STATUS_*`
const KERNEL: u32 = 0;
pub(super) const USER: u32 = 1;
pub(super) const COPY: u32 = 1 << 1;
const LOSING: u32 = 1 << 2;
const BLOCK_TIMEOUT: u32 = 1 << 5;
pub(super) const TS_SOFTWARE: u32 = 1 << 29;

/// `TP_FT_REQ_FILL_RXHASH`
const FILL_RXHASH: u32 = 1;

/// `struct tpacket_req`, and what `struct tpacket_req3` has more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) block_size: u32,
    pub(crate) blocks: u32,
    pub(crate) frame_size: u32,
    pub(crate) frames: u32,
    /// Milliseconds.
    pub(crate) retire: u32,
    pub(crate) private: u32,
    pub(crate) features: u32,
}

/// A frame for the ring.
pub(super) struct Arrived<'a> {
    pub(super) at: Instant,
    pub(super) status: u32,
    /// The length of the frame.
    pub(super) whole: usize,
    /// Of which this goes in, if there is room.
    pub(super) data: &'a [u8],
    /// The length of its link header; `None`: it has none (SOCK_DGRAM).
    pub(super) link: Option<usize>,
    pub(super) from: [u8; NAME],
    /// Some were lost, and nobody has asked how many.
    pub(super) losing: bool,
    /// `skb_get_hash()`, if [`Ring::wants_hash`].
    pub(super) hash: u32,
}

#[derive(Debug)]
pub(crate) struct Ring {
    memory: Arc<dyn RingMemory>,
    request: Request,
    shape: Shape,
    /// Slots.
    head: usize,
    /// Version 3.
    blocks: Option<Blocks>,
    /// The clock of the host's user when the ring was made.
    clock: (Instant, Duration),
}

/// What does not change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// As PACKET_VERSION has it: 0 to 2.
    pub(super) version: i32,
    reserve: usize,
    block_size: usize,
    blocks: usize,
    pub(super) frame_size: usize,
    pub(super) frames: usize,
}

/// `struct tpacket_kbdq_core`
#[derive(Debug)]
struct Blocks {
    active: usize,
    private: usize,
    retire: Duration,
    sequence: u64,
    /// Where the next frame goes in the active block.
    next: usize,
    last: usize,
    count: u32,
    last_time: (u32, u32),
    frozen: bool,
    /// When the active block, which has something in it, is the program's.
    deadline: Option<Instant>,
    freezes: u32,
}

fn align(n: usize, to: usize) -> usize {
    n.next_multiple_of(to)
}

impl Shape {
    fn header(&self) -> usize {
        HEADERS[self.version as usize]
    }

    /// `po->tp_hdrlen`
    pub(super) fn tp_hdrlen(version: i32) -> usize {
        HEADERS[version as usize] + NAME
    }

    /// Where the frame and its network header stand, from the slot's beginning.
    fn places(&self, link: Option<usize>) -> (usize, usize) {
        let header = Shape::tp_hdrlen(self.version);
        match link {
            None => {
                let at = align(header, ALIGNMENT) + 16 + self.reserve;
                (at, at)
            }
            Some(link) => {
                let net = align(header + link.max(16), ALIGNMENT) + self.reserve;
                (net - link, net)
            }
        }
    }

    pub(super) fn slot(&self, index: usize) -> usize {
        let per_block = self.block_size / self.frame_size;
        index / per_block * self.block_size + index % per_block * self.frame_size
    }
}

impl Request {
    /// packet_set_ring(): the number of bytes, if all of it fits together.
    pub(super) fn check(&self, version: i32, reserve: u32) -> Result<usize, Errno> {
        let block = self.block_size;
        if block as i32 <= 0 || !block.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let least = Shape::tp_hdrlen(version) as u64 + u64::from(reserve);
        let private = BLOCK_HEADER as u64 + u64::from(self.private).next_multiple_of(8);
        if version == BLOCKS && u64::from(block) <= private + least {
            return Err(Errno::EINVAL);
        }
        let frame = self.frame_size;
        if u64::from(frame) < least || !frame.is_multiple_of(ALIGNMENT as u32) {
            return Err(Errno::EINVAL);
        }
        let frames = (block / frame).checked_mul(self.blocks);
        if block < frame || frames != Some(self.frames) {
            return Err(Errno::EINVAL);
        }
        let bytes = block as usize * self.blocks as usize;
        if bytes > MOST {
            return Err(Errno::ENOMEM);
        }
        Ok(bytes)
    }
}

impl Request {
    pub(super) fn shape(&self, version: i32, reserve: u32) -> Shape {
        Shape {
            version,
            reserve: reserve as usize,
            block_size: self.block_size as usize,
            blocks: self.blocks as usize,
            frame_size: self.frame_size as usize,
            frames: self.frames as usize,
        }
    }
}

impl Ring {
    /// A new one. `clock`: the same moment by the layer's clock, and since the epoch.
    pub(crate) fn new(
        request: &Request,
        version: i32,
        reserve: u32,
        clock: (Instant, Duration),
        make: impl FnOnce(usize) -> Option<Arc<dyn RingMemory>>,
    ) -> Result<Ring, Errno> {
        let bytes = request.check(version, reserve)?;
        let mut ring = Ring {
            memory: make(bytes).ok_or(Errno::ENOMEM)?,
            request: *request,
            shape: request.shape(version, reserve),
            head: 0,
            blocks: None,
            clock,
        };
        if version == BLOCKS {
            ring.blocks = Some(Blocks {
                active: 0,
                private: BLOCK_HEADER + align(request.private as usize, 8),
                retire: match request.retire {
                    0 => RETIRE,
                    milliseconds => Duration::from_millis(milliseconds.into()),
                },
                sequence: 1,
                next: 0,
                last: 0,
                count: 0,
                last_time: (0, 0),
                frozen: false,
                deadline: None,
                freezes: 0,
            });
            ring.open(clock.0);
        }
        Ok(ring)
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.shape.block_size * self.shape.blocks
    }

    pub(super) fn whole(&self) -> Arc<dyn RingMemory> {
        self.memory.clone()
    }

    /// The same ring elsewhere, empty.
    pub(super) fn move_to(&mut self, memory: Arc<dyn RingMemory>) -> Result<(), Errno> {
        let Shape {
            version, reserve, ..
        } = self.shape;
        let request = self.request;
        let make = |_| Some(memory);
        *self = Ring::new(&request, version, reserve as u32, self.clock, make)?;
        Ok(())
    }

    /// __tpacket_has_room(), __tpacket_v3_has_room(): what comes next has room, or what comes a quarter of the ring later.
    pub(super) fn has_room(&self, later: bool) -> bool {
        let ahead = |of: usize| if later { of >> 2 } else { 0 };
        let place = match &self.blocks {
            None => {
                let index = (self.head + ahead(self.shape.frames)) % self.shape.frames;
                self.shape.slot(index)
            }
            Some(b) => {
                let index = (b.active + ahead(self.shape.blocks)) % self.shape.blocks;
                index * self.shape.block_size + BLOCK_STATUS
            }
        };
        self.status(place) == KERNEL
    }

    /// packet_poll(): the one before the next has been filled.
    pub(super) fn is_readable(&self) -> bool {
        let place = match &self.blocks {
            None => {
                let before = self.head.checked_sub(1).unwrap_or(self.shape.frames - 1);
                self.shape.slot(before)
            }
            Some(b) => {
                let before = b.active.checked_sub(1).unwrap_or(self.shape.blocks - 1);
                before * self.shape.block_size + BLOCK_STATUS
            }
        };
        self.status(place) != KERNEL
    }

    /// When a block is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.blocks.as_ref()?.deadline
    }

    /// How often it was frozen since this was asked for.
    pub(crate) fn freezes(&self) -> u32 {
        self.blocks.as_ref().map_or(0, |b| b.freezes)
    }

    pub(crate) fn forget_freezes(&mut self) {
        if let Some(b) = &mut self.blocks {
            b.freezes = 0;
        }
    }

    fn status(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        self.memory.read(at, &mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn time(&self, at: Instant) -> (u32, u32) {
        let since = self.clock.1 + at.saturating_sub(self.clock.0);
        (since.as_secs() as u32, since.subsec_nanos())
    }

    /// How much of such a frame has room in a slot, or in an empty block.
    pub(super) fn room(&self, link: Option<usize>) -> usize {
        let most = match &self.blocks {
            None => self.shape.frame_size,
            Some(b) => self.shape.block_size - b.private,
        };
        most.saturating_sub(self.shape.places(link).0)
    }

    /// Whether its frames say which flow they are of.
    pub(super) fn wants_hash(&self) -> bool {
        self.blocks.is_some() && self.request.features & FILL_RXHASH != 0
    }

    /// tpacket_rcv(): whether its reader is to be woken. `None`: there is no room.
    pub(super) fn put(&mut self, frame: &Arrived<'_>) -> Option<bool> {
        let (mac, net) = self.shape.places(frame.link);
        if net > usize::from(u16::MAX) {
            return None;
        }
        let data = &frame.data[..frame.data.len().min(self.room(frame.link))];
        let time = self.time(frame.at);
        if self.blocks.is_some() {
            let (at, woken) = self.place_in_block(frame.at, mac + data.len(), frame.losing)?;
            let next = align(mac + data.len(), ALIGNMENT_V3) as u32;
            let mut out = Vec::with_capacity(mac + data.len());
            for word in [next, time.0, time.1] {
                out.extend_from_slice(&word.to_ne_bytes());
            }
            for word in [data.len() as u32, frame.whole as u32, frame.status] {
                out.extend_from_slice(&word.to_ne_bytes());
            }
            push_rest(&mut out, (mac, net), self.shape.header(), frame, data);
            self.memory.write(at, &out);
            if let Some(b) = &mut self.blocks {
                b.last_time = time;
            }
            return Some(woken);
        }
        let at = self.shape.slot(self.head);
        if self.status(at) != KERNEL {
            return None;
        }
        self.head = (self.head + 1) % self.shape.frames;
        let status = frame.status | if frame.losing { LOSING } else { 0 };
        // `unsigned long` in the first version.
        let status_len = if self.shape.version == 0 { 8 } else { 4 };
        let mut out = Vec::with_capacity(mac + data.len());
        for word in [frame.whole as u32, data.len() as u32] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        out.extend_from_slice(&(mac as u16).to_ne_bytes());
        out.extend_from_slice(&(net as u16).to_ne_bytes());
        let fraction = [time.1 / 1000, time.1][usize::from(self.shape.version == 1)];
        for word in [time.0, fraction] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        // What is left of the header is zero: no VLAN.
        out.resize(self.shape.header() - status_len, 0);
        push_name(&mut out, mac - status_len, frame, data);
        self.memory.write(at + status_len, &out);
        let status = u64::from(status).to_ne_bytes();
        self.memory.write(at, &status[..status_len]);
        Some(true)
    }

    /// __packet_lookup_frame_in_block(): where a frame of this length goes, and whether a block was closed for it.
    fn place_in_block(&mut self, now: Instant, len: usize, losing: bool) -> Option<(usize, bool)> {
        let size = self.shape.block_size;
        let taken = align(len, ALIGNMENT_V3);
        let b = self.blocks.as_ref()?;
        let (active, frozen) = (b.active, b.frozen);
        if frozen {
            if self.is_users(active) {
                return None;
            }
            self.open(now);
        }
        let mut woken = false;
        if self.blocks.as_ref()?.next + taken >= size {
            self.close(now, if losing { LOSING } else { 0 });
            woken = true;
            if !self.open_next(now) {
                return None;
            }
        }
        let b = self.blocks.as_mut()?;
        let at = b.active * size + b.next;
        b.last = at;
        b.next += taken;
        b.count += 1;
        b.deadline.get_or_insert(now + b.retire);
        Some((at, woken))
    }

    fn is_users(&self, block: usize) -> bool {
        self.status(block * self.shape.block_size + BLOCK_STATUS) & USER != 0
    }

    /// prb_open_block()
    fn open(&mut self, now: Instant) {
        let time = self.time(now);
        let version = self.shape.version as u32;
        let Some(b) = &mut self.blocks else { return };
        b.next = b.private;
        b.count = 0;
        b.frozen = false;
        b.deadline = None;
        let mut out = Vec::with_capacity(BLOCK_HEADER);
        for word in [version, BLOCK_HEADER as u32] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        for word in [KERNEL, 0, b.private as u32, b.private as u32] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        out.extend_from_slice(&b.sequence.to_ne_bytes());
        for word in [time.0, time.1] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        b.sequence += 1;
        let at = b.active * self.shape.block_size;
        self.memory.write(at, &out);
    }

    /// prb_dispatch_next_block(): false: it is frozen.
    fn open_next(&mut self, now: Instant) -> bool {
        let Some(active) = self.blocks.as_ref().map(|b| b.active) else {
            return false;
        };
        if self.is_users(active) {
            if let Some(b) = &mut self.blocks {
                b.frozen = true;
                b.freezes += 1;
            }
            return false;
        }
        self.open(now);
        true
    }

    /// prb_close_block(): the active block is the program's.
    fn close(&mut self, now: Instant, status: u32) {
        let now = self.time(now);
        let (size, blocks) = (self.shape.block_size, self.shape.blocks);
        let Some(b) = &mut self.blocks else { return };
        let at = b.active * size;
        let last_time = if b.count > 0 { b.last_time } else { now };
        if b.count > 0 {
            self.memory.write(b.last, &0u32.to_ne_bytes());
        }
        let mut out = Vec::with_capacity(16);
        for word in [b.count, b.private as u32, b.next as u32] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        self.memory.write(at + BLOCK_STATUS + 4, &out);
        let mut out = Vec::with_capacity(8);
        for word in [last_time.0, last_time.1] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        self.memory.write(at + BLOCK_HEADER - 8, &out);
        let status = USER | status;
        self.memory.write(at + BLOCK_STATUS, &status.to_ne_bytes());
        b.active = (b.active + 1) % blocks;
        b.deadline = None;
    }

    /// prb_retire_rx_blk_timer_expired(): whether its reader is to be woken.
    pub(crate) fn expire(&mut self, now: Instant, losing: bool) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        if due {
            self.close(now, BLOCK_TIMEOUT | if losing { LOSING } else { 0 });
            self.open_next(now);
        }
        due
    }
}

/// From `tp_mac` of the third version on: no hash and no VLAN; then the name and the frame.
fn push_rest(
    out: &mut Vec<u8>,
    (mac, net): (usize, usize),
    header: usize,
    frame: &Arrived<'_>,
    data: &[u8],
) {
    out.extend_from_slice(&(mac as u16).to_ne_bytes());
    out.extend_from_slice(&(net as u16).to_ne_bytes());
    // prb_fill_rxhash(); no VLAN.
    out.extend_from_slice(&frame.hash.to_ne_bytes());
    out.resize(header, 0);
    push_name(out, mac, frame, data);
}

/// `struct sockaddr_ll` behind the header, and the frame where it begins.
fn push_name(out: &mut Vec<u8>, mac: usize, frame: &Arrived<'_>, data: &[u8]) {
    out.extend_from_slice(&frame.from);
    out.resize(mac, 0);
    out.extend_from_slice(data);
}
