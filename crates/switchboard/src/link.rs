//! Links, segments and partitions: what a net is made of besides hosts.

use crate::capture::{Capture, Tap};
use crate::host::Host;
use crate::net::Net;
use crate::wires::{Plug, add_route};
use crate::world::World;
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::sync::MutexGuard;
use std::time::Duration;
use switchboard_device::{Cable, End, PipeConfig, PipeCounters, SegmentConfig};
use switchboard_engine::{IfIndex, InterfaceChange, NatConfig, NatKind};
use switchboard_wire::Mac;

/// A link between two hosts. What is sent at one end arrives at the other, or does not.
#[derive(Clone)]
pub struct Link {
    a: Interface,
    b: Interface,
}

/// Makes a [`Link`].
pub struct LinkBuilder {
    net: Net,
    hosts: [usize; 2],
    addresses: [Vec<(IpAddr, u8)>; 2],
    configs: [PipeConfig; 2],
}

/// A switch that joins hosts, each at the end of a cable.
#[derive(Clone)]
pub struct Segment {
    net: Net,
    network: usize,
}

/// A host's interface on a link or a segment.
#[derive(Clone)]
pub struct Interface {
    pub(crate) net: Net,
    host: usize,
    index: IfIndex,
    pub(crate) plug: Plug,
}

/// Hosts that do not hear from others.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    id: u64,
}

impl Net {
    /// A link between two hosts of the net. Each gets an interface for it: the first name of `eth0`, `eth1` ... that it
    /// does not have.
    pub fn link(&self, a: &Host, b: &Host) -> LinkBuilder {
        LinkBuilder {
            net: self.clone(),
            hosts: [a.index, b.index],
            addresses: [Vec::new(), Vec::new()],
            configs: [PipeConfig::default(); 2],
        }
    }

    /// A new segment, which [`Segment::join`] puts hosts on.
    pub fn segment(&self, config: SegmentConfig) -> Segment {
        let network = self.lock().wires.add_segment(config);
        Segment {
            net: self.clone(),
            network,
        }
    }

    /// From now on nothing that one of `some` sends reaches one of `others`, and the other way round, whatever way it
    /// takes. What is on its way is lost too.
    pub fn partition(&self, some: &[&Host], others: &[&Host]) -> Partition {
        let index = |host: &&Host| host.index;
        let (some, others) = (some.iter().map(index), others.iter().map(index));
        let id = self.lock().wires.partition(some, others);
        Partition { id }
    }

    /// From now on every host knows the hardware addresses of those it shares a link or a segment with, and asks nobody:
    /// `ip neigh add ... nud permanent` on each of them. Interfaces and addresses that come later are asked for as usual.
    pub fn know_neighbours(&self) {
        self.lock().know_neighbours();
    }

    /// Ends a partition.
    pub fn heal(&self, partition: Partition) {
        self.lock().wires.heal(partition.id);
    }

    /// Ends all partitions.
    pub fn heal_all(&self) {
        self.lock().wires.heal_all();
    }
}

/// Gives a host another interface on a network. Nothing has changed when it fails.
pub(crate) fn plug_in(
    net: &Net,
    world: &mut World,
    host: usize,
    network: usize,
    addresses: &[(IpAddr, u8)],
    delay: Duration,
) -> io::Result<Interface> {
    let layer = &mut world.hosts[host].layer;
    let (index, plug) = (world.wires).plug_in((host, layer), network, addresses, delay)?;
    Ok(Interface {
        net: net.clone(),
        host,
        index,
        plug,
    })
}

impl LinkBuilder {
    /// An address of the first host's interface.
    pub fn a(mut self, addr: IpAddr, prefix_len: u8) -> LinkBuilder {
        self.addresses[0].push((addr, prefix_len));
        self
    }

    /// An address of the second host's interface.
    pub fn b(mut self, addr: IpAddr, prefix_len: u8) -> LinkBuilder {
        self.addresses[1].push((addr, prefix_len));
        self
    }

    /// What both directions are like.
    pub fn config(mut self, config: PipeConfig) -> LinkBuilder {
        self.configs = [config; 2];
        self
    }

    /// What the direction from an end is like.
    pub fn config_from(mut self, end: End, config: PipeConfig) -> LinkBuilder {
        self.configs[end as usize] = config;
        self
    }

    /// Makes the link. Both interfaces have the smaller MTU of the two directions.
    pub fn build(self) -> io::Result<Link> {
        let mut guard = self.net.lock();
        let world = &mut *guard;
        for &(addr, _) in self.addresses.iter().flatten() {
            if addr.is_unspecified() || addr.is_multicast() {
                let error = switchboard_device::AttachError::NotUnicast;
                return Err(io::Error::new(ErrorKind::InvalidInput, error));
            }
        }
        let mut config = self.configs[0];
        config.mtu = config.mtu.min(self.configs[1].mtu);
        let number = world.wires.add_link(config);
        let mut plug = |n: usize| {
            let (host, addresses) = (self.hosts[n], &self.addresses[n]);
            plug_in(&self.net, world, host, number, addresses, Duration::ZERO)
        };
        let (a, b) = (plug(0)?, plug(1)?);
        let now = world.now();
        world.wires.set_link(now, number, self.configs);
        drop(guard);
        Ok(Link { a, b })
    }
}

impl Link {
    /// The interface at an end.
    pub fn end(&self, end: End) -> &Interface {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    /// Makes both directions another from now on.
    pub fn change(&self, change: impl Fn(&mut PipeConfig)) {
        self.change_from(End::A, &change);
        self.change_from(End::B, &change);
    }

    /// Makes the direction from an end another from now on.
    pub fn change_from(&self, end: End, change: impl FnOnce(&mut PipeConfig)) {
        self.end(end).change(Cable::Up, change);
    }

    /// Down: what is sent, what waits and what is on the way is lost.
    pub fn set_up(&self, up: bool) {
        self.change(|config| config.up = up);
    }

    /// What the direction from an end did.
    pub fn counters_from(&self, end: End) -> PipeCounters {
        self.end(end).counters(Cable::Up)
    }
}

impl Segment {
    /// Gives a host an interface on the segment with these addresses: the first name of `eth0`, `eth1` ... that it does
    /// not have. Fails when an address is no host's, or another host has it here.
    pub fn join(&self, host: &Host, addresses: &[(IpAddr, u8)]) -> io::Result<Interface> {
        let mut world = self.net.lock();
        let zero = Duration::ZERO;
        plug_in(
            &self.net,
            &mut world,
            host.index,
            self.network,
            addresses,
            zero,
        )
    }
}

impl Interface {
    /// Its name, such as `eth0`.
    pub fn name(&self) -> String {
        let world = self.net.lock();
        let stack = world.hosts[self.host].layer.stack();
        stack
            .interface(self.index)
            .map(|i| i.name().to_owned())
            .unwrap_or_default()
    }

    /// Its hardware address.
    pub fn mac(&self) -> Mac {
        let world = self.net.lock();
        let stack = world.hosts[self.host].layer.stack();
        stack
            .interface(self.index)
            .map_or(Mac::ZERO, |i| Mac(i.hardware()))
    }

    /// Its number on its host.
    pub fn index(&self) -> IfIndex {
        self.index
    }

    /// Makes a direction of its cable another from now on: what it sends ([`Cable::Up`]), or what it gets; also of one that
    /// leads to a gateway or a device of the real host.
    pub fn change(&self, cable: Cable, change: impl FnOnce(&mut PipeConfig)) {
        let mut guard = self.net.lock();
        let world = &mut *guard;
        let now = world.now();
        world.wires.change(now, self.plug, cable, change);
        self.settle(guard);
    }

    /// What a direction of its cable is like.
    pub fn config(&self, cable: Cable) -> PipeConfig {
        let world = self.net.lock();
        let pipe = world.wires.pipe(self.plug, cable);
        pipe.map(|pipe| *pipe.config()).unwrap_or_default()
    }

    /// What a direction of its cable did.
    pub fn counters(&self, cable: Cable) -> PipeCounters {
        let world = self.net.lock();
        let pipe = world.wires.pipe(self.plug, cable);
        pipe.map(|pipe| pipe.counters()).unwrap_or_default()
    }

    /// How many packets wait for the transmitter of a direction, and their bytes.
    pub fn queued(&self, cable: Cable) -> (usize, u64) {
        let world = self.net.lock();
        let pipe = world.wires.pipe(self.plug, cable);
        pipe.map(|pipe| pipe.queued()).unwrap_or_default()
    }

    /// Sets the largest packet of the interface and of its cable. ([`change`](Self::change) changes the cable alone, and
    /// the host does not learn of it: a black hole.)
    pub fn set_mtu(&self, mtu: u32) {
        let mut guard = self.net.lock();
        let world = &mut *guard;
        let now = world.now();
        for cable in [Cable::Up, Cable::Down] {
            world
                .wires
                .change(now, self.plug, cable, |config| config.mtu = mtu);
        }
        let stack = world.hosts[self.host].layer.stack_mut();
        stack.change_interface(self.index, InterfaceChange::Mtu(mtu));
        self.settle(guard);
    }

    /// Writes what the interface sends and gets from now on, as a pcapng file: what tshark(1) reads. Another capture of
    /// the interface ends.
    pub fn capture(&self, writer: impl Write + Send + 'static) -> io::Result<()> {
        let mut world = self.net.lock();
        let interface = world.hosts[self.host].layer.stack().interface(self.index);
        let name = interface.map_or(("", false), |i| (i.name(), i.is_ethernet()));
        let capture = Capture::start_of(&[name], Box::new(writer))?;
        let old = world.wires.untap(self.host, self.index);
        world.wires.tap(self.host, self.index, capture.tap(0));
        old.into_iter().try_for_each(Tap::stop)
    }

    /// Ends the capture. The error that it ended with earlier, if it did; a packet may have been written in part then.
    pub fn stop_capture(&self) -> io::Result<()> {
        let taps = self.net.lock().wires.untap(self.host, self.index);
        taps.into_iter().try_for_each(Tap::stop)
    }

    /// What was due is done, and the net's thread learns of new times.
    fn settle(&self, mut world: MutexGuard<'_, World>) {
        world.run_due();
        self.net.settle(&mut world, self.host);
        self.net.unlock(world);
    }
}

impl Host {
    /// The interface of this name, if it is on a link or a segment.
    pub fn interface(&self, name: &str) -> Option<Interface> {
        let world = self.net.lock();
        let host = &world.hosts[self.index];
        let found = host.layer.stack().interfaces().find(|i| i.name() == name)?;
        let index = found.index();
        let plug = world.wires.plug(self.index, index)?;
        drop(world);
        Some(Interface {
            net: self.net.clone(),
            host: self.index,
            index,
            plug,
        })
    }

    /// A route: packets for the prefix are handed to `gateway`, which must be on one of the host's links.
    pub fn add_route(&self, prefix: IpAddr, prefix_len: u8, gateway: IpAddr) -> io::Result<()> {
        self.with_layer(|layer| add_route(layer, prefix, prefix_len, gateway))
    }

    /// From now on the host is a router that translates: what it hands on to `outside` leaves with the first IPv4 address of
    /// that interface. `None`: no more. It forwards by `net.ipv4.ip_forward` as ever.
    pub fn set_nat(&self, outside: &Interface, kind: Option<NatKind>) -> io::Result<()> {
        if outside.host != self.index {
            return Err(ErrorKind::InvalidInput.into());
        }
        let config = kind.map(|kind| NatConfig::new(outside.index, kind));
        self.with_layer(|layer| layer.stack_mut().set_nat(config));
        Ok(())
    }

    /// The default route of the gateway's family.
    pub fn default_route(&self, gateway: IpAddr) -> io::Result<()> {
        let any: IpAddr = if gateway.is_ipv4() {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        self.add_route(any, 0, gateway)
    }
}
