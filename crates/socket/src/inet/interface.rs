//! netdevice(7): what the privileged may change about interfaces.
//!
//! # Limits
//! The hardware address of an interface without a link layer is only kept.

use crate::call::Cx;
use crate::cred::{Caps, Cred};
use crate::host::Host;
use crate::netlink::{AddressNote, Teller};
use alloc::string::String;
use core::net::{Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_engine::{AddressTraits, IfIndex, Interface, InterfaceAddress, InterfaceChange};

/// `IFF_UP` of netdevice(7).
pub(crate) const IFF_UP: u16 = 0x1;
const IFF_BROADCAST: u16 = 0x2;
const IFF_LOOPBACK: u16 = 0x8;
const IFF_POINTOPOINT: u16 = 0x10;
const IFF_RUNNING: u16 = 0x40;
const IFF_NOARP: u16 = 0x80;
const IFF_MULTICAST: u16 = 0x1000;
/// What __dev_change_flags() lets be set beside IFF_UP: DEBUG, NOTRAILERS, NOARP, PROMISC, ALLMULTI, MULTICAST,
/// PORTSEL, AUTOMEDIA, DYNAMIC.
const SETTABLE: u16 = 0x4 | 0x20 | 0x80 | 0x100 | 0x200 | 0x1000 | 0x2000 | 0x4000 | 0x8000;
/// RFC 791: every link carries this. Linux's `lo` takes less, which no protocol can use.
const LEAST_MTU: i32 = 68;
/// IFNAMSIZ, with the NUL.
const NAME_SIZE: usize = 16;

/// Flags as SIOCGIFFLAGS tells them (dev_get_flags()).
pub fn interface_flags(interface: &Interface) -> u16 {
    let kind = if interface.is_loopback() {
        IFF_LOOPBACK
    } else if interface.is_tunnel() {
        IFF_POINTOPOINT
    } else {
        IFF_BROADCAST
    };
    let state = match (interface.is_up(), interface.has_carrier()) {
        (false, _) => 0,
        (true, false) => IFF_UP,
        (true, true) => IFF_UP | IFF_RUNNING,
    };
    // What was set differs from what it is from the start.
    kind | state | (start_flags(interface) ^ interface.flags())
}

/// The flags among those that can be set that an interface has from the start.
fn start_flags(interface: &Interface) -> u16 {
    if interface.is_loopback() {
        0
    } else if interface.is_tunnel() {
        IFF_MULTICAST | IFF_NOARP
    } else {
        IFF_MULTICAST
    }
}

/// A setting of an interface, as ioctl(2) asks for it.
#[derive(Clone, Copy, Debug)]
pub enum InterfaceSetting<'a> {
    /// SIOCSIFFLAGS
    Flags(u16),
    /// SIOCSIFMTU
    Mtu(i32),
    /// SIOCSIFTXQLEN
    QueueLen(i32),
    /// SIOCSIFNAME
    Name(&'a str),
    /// SIOCSIFHWADDR: kind of link, and address.
    Hardware(u16, [u8; 6]),
    /// SIOCSIFADDR: family and address.
    Address(u16, Ipv4Addr),
    /// SIOCSIFNETMASK: family and mask.
    Netmask(u16, Ipv4Addr),
    /// SIOCSIFBRDADDR: family and address.
    Broadcast(u16, Ipv4Addr),
    /// SIOCSIFDSTADDR: family and the other end's address.
    Destination(u16, Ipv4Addr),
    /// SIOCSIFMETRIC, SIOCSIFMAP.
    Unsupported,
}

impl InterfaceSetting<'_> {
    /// Family and address of what is set about an address.
    fn address(&self) -> Option<(u16, Ipv4Addr)> {
        match *self {
            InterfaceSetting::Address(family, addr)
            | InterfaceSetting::Netmask(family, addr)
            | InterfaceSetting::Broadcast(family, addr)
            | InterfaceSetting::Destination(family, addr) => Some((family, addr)),
            _ => None,
        }
    }
}

/// Root and whoever administers the network.
pub fn may_administer(cred: &Cred) -> bool {
    cred.euid == 0 || cred.caps.contains(Caps::NET_ADMIN)
}

/// inet_abc_len(): the mask that goes with an address by its class.
fn class_prefix(addr: Ipv4Addr) -> Option<u8> {
    match addr.octets()[0] {
        0..128 => Some(8),
        128..192 => Some(16),
        192..224 => Some(24),
        224..240 => None,
        240.. => Some(32),
    }
}

/// The length of a netmask; `None` where ones follow a zero.
pub(super) fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let len = bits.leading_ones();
    (bits.checked_shl(len).unwrap_or(0) == 0).then_some(len as u8)
}

/// dev_valid_name().
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < NAME_SIZE
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

impl Host {
    /// ioctl(2) that sets something about the interface of this name: `EPERM` before `ENODEV`, as Linux looks. `inet`: the
    /// socket is an AF_INET one, to which a label such as `lo:1` is an address (devinet_ioctl()).
    pub fn set_interface(
        &mut self,
        cx: &Cx<'_>,
        inet: bool,
        name: &str,
        setting: InterfaceSetting<'_>,
    ) -> Result<(), Errno> {
        const AF_INET: u16 = switchboard_abi::number::AF_INET as u16;
        if !may_administer(cx.cred) {
            return Err(Errno::EPERM);
        }
        if setting
            .address()
            .is_some_and(|(family, _)| family != AF_INET)
        {
            return Err(Errno::EINVAL);
        }
        let (base, label) = name.split_once(':').unwrap_or((name, ""));
        let interface = self.stack.interfaces().find(|i| i.name() == base);
        let index = interface.ok_or(Errno::ENODEV)?.index();
        let teller = Teller::ioctl(cx.now);
        if let Some((_, addr)) = setting.address() {
            return self.set_address(&teller, index, name, setting, addr);
        }
        if let (InterfaceSetting::Flags(flags), true) = (setting, inet && !label.is_empty()) {
            let own = self.labelled(index, name).ok_or(Errno::EADDRNOTAVAIL)?;
            if flags & IFF_UP == 0 {
                self.remove_address(&teller, index, &own);
            }
            return Ok(());
        }
        self.make_setting(&teller, index, setting)
    }

    /// The first IPv4 address with this label.
    fn labelled(&self, index: IfIndex, name: &str) -> Option<InterfaceAddress> {
        let interface = self.stack.interface(index)?;
        self.labelled_addresses(interface)
            .find(|(label, _)| *label == name)
            .map(|(_, address)| *address)
    }

    /// The IPv4 addresses of an interface with their labels.
    pub fn labelled_addresses<'a>(
        &'a self,
        interface: &'a Interface,
    ) -> impl Iterator<Item = (&'a str, &'a InterfaceAddress)> {
        let v4 = interface.addresses().iter().filter(|a| a.addr.is_ipv4());
        v4.map(move |a| {
            let label = self.address_label(interface, a);
            (label.unwrap_or(interface.name()), a)
        })
    }

    /// devinet_ioctl(), where it sets: the address goes, and comes back changed.
    fn set_address(
        &mut self,
        teller: &Teller,
        index: IfIndex,
        name: &str,
        setting: InterfaceSetting<'_>,
        addr: Ipv4Addr,
    ) -> Result<(), Errno> {
        let old = self.labelled(index, name);
        let many = self
            .stack
            .interface(index)
            .is_some_and(|i| !i.is_loopback());
        let mut new = match setting {
            InterfaceSetting::Address(..) => {
                let mut prefix_len = class_prefix(addr).ok_or(Errno::EINVAL)?;
                // IFF_POINTOPOINT: there is only the other end.
                if self
                    .stack
                    .interface(index)
                    .is_some_and(Interface::is_tunnel)
                {
                    prefix_len = 32;
                }
                if old.is_some_and(|old| old.addr == addr) {
                    return Ok(());
                }
                InterfaceAddress::new(addr.into(), prefix_len)
            }
            _ => old.ok_or(Errno::EADDRNOTAVAIL)?,
        };
        match setting {
            InterfaceSetting::Netmask(..) => {
                let prefix_len = prefix_of(addr).ok_or(Errno::EINVAL)?;
                if prefix_len == new.prefix_len {
                    return Ok(());
                }
                let own = |prefix_len| InterfaceAddress {
                    prefix_len,
                    peer: new.addr,
                    ..new
                };
                // A broadcast address that was the old mask's becomes the new one's.
                if many && prefix_len < 31 && new.given_broadcast == own(new.prefix_len).broadcast()
                {
                    new.given_broadcast = own(prefix_len).broadcast();
                }
                new.prefix_len = prefix_len;
            }
            InterfaceSetting::Broadcast(..) => {
                let given = Some(addr).filter(|addr| !addr.is_unspecified());
                if given == new.given_broadcast {
                    return Ok(());
                }
                new.given_broadcast = given;
            }
            InterfaceSetting::Destination(..) => {
                if new.peer == addr {
                    return Ok(());
                }
                class_prefix(addr).ok_or(Errno::EINVAL)?;
                new.peer = addr.into();
            }
            _ => {
                if many {
                    new.given_broadcast = new.broadcast();
                }
            }
        }
        if let Some(old) = old {
            self.remove_address(teller, index, &old);
        }
        if !new.addr.is_unspecified() {
            let label = Some(String::from(name)).filter(|name| name.contains(':'));
            let note = AddressNote {
                label,
                ..AddressNote::default()
            };
            let traits = AddressTraits::default();
            self.add_address(teller, index, new, (note, traits), false);
        }
        Ok(())
    }

    pub(crate) fn change_of<'a>(
        &self,
        interface: &Interface,
        setting: InterfaceSetting<'a>,
    ) -> Result<Option<InterfaceChange<'a>>, Errno> {
        Ok(Some(match setting {
            InterfaceSetting::Flags(flags) => {
                InterfaceChange::Flags((flags & SETTABLE) ^ start_flags(interface))
            }
            InterfaceSetting::Mtu(mtu) if mtu < LEAST_MTU => return Err(Errno::EINVAL),
            InterfaceSetting::Mtu(mtu) => InterfaceChange::Mtu(mtu as u32),
            InterfaceSetting::QueueLen(len) => {
                InterfaceChange::QueueLen(u32::try_from(len).map_err(|_| Errno::EINVAL)?)
            }
            InterfaceSetting::Name(new) => {
                if !is_name(new) {
                    return Err(Errno::EINVAL);
                }
                if interface.name() == new {
                    return Ok(None);
                }
                if self.stack.interfaces().any(|i| i.name() == new) {
                    return Err(Errno::EEXIST);
                }
                InterfaceChange::Name(new)
            }
            // dev_set_mac_address(): of the link's own kind; one that it has is nothing new, and another must be that of
            // one station (is_valid_ether_addr()).
            InterfaceSetting::Hardware(kind, address) => {
                // A TUN interface has none (ndo_set_mac_address).
                if interface.is_tunnel() {
                    return Err(Errno::EOPNOTSUPP);
                }
                if kind != interface.link_type() {
                    return Err(Errno::EINVAL);
                }
                if address == interface.hardware() {
                    return Ok(None);
                }
                if address[0] & 1 != 0 || address == [0; 6] {
                    return Err(Errno::EADDRNOTAVAIL);
                }
                InterfaceChange::Hardware(address)
            }
            // They are the interface's addresses'.
            InterfaceSetting::Address(..)
            | InterfaceSetting::Netmask(..)
            | InterfaceSetting::Broadcast(..)
            | InterfaceSetting::Destination(..) => return Ok(None),
            InterfaceSetting::Unsupported => return Err(Errno::EOPNOTSUPP),
        }))
    }

    /// SIOCSIFADDR on an AF_INET6 socket: adds an address.
    pub fn add_v6_address(
        &mut self,
        cx: &Cx<'_>,
        index: i32,
        addr: Ipv6Addr,
        prefix_len: u32,
    ) -> Result<(), Errno> {
        let interface = self.v6_interface(cx.cred, index, prefix_len)?;
        if interface.is_v6_disabled() {
            return Err(Errno::EACCES);
        }
        let known = interface.addresses().iter().any(|a| a.addr == addr);
        let index = interface.index();
        // ipv6_add_addr() wants a host's address on an interface that is up.
        if addr.is_multicast() || addr.is_unspecified() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if known {
            return Err(Errno::EEXIST);
        }
        let address = InterfaceAddress::new(addr.into(), prefix_len as u8);
        self.add_address(
            &Teller::ioctl(cx.now),
            index,
            address,
            (AddressNote::default(), AddressTraits::default()),
            true,
        );
        Ok(())
    }

    /// SIOCDIFADDR on an AF_INET6 socket: takes an address away.
    pub fn remove_v6_address(
        &mut self,
        cx: &Cx<'_>,
        index: i32,
        addr: Ipv6Addr,
        prefix_len: u32,
    ) -> Result<(), Errno> {
        let interface = self.v6_interface(cx.cred, index, prefix_len)?;
        let same = |a: &InterfaceAddress| a.addr == addr && u32::from(a.prefix_len) == prefix_len;
        let found = interface.addresses().iter().find(|a| same(a)).copied();
        let (found, index) = (found.ok_or(Errno::EADDRNOTAVAIL)?, interface.index());
        self.remove_address(&Teller::ioctl(cx.now), index, &found);
        Ok(())
    }

    fn v6_interface(&self, cred: &Cred, index: i32, prefix_len: u32) -> Result<&Interface, Errno> {
        if !may_administer(cred) {
            return Err(Errno::EPERM);
        }
        if prefix_len > 128 {
            return Err(Errno::EINVAL);
        }
        let index = u32::try_from(index).ok().and_then(IfIndex::new);
        index
            .and_then(|index| self.stack.interface(index))
            .ok_or(Errno::ENODEV)
    }
}
