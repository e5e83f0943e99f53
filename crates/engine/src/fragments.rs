//! Packets that are too large for a link: cut (RFC 791, 3.2; RFC 8200, 4.5) and joined again.
//!
//! # Theory of operation
//! [`cut`] makes the pieces of a packet. On the way in the pieces of one packet meet in a queue, found by addresses,
//! protocol and identification; when the last hole is filled the packet goes on. A piece that overlaps others makes the
//! whole packet suspect and is the end of it (RFC 5722, which Linux follows for IPv4 too); one that was there already is
//! passed over.
//!
//! # Limits
//! All queues of a version together hold `ipfrag_high_thresh` (`ip6frag_high_thresh`) bytes; beyond it no new packet is
//! begun. A packet that is not whole after `ipfrag_time` is given up, and its sender told, if its first piece is there.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;

use bytes::{Bytes, BytesMut};
use switchboard_wire::{
    Body, ExtHeader, Extended, Fragment, HOP_OPTIONS, IpHeader, Packet, ROUTING, emit_body,
};

use crate::extended::Arrived;
use crate::hash::{KeyedMap, KeyedState};
use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::time::Instant;

/// What a piece costs beside its bytes, and a queue: about what Linux's structures take.
const PIECE: usize = 256;
const QUEUE: usize = 256;
/// The most that a packet may be when it is whole.
const LONGEST: u32 = 65_535;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    ident: u32,
    /// Of IPv4 only.
    protocol: u8,
}

/// The pieces of one packet.
#[derive(Debug)]
struct Queue {
    serial: u64,
    interface: IfIndex,
    pieces: BTreeMap<u32, Bytes>,
    /// How much is there, and how long it is to be, as soon as that is known.
    have: u32,
    end: Option<u32>,
    /// The furthest that a piece reaches.
    reach: u32,
    first: Option<First>,
    largest: u32,
    charged: usize,
}

/// What the first piece says of the whole.
#[derive(Debug)]
struct First {
    ip: IpHeader,
    protocol: u8,
    arrived: Box<Arrived>,
    /// As it came, to be quoted.
    packet: Packet,
}

/// Packets that are not whole yet.
#[derive(Debug)]
pub(crate) struct Fragments {
    queues: KeyedMap<Key, Queue>,
    /// In the order of their deadlines, for each version.
    deadlines: [VecDeque<(Instant, Key, u64)>; 2],
    memory: [usize; 2],
    next_serial: u64,
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The rest is still to come.
    Waits,
    /// It was dropped, maybe with all that was there.
    Dropped,
    /// The packet is whole.
    Whole(Box<Whole>),
}

/// A packet that was in pieces.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) ip: IpHeader,
    pub(crate) protocol: u8,
    pub(crate) bytes: Bytes,
    pub(crate) arrived: Box<Arrived>,
}

/// A piece that came in.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) interface: IfIndex,
    pub(crate) fragment: Fragment,
    pub(crate) arrived: Box<Arrived>,
    pub(crate) packet: Packet,
    pub(crate) protocol: u8,
    pub(crate) bytes: Bytes,
}

/// A packet was given up: what came of it first, and by which interface.
#[derive(Debug)]
pub(crate) struct Expired {
    pub(crate) v6: bool,
    pub(crate) interface: IfIndex,
    pub(crate) first: Option<Packet>,
}

impl Fragments {
    pub(crate) fn new(hash: KeyedState) -> Fragments {
        Fragments {
            queues: KeyedMap::with_hasher(hash),
            deadlines: Default::default(),
            memory: [0; 2],
            next_serial: 0,
        }
    }

    /// When the next packet is given up.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let fronts = self.deadlines.iter().filter_map(|list| list.front());
        fronts.map(|(at, ..)| *at).min()
    }

    /// How many packets of a version are not whole.
    pub(crate) fn len(&self, v6: bool) -> usize {
        self.deadlines[usize::from(v6)].len()
    }

    /// What the queues of a version hold.
    pub(crate) fn memory(&self, v6: bool) -> usize {
        self.memory[usize::from(v6)]
    }

    /// A piece came in (ip_frag_queue, ip6_frag_queue); a new packet is given up at `deadline`.
    pub(crate) fn join(&mut self, piece: Piece, deadline: Instant, high: usize) -> Joined {
        let v6 = piece.packet.ip.is_v6();
        let side = usize::from(v6);
        let key = Key {
            src: piece.packet.ip.src,
            dst: piece.packet.ip.dst,
            ident: piece.fragment.ident,
            protocol: if v6 { 0 } else { piece.protocol },
        };
        let Piece {
            fragment,
            mut bytes,
            ..
        } = piece;
        if !self.queues.contains_key(&key) {
            if self.memory[side] > high {
                return Joined::Dropped;
            }
            let serial = self.next_serial;
            self.next_serial += 1;
            self.deadlines[side].push_back((deadline, key, serial));
            self.memory[side] += QUEUE;
            let queue = Queue {
                serial,
                interface: piece.interface,
                pieces: BTreeMap::new(),
                have: 0,
                end: None,
                reach: 0,
                first: None,
                largest: 0,
                charged: QUEUE,
            };
            self.queues.insert(key, queue);
        }
        if fragment.more {
            // What is not a multiple of eight is cut to one; IPv6 has refused it by now.
            bytes.truncate(bytes.len() & !7);
        }
        let Some(queue) = self.queues.get_mut(&key) else {
            return Joined::Dropped;
        };
        let size = piece.packet.wire_len() as u32;
        let (start, end) = (fragment.offset, fragment.offset + bytes.len() as u32);
        let contradicts = match (fragment.more, queue.end) {
            (false, Some(known)) => end != known,
            (false, None) => end < queue.reach,
            (true, Some(known)) => end > known,
            (true, None) => false,
        };
        if contradicts || start == end || end > LONGEST {
            self.forget(&key);
            return Joined::Dropped;
        }
        match queue.overlap(start, end) {
            Overlap::None => {}
            Overlap::Same => return Joined::Dropped,
            Overlap::Some => {
                self.forget(&key);
                return Joined::Dropped;
            }
        }
        if !fragment.more {
            queue.end = Some(end);
        }
        queue.reach = queue.reach.max(end);
        queue.have += end - start;
        queue.largest = queue.largest.max(size);
        let cost = bytes.len() + PIECE;
        queue.charged += cost;
        self.memory[side] += cost;
        queue.pieces.insert(start, bytes);
        if start == 0 {
            queue.first = Some(First {
                ip: piece.packet.ip,
                protocol: piece.protocol,
                arrived: piece.arrived,
                packet: piece.packet,
            });
        }
        if queue.end != Some(queue.have) {
            return Joined::Waits;
        }
        let Some(mut queue) = self.forget(&key) else {
            return Joined::Dropped;
        };
        let Some(mut first) = queue.first.take() else {
            return Joined::Dropped;
        };
        let mut whole = BytesMut::with_capacity(queue.have as usize);
        for piece in queue.pieces.values() {
            whole.extend_from_slice(piece);
        }
        first.arrived.fragment_size = queue.largest;
        Joined::Whole(Box::new(Whole {
            ip: first.ip,
            protocol: first.protocol,
            bytes: whole.freeze(),
            arrived: first.arrived,
        }))
    }

    fn forget(&mut self, key: &Key) -> Option<Queue> {
        let queue = self.queues.remove(key)?;
        let side = usize::from(key.dst.is_ipv6());
        self.memory[side] -= queue.charged;
        let list = &mut self.deadlines[side];
        if let Some(at) = list.iter().position(|(.., serial)| *serial == queue.serial) {
            list.remove(at);
        }
        Some(queue)
    }

    /// The next packet whose time is over (ip_expire, ip6frag_expire_frag_queue).
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Expired> {
        let due = |list: &VecDeque<(Instant, Key, u64)>| {
            list.front()
                .filter(|(at, ..)| *at <= now)
                .map(|entry| entry.1)
        };
        let key = self.deadlines.iter().find_map(due)?;
        let queue = self.forget(&key)?;
        Some(Expired {
            v6: key.dst.is_ipv6(),
            interface: queue.interface,
            first: queue.first.map(|first| first.packet),
        })
    }
}

impl Stack {
    /// ip_check_defrag: a piece of an IPv4 packet came by somebody who is not its receiver. The packet, if that makes it
    /// whole; what is no piece is given back as it is.
    pub fn join_seen(
        &mut self,
        now: Instant,
        interface: IfIndex,
        packet: Packet,
    ) -> Option<Packet> {
        let extended = match &packet.body {
            Body::Extended(extended) if !packet.ip.is_v6() => extended,
            _ => return Some(packet),
        };
        let Some(fragment) = extended.fragment else {
            return Some(packet);
        };
        let ip = packet.ip;
        let (protocol, bytes) = match &extended.body {
            Body::Other { protocol, payload } => (*protocol, payload.clone()),
            body => (body.protocol(false), Bytes::from(emit_body(&ip, body))),
        };
        let arrived = Arrived {
            at: now,
            options: None,
            answer: None,
            // IPv4's options, which the whole packet has from its first piece.
            headers: extended.headers.clone(),
            fragment_size: 0,
        };
        let piece = Piece {
            interface,
            fragment: Fragment {
                ident: u32::from(ip.ident),
                ..fragment
            },
            arrived: Box::new(arrived),
            packet,
            protocol,
            bytes,
        };
        let deadline = now + self.sysctl.ipfrag_time;
        let high = self.sysctl.ipfrag_high_thresh as usize;
        let hash = *self.fragments.queues.hasher();
        let queues = (self.seen_fragments).get_or_insert_with(|| Box::new(Fragments::new(hash)));
        let joined = queues.join(piece, deadline, high);
        self.ip_arm();
        let Joined::Whole(whole) = joined else {
            return None;
        };
        let Whole {
            ip,
            protocol,
            bytes,
            arrived,
        } = *whole;
        let body = Body::Other {
            protocol,
            payload: bytes,
        };
        let options = arrived.headers.into_iter().next();
        let options = options.map(|header| header.bytes).unwrap_or_default();
        let body = Extended::with_options(options, None, body);
        Some(Packet { ip, body })
    }
}

/// How a piece lies to those that are there.
enum Overlap {
    None,
    /// All of it is there.
    Same,
    Some,
}

impl Queue {
    fn overlap(&self, start: u32, end: u32) -> Overlap {
        // How far what is there reaches without a hole, from `start` on.
        let mut covered = start;
        let mut any = false;
        let before = self.pieces.range(..=start).next_back();
        let behind = self.pieces.range(start + 1..end);
        for (at, bytes) in before.into_iter().chain(behind) {
            let stop = at + bytes.len() as u32;
            if stop <= start {
                continue;
            }
            any = true;
            if *at <= covered {
                covered = covered.max(stop);
            }
        }
        match any {
            false => Overlap::None,
            true if covered >= end => Overlap::Same,
            true => Overlap::Some,
        }
    }
}

/// The pieces of a packet, none larger than `mtu` (ip_do_fragment, ip6_fragment); none at all when there is no room for
/// any. `ident` is for a packet that has none of its own.
pub(crate) fn cut(packet: &Packet, mtu: u32, ident: u32) -> Vec<Packet> {
    let v6 = packet.ip.is_v6();
    let mut ip = packet.ip;
    let (headers, behind, before) = match &packet.body {
        Body::Extended(extended) => {
            let fixed = match v6 {
                // Everything up to the last header that a router looks at goes with each piece.
                true => {
                    let looked = |header: &ExtHeader| matches!(header.kind, HOP_OPTIONS | ROUTING);
                    let last = extended.headers.iter().rposition(looked);
                    last.map_or(0, |last| last + 1)
                }
                false => extended.headers.len(),
            };
            let (fixed, rest) = extended.headers.split_at(fixed);
            let rest = Extended::with_headers(rest.to_vec(), None, extended.body.clone());
            (fixed.to_vec(), rest, extended.fragment)
        }
        body => (Vec::new(), body.clone(), None),
    };
    let protocol = behind.protocol(v6);
    let bytes = Bytes::from(emit_body(&ip, &behind));
    let fixed: usize = headers.iter().map(|header| header.bytes.len()).sum();
    let overhead = ip.header_len() + fixed + if v6 { 8 } else { 0 };
    let room = (mtu as usize).saturating_sub(overhead) & !7;
    if room == 0 {
        return Vec::new();
    }
    let ident = before.map_or(ident, |fragment| fragment.ident);
    if !v6 {
        ip.dont_fragment = false;
        if ip.ident == 0 {
            ip.ident = ident as u16;
        }
    }
    let base = before.map_or(0, |fragment| fragment.offset);
    let last_of_all = before.is_none_or(|fragment| !fragment.more);
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + room);
        let fragment = Fragment {
            ident: if v6 { ident } else { u32::from(ip.ident) },
            offset: base + at as u32,
            more: end < bytes.len() || !last_of_all,
        };
        let body = Body::Other {
            protocol,
            payload: bytes.slice(at..end),
        };
        let body = match v6 {
            true => Extended::with_headers(headers.clone(), Some(fragment), body),
            false => {
                let options = headers.first().map(|header| header.bytes.clone());
                let mut options = options.unwrap_or_default();
                if fragment.offset > 0 {
                    options = copied(&options);
                }
                Extended::with_options(options, Some(fragment), body)
            }
        };
        out.push(Packet { ip, body });
        at = end;
    }
    out
}

/// ip_options_fragment: what is not to be copied into each piece becomes no operation (RFC 791, 3.1).
fn copied(options: &Bytes) -> Bytes {
    let mut out = options.to_vec();
    let mut at = 0;
    while at < out.len() {
        match out[at] {
            0 => break,
            1 => at += 1,
            kind => {
                let len = out.get(at + 1).map_or(0, |len| usize::from(*len));
                let end = at + len;
                if len < 2 || end > out.len() {
                    break;
                }
                if kind & 0x80 == 0 {
                    out[at..end].fill(1);
                }
                at = end;
            }
        }
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests;
