//! SYN cookies (RFC 4987, 3.6): under a flood of SYNs a listener keeps nothing, and knows its own answer again by the last
//! acknowledgment of the handshake.
//!
//! # Theory of operation
//! The initial number holds a minute's count in its upper byte, and below it a keyed hash of addresses, ports, the peer's
//! number and that minute, with the index of a segment size added. Window scale, SACK and ECN go into the lowest six bits
//! of the timestamp, which the peer echoes; without timestamps the connection does without them. A cookie counts for two
//! minutes, and only while the listener has sent some.

use alloc::boxed::Box;
use core::time::Duration;

use switchboard_wire::{IpHeader, SeqNum, TcpFlags, TcpSegment, Timestamps};

use super::connection::FourTuple;
use super::listen::Request;
use super::table::{Key, Kind};
use crate::event::TcpId;
use crate::iface::IfIndex;
use crate::stack::Stack;
use crate::time::Instant;

/// Segment sizes that a cookie can name (msstab): the largest that the peer takes.
const SIZES: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES_V6: [u16; 4] = [1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60];
/// TCP_SYNCOOKIE_PERIOD, MAX_SYNCOOKIE_AGE.
const PERIOD_SECONDS: u64 = 60;
const MAX_AGE: u32 = 2;
/// What the timestamp's low bits hold (TS_OPT_WSCALE_MASK and kin).
const BITS: u32 = 6;
const NO_SCALE: u32 = 0xf;
const WITH_SACK: u32 = 1 << 4;
const WITH_ECN: u32 = 1 << 5;

/// The keys of a host.
#[derive(Debug)]
pub(crate) struct CookieKeys([Key; 2]);

impl CookieKeys {
    pub(crate) fn new(random: &mut crate::hash::Random) -> CookieKeys {
        CookieKeys([Key::new(random), Key::new(random)])
    }

    fn hash(&self, which: usize, tuple: &FourTuple, count: u32) -> u32 {
        let addrs = self.0[which].hash_addrs(tuple.local, tuple.remote);
        let ports = u64::from(tuple.local_port) << 16 | u64::from(tuple.remote_port);
        self.0[which].hash(&[addrs, ports, u64::from(count)]) as u32
    }

    /// secure_tcp_syn_cookie.
    fn make(&self, tuple: &FourTuple, irs: SeqNum, count: u32, data: u32) -> SeqNum {
        let low = self.hash(1, tuple, count).wrapping_add(data) & 0xff_ffff;
        let base = self.hash(0, tuple, 0).wrapping_add(irs.0);
        SeqNum(base.wrapping_add(count << 24).wrapping_add(low))
    }

    /// check_tcp_syn_cookie: the data, if the cookie is ours and young.
    fn check(&self, tuple: &FourTuple, irs: SeqNum, now: u32, cookie: SeqNum) -> Option<u32> {
        let rest = cookie
            .0
            .wrapping_sub(self.hash(0, tuple, 0).wrapping_add(irs.0));
        let age = now.wrapping_sub(rest >> 24) & 0xff;
        if age >= MAX_AGE {
            return None;
        }
        let low = self.hash(1, tuple, now.wrapping_sub(age));
        let data = rest.wrapping_sub(low) & 0xff_ffff;
        (data < SIZES.len() as u32).then_some(data)
    }
}

/// tcp_cookie_time.
fn minute(now: Instant) -> u32 {
    (now.as_millis() / 1000 / PERIOD_SECONDS) as u32
}

fn sizes(v6: bool) -> [u16; 4] {
    if v6 { SIZES_V6 } else { SIZES }
}

/// cookie_init_timestamp: our clock with the options in it, and not ahead of itself.
pub(super) fn stamp(clock: u32, request: &Request) -> u32 {
    let mut bits = request.peer_scale.map_or(NO_SCALE, u32::from);
    if request.sack {
        bits |= WITH_SACK;
    }
    if request.ecn {
        bits |= WITH_ECN;
    }
    let mask = (1 << BITS) - 1;
    let with = (clock & !mask) | bits;
    if with > clock {
        with.wrapping_sub(1 << BITS)
    } else {
        with
    }
}

impl Stack {
    /// Whether a SYN is answered with a cookie (tcp_syn_flood_action); `full`: there is no room for a request.
    pub(super) fn wants_syn_cookie(&self, full: bool) -> bool {
        match self.sysctl.tcp_syncookies {
            0 => false,
            1 => full,
            _ => true,
        }
    }

    /// The answer to a SYN that nothing is kept of.
    pub(super) fn answer_with_cookie(&mut self, now: Instant, mut request: Request) {
        let tuple = request.tuple;
        if request.ts_recent.is_none() {
            (request.peer_scale, request.sack, request.ecn) = (None, false, false);
        }
        let sizes = sizes(tuple.remote.is_ipv6());
        let fits = sizes.iter().rposition(|size| *size <= request.peer_mss);
        let random = &mut self.random;
        let keys = (self.tcp.cookie_keys).get_or_insert_with(|| CookieKeys::new(random));
        request.iss = keys.make(&tuple, request.irs, minute(now), fits.unwrap_or(0) as u32);
        if let Some(listener) = self
            .tcp
            .get_mut(request.listener)
            .and_then(|socket| socket.conn.listener.as_mut())
        {
            listener.flooded_at = Some(now);
        }
        let mut answer = request.syn_ack(now);
        if let Some(ts) = &mut answer.options.timestamps {
            // The bits are of the clock without its random start, which the peer's echo has too.
            let clock = ts.value.wrapping_sub(request.ts_offset);
            ts.value = stamp(clock, &request).wrapping_add(request.ts_offset);
        }
        self.counters.syncookies_sent += 1;
        let (tos, ttl, extra) = (request.tos, request.ttl, request.extra.clone());
        self.tcp_emit_with(
            now,
            &request.route,
            tuple,
            tos,
            ttl,
            extra.as_deref(),
            answer,
        );
    }

    /// An acknowledgment for a listener: if it is that of a cookie, the connection is there (cookie_v4_check). False when
    /// it is not.
    pub(super) fn tcp_cookie_input(
        &mut self,
        now: Instant,
        (id, interface): (TcpId, IfIndex),
        ip: &IpHeader,
        tuple: &FourTuple,
        segment: &TcpSegment,
    ) -> bool {
        if self.sysctl.tcp_syncookies == 0 || segment.flags.contains(TcpFlags::SYN) {
            return false;
        }
        let Some(keys) = &self.tcp.cookie_keys else {
            return false;
        };
        let listener = self.tcp.get(id).and_then(|s| s.conn.listener.as_ref());
        // tcp_synq_no_recent_overflow.
        let valid = Duration::from_secs(PERIOD_SECONDS * u64::from(MAX_AGE));
        let recent = listener
            .and_then(|listener| listener.flooded_at)
            .is_some_and(|at| now.saturating_sub(at) <= valid);
        if !recent {
            return false;
        }
        let (irs, iss) = (segment.seq - 1u32, segment.ack - 1u32);
        let Some(data) = keys.check(tuple, irs, minute(now), iss) else {
            self.counters.syncookies_failed += 1;
            return false;
        };
        self.counters.syncookies_recv += 1;
        // What the SYN had said.
        let mut syn = TcpSegment {
            seq: irs,
            flags: TcpFlags::SYN,
            ..segment.clone()
        };
        syn.options.mss = sizes(tuple.remote.is_ipv6()).get(data as usize).copied();
        syn.options.sack_permitted = false;
        syn.options.window_scale = None;
        let mut ecn = false;
        if let Some(Timestamps { echo, .. }) = segment.options.timestamps {
            let bits = echo.wrapping_sub(self.tcp.timestamp_offset(tuple));
            let scale = bits & NO_SCALE;
            syn.options.window_scale = (scale != NO_SCALE).then_some(scale as u8);
            syn.options.sack_permitted = bits & WITH_SACK != 0;
            ecn = bits & WITH_ECN != 0;
        }
        let Some(mut request) =
            self.tcp_request_of(now, (id, interface), ip, tuple, &syn, Some(iss))
        else {
            return true;
        };
        request.ecn = ecn;
        let Some(socket) = self.tcp.get_mut(id) else {
            return true;
        };
        let deferred = socket.conn.opts.defer_accept() > 0 && segment.payload.is_empty();
        let Some(listener) = socket.conn.listener.as_mut().filter(|_| !deferred) else {
            return true;
        };
        if listener.accept_full() {
            self.counters.tcp_listen_overflows += 1;
            self.counters.tcp_listen_drops += 1;
            return true;
        }
        listener.requests += 1;
        listener.young += 1;
        let request = self.tcp.insert(Kind::Request(Box::new(request)));
        self.tcp.hash_in(request.index);
        self.tcp_establish(now, ip, request.index, id, &mut segment.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn keys() -> CookieKeys {
        CookieKeys::new(&mut crate::hash::Random::new([7; 32]))
    }

    fn tuple(remote_port: u16) -> FourTuple {
        FourTuple {
            local: IpAddr::from([10, 0, 0, 1]),
            remote: IpAddr::from([10, 0, 0, 2]),
            local_port: 80,
            remote_port,
        }
    }

    #[test]
    fn a_cookie_is_known_for_two_minutes() {
        let (keys, irs) = (keys(), SeqNum(0xffff_fff0));
        for data in 0..4 {
            // The count wraps in its byte.
            for minute in [0, 5, 255, 256] {
                let cookie = keys.make(&tuple(5), irs, minute, data);
                for age in 0..10 {
                    let known = keys.check(&tuple(5), irs, minute + age, cookie);
                    assert_eq!(known, (age < 2).then_some(data), "{minute} {age}");
                }
            }
        }
    }

    #[test]
    fn it_is_its_own_connections() {
        let (keys, irs) = (keys(), SeqNum(1));
        let cookie = keys.make(&tuple(5), irs, 3, 1);
        assert_eq!(keys.check(&tuple(6), irs, 3, cookie), None);
        assert_eq!(keys.check(&tuple(5), SeqNum(99), 3, cookie), None);
        let others = CookieKeys::new(&mut crate::hash::Random::new([8; 32]));
        assert_eq!(others.check(&tuple(5), irs, 3, cookie), None);
    }
}
