use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use switchboard_wire::{UdpDatagram, Unreachable};

use super::*;
use crate::config::Config;
use crate::fragments::cut;
use crate::iface::InterfaceConfig;
use crate::route::RouteConfig;
use crate::tcp::{SendFlags, State, TcpError};

const ETH0: IfIndex = IfIndex::new(2).unwrap();
const OUTSIDE: &str = "198.51.100.7";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn stack(seed: u8, address: &str) -> Stack {
    let mut stack = Stack::new(Config {
        seed: [seed; 32],
        ..Config::default()
    });
    let index = stack.add_interface(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    stack.add_address(index, ip(address), 24);
    stack
}

/// A host, and the gateway that it sends everything to.
struct Pair {
    inside: Stack,
    gateway: Stack,
    now: Instant,
}

impl Pair {
    fn new() -> Pair {
        let mut inside = stack(1, "10.0.2.15");
        inside.add_route(RouteConfig {
            prefix: ip("0.0.0.0"),
            prefix_len: 0,
            gateway: Some(ip("10.0.2.2")),
            interface: ETH0,
            source: None,
            metric: 0,
            protocol: 3,
            scope: 0,
            table: crate::TABLE_MAIN,
            leads: crate::Leads::On,
            share: None,
        });
        let mut gateway = stack(2, "10.0.2.2");
        gateway.divert(ETH0);
        Pair {
            inside,
            gateway,
            now: Instant::from_secs(10),
        }
    }

    fn carry(&mut self) {
        let now = self.now;
        loop {
            let mut moved = false;
            while let Some((_, packet)) = self.inside.poll_transmit(now) {
                self.gateway.deliver(now, ETH0, packet);
                moved = true;
            }
            while let Some((_, packet)) = self.gateway.poll_transmit(now) {
                self.inside.deliver(now, ETH0, packet);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn connect(&mut self) -> TcpId {
        let id = self.inside.tcp_open(Family::V4);
        let to = SocketAddr::new(ip(OUTSIDE), 80);
        self.inside.tcp_connect(self.now, id, to).unwrap();
        self.carry();
        id
    }
}

#[test]
fn a_syn_waits_until_it_is_admitted() {
    let mut pair = Pair::new();
    let client = pair.connect();
    assert_eq!(pair.inside.tcp_state(client), State::SynSent);
    let syn = pair.gateway.poll_diverted().expect("the SYN");
    assert_eq!(syn.packet.ip.dst, ip(OUTSIDE));
    assert!(pair.gateway.poll_diverted().is_none());
    let doorman = pair.gateway.tcp_doorman(Family::V4, 8);
    pair.gateway.tcp_admit(pair.now, doorman, &syn);
    // The same once more, as a repeated SYN would have it.
    pair.gateway.tcp_admit(pair.now, doorman, &syn);
    pair.carry();
    assert_eq!(pair.inside.tcp_state(client), State::Established);
    let server = pair
        .gateway
        .tcp_accept(pair.now, doorman)
        .expect("accepted");
    assert!(pair.gateway.tcp_accept(pair.now, doorman).is_none());
    assert_eq!(
        pair.gateway.tcp_local(server),
        Some(SocketAddr::new(ip(OUTSIDE), 80))
    );
    assert_eq!(
        pair.gateway.tcp_remote(server),
        pair.inside.tcp_local(client)
    );
    let data = Bytes::from(vec![7; 50_000]);
    let flags = SendFlags::default();
    pair.inside
        .tcp_set(pair.now, client, crate::tcp::TcpSet::NoDelay(true));
    pair.inside.tcp_send(pair.now, client, data, flags);
    pair.carry();
    assert_eq!(pair.gateway.tcp_recv_available(server), 50_000);
    // Nothing of the connection is put aside.
    assert!(pair.gateway.poll_diverted().is_none());
}

#[test]
fn a_syn_that_goes_on_is_refused() {
    let mut pair = Pair::new();
    let client = pair.connect();
    let syn = pair.gateway.poll_diverted().expect("the SYN");
    pair.gateway.resume(pair.now, syn);
    pair.carry();
    assert_eq!(
        pair.inside.tcp_take_error(client),
        Some(TcpError::ConnectionRefused)
    );
}

#[test]
fn a_connection_comes_from_anybody() {
    let mut pair = Pair::new();
    let listener = pair.inside.tcp_open(Family::V4);
    let request = BindRequest {
        addr: ip("0.0.0.0"),
        port: 80,
        family: Family::V4,
        v6only: false,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    };
    pair.inside.tcp_bind(listener, request).unwrap();
    pair.inside.tcp_listen(pair.now, listener, 8).unwrap();
    let (from, to) = (
        SocketAddr::new(ip(OUTSIDE), 5555),
        SocketAddr::new(ip("10.0.2.15"), 80),
    );
    let client = pair.gateway.tcp_open(Family::V4);
    let connected = pair.gateway.tcp_connect_as(pair.now, client, from, to);
    assert_eq!(connected, Ok(()));
    pair.carry();
    assert_eq!(pair.gateway.tcp_state(client), State::Established);
    let server = pair.inside.tcp_accept(pair.now, listener).unwrap();
    assert_eq!(pair.inside.tcp_remote(server), Some(from));
    assert!(!pair.gateway.sysctl().ip_nonlocal_bind);
}

fn datagram(len: usize) -> Packet {
    let mut ip_header = IpHeader::new(ip("10.0.2.15"), ip(OUTSIDE));
    ip_header.dont_fragment = false;
    Packet {
        ip: ip_header,
        body: Body::Udp(UdpDatagram {
            src_port: 9,
            dst_port: 53,
            payload: vec![3; len].into(),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    }
}

#[test]
fn datagrams_are_put_together_first() {
    let mut pair = Pair::new();
    for piece in cut(&datagram(4000), 1500, 77) {
        assert!(pair.gateway.poll_diverted().is_none());
        pair.gateway.deliver(pair.now, ETH0, piece);
    }
    let whole = pair.gateway.poll_diverted().expect("a datagram");
    let Body::Udp(udp) = &whole.packet.body else {
        panic!("{whole:?}");
    };
    assert_eq!((udp.dst_port, udp.payload.len()), (53, 4000));
    // Nobody here has the port.
    pair.gateway.resume(pair.now, whole);
    let (_, answer) = pair.gateway.poll_transmit(pair.now).expect("an answer");
    let Body::Icmp(IcmpMessage::Unreachable { code, .. }) = answer.body else {
        panic!("{answer:?}");
    };
    assert_eq!(code, Unreachable::Port);
}

#[test]
fn hops_are_counted_and_groups_are_nobody() {
    let mut pair = Pair::new();
    let mut last = datagram(1);
    last.ip.hop_limit = 1;
    pair.gateway.deliver(pair.now, ETH0, last);
    let (_, answer) = pair.gateway.poll_transmit(pair.now).expect("an answer");
    assert_eq!(answer.ip.src, ip("10.0.2.2"));
    assert!(matches!(
        answer.body,
        Body::Icmp(IcmpMessage::TimeExceeded { code: 0, .. })
    ));
    for nobody in ["224.0.0.9", "255.255.255.255", "10.0.2.255", "0.0.0.1"] {
        let mut packet = datagram(1);
        packet.ip.dst = ip(nobody);
        pair.gateway.deliver(pair.now, ETH0, packet);
    }
    assert!(pair.gateway.poll_diverted().is_none());
}

#[test]
fn what_is_kept_is_bounded() {
    let mut pair = Pair::new();
    for _ in 0..2 * MOST {
        pair.gateway.deliver(pair.now, ETH0, datagram(1));
    }
    let kept: Vec<_> = core::iter::from_fn(|| pair.gateway.poll_diverted()).collect();
    assert_eq!(kept.len(), MOST);
    assert_eq!(pair.gateway.counters().ip_in_discards, MOST as u64);
}
