//! Addresses that a host loses while it speaks from them (net.ipv4.ip_dynaddr), as the kernel (6.18) does it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use switchboard_engine::*;
use switchboard_wire::*;

const OLD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const NEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const EPOCH: Instant = Instant::from_secs(1000);

struct Net {
    stack: Stack,
    link: IfIndex,
    id: TcpId,
}

/// A host that has sent a SYN, and then has got another address.
fn moved(dynaddr: u8, bound: bool) -> Net {
    let mut stack = Stack::new(Config {
        seed: [3; 32],
        ..Config::default()
    });
    stack.sysctl_mut().ip_dynaddr = dynaddr;
    let link = stack.add_interface(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    stack.add_address(link, OLD, 24);
    let id = stack.tcp_open(Family::V4);
    if bound {
        let request = BindRequest {
            addr: OLD,
            port: 0,
            family: Family::V4,
            v6only: false,
            device: None,
            reuse_addr: false,
            reuse_port: false,
            uid: 0,
        };
        stack.tcp_bind(id, request).unwrap();
    }
    stack
        .tcp_connect(EPOCH, id, SocketAddr::new(PEER, 80))
        .unwrap();
    let mut net = Net { stack, link, id };
    assert_eq!(net.sources(EPOCH), [OLD]);
    let gone = net.stack.interface(link).unwrap().addresses()[0];
    net.stack
        .change_interface(link, InterfaceChange::Remove(gone));
    assert!(!net.stack.is_local(OLD), "{gone:?}");
    net.stack.add_address(link, NEW, 24);
    net
}

impl Net {
    /// The sources of what is sent until then.
    fn sources(&mut self, until: Instant) -> Vec<IpAddr> {
        let mut sources = Vec::new();
        let mut now = EPOCH;
        loop {
            while let Some((_, packet)) = self.stack.poll_transmit(now) {
                sources.push(packet.ip.src);
            }
            match self.stack.poll_timeout().filter(|&at| at <= until) {
                Some(at) => now = now.max(at),
                None => return sources,
            }
            self.stack.handle_timeout(now);
        }
    }
}

#[test]
fn a_syn_comes_from_the_new_address() {
    let mut net = moved(1, false);
    let later = EPOCH + Duration::from_millis(2500);
    assert_eq!(net.sources(later), [NEW, NEW]);
    let local = net.stack.tcp_local(net.id).unwrap();
    assert_eq!(local.ip(), NEW);
    // The answer to it finds the socket.
    let isn = SeqNum(net.stack.tcp_send_sequence(net.id).0);
    let answer = TcpSegment {
        src_port: 80,
        dst_port: local.port(),
        seq: SeqNum(7),
        ack: isn + 1u32,
        flags: TcpFlags::SYN | TcpFlags::ACK,
        window: 1000,
        urgent: 0,
        options: Default::default(),
        payload: Vec::new().into(),
        gso: 0,
    };
    let packet = Packet {
        ip: IpHeader::new(PEER, NEW),
        body: Body::Tcp(answer),
    };
    net.stack.deliver(later, net.link, packet);
    assert_eq!(net.stack.tcp_state(net.id), State::Established);
}

#[test]
fn nothing_leaves_from_an_address_that_is_gone() {
    for (dynaddr, bound) in [(0, false), (1, true)] {
        let mut net = moved(dynaddr, bound);
        let sources = net.sources(EPOCH + Duration::from_millis(2500));
        assert!(sources.is_empty(), "{sources:?}");
        assert_eq!(net.stack.tcp_local(net.id).unwrap().ip(), OLD);
        // It is back.
        net.stack.add_address(net.link, OLD, 32);
        assert_eq!(net.sources(EPOCH + Duration::from_millis(3500)), [OLD]);
    }
}
