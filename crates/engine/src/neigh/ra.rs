//! Routers that advertise themselves (RFC 4861, 6) and addresses made of their prefixes (RFC 4862, 5.5), as Linux has it
//! (ndisc_router_discovery(), addrconf_prefix_rcv(), addrconf_verify_rtnl()).
//!
//! # Theory of operation
//! An advertisement gives the default router, prefixes of the link, the hop limit, the MTU and the times of neighbour
//! discovery; what it gives lasts for as long as it says. A host asks for one when [`Stack::solicit_routers`] says so: when
//! an interface is set up, and never on its own.
//!
//! What changes is news for the socket layer ([`Stack::poll_router_news`]): who listens at a netlink socket hears of it. An
//! address whose time is over is news too, and the layer takes it away, with what hangs on it.
//!
//! # Limits
//! No routes but the default one (RFC 4191's option is passed over, as with `accept_ra_rt_info_max_plen` 0), no temporary
//! addresses (RFC 8981), and redirects are not heard. At most [`MAX_ROUTES`] routes come of advertisements.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use switchboard_wire::{Body, IcmpMessage, IpHeader, Mac, Packet};

use super::ndp::{SOURCE_LINK, link_option};
use super::{NeighState, Update};
use crate::conf::Conf;
use crate::iface::{AddressTraits, IfIndex, InterfaceAddress, Lifetime};
use crate::policy::TABLE_MAIN;
use crate::route::{BY_RA, Leads, RouteConfig};
use crate::stack::{InterfaceChange, Stack};
use crate::tag::Tag;
use crate::time::Instant;

pub(super) const ROUTER_SOLICITATION: u8 = 133;
pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Options: a prefix, the MTU; and those for programs (ndisc_is_useropt()): prefixes as well, name servers, search lists, a
/// captive portal, the prefix of NAT64.
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const FOR_PROGRAMS: [u8; 5] = [PREFIX, 25, 31, 37, 38];

/// RTPROT_KERNEL; IP6_RT_PRIO_ADDRCONF.
const BY_KERNEL: u8 = 2;
const PREFIX_METRIC: u32 = 256;

/// RFC 4862, 5.5.3 e: a stranger does not end an address sooner.
const MIN_VALID: Duration = Duration::from_secs(7200);
/// How many routes there may be of advertisements.
const MAX_ROUTES: usize = 256;
const MAX_NEWS: usize = 1024;

/// /proc/sys/net/ipv6/conf/IF, with Linux's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaParams {
    /// accept_ra: 1 unless the host forwards, 2 always.
    pub accept: i32,
    /// accept_ra_defrtr
    pub default_router: i32,
    /// accept_ra_pinfo
    pub prefixes: i32,
    /// accept_ra_mtu
    pub mtu: i32,
    /// accept_ra_rtr_pref
    pub preference: i32,
    /// accept_ra_from_local
    pub from_local: i32,
    /// accept_ra_min_hop_limit
    pub min_hop_limit: i32,
    /// accept_ra_min_lft, in seconds
    pub min_lifetime: i32,
    /// ra_defrtr_metric
    pub metric: u32,
    /// autoconf
    pub autoconf: i32,
    /// max_addresses
    pub max_addresses: i32,
    /// router_solicitations: how often a router is asked for; less than 0: until one answers.
    pub solicitations: i32,
    /// router_solicitation_delay, in seconds
    pub delay: i32,
    /// router_solicitation_interval, in seconds
    pub interval: i32,
    /// router_solicitation_max_interval, in seconds
    pub max_interval: i32,
}

impl RaParams {
    const DEFAULT: RaParams = RaParams {
        accept: 1,
        default_router: 1,
        prefixes: 1,
        mtu: 1,
        preference: 1,
        from_local: 0,
        min_hop_limit: 1,
        min_lifetime: 0,
        metric: 1024,
        autoconf: 1,
        max_addresses: 16,
        solicitations: -1,
        delay: 1,
        interval: 4,
        max_interval: 3600,
    };
}

/// What came of advertisements and of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterNews {
    /// There is a route, or it lasts longer.
    Route(RouteConfig),
    /// There is none any more.
    NoRoute(RouteConfig),
    /// There is an address, or it lasts longer, or is not used by choice any more.
    Address(IfIndex, InterfaceAddress),
    /// Its time is over: whoever hears of it takes it away.
    Over(IfIndex, InterfaceAddress),
    /// A prefix was advertised: the bytes of the option.
    Prefix(IfIndex, Vec<u8>),
    /// An option for programs, and the router that sent it.
    Option(IfIndex, Ipv6Addr, Vec<u8>),
}

/// Until when a route is there, and its preference (RFC 4191, 2.1: 0 medium, 1 high, 3 low).
#[derive(Clone, Copy, Debug)]
struct Expiry {
    route: RouteConfig,
    at: Option<Instant>,
    preference: u8,
}

#[derive(Debug)]
struct Asking {
    at: Instant,
    asked: i32,
    interval: Duration,
}

#[derive(Debug)]
pub(super) struct Routers {
    default: RaParams,
    all: RaParams,
    of: BTreeMap<IfIndex, RaParams>,
    asking: BTreeMap<IfIndex, Asking>,
    routes: Vec<Expiry>,
    /// The first end of an address's time.
    address_at: Option<Instant>,
    /// IF_RA_MANAGED and IF_RA_OTHERCONF, and that there was an advertisement, by interface.
    heard: BTreeMap<IfIndex, u8>,
    pub(super) news: VecDeque<RouterNews>,
}

impl Routers {
    pub(super) fn new() -> Routers {
        Routers {
            default: RaParams::DEFAULT,
            all: RaParams::DEFAULT,
            of: BTreeMap::new(),
            asking: BTreeMap::new(),
            routes: Vec::new(),
            address_at: None,
            heard: BTreeMap::new(),
            news: VecDeque::new(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let asking = self.asking.values().map(|asking| asking.at);
        let routes = self.routes.iter().filter_map(|expiry| expiry.at);
        asking.chain(routes).chain(self.address_at).min()
    }

    fn tell(&mut self, news: RouterNews) {
        // An end has to be heard of: what is left out is told of by the next timeout.
        if self.news.len() < MAX_NEWS || matches!(news, RouterNews::Over(..)) {
            self.news.push_back(news);
        }
    }
}

/// RFC 4861, 4.6.2
struct Prefix {
    prefix: Ipv6Addr,
    len: u8,
    on_link: bool,
    autonomous: bool,
    valid: Option<Duration>,
    preferred: Option<Duration>,
}

impl Prefix {
    fn read(option: &[u8]) -> Option<Prefix> {
        let option: &[u8; 32] = option.try_into().ok()?;
        let word = |at: usize| {
            let word =
                u32::from_be_bytes([option[at], option[at + 1], option[at + 2], option[at + 3]]);
            (word != u32::MAX).then(|| Duration::from_secs(word.into()))
        };
        let mut prefix = [0; 16];
        prefix.copy_from_slice(&option[16..]);
        Some(Prefix {
            prefix: prefix.into(),
            len: option[2],
            on_link: option[3] & 0x80 != 0,
            autonomous: option[3] & 0x40 != 0,
            valid: word(4),
            preferred: word(8),
        })
    }
}

/// The first `len` bits.
fn cut(prefix: Ipv6Addr, len: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
    Ipv6Addr::from_bits(prefix.to_bits() & mask)
}

/// The options of a message (RFC 4861, 4.6); a length that does not fit was refused before.
fn options(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let len = usize::from(*rest.get(1)?) * 8;
        let (option, left) = rest.split_at_checked(len).filter(|_| len > 0)?;
        rest = left;
        Some(option)
    })
}

impl Stack {
    /// accept_ra and what goes with it.
    pub fn ra_params(&self, conf: Conf) -> RaParams {
        let routers = &self.neighbours.routers;
        match conf {
            Conf::All => routers.all,
            Conf::Default => routers.default,
            Conf::Interface(index) => routers.of.get(&index).copied().unwrap_or(routers.default),
        }
    }

    /// Sets them.
    pub fn set_ra_params(&mut self, conf: Conf, params: RaParams) {
        let routers = &mut self.neighbours.routers;
        match conf {
            Conf::All => routers.all = params,
            Conf::Default => {
                for interface in self.interfaces.iter() {
                    routers
                        .of
                        .entry(interface.index())
                        .or_insert(routers.default);
                }
                routers.default = params;
            }
            Conf::Interface(index) => drop(routers.of.insert(index, params)),
        }
    }

    /// What the host's IPv6 packets have that leave by an interface, where nobody asks for something else.
    #[inline]
    pub(crate) fn hop_limit6(&self, interface: IfIndex) -> u8 {
        let told = self.interfaces.hop_limit(interface);
        told.unwrap_or(self.sysctl.ipv6_hop_limit)
    }

    /// The administrator has said another one than a router has.
    pub fn forget_hop_limit(&mut self, interface: IfIndex) {
        self.interfaces.set_hop_limit(interface, None);
    }

    /// ipv6_accept_ra()
    fn accepts_ra(&self, interface: IfIndex) -> bool {
        let accept = self.ra_params(Conf::Interface(interface)).accept;
        if self.sysctl.ipv6_forwarding {
            accept == 2
        } else {
            accept != 0
        }
    }

    /// What a router has said of other ways to configure a host: 0x40 for addresses (IF_RA_MANAGED), 0x80 for others
    /// (IF_RA_OTHERCONF); and 0x20 if any has said anything (IF_RA_RCVD).
    pub fn router_flags(&self, interface: IfIndex) -> u8 {
        (self.neighbours.routers.heard.get(&interface))
            .copied()
            .unwrap_or(0)
    }

    /// addrconf_dad_completed(): routers are asked for (RFC 4861, 6.3.7), if they are listened to.
    pub fn solicit_routers(&mut self, now: Instant, interface: IfIndex) {
        let params = self.ra_params(Conf::Interface(interface));
        let up = self
            .interface(interface)
            .is_some_and(|i| i.is_up() && i.is_ethernet());
        if !up || !self.accepts_ra(interface) || params.solicitations == 0 || params.interval <= 0 {
            return;
        }
        let most = (params.delay.max(0) as u32).saturating_mul(1_000_000);
        let wait = Duration::from_micros(self.random.below(most.max(1)).into());
        let asking = Asking {
            at: now + wait,
            asked: 0,
            interval: Duration::ZERO,
        };
        self.neighbours.routers.heard.remove(&interface);
        self.neighbours.routers.asking.insert(interface, asking);
        self.neigh_arm();
    }

    /// The next thing that came of routers.
    pub fn poll_router_news(&mut self) -> Option<RouterNews> {
        self.neighbours.routers.news.pop_front()
    }

    /// What an address has besides itself; that of IPv4 as well (inet_rtm_newaddr(), inet6_addr_modify()).
    pub fn set_address_traits(&mut self, interface: IfIndex, addr: IpAddr, traits: AddressTraits) {
        self.routes.touch();
        self.interfaces
            .change(interface, |i| i.set_traits(addr, traits));
        self.addresses_arm();
        self.neigh_arm();
    }

    /// Until when a route is there that does not last for ever, and its preference.
    pub fn route_expiry(&self, route: &RouteConfig) -> Option<(Option<Instant>, u8)> {
        let mut all = self.neighbours.routers.routes.iter();
        let found = all.find(|expiry| expiry.route == *route)?;
        Some((found.at, found.preference))
    }

    fn addresses_arm(&mut self) {
        let all = self.interfaces.iter().flat_map(|i| i.all_traits());
        let next = |(_, traits): &(IpAddr, AddressTraits)| {
            let life = traits.lifetime?;
            let preferred = life.preferred.filter(|_| !traits.deprecated);
            preferred.into_iter().chain(life.valid).min()
        };
        self.neighbours.routers.address_at = all.filter_map(next).min();
    }

    /// What is due: routes and addresses whose time is over, and questions.
    pub(super) fn routers_timeout(&mut self, now: Instant) {
        // Those that went with their interface are not told of again.
        let (routes, there) = (&mut self.neighbours.routers.routes, &self.routes);
        routes.retain(|expiry| there.iter().any(|r| *r == expiry.route));
        let over = |expiry: &Expiry| expiry.at.is_some_and(|at| at <= now);
        let gone: Vec<RouteConfig> = (routes.iter())
            .filter(|expiry| over(expiry))
            .map(|expiry| expiry.route)
            .collect();
        for route in gone {
            self.router_route_ends(&route);
        }
        if self
            .neighbours
            .routers
            .address_at
            .is_some_and(|at| at <= now)
        {
            self.addresses_age(now);
        }
        let asking = self.neighbours.routers.asking.iter();
        let due: Vec<IfIndex> = asking
            .filter(|(_, asking)| asking.at <= now)
            .map(|(index, _)| *index)
            .collect();
        for index in due {
            self.ask_for_routers(now, index);
        }
    }

    /// addrconf_verify_rtnl()
    fn addresses_age(&mut self, now: Instant) {
        let all = self.interfaces.iter();
        let aged: Vec<(IfIndex, InterfaceAddress, AddressTraits)> = all
            .flat_map(|i| {
                i.addresses()
                    .iter()
                    .map(|a| (i.index(), *a, i.traits(a.addr)))
            })
            .filter(|(_, _, traits)| traits.lifetime.is_some())
            .collect();
        for (index, address, mut traits) in aged {
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let Some(life) = traits.lifetime else {
                continue;
            };
            if due(life.valid) {
                // Once: until it is taken away it has no time any more.
                traits.lifetime = None;
                traits.deprecated = true;
                self.set_address_traits(index, address.addr, traits);
                self.neighbours
                    .routers
                    .tell(RouterNews::Over(index, address));
            } else if due(life.preferred) && !traits.deprecated {
                traits.deprecated = true;
                self.set_address_traits(index, address.addr, traits);
                self.neighbours
                    .routers
                    .tell(RouterNews::Address(index, address));
            }
        }
        self.addresses_arm();
    }

    /// addrconf_rs_timer()
    fn ask_for_routers(&mut self, now: Instant, interface: IfIndex) {
        let params = self.ra_params(Conf::Interface(interface));
        let up = self.interface(interface).is_some_and(|i| i.is_up());
        let done = !up || !self.accepts_ra(interface);
        // Its random part: a tenth up or down (RFC 7559).
        let tenth = |stack: &mut Stack, time: Duration| {
            let micros = u32::try_from(time.as_micros() / 5).unwrap_or(u32::MAX);
            time - time / 10 + Duration::from_micros(stack.random.below(micros.max(1)).into())
        };
        let seconds = |n: i32| Duration::from_secs(n.max(0) as u64);
        let routers = &mut self.neighbours.routers;
        let Some(asking) = routers.asking.get_mut(&interface) else {
            return;
        };
        if done || (params.solicitations >= 0 && asking.asked >= params.solicitations) {
            routers.asking.remove(&interface);
            return;
        }
        asking.asked = asking.asked.saturating_add(1);
        let base = match asking.interval {
            Duration::ZERO => seconds(params.interval),
            last => (last * 2).min(seconds(params.max_interval.max(1))),
        };
        let next = tenth(self, base);
        if let Some(asking) = self.neighbours.routers.asking.get_mut(&interface) {
            asking.interval = base;
            asking.at = now + next;
        }
        self.send_router_solicitation(interface);
    }

    /// ndisc_send_rs(): RFC 4861, 4.1.
    fn send_router_solicitation(&mut self, interface: IfIndex) {
        let own = self.interface(interface).into_iter();
        let mut all = own.flat_map(|i| i.addresses().iter().map(move |a| (i, a.addr)));
        let source = all.find_map(|(i, addr)| match addr {
            IpAddr::V6(v6) if v6.is_unicast_link_local() && i.tentative(addr).is_none() => Some(v6),
            _ => None,
        });
        let mut payload = Vec::new();
        if source.is_some() {
            payload.extend_from_slice(&[SOURCE_LINK, 1]);
            payload.extend_from_slice(&self.mac_of(interface).0);
        }
        let source = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let mut ip = IpHeader::new(source.into(), ALL_ROUTERS.into());
        ip.hop_limit = 255;
        let message = IcmpMessage::Other {
            kind: ROUTER_SOLICITATION,
            code: 0,
            rest: 0,
            payload: payload.into(),
        };
        self.counters.icmp_out_msgs += 1;
        self.counters.v6.icmp_out_msgs += 1;
        self.counters.icmp_out[1].count(true, &message);
        self.counters.v6.out_requests += 1;
        let body = Body::Icmp(message);
        let mac = Mac::of_group(ALL_ROUTERS.into());
        self.send_to(interface, mac, Tag::default(), Packet { ip, body });
    }

    /// ndisc_router_discovery()
    pub(super) fn router_advertised(
        &mut self,
        now: Instant,
        interface: IfIndex,
        src: Ipv6Addr,
        rest: u32,
        payload: &[u8],
    ) {
        let Some((times, options_of)) = payload.split_first_chunk::<8>() else {
            return;
        };
        // RFC 4861, 6.1.2: a router is known by its address of the link.
        if !src.is_unicast_link_local() || !self.accepts_ra(interface) {
            return;
        }
        let Some(mac) = link_option(options_of, SOURCE_LINK) else {
            return;
        };
        let params = self.ra_params(Conf::Interface(interface));
        let [_, _, high, low] = rest.to_be_bytes();
        let lifetime = u16::from_be_bytes([high, low]);
        let (hops, flags) = ((rest >> 24) as u8, (rest >> 16) as u8);
        let routers = &mut self.neighbours.routers;
        // Who has been answered asks no more; RFC 7559: by a router that is one.
        if lifetime != 0 {
            routers.asking.remove(&interface);
        }
        // M and O stand where IF_RA_MANAGED and IF_RA_OTHERCONF do, in another order.
        let said = (flags >> 7) << 6 | (flags >> 6 & 1) << 7;
        routers.heard.insert(interface, 0x20 | said);
        let own = self.is_local(src.into()) && params.from_local == 0;
        let short = lifetime != 0 && i32::from(lifetime) < params.min_lifetime;
        if params.default_router != 0 && !own && !short {
            self.default_router(now, interface, src, (lifetime, flags), &params);
            if hops > 0 && params.min_hop_limit <= i32::from(hops) {
                self.interfaces.set_hop_limit(interface, Some(hops));
            }
        }
        self.neighbour_times(interface, times);
        if let Some(mac) = mac.filter(|mac| mac.is_unicast()) {
            let how = Update {
                overrides: true,
                weak: true,
                admin: false,
                router: Some(true),
            };
            self.neigh_heard(now, (interface, src.into()), mac, how);
        }
        for option in options(options_of) {
            match option[0] {
                PREFIX if params.prefixes != 0 && !own => {
                    self.prefix_advertised(now, interface, &params, option);
                }
                MTU if params.mtu != 0 && option.len() == 8 => {
                    let mtu = u32::from_be_bytes([option[4], option[5], option[6], option[7]]);
                    let most = self.interface(interface).map_or(0, |i| i.mtu());
                    if (1280..=most).contains(&mtu) {
                        self.routes.touch();
                        self.interfaces.change(interface, |i| i.mtu6 = Some(mtu));
                    }
                }
                _ => {}
            }
        }
        for option in options(options_of).filter(|option| FOR_PROGRAMS.contains(&option[0])) {
            let news = RouterNews::Option(interface, src, option.to_vec());
            self.neighbours.routers.tell(news);
        }
        self.addresses_arm();
        self.neigh_arm();
    }

    /// RFC 4861, 6.3.4: reachable time and retransmission timer.
    fn neighbour_times(&mut self, interface: IfIndex, times: &[u8; 8]) {
        let [a, b, c, d, e, f, g, h] = *times;
        let millis = |bytes| Duration::from_millis(u32::from_be_bytes(bytes).into());
        let (reachable, retrans) = (millis([a, b, c, d]), millis([e, f, g, h]));
        let old = self.neigh_params(true, Some(interface));
        let mut new = old;
        // No time of a day or more: Linux counts in ticks, and refuses what is near the end of these.
        let sane = |time: &Duration| !time.is_zero() && *time < Duration::from_secs(86_400 * 20);
        if sane(&retrans) {
            new.retrans_time = retrans.max(Duration::from_millis(10));
        }
        if sane(&reachable) {
            new.base_reachable_time = reachable;
        }
        if new != old {
            self.set_neigh_params(true, Some(interface), new);
        }
    }

    /// rt6_add_dflt_router()
    fn default_router(
        &mut self,
        now: Instant,
        interface: IfIndex,
        router: Ipv6Addr,
        (lifetime, flags): (u16, u8),
        params: &RaParams,
    ) {
        // RFC 4191, 2.2: a preference that there is not is the medium one, and so is that of no router.
        let preference = match flags >> 3 & 3 {
            2 => 0,
            _ if params.preference == 0 || lifetime == 0 => 0,
            preference => preference,
        };
        let route = RouteConfig {
            prefix: Ipv6Addr::UNSPECIFIED.into(),
            prefix_len: 0,
            gateway: Some(router.into()),
            interface,
            source: None,
            metric: params.metric,
            protocol: BY_RA,
            scope: 0,
            table: TABLE_MAIN,
            leads: Leads::On,
            share: None,
        };
        let same =
            |r: &RouteConfig| RouteConfig { metric: 0, ..*r } == RouteConfig { metric: 0, ..route };
        let old = self.routes.iter().find(|r| same(r)).copied();
        if let Some(old) = old.filter(|old| lifetime == 0 || old.metric != route.metric) {
            self.router_route_ends(&old);
        }
        if lifetime == 0 {
            return;
        }
        let at = Some(now + Duration::from_secs(lifetime.into()));
        self.router_route(Expiry {
            route,
            at,
            preference,
        });
    }

    /// There is a route, which lasts for so long.
    fn router_route(&mut self, expiry: Expiry) {
        let route = expiry.route;
        let there = self.routes.iter().any(|r| *r == route);
        let routers = &mut self.neighbours.routers;
        let old = routers.routes.iter().position(|old| old.route == route);
        if !there {
            if routers.routes.len() >= MAX_ROUTES {
                return;
            }
            self.routes.add(route);
        }
        let known = match old {
            Some(old) => {
                let before = core::mem::replace(&mut routers.routes[old], expiry);
                there && before.preference == expiry.preference
            }
            None => {
                routers.routes.push(expiry);
                false
            }
        };
        if route.prefix_len == 0 && !known {
            self.by_preference();
        }
        if !there {
            self.neighbours.routers.tell(RouterNews::Route(route));
        }
    }

    /// RFC 4191, 3.2: of several default routers those with the highest preference go first.
    fn by_preference(&mut self) {
        let routers = &self.neighbours.routers;
        let mut all: Vec<Expiry> = routers.routes.clone();
        all.retain(|expiry| expiry.route.protocol == BY_RA);
        all.sort_by_key(|expiry| match expiry.preference {
            1 => 0,
            0 => 1,
            _ => 2,
        });
        self.routes
            .remove(|r| all.iter().any(|expiry| expiry.route == *r));
        for expiry in all {
            self.routes.add(expiry.route);
        }
    }

    fn router_route_ends(&mut self, route: &RouteConfig) {
        self.neighbours
            .routers
            .routes
            .retain(|old| old.route != *route);
        if self.routes.iter().any(|r| r == route) {
            self.routes.remove(|r| r == route);
            self.neighbours.routers.tell(RouterNews::NoRoute(*route));
        }
    }

    /// addrconf_prefix_rcv()
    fn prefix_advertised(
        &mut self,
        now: Instant,
        interface: IfIndex,
        params: &RaParams,
        option: &[u8],
    ) {
        let Some(prefix) = Prefix::read(option).filter(|prefix| prefix.len <= 128) else {
            return;
        };
        let kind = prefix.prefix;
        let for_ever = |time: Option<Duration>| time.unwrap_or(Duration::MAX);
        if kind.is_multicast()
            || kind.is_unicast_link_local()
            || for_ever(prefix.preferred) > for_ever(prefix.valid)
        {
            return;
        }
        let none = prefix.valid == Some(Duration::ZERO);
        if prefix.on_link {
            let route = RouteConfig {
                prefix: cut(prefix.prefix, prefix.len).into(),
                prefix_len: prefix.len,
                gateway: None,
                interface,
                source: None,
                metric: PREFIX_METRIC,
                protocol: BY_KERNEL,
                scope: 0,
                table: TABLE_MAIN,
                leads: Leads::On,
                share: None,
            };
            let at = prefix.valid.map(|valid| now + valid);
            if none {
                self.router_route_ends(&route);
            } else {
                self.router_route(Expiry {
                    route,
                    at,
                    preference: 0,
                });
            }
        }
        if prefix.autonomous && params.autoconf != 0 && prefix.len == 64 {
            self.configure(now, interface, params, &prefix);
        }
        let news = RouterNews::Prefix(interface, option.to_vec());
        self.neighbours.routers.tell(news);
    }

    /// addrconf_prefix_rcv_add_addr()
    fn configure(&mut self, now: Instant, interface: IfIndex, params: &RaParams, prefix: &Prefix) {
        let end = u128::from(u64::MAX);
        let own = self.mac_of(interface).link_local().to_bits() & end;
        let addr = Ipv6Addr::from_bits(prefix.prefix.to_bits() & !end | own);
        let Some(link) = self.interface(interface) else {
            return;
        };
        let traits = link.traits(addr.into());
        let old = link.addresses().iter().find(|a| a.addr == addr).copied();
        let many = (link.addresses().iter())
            .filter(|a| a.addr.is_ipv6())
            .count();
        let mut valid = prefix.valid;
        let address = match old {
            // The administrator's are his.
            Some(_) if !traits.by_router => return,
            Some(address) => {
                // RFC 4862, 5.5.3 e
                let left = traits
                    .lifetime
                    .and_then(|life| life.valid)
                    .map(|at| at.saturating_sub(now));
                let least = left.map_or(MIN_VALID, |left| left.min(MIN_VALID));
                valid = valid.map(|valid| valid.max(least));
                address
            }
            None => {
                let most = usize::try_from(params.max_addresses).unwrap_or(0);
                if valid == Some(Duration::ZERO) || (most > 0 && many >= most) {
                    return;
                }
                InterfaceAddress::new(addr.into(), 64)
            }
        };
        if old.is_none() {
            self.change_interface(interface, InterfaceChange::Add(address));
        }
        let created = traits.lifetime.map_or(now, |life| life.created);
        let traits = AddressTraits {
            lifetime: Some(Lifetime {
                preferred: prefix.preferred.map(|time| now + time),
                valid: valid.map(|time| now + time),
                created,
                updated: now,
            }),
            deprecated: prefix.preferred == Some(Duration::ZERO),
            // Whether its prefix is on the link is said apart.
            without_subnet: true,
            by_router: true,
            scope: 0,
        };
        self.set_address_traits(interface, addr.into(), traits);
        if old.is_none() {
            self.probe_address(now, interface, addr);
        }
        let news = RouterNews::Address(interface, address);
        self.neighbours.routers.tell(news);
    }

    /// A neighbour does not answer: if it is a router, others are asked first.
    pub(super) fn router_failed(
        &mut self,
        (interface, addr): (IfIndex, IpAddr),
        state: NeighState,
    ) {
        if state == NeighState::Failed && !self.neighbours.routers.routes.is_empty() {
            self.routes.put_last(addr, interface);
        }
    }
}
