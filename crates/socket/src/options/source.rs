//! The structures of RFC 3678, as both word sizes lay them out.

use super::SetArg;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::{self, SOCKADDR_STORAGE_SIZE};
use switchboard_abi::{Errno, SockAddr, Word};
use switchboard_engine::{FilterMode, IfIndex, Membership};

/// Sizes and places in `struct group_req`, `group_source_req` and `group_filter`: a 32-bit caller has no gap before the
/// `sockaddr_storage`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Where the group's address begins in each of them.
    pub(super) group: usize,
    pub(super) group_req: usize,
    pub(super) group_source_req: usize,
    /// `GROUP_FILTER_SIZE(0)`
    pub(super) filter: usize,
}

impl Layout {
    pub(super) fn of(word: Word) -> Layout {
        let group = word.size();
        Layout {
            group,
            group_req: group + SOCKADDR_STORAGE_SIZE,
            group_source_req: group + 2 * SOCKADDR_STORAGE_SIZE,
            filter: group + SOCKADDR_STORAGE_SIZE + 8,
        }
    }
}

/// An address of the level's family in a `sockaddr_storage`.
pub(super) fn group_of(raw: &[u8], v6: bool) -> Option<IpAddr> {
    match sockaddr::family(raw) {
        Some(AF_INET) if !v6 => Some((*sockaddr::read_in(raw)?.ip()).into()),
        Some(AF_INET6) if v6 => Some((*sockaddr::read_in6(raw)?.ip()).into()),
        _ => None,
    }
}

fn word(raw: &[u8], at: usize) -> u32 {
    let bytes = raw.get(at..at + 4).and_then(|b| b.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn mode(value: u32) -> Result<FilterMode, Errno> {
    match value as i32 {
        MCAST_EXCLUDE => Ok(FilterMode::Exclude),
        MCAST_INCLUDE => Ok(FilterMode::Include),
        _ => Err(Errno::EINVAL),
    }
}

fn shown(mode: FilterMode) -> u32 {
    match mode {
        FilterMode::Exclude => MCAST_EXCLUDE as u32,
        FilterMode::Include => MCAST_INCLUDE as u32,
    }
}

/// `struct ip_msfilter` or `struct group_filter`.
pub(super) struct Filter {
    pub(super) group: IpAddr,
    /// How the interface is named: by address in the one, by index in the other.
    pub(super) address: Ipv4Addr,
    pub(super) index: Option<IfIndex>,
    pub(super) mode: Result<FilterMode, Errno>,
    pub(super) sources: Vec<IpAddr>,
}

impl Filter {
    /// Reads a `struct ip_msfilter`; more than `most` sources are ENOBUFS.
    pub(super) fn read_ip(a: &SetArg<'_>, most: u32) -> Result<Filter, Errno> {
        let head = a.bytes(16)?;
        let count = word(head, 12);
        if count > most {
            return Err(Errno::ENOBUFS);
        }
        let address = |raw: &[u8]| Ipv4Addr::from_bits(u32::from_be(word(raw, 0)));
        let all = a.bytes(16 + 4 * count as usize)?;
        let sources = all[16..].chunks_exact(4);
        Ok(Filter {
            group: address(all).into(),
            address: address(&all[4..]),
            index: None,
            mode: mode(word(all, 8)),
            sources: sources.map(|raw| address(raw).into()).collect(),
        })
    }

    /// Reads a `struct group_filter`; more than `most` sources are ENOBUFS.
    pub(super) fn read_group(a: &SetArg<'_>, v6: bool, most: u32) -> Result<Filter, Errno> {
        let layout = Layout::of(a.word);
        let head = a.bytes(layout.filter)?;
        let count = word(head, layout.filter - 4);
        if count > most {
            return Err(Errno::ENOBUFS);
        }
        let all = a.bytes(layout.filter + SOCKADDR_STORAGE_SIZE * count as usize)?;
        let list = all[layout.filter..].chunks_exact(SOCKADDR_STORAGE_SIZE);
        // IPv6 looks at no family here, and takes the bytes for what they should be.
        let address = |raw: &[u8]| match v6 {
            false => group_of(raw, false),
            true => Some(IpAddr::from(*raw.get(8..24)?.first_chunk::<16>()?)),
        };
        let group = address(&all[layout.group..]).ok_or(Errno::EADDRNOTAVAIL)?;
        let sources: Option<Vec<IpAddr>> = list.map(address).collect();
        Ok(Filter {
            group,
            address: Ipv4Addr::UNSPECIFIED,
            index: IfIndex::new(word(all, 0)),
            mode: mode(word(all, layout.filter - 8)),
            sources: sources.ok_or(Errno::EADDRNOTAVAIL)?,
        })
    }

    /// The filter of a membership as `struct ip_msfilter`: as many sources as there is room for by `asked`, and how many
    /// there are.
    pub(super) fn show_ip(asked: &[u8], membership: &Membership) -> Vec<u8> {
        let sources = membership.sources();
        let room = word(asked, 12) as usize;
        let mut out = asked[..8].to_vec();
        out.extend_from_slice(&shown(membership.mode).to_ne_bytes());
        out.extend_from_slice(&(sources.len() as u32).to_ne_bytes());
        for source in sources.iter().take(room) {
            if let IpAddr::V4(ip) = source {
                out.extend_from_slice(&ip.octets());
            }
        }
        out
    }

    /// The same as `struct group_filter`.
    pub(super) fn show_group(asked: &[u8], layout: Layout, membership: &Membership) -> Vec<u8> {
        let sources = membership.sources();
        let room = word(asked, layout.filter - 4) as usize;
        let mut out = asked[..layout.filter - 8].to_vec();
        out.extend_from_slice(&shown(membership.mode).to_ne_bytes());
        out.extend_from_slice(&(sources.len() as u32).to_ne_bytes());
        for source in sources.iter().take(room) {
            let mut bytes = [0; SOCKADDR_STORAGE_SIZE];
            SockAddr::Inet(SocketAddr::new(*source, 0)).encode(&mut bytes);
            out.extend_from_slice(&bytes);
        }
        out
    }
}
