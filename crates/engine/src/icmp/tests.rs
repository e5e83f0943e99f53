use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::config::Config;
use crate::iface::InterfaceConfig;
use crate::policy::TABLE_MAIN;
use crate::route::{Leads, RouteConfig};

const ETH0: IfIndex = IfIndex::new(2).unwrap();

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host() -> Stack {
    let mut stack = Stack::new(Config::default());
    let eth0 = stack.add_interface(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    stack.add_address(eth0, ip("10.0.0.1"), 24);
    stack.add_address(eth0, ip("fd00::1"), 64);
    stack
}

fn out(stack: &mut Stack) -> Vec<Packet> {
    core::iter::from_fn(|| stack.poll_transmit(Instant::BOOT))
        .map(|(_, packet)| packet)
        .collect()
}

fn ping(src: &str, dst: &str) -> Packet {
    let payload = Bytes::from_static(b"abc");
    let body = Body::Icmp(IcmpMessage::EchoRequest {
        ident: 7,
        sequence: 1,
        payload,
    });
    Packet {
        ip: IpHeader::new(ip(src), ip(dst)),
        body,
    }
}

fn datagram(src: &str, dst: &str) -> Packet {
    let body = Body::Udp(UdpDatagram {
        src_port: 9,
        dst_port: 53,
        payload: Default::default(),
        segment: 0,
        unsummed: false,
        lite: None,
    });
    Packet {
        ip: IpHeader::new(ip(src), ip(dst)),
        body,
    }
}

#[test]
fn an_echo_comes_back_with_its_data() {
    let mut stack = host();
    for (src, dst) in [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")] {
        stack.deliver(Instant::BOOT, ETH0, ping(src, dst));
        let [reply] = &out(&mut stack)[..] else {
            panic!("one reply")
        };
        assert_eq!((reply.ip.src, reply.ip.dst), (ip(dst), ip(src)));
        let payload = Bytes::from_static(b"abc");
        let expected = IcmpMessage::EchoReply {
            ident: 7,
            sequence: 1,
            payload,
        };
        assert_eq!(reply.body, Body::Icmp(expected));
    }
}

#[test]
fn echoes_can_be_ignored_and_those_to_a_broadcast_are() {
    let mut stack = host();
    stack.deliver(Instant::BOOT, ETH0, ping("10.0.0.2", "10.0.0.255"));
    assert_eq!(out(&mut stack), []);
    stack.sysctl_mut().icmp_echo_ignore_broadcasts = false;
    stack.deliver(Instant::BOOT, ETH0, ping("10.0.0.2", "10.0.0.255"));
    assert_eq!(
        out(&mut stack).first().map(|p| p.ip.src),
        Some(ip("10.0.0.1"))
    );
    stack.sysctl_mut().icmp_echo_ignore_all = true;
    stack.deliver(Instant::BOOT, ETH0, ping("10.0.0.2", "10.0.0.1"));
    assert_eq!(out(&mut stack), []);
}

#[test]
fn a_port_nobody_has_is_reported_with_the_packet_quoted() {
    let mut stack = host();
    for (src, dst) in [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")] {
        stack.deliver(Instant::BOOT, ETH0, datagram(src, dst));
        let [error] = &out(&mut stack)[..] else {
            panic!("one error")
        };
        assert_eq!((error.ip.src, error.ip.dst), (ip(dst), ip(src)));
        let Body::Icmp(IcmpMessage::Unreachable { code, original, .. }) = &error.body else {
            panic!("{error:?}");
        };
        assert_eq!(*code, Unreachable::Port);
        assert_eq!(original.ports(), Some((9, 53)));
        assert_eq!(error.ip.tos, if error.ip.is_v6() { 0 } else { 0xc0 });
        // It survives the wire.
        assert_eq!(
            switchboard_wire::parse(&switchboard_wire::emit(error)).as_ref(),
            Ok(error)
        );
    }
}

#[test]
fn no_error_about_an_error() {
    let mut stack = host();
    let quoted = Box::new(Quoted::of(&datagram("10.0.0.1", "10.0.0.2")));
    let message = IcmpMessage::Unreachable {
        code: Unreachable::Port,
        mtu: 0,
        original: quoted,
    };
    let error = Packet {
        ip: IpHeader::new(ip("10.0.0.2"), ip("10.0.0.1")),
        body: Body::Icmp(message),
    };
    stack.deliver(Instant::BOOT, ETH0, error.clone());
    stack.icmp_unknown_protocol(Instant::BOOT, ETH0, Cast::Unicast, &error);
    assert_eq!(out(&mut stack), []);
}

#[test]
fn one_destination_gets_six_errors_and_then_one_a_second() {
    let mut stack = host();
    let mut sent = |ms: u64| {
        for _ in 0..10 {
            stack.deliver(
                Instant::from_millis(ms),
                ETH0,
                datagram("10.0.0.2", "10.0.0.1"),
            );
        }
        out(&mut stack).len()
    };
    assert_eq!(sent(1000), 6);
    assert_eq!(sent(1999), 0);
    assert_eq!(sent(2000), 1);
    assert_eq!(sent(4500), 2);
    assert_eq!(sent(60_000), 6);
    assert!(stack.counters().icmp_out_rate_limit_host > 0);
}

/// net.ipv4.icmp_ratemask and net.ipv6.icmp.ratemask: what is not among the limited types is not counted against anybody.
#[test]
fn only_the_types_of_the_mask_are_limited() {
    for (from, to) in [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")] {
        let sent = |set: &dyn Fn(&mut Sysctl)| {
            let mut stack = host();
            set(stack.sysctl_mut());
            for _ in 0..20 {
                stack.deliver(Instant::from_millis(1000), ETH0, datagram(from, to));
            }
            out(&mut stack).len()
        };
        assert_eq!(sent(&|_| {}), 6, "{from}");
        // Destination unreachable is 3 in IPv4 and 1 in IPv6.
        let others = |sysctl: &mut Sysctl| {
            sysctl.icmp_ratemask = !(1 << 3);
            sysctl.icmp6_ratemask = vec![(0, 0), (2, 255)];
        };
        assert_eq!(sent(&others), 20, "{from}");
        let alone = |sysctl: &mut Sysctl| {
            sysctl.icmp_ratemask = 1 << 3;
            sysctl.icmp6_ratemask = vec![(1, 1)];
        };
        assert_eq!(sent(&alone), 6, "{from}");
    }
}

#[test]
fn all_destinations_together_get_fifty_errors_at_once() {
    let mut stack = host();
    for n in 2..102 {
        let src = alloc::format!("10.0.0.{n}");
        stack.deliver(Instant::BOOT, ETH0, datagram(&src, "10.0.0.1"));
    }
    assert_eq!(out(&mut stack).len(), 50);
    assert_eq!(stack.counters().icmp_out_rate_limit_global, 50);
}

#[test]
fn inside_the_host_nothing_is_limited() {
    let mut stack = host();
    let route = stack.route(ip("127.0.0.1"), None, None).unwrap();
    for _ in 0..100 {
        stack.ip_output(&route, datagram("127.0.0.1", "127.0.0.1"));
        stack.run_loopback(Instant::BOOT);
    }
    assert_eq!(stack.counters().icmp_out_msgs, 100);
}

/// RFC 1122, 3.2.2.2 and RFC 4861, 8.3 have hosts follow these; Linux need not (accept_redirects), and a host here does not.
#[test]
fn redirects_are_not_followed() {
    for (own, router, other, far, net) in [
        ("10.0.0.1", "10.0.0.254", "10.0.0.9", "192.0.2.7", "0.0.0.0"),
        ("fd00::1", "fd00::fe", "fd00::9", "2001:db8::7", "::"),
    ] {
        let mut stack = host();
        stack.add_route(RouteConfig {
            prefix: ip(net),
            prefix_len: 0,
            gateway: Some(ip(router)),
            interface: ETH0,
            source: None,
            metric: 0,
            protocol: 3,
            scope: 0,
            table: TABLE_MAIN,
            leads: Leads::On,
            share: None,
        });
        let before = stack.route(ip(far), None, None).unwrap();
        assert_eq!(before.next_hop, ip(router));
        let octets = |addr: IpAddr| match addr {
            IpAddr::V4(addr) => addr.octets().to_vec(),
            IpAddr::V6(addr) => addr.octets().to_vec(),
        };
        let quoted = switchboard_wire::emit(&datagram(own, far));
        let message = match ip(other) {
            // The router to go to is in the header, and the packet behind it.
            IpAddr::V4(addr) => IcmpMessage::Other {
                kind: 5,
                code: 1,
                rest: addr.into(),
                payload: quoted.into(),
            },
            // Both addresses, and the packet as an option of its own.
            IpAddr::V6(_) => {
                let mut payload = [octets(ip(other)), octets(ip(far))].concat();
                payload.extend([4, ((8 + quoted.len()) / 8) as u8, 0, 0, 0, 0, 0, 0]);
                payload.extend(quoted);
                IcmpMessage::Other {
                    kind: 137,
                    code: 0,
                    rest: 0,
                    payload: payload.into(),
                }
            }
        };
        let mut header = IpHeader::new(ip(router), ip(own));
        header.hop_limit = 255;
        let redirect = Packet {
            ip: header,
            body: Body::Icmp(message),
        };
        stack.deliver(Instant::BOOT, ETH0, redirect);
        assert_eq!(stack.route(ip(far), None, None), Ok(before));
        assert_eq!(out(&mut stack), []);
    }
}
