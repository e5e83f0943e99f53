use super::*;
use crate::hash::Random;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interfaces() -> Interfaces {
    let mut interfaces = Interfaces::new(Random::new([1; 32]).hash_state(), [false; 2]);
    let eth0 = interfaces.add(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    interfaces.add_address(eth0, ip("10.0.0.1"), 24);
    interfaces
}

#[test]
fn every_127_address_is_own_except_the_broadcast() {
    let interfaces = interfaces();
    assert_eq!(interfaces.owner(ip("127.0.0.1")), Some(IfIndex::LO));
    assert_eq!(interfaces.owner(ip("127.9.8.7")), Some(IfIndex::LO));
    assert_eq!(interfaces.owner(ip("127.255.255.255")), None);
    assert_eq!(interfaces.owner(ip("::1")), Some(IfIndex::LO));
    assert_eq!(interfaces.owner(ip("10.0.0.1")), IfIndex::new(2));
    assert_eq!(interfaces.owner(ip("10.0.0.2")), None);
}

#[test]
fn broadcast_addresses() {
    let interfaces = interfaces();
    for (addr, is) in [
        ("255.255.255.255", true),
        ("127.255.255.255", true),
        ("10.0.0.255", true),
        ("10.0.1.255", false),
        ("10.0.0.0", false),
    ] {
        assert_eq!(interfaces.is_broadcast(addr.parse().unwrap()), is, "{addr}");
    }
    let pair = InterfaceAddress::new(ip("10.0.0.1"), 31);
    assert_eq!(pair.broadcast(), None);
    let all = InterfaceAddress::new(ip("10.0.0.1"), 0);
    assert_eq!(all.broadcast(), Some(Ipv4Addr::BROADCAST));
}

#[test]
fn prefixes() {
    assert!(in_prefix(ip("10.1.2.3"), ip("10.1.0.0"), 16));
    assert!(!in_prefix(ip("10.2.2.3"), ip("10.1.0.0"), 16));
    assert!(in_prefix(ip("8.8.8.8"), ip("0.0.0.0"), 0));
    assert!(!in_prefix(ip("::1"), ip("0.0.0.0"), 0));
    assert!(in_prefix(ip("2001:db8::5"), ip("2001:db8::"), 64));
}

#[test]
fn subnets_of_lo_are_local() {
    let mut interfaces = interfaces();
    let other = InterfaceAddress::new(ip("10.7.0.1"), 24);
    let second = InterfaceAddress::new(ip("10.7.0.2"), 24);
    interfaces.change(IfIndex::LO, |lo| {
        lo.insert(other);
        lo.insert(second);
    });
    assert_eq!(interfaces.owner(ip("10.7.0.9")), Some(IfIndex::LO));
    assert_eq!(interfaces.owner(ip("10.7.0.255")), None);
    assert_eq!(interfaces.owner(ip("10.7.1.1")), None);
    // Packets to a secondary address, and to one that nobody gave, come from the primary one.
    assert_eq!(interfaces.local_source(ip("10.7.0.1")), ip("10.7.0.1"));
    assert_eq!(interfaces.local_source(ip("10.7.0.2")), ip("10.7.0.1"));
    assert_eq!(interfaces.local_source(ip("10.7.0.9")), ip("10.7.0.1"));
    interfaces.change(IfIndex::LO, |lo| lo.remove(&other));
    assert_eq!(interfaces.local_source(ip("10.7.0.2")), ip("10.7.0.2"));
    interfaces.change(IfIndex::LO, |lo| lo.remove(&second));
    assert_eq!(interfaces.owner(ip("10.7.0.9")), None);
}
