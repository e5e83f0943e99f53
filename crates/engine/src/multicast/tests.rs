use super::*;
use crate::config::Config;
use crate::event::UdpId;
use crate::iface::InterfaceConfig;
use crate::ports::{BindRequest, Family};
use crate::time::Instant;
use crate::udp::{UdpSend, UdpSet};
use core::net::{Ipv6Addr, SocketAddr};
use switchboard_wire::{Packet, Payload};

const NOW: Instant = Instant::BOOT;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host with one interface beside `lo`.
fn host(n: u8) -> (Stack, IfIndex) {
    let mut stack = Stack::new(Config {
        seed: [n; 32],
        ..Config::default()
    });
    let link = stack.add_interface(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    stack.add_address(link, IpAddr::from([10, 0, 0, n]), 24);
    let six = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into());
    stack.add_address(link, six.into(), 64);
    (stack, link)
}

fn socket(stack: &mut Stack, any: &str, port: u16) -> UdpId {
    let addr = ip(any);
    let family = if addr.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    let id = stack.udp_open(family);
    let request = BindRequest {
        addr,
        port,
        family,
        v6only: false,
        device: None,
        reuse_addr: true,
        reuse_port: false,
        uid: 0,
    };
    stack.udp_bind(id, request).unwrap();
    id
}

fn member(group: &str, interface: IfIndex, mode: FilterMode, sources: &[&str]) -> Membership {
    let group = ip(group);
    Membership {
        group,
        interface,
        named: if group.is_ipv4() {
            ip("0.0.0.0")
        } else {
            ip("::")
        },
        mode,
        sources: (!sources.is_empty()).then(|| sources.iter().map(|s| ip(s)).collect()),
    }
}

fn send(stack: &mut Stack, id: UdpId, group: &str, port: u16, link: IfIndex) -> Vec<Packet> {
    let send = UdpSend {
        dst: SocketAddr::new(ip(group), port),
        src: None,
        device: Some(link),
        tos: None,
        ttl: None,
        flow_label: None,
        segment: 0,
        unsummed: false,
        may_be_cut: false,
        fragment_size: 0,
        extra: None,
        tag: crate::tag::Tag::default(),
        payload: Payload::from(&b"x"[..]),
    };
    stack.udp_send(NOW, id, send).unwrap();
    core::iter::from_fn(|| stack.poll_transmit(NOW).map(|(_, packet)| packet)).collect()
}

fn got(stack: &mut Stack, id: UdpId) -> usize {
    core::iter::from_fn(|| stack.udp_pop(id)).count()
}

#[test]
fn every_member_gets_it_and_nobody_else() {
    for (any, group) in [("0.0.0.0", "239.1.2.3"), ("::", "ff05::1:2")] {
        let (mut a, a_link) = host(1);
        let (mut b, b_link) = host(2);
        let sender = socket(&mut a, any, 1000);
        let members = [socket(&mut b, any, 7), socket(&mut b, any, 7)];
        let deaf = socket(&mut b, any, 7);
        let family = if any == "::" { Family::V6 } else { Family::V4 };
        b.udp_set(deaf, UdpSet::MulticastAll(family, false));
        let packets = send(&mut a, sender, group, 7, a_link);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].ip.hop_limit, 1);
        // Nobody has joined: the interface does not take it.
        b.deliver(NOW, b_link, packets[0].clone());
        assert_eq!(members.map(|id| got(&mut b, id)), [0, 0]);
        for id in members {
            let join = member(group, b_link, FilterMode::Exclude, &[]);
            b.join_group(SocketHandle::Udp(id), join);
        }
        b.deliver(NOW, b_link, packets[0].clone());
        assert_eq!(members.map(|id| got(&mut b, id)), [1, 1]);
        assert_eq!(got(&mut b, deaf), 0);
        b.udp_set(deaf, UdpSet::MulticastAll(family, true));
        b.deliver(NOW, b_link, packets[0].clone());
        assert_eq!(got(&mut b, deaf), 1);
        // The last to leave closes the door.
        for id in members {
            b.udp_close(id);
        }
        b.deliver(NOW, b_link, packets[0].clone());
        assert_eq!(got(&mut b, deaf), 0);
        assert!(b.groups.members.is_empty() && b.groups.of.is_empty());
    }
}

#[test]
fn sources_are_filtered() {
    let (mut a, a_link) = host(1);
    let (mut b, b_link) = host(2);
    let sender = socket(&mut a, "0.0.0.0", 1000);
    let packet = send(&mut a, sender, "239.1.2.3", 7, a_link).remove(0);
    let wants = |mode, sources: &[&str]| member("239.1.2.3", b_link, mode, sources);
    let cases = [
        (wants(FilterMode::Exclude, &[]), 1),
        (wants(FilterMode::Exclude, &["10.0.0.1"]), 0),
        (wants(FilterMode::Exclude, &["10.0.0.9"]), 1),
        (wants(FilterMode::Include, &["10.0.0.1"]), 1),
        (wants(FilterMode::Include, &["10.0.0.9"]), 0),
        (wants(FilterMode::Include, &[]), 0),
    ];
    for (membership, count) in cases {
        let id = socket(&mut b, "0.0.0.0", 7);
        b.join_group(SocketHandle::Udp(id), membership.clone());
        b.deliver(NOW, b_link, packet.clone());
        assert_eq!(got(&mut b, id), count, "{membership:?}");
        b.udp_close(id);
    }
}

#[test]
fn the_sender_hears_itself_if_it_is_a_member_and_wants_to() {
    let (mut a, link) = host(1);
    let sender = socket(&mut a, "0.0.0.0", 7);
    assert_eq!(send(&mut a, sender, "239.1.2.3", 7, link).len(), 1);
    assert_eq!(got(&mut a, sender), 0);
    let join = member("239.1.2.3", link, FilterMode::Exclude, &[]);
    a.join_group(SocketHandle::Udp(sender), join);
    assert_eq!(send(&mut a, sender, "239.1.2.3", 7, link).len(), 1);
    assert_eq!(got(&mut a, sender), 1);
    // IP_MULTICAST_LOOP.
    a.udp_set(sender, UdpSet::MulticastLoop(Family::V4, false));
    assert_eq!(send(&mut a, sender, "239.1.2.3", 7, link).len(), 1);
    assert_eq!(got(&mut a, sender), 0);
}

#[test]
fn groups_of_lo_and_of_ipv6_there() {
    let (mut a, _) = host(1);
    let id = socket(&mut a, "0.0.0.0", 7);
    let join = member("239.1.2.3", IfIndex::LO, FilterMode::Exclude, &[]);
    a.join_group(SocketHandle::Udp(id), join);
    assert!(send(&mut a, id, "239.1.2.3", 7, IfIndex::LO).is_empty());
    assert_eq!(got(&mut a, id), 1);
    // Linux has no route to groups of IPv6 on lo.
    let route = a.route(ip("ff02::1"), None, Some(IfIndex::LO));
    assert!(route.is_err());
}
