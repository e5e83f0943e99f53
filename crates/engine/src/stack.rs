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
//! - One run delivers [`LOOPBACK_BUDGET`] packets at most; then the rest waits for the next call, and `poll_timeout`
//!   says "now". Two sockets cannot keep a call from returning.
//! - The transmit queue holds [`TX_QUEUE_LEN`] packets for each interface.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::IpAddr;

use switchboard_wire::{Body, IpHeader, Packet, UdpDatagram, is_extension, parse_transport};

use crate::config::{Config, Sysctl};
use crate::counters::Counters;
use crate::divert::Diversion;
use crate::event::{Event, EventKind, EventQueue, Queued, SocketHandle};
use crate::extended::Arrived;
use crate::fragments::{Fragments, cut};
use crate::hash::Random;
use crate::icmp::{Fault, IcmpState};
use crate::iface::{IfIndex, Interface, InterfaceAddress, InterfaceConfig, Interfaces};
use crate::link::Departure;
use crate::multicast::Groups;
use crate::nat::Nat;
use crate::neigh::Neighbours;
use crate::pmtu::PathMtus;
use crate::ports::{BindTable, Transport};
use crate::report::IcmpReport;
use crate::reports::{IGMP, Reports};
use crate::route::{self, RouteConfig, RouteError, RouteInfo, RouteKind, Routes};
use crate::tag::Tag;
use crate::taps::Taps;
use crate::tcp::{StampReports, TcpTable};
use crate::time::Instant;
use crate::timer::{TimerId, TimerToken, Timers};
use crate::udp::UdpTable;

/// How many loopback packets one call delivers at most; a full window in minimal segments stays below.
const LOOPBACK_BUDGET: usize = 1 << 16;

/// How many packets wait for `poll_transmit` at most; Linux's default txqueuelen.
const TX_QUEUE_LEN: usize = 1000;

/// How many packets may wait for `poll_transmit` before TCP sends no more: it must not overflow the host's own queue
/// (Linux: TCP small queues).
const TCP_QUEUE_LEN: usize = TX_QUEUE_LEN / 2;

/// IPv6's "no next header".
const NO_NEXT: u8 = 59;

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
    /// The length of its queue, which is only kept.
    QueueLen(u32),
    /// Its hardware address, which is only kept.
    Hardware([u8; 6]),
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

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// No link may carry it; it is counted.
    Martian,
    /// It is for somebody else.
    NotOurs,
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

    /// Adds an address, and with it the connected subnet. An unknown interface is ignored.
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
            InterfaceChange::QueueLen(len) => i.queue_len = len,
            InterfaceChange::Hardware(address) => i.hardware = address,
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
        }
        // fib_sync_down_dev(): what leaves by an interface that is down goes for good.
        if let InterfaceChange::Up(false) = change {
            self.routes.remove(|route| route.interface == interface);
        }
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
        let found = route::lookup(
            &self.interfaces,
            &self.routes,
            dst.to_canonical(),
            src,
            device,
        );
        found.map(|route| self.path_mtus.narrow(route))
    }

    /// A packet came in on an interface.
    pub fn deliver(&mut self, now: Instant, interface: IfIndex, packet: Packet) {
        self.deliver_tagged(now, interface, Tag::default(), packet);
    }

    /// [`deliver`](Self::deliver), with what the packet carries beside its bytes.
    pub fn deliver_tagged(&mut self, now: Instant, interface: IfIndex, tag: Tag, packet: Packet) {
        // netif_receive: nothing comes in by an interface that is down.
        if self.interfaces.get(interface).is_some_and(|i| !i.is_up()) {
            return;
        }
        self.tap(interface, false, tag, &packet.ip, &packet.body);
        self.untapped_input(now, interface, tag, packet);
    }

    /// [`deliver`](Self::deliver) of a packet that was shown already.
    pub(crate) fn deliver_untapped(&mut self, now: Instant, interface: IfIndex, packet: Packet) {
        self.untapped_input(now, interface, Tag::default(), packet);
    }

    fn untapped_input(&mut self, now: Instant, interface: IfIndex, tag: Tag, packet: Packet) {
        // fib_validate_source: nobody else may speak with the host's own address. (Its own broadcasts come back by the
        // loopback queue.)
        if interface != IfIndex::LO
            && self.interfaces.owner(packet.ip.src).is_some()
            && !(packet.ip.src.is_ipv4() && self.accepts_local(interface))
        {
            self.counters.ip_in_hdr_errors += 1;
            return;
        }
        let Packet { ip, mut body } = packet;
        self.ip_input(now, interface, Hint::NONE, tag, &ip, &mut body);
        self.run_loopback(now);
    }

    /// A random number, for the layer above.
    pub fn random_u32(&mut self) -> u32 {
        self.random.u32()
    }

    /// The next packet to carry, and the interface it leaves by. Packets on `lo` come out only where
    /// [`carry_loopback`](Self::carry_loopback) asks for it.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(IfIndex, Packet)> {
        let next = self.poll_outgoing(now)?;
        Some((next.interface, next.packet))
    }

    /// [`poll_transmit`](Self::poll_transmit), with whom the packet is handed to.
    pub fn poll_outgoing(&mut self, now: Instant) -> Option<Outgoing> {
        let next = self.transmit.pop_front();
        if self.transmit.len() < TCP_QUEUE_LEN / 2 {
            self.tcp_resume(now);
        }
        next
    }

    /// Whether TCP must wait until packets were taken by `poll_transmit`.
    #[inline]
    pub(crate) fn transmit_is_busy(&self) -> bool {
        self.transmit.len() >= TCP_QUEUE_LEN
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

    /// Queues a packet for the interface that `route` named. Callers outside of input processing end with
    /// [`run_loopback`](Self::run_loopback).
    #[inline]
    pub(crate) fn ip_output(&mut self, route: &RouteInfo, packet: Packet) {
        self.ip_output_tagged(route, Tag::default(), packet);
    }

    /// [`ip_output`](Self::ip_output) of a packet that its sender has marked.
    #[inline]
    pub(crate) fn ip_output_tagged(&mut self, route: &RouteInfo, tag: Tag, packet: Packet) {
        self.counters.ip_out_requests += 1;
        self.counters.v6.out_requests += u64::from(packet.ip.is_v6());
        if route.interface == IfIndex::LO {
            self.loop_back(IfIndex::LO, Hint::NONE, tag, packet.ip, packet.body);
            return;
        }
        if route.kind == RouteKind::Broadcast {
            // ip_mc_output: the sender is one of those addressed.
            let Packet { ip, body } = packet.clone();
            self.loop_back(route.interface, Hint::NONE, tag, ip, body);
        }
        self.link_output(route, packet);
    }

    /// A packet leaves by a link.
    pub(crate) fn link_output(&mut self, route: &RouteInfo, packet: Packet) {
        if self.transmit.len() < self.transmit_room() {
            let bytes = packet.wire_len() as u64;
            if bytes > u64::from(route.mtu) {
                return self.cut_output(route, &packet);
            }
            self.counters.ip_out_octets += bytes;
            if packet.ip.is_v6() {
                self.counters.v6.out_octets += bytes;
            }
            // With a link layer it is not on the link yet.
            if !self.interfaces.is_ethernet(route.interface) {
                self.interfaces.sent(route.interface, bytes);
                // A forwarded packet comes here too: whose mark it has is not known.
                let (ip, body) = (&packet.ip, &packet.body);
                self.tap(route.interface, true, Tag::default(), ip, body);
            }
            self.transmit.push_back(Outgoing {
                interface: route.interface,
                next_hop: route.next_hop,
                tag: Tag::default(),
                packet,
            });
        } else {
            self.counters.ip_out_discards += 1;
        }
    }

    /// A packet leaves in pieces.
    #[cold]
    fn cut_output(&mut self, route: &RouteInfo, packet: &Packet) {
        for piece in self.cut_counted(packet, route.mtu) {
            self.link_output(route, piece);
        }
    }

    /// The pieces of a packet; none where there is no room for any.
    pub(crate) fn cut_counted(&mut self, packet: &Packet, mtu: u32) -> alloc::vec::Vec<Packet> {
        let pieces = cut(packet, mtu, self.random.u32());
        if pieces.is_empty() {
            self.counters.ip_frag_fails += 1;
        } else {
            self.counters.ip_frag_oks += 1;
            self.counters.ip_frag_creates += pieces.len() as u64;
        }
        pieces
    }

    /// Packets of a version that came in pieces and are not whole yet, and the bytes that they take.
    pub fn fragments_held(&self, v6: bool) -> (usize, usize) {
        (self.fragments.len(v6), self.fragments.memory(v6))
    }

    /// Sets the timer for what is first: a packet in pieces to be given up, a path MTU to be forgotten.
    pub(crate) fn ip_arm(&mut self) {
        let first = self.fragments.next_deadline();
        let second = self.path_mtus.next_deadline();
        let deadline = first.into_iter().chain(second).min();
        self.timers
            .arm(self.ip_timer, deadline.unwrap_or(Instant::MAX));
    }

    fn ip_timeout(&mut self, now: Instant) {
        while let Some(expired) = self.fragments.expire(now) {
            self.counters.ip_reasm_timeout += 1;
            self.counters.ip_reasm_fails += 1;
            // RFC 792, RFC 8200, 4.5: of a packet whose first piece is there its sender is told.
            if let Some(first) = expired.first {
                let interface = expired.interface;
                self.icmp_error(now, interface, Cast::Unicast, &first, Fault::Reassembly);
            }
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
        let until = now + self.sysctl.ip_rt_mtu_expires;
        if route.kind == RouteKind::Unicast && self.path_mtus.learn(dst, mtu, route.mtu, until) {
            self.routes.touch();
            self.ip_arm();
        }
    }

    /// ip_mc_output, ip6_finish_output2: a packet to a group comes back to the members on this host, and one whose hops
    /// are none goes no further. On `lo` everything comes back anyway.
    pub(crate) fn multicast_output(
        &mut self,
        route: &RouteInfo,
        tag: Tag,
        loops: bool,
        packet: Packet,
    ) {
        let Packet { ip, body } = &packet;
        if route.interface == IfIndex::LO {
            return self.ip_output_tagged(route, tag, packet);
        }
        if loops && self.groups.is_wanted(route.interface, ip.dst, ip.src) {
            self.loop_back(route.interface, Hint::NONE, tag, *ip, body.clone());
        }
        // RFC 4291, 2.7: interface-local scope.
        let local = matches!(ip.dst, IpAddr::V6(dst) if dst.octets()[1] & 15 <= 1);
        if ip.hop_limit > 0 && !local {
            self.ip_output_tagged(route, tag, packet);
        }
    }

    /// [`ip_output_tagged`](Self::ip_output_tagged) and [`run_loopback`](Self::run_loopback): a packet on `lo` with nothing before it comes
    /// in from where it is, and not through the queue.
    #[inline]
    pub(crate) fn ip_output_now(
        &mut self,
        now: Instant,
        route: &RouteInfo,
        tag: Tag,
        ip: IpHeader,
        mut body: Body,
    ) {
        if route.interface == IfIndex::LO && self.loopback_is_free() {
            self.counters.ip_out_requests += 1;
            self.counters.v6.out_requests += u64::from(ip.is_v6());
            self.ip_input(now, IfIndex::LO, Hint::NONE, tag, &ip, &mut body);
        } else {
            self.ip_output_tagged(route, tag, Packet { ip, body });
        }
        self.run_loopback(now);
    }

    /// [`ip_output`](Self::ip_output) of a connection's segment on `lo`.
    #[inline]
    pub(crate) fn tcp_loop_back(&mut self, hint: Hint, ip: IpHeader, body: Body) {
        self.counters.ip_out_requests += 1;
        self.counters.v6.out_requests += u64::from(ip.is_v6());
        self.loop_back(IfIndex::LO, hint, Tag::default(), ip, body);
    }

    #[inline]
    fn loop_back(&mut self, interface: IfIndex, hint: Hint, tag: Tag, ip: IpHeader, body: Body) {
        if interface == IfIndex::LO && !self.interfaces.lo_is_direct() {
            return self.carried_loopback(tag, Packet { ip, body });
        }
        if interface == IfIndex::LO {
            self.tap(interface, true, tag, &ip, &body);
        }
        if self.loopback.len() < self.sysctl.netdev_max_backlog as usize {
            self.loopback.push_back(Looped {
                interface,
                hint,
                tag,
                ip,
                body,
            });
        } else {
            self.counters.ip_in_discards += 1;
        }
    }

    /// What is sent on `lo` does not come straight in again.
    #[cold]
    fn carried_loopback(&mut self, tag: Tag, packet: Packet) {
        // noop_enqueue: what goes to a device that is down is lost.
        if !self.interfaces.lo_is_up() || self.transmit.len() >= self.transmit_room() {
            self.counters.ip_out_discards += 1;
            return;
        }
        self.tap(IfIndex::LO, true, tag, &packet.ip, &packet.body);
        self.transmit.push_back(Outgoing {
            interface: IfIndex::LO,
            next_hop: packet.ip.dst,
            tag,
            packet,
        });
    }

    /// How many packets may wait for `poll_transmit`.
    pub(crate) fn transmit_room(&self) -> usize {
        let links = self.interfaces.iter().len() - 1;
        TX_QUEUE_LEN * (links + usize::from(self.interfaces.lo_is_carried))
    }

    /// Whether what is sent on `lo` comes out of [`poll_outgoing`](Self::poll_outgoing), to be carried by the caller and
    /// handed back by [`deliver_tagged`](Self::deliver_tagged): for whoever wants to see it, or to be in its way.
    pub fn carry_loopback(&mut self, on: bool) {
        self.interfaces.lo_is_carried = on;
        self.interfaces.change(IfIndex::LO, |_| {});
    }

    /// Whether a packet on `lo` would be the next to come in; not when `loop_back` has a reason to drop it.
    #[inline]
    pub(crate) fn loopback_is_free(&self) -> bool {
        self.loopback.is_empty()
            && self.interfaces.lo_is_direct()
            && self.sysctl.netdev_max_backlog > 0
            && self.taps.is_none()
    }

    /// Shows a packet of a link without a link layer to whoever looks at all.
    #[inline]
    fn tap(&mut self, interface: IfIndex, outgoing: bool, tag: Tag, ip: &IpHeader, body: &Body) {
        self.tap_frame(interface, outgoing, tag, None, ip, body);
    }

    /// See [`inject`](Self::inject).
    pub(crate) fn transmit_injected(&mut self, interface: IfIndex, packet: Packet) {
        if self.transmit.len() < self.transmit_room() {
            self.interfaces.sent(interface, packet.wire_len() as u64);
            let route = self.route(packet.ip.dst, None, Some(interface));
            self.transmit.push_back(Outgoing {
                interface,
                next_hop: route.map_or(packet.ip.dst, |route| route.next_hop),
                tag: Tag::default(),
                packet,
            });
        }
    }

    /// See [`inject`](Self::inject).
    pub(crate) fn injected_input(&mut self, now: Instant, tag: Tag, ip: IpHeader, mut body: Body) {
        if self.interfaces.lo_is_up() {
            self.ip_input(now, IfIndex::LO, Hint::NONE, tag, &ip, &mut body);
            self.run_loopback(now);
        }
    }

    /// [`tcp_loop_back`](Self::tcp_loop_back), and the packet comes in at once, nothing being before it.
    #[inline]
    pub(crate) fn tcp_deliver_direct(
        &mut self,
        now: Instant,
        hint: Hint,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        self.counters.ip_out_requests += 1;
        self.counters.v6.out_requests += u64::from(ip.is_v6());
        self.ip_input(now, IfIndex::LO, hint, Tag::default(), ip, body);
    }

    /// Delivers what the host sent to itself, until nothing is left.
    #[inline]
    pub(crate) fn run_loopback(&mut self, now: Instant) {
        for _ in 0..LOOPBACK_BUDGET {
            let Some(mut looped) = self.loopback.pop_front() else {
                break;
            };
            let Looped {
                interface,
                hint,
                tag,
                ip,
                body,
            } = &mut looped;
            // What the host sent to many on another interface and hears itself is not seen (PACKET_LOOPBACK).
            if *interface == IfIndex::LO {
                self.tap(*interface, false, *tag, ip, body);
            }
            self.ip_input(now, *interface, *hint, *tag, ip, body);
        }
        self.stamp_taps(now);
    }

    /// A packet came in: is it for this host, and for whom in it?
    fn ip_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        hint: Hint,
        tag: Tag,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        let bytes = (ip.header_len() + body.wire_len()) as u64;
        self.count_input(interface, ip, bytes);
        if self.nat.is_some()
            && let Some(packet) = self.nat_back(now, interface, ip, body)
        {
            return self.ip_forward(now, interface, &packet.ip, &packet.body, true);
        }
        let cast = match self.accepts(interface, ip) {
            Ok(cast) => cast,
            Err(Refusal::Martian) => return,
            Err(Refusal::NotOurs) if self.takes_anybody(now, interface, ip, body) => Cast::Unicast,
            Err(Refusal::NotOurs) => {
                return self.ip_forward(now, interface, ip, body, false);
            }
        };
        match body {
            Body::Extended(extended) => {
                let extended = (**extended).clone();
                return self.extended_input(now, interface, (hint, tag), cast, ip, extended);
            }
            Body::Other { protocol, payload } if ip.is_v6() && is_extension(*protocol) => {
                let (protocol, bytes) = (*protocol, payload.clone());
                return self.chain_input(now, interface, (hint, tag), cast, ip, protocol, &bytes);
            }
            _ => {}
        }
        self.count_delivery(ip.is_v6());
        // raw_local_deliver: before the transport takes it apart.
        let heard = self.udp.has_raw() && self.raw_input(now, interface, tag, ip, body);
        self.ip_deliver(now, interface, (hint, tag), cast, ip, body, heard);
    }

    #[inline]
    pub(crate) fn count_delivery(&mut self, v6: bool) {
        self.counters.ip_in_delivers += 1;
        self.counters.v6.in_delivers += u64::from(v6);
    }

    /// A whole packet goes to its transport; `heard`: a raw socket had it.
    #[inline]
    #[allow(clippy::too_many_arguments)] // A packet, and what is known of it.
    pub(crate) fn ip_deliver(
        &mut self,
        now: Instant,
        interface: IfIndex,
        (hint, tag): (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        body: &mut Body,
        heard: bool,
    ) {
        if let Body::Other {
            protocol: IGMP,
            payload,
        } = body
            && !ip.is_v6()
        {
            return self.igmp_input(now, interface, payload);
        }
        if let Body::Other { protocol, payload } = body {
            // What a raw socket sent is bytes until it arrives.
            match parse_transport(ip, *protocol, payload) {
                Ok(Body::Other { .. }) if heard => {}
                // RFC 8200, 4.7: nothing follows.
                Ok(Body::Other {
                    protocol: NO_NEXT, ..
                }) if ip.is_v6() => {}
                Ok(Body::Other { .. }) => {
                    self.counters.ip_in_unknown_protos += 1;
                    let (ip, body) = (*ip, body.clone());
                    self.icmp_unknown_protocol(now, interface, cast, &Packet { ip, body });
                }
                Ok(mut parsed) => {
                    self.transport_input(now, interface, (hint, tag), cast, ip, &mut parsed);
                }
                Err(_) => self.count_malformed(*protocol, ip.is_v6()),
            }
            return;
        }
        self.transport_input(now, interface, (hint, tag), cast, ip, body);
    }

    #[inline]
    fn transport_input(
        &mut self,
        now: Instant,
        interface: IfIndex,
        marks: (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        if cast == Cast::Unicast
            && (self.diversion.as_deref()).is_some_and(|diversion| diversion.is_of(interface))
            && self.put_aside(interface, ip, body)
        {
            return;
        }
        self.transport_deliver(now, interface, marks, cast, ip, body);
    }

    /// [`transport_input`](Self::transport_input) of what nobody puts aside.
    #[inline]
    pub(crate) fn transport_deliver(
        &mut self,
        now: Instant,
        interface: IfIndex,
        (hint, tag): (Hint, Tag),
        cast: Cast,
        ip: &IpHeader,
        body: &mut Body,
    ) {
        // In place as far as possible: a packet is a large value to move.
        match body {
            // RFC 9293, 3.9.2.2: TCP is for unicast addresses.
            Body::Tcp(segment) if cast == Cast::Unicast => {
                self.tcp_input(now, interface, hint, ip, segment);
            }
            Body::Tcp(_) | Body::Other { .. } | Body::Extended(_) => {}
            Body::Udp(datagram) => {
                let datagram = UdpDatagram {
                    payload: core::mem::take(&mut datagram.payload),
                    ..*datagram
                };
                self.udp_input(now, interface, cast, tag, *ip, datagram);
            }
            Body::Icmp(message) => {
                self.icmp_input(now, interface, cast, *ip, message.clone());
            }
        }
    }

    /// A transport's header was cut short, or its checksum is wrong.
    fn count_malformed(&mut self, protocol: u8, v6: bool) {
        match protocol {
            17 => self.counters.udp_in_errors += 1,
            136 => self.counters.lite[usize::from(v6)].in_errors += 1,
            1 | 58 => self.counters.icmp_in_errors += 1,
            _ => self.counters.tcp_in_errs += 1,
        }
    }

    #[inline]
    fn count_input(&mut self, interface: IfIndex, ip: &IpHeader, bytes: u64) {
        let lo = if interface == IfIndex::LO { bytes } else { 0 };
        let counters = &mut self.counters;
        counters.ip_in_receives += 1;
        counters.ip_in_octets += bytes;
        counters.ip_loop_octets += lo;
        if ip.is_v6() {
            counters.v6.in_receives += 1;
            counters.v6.in_octets += bytes;
            counters.v6.loop_octets += lo;
        }
        self.interfaces
            .received(interface, bytes, ip.dst.is_multicast());
    }

    /// Whether the host takes the packet, and how it was addressed. Martians are counted here.
    fn accepts(&mut self, interface: IfIndex, ip: &IpHeader) -> Result<Cast, Refusal> {
        let (src, dst) = (ip.src, ip.dst);
        // RFC 1122, 3.2.1.3 g; RFC 4291, 2.5.3: loopback addresses stay inside the host. A source that is a group or a
        // broadcast address is a martian (RFC 1122, 3.2.1.3).
        let martian = (interface != IfIndex::LO && (src.is_loopback() || dst.is_loopback()))
            || src.is_multicast()
            || matches!(src, IpAddr::V4(v4) if v4.is_broadcast())
            || src.is_ipv4() != dst.is_ipv4();
        if martian {
            self.counters.ip_in_hdr_errors += 1;
            return Err(Refusal::Martian);
        }
        // The weak host model (RFC 1122, 3.3.4.2), as in Linux: any own address on any interface.
        if self.interfaces.owner(dst).is_some() {
            return Ok(Cast::Unicast);
        }
        match dst {
            IpAddr::V4(v4) if self.interfaces.is_broadcast(v4) => Ok(Cast::Broadcast),
            // 224.0.0.1 and ff02::1: every host is in the all-hosts group (RFC 1112, 4; RFC 4291, 2.8).
            IpAddr::V4(v4) if v4.octets() == [224, 0, 0, 1] => Ok(Cast::Multicast),
            IpAddr::V6(v6) if v6.segments() == [0xff02, 0, 0, 0, 0, 0, 0, 1] => Ok(Cast::Multicast),
            IpAddr::V6(v6) if self.interfaces.is_solicited_node(interface, v6) => {
                Ok(Cast::Multicast)
            }
            _ if dst.is_multicast() && self.groups.is_wanted(interface, dst, src) => {
                Ok(Cast::Multicast)
            }
            _ => Err(Refusal::NotOurs),
        }
    }
}

#[cfg(test)]
mod fragment_tests;
#[cfg(test)]
mod tests;
