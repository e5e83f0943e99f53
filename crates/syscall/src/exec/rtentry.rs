//! The ioctls about routes and neighbours: their structures, in both word sizes.

use crate::memory::read_array;
use crate::pending::Env;
use core::net::Ipv4Addr;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::{ArpCall, ArpEntry, RouteEntry, RouteEntry6, may_administer};
use switchboard_wire::Mac;

/// Whether the command is one of these.
pub(super) fn is_route(cmd: u32) -> bool {
    matches!(cmd, SIOCADDRT | SIOCDELRT | SIOCSARP | SIOCGARP | SIOCDARP)
}

/// inet_ioctl(), inet6_ioctl(). Other families have none of these.
pub(super) fn ioctl(
    env: &mut Env<'_, '_>,
    word: Word,
    family: i32,
    cmd: u32,
    arg: u64,
) -> Result<(), Errno> {
    let add = cmd == SIOCADDRT;
    match (family, cmd) {
        (AF_INET, SIOCADDRT | SIOCDELRT) => route(env, word, add, arg),
        (AF_INET6, SIOCADDRT | SIOCDELRT) => route6(env, word, add, arg),
        (AF_INET, SIOCSARP) => arp(env, ArpCall::Set, arg),
        (AF_INET, SIOCGARP) => arp(env, ArpCall::Get, arg),
        (AF_INET, SIOCDARP) => arp(env, ArpCall::Delete, arg),
        _ => Err(Errno::ENOTTY),
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// Family and address of a `struct sockaddr_in`.
fn inet_address(bytes: &[u8], at: usize) -> (u16, Ipv4Addr) {
    let addr = Ipv4Addr::new(bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]);
    (half(bytes, at), addr)
}

/// `struct rtentry`: three addresses between words of the caller's size.
fn route(env: &mut Env<'_, '_>, word: Word, add: bool, arg: u64) -> Result<(), Errno> {
    let long = word.size();
    let (flags, metric, size) = match word {
        Word::Lp64 => (56, 80, 120),
        Word::Ilp32 => (52, 64, 84),
    };
    let mut entry = [0; 120];
    env.mem.read(arg, &mut entry[..size])?;
    let name = word.read_ulong(&entry, metric + long);
    let mut device = [0; 15];
    let device = match name {
        0 => None,
        name => {
            // A name may end before memory does.
            let mut len = 0;
            while len < device.len() {
                let [byte] = read_array(env.mem, name + len as u64)?;
                if byte == 0 {
                    break;
                }
                device[len] = byte;
                len += 1;
            }
            Some(&device[..len])
        }
    };
    let entry = RouteEntry {
        dst: inet_address(&entry, long),
        gateway: inet_address(&entry, long + 16),
        mask: inet_address(&entry, long + 32),
        flags: half(&entry, flags),
        metric: half(&entry, metric) as i16,
        device,
    };
    env.host.ioctl_route(env.cx, add, &entry)
}

/// `struct in6_rtmsg`
fn route6(env: &mut Env<'_, '_>, word: Word, add: bool, arg: u64) -> Result<(), Errno> {
    let (flags, size) = match word {
        Word::Lp64 => (72, 80),
        Word::Ilp32 => (64, 72),
    };
    let mut entry = [0; 80];
    env.mem.read(arg, &mut entry[..size])?;
    let long = |at| switchboard_abi::layout::read_i32(&entry, at);
    let address = |at: usize| <[u8; 16]>::try_from(&entry[at..at + 16]).unwrap_or_default();
    let entry = RouteEntry6 {
        dst: (address(0).into(), half(&entry, 52)),
        src_len: half(&entry, 54),
        gateway: address(32).into(),
        metric: long(56) as u32,
        flags: long(flags) as u32,
        interface: long(flags + 4),
    };
    env.host.ioctl_route6(env.cx, add, &entry)
}

/// `struct arpreq`
fn arp(env: &mut Env<'_, '_>, call: ArpCall, arg: u64) -> Result<(), Errno> {
    // arp_ioctl() asks who it is first, then for the entry.
    if call != ArpCall::Get && !may_administer(env.cx.cred) {
        return Err(Errno::EPERM);
    }
    let request: [u8; 68] = read_array(env.mem, arg)?;
    let (family, addr) = inet_address(&request, 0);
    let flags = switchboard_abi::layout::read_i32(&request, 32);
    let name = &request[52..68];
    let end = name.iter().position(|b| *b == 0).unwrap_or(15);
    let mut mac = [0; 6];
    mac.copy_from_slice(&request[18..24]);
    let entry = ArpEntry {
        family,
        addr,
        flags,
        hardware: (half(&request, 16), Mac(mac)),
        device: &name[..end],
    };
    let Some((mac, flags)) = env.host.ioctl_arp(env.cx, call, &entry)? else {
        return Ok(());
    };
    // arp_req_get(): the hardware address, its kind and the flags.
    let mut out = request;
    out[16..18].copy_from_slice(&1u16.to_ne_bytes());
    out[18..24].copy_from_slice(&mac.0);
    out[32..36].copy_from_slice(&flags.to_ne_bytes());
    env.mem.write(arg, &out)?;
    Ok(())
}
