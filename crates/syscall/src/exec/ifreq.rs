//! The interface ioctls: netdevice(7).
//!
//! See [netdevice(7)](https://man7.org/linux/man-pages/man7/netdevice.7.html).

use crate::memory::{read_array, write_int};
use crate::pending::Env;
use alloc::vec;
use core::net::{IpAddr, Ipv4Addr};
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_engine::{IfIndex, Interface, InterfaceAddress};
use switchboard_socket::{InterfaceSetting, interface_flags, may_administer};

/// `IFNAMSIZ`: the name's place in `struct ifreq`, and where its union begins.
pub(super) const NAME: usize = 16;
/// `sizeof(struct ifreq)`: the union is as large as a `struct ifmap`.
fn ifreq_size(word: Word) -> usize {
    match word {
        Word::Lp64 => 40,
        Word::Ilp32 => 32,
    }
}

/// Whether the command is one of these.
pub(super) fn is_interface(cmd: u32) -> bool {
    matches!(
        cmd,
        SIOCGIFCONF
            | SIOCGIFNAME
            | SIOCGIFFLAGS
            | SIOCGIFADDR
            | SIOCGIFDSTADDR
            | SIOCGIFBRDADDR
            | SIOCGIFNETMASK
            | SIOCGIFMETRIC
            | SIOCGIFMTU
            | SIOCGIFHWADDR
            | SIOCGIFINDEX
            | SIOCGIFTXQLEN
            | SIOCGIFMAP
    )
}

/// get_user_ifreq()
pub(super) fn read(env: &mut Env<'_, '_>, word: Word, arg: u64) -> Result<[u8; 40], Errno> {
    let mut request = [0; 40];
    env.mem.read(arg, &mut request[..ifreq_size(word)])?;
    Ok(request)
}

/// Whether the command sets something.
pub(super) fn is_setting(cmd: u32) -> bool {
    matches!(
        cmd,
        SIOCSIFFLAGS
            | SIOCSIFMTU
            | SIOCSIFTXQLEN
            | SIOCSIFNAME
            | SIOCSIFHWADDR
            | SIOCSIFMETRIC
            | SIOCSIFMAP
            | SIOCSIFADDR
            | SIOCSIFNETMASK
            | SIOCSIFBRDADDR
            | SIOCSIFDSTADDR
            | SIOCDIFADDR
    )
}

/// dev_ioctl(), devinet_ioctl() and inet6_ioctl(), where they set.
pub(super) fn set(
    env: &mut Env<'_, '_>,
    word: Word,
    family: i32,
    cmd: u32,
    arg: u64,
) -> Result<(), Errno> {
    let cred = env.cx.cred.clone();
    if matches!(
        cmd,
        SIOCSIFADDR | SIOCSIFNETMASK | SIOCSIFBRDADDR | SIOCSIFDSTADDR | SIOCDIFADDR
    ) && family != AF_INET
    {
        // Only the address itself is IPv6's to set, in a structure of its own.
        if (family, cmd) == (AF_INET6, SIOCSIFDSTADDR) {
            // addrconf_set_dstaddr() is for tunnels of the kind SIT.
            return Err(Errno::ENODEV);
        }
        if family != AF_INET6 || !matches!(cmd, SIOCSIFADDR | SIOCDIFADDR) {
            return Err(Errno::ENOTTY);
        }
        if !may_administer(&cred) {
            return Err(Errno::EPERM);
        }
        let request: [u8; 24] = read_array(env.mem, arg)?;
        let addr: [u8; 16] = request[..16].try_into().unwrap_or_default();
        let prefix = switchboard_abi::layout::read_i32(&request, 16) as u32;
        let index = switchboard_abi::layout::read_i32(&request, 20);
        return if cmd == SIOCSIFADDR {
            env.host.add_v6_address(env.cx, index, addr.into(), prefix)
        } else {
            env.host
                .remove_v6_address(env.cx, index, addr.into(), prefix)
        };
    }
    if cmd == SIOCDIFADDR {
        return Err(Errno::ENOTTY);
    }
    let request = read(env, word, arg)?;
    let name = name_of(&request[..NAME]);
    let name = core::str::from_utf8(name).map_err(|_| Errno::ENODEV)?;
    let half = u16::from_ne_bytes([request[16], request[17]]);
    let whole = switchboard_abi::layout::read_i32(&request, 16);
    let addr = Ipv4Addr::new(request[20], request[21], request[22], request[23]);
    let new = name_of(&request[NAME..2 * NAME]);
    let setting = match cmd {
        SIOCSIFFLAGS => InterfaceSetting::Flags(half),
        SIOCSIFMTU => InterfaceSetting::Mtu(whole),
        SIOCSIFTXQLEN => InterfaceSetting::QueueLen(whole),
        // A name that is no text is none that dev_valid_name() would take here.
        SIOCSIFNAME => InterfaceSetting::Name(core::str::from_utf8(new).unwrap_or_default()),
        SIOCSIFHWADDR => {
            let address = request[18..24].try_into().unwrap_or_default();
            InterfaceSetting::Hardware(half, address)
        }
        SIOCSIFADDR => InterfaceSetting::Address(half, addr),
        SIOCSIFNETMASK => InterfaceSetting::Netmask(half, addr),
        SIOCSIFBRDADDR => InterfaceSetting::Broadcast(half, addr),
        SIOCSIFDSTADDR => InterfaceSetting::Destination(half, addr),
        _ => InterfaceSetting::Unsupported,
    };
    env.host
        .set_interface(env.cx, family == AF_INET, name, setting)
}

fn is_address(cmd: u32) -> bool {
    matches!(
        cmd,
        SIOCGIFADDR | SIOCGIFDSTADDR | SIOCGIFBRDADDR | SIOCGIFNETMASK
    )
}

/// Up to the NUL, or as much as there is room for before it.
pub(super) fn name_of(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(NAME - 1)]
}

/// `inet`: the socket is an AF_INET one, which alone knows of addresses.
pub(super) fn ioctl(
    env: &mut Env<'_, '_>,
    word: Word,
    inet: bool,
    cmd: u32,
    arg: u64,
) -> Result<(), Errno> {
    if cmd == SIOCGIFCONF {
        return configurations(env, word, arg);
    }
    if !inet && is_address(cmd) {
        return Err(Errno::ENOTTY);
    }
    let head: [u8; 20] = read_array(env.mem, arg)?;
    let stack = env.host.stack();
    if cmd == SIOCGIFNAME {
        let index = u32::from_ne_bytes([head[16], head[17], head[18], head[19]]);
        let interface = IfIndex::new(index).and_then(|index| stack.interface(index));
        // netdev_get_name(): what stands behind the end of the name stays.
        let mut name = interface.ok_or(Errno::ENODEV)?.name().as_bytes().to_vec();
        name.push(0);
        env.mem.write(arg + NAME as u64 - 1, &[0])?;
        return Ok(env.mem.write(arg, &name)?);
    }
    let whole = name_of(&head[..NAME]);
    // A label after a colon names an address of the interface.
    let labelled = whole.iter().position(|byte| *byte == b':');
    let name = &whole[..labelled.unwrap_or(whole.len())];
    let interface = stack
        .interfaces()
        .find(|interface| interface.name().as_bytes() == name)
        .ok_or(Errno::ENODEV)?;
    if is_address(cmd) {
        let mut all = env.host.labelled_addresses(interface);
        let found = all.find(|(label, _)| label.as_bytes() == whole);
        let (_, address) = found.ok_or(Errno::EADDRNOTAVAIL)?;
        let value = sockaddr(address_value(address, cmd));
        return Ok(env.mem.write(arg + NAME as u64, &value)?);
    }
    if cmd == SIOCGIFMAP {
        // No link has memory, ports or interrupts.
        // Two longs, a short and three bytes.
        let none = [0; 21];
        return Ok(env
            .mem
            .write(arg + NAME as u64, &none[..2 * word.size() + 5])?);
    }
    let value = value(interface, cmd)?;
    // What the command's member of the union does not cover stays.
    let len = match cmd {
        SIOCGIFFLAGS => 2,
        SIOCGIFINDEX | SIOCGIFMTU | SIOCGIFTXQLEN | SIOCGIFMETRIC => 4,
        _ => value.len(),
    };
    Ok(env.mem.write(arg + NAME as u64, &value[..len])?)
}

/// The union of `struct ifreq`, as far as a command fills it.
fn value(interface: &Interface, cmd: u32) -> Result<[u8; 16], Errno> {
    let mut out = [0; 16];
    match cmd {
        SIOCGIFFLAGS => {
            out[..2].copy_from_slice(&interface_flags(interface).to_ne_bytes());
        }
        SIOCGIFINDEX => out[..4].copy_from_slice(&interface.index().get().to_ne_bytes()),
        SIOCGIFMTU => out[..4].copy_from_slice(&interface.mtu().to_ne_bytes()),
        SIOCGIFTXQLEN => out[..4].copy_from_slice(&interface.queue_len().to_ne_bytes()),
        // "Always zero on Linux."
        SIOCGIFMETRIC => {}
        SIOCGIFHWADDR => {
            out[..2].copy_from_slice(&interface.link_type().to_ne_bytes());
            out[2..8].copy_from_slice(&interface.hardware());
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(out)
}

/// devinet_ioctl(), where it gets.
fn address_value(address: &InterfaceAddress, cmd: u32) -> Ipv4Addr {
    let v4 = |addr| match addr {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    match cmd {
        SIOCGIFADDR => v4(address.addr),
        SIOCGIFDSTADDR => v4(address.peer),
        SIOCGIFBRDADDR => address.given_broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED),
        _ => {
            let bits = 32 - u32::from(address.prefix_len);
            Ipv4Addr::from_bits(u32::MAX.checked_shl(bits).unwrap_or(0))
        }
    }
}

/// dev_ifconf(): every interface that has an IPv4 address, once for each.
fn configurations(env: &mut Env<'_, '_>, word: Word, arg: u64) -> Result<(), Errno> {
    let mut head = vec![0; 2 * word.size()];
    env.mem.read(arg, &mut head)?;
    let room = switchboard_abi::layout::read_i32(&head, 0);
    let buffer = word.read_ulong(&head, word.size());
    let size = ifreq_size(word);
    let mut bytes = vec![];
    for interface in env.host.stack().interfaces() {
        for (label, address) in env.host.labelled_addresses(interface) {
            let start = bytes.len();
            bytes.extend_from_slice(&padded(label));
            bytes.extend_from_slice(&sockaddr(address_value(address, SIOCGIFADDR)));
            bytes.resize(start + size, 0);
        }
    }
    if buffer != 0 {
        // Whole entries only.
        let fits = usize::try_from(room).unwrap_or(0) / size * size;
        bytes.truncate(fits);
        env.mem.write(buffer, &bytes)?;
    }
    Ok(write_int(env.mem, arg, bytes.len() as i32)?)
}

fn padded(name: &str) -> [u8; NAME] {
    let mut out = [0; NAME];
    let length = name.len().min(NAME - 1);
    out[..length].copy_from_slice(&name.as_bytes()[..length]);
    out
}

fn sockaddr(addr: Ipv4Addr) -> [u8; 16] {
    let mut out = [0; 16];
    out[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    out[4..8].copy_from_slice(&addr.octets());
    out
}
