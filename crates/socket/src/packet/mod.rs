//! AF_PACKET: packet(7), sockets that see every packet of an interface and send frames of their own.
//!
//! # Theory of operation
//! A socket with a protocol is *hooked*: the stack shows its packets then (`Stack::set_tapping`), and `show` hands each of
//! them to the sockets that want it, as a frame with its link header; where an interface has no link layer, as `lo`, the
//! addresses in it are zero. A socket for ETH_P_ALL sees what leaves and what comes in, one for a single protocol only what comes in; on `lo` that is
//! each packet twice, or once.
//!
//! A socket may have its frames in memory that it shares with a program instead of a queue (`ring`).
//!
//! What is sent is a frame. On `lo` it comes in as it is: it is shown, and if it is an IP packet for this host the stack
//! gets it.
//!
//! # Limits
//! An interface without a link layer that is not `lo` carries IP packets and nothing else: another frame is ENOBUFS, as from a device
//! that drops it.
//!
//! See [packet(7)](https://man7.org/linux/man-pages/man7/packet.7.html).

pub(crate) mod fanout;
pub(crate) mod memory;
mod receive;
pub(crate) mod ring;
mod send;
mod spkt;
mod stamps;
pub(crate) mod tx_ring;
pub(crate) mod vnet;

#[cfg(test)]
mod tests;

use crate::call::Cx;
use crate::cred::Caps;
use crate::filter::{ETH_P_IP, ETH_P_IPV6, LINK, device_kind};
use crate::host::Host;
use crate::inet::stamp::Stamp;
use crate::mask::PollMask;
use crate::socket::{Kind, Socket};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::{self, LinkAddr};
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{IfIndex, Instant, Interface, Tapped};
use switchboard_wire::Mac;

pub(crate) use receive::PacketRecvEffect;
pub(crate) use send::PacketSendPlan;
pub(crate) use stamps::StampRecvEffect;

/// `ETH_P_ALL`: every protocol.
const ETH_P_ALL: u16 = 3;
/// `sizeof(struct sockaddr_ll)`.
const SOCKADDR_LL_SIZE: usize = 20;

pub(crate) struct PacketSocket {
    /// `ETH_P_*` in the host's order, sixteen bits of it as Linux takes them; 0 hears nothing.
    protocol: u16,
    /// Whose packets it sees; `None` is all.
    interface: Option<IfIndex>,
    queue: VecDeque<receive::Queued>,
    charged: u32,
    error: Option<Errno>,
    pub(crate) stamp: Stamp,
    pub(crate) stats: Stats,
    /// Since the socket was made, as SO_RXQ_OVFL tells.
    drops: u32,
    pub(crate) options: PacketOptions,
    pub(crate) memberships: Vec<Membership>,
    /// PACKET_RX_RING, which takes the queue's place.
    pub(crate) ring: Option<Box<ring::Ring>>,
    /// PACKET_TX_RING
    pub(crate) sending: Option<Box<tx_ring::TxRing>>,
    /// What both rings lie in, if there are both.
    both: Option<Arc<dyn memory::RingMemory>>,
    /// PACKET_FANOUT
    pub(crate) fanout: Option<Box<fanout::Member>>,
    stamps: stamps::Stamps,
}

/// `struct tpacket_stats`.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Stats {
    pub(crate) packets: u32,
    pub(crate) drops: u32,
}

/// What setsockopt(2) keeps at `SOL_PACKET`.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct PacketOptions {
    pub(crate) auxdata: bool,
    pub(crate) origdev: bool,
    pub(crate) ignore_outgoing: bool,
    pub(crate) loss: bool,
    pub(crate) tx_has_off: bool,
    pub(crate) qdisc_bypass: bool,
    /// PACKET_VNET_HDR_SZ
    pub(crate) vnet: u8,
    pub(crate) copy_thresh: i32,
    pub(crate) version: i32,
    pub(crate) reserve: u32,
    pub(crate) timestamp: i32,
}

/// One `PACKET_ADD_MEMBERSHIP`; the same again counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Membership {
    pub(crate) interface: u32,
    pub(crate) kind: u16,
    pub(crate) address: [u8; 6],
    pub(crate) length: u16,
    pub(crate) count: u32,
}

/// A `struct sockaddr_ll` as bind(2) reads it.
fn read_bind(raw: &[u8]) -> Result<(u16, i32), Errno> {
    if raw.len() < SOCKADDR_LL_SIZE || sockaddr::family(raw) != Some(AF_PACKET) {
        return Err(Errno::EINVAL);
    }
    let protocol = u16::from_be_bytes([raw[2], raw[3]]);
    let index = i32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]);
    Ok((protocol, index))
}

impl Host {
    /// packet_create()
    pub(crate) fn packet_socket(
        &mut self,
        cx: &mut Cx<'_>,
        ty: i32,
        protocol: i32,
    ) -> Result<SocketId, Errno> {
        if !cx.cred.caps.contains(Caps::NET_RAW) {
            return Err(Errno::EPERM);
        }
        if !matches!(ty, SOCK_RAW | SOCK_DGRAM | SOCK_PACKET) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        // "weird, but documented": the argument is in network order.
        let protocol = u16::from_be(protocol as u16);
        let common = self.new_common(cx, AF_PACKET, ty, 0);
        let kind = Kind::Packet(Box::new(PacketSocket {
            protocol,
            interface: None,
            queue: VecDeque::new(),
            charged: 0,
            error: None,
            stamp: Stamp::default(),
            stats: Stats::default(),
            drops: 0,
            options: PacketOptions::default(),
            memberships: Vec::new(),
            ring: None,
            sending: None,
            both: None,
            fanout: None,
            stamps: stamps::Stamps::default(),
        }));
        let id = self.sockets.insert(Socket { common, kind });
        self.packets.push(id);
        self.packet_hook(id, protocol);
        Ok(id)
    }

    /// The socket hears this protocol from now on, or nothing.
    fn packet_hook(&mut self, id: SocketId, protocol: u16) {
        self.hooked.retain(|other| *other != id);
        if protocol != 0 {
            self.hooked.push(id);
        }
        self.stack.set_tapping(!self.hooked.is_empty());
    }

    /// `po->running`: it hears a protocol, on an interface that is up.
    pub(crate) fn packet_is_running(&self, id: SocketId) -> bool {
        let up = |index| self.stack.interface(index).is_some_and(Interface::is_up);
        self.hooked.contains(&id) && self.packet(id).is_ok_and(|s| s.interface.is_none_or(up))
    }

    pub(crate) fn packet(&self, id: SocketId) -> Result<&PacketSocket, Errno> {
        match self.kind(id)? {
            Kind::Packet(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    pub(crate) fn packet_mut(&mut self, id: SocketId) -> Result<&mut PacketSocket, Errno> {
        match &mut self.get_mut(id)?.kind {
            Kind::Packet(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// An interface of this index, as a caller names it.
    pub(crate) fn link(&self, index: i32) -> Option<&Interface> {
        let index = IfIndex::new(u32::try_from(index).ok()?)?;
        self.stack.interface(index)
    }

    /// packet_bind(): a protocol of zero leaves the one that it has.
    pub(crate) fn packet_bind(&mut self, id: SocketId, raw: &[u8]) -> Result<(), Errno> {
        let (protocol, bound) = if self.is_spkt(id) {
            self.spkt_bind(raw)?
        } else {
            let (protocol, index) = read_bind(raw)?;
            if self.packet(id)?.fanout.is_some() {
                return Err(Errno::EINVAL);
            }
            let bound = match index {
                0 => None,
                index => Some(self.link(index).ok_or(Errno::ENODEV)?.index()),
            };
            (protocol, bound)
        };
        let is_up = |index| self.stack.interface(index).is_some_and(Interface::is_up);
        let up = bound.is_none_or(is_up);
        let s = self.packet_mut(id)?;
        if protocol != 0 {
            s.protocol = protocol;
        }
        s.interface = bound;
        let protocol = s.protocol;
        if !up {
            s.error = Some(Errno::ENETDOWN);
            self.wake(id, PollMask::ERR);
        }
        self.packet_hook(id, protocol);
        Ok(())
    }

    /// packet_getname(): there is no peer.
    pub(crate) fn packet_getsockname(&self, id: SocketId) -> Result<SockAddr, Errno> {
        let s = self.packet(id)?;
        if self.is_spkt(id) {
            return Ok(self.spkt_getsockname(s.interface));
        }
        let interface = s.interface.and_then(|index| self.stack.interface(index));
        Ok(SockAddr::Link(LinkAddr {
            protocol: s.protocol,
            interface: interface.map_or(0, |i| i.index().get()),
            device: interface.map_or(0, |i| device_kind(i.index())),
            kind: 0,
            address: interface.map(Interface::hardware),
            whole: false,
        }))
    }

    /// mmap(2) of a packet socket's ring, of so many bytes: what the caller is to map. EINVAL for another length, and
    /// where there is no ring.
    pub fn ring_memory(
        &self,
        id: SocketId,
        len: usize,
    ) -> Result<Arc<dyn memory::RingMemory>, Errno> {
        if self.is_spkt(id) {
            // sock_no_mmap()
            return Err(Errno::ENODEV);
        }
        self.packet(id)?.ring_memory(len)
    }

    /// Rings are made of this memory from now on.
    pub fn set_make_ring(&mut self, make: memory::MakeRing) {
        self.make_ring = make;
    }

    /// When a block of a ring is over.
    pub(crate) fn ring_timeout(&self) -> Option<Instant> {
        let rings = self
            .hooked
            .iter()
            .filter_map(|id| self.packet(*id).ok()?.ring.as_ref());
        rings.filter_map(|ring| ring.deadline()).min()
    }

    pub(crate) fn handle_ring_timeout(&mut self, now: Instant) {
        for index in 0..self.hooked.len() {
            let id = self.hooked[index];
            if let Ok(s) = self.packet_mut(id)
                && let losing = s.stats.drops > 0
                && let Some(ring) = &mut s.ring
                && ring.expire(now, losing)
            {
                self.wake(id, PollMask::READABLE);
            }
        }
    }

    pub(crate) fn packet_close(&mut self, id: SocketId) {
        self.fanout_leave(id);
        self.packet_hook(id, 0);
        self.packets.retain(|other| *other != id);
        drop(self.sockets.remove(id));
    }

    /// packet_poll(): datagram_poll(), and the ring.
    pub(crate) fn packet_poll(&self, id: SocketId) -> PollMask {
        let Ok(s) = self.packet(id) else {
            return PollMask::empty();
        };
        let stamped = !s.stamps.is_empty();
        let mut mask = PollMask::of_datagrams(s.error.is_some() || stamped, s.is_readable());
        let tells = self.get(id).is_ok_and(|socket| {
            let flags = socket.common.flags;
            flags.contains(crate::socket::CommonFlags::SELECT_ERR_QUEUE)
        });
        mask.set(PollMask::PRI, stamped && tells);
        mask
    }

    /// What the stack's packets of this call are, to whoever looks.
    pub(crate) fn show_packets(&mut self) {
        while let Some(tapped) = self.stack.poll_tapped() {
            self.show_tapped(&tapped);
        }
    }

    fn show_tapped(&mut self, tapped: &Tapped) {
        let own = self.stack.interface(tapped.interface);
        let own = Mac(own.map_or([0; 6], Interface::hardware));
        self.show(&receive::Seen::of(tapped, own));
    }
}

impl PacketSocket {
    pub(crate) fn error(&self) -> Option<Errno> {
        self.error
    }

    pub(crate) fn set_error(&mut self, error: Option<Errno>) {
        self.error = error;
    }

    pub(crate) fn protocol(&self) -> u16 {
        self.protocol
    }

    /// Whose packets it sees; `None` is all.
    pub(crate) fn interface(&self) -> Option<IfIndex> {
        self.interface
    }

    /// SO_MEMINFO's rmem_alloc.
    pub(crate) fn charged(&self) -> u32 {
        self.charged
    }

    /// Stamps that wait behind so many.
    pub(crate) fn stamps_left(&self, taken: usize) -> usize {
        self.stamps.len().saturating_sub(taken)
    }

    fn is_readable(&self) -> bool {
        let ring = self.ring.as_ref();
        !self.queue.is_empty() || ring.is_some_and(|ring| ring.is_readable())
    }

    /// Frames go to the ring from now on, or to the queue again; what waits is lost.
    pub(crate) fn set_ring(&mut self, ring: Option<ring::Ring>) {
        self.ring = ring.map(Box::new);
        self.queue.clear();
        self.charged = 0;
    }

    /// `SIOCINQ`: the length of the next frame.
    pub(crate) fn next_len(&self) -> usize {
        self.queue.front().map_or(0, |frame| frame.data.len())
    }

    /// Whether something is left to read behind this many frames.
    pub(crate) fn readable_after(&self, messages: usize) -> bool {
        self.queue.len() > messages || messages == 0 && self.is_readable()
    }
}
