//! PACKET_FANOUT: sockets that share what comes, each frame to one of them.
//!
//! # Theory of operation
//! A group has one hook in place of its members' (`prot_hook`): all of them hear the same protocol of the same interface. A frame goes to
//! the member that the group's way of choosing names; that member's filter, queue and ring are then as ever.
//! With PACKET_FANOUT_FLAG_DEFRAG the pieces of an IPv4 packet are put together before one is chosen.

use super::PacketSocket;
use super::receive::{PACKET_OUTGOING, Seen};
use crate::filter::{BpfId, BpfObject, ETH_P_IP, ETH_P_IPV6, FilterProgram, LINK};
use crate::host::Host;
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use switchboard_abi::Errno;
use switchboard_bpf::classic::{Insn, Program};
use switchboard_bpf::ebpf::ProgramKind;
use switchboard_engine::IfIndex;
use switchboard_wire::{emit, parse};

/// `PACKET_FANOUT_*` of linux/if_packet.h.
const HASH: u8 = 0;
const LB: u8 = 1;
const CPU: u8 = 2;
const ROLLOVER: u8 = 3;
const RND: u8 = 4;
const QM: u8 = 5;
const CBPF: u8 = 6;
const EBPF: u8 = 7;
/// `PACKET_FANOUT_FLAG_*`, of the upper byte.
const FLAG_ROLLOVER: u8 = 0x10;
const FLAG_UNIQUEID: u8 = 0x20;
const FLAG_IGNORE_OUTGOING: u8 = 0x40;
const FLAG_DEFRAG: u8 = 0x80;
/// `PACKET_FANOUT_MAX`, and what a group may have when nothing is said.
const MOST: u32 = 1 << 16;
const USUAL: u32 = 256;
/// `ROLLOVER_HLEN`: a cache line of hashes.
const HISTORY: usize = 16;

/// `struct fanout_args`
pub(crate) struct Wanted {
    pub(crate) id: u16,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) most: u32,
}

/// `struct packet_fanout`
#[derive(Debug)]
pub(crate) struct Group {
    id: u16,
    kind: u8,
    flags: u8,
    most: u32,
    ignore_outgoing: bool,
    protocol: u16,
    interface: Option<IfIndex>,
    members: Vec<SocketId>,
    /// Whose turn it is, and how often something was drawn.
    turn: u32,
    program: Option<Arc<FilterProgram>>,
}

/// What a member keeps of it.
#[derive(Debug)]
pub(crate) struct Member {
    group: u16,
    kind: u8,
    flags: u8,
    rollover: Option<Box<Rollover>>,
}

/// `struct packet_rollover`
#[derive(Debug, Default)]
struct Rollover {
    next: usize,
    /// `struct tpacket_rollover_stats`: how often, for a flow that is most of what comes, in vain.
    all: u64,
    huge: u64,
    failed: u64,
    history: [u32; HISTORY],
    drawn: u32,
}

/// How much room a member has (`ROOM_*`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    None,
    Low,
    Normal,
}

/// What PACKET_FANOUT_DATA takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FanoutData {
    /// A `struct sock_fprog`.
    Classic,
    /// A descriptor of a program.
    Extended,
}

impl Member {
    /// getsockopt(2) of PACKET_FANOUT.
    pub(crate) fn told(&self) -> u32 {
        u32::from(self.group) | u32::from(self.kind) << 16 | u32::from(self.flags) << 24
    }

    /// `struct tpacket_rollover_stats`, of who rolls over.
    pub(crate) fn rollover_stats(&self) -> Option<[u64; 3]> {
        self.rollover.as_ref().map(|r| [r.all, r.huge, r.failed])
    }
}

impl Rollover {
    /// fanout_flow_is_huge(): whether more than half of what was noted last is of this flow, which is noted.
    fn is_huge(&mut self, hash: u32) -> bool {
        let same = self.history.iter().filter(|h| **h == hash).count();
        // Any victim will do; Linux draws one.
        let victim = mix(u64::from(self.drawn)) as usize % HISTORY;
        self.drawn = self.drawn.wrapping_add(1);
        self.history[victim] = hash;
        same > HISTORY / 2
    }
}

/// A number of which every bit depends on every bit (the finaliser of splitmix64).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// reciprocal_scale()
fn scale(hash: u32, members: usize) -> usize {
    ((u64::from(hash) * members as u64) >> 32) as usize
}

/// The first bytes behind the link header, and how many there are.
fn beginning<const N: usize>(seen: &Seen) -> ([u8; N], usize) {
    let mut bytes = [0; N];
    let mut len = 0;
    let network = seen.headers.get(LINK..).unwrap_or_default();
    for piece in core::iter::once(network).chain(seen.data.iter().map(|chunk| &chunk[..])) {
        let n = piece.len().min(bytes.len() - len);
        bytes[len..len + n].copy_from_slice(&piece[..n]);
        len += n;
    }
    (bytes, len)
}

/// ip_is_fragment(), of what begins like an IPv4 packet.
fn is_fragment(seen: &Seen) -> bool {
    let (bytes, len) = beginning::<20>(seen);
    let at = u16::from_be_bytes([bytes[6], bytes[7]]) & 0x3fff;
    seen.protocol == ETH_P_IP && len == 20 && bytes[0] >> 4 == 4 && bytes[0] & 15 >= 5 && at != 0
}

/// __skb_get_hash_symmetric(): the same for both directions of a flow. A fragment has no ports.
pub(super) fn flow_hash(seen: &Seen) -> u32 {
    let (bytes, len) = beginning::<128>(seen);
    let bytes = &bytes[..len];
    let (from, to, protocol, transport) = match (seen.protocol, bytes.first()) {
        (ETH_P_IP, Some(first)) if len >= 20 => {
            let fragment = u16::from_be_bytes([bytes[6], bytes[7]]) & 0x3fff != 0;
            let at = (!fragment).then_some(usize::from(first & 0xf) * 4);
            (&bytes[12..16], &bytes[16..20], bytes[9], at)
        }
        (ETH_P_IPV6, Some(_)) if len >= 40 => (&bytes[8..24], &bytes[24..40], bytes[6], Some(40)),
        _ => return mix(u64::from(seen.protocol)) as u32,
    };
    // TCP, UDP, DCCP, SCTP and UDP-Lite have their ports at the same place.
    let ports = transport.filter(|_| matches!(protocol, 6 | 17 | 33 | 132 | 136));
    let port = |at: usize| ports.and_then(|start| bytes.get(start + at..start + at + 2));
    let mut ends = [(from, port(0)), (to, port(2))];
    ends.sort_unstable();
    let mut hash = u64::from(protocol);
    for (address, port) in ends {
        for byte in address.iter().chain(port.unwrap_or_default()) {
            hash = mix(hash ^ u64::from(*byte));
        }
    }
    hash as u32
}

impl Group {
    fn hears(&self, s: &PacketSocket) -> bool {
        self.protocol == s.protocol && self.interface == s.interface
    }
}

impl Host {
    fn fanout_at(&self, id: u16) -> Option<usize> {
        self.fanouts.iter().position(|group| group.id == id)
    }

    /// fanout_add()
    pub(crate) fn fanout_join(&mut self, id: SocketId, wanted: &Wanted) -> Result<(), Errno> {
        let &Wanted { kind, most, .. } = wanted;
        let (mut group_id, mut flags) = (wanted.id, wanted.flags);
        if kind > EBPF || kind == ROLLOVER && flags & FLAG_ROLLOVER != 0 {
            return Err(Errno::EINVAL);
        }
        let s = self.packet(id)?;
        if s.fanout.is_some() {
            return Err(Errno::EALREADY);
        }
        let rolls = kind == ROLLOVER || flags & FLAG_ROLLOVER != 0;
        if flags & FLAG_UNIQUEID != 0 {
            if group_id != 0 {
                return Err(Errno::EINVAL);
            }
            // fanout_find_new_id()
            let free = (1..=u16::MAX).find(|id| self.fanout_at(*id).is_none());
            group_id = free.ok_or(Errno::ENOMEM)?;
            flags &= !FLAG_UNIQUEID;
        }
        let found = self.fanout_at(group_id);
        let at = match found {
            Some(at) => {
                let group = &self.fanouts[at];
                if group.flags != flags || most != 0 && most != group.most {
                    return Err(Errno::EINVAL);
                }
                at
            }
            None if most > MOST => return Err(Errno::EINVAL),
            None => self.fanouts.len(),
        };
        let s = self.packet(id)?;
        if s.protocol == 0 {
            return Err(Errno::EINVAL);
        }
        if found.is_none() {
            let group = Group {
                id: group_id,
                kind,
                flags,
                most: if most == 0 { USUAL } else { most },
                ignore_outgoing: flags & FLAG_IGNORE_OUTGOING != 0,
                protocol: s.protocol,
                interface: s.interface,
                members: Vec::new(),
                turn: 0,
                program: None,
            };
            self.fanouts.push(group);
        }
        let s = self.packet(id)?;
        let group = &self.fanouts[at];
        if group.kind != kind || !group.hears(s) {
            return Err(Errno::EINVAL);
        }
        if group.members.len() >= group.most as usize {
            return Err(Errno::ENOSPC);
        }
        self.fanouts[at].members.push(id);
        self.packet_mut(id)?.fanout = Some(Box::new(Member {
            group: group_id,
            kind,
            flags,
            rollover: rolls.then(Box::default),
        }));
        Ok(())
    }

    /// fanout_release(): the last of the members takes its place.
    pub(super) fn fanout_leave(&mut self, id: SocketId) {
        let Ok(s) = self.packet_mut(id) else { return };
        let Some(member) = s.fanout.take() else {
            return;
        };
        let Some(at) = self.fanout_at(member.group) else {
            return;
        };
        let members = &mut self.fanouts[at].members;
        if let Some(place) = members.iter().position(|other| *other == id) {
            members.swap_remove(place);
        }
        if members.is_empty() {
            self.fanouts.remove(at);
        }
    }

    /// What PACKET_FANOUT_DATA of this socket takes: EPERM when its filter is locked. `None`: nothing, as its row says.
    pub fn fanout_data(&self, id: SocketId) -> Result<Option<FanoutData>, Errno> {
        let member = self.packet(id).ok().and_then(|s| s.fanout.as_ref());
        let takes = match member.map(|member| member.kind) {
            Some(CBPF) => FanoutData::Classic,
            Some(EBPF) => FanoutData::Extended,
            _ => return Ok(None),
        };
        if self.filter_is_locked(id)? {
            return Err(Errno::EPERM);
        }
        Ok(Some(takes))
    }

    /// fanout_set_data_cbpf()
    pub fn set_fanout_classic(&mut self, id: SocketId, insns: Vec<Insn>) -> Result<(), Errno> {
        let program = Program::new(insns).map_err(|_| Errno::EINVAL)?;
        self.set_fanout_program(id, FilterProgram::Classic(program))
    }

    /// fanout_set_data_ebpf()
    pub fn set_fanout_bpf(
        &mut self,
        id: SocketId,
        object: Result<Option<BpfId>, Errno>,
    ) -> Result<(), Errno> {
        let object = object?.and_then(|object| self.bpf_object(object));
        let Some(BpfObject::Program(program)) = object else {
            return Err(Errno::EINVAL);
        };
        if program.program.kind() == ProgramKind::SkReuseport {
            return Err(Errno::EINVAL);
        }
        let program = FilterProgram::Extended(program.clone());
        self.set_fanout_program(id, program)
    }

    fn set_fanout_program(&mut self, id: SocketId, program: FilterProgram) -> Result<(), Errno> {
        let member = self.packet(id)?.fanout.as_ref().ok_or(Errno::EINVAL)?;
        let at = self.fanout_at(member.group).ok_or(Errno::EINVAL)?;
        self.fanouts[at].program = Some(Arc::new(program));
        Ok(())
    }

    /// packet_rcv_fanout()
    pub(super) fn fanout_input(&mut self, at: usize, seen: &Seen) {
        let group = &self.fanouts[at];
        // match_fanout_group(): none of them sees what one of them sends.
        let own = seen.except.is_some_and(|id| group.members.contains(&id));
        if own || !seen.concerns(group.protocol, group.interface, group.ignore_outgoing) {
            return;
        }
        let (count, kind, flags) = (group.members.len(), group.kind, group.flags);
        let whole;
        let seen = match flags & FLAG_DEFRAG != 0 && is_fragment(seen) {
            true => match self.fanout_joined(seen) {
                Some(joined) => {
                    whole = joined;
                    &whole
                }
                None => return,
            },
            false => seen,
        };
        let hash = || flow_hash(seen);
        let mut place = match kind {
            LB => {
                let turn = &mut self.fanouts[at].turn;
                *turn = turn.wrapping_add(1);
                *turn as usize % count
            }
            RND => {
                let group = &mut self.fanouts[at];
                group.turn = group.turn.wrapping_add(1);
                let drawn = mix(seen.at.as_nanos() ^ (u64::from(group.turn) << 48));
                scale(drawn as u32, count)
            }
            CBPF | EBPF => self.fanout_program(at, seen) as usize % count,
            // One processor, and one queue of each interface.
            CPU | QM => 0,
            ROLLOVER => self.rolled_over(at, 0, false, seen, count),
            _ => {
                debug_assert_eq!(kind, HASH);
                scale(hash(), count)
            }
        };
        if flags & FLAG_ROLLOVER != 0 {
            place = self.rolled_over(at, place, true, seen, count);
        }
        if let Some(id) = self.fanouts[at].members.get(place) {
            let id = *id;
            self.packet_take(id, seen);
        }
    }

    /// ip_check_defrag(): the packet of which this is the last piece that was missing.
    fn fanout_joined(&mut self, seen: &Seen) -> Option<Seen> {
        let mut bytes = Vec::from(seen.headers.get(LINK..).unwrap_or_default());
        seen.data
            .iter()
            .for_each(|chunk| bytes.extend_from_slice(chunk));
        let as_it_is = |data: Bytes| Seen {
            headers: seen.headers.slice(..LINK),
            data: data.into(),
            unsummed: None,
            ..*seen
        };
        let length = bytes.get(2..4).unwrap_or_default();
        let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        let header = usize::from(bytes.first().map_or(0, |first| first & 15)) * 4;
        // What is no packet is left to who gets it.
        if length > bytes.len() || length < header {
            return Some(as_it_is(bytes.into()));
        }
        let Ok(packet) = parse(&bytes[..length]) else {
            return Some(as_it_is(bytes.into()));
        };
        let whole = self.stack.join_seen(seen.at, seen.interface, packet)?;
        Some(as_it_is(emit(&whole).into()))
    }

    /// fanout_demux_bpf(). What comes in has lost its link header by then.
    fn fanout_program(&self, at: usize, seen: &Seen) -> u32 {
        let Some(program) = &self.fanouts[at].program else {
            return 0;
        };
        let start = match seen.kind {
            PACKET_OUTGOING => 0,
            _ => LINK,
        };
        let mut meta = seen.meta();
        meta.payload_offset = seen.payload_at.saturating_sub(start) as u32;
        let frame = (seen.headers.to_vec(), seen.data.clone(), start, LINK);
        program.over_frame(seen.at, frame, meta)
    }

    /// fanout_demux_rollover()
    fn rolled_over(
        &mut self,
        at: usize,
        place: usize,
        try_self: bool,
        seen: &Seen,
        count: usize,
    ) -> usize {
        let member_at = |host: &Host, place: usize| host.fanouts[at].members.get(place).copied();
        let Some(id) = member_at(self, place) else {
            return place;
        };
        let len = seen.headers.len() + seen.data.len();
        let mut room = Room::None;
        if try_self {
            room = self.fanout_room(id, len);
            if room == Room::Normal {
                return place;
            }
            if room == Room::Low {
                let hash = flow_hash(seen);
                let huge = self.rollover_mut(id).is_some_and(|r| r.is_huge(hash));
                if !huge {
                    return place;
                }
            }
        }
        let first = self.rollover_mut(id).map_or(0, |r| r.next).min(count - 1);
        let mut next = first;
        loop {
            let other = member_at(self, next);
            let another = other.filter(|other| !try_self || *other != id);
            if another.is_some_and(|other| self.fanout_room(other, len) == Room::Normal) {
                if let Some(r) = self.rollover_mut(id) {
                    r.next = next;
                    r.all += 1;
                    r.huge += u64::from(room == Room::Low);
                }
                return next;
            }
            next = (next + 1) % count;
            if next == first {
                break;
            }
        }
        if let Some(r) = self.rollover_mut(id) {
            r.failed += 1;
        }
        place
    }

    fn rollover_mut(&mut self, id: SocketId) -> Option<&mut Rollover> {
        let member = self.packet_mut(id).ok()?.fanout.as_mut()?;
        member.rollover.as_deref_mut()
    }

    /// packet_rcv_has_room(): a quarter of the buffer, or of the ring, makes it normal.
    fn fanout_room(&self, id: SocketId, len: usize) -> Room {
        let (Ok(socket), Ok(s)) = (self.get(id), self.packet(id)) else {
            return Room::None;
        };
        let (normal, low) = match &s.ring {
            Some(ring) => (ring.has_room(true), ring.has_room(false)),
            None => {
                let buffer = i64::from(socket.common.rcvbuf);
                let free = buffer - i64::from(s.charged) - i64::from(super::receive::charge(len));
                (free > buffer >> 2, free > 0)
            }
        };
        match (normal, low) {
            (true, _) => Room::Normal,
            (false, true) => Room::Low,
            _ => Room::None,
        }
    }
}
