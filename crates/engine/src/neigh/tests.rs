use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use switchboard_wire::{Arp, Body, Ethernet, Frame, FrameBody, IpHeader, UdpDatagram};

use super::*;
use crate::{Config, InterfaceConfig, RouteError};

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 3]);

fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

fn host() -> (Stack, IfIndex) {
    let mut stack = Stack::new(Config::default());
    let name = String::from("eth0");
    let eth = stack.add_ethernet(InterfaceConfig { name, mtu: 1500 }, OURS);
    stack.add_address(eth, [10, 0, 0, 1].into(), 24);
    stack.add_address(eth, "fd00::1".parse().unwrap(), 64);
    (stack, eth)
}

fn datagram(src: &str, dst: &str) -> Packet {
    Packet {
        ip: IpHeader::new(src.parse().unwrap(), dst.parse().unwrap()),
        body: Body::Udp(UdpDatagram {
            src_port: 1000,
            dst_port: 9,
            payload: Bytes::from_static(b"x").into(),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    }
}

/// A packet leaves.
fn send(stack: &mut Stack, dst: &str) -> Result<(), RouteError> {
    let route = stack.route(dst.parse().unwrap(), None, None)?;
    let src = alloc::format!("{}", route.source);
    stack.ip_output(&route, datagram(&src, dst));
    Ok(())
}

fn frames(stack: &mut Stack, now: Instant) -> Vec<Frame> {
    let mut all = Vec::new();
    while let Some(next) = stack.poll_frame(now) {
        all.push(next.frame);
    }
    all
}

fn arp(operation: u16, sender: (Mac, [u8; 4]), target: (Mac, [u8; 4])) -> FrameBody {
    FrameBody::Arp(Arp {
        operation,
        sender: (sender.0, sender.1.into()),
        target: (target.0, target.1.into()),
    })
}

fn frame(dst: Mac, src: Mac, body: FrameBody) -> Frame {
    Frame {
        link: Some(Ethernet { dst, src }),
        body,
    }
}

fn state(stack: &Stack, eth: IfIndex, addr: &str) -> Option<(NeighState, Option<Mac>)> {
    let found = stack.neighbour(eth, addr.parse().unwrap())?;
    Some((found.state, found.mac))
}

#[test]
fn a_packet_waits_for_the_answer() {
    let (mut stack, eth) = host();
    send(&mut stack, "10.0.0.2").unwrap();
    let question = arp(
        Arp::REQUEST,
        (OURS, [10, 0, 0, 1]),
        (Mac::ZERO, [10, 0, 0, 2]),
    );
    assert_eq!(
        frames(&mut stack, ms(0)),
        [frame(Mac::BROADCAST, OURS, question)]
    );
    assert_eq!(
        state(&stack, eth, "10.0.0.2"),
        Some((NeighState::Incomplete, None))
    );
    // A second one waits without another question.
    send(&mut stack, "10.0.0.2").unwrap();
    assert_eq!(frames(&mut stack, ms(1)), []);
    let answer = arp(Arp::REPLY, (THEIRS, [10, 0, 0, 2]), (OURS, [10, 0, 0, 1]));
    stack.deliver_frame(ms(2), eth, frame(OURS, THEIRS, answer));
    let sent = frames(&mut stack, ms(2));
    assert_eq!(sent.len(), 2);
    let link = Some(Ethernet {
        dst: THEIRS,
        src: OURS,
    });
    assert!(sent.iter().all(|f| f.link == link && f.packet().is_some()));
    assert_eq!(
        state(&stack, eth, "10.0.0.2"),
        Some((NeighState::Reachable, Some(THEIRS)))
    );
}

#[test]
fn three_questions_and_no_answer() {
    for (dst, v6) in [("10.0.0.2", false), ("fd00::2", true)] {
        let (mut stack, eth) = host();
        send(&mut stack, dst).unwrap();
        let mut asked = vec![frames(&mut stack, ms(0)).len()];
        while let Some(at) = stack.poll_timeout() {
            assert_eq!(at, ms(asked.len() as u64 * 1000));
            stack.handle_timeout(at);
            asked.push(frames(&mut stack, at).len());
        }
        assert_eq!(asked, [1, 1, 1, 0]);
        assert_eq!(
            state(&stack, eth, dst),
            Some((NeighState::Failed, None)),
            "{dst}"
        );
        // Who sent it was told, on lo.
        assert_eq!(stack.counters().icmp_out_msgs, if v6 { 4 } else { 1 });
        assert_eq!(stack.counters().icmp_in_msgs, 1);
    }
}

#[test]
fn what_was_answered_becomes_old_and_is_asked_again() {
    let (mut stack, eth) = host();
    let answer = |stack: &mut Stack, at| {
        let body = arp(Arp::REPLY, (THEIRS, [10, 0, 0, 2]), (OURS, [10, 0, 0, 1]));
        stack.deliver_frame(at, eth, frame(OURS, THEIRS, body));
    };
    send(&mut stack, "10.0.0.2").unwrap();
    frames(&mut stack, ms(0));
    answer(&mut stack, ms(0));
    frames(&mut stack, ms(0));
    // REACHABLE for 15 to 45 seconds, and then nothing happens by itself.
    let at = stack.poll_timeout().unwrap();
    assert!((ms(15_000)..=ms(45_010)).contains(&at), "{at:?}");
    while let Some(at) = stack.poll_timeout() {
        stack.handle_timeout(at);
    }
    let stale = Some((NeighState::Stale, Some(THEIRS)));
    assert_eq!(state(&stack, eth, "10.0.0.2"), stale);
    // Its use sends the packet, waits five seconds, and asks the host itself, three times.
    let now = ms(100_000);
    send(&mut stack, "10.0.0.2").unwrap();
    assert!(frames(&mut stack, now)[0].packet().is_some());
    let mut probes = Vec::new();
    while let Some(at) = stack.poll_timeout() {
        stack.handle_timeout(at);
        for sent in frames(&mut stack, at) {
            assert_eq!(sent.link.unwrap().dst, THEIRS);
            probes.push(at);
        }
    }
    assert_eq!(probes, [ms(105_000), ms(106_000), ms(107_000)]);
    assert_eq!(
        state(&stack, eth, "10.0.0.2"),
        Some((NeighState::Failed, Some(THEIRS)))
    );
}

#[test]
fn who_asks_is_answered_and_known() {
    let (mut stack, eth) = host();
    let question = |target| {
        let asked = (Mac::ZERO, target);
        frame(
            Mac::BROADCAST,
            THEIRS,
            arp(Arp::REQUEST, (THEIRS, [10, 0, 0, 2]), asked),
        )
    };
    stack.deliver_frame(ms(0), eth, question([10, 0, 0, 7]));
    assert_eq!(frames(&mut stack, ms(0)), []);
    assert_eq!(state(&stack, eth, "10.0.0.2"), None);
    stack.deliver_frame(ms(0), eth, question([10, 0, 0, 1]));
    let answer = arp(Arp::REPLY, (OURS, [10, 0, 0, 1]), (THEIRS, [10, 0, 0, 2]));
    assert_eq!(frames(&mut stack, ms(0)), [frame(THEIRS, OURS, answer)]);
    let stale = Some((NeighState::Stale, Some(THEIRS)));
    assert_eq!(state(&stack, eth, "10.0.0.2"), stale);
    // RFC 5227: a probe is answered, and nobody is known by it.
    let probe = arp(Arp::REQUEST, (OTHER, [0; 4]), (Mac::ZERO, [10, 0, 0, 1]));
    stack.deliver_frame(ms(0), eth, frame(Mac::BROADCAST, OTHER, probe));
    assert_eq!(frames(&mut stack, ms(0))[0].link.unwrap().dst, OTHER);
}

#[test]
fn gratuitous_arp_changes_what_is_known_and_makes_nothing() {
    let (mut stack, eth) = host();
    let gratuitous = frame(
        Mac::BROADCAST,
        OTHER,
        arp(
            Arp::REQUEST,
            (OTHER, [10, 0, 0, 2]),
            (Mac::ZERO, [10, 0, 0, 2]),
        ),
    );
    stack.deliver_frame(ms(0), eth, gratuitous.clone());
    assert_eq!(state(&stack, eth, "10.0.0.2"), None);
    let known = |stack: &mut Stack, state| {
        let addr = [10, 0, 0, 2].into();
        assert!(stack.set_neighbour(ms(0), eth, addr, Some(THEIRS), state));
    };
    known(&mut stack, NeighState::Reachable);
    // An answer that comes within the locktime does not take an address away from another.
    let answer = arp(Arp::REPLY, (OTHER, [10, 0, 0, 2]), (OURS, [10, 0, 0, 1]));
    let answer = frame(OURS, OTHER, answer);
    stack.deliver_frame(ms(500), eth, answer.clone());
    let reachable = |mac| Some((NeighState::Reachable, Some(mac)));
    assert_eq!(state(&stack, eth, "10.0.0.2"), reachable(THEIRS));
    stack.deliver_frame(ms(1500), eth, answer);
    assert_eq!(state(&stack, eth, "10.0.0.2"), reachable(OTHER));
    known(&mut stack, NeighState::Reachable);
    stack.deliver_frame(ms(500), eth, gratuitous.clone());
    assert_eq!(
        state(&stack, eth, "10.0.0.2"),
        Some((NeighState::Stale, Some(OTHER)))
    );
    known(&mut stack, NeighState::Permanent);
    stack.deliver_frame(ms(5000), eth, gratuitous);
    assert_eq!(
        state(&stack, eth, "10.0.0.2"),
        Some((NeighState::Permanent, Some(THEIRS)))
    );
}

#[test]
fn two_hosts_find_each_other_by_ipv6() {
    let (mut a, eth) = host();
    let mut b = Stack::new(Config::default());
    let name = String::from("eth0");
    let eth_b = b.add_ethernet(InterfaceConfig { name, mtu: 1500 }, THEIRS);
    b.add_address(eth_b, "fd00::2".parse().unwrap(), 64);
    assert_eq!(eth, eth_b);
    send(&mut a, "fd00::2").unwrap();
    for _ in 0..4 {
        for frame in frames(&mut a, ms(0)) {
            b.deliver_frame(ms(0), eth, frame);
        }
        for frame in frames(&mut b, ms(0)) {
            a.deliver_frame(ms(0), eth, frame);
        }
    }
    let (there, back) = (state(&a, eth, "fd00::2"), state(&b, eth, "fd00::1"));
    assert_eq!(there, Some((NeighState::Reachable, Some(THEIRS))));
    assert_eq!(back.map(|found| found.1), Some(Some(OURS)));
    // The datagram has come: nobody has the port, and its sender was told.
    assert_eq!(b.counters().udp_no_ports, 1);
    assert_eq!(a.counters().icmp_in_msgs, 2);
    // The address of the link is one, too.
    let local = alloc::format!("{}", THEIRS.link_local());
    let route = a.route(local.parse().unwrap(), None, Some(eth)).unwrap();
    assert_eq!(route.source, IpAddr::from(OURS.link_local()));
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let (mut stack, eth) = host();
    stack.add_address(eth, [10, 1, 0, 1].into(), 16);
    for n in 0..3000u16 {
        let [a, b] = (n + 256).to_be_bytes();
        send(&mut stack, &alloc::format!("10.1.{a}.{b}")).unwrap();
        frames(&mut stack, ms(0));
    }
    assert_eq!(stack.neighbours().len(), 1024);
    assert_eq!(stack.counters().ip_out_discards, 3000 - 1024);
    // What fails is forgotten when there is much of it.
    while let Some(at) = stack.poll_timeout() {
        stack.handle_timeout(at);
        frames(&mut stack, at);
    }
    assert_eq!(stack.neighbours(), []);
    // What waits for one is bounded by bytes, the oldest goes.
    for _ in 0..1000 {
        send(&mut stack, "10.0.0.9").unwrap();
        frames(&mut stack, ms(90_000));
    }
    assert_eq!(stack.neigh_discards(), 1000 - 212_992 / 832);
    stack.change_interface(eth, crate::InterfaceChange::Up(false));
    assert_eq!(stack.neighbours(), []);
    assert_eq!(stack.poll_timeout(), None);
}

#[test]
fn a_frame_for_another_is_not_taken() {
    let (mut stack, eth) = host();
    let packet = datagram("10.0.0.2", "10.0.0.1");
    let taken = |stack: &Stack| stack.counters().udp_no_ports;
    let body = FrameBody::Ip(packet);
    stack.deliver_frame(ms(0), eth, frame(OTHER, THEIRS, body.clone()));
    assert_eq!(taken(&stack), 0);
    stack.deliver_frame(ms(0), eth, frame(OURS, THEIRS, body.clone()));
    stack.deliver_frame(ms(0), eth, frame(Mac::BROADCAST, THEIRS, body));
    assert_eq!(taken(&stack), 2);
    // A host that forwards does not hand on what everyone got.
    stack.set_forwarding(false, crate::Conf::All, true);
    let stray = FrameBody::Ip(datagram("10.0.0.2", "10.0.0.77"));
    stack.deliver_frame(ms(0), eth, frame(Mac::BROADCAST, THEIRS, stray));
    assert_eq!(stack.counters().ip_forw_datagrams, 0);
    // What is no packet is counted, and nothing more.
    let none = FrameBody::Other {
        ethertype: 0x0800,
        payload: Bytes::from_static(&[0x45, 0, 1]),
    };
    stack.deliver_frame(ms(0), eth, frame(OURS, THEIRS, none));
    assert_eq!(stack.counters().ip_in_hdr_errors, 1);
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What Linux 6.18 sends in the same place, recorded at the other end of a veth pair.
#[test]
fn frames_are_those_of_linux() {
    let mut stack = Stack::new(Config::default());
    let mac = Mac([0xca, 0x9b, 0x41, 0xbf, 0xb5, 0x44]);
    let name = String::from("v0");
    let eth = stack.add_ethernet(InterfaceConfig { name, mtu: 1500 }, mac);
    stack.add_address(eth, [10, 0, 0, 1].into(), 24);
    stack.add_address(eth, "fd00::1".parse().unwrap(), 64);
    let sent = |stack: &mut Stack| {
        let all = frames(stack, ms(0));
        assert_eq!(all.len(), 1);
        all[0].emit()
    };
    send(&mut stack, "10.0.0.9").unwrap();
    let arp = "ffffffffffffca9b41bfb5440806\
               0001080006040001ca9b41bfb5440a0000010000000000000a000009";
    assert_eq!(sent(&mut stack), hex(arp));
    send(&mut stack, "fd00::9").unwrap();
    let solicitation = "3333ff000009ca9b41bfb54486dd\
        6000000000203afffd000000000000000000000000000001ff0200000000000000000001ff000009\
        8700bdea00000000fd0000000000000000000000000000090101ca9b41bfb544";
    assert_eq!(sent(&mut stack), hex(solicitation));
    let member = |group: &str| crate::Membership {
        group: group.parse().unwrap(),
        interface: eth,
        named: core::net::Ipv4Addr::UNSPECIFIED.into(),
        mode: crate::FilterMode::Exclude,
        sources: None,
    };
    let socket = |index| {
        crate::SocketHandle::Udp(crate::UdpId {
            index,
            generation: 0,
        })
    };
    stack.join_group(socket(0), member("239.1.2.3"));
    let igmp = "01005e000016ca9b41bfb5440800\
        46c00028000040000102f9f80a000001e000001694040000\
        2200e8f90000000104000000ef010203";
    assert_eq!(sent(&mut stack), hex(igmp));
    stack.join_group(socket(1), member("ff15::1234"));
    let mld = "333300000016ca9b41bfb54486dd\
        6000000000240001fe80000000000000c89b41fffebfb544ff020000000000000000000000000016\
        3a000502000001008f009f240000000104000000ff150000000000000000000000001234";
    assert_eq!(sent(&mut stack), hex(mld));
}
