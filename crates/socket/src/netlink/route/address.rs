//! Addresses: RTM_GETADDR, RTM_NEWADDR, RTM_DELADDR.

use super::super::message::{Answer, EXCL, Message, REPLACE, Refusal, Request};
use super::super::serve::Asker;
use super::rows::{Aged, Row, TO_HOST, brought};
use super::{
    Form, GROUP_V4_ADDRESS, GROUP_V4_ROUTE, GROUP_V6_ADDRESS, GROUP_V6_ROUTE, HOST, Host,
    IFADDRMSG, LINK, LOCAL, RTM_DELADDR, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWROUTE, Teller, UNIVERSE,
    family_of, octets, policies, text_of, word_of,
};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{
    AddressTraits, Conf, IfIndex, Instant, Interface, InterfaceAddress, InterfaceChange, Lifetime,
    RouteConfig, Tunable4,
};

pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
/// IFAPROT_KERNEL_RA
const BY_RA: u8 = 2;
/// IFAPROT_KERNEL_LO: of ::1, as addrconf makes it.
const OF_LO: u8 = 1;

/// IFA_F_PERMANENT, IFA_F_SECONDARY, IFA_F_TENTATIVE, IFA_F_DADFAILED
const PERMANENT: u32 = 0x80;
const SECONDARY: u32 = 0x01;
const TENTATIVE: u32 = 0x40;
const DADFAILED: u32 = 0x08;
/// IFA_F_DEPRECATED, IFA_F_MANAGETEMPADDR
const DEPRECATED: u32 = 0x20;
const MANAGETEMPADDR: u32 = 0x100;
/// IFA_F_NODAD: the address is not probed for. It is told of.
const NODAD: u32 = 0x02;
/// IFA_F_NOPREFIXROUTE
const NOPREFIXROUTE: u32 = 0x200;

/// RFC 2462's infinity.
const FOR_EVER: u32 = u32::MAX;
const NO_V6: &str = "ipv6: IPv6 is disabled on this device";
/// IPV6_MIN_MTU
const IPV6_MIN_MTU: u32 = 1280;

/// What an address has that the stack does not ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressNote {
    /// `IFA_LABEL`, where it is not the interface's name.
    pub(crate) label: Option<String>,
    /// The scope, where it was said.
    pub(crate) scope: Option<u8>,
    /// [`NODAD`], [`NOPREFIXROUTE`].
    pub(crate) flags: u32,
}

/// Names an address of a host: interface, address, prefix and peer.
pub(crate) type AddressKey = (IfIndex, IpAddr, u8, IpAddr);

/// What `IFA_FLAGS` and if_inet6 say of an address by what it is.
fn state_flags(interface: &Interface, address: &InterfaceAddress) -> u32 {
    let traits = interface.traits(address.addr);
    let mut flags = if traits.lifetime.is_none() {
        PERMANENT
    } else {
        0
    };
    if traits.deprecated {
        flags |= DEPRECATED;
    }
    if traits.by_router {
        flags |= MANAGETEMPADDR;
    }
    flags
        | match interface.tentative(address.addr) {
            None => 0,
            Some(false) => TENTATIVE,
            Some(true) => TENTATIVE | DADFAILED,
        }
}

fn key(index: IfIndex, address: &InterfaceAddress) -> AddressKey {
    (index, address.addr, address.prefix_len, address.peer)
}

/// What a request says of an address.
struct Wanted<'a> {
    index: Option<IfIndex>,
    address: InterfaceAddress,
    flags: u32,
    scope: u8,
    label: Option<&'a [u8]>,
}

/// Addresses of other families are not changed here.
fn is_v4(family: u8) -> Result<bool, Errno> {
    match i32::from(family) {
        AF_INET => Ok(true),
        AF_INET6 => Ok(false),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

impl Host {
    /// What was said of an address.
    pub(crate) fn address_label(
        &self,
        interface: &Interface,
        address: &InterfaceAddress,
    ) -> Option<&str> {
        let note = self.address_notes.get(&key(interface.index(), address))?;
        note.label.as_deref()
    }

    /// [`NODAD`] and [`NOPREFIXROUTE`], as they were said.
    fn said_flags(&self, index: IfIndex, address: &InterfaceAddress) -> u32 {
        let note = self.address_notes.get(&key(index, address));
        note.map_or(0, |note| note.flags)
    }

    /// The `IFA_F_*` of an address, but for IFA_F_SECONDARY.
    pub(crate) fn address_flags(&self, interface: &Interface, address: &InterfaceAddress) -> u32 {
        state_flags(interface, address) | self.said_flags(interface.index(), address)
    }

    /// The routes that an address brings.
    pub(super) fn brought(&self, interface: &Interface, address: &InterfaceAddress) -> Vec<Row> {
        let mut rows = brought(interface, address);
        if interface.traits(address.addr).without_subnet {
            // Of `lo` the subnet is in the table local, too.
            let subnet = |row: &Row| row.kind == TO_HOST && row.to != address.addr;
            rows.retain(|row| row.table == LOCAL && !subnet(row));
        }
        // Its route lasts as long as it does.
        let valid = interface
            .traits(address.addr)
            .lifetime
            .and_then(|life| life.valid);
        if let (Some(at), true) = (valid, address.addr.is_ipv6()) {
            for row in rows.iter_mut().filter(|row| row.table != LOCAL) {
                row.aged = Some(Aged {
                    ticks: self.ticks_until(at),
                    preference: 0,
                    metrics: Vec::new(),
                });
            }
        }
        rows
    }

    /// RT_SCOPE_HOST for what is on lo from the start, RT_SCOPE_LINK for fe80::.
    fn address_scope(&self, index: IfIndex, address: &InterfaceAddress) -> u8 {
        let said = self.address_notes.get(&key(index, address));
        match (said.and_then(|note| note.scope), address.addr) {
            (Some(scope), _) => scope,
            (None, IpAddr::V4(a)) if a.is_loopback() => HOST,
            (None, IpAddr::V6(a)) if a.is_loopback() => HOST,
            (None, IpAddr::V6(a)) if a.is_unicast_link_local() => LINK,
            (None, _) => UNIVERSE,
        }
    }

    /// inet_fill_ifaddr(), inet6_fill_ifaddr()
    pub(super) fn address_message(
        &self,
        form: &Form,
        interface: &Interface,
        address: &InterfaceAddress,
        secondary: bool,
    ) -> Message {
        let scope = self.address_scope(interface.index(), address);
        let flags = self.address_flags(interface, address) | if secondary { SECONDARY } else { 0 };
        let family = family_of(address.addr);
        let mut head = [family, address.prefix_len, flags as u8, scope, 0, 0, 0, 0];
        head[4..].copy_from_slice(&interface.index().get().to_ne_bytes());
        let mut m = form.message(&head);
        m.put(IFA_ADDRESS, &octets(address.peer));
        if address.addr.is_ipv4() || address.peer != address.addr {
            m.put(IFA_LOCAL, &octets(address.addr));
        }
        if address.addr.is_ipv4() {
            if let Some(all) = address.given_broadcast {
                m.put(IFA_BROADCAST, &all.octets());
            }
            let label = self.address_label(interface, address);
            m.put_text(IFA_LABEL, label.unwrap_or(interface.name()));
        }
        m.put_u32(IFA_FLAGS, flags);
        let traits = interface.traits(address.addr);
        m.put(
            IFA_CACHEINFO,
            &self.address_times(traits.lifetime, traits.deprecated),
        );
        if traits.by_router {
            m.put(IFA_PROTO, &[BY_RA]);
        } else if interface.is_loopback() && address.addr == IpAddr::V6(Ipv6Addr::LOCALHOST) {
            m.put(IFA_PROTO, &[OF_LO]);
        }
        m
    }

    /// `struct ifa_cacheinfo`: what is left of its time in seconds, and when that was said, in hundredths.
    pub(super) fn address_times(&self, life: Option<Lifetime>, deprecated: bool) -> [u8; 16] {
        let mut cache = [0xff; 16];
        cache[8..].fill(0);
        let Some(life) = life else {
            return cache;
        };
        // inet6_fill_ifaddr(): whole seconds have gone by.
        let gone = self.asked_at.saturating_sub(life.updated).as_secs();
        let left = |at: Option<Instant>| match at {
            None => FOR_EVER,
            Some(at) => {
                let whole = at.saturating_sub(life.updated).as_secs();
                u32::try_from(whole.saturating_sub(gone)).unwrap_or(FOR_EVER - 1)
            }
        };
        let ticks = |at: Instant| (at.as_nanos() / 10_000_000) as u32;
        let words = [
            if deprecated { 0 } else { left(life.preferred) },
            left(life.valid),
            ticks(life.created),
            ticks(life.updated),
        ];
        for (to, word) in cache.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        cache
    }

    fn wanted<'a>(&self, request: &Request<'a>, family: u8) -> Result<Wanted<'a>, Refusal> {
        let head: &[u8; IFADDRMSG] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        let (v4, prefix_len) = (i32::from(family) == AF_INET, head[1]);
        let given = |kind| request.address(IFADDRMSG, family, kind);
        let (local, address) = (given(IFA_LOCAL)?, given(IFA_ADDRESS)?);
        let peer = address.or(local);
        let addr = if v4 { local } else { local.or(address) };
        let none = match v4 {
            true => Refusal::new(Errno::EINVAL, "ipv4: Local address is not supplied"),
            false => Errno::EINVAL.into(),
        };
        let addr = addr.ok_or(none)?;
        let given_broadcast = match given(IFA_BROADCAST)? {
            Some(IpAddr::V4(all)) if v4 => Some(all),
            _ => None,
        };
        let flags = match request.attribute(IFADDRMSG, IFA_FLAGS) {
            Some(data) => word_of(data)?,
            None => head[2].into(),
        };
        Ok(Wanted {
            index: IfIndex::new(word_of(&head[4..])?),
            address: InterfaceAddress {
                addr,
                prefix_len,
                peer: peer.unwrap_or(addr),
                given_broadcast,
            },
            flags,
            scope: head[3],
            label: request.attribute(IFADDRMSG, IFA_LABEL).map(text_of),
        })
    }

    /// inet_rtm_newaddr(), inet6_rtm_newaddr()
    pub(super) fn new_address(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let v4 = is_v4(family)?;
        request.check(IFADDRMSG, policies::addr(!v4), false)?;
        let known = [
            IFA_ADDRESS,
            IFA_LOCAL,
            IFA_LABEL,
            IFA_BROADCAST,
            IFA_CACHEINFO,
            IFA_FLAGS,
        ];
        if request.kinds(IFADDRMSG).any(|k| !known.contains(&k)) {
            // IFA_RT_PRIORITY, IFA_PROTO and what is newer.
            let text = "Not supported by this host's addresses";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        let wanted = self.wanted(request, family)?;
        let address = wanted.address;
        let refuse = |errno, of_v4, of_v6| Refusal::new(errno, if v4 { of_v4 } else { of_v6 });
        if address.prefix_len > if v4 { 32 } else { 128 } {
            let (a, b) = ("ipv4: Invalid prefix length", "ipv6: Invalid prefix length");
            return Err(refuse(Errno::EINVAL, a, b));
        }
        let interface = wanted.index.and_then(|index| self.stack.interface(index));
        let interface = interface.ok_or(refuse(
            Errno::ENODEV,
            "ipv4: Device not found",
            "ipv6: Unable to find the interface",
        ))?;
        let index = interface.index();
        let mut times = (FOR_EVER, FOR_EVER);
        if let Some(cache) = request.attribute(IFADDRMSG, IFA_CACHEINFO) {
            let both = cache.get(..8).ok_or(Errno::EINVAL)?;
            let (preferred, valid) = (word_of(&both[..4])?, word_of(&both[4..])?);
            if preferred > valid || valid == 0 {
                let (a, b) = (
                    "ipv4: Invalid lifetime value",
                    "ipv6: address lifetime invalid",
                );
                return Err(refuse(Errno::EINVAL, a, b));
            }
            times = (preferred, valid);
        }
        let end = |seconds: u32| {
            (seconds != FOR_EVER)
                .then(|| asker.now + core::time::Duration::from_secs(seconds.into()))
        };
        let lifetime = |created: Instant| {
            (times != (FOR_EVER, FOR_EVER)).then(|| Lifetime {
                preferred: end(times.0),
                valid: end(times.1),
                created,
                updated: asker.now,
            })
        };
        // IPv4 does not tell of the first.
        let flags = wanted.flags
            & if v4 {
                NOPREFIXROUTE
            } else {
                NODAD | NOPREFIXROUTE
            };
        if wanted.flags & !(PERMANENT | NODAD | NOPREFIXROUTE) != 0 {
            let text = "Address flags are not supported on this host";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        let matching = interface.addresses().iter().find(|a| match v4 {
            true => {
                a.addr == address.addr
                    && a.prefix_len == address.prefix_len
                    && a.covers(address.peer)
            }
            false => a.addr == address.addr,
        });
        if let Some(old) = matching.copied() {
            if request.flags & (EXCL | REPLACE) != REPLACE {
                let (a, b) = (
                    "ipv4: Address already assigned",
                    "ipv6: address already assigned",
                );
                return Err(refuse(Errno::EEXIST, a, b));
            }
            // Of what may be replaced only flags can differ here, and only IPv6 replaces them (inet6_addr_modify()).
            if !v4 {
                let before = self.said_flags(index, &old);
                if (before ^ flags) & NOPREFIXROUTE != 0 {
                    let text = "The route of an address is not changed on this host";
                    return Err(Refusal::new(Errno::EOPNOTSUPP, text));
                }
                if before != flags {
                    self.address_notes
                        .entry(key(index, &old))
                        .or_default()
                        .flags = flags;
                }
            }
            let interface = self.stack.interface(index);
            let mut traits = interface.map_or(AddressTraits::default(), |i| i.traits(old.addr));
            traits.lifetime = lifetime(traits.lifetime.map_or(asker.now, |life| life.created));
            traits.deprecated = times.0 == 0;
            self.stack.set_address_traits(index, old.addr, traits);
            self.tell_address(&Teller::of(asker, request), RTM_NEWADDR, index, &old, false);
            return Ok(Answer::Done);
        }
        if v4 {
            let mut same = interface.addresses().iter();
            let other = same.find(|a| {
                a.addr.is_ipv4() && a.prefix_len == address.prefix_len && a.covers(address.peer)
            });
            if other.is_some_and(|a| self.address_scope(index, a) != wanted.scope) {
                return Err(Refusal::new(Errno::EINVAL, "ipv4: Invalid scope value"));
            }
        } else {
            // ipv6_find_idev(), ipv6_add_addr()
            if interface.mtu() < IPV6_MIN_MTU {
                return Err(Errno::EINVAL.into());
            }
            if interface.is_v6_disabled() {
                return Err(Refusal::new(Errno::EACCES, NO_V6));
            }
            let addr = address.addr;
            let loopback = addr.is_loopback() && !interface.is_loopback();
            if addr.is_unspecified() || addr.is_multicast() || loopback {
                return Err(Refusal::new(Errno::EADDRNOTAVAIL, "ipv6: Invalid address"));
            }
            if address.peer != addr {
                let text = "Peers of IPv6 addresses are not supported on this host";
                return Err(Refusal::new(Errno::EOPNOTSUPP, text));
            }
        }
        let label = match wanted.label {
            Some(label) if label != interface.name().as_bytes() => {
                let text = core::str::from_utf8(label).map_err(|_| Errno::EINVAL)?;
                // IFNAMSIZ
                if text.len() > 15 {
                    return Err(Errno::ERANGE.into());
                }
                Some(String::from(text))
            }
            _ => None,
        };
        let note = AddressNote {
            label,
            scope: v4.then_some(wanted.scope),
            flags,
        };
        let teller = Teller::of(asker, request);
        let probe = wanted.flags & NODAD == 0;
        let traits = AddressTraits {
            lifetime: lifetime(asker.now),
            deprecated: times.0 == 0,
            without_subnet: flags & NOPREFIXROUTE != 0,
            by_router: false,
            scope: if v4 { wanted.scope } else { UNIVERSE },
        };
        self.add_address(&teller, index, address, (note, traits), probe);
        Ok(Answer::Done)
    }

    /// What came of probes for addresses goes to who listens (ipv6_ifa_notify).
    pub(crate) fn tell_probed_addresses(&mut self) {
        while let Some((index, addr)) = self.stack.poll_probed_address() {
            let interface = self.stack.interface(index);
            let mut all = interface.map_or(&[][..], |i| i.addresses()).iter();
            if let Some(address) = all.find(|a| a.addr == addr).copied() {
                let teller = Teller::ioctl(switchboard_engine::Instant::BOOT);
                self.tell_address(&teller, RTM_NEWADDR, index, &address, false);
            }
        }
    }

    /// Adds an address, and tells of it and of the routes it brings. An IPv6 address is probed for first, if `probe`.
    pub(crate) fn add_address(
        &mut self,
        teller: &Teller,
        index: IfIndex,
        address: InterfaceAddress,
        (note, traits): (AddressNote, AddressTraits),
        probe: bool,
    ) {
        self.address_notes.insert(key(index, &address), note);
        // Where it stands among the others depends on them.
        self.stack.set_address_traits(index, address.addr, traits);
        self.stack
            .change_interface(index, InterfaceChange::Add(address));
        if let (true, IpAddr::V6(addr)) = (probe, address.addr) {
            let now = switchboard_engine::Instant::from_nanos(teller.now);
            self.stack.probe_address(now, index, addr);
        }
        let Some(interface) = self.stack.interface(index) else {
            return;
        };
        let rows = self.brought(interface, &address);
        let secondary = interface.primary(&address).is_some();
        let v4 = address.addr.is_ipv4();
        let (before, after) = rows.split_at(if v4 { 0 } else { rows.len() - 1 });
        let (before, after) = (before.to_vec(), after.to_vec());
        self.tell_routes(teller, RTM_NEWROUTE, before);
        self.tell_address(teller, RTM_NEWADDR, index, &address, secondary);
        self.tell_routes(teller, RTM_NEWROUTE, after);
    }

    /// inet_rtm_deladdr(), inet6_rtm_deladdr()
    pub(super) fn delete_address(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let v4 = is_v4(family)?;
        request.check(IFADDRMSG, policies::addr(!v4), false)?;
        let head: &[u8; IFADDRMSG] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        let prefix_len = head[1];
        let given = |kind| request.address(IFADDRMSG, family, kind);
        let (local, address) = (given(IFA_LOCAL)?, given(IFA_ADDRESS)?);
        let label = request.attribute(IFADDRMSG, IFA_LABEL).map(text_of);
        let index = IfIndex::new(word_of(&head[4..])?);
        let interface = index.and_then(|index| self.stack.interface(index));
        let Some(interface) = interface else {
            let text = if v4 {
                "ipv4: Device not found"
            } else {
                "ipv6: Unable to find the interface"
            };
            return Err(Refusal::new(Errno::ENODEV, text));
        };
        if !v4 && local.or(address).is_none() {
            return Err(Errno::EINVAL.into());
        }
        let matches = |a: &&InterfaceAddress| {
            if v4 {
                let name = self.address_label(interface, a).unwrap_or(interface.name());
                local.is_none_or(|local| a.addr == local)
                    && label.is_none_or(|label| name.as_bytes() == label)
                    && address.is_none_or(|peer| a.prefix_len == prefix_len && a.covers(peer))
                    && a.addr.is_ipv4()
            } else {
                Some(a.addr) == local.or(address) && a.prefix_len == prefix_len
            }
        };
        let Some(found) = interface.addresses().iter().find(matches).copied() else {
            let text = if v4 {
                "ipv4: Address not found"
            } else {
                "ipv6: address not found"
            };
            return Err(Refusal::new(Errno::EADDRNOTAVAIL, text));
        };
        let (teller, index) = (Teller::of(asker, request), interface.index());
        self.remove_address(&teller, index, &found);
        Ok(Answer::Done)
    }

    /// __inet_del_ifa(): a primary address takes its secondary ones along, which go first, or the first of them takes its
    /// place (promote_secondaries); then what it brought, and routes that prefer it as a source (fib_sync_down_addr()).
    pub(crate) fn remove_address(
        &mut self,
        teller: &Teller,
        index: IfIndex,
        address: &InterfaceAddress,
    ) {
        let Some(interface) = self.stack.interface(index) else {
            return;
        };
        let mut going = Vec::new();
        if interface.primary(address).is_none() {
            let all = interface.addresses().iter();
            let mut under = all.filter(|a| {
                *a != address
                    && a.prefix_len == address.prefix_len
                    && interface.primary(a).is_some()
                    && address.covers(a.peer)
            });
            going.extend(under.by_ref().copied());
        }
        let mut staying = Vec::new();
        let promotes = |conf| self.stack.conf4(conf, Tunable4::PromoteSecondaries) != 0;
        if promotes(Conf::All) || promotes(Conf::Interface(index)) {
            core::mem::swap(&mut staying, &mut going);
        }
        // Their routes name the primary address as the source.
        let leading = |host: &Host, address: &InterfaceAddress| {
            let mut rows =
                (host.stack.interface(index)).map_or(Vec::new(), |i| host.brought(i, address));
            rows.retain(|row| row.kind == TO_HOST);
            rows
        };
        for address in &staying {
            let rows = leading(self, address);
            self.tell_routes(teller, RTM_DELROUTE, rows);
        }
        going.push(*address);
        for address in going {
            let Some(interface) = self.stack.interface(index) else {
                return;
            };
            let mut rows = self.brought(interface, &address);
            // The address itself goes last of its routes in IPv4.
            if address.addr.is_ipv4() {
                rows.rotate_left(1);
            } else {
                rows.reverse();
            }
            let secondary = interface.primary(&address).is_some();
            self.tell_address(teller, RTM_DELADDR, index, &address, secondary);
            let change = InterfaceChange::Remove(address);
            self.stack.change_interface(index, change);
            self.address_notes.remove(&key(index, &address));
            // Of what it brought, another address may keep some.
            let left = self.route_rows();
            rows.retain(|row| {
                let same = |l: &Row| {
                    (l.to, l.len, l.table, l.kind) == (row.to, row.len, row.table, row.kind)
                        && l.interface == row.interface
                };
                !staying.is_empty() || !left.iter().any(same)
            });
            self.tell_routes(teller, RTM_DELROUTE, rows);
            let gone = |route: &RouteConfig| route.source == Some(address.addr);
            if !self.stack.is_local(address.addr) {
                self.stack.remove_routes(gone);
            }
        }
        let Some((promoted, others)) = staying.split_first() else {
            return;
        };
        // It stands behind the other primary ones now, and before those that are under it.
        let traits: Vec<_> = (self.stack.interface(index)).map_or(Vec::new(), |i| {
            staying.iter().map(|a| i.traits(a.addr)).collect()
        });
        for address in &staying {
            let change = InterfaceChange::Remove(*address);
            self.stack.change_interface(index, change);
        }
        for (address, traits) in staying.iter().zip(traits) {
            let change = InterfaceChange::Add(*address);
            self.stack.change_interface(index, change);
            self.stack.set_address_traits(index, address.addr, traits);
        }
        self.tell_address(teller, RTM_NEWADDR, index, promoted, false);
        let rows = (self.stack.interface(index)).map_or(Vec::new(), |i| self.brought(i, promoted));
        self.tell_routes(teller, RTM_NEWROUTE, rows);
        for address in others {
            let rows = leading(self, address);
            self.tell_routes(teller, RTM_NEWROUTE, rows);
        }
    }

    pub(super) fn addresses_of(&self, index: IfIndex) -> Vec<InterfaceAddress> {
        let interface = self.stack.interface(index);
        interface.map_or(Vec::new(), |i| i.addresses().to_vec())
    }

    /// An interface went down: IPv6's addresses and routes go.
    pub(super) fn tell_lost(
        &mut self,
        teller: &Teller,
        index: IfIndex,
        addresses: &[InterfaceAddress],
        routes: &[RouteConfig],
    ) {
        let left = self.addresses_of(index);
        let gone: Vec<_> = addresses.iter().filter(|a| !left.contains(a)).collect();
        let lost = routes.iter().filter(|route| route.prefix.is_ipv6());
        let mut rows: Vec<Row> = lost.map(Row::added).collect();
        for address in &gone {
            let Some(interface) = self.stack.interface(index) else {
                return;
            };
            rows.extend(self.brought(interface, address));
        }
        self.tell_routes(teller, RTM_DELROUTE, rows);
        for address in gone {
            self.tell_address(teller, RTM_DELADDR, index, address, false);
            self.address_notes.remove(&key(index, address));
        }
    }

    /// dev_disable_change(): IPv6 goes as if the interface went down, or comes as if it came up.
    pub(crate) fn disable_v6(&mut self, index: IfIndex, disabled: bool) {
        let (addresses, routes) = (self.addresses_of(index), self.routes_by(index));
        let change = InterfaceChange::DisableV6(disabled);
        self.stack.change_interface(index, change);
        let teller = Teller::ioctl(self.asked_at);
        self.tell_lost(&teller, index, &addresses, &routes);
        for address in self.addresses_of(index) {
            let interface = self.stack.interface(index);
            if let (Some(interface), false) = (interface, addresses.contains(&address)) {
                let rows = self.brought(interface, &address);
                self.tell_address(&teller, RTM_NEWADDR, index, &address, false);
                self.tell_routes(&teller, RTM_NEWROUTE, rows);
            }
        }
    }

    /// An interface came up: the loopback addresses come, and the subnets of IPv4's addresses.
    pub(super) fn tell_found(
        &mut self,
        teller: &Teller,
        index: IfIndex,
        before: &[InterfaceAddress],
    ) {
        for address in self.addresses_of(index) {
            let known = before.contains(&address);
            let Some(interface) = self.stack.interface(index) else {
                return;
            };
            let mut rows = self.brought(interface, &address);
            if known {
                rows.retain(|row| row.kind != TO_HOST);
            } else {
                self.tell_address(teller, RTM_NEWADDR, index, &address, false);
            }
            self.tell_routes(teller, RTM_NEWROUTE, rows);
        }
    }

    /// rtmsg_ifa()
    pub(super) fn tell_address(
        &mut self,
        teller: &Teller,
        kind: u16,
        index: IfIndex,
        address: &InterfaceAddress,
        secondary: bool,
    ) {
        let Some(interface) = self.stack.interface(index) else {
            return;
        };
        let form = match address.addr {
            IpAddr::V4(_) => teller.form(kind),
            IpAddr::V6(_) => Form::news(kind),
        };
        let message = self.address_message(&form, interface, address, secondary);
        let group = if address.addr.is_ipv4() {
            GROUP_V4_ADDRESS
        } else {
            GROUP_V6_ADDRESS
        };
        self.tell(teller, group, message);
    }

    /// rtmsg_fib(), inet6_rt_notify()
    pub(super) fn tell_routes(&mut self, teller: &Teller, kind: u16, rows: Vec<Row>) {
        for row in rows {
            self.tell_route(teller, &Form::news(kind), &row);
        }
    }

    pub(super) fn tell_route(&mut self, teller: &Teller, form: &Form, row: &Row) {
        let message = row.message(form);
        let group = if row.to.is_ipv4() {
            GROUP_V4_ROUTE
        } else {
            GROUP_V6_ROUTE
        };
        self.tell(teller, group, message);
    }
}
