//! User-mode NAT: a gateway whose outside are the sockets of the real host. What a virtual host reaches through it is
//! what this process reaches, without a privilege.
//!
//! # Theory of operation
//! The gateway is an engine's stack on the virtual host's link, which takes packets for anybody
//! ([`Stack::divert`]). The first packet of a conversation is put aside; a flow is made for it, with a socket of the
//! real host, and the packet goes on when the outside has answered.
//! - **TCP** ([`tcp`]): a SYN is answered when the real connection stands, and with what went wrong when it does not. Then
//!   bytes are moved between the connection's queues and the real socket; each side's window is what the other takes.
//! - **UDP** ([`udp`]): a real socket for each address and port of the virtual host, unconnected, so that whoever has
//!   been asked may answer from anywhere (an endpoint-independent mapping, RFC 4787). ICMP errors come back by the
//!   socket's error queue, with the router's address in them.
//! - **Echo** ([`ping`]): a ping socket for each identifier.
//! - **DNS** ([`dns`]): an address of the gateway's own hands questions on to the real host's resolvers.
//! - **Published ports** ([`publish`]): real sockets whose connections and datagrams come in from their clients'
//!   addresses.
//!
//! All real sockets are non-blocking and in one epoll instance, which is what [`AsFd`] gives: when it is readable,
//! [`Nat::look`] is to be called. Nothing here waits, and time is an argument.
//!
//! # Limits
//! Flows are bounded ([`MOST_TCP`], [`MOST_UDP`], ...); a SYN too many is dropped, as by any NAT whose table is full. A
//! flow of UDP, echo or DNS ends when nothing has crossed it for a while.

mod addresses;
mod dns;
mod fault;
mod ping;
mod pool;
mod publish;
mod sockets;
mod tcp;
mod udp;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

use rustix::event::epoll;
use switchboard_engine::{
    Config, Diverted, EventKind, IfIndex, Instant, InterfaceConfig, SocketHandle, Stack,
};
use switchboard_wire::{Body, Frame, IcmpMessage, Mac, Packet};

pub use addresses::{NatAddresses, NatSubnet};
use addresses::{Target, Translation};
use fault::Fault;
pub use publish::{Publish, PublishProtocol};

/// The MTU of the link to the gateway: the largest that is a multiple of 8 and leaves TCP's and IP's lengths room in 16
/// bits. pasta and slirp4netns have the same.
pub const NAT_MTU: u32 = 65_520;

/// Connections through the gateway at a time, half-open ones and those waiting for the outside included.
const MOST_TCP: usize = 4096;
/// Addresses and ports of the virtual host that have a real UDP socket.
const MOST_UDP: usize = 2048;
/// Echo identifiers, and questions to the resolvers that wait.
const MOST_PINGS: usize = 256;
const MOST_QUESTIONS: usize = 512;

/// RFC 4787, 4.3: "at least two minutes".
const UDP_IDLE: Duration = Duration::from_secs(120);
const PING_IDLE: Duration = Duration::from_secs(30);
/// As long as a resolver takes to give up on all its servers.
const QUESTION_IDLE: Duration = Duration::from_secs(20);
/// How often idle flows are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// The gateway's hardware address, of those that nobody gives out (IEEE 802, 8.4).
const MAC: Mac = Mac([0x02, 0x53, 0xff, 0xff, 0xff, 0x01]);

/// How many events of real sockets are taken at a time.
const EVENTS: usize = 256;

/// Makes a [`Nat`].
#[derive(Clone, Debug)]
pub struct NatConfig {
    /// The seed of the gateway's own sequence numbers and ports.
    pub seed: [u8; 32],
    /// Who is who on the link.
    pub addresses: NatAddresses,
    /// The largest packet on the link.
    pub mtu: u32,
    /// The virtual host may reach what the real host reaches. Without it only published ports lead anywhere, and what
    /// is sent outside is answered with "network unreachable".
    pub outside: bool,
    /// What the real host's own loopback addresses are called by the virtual host: at most one of each version.
    pub host_loopback: Vec<IpAddr>,
    /// Where the real host's resolvers stand; read again when it changes.
    pub resolv_conf: PathBuf,
}

impl Default for NatConfig {
    fn default() -> NatConfig {
        NatConfig {
            seed: [0; 32],
            addresses: NatAddresses::default(),
            mtu: NAT_MTU,
            outside: true,
            host_loopback: Vec::new(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
        }
    }
}

/// What flows have in common: the stack towards the virtual host, and the real sockets' epoll instance.
struct Gateway {
    stack: Stack,
    interface: IfIndex,
    translation: Translation,
    epoll: OwnedFd,
    next_key: u64,
    /// Identifies the pieces of datagrams that are cut for the link.
    ident: u16,
}

/// Whose a real socket is; the upper byte of an epoll token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Tcp,
    Udp,
    Ping,
    Dns,
    Listener,
}

const KINDS: [Kind; 5] = [Kind::Tcp, Kind::Udp, Kind::Ping, Kind::Dns, Kind::Listener];

impl Gateway {
    /// A key that no other flow ever had.
    fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// Has a real socket's events told, once for each.
    fn watch(&self, socket: impl AsFd, kind: Kind, key: u64) -> rustix::io::Result<()> {
        use epoll::EventFlags as F;
        let token = epoll::EventData::new_u64((kind as u64) << 56 | key);
        epoll::add(
            &self.epoll,
            socket,
            token,
            F::IN | F::OUT | F::RDHUP | F::ET,
        )
    }

    /// Sends the virtual host a packet from anybody.
    fn send(&mut self, now: Instant, mut packet: Packet) {
        if packet.ip.src.is_ipv4() {
            // It may be cut for the link, as it was on its way here for all we know.
            self.ident = self.ident.wrapping_add(1);
            packet.ip.ident = self.ident;
            packet.ip.dont_fragment = false;
        }
        self.stack.send_packet(now, packet);
    }

    /// Tells the virtual host what became of its packet: `from` says so, or the gateway.
    fn fail(&mut self, now: Instant, packet: &Packet, from: Option<IpAddr>, fault: Fault) {
        let gateway = self.translation.gateway(packet.ip.src.is_ipv6());
        let message = fault.about(from.unwrap_or(gateway), packet);
        self.send(now, message);
    }
}

/// A gateway between a virtual host's link and the sockets of the real host.
pub struct Nat {
    gateway: Gateway,
    addresses: NatAddresses,
    tcp: tcp::Flows,
    udp: udp::Flows,
    pings: ping::Flows,
    questions: dns::Questions,
    published: publish::Listeners,
    next_sweep: Instant,
    mtu: u32,
}

/// How much there is of what, for whoever wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatCounts {
    /// TCP connections.
    pub tcp: usize,
    /// UDP sockets, published ones included.
    pub udp: usize,
    /// Ping sockets.
    pub pings: usize,
    /// Questions that wait for a resolver.
    pub questions: usize,
}

impl Nat {
    /// A gateway. It asks nothing of the outside until the virtual host does: an offline host is none that fails.
    pub fn new(config: NatConfig) -> io::Result<Nat> {
        let NatConfig {
            seed,
            addresses,
            mtu,
            outside,
            host_loopback,
            resolv_conf,
        } = config;
        let translation = Translation::new(&addresses, outside, &host_loopback)?;
        let mut config = Config {
            seed,
            ..Config::default()
        };
        // A flow holds at most so much in each direction. The kernel behind the real socket has buffers of its own.
        config.sysctl.tcp_rmem = [4096, 1 << 20, 1 << 20];
        config.sysctl.tcp_wmem = [4096, 1 << 20, 1 << 20];
        let mut stack = Stack::new(config);
        let link = InterfaceConfig {
            name: String::from("eth0"),
            mtu,
        };
        let interface = stack.add_ethernet(link, MAC);
        // Which is asked for on the link, if it is one of its subnets'.
        for &addr in &host_loopback {
            stack.add_address(interface, addr, if addr.is_ipv6() { 128 } else { 32 });
        }
        for (addr, prefix_len) in addresses.of_gateway() {
            stack.add_address(interface, addr, prefix_len);
        }
        stack.divert(interface);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let tcp = tcp::Flows::new(&mut stack);
        Ok(Nat {
            gateway: Gateway {
                stack,
                interface,
                translation,
                epoll,
                next_key: 0,
                ident: 0,
            },
            addresses,
            tcp,
            udp: udp::Flows::default(),
            pings: ping::Flows::default(),
            questions: dns::Questions::new(resolv_conf),
            published: publish::Listeners::default(),
            next_sweep: Instant::MAX,
            mtu,
        })
    }

    /// Who is who on the link.
    pub fn addresses(&self) -> &NatAddresses {
        &self.addresses
    }

    /// The largest packet on the link.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// What the virtual host's /etc/resolv.conf says: the gateway as the only server, and the real host's search list and
    /// options.
    pub fn resolv_conf(&self) -> String {
        self.questions.file(&self.addresses)
    }

    /// Publishes a port of the virtual host on the real host; where, when the port was left to be chosen.
    pub fn publish(&mut self, publish: &Publish) -> io::Result<SocketAddr> {
        self.published
            .add(&mut self.gateway, &mut self.udp, publish)
    }

    /// The virtual host has sent a frame. [`work`](Self::work) is to follow.
    pub fn send(&mut self, now: Instant, frame: Frame) {
        self.gateway
            .stack
            .deliver_frame(now, self.gateway.interface, frame);
    }

    /// Does what packets, timers and real sockets have made necessary. Says whether there is more to do at once, for
    /// which it has left others their turn.
    pub fn work(&mut self, now: Instant) -> bool {
        while let Some(diverted) = self.gateway.stack.poll_diverted() {
            self.begin(now, diverted);
        }
        while let Some(event) = self.gateway.stack.poll_event() {
            let SocketHandle::Tcp(id) = event.socket else {
                continue;
            };
            if self.tcp.is_doorman(id) {
                self.tcp.accept(&mut self.gateway, now);
            } else if event.kind != EventKind::RELEASED {
                self.tcp.stir(id);
            }
        }
        self.tcp.work(&mut self.gateway, now)
    }

    /// The next frame for the virtual host.
    pub fn recv(&mut self, now: Instant) -> Option<Frame> {
        Some(self.gateway.stack.poll_frame(now)?.frame)
    }

    /// Takes what the real sockets have to say; it does not wait. [`work`](Self::work) is to follow.
    pub fn look(&mut self, now: Instant) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        let none = rustix::event::Timespec::default();
        loop {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            if epoll::wait(&self.gateway.epoll, spare, Some(&none)).is_err() {
                break;
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                let key = token & (u64::MAX >> 8);
                match KINDS.get((token >> 56) as usize) {
                    Some(Kind::Tcp) => self.tcp.ready(&mut self.gateway, now, key, flags),
                    Some(Kind::Udp) => self.udp.ready(&mut self.gateway, now, key, flags),
                    Some(Kind::Ping) => self.pings.ready(&mut self.gateway, now, key, flags),
                    Some(Kind::Dns) => self.questions.ready(&mut self.gateway, now, key),
                    Some(Kind::Listener) => {
                        self.published
                            .ready(&mut self.gateway, &mut self.tcp, now, key);
                    }
                    None => {}
                }
            }
            if events.len() < EVENTS {
                break;
            }
        }
        if self.next_sweep == Instant::MAX {
            self.plan_sweep(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sweep = Some(self.next_sweep).filter(|&at| at != Instant::MAX);
        let stack = self.gateway.stack.poll_timeout();
        stack.into_iter().chain(sweep).min()
    }

    /// Does what is due. [`work`](Self::work) is to follow.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self
            .gateway
            .stack
            .poll_timeout()
            .is_some_and(|at| at <= now)
        {
            self.gateway.stack.handle_timeout(now);
        }
        if self.next_sweep <= now {
            self.udp.sweep(now);
            self.pings.sweep(now);
            self.questions.sweep(now);
            self.tcp.sweep(&self.gateway);
            self.published.again(&mut self.gateway, &mut self.tcp, now);
            self.plan_sweep(now);
        }
    }

    /// What there is.
    pub fn counts(&self) -> NatCounts {
        NatCounts {
            tcp: self.tcp.len(),
            udp: self.udp.len(),
            pings: self.pings.len(),
            questions: self.questions.len(),
        }
    }

    /// A conversation begins, or goes on without a connection.
    fn begin(&mut self, now: Instant, diverted: Diverted) {
        let ip = &diverted.packet.ip;
        let port = match &diverted.packet.body {
            Body::Tcp(segment) => segment.dst_port,
            Body::Udp(datagram) => datagram.dst_port,
            Body::Icmp(IcmpMessage::EchoRequest { .. }) => 0,
            _ => return,
        };
        let to = SocketAddr::new(ip.dst, port);
        let target = self.gateway.translation.target(to);
        match (target, &diverted.packet.body) {
            // Who has asked at a published port is answered, wherever else nothing leads.
            (_, Body::Udp(_)) if self.udp.answers(&mut self.gateway, now, &diverted.packet) => {}
            (Target::Resolver, Body::Udp(_)) => {
                self.questions.ask(&mut self.gateway, now, &diverted.packet);
            }
            (Target::Resolver, Body::Tcp(_)) => {
                let servers = self.questions.servers();
                self.tcp.connect(&mut self.gateway, now, diverted, servers);
            }
            (Target::Real(real), Body::Tcp(_)) => {
                self.tcp.connect(&mut self.gateway, now, diverted, &[real]);
            }
            (Target::Real(real), Body::Udp(_)) => {
                self.udp
                    .send(&mut self.gateway, now, &diverted.packet, real);
            }
            (Target::Real(real), _) => {
                self.pings
                    .send(&mut self.gateway, now, &diverted.packet, real.ip());
            }
            (Target::Gateway | Target::Resolver, _) => self.gateway.stack.resume(now, diverted),
            (Target::Nobody(fault), _) => self.gateway.fail(now, &diverted.packet, None, fault),
        }
        if self.next_sweep == Instant::MAX {
            self.plan_sweep(now);
        }
    }

    fn plan_sweep(&mut self, now: Instant) {
        let idle = self.udp.is_empty()
            && self.tcp.len() == 0
            && self.pings.len() == 0
            && self.questions.len() == 0
            && !self.published.want_again();
        self.next_sweep = if idle { Instant::MAX } else { now + SWEEP };
    }
}

impl AsFd for Nat {
    /// Readable when [`Nat::look`] has something to take.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.gateway.epoll.as_fd()
    }
}

/// The unspecified address of a version.
fn any(v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    }
}

#[cfg(test)]
mod tests;
