//! The stack: one host's network state, and the way of a packet through it.
//!
//! # Theory of operation
//! - **Out.** A transport asks `route()` for a path and hands the packet to `ip_output()`. Packets for the host itself
//!   go to the loopback queue, others to the transmit queue that `poll_transmit` empties.
//! - **In.** `deliver()` and the loopback queue end in `ip_input()`: is the packet for this host? Then the transport's
//!   input function runs.
//! - **Loopback to quiescence.** `ip_output()` only queues. Every public call that can send ends with
//!   `run_loopback(now)`, which delivers until the queue is empty, as Linux's softirq does before the system call
//!   returns. Nothing recurses.
//!
//! # Limits
//! - The loopback queue holds `netdev_max_backlog` packets; what comes on top is dropped and counted, as in Linux.
//! - One run delivers [`LOOPBACK_BUDGET`](loopback::LOOPBACK_BUDGET) packets at most; then the rest waits for the next
//!   call, and `poll_timeout` says "now". Two sockets cannot keep a call from returning.
//! - The transmit queue holds [`TX_QUEUE_LEN`](output::TX_QUEUE_LEN) packets for each interface.

mod input;
mod loopback;
mod output;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::IpAddr;

use switchboard_wire::{Body, IpHeader, Mac, Packet};

use crate::config::{Config, Sysctl};
use crate::counters::Counters;
use crate::divert::Diversion;
use crate::event::{Event, EventKind, EventQueue, Queued, SocketHandle};
use crate::extended::Arrived;
use crate::fragments::Fragments;
use crate::hash::Random;
use crate::icmp::{Fault, IcmpState};
use crate::iface::{IfIndex, Interface, InterfaceAddress, InterfaceConfig, Interfaces};
use crate::link::Departure;
use crate::multicast::Groups;
use crate::nat::Nat;
use crate::neigh::Neighbours;
use crate::pmtu::{self, PathMtus};
use crate::policy::{Flow, Rule, TABLE_LOCAL, TABLE_MAIN};
use crate::ports::{BindTable, Transport};
use crate::report::IcmpReport;
use crate::reports::Reports;
use crate::route::{self, Leads, RouteConfig, RouteError, RouteInfo, RouteKind, Routes};
use crate::tag::Tag;
use crate::taps::Taps;
use crate::tcp::{StampReports, TcpTable};
use crate::time::Instant;
use crate::timer::{TimerId, TimerToken, Timers};
use crate::udp::UdpTable;

/// One virtual host's network stack.
#[derive(Debug)]
pub struct Stack {
    pub(crate) sysctl: Sysctl,
    pub(crate) random: Random,
    pub(crate) counters: Counters,
    pub(crate) events: EventQueue,
    pub(crate) timers: Timers,
    pub(crate) interfaces: Interfaces,
    pub(crate) routes: Routes,
    pub(crate) icmp: IcmpState,
    pub(crate) udp: UdpTable,
    pub(crate) tcp: TcpTable,
    pub(crate) tcp_ports: BindTable,
    /// Packets that come in again: on `lo`, and the host's own broadcasts on the interface they left by.
    loopback: VecDeque<Looped>,
    transmit: VecDeque<Outgoing>,
    /// What leaves by interfaces with a link layer, and before the rest: it has waited already.
    pub(crate) frames: VecDeque<Departure>,
    pub(crate) neighbours: Neighbours,
    /// A router that translates.
    pub(crate) nat: Option<Box<Nat>>,
    pub(crate) reports: VecDeque<IcmpReport>,
    pub(crate) tcp_stamps: StampReports,
    pub(crate) groups: Groups,
    pub(crate) group_reports: Reports,
    /// What the packet that a transport has just now came with, if that is more than a plain header.
    pub(crate) arriving: Option<Box<Arrived>>,
    pub(crate) fragments: Fragments,
    /// Pieces that somebody sees who is not their receiver.
    pub(crate) seen_fragments: Option<Box<Fragments>>,
    pub(crate) path_mtus: PathMtus,
    /// For both of these.
    ip_timer: TimerId,
    /// Somebody looks at every packet.
    pub(crate) taps: Option<Box<Taps>>,
    /// Packets for anybody are taken.
    pub(crate) diversion: Option<Box<Diversion>>,
}

/// A packet on its way back in. Its parts stand side by side so that a segment is written straight into the queue.
#[derive(Debug)]
struct Looped {
    interface: IfIndex,
    hint: Hint,
    tag: Tag,
    ip: IpHeader,
    body: Body,
}

/// Which TCP sockets of this host a packet on `lo` probably goes between, by their place in the table. A hint saves the
/// search for the receiver; it is checked before it is believed, so a stale one costs only that search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Hint {
    /// The place that no socket has.
    pub(crate) const NOWHERE: u32 = u32::MAX;
    pub(crate) const NONE: Hint = Hint {
        from: Hint::NOWHERE,
        to: Hint::NOWHERE,
    };
    /// To no socket that is known, but to this host, whatever the header says: it carries the route it was sent by
    /// (skb_dst).
    pub(crate) const ROUTED: Hint = Hint {
        from: Hint::NOWHERE,
        to: Hint::NOWHERE - 1,
    };

    pub(crate) fn is_routed(self) -> bool {
        self.to == Hint::ROUTED.to
    }
}

/// A packet on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The interface it leaves by.
    pub interface: IfIndex,
    /// Who on the link is to take it: the destination itself, or a router.
    pub next_hop: IpAddr,
    /// What it carries beside its bytes, for `lo`.
    pub tag: Tag,
    /// The packet.
    pub packet: Packet,
}

/// What may change about an interface.
#[derive(Clone, Copy, Debug)]
pub enum InterfaceChange<'a> {
    /// IFF_UP.
    Up(bool),
    /// Flags that are only kept.
    Flags(u16),
    /// The largest packet.
    Mtu(u32),
    /// The largest packet of IPv6, which is no larger than that; `None`: the same.
    Mtu6(Option<u32>),
    /// Whether IPv6 is switched off (disable_ipv6).
    DisableV6(bool),
    /// The length of its queue, which is only kept.
    QueueLen(u32),
    /// Its hardware address, which is only kept where there is no link layer.
    Hardware([u8; 6]),
    /// Whether somebody is at the other end.
    Carrier(bool),
    /// What kind of link it says it is (ARPHRD_*).
    LinkType(u16),
    /// Whether its link takes several TCP segments as one packet, and takes them apart itself where it has to (NETIF_F_TSO).
    LargeSegments(bool),
    /// Its name.
    Name(&'a str),
    /// An address comes.
    Add(InterfaceAddress),
    /// An address goes.
    Remove(InterfaceAddress),
}

/// To whom a packet was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    Unicast,
    Broadcast,
    Multicast,
}

impl Stack {
    /// A host with the interface `lo` (127.0.0.1/8, ::1/128, MTU 65536).
    pub fn new(config: Config) -> Stack {
        let Config { seed, sysctl } = config;
        let mut random = Random::new(seed);
        let hash = random.hash_state();
        let mut timers = Timers::new();
        let ip_timer = timers.create(TimerToken::Ip);
        let group_timer = timers.create(TimerToken::Groups);
        let neigh_timer = timers.create(TimerToken::Neigh);
        Stack {
            interfaces: Interfaces::new(hash, [sysctl.ip_forward, sysctl.ipv6_forwarding]),
            routes: Routes::default(),
            icmp: IcmpState::new(hash, &sysctl),
            udp: UdpTable::new(hash, &mut random),
            tcp: TcpTable::new(hash, &mut random),
            tcp_ports: BindTable::new(Transport::Tcp, hash, &mut random),
            counters: Counters::default(),
            events: EventQueue::default(),
            timers,
            loopback: VecDeque::new(),
            transmit: VecDeque::new(),
            frames: VecDeque::new(),
            neighbours: Neighbours::new(hash, neigh_timer),
            nat: None,
            tcp_stamps: StampReports::default(),
            reports: VecDeque::new(),
            groups: Groups::new(hash),
            group_reports: Reports::new(group_timer),
            arriving: None,
            fragments: Fragments::new(hash),
            seen_fragments: None,
            path_mtus: PathMtus::new(hash),
            ip_timer,
            taps: None,
            diversion: None,
            sysctl,
            random,
        }
    }

    /// The tunables.
    pub fn sysctl(&self) -> &Sysctl {
        &self.sysctl
    }

    /// The tunables, to change. A socket that exists keeps what it took from them when it was made.
    pub fn sysctl_mut(&mut self) -> &mut Sysctl {
        &mut self.sysctl
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adds an interface. Its packets are the caller's to carry.
    pub fn add_interface(&mut self, config: InterfaceConfig) -> IfIndex {
        self.routes.touch();
        self.interfaces.add(config)
    }

    /// Adds an address, and with it the connected subnet. An unknown interface is ignored, and IPv6 where it is switched off.
    pub fn add_address(&mut self, interface: IfIndex, addr: IpAddr, prefix_len: u8) {
        self.routes.touch();
        self.interfaces.add_address(interface, addr, prefix_len);
    }

    /// Changes an interface. An unknown one is ignored.
    pub fn change_interface(&mut self, interface: IfIndex, change: InterfaceChange<'_>) {
        self.routes.touch();
        self.interfaces.change(interface, |i| match change {
            InterfaceChange::Up(up) => i.set_up(up),
            InterfaceChange::Flags(flags) => i.flags = flags,
            InterfaceChange::Mtu(mtu) => i.set_mtu(mtu),
            InterfaceChange::Mtu6(mtu) => i.mtu6 = mtu,
            InterfaceChange::DisableV6(on) => i.disable_v6(on),
            InterfaceChange::QueueLen(len) => i.queue_len = len,
            InterfaceChange::Hardware(address) => i.hardware = address,
            InterfaceChange::Carrier(carrier) => i.set_carrier(carrier),
            InterfaceChange::LinkType(link_type) => i.set_link_type(link_type),
            InterfaceChange::LargeSegments(on) => i.set_gso(on),
            InterfaceChange::Name(name) => i.set_name(name),
            InterfaceChange::Add(address) => i.insert(address),
            InterfaceChange::Remove(address) => i.remove(&address),
        });
        if matches!(
            change,
            InterfaceChange::Up(false) | InterfaceChange::Hardware(_)
        ) {
            let down = matches!(change, InterfaceChange::Up(_));
            self.neigh_flush(interface, down);
        }
        if let InterfaceChange::Up(true) = change {
            self.touch_groups(interface);
            self.arp_notify(interface);
        }
        // fib_sync_down_dev(): what leaves by an interface that is down goes for good. IPv4's that lead nowhere leave by none.
        if let InterfaceChange::Up(false) = change {
            let leaves = |route: &RouteConfig| route.prefix.is_ipv6() || route.leads == Leads::On;
            self.routes
                .remove(|route| route.interface == interface && leaves(route));
        }
        if let InterfaceChange::DisableV6(true) = change {
            self.routes
                .remove(|route| route.interface == interface && route.prefix.is_ipv6());
        }
    }

    /// Adds an interface whose other end is a program, with Ethernet if it has a hardware address. It is down.
    pub fn add_user_interface(&mut self, config: InterfaceConfig, mac: Option<Mac>) -> IfIndex {
        let index = self.add_interface(config);
        self.interfaces.change(index, |i| {
            i.set_user();
            if let Some(mac) = mac {
                i.set_ethernet(mac);
            }
        });
        index
    }

    /// Takes an interface away, with its addresses and routes and what waits for it. Its index is not given again. `lo` stays.
    pub fn remove_interface(&mut self, interface: IfIndex) {
        if interface == IfIndex::LO {
            return;
        }
        self.change_interface(interface, InterfaceChange::Up(false));
        self.interfaces.remove(interface);
        self.frames.retain(|frame| frame.interface != interface);
        self.transmit.retain(|packet| packet.interface != interface);
        self.loopback.retain(|packet| packet.interface != interface);
    }

    /// Takes the added routes away that `goes` names.
    pub fn remove_routes(&mut self, goes: impl Fn(&RouteConfig) -> bool) {
        self.routes.remove(goes);
    }

    /// Puts another in the place of the first added route that `goes` names.
    pub fn replace_route(&mut self, goes: impl Fn(&RouteConfig) -> bool, new: RouteConfig) {
        self.routes.replace(goes, new);
    }

    /// Adds a route.
    pub fn add_route(&mut self, route: RouteConfig) {
        self.routes.add(route);
    }

    /// The routes that were added, in the order in which they are tried.
    pub fn routes(&self) -> impl Iterator<Item = &RouteConfig> {
        self.routes.iter()
    }

    /// Cached routes are looked up again: /proc/sys/net/ipv4/route/flush.
    pub fn forget_routes(&mut self) {
        self.routes.touch();
    }

    /// An interface by index.
    pub fn interface(&self, index: IfIndex) -> Option<&Interface> {
        self.interfaces.get(index)
    }

    /// All interfaces, by index.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter()
    }

    /// The interface that has this address.
    pub fn interface_of(&self, addr: IpAddr) -> Option<IfIndex> {
        self.interfaces.owner(addr)
    }

    /// Whether the address may be bound: the host's own, or any with ip_nonlocal_bind.
    pub fn may_bind(&self, addr: IpAddr) -> bool {
        self.is_local(addr) || self.sysctl.nonlocal_bind(addr)
    }

    /// Whether the address is one of the host's own.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.interfaces.owner(addr.to_canonical()).is_some()
    }

    /// Finds the way to `dst`, from `src` if the sender chose one, by `device` if the socket is bound to one.
    pub fn route(
        &self,
        dst: IpAddr,
        src: Option<IpAddr>,
        device: Option<IfIndex>,
    ) -> Result<RouteInfo, RouteError> {
        self.route_of(&Flow {
            src,
            device,
            ..Flow::to(dst)
        })
    }

    /// Finds the way of a packet.
    pub fn route_of(&self, flow: &Flow) -> Result<RouteInfo, RouteError> {
        let dst = flow.dst.to_canonical();
        let found = route::lookup(&self.interfaces, &self.routes, &Flow { dst, ..*flow });
        found.map(|route| self.path_mtus.narrow(route))
    }

    /// The number of the table that has the route of a packet.
    pub fn table_of(&self, flow: &Flow) -> Result<u32, RouteError> {
        let dst = flow.dst.to_canonical();
        let found = route::lookup_in(&self.interfaces, &self.routes, &Flow { dst, ..*flow });
        Ok(match found?.1 {
            // Linux keeps the two in one until there is a rule between them (fib_unmerge()).
            TABLE_LOCAL if dst.is_ipv4() && self.routes.policy().is_plain(false) => TABLE_MAIN,
            table => table,
        })
    }

    /// Whether there is a routing table of this number: main, local, and those that a route was added to.
    pub fn has_table(&self, v6: bool, table: u32) -> bool {
        self.routes.has_table(v6, table)
    }

    /// The rules by which routing tables are chosen, in the order in which they are tried.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.routes.policy().iter()
    }

    /// Adds a rule, behind those of its priority.
    pub fn add_rule(&mut self, rule: Rule) {
        self.routes.add_rule(rule);
    }

    /// Takes a rule away.
    pub fn remove_rule(&mut self, rule: &Rule) {
        self.routes.remove_rule(rule);
    }

    /// A random number, for the layer above.
    pub fn random_u32(&mut self) -> u32 {
        self.random.u32()
    }

    /// When `handle_timeout` is to be called. It may be earlier than anything that is due: calling it then is harmless,
    /// calling it late delays what is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.loopback.is_empty() {
            self.timers.next()
        } else {
            Some(Instant::BOOT)
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, token)) = self.timers.pop_due(now) {
            match token {
                TimerToken::Tcp(id) => self.tcp_timer(now, id),
                TimerToken::Ip => self.ip_timeout(now),
                TimerToken::Groups => self.report_timeout(now),
                TimerToken::Neigh => self.neigh_timeout(now),
            }
        }
        self.run_loopback(now);
    }

    /// Whether [`poll_event`](Self::poll_event), [`poll_report`](Self::poll_report) or
    /// [`poll_stamp`](Self::poll_stamp) may have something.
    #[inline]
    pub fn has_news(&self) -> bool {
        !(self.events.is_empty() && self.reports.is_empty())
            || self.has_stamps()
            || self.taps.as_ref().is_some_and(|taps| !taps.is_empty())
            || self.neighbours.has_changes()
    }

    /// What changed about which socket.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            let (socket, kind) = match self.events.pop()? {
                Queued::Tcp(id) => (SocketHandle::Tcp(id), self.tcp.take_events(id)),
                Queued::Released(id) => (SocketHandle::Tcp(id), EventKind::RELEASED),
                Queued::Udp(id) => (SocketHandle::Udp(id), self.events.take_udp(id)),
            };
            if !kind.is_empty() {
                return Some(Event { socket, kind });
            }
        }
    }

    /// Packets of a version that came in pieces and are not whole yet, and the bytes that they take.
    pub fn fragments_held(&self, v6: bool) -> (usize, usize) {
        let all = [Some(&self.fragments), self.seen_fragments.as_deref()];
        let held = all.into_iter().flatten();
        held.fold((0, 0), |(packets, bytes), queues| {
            (packets + queues.len(v6), bytes + queues.memory(v6))
        })
    }

    /// Sets the timer for what is first: a packet in pieces to be given up, a path MTU to be forgotten.
    pub(crate) fn ip_arm(&mut self) {
        let seen = self.seen_fragments.as_ref();
        let seen = seen.and_then(|queues| queues.next_deadline());
        let first = self.fragments.next_deadline().into_iter().chain(seen).min();
        let second = self.path_mtus.next_deadline();
        let deadline = first.into_iter().chain(second).min();
        self.timers
            .arm(self.ip_timer, deadline.unwrap_or(Instant::MAX));
    }

    fn ip_timeout(&mut self, now: Instant) {
        while let Some(expired) = self.fragments.expire(now) {
            self.counters.ip_reasm_timeout += 1;
            self.counters.ip_reasm_fails += 1;
            self.counters.v6.reasm_timeout += u64::from(expired.v6);
            self.counters.v6.reasm_fails += u64::from(expired.v6);
            // RFC 792, RFC 8200, 4.5: of a packet whose first piece is there its sender is told.
            if let Some(first) = expired.first {
                let interface = expired.interface;
                self.icmp_error(now, interface, Cast::Unicast, &first, Fault::Reassembly);
            }
        }
        if let Some(queues) = &mut self.seen_fragments {
            // frag_expire_skip_icmp(): their sender hears nothing of it.
            while queues.expire(now).is_some() {}
        }
        if self.path_mtus.expire(now) {
            self.routes.touch();
        }
        self.ip_arm();
    }

    /// An ICMP error says that packets to `dst` are too big for their path (ip_rt_update_pmtu, ip6_rt_update_pmtu).
    pub(crate) fn learn_path_mtu(&mut self, now: Instant, dst: IpAddr, mtu: u32) {
        let Ok(route) = self.route(dst, None, None) else {
            return;
        };
        let (least, time) = match dst {
            IpAddr::V4(_) => (self.sysctl.ip_rt_min_pmtu, self.sysctl.ip_rt_mtu_expires),
            IpAddr::V6(_) => (pmtu::LEAST_V6, self.sysctl.ip6_rt_mtu_expires),
        };
        let told = (mtu.max(least), now + time);
        if route.kind == RouteKind::Unicast && self.path_mtus.learn(dst, told, route.mtu) {
            self.routes.touch();
            self.ip_arm();
        }
    }
}

#[cfg(test)]
mod fragment_tests;
#[cfg(test)]
mod tests;
