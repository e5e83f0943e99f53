//! Packets and hosts out of a program's bytes.

use crate::Source;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use switchboard_engine::{Config, IfIndex, Instant, InterfaceConfig, RouteConfig, Stack, Sysctl};
use switchboard_wire::{
    Body, IcmpMessage, IpHeader, Packet, Payload, Quoted, SackList, SeqNum, TcpFlags, TcpOptions,
    TcpSegment, Timestamps, UdpDatagram, Unreachable,
};

/// Ports that sockets of a target use, so that packets find them.
pub(crate) const PORTS: [u16; 6] = [80, 7, 53, 40_000, 9, 0];

/// The host's IPv4 address on `eth0`.
pub(crate) fn here() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

/// A neighbour's.
pub(crate) fn there() -> IpAddr {
    IpAddr::from([10, 0, 0, 2])
}

/// The host's IPv6 address.
pub(crate) fn here6() -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])
}

/// A neighbour's.
pub(crate) fn there6() -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 2])
}

/// A host with `eth0`, and limits small enough to be reached.
pub(crate) fn stack(seed: u8, sysctl: Sysctl) -> (Stack, IfIndex) {
    let mut stack = Stack::new(Config {
        seed: [seed; 32],
        sysctl,
    });
    let eth = stack.add_interface(InterfaceConfig {
        name: "eth0".into(),
        mtu: 1500,
    });
    stack.add_address(eth, here(), 24);
    stack.add_address(eth, here6(), 64);
    for (prefix, gateway) in [
        (IpAddr::from([0; 4]), there()),
        (IpAddr::from([0u16; 8]), there6()),
    ] {
        stack.add_route(RouteConfig {
            prefix,
            prefix_len: 0,
            gateway: Some(gateway),
            interface: eth,
            source: None,
            metric: 0,
            protocol: 3,
            scope: 0,
            table: switchboard_engine::TABLE_MAIN,
            leads: switchboard_engine::Leads::On,
            share: None,
        });
    }
    (stack, eth)
}

/// How far the clock moves: not at all, a little, or so far that timers run out.
pub(crate) fn step(s: &mut Source<'_>) -> Duration {
    let n = u64::from(s.u8());
    match s.below(8) {
        0 | 1 => Duration::ZERO,
        2 => Duration::from_micros(n),
        3 => Duration::from_millis(n),
        4 => Duration::from_millis(n * 10),
        5 => Duration::from_secs(n / 8),
        6 => Duration::from_secs(n),
        _ => Duration::from_secs(n * 60),
    }
}

/// Bytes that count up: the receiver can see what is missing.
pub(crate) fn counting(from: i64, len: usize) -> Vec<u8> {
    (0..len as i64).map(|n| counted(from + n)).collect()
}

/// The byte at an offset of [`counting`]. The period has no common divisor with powers of two.
pub(crate) fn counted(offset: i64) -> u8 {
    offset.rem_euclid(251) as u8
}

pub(crate) fn flags(s: &mut Source<'_>) -> TcpFlags {
    use TcpFlags as F;
    match s.u8() {
        0..70 => F::ACK,
        70..110 => F::ACK | F::PSH,
        110..140 => F::SYN,
        140..155 => F::SYN | F::ACK,
        155..180 => F::FIN | F::ACK,
        180..195 => F::RST,
        195..205 => F::RST | F::ACK,
        205..220 => F::ACK | F::URG,
        _ => F::from_bits_truncate(s.u16()),
    }
}

pub(crate) fn options(s: &mut Source<'_>, near: SeqNum) -> TcpOptions {
    let mut options = TcpOptions::default();
    let which = s.u8();
    if which & 1 != 0 {
        options.mss = Some(s.pick(&[1460, 536, 0, 1, 48, 65535, 88]));
    }
    if which & 2 != 0 {
        options.window_scale = Some(s.pick(&[0, 7, 14, 15, 255, 1]));
    }
    options.sack_permitted = which & 4 != 0;
    if which & 8 != 0 {
        let (value, echo) = (s.u32(), s.u32());
        options.timestamps = Some(Timestamps { value, echo });
    }
    if which & 16 != 0 {
        let mut sack = SackList::new();
        for _ in 0..s.below(5) {
            let left = near + (s.u16() as i16 as i32);
            let _ = sack.push(left, left + (s.u16() as i16 as i32));
        }
        options.sack = sack;
    }
    options
}

fn addr(s: &mut Source<'_>, v6: bool, own: bool) -> IpAddr {
    let v4: [IpAddr; 10] = [
        if own { here() } else { there() },
        if own { there() } else { here() },
        [10, 0, 0, 3].into(),
        [10, 0, 0, 255].into(),
        [127, 0, 0, 1].into(),
        [224, 0, 0, 1].into(),
        [255, 255, 255, 255].into(),
        [0, 0, 0, 0].into(),
        [192, 0, 2, 1].into(),
        [10, 0, 0, 0].into(),
    ];
    let six: [IpAddr; 8] = [
        if own { here6() } else { there6() },
        if own { there6() } else { here6() },
        [0u16; 8].into(),
        [0, 0, 0, 0, 0, 0, 0, 1].into(),
        [0xff02, 0, 0, 0, 0, 0, 0, 1].into(),
        [0xff05, 0, 0, 0, 0, 0, 0, 2].into(),
        [0, 0, 0, 0, 0, 0xffff, 0x0a00, 1].into(),
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
    ];
    let n = s.u8();
    // Mostly the address that gets somewhere.
    let n = if n < 180 { 0 } else { usize::from(n) };
    if v6 {
        six[n % six.len()]
    } else {
        v4[n % v4.len()]
    }
}

fn payload(s: &mut Source<'_>, max: usize) -> Payload {
    let len = s.length(max);
    let given = s.bytes(len.min(16));
    let mut data = given.to_vec();
    data.resize(len, 0x55);
    Payload::from(data)
}

fn header(s: &mut Source<'_>) -> IpHeader {
    let v6 = s.one_in(3);
    let mut ip = IpHeader::new(addr(s, v6, false), addr(s, v6, true));
    if s.one_in(8) {
        ip.hop_limit = s.u8();
        ip.tos = s.u8();
        ip.ident = if v6 { 0 } else { s.u16() };
        ip.flow_label = if v6 { s.u32() & 0xf_ffff } else { 0 };
        ip.dont_fragment = v6 || s.one_in(2);
    }
    ip
}

/// Any packet; `local` is where the host has sent from, so that answers find it.
pub(crate) fn packet(s: &mut Source<'_>, local: &[SocketAddr], near: SeqNum) -> Packet {
    let mut ip = header(s);
    let port = |s: &mut Source<'_>| {
        if s.one_in(12) {
            s.u16()
        } else {
            s.pick(&PORTS)
        }
    };
    let (mut src_port, mut dst_port) = (port(s), port(s));
    if !local.is_empty() && s.one_in(2) {
        let at = s.pick(local);
        if at.is_ipv4() != ip.is_v6() {
            dst_port = at.port();
            src_port = s.pick(&[80, 53]);
        }
    }
    let body = match s.u8() {
        0..120 => {
            let mut segment = TcpSegment {
                src_port,
                dst_port,
                seq: near + i32::from(s.u16() as i16),
                ack: near + i32::from(s.u8() as i8),
                flags: flags(s),
                window: s.u16(),
                urgent: s.u16(),
                options: options(s, near),
                payload: Payload::new(),
                gso: 0,
            };
            if s.one_in(3) {
                segment.payload = payload(s, 3000);
            }
            Body::Tcp(segment)
        }
        120..170 => Body::Udp(UdpDatagram {
            src_port,
            dst_port,
            payload: payload(s, 65_000),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
        170..240 => Body::Icmp(icmp(s, &mut ip, src_port, dst_port, near)),
        _ => {
            // Not a number that has its own body.
            let protocol = s.pick(&[0, 2, 41, 47, 50, 59, 60, 132, 255]);
            Body::Other {
                protocol,
                payload: Bytes::copy_from_slice(s.bytes(20)),
            }
        }
    };
    Packet { ip, body }
}

fn icmp(s: &mut Source<'_>, ip: &mut IpHeader, from: u16, to: u16, near: SeqNum) -> IcmpMessage {
    // What an error is about: something this host may have sent.
    let quoted = |s: &mut Source<'_>| {
        let mut quoted = *ip;
        (quoted.src, quoted.dst) = (ip.dst, ip.src);
        let mut transport = Vec::new();
        transport.extend_from_slice(&to.to_be_bytes());
        transport.extend_from_slice(&from.to_be_bytes());
        transport.extend_from_slice(&(near + i32::from(s.u8() as i8)).0.to_be_bytes());
        transport.truncate(s.below(16));
        let protocol = s.pick(&[6, 17, 1, 58, 0]);
        Box::new(Quoted::plain(quoted, protocol, s.u16(), transport.into()))
    };
    match s.below(7) {
        0 | 1 => {
            let original = quoted(s);
            let code = match s.below(8) {
                0 => Unreachable::Net,
                1 => Unreachable::Host,
                2 => Unreachable::Protocol,
                3 => Unreachable::Port,
                4 | 5 => Unreachable::PacketTooBig,
                6 => Unreachable::AdminProhibited,
                _ => Unreachable::Code(s.u8()),
            };
            let mtu = s.pick(&[0, 1, 67, 68, 552, 576, 1280, 1499, 1500, 65535, u32::MAX]);
            IcmpMessage::Unreachable {
                code,
                mtu,
                original,
            }
        }
        2 => IcmpMessage::TimeExceeded {
            code: s.below(3) as u8,
            original: quoted(s),
        },
        3 => IcmpMessage::ParameterProblem {
            code: s.below(3) as u8,
            pointer: s.u32(),
            original: quoted(s),
        },
        4 | 5 => IcmpMessage::EchoRequest {
            ident: s.u16(),
            sequence: s.u16(),
            payload: Bytes::copy_from_slice(s.bytes(8)),
        },
        _ => IcmpMessage::Other {
            kind: s.u8(),
            code: s.u8(),
            rest: s.u32(),
            payload: Bytes::copy_from_slice(s.bytes(40)),
        },
    }
}

/// Runs timers, and drops what comes out, until nothing is left to do; the time it then is.
///
/// # Panics
/// When a timer does not go away or time does not move on.
pub(crate) fn run_out(
    mut now: Instant,
    mut next: impl FnMut() -> Option<Instant>,
    mut handle: impl FnMut(Instant),
) {
    let start = now;
    let mut stuck = 0;
    // Fifteen retransmissions of two sockets each are 60; keepalives are switched off or end.
    for _ in 0..200_000 {
        let Some(at) = next() else { return };
        stuck = if at <= now { stuck + 1 } else { 0 };
        assert!(
            stuck < 8,
            "a timer that is due at {at:?} stays due at {now:?}"
        );
        now = now.max(at);
        assert!(
            now.saturating_sub(start) < Duration::from_secs(40 * 86_400),
            "timers after {:?}",
            now.saturating_sub(start)
        );
        handle(now);
    }
    panic!(
        "timers do not end: {:?} after {:?}",
        next(),
        now.saturating_sub(start)
    );
}
