use alloc::string::String;

use bytes::Bytes;
use switchboard_wire::{Body, IpHeader, Mac, Packet, UdpDatagram};

use super::*;
use crate::time::Instant;
use crate::{Config, InterfaceConfig, RouteConfig, RouteError, Share};

/// 10.0.0.1/24 on eth0, 10.0.1.1/24 on eth1.
fn host() -> (Stack, [IfIndex; 2]) {
    let mut stack = Stack::new(Config::default());
    let links = [0_u8, 1].map(|n| {
        let name = alloc::format!("eth{n}");
        let mac = Mac([2, 0, 0, 0, 0, n]);
        let eth = stack.add_ethernet(InterfaceConfig { name, mtu: 1500 }, mac);
        stack.add_address(eth, [10, 0, n, 1].into(), 24);
        eth
    });
    (stack, links)
}

/// Whether a datagram that came in by an interface was taken.
fn comes(stack: &mut Stack, by: IfIndex, src: [u8; 4], dst: [u8; 4]) -> bool {
    let before = stack.counters().ip_in_delivers;
    let datagram = UdpDatagram {
        src_port: 1000,
        dst_port: 9,
        payload: Bytes::from_static(b"x").into(),
        segment: 0,
        unsummed: false,
        lite: None,
    };
    let packet = Packet {
        ip: IpHeader::new(src.into(), dst.into()),
        body: Body::Udp(datagram),
    };
    stack.deliver(Instant::BOOT, by, packet);
    stack.counters().ip_in_delivers > before
}

fn route(prefix: [u8; 4], prefix_len: u8, interface: IfIndex, gateway: [u8; 4]) -> RouteConfig {
    RouteConfig {
        prefix: prefix.into(),
        prefix_len,
        gateway: Some(gateway.into()),
        interface,
        source: None,
        metric: 0,
        protocol: 3,
        scope: 0,
        table: crate::policy::TABLE_MAIN,
        leads: crate::Leads::On,
        share: None,
    }
}

const HERE: [u8; 4] = [10, 0, 0, 1];

#[test]
fn default_goes_to_those_that_nobody_settled() {
    let (mut stack, [eth0, _]) = host();
    let which = Tunable4::ArpIgnore;
    let name = String::from("eth2");
    let bare = stack.add_interface(InterfaceConfig { name, mtu: 1500 });
    stack.set_conf4(Conf::Default, which, 7);
    let of = |stack: &Stack, index| stack.conf4(Conf::Interface(index), which);
    assert_eq!((of(&stack, eth0), of(&stack, bare)), (0, 7));
    stack.set_conf4(Conf::Default, which, 6);
    assert_eq!(of(&stack, bare), 6);
    stack.set_conf4(Conf::Interface(bare), which, -5);
    stack.set_conf4(Conf::Default, which, 5);
    assert_eq!(of(&stack, bare), -5);
    // A new one has what `default` has, for good.
    let name = String::from("eth3");
    let new = stack.add_interface(InterfaceConfig { name, mtu: 1500 });
    stack.set_conf4(Conf::Default, which, 4);
    assert_eq!((of(&stack, new), stack.conf4(Conf::All, which)), (5, 0));
    // An address settles all of them.
    stack.set_conf4(Conf::Default, Tunable4::RpFilter, 1);
    stack.add_address(bare, [10, 9, 0, 1].into(), 24);
    stack.set_conf4(Conf::Default, Tunable4::RpFilter, 2);
    assert_eq!(stack.conf4(Conf::Interface(bare), Tunable4::RpFilter), 1);
}

#[test]
fn sources_are_looked_at() {
    let (mut stack, [eth0, eth1]) = host();
    let set = |stack: &mut Stack, conf, value| stack.set_conf4(conf, Tunable4::RpFilter, value);
    let (near, other, far) = ([10, 0, 0, 9], [10, 0, 1, 9], [192, 0, 2, 9]);
    for (filter, taken) in [
        (0, [true, true, true]),
        (1, [true, false, false]),
        (2, [true, true, false]),
    ] {
        set(&mut stack, Conf::Interface(eth0), filter);
        let got = [near, other, far].map(|src| comes(&mut stack, eth0, src, HERE));
        assert_eq!((filter, got), (filter, taken));
        assert!(comes(&mut stack, eth1, far, HERE), "only eth0 looks");
    }
    // The larger of it and `all`.
    set(&mut stack, Conf::Interface(eth0), 0);
    set(&mut stack, Conf::All, 2);
    assert!(comes(&mut stack, eth0, other, HERE));
    assert!(!comes(&mut stack, eth1, far, HERE));
    // A default route leads everywhere, by its own interface.
    stack.add_route(route([0; 4], 0, eth1, [10, 0, 1, 254]));
    assert!(comes(&mut stack, eth0, far, HERE));
    set(&mut stack, Conf::All, 1);
    assert!(!comes(&mut stack, eth0, far, HERE));
    assert!(comes(&mut stack, eth1, far, HERE));
    // Who asks for an address has none.
    assert!(comes(&mut stack, eth0, [0; 4], [255; 4]));
    assert_eq!(stack.counters().ip_reverse_path_filter, 5);
}

#[test]
fn any_hop_of_a_route_leads_back() {
    let (mut stack, [eth0, eth1]) = host();
    stack.set_conf4(Conf::All, Tunable4::RpFilter, 1);
    for (interface, gateway) in [(eth0, [10, 0, 0, 254]), (eth1, [10, 0, 1, 254])] {
        let share = Some(Share {
            group: 1,
            weight: 1,
        });
        stack.add_route(RouteConfig {
            share,
            ..route([192, 0, 2, 0], 24, interface, gateway)
        });
    }
    for last in 0..8 {
        for by in [eth0, eth1] {
            assert!(comes(&mut stack, by, [192, 0, 2, last], HERE), "{last}");
        }
    }
}

#[test]
fn loopback_addresses_stay_inside_unless_told() {
    let (mut stack, [eth0, _]) = host();
    let way =
        |stack: &mut Stack| stack.route([10, 0, 0, 9].into(), Some([127, 0, 0, 1].into()), None);
    assert_eq!(way(&mut stack), Err(RouteError::StaysInside));
    assert!(!comes(&mut stack, eth0, [10, 0, 0, 9], [127, 0, 0, 1]));
    stack.set_conf4(Conf::Interface(eth0), Tunable4::RouteLocalnet, 1);
    assert_eq!(way(&mut stack).map(|route| route.interface), Ok(eth0));
    assert!(comes(&mut stack, eth0, [10, 0, 0, 9], [127, 0, 0, 1]));
    // An interface's address is another matter.
    assert!(comes(&mut stack, eth0, [127, 0, 0, 5], HERE));
    assert!(!comes(&mut stack, eth0, [127, 0, 0, 1], HERE));
    stack.set_conf4(Conf::All, Tunable4::AcceptLocal, 1);
    assert!(comes(&mut stack, eth0, [127, 0, 0, 1], HERE));
}
