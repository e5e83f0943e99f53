//! Interfaces and their addresses.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    /// What ioctl(2) keeps here and gives back.
    pub(crate) flags: u16,
    pub(crate) queue_len: u32,
    pub(crate) hardware: [u8; 6],
}

/// Linux's default txqueuelen.
const QUEUE_LEN: u32 = 1000;
/// IPV6_MIN_MTU: an interface that carries less has no IPv6.
const IPV6_MIN_MTU: u32 = 1280;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub addr: IpAddr,
    /// How many of its leading bits name the subnet.
    pub prefix_len: u8,
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

    /// Its hardware address, which is only kept.
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
}

impl Interface {
    pub(crate) fn set_name(&mut self, name: &str) {
        self.name = String::from(name);
    }

    /// IFF_UP. What IPv6 has goes with it (addrconf_ifdown), IPv4's addresses stay; `lo` gets its own back.
    pub(crate) fn set_up(&mut self, up: bool) {
        self.up = up;
        self.renew_v6();
        let has_v4 = self.addresses.iter().any(|a| a.addr.is_ipv4());
        if up && self.is_loopback() && !has_v4 {
            self.addresses.insert(0, LOOPBACK_V4);
        }
    }

    /// Below IPV6_MIN_MTU there is no IPv6; it comes back when the interface is set up anew.
    pub(crate) fn set_mtu(&mut self, mtu: u32) {
        self.mtu = mtu;
        if mtu < IPV6_MIN_MTU {
            self.addresses.retain(|a| a.addr.is_ipv4());
        }
    }

    fn renew_v6(&mut self) {
        self.addresses.retain(|a| a.addr.is_ipv4());
        if self.up && self.is_loopback() && self.mtu >= IPV6_MIN_MTU {
            self.addresses.push(LOOPBACK_V6);
        }
    }

    /// Takes the address away; whether it was there.
    pub(crate) fn remove(&mut self, addr: IpAddr) -> bool {
        let before = self.addresses.len();
        self.addresses.retain(|a| a.addr != addr);
        self.addresses.len() < before
    }

    /// Puts another in the place of its first IPv4 address.
    pub(crate) fn set_first_v4(&mut self, address: Option<InterfaceAddress>) {
        let first = self.addresses.iter().position(|a| a.addr.is_ipv4());
        match (first, address) {
            (Some(at), Some(address)) => self.addresses[at] = address,
            (Some(at), None) => {
                self.addresses.remove(at);
            }
            (None, Some(address)) => self.addresses.insert(0, address),
            (None, None) => {}
        }
    }
}

const LOOPBACK_V4: InterfaceAddress = InterfaceAddress {
    addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
    prefix_len: 8,
};
const LOOPBACK_V6: InterfaceAddress = InterfaceAddress {
    addr: IpAddr::V6(Ipv6Addr::LOCALHOST),
    prefix_len: 128,
};

impl InterfaceAddress {
    /// Whether `addr` is in the subnet.
    pub fn covers(&self, addr: IpAddr) -> bool {
        in_prefix(addr, self.addr, self.prefix_len)
    }

    /// The subnet's broadcast address; none in IPv6 and in subnets of one or two addresses (RFC 3021).
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.addr {
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

/// All interfaces of a host. There are few; what is asked per packet is a hash lookup.
#[derive(Debug)]
pub(crate) struct Interfaces {
    list: Vec<Interface>,
    /// The interface of every own address.
    owners: crate::hash::KeyedMap<IpAddr, IfIndex>,
    /// The broadcast addresses of all subnets.
    broadcasts: crate::hash::KeyedMap<Ipv4Addr, IfIndex>,
    /// What is sent on `lo` comes straight in again: it is up, and nobody else carries it.
    lo_is_direct: bool,
    /// What is sent on `lo` is the caller's to carry.
    pub(crate) lo_is_carried: bool,
    /// What a new interface has.
    pub(crate) forwarding: [bool; 2],
}

impl Interfaces {
    /// With `lo`: 127.0.0.1/8 and ::1/128, MTU 65536.
    pub(crate) fn new(hash: crate::hash::KeyedState, forwarding: [bool; 2]) -> Interfaces {
        let mut interfaces = Interfaces {
            list: Vec::new(),
            owners: crate::hash::KeyedMap::with_hasher(hash),
            broadcasts: crate::hash::KeyedMap::with_hasher(hash),
            lo_is_direct: true,
            lo_is_carried: false,
            forwarding,
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
        let index = IfIndex(self.list.len() as u32 + 1);
        let InterfaceConfig { name, mtu } = config;
        self.list.push(Interface {
            index,
            name,
            mtu,
            addresses: Vec::new(),
            traffic: Traffic::default(),
            up: true,
            forwarding: self.forwarding,
            flags: 0,
            queue_len: QUEUE_LEN,
            hardware: [0; 6],
        });
        index
    }

    pub(crate) fn add_address(&mut self, index: IfIndex, addr: IpAddr, prefix_len: u8) {
        let longest = if addr.is_ipv4() { 32 } else { 128 };
        let address = InterfaceAddress {
            addr,
            prefix_len: prefix_len.min(longest),
        };
        let Some(interface) = self.list.get_mut(index.0 as usize - 1) else {
            return;
        };
        if !interface.addresses.contains(&address) {
            interface.addresses.push(address);
        }
        self.owners.entry(addr).or_insert(index);
        if let Some(broadcast) = address.broadcast() {
            self.broadcasts.entry(broadcast).or_insert(index);
        }
    }

    /// Changes an interface; what follows from its addresses is worked out anew.
    pub(crate) fn change(&mut self, index: IfIndex, change: impl FnOnce(&mut Interface)) {
        let Some(interface) = self.list.get_mut(index.0 as usize - 1) else {
            return;
        };
        change(interface);
        self.owners.clear();
        self.broadcasts.clear();
        self.lo_is_direct = !self.lo_is_carried && self.lo_is_up();
        // fib_sync_down_dev: the host's own addresses stay its own while their interface is down.
        for interface in &self.list {
            for address in &interface.addresses {
                self.owners.entry(address.addr).or_insert(interface.index);
                if let Some(broadcast) = address.broadcast() {
                    self.broadcasts.entry(broadcast).or_insert(interface.index);
                }
            }
        }
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
        self.list.get(index.0 as usize - 1)
    }

    /// Whether what the host sends to itself comes straight in again.
    #[inline]
    pub(crate) fn lo_is_direct(&self) -> bool {
        self.lo_is_direct
    }

    /// Whether `lo` is up.
    pub(crate) fn lo_is_up(&self) -> bool {
        self.list.first().is_some_and(|lo| lo.up)
    }

    #[inline]
    pub(crate) fn received(&mut self, index: IfIndex, bytes: u64, multicast: bool) {
        if let Some(interface) = self.list.get_mut(index.0 as usize - 1) {
            interface.traffic.received.0 += 1;
            interface.traffic.received.1 += bytes;
            interface.traffic.multicast += u64::from(multicast);
        }
    }

    pub(crate) fn sent(&mut self, index: IfIndex, bytes: u64) {
        if let Some(interface) = self.list.get_mut(index.0 as usize - 1) {
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
            _ => self.owners.get(&addr).copied(),
        }
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
