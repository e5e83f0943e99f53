use alloc::string::String;
use alloc::vec;

use switchboard_wire::{Frame, FrameBody, Mac};

use super::*;
use crate::event::SocketHandle;
use crate::multicast::Membership;
use crate::{Config, InterfaceConfig, UdpId};

const GROUP: [u8; 4] = [239, 1, 2, 3];

fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

fn host() -> (Stack, IfIndex) {
    let mut stack = Stack::new(Config::default());
    let name = String::from("eth0");
    let config = InterfaceConfig { name, mtu: 1500 };
    let eth = stack.add_ethernet(config, Mac([2, 0, 0, 0, 0, 1]));
    stack.add_address(eth, [10, 0, 0, 1].into(), 24);
    (stack, eth)
}

fn socket(index: u32) -> SocketHandle {
    SocketHandle::Udp(UdpId {
        index,
        generation: 0,
    })
}

fn join(stack: &mut Stack, eth: IfIndex, who: u32, group: IpAddr, sources: Option<[u8; 4]>) {
    let membership = Membership {
        group,
        interface: eth,
        named: Ipv4Addr::UNSPECIFIED.into(),
        mode: match sources {
            Some(_) => FilterMode::Include,
            None => FilterMode::Exclude,
        },
        sources: sources.map(|s| vec![s.into()]),
    };
    stack.join_group(socket(who), membership);
}

/// What leaves: whom it is for, and what is said.
fn said(stack: &mut Stack, now: Instant) -> Vec<(IpAddr, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(next) = stack.poll_frame(now) {
        let Frame { link, body } = next.frame;
        let FrameBody::Ip(packet) = body else {
            panic!("{body:?}");
        };
        assert_eq!(packet.ip.hop_limit, 1);
        assert_eq!(link.unwrap().dst, Mac::of_group(packet.ip.dst));
        let Body::Extended(extended) = &packet.body else {
            panic!("no router alert: {packet:?}");
        };
        let bytes = switchboard_wire::emit_body(&packet.ip, &extended.body);
        all.push((packet.ip.dst, bytes));
    }
    all
}

/// The record of a report of one group.
fn record(kind: u8, sources: &[[u8; 4]]) -> Vec<u8> {
    let mut out = vec![kind, 0, 0, sources.len() as u8];
    out.extend(GROUP);
    sources.iter().for_each(|s| out.extend(s));
    out
}

fn v3(all: &[(IpAddr, Vec<u8>)]) -> Vec<Vec<u8>> {
    let of = |(to, bytes): &(IpAddr, Vec<u8>)| {
        assert_eq!(*to, IpAddr::from([224, 0, 0, 22]));
        assert_eq!((bytes[0], &bytes[4..8]), (V3_REPORT, &[0, 0, 0, 1][..]));
        assert_eq!(checksum(None, bytes), [0, 0]);
        bytes[8..].to_vec()
    };
    all.iter().map(of).collect()
}

#[test]
fn joining_and_leaving_are_told_twice() {
    let (mut stack, eth) = host();
    let group = IpAddr::from(GROUP);
    join(&mut stack, eth, 1, group, None);
    assert_eq!(v3(&said(&mut stack, ms(0))), [record(TO_EXCLUDE, &[])]);
    let again = stack.poll_timeout().unwrap();
    assert!(again <= ms(1000));
    stack.handle_timeout(again);
    assert_eq!(v3(&said(&mut stack, again)), [record(TO_EXCLUDE, &[])]);
    assert_eq!(stack.poll_timeout(), None);
    // A second member changes nothing, nor does its going.
    join(&mut stack, eth, 2, group, None);
    stack.leave_group(socket(2), 0);
    assert_eq!(said(&mut stack, again), []);
    stack.leave_group(socket(1), 0);
    assert_eq!(v3(&said(&mut stack, again)), [record(TO_INCLUDE, &[])]);
}

#[test]
fn sources_are_told() {
    let (mut stack, eth) = host();
    let (group, source) = (IpAddr::from(GROUP), [10, 9, 9, 9]);
    join(&mut stack, eth, 1, group, Some(source));
    assert_eq!(v3(&said(&mut stack, ms(0))), [record(ALLOW, &[source])]);
    join(&mut stack, eth, 2, group, None);
    assert_eq!(v3(&said(&mut stack, ms(0))), [record(TO_EXCLUDE, &[])]);
    stack.leave_group(socket(2), 0);
    assert_eq!(
        v3(&said(&mut stack, ms(0))),
        [record(TO_INCLUDE, &[source])]
    );
    stack.leave_group(socket(1), 0);
    assert_eq!(v3(&said(&mut stack, ms(0))), [record(BLOCK, &[source])]);
}

fn query(stack: &mut Stack, eth: IfIndex, at: Instant, version: u8) {
    let mut bytes = vec![QUERY, 20, 0, 0, 0, 0, 0, 0];
    if version == 3 {
        bytes.extend([2, 125, 0, 0]);
    }
    let sum = checksum(None, &bytes);
    bytes[2..4].copy_from_slice(&sum);
    let mut ip = IpHeader::new([10, 0, 0, 254].into(), [224, 0, 0, 1].into());
    ip.hop_limit = 1;
    let body = Body::Other {
        protocol: IGMP,
        payload: bytes.into(),
    };
    stack.deliver(at, eth, Packet { ip, body });
}

#[test]
fn queries_are_answered_in_the_version_of_the_router() {
    let (mut stack, eth) = host();
    let group = IpAddr::from(GROUP);
    join(&mut stack, eth, 1, group, None);
    said(&mut stack, ms(0));
    stack.handle_timeout(ms(1000));
    said(&mut stack, ms(1000));
    query(&mut stack, eth, ms(5000), 3);
    assert_eq!(said(&mut stack, ms(5000)), []);
    let at = stack.poll_timeout().unwrap();
    // Within the two seconds that it grants.
    assert!(at <= ms(7001));
    stack.handle_timeout(at);
    assert_eq!(v3(&said(&mut stack, at)), [record(IS_EXCLUDE, &[])]);
    query(&mut stack, eth, ms(10_000), 2);
    let at = stack.poll_timeout().unwrap();
    stack.handle_timeout(at);
    let mut report = vec![V2_REPORT, 0, 0, 0];
    report.extend(GROUP);
    let strip = |all: Vec<(IpAddr, Vec<u8>)>| -> Vec<(IpAddr, u8)> {
        all.into_iter().map(|(to, bytes)| (to, bytes[0])).collect()
    };
    assert_eq!(strip(said(&mut stack, at)), [(group, V2_REPORT)]);
    stack.leave_group(socket(1), 0);
    let all_routers = IpAddr::from([224, 0, 0, 2]);
    assert_eq!(strip(said(&mut stack, at)), [(all_routers, V2_LEAVE)]);
    // The older router is not heard of any more.
    join(&mut stack, eth, 1, group, None);
    assert_eq!(
        v3(&said(&mut stack, ms(300_000))),
        [record(TO_EXCLUDE, &[])]
    );
}

#[test]
fn groups_of_ipv6_are_told_from_the_link() {
    let (mut stack, eth) = host();
    join(&mut stack, eth, 1, "ff15::1234".parse().unwrap(), None);
    let all = said(&mut stack, ms(0));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0, "ff02::16".parse::<IpAddr>().unwrap());
    assert_eq!(all[0].1[0], MLD2_REPORT);
    assert_eq!(all[0].1[4..10], [0, 0, 0, 1, TO_EXCLUDE, 0]);
    // Nobody's business: a group of the interface itself.
    join(&mut stack, eth, 2, "ff01::5".parse().unwrap(), None);
    assert_eq!(said(&mut stack, ms(0)), []);
}
