use super::*;
use crate::hash::Random;
use crate::iface::InterfaceConfig;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const ETH0: IfIndex = IfIndex::new(2).unwrap();
const ETH1: IfIndex = IfIndex::new(3).unwrap();

fn host() -> (Interfaces, Routes) {
    let mut interfaces = Interfaces::new(Random::new([1; 32]).hash_state(), [false; 2]);
    for (name, addresses) in [
        ("eth0", [("10.0.0.1", 24), ("fd00::1", 64), ("fe80::1", 64)]),
        (
            "eth1",
            [("10.0.0.65", 26), ("fd00:1::1", 64), ("fe80::2", 64)],
        ),
    ] {
        let index = interfaces.add(InterfaceConfig {
            name: name.into(),
            mtu: 1500,
        });
        for (addr, len) in addresses {
            interfaces.add_address(index, ip(addr), len);
        }
    }
    (interfaces, Routes::default())
}

fn default_route(via: &str, interface: IfIndex, metric: u32) -> RouteConfig {
    RouteConfig {
        prefix: ip(if via.contains(':') { "::" } else { "0.0.0.0" }),
        prefix_len: 0,
        gateway: Some(ip(via)),
        interface,
        source: None,
        metric,
        protocol: 3,
        scope: 0,
        table: TABLE_MAIN,
        leads: Leads::On,
        share: None,
    }
}

fn find(
    host: &(Interfaces, Routes),
    dst: &str,
    src: Option<&str>,
    device: Option<IfIndex>,
) -> Result<RouteInfo, RouteError> {
    let flow = Flow {
        src: src.map(ip),
        device,
        ..Flow::to(ip(dst))
    };
    lookup(&host.0, &host.1, &flow)
}

/// destination -> (interface, source, next hop)
#[track_caller]
fn check(host: &(Interfaces, Routes), dst: &str, expected: Option<(IfIndex, &str, &str)>) {
    let found = lookup(&host.0, &host.1, &Flow::to(ip(dst)))
        .ok()
        .map(|route| (route.interface, route.source, route.next_hop));
    assert_eq!(
        found,
        expected.map(|(i, source, hop)| (i, ip(source), ip(hop))),
        "{dst}"
    );
}

#[test]
fn own_addresses_lead_to_lo() {
    let host = host();
    check(
        &host,
        "127.0.0.1",
        Some((IfIndex::LO, "127.0.0.1", "127.0.0.1")),
    );
    // As Linux: the local route of 127.0.0.0/8 prefers 127.0.0.1.
    check(
        &host,
        "127.0.0.5",
        Some((IfIndex::LO, "127.0.0.1", "127.0.0.5")),
    );
    check(
        &host,
        "10.0.0.1",
        Some((IfIndex::LO, "10.0.0.1", "10.0.0.1")),
    );
    check(&host, "::1", Some((IfIndex::LO, "::1", "::1")));
    check(&host, "fd00::1", Some((IfIndex::LO, "fd00::1", "fd00::1")));
}

#[test]
fn the_unspecified_destination_is_this_host() {
    let host = host();
    let route =
        |dst, src: Option<&str>| find(&host, dst, src, None).map(|r| (r.destination, r.source));
    assert_eq!(
        route("0.0.0.0", None),
        Ok((ip("127.0.0.1"), ip("127.0.0.1")))
    );
    assert_eq!(
        route("0.0.0.0", Some("127.0.0.9")),
        Ok((ip("127.0.0.9"), ip("127.0.0.9")))
    );
    assert_eq!(route("::", None), Ok((ip("::1"), ip("::1"))));
}

#[test]
fn the_longest_prefix_wins() {
    let mut host = host();
    check(&host, "10.0.0.9", Some((ETH0, "10.0.0.1", "10.0.0.9")));
    check(&host, "10.0.0.70", Some((ETH1, "10.0.0.65", "10.0.0.70")));
    check(&host, "8.8.8.8", None);
    host.1.add(default_route("10.0.0.254", ETH0, 100));
    check(&host, "8.8.8.8", Some((ETH0, "10.0.0.1", "10.0.0.254")));
    host.1.add(default_route("10.0.0.126", ETH1, 10));
    check(&host, "8.8.8.8", Some((ETH1, "10.0.0.65", "10.0.0.126")));
    host.1.add(RouteConfig {
        prefix: ip("8.8.0.0"),
        prefix_len: 16,
        source: Some(ip("10.0.0.1")),
        ..default_route("10.0.0.126", ETH1, 1000)
    });
    check(&host, "8.8.8.8", Some((ETH1, "10.0.0.1", "10.0.0.126")));
    // An added route beats a connected subnet only by length.
    host.1.add(RouteConfig {
        prefix: ip("10.0.0.8"),
        prefix_len: 32,
        ..default_route("10.0.0.126", ETH1, 0)
    });
    check(&host, "10.0.0.8", Some((ETH1, "10.0.0.65", "10.0.0.126")));
    check(&host, "10.0.0.9", Some((ETH0, "10.0.0.1", "10.0.0.9")));
}

#[test]
fn ipv6_sources_follow_scope_and_prefix() {
    let mut host = host();
    check(&host, "fd00::9", Some((ETH0, "fd00::1", "fd00::9")));
    check(&host, "fd00:1::9", Some((ETH1, "fd00:1::1", "fd00:1::9")));
    check(&host, "fe80::9", Some((ETH0, "fe80::1", "fe80::9")));
    check(&host, "2001:db8::1", None);
    host.1.add(default_route("fe80::99", ETH1, 1));
    check(&host, "2001:db8::1", Some((ETH1, "fd00:1::1", "fe80::99")));
    check(&host, "ff02::1", Some((ETH0, "fe80::1", "ff02::1")));
}

/// RFC 6724, 5, rule 6: a unique local address is not for speaking with the world, however many bits agree.
#[test]
fn ipv6_sources_follow_labels() {
    let mut host = host();
    host.0.add_address(ETH0, ip("2001:db8::1"), 64);
    host.1.add(default_route("fe80::99", ETH0, 0));
    check(&host, "e000::1", Some((ETH0, "2001:db8::1", "fe80::99")));
    check(&host, "fdff::1", Some((ETH0, "fd00::1", "fe80::99")));
    // On the link only the link's own address will do.
    let found = find(&host, "fe80::7", None, Some(ETH1)).unwrap();
    assert_eq!(found.source, ip("fe80::2"));
}

#[test]
fn broadcasts_and_groups() {
    let mut host = host();
    let kind = |host: &(Interfaces, Routes), dst| {
        lookup(&host.0, &host.1, &Flow::to(ip(dst))).map(|r| (r.interface, r.kind))
    };
    assert_eq!(
        kind(&host, "127.255.255.255"),
        Ok((IfIndex::LO, RouteKind::Broadcast))
    );
    assert_eq!(kind(&host, "10.0.0.255"), Ok((ETH0, RouteKind::Broadcast)));
    assert_eq!(kind(&host, "255.255.255.255"), Err(RouteError::Unreachable));
    assert_eq!(kind(&host, "224.1.2.3"), Err(RouteError::Unreachable));
    host.1.add(default_route("10.0.0.254", ETH0, 0));
    assert_eq!(
        kind(&host, "255.255.255.255"),
        Ok((ETH0, RouteKind::Broadcast))
    );
    assert_eq!(kind(&host, "224.1.2.3"), Ok((ETH0, RouteKind::Multicast)));
    let from = find(&host, "224.1.2.3", Some("10.0.0.65"), None);
    assert_eq!(from.map(|r| r.interface), Ok(ETH1));
}

#[test]
fn a_device_narrows_the_choice() {
    let host = host();
    let by = |dst, device| find(&host, dst, None, Some(device)).map(|r| (r.interface, r.source));
    assert_eq!(by("10.0.0.70", ETH0), Ok((ETH0, ip("10.0.0.1"))));
    // As Linux: with a device, everything is on its link.
    assert_eq!(by("8.8.8.8", ETH1), Ok((ETH1, ip("10.0.0.65"))));
    assert_eq!(
        by("127.0.0.1", IfIndex::LO),
        Ok((IfIndex::LO, ip("127.0.0.1")))
    );
}

#[test]
fn families_do_not_mix() {
    let host = host();
    let mixed = find(&host, "127.0.0.1", Some("::1"), None);
    assert_eq!(mixed, Err(RouteError::WrongFamily));
}
