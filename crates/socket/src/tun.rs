//! /dev/net/tun: interfaces whose other end is a descriptor (Documentation/networking/tuntap.rst).
//!
//! # Theory of operation
//! What the host sends by such an interface is queued for the descriptor that is attached to it, and what is written to
//! that has come in by the interface. The embedder opens ([`Host::tun_open`]), hands on ioctl(2) and write(2), takes packets
//! for read(2), and tells of the last close.
//!
//! # Limits
//! No filters, no IFF_NAPI, no offload of tunnels. A TUN interface has no link-local address of its own.

mod offload;

use crate::call::Cx;
use crate::cred::Cred;
use crate::host::Host;
use crate::inet::interface::{IFF_UP, interface_flags, is_name, may_administer};
use crate::netlink::Teller;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{Departure, IfIndex, Instant, InterfaceChange, InterfaceConfig};
use switchboard_wire::{Frame, FrameBody, Mac};

/// What is open of /dev/net/tun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunId(u32);

impl TunId {
    /// As a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Of a number that [`TunId::get`] gave.
    pub fn new(number: u32) -> TunId {
        TunId(number)
    }
}

/// All that is open, and the interfaces that came of it.
#[derive(Debug, Default)]
pub(crate) struct Tuns {
    files: BTreeMap<TunId, File>,
    devices: BTreeMap<IfIndex, Device>,
    opened: u32,
}

/// An open file description.
#[derive(Debug, Default)]
struct File {
    /// The interface it is attached to.
    device: Option<IfIndex>,
    /// What the interface has sent.
    queue: VecDeque<Vec<u8>>,
    /// TUNSETQUEUE: it gets nothing.
    detached: bool,
}

/// What an interface of /dev/net/tun is, beside the stack's.
#[derive(Debug)]
struct Device {
    /// IFF_TUN or IFF_TAP, IFF_NO_PI, IFF_ONE_QUEUE, IFF_VNET_HDR, IFF_MULTI_QUEUE.
    flags: u16,
    persists: bool,
    owner: Option<u32>,
    group: Option<u32>,
    /// Who is attached; with IFF_MULTI_QUEUE there may be several, and some that are detached for now.
    files: Vec<TunId>,
    /// Which queue a flow is written to, and so is read from, by its number (tun_flow_update()).
    flows: BTreeMap<u32, TunId>,
    /// TUNSETVNETHDRSZ, TUNSETVNETLE, TUNSETOFFLOAD.
    vnet: offload::Vnet,
    /// TUNSETSNDBUF: what is written is the stack's at once, so that it never counts.
    send_buffer: i32,
}

const IFF_TUN: u16 = 0x0001;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_CARRIER: u16 = 0x0040;
const IFF_PERSIST: u16 = 0x0800;
const IFF_NOFILTER: u16 = 0x1000;
const IFF_NO_PI: u16 = 0x1000;
const IFF_ONE_QUEUE: u16 = 0x2000;
const IFF_TUN_EXCL: u16 = 0x8000;
/// What TUNGETFEATURES names, but for IFF_TUN and IFF_TAP, and what an interface keeps of a request.
const KEPT: u16 = IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR | IFF_MULTI_QUEUE;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_ATTACH_QUEUE: u16 = 0x0200;
const IFF_DETACH_QUEUE: u16 = 0x0400;
const IFF_VNET_HDR: u16 = 0x4000;
/// IFF_NAPI, IFF_NAPI_FRAGS.
const REFUSED: u16 = 0x0010 | 0x0020;
/// MAX_TAP_QUEUES
const QUEUES: usize = 256;
/// How many flows are known: Linux forgets them in three seconds.
const FLOWS: usize = 4096;

/// Bytes of a name in `struct ifreq`, and where its flags are.
const NAME: usize = 16;
const MTU: u32 = 1500;
/// `struct tun_pi`
const PI: usize = 4;
/// Longer than any packet with its headers.
const LARGEST: usize = 65_535 + 18 + PI + offload::LARGEST_HEADER;

/// How many bytes of what ioctl(2)'s argument points to a command reads, and writes; `ifreq` is the size of that structure.
pub fn tun_argument(command: u32, ifreq: usize) -> (usize, usize) {
    match command {
        TUNSETIFF | SIOCGIFHWADDR => (ifreq, ifreq),
        SIOCSIFHWADDR | TUNSETQUEUE => (ifreq, 0),
        TUNGETVNETHDRSZ | TUNGETVNETLE => (0, 4),
        TUNSETVNETHDRSZ | TUNSETVNETLE => (4, 0),
        TUNGETIFF => (0, ifreq),
        TUNGETFEATURES | TUNGETSNDBUF => (0, 4),
        TUNSETSNDBUF | TUNSETCARRIER => (4, 0),
        _ => (0, 0),
    }
}

fn word(data: &[u8]) -> i32 {
    data.first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes))
}

impl Device {
    /// tun_not_capable()
    fn lets(&self, cred: &Cred) -> bool {
        let owner = self.owner.is_none_or(|owner| owner == cred.euid);
        let in_group = |group: u32| group == cred.egid || cred.groups.contains(&group);
        owner && self.group.is_none_or(in_group) || may_administer(cred)
    }

    fn is_tap(&self) -> bool {
        self.flags & IFF_TAP != 0
    }

    /// What stands before a packet of this EtherType.
    fn head(&self, ethertype: u16) -> Vec<u8> {
        if self.flags & IFF_NO_PI != 0 {
            return Vec::new();
        }
        let [high, low] = ethertype.to_be_bytes();
        Vec::from([0, 0, high, low])
    }

    fn has_vnet(&self) -> bool {
        self.flags & IFF_VNET_HDR != 0
    }
}

impl Host {
    /// open(2) of /dev/net/tun.
    pub fn tun_open(&mut self) -> TunId {
        let tuns = self.tuns.get_or_insert_with(Box::default);
        tuns.opened = tuns.opened.wrapping_add(1);
        let id = TunId(tuns.opened);
        tuns.files.insert(id, File::default());
        id
    }

    /// close(2) of the last descriptor (__tun_detach()).
    pub fn tun_close(&mut self, now: Instant, id: TunId) {
        let Some(file) = self.tuns.as_mut().and_then(|tuns| tuns.files.remove(&id)) else {
            return;
        };
        let Some((index, device)) = file
            .device
            .and_then(|index| Some((index, self.tun_device_mut(index)?)))
        else {
            return;
        };
        device.files.retain(|other| *other != id);
        device.flows.retain(|_, other| *other != id);
        if !device.files.is_empty() {
            return;
        }
        if device.persists {
            self.tun_carrier(now, index, false);
        } else {
            self.remove_link(&Teller::ioctl(now), index);
            self.tun_lost(index);
        }
    }

    /// Whether any descriptor's interface may have sent something.
    pub fn has_tuns(&self) -> bool {
        (self.tuns.as_ref()).is_some_and(|tuns| !tuns.devices.is_empty())
    }

    /// Whether an interface is attached to it.
    pub fn tun_is_attached(&self, id: TunId) -> bool {
        self.tun_index(id).is_some()
    }

    /// read(2): what the interface has sent.
    pub fn tun_recv(&mut self, id: TunId) -> Option<Vec<u8>> {
        self.tuns.as_mut()?.files.get_mut(&id)?.queue.pop_front()
    }

    /// Puts back what could not be handed over.
    pub fn tun_unrecv(&mut self, id: TunId, packet: Vec<u8>) {
        if let Some(file) = self.tuns.as_mut().and_then(|tuns| tuns.files.get_mut(&id)) {
            file.queue.push_front(packet);
        }
    }

    /// write(2): a packet comes in by the interface (tun_get_user()).
    pub fn tun_send(&mut self, now: Instant, id: TunId, bytes: &[u8]) -> Result<usize, Errno> {
        const IPV4: u16 = 0x0800;
        const IPV6: u16 = 0x86dd;
        let index = self.tun_index(id).ok_or(Errno::EBADFD)?;
        let device = self.tun_device(index).ok_or(Errno::EBADFD)?;
        if bytes.len() > LARGEST {
            return Err(Errno::EINVAL);
        }
        let (named, packet) = if device.flags & IFF_NO_PI != 0 {
            (None, bytes)
        } else {
            let (head, rest) = bytes.split_first_chunk::<PI>().ok_or(Errno::EINVAL)?;
            (Some(u16::from_be_bytes([head[2], head[3]])), rest)
        };
        let (header, packet) = match device.has_vnet() {
            true => device.vnet.read(packet)?,
            false => (None, packet.to_vec()),
        };
        let packet = &packet[..];
        let frame = if device.is_tap() {
            Frame::parse(packet).ok_or(Errno::EINVAL)?
        } else {
            let ethertype = match (named, packet.first().map_or(0, |first| first >> 4)) {
                (Some(ethertype), _) => ethertype,
                (None, 4) => IPV4,
                (None, 6) => IPV6,
                (None, _) => return Err(Errno::EINVAL),
            };
            Frame {
                link: None,
                body: FrameBody::parse(ethertype, packet),
            }
        };
        if !self.stack.interface(index).is_some_and(|i| i.is_up()) {
            return Err(Errno::EIO);
        }
        if device.files.len() > 1 {
            let flow = offload::flow_of(&frame);
            self.tun_flow(index, flow, id);
        }
        for frame in offload::large(header, frame)? {
            self.deliver_frame(now, index, frame);
        }
        Ok(bytes.len())
    }

    /// ioctl(2). `data` is what its argument points to, as [`tun_argument`] says, before and after (__tun_chr_ioctl()).
    pub fn tun_ioctl(
        &mut self,
        cx: &Cx<'_>,
        id: TunId,
        command: u32,
        arg: u64,
        data: &mut [u8],
    ) -> Result<(), Errno> {
        match command {
            TUNGETFEATURES => {
                let features = IFF_TUN | IFF_TAP | IFF_NO_CARRIER | KEPT;
                data[..4].copy_from_slice(&u32::from(features).to_ne_bytes());
                return Ok(());
            }
            TUNSETIFF => return self.tun_attach(cx, id, data),
            TUNSETQUEUE => return self.tun_set_queue(id, data),
            _ => {}
        }
        let index = self.tun_index(id).ok_or(Errno::EBADFD)?;
        let interface = self.stack.interface(index).ok_or(Errno::EBADFD)?;
        let (up, hardware) = (interface.is_up(), interface.hardware());
        let link_type = interface.link_type();
        let name = String::from(interface.name());
        let detached = self.tun_is_detached(id);
        let device = self.tun_device_mut(index).ok_or(Errno::EBADFD)?;
        match command {
            TUNGETVNETHDRSZ => data[..4].copy_from_slice(&device.vnet.size().to_ne_bytes()),
            TUNSETVNETHDRSZ => device.vnet.set_size(word(data))?,
            TUNGETVNETLE => {
                let little = i32::from(device.vnet.little_endian);
                data[..4].copy_from_slice(&little.to_ne_bytes());
            }
            // This machine's order is no other.
            TUNSETVNETLE => device.vnet.little_endian = word(data) != 0,
            TUNGETIFF => {
                let persists = if device.persists { IFF_PERSIST } else { 0 };
                // No filter is ever attached; its bit is that of IFF_NO_PI.
                let queue = if detached { IFF_DETACH_QUEUE } else { 0 };
                let flags = device.flags | persists | queue | IFF_NOFILTER;
                data.fill(0);
                put_name(data, &name);
                data[NAME..NAME + 2].copy_from_slice(&flags.to_ne_bytes());
            }
            // Of checksums, which an interface without offloads has always; and of messages in the kernel's log.
            TUNSETNOCSUM | TUNSETDEBUG => {}
            TUNSETPERSIST => device.persists = arg != 0,
            TUNSETOWNER | TUNSETGROUP => {
                let who = arg as u32;
                if who == u32::MAX {
                    return Err(Errno::EINVAL);
                }
                match command {
                    TUNSETOWNER => device.owner = Some(who),
                    _ => device.group = Some(who),
                }
            }
            TUNSETLINK if up => return Err(Errno::EBUSY),
            TUNSETLINK => {
                let change = InterfaceChange::LinkType(arg as u16);
                self.stack.change_interface(index, change);
            }
            TUNSETOFFLOAD => {
                device.vnet.set_offload(arg)?;
                let large = device.has_vnet() && device.vnet.takes_large();
                let change = InterfaceChange::LargeSegments(large);
                self.stack.change_interface(index, change);
            }
            TUNGETSNDBUF => data[..4].copy_from_slice(&device.send_buffer.to_ne_bytes()),
            TUNSETSNDBUF => match word(data) {
                size @ 1.. => device.send_buffer = size,
                _ => return Err(Errno::EINVAL),
            },
            TUNSETCARRIER => {
                let carrier = word(data) != 0;
                self.tun_carrier(cx.now, index, carrier);
            }
            SIOCGIFHWADDR => {
                let kind = link_type.to_ne_bytes();
                data[NAME..NAME + 2].copy_from_slice(&kind);
                data[NAME + 2..NAME + 8].copy_from_slice(&hardware);
            }
            SIOCSIFHWADDR => {
                let kind = u16::from_ne_bytes([data[NAME], data[NAME + 1]]);
                let mut address = [0; 6];
                address.copy_from_slice(&data[NAME + 2..NAME + 8]);
                let setting = crate::inet::interface::InterfaceSetting::Hardware(kind, address);
                self.make_setting(&Teller::ioctl(cx.now), index, setting)?;
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// tun_set_iff()
    fn tun_attach(&mut self, cx: &Cx<'_>, id: TunId, data: &mut [u8]) -> Result<(), Errno> {
        if self.tun_index(id).is_some() {
            return Err(Errno::EEXIST);
        }
        // The last byte is a NUL's.
        let wanted = data[..NAME - 1].split(|b| *b == 0).next().unwrap_or(&[]);
        let wanted = String::from_utf8_lossy(wanted).into_owned();
        let flags = u16::from_ne_bytes([data[NAME], data[NAME + 1]]);
        if flags & REFUSED != 0 {
            return Err(Errno::EINVAL);
        }
        let kind = match flags {
            _ if flags & IFF_TUN != 0 => IFF_TUN,
            _ if flags & IFF_TAP != 0 => IFF_TAP,
            _ => 0,
        };
        let found = self.stack.interfaces().find(|i| i.name() == wanted);
        let found = found.map(|i| (i.index(), String::from(i.name())));
        let (index, name) = match found {
            Some(_) if flags & IFF_TUN_EXCL != 0 => return Err(Errno::EBUSY),
            Some((index, name)) => {
                let device = self.tun_device(index).ok_or(Errno::EINVAL)?;
                if device.flags & kind == 0 {
                    return Err(Errno::EINVAL);
                }
                if !device.lets(cx.cred) {
                    return Err(Errno::EPERM);
                }
                if device.flags & IFF_MULTI_QUEUE != flags & IFF_MULTI_QUEUE {
                    return Err(Errno::EINVAL);
                }
                if flags & IFF_MULTI_QUEUE == 0 && !device.files.is_empty() {
                    return Err(Errno::EBUSY);
                }
                if device.files.len() >= QUEUES {
                    return Err(Errno::E2BIG);
                }
                (index, name)
            }
            None => {
                if !may_administer(cx.cred) {
                    return Err(Errno::EPERM);
                }
                if kind == 0 {
                    return Err(Errno::EINVAL);
                }
                self.tun_create(cx.now, &wanted, kind | flags & IFF_MULTI_QUEUE)?
            }
        };
        let Some(tuns) = &mut self.tuns else {
            return Err(Errno::EBADFD);
        };
        if let Some(device) = tuns.devices.get_mut(&index) {
            // One more queue changes nothing.
            if device.files.is_empty() {
                device.flags = kind | flags & KEPT;
            }
            device.files.push(id);
        }
        if let Some(file) = tuns.files.get_mut(&id) {
            file.device = Some(index);
        }
        if tuns.devices.get(&index).is_some_and(|d| d.files.len() > 1) {
            put_name(data, &name);
            return Ok(());
        }
        self.tun_carrier(cx.now, index, flags & IFF_NO_CARRIER == 0);
        put_name(data, &name);
        Ok(())
    }

    /// A new interface, down. Its name and index.
    fn tun_create(
        &mut self,
        now: Instant,
        wanted: &str,
        flags: u16,
    ) -> Result<(IfIndex, String), Errno> {
        let kind = flags & (IFF_TUN | IFF_TAP);
        let wanted = match (wanted, kind) {
            ("", IFF_TUN) => "tun%d",
            ("", _) => "tap%d",
            (wanted, _) => wanted,
        };
        // dev_get_valid_name(), __dev_alloc_name()
        if !is_name(wanted) {
            return Err(Errno::EINVAL);
        }
        let taken = |name: &str| self.stack.interfaces().any(|i| i.name() == name);
        let name = match wanted.split_once('%') {
            None => String::from(wanted),
            Some((before, after)) => {
                let after = after.strip_prefix('d').filter(|rest| !rest.contains('%'));
                let after = after.ok_or(Errno::EINVAL)?;
                let mut names = (0..).map(|n| format!("{before}{n}{after}"));
                let free = names.find(|name| !taken(name)).unwrap_or_default();
                // snprintf() cuts it off, and then it is no other's only by luck.
                let end = free.len().min(NAME - 1);
                let cut = free.get(..end).ok_or(Errno::EINVAL)?;
                if cut.len() < free.len() && taken(cut) {
                    return Err(Errno::EEXIST);
                }
                String::from(cut)
            }
        };
        let mac = (kind == IFF_TAP).then(|| {
            // eth_hw_addr_random(): one station's, and given by nobody.
            let [a, b, c, d] = self.stack.random_u32().to_be_bytes();
            let [e, f, ..] = self.stack.random_u32().to_be_bytes();
            Mac([a & 0xfc | 0x02, b, c, d, e, f])
        });
        let config = InterfaceConfig {
            name: name.clone(),
            mtu: MTU,
        };
        let index = self.stack.add_user_interface(config, mac);
        self.inherit_conf(index);
        let device = Device {
            flags,
            persists: false,
            owner: None,
            group: None,
            files: Vec::new(),
            flows: BTreeMap::new(),
            vnet: offload::Vnet::default(),
            send_buffer: i32::MAX,
        };
        if let Some(tuns) = &mut self.tuns {
            tuns.devices.insert(index, device);
        }
        self.tell_link(&Teller::ioctl(now), index);
        Ok((index, name))
    }

    /// netif_carrier_on(), netif_carrier_off()
    fn tun_carrier(&mut self, now: Instant, index: IfIndex, carrier: bool) {
        let Some(interface) = self.stack.interface(index) else {
            return;
        };
        if interface.has_carrier() == carrier {
            return;
        }
        let up = interface_flags(interface) & IFF_UP != 0;
        let change = InterfaceChange::Carrier(carrier);
        self.stack.change_interface(index, change);
        if up {
            self.tell_link(&Teller::ioctl(now), index);
        }
    }

    /// The interface is not there any more.
    pub(crate) fn tun_lost(&mut self, index: IfIndex) {
        let Some(tuns) = &mut self.tuns else { return };
        let device = tuns.devices.remove(&index);
        for id in device.into_iter().flat_map(|device| device.files) {
            if let Some(file) = tuns.files.get_mut(&id) {
                *file = File::default();
            }
        }
    }

    /// TUNSETQUEUE (tun_set_queue()): a queue gets nothing for a while, and something again.
    fn tun_set_queue(&mut self, id: TunId, data: &[u8]) -> Result<(), Errno> {
        let index = self.tun_index(id).ok_or(Errno::EINVAL)?;
        let several = (self.tun_device(index)).is_some_and(|d| d.flags & IFF_MULTI_QUEUE != 0);
        let flags = u16::from_ne_bytes([data[NAME], data[NAME + 1]]);
        let file = self.tuns.as_mut().and_then(|tuns| tuns.files.get_mut(&id));
        let file = file.filter(|_| several).ok_or(Errno::EINVAL)?;
        let detach = match flags {
            _ if flags & IFF_ATTACH_QUEUE != 0 => false,
            _ if flags & IFF_DETACH_QUEUE != 0 => true,
            _ => return Err(Errno::EINVAL),
        };
        if file.detached == detach {
            return Err(Errno::EINVAL);
        }
        file.detached = detach;
        if detach {
            file.queue.clear();
            if let Some(device) = self.tun_device_mut(index) {
                device.flows.retain(|_, other| *other != id);
            }
        }
        Ok(())
    }

    fn tun_is_detached(&self, id: TunId) -> bool {
        let file = self.tuns.as_ref().and_then(|tuns| tuns.files.get(&id));
        file.is_some_and(|file| file.detached)
    }

    /// A flow is written to this queue.
    fn tun_flow(&mut self, index: IfIndex, flow: u32, id: TunId) {
        if self.tun_is_detached(id) {
            return;
        }
        if let Some(device) = self.tun_device_mut(index) {
            if device.flows.len() >= FLOWS && !device.flows.contains_key(&flow) {
                device.flows.clear();
            }
            device.flows.insert(flow, id);
        }
    }

    /// What leaves by such an interface goes to its descriptor, if there is one and room (tun_net_xmit()); others come back.
    pub(crate) fn tun_take(&mut self, departure: Departure) -> Option<Departure> {
        let Some(tuns) = &mut self.tuns else {
            return Some(departure);
        };
        let Some(device) = tuns.devices.get(&departure.interface) else {
            return Some(departure);
        };
        let room = (self.stack.interface(departure.interface)).map_or(0, |i| i.queue_len());
        // tun_automq_select_queue(): where the flow comes from, else by its number.
        let id = match device.files[..] {
            [] => None,
            [only] => Some(only),
            _ => {
                let flow = offload::flow_of(&departure.frame);
                let attached = |id: &&TunId| tuns.files.get(id).is_some_and(|file| !file.detached);
                let all: Vec<TunId> = device.files.iter().filter(attached).copied().collect();
                let known = device.flows.get(&flow).copied();
                let place = ((u64::from(flow) * all.len() as u64) >> 32) as usize;
                known.or_else(|| all.get(place).copied())
            }
        };
        let file = id.and_then(|id| tuns.files.get_mut(&id));
        let file = file.filter(|file| !file.detached)?;
        let head = device.head(departure.frame.ethertype());
        let packets = match device.has_vnet() {
            true => device.vnet.packets(departure.frame),
            false => Vec::from([departure.frame.emit()]),
        };
        for packet in packets {
            if file.queue.len() < room as usize {
                file.queue.push_back([&head[..], &packet].concat());
            }
        }
        None
    }

    fn tun_index(&self, id: TunId) -> Option<IfIndex> {
        self.tuns.as_ref()?.files.get(&id)?.device
    }

    fn tun_device(&self, index: IfIndex) -> Option<&Device> {
        self.tuns.as_ref()?.devices.get(&index)
    }

    fn tun_device_mut(&mut self, index: IfIndex) -> Option<&mut Device> {
        self.tuns.as_mut()?.devices.get_mut(&index)
    }
}

fn put_name(data: &mut [u8], name: &str) {
    data[..NAME].fill(0);
    data[..name.len()].copy_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests;
