use alloc::vec::Vec;

use super::*;
use crate::{Config, InterfaceChange, InterfaceConfig};

const OURS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])];
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// 10.0.0.1/24 and 10.0.5.1/24 on eth0, 10.0.1.1/24 on eth1.
fn host() -> (Stack, [IfIndex; 2]) {
    let mut stack = Stack::new(Config::default());
    let links = [0_u8, 1].map(|n| {
        let name = alloc::format!("eth{n}");
        let eth = stack.add_ethernet(InterfaceConfig { name, mtu: 1500 }, OURS[usize::from(n)]);
        stack.add_address(eth, [10, 0, n, 1].into(), 24);
        eth
    });
    stack.add_address(links[0], [10, 0, 5, 1].into(), 24);
    while stack.poll_frame(Instant::BOOT).is_some() {}
    (stack, links)
}

/// What the host says by an interface: operation, sender's address, target's.
fn said(stack: &mut Stack, by: IfIndex) -> Vec<(u16, [u8; 4], [u8; 4])> {
    let mut all = Vec::new();
    while let Some(next) = stack.poll_frame(Instant::BOOT) {
        if let (true, FrameBody::Arp(arp)) = (next.interface == by, next.frame.body) {
            all.push((arp.operation, arp.sender.1.octets(), arp.target.1.octets()));
        }
    }
    all
}

fn hears(stack: &mut Stack, by: IfIndex, operation: u16, source: [u8; 4], target: [u8; 4]) {
    let arp = Arp {
        operation,
        sender: (THEIRS, source.into()),
        target: (Mac::ZERO, target.into()),
    };
    stack.arp_input(Instant::BOOT, by, false, arp);
}

/// Whether a question is answered.
fn answers(stack: &mut Stack, by: IfIndex, source: [u8; 4], target: [u8; 4]) -> bool {
    hears(stack, by, Arp::REQUEST, source, target);
    said(stack, by).contains(&(Arp::REPLY, target, source))
}

fn knows(stack: &Stack, addr: [u8; 4]) -> bool {
    stack
        .neighbours()
        .iter()
        .any(|n| n.addr == IpAddr::from(addr))
}

const ASKER: [u8; 4] = [10, 0, 0, 9];

#[test]
fn addresses_that_are_not_answered_for() {
    let (mut stack, [eth0, eth1]) = host();
    let (own, second, other) = ([10, 0, 0, 1], [10, 0, 5, 1], [10, 0, 1, 1]);
    for (ignore, want) in [
        (0, [true, true, true]),
        (1, [true, true, false]),
        (2, [true, false, false]),
        (3, [true, true, true]),
        (5, [true, true, true]),
        (8, [false, false, false]),
    ] {
        stack.set_conf4(Conf::Interface(eth0), Tunable4::ArpIgnore, ignore);
        let got = [own, second, other].map(|target| answers(&mut stack, eth0, ASKER, target));
        assert_eq!((ignore, got), (ignore, want));
        // Of those who look whether an address is free, the subnet does not matter.
        let free = answers(&mut stack, eth0, [0; 4], second);
        assert_eq!((ignore, free), (ignore, ignore != 8));
    }
    stack.set_conf4(Conf::Interface(eth0), Tunable4::ArpIgnore, 0);
    // By eth1 nobody reaches 10.0.0.9.
    assert!(answers(&mut stack, eth1, ASKER, other));
    stack.set_conf4(Conf::All, Tunable4::ArpFilter, 1);
    assert!(!answers(&mut stack, eth1, ASKER, other));
    assert!(answers(&mut stack, eth0, ASKER, other));
}

#[test]
fn addresses_that_are_asked_from() {
    let (mut stack, [eth0, _]) = host();
    let mut asks = |announce, wants: [u8; 4]| {
        stack.set_conf4(Conf::Interface(eth0), Tunable4::ArpAnnounce, announce);
        let wants = Some(IpAddr::from(wants));
        stack.arp_solicit(eth0, ASKER.into(), None, wants);
        said(&mut stack, eth0)[0].1
    };
    let (best, other, second) = ([10, 0, 0, 1], [10, 0, 1, 1], [10, 0, 5, 1]);
    assert_eq!(asks(0, other), other);
    assert_eq!(asks(1, other), best);
    assert_eq!(asks(1, second), best);
    assert_eq!(asks(1, best), best);
    assert_eq!(asks(2, second), best);
    // It is not the host's.
    assert_eq!(asks(0, [192, 0, 2, 1]), best);
}

#[test]
fn what_leads_elsewhere_is_answered_for_by_a_proxy() {
    let (mut stack, [eth0, eth1]) = host();
    let behind = [10, 0, 1, 77];
    assert!(!answers(&mut stack, eth0, ASKER, behind));
    stack.set_conf4(Conf::Interface(eth0), Tunable4::ProxyArp, 1);
    assert!(
        !answers(&mut stack, eth0, ASKER, behind),
        "it does not forward"
    );
    stack.set_forwarding(false, Conf::All, true);
    assert!(answers(&mut stack, eth0, ASKER, behind));
    assert!(
        !answers(&mut stack, eth0, ASKER, [10, 0, 0, 77]),
        "the same link"
    );
    assert!(
        !answers(&mut stack, eth0, ASKER, [192, 0, 2, 1]),
        "no route"
    );
    assert!(
        !answers(&mut stack, eth1, [10, 0, 1, 9], ASKER),
        "eth1 is none"
    );
}

#[test]
fn strangers_are_kept_if_told() {
    let (mut stack, [eth0, _]) = host();
    let (near, far) = ([10, 0, 0, 20], [192, 0, 2, 20]);
    hears(&mut stack, eth0, Arp::REQUEST, near, near);
    assert!(!knows(&stack, near));
    stack.set_conf4(Conf::Interface(eth0), Tunable4::ArpAccept, 2);
    hears(&mut stack, eth0, Arp::REQUEST, near, near);
    hears(&mut stack, eth0, Arp::REQUEST, far, far);
    assert!(knows(&stack, near) && !knows(&stack, far));
    stack.set_conf4(Conf::Interface(eth0), Tunable4::ArpAccept, 1);
    // A question for somebody else tells nothing.
    hears(&mut stack, eth0, Arp::REQUEST, far, [192, 0, 2, 30]);
    assert!(!knows(&stack, far));
    hears(&mut stack, eth0, Arp::REPLY, far, [192, 0, 2, 30]);
    assert!(knows(&stack, far));
    let other = [10, 0, 0, 21];
    stack.set_conf4(Conf::All, Tunable4::DropGratuitousArp, 1);
    hears(&mut stack, eth0, Arp::REQUEST, other, other);
    assert!(!knows(&stack, other));
}

#[test]
fn an_interface_that_comes_up_announces_itself_if_told() {
    let (mut stack, [eth0, _]) = host();
    for notify in [0, 1] {
        stack.set_conf4(Conf::Interface(eth0), Tunable4::ArpNotify, notify);
        for up in [false, true] {
            stack.change_interface(eth0, InterfaceChange::Up(up));
        }
        let (a, b) = ([10, 0, 0, 1], [10, 0, 5, 1]);
        let all = [(Arp::REQUEST, a, a), (Arp::REQUEST, b, b)];
        assert_eq!(said(&mut stack, eth0), all[..2 * notify as usize]);
    }
}
