//! NETLINK_ROUTE (rtnetlink(7)): links, addresses, routes and rules of the host, to read.

use super::message::{DUMP, Message, Request};
use crate::cred::Caps;
use crate::host::Host;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{IfIndex, Interface, RouteConfig};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
/// The last message of linux/rtnetlink.h of Linux 6.18, rounded up as RTM_MAX is.
const RTM_MAX: u16 = 127;

/// `sizeof(struct ifinfomsg)`, `sizeof(struct rtmsg)`.
const IFINFOMSG: usize = 16;

const RTMSG: usize = 12;

/// IFF_UP, IFF_RUNNING, IFF_LOWER_UP with what the kind of interface adds.
const FLAGS_LO: u32 = 0x1_0049;
const FLAGS_ETHER: u32 = 0x1_1043;

/// RT_TABLE_LOCAL and RT_TABLE_MAIN; RTPROT_KERNEL and RTPROT_BOOT.
const LOCAL: u8 = 255;
const MAIN: u8 = 254;
const BY_KERNEL: u8 = 2;
const BY_BOOT: u8 = 3;

/// RT_SCOPE_UNIVERSE, _LINK and _HOST.
const UNIVERSE: u8 = 0;
const LINK: u8 = 253;
const HOST: u8 = 254;

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn family_of(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => AF_INET as u8,
        IpAddr::V6(_) => AF_INET6 as u8,
    }
}

fn bits(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits behind the prefix zero.
fn network(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            Ipv4Addr::from_bits(a.to_bits() & mask).into()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            Ipv6Addr::from_bits(a.to_bits() & mask).into()
        }
    }
}

impl Host {
    /// rtnetlink_rcv_msg(): the messages that answer a request, without the one that ends a dump.
    pub(super) fn rtnetlink(
        &self,
        caps: Caps,
        request: &Request<'_>,
        port: u32,
    ) -> Result<Vec<Vec<u8>>, Errno> {
        if request.kind > RTM_MAX {
            return Err(Errno::EOPNOTSUPP);
        }
        // "All the messages must have at least 1 byte length."
        let Some(&family) = request.body().first() else {
            return Ok(Vec::new());
        };
        // The kinds come in fours: new, delete, get, set.
        if request.kind & 3 != 2 && !caps.contains(Caps::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        let dump = request.flags & DUMP != 0;
        match (request.kind, dump) {
            (RTM_GETLINK, true) => Ok(self.links(request, port, None)),
            (RTM_GETLINK, false) => self.one_link(request, port),
            (RTM_GETADDR, true) => Ok(self.addresses(request, port, family)),
            (RTM_GETROUTE, true) => Ok(self.route_list(request, port, family)),
            (RTM_GETROUTE, false) => self.one_route(request, port, family),
            (RTM_GETRULE, true) => Ok(rules(request, port, family)),
            // Links have no neighbours to resolve.
            (RTM_GETNEIGH, true) => Ok(Vec::new()),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    fn links(&self, request: &Request<'_>, port: u32, only: Option<IfIndex>) -> Vec<Vec<u8>> {
        let all = self.stack.interfaces();
        all.filter(|i| only.is_none_or(|only| i.index() == only))
            .map(|interface| link(interface, request, port))
            .collect()
    }

    fn one_link(&self, request: &Request<'_>, port: u32) -> Result<Vec<Vec<u8>>, Errno> {
        let body = request.body();
        let header: &[u8; IFINFOMSG] = body.first_chunk().ok_or(Errno::EINVAL)?;
        let index = i32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        // IFLA_IFNAME
        let name = request.attribute(IFINFOMSG, 3);
        let found = match (index, name) {
            (1.., _) => IfIndex::new(index as u32).and_then(|i| self.stack.interface(i)),
            (_, Some(name)) => {
                let name = name.split(|b| *b == 0).next().unwrap_or(name);
                self.stack
                    .interfaces()
                    .find(|i| i.name().as_bytes() == name)
            }
            _ => return Err(Errno::EINVAL),
        };
        let index = found.ok_or(Errno::ENODEV)?.index();
        Ok(self.links(request, port, Some(index)))
    }

    fn addresses(&self, request: &Request<'_>, port: u32, family: u8) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for wanted in [AF_INET as u8, AF_INET6 as u8] {
            if family != 0 && family != wanted {
                continue;
            }
            for interface in self.stack.interfaces() {
                let own = interface.addresses().iter();
                for address in own.filter(|a| family_of(a.addr) == wanted) {
                    // RT_SCOPE_HOST for ::1 and what is on lo, RT_SCOPE_LINK for fe80::.
                    let scope = match address.addr {
                        IpAddr::V4(a) if a.is_loopback() => HOST,
                        IpAddr::V6(a) if a.is_loopback() => HOST,
                        IpAddr::V6(a) if a.is_unicast_link_local() => LINK,
                        _ => UNIVERSE,
                    };
                    // IFA_F_PERMANENT
                    let mut head = [wanted, address.prefix_len, 0x80, scope, 0, 0, 0, 0];
                    head[4..].copy_from_slice(&interface.index().get().to_ne_bytes());
                    let mut m = Message::part(RTM_NEWADDR, request, port, &head);
                    let data = octets(address.addr);
                    // IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_LABEL
                    m.put(1, &data);
                    if wanted == AF_INET as u8 {
                        m.put(2, &data);
                        if let (Some(all), false) = (address.broadcast(), interface.is_loopback()) {
                            m.put(4, &all.octets());
                        }
                        m.put_text(3, interface.name());
                    }
                    // IFA_FLAGS, and IFA_CACHEINFO: valid for ever.
                    m.put_u32(8, 0x80);
                    let mut cache = [0xff; 16];
                    cache[8..].fill(0);
                    m.put(6, &cache);
                    out.push(m.finish());
                }
            }
        }
        out
    }

    /// The routes in the order of Linux's dumps: table by table, IPv4 first.
    fn route_list(&self, request: &Request<'_>, port: u32, family: u8) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let wants = |addr: IpAddr| family == 0 || family == family_of(addr);
        for v4 in [true, false] {
            for added in self.stack.routes() {
                if added.prefix.is_ipv4() == v4 && wants(added.prefix) {
                    out.push(configured(added, request, port));
                }
            }
            for interface in self.stack.interfaces() {
                for own in interface.addresses() {
                    if own.addr.is_ipv4() != v4 || !wants(own.addr) {
                        continue;
                    }
                    let index = interface.index();
                    let mut emit = |row: Row| out.push(row.message(request, port, index));
                    let net = network(own.addr, own.prefix_len);
                    let mut local = Row::new(own.addr, bits(own.addr), LOCAL, HOST, 2);
                    if v4 {
                        local.source = Some(own.addr);
                    } else {
                        local.scope = UNIVERSE;
                        local.metric = Some(0);
                    }
                    if interface.is_loopback() {
                        if v4 {
                            let whole = Row::new(net, own.prefix_len, LOCAL, HOST, 2);
                            emit(whole.from(own.addr));
                        }
                    } else {
                        let mut connected = Row::new(net, own.prefix_len, MAIN, LINK, 1);
                        if v4 {
                            connected.source = Some(own.addr);
                        } else {
                            connected.scope = UNIVERSE;
                            connected.metric = Some(256);
                        }
                        emit(connected);
                    }
                    emit(local);
                    if let Some(all) = own.broadcast() {
                        let broadcast = Row::new(all.into(), 32, LOCAL, LINK, 3);
                        emit(broadcast.from(own.addr));
                    }
                }
            }
        }
        out
    }

    /// inet_rtm_getroute(): the way to one address.
    fn one_route(
        &self,
        request: &Request<'_>,
        port: u32,
        family: u8,
    ) -> Result<Vec<Vec<u8>>, Errno> {
        if request.body().len() < RTMSG {
            return Err(Errno::EINVAL);
        }
        let dst: IpAddr = match (i32::from(family), request.attribute(RTMSG, 1)) {
            (AF_INET, Some(a)) => <[u8; 4]>::try_from(a).map_err(|_| Errno::EINVAL)?.into(),
            (AF_INET6, Some(a)) => <[u8; 16]>::try_from(a).map_err(|_| Errno::EINVAL)?.into(),
            (AF_INET, None) => Ipv4Addr::UNSPECIFIED.into(),
            (AF_INET6, None) => Ipv6Addr::UNSPECIFIED.into(),
            _ => return Err(Errno::EOPNOTSUPP),
        };
        let found = self
            .stack
            .route(dst, None, None)
            .map_err(crate::error::route)?;
        let local = found.interface == IfIndex::LO;
        let kind = if local { 2 } else { 1 };
        let mut row = Row::new(
            dst,
            bits(dst),
            if local { LOCAL } else { MAIN },
            UNIVERSE,
            kind,
        );
        row.protocol = 0;
        row.source = Some(found.source);
        row.gateway = (found.next_hop != dst && !local).then_some(found.next_hop);
        Ok(alloc::vec![row.message(request, port, found.interface)])
    }
}

fn link(interface: &Interface, request: &Request<'_>, port: u32) -> Vec<u8> {
    let lo = interface.is_loopback();
    // ARPHRD_LOOPBACK, ARPHRD_ETHER
    let (kind, flags): (u16, u32) = if lo {
        (772, FLAGS_LO)
    } else {
        (1, FLAGS_ETHER)
    };
    let mut head = [0; IFINFOMSG];
    head[2..4].copy_from_slice(&kind.to_ne_bytes());
    head[4..8].copy_from_slice(&interface.index().get().to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    let mut m = Message::part(RTM_NEWLINK, request, port, &head);
    m.put_text(3, interface.name());
    // IFLA_TXQLEN, IFLA_OPERSTATE (unknown on lo, else up), IFLA_LINKMODE, IFLA_MTU, IFLA_GROUP, IFLA_PROMISCUITY,
    // IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_CARRIER, IFLA_QDISC, IFLA_ADDRESS, IFLA_BROADCAST
    m.put_u32(13, 1000);
    m.put(16, &[if lo { 0 } else { 6 }]);
    m.put(17, &[0]);
    m.put_u32(4, interface.mtu());
    m.put_u32(27, 0);
    m.put_u32(30, 0);
    m.put_u32(31, 1);
    m.put_u32(32, 1);
    m.put(33, &[1]);
    m.put_text(6, "noqueue");
    m.put(1, &[0; 6]);
    m.put(2, &[if lo { 0 } else { 0xff }; 6]);
    // IFLA_STATS64 and IFLA_STATS: packets and bytes in and out, then what does not happen here.
    let t = interface.traffic();
    let counts = [t.received.0, t.sent.0, t.received.1, t.sent.1];
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    for i in 0..25 {
        let n = match counts.get(i) {
            Some(count) => *count,
            None if i == 8 && !lo => t.multicast,
            None => 0,
        };
        wide.extend_from_slice(&n.to_ne_bytes());
        if i < 24 {
            narrow.extend_from_slice(&(n as u32).to_ne_bytes());
        }
    }
    m.put(23, &wide);
    m.put(7, &narrow);
    m.finish()
}

/// A route as a message has it.
struct Row {
    to: IpAddr,
    len: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    /// RTN_UNICAST 1, RTN_LOCAL 2, RTN_BROADCAST 3.
    kind: u8,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
    metric: Option<u32>,
}

impl Row {
    fn new(to: IpAddr, len: u8, table: u8, scope: u8, kind: u8) -> Row {
        Row {
            to,
            len,
            table,
            protocol: BY_KERNEL,
            scope,
            kind,
            source: None,
            gateway: None,
            metric: None,
        }
    }

    fn from(self, source: IpAddr) -> Row {
        Row {
            source: Some(source),
            ..self
        }
    }

    fn message(&self, request: &Request<'_>, port: u32, interface: IfIndex) -> Vec<u8> {
        let family = family_of(self.to);
        let mut head = [0; RTMSG];
        head[..2].copy_from_slice(&[family, self.len]);
        head[4..8].copy_from_slice(&[self.table, self.protocol, self.scope, self.kind]);
        let mut m = Message::part(RTM_NEWROUTE, request, port, &head);
        // RTA_TABLE, RTA_DST, RTA_PREFSRC, RTA_GATEWAY, RTA_PRIORITY, RTA_OIF
        m.put_u32(15, self.table.into());
        if self.len > 0 {
            m.put(1, &octets(self.to));
        }
        if let Some(source) = self.source {
            m.put(7, &octets(source));
        }
        if let Some(gateway) = self.gateway {
            m.put(5, &octets(gateway));
        }
        if let Some(metric) = self.metric {
            m.put_u32(6, metric);
        }
        m.put_u32(4, interface.get());
        m.finish()
    }
}

fn configured(route: &RouteConfig, request: &Request<'_>, port: u32) -> Vec<u8> {
    let net = network(route.prefix, route.prefix_len);
    let scope = if route.gateway.is_some() || net.is_ipv6() {
        UNIVERSE
    } else {
        LINK
    };
    let mut row = Row::new(net, route.prefix_len, MAIN, scope, 1);
    row.protocol = BY_BOOT;
    row.source = route.source;
    row.gateway = route.gateway;
    row.metric = match route.metric {
        // IP6_RT_PRIO_USER
        0 if net.is_ipv6() => Some(1024),
        0 => None,
        metric => Some(metric),
    };
    row.message(request, port, route.interface)
}

/// The rules every host has: the tables local, main and default in IPv4, local and main in IPv6.
fn rules(request: &Request<'_>, port: u32, family: u8) -> Vec<Vec<u8>> {
    let all = [
        (AF_INET, 255, None),
        (AF_INET, 254, Some(32_766)),
        (AF_INET, 253, Some(32_767)),
        (AF_INET6, 255, None),
        (AF_INET6, 254, Some(32_766)),
    ];
    let wanted = all
        .iter()
        .filter(|(of, ..)| family == 0 || i32::from(family) == *of);
    let message = |&(of, table, priority): &(i32, u8, Option<u32>)| {
        // FR_ACT_TO_TBL
        let head = [of as u8, 0, 0, 0, table, 0, 0, 1, 0, 0, 0, 0];
        let mut m = Message::part(RTM_NEWRULE, request, port, &head);
        // FRA_TABLE, FRA_SUPPRESS_PREFIXLEN, FRA_PROTOCOL (the kernel), FRA_PRIORITY
        m.put_u32(15, table.into());
        m.put_u32(14, u32::MAX);
        m.put(21, &[BY_KERNEL]);
        if let Some(priority) = priority {
            m.put_u32(6, priority);
        }
        m.finish()
    };
    wanted.map(message).collect()
}
