//! Everything between hosts: networks, who is plugged in where, partitions, captures.
//!
//! # Theory of operation
//! [`Wires`] know hosts by number and own none of them: who does hands their layers to [`Wires::carry`], which moves packets
//! until none can move at that time. So a [`Net`](crate::Net), which has a lock and threads that wait, and a
//! supervisor, which has neither, have the same wires. There is no clock and no ambient randomness here.

use crate::network::{Medium, Network};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use switchboard_device::{AttachError, Cable, End, Outlet, Pipe, PipeConfig, Seen, SegmentConfig};
use switchboard_engine::{
    Departure, IfIndex, Instant, InterfaceChange, InterfaceConfig, NeighState,
};
use switchboard_wire::{Frame, FrameBody, Mac};

pub use crate::capture::{Capture, Tap};
pub use crate::network::Plug;

/// The hosts that wires join, by number.
pub trait Hosts {
    /// A host's socket layer.
    fn layer(&mut self, host: usize) -> &mut switchboard_socket::Host;

    /// A packet was delivered to a host, or taken from it: its layer may have events.
    fn delivered(&mut self, host: usize);

    /// The next frame that leaves a host.
    fn departure(&mut self, now: Instant, host: usize) -> Option<Departure> {
        self.layer(host).poll_frame(now)
    }

    /// Which program of a host has sent a frame, or gets it, as captures tell it next to the packet.
    fn program_of(&self, _host: usize, _seen: Seen, _frame: &Frame) -> Option<Rc<str>> {
        None
    }
}

/// What joins hosts.
pub struct Wires {
    seed: [u8; 32],
    networks: Vec<Network>,
    /// When something happens by itself on which network; and the same by network.
    due: BTreeSet<(Instant, usize)>,
    due_at: Vec<Option<Instant>>,
    /// What partitions kept from arriving, by network.
    cut_off: Vec<u64>,
    hosts: Vec<Wired>,
    /// Whose address it is.
    owners: BTreeMap<IpAddr, usize>,
    cuts: Vec<Cut>,
    /// How many there ever were.
    cuts_made: u64,
}

/// A host's ends of wires.
#[derive(Default)]
struct Wired {
    plugs: BTreeMap<IfIndex, Plug>,
    /// Who listens at them.
    taps: BTreeMap<IfIndex, Vec<Tap>>,
}

/// A partition.
struct Cut {
    id: u64,
    some: BTreeSet<usize>,
    others: BTreeSet<usize>,
}

impl Cut {
    fn parts(&self, a: usize, b: usize) -> bool {
        (self.some.contains(&a) && self.others.contains(&b))
            || (self.some.contains(&b) && self.others.contains(&a))
    }
}

impl Wires {
    /// No hosts and no networks. All chances are the seed's.
    pub fn new(seed: [u8; 32]) -> Wires {
        Wires {
            seed,
            networks: Vec::new(),
            due: BTreeSet::new(),
            due_at: Vec::new(),
            cut_off: Vec::new(),
            hosts: Vec::new(),
            owners: BTreeMap::new(),
            cuts: Vec::new(),
            cuts_made: 0,
        }
    }

    /// One more host. Its number; the first one is 0.
    pub fn add_host(&mut self) -> usize {
        self.hosts.push(Wired::default());
        self.hosts.len() - 1
    }

    /// A new segment, to plug hosts into. Its number among the networks.
    pub fn add_segment(&mut self, config: SegmentConfig) -> usize {
        let number = self.networks.len();
        self.push(Network::segment(config, self.seed, number))
    }

    /// A new link, whose first two members are its ends. Its number among the networks.
    pub fn add_link(&mut self, config: PipeConfig) -> usize {
        let number = self.networks.len();
        self.push(Network::link(config, self.seed, number))
    }

    /// A new network of one host and the machine that this runs on. Its number among the networks. When the outlet's
    /// descriptor is readable, [`Wires::look`] is to be called.
    pub fn add_outlet(&mut self, outlet: Outlet, mtu: u32) -> usize {
        let number = self.networks.len();
        self.push(Network::outlet(outlet, mtu, self.seed, number))
    }

    /// The outlet of such a network.
    pub fn outlet(&mut self, network: usize) -> Option<&mut Outlet> {
        match &mut self.networks[network].medium {
            Medium::Outlet(way) => Some(&mut way.outlet),
            Medium::Segment(_) | Medium::Link(_) => None,
        }
    }

    /// Takes what an outlet's descriptor tells of; [`Wires::carry`] is to follow.
    pub fn look(&mut self, now: Instant, network: usize) {
        if let Some(outlet) = self.outlet(network) {
            outlet.look(now);
            self.note(network);
        }
    }

    /// A seed for what is outside a network, of its own.
    pub fn seed_of(&self, network: usize) -> [u8; 32] {
        let mut seed = self.seed;
        for (byte, n) in seed[24..].iter_mut().zip((network as u64).to_le_bytes()) {
            *byte ^= !n;
        }
        seed
    }

    /// How many networks there are.
    pub fn networks(&self) -> usize {
        self.networks.len()
    }

    fn push(&mut self, network: Network) -> usize {
        self.networks.push(network);
        self.due_at.push(None);
        self.cut_off.push(0);
        self.networks.len() - 1
    }

    /// Whether the host has an interface on any network.
    pub fn is_plugged_in(&self, host: usize) -> bool {
        !self.hosts[host].plugs.is_empty()
    }

    /// Where a host's interface is plugged in.
    pub fn plug(&self, host: usize, interface: IfIndex) -> Option<Plug> {
        self.hosts[host].plugs.get(&interface).copied()
    }

    /// Which interface of its host is plugged in there.
    pub fn interface(&self, plug: Plug) -> Option<IfIndex> {
        let member = self.networks.get(plug.network)?.members.get(plug.member)?;
        Some(member.interface)
    }

    /// Whether these addresses can be had on a network.
    pub fn may_attach(&self, network: usize, addresses: &[(IpAddr, u8)]) -> io::Result<()> {
        for &(addr, _) in addresses {
            let checked = match &self.networks[network].medium {
                Medium::Segment(segment) => segment.may_add(addr),
                Medium::Link(_) | Medium::Outlet(..)
                    if addr.is_unspecified() || addr.is_multicast() =>
                {
                    Err(AttachError::NotUnicast)
                }
                Medium::Link(_) | Medium::Outlet(..) => Ok(()),
            };
            checked.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        }
        Ok(())
    }

    /// Gives a host another interface on a network: the first name of `eth0`, `eth1` ... that it does not have. What it
    /// sends takes `delay`, on a segment. Nothing has changed when it fails.
    pub fn plug_in(
        &mut self,
        (host, layer): (usize, &mut switchboard_socket::Host),
        network: usize,
        addresses: &[(IpAddr, u8)],
        delay: Duration,
    ) -> io::Result<(IfIndex, Plug)> {
        self.may_attach(network, addresses)?;
        let stack = layer.stack();
        let name = (0..)
            .map(|n| format!("eth{n}"))
            .find(|name| stack.interfaces().all(|i| i.name() != name))
            .unwrap_or_default();
        let network_of = &mut self.networks[network];
        let mtu = network_of.mtu();
        // One of those that nobody gives out (IEEE 802, 8.4): by host and by the host's interfaces.
        let number = stack.interfaces().count() as u8;
        let [_, a, b, c] = (host as u32).to_be_bytes();
        let mac = Mac([0x02, 0x53, a, b, c, number]);
        let config = InterfaceConfig { name, mtu };
        let index = if network_of.is_ethernet() {
            layer.stack_mut().add_ethernet(config, mac)
        } else {
            layer.stack_mut().add_interface(config)
        };
        layer.inherit_conf(index);
        let stack = layer.stack_mut();
        for &(addr, prefix_len) in addresses {
            stack.add_address(index, addr, prefix_len);
        }
        if network_of.takes_large_segments() {
            stack.change_interface(index, InterfaceChange::LargeSegments(true));
        }
        let member = network_of.attach(host, index, delay);
        let plug = Plug { network, member };
        if let Some(port) = network_of.port(member)
            && let Medium::Segment(segment) = &mut network_of.medium
        {
            for &(addr, prefix_len) in addresses {
                segment
                    .add_address(port, addr, prefix_len)
                    .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
            }
        }
        let _ = self.hosts[host].plugs.insert(index, plug);
        let own = IpAddr::from(mac.link_local());
        for addr in addresses.iter().map(|(addr, _)| *addr).chain([own]) {
            let _ = self.owners.entry(addr).or_insert(host);
        }
        Ok((index, plug))
    }

    /// From now on every host knows the hardware addresses of those it shares a network with, and asks nobody: `ip neigh add
    /// ... nud permanent` on each of them. Interfaces and addresses that come later are asked for as usual.
    pub fn know_neighbours(&self, now: Instant, hosts: &mut impl Hosts) {
        for network in &self.networks {
            for of in &network.members {
                let stack = hosts.layer(of.host).stack();
                let Some(interface) = stack.interface(of.interface) else {
                    continue;
                };
                let mac = Some(Mac(interface.hardware()));
                let addresses: Vec<IpAddr> = interface.addresses().iter().map(|a| a.addr).collect();
                for other in network.members.iter().filter(|other| other.host != of.host) {
                    let stack = hosts.layer(other.host).stack_mut();
                    for addr in &addresses {
                        let state = NeighState::Permanent;
                        stack.set_neighbour(now, other.interface, *addr, mac, state);
                    }
                }
            }
        }
    }

    /// The pipe in which a member sends ([`Cable::Up`]), or gets.
    pub fn pipe(&self, plug: Plug, cable: Cable) -> Option<&Pipe> {
        self.networks[plug.network].pipe(plug.member, cable)
    }

    /// Makes a direction of a member's cable another from `now` on.
    pub fn change(
        &mut self,
        now: Instant,
        plug: Plug,
        cable: Cable,
        change: impl FnOnce(&mut PipeConfig),
    ) {
        self.networks[plug.network].change(now, plug.member, cable, change);
        self.note(plug.network);
    }

    /// From now on nothing that one of `some` sends reaches one of `others`, and the other way round, whatever way it
    /// takes. What is on its way is lost too. Its name for [`Wires::heal`].
    pub fn partition(
        &mut self,
        some: impl IntoIterator<Item = usize>,
        others: impl IntoIterator<Item = usize>,
    ) -> u64 {
        self.cuts_made += 1;
        let id = self.cuts_made;
        let (some, others) = (some.into_iter().collect(), others.into_iter().collect());
        self.cuts.push(Cut { id, some, others });
        id
    }

    /// Ends a partition.
    pub fn heal(&mut self, id: u64) {
        self.cuts.retain(|cut| cut.id != id);
    }

    /// Ends all partitions.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
    }

    /// How many packets of a network partitions have kept from arriving. Its pipes count them as delivered.
    pub fn cut_off(&self, network: usize) -> u64 {
        self.cut_off.get(network).copied().unwrap_or(0)
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.cuts.len()
    }

    /// From now on the capture has what a host's interface sends and gets.
    pub fn tap(&mut self, host: usize, interface: IfIndex, tap: Tap) {
        let taps = &mut self.hosts[host].taps;
        taps.entry(interface).or_default().push(tap);
    }

    /// Those who listened at an interface, and do no more.
    pub(crate) fn untap(&mut self, host: usize, interface: IfIndex) -> Vec<Tap> {
        let taps = self.hosts[host].taps.remove(&interface);
        taps.unwrap_or_default()
    }

    /// Moves packets between the hosts until none can move at `now`, which is `at` since the epoch. `busy` are those that
    /// may have something to send; in the end nobody has.
    pub fn carry(
        &mut self,
        now: Instant,
        at: Duration,
        busy: &mut Vec<usize>,
        hosts: &mut impl Hosts,
    ) {
        loop {
            while let Some(index) = busy.pop() {
                let wired = &mut self.hosts[index];
                while let Some(outgoing) = hosts.departure(now, index) {
                    if let Some(taps) = wired.taps.get(&outgoing.interface) {
                        let program = hosts.program_of(index, Seen::Outbound, &outgoing.frame);
                        for tap in taps {
                            let frame = &outgoing.frame;
                            tap.frame(at, Seen::Outbound, frame, program.as_deref());
                        }
                    }
                    if let Some(plug) = wired.plugs.get(&outgoing.interface) {
                        let network = plug.network;
                        self.networks[network].send(now, plug.member, outgoing.frame);
                        note(&self.networks, &mut self.due, &mut self.due_at, network);
                    }
                }
                // A packet that leaves is seen by packet sockets, and a neighbour's state may have changed.
                hosts.delivered(index);
            }
            while let Some(&(_, network)) = self.due.first().filter(|(due, _)| *due <= now) {
                while let Some((member, frame)) = self.networks[network].poll_arrival(now) {
                    let sender = match &frame.body {
                        FrameBody::Ip(packet) => self.owners.get(&packet.ip.src),
                        FrameBody::Arp(arp) => self.owners.get(&arp.sender.1.into()),
                        FrameBody::Other { .. } => None,
                    };
                    if let Some(&sender) = sender.filter(|_| !self.cuts.is_empty())
                        && self.cuts.iter().any(|cut| cut.parts(sender, member.host))
                    {
                        self.cut_off[network] += u64::from(frame.segments());
                        continue;
                    }
                    if let Some(taps) = self.hosts[member.host].taps.get(&member.interface) {
                        let program = hosts.program_of(member.host, Seen::Inbound, &frame);
                        for tap in taps {
                            tap.frame(at, Seen::Inbound, &frame, program.as_deref());
                        }
                    }
                    let layer = hosts.layer(member.host);
                    layer.deliver_frame(now, member.interface, frame);
                    hosts.delivered(member.host);
                    if busy.last() != Some(&member.host) {
                        busy.push(member.host);
                    }
                }
                self.note(network);
            }
            if busy.is_empty() {
                return;
            }
        }
    }

    /// When something happens by itself next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A network's next time has changed.
    fn note(&mut self, network: usize) {
        note(&self.networks, &mut self.due, &mut self.due_at, network);
    }

    /// What the interfaces of both ends of a link are to have.
    pub(crate) fn set_link(&mut self, now: Instant, network: usize, configs: [PipeConfig; 2]) {
        for (end, config) in [(End::A, configs[0]), (End::B, configs[1])] {
            let plug = Plug {
                network,
                member: end as usize,
            };
            self.change(now, plug, Cable::Up, |own| *own = config);
        }
    }
}

/// Gives a host a route: packets for the prefix are handed to `gateway`, which must be on one of the host's links.
pub fn add_route(
    layer: &mut switchboard_socket::Host,
    prefix: IpAddr,
    prefix_len: u8,
    gateway: IpAddr,
) -> io::Result<()> {
    let longest = if prefix.is_ipv4() { 32 } else { 128 };
    if prefix.is_ipv4() != gateway.is_ipv4() || prefix_len > longest {
        return Err(ErrorKind::InvalidInput.into());
    }
    let stack = layer.stack_mut();
    // fib_check_nh: ENETUNREACH for a router that is not a neighbour.
    let route = stack.route(gateway, None, None).ok();
    let route = route.filter(|r| r.next_hop == gateway && r.interface != IfIndex::LO);
    let Some(route) = route else {
        return Err(ErrorKind::NetworkUnreachable.into());
    };
    stack.add_route(switchboard_engine::RouteConfig {
        prefix,
        prefix_len,
        gateway: Some(gateway),
        interface: route.interface,
        source: None,
        metric: 0,
        // RTPROT_BOOT, RT_SCOPE_UNIVERSE
        protocol: 3,
        scope: 0,
        table: switchboard_engine::TABLE_MAIN,
        leads: switchboard_engine::Leads::On,
        share: None,
    });
    Ok(())
}

fn note(
    networks: &[Network],
    due: &mut BTreeSet<(Instant, usize)>,
    due_at: &mut [Option<Instant>],
    network: usize,
) {
    let at = networks[network].poll_timeout();
    let known = std::mem::replace(&mut due_at[network], at);
    if known == at {
        return;
    }
    if let Some(known) = known {
        due.remove(&(known, network));
    }
    if let Some(at) = at {
        due.insert((at, network));
    }
}
