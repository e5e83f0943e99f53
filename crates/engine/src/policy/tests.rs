use super::*;
use crate::hash::Random;
use crate::iface::{InterfaceConfig, Interfaces};
use crate::route::{Leads, RouteConfig, Routes, Share, lookup, lookup_in};

const ETH0: IfIndex = IfIndex::new(2).unwrap();
const ETH1: IfIndex = IfIndex::new(3).unwrap();

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host with two ways out: 10.0.0.0/24 on eth0, with the default route, and 10.0.1.0/24 on eth1, with that of table 100.
fn host() -> (Interfaces, Routes) {
    let mut interfaces = Interfaces::new(Random::new([1; 32]).hash_state(), [false; 2]);
    let mut routes = Routes::default();
    let ends = [
        ("eth0", "10.0.0.1", "10.0.0.254"),
        ("eth1", "10.0.1.1", "10.0.1.254"),
    ];
    for ((name, own, via), table) in ends.into_iter().zip([TABLE_MAIN, 100]) {
        let index = interfaces.add(InterfaceConfig {
            name: name.into(),
            mtu: 1500,
        });
        interfaces.add_address(index, ip(own), 24);
        routes.add(route("0.0.0.0", 0, table, Leads::On, Some((index, via))));
    }
    (interfaces, routes)
}

fn route(
    to: &str,
    prefix_len: u8,
    table: u32,
    leads: Leads,
    via: Option<(IfIndex, &str)>,
) -> RouteConfig {
    RouteConfig {
        prefix: ip(to),
        prefix_len,
        gateway: via.map(|(_, via)| ip(via)),
        interface: via.map_or(IfIndex::LO, |(interface, _)| interface),
        source: None,
        metric: 0,
        protocol: 3,
        scope: 0,
        table,
        leads,
        share: None,
    }
}

/// Next hop and table.
fn way(host: &(Interfaces, Routes), flow: &Flow) -> Result<(IpAddr, u32), RouteError> {
    lookup_in(&host.0, &host.1, flow).map(|(route, table)| (route.next_hop, table))
}

const BASE: Rule = Rule::of_table(false, 1000, 100);

#[test]
fn who_is_meant_goes_the_other_way() {
    let there = Flow::to(ip("192.0.2.1"));
    let marked = Flow { mark: 7, ..there };
    let from = |src: &str| Flow {
        src: Some(ip(src)),
        ..there
    };
    let bound = Flow {
        device: Some(ETH1),
        ..there
    };
    let came = |input| Flow {
        input: Some(input),
        ..from("10.0.0.9")
    };
    let to_port = |protocol, port| Flow {
        protocol,
        ports: (0, port),
        ..there
    };
    let (mark, mask) = (0x17, 0xf);
    let prefix = |net: &str, len| Some((ip(net), len));
    for (rule, about, not_about) in [
        (BASE, there, None),
        (Rule { mark, mask, ..BASE }, marked, Some(there)),
        (
            Rule {
                src: prefix("10.0.1.0", 24),
                ..BASE
            },
            from("10.0.1.1"),
            // Who has not chosen a source is not from there.
            Some(there),
        ),
        (
            Rule {
                dst: prefix("192.0.2.0", 24),
                ..BASE
            },
            there,
            Some(Flow::to(ip("192.0.3.1"))),
        ),
        (
            Rule {
                input: Some(ETH0),
                ..BASE
            },
            came(ETH0),
            Some(came(ETH1)),
        ),
        (
            Rule {
                input: Some(IfIndex::LO),
                ..BASE
            },
            there,
            Some(came(ETH0)),
        ),
        (
            Rule {
                output: Some(ETH1),
                ..BASE
            },
            bound,
            Some(there),
        ),
        (
            Rule {
                ip_protocol: Some(17),
                dst_ports: Some(Ports::Range(5000, 6000)),
                ..BASE
            },
            to_port(17, 6000),
            Some(to_port(17, 6001)),
        ),
        (
            Rule {
                ip_protocol: Some(17),
                ..BASE
            },
            to_port(17, 1),
            Some(to_port(6, 1)),
        ),
        (
            Rule {
                src_ports: Some(Ports::Masked(0x50, 0xf0)),
                ..BASE
            },
            Flow {
                ports: (0x1253, 0),
                ..there
            },
            Some(to_port(17, 0x53)),
        ),
        (
            Rule {
                // What was once the type of service leaves out the upper three bits.
                service: Some(Service::Legacy(0x10)),
                ..BASE
            },
            Flow { tos: 0x32, ..there },
            Some(Flow { tos: 0x14, ..there }),
        ),
        (
            Rule {
                service: Some(Service::Full(0x10, 0xfc)),
                ..BASE
            },
            Flow { tos: 0x12, ..there },
            Some(Flow { tos: 0x30, ..there }),
        ),
        (
            Rule {
                users: Some((1000, 1999)),
                ..BASE
            },
            Flow { uid: 1999, ..there },
            Some(there),
        ),
        (
            Rule {
                mark,
                mask,
                invert: true,
                ..BASE
            },
            there,
            Some(marked),
        ),
    ] {
        let mut host = host();
        host.1.add_rule(rule);
        assert_eq!(way(&host, &about), Ok((ip("10.0.1.254"), 100)), "{rule:?}");
        if let Some(other) = not_about {
            let main = Ok((ip("10.0.0.254"), TABLE_MAIN));
            assert_eq!(way(&host, &other), main, "{rule:?}");
        }
        host.1.remove_rule(&rule);
        let left = [0, 0, 32_766, 32_766, 32_767];
        assert!(host.1.policy().iter().map(|r| r.priority).eq(left));
    }
}

#[test]
fn own_addresses_come_before_any_rule() {
    let mut host = host();
    host.1.add_rule(Rule {
        priority: 0,
        action: RuleAction::Prohibit,
        ..BASE
    });
    let own = way(&host, &Flow::to(ip("10.0.1.1")));
    assert_eq!(own, Ok((ip("10.0.1.1"), TABLE_LOCAL)));
    let other = way(&host, &Flow::to(ip("10.0.1.2")));
    assert_eq!(other, Err(RouteError::Prohibited));
}

#[test]
fn a_table_without_a_route_passes_on() {
    let mut host = host();
    for (priority, action) in [
        (10, RuleAction::Nop),
        (20, RuleAction::Table(7)),
        (30, RuleAction::Unreachable),
    ] {
        host.1.add_rule(Rule {
            priority,
            action,
            ..BASE
        });
    }
    let flow = Flow::to(ip("192.0.2.1"));
    assert_eq!(way(&host, &flow), Err(RouteError::Unreachable));
    // A throw ends the table, too.
    host.1.add(route("192.0.2.0", 24, 7, Leads::Back, None));
    host.1.add(route("0.0.0.0", 0, 7, Leads::Nowhere, None));
    assert_eq!(way(&host, &flow), Err(RouteError::Unreachable));
    assert_eq!(
        way(&host, &Flow::to(ip("192.0.3.1"))),
        Err(RouteError::Blackhole)
    );
}

#[test]
fn routes_that_lead_nowhere() {
    let mut host = host();
    for (net, leads, error) in [
        ("192.0.2.0", Leads::Nowhere, RouteError::Blackhole),
        ("192.0.3.0", Leads::Unreachable, RouteError::HostUnreachable),
        ("192.0.4.0", Leads::Prohibited, RouteError::Prohibited),
    ] {
        host.1.add(route(net, 24, TABLE_MAIN, leads, None));
        assert_eq!(way(&host, &Flow::to(ip(net))), Err(error));
    }
    // The longer prefix wins.
    let via = Some((ETH1, "10.0.1.7"));
    host.1
        .add(route("192.0.2.8", 32, TABLE_MAIN, Leads::On, via));
    let longer = way(&host, &Flow::to(ip("192.0.2.8")));
    assert_eq!(longer, Ok((ip("10.0.1.7"), TABLE_MAIN)));
}

#[test]
fn flows_are_shared_out_by_weight() {
    let mut host = host();
    for (weight, via) in [(1, (ETH0, "10.0.0.7")), (3, (ETH1, "10.0.1.7"))] {
        host.1.add(RouteConfig {
            share: Some(Share { group: 1, weight }),
            ..route("192.0.0.0", 16, TABLE_MAIN, Leads::On, Some(via))
        });
    }
    let mut first = 0;
    for n in 0..1000u32 {
        let dst = IpAddr::from((0xc000_0000 + n * 7).to_be_bytes());
        let found = way(&host, &Flow::to(dst)).unwrap();
        // Always the same for the same.
        assert_eq!(way(&host, &Flow::to(dst)), Ok(found));
        first += u32::from(found.0 == ip("10.0.0.7"));
    }
    assert!(
        (200..300).contains(&first),
        "{first} of 1000, not a quarter"
    );
    // Who is bound to an interface has the hops on it alone.
    let bound = Flow {
        device: Some(ETH0),
        ..Flow::to(ip("192.0.1.1"))
    };
    assert_eq!(way(&host, &bound), Ok((ip("10.0.0.7"), TABLE_MAIN)));
}

/// The rules of wg-quick(8): all that is not marked goes the other way, unless the table main has more than a default route.
#[test]
fn short_prefixes_are_suppressed() {
    let mut host = host();
    host.1.add_rule(Rule {
        priority: 10,
        action: RuleAction::Table(TABLE_MAIN),
        suppress: Some(0),
        ..BASE
    });
    host.1.add_rule(Rule {
        priority: 20,
        mark: 51_820,
        mask: u32::MAX,
        invert: true,
        ..BASE
    });
    let far = Flow::to(ip("192.0.2.1"));
    assert_eq!(way(&host, &far), Ok((ip("10.0.1.254"), 100)));
    let marked = Flow {
        mark: 51_820,
        ..far
    };
    assert_eq!(way(&host, &marked), Ok((ip("10.0.0.254"), TABLE_MAIN)));
    let near = way(&host, &Flow::to(ip("10.0.0.9")));
    assert_eq!(near, Ok((ip("10.0.0.9"), TABLE_MAIN)));
}

#[test]
fn rules_of_one_version_leave_the_other_alone() {
    let mut host = host();
    host.1.add_rule(Rule { v6: true, ..BASE });
    let route = lookup(&host.0, &host.1, &Flow::to(ip("192.0.2.1")));
    assert_eq!(route.map(|r| r.next_hop), Ok(ip("10.0.0.254")));
}
