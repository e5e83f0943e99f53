//! What the tests of several files need.

use core::net::IpAddr;
use core::time::Duration;

use alloc::vec::Vec;

use switchboard_engine::Instant;
use switchboard_wire::{Body, IpHeader, Packet, UdpDatagram};

use crate::{Pipe, PipeConfig, Random};

pub(crate) fn random(seed: u8) -> Random {
    Random::new([seed; 32], 0)
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A datagram of this length in all, from a port: its flow and its number.
pub(crate) fn packet(port: u16, len: usize) -> Packet {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    Packet {
        ip: IpHeader::new(ip("10.0.0.1"), ip("10.0.0.2")),
        body: Body::Udp(UdpDatagram {
            src_port: port,
            dst_port: 2,
            payload: alloc::vec![0; len - 28].into(),
            segment: 0,
            unsummed: false,
            lite: None,
        }),
    }
}

/// The port that [`packet`] was made with.
pub(crate) fn port(packet: &Packet) -> u16 {
    match &packet.body {
        Body::Udp(udp) => udp.src_port,
        _ => panic!("no datagram"),
    }
}

/// Sends `count` packets a millisecond apart; what arrives, and when.
pub(crate) fn thousand_a_second(
    config: PipeConfig,
    random: &mut Random,
    count: u16,
) -> (Vec<(Instant, u16)>, Pipe) {
    let mut pipe = Pipe::new(config, random);
    let mut arrived = Vec::new();
    for n in 0..count {
        let now = at(n.into());
        while let Some((at, packet)) = pipe.poll_arrival(now, random) {
            arrived.push((at, port(&packet)));
        }
        pipe.send(now, random, packet(n, 100));
    }
    while let Some(next) = pipe.poll_timeout() {
        while let Some((at, packet)) = pipe.poll_arrival(next, random) {
            arrived.push((at, port(&packet)));
        }
    }
    (arrived, pipe)
}
