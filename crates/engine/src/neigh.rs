//! Neighbours: which hardware address takes packets for an IP address on a link (RFC 826, RFC 4861, 7).
//!
//! # Theory of operation
//! An entry is made by the first packet for an address, which waits in it while the address is asked for. The states and
//! their changes are Linux's (`__neigh_event_send`, `neigh_timer_handler`, `neigh_update`): an answer makes an entry
//! REACHABLE; with time it becomes STALE, and its next use has it confirmed again, in DELAY by whatever comes in and in
//! PROBE by asking the one host. What is not answered is FAILED, and the senders of the packets that waited are told.
//!
//! Packets meet the table when they leave ([`Stack::poll_frame`]), so that what waits for a driver is not resolved yet.
//! Groups and broadcasts have hardware addresses by rule and no entries.
//!
//! # Limits
//! [`NeighLimits`]: the number of entries (gc_thresh3) and the bytes that wait in one (unres_qlen_bytes), with Linux's
//! values. There is no proxy NDP, and no daemon that resolves (app_solicit).
//!
//! # Timeouts
//! One timer of the stack, for the first of the entries' deadlines.

mod arp;
mod dad;
mod ndp;
mod ra;

pub use dad::DadParams;
pub use ndp::solicited_node;
pub use ra::{RaParams, RouterNews};

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use switchboard_wire::{Mac, Packet};

use dad::Dad;
use ra::Routers;

use crate::hash::{KeyedMap, KeyedState};
use crate::icmp::Fault;
use crate::iface::IfIndex;
use crate::route::RouteInfo;
use crate::stack::{Cast, Stack};
use crate::tag::Tag;
use crate::time::Instant;
use crate::timer::TimerId;
use crate::udp::datagram_memory;

/// Where an entry stands: Linux's NUD_*, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeighState {
    /// It is being asked for.
    Incomplete = 0x01,
    /// Known, and heard of lately.
    Reachable = 0x02,
    /// Known, and not heard of lately.
    Stale = 0x04,
    /// Used since; something may come in that confirms it.
    Delay = 0x08,
    /// It is being asked, itself.
    Probe = 0x10,
    /// It did not answer.
    Failed = 0x20,
    /// Known without asking, as long as the interface is up.
    NoArp = 0x40,
    /// Known without asking.
    Permanent = 0x80,
}

impl NeighState {
    /// From Linux's number.
    pub fn from_bits(bits: u16) -> Option<NeighState> {
        use NeighState::*;
        [
            Incomplete, Reachable, Stale, Delay, Probe, Failed, NoArp, Permanent,
        ]
        .into_iter()
        .find(|state| *state as u16 == bits)
    }

    /// NUD_VALID: packets are sent.
    pub fn is_valid(self) -> bool {
        !matches!(self, NeighState::Incomplete | NeighState::Failed)
    }

    /// NUD_CONNECTED: without a doubt.
    pub fn is_connected(self) -> bool {
        matches!(
            self,
            NeighState::Reachable | NeighState::NoArp | NeighState::Permanent
        )
    }

    /// Linux's NUD_PERMANENT and NUD_NOARP, which no answer changes.
    fn is_certain(self) -> bool {
        matches!(self, NeighState::NoArp | NeighState::Permanent)
    }

    /// NUD_IN_TIMER
    fn has_timer(self) -> bool {
        matches!(
            self,
            NeighState::Incomplete | NeighState::Reachable | NeighState::Delay | NeighState::Probe
        )
    }
}

/// /proc/sys/net/ipv4/neigh/IF and /proc/sys/net/ipv6/neigh/IF, with Linux's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighParams {
    /// base_reachable_time_ms: an entry is REACHABLE for half of it to one and a half.
    pub base_reachable_time: Duration,
    /// retrans_time_ms: between two solicitations.
    pub retrans_time: Duration,
    /// delay_first_probe_time: how long DELAY is.
    pub delay_probe_time: Duration,
    /// gc_stale_time: for how long an entry that nobody uses is kept.
    pub gc_stale_time: Duration,
    /// locktime: for how long ARP's first answer counts (IPv4).
    pub locktime: Duration,
    /// mcast_solicit: how often everyone is asked.
    pub mcast_probes: u32,
    /// ucast_solicit: how often the host itself is.
    pub ucast_probes: u32,
    /// mcast_resolicit: how often everyone is asked after that.
    pub mcast_reprobes: u32,
    /// unres_qlen_bytes: what waits in an entry.
    pub queue_bytes: u32,
}

impl NeighParams {
    fn new(v6: bool) -> NeighParams {
        NeighParams {
            base_reachable_time: Duration::from_secs(30),
            retrans_time: Duration::from_secs(1),
            delay_probe_time: Duration::from_secs(5),
            gc_stale_time: Duration::from_secs(60),
            locktime: Duration::from_secs(if v6 { 0 } else { 1 }),
            mcast_probes: 3,
            ucast_probes: 3,
            mcast_reprobes: 0,
            // SK_WMEM_MAX
            queue_bytes: 212_992,
        }
    }
}

/// How many entries of a version there may be: gc_thresh1, 2 and 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighLimits {
    /// Below so many nothing is taken away.
    pub keep: u32,
    /// With more, unused ones go at once when new ones come (after five seconds).
    pub soft: u32,
    /// More there are not.
    pub hard: u32,
}

impl Default for NeighLimits {
    fn default() -> NeighLimits {
        NeighLimits {
            keep: 128,
            soft: 512,
            hard: 1024,
        }
    }
}

/// A neighbour, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// On whose link.
    pub interface: IfIndex,
    /// Its IP address.
    pub addr: IpAddr,
    /// Its hardware address, if it was ever known.
    pub mac: Option<Mac>,
    /// Where it stands.
    pub state: NeighState,
    /// It said that it is a router (IPv6).
    pub router: bool,
    /// When it was confirmed, used and changed.
    pub times: [Instant; 3],
    /// How often it was asked in vain.
    pub probes: u32,
}

type Key = (IfIndex, IpAddr);

/// A packet that waits for an answer, and what it is charged.
type Held = (Tag, Packet, u32);

#[derive(Debug)]
struct Entry {
    state: NeighState,
    mac: Option<Mac>,
    router: bool,
    confirmed: Instant,
    used: Instant,
    updated: Instant,
    probes: u32,
    deadline: Option<Instant>,
    held: VecDeque<Held>,
    held_bytes: u32,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Neighbours {
    entries: KeyedMap<Key, Entry>,
    deadlines: BTreeSet<(Instant, Key)>,
    /// How many there are that are not certain: IPv4, IPv6.
    count: [usize; 2],
    limits: [NeighLimits; 2],
    defaults: [NeighParams; 2],
    params: BTreeMap<(IfIndex, bool), NeighParams>,
    /// What REACHABLE takes, by version, and of which base that was made.
    reachable: [Option<(Duration, Duration)>; 2],
    /// When unused entries are looked for.
    gc_at: Option<Instant>,
    flushed: Instant,
    timer: TimerId,
    /// What changed since somebody asked.
    changes: VecDeque<Key>,
    /// Packets that waited and were given up since others came (unres_discards).
    discards: u64,
    /// Own addresses that are probed for.
    dad: Dad,
    routers: Routers,
}

/// How many changes wait to be asked for.
const MAX_CHANGES: usize = 1024;

/// What comes of a packet that is to leave.
enum Resolved {
    To(Mac),
    Waits,
    /// There is no room for another entry.
    Dropped,
}

/// How far an update goes: NEIGH_UPDATE_F_*.
#[derive(Clone, Copy, Default)]
struct Update {
    /// Another hardware address takes the old one's place.
    overrides: bool,
    /// It makes the old one doubtful at least.
    weak: bool,
    /// By the administrator.
    admin: bool,
    router: Option<bool>,
}

impl Neighbours {
    pub(crate) fn new(hash: KeyedState, timer: TimerId) -> Neighbours {
        Neighbours {
            entries: KeyedMap::with_hasher(hash),
            deadlines: BTreeSet::new(),
            count: [0; 2],
            limits: [NeighLimits::default(); 2],
            defaults: [NeighParams::new(false), NeighParams::new(true)],
            params: BTreeMap::new(),
            reachable: [None; 2],
            gc_at: None,
            flushed: Instant::BOOT,
            timer,
            changes: VecDeque::new(),
            discards: 0,
            dad: Dad::new(),
            routers: Routers::new(),
        }
    }

    fn params(&self, (interface, addr): Key) -> &NeighParams {
        let v6 = addr.is_ipv6();
        (self.params.get(&(interface, v6))).unwrap_or(&self.defaults[usize::from(v6)])
    }

    fn set_deadline(&mut self, key: Key, at: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if let Some(old) = core::mem::replace(&mut entry.deadline, at) {
            self.deadlines.remove(&(old, key));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, key));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let first = self.deadlines.first().map(|(at, _)| *at);
        let probe = self.dad.next_deadline();
        let routers = self.routers.next_deadline();
        let own = first.into_iter().chain(self.gc_at);
        own.chain(probe).chain(routers).min()
    }

    fn forget(&mut self, key: Key) -> Option<Entry> {
        self.set_deadline(key, None);
        self.set_state(key, NeighState::Failed);
        let entry = self.entries.remove(&key)?;
        self.count[usize::from(key.1.is_ipv6())] -= 1;
        Some(entry)
    }

    #[inline]
    pub(crate) fn has_changes(&self) -> bool {
        !(self.changes.is_empty() && self.dad.ended.is_empty() && self.routers.news.is_empty())
    }

    fn note(&mut self, key: Key) {
        if self.changes.len() < MAX_CHANGES && self.changes.back() != Some(&key) {
            self.changes.push_back(key);
        }
    }

    /// neigh_alloc(): there is an entry, or a new one if there is room for it.
    fn has(&mut self, now: Instant, key: Key) -> bool {
        if self.entries.contains_key(&key) {
            return true;
        }
        let v6 = usize::from(key.1.is_ipv6());
        let NeighLimits { keep, soft, hard } = self.limits[v6];
        let recent = now.saturating_sub(self.flushed) <= Duration::from_secs(5);
        if self.count[v6] >= hard as usize || (self.count[v6] >= soft as usize && !recent) {
            self.flushed = now;
            self.forced_gc(now, key.1.is_ipv6());
            if self.count[v6] >= hard as usize {
                return false;
            }
        }
        self.insert(now, key);
        if self.count[v6] >= keep as usize && self.gc_at.is_none() {
            self.gc_at = Some(now + self.defaults[v6].base_reachable_time / 2);
        }
        true
    }

    /// An entry of which nothing is known.
    fn insert(&mut self, now: Instant, key: Key) {
        if self.entries.contains_key(&key) {
            return;
        }
        let entry = Entry {
            state: NeighState::Failed,
            mac: None,
            router: false,
            confirmed: now,
            used: now,
            updated: now,
            probes: 0,
            deadline: None,
            held: VecDeque::new(),
            held_bytes: 0,
        };
        let _ = self.entries.insert(key, entry);
        self.count[usize::from(key.1.is_ipv6())] += 1;
    }

    /// The entry changes to a state; certain ones are not counted.
    fn set_state(&mut self, key: Key, new: NeighState) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let old = core::mem::replace(&mut entry.state, new);
        let count = &mut self.count[usize::from(key.1.is_ipv6())];
        match (old.is_certain(), new.is_certain()) {
            (false, true) => *count -= 1,
            (true, false) => *count += 1,
            _ => {}
        }
    }

    /// neigh_forced_gc(): what is not in use and was not changed in the last five seconds.
    fn forced_gc(&mut self, now: Instant, v6: bool) {
        let old = |entry: &Entry| {
            entry.state == NeighState::Failed
                || now.saturating_sub(entry.updated) > Duration::from_secs(5)
        };
        self.collect(v6, |_, entry| entry.held.is_empty() && old(entry));
    }

    /// neigh_periodic_work()
    fn periodic_gc(&mut self, now: Instant) {
        self.gc_at = None;
        for v6 in [false, true] {
            let keep = self.limits[usize::from(v6)].keep as usize;
            if self.count[usize::from(v6)] < keep {
                continue;
            }
            let (defaults, params) = (self.defaults[usize::from(v6)], self.params.clone());
            self.collect(v6, |key, entry| {
                let own = params.get(&(key.0, v6)).unwrap_or(&defaults);
                let used = entry.used.max(entry.confirmed);
                let unused = now.saturating_sub(used) > own.gc_stale_time;
                entry.held.is_empty() && (entry.state == NeighState::Failed || unused)
            });
            if self.count[usize::from(v6)] >= keep {
                self.gc_at = Some(now + defaults.base_reachable_time / 2);
            }
        }
    }

    fn collect(&mut self, v6: bool, goes: impl Fn(&Key, &Entry) -> bool) {
        let all = self.entries.iter();
        let gone: Vec<Key> = all
            .filter(|(key, entry)| {
                key.1.is_ipv6() == v6 && !entry.state.is_certain() && goes(key, entry)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            drop(self.forget(key));
        }
    }
}

impl Stack {
    /// The neighbours of all links.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        let all = self.neighbours.entries.iter();
        let mut list: Vec<Neighbour> = all.map(|(key, entry)| listed(*key, entry)).collect();
        list.sort_by_key(|n| (n.addr.is_ipv6(), n.interface, n.addr));
        list
    }

    /// One of them.
    pub fn neighbour(&self, interface: IfIndex, addr: IpAddr) -> Option<Neighbour> {
        let key = (interface, addr);
        let entry = self.neighbours.entries.get(&key)?;
        Some(listed(key, entry))
    }

    /// An entry that the administrator makes or changes; false when there is no room for it.
    pub fn set_neighbour(
        &mut self,
        now: Instant,
        interface: IfIndex,
        addr: IpAddr,
        mac: Option<Mac>,
        state: NeighState,
    ) -> bool {
        let key = (interface, addr);
        // What the administrator knows for certain counts for no limit (neigh_alloc: exempt_from_gc).
        if state.is_certain() {
            self.neighbours.insert(now, key);
        } else if !self.neighbours.has(now, key) {
            return false;
        }
        let update = Update {
            overrides: true,
            admin: true,
            ..Update::default()
        };
        self.neigh_update(now, key, mac, state, update);
        self.neigh_arm();
        true
    }

    /// Takes an entry away; false when there is none.
    pub fn remove_neighbour(&mut self, now: Instant, interface: IfIndex, addr: IpAddr) -> bool {
        let Some(mut entry) = self.neighbours.forget((interface, addr)) else {
            return false;
        };
        self.neigh_give_up(now, interface, core::mem::take(&mut entry.held));
        self.neigh_arm();
        self.run_loopback(now);
        true
    }

    /// The next entry that changed: its interface and address.
    pub fn poll_neighbour_change(&mut self) -> Option<(IfIndex, IpAddr)> {
        self.neighbours.changes.pop_front()
    }

    /// The parameters of an interface, or those of new ones.
    pub fn neigh_params(&self, v6: bool, interface: Option<IfIndex>) -> NeighParams {
        let default = self.neighbours.defaults[usize::from(v6)];
        let own = interface.and_then(|index| self.neighbours.params.get(&(index, v6)));
        own.copied().unwrap_or(default)
    }

    /// Sets them.
    pub fn set_neigh_params(&mut self, v6: bool, interface: Option<IfIndex>, params: NeighParams) {
        match interface {
            None => {
                // Interfaces that there are keep what they were made with.
                let old = self.neighbours.defaults[usize::from(v6)];
                for i in self.interfaces.iter() {
                    self.neighbours.params.entry((i.index(), v6)).or_insert(old);
                }
                self.neighbours.defaults[usize::from(v6)] = params;
            }
            Some(index) => drop(self.neighbours.params.insert((index, v6), params)),
        }
    }

    /// How many neighbours there may be.
    pub fn neigh_limits(&self, v6: bool) -> NeighLimits {
        self.neighbours.limits[usize::from(v6)]
    }

    /// Sets it.
    pub fn set_neigh_limits(&mut self, v6: bool, limits: NeighLimits) {
        self.neighbours.limits[usize::from(v6)] = limits;
    }

    /// Packets that were given up while they waited for an answer, since others came.
    pub fn neigh_discards(&self) -> u64 {
        self.neighbours.discards
    }

    /// sock_confirm_neigh(): who takes what goes this way has shown that it does.
    pub(crate) fn neigh_confirm(&mut self, now: Instant, route: &RouteInfo) {
        let key = (route.interface, route.next_hop);
        if let Some(entry) = self.neighbours.entries.get_mut(&key) {
            entry.confirmed = now;
        }
    }

    /// neigh_ifdown(), neigh_changeaddr(): the interface goes down, or has another hardware address.
    pub(crate) fn neigh_flush(&mut self, interface: IfIndex, down: bool) {
        let all = self.neighbours.entries.iter();
        let gone: Vec<Key> = all
            .filter(|(key, entry)| {
                key.0 == interface && (down || entry.state != NeighState::Permanent)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            drop(self.neighbours.forget(key));
        }
        self.neigh_arm();
    }

    /// __neigh_event_send(): whom a packet goes to, or it is taken and waits.
    fn neigh_resolve(
        &mut self,
        now: Instant,
        key: Key,
        tag: Tag,
        packet: &mut Option<Packet>,
    ) -> Resolved {
        if !self.neighbours.has(now, key) {
            return Resolved::Dropped;
        }
        let params = *self.neighbours.params(key);
        let Some(entry) = self.neighbours.entries.get_mut(&key) else {
            return Resolved::Dropped;
        };
        entry.used = now;
        match entry.state {
            NeighState::Stale => {
                let mac = entry.mac;
                entry.state = NeighState::Delay;
                entry.updated = now;
                let at = now + params.delay_probe_time;
                self.neighbours.set_deadline(key, Some(at));
                return mac.map_or(Resolved::Dropped, Resolved::To);
            }
            NeighState::Failed => {
                entry.state = NeighState::Incomplete;
                entry.updated = now;
                entry.probes = params.ucast_probes;
            }
            NeighState::Incomplete => {}
            _ => return entry.mac.map_or(Resolved::Dropped, Resolved::To),
        }
        let first = entry.deadline.is_none();
        if let Some(packet) = packet.take() {
            let size = datagram_memory(packet.body.wire_len(), packet.ip.is_v6());
            while entry.held_bytes.saturating_add(size) > params.queue_bytes {
                let Some((_, _, size)) = entry.held.pop_front() else {
                    break;
                };
                entry.held_bytes -= size;
                self.neighbours.discards += 1;
            }
            entry.held_bytes += size;
            entry.held.push_back((tag, packet, size));
        }
        if first {
            let at = now + params.retrans_time.max(MIN_RETRANS);
            self.neighbours.set_deadline(key, Some(at));
            self.neigh_probe(key);
        }
        Resolved::Waits
    }

    /// neigh_timer_handler(), for every entry that is due.
    pub(crate) fn neigh_timeout(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.neighbours.deadlines.first() {
            if at > now {
                break;
            }
            self.neighbours.set_deadline(key, None);
            self.neigh_due(now, key);
        }
        self.dad_timeout(now);
        self.routers_timeout(now);
        if self.neighbours.gc_at.is_some_and(|at| at <= now) {
            self.neighbours.periodic_gc(now);
        }
        self.neigh_arm();
    }

    fn neigh_due(&mut self, now: Instant, key: Key) {
        let params = *self.neighbours.params(key);
        let reachable = self.neigh_reachable_time(key);
        let Some(entry) = self.neighbours.entries.get_mut(&key) else {
            return;
        };
        let retrans = now + params.retrans_time.max(MIN_RETRANS);
        let before = entry.state;
        let mut next = None;
        match entry.state {
            NeighState::Reachable if now <= entry.confirmed + reachable => {
                // It may be confirmed for no time at all.
                next = Some((entry.confirmed + reachable).max(now + MIN_RETRANS));
            }
            NeighState::Reachable if now <= entry.used + params.delay_probe_time => {
                entry.state = NeighState::Delay;
                next = Some(now + params.delay_probe_time);
            }
            NeighState::Reachable => entry.state = NeighState::Stale,
            NeighState::Delay if now <= entry.confirmed + params.delay_probe_time => {
                entry.state = NeighState::Reachable;
                next = Some((entry.confirmed + reachable).max(now + MIN_RETRANS));
            }
            NeighState::Delay => {
                entry.state = NeighState::Probe;
                entry.probes = 0;
                next = Some(retrans);
            }
            NeighState::Probe | NeighState::Incomplete => next = Some(retrans),
            _ => return,
        }
        if entry.state != before {
            entry.updated = now;
        }
        let asks = matches!(entry.state, NeighState::Probe | NeighState::Incomplete);
        // neigh_max_probes()
        let most = params.ucast_probes
            + match entry.state {
                NeighState::Probe => params.mcast_reprobes,
                _ => params.mcast_probes,
            };
        if asks && entry.probes >= most {
            entry.state = NeighState::Failed;
            entry.updated = now;
            entry.held_bytes = 0;
            let held = core::mem::take(&mut entry.held);
            self.neighbours.note(key);
            self.neigh_give_up(now, key.0, held);
            self.router_failed(key, NeighState::Failed);
            return;
        }
        if entry.state != before && entry.state != NeighState::Delay {
            self.neighbours.note(key);
        }
        self.neighbours.set_deadline(key, next);
        if asks {
            self.neigh_probe(key);
        }
    }

    /// neigh_rand_reach_time(): RFC 4861, 6.3.2.
    fn neigh_reachable_time(&mut self, key: Key) -> Duration {
        let base = self.neighbours.params(key).base_reachable_time;
        let v6 = usize::from(key.1.is_ipv6());
        match self.neighbours.reachable[v6] {
            Some((of, time)) if of == base => time,
            _ => {
                let nanos = base.as_nanos().max(1) as u64;
                let chance = u64::from(self.random.u32()) << 32 | u64::from(self.random.u32());
                let time = base / 2 + Duration::from_nanos(chance % nanos);
                self.neighbours.reachable[v6] = Some((base, time));
                time
            }
        }
    }

    /// neigh_probe(): asks.
    fn neigh_probe(&mut self, key: Key) {
        let params = *self.neighbours.params(key);
        let Some(entry) = self.neighbours.entries.get_mut(&key) else {
            return;
        };
        // The host itself, as long as that has not been tried often enough.
        let to = entry.mac.filter(|_| entry.probes < params.ucast_probes);
        let wants = entry.held.back().map(|(_, packet, _)| packet.ip.src);
        entry.probes += 1;
        match key.1 {
            IpAddr::V4(target) => self.arp_solicit(key.0, target, to, wants),
            IpAddr::V6(target) => self.ndp_solicit(key.0, target, to, wants),
        }
    }

    /// neigh_invalidate(): the senders of what waited are told.
    fn neigh_give_up(&mut self, now: Instant, interface: IfIndex, held: VecDeque<Held>) {
        for (_, packet, _) in held {
            // A sender on this host hears of it on `lo`, and others within the limits of errors.
            self.icmp_error(now, interface, Cast::Unicast, &packet, Fault::Host);
        }
    }

    /// neigh_update(): somebody said what the hardware address is.
    fn neigh_update(
        &mut self,
        now: Instant,
        key: Key,
        mac: Option<Mac>,
        mut new: NeighState,
        how: Update,
    ) {
        let reachable = self.neigh_reachable_time(key);
        let base = self.neighbours.params(key).base_reachable_time;
        let Some(entry) = self.neighbours.entries.get_mut(&key) else {
            return;
        };
        let old = entry.state;
        if old.is_certain() && !how.admin {
            return;
        }
        if !new.is_valid() {
            entry.updated = now;
            let held = match old {
                NeighState::Incomplete | NeighState::Probe => {
                    entry.held_bytes = 0;
                    core::mem::take(&mut entry.held)
                }
                _ => VecDeque::new(),
            };
            self.neighbours.set_state(key, new);
            self.neighbours.set_deadline(key, None);
            self.neighbours.note(key);
            self.neigh_give_up(now, key.0, held);
            return;
        }
        // Without an address the one that is known stands.
        let Some(mut mac) = mac.or(entry.mac.filter(|_| old.is_valid())) else {
            return;
        };
        if new.is_connected() {
            entry.confirmed = now;
        }
        let mut router = how.router;
        if old.is_valid() {
            let same = entry.mac == Some(mac);
            if !same && !how.overrides {
                router = None;
                if !(how.weak && old.is_connected()) {
                    return;
                }
                mac = entry.mac.unwrap_or(mac);
                new = NeighState::Stale;
            } else if same && new == NeighState::Stale && !how.admin {
                new = old;
            }
        }
        let changed = new != old || entry.mac != Some(mac);
        if changed {
            entry.updated = now;
        }
        if let Some(router) = router {
            entry.router = router;
        }
        if entry.mac != Some(mac) && !new.is_connected() {
            // Long ago.
            entry.confirmed = now - base * 2;
        }
        entry.mac = Some(mac);
        entry.held_bytes = 0;
        if new == NeighState::Probe && old != new {
            entry.probes = 0;
        }
        let held = core::mem::take(&mut entry.held);
        self.neighbours.set_state(key, new);
        if new != old {
            let at = match new {
                NeighState::Reachable => Some(now + reachable),
                _ if new.has_timer() => Some(now),
                _ => None,
            };
            self.neighbours.set_deadline(key, at);
        }
        if changed {
            self.neighbours.note(key);
        }
        for (tag, packet, _) in held {
            self.send_to(key.0, mac, tag, packet);
        }
        self.neigh_arm();
    }

    /// neigh_event_ns(): somebody asks, and says who it is.
    fn neigh_heard(&mut self, now: Instant, key: Key, mac: Mac, how: Update) {
        if !self.neighbours.has(now, key) {
            return;
        }
        self.neigh_update(now, key, Some(mac), NeighState::Stale, how);
        self.neigh_arm();
    }

    pub(crate) fn neigh_arm(&mut self) {
        let at = self.neighbours.next_deadline().unwrap_or(Instant::MAX);
        self.timers.arm(self.neighbours.timer, at);
    }

    /// Where a packet goes that leaves by an interface with a link layer; `None`: it waits, or is dropped.
    pub(crate) fn neigh_output(
        &mut self,
        now: Instant,
        interface: IfIndex,
        next_hop: IpAddr,
        tag: Tag,
        packet: Packet,
    ) -> Option<(Mac, Packet)> {
        let many = next_hop.is_multicast()
            || matches!(next_hop, IpAddr::V4(v4) if self.interfaces.is_broadcast(v4));
        if many {
            return Some((Mac::of_group(next_hop), packet));
        }
        // What is known without a doubt is used as it is (neigh_output).
        if let Some(entry) = self.neighbours.entries.get(&(interface, next_hop))
            && entry.state.is_connected()
            && let Some(mac) = entry.mac
        {
            return Some((mac, packet));
        }
        let mut packet = Some(packet);
        let resolved = self.neigh_resolve(now, (interface, next_hop), tag, &mut packet);
        self.neigh_arm();
        match resolved {
            Resolved::To(mac) => Some((mac, packet?)),
            Resolved::Waits => None,
            Resolved::Dropped => {
                self.counters.ip_out_discards += 1;
                None
            }
        }
    }
}

/// A timer of the kernel is no shorter.
const MIN_RETRANS: Duration = Duration::from_millis(10);

fn listed((interface, addr): Key, entry: &Entry) -> Neighbour {
    Neighbour {
        interface,
        addr,
        mac: entry.mac,
        state: entry.state,
        router: entry.router,
        times: [entry.confirmed, entry.used, entry.updated],
        probes: entry.probes,
    }
}

#[cfg(test)]
mod ra_tests;
#[cfg(test)]
mod tests;
