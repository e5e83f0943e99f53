//! IPv4 options (RFC 791, 3.1): what a sender asks for, what a packet brings, and the answer to it.
//!
//! # Theory of operation
//! Options are compiled once, when a socket is given them or a packet comes in ([`IpOptions::compile`],
//! [`IpOptions::arrived`]): each is checked, and its place noted when something has to be written there. Record route and
//! timestamp have a slot taken at once; [`IpOptions::build`] fills it when a packet leaves, and [`IpOptions::undo`] gives
//! back what the socket was told. Answers carry what came, turned round ([`IpOptions::echo`]).
//!
//! # Limits
//! A host has no wall clock here, so the timestamp option carries milliseconds since the host booted with the high bit
//! set, which RFC 791 wants of a time that does not count from midnight.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use bytes::Bytes;

use crate::time::Instant;

/// The longest options that a header has room for.
pub const MAX_OPTIONS: usize = 40;

/// Length of the header before the options, from which an error counts.
const HEADER: usize = 20;

const END: u8 = 0;
const NOOP: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const STRICT_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;

/// The timestamp option's flag field: times alone, each with its address, or only of addresses that are named.
const TIME_ONLY: u8 = 0;
const TIME_AND_ADDRESS: u8 = 1;
const PRESPECIFIED: u8 = 3;

/// The options of a header, compiled (`struct ip_options`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpOptions {
    data: Vec<u8>,
    /// The first stop of a source route.
    first_hop: Option<Ipv4Addr>,
    /// Where in `data` the source route, the record route and the timestamps are.
    source_route: Option<u8>,
    record_route: Option<u8>,
    timestamps: Option<u8>,
    strict: bool,
    /// Slots that wait for an address or a time.
    route_needs_address: bool,
    stamp_needs_time: bool,
    stamp_needs_address: bool,
}

/// An option that is malformed: the offset, in the whole header, of the octet at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOption(pub u8);

/// Who compiles.
enum By<'a> {
    /// A socket is given them; `privileged`: with CAP_NET_RAW.
    Socket { privileged: bool },
    /// A packet came in at this address.
    Arrival { here: Ipv4Addr, time: &'a [u8; 4] },
}

/// The time as the timestamp option has it (RFC 791, 3.1).
fn stamp(now: Instant) -> [u8; 4] {
    (now.as_millis() as u32 | 1 << 31).to_be_bytes()
}

impl IpOptions {
    /// What IP_OPTIONS gives a socket, or IP_RETOPTS a message; up to [`MAX_OPTIONS`] octets (ip_options_get).
    /// `elsewhere`: the address is that of another host.
    pub fn compile(
        bytes: &[u8],
        privileged: bool,
        elsewhere: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<IpOptions, BadOption> {
        let mut options = IpOptions {
            data: bytes[..bytes.len().min(MAX_OPTIONS)].to_vec(),
            ..IpOptions::default()
        };
        options.pad();
        options.parse(&By::Socket { privileged }, elsewhere)?;
        Ok(options)
    }

    /// What a packet brought (ip_rcv_options): the slots that are this host's to fill are filled.
    pub(crate) fn arrived(
        bytes: &[u8],
        now: Instant,
        here: Ipv4Addr,
        elsewhere: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<IpOptions, BadOption> {
        let mut options = IpOptions {
            data: bytes.to_vec(),
            ..IpOptions::default()
        };
        let time = stamp(now);
        options.parse(&By::Arrival { here, time: &time }, elsewhere)?;
        Ok(options)
    }

    /// The options as they stand.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// Their length.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Where a packet with a source route goes first.
    pub fn first_hop(&self) -> Option<Ipv4Addr> {
        self.first_hop
    }

    /// Whether the first stop has to be on the link (strict source route).
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Whether there is a source route.
    pub(crate) fn has_source_route(&self) -> bool {
        self.source_route.is_some()
    }

    fn pad(&mut self) {
        while !self.data.len().is_multiple_of(4) {
            self.data.push(END);
        }
    }

    /// __ip_options_compile.
    fn parse(
        &mut self,
        by: &By<'_>,
        elsewhere: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<(), BadOption> {
        let mut at = 0;
        while at < self.data.len() {
            let bad = |offset: usize| Err(BadOption((HEADER + at + offset) as u8));
            match self.data[at] {
                END => {
                    // What stands behind the end is ends.
                    self.data[at..].fill(END);
                    break;
                }
                NOOP => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let left = self.data.len() - at;
            if left < 2 {
                return bad(0);
            }
            let len = usize::from(self.data[at + 1]);
            if len < 2 || len > left {
                return bad(0);
            }
            match self.data[at] {
                LOOSE_ROUTE | STRICT_ROUTE => self.parse_source_route(by, at, len)?,
                RECORD_ROUTE => self.parse_record_route(by, at, len)?,
                TIMESTAMP => self.parse_timestamps(by, at, len, &elsewhere)?,
                ROUTER_ALERT if len < 4 => return bad(1),
                ROUTER_ALERT => {}
                // Security, stream identifiers and what nobody knows: for who may send raw packets.
                _ if matches!(by, By::Socket { privileged: false }) => return bad(0),
                _ => {}
            }
            at += len;
        }
        Ok(())
    }

    fn parse_source_route(&mut self, by: &By<'_>, at: usize, len: usize) -> Result<(), BadOption> {
        let bad = |offset: usize| Err(BadOption((HEADER + at + offset) as u8));
        if len < 3 {
            return bad(1);
        }
        let pointer = usize::from(self.data[at + 2]);
        if pointer < 4 {
            return bad(2);
        }
        if self.source_route.is_some() {
            return bad(0);
        }
        if let By::Socket { .. } = by {
            if pointer != 4 || len < 7 || (len - 3) & 3 != 0 {
                return bad(1);
            }
            // The first stop becomes the packet's destination; the others move up, and the destination comes last.
            let hop: [u8; 4] = [
                self.data[at + 3],
                self.data[at + 4],
                self.data[at + 5],
                self.data[at + 6],
            ];
            self.first_hop = Some(hop.into());
            self.data.copy_within(at + 7..at + len, at + 3);
        }
        self.strict = self.data[at] == STRICT_ROUTE;
        self.source_route = Some(at as u8);
        Ok(())
    }

    fn parse_record_route(&mut self, by: &By<'_>, at: usize, len: usize) -> Result<(), BadOption> {
        let bad = |offset: usize| Err(BadOption((HEADER + at + offset) as u8));
        if self.record_route.is_some() {
            return bad(0);
        }
        if len < 3 {
            return bad(1);
        }
        let pointer = usize::from(self.data[at + 2]);
        if pointer < 4 {
            return bad(2);
        }
        if pointer <= len {
            if pointer + 3 > len {
                return bad(2);
            }
            if let By::Arrival { here, .. } = by {
                self.put(at + pointer - 1, here.octets());
            }
            self.data[at + 2] += 4;
            self.route_needs_address = true;
        }
        self.record_route = Some(at as u8);
        Ok(())
    }

    fn parse_timestamps(
        &mut self,
        by: &By<'_>,
        at: usize,
        len: usize,
        elsewhere: &impl Fn(Ipv4Addr) -> bool,
    ) -> Result<(), BadOption> {
        let bad = |offset: usize| Err(BadOption((HEADER + at + offset) as u8));
        if self.timestamps.is_some() {
            return bad(0);
        }
        if len < 4 {
            return bad(1);
        }
        let pointer = usize::from(self.data[at + 2]);
        if pointer < 5 {
            return bad(2);
        }
        let kind = self.data[at + 3] & 15;
        let arrival = match by {
            By::Arrival { here, time } => Some((*here, **time)),
            By::Socket { .. } => None,
        };
        if pointer <= len {
            if pointer + 3 > len {
                return bad(2);
            }
            let slot = at + pointer - 1;
            match kind {
                TIME_ONLY => {
                    if let Some((_, time)) = arrival {
                        self.put(slot, time);
                    }
                    self.stamp_needs_time = true;
                    self.data[at + 2] += 4;
                }
                TIME_AND_ADDRESS | PRESPECIFIED if pointer + 7 > len => return bad(2),
                TIME_AND_ADDRESS => {
                    if let Some((here, time)) = arrival {
                        self.put(slot, here.octets());
                        self.put(slot + 4, time);
                    }
                    self.stamp_needs_address = true;
                    self.stamp_needs_time = true;
                    self.data[at + 2] += 8;
                }
                PRESPECIFIED if elsewhere(self.address(slot)) => {}
                PRESPECIFIED => {
                    if let Some((_, time)) = arrival {
                        self.put(slot + 4, time);
                    }
                    self.stamp_needs_time = true;
                    self.data[at + 2] += 8;
                }
                _ if matches!(by, By::Socket { privileged: false }) => return bad(3),
                _ => {}
            }
        } else if kind != PRESPECIFIED {
            // No room is left: how many could not write is counted.
            let overflow = self.data[at + 3] >> 4;
            if overflow == 15 {
                return bad(3);
            }
            if arrival.is_some() {
                self.data[at + 3] = kind | (overflow + 1) << 4;
            }
        }
        self.timestamps = Some(at as u8);
        Ok(())
    }

    fn put(&mut self, at: usize, four: [u8; 4]) {
        if let Some(slot) = self.data.get_mut(at..at + 4) {
            slot.copy_from_slice(&four);
        }
    }

    fn address(&self, at: usize) -> Ipv4Addr {
        let four: Option<&[u8; 4]> = self.data.get(at..).and_then(|rest| rest.first_chunk());
        four.map_or(Ipv4Addr::UNSPECIFIED, |four| Ipv4Addr::from(*four))
    }

    /// The options of a packet that leaves `from` for `to`, which a source route names last (ip_options_build).
    pub(crate) fn build(&self, now: Instant, from: Ipv4Addr, to: Ipv4Addr) -> Bytes {
        let mut out = self.clone();
        if let Some(at) = self.source_route.map(usize::from) {
            out.put(at + usize::from(self.data[at + 1]) - 4, to.octets());
        }
        if let Some(at) = self.record_route.map(usize::from)
            && self.route_needs_address
        {
            out.put(
                (at + usize::from(self.data[at + 2])).saturating_sub(5),
                from.octets(),
            );
        }
        if let Some(at) = self.timestamps.map(usize::from) {
            let pointer = at + usize::from(self.data[at + 2]);
            if self.stamp_needs_address {
                out.put(pointer.saturating_sub(9), from.octets());
            }
            if self.stamp_needs_time {
                out.put(pointer.saturating_sub(5), stamp(now));
            }
        }
        Bytes::copy_from_slice(&out.data)
    }

    /// `IP_RETOPTS`, `getsockopt(IP_OPTIONS)`: as they were before slots were taken (ip_options_undo).
    pub fn undo(&self) -> Vec<u8> {
        let mut out = self.clone();
        if let (Some(at), Some(hop)) = (self.source_route.map(usize::from), self.first_hop) {
            let len = usize::from(self.data[at + 1]);
            out.data.copy_within(at + 3..at + len - 4, at + 7);
            out.put(at + 3, hop.octets());
        }
        if let Some(at) = self.record_route.map(usize::from)
            && self.route_needs_address
        {
            out.give_back(at);
        }
        if let Some(at) = self.timestamps.map(usize::from) {
            if self.stamp_needs_time {
                out.give_back(at);
                if self.data[at + 3] & 15 == PRESPECIFIED {
                    out.data[at + 2] -= 4;
                }
            }
            if self.stamp_needs_address {
                out.give_back(at);
            }
        }
        out.data
    }

    fn give_back(&mut self, at: usize) {
        self.data[at + 2] -= 4;
        let pointer = usize::from(self.data[at + 2]);
        self.put(at + pointer - 1, [0; 4]);
    }

    /// What an answer to a packet with these carries (__ip_options_echo); nothing when it cannot be answered so. No host
    /// takes a packet with a source route, so that there is none to turn round.
    pub(crate) fn echo(&self, elsewhere: impl Fn(Ipv4Addr) -> bool) -> Option<IpOptions> {
        let mut out = IpOptions::default();
        if let Some(at) = self.record_route.map(usize::from) {
            let len = usize::from(self.data[at + 1]);
            let pointer = usize::from(self.data[at + 2]);
            out.record_route = Some(out.data.len() as u8);
            let start = out.data.len();
            out.data.extend_from_slice(&self.data[at..at + len]);
            if self.route_needs_address && pointer <= len {
                if pointer + 3 > len {
                    return None;
                }
                out.data[start + 2] = (pointer + 4) as u8;
                out.route_needs_address = true;
            }
        }
        if let Some(at) = self.timestamps.map(usize::from) {
            let len = usize::from(self.data[at + 1]);
            let mut pointer = usize::from(self.data[at + 2]);
            let start = out.data.len();
            out.timestamps = Some(start as u8);
            out.data.extend_from_slice(&self.data[at..at + len]);
            if pointer <= len {
                if self.stamp_needs_address {
                    if pointer + 3 > len {
                        return None;
                    }
                    out.stamp_needs_address = true;
                    pointer += 4;
                }
                if self.stamp_needs_time {
                    if pointer + 3 > len {
                        return None;
                    }
                    if self.data[at + 3] & 15 != PRESPECIFIED {
                        out.stamp_needs_time = true;
                        pointer += 4;
                    } else if pointer + 7 <= len && !elsewhere(out.address(start + pointer - 1)) {
                        out.stamp_needs_time = true;
                        pointer += 8;
                    }
                }
                out.data[start + 2] = pointer as u8;
            }
        }
        out.pad();
        Some(out)
    }
}

#[cfg(test)]
mod tests;
