//! Interfaces and their addresses.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use switchboard_wire::{Ethernet, Mac};

use crate::conf::{Conf, Tunable4, Values};
use crate::time::Instant;

/// Names an interface of a host, as Linux's ifindex does. `lo` is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(u32);

impl IfIndex {
    /// The loopback interface, which every host has.
    pub const LO: IfIndex = IfIndex(1);

    /// From Linux's number; `None` for 0, which means "any interface".
    pub const fn new(index: u32) -> Option<IfIndex> {
        if index == 0 {
            None
        } else {
            Some(IfIndex(index))
        }
    }

    /// Linux's number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "if{}", self.0)
    }
}

/// Makes an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// Its name, such as `eth0`.
    pub name: String,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u32,
}

/// What went over an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that came in, and their bytes.
    pub received: (u64, u64),
    /// Of these, packets to a group.
    pub multicast: u64,
    /// Packets that were handed to the link, and their bytes.
    pub sent: (u64, u64),
}

/// An interface of a host.
#[derive(Clone, Debug)]
pub struct Interface {
    index: IfIndex,
    name: String,
    mtu: u32,
    addresses: Vec<InterfaceAddress>,
    traffic: Traffic,
    up: bool,
    /// Packets for others that come in here are handed on: IPv4, IPv6.
    pub(crate) forwarding: [bool; 2],
    /// net.ipv4.conf.IF
    pub(crate) conf: Values,
    /// What ioctl(2) keeps here and gives back.
    pub(crate) flags: u16,
    pub(crate) queue_len: u32,
    pub(crate) hardware: [u8; 6],
    /// It has a link layer.
    ethernet: bool,
    /// It carries segments that travel as one.
    gso: bool,
    /// Its other end is a program (/dev/net/tun).
    user: bool,
    carrier: bool,
    /// ARPHRD_*
    link_type: u16,
    /// Addresses that are not the host's yet, and whether another host has them.
    tentative: Vec<(Ipv6Addr, bool)>,
    /// Of addresses that are not as all are.
    traits: Vec<(IpAddr, AddressTraits)>,
    /// The hop limit and the MTU of IPv6 that a router has told of.
    pub(crate) hop_limit: Option<u8>,
    pub(crate) mtu6: Option<u32>,
    /// net.ipv6.conf.IF.disable_ipv6
    disabled6: bool,
}

/// For how long an address is the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Until when it is used by choice; `None`: for ever.
    pub preferred: Option<Instant>,
    /// Until when it is the host's at all; `None`: for ever.
    pub valid: Option<Instant>,
    /// When it was added, and when this was said.
    pub created: Instant,
    /// See `created`.
    pub updated: Instant,
}

/// What is special about an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressTraits {
    /// For how long it is the host's; `None`: for ever.
    pub lifetime: Option<Lifetime>,
    /// It is not used by choice any more (IFA_F_DEPRECATED).
    pub deprecated: bool,
    /// Nobody is reached directly for its prefix (IFA_F_NOPREFIXROUTE).
    pub without_subnet: bool,
    /// It was made of what a router advertises.
    pub by_router: bool,
    /// RT_SCOPE_*: how far an IPv4 address means something. 0: everywhere.
    pub scope: u8,
}

/// ARPHRD_ETHER, ARPHRD_LOOPBACK and ARPHRD_NONE of linux/if_arp.h.
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_NONE: u16 = 0xfffe;

/// Linux's default txqueuelen.
const QUEUE_LEN: u32 = 1000;
/// The same of a TUN interface (TUN_READQ_SIZE).
const TUNNEL_QUEUE_LEN: u32 = 500;
/// RT_SCOPE_HOST
const RT_SCOPE_HOST: u8 = 254;
/// IPV6_MIN_MTU: an interface that carries less has no IPv6.
const IPV6_MIN_MTU: u32 = 1280;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub addr: IpAddr,
    /// How many of its leading bits name the subnet.
    pub prefix_len: u8,
    /// Whose leading bits these are: the address itself, or that of the other end (IFA_ADDRESS).
    pub peer: IpAddr,
    /// A broadcast address that was given, besides the subnet's own.
    pub given_broadcast: Option<Ipv4Addr>,
}

impl Interface {
    /// What went over it. What `lo` sends it receives.
    pub fn traffic(&self) -> Traffic {
        let mut traffic = self.traffic;
        if self.is_loopback() {
            traffic.sent = traffic.received;
        }
        traffic
    }

    /// Whether it is up (IFF_UP).
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Flags that were set and mean nothing to the stack, such as IFF_DEBUG.
    pub fn flags(&self) -> u16 {
        self.flags
    }

    /// Whether it has a link layer: what it sends and gets are Ethernet frames.
    pub fn is_ethernet(&self) -> bool {
        self.ethernet
    }

    /// Whether its other end is a program: a TUN interface, or a TAP one where it has a link layer.
    pub fn is_user(&self) -> bool {
        self.user
    }

    /// Whether it has no hardware address and two ends: a TUN interface.
    pub fn is_tunnel(&self) -> bool {
        self.user && !self.ethernet
    }

    /// Whether somebody is at the other end (IFF_LOWER_UP), as far as it is known.
    pub fn has_carrier(&self) -> bool {
        self.carrier
    }

    /// What kind of link it says it is (ARPHRD_*).
    pub fn link_type(&self) -> u16 {
        self.link_type
    }

    /// Its hardware address, which is only kept where there is no link layer.
    pub fn hardware(&self) -> [u8; 6] {
        self.hardware
    }

    /// How many packets it may queue, as it was set.
    pub fn queue_len(&self) -> u32 {
        self.queue_len
    }

    /// Its index.
    pub fn index(&self) -> IfIndex {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The largest IP packet it carries, in bytes.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Whether it is the loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.index == IfIndex::LO
    }

    /// Its addresses, in the order in which they were added.
    pub fn addresses(&self) -> &[InterfaceAddress] {
        &self.addresses
    }

    /// Whether one of them is not the host's own yet (IFA_F_TENTATIVE), and if so, whether somebody else has it
    /// (IFA_F_DADFAILED).
    #[inline]
    pub fn tentative(&self, addr: IpAddr) -> Option<bool> {
        let mut all = self.tentative.iter();
        all.find(|(of, _)| *of == addr).map(|(_, failed)| *failed)
    }

    /// What is special about one of them.
    #[inline]
    pub fn traits(&self, addr: IpAddr) -> AddressTraits {
        let mut all = self.traits.iter();
        let found = all.find(|(of, _)| *of == addr);
        found.map_or(AddressTraits::default(), |(_, traits)| *traits)
    }

    /// RT_SCOPE_*: how far an IPv4 address means something.
    pub(crate) fn scope(&self, addr: IpAddr) -> u8 {
        match addr.is_loopback() {
            true => RT_SCOPE_HOST,
            false => self.traits(addr).scope,
        }
    }

    /// The addresses about which something is special.
    pub(crate) fn all_traits(&self) -> &[(IpAddr, AddressTraits)] {
        &self.traits
    }

    /// The largest IPv6 packet that it sends, which a router may have told of.
    pub fn mtu6(&self) -> u32 {
        self.mtu6.map_or(self.mtu, |mtu| mtu.min(self.mtu))
    }

    /// Whether it has IPv6 at all: it is not switched off, and a packet fits.
    pub fn has_v6(&self) -> bool {
        !self.disabled6 && self.mtu >= IPV6_MIN_MTU
    }

    /// Whether IPv6 is switched off (disable_ipv6).
    pub fn is_v6_disabled(&self) -> bool {
        self.disabled6
    }

    /// The hop limit that a router has told of.
    pub fn hop_limit(&self) -> Option<u8> {
        self.hop_limit
    }
}

impl Interface {
    /// Its other end is a program. It is down until somebody sets it up.
    pub(crate) fn set_user(&mut self) {
        (self.user, self.up, self.queue_len) = (true, false, TUNNEL_QUEUE_LEN);
        self.link_type = ARPHRD_NONE;
    }

    pub(crate) fn set_gso(&mut self, gso: bool) {
        self.gso = gso;
    }

    pub(crate) fn set_carrier(&mut self, carrier: bool) {
        self.carrier = carrier;
    }

    pub(crate) fn set_link_type(&mut self, link_type: u16) {
        self.link_type = link_type;
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        self.name = String::from(name);
    }

    /// IFF_UP. What IPv6 has goes with it (addrconf_ifdown), IPv4's addresses stay; `lo` gets its own back. What was given
    /// while the interface was down is there when it comes up.
    pub(crate) fn set_up(&mut self, up: bool) {
        self.up = up;
        match up {
            true => self.own_v6(),
            false => self.forget_v6(),
        }
        let has_v4 = self.addresses.iter().any(|a| a.addr.is_ipv4());
        if up && self.is_loopback() && !has_v4 {
            self.addresses.insert(0, LOOPBACK_V4);
        }
    }

    fn header_len(&self) -> u64 {
        if self.ethernet {
            Ethernet::LEN as u64
        } else {
            0
        }
    }

    /// See [`tentative`](Self::tentative).
    pub(crate) fn set_tentative(&mut self, addr: Ipv6Addr, state: Option<bool>) {
        self.tentative.retain(|(of, _)| *of != addr);
        self.tentative.extend(state.map(|failed| (addr, failed)));
    }

    /// Takes an address away.
    pub(crate) fn remove(&mut self, address: &InterfaceAddress) {
        self.tentative.retain(|(of, _)| *of != address.addr);
        self.addresses.retain(|a| a != address);
        self.forget_traits();
    }

    /// See [`traits`](Self::traits).
    pub(crate) fn set_traits(&mut self, addr: IpAddr, traits: AddressTraits) {
        self.traits.retain(|(of, _)| *of != addr);
        if traits != AddressTraits::default() {
            self.traits.push((addr, traits));
        }
    }

    /// Of addresses that are gone.
    fn forget_traits(&mut self) {
        let there = &self.addresses;
        self.traits
            .retain(|(of, _)| there.iter().any(|a| a.addr == *of));
    }

    /// Below IPV6_MIN_MTU there is no IPv6; it comes back when the interface is set up anew.
    pub(crate) fn set_mtu(&mut self, mtu: u32) {
        self.mtu = mtu;
        // addrconf_notify(): what a router said is forgotten.
        self.mtu6 = None;
        if mtu < IPV6_MIN_MTU {
            self.tentative.clear();
            self.addresses.retain(|a| a.addr.is_ipv4());
            self.forget_traits();
        }
    }

    /// It has a link layer from now on, and IPv6's own address of the link (addrconf_dev_config).
    pub(crate) fn set_ethernet(&mut self, mac: Mac) {
        self.ethernet = true;
        self.queue_len = QUEUE_LEN;
        self.link_type = ARPHRD_ETHER;
        self.hardware = mac.0;
        if self.up && self.has_v6() {
            self.insert(InterfaceAddress::new(mac.link_local().into(), 64));
        }
    }

    /// Switches IPv6 off or on (dev_disable_change): its addresses go, as if the interface went down, or come as if it came up.
    pub(crate) fn disable_v6(&mut self, disabled: bool) {
        if self.disabled6 != disabled {
            self.disabled6 = disabled;
            self.forget_v6();
            self.own_v6();
        }
    }

    fn forget_v6(&mut self) {
        self.tentative.clear();
        self.addresses.retain(|a| a.addr.is_ipv4());
        self.forget_traits();
    }

    /// What an interface that is up has by itself.
    fn own_v6(&mut self) {
        let own = if self.is_loopback() {
            LOOPBACK_V6
        } else {
            InterfaceAddress::new(Mac(self.hardware).link_local().into(), 64)
        };
        let has_one = self.up && (self.is_loopback() || self.ethernet) && self.has_v6();
        if has_one && self.addresses.iter().all(|a| a.addr != own.addr) {
            self.insert(own);
        }
    }

    /// The address that makes this one a secondary one (IFA_F_SECONDARY): an earlier one of the same IPv4 subnet.
    pub fn primary(&self, address: &InterfaceAddress) -> Option<IpAddr> {
        if !address.addr.is_ipv4() {
            return None;
        }
        let mut earlier = self.addresses.iter().take_while(|a| *a != address);
        earlier
            .find(|a| a.prefix_len == address.prefix_len && a.covers(address.peer))
            .map(|a| a.addr)
    }

    /// Adds an address where Linux lists it: in IPv4 behind the primary ones that are not of a wider scope or behind all, in IPv6
    /// before what has a smaller scope.
    pub(crate) fn insert(&mut self, address: InterfaceAddress) {
        if address.addr.is_ipv4() {
            self.conf.settle();
        }
        let at = if address.addr.is_ipv4() {
            let secondary = self
                .addresses
                .iter()
                .any(|a| a.prefix_len == address.prefix_len && a.covers(address.peer));
            let is_secondary = |a: &InterfaceAddress| self.primary(a).is_some();
            let own = self.scope(address.addr);
            // inet_insert_ifa()
            let goes_before = |a: &InterfaceAddress| {
                a.addr.is_ipv4() && !is_secondary(a) && self.scope(a.addr) >= own
            };
            match secondary {
                true => self.addresses.iter().position(|a| a.addr.is_ipv6()),
                false => {
                    let last = self.addresses.iter().rposition(goes_before);
                    Some(last.map_or(0, |last| last + 1))
                }
            }
        } else {
            let scope = crate::route::scope_of(address.addr);
            self.addresses
                .iter()
                .position(|a| a.addr.is_ipv6() && crate::route::scope_of(a.addr) < scope)
        };
        self.addresses
            .insert(at.unwrap_or(self.addresses.len()), address);
    }
}

const LOOPBACK_V4: InterfaceAddress = InterfaceAddress::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8);
const LOOPBACK_V6: InterfaceAddress = InterfaceAddress::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);

impl InterfaceAddress {
    /// An address without a peer, with its subnet's broadcast address.
    pub const fn new(addr: IpAddr, prefix_len: u8) -> InterfaceAddress {
        InterfaceAddress {
            addr,
            prefix_len,
            peer: addr,
            given_broadcast: None,
        }
    }

    /// Whether `addr` is in the subnet.
    pub fn covers(&self, addr: IpAddr) -> bool {
        in_prefix(addr, self.peer, self.prefix_len)
    }

    /// The subnet's broadcast address; none in IPv6 and in subnets of one or two addresses (RFC 3021).
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.peer {
            IpAddr::V4(addr) if self.prefix_len < 31 => Some(Ipv4Addr::from_bits(
                addr.to_bits() | u32::MAX >> self.prefix_len,
            )),
            _ => None,
        }
    }
}

/// Whether the first `prefix_len` bits of two addresses of one family agree.
pub(crate) fn in_prefix(addr: IpAddr, prefix: IpAddr, prefix_len: u8) -> bool {
    match (addr, prefix) {
        (IpAddr::V4(a), IpAddr::V4(b)) => common_v4(a, b) >= prefix_len.into(),
        (IpAddr::V6(a), IpAddr::V6(b)) => common_v6(a, b) >= prefix_len.into(),
        _ => false,
    }
}

fn common_v4(a: Ipv4Addr, b: Ipv4Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros()
}

/// How many leading bits two addresses share.
pub(crate) fn common_v6(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros()
}

/// No place: an index is not given again.
const GONE: u32 = u32::MAX;

/// All interfaces of a host. There are few; what is asked per packet is a hash lookup.
#[derive(Debug)]
pub(crate) struct Interfaces {
    list: Vec<Interface>,
    /// Where the interface of each index there ever was stands in the list: [`GONE`] where it has been taken away.
    places: Vec<u32>,
    /// The interface of every own address.
    owners: crate::hash::KeyedMap<IpAddr, IfIndex>,
    /// The broadcast addresses of all subnets.
    broadcasts: crate::hash::KeyedMap<Ipv4Addr, IfIndex>,
    /// What is sent on `lo` comes straight in again: it is up, and nobody else carries it.
    lo_is_direct: bool,
    /// What is sent on `lo` is the caller's to carry.
    pub(crate) lo_is_carried: bool,
    /// Subnets of `lo` but 127.0.0.0/8, which are the host's own as a whole.
    local_nets: Vec<InterfaceAddress>,
    /// Of a secondary address the primary one, from which packets to it come.
    primaries: crate::hash::KeyedMap<IpAddr, IpAddr>,
    /// What a new interface has.
    pub(crate) forwarding: [bool; 2],
    /// net.ipv4.conf.all and net.ipv4.conf.default.
    pub(crate) conf_all: Values,
    pub(crate) conf_default: Values,
    /// rp_filter is on for some.
    pub(crate) checks_sources: bool,
    /// Some interface has a hop limit of its own.
    has_hop_limits: bool,
}

impl Interfaces {
    /// With `lo`: 127.0.0.1/8 and ::1/128, MTU 65536.
    pub(crate) fn new(hash: crate::hash::KeyedState, forwarding: [bool; 2]) -> Interfaces {
        let mut interfaces = Interfaces {
            list: Vec::new(),
            places: Vec::new(),
            owners: crate::hash::KeyedMap::with_hasher(hash),
            broadcasts: crate::hash::KeyedMap::with_hasher(hash),
            lo_is_direct: true,
            lo_is_carried: false,
            local_nets: Vec::new(),
            primaries: crate::hash::KeyedMap::with_hasher(hash),
            forwarding,
            conf_all: Values::default(),
            conf_default: Values::default(),
            checks_sources: false,
            has_hop_limits: false,
        };
        let lo = interfaces.add(InterfaceConfig {
            name: String::from("lo"),
            mtu: 65_536,
        });
        interfaces.add_address(lo, Ipv4Addr::LOCALHOST.into(), 8);
        interfaces.add_address(lo, Ipv6Addr::LOCALHOST.into(), 128);
        interfaces
    }

    pub(crate) fn add(&mut self, config: InterfaceConfig) -> IfIndex {
        let index = IfIndex(self.places.len() as u32 + 1);
        self.places.push(self.list.len() as u32);
        let InterfaceConfig { name, mtu } = config;
        self.list.push(Interface {
            index,
            name,
            mtu,
            addresses: Vec::new(),
            traffic: Traffic::default(),
            up: true,
            forwarding: self.forwarding,
            conf: self.conf_default,
            flags: 0,
            queue_len: QUEUE_LEN,
            hardware: [0; 6],
            ethernet: false,
            gso: false,
            user: false,
            carrier: true,
            link_type: match index {
                IfIndex::LO => ARPHRD_LOOPBACK,
                _ => ARPHRD_ETHER,
            },
            tentative: Vec::new(),
            traits: Vec::new(),
            hop_limit: None,
            mtu6: None,
            disabled6: false,
        });
        index
    }

    /// Takes one away.
    pub(crate) fn remove(&mut self, index: IfIndex) {
        let Some(place) = self.place(index) else {
            return;
        };
        self.list.remove(place);
        self.places[index.0 as usize - 1] = GONE;
        for later in self.places.iter_mut().skip(index.0 as usize) {
            if *later != GONE {
                *later -= 1;
            }
        }
        self.renew();
    }

    #[inline]
    fn place(&self, index: IfIndex) -> Option<usize> {
        let place = *self.places.get(index.0 as usize - 1)?;
        (place != GONE).then_some(place as usize)
    }

    #[inline]
    fn get_mut(&mut self, index: IfIndex) -> Option<&mut Interface> {
        let place = self.place(index)?;
        self.list.get_mut(place)
    }

    pub(crate) fn add_address(&mut self, index: IfIndex, addr: IpAddr, prefix_len: u8) {
        let longest = if addr.is_ipv4() { 32 } else { 128 };
        let mut address = InterfaceAddress::new(addr, prefix_len.min(longest));
        if index != IfIndex::LO {
            address.given_broadcast = address.broadcast();
        }
        let Some(interface) = self.get_mut(index) else {
            return;
        };
        if addr.is_ipv6() && interface.disabled6 {
            return;
        }
        if !interface.addresses.contains(&address) {
            interface.addresses.push(address);
        }
        if addr.is_ipv4() {
            interface.conf.settle();
        }
        self.note(index);
    }

    /// A router has told of the hop limit on a link.
    pub(crate) fn set_hop_limit(&mut self, index: IfIndex, limit: Option<u8>) {
        if let Some(interface) = self.get_mut(index) {
            interface.hop_limit = limit;
        }
        self.has_hop_limits = self.list.iter().any(|i| i.hop_limit.is_some());
    }

    /// What a router has told of it.
    #[inline]
    pub(crate) fn hop_limit(&self, index: IfIndex) -> Option<u8> {
        if !self.has_hop_limits {
            return None;
        }
        self.get(index)?.hop_limit
    }

    /// Whether segments that travel as one leave by it as one.
    #[inline]
    pub(crate) fn takes_large_segments(&self, index: IfIndex) -> bool {
        self.get(index).is_some_and(|interface| interface.gso)
    }

    /// Changes an interface; what follows from its addresses is worked out anew.
    pub(crate) fn change(&mut self, index: IfIndex, change: impl FnOnce(&mut Interface)) {
        let Some(interface) = self.get_mut(index) else {
            return;
        };
        change(interface);
        self.renew();
    }

    /// Works out anew what follows from addresses.
    fn renew(&mut self) {
        self.owners.clear();
        self.broadcasts.clear();
        self.lo_is_direct = !self.lo_is_carried && self.lo_is_up();
        self.local_nets.clear();
        self.primaries.clear();
        // fib_sync_down_dev: the host's own addresses stay its own while their interface is down.
        for place in 0..self.list.len() {
            self.note(self.list[place].index);
        }
    }

    /// What follows from an interface's addresses.
    fn note(&mut self, index: IfIndex) {
        let Some(interface) = self.place(index).and_then(|place| self.list.get(place)) else {
            return;
        };
        for address in &interface.addresses {
            if interface.tentative(address.addr).is_some() {
                continue;
            }
            self.owners.entry(address.addr).or_insert(index);
            let both = [address.broadcast(), address.given_broadcast];
            for broadcast in both.into_iter().flatten() {
                self.broadcasts.entry(broadcast).or_insert(index);
            }
            if let Some(primary) = interface.primary(address) {
                self.primaries.insert(address.addr, primary);
            } else if interface.is_loopback()
                && address.addr.is_ipv4()
                && !address.addr.to_canonical().is_loopback()
                && !interface.traits(address.addr).without_subnet
                && !self.local_nets.contains(address)
            {
                // fib_add_ifaddr(): the whole subnet is the host's own.
                self.local_nets.push(*address);
            }
        }
    }

    /// Sets what is under net.ipv4.conf.
    pub(crate) fn set_conf(&mut self, conf: Conf, which: Tunable4, value: i32) {
        match conf {
            Conf::All => self.conf_all.set(which, value),
            Conf::Default => {
                self.conf_default.set(which, value);
                self.list
                    .iter_mut()
                    .for_each(|i| i.conf.follow(which, value));
            }
            Conf::Interface(index) => {
                if let Some(interface) = self.get_mut(index) {
                    interface.conf.set(which, value);
                }
            }
        }
        let all = self.list.iter().map(|i| &i.conf);
        let mut all = all.chain([&self.conf_all]);
        self.checks_sources = all.any(|values| values.get(Tunable4::RpFilter) != 0);
    }

    /// Sets forwarding of one interface, or of all there are and will be.
    pub(crate) fn forward(&mut self, v6: bool, index: Option<IfIndex>, on: bool) {
        if index.is_none() {
            self.forwarding[usize::from(v6)] = on;
        }
        let them = self.list.iter_mut();
        for interface in them.filter(|i| index.is_none_or(|index| index == i.index)) {
            interface.forwarding[usize::from(v6)] = on;
        }
    }

    pub(crate) fn get(&self, index: IfIndex) -> Option<&Interface> {
        self.list.get(self.place(index)?)
    }

    /// Whether what the host sends to itself comes straight in again.
    #[inline]
    pub(crate) fn lo_is_direct(&self) -> bool {
        self.lo_is_direct
    }

    /// Whether the host has an IPv6 address to send from.
    pub(crate) fn has_v6_address(&self) -> bool {
        self.owners.keys().any(IpAddr::is_ipv6)
    }

    /// See [`Interface::has_v6`].
    pub(crate) fn has_v6(&self, index: IfIndex) -> bool {
        self.get(index).is_some_and(Interface::has_v6)
    }

    /// Whether an interface has a link layer.
    #[inline]
    pub(crate) fn is_ethernet(&self, index: IfIndex) -> bool {
        self.get(index).is_some_and(|i| i.ethernet)
    }

    /// Whether this is the group of those that may have one of the interface's addresses (RFC 4291, 2.7.1).
    pub(crate) fn is_solicited_node(&self, index: IfIndex, group: Ipv6Addr) -> bool {
        let base = [0xff02, 0, 0, 0, 0, 1];
        let named = group.segments()[..6] == base && group.octets()[12] == 0xff;
        let low = |addr: Ipv6Addr| addr.octets()[13..] == group.octets()[13..];
        named
            && self.get(index).is_some_and(|i| {
                let own = i.addresses.iter();
                i.ethernet
                    && own
                        .clone()
                        .any(|a| matches!(a.addr, IpAddr::V6(a) if low(a)))
            })
    }

    /// Whether `lo` is up.
    pub(crate) fn lo_is_up(&self) -> bool {
        self.list.first().is_some_and(|lo| lo.up)
    }

    #[inline]
    pub(crate) fn received(&mut self, index: IfIndex, bytes: u64, multicast: bool) {
        if let Some(interface) = self.get_mut(index) {
            let bytes = bytes + interface.header_len();
            interface.traffic.received.0 += 1;
            interface.traffic.received.1 += bytes;
            interface.traffic.multicast += u64::from(multicast);
        }
    }

    pub(crate) fn sent(&mut self, index: IfIndex, bytes: u64) {
        if let Some(interface) = self.get_mut(index) {
            let bytes = bytes + interface.header_len();
            interface.traffic.sent.0 += 1;
            interface.traffic.sent.1 += bytes;
        }
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Interface> {
        self.list.iter()
    }

    /// The interface that has this address, if it is the host's own. All of 127.0.0.0/8 is (RFC 1122, 3.2.1.3 g).
    #[inline]
    pub(crate) fn owner(&self, addr: IpAddr) -> Option<IfIndex> {
        match addr {
            IpAddr::V4(v4) if v4.is_loopback() && !self.is_broadcast(v4) => Some(IfIndex::LO),
            _ => match self.owners.get(&addr) {
                Some(owner) => Some(*owner),
                None if self.local_nets.is_empty() => None,
                None => self.local_net(addr).map(|_| IfIndex::LO),
            },
        }
    }

    /// Whether it is an address of an interface, and not only of the host's by a subnet of `lo`.
    pub(crate) fn is_address(&self, addr: IpAddr) -> bool {
        self.owners.contains_key(&addr)
    }

    #[cold]
    fn local_net(&self, addr: IpAddr) -> Option<&InterfaceAddress> {
        let many = matches!(addr, IpAddr::V4(v4) if self.is_broadcast(v4));
        self.local_nets.iter().find(|net| !many && net.covers(addr))
    }

    /// The preferred source of a local route: the address itself, but the primary one of its subnet.
    pub(crate) fn local_source(&self, dst: IpAddr) -> IpAddr {
        if matches!(dst, IpAddr::V4(v4) if v4.is_loopback()) {
            return Ipv4Addr::LOCALHOST.into();
        }
        if !self.primaries.is_empty()
            && let Some(primary) = self.primaries.get(&dst)
        {
            return *primary;
        }
        if self.local_nets.is_empty() || self.owners.contains_key(&dst) {
            return dst;
        }
        self.local_net(dst).map_or(dst, |net| net.addr)
    }

    /// Whether this is the limited broadcast address or that of one of the host's subnets.
    #[inline]
    pub(crate) fn is_broadcast(&self, addr: Ipv4Addr) -> bool {
        // No subnet's broadcast address ends in 0: its last two bits at least are ones.
        addr.to_bits() & 3 == 3 && (addr.is_broadcast() || self.broadcasts.contains_key(&addr))
    }

    /// The interface whose subnet has this broadcast address.
    pub(crate) fn broadcast_interface(&self, addr: Ipv4Addr) -> Option<IfIndex> {
        self.broadcasts.get(&addr).copied()
    }
}

#[cfg(test)]
mod tests;
