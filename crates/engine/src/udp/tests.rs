//! UDP through a whole stack. Where a comment says so, the expectation is what Linux 6.18 answered.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::{Strategy, any as arbitrary, prop, prop_assert, prop_assert_eq};
use proptest::{prop_oneof, proptest};

use switchboard_wire::Payload;

use super::*;
use crate::config::Config;
use crate::event::Event;
use crate::ports::{BindError, BindRequest};
use crate::route::RouteKind;
use crate::time::Instant;

const NOW: Instant = Instant::from_millis(1000);

fn stack() -> Stack {
    Stack::new(Config::default())
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn request(local: &str) -> BindRequest {
    let local = addr(local);
    BindRequest {
        addr: local.ip(),
        port: local.port(),
        family: if local.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        },
        v6only: false,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    }
}

fn bound(stack: &mut Stack, local: &str) -> UdpId {
    let request = request(local);
    let id = stack.udp_open(request.family);
    stack.udp_bind(id, request).unwrap();
    id
}

fn send(stack: &mut Stack, id: UdpId, dst: &str, data: &[u8]) -> Result<(), UdpSendError> {
    let send = UdpSend {
        tag: crate::tag::Tag::default(),
        flow_label: None,
        device: None,
        dst: addr(dst),
        src: None,
        tos: None,
        ttl: None,
        payload: data.into(),
        segment: 0,
        unsummed: false,
        may_be_cut: false,
        fragment_size: 0,
        extra: None,
    };
    stack.udp_send(NOW, id, send)
}

fn recv(stack: &mut Stack, id: UdpId) -> Option<(Vec<u8>, SocketAddr)> {
    stack
        .udp_pop(id)
        .map(|received| (received.payload.to_vec(), received.from))
}

fn events(stack: &mut Stack) -> Vec<(SocketHandle, EventKind)> {
    core::iter::from_fn(|| stack.poll_event())
        .map(|Event { socket, kind }| (socket, kind))
        .collect()
}

#[test]
fn a_datagram_is_there_when_send_returns() {
    let mut stack = stack();
    let server = bound(&mut stack, "127.0.0.1:53");
    let client = stack.udp_open(Family::V4);
    assert_eq!(stack.udp_local(client), addr("0.0.0.0:0"));
    assert_eq!(send(&mut stack, client, "127.0.0.1:53", b"hello"), Ok(()));
    let port = stack.udp_local(client).port();
    assert!((32_768..=60_999).contains(&port));
    assert_eq!(
        events(&mut stack),
        [(SocketHandle::Udp(server), EventKind::READABLE)]
    );
    let received = stack.udp_peek(server).unwrap().clone();
    assert_eq!(
        received,
        UdpReceived {
            tag: crate::tag::Tag::default(),
            stamped: false,
            drops: 0,
            peeked: false,
            extra: None,
            flow_label: 0,
            noted: false,
            segment: 0,
            from: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            to: Ipv4Addr::LOCALHOST.into(),
            port: 53,
            interface: IfIndex::LO,
            tos: 0,
            ttl: 64,
            at: NOW,
            payload: Payload::from(&b"hello"[..]),
        }
    );
    assert_eq!(stack.udp_pop(server), Some(received));
    assert_eq!(stack.udp_pop(server), None);
}

#[test]
fn an_empty_datagram_is_a_datagram() {
    let mut stack = stack();
    let server = bound(&mut stack, "127.0.0.1:53");
    send(&mut stack, server, "127.0.0.1:53", b"").unwrap();
    assert_eq!(
        recv(&mut stack, server),
        Some((vec![], addr("127.0.0.1:53")))
    );
}

/// As Linux.
#[test]
fn connect_fixes_both_ends() {
    let mut stack = stack();
    let connect = |stack: &mut Stack, family, remote| {
        let id = stack.udp_open(family);
        stack.udp_connect(NOW, id, addr(remote)).unwrap();
        (stack.udp_local(id).ip(), stack.udp_peer(id).unwrap())
    };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let v4 = connect(&mut stack, Family::V4, "127.0.0.5:53");
    assert_eq!(v4, (ip("127.0.0.1"), addr("127.0.0.5:53")));
    let this = connect(&mut stack, Family::V4, "0.0.0.0:53");
    assert_eq!(this, (ip("127.0.0.1"), addr("127.0.0.1:53")));
    let six = connect(&mut stack, Family::V6, "[::]:53");
    assert_eq!(six, (ip("::1"), addr("[::1]:53")));
    let mapped = connect(&mut stack, Family::V6, "[::ffff:127.0.0.5]:53");
    assert_eq!(mapped, (ip("127.0.0.1"), addr("127.0.0.5:53")));
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let mut stack = stack();
    let a = bound(&mut stack, "127.0.0.1:1");
    let b = bound(&mut stack, "127.0.0.1:2");
    let stranger = bound(&mut stack, "127.0.0.1:3");
    stack.udp_connect(NOW, a, addr("127.0.0.1:2")).unwrap();
    send(&mut stack, stranger, "127.0.0.1:1", b"no").unwrap();
    send(&mut stack, b, "127.0.0.1:1", b"yes").unwrap();
    assert_eq!(
        recv(&mut stack, a),
        Some((b"yes".to_vec(), addr("127.0.0.1:2")))
    );
    assert_eq!(recv(&mut stack, a), None);
    assert_eq!(stack.counters().udp_no_ports, 1);
    stack.udp_disconnect(a);
    send(&mut stack, stranger, "127.0.0.1:1", b"now").unwrap();
    assert_eq!(
        recv(&mut stack, a),
        Some((b"now".to_vec(), addr("127.0.0.1:3")))
    );
}

/// As Linux: disconnecting gives up what bind(2) did not name.
#[test]
fn disconnect_keeps_what_was_named() {
    let mut stack = stack();
    let mut through = |local: Option<&str>| {
        let id = stack.udp_open(Family::V4);
        if let Some(local) = local {
            stack.udp_bind(id, request(local)).unwrap();
        }
        stack.udp_connect(NOW, id, addr("127.0.0.1:9")).unwrap();
        let connected = stack.udp_local(id);
        assert_eq!(connected.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_ne!(connected.port(), 0);
        stack.udp_disconnect(id);
        assert_eq!(stack.udp_peer(id), None);
        stack.udp_local(id)
    };
    assert_eq!(through(Some("127.0.0.1:0")), addr("127.0.0.1:0"));
    assert_eq!(through(None), addr("0.0.0.0:0"));
    assert_eq!(through(Some("0.0.0.0:23456")), addr("0.0.0.0:23456"));
    // The ports that were given up are free again, the one that was named is not.
    let other = stack.udp_open(Family::V4);
    let taken = stack.udp_bind(other, request("127.0.0.1:23456"));
    assert_eq!(taken, Err(BindError::InUse));
}

#[test]
fn a_refusal_reaches_a_connected_socket_only() {
    let mut stack = stack();
    for (family, dst) in [(Family::V4, "127.0.0.1:9"), (Family::V6, "[::1]:9")] {
        let connected = stack.udp_open(family);
        stack.udp_connect(NOW, connected, addr(dst)).unwrap();
        send(&mut stack, connected, dst, b"x").unwrap();
        assert_eq!(
            events(&mut stack),
            [(SocketHandle::Udp(connected), EventKind::ERROR)]
        );
        assert_eq!(
            stack.udp_error(connected),
            Some(UdpError::ConnectionRefused)
        );
        assert_eq!(
            stack.udp_take_error(connected),
            Some(UdpError::ConnectionRefused)
        );
        assert_eq!(stack.udp_take_error(connected), None);

        let other = stack.udp_open(family);
        send(&mut stack, other, dst, b"x").unwrap();
        assert_eq!(stack.udp_error(other), None);
        assert_eq!(events(&mut stack), []);
    }
}

#[test]
fn closing_gives_the_port_back_and_refuses() {
    let mut stack = stack();
    let server = bound(&mut stack, "127.0.0.1:53");
    let client = stack.udp_open(Family::V4);
    stack
        .udp_connect(NOW, client, addr("127.0.0.1:53"))
        .unwrap();
    stack.udp_close(server);
    send(&mut stack, client, "127.0.0.1:53", b"x").unwrap();
    assert_eq!(
        stack.udp_take_error(client),
        Some(UdpError::ConnectionRefused)
    );
    bound(&mut stack, "127.0.0.1:53");
}

#[test]
fn a_dual_stack_socket_speaks_ipv4() {
    let mut stack = stack();
    let server = bound(&mut stack, "[::]:53");
    let client = bound(&mut stack, "127.0.0.1:1");
    send(&mut stack, client, "127.0.0.1:53", b"four").unwrap();
    assert_eq!(
        recv(&mut stack, server),
        Some((b"four".to_vec(), addr("127.0.0.1:1")))
    );
    send(&mut stack, server, "[::ffff:127.0.0.1]:1", b"back").unwrap();
    assert_eq!(
        recv(&mut stack, client),
        Some((b"back".to_vec(), addr("127.0.0.1:53")))
    );
    let six = bound(&mut stack, "[::1]:1");
    send(&mut stack, six, "[::1]:53", b"six").unwrap();
    assert_eq!(
        recv(&mut stack, server),
        Some((b"six".to_vec(), addr("[::1]:1")))
    );
    // LOOPBACK4_IPV6: an IPv6 address has another for IPv4, unless the socket speaks IPv6 alone.
    send(&mut stack, six, "127.0.0.1:53", b"in").unwrap();
    assert_eq!(
        recv(&mut stack, server),
        Some((b"in".to_vec(), addr("127.0.0.6:1")))
    );
    let alone = stack.udp_open(Family::V6);
    let request = BindRequest {
        v6only: true,
        ..request("[::1]:2")
    };
    stack.udp_bind(alone, request).unwrap();
    assert_eq!(
        send(&mut stack, alone, "127.0.0.1:53", b""),
        Err(RouteError::WrongFamily.into())
    );
}

/// As Linux, with the socket of IPv6 among those reached.
#[test]
fn the_loopback_broadcast_reaches_wildcards_and_its_own_address() {
    let mut stack = stack();
    let reuse = |text| BindRequest {
        reuse_addr: true,
        ..request(text)
    };
    let open = |stack: &mut Stack, request: BindRequest| {
        let id = stack.udp_open(request.family);
        stack.udp_bind(id, request).unwrap();
        id
    };
    let specific = open(&mut stack, reuse("127.0.0.1:53"));
    let wild = open(&mut stack, reuse("0.0.0.0:53"));
    let six = open(&mut stack, reuse("[::]:53"));
    let cast = open(&mut stack, reuse("127.255.255.255:53"));
    let sender = bound(&mut stack, "0.0.0.0:1");
    let route = stack
        .udp_route(sender, "127.255.255.255".parse().unwrap(), Way::default())
        .unwrap();
    assert_eq!(route.kind, RouteKind::Broadcast);
    send(&mut stack, sender, "127.255.255.255:53", b"all").unwrap();
    for id in [wild, six, cast] {
        assert_eq!(
            recv(&mut stack, id),
            Some((b"all".to_vec(), addr("127.0.0.1:1")))
        );
    }
    assert_eq!(recv(&mut stack, specific), None);
    assert_eq!(
        send(&mut stack, sender, "255.255.255.255:53", b""),
        Err(RouteError::Unreachable.into())
    );
}

#[test]
fn the_largest_datagrams() {
    let mut stack = stack();
    let four = bound(&mut stack, "127.0.0.1:53");
    assert_eq!(send(&mut stack, four, "127.0.0.1:53", &[1; 65_507]), Ok(()));
    assert_eq!(
        recv(&mut stack, four).map(|(data, _)| data.len()),
        Some(65_507)
    );
    let too_big = send(&mut stack, four, "127.0.0.1:53", &[1; 65_508]);
    assert_eq!(too_big, Err(UdpSendError::TooBig));
    let six = bound(&mut stack, "[::1]:53");
    assert_eq!(send(&mut stack, six, "[::1]:53", &[1; 65_527]), Ok(()));
    assert_eq!(
        recv(&mut stack, six).map(|(data, _)| data.len()),
        Some(65_527)
    );
    assert_eq!(
        send(&mut stack, six, "[::1]:53", &[1; 65_528]),
        Err(UdpSendError::TooBig)
    );
}

#[test]
fn a_full_queue_drops_and_counts() {
    let mut stack = stack();
    let server = bound(&mut stack, "127.0.0.1:53");
    for _ in 0..300 {
        send(&mut stack, server, "127.0.0.1:53", b"x").unwrap();
    }
    assert_eq!(stack.udp_queue(server).count(), 256);
    assert_eq!(stack.udp_drops(server), 44);
    assert_eq!(stack.counters().udp_rcvbuf_errors, 44);
    assert_eq!(stack.udp_receive_memory(server), 212_992);
    // One event for all that came.
    assert_eq!(events(&mut stack).len(), 1);
    while recv(&mut stack, server).is_some() {}
    stack.udp_set(server, UdpSet::ReceiveBuffer(2304));
    for _ in 0..3 {
        send(&mut stack, server, "127.0.0.1:53", b"x").unwrap();
    }
    assert_eq!(stack.udp_queue(server).count(), 2);
}

#[test]
fn header_fields_come_through() {
    let mut stack = stack();
    let server = bound(&mut stack, "127.0.0.1:53");
    let send = UdpSend {
        tag: crate::tag::Tag::default(),
        flow_label: None,
        device: None,
        dst: addr("127.0.0.1:53"),
        src: Some("127.0.0.7".parse().unwrap()),
        tos: Some(0x10),
        ttl: Some(3),
        payload: Payload::new(),
        segment: 0,
        unsummed: false,
        may_be_cut: false,
        fragment_size: 0,
        extra: None,
    };
    stack.udp_send(NOW, server, send).unwrap();
    let received = stack.udp_pop(server).unwrap();
    assert_eq!(
        (received.from, received.tos, received.ttl),
        (addr("127.0.0.7:53"), 0x10, 3)
    );
}

#[test]
fn only_own_addresses_can_be_bound() {
    let mut stack = stack();
    let id = stack.udp_open(Family::V4);
    assert_eq!(
        stack.udp_bind(id, request("10.0.0.1:53")),
        Err(BindError::NotLocal)
    );
    stack.sysctl_mut().ip_nonlocal_bind = true;
    assert_eq!(
        stack.udp_bind(id, request("10.0.0.1:53")),
        Ok(addr("10.0.0.1:53"))
    );
}

#[test]
fn reuse_can_be_set_after_bind() {
    let mut stack = stack();
    let first = bound(&mut stack, "127.0.0.1:53");
    let second = stack.udp_open(Family::V4);
    let reuse = BindRequest {
        reuse_addr: true,
        ..request("127.0.0.1:53")
    };
    assert_eq!(stack.udp_bind(second, reuse), Err(BindError::InUse));
    stack.udp_set(first, UdpSet::ReuseAddr(true));
    assert_eq!(stack.udp_bind(second, reuse), Ok(addr("127.0.0.1:53")));
    // Among equals the newest gets the datagram; setting an option does not make a socket newer.
    stack.udp_set(first, UdpSet::ReusePort(false));
    let client = stack.udp_open(Family::V4);
    send(&mut stack, client, "127.0.0.1:53", b"x").unwrap();
    assert!(recv(&mut stack, second).is_some());
}

#[derive(Clone, Debug)]
enum Call {
    Open(bool),
    Bind(usize, &'static str, u16, bool, bool),
    Connect(usize, &'static str, u16),
    Disconnect(usize),
    Send(usize, &'static str, u16),
    Receive(usize),
    Set(usize, UdpSet),
    Close(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let address = prop::sample::select(vec![
        "127.0.0.1",
        "127.0.0.2",
        "0.0.0.0",
        "127.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "224.0.0.1",
        "10.0.0.1",
    ]);
    let set = prop_oneof![
        arbitrary::<bool>().prop_map(UdpSet::ReuseAddr),
        arbitrary::<bool>().prop_map(UdpSet::ReusePort),
        (0u32..3).prop_map(|n| UdpSet::Device(IfIndex::new(n))),
        (2304u32..10_000).prop_map(UdpSet::ReceiveBuffer),
    ];
    let port = 0u16..4;
    prop_oneof![
        arbitrary::<bool>().prop_map(Call::Open),
        (
            0usize..8,
            address.clone(),
            port.clone(),
            arbitrary::<bool>(),
            arbitrary::<bool>()
        )
            .prop_map(|(n, a, p, r, s)| Call::Bind(n, a, p, r, s)),
        (0usize..8, address.clone(), port.clone()).prop_map(|(n, a, p)| Call::Connect(n, a, p)),
        (0usize..8).prop_map(Call::Disconnect),
        (0usize..8, address, port).prop_map(|(n, a, p)| Call::Send(n, a, p)),
        (0usize..8).prop_map(Call::Receive),
        (0usize..8, set).prop_map(|(n, s)| Call::Set(n, s)),
        (0usize..8).prop_map(Call::Close),
    ]
}

/// Runs the calls and closes all; a transcript of what came back.
fn run(calls: &[Call]) -> (Stack, Vec<alloc::string::String>) {
    use alloc::format;
    let mut stack = stack();
    let mut open: Vec<UdpId> = Vec::new();
    let mut log = Vec::new();
    for call in calls {
        let pick = |n: usize| open.get(n % open.len().max(1)).copied();
        let at = |addr: &str, port| SocketAddr::new(addr.parse().unwrap(), port);
        let id = match *call {
            Call::Open(v6) => {
                open.push(stack.udp_open(if v6 { Family::V6 } else { Family::V4 }));
                continue;
            }
            Call::Bind(n, ..)
            | Call::Connect(n, ..)
            | Call::Disconnect(n)
            | Call::Send(n, ..)
            | Call::Receive(n)
            | Call::Set(n, _)
            | Call::Close(n) => pick(n),
        };
        let Some(id) = id else { continue };
        log.push(match *call {
            Call::Open(_) => continue,
            Call::Bind(_, addr, port, reuse_addr, reuse_port) => {
                let addr = addr.parse().unwrap();
                let request = BindRequest {
                    addr,
                    port,
                    reuse_addr,
                    reuse_port,
                    ..request("[::]:0")
                };
                format!("{:?}", stack.udp_bind(id, request))
            }
            Call::Connect(_, addr, port) => {
                format!("{:?}", stack.udp_connect(NOW, id, at(addr, port)))
            }
            Call::Disconnect(_) => format!("{:?}", stack.udp_disconnect(id)),
            Call::Send(_, addr, port) => {
                let payload = b"data"[..].into();
                let dst = at(addr, port);
                let send = UdpSend {
                    tag: crate::tag::Tag::default(),
                    flow_label: None,
                    device: None,
                    dst,
                    src: None,
                    tos: None,
                    ttl: None,
                    payload,
                    segment: 0,
                    unsummed: false,
                    may_be_cut: false,
                    fragment_size: 0,
                    extra: None,
                };
                format!("{:?}", stack.udp_send(NOW, id, send))
            }
            Call::Receive(_) => format!("{:?}", stack.udp_pop(id)),
            Call::Set(_, set) => format!("{:?}", stack.udp_set(id, set)),
            Call::Close(_) => {
                open.retain(|other| *other != id);
                format!("{:?}", stack.udp_close(id))
            }
        });
        log.push(format!(
            "{:?}",
            core::iter::from_fn(|| stack.poll_event()).collect::<Vec<_>>()
        ));
    }
    open.into_iter().for_each(|id| stack.udp_close(id));
    (stack, log)
}

proptest! {
    /// Whatever the calls: no panic, the same twice, and nothing stays behind when all sockets are closed.
    #[test]
    fn any_calls_leave_clean_tables(calls in prop::collection::vec(call(), 0..60)) {
        let (stack, log) = run(&calls);
        prop_assert!(stack.udp.udp.demux.is_empty());
        prop_assert!(stack.udp.udp.ports.is_empty());
        prop_assert_eq!(log, run(&calls).1);
    }
}

#[test]
#[should_panic(expected = "used after udp_close")]
fn a_closed_socket_is_a_callers_bug() {
    let mut stack = stack();
    let id = stack.udp_open(Family::V4);
    stack.udp_close(id);
    let _ = stack.udp_open(Family::V4);
    stack.udp_local(id);
}

#[test]
fn rules_look_at_the_owner() {
    let mut stack = stack();
    let rule = crate::policy::Rule {
        action: crate::policy::RuleAction::Prohibit,
        users: Some((1000, 1000)),
        ..crate::policy::Rule::of_table(false, 10, 254)
    };
    stack.add_rule(rule);
    let to = "192.0.2.1".parse().unwrap();
    for (uid, error) in [
        (999, RouteError::Unreachable),
        (1000, RouteError::Prohibited),
        (0, RouteError::Unreachable),
    ] {
        // Nobody has bound it yet.
        let id = stack.udp_open(Family::V4);
        stack.udp_set(id, UdpSet::Owner(uid));
        assert_eq!(stack.udp_route(id, to, Way::default()), Err(error), "{uid}");
    }
}
