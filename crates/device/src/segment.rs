//! A segment: an ideal switch that joins hosts by IP address.
//!
//! # Theory of operation
//! Each host's interface is attached to a [`Port`] with its addresses. A packet sent into a port goes to the port that has
//! the packet's destination; a broadcast or a group goes to all other ports. It arrives after the sending port's delay.
//! There is no link layer: no MAC addresses and no ARP. Arrivals are ordered by time, and at one time by the order of
//! sending, so the same inputs give the same outputs.
//!
//! # Limits
//! - A packet larger than the MTU is dropped and counted, as a switch drops a giant frame.
//! - [`SegmentConfig::queue`] packets may be on the way at once; more are dropped and counted.
//! - An address belongs to one port.
//!
//! # Timeouts
//! [`Segment::poll_timeout`] is the arrival time of the next packet.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use core::net::IpAddr;
use core::time::Duration;

use switchboard_engine::Instant;
use switchboard_wire::Packet;

/// What a segment is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentConfig {
    /// The largest packet it carries, in bytes from the IP header on.
    pub mtu: u32,
    /// How many packets may be on the way at once.
    pub queue: usize,
}

impl Default for SegmentConfig {
    /// Ethernet's MTU, and room for what a gigabit per second has under way in a quarter of a second.
    fn default() -> SegmentConfig {
        SegmentConfig {
            mtu: 1500,
            queue: 20_000,
        }
    }
}

/// Where a host is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(u32);

/// Why an address could not be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// Another port has the address.
    AddressInUse,
    /// The address belongs to no single host: a group, a broadcast or the unspecified address.
    NotUnicast,
}

impl core::fmt::Display for AttachError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            AttachError::AddressInUse => "another port has the address",
            AttachError::NotUnicast => "not the address of a host",
        })
    }
}

impl core::error::Error for AttachError {}

/// What a segment did with its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentCounters {
    /// Packets that arrived; a broadcast counts once for each port.
    pub delivered: u64,
    /// Packets dropped: no port has the destination.
    pub unknown_destination: u64,
    /// Packets dropped: larger than the MTU.
    pub too_big: u64,
    /// Packets dropped: too many on the way.
    pub overflow: u64,
}

/// A packet at the end of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Whose interface it arrived at.
    pub port: Port,
    /// When; not after the `now` it was asked for with.
    pub at: Instant,
    /// The packet.
    pub packet: Packet,
}

/// An L3 switch: joins hosts by IP address.
#[derive(Debug)]
pub struct Segment {
    config: SegmentConfig,
    /// By port: the delay from it to any other.
    delays: Vec<Duration>,
    /// Ordered, since hash maps would need a seed.
    owners: BTreeMap<IpAddr, Port>,
    /// Directed broadcast addresses of the attached subnets.
    broadcasts: Vec<IpAddr>,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    sent: u64,
    counters: SegmentCounters,
}

#[derive(Debug)]
struct UnderWay {
    at: Instant,
    /// Number of sending: the order among those that arrive at once.
    number: u64,
    port: Port,
    packet: Packet,
}

impl UnderWay {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &UnderWay) -> bool {
        self.key() == other.key()
    }
}

impl Eq for UnderWay {}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &UnderWay) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UnderWay {
    fn cmp(&self, other: &UnderWay) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Segment {
    /// A segment without hosts.
    pub fn new(config: SegmentConfig) -> Segment {
        Segment {
            config,
            delays: Vec::new(),
            owners: BTreeMap::new(),
            broadcasts: Vec::new(),
            under_way: BinaryHeap::new(),
            sent: 0,
            counters: SegmentCounters::default(),
        }
    }

    /// The largest packet it carries.
    pub fn mtu(&self) -> u32 {
        self.config.mtu
    }

    /// What it did so far.
    pub fn counters(&self) -> SegmentCounters {
        self.counters
    }

    /// Attaches a host's interface. What it sends takes `delay` to arrive; with zero it arrives at once.
    pub fn attach(&mut self, delay: Duration) -> Port {
        self.delays.push(delay);
        Port(self.delays.len() as u32 - 1)
    }

    /// Changes the delay of what a port sends from now on. Packets may overtake earlier ones when it becomes shorter.
    pub fn set_delay(&mut self, port: Port, delay: Duration) {
        self.delays[port.0 as usize] = delay;
    }

    /// Says which addresses are reached by a port; `prefix_len` tells the subnet's broadcast address.
    pub fn add_address(
        &mut self,
        port: Port,
        addr: IpAddr,
        prefix_len: u8,
    ) -> Result<(), AttachError> {
        if addr.is_unspecified() || is_many(addr) {
            return Err(AttachError::NotUnicast);
        }
        if self.owners.get(&addr).is_some_and(|owner| *owner != port) {
            return Err(AttachError::AddressInUse);
        }
        self.owners.insert(addr, port);
        let address = switchboard_engine::InterfaceAddress { addr, prefix_len };
        if let Some(broadcast) = address.broadcast().map(IpAddr::from)
            && !self.broadcasts.contains(&broadcast)
        {
            self.broadcasts.push(broadcast);
        }
        Ok(())
    }

    /// A host sends a packet.
    pub fn send(&mut self, now: Instant, from: Port, packet: Packet) {
        if packet.wire_len() > self.config.mtu as usize {
            self.counters.too_big += 1;
            return;
        }
        let at = now + self.delays[from.0 as usize];
        let dst = packet.ip.dst;
        if is_many(dst) || self.broadcasts.contains(&dst) {
            for port in (0..self.delays.len() as u32)
                .map(Port)
                .filter(|port| *port != from)
            {
                self.launch(at, port, packet.clone());
            }
        } else {
            match self.owners.get(&dst) {
                // A packet for the sender itself has nowhere to go: a switch does not send a frame back.
                Some(&port) if port != from => self.launch(at, port, packet),
                _ => self.counters.unknown_destination += 1,
            }
        }
    }

    fn launch(&mut self, at: Instant, port: Port, packet: Packet) {
        if self.under_way.len() >= self.config.queue {
            self.counters.overflow += 1;
            return;
        }
        let number = self.sent;
        self.sent += 1;
        self.under_way.push(Reverse(UnderWay {
            at,
            number,
            port,
            packet,
        }));
    }

    /// The next packet that has arrived by `now`.
    pub fn poll_arrival(&mut self, now: Instant) -> Option<Arrival> {
        self.under_way
            .peek()
            .filter(|Reverse(next)| next.at <= now)?;
        let Reverse(UnderWay {
            at, port, packet, ..
        }) = self.under_way.pop()?;
        self.counters.delivered += 1;
        Some(Arrival { port, at, packet })
    }

    /// When the next packet arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(next)| next.at)
    }
}

fn is_many(addr: IpAddr) -> bool {
    addr.is_multicast() || matches!(addr, IpAddr::V4(v4) if v4.is_broadcast())
}

#[cfg(test)]
mod tests;
