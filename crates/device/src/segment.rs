//! A segment: a switch that joins hosts, each at the end of a cable of its own.
//!
//! # Theory of operation
//! Each host's interface is attached to a [`Port`] with its addresses, by a cable with two [`Pipe`]s: up to the switch and
//! down to the host. A packet that comes up goes down to the port of whom it is handed to; a broadcast or a group goes
//! down to all other ports. The switch itself takes no time.
//!
//! Frames with hardware addresses are switched as IEEE 802.1D has it: the switch learns from their senders which port has
//! which address, and a frame to a group, to everyone or to an address that it does not know goes to all other ports. It
//! does not listen for IGMP or MLD: every group is everyone's. A host whose interface has no link layer is known by the IP
//! addresses that were given for its port.
//!
//! The same inputs and the same generator give the same outputs. Packets that arrive at one time at one port do so in
//! the order in which they came down.
//!
//! # Limits
//! - A packet larger than the MTU is dropped and counted, as a switch drops a giant frame.
//! - The limits of the pipes: [`SegmentConfig::queue`] packets on the way in each, where a cable has none of its own.
//! - An address belongs to one port.
//! - [`LEARNED`] hardware addresses are remembered, each for [`AGEING`] after it was last heard of.
//!
//! # Timeouts
//! [`Segment::poll_timeout`] is the time when something happens in any pipe.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use switchboard_engine::Instant;
use switchboard_wire::{Frame, FrameBody, Mac, Packet};

use crate::calendar::Calendar;
use crate::{Delay, Label, Pipe, PipeConfig, PipeCounters, Random};

/// How many hardware addresses a switch remembers; when there are more, it forgets the rest and learns anew.
pub const LEARNED: usize = 1 << 16;

/// How long it remembers one (IEEE 802.1D, 7.9.2: 300 s).
pub const AGEING: Duration = Duration::from_secs(300);

/// What a segment is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentConfig {
    /// The largest packet it carries, in bytes from the IP header on.
    pub mtu: u32,
    /// How many packets may be on the way at once in each direction of each cable.
    pub queue: u32,
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

impl Port {
    /// Ports are counted from 0, in the order of being attached.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A direction of a port's cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cable {
    /// What the host sends.
    Up,
    /// What it gets.
    Down,
}

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
    /// Packets dropped by cables, for whatever reason; [`Segment::pipe`] knows more.
    pub dropped: u64,
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

/// A switch.
#[derive(Debug)]
pub struct Segment {
    config: SegmentConfig,
    /// By port: up and down.
    cables: Vec<[Pipe; 2]>,
    /// Ordered, since hash maps would need a seed.
    owners: BTreeMap<IpAddr, Port>,
    /// Directed broadcast addresses of the attached subnets.
    broadcasts: Vec<IpAddr>,
    /// Which port has which hardware address, and when that was heard.
    learned: BTreeMap<Mac, (Port, Instant)>,
    /// When each pipe has something to do. Ups have the even numbers.
    calendar: Calendar,
    unknown_destination: u64,
    too_big: u64,
}

impl Segment {
    /// A segment without hosts.
    pub fn new(config: SegmentConfig) -> Segment {
        Segment {
            config,
            cables: Vec::new(),
            owners: BTreeMap::new(),
            broadcasts: Vec::new(),
            learned: BTreeMap::new(),
            calendar: Calendar::default(),
            unknown_destination: 0,
            too_big: 0,
        }
    }

    /// The largest packet it carries.
    pub fn mtu(&self) -> u32 {
        self.config.mtu
    }

    /// What it did so far.
    pub fn counters(&self) -> SegmentCounters {
        let all = || self.cables.iter().flatten().map(Pipe::counters);
        SegmentCounters {
            delivered: self.cables.iter().map(|c| c[1].counters().delivered).sum(),
            unknown_destination: self.unknown_destination,
            too_big: self.too_big,
            dropped: all().map(|counters| counters.dropped()).sum(),
        }
    }

    /// A cable that does nothing.
    pub fn plain(&self) -> PipeConfig {
        PipeConfig {
            mtu: self.config.mtu,
            limit: self.config.queue,
            ..PipeConfig::default()
        }
    }

    /// Attaches a host's interface. What it sends takes `delay` to arrive; with zero it arrives at once.
    pub fn attach(&mut self, random: &mut Random, delay: Duration) -> Port {
        let down = self.plain();
        let up = PipeConfig {
            delay: Delay::fixed(delay),
            ..down
        };
        self.cables
            .push([up, down].map(|config| Pipe::new(config, random)));
        Port(self.cables.len() as u32 - 1)
    }

    /// A direction of a port's cable.
    pub fn pipe(&self, port: Port, cable: Cable) -> &Pipe {
        &self.cables[port.index()][cable as usize]
    }

    /// What a direction of a port's cable did.
    pub fn pipe_counters(&self, port: Port, cable: Cable) -> PipeCounters {
        self.pipe(port, cable).counters()
    }

    /// Makes a direction of a port's cable another from `now` on.
    pub fn change(
        &mut self,
        now: Instant,
        random: &mut Random,
        (port, cable): (Port, Cable),
        config: PipeConfig,
    ) {
        self.cables[port.index()][cable as usize].change(now, random, config);
        self.note(port, cable);
    }

    /// Whether a new port could have this address.
    pub fn may_add(&self, addr: IpAddr) -> Result<(), AttachError> {
        if addr.is_unspecified() || is_many(addr) {
            return Err(AttachError::NotUnicast);
        }
        if self.owners.contains_key(&addr) {
            return Err(AttachError::AddressInUse);
        }
        Ok(())
    }

    /// Says which addresses are reached by a port; `prefix_len` tells the subnet's broadcast address.
    pub fn add_address(
        &mut self,
        port: Port,
        addr: IpAddr,
        prefix_len: u8,
    ) -> Result<(), AttachError> {
        if self.owners.get(&addr) != Some(&port) {
            self.may_add(addr)?;
        }
        self.owners.insert(addr, port);
        let address = switchboard_engine::InterfaceAddress::new(addr, prefix_len);
        if let Some(broadcast) = address.broadcast().map(IpAddr::from)
            && !self.broadcasts.contains(&broadcast)
        {
            self.broadcasts.push(broadcast);
        }
        Ok(())
    }

    /// A host sends a packet, which is handed to `next_hop`: its destination, or a router.
    pub fn send(
        &mut self,
        now: Instant,
        random: &mut Random,
        from: Port,
        next_hop: IpAddr,
        packet: Packet,
    ) {
        self.send_frame(now, random, from, Some(next_hop), packet.into());
    }

    /// A host sends a frame. `next_hop` is whom it is handed to where it has no hardware addresses.
    pub fn send_frame(
        &mut self,
        now: Instant,
        random: &mut Random,
        from: Port,
        next_hop: Option<IpAddr>,
        frame: Frame,
    ) {
        if frame.longest() > self.config.mtu as usize {
            if frame.segments() > 1 {
                for one in frame.split() {
                    self.send_frame(now, random, from, next_hop, one);
                }
                return;
            }
            self.too_big += 1;
            return;
        }
        let up = &mut self.cables[from.index()][0];
        let label = Label {
            next_hop,
            ..Label::default()
        };
        up.send_frame(now, random, frame, label);
        self.rise(now, random, from);
    }

    /// What has come up a cable goes down others.
    fn rise(&mut self, now: Instant, random: &mut Random, from: Port) {
        while let Some((at, frame, label)) = self.cables[from.index()][0].poll_frame(now, random) {
            match self.way(at, from, &frame, label.next_hop) {
                Way::To(to) => self.fall(at, random, to, frame),
                Way::Nowhere => self.unknown_destination += u64::from(frame.segments()),
                Way::All => {
                    for to in (0..self.cables.len() as u32).map(Port) {
                        if to != from {
                            self.fall(at, random, to, frame.clone());
                        }
                    }
                }
            }
        }
        self.note(from, Cable::Up);
    }

    /// Where a frame goes that came up a cable.
    fn way(&mut self, at: Instant, from: Port, frame: &Frame, next_hop: Option<IpAddr>) -> Way {
        // A frame for the sender itself has nowhere to go: a switch does not send it back.
        let to = |to: Port| {
            if to == from {
                Way::Nowhere
            } else {
                Way::To(to)
            }
        };
        if let Some(link) = frame.link {
            self.learn(at, from, link.src);
            let known = (self.learned.get(&link.dst))
                .filter(|(_, heard)| at.saturating_sub(*heard) < AGEING);
            return match known {
                Some((port, _)) if !link.dst.is_group() => to(*port),
                _ => Way::All,
            };
        }
        let Some(next_hop) = next_hop.or(frame.packet().map(|packet| packet.ip.dst)) else {
            return Way::Nowhere;
        };
        if is_many(next_hop) || self.broadcasts.contains(&next_hop) {
            return Way::All;
        }
        self.owners
            .get(&next_hop)
            .map_or(Way::Nowhere, |port| to(*port))
    }

    fn learn(&mut self, at: Instant, from: Port, src: Mac) {
        if !src.is_unicast() {
            return;
        }
        if self.learned.len() >= LEARNED && !self.learned.contains_key(&src) {
            self.learned.clear();
        }
        let _ = self.learned.insert(src, (from, at));
    }

    /// The port that a hardware address was last heard at.
    pub fn port_of(&self, mac: Mac) -> Option<Port> {
        self.learned.get(&mac).map(|(port, _)| *port)
    }

    fn fall(&mut self, at: Instant, random: &mut Random, to: Port, frame: Frame) {
        self.cables[to.index()][1].send_frame(at, random, frame, Label::default());
        self.note(to, Cable::Down);
    }

    /// A pipe's next time has changed.
    fn note(&mut self, port: Port, cable: Cable) {
        let at = self.pipe(port, cable).poll_timeout();
        self.calendar.set(port.0 * 2 + cable as u32, at);
    }

    /// The next packet that has arrived by `now`.
    pub fn poll_arrival(&mut self, now: Instant, random: &mut Random) -> Option<Arrival> {
        loop {
            // Who asks for packets has no link layer.
            let (port, at, frame) = self.poll_frame(now, random)?;
            if let FrameBody::Ip(packet) = frame.body {
                return Some(Arrival { port, at, packet });
            }
        }
    }

    /// The next frame that has arrived by `now`: at whose interface, when, and what.
    pub fn poll_frame(
        &mut self,
        now: Instant,
        random: &mut Random,
    ) -> Option<(Port, Instant, Frame)> {
        loop {
            let (due, who) = self.calendar.first().filter(|(at, _)| *at <= now)?;
            let port = Port(who / 2);
            if who % 2 == 0 {
                self.rise(due, random, port);
                continue;
            }
            let arrived = self.cables[port.index()][1].poll_frame(due, random);
            self.note(port, Cable::Down);
            if let Some((at, frame, _)) = arrived {
                return Some((port, at, frame));
            }
        }
    }

    /// When something happens next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.calendar.first().map(|(at, _)| at)
    }
}

/// Where a frame goes.
enum Way {
    To(Port),
    All,
    Nowhere,
}

fn is_many(addr: IpAddr) -> bool {
    addr.is_multicast() || matches!(addr, IpAddr::V4(v4) if v4.is_broadcast())
}

#[cfg(test)]
mod tests;
