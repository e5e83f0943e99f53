//! Advertisements of routers, and what becomes of them with time.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use switchboard_wire::{Body, Ethernet, Frame, FrameBody, IcmpMessage, IpHeader};

use super::*;
use crate::conf::Conf;
use crate::{Config, InterfaceConfig};

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x12]);

fn secs(n: u64) -> Instant {
    Instant::from_millis(n * 1000)
}

fn host() -> (Stack, IfIndex) {
    let mut stack = Stack::new(Config::default());
    let name = String::from("eth0");
    let eth = stack.add_ethernet(InterfaceConfig { name, mtu: 1500 }, OURS);
    (stack, eth)
}

fn prefix(prefix: &str, len: u8, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let mut option = vec![3, 4, len, flags];
    option.extend_from_slice(&valid.to_be_bytes());
    option.extend_from_slice(&preferred.to_be_bytes());
    option.extend_from_slice(&[0; 4]);
    let prefix: core::net::Ipv6Addr = prefix.parse().unwrap();
    option.extend_from_slice(&prefix.octets());
    option
}

/// Hop limit 33, reachable for 20 s, asked again after 500 ms.
fn advertisement(from: Mac, flags: u8, lifetime: u16, options: &[Vec<u8>]) -> Frame {
    let mut ip = IpHeader::new(from.link_local().into(), "ff02::1".parse().unwrap());
    ip.hop_limit = 255;
    let mut payload = Vec::new();
    payload.extend_from_slice(&20_000_u32.to_be_bytes());
    payload.extend_from_slice(&500_u32.to_be_bytes());
    payload.extend_from_slice(&[1, 1]);
    payload.extend_from_slice(&from.0);
    payload.extend(options.iter().flatten());
    let [high, low] = lifetime.to_be_bytes();
    let message = IcmpMessage::Other {
        kind: 134,
        code: 0,
        rest: u32::from_be_bytes([33, flags, high, low]),
        payload: payload.into(),
    };
    Frame {
        link: Some(Ethernet {
            dst: Mac([0x33, 0x33, 0, 0, 0, 1]),
            src: from,
        }),
        body: FrameBody::Ip(switchboard_wire::Packet {
            ip,
            body: Body::Icmp(message),
        }),
    }
}

fn news(stack: &mut Stack) -> Vec<RouterNews> {
    core::iter::from_fn(|| stack.poll_router_news()).collect()
}

fn has(stack: &Stack, eth: IfIndex, addr: &str) -> bool {
    let addr: IpAddr = addr.parse().unwrap();
    let own = stack.interface(eth).unwrap();
    own.addresses().iter().any(|a| a.addr == addr)
}

fn way(stack: &Stack, to: &str) -> Option<(IpAddr, IpAddr)> {
    let route = stack.route(to.parse().unwrap(), None, None).ok()?;
    Some((route.next_hop, route.source))
}

/// Times go by, and the ends of addresses are heard of as the socket layer hears of them.
fn until(stack: &mut Stack, now: Instant) -> Vec<RouterNews> {
    let mut all = Vec::new();
    while let Some(at) = stack.poll_timeout().filter(|at| *at <= now) {
        stack.handle_timeout(at);
        while stack.poll_frame(at).is_some() {}
        for one in news(stack) {
            if let RouterNews::Over(index, address) = &one {
                stack.change_interface(*index, crate::InterfaceChange::Remove(*address));
            }
            all.push(one);
        }
    }
    all
}

const OWN: &str = "2001:db8:1::ff:fe00:1";

#[test]
fn a_host_configures_itself() {
    let (mut stack, eth) = host();
    let mtu = vec![5, 1, 0, 0, 0, 0, 0x05, 0x78];
    let options = [prefix("2001:db8:1::", 64, 0xc0, 300, 100), mtu];
    stack.deliver_frame(secs(1), eth, advertisement(ROUTER, 0x40, 30, &options));
    assert!(has(&stack, eth, OWN));
    let told = news(&mut stack);
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(matches!(told[0], RouterNews::Route(r) if r.prefix_len == 0));
    assert!(matches!(told[1], RouterNews::Route(r) if r.prefix_len == 64));
    assert!(matches!(told[2], RouterNews::Address(..)));
    assert!(matches!(&told[3], RouterNews::Prefix(_, option) if option.len() == 32));
    assert!(matches!(&told[4], RouterNews::Option(_, _, option) if option.len() == 32));
    // Until it has been probed for it is nobody's.
    let own = stack.interface(eth).unwrap();
    assert_eq!(own.tentative(OWN.parse().unwrap()), Some(false));
    assert_eq!((own.mtu6(), own.mtu()), (1400, 1500));
    assert_eq!(own.hop_limit(), Some(33));
    assert_eq!(stack.router_flags(eth), 0x20 | 0x80);
    let params = stack.neigh_params(true, Some(eth));
    assert_eq!(params.base_reachable_time, Duration::from_secs(20));
    assert_eq!(params.retrans_time, Duration::from_millis(500));
    let entry = stack.neighbour(eth, ROUTER.link_local().into()).unwrap();
    assert!(entry.router && entry.mac == Some(ROUTER));

    until(&mut stack, secs(4));
    let own: IpAddr = OWN.parse().unwrap();
    let router: IpAddr = ROUTER.link_local().into();
    assert_eq!(way(&stack, "2001:db8:9::1"), Some((router, own)));
    let near: IpAddr = "2001:db8:1::77".parse().unwrap();
    assert_eq!(way(&stack, "2001:db8:1::77"), Some((near, own)));
    let route = stack.route("2001:db8:9::1".parse().unwrap(), None, None);
    assert_eq!(route.unwrap().mtu, 1400);

    // Without another word it all ends in its time: the router first, then the address is no choice, then it is gone.
    let told = until(&mut stack, secs(32));
    assert!(matches!(told[..], [RouterNews::NoRoute(r)] if r.prefix_len == 0));
    assert_eq!(way(&stack, "2001:db8:9::1"), None);
    let told = until(&mut stack, secs(102));
    assert!(matches!(told[..], [RouterNews::Address(..)]));
    assert!(stack.interface(eth).unwrap().traits(own).deprecated);
    let told = until(&mut stack, secs(302));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(!has(&stack, eth, OWN));
    assert_eq!(stack.poll_timeout(), None);
}

#[test]
fn who_does_not_listen_is_not_changed() {
    for (accept, forwards, taken) in [(0, false, false), (1, true, false), (2, true, true)] {
        let (mut stack, eth) = host();
        let mut params = stack.ra_params(Conf::Interface(eth));
        params.accept = accept;
        stack.set_ra_params(Conf::Interface(eth), params);
        stack.set_forwarding(true, Conf::All, forwards);
        let options = [prefix("2001:db8:1::", 64, 0xc0, 300, 100)];
        stack.deliver_frame(secs(1), eth, advertisement(ROUTER, 0, 30, &options));
        assert_eq!(has(&stack, eth, OWN), taken, "{accept} {forwards}");
        assert_eq!(news(&mut stack).is_empty(), !taken);
    }
}

#[test]
fn what_is_no_advertisement_is_passed_over() {
    let good = advertisement(ROUTER, 0, 30, &[prefix("2001:db8:1::", 64, 0xc0, 300, 100)]);
    let change = |change: &dyn Fn(&mut IpHeader, &mut Vec<u8>)| {
        let mut frame = good.clone();
        let FrameBody::Ip(packet) = &mut frame.body else {
            unreachable!()
        };
        let Body::Icmp(message) = &mut packet.body else {
            unreachable!()
        };
        let IcmpMessage::Other { payload, rest, .. } = &*message else {
            unreachable!()
        };
        let rest = *rest;
        let mut bytes = payload.to_vec();
        change(&mut packet.ip, &mut bytes);
        *message = IcmpMessage::Other {
            kind: 134,
            code: 0,
            rest,
            payload: bytes.into(),
        };
        frame
    };
    let bad = [
        change(&|ip, _| ip.hop_limit = 64),
        change(&|ip, _| ip.src = "2001:db8::1".parse().unwrap()),
        change(&|_, bytes| bytes.truncate(7)),
        // An option without a length.
        change(&|_, bytes| bytes[17] = 0),
        // One that is longer than the message.
        change(&|_, bytes| bytes[17] = 200),
    ];
    for frame in bad {
        let (mut stack, eth) = host();
        stack.deliver_frame(secs(1), eth, frame);
        assert_eq!(news(&mut stack), []);
        assert!(!has(&stack, eth, OWN));
    }
    // Prefixes of which no address is made.
    for (text, len, flags, valid, preferred) in [
        ("2001:db8:1::", 48, 0x40, 300, 100),
        ("2001:db8:1::", 64, 0x40, 100, 300),
        ("2001:db8:1::", 64, 0x40, 0, 0),
        ("fe80::", 64, 0xc0, 300, 100),
        ("ff02::", 64, 0xc0, 300, 100),
        ("2001:db8:1::", 200, 0xc0, 300, 100),
    ] {
        let (mut stack, eth) = host();
        let option = prefix(text, len, flags, valid, preferred);
        stack.deliver_frame(secs(1), eth, advertisement(ROUTER, 0, 0, &[option]));
        let told = news(&mut stack);
        let told_of = |t: &RouterNews| matches!(t, RouterNews::Prefix(..) | RouterNews::Option(..));
        assert!(told.iter().all(told_of), "{told:?}");
        assert_eq!(stack.interface(eth).unwrap().addresses().len(), 1);
    }
}

#[test]
fn a_stranger_does_not_end_an_address() {
    let (mut stack, eth) = host();
    let own: IpAddr = OWN.parse().unwrap();
    let tell = |stack: &mut Stack, at, valid: u32| {
        let option = prefix("2001:db8:1::", 64, 0xc0, valid, valid.min(50));
        stack.deliver_frame(at, eth, advertisement(ROUTER, 0, 30, &[option]));
        let life = stack.interface(eth).unwrap().traits(own).lifetime;
        life.and_then(|life| life.valid)
    };
    assert_eq!(tell(&mut stack, secs(0), 86_400), Some(secs(86_400)));
    // RFC 4862, 5.5.3 e: to two hours at most.
    assert_eq!(tell(&mut stack, secs(10), 60), Some(secs(7210)));
    assert_eq!(tell(&mut stack, secs(20), 9000), Some(secs(9020)));
    assert_eq!(tell(&mut stack, secs(30), u32::MAX), None);
}

#[test]
fn the_preferred_router_goes_first_and_one_that_fails_last() {
    let (mut stack, eth) = host();
    let option = || [prefix("2001:db8:1::", 64, 0xc0, 9000, 9000)];
    stack.deliver_frame(secs(1), eth, advertisement(ROUTER, 0x18, 1800, &option()));
    stack.deliver_frame(secs(1), eth, advertisement(OTHER, 0x08, 1800, &option()));
    until(&mut stack, secs(4));
    let first = |stack: &Stack| way(stack, "2001:db8:9::1").unwrap().0;
    assert_eq!(first(&stack), IpAddr::from(OTHER.link_local()));
    // It answers no more.
    stack.remove_neighbour(secs(4), eth, OTHER.link_local().into());
    let route = stack
        .route("2001:db8:9::1".parse().unwrap(), None, None)
        .unwrap();
    let mut ip = IpHeader::new(route.source, route.destination);
    ip.dont_fragment = true;
    let body = Body::Icmp(IcmpMessage::EchoRequest {
        ident: 1,
        sequence: 1,
        payload: bytes::Bytes::new(),
    });
    stack.ip_output(&route, switchboard_wire::Packet { ip, body });
    while stack.poll_frame(secs(4)).is_some() {}
    until(&mut stack, secs(10));
    assert_eq!(first(&stack), IpAddr::from(ROUTER.link_local()));
    // A router that is none any more.
    stack.deliver_frame(secs(10), eth, advertisement(ROUTER, 0, 0, &[]));
    assert_eq!(first(&stack), IpAddr::from(OTHER.link_local()));
}

#[test]
fn routers_are_asked_for_until_one_answers() {
    let (mut stack, eth) = host();
    assert_eq!(stack.poll_timeout(), None);
    stack.solicit_routers(secs(0), eth);
    let mut asked = Vec::new();
    while let Some(at) = stack.poll_timeout().filter(|at| *at <= secs(40)) {
        stack.handle_timeout(at);
        while let Some(next) = stack.poll_frame(at) {
            let packet = next.frame.packet().unwrap();
            assert_eq!(packet.ip.dst, "ff02::2".parse::<IpAddr>().unwrap());
            assert_eq!(packet.ip.hop_limit, 255);
            let Body::Icmp(IcmpMessage::Other {
                kind: 133, payload, ..
            }) = &packet.body
            else {
                panic!("{packet:?}");
            };
            assert_eq!(payload.to_vec(), [1, 1, 2, 0, 0, 0, 0, 1]);
            asked.push(at);
        }
    }
    // 4, 8 and 16 seconds apart, a tenth more or less (RFC 7559).
    assert_eq!(asked.len(), 4);
    for (pair, wanted) in asked.windows(2).zip([4, 8, 16]) {
        let apart = pair[1].saturating_sub(pair[0]);
        let wanted = Duration::from_secs(wanted);
        assert!(
            apart >= wanted * 9 / 10 && apart <= wanted * 11 / 10,
            "{apart:?}"
        );
    }
    stack.deliver_frame(secs(40), eth, advertisement(ROUTER, 0, 1800, &[]));
    let left = until(&mut stack, secs(200));
    assert!(left.iter().all(|n| matches!(n, RouterNews::Route(_))));
    assert_eq!(stack.poll_timeout(), Some(secs(1840)));

    let (mut stack, eth) = host();
    stack.set_forwarding(true, Conf::All, true);
    stack.solicit_routers(secs(0), eth);
    assert_eq!(stack.poll_timeout(), None);
}

/// However many prefixes are told of, there are no more routes and addresses than there may be.
#[test]
fn a_flood_of_prefixes_is_bounded() {
    let (mut stack, eth) = host();
    for n in 0..2000_u32 {
        let text = alloc::format!("2001:db8:{n:x}::");
        let option = prefix(&text, 64, 0xc0, 9000, 9000);
        stack.deliver_frame(secs(1), eth, advertisement(ROUTER, 0, 30, &[option]));
    }
    let own = stack.interface(eth).unwrap();
    assert!(own.addresses().len() <= 16);
    assert!(stack.routes().count() <= 256);
    assert!(news(&mut stack).len() <= 1024);
}
