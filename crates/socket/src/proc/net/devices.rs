//! /proc/net/dev, if_inet6, route, ipv6_route, igmp, igmp6, mcfilter and mcfilter6.

use super::sockets::{UDP_WIDTH, end_line};
use crate::host::Host;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard_engine::{Interface, Leads, NeighState, TABLE_MAIN, solicited_node};
use switchboard_wire::Mac;

const RTF_UP: u32 = 1;
const RTF_GATEWAY: u32 = 2;
const RTF_HOST: u32 = 4;
/// RTF_LOCAL and RTF_NONEXTHOP, of the host's own IPv6 addresses.
const RTF_LOCAL: u32 = 0x8020_0000;
const RTF_REJECT: u32 = 0x200;
const RTF_NONEXTHOP: u32 = 0x0020_0000;
/// IP6_RT_PRIO_ADDRCONF, the metric of a connected subnet, and IP6_RT_PRIO_USER.
const PRIO_ADDRCONF: u32 = 256;
const PRIO_USER: u32 = 1024;

pub(super) fn dev(host: &Host, out: &mut String) {
    out.push_str("Inter-|   Receive                                                |  Transmit\n");
    out.push_str(" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n");
    for interface in host.stack.interfaces() {
        let t = interface.traffic();
        let _ = writeln!(
            out,
            "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} {:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}",
            interface.name(),
            t.received.1,
            t.received.0,
            0,
            0,
            0,
            0,
            0,
            if interface.is_loopback() {
                0
            } else {
                t.multicast
            },
            t.sent.1,
            t.sent.0,
            0,
            0,
            0,
            0,
            0,
            0,
        );
    }
}

/// softnet_seq_show(): the stack is one processor's, drops nothing before it looks, and stops for no budget.
pub(super) fn softnet_stat(host: &Host, out: &mut String) {
    let received = host.stack.interfaces().map(|i| i.traffic().received.0);
    let _ = write!(out, "{:08x}", received.sum::<u64>() as u32);
    // Dropped, squeezed, six that are not used; collisions, received_rps, flow limits, backlog, processor, queues.
    (0..14).for_each(|_| out.push_str(" 00000000"));
    out.push('\n');
}

/// arp_format_neigh_entry()
pub(super) fn arp(host: &Host, out: &mut String) {
    /// ATF_COM, ATF_PERM
    const COMPLETE: u32 = 2;
    const PERMANENT: u32 = 4;
    out.push_str(
        "IP address       HW type     Flags       HW address            Mask     Device\n",
    );
    for found in host.stack.neighbours() {
        let IpAddr::V4(addr) = found.addr else {
            continue;
        };
        let flags = match found.state {
            NeighState::NoArp => continue,
            NeighState::Permanent => COMPLETE | PERMANENT,
            state if state.is_valid() => COMPLETE,
            _ => 0,
        };
        let interface = host.stack.interface(found.interface);
        let _ = writeln!(
            out,
            "{:<16} {:<11} {:<11} {}     *        {}",
            alloc::format!("{addr}"),
            "0x1",
            alloc::format!("0x{flags:x}"),
            found.mac.unwrap_or_default(),
            interface.map_or("", Interface::name),
        );
    }
}

/// The groups of an interface, whether sockets have joined them or every host is in them.
fn groups_of(host: &Host, interface: &Interface) -> Vec<(IpAddr, usize)> {
    let mut groups = host.stack.groups_on(interface.index());
    if interface.is_ethernet() && interface.is_up() {
        // Those that may have one of the interface's addresses.
        let mut nodes: Vec<(IpAddr, usize)> = Vec::new();
        for address in interface.addresses() {
            let IpAddr::V6(addr) = address.addr else {
                continue;
            };
            let node = IpAddr::from(solicited_node(addr));
            match nodes.iter_mut().find(|(group, _)| *group == node) {
                Some((_, users)) => *users += 1,
                None => nodes.push((node, 1)),
            }
        }
        groups.extend(nodes);
    }
    groups
}

/// dev_mc_seq_show(): the groups' hardware addresses, and how many groups have each.
pub(super) fn dev_mcast(host: &Host, out: &mut String) {
    for interface in host
        .stack
        .interfaces()
        .filter(|i| i.is_ethernet() && i.is_up())
    {
        let mut groups: Vec<IpAddr> = Vec::new();
        if interface.addresses().iter().any(|a| a.addr.is_ipv6()) {
            groups.push(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into());
        }
        groups.push(Ipv4Addr::new(224, 0, 0, 1).into());
        groups.extend(
            groups_of(host, interface)
                .into_iter()
                .map(|(group, _)| group),
        );
        let mut macs: Vec<(Mac, usize)> = Vec::new();
        for mac in groups.into_iter().map(Mac::of_group) {
            match macs.iter_mut().find(|(other, _)| *other == mac) {
                Some((_, users)) => *users += 1,
                None => macs.push((mac, 1)),
            }
        }
        for (Mac(mac), users) in macs {
            let _ = write!(
                out,
                "{:<4} {:<15} {users:<5} {:<5} ",
                interface.index().get(),
                interface.name(),
                0
            );
            for byte in mac {
                let _ = write!(out, "{byte:02x}");
            }
            out.push('\n');
        }
    }
}

fn hex(addr: Ipv6Addr) -> String {
    let mut out = String::new();
    for byte in addr.octets() {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// The groups of all nodes: of the link, and of the node itself.
const ALL_NODES: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1),
];

/// The groups of a family that an interface listens to, with how many want each. Without IPv6 it has none of IPv6.
pub(crate) fn listening_groups(
    host: &Host,
    interface: &Interface,
    v6: bool,
) -> Vec<(IpAddr, usize)> {
    if !v6 {
        let joined = host.stack.groups_on(interface.index()).into_iter();
        let all = (Ipv4Addr::new(224, 0, 0, 1).into(), 1);
        return joined
            .filter(|(group, _)| group.is_ipv4())
            .chain([all])
            .collect();
    }
    if !interface.addresses().iter().any(|a| a.addr.is_ipv6()) {
        return Vec::new();
    }
    let joined = groups_of(host, interface).into_iter();
    let all = ALL_NODES.map(|group| (group.into(), 1));
    joined
        .filter(|(group, _)| group.is_ipv6())
        .chain(all)
        .collect()
}

/// The groups that were joined, and those that every interface is in.
pub(super) fn igmp(host: &Host, out: &mut String) {
    out.push_str("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n");
    for interface in host.stack.interfaces() {
        let groups = listening_groups(host, interface, false);
        let _ = writeln!(
            out,
            "{}\t{:<10}: {:5} {:>7}",
            interface.index().get(),
            interface.name(),
            groups.len(),
            "V3"
        );
        // No report is ever due: no timer, and nobody reported last.
        for (group, users) in groups {
            let IpAddr::V4(group) = group else { continue };
            let _ = writeln!(
                out,
                "\t\t\t\t{:08X} {users:5} 0:{:08X}\t\t0",
                raw(group.to_bits()),
                0
            );
        }
    }
}

/// The same for IPv6, where an interface without it has none.
pub(super) fn igmp6(host: &Host, out: &mut String) {
    const MAF_LOADED: u32 = 4;
    const MAF_NOREPORT: u32 = 8;
    for interface in host.stack.interfaces() {
        for (group, users) in listening_groups(host, interface, true) {
            let IpAddr::V6(group) = group else { continue };
            // Groups of the node are no one else's business, nor is all-nodes (RFC 3810, 6).
            let flags = match group.octets()[1] & 15 {
                0 | 1 => MAF_NOREPORT,
                _ if group == ALL_NODES[0] => MAF_NOREPORT | MAF_LOADED,
                _ => MAF_LOADED,
            };
            let _ = writeln!(
                out,
                "{:<4} {:<15} {} {users:5} {flags:08X} 0",
                interface.index().get(),
                interface.name(),
                hex(group)
            );
        }
    }
}

/// igmp_mcf_seq_show(), igmp6_mcf_seq_show(): the sources that members of groups list.
pub(super) fn mcfilter(host: &Host, v6: bool, out: &mut String) {
    out.push_str(match v6 {
        false => "Idx Device        MCA        SRC    INC    EXC\n",
        true => {
            "Idx Device                Multicast Address                   Source Address    INC    EXC\n"
        }
    });
    let shown = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => format!("{:#010x}", addr.to_bits()),
        IpAddr::V6(addr) => hex(addr),
    };
    for interface in host.stack.interfaces() {
        let (index, name) = (interface.index(), interface.name());
        for (group, _) in host.stack.groups_on(index) {
            if group.is_ipv6() != v6 {
                continue;
            }
            for (source, [only, not]) in host.stack.group_sources(index, group) {
                let (group, source) = (shown(group), shown(source));
                let index = index.get();
                let _ = writeln!(
                    out,
                    "{index:3} {name:>6.6} {group} {source} {only:6} {not:6}"
                );
            }
        }
    }
}

pub(super) fn if_inet6(host: &Host, out: &mut String) {
    for interface in host.stack.interfaces() {
        for address in interface.addresses() {
            let IpAddr::V6(addr) = address.addr else {
                continue;
            };
            // IPV6_ADDR_LOOPBACK, IPV6_ADDR_LINKLOCAL, global.
            let scope = if addr.is_loopback() {
                0x10
            } else if addr.is_unicast_link_local() {
                0x20
            } else {
                0
            };
            let _ = writeln!(
                out,
                "{} {:02x} {:02x} {scope:02x} {:02x} {:>8}",
                hex(addr),
                interface.index().get(),
                address.prefix_len,
                // IFA_F_NOPREFIXROUTE does not fit.
                host.address_flags(interface, address) as u8,
                interface.name()
            );
        }
    }
}

fn mask(prefix_len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix_len))
        .unwrap_or(0)
}

/// An IPv4 address as a number in memory order.
fn raw(bits: u32) -> u32 {
    u32::from_ne_bytes(bits.to_be_bytes())
}

pub(super) fn route(host: &Host, out: &mut String) {
    let start = out.len();
    out.push_str(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    );
    end_line(out, start, UDP_WIDTH);
    let mut line =
        |name: &str, to: Ipv4Addr, len: u8, gateway: Option<Ipv4Addr>, metric: u32, leads| {
            let start = out.len();
            let mut flags = RTF_UP;
            if gateway.is_some() {
                flags |= RTF_GATEWAY;
            }
            // type2flags[]
            if matches!(leads, Leads::Unreachable | Leads::Prohibited) {
                flags |= RTF_REJECT;
            }
            if len == 32 {
                flags |= RTF_HOST;
            }
            let gateway = gateway.map_or(0, Ipv4Addr::to_bits);
            let _ = write!(
                out,
                "{name}\t{:08X}\t{:08X}\t{flags:04X}\t0\t0\t{metric}\t{:08X}\t0\t0\t0",
                raw(to.to_bits() & mask(len)),
                raw(gateway),
                raw(mask(len)),
            );
            end_line(out, start, UDP_WIDTH);
        };
    let name = |index| host.stack.interface(index).map_or("*", Interface::name);
    // The main table: neither the host's own addresses nor those of lo stand in it.
    let mut rows = alloc::vec::Vec::new();
    for hops in host.added_routes() {
        // Of several the first is shown.
        let route = &hops[0];
        if route.table != TABLE_MAIN {
            continue;
        }
        if let IpAddr::V4(to) = route.prefix {
            let gateway = match route.gateway {
                Some(IpAddr::V4(gateway)) => Some(gateway),
                _ => None,
            };
            let device = match route.leads {
                Leads::On => name(route.interface),
                _ => "*",
            };
            let leads = route.leads;
            rows.push((to, route.prefix_len, route.metric, device, gateway, leads));
        }
    }
    let links = host.stack.interfaces();
    for interface in links.filter(|i| !i.is_loopback() && i.is_up()) {
        for address in interface.addresses() {
            if let (IpAddr::V4(net), None) = (address.peer, interface.primary(address)) {
                let name = interface.name();
                rows.push((net, address.prefix_len, 0, name, None, Leads::On));
            }
        }
    }
    // In the order in which the tree is walked.
    rows.sort_by_key(|(to, len, metric, ..)| {
        let net = to.to_bits() & mask(*len);
        (net, core::cmp::Reverse(*len), *metric)
    });
    for (to, len, metric, name, gateway, leads) in rows {
        line(name, to, len, gateway, metric, leads);
    }
}

pub(super) fn ipv6_route(host: &Host, out: &mut String) {
    let none = Ipv6Addr::UNSPECIFIED;
    let mut line =
        |to: Ipv6Addr, len: u8, gateway: Ipv6Addr, metric: u32, flags: u32, name: &str| {
            let _ = writeln!(
                out,
                "{} {len:02x} {} 00 {} {metric:08x} {:08x} {:08x} {flags:08x} {name:>8}",
                hex(to),
                hex(none),
                hex(gateway),
                1,
                0,
            );
        };
    let prefix = |addr: Ipv6Addr, len: u8| {
        let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
        Ipv6Addr::from_bits(addr.to_bits() & mask)
    };
    let six = |interface: &'_ Interface| {
        let addresses = interface.addresses().iter();
        addresses
            .filter_map(|a| match a.addr {
                IpAddr::V6(addr) => Some((addr, a.prefix_len)),
                IpAddr::V4(_) => None,
            })
            .collect::<alloc::vec::Vec<_>>()
    };
    for interface in host.stack.interfaces().filter(|i| !i.is_loopback()) {
        for (addr, len) in six(interface) {
            line(
                prefix(addr, len),
                len,
                none,
                PRIO_ADDRCONF,
                RTF_UP,
                interface.name(),
            );
        }
    }
    for route in host.stack.routes() {
        if let IpAddr::V6(to) = route.prefix {
            let name = host
                .stack
                .interface(route.interface)
                .map_or("lo", Interface::name);
            let (gateway, flags) = match route.gateway {
                Some(IpAddr::V6(gateway)) => (gateway, RTF_UP | RTF_GATEWAY),
                _ if route.leads != Leads::On => (none, RTF_NONEXTHOP | RTF_REJECT),
                _ => (none, RTF_UP),
            };
            let metric = if route.metric == 0 {
                PRIO_USER
            } else {
                route.metric
            };
            line(to, route.prefix_len, gateway, metric, flags, name);
        }
    }
    // The entry that ends each IPv6 table.
    line(none, 0, none, u32::MAX, RTF_NONEXTHOP | RTF_REJECT, "lo");
    for interface in host.stack.interfaces() {
        for (addr, _) in six(interface) {
            line(addr, 128, none, 0, RTF_LOCAL | RTF_UP, interface.name());
        }
        if !interface.is_loopback() {
            let group = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
            line(group, 8, none, PRIO_ADDRCONF, RTF_UP, interface.name());
        }
    }
    // The entry that ends each IPv6 table.
    line(none, 0, none, u32::MAX, RTF_NONEXTHOP | RTF_REJECT, "lo");
}
